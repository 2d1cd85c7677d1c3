#include "data/dedup/groups.h"

#include "base/err.h"
#include "base/memory.h"
#include "base/thread.h"

#include <stdlib.h>

/* ---- groups ------------------------------------------------------------------ */

typedef struct groups {
    const lm_grouping *g;
    const lm_key_pair *pairs;
    size_t *starts, n, cap;              /* of groups, each followed by its end */
} groups;

static void visit_some(int64_t begin, int64_t end, void *context)
{
    const groups *s = context;
    for (int64_t i = begin; i < end; i++) s->g->visit(s->g->context, s->pairs + s->starts[2 * i], s->starts[2 * i + 1] - s->starts[2 * i]);
}

static void add_group(groups *s, size_t begin, size_t end)
{
    if (2 * s->n + 2 > s->cap) {
        s->cap = 2 * s->cap + 1024;
        s->starts = lm_realloc(s->starts, s->cap * sizeof *s->starts);
    }
    s->starts[2 * s->n] = begin;
    s->starts[2 * s->n++ + 1] = end;
}

/* Most keys stand alone.  Two bits for each of the lowest bits of a key say whether one came, and whether another did:
 * only entries of the second kind can have company. */
typedef struct sieve {
    uint8_t *once, *twice;
    uint64_t mask;
} sieve;

static sieve new_sieve(int64_t n)
{
    uint64_t bits = 1024;
    while (bits < 8 * (uint64_t)n) bits *= 2;
    return (sieve){ .once = lm_calloc(bits / 8, 1), .twice = lm_calloc(bits / 8, 1), .mask = bits - 1 };
}

static void free_sieve(sieve *s)
{
    free(s->once);
    free(s->twice);
}

static bool takes_part(const lm_grouping *g, int64_t i, uint64_t part, uint64_t parts)
{
    return (parts == 1 || lm_mix64(g->keys[i * g->stride]) % parts == part) && !(g->left_out && lm_bit(g->left_out, i));
}

static void count_keys(const lm_grouping *g, sieve *s, uint64_t part, uint64_t parts)
{
    for (int64_t i = 0; i < g->n; i++) {
        if (!takes_part(g, i, part, parts)) continue;
        int64_t at = (int64_t)(g->keys[i * g->stride] & s->mask);
        uint8_t bit = (uint8_t)(1u << (at & 7));
        s->twice[at >> 3] |= s->once[at >> 3] & bit;
        s->once[at >> 3] |= bit;
    }
}

typedef struct pairs {
    lm_key_pair *items;
    size_t n, cap;
} pairs;

static void add_pair(pairs *p, uint64_t key, uint64_t value)
{
    if (p->n == p->cap) {
        p->cap = 2 * p->cap + 1024;
        p->items = lm_realloc(p->items, p->cap * sizeof *p->items);
    }
    p->items[p->n++] = (lm_key_pair){ .key = key, .value = value };
}

/* The entries whose keys belong to this part of all keys, and may have company. */
static pairs collect(const lm_grouping *g, const sieve *s, uint64_t part, uint64_t parts)
{
    pairs found = {0};
    for (int64_t i = 0; i < g->n; i++) {
        uint64_t key = g->keys[i * g->stride];
        if (lm_bit(s->twice, (int64_t)(key & s->mask)) && takes_part(g, i, part, parts)) add_pair(&found, key, (uint64_t)i);
    }
    return found;
}

void lm_groups_visit(const lm_grouping *g)
{
    size_t each = 2 * sizeof(lm_key_pair), most = g->memory / each;
    uint64_t parts = most && (size_t)g->n > most ? ((uint64_t)g->n + most - 1) / most : 1;
    for (uint64_t part = 0; part < parts; part++) {
        sieve few = new_sieve((g->n + (int64_t)parts - 1) / (int64_t)parts);
        count_keys(g, &few, part, parts);
        pairs p = collect(g, &few, part, parts);
        free_sieve(&few);
        lm_key_pair *room = lm_memory_large(p.n * sizeof *room);
        lm_sort_pairs(p.items, room, p.n);
        free(room);
        groups s = { .g = g, .pairs = p.items };
        for (size_t i = 0, j; i < p.n; i = j) {
            for (j = i + 1; j < p.n && p.items[j].key == p.items[i].key;) j++;
            if (j > i + 1) add_group(&s, i, j);
        }
        lm_parallel((int64_t)s.n, 1, visit_some, &s);
        free(s.starts);
        free(p.items);
    }
}

/* ---- clusters ---------------------------------------------------------------- */

void lm_clusters_init(lm_clusters *c, int64_t n)
{
    LM_ASSERT(n >= 0 && n <= UINT32_MAX);
    *c = (lm_clusters){ .parent = lm_malloc((size_t)n * sizeof *c->parent + 1), .n = n };
    for (int64_t i = 0; i < n; i++) c->parent[i] = (uint32_t)i;
}

void lm_clusters_free(lm_clusters *c)
{
    free(c->parent);
    *c = (lm_clusters){0};
}

int64_t lm_clusters_root(const lm_clusters *c, int64_t i)
{
    while (c->parent[i] != i) i = c->parent[i];
    return i;
}

static int64_t shorten(lm_clusters *c, int64_t i)
{
    while (c->parent[i] != i) i = c->parent[i] = c->parent[c->parent[i]];
    return i;
}

void lm_clusters_join(lm_clusters *c, int64_t i, int64_t j)
{
#pragma omp critical(lm_clusters)
    {
        int64_t a = shorten(c, i), b = shorten(c, j);
        if (a < b) c->parent[b] = (uint32_t)a;
        else c->parent[a] = (uint32_t)b;
    }
}

void lm_clusters_flatten(lm_clusters *c)
{
    for (int64_t i = 0; i < c->n; i++) c->parent[i] = c->parent[c->parent[i]];       /* parents come first */
}
