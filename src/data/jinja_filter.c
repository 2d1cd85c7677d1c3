/* Filters over one value, the table of all filters, and how a builtin gets its arguments. */
#include "data/jinja_value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- calling builtins ---------------------------------------------------------------------- */

const lm_jbuiltin *lm_jlookup(const lm_jbuiltin *table, lm_span name)
{
    for (; table->name; table++)
        if (lm_span_eq(name, table->name)) return table;
    return NULL;
}

/* The place of `name` among the space-separated names of `params`, or -1; *n: how many there are. */
static int parameter_at(const char *params, lm_span name, int *n)
{
    int at = -1;
    for (*n = 0; *params; (*n)++) {
        size_t len = strcspn(params, " ");
        if (len == name.len && !memcmp(params, name.data, len)) at = *n;
        params += len + (params[len] == ' ');
    }
    return at;
}

lm_jv lm_jcall_builtin(lm_jcontext *c, const lm_jbuiltin *f, lm_jv self, const lm_jargs *args)
{
    lm_jv bound[LM_J_PARAMS] = { { .kind = LM_J_ABSENT } };
    if (!f->params) return f->call(c, self, bound, args);
    int n;
    parameter_at(f->params, lm_span_of("", 0), &n);
    LM_ASSERT(n <= LM_J_PARAMS);
    if (args->n > (size_t)n) lm_jfail(c, LM_E_FORMAT, "'%s' takes %d arguments, found %zu", f->name, n, args->n);
    for (size_t i = 0; i < args->n; i++) bound[i] = args->items[i];
    for (size_t i = 0; i < args->n_named; i++) {
        lm_span name = args->names[i];
        int at = parameter_at(f->params, name, &n);
        if (at < 0 || bound[at].kind != LM_J_ABSENT)
            lm_jfail(c, LM_E_FORMAT, "'%s' has no argument '%.*s', or has it twice", f->name, (int)(name.len < 60 ? name.len : 60), name.data);
        bound[at] = args->items[args->n + i];
    }
    for (int i = 0; i < f->required; i++)
        if (bound[i].kind == LM_J_ABSENT) lm_jfail(c, LM_E_FORMAT, "'%s' needs %d arguments", f->name, f->required);
    return f->call(c, self, bound, args);
}

static int64_t whole_or(lm_jcontext *c, lm_jv v, int64_t fallback)
{
    if (v.kind == LM_J_ABSENT) return fallback;
    if (!lm_jis_whole(v)) lm_jfail(c, LM_E_FORMAT, "expected an integer, found %s", lm_jkind_name(v));
    return lm_jwhole(v);
}

static lm_jv need_text(lm_jcontext *c, lm_jv v)
{
    if (v.kind != LM_J_TEXT) lm_jfail(c, LM_E_FORMAT, "expected a string, found %s", lm_jkind_name(v));
    return v;
}

/* ---- text -------------------------------------------------------------------------------------- */

static lm_jv f_trim(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    return lm_jstrip(c, lm_jstr(c, self), a[0], true, true);
}

static lm_jv f_upper(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a, (void)args; return lm_jupper(c, lm_jstr(c, self)); }
static lm_jv f_lower(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a, (void)args; return lm_jlower(c, lm_jstr(c, self)); }
static lm_jv f_capitalize(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a, (void)args; return lm_jtitle(c, lm_jstr(c, self), true); }
static lm_jv f_string(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a, (void)args; return lm_jstr(c, self); }

/* Jinja's own: a word begins after a space or one of - ( { [ <, unlike in str.title. */
static lm_jv f_title(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)a, (void)args;
    lm_jv text = lm_jstr(c, self);
    lm_jbuild b = { .c = c };
    for (size_t begin = 0, at = 0; at < text.n;) {
        uint32_t rune;
        at += (size_t)lm_utf8_decode(text.bytes + at, text.n - at, &rune);
        bool edge = lm_jis_space(rune) || (rune < 0x80 && strchr("-({[<", (int)rune) && rune);
        if (!edge && at < text.n) continue;
        lm_jv word = lm_jtitle(c, lm_jpart(text, begin, at), true);
        lm_jput(&b, word.bytes, word.n, word.marks);
        begin = at;
    }
    return lm_jbuilt(&b);
}

static lm_jv f_replace(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    int64_t most = a[2].kind == LM_J_NONE ? -1 : whole_or(c, a[2], -1);
    return lm_jreplace(c, lm_jstr(c, self), lm_jstr(c, a[0]), lm_jstr(c, a[1]), most);
}

static lm_jv f_format(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)a;
    if (args->n_named) lm_jfail(c, LM_E_UNSUPPORTED, "the filter 'format' with names");
    return lm_jpercent(c, lm_jstr(c, self), args->items, args->n);
}

/* Lines after the first get the indentation; blank ones only when asked for. */
static lm_jv f_indent(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv text = lm_jstr(c, self), width = a[0];
    if (width.kind != LM_J_TEXT) {
        lm_jbuild spaces = { .c = c };
        int64_t n = whole_or(c, width, 4);
        if (n > 1000) lm_jfail(c, LM_E_UNSUPPORTED, "an indentation of %lld", (long long)n);
        for (; n > 0; n--) lm_jputs(&spaces, " ");
        width = lm_jbuilt(&spaces);
    }
    lm_jbuild b = { .c = c };
    for (size_t at = 0, line = 0; at <= text.n; line++) {
        const char *newline = at < text.n ? memchr(text.bytes + at, '\n', text.n - at) : NULL;
        size_t end = newline ? (size_t)(newline - text.bytes) : text.n;
        bool indents = line ? end > at || lm_jtruth(a[2]) : lm_jtruth(a[1]);
        if (indents) lm_jput(&b, width.bytes, width.n, width.marks);
        lm_jv part = lm_jpart(text, at, newline ? end + 1 : end);
        lm_jput(&b, part.bytes, part.n, part.marks);
        at = end + 1;
    }
    return lm_jbuilt(&b);
}

static lm_jv f_tojson(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    char spaces[65] = "";
    lm_jdump how = { .ascii = lm_jtruth(a[0]), .sort = lm_jtruth(a[3]), .colon = lm_jtext(": ", 2), .comma = lm_jtext(", ", 2) };
    if (a[1].kind == LM_J_TEXT) {
        char *copy = lm_jalloc(c, a[1].n + 1);
        memcpy(copy, a[1].bytes, a[1].n);
        copy[a[1].n] = 0;
        how.indent = copy;
    } else if (a[1].kind != LM_J_ABSENT && a[1].kind != LM_J_NONE) {
        int64_t n = whole_or(c, a[1], 0);
        if (n > 64) lm_jfail(c, LM_E_UNSUPPORTED, "tojson: an indentation of %lld", (long long)n);
        if (n > 0) memset(spaces, ' ', (size_t)n);
        how.indent = spaces;
    }
    if (how.indent) how.comma = lm_jtext(",", 1);
    if (lm_jis_list(a[2]) && a[2].n == 2) how.comma = need_text(c, a[2].items[0]), how.colon = need_text(c, a[2].items[1]);
    else if (a[2].kind != LM_J_ABSENT && a[2].kind != LM_J_NONE) lm_jfail(c, LM_E_FORMAT, "tojson: separators are a pair of strings");
    lm_jbuild b = { .c = c };
    lm_jput_json(&b, self, &how);
    return lm_jbuilt(&b);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

static lm_jv need_number(lm_jcontext *c, lm_jv v)
{
    if (!lm_jis_number(v)) lm_jfail(c, LM_E_FORMAT, "expected a number, found %s", lm_jkind_name(v));
    return v;
}

static lm_jv f_abs(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)a, (void)args;
    lm_jv v = need_number(c, self);
    if (v.kind == LM_J_REAL) return lm_jreal(fabs(v.real));
    if (lm_jwhole(v) == INT64_MIN) lm_jfail(c, LM_E_UNSUPPORTED, "an integer grows beyond 64 bits");
    return lm_jint(lm_jwhole(v) < 0 ? -lm_jwhole(v) : lm_jwhole(v));
}

/* The number that a text spells, spaces around it aside; false when it spells none. */
static bool spelled(lm_jcontext *c, lm_jv v, lm_jv *out)
{
    char text[64], *end;
    lm_jv bare = lm_jstrip(c, v, lm_jnone(), true, true);
    if (!bare.n || bare.n >= sizeof text || memchr(bare.bytes, 'x', bare.n) || memchr(bare.bytes, 'X', bare.n)) return false;
    memcpy(text, bare.bytes, bare.n);
    text[bare.n] = 0;
    errno = 0;
    *out = lm_jint(strtoll(text, &end, 10));
    if (*end || errno) *out = lm_jreal(strtod(text, &end));
    return end != text && !*end;
}

static lm_jv f_int(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv v = self, fallback = a[0].kind == LM_J_ABSENT ? lm_jint(0) : a[0];
    if (a[1].kind != LM_J_ABSENT && whole_or(c, a[1], 10) != 10) lm_jfail(c, LM_E_UNSUPPORTED, "the filter 'int' with another base");
    if (v.kind == LM_J_TEXT && !spelled(c, v, &v)) return fallback;
    if (v.kind == LM_J_REAL) return fabs(v.real) < 0x1p63 ? lm_jint((int64_t)v.real) : fallback;
    return lm_jis_whole(v) ? lm_jint(lm_jwhole(v)) : fallback;
}

static lm_jv f_float(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv v = self, fallback = a[0].kind == LM_J_ABSENT ? lm_jreal(0) : a[0];
    if (v.kind == LM_J_TEXT && !spelled(c, v, &v)) return fallback;
    return lm_jis_number(v) ? lm_jreal(lm_jnumber(v)) : fallback;
}

static lm_jv f_round(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv v = need_number(c, self);
    int64_t digits = whole_or(c, a[0], 0);
    bool up = lm_jis(a[1], "ceil"), down = lm_jis(a[1], "floor");
    if (digits < -20 || digits > 20) lm_jfail(c, LM_E_UNSUPPORTED, "rounding to %lld digits", (long long)digits);
    if (v.kind != LM_J_REAL && !up && !down && digits >= 0) return lm_jint(lm_jwhole(v));
    double scale = pow(10, (double)digits), x = lm_jnumber(v) * scale;
    if (up || down) return lm_jreal((up ? ceil(x) : floor(x)) / scale);
    char text[400];
    snprintf(text, sizeof text, "%.*f", (int)(digits > 0 ? digits : 0), digits < 0 ? nearbyint(x) / scale : lm_jnumber(v));
    return v.kind == LM_J_REAL ? lm_jreal(strtod(text, NULL)) : lm_jint(strtoll(text, NULL, 10));
}

/* ---- any value -------------------------------------------------------------------------------------- */

static lm_jv f_default(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)c, (void)args;
    bool missing = self.kind == LM_J_UNDEFINED || (lm_jtruth(a[1]) && !lm_jtruth(self));
    return !missing ? self : a[0].kind == LM_J_ABSENT ? lm_jtext("", 0) : a[0];
}

static lm_jv f_length(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)a, (void)args;
    int64_t n = lm_jlength(c, self);
    if (n < 0) lm_jfail(c, LM_E_FORMAT, "%s has no length", lm_jkind_name(self));
    return lm_jint(n);
}

static lm_jv f_safe(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args) { (void)a, (void)args; return lm_jstr(c, self); }

static lm_jv f_attr(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
{
    (void)args;
    lm_jv name = need_text(c, a[0]);
    return self.kind == LM_J_DICT ? lm_jundefined(lm_span_of(name.bytes, name.n)) : lm_jattribute(c, self, lm_span_of(name.bytes, name.n));
}

/* ---- the tables ----------------------------------------------------------------------------------------- */

static const lm_jbuiltin filters[] = {
    { "abs", "", 0, f_abs },
    { "attr", "name", 1, f_attr },
    { "capitalize", "", 0, f_capitalize },
    { "count", "", 0, f_length },
    { "d", "default_value boolean", 0, f_default },
    { "default", "default_value boolean", 0, f_default },
    { "float", "default", 0, f_float },
    { "format", NULL, 0, f_format },
    { "indent", "width first blank", 0, f_indent },
    { "int", "default base", 0, f_int },
    { "length", "", 0, f_length },
    { "lower", "", 0, f_lower },
    { "replace", "old new count", 2, f_replace },
    { "round", "precision method", 0, f_round },
    { "safe", "", 0, f_safe },
    { "string", "", 0, f_string },
    { "title", "", 0, f_title },
    { "tojson", "ensure_ascii indent separators sort_keys", 0, f_tojson },
    { "trim", "chars", 0, f_trim },
    { "upper", "", 0, f_upper },
    { 0 },
};

const lm_jbuiltin *lm_jfilter_find(lm_span name)
{
    const lm_jbuiltin *found = lm_jlookup(filters, name);
    return found ? found : lm_jlookup(lm_jsequence_filters, name);
}
