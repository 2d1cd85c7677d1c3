/* What templates find by name besides their variables. */
#include "data/jinja_value.h"

#include <string.h>
#include <time.h>

#define FUNCTION(name) static lm_jv name(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)

FUNCTION(g_raise_exception)
{
    (void)self, (void)args;
    lm_jv message = lm_jstr(c, a[0]);
    lm_jfail(c, LM_E_FORMAT, "%.*s", (int)(message.n < 700 ? message.n : 700), message.bytes);
}

FUNCTION(g_strftime_now)
{
    (void)self, (void)args;
    char format[256], text[1024];
    if (a[0].kind != LM_J_TEXT || a[0].n >= sizeof format - 1) lm_jfail(c, LM_E_FORMAT, "strftime_now needs a short format");
    memcpy(format, a[0].bytes, a[0].n);
    format[a[0].n] = 0;
    time_t now = c->now ? (time_t)c->now : time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    size_t n = strftime(text, sizeof text, format, &local);
    if (lm_utf8_valid(text, n) < n) lm_jfail(c, LM_E_FORMAT, "strftime_now: the date is not UTF-8 in this locale");
    lm_jbuild b = { .c = c };
    lm_jput_same(&b, text, n, 0);
    return lm_jbuilt(&b);
}

static void copy_named(lm_jcontext *c, lm_jscope *space, const lm_jargs *args)
{
    for (size_t i = 0; i < args->n_named; i++) lm_jscope_set(c, space, args->names[i], args->items[args->n + i]);
}

FUNCTION(g_namespace)
{
    (void)self, (void)a;
    lm_jscope *space = lm_jscope_new(c, NULL);
    if (args->n > 1 || (args->n && args->items[0].kind != LM_J_DICT)) lm_jfail(c, LM_E_FORMAT, "namespace needs names, or a dictionary");
    for (size_t i = 0; args->n && i < args->items[0].n; i++) {
        lm_jv key = args->items[0].items[2 * i];
        if (key.kind == LM_J_TEXT) lm_jscope_set(c, space, lm_span_of(key.bytes, key.n), args->items[0].items[2 * i + 1]);
    }
    copy_named(c, space, args);
    return (lm_jv){ .kind = LM_J_NAMESPACE, .space = space };
}

FUNCTION(g_dict)
{
    (void)self, (void)a;
    if (args->n > 1 || (args->n && args->items[0].kind != LM_J_DICT)) lm_jfail(c, LM_E_UNSUPPORTED, "dict of anything but names or a dictionary");
    size_t before = args->n ? args->items[0].n : 0;
    lm_jv *items = lm_jalloc(c, 2 * (before + args->n_named) * sizeof *items), dict = lm_jsequence(LM_J_DICT, items, before);
    if (before) memcpy(items, args->items[0].items, 2 * before * sizeof *items);
    for (size_t i = 0; i < args->n_named; i++) {
        lm_jv key = lm_jtext(args->names[i].data, args->names[i].len), value = args->items[args->n + i];
        const lm_jv *old = lm_jfind(c, dict, key);
        if (old) items[old - items] = value;
        else items[2 * dict.n] = key, items[2 * dict.n + 1] = value, dict.n++;
    }
    return dict;
}

FUNCTION(g_range)
{
    (void)self, (void)args;
    int64_t bounds[3] = { 0, 0, 1 };
    for (int i = 0; i < 3; i++) {
        if (a[i].kind == LM_J_ABSENT) continue;
        if (!lm_jis_whole(a[i])) lm_jfail(c, LM_E_FORMAT, "range needs integers, found %s", lm_jkind_name(a[i]));
        bounds[i] = lm_jwhole(a[i]);
    }
    if (a[1].kind == LM_J_ABSENT) bounds[1] = bounds[0], bounds[0] = 0;
    int64_t step = bounds[2], span, most = 100000;       /* as in Jinja's sandbox */
    if (!step) lm_jfail(c, LM_E_FORMAT, "range with a step of 0");
    if (__builtin_sub_overflow(step > 0 ? bounds[1] : bounds[0], step > 0 ? bounds[0] : bounds[1], &span) || step == INT64_MIN)
        lm_jfail(c, LM_E_UNSUPPORTED, "range is too long");
    int64_t size = step > 0 ? step : -step, n = span <= 0 ? 0 : (span - 1) / size + 1;
    if (n > most) lm_jfail(c, LM_E_UNSUPPORTED, "range gives more than %lld numbers", (long long)most);
    lm_jv *items = lm_jalloc(c, (size_t)n * sizeof *items);
    for (int64_t i = 0; i < n; i++) items[i] = lm_jint(bounds[0] + i * step);
    lm_jcharge(c, (size_t)n);
    return lm_jsequence(LM_J_LIST, items, (size_t)n);
}

static const lm_jbuiltin functions[] = {
    { "raise_exception", "message", 1, g_raise_exception }, { "strftime_now", "format", 1, g_strftime_now },
    { "namespace", NULL, 0, g_namespace }, { "dict", NULL, 0, g_dict }, { "range", "start stop step", 1, g_range }, { 0 },
};

const lm_jbuiltin *lm_jfunction_find(lm_span name) { return lm_jlookup(functions, name); }
