/* Added tokens in text: the leftmost, and of those the longest.
 *
 * Patterns have few lengths, so a place where some pattern's first byte stands is tried with one hash
 * look-up for each length, longest first.  As in the Hugging Face library, a match that may not stand
 * (a special token in plain text, half a word) is passed over as a whole. */
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

struct lm_added {
    lm_map *patterns;                /* to an index of tokens */
    lm_added_token *tokens;
    int n;
    size_t *lengths;                 /* distinct, descending */
    int n_lengths;
    bool starts[256];                /* first bytes */
    int only_start;                  /* the one there is, or -1 */
    int n_plain;                     /* tokens that are not special */
    lm_str texts;                    /* the patterns, each with a NUL behind it */
    bool strips;                     /* some token looks at what stands beside it */
};

lm_added *lm_added_new(void)
{
    lm_added *added = lm_calloc(1, sizeof *added);
    added->patterns = lm_map_new(16);
    return added;
}

void lm_added_free(lm_added *added)
{
    if (!added) return;
    lm_map_free(added->patterns);
    free(added->tokens);
    free(added->lengths);
    lm_str_free(&added->texts);
    free(added);
}

static void note_length(lm_added *added, size_t length)
{
    int at = 0;
    while (at < added->n_lengths && added->lengths[at] > length) at++;
    if (at < added->n_lengths && added->lengths[at] == length) return;
    added->lengths = lm_realloc(added->lengths, (size_t)(added->n_lengths + 1) * sizeof *added->lengths);
    memmove(added->lengths + at + 1, added->lengths + at, (size_t)(added->n_lengths - at) * sizeof *added->lengths);
    added->lengths[at] = length;
    added->n_lengths++;
}

void lm_added_put(lm_added *added, lm_span pattern, const lm_added_token *token)
{
    if (!pattern.len || !lm_map_put(added->patterns, pattern.data, pattern.len, added->n)) return;
    added->tokens = lm_realloc(added->tokens, (size_t)(added->n + 1) * sizeof *added->tokens);
    added->tokens[added->n++] = *token;
    uint8_t start = (uint8_t)pattern.data[0];
    added->only_start = added->n == 1 || added->only_start == start ? start : -1;
    added->starts[start] = true;
    added->n_plain += !token->special;
    added->strips |= token->lstrip || token->rstrip || token->single_word;
    lm_str_append(&added->texts, pattern.data, pattern.len);
    lm_str_putc(&added->texts, '\0');
    note_length(added, pattern.len);
}

bool lm_added_crosses(const lm_added *added, uint32_t rune)
{
    uint32_t before = 0;             /* the NUL in front of a pattern */
    for (size_t i = 0; i < added->texts.len;) {
        uint32_t here;
        i += (size_t)lm_rune_at(added->texts.data + i, added->texts.len - i, &here);
        if (here == rune && before && before != rune) return true;
        before = here;
    }
    return false;
}

bool lm_added_strips(const lm_added *added) { return added->strips; }

/* ---- the flags of a token ---------------------------------------------------------- */

static size_t last_rune(lm_span text, size_t end, uint32_t *rune)
{
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && ((uint8_t)text.data[begin] & 0xC0) == 0x80) begin--;
    int length = lm_rune_at(text.data + begin, end - begin, rune);
    if (begin + (size_t)length == end) return begin;
    *rune = LM_REPLACEMENT;
    return end - 1;
}

static bool is_word(uint32_t rune) { return lm_rune_is(rune, LM_RUNE_WORD); }

static bool stands_alone(lm_span text, size_t begin, size_t end)
{
    uint32_t rune;
    if (begin > 0 && (last_rune(text, begin, &rune), is_word(rune))) return false;
    if (end < text.len && (lm_rune_at(text.data + end, text.len - end, &rune), is_word(rune))) return false;
    return true;
}

static size_t strip_left(lm_span text, size_t begin, size_t limit)
{
    while (begin > limit) {
        uint32_t rune;
        size_t at = last_rune(text, begin, &rune);
        if (at < limit || !lm_rune_is_space(rune)) break;
        begin = at;
    }
    return begin;
}

static size_t strip_right(lm_span text, size_t end)
{
    while (end < text.len) {
        uint32_t rune;
        int length = lm_rune_at(text.data + end, text.len - end, &rune);
        if (!lm_rune_is_space(rune)) break;
        end += (size_t)length;
    }
    return end;
}

/* ---- search --------------------------------------------------------------------------- */

static const lm_added_token *match_at(const lm_added *added, lm_span text, size_t at, size_t *end)
{
    for (int i = 0; i < added->n_lengths; i++) {
        size_t length = added->lengths[i];
        if (length > text.len - at) continue;
        int64_t index = lm_map_get(added->patterns, text.data + at, length, -1);
        if (index < 0) continue;
        *end = at + length;
        return &added->tokens[index];
    }
    return NULL;
}

/* The next place where a pattern may begin, or the end. */
static size_t next_start(const lm_added *added, lm_span text, size_t at)
{
    if (at == text.len) return at;                       /* an empty text may be NULL */
    if (added->only_start >= 0) {
        const char *found = memchr(text.data + at, added->only_start, text.len - at);
        return found ? (size_t)(found - text.data) : text.len;
    }
    while (at < text.len && !added->starts[(uint8_t)text.data[at]]) at++;
    return at;
}

bool lm_added_find(const lm_added *added, lm_span text, size_t from, bool specials, lm_added_match *match)
{
    if (!(specials ? added->n : added->n_plain)) return false;
    for (size_t at = from; (at = next_start(added, text, at)) < text.len;) {
        size_t end;
        const lm_added_token *token = match_at(added, text, at, &end);
        if (!token) {
            at++;
            continue;
        }
        if ((!token->special || specials) && (!token->single_word || stands_alone(text, at, end))) {
            match->begin = token->lstrip ? strip_left(text, at, from) : at;
            match->end = token->rstrip ? strip_right(text, end) : end;
            match->token = token;
            return true;
        }
        at = end;
    }
    return false;
}
