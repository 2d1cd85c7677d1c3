#include "data/dedup/pieces.h"

#include "data/normal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

typedef struct state {
    lm_spill hashes;                     /* two words a piece */
    const uint64_t *words;
    int64_t n, at;                       /* pieces; the next one that is edited */
    uint8_t *repeated;                   /* a bit each */
    _Atomic int64_t n_repeated;
} state;

lm_status lm_pieces_open(lm_dedup_run *run, lm_err *err)
{
    (void)err;
    state *s = run->state = lm_calloc(1, sizeof *s);
    lm_spill_init(&s->hashes, run->folder, (size_t)run->common->memory / 4);
    return LM_OK;
}

/* Whether the piece is long enough to count.  White space and the bytes that go on with a character do not. */
static bool counts(const lm_dedup_run *run, lm_span piece)
{
    const lm_pieces_options *o = run->options;
    int64_t n = 0;
    for (size_t i = 0; i < piece.len; i++) n += (unsigned char)piece.data[i] > ' ' && ((unsigned char)piece.data[i] & 0xC0) != 0x80;
    return n >= o->min_length && n > 0;
}

void lm_pieces_digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text, lm_piece_split split)
{
    out->keys.n = 0;
    for (size_t at = 0; at < text.len;) {
        lm_span piece = split(text, at);
        at += piece.len;
        if (!counts(run, piece)) continue;
        piece = lm_normal_text(&room->text, &room->other, piece, run->normal | LM_NORMAL_SPACE);
        XXH128_hash_t hash = XXH3_128bits(piece.len ? piece.data : "", piece.len);
        lm_hashes_put(&out->keys, hash.high64);
        lm_hashes_put(&out->keys, hash.low64);
    }
}

bool lm_pieces_fit(const lm_dedup_run *run, const lm_digest *digest) { return (void)run, digest->keys.n % 2 == 0; }

lm_status lm_pieces_add(lm_dedup_run *run, const lm_digest *digest, lm_err *err)
{
    state *s = run->state;
    s->n += (int64_t)digest->keys.n / 2;
    return lm_spill_put(&s->hashes, digest->keys.items, digest->keys.n * sizeof *digest->keys.items, err);
}

/* All but the first of those that are the same. */
static void mark_repeated(void *context, const lm_key_pair *group, size_t n)
{
    state *s = context;
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (s->words[2 * group[j].value + 1] == s->words[2 * group[i].value + 1]) {
                lm_bit_set_shared(s->repeated, (int64_t)group[i].value);
                atomic_fetch_add_explicit(&s->n_repeated, 1, memory_order_relaxed);
                break;
            }
}

lm_status lm_pieces_solve(lm_dedup_run *run, lm_err *err)
{
    state *s = run->state;
    const void *words;
    LM_TRY(lm_spill_seal(&s->hashes, &words, err));
    s->words = words;
    s->repeated = lm_calloc((size_t)s->n / 8 + 1, 1);
    lm_groups_visit(&(lm_grouping){ .keys = words, .n = s->n, .stride = 2, .memory = (size_t)run->common->memory / 2, .visit = mark_repeated, .context = s });
    return LM_OK;
}

void lm_pieces_edit(lm_dedup_run *run, lm_str *out, lm_span text, lm_piece_split split)
{
    state *s = run->state;
    for (size_t at = 0; at < text.len;) {
        lm_span piece = split(text, at);
        at += piece.len;
        bool cut = counts(run, piece) && s->at < s->n && lm_bit(s->repeated, s->at++);       /* below n unless a state file lied */
        if (!cut) lm_str_append(out, piece.data, piece.len);
    }
}

void lm_pieces_describe(const lm_dedup_run *run, lm_json *report)
{
    const state *s = run->state;
    json_object_set_new(report, "pieces", json_pack("{s:I, s:I}", "looked_at", (json_int_t)s->n, "cut", (json_int_t)s->n_repeated));
}

void lm_pieces_close(void *state_)
{
    state *s = state_;
    lm_spill_free(&s->hashes);
    free(s->repeated);
    free(s);
}
