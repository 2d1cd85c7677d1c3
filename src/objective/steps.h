/* Solutions in steps: rows of them, their tokens, and how well wrong steps are found.
 *
 *   prompt, then for each step its own tokens and those of the separator; a step is judged at its last token
 *
 * as TRL's PRMTrainer has it (each part is encoded by itself, so that a step's tokens do not depend on what follows).
 *
 *   {"prompt": .., "completions": ["a step", ..], "labels": [true, false, null, ..]}
 *   {"prompt": .., "completion": "a step\na step\n", "labels": [1, -1, 0]}
 *   {"messages": [.., {"role": "assistant", "content": "a step\na step\n"}], "labels": [1, -1]}
 *
 * A prompt is text, or messages, which become text by the model's chat template up to where the assistant begins; steps
 * follow as they are, and no end of turn.  A completion may be one message of the assistant.
 *
 * A label is true or false; 1, 0 or -1; "positive", "neutral" or "negative"; or null for none.  In place of labels a
 * row may give the number of its first wrong step, from 1: steps before it are right, those behind it have no label. */
#ifndef LM_OBJECTIVE_STEPS_H
#define LM_OBJECTIVE_STEPS_H

#include "data/forecast.h"
#include "objective/answer.h"

/* Where a row has what; a NULL stands for the names above. */
typedef struct lm_step_fields {
    const char *prompt, *steps, *labels, *first_error;
    const char *separator;                   /* as on the command line, with \n and \t; NULL: the model's own, or \n */
} lm_step_fields;

#define LM_OPTION_STEPS(type) \
    LM_OPTION(STRING, type, fields.prompt, "prompt-field", .fallback = "prompt", .metavar = "NAME", .help = "field of a row that is asked"), \
    LM_OPTION(STRING, type, fields.steps, "steps-field", .metavar = "NAME", .help = "field with the steps, a list or a text (default: completions or completion)"), \
    LM_OPTION(STRING, type, fields.labels, "labels-field", .fallback = "labels", .metavar = "NAME", .help = "field with a label for each step"), \
    LM_OPTION(STRING, type, fields.first_error, "first-error-field", .metavar = "NAME", .help = "field with the number of the first wrong step instead"), \
    LM_OPTION(STRING, type, fields.separator, "step-separator", .metavar = "TEXT", .help = "text behind each step (default: the model's own, or \\n)")

/* What stands behind each step, with its escapes undone; appended to out. */
void lm_step_separator(lm_str *out, const lm_model *m, const char *given);

/* ---- a row ---- */

typedef enum lm_step_label { LM_STEP_UNLABELLED = -1, LM_STEP_NEGATIVE, LM_STEP_NEUTRAL, LM_STEP_POSITIVE } lm_step_label;

typedef struct lm_solution {
    lm_span prompt, *text;                   /* [n]; in the row */
    lm_json *chat;                           /* the prompt where it is messages, with its tools; owned; NULL: it is text */
    lm_step_label *label;                    /* [n] */
    int64_t n;
} lm_solution;

/* Steps of a row, with labels or all without; freed also after a failure.  LM_E_FORMAT for a row without steps. */
lm_status lm_solution_read(lm_solution *out, const lm_step_fields *fields, lm_span separator, const lm_row *row, bool labelled, lm_err *err);
void lm_solution_free(lm_solution *s);             /* takes {0} */

/* Appends the tokens; ends [n]: where each step's last one stands, from the start of ids. */
lm_status lm_solution_encode(lm_ids *ids, int64_t *ends, const lm_solution *s, lm_span separator, lm_answers *chats, lm_encoder *encoder, lm_err *err);

/* ---- how well wrong steps are found ---- */

/* A step is taken for wrong where p, the probability that it is not negative, is at most `threshold`. */
typedef struct lm_step_tally {
    double threshold;
    lm_forecasts steps;                      /* labelled ones, neutral counting as right */
    lm_forecasts least, product, last;       /* solutions, by what their steps' p come to */
    int64_t solutions[2], located[2];        /* without and with an error; those where it, or its absence, was found */
} lm_step_tally;

/* A solution: p and labels of its n > 0 steps; those without a label count for the solution only. */
void lm_step_tally_add(lm_step_tally *t, const double *p, const lm_step_label *label, int64_t n);

/* An object of numbers; everything is forgotten. */
lm_json *lm_step_tally_take(lm_step_tally *t);
void lm_step_tally_free(lm_step_tally *t);   /* takes {0} */

/* p of a step from its scores [labels] (2: negative, positive; 3: negative, neutral, positive). */
double lm_step_probability(const float *scores, int64_t labels);

#endif
