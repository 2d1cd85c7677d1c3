#include "peft/select.h"

#include "nn/target.h"

#include <stdlib.h>
#include <string.h>

/* Puts text, which becomes the adapter's, behind the others; out->items has room. */
static void keep_text(lm_adapter *a, lm_strings *out, lm_str *text)
{
    out->items[out->n++] = lm_adapter_keep(a, lm_str_take(text));
}

lm_status lm_peft_pairs_read(lm_adapter *a, const lm_json *config, const char *key, lm_strings *out, lm_err *err)
{
    lm_json *object = lm_json_get(config, key), *value;
    const char *name;
    if (object && !json_is_object(object)) return lm_fail(err, LM_E_FORMAT, "%s: expected an object", key);
    *out = (lm_strings){ lm_adapter_keep(a, lm_calloc(json_object_size(object) + 1, sizeof(char *))), 0 };
    json_object_foreach(object, name, value) {
        if (!json_is_number(value)) return lm_fail(err, LM_E_FORMAT, "%s: %s: expected a number", key, name);
        lm_str pair = { 0 };
        lm_str_printf(&pair, "%s=%.17g", name, json_number_value(value));
        keep_text(a, out, &pair);
    }
    return LM_OK;
}

void lm_peft_pairs_write(lm_json *config, const char *key, const lm_strings *pairs)
{
    lm_json *object = json_object();
    for (int i = 0; i < pairs->n; i++) {
        const char *equals = strrchr(pairs->items[i], '=');
        double value = strtod(equals + 1, NULL);
        bool whole = value == (double)(int64_t)value;
        json_object_setn_new(object, pairs->items[i], (size_t)(equals - pairs->items[i]),
                             whole ? json_integer((json_int_t)value) : json_real(value));
    }
    json_object_set_new(config, key, object);
}

static lm_status matches(bool *hit, lm_span expression, const char *module, const char *what, lm_err *err)
{
    lm_pattern *pattern = NULL;
    lm_status status = lm_name_pattern(&pattern, expression, true, what, err);
    if (status == LM_OK) status = lm_name_matches(hit, pattern, module, err);
    lm_pattern_free(pattern);
    return status;
}

lm_status lm_peft_pairs_find(double *out, const lm_strings *pairs, const char *module, const char *what, lm_err *err)
{
    bool hit = false;
    for (int i = 0; i < pairs->n && !hit; i++) {
        const char *pair = pairs->items[i], *equals = strrchr(pair, '=');
        char *end = NULL;
        double value = equals ? strtod(equals + 1, &end) : 0;
        if (!equals || equals == pair || end == equals + 1 || *end || !(value > 0 && value < 1e9))
            return lm_fail(err, LM_E_USAGE, "%s: expected NAME=NUMBER above 0, found \"%s\"", what, pair);
        LM_TRY(matches(&hit, lm_span_of(pair, (size_t)(equals - pair)), module, what, err));
        if (hit) *out = value;
    }
    return LM_OK;
}

/* ---- layers ---- */

lm_status lm_peft_layers_read(lm_adapter *a, const lm_json *config, lm_strings *out, lm_err *err)
{
    const lm_json *value = lm_json_get(config, "layers_to_transform"), *pattern = lm_json_get(config, "layers_pattern");
    size_t n = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
    *out = (lm_strings){ lm_adapter_keep(a, lm_calloc(n + 1, sizeof(char *))), 0 };
    if (n && pattern && (!json_is_array(pattern) || json_array_size(pattern)))
        return lm_fail(err, LM_E_UNSUPPORTED, "layers_pattern is set; only the model's own layers can be chosen from");
    for (size_t i = 0; i < n; i++) {
        const lm_json *layer = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(layer)) return lm_fail(err, LM_E_FORMAT, "layers_to_transform: expected a layer's number or a list of them");
        lm_str text = { 0 };
        lm_str_printf(&text, "%lld", (long long)json_integer_value(layer));
        keep_text(a, out, &text);
    }
    return LM_OK;
}

lm_status lm_peft_layers_check(const lm_adapter *a, const lm_strings *layers, lm_err *err)
{
    int64_t most = a->model->config.n_layers;
    for (int i = 0; i < layers->n; i++) {
        char *end;
        long long layer = strtoll(layers->items[i], &end, 10);
        if (end == layers->items[i] || *end || layer < 0 || layer >= most)
            return lm_fail(err, LM_E_USAGE, "layers to transform: expected 0 to %lld, found \"%s\"", (long long)most - 1, layers->items[i]);
    }
    return LM_OK;
}

int64_t lm_peft_layer_of(const char *name)
{
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        char *end;
        long long number = strtoll(dot + 1, &end, 10);
        if (end != dot + 1 && *end == '.') return number;
    }
    return -1;
}

bool lm_peft_layers_have(const lm_strings *layers, const char *module)
{
    for (int i = 0; i < layers->n; i++)
        if (strtoll(layers->items[i], NULL, 10) == lm_peft_layer_of(module)) return true;
    return !layers->n;
}

void lm_peft_targets_write(const lm_adapter *a, lm_json *config, const lm_strings *targets, const lm_strings *layers)
{
    bool named = targets->n && !lm_is_expression(targets->items[0]) && strcmp(targets->items[0], "all-linear") != 0;
    lm_json *list = json_array(), *chosen = named && layers->n ? json_array() : json_null();
    for (int i = 0; i < targets->n && named; i++) json_array_append_new(list, json_string(targets->items[i]));
    for (int64_t i = 0; i < a->n_links && !named; i++) json_array_append_new(list, json_string(a->links[i]->site->name));
    for (int i = 0; i < layers->n && named; i++) json_array_append_new(chosen, json_integer(strtoll(layers->items[i], NULL, 10)));
    json_object_set_new(config, "target_modules", list);
    json_object_set_new(config, "layers_to_transform", chosen);
}
