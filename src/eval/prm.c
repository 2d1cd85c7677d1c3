/* A process reward model on labelled solutions: whether it knows right steps from wrong ones, and finds the first error.
 *
 *   first_error_accuracy   share of solutions whose first step with p <= --threshold is the first wrong one, or which
 *                          have neither; error_found and right_kept: the same over solutions with and without an
 *                          error; f1: the harmonic mean of these two
 *   auc_min, _product, _last   of a solution being right, by the least p of its steps, their product, or the last
 *
 * p is the probability that a step is not negative.  Sources: Lightman et al. 2023, section 2.6; Zheng et al. 2024,
 * "ProcessBench", section 3.3. */
#include "eval/rows.h"

#include "nn/head.h"
#include "objective/scorer.h"

#include <stdlib.h>
#include <string.h>

typedef struct prm_options {
    lm_step_fields fields;
    int64_t context, batch_tokens;
    double threshold;
    const char *format;
    bool truncate;
} prm_options;

static const lm_option options[] = {
    LM_OPTION_STEPS(prm_options),
    LM_OPTION(REAL, prm_options, threshold, "threshold", .fallback = "0.5", .max = 1, .help = "a step with a probability up to this is taken for wrong"),
    LM_OPTION(INT, prm_options, context, "context", .fallback = "0", .max = 1 << 30, .help = "tokens of a solution at most (0: the model's limit)"),
    LM_OPTION(FLAG, prm_options, truncate, "truncate", .help = "cut off what is longer than the context, and count it"),
    LM_OPTION(INT, prm_options, batch_tokens, "batch-tokens", .fallback = "4096", .min = 1, .max = 1 << 24, .help = "tokens that go through the model at once"),
    LM_OPTION(STRING, prm_options, format, "format", .fallback = "auto", .help = "of the files: jsonl, csv, tsv"),
    { 0 },
};

/* Labels of all rows so far, end to end: those of row r begin at first[r]. */
typedef struct measure {
    const lm_eval *e;
    const prm_options *o;
    lm_scorer *scorer;
    lm_str separator;
    lm_step_tally tally;
    lm_step_label *labels;
    int64_t *first, rows, n;
} measure;

static void scored(void *to, const lm_scored *s)
{
    measure *p = to;
    double *chance = lm_malloc((size_t)s->n * sizeof *chance);
    for (int64_t i = 0; i < s->n; i++) chance[i] = lm_step_probability(s->scores + i * s->labels, s->labels);
    lm_step_tally_add(&p->tally, chance, p->labels + p->first[s->row], s->n);
    free(chance);
}

static void keep(measure *p, const lm_solution *steps)
{
    p->first = lm_realloc(p->first, (size_t)(p->rows + 1) * sizeof *p->first);
    p->labels = lm_realloc(p->labels, (size_t)(p->n + steps->n) * sizeof *p->labels);
    memcpy(p->labels + p->n, steps->label, (size_t)steps->n * sizeof *steps->label);
    p->first[p->rows++] = p->n;
    p->n += steps->n;
}

static lm_status add_row(void *to, const lm_row *row, lm_err *err)
{
    measure *p = to;
    lm_solution steps;
    lm_status status = lm_solution_read(&steps, &p->o->fields, lm_span_of(p->separator.data, p->separator.len), row, true, err);
    if (status == LM_OK) keep(p, &steps);
    lm_solution_free(&steps);
    return status == LM_OK ? lm_scorer_add(p->scorer, row, err) : status;
}

static lm_status measure_all(measure *p, lm_err *err)
{
    const prm_options *o = p->o;
    LM_TRY(lm_model_need_token_labels(p->e->model, err));
    const lm_scorer_options how = { .context = o->context, .batch_tokens = o->batch_tokens, .truncate = o->truncate, .compute = p->e->compute,
                                    .fields = o->fields, .scored = scored, .to = p };
    LM_TRY(lm_scorer_new(&p->scorer, p->e->model, p->e->kernels, p->e->tokenizer, &how, err));
    lm_step_separator(&p->separator, p->e->model, o->fields.separator);
    p->tally.threshold = o->threshold;
    LM_TRY(lm_eval_rows(p->e, o->format, add_row, p, err));
    return lm_scorer_flush(p->scorer, err);
}

static lm_status run(const lm_eval *e, const void *values, lm_json **result, lm_err *err)
{
    measure p = { .e = e, .o = values };
    lm_status status = measure_all(&p, err);
    if (status == LM_OK) {
        *result = lm_step_tally_take(&p.tally);
        json_object_set_new(*result, "truncated_solutions", json_integer(lm_scorer_truncated(p.scorer)));
    }
    lm_scorer_free(p.scorer);
    lm_step_tally_free(&p.tally);
    lm_str_free(&p.separator);
    free(p.labels), free(p.first);
    return status;
}

const lm_eval_task lm_eval_task_prm = {
    .name = "prm",
    .summary = "how well a process reward model finds the first wrong step",
    .source = "Lightman et al. 2023; Zheng et al. 2024",
    .options = options,
    .values_size = sizeof(prm_options),
    .run = run,
};
