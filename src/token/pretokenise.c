/* Pre-tokenisers: text into pieces that no token spans.
 *
 * Most say which parts of a text match (a pattern, a class of characters) and what becomes of them:
 * the behaviours of the Hugging Face library.  One small machine (`cut`) does that; what differs is
 * who finds the matches. */
#include "token/pattern.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- behaviours ------------------------------------------------------------------------- */

typedef enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } behaviour;

/* Parts arrive in order; the last one may still grow. */
typedef struct cut {
    lm_pieces *pieces;
    lm_span text;
    behaviour behaviour;
    bool first;                      /* text starts the input */
    bool pending, matched;           /* a part is held; it (or the part before the next) was a match */
    size_t begin, end;               /* of the part that is held */
    lm_status status;
} cut;

static void cut_emit(cut *c)
{
    if (c->pending && !c->status)
        c->status = lm_pieces_next(c->pieces, lm_span_of(c->text.data + c->begin, c->end - c->begin), c->first && c->begin == 0);
    c->pending = false;
}

static void cut_part(cut *c, size_t begin, size_t end, bool match)
{
    if (begin == end) return;
    bool joins = false;
    switch (c->behaviour) {
    case REMOVED: case ISOLATED: break;
    case CONTIGUOUS: joins = match == c->matched; break;
    case MERGED_WITH_PREVIOUS: joins = match && !c->matched; break;
    case MERGED_WITH_NEXT: joins = !match && c->matched; break;
    }
    c->matched = match;
    if (c->pending && joins) {
        c->end = end;
        return;
    }
    cut_emit(c);
    c->pending = !(c->behaviour == REMOVED && match);
    c->begin = begin, c->end = end;
}

static lm_status cut_end(cut *c)
{
    cut_emit(c);
    return c->status;
}

static lm_status read_behaviour(behaviour *out, const lm_json *json, const char *name, lm_err *err)
{
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *text = NULL;
    LM_TRY(lm_json_opt_str(json, "behavior", name, &text, err));
    if (!text) return LM_OK;
    for (int i = 0; i < 5; i++)
        if (!strcmp(text, names[i])) return *out = (behaviour)i, LM_OK;
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: pre_tokenizer: behavior \"%.60s\" is not supported", name, text);
}

static lm_status cut_by_pattern(cut *c, const lm_pattern *pattern, bool invert)
{
    size_t done = 0;
    lm_match match;
    lm_matcher matcher = lm_matcher_start(pattern, c->text);
    while (!c->status && lm_matcher_next(&matcher, &match)) {
        cut_part(c, done, match.begin, invert);
        cut_part(c, match.begin, match.end, !invert);
        done = match.end;
    }
    cut_part(c, done, c->text.len, invert);
    LM_TRY(lm_matcher_end(&matcher, lm_pieces_err(c->pieces)));
    return cut_end(c);
}

/* What a scanner matches and what it passes over, both as pieces. */
static lm_status cut_by_scanner(lm_pieces *pieces, lm_span text, bool first, lm_scanner scan)
{
    size_t begin = 0;                /* of what is not handed on yet */
    for (size_t at = 0; at < text.len;) {
        size_t end = scan(text, at);
        if (end == at) {
            uint32_t rune;
            at += (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
            continue;
        }
        if (begin < at) LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + begin, at - begin), first && begin == 0));
        LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + at, end - at), first && at == 0));
        begin = at = end;
    }
    return lm_pieces_next(pieces, lm_span_of(text.data + begin, text.len - begin), first && begin == 0);
}

static lm_status cut_by_rune(cut *c, bool (*matches)(uint32_t rune))
{
    for (size_t i = 0; i < c->text.len && !c->status;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(c->text.data + i, c->text.len - i, &rune);
        bool match = matches(rune);
        if (match) {
            cut_part(c, i, i + length, true);
            i += length;
            continue;
        }
        size_t end = i + length;
        while (end < c->text.len) {
            length = (size_t)lm_rune_at(c->text.data + end, c->text.len - end, &rune);
            if (matches(rune)) break;
            end += length;
        }
        cut_part(c, i, end, false);
        i = end;
    }
    return cut_end(c);
}

/* ---- Split: a pattern and a behaviour ------------------------------------------------------- */

typedef struct splitter {
    lm_pattern *pattern;
    behaviour behaviour;
    bool invert;
} splitter;

static void split_free(void *state)
{
    splitter *s = state;
    if (s) lm_pattern_free(s->pattern);
    free(s);
}

static lm_status split_load(void **state, const lm_step_source *source, lm_err *err)
{
    splitter *s = lm_calloc(1, sizeof *s);
    *state = s;
    LM_TRY(read_behaviour(&s->behaviour, source->json, source->name, err));
    LM_TRY(lm_json_opt_bool(source->json, "invert", source->name, &s->invert, err));
    return lm_pattern_read(&s->pattern, lm_json_get(source->json, "pattern"), source->name, err);
}

static lm_status split(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    const splitter *s = state;
    lm_scanner scan = lm_pattern_scanner(s->pattern);
    if (scan && s->behaviour == ISOLATED) return cut_by_scanner(pieces, text, first, scan);
    cut c = { .pieces = pieces, .text = text, .behaviour = s->behaviour, .first = first };
    return cut_by_pattern(&c, s->pattern, s->invert);
}

static bool split_cut(const void *state, lm_cut *at)
{
    const splitter *s = state;
    bool divides;
    if (!lm_pattern_cut(s->pattern, at->rune, at->loose, &divides)) return false;
    bool literal = !lm_pattern_scanner(s->pattern);
    at->divided = divides && (s->behaviour == ISOLATED || s->behaviour == REMOVED || (s->behaviour == MERGED_WITH_NEXT && literal && !s->invert));
    return true;
}

/* As in Gemma's pipeline, which splits at spaces when none is left. */
static bool split_idle(const void *state, uint32_t absent)
{
    const splitter *s = state;
    return absent && !s->invert && lm_pattern_character(s->pattern) == absent;
}

const lm_pretokeniser lm_pretokeniser_split = {
    .name = "Split",
    .cut = split_cut,
    .free = split_free,
    .idle = split_idle,
    .load = split_load,
    .split = split,
};

/* ---- ByteLevel: GPT-2's expression, and bytes as characters ------------------------------------ */

typedef struct byte_splitter {
    lm_pattern *pattern;             /* NULL: not split here */
    bool add_prefix_space;
} byte_splitter;

static void byte_level_free(void *state)
{
    byte_splitter *s = state;
    if (s) lm_pattern_free(s->pattern);
    free(s);
}

static lm_status byte_level_load(void **state, const lm_step_source *source, lm_err *err)
{
    byte_splitter *s = lm_calloc(1, sizeof *s);
    *state = s;
    bool use_regex = true;
    s->add_prefix_space = true;
    LM_TRY(lm_json_opt_bool(source->json, "add_prefix_space", source->name, &s->add_prefix_space, err));
    LM_TRY(lm_json_opt_bool(source->json, "use_regex", source->name, &use_regex, err));
    return use_regex ? lm_pattern_regex(&s->pattern, lm_gpt2_expression, source->name, err) : LM_OK;
}

/* Spelling is left to the pipeline (pipeline.h says why). */
static lm_status byte_level(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    const byte_splitter *s = state;
    if (s->add_prefix_space && text.data[0] != ' ') {
        lm_str *spaced = lm_pieces_scratch(pieces);
        lm_str_putc(spaced, ' ');
        lm_str_append(spaced, text.data, text.len);
        text = lm_span_of(spaced->data, spaced->len);
    }
    return s->pattern ? cut_by_scanner(pieces, text, first, lm_pattern_scanner(s->pattern)) : lm_pieces_next(pieces, text, first);
}

/* A prefix is only put before text that does not begin with a space. */
static bool byte_level_cut(const void *state, lm_cut *at)
{
    const byte_splitter *s = state;
    if (s->add_prefix_space && at->rune != ' ') return false;
    return !s->pattern || lm_pattern_cut(s->pattern, at->rune, at->loose, &at->divided);
}

static bool byte_level_idle(const void *state, uint32_t absent)
{
    (void)absent;
    const byte_splitter *s = state;
    return !s->pattern && !s->add_prefix_space;
}

const lm_pretokeniser lm_pretokeniser_byte_level = {
    .name = "ByteLevel",
    .cut = byte_level_cut,
    .idle = byte_level_idle,
    .load = byte_level_load,
    .split = byte_level,
    .free = byte_level_free,
};

/* ---- Metaspace: spaces become U+2581, words begin with it ---------------------------------------- */

typedef struct metaspace {
    lm_pattern *mark;                /* the replacement as a literal */
    char *replacement;
    enum { ALWAYS, FIRST, NEVER } prepend;
    bool split;
} metaspace;

static void metaspace_free(void *state)
{
    metaspace *m = state;
    if (!m) return;
    lm_pattern_free(m->mark);
    free(m->replacement);
    free(m);
}

static lm_status metaspace_load(void **state, const lm_step_source *source, lm_err *err)
{
    metaspace *m = lm_calloc(1, sizeof *m);
    *state = m;
    const char *replacement = "\xE2\x96\x81", *scheme = NULL;
    bool add_prefix_space = true;
    m->split = true;
    LM_TRY(lm_json_opt_str(source->json, "replacement", source->name, &replacement, err));
    LM_TRY(lm_json_opt_str(source->json, "prepend_scheme", source->name, &scheme, err));
    LM_TRY(lm_json_opt_bool(source->json, "add_prefix_space", source->name, &add_prefix_space, err));
    LM_TRY(lm_json_opt_bool(source->json, "split", source->name, &m->split, err));
    if (!scheme) scheme = add_prefix_space ? "always" : "never";
    if (!strcmp(scheme, "always")) m->prepend = ALWAYS;
    else if (!strcmp(scheme, "first")) m->prepend = FIRST;
    else if (!strcmp(scheme, "never")) m->prepend = NEVER;
    else return lm_fail(err, LM_E_UNSUPPORTED, "%s: Metaspace: prepend_scheme \"%.60s\" is not supported", source->name, scheme);
    m->replacement = lm_strdup(replacement);
    return lm_pattern_literal(&m->mark, lm_span_of(m->replacement, strlen(m->replacement)), source->name, err);
}

static lm_status metaspace_split(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    const metaspace *m = state;
    size_t n = strlen(m->replacement);
    lm_str *marked = lm_pieces_scratch(pieces);
    bool has_mark = text.data[0] == ' ' || (text.len >= n && !memcmp(text.data, m->replacement, n));
    if (!has_mark && (m->prepend == ALWAYS || (m->prepend == FIRST && first))) lm_str_append(marked, m->replacement, n);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ' ') lm_str_append(marked, m->replacement, n);
        else lm_str_putc(marked, text.data[i]);
    }
    text = lm_span_of(marked->data, marked->len);
    if (!m->split) return lm_pieces_next(pieces, text, first);
    cut c = { .pieces = pieces, .text = text, .behaviour = MERGED_WITH_NEXT, .first = first };
    return cut_by_pattern(&c, m->mark, false);
}

/* Before a space nothing is put in front, and each space begins a piece. */
static bool metaspace_cut(const void *state, lm_cut *at)
{
    const metaspace *m = state;
    uint32_t replacement;
    size_t n = strlen(m->replacement);
    if ((size_t)lm_utf8_decode(m->replacement, n, &replacement) != n || (at->rune != ' ' && at->rune != replacement)) return false;
    at->rune = replacement;
    at->divided = m->split;
    return true;
}

const lm_pretokeniser lm_pretokeniser_metaspace = {
    .name = "Metaspace",
    .cut = metaspace_cut,
    .load = metaspace_load,
    .split = metaspace_split,
    .free = metaspace_free,
};

/* ---- classes of characters --------------------------------------------------------------------------- */

static bool is_numeric(uint32_t rune) { return lm_rune_is(rune, LM_RUNE_NUMERIC); }
static bool is_punctuation(uint32_t rune) { return lm_rune_is(rune, LM_RUNE_PUNCTUATION); }

/* White characters are in none of the classes. */
static bool class_cut(const void *state, lm_cut *at)
{
    (void)state, (void)at;
    return true;
}

/* White characters vanish, and the pieces do not span them. */
static bool white_cut(const void *state, lm_cut *at)
{
    (void)state;
    return at->divided = lm_rune_is_space(at->rune);
}

static lm_status digits_load(void **state, const lm_step_source *source, lm_err *err)
{
    behaviour *how = lm_calloc(1, sizeof *how);
    *state = how;
    bool individual = false;
    LM_TRY(lm_json_opt_bool(source->json, "individual_digits", source->name, &individual, err));
    *how = individual ? ISOLATED : CONTIGUOUS;
    return LM_OK;
}

static lm_status digits(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    cut c = { .pieces = pieces, .text = text, .behaviour = *(const behaviour *)state, .first = first };
    return cut_by_rune(&c, is_numeric);
}

static lm_status punctuation_load(void **state, const lm_step_source *source, lm_err *err)
{
    behaviour *how = lm_calloc(1, sizeof *how);
    *state = how;
    *how = ISOLATED;
    return read_behaviour(how, source->json, source->name, err);
}

static lm_status punctuation(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    cut c = { .pieces = pieces, .text = text, .behaviour = *(const behaviour *)state, .first = first };
    return cut_by_rune(&c, is_punctuation);
}

static lm_status whitespace_split(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    (void)state;
    cut c = { .pieces = pieces, .text = text, .behaviour = REMOVED, .first = first };
    return cut_by_rune(&c, lm_rune_is_space);
}

/* Words, and runs of what is neither word nor space; spaces vanish. */
static lm_status whitespace(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    (void)state;
    enum { NOTHING, SPACE, WORD, OTHER } last = NOTHING;
    size_t begin = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        int now = lm_rune_is_space(rune) ? SPACE : lm_rune_is(rune, LM_RUNE_WORD) ? WORD : OTHER;
        if (now != (int)last) {
            if (last > SPACE) LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + begin, i - begin), first && begin == 0));
            begin = i;
            last = now;
        }
        i += length;
    }
    return last > SPACE ? lm_pieces_next(pieces, lm_span_of(text.data + begin, text.len - begin), first && begin == 0) : LM_OK;
}

/* Words between spaces, cut again at each punctuation character. */
static lm_status bert(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    (void)state;
    size_t begin = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        bool space = lm_rune_is_space(rune), apart = space || is_punctuation(rune);
        if (apart) {
            LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + begin, i - begin), first && begin == 0));
            if (!space) LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + i, length), first && i == 0));
            begin = i + length;
        }
        i += length;
    }
    return lm_pieces_next(pieces, lm_span_of(text.data + begin, text.len - begin), first && begin == 0);
}

const lm_pretokeniser lm_pretokeniser_whitespace = { .name = "Whitespace", .split = whitespace, .cut = white_cut };
const lm_pretokeniser lm_pretokeniser_bert = { .name = "BertPreTokenizer", .split = bert, .cut = white_cut };
const lm_pretokeniser lm_pretokeniser_digits = { .name = "Digits", .load = digits_load, .split = digits, .cut = class_cut, .free = free };
const lm_pretokeniser lm_pretokeniser_punctuation = {
    .name = "Punctuation",
    .load = punctuation_load,
    .split = punctuation,
    .cut = class_cut,
    .free = free,
};
const lm_pretokeniser lm_pretokeniser_whitespace_split = { .name = "WhitespaceSplit", .split = whitespace_split, .cut = white_cut };

/* ---- CharDelimiterSplit --------------------------------------------------------------------------------- */

static lm_status delimiter_load(void **state, const lm_step_source *source, lm_err *err)
{
    const char *text;
    LM_TRY(lm_json_need_str(source->json, "delimiter", source->name, &text, err));
    lm_pattern *pattern;
    lm_status status = lm_pattern_literal(&pattern, lm_span_of(text, strlen(text)), source->name, err);
    *state = pattern;
    return status;
}

static lm_status delimiter_split(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    cut c = { .pieces = pieces, .text = text, .behaviour = REMOVED, .first = first };
    return cut_by_pattern(&c, state, false);
}

static bool delimiter_cut(const void *state, lm_cut *at) { return lm_pattern_cut(state, at->rune, at->loose, &at->divided); }
static void delimiter_free(void *state) { lm_pattern_free(state); }

const lm_pretokeniser lm_pretokeniser_char_delimiter_split = {
    .name = "CharDelimiterSplit",
    .load = delimiter_load,
    .split = delimiter_split,
    .cut = delimiter_cut,
    .free = delimiter_free,
};

/* ---- FixedLength: so many characters each ------------------------------------------------------------------ */

static lm_status fixed_load(void **state, const lm_step_source *source, lm_err *err)
{
    int64_t length = 5;
    LM_TRY(lm_json_opt_int(source->json, "length", source->name, &length, err));
    if (length < 1) return lm_fail(err, LM_E_FORMAT, "%s: pre_tokenizer FixedLength: expected a length of at least 1, found %lld", source->name, (long long)length);
    int64_t *kept = *state = lm_malloc(sizeof *kept);
    *kept = length;
    return LM_OK;
}

static lm_status fixed_split(const void *state, lm_pieces *pieces, lm_span text, bool first)
{
    size_t begin = 0, at = 0;
    for (int64_t n = 1; at < text.len; n++) {
        uint32_t rune;
        at += (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        if (n % *(const int64_t *)state != 0 && at < text.len) continue;
        LM_TRY(lm_pieces_next(pieces, lm_span_of(text.data + begin, at - begin), first && begin == 0));
        begin = at;
    }
    return LM_OK;
}

const lm_pretokeniser lm_pretokeniser_fixed_length = { .name = "FixedLength", .load = fixed_load, .split = fixed_split, .free = free };
