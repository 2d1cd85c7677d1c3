/* Chooses kernels by name: every table starts full of ref, and each instruction set that the
 * machine has overwrites what it does better. */
#include "backend/backend.h"
#include "backend/cpu/onednn.h"
#include "backend/install.h"

#include <string.h>

static bool always(const lm_cpu *cpu) { (void)cpu; return true; }
static bool has_avx2(const lm_cpu *cpu) { return cpu->avx2; }
static bool has_avx512(const lm_cpu *cpu) { return cpu->avx512; }

/* In the order in which they are laid over each other. */
static const struct layer {
    const char *name, *needs;
    bool (*runs)(const lm_cpu *cpu);
    void (*install)(lm_kernels *k);
} layers[] = {
    { "ref", "", always, lm_install_ref },
    { "avx2", "AVX2, FMA and F16C", has_avx2, lm_install_avx2 },
    { "avx512", "AVX-512 F, BW, DQ and VL", has_avx512, lm_install_avx512 },
};
enum { N_LAYERS = sizeof layers / sizeof layers[0] };

/* The last layer of `name`; -1 when there is none of that name. */
static int layer_of(const char *name, const lm_cpu *cpu)
{
    if (!strcmp(name, "auto")) {
        int best = N_LAYERS - 1;
        while (!layers[best].runs(cpu)) best--;
        return best;
    }
    for (int i = 0; i < N_LAYERS; i++)
        if (!strcmp(name, layers[i].name)) return i;
    return -1;
}

lm_status lm_backend(lm_kernels *k, const char *name, lm_err *err)
{
    memset(k, 0, sizeof *k);
    if (!strcmp(name, "null")) {
        lm_install_null(k);
        return LM_OK;
    }
    lm_cpu cpu = lm_cpu_detect();
    int last = layer_of(name, &cpu);
    if (last < 0)
        return lm_fail(err, LM_E_USAGE, "backend %s: unknown; known are auto, avx512, avx2, ref and null", name);
    if (!layers[last].runs(&cpu))
        return lm_fail(err, LM_E_UNSUPPORTED, "backend %s: needs %s, which this CPU (%s) lacks; use auto",
                       name, layers[last].needs, cpu.model);
    for (int i = 0; i <= last; i++) layers[i].install(k);
    if (layers[last].install == lm_install_avx512) lm_onednn_install(k, &cpu);
    k->name = layers[last].name;
    k->computes = true;
    return LM_OK;
}
