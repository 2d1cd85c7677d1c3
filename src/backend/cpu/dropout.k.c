/* Dropout, with Philox over many counters at once; the mask is ref's bit for bit. */
#include "backend/real.h"
#include "backend/cpu/piece.h"
#include "base/rng.h"

enum { BLOCKS = 64 };                  /* of four numbers each */

/* lm_philox for counters first .. first + BLOCKS, one round of all of them at a time. */
static void philox_run(uint32_t word[4][BLOCKS], uint64_t seed, uint64_t stream, uint64_t first)
{
    uint32_t *c0 = word[0], *c1 = word[1], *c2 = word[2], *c3 = word[3];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int b = 0; b < BLOCKS; b++) {
        c0[b] = (uint32_t)(first + (uint64_t)b), c1[b] = (uint32_t)((first + (uint64_t)b) >> 32);
        c2[b] = (uint32_t)stream, c3[b] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int b = 0; b < BLOCKS; b++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[b], p1 = (uint64_t)0xCD9E8D57u * c2[b];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
            c1[b] = (uint32_t)p1, c3[b] = (uint32_t)p0, c0[b] = n0, c2[b] = n2;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

static inline float kept(float x, float unit, float p) { return unit >= p ? x : 0.0f; }

/* Numbers 4 * block .. of the whole; the last run may be short. */
static void dropout_run(const lm_k_dropout *a, int64_t block)
{
    uint32_t word[4][BLOCKS];
    float keep[4 * BLOCKS];
    const float p = a->p, scale = 1 / (1 - p);
    const int64_t begin = 4 * block, n = least(4 * BLOCKS, a->n - begin);
    const real *x = (const real *)a->x + begin;
    real *y = (real *)a->y + begin;
    philox_run(word, a->seed, a->stream, (uint64_t)block);
    for (int b = 0; b < BLOCKS; b++)
        for (int i = 0; i < 4; i++) keep[4 * b + i] = lm_u32_unit(word[i][b]);
    if (a->acc) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = store(load(y[i]) + kept(load(x[i]) * scale, keep[i], p));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = store(kept(load(x[i]) * scale, keep[i], p));
    }
}

static void dropout(const lm_k_dropout *a)
{
#pragma omp parallel for schedule(static) if (a->n > SERIAL)
    for (int64_t block = 0; block < (a->n + 3) / 4; block += BLOCKS) dropout_run(a, block);
}

LM_INSTALL(dropout)
{
    k->dropout[LM_REAL_ID] = dropout;
}
