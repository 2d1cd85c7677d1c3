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

/* The entries whose keys belong to this part of all keys. */
static size_t collect(const lm_grouping *g, lm_key_pair *out, uint64_t part, uint64_t parts)
{
    size_t n = 0;
    for (int64_t i = 0; i < g->n; i++) {
        uint64_t key = g->keys[i * g->stride];
        if ((parts > 1 && key % parts != part) || (g->left_out && lm_bit(g->left_out, i))) continue;
        if (out) out[n] = (lm_key_pair){ .key = key, .value = (uint64_t)i };
        n++;
    }
    return n;
}

void lm_groups_visit(const lm_grouping *g)
{
    size_t each = 2 * sizeof(lm_key_pair), most = g->memory / each;
    uint64_t parts = most && (size_t)g->n > most ? ((uint64_t)g->n + most - 1) / most : 1;
    for (uint64_t part = 0; part < parts; part++) {
        size_t n = parts > 1 ? collect(g, NULL, part, parts) : (size_t)g->n;
        lm_key_pair *pairs = lm_memory_large((2 * n + 1) * sizeof *pairs);
        groups s = { .g = g, .pairs = pairs };
        n = collect(g, pairs, part, parts);
        lm_sort_pairs(pairs, pairs + n, n);
        for (size_t i = 0, j; i < n; i = j) {
            for (j = i + 1; j < n && pairs[j].key == pairs[i].key;) j++;
            if (j > i + 1) add_group(&s, i, j);
        }
        lm_parallel((int64_t)s.n, 1, visit_some, &s);
        free(s.starts);
        free(pairs);
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
