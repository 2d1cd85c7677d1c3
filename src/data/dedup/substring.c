/* Exact substrings: whatever stretch of at least `length` bytes stands in the corpus more than once is cut out
 * everywhere but where it stands first.  Lee et al. 2022, "Deduplicating training data makes language models
 * better", section 4.1, which takes 50 tokens.
 *
 * All texts, a byte 0xFF (never in UTF-8) behind each, are sorted by their suffixes (libdivsufsort).  Suffixes
 * that share their first `length` bytes, and do so without leaving their document, are neighbours there; the
 * length that a suffix shares with the one before it comes from Kärkkäinen, Manzini and Puglisi 2009
 * ("Permuted longest-common-prefix array"), in the order of the text.  All suffixes of such a run but the
 * first in the text begin a stretch to be cut, unless they overlap with that first one.
 *
 * Takes nine bytes of memory for each byte of text, and at most 2 GiB of text: a larger corpus is refused, not
 * looked at in parts. */
#include "data/dedup.h"

#include <divsufsort.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int64_t length;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, length, "length", .fallback = "200", .min = 8, .max = 1e9, .metavar = "BYTES", .help = "of a stretch that is cut out, at least"),
    { 0 },
};

enum { BYTES_EACH = 9 };

typedef struct state {
    lm_str text;
    uint8_t *cut;                        /* a bit a byte: a stretch to be cut begins here */
    size_t at;                           /* where the document that is edited next begins */
    int64_t cut_bytes;
} state;

static lm_status open_run(lm_dedup_run *run, lm_err *err)
{
    (void)err;
    run->state = lm_calloc(1, sizeof(state));
    return LM_OK;
}

static void digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text)
{
    (void)run;
    (void)room;
    lm_str_clear(&out->text);
    lm_str_append(&out->text, text.data, text.len);
    lm_str_putc(&out->text, (char)0xFF);
}

static bool fits(const lm_dedup_run *run, const lm_digest *d) { return (void)run, d->text.len && d->text.data[d->text.len - 1] == (char)0xFF; }

static lm_status add(lm_dedup_run *run, const lm_digest *digest, lm_err *err)
{
    state *s = run->state;
    size_t n = s->text.len + digest->text.len, most = (size_t)run->common->memory / BYTES_EACH;
    if (n > INT32_MAX) return lm_fail(err, LM_E_UNSUPPORTED, "--method substring: more than 2 GiB of text");
    if (n > most) return lm_fail(err, LM_E_NOMEM, "--method substring: the text needs %d bytes of memory for each of its own, more than --memory %lld", BYTES_EACH, (long long)run->common->memory);
    lm_str_append(&s->text, digest->text.data, digest->text.len);
    return LM_OK;
}

/* shared[i]: how many bytes suffix i has in common with the one sorted before it, within its document.  On the
 * way the list holds that one's position. */
static int32_t *shared_lengths(const uint8_t *text, const int32_t *sorted, int32_t n)
{
    int32_t *shared = lm_malloc((size_t)n * sizeof *shared + 1);
    for (int32_t r = 0; r < n; r++) shared[sorted[r]] = r ? sorted[r - 1] : -1;
    for (int32_t i = 0, l = 0; i < n; i++) {
        int32_t j = shared[i];
        if (j < 0) l = 0;
        else while (i + l < n && j + l < n && text[i + l] == text[j + l] && text[i + l] != 0xFF) l++;
        shared[i] = l;
        l -= l > 0;
    }
    return shared;
}

/* A run of suffixes with the same beginning. */
static void mark_run(state *s, const int32_t *run, int32_t n, int64_t length)
{
    int32_t first = run[0];
    for (int32_t i = 1; i < n; i++)
        if (run[i] < first) first = run[i];
    for (int32_t i = 0; i < n; i++)
        if (run[i] >= first + length) lm_bit_set(s->cut, run[i]);
}

static lm_status solve(lm_dedup_run *run, lm_err *err)
{
    state *s = run->state;
    const settings *o = run->options;
    int32_t n = (int32_t)s->text.len, *sorted = lm_malloc((size_t)n * sizeof *sorted + 1);
    if (divsufsort((const sauchar_t *)s->text.data, sorted, n)) {
        free(sorted);
        return lm_fail(err, LM_E_NOMEM, "--method substring: the suffixes of %d bytes cannot be sorted", n);
    }
    int32_t *shared = shared_lengths((const uint8_t *)s->text.data, sorted, n);
    s->cut = lm_calloc((size_t)n / 8 + 1, 1);
    for (int32_t r = 0, end; r < n; r = end) {
        for (end = r + 1; end < n && shared[sorted[end]] >= o->length;) end++;
        if (end > r + 1) mark_run(s, sorted + r, end - r, o->length);
    }
    free(sorted);
    free(shared);
    return LM_OK;
}

/* A character goes when all of its bytes lie in a stretch, or in several that join. */
static void edit(lm_dedup_run *run, lm_str *out, lm_span text)
{
    state *s = run->state;
    const settings *o = run->options;
    size_t before = out->len, from = 0, until = 0;
    for (size_t i = 0, n; i < text.len; i += n) {
        for (n = 1; i + n < text.len && ((unsigned char)text.data[i + n] & 0xC0) == 0x80;) n++;
        for (size_t b = i; b < i + n; b++) {
            if (s->at + b >= s->text.len || !lm_bit(s->cut, (int64_t)(s->at + b))) continue;     /* below unless a state file lied */
            if (b > until || !until) from = b;
            until = b + (size_t)o->length;
        }
        if (i < from || i + n > until) lm_str_append(out, text.data + i, n);
    }
    s->at += text.len + 1;
    s->cut_bytes += (int64_t)(text.len - (out->len - before));
}

static void describe(const lm_dedup_run *run, lm_json *report)
{
    const state *s = run->state;
    const settings *o = run->options;
    json_object_set_new(report, "substring", json_pack("{s:I, s:I}", "length", (json_int_t)o->length, "bytes_cut", (json_int_t)s->cut_bytes));
}

static void close_run(void *state_)
{
    state *s = state_;
    lm_str_free(&s->text);
    free(s->cut);
    free(s);
}

const lm_dedup lm_dedup_substring = {
    .name = "substring",
    .source = "Lee et al. 2022, section 4.1",
    .help = "stretches of text that stand anywhere before are cut out of documents",
    .options = options, .options_size = sizeof(settings),
    .open = open_run, .digest = digest, .fits = fits, .add = add, .solve = solve, .edit = edit, .describe = describe, .close = close_run,
};
