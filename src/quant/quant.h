/* Making quantised weights: one file per format, src/quant/<name>.c.
 *
 * A format is a table of levels (four bits) or a step (eight), and how many numbers share a scale.
 * Scale and codes are those of bitsandbytes, bit for bit.  How such data is read stands in
 * tensor/quant.h, its files in io/bitsandbytes.h. */
#ifndef LM_QUANT_QUANT_H
#define LM_QUANT_QUANT_H

#include "base/arena.h"
#include "tensor/quant.h"

typedef struct lm_quant_type {
    const char *name, *source;
    int bits;
    int64_t block;                       /* numbers that share a scale; 0: a row */
    float level[16];                     /* with four bits */
    float unit;                          /* scale = unit * absmax */
} lm_quant_type;

extern const lm_quant_type *const lm_quant_type_registry[];
const lm_quant_type *lm_quant_type_find(const char *name);           /* NULL: no such format */

/* Where the numbers come from. */
typedef struct lm_quant_source {
    int64_t rows, cols;                  /* of the quantised matrix */
    /* Numbers [begin, begin + n) of the matrix, row after row, in f32.  Called by several threads. */
    void (*read)(float *out, int64_t begin, int64_t n, const void *context);
    const void *context;
} lm_quant_source;

/* Quantises a matrix on all threads, a block at a time: no copy of it in floats is made.  `out` becomes a
 * [rows, cols] tensor over codes in `arena`, whose format is *q; name and gradient stay.  doubled: scales
 * of a format of four bits are themselves quantised.  On a counting arena only memory is taken. */
lm_status lm_quantise(lm_tensor *out, lm_quant *q, const lm_quant_type *type, const lm_quant_source *from, bool doubled,
                      lm_arena *arena, lm_err *err);

/* ---- the pieces, for tests and for who has scales of his own ---- */

/* The format without data; cols: of the matrix. */
lm_quant lm_quant_of(const lm_quant_type *type, int64_t cols);

/* Numbers x[n], which are elements from `begin` on, a multiple of the block: writes their codes and the absmax of
 * each block.  With four bits an odd number of elements fills the last half byte with the code of 0.  A last
 * block that is short is rounded otherwise in the last bit, as bitsandbytes does. */
void lm_quantise_blocks(const lm_quant *q, uint8_t *codes, float *absmax, int64_t begin, const float *x, int64_t n);

/* Dynamic 8-bit code (Dettmers 2016, "8-bit approximations for parallelism in deep learning", section 2;
 * signed, seven exponent bits): 256 numbers in ascending order. */
void lm_dynamic_map(float map[256]);

/* Codes of x[n] by that map, and the absmax of each run of 256. */
void lm_dynamic_quantise(uint8_t *codes, float *absmax, const float map[256], const float *x, int64_t n);

#endif
