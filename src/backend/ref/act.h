/* Activation functions and their derivatives, by libm.
 *
 *   relu max(x, 0) · silu x sigmoid(x) · gelu x Phi(x) · tanh
 *   gelu_tanh x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3)   (Hendrycks & Gimpel 2016)
 *
 * Phi is taken as erfc(-x / sqrt 2) / 2, which keeps its relative error in the left tail. */
#ifndef LM_BACKEND_REF_ACT_H
#define LM_BACKEND_REF_ACT_H

#include "tensor/kernel.h"

#include <math.h>

static inline float gelu_inner(float x) { return 0.79788456f * (x + 0.044715f * x * x * x); }

static inline float act_value(lm_act act, float x)
{
    switch (act) {
    case LM_ACT_RELU: return x > 0 ? x : 0;
    case LM_ACT_GELU: return 0.5f * x * erfcf(-0.70710678f * x);
    case LM_ACT_GELU_TANH: return 0.5f * x * (1 + tanhf(gelu_inner(x)));
    case LM_ACT_SILU: return x / (1 + expf(-x));
    case LM_ACT_TANH: return tanhf(x);
    default: return x;
    }
}

static inline float act_slope(lm_act act, float x)
{
    switch (act) {
    case LM_ACT_RELU: return x > 0;
    case LM_ACT_GELU: return 0.5f * erfcf(-0.70710678f * x) + x * 0.39894228f * expf(-0.5f * x * x);
    case LM_ACT_GELU_TANH: {
        float t = tanhf(gelu_inner(x));
        return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
    }
    case LM_ACT_SILU: {
        float s = 1 / (1 + expf(-x));
        return s * (1 + x * (1 - s));
    }
    case LM_ACT_TANH: {
        float t = tanhf(x);
        return 1 - t * t;
    }
    default: return 1;
    }
}

#endif
