/* A data set made of numbers: documents of given lengths whose tokens count on from 1. */
#ifndef FAKE_H
#define FAKE_H

#include "base/str.h"
#include "data/dataset.h"

/* Everything is supervised but the first `masked` tokens of each document. */
static inline lm_dataset fake_dataset(const int64_t *lengths, int64_t n, int64_t masked)
{
    lm_dataset d = { .n = n, .n_paths = 1 };
    for (int64_t i = 0; i < n; i++) d.n_tokens += lengths[i];
    d.tokens = lm_malloc((size_t)d.n_tokens * sizeof *d.tokens + 1);
    d.documents = lm_calloc((size_t)n + 1, sizeof *d.documents);
    d.paths = lm_malloc(sizeof *d.paths);
    d.paths[0] = lm_strdup("fake.jsonl");
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        d.documents[i] = (lm_document){ .begin = at, .line = i + 1 };
        for (int64_t j = 0; j < lengths[i]; j++, at++)
            d.tokens[at] = (lm_token)(at + 1) | (j >= masked ? LM_TOKEN_SUPERVISED : 0);
    }
    d.documents[n].begin = at;
    return d;
}

#endif
