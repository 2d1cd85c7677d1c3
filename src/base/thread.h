/* Threads over OpenMP: how many, and a loop over independent pieces. */
#ifndef LM_BASE_THREAD_H
#define LM_BASE_THREAD_H

#include <stdint.h>

int lm_threads(void);                 /* in use; by default the cores this process may run on */
void lm_threads_set(int n);           /* n >= 1; 0 returns to the default */

/* Calls body(begin, end, context) for pieces that cover [0, n), each of at least `grain`
 * (except the last), in parallel.  Which thread runs a piece is not defined. */
void lm_parallel(int64_t n, int64_t grain, void (*body)(int64_t begin, int64_t end, void *context), void *context);

#endif
