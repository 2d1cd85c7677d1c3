/* Rounds: a step of a run whose objective learns from what the model itself answers.
 *
 *   1. rollout   some prompts, in the order of the data, are answered and the answers judged
 *   2. collect   one look at every answer without gradients: log-probabilities as they are before any update
 *   3. credit    rewards become what each token is worth
 *   4. update    --batch-size times --accumulate answers an update, all of them as often as the objective says
 *
 * What a round does follows from the weights, the seed and the step, so a killed one is made again and nothing
 * of it stands in a checkpoint. */
#include "train/trainer.h"

#include <stdlib.h>

/* ---- the answers ---- */

static void choose_prompts(lm_experience *x, const lm_batcher *from, int64_t begin, int64_t n)
{
    x->documents = lm_malloc((size_t)n * sizeof *x->documents);
    for (int64_t i = 0; i < n; i++) {
        int64_t block = lm_batcher_block(from, begin + i);
        x->documents[i] = from->blocks->pieces[from->blocks->first[block]].document;
    }
}

/* Every answer a block, in an order of their own in each pass. */
static lm_status lay_out(lm_experience *x, const lm_trainer *t, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    lm_part none;
    if (!x->round.answers.n) return LM_OK;
    LM_TRY(lm_blocks_make(&x->blocks, &x->round.answers, &(lm_pack_options){ .context = t->context, .longer = LM_LONGER_REFUSE }, err));
    LM_TRY(lm_part_split(&x->all, &none, &x->blocks, 0, 0, err));
    lm_part_free(&none);
    uint64_t seed = x->round.seed ^ ((uint64_t)x->round.number + 1) * UINT64_C(0x9E3779B97F4A7C15);
    lm_batcher_init(&x->batches, &x->round.answers, &x->blocks, &x->all, o->batch_size, o->shuffle, seed);
    return LM_OK;
}

lm_status lm_experience_open(lm_experience *x, lm_trainer *t, const lm_batcher *from, int64_t begin, int64_t n, bool learns, lm_err *err)
{
    *x = (lm_experience){0};
    choose_prompts(x, from, begin, n);
    x->round = (lm_round){ .number = t->at.step, .seed = (uint64_t)t->c->o->seed, .learns = learns, .prompts = from->data,
                           .documents = x->documents, .n = n };
    lm_tape_reset(&t->tape);
    t->tape.recording = t->tape.training = false;
    lm_status status = t->task.objective->rounds->rollout(&t->task, &t->forward, &x->round, err);
    if (status == LM_OK) status = lay_out(x, t, err);
    if (status != LM_OK) lm_experience_close(x);
    return status;
}

void lm_experience_close(lm_experience *x)
{
    lm_batcher_free(&x->batches);
    lm_part_free(&x->all);
    lm_blocks_free(&x->blocks);
    lm_dataset_free(&x->round.answers);
    lm_json_free(x->round.numbers);
    lm_json_free(x->round.table);
    free(x->documents);
    *x = (lm_experience){0};
}

/* ---- what happens to them ---- */

static lm_status judge(lm_trainer *t, lm_experience *x, lm_err *err)
{
    int64_t size = t->c->o->batch_size;
    lm_batcher in_order;
    lm_status status = LM_OK;
    lm_batcher_init(&in_order, &x->round.answers, &x->blocks, &x->all, size, false, 0);
    for (int64_t at = 0; at < x->all.n && status == LM_OK; at += size) {
        lm_batcher_fill(&in_order, at, x->all.n - at < size ? x->all.n - at : size, 1, 1);
        status = lm_trainer_collect(t, &in_order.at, err);
    }
    lm_batcher_free(&in_order);
    LM_TRY(status);
    status = t->task.objective->rounds->credit(&t->task, &x->round, err);
    t->astray = status == LM_E_NUMERIC;
    return status;
}

/* Leaves those to learn from.  Every answer is a block by itself. */
static void keep_learnt(lm_experience *x)
{
    int64_t n = 0;
    for (int64_t i = 0; i < x->all.n; i++)
        if (x->round.answers.documents[x->blocks.pieces[x->all.blocks[i]].document].value != 0) x->all.blocks[n++] = x->all.blocks[i];
    x->all.n = n;
}

/* Every pass over the answers; *updates is how many were made. */
static lm_status learn(lm_trainer *t, lm_experience *x, int64_t *updates, lm_step_report *r, lm_err *err)
{
    const lm_rounds *rounds = t->task.objective->rounds;
    int64_t per = t->c->o->batch_size * t->c->o->accumulate, n = x->all.n, passes = rounds->passes(&t->task);
    *updates = 0;
    for (int64_t pass = 0; pass < passes; pass++)
        for (int64_t at = 0; at < n; at += per) {
            int64_t begin = pass * n + at, end = at + per < n ? begin + per : (pass + 1) * n;
            LM_TRY(lm_trainer_update(t, &x->batches, begin, end, r, err));
            ++*updates;
            if (rounds->goes_on && !rounds->goes_on(&t->task)) return LM_OK;
        }
    return LM_OK;
}

static lm_status run_round(lm_trainer *t, lm_experience *x, lm_step_report *r, lm_err *err)
{
    int64_t updates;
    LM_TRY(judge(t, x, err));
    keep_learnt(x);
    LM_TRY(learn(t, x, &updates, r, err));
    if (updates) r->loss /= (double)updates, r->grad_norm /= (double)updates;
    if (t->task.objective->rounds->close) t->task.objective->rounds->close(&t->task, &x->round);
    json_object_set_new(x->round.numbers, "updates", json_integer((json_int_t)updates));
    r->numbers = json_incref(x->round.numbers);
    r->table = x->round.table ? json_incref(x->round.table) : NULL;
    return LM_OK;
}

lm_status lm_trainer_round(lm_trainer *t, lm_step_report *r, lm_err *err)
{
    int64_t begin = t->at.step * t->per_step, n = t->n_blocks - begin < t->per_step ? t->n_blocks - begin : t->per_step;
    lm_experience x;
    LM_TRY(lm_experience_open(&x, t, &t->batches, begin, n, true, err));
    lm_status status = run_round(t, &x, r, err);
    lm_experience_close(&x);
    return status;
}

lm_status lm_trainer_measure_round(lm_trainer *t, double *loss, lm_json **counted, lm_err *err)
{
    lm_experience x;
    LM_TRY(lm_experience_open(&x, t, &t->val_batches, 0, t->val.n, false, err));
    lm_status status = judge(t, &x, err);
    if (status == LM_OK) {
        *loss = -json_number_value(json_object_get(x.round.numbers, "reward"));
        *counted = json_incref(x.round.numbers);
    }
    lm_experience_close(&x);
    return status;
}
