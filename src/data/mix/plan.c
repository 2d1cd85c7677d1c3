#include "data/mix.h"

#include "data/hashes.h"

#include <math.h>
#include <stdlib.h>

static double weight_of(const lm_mix *m, const lm_mix_stage *stage, int i)
{
    if (stage->weights) return stage->weights[i];
    return m->sources[i].weight > 0 ? m->sources[i].weight : 1;
}

static bool by_sizes(const lm_mix *m, const lm_mix_stage *stage)
{
    bool given = stage->weights;
    for (int i = 0; i < m->n_sources; i++) given |= m->sources[i].weight > 0;
    return stage->rule == LM_MIX_SIZES || (stage->rule == LM_MIX_AUTO && !given);
}

lm_status lm_mix_rates(double *rates, const lm_mix *m, const lm_mix_stage *stage, const int64_t *sizes, lm_err *err)
{
    double fixed = 0, sum = 0;
    bool sized = by_sizes(m, stage);
    for (int i = 0; i < m->n_sources; i++) {
        const lm_mix_source *s = &m->sources[i];
        int64_t size = stage->cap && stage->cap < sizes[i] ? stage->cap : sizes[i];
        rates[i] = s->share > 0 ? 0 : weight_of(m, stage, i) * (sized ? pow((double)size, 1 / stage->temperature) : 1);
        sum += rates[i];
        fixed += s->share;
    }
    if (fixed > 1 + 1e-9) return lm_fail(err, LM_E_USAGE, "stage %s: fixed shares sum to %g%%, more than all", stage->name, 100 * fixed);
    if (sum > 0 && fixed > 1 - 1e-9) return lm_fail(err, LM_E_USAGE, "stage %s: fixed shares leave nothing for the other sources", stage->name);
    if (!(sum > 0) && fixed < 1 - 1e-9) return lm_fail(err, LM_E_USAGE, "stage %s: fixed shares sum to %g%%, and no source gives the rest", stage->name, 100 * fixed);
    for (int i = 0; i < m->n_sources; i++) rates[i] = m->sources[i].share > 0 ? m->sources[i].share / (sum > 0 ? 1 : fixed) : rates[i] / sum * (1 - fixed);
    return LM_OK;
}

void lm_mix_counts(int64_t *counts, const double *rates, int n, int64_t rows)
{
    lm_key_pair *rests = lm_malloc(2 * (size_t)n * sizeof *rests + 1);
    int64_t left = rows;
    for (int i = 0; i < n; i++) {
        double exact = rates[i] * (double)rows;
        counts[i] = (int64_t)exact;
        rests[i] = (lm_key_pair){ .key = ~(uint64_t)((exact - (double)counts[i]) * 0x1p62), .value = (uint64_t)i };      /* the greatest rest first */
        left -= counts[i];
    }
    lm_sort_pairs(rests, rests + n, (size_t)n);
    for (int i = 0; left > 0; i = (i + 1) % n) {
        if (rates[rests[i].value] <= 0) continue;
        counts[rests[i].value]++;
        left--;
    }
    free(rests);
}

int64_t lm_mix_most(const double *rates, const int64_t *left, int n)
{
    double most = 0x1p62;
    int64_t *counts = lm_malloc((size_t)n * sizeof *counts + 1), sum = 0;
    for (int i = 0; i < n; i++) {
        sum += left[i];
        if (rates[i] > 0 && (double)left[i] / rates[i] < most) most = (double)left[i] / rates[i];
    }
    most = most * (1 + 1e-12) + 1e-9;                    /* 7 / (1/3) is 21 */
    int64_t rows = most < (double)sum ? (int64_t)most : sum;
    for (bool fits = false; rows > 0 && !fits; rows -= !fits) {
        lm_mix_counts(counts, rates, n, rows);
        fits = true;
        for (int i = 0; i < n; i++) fits &= counts[i] <= left[i];
    }
    free(counts);
    return rows;
}

static int64_t filled(const int64_t *left, int n, int64_t level)
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++) sum += left[i] < level ? left[i] : level;
    return sum;
}

void lm_mix_level(int64_t *counts, const int64_t *left, int n, int64_t rows)
{
    int64_t low = 0, high = rows;                        /* the highest level that needs no more than `rows` */
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (filled(left, n, middle) <= rows) low = middle;
        else high = middle - 1;
    }
    int64_t more = rows - filled(left, n, low);
    for (int i = 0; i < n; i++) {
        bool one = more > 0 && left[i] > low;
        counts[i] = (left[i] < low ? left[i] : low) + one;
        more -= one;
    }
}
