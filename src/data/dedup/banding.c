#include "data/dedup/banding.h"

#include <math.h>
#include <stdbool.h>

double lm_banding_meet(int bands, int rows, double s) { return 1 - pow(1 - pow(s, rows), bands); }

/* Simpson's rule over P, whose curve is smooth. */
static double integral(int bands, int rows, double from, double to)
{
    enum { STEPS = 64 };
    double h = (to - from) / STEPS, sum = lm_banding_meet(bands, rows, from) + lm_banding_meet(bands, rows, to);
    for (int i = 1; i < STEPS; i++) sum += (i & 1 ? 4 : 2) * lm_banding_meet(bands, rows, from + i * h);
    return sum * h / 3;
}

lm_banding lm_banding_choose(int permutations, double threshold, double miss)
{
    lm_banding best = { 0 };
    for (int rows = 1; rows <= permutations; rows++) {
        int bands = permutations / rows;     /* fewer would only miss more */
        lm_banding now = { .bands = bands, .rows = rows, .missed = 1 - lm_banding_meet(bands, rows, threshold) };
        now.met_below = integral(bands, rows, 0, threshold);
        now.missed_above = 1 - threshold - integral(bands, rows, threshold, 1);
        bool better = !best.bands || (now.missed <= miss ? best.missed > miss || now.met_below < best.met_below : now.missed < best.missed && best.missed > miss);
        if (better) best = now;
    }
    return best;
}
