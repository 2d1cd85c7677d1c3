/* The training loop of byte-pair encoding.
 *
 * A queue holds pairs by count; a pair's count changes while it waits, so an entry that comes up with
 * an old count goes back with the new one.  An entry knows the words where its pair was made.
 *
 * The order of merges must be that of the Hugging Face library, so its accounting is kept to the
 * letter where it shows: the count of a pair stays after it was merged (a token that is made in two
 * ways meets it again), and entries of one pair that were made at different times stay apart. */
#include "token/learn.h"

#include <stdlib.h>
#include <string.h>

typedef struct pair_count {
    uint64_t pair;                   /* left << 32 | right; UINT64_MAX: free */
    int64_t count;
    uint32_t round, entry;           /* the merge that last made it, and its index among that merge's new pairs */
} pair_count;

typedef struct pair_table {
    pair_count *slots;
    size_t mask, n;
} pair_table;

typedef struct queued {
    int64_t count;
    uint64_t pair;
    uint32_t *words;
    size_t n;
} queued;

typedef struct queue {
    queued *items;
    size_t n, cap;
} queue;

/* A pair that this merge makes more frequent, with the words where. */
typedef struct made {
    uint64_t pair;
    uint32_t *words;
    size_t n, cap;
} made;

typedef struct learner {
    lm_corpus *corpus;
    pair_table counts;
    queue queue;
    made *made;
    size_t n_made, cap_made;
    uint32_t round;
    uint32_t *lengths;               /* of each token, in symbols */
    int cap_lengths;
    uint32_t max_length;
} learner;

static uint64_t key(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

/* ---- corpus --------------------------------------------------------------------------------- */

void lm_corpus_word(lm_corpus *c, int64_t count)
{
    if (c->n_words && c->words[c->n_words - 1].n < 2) c->n_symbols = c->words[--c->n_words].begin;
    if (c->n_words == c->cap_words) {
        c->cap_words = c->cap_words ? c->cap_words + c->cap_words / 2 : 1 << 14;
        c->words = lm_realloc(c->words, c->cap_words * sizeof *c->words);
    }
    c->words[c->n_words++] = (struct lm_corpus_word){ .begin = c->n_symbols, .count = count };
}

void lm_corpus_push(lm_corpus *c, int32_t symbol)
{
    if (c->n_symbols == c->cap) {
        c->cap = c->cap ? c->cap + c->cap / 2 : 1 << 16;
        c->symbols = lm_realloc(c->symbols, c->cap * sizeof *c->symbols);
    }
    c->symbols[c->n_symbols++] = symbol;
    c->words[c->n_words - 1].n++;
}

void lm_corpus_free(lm_corpus *c)
{
    free(c->symbols);
    free(c->words);
    *c = (lm_corpus){0};
}

/* ---- counts ----------------------------------------------------------------------------------- */

static pair_count *find(pair_table *t, uint64_t pair)
{
    size_t at = (pair * 0x9E3779B97F4A7C15u >> 24) & t->mask;
    while (t->slots[at].pair != pair && t->slots[at].pair != UINT64_MAX) at = (at + 1) & t->mask;
    return &t->slots[at];
}

static void table_init(pair_table *t, size_t size)
{
    t->slots = lm_malloc(size * sizeof *t->slots);
    t->mask = size - 1;
    for (size_t i = 0; i < size; i++) t->slots[i].pair = UINT64_MAX;
}

static pair_count *count_of(pair_table *t, uint64_t pair)
{
    if (t->n * 2 > t->mask) {
        pair_table old = *t;
        table_init(t, (old.mask + 1) * 2);
        for (size_t i = 0; i <= old.mask; i++)
            if (old.slots[i].pair != UINT64_MAX) *find(t, old.slots[i].pair) = old.slots[i];
        free(old.slots);
    }
    pair_count *slot = find(t, pair);
    if (slot->pair == UINT64_MAX) {
        *slot = (pair_count){ .pair = pair, .round = UINT32_MAX };
        t->n++;
    }
    return slot;
}

/* ---- queue ------------------------------------------------------------------------------------- */

static bool above(const queued *a, const queued *b) { return a->count != b->count ? a->count > b->count : a->pair < b->pair; }

static void queue_push(queue *q, queued item)
{
    if (q->n == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 1024;
        q->items = lm_realloc(q->items, q->cap * sizeof *q->items);
    }
    size_t i = q->n++;
    for (; i > 0 && above(&item, &q->items[(i - 1) / 2]); i = (i - 1) / 2) q->items[i] = q->items[(i - 1) / 2];
    q->items[i] = item;
}

static queued queue_pop(queue *q)
{
    queued top = q->items[0], last = q->items[--q->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < q->n; i = child) {
        if (child + 1 < q->n && above(&q->items[child + 1], &q->items[child])) child++;
        if (!above(&q->items[child], &last)) break;
        q->items[i] = q->items[child];
    }
    if (q->n) q->items[i] = last;
    return top;
}

/* ---- one merge ------------------------------------------------------------------------------------ */

static void change(learner *l, uint64_t pair, int64_t by, uint32_t word, bool gains)
{
    pair_count *slot = count_of(&l->counts, pair);
    slot->count += by;
    if (!gains) return;
    if (slot->round != l->round) {
        slot->round = l->round;
        slot->entry = (uint32_t)l->n_made;
        if (l->n_made == l->cap_made) {
            l->cap_made = l->cap_made ? l->cap_made * 2 : 256;
            l->made = lm_realloc(l->made, l->cap_made * sizeof *l->made);
        }
        l->made[l->n_made++] = (made){ .pair = pair };
    }
    made *m = &l->made[slot->entry];
    if (m->n && m->words[m->n - 1] == word) return;
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 4;
        m->words = lm_realloc(m->words, m->cap * sizeof *m->words);
    }
    m->words[m->n++] = word;
}

/* Merges (left, right) into `token` in one word and books the pairs that go and come. */
static void merge_word(learner *l, uint32_t index, int32_t left, int32_t right, int32_t token)
{
    struct lm_corpus_word *word = &l->corpus->words[index];
    int32_t *s = l->corpus->symbols + word->begin;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < word->n;) {
        if (s[i] != left || i + 1 == word->n || s[i + 1] != right) {
            s[kept++] = s[i++];
            continue;
        }
        uint32_t length = l->lengths[token];
        if (kept > 0) {
            change(l, key(s[kept - 1], left), -word->count, index, false);
            if (l->lengths[s[kept - 1]] + length < l->max_length) change(l, key(s[kept - 1], token), word->count, index, true);
        }
        if (i + 2 < word->n) {
            change(l, key(right, s[i + 2]), -word->count, index, false);
            if (l->lengths[s[i + 2]] + length < l->max_length) change(l, key(token, s[i + 2]), word->count, index, true);
        }
        s[kept++] = token;
        i += 2;
    }
    word->n = kept;
}

static void queue_made(learner *l)
{
    for (size_t i = 0; i < l->n_made; i++) {
        made *m = &l->made[i];
        int64_t count = count_of(&l->counts, m->pair)->count;
        if (count > 0) queue_push(&l->queue, (queued){ count, m->pair, m->words, m->n });
        else free(m->words);
    }
    l->n_made = 0;
}

static void set_length(learner *l, int32_t token, uint32_t length)
{
    if (token >= l->cap_lengths) {
        int cap = l->cap_lengths * 2 > token + 1 ? l->cap_lengths * 2 : token + 1;
        l->lengths = lm_realloc(l->lengths, (size_t)cap * sizeof *l->lengths);
        for (int i = l->cap_lengths; i < cap; i++) l->lengths[i] = 1;
        l->cap_lengths = cap;
    }
    l->lengths[token] = length;
}

static size_t characters(lm_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    return n;
}

/* The id of the token that a pair makes, a new one where needed; -1 when it would be too long. */
static int32_t token_of(lm_vocab *vocab, int32_t left, int32_t right, size_t prefix, const lm_vocab_options *options)
{
    lm_str text = {0};
    lm_span a = vocab->texts[left], b = vocab->texts[right];
    lm_str_append(&text, a.data, a.len);
    lm_str_append(&text, b.data + prefix, b.len - prefix);
    lm_span span = lm_span_of(text.data, text.len);
    int32_t id = -1;
    if (!options->max_token_length || characters(span) <= (size_t)options->max_token_length) {
        id = lm_vocab_id(vocab, span);
        if (id < 0) {
            id = vocab->n;
            if (lm_vocab_add(vocab, span, id, "training", NULL)) LM_BUG("token %d cannot be added", id);
        }
    }
    lm_str_free(&text);
    return id;
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static void count_pairs(learner *l)
{
    lm_corpus *c = l->corpus;
    table_init(&l->counts, 1 << 16);
    l->round = 0;
    for (size_t w = 0; w < c->n_words; w++) {
        const int32_t *s = c->symbols + c->words[w].begin;
        for (uint32_t i = 0; i + 1 < c->words[w].n; i++) change(l, key(s[i], s[i + 1]), c->words[w].count, (uint32_t)w, true);
    }
    queue_made(l);
}

static void keep_pair(lm_learned *learned, int32_t left, int32_t right)
{
    if (learned->n == learned->cap) {
        learned->cap = learned->cap ? learned->cap * 2 : 1024;
        learned->pairs = lm_realloc(learned->pairs, learned->cap * sizeof *learned->pairs);
    }
    learned->pairs[learned->n][0] = left;
    learned->pairs[learned->n++][1] = right;
}

void lm_learn_merges(lm_learned *learned, lm_vocab *vocab, lm_corpus *corpus, size_t prefix, const lm_vocab_options *options)
{
    learner l = { .corpus = corpus, .max_length = UINT32_MAX };
    if (options->max_token_length && options->max_token_length < UINT32_MAX) l.max_length = (uint32_t)options->max_token_length;
    set_length(&l, vocab->n, 1);
    count_pairs(&l);
    while (vocab->n < options->vocab_size && l.queue.n) {
        queued top = queue_pop(&l.queue);
        int64_t count = count_of(&l.counts, top.pair)->count;
        if (top.count != count) {
            top.count = count;
            queue_push(&l.queue, top);
            continue;
        }
        if (top.count < 1 || top.count < options->min_frequency) {
            free(top.words);
            break;
        }
        int32_t left = (int32_t)(top.pair >> 32), right = (int32_t)(uint32_t)top.pair;
        int32_t token = token_of(vocab, left, right, prefix, options);
        if (token >= 0) {
            keep_pair(learned, left, right);
            set_length(&l, token, l.lengths[left] + l.lengths[right]);
            l.round++;
            for (size_t i = 0; i < top.n; i++) merge_word(&l, top.words[i], left, right, token);
            queue_made(&l);
        }
        free(top.words);
        if (options->progress && (learned->n & 255) == 0) options->progress(options->context, "merges", vocab->n, options->vocab_size);
    }
    for (size_t i = 0; i < l.queue.n; i++) free(l.queue.items[i].words);
    free(l.queue.items), free(l.counts.slots), free(l.made), free(l.lengths);
}
