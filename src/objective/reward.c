/* A reward model: a head of one score on the last token learns which of the answers people preferred.
 *
 *   loss = - 1 / C(K, 2) sum over pairs of log sigmoid(s_better - s_worse - margin)  +  c mean (s_better + s_worse)^2
 *
 * With two answers it is the model of Bradley & Terry; with K ranked ones every pair of the row counts, from one
 * pass over it.  The margin of a pair is the row's "margin"; of ranked answers it is 0.  --center-rewards c keeps
 * scores about 0.  --lm-weight w adds w times the mean -log p of the best answer's tokens, by the LM head that the
 * model came with, which itself stays as it is (an embedding that is one learns).  With --criteria the head has a score
 * for each, learnt from "ratings".  The folder is transformers' *ForSequenceClassification with one label, as TRL's,
 * or one for each criterion (problem_type "regression").
 *
 * Sources: Ouyang et al. 2022 (InstructGPT), equation 1; Touvron et al. 2023 (LLaMA 2), equation 2 (margin);
 * Eisenstein et al. 2023, section 2.1 (centring); Yang et al. 2024, "Regularizing Hidden States Enables Learning
 * Generalizable Reward Model for LLMs", equation 7 (the language model's loss beside it); Wang et al. 2023,
 * "HelpSteer" (criteria). */
#include "objective/compare.h"

#include "nn/head.h"
#include "train/options.h"

#include <string.h>

typedef struct settings {
    lm_compare_options shared;
    lm_strings criteria;
    double center, lm_weight;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, center, "center-rewards", .fallback = "0", .max = 1e6, .help = "weight of keeping scores about zero; 0.01 is usual"),
    LM_OPTION(REAL, settings, lm_weight, "lm-weight", .fallback = "0", .max = 1e6, .help = "weight of learning the best answer's text beside its score"),
    LM_OPTION(LIST, settings, criteria, "criteria", .metavar = "NAME,..", .help = "a score for each of these, learnt from the rows' \"ratings\""),
    LM_OPTION_COMPARE(settings),
    { 0 },
};

static double reward(const void *set, const lm_compared *c, int64_t i)
{
    (void)set;
    return c->logp[i];
}

static double loss(const void *set, const lm_compared *c, double *slope)
{
    const settings *o = set;
    const double *s = c->logp, w = 2.0 / (double)(c->n * (c->n - 1)), margin = c->n == 2 ? (double)c->value[0] : 0;
    double sum = 0;
    for (int64_t i = 0; i < c->n; i++)                   /* better ones first */
        for (int64_t j = i + 1; j < c->n; j++) {
            double apart = s[i] - s[j] - margin, both = s[i] + s[j];
            bool tied = c->n > 2 && c->value[i] == c->value[j];
            double pull = tied ? 0 : lm_sigmoid(-apart);
            sum += w * ((tied ? 0 : -lm_log_sigmoid(apart)) + o->center * both * both);
            slope[i] += w * (2 * o->center * both - pull);
            slope[j] += w * (2 * o->center * both + pull);
        }
    return sum;
}

static double lm_weight(const void *set) { return ((const settings *)set)->lm_weight; }

static const lm_comparison comparison = { .loss = loss, .reward = reward, .lm_weight = lm_weight, .scores = true };

/* ---- the head ---- */

static lm_status check_criteria(const lm_strings *names, lm_err *err)
{
    if (names->n > LM_TOKEN_LABELS) return lm_fail(err, LM_E_USAGE, "--criteria: %d of them, more than %d", names->n, LM_TOKEN_LABELS);
    for (int i = 0; i < names->n; i++)
        for (int j = 0; j <= i; j++)
            if (j < i ? !strcmp(names->items[i], names->items[j]) : !*names->items[i])
                return lm_fail(err, LM_E_USAGE, "--criteria: \"%s\" %s", names->items[i], j < i ? "stands there twice" : "is no name");
    return LM_OK;
}

static lm_status new_head(lm_model *model, const settings *s, uint64_t seed, lm_err *err)
{
    if (s->criteria.n) return lm_model_score_texts(model, &s->criteria, seed, err);
    lm_strings name = lm_labels_default(1);
    lm_status status = lm_model_score_texts(model, &name, seed, err);
    lm_strings_free(&name);
    return status;
}

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    const settings *s = task->options;
    LM_TRY(check_criteria(&s->criteria, err));
    if (s->lm_weight > 0) LM_TRY(lm_model_need_lm_head(model, err));
    if (!model->score) return new_head(model, s, (uint64_t)o->seed, err);
    LM_TRY(lm_model_need_reward(model, err));
    if (!s->criteria.n || s->criteria.n == model->labels.n) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "--criteria: %d given, the head of %s has %d scores", s->criteria.n, model->path, model->labels.n);
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    if (task->model->labels.n > 1) return lm_compare_rated(task, out, row, encoder, ids, err);
    return (lm_row_has(row, "completions") ? lm_compare_ranked : lm_compare_pair)(task, out, row, encoder, ids, err);
}

const lm_objective lm_objective_reward = {
    .name = "reward", .source = "Ouyang et al. 2022, equation 1; Touvron et al. 2023, equation 2",
    .help = "a reward model: one score a text, from preferences (\"chosen\", \"rejected\") or ranked answers",
    .use = "eval reward", .use_option = "data",
    .method = &comparison, .options = options, .options_size = sizeof(settings), .head = head,
    .render = render, LM_COMPARER_HOOKS,
};
