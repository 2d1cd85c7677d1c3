/* Perplexity: how well a model predicts a text that it has not seen.
 *
 *   loss = 1/n sum_t -ln p(x_t | what stands before it)      mean over the n predicted tokens, in nats
 *   perplexity = exp(loss)
 *   bits_per_byte = sum_t -log2 p(x_t | ..) / bytes of the text as UTF-8
 *
 * (Jelinek et al. 1977; bits per byte as in Gao et al. 2020, "The Pile", section 3.1: unlike perplexity it
 * can be compared between tokenizers.)
 *
 * A document longer than the context is read in windows that begin `stride` tokens apart; each scores only
 * the tokens that no window before it has scored, so every token but the first of a document is predicted
 * exactly once, with at least context - stride tokens before it where the document has them.  The first
 * token is predicted only when the tokenizer puts one in front.  Windows go through the model together, end
 * to end.  Left out: a window across documents. */
#include "eval/eval.h"

#include "data/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct perplexity_options {
    int64_t context, stride, batch_tokens;
    const char *format, *field;
} perplexity_options;

static const lm_option options[] = {
    LM_OPTION(INT, perplexity_options, context, "context", .fallback = "0", .max = 1 << 30,
              .help = "tokens of a window (0: the model's limit, at most 2048)"),
    LM_OPTION(INT, perplexity_options, stride, "stride", .fallback = "0", .max = 1 << 30,
              .help = "tokens from one window to the next (0: half of the context)"),
    LM_OPTION(INT, perplexity_options, batch_tokens, "batch-tokens", .fallback = "4096", .min = 1, .max = 1 << 24,
              .help = "tokens that go through the model at once"),
    LM_OPTION(STRING, perplexity_options, format, "format", .fallback = "auto", .help = "of the files: jsonl, csv, tsv, text"),
    LM_OPTION(STRING, perplexity_options, field, "field", .fallback = "text", .help = "of a row, where the text stands"),
    { 0 },
};

typedef struct measure {
    const lm_eval *e;
    int64_t context, stride, batch_tokens;
    lm_tape tape;
    lm_source *source;
    lm_encoder *encoder;
    lm_ids document;

    /* The windows that wait to go through the model. */
    int32_t *ids, *positions, *targets;  /* [batch_tokens] */
    lm_segment *segments;                /* [batch_tokens] */
    float *nll;                          /* [batch_tokens] */
    int64_t n, n_segments;

    double total;                        /* nats */
    int64_t predicted, bytes, documents;
} measure;

static lm_status choose_windows(measure *p, const perplexity_options *o, lm_err *err)
{
    int64_t limit = lm_model_context(p->e->model, 0);
    p->context = o->context ? o->context : limit < 2048 ? limit : 2048;
    p->stride = o->stride ? o->stride : (p->context + 1) / 2;
    if (p->context > limit) {
        return lm_fail(err, LM_E_USAGE, "--context %lld: the model was made for %lld tokens", (long long)p->context, (long long)limit);
    }
    if (p->context < 2) return lm_fail(err, LM_E_USAGE, "--context %lld: a window needs two tokens", (long long)p->context);
    if (p->stride >= p->context) {
        return lm_fail(err, LM_E_USAGE, "--stride %lld: expected less than the context of %lld, else tokens are left out",
                       (long long)p->stride, (long long)p->context);
    }
    p->batch_tokens = o->batch_tokens > p->context ? o->batch_tokens : p->context;
    return LM_OK;
}

/* Runs the windows that wait, and counts what they predict. */
static lm_status flush(measure *p, lm_err *err)
{
    if (p->n == 0) return LM_OK;
    lm_tape *t = &p->tape;
    lm_tape_reset(t);
    const lm_batch batch = { .n_tokens = p->n, .n_segments = p->n_segments, .ids = p->ids, .positions = p->positions,
                             .segments = p->segments };
    lm_forward f = { .t = t, .m = p->e->model, .batch = &batch };
    const lm_cross_entropy_options how = { .nll = p->nll };
    lm_model_loss(&f, lm_model_forward(&f), p->targets, &how);
    if (t->err.code) return lm_fail(err, t->err.code, "%s", t->err.message);
    for (int64_t i = 0; i < p->n; i++) {
        if (!isfinite(p->nll[i])) {
            return lm_fail(err, LM_E_NUMERIC, "the loss of a token in document %lld is %f", (long long)p->documents, (double)p->nll[i]);
        }
        p->total += p->nll[i];
        p->predicted += p->targets[i] >= 0;
    }
    p->n = p->n_segments = 0;
    return LM_OK;
}

/* Queues tokens [begin, end) of the document; those that stand at `from` or later are predicted. */
static lm_status add_window(measure *p, int64_t begin, int64_t end, int64_t from, lm_err *err)
{
    if (p->n + (end - begin) > p->batch_tokens) LM_TRY(flush(p, err));
    int64_t at = p->n, n = end - begin;
    for (int64_t i = 0; i < n; i++) {
        bool scored = i + 1 < n && begin + i + 1 >= from;
        p->ids[at + i] = p->document.data[begin + i];
        p->positions[at + i] = (int32_t)i;
        p->targets[at + i] = scored ? p->document.data[begin + i + 1] : -1;
    }
    p->segments[p->n_segments++] = (lm_segment){ .q0 = at, .nq = n, .k0 = at, .nk = n };
    p->n += n;
    return LM_OK;
}

static lm_status add_document(measure *p, lm_span text, lm_err *err)
{
    lm_ids_clear(&p->document);
    LM_TRY(lm_encoder_run(p->encoder, &p->document, text.data, text.len, LM_ENCODE_BOS, err));
    p->bytes += (int64_t)text.len;
    p->documents++;
    int64_t n = (int64_t)p->document.len;
    for (int64_t begin = 0, end = 1; end < n; begin += p->stride) {
        int64_t from = end;
        end = begin + p->context < n ? begin + p->context : n;
        LM_TRY(add_window(p, begin, end, from, err));
        bool slow = n > 8 * p->context;
        if (p->e->progress && !p->e->progress(p->e->context, slow ? (double)end / (double)n : -1)) {
            return lm_fail(err, LM_E_INTERRUPT, "stopped in document %lld", (long long)p->documents);
        }
    }
    return LM_OK;
}

static lm_status read_all(measure *p, const char *field, lm_err *err)
{
    for (bool more = true;;) {
        lm_row row = { 0 };
        lm_status status = lm_source_next(p->source, &row, &more, err);
        lm_span text;
        if (status == LM_OK && more) status = lm_row_text(&row, field, &text, err);
        if (status == LM_OK && more) {
            status = add_document(p, text, err);
            if (status != LM_OK) lm_context(err, "%s:%lld", row.path, (long long)row.line);
        }
        lm_row_free(&row);
        LM_TRY(status);
        if (!more) return flush(p, err);
    }
}

static lm_status allocate(measure *p, lm_err *err)
{
    size_t n = (size_t)p->batch_tokens;
    p->ids = lm_calloc(n, sizeof *p->ids);
    p->positions = lm_calloc(n, sizeof *p->positions);
    p->targets = lm_calloc(n, sizeof *p->targets);
    p->segments = lm_calloc(n, sizeof *p->segments);
    p->nll = lm_calloc(n, sizeof *p->nll);
    p->encoder = lm_encoder_new(p->e->tokenizer);
    return lm_tape_init(&p->tape, p->e->kernels, &(lm_tape_options){ .compute = p->e->compute }, err);
}

static void release(measure *p)
{
    lm_source_close(p->source);
    lm_encoder_free(p->encoder);
    lm_ids_free(&p->document);
    lm_tape_free(&p->tape);
    free(p->ids);
    free(p->positions);
    free(p->targets);
    free(p->segments);
    free(p->nll);
}

static lm_status measure_all(measure *p, const perplexity_options *o, lm_err *err)
{
    LM_TRY(choose_windows(p, o, err));
    LM_TRY(lm_source_open(&p->source, &p->e->data, &(lm_source_options){ .format = o->format }, err));
    LM_TRY(allocate(p, err));
    LM_TRY(read_all(p, o->field, err));
    if (p->predicted > 0) return LM_OK;
    return lm_fail(err, LM_E_FORMAT, "%s: no token to predict in %lld documents of %lld bytes", lm_source_name(p->source),
                   (long long)p->documents, (long long)p->bytes);
}

static lm_status run(const lm_eval *e, const void *values, lm_json **result, lm_err *err)
{
    measure p = { .e = e };
    lm_status status = measure_all(&p, values, err);
    if (status == LM_OK) {
        double loss = p.total / (double)p.predicted;
        *result = json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "loss", loss, "perplexity", exp(loss), "bits_per_byte",
                            p.total / log(2) / (double)p.bytes, "tokens", (json_int_t)p.predicted, "bytes",
                            (json_int_t)p.bytes, "documents", (json_int_t)p.documents, "context", (json_int_t)p.context,
                            "stride", (json_int_t)p.stride);
        if (!*result) status = lm_fail(err, LM_E_NUMERIC, "a mean loss of %g has no finite perplexity", loss);
    }
    release(&p);
    return status;
}

const lm_eval_task lm_eval_task_perplexity = {
    .name = "perplexity",
    .summary = "loss, perplexity and bits per byte of held-out text",
    .source = "Jelinek et al. 1977; Gao et al. 2020, section 3.1",
    .options = options,
    .values_size = sizeof(perplexity_options),
    .run = run,
};
