/* exp, tanh and erf as straight lines of arithmetic, so that loops over them vectorise.
 *
 *   vexp   |error| <= 2 ulp, everywhere; gradual underflow, infinity above 88.7228
 *   vexp0  the same for x <= 0, cheaper: what is below 2^-126.5 is 0
 *   vtanh  |error| <= 3 ulp, everywhere
 *   verf   |error| <= 3 ulp, everywhere
 *
 * The polynomials were fitted for this file by weighted least squares, reweighted towards the least
 * maximum of the relative error, in 40 decimal digits; tests/backend/test_math.c holds the bounds.
 * NaN gives NaN.  They rely on rounding to nearest and on no reassociation. */
#ifndef LM_BACKEND_CPU_MATH_H
#define LM_BACKEND_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline int32_t float_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^(e - 127) for e in 0 .. 254 (0: zero); something, but no undefined shift, where x was NaN. */
static inline float power_of_2(int32_t e) { return float_of((int32_t)((uint32_t)e << 23)); }

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2.  Adding 1.5 * 2^23 leaves n in the low
 * bits of the sum. */
static inline float exp_parts(float x, int32_t *n)
{
    float shifted = x * 1.44269504f + 0x1.8p23f, whole = shifted - 0x1.8p23f;
    float r = x - whole * 0x1.62e4p-1f - whole * 1.42860677e-6f;
    float p = 0.001381493488f;
    p = p * r + 0.008368710073f;
    p = p * r + 0.04166838316f;
    p = p * r + 0.1666652069f;
    p = p * r + 0.4999999346f;
    *n = float_bits(shifted) - 0x4B400000;
    return p * (r * r) + r + 1.0f;
}

/* 2^n is applied in two halves, either of which is a normal number.  One comparison bounds x on both
 * sides: of two, gcc 12 makes branches. */
static inline float vexp(float x)
{
    int32_t n;
    float a = fabsf(x);
    float p = exp_parts(copysignf(a > 104.0f ? 104.0f : a, x), &n);
    int32_t half = n >> 1;
    return p * power_of_2(half + 127) * power_of_2(n - half + 127);
}

static inline float vexp0(float x)
{
    int32_t n;
    float p = exp_parts(x < -104.0f ? -104.0f : x, &n);
    n += 127;
    return p * power_of_2(n > 0 ? n : 0);
}

/* x + x^3 P(x^2) near 0, where 1 - 2 / (exp(2 |x|) + 1) would cancel. */
static inline float vtanh(float x)
{
    float a = fabsf(x), s = x * x;
    float p = -0.005515223182f;
    p = p * s + 0.02046947787f;
    p = p * s - 0.05368804296f;
    p = p * s + 0.1333083063f;
    p = p * s - 0.3333325986f;
    float near = a + a * s * p, far = 1.0f - 2.0f / (vexp(2.0f * a) + 1.0f);
    return copysignf(a < 0.65f ? near : far, x);
}

/* x + x P(x^2) below 1; 1 - exp(-R(x)) up to 4, where erf rounds to 1. */
static inline float verf(float x)
{
    float a = fabsf(x), s = x * x;
    float p = 7.856208678e-5f;
    p = p * s - 0.000801087736f;
    p = p * s + 0.005188402385f;
    p = p * s - 0.02685384975f;
    p = p * s + 0.1128358602f;
    p = p * s - 0.376126259f;
    p = p * s + 0.1283791657f;
    float b = a > 4.0f ? 4.0f : a;
    float q = -0.0001854655109f;
    q = q * b + 0.00293864466f;
    q = q * b - 0.02180185706f;
    q = q * b + 0.1030309021f;
    q = q * b + 0.6382323131f;
    q = q * b + 1.127036479f;
    q = q * b + 0.0003544999908f;
    return copysignf(a < 1.0f ? a + a * p : 1.0f - vexp0(-q), x);
}

#endif
