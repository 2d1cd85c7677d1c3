#include "token/trie.h"

#include <stdlib.h>
#include <string.h>

typedef struct key {
    lm_span text;
    int32_t value, order;
} key;

/* The keys first..last share their first `depth` bytes, which lead to `state`. */
typedef struct branch {
    int32_t state, first, last;
    size_t depth;
} branch;

typedef struct builder {
    lm_trie *trie;
    int32_t cap, first_free;
    const key *keys;
    branch *open;                    /* to be placed yet: a list, since a key may be longer than the stack is deep */
    size_t n_open, cap_open;
} builder;

static int by_text(const void *a, const void *b)
{
    const key *x = a, *y = b;
    int order = memcmp(x->text.data, y->text.data, x->text.len < y->text.len ? x->text.len : y->text.len);
    if (order) return order;
    if (x->text.len != y->text.len) return x->text.len < y->text.len ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void reserve(builder *b, int32_t n)
{
    if (n <= b->cap) return;
    int32_t cap = b->cap * 2 > n ? b->cap * 2 : n;
    b->trie->nodes = lm_realloc(b->trie->nodes, (size_t)cap * sizeof *b->trie->nodes);
    for (int32_t i = b->cap; i < cap; i++) b->trie->nodes[i] = (lm_trie_node){ 0, -1, -1 };
    b->cap = cap;
}

/* Where a node's children fit: all of base + bytes free.  `first_free` passes over the crowded front; it
 * begins at 256, so that a base is never negative. */
static int32_t find_base(builder *b, const uint8_t *bytes, int n)
{
    int32_t tried = 0;
    while (b->first_free < b->cap && b->trie->nodes[b->first_free].check >= 0) b->first_free++;
    for (int32_t at = b->first_free;; at++) {
        int32_t base = at - bytes[0];
        reserve(b, base + 256);
        if (b->trie->nodes[at].check >= 0) continue;
        if (++tried == 64) b->first_free = at;
        bool fits = true;
        for (int i = 1; i < n && fits; i++) fits = b->trie->nodes[base + bytes[i]].check < 0;
        if (fits) return base;
    }
}

static void open_branch(builder *b, branch next)
{
    if (b->n_open == b->cap_open) {
        b->cap_open = b->cap_open ? b->cap_open * 2 : 256;
        b->open = lm_realloc(b->open, b->cap_open * sizeof *b->open);
    }
    b->open[b->n_open++] = next;
}

/* Gives a state its value and its children. */
static void place(builder *b, branch at)
{
    while (at.first < at.last && b->keys[at.first].text.len == at.depth) {
        if (b->trie->nodes[at.state].value < 0) b->trie->nodes[at.state].value = b->keys[at.first].value;
        at.first++;
    }
    if (at.first == at.last) return;
    uint8_t bytes[256];
    int32_t starts[257];
    int n = 0;
    for (int32_t i = at.first; i < at.last; i++) {
        uint8_t byte = (uint8_t)b->keys[i].text.data[at.depth];
        if (n && bytes[n - 1] == byte) continue;
        bytes[n] = byte;
        starts[n++] = i;
    }
    starts[n] = at.last;
    int32_t base = find_base(b, bytes, n);
    b->trie->nodes[at.state].base = base;
    for (int i = 0; i < n; i++) {
        b->trie->nodes[base + bytes[i]].check = at.state;
        if (base + bytes[i] >= b->trie->n) b->trie->n = base + bytes[i] + 1;
    }
    for (int i = n; i-- > 0;) open_branch(b, (branch){ base + bytes[i], starts[i], starts[i + 1], at.depth + 1 });
}

void lm_trie_build(lm_trie *trie, const lm_span *texts, const int32_t *values, int32_t n)
{
    key *keys = lm_malloc((size_t)n * sizeof *keys);
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (texts[i].len) keys[kept++] = (key){ texts[i], values[i], i };
    if (kept) qsort(keys, (size_t)kept, sizeof *keys, by_text);
    *trie = (lm_trie){ .n = 1 };
    builder b = { .trie = trie, .first_free = 256, .keys = keys };
    reserve(&b, 1024);
    trie->nodes[LM_TRIE_ROOT].check = LM_TRIE_ROOT;
    open_branch(&b, (branch){ LM_TRIE_ROOT, 0, kept, 0 });
    while (b.n_open) place(&b, b.open[--b.n_open]);
    free(b.open);
    free(keys);
}

void lm_trie_free(lm_trie *trie)
{
    free(trie->nodes);
    *trie = (lm_trie){0};
}
