/* JSON as it is read: a cursor over text that makes no document.
 *
 * For lists of a hundred thousand entries, which go straight into the caller's own tables; lm_json_parse
 * makes documents with the same reader, so both accept the same text: UTF-8 without lone surrogates, no
 * text behind the value, at most 2048 levels; a byte order mark in front is skipped.  Keys that stand
 * twice in an object are refused by lm_json_take; who walks an object himself looks for them himself.
 *
 *     lm_json_reader r;
 *     lm_json_reader_init(&r, text, "tokenizer.json", err);
 *     lm_json_open(&r, '{');
 *     while (lm_json_key(&r, &buffer, &key) && lm_json_integer(&r, &id)) ...
 *     return lm_json_reader_end(&r);
 *
 * The first failure sticks: it stands in err with the line and column, every later call does nothing and
 * returns false.  A walk therefore needs no checks but those that end its loops. */
#ifndef LM_BASE_JSON_READER_H
#define LM_BASE_JSON_READER_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

typedef struct lm_json_reader {
    const char *begin, *at, *end;    /* all of the text, and what is left of it */
    const char *name;                /* heads messages */
    int depth;                       /* lists that are open */
    bool fresh;                      /* the innermost one was opened just now */
    lm_status status;
    lm_err *err;
} lm_json_reader;

/* Borrows text and name. */
void lm_json_reader_init(lm_json_reader *r, lm_span text, const char *name, lm_err *err);

/* The same for a value inside text, whose lines and columns messages then count. */
void lm_json_reader_inside(lm_json_reader *r, lm_span text, lm_span value, const char *name, lm_err *err);

/* Begins inside an array: `items` is a run of its items with commas between them, which lm_json_item goes
 * through without a bracket being opened or closed. */
void lm_json_reader_items(lm_json_reader *r, lm_span items, const char *name, lm_err *err);

/* The first byte of the next value: { [ " - 0..9 t f n for one that is well-formed; 0 at the end. */
char lm_json_peek(lm_json_reader *r);

/* Enters an object '{' or an array '['. */
bool lm_json_open(lm_json_reader *r, char bracket);

/* Goes to the next member of the object, or item of the array, that was opened last; false when there
 * is none, which leaves the list. */
bool lm_json_key(lm_json_reader *r, lm_str *buffer, lm_span *key);
bool lm_json_item(lm_json_reader *r);

/* A string: a part of the text, or of *buffer where it is written with escapes. */
bool lm_json_string(lm_json_reader *r, lm_str *buffer, lm_span *out);
/* The same without a look at its UTF-8, for a caller who compares it with text that is valid. */
bool lm_json_string_unchecked(lm_json_reader *r, lm_str *buffer, lm_span *out);
bool lm_json_integer(lm_json_reader *r, int64_t *out);
bool lm_json_number(lm_json_reader *r, double *out);     /* a real number or an integer */

/* The text of the next value, whatever it is; {NULL, 0} where it is not well-formed. */
lm_span lm_json_skip(lm_json_reader *r);

/* The same for a list, up to the bracket that closes it and no closer look: whoever reads it finds out
 * whether it is well-formed.  Several times faster. */
lm_span lm_json_balance(lm_json_reader *r);

/* The next value as a document that the caller frees, or NULL. */
lm_json *lm_json_take(lm_json_reader *r);

/* The next value becomes a member of an object; a key that stands there already is an error. */
bool lm_json_take_member(lm_json_reader *r, lm_json *object, lm_span key);

/* Bytes of text up to the first that a JSON string does not hold as it is: a control character, a quote or a backslash. */
size_t lm_json_plain(const char *text, size_t n);

/* Nothing may follow; gives how it all went. */
lm_status lm_json_reader_end(lm_json_reader *r);

/* Records "name: line 3, column 7: not JSON: ..." for the place where the reader stands, without the line where the text has
 * but one; returns false. */
bool lm_json_wrong(lm_json_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
