#include "train/objective.h"

#include <string.h>

const lm_objective *lm_objective_find(const char *name)
{
    for (const lm_objective *const *o = lm_objective_registry; *o; o++)
        if (!strcmp((*o)->name, name)) return *o;
    return NULL;
}

static lm_status render(const void *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    return ((const lm_task *)task)->objective->render(task, out, row, encoder, ids, err);
}

lm_renderer lm_task_renderer(const lm_task *task) { return (lm_renderer){ .render = render, .context = task }; }

int32_t lm_task_eos(const lm_model *m, const lm_tokenizer *tk)
{
    int32_t eos = lm_eos_id(tk);
    return eos < 0 && m->config.n_eos ? (int32_t)m->config.eos_id[0] : eos;
}

void lm_task_end(const lm_task *task, lm_ids *ids)
{
    if (task->eos >= 0 && (!ids->len || ids->data[ids->len - 1] != task->eos)) lm_ids_push(ids, task->eos);
}

lm_status lm_task_fit(const lm_task *task, lm_example *out, lm_ids *ids, lm_err *err)
{
    if ((int64_t)ids->len <= task->context) return LM_OK;
    if (!task->truncate)
        return lm_fail(err, LM_E_FORMAT, "%zu tokens, more than the context of %lld: give --truncate to cut them off, or a larger --context",
                       ids->len, (long long)task->context);
    out->lost = (int64_t)ids->len - task->context;
    ids->len = (size_t)task->context;
    return LM_OK;
}

lm_tensor *lm_next_token_loss(const lm_forward *f, const lm_microbatch *m)
{
    lm_tensor *hidden = lm_model_forward(f);
    return lm_model_loss(f, hidden, m->targets, &(lm_cross_entropy_options){ .weights = m->weights });
}
