/* Filters over lists and dictionaries. */
#include "data/jinja_value.h"

#include <string.h>

#define UNUSED (void)a, (void)args

static lm_jv none_given(void) { return (lm_jv){ .kind = LM_J_ABSENT }; }

/* ---- attributes by path -------------------------------------------------------------------- */

/* "function.name" or 0: what `path` finds in v; v itself where it is absent or none. */
static lm_jv reach(lm_jcontext *c, lm_jv v, lm_jv path)
{
    if (path.kind == LM_J_ABSENT || path.kind == LM_J_NONE) return v;
    if (path.kind != LM_J_TEXT) return lm_jsubscript(c, v, path);
    for (size_t at = 0; at <= path.n;) {
        const char *dot = at < path.n ? memchr(path.bytes + at, '.', path.n - at) : NULL;
        size_t end = dot ? (size_t)(dot - path.bytes) : path.n;
        lm_jv key = lm_jpart(path, at, end);
        bool digits = key.n > 0 && key.n < 10;
        int64_t index = 0;
        for (size_t i = 0; i < key.n && digits; i++) {
            digits = key.bytes[i] >= '0' && key.bytes[i] <= '9';
            index = 10 * index + (key.bytes[i] - '0');
        }
        v = lm_jsubscript(c, v, digits ? lm_jint(index) : key);
        at = end + 1;
    }
    return v;
}

/* What sorting compares: letters without their case, unless asked to. */
static lm_jv *sort_keys(lm_jcontext *c, lm_jv list, lm_jv path, bool exact)
{
    lm_jv *keys = lm_jalloc(c, list.n * sizeof *keys);
    for (size_t i = 0; i < list.n; i++) {
        keys[i] = reach(c, list.items[i], path);
        if (keys[i].kind == LM_J_TEXT && !exact) keys[i] = lm_jlower(c, keys[i]);
    }
    return keys;
}

static lm_jv in_order(lm_jcontext *c, lm_jv list, const size_t *order)
{
    lm_jv *items = lm_jalloc(c, list.n * sizeof *items);
    for (size_t i = 0; i < list.n; i++) items[i] = list.items[order[i]];
    return lm_jsequence(LM_J_LIST, items, list.n);
}

/* ---- order ------------------------------------------------------------------------------------ */

static lm_jv f_sort(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv list = lm_jiterate(c, self);
    return in_order(c, list, lm_jsorted(c, sort_keys(c, list, a[2], lm_jtruth(a[1])), 1, list.n, lm_jtruth(a[0])));
}

static lm_jv f_items(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    UNUSED;
    if (self.kind == LM_J_UNDEFINED) return lm_jsequence(LM_J_LIST, NULL, 0);
    if (self.kind != LM_J_DICT) lm_jfail(c, LM_E_FORMAT, "'items' needs a dictionary, found %s", lm_jkind_name(self));
    lm_jv *items = lm_jalloc(c, self.n * sizeof *items);
    for (size_t i = 0; i < self.n; i++) items[i] = lm_jsequence(LM_J_TUPLE, self.items + 2 * i, 2);
    return lm_jsequence(LM_J_LIST, items, self.n);
}

static lm_jv f_dictsort(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    if (self.kind != LM_J_DICT) lm_jfail(c, LM_E_FORMAT, "'dictsort' needs a dictionary, found %s", lm_jkind_name(self));
    lm_jv pairs = f_items(c, self, a, args), by = lm_jint(lm_jis(a[1], "value"));
    return in_order(c, pairs, lm_jsorted(c, sort_keys(c, pairs, by, lm_jtruth(a[0])), 1, pairs.n, lm_jtruth(a[2])));
}

static lm_jv f_reverse(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    UNUSED;
    lm_jv backwards = lm_jint(-1);
    if (self.kind == LM_J_TEXT) return lm_jslice(c, self, none_given(), none_given(), backwards);
    return lm_jslice(c, lm_jiterate(c, self), none_given(), none_given(), backwards);
}

static lm_jv f_unique(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv list = lm_jiterate(c, self), *keys = sort_keys(c, list, a[1], lm_jtruth(a[0]));
    lm_jv *items = lm_jalloc(c, list.n * sizeof *items);
    lm_jv seen = lm_jsequence(LM_J_LIST, keys, 0);       /* grows into keys, behind where it is read */
    for (size_t i = 0; i < list.n; i++) {
        if (lm_jcontains(c, seen, keys[i])) continue;
        items[seen.n] = list.items[i];
        keys[seen.n++] = keys[i];
    }
    return lm_jsequence(LM_J_LIST, items, seen.n);
}

/* The least item by `sign` times the order; undefined when there is none. */
static lm_jv extreme(lm_jcontext *c, lm_jv self, const lm_jv *a, int sign)
{
    lm_jv list = lm_jiterate(c, self), *keys = sort_keys(c, list, a[1], lm_jtruth(a[0]));
    if (!list.n) return lm_jundefined(lm_span_of("item", 4));
    size_t best = 0;
    for (size_t i = 1; i < list.n; i++)
        if (sign * lm_jorder(c, keys[i], keys[best]) < 0) best = i;
    return list.items[best];
}

static lm_jv f_min(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)args; return extreme(c, self, a, 1); }
static lm_jv f_max(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)args; return extreme(c, self, a, -1); }

/* ---- parts -------------------------------------------------------------------------------------- */

static lm_jv f_first(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    UNUSED;
    return lm_jitem(c, lm_jiterate(c, self), 0);
}

static lm_jv f_last(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    UNUSED;
    return lm_jitem(c, lm_jiterate(c, self), -1);
}

static lm_jv f_list(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    UNUSED;
    return lm_jiterate(c, self);
}

static lm_jv f_batch(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv list = lm_jiterate(c, self);
    if (!lm_jis_whole(a[0]) || lm_jwhole(a[0]) < 1 || lm_jwhole(a[0]) > 1 << 20 || a[1].kind != LM_J_ABSENT)
        lm_jfail(c, LM_E_UNSUPPORTED, "'batch' with anything but a size");
    size_t size = (size_t)lm_jwhole(a[0]), n = (list.n + size - 1) / size;
    lm_jv *items = lm_jalloc(c, n * sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i] = lm_jsequence(LM_J_LIST, list.items + i * size, i + 1 < n ? size : list.n - i * size);
    return lm_jsequence(LM_J_LIST, items, n);
}

static lm_jv f_join(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv list = lm_jiterate(c, self);
    lm_jbuild b = { .c = c };
    for (size_t i = 0; i < list.n; i++) {
        if (i && a[0].kind != LM_J_ABSENT) lm_jput_str(&b, a[0]);
        lm_jput_str(&b, reach(c, list.items[i], a[1]));
    }
    return lm_jbuilt(&b);
}

static lm_jv f_sum(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv list = lm_jiterate(c, self), start = a[1].kind == LM_J_ABSENT ? lm_jint(0) : a[1];
    int64_t whole = 0;
    double real = 0;
    bool exact = true;
    for (size_t i = 0; i <= list.n; i++) {
        lm_jv v = i ? reach(c, list.items[i - 1], a[0]) : start;
        if (!lm_jis_number(v)) lm_jfail(c, LM_E_FORMAT, "'sum' needs numbers, found %s", lm_jkind_name(v));
        exact &= lm_jis_whole(v);
        real += lm_jnumber(v);
        if (exact && __builtin_add_overflow(whole, lm_jwhole(v), &whole)) lm_jfail(c, LM_E_UNSUPPORTED, "an integer grows beyond 64 bits");
    }
    return exact ? lm_jint(whole) : lm_jreal(real);
}

/* ---- map and select ------------------------------------------------------------------------------- */

/* The value given by name, or absent. */
static lm_jv given(const lm_jargs *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (lm_span_eq(args->names[i], name)) return args->items[args->n + i];
    return none_given();
}

static lm_span name_of(lm_jcontext *c, lm_jv v)
{
    if (v.kind != LM_J_TEXT) lm_jfail(c, LM_E_FORMAT, "expected a name, found %s", lm_jkind_name(v));
    return lm_span_of(v.bytes, v.n);
}

static lm_jv f_map(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)a;
    lm_jv list = lm_jiterate(c, self), path = given(args, "attribute"), fallback = given(args, "default");
    lm_jv *items = lm_jalloc(c, list.n * sizeof *items);
    const lm_jbuiltin *filter = NULL;
    lm_jargs rest = *args;
    if (path.kind == LM_J_ABSENT) {
        if (!args->n) lm_jfail(c, LM_E_FORMAT, "'map' needs a filter or an attribute");
        lm_span name = name_of(c, args->items[0]);
        filter = lm_jfilter_find(name);
        if (!filter) lm_jfail(c, LM_E_UNSUPPORTED, "there is no filter '%.*s'", (int)(name.len < 60 ? name.len : 60), name.data);
        rest.items++, rest.n--;
    }
    for (size_t i = 0; i < list.n; i++) {
        items[i] = filter ? lm_jcall_builtin(c, filter, list.items[i], &rest) : reach(c, list.items[i], path);
        if (!filter && items[i].kind == LM_J_UNDEFINED && fallback.kind != LM_J_ABSENT) items[i] = fallback;
    }
    return lm_jsequence(LM_J_LIST, items, list.n);
}

/* The items that a test passes (or fails): [attribute,] test, arguments of the test.  Without a test: truth. */
static lm_jv pick(lm_jcontext *c, lm_jv self, const lm_jargs *args, bool by_attribute, bool wanted)
{
    lm_jv list = lm_jiterate(c, self), path = none_given();
    lm_jargs rest = *args;
    if (by_attribute) {
        if (!rest.n) lm_jfail(c, LM_E_FORMAT, "expected the name of an attribute");
        path = rest.items[0];
        rest.items++, rest.n--;
    }
    const lm_jbuiltin *test = NULL;
    if (rest.n) {
        lm_span name = name_of(c, rest.items[0]);
        test = lm_jtest_find(name);
        if (!test) lm_jfail(c, LM_E_UNSUPPORTED, "there is no test '%.*s'", (int)(name.len < 60 ? name.len : 60), name.data);
        rest.items++, rest.n--;
    }
    lm_jv *items = lm_jalloc(c, list.n * sizeof *items);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        lm_jv v = reach(c, list.items[i], path);
        if (lm_jtruth(test ? lm_jcall_builtin(c, test, v, &rest) : v) == wanted) items[n++] = list.items[i];
    }
    return lm_jsequence(LM_J_LIST, items, n);
}

static lm_jv f_select(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a; return pick(c, self, args, false, true); }
static lm_jv f_reject(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a; return pick(c, self, args, false, false); }
static lm_jv f_selectattr(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a; return pick(c, self, args, true, true); }
static lm_jv f_rejectattr(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a; return pick(c, self, args, true, false); }

const lm_jbuiltin lm_jsequence_filters[] = {
    { "batch", "linecount fill_with", 1, f_batch },
    { "dictsort", "case_sensitive by reverse", 0, f_dictsort },
    { "first", "", 0, f_first },
    { "items", "", 0, f_items },
    { "join", "d attribute", 0, f_join },
    { "last", "", 0, f_last },
    { "list", "", 0, f_list },
    { "map", NULL, 0, f_map },
    { "max", "case_sensitive attribute", 0, f_max },
    { "min", "case_sensitive attribute", 0, f_min },
    { "reject", NULL, 0, f_reject },
    { "rejectattr", NULL, 0, f_rejectattr },
    { "reverse", "", 0, f_reverse },
    { "select", NULL, 0, f_select },
    { "selectattr", NULL, 0, f_selectattr },
    { "sort", "reverse case_sensitive attribute", 0, f_sort },
    { "sum", "attribute start", 0, f_sum },
    { "unique", "case_sensitive attribute", 0, f_unique },
    { 0 },
};
