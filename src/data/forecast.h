/* Probabilities that were predicted, and what came true.
 *
 *   accuracy      share with p > 1/2 of what came true and p <= 1/2 of what did not
 *   AUC           chance that what came true had the higher p, equal ones counting half: the area under the ROC curve
 *   calibration   expected error: ten bins of p, sum over bins of share * |mean p - share that came true|
 *
 * Sources: Hanley & McNeil 1982 (AUC as a rank statistic); Guo et al. 2017, "On Calibration of Modern Neural
 * Networks", equation 3. */
#ifndef LM_DATA_FORECAST_H
#define LM_DATA_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct lm_forecast {
    double p;
    bool came_true;
} lm_forecast;

typedef struct lm_forecasts {
    lm_forecast *items;
    int64_t n, cap;
} lm_forecasts;

void lm_forecasts_add(lm_forecasts *f, double p, bool came_true);
void lm_forecasts_clear(lm_forecasts *f);                /* keeps the memory */
void lm_forecasts_free(lm_forecasts *f);                 /* takes {0} */

/* 0 when nothing was predicted; the AUC is NaN unless something came true and something did not. */
double lm_forecasts_accuracy(const lm_forecasts *f);
double lm_forecasts_auc(lm_forecasts *f);                /* sorts them */
double lm_forecasts_calibration(const lm_forecasts *f);

#endif
