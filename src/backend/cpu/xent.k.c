/* Cross-entropy, a row at a time; the equations stand in ref/xent.k.c.
 *
 * The greatest logit and the sum of exponentials are taken in one pass over pieces that fit the
 * first-level cache (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"): a
 * piece's sum is in f32 lanes, the sum of pieces in double. */
#include "backend/real.h"
#include "backend/cpu/math.h"
#include "backend/cpu/piece.h"

#if LM_REAL_ID == 0
static float greatest_of(const float *z, int64_t n)
{
    float greatest = -INFINITY;
#pragma omp simd reduction(max : greatest)
    for (int64_t j = 0; j < n; j++) greatest = z[j] > greatest ? z[j] : greatest;
    return greatest;
}

static float sum_exp(const float *z, float from, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += vexp0(z[j] - from);
    return sum;
}

/* A piece of nothing but -infinity adds 0; one with a NaN makes the sum NaN. */
static double log_sum_exp(const float *z, int64_t n)
{
    float greatest = -INFINITY;
    double sum = 0;
    for (int64_t j = 0; j < n; j += PIECE) {
        int64_t m = least(PIECE, n - j);
        float here = greatest_of(z + j, m);
        if (here > greatest) sum *= exp((double)greatest - here), greatest = here;
        sum += sum_exp(z + j, greatest > -INFINITY ? greatest : 0, m);
    }
    return greatest + log(sum);
}

/* In f32 lanes over a piece, in double over pieces; -infinity adds nothing. */
static double entropy_of(const float *z, float lse, int64_t n)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j += PIECE) {
        int64_t m = least(PIECE, n - j);
        float piece = 0;
#pragma omp simd reduction(+ : piece)
        for (int64_t i = 0; i < m; i++) {
            float logp = z[j + i] - lse, p = vexp0(logp);
            piece -= p > 0 ? p * logp : 0;
        }
        sum += piece;
    }
    return sum;
}

static void xent_row(const lm_k_xent *a, int64_t i)
{
    float *z = a->logits + i * a->ld;
    const float weight = a->weights ? a->weights[i] : 1;
    const int32_t target = a->targets[i];
    if (target < 0) {
        a->nll[i] = 0;
        if (a->entropy) a->entropy[i] = 0;
        if (a->grad) memset(z, 0, (size_t)a->vocab * sizeof *z);
        return;
    }
    const double exact = log_sum_exp(z, a->vocab);
    a->nll[i] = (float)(exact - z[target]);
    const float lse = (float)exact;
    const int64_t n = a->vocab;
    const float h = a->entropy || a->bonus ? (float)entropy_of(z, lse, n) : 0, bonus = a->bonus ? a->bonus[i] : 0;
    if (a->entropy) a->entropy[i] = h;
    if (!a->grad) return;
    if (a->bonus) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            float logp = z[j] - lse, p = vexp0(logp);
            z[j] = p > 0 ? p * (weight - bonus * (logp + h)) : 0;
        }
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) z[j] = weight * vexp0(z[j] - lse);
    }
    z[target] -= weight;
}

static void xent(const lm_k_xent *a)
{
#pragma omp parallel for schedule(static) if (a->rows * a->vocab > SERIAL)
    for (int64_t i = 0; i < a->rows; i++) xent_row(a, i);
}
#endif

LM_INSTALL(xent)
{
    (void)k;
#if LM_REAL_ID == 0
    k->xent = xent;
#endif
}
