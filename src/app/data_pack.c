/* malmoi data pack: rows made into tokens and blocks ahead of training. */
#include "app/data.h"

#include "backend/backend.h"
#include "base/log.h"
#include "data/source.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

#define OPTION(kind, field, name, ...) LM_OPTION(kind, lm_train_options, field, name, __VA_ARGS__)

/* Over the options of a run, of which these say what its blocks are. */
static const lm_option options[] = {
    OPTION(STRING, model, "model", .required = true, .metavar = "FOLDER", .help = "whose tokenizer and chat template are used, and whose positions limit the context"),
    OPTION(LIST, data, "data", .required = true, .metavar = "FILE,..", .help = "text, JSONL, CSV or TSV, plain, gzip or zstd; or folders of such"),
    OPTION(STRING, out, "out", .metavar = "FILE", .help = "to be given to train as --data (not needed with --dry-run)"),
    OPTION(INT, context, "context", .fallback = "0", .max = 1 << 24, .help = "tokens in a block; 0: what the model allows, for plain text up to 512"),
    OPTION(FLAG, pack, "pack", .fallback = "true", .help = "documents share a block without seeing each other"),
    OPTION(FLAG, in_order, "in-order", .help = "in the order of the rows, instead of by best fit"),
    OPTION(FLAG, truncate, "truncate", .help = "cut off what is longer than the context, and count it"),
    OPTION(STRING, format, "format", .fallback = "auto", .metavar = "NAME", .help = "of the data: jsonl, csv, tsv or text; auto: by its name"),
    OPTION(STRING, separator, "document-separator", .metavar = "LINE", .help = "line between two documents of a text file; \"\": an empty line"),
    OPTION(CHOICE, on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a row that is malformed or teaches nothing ends the run, or is left out and counted"),
    OPTION(FLAG, dry_run, "dry-run", .help = "print the counts and write nothing"),
    OPTION(FLAG, json, "json", .help = "print them as JSON"),
    { 0 },
};

static lm_status prepare(lm_call *call, lm_err *err)
{
    static const lm_option none[] = { { 0 } };
    lm_train_config *c = lm_call_add(call, NULL, none, sizeof *c);
    call->own = c;
    c->o = call->values;
    c->objective = lm_call_pick(call, "objective", lm_objective_registry, err);
    if (!c->objective) return call->help ? LM_OK : err->code;
    if (c->objective->options) c->objective_options = lm_call_add(call, c->objective->name, c->objective->options, c->objective->options_size);
    return LM_OK;
}

/* Whether blocks are all that a run of the objective needs of its data. */
static bool learns_tokens(const lm_objective *o) { return !o->head && !o->rounds && !o->collect && !o->measure; }

static lm_json *counts(const lm_trainer *t, int64_t bytes)
{
    const lm_dataset *d = &t->corpus.data;
    const lm_blocks *b = &t->corpus.blocks;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "rows", (json_int_t)d->n, "tokens", (json_int_t)d->n_tokens, "context", (json_int_t)t->context, "blocks",
                     (json_int_t)b->n, "lessons", (json_int_t)b->n_lessons, "filled", (double)b->n_lessons / ((double)b->n * (double)t->context), "supervised",
                     (double)b->n_supervised / (double)b->n_lessons, "truncated_rows", (json_int_t)b->n_truncated, "lost_tokens", (json_int_t)b->lost, "skipped_rows",
                     (json_int_t)d->n_skipped, "malformed_rows", (json_int_t)t->corpus.n_malformed, "bytes", (json_int_t)bytes);
}

static void print(const lm_trainer *t, int64_t bytes)
{
    const lm_train_options *o = t->c->o;
    const lm_dataset *d = &t->corpus.data;
    const lm_blocks *b = &t->corpus.blocks;
    char tokens[24], lost[24], size[24];
    if (!o->dry_run) printf("%s: %s\n", o->out, lm_format_bytes(size, (double)bytes));
    printf("rows         %lld, %s tokens\n", (long long)d->n, lm_format_count(tokens, (double)d->n_tokens));
    printf("blocks       %lld of at most %lld, filled to %.2f%%\n", (long long)b->n, (long long)t->context, 100 * (double)b->n_lessons / ((double)b->n * (double)t->context));
    printf("supervised   %.2f%% of the tokens in them\n", 100 * (double)b->n_supervised / (double)b->n_lessons);
    printf("cut off      %s tokens of %lld rows (%.2f%%)\n", lm_format_count(lost, (double)b->lost), (long long)b->n_truncated, 100 * (double)b->lost / (double)(d->n_tokens + d->lost));
    if (d->n_skipped || t->corpus.n_malformed) printf("left out     %lld rows without text, %lld malformed ones\n", (long long)d->n_skipped, (long long)t->corpus.n_malformed);
}

static lm_status pack(const lm_train_config *c, lm_err *err)
{
    lm_trainer t;
    int64_t bytes = 0;
    LM_TRY(lm_trainer_open_corpus(&t, c, err));
    lm_packed_about about = { .tokenizer = lm_tokenizer_fingerprint(t.tokenizer), .context = t.context, .vocab = lm_tokenizer_vocab_size(t.tokenizer), .n_malformed = t.corpus.n_malformed };
    snprintf(about.objective, sizeof about.objective, "%s", c->objective->name);
    lm_status status = LM_OK;
    if (t.corpus.data.parted) status = lm_fail(err, LM_E_UNSUPPORTED, "%s compares the sequences of a row, which are blocks as they are: packing ahead has nothing to do", c->objective->name);
    else if (t.corpus.packed.mapping.data) status = lm_fail(err, LM_E_USAGE, "%s: is packed already", c->o->data.items[0]);
    else if (t.corpus.shares.n) status = lm_fail(err, LM_E_USAGE, "weights are for train, or for data mix before packing: a packed file has every row once");
    else if (!c->o->dry_run) status = lm_packed_write(c->o->out, &t.corpus.data, &t.corpus.blocks, &about, &bytes, err);
    if (status == LM_OK && c->o->json) lm_print_json(counts(&t, bytes));
    else if (status == LM_OK) print(&t, bytes);
    lm_trainer_close(&t);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    lm_train_config *c = call->own;
    lm_kernels null = {0};
    LM_TRY(lm_call_args(call, 0, 0, "no argument but the objective", err));
    if (!learns_tokens(c->objective)) return lm_fail(err, LM_E_UNSUPPORTED, "data pack %s: expected an objective that learns token by token, clm or sft", c->objective->name);
    if (!c->o->dry_run && !c->o->out) return lm_fail(err, LM_E_USAGE, "missing: --out (only --dry-run writes nothing)");
    LM_TRY(lm_backend(&null, "null", err));
    c->k = &null;
    return pack(c, err);
}

static void topics(lm_str *out)
{
    lm_str_puts(out, "objectives\n");
    for (const lm_objective *const *o = lm_objective_registry; *o; o++)
        if (learns_tokens(*o)) lm_help_entry(out, (*o)->name, (*o)->help);
}

const lm_command lm_data_pack = {
    .name = "pack",
    .summary = "make rows into tokens and blocks ahead of training",
    .usage = "OBJECTIVE --model FOLDER --data FILE --out FILE [options]",
    .example = "malmoi data pack sft --model MODEL --data chats.jsonl --context 2048 --out chats.pack\n"
               "malmoi train sft --model MODEL --data chats.pack --out tuned",
    .options = options,
    .values_size = sizeof(lm_train_options),
    .prepare = prepare,
    .topics = topics,
    .run = run,
};
