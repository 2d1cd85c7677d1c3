/* What a killed run of `data dedup` leaves: the first byte chooses a method, the rest are records, which are put into a file with
 * the hashes that it wants, and behind them once more as they are.  The file gives its records back or an error; those that fit
 * their method are added, grouped and taken out of texts, and a record that is read is written as it was. */
#include "fuzz/tokenizer.h"

#include "base/thread.h"
#include "data/dedup/journal.h"
#include "data/dedup/record.h"

static const char *const texts[] = { "one line that is long enough to count\nand another one that is\n", "one line that is long enough to count\nnew words here, many of them", "" };
enum { TEXTS = sizeof texts / sizeof *texts };

static char *write_file(const char *key, const uint8_t *data, size_t size)
{
    char *path = test_path("fuzz.state");
    lm_journal j;
    remove(path);
    LM_ASSERT(lm_journal_open(&j, path, lm_span_of(key, strlen(key)), NULL) == LM_OK);
    lm_str_append(&j.part, data, size);
    lm_journal_close(&j, false);
    FILE *out = fopen(path, "ab");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
    return path;
}

/* A record is read, written and read again. */
static bool read_record(lm_dedup_record *r, lm_span bytes)
{
    lm_str again = {0};
    if (!lm_dedup_record_get(r, bytes)) return false;
    r->document.line = r->document.line ? 1 : 0;
    lm_dedup_record_put(&again, r);
    LM_ASSERT(lm_dedup_record_get(r, lm_span_of(again.data, again.len)));
    lm_str_free(&again);
    return r->document.line;
}

static void group(lm_dedup_run *run)
{
    lm_str left = {0};
    lm_clusters_init(&run->clusters, run->n);
    lm_status status = run->method->solve(run, NULL);
    if (status == LM_OK) lm_clusters_flatten(&run->clusters);
    for (int i = 0; i < TEXTS && status == LM_OK && run->method->edit; i++) {
        lm_str_clear(&left);
        run->method->edit(run, &left, lm_span_of(texts[i], strlen(texts[i])));
        LM_ASSERT(left.len <= strlen(texts[i]) && lm_utf8_valid(left.data ? left.data : "", left.len) == left.len);
    }
    lm_clusters_free(&run->clusters);
    lm_str_free(&left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int n_methods = 0;
    if (!size) return 0;
    lm_threads_set(1);                                   /* nothing here is large enough for two */
    while (lm_dedup_registry[n_methods]) n_methods++;
    const lm_dedup *method = lm_dedup_registry[data[0] % n_methods];
    char *path = write_file("fuzz", data + 1, size - 1);
    lm_dedup_options common = { .memory = 1 << 20 };
    lm_dedup_run run = { .method = method, .options = lm_calloc(1, method->options_size + 1), .common = &common, .folder = "." };
    lm_option_set sets[] = { { .options = method->options, .values = (void *)(uintptr_t)run.options }, {0} };
    if (method->options) lm_options_defaults(sets);
    LM_ASSERT(method->open(&run, NULL) == LM_OK);
    lm_journal j;
    lm_dedup_record r = {0};
    lm_err err = {0};
    lm_status status = lm_journal_open(&j, path, lm_span_of("fuzz", 4), &err);
    for (bool more = true; status == LM_OK && more;) {
        lm_span bytes;
        status = lm_journal_next(&j, &bytes, &more, &err);
        if (status == LM_OK && more && read_record(&r, bytes) && method->fits(&run, &r.digest) && method->add(&run, &r.digest, NULL) == LM_OK) run.n++;
    }
    LM_ASSERT(status == err.code && !strpbrk(err.message, "\n\r\033"));
    group(&run);
    lm_journal_close(&j, true);
    lm_dedup_record_free(&r);
    method->close(run.state);
    if (method->options) lm_options_free(sets);
    free((void *)(uintptr_t)run.options);
    free(path);
    return 0;
}
