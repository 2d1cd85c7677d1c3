/* One text with many threads: cut where it divides (divide.c), its parts encoded by whoever is free, their
 * ids joined in order.  The ids do not depend on the number of threads, because they do not depend on the
 * cuts.  A pipeline of which that is not known is run by one thread. */
#include "token/pipeline.h"

#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 1 << 17,                  /* bytes, about */
    WAVE = 64,                       /* parts that are encoded before their ids are joined */
    BLOCK = 1 << 23,                 /* of a stream, encoded at once */
    AHEAD = 8,                       /* bytes that a division looks at */
};

struct lm_text_encoder {
    const lm_tokenizer *tk;
    unsigned flags;
    lm_encoder **encoders;           /* one for each thread, made when first needed */
    int n;
    lm_str text;                     /* of the stream, not yet encoded */
    size_t seen;                     /* bytes of it in which no division was found */
    bool begun;
};

/* ---- a text as it lies ---------------------------------------------------------------------------- */

typedef struct part {
    size_t begin, end;
    lm_ids ids;
    size_t at;                       /* where its ids belong */
    lm_status status;
    lm_err err;
} part;

/* Parts are encoded in waves, so that the memory of their ids is used again and stays in the cache. */
typedef struct job {
    lm_text_encoder *encoder;
    lm_span text;
    part parts[WAVE];
    size_t n;
    atomic_size_t next;
    lm_place place;                  /* of the first part */
    int32_t *ids;                    /* of all, where they are joined */
} job;

static bool divides_at(const lm_tokenizer *tk, lm_span text, size_t at)
{
    return lm_divides_at(tk, text, at) && !tk->token_ends[(uint8_t)text.data[at - 1]];
}

/* The parts of a wave, from `at` on; returns where they end. */
static size_t cut_into_parts(job *j, size_t at)
{
    const lm_tokenizer *tk = j->encoder->tk;
    for (j->n = 0; j->n < WAVE && at < j->text.len; j->n++) {
        size_t end = j->text.len - at > PART ? at + PART : j->text.len;
        while (end < j->text.len && !divides_at(tk, j->text, end)) end++;
        part *p = &j->parts[j->n];
        p->begin = at, p->end = at = end;
        p->ids.len = p->ids.replaced = 0;
    }
    return at;
}

static void encode_parts(int64_t first, int64_t last, void *context)
{
    job *j = context;
    lm_text_encoder *e = j->encoder;
    for (int64_t worker = first; worker < last; worker++) {
        for (size_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;) {
            if (!e->encoders[worker]) e->encoders[worker] = lm_encoder_new(e->tk);
            part *p = &j->parts[i];
            lm_span text = lm_span_of(j->text.data + p->begin, p->end - p->begin);
            p->status = lm_encoder_part(e->encoders[worker], &p->ids, text, i ? LM_PLACE_INSIDE : j->place, e->flags, &p->err);
        }
    }
}

/* Memory that nobody touched yet is half the cost of a copy: all threads share that too. */
static void place_parts(int64_t first, int64_t last, void *context)
{
    job *j = context;
    for (int64_t i = first; i < last; i++)
        if (j->parts[i].ids.len) memcpy(j->ids + j->parts[i].at, j->parts[i].ids.data, j->parts[i].ids.len * sizeof *j->ids);
}

/* The first wave tells how many ids are to come: memory for all of them, which is not moved again. */
static void reserve(const job *j, lm_ids *out, size_t total)
{
    if (total <= out->cap) return;
    double done = (double)j->parts[j->n - 1].end / (double)j->text.len;
    size_t expected = (size_t)((double)total / done * 1.1);
    lm_ids_reserve(out, expected > total ? expected : total);
}

static lm_status join(job *j, lm_ids *out, lm_err *err)
{
    size_t total = out->len;
    for (size_t i = 0; i < j->n; i++) {
        part *p = &j->parts[i];
        if (p->status) return lm_fail(err, p->status, "%s", p->err.message);
        p->at = total;
        total += p->ids.len;
        out->replaced += p->ids.replaced;
    }
    reserve(j, out, total);
    j->ids = out->data;
    lm_parallel((int64_t)j->n, 1, place_parts, j);
    out->len = total;
    return LM_OK;
}

static lm_status encode_all(lm_text_encoder *e, lm_ids *out, lm_span text, lm_place place, lm_err *err)
{
    job *j = lm_calloc(1, sizeof *j);
    j->encoder = e;
    j->text = text;
    j->place = place;
    lm_status status = LM_OK;
    for (size_t at = 0; at < text.len && !status; j->place = LM_PLACE_INSIDE) {
        at = cut_into_parts(j, at);
        j->next = 0;
        lm_parallel(e->n, 1, encode_parts, j);
        status = join(j, out, err);
    }
    for (size_t i = 0; i < WAVE; i++) lm_ids_free(&j->parts[i].ids);
    free(j);
    return status;
}

/* ---- a stream --------------------------------------------------------------------------------------- */

lm_text_encoder *lm_text_encoder_new(const lm_tokenizer *tk, unsigned flags)
{
    lm_text_encoder *e = lm_calloc(1, sizeof *e);
    e->tk = tk;
    e->flags = flags;
    e->n = lm_threads();
    e->encoders = lm_calloc((size_t)e->n, sizeof(lm_encoder *));
    return e;
}

void lm_text_encoder_free(lm_text_encoder *e)
{
    if (!e) return;
    for (int i = 0; i < e->n; i++) lm_encoder_free(e->encoders[i]);
    free(e->encoders);
    lm_str_free(&e->text);
    free(e);
}

static void begin(lm_text_encoder *e, lm_ids *out)
{
    if (!e->begun && e->flags & LM_ENCODE_BOS) lm_ids_append(out, e->tk->before.data, e->tk->before.len);
}

static lm_status encode_front(lm_text_encoder *e, lm_ids *out, size_t n, lm_err *err)
{
    begin(e, out);
    if (!n) return LM_OK;
    LM_TRY(encode_all(e, out, lm_span_of(e->text.data, n), e->begun ? LM_PLACE_INSIDE : LM_PLACE_FIRST, err));
    e->begun = true;
    e->text.len -= n;
    memmove(e->text.data, e->text.data + n, e->text.len);
    return LM_OK;
}

lm_status lm_text_encoder_push(lm_text_encoder *e, lm_ids *out, const char *text, size_t n, lm_err *err)
{
    lm_str_append(&e->text, text, n);
    if (e->text.len < BLOCK) return LM_OK;
    lm_span whole = lm_span_of(e->text.data, e->text.len);
    size_t at = whole.len - AHEAD;
    while (at > e->seen && !divides_at(e->tk, whole, at)) at--;
    if (at > e->seen) {
        e->seen = 0;
        return encode_front(e, out, at, err);
    }
    e->seen = whole.len - AHEAD;
    return lm_encoder_takes(whole.len, err);
}

lm_status lm_text_encoder_finish(lm_text_encoder *e, lm_ids *out, lm_err *err)
{
    LM_TRY(encode_front(e, out, e->text.len, err));
    if (e->flags & LM_ENCODE_EOS) lm_ids_append(out, e->tk->after.data, e->tk->after.len);
    e->begun = false;
    e->seen = 0;
    return LM_OK;
}

lm_status lm_encode_parallel(const lm_tokenizer *tk, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err)
{
    lm_text_encoder *e = lm_text_encoder_new(tk, flags);
    begin(e, out);
    lm_status status = encode_all(e, out, lm_span_of(text, n), LM_PLACE_FIRST, err);
    if (!status && flags & LM_ENCODE_EOS) lm_ids_append(out, tk->after.data, tk->after.len);
    lm_text_encoder_free(e);
    return status;
}
