/* Prompts of `generate`: from the command line or a file, as tokens. */
#ifndef LM_APP_PROMPTS_H
#define LM_APP_PROMPTS_H

#include "app/turns.h"

typedef struct lm_prompt {
    char *text;                          /* as it was given */
    lm_ids ids;
    uint64_t off;                        /* adapters that do not act on it */
} lm_prompt;

typedef struct lm_prompts {
    lm_prompt *items;
    int64_t n, cap;
} lm_prompts;

/* How a text becomes tokens. */
typedef struct lm_prompt_form {
    const lm_tokenizer *tokenizer;
    bool bos;
    bool special;                        /* special tokens written in the text are those tokens */
    const lm_turns *turns;               /* not NULL: the text is what a user says */
    const char *system;                  /* said before it; NULL: nothing */
    const lm_adapters *adapters;         /* that a prompt may ask for by name */
} lm_prompt_form;

lm_status lm_prompts_add(lm_prompts *p, const char *text, size_t n, const lm_prompt_form *form, lm_err *err);

/* Every line of a file ("-": standard input) is a prompt; when the first begins with "{", every line is
 * an object with "prompt", or, as a conversation, with "messages", and may ask for adapters: "adapter".  Errors name file and line.  A file without any prompt is LM_E_FORMAT. */
lm_status lm_prompts_read(lm_prompts *p, const char *path, const lm_prompt_form *form, lm_err *err);
void lm_prompts_free(lm_prompts *p);

#endif
