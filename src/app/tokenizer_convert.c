/* malmoi tokenizer convert: the same tokenizer in another format, or a refusal. */
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "token/writer.h"

#include <stdlib.h>
#include <string.h>

typedef struct convert_options {
    const char *to;
    bool allow_loss;
} convert_options;

static const lm_option options[] = {
    LM_OPTION(STRING, convert_options, to, "to", .metavar = "FORMAT", .help = "the format; by default what OUT's name says"),
    LM_OPTION(FLAG, convert_options, allow_loss, "allow-loss", .help = "keep what was written also where its ids differ, with a warning"),
    { 0 },
};

static const lm_token_writer *find_writer(const char *name, const char *path)
{
    const lm_token_writer *folder = NULL;
    for (const lm_token_writer *const *w = lm_token_writer_registry; *w; w++) {
        if (name ? !strcmp((*w)->name, name) : lm_ends_with(path, (*w)->file)) return *w;
        if (!strcmp((*w)->name, "tokenizer.json")) folder = *w;
    }
    return name || strchr(lm_path_name(path), '.') ? NULL : folder;
}

static lm_status no_writer(const char *name, const char *path, lm_err *err)
{
    lm_str known = {0};
    for (const lm_token_writer *const *w = lm_token_writer_registry; *w; w++) lm_str_printf(&known, "%s%s", known.len ? ", " : "", (*w)->name);
    lm_status status = name ? lm_fail(err, LM_E_USAGE, "--to %s: no such format; expected one of %s", name, known.data)
                            : lm_fail(err, LM_E_USAGE, "%s: its name does not say the format; give --to, one of %s", path, known.data);
    lm_str_free(&known);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const convert_options *o = call->values;
    LM_TRY(lm_call_args(call, 2, 2, "IN OUT", err));
    const char *in = call->args.items[0], *out = call->args.items[1];
    const lm_token_writer *writer = find_writer(o->to, out);
    if (!writer) return no_writer(o->to, out, err);
    char *path = writer->folder && lm_ends_with(out, writer->file) ? lm_strndup(out, (size_t)(lm_path_name(out) - out)) : lm_strdup(out);
    lm_tokenizer *tk = NULL;
    lm_str note = {0};
    lm_status status = lm_tokenizer_load(&tk, in, err);
    if (!status) status = lm_tokenizer_write(writer, tk, *path ? path : ".", &note, err);
    if (status == LM_E_MISMATCH && o->allow_loss) {
        lm_log(LM_LOG_WARN, "%s", err->message);
        lm_err_clear(err);
        status = LM_OK;
    } else if (status == LM_E_MISMATCH) {
        lm_context(err, "--allow-loss keeps it");
    }
    if (!status && note.len) lm_log(LM_LOG_WARN, "%s", note.data);
    if (!status) printf("%s: %d tokens as %s\n", out, lm_tokenizer_vocab_size(tk), writer->name);
    lm_str_free(&note);
    lm_tokenizer_free(tk);
    free(path);
    return status;
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "formats\n");
    for (const lm_token_writer *const *w = lm_token_writer_registry; *w; w++) lm_help_entry(out, (*w)->name, (*w)->summary);
}

const lm_command lm_tokenizer_convert = {
    .name = "convert",
    .summary = "the same tokenizer in another format, where nothing is lost",
    .usage = "IN OUT [options]",
    .example = "malmoi tokenizer convert tokenizer.model folder\nmalmoi tokenizer convert folder tokenizer.model --to sentencepiece",
    .notes = "What was written is loaded again and compared on a sample text.  IN is read whatever its kind.",
    .options = options,
    .values_size = sizeof(convert_options),
    .topics = topics,
    .run = run,
};
