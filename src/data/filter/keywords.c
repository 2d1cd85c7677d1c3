/* Words of one's own lists (profanity, hate, names) found however they are written: all lists in one pass, by
 * the automaton of Aho and Corasick.
 *
 * Text and words are read as letters: lower case, syllables of Hangul as the jamo they are made of, whether
 * written as a syllable, as conjoining or as single jamo ("ㅅㅣ", "시"), double finals as two.  White space,
 * punctuation, digits between letters and invisible characters are passed over.  To keep "다시 발표" from
 * holding a word that spans its space, what is found
 *   - begins and ends where a syllable does, and
 *   - where it goes over something that was passed over, begins and ends where a word does.
 * Latin words are found only whole. */
#define _GNU_SOURCE
#include "data/filter.h"

#include "base/file.h"
#include "data/filter/aho_corasick.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    lm_strings files, words;
    int64_t min;
    double min_share;
    bool mask;
} settings;

static const lm_option options[] = {
    LM_OPTION(LIST, settings, files, "file", .metavar = "FILE+...", .help = "lists, a word or phrase on each line; # begins a remark"),
    LM_OPTION(LIST, settings, words, "words", .metavar = "WORD+...", .help = "words themselves"),
    LM_OPTION(INT, settings, min, "min", .fallback = "1", .min = 1, .max = 1e9, .help = "findings for which a document is rejected"),
    LM_OPTION(REAL, settings, min_share, "min-share", .fallback = "0", .min = 0, .max = 1, .help = "and their share of all words, at least"),
    LM_OPTION(FLAG, settings, mask, "mask", .help = "what is found becomes * and the document stays"),
    { 0 },
};

static const lm_measure measures[] = { { "findings", true }, { 0 } };

/* ---- letters ----------------------------------------------------------------- */

/* A letter as the automaton sees it, and where it stands. */
typedef struct letter {
    uint32_t rune;                       /* a jamo of the compatibility block, or another letter in lower case */
    uint32_t begin, end;                 /* bytes of its character */
    bool opens, closes;                  /* its syllable begins, or ends, with it */
    bool latin;
    uint32_t word;                       /* runs of letters are counted */
} letter;

typedef struct letters {
    letter *items;
    size_t n, cap;
} letters;

static const uint16_t initials[19] = { 0x3131, 0x3132, 0x3134, 0x3137, 0x3138, 0x3139, 0x3141, 0x3142, 0x3143, 0x3145,
                                       0x3146, 0x3147, 0x3148, 0x3149, 0x314A, 0x314B, 0x314C, 0x314D, 0x314E };
/* Finals as one or two consonants. */
static const uint16_t finals[28][2] = {
    { 0 }, { 0x3131 }, { 0x3132 }, { 0x3131, 0x3145 }, { 0x3134 }, { 0x3134, 0x3148 }, { 0x3134, 0x314E }, { 0x3137 }, { 0x3139 }, { 0x3139, 0x3131 },
    { 0x3139, 0x3141 }, { 0x3139, 0x3142 }, { 0x3139, 0x3145 }, { 0x3139, 0x314C }, { 0x3139, 0x314D }, { 0x3139, 0x314E }, { 0x3141 }, { 0x3142 },
    { 0x3142, 0x3145 }, { 0x3145 }, { 0x3146 }, { 0x3147 }, { 0x3148 }, { 0x314A }, { 0x314B }, { 0x314C }, { 0x314D }, { 0x314E },
};
static const uint32_t VOWELS = 0x314F;

static void put(letters *l, letter item)
{
    if (l->n == l->cap) {
        l->cap = 2 * l->cap + 256;
        l->items = lm_realloc(l->items, l->cap * sizeof *l->items);
    }
    l->items[l->n++] = item;
}

static void put_final(letters *l, letter item, uint32_t index)
{
    for (int i = 0; i < 2 && finals[index][i]; i++) {
        item.rune = finals[index][i];
        put(l, item);
    }
}

static void put_syllable(letters *l, letter item, uint32_t syllable)
{
    size_t first = l->n;
    item.rune = initials[syllable / 588];
    put(l, item);
    item.rune = VOWELS + syllable % 588 / 28;
    put(l, item);
    put_final(l, item, syllable % 28);
    for (size_t i = first; i < l->n; i++) l->items[i].opens = i == first, l->items[i].closes = i + 1 == l->n;
}

/* A double final of the compatibility block, or 0. */
static uint32_t double_final(uint32_t jamo)
{
    static const struct { uint16_t jamo; uint8_t final; } pairs[] = { { 0x3133, 3 }, { 0x3135, 5 }, { 0x3136, 6 }, { 0x313A, 9 }, { 0x313B, 10 }, { 0x313C, 11 },
                                                                      { 0x313D, 12 }, { 0x313E, 13 }, { 0x313F, 14 }, { 0x3140, 15 }, { 0x3144, 18 } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i].jamo == jamo) return pairs[i].final;
    return 0;
}

/* Appends the letters of a character; false: it has none. */
static bool put_rune(letters *l, letter item, uint32_t rune)
{
    item.opens = item.closes = true;
    if (rune - 0xAC00 < 11172) return put_syllable(l, item, rune - 0xAC00), true;
    if (rune >= 0xFF01 && rune <= 0xFF5E) rune -= 0xFEE0;                /* wide forms */
    if (rune >= 0x1100 && rune < 0x1113) rune = initials[rune - 0x1100];
    else if (rune >= 0x1161 && rune < 0x1176) rune = VOWELS + rune - 0x1161;
    else if (rune >= 0x11A8 && rune < 0x11C3) return put_final(l, item, rune - 0x11A7), true;
    if (double_final(rune)) return put_final(l, item, double_final(rune)), true;
    if (!lm_rune_in(rune, LM_LETTERS)) return false;
    item.rune = lm_rune_lower(rune);
    item.latin = rune < 0x250;
    put(l, item);
    return true;
}

static void read_letters(letters *out, lm_span text)
{
    uint32_t word = 0;
    bool gap = true;
    out->n = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (gap) word++;
        gap = !put_rune(out, (letter){ .begin = (uint32_t)i, .end = (uint32_t)(i + n), .word = word }, rune);
        i += n;
    }
}

/* ---- the automaton ----------------------------------------------------------- */

enum { DIRECT = 0x3200 };                /* letters below have their symbol in a table */

typedef struct state {
    lm_aho aho;
    int32_t symbol[DIRECT];              /* of a letter, or -1 */
    uint32_t *others;                    /* letters from DIRECT on that words have, sorted; symbols follow those below */
    int32_t n_others, n_direct;
    lm_strings words;
    uint32_t *length;                    /* [words.n] in letters */
} state;

static int by_size(const void *a, const void *b) { return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b); }

static int32_t symbol_of(const state *s, uint32_t rune)
{
    if (rune < DIRECT) return s->symbol[rune];
    const uint32_t *found = s->n_others ? bsearch(&rune, s->others, (size_t)s->n_others, sizeof rune, by_size) : NULL;
    return found ? s->n_direct + (int32_t)(found - s->others) : -1;
}

static lm_status read_words(state *s, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, (size_t)1 << 28, err));
    size_t valid = lm_utf8_valid(text.data ? text.data : "", text.len);
    lm_status status = valid == text.len ? LM_OK : lm_fail(err, LM_E_FORMAT, "%s: byte %zu is not UTF-8", path, valid + 1);
    for (char *rest = text.data, *line; status == LM_OK && rest && (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t");
        size_t n = strcspn(line, "#\r");
        if (n) lm_strings_push(&s->words, lm_strndup(line, n));
    }
    lm_str_free(&text);
    return status;
}

static void note_letter(state *s, uint32_t rune)
{
    if (rune < DIRECT) {
        if (s->symbol[rune] < 0) s->symbol[rune] = s->n_direct++;
        return;
    }
    s->others = lm_realloc(s->others, (size_t)(s->n_others + 1) * sizeof *s->others);
    s->others[s->n_others++] = rune;
}

static void sort_others(state *s)
{
    if (s->n_others) qsort(s->others, (size_t)s->n_others, sizeof *s->others, by_size);
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_others; i++)
        if (!n || s->others[n - 1] != s->others[i]) s->others[n++] = s->others[i];
    s->n_others = n;
}

static lm_status build(state *s, lm_err *err)
{
    letters l = {0};
    lm_status status = LM_OK;
    memset(s->symbol, -1, sizeof s->symbol);
    for (int i = 0; i < s->words.n; i++) {
        read_letters(&l, lm_span_of(s->words.items[i], strlen(s->words.items[i])));
        for (size_t k = 0; k < l.n; k++) note_letter(s, l.items[k].rune);
    }
    sort_others(s);
    lm_aho_init(&s->aho, s->n_direct + s->n_others + 1);
    s->length = lm_calloc((size_t)s->words.n + 1, sizeof *s->length);
    for (int i = 0; i < s->words.n && status == LM_OK; i++) {
        read_letters(&l, lm_span_of(s->words.items[i], strlen(s->words.items[i])));
        int32_t *symbols = lm_malloc(l.n * sizeof *symbols + 1);
        for (size_t k = 0; k < l.n; k++) symbols[k] = symbol_of(s, l.items[k].rune);
        s->length[i] = (uint32_t)l.n;
        status = lm_aho_add(&s->aho, symbols, l.n, i, err);
        free(symbols);
    }
    lm_aho_finish(&s->aho);
    free(l.items);
    return status;
}

static lm_status open_words(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    state *s = use->state = lm_calloc(1, sizeof *s);
    for (int i = 0; i < o->files.n; i++) LM_TRY(read_words(s, o->files.items[i], err));
    for (int i = 0; i < o->words.n; i++) lm_strings_push(&s->words, lm_strndup(o->words.items[i], strlen(o->words.items[i])));
    if (!s->words.n) return lm_fail(err, LM_E_USAGE, "expected file=FILE or words=WORD");
    return build(s, err);
}

static void close_words(void *state_)
{
    state *s = state_;
    lm_aho_free(&s->aho);
    lm_strings_free(&s->words);
    free(s->others);
    free(s->length);
    free(s);
}

/* ---- findings ---------------------------------------------------------------- */

/* Whether letters first..last are a word by themselves, as the rules above have it. */
static bool counts(const letters *l, size_t first, size_t last)
{
    const letter *a = &l->items[first], *b = &l->items[last];
    if (!a->opens || !b->closes) return false;
    bool begins = !first || a[-1].word != a->word, ends = last + 1 == l->n || b[1].word != b->word;
    if (a->latin && !begins && a[-1].latin) return false;
    if (b->latin && !ends && b[1].latin) return false;
    return a->word == b->word || (begins && ends);
}

typedef struct finding {
    uint32_t begin, end;
    int32_t word;
} finding;

/* The longest word that ends at each letter, findings apart from each other. */
static size_t find_words(const state *s, const letters *l, finding *out, size_t most)
{
    size_t n = 0;
    int32_t at = 0;
    for (size_t i = 0; i < l->n; i++) {
        at = lm_aho_step(&s->aho, at, symbol_of(s, l->items[i].rune));
        for (int32_t hit = s->aho.word[at] >= 0 ? at : s->aho.shorter[at]; hit; hit = s->aho.shorter[hit]) {
            int32_t word = s->aho.word[hit];
            size_t first = i + 1 - s->length[word];
            if (!counts(l, first, i)) continue;
            if (n && out[n - 1].end > l->items[first].begin) n--;           /* the longer one ends later */
            if (n < most) out[n++] = (finding){ l->items[first].begin, l->items[i].end, word };
            break;
        }
    }
    return n;
}

static void mask(lm_doc *doc, const finding *found, size_t n)
{
    lm_str *out = lm_doc_room(doc);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        lm_str_append(out, doc->text.data + at, found[i].begin - at);
        for (size_t k = found[i].begin; k < found[i].end; k++)
            if (((unsigned char)doc->text.data[k] & 0xC0) != 0x80) lm_str_putc(out, '*');
        at = found[i].end;
    }
    lm_str_append(out, doc->text.data + at, doc->text.len - at);
    lm_doc_replace(doc);
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const state *s = use->state;
    doc->values[0] = 0;
    if (doc->text.len > UINT32_MAX) return lm_reject(doc, "%zu bytes, more than can be searched for words", doc->text.len);
    letters l = {0};
    read_letters(&l, doc->text);
    finding *found = lm_doc_scratch(doc, (l.n + 1) * sizeof *found);
    size_t n = find_words(s, &l, found, l.n), words = 0;
    free(l.items);
    doc->values[0] = (double)n;
    if (!n) return true;
    if (o->mask) return mask(doc, found, n), true;
    if (o->min_share > 0) lm_doc_words(doc, &words);
    if ((int64_t)n < o->min || (double)n < o->min_share * (double)words) return true;
    return lm_reject(doc, "%zu findings, the first of \"%.60s\"", n, s->words.items[found[0].word]);
}

const lm_filter lm_filter_keywords = {
    .name = "keywords", .source = "lists of one's own; Aho and Corasick 1975",
    .help = "words of lists, however they are spaced or taken apart into jamo",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_words, .close = close_words, .apply = apply,
};
