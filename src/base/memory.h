/* Resident memory of this process, as the kernel counts it, in bytes; 0 where /proc does not tell. */
#ifndef LM_BASE_MEMORY_H
#define LM_BASE_MEMORY_H

#include <stddef.h>

size_t lm_memory_now(void);
size_t lm_memory_peak(void);             /* the highest so far */

#endif
