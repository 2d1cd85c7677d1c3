#include "infer/classifier.h"

#include "nn/head.h"

#include <math.h>
#include <stdlib.h>

struct lm_classifier {
    lm_model *m;
    lm_classifier_options o;
    lm_tape tape;
    lm_encoder *encoder;
    lm_ids text;
    int64_t context, cap;

    /* The texts that wait: one segment each; text i is scored at rows first[i] .. first[i + 1]. */
    int32_t *ids, *positions, *rows;     /* [cap] */
    int64_t *first;                      /* [cap + 1] */
    lm_segment *segments;                /* [cap] */
    int64_t n, n_texts, done, truncated;
};

lm_status lm_classifier_new(lm_classifier **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk,
                            const lm_classifier_options *options, lm_err *err)
{
    int64_t most = lm_model_context(m, 0);
    *out = NULL;
    if (!options->any_head || !m->score) LM_TRY(lm_model_need_score(m, err));
    if (options->context > most)
        return lm_fail(err, LM_E_USAGE, "--context %lld: the model has positions for %lld tokens", (long long)options->context, (long long)most);
    lm_classifier *c = *out = lm_calloc(1, sizeof *c);
    c->m = m;
    c->o = *options;
    c->context = options->context ? options->context : most;
    c->cap = options->batch_tokens > c->context ? options->batch_tokens : c->context;
    c->encoder = lm_encoder_new(tk);
    c->ids = lm_calloc((size_t)c->cap, sizeof *c->ids);
    c->positions = lm_calloc((size_t)c->cap, sizeof *c->positions);
    c->rows = lm_calloc((size_t)c->cap, sizeof *c->rows);
    c->first = lm_calloc((size_t)c->cap + 1, sizeof *c->first);
    c->segments = lm_calloc((size_t)c->cap, sizeof *c->segments);
    lm_status status = lm_tape_init(&c->tape, k, &(lm_tape_options){ .compute = options->compute }, err);
    if (status == LM_OK) return LM_OK;
    lm_classifier_free(c);
    *out = NULL;
    return status;
}

void lm_classifier_free(lm_classifier *c)
{
    if (!c) return;
    lm_tape_free(&c->tape);
    lm_encoder_free(c->encoder);
    lm_ids_free(&c->text);
    free(c->ids), free(c->positions), free(c->rows), free(c->first), free(c->segments);
    free(c);
}

/* The scores of the texts that wait [rows, labels], until the tape is reset. */
static const float *run(lm_classifier *c)
{
    lm_tape *t = &c->tape;
    lm_tape_reset(t);
    const lm_batch batch = { .n_tokens = c->n, .n_segments = c->n_texts, .ids = c->ids, .positions = c->positions, .segments = c->segments };
    const lm_forward f = { .t = t, .m = c->m, .batch = &batch };
    lm_tensor *hidden = lm_model_forward(&f);
    lm_tensor *rows = lm_gather_rows(t, hidden, lm_input(t, c->rows, LM_I32, 1, &c->first[c->n_texts]));
    return lm_model_scores(&f, rows)->data;
}

lm_status lm_classifier_flush(lm_classifier *c, lm_err *err)
{
    if (!c->n_texts) return LM_OK;
    int64_t labels = c->m->labels.n;
    const float *scores = run(c);
    if (c->tape.err.code) return lm_fail(err, c->tape.err.code, "%s", c->tape.err.message);
    for (int64_t i = 0; i < c->n_texts; i++) {
        int64_t rows = c->first[i + 1] - c->first[i], n = rows * labels;
        for (int64_t j = 0; j < n; j++)
            if (!isfinite(scores[j])) return lm_fail(err, LM_E_NUMERIC, "text %lld: a score is not finite", (long long)c->done + i + 1);
        c->o.scored(c->o.to, c->done + i, scores, rows);
        scores += n;
    }
    c->done += c->n_texts;
    c->n = c->n_texts = 0;
    return LM_OK;
}

static lm_status fit(lm_classifier *c, lm_err *err)
{
    lm_ids *ids = &c->text;
    if (!ids->len) return lm_fail(err, LM_E_FORMAT, "the text is empty");
    if ((int64_t)ids->len <= c->context) return LM_OK;
    if (!c->o.truncate)
        return lm_fail(err, LM_E_FORMAT, "%zu tokens, more than the context of %lld: give --truncate to cut them off", ids->len, (long long)c->context);
    ids->len = (size_t)c->context;
    c->truncated++;
    return LM_OK;
}

lm_status lm_classifier_add_ids(lm_classifier *c, const int32_t *ids, int64_t n, const int64_t *rows, int64_t n_rows, lm_err *err)
{
    LM_ASSERT(n_rows > 0 && n_rows <= n);
    if (n > c->context) return lm_fail(err, LM_E_FORMAT, "%lld tokens, more than the context of %lld", (long long)n, (long long)c->context);
    if (c->n + n > c->cap) LM_TRY(lm_classifier_flush(c, err));
    int64_t at = c->first[c->n_texts];
    for (int64_t i = 0; i < n; i++) c->ids[c->n + i] = ids[i], c->positions[c->n + i] = (int32_t)i;
    for (int64_t i = 0; i < n_rows; i++) c->rows[at + i] = (int32_t)(c->n + rows[i]);
    c->segments[c->n_texts++] = (lm_segment){ .q0 = c->n, .nq = n, .k0 = c->n, .nk = n };
    c->first[c->n_texts] = at + n_rows;
    c->n += n;
    return LM_OK;
}

lm_status lm_classifier_add(lm_classifier *c, lm_span text, lm_err *err)
{
    lm_ids_clear(&c->text);
    LM_TRY(lm_encoder_run(c->encoder, &c->text, text.data, text.len, LM_ENCODE_SPECIAL, err));
    LM_TRY(fit(c, err));
    int64_t n = (int64_t)c->text.len, last = n - 1;
    return lm_classifier_add_ids(c, c->text.data, n, &last, 1, err);
}

int64_t lm_classifier_context(const lm_classifier *c) { return c->context; }
int64_t lm_classifier_truncated(const lm_classifier *c) { return c->truncated; }
