/* The ref kernels, which all others are held against, against values worked by hand, formulas in
 * double and finite differences.  Attention has test_attention.c. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lm_kernels k;
static lm_rng rng;

static int setup(void **state)
{
    (void)state;
    rng = (lm_rng){ .seed = 3 };
    return lm_backend(&k, "ref", NULL);
}

static void expect(double got, double want, double tolerance, const char *what, int64_t i)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s[%d]: got %.9g, want %.9g", what, (int)i, got, want);
}

static void fill(float *x, int n, double low, double high)
{
    for (int i = 0; i < n; i++) x[i] = (float)(low + (high - low) * lm_rng_unit(&rng));
}

/* A few roundings of f32 numbers of order one. */
static const double TINY = 4e-7;

/* ---- norms ------------------------------------------------------------------------------------ */

/* x = 3, 4: mean of squares 12.5, so y = x / sqrt(12.5) * w */
static void test_rmsnorm(void **state)
{
    (void)state;
    float x[] = { 3, 4 }, w[] = { 1, -2 }, y[2], rstd;
    k.norm_fwd[LM_F32](&(lm_k_norm){ .y = y, .rstd = &rstd, .x = x, .w = w, .rows = 1, .cols = 2, .wt = LM_F32 });
    expect(rstd, 0.28284271247, TINY, "rstd", 0);
    expect(y[0], 0.84852813742, TINY, "y", 0);
    expect(y[1], -2.26274169980, TINY, "y", 1);
}

/* x + residual = 1, 2, 3, 6: mean 3, variance 3.5 */
static void test_layernorm(void **state)
{
    (void)state;
    float x[] = { 0.5f, 1, 1, 2 }, residual[] = { 0.5f, 1, 2, 4 }, w[] = { 1, 1, 2, 1 }, b[] = { 0, 1, 0, -1 }, y[4], mean, rstd;
    k.norm_fwd[LM_F32](&(lm_k_norm){ .y = y, .sum = residual, .mean = &mean, .rstd = &rstd, .x = x, .residual = residual,
                                     .w = w, .b = b, .rows = 1, .cols = 4, .eps = 0.5f, .wt = LM_F32 });
    const double want[] = { -1, 0.5, 0, 0.5 }, sum[] = { 1, 2, 3, 6 };
    assert_true(mean == 3 && rstd == 0.5f);
    for (int i = 0; i < 4; i++) {
        expect(residual[i], sum[i], 0, "sum", i);
        expect(y[i], want[i], TINY, "y", i);
    }
}

/* loss = sum_ij dy_ij norm(s)_ij in double, the norm written a second time */
static double norm_loss(const double *s, const double *w, const double *b, const float *dy, int rows, int cols, bool layer)
{
    double loss = 0;
    for (int i = 0; i < rows; i++) {
        double mean = 0, square = 0;
        for (int j = 0; j < cols && layer; j++) mean += s[i * cols + j] / cols;
        for (int j = 0; j < cols; j++) square += pow(s[i * cols + j] - mean, 2) / cols;
        for (int j = 0; j < cols; j++)
            loss += dy[i * cols + j] * ((s[i * cols + j] - mean) / sqrt(square + 1e-5) * w[j] + b[j]);
    }
    return loss;
}

static void test_norm_backward(void **state)
{
    (void)state;
    enum { ROWS = 3, COLS = 5, N = ROWS * COLS };
    for (int layer = 0; layer < 2; layer++) {
        float s[N], w[COLS], dy[N], y[N], ds[N], dw[COLS] = { 0 }, db[COLS] = { 0 }, mean[ROWS], rstd[ROWS];
        fill(s, N, -2, 2), fill(w, COLS, -2, 2), fill(dy, N, -1, 1);
        k.norm_fwd[LM_F32](&(lm_k_norm){ .y = y, .mean = layer ? mean : NULL, .rstd = rstd, .x = s, .w = w, .rows = ROWS,
                                         .cols = COLS, .eps = 1e-5f, .wt = LM_F32 });
        k.norm_bwd[LM_F32](&(lm_k_norm_bwd){ .ds = ds, .dw = dw, .db = db, .dy = dy, .s = s, .w = w,
                                             .mean = layer ? mean : NULL, .rstd = rstd, .rows = ROWS, .cols = COLS,
                                             .wt = LM_F32 });
        double place[N + COLS + COLS] = { 0 };                 /* s, w, b */
        for (int i = 0; i < N; i++) place[i] = s[i];
        for (int i = 0; i < COLS; i++) place[N + i] = w[i];
        for (int i = 0; i < N + 2 * COLS; i++) {
            const double step = 1e-5, at = place[i];
            place[i] = at + step;
            double up = norm_loss(place, place + N, place + N + COLS, dy, ROWS, COLS, layer);
            place[i] = at - step;
            double down = norm_loss(place, place + N, place + N + COLS, dy, ROWS, COLS, layer);
            place[i] = at;
            float got = i < N ? ds[i] : i < N + COLS ? dw[i - N] : db[i - N - COLS];
            expect(got, (up - down) / (2 * step), 5e-6, layer ? "LayerNorm gradient" : "RMSNorm gradient", i);
        }
    }
}

/* ---- activations -------------------------------------------------------------------------------- */

static double act(int which, double x)
{
    switch (which) {
    case LM_ACT_RELU: return fmax(x, 0);
    case LM_ACT_GELU: return x * 0.5 * (1 + erf(x / sqrt(2)));
    case LM_ACT_GELU_TANH: return x * 0.5 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case LM_ACT_SILU: return x / (1 + exp(-x));
    case LM_ACT_TANH: return tanh(x);
    default: return x;
    }
}

static void test_activations(void **state)
{
    (void)state;
    enum { N = 201 };
    float x[N], up[N], one[N], y[N], dx[N], glu[N], dgate[N], dup[N];
    fill(up, N, -2, 2);
    for (int i = 0; i < N; i++) x[i] = ((float)i - 100.3f) / 12, one[i] = 1;
    for (int which = 0; which < LM_N_ACTS; which++) {
        lm_act a = (lm_act)which;
        k.act_fwd[LM_F32](&(lm_k_act){ .y = y, .x = x, .n = N, .act = a });
        k.act_bwd[LM_F32](&(lm_k_act){ .y = dx, .x = x, .dy = one, .n = N, .act = a });
        k.glu_fwd[LM_F32](&(lm_k_glu){ .y = glu, .gate = x, .up = up, .n = N, .act = a });
        k.glu_bwd[LM_F32](&(lm_k_glu_bwd){ .dgate = dgate, .dup = dup, .dy = one, .gate = x, .up = up, .n = N, .act = a });
        for (int i = 0; i < N; i++) {
            const double step = 1e-6, slope = (act(which, x[i] + step) - act(which, x[i] - step)) / (2 * step);
            expect(y[i], act(which, x[i]), 1e-6, "act", i);
            expect(dx[i], slope, 2e-6, "act'", i);
            expect(glu[i], act(which, x[i]) * up[i], 4e-6, "glu", i);
            expect(dgate[i], slope * up[i], 4e-6, "glu's gate", i);
            expect(dup[i], act(which, x[i]), 1e-6, "glu's up", i);
        }
    }
    const float far[] = { -200, 200 };                         /* where exp(-x) overflows, and where it is gone */
    k.act_fwd[LM_F32](&(lm_k_act){ .y = y, .x = far, .n = 2, .act = LM_ACT_SILU });
    assert_true(y[0] == 0 && y[1] == 200);
}

/* ---- rotary embedding ----------------------------------------------------------------------------- */

/* Against the rotation written with complex numbers' angle sum: a pair (cos t, sin t) turns into
 * (cos(t + angle), sin(t + angle)); and the inverse brings x back. */
static void test_rope(void **state)
{
    (void)state;
    enum { ROWS = 2, HALF = 3, HEAD = 8, HEADS = 2 };
    const int32_t positions[ROWS] = { 5, 131071 };
    const float inv_freq[HALF] = { 1, 0.1f, 0.01f };
    float cosine[ROWS * HALF], sine[ROWS * HALF], x[ROWS * HEADS * HEAD], was[ROWS * HEADS * HEAD];
    k.rope_table(&(lm_k_rope_table){ .cos = cosine, .sin = sine, .positions = positions, .inv_freq = inv_freq, .rows = ROWS,
                                     .half = HALF, .scale = 1 });
    for (int i = 0; i < ROWS * HEADS * HEAD; i++) x[i] = 7;
    for (int i = 0; i < ROWS * HEADS; i++)
        for (int j = 0; j < HALF; j++) x[i * HEAD + j] = (float)cos(0.3 * i + j), x[i * HEAD + HALF + j] = (float)sin(0.3 * i + j);
    memcpy(was, x, sizeof x);
    lm_k_rope a = { .x = x, .cos = cosine, .sin = sine, .rows = ROWS, .heads = HEADS, .head_dim = HEAD, .half = HALF,
                    .ld = HEADS * HEAD };
    k.rope[LM_F32](&a);
    for (int i = 0; i < ROWS * HEADS; i++) {
        for (int j = 0; j < HALF; j++) {
            float angle = (float)positions[i / HEADS] * inv_freq[j];          /* f32, as models were trained */
            expect(x[i * HEAD + j], cos(0.3 * i + j + angle), TINY, "first", j);
            expect(x[i * HEAD + HALF + j], sin(0.3 * i + j + angle), TINY, "second", j);
        }
        assert_true(x[i * HEAD + 6] == 7 && x[i * HEAD + 7] == 7);
    }
    a.inverse = true;
    k.rope[LM_F32](&a);
    for (int i = 0; i < ROWS * HEADS * HEAD; i++) expect(x[i], was[i], TINY, "back", i);
}

/* ---- loss ----------------------------------------------------------------------------------------- */

static void test_xent(void **state)
{
    (void)state;
    enum { V = 50, LD = 53 };
    float logits[4 * LD], was[4 * LD], nll[4], weights[] = { 1, 0.5f, 3, 0 };
    const int32_t targets[] = { 7, 49, -1, 0 };
    fill(logits, 4 * LD, -10, 10);
    for (int j = 0; j < V; j++) logits[LD + j] += 1000;        /* softmax does not see a constant */
    memcpy(was, logits, sizeof was);
    k.xent(&(lm_k_xent){ .logits = logits, .nll = nll, .targets = targets, .weights = weights, .rows = 4, .vocab = V,
                         .ld = LD, .grad = true });
    for (int i = 0; i < 4; i++) {
        double sum = 0;
        for (int j = 0; j < V; j++) sum += exp((double)was[i * LD + j] - was[i * LD]);
        double loss = log(sum) + was[i * LD] - was[i * LD + (targets[i] < 0 ? 0 : targets[i])];
        expect(nll[i], targets[i] < 0 ? 0 : loss, 1e-5, "nll", i);
        for (int j = 0; j < V; j++) {
            double want = exp((double)was[i * LD + j] - was[i * LD]) / sum - (j == targets[i]);
            expect(logits[i * LD + j], targets[i] < 0 ? 0 : weights[i] * want, TINY, "gradient", j);
        }
        assert_memory_equal(logits + i * LD + V, was + i * LD + V, (LD - V) * sizeof *was);
    }
    memcpy(logits, was, sizeof was);
    k.xent(&(lm_k_xent){ .logits = logits, .nll = nll, .targets = targets, .rows = 4, .vocab = V, .ld = LD });
    assert_memory_equal(logits, was, sizeof was);
}

/* NaN must come out as a NaN loss: the loop stops on it. */
static void test_xent_nan(void **state)
{
    (void)state;
    float logits[] = { 1, NAN, 2 }, nll;
    const int32_t target = 0;
    k.xent(&(lm_k_xent){ .logits = logits, .nll = &nll, .targets = &target, .rows = 1, .vocab = 3, .ld = 3 });
    assert_true(isnan(nll));
}

/* ---- optimiser -------------------------------------------------------------------------------------- */

/* First step: m / bias1 = g and sqrt(v / bias2) = |g|, so w moves by lr, after it decayed by lr * decay. */
static void test_adamw(void **state)
{
    (void)state;
    float w[] = { 1, -2 }, m[2] = { 0 }, v[2] = { 0 };
    const float g[] = { 5, -0.25f };
    lm_k_adamw a = { .w = w, .m = m, .v = v, .g = g, .n = 2, .lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-9f,
                     .decay = 0.5f, .bias1 = 0.1f, .bias2 = 0.01f, .scale = 2 };
    k.adamw(&a);
    expect(m[0], 1, TINY, "m", 0);                              /* 0.1 * 10 */
    expect(v[1], 0.0025, TINY, "v", 1);                         /* 0.01 * 0.25 */
    expect(w[0], 1 * 0.95 - 0.1, TINY, "w", 0);
    expect(w[1], -2 * 0.95 + 0.1, TINY, "w", 1);

    /* second: gradient (scaled) 0 -> m = 0.9, v = 0.99, bias 0.19 and 0.0199 */
    const float none[] = { 0, 0 };
    a.g = none, a.bias1 = 0.19f, a.bias2 = 0.0199f, w[0] = 1;
    k.adamw(&a);
    expect(w[0], 0.95 - 0.1 * (0.9 / 0.19) / sqrt(0.99 / 0.0199), TINY, "w", 0);
}

/* ---- dropout ---------------------------------------------------------------------------------------- */

static void test_dropout(void **state)
{
    (void)state;
    enum { N = 100003 };
    float *x = malloc(2 * N * sizeof *x), *y = x + N;
    assert_non_null(x);
    fill(x, N, 1, 2);
    int kept = 0;
    k.dropout[LM_F32](&(lm_k_dropout){ .y = y, .x = x, .n = N, .seed = 5, .stream = 9, .p = 0.25f });
    for (int i = 0; i < N; i++) {
        uint32_t word[4];
        lm_philox(word, 5, 9, (uint64_t)(i / 4));
        bool keep = word[i % 4] >= 0x40000000u;                /* p = 1/4 of the range of a word */
        expect(y[i], keep ? x[i] * 4.0 / 3 : 0, TINY, "y", i);
        kept += keep;
    }
    expect(kept / (double)N, 0.75, 5 * sqrt(0.75 * 0.25 / N), "share kept, to five deviations", 0);
    memcpy(y, x, N * sizeof *x);
    k.dropout[LM_F32](&(lm_k_dropout){ .y = y, .x = x, .n = N, .p = 0, .acc = true });
    for (int i = 0; i < N; i++) assert_true(y[i] == x[i] + x[i]);
    k.dropout[LM_F32](&(lm_k_dropout){ .y = y, .x = x, .n = N, .p = 1 });
    for (int i = 0; i < N; i++) assert_true(y[i] == 0);
    free(x);
}

/* ---- conversion --------------------------------------------------------------------------------------- */

static void test_bf16(void **state)
{
    (void)state;
    const struct { float from; uint16_t to; } cases[] = {
        { 0, 0 }, { -0.0f, 0x8000 }, { 1, 0x3F80 }, { 0x1.01p0f, 0x3F80 } /* tie: to even */, { 0x1.03p0f, 0x3F82 },
        { 0x1.0101p0f, 0x3F81 }, { INFINITY, 0x7F80 }, { -INFINITY, 0xFF80 }, { 3.4e38f, 0x7F80 } /* rounds up */,
        { 0x1p-133f, 0x0001 }, { 0x1p-134f, 0 }, { 0x1.8p-133f, 0x0002 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t y;
        k.convert(&y, LM_BF16, &cases[i].from, LM_F32, 1);
        if (y != cases[i].to) fail_msg("bf16 of %a: got %04x, want %04x", (double)cases[i].from, y, cases[i].to);
    }
    uint32_t nans[] = { 0x7F800001u, 0xFFC00000u, 0x7FFFFFFFu };
    uint16_t y[3];
    float back[3];
    k.convert(y, LM_BF16, nans, LM_F32, 3);
    k.convert(back, LM_F32, y, LM_BF16, 3);
    assert_true(isnan(back[0]) && isnan(back[1]) && isnan(back[2]));
}

/* All 65536: f16 to f32 by its definition, and back to the same bits. */
static void test_f16(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t x = (uint16_t)i, back;
        float y;
        k.convert(&y, LM_F32, &x, LM_F16, 1);
        k.convert(&back, LM_F16, &y, LM_F32, 1);
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        double want = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31) {
            assert_true(mantissa ? isnan(y) : isinf(y));
            if (mantissa) { assert_true((back & 0x7C00u) == 0x7C00u && (back & 0x3FFu)); continue; }
        } else {
            assert_true(fabs(y) == want);
        }
        assert_true(!!signbit(y) == (i >> 15));
        assert_int_equal(back, x);
    }
}

static void test_integers(void **state)
{
    (void)state;
    const float x[] = { 1.9f, -1.9f, 300, -300, NAN, INFINITY, -3e20f };
    int8_t i8[7];
    uint8_t u8[7];
    int32_t i32[7];
    int64_t i64[7];
    k.convert(i8, LM_I8, x, LM_F32, 7), k.convert(u8, LM_U8, x, LM_F32, 7);
    k.convert(i32, LM_I32, x, LM_F32, 7), k.convert(i64, LM_I64, x, LM_F32, 7);
    const int64_t want8[] = { 1, -1, 127, -128, 0, 127, -128 }, wantu[] = { 1, 0, 255, 0, 0, 255, 0 };
    const int64_t want32[] = { 1, -1, 300, -300, 0, INT32_MAX, INT32_MIN };
    const int64_t want64[] = { 1, -1, 300, -300, 0, INT64_MAX, INT64_MIN };
    for (int i = 0; i < 7; i++) {
        assert_true(i8[i] == want8[i]);
        assert_true(u8[i] == wantu[i]);
        assert_true(i32[i] == want32[i]);
        assert_true(i64[i] == want64[i]);
    }
}

/* ---- small arithmetic --------------------------------------------------------------------------------- */

static void test_arithmetic(void **state)
{
    (void)state;
    float a[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 10, 20, 30, 40, 50, 60 }, y[] = { 1, 1, 1, 1, 1, 1 }, sum;
    double squares;
    k.add[LM_F32](y, a, b, 2, -1, 2);
    assert_true(y[0] == -8 && y[1] == -16 && y[2] == 1);
    k.add[LM_F32](y, a, NULL, 3, 7, 2);
    assert_true(y[0] == 3 && y[1] == 6);
    k.mul[LM_F32](y, a, b, 2, true);
    assert_true(y[0] == 13 && y[1] == 46);
    k.mul[LM_F32](y, a, b, 2, false);
    assert_true(y[0] == 10 && y[1] == 40);
    k.sum_squares(&squares, a, 6), k.dot(&sum, a, b, 3);
    assert_true(squares == 91 && sum == 140);
    k.dot(&sum, a, NULL, 6);
    assert_true(sum == 21);
    float columns[] = { 100, 200 };
    k.sum_rows[LM_F32](columns, a, 2, 2, 3);                   /* rows 1 2 and 4 5 of a wider matrix */
    assert_true(columns[0] == 105 && columns[1] == 207);
    k.accumulate[LM_F32](columns, a, 2);
    assert_true(columns[0] == 106 && columns[1] == 209);
    float scattered[6] = { 0 };
    k.scatter_rows[LM_F32](scattered, a, (const int32_t[]){ 2, 0 }, 2, 1, 2, 3);
    assert_true(scattered[4] == 1 && scattered[0] == 4 && scattered[1] == 0 && scattered[2] == 0);
}

static void test_embedding(void **state)
{
    (void)state;
    float table[] = { 1, 2, 3, 4, 5, 6 }, y[6], dtable[6] = { 0 };
    uint16_t bf16[2] = { 0x4040, 0xBF80 }, out[2] = { 0x3F80, 0x3F80 };
    const int32_t ids[] = { 2, 0, 2 }, zero[] = { 0 };
    k.embedding_fwd[LM_F32](&(lm_k_embedding){ .y = y, .table = table, .ids = ids, .rows = 3, .cols = 2, .vocab = 3,
                                               .wt = LM_F32 });
    assert_memory_equal(y, ((float[]){ 5, 6, 1, 2, 5, 6 }), sizeof y);
    k.embedding_bwd[LM_F32](&(lm_k_embedding_bwd){ .dtable = dtable, .dy = table, .ids = ids, .rows = 3, .cols = 2, .vocab = 3 });
    assert_memory_equal(dtable, ((float[]){ 3, 4, 0, 0, 6, 8 }), sizeof dtable);
    k.embedding_fwd[LM_BF16](&(lm_k_embedding){ .y = out, .table = bf16, .ids = zero, .rows = 1, .cols = 2, .vocab = 1,
                                                .wt = LM_BF16, .acc = true });
    assert_true(out[0] == 0x4080 && out[1] == 0);              /* 1 + 3 and 1 - 1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_layernorm), cmocka_unit_test(test_norm_backward),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_rope), cmocka_unit_test(test_xent),
        cmocka_unit_test(test_xent_nan), cmocka_unit_test(test_adamw), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_bf16), cmocka_unit_test(test_f16), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_embedding),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
