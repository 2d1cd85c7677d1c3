/* Writing GGUF, version 3: entries and f32 tensors are put one after the other, then the file is written at once.
 * A tensor's dimensions stand innermost first, its data on a boundary of 32 bytes. */
#ifndef LM_IO_GGUF_WRITE_H
#define LM_IO_GGUF_WRITE_H

#include "io/gguf.h"

/* {0} is an empty one. */
typedef struct lm_gguf_writer {
    lm_str entries, tensors, data;
    uint64_t n_entries, n_tensors;
} lm_gguf_writer;

void lm_gguf_put_string(lm_gguf_writer *w, const char *key, const char *text);
void lm_gguf_put_flag(lm_gguf_writer *w, const char *key, bool value);
void lm_gguf_put_u32(lm_gguf_writer *w, const char *key, uint32_t value);
void lm_gguf_put_f32(lm_gguf_writer *w, const char *key, float value);

/* The head of a list, whose n items are then put with these. */
void lm_gguf_put_list(lm_gguf_writer *w, const char *key, lm_gguf_type item, size_t n);
void lm_gguf_put_number(lm_gguf_writer *w, uint64_t value, int bytes);
void lm_gguf_put_text(lm_gguf_writer *w, lm_span text);
void lm_gguf_put_bytes(lm_gguf_writer *w, const void *bytes, size_t n);

/* data [rows, cols], copied. */
void lm_gguf_put_matrix(lm_gguf_writer *w, const char *name, const float *data, int64_t rows, int64_t cols);

lm_status lm_gguf_write(const lm_gguf_writer *w, const char *path, lm_err *err);
void lm_gguf_writer_free(lm_gguf_writer *w);

#endif
