/* How long loops are cut for threads.
 *
 * The pieces depend on the length alone, so each number is computed by the same instructions on any
 * number of threads.  Starting a team costs some microseconds: below SERIAL numbers one thread is
 * faster, which is the case in decoding. */
#ifndef LM_BACKEND_CPU_PIECE_H
#define LM_BACKEND_CPU_PIECE_H

#include <stdint.h>

enum { PIECE = 4096, SERIAL = 16384 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Columns for each of `threads`, when columns are summed over all rows in order; a multiple of 32,
 * so that a column stands in the same lane on any number of threads. */
static inline int64_t columns_each(int64_t cols, int threads)
{
    return ((cols + threads - 1) / threads + 31) / 32 * 32;
}

#endif
