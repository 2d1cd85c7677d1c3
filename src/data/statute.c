#define _GNU_SOURCE                          /* memmem */
#include "data/statute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DATES = 64, TERM_BYTES = 120 };

typedef struct article {
    lm_span number, title;                   /* "제3조의2", "목적"; in the text, title.len 0: none */
    lm_str body;                             /* clean */
    int dates[MOST_DATES], n_dates;          /* of amendments, 20230808 */
    int repealed;                            /* 0: not, or nobody says when */
} article;

typedef struct act {
    lm_json *out;
    lm_str name, outline;                    /* outline: lines */
    article *articles;
    int n, chapters, in_force;
    lm_span chapter;                         /* under which articles stand, and those */
    int chapter_from;
} act;

/* ---- pieces of text ---- */

static bool begins(lm_span s, const char *with) { return s.len >= strlen(with) && !memcmp(s.data, with, strlen(with)); }
static lm_span skip(lm_span s, size_t n) { return lm_span_of(s.data + n, s.len - n); }

static lm_span trim(lm_span s)
{
    while (s.len && strchr(" \t\r", *s.data)) s = skip(s, 1);
    while (s.len && strchr(" \t\r", s.data[s.len - 1])) s.len--;
    return s;
}

static const char *find(lm_span s, const char *what) { return s.len ? memmem(s.data, s.len, what, strlen(what)) : NULL; }

static size_t digits(lm_span s)
{
    size_t n = 0;
    while (n < s.len && s.data[n] >= '0' && s.data[n] <= '9') n++;
    return n;
}

/* Bytes of "제3조의2" (for 조; also 장, 편) at the beginning; 0: it is none. */
static size_t number_of(lm_span s, const char *unit)
{
    if (!begins(s, "제")) return 0;
    size_t n = strlen("제"), d = digits(skip(s, n));
    n += d;
    if (!d || !begins(skip(s, n), unit)) return 0;
    n += strlen(unit);
    while (begins(skip(s, n), "의") && (d = digits(skip(s, n + strlen("의"))))) n += strlen("의") + d;
    return n;
}

/* ---- dates ---- */

/* Bytes of what stands between the parts of a date, "." or in older notes "ㆍ". */
static size_t separator(lm_span s) { return begins(s, ".") ? 1 : begins(s, "ㆍ") ? strlen("ㆍ") : 0; }

/* "2023.8.8" at the beginning as 20230808, its bytes in *n; 0: it is none. */
static int date_of(lm_span s, size_t *n)
{
    int part[3];
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        size_t d = digits(skip(s, at)), between = i < 2 && d ? separator(skip(s, at + d)) : 0;
        if (i ? d < 1 || d > 2 : d != 4) return 0;
        if (i < 2 && !between) return 0;
        part[i] = 0;
        for (size_t k = 0; k < d; k++) part[i] = part[i] * 10 + s.data[at + k] - '0';
        at += d + between;
    }
    *n = at;
    return part[1] >= 1 && part[1] <= 12 && part[2] >= 1 && part[2] <= 31 ? part[0] * 10000 + part[1] * 100 + part[2] : 0;
}

static void put_date(lm_str *out, int date) { lm_str_printf(out, "%d년 %d월 %d일", date / 10000, date / 100 % 100, date % 100); }

static void add_date(article *a, int date)
{
    int at = 0;
    while (at < a->n_dates && a->dates[at] < date) at++;
    if (a->n_dates == MOST_DATES || (at < a->n_dates && a->dates[at] == date)) return;
    memmove(a->dates + at + 1, a->dates + at, (size_t)(a->n_dates - at) * sizeof *a->dates);
    a->dates[at] = date;
    a->n_dates++;
}

/* ---- notes of amendment ---- */

/* The dates of <개정 ..> and [전문개정 ..]. */
static void read_note(article *a, lm_span note)
{
    if (!find(note, "개정")) return;
    for (size_t n = 0; note.len; note = skip(note, n ? n : 1)) {
        n = 0;
        int date = date_of(note, &n);
        if (date) add_date(a, date);
    }
}

static bool is_note(lm_span inside)
{
    static const char *const words[] = { "개정", "신설", "삭제", "이동", "시행일", "제목", "종전", "본조", "전문", "생략", "헌법불합치", "위헌", "유효기간",
                                         "법률 제" };
    size_t n = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins(inside, words[i])) return true;
    return date_of(inside, &n) || number_of(inside, "조") || (inside.len > 3 && find(inside, "이동"));
}

/* Where the note that begins at s ends ("<..>", or "[..]" with others in it), 0 where it is none. */
static size_t note_length(lm_span s)
{
    int depth = 0;
    bool angle = s.len && *s.data == '<', square = s.len && *s.data == '[';
    if (!angle && !square) return 0;
    for (size_t i = 0; i < s.len && s.data[i] != '\n'; i++) {
        depth += s.data[i] == (angle ? '<' : '[');
        depth -= s.data[i] == (angle ? '>' : ']');
        if (!depth) return is_note(lm_span_of(s.data + 1, i - 1)) ? i + 1 : 0;
    }
    return 0;
}

/* The line without notes, bold signs and escapes. */
static void clean(lm_str *out, article *a, lm_span line)
{
    size_t note, begin = out->len;
    while (line.len) {
        if ((note = note_length(line))) {
            if (a) read_note(a, lm_span_of(line.data, note));
            line = skip(line, note);
        } else if (begins(line, "**")) line = skip(line, 2);
        else {
            if (line.len > 1 && *line.data == '\\' && strchr(".-*[]()<>#_\\+!|~`", line.data[1])) line = skip(line, 1);
            lm_str_putc(out, *line.data);
            line = skip(line, 1);
        }
    }
    while (out->len > begin && strchr(" \t\r", out->data[out->len - 1])) out->len--;
    if (out->data) out->data[out->len] = '\0';
}

/* ---- reading ---- */

/* A chapter with its articles becomes a line of the outline. */
static void end_chapter(act *a)
{
    if (!a->chapter.len) return;
    if (a->outline.len) lm_str_putc(&a->outline, '\n');
    clean(&a->outline, NULL, a->chapter);
    if (a->chapter_from < a->n) {
        lm_span first = a->articles[a->chapter_from].number, last = a->articles[a->n - 1].number;
        if (a->chapter_from + 1 == a->n) lm_str_printf(&a->outline, " (%.*s)", (int)first.len, first.data);
        else lm_str_printf(&a->outline, " (%.*s부터 %.*s까지)", (int)first.len, first.data, (int)last.len, last.data);
    }
    a->chapter = lm_span_of(NULL, 0);
}

static void begin_chapter(act *a, lm_span heading, bool chapter)
{
    end_chapter(a);
    a->chapter = heading;
    a->chapter_from = a->n;
    a->chapters += chapter;
}

static void begin_article(act *a, lm_span heading)
{
    size_t n = number_of(heading, "조");
    if (!n) return;
    if ((a->n & (a->n - 1)) == 0) a->articles = lm_realloc(a->articles, (size_t)(a->n ? 2 * a->n : 1) * sizeof *a->articles);
    lm_span title = trim(skip(heading, n));
    bool in_brackets = title.len > 2 && *title.data == '(' && title.data[title.len - 1] == ')';
    a->articles[a->n++] = (article){ .number = lm_span_of(heading.data, n), .title = in_brackets ? lm_span_of(title.data + 1, title.len - 2) : lm_span_of(NULL, 0) };
}

/* A line that is a heading; false for the end of the act proper. */
static bool read_heading(act *a, lm_span line)
{
    size_t level = 0;
    while (level < line.len && line.data[level] == '#') level++;
    lm_span heading = trim(skip(line, level));
    if (begins(heading, "부칙")) return false;
    if (level == 5 || number_of(heading, "조")) begin_article(a, heading);
    else if (number_of(heading, "장")) begin_chapter(a, heading, true);
    else if (number_of(heading, "편")) begin_chapter(a, heading, false);
    else if (level == 1 && !a->n && !a->name.len) clean(&a->name, NULL, heading);       /* a row's "title" may be that of an annex */
    return true;
}

static void read_line(article *a, lm_span line)
{
    lm_str text = {0};
    clean(&text, a, begins(line, "  ") ? skip(line, 2) : line);
    lm_span kept = trim(lm_span_of(text.data ? text.data : "", text.len));
    if (begins(kept, "삭제") && !a->body.len) {
        size_t n = 0;
        const char *open = find(line, "<");
        a->repealed = open ? date_of(skip(line, (size_t)(open + 1 - line.data)), &n) : 0;
    }
    if (kept.len) lm_str_printf(&a->body, "%s%s", a->body.len ? "\n" : "", text.data);
    lm_str_free(&text);
}

static void read_text(act *a, lm_span text)
{
    bool inside = true;
    while (text.len && inside) {
        const char *newline = memchr(text.data, '\n', text.len);
        lm_span line = lm_span_of(text.data, newline ? (size_t)(newline - text.data) : text.len);
        text = skip(text, line.len + (newline != NULL));
        if (begins(line, "#")) inside = read_heading(a, line);
        else if (a->n && trim(line).len) read_line(&a->articles[a->n - 1], line);
    }
    end_chapter(a);
    for (int i = 0; i < a->n; i++) a->in_force += !begins(lm_span_of(a->articles[i].body.data ? a->articles[i].body.data : "", a->articles[i].body.len), "삭제");
}

/* ---- records ---- */

static lm_json *new_record(act *a)
{
    lm_json *record = json_pack("{s:s}", "act", a->name.data);
    json_array_append_new(a->out, record);
    return record;
}

static void set(lm_json *record, const char *key, lm_span value)
{
    if (value.len) json_object_set_new(record, key, json_stringn(value.data, value.len));
}

static void set_number(lm_json *record, const char *key, int value)
{
    lm_str text = {0};
    lm_str_printf(&text, "%d", value);
    json_object_set_new(record, key, json_string(text.data));
    lm_str_free(&text);
}

static void set_date(lm_json *record, const char *key, int date)
{
    lm_str text = {0};
    if (date) put_date(&text, date);
    set(record, key, lm_span_of(text.data, text.len));
    lm_str_free(&text);
}

/* ---- definitions ---- */

/* Bytes of what makes a definition of the quoted term before it: 란, 이란, 이라 함은, 라 함은. */
static size_t defines(lm_span s)
{
    static const char *const forms[] = { "이란 ", "란 ", "이라 함은 ", "라 함은 ", "이라함은 ", "라함은 " };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (begins(s, forms[i])) return strlen(forms[i]);
    return 0;
}

/* A line, and those under it, that defines a term. */
static void add_definition(act *a, const article *from, lm_span clause)
{
    const char *open = find(clause, "\""), *close = open ? memchr(open + 1, '"', (size_t)(clause.data + clause.len - open - 1)) : NULL;
    if (!close || close - open - 1 > TERM_BYTES || close == open + 1) return;
    lm_span term = lm_span_of(open + 1, (size_t)(close - open - 1)), rest = skip(clause, (size_t)(close + 1 - clause.data));
    size_t form = defines(rest);
    bool ends = rest.len > form && rest.data[rest.len - 1] == '.';
    if (!form || !ends) return;
    lm_json *record = new_record(a);
    set(record, "article", from->number);
    set(record, "term", term);
    set(record, "definition", trim(skip(rest, form)));
    set(record, "clause", lm_span_of(open, (size_t)(clause.data + clause.len - open)));
}

/* Each item that begins with a quoted term, and each paragraph that says what a term means in this act. */
static void add_definitions(act *a, const article *from)
{
    lm_span body = lm_span_of(from->body.data ? from->body.data : "", from->body.len);
    if (!find(from->title, "정의")) return;
    while (body.len) {
        const char *end = body.data;
        do {                                 /* a line and the deeper ones under it */
            end = memchr(end, '\n', (size_t)(body.data + body.len - end));
            end = end ? end + 1 : body.data + body.len;
        } while (end < body.data + body.len && *end == ' ');
        lm_span item = lm_span_of(body.data, (size_t)(end - body.data));
        if (item.len && item.data[item.len - 1] == '\n') item.len--;
        const char *quote = find(item, "\"");
        bool direct = quote && (quote - item.data < 24 || find(lm_span_of(item.data, (size_t)(quote - item.data)), "이 법에서"));
        if (direct) add_definition(a, from, item);
        body = skip(body, (size_t)(end - body.data));
    }
}

/* ---- gaps ---- */

static bool once(lm_span body, lm_span what)
{
    const char *first = memmem(body.data, body.len, what.data, what.len);
    return first && !memmem(first + 1, (size_t)(body.data + body.len - first - 1), what.data, what.len);
}

/* A number with what it counts, such as 30일 or 1천만원, that no reference to an article is part of. */
static lm_span find_quantity(lm_span body)
{
    static const char *const units[] = { "만원", "천만원", "억원", "개월", "일", "년", "명", "세", "퍼센트", "시간", "배", "회", "인 이내" };
    for (size_t i = 0; i < body.len; i++) {
        size_t n = digits(skip(body, i));
        if (!n) continue;
        bool reference = i >= 3 && !memcmp(body.data + i - 3, "제", 3), item = i + n < body.len && (body.data[i + n] == '.' || body.data[i + n] == ',');
        for (size_t u = 0; u < sizeof units / sizeof *units && !reference && !item; u++) {
            lm_span found = lm_span_of(body.data + i, n + strlen(units[u]));
            if (begins(skip(body, i + n), units[u]) && once(body, found)) return found;
        }
        i += n - 1;
    }
    return lm_span_of(NULL, 0);
}

/* The name of another act between 「 and 」. */
static lm_span find_other_act(lm_span body, const char *own)
{
    for (lm_span rest = body;;) {
        const char *open = find(rest, "「"), *close = open ? find(skip(rest, (size_t)(open - rest.data)), "」") : NULL;
        if (!close) return lm_span_of(NULL, 0);
        lm_span name = lm_span_of(open + 3, (size_t)(close - open - 3));
        if (name.len && !lm_span_eq(name, own) && once(body, name)) return name;
        rest = skip(rest, (size_t)(close + 3 - rest.data));
    }
}

static void add_gap(lm_json *record, lm_span body, const char *own)
{
    lm_span blank = find_quantity(body);
    lm_str gap = {0};
    if (!blank.len) blank = find_other_act(body, own);
    if (!blank.len) return;
    lm_str_append(&gap, body.data, (size_t)(blank.data - body.data));
    lm_str_puts(&gap, "____");
    lm_str_append(&gap, blank.data + blank.len, (size_t)(body.data + body.len - blank.data - blank.len));
    set(record, "gap", lm_span_of(gap.data, gap.len));
    set(record, "blank", blank);
    lm_str_free(&gap);
}

/* ---- articles, and the whole ---- */

static void add_purpose(act *a, lm_span body)
{
    lm_json *record = new_record(a);
    set(record, "purpose", body);
    if (!memmem(body.data, body.len, a->name.data, a->name.len)) set(record, "nameless_purpose", body);
}

/* Whether no other article is called so, as several are "벌칙". */
static bool only_title(const act *a, const article *one)
{
    for (int i = 0; i < a->n && one->title.len; i++) {
        lm_span other = a->articles[i].title;
        if (&a->articles[i] != one && other.len == one->title.len && !memcmp(other.data, one->title.data, other.len)) return false;
    }
    return one->title.len;
}

static void add_article(act *a, const article *from)
{
    lm_span body = lm_span_of(from->body.data ? from->body.data : "", from->body.len);
    lm_str dates = {0};
    lm_json *record;
    if (!body.len || find(body, "<img")) return;             /* a formula or a table that is a picture */
    if (begins(body, "삭제")) {
        record = new_record(a);
        set(record, "article", from->number);
        set_date(record, "repealed", from->repealed);
        return;
    }
    if (lm_span_eq(from->title, "목적") && lm_span_eq(from->number, "제1조")) add_purpose(a, body);
    record = new_record(a);
    set(record, "article", from->number);
    set(record, "title", from->title);
    if (only_title(a, from)) set(record, "own_title", from->title);
    set(record, "body", body);
    add_gap(record, body, a->name.data);
    for (int i = 0; i < from->n_dates; i++) {
        if (i) lm_str_puts(&dates, ", ");
        put_date(&dates, from->dates[i]);
    }
    set(record, "amended", lm_span_of(dates.data, dates.len));
    if (from->n_dates) set_number(record, "times", from->n_dates);
    lm_str_free(&dates);
    add_definitions(a, from);
}

static lm_json *lines_of(const lm_str *text)
{
    lm_json *list = json_array();
    for (const char *at = text->data; at && *at;) {
        size_t n = strcspn(at, "\n");
        json_array_append_new(list, json_stringn(at, n));
        at += n + (at[n] == '\n');
    }
    return list;
}

static void add_whole(act *a)
{
    lm_json *record = new_record(a);
    if (!a->chapters)
        for (int i = 0; i < a->n; i++) {
            const article *one = &a->articles[i];
            if (one->title.len) lm_str_printf(&a->outline, "%s%.*s(%.*s)", a->outline.len ? "\n" : "", (int)one->number.len, one->number.data, (int)one->title.len, one->title.data);
        }
    set_number(record, "articles", a->in_force);
    if (a->chapters) set_number(record, "chapters", a->chapters);
    json_object_set_new(record, a->chapters ? "outline" : "contents", lines_of(&a->outline));
}

/* Of the row: "2023-08-08" becomes 2023년 8월 8일. */
static void add_dates(act *a, const lm_json *row)
{
    static const char *const keys[] = { "promulgated", "effective" };
    lm_json *record = new_record(a), *ministry = lm_json_get(row, "ministry");
    for (int i = 0; i < 2; i++) {
        const char *date = json_string_value(lm_json_get(row, keys[i]));
        int year, month, day;
        if (date && sscanf(date, "%4d-%2d-%2d", &year, &month, &day) == 3) set_date(record, keys[i], year * 10000 + month * 100 + day);
    }
    if (json_is_string(ministry)) json_object_set_new(record, "ministry", json_pack("[O]", ministry));
    else if (json_is_array(ministry)) json_object_set(record, "ministry", ministry);
    if (json_object_size(record) == 1) json_array_remove(a->out, json_array_size(a->out) - 1);
}

lm_status lm_statute_records(lm_json *out, const lm_row *row, lm_err *err)
{
    act a = { .out = out };
    lm_span text;
    LM_TRY(lm_row_text(row, "text", &text, err));
    const char *title = row->object ? json_string_value(lm_json_get(row->object, "title")) : NULL;
    read_text(&a, text);
    if (!a.name.len && title) lm_str_puts(&a.name, title);
    lm_status status = LM_OK;
    if (memchr(text.data ? text.data : "", '\0', text.len)) status = lm_fail(err, LM_E_FORMAT, "expected text, found a zero byte");
    else if (!a.n) status = lm_fail(err, LM_E_FORMAT, "expected the Markdown of an act with articles, \"##### 제1조 (목적)\"; found none");
    else if (!a.name.len) status = lm_fail(err, LM_E_FORMAT, "expected the name of the act, as \"title\" or in a line \"# ..\"");
    for (int i = 0; i < a.n && status == LM_OK; i++) add_article(&a, &a.articles[i]);
    if (status == LM_OK) add_whole(&a);
    if (status == LM_OK && row->object) add_dates(&a, row->object);
    for (int i = 0; i < a.n; i++) lm_str_free(&a.articles[i].body);
    free(a.articles);
    lm_str_free(&a.name);
    lm_str_free(&a.outline);
    return status;
}
