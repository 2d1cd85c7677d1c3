/* Weighted combinations of LoRA adapters, with the names and results of PEFT's add_weighted_adapter.
 *
 * A rule makes one tensor T of those of the adapters, T_i with weight w_i, density d:
 *
 *   linear            sum_i w_i T_i                                     (Ilharco et al. 2023, "Editing models with task arithmetic")
 *   ties              trim: keep the floor(d n) largest |T_i|; elect the sign s of sum_i T_i; mean over those
 *                     that agree with s of w_i T_i                      (Yadav et al. 2023, "TIES-merging", section 4)
 *   dare_linear       each number kept with probability d and divided by d, then linear
 *   dare_ties         the same, then elected as in ties                 (Yu et al. 2024, "Language models are super Mario", section 3)
 *   magnitude_prune   trimmed as in ties, then linear
 *
 * The rule is applied to all A with weights sign(w) sqrt|w s| and to all B with sqrt|w s|, s the adapter's scale,
 * which is rough: products of one's A and another's B come with it.  RULE_svd applies it to the updates s B A
 * themselves and keeps the best approximation of the rank asked for; "svd" is that of linear.  "cat" keeps every
 * pair side by side and is exact.  The result has alpha = rank, so that its scale is 1.
 *
 * The random numbers of dare are ours: a function of the seed and the module's name. */
#ifndef LM_PEFT_COMBINE_H
#define LM_PEFT_COMBINE_H

#include "nn/param.h"
#include "peft/lora_folder.h"

extern const char *const lm_combine_methods[];       /* NULL-terminated */

typedef struct lm_combine {
    const lm_lora_folder *folders;
    const double *weights;
    int n;
    int method;                          /* index into lm_combine_methods */
    int64_t rank;                        /* of svd methods; 0: the largest of the adapters' */
    double density;
    uint64_t seed;
    const lm_kernels *k;
} lm_combine;

/* Declares A and B of every module that an adapter has in `out`, under PEFT's names in files, and fills them;
 * *rank is that of all.  LM_E_MISMATCH for ranks or shapes that must agree and do not. */
lm_status lm_combine_run(const lm_combine *c, lm_params *out, int64_t *rank, lm_err *err);

#endif
