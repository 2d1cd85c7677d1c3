/* Ids to text, as a stream. */
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

struct lm_decoder {
    const lm_tokenizer *tk;
    unsigned flags;
    lm_decode_state *states;         /* one for each step */
    int64_t tokens;
    lm_str text;                     /* decoded and not yet given out */
};

lm_decoder *lm_decoder_new(const lm_tokenizer *tk, unsigned flags)
{
    lm_decoder *d = lm_calloc(1, sizeof *d);
    d->tk = tk;
    d->flags = flags;
    d->states = lm_calloc((size_t)tk->decoders.n, sizeof *d->states);
    return d;
}

void lm_decoder_free(lm_decoder *d)
{
    if (!d) return;
    for (int i = 0; i < d->tk->decoders.n; i++) lm_str_free(&d->states[i].held);
    free(d->states);
    lm_str_free(&d->text);
    free(d);
}

static void run_step(lm_decoder *d, int index, lm_span token)
{
    if (index == d->tk->decoders.n) {
        lm_str_append(&d->text, token.data, token.len);
        return;
    }
    const lm_step *step = &d->tk->decoders.items[index];
    const lm_token_decoder *kind = step->kind;
    lm_decode_state *at = &d->states[index];
    kind->push(step->state, d, at, token);
    at->tokens++;
}

void lm_decode_next(lm_decoder *d, lm_decode_state *at, lm_span token)
{
    run_step(d, (int)(at - d->states) + 1, token);
}

/* Without a decoder the reference joins tokens with spaces. */
static lm_status push(lm_decoder *d, int32_t id, lm_err *err)
{
    lm_span token = lm_token_text(d->tk, id);
    if (!token.data) return lm_fail(err, LM_E_MISMATCH, "token id %d is not in the vocabulary of %d", id, d->tk->vocab.n);
    if ((d->flags & LM_DECODE_SKIP_SPECIAL) && d->tk->special[id]) return LM_OK;
    if (!d->tk->decoders.n && d->tokens > 0) lm_str_putc(&d->text, ' ');
    d->tokens++;
    run_step(d, 0, token);
    return LM_OK;
}

/* How many bytes at the end of text are the beginning of a character that may still be completed. */
static size_t incomplete_tail(const lm_str *text)
{
    for (size_t back = 1; back <= 3 && back <= text->len; back++) {
        uint8_t byte = (uint8_t)text->data[text->len - back];
        if ((byte & 0xC0) == 0x80) continue;
        size_t need = byte >= 0xF0 && byte < 0xF5 ? 4 : byte >= 0xE0 && byte < 0xF0 ? 3 : byte >= 0xC2 && byte < 0xE0 ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

lm_status lm_decoder_push(lm_decoder *d, int32_t id, lm_str *out, lm_err *err)
{
    LM_TRY(push(d, id, err));
    size_t held = incomplete_tail(&d->text), ready = d->text.len - held;
    if (!ready) return LM_OK;
    lm_str_append(out, d->text.data, ready);
    memmove(d->text.data, d->text.data + ready, held + 1);
    d->text.len = held;
    return LM_OK;
}

void lm_decoder_finish(lm_decoder *d, lm_str *out)
{
    for (int i = 0; i < d->tk->decoders.n; i++) {
        const lm_step *step = &d->tk->decoders.items[i];
        const lm_token_decoder *kind = step->kind;
        if (kind->finish) kind->finish(step->state, d, &d->states[i]);
    }
    lm_str_append(out, d->text.data, d->text.len);
    lm_str_clear(&d->text);
    d->tokens = 0;
    for (int i = 0; i < d->tk->decoders.n; i++) {
        lm_str_clear(&d->states[i].held);
        d->states[i].tokens = d->states[i].count = 0;
    }
}

lm_status lm_decode(const lm_tokenizer *tk, lm_str *out, const int32_t *ids, size_t n, unsigned flags, lm_err *err)
{
    lm_decoder *d = lm_decoder_new(tk, flags);
    lm_status status = LM_OK;
    for (size_t i = 0; i < n && !status; i++) status = push(d, ids[i], err);
    lm_decoder_finish(d, out);
    lm_decoder_free(d);
    return status;
}
