/* SimHash: one number of 64 bits a document, whose bit k is the majority of the bits k of its n-grams' hashes;
 * documents are duplicates when at most `distance` bits differ (Charikar 2002; Manku et al. 2007, which takes
 * 3 of 64).  The bits are cut into distance + 1 blocks; of two such numbers one block at least is the same.
 *
 * Similarity is judged by the number alone: unlike with minhash nothing is verified. */
#include "data/dedup.h"

#include "data/normal.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { BITS = 64, MOST_DISTANCE = 15 };

typedef enum unit { WORD, CHARACTER } unit;
static const char *const units[] = { "word", "char", NULL };

typedef struct settings {
    int64_t distance, ngram;
    int unit;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, distance, "distance", .fallback = "3", .min = 0, .max = MOST_DISTANCE, .help = "bits of 64 that may differ"),
    LM_OPTION(CHOICE, settings, unit, "unit", .choices = units, .fallback = "word", .help = "what n-grams are made of"),
    LM_OPTION(INT, settings, ngram, "ngram", .fallback = "3", .min = 1, .max = 64, .help = "units of an n-gram"),
    { 0 },
};

typedef struct state {
    lm_dedup_run *run;
    const settings *o;
    lm_spill keys;                       /* distance + 2 words a document: the number, and each block with its index */
    const uint64_t *key;
    _Atomic int64_t joined;
} state;

static lm_status open_run(lm_dedup_run *run, lm_err *err)
{
    (void)err;
    state *s = run->state = lm_calloc(1, sizeof *s);
    s->run = run;
    s->o = run->options;
    lm_spill_init(&s->keys, run->folder, (size_t)run->common->memory / 2);
    return LM_OK;
}

static uint64_t majority(const lm_hashes *h)
{
    int64_t ones[BITS] = {0};
    uint64_t number = 0;
    for (size_t i = 0; i < h->n; i++)
        for (int k = 0; k < BITS; k++) ones[k] += (int64_t)(h->items[i] >> k & 1);
    for (int k = 0; k < BITS; k++) number |= (uint64_t)(2 * ones[k] > (int64_t)h->n) << k;
    return number;
}

/* The bits of block b: blocks differ in length by one at most. */
static uint64_t block_of(uint64_t number, int b, int blocks)
{
    int begin = BITS * b / blocks, end = BITS * (b + 1) / blocks;
    uint64_t mask = end - begin == BITS ? ~(uint64_t)0 : ((uint64_t)1 << (end - begin)) - 1;
    return number >> begin & mask;
}

static void digest(const lm_dedup_run *run, lm_digest *d, lm_digest_room *room, lm_span text)
{
    const state *s = run->state;
    int blocks = (int)s->o->distance + 1;
    text = lm_normal_text(&room->text, &room->other, text, run->normal);
    room->hashes.n = d->keys.n = 0;
    if (s->o->unit == WORD) lm_hash_words(&room->hashes, text, (int)s->o->ngram, NULL);
    else lm_hash_runes(&room->hashes, text, (int)s->o->ngram);
    uint64_t number = majority(&room->hashes);
    lm_hashes_put(&d->keys, number);
    for (int b = 0; b < blocks; b++) lm_hashes_put(&d->keys, lm_mix64(block_of(number, b, blocks) + 1));
}

static bool fits(const lm_dedup_run *run, const lm_digest *d)
{
    const state *s = run->state;
    return d->keys.n == (size_t)s->o->distance + 2;
}

static lm_status add(lm_dedup_run *run, const lm_digest *d, lm_err *err)
{
    state *s = run->state;
    return lm_spill_put(&s->keys, d->keys.items, d->keys.n * sizeof *d->keys.items, err);
}

static void join_near(void *context, const lm_key_pair *group, size_t n)
{
    state *s = context;
    uint64_t words = (uint64_t)s->o->distance + 2;
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            uint64_t a = s->key[group[i].value * words], b = s->key[group[j].value * words];
            if (__builtin_popcountll(a ^ b) > s->o->distance) continue;
            lm_clusters_join(&s->run->clusters, (int64_t)group[j].value, (int64_t)group[i].value);
            atomic_fetch_add_explicit(&s->joined, 1, memory_order_relaxed);
            if (a == b) break;               /* whatever else is near is near to that one */
        }
}

static lm_status solve(lm_dedup_run *run, lm_err *err)
{
    state *s = run->state;
    const void *keys;
    LM_TRY(lm_spill_seal(&s->keys, &keys, err));
    s->key = keys;
    for (int b = 1; b <= s->o->distance + 1; b++)
        lm_groups_visit(&(lm_grouping){ .keys = s->key + b, .n = run->n, .stride = s->o->distance + 2, .memory = (size_t)run->common->memory / 2, .visit = join_near, .context = s });
    return LM_OK;
}

static void describe(const lm_dedup_run *run, lm_json *report)
{
    const state *s = run->state;
    json_object_set_new(report, "simhash", json_pack("{s:I, s:s, s:I, s:I}", "distance", (json_int_t)s->o->distance, "unit", units[s->o->unit], "ngram", (json_int_t)s->o->ngram,
                                                     "pairs_joined", (json_int_t)s->joined));
}

static void close_run(void *state_)
{
    state *s = state_;
    lm_spill_free(&s->keys);
    free(s);
}

const lm_dedup lm_dedup_simhash = {
    .name = "simhash",
    .source = "Charikar 2002; Manku et al. 2007",
    .help = "near-duplicates by a fingerprint of 64 bits: little memory, nothing verified",
    .options = options, .options_size = sizeof(settings),
    .open = open_run, .digest = digest, .fits = fits, .add = add, .solve = solve, .describe = describe, .close = close_run,
};
