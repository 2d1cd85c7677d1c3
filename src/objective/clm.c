/* Causal language modelling: every token is predicted from those before it.
 *
 *   loss = - 1/n sum_i log p(x_i | x_0 .. x_{i-1})      over all n tokens of a step but first ones
 *
 * A row is a text: a file, or the field --field of an object.  It is learnt with the tokenizer's own
 * beginning and with the end-of-text token, and cut into blocks where it is longer than the context. */
#include "train/objective.h"

typedef struct settings {
    const char *field;
    bool eos;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, field, "field", .fallback = "text", .metavar = "NAME", .help = "field of a row that holds its text"),
    LM_OPTION(FLAG, settings, eos, "eos", .fallback = "true", .help = "end each text with the end-of-text token"),
    { 0 },
};

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    lm_span text;
    LM_TRY(lm_row_text(row, o->field, &text, err));
    LM_TRY(lm_encoder_run(encoder, ids, text.data, text.len, LM_ENCODE_SPECIAL, err));
    if (o->eos && text.len) lm_task_end(task, ids);
    lm_example_put(out, ids->data, ids->len, true);
    return LM_OK;
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return lm_next_token_loss(f, m);
}

const lm_objective lm_objective_clm = {
    .name = "clm", .source = "Bengio et al. 2003; Radford et al. 2019",
    .help = "predict the next token of plain text: pretraining, and adapting to a domain or an author",
    .options = options, .options_size = sizeof(settings), .packs = true, .splits = true,
    .render = render, .loss = loss,
};
