/* Fresh adapters for tests: small settings, and numbers away from the start. */
#ifndef LM_TESTS_PEFT_FRESH_H
#define LM_TESTS_PEFT_FRESH_H

#include "model/golden.h"

#include "base/rng.h"

/* Tiny models have few positions and narrow matrices. */
static const char *const settings[] = { "num-virtual-tokens", "3", "lora-r", "4", "init-r", "4", "target-r", "2", "vera-r", "6", "adapter-len", "3",
                                        "bottleneck-init", "mam_adapter", "reduction-factor", "4", NULL };

/* The method's settings: `settings`, and those of `more` (pairs, NULL-terminated; may be NULL). */
static inline void *fresh_values(lm_option_set sets[2], const lm_adapter_type *type, const char *const *more, lm_err *err)
{
    void *values = calloc(1, type->options_size);
    sets[0] = (lm_option_set){ NULL, type->options, values };
    sets[1] = (lm_option_set){ 0 };
    lm_options_defaults(sets);
    for (const char *const *s = settings; *s; s += 2)
        if (lm_option_find(sets, s[0]).option) assert_int_equal(lm_option_set_text(sets, s[0], s[1], "test", err), LM_OK);
    for (const char *const *s = more; s && *s; s += 2) assert_int_equal(lm_option_set_text(sets, s[0], s[1], "test", err), LM_OK);
    return values;
}

/* Away from the start, where half of what could be wrong is multiplied by zero. */
static inline void fresh_stir(lm_adapter *a, uint64_t seed)
{
    lm_rng rng = { .seed = seed };
    for (int64_t i = 0; i < a->params.n; i++) {
        lm_tensor *t = &a->params.items[i]->t;
        for (int64_t j = 0; j < lm_numel(t); j++) ((float *)t->data)[j] += 0.05f * (float)lm_rng_normal(&rng);
    }
}

#endif
