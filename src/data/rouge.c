#include "data/rouge.h"

#include "data/normal.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

const char *const lm_rouge_units[] = { "mixed", "word", "char", NULL };

/* ---- tokens ---- */

static const unsigned WORDLY = LM_LETTERS | LM_MARKS | LM_NUMBERS;

/* Characters that are as much as a word, or a part of one that changes with its place. */
static bool stands_alone(uint32_t r)
{
    return (r >= 0xAC00 && r <= 0xD7A3) || (r >= 0x1100 && r <= 0x11FF) || (r >= 0x3040 && r <= 0x30FF) || (r >= 0x3131 && r <= 0x318E)
        || (r >= 0x3400 && r <= 0x9FFF) || (r >= 0xF900 && r <= 0xFAFF) || (r >= 0x20000 && r <= 0x3FFFF);
}

void lm_rouge_text_free(lm_rouge_text *t)
{
    free(t->ids);
    *t = (lm_rouge_text){0};
}

static void put_token(lm_rouge_text *out, lm_map *vocabulary, lm_span token, bool grow)
{
    int64_t id = lm_map_get(vocabulary, token.data, token.len, -1);
    if (id < 0 && grow) lm_map_put(vocabulary, token.data, token.len, id = (int64_t)lm_map_count(vocabulary));
    if (out->n == out->cap) {
        out->cap = out->cap ? 2 * out->cap : 32;
        out->ids = lm_realloc(out->ids, (size_t)out->cap * sizeof *out->ids);
    }
    out->ids[out->n++] = (int32_t)id;
}

void lm_rouge_tokens(lm_rouge_text *out, lm_map *vocabulary, lm_span text, lm_rouge_unit unit, bool grow)
{
    lm_str normal = {0}, room = {0};
    size_t from = 0, i = 0;
    out->n = 0;
    text = lm_normal_text(&normal, &room, text, LM_NORMAL_NFC | LM_NORMAL_CASE);
    while (i < text.len) {
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        bool wordly = lm_rune_in(rune, WORDLY);
        bool mark = lm_rune_in(rune, LM_MARKS) && i > from;              /* stays with its letter */
        bool alone = wordly && !mark && (unit == LM_ROUGE_CHAR || (unit == LM_ROUGE_MIXED && stands_alone(rune)));
        if ((!wordly || alone) && i > from) put_token(out, vocabulary, lm_span_of(text.data + from, i - from), grow);
        if (alone && unit == LM_ROUGE_MIXED) put_token(out, vocabulary, lm_span_of(text.data + i, n), grow);
        if (!wordly || (alone && unit == LM_ROUGE_MIXED)) from = i + n;
        else if (alone) from = i;
        i += n;
    }
    if (i > from) put_token(out, vocabulary, lm_span_of(text.data + from, i - from), grow);
    lm_str_free(&normal);
    lm_str_free(&room);
}

/* ---- longest common subsequence ---- */

static uint32_t spread(int32_t id) { return (uint32_t)id * 0x9E3779B1u; }

/* The slot of a token, or the free one where it would stand. */
static int64_t slot_of(const lm_lcs *lcs, int32_t id)
{
    int64_t i = (int64_t)(spread(id) >> 8) & (lcs->slots - 1);
    while (lcs->keys[i] >= 0 && lcs->keys[i] != id) i = (i + 1) & (lcs->slots - 1);
    return i;
}

static void make_room(lm_lcs *lcs, int64_t n)
{
    lcs->n = n;
    lcs->words = (n + 63) / 64;
    lcs->slots = 16;
    while (lcs->slots < 2 * n) lcs->slots *= 2;
    int64_t room = lcs->slots * (lcs->words + 1);
    if (room > lcs->room) {
        lcs->room = room;
        lcs->keys = lm_realloc(lcs->keys, (size_t)lcs->slots * sizeof *lcs->keys);
        lcs->masks = lm_realloc(lcs->masks, (size_t)room * sizeof *lcs->masks);
        lcs->row = lm_realloc(lcs->row, (size_t)(lcs->words + 1) * sizeof *lcs->row);
    }
    memset(lcs->keys, 0xFF, (size_t)lcs->slots * sizeof *lcs->keys);
}

void lm_lcs_begin(lm_lcs *lcs, const int32_t *ids, int64_t n)
{
    make_room(lcs, n);
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0) continue;
        int64_t slot = slot_of(lcs, ids[i]);
        uint64_t *mask = lcs->masks + slot * lcs->words;
        if (lcs->keys[slot] < 0) memset(mask, 0, (size_t)lcs->words * sizeof *mask);
        lcs->keys[slot] = ids[i];
        mask[i / 64] |= (uint64_t)1 << (i % 64);
    }
}

/* A bit of the row is 0 where the table of lengths steps up; one row for each token of the other text:
 * V <- (V + (V & M)) | (V & ~M). */
int64_t lm_lcs_length(lm_lcs *lcs, const int32_t *ids, int64_t n)
{
    int64_t length = 0;
    if (!lcs->n) return 0;
    memset(lcs->row, 0xFF, (size_t)lcs->words * sizeof *lcs->row);
    for (int64_t j = 0; j < n; j++) {
        int64_t slot = ids[j] < 0 ? -1 : slot_of(lcs, ids[j]);
        if (slot < 0 || lcs->keys[slot] < 0) continue;
        const uint64_t *mask = lcs->masks + slot * lcs->words;
        uint64_t carry = 0;
        for (int64_t w = 0; w < lcs->words; w++) {
            uint64_t v = lcs->row[w], u = v & mask[w], sum = v + u, all = sum + carry;
            carry = (sum < v) | (all < sum);
            lcs->row[w] = all | (v & ~mask[w]);
        }
    }
    for (int64_t w = 0; w < lcs->words; w++) {
        uint64_t within = w < lcs->words - 1 || lcs->n % 64 == 0 ? ~(uint64_t)0 : ((uint64_t)1 << (lcs->n % 64)) - 1;
        length += __builtin_popcountll(~lcs->row[w] & within);
    }
    return length;
}

void lm_lcs_free(lm_lcs *lcs)
{
    free(lcs->keys), free(lcs->masks), free(lcs->row);
    *lcs = (lm_lcs){0};
}

lm_rouge lm_rouge_l(int64_t lcs, int64_t candidate, int64_t reference)
{
    if (!candidate || !reference) return (lm_rouge){0};
    return (lm_rouge){ .precision = (double)lcs / (double)candidate, .recall = (double)lcs / (double)reference, .f = 2.0 * (double)lcs / (double)(candidate + reference) };
}
