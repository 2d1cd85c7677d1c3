#include "app/lessons.h"

#include "backend/backend.h"
#include "train/objective.h"

#include <stdlib.h>

typedef struct reader {
    lm_model *model;
    lm_tokenizer *tokenizer;
    lm_task task;
    void *options;                       /* the objective's, as they are by default */
    lm_dataset data;
} reader;

static lm_status open_task(reader *r, const char *model, const char *name, int64_t context, lm_err *err)
{
    lm_kernels null = {0};
    const lm_objective *o = lm_objective_find(name);
    if (!o) return lm_fail(err, LM_E_USAGE, "--objective %s: there is no such objective (malmoi train --help lists them)", name);
    if (o->head || o->rounds || o->collect || o->measure) return lm_fail(err, LM_E_UNSUPPORTED, "--objective %s: expected one that learns token by token, clm or sft", name);
    LM_TRY(lm_backend(&null, "null", err));
    LM_TRY(lm_model_load(&r->model, model, &null, err));
    LM_TRY(lm_tokenizer_load(&r->tokenizer, model, err));
    if (o->options) {
        r->options = lm_calloc(1, o->options_size);
        lm_options_defaults((const lm_option_set[]){ { NULL, o->options, r->options }, {0} });
    }
    r->task = (lm_task){ .objective = o, .options = r->options, .model = r->model, .tokenizer = r->tokenizer, .eos = lm_task_eos(r->model, r->tokenizer),
                         .context = context ? context : lm_model_context(r->model, 0) };
    return o->prepare ? o->prepare(&r->task, err) : LM_OK;
}

static void close_task(reader *r)
{
    if (r->task.objective && r->task.objective->release) r->task.objective->release(&r->task);
    if (r->options) lm_options_free((const lm_option_set[]){ { NULL, r->task.objective->options, r->options }, {0} });
    free(r->options);
    lm_dataset_free(&r->data);
    lm_tokenizer_free(r->tokenizer);
    lm_model_free(r->model);
}

static lm_status read_rows(reader *r, const lm_strings *paths, const lm_source_options *how, lm_err *err)
{
    lm_source *source;
    const lm_renderer renderer = lm_task_renderer(&r->task);
    LM_TRY(lm_source_open(&source, paths, how, err));
    lm_status status = lm_dataset_read(&r->data, source, r->tokenizer, &renderer, err);
    lm_source_close(source);
    return status;
}

/* A document of n tokens has n - 1 lessons. */
static void count_document(lm_lessons *out, const lm_dataset *d, int64_t i, bool splits)
{
    int64_t begin = d->documents[i].begin, n = lm_document_length(d, i) - 1, within = 0, beyond = 0;
    for (int64_t t = 1; t <= n; t++) *(t <= out->context || splits ? &within : &beyond) += d->tokens[begin + t] >> 31;
    out->supervised += within + beyond;
    out->lost_supervised += beyond;
    out->untaught += !within;
    if (splits || n <= out->context) return;
    out->cut++;
    out->lost += n - out->context;
}

lm_status lm_lessons_count(lm_lessons *out, const lm_strings *paths, const lm_source_options *how, const char *model, const char *objective, int64_t context, lm_err *err)
{
    reader r = {0};
    *out = (lm_lessons){0};
    lm_status status = open_task(&r, model, objective, context, err);
    if (status == LM_OK) status = read_rows(&r, paths, how, err);
    if (status == LM_OK) {
        *out = (lm_lessons){ .objective = r.task.objective->name, .context = r.task.context, .rows = r.data.n, .tokens = r.data.n_tokens, .skipped = r.data.n_skipped };
        for (int64_t i = 0; i < r.data.n; i++) count_document(out, &r.data, i, r.task.objective->splits);
    }
    close_task(&r);
    return status;
}
