#include "data/hashes.h"

#include "base/map.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------- */

void lm_hashes_reserve(lm_hashes *h, size_t cap)
{
    if (cap <= h->cap) return;
    h->cap = cap + cap / 2 + 64;
    h->items = lm_realloc(h->items, h->cap * sizeof *h->items);
    free(h->room);
    h->room = NULL;
}

void lm_hashes_put(lm_hashes *h, uint64_t hash)
{
    lm_hashes_reserve(h, h->n + 1);
    h->items[h->n++] = hash;
}

void lm_hashes_free(lm_hashes *h)
{
    free(h->items);
    free(h->room);
    *h = (lm_hashes){0};
}

void lm_hashes_unique(lm_hashes *h)
{
    if (h->n < 2) return;
    if (!h->room) h->room = lm_malloc(h->cap * sizeof *h->room);
    lm_sort_keys(h->items, h->room, h->n);
    size_t n = 1;
    for (size_t i = 1; i < h->n; i++)
        if (h->items[i] != h->items[n - 1]) h->items[n++] = h->items[i];
    h->n = n;
}

size_t lm_hashes_common(const uint64_t *a, size_t n, const uint64_t *b, size_t m)
{
    size_t common = 0;
    for (size_t i = 0, j = 0; i < n && j < m;) {
        uint64_t x = a[i], y = b[j];
        common += x == y;
        i += x <= y;
        j += y <= x;
    }
    return common;
}

/* ---- sorting -----------------------------------------------------------------
 * Four passes over the highest digits, lowest of them first, leave a list that is sorted but for keys that agree
 * in all of them; insertion puts those right. */

enum { MOST_BITS = 11, PASSES = 4 };         /* an even number of passes ends where it began */

static inline __attribute__((always_inline)) void insertion(uint64_t *a, size_t n, const size_t words)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t now[2];
        memcpy(now, a + i * words, words * sizeof *a);
        size_t j = i;
        for (; j && a[(j - 1) * words] > now[0]; j--) memcpy(a + j * words, a + (j - 1) * words, words * sizeof *a);
        if (j < i) memcpy(a + j * words, now, words * sizeof *a);
    }
}

static inline __attribute__((always_inline)) void sort(uint64_t *a, uint64_t *room, size_t n, const size_t words)
{
    if (n < 48) {
        insertion(a, n, words);
        return;
    }
    const int bits = n < 4096 ? 8 : MOST_BITS;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (int pass = 0; pass < PASSES; pass++) {
        int shift = 64 - bits * (PASSES - pass);
        size_t starts[(size_t)1 << MOST_BITS] = {0};
        for (size_t i = 0; i < n; i++) starts[a[i * words] >> shift & mask]++;
        for (size_t d = 0, at = 0; d <= mask; d++) {
            size_t count = starts[d];
            starts[d] = at;
            at += count;
        }
        for (size_t i = 0; i < n; i++) memcpy(room + starts[a[i * words] >> shift & mask]++ * words, a + i * words, words * sizeof *a);
        uint64_t *other = a;
        a = room;
        room = other;
    }
    insertion(a, n, words);
}

void lm_sort_keys(uint64_t *keys, uint64_t *room, size_t n) { sort(keys, room, n, 1); }
void lm_sort_pairs(lm_key_pair *pairs, lm_key_pair *room, size_t n) { sort((uint64_t *)pairs, (uint64_t *)room, n, 2); }

/* ---- n-grams ----------------------------------------------------------------- */

static const uint64_t BASE = 0x9E3779B97F4A7C15u;

/* The last n hashes, and their polynomial. */
typedef struct window {
    uint64_t ring[64], sum, highest;     /* highest: BASE^n */
    int n, filled, at;
} window;

static window window_of(int n)
{
    window w = { .n = n < 1 ? 1 : n > 64 ? 64 : n, .highest = 1 };
    for (int i = 0; i < w.n; i++) w.highest *= BASE;
    return w;
}

static inline void push(window *w, lm_hashes *out, uint64_t hash)
{
    bool full = w->filled == w->n;
    w->sum = w->sum * BASE + hash - (full ? w->ring[w->at] * w->highest : 0);
    w->ring[w->at] = hash;
    w->at = w->at + 1 == w->n ? 0 : w->at + 1;
    w->filled += !full;
    if (w->filled == w->n) lm_hashes_put(out, lm_mix64(w->sum));
}

static void finish(const window *w, lm_hashes *out)
{
    if (w->filled && w->filled < w->n) lm_hashes_put(out, lm_mix64(w->sum + (uint64_t)w->filled));
}

/* Where the white space, or the word, that begins at i ends. */
static size_t run_of(lm_span text, size_t i, bool space)
{
    while (i < text.len) {
        unsigned char c = (unsigned char)text.data[i];
        uint32_t rune = c;
        int length = c < 0x80 ? 1 : c >= 0xE4 && c < 0xEF && i + 3 <= text.len ? 3 : lm_rune_at(text.data + i, text.len - i, &rune);
        bool is_space = length == 3 && c >= 0xE4 ? false : lm_rune_is_space(rune);     /* none from U+4000 to U+EFFF */
        if (is_space != space) break;
        i += (size_t)length;
    }
    return i;
}

void lm_hash_words(lm_hashes *out, lm_span text, int n)
{
    window w = window_of(n);
    for (size_t at = run_of(text, 0, true); at < text.len;) {
        size_t end = run_of(text, at, false);
        push(&w, out, lm_hash(text.data + at, end - at, 0));
        at = run_of(text, end, true);
    }
    finish(&w, out);
}

void lm_hash_runes(lm_hashes *out, lm_span text, int n)
{
    window w = window_of(n);
    for (size_t at = 0; at < text.len;) {
        uint32_t rune;
        at += (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        push(&w, out, lm_mix64(rune + BASE));
    }
    finish(&w, out);
}
