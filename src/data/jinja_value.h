/* Values of the template language, and what every part of the interpreter stands on.
 *
 * Invariants
 *  1. Everything that a compilation or a run allocates lies in its arena; a failure leaves by longjmp
 *     (lm_jfail), and the arena goes as a whole.  So nothing below returns an error.
 *  2. Values are immutable and may share memory; only a namespace changes (as in transformers' sandbox).
 *  3. Text is valid UTF-8, and carries one byte of marks for each of its own, or NULL: all zero. */
#ifndef LM_DATA_JINJA_VALUE_H
#define LM_DATA_JINJA_VALUE_H

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

#include <setjmp.h>

/* ---- context ------------------------------------------------------------------------- */

typedef struct lm_jcontext {
    lm_arena arena;
    jmp_buf leave;
    lm_err *err;
    const char *name;                /* of the template */
    int line;                        /* at work */
    int depth;                       /* of nesting, below LM_J_DEPTH */
    int64_t steps;                   /* left */
    int64_t now;
} lm_jcontext;

enum { LM_J_DEPTH = 400 };

_Noreturn void lm_jfail(lm_jcontext *c, lm_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *lm_jalloc(lm_jcontext *c, size_t bytes);           /* never NULL, not cleared */
void lm_jcharge(lm_jcontext *c, size_t steps);           /* counts work against the limit */
void lm_jenter(lm_jcontext *c);                          /* one level deeper; c->depth-- on the way back */

/* ---- values --------------------------------------------------------------------------- */

typedef enum lm_jkind {
    LM_J_ABSENT,                     /* an argument that was not given; never a template's value */
    LM_J_UNDEFINED, LM_J_NONE, LM_J_BOOL, LM_J_INT, LM_J_REAL, LM_J_TEXT, LM_J_LIST, LM_J_TUPLE, LM_J_DICT,
    LM_J_NAMESPACE, LM_J_LOOP, LM_J_MACRO, LM_J_FUNCTION, LM_J_METHOD,
} lm_jkind;

typedef struct lm_jv lm_jv;
struct lm_jv {
    lm_jkind kind;
    size_t n;                        /* bytes of a text or of an undefined's name; items; pairs of a dict */
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *bytes;           /* text; undefined: what is undefined */
        const lm_jv *items;          /* list, tuple; dict: key, value, key, value, ... */
        struct lm_jscope *space;     /* namespace */
        struct lm_jloop *loop;
        const struct lm_jmacro *macro;
        const struct lm_jbuiltin *function;
        const struct lm_jbound *bound;   /* method */
    };
    const uint8_t *marks;            /* text */
};

static inline lm_jv lm_jnone(void) { return (lm_jv){ .kind = LM_J_NONE }; }
static inline lm_jv lm_jbool(bool truth) { return (lm_jv){ .kind = LM_J_BOOL, .truth = truth }; }
static inline lm_jv lm_jint(int64_t whole) { return (lm_jv){ .kind = LM_J_INT, .whole = whole }; }
static inline lm_jv lm_jreal(double real) { return (lm_jv){ .kind = LM_J_REAL, .real = real }; }
static inline lm_jv lm_jtext(const char *bytes, size_t n) { return (lm_jv){ .kind = LM_J_TEXT, .bytes = bytes, .n = n }; }
static inline lm_jv lm_jundefined(lm_span name) { return (lm_jv){ .kind = LM_J_UNDEFINED, .bytes = name.data, .n = name.len }; }
static inline lm_jv lm_jsequence(lm_jkind kind, const lm_jv *items, size_t n) { return (lm_jv){ .kind = kind, .items = items, .n = n }; }
static inline bool lm_jis_number(lm_jv v) { return v.kind == LM_J_BOOL || v.kind == LM_J_INT || v.kind == LM_J_REAL; }
static inline bool lm_jis_whole(lm_jv v) { return v.kind == LM_J_BOOL || v.kind == LM_J_INT; }
static inline bool lm_jis_list(lm_jv v) { return v.kind == LM_J_LIST || v.kind == LM_J_TUPLE; }
static inline int64_t lm_jwhole(lm_jv v) { return v.kind == LM_J_BOOL ? v.truth : v.whole; }
static inline double lm_jnumber(lm_jv v) { return v.kind == LM_J_REAL ? v.real : (double)lm_jwhole(v); }

bool lm_jis(lm_jv v, const char *text);                  /* a text of these bytes */
const char *lm_jkind_name(lm_jv v);                      /* "a list" */
bool lm_jtruth(lm_jv v);
bool lm_jequal(lm_jcontext *c, lm_jv a, lm_jv b);
int lm_jorder(lm_jcontext *c, lm_jv a, lm_jv b);         /* <0, 0, >0; fails for what has no order */
bool lm_jcontains(lm_jcontext *c, lm_jv whole, lm_jv part);

/* Characters, items or pairs; -1 where a value has no length. */
int64_t lm_jlength(lm_jcontext *c, lm_jv v);

/* The items that a loop over v sees (characters of a text, keys of a dict), as a list. */
lm_jv lm_jiterate(lm_jcontext *c, lm_jv v);

/* The value of a key, or NULL. */
const lm_jv *lm_jfind(lm_jcontext *c, lm_jv dict, lm_jv key);

/* v[at] for a text or a list, counted from the end when negative; undefined outside. */
lm_jv lm_jitem(lm_jcontext *c, lm_jv v, int64_t at);

/* v[from:to:step] of a text, list or tuple; absent or none bounds are the ends. */
lm_jv lm_jslice(lm_jcontext *c, lm_jv v, lm_jv from, lm_jv to, lm_jv step);

/* The order [n] that sorts keys[0], keys[stride], ..; equal ones stay as they stand, also in reverse. */
const size_t *lm_jsorted(lm_jcontext *c, const lm_jv *keys, size_t stride, size_t n, bool reverse);

/* The value of a JSON document; its texts bear `mark`. */
lm_jv lm_jfrom_json(lm_jcontext *c, const lm_json *json, uint8_t mark);

/* ---- text ------------------------------------------------------------------------------- */

/* A text that grows in the arena. */
typedef struct lm_jbuild {
    lm_jcontext *c;
    char *bytes;
    uint8_t *marks;
    size_t n, cap;
    bool marked;                     /* some mark is not zero */
} lm_jbuild;

void lm_jput(lm_jbuild *b, const char *bytes, size_t n, const uint8_t *marks);   /* marks NULL: zero */
void lm_jputs(lm_jbuild *b, const char *text);
void lm_jput_same(lm_jbuild *b, const char *bytes, size_t n, uint8_t mark);      /* one mark for all */
void lm_jput_rune(lm_jbuild *b, uint32_t rune, uint8_t mark);
void lm_jput_str(lm_jbuild *b, lm_jv v);                 /* str(v) */
void lm_jput_repr(lm_jbuild *b, lm_jv v);                /* repr(v) */
lm_jv lm_jbuilt(lm_jbuild *b);                           /* the text; b may be built on, which leaves it as it is */

lm_jv lm_jstr(lm_jcontext *c, lm_jv v);                  /* str(v): a text as it is */
lm_jv lm_jpart(lm_jv text, size_t from, size_t to);      /* bytes [from, to), shared */
lm_jv lm_jjoin(lm_jcontext *c, lm_jv a, lm_jv b);        /* a + b */
size_t lm_jfind_text(lm_jcontext *c, lm_jv whole, lm_jv part, size_t from);   /* byte offset, or SIZE_MAX */

bool lm_jis_space(uint32_t rune);                        /* Python's str.isspace */
lm_jv lm_jstrip(lm_jcontext *c, lm_jv text, lm_jv characters, bool left, bool right);   /* characters absent, none: space */
lm_jv lm_jsplit_space(lm_jcontext *c, lm_jv text, int64_t most);
lm_jv lm_jupper(lm_jcontext *c, lm_jv text);
lm_jv lm_jlower(lm_jcontext *c, lm_jv text);
lm_jv lm_jtitle(lm_jcontext *c, lm_jv text, bool first_word_only);
lm_jv lm_jreplace(lm_jcontext *c, lm_jv text, lm_jv old, lm_jv new, int64_t most);      /* most < 0: all */
lm_jv lm_jpercent(lm_jcontext *c, lm_jv format, const lm_jv *args, size_t n);           /* "%s" % (..) */
void lm_jput_real(lm_jbuild *b, double x);               /* as Python writes a float */

typedef struct lm_jdump {
    bool ascii, sort;
    const char *indent;              /* NULL: one line */
    lm_jv comma, colon;              /* texts */
} lm_jdump;
void lm_jput_json(lm_jbuild *b, lm_jv v, const lm_jdump *how);   /* json.dumps */

/* ---- what can be called ------------------------------------------------------------------- */

typedef struct lm_jargs {
    const lm_jv *items;              /* [n + n_named] positional first */
    const lm_span *names;            /* [n_named] */
    size_t n, n_named;
} lm_jargs;

/* A filter, test, method or global.  `params` names its parameters, separated by spaces, those after
 * `required` optional: they come bound in `a`, absent where not given.  NULL params: only `args` count. */
typedef lm_jv lm_jcall(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args);
typedef struct lm_jbuiltin {
    const char *name, *params;
    int required;
    lm_jcall *call;
} lm_jbuiltin;

typedef struct lm_jbound {
    const lm_jbuiltin *method;
    lm_jv self;
} lm_jbound;

enum { LM_J_PARAMS = 6 };

/* Calls a builtin with its arguments bound; fails on those that it does not take. */
lm_jv lm_jcall_builtin(lm_jcontext *c, const lm_jbuiltin *f, lm_jv self, const lm_jargs *args);

const lm_jbuiltin *lm_jfilter_find(lm_span name);        /* each NULL when there is none */
const lm_jbuiltin *lm_jtest_find(lm_span name);
const lm_jbuiltin *lm_jfunction_find(lm_span name);
const lm_jbuiltin *lm_jmethod_find(lm_jv self, lm_span name);
const lm_jbuiltin *lm_jlookup(const lm_jbuiltin *table, lm_span name);   /* a table ends with name NULL */

extern const lm_jbuiltin lm_jsequence_filters[];         /* those over lists (jinja_sequence.c) */

/* obj.name and obj[key] (jinja_eval.c). */
lm_jv lm_jattribute(lm_jcontext *c, lm_jv v, lm_span name);
lm_jv lm_jsubscript(lm_jcontext *c, lm_jv v, lm_jv key);

/* ---- variables ------------------------------------------------------------------------------- */

typedef struct lm_jbinding {
    lm_span name;
    lm_jv value;
    struct lm_jbinding *next;
} lm_jbinding;

typedef struct lm_jscope {
    lm_jbinding *first;
    struct lm_jscope *outer;         /* NULL: the outermost */
} lm_jscope;

lm_jscope *lm_jscope_new(lm_jcontext *c, lm_jscope *outer);
void lm_jscope_set(lm_jcontext *c, lm_jscope *s, lm_span name, lm_jv value);
const lm_jv *lm_jscope_get(const lm_jscope *s, lm_span name);          /* here or further out, or NULL */

/* What `loop` is inside a loop. */
typedef struct lm_jloop {
    const lm_jv *items;
    size_t at, n;
    int depth;
    lm_jv changed;                   /* last argument of loop.changed; absent at first */
} lm_jloop;
lm_jv lm_jloop_attribute(lm_jcontext *c, lm_jv loop, lm_span name);

#endif
