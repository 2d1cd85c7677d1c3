#include "data/topics/ward.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>

typedef struct merge {
    float height;
    int order, a, b;                     /* points of the two clusters */
} merge;

typedef struct tree {
    float *d;
    int m;
    int *size;                           /* of the cluster that stands in a point's place; 0: it has joined another */
} tree;

static float *distance(const tree *t, int a, int b) { return &t->d[(size_t)a * (size_t)t->m + (size_t)b]; }

/* Of equal ones the one before in the chain, so that chains end. */
static int nearest(const tree *t, int a, int before)
{
    int best = before;
    for (int i = 0; i < t->m; i++)
        if (t->size[i] && i != a && (best < 0 || *distance(t, a, i) < *distance(t, a, best))) best = i;
    return best;
}

static void join(tree *t, int a, int b)
{
    float na = (float)t->size[a], nb = (float)t->size[b], ab = *distance(t, a, b);
    t->size[a] = 0;
    for (int c = 0; c < t->m; c++) {
        float nc = (float)t->size[c];
        if (!t->size[c] || c == b) continue;
        *distance(t, b, c) = *distance(t, c, b) = ((na + nc) * *distance(t, a, c) + (nb + nc) * *distance(t, b, c) - nc * ab) / (na + nb + nc);
    }
    t->size[b] = (int)(na + nb);
}

/* The m - 1 merges, in the order in which chains find them. */
static void build(tree *t, merge *merges)
{
    int *chain = lm_malloc((size_t)t->m * sizeof *chain), n = 0, first = 0;
    for (int done = 0; done < t->m - 1;) {
        while (!n && !t->size[first]) first++;
        if (!n) chain[n++] = first;
        int top = chain[n - 1], before = n > 1 ? chain[n - 2] : -1, next = nearest(t, top, before);
        if (next != before) {
            chain[n++] = next;
            continue;
        }
        merges[done] = (merge){ .height = *distance(t, top, before), .order = done, .a = top, .b = before };
        join(t, top, before);
        done++;
        n -= 2;
    }
    free(chain);
}

static int by_height(const void *a_, const void *b_)
{
    const merge *a = a_, *b = b_;
    return a->height != b->height ? (a->height > b->height) - (a->height < b->height) : (a->order > b->order) - (a->order < b->order);
}

static int root_of(int *parent, int i)
{
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

void lm_ward(int *group, float *distances, int m, int k)
{
    tree t = { .d = distances, .m = m, .size = lm_malloc((size_t)m * sizeof *t.size) };
    merge *merges = lm_malloc((size_t)m * sizeof *merges);
    int *parent = lm_malloc((size_t)m * sizeof *parent), *number = lm_malloc((size_t)m * sizeof *number), groups = 0;
    for (int i = 0; i < m; i++) t.size[i] = 1, parent[i] = i, number[i] = -1;
    build(&t, merges);
    qsort(merges, (size_t)m - 1, sizeof *merges, by_height);
    for (int i = 0; i < m - k; i++) parent[root_of(parent, merges[i].a)] = root_of(parent, merges[i].b);
    for (int i = 0; i < m; i++) {
        int root = root_of(parent, i);
        if (number[root] < 0) number[root] = groups++;
        group[i] = number[root];
    }
    free(t.size), free(merges), free(parent), free(number);
}
