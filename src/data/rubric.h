/* A rubric: how a judge is asked which of two answers is better, and how its verdict is read.
 *
 *   name: helpful
 *   system: You compare answers ...
 *   ask: |
 *     Question: {prompt}  First answer: {first}  Second answer: {second} ...
 *   first: "[[A]]"           what the judge is told to write for each verdict; the last one that it wrote counts
 *   second: "[[B]]"
 *   tie: "[[C]]"
 *
 * A flat YAML file.  Source: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3. */
#ifndef LM_DATA_RUBRIC_H
#define LM_DATA_RUBRIC_H

#include "base/err.h"
#include "base/str.h"

typedef enum lm_verdict { LM_VERDICT_NONE, LM_VERDICT_FIRST, LM_VERDICT_SECOND, LM_VERDICT_TIE } lm_verdict;

typedef struct lm_rubric {
    char *name, *system, *ask, *word[4];         /* word[verdict]; word[LM_VERDICT_NONE] is NULL, as system may be */
} lm_rubric;

/* LM_E_FORMAT names the key that is missing, unknown, or a template without its places.  Freed also after a failure. */
lm_status lm_rubric_read(lm_rubric *r, const char *path, lm_err *err);
void lm_rubric_free(lm_rubric *r);               /* takes {0} */

/* The question about two answers, appended; what stands in them is never taken for a place. */
void lm_rubric_question(lm_str *out, const lm_rubric *r, lm_span prompt, lm_span first, lm_span second);

/* What the judge decided; LM_VERDICT_NONE where no verdict stands in its answer. */
lm_verdict lm_rubric_verdict(const lm_rubric *r, lm_span answer);

extern const char *const lm_verdict_names[];     /* "none", "first", "second", "tie" */

#endif
