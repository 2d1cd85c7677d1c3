#include "peft/dora.h"

#include "nn/active.h"

#include <math.h>
#include <stdlib.h>

/* Rows [i, i + n) of w in f32. */
static void read_rows(const lm_kernels *k, float *out, const lm_tensor *w, int64_t i, int64_t n)
{
    int64_t cols = w->dim[1];
    if (w->quant) k->dequantise(out, w->quant, w->data, i * cols, n * cols);
    else k->convert(out, LM_F32, (const uint8_t *)w->data + (size_t)(i * cols) * lm_dtype_size(w->dtype), w->dtype, n * cols);
}

/* |W_i|^2 for every output, a few rows of the stored matrix at a time. */
static void measure(const lm_kernels *k, float *squares, const lm_linear_site *s)
{
    enum { ROWS = 64 };
    int64_t rows = s->w->dim[0], cols = s->w->dim[1];
    k->zero(squares, s->out * (int64_t)sizeof *squares);
    if (!k->computes) return;
    float *room = lm_malloc((size_t)(ROWS * cols) * sizeof *room);
    for (int64_t i = 0; i < rows; i += ROWS) {
        int64_t n = rows - i < ROWS ? rows - i : ROWS;
        read_rows(k, room, s->w, i, n);
        if (s->transposed) k->dot_columns[LM_F32](squares, room, room, n, cols);
        for (int64_t j = 0; j < n && !s->transposed; j++) {
            double square;
            k->sum_squares(&square, room + j * cols, cols);
            squares[i + j] = (float)square;
        }
    }
    free(room);
}

lm_status lm_dora_attach(lm_link *l, lm_err *err)
{
    lm_adapter *a = l->adapter;
    const lm_linear_site *s = l->site;
    l->param[LM_DORA_MAGNITUDE] = lm_param_declare(&a->params, LM_INIT_ONE, 0, 1, &s->out, "%s.lora_magnitude_vector", s->name);
    l->own = lm_arena_alloc(&a->params.arena, (size_t)s->out * sizeof *l->own);
    if (!l->own) return lm_fail(err, LM_E_NOMEM, "no room for the norms of %s", s->name);
    measure(a->params.k, l->own, s);
    return LM_OK;
}

void lm_dora_start(const lm_link *l)
{
    float *m = l->param[LM_DORA_MAGNITUDE]->t.data;
    if (!l->adapter->params.k->computes) return;
    for (int64_t i = 0; i < l->site->out; i++) m[i] = sqrtf(l->own[i]);
}

static size_t room_for(const lm_link *l)
{
    int64_t r = l->param[LM_DORA_A]->t.dim[0];
    return (size_t)(r * (r + l->site->out)) * sizeof(float);
}

/* y[out] = 1 / |W_i + s B_i A|, with room_for(l) bytes of room. */
static void inverse_norms(const lm_kernels *k, float *y, const lm_link *l, float *room, bool deterministic)
{
    const lm_linear_site *s = l->site;
    const lm_tensor *a = &l->param[LM_DORA_A]->t, *b = &l->param[LM_DORA_B]->t, *w = s->w;
    int64_t r = a->dim[0];
    float *cross = room, *gram = room + r * s->out;          /* [r, out], [r, r] */
    lm_gemm g = { .c = gram, .ldc = r, .m = r, .n = r, .k = s->in, .alpha = l->scale * l->scale, .a = a->data, .lda = s->in,
                  .b = a->data, .ldb = s->in, .trans_b = true, .deterministic = deterministic };
    k->gemm(&g);
    g.c = cross, g.ldc = g.n = s->out, g.alpha = 2 * l->scale;
    g.b = w->data, g.bt = w->dtype, g.bq = w->quant, g.ldb = w->dim[1], g.trans_b = !s->transposed;
    k->gemm(&g);
    g.a = gram, g.lda = g.k = r, g.alpha = g.beta = 1;
    g.b = b->data, g.bt = LM_F32, g.bq = NULL, g.ldb = r, g.trans_b = true;
    k->gemm(&g);
    k->inverse_norms(y, l->own, b->data, cross, s->out, r);
}

lm_tensor *lm_dora_output(const lm_forward *f, const lm_link *l, lm_tensor *z)
{
    lm_tape *t = f->t;
    for (const lm_link *before = l->site->links; before != l; before = before->next)
        if (lm_acts(f, before->adapter)) {
            lm_tape_fail(t, "%s: DoRA scales what it finds at %s, where %s is already: put it first", l->adapter->name, l->site->name, before->adapter->name);
            return &t->dead;
        }
    size_t mark = lm_scratch_mark(t);
    lm_tensor *inverse = lm_tensor_new(t, LM_F32, 1, &l->site->out);
    float *room = lm_scratch(t, room_for(l));
    if (t->err.code) return &t->dead;
    inverse_norms(t->k, inverse->data, l, room, t->deterministic);
    lm_scratch_release(t, mark);
    lm_tensor *gain = lm_mul(t, &l->param[LM_DORA_MAGNITUDE]->t, inverse);
    return lm_scale_columns_about(t, z, gain, l->site->bias);
}

float *lm_dora_gains(const lm_link *l)
{
    const lm_kernels *k = l->adapter->params.k;
    float *gain = lm_malloc((size_t)l->site->out * sizeof *gain), *room = lm_malloc(room_for(l));
    inverse_norms(k, gain, l, room, false);
    k->mul[LM_F32](gain, gain, l->param[LM_DORA_MAGNITUDE]->t.data, l->site->out, false);
    free(room);
    return gain;
}

void lm_dora_merge(const lm_link *l, const float *gain)
{
    const lm_kernels *k = l->adapter->params.k;
    const lm_linear_site *s = l->site;
    float *w = s->w->data;
    int64_t rows = s->w->dim[0], cols = s->w->dim[1];
    if (s->transposed) k->scale_columns[LM_F32](w, w, gain, rows, cols, false);
    else for (int64_t i = 0; i < rows; i++) k->add[LM_F32](w + i * cols, w + i * cols, NULL, gain[i], 0, cols);
}
