/* malmoi tokenizer train: a vocabulary from text. */
#include "app/tokenizer.h"

#include "base/file.h"
#include "base/log.h"
#include "token/train.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

typedef struct train_values {
    const char *kind, *out, *pattern, *normalizer, *field;
    lm_strings data, special, alphabet;
    int64_t vocab_size, min_frequency, max_token_length, limit_alphabet;
    double coverage;
    bool initial_alphabet, add_prefix_space, lowercase, byte_fallback, split_digits, split_scripts, keep_spaces;
} train_values;

static const lm_option options[] = {
    LM_OPTION(STRING, train_values, kind, "kind", .fallback = "bpe", .help = "the method of training; see below"),
    LM_OPTION(LIST, train_values, data, "data", .metavar = "FILE,...", .help = "text, or JSONL (*.jsonl); plain or gzip or zstd", .required = true),
    LM_OPTION(STRING, train_values, out, "out", .metavar = "FOLDER", .help = "where tokenizer.json goes", .required = true),
    LM_OPTION(STRING, train_values, field, "field", .metavar = "NAME", .fallback = "text", .help = "of a row of JSONL that holds its text"),
    LM_OPTION(INT, train_values, vocab_size, "vocab-size", .fallback = "32000", .help = "tokens in all", .min = 1, .max = 1 << 24),
    LM_OPTION(INT, train_values, min_frequency, "min-frequency", .fallback = "2", .help = "of a pair that is merged", .min = 0, .max = 1e15),
    LM_OPTION(INT, train_values, max_token_length, "max-token-length", .fallback = "0", .help = "in characters; 0: any, for sentencepiece-bpe and unigram 16", .min = 0, .max = 1e6),
    LM_OPTION(LIST, train_values, special, "special", .metavar = "TOKEN,...", .help = "special tokens; they take the first ids (default: those usual for the kind)"),
    LM_OPTION(INT, train_values, limit_alphabet, "limit-alphabet", .fallback = "0", .help = "single characters that are kept; 0: all", .min = 0, .max = 1e6),
    LM_OPTION(REAL, train_values, coverage, "character-coverage", .fallback = "0.9995", .help = "sentencepiece-bpe, unigram: the share of the text whose characters are kept", .min = 0, .max = 1),
    LM_OPTION(LIST, train_values, alphabet, "alphabet", .metavar = "LETTERS,...", .help = "characters that are kept whether they occur or not"),
    LM_OPTION(FLAG, train_values, initial_alphabet, "initial-alphabet", .fallback = "true", .help = "bpe: all 256 bytes, also those that do not occur"),
    LM_OPTION(STRING, train_values, normalizer, "normalizer", .metavar = "FORM", .help = "none, nfc, nfd, nfkc or nfkd first; for sentencepiece-bpe and unigram also nmt_nfkc, their default"),
    LM_OPTION(STRING, train_values, pattern, "pattern", .metavar = "REGEX", .help = "bpe: how text is cut before: gpt2 (the default), llama3, qwen2, cl100k, o200k, or an expression"),
    LM_OPTION(FLAG, train_values, add_prefix_space, "add-prefix-space", .help = "bpe: a space in front of every text"),
    LM_OPTION(FLAG, train_values, lowercase, "lowercase", .help = "wordpiece: lower case without accents, which takes Hangul apart too"),
    LM_OPTION(FLAG, train_values, byte_fallback, "byte-fallback", .fallback = "true", .help = "sentencepiece-bpe, unigram: tokens for bytes, of which rare characters are made"),
    LM_OPTION(FLAG, train_values, split_digits, "split-digits", .help = "sentencepiece-bpe, unigram: each digit is a token"),
    LM_OPTION(FLAG, train_values, split_scripts, "split-scripts", .fallback = "true", .help = "sentencepiece-bpe, unigram: no token mixes scripts, or letters with signs"),
    LM_OPTION(FLAG, train_values, keep_spaces, "keep-spaces", .help = "sentencepiece-bpe, unigram: spaces count as they are typed, as in LLaMA-2; else runs of them are one, and none stands at an end"),
    { 0 },
};

static void train_topics(lm_str *out)
{
    lm_str_puts(out, "kinds\n");
    for (const lm_token_trainer *const *t = lm_token_trainer_registry; *t; t++) lm_help_entry(out, (*t)->name, (*t)->summary);
}

/* What the progress line needs to know about the stage that runs. */
typedef struct course {
    lm_progress line;
    int64_t bytes;                   /* of all files, 0 where one is packed or a stream */
    const char *stage;
    double started;
} course;

static int64_t bytes_of(const lm_strings *paths)
{
    int64_t sum = 0;
    for (int i = 0; i < paths->n; i++) {
        struct stat about;
        bool packed = lm_ends_with(paths->items[i], ".gz") || lm_ends_with(paths->items[i], ".zst");
        if (packed || stat(paths->items[i], &about) != 0 || !S_ISREG(about.st_mode)) return 0;
        sum += about.st_size;
    }
    return sum;
}

static void train_progress(void *context, const char *stage, int64_t done, int64_t of)
{
    course *c = context;
    char a[24], b[24], left[24];
    double now = lm_now();
    if (!c->stage || strcmp(stage, c->stage) != 0) c->stage = stage, c->started = now;
    if (!of && !strcmp(stage, "bytes")) of = c->bytes;
    lm_format_count(a, (double)done);
    if (!of || done > of) {
        lm_progress_draw(&c->line, false, "%s %s", stage, a);
        return;
    }
    lm_format_seconds(left, done ? (now - c->started) * (double)(of - done) / (double)done : NAN);
    lm_progress_draw(&c->line, false, "%s %s of %s, %s left", stage, a, lm_format_count(b, (double)of), left);
}

static lm_strings usual_specials(const lm_token_trainer *method)
{
    lm_strings list = { .items = (char **)method->specials };
    while (list.items[list.n]) list.n++;
    return list;
}

static lm_status train_on(lm_tokenizer **tk, const train_values *o, const lm_token_trainer *method, course *progress, lm_err *err)
{
    lm_vocab_options settings = {
        .vocab_size = o->vocab_size, .min_frequency = o->min_frequency, .max_token_length = o->max_token_length,
        .limit_alphabet = o->limit_alphabet, .character_coverage = o->coverage, .initial_alphabet = o->alphabet,
        .specials = o->special, .pattern = o->pattern, .normalizer = o->normalizer, .no_initial_alphabet = !o->initial_alphabet,
        .add_prefix_space = o->add_prefix_space, .lowercase = o->lowercase, .no_byte_fallback = !o->byte_fallback,
        .split_digits = o->split_digits, .no_split_scripts = !o->split_scripts, .keep_spaces = o->keep_spaces,
        .progress = train_progress, .context = progress,
    };
    if (!o->special.n) settings.specials = usual_specials(method);
    lm_vocab_trainer *trainer;
    LM_TRY(lm_vocab_trainer_new(&trainer, method, &settings, err));
    lm_status status = LM_OK;
    for (int i = 0; i < o->data.n && !status; i++) {
        const char *path = o->data.items[i];
        status = lm_vocab_trainer_feed_file(trainer, path, strstr(lm_path_name(path), ".jsonl") ? o->field : NULL, err);
    }
    if (!status) status = lm_vocab_trainer_finish(trainer, tk, err);
    lm_vocab_trainer_free(trainer);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    const train_values *o = call->values;
    LM_TRY(lm_call_args(call, 0, 0, "no arguments, only options", err));
    const lm_token_trainer *method = lm_token_trainer_find(o->kind);
    if (!method) return lm_fail(err, LM_E_USAGE, "--kind %s: no such method; see `malmoi tokenizer train --help`", o->kind);
    lm_tokenizer *tk = NULL;
    course progress = { .line = lm_progress_start(call->common.quiet ? NULL : stderr, 10), .bytes = bytes_of(&o->data) };
    lm_status status = train_on(&tk, o, method, &progress, err);
    lm_progress_end(&progress.line);
    if (!status) status = lm_make_dirs(o->out, err);
    if (!status) status = lm_tokenizer_save(tk, o->out, err);
    if (!status) printf("%s: %d tokens\n", o->out, lm_tokenizer_vocab_size(tk));
    lm_tokenizer_free(tk);
    return status;
}

const lm_command lm_tokenizer_train = {
    .name = "train",
    .summary = "learn a vocabulary from text",
    .usage = "--data FILE,... --out FOLDER [options]",
    .example = "malmoi tokenizer train --data text.txt --vocab-size 8000 --out tokenizer\n"
               "malmoi tokenizer train --kind unigram --data laws.jsonl.zst --field text --out tokenizer",
    .options = options,
    .values_size = sizeof(train_values),
    .topics = train_topics,
    .run = run,
};
