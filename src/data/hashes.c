#include "data/hashes.h"

#include "base/map.h"
#include "data/words.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------- */

void lm_hashes_reserve(lm_hashes *h, size_t cap)
{
    if (cap <= h->cap) return;
    h->cap = cap + cap / 2 + 64;
    h->items = lm_realloc(h->items, h->cap * sizeof *h->items);
}

static inline void add(lm_hashes *h, uint64_t hash)
{
    if (h->n == h->cap) lm_hashes_reserve(h, h->n + 1);
    h->items[h->n++] = hash;
}

void lm_hashes_put(lm_hashes *h, uint64_t hash) { add(h, hash); }

void lm_hashes_append(lm_hashes *h, const lm_hashes *other)
{
    lm_hashes_reserve(h, h->n + other->n);
    if (other->n) memcpy(h->items + h->n, other->items, other->n * sizeof *h->items);
    h->n += other->n;
}

void lm_hashes_free(lm_hashes *h)
{
    free(h->items);
    *h = (lm_hashes){0};
}

/* ---- sets ----------------------------------------------------------------------- */

void lm_hash_set_clear(lm_hash_set *s, size_t expected)
{
    size_t slots = 64;
    while (slots < 2 * expected) slots *= 2;
    if (slots > s->cap) {
        free(s->slots);
        s->slots = lm_malloc(slots * sizeof *s->slots);
        s->cap = slots;
    }
    memset(s->slots, 0, slots * sizeof *s->slots);
    s->mask = slots - 1;
    s->count = 0;
}

void lm_hash_set_free(lm_hash_set *s)
{
    free(s->slots);
    *s = (lm_hash_set){0};
}

static inline bool put(lm_hash_set *s, uint64_t hash)
{
    size_t i = hash & s->mask;
    for (; s->slots[i]; i = (i + 1) & s->mask)
        if (s->slots[i] == hash) return false;
    s->slots[i] = hash;
    s->count++;
    return true;
}

static void grow(lm_hash_set *s)
{
    lm_hash_set larger = {0};
    lm_hash_set_clear(&larger, s->mask + 1);
    for (size_t i = 0; i <= s->mask; i++)
        if (s->slots[i]) put(&larger, s->slots[i]);
    lm_hash_set_free(s);
    *s = larger;
}

bool lm_hash_set_put(lm_hash_set *s, uint64_t hash)
{
    if (2 * s->count > s->mask) grow(s);
    return put(s, hash + !hash);
}

/* The place where a hash would stand is mostly free or holds the same one, of which the branch that is hard to foretell is
 * made a number; a set that stays thin makes it rare that another is in the way. */
void lm_hashes_distinct(lm_hashes *h, lm_hash_set *set)
{
    lm_hash_set_clear(set, h->n / 2);
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        uint64_t hash = h->items[i] + !h->items[i];
        if (2 * set->count > set->mask) grow(set);
        uint64_t *slot = &set->slots[hash & set->mask], there = *slot;
        bool is_new = !there;
        uint64_t in_the_way = (there ^ hash) & ((uint64_t)is_new - 1);
        h->items[n] = h->items[i];
        if (__builtin_expect(in_the_way != 0, 0)) is_new = put(set, hash);
        else {
            *slot = hash;
            set->count += is_new;
        }
        n += is_new;
    }
    h->n = n;
}

/* ---- sorting -----------------------------------------------------------------
 * Four passes over the highest digits, lowest of them first, leave a list that is sorted but for keys that agree
 * in all of them; insertion puts those right. */

enum { MOST_BITS = 11, PASSES = 4 };         /* an even number of passes ends where it began */

static void insertion(lm_key_pair *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        lm_key_pair now = a[i];
        size_t j = i;
        for (; j && a[j - 1].key > now.key; j--) a[j] = a[j - 1];
        a[j] = now;
    }
}

void lm_sort_pairs(lm_key_pair *a, lm_key_pair *room, size_t n)
{
    const int bits = n < 4096 ? 8 : MOST_BITS;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (int pass = 0; pass < PASSES && n >= 48; pass++) {
        int shift = 64 - bits * (PASSES - pass);
        size_t starts[(size_t)1 << MOST_BITS] = {0};
        for (size_t i = 0; i < n; i++) starts[a[i].key >> shift & mask]++;
        for (size_t d = 0, at = 0; d <= mask; d++) {
            size_t count = starts[d];
            starts[d] = at;
            at += count;
        }
        for (size_t i = 0; i < n; i++) room[starts[a[i].key >> shift & mask]++] = a[i];
        lm_key_pair *other = a;
        a = room;
        room = other;
    }
    insertion(a, n);
}

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
    if (w->filled == w->n) add(out, lm_mix64(w->sum));
}

static void finish(const window *w, lm_hashes *out)
{
    if (w->filled && w->filled < w->n) lm_hashes_put(out, lm_mix64(w->sum + (uint64_t)w->filled));
}

/* Both halves of a product of 128 bits, folded. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = a;
    product *= b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Nearly all words have at most so many bytes.  Read from LONGEST - n on, `whole` masks the first n of them. */
enum { LONGEST = 32 };
#define EIGHT 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF
static const uint8_t whole[2 * LONGEST] = { EIGHT, EIGHT, EIGHT, EIGHT };
#undef EIGHT

static inline uint64_t part(const char *p, size_t n, size_t i)
{
    uint64_t bytes, mask;
    memcpy(&bytes, p + i, sizeof bytes);
    memcpy(&mask, whole + LONGEST - n + i, sizeof mask);
    return bytes & mask;
}

/* Four numbers hold a word, whatever its length, without a branch.  What stands behind it may be read up to `end`. */
static inline uint64_t hash_word(lm_span w, const char *end)
{
    char copy[LONGEST];
    const char *p = w.data;
    if (w.len > LONGEST) return lm_hash(w.data, w.len, 0);
    if ((size_t)(end - p) < sizeof copy) p = memcpy(memset(copy, 0, sizeof copy), w.data, w.len);
    uint64_t first = fold(part(p, w.len, 0) ^ 0xA0761D6478BD642Fu, part(p, w.len, 8) ^ 0xE7037ED1A0B428DBu);
    uint64_t last = fold(part(p, w.len, 16) ^ 0x2D358DCCAA6C78A5u, part(p, w.len, 24) ^ 0x8BB84B93962EACC9u);
    return fold(first ^ 0x8EBC6AF09C88C6E3u, last ^ w.len ^ 0x589965CC75374CC3u);
}

static uint64_t hash_composed(lm_span word, lm_str *room)
{
    lm_str_clear(room);
    lm_unicode_normalise(room, word, LM_NFC);
    return hash_word(lm_span_of(room->data, room->len), room->data + room->len);
}

/* Of words that were found, and of which none is odd, all at once. */
static void put_words(lm_hashes *out, lm_words *w)
{
    const char *text = w->text.data, *end = text + w->text.len;
    const size_t *edges = w->edge_places;
    size_t n = (size_t)w->edges / 2;
    lm_hashes_reserve(out, out->n + n);
    for (size_t i = 0; i < n; i++) out->items[out->n + i] = hash_word(lm_span_of(text + edges[2 * i], edges[2 * i + 1] - edges[2 * i]), end);
    out->n += n;
    w->edge = (int)(2 * n);
}

void lm_hash_words(lm_hashes *out, lm_span text, int n, lm_str *room)
{
    window w = window_of(n);
    lm_words words;
    lm_words_begin(&words, text, room);
    while (lm_words_more(&words)) {
        if (n == 1 && !words.doubts) {
            put_words(out, &words);
            continue;
        }
        for (lm_span word; lm_words_left(&words);) {
            lm_words_next(&words, &word);
            uint64_t hash = words.odd ? hash_composed(word, room) : hash_word(word, text.data + text.len);
            if (n == 1) add(out, hash);
            else push(&w, out, hash);
        }
    }
    if (n > 1) finish(&w, out);
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
