/* The compiled character map of SentencePiece: which bytes normalise to which.
 *
 *     u32 bytes of the trie, the trie (a double array of darts-clone, u32 each), the results (NUL-terminated)
 *
 * All little-endian. */
#ifndef LM_TOKEN_CHARSMAP_H
#define LM_TOKEN_CHARSMAP_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

typedef struct lm_charsmap {
    uint32_t *trie;
    size_t n;
    char *results;
    size_t n_results;
} lm_charsmap;

lm_status lm_charsmap_read(lm_charsmap *map, lm_span bytes, const char *name, lm_err *err);
void lm_charsmap_free(lm_charsmap *map);

/* Looks for keys at the front of text: the longest, or the shortest.  Gives the length of the key and its
 * result; 0 when there is none. */
size_t lm_charsmap_longest(const lm_charsmap *map, lm_span text, const char **result);
size_t lm_charsmap_shortest(const lm_charsmap *map, lm_span text, const char **result);

/* Whether some key begins with text. */
bool lm_charsmap_begins(const lm_charsmap *map, lm_span text);

/* Appends the compiled map of SentencePiece's rule "nfkc", or with `nmt` that of "nmt_nfkc".  It knows the
 * characters of the normal forms in unicode.h. */
void lm_charsmap_nfkc(lm_str *out, bool nmt);

/* Base64 (RFC 4648); false for bytes that are not. */
bool lm_base64_decode(lm_str *out, lm_span text);
void lm_base64_encode(lm_str *out, lm_span bytes);

#endif
