/* malmoi inspect: what a path holds.
 *
 * A view fills one JSON object; --json prints it as it is, otherwise it is laid out for people. */
#include "app/data.h"
#include "app/inspect.h"

#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct inspect_options {
    bool tensors, json;
    const char *model, *objective;
    int64_t row, rows, context;
} inspect_options;

static const lm_option options[] = {
    LM_OPTION(FLAG, inspect_options, tensors, "tensors", .help = "list every tensor"),
    LM_OPTION(STRING, inspect_options, model, "model", .metavar = "FOLDER", .help = "show training data as this model will see it"),
    LM_OPTION(STRING, inspect_options, objective, "objective", .metavar = "NAME", .help = "that the data is for (default: by its rows)"),
    LM_OPTION(INT, inspect_options, row, "row", .fallback = "1", .min = 1, .max = 1e15, .help = "first row to show"),
    LM_OPTION(INT, inspect_options, rows, "rows", .fallback = "3", .min = 1, .max = 1e6, .help = "how many rows"),
    LM_OPTION(INT, inspect_options, context, "context", .max = 1e9, .help = "length of a block in tokens (0: the model's)"),
    LM_OPTION(FLAG, inspect_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* ---- for people -------------------------------------------------------------- */

static void print_value(lm_str *out, const lm_json *value)
{
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    lm_str_puts(out, text ? text : json_string_value(value));
    free(text);
}

static void print_tensors(lm_str *out, const lm_json *tensors)
{
    lm_table t = lm_table_start("lll");
    size_t i;
    lm_json *tensor;
    lm_table_cells(&t, "tensor", "dtype", "shape");
    lm_table_rule(&t);
    json_array_foreach(tensors, i, tensor) {
        char *name = lm_strdup(json_string_value(json_object_get(tensor, "name")));
        lm_one_line(name);
        char *shape = json_dumps(json_object_get(tensor, "shape"), 0);
        lm_table_cells(&t, name, json_string_value(json_object_get(tensor, "dtype")), shape);
        free(shape);
        free(name);
    }
    lm_str_putc(out, '\n');
    lm_table_print(&t, out);
    lm_table_free(&t);
}

static void print_document(lm_json *doc)
{
    lm_table t = lm_table_start("ll");
    lm_str out = {0}, value = {0};
    const char *key;
    lm_json *member;
    json_object_foreach(doc, key, member) {
        if (json_array_size(member) && json_is_object(json_array_get(member, 0))) continue;
        lm_str_clear(&value);
        print_value(&value, member);
        lm_one_line(value.data);
        lm_table_cells(&t, key, value.data);
    }
    lm_table_print(&t, &out);
    if (json_object_get(doc, "tensors")) print_tensors(&out, json_object_get(doc, "tensors"));
    fputs(out.data, stdout);
    lm_table_free(&t);
    lm_str_free(&out);
    lm_str_free(&value);
}

/* ---- the command ------------------------------------------------------------- */

static lm_status prepare(lm_call *call, lm_err *err)
{
    const char *name = lm_call_peek(call, "objective");
    if (!name) return LM_OK;
    const lm_objective *objective = lm_objective_find(name);
    if (!objective && call->help) return LM_OK;
    if (!objective) return lm_fail(err, LM_E_USAGE, "--objective %s: there is no such objective (malmoi train --help lists them)", name);
    if (objective->options) call->own = lm_call_add(call, objective->name, objective->options, objective->options_size);
    return LM_OK;
}

static lm_status show_data(lm_json *doc, const char *path, const lm_call *call, lm_err *err)
{
    const inspect_options *o = call->values;
    if (!o->model) {
        LM_TRY(lm_inspect_rows_of(doc, path, err));
        if (!o->json) {
            print_document(doc);
            printf("\nwith --model FOLDER: its rows as that model will see them\n");
        }
        return LM_OK;
    }
    const lm_inspect_rows view = {
        .path = path, .model = o->model, .objective = o->objective ? lm_objective_find(o->objective) : NULL,
        .options = call->own, .first = o->row, .count = o->rows, .context = o->context, .colour = isatty(STDOUT_FILENO),
    };
    lm_str text = {0};
    lm_status status = lm_inspect_data(&text, o->json ? doc : NULL, &view, err);
    if (status == LM_OK && !o->json) fputs(text.data, stdout);
    lm_str_free(&text);
    return status;
}

static lm_status show(lm_json *doc, const char *path, const lm_call *call, lm_err *err)
{
    const inspect_options *o = call->values;
    lm_kind kind;
    LM_TRY(lm_kind_of_path(&kind, path, err));
    json_object_set_new(doc, "path", json_string(path));
    json_object_set_new(doc, "kind", json_string(lm_kind_name(kind)));
    if (kind == LM_KIND_TEXT) {
        LM_TRY(show_data(doc, path, call, err));
    } else {
        LM_TRY(lm_inspect_files(doc, kind, path, o->tensors, err));
        if (!o->json) print_document(doc);
    }
    if (o->json) lm_print_json(json_incref(doc));
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    LM_TRY(lm_call_args(call, 1, 1, "PATH", err));
    lm_json *doc = json_object();
    lm_status status = show(doc, call->args.items[0], call, err);
    json_decref(doc);
    return status;
}

static const char notes[] = "Of training data, tokens that are learnt are green (in [brackets] where there is no terminal), tokens\n"
                            "beyond the context red (~so~); \"│\" stands where a long text is divided.";

const lm_command lm_command_inspect = {
    .name = "inspect",
    .group = "models",
    .summary = "show what a model, adapter, checkpoint or data file holds",
    .usage = "PATH [options]",
    .example = "malmoi inspect MODEL\n"
               "malmoi inspect model.safetensors --tensors\n"
               "malmoi inspect chats.jsonl --model MODEL --objective sft",
    .notes = notes,
    .options = options,
    .values_size = sizeof(inspect_options),
    .prepare = prepare,
    .run = run,
};

const lm_command lm_data_inspect = {
    .name = "inspect",
    .summary = "rows as a model will see them: what is learnt, what is cut",
    .usage = "FILE --model FOLDER [options]",
    .example = "malmoi data inspect chats.jsonl --model MODEL --objective sft --context 1024",
    .notes = notes,
    .options = options,
    .values_size = sizeof(inspect_options),
    .prepare = prepare,
    .run = run,
};
