/* The null backend: kernels that do nothing, made from the list in tensor/kernel.h.
 *
 * Shapes, tapes and arenas behave as in a real run, so the bytes that a run will need are counted
 * without computing it.  Tensor data is never touched, for it need not exist.  What a kernel hands
 * back to the host (sum_squares) is set to 0, so that nobody branches on uninitialised memory. */
#include "backend/install.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define LM_SLOT(slot, params) static void null_##slot params {}
LM_KERNELS(LM_SLOT, LM_SLOT)
#undef LM_SLOT

static void zero_sum_squares(double *out, const float *x, int64_t n) { *out = 0; }

void lm_install_null(lm_kernels *k)
{
    k->name = "null";
#define LM_SLOT(slot, params) k->slot = null_##slot;
#define LM_SLOT_REAL(slot, params) for (int r = 0; r < LM_N_REALS; r++) k->slot[r] = null_##slot;
    LM_KERNELS(LM_SLOT, LM_SLOT_REAL)
    k->sum_squares = zero_sum_squares;
}
