/* Values as Python has them: truth, equality, order, length, items; and where they live. */
#include "data/jinja_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- context --------------------------------------------------------------------- */

void lm_jfail(lm_jcontext *c, lm_status code, const char *format, ...)
{
    char text[800];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F) *p = ' ';
    text[lm_utf8_valid(text, strlen(text))] = 0;         /* a character that the buffer's end cut */
    lm_fail(c->err, code, "%s:%d: %s", c->name, c->line, text);
    longjmp(c->leave, 1);
}

void *lm_jalloc(lm_jcontext *c, size_t bytes)
{
    void *block = lm_arena_alloc(&c->arena, bytes);
    if (!block) lm_jfail(c, LM_E_UNSUPPORTED, "the template needs more than %zu MiB", c->arena.size >> 20);
    return block;
}

void lm_jcharge(lm_jcontext *c, size_t steps)
{
    if (steps > (size_t)c->steps) lm_jfail(c, LM_E_UNSUPPORTED, "the template takes too many steps; does it loop without end?");
    c->steps -= (int64_t)steps;
}

void lm_jenter(lm_jcontext *c)
{
    if (++c->depth > LM_J_DEPTH) lm_jfail(c, LM_E_UNSUPPORTED, "nested more than %d levels deep", LM_J_DEPTH);
}

/* ---- kinds ------------------------------------------------------------------------- */

bool lm_jis(lm_jv v, const char *text)
{
    return v.kind == LM_J_TEXT && v.n == strlen(text) && !memcmp(v.bytes, text, v.n);
}

const char *lm_jkind_name(lm_jv v)
{
    static const char *const names[] = {
        [LM_J_ABSENT] = "nothing", [LM_J_UNDEFINED] = "an undefined value", [LM_J_NONE] = "none",
        [LM_J_BOOL] = "a boolean", [LM_J_INT] = "an integer", [LM_J_REAL] = "a float", [LM_J_TEXT] = "a string",
        [LM_J_LIST] = "a list", [LM_J_TUPLE] = "a tuple", [LM_J_DICT] = "a dictionary",
        [LM_J_NAMESPACE] = "a namespace", [LM_J_LOOP] = "a loop", [LM_J_MACRO] = "a macro",
        [LM_J_FUNCTION] = "a function", [LM_J_METHOD] = "a method",
    };
    return names[v.kind];
}

bool lm_jtruth(lm_jv v)
{
    switch (v.kind) {
    case LM_J_ABSENT: case LM_J_UNDEFINED: case LM_J_NONE: return false;
    case LM_J_BOOL: return v.truth;
    case LM_J_INT: return v.whole != 0;
    case LM_J_REAL: return v.real != 0;
    case LM_J_TEXT: case LM_J_LIST: case LM_J_TUPLE: case LM_J_DICT: return v.n > 0;
    case LM_J_NAMESPACE: case LM_J_LOOP: case LM_J_MACRO: case LM_J_FUNCTION: case LM_J_METHOD: return true;
    }
    LM_BUG("value of kind %d", (int)v.kind);
}

/* ---- equality and order ---------------------------------------------------------------- */

static bool equal_numbers(lm_jv a, lm_jv b)
{
    if (lm_jis_whole(a) && lm_jis_whole(b)) return lm_jwhole(a) == lm_jwhole(b);
    return lm_jnumber(a) == lm_jnumber(b);
}

static bool equal_dicts(lm_jcontext *c, lm_jv a, lm_jv b)
{
    for (size_t i = 0; i < a.n; i++) {
        const lm_jv *other = lm_jfind(c, b, a.items[2 * i]);
        if (!other || !lm_jequal(c, a.items[2 * i + 1], *other)) return false;
    }
    return true;
}

bool lm_jequal(lm_jcontext *c, lm_jv a, lm_jv b)
{
    if (lm_jis_number(a) && lm_jis_number(b)) return equal_numbers(a, b);
    if (a.kind != b.kind) return false;
    lm_jcharge(c, 1 + (a.kind == LM_J_TEXT && a.n == b.n ? a.n / 64 : 0));
    bool equal = true;
    switch (a.kind) {
    case LM_J_TEXT: return a.n == b.n && !memcmp(a.bytes, b.bytes, a.n);
    case LM_J_LIST: case LM_J_TUPLE: case LM_J_DICT:
        if (a.n != b.n) return false;
        lm_jenter(c);
        if (a.kind == LM_J_DICT) equal = equal_dicts(c, a, b);
        else for (size_t i = 0; i < a.n && equal; i++) equal = lm_jequal(c, a.items[i], b.items[i]);
        c->depth--;
        return equal;
    case LM_J_NAMESPACE: return a.space == b.space;
    case LM_J_LOOP: return a.loop == b.loop;
    case LM_J_MACRO: return a.macro == b.macro;
    case LM_J_FUNCTION: return a.function == b.function;
    case LM_J_METHOD: return a.bound == b.bound;
    default: return true;                                /* none, undefined */
    }
}

int lm_jorder(lm_jcontext *c, lm_jv a, lm_jv b)
{
    lm_jcharge(c, 1);
    if (lm_jis_whole(a) && lm_jis_whole(b)) return (lm_jwhole(a) > lm_jwhole(b)) - (lm_jwhole(a) < lm_jwhole(b));
    if (lm_jis_number(a) && lm_jis_number(b)) return (lm_jnumber(a) > lm_jnumber(b)) - (lm_jnumber(a) < lm_jnumber(b));
    if (a.kind == LM_J_TEXT && b.kind == LM_J_TEXT) {    /* UTF-8 sorts as its code points do */
        size_t n = a.n < b.n ? a.n : b.n;
        int order = n ? memcmp(a.bytes, b.bytes, n) : 0;
        return order ? order : (a.n > b.n) - (a.n < b.n);
    }
    if (!lm_jis_list(a) || a.kind != b.kind)
        lm_jfail(c, LM_E_FORMAT, "%s and %s have no order", lm_jkind_name(a), lm_jkind_name(b));
    lm_jenter(c);
    int order = 0;
    for (size_t i = 0; i < a.n && i < b.n && !order; i++)
        if (!lm_jequal(c, a.items[i], b.items[i])) order = lm_jorder(c, a.items[i], b.items[i]);
    c->depth--;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

bool lm_jcontains(lm_jcontext *c, lm_jv whole, lm_jv part)
{
    switch (whole.kind) {
    case LM_J_TEXT:
        if (part.kind != LM_J_TEXT) lm_jfail(c, LM_E_FORMAT, "'in' a string needs a string, found %s", lm_jkind_name(part));
        return lm_jfind_text(c, whole, part, 0) != SIZE_MAX;
    case LM_J_DICT: return lm_jfind(c, whole, part);
    case LM_J_LIST: case LM_J_TUPLE:
        for (size_t i = 0; i < whole.n; i++)
            if (lm_jequal(c, whole.items[i], part)) return true;
        return false;
    case LM_J_UNDEFINED: return false;
    default: lm_jfail(c, LM_E_FORMAT, "'in' needs a string, a list or a dictionary, found %s", lm_jkind_name(whole));
    }
}

/* ---- items --------------------------------------------------------------------------------- */

static size_t count_runes(lm_jcontext *c, lm_jv text)
{
    lm_jcharge(c, text.n / 64);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.bytes[i] & 0xC0) != 0x80;
    return n;
}

/* Bytes of the character at `at`. */
static size_t rune_bytes(lm_jv text, size_t at)
{
    size_t end = at + 1;
    while (end < text.n && ((unsigned char)text.bytes[end] & 0xC0) == 0x80) end++;
    return end - at;
}

int64_t lm_jlength(lm_jcontext *c, lm_jv v)
{
    switch (v.kind) {
    case LM_J_TEXT: return (int64_t)count_runes(c, v);
    case LM_J_LIST: case LM_J_TUPLE: case LM_J_DICT: return (int64_t)v.n;
    case LM_J_LOOP: return (int64_t)v.loop->n;
    case LM_J_UNDEFINED: return 0;
    default: return -1;
    }
}

static lm_jv characters(lm_jcontext *c, lm_jv text)
{
    size_t n = count_runes(c, text), at = 0;
    lm_jcharge(c, n);
    lm_jv *items = lm_jalloc(c, n * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = rune_bytes(text, at);
        items[i] = lm_jpart(text, at, at + bytes);
        at += bytes;
    }
    return lm_jsequence(LM_J_LIST, items, n);
}

lm_jv lm_jiterate(lm_jcontext *c, lm_jv v)
{
    switch (v.kind) {
    case LM_J_LIST: case LM_J_TUPLE: return lm_jsequence(LM_J_LIST, v.items, v.n);
    case LM_J_LOOP: return lm_jsequence(LM_J_LIST, v.loop->items, v.loop->n);
    case LM_J_TEXT: return characters(c, v);
    case LM_J_UNDEFINED: return lm_jsequence(LM_J_LIST, NULL, 0);
    case LM_J_DICT: break;
    default: lm_jfail(c, LM_E_FORMAT, "expected something to loop over, found %s", lm_jkind_name(v));
    }
    lm_jcharge(c, v.n);
    lm_jv *keys = lm_jalloc(c, v.n * sizeof *keys);
    for (size_t i = 0; i < v.n; i++) keys[i] = v.items[2 * i];
    return lm_jsequence(LM_J_LIST, keys, v.n);
}

const lm_jv *lm_jfind(lm_jcontext *c, lm_jv dict, lm_jv key)
{
    for (size_t i = 0; i < dict.n; i++)
        if (lm_jequal(c, dict.items[2 * i], key)) return &dict.items[2 * i + 1];
    return NULL;
}

lm_jv lm_jitem(lm_jcontext *c, lm_jv v, int64_t at)
{
    int64_t n = lm_jlength(c, v);
    if (at < 0) at += n;
    if (at < 0 || at >= n) return lm_jundefined(lm_span_of("item", 4));
    if (v.kind != LM_J_TEXT) return v.items[at];
    size_t begin = 0;
    while (at-- > 0) begin += rune_bytes(v, begin);
    return lm_jpart(v, begin, begin + rune_bytes(v, begin));
}

static int64_t bound(lm_jcontext *c, lm_jv v, int64_t fallback)
{
    if (v.kind == LM_J_ABSENT || v.kind == LM_J_NONE) return fallback;
    if (!lm_jis_whole(v)) lm_jfail(c, LM_E_FORMAT, "a slice needs integers, found %s", lm_jkind_name(v));
    return lm_jwhole(v);
}

/* A bound counted from the end when negative, within [low, high]. */
static int64_t within(int64_t at, int64_t n, int64_t low, int64_t high)
{
    if (at < 0) at = at < -n ? low : at + n;
    return at < low ? low : at > high ? high : at;
}

lm_jv lm_jslice(lm_jcontext *c, lm_jv v, lm_jv from, lm_jv to, lm_jv step_v)
{
    if (v.kind != LM_J_TEXT && !lm_jis_list(v)) lm_jfail(c, LM_E_FORMAT, "cannot slice %s", lm_jkind_name(v));
    int64_t n = lm_jlength(c, v), step = bound(c, step_v, 1);
    if (step == 0) lm_jfail(c, LM_E_FORMAT, "the step of a slice is 0");
    if (step > n) step = n + 1;                          /* the same items, without overflow below */
    if (step < -n) step = -n - 1;
    bool back = step < 0;
    int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    bool open_from = from.kind == LM_J_ABSENT || from.kind == LM_J_NONE, open_to = to.kind == LM_J_ABSENT || to.kind == LM_J_NONE;
    int64_t begin = open_from ? (back ? high : low) : within(bound(c, from, 0), n, low, high);
    int64_t end = open_to ? (back ? low : high) : within(bound(c, to, 0), n, low, high);

    size_t count = 0;
    lm_jv source = v.kind == LM_J_TEXT ? characters(c, v) : v;
    int64_t span = back ? begin - end : end - begin;
    lm_jv *items = lm_jalloc(c, (size_t)(span > 0 ? span : 0) * sizeof *items);
    for (int64_t i = begin; back ? i > end : i < end; i += step) items[count++] = source.items[i];
    if (v.kind != LM_J_TEXT) return lm_jsequence(v.kind, items, count);
    lm_jbuild b = { .c = c };
    for (size_t i = 0; i < count; i++) lm_jput(&b, items[i].bytes, items[i].n, items[i].marks);
    return lm_jbuilt(&b);
}

/* Merges runs of doubling length.  (qsort allocates, and a comparison may leave by longjmp.) */
const size_t *lm_jsorted(lm_jcontext *c, const lm_jv *keys, size_t stride, size_t n, bool reverse)
{
    size_t *order = lm_jalloc(c, n * sizeof *order), *next = lm_jalloc(c, n * sizeof *next);
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * run) {
            size_t middle = begin + run < n ? begin + run : n, end = begin + 2 * run < n ? begin + 2 * run : n;
            for (size_t i = begin, a = begin, b = middle; i < end; i++) {
                bool left = b == end;
                if (!left && a < middle) {
                    int sign = lm_jorder(c, keys[stride * order[b]], keys[stride * order[a]]);
                    left = reverse ? sign <= 0 : sign >= 0;
                }
                next[i] = left ? order[a++] : order[b++];
            }
        }
        size_t *swap = order;
        order = next, next = swap;
    }
    return order;
}

/* ---- from JSON -------------------------------------------------------------------------------- */

/* Roles that a template may make part of a token, '<|' + role + '|>': none of them, so placed, ends a turn. */
static bool is_role(const char *key, const lm_json *value)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool", "developer", "function", "model",
                                         "observation", "ipython", "environment", "critic", NULL };
    if (strcmp(key, "role") || !json_is_string(value)) return false;
    for (const char *const *role = roles; *role; role++)
        if (lm_span_eq(lm_span_of(json_string_value(value), json_string_length(value)), *role)) return true;
    return false;
}

static lm_jv text_from(lm_jcontext *c, const char *bytes, size_t n, uint8_t mark)
{
    lm_jbuild b = { .c = c };
    lm_jput_same(&b, bytes, n, mark);
    return lm_jbuilt(&b);
}

static lm_jv object_from(lm_jcontext *c, const lm_json *json, uint8_t mark)
{
    size_t n = json_object_size(json), at = 0;
    lm_jv *items = lm_jalloc(c, 2 * n * sizeof *items);
    const char *key;
    lm_json *value;
    json_object_foreach((lm_json *)(uintptr_t)json, key, value) {
        items[at++] = text_from(c, key, strlen(key), mark);
        items[at++] = lm_jfrom_json(c, value, is_role(key, value) ? 0 : mark);
    }
    return lm_jsequence(LM_J_DICT, items, n);
}

lm_jv lm_jfrom_json(lm_jcontext *c, const lm_json *json, uint8_t mark)
{
    size_t n = json_array_size(json);
    lm_jv *items, v = lm_jnone();
    lm_jenter(c);
    switch (json_typeof(json)) {
    case JSON_OBJECT:  v = object_from(c, json, mark); break;
    case JSON_ARRAY:
        items = lm_jalloc(c, n * sizeof *items);
        for (size_t i = 0; i < n; i++) items[i] = lm_jfrom_json(c, json_array_get(json, i), mark);
        v = lm_jsequence(LM_J_LIST, items, n);
        break;
    case JSON_STRING:  v = text_from(c, json_string_value(json), json_string_length(json), mark); break;
    case JSON_INTEGER: v = lm_jint(json_integer_value(json)); break;
    case JSON_REAL:    v = lm_jreal(json_real_value(json)); break;
    case JSON_TRUE:    v = lm_jbool(true); break;
    case JSON_FALSE:   v = lm_jbool(false); break;
    case JSON_NULL:    break;
    }
    c->depth--;
    return v;
}

/* ---- variables ------------------------------------------------------------------------------------ */

static bool same_name(lm_span a, lm_span b) { return a.len == b.len && !memcmp(a.data, b.data, a.len); }

lm_jscope *lm_jscope_new(lm_jcontext *c, lm_jscope *outer)
{
    lm_jscope *s = lm_jalloc(c, sizeof *s);
    *s = (lm_jscope){ .outer = outer };
    return s;
}

static lm_jbinding *binding_of(const lm_jscope *s, lm_span name)
{
    for (lm_jbinding *b = s->first; b; b = b->next)
        if (same_name(b->name, name)) return b;
    return NULL;
}

void lm_jscope_set(lm_jcontext *c, lm_jscope *s, lm_span name, lm_jv value)
{
    lm_jbinding *b = binding_of(s, name);
    if (!b) {
        b = lm_jalloc(c, sizeof *b);
        *b = (lm_jbinding){ .name = name, .next = s->first };
        s->first = b;
    }
    b->value = value;
}

const lm_jv *lm_jscope_get(const lm_jscope *s, lm_span name)
{
    for (; s; s = s->outer) {
        lm_jbinding *b = binding_of(s, name);
        if (b) return &b->value;
    }
    return NULL;
}
