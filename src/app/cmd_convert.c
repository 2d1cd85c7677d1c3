/* malmoi convert: a checkpoint of another program becomes a Hugging Face folder.
 *
 * The folder appears whole or not at all.  Left out: writing other formats. */
#include "app/command.h"

#include "base/file.h"
#include "base/log.h"
#include "io/folder.h"
#include "io/llama2c.h"
#include "io/staging.h"
#include "token/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct convert_options {
    int from;
    const char *tokenizer, *out;
    bool force, json;
} convert_options;

typedef enum source_format { FROM_AUTO, FROM_LLAMA2C } source_format;
static const char *const formats[] = { "auto", "llama2c", NULL };

static const lm_option options[] = {
    LM_OPTION(CHOICE, convert_options, from, "from", .fallback = "auto", .choices = formats, .help = "what FILE is; auto: by its content"),
    LM_OPTION(STRING, convert_options, tokenizer, "tokenizer", .metavar = "PATH", .help = "its tokenizer (llama2.c's tokenizer.bin, or a folder); comes along"),
    LM_OPTION(STRING, convert_options, out, "out", .letter = 'o', .metavar = "FOLDER", .required = true, .help = "where the model goes"),
    LM_OPTION(FLAG, convert_options, force, "force", .help = "replace a model folder that stands there"),
    LM_OPTION(FLAG, convert_options, json, "json", .help = "one JSON object"),
    { 0 },
};

static lm_status check_source(const char *path, const convert_options *o, lm_err *err)
{
    lm_kind kind;
    if (o->from != FROM_AUTO) return LM_OK;
    LM_TRY(lm_kind_of_path(&kind, path, err));
    if (kind == LM_KIND_LLAMA2C) return LM_OK;
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: %s; convert reads llama2.c models (say --from llama2c to see what is wrong with one)",
                   path, lm_kind_name(kind));
}

/* --force takes a model's folder away, never one with other things in it. */
static lm_status check_target(const convert_options *o, lm_err *err)
{
    lm_kind kind = LM_KIND_MODEL;
    if (!o->force || !lm_file_exists(o->out)) return LM_OK;
    LM_TRY(lm_kind_of_path(&kind, o->out, err));
    if (kind == LM_KIND_MODEL) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: --force replaces a model folder, this is none", o->out);
}

/* llama2.c stores a vocabulary of exactly the model's size. */
static lm_status load_tokenizer(lm_tokenizer **out, const char *path, const lm_llama2c_header *h, lm_err *err)
{
    LM_TRY(lm_tokenizer_load(out, path, err));
    if (lm_tokenizer_vocab_size(*out) == h->vocab_size) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: vocabulary of %d tokens, the model has %" PRId64, path,
                   lm_tokenizer_vocab_size(*out), h->vocab_size);
}

static lm_status write_model(const char *path, const convert_options *o, const lm_tokenizer *tk, lm_err *err)
{
    lm_staging staging;
    LM_TRY(lm_staging_begin(&staging, o->out, o->force, err));
    lm_status status = lm_llama2c_convert(path, staging.path, err);
    if (status == LM_OK && tk) status = lm_tokenizer_save(tk, staging.path, err);
    return lm_staging_end(&staging, status, err);
}

static void report(const char *path, const convert_options *o, const lm_llama2c_header *h)
{
    if (o->json) {
        lm_print_json(json_pack("{s:s, s:s, s:I, s:I, s:I}", "out", o->out, "from", formats[FROM_LLAMA2C],
                                "layers", (json_int_t)h->n_layers, "hidden_size", (json_int_t)h->dim,
                                "vocab_size", (json_int_t)h->vocab_size));
    } else {
        printf("%s: LLaMA of %" PRId64 " layers, hidden size %" PRId64 ", vocabulary %" PRId64 ", from %s\n", o->out,
               h->n_layers, h->dim, h->vocab_size, path);
    }
}

static lm_status run(lm_call *call, lm_err *err)
{
    const convert_options *o = call->values;
    LM_TRY(lm_call_args(call, 1, 1, "FILE", err));
    const char *path = call->args.items[0];
    lm_llama2c_header header;
    lm_tokenizer *tk = NULL;
    LM_TRY(check_source(path, o, err));
    LM_TRY(check_target(o, err));
    LM_TRY(lm_llama2c_inspect(&header, path, err));
    lm_status status = o->tokenizer ? load_tokenizer(&tk, o->tokenizer, &header, err) : LM_OK;
    if (status == LM_OK) status = write_model(path, o, tk, err);
    lm_tokenizer_free(tk);
    LM_TRY(status);
    if (!o->tokenizer) lm_log(LM_LOG_WARN, "%s: has no tokenizer; with --tokenizer FILE it would", o->out);
    report(path, o, &header);
    return LM_OK;
}

const lm_command lm_command_convert = {
    .name = "convert",
    .group = "models",
    .summary = "turn a checkpoint of another program into a model folder",
    .usage = "FILE --out FOLDER [options]",
    .example = "malmoi convert stories260K.bin --from llama2c --tokenizer tok512.bin --out MODEL",
    .options = options,
    .values_size = sizeof(convert_options),
    .run = run,
};
