#include "token/words.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 };

static char *keep(lm_words *w, lm_span word)
{
    if (!w->n_blocks || w->block_size - w->block_used < word.len) {
        w->blocks = lm_realloc(w->blocks, (w->n_blocks + 1) * sizeof *w->blocks);
        w->block_size = word.len > BLOCK ? word.len : BLOCK;
        w->blocks[w->n_blocks++] = lm_malloc(w->block_size);
        w->block_used = 0;
    }
    char *copy = w->blocks[w->n_blocks - 1] + w->block_used;
    memcpy(copy, word.data, word.len);
    w->block_used += word.len;
    return copy;
}

static void grow(lm_words *w)
{
    size_t size = w->slots ? (w->mask + 1) * 2 : 1024;
    lm_word *slots = lm_calloc(size, sizeof *slots);
    for (size_t i = 0; w->slots && i <= w->mask; i++) {
        if (!w->slots[i].data) continue;
        size_t at = w->slots[i].hash & (size - 1);
        while (slots[at].data) at = (at + 1) & (size - 1);
        slots[at] = w->slots[i];
    }
    free(w->slots);
    w->slots = slots;
    w->mask = size - 1;
}

void lm_words_add(lm_words *w, lm_span word, int64_t count)
{
    if (!w->slots || w->n * 2 > w->mask) grow(w);
    uint32_t hash = (uint32_t)lm_hash(word.data, word.len, 0);
    size_t at = hash & w->mask;
    for (; w->slots[at].data; at = (at + 1) & w->mask) {
        lm_word *slot = &w->slots[at];
        if (slot->hash == hash && slot->len == word.len && !memcmp(slot->data, word.data, word.len)) {
            slot->count += count;
            w->total += count;
            return;
        }
    }
    w->slots[at] = (lm_word){ .data = keep(w, word), .len = (uint32_t)word.len, .hash = hash, .count = count };
    w->n++;
    w->total += count;
}

void lm_words_merge(lm_words *into, lm_words *from)
{
    for (size_t i = 0; from->slots && i <= from->mask; i++)
        if (from->slots[i].data) lm_words_add(into, lm_span_of(from->slots[i].data, from->slots[i].len), from->slots[i].count);
    lm_words_free(from);
}

static int64_t least_that_stays(const lm_words *w, size_t most)
{
    enum { COUNTS = 1 << 16 };                           /* at COUNTS occurrences and more a word stays */
    size_t *having = lm_calloc(COUNTS, sizeof *having), staying = w->n;
    for (size_t i = 0; i <= w->mask; i++)
        if (w->slots[i].data && w->slots[i].count < COUNTS) having[w->slots[i].count]++;
    int64_t least = 0;
    while (staying > most && least < COUNTS) staying -= having[least++];
    free(having);
    return least;
}

size_t lm_words_prune(lm_words *w, size_t most)
{
    if (w->n <= most) return 0;
    int64_t least = least_that_stays(w, most);
    lm_words kept = {0};
    for (size_t i = 0; i <= w->mask; i++)
        if (w->slots[i].data && w->slots[i].count >= least) lm_words_add(&kept, lm_span_of(w->slots[i].data, w->slots[i].len), w->slots[i].count);
    size_t dropped = w->n - kept.n;
    lm_words_free(w);
    *w = kept;
    return dropped;
}

void lm_words_free(lm_words *w)
{
    for (size_t i = 0; i < w->n_blocks; i++) free(w->blocks[i]);
    free(w->blocks);
    free(w->slots);
    *w = (lm_words){0};
}

static int by_bytes(const void *a, const void *b)
{
    const lm_word *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

lm_word *lm_words_sorted(const lm_words *w)
{
    lm_word *list = lm_malloc(w->n * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; w->slots && i <= w->mask; i++)
        if (w->slots[i].data) list[n++] = w->slots[i];
    if (n) qsort(list, n, sizeof *list, by_bytes);
    return list;
}
