#include "nn/attention.h"

#include "nn/active.h"

#include <math.h>

/* Rows of k or v into the cache; inference only, so nothing is recorded. */
static lm_tensor *store(const lm_forward *f, lm_tensor *cache, const lm_tensor *rows)
{
    f->t->k->scatter_rows[rows->dtype](cache->data, rows->data, f->batch->cache_rows, lm_rows(rows), lm_cols(rows),
                                       lm_row_stride(cache), lm_row_stride(rows));
    return cache;
}

static void change_kv(const lm_forward *f, int64_t layer, lm_tensor **k, lm_tensor **v)
{
    for (lm_adapter *a = f->m->adapters; a; a = a->next)
        if (lm_acts(f, a) && a->type->kv) a->type->kv(f, a, layer, k, v);
}

static void apply_kv(const lm_forward *f, int64_t layer, lm_tensor **k, lm_tensor **v)
{
    if (!f->n_parts) change_kv(f, layer, k, v);
    for (int64_t i = 0; i < f->n_parts; i++) {
        const lm_part *p = &f->parts[i];
        lm_tensor *own_k = lm_part_take(p, *k), *own_v = lm_part_take(p, *v);
        change_kv(&p->f, layer, &own_k, &own_v);
        *k = lm_part_put(p, *k, own_k);
        *v = lm_part_put(p, *v, own_v);
    }
}

static lm_tensor *change_result(const lm_forward *f, const lm_attend_options *options, lm_tensor *q, lm_tensor *y)
{
    for (lm_adapter *a = f->m->adapters; a; a = a->next)
        if (lm_acts(f, a) && a->type->attend) y = a->type->attend(f, a, options, q, y);
    return y;
}

static lm_tensor *apply_attend(const lm_forward *f, const lm_attend_options *options, lm_tensor *q, lm_tensor *y)
{
    if (!f->n_parts) return change_result(f, options, q, y);
    for (int64_t i = 0; i < f->n_parts; i++) {
        const lm_part *p = &f->parts[i];
        y = lm_part_put(p, y, change_result(&p->f, options, lm_part_take(p, q), lm_part_take(p, y)));
    }
    return y;
}

lm_tensor *lm_attend(const lm_forward *f, lm_tensor *q, lm_tensor *k, lm_tensor *v, const lm_attend_options *options)
{
    const lm_config *c = &f->m->config;
    apply_kv(f, options->layer, &k, &v);
    if (f->kv && !f->t->err.code) {
        LM_ASSERT(!f->t->recording && f->kv->k[options->layer].dtype == k->dtype);
        k = store(f, &f->kv->k[options->layer], k);
        v = store(f, &f->kv->v[options->layer], v);
    }
    lm_tensor *y = lm_attention(f->t, q, k, v, &(lm_attention_options){
        .heads = c->n_heads, .kv_heads = c->n_kv_heads, .window = options->window, .causal = true,
        .segments = f->batch->segments, .n_segments = f->batch->n_segments,
        .scale = options->scale ? options->scale : 1 / sqrtf((float)c->head_dim) });
    return apply_attend(f, options, q, lm_apply_linear(f, options->out, y, LM_ACT_NONE));
}
