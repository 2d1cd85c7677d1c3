#include "data/words.h"

#include "data/normal.h"
#include "token/unicode.h"

#include <string.h>

enum { BLOCK = 64, HALF = 32 };

/* What bytes tell: a bit for each that is white space of ASCII, or begins a character that needs a closer look. */
typedef struct marks {
    uint64_t space, doubt;
} marks;

/* Characters that need a look begin with C2 (85, A0), CC..E3, EA before Hangul, or EE and later; see lm_surely_composed. */
static inline bool is_doubtful(uint8_t c, uint8_t next)
{
    if (c < 0xC2) return false;
    if (c == 0xC2) return next == 0x85 || next == 0xA0;
    if (c == 0xE3) return next < 0x84;
    if (c == 0xEA) return next < 0xB0;
    return c >= 0xCC && (c < 0xE4 || c >= 0xEE);
}

/* p has a byte more than the block. */
static marks mark_plain(const uint8_t *p)
{
    marks m = {0};
    for (int i = 0; i < BLOCK; i++) {
        m.space |= (uint64_t)(p[i] == ' ' || (uint8_t)(p[i] - 9) < 5) << i;
        m.doubt |= (uint64_t)is_doubtful(p[i], p[i + 1]) << i;
    }
    return m;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define EACH(x) _mm256_set1_epi8((char)(x))
__attribute__((target("avx2"))) static inline __m256i at_least(__m256i x, uint8_t least) { return _mm256_cmpeq_epi8(_mm256_max_epu8(x, EACH(least)), x); }
__attribute__((target("avx2"))) static inline __m256i at_most(__m256i x, uint8_t most) { return _mm256_cmpeq_epi8(_mm256_min_epu8(x, EACH(most)), x); }

__attribute__((target("avx2"))) static inline void mark_half(const uint8_t *p, uint32_t *space, uint32_t *doubt)
{
    __m256i c = _mm256_loadu_si256((const __m256i *)p);
    __m256i blank = _mm256_or_si256(_mm256_cmpeq_epi8(c, EACH(' ')), at_most(_mm256_sub_epi8(c, EACH(9)), 4));
    *space = (uint32_t)_mm256_movemask_epi8(blank);
    *doubt = 0;
    if (!_mm256_movemask_epi8(c)) return;
    __m256i next = _mm256_loadu_si256((const __m256i *)(p + 1));
    __m256i c2 = _mm256_and_si256(_mm256_cmpeq_epi8(c, EACH(0xC2)), _mm256_or_si256(_mm256_cmpeq_epi8(next, EACH(0x85)), _mm256_cmpeq_epi8(next, EACH(0xA0))));
    __m256i cc = _mm256_and_si256(at_least(c, 0xCC), at_most(c, 0xE2));
    __m256i e3 = _mm256_and_si256(_mm256_cmpeq_epi8(c, EACH(0xE3)), at_most(next, 0x83));
    __m256i ea = _mm256_and_si256(_mm256_cmpeq_epi8(c, EACH(0xEA)), at_most(next, 0xAF));
    __m256i all = _mm256_or_si256(_mm256_or_si256(c2, cc), _mm256_or_si256(_mm256_or_si256(e3, ea), at_least(c, 0xEE)));
    *doubt = (uint32_t)_mm256_movemask_epi8(all);
}

__attribute__((target("avx2"))) static marks mark_avx2(const uint8_t *p)
{
    uint32_t space[2], doubt[2];
    mark_half(p, &space[0], &doubt[0]);
    mark_half(p + HALF, &space[1], &doubt[1]);
    return (marks){ space[0] | (uint64_t)space[1] << HALF, doubt[0] | (uint64_t)doubt[1] << HALF };
}

static marks mark(const uint8_t *p) { return (__builtin_cpu_supports("avx2") ? mark_avx2 : mark_plain)(p); }
#else
static marks mark(const uint8_t *p) { return mark_plain(p); }
#endif

/* Decodes what is in doubt: it becomes white space, perhaps into the next block, or stays in doubt where it may not be composed. */
static void settle(lm_words *w, marks *m, size_t base)
{
    for (uint64_t left = m->doubt; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        const char *p = w->text.data + base + i;
        uint32_t rune;
        int n = lm_rune_at(p, w->text.len - base - (size_t)i, &rune);
        bool space = lm_rune_is_space(rune);
        if (space) {
            m->space |= (((uint64_t)1 << n) - 1) << i;
            if (i + n > BLOCK) w->carried = (unsigned)(i + n - BLOCK);
        }
        if (space || !w->compose || lm_surely_composed(lm_span_of(p, (size_t)n))) m->doubt ^= left & -left;
    }
}

void lm_words_begin(lm_words *w, lm_span text, bool compose) { *w = (lm_words){ .text = text, .compose = compose, .space = true }; }

bool lm_words_block(lm_words *w)
{
    size_t left = w->at < w->text.len ? w->text.len - w->at : 0;
    if (!left && w->space) return false;
    const uint8_t *p = (const uint8_t *)w->text.data + w->at;
    uint8_t last[BLOCK + 1];
    if (left <= BLOCK) {
        memset(last, ' ', sizeof last);                  /* a word ends where the text does */
        if (left) memcpy(last, p, left);
        p = last;
    }
    marks m = mark(p);
    if (w->carried) m.space |= ((uint64_t)1 << w->carried) - 1;
    w->carried = 0;
    if (m.doubt) settle(w, &m, w->at);
    w->edges = m.space ^ (m.space << 1 | w->space);
    w->doubts = m.doubt;
    w->space = m.space >> (BLOCK - 1);
    w->at += BLOCK;
    return true;
}
