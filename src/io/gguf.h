/* GGUF: the metadata of a model file (llama.cpp).
 *
 *     "GGUF", u32 version (2 or 3), u64 tensors, u64 entries, then the entries:
 *     string key, u32 type, value;  a string is u64 length and bytes;  little-endian.
 *
 * The file is mapped and values stay where they are: the accessors below read them.  Tensors are
 * described behind the entries; this reader leaves them alone. */
#ifndef LM_IO_GGUF_H
#define LM_IO_GGUF_H

#include "base/err.h"
#include "base/file.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum lm_gguf_type {
    LM_GGUF_U8, LM_GGUF_I8, LM_GGUF_U16, LM_GGUF_I16, LM_GGUF_U32, LM_GGUF_I32, LM_GGUF_F32, LM_GGUF_BOOL,
    LM_GGUF_STRING, LM_GGUF_ARRAY, LM_GGUF_U64, LM_GGUF_I64, LM_GGUF_F64, LM_GGUF_N_TYPES,
} lm_gguf_type;

/* One entry.  `data` is the value; of an array its first item. */
typedef struct lm_gguf_entry {
    lm_span key;
    lm_gguf_type type, item;         /* item: of an array */
    uint64_t n;                      /* items of an array, else 1 */
    const uint8_t *data;
} lm_gguf_entry;

typedef struct lm_gguf {
    lm_mapping file;
    char *path;
    lm_gguf_entry *entries;
    int n;
    uint32_t version;
    uint64_t n_tensors;
    size_t end;                      /* offset behind the last entry */
} lm_gguf;

/* Whether a file begins as GGUF does. */
bool lm_gguf_is(lm_span head);

/* Reads the entries, every size checked against the file.  LM_E_FORMAT names the entry. */
lm_status lm_gguf_open(lm_gguf *out, const char *path, lm_err *err);
void lm_gguf_close(lm_gguf *gguf);                       /* takes {0} */

const lm_gguf_entry *lm_gguf_find(const lm_gguf *gguf, const char *key);   /* or NULL */

/* The value of an entry as text, integer (any integer type and bool) or real; `missing` where the key is
 * absent or has another kind of type. */
lm_span lm_gguf_text(const lm_gguf *gguf, const char *key);                /* {NULL, 0} */
int64_t lm_gguf_int(const lm_gguf *gguf, const char *key, int64_t missing);

/* An array of strings or of numbers; LM_E_FORMAT when it is absent or has other items. */
lm_status lm_gguf_strings(const lm_gguf *gguf, const char *key, lm_span **out, uint64_t *n, lm_err *err);
lm_status lm_gguf_floats(const lm_gguf *gguf, const char *key, float **out, uint64_t *n, lm_err *err);
lm_status lm_gguf_ints(const lm_gguf *gguf, const char *key, int32_t **out, uint64_t *n, lm_err *err);   /* i32 or u32 */

#endif
