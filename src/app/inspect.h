/* The views of `malmoi inspect`. */
#ifndef LM_APP_INSPECT_H
#define LM_APP_INSPECT_H

#include "app/command.h"
#include "io/folder.h"
#include "train/objective.h"

/* Adds to `doc` what a model, adapter, checkpoint, run, tokenizer or weights file holds; with `tensors`
 * also "tensors", a list of {name, dtype, shape}.  What is damaged is an error, not a part of the view. */
lm_status lm_inspect_files(lm_json *doc, lm_kind kind, const char *path, bool tensors, lm_err *err);

/* Rows of training data as the model will see them. */
typedef struct lm_inspect_rows {
    const char *path, *model;
    const lm_objective *objective;       /* NULL: clm for plain text and rows with "text", else sft */
    const void *options;                 /* the objective's; not used when it is NULL */
    int64_t first, count;                /* from 1 */
    int64_t context;                     /* tokens beyond it are marked as cut; 0: the model's */
    bool colour;
} lm_inspect_rows;

/* Appends the rows to `text`, tokens coloured (or bracketed) where they are learnt, or, when `doc` is not
 * NULL, adds them to doc as "examples". */
lm_status lm_inspect_data(lm_str *text, lm_json *doc, const lm_inspect_rows *view, lm_err *err);

/* Adds what can be said without a model: "rows", "bytes" and "fields" (in how many rows each is). */
lm_status lm_inspect_rows_of(lm_json *doc, const char *path, lm_err *err);

#endif
