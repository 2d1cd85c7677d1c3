/* Tests: `x is defined`. */
#include "data/jinja_value.h"
#include "token/unicode.h"

#include <math.h>

#define TEST(name, condition)                                                                   \
    static lm_jv name(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)         \
    {                                                                                           \
        (void)c, (void)a, (void)args;                                                           \
        return lm_jbool(condition);                                                             \
    }

static int order(lm_jcontext *c, lm_jv a, lm_jv b)
{
    if (a.kind == LM_J_UNDEFINED || b.kind == LM_J_UNDEFINED) lm_jfail(c, LM_E_FORMAT, "an undefined value has no order");
    return lm_jorder(c, a, b);
}

static int64_t whole(lm_jcontext *c, lm_jv v)
{
    if (!lm_jis_whole(v)) lm_jfail(c, LM_E_FORMAT, "expected an integer, found %s", lm_jkind_name(v));
    return lm_jwhole(v);
}

static bool divides(lm_jcontext *c, lm_jv v, lm_jv by)
{
    int64_t divisor = whole(c, by);
    if (!divisor) lm_jfail(c, LM_E_FORMAT, "division by zero");
    return divisor == -1 || whole(c, v) % divisor == 0;
}

/* Whether every letter has the case, and there is one. */
static bool has_case(lm_jcontext *c, lm_jv v, bool upper)
{
    lm_jv text = lm_jstr(c, v);
    bool some = false;
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        i += (size_t)lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        if (lm_rune_in(rune, LM_CATEGORY(LM_LT) | LM_CATEGORY(upper ? LM_LL : LM_LU))) return false;
        some |= lm_rune_in(rune, LM_CATEGORY(upper ? LM_LU : LM_LL)) != 0;
    }
    return some;
}

static bool is_same(lm_jcontext *c, lm_jv a, lm_jv b) { return a.kind == b.kind && lm_jequal(c, a, b); }

TEST(t_boolean, self.kind == LM_J_BOOL)
TEST(t_callable, self.kind >= LM_J_MACRO)
TEST(t_defined, self.kind != LM_J_UNDEFINED)
TEST(t_divisible, divides(c, self, a[0]))
TEST(t_equal, lm_jequal(c, self, a[0]))
TEST(t_even, whole(c, self) % 2 == 0)
TEST(t_false, self.kind == LM_J_BOOL && !self.truth)
TEST(t_filter, self.kind == LM_J_TEXT && lm_jfilter_find(lm_span_of(self.bytes, self.n)))
TEST(t_float, self.kind == LM_J_REAL)
TEST(t_ge, order(c, self, a[0]) >= 0)
TEST(t_gt, order(c, self, a[0]) > 0)
TEST(t_in, lm_jcontains(c, a[0], self))
TEST(t_integer, self.kind == LM_J_INT)
TEST(t_iterable, self.kind == LM_J_UNDEFINED || (self.kind >= LM_J_TEXT && self.kind <= LM_J_DICT) || self.kind == LM_J_LOOP)
TEST(t_le, order(c, self, a[0]) <= 0)
TEST(t_lower, has_case(c, self, false))
TEST(t_lt, order(c, self, a[0]) < 0)
TEST(t_mapping, self.kind == LM_J_DICT)
TEST(t_ne, !lm_jequal(c, self, a[0]))
TEST(t_none, self.kind == LM_J_NONE)
TEST(t_number, lm_jis_number(self))
TEST(t_odd, whole(c, self) % 2 != 0)
TEST(t_sameas, is_same(c, self, a[0]))
TEST(t_sequence, self.kind == LM_J_UNDEFINED || (self.kind >= LM_J_TEXT && self.kind <= LM_J_DICT))
TEST(t_string, self.kind == LM_J_TEXT)
TEST(t_test, self.kind == LM_J_TEXT && lm_jtest_find(lm_span_of(self.bytes, self.n)))
TEST(t_true, self.kind == LM_J_BOOL && self.truth)
TEST(t_undefined, self.kind == LM_J_UNDEFINED)
TEST(t_upper, has_case(c, self, true))

static const lm_jbuiltin tests[] = {
    { "!=", "other", 1, t_ne },          { "<", "other", 1, t_lt },           { "<=", "other", 1, t_le },
    { "==", "other", 1, t_equal },       { ">", "other", 1, t_gt },           { ">=", "other", 1, t_ge },
    { "boolean", "", 0, t_boolean },     { "callable", "", 0, t_callable },   { "defined", "", 0, t_defined },
    { "divisibleby", "num", 1, t_divisible }, { "eq", "other", 1, t_equal },  { "equalto", "other", 1, t_equal },
    { "even", "", 0, t_even },           { "false", "", 0, t_false },         { "filter", "", 0, t_filter },
    { "float", "", 0, t_float },         { "ge", "other", 1, t_ge },          { "greaterthan", "other", 1, t_gt },
    { "gt", "other", 1, t_gt },          { "in", "seq", 1, t_in },            { "integer", "", 0, t_integer },
    { "iterable", "", 0, t_iterable },   { "le", "other", 1, t_le },          { "lessthan", "other", 1, t_lt },
    { "lower", "", 0, t_lower },         { "lt", "other", 1, t_lt },          { "mapping", "", 0, t_mapping },
    { "ne", "other", 1, t_ne },          { "none", "", 0, t_none },           { "number", "", 0, t_number },
    { "odd", "", 0, t_odd },             { "sameas", "other", 1, t_sameas },  { "sequence", "", 0, t_sequence },
    { "string", "", 0, t_string },       { "test", "", 0, t_test },           { "true", "", 0, t_true },
    { "undefined", "", 0, t_undefined }, { "upper", "", 0, t_upper },         { 0 },
};

const lm_jbuiltin *lm_jtest_find(lm_span name) { return lm_jlookup(tests, name); }
