/* Texts with places: {field}, {field|filter|filter}; {{ and }} are braces.
 *
 *   은/는, 을/를, 이라는/라는, ..     the particle that fits, behind the value
 *   「」, "", (), ..                   brackets around it (two characters that are no letters)
 *   lower, first_upper, first_lower    its letters
 *   commas, lines, bullets, letters, numbers     a list as text; commas unless told otherwise */
#include "data/instruct_set.h"

#include "data/particle.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *name; lm_filter_kind kind; } named[] = {
    { "lower", LM_F_LOWER }, { "first_upper", LM_F_FIRST_UPPER }, { "first_lower", LM_F_FIRST_LOWER }, { "commas", LM_F_COMMAS }, { "lines", LM_F_LINES },
    { "bullets", LM_F_BULLETS }, { "letters", LM_F_LETTERS }, { "numbers", LM_F_NUMBERS },
};

/* ---- reading ---- */

static bool read_pair(lm_place_filter *f, lm_span text)
{
    const char *slash = memchr(text.data, '/', text.len);
    size_t before = slash ? (size_t)(slash - text.data) : 0;
    if (!before || before + 1 == text.len || (unsigned char)*text.data < 0x80) return false;
    *f = (lm_place_filter){ LM_F_PARTICLE, lm_strndup(text.data, before), lm_strndup(slash + 1, text.len - before - 1) };
    return true;
}

static bool read_brackets(lm_place_filter *f, lm_span text)
{
    uint32_t a, b;
    size_t n = (size_t)lm_rune_at(text.data, text.len, &a);
    if (n >= text.len || n + (size_t)lm_rune_at(text.data + n, text.len - n, &b) != text.len) return false;
    if (lm_rune_in(a, LM_LETTERS | LM_NUMBERS) || lm_rune_in(b, LM_LETTERS | LM_NUMBERS)) return false;
    *f = (lm_place_filter){ LM_F_WRAP, lm_strndup(text.data, n), lm_strndup(text.data + n, text.len - n) };
    return true;
}

static lm_status read_filter(lm_place_filter *f, lm_span text, lm_err *err)
{
    const char *names[sizeof named / sizeof *named + 1] = {0};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        names[i] = named[i].name;
        if (lm_span_eq(text, named[i].name)) return f->kind = named[i].kind, LM_OK;
    }
    if (text.len && (read_pair(f, text) || read_brackets(f, text))) return LM_OK;
    char *word = lm_strndup(text.data, text.len);
    const char *nearest = lm_nearest(word, names);
    lm_fail(err, LM_E_FORMAT,
            "no filter is called \"%.60s\"%s%s (there are particles such as 은/는, brackets such as 「」, lower, first_upper, first_lower, commas, lines, "
            "bullets, letters, numbers)", word, nearest ? "; the nearest is " : "", nearest ? nearest : "");
    free(word);
    return LM_E_FORMAT;
}

static lm_status unknown_field(const lm_template_set *set, lm_span name, lm_err *err)
{
    const char *names[LM_TEMPLATE_FIELDS + 1] = {0};
    lm_str all = {0};
    for (int i = 0; i < set->n_fields; i++) {
        names[i] = set->fields[i].name;
        if (all.len < 200) lm_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    char *word = lm_strndup(name.data, name.len);
    const char *nearest = lm_nearest(word, names);
    lm_fail(err, LM_E_FORMAT, "{%.60s}: no field is called that%s%s; there are %s", word, nearest ? "; the nearest is " : "", nearest ? nearest : "", all.data ? all.data : "none");
    free(word);
    lm_str_free(&all);
    return LM_E_FORMAT;
}

static lm_piece *add_piece(lm_places *out)
{
    out->pieces = lm_realloc(out->pieces, (size_t)(out->n + 1) * sizeof *out->pieces);
    out->pieces[out->n] = (lm_piece){ .field = -1 };
    return &out->pieces[out->n++];
}

static lm_span cut(lm_span *rest, char at)
{
    const char *end = memchr(rest->data, at, rest->len);
    lm_span first = lm_span_of(rest->data, end ? (size_t)(end - rest->data) : rest->len);
    *rest = end ? lm_span_of(end + 1, rest->len - first.len - 1) : lm_span_of(rest->data + rest->len, 0);
    return first;
}

static lm_status read_place(lm_places *out, const lm_template_set *set, lm_span inside, lm_err *err)
{
    lm_span rest = inside, name = cut(&rest, '|');
    lm_piece *piece = add_piece(out);
    bool more = name.len < inside.len;
    piece->field = lm_template_field_find(set, name);
    if (piece->field < 0) return unknown_field(set, name, err);
    out->fields |= UINT64_C(1) << piece->field;
    while (more) {
        lm_span filter = cut(&rest, '|');
        more = filter.data + filter.len < inside.data + inside.len;
        piece->filters = lm_realloc(piece->filters, (size_t)(piece->n + 1) * sizeof *piece->filters);
        piece->filters[piece->n] = (lm_place_filter){0};
        LM_TRY(read_filter(&piece->filters[piece->n], filter, err));
        piece->n++;
    }
    return LM_OK;
}

static void end_text(lm_places *out, lm_str *text)
{
    if (text->len) add_piece(out)->text = lm_str_take(text);
    lm_str_free(text);
}

lm_status lm_places_compile(lm_places *out, const lm_template_set *set, const char *text, lm_span *at, lm_err *err)
{
    lm_str plain = {0};
    lm_status status = LM_OK;
    for (const char *p = text; *p && status == LM_OK;) {
        if ((*p == '{' || *p == '}') && p[1] == *p) {
            lm_str_putc(&plain, *p);
            p += 2;
        } else if (*p == '{') {
            size_t n = strcspn(p + 1, "{}\n");
            *at = lm_span_of(p, n + 1 + (p[n + 1] == '}'));
            end_text(out, &plain);
            if (p[n + 1] != '}') status = lm_fail(err, LM_E_FORMAT, "{ without }; a brace of its own is written {{");
            else status = read_place(out, set, lm_span_of(p + 1, n), err);
            p += n + 2 - (status != LM_OK);
        } else if (*p == '}') {
            *at = lm_span_of(p, 1);
            status = lm_fail(err, LM_E_FORMAT, "} without {; a brace of its own is written }}");
        } else lm_str_putc(&plain, *p++);
    }
    end_text(out, &plain);
    return status;
}

void lm_places_free(lm_places *places)
{
    for (int i = 0; i < places->n; i++) {
        lm_piece *piece = &places->pieces[i];
        for (int f = 0; f < piece->n; f++) free(piece->filters[f].a), free(piece->filters[f].b);
        free(piece->filters);
        free(piece->text);
    }
    free(places->pieces);
    *places = (lm_places){0};
}

/* ---- writing ---- */

static void put_item(lm_str *out, const lm_json *item, size_t i, size_t n, lm_filter_kind how)
{
    const char *text = json_string_value(item);
    if (how == LM_F_BULLETS) lm_str_printf(out, "- %s", text);
    else if (how == LM_F_LETTERS && i < 26) lm_str_printf(out, "(%c) %s", (char)('A' + i), text);
    else if (how == LM_F_NUMBERS || how == LM_F_LETTERS) lm_str_printf(out, "%zu. %s", i + 1, text);
    else lm_str_puts(out, text);
    if (i + 1 < n) lm_str_puts(out, how == LM_F_COMMAS ? ", " : "\n");
}

static void put_value(lm_str *out, const lm_json *value, const lm_piece *piece)
{
    lm_filter_kind how = LM_F_COMMAS;
    if (json_is_string(value)) {
        lm_str_puts(out, json_string_value(value));
        return;
    }
    for (int i = 0; i < piece->n; i++)
        if (piece->filters[i].kind >= LM_F_COMMAS) how = piece->filters[i].kind;
    for (size_t i = 0, n = json_array_size(value); i < n; i++) put_item(out, json_array_get(value, i), i, n, how);
}

/* The first letter in capitals or not; ASCII alone has both here. */
static void first_letter(lm_str *text, bool upper)
{
    char *c = text->data;
    if (!text->len) return;
    if (upper && *c >= 'a' && *c <= 'z') *c -= 'a' - 'A';
    bool word = !upper && *c >= 'A' && *c <= 'Z' && !(text->len > 1 && c[1] >= 'A' && c[1] <= 'Z');      /* USA stays */
    if (word && !(c[0] == 'I' && (text->len == 1 || c[1] == ' ' || c[1] == '\''))) *c += 'a' - 'A';
}

static void apply(lm_str *text, const lm_place_filter *f)
{
    lm_str made = {0};
    lm_span was = lm_span_of(text->data ? text->data : "", text->len);
    if (f->kind == LM_F_PARTICLE) lm_korean_particle(text, lm_span_of(was.data, was.len), f->a, f->b);
    else if (f->kind == LM_F_FIRST_UPPER || f->kind == LM_F_FIRST_LOWER) first_letter(text, f->kind == LM_F_FIRST_UPPER);
    else if (f->kind == LM_F_WRAP || f->kind == LM_F_LOWER) {
        if (f->kind == LM_F_WRAP) lm_str_printf(&made, "%s%.*s%s", f->a, (int)was.len, was.data, f->b);
        else lm_unicode_lower(&made, was);
        lm_str_free(text);
        *text = made;
    }
}

void lm_places_write(lm_str *out, const lm_places *places, const lm_record *record)
{
    for (int i = 0; i < places->n; i++) {
        const lm_piece *piece = &places->pieces[i];
        lm_str value = {0};
        if (piece->text) lm_str_puts(out, piece->text);
        else put_value(&value, record->value[piece->field], piece);
        for (int f = 0; f < piece->n; f++) apply(&value, &piece->filters[f]);
        lm_str_append(out, value.data, value.len);
        lm_str_free(&value);
    }
}
