/* Counting words, and the course of a training. */
#define _GNU_SOURCE
#include "token/train.h"
#include "base/log.h"
#include "base/thread.h"
#include "io/stream.h"
#include "token/pipeline.h"
#include "token/words.h"

#include <stdlib.h>
#include <string.h>

/* Text is read in blocks, each cut at line ends into one part for each thread.  A line of text longer than
 * LONGEST is cut at its last space before that, a row of JSONL longer than LONGEST_ROW is refused.
 *
 * After every MERGE_EVERY blocks the threads' words come together, and of more than MOST_WORDS different ones
 * the rarest are dropped and counted: so memory is bounded, and what is dropped does not depend on the
 * number of threads. */
enum { BLOCK = 16 << 20, LONGEST = 64 << 20, LONGEST_ROW = 1 << 30, MERGE_EVERY = 8, MOST_WORDS = 1 << 25 };

typedef struct worker {
    const lm_vocab_trainer *trainer;
    lm_encoder *encoder;
    lm_words words;
    lm_span part;
    int64_t lines;                   /* of the part, read so far */
    lm_err err;
} worker;

struct lm_vocab_trainer {
    const lm_token_trainer *method;
    const lm_vocab_options *options;
    lm_json *document;
    lm_tokenizer *pipeline;
    worker *workers;
    int n_workers, n_blocks;
    const char *field;               /* of the file at hand: rows are JSON; or NULL */
    int64_t bytes, lines, dropped;   /* read so far; words dropped */
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
    lm_token_document document = {0};
    if (!status) lm_token_document_of(&document, t->document);
    if (!status) status = lm_tokenizer_build(&t->pipeline, &document, "the tokenizer to train", err);
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

static void count_piece(void *context, lm_span word)
{
    worker *w = context;
    if (w->trainer->method->cut) w->trainer->method->cut(&w->words, word, w->trainer->options);
    else lm_words_add(&w->words, word, 1);
}

/* One text: a sequence, or one for each of its lines. */
static lm_status count_text(worker *w, lm_span text, lm_err *err)
{
    while (text.len) {
        size_t n = text.len, used = n;
        const char *newline = w->trainer->method->lines ? memchr(text.data, '\n', n) : NULL;
        if (newline) n = (size_t)(newline - text.data), used = n + 1;
        LM_TRY(lm_encoder_pieces(w->encoder, text.data, n, count_piece, w, err));
        text = lm_span_of(text.data + used, text.len - used);
    }
    return LM_OK;
}

lm_status lm_vocab_trainer_feed(lm_vocab_trainer *t, const char *text, size_t n, lm_err *err)
{
    return count_text(&t->workers[0], lm_span_of(text, n), err);
}

static bool is_blank(lm_span line)
{
    size_t i = 0;
    while (i < line.len && (line.data[i] == ' ' || (line.data[i] >= 9 && line.data[i] <= 13))) i++;
    return i == line.len;
}

/* A line of JSONL. */
static lm_status count_row(worker *w, lm_span line)
{
    if (is_blank(line)) return LM_OK;
    lm_json *row = lm_json_parse(line.data, line.len, "a row", &w->err);
    if (!row) return LM_E_FORMAT;
    const lm_json *text = lm_json_get(row, w->trainer->field);
    lm_status status = json_is_string(text) ? count_text(w, lm_span_of(json_string_value(text), json_string_length(text)), &w->err)
                                            : lm_fail(&w->err, LM_E_FORMAT, "expected an object with a text in \"%s\"", w->trainer->field);
    lm_json_free(row);
    return status;
}

static void count_parts(int64_t begin, int64_t end, void *context)
{
    for (worker *w = (worker *)context + begin; w < (worker *)context + end; w++) {
        lm_span rest = w->part;
        for (w->lines = 0; rest.len && !w->err.code; w->lines++) {
            const char *newline = memchr(rest.data, '\n', rest.len);
            size_t n = newline ? (size_t)(newline - rest.data) + 1 : rest.len;
            if (w->trainer->field) count_row(w, lm_span_of(rest.data, n));
            else count_text(w, lm_span_of(rest.data, n), &w->err);
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

/* All words into the first worker's table. */
static lm_words *gather(lm_vocab_trainer *t)
{
    lm_words *words = &t->workers[0].words;
    for (int i = 1; i < t->n_workers; i++) lm_words_merge(words, &t->workers[i].words);
    t->dropped += (int64_t)lm_words_prune(words, MOST_WORDS);
    return words;
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
    for (int i = 0; i < t->n_workers; i++) {
        worker *w = &t->workers[i];
        t->lines += w->lines;
        if (w->err.code) return lm_fail(err, w->err.code, "line %lld: %s", (long long)t->lines, w->err.message);
    }
    if (++t->n_blocks % MERGE_EVERY == 0) gather(t);
    return LM_OK;
}

/* How much of text is whole lines; where a line of text is too long, up to a space. */
static size_t complete(lm_span text, bool rows)
{
    const char *newline = memrchr(text.data, '\n', text.len);
    if (newline) return (size_t)(newline - text.data) + 1;
    if (rows || text.len < LONGEST) return 0;
    const char *space = memrchr(text.data, ' ', text.len);
    return space && space > text.data ? (size_t)(space - text.data) : text.len;
}

static lm_status feed_stream(lm_vocab_trainer *t, lm_stream *stream, lm_err *err)
{
    lm_str text = {0};
    lm_status status = LM_OK;
    for (bool end = false; !end && !status;) {
        size_t got = 0;
        lm_str_reserve(&text, text.len + BLOCK);
        status = lm_stream_read(stream, text.data + text.len, BLOCK, &got, err);
        if (status) break;
        text.len += got;
        end = got < BLOCK;
        size_t ready = end ? text.len : complete(lm_span_of(text.data, text.len), t->field);
        if (!ready && text.len > LONGEST_ROW) status = lm_fail(err, LM_E_FORMAT, "line %lld: a row of more than %d bytes", (long long)t->lines + 1, LONGEST_ROW);
        if (!ready) continue;
        status = count_block(t, lm_span_of(text.data, ready), err);
        memmove(text.data, text.data + ready, text.len - ready);
        text.len -= ready;
    }
    lm_str_free(&text);
    return status;
}

lm_status lm_vocab_trainer_feed_file(lm_vocab_trainer *t, const char *path, const char *field, lm_err *err)
{
    lm_stream *stream;
    LM_TRY(lm_stream_open(&stream, path, err));
    t->field = field;
    t->lines = 0;
    lm_status status = feed_stream(t, stream, err);
    if (status) lm_context(err, "%s", path);
    lm_stream_close(stream);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------- */

lm_status lm_vocab_trainer_finish(lm_vocab_trainer *t, lm_tokenizer **out, lm_err *err)
{
    *out = NULL;
    lm_words *words = gather(t);
    if (t->dropped) lm_log(LM_LOG_WARN, "%lld of the rarest words were dropped to bound memory", (long long)t->dropped);
    if (!words->n) return lm_fail(err, LM_E_FORMAT, "there is no text to train a tokenizer on");
    LM_TRY(t->method->learn(t->document, words, t->options, err));
    lm_json *document = t->document;
    t->document = NULL;
    LM_TRY(lm_tokenizer_adopt(out, document, "the trained tokenizer", err));
    int made = lm_tokenizer_vocab_size(*out);
    if (made < t->options->vocab_size) lm_log(LM_LOG_WARN, "this text gave %d tokens, %lld were asked for", made, (long long)t->options->vocab_size);
    return LM_OK;
}
