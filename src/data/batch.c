#include "data/batch.h"

#include "base/map.h"
#include "data/mix.h"
#include "data/permute.h"

#include <math.h>
#include <stdlib.h>

enum { STREAM_SPLIT = 0x73706c69, STREAM_EPOCH = 0x65706f63, STREAM_SOURCE = 0x736f7572 };        /* of the seed: one use each */

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
    free(part->sources);
    *part = (lm_part){0};
}

/* ---- sources with weights ---- */

void lm_shares_free(lm_shares *s)
{
    for (int i = 0; i < s->n; i++) free(s->names[i]);
    free(s->names);
    free(s->ends);
    free(s->rates);
    *s = (lm_shares){0};
}

/* Blocks [*at, ..) that begin with a document before `end`; moves on to the next source. */
static int64_t blocks_before(const lm_blocks *b, const int64_t *blocks, int64_t n, int64_t *at, int64_t end)
{
    int64_t begin = *at;
    while (*at < n && b->pieces[b->first[blocks ? blocks[*at] : *at]].document < end) ++*at;
    return *at - begin;
}

lm_status lm_part_weigh(lm_part *part, const lm_blocks *b, const lm_dataset *d, const lm_shares *shares, lm_err *err)
{
    int n = shares->n;
    double *rates = lm_malloc((size_t)n * sizeof *rates), sum = 0;
    int64_t *left = lm_malloc(2 * (size_t)n * sizeof *left), *counts = left + n, in_part = part->n, in_all = 0, at = 0;
    part->n_sources = n;
    part->sources = lm_calloc((size_t)n, sizeof *part->sources);
    for (int i = 0; i < n; i++) {
        int64_t begin = i ? shares->ends[i - 1] : 0, all = blocks_before(b, NULL, b->n, &in_all, shares->ends[i]);
        part->sources[i].first = at;
        left[i] = part->sources[i].n = blocks_before(b, part->blocks, in_part, &at, shares->ends[i]);
        sum += rates[i] = shares->rates[i] * (double)all / (double)lm_dataset_rows(d, begin, shares->ends[i]);       /* of blocks */
    }
    for (int i = 0; i < n; i++) rates[i] /= sum;
    part->n = lm_mix_most(rates, left, n);
    lm_mix_counts(counts, rates, n, part->n);
    lm_status status = LM_OK;
    for (int i = 0; i < n; i++) {
        part->sources[i].count = counts[i];
        if (!counts[i] && status == LM_OK)
            status = lm_fail(err, LM_E_USAGE, "%s: with these weights an epoch of %lld blocks has none of its %lld; give more rows of the others, or other weights", shares->names[i],
                             (long long)part->n, (long long)left[i]);
    }
    free(rates);
    free(left);
    return status;
}

/* ---- the order ---- */

/* Place i of an epoch belongs to a source; each pass through its blocks has an order of its own. */
static int64_t drawn_block(const lm_batcher *b, int64_t epoch, int64_t i)
{
    const lm_part_source *s = b->part->sources;
    while (i >= s->count) i -= s++->count;
    int64_t draw = epoch * s->count + i, at = draw % s->n;
    uint64_t stream[3] = { STREAM_SOURCE, (uint64_t)(s - b->part->sources), (uint64_t)(draw / s->n) };
    if (b->shuffle) at = lm_permute(at, s->n, b->seed, lm_hash(stream, sizeof stream, 0));
    return b->part->blocks[s->first + at];
}

int64_t lm_batcher_block(const lm_batcher *b, int64_t position)
{
    int64_t epoch = position / b->part->n, i = position % b->part->n;
    if (b->shuffle) i = lm_permute(i, b->part->n, b->seed, (uint64_t)epoch << 32 | STREAM_EPOCH);
    return b->part->n_sources ? drawn_block(b, epoch, i) : b->part->blocks[i];
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
