/* The merges of tokenizer.json, "left right" or ["left", "right"], into the table of bpe.h.
 *
 * A list of some size is cut between entries and its parts are read by all threads: a line break never stands
 * inside a JSON string, so behind a comma and a line break, in front of what entries of this list begin with,
 * one entry ends and another begins.  Should a part not read well, or a list have no such places, one reader
 * goes over the whole, and it is he who says what is wrong. */
#define _GNU_SOURCE
#include "token/merge_list.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

typedef bool (*reading)(lm_json_reader *r, lm_str *buffer, lm_span *out);

/* What reading needs to know, the same for all parts. */
typedef struct source {
    const lm_vocab *vocab;
    size_t prefix;                   /* bytes that the right side loses when it is joined */
    const lm_token_document *document;
    const char *name;
    reading read;                    /* a string; its UTF-8 need not be looked at: it is found in the vocabulary or wrong */
} source;

/* The merges as they are listed. */
typedef struct merge_list {
    struct { int32_t left, right, id; } *items;
    size_t n, cap;
} merge_list;

/* ---- one entry ------------------------------------------------------------------------------ */

/* The two sides of a merge. */
static bool take_sides(lm_json_reader *r, reading read, lm_str buffers[2], lm_span *left, lm_span *right)
{
    if (lm_json_peek(r) == '[')
        return lm_json_open(r, '[') && lm_json_item(r) && read(r, &buffers[0], left) &&
               lm_json_item(r) && read(r, &buffers[1], right) && !lm_json_item(r) && !r->status;
    lm_span both;
    if (!read(r, &buffers[0], &both)) return false;
    const char *space = memchr(both.data, ' ', both.len), *end = both.data + both.len;
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1))) return false;
    *left = lm_span_of(both.data, (size_t)(space - both.data));
    *right = lm_span_of(space + 1, (size_t)(end - space - 1));
    return true;
}

static bool joins(const lm_vocab *vocab, int32_t id, lm_span left, lm_span right)
{
    if (id >= vocab->n) return false;
    lm_span text = vocab->texts[id];
    return text.len == left.len + right.len && !memcmp(text.data, left.data, left.len) && !memcmp(text.data + left.len, right.data, right.len);
}

/* What two sides make, in `joined` where it is not found: mostly the token of the merge before (another way
 * to make it), or the one behind that. */
static int32_t find_joined(const source *s, int32_t before, lm_span left, lm_span right, lm_str *joined)
{
    size_t skip = right.len >= s->prefix ? s->prefix : 0;
    right = lm_span_of(right.data + skip, right.len - skip);
    if (joins(s->vocab, before, left, right)) return before;
    if (joins(s->vocab, before + 1, left, right)) return before + 1;
    lm_str_clear(joined);
    lm_str_append(joined, left.data, left.len);
    lm_str_append(joined, right.data, right.len);
    return lm_vocab_id(s->vocab, lm_span_of(joined->data, joined->len));
}

/* ---- a run of entries ------------------------------------------------------------------------- */

/* Merges that were read and wait for their ids, which are on the way from memory. */
enum { BATCH = 32 };

typedef struct merge_batch {
    struct { lm_str buffers[2]; lm_vocab_query left, right; } items[BATCH];
    int n;
} merge_batch;

/* Reads up to BATCH merges; false where something else than two tokens stands. */
static bool take_batch(lm_json_reader *r, merge_batch *batch, const source *s)
{
    for (batch->n = 0; batch->n < BATCH && lm_json_item(r); batch->n++) {
        lm_span left, right;
        if (!take_sides(r, s->read, batch->items[batch->n].buffers, &left, &right)) return false;
        batch->items[batch->n].left = lm_vocab_ask(s->vocab, left);
        batch->items[batch->n].right = lm_vocab_ask(s->vocab, right);
    }
    return true;
}

static lm_status missing(const char *name, size_t entry, lm_span token, lm_err *err)
{
    return lm_fail(err, LM_E_FORMAT, "%s: model.merges: entry %zu: token \"%.*s\" is not in the vocabulary", name, entry,
                   (int)(token.len < 60 ? token.len : 60), token.data);
}

static lm_status resolve_batch(merge_list *list, const source *s, const merge_batch *batch, lm_str *joined, lm_err *err)
{
    if (list->n + BATCH > list->cap) {
        list->cap = list->cap ? list->cap * 2 : 1 << 15;
        list->items = lm_realloc(list->items, list->cap * sizeof *list->items);
    }
    int32_t before = list->n ? list->items[list->n - 1].id : 0;
    for (int i = 0; i < batch->n; i++) {
        lm_span left = batch->items[i].left.text, right = batch->items[i].right.text;
        int32_t a = lm_vocab_answer(s->vocab, &batch->items[i].left), b = lm_vocab_answer(s->vocab, &batch->items[i].right);
        int32_t id = find_joined(s, before, left, right, joined);
        if (a < 0) return missing(s->name, list->n, left, err);
        if (b < 0) return missing(s->name, list->n, right, err);
        if (id < 0) return missing(s->name, list->n, lm_span_of(joined->data, joined->len), err);
        list->items[list->n].left = a, list->items[list->n].right = b, list->items[list->n].id = before = id;
        list->n++;
    }
    return LM_OK;
}

/* Appends what the reader, which stands in front of an entry, finds up to the end of its list. */
static lm_status read_entries(merge_list *list, const source *s, lm_json_reader *r, lm_err *err)
{
    lm_str joined = {0};
    lm_status status = LM_OK;
    merge_batch *batch = lm_calloc(1, sizeof *batch);
    bool good;
    do {
        good = take_batch(r, batch, s);
        status = resolve_batch(list, s, batch, &joined, err);
    } while (good && !status && batch->n == BATCH);
    if (!good && !status) status = lm_fail(err, LM_E_FORMAT, "%s: model.merges: entry %zu: expected two tokens", s->name, list->n);
    if (!status && r->status) status = lm_fail(err, r->err->code, "%s", r->err->message);
    for (int i = 0; i < BATCH; i++) lm_str_free(&batch->items[i].buffers[0]), lm_str_free(&batch->items[i].buffers[1]);
    free(batch);
    lm_str_free(&joined);
    return status;
}

/* ---- parts of the list ---------------------------------------------------------------------------- */

enum { PARTS = 8, DIVIDE_FROM = 1 << 18 };

typedef struct part {
    lm_span text;                    /* entries with commas between them */
    merge_list list;
    lm_status status;
} part;

typedef struct division {
    const source *source;
    part parts[PARTS];
    int n;
} division;

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p)) p++;
    return p;
}

/* The first comma at or behind `from` that stands between two entries, which begin with `opener`; or NULL. */
static const char *find_gap(const char *from, const char *end, char opener)
{
    for (const char *comma; (comma = memmem(from, (size_t)(end - from), ",\n", 2)) != NULL; from = comma + 2) {
        const char *next = skip_blanks(comma + 2, end);
        if (next < end && *next == opener) return comma;
    }
    return NULL;
}

/* Cuts "[...]" into parts of about the same size, as far as there are places for it. */
static void divide(division *d, lm_span list)
{
    const char *at = list.data + 1, *end = list.data + list.len - 1, *first = skip_blanks(at, end);
    size_t step = (size_t)(end - at) / PARTS;
    while (end > at) {
        const char *gap = d->n < PARTS - 1 && (size_t)(end - at) > step ? find_gap(at + step, end, *first) : NULL;
        d->parts[d->n++].text = lm_span_of(at, (size_t)((gap ? gap : end) - at));
        at = gap ? gap + 1 : end;
    }
}

static void read_parts(int64_t begin, int64_t end, void *context)
{
    division *d = context;
    for (int64_t i = begin; i < end; i++) {
        part *p = &d->parts[i];
        lm_err err = {0};
        lm_json_reader r;
        lm_json_reader_items(&r, p->text, d->source->name, &err);
        p->status = read_entries(&p->list, d->source, &r, &err);
        if (!p->status && r.at < r.end) p->status = LM_E_FORMAT;
    }
}

static bool read_divided(division *d, const source *s, lm_span list)
{
    d->source = s;
    divide(d, list);
    lm_parallel(d->n, 1, read_parts, d);
    bool good = true;
    for (int i = 0; i < d->n; i++) good = good && !d->parts[i].status;
    return good;
}

static lm_status read_whole(part *p, source *s, lm_err *err)
{
    s->read = lm_json_string;
    lm_json_reader r;
    lm_err broken = {0};
    lm_token_document_reader(&r, s->document, s->document->merges, s->name, &broken);
    lm_json_open(&r, '[');
    return read_entries(&p->list, s, &r, err);
}

static void division_free(division *d)
{
    for (int i = 0; i < d->n; i++) free(d->parts[i].list.items);
    *d = (division){0};
}

/* ---- into the table -------------------------------------------------------------------------------- */

/* The parts as one list: rank by rank. */
static void put_all(lm_merges *merges, const division *d)
{
    int32_t rank = 0;
    for (int i = 0; i < d->n; i++) {
        const merge_list *list = &d->parts[i].list;
        for (size_t j = 0; j < list->n; j++) {
            if (j + BATCH < list->n) lm_merges_expect(merges, list->items[j + BATCH].left, list->items[j + BATCH].right);
            lm_merges_put(merges, list->items[j].left, list->items[j].right, rank++, list->items[j].id);
        }
    }
}

lm_status lm_merges_read(lm_merges *merges, const lm_vocab *vocab, size_t prefix, const lm_token_document *document, const char *name, lm_err *err)
{
    lm_span list = document->merges;
    if (!list.data || *list.data != '[') return lm_fail(err, LM_E_FORMAT, "%s: model.merges: expected an array", name);
    source s = { .vocab = vocab, .prefix = prefix, .document = document, .name = name, .read = lm_json_string_unchecked };
    division d = {0};
    lm_status status = LM_OK;
    if (list.len < DIVIDE_FROM || list.data[list.len - 1] != ']' || !read_divided(&d, &s, list)) {
        division_free(&d);
        d.n = 1;
        status = read_whole(&d.parts[0], &s, err);
    }
    size_t n = 0;
    for (int i = 0; i < d.n; i++) n += d.parts[i].list.n;
    if (!status && n > LM_MAX_MERGES) status = lm_fail(err, LM_E_UNSUPPORTED, "%s: model.merges: %zu merges, at most %d are supported", name, n, LM_MAX_MERGES);
    lm_merges_init(merges, status ? 0 : n);
    if (!status) put_all(merges, &d);
    division_free(&d);
    return status;
}
