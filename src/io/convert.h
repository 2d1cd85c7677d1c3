/* Element types on their way between file and memory: any alignment, no kernel table. */
#ifndef LM_IO_CONVERT_H
#define LM_IO_CONVERT_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

/* Equal types, or both among F32, BF16 and F16. */
bool lm_convertible(lm_dtype from, lm_dtype to);

/* out[i] = in[i] for n elements of a convertible pair, rounding to nearest even.  Neither pointer
 * needs to be aligned; they do not overlap. */
void lm_convert(void *out, lm_dtype to, const void *in, lm_dtype from, int64_t n);

#endif
