/* malmoi tokenizer encode: a text into ids, printed or packed into a file.
 *
 * The text is read part by part and encoded by all cores; the ids are those of the whole text.  A file of
 * ids is nothing but little-endian integers, of 16 bits where every id fits and of 32 where not, which
 * numpy.fromfile(path, "<u2") reads. */
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "io/stream.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef enum width { BY_VOCABULARY, U16, U32 } width;
static const char *const widths[] = { "auto", "u16", "u32", NULL };

typedef struct encode_options {
    const char *file, *out;
    bool bos, allow_special, json;
    int dtype;
} encode_options;

static const lm_option options[] = {
    LM_OPTION(STRING, encode_options, file, "file", .metavar = "FILE", .help = "the text to encode, plain or gzip or zstd; - is standard input"),
    LM_OPTION(STRING, encode_options, out, "out", .metavar = "FILE", .help = "write the ids here, as little-endian integers and nothing else"),
    LM_OPTION(CHOICE, encode_options, dtype, "dtype", .choices = widths, .fallback = "auto", .help = "of the integers; auto: u16 where the vocabulary has at most 65536 ids"),
    LM_OPTION(FLAG, encode_options, bos, "bos", .fallback = "true", .help = "add the tokens that the tokenizer puts around a text"),
    LM_OPTION(FLAG, encode_options, allow_special, "allow-special", .help = "special tokens in the text are those tokens, not plain text"),
    LM_OPTION(FLAG, encode_options, json, "json", .help = "print {\"ids\": [...]}, or with --out what was written"),
    { 0 },
};

/* ---- where ids go --------------------------------------------------------------------------------- */

typedef struct sink {
    lm_writer file;
    int bytes;                       /* of an id in the file; 0: ids stay in memory */
    lm_ids ids;                      /* not written yet */
    uint64_t count;
} sink;

static lm_status open_sink(sink *s, const encode_options *o, const lm_tokenizer *tk, lm_err *err)
{
    int ids = lm_tokenizer_vocab_size(tk);
    if (!o->out) return LM_OK;
    if (o->dtype == U16 && ids > 1 << 16)
        return lm_fail(err, LM_E_USAGE, "--dtype u16: the vocabulary has %d ids, expected at most 65536", ids);
    s->bytes = o->dtype == U32 || ids > 1 << 16 ? 4 : 2;
    return lm_writer_open(&s->file, o->out, err);
}

/* Errors of the stream surface when it is committed. */
static void drain(sink *s)
{
    uint8_t packed[4096];
    size_t n = 0;
    for (size_t i = 0; i < s->ids.len; i++) {
        for (int b = 0; b < s->bytes; b++) packed[n++] = (uint8_t)((uint32_t)s->ids.data[i] >> 8 * b);
        if (n + 4 <= sizeof packed && i + 1 < s->ids.len) continue;
        fwrite(packed, 1, n, s->file.stream);
        n = 0;
    }
    s->count += s->ids.len;
    s->ids.len = 0;
}

/* ---- the work -------------------------------------------------------------------------------------------- */

static void draw(lm_progress *line, const lm_stream *in, double started)
{
    char done[24], rate[24], left[24];
    double seconds = lm_now() - started;
    if (seconds < 1) return;
    double place = (double)lm_stream_place(in), part = lm_stream_fraction(in);
    lm_format_bytes(done, place);
    lm_format_bytes(rate, place / seconds);
    if (part > 0) lm_progress_draw(line, false, "encoded %s (%.0f%%), %s/s, %s left", done, 100 * part, rate, lm_format_seconds(left, seconds / part - seconds));
    else lm_progress_draw(line, false, "encoded %s, %s/s", done, rate);
}

static lm_status encode_stream(lm_text_encoder *encoder, sink *s, lm_stream *in, lm_progress *line, lm_err *err)
{
    enum { BUFFER = 1 << 20 };
    char *buffer = lm_malloc(BUFFER);
    double started = lm_now();
    lm_status status = LM_OK;
    for (size_t got = 1; got && !status;) {
        status = lm_stream_read(in, buffer, BUFFER, &got, err);
        if (!status) status = lm_text_encoder_push(encoder, &s->ids, buffer, got, err);
        if (s->bytes) drain(s);
        draw(line, in, started);
    }
    free(buffer);
    return status;
}

static lm_status encode_source(lm_text_encoder *encoder, sink *s, const char *text, const char *file, bool quiet, lm_err *err)
{
    if (text && file) return lm_fail(err, LM_E_USAGE, "a text and --file were both given; expected one of them");
    lm_status status;
    if (text) {
        status = lm_text_encoder_push(encoder, &s->ids, text, strlen(text), err);
    } else {
        lm_stream *in = NULL;
        lm_progress line = lm_progress_start(quiet ? NULL : stderr, 10);
        status = lm_stream_open(&in, file ? file : "-", err);
        if (!status) status = encode_stream(encoder, s, in, &line, err);
        lm_progress_clear(&line);
        lm_stream_close(in);
    }
    if (!status) status = lm_text_encoder_finish(encoder, &s->ids, err);
    return status;
}

/* ---- what is said ------------------------------------------------------------------------------------------ */

static void print_ids(const lm_ids *ids, bool json)
{
    if (json) printf("{\"ids\": [");
    for (size_t i = 0; i < ids->len; i++) printf("%s%d", i == 0 ? "" : json ? ", " : " ", ids->data[i]);
    printf(json ? "]}\n" : "\n");
    fflush(stdout);                  /* before large tables are freed: whoever waits for the ids has them */
}

static void print_summary(const sink *s, const encode_options *o, double seconds)
{
    char took[24];
    const char *dtype = s->bytes == 2 ? "u16" : "u32";
    if (o->json) {
        lm_print_json(json_pack("{s:s, s:I, s:s, s:f}", "out", o->out, "count", (json_int_t)s->count, "dtype", dtype, "seconds", seconds));
        return;
    }
    printf("%s: %llu ids as %s in %s\n", o->out, (unsigned long long)s->count, dtype, lm_format_seconds(took, seconds));
}

static lm_status encode_with(const lm_tokenizer *tk, sink *s, const lm_call *call, lm_err *err)
{
    const encode_options *o = call->values;
    double started = lm_now();
    LM_TRY(open_sink(s, o, tk, err));
    unsigned flags = (o->bos ? LM_ENCODE_SPECIAL : 0) | (o->allow_special ? LM_ENCODE_ALLOW_SPECIAL : 0);
    lm_text_encoder *encoder = lm_text_encoder_new(tk, flags);
    lm_status status = encode_source(encoder, s, lm_tokenizer_argument(call), o->file, call->common.quiet, err);
    lm_text_encoder_free(encoder);
    LM_TRY(status);
    if (s->ids.replaced) lm_log(LM_LOG_WARN, "%zu bytes are not UTF-8 and were read as U+FFFD", s->ids.replaced);
    if (!s->bytes) return print_ids(&s->ids, o->json), LM_OK;
    drain(s);
    LM_TRY(lm_writer_commit(&s->file, err));
    print_summary(s, o, lm_now() - started);
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    lm_tokenizer *tk = NULL;
    sink s = {0};
    LM_TRY(lm_call_args(call, 1, 2, "TOKENIZER [TEXT]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status) status = encode_with(tk, &s, call, err);
    lm_writer_abort(&s.file);
    lm_ids_free(&s.ids);
    lm_tokenizer_free(tk);
    return status;
}

const lm_command lm_tokenizer_encode = {
    .name = "encode",
    .summary = "a text into ids",
    .usage = "TOKENIZER [TEXT] [options]",
    .example = "malmoi tokenizer encode model \"Once upon a time\"\nmalmoi tokenizer encode model --file text.txt.zst --out ids.bin",
    .notes = "TOKENIZER is a model folder, a tokenizer file of any kind, or a GGUF.  A file is read part by part\n"
             "and encoded by all cores; its ids are those of the whole text.  numpy.fromfile(\"ids.bin\", \"<u2\")\n"
             "reads what --out wrote with u16, \"<u4\" with u32.",
    .options = options,
    .values_size = sizeof(encode_options),
    .run = run,
};
