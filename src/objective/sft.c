/* Supervised fine-tuning: the model learns to answer.
 *
 *   loss = - 1/n sum log p(x_i | x_0 .. x_{i-1})      over the n tokens of answers
 *
 * A row is an object with a prompt and its completion.  The prompt's tokens are exactly those that
 * `generate` will make of it; the answer's are those of the joint text where it divides there, and
 * otherwise those of the answer alone.  An answer ends with the end-of-text token, which is learnt.
 * Source: Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
 * section 3.5; loss on answers alone as in Touvron et al. 2023 (LLaMA 2), section 3.1. */
#include "train/objective.h"

#include <string.h>

static const char *const parts[] = { "answers", "all", NULL };
enum { ON_ANSWERS, ON_ALL };

typedef struct settings {
    const char *prompt, *completion;
    int loss_on;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"),
    LM_OPTION(STRING, settings, completion, "completion-field", .fallback = "completion", .metavar = "NAME", .help = "field that answers"),
    LM_OPTION(CHOICE, settings, loss_on, "loss-on", .fallback = "answers", .choices = parts, .help = "what is learnt"),
    { 0 },
};

/* ids: prompt and answer; returns how many of them are the prompt. */
static lm_status encode_pair(lm_ids *ids, size_t *n_prompt, lm_span prompt, lm_span answer, lm_encoder *encoder, lm_err *err)
{
    lm_ids asked = {0};
    lm_str joint = {0};
    lm_str_append(&joint, prompt.data, prompt.len);
    lm_str_append(&joint, answer.data, answer.len);
    lm_status status = lm_encoder_run(encoder, &asked, prompt.data, prompt.len, LM_ENCODE_BOS, err);
    if (status == LM_OK) status = lm_encoder_run(encoder, ids, joint.data, joint.len, LM_ENCODE_BOS, err);
    bool divides = asked.len <= ids->len && (!asked.len || !memcmp(asked.data, ids->data, asked.len * sizeof *asked.data));
    if (status == LM_OK && !divides) {
        lm_ids_clear(ids);
        lm_ids_append(ids, asked.data, asked.len);
        status = lm_encoder_run(encoder, ids, answer.data, answer.len, 0, err);
    }
    *n_prompt = asked.len;
    lm_ids_free(&asked);
    lm_str_free(&joint);
    return status;
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    lm_span prompt, answer;
    size_t n_prompt;
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with \"%s\" and \"%s\", found plain text", o->prompt, o->completion);
    LM_TRY(lm_row_text(row, o->prompt, &prompt, err));
    LM_TRY(lm_row_text(row, o->completion, &answer, err));
    if (!answer.len) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no token to learn", o->completion);
    LM_TRY(encode_pair(ids, &n_prompt, prompt, answer, encoder, err));
    lm_task_end(task, ids);
    lm_example_put(out, ids->data, n_prompt, o->loss_on == ON_ALL);
    lm_example_put(out, ids->data + n_prompt, ids->len - n_prompt, true);
    return LM_OK;
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return lm_next_token_loss(f, m);
}

const lm_objective lm_objective_sft = {
    .name = "sft", .source = "Ouyang et al. 2022, section 3.5; Touvron et al. 2023 (LLaMA 2), section 3.1",
    .help = "learn to answer, from prompts and completions",
    .options = options, .options_size = sizeof(settings), .render = render, .loss = loss,
};
