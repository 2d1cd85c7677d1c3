/* A whole matrix, block by block on all threads; then, with double quantisation, its scales. */
#include "quant/quant.h"

#include "base/str.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { OUTER_BLOCK = 256, GRAIN = 1 << 14, RUN = 4096 };

const lm_quant_type *lm_quant_type_find(const char *name)
{
    for (const lm_quant_type *const *t = lm_quant_type_registry; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
}

lm_quant lm_quant_of(const lm_quant_type *type, int64_t cols)
{
    lm_quant q = { .type = type, .bits = type->bits, .block = type->block ? type->block : cols, .unit = type->unit,
                   .outer_block = OUTER_BLOCK };
    memcpy(q.level, type->level, sizeof q.level);
    return q;
}

typedef struct job {
    const lm_quant *q;
    const lm_quant_source *from;
    uint8_t *codes;
    float *absmax;
    int64_t numel;
} job;

/* Reads a run of blocks at a time, short enough for the first-level cache where a block is not longer. */
static void quantise_blocks(int64_t begin, int64_t end, void *context)
{
    const job *j = context;
    int64_t block = j->q->block, run = block < RUN ? RUN / block : 1;
    float *x = lm_malloc((size_t)(run * block) * sizeof *x);
    for (int64_t b = begin; b < end; b += run) {
        int64_t last = b + run < end ? b + run : end, at = b * block;
        int64_t n = (last * block < j->numel ? last * block : j->numel) - at;
        j->from->read(x, at, n, j->from->context);
        lm_quantise_blocks(j->q, j->codes, j->absmax + b, at, x, n);
    }
    free(x);
}

/* Scales minus their mean, as eight-bit codes. */
static void quantise_scales(lm_quant *q, uint8_t *codes, float *outer, float *map, float *absmax, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += absmax[i];
    q->offset = (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++) absmax[i] -= q->offset;
    lm_dynamic_map(map);
    lm_dynamic_quantise(codes, outer, map, absmax, n);
}

lm_status lm_quantise(lm_tensor *out, lm_quant *q, const lm_quant_type *type, const lm_quant_source *from, bool doubled,
                      lm_arena *arena, lm_err *err)
{
    int64_t numel = from->rows * from->cols;
    *q = lm_quant_of(type, from->cols);
    doubled = doubled && type->bits == 4;
    size_t blocks = (size_t)lm_quant_blocks(q, numel), outer_blocks = (blocks + OUTER_BLOCK - 1) / OUTER_BLOCK;
    uint8_t *codes = lm_arena_alloc(arena, lm_quant_code_bytes(q, numel));
    float *absmax = doubled ? NULL : lm_arena_alloc(arena, blocks * sizeof *absmax);
    uint8_t *scale_code = doubled ? lm_arena_alloc(arena, blocks) : NULL;
    float *outer = doubled ? lm_arena_alloc(arena, outer_blocks * sizeof *outer) : NULL;
    float *map = doubled ? lm_arena_alloc(arena, 256 * sizeof *map) : NULL;
    if (!codes || (doubled ? !scale_code || !outer || !map : !absmax))
        return lm_fail(err, LM_E_NOMEM, "%s arena: no room for %lld numbers in %s", arena->name, (long long)numel, type->name);
    q->absmax = absmax, q->scale_code = scale_code, q->outer = outer, q->map = map;
    const int64_t dim[2] = { from->rows, from->cols };
    lm_tensor t = lm_tensor_of(codes, type->bits == 4 ? LM_U8 : LM_I8, 2, dim);
    t.name = out->name;
    t.quant = q;
    *out = t;
    if (arena->kind == LM_ARENA_COUNT) return LM_OK;

    float *scales = doubled ? lm_malloc(blocks * sizeof *scales) : absmax;
    job j = { .q = q, .from = from, .codes = codes, .absmax = scales, .numel = numel };
    lm_parallel((int64_t)blocks, 1 + GRAIN / q->block, quantise_blocks, &j);
    if (doubled) {
        quantise_scales(q, scale_code, outer, map, scales, (int64_t)blocks);
        free(scales);
    }
    return LM_OK;
}
