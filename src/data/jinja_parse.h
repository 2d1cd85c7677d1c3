/* Templates as tokens and as nodes. */
#ifndef LM_DATA_JINJA_PARSE_H
#define LM_DATA_JINJA_PARSE_H

#include "data/jinja_value.h"

/* ---- tokens ------------------------------------------------------------------------- */

typedef enum lm_jtoken_kind {
    LM_JT_DATA,                      /* text of the template itself */
    LM_JT_OUTPUT, LM_JT_OUTPUT_END,  /* {{ }} */
    LM_JT_TAG, LM_JT_TAG_END,        /* {% %} */
    LM_JT_NAME, LM_JT_STRING, LM_JT_INT, LM_JT_REAL, LM_JT_OPERATOR,
    LM_JT_END,
} lm_jtoken_kind;

typedef struct lm_jtoken {
    lm_jtoken_kind kind;
    int line;
    lm_span text;                    /* a string's is decoded */
} lm_jtoken;

/* The tokens of a template, ended by LM_JT_END, in c's arena. */
const lm_jtoken *lm_jinja_tokens(lm_jcontext *c, const char *text, size_t n);

/* ---- nodes ---------------------------------------------------------------------------- */

typedef enum lm_jnode_kind {
    /* expressions */
    LM_JN_LITERAL,                   /* value */
    LM_JN_NAME,                      /* name */
    LM_JN_LIST, LM_JN_TUPLE,         /* list: items */
    LM_JN_DICT,                      /* list: key, value, key, value, ... */
    LM_JN_NEGATE, LM_JN_PLUS, LM_JN_NOT,         /* a */
    LM_JN_BINARY,                    /* a op b, arithmetic and ~ */
    LM_JN_AND, LM_JN_OR,             /* a, b */
    LM_JN_COMPARE,                   /* a, then list: LM_JN_COMPARE nodes with op and a */
    LM_JN_CHOICE,                    /* b if a else c; c may be NULL */
    LM_JN_ATTRIBUTE,                 /* a.name */
    LM_JN_ITEM,                      /* a[b] */
    LM_JN_SLICE,                     /* a[b:c:body], each may be NULL but a */
    LM_JN_CALL,                      /* a(list) */
    LM_JN_FILTER, LM_JN_TEST,        /* a | name(list), a is name(list); builtin NULL: there is none */
    LM_JN_ARGUMENT,                  /* a, with a name when it is given by name; a parameter: a is its default */
    /* statements */
    LM_JN_OUTPUT,                    /* a */
    LM_JN_IF,                        /* a: condition, body, orelse */
    LM_JN_FOR,                       /* a: target, b: what, c: condition or NULL, body, orelse */
    LM_JN_SET,                       /* a: target, b: value */
    LM_JN_SET_BLOCK,                 /* a: target, body, list: filters */
    LM_JN_MACRO,                     /* name, list: parameters, body */
    LM_JN_CALL_BLOCK,                /* a: call, list: parameters of the caller, body */
    LM_JN_FILTER_BLOCK,              /* list: filters, body */
    LM_JN_WITH,                      /* list: arguments with names, body */
    LM_JN_GENERATION,                /* body */
    LM_JN_BREAK, LM_JN_CONTINUE,
} lm_jnode_kind;

typedef enum lm_jop {
    LM_JO_ADD, LM_JO_SUBTRACT, LM_JO_MULTIPLY, LM_JO_DIVIDE, LM_JO_FLOOR, LM_JO_MODULO, LM_JO_POWER, LM_JO_JOIN,
    LM_JO_EQ, LM_JO_NE, LM_JO_LT, LM_JO_LE, LM_JO_GT, LM_JO_GE, LM_JO_IN, LM_JO_NOT_IN,
} lm_jop;

typedef struct lm_jnode lm_jnode;
struct lm_jnode {
    lm_jnode_kind kind;
    int line;
    lm_jop op;
    lm_span name;
    lm_jv value;
    const lm_jbuiltin *builtin;
    lm_jnode *a, *b, *c, *list, *body, *orelse;
    lm_jnode *next;                  /* in a list */
};

/* ---- the parser --------------------------------------------------------------------------- */

typedef struct lm_jparser {
    lm_jcontext *c;
    const lm_jtoken *at;
    bool generation;                 /* a {% generation %} was seen */
    int loops;                       /* open */
} lm_jparser;

lm_jnode *lm_jparse(lm_jparser *p);                      /* a whole template: a list of statements, or NULL */

/* Expressions (jinja_expression.c). */
lm_jnode *lm_jparse_expression(lm_jparser *p);
lm_jnode *lm_jparse_choiceless(lm_jparser *p);           /* without `if else`: what a loop goes over */
lm_jnode *lm_jparse_tuple(lm_jparser *p, bool choices);  /* a, b, c: a tuple; one alone: itself */
lm_jnode *lm_jparse_target(lm_jparser *p, bool attributes);      /* what is assigned to */
lm_jnode *lm_jparse_parameters(lm_jparser *p);           /* (a, b=1) of a macro */
lm_jnode *lm_jparse_filters(lm_jparser *p, bool first);  /* a | b: nodes with a == NULL; first: before any | */
lm_jnode *lm_jparse_postfix(lm_jparser *p, bool call_needed);

/* Helpers of both. */
lm_jnode *lm_jnode_new(lm_jparser *p, lm_jnode_kind kind);
bool lm_jpeek(const lm_jparser *p, const char *op);      /* whether that operator stands next */
bool lm_jpeek_name(const lm_jparser *p, const char *name);
bool lm_jtake(lm_jparser *p, const char *op);            /* takes it if it does */
bool lm_jtake_name(lm_jparser *p, const char *name);
void lm_jexpect(lm_jparser *p, const char *op);
lm_span lm_jexpect_name(lm_jparser *p);
_Noreturn void lm_junexpected(lm_jparser *p, const char *expected);

#endif
