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
    for (int rows = 1; rows <= permutations; rows++)
        for (int bands = 1; bands * rows <= permutations; bands++) {
            lm_banding now = { .bands = bands, .rows = rows, .missed = 1 - lm_banding_meet(bands, rows, threshold) };
            bool within = now.missed <= miss, was_within = best.bands && best.missed <= miss;
            if (!within && (was_within || (best.bands && now.missed >= best.missed))) continue;
            now.met_below = integral(bands, rows, 0, threshold);
            if (within && was_within && now.met_below >= best.met_below) continue;
            now.missed_above = 1 - threshold - integral(bands, rows, threshold, 1);
            best = now;
            if (within) break;               /* more bands meet more below */
        }
    return best;
}
