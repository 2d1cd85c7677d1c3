/* Where a text divides: places at which it may be cut so that the ids of its parts, encoded one by one, are
 * the ids of the whole.
 *
 * The places are in front of a white character of ASCII that stands behind a settled character and before
 * ASCII, a settled character or the end of the text.  Settled characters are letters and signs that stay one
 * visible character under every normaliser: no step takes them for white space, for a mark, or for something
 * that joins what follows.  Whether every step of a pipeline leaves such a place alone is asked of the steps
 * themselves (lm_cut in pipeline.h), once, when the tokenizer is built; a step that does not answer, or that
 * looks across, rules the character out.  An added token must not lie across the place, nor end at it.
 *
 * Encoders use the places to remember whole words before any step has run (encode.c), and to encode one
 * text with many threads (parallel.c). */
#include "token/pipeline.h"
#include "token/unicode.h"

#include <endian.h>
#include <string.h>

static const char whites[] = { ' ', '\t', '\n', '\r' };

/* ---- the proof ------------------------------------------------------------------------------- */

static bool divides_before(const lm_tokenizer *tk, char c)
{
    lm_cut cut = { .rune = (uint32_t)c };
    if (lm_added_crosses(tk->raw, cut.rune)) return false;
    for (int i = 0; i < tk->normalisers.n; i++) {
        const lm_step *step = &tk->normalisers.items[i];
        const lm_normaliser *kind = step->kind;
        if (!kind->cut || !kind->cut(step->state, &cut)) return false;
    }
    if (lm_added_crosses(tk->normalised, cut.rune) || lm_added_strips(tk->normalised)) return false;
    for (int i = 0; i < tk->pretokenisers.n && !cut.divided; i++) {
        const lm_step *step = &tk->pretokenisers.items[i];
        const lm_pretokeniser *kind = step->kind;
        if (!kind->cut || !kind->cut(step->state, &cut)) return false;
    }
    return cut.divided || (!cut.loose && tk->model->opens && tk->model->opens(tk->model_state, cut.rune));
}

/* Pieces of one scanner are words themselves; otherwise words are what stands between two such places. */
static bool has_one_scanner(const lm_tokenizer *tk)
{
    for (int i = 0; i < tk->normalisers.n; i++) {
        const lm_normaliser *kind = tk->normalisers.items[i].kind;
        if (!kind->quick) return false;
    }
    return tk->byte_level && tk->pretokenisers.n == 1;
}

void lm_tokenizer_find_cuts(lm_tokenizer *tk)
{
    for (size_t i = 0; i < sizeof whites; i++) tk->cuts[(uint8_t)whites[i]] = divides_before(tk, whites[i]);
    for (int i = 0; i < tk->n_added; i++)
        if (!tk->added[i].normalized && tk->added[i].text.len) tk->token_ends[(uint8_t)tk->added[i].text.data[tk->added[i].text.len - 1]] = true;
    for (int i = 0; i < tk->n_added; i++) tk->specials_late |= tk->added[i].special && tk->added[i].normalized;
    tk->words_are_raw = tk->cuts[' '] && !has_one_scanner(tk);
}

/* ---- places in a text ------------------------------------------------------------------------- */

bool lm_is_settled(uint32_t r)
{
    if (r < 0x80) return r > 0x20 && r < 0x7F;
    if (r >= 0xAC00) return r <= 0xD7A3;
    if (r >= 0x4E00) return r <= 0x9FFF;
    return (r >= 0xC0 && r <= 0x2AF) || (r >= 0x391 && r <= 0x481) || (r >= 0x3041 && r <= 0x3096) || (r >= 0x30A1 && r <= 0x30FA);
}

static bool settled_before(lm_span text, size_t at)
{
    uint8_t c = (uint8_t)text.data[at - 1];
    if (c < 0x80) return lm_is_settled(c);
    if (at >= 3 && lm_is_syllable(text.data + at - 3, 3)) return true;
    uint32_t rune;
    for (size_t n = 2; n <= 3 && n <= at; n++)
        if ((uint8_t)text.data[at - n] >= 0xC0) return (size_t)lm_utf8_decode(text.data + at - n, n, &rune) == n && lm_is_settled(rune);
    return false;
}

static bool settled_at(lm_span text, size_t at)
{
    uint32_t rune;
    if (lm_is_syllable(text.data + at, text.len - at)) return true;
    return lm_utf8_decode(text.data + at, text.len - at, &rune) && lm_is_settled(rune);
}

static inline bool divides(const lm_tokenizer *tk, lm_span text, size_t at)
{
    if (!tk->cuts[(uint8_t)text.data[at]] || !at || !settled_before(text, at)) return false;
    return at + 1 == text.len || (uint8_t)text.data[at + 1] < 0x80 || settled_at(text, at + 1);
}

bool lm_divides_at(const lm_tokenizer *tk, lm_span text, size_t at) { return divides(tk, text, at); }

/* The first byte at or behind `at` that is no more than a space.  Of eight bytes, less 0x21 each, those that borrow
 * get a high bit; a borrow may spoil the bytes above it, never the first. */
static inline size_t next_space(lm_span text, size_t at)
{
    const uint64_t each = UINT64_MAX / 255;
    for (uint64_t word; text.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text.data + at, sizeof word);
        word = le64toh(word);
        uint64_t low = (word - each * (' ' + 1)) & ~word & each * 0x80;
        if (low) return at + (size_t)__builtin_ctzll(low) / 8;
    }
    while (at < text.len && (uint8_t)text.data[at] > ' ') at++;
    return at;
}

size_t lm_next_division(const lm_tokenizer *tk, lm_span text, size_t from)
{
    for (size_t at = from + 1; at < text.len && (at = next_space(text, at)) < text.len; at++)
        if (divides(tk, text, at)) return at;
    return text.len;
}
