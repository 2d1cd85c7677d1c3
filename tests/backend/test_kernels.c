/* Every slot of every backend that this machine runs, against ref: odd sizes, unaligned data, both
 * activation types; and the same bits on one thread and on two.
 *
 * A slot's trial is one function that makes its inputs from a fixed seed, calls the slot and hands
 * over what it wrote.  It is run with ref's table, whose results are kept, and then with the other's.
 * The list of trials is made from LM_KERNELS: a slot without a trial does not link. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/rng.h"
#include "base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs ----------------------------------------------------------------------------------- */

static lm_rng rng;
static void *owned[1 << 14];
static int n_owned;

/* Exactly n elements, of which the first is not aligned to more than its own size. */
static void *room(int64_t n, size_t size)
{
    char *whole = malloc(64 + size * (size_t)n + size);
    assert_non_null(whole);
    assert_true(n_owned < (int)(sizeof owned / sizeof owned[0]));
    owned[n_owned++] = whole;
    return whole + size;
}

static void free_rooms(void)
{
    while (n_owned) free(owned[--n_owned]);
}

static float uniform(float low, float high) { return low + (high - low) * (float)lm_rng_unit(&rng); }

static void *numbers(int real, int64_t n, float low, float high)
{
    void *x = room(n, lm_dtype_size((lm_dtype)real));
    for (int64_t i = 0; i < n; i++) {
        float v = uniform(low, high);
        if (real == LM_F32) ((float *)x)[i] = v;
        else if (real == LM_BF16) ((uint16_t *)x)[i] = lm_f32_to_bf16(v);
        else ((uint16_t *)x)[i] = lm_f32_to_f16(v);
    }
    return x;
}

static void *noise(int real, int64_t n) { return numbers(real, n, -2, 2); }

static int32_t *indices(int64_t n, int64_t below)
{
    int32_t *x = room(n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (int32_t)lm_rng_below(&rng, (uint64_t)below);
    return x;
}

/* ---- results ---------------------------------------------------------------------------------- */

typedef struct written {
    char *data;
    size_t used, size;
} written;

static written truth, once;               /* what ref wrote; what the other wrote on one thread */
static enum { FROM_REF, FIRST, AGAIN } phase;
static size_t cursor;
static const char *current;

static void keep(written *l, const void *data, size_t bytes)
{
    if (l->used + bytes > l->size) {
        l->size = 2 * (l->used + bytes);
        l->data = realloc(l->data, l->size);
        assert_non_null(l->data);
    }
    memcpy(l->data + l->used, data, bytes);
    l->used += bytes;
}

static double value(int type, const void *x, int64_t i)
{
    switch (type) {
    case LM_F32: { float f; memcpy(&f, (const char *)x + 4 * i, 4); return f; }
    case LM_BF16: { uint16_t h; memcpy(&h, (const char *)x + 2 * i, 2); return lm_bf16_to_f32(h); }
    case LM_U8: return ((const uint8_t *)x)[i];
    default: { double d; memcpy(&d, (const char *)x + 8 * i, 8); return d; }          /* RESULT_F64 */
    }
}

enum { RESULT_F64 = LM_N_DTYPES };

static size_t result_size(int type) { return type == RESULT_F64 ? sizeof(double) : lm_dtype_size((lm_dtype)type); }

/* |got - want| <= tolerance, and in bf16 one unit in the last place more: numbers on two sides of a
 * rounding border differ by one. */
static void compare(int type, const void *got, const void *want, int64_t n, double tolerance, const char *what)
{
    for (int64_t i = 0; i < n; i++) {
        double g = value(type, got, i), w = value(type, want, i);
        double allowed = tolerance + (type == LM_BF16 && tolerance > 0 ? fabs(w) * 0x1p-7 : 0);
        bool same = g == w || (isnan(g) && isnan(w));
        if (!same && !(fabs(g - w) <= allowed))
            fail_msg("%s: %s[%lld] of %lld: got %.9g, want %.9g, may differ by %.3g", current, what, (long long)i,
                     (long long)n, g, w, allowed);
    }
}

/* A trial hands over n numbers that its slot wrote. */
static void result(int type, const void *x, int64_t n, double tolerance, const char *what)
{
    size_t bytes = (size_t)n * result_size(type);
    if (phase == FROM_REF) {
        keep(&truth, x, bytes);
        return;
    }
    if (phase == FIRST) {
        compare(type, x, truth.data + cursor, n, tolerance, what);
        keep(&once, x, bytes);
    } else if (memcmp(x, once.data + cursor, bytes)) {
        compare(type, x, once.data + cursor, n, 0, what);
        fail_msg("%s: %s: other bits on %d threads than on one", current, what, lm_threads());
    }
    cursor += bytes;
}

/* The error of a sum of n terms up to `size` in another order: 8 standard deviations of a random walk
 * of rounding errors. */
static double sum_error(int64_t n, double size) { return 8 * sqrt((double)n) * 0x1p-24 * size; }

/* A few roundings of numbers up to `size`. */
static double roundings(double size) { return 8 * 0x1p-24 * size; }

/* ---- trials ----------------------------------------------------------------------------------- */

/* A loop over the values that are listed. */
#define EACH(type, name, ...)                                                                             \
    for (const type *name##_at = (const type[]){ __VA_ARGS__ },                                           \
                    *name##_end = name##_at + sizeof((const type[]){ __VA_ARGS__ }) / sizeof(type);       \
         name##_at < name##_end; name##_at++)                                                             \
        for (type name = *name##_at, name##_once = 1; name##_once; name##_once = 0)
#define LENGTHS 1, 7, 33, 100, 257, 5003, 40009

static void trial_gemm(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, m, 1, 7, 33) EACH(int64_t, n, 5, 64) {
        enum { K = 100 };
        lm_gemm g = { .c = noise(LM_F32, m * n), .a = noise(LM_F32, m * K), .b = noise(LM_F32, n * K), .m = m, .n = n,
                      .k = K, .lda = K, .ldb = K, .ldc = n, .alpha = 0.5f, .beta = 1, .trans_b = true };
        k->gemm(&g);
        result(LM_F32, g.c, m * n, sum_error(K, 4), "c");
    }
}

static void trial_convert(const lm_kernels *k, int real)
{
    (void)real;
    const lm_dtype types[] = { LM_F32, LM_BF16, LM_F16, LM_I8, LM_U8, LM_I32, LM_I64 };
    EACH(int, from, 0, 1, 2, 3, 4, 5, 6) EACH(int, to, 0, 1, 2, 3, 4, 5, 6) EACH(int64_t, n, 1, 7, 300, 20011) {
        int64_t bytes = n * (int64_t)lm_dtype_size(types[to]);
        uint8_t *y = room(n, lm_dtype_size(types[to])), *z = room(n, lm_dtype_size(types[from]));
        k->convert(z, types[from], numbers(LM_F32, n, -300, 300), LM_F32, n);
        k->convert(y, types[to], z, types[from], n);
        result(LM_U8, y, bytes, 0, lm_dtype_name(types[to]));
    }
}

/* The same bits from every backend: one product a number.  tests/backend/test_quant.c has the other formats. */
static void trial_dequantise(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) EACH(int64_t, begin, 0, 5) {
        lm_quant q = { .bits = 4, .block = 64, .unit = 1, .absmax = noise(LM_F32, (n + 5) / 64 + 1) };
        memcpy(q.level, noise(LM_F32, 16), sizeof q.level);
        float *y = noise(LM_F32, n);
        k->dequantise(y, &q, noise(LM_F16, n / 4 + 4), begin, n);                /* any bytes are codes */
        result(LM_F32, y, n, 0, "y");
    }
}

static void trial_copy(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS, 1500007) {
        char *x = room(n, 1), *y = room(n, 1);
        for (int64_t i = 0; i < n; i++) x[i] = (char)(i * 31);
        k->copy(y, x, n);
        result(LM_U8, y, n, 0, "y");
    }
}

static void trial_zero(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS, 1500007) {
        char *y = room(n + 1, 1);
        memset(y, 7, (size_t)n + 1);
        k->zero(y, n);
        result(LM_U8, y, n + 1, 0, "y");
    }
}

static void one_rope_table(const lm_k_rope_table *shape, const lm_kernels *k)
{
    lm_k_rope_table a = *shape;
    int64_t n = a.rows * a.half;
    float *inv_freq = room(a.half, sizeof *inv_freq);
    for (int64_t j = 0; j < a.half; j++) inv_freq[j] = (float)pow(10000, -(double)j / (double)a.half);
    a.positions = indices(a.rows, 131072), a.inv_freq = inv_freq;
    a.cos = noise(LM_F32, n), a.sin = noise(LM_F32, n);
    k->rope_table(&a);
    result(LM_F32, a.cos, n, 0, "cos");
    result(LM_F32, a.sin, n, 0, "sin");
}

static void trial_rope_table(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, rows, 1, 33) EACH(int64_t, half, 1, 7, 64)
        one_rope_table(&(lm_k_rope_table){ .rows = rows, .half = half, .scale = 1.1386f }, k);
}

/* Logits far from zero too: the loss must not depend on a constant added to all. */
static void trial_xent(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, rows, 1, 9) EACH(int64_t, vocab, 1, 7, 257, 5003) EACH(float, base, 0, -200) EACH(int, grad, 0, 1) EACH(int, entropy, 0, 1) {
        int64_t ld = vocab + 3;
        lm_k_xent a = { .rows = rows, .vocab = vocab, .ld = ld, .grad = grad,
                        .logits = numbers(LM_F32, rows * ld, base - 8, base + 8), .nll = noise(LM_F32, rows) };
        int32_t *targets = indices(rows, vocab);
        if (rows > 1) targets[1] = -1, a.weights = numbers(LM_F32, rows, 0, 2);
        a.targets = targets;
        if (entropy) a.entropy = noise(LM_F32, rows);
        if (entropy && rows > 1) a.bonus = numbers(LM_F32, rows, -1, 1);
        k->xent(&a);
        if (entropy) result(LM_F32, a.entropy, rows, roundings(64) + roundings(4 * fabs(base)) + sum_error(vocab, 0.1), "entropy");
        result(LM_F32, a.nll, rows, roundings(32) + sum_error(vocab, 0.1), "nll");
        result(LM_F32, a.logits, rows * ld, grad ? roundings((entropy ? 16 : 1) * (fabs(base) + 16)) : 0, "logits");
    }
}

static void trial_adamw(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) {
        lm_k_adamw a = { .w = noise(LM_F32, n), .m = noise(LM_F32, n), .v = numbers(LM_F32, n, 0.01f, 1),
                         .g = noise(LM_F32, n), .n = n, .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f,
                         .decay = 0.1f, .bias1 = 0.19f, .bias2 = 0.0975f, .scale = 0.7f };
        k->adamw(&a);
        result(LM_F32, a.w, n, roundings(4), "w");
        result(LM_F32, a.m, n, roundings(2), "m");
        result(LM_F32, a.v, n, roundings(2), "v");
    }
}

static void trial_lstm_cell_fwd(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) EACH(int, first, 0, 1) {
        float *gates = noise(LM_F32, 4 * n), *c = noise(LM_F32, n), *h = noise(LM_F32, n);
        k->lstm_cell_fwd(h, c, gates, first ? NULL : noise(LM_F32, n), n);
        result(LM_F32, gates, 4 * n, roundings(8), "gates");
        result(LM_F32, c, n, roundings(16), "c");
        result(LM_F32, h, n, roundings(16), "h");
    }
}

static void trial_lstm_cell_bwd(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) EACH(int, first, 0, 1) {
        float *da = noise(LM_F32, 4 * n), *dc = noise(LM_F32, n);
        k->lstm_cell_bwd(da, dc, noise(LM_F32, n), numbers(LM_F32, 4 * n, 0.01f, 0.99f), noise(LM_F32, n), first ? NULL : noise(LM_F32, n), n);
        result(LM_F32, da, 4 * n, roundings(32), "da");
        result(LM_F32, dc, n, roundings(32), "dc");
    }
}

static void trial_sum_squares(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) {
        double sum = -1;
        k->sum_squares(&sum, noise(LM_F32, n), n);
        result(RESULT_F64, &sum, 1, sum_error(n, 4 * (double)n) * 0x1p-29, "sum");
    }
}

static void trial_dot(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, n, LENGTHS) EACH(int, weighted, 0, 1) {
        float sum = -1;
        k->dot(&sum, noise(LM_F32, n), weighted ? noise(LM_F32, n) : NULL, n);
        result(LM_F32, &sum, 1, 0x1p-23 * 4 * sqrt((double)n), "sum");
    }
}

static void trial_inverse_norms(const lm_kernels *k, int real)
{
    (void)real;
    EACH(int64_t, rows, 1, 33, 300) EACH(int64_t, n, 1, 8) {
        float *y = noise(LM_F32, rows), *c = noise(LM_F32, rows), *a = noise(LM_F32, rows * n);
        for (int64_t i = 0; i < rows; i++) c[i] = 50 + c[i];       /* a square of a norm is not negative */
        k->inverse_norms(y, c, a, noise(LM_F32, rows * n), rows, n);
        result(LM_F32, y, rows, roundings(2), "y");
    }
}

static void trial_embedding_fwd(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 70) EACH(int64_t, cols, 1, 33, 300) EACH(int, wt, LM_F32, LM_BF16, LM_F16) EACH(int, acc, 0, 1) {
        int64_t ld = acc ? cols + 5 : 0;
        lm_k_embedding a = { .y = noise(real, rows * cols), .table = noise(wt, 11 * (cols + 5)), .ld = ld, .ids = indices(rows, 11),
                             .rows = rows, .cols = cols, .vocab = 11, .wt = (lm_dtype)wt, .acc = acc };
        k->embedding_fwd[real](&a);
        result(real, a.y, rows * cols, 0, "y");
    }
}

static void trial_embedding_bwd(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 70) EACH(int64_t, cols, 1, 33, 300) {
        lm_k_embedding_bwd a = { .dtable = noise(LM_F32, 11 * (cols + 5)), .dy = noise(real, rows * cols), .ld = rows > 1 ? cols + 5 : 0,
                                 .ids = indices(rows, 11), .rows = rows, .cols = cols, .vocab = 11 };
        k->embedding_bwd[real](&a);
        result(LM_F32, a.dtable, 11 * (cols + 5), 0, "dtable");
    }
}

/* Every combination of what may be absent. */
static void trial_norm_fwd(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 70) EACH(int64_t, cols, 1, 33, 300) EACH(int, wt, LM_F32, LM_BF16, LM_F16)
        for (int with = 0; with < 32; with++) {
            int64_t n = rows * cols;
            lm_k_norm a = { .y = noise(real, n), .x = noise(real, n), .rstd = noise(LM_F32, rows), .rows = rows,
                            .cols = cols, .eps = 1e-5f, .wt = (lm_dtype)wt };
            if (with & 1) a.mean = noise(LM_F32, rows);
            if (with & 2) a.residual = noise(real, n);
            if (with & 4) a.sum = with & 2 && rows > 1 ? (void *)a.residual : noise(real, n);   /* also in place */
            if (with & 8) a.w = noise(wt, cols);
            if (with & 16) a.b = noise(wt, cols);
            k->norm_fwd[real](&a);
            if (a.mean) result(LM_F32, a.mean, rows, sum_error(cols, 2), "mean");
            if (a.sum) result(real, a.sum, n, 0, "sum");
            double spread = cols == 1 ? 320 : 2;                  /* of one number: up to 1 / sqrt(eps) */
            result(LM_F32, a.rstd, rows, sum_error(cols, 2) * spread, "rstd");
            result(real, a.y, n, sum_error(cols, 8) * spread, "y");
        }
}

static void trial_norm_bwd(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 70) EACH(int64_t, cols, 1, 33, 300) EACH(int, wt, LM_F32, LM_BF16)
        for (int with = 0; with < 64; with++) {
            int64_t n = rows * cols;
            lm_k_norm_bwd a = { .ds = noise(real, n), .dy = noise(real, n), .s = noise(real, n), .rows = rows,
                                .rstd = numbers(LM_F32, rows, 0.5f, 2), .cols = cols, .wt = (lm_dtype)wt };
            if (with & 1) a.mean = noise(LM_F32, rows);
            if (with & 2) a.w = noise(wt, cols);
            if (with & 4) a.dw = noise(LM_F32, cols);
            if (with & 8) a.db = noise(LM_F32, cols);
            if (with & 16) a.acc = true;
            if (with & 32) a.ds = NULL;
            k->norm_bwd[real](&a);
            if (a.ds) result(real, a.ds, n, sum_error(cols, 200), "ds");       /* h up to 8, its square times g up to 4 */
            if (a.dw) result(LM_F32, a.dw, cols, sum_error(rows, 16 * sqrt((double)rows)), "dw");
            if (a.db) result(LM_F32, a.db, cols, sum_error(rows, 2 * sqrt((double)rows)), "db");
        }
}

static void trial_rope(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 100) EACH(int64_t, half, 1, 7, 32) EACH(int, inverse, 0, 1) {
        enum { HEADS = 3 };
        int64_t head_dim = 2 * half + 3, ld = HEADS * head_dim + 5;
        lm_k_rope a = { .x = noise(real, rows * ld), .cos = noise(LM_F32, rows * half), .sin = noise(LM_F32, rows * half),
                        .rows = rows, .heads = HEADS, .head_dim = head_dim, .half = half, .ld = ld, .inverse = inverse };
        k->rope[real](&a);
        result(real, a.x, rows * ld, roundings(8), "x");
    }
}

/* Documents of different length, a continuation of a cache, one new token, queries before any key. */
static const lm_segment segments[] = { { 0, 5, 0, 5 }, { 5, 130, 5, 130 }, { 135, 1, 135, 77 }, { 136, 20, 212, 150 },
                                       { 156, 6, 362, 4 } };
enum { QUERIES = 162, KEYS = 366, SEGMENTS = 5 };

/* Head counts, head sizes (odd ones and one that ref cuts into chunks), windows. */
static const struct shape { int heads, kv_heads, head_dim, window; bool causal; } shapes[] = {
    { 1, 1, 1, 0, true },   { 2, 2, 64, 0, true },   { 6, 2, 33, 0, true },  { 4, 1, 80, 0, false },
    { 2, 1, 64, 16, true }, { 2, 2, 16, 50, false }, { 1, 1, 130, 0, true }, { 2, 1, 257, 0, true },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static lm_k_attention attention_of(int real, const struct shape *s)
{
    int64_t ldq = s->heads * s->head_dim + 3, ldk = s->kv_heads * s->head_dim + 1;
    return (lm_k_attention){
        .o = noise(real, QUERIES * ldq), .lse = noise(LM_F32, QUERIES * s->heads), .q = noise(real, QUERIES * ldq),
        .k = noise(real, KEYS * ldk), .v = noise(real, KEYS * ldk), .segments = segments, .n_segments = SEGMENTS,
        .rows = QUERIES, .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim, .ldq = ldq, .ldk = ldk,
        .ldv = ldk, .ldo = ldq, .window = s->window, .scale = 1 / sqrtf((float)s->head_dim), .causal = s->causal };
}

static void trial_attention_fwd(const lm_kernels *k, int real)
{
    for (int i = 0; i < SHAPES; i++) {
        lm_k_attention a = attention_of(real, &shapes[i]);
        k->attention_fwd[real](&a);
        result(real, a.o, QUERIES * a.ldo, sum_error(150, 2), "o");
        result(LM_F32, a.lse, QUERIES * a.heads, sum_error(a.head_dim, 8), "lse");
    }
}

/* o and lse come from ref in every run, so that only backward differs. */
static void trial_attention_bwd(const lm_kernels *k, int real)
{
    lm_kernels ref;
    assert_int_equal(lm_backend(&ref, "ref", NULL), LM_OK);
    for (int i = 0; i < SHAPES; i++) {
        lm_k_attention a = attention_of(real, &shapes[i]);
        ref.attention_fwd[real](&a);
        lm_k_attention_bwd b = { .f = a, .dq = noise(real, QUERIES * a.ldq), .dk = noise(real, KEYS * a.ldk),
                                 .dv = noise(real, KEYS * a.ldk), .dout = noise(real, QUERIES * a.ldo),
                                 .delta = noise(LM_F32, QUERIES * a.heads), .lddo = a.ldo, .lddq = a.ldq,
                                 .lddk = a.ldk, .lddv = a.ldk };
        k->attention_bwd[real](&b);
        double size = 4 * sqrt((double)a.head_dim) * sqrt((double)a.heads);
        result(real, b.dq, QUERIES * b.lddq, sum_error(150, size), "dq");
        result(real, b.dk, KEYS * b.lddk, sum_error(150, size), "dk");
        result(real, b.dv, KEYS * b.lddv, sum_error(150, size), "dv");
    }
}

static void trial_glu_fwd(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) for (int act = 0; act < LM_N_ACTS; act++) {
        lm_k_glu a = { .y = noise(real, n), .gate = numbers(real, n, -9, 9), .up = noise(real, n), .n = n, .act = (lm_act)act };
        k->glu_fwd[real](&a);
        result(real, a.y, n, roundings(18), "y");
    }
}

/* Also with a gradient over dy, as the header promises. */
static void trial_glu_bwd(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) for (int act = 0; act < LM_N_ACTS; act++) for (int with = 0; with < 6; with++) {
        lm_k_glu_bwd a = { .dgate = noise(real, n), .dup = noise(real, n), .dy = noise(real, n),
                           .gate = numbers(real, n, -9, 9), .up = noise(real, n), .n = n, .act = (lm_act)act };
        if (with == 4) a.dgate = (void *)a.dy;
        else if (with == 5) a.dup = (void *)a.dy;
        else a.acc_gate = with & 1, a.acc_up = with >> 1;
        k->glu_bwd[real](&a);
        result(real, a.dgate, n, roundings(40), "dgate");
        result(real, a.dup, n, roundings(40), "dup");
    }
}

static void trial_act_fwd(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) EACH(int, acc, 0, 1) for (int act = 0; act < LM_N_ACTS; act++) {
        lm_k_act a = { .y = noise(real, n), .x = numbers(real, n, -9, 9), .n = n, .act = (lm_act)act, .acc = acc };
        k->act_fwd[real](&a);
        result(real, a.y, n, roundings(9), "y");
    }
}

static void trial_act_bwd(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) EACH(int, with, 0, 1, 2) for (int act = 0; act < LM_N_ACTS; act++) {
        lm_k_act a = { .y = noise(real, n), .x = numbers(real, n, -9, 9), .dy = noise(real, n), .n = n,
                       .act = (lm_act)act, .acc = with == 1 };
        if (with == 2) a.y = (void *)a.dy;
        k->act_bwd[real](&a);
        result(real, a.y, n, roundings(18), "dx");
    }
}

/* Without acc the bits are ref's; with it one product and sum may round once instead of twice. */
static void trial_dropout(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) EACH(int, acc, 0, 1) EACH(float, p, 0, 0.1f, 0.9f) {
        lm_k_dropout a = { .y = noise(real, n), .x = noise(real, n), .n = n, .seed = 0x123456789ABCDEF0u,
                           .stream = 0xFEDCBA9876543210u, .p = p, .acc = acc };
        k->dropout[real](&a);
        result(real, a.y, n, acc ? roundings(24) : 0, "y");
    }
}

static void trial_add(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) EACH(int, with, 0, 1, 2) {
        void *a = noise(real, n), *b = with ? noise(real, n) : NULL, *y = with == 2 ? b : noise(real, n);
        k->add[real](y, a, b, 0.75f, -1.5f, n);
        result(real, y, n, roundings(5), "y");
    }
}

static void trial_mul(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) EACH(int, acc, 0, 1) {
        void *y = noise(real, n);
        k->mul[real](y, noise(real, n), noise(real, n), n, acc);
        result(real, y, n, roundings(6), "y");
    }
}

static void trial_sum_rows(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 7, 257) EACH(int64_t, cols, 1, 33, 300) {
        float *y = noise(LM_F32, cols);
        k->sum_rows[real](y, noise(real, rows * (cols + 5)), rows, cols, cols + 5);
        result(LM_F32, y, cols, sum_error(rows, 2 * sqrt((double)rows)), "y");
    }
}

static void trial_accumulate(const lm_kernels *k, int real)
{
    EACH(int64_t, n, LENGTHS) {
        float *y = noise(LM_F32, n);
        k->accumulate[real](y, noise(real, n), n);
        result(LM_F32, y, n, 0, "y");
    }
}

static void trial_scale_columns(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 7, 257) EACH(int64_t, cols, 1, 33, 300) EACH(int, acc, 0, 1) {
        void *y = noise(real, rows * cols);
        k->scale_columns[real](y, noise(real, rows * cols), noise(LM_F32, cols), rows, cols, acc);
        result(real, y, rows * cols, roundings(6), "y");
    }
}
static void trial_dot_columns(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 7, 257) EACH(int64_t, cols, 1, 33, 300) {
        float *y = noise(LM_F32, cols);
        k->dot_columns[real](y, noise(real, rows * cols), noise(real, rows * cols), rows, cols);
        result(LM_F32, y, cols, sum_error(rows, 4 * sqrt((double)rows)), "y");
    }
}
static void trial_scatter_rows(const lm_kernels *k, int real)
{
    EACH(int64_t, rows, 1, 100) EACH(int64_t, cols, 1, 33, 300) {
        void *y = noise(real, 2 * rows * (cols + 2));
        int32_t *index = room(rows, sizeof *index);
        for (int64_t i = 0; i < rows; i++) index[i] = (int32_t)(2 * (rows - 1 - i) + (i & 1));
        k->scatter_rows[real](y, noise(real, rows * (cols + 1)), index, rows, cols, cols + 2, cols + 1);
        result(real, y, 2 * rows * (cols + 2), 0, "y");
    }
}

/* ---- the walk --------------------------------------------------------------------------------- */

static const struct trial {
    const char *slot;
    int reals;                         /* how many activation types the slot has */
    void (*run)(const lm_kernels *k, int real);
} trials[] = {
#define LM_SLOT(slot, params)      { #slot, 1, trial_##slot },
#define LM_SLOT_REAL(slot, params) { #slot, LM_N_REALS, trial_##slot },
    LM_KERNELS(LM_SLOT, LM_SLOT_REAL)
#undef LM_SLOT
#undef LM_SLOT_REAL
};

static void run(const struct trial *t, const lm_kernels *k, int real, int threads)
{
    rng = (lm_rng){ .seed = 7, .stream = (uint64_t)real };
    cursor = 0;
    lm_threads_set(threads);
    t->run(k, real);
    lm_threads_set(0);
    free_rooms();
}

static void walk(const char *name)
{
    lm_kernels ref, k;
    lm_err err = { 0 };
    assert_int_equal(lm_backend(&ref, "ref", NULL), LM_OK);
    if (lm_backend(&k, name, &err) == LM_E_UNSUPPORTED) {
        printf("skipped: %s\n", err.message);
        skip();
    }
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
        for (int real = 0; real < trials[i].reals; real++) {
            char where[100];
            snprintf(where, sizeof where, "%s %s[%s]", name, trials[i].slot, lm_dtype_name((lm_dtype)real));
            current = where, truth.used = once.used = 0;
            phase = FROM_REF, run(&trials[i], &ref, real, 1);
            phase = FIRST, run(&trials[i], &k, real, 1);
            assert_int_equal(truth.used, once.used);
            phase = AGAIN, run(&trials[i], &k, real, 2);
        }
    free(truth.data), free(once.data);
    truth = once = (written){ 0 };
}

static void test_avx2(void **state) { (void)state; walk("avx2"); }
static void test_avx512(void **state) { (void)state; walk("avx512"); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_avx512),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
