#define _GNU_SOURCE
#include "base/memory.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t huge = (size_t)2 << 20;

/* "VmHWM:     1234 kB" of /proc/self/status. */
static size_t status_line(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) return 0;
    char line[256];
    size_t kib = 0, n = strlen(key);
    while (!kib && fgets(line, sizeof line, f))
        if (!strncmp(line, key, n) && sscanf(line + n, " %zu kB", &kib) != 1) break;
    fclose(f);
    return kib << 10;
}

size_t lm_memory_now(void) { return status_line("VmRSS:"); }
size_t lm_memory_peak(void) { return status_line("VmHWM:"); }

void lm_memory_huge(void *data, size_t n)
{
    uintptr_t begin = ((uintptr_t)data + huge - 1) & ~(huge - 1), end = ((uintptr_t)data + n) & ~(huge - 1);
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);   /* a refusal costs nothing but time */
}

/* From half a huge page on; less would rather waste it. */
static void *whole_pages(size_t bytes)
{
    LM_ASSERT(bytes < SIZE_MAX / 2);
    bytes = (bytes + huge - 1) & ~(huge - 1);
    void *pages = aligned_alloc(huge, bytes);
    if (!pages) LM_BUG("out of memory: %zu bytes", bytes);
    lm_memory_huge(pages, bytes);
    return pages;
}

void *lm_memory_large(size_t bytes) { return bytes < huge / 2 ? lm_malloc(bytes) : whole_pages(bytes); }

void *lm_memory_table(size_t count, size_t size)
{
    enum { LINE = 64 };
    LM_ASSERT(count < SIZE_MAX / 2 / size);
    size_t bytes = (count * size + LINE - 1) / LINE * LINE;
    void *table = bytes < huge / 2 ? aligned_alloc(LINE, bytes ? bytes : LINE) : whole_pages(bytes);
    if (!table) LM_BUG("out of memory: %zu bytes", bytes);
    return memset(table, 0, bytes);
}

/* Blocks of up to a quarter of that are taken from what was kept; larger ones are mapped by themselves. */
void lm_memory_keep(size_t bytes)
{
#ifdef M_TRIM_THRESHOLD
    mallopt(M_TRIM_THRESHOLD, (int)bytes);
    mallopt(M_MMAP_THRESHOLD, (int)(bytes / 4));
#else
    (void)bytes;
#endif
}
