#include "data/kappa.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>

static double kappa(double observed, double expected) { return expected < 1 ? (observed - expected) / (1 - expected) : NAN; }

double lm_cohen_kappa(const int32_t *a, const int32_t *b, int64_t n, int32_t k)
{
    int64_t *given = lm_calloc(2 * (size_t)k + 1, sizeof *given), alike = 0;
    double chance = 0, items = (double)n;
    for (int64_t i = 0; i < n; i++) {
        given[a[i]]++;
        given[k + b[i]]++;
        alike += a[i] == b[i];
    }
    for (int32_t j = 0; j < k; j++) chance += (double)given[j] / items * ((double)given[k + j] / items);
    free(given);
    return n ? kappa((double)alike / items, chance) : NAN;
}

double lm_fleiss_kappa(const int32_t *labels, int64_t n, int64_t raters, int32_t k)
{
    int64_t *here = lm_calloc(2 * (size_t)k + 1, sizeof *here), *all = here + k;
    double agreed = 0, chance = 0, pairs = (double)raters * (double)(raters - 1), given = (double)n * (double)raters;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < raters; j++) here[labels[i * raters + j]]++;
        for (int32_t j = 0; j < k; j++) {
            agreed += (double)here[j] * (double)(here[j] - 1) / pairs;
            all[j] += here[j];
            here[j] = 0;
        }
    }
    for (int32_t j = 0; j < k; j++) chance += (double)all[j] / given * ((double)all[j] / given);
    free(here);
    return n ? kappa(agreed / (double)n, chance) : NAN;
}
