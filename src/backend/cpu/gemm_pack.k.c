/* Packing: operands gathered, converted to f32 and laid out as the innermost loop reads them.
 *
 * A packed a is a row of panels, each [k, GEMM_MR]; a packed b of panels [k, GEMM_NR].  Either is
 * gathered from a matrix whose lines run along k (transposed, four steps of k at a time) or across
 * it (copied).  Lanes past the matrix hold copies of its first line or zeros: they only reach
 * elements of c that nobody keeps. */
#include "backend/cpu/gemm.h"

#if LM_REAL_ID == 0

#include "backend/cpu/quant.h"
#include "backend/weight.h"

LM_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

LM_INLINE const char *address(const void *x, lm_dtype type, int64_t i)
{
    return (const char *)x + i * (type == LM_F32 ? 4 : 2);
}

/* ---- lines along k: a transpose of 4 x LANES ---------------------------------- */

typedef float v4 __attribute__((vector_size(16)));
typedef int64_t vq __attribute__((vector_size(LANES * 4)));

#if LM_LANES_OF(LM_VARIANT) == 16
#define LOW_32 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_32 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_64 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH_64 1, 9, 3, 11, 5, 13, 7, 15
#else
#define LOW_32 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_32 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_64 0, 4, 2, 6
#define HIGH_64 1, 5, 3, 7
#endif

/* Four elements of each of LANES / 4 lines, side by side. */
LM_INLINE vf four_of_each(const char *const *line, lm_dtype type, int64_t p)
{
    if (type != LM_F32) {
        uint64_t quad[LANES / 4];
        for (int l = 0; l < LANES / 4; l++) memcpy(&quad[l], address(line[4 * l], type, p), 8);
        vh half;
        memcpy(&half, quad, sizeof half);
        return type == LM_BF16 ? vec_from_bf16(half) : vec_from_f16(half);
    }
    v4 quad[LANES / 4];
    for (int l = 0; l < LANES / 4; l++) memcpy(&quad[l], address(line[4 * l], type, p), 16);
#if LM_LANES_OF(LM_VARIANT) == 16
    typedef float v8 __attribute__((vector_size(32)));
    v8 low = __builtin_shufflevector(quad[0], quad[1], 0, 1, 2, 3, 4, 5, 6, 7);
    v8 high = __builtin_shufflevector(quad[2], quad[3], 0, 1, 2, 3, 4, 5, 6, 7);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    return __builtin_shufflevector(quad[0], quad[1], 0, 1, 2, 3, 4, 5, 6, 7);
#endif
}

/* Steps p .. p+3 of LANES lines to out, `width` apart. */
LM_INLINE void transpose_four(float *out, const char *const *line, lm_dtype type, int64_t p, int width)
{
    vf v0 = four_of_each(line, type, p), v1 = four_of_each(line + 1, type, p);
    vf v2 = four_of_each(line + 2, type, p), v3 = four_of_each(line + 3, type, p);
    vq t0 = (vq)__builtin_shufflevector(v0, v1, LOW_32), t1 = (vq)__builtin_shufflevector(v0, v1, HIGH_32);
    vq t2 = (vq)__builtin_shufflevector(v2, v3, LOW_32), t3 = (vq)__builtin_shufflevector(v2, v3, HIGH_32);
    vec_store_f32(out, (vf)__builtin_shufflevector(t0, t2, LOW_64));
    vec_store_f32(out + width, (vf)__builtin_shufflevector(t0, t2, HIGH_64));
    vec_store_f32(out + 2 * width, (vf)__builtin_shufflevector(t1, t3, LOW_64));
    vec_store_f32(out + 3 * width, (vf)__builtin_shufflevector(t1, t3, HIGH_64));
}

/* One panel [k, width] from `valid` lines.  Where width is no multiple of LANES a store runs over
 * into what the next step, or the next panel, writes: hence ascending order, and gemm_room_a's slack. */
LM_INLINE void pack_lines(float *out, const void *x, lm_dtype type, int64_t ld, int64_t valid, int64_t k, int width)
{
    const char *line[2 * LANES];
    for (int i = 0; i < 2 * LANES; i++) line[i] = address(x, type, i < width && i < valid ? i * ld : 0);
    int64_t p = 0;
    for (; p + 4 <= k; p += 4)
        for (int i = 0; i < width; i += LANES) transpose_four(out + p * width + i, line + i, type, p, width);
    for (; p < k; p++)
        for (int i = 0; i < width; i++) out[p * width + i] = lm_weight_at(line[i], type, p);
}

/* ---- lines across k: a copy -------------------------------------------------- */

/* Panels that are filled side by side: a stored row is read in runs of more than one cache line. */
enum { GROUP = 8 };

LM_INLINE void copy_run(float *out, const void *x, lm_dtype type, int64_t at, int width)
{
    for (int i = 0; i < width; i += LANES) {
        if (i + LANES <= width) vec_store_f32(out + i, vec_load(x, type, at + i));
        else vec_store_part(out + i, LM_F32, 0, vec_load_part(x, type, at + i, width - i), width - i);
    }
}

/* One panel, of which `valid` < width lines exist. */
LM_INLINE void pack_edge(float *out, const void *x, lm_dtype type, int64_t ld, int64_t valid, int64_t k, int width)
{
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < width; i++) out[p * width + i] = i < valid ? lm_weight_at(x, type, p * ld + i) : 0;
}

LM_INLINE void pack_across(float *out, const void *x, lm_dtype type, int64_t ld, int64_t lines, int64_t k, int width)
{
    int64_t whole = lines / width;
    for (int64_t first = 0; first < whole; first += GROUP) {
        int64_t end = least(first + GROUP, whole);
        for (int64_t p = 0; p < k; p++)
            for (int64_t panel = first; panel < end; panel++) copy_run(out + (panel * k + p) * width, x, type, p * ld + panel * width, width);
    }
    if (whole * width < lines) pack_edge(out + whole * width * k, address(x, type, whole * width), type, ld, lines - whole * width, k, width);
}

/* ---- whole operands ---------------------------------------------------------- */

LM_INLINE void pack(float *out, const void *x, lm_dtype type, int64_t ld, bool along, int64_t lines, int64_t k, int width)
{
    if (!along) {
        pack_across(out, x, type, ld, lines, k, width);
        return;
    }
    for (int64_t i = 0; i < lines; i += width, out += width * k)
        pack_lines(out, address(x, type, i * ld), type, ld, least(width, lines - i), k, width);
}

/* One copy of `pack` per element type. */
LM_INLINE void pack_type(float *out, const void *x, lm_dtype type, int64_t ld, bool along, int64_t lines, int64_t k, int width)
{
    if (type == LM_F32) pack(out, x, LM_F32, ld, along, lines, k, width);
    else if (type == LM_BF16) pack(out, x, LM_BF16, ld, along, lines, k, width);
    else pack(out, x, LM_F16, ld, along, lines, k, width);
}

void gemm_pack_a(float *packed, const void *a, lm_dtype type, int64_t lda, bool trans, int64_t m, int64_t k)
{
    pack_type(packed, a, type, lda, !trans, m, k, GEMM_MR);
}

void gemm_pack_b(float *packed, const void *b, lm_dtype type, int64_t ldb, bool trans, int64_t k, int64_t n)
{
    pack_type(packed, b, type, ldb, trans, n, k, GEMM_NR);
}

/* ---- a quantised operand: decoded into the first-level cache, and packed from there ---- */

static void pack_quant_lines(float *out, const lm_gemm *g, int64_t p, int64_t k, int64_t j, int64_t n)
{
    float line[GEMM_NR * GEMM_DEPTH];
    for (int64_t i = 0; i < n; i += GEMM_NR, out += GEMM_NR * k) {
        int64_t valid = least(GEMM_NR, n - i);
        for (int64_t l = 0; l < valid; l++) quant_run(line + l * k, g->bq, g->b, (j + i + l) * g->ldb + p, k);
        pack_lines(out, line, LM_F32, k, valid, k, GEMM_NR);
    }
}

static void pack_quant_across(float *out, const lm_gemm *g, int64_t p, int64_t k, int64_t j, int64_t n)
{
    enum { WIDE = 16 * GEMM_NR };
    float line[WIDE];
    for (int64_t i = 0; i < n; i += WIDE, out += WIDE * k) {
        int64_t valid = least(WIDE, n - i), width = (valid + GEMM_NR - 1) / GEMM_NR * GEMM_NR;
        for (int64_t v = valid; v < width; v++) line[v] = 0;
        for (int64_t q = 0; q < k; q++) {
            quant_run(line, g->bq, g->b, (p + q) * g->ldb + j + i, valid);
            for (int64_t v = 0; v < width; v += GEMM_NR) memcpy(out + v * k + q * GEMM_NR, line + v, GEMM_NR * sizeof *line);
        }
    }
}

void gemm_pack_b_quant(float *packed, const lm_gemm *g, int64_t p, int64_t k, int64_t j, int64_t n)
{
    if (g->trans_b) pack_quant_lines(packed, g, p, k, j, n);
    else pack_quant_across(packed, g, p, k, j, n);
}

LM_INSTALL(gemm_pack) { (void)k; }

#else
LM_INSTALL(gemm_pack) { (void)k; }
#endif
