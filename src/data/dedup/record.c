#include "data/dedup/record.h"

#include <stdlib.h>
#include <string.h>

void lm_dedup_record_free(lm_dedup_record *r)
{
    lm_digest_free(&r->digest);
    lm_overlaps_free(&r->overlaps);
}

/* ---- writing ----------------------------------------------------------------- */

static void put_bytes(lm_str *out, const void *bytes, size_t n)
{
    uint64_t count = n;
    lm_str_append(out, &count, sizeof count);
    lm_str_append(out, bytes, n);
}

static void put_hashes(lm_str *out, const lm_hashes *h) { put_bytes(out, h->items, h->n * sizeof *h->items); }

void lm_dedup_record_put(lm_str *out, const lm_dedup_record *r)
{
    bool bad = !r->document.line;
    put_bytes(out, &r->document, sizeof r->document);
    put_bytes(out, bad ? r->err.message : "", bad ? strlen(r->err.message) : 0);
    if (bad) return;
    put_bytes(out, r->digest.text.data, r->digest.text.len);
    put_hashes(out, &r->digest.hashes);
    put_hashes(out, &r->digest.keys);
    for (size_t i = 0; i < r->overlaps.n; i++) {
        const lm_overlap *o = &r->overlaps.items[i];
        int64_t numbers[2] = { o->row, o->ngrams };
        put_bytes(out, numbers, sizeof numbers);
        put_bytes(out, o->text.data, o->text.len);
    }
}

/* ---- reading ----------------------------------------------------------------- */

static bool get_bytes(lm_span *in, lm_span *out)
{
    uint64_t n;
    if (in->len < sizeof n) return false;
    memcpy(&n, in->data, sizeof n);
    if (n > in->len - sizeof n) return false;
    *out = lm_span_of(in->data + sizeof n, (size_t)n);
    *in = lm_span_of(out->data + n, in->len - sizeof n - (size_t)n);
    return true;
}

static bool get_exactly(lm_span *in, void *out, size_t n)
{
    lm_span bytes;
    if (!get_bytes(in, &bytes) || bytes.len != n) return false;
    memcpy(out, bytes.data, n);
    return true;
}

static bool get_text(lm_span *in, lm_str *out)
{
    lm_span bytes;
    lm_str_clear(out);
    if (!get_bytes(in, &bytes)) return false;
    lm_str_append(out, bytes.data, bytes.len);
    return true;
}

static bool get_hashes(lm_span *in, lm_hashes *out)
{
    lm_span bytes;
    if (!get_bytes(in, &bytes) || bytes.len % sizeof *out->items) return false;
    out->n = 0;
    lm_hashes_reserve(out, bytes.len / sizeof *out->items);
    out->n = bytes.len / sizeof *out->items;
    if (bytes.len) memcpy(out->items, bytes.data, bytes.len);
    return true;
}

bool lm_dedup_record_get(lm_dedup_record *r, lm_span in)
{
    lm_span why;
    r->err = (lm_err){0};
    r->overlaps.n = 0;
    if (!get_exactly(&in, &r->document, sizeof r->document) || !get_bytes(&in, &why)) return false;
    if (lm_utf8_valid(why.data, why.len) < why.len || r->document.bytes < 0 || r->document.bytes > INT32_MAX) return false;
    if (!r->document.line) {
        lm_fail(&r->err, LM_E_FORMAT, "%.*s", (int)(why.len < sizeof r->err.message ? why.len : sizeof r->err.message - 1), why.data);
        return !in.len;
    }
    if (!get_text(&in, &r->digest.text) || !get_hashes(&in, &r->digest.hashes) || !get_hashes(&in, &r->digest.keys)) return false;
    while (in.len) {
        int64_t numbers[2];
        lm_overlap *o = lm_overlaps_add(&r->overlaps);
        if (!get_exactly(&in, numbers, sizeof numbers) || !get_text(&in, &o->text) || lm_utf8_valid(o->text.data, o->text.len) < o->text.len) return false;
        o->row = numbers[0];
        o->ngrams = numbers[1];
    }
    return true;
}
