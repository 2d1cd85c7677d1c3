/* Statutes become instructions, are looked at, and are learnt: through the program, from acts to an adapted model.  And what the
 * command says of a wrong use of it. */
#include "common/program.h"
#include "common/test.h"

#include "base/file.h"
#include "base/json.h"
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

static const char act[] = "{\"title\": \"마을숲 보전법\", \"ministry\": [\"산림청\"], \"promulgated\": \"2024-03-05\", \"effective\": \"2024-09-06\", \"text\": \"# 마을숲 보전법\\n\\n"
                          "##### 제1조 (목적)\\n\\n이 법은 마을숲을 지키는 데 이바지함을 목적으로 한다. <개정 2023.8.8>\\n\\n"
                          "##### 제2조 (정의)\\n\\n이 법에서 사용하는 용어의 뜻은 다음과 같다.\\n\\n  1\\\\. \\\"마을숲\\\"이란 주민이 가꾼 숲을 말한다.\\n\\n"
                          "##### 제3조 (신고)\\n\\n**①** 나무를 베려는 자는 30일 전까지 신고하여야 한다.\\n\"}\n";

/* Runs "line" with the test's folder for each %. */
static program run(const char *line, int code)
{
    program p = {0};
    lm_str full = {0};
    char *folder = test_path("");
    for (const char *at = line; *at; at++) *at == '%' ? lm_str_puts(&full, folder) : lm_str_putc(&full, *at);
    program_line(&p, NULL, full.data);
    if (p.code != code) fail_msg("%s: exit %d: %s", full.data, p.code, p.err.data ? p.err.data : "");
    lm_str_free(&full);
    free(folder);
    return p;
}

static lm_json *json_of(const char *line)
{
    program p = run(line, 0);
    lm_err err = {0};
    lm_json *doc = lm_json_parse(p.out.data, p.out.len, "output", &err);
    if (!doc) fail_msg("%s: %s", line, err.message);
    program_free(&p);
    return doc;
}

static double number(const lm_json *doc, const char *key) { return json_number_value(json_object_get(doc, key)); }

static void write_file(const char *name, const char *text, size_t n)
{
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, text, n, NULL), LM_OK);
    free(path);
}

static void must(const char *line)
{
    program p = run(line, 0);
    program_free(&p);
}

/* No note of amendment, no Markdown, no brace of a template is left in any row. */
static void check_rows(void)
{
    static const char *const left[] = { "<개정", "<신설", "**", "\\\\.", "{act", "|은/는", "}\"", NULL };
    char *path = test_path("rows.jsonl");
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 26, NULL), LM_OK);
    for (int i = 0; left[i] && i < 6; i++)
        if (strstr(text.data, left[i])) fail_msg("%s in %.400s", left[i], strstr(text.data, left[i]) - 100);
    lm_str_free(&text);
    free(path);
}

/* The losses of the steps begin near that of a model that knows nothing, ln 600 = 6.40, and fall. */
static void check_losses(void)
{
    char *path = test_path("tuned/log.jsonl");
    double first = 0, last = 0;
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 20, NULL), LM_OK);
    for (const char *at = text.data; (at = strstr(at, "\"loss\": ")); at++) {
        last = strtod(at + 8, NULL);
        if (first == 0) first = last;
    }
    if (!(first > 6 && first < 6.8 && last < first - 0.1)) fail_msg("loss %g, then %g", first, last);
    lm_str_free(&text);
    free(path);
}

/* %acts.jsonl to %tuned.  Every token of an answer is learnt, and no other: inspect shows it in brackets. */
static void end_to_end(int64_t rows, bool all)
{
    lm_json *doc = json_of(all ? "data format %acts.jsonl --template-set statute --all --out %rows.jsonl --json"
                               : "data format %acts.jsonl --template-set statute --invert 0.1 --seed 3 --out %rows.jsonl --json");
    assert_true(number(doc, "rows") == (double)rows && number(doc, "written") >= 10 * (double)rows && number(doc, "passed_over") == 0);
    lm_json_free(doc);
    check_rows();
    doc = json_of("inspect %rows.jsonl --model %model --objective sft --rows 1 --context 1536 --json");
    const lm_json *example = json_array_get(json_object_get(doc, "examples"), 0);
    assert_true(number(example, "learnt") > 3 && number(example, "learnt") < number(example, "tokens"));
    lm_json_free(doc);
    doc = json_of("data stats %rows.jsonl --model %model --context 64 --json");
    const lm_json *lessons = json_object_get(doc, "lessons");
    assert_true(number(lessons, "rows") == number(doc, "documents") && number(json_object_get(doc, "roles"), "assistant") >= number(doc, "documents"));
    double learnt = number(lessons, "supervised_tokens"), lost = number(lessons, "lost_supervised_tokens");
    assert_true(learnt > 100 && learnt < number(lessons, "tokens") && lost > 0 && lost <= learnt && number(lessons, "truncated_rows") > 0 && number(lessons, "lost_tokens") >= lost);
    lm_json_free(doc);
    doc = json_of("data pack sft --model %model --data %rows.jsonl --context 1536 --dry-run --json");
    lm_json *whole = json_of("data stats %rows.jsonl --model %model --context 1536 --json"), *in_full = json_object_get(whole, "lessons");
    assert_true(number(in_full, "truncated_rows") == 0 && number(in_full, "tokens") == number(doc, "tokens") && number(in_full, "supervised_tokens") == learnt);
    lm_json_free(whole);
    lm_json_free(doc);
    doc = json_of("train sft --model %model --data %rows.jsonl --out %tuned --steps 6 --batch-size 2 --lr 0.01 --dtype f32 --overwrite --json");
    assert_true(number(doc, "supervised_tokens") > 100 && number(doc, "truncated_rows") == 0);
    lm_json_free(doc);
    check_losses();
}

static void an_act_by_hand(void **state)
{
    (void)state;
    write_file("acts.jsonl", act, strlen(act));
    end_to_end(1, true);
    program p = run("inspect %rows.jsonl --model %model --objective sft --rows 1 --context 1536", 0);
    assert_non_null(strstr(p.out.data, "「마을숲 보전법」의 목적은 무엇인가요?"));
    assert_non_null(strstr(p.out.data, "[ 이 법은 마을숲을 지키는 데 이바지함을 목적으로 한다."));
    program_free(&p);
}

/* The first real acts of up to 9 KB. */
static void acts_in_force(void **state)
{
    (void)state;
    static const char path[] = "../shared/data/law_ko/acts.jsonl.zst";
    if (!lm_file_exists(path)) {
        printf("skipped: %s is not there\n", path);
        skip();
    }
    lm_strings paths = { (char *[]){ (char *)(uintptr_t)path }, 1 };
    lm_source *source;
    lm_str lines = {0};
    int64_t n = 0;
    assert_int_equal(lm_source_open(&source, &paths, &(lm_source_options){0}, NULL), LM_OK);
    for (bool more = true; more && n < 2;) {
        lm_row row = {0};
        assert_int_equal(lm_source_next(source, &row, &more, NULL), LM_OK);
        if (row.bytes < 9000) {
            lm_json_text(&lines, row.object, 0);
            lm_str_putc(&lines, '\n');
            n++;
        }
        lm_row_free(&row);
    }
    lm_source_close(source);
    write_file("acts.jsonl", lines.data, lines.len);
    lm_str_free(&lines);
    end_to_end(n, false);
}

static int setup(void **state)
{
    if (test_folder_make(state)) return -1;
    must("tokenizer train --data examples/text/ko.txt --vocab-size 600 --out %tokenizer");
    must("new --tokenizer %tokenizer --context 1536 --hidden-size 32 --intermediate-size 48 --heads 4 --layers 1 --out %model");
    return 0;
}

static void a_profile(void **state)
{
    (void)state;
    static const char me[] = "name: 누리\nmaker: 한글방\nabout: 시를 함께 읽는 모델입니다\nlanguages: [한국어, 영어]\n";
    write_file("me.yaml", me, strlen(me));
    lm_json *doc = json_of("data format --profile %me.yaml --template-set identity.ko --all --out %me.jsonl --json");
    assert_true(number(doc, "written") >= 10);
    lm_json_free(doc);
    char *path = test_path("me.jsonl");
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 20, NULL), LM_OK);
    assert_non_null(strstr(text.data, "저는 한글방이 만든 누리입니다."));
    assert_non_null(strstr(text.data, "한국어, 영어를 할 줄 압니다."));
    assert_null(strstr(text.data, "나왔나요"));              /* nothing is said of what the profile does not tell */
    lm_str_free(&text);
    free(path);
}

static void what_is_said(void **state)
{
    (void)state;
    static const struct { const char *line; int code; const char *err; } list[] = {
        { "data format %q.jsonl --out %o.jsonl --keep id", 0, "qa (from Q, A) as messages; not kept: n (--keep)" },
        { "data format %q.jsonl", 2, "expected --out FILE" },
        { "data format %q.jsonl --out %o.jsonl --template-set nsmk", 2, "has none of that name; the nearest is nsmc" },
        { "data format %q.jsonl --out %o.jsonl --template-set nsmc --template x.yaml", 2, "--template and --template-set: expected one of them" },
        { "data format %q.jsonl --out %o.jsonl --template-set nsmc --to preference", 2, "--to preference: instructions become messages or prompt_completion" },
        { "data format %q.jsonl --out %o.jsonl --template-set nsmc --kind qa", 2, "--kind: a template set says itself" },
        { "data format %q.jsonl --out %o.jsonl --template-set nsmc", 1, "q.jsonl:1: expected field \"document\" (the set's review), found Q, A, id, n" },
        { "data format --profile %me.yaml --out %o.jsonl", 2, "--profile: expected --template-set" },
        { "data format %none.jsonl --out %o.jsonl", 1, "none.jsonl: there is no such file" },
    };
    static const char rows[] = "{\"Q\": \"묻는다\", \"A\": \"답한다\", \"id\": 3, \"n\": 4}\n";
    write_file("q.jsonl", rows, strlen(rows));
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        program p = run(list[i].line, list[i].code);
        if (!p.err.data || !strstr(p.err.data, list[i].err)) fail_msg("%s: \"%s\" does not say \"%s\"", list[i].line, p.err.data ? p.err.data : "", list[i].err);
        program_free(&p);
    }
}

static void the_list(void **state)
{
    (void)state;
    lm_json *doc = json_of("data format --list --json"), *sets = json_object_get(doc, "sets"), *set;
    size_t i;
    assert_true(json_array_size(sets) >= 10);
    json_array_foreach(sets, i, set) {
        const lm_json *example = json_object_get(set, "example");
        assert_true(json_string_length(json_object_get(example, "prompt")) && json_string_length(json_object_get(example, "completion")));
    }
    lm_json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_act_by_hand), cmocka_unit_test(acts_in_force), cmocka_unit_test(a_profile), cmocka_unit_test(what_is_said), cmocka_unit_test(the_list),
    };
    return cmocka_run_group_tests(tests, setup, test_folder_remove);
}
