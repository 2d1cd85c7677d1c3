/* Expressions to values. */
#include "data/jinja_run.h"

#include <math.h>
#include <string.h>

/* ---- members -------------------------------------------------------------------------- */

static _Noreturn void undefined(lm_jcontext *c, lm_jv v)
{
    lm_jfail(c, LM_E_FORMAT, "'%.*s' is undefined", (int)(v.n < 100 ? v.n : 100), v.bytes);
}

static lm_jv bind_method(lm_jcontext *c, lm_jv self, const lm_jbuiltin *method)
{
    lm_jbound *bound = lm_jalloc(c, sizeof *bound);
    *bound = (lm_jbound){ .method = method, .self = self };
    return (lm_jv){ .kind = LM_J_METHOD, .bound = bound };
}

/* A member that is not there is undefined, and an error only when something is asked of it. */
lm_jv lm_jattribute(lm_jcontext *c, lm_jv v, lm_span name)
{
    if (v.kind == LM_J_UNDEFINED) undefined(c, v);
    const lm_jbuiltin *method = lm_jmethod_find(v, name);
    if (method) return bind_method(c, v, method);
    const lm_jv *member = v.kind == LM_J_DICT ? lm_jfind(c, v, lm_jtext(name.data, name.len))
                          : v.kind == LM_J_NAMESPACE ? lm_jscope_get(v.space, name) : NULL;
    if (member) return *member;
    return v.kind == LM_J_LOOP ? lm_jloop_attribute(c, v, name) : lm_jundefined(name);
}

lm_jv lm_jsubscript(lm_jcontext *c, lm_jv v, lm_jv key)
{
    if (v.kind == LM_J_UNDEFINED) undefined(c, v);
    if (v.kind == LM_J_DICT) {
        const lm_jv *member = lm_jfind(c, v, key);
        if (member) return *member;
    } else if (lm_jis_whole(key) && (v.kind == LM_J_TEXT || lm_jis_list(v))) return lm_jitem(c, v, lm_jwhole(key));
    if (key.kind == LM_J_TEXT) return lm_jattribute(c, v, lm_span_of(key.bytes, key.n));
    return lm_jundefined(lm_span_of("item", 4));
}

/* ---- arithmetic -------------------------------------------------------------------------- */

static _Noreturn void too_large(lm_jcontext *c) { lm_jfail(c, LM_E_UNSUPPORTED, "an integer grows beyond 64 bits"); }

static int64_t power(lm_jcontext *c, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (base == 0 || base == 1) return exponent ? base : 1;
    if (base == -1) return exponent & 1 ? -1 : 1;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(result, base, &result)) too_large(c);
    return result;
}

static lm_jv whole_numbers(lm_jcontext *c, lm_jop op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;
    if ((op == LM_JO_FLOOR || op == LM_JO_MODULO || op == LM_JO_DIVIDE) && b == 0) lm_jfail(c, LM_E_FORMAT, "division by zero");
    switch (op) {
    case LM_JO_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case LM_JO_SUBTRACT: overflow = __builtin_sub_overflow(a, b, &result); break;
    case LM_JO_MULTIPLY: overflow = __builtin_mul_overflow(a, b, &result); break;
    case LM_JO_DIVIDE: return lm_jreal((double)a / (double)b);
    case LM_JO_FLOOR:
        if (b == -1) overflow = __builtin_sub_overflow((int64_t)0, a, &result);
        else result = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case LM_JO_MODULO: result = b == -1 ? 0 : (a % b + b) % b; break;
    case LM_JO_POWER:
        if (b < 0) return lm_jreal(pow((double)a, (double)b));
        result = power(c, a, b);
        break;
    default: LM_BUG("operator %d", (int)op);
    }
    if (overflow) too_large(c);
    return lm_jint(result);
}

static lm_jv real_numbers(lm_jcontext *c, lm_jop op, double a, double b)
{
    if ((op == LM_JO_FLOOR || op == LM_JO_MODULO || op == LM_JO_DIVIDE) && b == 0) lm_jfail(c, LM_E_FORMAT, "division by zero");
    double rest;
    switch (op) {
    case LM_JO_ADD: return lm_jreal(a + b);
    case LM_JO_SUBTRACT: return lm_jreal(a - b);
    case LM_JO_MULTIPLY: return lm_jreal(a * b);
    case LM_JO_DIVIDE: return lm_jreal(a / b);
    case LM_JO_POWER: return lm_jreal(pow(a, b));
    default: break;
    }
    rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return lm_jreal(op == LM_JO_MODULO ? rest : floor((a - rest) / b + 0.5));
}

static lm_jv repeat(lm_jcontext *c, lm_jv v, int64_t times)
{
    if (times < 0) times = 0;
    if (times && v.n > c->arena.size / sizeof(lm_jv) / (size_t)times)
        lm_jfail(c, LM_E_UNSUPPORTED, "%lld copies of %s are too many", (long long)times, lm_jkind_name(v));
    lm_jcharge(c, (size_t)times * v.n);
    if (v.kind == LM_J_TEXT) {
        lm_jbuild b = { .c = c };
        for (int64_t i = 0; v.n && i < times; i++) lm_jput(&b, v.bytes, v.n, v.marks);
        return lm_jbuilt(&b);
    }
    lm_jv *items = lm_jalloc(c, (size_t)times * v.n * sizeof *items);
    for (int64_t i = 0; v.n && i < times; i++) memcpy(items + (size_t)i * v.n, v.items, v.n * sizeof *items);
    return lm_jsequence(v.kind, items, (size_t)times * v.n);
}

static lm_jv joined_lists(lm_jcontext *c, lm_jv a, lm_jv b)
{
    lm_jcharge(c, a.n + b.n);
    lm_jv *items = lm_jalloc(c, (a.n + b.n) * sizeof *items);
    if (a.n) memcpy(items, a.items, a.n * sizeof *items);
    if (b.n) memcpy(items + a.n, b.items, b.n * sizeof *items);
    return lm_jsequence(a.kind, items, a.n + b.n);
}

static lm_jv binary(lm_jcontext *c, lm_jop op, lm_jv a, lm_jv b)
{
    static const char *const signs[] = { "+", "-", "*", "/", "//", "%", "**" };
    if (op == LM_JO_JOIN) return lm_jjoin(c, lm_jstr(c, a), lm_jstr(c, b));
    if (a.kind == LM_J_UNDEFINED) undefined(c, a);
    if (op == LM_JO_MODULO && a.kind == LM_J_TEXT) {
        bool several = b.kind == LM_J_TUPLE;
        return lm_jpercent(c, a, several ? b.items : &b, several ? b.n : 1);
    }
    if (b.kind == LM_J_UNDEFINED) undefined(c, b);
    if (lm_jis_whole(a) && lm_jis_whole(b)) return whole_numbers(c, op, lm_jwhole(a), lm_jwhole(b));
    if (lm_jis_number(a) && lm_jis_number(b)) return real_numbers(c, op, lm_jnumber(a), lm_jnumber(b));
    if (op == LM_JO_ADD && a.kind == b.kind && a.kind == LM_J_TEXT) return lm_jjoin(c, a, b);
    if (op == LM_JO_ADD && a.kind == b.kind && lm_jis_list(a)) return joined_lists(c, a, b);
    if (op == LM_JO_MULTIPLY && lm_jis_whole(b) && (a.kind == LM_J_TEXT || lm_jis_list(a))) return repeat(c, a, lm_jwhole(b));
    if (op == LM_JO_MULTIPLY && lm_jis_whole(a) && (b.kind == LM_J_TEXT || lm_jis_list(b))) return repeat(c, b, lm_jwhole(a));
    lm_jfail(c, LM_E_FORMAT, "%s %s %s has no meaning", lm_jkind_name(a), signs[op], lm_jkind_name(b));
}

static lm_jv signed_number(lm_jcontext *c, lm_jv v, bool minus)
{
    if (v.kind == LM_J_UNDEFINED) undefined(c, v);
    if (!lm_jis_number(v)) lm_jfail(c, LM_E_FORMAT, "a sign needs a number, found %s", lm_jkind_name(v));
    if (v.kind == LM_J_REAL) return lm_jreal(minus ? -v.real : v.real);
    return minus ? whole_numbers(c, LM_JO_SUBTRACT, 0, lm_jwhole(v)) : lm_jint(lm_jwhole(v));
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool compare(lm_jcontext *c, lm_jop op, lm_jv a, lm_jv b)
{
    switch (op) {
    case LM_JO_EQ: return lm_jequal(c, a, b);
    case LM_JO_NE: return !lm_jequal(c, a, b);
    case LM_JO_IN: return lm_jcontains(c, b, a);
    case LM_JO_NOT_IN: return !lm_jcontains(c, b, a);
    default: break;
    }
    if (a.kind == LM_J_UNDEFINED) undefined(c, a);
    if (b.kind == LM_J_UNDEFINED) undefined(c, b);
    int order = lm_jorder(c, a, b);
    return op == LM_JO_LT ? order < 0 : op == LM_JO_LE ? order <= 0 : op == LM_JO_GT ? order > 0 : order >= 0;
}

static lm_jv comparison(lm_jrun *r, const lm_jnode *node)
{
    lm_jv left = lm_jeval(r, node->a);
    for (const lm_jnode *n = node->list; n; n = n->next) {
        lm_jv right = lm_jeval(r, n->a);
        r->c->line = n->line;
        if (!compare(r->c, n->op, left, right)) return lm_jbool(false);
        left = right;
    }
    return lm_jbool(true);
}

/* ---- calls -------------------------------------------------------------------------------------- */

lm_jargs lm_jeval_arguments(lm_jrun *r, const lm_jnode *list)
{
    lm_jargs args = { 0 };
    for (const lm_jnode *n = list; n; n = n->next) args.n++;
    lm_jv *items = lm_jalloc(r->c, args.n * sizeof *items);
    lm_span *names = lm_jalloc(r->c, args.n * sizeof *names);
    size_t i = 0;
    for (const lm_jnode *n = list; n; n = n->next) {
        items[i++] = lm_jeval(r, n->a);
        if (n->name.len) names[args.n_named++] = n->name;
    }
    args.n -= args.n_named;
    args.items = items, args.names = names;
    return args;
}

lm_jv lm_japply(lm_jrun *r, const lm_jnode *node, lm_jv value)
{
    lm_jargs args = lm_jeval_arguments(r, node->list);
    r->c->line = node->line;
    if (!node->builtin)
        lm_jfail(r->c, LM_E_UNSUPPORTED, "there is no %s '%.*s'", node->kind == LM_JN_TEST ? "test" : "filter",
                 (int)(node->name.len < 60 ? node->name.len : 60), node->name.data);
    return lm_jcall_builtin(r->c, node->builtin, value, &args);
}

lm_jv lm_jinvoke(lm_jrun *r, lm_jv callee, const lm_jargs *args, lm_jv caller)
{
    switch (callee.kind) {
    case LM_J_MACRO: return lm_jcall_macro(r, callee.macro, args, caller);
    case LM_J_FUNCTION: return lm_jcall_builtin(r->c, callee.function, lm_jnone(), args);
    case LM_J_METHOD: return lm_jcall_builtin(r->c, callee.bound->method, callee.bound->self, args);
    case LM_J_UNDEFINED: undefined(r->c, callee);
    default: lm_jfail(r->c, LM_E_FORMAT, "%s cannot be called", lm_jkind_name(callee));
    }
}

static lm_jv call(lm_jrun *r, const lm_jnode *node)
{
    lm_jv callee = lm_jeval(r, node->a);
    lm_jargs args = lm_jeval_arguments(r, node->list);
    r->c->line = node->line;
    return lm_jinvoke(r, callee, &args, (lm_jv){ .kind = LM_J_ABSENT });
}

/* ---- literals and names --------------------------------------------------------------------------- */

static lm_jv sequence(lm_jrun *r, const lm_jnode *node, lm_jkind kind)
{
    size_t n = 0, i = 0;
    for (const lm_jnode *item = node->list; item; item = item->next) n++;
    lm_jv *items = lm_jalloc(r->c, n * sizeof *items);
    for (const lm_jnode *item = node->list; item; item = item->next) items[i++] = lm_jeval(r, item);
    return lm_jsequence(kind, items, n);
}

/* A key that comes twice keeps its place and takes the later value. */
static lm_jv dictionary(lm_jrun *r, const lm_jnode *node)
{
    size_t n = 0;
    for (const lm_jnode *item = node->list; item; item = item->next) n++;
    lm_jv *items = lm_jalloc(r->c, n * sizeof *items), dict = lm_jsequence(LM_J_DICT, items, 0);
    for (const lm_jnode *item = node->list; item; item = item->next->next) {
        lm_jv key = lm_jeval(r, item), value = lm_jeval(r, item->next);
        r->c->line = item->line;
        if (key.kind == LM_J_LIST || key.kind == LM_J_DICT) lm_jfail(r->c, LM_E_FORMAT, "%s cannot be a key", lm_jkind_name(key));
        const lm_jv *old = lm_jfind(r->c, dict, key);
        if (old) items[old - items] = value;
        else items[2 * dict.n] = key, items[2 * dict.n + 1] = value, dict.n++;
    }
    return dict;
}

static lm_jv name(lm_jrun *r, lm_span wanted)
{
    const lm_jv *value = lm_jscope_get(r->scope, wanted);
    if (value) return *value;
    const lm_jbuiltin *function = lm_jfunction_find(wanted);
    return function ? (lm_jv){ .kind = LM_J_FUNCTION, .function = function } : lm_jundefined(wanted);
}

static lm_jv maybe(lm_jrun *r, const lm_jnode *node)
{
    return node ? lm_jeval(r, node) : (lm_jv){ .kind = LM_J_ABSENT };
}

/* ---- an expression ----------------------------------------------------------------------------------- */

static lm_jv evaluate(lm_jrun *r, const lm_jnode *node)
{
    lm_jv a, b, c, d;
    switch (node->kind) {
    case LM_JN_LITERAL: return node->value;
    case LM_JN_NAME: return name(r, node->name);
    case LM_JN_LIST: return sequence(r, node, LM_J_LIST);
    case LM_JN_TUPLE: return sequence(r, node, LM_J_TUPLE);
    case LM_JN_DICT: return dictionary(r, node);
    case LM_JN_NOT: return lm_jbool(!lm_jtruth(lm_jeval(r, node->a)));
    case LM_JN_AND: return a = lm_jeval(r, node->a), lm_jtruth(a) ? lm_jeval(r, node->b) : a;
    case LM_JN_OR: return a = lm_jeval(r, node->a), lm_jtruth(a) ? a : lm_jeval(r, node->b);
    case LM_JN_COMPARE: return comparison(r, node);
    case LM_JN_CHOICE:
        if (lm_jtruth(lm_jeval(r, node->a))) return lm_jeval(r, node->b);
        return node->c ? lm_jeval(r, node->c) : lm_jundefined(lm_span_of("the value without else", 22));
    case LM_JN_CALL: return call(r, node);
    case LM_JN_FILTER: case LM_JN_TEST: return a = lm_jeval(r, node->a), lm_japply(r, node, a);
    default: break;
    }
    a = lm_jeval(r, node->a), b = maybe(r, node->b), c = maybe(r, node->c), d = maybe(r, node->body);
    r->c->line = node->line;
    switch (node->kind) {
    case LM_JN_NEGATE: return signed_number(r->c, a, true);
    case LM_JN_PLUS: return signed_number(r->c, a, false);
    case LM_JN_BINARY: return binary(r->c, node->op, a, b);
    case LM_JN_ATTRIBUTE: return lm_jattribute(r->c, a, node->name);
    case LM_JN_ITEM: return lm_jsubscript(r->c, a, b);
    case LM_JN_SLICE:
        if (a.kind == LM_J_UNDEFINED) undefined(r->c, a);
        return lm_jslice(r->c, a, b, c, d);
    default: LM_BUG("node %d is no expression", (int)node->kind);
    }
}

lm_jv lm_jeval(lm_jrun *r, const lm_jnode *node)
{
    lm_jcontext *c = r->c;
    lm_jenter(c);
    lm_jcharge(c, 1);
    c->line = node->line;
    lm_jv value = evaluate(r, node);
    c->depth--;
    return value;
}
