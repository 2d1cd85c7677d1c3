/* Texts whose parts have different rights (lm_encoder_run_parts).
 *
 * Special tokens divide a text into stretches that do not see each other.  A stretch with a cut in it is
 * encoded once as a whole and once up to the cut: where the second is a beginning of the first, as it
 * nearly always is, the tokens are what any other reader of the text would make of it. */
#include "token/pipeline.h"

#include <string.h>

typedef struct run {
    lm_encoder *encoder;
    lm_ids *out, whole, head;
    const char *text;
    const lm_parts *parts;
    size_t cut;                      /* the next one */
    lm_err *err;
} run;

static bool is_own(const run *r, const lm_added_match *m)
{
    for (size_t i = m->begin; r->parts->foreign && i < m->end; i++)
        if (r->parts->foreign[i] && !strchr(" \t\r\n", r->text[i])) return false;      /* spaces that a token strips may be */
    return true;
}

/* The first special token at or after `at` whose bytes all may be one. */
static bool next_special(const run *r, size_t at, size_t n, lm_added_match *m)
{
    const lm_added *specials = lm_encoder_specials(r->encoder);
    for (; lm_added_find(specials, lm_span_of(r->text, n), at, true, m); at = m->token->lstrip ? m->end : m->begin + 1)
        if (is_own(r, m)) return true;
    return false;
}

static bool begins_with(const lm_ids *whole, const lm_ids *head)
{
    return head->len <= whole->len && (!head->len || !memcmp(whole->data, head->data, head->len * sizeof *head->data));
}

/* Appends the ids of text[*begin, end) up to the first cut where the whole does not divide, which *begin
 * becomes then, and otherwise end. */
static lm_status undivided(run *r, size_t *begin, size_t end)
{
    const lm_parts *p = r->parts;
    const size_t from = *begin, base = r->out->len;
    for (; r->cut < p->n_cuts && p->cuts[r->cut] <= from; r->cut++) p->at[r->cut] = base;
    lm_ids_clear(&r->whole);
    LM_TRY(lm_encoder_section(r->encoder, &r->whole, lm_span_of(r->text + from, end - from), from == 0, r->err));
    lm_ids *chosen = &r->whole;
    for (*begin = end; r->cut < p->n_cuts && p->cuts[r->cut] < end; r->cut++) {
        size_t cut = p->cuts[r->cut];
        lm_ids_clear(&r->head);
        LM_TRY(lm_encoder_section(r->encoder, &r->head, lm_span_of(r->text + from, cut - from), from == 0, r->err));
        p->at[r->cut] = base + r->head.len;
        if (begins_with(&r->whole, &r->head)) continue;
        chosen = &r->head;
        *begin = cut;
        break;
    }
    lm_ids_append(r->out, chosen->data, chosen->len);
    r->out->replaced += chosen->replaced;
    return LM_OK;
}

static lm_status stretch(run *r, size_t begin, size_t end)
{
    while (begin < end) LM_TRY(undivided(r, &begin, end));
    return LM_OK;
}

static lm_status run_all(run *r, size_t n)
{
    size_t at = 0;
    for (lm_added_match m; next_special(r, at, n, &m); at = m.end) {
        LM_TRY(stretch(r, at, m.begin));
        for (; r->cut < r->parts->n_cuts && r->parts->cuts[r->cut] <= m.begin; r->cut++) r->parts->at[r->cut] = r->out->len;
        lm_ids_push(r->out, m.token->id);
    }
    LM_TRY(stretch(r, at, n));
    for (; r->cut < r->parts->n_cuts; r->cut++) r->parts->at[r->cut] = r->out->len;
    return LM_OK;
}

lm_status lm_encoder_run_parts(lm_encoder *encoder, lm_ids *out, const char *text, size_t n, const lm_parts *parts, lm_err *err)
{
    run r = { .encoder = encoder, .out = out, .text = text, .parts = parts, .err = err };
    lm_status status = run_all(&r, n);
    lm_ids_free(&r.whole);
    lm_ids_free(&r.head);
    return status;
}
