/* Supervised fine-tuning: the model learns to answer.
 *
 *   loss = - 1/n sum log p(x_i | x_0 .. x_{i-1})      over the n tokens of answers
 *
 * A row is a chat, {"messages": [...]}, or a prompt with its completion.
 *
 * A chat becomes text by the model's chat template (data/chat.h), and every answer of the assistant is
 * learnt with its end of turn.  A model without a template gets the plain one, saved beside the result.
 *
 * Of a pair, the prompt's tokens are exactly those that `generate` will make of it; the answer's are those
 * of the joint text where it divides there, and otherwise those of the answer alone.  It ends with the
 * end-of-text token, which is learnt.
 *
 * Source: Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
 * section 3.5; loss on answers alone as in Touvron et al. 2023 (LLaMA 2), section 3.1. */
#include "train/objective.h"

#include "base/file.h"
#include "base/log.h"
#include "data/chat.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- chats ------------------------------------------------------------------------- */

typedef struct chats {
    lm_chat_template *template;              /* NULL: it could not be read, for the reason in err */
    lm_err err;
    atomic_bool seen;                        /* some row is a chat */
} chats;

/* A template that cannot be read is no failure until there is a chat. */
static lm_status prepare(lm_task *task, lm_err *err)
{
    const settings *o = task->options;
    chats *c = task->own = lm_calloc(1, sizeof *c);
    if (lm_chat_template_load(&c->template, task->model->path, task->tokenizer, o->template, &c->err) == LM_OK) return LM_OK;
    return o->template ? lm_fail(err, c->err.code, "%s", c->err.message) : LM_OK;
}

static void release(lm_task *task)
{
    chats *c = task->own;
    if (c) lm_chat_template_free(c->template);
    free(c);
    task->own = NULL;
}

/* What is trained on a template that the model does not bring itself is no use without it. */
static lm_status finish(const lm_task *task, const char *out, lm_err *err)
{
    const settings *o = task->options;
    chats *c = task->own;
    if (!atomic_load(&c->seen) || !(o->template || lm_chat_template_is_plain(c->template))) return LM_OK;
    char *path = lm_path_join(out, "chat_template.jinja");
    const char *text = lm_chat_template_text(c->template);
    lm_status status = lm_file_write(path, text, strlen(text), err);
    if (status == LM_OK && !o->template) lm_log(LM_LOG_INFO, "the model has no chat template: trained on the plain one, saved as %s", path);
    free(path);
    return status;
}

static lm_status render_chat(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    chats *c = task->own;
    atomic_store(&c->seen, true);
    if (!c->template) return lm_fail(err, c->err.code, "%s", c->err.message);
    return lm_chat_example(c->template, out, row->object, o->loss_on == ON_ALL, encoder, ids, err);
}

/* ---- pairs --------------------------------------------------------------------------- */

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

static lm_status render_pair(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    const settings *o = task->options;
    lm_span prompt, answer;
    size_t n_prompt;
    if (!row->object) return lm_fail(err, LM_E_FORMAT, "expected an object with \"messages\", or with \"%s\" and \"%s\", found plain text", o->prompt, o->completion);
    LM_TRY(lm_row_text(row, o->prompt, &prompt, err));
    LM_TRY(lm_row_text(row, o->completion, &answer, err));
    if (!answer.len) return lm_fail(err, LM_E_FORMAT, "field \"%s\" is empty: no token to learn", o->completion);
    LM_TRY(encode_pair(ids, &n_prompt, prompt, answer, encoder, err));
    lm_task_end(task, ids);
    lm_example_put(out, ids->data, n_prompt, o->loss_on == ON_ALL);
    lm_example_put(out, ids->data + n_prompt, ids->len - n_prompt, true);
    return LM_OK;
}

static lm_status render(const lm_task *task, lm_example *out, const lm_row *row, lm_encoder *encoder, lm_ids *ids, lm_err *err)
{
    return (lm_row_has(row, "messages") ? render_chat : render_pair)(task, out, row, encoder, ids, err);
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
