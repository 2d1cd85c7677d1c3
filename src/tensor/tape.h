/* Tape: model code runs forward as it is read; what it did is recorded and walked back.
 *
 * Every op call makes a node: inputs, outputs, attributes.  lm_backward visits the nodes in
 * reverse and lets each op add to its inputs' gradients.
 *
 * Invariants
 *  1. Tensor data of a step lives in `step`, headers and nodes in `meta` (host memory, also on a
 *     device backend), gradients of activations in `grads`, what checkpointing keeps in `kept`.  lm_tape_reset drops
 *     all four.
 *  2. Ops never touch data themselves; only kernels do.  So the null backend, whose arenas may
 *     not be touched, runs the same code and measures its memory.
 *  3. A tensor's gradient buffer exists from its last consumer's backward to the end of its
 *     producer's, then it is reused: the peak holds the activations and a handful of gradients.
 *  4. The first failure sticks: from then on every op returns a dead tensor and does nothing, so
 *     model code needs no checks.  lm_backward and the caller look at tape->err. */
#ifndef LM_TENSOR_TAPE_H
#define LM_TENSOR_TAPE_H

#include "base/arena.h"
#include "base/err.h"
#include "tensor/kernel.h"
#include "tensor/tensor.h"

typedef struct lm_tape lm_tape;
typedef struct lm_node lm_node;
typedef struct lm_kept lm_kept;

enum { LM_MAX_IN = 6, LM_MAX_OUT = 2 };

/* An op: one file, ops/<name>.c, ending in `const lm_op lm_op_<name> = {`. */
typedef struct lm_op {
    const char *name, *source;                              /* source: paper, section */
    lm_status (*infer)(lm_tape *t, lm_node *n);             /* checks shapes; allocates outputs and saved values */
    void (*forward)(lm_tape *t, lm_node *n);
    void (*backward)(lm_tape *t, lm_node *n);               /* adds to the inputs' gradients */
} lm_op;

extern const lm_op *const lm_op_registry[];

struct lm_node {
    const lm_op *op;
    lm_node *previous;
    lm_tensor *in[LM_MAX_IN], *out[LM_MAX_OUT];             /* an optional input may be NULL */
    void *attr;                                             /* the op's own struct, copied into meta */
};

/* A gradient buffer that waits to be used again. */
typedef struct lm_free_block {
    void *data;
    size_t bytes;
    struct lm_free_block *next;
} lm_free_block;

/* What a block that will run twice keeps of the first time, in the order in which it was made. */
struct lm_kept {
    void *data;
    lm_kept *next;
};

struct lm_tape {
    const lm_kernels *k;
    lm_arena meta, step, kept, grads, scratch;
    lm_free_block *free_blocks;
    lm_dtype compute;                   /* LM_F32 or LM_BF16: type of activations and products */
    bool recording;                     /* gradients are wanted: keep nodes and what backward needs */
    bool training;                      /* dropout acts */
    bool checkpointing;                 /* lm_checkpoint drops and recomputes */
    size_t keep;                        /* but of what is dear to make, so many bytes in a step */
    lm_kept **keeping, *again;          /* a block's first run: where the next is noted; its second: the next there is */
    bool deterministic;
    uint64_t seed, stream;              /* of the next dropout */
    lm_node *last;
    lm_tensor dead;                     /* what ops return after a failure */
    lm_node dead_node;
    lm_err err;
};

typedef struct lm_tape_options {
    lm_dtype compute;
    size_t bytes;                       /* address space of each arena; 0: plenty */
    bool count_only;                    /* with the null backend: arenas that may not be touched */
} lm_tape_options;

lm_status lm_tape_init(lm_tape *t, const lm_kernels *k, const lm_tape_options *options, lm_err *err);
void lm_tape_free(lm_tape *t);

/* Every tensor of the step dies.  The error, if any, stays until lm_err_clear(&t->err). */
void lm_tape_reset(lm_tape *t);

/* Bytes of step + kept + gradients + scratch at their highest so far. */
size_t lm_tape_peak(const lm_tape *t);

/* ---- for callers ---- */

/* A tensor over the caller's memory, which must outlive the step. */
lm_tensor *lm_input(lm_tape *t, const void *data, lm_dtype dtype, int ndim, const int64_t *dim);

/* Gradients of every tensor that needs one, d loss / d loss = 1.  Parameters' gradients are added to. */
lm_status lm_backward(lm_tape *t, lm_tensor *loss);

/* The number in a one-element f32 tensor; 0 on a backend that does not compute. */
float lm_scalar(lm_tape *t, const lm_tensor *x);

/* ---- for ops ---- */

/* Makes and runs a node.  attr (may be NULL) is copied.  Returns the node, or the dead one. */
lm_node *lm_apply(lm_tape *t, const lm_op *op, const void *attr, size_t attr_size, int n_in, lm_tensor *const *in);

lm_status lm_tape_fail(lm_tape *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For ops that work number by number: inputs are contiguous, of one shape and type; infer then makes an
 * output like them. */
lm_status lm_check_elementwise(lm_tape *t, const lm_node *n);
lm_status lm_infer_elementwise(lm_tape *t, lm_node *n);

/* A new tensor header with step memory (or with `data`, when not NULL). */
lm_tensor *lm_tensor_new(lm_tape *t, lm_dtype dtype, int ndim, const int64_t *dim);
lm_tensor *lm_tensor_over(lm_tape *t, void *data, lm_dtype dtype, int ndim, const int64_t *dim);

/* Step memory that backward will read; NULL after a failure. */
void *lm_tape_alloc(lm_tape *t, size_t bytes);

/* For what is dear to make and written once: in a block's first run under checkpointing, room for it that lasts until
 * the second, while there is any (NULL otherwise); in the second run what stands there (NULL otherwise).  Both
 * runs ask for the same things in the same order. */
void *lm_tape_keep(lm_tape *t, size_t bytes);
void *lm_tape_kept(lm_tape *t);

/* Host memory that lives as long as the step; NULL after a failure. */
void *lm_tape_meta(lm_tape *t, size_t bytes);

/* Where to write x's gradient, and whether to add to it.  NULL when x needs none.  f32 for
 * parameters, the activation type otherwise. */
void *lm_grad_out(lm_tape *t, lm_tensor *x, bool *acc);

/* The gradient that has arrived at x, or NULL when none has. */
void *lm_grad_in(const lm_tensor *x);

/* x is y's memory changed in place: y's gradient becomes (or is added to) x's, without a copy where possible. */
void lm_grad_move(lm_tape *t, lm_tensor *to, lm_tensor *from);

/* Room that lives until the mark is released. */
static inline size_t lm_scratch_mark(lm_tape *t) { return lm_arena_mark(&t->scratch); }
void *lm_scratch(lm_tape *t, size_t bytes);
static inline void lm_scratch_release(lm_tape *t, size_t mark) { lm_arena_release(&t->scratch, mark); }

/* Visits the nodes from `last` back to (not including) `stop`. */
void lm_tape_walk_back(lm_tape *t, lm_node *stop);

#endif
