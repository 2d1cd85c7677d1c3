/* Quantised weights as bitsandbytes has them in safetensors (0.50; transformers' save_pretrained).
 *
 * Of a 4-bit matrix NAME:
 *   NAME                                      U8 [bytes, 1]       codes, two to a byte
 *   NAME.absmax                               F32 [blocks]; with double quantisation U8 [blocks] and
 *   NAME.nested_absmax, .nested_quant_map     F32 [outer blocks], F32 [256]
 *   NAME.quant_map                            F32 [16]            the levels
 *   NAME.quant_state.bitsandbytes__nf4        U8: JSON with quant_type, blocksize, dtype, shape, and of a
 *                                             double one nested_blocksize, nested_dtype, nested_offset
 * Of an int8 matrix MODULE.weight: itself, I8 [out, in], and MODULE.SCB, F32 [out], the rows' absmax.
 *
 * Left out: other layouts of int8 than rows (weight_format), other storage types than bytes. */
#ifndef LM_IO_BITSANDBYTES_H
#define LM_IO_BITSANDBYTES_H

#include "base/json.h"
#include "io/safetensors.h"
#include "io/save.h"
#include "quant/quant.h"

/* The format that config.json's quantization_config names, or NULL where there is none. */
lm_status lm_bnb_format(const lm_quant_type **out, const lm_json *config, lm_err *err);

/* Whether config.json's llm_int8_skip_modules leaves a module as it is: a name of the list is its beginning or its
 * end.  (transformers reads the names as expressions; plain ones mean the same.) */
bool lm_bnb_skips(const lm_json *config, const char *module);

/* A quantization_config for config.json, with the skipped modules of `before` (config.json as read, or NULL); the
 * caller owns it. */
lm_json *lm_bnb_config(const lm_quant_type *type, bool doubled, lm_dtype others, const lm_json *before);

/* Reads matrix `s` of `w` in format `type`, which must have rows x cols numbers: *out over the mapped codes,
 * its scales mapped too where they are aligned, else in `arena`; *q is its format.  Anything that does not
 * fit together is LM_E_MISMATCH or LM_E_FORMAT, with file and tensor. */
lm_status lm_bnb_read(lm_tensor *out, lm_quant *q, const lm_weights *w, const lm_stored *s, const lm_quant_type *type,
                      int64_t rows, int64_t cols, lm_arena *arena, lm_err *err);

/* Whether `name` is part of the quantised matrix that a model calls "X.weight", beside X.weight itself. */
bool lm_bnb_is_part(const char *name);

/* The tensors that write a quantised matrix; dtype: of the model's other weights.  Names and what is not
 * in the matrix's own memory live in `parts`. */
enum { LM_BNB_PARTS = 6 };
typedef struct lm_bnb_parts {
    lm_save_entry entry[LM_BNB_PARTS];
    int n;
    int64_t dim[LM_BNB_PARTS][2];
    char *name[LM_BNB_PARTS], *state;
    uint8_t format;
} lm_bnb_parts;
void lm_bnb_write(lm_bnb_parts *parts, const lm_tensor *t, lm_dtype dtype);
void lm_bnb_parts_free(lm_bnb_parts *parts);

#endif
