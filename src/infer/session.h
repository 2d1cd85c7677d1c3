/* Generation: any number of sequences over one model, decoded together.
 *
 * A step is one forward pass over everything that waits: a prompt that has just arrived (or as much
 * of it as fits the step) lies end to end with the next token of every sequence that is under way,
 * without padding.  Sequences come and go between steps, so this is at once what `generate` runs on
 * one prompt, what evaluation and alignment run on thousands, and what a server runs on requests.
 *
 * Invariants
 *  1. A sequence that runs owns the cache rows [row, row + n_rows), apart from every other's.
 *  2. Rows row .. row + cached, behind those of the adapter's virtual tokens, hold the keys and values of
 *     ids[start .. start + cached), and that token's position is its distance from start.  ids[start + cached ..] wait for the next step; for a sequence
 *     that decodes that is exactly one token.
 *  3. start is 0 until the context slides.
 *  4. The draw of a token depends on the sequence's own seed, stream and position, never on who else
 *     is in the batch. */
#ifndef LM_INFER_SESSION_H
#define LM_INFER_SESSION_H

#include "infer/sampler.h"
#include "nn/model.h"
#include "token/tokenizer.h"

typedef enum lm_finish {
    LM_FINISH_NOT,                       /* still under way */
    LM_FINISH_EOS,                       /* the model ended the text; the ending token is in ids, not in text */
    LM_FINISH_STOP,                      /* a stop string came up; text ends before it */
    LM_FINISH_LENGTH,                    /* max_new_tokens */
    LM_FINISH_CONTEXT,                   /* the context is full */
    LM_FINISH_CANCELLED,                 /* on_text returned false, or lm_sequence_cancel */
} lm_finish;
const char *lm_finish_name(lm_finish finish);            /* "eos", "stop", "length", "context", "cancelled" */

typedef struct lm_session lm_session;
typedef struct lm_sequence lm_sequence;

/* Called with each piece of text as soon as it is certain: no character is cut, nothing of a stop string
 * is in it.  (A byte-level model can also generate bytes that are no UTF-8; they come as they are.)
 * Returns false to end the sequence. */
typedef bool (*lm_on_text)(lm_sequence *sequence, const char *text, size_t n, void *context);

/* What is wanted.  Everything that it points to is copied. */
typedef struct lm_request {
    const int32_t *prompt;
    int64_t n_prompt;                    /* >= 1 */
    lm_sampling sampling;
    uint64_t stream;                     /* of the random draws: the sequence's number */
    int64_t max_new_tokens;              /* < 0: until the context is full */
    const lm_strings *stop;              /* NULL: none */
    bool ignore_eos;
    bool slide;                          /* a full context drops its older half instead of ending */
    bool keep;                           /* hold the cache rows after the end, for lm_session_continue */
    lm_on_text on_text;                  /* NULL: only collect */
    void *context;
    uint64_t off;                        /* adapters of the model that do not act on it, bits by lm_adapter.slot */
} lm_request;

/* Read by the caller, written by the session. */
struct lm_sequence {
    lm_ids ids;                          /* the prompt and what was generated */
    int64_t n_prompt;
    float *logprobs;                     /* [ids.len - n_prompt] under the model itself */
    lm_str text;                         /* of the generated tokens, without the stop string */
    lm_finish finish;
    int64_t slides;                      /* how often the context was full and slid */

    lm_request request;
    char **stops;
    int n_stops;
    int64_t start, cached, row, n_rows;  /* n_rows 0: no rows yet */
    int64_t n_virtual, context;          /* rows in front of its own, and tokens that it may hold */
    size_t emitted;                      /* bytes of text that on_text has seen */
    lm_decoder *decoder;
    lm_sequence *next;
};

typedef struct lm_session_options {
    int64_t context;                     /* tokens a sequence may hold; 0: what the model and its adapters leave it */
    int64_t rows;                        /* of the cache, for all sequences together; 0: one context */
    int64_t step_tokens;                 /* most tokens of one forward pass; 0: 1024 */
    lm_dtype compute;
    const int32_t *eos;                  /* besides the model's and the tokenizer's */
    int n_eos;
} lm_session_options;

/* The model, its kernels and the tokenizer must outlive the session.  A context beyond the model's
 * limit is LM_E_USAGE.  Without a tokenizer (NULL) sequences have ids and no text; with one, only ids
 * that it knows are drawn. */
lm_status lm_session_new(lm_session **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk,
                         const lm_session_options *options, lm_err *err);
void lm_session_free(lm_session *s);     /* takes NULL; frees the sequences as well */

/* Adds a sequence, which waits for rows of the cache.  A prompt that is as long as the context or
 * longer is LM_E_MISMATCH.  The session owns *out until lm_session_drop. */
lm_status lm_session_add(lm_session *s, lm_sequence **out, const lm_request *request, lm_err *err);

/* Gives a finished sequence that kept its rows a new prompt, and keeps of its cache what agrees with it:
 * the next turn of a chat costs only what is new.  text, ids and logprobs start anew. */
lm_status lm_session_continue(lm_session *s, lm_sequence *sequence, const lm_request *request, lm_err *err);

/* One forward pass and one token for every sequence whose prompt is read; *live is how many are still
 * under way. */
lm_status lm_session_step(lm_session *s, int64_t *live, lm_err *err);

/* Steps until none is left. */
lm_status lm_session_run(lm_session *s, lm_err *err);

void lm_sequence_cancel(lm_sequence *sequence);
void lm_session_drop(lm_session *s, lm_sequence *sequence);

/* Tokens that a sequence may hold on which every adapter acts. */
int64_t lm_session_context(const lm_session *s);

/* Tokens that went through the model so far: prompts and generated ones. */
int64_t lm_session_tokens(const lm_session *s);

/* bf16 when the weights are stored in half precision and the machine multiplies it faster, else f32. */
lm_dtype lm_compute_auto(const lm_model *m, const lm_kernels *k);

#endif
