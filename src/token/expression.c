/* Oniguruma's expressions, in the syntax that the Hugging Face library reads (Ruby's), for PCRE2.
 *
 * Three things differ.  Characters: PCRE2 knows the Unicode version of the system, so every class and
 * property becomes explicit ranges of our own table.  Classes: here they nest and intersect ([a-z&&[^b]]).
 * Small print: ^ and $ stand at every line, {2,3}+ repeats and is not possessive, {2}? is optional and
 * not lazy, {,3} is a repetition, (?m) lets the dot match a newline, \h is a hexadecimal digit.
 *
 * Left out, and refused by name: \X \K \G \N \O \y, conditionals, calls, absence, (?x), POSIX brackets but
 * for space, digit, xdigit, blank and cntrl. */
#include "token/expression.h"
#include "token/runes.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 60 };

typedef struct reader {
    const char *at;                  /* NUL-terminated */
    lm_str *out;
    const char *expression, *name;
    int depth;
    lm_err *err;
} reader;

static lm_status refuse(const reader *r, const char *what)
{
    return lm_fail(r->err, LM_E_UNSUPPORTED, "%s: pattern \"%.200s\": %s is not supported", r->name, r->expression, what);
}

static lm_status broken(const reader *r, const char *expected)
{
    return lm_fail(r->err, LM_E_FORMAT, "%s: pattern \"%.200s\" does not compile: expected %s at byte %zu", r->name, r->expression, expected,
                   (size_t)(r->at - r->expression));
}

static bool take(reader *r, const char *text)
{
    if (!lm_starts_with(r->at, text)) return false;
    r->at += strlen(text);
    return true;
}

/* ---- escapes ------------------------------------------------------------------------------------ */

static int digit_of(char c, int base)
{
    int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : base;
    return value < base ? value : -1;
}

/* Up to `most` digits. */
static uint32_t take_number(reader *r, int base, int most)
{
    uint32_t value = 0;
    for (int i = 0; i < most && digit_of(*r->at, base) >= 0; i++) value = value * (uint32_t)base + (uint32_t)digit_of(*r->at++, base);
    return value;
}

/* \x41 \x{1F600} \u0041 \101 and the named controls, behind the backslash; false when it is no such escape. */
static bool take_code(reader *r, uint32_t *rune)
{
    static const char names[] = "tnrfvae", values[] = "\t\n\r\f\v\a\033";
    const char *named = *r->at ? strchr(names, *r->at) : NULL;
    if (named) return r->at++, *rune = (uint8_t)values[named - names], true;
    if (take(r, "x{")) {
        *rune = take_number(r, 16, 8);
        return take(r, "}");
    }
    if (*r->at == 'x' || *r->at == 'u') return *rune = take_number(r, 16, *r->at++ == 'x' ? 2 : 4), true;
    if (*r->at == '0') return *rune = take_number(r, 8, 3), true;
    return false;
}

/* What Oniguruma takes for a character of a word. */
static void add_words(lm_runes *set)
{
    lm_runes_add_categories(set, LM_LETTERS | LM_MARKS | LM_CATEGORY(LM_ND) | LM_CATEGORY(LM_NL) | LM_CATEGORY(LM_PC));
    lm_runes_add(set, 0xB2, 0xB3), lm_runes_add(set, 0xB9, 0xB9), lm_runes_add(set, 0xBC, 0xBE);
    lm_runes_add(set, 0x24B6, 0x24E9), lm_runes_add(set, 0x1F130, 0x1F149);
    lm_runes_add(set, 0x1F150, 0x1F169), lm_runes_add(set, 0x1F170, 0x1F189);
}

static void add_spaces(lm_runes *set)
{
    lm_runes_add(set, 9, 13), lm_runes_add(set, 0x85, 0x85);
    lm_runes_add_categories(set, LM_SEPARATORS);
}

static void add_hexadecimals(lm_runes *set) { lm_runes_add(set, '0', '9'), lm_runes_add(set, 'A', 'F'), lm_runes_add(set, 'a', 'f'); }

/* The class behind \s \w \d \h, or an upper-case letter for its complement, behind the backslash. */
static bool take_shorthand(reader *r, lm_runes *set, bool *negated)
{
    char letter = *r->at | 0x20;
    if (!*r->at || !strchr("swdh", letter)) return false;
    *negated = !(*r->at & 0x20);
    r->at++;
    if (letter == 's') add_spaces(set);
    if (letter == 'w') add_words(set);
    if (letter == 'd') lm_runes_add_categories(set, LM_CATEGORY(LM_ND));
    if (letter == 'h') add_hexadecimals(set);
    return true;
}

/* \p{...}, \p{^...} or \P{...}, behind the backslash; *found says whether it is one. */
static lm_status take_property(reader *r, lm_runes *set, bool *negated, bool *found)
{
    *found = r->at[0] == 'p' || r->at[0] == 'P';
    if (!*found) return LM_OK;
    *negated = *r->at++ == 'P';
    if (!take(r, "{")) return broken(r, "{ behind \\p");
    if (take(r, "^")) *negated = !*negated;
    const char *end = strchr(r->at, '}');
    if (!end) return broken(r, "} behind a property");
    if (!lm_runes_add_named(set, lm_span_of(r->at, (size_t)(end - r->at))))
        return lm_fail(r->err, LM_E_UNSUPPORTED, "%s: pattern \"%.200s\": property \\p{%.*s} is not supported", r->name, r->expression,
                       (int)(end - r->at < 40 ? end - r->at : 40), r->at);
    r->at = end + 1;
    return LM_OK;
}

/* ---- classes -------------------------------------------------------------------------------------- */

static lm_status read_class(reader *r, lm_runes *set, bool *negated);

static void add_signed(lm_runes *set, lm_runes *members, bool negated)
{
    if (negated) lm_runes_invert(members);
    lm_runes_add_set(set, members);
}

static lm_status read_posix(reader *r, lm_runes *set)
{
    bool negated = take(r, "^");
    lm_runes members = lm_runes_new();
    lm_status status = LM_OK;
    if (take(r, "space:]")) add_spaces(&members);
    else if (take(r, "digit:]")) lm_runes_add_categories(&members, LM_CATEGORY(LM_ND));
    else if (take(r, "xdigit:]")) add_hexadecimals(&members);
    else if (take(r, "blank:]")) lm_runes_add(&members, 9, 9), lm_runes_add_categories(&members, LM_CATEGORY(LM_ZS));
    else if (take(r, "cntrl:]")) lm_runes_add_categories(&members, LM_CATEGORY(LM_CC));
    else status = refuse(r, "this POSIX bracket");
    add_signed(set, &members, negated);
    lm_runes_free(&members);
    return status;
}

/* One character of a class, for a range; false when a whole set stands there, which is added. */
static lm_status read_member(reader *r, lm_runes *set, uint32_t *rune, bool *single)
{
    *single = false;
    if (take(r, "[:")) return read_posix(r, set);
    if (*r->at == '[' || *r->at == '\\') {
        bool nested = *r->at++ == '[', negated = false, found = false;
        lm_runes members = lm_runes_new();
        lm_status status = LM_OK;
        if (nested) status = read_class(r, &members, &negated);
        else if (!take_shorthand(r, &members, &negated)) status = take_property(r, &members, &negated, &found);
        else found = true;
        if (!status && (nested || found)) add_signed(set, &members, negated);
        lm_runes_free(&members);
        if (status || nested || found) return status;
        *single = true;
        if (take(r, "b")) return *rune = '\b', LM_OK;
        if (take_code(r, rune)) return *rune < LM_RUNES ? LM_OK : broken(r, "a code point");
        if ((*r->at >= 'a' && *r->at <= 'z') || (*r->at >= 'A' && *r->at <= 'Z') || (*r->at >= '1' && *r->at <= '9')) return refuse(r, "an escape in a class");
    }
    *single = true;
    if (!*r->at) return broken(r, "] at the end of a class");
    r->at += lm_rune_at(r->at, strlen(r->at), rune);
    return LM_OK;
}

/* The members up to && or the bracket. */
static lm_status read_members(reader *r, lm_runes *set, bool first)
{
    for (; *r->at && (*r->at != ']' || first) && !lm_starts_with(r->at, "&&"); first = false) {
        uint32_t from, to;
        bool single;
        LM_TRY(read_member(r, set, &from, &single));
        if (!single) continue;
        to = from;
        if (r->at[0] == '-' && r->at[1] != ']' && r->at[1]) {
            r->at++;
            LM_TRY(read_member(r, set, &to, &single));
            if (!single || to < from) return broken(r, "an ascending range of characters");
        }
        lm_runes_add(set, from, to);
    }
    return LM_OK;
}

/* Behind the opening bracket. */
static lm_status read_class(reader *r, lm_runes *set, bool *negated)
{
    if (++r->depth > MAX_DEPTH) return refuse(r, "nesting as deep as this");
    *negated = take(r, "^");
    LM_TRY(read_members(r, set, true));
    while (take(r, "&&")) {
        lm_runes right = lm_runes_new();
        lm_status status = read_members(r, &right, false);
        lm_runes_keep(set, &right);
        lm_runes_free(&right);
        LM_TRY(status);
    }
    r->depth--;
    return take(r, "]") ? LM_OK : broken(r, "] at the end of a class");
}

static void print_class(reader *r, const lm_runes *set, bool negated)
{
    size_t before = r->out->len;
    lm_str_puts(r->out, negated ? "[^" : "[");
    lm_runes_print(set, r->out);
    lm_str_putc(r->out, ']');
    if (r->out->len - before > 2 + (size_t)negated) return;
    r->out->len = before;                                /* nothing is in it */
    lm_str_puts(r->out, negated ? "(?s:.)" : "(?!)");
}

/* ---- atoms -------------------------------------------------------------------------------------------- */

static lm_status alternatives(reader *r);

/* What stands between "(?" and its body.  Options without a body of their own (*rest) hold for the rest of
 * the group around them, its alternatives included. */
static lm_status group_head(reader *r, bool *rest)
{
    static const char *const same[] = { ":", "=", "!", "<=", "<!", ">", NULL };
    for (const char *const *head = same; *head; head++)
        if (take(r, *head)) return lm_str_puts(r->out, *head), LM_OK;
    if (*r->at == '<' || *r->at == '\'') return refuse(r, "a group with a name");
    for (; *r->at && *r->at != ':' && *r->at != ')'; r->at++) {
        if (!strchr("im-", *r->at)) return refuse(r, "this group");
        lm_str_putc(r->out, *r->at == 'm' ? 's' : *r->at);
    }
    lm_str_putc(r->out, ':');
    *rest = !take(r, ":");
    return !*rest || take(r, ")") ? LM_OK : broken(r, ")");
}

static lm_status group(reader *r)
{
    if (take(r, "?#")) {
        const char *end = strchr(r->at, ')');
        if (!end) return broken(r, ") at the end of a comment");
        r->at = end + 1;
        return LM_OK;
    }
    bool rest = false;
    lm_str_putc(r->out, '(');
    if (take(r, "?")) {
        lm_str_putc(r->out, '?');
        LM_TRY(group_head(r, &rest));
    }
    if (++r->depth > MAX_DEPTH) return refuse(r, "nesting as deep as this");
    LM_TRY(alternatives(r));
    r->depth--;
    if (!rest && !take(r, ")")) return broken(r, ")");
    lm_str_putc(r->out, ')');
    return LM_OK;
}

static void literal(reader *r, uint32_t rune)
{
    if (rune && rune < 0x80 && strchr("\\^$.[]|()?*+{}#", (int)rune)) lm_str_putc(r->out, '\\');
    if (rune < 0x20) lm_str_printf(r->out, "\\x{%x}", (unsigned)rune);
    else lm_str_put_rune(r->out, rune);
}

static lm_status boundary(reader *r, bool inside)
{
    lm_runes words = lm_runes_new();
    lm_str set = {0};
    add_words(&words);
    lm_runes_print(&words, &set);
    if (inside) lm_str_printf(r->out, "(?:(?<=[%s])(?=[%s])|(?<![%s])(?![%s]))", set.data, set.data, set.data, set.data);
    else lm_str_printf(r->out, "(?:(?<=[%s])(?![%s])|(?<![%s])(?=[%s]))", set.data, set.data, set.data, set.data);
    lm_str_free(&set);
    lm_runes_free(&words);
    return LM_OK;
}

/* Behind the backslash. */
static lm_status escape(reader *r)
{
    bool negated = false, found = true;
    uint32_t rune;
    lm_runes set = lm_runes_new();
    lm_status status = take_shorthand(r, &set, &negated) ? LM_OK : take_property(r, &set, &negated, &found);
    if (!status && found) print_class(r, &set, negated);
    lm_runes_free(&set);
    if (status || found) return status;
    char c = *r->at;
    if (c == 'b' || c == 'B') return r->at++, boundary(r, c == 'B');
    if (c == 'A' || c == 'z' || c == 'Z') return r->at++, lm_str_printf(r->out, "\\%c", c), LM_OK;
    if (take(r, "R")) return lm_str_puts(r->out, "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"), LM_OK;
    if (c >= '1' && c <= '9') return r->at++, lm_str_printf(r->out, "\\g{%c}", c), LM_OK;
    if (take_code(r, &rune)) return rune < LM_RUNES ? literal(r, rune), LM_OK : broken(r, "a code point");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return lm_fail(r->err, LM_E_UNSUPPORTED, "%s: pattern \"%.200s\": \\%c is not supported", r->name, r->expression, c);
    if (!c) return broken(r, "a character behind the backslash");
    r->at += lm_rune_at(r->at, strlen(r->at), &rune);
    literal(r, rune);
    return LM_OK;
}

static lm_status atom(reader *r)
{
    uint32_t rune;
    if (take(r, "(")) return group(r);
    if (take(r, "\\")) return escape(r);
    if (take(r, ".")) return lm_str_putc(r->out, '.'), LM_OK;
    if (take(r, "^")) return lm_str_puts(r->out, "(?m:^)"), LM_OK;
    if (take(r, "$")) return lm_str_puts(r->out, "(?m:$)"), LM_OK;
    if (*r->at == '*' || *r->at == '+' || *r->at == '?') return broken(r, "something to repeat");
    if (take(r, "[")) {
        bool negated = false;
        lm_runes set = lm_runes_new();
        lm_status status = read_class(r, &set, &negated);
        if (!status) print_class(r, &set, negated);
        lm_runes_free(&set);
        return status;
    }
    r->at += lm_rune_at(r->at, strlen(r->at), &rune);
    literal(r, rune);
    return LM_OK;
}

/* ---- repetition ------------------------------------------------------------------------------------------ */

/* {n} {n,} {,m} {n,m}; false when the brace is just a brace. */
static bool take_interval(reader *r, lm_str *repeat, bool *fixed)
{
    const char *start = r->at;
    if (!take(r, "{")) return false;
    bool low = digit_of(*r->at, 10) >= 0;
    uint32_t from = take_number(r, 10, 5), to = 0;
    bool comma = take(r, ","), high = comma && digit_of(*r->at, 10) >= 0;
    if (high) to = take_number(r, 10, 5);
    if (!take(r, "}") || (!low && !high)) return r->at = start, false;
    *fixed = !comma;
    lm_str_printf(repeat, "{%u", (unsigned)from);
    if (comma) lm_str_putc(repeat, ',');
    if (high) lm_str_printf(repeat, "%u", (unsigned)to);
    lm_str_putc(repeat, '}');
    return true;
}

/* Puts (?: ) around what was written since `begin`, so that the next repetition applies to all of it. */
static void enclose(reader *r, size_t begin)
{
    lm_str tail = {0};
    lm_str_append(&tail, r->out->data + begin, r->out->len - begin);
    r->out->len = begin;
    lm_str_puts(r->out, "(?:");
    lm_str_append(r->out, tail.data, tail.len);
    lm_str_putc(r->out, ')');
    lm_str_free(&tail);
}

static lm_status piece(reader *r)
{
    size_t begin = r->out->len;
    LM_TRY(atom(r));
    for (bool repeated = false;; repeated = true) {
        bool interval, fixed = false;
        lm_str repeat = {0};
        if ((interval = take_interval(r, &repeat, &fixed))) {
        } else if (*r->at && strchr("*+?", *r->at)) {
            lm_str_putc(&repeat, *r->at++);
        } else {
            return LM_OK;
        }
        if (!fixed && take(r, "?")) lm_str_putc(&repeat, '?');
        else if (!interval && take(r, "+")) lm_str_putc(&repeat, '+');
        if (repeated) enclose(r, begin);
        lm_str_append(r->out, repeat.data, repeat.len);
        lm_str_free(&repeat);
    }
}

static lm_status alternatives(reader *r)
{
    while (*r->at && *r->at != ')') {
        if (take(r, "|")) lm_str_putc(r->out, '|');
        else LM_TRY(piece(r));
    }
    return LM_OK;
}

lm_status lm_expression_translate(lm_str *out, const char *expression, const char *name, lm_err *err)
{
    reader r = { .at = expression, .out = out, .expression = expression, .name = name, .err = err };
    LM_TRY(alternatives(&r));
    return *r.at ? broken(&r, "no ) without its (") : LM_OK;
}
