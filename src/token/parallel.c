/* One text with many threads: cut where it divides (divide.c), its parts encoded by whoever is free, their
 * ids joined in order.  The ids do not depend on the number of threads, because they do not depend on the
 * cuts.  A pipeline of which that is not known is run by one thread. */
#include "token/pipeline.h"

#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 1 << 17,                  /* bytes, about: hundreds of parts in a text that is worth threads */
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
    lm_status status;
    lm_err err;
} part;

typedef struct job {
    lm_text_encoder *encoder;
    lm_span text;
    lm_place place;                  /* of the first part */
    part *parts;
    size_t n;
    atomic_size_t next;
} job;

static bool divides_at(const lm_tokenizer *tk, lm_span text, size_t at)
{
    return lm_divides_at(tk, text, at) && !tk->token_ends[(uint8_t)text.data[at - 1]];
}

static void cut_into_parts(job *j)
{
    const lm_tokenizer *tk = j->encoder->tk;
    j->parts = lm_calloc(j->text.len / PART + 1, sizeof *j->parts);
    for (size_t at = 0; at < j->text.len;) {
        size_t end = j->text.len - at > PART ? at + PART : j->text.len;
        while (end < j->text.len && !divides_at(tk, j->text, end)) end++;
        j->parts[j->n++] = (part){ .begin = at, .end = end };
        at = end;
    }
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

static lm_status join(const job *j, lm_ids *out, lm_err *err)
{
    lm_status status = LM_OK;
    size_t total = out->len;
    for (size_t i = 0; i < j->n; i++) total += j->parts[i].ids.len;
    lm_ids_reserve(out, total);
    for (size_t i = 0; i < j->n; i++) {
        part *p = &j->parts[i];
        if (!status && p->status) status = lm_fail(err, p->status, "%s", p->err.message);
        lm_ids_append(out, p->ids.data, p->ids.len);
        out->replaced += p->ids.replaced;
        lm_ids_free(&p->ids);
    }
    free(j->parts);
    return status;
}

static lm_status encode_all(lm_text_encoder *e, lm_ids *out, lm_span text, lm_place place, lm_err *err)
{
    job j = { .encoder = e, .text = text, .place = place };
    cut_into_parts(&j);
    lm_parallel(e->n, 1, encode_parts, &j);
    return join(&j, out, err);
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
    return LM_OK;
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
