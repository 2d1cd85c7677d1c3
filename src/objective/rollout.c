#include "objective/rollout.h"

#include "base/log.h"
#include "objective/answer.h"
#include "objective/reference.h"
#include "objective/rollout_write.h"
#include "objective/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct lm_roller {
    const lm_rollout_method *how;
    lm_answers *answers;
    lm_rewards rewards;
    lm_reference reference;
    lm_rollouts now;                         /* of the round at hand */
    lm_params trained, state;
    lm_param *watch;                         /* in state */
    void *own;                               /* the method's */
} lm_roller;

/* ---- at the beginning and in the end ------------------------------------------------------ */

static lm_status declare(lm_roller *r, lm_task *task, lm_err *err)
{
    const lm_kernels *k = task->model->params.k;
    LM_TRY(lm_params_init(&r->trained, k, err));
    LM_TRY(lm_params_init(&r->state, k, err));
    r->watch = lm_watch_declare(&r->state);
    if (r->how->declare) LM_TRY(r->how->declare(task, &r->trained, &r->state, err));
    task->state = &r->state;
    task->trained = r->trained.n ? &r->trained : NULL;
    LM_TRY(lm_params_initialise(&r->trained, 0, err));
    return lm_params_initialise(&r->state, 0, err);
}

lm_status lm_roller_prepare(lm_task *task, lm_err *err)
{
    const lm_rollout_options *o = task->options;
    const lm_kernels *k = task->model->params.k;
    lm_roller *r = task->own = lm_calloc(1, sizeof *r);
    r->how = task->objective->method;
    if (r->how->check) LM_TRY(r->how->check(task->options, err));
    if (o->max_new_tokens >= task->context)
        return lm_fail(err, LM_E_USAGE, "--max-new-tokens %lld: the context holds %lld, the prompt included", (long long)o->max_new_tokens, (long long)task->context);
    LM_TRY(lm_answers_open(&r->answers, task, o->template, err));
    const lm_reward_means means = { .k = k, .patience = o->patience };
    LM_TRY(lm_rewards_open(&r->rewards, &o->rewards, &means, err));
    LM_TRY(lm_reference_open(&r->reference, task->model, err));
    return declare(r, task, err);
}

static void forget(lm_rollouts *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        lm_ids_free(&r->items[i].ids);
        lm_str_free(&r->items[i].text);
    }
    for (int64_t p = 0; p < r->prompts; p++) lm_json_free(r->rows[p]), free(r->places[p]);
    free(r->rows), free(r->places);
    free(r->items), free(r->parts);
    free(r->old), free(r->ref), free(r->advantage), free(r->value), free(r->target);
    *r = (lm_rollouts){0};
}

void lm_roller_release(lm_task *task)
{
    lm_roller *r = task->own;
    task->own = task->trained = task->state = NULL;
    task->companion = NULL;
    if (!r) return;
    forget(&r->now);
    lm_params_free(&r->trained);
    lm_params_free(&r->state);
    lm_answers_close(r->answers);
    lm_rewards_close(&r->rewards);
    lm_reference_close(&r->reference);
    free(r);
}

lm_status lm_roller_finish(const lm_task *task, const char *out, lm_err *err)
{
    return lm_answers_finish(((const lm_roller *)task->own)->answers, out, err);
}

void **lm_roller_own(const lm_task *task) { return &((lm_roller *)task->own)->own; }

/* ---- prompts ---------------------------------------------------------------------------------- */

/* The messages of a row without the answers that it ends with; owned. */
static lm_json *asked(const lm_json *messages)
{
    lm_json *list = json_copy((json_t *)(uintptr_t)messages);
    for (size_t n; (n = json_array_size(list)) > 0; json_array_remove(list, n - 1)) {
        const char *role = json_string_value(json_object_get(json_array_get(list, n - 1), "role"));
        if (!role || strcmp(role, "assistant")) break;
    }
    return list;
}

/* The row for the rewards, its messages without those answers. */
static void put_note(lm_example *out, const lm_json *row)
{
    static const char *const fields[] = { "prompt", "messages" };
    lm_json *kept = json_copy((json_t *)(uintptr_t)row);
    for (int i = 0; i < 2; i++)
        if (json_is_array(lm_json_get(row, fields[i]))) json_object_set_new(kept, fields[i], asked(lm_json_get(row, fields[i])));
    lm_json_text(&out->note, kept, 0);
    lm_json_free(kept);
}

static lm_status encode_chat(const lm_roller *r, lm_ids *ids, const lm_json *row, const lm_json *messages, lm_encoder *encoder, lm_err *err)
{
    lm_json *chat = json_pack("{s:o, s:O*}", "messages", asked(messages), "tools", json_object_get(row, "tools"));
    lm_status status = lm_answers_prompt(r->answers, ids, chat, encoder, err);
    lm_json_free(chat);
    return status;
}

static lm_status encode(const lm_roller *r, lm_ids *ids, const lm_json *row, lm_encoder *encoder, lm_err *err)
{
    const lm_json *prompt = lm_json_get(row, "prompt"), *messages = prompt ? prompt : lm_json_get(row, "messages");
    if (json_is_string(prompt)) return lm_encoder_run(encoder, ids, json_string_value(prompt), json_string_length(prompt), LM_ENCODE_BOS, err);
    if (json_is_array(messages)) return encode_chat(r, ids, row, messages, encoder, err);
    return lm_fail(err, LM_E_FORMAT, "field \"%s\" %s: expected text or a list of messages", messages && !prompt ? "messages" : "prompt",
                   messages ? "is something else" : "is missing");
}

/* A prompt's tokens, and to the packing one thing to learn behind them. */
static lm_status put(const lm_task *task, lm_example *out, const lm_json *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const lm_roller *r = task->own;
    const lm_rollout_options *o = task->options;
    const int32_t anything = 0;
    LM_TRY(lm_rewards_check(&r->rewards, row, err));
    LM_TRY(encode(r, ids, row, encoder, err));
    if (!ids->len) return lm_fail(err, LM_E_FORMAT, "an empty prompt, and the tokenizer puts nothing before a text to begin with");
    if ((int64_t)ids->len + o->max_new_tokens > task->context)
        return lm_fail(err, LM_E_FORMAT, "a prompt of %zu tokens and --max-new-tokens %lld are more than the context of %lld", ids->len,
                       (long long)o->max_new_tokens, (long long)task->context);
    lm_example_put(out, ids->data, ids->len, false);
    lm_example_put(out, &anything, 1, true);
    put_note(out, row);
    return LM_OK;
}

lm_status lm_roller_render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    if (row->object) return put(task, out, row->object, encoder, ids, err);
    lm_json *object = json_pack("{s:s%}", "prompt", row->text.data ? row->text.data : "", row->text.len);
    lm_status status = put(task, out, object, encoder, ids, err);
    lm_json_free(object);
    return status;
}

/* ---- a round: its answers, and what they are worth ------------------------------------------------ */

static void read_rows(lm_rollouts *r, const lm_round *round)
{
    r->prompts = round->n;
    r->rows = lm_calloc((size_t)round->n, sizeof *r->rows);
    r->places = lm_calloc((size_t)round->n, sizeof *r->places);
    for (int64_t p = 0; p < round->n; p++) {
        lm_span note = lm_document_note(round->prompts, round->documents[p]);
        r->rows[p] = lm_json_parse(note.data, note.len, "note", NULL);
        r->places[p] = lm_document_place(round->prompts, round->documents[p]);
    }
}

/* Items with the tokens of their prompts. */
static void ask(lm_rollouts *r, const lm_round *round, int64_t group, int64_t most)
{
    read_rows(r, round);
    r->n = round->n * group;
    r->group = group;
    r->items = lm_calloc((size_t)r->n, sizeof *r->items);
    for (int64_t i = 0; i < r->n; i++) {
        lm_rollout *a = &r->items[i];
        *a = (lm_rollout){ .prompt = i / group, .row = round->documents[i / group], .most = most, .learnt = true };
        const lm_document *d = &round->prompts->documents[a->row];
        a->n_prompt = lm_document_length(round->prompts, a->row) - 1;
        for (int64_t j = 0; j < a->n_prompt; j++) lm_ids_push(&a->ids, lm_token_value(round->prompts->tokens[d->begin + j]));
    }
}

static lm_status write_answers(const lm_task *task, const lm_forward *f, lm_round *round, lm_rollouts *r, lm_err *err)
{
    const lm_rollout_options *o = task->options;
    const lm_rollout_method *how = task->objective->method;
    const uint64_t measured = (uint64_t)1 << 62;
    const lm_writing w = {
        .model = f->m, .k = f->t->k, .tokenizer = task->tokenizer, .compute = f->t->compute, .context = task->context, .o = o,
        .end_of_turn = lm_answers_end_of_turn(((const lm_roller *)task->own)->answers, task->tokenizer), .seed = round->seed,
        .stream = round->learns ? (uint64_t)(round->number * o->prompts * o->group) : measured,
    };
    LM_TRY(lm_rollouts_write_bytes(&round->bytes, r, &w, err));
    return how->write && round->learns && w.k->computes ? how->write(task, r, &w, err) : lm_rollouts_write(r, &w, err);
}

lm_status lm_rollouts_judge(const lm_rewards *rewards, const lm_rollouts *r, const lm_rollout *items, int64_t n, double *total, double *parts, lm_err *err)
{
    lm_attempt *attempts = lm_calloc((size_t)n + 1, sizeof *attempts);
    for (int64_t i = 0; i < n; i++) {
        const lm_rollout *a = &items[i];
        attempts[i] = (lm_attempt){ .row = r->rows[a->prompt], .place = r->places[a->prompt], .text = lm_span_of(a->text.data ? a->text.data : "", a->text.len),
                                    .ended = lm_rollout_ended(a), .n_tokens = a->n };
    }
    lm_status status = lm_rewards_score(rewards, total, parts, attempts, n, err);
    free(attempts);
    return status;
}

static lm_status judge(const lm_roller *roller, lm_rollouts *r, lm_err *err)
{
    double *total = lm_malloc((size_t)(r->n + 1) * sizeof *total);
    r->parts = lm_malloc((size_t)(r->n * roller->rewards.n + 1) * sizeof *r->parts);
    lm_status status = lm_rollouts_judge(&roller->rewards, r, r->items, r->n, total, r->parts, err);
    for (int64_t i = 0; i < r->n && status == LM_OK; i++) r->items[i].reward = total[i];
    free(total);
    return status;
}

/* The answers as documents of the round, and room for what each of their tokens is given. */
static void put_documents(lm_rollouts *r, lm_round *round, bool values)
{
    lm_example e = {0};
    for (int64_t i = 0; i < r->n; i++) {
        lm_rollout *a = &r->items[i];
        const lm_document *row = &round->prompts->documents[a->row];
        e.n = e.n_parts = 0;
        lm_example_put(&e, a->ids.data, (size_t)a->n_prompt, false);
        lm_example_put(&e, a->ids.data + a->n_prompt, (size_t)a->n, true);
        lm_example_end(&e, 1);
        lm_dataset_add(&round->answers, &e, round->prompts->paths[row->path], row->line);
        a->first = r->n_tokens;
        r->n_tokens += a->n;
    }
    lm_example_free(&e);
    size_t n = (size_t)r->n_tokens + 1;
    r->old = lm_calloc(n, sizeof *r->old);
    r->ref = lm_calloc(n, sizeof *r->ref);
    r->advantage = lm_calloc(n, sizeof *r->advantage);
    if (values) r->value = lm_calloc(n, sizeof *r->value), r->target = lm_calloc(n, sizeof *r->target);
}

static lm_status rollout(const lm_task *task, const lm_forward *f, lm_round *round, lm_err *err)
{
    lm_roller *roller = task->own;
    lm_rollouts *r = &roller->now;
    const lm_rollout_options *o = task->options;
    forget(r);
    ask(r, round, round->learns ? o->group : 1, o->max_new_tokens);
    LM_TRY(write_answers(task, f, round, r, err));
    if (f->t->k->computes) LM_TRY(judge(roller, r, err));
    put_documents(r, round, roller->how->value);
    return LM_OK;
}

/* ---- lessons ------------------------------------------------------------------------------------------ */

lm_lessons *lm_lessons_of(const lm_task *task, lm_tape *t, const lm_microbatch *m)
{
    const lm_learnt *tokens = lm_learnt_of(t, m);
    lm_lessons *l = lm_tape_meta(t, sizeof *l);
    if (t->err.code) return NULL;
    *l = (lm_lessons){ .task = task, .m = m, .tokens = tokens, .r = &((lm_roller *)task->own)->now };
    return l;
}

lm_rollout *lm_lesson_rollout(const lm_lessons *l, int64_t s) { return &l->r->items[l->m->documents[s]]; }

/* Rows times 1 / temperature give logits / temperature: the head has no bias. */
lm_tensor *lm_lesson_costs(const lm_forward *f, const lm_lessons *l, lm_tensor *hidden, lm_tensor **entropy)
{
    double temperature = ((const lm_rollout_options *)l->task->options)->temperature;
    if (temperature != 1) hidden = lm_scale(f->t, hidden, (float)(1 / temperature));
    return lm_model_costs(f, hidden, lm_learnt_index(f->t, l->tokens), l->tokens->targets, entropy);
}

/* Numbers by token of a micro-batch, times `sign`, into an array of the round (NULL: none); returns their sum. */
static double fetch(const lm_forward *f, const lm_lessons *l, float *out, const lm_tensor *x, float sign)
{
    double sum = 0;
    float *host = lm_malloc((size_t)l->tokens->n * sizeof *host + 1);
    f->t->k->copy(host, x->data, l->tokens->n * (int64_t)sizeof *host);
    for (int64_t s = 0; s < l->tokens->sequences; s++) {
        int64_t to = lm_lesson_rollout(l, s)->first;
        for (int64_t i = l->tokens->begin[s]; i < l->tokens->begin[s + 1]; i++, to++) {
            if (out) out[to] = sign * host[i];
            sum += (double)host[i];
        }
    }
    free(host);
    return sum;
}

static lm_status look_at_policy(const lm_task *task, const lm_forward *f, const lm_microbatch *m, lm_err *err)
{
    const lm_roller *r = task->own;
    const lm_lessons *l = lm_lessons_of(task, f->t, m);
    if (!l) return lm_fail(err, f->t->err.code, "%s", f->t->err.message);
    lm_tensor *hidden = lm_model_forward(f), *entropy, *cost = lm_lesson_costs(f, l, hidden, &entropy);
    const lm_tensor *value = r->how->value ? r->how->value(f, l, hidden) : NULL;
    if (f->t->err.code) return lm_fail(err, f->t->err.code, "%s", f->t->err.message);
    fetch(f, l, l->r->old, cost, -1);
    if (value) fetch(f, l, l->r->value, value, 1);
    l->r->seen.entropy += fetch(f, l, NULL, entropy, 1);
    return LM_OK;
}

static lm_status look_at_reference(const lm_task *task, const lm_forward *f, const lm_microbatch *m, lm_err *err)
{
    lm_tape_reset(f->t);
    const lm_lessons *l = lm_lessons_of(task, f->t, m);
    const lm_tensor *cost = l ? lm_lesson_costs(f, l, lm_model_forward(f), NULL) : NULL;
    if (f->t->err.code) return lm_fail(err, f->t->err.code, "%s", f->t->err.message);
    fetch(f, l, l->r->ref, cost, -1);
    return LM_OK;
}

lm_status lm_roller_collect(const lm_task *task, const lm_forward *f, lm_microbatch *m, lm_err *err)
{
    const lm_roller *r = task->own;
    LM_TRY(look_at_policy(task, f, m, err));
    const lm_forward reference = lm_reference_enter(&r->reference, f);
    lm_status status = look_at_reference(task, &reference, m, err);
    lm_reference_leave(&r->reference, f);
    return status;
}

/* ---- for the log ------------------------------------------------------------------------------------------ */

static double kl_of(const lm_rollouts *r, const lm_rollout *a)
{
    double kl = 0;
    for (int64_t t = a->first; t < a->first + a->n; t++) kl += (double)r->old[t] - (double)r->ref[t];
    return kl;
}

static void put_number(lm_json *numbers, const char *key, double value)
{
    json_object_set_new(numbers, key, isfinite(value) ? json_real(value) : json_null());
}

static lm_summary summarise(const lm_rollouts *r)
{
    lm_summary s = {0};
    double n = (double)r->n, tokens = r->n_tokens ? (double)r->n_tokens : 1;
    for (int64_t i = 0; i < r->n; i++) {
        const lm_rollout *a = &r->items[i];
        s.reward += a->reward / n;
        s.length += (double)a->n / n;
        s.ended += lm_rollout_ended(a) / n;
        s.kl += kl_of(r, a) / n;
    }
    for (int64_t i = 0; i < r->n; i++) s.spread += (r->items[i].reward - s.reward) * (r->items[i].reward - s.reward) / n;
    s.spread = sqrt(s.spread);
    s.entropy = r->seen.entropy / tokens;
    for (int64_t t = 0; t < r->n_tokens; t++) {
        double apart = (double)r->ref[t] - (double)r->old[t];
        s.drift -= apart / tokens;
        s.kl_per_token += (exp(apart) - apart - 1) / tokens;
    }
    return s;
}

static lm_json *numbers_of(const lm_rollouts *r, const lm_rewards *rewards, const lm_summary *s)
{
    lm_json *numbers = json_object();
    lm_str key = {0};
    put_number(numbers, "reward", s->reward);
    put_number(numbers, "reward_std", s->spread);
    for (int k = 0; k < rewards->n && rewards->n > 1; k++) {
        double mean = 0;
        for (int64_t i = 0; i < r->n; i++) mean += r->parts[i * rewards->n + k] / (double)r->n;
        lm_str_clear(&key);
        lm_str_printf(&key, "reward/%s", rewards->parts[k].label);
        put_number(numbers, key.data, mean);
    }
    put_number(numbers, "kl", s->kl);
    put_number(numbers, "kl_per_token", s->kl_per_token);
    put_number(numbers, "entropy", s->entropy);
    put_number(numbers, "length", s->length);
    put_number(numbers, "ended", s->ended);
    lm_str_free(&key);
    return numbers;
}

static lm_json *table_row(const lm_task *task, const lm_rollouts *r, int64_t i)
{
    const lm_roller *roller = task->own;
    const lm_rollout *a = &r->items[i];
    lm_json *source = r->rows[a->prompt], *prompt = lm_json_get(source, "prompt");
    lm_json *row = json_pack("{s:s, s:O, s:s%, s:f, s:f, s:s, s:I}", "row", r->places[a->prompt], "prompt", prompt ? prompt : lm_json_get(source, "messages"),
                             "answer", a->text.data ? a->text.data : "", a->text.len, "reward", a->reward, "advantage", a->advantage,
                             "finish", lm_finish_name(a->finish), "tokens", (json_int_t)a->n);
    put_number(row, "kl", kl_of(r, a));
    if (!a->learnt) json_object_set_new(row, "learnt", json_false());
    lm_json *parts = json_object();
    for (int k = 0; k < roller->rewards.n; k++) put_number(parts, roller->rewards.parts[k].label, r->parts[i * roller->rewards.n + k]);
    json_object_set_new(row, "parts", parts);
    if (!((const lm_rollout_options *)task->options)->show_ids) return row;
    lm_json *ids = json_array();
    for (size_t t = 0; t < a->ids.len; t++) json_array_append_new(ids, json_integer(a->ids.data[t]));
    json_object_set_new(row, "ids", ids);
    return row;
}

static lm_status credit(const lm_task *task, lm_round *round, lm_err *err)
{
    lm_roller *roller = task->own;
    lm_rollouts *r = &roller->now;
    const lm_rollout_options *o = task->options;
    const lm_summary s = summarise(r);
    round->numbers = numbers_of(r, &roller->rewards, &s);
    if (o->max_kl > 0 && !(s.drift <= o->max_kl))
        return lm_fail(err, LM_E_NUMERIC, "step %lld: the policy is %.3g nats a token from the reference, --max-kl allows %g; a lower --lr or "
                       "a higher --beta may help", (long long)round->number + 1, s.drift, o->max_kl);
    lm_watch_look(roller->watch, &s, round->learns);
    if (!round->learns) return LM_OK;
    roller->how->credit(task, r, round->numbers);
    for (int64_t i = 0; i < r->n; i++)
        if (!r->items[i].learnt) round->answers.documents[i].value = 0;
    round->table = json_array();
    for (int64_t i = 0; i < r->n && i < o->shown; i++) json_array_append_new(round->table, table_row(task, r, i));
    return LM_OK;
}

/* What the updates saw. */
static void close_round(const lm_task *task, lm_round *round)
{
    const lm_rollouts *r = &((const lm_roller *)task->own)->now;
    if (r->seen.tokens <= 0) return;
    put_number(round->numbers, "clip_fraction", r->seen.clipped / r->seen.tokens);
    put_number(round->numbers, "policy_drift", r->seen.drift / r->seen.tokens);
}

/* Whether the last update found the policy near enough to the one that answered. */
static bool goes_on(const lm_task *task)
{
    const lm_rollout_options *o = task->options;
    lm_rollouts *r = &((lm_roller *)task->own)->now;
    double drift = r->seen.drift - r->seen.drift_before, tokens = r->seen.tokens - r->seen.tokens_before;
    r->seen.drift_before = r->seen.drift;
    r->seen.tokens_before = r->seen.tokens;
    return o->stop_kl <= 0 || drift <= o->stop_kl * tokens;
}

static int64_t prompts(const lm_task *task) { return ((const lm_rollout_options *)task->options)->prompts; }
static int64_t passes(const lm_task *task) { return ((const lm_rollout_options *)task->options)->passes; }

const lm_rounds lm_roller_rounds = { .prompts = prompts, .passes = passes, .rollout = rollout, .credit = credit, .goes_on = goes_on,
                                     .close = close_round };
