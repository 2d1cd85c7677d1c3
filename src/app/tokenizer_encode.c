/* malmoi tokenizer encode: a text into ids. */
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "token/tokenizer.h"

#include <stdlib.h>

typedef struct encode_options {
    const char *file, *out;
    bool bos, allow_special, json;
} encode_options;

static const lm_option options[] = {
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

static lm_status run(lm_call *call, lm_err *err)
{
    const encode_options *o = call->values;
    lm_tokenizer *tk = NULL;
    lm_str text = {0};
    lm_ids ids = {0};
    LM_TRY(lm_call_args(call, 1, 2, "TOKENIZER [TEXT]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status) status = lm_tokenizer_text(&text, lm_tokenizer_argument(call), o->file, err);
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

const lm_command lm_tokenizer_encode = {
    .name = "encode",
    .summary = "a text into ids",
    .usage = "TOKENIZER [TEXT] [options]",
    .example = "malmoi tokenizer encode model \"Once upon a time\"\nmalmoi tokenizer encode model --file text.txt --json",
    .notes = "TOKENIZER is a model folder, a tokenizer file of any kind, or a GGUF.",
    .options = options,
    .values_size = sizeof(encode_options),
    .run = run,
};
