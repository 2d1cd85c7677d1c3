#include "nn/attention.h"

#include "nn/adapter.h"

#include <math.h>

/* Rows of k or v into the cache; inference only, so nothing is recorded. */
static lm_tensor *store(const lm_forward *f, lm_tensor *cache, const lm_tensor *rows)
{
    f->t->k->scatter_rows[rows->dtype](cache->data, rows->data, f->batch->cache_rows, lm_rows(rows), lm_cols(rows),
                                       lm_row_stride(cache), lm_row_stride(rows));
    return cache;
}

lm_tensor *lm_attend(const lm_forward *f, lm_tensor *q, lm_tensor *k, lm_tensor *v, const lm_attend_options *options)
{
    const lm_config *c = &f->m->config;
    lm_adapter *a = f->m->adapter_off ? NULL : f->m->adapter;
    if (a && a->type->kv) a->type->kv(f, a, options->layer, &k, &v);
    if (f->kv && !f->t->err.code) {
        LM_ASSERT(!f->t->recording && f->kv->k[options->layer].dtype == k->dtype);
        k = store(f, &f->kv->k[options->layer], k);
        v = store(f, &f->kv->v[options->layer], v);
    }
    lm_tensor *y = lm_attention(f->t, q, k, v, &(lm_attention_options){
        .heads = c->n_heads, .kv_heads = c->n_kv_heads, .window = options->window, .causal = true,
        .segments = f->batch->segments, .n_segments = f->batch->n_segments,
        .scale = options->scale ? options->scale : 1 / sqrtf((float)c->head_dim) });
    y = lm_apply_linear(f, options->out, y, LM_ACT_NONE);
    return a && a->type->attend ? a->type->attend(f, a, options, q, y) : y;
}
