/* The dynamic 8-bit code, which holds the scales of double quantisation.
 *
 * A number is a sign, a run of zeros that counts powers of ten, and a fraction in the bits that are left:
 * decade i of seven has 2^i fractions, the middles of equal parts of [0.1, 1].
 *
 * The nearest entry is looked up by the middle of the cell, of 65536 over [-1, 1], that the number falls
 * into, as bitsandbytes' CPU library does: near zero, where the map is finer than the cells, a code may
 * be a few entries off the nearest one. */
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>

enum { DECADES = 7, RUN = 256, CELLS = 65536 };

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Part i of n equal ones of [0.1, 1], counted from the nearer end. */
static float border(int i, int n)
{
    float step = (1 - 0.1f) / (float)n;
    return i < (n + 1) / 2 ? fmaf(step, (float)i, 0.1f) : fmaf(-step, (float)(n - i), 1);
}

void lm_dynamic_map(float map[256])
{
    int at = 0;
    for (int d = 0; d < DECADES; d++) {
        float power = (float)pow(10, d - DECADES + 1);
        for (int i = 0, n = 1 << d; i < n; i++) {
            float value = power * ((border(i, n) + border(i + 1, n)) / 2);
            map[at++] = value;
            map[at++] = -value;
        }
    }
    map[at++] = 0;
    map[at++] = 1;
    qsort(map, 256, sizeof *map, ascending);
}

static uint8_t entry_at(const float map[256], float x)
{
    int low = 0, high = 255;                     /* the entry lies in [low, high] */
    while (low < high) {
        int middle = (low + high) / 2;
        if ((map[middle] + map[middle + 1]) / 2 < x) low = middle + 1;
        else high = middle;
    }
    return (uint8_t)low;
}

void lm_dynamic_quantise(uint8_t *codes, float *absmax, const float map[256], const float *x, int64_t n)
{
    for (int64_t begin = 0; begin < n; begin += RUN) {
        int64_t end = begin + RUN < n ? begin + RUN : n;
        float most = 0;
        for (int64_t i = begin; i < end; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        absmax[begin / RUN] = most;
        float inverse = most > 0 ? 1 / most : 0;
        for (int64_t i = begin; i < end; i++) {
            float cell = floorf((x[i] * inverse + 1) * (0.5f * (CELLS - 1)) + 0.5f);
            codes[i] = entry_at(map, cell * (2.0f / (CELLS - 1)) - 1);
        }
    }
}
