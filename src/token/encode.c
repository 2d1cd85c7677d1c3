/* Text to ids: the pipeline at work. */
#include "token/cache.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum {
    CACHE_FROM = 4096,               /* one text shorter than this does not pay for a cache */
    PARALLEL_FROM = 1 << 20,         /* one shorter than this is soon done by one thread */
    WAITING = 16,
};

static const size_t longest_text = (size_t)256 << 20;   /* models count places in 32 bits */

/* A word on its way to the cache. */
typedef struct word {
    lm_span text;
    lm_cache_key key;
    bool raw;                        /* as it stands in the text, else a piece for the model */
} word;

struct lm_encoder {
    const lm_tokenizer *tk;
    lm_ids *out;
    lm_err *err;
    int step;                        /* of the pre-tokenisers, the next to run */
    lm_str *scratch;                 /* one for each */
    lm_str spelled, normal, repaired, stages[2];
    void *work;                      /* the model's */
    lm_cache *cache;
    lm_added *specials;              /* special tokens as they are written, once asked for */
    word waiting[WAITING];
    size_t n_waiting;
    lm_span divided;                 /* the text that the pre-tokenisers are at */
    bool alone;                      /* a raw word is at work: its pieces do not wait */
    bool allows;                     /* special tokens may be read in this text */
    bool keeps;                      /* the encoder outlives one text */
    void (*sink)(void *context, lm_span piece);   /* takes the pieces in the model's place, when set */
    void *sink_context;
};

/* ---- ids ---------------------------------------------------------------------------------- */

void lm_ids_reserve(lm_ids *ids, size_t cap)
{
    if (cap <= ids->cap) return;
    ids->cap = ids->cap + ids->cap / 2 > cap ? ids->cap + ids->cap / 2 : cap;
    if (ids->cap < 32) ids->cap = 32;
    ids->data = lm_realloc(ids->data, ids->cap * sizeof *ids->data);
}

void lm_ids_append(lm_ids *ids, const int32_t *data, size_t n)
{
    lm_ids_reserve(ids, ids->len + n);
    if (n) memcpy(ids->data + ids->len, data, n * sizeof *data);
    ids->len += n;
}

void lm_ids_push(lm_ids *ids, int32_t id) { lm_ids_append(ids, &id, 1); }
void lm_ids_clear(lm_ids *ids) { ids->len = ids->replaced = 0; }

void lm_ids_free(lm_ids *ids)
{
    if (!ids) return;
    free(ids->data);
    *ids = (lm_ids){0};
}

/* ---- encoder ------------------------------------------------------------------------------- */

static void encoder_init(lm_encoder *e, const lm_tokenizer *tk)
{
    *e = (lm_encoder){ .tk = tk };
    e->scratch = lm_calloc((size_t)tk->pretokenisers.n, sizeof *e->scratch);
}

static void encoder_release(lm_encoder *e)
{
    for (int i = 0; i < e->tk->pretokenisers.n; i++) lm_str_free(&e->scratch[i]);
    free(e->scratch);
    lm_str_free(&e->spelled), lm_str_free(&e->normal), lm_str_free(&e->repaired);
    lm_str_free(&e->stages[0]), lm_str_free(&e->stages[1]);
    if (e->tk->model->work_free) e->tk->model->work_free(e->work);
    lm_added_free(e->specials);
    lm_cache_free(e->cache);
}

lm_encoder *lm_encoder_new(const lm_tokenizer *tk)
{
    lm_encoder *e = lm_malloc(sizeof *e);
    encoder_init(e, tk);
    e->keeps = true;
    return e;
}

void lm_encoder_free(lm_encoder *e)
{
    if (!e) return;
    encoder_release(e);
    free(e);
}

static lm_status settle(lm_encoder *e);
static lm_status encode_alone(lm_encoder *e, lm_span text);

/* While a raw word is at work, those that wait are its neighbours. */
static lm_status settle_pieces(lm_encoder *e) { return e->alone ? LM_OK : settle(e); }

/* ---- one piece ------------------------------------------------------------------------------- */

/* Words wait in `waiting` until a few have come, so that the lines of the cache in which they may stand are
 * on their way before anyone looks.  Whoever appends ids by himself, or gives up the memory under a word,
 * settles first. */
static lm_status settle(lm_encoder *e)
{
    const lm_tokenizer *tk = e->tk;
    lm_status status = LM_OK;
    if (!e->n_waiting) return LM_OK;
    for (size_t i = 0; i < e->n_waiting && !status; i++) {
        const word *w = &e->waiting[i];
        if (lm_cache_get(e->cache, &w->key, e->out)) continue;
        size_t before = e->out->len;
        if (w->raw) status = encode_alone(e, w->text);
        else tk->model->encode(tk->model_state, &e->work, e->out, w->text);
        if (!status) lm_cache_put(e->cache, &w->key, e->out->data + before, e->out->len - before);
    }
    e->n_waiting = 0;
    lm_cache_tend(e->cache);
    return status;
}

static lm_status encode_word(lm_encoder *e, lm_span text, size_t room, bool raw)
{
    word *w = &e->waiting[e->n_waiting];
    w->text = text;
    w->raw = raw;
    lm_cache_key_set(&w->key, e->cache, text, room, raw);
    __builtin_prefetch(&e->cache->slots[w->key.at[0]]);
    __builtin_prefetch(&e->cache->slots[w->key.at[1]]);
    return ++e->n_waiting < WAITING ? LM_OK : settle(e);
}

/* How many bytes can be read where a piece begins: mostly all up to the end of the text that is divided. */
static size_t room_at(const lm_encoder *e, lm_span piece)
{
    uintptr_t from = (uintptr_t)piece.data - (uintptr_t)e->divided.data;
    return from < e->divided.len ? e->divided.len - from : piece.len;
}

static lm_status encode_piece(lm_encoder *e, lm_span piece)
{
    if (e->cache && !e->alone && piece.len <= LM_CACHE_WORD) return encode_word(e, piece, room_at(e, piece), false);
    LM_TRY(settle_pieces(e));
    e->tk->model->encode(e->tk->model_state, &e->work, e->out, piece);
    return LM_OK;
}

static lm_status run_model(lm_encoder *e, lm_span piece)
{
    const lm_token_model *model = e->tk->model;
    if (e->sink) return e->sink(e->sink_context, piece), LM_OK;
    if (!model->divide || e->tk->byte_level) return encode_piece(e, piece);
    while (piece.len) {
        size_t n = model->divide(e->tk->model_state, piece);
        LM_TRY(encode_piece(e, lm_span_of(piece.data, n)));
        piece = lm_span_of(piece.data + n, piece.len - n);
    }
    return LM_OK;
}

lm_str *lm_pieces_scratch(lm_pieces *e) { return &e->scratch[e->step - 1]; }
lm_err *lm_pieces_err(lm_pieces *e) { return e->err; }

lm_status lm_pieces_next(lm_pieces *e, lm_span piece, bool first)
{
    const lm_tokenizer *tk = e->tk;
    if (!piece.len) return LM_OK;
    if (e->step == tk->spell_at && !tk->byte_level) {
        LM_TRY(settle_pieces(e));
        lm_str_clear(&e->spelled);
        lm_bytes_spell(&e->spelled, piece);
        piece = lm_span_of(e->spelled.data, e->spelled.len);
    }
    if (e->step == tk->pretokenisers.n) return run_model(e, piece);

    const lm_step *step = &tk->pretokenisers.items[e->step];
    const lm_pretokeniser *kind = step->kind;
    if (e->scratch[e->step].len) {
        LM_TRY(settle_pieces(e));
        lm_str_clear(&e->scratch[e->step]);
    }
    e->step++;
    lm_status status = kind->split(step->state, e, piece, first);
    e->step--;
    return status;
}

/* ---- normalisation ------------------------------------------------------------------------------ */

static lm_status normalise(const lm_tokenizer *tk, lm_str stages[2], lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    for (int i = 0; i < tk->normalisers.n; i++) {
        const lm_step *step = &tk->normalisers.items[i];
        const lm_normaliser *kind = step->kind;
        bool last = i + 1 == tk->normalisers.n;
        lm_str *next = last ? out : &stages[i & 1];
        if (!last) lm_str_clear(next);
        LM_TRY(kind->apply(step->state, next, text, place, err));
        text = lm_span_of(next->data ? next->data : "", next->len);
    }
    return LM_OK;
}

lm_status lm_normalise(const lm_tokenizer *tk, lm_str *out, lm_span text, lm_place place, lm_err *err)
{
    if (!tk->normalisers.n) return lm_str_append(out, text.data, text.len), LM_OK;
    lm_str stages[2] = { {0}, {0} };
    lm_status status = normalise(tk, stages, out, text, place, err);
    lm_str_free(&stages[0]);
    lm_str_free(&stages[1]);
    return status;
}

/* Normalises the valid runs and keeps the bytes between them, for tokenizers that keep bytes; the others
 * see no invalid ones here, but from a trainer. */
static lm_status normalise_around_bytes(lm_encoder *e, lm_span text, lm_place place)
{
    bool spelled = e->tk->spell_at < 0;
    while (text.len) {
        size_t valid = e->tk->keeps_bytes || e->sink ? lm_utf8_valid(text.data, text.len) : text.len;
        if (valid) LM_TRY(normalise(e->tk, e->stages, &e->normal, lm_span_of(text.data, valid), place, e->err));
        if (valid == text.len) break;
        if (spelled) lm_bytes_spell(&e->normal, lm_span_of(text.data + valid, 1));
        else lm_str_putc(&e->normal, text.data[valid]);
        text = lm_span_of(text.data + valid + 1, text.len - valid - 1);
        place = LM_PLACE_BEHIND;
    }
    return LM_OK;
}

/* ---- one text ---------------------------------------------------------------------------------------- */

static lm_status encode_normalised(lm_encoder *e, lm_span text, bool first)
{
    e->divided = text;
    size_t at = 0;
    for (lm_added_match match; lm_added_find(e->tk->normalised, text, at, e->allows, &match); at = match.end) {
        LM_TRY(lm_pieces_next(e, lm_span_of(text.data + at, match.begin - at), first && at == 0));
        LM_TRY(settle_pieces(e));
        lm_ids_push(e->out, match.token->id);
    }
    LM_TRY(lm_pieces_next(e, lm_span_of(text.data + at, text.len - at), first && at == 0));
    return settle_pieces(e);
}

/* The pipeline over a text without unnormalised added tokens. */
static lm_status encode_stretch(lm_encoder *e, lm_span text, lm_place place)
{
    if (!e->tk->normalisers.n) return encode_normalised(e, text, place == LM_PLACE_FIRST);
    lm_str_clear(&e->normal);
    LM_TRY(normalise_around_bytes(e, text, place));
    return encode_normalised(e, lm_span_of(e->normal.data, e->normal.len), place == LM_PLACE_FIRST);
}

/* A raw word for the cache.  Its pieces are not worth remembering beside it. */
static lm_status encode_alone(lm_encoder *e, lm_span text)
{
    e->alone = true;
    lm_status status = encode_stretch(e, text, LM_PLACE_INSIDE);
    e->alone = false;
    return status;
}

/* Text between added tokens.  Special tokens that are sought after normalisation would make the ids of a word
 * depend on more than its bytes. */
static lm_status encode_gap(lm_encoder *e, lm_span text, lm_place place)
{
    if (!text.len) return LM_OK;
    if (!e->cache || !e->tk->words_are_raw || (e->allows && e->tk->specials_late)) return encode_stretch(e, text, place);
    size_t at = place == LM_PLACE_INSIDE ? 0 : lm_next_division(e->tk, text, 0);
    if (at) LM_TRY(encode_stretch(e, lm_span_of(text.data, at), place));
    for (size_t end; at < text.len; at = end) {
        end = lm_next_division(e->tk, text, at);
        lm_span raw = lm_span_of(text.data + at, end - at);
        if (raw.len <= LM_CACHE_WORD) {
            LM_TRY(encode_word(e, raw, text.len - at, true));
            continue;
        }
        LM_TRY(settle(e));
        LM_TRY(encode_stretch(e, raw, LM_PLACE_INSIDE));
    }
    return settle(e);
}

static lm_status encode_text(lm_encoder *e, lm_span text, lm_place place, bool specials)
{
    e->allows = specials;
    e->n_waiting = 0;                /* an error may have left some */
    e->alone = false;
    if (!e->tk->keeps_bytes && lm_utf8_valid(text.data, text.len) < text.len) {
        lm_str_clear(&e->repaired);
        e->out->replaced += lm_unicode_repair(&e->repaired, text, e->tk->repairs_bytes);
        text = lm_span_of(e->repaired.data, e->repaired.len);
    }
    size_t at = 0;
    for (lm_added_match match; lm_added_find(e->tk->raw, text, at, specials, &match); at = match.end) {
        LM_TRY(encode_gap(e, lm_span_of(text.data + at, match.begin - at), at ? LM_PLACE_BEHIND : place));
        lm_ids_push(e->out, match.token->id);
    }
    return encode_gap(e, lm_span_of(text.data + at, text.len - at), at ? LM_PLACE_BEHIND : place);
}

static void begin(lm_encoder *e, lm_ids *out, size_t n, lm_err *err)
{
    e->out = out;
    e->err = err;
    e->step = 0;
    if (!e->cache && e->tk->model->cache && (e->keeps || n >= CACHE_FROM)) 
        e->cache = lm_cache_new();
}

lm_status lm_encoder_takes(size_t n, lm_err *err)
{
    if (n <= longest_text) return LM_OK;
    return lm_fail(err, LM_E_UNSUPPORTED, "a text of %zu bytes or more that cannot be divided: at most %zu are encoded at once", n, longest_text);
}

lm_status lm_encoder_part(lm_encoder *e, lm_ids *out, lm_span text, lm_place place, unsigned flags, lm_err *err)
{
    LM_TRY(lm_encoder_takes(text.len, err));
    begin(e, out, text.len, err);
    return text.len ? encode_text(e, text, place, flags & LM_ENCODE_ALLOW_SPECIAL) : LM_OK;
}

lm_status lm_encoder_section(lm_encoder *e, lm_ids *out, lm_span text, bool first, lm_err *err)
{
    begin(e, out, text.len, err);
    return text.len ? encode_text(e, text, first ? LM_PLACE_FIRST : LM_PLACE_BEHIND, false) : LM_OK;
}

const lm_added *lm_encoder_specials(lm_encoder *e)
{
    if (e->specials) return e->specials;
    e->specials = lm_added_new();
    for (int i = 0; i < e->tk->n_added; i++)
        if (e->tk->added[i].special) lm_added_put(e->specials, e->tk->added[i].text, &e->tk->added[i]);
    return e->specials;
}

lm_status lm_encoder_run(lm_encoder *e, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err)
{
    const lm_tokenizer *tk = e->tk;
    if (n >= PARALLEL_FROM && tk->cuts[' ']) return lm_encode_parallel(tk, out, text, n, flags, err);
    if (flags & LM_ENCODE_BOS) lm_ids_append(out, tk->before.data, tk->before.len);
    LM_TRY(lm_encoder_part(e, out, lm_span_of(text, n), LM_PLACE_FIRST, flags, err));
    if (flags & LM_ENCODE_EOS) lm_ids_append(out, tk->after.data, tk->after.len);
    return LM_OK;
}

lm_status lm_encoder_pieces(lm_encoder *e, const char *text, size_t n, void (*sink)(void *context, lm_span piece), void *context, lm_err *err)
{
    lm_ids none = {0};
    e->sink = sink, e->sink_context = context;
    e->out = &none, e->err = err;
    e->step = 0;
    lm_span whole = lm_span_of(text, n);
    lm_str_clear(&e->normal);
    lm_status status = e->tk->normalisers.n ? normalise_around_bytes(e, whole, LM_PLACE_FIRST) : LM_OK;
    if (!status) status = lm_pieces_next(e, e->tk->normalisers.n ? lm_span_of(e->normal.data, e->normal.len) : whole, true);
    e->sink = NULL;
    return status;
}

lm_status lm_encode(const lm_tokenizer *tk, lm_ids *out, const char *text, size_t n, unsigned flags, lm_err *err)
{
    lm_encoder e;
    encoder_init(&e, tk);
    lm_status status = lm_encoder_run(&e, out, text, n, flags, err);
    encoder_release(&e);
    return status;
}
