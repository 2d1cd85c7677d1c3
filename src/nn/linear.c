/* The linear site: a weight matrix, its bias, and the adapters' hooks around the product; the hooks of the
 * embedding and of sublayers. */
#include "base/str.h"
#include "nn/active.h"

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

/* ---- the adapters at a site ---- */

typedef struct chain {
    const lm_link *link[LM_MAX_ADAPTERS];          /* first to last */
    lm_tensor *x[LM_MAX_ADAPTERS];                 /* what each of them is given */
    int n;
} chain;

static void find_chain(chain *c, const lm_forward *f, const lm_linear_site *site)
{
    c->n = 0;
    for (const lm_link *l = site->links; l; l = l->next)
        if (lm_acts(f, l->adapter)) c->link[c->n++] = l;
}

/* The last adapter stands outermost: its input hook comes first. */
static lm_tensor *go_in(const lm_forward *f, chain *c, lm_tensor *x)
{
    for (int i = c->n; i-- > 0;) {
        c->x[i] = x;
        if (c->link[i]->adapter->type->input) x = c->link[i]->adapter->type->input(f, c->link[i], x);
    }
    return x;
}

static lm_tensor *come_out(const lm_forward *f, const chain *c, lm_tensor *y)
{
    for (int i = 0; i < c->n; i++)
        if (c->link[i]->adapter->type->output) y = c->link[i]->adapter->type->output(f, c->link[i], c->x[i], y);
    return y;
}

static bool changes_input(const chain *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->link[i]->adapter->type->input) return true;
    return false;
}

/* ---- the product ---- */

/* Every part changes its own rows of x, and after the one product its own rows of y. */
static lm_tensor *apply_in_parts(const lm_forward *f, const lm_linear_site *site, lm_tensor *given, const lm_linear_options *options)
{
    chain c;
    lm_tensor *x = given;
    for (int64_t i = 0; i < f->n_parts; i++) {
        const lm_part *p = &f->parts[i];
        find_chain(&c, &p->f, site);
        if (changes_input(&c)) x = lm_part_put(p, x, go_in(&p->f, &c, lm_part_take(p, given)));
    }
    lm_tensor *y = lm_linear_with(f->t, x, site->w, site->bias, options);
    for (int64_t i = 0; i < f->n_parts; i++) {
        const lm_part *p = &f->parts[i];
        find_chain(&c, &p->f, site);
        if (!c.n) continue;
        go_in(&p->f, &c, lm_part_take(p, given));
        y = lm_part_put(p, y, come_out(&p->f, &c, lm_part_take(p, y)));
    }
    return y;
}

lm_tensor *lm_apply_linear(const lm_forward *f, const lm_linear_site *site, lm_tensor *x, lm_act act)
{
    lm_linear_options options = { .act = act, .transposed = site->transposed };
    chain c;
    c.n = 0;
    if (!f->n_parts) find_chain(&c, f, site);
    bool changed = c.n || (f->n_parts && site->links);
    if (!changed) return lm_linear_with(f->t, x, site->w, site->bias, &options);
    options.act = LM_ACT_NONE;
    lm_tensor *y;
    if (f->n_parts) y = apply_in_parts(f, site, x, &options);
    else {
        x = go_in(f, &c, x);
        y = come_out(f, &c, lm_linear_with(f->t, x, site->w, site->bias, &options));
    }
    return act != LM_ACT_NONE ? lm_activation(f->t, y, act) : y;
}

/* ---- the other places ---- */

static lm_tensor *branch(const lm_forward *f, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y)
{
    for (lm_adapter *a = f->m->adapters; a; a = a->next)
        if (lm_acts(f, a) && a->type->branch) y = a->type->branch(f, a, layer, which, x, h, y);
    return y;
}

lm_tensor *lm_apply_branch(const lm_forward *f, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y)
{
    if (!f->n_parts) return branch(f, layer, which, x, h, y);
    for (int64_t i = 0; i < f->n_parts; i++) {
        const lm_part *p = &f->parts[i];
        y = lm_part_put(p, y, branch(&p->f, layer, which, lm_part_take(p, x), lm_part_take(p, h), lm_part_take(p, y)));
    }
    return y;
}

static lm_tensor *embed(const lm_forward *f, lm_tensor *x)
{
    for (lm_adapter *a = f->m->adapters; a; a = a->next)
        if (lm_acts(f, a) && a->type->embed) x = a->type->embed(f, a, x);
    return x;
}

lm_tensor *lm_apply_embedding(const lm_forward *f)
{
    lm_tensor *ids = lm_input(f->t, f->batch->ids, LM_I32, 1, &f->batch->n_tokens);
    lm_tensor *x = lm_embedding(f->t, f->m->embedding, ids);
    if (!f->n_parts) return embed(f, x);
    for (int64_t i = 0; i < f->n_parts; i++) x = lm_part_put(&f->parts[i], x, embed(&f->parts[i].f, lm_part_take(&f->parts[i], x)));
    return x;
}
