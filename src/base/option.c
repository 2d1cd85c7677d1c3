/* Option values: text to value, value to field, field to JSON.  Reading the command line, YAML
 * and JSON is in option_read.c, --help in option_help.c.
 *
 * Whether a required option was given is seen from its field: until then it holds what no user
 * can type (INT64_MIN, NaN, choice -1, NULL, the empty list). */
#include "base/option.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void lm_strings_push(lm_strings *list, char *item)
{
    list->items = lm_realloc(list->items, (size_t)(list->n + 1) * sizeof *list->items);
    list->items[list->n++] = item;
}

void lm_strings_free(lm_strings *list)
{
    for (int i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (lm_strings){0};
}

typedef union value {
    bool flag;
    int64_t integer;
    double real;
    char *string;
    int choice;
    lm_strings list;
} value;

/* ---- fields ------------------------------------------------------------------ */

static void *field_of(lm_option_at at)
{
    return (char *)at.set->values + at.option->offset;
}

static size_t size_of(lm_option_type type)
{
    switch (type) {
    case LM_OPT_FLAG:   return sizeof(bool);
    case LM_OPT_INT:    return sizeof(int64_t);
    case LM_OPT_REAL:   return sizeof(double);
    case LM_OPT_STRING: return sizeof(char *);
    case LM_OPT_CHOICE: return sizeof(int);
    case LM_OPT_LIST:   return sizeof(lm_strings);
    }
    LM_BUG("option type %d", (int)type);
}

static value load(lm_option_at at)
{
    value v = {0};
    memcpy(&v, field_of(at), size_of(at.option->type));
    return v;
}

static void store(lm_option_at at, value v)
{
    memcpy(field_of(at), &v, size_of(at.option->type));
}

static void release(lm_option_type type, value v)
{
    if (type == LM_OPT_STRING) free(v.string);
    if (type == LM_OPT_LIST) lm_strings_free(&v.list);
}

static bool equal(lm_option_type type, value a, value b)
{
    switch (type) {
    case LM_OPT_FLAG:   return a.flag == b.flag;
    case LM_OPT_INT:    return a.integer == b.integer;
    case LM_OPT_REAL:   return a.real == b.real;
    case LM_OPT_CHOICE: return a.choice == b.choice;
    case LM_OPT_STRING: return a.string && b.string ? strcmp(a.string, b.string) == 0 : a.string == b.string;
    case LM_OPT_LIST:   break;
    }
    if (a.list.n != b.list.n) return false;
    for (int i = 0; i < a.list.n; i++)
        if (strcmp(a.list.items[i], b.list.items[i]) != 0) return false;
    return true;
}

/* ---- text to value ----------------------------------------------------------- */

static lm_status expected(const char *label, const char *what, const char *found, lm_err *err)
{
    return lm_fail(err, LM_E_USAGE, "%s: expected %s, found \"%.100s\"", label, what, found);
}

/* k, M, G or B, T are powers of 1000, Ki ... powers of 1024; 0 for anything else. */
static int64_t multiplier(const char *suffix)
{
    static const char letters[] = "kMGT";
    if (*suffix == '\0') return 1;
    const char *at = strchr(letters, *suffix == 'K' ? 'k' : *suffix == 'B' ? 'G' : *suffix);
    bool binary = suffix[1] == 'i';
    if (!at || suffix[binary ? 2 : 1] != '\0') return 0;
    int64_t product = 1;
    for (const char *p = letters; p <= at; p++) product *= binary ? 1024 : 1000;
    return product;
}

/* -1_000, 4k, 1.5M, 1e6: a number, then a suffix; the product must be whole. */
static bool parse_int(const char *text, int64_t *out)
{
    char digits[64], *end;
    size_t n = 0;
    const char *p = text;
    if (*p == '-' || *p == '+') digits[n++] = *p++;
    bool point = false;
    if (!isdigit((unsigned char)*p)) return false;
    for (; n < sizeof digits - 1; p++) {
        bool exponent = (*p == 'e' || *p == 'E') && (isdigit((unsigned char)p[1]) || ((p[1] == '-' || p[1] == '+') && isdigit((unsigned char)p[2])));
        if (*p == '_' && isdigit((unsigned char)p[-1]) && isdigit((unsigned char)p[1])) continue;
        if (*p == '.' || exponent) point = true;
        else if (!isdigit((unsigned char)*p) && !((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E'))) break;
        digits[n++] = *p;
    }
    digits[n] = '\0';
    int64_t times = multiplier(p);
    if (times == 0) return false;
    if (point) {
        double real = strtod(digits, &end) * (double)times;
        if (*end || real != floor(real) || fabs(real) > 0x1p53) return false;
        *out = (int64_t)real;
        return true;
    }
    int64_t whole = 0;
    bool negative = digits[0] == '-';
    for (end = digits + !isdigit((unsigned char)digits[0]); *end; end++)
        if (__builtin_mul_overflow(whole, (int64_t)10, &whole) || __builtin_sub_overflow(whole, (int64_t)(*end - '0'), &whole)) return false;
    if (!negative && __builtin_sub_overflow((int64_t)0, whole, &whole)) return false;
    return !__builtin_mul_overflow(whole, times, out) && *out != INT64_MIN;
}

static bool parse_real(const char *text, double *out)
{
    size_t n = strspn(text, "+-.0123456789eE");   /* no hexadecimal, infinities or spaces */
    char *end;
    *out = strtod(text, &end);
    return n > 0 && text[n] == '\0' && *end == '\0' && isfinite(*out);
}

static bool parse_flag(const char *text, bool *out)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
    for (int i = 0; i < 8; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *out = i % 2;
        return true;
    }
    return false;
}

static lm_strings split_list(const char *text)
{
    lm_strings list = {0};
    lm_str item = {0};
    for (const char *p = text;; p++) {
        if (*p == '\0' || *p == ',') {
            if (item.len) lm_strings_push(&list, lm_str_take(&item));
            if (*p == '\0') break;
        } else {
            if (*p == '\\' && p[1] == ',') p++;
            lm_str_putc(&item, *p);
        }
    }
    lm_str_free(&item);
    return list;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b)) return false;
    return *a == *b;
}

static lm_status parse_choice(const lm_option *option, const char *text, int *out, const char *label, lm_err *err)
{
    for (int i = 0; option->choices[i]; i++) {
        if (!same_name(option->choices[i], text)) continue;
        *out = i;
        return LM_OK;
    }
    lm_str what = {0};
    for (const char *const *c = option->choices; *c; c++)
        lm_str_printf(&what, "%s%s", c == option->choices ? "" : c[1] ? ", " : " or ", *c);
    const char *near = lm_nearest(text, option->choices);
    lm_status status = near ? lm_fail(err, LM_E_USAGE, "%s: expected %s; found \"%.100s\", did you mean %s?", label, what.data, text, near)
                            : lm_fail(err, LM_E_USAGE, "%s: expected %s; found \"%.100s\"", label, what.data, text);
    lm_str_free(&what);
    return status;
}

static lm_status check_range(const lm_option *option, double x, const char *text, const char *label, lm_err *err)
{
    if ((option->min == 0 && option->max == 0) || (x >= option->min && x <= option->max)) return LM_OK;
    char what[80];
    if (option->max >= 0x1p63) snprintf(what, sizeof what, "at least %.12g", option->min);
    else if (option->min <= -0x1p63) snprintf(what, sizeof what, "at most %.12g", option->max);
    else snprintf(what, sizeof what, "%.12g to %.12g", option->min, option->max);
    return expected(label, what, text, err);
}

static lm_status parse_value(const lm_option *option, const char *text, value *out, const char *label, lm_err *err)
{
    switch (option->type) {
    case LM_OPT_FLAG:
        return parse_flag(text, &out->flag) ? LM_OK : expected(label, "true or false", text, err);
    case LM_OPT_INT:
        if (!parse_int(text, &out->integer)) return expected(label, "an integer", text, err);
        return check_range(option, (double)out->integer, text, label, err);
    case LM_OPT_REAL:
        if (!parse_real(text, &out->real)) return expected(label, "a number", text, err);
        return check_range(option, out->real, text, label, err);
    case LM_OPT_STRING:
        out->string = lm_strdup(text);
        return LM_OK;
    case LM_OPT_CHOICE:
        return parse_choice(option, text, &out->choice, label, err);
    case LM_OPT_LIST:
        out->list = split_list(text);
        return LM_OK;
    }
    LM_BUG("option type %d", (int)option->type);
}

/* ---- defaults and missing ones ----------------------------------------------- */

static value unset_value(const lm_option *option)
{
    value v = {0};
    if (!option->required) return v;
    if (option->type == LM_OPT_INT) v.integer = INT64_MIN;
    if (option->type == LM_OPT_REAL) v.real = NAN;
    if (option->type == LM_OPT_CHOICE) v.choice = -1;
    return v;
}

static bool is_missing(const lm_option *option, value v)
{
    if (!option->required) return false;
    switch (option->type) {
    case LM_OPT_FLAG:   return false;
    case LM_OPT_INT:    return v.integer == INT64_MIN;
    case LM_OPT_REAL:   return isnan(v.real);
    case LM_OPT_STRING: return v.string == NULL;
    case LM_OPT_CHOICE: return v.choice < 0;
    case LM_OPT_LIST:   return v.list.n == 0;
    }
    LM_BUG("option type %d", (int)option->type);
}

static value default_value(const lm_option *option)
{
    value v = unset_value(option);
    lm_err err = {0};
    if (option->fallback && parse_value(option, option->fallback, &v, option->name, &err) != LM_OK)
        LM_BUG("default of an option: %s", err.message);
    return v;
}

void lm_options_defaults(const lm_option_set *sets)
{
    for (const lm_option_set *set = sets; set->options; set++)
        for (const lm_option *option = set->options; option->name; option++)
            store((lm_option_at){ option, set }, default_value(option));
}

lm_status lm_options_check(const lm_option_set *sets, lm_err *err)
{
    lm_str missing = {0};
    for (const lm_option_set *set = sets; set->options; set++)
        for (const lm_option *option = set->options; option->name; option++)
            if (is_missing(option, load((lm_option_at){ option, set })))
                lm_str_printf(&missing, "%s--%s", missing.len ? ", " : "", option->name);
    lm_status status = missing.len ? lm_fail(err, LM_E_USAGE, "missing: %s", missing.data) : LM_OK;
    lm_str_free(&missing);
    return status;
}

void lm_options_free(const lm_option_set *sets)
{
    for (const lm_option_set *set = sets; set->options; set++) {
        for (const lm_option *option = set->options; option->name; option++) {
            lm_option_at at = { option, set };
            if (option->type != LM_OPT_STRING && option->type != LM_OPT_LIST) continue;
            release(option->type, load(at));
            store(at, (value){0});
        }
    }
}

/* ---- finding and setting one ------------------------------------------------- */

lm_option_at lm_option_find(const lm_option_set *sets, const char *name)
{
    for (const lm_option_set *set = sets; set->options; set++)
        for (const lm_option *option = set->options; option->name; option++)
            if (same_name(option->name, name)) return (lm_option_at){ option, set };
    return (lm_option_at){0};
}

lm_status lm_option_unknown(const lm_option_set *sets, const char *name, const char *label, lm_err *err)
{
    int n = 0;
    const char **names = NULL;
    for (const lm_option_set *set = sets; set->options; set++) {
        for (const lm_option *option = set->options; option->name; option++) {
            names = lm_realloc(names, (size_t)(n + 2) * sizeof *names);
            names[n++] = option->name;
        }
    }
    if (n) names[n] = NULL;
    const char *near = n ? lm_nearest(name, names) : NULL;
    free(names);
    const char *hyphens = lm_starts_with(label, "--") ? "--" : "";
    return near ? lm_fail(err, LM_E_USAGE, "%s: no such option, did you mean %s%s?", label, hyphens, near)
                : lm_fail(err, LM_E_USAGE, "%s: no such option", label);
}

lm_status lm_option_assign(lm_option_at at, const char *text, bool append, const char *label, lm_err *err)
{
    value v = {0}, old = load(at);
    LM_TRY(parse_value(at.option, text, &v, label, err));
    if (append && at.option->type == LM_OPT_LIST) {
        for (int i = 0; i < v.list.n; i++) lm_strings_push(&old.list, v.list.items[i]);
        free(v.list.items);
        store(at, old);
        return LM_OK;
    }
    release(at.option->type, old);
    store(at, v);
    return LM_OK;
}

lm_status lm_option_assign_items(lm_option_at at, char *const *items, int n, const char *label, lm_err *err)
{
    if (at.option->type != LM_OPT_LIST)
        return lm_fail(err, LM_E_USAGE, "%s: expected one value, found a list of %d", label, n);
    value v = {0};
    for (int i = 0; i < n; i++) lm_strings_push(&v.list, lm_strdup(items[i]));
    release(LM_OPT_LIST, load(at));
    store(at, v);
    return LM_OK;
}

lm_status lm_option_set_text(const lm_option_set *sets, const char *name, const char *text, const char *where, lm_err *err)
{
    lm_str label = {0};
    lm_str_printf(&label, "%s: %s", where, name);
    lm_option_at at = lm_option_find(sets, name);
    lm_status status = at.option ? lm_option_assign(at, text, false, label.data, err)
                                 : lm_option_unknown(sets, name, label.data, err);
    lm_str_free(&label);
    return status;
}

/* ---- value to JSON ----------------------------------------------------------- */

/* A command line may hold any bytes, JSON only UTF-8: what is not becomes U+FFFD. */
static lm_json *text_to_json(const char *text)
{
    lm_str clean = {0};
    size_t n = strlen(text), good;
    while ((good = lm_utf8_valid(text, n)) < n) {
        lm_str_append(&clean, text, good);
        lm_str_put_rune(&clean, 0xFFFD);
        text += good + 1, n -= good + 1;
    }
    lm_str_append(&clean, text, n);
    lm_json *string = json_stringn(clean.data, clean.len);
    lm_str_free(&clean);
    return string;
}

static lm_json *to_json(const lm_option *option, value v)
{
    switch (option->type) {
    case LM_OPT_FLAG:   return json_boolean(v.flag);
    case LM_OPT_INT:    return json_integer(v.integer);
    case LM_OPT_REAL:   return json_real(v.real);
    case LM_OPT_STRING: return v.string ? text_to_json(v.string) : NULL;
    case LM_OPT_CHOICE: return json_string(option->choices[v.choice]);
    case LM_OPT_LIST:   break;
    }
    lm_json *list = json_array();
    for (int i = 0; i < v.list.n; i++) json_array_append_new(list, text_to_json(v.list.items[i]));
    return list;
}

lm_json *lm_options_dump(const lm_option_set *sets, bool changed_only)
{
    lm_json *object = json_object();
    for (const lm_option_set *set = sets; set->options; set++) {
        for (const lm_option *option = set->options; option->name; option++) {
            value now = load((lm_option_at){ option, set }), was = default_value(option);
            bool same = equal(option->type, now, was);
            release(option->type, was);
            if (is_missing(option, now) || (changed_only && same)) continue;
            char *key = lm_strdup(option->name);
            for (char *p = key; *p; p++) if (*p == '-') *p = '_';
            lm_json *v = to_json(option, now);
            if (v) json_object_set_new(object, key, v);
            free(key);
        }
    }
    return object;
}
