/* The reward `steps`: what a process reward model thinks of an answer's steps, taken together.
 *
 *   steps:FOLDER            the least of p_1 .. p_n, p_i the probability that step i is right (train prm)
 *   steps:FOLDER:product    their product
 *   steps:FOLDER:last       the last one
 *
 * An answer without a step is worth 0.  It stands here and not among the other rewards, since it reads steps as
 * training does (objective/steps.h).
 *
 * Source: Lightman et al. 2023, "Let's Verify Step by Step", section 2.6 and appendix F. */
#include "base/file.h"
#include "infer/session.h"
#include "objective/scorer.h"
#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 2048 };
enum { LEAST, PRODUCT, LAST, WAYS };
static const char *const ways[WAYS] = { "min", "product", "last" };

typedef struct judge {
    lm_model *model;
    lm_tokenizer *tokenizer;
    const lm_kernels *k;
    lm_str separator;
    int way;
    double *out;                         /* of the answers at hand that have steps: which[i] is the i-th */
    int64_t *which;
} judge;

static void close_judge(void *own)
{
    judge *j = own;
    lm_tokenizer_free(j->tokenizer);
    lm_model_free(j->model);
    lm_str_free(&j->separator);
    free(j);
}

/* Takes ":product" off the end. */
static void take_way(judge *j, char *folder)
{
    char *colon = strrchr(folder, ':');
    for (int i = 0; colon && i < WAYS; i++) {
        if (strcmp(colon + 1, ways[i])) continue;
        j->way = i;
        *colon = '\0';
        return;
    }
}

static lm_status open_judge(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    judge *j = *own = lm_calloc(1, sizeof *j);
    char *folder = lm_strdup(argument);
    j->k = means->k;
    take_way(j, folder);
    lm_status status = lm_model_load(&j->model, folder, j->k, err);
    if (status == LM_OK && !j->model->labels_tokens) status = lm_fail(err, LM_E_USAGE, "%s: does not judge steps; train prm makes one that does", folder);
    if (status == LM_OK) status = lm_tokenizer_load(&j->tokenizer, folder, err);
    if (status == LM_OK) lm_step_separator(&j->separator, j->model, NULL);
    free(folder);
    return status;
}

static void scored(void *to, const lm_scored *s)
{
    const judge *j = to;
    double least = 1, product = 1, last = 1;
    for (int64_t i = 0; i < s->n; i++) {
        last = lm_step_probability(s->scores + i * s->labels, s->labels);
        least = fmin(least, last);
        product *= last;
    }
    j->out[j->which[s->row]] = j->way == LEAST ? least : j->way == PRODUCT ? product : last;
}

/* Whether there is more to it than separators. */
static bool has_step(lm_span text, const lm_str *separator)
{
    size_t n = separator->len, at = 0;
    while (n && text.len - at >= n && !memcmp(text.data + at, separator->data, n)) at += n;
    return at < text.len;
}

static lm_status add_all(judge *j, lm_scorer *scorer, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        j->out[i] = 0;
        const lm_attempt *a = &attempts[i];
        if (!has_step(a->text, &j->separator)) continue;
        j->which[at++] = i;
        lm_json *prompt = lm_json_get(a->row, "prompt"), *tools = lm_json_get(a->row, "tools");
        lm_row row = { .object = json_pack("{s:O, s:s%, s:O*}", "prompt", prompt ? prompt : lm_json_get(a->row, "messages"), "completion", a->text.data, a->text.len, "tools", tools) };
        lm_status status = lm_scorer_add(scorer, &row, err);
        lm_json_free(row.object);
        if (status != LM_OK) return lm_context(err, "an answer to %s", a->place);
    }
    return lm_scorer_flush(scorer, err);
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    judge *j = own;
    lm_scorer *scorer;
    const lm_scorer_options how = { .batch_tokens = BATCH_TOKENS, .compute = lm_compute_auto(j->model, j->k), .scored = scored, .to = j };
    LM_TRY(lm_scorer_new(&scorer, j->model, j->k, j->tokenizer, &how, err));
    j->out = out;
    j->which = lm_malloc((size_t)(n + 1) * sizeof *j->which);
    lm_status status = add_all(j, scorer, attempts, n, err);
    free(j->which);
    lm_scorer_free(scorer);
    return status;
}

const lm_reward lm_reward_steps = {
    .name = "steps", .help = "what a process reward model thinks of the steps: the least of them, their product or the last",
    .argument = "FOLDER[:min|product|last]", .needs_argument = true, .open = open_judge, .close = close_judge, .score = score,
};
