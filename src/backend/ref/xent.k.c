/* Cross-entropy of logits against one target per row.
 *
 *   nll = log(sum_j exp(z_j)) - z_target          dz_j = weight * (exp(z_j - logsumexp) - [j = target])
 *   H   = -sum_j p_j log p_j                      dz_j = -bonus * p_j (log p_j + H)
 *
 * A row without a target (< 0) has loss 0 and, with grad, gradient 0.  The sum is in double and
 * relative to the greatest logit.  Only f32: logits in bf16 lose the loss. */
#include "backend/real.h"

#include <math.h>

#if LM_REAL_ID == 0
static double log_sum_exp(const float *z, int64_t n)
{
    float greatest = z[0];
    for (int64_t j = 1; j < n; j++)
        if (z[j] > greatest) greatest = z[j];
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += exp((double)z[j] - greatest);
    return greatest + log(sum);
}

/* A token that cannot be drawn adds nothing. */
static double entropy_of(const float *z, double lse, int64_t n)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++)
        if (z[j] > -INFINITY) sum += exp(z[j] - lse) * (lse - z[j]);
    return sum;
}

static void xent(const lm_k_xent *a)
{
    for (int64_t i = 0; i < a->rows; i++) {
        float *z = a->logits + i * a->ld, weight = a->weights ? a->weights[i] : 1;
        int32_t target = a->targets[i];
        if (target < 0) {
            a->nll[i] = 0;
            if (a->entropy) a->entropy[i] = 0;
            for (int64_t j = 0; a->grad && j < a->vocab; j++) z[j] = 0;
            continue;
        }
        double lse = log_sum_exp(z, a->vocab);
        a->nll[i] = (float)(lse - z[target]);
        double bonus = a->bonus ? a->bonus[i] : 0, h = a->entropy || a->bonus ? entropy_of(z, lse, a->vocab) : 0;
        if (a->entropy) a->entropy[i] = (float)h;
        for (int64_t j = 0; a->grad && j < a->vocab; j++) {
            double logp = z[j] - lse, p = exp(logp);
            z[j] = weight * (float)(p - (j == target)) - (float)(p > 0 ? bonus * p * (logp + h) : 0);
        }
    }
}
#endif

LM_INSTALL(xent)
{
    (void)k;
#if LM_REAL_ID == 0
    k->xent = xent;
#endif
}
