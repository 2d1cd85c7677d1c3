/* malmoi tokenizer: train one, encode and decode with it, look at what it does. */
#include "app/tokenizer.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

static const size_t text_limit = (size_t)1 << 40;

lm_status lm_tokenizer_text(lm_str *out, const char *text, const char *file, lm_err *err)
{
    if (text && file) return lm_fail(err, LM_E_USAGE, "a text and --file were both given; expected one of them");
    if (file && strcmp(file, "-") != 0) return lm_file_read(out, file, text_limit, err);
    if (text) return lm_str_puts(out, text), LM_OK;
    char buffer[1 << 16];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, stdin)) > 0;) lm_str_append(out, buffer, n);
    return ferror(stdin) ? lm_fail(err, LM_E_IO, "standard input cannot be read") : LM_OK;
}

const char *lm_tokenizer_argument(const lm_call *call) { return call->args.n > 1 ? call->args.items[1] : NULL; }

static const lm_command *const commands[] = { &lm_tokenizer_train, &lm_tokenizer_encode, &lm_tokenizer_decode, &lm_tokenizer_show, &lm_tokenizer_convert, &lm_tokenizer_stats, NULL };

const lm_command lm_command_tokenizer = {
    .name = "tokenizer",
    .group = "data",
    .summary = "train, use and compare tokenizers",
    .example = "malmoi tokenizer encode model \"Once upon a time\"",
    .commands = commands,
};
