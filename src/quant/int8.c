/* int8: a row shares the scale absmax / 127, and a code is the nearest whole number of scales.
 *
 * Left out of LLM.int8(): products of eight-bit activations, and with them the columns of outliers that
 * are kept apart.  Activations stay as they are here, so there is nothing to keep them from. */
#include "quant/quant.h"

const lm_quant_type lm_quant_type_int8 = {
    .name = "int8", .source = "Dettmers et al. 2022, \"LLM.int8()\", section 2.1 (vector-wise, weights only)",
    .bits = 8, .unit = 1.0f / 127,
};
