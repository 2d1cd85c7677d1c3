/* Arena: memory that is given out in order and taken back all at once.
 *
 * An arena reserves one range of addresses when it is made and hands it out from
 * the front; the operating system backs a page when it is first touched, so a
 * large reservation costs nothing.  Nothing is freed alone.
 *
 * Invariants
 *  1. base <= base + used <= base + size; `peak` is the largest `used` ever seen.
 *  2. Every block is aligned to LM_ALIGN, so that any kernel may use aligned loads.
 *  3. A counting arena (LM_ARENA_COUNT) reserves addresses without any right to
 *     touch them: the same program runs, its memory is counted, a stray read faults.
 *     That is how `malmoi plan` knows the peak without computing.
 *  4. Memory from the arena is not cleared, also not the first time: code that
 *     depends on zeros asks for lm_arena_zalloc. */
#ifndef LM_BASE_ARENA_H
#define LM_BASE_ARENA_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LM_ALIGN ((size_t)64)

typedef enum lm_arena_kind { LM_ARENA_REAL, LM_ARENA_COUNT } lm_arena_kind;

typedef struct lm_arena {
    const char *name;   /* "model", "step", "scratch", "request": for messages */
    uint8_t *base;
    size_t size, used, peak;
    lm_arena_kind kind;
} lm_arena;

/* Reserves `size` bytes of address space (rounded up to pages).  LM_E_NOMEM when refused. */
lm_status lm_arena_init(lm_arena *arena, const char *name, size_t size, lm_arena_kind kind, lm_err *err);

/* An arena of `size` bytes over a nameless file in `folder`, which the system pages out to and in from as memory
 * gets short, without swap.  The disk's room is taken at once (LM_E_IO when it is not there), and given back when
 * the arena or the process ends. */
lm_status lm_arena_init_file(lm_arena *arena, const char *name, size_t size, const char *folder, lm_err *err);

/* For an arena that is written here and there, as a cache of many layers is: without this the first byte
 * in each 2 MiB costs the clearing of all of them. */
void lm_arena_small_pages(lm_arena *arena);

/* Gives the range back to the system; every pointer into it dies.  Takes NULL and a zeroed arena. */
void lm_arena_free(lm_arena *arena);

/* `bytes` aligned bytes, or NULL when the reservation is exhausted.  Zero bytes give a valid address. */
void *lm_arena_alloc(lm_arena *arena, size_t bytes);

/* The same, cleared.  Not for a counting arena. */
void *lm_arena_zalloc(lm_arena *arena, size_t bytes);

/* A place to return to; release drops everything allocated since. */
static inline size_t lm_arena_mark(const lm_arena *arena) { return arena->used; }
void lm_arena_release(lm_arena *arena, size_t mark);
static inline void lm_arena_reset(lm_arena *arena) { lm_arena_release(arena, 0); }

#endif
