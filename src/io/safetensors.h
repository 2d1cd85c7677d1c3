/* Safetensors: tensors in mapped files, one file or a model's set of them.
 *
 * A file is  u64 n | n bytes of JSON | data:  the JSON maps every name to its dtype, shape and
 * [begin, end) within the data, and "__metadata__" to strings.  Everything the header says is
 * checked when the file is opened: names, shapes, sizes, and that the tensors cover the data
 * exactly, without overlap or hole.  A tensor of a type that malmoi does not compute with
 * (F64, BOOL, F8_*, ...) is listed, and refused only when its data is asked for.
 *
 * Left out: a file that another program cuts short while it is mapped raises SIGBUS. */
#ifndef LM_IO_SAFETENSORS_H
#define LM_IO_SAFETENSORS_H

#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "base/map.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

enum { LM_STORED_MAX_DIM = 8 };              /* of what may stand in a file; computing allows LM_MAX_DIM */

/* A tensor as it lies in a file. */
typedef struct lm_stored {
    const char *name, *path;                 /* path of its file, for messages */
    const char *type;                        /* the file's word for its dtype */
    int dtype;                               /* an lm_dtype, or -1 for one that malmoi does not compute with */
    int ndim;
    int64_t dim[LM_STORED_MAX_DIM];          /* outermost first */
    int64_t numel;
    const void *data;                        /* mapped, read-only; any alignment */
    size_t bytes;
} lm_stored;

/* ---- one file ---------------------------------------------------------------- */

typedef struct lm_safetensors {
    char *path;
    lm_mapping mapping;
    lm_json *header;                         /* owns the names */
    lm_json *metadata;                       /* an object of strings, part of header; NULL: none */
    lm_stored *items;                        /* in the order of their data */
    int64_t n;
    lm_map *by_name;
} lm_safetensors;

/* Maps and checks a file.  LM_E_IO, or LM_E_FORMAT with one line that names file and tensor. */
lm_status lm_safetensors_open(lm_safetensors *file, const char *path, lm_err *err);
void lm_safetensors_close(lm_safetensors *file);                   /* takes NULL and {0}; every lm_stored dies */
const lm_stored *lm_safetensors_find(const lm_safetensors *file, const char *name);   /* NULL: not there */
const char *lm_safetensors_meta(const lm_safetensors *file, const char *key);         /* NULL: not there */

/* ---- a tensor ---------------------------------------------------------------- */

/* The mapped address, when it can be used as an array of `dtype` where it lies: same type, aligned
 * to its element.  NULL otherwise: lm_stored_copy serves every tensor. */
const void *lm_stored_in_place(const lm_stored *s, lm_dtype dtype);

/* Writes the whole tensor as `dtype` to out (numel elements).  F32, BF16 and F16 convert into each
 * other, rounding to nearest even; LM_E_UNSUPPORTED for another pair of different types. */
lm_status lm_stored_copy(const lm_stored *s, void *out, lm_dtype dtype, lm_err *err);

/* LM_E_MISMATCH "FILE: tensor NAME: shape [..], expected [..]" unless the shape is this one. */
lm_status lm_stored_need_shape(const lm_stored *s, int ndim, const int64_t *dim, lm_err *err);

/* ---- the set of files of a model --------------------------------------------- */

typedef struct lm_weights {
    char *path;                              /* as given */
    lm_safetensors *files;
    int64_t n_files;
    const lm_stored **items;                 /* of every file, in order */
    int64_t n;
    lm_map *by_name;
} lm_weights;

/* Opens a safetensors file, or a folder: its model.safetensors, else the shards that its
 * model.safetensors.index.json names.  The index must agree with the shards: every tensor of its
 * weight_map in the shard it names, no tensor in two, no shard outside the folder. */
lm_status lm_weights_open(lm_weights *w, const char *path, lm_err *err);
void lm_weights_close(lm_weights *w);                              /* takes NULL and {0} */
const lm_stored *lm_weights_find(const lm_weights *w, const char *name);              /* NULL: not there */

/* The same, where absence is LM_E_MISMATCH: "FOLDER: tensor NAME is missing". */
lm_status lm_weights_need(const lm_weights *w, const char *name, const lm_stored **out, lm_err *err);

#endif
