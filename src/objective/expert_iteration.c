/* Expert iteration: a search that a process reward model guides finds better answers than the model by itself, and
 * the model learns them.
 *
 *   expert      each prompt has --group unfinished answers; each is continued --expand times by a step (up to
 *               --step-separator); --guide judges what then stands there, and the best --group go on, until all have ended
 *   apprentice  the best answer found, if --reward finds it worth --least:  loss = - 1/n sum log p(y_t | x, y_<t)
 *
 * Of answers with the same reward the one that the guide likes best is learnt.  Continuations that are the same are
 * one.  Held-out prompts are answered without a search: they measure the apprentice.
 *
 * Sources: Anthony et al. 2017, "Thinking Fast and Slow with Deep Learning and Tree Search", algorithm 1; Snell et al.
 * 2024, "Scaling LLM Test-Time Compute Optimally", section 5.2 (beam search against a process reward model). */
#include "objective/rollout_write.h"
#include "objective/steps.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    lm_rollout_options shared;
    lm_strings guides;
    const char *separator;
    int64_t expand;
    double least;
} settings;

static const lm_option options[] = {
    LM_OPTION_ROLLOUT(settings, "4", "1"),
    LM_OPTION(LIST, settings, guides, "guide", .required = true, .metavar = "KIND,..", .help = "what an unfinished answer is worth, as for --reward: steps:FOLDER is a process reward model"),
    LM_OPTION(INT, settings, expand, "expand", .fallback = "4", .min = 1, .max = 1 << 12, .help = "continuations of each answer at each step"),
    LM_OPTION(STRING, settings, separator, "step-separator", .metavar = "TEXT", .help = "text that ends a step (default: \\n, a new line)"),
    LM_OPTION(REAL, settings, least, "least", .fallback = "1", .min = -1e9, .max = 1e9, .help = "reward from which on an answer is learnt"),
    { 0 },
};

static lm_status prepare(lm_task *task, lm_err *err)
{
    const settings *o = task->options;
    LM_TRY(lm_roller_prepare(task, err));
    if (o->separator && !*o->separator) return lm_fail(err, LM_E_USAGE, "--step-separator is empty: nothing ends a step");
    if (o->shared.stop.n) return lm_fail(err, LM_E_USAGE, "--stop: the answers of a search end where the text ends");
    lm_rewards *guides = *lm_roller_own(task) = lm_calloc(1, sizeof *guides);
    const lm_reward_means means = { .k = task->model->params.k, .patience = o->shared.patience };
    return lm_rewards_open(guides, &o->guides, &means, err) == LM_OK ? LM_OK : lm_context(err, "--guide");
}

static void release(lm_task *task)
{
    lm_rewards *guides = task->own ? *lm_roller_own(task) : NULL;
    if (guides) lm_rewards_close(guides);
    free(guides);
    lm_roller_release(task);
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    if (row->object) LM_TRY(lm_rewards_check(*lm_roller_own(task), row->object, err));
    return lm_roller_render(task, out, row, encoder, ids, err);
}

/* ---- the search: answers under way are rollouts whose advantage is what the guide says of them ---- */

/* Those of all prompts, in the order of the prompts. */
typedef struct frontier {
    lm_rollout *items;
    int64_t n;
} frontier;

static lm_rollout copy_of(const lm_rollout *a)
{
    lm_rollout b = *a;
    b.ids = (lm_ids){0}, b.text = (lm_str){0};
    lm_ids_append(&b.ids, a->ids.data, a->ids.len);
    lm_str_append(&b.text, a->text.data, a->text.len);
    return b;
}

static void drop(lm_rollout *a)
{
    lm_ids_free(&a->ids);
    lm_str_free(&a->text);
}

static void drop_all(frontier *f)
{
    for (int64_t i = 0; i < f->n; i++) drop(&f->items[i]);
    free(f->items);
    *f = (frontier){0};
}

/* A step is over where its separator came up; the answer is where the model or its length ended it. */
static bool is_over(const lm_rollout *a) { return a->finish == LM_FINISH_EOS || a->finish == LM_FINISH_LENGTH || a->finish == LM_FINISH_CONTEXT; }

static bool all_over(const frontier *f)
{
    for (int64_t i = 0; i < f->n; i++)
        if (!is_over(&f->items[i])) return false;
    return true;
}

/* Every answer under way --expand times (the same prompt, which all begin with, as often as the first steps are
 * to be many), and those that are over as they are. */
static frontier spread(const frontier *from, int64_t expand)
{
    frontier f = { .items = lm_calloc((size_t)(from->n * expand), sizeof *f.items) };
    for (int64_t i = 0; i < from->n; i++)
        for (int64_t j = 0; j < (is_over(&from->items[i]) ? 1 : expand); j++) f.items[f.n++] = copy_of(&from->items[i]);
    return f;
}

/* The text of an answer so far, as it stands behind its prompt. */
static lm_status decode(const lm_task *task, lm_rollout *a, lm_err *err)
{
    lm_str prompt = {0}, text = {0};
    lm_decoder *decoder = lm_decoder_new(task->tokenizer, LM_DECODE_SKIP_SPECIAL);
    lm_status status = LM_OK;
    for (int64_t i = 0; i < (int64_t)a->ids.len && status == LM_OK; i++)
        status = lm_decoder_push(decoder, a->ids.data[i], i < a->n_prompt ? &prompt : &text, err);
    lm_decoder_finish(decoder, &text);
    lm_str_clear(&a->text);
    lm_unicode_repair(&a->text, lm_span_of(text.data ? text.data : "", text.len), false);
    lm_decoder_free(decoder);
    lm_str_free(&prompt);
    lm_str_free(&text);
    return status;
}

/* One more step for those that are not over. */
static lm_status step(const lm_task *task, frontier *f, const lm_writing *w, lm_err *err)
{
    const settings *o = task->options;
    lm_str separator = {0};
    lm_step_separator(&separator, task->model, o->separator);
    lm_rollout_options one = o->shared;
    one.stop = (lm_strings){ .items = &separator.data, .n = 1 };
    lm_writing how = *w;
    how.o = &one;
    lm_rollouts live = { .items = lm_calloc((size_t)f->n, sizeof *live.items) };
    int64_t *from = lm_calloc((size_t)f->n, sizeof *from);
    for (int64_t i = 0; i < f->n; i++) {
        if (is_over(&f->items[i])) continue;
        lm_rollout *a = &live.items[live.n];
        from[live.n++] = i;
        *a = f->items[i];                                    /* takes ids and text along */
        a->n_prompt = (int64_t)a->ids.len;
        a->most = o->shared.max_new_tokens - a->n;
        lm_str_clear(&a->text);
    }
    lm_status status = lm_rollouts_write(&live, &how, err);
    for (int64_t i = 0; i < live.n; i++) {
        lm_rollout *a = &f->items[from[i]];
        int64_t n_prompt = a->n_prompt, n = a->n + live.items[i].n;
        *a = live.items[i];
        a->n_prompt = n_prompt, a->n = n;
        if (status == LM_OK) status = decode(task, a, err);
    }
    free(from);
    free(live.items);
    lm_str_free(&separator);
    return status;
}

static lm_status guide(const lm_task *task, const lm_rollouts *r, frontier *f, lm_err *err)
{
    const lm_rewards *guides = *lm_roller_own(task);
    double *total = lm_malloc((size_t)(f->n + 1) * sizeof *total), *parts = lm_malloc((size_t)(f->n * guides->n + 1) * sizeof *parts);
    lm_status status = lm_rollouts_judge(guides, r, f->items, f->n, total, parts, err);
    for (int64_t i = 0; i < f->n && status == LM_OK; i++) f->items[i].advantage = total[i];
    free(total), free(parts);
    return status == LM_OK ? LM_OK : lm_context(err, "--guide");
}

static bool same(const lm_rollout *a, const lm_rollout *b)
{
    return a->ids.len == b->ids.len && !memcmp(a->ids.data, b->ids.data, a->ids.len * sizeof *a->ids.data);
}

/* The best `most` of the answers to one prompt, [begin, end), without repetitions, moved to the front; of equals the
 * first.  Returns where they end. */
static int64_t keep_best(lm_rollout *items, int64_t begin, int64_t end, int64_t most)
{
    int64_t kept = begin;
    for (; kept < end && kept - begin < most; kept++) {
        int64_t best = -1;
        for (int64_t i = kept; i < end; i++) {
            bool again = false;
            for (int64_t j = begin; j < kept && !again; j++) again = same(&items[i], &items[j]);
            if (!again && (best < 0 || items[i].advantage > items[best].advantage)) best = i;
        }
        if (best < 0) break;
        lm_rollout chosen = items[best];
        memmove(items + kept + 1, items + kept, (size_t)(best - kept) * sizeof *items);
        items[kept] = chosen;
    }
    return kept;
}

static void prune(frontier *f, int64_t most)
{
    int64_t to = 0;
    for (int64_t begin = 0, end; begin < f->n; begin = end) {
        for (end = begin + 1; end < f->n && f->items[end].prompt == f->items[begin].prompt; end++) {}
        int64_t kept = keep_best(f->items, begin, end, most);
        for (int64_t i = kept; i < end; i++) drop(&f->items[i]);
        memmove(f->items + to, f->items + begin, (size_t)(kept - begin) * sizeof *f->items);
        to += kept - begin;
    }
    f->n = to;
}

/* One answer a prompt to begin with, from which as many first steps are drawn as all of a group would take. */
static frontier roots(const lm_rollouts *r, int64_t expand)
{
    frontier one = { .items = lm_calloc((size_t)r->n, sizeof *one.items) };
    for (int64_t p = 0; p < r->n; p += r->group) one.items[one.n++] = copy_of(&r->items[p]);
    frontier f = spread(&one, r->group * expand);
    drop_all(&one);
    return f;
}

/* A prompt whose search ended in fewer answers than --group has the last of them again. */
static void take(lm_rollouts *r, const frontier *f)
{
    for (int64_t i = 0, at = 0; i < r->n; i++) {
        while (f->items[at].prompt != r->items[i].prompt) at++;
        drop(&r->items[i]);
        r->items[i] = copy_of(&f->items[at]);
        if (at + 1 < f->n && f->items[at + 1].prompt == r->items[i].prompt) at++;
    }
}

static lm_status search(const lm_task *task, lm_rollouts *r, const lm_writing *w, lm_err *err)
{
    const settings *o = task->options;
    lm_writing now = *w;
    now.stream = w->stream * (uint64_t)(o->expand * o->shared.max_new_tokens);       /* steps of a round have streams of their own */
    frontier f = roots(r, o->expand);
    lm_status status = LM_OK;
    for (bool first = true; status == LM_OK && !all_over(&f); first = false) {
        frontier next = first ? f : spread(&f, o->expand);
        if (!first) drop_all(&f);
        f = next;
        status = step(task, &f, &now, err);
        now.stream += (uint64_t)f.n;
        if (status == LM_OK) status = guide(task, r, &f, err);
        if (status == LM_OK) prune(&f, r->group);
    }
    if (status == LM_OK) take(r, &f);
    drop_all(&f);
    return status;
}

/* ---- what is learnt ---- */

static void credit(const lm_task *task, lm_rollouts *r, lm_json *numbers)
{
    const settings *o = task->options;
    double kept = 0, prompts = (double)(r->n / r->group), liked = 0;
    for (int64_t begin = 0; begin < r->n; begin += r->group) {
        int64_t best = begin;
        for (int64_t i = begin; i < begin + r->group; i++) {
            const lm_rollout *a = &r->items[i], *b = &r->items[best];
            if (a->reward > b->reward || (a->reward == b->reward && a->advantage > b->advantage)) best = i;
            liked += a->advantage / (double)r->n;
        }
        for (int64_t i = begin; i < begin + r->group; i++) r->items[i].learnt = i == best && r->items[i].reward >= o->least;
        kept += r->items[best].learnt;
    }
    json_object_set_new(numbers, "kept", json_real(kept / prompts));
    json_object_set_new(numbers, "guide", json_real(liked));
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return lm_next_token_loss(f, m);
}

static const lm_rollout_method method = { .write = search, .credit = credit };

const lm_objective lm_objective_expert_iteration = {
    .name = "expert_iteration", .source = "Anthony et al. 2017, algorithm 1; Snell et al. 2024, section 5.2",
    .help = "learn the answers that a search finds, step by step, by a process reward model",
    .method = &method, .options = options, .options_size = sizeof(settings), .prepare = prepare, .release = release, .render = render,
    .collect = lm_roller_collect, .rounds = &lm_roller_rounds, .loss = loss, .finish = lm_roller_finish,
};
