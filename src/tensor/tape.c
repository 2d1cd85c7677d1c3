#include "tensor/tape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lm_status lm_tape_init(lm_tape *t, const lm_kernels *k, const lm_tape_options *options, lm_err *err)
{
    size_t bytes = options->bytes ? options->bytes : (size_t)1 << 38;
    lm_arena_kind kind = options->count_only ? LM_ARENA_COUNT : LM_ARENA_REAL;
    *t = (lm_tape){ .k = k, .compute = options->compute };
    t->dead = lm_tensor_of(NULL, t->compute, 1, (int64_t[]){ 0 });
    t->dead_node.out[0] = t->dead_node.out[1] = &t->dead;
    if (lm_arena_init(&t->meta, "meta", bytes / 64, LM_ARENA_REAL, err) == LM_OK &&
        lm_arena_init(&t->step, "step", bytes, kind, err) == LM_OK &&
        lm_arena_init(&t->kept, "kept", bytes, kind, err) == LM_OK &&
        lm_arena_init(&t->grads, "gradient", bytes, kind, err) == LM_OK &&
        lm_arena_init(&t->scratch, "scratch", bytes, kind, err) == LM_OK)
        return LM_OK;
    lm_tape_free(t);
    return LM_E_NOMEM;
}

void lm_tape_free(lm_tape *t)
{
    lm_arena_free(&t->meta);
    lm_arena_free(&t->step);
    lm_arena_free(&t->kept);
    lm_arena_free(&t->grads);
    lm_arena_free(&t->scratch);
}

void lm_tape_reset(lm_tape *t)
{
    lm_arena_reset(&t->meta);
    lm_arena_reset(&t->step);
    lm_arena_reset(&t->kept);
    lm_arena_reset(&t->grads);
    t->free_blocks = NULL;
    t->last = NULL;
}

size_t lm_tape_peak(const lm_tape *t) { return t->step.peak + t->kept.peak + t->grads.peak + t->scratch.peak; }

lm_status lm_tape_fail(lm_tape *t, const char *format, ...)
{
    char text[sizeof t->err.message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return lm_fail(&t->err, LM_E_MISMATCH, "%s", text);
}

/* ---- memory ---- */

static void *alloc(lm_tape *t, lm_arena *arena, size_t bytes)
{
    void *p = lm_arena_alloc(arena, bytes);
    if (!p) lm_fail(&t->err, LM_E_NOMEM, "the %s arena of %zu MiB is full (%zu more bytes asked)",
                    arena->name, arena->size >> 20, bytes);
    return p;
}

void *lm_tape_alloc(lm_tape *t, size_t bytes) { return alloc(t, &t->step, bytes); }
void *lm_tape_meta(lm_tape *t, size_t bytes) { return alloc(t, &t->meta, bytes); }
void *lm_scratch(lm_tape *t, size_t bytes) { return alloc(t, &t->scratch, bytes); }

/* A block keeps what it makes first; the second run finds as much, and makes the rest. */
void *lm_tape_keep(lm_tape *t, size_t bytes)
{
    if (!t->keeping) return NULL;
    lm_kept *kept = t->kept.used + bytes + LM_ALIGN <= t->keep ? lm_tape_meta(t, sizeof *kept) : NULL;
    if (kept) *kept = (lm_kept){ .data = alloc(t, &t->kept, bytes) };
    *t->keeping = kept;
    t->keeping = kept ? &kept->next : NULL;
    return kept ? kept->data : NULL;
}

void *lm_tape_kept(lm_tape *t)
{
    const lm_kept *kept = t->again;
    if (!kept) return NULL;
    t->again = kept->next;
    return kept->data;
}

lm_tensor *lm_tensor_over(lm_tape *t, void *data, lm_dtype dtype, int ndim, const int64_t *dim)
{
    lm_tensor *x = alloc(t, &t->meta, sizeof *x);
    if (!x) return &t->dead;
    *x = lm_tensor_of(data, dtype, ndim, dim);
    return x;
}

lm_tensor *lm_tensor_new(lm_tape *t, lm_dtype dtype, int ndim, const int64_t *dim)
{
    lm_tensor *x = lm_tensor_over(t, NULL, dtype, ndim, dim);
    if (x != &t->dead && !(x->data = lm_tape_alloc(t, lm_nbytes(x)))) return &t->dead;
    return x;
}

lm_tensor *lm_input(lm_tape *t, const void *data, lm_dtype dtype, int ndim, const int64_t *dim)
{
    return lm_tensor_over(t, (void *)(uintptr_t)data, dtype, ndim, dim);   /* ops do not write to inputs */
}

/* ---- gradients of activations: blocks that are given back and found again by size ---- */

static void *block_take(lm_tape *t, size_t bytes)
{
    lm_free_block **best = NULL;
    for (lm_free_block **b = &t->free_blocks; *b; b = &(*b)->next)
        if ((*b)->bytes >= bytes && (*b)->bytes <= 2 * bytes && (!best || (*b)->bytes < (*best)->bytes)) best = b;
    if (!best) return alloc(t, &t->grads, bytes);
    void *data = (*best)->data;
    *best = (*best)->next;
    return data;
}

static void block_give(lm_tape *t, void *data, size_t bytes)
{
    lm_free_block *b = alloc(t, &t->meta, sizeof *b);
    if (!b) return;
    *b = (lm_free_block){ data, bytes, t->free_blocks };
    t->free_blocks = b;
}

static void grad_make(lm_tape *t, lm_tensor *x)
{
    lm_tensor *g = lm_tensor_over(t, NULL, x->dtype, x->ndim, x->dim);
    if (g == &t->dead || !(g->data = block_take(t, lm_nbytes(x)))) return;
    g->fresh = true;
    x->grad = g;
}

static void grad_drop(lm_tape *t, lm_tensor *x)
{
    if (!x->grad || x->base) return;
    block_give(t, x->grad->data, lm_nbytes(x));
    x->grad = NULL;
}

/* A view's gradient is the same view of its base's.  The base's starts as zeros, for columns that no view covers. */
static void grad_view(lm_tape *t, lm_tensor *x)
{
    lm_tensor *base = x->base;
    if (!base->grad) {
        grad_make(t, base);
        if (!base->grad) return;
        t->k->zero(base->grad->data, (int64_t)lm_nbytes(base->grad));
        base->grad->fresh = false;
    }
    if (base->grad->fresh) {                       /* a parameter's, untouched since the last step */
        t->k->zero(base->grad->data, (int64_t)lm_nbytes(base->grad));
        base->grad->fresh = false;
    }
    size_t offset = (size_t)((uint8_t *)x->data - (uint8_t *)base->data);
    lm_tensor *g = lm_tensor_over(t, (uint8_t *)base->grad->data + offset, x->dtype, x->ndim, x->dim);
    if (g == &t->dead) return;
    memcpy(g->stride, x->stride, sizeof g->stride);
    g->fresh = !base->name;                        /* a parameter's holds earlier micro-batches */
    x->grad = g;
}

void *lm_grad_out(lm_tape *t, lm_tensor *x, bool *acc)
{
    *acc = false;
    if (!x || !x->needs_grad || t->err.code) return NULL;
    if (!x->grad) {
        if (x->base) grad_view(t, x);
        else grad_make(t, x);
    }
    if (!x->grad) return NULL;
    *acc = !x->grad->fresh;
    x->grad->fresh = false;
    return x->grad->data;
}

void *lm_grad_in(const lm_tensor *x) { return x->grad && !x->grad->fresh ? x->grad->data : NULL; }

void lm_grad_move(lm_tape *t, lm_tensor *to, lm_tensor *from)
{
    if (!to->needs_grad || !from->grad) return;
    if (to->base && to->base == from->base) return;          /* both write into the base's gradient already */
    if (!to->grad && !to->base && !from->base) {
        to->grad = from->grad;
        from->grad = NULL;
        return;
    }
    LM_ASSERT(lm_is_contiguous(to) && lm_is_contiguous(from));
    bool acc;
    void *dst = lm_grad_out(t, to, &acc), *src = from->grad->data;
    if (dst) t->k->add[to->dtype](dst, src, acc ? dst : NULL, 1, 1, lm_numel(to));
}

/* ---- nodes ---- */

lm_node *lm_apply(lm_tape *t, const lm_op *op, const void *attr, size_t attr_size, int n_in, lm_tensor *const *in)
{
    if (t->err.code) return &t->dead_node;
    lm_node *n = alloc(t, &t->meta, sizeof *n + attr_size);
    if (!n) return &t->dead_node;
    *n = (lm_node){ .op = op, .attr = n + 1 };
    if (attr_size) memcpy(n->attr, attr, attr_size);
    bool needs_grad = false;
    for (int i = 0; i < n_in; i++) {
        n->in[i] = in[i];
        needs_grad |= in[i] && in[i]->needs_grad;
    }
    if (op->infer(t, n) != LM_OK || t->err.code) {
        lm_context(&t->err, "%s", op->name);
        return &t->dead_node;
    }
    op->forward(t, n);
    if (t->recording && needs_grad) {
        for (int i = 0; i < LM_MAX_OUT; i++)
            if (n->out[i]) n->out[i]->needs_grad = true;
        n->previous = t->last;
        t->last = n;
    }
    return n;
}

lm_status lm_check_elementwise(lm_tape *t, const lm_node *n)
{
    const lm_tensor *first = n->in[0];
    for (int i = 0; i < LM_MAX_IN && n->in[i]; i++)
        if (!lm_is_contiguous(n->in[i]) || !lm_same_shape(first, n->in[i]) || first->dtype != n->in[i]->dtype)
            return lm_tape_fail(t, "operands must be contiguous and of one shape and type");
    return LM_OK;
}

lm_status lm_infer_elementwise(lm_tape *t, lm_node *n)
{
    LM_TRY(lm_check_elementwise(t, n));
    n->out[0] = lm_tensor_new(t, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->dim);
    return t->err.code;
}

void lm_tape_walk_back(lm_tape *t, lm_node *stop)
{
    for (lm_node *n = t->last; n != stop && !t->err.code; n = n->previous) {
        bool reached = false;
        for (int i = 0; i < LM_MAX_OUT; i++)
            if (n->out[i]) reached |= lm_grad_in(n->out[i]) != NULL;
        if (!reached) continue;
        n->op->backward(t, n);
        for (int i = 0; i < LM_MAX_OUT; i++)
            if (n->out[i]) grad_drop(t, n->out[i]);
    }
    t->last = stop;
}

lm_status lm_backward(lm_tape *t, lm_tensor *loss)
{
    if (t->err.code) return t->err.code;
    LM_ASSERT(loss->dtype == LM_F32 && lm_numel(loss) == 1);
    bool acc;
    float *seed = lm_grad_out(t, loss, &acc);
    if (!seed) return t->err.code ? t->err.code : lm_tape_fail(t, "backward: the loss depends on no parameter that trains");
    const float one = 1;
    t->k->copy(seed, &one, sizeof one);
    lm_tape_walk_back(t, NULL);
    return t->err.code;
}

float lm_scalar(lm_tape *t, const lm_tensor *x)
{
    float value = 0;
    if (!t->err.code && t->k->computes) t->k->copy(&value, x->data, sizeof value);
    return value;
}
