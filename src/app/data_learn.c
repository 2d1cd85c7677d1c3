/* malmoi data learn: the models that some filters of `data clean` ask for. */
#include "app/data.h"

#include "base/log.h"
#include "base/table.h"
#include "data/learn.h"
#include "data/source.h"
#include "data/topics.h"

#include <stdio.h>

typedef struct learn_values {
    lm_learn_options o;
    bool json;
} learn_values;

static const char *const tokens[] = { "char", "word", NULL };

static const lm_option options[] = {
    LM_OPTION(CHOICE, learn_values, o.kind, "kind", .choices = lm_learn_names, .required = true, .help = "what is learned, which is the name of the filter"),
    LM_OPTION(STRING, learn_values, o.out, "out", .metavar = "FILE", .required = true, .help = "the model"),
    LM_OPTION(LIST, learn_values, o.as, "as", .metavar = "LABEL=FILE,...", .help = "files whose texts all have that label; may be repeated"),
    LM_OPTION(STRING, learn_values, o.field, "field", .metavar = "NAME", .help = "of a row that holds its text (default: text, document, sentence, review or content)"),
    LM_OPTION(STRING, learn_values, o.label_field, "label-field", .metavar = "NAME", .help = "of a row that holds its label (default: label, labels, class, category or sentiment)"),
    LM_OPTION(INT, learn_values, o.piece, "piece", .fallback = "-1", .min = -1, .max = 1e9, .help = "characters of the pieces that texts are cut into; 0: whole texts; -1: 300 for language, else 0"),
    LM_OPTION(REAL, learn_values, o.held_out, "held-out", .fallback = "0.1", .min = 0, .max = 0.9, .help = "share of the pieces that tells how good the model is"),
    LM_OPTION(INT, learn_values, o.seed, "seed", .fallback = "0", .min = 0, .max = 9e18, .help = "of what is drawn: which are held out, in what order a classifier sees the others, topics' sample"),
    LM_OPTION(INT, learn_values, o.epochs, "epochs", .fallback = "3", .min = 1, .max = 1000, .help = "classifier: how often it sees each"),
    LM_OPTION(REAL, learn_values, o.rate, "rate", .fallback = "0.1", .min = 1e-6, .max = 100, .help = "classifier: the first step's size"),
    LM_OPTION(INT, learn_values, o.order, "order", .fallback = "5", .min = 1, .max = 8, .help = "perplexity: tokens of the longest n-grams"),
    LM_OPTION(CHOICE, learn_values, o.words, "tokens", .choices = tokens, .fallback = "char", .help = "perplexity: what a token is"),
    LM_OPTION(INT, learn_values, o.least, "min-count", .fallback = "2", .min = 1, .max = 1e6, .help = "perplexity: n-grams of three tokens and more are kept from that count on"),
    LM_OPTION(INT, learn_values, o.topics, "topics", .fallback = "10", .min = 2, .max = LM_TOPICS_MOST, .help = "topics: how many, at most"),
    LM_OPTION(INT, learn_values, o.sample, "sample", .fallback = "20k", .min = 2, .max = 1e8, .help = "topics: pieces that are learned from, drawn from all"),
    LM_OPTION(STRING, learn_values, o.format, "format", .metavar = "NAME", .help = "of the files: jsonl, csv, tsv or text (default: by their names)"),
    LM_OPTION(STRING, learn_values, o.separator, "separator", .metavar = "LINE", .help = "text files: the line between two documents"),
    LM_OPTION(CHOICE, learn_values, o.on_error, "on-error", .choices = lm_on_error, .fallback = "stop", .help = "a malformed row ends the run, or is counted and listed"),
    LM_OPTION(FLAG, learn_values, json, "json", .help = "print the report as JSON"),
    { 0 },
};

static void print_labels(const lm_json *report)
{
    const char *name;
    lm_json *label;
    lm_str out = {0};
    lm_table t = lm_table_start("lrrr");
    lm_table_cells(&t, "label", "held out", "precision", "recall");
    lm_table_rule(&t);
    json_object_foreach(json_object_get(report, "labels"), name, label) {
        lm_table_put(&t, "%s", name);
        lm_table_put(&t, "%lld", (long long)json_integer_value(json_object_get(label, "held_out")));
        lm_table_put(&t, "%.3f", json_real_value(json_object_get(label, "precision")));
        lm_table_put(&t, "%.3f", json_real_value(json_object_get(label, "recall")));
    }
    lm_table_print(&t, &out);
    lm_table_free(&t);
    fputs(out.data, stdout);
    printf("\naccuracy %.4f\n", json_real_value(json_object_get(report, "accuracy")));
    lm_str_free(&out);
}

static void print_perplexity(const lm_json *report)
{
    const char *share;
    lm_json *value;
    printf("%lld n-grams over %lld tokens\nperplexity of what was held out:", (long long)json_integer_value(json_object_get(report, "ngrams")),
           (long long)json_integer_value(json_object_get(report, "vocabulary")));
    json_object_foreach(json_object_get(report, "perplexity"), share, value) printf("  %s %.1f", share, json_real_value(value));
    printf("\n");
}

static void print_topics(const lm_json *report)
{
    size_t i, w;
    lm_json *topic, *word;
    lm_str out = {0};
    json_array_foreach(json_object_get(report, "topics"), i, topic) {
        lm_str_printf(&out, "%5.1f%%  cosine %.2f ", 100 * json_real_value(json_object_get(topic, "share")), json_real_value(json_object_get(topic, "cosine")));
        json_array_foreach(json_object_get(topic, "words"), w, word) lm_str_printf(&out, " %s", json_string_value(word));
        lm_str_printf(&out, "\n        %s\n", json_string_value(json_object_get(topic, "example")));
    }
    fputs(out.data, stdout);
    lm_str_free(&out);
}

static void print(const lm_json *report, const learn_values *v)
{
    long long left = (long long)json_integer_value(json_object_get(report, "left_out"));
    if (v->o.kind == LM_LEARN_PERPLEXITY) print_perplexity(report);
    else if (v->o.kind == LM_LEARN_TOPICS) print_topics(report);
    else print_labels(report);
    if (left) printf("%lld texts were left out: more than can be held in memory\n", left);
    printf("%s: learned from %lld rows in %lld pieces, %lld of them held out\n", v->o.out, (long long)json_integer_value(json_object_get(report, "rows")),
           (long long)json_integer_value(json_object_get(report, "pieces")), (long long)json_integer_value(json_object_get(report, "held_out")));
}

static lm_status run(lm_call *call, lm_err *err)
{
    const learn_values *v = call->values;
    lm_json *report = NULL;
    lm_skipped skipped = {0};
    lm_status status = lm_learn_files(&report, &skipped, &call->args, &v->o, err);
    lm_skipped_tell(&skipped);
    lm_skipped_free(&skipped);
    if (status == LM_OK && !v->json) print(report, v);
    if (status == LM_OK && v->json) lm_print_json(json_incref(report));
    lm_json_free(report);
    return status;
}

const lm_command lm_data_learn = {
    .name = "learn",
    .summary = "learn what the filters language, classifier, perplexity and topics go by",
    .usage = "--kind NAME [IN...] [--as LABEL=FILE] --out FILE [options]",
    .example = "malmoi data learn --kind language --as ko=acts.jsonl --as en=shakespeare.txt --out languages.safetensors\n"
               "malmoi data learn --kind classifier reviews.tsv --out reviews.safetensors\n"
               "malmoi data learn --kind perplexity good.jsonl --order 5 --out usual.safetensors\n"
               "malmoi data learn --kind topics corpus.jsonl --topics 20 --out topics.safetensors\n"
               "malmoi data clean corpus.jsonl --filter language:model=languages.safetensors,languages=ko --filter perplexity:model=usual.safetensors,max=50 --out clean.jsonl",
    .options = options,
    .values_size = sizeof(learn_values),
    .run = run,
};
