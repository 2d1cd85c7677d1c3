#include "nn/active.h"

#include <string.h>

uint64_t lm_segment_adapters(const lm_model *m, const lm_batch *b, int64_t i)
{
    uint64_t set = 0;
    for (const lm_adapter *a = m->adapters; a; a = a->next)
        if (a->on) set |= (uint64_t)1 << a->slot;
    return b->off ? set & ~b->off[i] : set;
}

/* A weight that an adapter replaces is the same for every row. */
static lm_status refuse_partial_copies(const lm_forward *f, const uint64_t *sets)
{
    for (const lm_adapter *a = f->m->adapters; a; a = a->next)
        for (int64_t i = 0; a->on && a->n_saved && i < f->batch->n_segments; i++)
            if (!(sets[i] >> a->slot & 1))
                return lm_tape_fail(f->t, "adapter %s (%s) replaces weights of the model (%s): it acts on every sequence or on none", a->name,
                                    a->type->name, a->saved[0].copy->t.name);
    return LM_OK;
}

static void make_vectors(lm_forward *g, uint64_t sets)
{
    g->vectors = lm_tape_meta(g->t, LM_MAX_ADAPTERS * sizeof *g->vectors);
    for (lm_adapter *a = g->m->adapters; a && g->vectors; a = a->next)
        g->vectors[a->slot] = sets >> a->slot & 1 && a->type->vectors ? a->type->vectors(g->t, a) : NULL;
}

/* ---- parts ---- */

/* The rows of the segments that have this set; ascending, as segments are. */
static int64_t find_rows(int32_t *out, const lm_batch *b, const uint64_t *sets, uint64_t set)
{
    int64_t n = 0;
    for (int64_t i = 0; i < b->n_segments; i++)
        for (int64_t j = 0; sets[i] == set && j < b->segments[i].nq; j++) out[n++] = (int32_t)(b->segments[i].q0 + j);
    return n;
}

static const int32_t *pick(lm_tape *t, const int32_t *from, const int32_t *rows, int64_t n)
{
    int32_t *out = lm_tape_meta(t, (size_t)n * sizeof *out);
    for (int64_t i = 0; out && i < n; i++) out[i] = from[rows[i]];
    return out;
}

static void make_part(lm_part *p, const lm_forward *g, const uint64_t *sets, uint64_t set)
{
    const lm_batch *b = g->batch;
    int32_t *rows = lm_tape_meta(g->t, (size_t)b->n_tokens * sizeof *rows), *which = lm_tape_meta(g->t, (size_t)b->n_tokens * sizeof *which);
    lm_batch *own = lm_tape_meta(g->t, sizeof *own);
    const int32_t **virtual_rows = lm_tape_meta(g->t, LM_MAX_ADAPTERS * sizeof *virtual_rows);
    if (g->t->err.code) return;
    int64_t n = find_rows(rows, b, sets, set);
    memset(which, -1, (size_t)b->n_tokens * sizeof *which);
    for (int64_t i = 0; i < n; i++) which[rows[i]] = (int32_t)i;
    for (int s = 0; s < LM_MAX_ADAPTERS; s++)
        virtual_rows[s] = b->virtual_rows && b->virtual_rows[s] ? pick(g->t, b->virtual_rows[s], rows, n) : NULL;
    *own = (lm_batch){ .n_tokens = n, .ids = pick(g->t, b->ids, rows, n), .positions = pick(g->t, b->positions, rows, n), .virtual_rows = virtual_rows };
    *p = (lm_part){ .f = *g, .rows = lm_input(g->t, rows, LM_I32, 1, &n), .which = which };
    p->f.batch = own;
    p->f.active = set;
}

/* One part for each set that some segments share; rows on which none acts are in no part. */
static void divide(lm_forward *g, const uint64_t *sets)
{
    int64_t n = g->batch->n_segments, different = 0;
    for (int64_t i = 0; i < n; i++) different += sets[i] != sets[0];
    g->active = n && !different ? sets[0] : 0;
    if (!different) return;
    lm_part *parts = lm_tape_meta(g->t, (size_t)n * sizeof *parts);
    for (int64_t i = 0; i < n && !g->t->err.code; i++) {
        bool seen = !sets[i];
        for (int64_t j = 0; j < g->n_parts && !seen; j++) seen = parts[j].f.active == sets[i];
        if (seen) continue;
        lm_forward plain = *g;
        plain.n_parts = 0;
        make_part(&parts[g->n_parts++], &plain, sets, sets[i]);
    }
    g->parts = parts;
}

const lm_forward *lm_with_adapters(const lm_forward *f, lm_tensor **kept)
{
    uint64_t all = 0;
    *kept = NULL;
    if (!f->m->adapters) return f;
    lm_forward *g = lm_tape_meta(f->t, sizeof *g);
    uint64_t *sets = lm_tape_meta(f->t, (size_t)f->batch->n_segments * sizeof *sets);
    if (f->t->err.code) return NULL;
    for (int64_t i = 0; i < f->batch->n_segments; i++) all |= sets[i] = lm_segment_adapters(f->m, f->batch, i);
    if (refuse_partial_copies(f, sets) != LM_OK) return NULL;
    *g = *f;
    make_vectors(g, all);
    lm_put_virtual(g, sets, kept);
    if (!f->t->err.code) divide(g, sets);
    return f->t->err.code ? NULL : g;
}
