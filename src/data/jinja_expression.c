/* Expressions, by recursive descent.  From loose to tight:
 *
 *   a if b else c | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | - + | . [] () | filters, tests */
#include "data/jinja_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- helpers ------------------------------------------------------------------------- */

lm_jnode *lm_jnode_new(lm_jparser *p, lm_jnode_kind kind)
{
    lm_jnode *node = lm_jalloc(p->c, sizeof *node);
    *node = (lm_jnode){ .kind = kind, .line = p->at->line };
    return node;
}

static lm_jnode *wrap(lm_jparser *p, lm_jnode_kind kind, lm_jnode *a, lm_jnode *b)
{
    lm_jnode *node = lm_jnode_new(p, kind);
    node->line = a->line;
    node->a = a, node->b = b;
    return node;
}

void lm_junexpected(lm_jparser *p, const char *expected)
{
    const lm_jtoken *t = p->at;
    p->c->line = t->line;
    static const char *const names[] = {
        [LM_JT_DATA] = "text", [LM_JT_OUTPUT] = "{{", [LM_JT_OUTPUT_END] = "}}", [LM_JT_TAG] = "{%",
        [LM_JT_TAG_END] = "%}", [LM_JT_END] = "the end of the template",
    };
    if (t->kind == LM_JT_STRING) lm_jfail(p->c, LM_E_FORMAT, "expected %s, found a string", expected);
    if (t->kind >= LM_JT_NAME && t->kind < LM_JT_END)
        lm_jfail(p->c, LM_E_FORMAT, "expected %s, found '%.*s'", expected, (int)(t->text.len < 60 ? t->text.len : 60), t->text.data);
    lm_jfail(p->c, LM_E_FORMAT, "expected %s, found %s", expected, names[t->kind]);
}

bool lm_jpeek(const lm_jparser *p, const char *op) { return p->at->kind == LM_JT_OPERATOR && lm_span_eq(p->at->text, op); }
bool lm_jpeek_name(const lm_jparser *p, const char *name) { return p->at->kind == LM_JT_NAME && lm_span_eq(p->at->text, name); }

bool lm_jtake(lm_jparser *p, const char *op)
{
    bool there = lm_jpeek(p, op);
    p->at += there;
    return there;
}

bool lm_jtake_name(lm_jparser *p, const char *name)
{
    bool there = lm_jpeek_name(p, name);
    p->at += there;
    return there;
}

void lm_jexpect(lm_jparser *p, const char *op)
{
    char expected[8] = { '\'' };
    strcpy(expected + 1, op);
    strcat(expected, "'");
    if (!lm_jtake(p, op)) lm_junexpected(p, expected);
}

lm_span lm_jexpect_name(lm_jparser *p)
{
    if (p->at->kind != LM_JT_NAME) lm_junexpected(p, "a name");
    return p->at++->text;
}

static bool is_end(const lm_jparser *p)
{
    return p->at->kind == LM_JT_OUTPUT_END || p->at->kind == LM_JT_TAG_END || p->at->kind == LM_JT_END;
}

/* ---- literals -------------------------------------------------------------------------- */

static lm_jnode *literal(lm_jparser *p, lm_jv value)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_LITERAL);
    node->value = value;
    return node;
}

static lm_jnode *number(lm_jparser *p)
{
    char text[64];
    size_t n = 0;
    lm_span digits = p->at->text;
    for (size_t i = 0; i < digits.len && n + 1 < sizeof text; i++)
        if (digits.data[i] != '_') text[n++] = digits.data[i];
    text[n] = 0;
    char *end;
    errno = 0;
    bool prefixed = n > 1 && text[0] == '0' && strchr("xXoObB", text[1]);
    int base = !prefixed ? 10 : (text[1] | 32) == 'x' ? 16 : (text[1] | 32) == 'o' ? 8 : 2;
    bool real = p->at->kind == LM_JT_REAL;
    lm_jv value = real ? lm_jreal(strtod(text, &end)) : lm_jint(strtoll(text + (prefixed ? 2 : 0), &end, base));
    p->c->line = p->at->line;
    if (*end || (prefixed && n == 2)) lm_jfail(p->c, LM_E_FORMAT, "'%s' is no number", text);
    if (!real && errno == ERANGE) lm_jfail(p->c, LM_E_UNSUPPORTED, "%s is beyond 64-bit integers", text);
    lm_jnode *node = literal(p, value);
    p->at++;
    return node;
}

static lm_jnode *string(lm_jparser *p)
{
    lm_jnode *node = literal(p, lm_jtext(p->at->text.data, p->at->text.len));
    for (p->at++; p->at->kind == LM_JT_STRING; p->at++)  /* 'a' 'b' are one */
        node->value = lm_jjoin(p->c, node->value, lm_jtext(p->at->text.data, p->at->text.len));
    return node;
}

static lm_jnode *list(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_LIST), **tail = &node->list;
    p->at++;
    while (!lm_jpeek(p, "]")) {
        *tail = lm_jparse_expression(p);
        tail = &(*tail)->next;
        if (!lm_jtake(p, ",")) break;
    }
    lm_jexpect(p, "]");
    return node;
}

static lm_jnode *dictionary(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_DICT), **tail = &node->list;
    p->at++;
    while (!lm_jpeek(p, "}")) {
        *tail = lm_jparse_expression(p);
        lm_jexpect(p, ":");
        (*tail)->next = lm_jparse_expression(p);
        tail = &(*tail)->next->next;
        if (!lm_jtake(p, ",")) break;
    }
    lm_jexpect(p, "}");
    return node;
}

static lm_jnode *name(lm_jparser *p)
{
    static const struct { const char *name; lm_jv value; } constants[] = {
        { "true", { .kind = LM_J_BOOL, .truth = true } },   { "True", { .kind = LM_J_BOOL, .truth = true } },
        { "false", { .kind = LM_J_BOOL, .truth = false } }, { "False", { .kind = LM_J_BOOL, .truth = false } },
        { "none", { .kind = LM_J_NONE } },                  { "None", { .kind = LM_J_NONE } },
    };
    lm_jnode *node = lm_jnode_new(p, LM_JN_NAME);
    node->name = p->at->text;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (lm_span_eq(node->name, constants[i].name)) node->kind = LM_JN_LITERAL, node->value = constants[i].value;
    p->at++;
    return node;
}

static lm_jnode *parenthesis(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_TUPLE);
    p->at++;
    if (!lm_jpeek(p, ")")) node = lm_jparse_tuple(p, true);
    lm_jexpect(p, ")");
    return node;
}

static lm_jnode *primary(lm_jparser *p)
{
    switch (p->at->kind) {
    case LM_JT_NAME: return name(p);
    case LM_JT_STRING: return string(p);
    case LM_JT_INT: case LM_JT_REAL: return number(p);
    default: break;
    }
    if (lm_jpeek(p, "(")) return parenthesis(p);
    if (lm_jpeek(p, "[")) return list(p);
    if (lm_jpeek(p, "{")) return dictionary(p);
    lm_junexpected(p, "an expression");
}

/* ---- what follows a primary ---------------------------------------------------------------- */

static lm_jnode *arguments(lm_jparser *p)
{
    lm_jnode *first = NULL, **tail = &first;
    bool named = false;
    lm_jexpect(p, "(");
    while (!lm_jpeek(p, ")")) {
        lm_jnode *node = lm_jnode_new(p, LM_JN_ARGUMENT);
        if (lm_jpeek(p, "*") || lm_jpeek(p, "**")) lm_jfail(p->c, LM_E_UNSUPPORTED, "arguments spread by '%s'", p->at->text.data);
        if (p->at->kind == LM_JT_NAME && p->at[1].kind == LM_JT_OPERATOR && lm_span_eq(p->at[1].text, "=")) {
            node->name = p->at->text;
            p->at += 2;
            named = true;
        } else if (named) lm_junexpected(p, "an argument with a name");
        node->a = lm_jparse_expression(p);
        *tail = node;
        tail = &node->next;
        if (!lm_jtake(p, ",")) break;
    }
    lm_jexpect(p, ")");
    return first;
}

static lm_jnode *slice_part(lm_jparser *p)
{
    return lm_jpeek(p, ":") || lm_jpeek(p, "]") ? NULL : lm_jparse_expression(p);
}

static lm_jnode *subscript(lm_jparser *p, lm_jnode *a)
{
    p->at++;
    lm_jnode *node = wrap(p, LM_JN_ITEM, a, NULL);
    node->line = p->at->line;
    if (lm_jpeek(p, "]")) lm_junexpected(p, "an expression");
    node->b = slice_part(p);
    if (lm_jtake(p, ":")) {
        node->kind = LM_JN_SLICE;
        node->c = slice_part(p);
        if (lm_jtake(p, ":")) node->body = slice_part(p);
    }
    lm_jexpect(p, "]");
    return node;
}

static lm_jnode *attribute(lm_jparser *p, lm_jnode *a)
{
    p->at++;
    lm_jnode *node = wrap(p, LM_JN_ATTRIBUTE, a, NULL);
    node->line = p->at->line;
    if (p->at->kind == LM_JT_INT) {
        node->kind = LM_JN_ITEM;
        node->b = number(p);
    } else node->name = lm_jexpect_name(p);
    return node;
}

static lm_jnode *call(lm_jparser *p, lm_jnode *a)
{
    lm_jnode *node = wrap(p, LM_JN_CALL, a, NULL);
    node->line = p->at->line;
    node->list = arguments(p);
    return node;
}

static lm_jnode *postfix(lm_jparser *p, lm_jnode *node)
{
    for (;;) {
        if (lm_jpeek(p, ".")) node = attribute(p, node);
        else if (lm_jpeek(p, "[")) node = subscript(p, node);
        else if (lm_jpeek(p, "(")) node = call(p, node);
        else return node;
    }
}

lm_jnode *lm_jparse_postfix(lm_jparser *p, bool call_needed)
{
    lm_jnode *node = postfix(p, primary(p));
    if (call_needed && node->kind != LM_JN_CALL) lm_junexpected(p, "a call");
    return node;
}

static lm_jnode *filter(lm_jparser *p, lm_jnode *a)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_FILTER);
    node->a = a;
    node->name = lm_jexpect_name(p);
    node->builtin = lm_jfilter_find(node->name);
    if (lm_jpeek(p, "(")) node->list = arguments(p);
    return node;
}

/* What a test takes without parentheses: `x is divisibleby 3`. */
static bool begins_argument(const lm_jparser *p)
{
    static const char *const words[] = { "else", "or", "and", "is", "if", "in", "not", NULL };
    for (const char *const *w = words; *w; w++)
        if (lm_jpeek_name(p, *w)) return false;
    return (p->at->kind >= LM_JT_NAME && p->at->kind <= LM_JT_REAL) || lm_jpeek(p, "[") || lm_jpeek(p, "{");
}

static lm_jnode *test(lm_jparser *p, lm_jnode *a)
{
    bool negated = lm_jtake_name(p, "not");
    lm_jnode *node = lm_jnode_new(p, LM_JN_TEST);
    node->a = a;
    node->name = lm_jexpect_name(p);
    node->builtin = lm_jtest_find(node->name);
    if (lm_jpeek(p, "(")) node->list = arguments(p);
    else if (begins_argument(p)) {
        node->list = lm_jnode_new(p, LM_JN_ARGUMENT);
        node->list->a = lm_jparse_postfix(p, false);
    }
    return negated ? wrap(p, LM_JN_NOT, node, NULL) : node;
}

static lm_jnode *filters_and_tests(lm_jparser *p, lm_jnode *node)
{
    for (;;) {
        if (lm_jtake(p, "|")) node = filter(p, node);
        else if (lm_jtake_name(p, "is")) node = test(p, node);
        else if (lm_jpeek(p, "(")) node = call(p, node);
        else return node;
    }
}

lm_jnode *lm_jparse_filters(lm_jparser *p, bool first)
{
    lm_jnode *head = NULL, **tail = &head;
    while (first || lm_jtake(p, "|")) {
        *tail = filter(p, NULL);
        tail = &(*tail)->next;
        first = false;
    }
    return head;
}

/* ---- operators ------------------------------------------------------------------------------- */

static lm_jnode *unary(lm_jparser *p, bool filters)
{
    lm_jnode *node;
    lm_jenter(p->c);
    bool minus = lm_jpeek(p, "-");
    if (minus || lm_jpeek(p, "+")) {
        p->at++;
        node = wrap(p, minus ? LM_JN_NEGATE : LM_JN_PLUS, unary(p, false), NULL);
    } else node = primary(p);
    node = postfix(p, node);
    p->c->depth--;
    return filters ? filters_and_tests(p, node) : node;
}

typedef struct level {
    const char *spelled[5];          /* ends with NULL */
    lm_jop op[4];
} level;

static const level levels[] = {
    { { "+", "-", NULL }, { LM_JO_ADD, LM_JO_SUBTRACT } },
    { { "~", NULL }, { LM_JO_JOIN } },
    { { "*", "/", "//", "%", NULL }, { LM_JO_MULTIPLY, LM_JO_DIVIDE, LM_JO_FLOOR, LM_JO_MODULO } },
    { { "**", NULL }, { LM_JO_POWER } },
};

static lm_jnode *binary(lm_jparser *p, size_t at)
{
    if (at == sizeof levels / sizeof *levels) return unary(p, true);
    lm_jnode *node = binary(p, at + 1);
    for (int i = 0; levels[at].spelled[i];) {
        if (!lm_jpeek(p, levels[at].spelled[i])) {
            i++;
            continue;
        }
        int line = p->at++->line;
        node = wrap(p, LM_JN_BINARY, node, binary(p, at + 1));
        node->line = line;
        node->op = levels[at].op[i];
        i = 0;
    }
    return node;
}

static bool comparison(lm_jparser *p, lm_jop *op)
{
    static const struct { const char *spelled; lm_jop op; } operators[] = {
        { "==", LM_JO_EQ }, { "!=", LM_JO_NE }, { "<", LM_JO_LT }, { "<=", LM_JO_LE }, { ">", LM_JO_GT }, { ">=", LM_JO_GE },
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (lm_jtake(p, operators[i].spelled)) return *op = operators[i].op, true;
    if (lm_jtake_name(p, "in")) return *op = LM_JO_IN, true;
    if (!lm_jpeek_name(p, "not") || p->at[1].kind != LM_JT_NAME || !lm_span_eq(p->at[1].text, "in")) return false;
    p->at += 2;
    return *op = LM_JO_NOT_IN, true;
}

static lm_jnode *compare(lm_jparser *p)
{
    lm_jnode *node = binary(p, 0), **tail = NULL;
    lm_jop op;
    for (int line = p->at->line; comparison(p, &op); line = p->at->line) {
        if (!tail) node = wrap(p, LM_JN_COMPARE, node, NULL), tail = &node->list;
        *tail = lm_jnode_new(p, LM_JN_COMPARE);
        (*tail)->op = op;
        (*tail)->line = line;
        (*tail)->a = binary(p, 0);
        tail = &(*tail)->next;
    }
    return node;
}

static lm_jnode *negation(lm_jparser *p)
{
    if (!lm_jtake_name(p, "not")) return compare(p);
    lm_jenter(p->c);
    lm_jnode *node = wrap(p, LM_JN_NOT, negation(p), NULL);
    p->c->depth--;
    return node;
}

static lm_jnode *conjunction(lm_jparser *p)
{
    lm_jnode *node = negation(p);
    while (lm_jtake_name(p, "and")) node = wrap(p, LM_JN_AND, node, negation(p));
    return node;
}

lm_jnode *lm_jparse_choiceless(lm_jparser *p)
{
    lm_jnode *node = conjunction(p);
    while (lm_jtake_name(p, "or")) node = wrap(p, LM_JN_OR, node, conjunction(p));
    return node;
}

lm_jnode *lm_jparse_expression(lm_jparser *p)
{
    lm_jenter(p->c);
    lm_jnode *node = lm_jparse_choiceless(p);
    while (lm_jtake_name(p, "if")) {
        lm_jnode *choice = lm_jnode_new(p, LM_JN_CHOICE);
        choice->b = node;
        choice->a = lm_jparse_choiceless(p);
        if (lm_jtake_name(p, "else")) choice->c = lm_jparse_expression(p);
        node = choice;
    }
    p->c->depth--;
    return node;
}

/* ---- tuples, targets, parameters ----------------------------------------------------------------- */

lm_jnode *lm_jparse_tuple(lm_jparser *p, bool choices)
{
    lm_jnode *first = choices ? lm_jparse_expression(p) : lm_jparse_choiceless(p), **tail = &first->next;
    if (!lm_jpeek(p, ",")) return first;
    lm_jnode *node = lm_jnode_new(p, LM_JN_TUPLE);
    node->list = first;
    while (lm_jtake(p, ",") && !is_end(p) && !lm_jpeek(p, ")") && !lm_jpeek(p, "=")) {
        *tail = choices ? lm_jparse_expression(p) : lm_jparse_choiceless(p);
        tail = &(*tail)->next;
    }
    return node;
}

static lm_jnode *one_target(lm_jparser *p, bool attributes)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_NAME);
    if (lm_jtake(p, "(")) {
        node = lm_jparse_target(p, false);
        lm_jexpect(p, ")");
        return node;
    }
    node->name = lm_jexpect_name(p);
    if (!attributes || !lm_jtake(p, ".")) return node;
    lm_jnode *member = wrap(p, LM_JN_ATTRIBUTE, node, NULL);
    member->name = lm_jexpect_name(p);
    return member;
}

lm_jnode *lm_jparse_target(lm_jparser *p, bool attributes)
{
    lm_jenter(p->c);
    lm_jnode *first = one_target(p, attributes), **tail = &first->next;
    p->c->depth--;
    if (!lm_jpeek(p, ",")) return first;
    lm_jnode *node = lm_jnode_new(p, LM_JN_TUPLE);
    node->list = first;
    while (lm_jtake(p, ",") && (p->at->kind == LM_JT_NAME || lm_jpeek(p, "(")) && !lm_jpeek_name(p, "in")) {
        *tail = one_target(p, attributes);
        tail = &(*tail)->next;
    }
    return node;
}

lm_jnode *lm_jparse_parameters(lm_jparser *p)
{
    lm_jnode *first = NULL, **tail = &first;
    lm_jexpect(p, "(");
    while (!lm_jpeek(p, ")")) {
        lm_jnode *node = lm_jnode_new(p, LM_JN_ARGUMENT);
        node->name = lm_jexpect_name(p);
        if (lm_jtake(p, "=")) node->a = lm_jparse_expression(p);
        *tail = node;
        tail = &node->next;
        if (!lm_jtake(p, ",")) break;
    }
    lm_jexpect(p, ")");
    return first;
}
