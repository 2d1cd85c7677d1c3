#include "objective/reference.h"

#include "nn/adapter.h"

lm_status lm_reference_open(lm_reference *r, const lm_model *model, lm_err *err)
{
    *r = (lm_reference){0};
    for (const lm_adapter *a = model->adapters; a; a = a->next)
        if (a->on) r->acting |= (uint64_t)1 << a->slot;
    return model->adapters ? LM_OK : lm_model_load(&r->copy, model->path, model->params.k, err);
}

void lm_reference_close(lm_reference *r)
{
    lm_model_free(r->copy);
    *r = (lm_reference){0};
}

static void switch_adapters(const lm_reference *r, const lm_forward *f, bool on)
{
    for (lm_adapter *a = r->copy ? NULL : f->m->adapters; a; a = a->next)
        if (r->acting >> a->slot & 1) lm_adapter_switch(a, on);
}

lm_forward lm_reference_enter(const lm_reference *r, const lm_forward *f)
{
    lm_forward reference = *f;
    if (r->copy) reference.m = r->copy;
    switch_adapters(r, f, false);
    return reference;
}

void lm_reference_leave(const lm_reference *r, const lm_forward *f) { switch_adapters(r, f, true); }
