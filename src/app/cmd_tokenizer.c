/* malmoi tokenizer: train one, encode and decode with it, look at what it does. */
#include "app/command.h"
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "token/tokenizer.h"
#include "token/train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t text_limit = (size_t)1 << 40;

/* ---- what several of them do ---------------------------------------------------------------- */

lm_status lm_tokenizer_text(lm_str *out, const char *text, const char *file, lm_err *err)
{
    if (text && file) return lm_fail(err, LM_E_USAGE, "a text and --file were both given; expected one of them");
    if (file && strcmp(file, "-") != 0) return lm_file_read(out, file, text_limit, err);
    if (text) return lm_str_puts(out, text), LM_OK;
    char buffer[1 << 16];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, stdin)) > 0;) lm_str_append(out, buffer, n);
    return ferror(stdin) ? lm_fail(err, LM_E_IO, "standard input cannot be read") : LM_OK;
}

static const char *text_argument(const lm_call *call) { return call->args.n > 1 ? call->args.items[1] : NULL; }

/* ---- encode -------------------------------------------------------------------------------------- */

typedef struct encode_options {
    const char *file, *out;
    bool bos, allow_special, json;
} encode_options;

static const lm_option encode_table[] = {
    LM_OPTION(STRING, encode_options, file, "file", .metavar = "FILE", .help = "the text to encode; - is standard input"),
    LM_OPTION(STRING, encode_options, out, "out", .metavar = "FILE", .help = "write the ids here, as 32-bit little-endian integers"),
    LM_OPTION(FLAG, encode_options, bos, "bos", .fallback = "true", .help = "add the tokens that the tokenizer puts around a text"),
    LM_OPTION(FLAG, encode_options, allow_special, "allow-special", .help = "special tokens in the text are those tokens, not plain text"),
    LM_OPTION(FLAG, encode_options, json, "json", .help = "print {\"ids\": [...]}"),
    { 0 },
};

static lm_status write_ids(const lm_ids *ids, const char *path, lm_err *err)
{
    uint8_t *bytes = lm_malloc(ids->len * 4);
    for (size_t i = 0; i < ids->len; i++)
        for (int b = 0; b < 4; b++) bytes[4 * i + (size_t)b] = (uint8_t)((uint32_t)ids->data[i] >> 8 * b);
    lm_status status = lm_file_write(path, bytes, ids->len * 4, err);
    free(bytes);
    return status;
}

static void print_ids(const lm_ids *ids, bool json)
{
    if (json) printf("{\"ids\": [");
    for (size_t i = 0; i < ids->len; i++) printf("%s%d", i == 0 ? "" : json ? ", " : " ", ids->data[i]);
    printf(json ? "]}\n" : "\n");
}

static lm_status encode_run(lm_call *call, lm_err *err)
{
    const encode_options *o = call->values;
    lm_tokenizer *tk = NULL;
    lm_str text = {0};
    lm_ids ids = {0};
    LM_TRY(lm_call_args(call, 1, 2, "TOKENIZER [TEXT]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status) status = lm_tokenizer_text(&text, text_argument(call), o->file, err);
    unsigned flags = (o->bos ? LM_ENCODE_SPECIAL : 0) | (o->allow_special ? LM_ENCODE_ALLOW_SPECIAL : 0);
    if (!status) status = lm_encode(tk, &ids, text.data ? text.data : "", text.len, flags, err);
    if (!status && ids.replaced) lm_log(LM_LOG_WARN, "%zu bytes are not UTF-8 and were read as U+FFFD", ids.replaced);
    if (!status && o->out) status = write_ids(&ids, o->out, err);
    if (!status && (!o->out || o->json)) print_ids(&ids, o->json);
    lm_ids_free(&ids);
    lm_str_free(&text);
    lm_tokenizer_free(tk);
    return status;
}

static const lm_command encode_command = {
    .name = "encode",
    .summary = "a text into ids",
    .usage = "TOKENIZER [TEXT] [options]",
    .example = "malmoi tokenizer encode model \"Once upon a time\"\nmalmoi tokenizer encode model --file text.txt --json",
    .notes = "TOKENIZER is a model folder, a tokenizer file of any kind, or a GGUF.",
    .options = encode_table,
    .values_size = sizeof(encode_options),
    .run = encode_run,
};

/* ---- decode ---------------------------------------------------------------------------------------- */

typedef struct decode_options {
    const char *file;
    bool skip_special, json;
} decode_options;

static const lm_option decode_table[] = {
    LM_OPTION(STRING, decode_options, file, "file", .metavar = "FILE", .help = "what `encode` made: JSON, or ids separated by spaces or commas"),
    LM_OPTION(FLAG, decode_options, skip_special, "skip-special", .fallback = "true", .help = "leave out special tokens"),
    LM_OPTION(FLAG, decode_options, json, "json", .help = "print {\"text\": \"...\"}"),
    { 0 },
};

static lm_status push_id(lm_ids *ids, long long id, lm_err *err)
{
    if (id < 0 || id > INT32_MAX) return lm_fail(err, LM_E_USAGE, "id %lld: expected 0 or more", id);
    lm_ids_push(ids, (int32_t)id);
    return LM_OK;
}

static lm_status read_id_json(lm_ids *ids, const lm_str *text, lm_err *err)
{
    lm_json *doc = lm_json_parse(text->data, text->len, "ids", err);
    if (!doc) return LM_E_FORMAT;
    const lm_json *list = json_is_array(doc) ? doc : lm_json_get(doc, "ids");
    lm_status status = json_is_array(list) ? LM_OK : lm_fail(err, LM_E_FORMAT, "expected {\"ids\": [...]} or an array of ids");
    for (size_t i = 0; i < json_array_size(list) && !status; i++) {
        const lm_json *item = json_array_get(list, i);
        status = json_is_integer(item) ? push_id(ids, json_integer_value(item), err) : lm_fail(err, LM_E_FORMAT, "ids: entry %zu is not an integer", i);
    }
    lm_json_free(doc);
    return status;
}

static lm_status read_ids(lm_ids *ids, const lm_str *text, lm_err *err)
{
    const char *p = text->data ? text->data : "";
    p += strspn(p, " \t\r\n");
    if (*p == '{' || *p == '[') return read_id_json(ids, text, err);
    while (*(p += strspn(p, " ,\t\r\n"))) {
        char *end;
        long long id = strtoll(p, &end, 10);
        if (end == p) return lm_fail(err, LM_E_USAGE, "ids: \"%.20s\" is not an id", p);
        LM_TRY(push_id(ids, id, err));
        p = end;
    }
    return LM_OK;
}

static lm_status decode_run(lm_call *call, lm_err *err)
{
    const decode_options *o = call->values;
    lm_tokenizer *tk = NULL;
    lm_str source = {0}, text = {0};
    lm_ids ids = {0};
    LM_TRY(lm_call_args(call, 1, -1, "TOKENIZER [ID ...]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status && call->args.n > 1)
        for (int i = 1; i < call->args.n; i++) lm_str_printf(&source, "%s ", call->args.items[i]);
    else if (!status)
        status = lm_tokenizer_text(&source, NULL, o->file, err);
    if (!status) status = read_ids(&ids, &source, err);
    if (!status) status = lm_decode(tk, &text, ids.data, ids.len, o->skip_special ? LM_DECODE_SKIP_SPECIAL : 0, err);
    if (!status && o->json) {
        lm_json *string = json_stringn(text.data ? text.data : "", text.len);
        if (string) lm_print_json(json_pack("{s:o}", "text", string));
        else status = lm_fail(err, LM_E_FORMAT, "the text is not UTF-8, which JSON cannot hold; leave --json out");
    } else if (!status) {
        fwrite(text.data, 1, text.len, stdout);
    }
    lm_ids_free(&ids);
    lm_str_free(&source);
    lm_str_free(&text);
    lm_tokenizer_free(tk);
    return status;
}

static const lm_command decode_command = {
    .name = "decode",
    .summary = "ids into a text",
    .usage = "TOKENIZER [ID ...] [options]",
    .example = "malmoi tokenizer encode model --file text.txt --json | malmoi tokenizer decode model",
    .options = decode_table,
    .values_size = sizeof(decode_options),
    .run = decode_run,
};

/* ---- show ----------------------------------------------------------------------------------------------- */

typedef struct show_options {
    const char *file;
    bool allow_special, ids;
} show_options;

static const lm_option show_table[] = {
    LM_OPTION(STRING, show_options, file, "file", .metavar = "FILE", .help = "the text; - is standard input"),
    LM_OPTION(FLAG, show_options, allow_special, "allow-special", .help = "special tokens in the text are those tokens"),
    LM_OPTION(FLAG, show_options, ids, "ids", .fallback = "true", .help = "list each token with its id"),
    { 0 },
};

/* Tokens that share a character are shown as one, because the terminal cannot show half a character. */
static lm_status show_tokens(const lm_tokenizer *tk, const lm_ids *ids, bool colour, lm_err *err)
{
    static const int colours[] = { 44, 42, 45, 46, 43 };
    lm_decoder *decoder = lm_decoder_new(tk, 0);
    lm_str text = {0};
    lm_status status = LM_OK;
    size_t shown = 0;
    for (size_t i = 0; i <= ids->len && !status; i++) {
        lm_str_clear(&text);
        if (i < ids->len) status = lm_decoder_push(decoder, ids->data[i], &text, err);
        else lm_decoder_finish(decoder, &text);
        if (!text.len) continue;
        if (colour) printf("\033[97;%dm%s\033[0m", colours[shown++ % 5], text.data);
        else printf("%s%s", shown++ ? "|" : "", text.data);
    }
    printf("\n");
    lm_str_free(&text);
    lm_decoder_free(decoder);
    return status;
}

static lm_status show_run(lm_call *call, lm_err *err)
{
    const show_options *o = call->values;
    lm_tokenizer *tk = NULL;
    lm_str text = {0};
    lm_ids ids = {0};
    LM_TRY(lm_call_args(call, 1, 2, "TOKENIZER [TEXT]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status) status = lm_tokenizer_text(&text, text_argument(call), o->file, err);
    unsigned flags = LM_ENCODE_SPECIAL | (o->allow_special ? LM_ENCODE_ALLOW_SPECIAL : 0);
    if (!status) status = lm_encode(tk, &ids, text.data ? text.data : "", text.len, flags, err);
    if (!status) status = show_tokens(tk, &ids, isatty(STDOUT_FILENO), err);
    for (size_t i = 0; i < ids.len && !status && o->ids; i++) {
        lm_span token = lm_token_text(tk, ids.data[i]);
        printf("%8d  %.*s%s\n", ids.data[i], (int)token.len, token.data, lm_token_is_special(tk, ids.data[i]) ? "  (special)" : "");
    }
    if (!status) printf("%zu tokens for %zu bytes\n", ids.len, text.len);
    lm_ids_free(&ids);
    lm_str_free(&text);
    lm_tokenizer_free(tk);
    return status;
}

static const lm_command show_command = {
    .name = "show",
    .summary = "where the tokens of a text begin and end, and their ids",
    .usage = "TOKENIZER [TEXT] [options]",
    .example = "malmoi tokenizer show model \"Once upon a time\"",
    .options = show_table,
    .values_size = sizeof(show_options),
    .run = show_run,
};

/* ---- train -------------------------------------------------------------------------------------------------- */

typedef struct train_values {
    const char *kind, *out, *pattern, *normalizer;
    lm_strings data, special;
    int64_t vocab_size, min_frequency, max_token_length, limit_alphabet;
    bool initial_alphabet, add_prefix_space;
} train_values;

static const lm_option train_table[] = {
    LM_OPTION(STRING, train_values, kind, "kind", .fallback = "bpe", .help = "the method of training"),
    LM_OPTION(LIST, train_values, data, "data", .metavar = "FILE,...", .help = "text files, plain or gzip or zstd", .required = true),
    LM_OPTION(STRING, train_values, out, "out", .metavar = "FOLDER", .help = "where tokenizer.json goes", .required = true),
    LM_OPTION(INT, train_values, vocab_size, "vocab-size", .fallback = "32000", .help = "tokens in all", .min = 1, .max = 1 << 24),
    LM_OPTION(INT, train_values, min_frequency, "min-frequency", .fallback = "2", .help = "of a pair that is merged", .min = 0, .max = 1e15),
    LM_OPTION(INT, train_values, max_token_length, "max-token-length", .fallback = "0", .help = "in characters; 0: any", .min = 0, .max = 1e6),
    LM_OPTION(INT, train_values, limit_alphabet, "limit-alphabet", .fallback = "0", .help = "single characters that are kept; 0: all", .min = 0, .max = 1e6),
    LM_OPTION(LIST, train_values, special, "special", .metavar = "TOKEN,...", .fallback = "<|endoftext|>", .help = "special tokens; they take the first ids"),
    LM_OPTION(STRING, train_values, pattern, "pattern", .metavar = "REGEX", .help = "how text is cut before: gpt2 (the default), llama3, qwen2, cl100k, o200k, or an expression"),
    LM_OPTION(STRING, train_values, normalizer, "normalizer", .metavar = "FORM", .help = "nfc, nfd, nfkc or nfkd first"),
    LM_OPTION(FLAG, train_values, initial_alphabet, "initial-alphabet", .fallback = "true", .help = "all 256 bytes, also those that do not occur"),
    LM_OPTION(FLAG, train_values, add_prefix_space, "add-prefix-space", .help = "a space in front of every text"),
    { 0 },
};

static void train_topics(lm_str *out)
{
    lm_str_puts(out, "kinds\n");
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) lm_help_entry(out, (*t)->name, (*t)->summary);
}

static void train_progress(void *context, const char *stage, int64_t done, int64_t of)
{
    char a[24], b[24];
    lm_format_count(a, (double)done);
    if (of) lm_progress_draw(context, false, "%s %s of %s", stage, a, lm_format_count(b, (double)of));
    else lm_progress_draw(context, false, "%s %s", stage, a);
}

static lm_status train_on(lm_tokenizer **tk, const train_values *o, const lm_token_trainer *method, lm_progress *line, lm_err *err)
{
    lm_vocab_options options = {
        .vocab_size = o->vocab_size, .min_frequency = o->min_frequency, .max_token_length = o->max_token_length,
        .limit_alphabet = o->limit_alphabet, .specials = o->special, .pattern = o->pattern, .normalizer = o->normalizer,
        .no_initial_alphabet = !o->initial_alphabet, .add_prefix_space = o->add_prefix_space,
        .progress = train_progress, .context = line,
    };
    lm_vocab_trainer *trainer;
    LM_TRY(lm_vocab_trainer_new(&trainer, method, &options, err));
    lm_status status = LM_OK;
    for (int i = 0; i < o->data.n && !status; i++) status = lm_vocab_trainer_feed_file(trainer, o->data.items[i], err);
    if (!status) status = lm_vocab_trainer_finish(trainer, tk, err);
    lm_vocab_trainer_free(trainer);
    return status;
}

static lm_status train_run(lm_call *call, lm_err *err)
{
    const train_values *o = call->values;
    LM_TRY(lm_call_args(call, 0, 0, "no arguments, only options", err));
    const lm_token_trainer *method = lm_token_trainer_find(o->kind);
    if (!method) return lm_fail(err, LM_E_USAGE, "--kind %s: no such method; see `malmoi tokenizer train --help`", o->kind);
    lm_tokenizer *tk = NULL;
    lm_progress line = lm_progress_start(call->common.quiet ? NULL : stderr, 10);
    lm_status status = train_on(&tk, o, method, &line, err);
    lm_progress_end(&line);
    if (!status) status = lm_make_dirs(o->out, err);
    if (!status) status = lm_tokenizer_save(tk, o->out, err);
    if (!status) printf("%s: %d tokens\n", o->out, lm_tokenizer_vocab_size(tk));
    lm_tokenizer_free(tk);
    return status;
}

static const lm_command train_command = {
    .name = "train",
    .summary = "learn a vocabulary from text",
    .usage = "--data FILE,... --out FOLDER [options]",
    .example = "malmoi tokenizer train --data text.txt --vocab-size 8000 --out tokenizer",
    .options = train_table,
    .values_size = sizeof(train_values),
    .topics = train_topics,
    .run = train_run,
};

/* ---- all ---------------------------------------------------------------------------------------------------- */

static const lm_command *const commands[] = { &train_command, &encode_command, &decode_command, &show_command, NULL };

const lm_command lm_command_tokenizer = {
    .name = "tokenizer",
    .group = "data",
    .summary = "train, use and compare tokenizers",
    .example = "malmoi tokenizer encode model \"Once upon a time\"",
    .commands = commands,
};
