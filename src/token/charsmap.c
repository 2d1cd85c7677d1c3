#include "token/charsmap.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------- */

static uint32_t u32_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

lm_status lm_charsmap_read(lm_charsmap *map, lm_span bytes, const char *name, lm_err *err)
{
    *map = (lm_charsmap){0};
    size_t size = bytes.len >= 4 ? u32_at(bytes.data) : 0;
    if (bytes.len < 4 || size > bytes.len - 4 || size % 4 || !size)
        return lm_fail(err, LM_E_FORMAT, "%s: precompiled_charsmap: %zu bytes do not hold the trie that they announce", name, bytes.len);
    map->n = size / 4;
    map->trie = lm_malloc(size);
    for (size_t i = 0; i < map->n; i++) map->trie[i] = u32_at(bytes.data + 4 + 4 * i);
    map->n_results = bytes.len - 4 - size;
    map->results = lm_malloc(map->n_results + 1);
    memcpy(map->results, bytes.data + 4 + size, map->n_results);
    map->results[map->n_results] = '\0';
    return LM_OK;
}

void lm_charsmap_free(lm_charsmap *map)
{
    free(map->trie);
    free(map->results);
    *map = (lm_charsmap){0};
}

/* ---- searching --------------------------------------------------------------------------------- */

/* A unit of the trie: label in the low byte (and bit 31, which a value has), bit 8 says that a string
 * ends here, bits 10.. are the distance to the children, times 256 where bit 9 is set. */
static size_t distance(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6); }

static size_t search(const lm_charsmap *map, lm_span text, bool longest, const char **result)
{
    size_t found = 0, at = distance(map->trie[0]);
    for (size_t i = 0; i < text.len; i++) {
        at ^= (uint8_t)text.data[i];
        if (at >= map->n) break;
        uint32_t unit = map->trie[at];
        if ((unit & (1u << 31 | 0xFF)) != (uint8_t)text.data[i]) break;
        at ^= distance(unit);
        if (at >= map->n) break;
        if (!(unit >> 8 & 1)) continue;
        uint32_t value = map->trie[at] & 0x7FFFFFFF;
        if (value > map->n_results) break;
        *result = map->results + value;
        found = i + 1;
        if (!longest) break;
    }
    return found;
}

bool lm_charsmap_begins(const lm_charsmap *map, lm_span text)
{
    size_t at = distance(map->trie[0]);
    for (size_t i = 0; i < text.len; i++) {
        at ^= (uint8_t)text.data[i];
        if (at >= map->n || (map->trie[at] & (1u << 31 | 0xFF)) != (uint8_t)text.data[i]) return false;
        at ^= distance(map->trie[at]);
        if (at >= map->n) return true;
    }
    return true;
}

size_t lm_charsmap_longest(const lm_charsmap *map, lm_span text, const char **result) { return search(map, text, true, result); }
size_t lm_charsmap_shortest(const lm_charsmap *map, lm_span text, const char **result) { return search(map, text, false, result); }

/* ---- base64 ---------------------------------------------------------------------------------------- */

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool lm_base64_decode(lm_str *out, lm_span text)
{
    while (text.len && text.data[text.len - 1] == '=') text.len--;
    if (text.len % 4 == 1) return false;
    uint32_t bits = 0;
    int n = 0;
    lm_str_reserve(out, out->len + text.len / 4 * 3 + 3);
    for (size_t i = 0; i < text.len; i++) {
        int value = digit(text.data[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        n += 6;
        if (n >= 8) lm_str_putc(out, (char)(bits >> (n -= 8)));
    }
    return true;
}

void lm_base64_encode(lm_str *out, lm_span bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++) bits = bits << 8 | (j < n ? (uint8_t)bytes.data[i + j] : 0);
        for (size_t j = 0; j < 4; j++) lm_str_putc(out, j <= n ? digits[bits >> (18 - 6 * j) & 63] : '=');
    }
}
