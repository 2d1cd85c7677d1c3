#include "io/bitsandbytes.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ---- */

lm_status lm_bnb_format(const lm_quant_type **out, const lm_json *config, lm_err *err)
{
    const lm_json *q = lm_json_get(config, "quantization_config");
    const char *method = "bitsandbytes", *name = "fp4";
    bool four = false, eight = false;
    *out = NULL;
    if (!q) return LM_OK;
    LM_TRY(lm_json_opt_str(q, "quant_method", "quantization_config", &method, err));
    if (strcmp(method, "bitsandbytes"))
        return lm_fail(err, LM_E_UNSUPPORTED, "quantization_config: quant_method: found \"%s\", only \"bitsandbytes\" is read", method);
    LM_TRY(lm_json_opt_bool(q, "load_in_4bit", "quantization_config", &four, err));
    LM_TRY(lm_json_opt_bool(q, "load_in_8bit", "quantization_config", &eight, err));
    LM_TRY(lm_json_opt_str(q, "bnb_4bit_quant_type", "quantization_config", &name, err));
    if (four == eight) return lm_fail(err, LM_E_FORMAT, "quantization_config: expected one of load_in_4bit and load_in_8bit to be true");
    *out = lm_quant_type_find(eight ? "int8" : name);
    if (*out && (*out)->bits == (eight ? 8 : 4)) return LM_OK;
    return lm_fail(err, LM_E_UNSUPPORTED, "quantization_config: bnb_4bit_quant_type: found \"%s\", expected nf4 or fp4", name);
}

static const lm_json *skipped(const lm_json *config) { return lm_json_get(lm_json_get(config, "quantization_config"), "llm_int8_skip_modules"); }

bool lm_bnb_skips(const lm_json *config, const char *module)
{
    const lm_json *list = skipped(config);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && *name && (lm_starts_with(module, name) || lm_ends_with(module, name))) return true;
    }
    return false;
}

lm_json *lm_bnb_config(const lm_quant_type *type, bool doubled, lm_dtype others, const lm_json *before)
{
    bool four = type->bits == 4;
    return json_pack("{s:s, s:b, s:b, s:s, s:b, s:s, s:s, s:O?, s:f, s:b, s:b}", "quant_method", "bitsandbytes",
                     "load_in_4bit", four, "load_in_8bit", !four, "bnb_4bit_quant_type", four ? type->name : "fp4",
                     "bnb_4bit_use_double_quant", doubled, "bnb_4bit_compute_dtype", lm_dtype_torch(others),
                     "bnb_4bit_quant_storage", "uint8", "llm_int8_skip_modules", skipped(before), "llm_int8_threshold", 6.0,
                     "llm_int8_has_fp16_weight", 0, "llm_int8_enable_fp32_cpu_offload", 0);
}

/* ---- reading ---- */

/* A tensor that belongs to s, of one type and so many numbers. */
static lm_status part(const lm_stored **out, const lm_weights *w, const lm_stored *s, const char *name, lm_dtype dtype, int64_t n, lm_err *err)
{
    LM_TRY(lm_weights_need(w, name, out, err));
    if ((*out)->dtype == (int)dtype && (*out)->numel == n) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: %lld numbers of %s, tensor %s implies %lld of %s", (*out)->path, name,
                   (long long)(*out)->numel, (*out)->type, s->name, (long long)n, lm_dtype_name(dtype));
}

/* NAME.suffix as floats: where they lie, or copied to where they are aligned. */
static lm_status floats(const float **out, const lm_weights *w, const lm_stored *s, const char *suffix, int64_t n, lm_arena *arena, lm_err *err)
{
    const lm_stored *p;
    char name[600];
    snprintf(name, sizeof name, "%s%s", s->name, suffix);
    LM_TRY(part(&p, w, s, name, LM_F32, n, err));
    *out = lm_stored_in_place(p, LM_F32);
    if (*out) return LM_OK;
    float *copy = lm_arena_alloc(arena, (size_t)n * sizeof *copy);
    if (!copy) return lm_fail(err, LM_E_NOMEM, "%s arena: no room for %s", arena->name, name);
    if (arena->kind == LM_ARENA_REAL) memcpy(copy, p->data, (size_t)n * sizeof *copy);
    *out = copy;
    return LM_OK;
}

static lm_status check_state(const lm_json *state, const lm_quant_type *type, int64_t rows, int64_t cols, lm_err *err)
{
    const char *kind;
    int64_t r = 0, c = 0;
    LM_TRY(lm_json_need_str(state, "quant_type", NULL, &kind, err));
    const lm_json *shape = lm_json_get(state, "shape");
    if (json_array_size(shape) == 2) r = json_integer_value(json_array_get(shape, 0)), c = json_integer_value(json_array_get(shape, 1));
    if (strcmp(kind, type->name)) return lm_fail(err, LM_E_MISMATCH, "quant_type: found \"%s\", expected \"%s\"", kind, type->name);
    if (r != rows || c != cols)
        return lm_fail(err, LM_E_MISMATCH, "shape: found [%lld, %lld], config.json implies [%lld, %lld]", (long long)r, (long long)c,
                       (long long)rows, (long long)cols);
    return LM_OK;
}

static bool is_block(int64_t n) { return n >= 32 && n <= 4096 && !(n & (n - 1)); }

/* Block sizes and the offset, out of the JSON that stands in a tensor of bytes. */
static lm_status read_state(lm_quant *q, const lm_weights *w, const lm_stored *s, const lm_quant_type *type, bool doubled,
                            int64_t rows, int64_t cols, lm_err *err)
{
    const lm_stored *bytes;
    char name[600];
    snprintf(name, sizeof name, "%s.quant_state.bitsandbytes__%s", s->name, type->name);
    LM_TRY(lm_weights_need(w, name, &bytes, err));
    if (bytes->dtype != LM_U8) return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: dtype %s, expected U8", bytes->path, name, bytes->type);
    lm_json *state = lm_json_parse(bytes->data, bytes->bytes, name, err);
    if (!state) return LM_E_FORMAT;
    double offset = doubled ? NAN : 0;                    /* not a number: absent */
    q->outer_block = 256;
    lm_status status = check_state(state, type, rows, cols, err);
    if (status == LM_OK) status = lm_json_need_int(state, "blocksize", NULL, &q->block, err);
    if (status == LM_OK && doubled) status = lm_json_need_int(state, "nested_blocksize", NULL, &q->outer_block, err);
    if (status == LM_OK && doubled) status = lm_json_opt_real(state, "nested_offset", NULL, &offset, err);
    if (status == LM_OK && (!is_block(q->block) || !is_block(q->outer_block)))
        status = lm_fail(err, LM_E_FORMAT, "blocksize %lld and nested_blocksize %lld: expected powers of two from 32 to 4096",
                         (long long)q->block, (long long)q->outer_block);
    if (status == LM_OK && !isfinite((float)offset)) status = lm_fail(err, LM_E_FORMAT, "nested_offset: expected a finite number");
    q->offset = (float)offset;
    if (status != LM_OK) lm_context(err, "%s: tensor %s", bytes->path, name);
    lm_json_free(state);
    return status;
}

static lm_status read_four(lm_tensor *out, lm_quant *q, const lm_weights *w, const lm_stored *s, const lm_quant_type *type,
                           int64_t rows, int64_t cols, lm_arena *arena, lm_err *err)
{
    char name[600];
    const float *level;
    const lm_stored *scale;
    snprintf(name, sizeof name, "%s.absmax", s->name);
    LM_TRY(lm_weights_need(w, name, &scale, err));
    bool doubled = scale->dtype == LM_U8;
    LM_TRY(read_state(q, w, s, type, doubled, rows, cols, err));
    int64_t numel = rows * cols, blocks = lm_quant_blocks(q, numel);
    if (s->dtype != LM_U8 || (size_t)s->numel != lm_quant_code_bytes(q, numel))
        return lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: %lld of %s, expected %zu bytes of codes", s->path, s->name, (long long)s->numel,
                       s->type, lm_quant_code_bytes(q, numel));
    LM_TRY(floats(&level, w, s, ".quant_map", 16, arena, err));
    if (arena->kind == LM_ARENA_REAL) memcpy(q->level, level, sizeof q->level);
    for (int i = 0; i < 16; i++)
        if (!isfinite(q->level[i])) return lm_fail(err, LM_E_FORMAT, "%s: tensor %s.quant_map: level %d is not finite", s->path, s->name, i);
    *out = lm_tensor_of((void *)(uintptr_t)s->data, LM_U8, 2, (const int64_t[]){ rows, cols });
    if (!doubled) return floats(&q->absmax, w, s, ".absmax", blocks, arena, err);
    LM_TRY(part(&scale, w, s, name, LM_U8, blocks, err));
    q->scale_code = scale->data;
    LM_TRY(floats(&q->outer, w, s, ".nested_absmax", (blocks + q->outer_block - 1) / q->outer_block, arena, err));
    return floats(&q->map, w, s, ".nested_quant_map", 256, arena, err);
}

static lm_status read_eight(lm_tensor *out, lm_quant *q, const lm_weights *w, const lm_stored *s, int64_t rows, int64_t cols, lm_arena *arena,
                            lm_err *err)
{
    char name[600];
    const lm_stored *format;
    lm_stored module = *s;
    LM_TRY(lm_stored_need_shape(s, 2, (const int64_t[]){ rows, cols }, err));
    char *stem = lm_strndup(s->name, strlen(s->name) - strlen(".weight"));
    snprintf(name, sizeof name, "%s.weight_format", stem);
    module.name = stem;
    format = lm_weights_find(w, name);
    lm_status status = LM_OK;
    if (s->dtype != LM_I8) status = lm_fail(err, LM_E_MISMATCH, "%s: tensor %s: dtype %s, config.json implies I8", s->path, s->name, s->type);
    if (status == LM_OK && format && (format->bytes != 1 || *(const uint8_t *)format->data != 0))
        status = lm_fail(err, LM_E_UNSUPPORTED, "%s: tensor %s: only rows (0) are read", format->path, name);
    if (status == LM_OK) status = floats(&q->absmax, w, &module, ".SCB", rows, arena, err);
    free(stem);
    *out = lm_tensor_of((void *)(uintptr_t)s->data, LM_I8, 2, (const int64_t[]){ rows, cols });
    return status;
}

lm_status lm_bnb_read(lm_tensor *out, lm_quant *q, const lm_weights *w, const lm_stored *s, const lm_quant_type *type,
                      int64_t rows, int64_t cols, lm_arena *arena, lm_err *err)
{
    const char *name = out->name;
    *q = lm_quant_of(type, cols);
    if (!lm_ends_with(s->name, ".weight")) return lm_fail(err, LM_E_FORMAT, "%s: tensor %s: expected a name in .weight", s->path, s->name);
    lm_status status = type->bits == 4 ? read_four(out, q, w, s, type, rows, cols, arena, err) : read_eight(out, q, w, s, rows, cols, arena, err);
    out->name = name;
    out->quant = q;
    return status;
}

bool lm_bnb_is_part(const char *name)
{
    static const char *const endings[] = { ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
                                           ".SCB", ".weight_format" };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (lm_ends_with(name, endings[i])) return true;
    return strstr(name, ".weight.quant_state.bitsandbytes__") != NULL;
}

/* ---- writing ---- */

static void add(lm_bnb_parts *p, const char *name, const char *suffix, lm_dtype dtype, int ndim, int64_t rows, int64_t cols, const void *data)
{
    lm_str text = { 0 };
    lm_str_printf(&text, "%s%s", name, suffix);
    int i = p->n++;
    p->name[i] = lm_str_take(&text);
    p->dim[i][0] = rows, p->dim[i][1] = cols;
    p->entry[i] = (lm_save_entry){ .name = p->name[i], .dtype = dtype, .data_dtype = dtype, .ndim = ndim, .dim = p->dim[i], .data = data };
}

static char *state_text(const lm_tensor *t, lm_dtype dtype)
{
    const lm_quant *q = t->quant;
    json_t *state = json_pack("{s:s, s:I, s:s, s:[I, I]}", "quant_type", q->type->name, "blocksize", (json_int_t)q->block, "dtype",
                              lm_dtype_torch(dtype), "shape", (json_int_t)t->dim[0], (json_int_t)t->dim[1]);
    if (!q->absmax) {
        json_object_set_new(state, "nested_blocksize", json_integer(q->outer_block));
        json_object_set_new(state, "nested_dtype", json_string("float32"));
        json_object_set_new(state, "nested_offset", json_real(q->offset));
    }
    lm_str text = { 0 };
    lm_json_text(&text, state, 0);
    json_decref(state);
    return lm_str_take(&text);
}

void lm_bnb_write(lm_bnb_parts *p, const lm_tensor *t, lm_dtype dtype)
{
    const lm_quant *q = t->quant;
    int64_t numel = lm_numel(t), blocks = lm_quant_blocks(q, numel);
    *p = (lm_bnb_parts){ 0 };
    if (q->bits == 8) {
        char *stem = lm_strndup(t->name, strlen(t->name) - strlen(".weight"));
        add(p, t->name, "", LM_I8, 2, t->dim[0], t->dim[1], t->data);
        add(p, stem, ".SCB", LM_F32, 1, blocks, 0, q->absmax);
        add(p, stem, ".weight_format", LM_U8, 0, 0, 0, &p->format);
        free(stem);
        return;
    }
    char key[64];
    snprintf(key, sizeof key, ".quant_state.bitsandbytes__%s", q->type->name);
    p->state = state_text(t, dtype);
    add(p, t->name, "", LM_U8, 2, (int64_t)lm_quant_code_bytes(q, numel), 1, t->data);
    add(p, t->name, ".quant_map", LM_F32, 1, 16, 0, q->level);
    add(p, t->name, key, LM_U8, 1, (int64_t)strlen(p->state), 0, p->state);
    add(p, t->name, ".absmax", q->absmax ? LM_F32 : LM_U8, 1, blocks, 0, q->absmax ? (const void *)q->absmax : q->scale_code);
    if (q->absmax) return;
    add(p, t->name, ".nested_absmax", LM_F32, 1, (blocks + q->outer_block - 1) / q->outer_block, 0, q->outer);
    add(p, t->name, ".nested_quant_map", LM_F32, 1, 256, 0, q->map);
}

void lm_bnb_parts_free(lm_bnb_parts *p)
{
    for (int i = 0; i < p->n; i++) free(p->name[i]);
    free(p->state);
    *p = (lm_bnb_parts){ 0 };
}
