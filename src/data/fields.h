/* A row as the members of its line, without a document: for work that needs the text of a row and copies the rest.
 *
 * Only lines that are common are read here: an object of a few members with different keys.  All others are left to
 * lm_row_parse, which makes documents and tells what is wrong with a line. */
#ifndef LM_DATA_FIELDS_H
#define LM_DATA_FIELDS_H

#include "data/source.h"

enum { LM_FIELDS_MOST = 32 };

typedef enum lm_field_kind { LM_FIELD_STRING, LM_FIELD_NULL, LM_FIELD_PLAIN, LM_FIELD_TREE } lm_field_kind;

typedef struct lm_field {
    lm_span key, value;                  /* in the line, or in `spelled`; value: of a string, or of what is written as it stands */
    bool key_spelled, value_spelled;     /* it was written with escapes */
    lm_field_kind kind;
    lm_json *tree;
} lm_field;

/* {0} is empty; used again for row after row. */
typedef struct lm_fields {
    lm_field items[LM_FIELDS_MOST];
    int n;
    lm_str spelled, buffer;
} lm_fields;

/* Reads the line of a raw row, which they then borrow.  false: it is not for this module. */
bool lm_fields_read(lm_fields *fields, const lm_row *row);

/* The member with that key, or NULL; null counts as none. */
const lm_field *lm_fields_find(const lm_fields *fields, const char *key);

/* The member that is a text: `field`, or where that is NULL the first of the usual names (lm_document_field).  NULL:
 * there is none, or it is no string. */
const lm_field *lm_fields_text(const lm_fields *fields, const char *field);

/* Appends the fields as a line of JSON, as lm_row_put_json writes the row's document.  `text`, unless NULL, has
 * `edited` for its value; `more` are pairs of key and value that follow, up to NULL. */
void lm_fields_put(lm_str *out, const lm_fields *fields, const lm_field *text, lm_span edited, const char *const *more);

void lm_fields_free(lm_fields *fields);

#endif
