/* Documents whose normal forms are the same, by a hash of 128 bits (XXH3).
 *
 * Two different documents of 10^9 agree in it with a probability of about 10^-21. */
#include "data/dedup.h"

#include "data/normal.h"

#include <stdlib.h>
#include <xxhash.h>

typedef struct state {
    lm_spill hashes;                     /* two words a document */
    const uint64_t *words;
    lm_dedup_run *run;
} state;

static lm_status open_run(lm_dedup_run *run, lm_err *err)
{
    (void)err;
    state *s = run->state = lm_calloc(1, sizeof *s);
    s->run = run;
    lm_spill_init(&s->hashes, run->folder, (size_t)run->common->memory / 4);
    return LM_OK;
}

static void digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text)
{
    text = lm_normal_text(&room->text, &room->other, text, run->normal);
    XXH128_hash_t hash = XXH3_128bits(text.len ? text.data : "", text.len);
    out->keys.n = 0;
    lm_hashes_put(&out->keys, hash.high64);
    lm_hashes_put(&out->keys, hash.low64);
}

static bool fits(const lm_dedup_run *run, const lm_digest *d) { return (void)run, d->keys.n == 2; }

static lm_status add(lm_dedup_run *run, const lm_digest *d, lm_err *err)
{
    state *s = run->state;
    return lm_spill_put(&s->hashes, d->keys.items, 2 * sizeof *d->keys.items, err);
}

/* Those with the same first half; nearly always the second is the same as well. */
static void join_equal(void *context, const lm_key_pair *group, size_t n)
{
    state *s = context;
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (s->words[2 * group[j].value + 1] == s->words[2 * group[i].value + 1]) {
                lm_clusters_join(&s->run->clusters, (int64_t)group[j].value, (int64_t)group[i].value);
                break;
            }
}

static lm_status solve(lm_dedup_run *run, lm_err *err)
{
    state *s = run->state;
    const void *words;
    LM_TRY(lm_spill_seal(&s->hashes, &words, err));
    s->words = words;
    lm_groups_visit(&(lm_grouping){ .keys = words, .n = run->n, .stride = 2, .memory = (size_t)run->common->memory / 2, .visit = join_equal, .context = s });
    return LM_OK;
}

static void close_run(void *state_)
{
    state *s = state_;
    lm_spill_free(&s->hashes);
    free(s);
}

const lm_dedup lm_dedup_exact = {
    .name = "exact",
    .source = "hash of the normalised document, XXH3-128",
    .help = "documents that are the same but for white space, normal form or (--lower) case",
    .open = open_run, .digest = digest, .fits = fits, .add = add, .solve = solve, .close = close_run,
};
