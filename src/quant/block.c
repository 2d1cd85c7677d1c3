/* A block of numbers becomes codes and one scale.
 *
 * The nearest level is found among the midpoints of neighbours; a number on a midpoint takes the lower
 * one.  What is divided and what is multiplied by a reciprocal, and that both happen in f32, decides
 * about numbers beside a midpoint: it is done as bitsandbytes (0.50, on a CPU) does it. */
#include "quant/quant.h"

#include <math.h>

static const float least_scale = 1e-38f;

static float absmax_of(const float *x, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* ---- four bits ---- */

/* The levels in ascending order, as codes, and the midpoints between them. */
typedef struct ladder {
    uint8_t code[16];
    float bound[15];
} ladder;

/* Insertion keeps the order of the two zeros of FP4. */
static ladder ladder_of(const float level[16])
{
    ladder l;
    for (int i = 0; i < 16; i++) {
        int at = i;
        for (; at > 0 && level[l.code[at - 1]] > level[i]; at--) l.code[at] = l.code[at - 1];
        l.code[at] = (uint8_t)i;
    }
    for (int i = 0; i < 15; i++) l.bound[i] = (level[l.code[i]] + level[l.code[i + 1]]) / 2;
    return l;
}

/* By halves: as many levels lie below as bounds are smaller. */
static uint8_t nearest(const ladder *l, float x)
{
    int i = (l->bound[7] < x) << 3;
    i += (l->bound[i + 3] < x) << 2;
    i += (l->bound[i + 1] < x) << 1;
    return l->code[i + (l->bound[i] < x)];
}

static float clamp(float x) { return x < -1 ? -1 : x > 1 ? 1 : x; }

static float four_bits(const ladder *l, uint8_t *codes, const float *x, int64_t n, bool whole)
{
    float absmax = absmax_of(x, n), scale = absmax > least_scale ? absmax : least_scale, inverse = 1 / scale;
    for (int64_t i = 0; i < n; i += 2) {
        uint8_t pair[2];
        for (int j = 0; j < 2; j++) {
            float y = i + j >= n ? 0 : whole ? x[i + j] * inverse : x[i + j] / scale;
            pair[j] = nearest(l, clamp(y));
        }
        codes[i / 2] = (uint8_t)(pair[0] << 4 | pair[1]);
    }
    return whole ? absmax : scale;
}

/* ---- eight bits ---- */

static float eight_bits(int8_t *codes, const float *x, int64_t n)
{
    float absmax = absmax_of(x, n), inverse = absmax > 0 ? 127 / absmax : 0;
    for (int64_t i = 0; i < n; i++) codes[i] = (int8_t)nearbyintf(x[i] * inverse);
    return absmax;
}

void lm_quantise_blocks(const lm_quant *q, uint8_t *codes, float *absmax, int64_t begin, const float *x, int64_t n)
{
    ladder l = ladder_of(q->level);
    for (int64_t i = 0; i < n; i += q->block, absmax++) {
        int64_t count = n - i < q->block ? n - i : q->block;
        if (q->bits == 8) *absmax = eight_bits((int8_t *)codes + begin + i, x + i, count);
        else *absmax = four_bits(&l, codes + (begin + i) / 2, x + i, count, count == q->block);
    }
}
