/* malmoi adapter diff: how two adapters differ in their settings, and tensor by tensor in length and direction. */
#include "app/adapter.h"

#include "base/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct diff_options {
    bool json;
} diff_options;

static const lm_option options[] = {
    LM_OPTION(FLAG, diff_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* {"key": [a's, b's]}; null where one has it not. */
static lm_json *diff_configs(const lm_json *a, const lm_json *b)
{
    lm_json *out = json_object(), *value;
    const char *key;
    for (int side = 0; side < 2; side++)
        json_object_foreach((json_t *)(uintptr_t)(side ? b : a), key, value) {
            lm_json *x = lm_json_get(a, key), *y = lm_json_get(b, key);
            if (json_object_get(out, key) || (!x && !y) || (x && y && json_equal(x, y))) continue;
            json_object_set_new(out, key, json_pack("[O?, O?]", x, y));
        }
    return out;
}

static bool same_shape(const lm_stored *a, const lm_stored *b)
{
    return a->ndim == b->ndim && !memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim);
}

static lm_json *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* |b - a| / |a| and the cosine of the angle between them. */
static lm_status compare(lm_json *out, const lm_stored *a, const lm_stored *b, lm_err *err)
{
    double aa, bb, ab;
    LM_TRY(lm_adapter_dot(&bb, NULL, b, NULL, err));
    LM_TRY(lm_adapter_dot(&aa, &ab, a, b, err));
    double apart = fmax(0, aa + bb - 2 * ab), cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa == bb;
    bool equal = a->bytes == b->bytes && a->dtype == b->dtype && !memcmp(a->data, b->data, a->bytes);
    json_object_set_new(out, "change", equal ? json_real(0) : number(sqrt(apart / aa)));
    json_object_set_new(out, "cosine", number(equal ? 1 : cosine));
    return LM_OK;
}

static lm_status diff_tensors(lm_json *list, const lm_adapter_view *v, lm_err *err)
{
    for (int64_t i = 0; i < v[0].file.n; i++) {
        const lm_stored *a = &v[0].file.items[i], *b = lm_safetensors_find(&v[1].file, a->name);
        lm_json *entry = json_pack("{s:s}", "name", a->name);
        json_array_append_new(list, entry);
        if (!b) json_object_set_new(entry, "only_in", json_string(v[0].folder));
        else if (!same_shape(a, b)) json_object_set_new(entry, "shapes", json_string("differ"));
        else LM_TRY(compare(entry, a, b, err));
    }
    for (int64_t i = 0; i < v[1].file.n; i++)
        if (!lm_safetensors_find(&v[0].file, v[1].file.items[i].name))
            json_array_append_new(list, json_pack("{s:s, s:s}", "name", v[1].file.items[i].name, "only_in", v[1].folder));
    return LM_OK;
}

static void put_real(lm_table *t, const lm_json *value)
{
    if (json_is_real(value)) lm_table_put(t, "%.4g", json_real_value(value));
    else lm_table_put(t, "%s", "-");
}

static void print_plain(const lm_json *configs, const lm_json *tensors)
{
    const char *key;
    lm_json *value;
    size_t i;
    lm_str text = { 0 };
    json_object_foreach((json_t *)(uintptr_t)configs, key, value) {
        lm_str_printf(&text, "%s: ", key);
        lm_json_text(&text, json_array_get(value, 0), 0);
        lm_str_puts(&text, " -> ");
        lm_json_text(&text, json_array_get(value, 1), 0);
        lm_str_putc(&text, '\n');
    }
    lm_table table = lm_table_start("lrrl");
    lm_table_cells(&table, "tensor", "change", "cosine", "");
    lm_table_rule(&table);
    json_array_foreach((json_t *)(uintptr_t)tensors, i, value) {
        const char *only = json_string_value(json_object_get(value, "only_in"));
        lm_table_put(&table, "%s", json_string_value(json_object_get(value, "name")));
        put_real(&table, json_object_get(value, "change"));
        put_real(&table, json_object_get(value, "cosine"));
        lm_table_put(&table, "%s%s", only ? "only in " : json_object_get(value, "shapes") ? "shapes differ" : "", only ? only : "");
    }
    lm_table_print(&table, &text);
    lm_table_free(&table);
    fwrite(text.data, 1, text.len, stdout);
    lm_str_free(&text);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const diff_options *o = call->values;
    LM_TRY(lm_call_args(call, 2, 2, "two ADAPTERs", err));
    lm_adapter_view v[2] = { { 0 } };
    lm_json *tensors = json_array();
    lm_status status = LM_OK;
    for (int i = 0; i < 2 && status == LM_OK; i++) status = lm_adapter_view_open(&v[i], call->args.items[i], err);
    if (status == LM_OK) status = diff_tensors(tensors, v, err);
    if (status == LM_OK) {
        lm_json *configs = diff_configs(v[0].config, v[1].config);
        if (o->json) lm_print_json(json_pack("{s:O, s:O}", "config", configs, "tensors", tensors));
        else print_plain(configs, tensors);
        lm_json_free(configs);
    }
    lm_json_free(tensors);
    for (int i = 0; i < 2; i++) lm_adapter_view_close(&v[i]);
    return status;
}

const lm_command lm_adapter_diff = {
    .name = "diff",
    .summary = "how two adapters differ in settings and tensors",
    .usage = "ADAPTER ADAPTER [options]",
    .example = "malmoi adapter diff tuned retuned",
    .notes = "change is |b - a| / |a|; cosine is 1 for tensors of one direction.",
    .options = options,
    .values_size = sizeof(diff_options),
    .run = run,
};
