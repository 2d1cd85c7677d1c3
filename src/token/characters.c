#include "token/characters.h"

#include <stdlib.h>
#include <string.h>

/* What a token is, as far as merges at the ends of characters go. */
typedef struct fact {
    uint8_t first, last;             /* bytes */
    bool opens;                      /* one or two bytes that begin a longer character */
    bool closes;                     /* nothing but bytes that continue one */
    bool three;                      /* a character of three bytes */
    uint32_t rank;                   /* the lowest of the merges that it is an operand of */
} fact;

static bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }
static size_t length_of(uint8_t lead) { return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

/* Tokens that spell no bytes are no operand of anything: their facts stay empty. */
static fact fact_of(lm_span token, lm_str *bytes)
{
    lm_str_clear(bytes);
    if (!token.len || !lm_bytes_unspell(bytes, token)) return (fact){ 0 };
    const uint8_t *p = (const uint8_t *)bytes->data;
    fact f = { .first = p[0], .last = p[bytes->len - 1], .closes = true, .rank = UINT32_MAX };
    f.opens = bytes->len < length_of(p[0]);
    f.three = bytes->len == 3 && lm_is_three_bytes(p);
    for (size_t i = 0; i < bytes->len; i++) f.closes = f.closes && continues(p[i]);
    return f;
}

static fact *find_facts(const lm_vocab *vocab)
{
    fact *facts = lm_malloc((size_t)vocab->n * sizeof *facts);
    lm_str bytes = {0};
    for (int id = 0; id < vocab->n; id++) facts[id] = fact_of(vocab->texts[id], &bytes);
    lm_str_free(&bytes);
    return facts;
}

static void lower(uint32_t *rank, uint32_t to) { *rank = to < *rank ? to : *rank; }

static void note_merge(lm_characters *c, fact *left, fact *right, uint32_t rank)
{
    lower(&left->rank, rank);
    lower(&right->rank, rank);
    if (!continues(right->first) && (right->opens || left->closes)) lower(&c->crossing[left->last][right->first], rank);
}

/* Merges three bytes: the token that they become and the highest rank on the way; false where some stay apart. */
static bool join(const lm_merges *merges, const int32_t bytes[3], int32_t *token, uint32_t *rank)
{
    const lm_merge *front = lm_merges_get(merges, bytes[0], bytes[1]), *back = lm_merges_get(merges, bytes[1], bytes[2]);
    if (!front && !back) return false;
    bool front_first = front && (!back || front->rank <= back->rank);
    const lm_merge *first = front_first ? front : back;
    const lm_merge *second = front_first ? lm_merges_get(merges, first->id, bytes[2]) : lm_merges_get(merges, bytes[0], first->id);
    if (!second) return false;
    *token = second->id;
    *rank = (uint32_t)(first->rank > second->rank ? first->rank : second->rank);
    return true;
}

static void note_character(lm_characters *c, const lm_merges *merges, const int32_t byte_id[256], lm_span spelled, const fact *f, lm_str *bytes)
{
    lm_str_clear(bytes);
    lm_bytes_unspell(bytes, spelled);
    const uint8_t *p = (const uint8_t *)bytes->data;
    int32_t token;
    uint32_t rank;
    if (!join(merges, (int32_t[]){ byte_id[p[0]], byte_id[p[1]], byte_id[p[2]] }, &token, &rank) || rank >= f->rank) return;
    unsigned i = lm_three_bytes(p);
    c->of[i].token = token + 1;
    c->of[i].rank = rank;
}

lm_characters *lm_characters_new(const lm_vocab *vocab, const lm_merges *merges, const int32_t byte_id[256])
{
    lm_characters *c = lm_calloc(1, sizeof *c);
    memset(c->crossing, 0xFF, sizeof c->crossing);
    fact *facts = find_facts(vocab);
    lm_str bytes = {0};
    for (size_t i = 0; i <= merges->mask; i++) {
        uint64_t pair = merges->slots[i].pair;
        if (pair) note_merge(c, &facts[(pair >> 32) - 1], &facts[(uint32_t)pair], (uint32_t)merges->slots[i].rank);
    }
    for (int id = 0; id < vocab->n; id++)
        if (facts[id].three) note_character(c, merges, byte_id, vocab->texts[id], &facts[id], &bytes);
    lm_str_free(&bytes);
    free(facts);
    return c;
}
