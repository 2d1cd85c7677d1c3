/* Chats: what a conversation looks like to a model, by the model's own template (data/jinja.h).
 *
 * Training, generation and chat use this one implementation.  What it renders is byte for byte what
 * transformers' apply_chat_template renders; content cannot pose as a special token (lm_chat_encode).
 *
 * Which bytes an assistant wrote is found by rendering message by message, never by searching for text:
 *   the template's {% generation %} blocks, where it has them; else, for an assistant's message i,
 *   it begins where the messages before it, rendered with the prompt for an answer, end, and
 *   it ends where the messages up to it, rendered, end.
 * Both must be beginnings of the whole conversation as it is rendered.  A template that writes earlier
 * turns differently once others follow (Qwen3 drops their reasoning) may still tell where a message ends:
 * behind it stands the next message, whose own text is what it adds to the messages before i.  Where none
 * of this holds, the template does not say what the assistant wrote, and that is an error. */
#ifndef LM_DATA_CHAT_H
#define LM_DATA_CHAT_H

#include "data/dataset.h"
#include "data/jinja.h"

typedef struct lm_chat_template lm_chat_template;

/* The template for models that have none, in Jinja, for the chat_template of a tokenizer_config.json:
 *
 *     Be brief.
 *
 *     User: Why is the sky blue?
 *
 *     Assistant: Because ...</s>
 *
 * A paragraph for each message, with the role before it unless it is the system's; an answer ends with the
 * end-of-text token, and the whole begins with the beginning-of-text token, if there are such tokens. */
extern const char lm_chat_plain[];

/* The template of the model in `folder`, whose tokenizer is `tk`, or lm_chat_plain where it has none; `file`
 * (NULL: none) is a template to use instead.  Templates see the special tokens of the tokenizer and of the
 * folder's tokenizer_config.json by name (bos_token, ..).  The caller frees *out. */
lm_status lm_chat_template_load(lm_chat_template **out, const char *folder, const lm_tokenizer *tk, const char *file, lm_err *err);

/* A template from its text; `name` heads messages; `tokens` is an object of special tokens, or NULL. */
lm_status lm_chat_template_new(lm_chat_template **out, const char *text, const char *name, const lm_json *tokens, lm_err *err);
void lm_chat_template_free(lm_chat_template *t);         /* takes NULL */

/* Whether it is lm_chat_plain, for want of another; and its source. */
bool lm_chat_template_is_plain(const lm_chat_template *t);
const char *lm_chat_template_text(const lm_chat_template *t);

typedef struct lm_chat {
    const lm_json *messages;         /* a list of {"role": "user", "content": ..., ...} */
    const lm_json *tools;            /* a list of JSON schemas, or NULL */
    const lm_json *variables;        /* an object of further variables ("enable_thinking"), or NULL */
    int64_t first;                   /* lm_chat_render_answers: the message from which on answers count */
    bool prompt;                     /* end with what asks the assistant for an answer */
    int64_t now;                     /* for templates that tell the date: seconds since 1970; 0: the clock */
} lm_chat;

/* The chat as text; bytes that came from messages, tools and variables are marked LM_MARK_DATA. */
lm_status lm_chat_render(const lm_chat_template *t, lm_marked *out, const lm_chat *chat, lm_err *err);

/* The same without a prompt, and what the assistant wrote, its end of turn included, marked LM_MARK_ANSWER.
 * LM_E_UNSUPPORTED: the template does not say what that is.  LM_E_FORMAT: there is no answer. */
lm_status lm_chat_render_answers(const lm_chat_template *t, lm_marked *out, const lm_chat *chat, lm_err *err);

/* Appends the ids of a rendered chat.  Special tokens are read in what the template wrote, and nowhere else;
 * the template has written the beginning of text itself. */
lm_status lm_chat_encode(lm_encoder *encoder, lm_ids *out, const lm_marked *text, lm_err *err);

/* The special token that ends an answer, or -1: a model that was trained on the template ends its turn there,
 * whatever its configuration says about the end of text. */
int32_t lm_chat_end_of_turn(const lm_chat_template *t, const lm_tokenizer *tk);

/* A row of training data, {"messages": [...], "tools": [...]}, as an example whose answers from message
 * `first` on are learnt, or, with `all`, everything. */
lm_status lm_chat_example(const lm_chat_template *t, lm_example *out, const lm_json *row, int64_t first, bool all,
                          lm_encoder *encoder, lm_ids *ids, lm_err *err);

#endif
