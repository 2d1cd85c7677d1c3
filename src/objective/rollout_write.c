#include "objective/rollout_write.h"

#include "token/unicode.h"

#include <stdlib.h>

/* Rows of the cache for as many answers as are written at a time. */
static int64_t rows_for(const lm_rollouts *r, const lm_writing *w)
{
    int64_t longest = 0, at_once = r->n < w->o->at_once ? r->n : w->o->at_once;
    for (int64_t i = 0; i < r->n; i++) {
        const lm_rollout *a = &r->items[i];
        if (a->n_prompt + a->most > longest) longest = a->n_prompt + a->most;
    }
    return at_once * (longest + lm_model_virtual(w->model, 0));
}

lm_status lm_rollouts_write_bytes(size_t *out, const lm_rollouts *r, const lm_writing *w, lm_err *err)
{
    lm_kv kv;
    LM_TRY(lm_kv_init(&kv, w->model, rows_for(r, w), w->compute, LM_ARENA_COUNT, err));
    *out = kv.arena.used + (size_t)(w->o->at_once * w->model->config.vocab_size) * sizeof(float);
    lm_kv_free(&kv);
    return LM_OK;
}

static lm_status add(lm_session *s, lm_sequence **out, lm_rollouts *r, int64_t i, const lm_writing *w, lm_err *err)
{
    const lm_rollout_options *o = w->o;
    const lm_rollout *a = &r->items[i];
    const lm_request request = {
        .prompt = a->ids.data, .n_prompt = a->n_prompt, .stream = w->stream + (uint64_t)i, .max_new_tokens = a->most, .stop = &o->stop,
        .sampling = { .temperature = o->temperature, .top_k = o->top_k, .top_p = o->top_p, .min_p = o->min_p, .repetition_penalty = 1,
                      .seed = (int64_t)w->seed },
    };
    return lm_session_add(s, out, &request, err);
}

static void take(lm_rollout *a, const lm_sequence *q)
{
    a->n = (int64_t)q->ids.len - q->n_prompt;
    lm_ids_append(&a->ids, q->ids.data + q->n_prompt, (size_t)a->n);
    lm_unicode_repair(&a->text, lm_span_of(q->text.data ? q->text.data : "", q->text.len), false);
    a->finish = q->finish;
}

/* Keeps as many under way as there is room for. */
static lm_status run(lm_session *s, lm_rollouts *r, const lm_writing *w, lm_sequence **slots, int64_t *who, int64_t n_slots, lm_err *err)
{
    for (int64_t next = 0, live = 0; next < r->n || live;) {
        for (int64_t i = 0; i < n_slots && next < r->n; i++) {
            if (slots[i]) continue;
            LM_TRY(add(s, &slots[i], r, who[i] = next, w, err));
            next++, live++;
        }
        int64_t running;
        LM_TRY(lm_session_step(s, &running, err));
        for (int64_t i = 0; i < n_slots; i++) {
            if (!slots[i] || slots[i]->finish == LM_FINISH_NOT) continue;
            take(&r->items[who[i]], slots[i]);
            lm_session_drop(s, slots[i]);
            slots[i] = NULL;
            live--;
        }
    }
    return LM_OK;
}

static void pretend(lm_rollouts *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        lm_rollout *a = &r->items[i];
        for (a->n = 0; a->n < a->most; a->n++) lm_ids_push(&a->ids, 0);
        a->finish = LM_FINISH_LENGTH;
    }
}

lm_status lm_rollouts_write(lm_rollouts *r, const lm_writing *w, lm_err *err)
{
    if (!w->k->computes) {
        pretend(r);
        return LM_OK;
    }
    lm_session *s;
    const lm_session_options how = { .context = w->context, .rows = rows_for(r, w), .compute = w->compute, .eos = &w->end_of_turn,
                                     .n_eos = w->end_of_turn >= 0 };
    LM_TRY(lm_session_new(&s, w->model, w->k, w->tokenizer, &how, err));
    int64_t n_slots = w->o->at_once;
    lm_sequence **slots = lm_calloc((size_t)n_slots, sizeof *slots);
    int64_t *who = lm_calloc((size_t)n_slots, sizeof *who);
    lm_status status = run(s, r, w, slots, who, n_slots, err);
    free(slots);
    free(who);
    lm_session_free(s);
    return status;
}
