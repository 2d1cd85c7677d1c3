#include "data/filter/aho_corasick.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static int32_t *row(const lm_aho *a, int32_t state) { return a->next + (size_t)state * (size_t)a->symbols; }

static void add_state(lm_aho *a)
{
    if (a->states == a->cap) {
        a->cap = 2 * a->cap + 64;
        a->next = lm_realloc(a->next, (size_t)a->cap * (size_t)a->symbols * sizeof *a->next);
        a->word = lm_realloc(a->word, (size_t)a->cap * sizeof *a->word);
        a->shorter = lm_realloc(a->shorter, (size_t)a->cap * sizeof *a->shorter);
    }
    memset(row(a, a->states), 0, (size_t)a->symbols * sizeof *a->next);
    a->word[a->states] = -1;
    a->shorter[a->states++] = 0;
}

void lm_aho_init(lm_aho *a, int32_t symbols)
{
    *a = (lm_aho){ .symbols = symbols };
    add_state(a);
}

lm_status lm_aho_add(lm_aho *a, const int32_t *symbols, size_t n, int32_t word, lm_err *err)
{
    int32_t state = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t next = row(a, state)[symbols[i]];
        if (!next) {
            if ((size_t)a->states + 1 > ((size_t)1 << 29) / (size_t)a->symbols) return lm_fail(err, LM_E_NOMEM, "the words make a table of more than 2 GiB");
            next = a->states;
            add_state(a);
            row(a, state)[symbols[i]] = next;
        }
        state = next;
    }
    if (state && a->word[state] < 0) a->word[state] = word;
    return LM_OK;
}

/* Breadth first, so that the longest proper suffix of a state, kept in fail, is complete before it. */
void lm_aho_finish(lm_aho *a)
{
    int32_t *queue = lm_malloc((size_t)a->states * sizeof *queue), *fail = lm_calloc((size_t)a->states, sizeof *fail);
    int32_t head = 0, tail = 0;
    for (queue[tail++] = 0; head < tail; head++) {
        int32_t state = queue[head], *next = row(a, state);
        for (int32_t c = 0; c < a->symbols; c++) {
            int32_t suffix = state ? row(a, fail[state])[c] : 0;
            if (!next[c]) {
                next[c] = suffix;
                continue;
            }
            fail[next[c]] = suffix;
            a->shorter[next[c]] = a->word[suffix] >= 0 ? suffix : a->shorter[suffix];
            queue[tail++] = next[c];
        }
    }
    free(queue);
    free(fail);
}

void lm_aho_free(lm_aho *a)
{
    free(a->next);
    free(a->word);
    free(a->shorter);
    *a = (lm_aho){0};
}
