/* What a template set is made of; for the files instruct*.c. */
#ifndef LM_DATA_INSTRUCT_SET_H
#define LM_DATA_INSTRUCT_SET_H

#include "data/instruct.h"

enum { LM_TEMPLATE_FIELDS = 64 };

/* ---- fields ---- */

typedef enum lm_template_type { LM_TEMPLATE_STRING, LM_TEMPLATE_INTEGER, LM_TEMPLATE_LABEL, LM_TEMPLATE_LIST } lm_template_type;

/* How a field's value comes from a row.  Text goes through unescape, after, before and without, in this order. */
typedef struct lm_template_field {
    char *name;
    lm_template_type type;
    lm_strings from;                     /* the row's fields: the first that is there; for a list all of them */
    lm_json *choices;                    /* label: what the row's value is called; NULL: by `of` */
    int of;                              /* label: the list that it is an item of, by letter or by text; -1: none */
    bool letter;                         /* ... as the letter */
    bool optional;                       /* rows without it have fewer phrasings */
    bool unescape;                       /* "\n" of two characters is a line's end */
    bool marked;                         /* items begin with "-", "(A)" or "A.", which goes */
    char *after, *before, *split, *open, *close;
    int64_t longest;                     /* characters; a longer value counts as none.  0: any */
} lm_template_field;

/* The values of a record: text or list of texts by field; NULL: it has none. */
typedef struct lm_record {
    lm_json *value[LM_TEMPLATE_FIELDS];
    uint64_t has;                        /* a bit for each */
} lm_record;

/* LM_E_FORMAT tells the field of the row that is missing or not as the set says. */
lm_status lm_record_read(lm_record *out, const lm_template_set *set, const lm_json *row, const lm_strings *own, lm_err *err);
void lm_record_free(lm_record *record);
bool lm_record_equal(const lm_record *a, const lm_record *b);

/* ---- texts with places ---- */

typedef enum lm_filter_kind {
    LM_F_PARTICLE, LM_F_WRAP, LM_F_LOWER, LM_F_FIRST_UPPER, LM_F_FIRST_LOWER,
    LM_F_COMMAS, LM_F_LINES, LM_F_BULLETS, LM_F_LETTERS, LM_F_NUMBERS,       /* of lists */
} lm_filter_kind;

typedef struct lm_place_filter {
    lm_filter_kind kind;
    char *a, *b;                         /* the two particles, or the two brackets */
} lm_place_filter;

/* Plain text, or a field's value through filters: {title|「」|은/는}. */
typedef struct lm_piece {
    char *text;                          /* NULL: a field */
    int field;
    lm_place_filter *filters;
    int n;
} lm_piece;

typedef struct lm_places {
    lm_piece *pieces;
    int n;
    uint64_t fields;                     /* that it names */
} lm_places;

/* LM_E_FORMAT without file and line; *at then is what is wrong, a piece of `text`. */
lm_status lm_places_compile(lm_places *out, const lm_template_set *set, const char *text, lm_span *at, lm_err *err);
void lm_places_write(lm_str *out, const lm_places *places, const lm_record *record);
void lm_places_free(lm_places *places);

/* ---- the set ---- */

typedef enum lm_prompt_part { LM_PART_INSTRUCTION, LM_PART_CONTEXT, LM_PART_INPUT, LM_PART_INDICATOR, LM_PARTS } lm_prompt_part;

typedef struct lm_phrasing {
    lm_phrasing_kind kind;
    int number;                          /* in its list, from 1 */
    lm_prompt_part order[LM_PARTS];
    int n;                               /* parts that there are */
    lm_places part[LM_PARTS], answer;
    uint64_t fields;                     /* that all of it names */
} lm_phrasing;

struct lm_template_set {
    char *name, *language, *about, *source, *system, *lead;
    bool acts;                           /* rows are statutes: data/statute.h makes records of them */
    bool profile;                        /* rows are who the model is: prompts may name no field */
    lm_strings columns;
    lm_template_field fields[LM_TEMPLATE_FIELDS];
    int n_fields;
    lm_phrasing *phrasings;
    int n;
    lm_json *example;
};

int lm_template_field_find(const lm_template_set *set, lm_span name);    /* -1: there is none */

#endif
