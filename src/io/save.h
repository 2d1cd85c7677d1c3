/* Writing safetensors: one file, or a model's folder in shards with an index.
 *
 * The tensors are declared first, then their data is taken in order, from memory or from a
 * callback, and converted on the way: no copy of the model is ever made.  Files are written under
 * temporary names and take their own when all of them are on the disk, the index last; when
 * anything fails, whatever stood there still stands. */
#ifndef LM_IO_SAVE_H
#define LM_IO_SAVE_H

#include "base/err.h"
#include "base/json.h"
#include "tensor/dtype.h"

#include <stdint.h>

typedef struct lm_save_entry {
    const char *name;                        /* UTF-8, once per save */
    lm_dtype dtype;                          /* in the file */
    int ndim;                                /* at most LM_STORED_MAX_DIM */
    const int64_t *dim;                      /* outermost first */
    const void *data;                        /* contiguous, in host memory; NULL: `fill` makes it */
    lm_dtype data_dtype;                     /* of data; F32, BF16 and F16 convert into each other */
} lm_save_entry;

typedef struct lm_save {
    const lm_save_entry *entries;
    int64_t n;
    /* Computes entry i, whose data is NULL, into out: as many elements of data_dtype as its shape has.
     * Called once per such entry, in an order that is not the list's. */
    lm_status (*fill)(void *context, int64_t i, void *out, lm_err *err);
    void *context;
    const lm_json *metadata;                 /* object of strings; NULL: {"format": "pt"} */
} lm_save;

/* Writes one file.  LM_E_IO names the path and the system's reason (a full disk among them). */
lm_status lm_save_file(const lm_save *s, const char *path, lm_err *err);

/* Writes model.safetensors into an existing folder, or, when the tensors take more than `max_shard`
 * bytes, model-00001-of-0000N.safetensors .. with model.safetensors.index.json.  0: 5 GB.  A tensor
 * is never split.  The single file or index of an earlier save that would now mislead is removed. */
lm_status lm_save_folder(const lm_save *s, const char *folder, int64_t max_shard, lm_err *err);

#endif
