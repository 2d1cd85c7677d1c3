/* malmoi tokenizer show: where tokens begin and end. */
#include "app/tokenizer.h"

#include "token/tokenizer.h"

#include <unistd.h>

typedef struct show_options {
    const char *file;
    bool allow_special, ids;
} show_options;

static const lm_option options[] = {
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

static lm_status run(lm_call *call, lm_err *err)
{
    const show_options *o = call->values;
    lm_tokenizer *tk = NULL;
    lm_str text = {0};
    lm_ids ids = {0};
    LM_TRY(lm_call_args(call, 1, 2, "TOKENIZER [TEXT]", err));
    lm_status status = lm_tokenizer_load(&tk, call->args.items[0], err);
    if (!status) status = lm_tokenizer_text(&text, lm_tokenizer_argument(call), o->file, err);
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

const lm_command lm_tokenizer_show = {
    .name = "show",
    .summary = "where the tokens of a text begin and end, and their ids",
    .usage = "TOKENIZER [TEXT] [options]",
    .example = "malmoi tokenizer show model \"Once upon a time\"",
    .options = options,
    .values_size = sizeof(show_options),
    .run = run,
};
