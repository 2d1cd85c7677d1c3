/* Methods of Python's strings and dictionaries, and what `loop` offers.  Those that change a value are
 * refused, as by transformers' sandbox. */
#include "data/jinja_value.h"
#include "token/unicode.h"

#include <string.h>

#define METHOD(name) static lm_jv name(lm_jcontext *c, lm_jv self, const lm_jv *a, const lm_jargs *args)
#define UNUSED (void)c, (void)a, (void)args

static lm_jv text_of(lm_jcontext *c, lm_jv v)
{
    if (v.kind != LM_J_TEXT) lm_jfail(c, LM_E_FORMAT, "expected a string, found %s", lm_jkind_name(v));
    return v;
}

static int64_t whole_or(lm_jcontext *c, lm_jv v, int64_t fallback)
{
    if (v.kind == LM_J_ABSENT || v.kind == LM_J_NONE) return fallback;
    if (!lm_jis_whole(v)) lm_jfail(c, LM_E_FORMAT, "expected an integer, found %s", lm_jkind_name(v));
    return lm_jwhole(v);
}

/* ---- edges ------------------------------------------------------------------------------------ */

METHOD(m_strip) { (void)args; return lm_jstrip(c, self, a[0], true, true); }
METHOD(m_lstrip) { (void)args; return lm_jstrip(c, self, a[0], true, false); }
METHOD(m_rstrip) { (void)args; return lm_jstrip(c, self, a[0], false, true); }

static bool begins(lm_jv text, lm_jv with) { return text.n >= with.n && !memcmp(text.bytes, with.bytes, with.n); }
static bool ends(lm_jv text, lm_jv with) { return text.n >= with.n && !memcmp(text.bytes + text.n - with.n, with.bytes, with.n); }

/* One string, or any of a tuple of them. */
static lm_jv any_edge(lm_jcontext *c, lm_jv self, lm_jv with, bool (*edge)(lm_jv, lm_jv))
{
    if (with.kind != LM_J_TUPLE) return lm_jbool(edge(self, text_of(c, with)));
    for (size_t i = 0; i < with.n; i++)
        if (edge(self, text_of(c, with.items[i]))) return lm_jbool(true);
    return lm_jbool(false);
}

METHOD(m_startswith) { (void)args; return any_edge(c, self, a[0], begins); }
METHOD(m_endswith) { (void)args; return any_edge(c, self, a[0], ends); }

METHOD(m_removeprefix) { (void)args; return begins(self, text_of(c, a[0])) ? lm_jpart(self, a[0].n, self.n) : self; }
METHOD(m_removesuffix) { (void)args; return ends(self, text_of(c, a[0])) ? lm_jpart(self, 0, self.n - a[0].n) : self; }

/* ---- splitting and joining ------------------------------------------------------------------------ */

/* Where `part` stands last before `end`, or SIZE_MAX. */
static size_t find_last(lm_jcontext *c, lm_jv whole, lm_jv part, size_t end)
{
    size_t found = SIZE_MAX, at = 0;
    lm_jv head = lm_jpart(whole, 0, end);
    while ((at = lm_jfind_text(c, head, part, at)) != SIZE_MAX) found = at++;
    return found;
}

METHOD(m_split)
{
    (void)args;
    int64_t most = whole_or(c, a[1], -1);
    if (a[0].kind == LM_J_ABSENT || a[0].kind == LM_J_NONE) return lm_jsplit_space(c, self, most);
    lm_jv separator = text_of(c, a[0]);
    if (!separator.n) lm_jfail(c, LM_E_FORMAT, "'split' by an empty string");
    size_t n = 0, cap = 1;
    for (size_t at = 0; (at = lm_jfind_text(c, self, separator, at)) != SIZE_MAX; at += separator.n) cap++;
    lm_jv *items = lm_jalloc(c, cap * sizeof *items);
    size_t begin = 0;
    for (size_t at; (most < 0 || (int64_t)n < most) && (at = lm_jfind_text(c, self, separator, begin)) != SIZE_MAX;) {
        items[n++] = lm_jpart(self, begin, at);
        begin = at + separator.n;
        lm_jcharge(c, 1);
    }
    items[n++] = lm_jpart(self, begin, self.n);
    return lm_jsequence(LM_J_LIST, items, n);
}

METHOD(m_rsplit)
{
    int64_t most = whole_or(c, a[1], -1);
    if (most < 0) return m_split(c, self, a, args);
    lm_jv separator = text_of(c, a[0]);
    if (!separator.n) lm_jfail(c, LM_E_FORMAT, "'rsplit' by an empty string");
    if (most > (int64_t)self.n) most = (int64_t)self.n;
    lm_jv *items = lm_jalloc(c, ((size_t)most + 1) * sizeof *items);
    size_t n = 0, end = self.n;
    for (size_t at; (int64_t)n < most && (at = find_last(c, self, separator, end)) != SIZE_MAX; end = at)
        items[n++] = lm_jpart(self, at + separator.n, end);
    items[n++] = lm_jpart(self, 0, end);
    return lm_jslice(c, lm_jsequence(LM_J_LIST, items, n), lm_jnone(), lm_jnone(), lm_jint(-1));
}

static lm_jv halves(lm_jcontext *c, lm_jv self, lm_jv separator, size_t at, bool from_left)
{
    lm_jv *items = lm_jalloc(c, 3 * sizeof *items), none = lm_jtext("", 0);
    bool found = at != SIZE_MAX;
    items[0] = found ? lm_jpart(self, 0, at) : from_left ? self : none;
    items[1] = found ? separator : none;
    items[2] = found ? lm_jpart(self, at + separator.n, self.n) : from_left ? none : self;
    return lm_jsequence(LM_J_TUPLE, items, 3);
}

METHOD(m_partition) { (void)args; return halves(c, self, text_of(c, a[0]), lm_jfind_text(c, self, a[0], 0), true); }
METHOD(m_rpartition) { (void)args; return halves(c, self, text_of(c, a[0]), find_last(c, self, a[0], self.n), false); }

/* Lines end at \n, \r, \r\n and the rarer separators of Python's splitlines. */
METHOD(m_splitlines)
{
    (void)args;
    lm_jv *items = lm_jalloc(c, (self.n + 1) * sizeof *items);
    size_t n = 0;
    for (size_t at = 0, begin = 0; at < self.n;) {
        uint32_t rune;
        size_t end = at;
        at += (size_t)lm_utf8_decode(self.bytes + at, self.n - at, &rune);
        bool breaks = (rune >= 0x0A && rune <= 0x0D) || (rune >= 0x1C && rune <= 0x1E) || rune == 0x85 || rune == 0x2028 || rune == 0x2029;
        if (!breaks && at < self.n) continue;
        if (rune == '\r' && at < self.n && self.bytes[at] == '\n') at++;
        items[n++] = lm_jpart(self, begin, !breaks || lm_jtruth(a[0]) ? at : end);
        begin = at;
    }
    return lm_jsequence(LM_J_LIST, items, n);
}

METHOD(m_join)
{
    (void)args;
    lm_jv list = lm_jiterate(c, a[0]);
    lm_jbuild b = { .c = c };
    for (size_t i = 0; i < list.n; i++) {
        if (i) lm_jput_str(&b, self);
        lm_jput_str(&b, text_of(c, list.items[i]));
    }
    return lm_jbuilt(&b);
}

METHOD(m_replace)
{
    (void)args;
    return lm_jreplace(c, self, text_of(c, a[0]), text_of(c, a[1]), whole_or(c, a[2], -1));
}

/* ---- searching ---------------------------------------------------------------------------------------- */

static lm_jv rune_index(lm_jcontext *c, lm_jv self, size_t at)
{
    return lm_jint(at == SIZE_MAX ? -1 : lm_jlength(c, lm_jpart(self, 0, at)));
}

METHOD(m_find) { (void)args; return rune_index(c, self, lm_jfind_text(c, self, text_of(c, a[0]), 0)); }
METHOD(m_rfind) { (void)args; return rune_index(c, self, find_last(c, self, text_of(c, a[0]), self.n)); }

METHOD(m_index)
{
    lm_jv at = m_find(c, self, a, args);
    if (at.whole < 0) lm_jfail(c, LM_E_FORMAT, "'index': no such part in the string");
    return at;
}

METHOD(m_count)
{
    (void)args;
    lm_jv part = text_of(c, a[0]);
    if (!part.n) return lm_jint(lm_jlength(c, self) + 1);
    int64_t n = 0;
    for (size_t at = 0; (at = lm_jfind_text(c, self, part, at)) != SIZE_MAX; at += part.n) n++, lm_jcharge(c, 1);
    return lm_jint(n);
}

/* ---- letters ------------------------------------------------------------------------------------------- */

METHOD(m_upper) { UNUSED; return lm_jupper(c, self); }
METHOD(m_lower) { UNUSED; return lm_jlower(c, self); }
METHOD(m_title) { UNUSED; return lm_jtitle(c, self, false); }
METHOD(m_capitalize) { UNUSED; return lm_jtitle(c, self, true); }

/* Whether there are characters, and all are of these categories (0: white space). */
static lm_jv all_of(lm_jv text, unsigned categories)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        i += (size_t)lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        if (!(categories ? lm_rune_in(rune, categories) : lm_jis_space(rune))) return lm_jbool(false);
    }
    return lm_jbool(text.n > 0);
}

METHOD(m_isalpha) { UNUSED; return all_of(self, LM_LETTERS); }
METHOD(m_isalnum) { UNUSED; return all_of(self, LM_LETTERS | LM_NUMBERS); }
METHOD(m_isdigit) { UNUSED; return all_of(self, LM_CATEGORY(LM_ND)); }
METHOD(m_isspace) { UNUSED; return all_of(self, 0); }

static lm_jv by_test(lm_jcontext *c, lm_jv self, const char *test)
{
    const lm_jargs none = { 0 };
    return lm_jcall_builtin(c, lm_jtest_find(lm_span_of(test, strlen(test))), self, &none);
}

METHOD(m_isupper) { UNUSED; return by_test(c, self, "upper"); }
METHOD(m_islower) { UNUSED; return by_test(c, self, "lower"); }

/* ---- format --------------------------------------------------------------------------------------------- */

/* The argument that {0}, {name} or {} (the next) asks for. */
static lm_jv field(lm_jcontext *c, const lm_jargs *args, lm_span name, size_t *next)
{
    bool digits = true;
    size_t index = 0;
    for (size_t i = 0; i < name.len; i++) {
        digits &= name.data[i] >= '0' && name.data[i] <= '9';
        if (digits && index < 1000) index = 10 * index + (size_t)(name.data[i] - '0');
    }
    if (!name.len) index = (*next)++;
    for (size_t i = 0; !digits && i < args->n_named; i++)
        if (args->names[i].len == name.len && !memcmp(args->names[i].data, name.data, name.len)) return args->items[args->n + i];
    if (!digits || index >= args->n)
        lm_jfail(c, LM_E_UNSUPPORTED, "'format' has no argument for {%.*s}", (int)(name.len < 60 ? name.len : 60), name.data);
    return args->items[index];
}

METHOD(m_format)
{
    (void)a;
    lm_jbuild b = { .c = c };
    size_t next = 0;
    for (size_t i = 0; i < self.n;) {
        char brace = self.bytes[i];
        if ((brace != '{' && brace != '}') || (i + 1 < self.n && self.bytes[i + 1] == brace)) {
            lm_jput(&b, self.bytes + i, 1, self.marks ? self.marks + i : NULL);
            i += brace == '{' || brace == '}' ? 2 : 1;
            continue;
        }
        const char *end = memchr(self.bytes + i, '}', self.n - i);
        if (brace == '}' || !end) lm_jfail(c, LM_E_FORMAT, "'format': a single '%c'", brace);
        lm_span name = lm_span_of(self.bytes + i + 1, (size_t)(end - self.bytes) - i - 1);
        lm_jput_str(&b, field(c, args, name, &next));
        i = (size_t)(end - self.bytes) + 1;
    }
    return lm_jbuilt(&b);
}

/* ---- dictionaries ------------------------------------------------------------------------------------------ */

METHOD(m_items) { UNUSED; return lm_jcall_builtin(c, lm_jfilter_find(lm_span_of("items", 5)), self, args); }
METHOD(m_keys) { UNUSED; return lm_jiterate(c, self); }

METHOD(m_values)
{
    UNUSED;
    lm_jv *items = lm_jalloc(c, self.n * sizeof *items);
    for (size_t i = 0; i < self.n; i++) items[i] = self.items[2 * i + 1];
    return lm_jsequence(LM_J_LIST, items, self.n);
}

METHOD(m_get)
{
    (void)args;
    const lm_jv *found = lm_jfind(c, self, a[0]);
    return found ? *found : a[1].kind == LM_J_ABSENT ? lm_jnone() : a[1];
}

METHOD(m_copy) { UNUSED; return self; }

METHOD(m_list_count)
{
    (void)args;
    int64_t n = 0;
    for (size_t i = 0; i < self.n; i++) n += lm_jequal(c, self.items[i], a[0]);
    return lm_jint(n);
}

METHOD(m_list_index)
{
    (void)args;
    for (size_t i = 0; i < self.n; i++)
        if (lm_jequal(c, self.items[i], a[0])) return lm_jint((int64_t)i);
    lm_jfail(c, LM_E_FORMAT, "'index': no such item in the list");
}

METHOD(m_changes)
{
    (void)self, UNUSED;
    lm_jfail(c, LM_E_UNSUPPORTED, "a method that changes %s; values are immutable here, use a namespace", lm_jkind_name(self));
}

/* ---- loop ------------------------------------------------------------------------------------------------------ */

METHOD(m_cycle)
{
    (void)a;
    if (!args->n) lm_jfail(c, LM_E_FORMAT, "'cycle' needs values");
    return args->items[self.loop->at % args->n];
}

METHOD(m_changed)
{
    (void)a;
    lm_jv now = lm_jsequence(LM_J_TUPLE, args->items, args->n), before = self.loop->changed;
    self.loop->changed = now;
    return lm_jbool(before.kind == LM_J_ABSENT || !lm_jequal(c, before, now));
}

lm_jv lm_jloop_attribute(lm_jcontext *c, lm_jv v, lm_span name)
{
    const lm_jloop *loop = v.loop;
    int64_t at = (int64_t)loop->at, n = (int64_t)loop->n;
    const struct { const char *name; lm_jv value; } members[] = {
        { "index", lm_jint(at + 1) },        { "index0", lm_jint(at) },        { "first", lm_jbool(at == 0) },
        { "last", lm_jbool(at + 1 == n) },   { "length", lm_jint(n) },         { "revindex", lm_jint(n - at) },
        { "revindex0", lm_jint(n - at - 1) }, { "depth", lm_jint(loop->depth) }, { "depth0", lm_jint(loop->depth - 1) },
    };
    (void)c;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (lm_span_eq(name, members[i].name)) return members[i].value;
    if (lm_span_eq(name, "previtem") && at > 0) return loop->items[at - 1];
    if (lm_span_eq(name, "nextitem") && at + 1 < n) return loop->items[at + 1];
    return lm_jundefined(name);
}

/* ---- the tables --------------------------------------------------------------------------------------------------- */

static const lm_jbuiltin text_methods[] = {
    { "capitalize", "", 0, m_capitalize },   { "count", "sub", 1, m_count },         { "endswith", "suffix", 1, m_endswith },
    { "find", "sub", 1, m_find },            { "format", NULL, 0, m_format },        { "index", "sub", 1, m_index },
    { "isalnum", "", 0, m_isalnum },         { "isalpha", "", 0, m_isalpha },        { "isdecimal", "", 0, m_isdigit },
    { "isdigit", "", 0, m_isdigit },         { "islower", "", 0, m_islower },        { "isspace", "", 0, m_isspace },
    { "isupper", "", 0, m_isupper },         { "join", "iterable", 1, m_join },      { "lower", "", 0, m_lower },
    { "lstrip", "chars", 0, m_lstrip },      { "partition", "sep", 1, m_partition }, { "removeprefix", "prefix", 1, m_removeprefix },
    { "removesuffix", "suffix", 1, m_removesuffix }, { "replace", "old new count", 2, m_replace },
    { "rfind", "sub", 1, m_rfind },          { "rpartition", "sep", 1, m_rpartition }, { "rsplit", "sep maxsplit", 0, m_rsplit },
    { "rstrip", "chars", 0, m_rstrip },      { "split", "sep maxsplit", 0, m_split }, { "splitlines", "keepends", 0, m_splitlines },
    { "startswith", "prefix", 1, m_startswith }, { "strip", "chars", 0, m_strip },   { "title", "", 0, m_title },
    { "upper", "", 0, m_upper },             { 0 },
};

static const lm_jbuiltin list_methods[] = {
    { "append", NULL, 0, m_changes },    { "clear", NULL, 0, m_changes },   { "copy", "", 0, m_copy },
    { "count", "value", 1, m_list_count }, { "extend", NULL, 0, m_changes }, { "index", "value", 1, m_list_index },
    { "insert", NULL, 0, m_changes },    { "pop", NULL, 0, m_changes },     { "remove", NULL, 0, m_changes },
    { "reverse", NULL, 0, m_changes },   { "sort", NULL, 0, m_changes },    { 0 },
};

static const lm_jbuiltin dict_methods[] = {
    { "clear", NULL, 0, m_changes },     { "copy", "", 0, m_copy },         { "get", "key default", 1, m_get },
    { "items", "", 0, m_items },         { "keys", "", 0, m_keys },         { "pop", NULL, 0, m_changes },
    { "popitem", NULL, 0, m_changes },   { "setdefault", NULL, 0, m_changes }, { "update", NULL, 0, m_changes },
    { "values", "", 0, m_values },       { 0 },
};

static const lm_jbuiltin loop_methods[] = { { "changed", NULL, 0, m_changed }, { "cycle", NULL, 0, m_cycle }, { 0 } };

const lm_jbuiltin *lm_jmethod_find(lm_jv self, lm_span name)
{
    const lm_jbuiltin *table = self.kind == LM_J_TEXT ? text_methods : lm_jis_list(self) ? list_methods
                               : self.kind == LM_J_DICT ? dict_methods : self.kind == LM_J_LOOP ? loop_methods : NULL;
    return table ? lm_jlookup(table, name) : NULL;
}
