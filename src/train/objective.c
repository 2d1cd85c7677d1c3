#include "train/objective.h"

#include <string.h>

const lm_objective *lm_objective_find(const char *name)
{
    for (const lm_objective *const *o = lm_objective_registry; *o; o++)
        if (!strcmp((*o)->name, name)) return *o;
    return NULL;
}

void lm_task_end(const lm_task *task, lm_ids *ids)
{
    if (task->eos >= 0 && (!ids->len || ids->data[ids->len - 1] != task->eos)) lm_ids_push(ids, task->eos);
}

lm_tensor *lm_next_token_loss(const lm_forward *f, const lm_microbatch *m)
{
    lm_tensor *hidden = lm_model_forward(f);
    return lm_cross_entropy(f->t, hidden, f->m->head, m->targets, &(lm_cross_entropy_options){ .weights = m->weights });
}
