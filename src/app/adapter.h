/* The subcommands of `malmoi adapter`, one file adapter_<name>.c each, and what they share.  A new one is
 * declared here and listed in cmd_adapter.c. */
#ifndef LM_APP_ADAPTER_H
#define LM_APP_ADAPTER_H

#include "app/command.h"
#include "io/safetensors.h"

extern const lm_command lm_adapter_list, lm_adapter_show, lm_adapter_diff, lm_adapter_combine, lm_adapter_export;

/* An adapter's folder as it lies there, whatever its method and base. */
typedef struct lm_adapter_view {
    char *folder;
    lm_json *config;
    lm_safetensors file;
    const char *method, *base, *fingerprint;     /* ours or PEFT's word; base and fingerprint may be NULL */
    int64_t trainable;                           /* numbers in the file that train */
} lm_adapter_view;

/* The caller zeroes *v, and closes it also after a failure. */
lm_status lm_adapter_view_open(lm_adapter_view *v, const char *folder, lm_err *err);
void lm_adapter_view_close(lm_adapter_view *v);

/* LM_E_MISMATCH when the folders say that they belong to different bases: by their fingerprints, or where one
 * has none by the models' names. */
lm_status lm_adapter_same_base(const char *folder_a, const lm_json *config_a, const lm_safetensors *a,
                               const char *folder_b, const lm_json *config_b, const lm_safetensors *b, lm_err *err);

/* Sum of squares, and of products with another tensor of the same shape (NULL: none); in f64. */
lm_status lm_adapter_dot(double *squares, double *product, const lm_stored *a, const lm_stored *b, lm_err *err);

#endif
