/* tokenizer.json as it is read: a small document, and its two large members as text. */
#ifndef LM_TOKEN_DOCUMENT_TEXT_H
#define LM_TOKEN_DOCUMENT_TEXT_H

#include "base/err.h"
#include "base/json.h"
#include "base/json_reader.h"
#include "base/str.h"

#include <stdbool.h>

/* A document whose "vocab" and "merges" stay text: they are read straight into tables, entry by entry. */
typedef struct lm_token_document {
    lm_json *json;                   /* all but those two members of "model" */
    lm_span vocab, merges;           /* inside text, and not yet known to be JSON; {NULL, 0}: absent, or null */
    lm_str text;
    bool whole;                      /* text is all of a tokenizer.json that json still agrees with */
} lm_token_document;

/* Takes the text of a file, also on failure. */
lm_status lm_token_document_read(lm_token_document *d, lm_str *text, const char *name, lm_err *err);
void lm_token_document_of(lm_token_document *d, const lm_json *document);
/* Begins to read one of the two; messages count the lines of text. */
void lm_token_document_reader(lm_json_reader *r, const lm_token_document *d, lm_span member, const char *name, lm_err *err);

void lm_token_document_free(lm_token_document *d);       /* takes {0} */

/* Appends tokenizer.json for everyone: members that only mean something here ("exact", see precompiled.c)
 * are left out. */
void lm_token_document_text(lm_str *out, const lm_token_document *d);

#endif
