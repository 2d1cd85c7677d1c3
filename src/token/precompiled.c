/* Precompiled: the character map of a SentencePiece model as a normaliser.
 *
 * SentencePiece itself takes the longest key at each place.  The Hugging Face library looks at one
 * grapheme at a time, and where a short one begins with a key, the shortest such key's result stands for
 * the whole grapheme.  tokenizer.json means the latter; a reader of .model files asks for the former by
 * "exact": "sentencepiece", which is never saved. */
#include "token/charsmap.h"
#include "token/grapheme.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHORT_GRAPHEME = 6,              /* bytes; longer graphemes are taken apart first */
    PLAIN = 0xD800,                  /* most text is below, Hangul included */
};

typedef struct precompiled {
    lm_charsmap map;
    lm_added *symbols;               /* user-defined ones, which pass as they are; exact only */
    uint64_t plain[PLAIN / 64];      /* one bit for each character below PLAIN: no key begins with it; exact only */
    bool exact;
} precompiled;

static void release(void *state)
{
    precompiled *p = state;
    if (p) lm_charsmap_free(&p->map), lm_added_free(p->symbols);
    free(p);
}

static void read_symbols(precompiled *p, const lm_json *list)
{
    p->symbols = lm_added_new();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const lm_json *text = json_array_get(list, i);
        lm_added_put(p->symbols, lm_span_of(json_string_value(text), json_string_length(text)), &(lm_added_token){ 0 });
    }
}

/* Most characters begin no key, and no key is a front of theirs: they pass without a look at the map. */
static void find_plain(precompiled *p)
{
    lm_str text = {0};
    const char *result;
    for (uint32_t rune = 1; rune < PLAIN; rune++) {
        lm_str_clear(&text);
        lm_str_put_rune(&text, rune);
        lm_span character = lm_span_of(text.data, text.len);
        if (!lm_charsmap_begins(&p->map, character) && !lm_charsmap_shortest(&p->map, character, &result)) p->plain[rune / 64] |= (uint64_t)1 << rune % 64;
    }
    lm_str_free(&text);
}

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    precompiled *p = lm_calloc(1, sizeof *p);
    *state = p;
    const char *text, *exact = NULL;
    LM_TRY(lm_json_need_str(source->json, "precompiled_charsmap", source->name, &text, err));
    LM_TRY(lm_json_opt_str(source->json, "exact", source->name, &exact, err));
    p->exact = exact && !strcmp(exact, "sentencepiece");
    if (p->exact) read_symbols(p, lm_json_get(source->json, "symbols"));
    lm_str bytes = {0};
    lm_status status = lm_base64_decode(&bytes, lm_span_of(text, strlen(text)))
                           ? lm_charsmap_read(&p->map, lm_span_of(bytes.data, bytes.len), source->name, err)
                           : lm_fail(err, LM_E_FORMAT, "%s: precompiled_charsmap: not base64", source->name);
    lm_str_free(&bytes);
    if (!status && p->exact) find_plain(p);
    return status;
}

static void apply_longest(const precompiled *p, lm_str *out, lm_span text)
{
    size_t done = 0;                 /* what passes is copied in one go */
    for (size_t i = 0; i < text.len;) {
        const char *result;
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (rune < PLAIN && p->plain[rune / 64] >> rune % 64 & 1) {
            i += n;
            continue;
        }
        size_t taken = lm_charsmap_longest(&p->map, lm_span_of(text.data + i, text.len - i), &result);
        if (taken) {
            lm_str_append(out, text.data + done, i - done);
            lm_str_puts(out, result);
            done = i + taken;
        }
        i += taken ? taken : n;
    }
    lm_str_append(out, text.data + done, text.len - done);
}

static void apply_exact(const precompiled *p, lm_str *out, lm_span text)
{
    size_t at = 0;
    for (lm_added_match m; lm_added_find(p->symbols, text, at, false, &m); at = m.end) {
        apply_longest(p, out, lm_span_of(text.data + at, m.begin - at));
        lm_str_append(out, text.data + m.begin, m.end - m.begin);
    }
    apply_longest(p, out, lm_span_of(text.data + at, text.len - at));
}

static void apply_grapheme(const precompiled *p, lm_str *out, lm_span grapheme)
{
    const char *result;
    if (grapheme.len < SHORT_GRAPHEME && lm_charsmap_shortest(&p->map, grapheme, &result)) {
        lm_str_puts(out, result);
        return;
    }
    for (size_t i = 0; i < grapheme.len;) {
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(grapheme.data + i, grapheme.len - i, &rune);
        if (lm_charsmap_shortest(&p->map, lm_span_of(grapheme.data + i, n), &result)) lm_str_puts(out, result);
        else lm_str_append(out, grapheme.data + i, n);
        i += n;
    }
}

static lm_status apply(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    (void)place, (void)err;
    const precompiled *p = state;
    if (p->exact) {
        apply_exact(p, out, text);
        return LM_OK;
    }
    for (size_t i = 0; i < text.len;) {
        size_t n = lm_grapheme_length(lm_span_of(text.data + i, text.len - i));
        apply_grapheme(p, out, lm_span_of(text.data + i, n));
        i += n;
    }
    return LM_OK;
}

/* A white character before a settled one is a grapheme; the map says what becomes of it.  It may make white
 * space of any other character.  The longest key at a place may hold both. */
static bool cut(const void *state, lm_cut *c)
{
    const precompiled *p = state;
    const char *result;
    char white = (char)c->rune;
    c->loose = true;
    if (p->exact || c->rune >= 0x80 || c->rune == '\r') return false;      /* "\r\n" is one grapheme */
    if (lm_charsmap_shortest(&p->map, lm_span_of(&white, 1), &result)) c->rune = result[0] == ' ' && !result[1] ? ' ' : 0;
    return c->rune != 0;
}

const lm_normaliser lm_normaliser_precompiled = { .name = "Precompiled", .load = load, .apply = apply, .cut = cut, .free = release };
