/* Supervised fine-tuning: the model learns to answer.
 *
 *   loss = - 1/n sum log p(x_i | x_0 .. x_{i-1})      over the n tokens of answers
 *
 * A row is a chat, {"messages": [...]}, or a prompt with its completion.
 *
 * Both become tokens as objective/answer.h says.
 *
 * Source: Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
 * section 3.5; loss on answers alone as in Touvron et al. 2023 (LLaMA 2), section 3.1. */
#include "objective/answer.h"

static const char *const parts[] = { "answers", "all", NULL };
enum { ON_ANSWERS, ON_ALL };

typedef struct settings {
    const char *prompt, *completion, *template;
    int loss_on;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"),
    LM_OPTION(STRING, settings, completion, "completion-field", .fallback = "completion", .metavar = "NAME", .help = "field that answers"),
    LM_OPTION(STRING, settings, template, "chat-template", .metavar = "FILE", .help = "a template to use for chats instead of the model's"),
    LM_OPTION(CHOICE, settings, loss_on, "loss-on", .fallback = "answers", .choices = parts, .help = "what is learnt"),
    { 0 },
};

static lm_status prepare(lm_task *task, lm_err *err)
{
    const settings *o = task->options;
    lm_answers *a = NULL;
    lm_status status = lm_answers_open(&a, task, o->template, err);
    task->own = a;
    return status;
}

static void release(lm_task *task)
{
    lm_answers_close(task->own);
    task->own = NULL;
}

static lm_status finish(const lm_task *task, const char *out, lm_err *err) { return lm_answers_finish(task->own, out, err); }

static lm_status render_pair(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    lm_span prompt, answer;
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with \"messages\", or with \"%s\" and \"%s\", found plain text", o->prompt, o->completion);
    LM_TRY(lm_row_text(row, o->prompt, &prompt, err));
    LM_TRY(lm_row_text(row, o->completion, &answer, err));
    if (!answer.len) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no token to learn", o->completion);
    return lm_answers_text(task, out, prompt, answer, o->loss_on == ON_ALL, encoder, ids, err);
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    if (!lm_row_has(row, "messages")) return render_pair(task, out, row, encoder, ids, err);
    return lm_answers_chat(task->own, out, row->object, 0, o->loss_on == ON_ALL, encoder, ids, err);
}

static lm_tensor *loss(const lm_task *task, const lm_forward *f, const lm_microbatch *m)
{
    (void)task;
    return lm_next_token_loss(f, m);
}

const lm_objective lm_objective_sft = {
    .name = "sft", .source = "Ouyang et al. 2022, section 3.5; Touvron et al. 2023 (LLaMA 2), section 3.1",
    .help = "learn to answer, from chats (\"messages\") or prompts and completions",
    .options = options, .options_size = sizeof(settings), .prepare = prepare, .release = release,
    .render = render, .finish = finish, .loss = loss,
};
