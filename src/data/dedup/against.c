/* Overlap with evaluation sets by n-grams of words (Brown et al. 2020, "Language models are few-shot learners",
 * appendix C, which takes 13): a document that has one of an evaluation row's n-grams holds its answer, or part
 * of it.  Words are runs of letters and digits in lower case.  A row of fewer words is looked for as a whole,
 * unless it has fewer than four, which any text might have. */
#include "data/dedup.h"

#include "base/map.h"
#include "data/normal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_WORDS = 4 };
static const unsigned FORM = LM_NORMAL_NFC | LM_NORMAL_CASE | LM_NORMAL_PUNCTUATION;

typedef struct eval_row {
    int64_t line;
    int path;
} eval_row;

typedef struct slot {
    uint64_t hash;                       /* 0: empty */
    int64_t row;
} slot;

struct lm_against {
    int n;                               /* words of an n-gram */
    uint64_t lengths;                    /* bit k: some n-gram has k words */
    slot *slots;
    size_t mask, count;
    eval_row *rows;
    size_t n_rows, cap_rows;
    lm_strings paths;
};

/* ---- the table --------------------------------------------------------------- */

static slot *find(const lm_against *a, uint64_t hash)
{
    size_t i = hash & a->mask;
    while (a->slots[i].hash && a->slots[i].hash != hash) i = (i + 1) & a->mask;
    return &a->slots[i];
}

static void grow(lm_against *a)
{
    slot *old = a->slots;
    size_t n = a->mask + 1;
    a->mask = 2 * n - 1;
    a->slots = lm_calloc(2 * n, sizeof *a->slots);
    for (size_t i = 0; i < n; i++)
        if (old[i].hash) *find(a, old[i].hash) = old[i];
    free(old);
}

/* The first row that has the n-gram stands for all. */
static void put(lm_against *a, uint64_t hash, int64_t row)
{
    if (2 * a->count > a->mask) grow(a);
    slot *s = find(a, hash);
    if (s->hash) return;
    *s = (slot){ .hash = hash, .row = row };
    a->count++;
}

/* ---- evaluation rows --------------------------------------------------------- */

static size_t count_words(lm_span normal)
{
    size_t n = normal.len > 0;
    for (size_t i = 0; i < normal.len; i++) n += normal.data[i] == ' ';
    return n;
}

/* The length enters the hash: a short row is looked for among n-grams of its own length. */
static uint64_t keyed(uint64_t hash, int words) { return lm_mix64(hash + (uint64_t)words) | 1; }

static void add_text(lm_against *a, int64_t row, lm_span text, lm_digest_room *d)
{
    text = lm_normal_text(&d->text, &d->other, text, FORM);
    size_t words = count_words(text);
    if (words < FEWEST_WORDS) return;
    int n = words < (size_t)a->n ? (int)words : a->n;
    a->lengths |= (uint64_t)1 << (n - 1);
    d->hashes.n = 0;
    lm_hash_words(&d->hashes, text, n, NULL);
    for (size_t i = 0; i < d->hashes.n; i++) put(a, keyed(d->hashes.items[i], n), row);
}

static void add_row(lm_against *a, const lm_row *row, lm_digest_room *d)
{
    if (a->n_rows == a->cap_rows) {
        a->cap_rows = 2 * a->cap_rows + 256;
        a->rows = lm_realloc(a->rows, a->cap_rows * sizeof *a->rows);
    }
    if (!a->paths.n || strcmp(a->paths.items[a->paths.n - 1], row->path)) lm_strings_push(&a->paths, lm_strdup(row->path));
    int64_t number = (int64_t)a->n_rows++;
    a->rows[number] = (eval_row){ .line = row->line, .path = a->paths.n - 1 };
    if (!row->object) add_text(a, number, lm_span_of(row->text.data, row->text.len), d);
    const char *key;
    lm_json *value;
    json_object_foreach(row->object, key, value)
        if (json_is_string(value)) add_text(a, number, lm_span_of(json_string_value(value), json_string_length(value)), d);
}

lm_status lm_against_open(lm_against **out, const lm_strings *paths, const char *format, int n, lm_err *err)
{
    lm_source *source;
    LM_TRY(lm_source_open(&source, paths, &(lm_source_options){ .format = format }, err));
    lm_against *a = *out = lm_calloc(1, sizeof *a);
    a->n = n;
    a->mask = 1023;
    a->slots = lm_calloc(a->mask + 1, sizeof *a->slots);
    lm_digest_room d = {0};
    lm_status status = LM_OK;
    for (bool more = true; more && status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(source, &row, &more, err);
        if (status == LM_OK && more) add_row(a, &row, &d);
        if (status == LM_OK) lm_row_free(&row);
    }
    lm_digest_room_free(&d);
    lm_source_close(source);
    if (status == LM_OK && !a->count) status = lm_fail(err, LM_E_FORMAT, "%s: no text of %d words or more to look for", paths->items[0], FEWEST_WORDS);
    return status;
}

void lm_against_free(lm_against *a)
{
    if (!a) return;
    lm_strings_free(&a->paths);
    free(a->rows);
    free(a->slots);
    free(a);
}

int64_t lm_against_rows(const lm_against *a) { return (int64_t)a->n_rows; }

char *lm_against_place(const lm_against *a, int64_t row)
{
    lm_str place = {0};
    lm_str_printf(&place, "%s:%" PRId64, a->paths.items[a->rows[row].path], a->rows[row].line);
    return lm_str_take(&place);
}

/* ---- documents --------------------------------------------------------------- */

/* The n words of a normalised text that begin with word i. */
static lm_span words_at(lm_span text, size_t i, int n)
{
    const char *begin = text.data, *end = text.data + text.len;
    for (; i; i--) begin = (const char *)memchr(begin, ' ', (size_t)(end - begin)) + 1;
    const char *stop = begin;
    for (; n && stop; n--) stop = memchr(stop + (stop > begin), ' ', (size_t)(end - stop - (stop > begin)));
    return lm_span_of(begin, (size_t)((stop ? stop : end) - begin));
}

lm_overlap *lm_overlaps_add(lm_overlaps *o)
{
    if (o->n == o->cap) {
        size_t old = o->cap;
        o->cap = 2 * o->cap + 4;
        o->items = lm_realloc(o->items, o->cap * sizeof *o->items);
        memset(o->items + old, 0, (o->cap - old) * sizeof *o->items);
    }
    return &o->items[o->n++];
}

static void note(lm_overlaps *out, int64_t row, lm_span text, size_t word, int n)
{
    for (size_t i = 0; i < out->n; i++)
        if (out->items[i].row == row) {
            out->items[i].ngrams++;
            return;
        }
    lm_overlap *o = lm_overlaps_add(out);
    lm_span found = words_at(text, word, n);
    o->row = row;
    o->ngrams = 1;
    lm_str_clear(&o->text);
    lm_str_append(&o->text, found.data, found.len);
}

void lm_against_find(const lm_against *a, lm_overlaps *out, lm_digest_room *d, lm_span text)
{
    out->n = 0;
    text = lm_normal_text(&d->text, &d->other, text, FORM);
    size_t words = count_words(text);
    lm_hashes ngrams = {0};
    for (int n = 1; n <= a->n; n++) {
        if (!(a->lengths >> (n - 1) & 1) || words < (size_t)n) continue;
        ngrams.n = 0;
        lm_hash_words(&ngrams, text, n, NULL);
        for (size_t i = 0; i < ngrams.n; i++) {
            const slot *s = find(a, keyed(ngrams.items[i], n));
            if (s->hash) note(out, s->row, text, i, n);
        }
    }
    lm_hashes_free(&ngrams);
}

void lm_overlaps_free(lm_overlaps *o)
{
    for (size_t i = 0; i < o->cap; i++) lm_str_free(&o->items[i].text);
    free(o->items);
    *o = (lm_overlaps){0};
}
