/* Models that filters learn: a clear error, or one that gives every text sensible numbers. */
#include "fuzz/tokenizer.h"

#include "data/learn.h"
#include "data/linear.h"
#include "data/ngram_model.h"
#include "data/topics.h"

#include <math.h>

static const char *const texts[] = { "", "a", "The cat sat on the mat, 12 times.", "법원은 소송을 각하한다. 영화가 좋다", "\xE6\xB3\x95 x \xE3\x81\x82\xE3\x81\x84" };

static void check(const lm_err *err, lm_status status) { LM_ASSERT(status == err->code && !strpbrk(err->message, "\n\r\033")); }

static void use_linear(const char *path, const char *kind)
{
    lm_linear *m;
    lm_err err = {0};
    lm_buckets room = {0};
    check(&err, lm_linear_load(&m, kind, path, &err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts && m; i++) {
        int n = lm_linear_labels(m)->n;
        double *p = lm_malloc((size_t)n * sizeof *p), sum = 0, score;
        lm_span text = lm_span_of(texts[i], strlen(texts[i]));
        lm_linear_predict_text(m, text, p);
        for (int l = 0; l < n; l++) sum += p[l];
        LM_ASSERT(fabs(sum - 1) < 1e-9);
        int topic = lm_topic_of(m, &room, text, &score);
        LM_ASSERT(topic >= -1 && topic < n && (topic < 0 || score > 0));
        free(p);
    }
    lm_buckets_free(&room);
    lm_linear_free(m);
}

static void use_ngrams(const char *path)
{
    lm_ngram_model *m;
    lm_err err = {0};
    check(&err, lm_ngram_load(&m, path, &err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts && m; i++) {
        int64_t tokens;
        double score = lm_ngram_score(m, lm_span_of(texts[i], strlen(texts[i])), &tokens);
        LM_ASSERT(score <= 0 && tokens > 0);
    }
    lm_ngram_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = fuzz_write("fuzz.safetensors", data, size);
    use_linear(path, lm_language_model);
    use_linear(path, lm_classifier_model);
    use_linear(path, lm_topic_model);
    use_ngrams(path);
    remove(path);
    free(path);
    return 0;
}
