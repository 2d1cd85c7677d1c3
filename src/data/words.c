#include "data/words.h"

#include "data/normal.h"
#include "token/unicode.h"

#include <string.h>

enum { BLOCK = 64, HALF = 32, BEHIND = 2 };              /* BEHIND: bytes behind a block that are looked at with it */

#define INLINE __attribute__((always_inline)) static inline

/* What bytes tell: a bit for each that is white space of ASCII, or begins a character that needs a closer look: C2, CC..E3,
 * EA before Hangul, or EE and later; see lm_surely_composed. */
typedef struct marks {
    uint64_t space, doubt;
} marks;

INLINE marks mark_plain(const uint8_t *p)
{
    marks m = {0};
    for (int i = 0; i < BLOCK; i++) {
        m.space |= (uint64_t)(p[i] == ' ' || (uint8_t)(p[i] - 9) < 5) << i;
        m.doubt |= (uint64_t)(p[i] == 0xC2 || (uint8_t)(p[i] - 0xCC) < 0x18 || (p[i] == 0xEA && p[i + 1] < 0xB0) || p[i] >= 0xEE) << i;
    }
    return m;
}

/* Whether three bytes leave a doubt.  They do not for those that are frequent: dots and signs of Latin (C2), signs in
 * rings and lines (E2 85..AA but for 8C), brackets (E3 80 81..A9) and all from U+3100 on (E3 84). */
static inline bool is_doubtful(const uint8_t *p)
{
    if (p[0] == 0xC2) return p[1] == 0x85 || p[1] == 0xA0;
    if (p[0] == 0xE2) return p[1] < 0x85 || p[1] > 0xAA || p[1] == 0x8C;
    if (p[0] == 0xE3) return p[1] < 0x84 && !(p[1] == 0x80 && p[2] > 0x80 && p[2] < 0xAA);
    return true;
}

/* Decodes what is in doubt: it becomes white space, perhaps into the next block, or stays in doubt where it may not be
 * composed.  `block` are the bytes that were marked. */
static void settle(lm_words *w, marks *m, const uint8_t *block)
{
    for (uint64_t left = m->doubt; left; left &= left - 1) {
        int i = __builtin_ctzll(left), n = 0;
        uint32_t rune;
        const char *p = w->text.data + w->at + i;
        bool space = false;
        if (is_doubtful(block + i)) {
            n = lm_rune_at(p, w->text.len - w->at - (size_t)i, &rune);
            space = lm_rune_is_space(rune);
        }
        if (space) {
            m->space |= (((uint64_t)1 << n) - 1) << i;
            if (i + n > BLOCK) w->carried = (unsigned)(i + n - BLOCK);
        }
        if (!n || space || !w->compose || lm_surely_composed(lm_span_of(p, (size_t)n))) m->doubt ^= left & -left;
    }
}

/* Writes down where the bits are.  Four at a time, whether there are as many or not: there is room for all of a block.
 * (The empty statement keeps gcc from gathering them in a vector, which takes longer.) */
INLINE void put_edges(lm_words *w, uint64_t bits)
{
    size_t *out = w->edge_places + w->edges;
    w->edges += __builtin_popcountll(bits);
    size_t at = w->at;
    for (; bits; out += 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            size_t place = at + (size_t)__builtin_ctzll(bits | (uint64_t)1 << (BLOCK - 1));
            __asm__("" : "+r"(place));
            out[i] = place;
            bits &= bits - 1;
        }
    }
}

static void put_doubts(lm_words *w, uint64_t bits)
{
    for (; bits; bits &= bits - 1) w->doubt_places[w->doubts++] = w->at + (size_t)__builtin_ctzll(bits);
    w->doubt_places[w->doubts] = SIZE_MAX;
}

/* The next 64 bytes; false at the end. */
INLINE bool look_at_block(lm_words *w, marks (*mark)(const uint8_t *))
{
    size_t left = w->at < w->text.len ? w->text.len - w->at : 0;
    if (!left && w->space) return false;
    const uint8_t *p = (const uint8_t *)w->text.data + w->at;
    uint8_t last[BLOCK + BEHIND];
    if (left < sizeof last) {
        memset(last, ' ', sizeof last);                  /* a word ends where the text does */
        if (left) memcpy(last, p, left);
        p = last;
    }
    marks m = mark(p);
    if (w->carried) m.space |= ((uint64_t)1 << w->carried) - 1;
    w->carried = 0;
    if (m.doubt) settle(w, &m, p);
    put_edges(w, m.space ^ (m.space << 1 | w->space));
    if (m.doubt) put_doubts(w, m.doubt);
    w->space = m.space >> (BLOCK - 1);
    w->at += BLOCK;
    return true;
}

INLINE void look_further(lm_words *w, marks (*mark)(const uint8_t *))
{
    while (w->edges <= LM_WORDS_EDGES - BLOCK - 4 && w->doubts <= LM_WORDS_DOUBTS - BLOCK && look_at_block(w, mark)) {}
}

static void look_plain(lm_words *w) { look_further(w, mark_plain); }

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define EACH(x) _mm256_set1_epi8((char)(x))
#define IS(x, c) _mm256_cmpeq_epi8(x, EACH(c))
AVX2 static inline __m256i within(__m256i x, uint8_t first, uint8_t last)
{
    __m256i from = _mm256_sub_epi8(x, EACH(first));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(from, EACH(last - first)), from);
}

AVX2 static inline void mark_half(const uint8_t *p, uint32_t *space, uint32_t *doubt)
{
    __m256i c = _mm256_loadu_si256((const __m256i *)p), next = _mm256_loadu_si256((const __m256i *)(p + 1));
    __m256i ea = _mm256_and_si256(IS(c, 0xEA), _mm256_cmpgt_epi8(EACH(0xB0), next));
    __m256i rare = _mm256_or_si256(_mm256_or_si256(IS(c, 0xC2), within(c, 0xCC, 0xE3)), within(c, 0xEE, 0xFF));
    *space = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(IS(c, ' '), within(c, 9, 13)));
    *doubt = (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(ea, rare));
}

AVX2 static inline marks mark_avx2(const uint8_t *p)
{
    uint32_t space[2], doubt[2];
    mark_half(p, &space[0], &doubt[0]);
    mark_half(p + HALF, &space[1], &doubt[1]);
    return (marks){ space[0] | (uint64_t)space[1] << HALF, doubt[0] | (uint64_t)doubt[1] << HALF };
}

AVX2 static void look_avx2(lm_words *w) { look_further(w, mark_avx2); }

static void look(lm_words *w) { (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt") ? look_avx2 : look_plain)(w); }
#else
static void look(lm_words *w) { look_plain(w); }
#endif

void lm_words_begin(lm_words *w, lm_span text, bool compose)
{
    w->text = text;
    w->compose = compose;
    w->odd = false;
    w->at = 0;
    w->carried = 0;
    w->space = true;
    w->edge = w->edges = w->doubt = w->doubts = 0;
    w->doubt_places[0] = SIZE_MAX;
}

/* Of what was written down, the beginning of a word may be left, and odd characters in it. */
bool lm_words_more(lm_words *w)
{
    for (;;) {
        w->edges -= w->edge;
        memmove(w->edge_places, w->edge_places + w->edge, (size_t)w->edges * sizeof *w->edge_places);
        w->doubts -= w->doubt;
        memmove(w->doubt_places, w->doubt_places + w->doubt, ((size_t)w->doubts + 1) * sizeof *w->doubt_places);
        w->edge = w->doubt = 0;
        size_t at = w->at;
        if (w->doubts > 1) w->doubts = 1, w->doubt_places[1] = SIZE_MAX;     /* one makes the word odd */
        look(w);
        if (w->edges >= 2 || w->at == at) return w->edges >= 2;
    }
}
