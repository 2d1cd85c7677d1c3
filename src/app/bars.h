/* Horizontal bars as an SVG: one panel for each measure, in it one bar for each thing that was measured.
 * Panels have scales of their own, from 0 to the largest value, so bars compare within a panel only. */
#ifndef LM_APP_BARS_H
#define LM_APP_BARS_H

#include "base/str.h"

typedef struct lm_panel {
    const char *title, *unit;        /* unit: behind each value, may be "" */
    const double *values;            /* [n] not negative */
} lm_panel;

/* Appends the picture: `names` [n] stand before the bars, the same name in the same colour everywhere. */
void lm_bars_svg(lm_str *out, const char *title, const char *const *names, int n, const lm_panel *panels, int n_panels);

#endif
