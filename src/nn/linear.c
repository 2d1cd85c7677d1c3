/* The linear site: a weight matrix, its bias, and the adapters' hooks around the product. */
#include "base/str.h"
#include "nn/adapter.h"

#include <stdarg.h>
#include <stdio.h>

lm_linear_site *lm_declare_linear(lm_model *m, int64_t in, int64_t out, bool bias, bool transposed, const char *name, ...)
{
    char text[480];
    va_list args;
    va_start(args, name);
    vsnprintf(text, sizeof text, name, args);
    va_end(args);

    lm_linear_site *s = lm_calloc(1, sizeof *s);
    *s = (lm_linear_site){ .name = lm_strdup(text), .in = in, .out = out, .transposed = transposed };
    int64_t shape[2] = { transposed ? in : out, transposed ? out : in };
    s->w = &lm_param_declare(&m->params, LM_INIT_NORMAL, m->config.init_range, 2, shape, "%s.weight", text)->t;
    if (bias) s->bias = &lm_param_declare(&m->params, LM_INIT_ZERO, 0, 1, &out, "%s.bias", text)->t;
    m->sites = lm_realloc(m->sites, (size_t)(m->n_sites + 1) * sizeof(lm_linear_site *));
    m->sites[m->n_sites++] = s;
    return s;
}

lm_tensor *lm_apply_linear(const lm_forward *f, const lm_linear_site *site, lm_tensor *x, lm_act act)
{
    const lm_link *links = f->m->adapter_off ? NULL : site->links;
    lm_linear_options options = { .act = links ? LM_ACT_NONE : act, .transposed = site->transposed };
    lm_tensor *w = site->w;
    for (const lm_link *l = links; l; l = l->next) {
        if (l->adapter->type->weight) w = l->adapter->type->weight(f, l, w);
        if (l->adapter->type->input) x = l->adapter->type->input(f, l, x);
    }
    lm_tensor *y = lm_linear_with(f->t, x, w, site->bias, &options);
    for (const lm_link *l = links; l; l = l->next)
        if (l->adapter->type->output) y = l->adapter->type->output(f, l, x, y);
    return links && act != LM_ACT_NONE ? lm_activation(f->t, y, act) : y;
}

lm_tensor *lm_apply_branch(const lm_forward *f, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y)
{
    lm_adapter *a = f->m->adapter_off ? NULL : f->m->adapter;
    return a && a->type->branch ? a->type->branch(f, a, layer, which, x, h, y) : y;
}

lm_tensor *lm_apply_embedding(const lm_forward *f)
{
    lm_tensor *ids = lm_input(f->t, f->batch->ids, LM_I32, 1, &f->batch->n_tokens);
    lm_tensor *x = lm_embedding(f->t, f->m->embedding, ids);
    lm_adapter *a = f->m->adapter_off ? NULL : f->m->adapter;
    return a && a->type->embed ? a->type->embed(f, a, x) : x;
}
