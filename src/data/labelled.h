/* Labelled texts: rows with a text and one label of a few. */
#ifndef LM_DATA_LABELLED_H
#define LM_DATA_LABELLED_H

#include "data/source.h"

/* Where a row has them; NULL: the first of the usual names that is there ("text", "document", "sentence",
 * "review", "content"; "label", "labels", "class", "category", "sentiment"). */
typedef struct lm_labelled_fields {
    const char *text, *label;
} lm_labelled_fields;

/* LM_E_FORMAT tells what the row has instead. */
lm_status lm_labelled_text(const lm_row *row, const lm_labelled_fields *fields, lm_span *out, lm_err *err);

/* The usual names of a text, NULL-terminated. */
extern const char *const lm_text_names[];

/* Where a row of any kind has its text, for lm_row_text: NULL for plain text, `given`, or where that is NULL
 * the first of the usual names. */
lm_status lm_document_field(const lm_row *row, const char *given, const char **field, lm_err *err);

/* The text of a row of any kind: that of its field (lm_document_field), or where it has none all strings in it, a line each, in
 * `room`, but for roles of messages and names of templates.  LM_E_FORMAT where there is no string either. */
lm_status lm_row_whole_text(const lm_row *row, const char *field, lm_str *room, lm_span *text, lm_err *err);

/* The label's name: a string, or an integer or a truth value as it is written.  Appended to out. */
lm_status lm_labelled_label(const lm_row *row, const lm_labelled_fields *fields, lm_str *out, lm_err *err);

/* Whether a text has nothing but white space of ASCII. */
bool lm_is_blank(lm_span text);

/* The number of a label, or -1.  An integer that is no name counts as the number itself, provided that no
 * name is an integer: data says 0 and 1, the model negative and positive. */
int64_t lm_label_find(const lm_strings *names, const char *label);
lm_status lm_label_unknown(const lm_strings *names, const char *label, lm_err *err);      /* LM_E_FORMAT */

/* The different labels of all rows, integers by their size and others by their bytes; the caller frees with
 * lm_strings_free.  LM_E_FORMAT when there are fewer than two or suspiciously many. */
lm_status lm_labels_scan(lm_strings *out, const lm_strings *paths, const lm_source_options *how,
                         const lm_labelled_fields *fields, lm_err *err);

#endif
