#define _GNU_SOURCE   /* memmem */
#include "infer/session.h"

#include "base/thread.h"
#include "nn/adapter.h"
#include "nn/head.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_STEP_TOKENS = 1024, MAX_EOS = 32 };

struct lm_session {
    lm_model *m;
    const lm_tokenizer *tk;
    lm_tape tape;
    lm_kv kv;
    lm_sampler *samplers;                /* [n_samplers] one for each thread */
    int n_samplers;
    int64_t context, step_tokens, n_tokens;
    int32_t eos[MAX_EOS];
    int n_eos;
    lm_sequence *first, **end;           /* in order of arrival, which is the order of service; where the next one is hung */
    lm_sequence **held;                  /* [n_held] those with rows, by their rows */
    int64_t n_held, cap_held;

    /* The batch of a step. */
    int32_t *ids, *positions, *rows, *index;     /* [step_tokens] */
    lm_segment *segments;                        /* [step_tokens] */
    uint64_t *off;                               /* [step_tokens] */
    lm_sequence **asking;                        /* [step_tokens] who gets the logits of index[i] */
    lm_draw *draws;                              /* [step_tokens] what they draw */
};

const char *lm_finish_name(lm_finish finish)
{
    static const char *const names[] = { "running", "eos", "stop", "length", "context", "cancelled" };
    return names[finish];
}

lm_dtype lm_compute_auto(const lm_model *m, const lm_kernels *k)
{
    lm_dtype stored = m->embedding->dtype;
    return k->bf16_units && (stored == LM_BF16 || stored == LM_F16) ? LM_BF16 : LM_F32;
}

/* ---- the session ----------------------------------------------------------------- */

static void add_eos(lm_session *s, int64_t id)
{
    if (id < 0 || id >= s->m->config.vocab_size || s->n_eos == MAX_EOS) return;
    for (int i = 0; i < s->n_eos; i++)
        if (s->eos[i] == id) return;
    s->eos[s->n_eos++] = (int32_t)id;
}

/* What a sequence may hold on which the adapters `off` do not act. */
static lm_status find_context(int64_t *out, const lm_session *s, uint64_t off, lm_err *err)
{
    int64_t limit = lm_model_context(s->m, off);
    *out = s->context > 0 ? s->context : limit;
    if (*out > 0 && *out <= limit) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "a context of %lld tokens: the model was made for %lld%s", (long long)*out, (long long)limit,
                   lm_model_virtual(s->m, off) ? " behind what its adapters put in front" : "");
}

static void allocate_batch(lm_session *s, int64_t step_tokens)
{
    size_t n = (size_t)(s->step_tokens = step_tokens > 0 ? step_tokens : DEFAULT_STEP_TOKENS);
    s->ids = lm_calloc(n, sizeof *s->ids);
    s->positions = lm_calloc(n, sizeof *s->positions);
    s->rows = lm_calloc(n, sizeof *s->rows);
    s->index = lm_calloc(n, sizeof *s->index);
    s->segments = lm_calloc(n, sizeof *s->segments);
    s->off = lm_calloc(n, sizeof *s->off);
    s->asking = lm_calloc(n, sizeof *s->asking);
    s->draws = lm_calloc(n, sizeof *s->draws);
}

/* Many models have more rows than their tokenizer has ids, to round the number up: those are never drawn. */
static void allocate_samplers(lm_session *s)
{
    int64_t rows = s->m->config.vocab_size, ids = s->tk ? lm_tokenizer_vocab_size(s->tk) : rows;
    s->n_samplers = lm_threads();
    s->samplers = lm_calloc((size_t)s->n_samplers, sizeof *s->samplers);
    for (int i = 0; i < s->n_samplers; i++) lm_sampler_init(&s->samplers[i], ids < rows ? ids : rows);
}

lm_status lm_session_new(lm_session **out, lm_model *m, const lm_kernels *k, const lm_tokenizer *tk,
                         const lm_session_options *options, lm_err *err)
{
    *out = NULL;
    LM_TRY(lm_model_need_lm_head(m, err));
    lm_session *s = lm_calloc(1, sizeof *s);
    s->m = m;
    s->tk = tk;
    s->end = &s->first;
    s->context = options->context;
    for (int i = 0; i < options->n_eos; i++) add_eos(s, options->eos[i]);
    for (int i = 0; i < m->config.n_eos; i++) add_eos(s, m->config.eos_id[i]);
    if (tk) add_eos(s, lm_eos_id(tk));
    allocate_batch(s, options->step_tokens);
    allocate_samplers(s);

    uint64_t every = m->adapters && m->adapters->next ? ~(uint64_t)0 : 0;     /* of several, each sequence has its own */
    int64_t context;
    lm_status status = find_context(&context, s, every, err);
    if (status == LM_OK) status = lm_tape_init(&s->tape, k, &(lm_tape_options){ .compute = options->compute }, err);
    if (status == LM_OK) {
        int64_t rows = options->rows > 0 ? options->rows : context;
        status = lm_kv_init(&s->kv, m, rows + lm_model_virtual(m, 0), options->compute, LM_ARENA_REAL, err);
    }
    if (status != LM_OK) {
        lm_session_free(s);
        return status;
    }
    *out = s;
    return LM_OK;
}

static void sequence_free(lm_sequence *q)
{
    lm_ids_free(&q->ids);
    free(q->logprobs);
    lm_str_free(&q->text);
    for (int i = 0; i < q->n_stops; i++) free(q->stops[i]);
    free(q->stops);
    lm_decoder_free(q->decoder);
    free(q);
}

void lm_session_free(lm_session *s)
{
    if (!s) return;
    s->n_held = 0;
    while (s->first) lm_session_drop(s, s->first);
    free(s->held);
    lm_kv_free(&s->kv);
    lm_tape_free(&s->tape);
    for (int i = 0; i < s->n_samplers; i++) lm_sampler_free(&s->samplers[i]);
    free(s->samplers);
    free(s->ids);
    free(s->positions);
    free(s->rows);
    free(s->index);
    free(s->segments);
    free(s->off);
    free(s->asking);
    free(s->draws);
    free(s);
}

int64_t lm_session_context(const lm_session *s) { return s->context > 0 ? s->context : lm_model_context(s->m, 0); }
int64_t lm_session_tokens(const lm_session *s) { return s->n_tokens; }

/* ---- sequences --------------------------------------------------------------------- */

static lm_status check_request(const lm_session *s, const lm_request *r, lm_err *err)
{
    int64_t context;
    LM_TRY(find_context(&context, s, r->off, err));
    if (r->n_prompt < 1) {
        return lm_fail(err, LM_E_MISMATCH, "an empty prompt, and the tokenizer puts nothing before a text to begin with");
    }
    if (r->n_prompt >= context && !r->slide) {
        return lm_fail(err, LM_E_MISMATCH, "the prompt has %lld tokens and the context holds %lld, the answer included",
                       (long long)r->n_prompt, (long long)context);
    }
    for (int64_t i = 0; i < r->n_prompt; i++) {
        if (r->prompt[i] >= 0 && r->prompt[i] < s->m->config.vocab_size) continue;
        return lm_fail(err, LM_E_MISMATCH, "token %lld of the prompt is %d, the model's vocabulary has %lld",
                       (long long)i, r->prompt[i], (long long)s->m->config.vocab_size);
    }
    return LM_OK;
}

static void set_stops(lm_sequence *q, const lm_strings *stop)
{
    for (int i = 0; i < q->n_stops; i++) free(q->stops[i]);
    free(q->stops);
    q->stops = NULL;
    q->n_stops = 0;
    if (!stop || stop->n == 0) return;
    q->stops = lm_calloc((size_t)stop->n, sizeof *q->stops);
    for (int i = 0; i < stop->n; i++)
        if (stop->items[i][0]) q->stops[q->n_stops++] = lm_strdup(stop->items[i]);
}

/* Brings a full window back to half of the context, to be read anew from position 0. */
static void slide(lm_sequence *q)
{
    q->start = (int64_t)q->ids.len - q->context / 2;
    q->cached = 0;
    q->slides++;
}

/* Everything of the sequence but its rows and what they hold. */
static lm_status begin(lm_session *s, lm_sequence *q, const lm_request *r, lm_err *err)
{
    lm_ids_clear(&q->ids);
    lm_ids_append(&q->ids, r->prompt, (size_t)r->n_prompt);
    lm_str_clear(&q->text);
    q->n_prompt = r->n_prompt;
    q->n_virtual = lm_model_virtual(s->m, r->off);
    q->context = s->context > 0 ? s->context : lm_model_context(s->m, r->off);
    q->finish = r->max_new_tokens == 0 ? LM_FINISH_LENGTH : LM_FINISH_NOT;
    q->slides = 0;
    q->emitted = 0;
    set_stops(q, r->stop);
    q->request = *r;
    q->request.prompt = NULL;
    q->request.stop = NULL;
    if ((int64_t)q->ids.len - q->start >= q->context) slide(q);
    if (!s->tk) return LM_OK;

    /* The decoder sees the prompt, so that the first new word keeps the space before it. */
    lm_decoder_free(q->decoder);
    q->decoder = lm_decoder_new(s->tk, LM_DECODE_SKIP_SPECIAL);
    lm_str prompt = { 0 };
    lm_status status = LM_OK;
    for (size_t i = 0; i < q->ids.len && status == LM_OK; i++)
        status = lm_decoder_push(q->decoder, q->ids.data[i], &prompt, err);
    lm_str_free(&prompt);
    return status;
}

lm_status lm_session_add(lm_session *s, lm_sequence **out, const lm_request *request, lm_err *err)
{
    LM_TRY(check_request(s, request, err));
    lm_sequence *q = lm_calloc(1, sizeof *q);
    lm_status status = begin(s, q, request, err);
    if (status != LM_OK) {
        sequence_free(q);
        return status;
    }
    *s->end = *out = q;
    s->end = &q->next;
    return LM_OK;
}

lm_status lm_session_continue(lm_session *s, lm_sequence *q, const lm_request *request, lm_err *err)
{
    LM_ASSERT(q->finish != LM_FINISH_NOT);
    LM_TRY(check_request(s, request, err));
    /* At least the last token goes through the model again, for its logits. */
    int64_t same = 0, limit = q->start == 0 && request->off == q->request.off ? q->cached : 0;
    if (limit > request->n_prompt - 1) limit = request->n_prompt - 1;
    while (same < limit && request->prompt[same] == q->ids.data[same]) same++;
    q->cached = same;
    q->start = 0;
    return begin(s, q, request, err);
}

void lm_sequence_cancel(lm_sequence *q)
{
    if (q->finish == LM_FINISH_NOT) q->finish = LM_FINISH_CANCELLED;
}

/* ---- rows of the cache ---------------------------------------------------------------- */

static bool idle(const lm_sequence *q) { return q->finish != LM_FINISH_NOT && !q->request.keep; }

static void release_finished(lm_session *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_held; i++) {
        lm_sequence *q = s->held[i];
        if (idle(q)) q->n_rows = q->cached = 0;
        else s->held[n++] = q;
    }
    s->n_held = n;
}

void lm_session_drop(lm_session *s, lm_sequence *sequence)
{
    lm_sequence **at = &s->first;
    while (*at != sequence) at = &(*at)->next;
    *at = sequence->next;
    if (!*at) s->end = at;
    sequence->finish = LM_FINISH_CANCELLED;
    sequence->request.keep = false;
    release_finished(s);
    sequence_free(sequence);
}

/* The first gap of n rows, and how many of those that hold some lie before it; false when there is none. */
static bool find_gap(const lm_session *s, int64_t n, int64_t *row, int64_t *before)
{
    *row = 0;
    for (*before = 0; *before < s->n_held; ++*before) {
        const lm_sequence *q = s->held[*before];
        if (q->row >= *row + n) return true;
        *row = q->row + q->n_rows;
    }
    return *row + n <= s->kv.rows;
}

static void hold(lm_session *s, lm_sequence *q, int64_t before, int64_t row, int64_t n)
{
    if (s->n_held == s->cap_held) {
        s->cap_held = 2 * s->cap_held + 16;
        s->held = lm_realloc(s->held, (size_t)s->cap_held * sizeof *s->held);
    }
    memmove(s->held + before + 1, s->held + before, (size_t)(s->n_held++ - before) * sizeof *s->held);
    s->held[before] = q;
    q->row = row;
    q->n_rows = n;
    q->cached = 0;
}

/* In pieces that do not reach where they come from. */
static void move_down(lm_session *s, int64_t to, int64_t from, int64_t n)
{
    int64_t gap = from - to;
    for (int64_t i = 0; i < n; i += gap) lm_kv_move(&s->kv, s->tape.k, to + i, from + i, n - i < gap ? n - i : gap);
}

/* Moves every sequence down to where the one below it ends. */
static void compact(lm_session *s)
{
    int64_t free_row = 0;
    for (int64_t i = 0; i < s->n_held; i++) {
        lm_sequence *q = s->held[i];
        if (q->row > free_row) move_down(s, free_row, q->row, q->n_virtual + q->cached);
        q->row = free_row;
        free_row += q->n_rows;
    }
}

static int64_t rows_wanted(const lm_sequence *q)
{
    const lm_request *r = &q->request;
    int64_t prompt = (int64_t)q->ids.len - q->start;
    if (r->keep || r->slide || r->max_new_tokens < 0 || r->max_new_tokens > q->context - prompt) return q->n_virtual + q->context;
    return q->n_virtual + prompt + r->max_new_tokens;
}

/* Gives rows to those who wait, in order, as far as they go. */
static lm_status admit(lm_session *s, lm_err *err)
{
    release_finished(s);
    for (lm_sequence *q = s->first; q; q = q->next) {
        if (q->finish != LM_FINISH_NOT || q->n_rows > 0) continue;
        int64_t n = rows_wanted(q), row, before;
        if (n > s->kv.rows) {
            return lm_fail(err, LM_E_MISMATCH, "a sequence of %lld tokens: the cache has %lld rows", (long long)n,
                           (long long)s->kv.rows);
        }
        if (!find_gap(s, n, &row, &before)) {
            compact(s);
            if (!find_gap(s, n, &row, &before)) return LM_OK;
        }
        hold(s, q, before, row, n);
    }
    return LM_OK;
}

/* ---- text ------------------------------------------------------------------------------ */

/* Where the earliest stop string begins in text[from ..), or text's length. */
static size_t find_stop(const lm_sequence *q, size_t from)
{
    size_t found = q->text.len;
    for (int i = 0; i < q->n_stops; i++) {
        size_t n = strlen(q->stops[i]);
        size_t at = from > n - 1 ? from - (n - 1) : 0;      /* it may have begun in older text */
        const char *hit = q->text.len >= n + at ? memmem(q->text.data + at, q->text.len - at, q->stops[i], n) : NULL;
        if (hit && (size_t)(hit - q->text.data) < found) found = (size_t)(hit - q->text.data);
    }
    return found;
}

/* How many bytes at the end of the text could be the beginning of a stop string. */
static size_t withheld(const lm_sequence *q)
{
    size_t most = 0;
    for (int i = 0; i < q->n_stops; i++) {
        size_t n = strlen(q->stops[i]) - 1;
        if (n > q->text.len) n = q->text.len;
        while (n > most && memcmp(q->text.data + q->text.len - n, q->stops[i], n) != 0) n--;
        if (n > most) most = n;
    }
    return most;
}

static void emit(lm_sequence *q, size_t end)
{
    size_t from = q->emitted;
    if (end <= from) return;
    q->emitted = end;
    const lm_request *r = &q->request;
    if (r->on_text && !r->on_text(q, q->text.data + from, end - from, r->context)) lm_sequence_cancel(q);
}

/* Looks at text that has just grown from `from` bytes; the last of it when the sequence is done. */
static void deliver(lm_sequence *q, size_t from)
{
    size_t stop = find_stop(q, from);
    if (stop < q->text.len) {
        q->text.len = stop;
        q->text.data[stop] = '\0';
        q->finish = LM_FINISH_STOP;
    }
    emit(q, q->finish == LM_FINISH_NOT ? q->text.len - withheld(q) : q->text.len);
}

static bool is_eos(const lm_session *s, int32_t id)
{
    for (int i = 0; i < s->n_eos; i++)
        if (s->eos[i] == id) return true;
    return false;
}

/* Appends a drawn token, and sees whether it was the last. */
static lm_status accept(lm_session *s, lm_sequence *q, lm_draw draw, lm_err *err)
{
    const lm_request *r = &q->request;
    lm_ids_push(&q->ids, draw.id);
    int64_t n_new = (int64_t)q->ids.len - q->n_prompt;
    if ((n_new & (n_new - 1)) == 0) q->logprobs = lm_realloc(q->logprobs, (size_t)n_new * 2 * sizeof *q->logprobs);
    q->logprobs[n_new - 1] = draw.logprob;

    bool full = (int64_t)q->ids.len - q->start >= q->context;
    if (!r->ignore_eos && is_eos(s, draw.id)) q->finish = LM_FINISH_EOS;
    else if (n_new == r->max_new_tokens) q->finish = LM_FINISH_LENGTH;
    else if (full && !r->slide) q->finish = LM_FINISH_CONTEXT;
    else if (full) slide(q);
    if (!s->tk) return LM_OK;

    size_t from = q->text.len;
    if (q->finish != LM_FINISH_EOS) LM_TRY(lm_decoder_push(q->decoder, draw.id, &q->text, err));
    if (q->finish != LM_FINISH_NOT) lm_decoder_finish(q->decoder, &q->text);
    deliver(q, from);
    return LM_OK;
}

/* ---- a step ------------------------------------------------------------------------------ */

/* Puts the next n tokens of a sequence into the batch. */
static void put(lm_session *s, lm_batch *batch, lm_sequence *q, int64_t n, int64_t *n_asking)
{
    int64_t at = batch->n_tokens;
    for (int64_t i = 0; i < n; i++) {
        s->ids[at + i] = q->ids.data[q->start + q->cached + i];
        s->positions[at + i] = (int32_t)(q->cached + i);
        s->rows[at + i] = (int32_t)(q->row + q->cached + i);
    }
    q->cached += n;
    s->off[batch->n_segments] = q->request.off;
    s->segments[batch->n_segments++] = (lm_segment){ .q0 = at, .nq = n, .k0 = q->row, .nk = q->cached };
    batch->n_tokens += n;
    if (q->start + q->cached < (int64_t)q->ids.len) return;       /* the rest of its prompt comes next step */
    s->index[*n_asking] = (int32_t)(batch->n_tokens - 1);
    s->asking[(*n_asking)++] = q;
}

/* Those who decode go first, one token each; what is left of the step reads prompts. */
static int64_t gather(lm_session *s, lm_batch *batch)
{
    int64_t n_asking = 0;
    for (int reads = 0; reads < 2; reads++) {
        for (lm_sequence *q = s->first; q; q = q->next) {
            int64_t room = s->step_tokens - batch->n_tokens;
            int64_t waiting = (int64_t)q->ids.len - q->start - q->cached;
            if (q->finish != LM_FINISH_NOT || q->n_rows == 0 || waiting == 0 || room == 0) continue;
            if ((waiting > 1) == reads) put(s, batch, q, waiting < room ? waiting : room, &n_asking);
        }
    }
    return n_asking;
}

/* Logits [n_asking, V] of the batch; NULL with the tape's error. */
static const float *compute(lm_session *s, const lm_batch *batch, int64_t n_asking)
{
    lm_tape_reset(&s->tape);
    lm_forward f = { .t = &s->tape, .m = s->m, .batch = batch, .kv = &s->kv };
    lm_tensor *hidden = lm_model_forward(&f);
    if (n_asking > 0) hidden = lm_model_logits(&f, hidden, lm_input(&s->tape, s->index, LM_I32, 1, &n_asking));
    return s->tape.err.code == LM_OK ? hidden->data : NULL;
}

typedef struct drawing {
    lm_session *s;
    const float *logits;                 /* [n, V] */
    int64_t n;
    lm_err *err;                         /* [n_samplers] */
} drawing;

/* The draws of the sampler `one` in its part of those who ask. */
static void draw_part(drawing *d, int one)
{
    lm_session *s = d->s;
    int64_t begin = d->n * one / s->n_samplers, end = d->n * (one + 1) / s->n_samplers;
    for (int64_t i = begin; i < end; i++) {
        const lm_sequence *q = s->asking[i];
        if (lm_sample(&s->samplers[one], &s->draws[i], d->logits + i * s->m->config.vocab_size, &q->request.sampling,
                      q->ids.data + q->start, (int64_t)q->ids.len - q->start, q->request.stream, (uint64_t)q->ids.len,
                      &d->err[one]) != LM_OK) return;
    }
}

static void draw_parts(int64_t begin, int64_t end, void *context)
{
    for (int64_t one = begin; one < end; one++) draw_part(context, (int)one);
}

/* A token to s->draws for each of the first n of s->asking, on all threads. */
static lm_status draw_all(lm_session *s, const float *logits, int64_t n, lm_err *err)
{
    drawing d = { .s = s, .logits = logits, .n = n, .err = lm_calloc((size_t)s->n_samplers, sizeof *d.err) };
    lm_parallel(s->n_samplers, 1, draw_parts, &d);
    lm_status status = LM_OK;
    for (int i = 0; i < s->n_samplers && status == LM_OK; i++)
        if (d.err[i].code != LM_OK) status = lm_fail(err, d.err[i].code, "%s", d.err[i].message);
    free(d.err);
    return status;
}

static int64_t count_live(const lm_session *s)
{
    int64_t n = 0;
    for (const lm_sequence *q = s->first; q; q = q->next) n += q->finish == LM_FINISH_NOT;
    return n;
}

lm_status lm_session_step(lm_session *s, int64_t *live, lm_err *err)
{
    LM_TRY(admit(s, err));
    lm_batch batch = { .ids = s->ids, .positions = s->positions, .segments = s->segments, .cache_rows = s->rows, .off = s->off };
    int64_t n_asking = gather(s, &batch);
    if (batch.n_tokens > 0) {
        const float *logits = compute(s, &batch, n_asking);
        if (!logits) return lm_fail(err, s->tape.err.code, "%s", s->tape.err.message);
        s->n_tokens += batch.n_tokens;
        LM_TRY(draw_all(s, logits, n_asking, err));
        for (int64_t i = 0; i < n_asking; i++) LM_TRY(accept(s, s->asking[i], s->draws[i], err));
    }
    *live = count_live(s);
    return LM_OK;
}

lm_status lm_session_run(lm_session *s, lm_err *err)
{
    for (int64_t live = 1; live > 0;) LM_TRY(lm_session_step(s, &live, err));
    return LM_OK;
}
