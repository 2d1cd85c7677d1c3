/* Near-duplicates: documents whose sets of n-grams have a Jaccard similarity |A n B| / |A u B| of at least the
 * threshold.  Broder 1997, "On the resemblance and containment of documents".
 *
 * A document becomes a set of 64-bit hashes of n-grams, and a signature of minima (signature.h) whose bands
 * (banding.h) are hashed to one key each.  Documents that share a key of a band are candidates; their sets
 * are compared, so that what is joined has the similarity exactly, but for hashes that collide, a chance of
 * about 10^-13 for two documents of a thousand n-grams.  Pairs at the threshold are missed with the
 * probability --miss at most, and similar ones less.  Joined documents make clusters by transitivity.
 *
 * Sets and keys go to disk where they do not fit.  Equal sets are joined first, so that a document that is
 * there a thousand times is compared as one.  A pair that meets in several bands is compared in the first. */
#include "data/dedup.h"

#include "base/map.h"
#include "base/thread.h"
#include "data/dedup/banding.h"
#include "data/dedup/signature.h"
#include "data/normal.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef enum unit { WORD, CHARACTER } unit;
static const char *const units[] = { "word", "char", NULL };

typedef struct settings {
    double threshold, miss;
    int64_t ngram, permutations, seed;
    int unit;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, threshold, "threshold", .fallback = "0.8", .min = 0.01, .max = 1, .help = "Jaccard similarity of the n-grams from which on documents are duplicates"),
    LM_OPTION(CHOICE, settings, unit, "unit", .choices = units, .fallback = "word", .help = "what n-grams are made of; char suits short texts, and Korean with its particles"),
    LM_OPTION(INT, settings, ngram, "ngram", .fallback = "5", .min = 1, .max = 64, .help = "units of an n-gram"),
    LM_OPTION(INT, settings, permutations, "permutations", .fallback = "128", .min = LM_SIGNATURE_STEP, .max = LM_SIGNATURE_MOST, .help = "values of a signature, a multiple of 32"),
    LM_OPTION(REAL, settings, miss, "miss", .fallback = "0.02", .min = 1e-9, .max = 0.999, .help = "share of the pairs exactly at the threshold that may be missed"),
    LM_OPTION(INT, settings, seed, "seed", .fallback = "1", .min = 0, .max = 1e15, .help = "of the permutations"),
    { 0 },
};

typedef struct state {
    lm_dedup_run *run;
    const settings *o;
    lm_banding banding;
    uint32_t *a;                         /* multipliers */
    lm_spill sets, keys;                 /* hashes of n-grams; 1 + bands keys a document, first that of the whole set */
    uint64_t *ends;                      /* [n] where a document's set ends, in hashes */
    size_t cap;
    const uint64_t *set, *key;           /* once they are sealed */
    uint8_t *same;                       /* a bit for each document whose set stands before it already */
    int band;                            /* that is being looked at */
    _Atomic int64_t compared, joined;
    lm_key_pair *edges;                  /* found in this band */
    size_t n_edges, cap_edges;
} state;

static lm_status open_run(lm_dedup_run *run, lm_err *err)
{
    const settings *o = run->options;
    if (o->permutations % LM_SIGNATURE_STEP) return lm_fail(err, LM_E_USAGE, "--permutations %lld: expected a multiple of %d", (long long)o->permutations, LM_SIGNATURE_STEP);
    state *s = run->state = lm_calloc(1, sizeof *s);
    s->run = run;
    s->o = o;
    s->banding = lm_banding_choose((int)o->permutations, o->threshold, o->miss);
    s->a = lm_malloc((size_t)o->permutations * sizeof *s->a);
    lm_signature_multipliers(s->a, (int)o->permutations, (uint64_t)o->seed);
    lm_spill_init(&s->sets, run->folder, (size_t)run->common->memory / 2);
    lm_spill_init(&s->keys, run->folder, (size_t)run->common->memory / 8);
    return LM_OK;
}

/* ---- a document -------------------------------------------------------------- */

/* Whatever the order that the hashes stand in. */
static uint64_t hash_of_set(const lm_hashes *h)
{
    uint64_t sum = h->n;
    for (size_t i = 0; i < h->n; i++) sum += h->items[i] * h->items[i] ^ h->items[i] >> 32;
    return lm_mix64(sum);
}

static uint64_t hash_of_band(const uint32_t *values, int n, int band)
{
    uint64_t hash = (uint64_t)band + 1;
    for (int i = 0; i < n; i++) hash = (hash ^ values[i]) * 0x9E3779B97F4A7C15u ^ hash >> 29;
    return lm_mix64(hash);
}

static void digest(const lm_dedup_run *run, lm_digest *d, lm_digest_room *room, lm_span text)
{
    const state *s = run->state;
    uint32_t signature[LM_SIGNATURE_MOST];
    unsigned form = run->normal;
    bool words = s->o->unit == WORD, each = words && !(form & (LM_NORMAL_CASE | LM_NORMAL_PUNCTUATION));
    if (each) form = 0;                                  /* words are composed one by one, and no white space is in them */
    text = lm_normal_text(&room->text, &room->other, text, form);
    d->hashes.n = d->keys.n = room->hashes.n = 0;
    if (words) lm_hash_words(&room->hashes, text, (int)s->o->ngram, each && run->normal & LM_NORMAL_NFC ? &room->other : NULL);
    else lm_hash_runes(&room->hashes, text, (int)s->o->ngram);
    lm_hashes_distinct(&room->hashes, &room->set);
    lm_hashes_append(&d->hashes, &room->hashes);
    lm_signature_of(signature, s->a, (int)s->o->permutations, d->hashes.items, d->hashes.n);
    lm_hashes_put(&d->keys, hash_of_set(&d->hashes));
    for (int b = 0; b < s->banding.bands; b++) lm_hashes_put(&d->keys, hash_of_band(signature + b * s->banding.rows, s->banding.rows, b));
}

static bool fits(const lm_dedup_run *run, const lm_digest *d)
{
    const state *s = run->state;
    return d->keys.n == (size_t)s->banding.bands + 1;
}

static lm_status add(lm_dedup_run *run, const lm_digest *d, lm_err *err)
{
    state *s = run->state;
    if ((size_t)run->n == s->cap) {
        s->cap = 2 * s->cap + 1024;
        s->ends = lm_realloc(s->ends, s->cap * sizeof *s->ends);
    }
    s->ends[run->n] = (run->n ? s->ends[run->n - 1] : 0) + d->hashes.n;
    LM_TRY(lm_spill_put(&s->sets, d->hashes.items, d->hashes.n * sizeof *d->hashes.items, err));
    return lm_spill_put(&s->keys, d->keys.items, d->keys.n * sizeof *d->keys.items, err);
}

/* ---- pairs ------------------------------------------------------------------- */

typedef struct set {
    const uint64_t *items;
    size_t n;
} set;

static set set_of(const state *s, uint64_t i)
{
    uint64_t begin = i ? s->ends[i - 1] : 0;
    return (set){ s->set + begin, s->ends[i] - begin };
}

/* A document that others are compared with; its hashes are put into a table when the first of them comes. */
typedef struct probe {
    uint64_t document;
    bool filled;
    lm_hash_set table;
} probe;

static const lm_hash_set *table_of(const state *s, probe *p)
{
    set a = set_of(s, p->document);
    if (p->filled) return &p->table;
    lm_hash_set_clear(&p->table, a.n);
    for (size_t i = 0; i < a.n; i++) lm_hash_set_put(&p->table, a.items[i]);
    p->filled = true;
    return &p->table;
}

static void turn_to(probe *p, uint64_t document)
{
    p->document = document;
    p->filled = false;
}

/* Whether `common` of two sets, `sum` long together, are enough. */
static bool enough(const state *s, size_t common, size_t sum) { return (double)common >= s->o->threshold * (double)(sum - common); }

/* Counts what two sets have in common until the rest can no longer make it enough. */
static bool similar(state *s, probe *p, uint64_t i)
{
    enum { STRETCH = 64 };
    set a = set_of(s, i);
    size_t n = set_of(s, p->document).n, least = a.n < n ? a.n : n, common = 0;
    if (!enough(s, least, a.n + n)) return false;            /* even a subset is not alike enough */
    atomic_fetch_add_explicit(&s->compared, 1, memory_order_relaxed);
    const lm_hash_set *table = table_of(s, p);
    for (size_t from = 0; from < a.n; from += STRETCH) {
        size_t end = from + STRETCH < a.n ? from + STRETCH : a.n;
        for (size_t k = from; k < end; k++) common += lm_hash_set_has(table, a.items[k]);
        if (!enough(s, common + a.n - end, a.n + n)) return false;
    }
    return true;
}

static bool met_before(const state *s, uint64_t i, uint64_t j)
{
    const uint64_t *a = s->key + i * (uint64_t)(s->banding.bands + 1), *b = s->key + j * (uint64_t)(s->banding.bands + 1);
    for (int band = 1; band < s->band; band++)
        if (a[band] == b[band]) return true;
    return false;
}

static void note_edge(state *s, uint64_t i, uint64_t j)
{
#pragma omp critical(lm_minhash_edges)
    {
        if (s->n_edges == s->cap_edges) {
            s->cap_edges = 2 * s->cap_edges + 1024;
            s->edges = lm_realloc(s->edges, s->cap_edges * sizeof *s->edges);
        }
        s->edges[s->n_edges++] = (lm_key_pair){ i, j };
    }
}

static void join_same(void *context, const lm_key_pair *group, size_t n)
{
    state *s = context;
    probe p = { .document = group[0].value };
    for (size_t i = 1; i < n; i++) {
        set a = set_of(s, p.document), b = set_of(s, group[i].value);
        size_t common = 0;
        if (a.n != b.n) continue;
        const lm_hash_set *table = table_of(s, &p);
        while (common < b.n && lm_hash_set_has(table, b.items[common])) common++;
        if (common == a.n) note_edge(s, p.document, group[i].value);
    }
    lm_hash_set_free(&p.table);
}

/* Members of a group that earlier bands, or this group so far, have joined are one party; a document is
 * compared with the members of a party until one is similar.  The parties are lists through `next`. */
static void join_similar(void *context, const lm_key_pair *group, size_t n)
{
    state *s = context;
    probe mine_set = {0};
    size_t *next = lm_malloc(3 * n * sizeof *next), *first = next + n, *last = first + n, parties = 0;
    uint64_t *root = lm_malloc(n * sizeof *root);
    for (size_t i = 0; i < n; i++) {
        uint64_t me = group[i].value, my_root = (uint64_t)lm_clusters_root(&s->run->clusters, (int64_t)me);
        size_t mine = SIZE_MAX;
        turn_to(&mine_set, me);
        next[i] = SIZE_MAX;
        for (size_t p = 0; p < parties && mine == SIZE_MAX; p++)
            if (root[p] == my_root) mine = p;
        for (size_t p = 0; p < parties; p++) {
            if (p == mine) continue;
            size_t other = first[p];
            while (other != SIZE_MAX && (met_before(s, group[other].value, me) || !similar(s, &mine_set, group[other].value))) other = next[other];
            if (other == SIZE_MAX) continue;
            note_edge(s, group[other].value, me);
            if (mine == SIZE_MAX) {
                mine = p;
                continue;
            }
            size_t into = p < mine ? p : mine, from = p < mine ? mine : p;      /* the two parties become one */
            next[last[into]] = first[from];
            last[into] = last[from];
            parties--;
            root[from] = root[parties], first[from] = first[parties], last[from] = last[parties];
            mine = into;
            p = from - 1;
        }
        if (mine == SIZE_MAX) {
            mine = parties++;
            root[mine] = my_root;
            first[mine] = i;
        } else next[last[mine]] = i;
        last[mine] = i;
    }
    lm_hash_set_free(&mine_set.table);
    free(next);
    free(root);
}

static void look_at_band(state *s, int band, void (*visit)(void *, const lm_key_pair *, size_t))
{
    s->band = band;
    s->n_edges = 0;
    lm_groups_visit(&(lm_grouping){ .keys = s->key + band, .n = s->run->n, .stride = s->banding.bands + 1, .left_out = band ? s->same : NULL,
                                    .memory = (size_t)s->run->common->memory / 4, .visit = visit, .context = s });
    for (size_t i = 0; i < s->n_edges; i++) {
        lm_clusters_join(&s->run->clusters, (int64_t)s->edges[i].key, (int64_t)s->edges[i].value);
        if (!band) lm_bit_set(s->same, (int64_t)s->edges[i].value);
    }
    s->joined += (int64_t)s->n_edges;
    lm_clusters_flatten(&s->run->clusters);
}

static lm_status solve(lm_dedup_run *run, lm_err *err)
{
    state *s = run->state;
    const void *sets, *keys;
    LM_TRY(lm_spill_seal(&s->sets, &sets, err));
    LM_TRY(lm_spill_seal(&s->keys, &keys, err));
    s->set = sets;
    s->key = keys;
    s->same = lm_calloc((size_t)run->n / 8 + 1, 1);
    look_at_band(s, 0, join_same);
    for (int band = 1; band <= s->banding.bands; band++) look_at_band(s, band, join_similar);
    return LM_OK;
}

static void describe(const lm_dedup_run *run, lm_json *report)
{
    const state *s = run->state;
    const settings *o = s->o;
    json_object_set_new(report, "minhash",
                        json_pack("{s:f, s:s, s:I, s:I, s:i, s:i, s:f, s:f, s:f, s:I, s:I}", "threshold", o->threshold, "unit", units[o->unit], "ngram", (json_int_t)o->ngram,
                                  "permutations", (json_int_t)o->permutations, "bands", s->banding.bands, "rows", s->banding.rows, "missed_at_threshold",
                                  s->banding.missed, "integral_met_below", s->banding.met_below, "integral_missed_above", s->banding.missed_above, "pairs_compared",
                                  (json_int_t)s->compared, "pairs_joined", (json_int_t)s->joined));
}

static void close_run(void *state_)
{
    state *s = state_;
    lm_spill_free(&s->sets);
    lm_spill_free(&s->keys);
    free(s->a);
    free(s->ends);
    free(s->same);
    free(s->edges);
    free(s);
}

const lm_dedup lm_dedup_minhash = {
    .name = "minhash",
    .source = "Broder 1997; banding: Indyk and Motwani 1998; every pair verified",
    .help = "near-duplicates: documents that share most of their n-grams",
    .options = options, .options_size = sizeof(settings),
    .open = open_run, .digest = digest, .fits = fits, .add = add, .solve = solve, .describe = describe, .close = close_run,
};
