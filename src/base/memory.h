/* Memory as the system sees it. */
#ifndef LM_BASE_MEMORY_H
#define LM_BASE_MEMORY_H

#include <stddef.h>

/* Resident memory of this process, as the kernel counts it, in bytes; 0 where /proc does not tell. */
size_t lm_memory_now(void);
size_t lm_memory_peak(void);             /* the highest so far */

/* For a program that frees and asks again all the time: up to `bytes` of what was freed stay with it, since a page that
 * went back to the system costs a fault, and its clearing, when it is wanted again. */
void lm_memory_keep(size_t bytes);

/* Asks for huge pages (2 MiB) under `n` bytes that are about to be used, as far as whole ones fit: one page
 * fault instead of 512, and fewer misses of the address cache.  A table that is read here and there gains most. */
void lm_memory_huge(void *data, size_t n);

/* Memory for a large text or list, on huge pages where it is large enough; its bytes are whatever they are.
 * Freed, and made larger, like that of malloc.  Not NULL. */
void *lm_memory_large(size_t bytes);

/* Zeroed memory for a table, at the front of a cache line, on huge pages where it is large enough; freed with free().  Not NULL. */
void *lm_memory_table(size_t count, size_t size);

#endif
