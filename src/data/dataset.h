/* A data set: documents as tokens, in one growing buffer.
 *
 * An objective says how a row becomes an example (its tokens, and which of them the model is to learn
 * to predict); rows are rendered on all cores and stored in the order of the files. */
#ifndef LM_DATA_DATASET_H
#define LM_DATA_DATASET_H

#include "data/source.h"
#include "token/tokenizer.h"

/* A token: its id in 24 bits (nn/model has no larger vocabulary), in the highest bit whether something is to be
 * predicted in its place, and between them what: 0 for the token itself, else a label + 1. */
typedef uint32_t lm_token;
#define LM_TOKEN_SUPERVISED 0x80000000u
enum { LM_TOKEN_LABEL_SHIFT = 24, LM_TOKEN_LABELS = 126 };
static inline int32_t lm_token_value(lm_token token) { return (int32_t)(token & 0xFFFFFF); }
static inline int32_t lm_token_lesson(lm_token token)
{
    int32_t label = (int32_t)(token >> LM_TOKEN_LABEL_SHIFT & 0x7F);
    return label ? label - 1 : lm_token_value(token);
}

/* A sequence of an example: where its tokens end, and a number that the objective keeps of it. */
typedef struct lm_example_part {
    size_t end;
    float value;
    bool last;                           /* what follows is not compared with it */
} lm_example_part;

/* One example in the making: one sequence, or several that are compared with each other.  {0} is empty. */
typedef struct lm_example {
    lm_token *tokens;
    size_t n, cap;
    lm_example_part *parts;              /* the finished ones; none: all tokens are one */
    size_t n_parts, cap_parts;
    lm_str note;                         /* what the objective keeps of the row itself, as text */
    int64_t lost;                        /* tokens of its row that were cut off */
    bool skipped;                        /* the row is left out and counted */
} lm_example;
void lm_example_put(lm_example *e, const int32_t *ids, size_t n, bool supervised);

/* Token i - 1 is labelled: `label` < LM_TOKEN_LABELS is to be predicted there, and not token i. */
void lm_example_label(lm_example *e, size_t i, int label);

void lm_example_end(lm_example *e, float value);         /* what is put from now on is the next sequence ... */
void lm_example_apart(lm_example *e);                    /* ... and belongs to no sequence before it */

/* What turns rows into examples.  `render` runs on several threads at once, each with its own encoder
 * (and `ids`, an empty list that it may use); messages need not name the row. */
typedef struct lm_renderer {
    lm_status (*render)(const void *context, lm_example *out, const lm_row *row, lm_encoder *encoder,
                        lm_ids *ids, lm_err *err);
    const void *context;
} lm_renderer;

/* A sequence of a row. */
typedef struct lm_document {
    int64_t begin;                       /* of its first token */
    int64_t line;                        /* of its row */
    size_t note;                         /* where its note begins in notes; only the first of a row has one */
    int32_t path;                        /* index into paths */
    float value;                         /* that the objective gave it */
    bool joins;                          /* it is compared with the one before, of the same row */
} lm_document;

typedef struct lm_dataset {
    lm_token *tokens;
    lm_document *documents;              /* [n + 1]; the last one only marks the end */
    char **paths;
    lm_str notes;
    int64_t n, n_tokens, n_bytes;        /* n_bytes: of text that was read */
    int64_t n_supervised;
    int64_t n_skipped, n_truncated, lost;    /* rows left out, rows cut and tokens lost as they were rendered */
    size_t token_cap, document_cap;
    int n_paths;
    bool parted;                         /* rows say where their sequences end: they are not packed */
} lm_dataset;

/* Reads every row of the source.  LM_E_FORMAT names the row; no row at all is LM_E_FORMAT as well.  Where the
 * source passes over malformed rows, those that cannot be rendered or teach nothing are passed over too. */
lm_status lm_dataset_read(lm_dataset *d, lm_source *source, const lm_tokenizer *tk, const lm_renderer *renderer, lm_err *err);

/* The same behind what d holds already, which stays the caller's to free also after a failure. */
lm_status lm_dataset_append(lm_dataset *d, lm_source *source, const lm_tokenizer *tk, const lm_renderer *renderer, lm_err *err);
void lm_dataset_free(lm_dataset *d);     /* takes {0} */

/* Appends an example to a data set that is made by hand ({0} is empty), as if it had come from that row. */
void lm_dataset_add(lm_dataset *d, const lm_example *e, const char *path, int64_t line);
void lm_example_free(lm_example *e);     /* takes {0} */

static inline int64_t lm_document_length(const lm_dataset *d, int64_t i)
{
    return d->documents[i + 1].begin - d->documents[i].begin;
}

static inline lm_span lm_document_note(const lm_dataset *d, int64_t i)
{
    return lm_span_of(d->notes.data + d->documents[i].note, d->documents[i + 1].note - d->documents[i].note);
}

/* Rows that the documents [begin, end) come from: those whose sequences are compared have several. */
int64_t lm_dataset_rows(const lm_dataset *d, int64_t begin, int64_t end);

/* "stories.jsonl:12" of document i, in a buffer that the caller frees. */
char *lm_document_place(const lm_dataset *d, int64_t i);

/* Fingerprint of the tokens and of which are learnt: a resumed run must see the same data. */
uint64_t lm_dataset_hash(const lm_dataset *d);

#endif
