/* Some members of an object, read off a line of JSON without a document: what a pass over a large file needs of a row. */
#ifndef LM_DATA_MEMBERS_H
#define LM_DATA_MEMBERS_H

#include "base/str.h"

typedef struct lm_member {
    const char *name;
    char kind;                           /* the first byte of its value: " { [ t f - 0..9; 0: it is not there, or null */
    lm_span value;                       /* a string without quotes and escapes; any other value as it is written */
    lm_str room;                         /* value may stand here */
} lm_member;

/* Fills members by their names; values borrow from the line.  True only where the line is an object of well-formed
 * JSON, in UTF-8 and with no key twice: false is for lm_row_parse to explain, and also where keys are many or are
 * written with escapes. */
bool lm_members_read(lm_member *members, int n, lm_span line);

/* The number that a member is; false where it is none. */
bool lm_member_number(const lm_member *m, double *out);

#endif
