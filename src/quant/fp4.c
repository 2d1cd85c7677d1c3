/* FP4: a sign, two bits of exponent and one of mantissa, over the largest.
 *
 *   0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4 and their opposites
 *
 * in the order of the codes.  Code 8 is a zero as well. */
#include "quant/quant.h"

const lm_quant_type lm_quant_type_fp4 = {
    .name = "fp4", .source = "Dettmers & Zettlemoyer 2023, \"The case for 4-bit precision\", section 2",
    .bits = 4, .block = 64, .unit = 1,
    .level = { 0, 0x1.555556p-8f, 0x1.555556p-1f, 1, 0x1.555556p-2f, 0.5f, 0x1.555556p-3f, 0.25f,
               0, -0x1.555556p-8f, -0x1.555556p-1f, -1, -0x1.555556p-2f, -0.5f, -0x1.555556p-3f, -0.25f },
};
