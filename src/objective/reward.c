/* A reward model: a head of one score on the last token learns which of the answers people preferred.
 *
 *   loss = - 1 / C(K, 2) sum over pairs of log sigmoid(s_better - s_worse - margin)  +  c mean (s_better + s_worse)^2
 *
 * With two answers it is the model of Bradley & Terry; with K ranked ones every pair of the row counts, from one
 * pass over it.  The margin of a pair is the row's "margin"; of ranked answers it is 0.  --center-rewards c keeps
 * scores about 0.  The folder is transformers' *ForSequenceClassification with one label, as TRL's.
 *
 * Sources: Ouyang et al. 2022 (InstructGPT), equation 1; Touvron et al. 2023 (LLaMA 2), equation 2 (margin);
 * Eisenstein et al. 2023, section 2.1 (centring). */
#include "objective/compare.h"

#include "nn/head.h"
#include "train/options.h"

typedef struct settings {
    lm_compare_options shared;
    double center;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, center, "center-rewards", .fallback = "0", .max = 1e6, .help = "weight of keeping scores about zero; 0.01 is usual"),
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

static const lm_comparison comparison = { .loss = loss, .reward = reward, .scores = true };

static lm_status head(lm_task *task, lm_model *model, const lm_train_options *o, lm_err *err)
{
    (void)task;
    if (model->score && model->labels.n != 1)
        return lm_fail(err, LM_E_USAGE, "%s: its head gives %d labels, not one score", model->path, model->labels.n);
    if (model->score) return LM_OK;
    lm_strings name = lm_labels_default(1);
    lm_status status = lm_model_classify(model, &name, (uint64_t)o->seed, err);
    lm_labels_free(&name);
    return status;
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    return (lm_row_has(row, "completions") ? lm_compare_ranked : lm_compare_pair)(task, out, row, encoder, ids, err);
}

const lm_objective lm_objective_reward = {
    .name = "reward", .source = "Ouyang et al. 2022, equation 1; Touvron et al. 2023, equation 2",
    .help = "a reward model: one score a text, from preferences (\"chosen\", \"rejected\") or ranked answers",
    .use = "eval reward", .use_option = "data",
    .method = &comparison, .options = options, .options_size = sizeof(settings), .head = head,
    .render = render, LM_COMPARER_HOOKS,
};
