#include "data/batch.h"

#include "data/permute.h"

#include <math.h>
#include <stdlib.h>

enum { STREAM_SPLIT = 0x73706c69, STREAM_EPOCH = 0x65706f63 };        /* of the seed: one use each */

lm_status lm_part_split(lm_part *rest, lm_part *held, const lm_blocks *b, double share, uint64_t seed, lm_err *err)
{
    int64_t n_held = share > 0 ? (int64_t)llround(share * (double)b->n) : 0;
    if (share > 0 && n_held < 1) n_held = 1;
    *rest = *held = (lm_part){0};
    if (n_held >= b->n)
        return lm_fail(err, LM_E_USAGE, "a validation share of %g leaves none of %lld blocks to train on; give a smaller "
                       "--context or more data", share, (long long)b->n);
    uint8_t *is_held = lm_calloc((size_t)b->n, 1);
    for (int64_t i = 0; i < n_held; i++) is_held[lm_permute(i, b->n, seed, STREAM_SPLIT)] = 1;
    rest->blocks = lm_malloc((size_t)(b->n - n_held) * sizeof *rest->blocks);
    held->blocks = lm_malloc((size_t)n_held * sizeof *held->blocks);
    for (int64_t i = 0; i < b->n; i++) {
        lm_part *part = is_held[i] ? held : rest;
        part->blocks[part->n++] = i;
    }
    free(is_held);
    return LM_OK;
}

void lm_part_free(lm_part *part)
{
    free(part->blocks);
    *part = (lm_part){0};
}

/* ---- the order ---- */

int64_t lm_batcher_block(const lm_batcher *b, int64_t position)
{
    int64_t epoch = position / b->part->n, i = position % b->part->n;
    if (b->shuffle) i = lm_permute(i, b->part->n, b->seed, (uint64_t)epoch << 32 | STREAM_EPOCH);
    return b->part->blocks[i];
}

int64_t lm_batcher_targets(const lm_batcher *b, int64_t position, int64_t n)
{
    int64_t targets = 0;
    for (int64_t i = 0; i < n; i++) targets += lm_block_supervised(b->blocks, b->data, lm_batcher_block(b, position + i));
    return targets;
}

/* ---- the tokens ---- */

void lm_batcher_init(lm_batcher *b, const lm_dataset *data, const lm_blocks *blocks, const lm_part *part,
                     int64_t size, bool shuffle, uint64_t seed)
{
    *b = (lm_batcher){ .data = data, .blocks = blocks, .part = part, .size = size, .shuffle = shuffle, .seed = seed };
    b->members = lm_malloc((size_t)size * sizeof *b->members);
    b->at.first = lm_malloc((size_t)(size + 1) * sizeof *b->at.first);
}

void lm_batcher_free(lm_batcher *b)
{
    free(b->ids), free(b->positions), free(b->segments), free(b->members);
    free(b->at.targets), free(b->at.weights), free(b->at.documents), free(b->at.first);
    *b = (lm_batcher){0};
}

static void make_room(lm_batcher *b, int64_t tokens, int64_t segments)
{
    if (tokens > b->cap_tokens) {
        size_t n = (size_t)(b->cap_tokens = tokens);
        b->ids = lm_realloc(b->ids, n * sizeof *b->ids);
        b->positions = lm_realloc(b->positions, n * sizeof *b->positions);
        b->at.targets = lm_realloc(b->at.targets, n * sizeof *b->at.targets);
        b->at.weights = lm_realloc(b->at.weights, n * sizeof *b->at.weights);
    }
    if (segments > b->cap_segments) {
        b->cap_segments = segments;
        b->segments = lm_realloc(b->segments, (size_t)segments * sizeof *b->segments);
        b->at.documents = lm_realloc(b->at.documents, (size_t)segments * sizeof *b->at.documents);
    }
}

static void put_piece(lm_batcher *b, const lm_piece *p, float weight)
{
    lm_microbatch *m = &b->at;
    int64_t at = m->batch.n_tokens;
    const lm_token *token = b->data->tokens + p->begin;
    for (int64_t i = 0; i < p->n; i++) {
        bool learnt = token[i + 1] & LM_TOKEN_SUPERVISED;
        b->ids[at + i] = lm_token_value(token[i]);
        b->positions[at + i] = (int32_t)i;
        m->targets[at + i] = learnt ? lm_token_lesson(token[i + 1]) : -1;
        m->weights[at + i] = learnt ? weight : 0;
        m->n_targets += learnt;
    }
    m->documents[m->batch.n_segments] = p->document;
    b->segments[m->batch.n_segments++] = (lm_segment){ .q0 = at, .nq = p->n, .k0 = at, .nk = p->n };
    m->batch.n_tokens += p->n;
}

const lm_microbatch *lm_batcher_fill(lm_batcher *b, int64_t position, int64_t n, float weight, float share)
{
    LM_ASSERT(n > 0 && n <= b->size);
    int64_t tokens = 0, segments = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t block = b->members[i] = lm_batcher_block(b, position + i);
        tokens += lm_block_length(b->blocks, block);
        segments += b->blocks->first[block + 1] - b->blocks->first[block];
    }
    make_room(b, tokens, segments);
    lm_microbatch *m = &b->at;
    m->batch = (lm_batch){ .ids = b->ids, .positions = b->positions, .segments = b->segments };
    m->n_targets = 0;
    m->blocks = b->members, m->n_blocks = n;
    m->data = b->data;
    m->share = share;
    for (int64_t i = 0; i < n; i++) {
        m->first[i] = m->batch.n_segments;
        for (int64_t p = b->blocks->first[b->members[i]]; p < b->blocks->first[b->members[i] + 1]; p++)
            put_piece(b, &b->blocks->pieces[p], weight);
    }
    m->first[n] = m->batch.n_segments;
    return m;
}
