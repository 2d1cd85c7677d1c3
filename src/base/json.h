/* JSON documents (jansson behind one file), read with messages that name the place.
 *
 * An lm_json is a borrowed node of a document that lm_json_free releases as a whole.
 * The typed getters return LM_E_FORMAT with "config.json: hidden_size: expected an
 * integer, found a string"; a missing key is an error for lm_json_need_* and leaves
 * *out as it is for lm_json_opt_*; JSON null counts as missing. */
#ifndef LM_BASE_JSON_H
#define LM_BASE_JSON_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

typedef json_t lm_json;

/* Parses text (need not be NUL-terminated; duplicate keys and trailing text are errors).
 * `name` is what messages call it: a path, or "request".  NULL on failure. */
lm_json *lm_json_parse(const char *text, size_t n, const char *name, lm_err *err);
lm_json *lm_json_read(const char *path, lm_err *err);             /* up to 1 GiB */
lm_status lm_json_write(const lm_json *doc, const char *path, lm_err *err);   /* indented, atomic */

/* The document as text, appended to out: one line for indent 0, else indented.  UTF-8 stays as it is;
 * a real number has the fewest digits that read back to the same bits, and always a point or exponent. */
void lm_json_text(lm_str *out, const lm_json *doc, int indent);
void lm_json_put_string(lm_str *out, lm_span text);               /* one string, with its quotes */
void lm_json_free(lm_json *doc);                                  /* takes NULL */

/* Members of an object.  `name` heads messages; NULL: nothing does, the caller adds the place. */
lm_status lm_json_need_int(const lm_json *o, const char *key, const char *name, int64_t *out, lm_err *err);
lm_status lm_json_need_str(const lm_json *o, const char *key, const char *name, const char **out, lm_err *err);
lm_status lm_json_opt_int(const lm_json *o, const char *key, const char *name, int64_t *out, lm_err *err);
lm_status lm_json_opt_real(const lm_json *o, const char *key, const char *name, double *out, lm_err *err);
lm_status lm_json_opt_bool(const lm_json *o, const char *key, const char *name, bool *out, lm_err *err);
lm_status lm_json_opt_str(const lm_json *o, const char *key, const char *name, const char **out, lm_err *err);

/* Whether a list of strings has one that is `text`. */
bool lm_json_lists(const lm_json *list, lm_span text);

/* The member, or NULL when absent or null. */
lm_json *lm_json_get(const lm_json *o, const char *key);
const char *lm_json_kind(const lm_json *value);          /* "an object", "a list", ..., for messages */

#endif
