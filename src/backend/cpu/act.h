/* Activations and their derivatives for vectorised loops; the equations stand in ref/act.h.
 *
 * `act` must be a constant where these are called: FOR_EACH_ACT calls a loop once per constant, so
 * that no loop has a switch in it.  gelu is x/2 (1 + erf(x / sqrt 2)): its error is absolute, 2e-7 |x|,
 * and not relative in the left tail. */
#ifndef LM_BACKEND_CPU_ACT_H
#define LM_BACKEND_CPU_ACT_H

#include "backend/cpu/math.h"
#include "backend/cpu/vec.h"
#include "tensor/kernel.h"

#define FOR_EACH_ACT(act, loop, ...)                                         \
    switch (act) {                                                           \
    case LM_ACT_RELU: loop(LM_ACT_RELU, __VA_ARGS__); break;                 \
    case LM_ACT_GELU: loop(LM_ACT_GELU, __VA_ARGS__); break;                 \
    case LM_ACT_GELU_TANH: loop(LM_ACT_GELU_TANH, __VA_ARGS__); break;       \
    case LM_ACT_SILU: loop(LM_ACT_SILU, __VA_ARGS__); break;                 \
    case LM_ACT_TANH: loop(LM_ACT_TANH, __VA_ARGS__); break;                 \
    default: loop(LM_ACT_NONE, __VA_ARGS__);                                 \
    }

LM_INLINE float sigmoid(float x) { return 1.0f / (1.0f + vexp(-x)); }
LM_INLINE float gelu_tanh(float x) { return vtanh(0.79788456f * (x + 0.044715f * x * x * x)); }

LM_INLINE float act_value(lm_act act, float x)
{
    switch (act) {
    case LM_ACT_RELU: return x > 0 ? x : 0;
    case LM_ACT_GELU: return 0.5f * x * (1.0f + verf(0.70710678f * x));
    case LM_ACT_GELU_TANH: return 0.5f * x * (1.0f + gelu_tanh(x));
    case LM_ACT_SILU: return x / (1.0f + vexp(-x));
    case LM_ACT_TANH: return vtanh(x);
    default: return x;
    }
}

LM_INLINE float act_slope(lm_act act, float x)
{
    float t;
    switch (act) {
    case LM_ACT_RELU: return x > 0 ? 1.0f : 0.0f;
    case LM_ACT_GELU: return 0.5f * (1.0f + verf(0.70710678f * x)) + x * 0.39894228f * vexp0(-0.5f * x * x);
    case LM_ACT_GELU_TANH:
        t = gelu_tanh(x);
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * 0.79788456f * (1.0f + 0.134145f * x * x);
    case LM_ACT_SILU:
        t = sigmoid(x);
        return t * (1.0f + x * (1.0f - t));
    case LM_ACT_TANH:
        t = vtanh(x);
        return 1.0f - t * t;
    default: return 1.0f;
    }
}

#endif
