#include "peft/low_rank.h"

void lm_low_rank_add(const lm_kernels *k, const lm_linear_site *s, const float *up, const float *down, int64_t ld, int64_t r, float scale)
{
    lm_gemm g = { .c = s->w->data, .ldc = s->w->dim[1], .m = s->w->dim[0], .n = s->w->dim[1], .k = r, .alpha = scale, .beta = 1,
                  .a = up, .lda = r, .b = down, .ldb = ld };
    if (s->transposed) {
        g.a = down, g.lda = ld, g.trans_a = true;
        g.b = up, g.ldb = r, g.trans_b = true;
    }
    k->gemm(&g);
}
