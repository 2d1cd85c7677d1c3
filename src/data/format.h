/* Rows of the shapes in which data sets are published, as the few that training reads.
 *
 *   a row, of a kind (alpaca, sharegpt, ..)  ->  a sample  ->  a row of a shape (messages, preference, ..)
 *
 * A kind is one file, data/format/<name>.c: its fields by all the names that they go by, and how they make a
 * sample.  Which kind rows are is told from their fields alone (lm_kind_detect); where two kinds fit, none is
 * taken. */
#ifndef LM_DATA_FORMAT_H
#define LM_DATA_FORMAT_H

#include "data/source.h"

/* ---- samples ---- */

/* Somebody is asked, and answers.  Owned JSON; NULL where there is none.  A sample is of text or of messages: prompt
 * and answers are all the one or all the other. */
typedef struct lm_sample {
    lm_json *prompt;                     /* text, or messages, of which the last is not the assistant's */
    lm_json *answers;                    /* list of one or more: texts, or lists of messages; for steps: texts */
    lm_json *tools;                      /* list */
    lm_json *scores;                     /* list of numbers, one for each answer */
    lm_json *ratings;                    /* object of such lists, by criterion */
    lm_json *labels;                     /* list: of each step, or of the one answer (true or false) */
    lm_json *margin;                     /* number: how much better the first of two answers is */
} lm_sample;
void lm_sample_free(lm_sample *s);       /* takes {0} */
static inline bool lm_sample_is_chat(const lm_sample *s) { return json_is_array(json_array_get(s->answers, 0)); }

/* ---- shapes: what is written ---- */

typedef enum lm_shape {
    LM_SHAPE_MESSAGES,                   /* {"messages": [..], "tools": [..]}                    train sft */
    LM_SHAPE_PROMPT_COMPLETION,          /* {"prompt": "..", "completion": ".."}                  train sft */
    LM_SHAPE_LABELLED,                   /* {"prompt": .., "completion": .., "label": true}       train kto, orm */
    LM_SHAPE_PREFERENCE,                 /* {"prompt": .., "chosen": .., "rejected": ..}          train dpo, reward, .. */
    LM_SHAPE_RANKED,                     /* {"prompt": .., "completions": [..], "scores": [..]}   train rrhf, dpo, .. */
    LM_SHAPE_RATINGS,                    /* {"prompt": .., "completions": [..], "ratings": {..}}  train reward */
    LM_SHAPE_STEPS,                      /* {"prompt": "..", "completions": [..], "labels": [..]} train prm */
    LM_SHAPE_TEXT,                       /* {"text": ".."}                                        train clm */
    LM_SHAPES,
} lm_shape;
extern const char *const lm_shape_names[];               /* "messages", ..; NULL-terminated */

/* Whether samples of one shape can be written as the other, with one row (or, a pair as labelled, two) for each. */
bool lm_shape_becomes(lm_shape from, lm_shape to);

/* Appends the sample's rows to `rows`, a list.  LM_E_FORMAT for what the shape cannot hold: more than one turn or tools
 * in prompt_completion, answers without a best.  `s` may share its values with the rows. */
lm_status lm_sample_put(lm_json *rows, const lm_sample *s, lm_shape from, lm_shape to, lm_err *err);

/* ---- messages ---- */

lm_json *lm_message(const char *role, const char *text);

/* A system message and a question as messages; `system` and `more` may be NULL or empty.  `more` stands under the
 * question, as Alpaca's input does. */
lm_json *lm_question(const char *system, const char *question, const char *more);

/* The messages of an OpenAI conversation, checked: an optional system (or developer) message, then user and assistant in
 * turn, tool messages behind an assistant's calls.  Content is text that is not blank (parts of text are joined), or
 * absent beside tool_calls.  With `answered` the last one is the assistant's, without it not.  `field` heads messages.
 * The caller frees; NULL on failure. */
lm_json *lm_messages_read(const lm_json *list, const char *field, bool answered, lm_err *err);

/* Those of an answer, which continue a prompt. */
lm_json *lm_messages_answer(const lm_json *list, const char *field, lm_err *err);

/* The index of the first message of an assistant; the number of messages where there is none. */
size_t lm_messages_first_answer(const lm_json *messages);

/* A checked conversation (taken) as a prompt and one answer, which begins with the first message of the assistant. */
void lm_sample_divide(lm_sample *out, lm_json *messages);

/* Items begin .. end of a list, as a new one. */
lm_json *lm_list_slice(const lm_json *list, size_t begin, size_t end);

/* ---- kinds ---- */

enum {                                   /* JSON types of a field, as bits */
    LM_FIELD_TEXT = 1, LM_FIELD_ROLES = 2, LM_FIELD_FROMS = 4, LM_FIELD_TEXTS = 8, LM_FIELD_LIST = 16, LM_FIELD_OBJECT = 32,
    LM_FIELD_NUMBER = 64, LM_FIELD_TRUTH = 128, LM_FIELD_OBJECTS = 256, LM_FIELD_ANSWERS = 512,
};

enum { LM_KIND_FIELDS = 8, LM_FIELD_NAMES = 10 };

typedef struct lm_kind_field {
    const char *role;                    /* what --field calls it */
    const char *names[LM_FIELD_NAMES];   /* that it goes by, the first that is there counts */
    unsigned types;
    bool optional;                       /* also null then */
} lm_kind_field;

/* The fields of one row, in the order of the kind's table. */
typedef struct lm_kind_row {
    const lm_json *value[LM_KIND_FIELDS];                /* NULL: not there, or null */
    const char *name[LM_KIND_FIELDS];                    /* what it is called in this row, or would be called first */
} lm_kind_row;

typedef struct lm_row_kind {
    const char *name, *help;
    lm_kind_field fields[LM_KIND_FIELDS];
    lm_shape shape, usual;               /* that its samples are of; what is written unless told otherwise */
    bool last;                           /* taken only where no other kind fits */
    const char *(*lacks)(const lm_kind_row *row);        /* what is missing although no single field is, or NULL; NULL: nothing ever */
    lm_status (*read)(lm_sample *out, const lm_kind_row *row, lm_err *err);      /* out is {0}; freed by the caller */
} lm_row_kind;

extern const lm_row_kind *const lm_row_kind_registry[];

const lm_row_kind *lm_kind_find(const char *name);       /* NULL: there is none */

/* The row's fields as the kind has them.  `own`: names of the user's for roles, "question=문의" each; NULL: none.
 * LM_E_FORMAT tells which field is missing or of another type. */
lm_status lm_kind_match(lm_kind_row *out, const lm_row_kind *kind, const lm_strings *own, const lm_json *row, lm_err *err);

/* The one kind that a row's fields fit; LM_E_FORMAT when there is none, or two of which neither has all fields of the
 * other.  Plain text is of kind text. */
lm_status lm_kind_detect(const lm_row_kind **out, const lm_strings *own, const lm_row *row, lm_err *err);

/* A text field that is not blank, as a C string; `i` is its place in the kind's table. */
lm_status lm_kind_text(const char **out, const lm_kind_row *row, int i, lm_err *err);
const char *lm_kind_optional(const lm_kind_row *row, int i);     /* "" where it is not there */

/* Tools: a list, or one as text, into the sample. */
lm_status lm_kind_tools(lm_sample *out, const lm_kind_row *row, int i, lm_err *err);

/* A prompt of text or messages, with what stands under it (`more` < 0: nothing). */
lm_status lm_kind_prompt(lm_sample *out, const lm_kind_row *row, int i, int more, lm_err *err);

/* An answer of text or messages to the end of the sample's answers; alike with the others and with the prompt. */
lm_status lm_kind_answer(lm_sample *out, const lm_json *answer, const char *field, lm_err *err);

/* ---- files ---- */

typedef struct lm_format_options {
    const char *kind, *to, *out, *format, *separator;    /* kind, to: NULL or "auto": what the rows are, and what is usual */
    const lm_strings *fields, *keep, *columns;           /* roles by names of one's own; fields kept as they are; NULL: none */
    bool skip;                                           /* rows that cannot be used */
} lm_format_options;

typedef struct lm_format_result {
    const lm_row_kind *kind;
    lm_shape to;
    int64_t rows, written;                               /* rows used, and what came of them */
    lm_strings used, unused;                             /* fields of the first row */
    lm_skipped skipped;
} lm_format_result;

/* All rows, which must be of one kind, as JSONL in o->out.  Messages name file, line and field.  The result is freed
 * also after a failure. */
lm_status lm_format_files(lm_format_result *result, const lm_strings *paths, const lm_format_options *o, lm_err *err);
void lm_format_result_free(lm_format_result *result);

#endif
