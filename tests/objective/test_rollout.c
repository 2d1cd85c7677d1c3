/* Objectives that learn from the model's own answers: what is drawn is a function of the seed, advantages and losses
 * are their equations worked once more, gradients are those of the loss, a run in pieces ends in the same bits, and
 * rewards that can be had are had. */
#include "train/tiny.h"

#include "base/log.h"
#include "base/signal.h"
#include "io/staging.h"
#include "nn/head.h"
#include "objective/rollout.h"
#include "objective/watch.h"

#include <signal.h>

static char *model, *prompts;

#define SMALL "--dtype f32 --prompts 3 --max-new-tokens 12 --batch-size 4 "

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    model = tiny_model("model");
    prompts = tiny_file("prompts.jsonl", "{\"prompt\": \"Say: \", \"answer\": \"a\"}\n{\"prompt\": \"Q\", \"answer\": 7}\n{\"prompt\": \"One two\", \"answer\": \"no\"}\n"
                                         "{\"prompt\": \"abc\", \"answer\": \"d\"}\n{\"prompt\": \"zz\", \"answer\": \"1\"}\n{\"prompt\": \"Then\", \"answer\": \"2\"}\n");
    lm_interrupt_watch();
    return 0;
}

static int teardown(void **state)
{
    free(model), free(prompts);
    return test_folder_remove(state);
}

static void whole_run(const char *objective, const char *out, const char *arguments)
{
    tiny_run r;
    if (tiny_train(&r, objective, model, prompts, out, arguments) != LM_OK) fail_msg("%s: %s", objective, r.err.message);
    tiny_close(&r);
}

/* The number `key` of line `line` of a run's log. */
static double logged(const char *out, int line, const char *key)
{
    lm_str log = tiny_read(out, "log.jsonl");
    char *at = log.data;
    for (; line > 0; line--) at = strchr(at, '\n') + 1;
    lm_json *entry = lm_json_parse(at, strcspn(at, "\n"), "log", NULL);
    if (!json_is_number(json_object_get(entry, key))) fail_msg("no number %s in %.300s", key, at);
    double value = json_number_value(json_object_get(entry, key));
    lm_json_free(entry);
    lm_str_free(&log);
    return value;
}

/* ---- whole runs ---- */

static const struct {
    const char *objective, *arguments, *weights;
    bool value_model;                        /* apart, begun from the model itself */
} runs[] = {
    { "grpo", SMALL "--steps 4 --group 4 --reward length:3,regex:[a-m] --lr 0.02 --adapter lora --lora-r 4 --log-rollouts 12 --epochs-per-round 2", "adapter_model.safetensors", false },
    { "grpo", SMALL "--steps 4 --group 4 --reward length:3 --lr 0.002 --val-split 0.3 --eval-every 2", "model.safetensors", false },
    { "ppo", SMALL "--steps 4 --group 2 --reward length:3 --lr 0.02 --adapter lora --lora-r 4 --kl-target 0.1", "value_head.safetensors", false },
    { "ppo", SMALL "--steps 2 --group 2 --reward length:3 --lr 0.02 --adapter lora --lora-r 4 --value-apart", "value/adapter_model.safetensors", false },
    { "ppo", SMALL "--steps 2 --group 2 --reward length:3 --lr 0.02 --adapter adalora --init-r 4 --target-r 2 --value-apart", "value/adapter_model.safetensors", false },
    { "ppo", SMALL "--steps 2 --reward length:3 --lr 0.02 --adapter lora --lora-r 4", "value/adapter_model.safetensors", true },
    { "ppo", SMALL "--steps 2 --reward length:3 --lr 0.002", "value/model.safetensors", true },
    { "ppo", SMALL "--steps 4 --reward length:3 --lr 0.002 --stop-kl 0.001 --entropy-bonus 0.01", "model.safetensors", false },
    { "best_of_n", SMALL "--steps 4 --group 4 --reward length:3 --lr 0.002 --epochs-per-round 2", "model.safetensors", false },
    { "expert_iteration", SMALL "--steps 3 --group 2 --expand 2 --guide length:3 --reward length:3 --least 0.1 --step-separator e --lr 0.002", "model.safetensors", false },
};
enum { RUNS = sizeof runs / sizeof *runs };

static void seeds_decide(void **state)
{
    (void)state;
    char *a = test_path("a"), *b = test_path("b"), *c = test_path("c"), other[400];
    snprintf(other, sizeof other, "%s --seed 1", runs[0].arguments);
    whole_run(runs[0].objective, a, runs[0].arguments);
    whole_run(runs[0].objective, b, runs[0].arguments);
    whole_run(runs[0].objective, c, other);
    assert_true(tiny_same(a, b, "rollouts.jsonl"));
    assert_true(tiny_same(a, b, runs[0].weights));
    assert_false(tiny_same(a, c, "rollouts.jsonl"));
    assert_int_equal(tiny_count(a, "rollouts.jsonl", "\"answer\""), 4 * 12);
    assert_true(fabs(logged(a, 0, "kl")) < 1e-4);                    /* of the policy with itself */
    assert_true(fabs(logged(a, 0, "kl_per_token")) < 1e-6);
    assert_true(logged(a, 3, "kl_per_token") > 1e-4);
    assert_true(logged(a, 0, "policy_drift") > 0);                   /* of the second pass */
    free(a), free(b), free(c);
}

/* Asked to stop in every round, which is finished; then gone on with. */
static void a_run_in_pieces_ends_in_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        char *whole = test_path("whole"), *pieces = test_path("pieces"), arguments[1000], resumed[1020];
        snprintf(arguments, sizeof arguments, "%s%s%s", runs[i].arguments, runs[i].value_model ? " --value-model " : "", runs[i].value_model ? model : "");
        snprintf(resumed, sizeof resumed, "%s --resume", arguments);
        whole_run(runs[i].objective, whole, arguments);
        for (lm_status status = LM_E_INTERRUPT; status == LM_E_INTERRUPT;) {
            tiny_run r;
            lm_interrupt_clear();
            raise(SIGINT);
            status = tiny_train(&r, runs[i].objective, model, prompts, pieces, resumed);
            if (status != LM_OK) tiny_expect(&r, LM_E_INTERRUPT, "--resume goes on");
            tiny_close(&r);
        }
        lm_interrupt_clear();
        assert_true(tiny_same(whole, pieces, runs[i].weights));
        assert_true(tiny_same(whole, pieces, "rollouts.jsonl"));
        assert_int_equal(tiny_count(whole, "log.jsonl", "\"loss\""), tiny_count(pieces, "log.jsonl", "\"loss\""));
        assert_int_equal(lm_staging_remove(whole, NULL), LM_OK);
        assert_int_equal(lm_staging_remove(pieces, NULL), LM_OK);
        free(whole), free(pieces);
    }
}

/* One of ten bytes is a small letter. */
static void rewards_are_learnt(void **state)
{
    (void)state;
    static const struct { const char *objective, *options; } cases[] = {
        { "grpo", "--group 8 --beta 0 --batch-size 16" }, { "best_of_n", "--group 8 --batch-size 4" },
        { "ppo", "--group 8 --beta 0 --batch-size 48 --epochs-per-round 3" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = test_path("learnt"), arguments[300];
        snprintf(arguments, sizeof arguments, "--dtype f32 --prompts 6 --max-new-tokens 2 --steps 12 --reward regex:[a-z] --lr 0.005 --schedule constant %s",
                 cases[i].options);
        whole_run(cases[i].objective, out, arguments);
        double before = logged(out, 0, "reward"), after = logged(out, 11, "reward");
        if (!(after > before + 0.3)) fail_msg("%s: from %g to %g", cases[i].objective, before, after);
        assert_int_equal(lm_staging_remove(out, NULL), LM_OK);
        free(out);
    }
}

/* The first update finds the policy that answered, the second one that has moved. */
static void a_round_ends_early_where_the_policy_has_moved(void **state)
{
    (void)state;
    static const struct { const char *stop; int updates; } cases[] = { { "0", 8 }, { "1e-9", 2 }, { "1e6", 8 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = test_path("early"), arguments[300];
        snprintf(arguments, sizeof arguments, SMALL "--steps 1 --group 4 --batch-size 6 --epochs-per-round 4 --warmup 0 --reward length:3 --lr 0.01 --stop-kl %s", cases[i].stop);
        whole_run("ppo", out, arguments);
        assert_int_equal((int)logged(out, 0, "updates"), cases[i].updates);
        assert_int_equal(lm_staging_remove(out, NULL), LM_OK);
        free(out);
    }
}

/* ---- a round taken apart ---- */

enum { MOST_TOKENS = 512 };

typedef struct one_round {
    tiny_run run;
    lm_experience x;
    const lm_microbatch *m;                  /* all its answers */
} one_round;

/* A round as the loop makes it, after which every weight is moved a little: ratios are not 1. */
static void open_round(one_round *o, const char *objective, const char *arguments)
{
    tiny_run *r = &o->run;
    tiny_open(r, objective, model, prompts, "out", arguments);
    const lm_objective *how = r->t.task.objective;
    lm_step_report report;
    for (int i = 0; i < 2; i++) {
        if (lm_trainer_step(&r->t, &report, &r->err) != LM_OK) fail_msg("%s", r->err.message);
        lm_step_report_free(&report);
    }
    if (lm_experience_open(&o->x, &r->t, &r->t.batches, 0, 3, true, &r->err) != LM_OK) fail_msg("%s", r->err.message);
    assert_true(o->x.all.n > 0 && o->x.all.n <= r->options.batch_size);
    o->m = lm_batcher_fill(&o->x.batches, 0, o->x.all.n, 1 / (float)lm_batcher_targets(&o->x.batches, 0, o->x.all.n), 1 / (float)o->x.all.n);
    assert_int_equal(lm_trainer_collect(&r->t, &o->x.batches.at, &r->err), LM_OK);
    assert_int_equal(how->rounds->credit(&r->t.task, &o->x.round, &r->err), LM_OK);
    lm_rng rng = { 5, 0, 0 };
    for (int64_t i = 0; i < r->t.optim.n; i++) {
        float *w = r->t.optim.slots[i].param->t.data;
        for (int64_t j = 0; j < lm_numel(&r->t.optim.slots[i].param->t); j++) w[j] += (float)(0.02 * lm_rng_normal(&rng));
    }
}

static void close_round(one_round *o)
{
    lm_experience_close(&o->x);
    tiny_close(&o->run);
}

static double loss_now(one_round *o)
{
    lm_tape *t = &o->run.t.tape;
    lm_tape_reset(t);
    o->run.t.forward.batch = &o->m->batch;
    t->recording = t->training = false;
    double value = (double)lm_scalar(t, o->run.t.task.objective->loss(&o->run.t.task, &o->run.t.forward, o->m));
    assert_int_equal(t->err.code, LM_OK);
    return value;
}

/* log p of every learnt token, by another op than the loss's, in the order of the micro-batch. */
static void log_probabilities(one_round *o, float *out)
{
    float nll[MOST_TOKENS];
    lm_tape *t = &o->run.t.tape;
    lm_tape_reset(t);
    assert_true(o->m->batch.n_tokens <= MOST_TOKENS);
    lm_tensor *hidden = lm_model_forward(&o->run.t.forward);
    lm_cross_entropy(t, hidden, o->run.t.model->head, o->m->targets, &(lm_cross_entropy_options){ .nll = nll });
    for (int64_t i = 0; i < o->m->batch.n_tokens; i++)
        if (o->m->targets[i] >= 0) *out++ = -nll[i];
}

/* ---- grpo ---- */

/* A sequence as the equation sees it. */
typedef struct answer {
    const float *logp, *old, *ref;
    double advantage, n;
} answer;

static double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
static double k3(const answer *a, int t) { return exp((double)(a->ref[t] - a->logp[t])) - (double)(a->ref[t] - a->logp[t]) - 1; }

static double surrogate(const answer *a, double ratio, double low, double high)
{
    double plain = ratio * a->advantage, held = clip(ratio, 1 - low, 1 + high) * a->advantage;
    return -(plain < held ? plain : held);
}

static double sum_of_tokens(const answer *a, double low, double high, double beta)
{
    double sum = 0;
    for (int t = 0; t < a->n; t++) sum += surrogate(a, exp((double)(a->logp[t] - a->old[t])), low, high) + beta * k3(a, t);
    return sum;
}

static double of_tokens(const answer *a) { return sum_of_tokens(a, 0.02, 0.02, 0.5) / a->n; }
static double summed(const answer *a) { return sum_of_tokens(a, 0.02, 0.05, 0); }
static double by_longest(const answer *a) { return sum_of_tokens(a, 0.02, 0.02, 0) / 12; }
static double of_sequence(const answer *a)
{
    double moved = 0;
    for (int t = 0; t < a->n; t++) moved += (double)(a->logp[t] - a->old[t]) / a->n;
    return surrogate(a, exp(moved), 0.01, 0.01);
}
static double squares(const answer *a)
{
    double sum = 0;
    for (int t = 0; t < a->n; t++) sum += surrogate(a, exp((double)(a->logp[t] - a->old[t])), 0.2, 0.2) + 0.3 * pow((double)(a->logp[t] - a->ref[t]), 2) / 2;
    return sum / a->n;
}

enum { MEAN, BY_TOKENS };
enum { GROUP, BATCH, NONE };
static const struct {
    const char *options;
    double (*equation)(const answer *a);
    int over, scale;
} forms[] = {
    { "--beta 0.5 --epsilon 0.02", of_tokens, MEAN, GROUP },
    { "--beta 0 --loss-type dapo --epsilon 0.02 --epsilon-high 0.05 --scale-rewards batch", summed, BY_TOKENS, BATCH },
    { "--beta 0 --loss-type bnpo --epsilon 0.02 --epsilon-high 0.05", summed, BY_TOKENS, GROUP },
    { "--beta 0 --loss-type dr_grpo --epsilon 0.02 --scale-rewards none", by_longest, MEAN, NONE },
    { "--beta 0 --ratio sequence --epsilon 0.01", of_sequence, MEAN, GROUP },
    { "--beta 0.3 --kl k2", squares, MEAN, GROUP },
};
enum { FORMS = sizeof forms / sizeof *forms };

#define APART "--steps 9 --dtype f32 --prompts 3 --group 4 --max-new-tokens 12 --batch-size 12 --reward length:<3,regex:[a-z] --lr 0.01 --schedule constant --temperature 1 --max-kl 0 "

static double std(const lm_rollout *a, int64_t n)
{
    double sum = 0, squared = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i].reward, squared += a[i].reward * a[i].reward;
    return sqrt((squared - sum * sum / (double)n) / (double)(n - 1));
}

static double advantage_of(const lm_rollouts *r, int64_t i, int scale)
{
    const lm_rollout *group = r->items + i / r->group * r->group;
    double mean = 0;
    for (int64_t j = 0; j < r->group; j++) mean += group[j].reward / (double)r->group;
    double by = scale == NONE ? 1 : 1e-4 + (scale == GROUP ? std(group, r->group) : std(r->items, r->n));
    return (r->items[i].reward - mean) / by;
}

/* f32 forward passes over some hundred tokens. */
static void grpo_is_its_equation(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        one_round o;
        char arguments[400];
        float logp[MOST_TOKENS];
        snprintf(arguments, sizeof arguments, APART "%s", forms[f].options);
        open_round(&o, "grpo", arguments);
        log_probabilities(&o, logp);
        const lm_lessons *l = lm_lessons_of(&o.run.t.task, &o.run.t.tape, o.m);
        double want = 0, tokens = 0;
        for (int64_t s = 0; s < o.m->batch.n_segments; s++) {
            const lm_rollout *a = lm_lesson_rollout(l, s);
            const answer one = { .logp = logp + l->tokens->begin[s], .old = l->r->old + a->first, .ref = l->r->ref + a->first,
                                 .advantage = advantage_of(l->r, a - l->r->items, forms[f].scale), .n = (double)a->n };
            want += forms[f].equation(&one);
            tokens += one.n;
        }
        want /= forms[f].over == MEAN ? (double)o.m->batch.n_segments : tokens;
        double got = loss_now(&o);
        if (!(fabs(got - want) <= 2e-5 * (1 + fabs(want)))) fail_msg("%s: %.8g, expected %.8g", forms[f].options, got, want);
        close_round(&o);
    }
}

static void forget_gradients(const lm_trainer *t)
{
    for (int i = 0; i < LM_LEARNERS; i++)
        if (t->learners[i].trained) lm_params_zero_grad(t->learners[i].trained);
}

/* Along a random direction of all weights. */
static void gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    static const struct { const char *objective, *options; } cases[] = {
        { "grpo", "--beta 0.5" }, { "grpo", "--beta 0.2 --kl k1 --loss-type dapo" }, { "grpo", "--ratio sequence --kl k2 --loss-type dr_grpo --temperature 0.7" },
        { "ppo", "--entropy-bonus 0.3 --value-weight 0.5 --value-epsilon 0 --temperature 1.3" }, { "ppo", "--value-epsilon 0.5 --value-weight 1" },
        { "ppo", "--value-weight 1 --adapter lora --lora-r 4 --value-apart" }, { "ppo", "--value-weight 1 --adapter lora --lora-r 4 --value-apart --checkpointing" },
        { "ppo", "--value-weight 1 --value-model" },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        one_round o;
        char arguments[1000];
        snprintf(arguments, sizeof arguments, APART "--epsilon 0.9 %s %s", cases[c].options, lm_ends_with(cases[c].options, "--value-model") ? model : "");
        open_round(&o, cases[c].objective, arguments);
        lm_trainer *t = &o.run.t;
        lm_rng rng = { 7, (uint64_t)c, 0 };
        double slope = 0, values[2], h = 1e-4;
        float *direction[64];
        assert_true(t->optim.n <= 64);
        forget_gradients(t);
        loss_now(&o);
        lm_tape_reset(&t->tape);
        t->tape.recording = true;
        assert_int_equal(lm_backward(&t->tape, t->task.objective->loss(&t->task, &t->forward, o.m)), LM_OK);
        for (int64_t i = 0; i < t->optim.n; i++) {
            const lm_param *p = t->optim.slots[i].param;
            direction[i] = lm_malloc(lm_nbytes(&p->t));
            for (int64_t j = 0; j < lm_numel(&p->t); j++) {
                direction[i][j] = (float)lm_rng_normal(&rng);
                if (!p->grad.fresh) slope += (double)direction[i][j] * (double)((float *)p->grad.data)[j];
            }
        }
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < t->optim.n; i++) {
                float *w = t->optim.slots[i].param->t.data;
                for (int64_t j = 0; j < lm_numel(&t->optim.slots[i].param->t); j++) w[j] += (float)(side ? -2 * h : h) * direction[i][j];
            }
            values[side] = loss_now(&o);
        }
        for (int64_t i = 0; i < t->optim.n; i++) free(direction[i]);
        double quotient = (values[0] - values[1]) / (2 * h);
        if (!(fabs(quotient - slope) <= 0.02 * fabs(slope) + 4e-7 * (1 + fabs(values[0])) / h))
            fail_msg("%s %s: %g, by differences %g", cases[c].objective, cases[c].options, slope, quotient);
        close_round(&o);
    }
}

/* ---- ppo ---- */

typedef struct ppo_case {
    const char *options;
    double gamma, lambda, beta, epsilon, value_epsilon, value_weight, entropy, missing_eos;
    bool whiten, whiten_rewards, k3;
} ppo_case;

static const ppo_case ppo_cases[] = {
    { "--lambda 1 --no-whiten-advantages", 1, 1, 0.05, 0.2, 0.2, 0.1, 0, 0, false, false, false },
    { "--gamma 0.9 --lambda 0.7 --beta 0.4 --kl k3 --epsilon 0.02 --value-epsilon 0.01 --value-weight 0.5 --missing-eos-penalty 0.5 --entropy-bonus 0.2", 0.9, 0.7, 0.4, 0.02, 0.01, 0.5, 0.2, 0.5, true, false, true },
    { "--whiten-rewards", 1, 0.95, 0.05, 0.2, 0.2, 0.1, 0, 0, true, true, false },
};
enum { PPO_CASES = sizeof ppo_cases / sizeof *ppo_cases };

/* Over all n: mean and the unbiased variance. */
static void moments(const double *x, int64_t n, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += pow(x[i] - *mean, 2);
    *variance = squares / (double)(n - 1);
}

static void reward_tokens(double *x, const ppo_case *c, const lm_rollouts *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        const lm_rollout *a = &r->items[i];
        for (int64_t t = a->first; t < a->first + a->n; t++) {
            double d = (double)r->old[t] - (double)r->ref[t];
            x[t] = -c->beta * (c->k3 ? exp(-d) + d - 1 : d);
        }
        x[a->first + a->n - 1] += a->reward - (a->finish == LM_FINISH_LENGTH ? c->missing_eos : 0);
    }
    double mean, variance;
    moments(x, r->n_tokens, &mean, &variance);
    for (int64_t t = 0; t < r->n_tokens && c->whiten_rewards; t++) x[t] = (x[t] - mean) / sqrt(variance + 1e-8) + mean;
}

/* The sum itself, term by term. */
static double generalised(const ppo_case *c, const double *reward, const float *v, int64_t t, int64_t n)
{
    double sum = 0, weight = 1;
    for (int64_t k = t; k < n; k++, weight *= c->gamma * c->lambda)
        sum += weight * (reward[k] + (k + 1 < n ? c->gamma * (double)v[k + 1] : 0) - (double)v[k]);
    return sum;
}

/* What the value head says now, and entropies, in the order of the micro-batch. */
static void values_and_entropies(one_round *o, double *v, double *h)
{
    lm_trainer *t = &o->run.t;
    const lm_tensor *w = &t->task.trained->items[0]->t, *b = &t->task.trained->items[1]->t;
    lm_tape_reset(&t->tape);
    lm_tensor *hidden = lm_model_forward(&t->forward), *logits = lm_model_logits(&t->forward, hidden, NULL);
    int64_t width = hidden->dim[1], vocab = logits->dim[1];
    for (int64_t i = 0; i < o->m->batch.n_tokens; i++) {
        if (o->m->targets[i] < 0) continue;
        const float *x = (const float *)hidden->data + i * width, *z = (const float *)logits->data + i * vocab;
        double sum = (double)*(float *)b->data, total = 0, entropy = 0;
        for (int64_t j = 0; j < width; j++) sum += (double)x[j] * (double)((float *)w->data)[j];
        for (int64_t j = 0; j < vocab; j++) total += exp((double)z[j]);
        for (int64_t j = 0; j < vocab; j++) entropy -= exp((double)z[j]) / total * ((double)z[j] - log(total));
        *v++ = sum, *h++ = entropy;
    }
}

static void ppo_is_its_equation(void **state)
{
    (void)state;
    for (int k = 0; k < PPO_CASES; k++) {
        const ppo_case *c = &ppo_cases[k];
        one_round o;
        char arguments[500];
        float logp[MOST_TOKENS];
        double reward[MOST_TOKENS], advantage[MOST_TOKENS], v[MOST_TOKENS], h[MOST_TOKENS], mean, variance, want = 0;
        snprintf(arguments, sizeof arguments, APART "%s", c->options);
        open_round(&o, "ppo", arguments);
        log_probabilities(&o, logp);
        values_and_entropies(&o, v, h);
        const lm_lessons *l = lm_lessons_of(&o.run.t.task, &o.run.t.tape, o.m);
        const lm_rollouts *r = l->r;
        reward_tokens(reward, c, r);
        for (int64_t i = 0; i < r->n; i++) {
            const lm_rollout *a = &r->items[i];
            for (int64_t t = 0; t < a->n; t++) {
                double left = 0;
                advantage[a->first + t] = generalised(c, reward + a->first, r->value + a->first, t, a->n);
                for (int64_t s = t; s < a->n; s++) left += reward[a->first + s];
                if (c->lambda == 1) assert_true(fabs(advantage[a->first + t] - (left - (double)r->value[a->first + t])) < 1e-6);       /* returns minus values */
                assert_true(fabs((double)r->target[a->first + t] - advantage[a->first + t] - (double)r->value[a->first + t]) < 1e-5);
            }
        }
        moments(advantage, r->n_tokens, &mean, &variance);
        for (int64_t t = 0; t < r->n_tokens; t++) {
            double left = c->whiten ? (advantage[t] - mean) / sqrt(variance + 1e-8) : advantage[t];
            if (!(fabs((double)r->advantage[t] - left) < 1e-4)) fail_msg("%s: advantage %lld is %g, expected %g", c->options, (long long)t, (double)r->advantage[t], left);
        }
        for (int64_t s = 0, i = 0; s < o.m->batch.n_segments; s++) {
            int64_t at = lm_lesson_rollout(l, s)->first;
            for (; i < l->tokens->begin[s + 1]; i++, at++) {
                double target = (double)r->target[at], held = clip(v[i], (double)r->value[at] - c->value_epsilon, (double)r->value[at] + c->value_epsilon);
                const answer one = { .advantage = (double)r->advantage[at] };
                want += surrogate(&one, exp((double)(logp[i] - r->old[at])), c->epsilon, c->epsilon) - c->entropy * h[i];
                want += c->value_weight / 2 * fmax(pow(v[i] - target, 2), pow(held - target, 2));
            }
        }
        want /= (double)r->n_tokens;
        double got = loss_now(&o);
        if (!(fabs(got - want) <= 2e-5 * (1 + fabs(want)))) fail_msg("%s: %.8g, expected %.8g", c->options, got, want);
        close_round(&o);
    }
}

/* Gradients of one learner's parameters, end to end; the caller frees. */
static float *gradients_of(one_round *o, int learner, int64_t *n)
{
    lm_trainer *t = &o->run.t;
    const lm_params *ps = t->learners[learner].trained;
    forget_gradients(t);
    lm_tape_reset(&t->tape);
    t->tape.recording = true;
    assert_int_equal(lm_backward(&t->tape, t->task.objective->loss(&t->task, &t->forward, o->m)), LM_OK);
    float *all = lm_malloc((size_t)lm_params_count(ps, true) * sizeof *all);
    *n = 0;
    for (int64_t i = 0; i < ps->n; i++) {
        assert_false(ps->items[i]->grad.fresh);
        memcpy(all + *n, ps->items[i]->grad.data, lm_nbytes(&ps->items[i]->t));
        *n += lm_numel(&ps->items[i]->t);
    }
    return all;
}

/* The value's loss moves only the value's adapter, that of the policy only its own: to the bit. */
static void a_value_model_apart_and_the_policy_do_not_touch(void **state)
{
    (void)state;
    enum { POLICY, HEAD, VALUE };
    static const struct { const char *option, *value; int moved, still; } cases[] = { { "value-weight", "3", VALUE, POLICY }, { "entropy-bonus", "0.5", POLICY, VALUE } };
    one_round o;
    open_round(&o, "ppo", APART "--adapter lora --lora-r 4 --value-apart --value-weight 1 --value-epsilon 0 --epsilon 0.9");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int64_t n[3];
        float *before[3], *after[3];
        for (int i = 0; i < 3; i++) before[i] = gradients_of(&o, i, &n[i]);
        tiny_set(&o.run, cases[c].option, cases[c].value);
        for (int i = 0; i < 3; i++) after[i] = gradients_of(&o, i, &n[i]);
        assert_memory_equal(before[cases[c].still], after[cases[c].still], (size_t)n[POLICY] * sizeof(float));
        assert_memory_not_equal(before[cases[c].moved], after[cases[c].moved], (size_t)n[POLICY] * sizeof(float));
        assert_int_equal(n[POLICY], n[VALUE]);
        assert_true(c == 0 || !memcmp(before[HEAD], after[HEAD], (size_t)n[HEAD] * sizeof(float)));
        for (int64_t j = 0; c == 0 && j < n[VALUE]; j++)             /* three times as much, but for rounding */
            assert_true(fabsf(after[VALUE][j] - 3 * before[VALUE][j]) <= 1e-4f * fabsf(after[VALUE][j]) + 1e-6f);
        for (int i = 0; i < 3; i++) free(before[i]), free(after[i]);
    }
    close_round(&o);
}

/* What is learnt is the first of the best, and nothing of a prompt whose answers are all the same. */
static void the_best_of_n_is_learnt(void **state)
{
    (void)state;
    one_round o;
    open_round(&o, "best_of_n", APART);
    const lm_rollouts *r = lm_lessons_of(&o.run.t.task, &o.run.t.tape, o.m)->r;
    for (int64_t g = 0; g < r->n; g += r->group) {
        int learnt = 0, most = 0;
        for (int64_t i = 1; i < r->group; i++) most = r->items[g + i].reward > r->items[g + most].reward ? (int)i : most;
        bool equal = true;
        for (int64_t i = 0; i < r->group; i++) equal &= r->items[g + i].reward == r->items[g].reward, learnt += r->items[g + i].learnt;
        assert_int_equal(learnt, equal ? 0 : 1);
        assert_true(equal || r->items[g + most].learnt);
        for (int64_t i = 0; i < r->group; i++) assert_true((o.x.round.answers.documents[g + i].value != 0) == r->items[g + i].learnt);
    }
    close_round(&o);
}

/* A search for letters among sixteen first bytes finds one where a draw seldom does; what it found is learnt. */
static void a_search_finds_what_its_guide_likes(void **state)
{
    (void)state;
    char *drawn = test_path("drawn"), *found = test_path("found");
#define LETTERS "--dtype f32 --prompts 6 --group 4 --max-new-tokens 2 --batch-size 8 --reward regex:^[a-z] --lr 0.005 --schedule constant "
    whole_run("grpo", drawn, LETTERS "--steps 1");
    whole_run("expert_iteration", found, LETTERS "--steps 4 --expand 4 --guide regex:^[a-z]");
    double plain = logged(drawn, 0, "reward"), searched = logged(found, 0, "reward");
    if (!(searched > plain + 0.2)) fail_msg("%g by search, %g without", searched, plain);
    assert_true(logged(found, 3, "kept") > 0.5);
    assert_true(logged(found, 0, "guide") == searched);
    free(drawn), free(found);
}

static void what_cannot_be_learnt_is_named(void **state)
{
    (void)state;
    static const struct { const char *arguments, *says; lm_status status; } cases[] = {
        { "--reward nothing", "there is no 'nothing'", LM_E_USAGE },
        { "--reward length", "expected length:N", LM_E_USAGE },
        { "--reward json:x", "nothing may follow json", LM_E_USAGE },
        { "--reward exact,exact", "asked for twice", LM_E_USAGE },
        { "--reward regex:(", "the expression is wrong at character", LM_E_USAGE },
        { "--reward numeric", "prompts.jsonl:1: reward numeric: field \"answer\" has no number", LM_E_FORMAT },
        { "--reward json --group 1", "expected 2 or more", LM_E_USAGE },
        { "--reward json --max-new-tokens 64", "the context holds 64", LM_E_USAGE },
        { "--reward json --max-new-tokens 58", "prompts.jsonl:3: a prompt of 7 tokens and --max-new-tokens 58 are more than the context of 64", LM_E_FORMAT },
        { "--reward length:3 --lr 0.1 --batch-size 64 --schedule constant --max-kl 0.01 --steps 9", "--max-kl allows 0.01", LM_E_NUMERIC },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_run r;
        char *out = test_path("refused"), arguments[300];
        snprintf(arguments, sizeof arguments, "--dtype f32 --max-new-tokens 8 %s", cases[i].arguments);
        tiny_train(&r, "grpo", model, prompts, out, arguments);
        tiny_expect(&r, cases[i].status, cases[i].says);
        tiny_close(&r);
        lm_staging_remove(out, NULL);
        free(out);
    }
}

static void keep_warning(lm_level level, const char *text, void *context)
{
    if (level == LM_LOG_WARN) lm_str_printf(context, "%s\n", text);
}

/* Rounds of which only the number named changes: each says once what looks wrong, and nothing while the reward stands. */
static void a_gamed_reward_is_warned_of(void **state)
{
    (void)state;
    static const lm_summary first = { .reward = 1, .spread = 0.5, .length = 20, .entropy = 2, .kl_per_token = 0.01 };
    static const struct { lm_summary later; bool held_out; const char *says; } cases[] = {
        { { .reward = 3, .spread = 0.5, .length = 20, .entropy = 0.1, .kl_per_token = 0.01 }, false, "entropy collapses (2, now " },
        { { .reward = 3, .spread = 0.5, .length = 90, .entropy = 2, .kl_per_token = 0.01 }, false, "answers grow long (20, now " },
        { { .reward = 3, .spread = 0.5, .length = 20, .entropy = 2, .kl_per_token = 0.5 }, true, "held-out prompts lead it further from the reference" },
        { { .reward = 1, .spread = 0.5, .length = 90, .entropy = 0.1, .kl_per_token = 0.01 }, false, NULL },
        { { .reward = 3, .spread = 0.5, .length = 20, .entropy = 2, .kl_per_token = 0.01 }, true, NULL },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        lm_kernels k = {0};
        lm_params remembered;
        lm_str warned = {0};
        assert_int_equal(lm_backend(&k, "ref", NULL), LM_OK);
        assert_int_equal(lm_params_init(&remembered, &k, NULL), LM_OK);
        lm_param *watch = lm_watch_declare(&remembered);
        assert_int_equal(lm_params_initialise(&remembered, 0, NULL), LM_OK);
        lm_log_set(keep_warning, &warned);
        lm_watch_look(watch, &first, true);
        for (int i = 0; i < 60; i++) lm_watch_look(watch, &cases[c].later, !cases[c].held_out);
        lm_log_set(NULL, NULL);
        const char *found = cases[c].says && warned.data ? strstr(warned.data, cases[c].says) : NULL;
        if (cases[c].says ? !found || strchr(found, '\n')[1] : warned.len > 0) fail_msg("case %zu: %s", c, warned.data ? warned.data : "nothing");
        lm_str_free(&warned);
        lm_params_free(&remembered);
    }
}

/* A policy that has gone too far is not what is left: OUT holds what it was at the last checkpoint before. */
static void a_run_that_goes_astray_falls_back(void **state)
{
    (void)state;
    tiny_run r;
    char *out = test_path("astray"), *good = test_path("good"), arguments[300];
    static const char how[] = "--dtype f32 --max-new-tokens 8 --prompts 3 --group 4 --reward length:3 --lr 0.01 --batch-size 12 --schedule constant --warmup 0 --steps %d --save-every 1 --max-kl %g";
    snprintf(arguments, sizeof arguments, how, 30, 0.1);
    assert_int_equal(tiny_train(&r, "grpo", model, prompts, out, arguments), LM_E_NUMERIC);
    tiny_expect(&r, LM_E_NUMERIC, "--max-kl allows 0.1");
    int made = (int)r.t.at.step;
    assert_in_range(made, 2, 29);
    tiny_close(&r);
    snprintf(arguments, sizeof arguments, how, made - 1, 0.0);
    whole_run("grpo", good, arguments);
    assert_true(tiny_same(out, good, "model.safetensors"));
    assert_true(tiny_count(out, "run.json", "\"finished\": false") == 1);
    free(out), free(good);
}

/* A program that fails for good ends the run, but not what was learnt before: it goes on once the program does. */
static void a_failing_program_costs_no_step(void **state)
{
    (void)state;
    char *out = test_path("broken"), *whole = test_path("unbroken"), *count = test_path("count"), *mended = test_path("mended"), program[1200];
    snprintf(program, sizeof program, "program:while read l; do echo x >> %s; [ $(wc -l < %s) -gt 15 ] && [ ! -e %s ] && exit 3; echo \"{\\\"reward\\\": ${#l}}\"; done",
             count, count, mended);
    const struct { const char *out, *resume; lm_status status; } parts[] = { { out, "false", LM_E_IO }, { out, "true", LM_OK }, { whole, "false", LM_OK } };
    for (int i = 0; i < 3; i++) {
        tiny_run r;
        tiny_parse(&r, "grpo", model, prompts, parts[i].out, "--dtype f32 --max-new-tokens 8 --prompts 3 --group 2 --lr 0.01 --steps 4 --save-every 0");
        tiny_set(&r, "reward", program);
        tiny_set(&r, "resume", parts[i].resume);
        lm_status status = lm_trainer_open(&r.t, &r.config, &r.err);
        if (status == LM_OK) status = lm_trainer_run(&r.t, &r.err);
        tiny_expect(&r, parts[i].status, i ? "" : "asked twice: the program ended with status 3");
        assert_int_equal(r.t.at.step, i ? 4 : 2);
        tiny_close(&r);
        assert_int_equal(lm_file_write(mended, "", 0, NULL), LM_OK);
    }
    assert_true(tiny_same(out, whole, "model.safetensors"));
    assert_true(tiny_same(out, whole, "rollouts.jsonl"));
    free(out), free(whole), free(count), free(mended);
}

/* The model with a head of one score or of several labels, and the tokenizer with so many ids more. */
static char *scored_model(const char *name, int labels, int extra)
{
    lm_model *m;
    lm_kernels k = {0};
    char *folder = test_path(name);
    assert_int_equal(lm_backend(&k, "ref", NULL), LM_OK);
    assert_int_equal(lm_model_load(&m, model, &k, NULL), LM_OK);
    lm_strings names = lm_labels_default(labels);
    assert_int_equal((labels > 1 ? lm_model_classify : lm_model_score_texts)(m, &names, 3, NULL), LM_OK);
    assert_int_equal(lm_model_save(m, folder, LM_F32, 0, NULL), LM_OK);
    tiny_tokenizer(folder, extra);
    lm_strings_free(&names);
    lm_model_free(m);
    return folder;
}

/* Of a reward model they begin as what its head says of each token. */
static void values_begin_as_rewards(void **state)
{
    (void)state;
    tiny_run r;
    lm_experience x;
    char *reward = scored_model("reward", 1, 0), arguments[600];
    snprintf(arguments, sizeof arguments, "--dtype f32 --prompts 3 --group 1 --max-new-tokens 12 --batch-size 3 --steps 1 --reward json --value-model %s", reward);
    tiny_open(&r, "ppo", model, prompts, "out", arguments);
    assert_int_equal(lm_experience_open(&x, &r.t, &r.t.batches, 0, 3, true, &r.err), LM_OK);
    const lm_microbatch *m = lm_batcher_fill(&x.batches, 0, 3, 1, 1);
    assert_int_equal(lm_trainer_collect(&r.t, &x.batches.at, &r.err), LM_OK);
    lm_tape_reset(&r.t.tape);
    const lm_forward judge = { .t = &r.t.tape, .m = r.t.task.companion->model, .batch = &m->batch };
    const float *scores = lm_model_scores(&judge, lm_model_forward(&judge))->data;
    const lm_lessons *l = lm_lessons_of(&r.t.task, &r.t.tape, m);
    for (int64_t s = 0; s < 3; s++) {
        const lm_rollout *a = lm_lesson_rollout(l, s);
        for (int64_t i = 0; i < a->n; i++)
            assert_true(fabsf(l->r->value[a->first + i] - scores[l->tokens->rows[l->tokens->begin[s] + i]]) < 1e-5f);
    }
    lm_experience_close(&x);
    tiny_close(&r);
    free(reward);
}

static void a_value_model_that_does_not_fit_is_named(void **state)
{
    (void)state;
    char *labels = scored_model("labels", 3, 0), *other = scored_model("other", 1, 1), *adapter = test_path("adapter");
    whole_run("grpo", adapter, "--dtype f32 --steps 1 --prompts 2 --group 2 --max-new-tokens 4 --reward json --adapter lora --lora-r 2");
    const struct { const char *options, *folder, *says; } cases[] = {
        { "--value-apart", "", "without --adapter a value model needs a trunk of its own" },
        { "--value-apart --value-detached --adapter lora", "", "--value-detached is for a head on the policy's trunk" },
        { "--value-apart --adapter lora --modules-to-save lm_head", "", "only one can be in its place" },
        { "--value-model", labels, "its head gives 3 labels; expected one score" },
        { "--value-model", other, "has another tokenizer than" },
        { "--value-model", adapter, "is an adapter; malmoi merge" },
        { "--value-model", "nowhere", "nowhere" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_run r;
        char arguments[600];
        snprintf(arguments, sizeof arguments, "--dtype f32 --max-new-tokens 8 --steps 1 --reward json %s %s", cases[i].options, cases[i].folder);
        tiny_parse(&r, "ppo", model, prompts, "out", arguments);
        if (lm_trainer_open(&r.t, &r.config, &r.err) == LM_OK || !strstr(r.err.message, cases[i].says)) fail_msg("%s: %s", arguments, r.err.message);
        tiny_close(&r);
    }
    free(labels), free(other), free(adapter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_decide),
        cmocka_unit_test(a_run_in_pieces_ends_in_the_same_bits),
        cmocka_unit_test(rewards_are_learnt),
        cmocka_unit_test(a_round_ends_early_where_the_policy_has_moved),
        cmocka_unit_test(grpo_is_its_equation),
        cmocka_unit_test(ppo_is_its_equation),
        cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(a_value_model_apart_and_the_policy_do_not_touch),
        cmocka_unit_test(values_begin_as_rewards),
        cmocka_unit_test(a_gamed_reward_is_warned_of),
        cmocka_unit_test(a_run_that_goes_astray_falls_back),
        cmocka_unit_test(a_failing_program_costs_no_step),
        cmocka_unit_test(a_value_model_that_does_not_fit_is_named),
        cmocka_unit_test(the_best_of_n_is_learnt),
        cmocka_unit_test(a_search_finds_what_its_guide_likes),
        cmocka_unit_test(what_cannot_be_learnt_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
