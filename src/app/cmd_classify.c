/* malmoi classify: the label of a text, or of every text of a file. */
#include "app/command.h"
#include "app/open.h"

#include "base/log.h"
#include "data/confusion.h"
#include "infer/classifier.h"
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>

typedef struct classify_options {
    const char *model, *load_in, *text, *file, *field;
    lm_strings adapter;
    int64_t context;
    int dtype;
    bool truncate, force, json;
} classify_options;

static const lm_option options[] = {
    LM_OPTION(STRING, classify_options, model, "model", .metavar = "FOLDER", .help = "the model; may also stand as the first argument"),
    LM_OPTION(LIST, classify_options, adapter, "adapter", .metavar = "FOLDER,..", .help = "PEFT adapters over it"),
    LM_OPTION_ANY_BASE(classify_options),
    LM_OPTION(STRING, classify_options, text, "text", .metavar = "TEXT", .help = "the text to label"),
    LM_OPTION(STRING, classify_options, file, "file", .metavar = "FILE", .help = "a text on each line, or an object with --field; - reads standard input"),
    LM_OPTION(STRING, classify_options, field, "field", .fallback = "text", .metavar = "NAME", .help = "where an object has its text"),
    LM_OPTION(INT, classify_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of a text at most (0: the model's limit)"),
    LM_OPTION(FLAG, classify_options, truncate, "truncate", .help = "cut off what is longer"),
    LM_OPTION_LOAD_IN(classify_options),
    LM_OPTION(CHOICE, classify_options, dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices, .help = "type to compute in"),
    LM_OPTION(FLAG, classify_options, json, "json", .help = "one JSON object with the probability of every label"),
    { 0 },
};

typedef struct work {
    const classify_options *o;
    lm_opened m;
    lm_classifier *classifier;
    lm_strings texts;                    /* as given, for the output */
    lm_json *list;                       /* with --json */
    double *p;                           /* [labels] */
} work;

static lm_json *describe(const char *text, const lm_strings *names, const double *p, int64_t best)
{
    json_t *all = json_object();
    for (int i = 0; i < names->n; i++) json_object_set_new(all, names->items[i], json_real(p[i]));
    return json_pack("{s:s, s:s, s:f, s:o}", "text", text, "label", names->items[best], "probability", p[best], "probabilities", all);
}

static void scored(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    (void)n_rows;
    work *w = to;
    const lm_strings *names = &w->m.model->labels;
    int64_t best = lm_softmax(w->p, scores, names->n);
    if (w->list) json_array_append_new(w->list, describe(w->texts.items[text], names, w->p, best));
    else if (w->o->text) printf("%s\t%.4f\n", names->items[best], w->p[best]);
    else printf("%s\t%.4f\t%s\n", names->items[best], w->p[best], w->texts.items[text]);
}

static lm_status add(work *w, const char *text, lm_err *err)
{
    size_t n = strlen(text), valid = lm_utf8_valid(text, n);
    if (valid < n) return lm_fail(err, LM_E_FORMAT, "the text is not UTF-8 at byte %zu", valid);
    lm_strings_push(&w->texts, lm_strdup(text));
    return lm_classifier_add(w->classifier, lm_span_of(text, n), err);
}

static lm_status add_object(work *w, const lm_str *line, lm_err *err)
{
    const char *text = NULL;
    lm_json *row = lm_json_parse(line->data, line->len, "the object", err);
    if (!row) return err->code;
    lm_status status = lm_json_need_str(row, w->o->field, NULL, &text, err);
    if (status == LM_OK) status = add(w, text, err);
    lm_json_free(row);
    return status;
}

static lm_status add_file(work *w, lm_err *err)
{
    lm_stream *stream;
    LM_TRY(lm_stream_open(&stream, w->o->file, err));
    lm_str line = { 0 };
    lm_status status = LM_OK;
    for (bool eof = false; status == LM_OK;) {
        status = lm_stream_line(stream, &line, &eof, err);
        if (status != LM_OK || eof) break;
        if (!line.len) continue;
        status = line.data[0] == '{' ? add_object(w, &line, err) : add(w, line.data, err);
        if (status != LM_OK) lm_context(err, "%s:%lld", lm_stream_name(stream), (long long)lm_stream_number(stream));
    }
    if (status == LM_OK && !w->texts.n) status = lm_fail(err, LM_E_FORMAT, "%s: no text in it", lm_stream_name(stream));
    lm_str_free(&line);
    lm_stream_close(stream);
    return status;
}

static lm_status label_all(work *w, const lm_call *call, const char *model, lm_err *err)
{
    const classify_options *o = w->o;
    w->m.load_in = o->load_in;
    w->m.foreign = o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(&w->m, call, model, &o->adapter, o->dtype, err));
    LM_TRY(lm_open_tokenizer(&w->m, err));
    const lm_classifier_options how = { .context = o->context, .batch_tokens = 4096, .truncate = o->truncate, .compute = w->m.compute,
                                        .scored = scored, .to = w };
    LM_TRY(lm_classifier_new(&w->classifier, w->m.model, &w->m.kernels, w->m.tokenizer, &how, err));
    w->p = lm_calloc((size_t)w->m.model->labels.n, sizeof *w->p);
    if (o->json) w->list = json_array();
    LM_TRY(o->text ? add(w, o->text, err) : add_file(w, err));
    LM_TRY(lm_classifier_flush(w->classifier, err));
    int64_t cut = lm_classifier_truncated(w->classifier);
    if (cut) lm_log(LM_LOG_WARN, "%lld of %d texts were cut to the context", (long long)cut, w->texts.n);
    if (o->json) lm_print_json(json_pack("{s:O}", "texts", w->list));
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    work w = { .o = call->values };
    const char *model;
    int next;
    LM_TRY(lm_call_model(call, w.o->model, &model, &next, err));
    LM_TRY(lm_call_args(call, next, next, "one MODEL", err));
    if (!w.o->text == !w.o->file) return lm_fail(err, LM_E_USAGE, "classify: expected --text TEXT or --file FILE, one of them");
    lm_status status = label_all(&w, call, model, err);
    lm_classifier_free(w.classifier);
    lm_json_free(w.list);
    lm_strings_free(&w.texts);
    free(w.p);
    lm_close(&w.m);
    return status;
}

const lm_command lm_command_classify = {
    .name = "classify",
    .group = "models",
    .summary = "label texts",
    .usage = "MODEL --text TEXT [options]",
    .example = "malmoi classify MODEL --text \"What a film!\"\n"
               "malmoi classify MODEL --adapter TUNED --file reviews.txt --json",
    .notes = "MODEL or its adapter has a head that classifies: malmoi train classify makes one.",
    .options = options,
    .values_size = sizeof(classify_options),
    .run = run,
};
