/* Counting words, and the course of a training. */
#define _GNU_SOURCE
#include "token/train.h"
#include "base/thread.h"
#include "io/stream.h"
#include "token/pipeline.h"
#include "token/words.h"

#include <stdlib.h>
#include <string.h>

/* Text is read in blocks, each cut at line ends into one part for each thread.  A line longer than
 * LONGEST is cut at its last space before that, so that memory stays bounded. */
enum { BLOCK = 16 << 20, LONGEST = 64 << 20 };

typedef struct worker {
    const lm_vocab_trainer *trainer;
    lm_encoder *encoder;
    lm_words words;
    lm_span part;
    lm_err err;
} worker;

struct lm_vocab_trainer {
    const lm_token_trainer *method;
    const lm_vocab_options *options;
    lm_json *document;
    lm_tokenizer *pipeline;
    worker *workers;
    int n_workers;
    int64_t bytes;
};

lm_vocab_options lm_vocab_defaults(void) { return (lm_vocab_options){ .vocab_size = 32000, .min_frequency = 2, .character_coverage = 0.9995 }; }

const lm_token_trainer *lm_token_trainer_find(const char *name)
{
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++)
        if (!strcmp((*t)->name, name)) return *t;
    return NULL;
}

lm_status lm_vocab_trainer_new(lm_vocab_trainer **out, const lm_token_trainer *method, const lm_vocab_options *options, lm_err *err)
{
    lm_vocab_trainer *t = lm_calloc(1, sizeof *t);
    *out = NULL;
    t->method = method;
    t->options = options;
    lm_status status = method->pipeline(&t->document, options, err);
    if (!status) status = lm_tokenizer_build(&t->pipeline, t->document, "the tokenizer to train", err);
    if (status) {
        lm_vocab_trainer_free(t);
        return status;
    }
    t->n_workers = lm_threads();
    t->workers = lm_calloc((size_t)t->n_workers, sizeof *t->workers);
    for (int i = 0; i < t->n_workers; i++) t->workers[i] = (worker){ .trainer = t, .encoder = lm_encoder_new(t->pipeline) };
    *out = t;
    return LM_OK;
}

void lm_vocab_trainer_free(lm_vocab_trainer *t)
{
    if (!t) return;
    for (int i = 0; i < t->n_workers; i++) {
        lm_encoder_free(t->workers[i].encoder);
        lm_words_free(&t->workers[i].words);
    }
    free(t->workers);
    lm_tokenizer_free(t->pipeline);
    lm_json_free(t->document);
    free(t);
}

/* ---- feeding ---------------------------------------------------------------------------------- */

static void count_word(void *context, lm_span word)
{
    worker *w = context;
    if (w->trainer->method->cut) w->trainer->method->cut(&w->words, word, w->trainer->options);
    else lm_words_add(&w->words, word, 1);
}

lm_status lm_vocab_trainer_feed(lm_vocab_trainer *t, const char *text, size_t n, lm_err *err)
{
    worker *w = &t->workers[0];
    return lm_encoder_pieces(w->encoder, text, n, count_word, w, err);
}

static void count_parts(int64_t begin, int64_t end, void *context)
{
    for (worker *w = (worker *)context + begin; w < (worker *)context + end; w++) {
        lm_span rest = w->part;
        while (rest.len && !w->err.code) {
            const char *newline = memchr(rest.data, '\n', rest.len);
            size_t n = newline ? (size_t)(newline - rest.data) + 1 : rest.len;
            lm_encoder_pieces(w->encoder, rest.data, n, count_word, w, &w->err);
            rest = lm_span_of(rest.data + n, rest.len - n);
        }
    }
}

/* The first place at or after `from` where a line begins. */
static size_t line_start(lm_span text, size_t from)
{
    if (from == 0 || from >= text.len) return from < text.len ? from : text.len;
    const char *newline = memchr(text.data + from - 1, '\n', text.len - from + 1);
    return newline ? (size_t)(newline - text.data) + 1 : text.len;
}

static lm_status count_block(lm_vocab_trainer *t, lm_span text, lm_err *err)
{
    size_t begin = 0;
    for (int i = 0; i < t->n_workers; i++) {
        size_t end = line_start(text, text.len / (size_t)t->n_workers * (size_t)(i + 1));
        if (i + 1 == t->n_workers) end = text.len;
        if (end < begin) end = begin;
        t->workers[i].part = lm_span_of(text.data + begin, end - begin);
        begin = end;
    }
    lm_parallel(t->n_workers, 1, count_parts, t->workers);
    t->bytes += (int64_t)text.len;
    if (t->options->progress) t->options->progress(t->options->context, "bytes", t->bytes, 0);
    for (int i = 0; i < t->n_workers; i++)
        if (t->workers[i].err.code) return lm_fail(err, t->workers[i].err.code, "%s", t->workers[i].err.message);
    return LM_OK;
}

/* How much of text is whole lines; where a line is too long, up to a space. */
static size_t complete(lm_span text)
{
    const char *newline = memrchr(text.data, '\n', text.len);
    if (newline) return (size_t)(newline - text.data) + 1;
    if (text.len < LONGEST) return 0;
    const char *space = memrchr(text.data, ' ', text.len);
    return space && space > text.data ? (size_t)(space - text.data) : text.len;
}

lm_status lm_vocab_trainer_feed_file(lm_vocab_trainer *t, const char *path, lm_err *err)
{
    lm_stream *stream;
    LM_TRY(lm_stream_open(&stream, path, err));
    lm_str text = {0};
    lm_status status = LM_OK;
    for (bool end = false; !end && !status;) {
        size_t got = 0;
        lm_str_reserve(&text, text.len + BLOCK);
        status = lm_stream_read(stream, text.data + text.len, BLOCK, &got, err);
        if (status) break;
        text.len += got;
        end = got < BLOCK;
        size_t ready = end ? text.len : complete(lm_span_of(text.data, text.len));
        if (!ready) continue;
        status = count_block(t, lm_span_of(text.data, ready), err);
        if (status) lm_context(err, "%s", path);
        memmove(text.data, text.data + ready, text.len - ready);
        text.len -= ready;
    }
    lm_str_free(&text);
    lm_stream_close(stream);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------- */

lm_status lm_vocab_trainer_finish(lm_vocab_trainer *t, lm_tokenizer **out, lm_err *err)
{
    *out = NULL;
    lm_words *words = &t->workers[0].words;
    for (int i = 1; i < t->n_workers; i++) lm_words_merge(words, &t->workers[i].words);
    if (!words->n) return lm_fail(err, LM_E_FORMAT, "there is no text to train a tokenizer on");
    LM_TRY(t->method->learn(t->document, words, t->options, err));
    lm_json *document = t->document;
    t->document = NULL;
    return lm_tokenizer_adopt(out, document, "the trained tokenizer", err);
}
