/* The key-value cache: one matrix of rows per layer; who owns a row is the session's business. */
#include "base/str.h"
#include "nn/model.h"

#include <stdlib.h>

lm_status lm_kv_init(lm_kv *kv, const lm_model *model, int64_t rows, lm_dtype dtype, lm_arena_kind kind, lm_err *err)
{
    const lm_config *c = &model->config;
    int64_t shape[2] = { rows, c->n_kv_heads * c->head_dim };
    size_t layer = (size_t)(shape[0] * shape[1]) * lm_dtype_size(dtype) + LM_ALIGN;
    *kv = (lm_kv){ .n_layers = c->n_layers, .rows = rows };
    LM_TRY(lm_arena_init(&kv->arena, "cache", 2 * layer * (size_t)c->n_layers, kind, err));
    lm_arena_small_pages(&kv->arena);
    kv->k = lm_calloc((size_t)c->n_layers, sizeof *kv->k);
    kv->v = lm_calloc((size_t)c->n_layers, sizeof *kv->v);
    for (int64_t i = 0; i < c->n_layers; i++) {
        kv->k[i] = lm_tensor_of(NULL, dtype, 2, shape);
        kv->v[i] = lm_tensor_of(NULL, dtype, 2, shape);
        kv->k[i].data = lm_arena_alloc(&kv->arena, lm_nbytes(&kv->k[i]));
        kv->v[i].data = lm_arena_alloc(&kv->arena, lm_nbytes(&kv->v[i]));
    }
    return LM_OK;
}

void lm_kv_free(lm_kv *kv)
{
    free(kv->k);
    free(kv->v);
    lm_arena_free(&kv->arena);
    *kv = (lm_kv){ 0 };
}

static void move_rows(const lm_tensor *x, const lm_kernels *k, int64_t to, int64_t from, int64_t n)
{
    size_t row = (size_t)x->dim[1] * lm_dtype_size(x->dtype);
    uint8_t *data = x->data;
    k->copy(data + (size_t)to * row, data + (size_t)from * row, n * (int64_t)row);
}

void lm_kv_move(lm_kv *kv, const lm_kernels *k, int64_t to, int64_t from, int64_t n)
{
    LM_ASSERT(to >= 0 && from >= 0 && n >= 0 && to + n <= kv->rows && from + n <= kv->rows);
    for (int64_t i = 0; i < kv->n_layers; i++) {
        move_rows(&kv->k[i], k, to, from, n);
        move_rows(&kv->v[i], k, to, from, n);
    }
}
