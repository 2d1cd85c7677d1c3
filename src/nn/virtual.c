/* Virtual tokens: rows in front of every sequence that no text stands for.
 *
 * Prompt tuning learns their embeddings, prefix tuning their keys and values.  The callers' batches know
 * nothing of them: here they are put in front of each segment that begins a sequence, positions and rows
 * of the cache move on by their number, and their hidden states are dropped at the end. */
#include "nn/adapter.h"

int64_t lm_model_virtual(const lm_model *m) { return m->adapter && !m->adapter_off ? m->adapter->n_virtual : 0; }

int64_t lm_model_context(const lm_model *m) { return m->config.max_positions - lm_model_virtual(m); }

/* A segment without past begins its sequence. */
static bool begins(const lm_segment *s) { return s->nk == s->nq; }

typedef struct rows {
    int32_t *ids, *positions, *cache, *which, *kept;
    int64_t n, n_kept;
} rows;

static void put(rows *r, int32_t id, int64_t position, int64_t cache, int32_t which)
{
    r->ids[r->n] = id;
    r->positions[r->n] = (int32_t)position;
    r->which[r->n] = which;
    if (r->cache) r->cache[r->n] = (int32_t)cache;
    if (which < 0) r->kept[r->n_kept++] = (int32_t)r->n;
    r->n++;
}

static void put_segment(rows *r, const lm_batch *b, const lm_segment *s, lm_segment *out, int64_t n_virtual)
{
    int64_t begin = r->n;
    for (int64_t i = 0; begins(s) && i < n_virtual; i++) put(r, 0, i, s->k0 + i, (int32_t)i);
    for (int64_t i = s->q0; i < s->q0 + s->nq; i++)
        put(r, b->ids[i], b->positions[i] + n_virtual, r->cache ? b->cache_rows[i] + n_virtual : 0, -1);
    *out = (lm_segment){ .q0 = begin, .nq = r->n - begin, .k0 = r->cache ? s->k0 : begin, .nk = s->nk + n_virtual };
}

const lm_forward *lm_with_virtual(const lm_forward *f, int64_t n_virtual, lm_tensor **kept)
{
    const lm_batch *b = f->batch;
    int64_t n = b->n_tokens;
    for (int64_t i = 0; i < b->n_segments; i++) n += begins(&b->segments[i]) ? n_virtual : 0;
    struct { lm_forward forward; lm_batch batch; } *made = lm_tape_meta(f->t, sizeof *made);
    int32_t *room = lm_tape_meta(f->t, 5 * (size_t)n * sizeof *room);
    lm_segment *segments = lm_tape_meta(f->t, (size_t)b->n_segments * sizeof *segments);
    if (f->t->err.code) return NULL;
    rows r = { .ids = room, .positions = room + n, .which = room + 2 * n, .kept = room + 3 * n,
               .cache = b->cache_rows ? room + 4 * n : NULL };
    for (int64_t i = 0; i < b->n_segments; i++) put_segment(&r, b, &b->segments[i], &segments[i], n_virtual);
    *kept = lm_input(f->t, r.kept, LM_I32, 1, &r.n_kept);
    made->batch = (lm_batch){ .n_tokens = r.n, .n_segments = b->n_segments, .ids = r.ids, .positions = r.positions,
                              .segments = segments, .cache_rows = r.cache, .virtual_rows = r.which };
    made->forward = *f;
    made->forward.batch = &made->batch;
    lm_adapter *a = f->m->adapter;
    if (a->type->vectors) made->forward.vectors = a->type->vectors(f->t, a);
    return &made->forward;
}
