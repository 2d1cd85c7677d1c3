#include "peft/select.h"

#include "token/pattern.h"

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

/* As in PEFT: the expression has to match the whole name, or what stands behind one of its points. */
static lm_status matches(bool *hit, const char *expression, size_t n, const char *module, const char *what, lm_err *err)
{
    lm_str whole = { 0 };
    lm_pattern *pattern = NULL;
    lm_match match;
    *hit = false;
    lm_str_printf(&whole, "\\A(?:.*\\.)?(?:%.*s)\\z", (int)n, expression);
    lm_status status = lm_pattern_regex(&pattern, whole.data, what, err);
    if (status == LM_OK) {
        lm_matcher matcher = lm_matcher_start(pattern, lm_span_of(module, strlen(module)));
        *hit = lm_matcher_next(&matcher, &match);
        status = lm_matcher_end(&matcher, err);
    }
    lm_pattern_free(pattern);
    lm_str_free(&whole);
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
        LM_TRY(matches(&hit, pair, (size_t)(equals - pair), module, what, err));
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

/* The last number in a dotted name that is not its end: "model.layers.3.mlp.up_proj" -> 3, or -1. */
static long long layer_of(const char *module)
{
    long long layer = -1;
    for (const char *dot = strchr(module, '.'); dot; dot = strchr(dot + 1, '.')) {
        char *end;
        long long number = strtoll(dot + 1, &end, 10);
        if (end != dot + 1 && *end == '.') layer = number;
    }
    return layer;
}

bool lm_peft_layers_have(const lm_strings *layers, const char *module)
{
    for (int i = 0; i < layers->n; i++)
        if (strtoll(layers->items[i], NULL, 10) == layer_of(module)) return true;
    return !layers->n;
}

void lm_peft_targets_write(const lm_adapter *a, lm_json *config, const lm_strings *targets, const lm_strings *layers)
{
    bool named = targets->n && strpbrk(targets->items[0], "\\^$*+?()[]{}|") == NULL && strcmp(targets->items[0], "all-linear") != 0;
    lm_json *list = json_array(), *chosen = named && layers->n ? json_array() : json_null();
    for (int i = 0; i < targets->n && named; i++) json_array_append_new(list, json_string(targets->items[i]));
    for (int64_t i = 0; i < a->n_links && !named; i++) json_array_append_new(list, json_string(a->links[i]->site->name));
    for (int i = 0; i < layers->n && named; i++) json_array_append_new(chosen, json_integer(strtoll(layers->items[i], NULL, 10)));
    json_object_set_new(config, "target_modules", list);
    json_object_set_new(config, "layers_to_transform", chosen);
}
