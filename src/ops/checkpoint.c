/* Activation checkpointing (Chen et al. 2016, section 3): keep a block's input, drop what it made,
 * and run it again in backward.  Without gradients the same dropping bounds inference memory to
 * one block.
 *
 * Where tape->keep allows, the products of the first blocks outlive the dropping (lm_tape_keep): running again then
 * costs what lies between them, which is little. */
#include "ops/ops.h"

typedef struct attr {
    lm_block block;
    void *context;
    uint64_t stream;                               /* dropout draws the same masks again */
    lm_kept *kept;
} attr;

/* Keeps nothing of a block but its result, which moves down to `mark`: where the block's own memory began, or
 * where its input lies when nobody needs that again. */
static lm_tensor *compact(lm_tape *t, lm_tensor *y, size_t mark)
{
    if (t->err.code) return &t->dead;
    uint8_t *to = t->step.base + mark;
    if ((uint8_t *)y->data < to) return y;         /* the block worked in place of something older */
    LM_ASSERT(lm_is_contiguous(y));
    lm_arena_release(&t->step, mark);
    void *data = lm_tape_alloc(t, lm_nbytes(y));
    if (data != y->data) t->k->copy(data, y->data, (int64_t)lm_nbytes(y));
    y->data = data;
    return y;
}

static lm_status infer(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    size_t mark = lm_arena_mark(&t->step);
    a->stream = t->stream;
    t->recording = false;
    t->keeping = &a->kept;
    lm_tensor *y = a->block(t, a->context, n->in[0]);
    t->keeping = NULL;
    t->recording = true;
    n->out[0] = compact(t, y, mark);
    return t->err.code;
}

static void forward(lm_tape *t, lm_node *n) { (void)t, (void)n; }      /* the result's place is known only by running */

static void backward(lm_tape *t, lm_node *n)
{
    attr *a = n->attr;
    lm_tensor *x = n->in[0], *y = n->out[0];
    size_t mark = lm_arena_mark(&t->step);
    lm_node *stop = t->last;
    uint64_t stream = t->stream;

    lm_tensor *again = lm_tensor_over(t, x->data, x->dtype, x->ndim, x->dim);
    if (again == &t->dead) return;
    again->needs_grad = true;
    t->stream = a->stream;
    t->recording = true;
    t->again = a->kept;
    lm_tensor *out = a->block(t, a->context, again);
    t->again = NULL;
    t->stream = stream;
    if (t->err.code) return;
    lm_grad_move(t, out, y);
    lm_tape_walk_back(t, stop);
    lm_grad_move(t, x, again);
    lm_arena_release(&t->step, mark);
}

const lm_op lm_op_checkpoint = {
    .name = "checkpoint", .source = "Chen et al. 2016, section 3",
    .infer = infer, .forward = forward, .backward = backward,
};

/* Where x begins if it is the last thing in step memory, else the end of that memory. */
static size_t place_of(const lm_tape *t, const lm_tensor *x)
{
    size_t end = lm_arena_mark(&t->step), bytes = (lm_nbytes(x) + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
    return end >= bytes && (uint8_t *)x->data == t->step.base + end - bytes ? end - bytes : end;
}

lm_tensor *lm_checkpoint(lm_tape *t, lm_block block, void *context, lm_tensor *x)
{
    if (t->err.code) return &t->dead;
    if (!t->recording || !t->checkpointing) {
        size_t mark = place_of(t, x);
        lm_tensor *y = block(t, context, x);
        return t->recording && y->needs_grad ? y : compact(t, y, mark);
    }
    attr a = { .block = block, .context = context };
    bool needs_grad = x->needs_grad;
    x->needs_grad = true;                          /* the block's parameters train even where its input does not */
    lm_tensor *y = lm_apply(t, &lm_op_checkpoint, &a, sizeof a, 1, &x)->out[0];
    x->needs_grad = needs_grad;
    return y;
}
