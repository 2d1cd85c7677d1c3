/* Virtual tokens: rows in front of every sequence that no text stands for.
 *
 * Prompt tuning learns their embeddings, prefix tuning their keys and values.  The callers' batches know
 * nothing of them: here they are put in front of each segment that begins a sequence, those of several adapters
 * one after the other; positions and rows of the cache move on by their number, and their hidden states are
 * dropped at the end. */
#include "nn/active.h"

#include <string.h>

int64_t lm_model_virtual(const lm_model *m, uint64_t off)
{
    int64_t n = 0;
    for (const lm_adapter *a = m->adapters; a; a = a->next)
        if (a->on && !(off >> a->slot & 1)) n += a->n_virtual;
    return n;
}

int64_t lm_model_context(const lm_model *m, uint64_t off) { return m->config.max_positions - lm_model_virtual(m, off); }

lm_tensor *lm_put_vectors(const lm_forward *f, const lm_adapter *a, lm_tensor *x, lm_tensor *table)
{
    return lm_replace_rows(f->t, x, table, f->batch->virtual_rows[a->slot]);
}

/* A segment without past begins its sequence. */
static bool begins(const lm_segment *s) { return s->nk == s->nq; }

typedef struct rows {
    int32_t *ids, *positions, *cache, *kept;
    int32_t **which;                       /* by slot of the adapter: a row's virtual token, or -1 */
    int64_t n, n_kept;
} rows;

static void put(rows *r, int32_t id, int64_t position, int64_t cache)
{
    r->ids[r->n] = id;
    r->positions[r->n] = (int32_t)position;
    if (r->cache) r->cache[r->n] = (int32_t)cache;
    r->n++;
}

static void put_segment(rows *r, const lm_model *m, const lm_batch *b, const lm_segment *s, lm_segment *out, uint64_t set)
{
    int64_t begin = r->n, n_virtual = lm_model_virtual(m, ~set), at = 0;
    for (const lm_adapter *a = m->adapters; a && begins(s); a = a->next)
        for (int64_t i = 0; set >> a->slot & 1 && i < a->n_virtual; i++, at++) {
            r->which[a->slot][r->n] = (int32_t)i;
            put(r, 0, at, s->k0 + at);
        }
    for (int64_t i = s->q0; i < s->q0 + s->nq; i++) {
        r->kept[r->n_kept++] = (int32_t)r->n;
        put(r, b->ids[i], b->positions[i] + n_virtual, r->cache ? b->cache_rows[i] + n_virtual : 0);
    }
    *out = (lm_segment){ .q0 = begin, .nq = r->n - begin, .k0 = r->cache ? s->k0 : begin, .nk = s->nk + n_virtual };
}

static rows make_rows(lm_tape *t, const lm_model *m, int64_t n, bool cached)
{
    int32_t *room = lm_tape_meta(t, 4 * (size_t)n * sizeof *room);
    int32_t **which = lm_tape_meta(t, LM_MAX_ADAPTERS * sizeof *which);
    if (t->err.code) return (rows){ 0 };
    memset(which, 0, LM_MAX_ADAPTERS * sizeof *which);
    for (const lm_adapter *a = m->adapters; a; a = a->next) {
        if (a->n_virtual && !(which[a->slot] = lm_tape_meta(t, (size_t)n * sizeof **which))) return (rows){ 0 };
        if (a->n_virtual) memset(which[a->slot], -1, (size_t)n * sizeof **which);
    }
    return (rows){ .ids = room, .positions = room + n, .kept = room + 2 * n, .cache = cached ? room + 3 * n : NULL, .which = which };
}

void lm_put_virtual(lm_forward *g, const uint64_t *sets, lm_tensor **kept)
{
    const lm_batch *b = g->batch;
    int64_t n = b->n_tokens, any = 0;
    for (int64_t i = 0; i < b->n_segments; i++) {
        any += lm_model_virtual(g->m, ~sets[i]);
        n += begins(&b->segments[i]) ? lm_model_virtual(g->m, ~sets[i]) : 0;
    }
    if (!any) return;
    lm_batch *made = lm_tape_meta(g->t, sizeof *made);
    lm_segment *segments = lm_tape_meta(g->t, (size_t)b->n_segments * sizeof *segments);
    rows r = make_rows(g->t, g->m, n, b->cache_rows != NULL);
    if (g->t->err.code) return;
    for (int64_t i = 0; i < b->n_segments; i++) put_segment(&r, g->m, b, &b->segments[i], &segments[i], sets[i]);
    *kept = lm_input(g->t, r.kept, LM_I32, 1, &r.n_kept);
    *made = (lm_batch){ .n_tokens = r.n, .n_segments = b->n_segments, .ids = r.ids, .positions = r.positions, .segments = segments,
                        .cache_rows = r.cache, .virtual_rows = (const int32_t *const *)r.which };
    g->batch = made;
}
