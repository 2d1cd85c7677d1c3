#include "nn/model.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "io/bitsandbytes.h"
#include "io/save.h"
#include "nn/active.h"
#include "nn/head.h"
#include "nn/quantised.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ---- */

static const lm_family *family_of(const char *model_type)
{
    for (const lm_family *const *f = lm_family_registry; *f; f++)
        for (const char *const *type = (*f)->model_types; *type; type++)
            if (!strcmp(*type, model_type)) return *f;
    return NULL;
}

static lm_status unknown_family(const char *model_type, lm_err *err)
{
    lm_str known = { 0 };
    for (const lm_family *const *f = lm_family_registry; *f; f++)
        for (const char *const *type = (*f)->model_types; *type; type++)
            lm_str_printf(&known, "%s%s", known.len ? ", " : "", *type);
    lm_fail(err, LM_E_UNSUPPORTED, "model_type: found \"%s\", this build has %s", model_type, known.data);
    lm_str_free(&known);
    return LM_E_UNSUPPORTED;
}

lm_status lm_act_parse(lm_act *out, const char *name, const char *key, lm_err *err)
{
    static const struct { const char *name; lm_act act; } known[] = {
        { "silu", LM_ACT_SILU }, { "swish", LM_ACT_SILU }, { "gelu", LM_ACT_GELU }, { "gelu_new", LM_ACT_GELU_TANH },
        { "gelu_pytorch_tanh", LM_ACT_GELU_TANH }, { "relu", LM_ACT_RELU }, { "tanh", LM_ACT_TANH },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name)) {
            *out = known[i].act;
            return LM_OK;
        }
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: found \"%s\", supported are silu, gelu, gelu_new, "
                   "gelu_pytorch_tanh, relu, tanh", key, name);
}

/* A token id, or a list of them. */
static lm_status read_eos(lm_config *c, const lm_json *config, lm_err *err)
{
    const lm_json *eos = lm_json_get(config, "eos_token_id");
    size_t n = json_is_array(eos) ? json_array_size(eos) : eos ? 1 : 0;
    size_t room = sizeof c->eos_id / sizeof *c->eos_id;
    if (n > room) return lm_fail(err, LM_E_UNSUPPORTED, "eos_token_id: found %zu ids, at most %zu are supported", n, room);
    for (size_t i = 0; i < n; i++) {
        const lm_json *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id)) return lm_fail(err, LM_E_FORMAT, "eos_token_id: expected an integer or a list of them");
        c->eos_id[c->n_eos++] = json_integer_value(id);
    }
    return LM_OK;
}

/* Sizes are used in products: each is bounded so that none of those overflows. */
static lm_status check_size(const char *key, int64_t value, int64_t most, lm_err *err)
{
    if (value >= 1 && value <= most) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "%s: expected 1 to %lld, found %lld", key, (long long)most, (long long)value);
}

static lm_status check_sizes(const lm_config *c, lm_err *err)
{
    LM_TRY(check_size("vocab_size", c->vocab_size, 1 << 24, err));
    LM_TRY(check_size("hidden size", c->hidden_size, 1 << 20, err));
    LM_TRY(check_size("number of layers", c->n_layers, 4096, err));
    LM_TRY(check_size("number of heads", c->n_heads, 4096, err));
    LM_TRY(check_size("number of key-value heads", c->n_kv_heads, c->n_heads, err));
    LM_TRY(check_size("head size", c->head_dim, 512, err));
    LM_TRY(check_size("intermediate size", c->intermediate_size, 1 << 22, err));
    LM_TRY(check_size("longest position", c->max_positions, INT32_MAX, err));
    if (c->n_heads % c->n_kv_heads)
        return lm_fail(err, LM_E_FORMAT, "%lld heads are not a multiple of %lld key-value heads",
                       (long long)c->n_heads, (long long)c->n_kv_heads);
    return LM_OK;
}

/* A site that no family declares: the part of a weight's name before ".weight". */
static lm_linear_site *site_of(const char *weight, lm_tensor *w, int64_t in, int64_t out, bool transposed)
{
    lm_linear_site *s = lm_calloc(1, sizeof *s);
    *s = (lm_linear_site){ .name = lm_strndup(weight, strlen(weight) - strlen(".weight")), .w = w, .in = in, .out = out, .transposed = transposed };
    return s;
}

static void free_site(lm_linear_site *s)
{
    if (s) free((char *)(uintptr_t)s->name);
    free(s);
}

/* A model with its parameters declared; takes config, also on failure. */
static lm_status declare(lm_model **out, lm_json *config, const lm_kernels *k, lm_err *err)
{
    lm_model *m = lm_calloc(1, sizeof *m);
    *out = m;
    m->config_json = config;
    const char *model_type = NULL;
    LM_TRY(lm_params_init(&m->params, k, err));
    LM_TRY(lm_json_need_str(config, "model_type", NULL, &model_type, err));
    if (!(m->family = family_of(model_type))) return unknown_family(model_type, err);
    m->own = lm_calloc(1, m->family->size);
    m->config = (lm_config){ .bos_id = -1, .pad_id = -1, .init_range = 0.02f };
    snprintf(m->config.model_type, sizeof m->config.model_type, "%s", model_type);
    LM_TRY(lm_json_opt_int(config, "bos_token_id", NULL, &m->config.bos_id, err));
    LM_TRY(lm_json_opt_int(config, "pad_token_id", NULL, &m->config.pad_id, err));
    LM_TRY(read_eos(&m->config, config, err));
    LM_TRY(m->family->configure(m, config, err));
    LM_TRY(check_sizes(&m->config, err));
    LM_TRY(m->family->declare(m, err));
    int64_t ids = m->embedding->dim[0], width = m->embedding->dim[1];
    m->table = site_of(m->embedding->name, m->embedding, ids, width, true);
    if (m->head) m->output = site_of("lm_head.weight", m->head, width, ids, false);
    return LM_OK;
}

void lm_model_free(lm_model *m)
{
    if (!m) return;
    for (int64_t i = 0; i < m->n_sites; i++) free_site(m->sites[i]);
    free_site(m->table);
    free_site(m->output);
    free(m->sites);
    free(m->own);
    free(m->path);
    free(m->fingerprint);
    lm_strings_free(&m->labels);
    lm_params_free(&m->params);
    lm_weights_close(&m->weights);
    lm_json_free(m->config_json);
    free(m);
}

/* ---- loading ---- */

/* Checkpoints of a bare trunk leave out its prefix ("model.", "transformer."). */
const lm_stored *lm_model_stored(const lm_model *m, const char *name)
{
    const lm_stored *s = lm_weights_find(&m->weights, name);
    size_t prefix = strlen(m->family->prefix);
    if (!s && !strncmp(name, m->family->prefix, prefix)) s = lm_weights_find(&m->weights, name + prefix);
    return s;
}

/* Matrices stay where the file has them; vectors become f32 in memory. */
static lm_status bind(lm_model *m, lm_param *p, bool as_bf16, lm_err *err)
{
    const lm_stored *s = lm_model_stored(m, p->t.name);
    if (!s && p->optional) return LM_OK;
    if (!s) return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is missing; config.json implies it", m->weights.path, p->t.name);
    lm_linear_site *site = lm_quantised_site(m, p);
    if (site) return lm_quantised_bind(m, site, s, err);
    LM_TRY(lm_stored_need_shape(s, p->t.ndim, p->t.dim, err));
    if (s->dtype != LM_F32 && s->dtype != LM_BF16 && s->dtype != LM_F16)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: tensor %s: dtype %s, expected F32, BF16 or F16", s->path, s->name, s->type);
    const void *in_place = p->t.ndim > 1 ? lm_stored_in_place(s, (lm_dtype)s->dtype) : NULL;
    as_bf16 = as_bf16 && p->t.ndim > 1 && s->dtype != LM_BF16;
    if (in_place && !as_bf16) {
        p->t.dtype = (lm_dtype)s->dtype;
        p->t.data = (void *)(uintptr_t)in_place;   /* read-only: whoever trains it takes a copy */
        return LM_OK;
    }
    p->t.dtype = as_bf16 ? LM_BF16 : LM_F32;
    p->t.data = lm_arena_alloc(&m->params.arena, lm_nbytes(&p->t));
    if (!p->t.data) return lm_fail(err, LM_E_NOMEM, "no room for tensor %s", p->t.name);
    if (!m->params.k->computes) return LM_OK;
    LM_TRY(lm_stored_copy(s, p->t.data, p->t.dtype, err));
    lm_mapping_unload(s->data, s->bytes);
    return LM_OK;
}

/* Buffers that transformers once wrote, and heads that are tied. */
static bool expected_extra(const lm_model *m, const char *name)
{
    return lm_ends_with(name, ".rotary_emb.inv_freq") || lm_ends_with(name, ".attn.bias") ||
           lm_ends_with(name, ".attn.masked_bias") || (m->quant_stored && lm_bnb_is_part(name)) || (m->config.tie_embeddings && !strcmp(name, "lm_head.weight"));
}

static void report_unused(const lm_model *m)
{
    const char *first = NULL;
    int64_t n = 0;
    for (int64_t i = 0; i < m->weights.n; i++) {
        const char *name = m->weights.items[i]->name;
        char full[512];
        snprintf(full, sizeof full, "%s%s", m->family->prefix, name);
        if (lm_param_find(&m->params, name) || lm_param_find(&m->params, full) || expected_extra(m, name)) continue;
        if (!n++) first = name;
    }
    if (n) lm_log(LM_LOG_WARN, "%s: %lld tensors are not part of a %s model and are left out, %s the first",
                  m->weights.path, (long long)n, m->config.model_type, first);
}

/* What the folder's linears are held in: its own format, or the one that is asked for. */
static lm_status choose_format(lm_model *m, const char *format, lm_err *err)
{
    LM_TRY(lm_bnb_format(&m->quant, m->config_json, err));
    m->quant_stored = m->quant != NULL;
    if (!format || (m->quant && !strcmp(format, m->quant->name))) return LM_OK;
    if (m->quant) return lm_fail(err, LM_E_USAGE, "its weights are stored in %s; they cannot be loaded in %s", m->quant->name, format);
    m->quant = lm_quant_type_find(format);
    return LM_OK;
}

static lm_status load(lm_model **out, const char *path, const char *format, const lm_kernels *k, lm_err *err)
{
    if (format && !lm_quant_type_find(format) && strcmp(format, "bf16"))
        return lm_fail(err, LM_E_USAGE, "there is no weight format \"%s\": expected nf4, fp4, int8 or bf16", format);
    char *config_path = lm_path_join(path, "config.json");
    lm_json *config = lm_json_read(config_path, err);
    lm_status status = config ? declare(out, config, k, err) : err->code;
    if (status == LM_OK) status = choose_format(*out, format, err);
    if (config && status != LM_OK) lm_context(err, "%s", config_path);
    free(config_path);
    LM_TRY(status);

    lm_model *m = *out;
    bool as_bf16 = format && !m->quant;
    m->path = lm_strdup(path);
    LM_TRY(lm_weights_open(&m->weights, path, err));
    for (int64_t i = 0; i < m->params.n; i++) LM_TRY(bind(m, m->params.items[i], as_bf16, err));
    report_unused(m);
    return LM_OK;
}

static lm_status finish(lm_model **out, lm_status status)
{
    if (status == LM_OK) return LM_OK;
    lm_model_free(*out);
    *out = NULL;
    return status;
}

lm_status lm_model_load_in(lm_model **out, const char *path, const char *format, const lm_kernels *k, lm_err *err)
{
    lm_err local = { 0 };
    *out = NULL;
    return finish(out, load(out, path, format, k, err ? err : &local));
}

lm_status lm_model_load(lm_model **out, const char *path, const lm_kernels *k, lm_err *err)
{
    return lm_model_load_in(out, path, NULL, k, err);
}

static lm_status initialise(lm_model *m, uint64_t seed, const lm_quant_type *quant, lm_err *err)
{
    m->quant = quant;
    for (int64_t i = 0; i < m->n_sites && quant; i++) LM_TRY(lm_quantised_initialise(m, m->sites[i], seed, err));
    return lm_params_initialise(&m->params, seed, err);
}

lm_status lm_model_new_in(lm_model **out, lm_json *config, uint64_t seed, const lm_quant_type *quant, const lm_kernels *k, lm_err *err)
{
    *out = NULL;
    lm_status status = declare(out, config, k, err);
    if (status == LM_OK) status = initialise(*out, seed, quant, err);
    return finish(out, status);
}

lm_status lm_model_new(lm_model **out, lm_json *config, uint64_t seed, const lm_kernels *k, lm_err *err)
{
    return lm_model_new_in(out, config, seed, NULL, k, err);
}

/* ---- saving ---- */

static void write_config_keys(lm_json *config, const lm_model *m, bool doubled, lm_dtype dtype)
{
    json_object_set_new(config, "dtype", json_string(lm_dtype_torch(dtype)));
    json_object_del(config, "torch_dtype");
    lm_json *quantised = m->quant ? lm_bnb_config(m->quant, doubled, dtype, config) : NULL;
    json_object_del(config, "quantization_config");
    if (quantised) json_object_set_new(config, "quantization_config", quantised);
}

lm_status lm_model_save(const lm_model *m, const char *folder, lm_dtype dtype, int64_t max_shard, lm_err *err)
{
    LM_TRY(lm_make_dirs(folder, err));
    lm_save_entry *entries = lm_calloc((size_t)m->params.n * LM_BNB_PARTS, sizeof *entries);
    lm_bnb_parts *parts = lm_calloc((size_t)m->params.n, sizeof *parts);
    int64_t n = 0;
    bool doubled = false;
    for (int64_t i = 0; i < m->params.n; i++) {
        const lm_tensor *t = &m->params.items[i]->t;
        if (!t->data || !lm_model_uses(m, m->params.items[i])) continue;
        if (t->quant) {
            lm_bnb_write(&parts[i], t, dtype);
            for (int j = 0; j < parts[i].n; j++) entries[n++] = parts[i].entry[j];
            doubled |= !t->quant->absmax;
            continue;
        }
        entries[n++] = (lm_save_entry){ .name = t->name, .dtype = dtype, .ndim = t->ndim, .dim = t->dim,
                                        .data = t->data, .data_dtype = t->dtype };
    }
    lm_status status = lm_save_folder(&(lm_save){ .entries = entries, .n = n }, folder, max_shard, err);
    for (int64_t i = 0; i < m->params.n; i++) lm_bnb_parts_free(&parts[i]);
    free(parts);
    free(entries);
    LM_TRY(status);

    json_t *config = json_deep_copy(m->config_json);
    write_config_keys(config, m, doubled, dtype);
    char *path = lm_path_join(folder, "config.json");
    status = lm_json_write(config, path, err);
    free(path);
    lm_json_free(config);
    return status;
}

/* ---- running ---- */

static lm_status check_batch(const lm_forward *f)
{
    const lm_batch *b = f->batch;
    for (int64_t i = 0; i < b->n_tokens; i++)
        if (b->ids[i] < 0 || b->ids[i] >= f->m->config.vocab_size)
            return lm_tape_fail(f->t, "token id %d at %lld: the model has %lld", b->ids[i], (long long)i,
                                (long long)f->m->config.vocab_size);
    for (int64_t s = 0; s < b->n_segments; s++) {
        int64_t context = lm_model_context(f->m, b->off ? b->off[s] : 0);
        for (int64_t i = b->segments[s].q0; i < b->segments[s].q0 + b->segments[s].nq; i++)
            if (b->positions[i] < 0 || b->positions[i] >= context)
                return lm_tape_fail(f->t, "position %d: the model's context has %lld", b->positions[i], (long long)context);
    }
    return LM_OK;
}

lm_tensor *lm_model_forward(const lm_forward *f)
{
    if (f->t->err.code || (f->t->k->computes && check_batch(f) != LM_OK)) return &f->t->dead;
    lm_tensor *kept;
    const lm_forward *with = lm_with_adapters(f, &kept);
    if (!with) return &f->t->dead;
    lm_tensor *hidden = f->m->family->forward(with);
    return kept ? lm_gather_rows(f->t, hidden, kept) : hidden;
}
