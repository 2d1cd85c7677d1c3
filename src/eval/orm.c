/* An outcome reward model on answers that are right or wrong.
 *
 *   p = sigmoid(score);   accuracy, AUC and calibration as in data/forecast.h
 *
 * A reward model may be measured as well: its AUC says how often a right answer stands above a wrong one. */
#include "eval/rows.h"

#include "data/forecast.h"
#include "objective/scorer.h"

#include <math.h>
#include <stdlib.h>

typedef struct orm_options {
    const char *prompt, *completion, *label, *format;
    int64_t context, batch_tokens;
    bool truncate;
} orm_options;

static const lm_option options[] = {
    LM_OPTION(STRING, orm_options, prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"),
    LM_OPTION(STRING, orm_options, completion, "completion-field", .fallback = "completion", .metavar = "NAME", .help = "field that answers"),
    LM_OPTION(STRING, orm_options, label, "label-field", .fallback = "label", .metavar = "NAME", .help = "field that says whether the answer is right"),
    LM_OPTION(INT, orm_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of an answer with its prompt at most (0: the model's limit)"),
    LM_OPTION(FLAG, orm_options, truncate, "truncate", .help = "cut what is longer than the context, and count it"),
    LM_OPTION(INT, orm_options, batch_tokens, "batch-tokens", .fallback = "4096", .min = 1, .max = 1 << 24, .help = "tokens that go through the model at once"),
    LM_OPTION(STRING, orm_options, format, "format", .fallback = "auto", .help = "of the files: jsonl, csv, tsv"),
    { 0 },
};

typedef struct measure {
    const lm_eval *e;
    const orm_options *o;
    lm_scorer *scorer;
    lm_forecasts forecasts;
    bool *right;                         /* [rows] */
    int64_t rows;
    double loss;
} measure;

static void scored(void *to, const lm_scored *s)
{
    measure *p = to;
    bool right = p->right[s->row];
    double score = (double)s->scores[0];
    lm_forecasts_add(&p->forecasts, 1 / (1 + exp(-score)), right);
    p->loss += log1p(exp(-fabs(score))) + ((score > 0) == right ? 0 : fabs(score));
}

static lm_status add_row(void *to, const lm_row *row, lm_err *err)
{
    measure *p = to;
    bool right;
    LM_TRY(lm_row_truth(row, p->o->label, &right, err));
    if (!lm_row_has(row, p->o->completion) && !lm_row_has(row, "messages")) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is missing", p->o->completion);
    p->right = lm_realloc(p->right, (size_t)(p->rows + 1) * sizeof *p->right);
    p->right[p->rows++] = right;
    return lm_scorer_add(p->scorer, row, err);
}

static lm_status measure_all(measure *p, lm_err *err)
{
    const orm_options *o = p->o;
    const lm_model *m = p->e->model;
    if (!m->score || m->labels_tokens || m->labels.n != 1)
        return lm_fail(err, LM_E_USAGE, "%s: has no head of one score; train orm makes one", m->path);
    const lm_scorer_options how = { .context = o->context, .batch_tokens = o->batch_tokens, .truncate = o->truncate, .compute = p->e->compute,
                                    .completion = o->completion, .fields.prompt = o->prompt, .scored = scored, .to = p };
    LM_TRY(lm_scorer_new(&p->scorer, p->e->model, p->e->kernels, p->e->tokenizer, &how, err));
    LM_TRY(lm_eval_rows(p->e, o->format, add_row, p, err));
    return lm_scorer_flush(p->scorer, err);
}

static lm_json *report(measure *p)
{
    lm_forecasts *f = &p->forecasts;
    double auc = lm_forecasts_auc(f);
    return json_pack("{s:f, s:o, s:f, s:f, s:I, s:I}", "accuracy", lm_forecasts_accuracy(f), "auc", auc >= 0 ? json_real(auc) : json_null(),
                     "calibration_error", lm_forecasts_calibration(f), "loss", p->loss / (double)f->n, "rows", (json_int_t)f->n,
                     "truncated_rows", (json_int_t)lm_scorer_truncated(p->scorer));
}

static lm_status run(const lm_eval *e, const void *values, lm_json **result, lm_err *err)
{
    measure p = { .e = e, .o = values };
    lm_status status = measure_all(&p, err);
    if (status == LM_OK) *result = report(&p);
    lm_scorer_free(p.scorer);
    lm_forecasts_free(&p.forecasts);
    free(p.right);
    return status;
}

const lm_eval_task lm_eval_task_orm = {
    .name = "orm",
    .summary = "how well an outcome reward model tells right answers from wrong ones",
    .source = "Cobbe et al. 2021, section 4",
    .options = options,
    .values_size = sizeof(orm_options),
    .run = run,
};
