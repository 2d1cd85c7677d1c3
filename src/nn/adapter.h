/* Adapters: parameter-efficient tuning as hooks on a model that does not know of them.
 *
 * A method is one file, peft/<name>.c.  attach declares the method's own parameters and links
 * itself to the sites that it changes; the linear, the embedding, the attention block and the
 * training loop call the hooks; NULL hooks are skipped.  Files are PEFT's.
 *
 * Invariants
 *  1. A model has at most LM_MAX_ADAPTERS adapters, each freed before the model; one has a slot of its own as long
 *     as it is attached.  nn/active.h says how they act together.
 *  2. Names in adapter->params are PEFT's without the "base_model.model." prefix (type->bare, or where they
 *     begin with "base_model.": whole).
 *  3. modules_to_save are trained copies: while the adapter is on, the model's tensors are aliases
 *     of the copies (data and gradient); switched off, they are the base's own again.  No two adapters copy the
 *     same parameter. */
#ifndef LM_NN_ADAPTER_H
#define LM_NN_ADAPTER_H

#include "base/option.h"
#include "nn/attention.h"
#include "nn/model.h"

enum { LM_MAX_ADAPTERS = 64 };                       /* of one model: a set of them is a word */

typedef struct lm_adapter_type {
    const char *name, *peft_type, *source;
    const lm_option *options;                        /* the method's settings, over options_size bytes */
    size_t options_size;
    bool bare;                                       /* tensors in files have no "base_model.model." in front */
    const char *file;                                /* weights of another library's folder, names as they are; NULL: PEFT's */
    bool (*recognise)(const lm_json *config);        /* whether a config is this method's; NULL: where its peft_type is */
    bool embeds;                                     /* the embedding (model->table) can be a target */
    bool (*heads)(const lm_adapter *a);              /* whether the head (model->output) can be one; NULL: no */
    /* Declares parameters (a->params) and links (lm_adapter_link, lm_adapter_save_modules). */
    lm_status (*attach)(lm_adapter *a, lm_err *err);
    /* Initial values that a declaration cannot say.  NULL: as declared. */
    lm_status (*start)(lm_adapter *a, uint64_t seed, lm_err *err);
    /* What virtual tokens carry, made once a pass: f->vectors[a->slot] of the hooks below. */
    lm_tensor *(*vectors)(lm_tape *t, lm_adapter *a);
    lm_tensor *(*input)(const lm_forward *f, const lm_link *link, lm_tensor *x);
    lm_tensor *(*output)(const lm_forward *f, const lm_link *link, lm_tensor *x, lm_tensor *y);
    /* At the head instead of `output`: what is added to the logits of x. */
    lm_low_rank (*narrow)(const lm_forward *f, const lm_link *link, lm_tensor *x);
    lm_tensor *(*embed)(const lm_forward *f, lm_adapter *a, lm_tensor *x);
    void (*kv)(const lm_forward *f, lm_adapter *a, int64_t layer, lm_tensor **k, lm_tensor **v);
    /* y [N, C]: what attention gives for the rotated queries q [N, heads * D], projected. */
    lm_tensor *(*attend)(const lm_forward *f, lm_adapter *a, const lm_attend_options *at, lm_tensor *q, lm_tensor *y);
    /* y: what a sublayer makes of h, the normalised residual stream x.  Returns what is added to x. */
    lm_tensor *(*branch)(const lm_forward *f, lm_adapter *a, int64_t layer, lm_sublayer which, lm_tensor *x, lm_tensor *h, lm_tensor *y);
    lm_status (*prepare)(lm_adapter *a, int64_t steps, lm_err *err);      /* before the first step of a run of so many */
    lm_tensor *(*penalty)(lm_tape *t, lm_adapter *a);        /* added to the loss; NULL: none */
    void (*after_step)(lm_adapter *a, int64_t step);         /* weights updated, gradients still there */
    /* Makes the link's change to its site's weight and bias, f32, or with `undo` takes it back. */
    lm_status (*merge)(const lm_link *link, bool undo, lm_err *err);
    /* What is left of a->params for files, declared and filled in `out`.  NULL: all of it. */
    lm_status (*kept)(lm_adapter *a, lm_params *out, lm_err *err);
    /* Options from and to PEFT's adapter_config.json.  The generic keys are written already. */
    lm_status (*read_config)(lm_adapter *a, const lm_json *config, lm_err *err);
    void (*write_config)(const lm_adapter *a, lm_json *config);
} lm_adapter_type;

extern const lm_adapter_type *const lm_adapter_type_registry[];

/* One method at one site. */
struct lm_link {
    lm_adapter *adapter;
    lm_linear_site *site;
    lm_param *param[4];                              /* the method's, in its own order */
    float scale;
    float *own;                                      /* numbers of the method's, in the adapter's arena */
    lm_link *next;                                   /* at the same site */
};

/* A parameter of the base that is trained as a copy. */
typedef struct lm_saved_module {
    lm_param *base, *copy;
    lm_tensor original;                              /* base->t while the adapter is off */
} lm_saved_module;

struct lm_adapter {
    const lm_adapter_type *type;
    void *options;                                   /* options_size bytes */
    lm_model *model;
    lm_adapter *next;                                /* attached to the same model, later */
    int slot;                                        /* 0 .. LM_MAX_ADAPTERS */
    char *name;                                      /* what messages call it: its folder, or the method */
    const char *base;                                /* the model's fingerprint; NULL once merged */
    lm_params params;
    lm_params state;                                 /* what a method remembers between steps: in checkpoints, not in its files */
    lm_link **links;
    lm_saved_module *saved;
    int64_t n_links, n_saved;
    int64_t n_virtual;                               /* tokens that it puts in front of every sequence (virtual.c) */
    lm_json *config;                                 /* adapter_config.json as read, or NULL: owns strings in options */
    void **kept;                                     /* memory behind options: see lm_adapter_keep */
    int n_kept;
    bool on;
};

const lm_adapter_type *lm_adapter_type_find(const char *name);     /* NULL: no such method */

/* A fresh adapter, attached and switched on.  `options` (as the option table made them) is copied; its
 * strings must outlive the adapter.  Parameters are initialised from seed. */
lm_status lm_adapter_new(lm_adapter **out, lm_model *m, const lm_adapter_type *type, const void *options,
                         uint64_t seed, lm_err *err);

/* Where the base's fingerprint stands in the metadata of adapter_model.safetensors. */
extern const char lm_adapter_base_key[];

/* What becomes of an adapter whose folder says that it belongs to another base. */
typedef enum lm_foreign { LM_FOREIGN_REFUSED, LM_FOREIGN_WARNED, LM_FOREIGN_TAKEN } lm_foreign;

/* Reads a PEFT folder, attaches it and switches it on.  Refuses tensors that do not fit the model; lm_adapter_load
 * also adapters of another base. */
lm_status lm_adapter_load(lm_adapter **out, lm_model *m, const char *folder, lm_err *err);
lm_status lm_adapter_load_on(lm_adapter **out, lm_model *m, const char *folder, lm_foreign foreign, lm_err *err);

/* The method of an adapter_config.json; NULL and LM_E_FORMAT or LM_E_UNSUPPORTED without one. */
const lm_adapter_type *lm_adapter_type_of(const lm_json *config, lm_err *err);

/* The file with its weights in a folder; NULL: PEFT's. */
const char *lm_adapter_weights(const lm_adapter_type *type);

/* Writes adapter_config.json and the weights (PEFT's adapter_model.safetensors). */
lm_status lm_adapter_save(lm_adapter *a, const char *folder, lm_err *err);

/* Off: the model computes as the base does (the reference model of DPO and PPO), and back on. */
void lm_adapter_switch(lm_adapter *a, bool on);

/* Folds the adapter into the model's weights, which become f32 in memory, and switches it off. */
lm_status lm_adapter_merge(lm_adapter *a, lm_err *err);

/* The other way round: takes the adapter out of weights that it was folded into, and leaves it on beside them.
 * LM_E_UNSUPPORTED where a merge has overwritten what it would need. */
lm_status lm_adapter_unmerge(lm_adapter *a, lm_err *err);
void lm_adapter_free(lm_adapter *a);                 /* detaches; takes NULL */

/* ---- for nn/adapter_file.c ---- */

/* An empty adapter of a type on the model, and the end of making it: freed when `status` is a failure, else on. */
lm_status lm_adapter_begin(lm_adapter **out, lm_model *m, const lm_adapter_type *type, const char *name, lm_err *err);
lm_status lm_adapter_finish(lm_adapter **out, lm_status status, lm_err *err);

/* ---- a head that classifies, trained with the adapter (adapter_head.c) ---- */

bool lm_adapter_classifies(const lm_adapter *a);
bool lm_adapter_head_is(const char *module);         /* PEFT's names of such a head: the adapter has it anyway */

/* Gives the adapter a copy of the model's score. */
void lm_adapter_head_attach(lm_adapter *a);

/* Whether the file has a score; then the model gets a head for as many labels, unless it has one. */
lm_status lm_adapter_head_read(lm_adapter *a, const lm_safetensors *file, bool *has, lm_err *err);
void lm_adapter_head_write(const lm_adapter *a, lm_json *config, lm_json *metadata);

/* ---- for methods ---- */

/* A link at a site, last in its list. */
lm_link *lm_adapter_link(lm_adapter *a, lm_linear_site *site);

/* Memory that is freed with the adapter; returned. */
void *lm_adapter_keep(lm_adapter *a, void *memory);

/* Calls visit for every site that `targets` names: by suffix ("q_proj"), "all-linear", or one regular
 * expression over the whole name (as in PEFT: a single entry that is not a plain suffix).  A target
 * that names no site is LM_E_USAGE with the nearest names. */
lm_status lm_adapter_targets(lm_adapter *a, const lm_strings *targets,
                             void (*visit)(lm_adapter *a, lm_linear_site *site), lm_err *err);

/* A trained copy of one of the base's parameters, called `name`. */
void lm_adapter_copy_param(lm_adapter *a, lm_param *p, const char *name);

/* Makes trained copies of the base's parameters that are wanted; returns how many there are now more. */
int64_t lm_adapter_copy_params(lm_adapter *a, bool (*wanted)(const lm_param *p, const void *context), const void *context);

/* The same for the parameters of the modules whose names end so. */
lm_status lm_adapter_save_modules(lm_adapter *a, const lm_strings *modules, lm_err *err);

/* Whether one of the suffixes names the site. */
bool lm_adapter_names(const lm_strings *suffixes, const lm_linear_site *site);

/* A parameter's f32 data, in the arena; for initial values of the method's own. */
lm_status lm_adapter_allocate(lm_adapter *a, lm_param *p, lm_err *err);

/* x with the rows of a's virtual tokens replaced by theirs of a table. */
lm_tensor *lm_put_vectors(const lm_forward *f, const lm_adapter *a, lm_tensor *x, lm_tensor *table);

/* Every row of a table, in the activation type. */
lm_tensor *lm_adapter_rows(lm_tape *t, lm_tensor *table);

/* "key": [...], or null for none. */
void lm_adapter_put_strings(lm_json *config, const char *key, const lm_strings *strings);

/* A JSON list of strings (or a single string, or null) of the config that is being read, as lm_strings
 * that live as long as the adapter. */
lm_status lm_adapter_strings(lm_adapter *a, const lm_json *config, const char *key, lm_strings *out, lm_err *err);

#endif
