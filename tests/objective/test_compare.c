/* Objectives that compare sequences: each loss against its equation written out once more over log-probabilities
 * that another op gave, its gradient against a finite difference, and the rows that are refused.  tests/interop
 * holds dpo and simpo to TRL as well. */
#include "train/tiny.h"

#include "objective/compare.h"
#include "nn/head.h"

static char *model, *pairs, *ranked, *labelled, *rated, *out;

enum { ROWS = 3, MOST = 4 };

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    model = tiny_model("model");
    pairs = tiny_file("pairs.jsonl", "{\"prompt\": \"Say: \", \"chosen\": \"good day\", \"rejected\": \"go away now\"}\n"
                                     "{\"prompt\": \"Q\", \"chosen\": \"yes\", \"rejected\": \"n\", \"margin\": 0.5}\n"
                                     "{\"chosen\": \"one two three\", \"rejected\": \"one two four five\"}\n");
    ranked = tiny_file("ranked.jsonl", "{\"prompt\": \"a\", \"completions\": [\"bb\", \"ccc\", \"d\"], \"scores\": [0.1, 0.9, 0.4]}\n"
                                       "{\"prompt\": \"a\", \"completions\": [\"xyz\", \"z\", \"y\", \"w w\"], \"scores\": [3, 1, 1, 2]}\n"
                                       "{\"prompt\": \"e\", \"chosen\": \"f\", \"rejected\": \"gh\"}\n");
    labelled = tiny_file("labelled.jsonl", "{\"prompt\": \"Say: \", \"completion\": \"good day\", \"label\": true}\n"
                                           "{\"prompt\": \"Q\", \"completion\": \"never\", \"label\": false}\n"
                                           "{\"prompt\": \"ab\", \"completion\": \"no\", \"label\": 0}\n");
    rated = tiny_file("rated.jsonl", "{\"prompt\": \"a\", \"completions\": [\"bb\", \"ccc\", \"d\"], \"ratings\": {\"kind\": [1, 3, 2], \"true\": [5, 5, 1]}}\n"
                                     "{\"prompt\": \"e\", \"completions\": [\"f\", \"gh\"], \"ratings\": {\"true\": [2, 4], \"kind\": [1, 1], \"other\": []}}\n");
    out = test_path("out");
    return 0;
}

static int teardown(void **state)
{
    free(model), free(pairs), free(ranked), free(labelled), free(rated), free(out);
    return test_folder_remove(state);
}

/* ---- the equations, once more ---- */

/* One row: p log-probabilities (or scores), q the reference's, n lengths, v values; K of them.  kl: of the batch;
 * cost: mean -log p of the best answer where a head scores it. */
typedef struct row {
    double p[MOST], q[MOST], n[MOST], v[MOST], kl, cost;
    int k;
} row;

static double softplus(double x) { return log(1 + exp(x)); }
static double positive(double x) { return x > 0 ? x : 0; }
static double delta(const row *r) { return (r->p[0] - r->q[0]) - (r->p[1] - r->q[1]); }
static double mean(const row *r, int i) { return r->p[i] / r->n[i]; }
static double odds(double m) { return exp(m) / (1 - exp(m)); }

static double dpo(const row *r) { return softplus(-0.4 * delta(r)); }
static double dpo_smooth(const row *r) { return 0.8 * softplus(-0.4 * delta(r)) + 0.2 * softplus(0.4 * delta(r)); }
static double dpo_sft(const row *r) { return dpo(r) - 0.7 * mean(r, 0); }
static double ipo(const row *r)
{
    double off = (r->p[0] - r->q[0]) / r->n[0] - (r->p[1] - r->q[1]) / r->n[1] - 1 / (2 * 0.4);
    return off * off;
}
static double simpo(const row *r) { return softplus(-(2.5 * (mean(r, 0) - mean(r, 1)) - 0.3)); }
static double orpo(const row *r) { return -mean(r, 0) + 0.25 * softplus(-log(odds(mean(r, 0)) / odds(mean(r, 1)))); }
static double rrhf(const row *r)
{
    double sum = -0.6 * mean(r, 0);
    for (int i = 0; i < r->k; i++)
        for (int j = 0; j < r->k; j++)
            if (r->v[i] < r->v[j]) sum += positive(mean(r, i) - mean(r, j));
    return sum;
}
static double slic(const row *r) { return positive(1.5 - r->p[0] + r->p[r->k - 1]) - 0.2 * mean(r, 0); }
static double slic_margin(const row *r)
{
    double sum = 0, n = 0;
    for (int i = 0; i < r->k; i++)
        for (int j = 0; j < r->k; j++)
            if (r->v[i] > r->v[j]) sum += positive(40 * (r->v[i] - r->v[j]) - r->p[i] + r->p[j]), n++;
    return sum / n;
}
static double slic_list(const row *r)
{
    double sum = 0, n = 0;
    for (int i = 0; i < r->k; i++)
        for (int j = i + 1; j < r->k; j++)
            if (r->v[i] > r->v[j]) sum += positive(3 * (j - i) - mean(r, i) + mean(r, j)), n++;
    return sum / n;
}
static double reward_pair(const row *r)
{
    double both = r->p[0] + r->p[1];
    return softplus(-(r->p[0] - r->p[1] - r->v[0])) + 0.05 * both * both;
}
static double kto(const row *r)
{
    double x = 0.4 * (r->p[0] - r->q[0] - r->kl);
    return r->v[0] > 0 ? 1.5 * (1 - 1 / (1 + exp(-x))) : 0.5 * (1 - 1 / (1 + exp(x)));
}
static double apo_zero_unpaired(const row *r)
{
    double x = 0.4 * (r->p[0] - r->q[0]);
    return r->v[0] > 0 ? 1 - 1 / (1 + exp(-x)) : 1 / (1 + exp(-x));
}
static double reward_ranked(const row *r)
{
    double sum = 0;
    for (int i = 0; i < r->k; i++)
        for (int j = 0; j < r->k; j++)
            if (r->k == 2 ? i < j : r->v[i] > r->v[j]) sum += softplus(r->p[j] - r->p[i]);     /* a pair without margin */
    return sum / (r->k * (r->k - 1) / 2.0);
}

static double reward_beside(const row *r) { return reward_ranked(r) + 0.7 * r->cost; }

static const struct {
    const char *objective, *options;
    enum { PAIRS, RANKED, LABELLED, RATED } rows;
    double (*equation)(const row *r);
} cases[] = {
    { "dpo", "--beta 0.4", PAIRS, dpo },
    { "dpo", "--beta 0.4 --label-smoothing 0.2", PAIRS, dpo_smooth },
    { "dpo", "--beta 0.4 --sft-weight 0.7", PAIRS, dpo_sft },
    { "dpo", "--beta 0.4 --loss-type ipo", PAIRS, ipo },
    { "simpo", "--beta 2.5 --gamma 0.3", PAIRS, simpo },
    { "orpo", "--beta 0.25", PAIRS, orpo },
    { "rrhf", "--sft-weight 0.6", RANKED, rrhf },
    { "slic", "--beta 1.5 --lambda 0.2", RANKED, slic },
    { "slic", "--loss-type margin --beta 40 --lambda 0", RANKED, slic_margin },
    { "slic", "--loss-type list --beta 3 --lambda 0 --by-length", RANKED, slic_list },
    { "kto", "--beta 0.4 --desirable-weight 1.5 --undesirable-weight 0.5", LABELLED, kto },
    { "kto", "--beta 0.4 --loss-type apo_zero_unpaired", LABELLED, apo_zero_unpaired },
    { "reward", "--center-rewards 0.05", PAIRS, reward_pair },
    { "reward", "", RANKED, reward_ranked },
    { "reward", "--lm-weight 0.7", RANKED, reward_beside },
    { "reward", "--criteria kind,true", RATED, reward_ranked },
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- the numbers that go in ---- */

/* A run after two steps, so that it has left its reference, at a micro-batch of all rows. */
static const lm_microbatch *open_moved(tiny_run *r, int c, const char *more)
{
    char arguments[300];
    snprintf(arguments, sizeof arguments, "--steps 9 --batch-size 3 --dtype f32 --no-shuffle --lr 0.02 %s %s", cases[c].options, more);
    tiny_open(r, cases[c].objective, model, (const char *[]){ pairs, ranked, labelled, rated }[cases[c].rows], out, arguments);
    for (int i = 0; i < 2; i++) {
        lm_step_report report;
        if (lm_trainer_step(&r->t, &report, &r->err) != LM_OK) fail_msg("%s", r->err.message);
    }
    const lm_microbatch *m = lm_batcher_fill(&r->t.batches, 0, ROWS, 1, 1.0f / ROWS);
    r->t.forward.batch = &m->batch;
    r->t.tape.recording = r->t.tape.training = false;
    assert_int_equal(r->t.task.objective->collect(&r->t.task, &r->t.forward, &r->t.batches.at, &r->err), LM_OK);
    return m;
}

/* Sums by sequence of what `which` model gives each learnt token; or the score that the last one's lesson names, and
 * the mean cost of those before it. */
static void measure(tiny_run *r, lm_model *which, const lm_microbatch *m, double *sums, double *lengths, double *costs)
{
    float nll[1024];
    lm_forward f = { .t = &r->t.tape, .m = which, .batch = &m->batch };
    bool scores = which->score;
    assert_true(m->batch.n_tokens <= 1024);
    lm_tape_reset(&r->t.tape);
    lm_tensor *hidden = lm_model_forward(&f);
    if (which->head) lm_cross_entropy(&r->t.tape, hidden, which->head, m->targets, &(lm_cross_entropy_options){ .nll = nll });
    const float *given = scores ? lm_model_scores(&f, hidden)->data : NULL;
    assert_int_equal(r->t.tape.err.code, LM_OK);
    for (int64_t s = 0; s < m->batch.n_segments; s++) {
        const lm_segment *g = &m->batch.segments[s];
        int64_t last = g->q0;
        sums[s] = lengths[s] = costs[s] = 0;
        for (int64_t i = g->q0; i < g->q0 + g->nq; i++) {
            if (m->targets[i] < 0) continue;
            sums[s] -= (double)nll[i];
            lengths[s]++;
            last = i;
        }
        if (!scores) continue;
        costs[s] = lengths[s] > 1 ? (-sums[s] - (double)nll[last]) / (lengths[s] - 1) : 0;
        sums[s] = (double)given[last * which->labels.n + m->targets[last]];
    }
}

/* labelled.jsonl with each prompt before the answer of the row above it, byte by byte, and its z. */
static double neighbours_kl(tiny_run *r, lm_model *base, const lm_microbatch *m)
{
    static const char *const prompts[ROWS] = { "Say: ", "Q", "ab" }, *const answers[ROWS] = { "no", "good day", "never" };
    int32_t ids[128], positions[128], targets[128];
    lm_segment segments[ROWS];
    lm_microbatch other = { .batch = { .n_segments = ROWS, .ids = ids, .positions = positions, .segments = segments }, .targets = targets };
    double p[ROWS], q[ROWS], n[ROWS], cost[ROWS], sum = 0;
    int64_t at = 0;
    for (int i = 0; i < ROWS; i++) {
        size_t asked = strlen(prompts[i]), all = asked + strlen(answers[i]);
        segments[i] = (lm_segment){ .q0 = at, .nq = (int64_t)all, .k0 = at, .nk = (int64_t)all };
        for (size_t j = 0; j < all; j++, at++) {
            ids[at] = (uint8_t)(j < asked ? prompts[i][j] : answers[i][j - asked]);
            positions[at] = (int32_t)j;
            targets[at] = j + 1 < asked ? -1 : j + 1 == all ? TINY_END : (uint8_t)answers[i][j + 1 - asked];
        }
    }
    other.batch.n_tokens = at;
    measure(r, r->t.model, &other, p, n, cost);
    measure(r, base, &other, q, n, cost);
    for (int i = 0; i < ROWS; i++) sum += (p[i] - q[i]) / ROWS;
    r->t.forward.batch = &m->batch;
    return sum;
}

static double expected_loss(tiny_run *r, int c, const lm_microbatch *m)
{
    double p[64], q[64] = { 0 }, n[64], cost[64], sum = 0, kl = 0;
    bool labels = cases[c].rows == LABELLED;
    measure(r, r->t.model, m, p, n, cost);
    if (labels || !strcmp(cases[c].objective, "dpo")) {
        lm_model *base;
        assert_int_equal(lm_model_load(&base, model, &r->k, NULL), LM_OK);
        measure(r, base, m, q, n, cost);
        if (labels) kl = neighbours_kl(r, base, m);
        if (labels) assert_true(fabs(kl) > 0.05);
        lm_model_free(base);
    }
    for (int64_t b = 0; b < m->n_blocks; b++) {
        row one = { .k = (int)(m->first[b + 1] - m->first[b]), .kl = kl > 0 ? kl : 0, .cost = cost[m->first[b]] };
        for (int i = 0; i < one.k; i++) {
            int64_t s = m->first[b] + i;
            one.p[i] = p[s], one.q[i] = q[s], one.n[i] = n[s];
            one.v[i] = (double)m->data->documents[m->documents[s]].value;
        }
        sum += cases[c].equation(&one);
    }
    return sum / (double)m->n_blocks;
}

static double loss_now(tiny_run *r, const lm_microbatch *m)
{
    lm_tape_reset(&r->t.tape);
    return (double)lm_scalar(&r->t.tape, r->t.task.objective->loss(&r->t.task, &r->t.forward, m));
}

/* f32 forward passes over some 60 tokens. */
static void losses_are_their_equations(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++)
        for (int adapter = 0; adapter < 2; adapter++) {
            tiny_run r;
            const lm_microbatch *m = open_moved(&r, c, adapter ? "--adapter lora --lora-r 4" : "");
            double want = expected_loss(&r, c, m), got = loss_now(&r, m);
            if (!(fabs(got - want) <= 2e-5 * (1 + fabs(want)))) fail_msg("%s %s: %.8g, expected %.8g", cases[c].objective, cases[c].options, got, want);
            tiny_close(&r);
        }
}

/* Along a random direction of all weights.  A loss in f32 carries a few 1e-7 of its size; h is what keeps the
 * hinges of some pairs on their side. */
static void gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        tiny_run r;
        const lm_microbatch *m = open_moved(&r, c, "--adapter lora --lora-r 4");
        lm_rng rng = { 7, (uint64_t)c, 0 };
        double slope = 0, values[2], h = 3e-4;
        float *direction[64];
        assert_true(r.t.optim.n <= 64);
        lm_params_zero_grad(&r.t.adapter->params);
        r.t.tape.recording = true;
        lm_tape_reset(&r.t.tape);
        assert_int_equal(lm_backward(&r.t.tape, r.t.task.objective->loss(&r.t.task, &r.t.forward, m)), LM_OK);
        r.t.tape.recording = false;
        for (int64_t i = 0; i < r.t.optim.n; i++) {
            const lm_param *p = r.t.optim.slots[i].param;
            direction[i] = lm_malloc(lm_nbytes(&p->t));
            for (int64_t j = 0; j < lm_numel(&p->t); j++) {
                direction[i][j] = (float)lm_rng_normal(&rng);
                slope += (double)direction[i][j] * (double)((float *)p->grad.data)[j];
            }
        }
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < r.t.optim.n; i++) {
                float *w = r.t.optim.slots[i].param->t.data;
                for (int64_t j = 0; j < lm_numel(&r.t.optim.slots[i].param->t); j++) w[j] += (float)(side ? -2 * h : h) * direction[i][j];
            }
            values[side] = loss_now(&r, m);
        }
        for (int64_t i = 0; i < r.t.optim.n; i++) free(direction[i]);
        double quotient = (values[0] - values[1]) / (2 * h);
        if (!(fabs(quotient - slope) <= 0.02 * fabs(slope) + 4e-7 * (1 + fabs(values[0])) / h)) fail_msg("%s %s: %g, by differences %g", cases[c].objective, cases[c].options, slope, quotient);
        tiny_close(&r);
    }
}

/* An untrained adapter is its reference: log 2; and what is preferred is learnt. */
static void preferences_are_learnt(void **state)
{
    (void)state;
    tiny_run r;
    tiny_open(&r, "dpo", model, pairs, out, "--steps 30 --batch-size 3 --dtype f32 --lr 0.02 --adapter lora --lora-r 4");
    lm_step_report report = { 0 };
    for (int i = 0; i < 30; i++) {
        if (lm_trainer_step(&r.t, &report, &r.err) != LM_OK) fail_msg("%s", r.err.message);
        if (i == 0) assert_true(fabs(report.loss - log(2)) < 1e-6);
    }
    assert_true(report.loss < 0.3);
    tiny_close(&r);
}

/* The mean margin and the accuracy of a file after some steps on the pairs. */
static void margin_of(const char *objective, const char *options, char *held_out, double *margin, double *accuracy)
{
    tiny_run r;
    double loss;
    lm_json *counted;
    lm_step_report report;
    char arguments[200];
    snprintf(arguments, sizeof arguments, "--steps 9 --batch-size 3 --dtype f32 --no-shuffle --lr 0.02 --adapter lora --lora-r 4 %s", options);
    tiny_parse(&r, objective, model, pairs, out, arguments);
    tiny_set(&r, "val-data", held_out);
    if (lm_trainer_open(&r.t, &r.config, &r.err) != LM_OK) fail_msg("%s", r.err.message);
    for (int i = 0; i < 3; i++) assert_int_equal(lm_trainer_step(&r.t, &report, &r.err), LM_OK);
    assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
    *margin = json_number_value(json_object_get(counted, "margin"));
    *accuracy = json_number_value(json_object_get(counted, "accuracy"));
    lm_json_free(counted);
    tiny_close(&r);
}

/* The better answer called the worse: the margin is the same the other way round.  (In kto's own form a KL that hangs on who
 * stands together in a pass is part of it.) */
static void swapped_pairs_turn_the_sign(void **state)
{
    (void)state;
    char *swapped = tiny_file("swapped.jsonl", "{\"prompt\": \"Say: \", \"rejected\": \"good day\", \"chosen\": \"go away now\"}\n"
                                               "{\"prompt\": \"Q\", \"rejected\": \"yes\", \"chosen\": \"n\", \"margin\": 0.5}\n"
                                               "{\"rejected\": \"one two three\", \"chosen\": \"one two four five\"}\n");
    static const struct { const char *name, *options; } objectives[] = {
        { "dpo", "" }, { "dpo", "--loss-type ipo" }, { "simpo", "" }, { "orpo", "" }, { "slic", "" }, { "rrhf", "" }, { "kto", "--loss-type apo_zero_unpaired" }, { "reward", "" } };
    for (size_t o = 0; o < sizeof objectives / sizeof *objectives; o++) {
        double margin[2], accuracy[2];
        margin_of(objectives[o].name, objectives[o].options, pairs, &margin[0], &accuracy[0]);
        margin_of(objectives[o].name, objectives[o].options, swapped, &margin[1], &accuracy[1]);
        if (!(margin[0] > 1e-4 && fabs(margin[0] + margin[1]) < 1e-5 * margin[0] + 1e-6)) fail_msg("%s: %g, swapped %g", objectives[o].name, margin[0], margin[1]);
        assert_true(fabs(accuracy[0] + accuracy[1] - 1) < 1e-9);
    }
    free(swapped);
}

/* ---- rows ---- */

static void refused_with(const char *objective, const char *text, const char *more, const char *words)
{
    char arguments[100];
    snprintf(arguments, sizeof arguments, "--steps 1 --dtype f32 %s", more);
    char *path = tiny_file("bad.jsonl", text);
    tiny_run r;
    tiny_parse(&r, objective, model, path, out, arguments);
    assert_int_not_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    if (!strstr(r.err.message, words)) fail_msg("%s: \"%s\", expected \"%s\"", text, r.err.message, words);
    assert_non_null(strstr(r.err.message, "bad.jsonl:1: "));
    tiny_close(&r);
    free(path);
}

static void refused(const char *objective, const char *text, const char *words) { refused_with(objective, text, "", words); }

static void bad_rows_are_named(void **state)
{
    (void)state;
    refused("dpo", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}\n", "are the same");
    char rows[400], many[TINY_CONTEXT + 9] = "";
    memset(many, 'b', sizeof many - 1);
    snprintf(rows, sizeof rows, "{\"prompt\": \"a\", \"chosen\": \"%s\", \"rejected\": \"%sc\"}\n", many, many);
    refused_with("dpo", rows, "--truncate", "the two answers are the same after truncation");
    refused_with("reward", rows, "--truncate", "the two answers are the same after truncation");
    snprintf(rows, sizeof rows, "{\"prompt\": \"a\", \"completions\": [\"%s\", \"x\", \"%sc\"], \"scores\": [3, 2, 1]}\n", many, many);
    refused_with("dpo", rows, "--truncate", "the two answers are the same after truncation");
    refused("dpo", "{\"prompt\": \"a\", \"chosen\": \"b\"}\n", "field \"rejected\" is missing");
    refused("dpo", "{\"prompt\": \"a\", \"chosen\": \"\", \"rejected\": \"b\"}\n", "field \"chosen\" is empty");
    refused("dpo", "{\"prompt\": \"a\", \"chosen\": 3, \"rejected\": \"b\"}\n", "expected text or a list of messages");
    refused("dpo", "{\"chosen\": \"xa\", \"rejected\": \"ya\"}\n", "differ from the first character on");
    refused("dpo", "{\"chosen\": [{\"role\": \"user\", \"content\": \"p\"}, {\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": "
                   "[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}\n", "prompts of \"chosen\" and \"rejected\" differ");
    refused("dpo", "{\"prompt\": \"a\", \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": \"b\"}\n", "expected both alike");
    refused("dpo", "{\"prompt\": \"a long prompt that takes all of the room that the context of this tiny model has\", \"chosen\": \"b\", "
                   "\"rejected\": \"c\"}\n", "more than the context");
    refused("rrhf", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, 1]}\n", "nothing to prefer");
    refused("rrhf", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1]}\n", "expected 2 numbers");
    refused("rrhf", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, \"x\"]}\n", "entry 2 is no number");
    refused("rrhf", "{\"prompt\": \"a\", \"completions\": [\"b\"]}\n", "two or more");
    refused("slic", "just text\n", "not JSON");
    refused("kto", "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "field \"label\" is missing");
    refused("kto", "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": -1}\n", "field \"label\": expected true or false");
    refused("kto", "{\"prompt\": \"a\", \"completion\": \"\", \"label\": true}\n", "field \"completion\" is empty");
}

static void refused_ratings(const char *text, const char *words)
{
    char *path = tiny_file("bad.jsonl", text);
    tiny_run r;
    tiny_parse(&r, "reward", model, path, out, "--criteria kind,true");
    assert_int_not_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    if (!strstr(r.err.message, words)) fail_msg("%s: \"%s\", expected \"%s\"", text, r.err.message, words);
    tiny_close(&r);
    free(path);
}

/* A score for each criterion goes to disk and back, is measured by itself, and asks for its ratings. */
static void criteria_have_scores_of_their_own(void **state)
{
    (void)state;
    tiny_run r;
    double loss;
    lm_json *counted;
    for (int adapter = 1; adapter >= 0; adapter--) {
        lm_model *m;
        lm_adapter *a = NULL;
        char arguments[200];
        snprintf(arguments, sizeof arguments, "--criteria kind,true --steps 30 --batch-size 3 --dtype f32 --lr 0.01 --overwrite %s", adapter ? "--adapter lora" : "");
        if (tiny_train(&r, "reward", model, rated, out, arguments) != LM_OK) fail_msg("%s", r.err.message);
        assert_int_equal(lm_model_load(&m, adapter ? model : out, &r.k, &r.err), LM_OK);
        if (adapter) assert_int_equal(lm_adapter_load(&a, m, out, &r.err), LM_OK);
        assert_int_equal(lm_model_need_reward(m, &r.err), LM_OK);
        assert_string_equal(m->labels.items[1], "true");
        lm_adapter_free(a);
        lm_model_free(m);
        tiny_close(&r);
    }

    char *again = test_path("again");
    tiny_parse(&r, "reward", out, rated, again, "--steps 1 --dtype f32");
    tiny_set(&r, "val-data", rated);
    assert_int_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
    assert_true(json_real_value(json_object_get(counted, "accuracy_kind")) == 1);
    assert_true(json_real_value(json_object_get(counted, "accuracy_true")) == 1);
    assert_true(json_real_value(json_object_get(counted, "calibration_error")) >= 0);
    lm_json_free(counted);
    tiny_close(&r);
    free(again);
    refused_ratings("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"]}\n", "bad.jsonl:1: field \"ratings\" is missing");
    refused_ratings("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"kind\": [1, 1]}}\n", "nothing to prefer by any of the model's 2 criteria");
    refused_ratings("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"kind\": [1]}}\n", "\"kind\": expected 2 numbers");
}

/* A prompt that both begin with is found; messages of a prompt are not learnt, answers are. */
static void prompts_are_shared(void **state)
{
    (void)state;
    char *path = tiny_file("chat.jsonl",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"p\"}, {\"role\": \"assistant\", \"content\": \"q\"}, {\"role\": \"user\", \"content\": \"r\"}], "
        "\"chosen\": [{\"role\": \"assistant\", \"content\": \"good\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"x\"}]}\n");
    tiny_run r;
    tiny_open(&r, "dpo", model, path, out, "--steps 1 --batch-size 1 --dtype f32");
    const lm_microbatch *m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
    assert_int_equal(m->batch.n_segments, 2);
    assert_int_equal(m->n_targets, strlen(" good") + 1 + strlen("\n\n") + strlen(" x") + 1 + strlen("\n\n"));    /* the plain template's */
    tiny_close(&r);
    free(path);

    tiny_open(&r, "dpo", model, pairs, out, "--steps 1 --batch-size 3 --dtype f32 --no-shuffle");
    m = lm_batcher_fill(&r.t.batches, 2, 1, 1, 1);
    assert_int_equal(m->n_targets, strlen(" three") + 1 + strlen(" four five") + 1);    /* the space is the answer's */
    tiny_close(&r);
}

/* Of ranked answers a method of pairs takes the best and the worst. */
static void extremes_are_a_pair(void **state)
{
    (void)state;
    tiny_run r;
    tiny_open(&r, "dpo", model, ranked, out, "--steps 1 --batch-size 3 --dtype f32 --no-shuffle");
    const lm_microbatch *m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
    assert_int_equal(m->batch.n_segments, 2);
    int64_t first = 0;
    for (int64_t i = 0; i < m->batch.segments[0].nq; i++) first += m->targets[i] >= 0;
    assert_int_equal(first, strlen("ccc") + 1);
    assert_int_equal(m->n_targets, strlen("ccc") + 1 + strlen("bb") + 1);
    tiny_close(&r);
    refused("dpo", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, 1]}\n", "nothing to prefer");
}

/* A pair is a good answer and a bad one, each a block of its own also where packing was asked for. */
static void pairs_are_parted(void **state)
{
    (void)state;
    tiny_run r;
    lm_json *counted;
    double loss;
    tiny_open(&r, "kto", model, pairs, out, "--steps 1 --batch-size 2 --dtype f32 --pack");
    assert_int_equal(r.t.corpus.blocks.n, 6);
    for (int i = 0; i < 6; i++) assert_true(r.t.corpus.data.documents[i].value == (float)(i % 2 == 0));
    tiny_close(&r);

    tiny_parse(&r, "kto", model, pairs, out, "--steps 1 --batch-size 2 --dtype f32 --adapter lora");
    tiny_set(&r, "val-data", labelled);
    assert_int_equal(lm_trainer_open(&r.t, &r.config, &r.err), LM_OK);
    assert_int_equal(lm_trainer_measure(&r.t, &loss, &counted, &r.err), LM_OK);
    assert_true(fabs(loss - 0.5) < 1e-6);                /* the reference itself */
    assert_true(json_real_value(json_object_get(counted, "margin")) == 0);
    lm_json_free(counted);
    tiny_close(&r);
    assert_int_equal(tiny_train(&r, "kto", model, pairs, out, "--batch-size 1"), LM_E_USAGE);
    tiny_expect(&r, LM_E_USAGE, "kto compares the rows of a pass");
    tiny_close(&r);
}

/* A long prompt loses its beginning and nothing else; the answer, also where it is scored, stays whole. */
static void prompts_are_cut_at_their_beginning(void **state)
{
    (void)state;
    static const char prompt[] = "this is the beginning and this the end: ", *const objectives[] = { "dpo", "reward" };
    char *path = tiny_file("long.jsonl", "{\"prompt\": \"this is the beginning and this the end: \", \"chosen\": \"good\", \"rejected\": \"bad\"}\n");
    for (int scores = 0; scores < 2; scores++) {
        tiny_run r;
        char text[11] = { 0 };
        tiny_open(&r, objectives[scores], model, path, out, "--steps 1 --batch-size 1 --dtype f32 --context 10 --truncate");
        const lm_microbatch *m = lm_batcher_fill(&r.t.batches, 0, 1, 1, 1);
        assert_int_equal(m->batch.segments[0].nq, 10);
        for (int j = 0; j < 10 - scores; j++) text[j] = (char)m->batch.ids[j];
        assert_string_equal(text, scores ? "end: good" : " end: good");
        assert_int_equal(m->n_targets, scores ? 2 : 5 + 4);          /* a score each; or the answers with their ends */
        assert_int_equal(r.t.corpus.blocks.n_truncated, 1);
        assert_int_equal(r.t.corpus.blocks.lost, 2 * (strlen(prompt) - (scores ? 10 : 11)) + 5 + 4);
        tiny_close(&r);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_their_equations), cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(swapped_pairs_turn_the_sign), cmocka_unit_test(preferences_are_learnt),     cmocka_unit_test(bad_rows_are_named),
        cmocka_unit_test(prompts_are_shared),         cmocka_unit_test(extremes_are_a_pair),
        cmocka_unit_test(pairs_are_parted),           cmocka_unit_test(prompts_are_cut_at_their_beginning),
        cmocka_unit_test(criteria_have_scores_of_their_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
