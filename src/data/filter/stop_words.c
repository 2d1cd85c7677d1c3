/* Words that running text cannot do without.  Rae et al. 2021 (Gopher), A1.1: at least two of the, be, to, of,
 * and, that, have, with.  Korean says with particles and endings what English says with such words: an entry
 * that begins with "-" is the end of a longer word.  Different entries count, not how often they occur. */
#include "data/filter.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

typedef enum language { ENGLISH, KOREAN, BOTH } language;
static const char *const languages[] = { "en", "ko", "both", NULL };

typedef struct settings {
    int64_t min;
    int language;
    lm_strings words;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, min, "min", .fallback = "2", .min = 0, .max = 1000, .help = "different ones, at least"),
    LM_OPTION(CHOICE, settings, language, "language", .choices = languages, .fallback = "both", .help = "whose words; both: those of either language do"),
    LM_OPTION(LIST, settings, words, "words", .metavar = "WORD+...", .help = "another list; \"-\" in front: the end of a word"),
    { 0 },
};

static const lm_measure measures[] = { { "stop words", true }, { 0 } };

static const char *const english[] = { "the", "be", "to", "of", "and", "that", "have", "with", NULL };
static const char *const korean[] = { "-은", "-는", "-이", "-가", "-을", "-를", "-의", "-에", "-에서", "-으로", "-로", "-와", "-과", "-도", "-만", "-까지", "-부터",
                                      "-에게", "-고", "-며", "-면", "-다", "-요", "-지만", "-는데", "-해서", "그", "이", "그리고", "하지만", "및", "수", "것", "또는", NULL };

enum { LONGEST_END = 12 };               /* bytes */

typedef struct lists {
    lm_map *whole, *ends;
    int n;
} lists;

static void add(lists *l, const char *word)
{
    bool end = word[0] == '-' && word[1];
    if (lm_map_put(end ? l->ends : l->whole, word + end, strlen(word + end), l->n)) l->n++;
}

static lm_status open_lists(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    lists *l = use->state = lm_calloc(1, sizeof *l);
    l->whole = lm_map_new(64);
    l->ends = lm_map_new(64);
    for (int i = 0; i < o->words.n; i++) {
        if (strlen(o->words.items[i]) > LONGEST_END) return lm_fail(err, LM_E_USAGE, "words: \"%.100s\" is longer than %d bytes", o->words.items[i], LONGEST_END);
        add(l, o->words.items[i]);
    }
    for (const char *const *w = english; *w && !o->words.n && o->language != KOREAN; w++) add(l, *w);
    for (const char *const *w = korean; *w && !o->words.n && o->language != ENGLISH; w++) add(l, *w);
    if (l->n > 64) return lm_fail(err, LM_E_USAGE, "words: at most 64, found %d", l->n);
    return LM_OK;
}

static void close_lists(void *state)
{
    lists *l = state;
    lm_map_free(l->whole);
    lm_map_free(l->ends);
    free(l);
}

static bool is_sign(char c) { return strchr(".,!?;:\"')(", c) && c; }

/* Bits of the entries that the word is, or ends in. */
static uint64_t entries_of(const lists *l, lm_span word)
{
    while (word.len && is_sign(word.data[word.len - 1])) word.len--;
    while (word.len && is_sign(word.data[0])) word.data++, word.len--;
    char lower[LONGEST_END];
    uint64_t found = 0;
    for (size_t i = 0; i < word.len && word.len <= LONGEST_END; i++) lower[i] = word.data[i] >= 'A' && word.data[i] <= 'Z' ? (char)(word.data[i] | 32) : word.data[i];
    int64_t entry = word.len <= LONGEST_END ? lm_map_get(l->whole, lower, word.len, -1) : -1;
    if (entry >= 0) found |= (uint64_t)1 << entry;
    for (size_t n = 3; n < word.len && n <= LONGEST_END; n += 3) {       /* syllables have three bytes */
        entry = lm_map_get(l->ends, word.data + word.len - n, n, -1);
        if (entry >= 0) found |= (uint64_t)1 << entry;
    }
    return found;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n;
    uint64_t found = 0;
    const lm_word *words = lm_doc_words(doc, &n);
    for (size_t i = 0; i < n && __builtin_popcountll(found) < o->min; i++) found |= entries_of(use->state, words[i].text);
    int64_t different = __builtin_popcountll(found);
    doc->values[0] = (double)different;
    return different >= o->min ? true : lm_reject(doc, "%lld stop words, expected at least %lld", (long long)different, (long long)o->min);
}

const lm_filter lm_filter_stop_words = {
    .name = "stop-words", .source = "Rae et al. 2021 (Gopher), A1.1; Korean list: own",
    .help = "particles and function words that running text has",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_lists, .close = close_lists, .apply = apply,
};
