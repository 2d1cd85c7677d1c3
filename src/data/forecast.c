#include "data/forecast.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>

void lm_forecasts_add(lm_forecasts *f, double p, bool came_true)
{
    if (f->n == f->cap) {
        f->cap = 2 * f->cap + 64;
        f->items = lm_realloc(f->items, (size_t)f->cap * sizeof *f->items);
    }
    f->items[f->n++] = (lm_forecast){ p, came_true };
}

void lm_forecasts_clear(lm_forecasts *f) { f->n = 0; }

void lm_forecasts_free(lm_forecasts *f)
{
    free(f->items);
    *f = (lm_forecasts){0};
}

double lm_forecasts_accuracy(const lm_forecasts *f)
{
    int64_t right = 0;
    for (int64_t i = 0; i < f->n; i++) right += (f->items[i].p > 0.5) == f->items[i].came_true;
    return f->n ? (double)right / (double)f->n : 0;
}

static int by_probability(const void *x, const void *y)
{
    double a = ((const lm_forecast *)x)->p, b = ((const lm_forecast *)y)->p;
    return (a > b) - (a < b);
}

/* Runs of equal p: each that came true beats all that did not below it, and half of those in its run. */
double lm_forecasts_auc(lm_forecasts *f)
{
    double won = 0, below = 0, yes = 0;
    if (f->n) qsort(f->items, (size_t)f->n, sizeof *f->items, by_probability);
    for (int64_t i = 0, end; i < f->n; i = end) {
        double trues = 0;
        for (end = i; end < f->n && f->items[end].p == f->items[i].p; end++) trues += f->items[end].came_true;
        double falses = (double)(end - i) - trues;
        won += trues * (below + falses / 2);
        below += falses;
        yes += trues;
    }
    return yes > 0 && below > 0 ? won / (yes * below) : NAN;
}

double lm_forecasts_calibration(const lm_forecasts *f)
{
    enum { BINS = 10 };
    double gap[BINS] = { 0 }, sum = 0;
    for (int64_t i = 0; i < f->n; i++) {
        int bin = (int)(f->items[i].p * BINS);
        gap[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1] += f->items[i].p - f->items[i].came_true;
    }
    for (int i = 0; i < BINS; i++) sum += fabs(gap[i]);
    return f->n ? sum / (double)f->n : 0;
}
