/* Making the character map of SentencePiece's rules "nfkc" and "nmt_nfkc" from the Unicode tables.
 *
 * Keys are the characters that NFKC changes; and, for each character that NFKC leaves or makes whole, every
 * way to write its NFKD with characters that are compatible with those (a Hangul syllable from conjoining,
 * compatibility or half-width jamo).  nmt_nfkc also drops controls and makes spaces of all that is blank.
 *
 * The double array shares equal subtrees, as a minimal automaton does: a key's value is its own, but the
 * many ways to write a first letter lead to the same place.  Unit p leads to its children at p ^ distance ^
 * byte; the value of a key is the child of byte 0.  Invariants: a slot belongs to one base, and no two nodes
 * have the same base, so that a label tells the parent. */
#define _GNU_SOURCE
#include "base/map.h"
#include "token/charsmap.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    uint32_t key, key_length, value; /* places in `keys` and `results` */
} entry;

typedef struct variant {
    uint32_t whole, rune;            /* `whole` is the NFKD of `rune` */
} variant;

typedef struct builder {
    lm_str keys, results;
    entry *entries;
    size_t n_entries, cap_entries;
    lm_map *known_results;
    variant *variants;
    size_t n_variants, cap_variants;

    lm_str nodes;                    /* all nodes: labels with a child's number, or with label 0 a value */
    size_t *node_at;                 /* where each begins; one more behind the last */
    uint32_t *base;
    int n_nodes, cap_nodes;
    lm_map *known_nodes;
    uint32_t *units;
    uint8_t *base_taken;
    size_t n_units;
} builder;

/* ---- keys -------------------------------------------------------------------------------- */

enum { LONGEST = 18 };               /* characters of the longest NFKD */

static uint32_t result_at(builder *b, lm_span text)
{
    int64_t at = lm_map_get(b->known_results, text.data, text.len, -1);
    if (at >= 0) return (uint32_t)at;
    at = (int64_t)b->results.len;
    lm_map_put(b->known_results, text.data, text.len, at);
    lm_str_append(&b->results, text.data, text.len);
    lm_str_putc(&b->results, '\0');
    return (uint32_t)at;
}

static void put(builder *b, const uint32_t *runes, int n, lm_span result)
{
    size_t at = b->keys.len;
    for (int i = 0; i < n; i++) lm_str_put_rune(&b->keys, runes[i]);
    size_t length = b->keys.len - at;
    if (length == result.len && !memcmp(b->keys.data + at, result.data, length)) return;
    if (b->n_entries == b->cap_entries) {
        b->cap_entries = b->cap_entries ? b->cap_entries * 2 : 1 << 16;
        b->entries = lm_realloc(b->entries, b->cap_entries * sizeof *b->entries);
    }
    b->entries[b->n_entries++] = (entry){ (uint32_t)at, (uint32_t)length, result_at(b, result) };
}

/* What the rules of "nmt" make of a character: NULL where they say nothing. */
static const char *nmt_of(uint32_t c)
{
    static const uint32_t spaces[] = { 0x9, 0xA, 0xC, 0xD, 0x61C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD };
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (spaces[i] == c) return " ";
    if (c == 0xFF5E) return "\xEF\xBD\x9E";              /* the wide tilde of Japanese stays */
    return (c >= 1 && c < 32) || c == 0x7F || c == 0x8F || c == 0x9F ? "" : NULL;
}

static int runes_of(uint32_t *out, const lm_str *text)
{
    int n = 0;
    for (size_t i = 0; i < text->len && n < LONGEST; n++) i += (size_t)lm_rune_at(text->data + i, text->len - i, &out[n]);
    return n;
}

static void normal(lm_str *out, uint32_t rune, lm_normal_form form)
{
    lm_str text = {0};
    lm_str_clear(out);
    lm_str_put_rune(&text, rune);
    lm_unicode_normalise(out, lm_span_of(text.data, text.len), form);
    lm_str_free(&text);
}

static int by_whole(const void *a, const void *b)
{
    const variant *x = a, *y = b;
    if (x->whole != y->whole) return x->whole < y->whole ? -1 : 1;
    return (x->rune > y->rune) - (x->rune < y->rune);
}

static bool is_assigned(uint32_t rune) { return !lm_rune_in(rune, LM_CATEGORY(LM_CN) | LM_CATEGORY(LM_CS) | LM_CATEGORY(LM_CO)); }

static void find_variants(builder *b)
{
    lm_str form = {0};
    uint32_t runes[LONGEST];
    for (uint32_t c = 1; c < 0x110000; c++) {
        if (!is_assigned(c)) continue;
        normal(&form, c, LM_NFKD);
        if (runes_of(runes, &form) != 1 || runes[0] == c) continue;
        if (b->n_variants == b->cap_variants) {
            b->cap_variants = b->cap_variants ? b->cap_variants * 2 : 4096;
            b->variants = lm_realloc(b->variants, b->cap_variants * sizeof *b->variants);
        }
        b->variants[b->n_variants++] = (variant){ runes[0], c };
    }
    qsort(b->variants, b->n_variants, sizeof *b->variants, by_whole);
    lm_str_free(&form);
}

static size_t first_variant(const builder *b, uint32_t whole)
{
    size_t low = 0, high = b->n_variants;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (b->variants[middle].whole < whole) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Every way to write runes[at..n), the ones before it being chosen. */
static void expand(builder *b, uint32_t *runes, int at, int n, lm_span result)
{
    if (at == n) {
        put(b, runes, n, result);
        return;
    }
    uint32_t whole = runes[at];
    expand(b, runes, at + 1, n, result);
    for (size_t i = first_variant(b, whole); i < b->n_variants && b->variants[i].whole == whole; i++) {
        runes[at] = b->variants[i].rune;
        expand(b, runes, at + 1, n, result);
    }
    runes[at] = whole;
}

static void find_keys(builder *b, bool nmt)
{
    lm_str whole = {0}, apart = {0};
    uint32_t runes[LONGEST];
    for (uint32_t c = 1; c < 0x110000; c++) {
        if (!is_assigned(c)) continue;
        const char *special = nmt ? nmt_of(c) : NULL;
        normal(&whole, c, LM_NFKC);
        lm_span result = lm_span_of(whole.data, whole.len);
        put(b, &c, 1, special ? lm_span_of(special, strlen(special)) : result);
        if (runes_of(runes, &whole) != 1) continue;
        normal(&apart, c, LM_NFKD);
        int n = runes_of(runes, &apart);
        if (n > 1) expand(b, runes, 0, n, result);
    }
    lm_str_free(&whole);
    lm_str_free(&apart);
}

/* ---- nodes --------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b, void *context)
{
    const entry *x = a, *y = b;
    const char *keys = context;
    int order = memcmp(keys + x->key, keys + y->key, x->key_length < y->key_length ? x->key_length : y->key_length);
    return order ? order : (int)x->key_length - (int)y->key_length;
}

static void sort_keys(builder *b)
{
    qsort_r(b->entries, b->n_entries, sizeof *b->entries, compare_keys, b->keys.data);
    size_t n = 0;
    for (size_t i = 0; i < b->n_entries; i++)
        if (n == 0 || compare_keys(&b->entries[n - 1], &b->entries[i], b->keys.data)) b->entries[n++] = b->entries[i];
    b->n_entries = n;
}

enum { LINK = 5 };                   /* bytes of a node's entry: the label, then a number */

static uint8_t *put_link(uint8_t *link, uint8_t label, uint32_t number)
{
    link[0] = label;
    memcpy(link + 1, &number, sizeof number);
    return link + LINK;
}

static uint32_t link_number(const uint8_t *link)
{
    uint32_t number;
    memcpy(&number, link + 1, sizeof number);
    return number;
}

static int node_of(builder *b, const uint8_t *links, size_t n)
{
    int64_t known = lm_map_get(b->known_nodes, links, n, -1);
    if (known >= 0) return (int)known;
    if (b->n_nodes + 1 >= b->cap_nodes) {
        b->cap_nodes = b->cap_nodes ? b->cap_nodes * 2 : 4096;
        b->node_at = lm_realloc(b->node_at, (size_t)b->cap_nodes * sizeof *b->node_at);
        b->base = lm_realloc(b->base, (size_t)b->cap_nodes * sizeof *b->base);
    }
    lm_map_put(b->known_nodes, links, n, b->n_nodes);
    b->node_at[b->n_nodes] = b->nodes.len;
    lm_str_append(&b->nodes, links, n);
    b->node_at[++b->n_nodes] = b->nodes.len;
    return b->n_nodes - 1;
}

/* The node of the keys [begin, end), which have their first `depth` bytes in common. */
static int make_node(builder *b, size_t begin, size_t end, uint32_t depth)
{
    uint8_t links[256 * LINK], *link = links;
    if (b->entries[begin].key_length == depth) link = put_link(link, 0, b->entries[begin++].value);
    while (begin < end) {
        uint8_t label = (uint8_t)b->keys.data[b->entries[begin].key + depth];
        size_t next = begin + 1;
        while (next < end && (uint8_t)b->keys.data[b->entries[next].key + depth] == label) next++;
        link = put_link(link, label, (uint32_t)make_node(b, begin, next, depth + 1));
        begin = next;
    }
    return node_of(b, links, (size_t)(link - links));
}

/* ---- the double array ------------------------------------------------------------------------- */

enum { BLOCK = 256, OPEN_BLOCKS = 16 };
static const uint32_t free_unit = 1u << 31;              /* no label has this bit */

static void add_block(builder *b)
{
    b->units = lm_realloc(b->units, (b->n_units + BLOCK) * sizeof *b->units);
    b->base_taken = lm_realloc(b->base_taken, b->n_units + BLOCK);
    for (size_t i = b->n_units; i < b->n_units + BLOCK; i++) b->units[i] = free_unit, b->base_taken[i] = 0;
    b->n_units += BLOCK;
}

static bool fits(const builder *b, size_t base, const uint8_t *links, size_t n)
{
    if (b->base_taken[base]) return false;
    for (size_t i = 0; i < n; i += LINK)
        if (b->units[base ^ links[i]] != free_unit) return false;
    return true;
}

/* A base for a node in one of the last blocks, or in a new one. */
static size_t find_base(builder *b, const uint8_t *links, size_t n)
{
    size_t from = b->n_units > OPEN_BLOCKS * BLOCK ? b->n_units - OPEN_BLOCKS * BLOCK : 0;
    for (size_t slot = from; slot < b->n_units; slot++)
        if (b->units[slot] == free_unit && fits(b, slot ^ links[0], links, n)) return slot ^ links[0];
    add_block(b);
    return b->n_units - BLOCK;
}

/* Children have smaller numbers, so their bases are known. */
static void place_nodes(builder *b)
{
    add_block(b);
    b->units[0] = 0;                                     /* the root */
    b->base_taken[0] = 1;
    for (int i = 0; i < b->n_nodes; i++) {
        const uint8_t *links = (const uint8_t *)b->nodes.data + b->node_at[i];
        size_t n = b->node_at[i + 1] - b->node_at[i], base = find_base(b, links, n);
        b->base_taken[base] = 1;
        b->base[i] = (uint32_t)base;
        for (size_t j = 0; j < n; j += LINK) {
            uint32_t number = link_number(links + j), slot = (uint32_t)base ^ links[j];
            if (!links[j]) {
                b->units[slot] = number | free_unit;     /* a value */
                continue;
            }
            bool ends = !b->nodes.data[b->node_at[number]];
            b->units[slot] = (slot ^ b->base[number]) << 10 | (uint32_t)ends << 8 | links[j];
        }
    }
    b->units[0] = b->base[b->n_nodes - 1] << 10;         /* the root is made last */
}

static void put_u32(lm_str *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) lm_str_putc(out, (char)(value >> 8 * i));
}

void lm_charsmap_nfkc(lm_str *out, bool nmt)
{
    builder b = { .known_results = lm_map_new(1 << 14), .known_nodes = lm_map_new(1 << 15) };
    lm_str_putc(&b.results, '\0');                        /* no value is 0, which would look like a free unit */
    find_variants(&b);
    find_keys(&b, nmt);
    sort_keys(&b);
    make_node(&b, 0, b.n_entries, 0);
    place_nodes(&b);
    put_u32(out, (uint32_t)(4 * b.n_units));
    for (size_t i = 0; i < b.n_units; i++) put_u32(out, b.units[i]);
    lm_str_append(out, b.results.data, b.results.len);
    lm_map_free(b.known_results), lm_map_free(b.known_nodes);
    lm_str_free(&b.keys), lm_str_free(&b.results), lm_str_free(&b.nodes);
    free(b.entries), free(b.variants), free(b.node_at), free(b.base), free(b.units), free(b.base_taken);
}
