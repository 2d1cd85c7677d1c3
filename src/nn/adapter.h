/* Adapters: parameter-efficient tuning as hooks on a model that does not know of them.
 *
 * A method is one file, peft/<name>.c.  attach declares the method's own parameters and links
 * itself to the sites that it changes; the linear, the embedding, the attention block and the
 * training loop call the hooks; NULL hooks are skipped.  Files are PEFT's. */
#ifndef LM_NN_ADAPTER_H
#define LM_NN_ADAPTER_H

#include "base/option.h"
#include "nn/model.h"

typedef struct lm_adapter_type {
    const char *name, *peft_type, *source;
    const lm_option *options;                        /* the method's settings, over options_size bytes */
    size_t options_size;
    /* Declares parameters (adapter->params) and links (lm_adapter_link). */
    lm_status (*attach)(lm_adapter *a, lm_err *err);
    lm_tensor *(*weight)(const lm_forward *f, const lm_link *link, lm_tensor *w);
    lm_tensor *(*input)(const lm_forward *f, const lm_link *link, lm_tensor *x);
    lm_tensor *(*output)(const lm_forward *f, const lm_link *link, lm_tensor *x, lm_tensor *y);
    lm_tensor *(*embed)(const lm_forward *f, lm_adapter *a, lm_tensor *x);
    void (*kv)(const lm_forward *f, lm_adapter *a, int64_t layer, lm_tensor **k, lm_tensor **v);
    lm_tensor *(*penalty)(lm_tape *t, lm_adapter *a);        /* added to the loss */
    void (*after_step)(lm_adapter *a, int64_t step);
    /* Adds the link's change to w [out, in] or transposed, f32, in host memory. */
    lm_status (*merge)(const lm_link *link, float *w, lm_err *err);
    /* Options from and to PEFT's adapter_config.json. */
    lm_status (*read_config)(lm_adapter *a, const lm_json *config, const char *path, lm_err *err);
    lm_status (*write_config)(const lm_adapter *a, lm_json *config, lm_err *err);
} lm_adapter_type;

extern const lm_adapter_type *const lm_adapter_type_registry[];

/* One method at one site. */
struct lm_link {
    lm_adapter *adapter;
    lm_linear_site *site;
    lm_param *param[4];                              /* the method's, in its own order */
    float scale;
    lm_link *next;
};

struct lm_adapter {
    const lm_adapter_type *type;
    void *options;                                   /* options_size bytes */
    lm_model *model;
    lm_params params;                                /* names without PEFT's "base_model.model." prefix */
    lm_link **links;
    int64_t n_links;
    char *base_name;                                 /* base_model_name_or_path, or NULL */
};

const lm_adapter_type *lm_adapter_type_find(const char *name);

/* A fresh adapter attached to the model: `options` as made by the option table (copied; strings stay
 * the caller's).  Parameters are initialised from seed. */
lm_status lm_adapter_new(lm_adapter **out, lm_model *m, const lm_adapter_type *type, const void *options,
                         uint64_t seed, lm_err *err);

/* Reads a PEFT folder and attaches it; refuses one whose tensors do not fit the model. */
lm_status lm_adapter_load(lm_adapter **out, lm_model *m, const char *folder, lm_err *err);
lm_status lm_adapter_save(const lm_adapter *a, const char *folder, lm_err *err);

/* Folds the adapter into the model's weights (which become f32 in memory) and detaches it. */
lm_status lm_adapter_merge(lm_adapter *a, lm_err *err);
void lm_adapter_free(lm_adapter *a);                 /* detaches */

/* For attach: a link at a site, appended to the site's list. */
lm_link *lm_adapter_link(lm_adapter *a, lm_linear_site *site);

#endif
