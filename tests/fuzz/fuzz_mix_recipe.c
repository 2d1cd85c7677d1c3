/* Recipes of mixtures: an error that names the file, or sources and stages whose shares sum to one and whose rows are all shared
 * out.  The first line is also read as a source of the command line. */
#include "fuzz/tokenizer.h"

#include "data/mix.h"

#include <math.h>

static void check(const lm_err *err, lm_status status) { LM_ASSERT(status == err->code && !strpbrk(err->message, "\n\r\033")); }

static void share_rows(const lm_mix *m, const lm_mix_stage *stage)
{
    size_t n = (size_t)m->n_sources;
    double *rates = lm_malloc(n * sizeof *rates), sum = 0;
    int64_t *sizes = lm_malloc(2 * n * sizeof *sizes), *counts = sizes + n, rows = 0;
    lm_err err = {0};
    for (size_t i = 0; i < n; i++) sizes[i] = (int64_t)(i * i * 37 % 1000 + 1);
    lm_status status = lm_mix_rates(rates, m, stage, sizes, &err);
    check(&err, status);
    for (size_t i = 0; i < n && status == LM_OK; i++) {
        LM_ASSERT(rates[i] >= 0 && rates[i] <= 1);
        sum += rates[i];
    }
    LM_ASSERT(status != LM_OK || fabs(sum - 1) < 1e-6);
    if (status == LM_OK) {
        lm_mix_counts(counts, rates, (int)n, 12345);
        for (size_t i = 0; i < n; i++) rows += counts[i];
        LM_ASSERT(rows == 12345);
        int64_t most = lm_mix_most(rates, sizes, (int)n);
        LM_ASSERT(most >= 0);
        lm_mix_counts(counts, rates, (int)n, most);
        for (size_t i = 0; i < n; i++) LM_ASSERT(counts[i] >= 0 && counts[i] <= sizes[i]);
    }
    free(rates);
    free(sizes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_mix m = {0}, line = {0};
    lm_err err = {0};
    char *path = fuzz_write("fuzz.yaml", data, size);
    lm_status status = lm_mix_read(&m, path, &err);
    check(&err, status);
    LM_ASSERT(status == LM_OK || lm_starts_with(err.message, path));
    if (status == LM_OK) {
        lm_err_clear(&err);
        check(&err, status = lm_mix_check(&m, &err));
    }
    for (int i = 0; i < m.n_stages && status == LM_OK; i++) share_rows(&m, &m.stages[i]);
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    char *text = lm_strndup((const char *)data, newline ? (size_t)(newline - data) : size);
    lm_err_clear(&err);
    check(&err, lm_mix_add(&line, text, &err));
    LM_ASSERT(err.code || (line.n_sources == 1 && line.sources[0].weight >= 0 && line.sources[0].share >= 0 && line.sources[0].share <= 1));
    lm_mix_free(&m);
    lm_mix_free(&line);
    remove(path);
    free(path);
    free(text);
    return 0;
}
