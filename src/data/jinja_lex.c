/* Template text to tokens, with Jinja's rules for the white space around tags:
 *
 *   a newline that ends the template goes; so does one that follows a tag or a comment (trim_blocks), and
 *   the blanks of a line before a tag or a comment (lstrip_blocks); neither for {{ }};
 *   "-" inside a tag's edge takes all white space on that side, "+" keeps it. */
#define _GNU_SOURCE
#include "data/jinja_parse.h"

#include <string.h>

typedef struct lexer {
    lm_jcontext *c;
    const char *text;
    size_t n, at;
    int line;
    bool fresh;                      /* what precedes `at` ended a line */
    lm_jtoken *tokens;
    size_t count, cap;
} lexer;

static lm_jtoken *push(lexer *l, lm_jtoken_kind kind, const char *text, size_t n)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        lm_jtoken *tokens = lm_jalloc(l->c, cap * sizeof *tokens);
        if (l->count) memcpy(tokens, l->tokens, l->count * sizeof *tokens);
        l->tokens = tokens, l->cap = cap;
    }
    lm_jtoken *t = &l->tokens[l->count++];
    *t = (lm_jtoken){ .kind = kind, .line = l->line, .text = lm_span_of(text, n) };
    return t;
}

static void move_to(lexer *l, size_t to)
{
    for (; l->at < to; l->at++) l->line += l->text[l->at] == '\n';
    l->c->line = l->line;
}

static bool stands(const lexer *l, size_t at, const char *what)
{
    size_t n = strlen(what);
    return l->n - at >= n && !memcmp(l->text + at, what, n);
}

static size_t skip_space(const lexer *l, size_t at)
{
    lm_jv rest = lm_jtext(l->text + at, l->n - at);
    return at + rest.n - lm_jstrip(l->c, rest, lm_jnone(), true, false).n;
}

/* ---- text between tags ---------------------------------------------------------------- */

/* The template's own text [at, end) before a tag whose edge bears `sign`. */
static void push_data(lexer *l, size_t end, char sign, bool tag)
{
    lm_jv data = lm_jtext(l->text + l->at, end - l->at);
    if (sign == '-') data = lm_jstrip(l->c, data, lm_jnone(), false, true);
    else if (sign != '+' && tag) {
        const char *newline = data.n ? memrchr(data.bytes, '\n', data.n) : NULL;
        size_t start = newline ? (size_t)(newline - data.bytes) + 1 : 0;
        lm_jv last = lm_jpart(data, start, data.n);
        if ((newline || l->fresh) && !lm_jstrip(l->c, last, lm_jnone(), true, false).n) data.n = start;
    }
    if (data.n) push(l, LM_JT_DATA, data.bytes, data.n);
}

/* After a closing edge that ends at `end`: what white space goes with it. */
static void close_edge(lexer *l, size_t end, char sign, bool trims)
{
    if (sign == '-') end = skip_space(l, end);
    else if (sign != '+' && trims && end < l->n && l->text[end] == '\n') end++;
    move_to(l, end);
    l->fresh = end > 0 && l->text[end - 1] == '\n';
}

static void comment(lexer *l, size_t begin)
{
    const char *end = memmem(l->text + begin, l->n - begin, "#}", 2);
    if (!end) lm_jfail(l->c, LM_E_FORMAT, "a comment has no end; expected #}");
    size_t at = (size_t)(end - l->text);
    close_edge(l, at + 2, at > begin ? l->text[at - 1] : 0, true);
}

/* The end of a tag `word` that begins at `at`, behind its "{%" and sign; 0 when it is another tag. */
static size_t bare_tag(const lexer *l, size_t at, const char *word, char *sign)
{
    at = skip_space(l, at);
    if (!stands(l, at, word)) return 0;
    at = skip_space(l, at + strlen(word));
    *sign = at < l->n && (l->text[at] == '-' || l->text[at] == '+') ? l->text[at] : 0;
    at += *sign != 0;
    return stands(l, at, "%}") ? at + 2 : 0;
}

/* {% raw %} up to its end; l->at stands behind the opening tag. */
static void raw(lexer *l)
{
    for (size_t at = l->at; at < l->n; at++) {
        if (!stands(l, at, "{%")) continue;
        char open = at + 2 < l->n ? l->text[at + 2] : 0, sign;
        size_t end = bare_tag(l, at + 2 + (open == '-' || open == '+'), "endraw", &sign);
        if (!end) continue;
        push_data(l, at, open, true);
        close_edge(l, end, sign, true);
        return;
    }
    lm_jfail(l->c, LM_E_FORMAT, "{%% raw %%} has no {%% endraw %%}");
}

/* ---- inside tags ------------------------------------------------------------------------- */

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* One escape at s[0] (behind the backslash) into b; returns the bytes it took. */
static size_t escape(lexer *l, lm_jbuild *b, const char *s, size_t n)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *simple = *s ? strchr(from, *s) : NULL;
    if (simple) return lm_jput(b, &to[simple - from], 1, NULL), 1;
    if (*s == '\n') return 1;
    uint32_t rune = 0;
    size_t at = 1, digits = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
    if (*s >= '0' && *s <= '7') {
        for (at = 0; at < 3 && at < n && s[at] >= '0' && s[at] <= '7'; at++) rune = 8 * rune + (uint32_t)(s[at] - '0');
    } else if (!digits) {
        if (*s == 'N') lm_jfail(l->c, LM_E_UNSUPPORTED, "the escape \\N");
        return lm_jputs(b, "\\"), 0;
    }
    for (; at <= digits; at++) {
        if (at >= n || hex(s[at]) < 0) lm_jfail(l->c, LM_E_FORMAT, "expected %zu hexadecimal digits after \\%c", digits, *s);
        rune = 16 * rune + (uint32_t)hex(s[at]);
    }
    if (rune > 0x10FFFF || (rune >= 0xD800 && rune < 0xE000)) lm_jfail(l->c, LM_E_FORMAT, "\\%c%x is no character", *s, (unsigned)rune);
    lm_jput_rune(b, rune, 0);
    return at;
}

static void string(lexer *l)
{
    char quote = l->text[l->at];
    size_t begin = l->at + 1, end = begin;
    while (end < l->n && l->text[end] != quote) end += l->text[end] == '\\' && end + 1 < l->n ? 2 : 1;
    if (end >= l->n) lm_jfail(l->c, LM_E_FORMAT, "a string has no end; expected %c", quote);
    if (!memchr(l->text + begin, '\\', end - begin)) push(l, LM_JT_STRING, l->text + begin, end - begin);
    else {
        lm_jbuild b = { .c = l->c };
        for (size_t i = begin; i < end;) {
            if (l->text[i] != '\\') lm_jput(&b, l->text + i++, 1, NULL);
            else i += 1 + escape(l, &b, l->text + i + 1, end - i - 1);
        }
        lm_jv decoded = lm_jbuilt(&b);
        push(l, LM_JT_STRING, decoded.bytes, decoded.n);
    }
    move_to(l, end + 1);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) { return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80); }
static char peek(const lexer *l, size_t at) { return at < l->n ? l->text[at] : 0; }

static size_t digits(const lexer *l, size_t at)
{
    while (is_digit(peek(l, at)) || (peek(l, at) == '_' && is_digit(peek(l, at + 1)))) at++;
    return at;
}

static void number(lexer *l)
{
    size_t end = digits(l, l->at);
    bool real = false;
    if (l->text[l->at] == '0' && strchr("xXoObB", peek(l, end)) && peek(l, end)) {
        for (end++; is_name(peek(l, end)); end++) {}
    } else if (l->at == 0 || l->text[l->at - 1] != '.') {    /* a.0.1 are two items */
        if (peek(l, end) == '.' && is_digit(peek(l, end + 1))) end = digits(l, end + 1), real = true;
        if (peek(l, end) == 'e' || peek(l, end) == 'E') {
            size_t sign = peek(l, end + 1) == '+' || peek(l, end + 1) == '-';
            if (is_digit(peek(l, end + 1 + sign))) end = digits(l, end + 1 + sign), real = true;
        }
    }
    push(l, real ? LM_JT_REAL : LM_JT_INT, l->text + l->at, end - l->at);
    move_to(l, end);
}

static void operator(lexer *l)
{
    static const char *const operators[] = { "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")",
                                             "{", "}", ">", "<", "=", ".", ":", "|", ",", ";", NULL };
    for (const char *const *o = operators; *o; o++) {
        if (!stands(l, l->at, *o)) continue;
        push(l, LM_JT_OPERATOR, *o, strlen(*o));
        l->at += strlen(*o);
        return;
    }
    lm_jfail(l->c, LM_E_FORMAT, "unexpected character '%.*s'", (int)(l->n - l->at < 4 ? l->n - l->at : 1), l->text + l->at);
}

/* Whether the closing edge `mark` stands at l->at; takes it. */
static bool at_end(lexer *l, const char *mark, bool tag)
{
    char sign = l->text[l->at] == '-' || (l->text[l->at] == '+' && tag) ? l->text[l->at] : 0;
    size_t at = l->at + (sign != 0);
    if (!stands(l, at, mark)) return false;
    push(l, tag ? LM_JT_TAG_END : LM_JT_OUTPUT_END, l->text + l->at, 0);
    close_edge(l, at + 2, sign, tag);
    return true;
}

static void inside(lexer *l, bool tag)
{
    const char *mark = tag ? "%}" : "}}";
    int opening = l->line, open = 0;                     /* brackets: a }} inside of them is two braces */
    for (;;) {
        move_to(l, skip_space(l, l->at));
        if (l->at >= l->n) {
            l->c->line = opening;
            lm_jfail(l->c, LM_E_FORMAT, "%s has no end; expected %s", tag ? "{%" : "{{", mark);
        }
        if (open <= 0 && at_end(l, mark, tag)) return;
        char c = l->text[l->at];
        if (c == '\'' || c == '"') string(l);
        else if (is_digit(c)) number(l);
        else if (is_name(c)) {
            size_t end = l->at;
            while (is_name(peek(l, end))) end++;
            push(l, LM_JT_NAME, l->text + l->at, end - l->at);
            l->at = end;
        } else {
            open += (strchr("([{", c) && c) - (strchr(")]}", c) && c);
            operator(l);
        }
    }
}

/* ---- a template ---------------------------------------------------------------------------- */

/* The next "{{", "{%" or "{#" from l->at on, or l->n. */
static size_t next_tag(const lexer *l)
{
    for (size_t at = l->at; at + 1 < l->n; at++)
        if (l->text[at] == '{' && (l->text[at + 1] == '{' || l->text[at + 1] == '%' || l->text[at + 1] == '#')) return at;
    return l->n;
}

static void one_tag(lexer *l, size_t at)
{
    char kind = l->text[at + 1], sign = peek(l, at + 2), raw_sign;
    if (sign != '-' && sign != '+') sign = 0;
    size_t begin = at + 2 + (sign != 0);
    push_data(l, at, sign, kind != '{');
    move_to(l, begin);
    l->fresh = false;
    size_t raw_end = kind == '%' ? bare_tag(l, begin, "raw", &raw_sign) : 0;
    if (raw_end) {
        close_edge(l, raw_end, raw_sign == '-' ? '-' : '+', false);
        raw(l);
    } else if (kind == '#') comment(l, begin);
    else {
        push(l, kind == '%' ? LM_JT_TAG : LM_JT_OUTPUT, l->text + at, 2);
        inside(l, kind == '%');
    }
}

/* Line ends become "\n", and one at the end goes. */
static void take_source(lexer *l, const char *text, size_t n)
{
    char *copy = lm_jalloc(l->c, n);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n') continue;
        copy[l->n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (l->n && copy[l->n - 1] == '\n') l->n--;
    l->text = copy;
}

const lm_jtoken *lm_jinja_tokens(lm_jcontext *c, const char *text, size_t n)
{
    lexer l = { .c = c, .line = 1, .fresh = true };
    take_source(&l, text, n);
    for (size_t at; (at = next_tag(&l)) < l.n;) one_tag(&l, at);
    if (l.at < l.n) push(&l, LM_JT_DATA, l.text + l.at, l.n - l.at);
    push(&l, LM_JT_END, "", 0);
    return l.tokens;
}
