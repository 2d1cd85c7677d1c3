/* malmoi adapter show: what one adapter is, and how long each of its tensors is. */
#include "app/adapter.h"

#include "base/log.h"
#include "base/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct show_options {
    bool json;
} show_options;

static const lm_option options[] = {
    LM_OPTION(FLAG, show_options, json, "json", .help = "one JSON object"),
    { 0 },
};

static lm_status list_tensors(lm_json *list, lm_table *table, const lm_adapter_view *v, lm_err *err)
{
    for (int64_t i = 0; i < v->file.n; i++) {
        const lm_stored *s = &v->file.items[i];
        lm_str shape = { 0 };
        double squares;
        LM_TRY(lm_adapter_dot(&squares, NULL, s, NULL, err));
        lm_json *dims = json_array();
        for (int d = 0; d < s->ndim; d++) {
            json_array_append_new(dims, json_integer((json_int_t)s->dim[d]));
            lm_str_printf(&shape, "%s%lld", d ? " x " : "", (long long)s->dim[d]);
        }
        lm_table_put(table, "%s", s->name);
        lm_table_put(table, "%s", shape.data ? shape.data : "1");
        lm_table_put(table, "%s", s->type);
        lm_table_put(table, "%.4g", sqrt(squares));
        lm_json *norm = isfinite(squares) ? json_real(sqrt(squares)) : json_null();
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "name", s->name, "dtype", s->type, "shape", dims, "norm", norm));
        lm_str_free(&shape);
    }
    return LM_OK;
}

static void print_config(const lm_json *config)
{
    const char *key;
    lm_json *value;
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        lm_str text = { 0 };
        if (json_is_null(value) || !strcmp(key, "peft_type")) continue;
        lm_json_text(&text, value, 0);
        printf("  %-26s %s\n", key, text.data);
        lm_str_free(&text);
    }
}

static lm_status show(const lm_adapter_view *v, bool json, lm_err *err)
{
    lm_json *tensors = json_array();
    lm_table table = lm_table_start("lllr");
    lm_table_cells(&table, "tensor", "shape", "type", "norm");
    lm_table_rule(&table);
    lm_status status = list_tensors(tensors, &table, v, err);
    if (status == LM_OK && json) {
        lm_print_json(json_pack("{s:o, s:s, s:s?, s:s?, s:I, s:I, s:O, s:O}", "folder", lm_json_utf8(v->folder, strlen(v->folder)), "method", v->method,
                                "base", v->base, "fingerprint", v->fingerprint, "trainable_parameters", (json_int_t)v->trainable,
                                "bytes", (json_int_t)v->file.mapping.size, "config", v->config, "tensors", tensors));
    } else if (status == LM_OK) {
        char count[24], bytes[24];
        lm_str text = { 0 };
        printf("%s: %s, %s trained parameters, %s\n", v->folder, v->method, lm_format_count(count, (double)v->trainable),
               lm_format_bytes(bytes, (double)v->file.mapping.size));
        printf("base: %s (%s)\n", v->base ? v->base : "not named", v->fingerprint ? v->fingerprint : "no fingerprint");
        print_config(v->config);
        lm_table_print(&table, &text);
        fwrite(text.data, 1, text.len, stdout);
        lm_str_free(&text);
    }
    lm_table_free(&table);
    lm_json_free(tensors);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const show_options *o = call->values;
    LM_TRY(lm_call_args(call, 1, 1, "one ADAPTER", err));
    lm_adapter_view v = { 0 };
    lm_status status = lm_adapter_view_open(&v, call->args.items[0], err);
    if (status == LM_OK) status = show(&v, o->json, err);
    lm_adapter_view_close(&v);
    return status;
}

const lm_command lm_adapter_show = {
    .name = "show",
    .summary = "an adapter's settings, base and tensors with their norms",
    .usage = "ADAPTER [options]",
    .example = "malmoi adapter show tuned",
    .options = options,
    .values_size = sizeof(show_options),
    .run = run,
};
