/* Recipes: a YAML file of steps, each a command of malmoi.
 *
 *     values:
 *       base: models/base
 *       work: work
 *     steps:
 *       - name: tuned
 *         run: train sft                  # the command, and what stands behind it without a name
 *         model: ${base}                  # every other key is an option: --model models/base
 *         data: [a.jsonl, b.jsonl]
 *         adapter: lora
 *         no-shuffle:                     # nothing, or true: a flag
 *         out: ${work}/tuned
 *       - name: answers
 *         run: generate ${work}/tuned
 *         prompt-file: questions.txt
 *         stdout: ${work}/answers.txt     # where its output goes
 *
 * ${name} is a value; $${ is "${".  A value may use those above it, and the command line may set it anew. */
#ifndef LM_APP_RECIPE_H
#define LM_APP_RECIPE_H

#include "base/option.h"

typedef struct lm_recipe_step {
    char *name;                              /* letters, digits, - and _ */
    lm_strings arguments;                    /* from the command's name on */
    lm_strings paths;                        /* arguments that may be files, without the two below */
    char *out, *save;                        /* the option "out" and the key "stdout", or NULL */
} lm_recipe_step;

typedef struct lm_recipe {
    lm_recipe_step *steps;
    int n;
} lm_recipe;

/* Reads a recipe; `set` are NAME=VALUE.  LM_E_FORMAT names the step and the key. */
lm_status lm_recipe_read(lm_recipe *out, const char *path, const lm_strings *set, lm_err *err);
void lm_recipe_free(lm_recipe *r);           /* takes {0} */

#endif
