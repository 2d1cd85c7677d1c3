/* What filters learn and what a person says of them, through the program: models and verdicts that do as they say, and wrong uses
 * that are refused in a line, with nothing written. */
#include "common/program.h"
#include "common/test.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* Runs "line" with the test's folder for each %. */
static program run(const char *line, int code)
{
    program p = {0};
    lm_str full = {0};
    char *folder = test_path("");
    for (const char *at = line; *at; at++) *at == '%' ? lm_str_puts(&full, folder) : lm_str_putc(&full, *at);
    program_line(&p, NULL, full.data);
    if (p.code != code) fail_msg("%s: exit %d, expected %d: %s", full.data, p.code, code, p.err.data ? p.err.data : "");
    lm_str_free(&full);
    free(folder);
    return p;
}

static void must(const char *line, const char *said)
{
    program p = run(line, 0);
    if (!p.out.data || !strstr(p.out.data, said)) fail_msg("%s: expected \"%s\", said \"%s\"", line, said, p.out.data ? p.out.data : "");
    program_free(&p);
}

/* One line that names what is wrong, and no file. */
static void refused(const char *line, int code, const char *words)
{
    char *out = test_path("never.out"), *other = test_path("never.other");
    program p = run(line, code);
    if (!p.err.data || !strstr(p.err.data, words)) fail_msg("%s: expected \"%s\", said \"%s\"", line, words, p.err.data ? p.err.data : "");
    const char *end = strchr(p.err.data, '\n');
    assert_true(!strncmp(p.err.data, "malmoi: ", 8) && end && !end[1]);
    assert_int_equal(p.out.len, 0);
    if (lm_file_exists(out) || lm_file_exists(other)) fail_msg("%s: left a file", line);
    program_free(&p);
    free(out), free(other);
}

static void write_file(const char *name, const char *text)
{
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    free(path);
}

static char *read_file(const char *name)
{
    char *path = test_path(name);
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 26, NULL), LM_OK);
    free(path);
    return lm_str_take(&text);
}

static int setup(void **state)
{
    static const char *const ko[] = { "나는", "학교에", "간다", "하늘이", "맑다", "바람이", "분다" }, *const en[] = { "the", "wind", "blows", "over", "seas", "they", "sing" };
    if (test_folder_make(state)) return -1;
    lm_str rows = {0};
    for (int i = 0; i < 120; i++) {
        const char *const *words = i % 2 ? en : ko;
        lm_str_printf(&rows, "{\"text\": \"%s %s %s %s %s\", \"label\": \"%s\"}\n", words[i % 7], words[i / 2 % 7], words[i / 3 % 7], words[i / 5 % 7], words[(i + 3) % 7], i % 2 ? "en" : "ko");
    }
    write_file("rows.jsonl", rows.data);
    lm_str_free(&rows);
    write_file("broken.jsonl", "{\"text\": \"나는 간다\", \"label\": \"ko\"}\n{\"text\": \"the wind\", \"label\": \"en\"}\n{\"text\": \"they\", \"label\": \n");
    write_file("unlabelled.jsonl", "{\"text\": \"나는 간다\"}\n");
    write_file("alone.jsonl", "{\"text\": \"나는 간다\", \"label\": \"ko\"}\n");
    return 0;
}

/* ---- data learn -------------------------------------------------------------------- */

static void models_are_learnt_and_used(void **state)
{
    (void)state;
    must("data learn --kind language %rows.jsonl --out %language.safetensors", "accuracy 1.0000");
    must("data learn --kind classifier %rows.jsonl --out %classifier.safetensors", "accuracy 1.0000");
    must("data learn --kind perplexity %rows.jsonl --out %perplexity.safetensors", "perplexity of what was held out:");
    must("data learn --kind topics %rows.jsonl --topics 2 --out %topics.safetensors", " 50.0%  cosine");
    must("data stats %rows.jsonl --languages %language.safetensors --topics %topics.safetensors", "languages    ko 50.0% en 50.0%");
    must("data clean %rows.jsonl --filter language:model=%language.safetensors,languages=ko --out %ko.jsonl --rejected %en.jsonl", "kept 60 of 120 documents");
    must("data clean %rows.jsonl --filter topics:model=%topics.safetensors,keep=1 --out %one.jsonl", "kept 60 of 120 documents");
    must("data mix %rows.jsonl --topic %topics.safetensors --rows 30 --out %mix.jsonl", "30 rows");
    must("data learn --kind language --as ko=%ko.jsonl --as en=%en.jsonl --out %again.safetensors", "accuracy 1.0000");
    must("data learn --kind language %broken.jsonl --on-error skip --held-out 0 --out %some.safetensors", "learned from 2 rows");
}

static void wrong_uses_of_learn(void **state)
{
    (void)state;
    refused("data learn --out %never.out %rows.jsonl", 2, "--kind");
    refused("data learn --kind sense --out %never.out %rows.jsonl", 2, "language, classifier, perplexity");
    refused("data learn --kind language %rows.jsonl", 2, "--out");
    refused("data learn --kind language --out %never.out", 2, "expected files, or --as LABEL=FILE");
    refused("data learn --kind perplexity --out %never.out --as ko=%rows.jsonl", 2, "a model of perplexity learns from no labels");
    refused("data learn --kind topics --out %never.out --as ko=%rows.jsonl", 2, "a model of topics learns from no labels");
    refused("data learn --kind language --out %never.out --as ko", 2, "expected LABEL=FILE, found \"ko\"");
    refused("data learn --kind language --out %never.out %nowhere.jsonl", 1, "nowhere.jsonl: there is no such file");
    refused("data learn --kind language --out %never.out %broken.jsonl", 1, "broken.jsonl:3");
    refused("data learn --kind language --out %never.out %unlabelled.jsonl", 1, "unlabelled.jsonl:1: expected a label in one of the fields");
    refused("data learn --kind classifier --out %never.out %alone.jsonl", 1, "expected texts of two labels or more, found 1");
    refused("data learn --kind classifier --out %never.out %rows.jsonl --field body", 1, "rows.jsonl:1: ");
    refused("data learn --kind language --out %never.out %rows.jsonl --held-out 1", 2, "--held-out");
    refused("data learn --kind topics --out %never.out %rows.jsonl --topics 1", 2, "--topics");
    refused("data learn --kind topics --out %never.out %alone.jsonl", 1, "texts that share words with others");
    refused("data learn --kind topics --out %nowhere/never.out %rows.jsonl --topics 2", 1, "nowhere/never.out");
    refused("data clean %rows.jsonl --filter topics:model=%language.safetensors,keep=1 --out %never.out", 1, "expected a \"malmoi topics 1\", found malmoi language model 1");
    refused("data clean %rows.jsonl --filter language:model=%topics.safetensors,languages=ko --out %never.out", 1, "expected a \"malmoi language model 1\", found malmoi topics 1");
    refused("data clean %rows.jsonl --filter topics:model=%topics.safetensors,keep=9 --out %never.out", 1, "label \"9\" is not one of the model's 2");
    refused("data clean %rows.jsonl --filter topics:model=%topics.safetensors --out %never.out", 2, "either keep=TOPIC or drop=TOPIC");
    refused("data clean %rows.jsonl --filter perplexity:model=%rows.jsonl,max=3 --out %never.out", 1, "rows.jsonl");
    refused("data clean %rows.jsonl --filter unicode --out %never.out --report %nowhere/never.html", 1, "nowhere/never.html");
    refused("data mix %rows.jsonl --out %never.out --report %nowhere/never.json", 1, "nowhere/never.json");
    refused("data dedup %rows.jsonl --out %never.out --report %nowhere/never.json", 1, "nowhere/never.json");
    refused("data stats %rows.jsonl --languages %topics.safetensors", 1, "expected a \"malmoi language model 1\"");
    refused("data stats %rows.jsonl --topics %language.safetensors", 1, "expected a \"malmoi topics 1\"");
    refused("data stats %rows.jsonl --model %nowhere", 1, "nowhere");
    refused("data stats %rows.jsonl --model %nowhere --objective grpo", 1, "expected one that learns token by token");
    refused("data stats %rows.jsonl --model %nowhere --objective none", 2, "there is no such objective");
    refused("data mix %rows.jsonl --topic %nowhere.safetensors --out %never.out", 1, "nowhere.safetensors");
}

/* ---- data review ------------------------------------------------------------------- */

static void verdicts_are_merged(void **state)
{
    (void)state;
    must("data clean %rows.jsonl --filter language:model=%language.safetensors,languages=ko --out %kept.jsonl --rejected %rejected.jsonl", "kept 60 of 120 documents");
    must("data review --kept %kept.jsonl --rejected %rejected.jsonl --per-stratum 3 --out %sample.tsv --page %sample.html", "6 documents to judge");
    char *sample = read_file("sample.tsv"), *at = sample;
    lm_str judged = {0}, odd = {0}, twice = {0};
    for (int line = 0; (at = strchr(at, '\n')); at++, line++) {
        char *end = at[1] ? strchr(at + 1, '\n') : NULL;
        lm_str *row = &judged;
        if (!line) lm_str_append(row, sample, (size_t)(at - sample)), lm_str_putc(row, '\n');
        if (end) lm_str_printf(row, "%s%.*s\n", line ? "good" : "bad", (int)(end - at - 1), at + 1);
        if (line == 1) {
            lm_str_printf(&odd, "%.*s\nmaybe%.*s\n", (int)(strchr(sample, '\n') - sample), sample, (int)(end - at - 1), at + 1);
            lm_str_printf(&twice, "%.*s\ngood%.*s\nbad%.*s\n", (int)(strchr(sample, '\n') - sample), sample, (int)(end - at - 1), at + 1, (int)(end - at - 1), at + 1);
        }
    }
    write_file("judged.tsv", judged.data);
    write_file("odd.tsv", odd.data);
    write_file("twice.tsv", twice.data);
    must("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %judged.tsv", "66.7%");
    must("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %judged.tsv --out-kept %kept2.jsonl --out-rejected %rejected2.jsonl", "3 documents went back to");
    free(sample);
    lm_str_free(&judged), lm_str_free(&odd), lm_str_free(&twice);
}

static void wrong_uses_of_review(void **state)
{
    (void)state;
    refused("data review --out %never.out", 2, "expected --kept, --rejected, or both");
    refused("data review --kept %kept.jsonl", 2, "expected --out for a sample, or --merge with verdicts");
    refused("data review --kept %kept.jsonl --out %never.out extra", 2, "extra");
    refused("data review --kept %kept.jsonl --out %never.out --per-stratum 0", 2, "--per-stratum");
    refused("data review --kept %nowhere.jsonl --out %never.out", 1, "nowhere.jsonl: there is no such file");
    refused("data review --rejected %kept.jsonl --out %never.out", 1, "kept.jsonl:1: expected a field \"rejected_by\"");
    refused("data review --kept %broken.jsonl --out %never.out", 1, "broken.jsonl:3");
    refused("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %judged.tsv --out-kept %never.out", 2, "--out-kept and --out-rejected together");
    refused("data review --kept %kept.jsonl --merge %judged.tsv --out-kept %never.out --out-rejected %never.other", 2, "expected --merge, --kept and --rejected with it");
    refused("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %odd.tsv --out-kept %never.out --out-rejected %never.other", 1, "odd.tsv:2: verdict: expected good, bad or nothing, found \"maybe\"");
    refused("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %twice.tsv --out-kept %never.out --out-rejected %never.other", 1, "twice.tsv:3: a second verdict on line");
    refused("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %rows.jsonl --out-kept %never.out --out-rejected %never.other", 1, "rows.jsonl:1: expected verdict, stratum, line and id");
    refused("data review --kept %kept2.jsonl --rejected %rejected2.jsonl --merge %judged.tsv --out-kept %never.out --out-rejected %never.other", 1, "the row is not the one that was judged");
    refused("data review --kept %kept.jsonl --rejected %rejected.jsonl --merge %judged.tsv --out-kept %never.out --out-rejected %nowhere/x", 1, "nowhere/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_learnt_and_used), cmocka_unit_test(wrong_uses_of_learn), cmocka_unit_test(verdicts_are_merged), cmocka_unit_test(wrong_uses_of_review),
    };
    return cmocka_run_group_tests(tests, setup, test_folder_remove);
}
