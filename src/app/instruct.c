#include "app/instruct.h"
#include "app/shipped.h"

#include "base/file.h"
#include "base/log.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lm_status open_set(lm_template_set **out, const lm_instruct_call *c, lm_err *err)
{
    char *folder, *path = NULL;
    *out = NULL;
    if (c->file && c->name) return lm_fail(err, LM_E_USAGE, "--template and --template-set: expected one of them");
    if (c->file) return lm_template_set_read(out, c->file, err);
    LM_TRY(lm_shipped_folder(&folder, "templates", err));
    lm_status status = lm_shipped_file(&path, folder, c->name, ".yaml", err);
    if (status != LM_OK && lm_file_exists(c->name)) {
        lm_err_clear(err);
        lm_fail(err, LM_E_USAGE, "--template-set %s: is a file, which --template reads", c->name);
    } else if (status != LM_OK) lm_context(err, "--template-set");
    if (status == LM_OK) status = lm_template_set_read(out, path, err);
    free(path);
    free(folder);
    return status;
}

/* ---- a profile ---- */

static lm_status phrase_profile(lm_instruct_result *r, const lm_template_set *set, const lm_instruct_call *c, lm_err *err)
{
    lm_str text = {0}, out = {0};
    lm_json *rows = json_array(), *profile = NULL;
    lm_status status = lm_file_read(&text, c->profile, 1 << 20, err);
    if (status == LM_OK && !(profile = lm_yaml_document(text.data ? text.data : "", text.len, c->profile, err))) status = err->code;
    if (status == LM_OK && !json_is_object(profile)) status = lm_fail(err, LM_E_FORMAT, "%s: expected lines of the form name: value", c->profile);
    if (status == LM_OK) {
        status = lm_instruct_object(rows, r, set, profile, &c->o, err);
        if (status != LM_OK) lm_context(err, "%s", c->profile);
    }
    if (status == LM_OK && !r->written) status = lm_fail(err, LM_E_FORMAT, "%s: no phrasing of the set fits it", c->profile);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        lm_json_text(&out, json_array_get(rows, i), 0);
        lm_str_putc(&out, '\n');
    }
    if (status == LM_OK) status = lm_file_write(c->o.out, out.data, out.len, err);
    lm_json_free(profile);
    lm_json_free(rows);
    lm_str_free(&text);
    lm_str_free(&out);
    return status;
}

/* ---- files ---- */

static void print(const lm_instruct_result *r, const lm_template_set *set, const lm_instruct_call *c)
{
    lm_template_about about = lm_template_set_about(set);
    if (c->json) {
        lm_json *errors = json_array();
        for (int i = 0; i < r->skipped.messages.n; i++) json_array_append_new(errors, json_string(r->skipped.messages.items[i]));
        lm_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "set", about.name, "rows", (json_int_t)(r->rows + r->skipped.n), "records", (json_int_t)r->records,
                                "written", (json_int_t)r->written, "inverted", (json_int_t)r->kinds[LM_PHRASING_INVERTED], "cot", (json_int_t)r->kinds[LM_PHRASING_COT], "unfit",
                                (json_int_t)r->unfit, "passed_over", (json_int_t)r->skipped.n, "errors", errors));
        return;
    }
    printf("%s: %" PRId64 " instructions", c->o.out, r->written);
    if (r->records != r->rows) printf(" of %" PRId64 " records", r->records);
    printf(" of %" PRId64 " rows by %s; inverted: %" PRId64 "; without a phrasing that fits: %" PRId64 "; passed over: %" PRId64 "\n", r->rows + r->skipped.n, about.name,
           r->kinds[LM_PHRASING_INVERTED], r->unfit, r->skipped.n);
}

lm_status lm_instruct_run(lm_call *call, lm_instruct_call *c, lm_err *err)
{
    lm_template_set *set;
    lm_instruct_result r = {0};
    LM_TRY(lm_call_args(call, c->profile ? 0 : 1, c->profile ? 0 : -1, c->profile ? "no file beside --profile" : "IN...", err));
    LM_TRY(open_set(&set, c, err));
    c->how.seed = (uint64_t)c->seed;
    c->o.how = c->how;
    lm_status status = c->profile ? phrase_profile(&r, set, c, err) : lm_instruct_files(&r, set, &call->args, &c->o, err);
    lm_skipped_tell(&r.skipped);
    if (status == LM_OK) print(&r, set, c);
    lm_instruct_result_free(&r);
    lm_template_set_free(set);
    return status;
}

/* ---- the list ---- */

/* The first instruction of the set's example, or NULL. */
static lm_json *example_of(const lm_template_set *set, lm_err *err)
{
    lm_template_about about = lm_template_set_about(set);
    lm_instruct_result r = {0};
    lm_json *rows = json_array(), *first = NULL;
    const lm_instruct_options o = { .how = { .per_row = 1 }, .completions = true };
    if (about.example && lm_instruct_object(rows, &r, set, about.example, &o, err) == LM_OK) first = json_incref(json_array_get(rows, 0));
    lm_json_free(rows);
    return first;
}

static void indent(const char *text)
{
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "\n");
        printf("    %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
}

static lm_status show(const char *path, lm_json *list, lm_err *err)
{
    lm_template_set *set;
    LM_TRY(lm_template_set_read(&set, path, err));
    lm_template_about a = lm_template_set_about(set);
    lm_json *row = example_of(set, err);
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:s?, s:i, s:i, s:i, s:O?}", "name", a.name, "language", a.language, "about", a.about, "source", a.source, "templates",
                                              a.phrasings[LM_PHRASING_PLAIN], "inverted", a.phrasings[LM_PHRASING_INVERTED], "cot", a.phrasings[LM_PHRASING_COT], "example", row));
    else {
        printf("%s (%s)  %s; %d phrasings, %d inverted, %d with a rationale\n", a.name, a.language ? a.language : "?", a.about ? a.about : "", a.phrasings[LM_PHRASING_PLAIN],
               a.phrasings[LM_PHRASING_INVERTED], a.phrasings[LM_PHRASING_COT]);
        if (row) indent(json_string_value(json_object_get(row, "prompt")));
        if (row) indent("->");
        if (row) indent(json_string_value(json_object_get(row, "completion")));
        printf("\n");
    }
    lm_json_free(row);
    lm_template_set_free(set);
    return err->code;
}

lm_status lm_instruct_list(bool json, lm_err *err)
{
    char *folder;
    lm_strings names;
    LM_TRY(lm_shipped_folder(&folder, "templates", err));
    lm_status status = lm_shipped_names(&names, folder, ".yaml", err);
    lm_json *list = json ? json_array() : NULL;
    for (int i = 0; i < names.n && status == LM_OK; i++) {
        char *path = NULL;
        status = lm_shipped_file(&path, folder, names.items[i], ".yaml", err);
        if (status == LM_OK) status = show(path, list, err);
        free(path);
    }
    if (json && status == LM_OK) lm_print_json(json_pack("{s:O}", "sets", list));
    lm_json_free(list);
    lm_strings_free(&names);
    free(folder);
    return status;
}
