/* malmoi tokenizer decode: ids into a text. */
#include "app/tokenizer.h"

#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct decode_options {
    const char *file;
    bool skip_special, json;
} decode_options;

static const lm_option options[] = {
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

static lm_status run(lm_call *call, lm_err *err)
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

const lm_command lm_tokenizer_decode = {
    .name = "decode",
    .summary = "ids into a text",
    .usage = "TOKENIZER [ID ...] [options]",
    .example = "malmoi tokenizer encode model --file text.txt --json | malmoi tokenizer decode model",
    .options = options,
    .values_size = sizeof(decode_options),
    .run = run,
};
