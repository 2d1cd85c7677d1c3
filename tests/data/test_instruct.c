/* Template sets: what they say of a mistake, what they make of a row, and what every set that comes with the program must keep. */
#include "common/test.h"

#include "base/file.h"
#include "data/instruct.h"
#include "data/particle.h"
#include "data/statute.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* ---- particles ---- */

static void particles(void **state)
{
    (void)state;
    static const struct { const char *word, *with, *without, *want; } list[] = {
        { "법", "을", "를", "을" }, { "제도", "을", "를", "를" }, { "서울", "은", "는", "은" }, { "서울", "으로", "로", "로" }, { "부산", "으로", "로", "으로" },
        { "제주", "으로", "로", "로" }, { "제3조", "이", "가", "가" }, { "10", "이", "가", "이" }, { "2", "을", "를", "를" }, { "7", "으로", "로", "로" }, { "3", "으로", "로", "으로" },
        { "위해(危害)", "을", "를", "를" }, { "「환자안전법」", "은", "는", "은" }, { "‘목적’", "이라는", "라는", "이라는" }, { "말(馬) ", "과", "와", "과" },
        { "DVD", "을", "를", "를" }, { "URL", "으로", "로", "로" }, { "KBS", "은", "는", "는" }, { "BMW", "이", "가", "가" }, { "system", "을", "를", "을" }, { "apple", "을", "를", "를" },
        { "危害", "을", "를", "을(를)" }, { "", "이", "가", "이(가)" }, { "!?", "이", "가", "이(가)" }, { "(괄호)", "을", "를", "를" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        lm_str out = {0};
        lm_korean_particle(&out, lm_span_of(list[i].word, strlen(list[i].word)), list[i].with, list[i].without);
        if (strcmp(out.data, list[i].want)) fail_msg("%s: %s, expected %s", list[i].word, out.data, list[i].want);
        lm_str_free(&out);
    }
}

/* ---- a set of one's own ---- */

#define SET "name: t\nfields:\n  a: {}\n  label: {choices: {\"0\": no, \"1\": yes}}\n  why: {optional: true}\n  items: {type: list, optional: true}\ntemplates:\n"
#define PLAIN "  - instruction: Is it so?\n    input: \"Text: {a}\"\n    indicator: \"Answer:\"\n    answer: \"{label}\"\n"

static lm_template_set *parse(const char *text)
{
    lm_template_set *set;
    lm_err err = {0};
    if (lm_template_set_parse(&set, text, strlen(text), "t.yaml", &err) != LM_OK) fail_msg("%s", err.message);
    return set;
}

static lm_json *object_of(const char *text)
{
    lm_err err = {0};
    lm_json *object = lm_json_parse(text, strlen(text), "row", &err);
    if (!object) fail_msg("%s", err.message);
    return object;
}

/* The rows of one object, each as "prompt -> completion [template]" and a line's end. */
static lm_status phrase(lm_str *out, const char *set_text, const char *row, lm_instruct_how how, lm_err *err)
{
    lm_template_set *set = parse(set_text);
    lm_json *object = object_of(row), *rows = json_array();
    lm_instruct_result r = {0};
    const lm_instruct_options o = { .how = how, .completions = true };
    lm_status status = lm_instruct_object(rows, &r, set, object, &o, err);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const lm_json *one = json_array_get(rows, i);
        lm_str_printf(out, "%s -> %s [%s]\n", json_string_value(json_object_get(one, "prompt")), json_string_value(json_object_get(one, "completion")),
                      json_string_value(json_object_get(one, "template")));
    }
    lm_json_free(rows);
    lm_json_free(object);
    lm_template_set_free(set);
    return status;
}

static void check_phrase(const char *set, const char *row, lm_instruct_how how, const char *want)
{
    lm_str out = {0};
    lm_err err = {0};
    if (phrase(&out, set, row, how, &err) != LM_OK) fail_msg("%s", err.message);
    assert_string_equal(out.data ? out.data : "", want);
    lm_str_free(&out);
}

static void refuse_row(const char *set, const char *row, const char *want)
{
    lm_str out = {0};
    lm_err err = {0};
    if (phrase(&out, set, row, (lm_instruct_how){ .per_row = 1 }, &err) == LM_OK) fail_msg("%s: accepted: %s", row, out.data);
    if (!strstr(err.message, want)) fail_msg("\"%s\" does not say \"%s\"", err.message, want);
    lm_str_free(&out);
}

static const lm_instruct_how ONE = { .per_row = 1 }, ALL = { .all = true };

static void parts_and_fields(void **state)
{
    (void)state;
    check_phrase(SET PLAIN, "{\"a\": \"x\", \"label\": 1}", ONE, "Is it so?\n\nText: x\nAnswer: -> yes [t/templates/1]\n");
    /* parts in the order of the file; braces; values are not read again */
    check_phrase(SET "  - {input: '{a}', context: c, instruction: 'do {{it}}', answer: '{label}'}\n", "{\"a\": \"{label}\", \"label\": \"0\"}", ONE,
                 "{label}\n\nc\n\ndo {it} -> no [t/templates/1]\n");
    /* filters */
    check_phrase(SET "  - {input: '{a|「」|은/는} {a|을/를} {a|lower}', answer: '{label|first_upper}'}\n", "{\"a\": \"ABC 법\", \"label\": 1}", ONE,
                 "「ABC 법」은 ABC 법을 abc 법 -> Yes [t/templates/1]\n");
    check_phrase(SET "  - {input: \"{items}\\n{items|lines}\\n{items|bullets}\\n{items|letters}\\n{items|numbers}\", answer: '{a}'}\n",
                 "{\"a\": \"x\", \"label\": 1, \"items\": [\"p\", 2]}", ONE, "p, 2\np\n2\n- p\n- 2\n(A) p\n(B) 2\n1. p\n2. 2 -> x [t/templates/1]\n");
    /* only phrasings whose fields are there; all of them */
    check_phrase(SET PLAIN "  - {input: '{a} {why}', answer: '{label}'}\n", "{\"a\": \"x\", \"label\": 1}", ALL, "Is it so?\n\nText: x\nAnswer: -> yes [t/templates/1]\n");
    check_phrase(SET "  - {input: '{a} {why}', answer: '{label}'}\n", "{\"a\": \"x\", \"label\": 1, \"why\": null}", ALL, "");
    check_phrase(SET PLAIN "inverted:\n  - {input: '{label}', answer: '{a}'}\n", "{\"a\": \"x\", \"label\": 1}", (lm_instruct_how){ .per_row = 1, .invert = 1 },
                 "yes -> x [t/inverted/1]\n");
    check_phrase(SET PLAIN "cot:\n  - {input: '{a}', answer: '{why} So {label}.'}\n", "{\"a\": \"x\", \"label\": 1, \"why\": \"w\"}", (lm_instruct_how){ .per_row = 1, .cot = true },
                 "x -> w So yes. [t/cot/1]\n");
}

static void values_of_rows(void **state)
{
    (void)state;
    static const char cut[] = "name: t\nfields:\n  q: {from: [question, Q], before: \"\\nOptions:\", unescape: true}\n"
                              "  options: {from: question, after: \"Options:\\n\", split: \"\\n\", marked: true, unescape: true, type: list}\n"
                              "  answer: {of: options}\n  letter: {from: answer, of: options, letter: true}\n  n: {type: integer, optional: true, after: '####'}\n"
                              "  work: {from: w, optional: true, without: ['<<', '>>'], longest: 9}\n"
                              "templates:\n  - {input: '{q} {options}', answer: '{letter} {answer}'}\n  - {input: '{q}', answer: '{n} {work}'}\n";
    check_phrase(cut, "{\"question\": \"Which?\\\\nOptions:\\\\n- (A) red\\\\n- (B) blue\\\\n\", \"answer\": \"(B)\"}", ALL, "Which? red, blue -> B blue [t/templates/1]\n");
    check_phrase(cut, "{\"question\": \"Which?\\\\nOptions:\\\\n- red\\\\n- blue\", \"answer\": \"red\", \"n\": \"so #### 1,200\", \"w\": \"a<<1+1>>b<<c\"}", ALL,
                 "Which? red, blue -> A red [t/templates/1]\nWhich? -> 1,200 ab<<c [t/templates/2]\n");
    check_phrase(cut, "{\"question\": \"Which?\\\\nOptions:\\\\nA. red\\\\nB. blue\", \"answer\": \"B\", \"n\": \"#### -3\", \"w\": \"too long a text\"}", ALL,
                 "Which? red, blue -> B blue [t/templates/1]\n");
    refuse_row(cut, "{\"question\": \"Which?\\\\nOptions:\\\\n- red\", \"answer\": \"green\"}", "field \"answer\": expected one of red; found \"green\"");
    refuse_row(cut, "{\"question\": \"Which?\", \"answer\": \"green\"}", "field \"question\": expected \"?Options:\" in it");
    refuse_row(SET PLAIN, "{\"a\": \"x\", \"label\": 2}", "field \"label\": expected one of 0, 1; found \"2\"");
    refuse_row(SET PLAIN, "{\"a\": \" \", \"label\": 1}", "field \"a\" is empty");
    refuse_row(SET PLAIN, "{\"b\": \"x\", \"label\": 1}", "expected field \"a\", found b, label");
    refuse_row(SET PLAIN, "{\"a\": [1], \"label\": 1}", "field \"a\": expected text or a number");
    refuse_row("name: t\nfields: {n: {type: integer}}\ntemplates: [{input: '{n}', answer: '{n}'}]", "{\"n\": \"4 apples\"}", "field \"n\": expected an integer, found \"4 apples\"");
}

static void what_a_set_is_told(void **state)
{
    (void)state;
    static const struct { const char *text, *want; } list[] = {
        { SET "  - {input: '{a}', answer: '{lable}'}\n", "t.yaml:8: answer: {lable}: no field is called that; the nearest is label; there are a, label, why, items" },
        { SET PLAIN "  - input: |\n      one\n      two {aa|을/를}\n    answer: '{label}'\n", "t.yaml:14: input: {aa}: no field is called that" },
        { SET "  - {input: '{a|lowr}', answer: '{label}'}\n", "t.yaml:8: input: no filter is called \"lowr\"; the nearest is lower" },
        { SET "  - {input: '{a', answer: '{label}'}\n", "t.yaml:8: input: { without }" },
        { SET "  - {input: '{a} }', answer: '{label}'}\n", "t.yaml:8: input: } without {" },
        { SET "  - {inptu: '{a}', answer: '{label}'}\n", "t.yaml:8: inptu: no key of that name is read here; the nearest is input" },
        { SET "  - {input: '{a}'}\n", "t.yaml:8: answer: expected a text that names a field" },
        { SET "  - {input: 'a', answer: '{label}'}\n", "t.yaml:8: no part of the prompt names a field" },
        { SET "  - {input: [x], answer: '{label}'}\n", "t.yaml:8: input: expected text" },
        { "name: t\nfields:\n  a: {typ: list}\ntemplates: []\n", "t.yaml:3: typ: no key of that name is read here; the nearest is type" },
        { "name: t\nfields:\n  a: {type: float}\n", "t.yaml:3: type: expected string, integer, label or list, found float" },
        { "name: t\nfields:\n  a: {type: label}\n", "t.yaml:3: a: a label needs choices, or of" },
        { "name: t\nfields:\n  a: {of: b}\n", "t.yaml:3: of: expected a field above it of type list, found b" },
        { "name: t\nfields:\n  a: {choices: {x: y}}\n", "t.yaml:3: choices: expected two or more" },
        { "name: t\nfields:\n  a: {optional: maybe}\n", "t.yaml:3: optional: expected true or false" },
        { "name: t\nfields:\n  a: {without: [x]}\n", "t.yaml:3: without: expected two marks" },
        { "name: t\nfields:\n  a: {longest: 0}\n", "t.yaml:3: longest: expected a number of characters" },
        { "name: t\nfields:\n  a: {split: x}\n", "t.yaml:3: a: split and marked are for lists" },
        { "name: t\nfields:\n  'a b': {}\n", "t.yaml:3: \"a b\": a field's name has no spaces" },
        { "name: t\nreader: pdf\n", "t.yaml:2: reader: expected statute, found pdf" },
        { "name: t\nsorce: x\n", "t.yaml:2: sorce: no key of that name is read here; the nearest is source" },
        { "fields: {a: {}}\ntemplates: []\n", "t.yaml: expected a name" },
        { "name: t\nfields: {a: {}}\ntemplates: []\n", "t.yaml: expected templates" },
        { "name: t\n", "t.yaml:1: fields: expected name: {..} for each" },
        { "- x\n", "t.yaml: expected name, fields and templates" },
        { "name: [\n", "t.yaml:2: not YAML" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        lm_template_set *set;
        lm_err err = {0};
        if (lm_template_set_parse(&set, list[i].text, strlen(list[i].text), "t.yaml", &err) == LM_OK) fail_msg("accepted: %s", list[i].text);
        if (!lm_starts_with(err.message, list[i].want)) fail_msg("%s\n\"%s\" does not begin with \"%s\"", list[i].text, err.message, list[i].want);
        assert_null(set);
    }
}

/* ---- files ---- */

static char *write_file(const char *name, const char *text)
{
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    return path;
}

static char *run_files(const char *set_text, const char *in, lm_instruct_options o, lm_instruct_result *r, lm_err *err)
{
    lm_template_set *set = parse(set_text);
    char *path = test_path("out.jsonl");
    lm_str text = {0};
    o.out = path;
    if (lm_instruct_files(r, set, &(lm_strings){ (char *[]){ (char *)(uintptr_t)in }, 1 }, &o, err) == LM_OK) assert_int_equal(lm_file_read(&text, path, 1 << 26, NULL), LM_OK);
    lm_template_set_free(set);
    free(path);
    return text.data ? lm_str_take(&text) : NULL;
}

static const char numbers[] = "name: t\nfields:\n  a: {}\n  b: {}\nshots: Examples.\ntemplates:\n  - {instruction: Double it., input: '<{a}>', indicator: '=', answer: '({b})'}\n"
                              "  - {input: 'Twice <{a}> is', answer: '({b})'}\n  - {input: 'What is 2 x <{a}>?', answer: '({b})'}\n";

static char *number_rows(int n)
{
    lm_str rows = {0};
    for (int i = 0; i < n; i++) lm_str_printf(&rows, "{\"a\": %d, \"b\": \"v%d\"}\n", i / 2, i / 2);             /* each row stands twice */
    return lm_str_take(&rows);
}

static const char *content(const lm_json *row, size_t i)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(row, "messages"), i), "content"));
}

/* K examples before each, with their own answers, all different, and never the row's, though every row has a twin. */
static void shots_are_others(void **state)
{
    (void)state;
    char *rows = number_rows(60), *in = write_file("n.jsonl", rows), *line, *rest;
    lm_instruct_result r;
    lm_err err = {0};
    char *out = run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 2, .shots = 3, .seed = 5 } }, &r, &err);
    if (!out) fail_msg("%s", err.message);
    assert_int_equal(r.written, 120);
    int i = 0;
    for (line = strtok_r(out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), i++) {
        lm_json *row = object_of(line);
        const char *prompt = content(row, 0), *at = prompt;
        int seen[8] = {0}, n = 0;
        while ((at = strchr(at, '<'))) {
            int a = atoi(++at), b = -1;
            for (int j = 0; j < n; j++) assert_int_not_equal(a, seen[j]);
            seen[n++] = a;
            const char *answer = strstr(at, "(v");
            if (n <= 3) assert_true(answer && sscanf(answer, "(v%d)", &b) == 1 && b == a);
            else assert_null(answer);
        }
        assert_int_equal(n, 4);
        assert_int_equal(seen[3], i / 2 / 2);
        assert_non_null(strstr(prompt, "Examples."));
        const char *once = strstr(prompt, "Double it.");         /* the instruction stands once, in front */
        if (strstr(line, "t/templates/1")) assert_true(once == prompt && !strstr(once + 1, "Double it."));
        lm_json_free(row);
    }
    assert_int_equal(i, 120);
    lm_instruct_result_free(&r);
    free(out), free(rows), free(in);
}

/* The same seed gives the same file, another gives another; the phrasings of a row differ; a row's do not hang on those before it. */
static void draws_follow_seed_and_number(void **state)
{
    (void)state;
    char *rows = number_rows(200), *in = write_file("n.jsonl", rows), *out[3];
    lm_err err = {0};
    int counts[3] = {0};
    for (int k = 0; k < 3; k++) {
        lm_instruct_result r;
        out[k] = run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 2, .seed = k == 2 } }, &r, &err);
        assert_non_null(out[k]);
        lm_instruct_result_free(&r);
    }
    assert_string_equal(out[0], out[1]);
    assert_string_not_equal(out[0], out[2]);
    char *rest, *line = strtok_r(out[0], "\n", &rest), *next;
    for (; line; line = strtok_r(NULL, "\n", &rest)) {
        const char *first = strstr(line, "t/templates/"), *second;
        next = strtok_r(NULL, "\n", &rest);
        second = strstr(next, "t/templates/");
        assert_int_not_equal(first[12], second[12]);
        counts[first[12] - '1']++;
    }
    for (int k = 0; k < 3; k++) assert_true(counts[k] > 40 && counts[k] < 95);       /* 200 draws of three: 66.7, deviation 6.7 */
    free(out[0]), free(out[1]), free(out[2]), free(rows), free(in);
}

static void files_that_are_refused(void **state)
{
    (void)state;
    char *in = write_file("r.jsonl", "{\"a\": 1, \"b\": 2}\n{\"a\": 1}\n{\"a\": 3, \"b\": 4}\n");
    lm_instruct_result r;
    lm_err err = {0};
    assert_null(run_files(numbers, in, (lm_instruct_options){ .how = ONE }, &r, &err));
    assert_non_null(strstr(err.message, "r.jsonl:2: expected field \"b\", found a"));
    lm_err_clear(&err);
    char *out = run_files(numbers, in, (lm_instruct_options){ .how = ONE, .skip = true }, &r, &err);
    assert_int_equal(r.written, 2);
    assert_int_equal(r.skipped.n, 1);
    lm_instruct_result_free(&r);
    free(out);
    assert_null(run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 1, .shots = 5 }, .skip = true }, &r, &err));
    assert_non_null(strstr(err.message, "r.jsonl:1: --shots 5: only 1 other row is like it among the first 2"));
    lm_instruct_result_free(&r);
    lm_err_clear(&err);
    assert_null(run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 1, .cot = true } }, &r, &err));
    assert_non_null(strstr(err.message, "--cot: the set t has no phrasing with a rationale"));
    lm_err_clear(&err);
    assert_null(run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 1, .invert = 0.5 } }, &r, &err));
    assert_non_null(strstr(err.message, "--invert: the set t has no phrasing that is turned around"));
    lm_err_clear(&err);
    assert_null(run_files(numbers, in, (lm_instruct_options){ .how = { .per_row = 1, .fields = &(lm_strings){ (char *[]){ "c=a" }, 1 } } }, &r, &err));
    assert_non_null(strstr(err.message, "--field c=a: expected NAME=COLUMN with a field of the set t"));
    free(in);
}

/* ---- statutes ---- */

static const char act[] = "# 마을숲법\n\n## 제1장 총칙 <개정 2020.1.2>\n\n##### 제1조 (목적)\n\n이 법은 숲을 지키는 것을 목적으로 한다. <개정 2020.1.2, 2023.8.8>\n\n"
                          "##### 제2조 (정의)\n\n이 법에서 사용하는 용어의 뜻은 다음과 같다. <신설 2021.3.4>\n\n  1\\. \"숲\"이란 다음 각 목의 땅을 말한다.\n    가\\. 나무가 많은 땅\n"
                          "  2\\. \"군수\"란 숲이 있는 군의 군수를 말한다.\n\n## 제2장 보전\n\n##### 제3조의2 (신고)\n\n**①** 나무를 베려는 자는 30일 전까지 신고하여야 한다.\n\n**②** 「민법」 제5조는 따르지 아니한다.\n\n"
                          "##### 제4조\n\n삭제 <2019.12.31>\n\n##### 제5조 (벌칙)\n\n「산림법」에 따른다.\n\n##### 제6조 (벌칙)\n\n<img src=\"x\">\n\n## 부칙\n\n##### 제9조 (아님)\n\n없음\n";

static void an_act_by_hand(void **state)
{
    (void)state;
    static const char *const want[] = {
        "{\"act\": \"마을숲법\", \"purpose\": \"이 법은 숲을 지키는 것을 목적으로 한다.\", \"nameless_purpose\": \"이 법은 숲을 지키는 것을 목적으로 한다.\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제1조\", \"title\": \"목적\", \"own_title\": \"목적\", \"body\": \"이 법은 숲을 지키는 것을 목적으로 한다.\", "
        "\"amended\": \"2020년 1월 2일, 2023년 8월 8일\", \"times\": \"2\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제2조\", \"title\": \"정의\", \"own_title\": \"정의\", \"body\": \"이 법에서 사용하는 용어의 뜻은 다음과 같다.\\n1. \\\"숲\\\"이란 다음 각 목의 땅을 말한다.\\n"
        "  가. 나무가 많은 땅\\n2. \\\"군수\\\"란 숲이 있는 군의 군수를 말한다.\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제2조\", \"term\": \"군수\", \"definition\": \"숲이 있는 군의 군수를 말한다.\", \"clause\": \"\\\"군수\\\"란 숲이 있는 군의 군수를 말한다.\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제3조의2\", \"title\": \"신고\", \"own_title\": \"신고\", \"body\": \"① 나무를 베려는 자는 30일 전까지 신고하여야 한다.\\n② 「민법」 제5조는 따르지 아니한다.\", "
        "\"gap\": \"① 나무를 베려는 자는 ____ 전까지 신고하여야 한다.\\n② 「민법」 제5조는 따르지 아니한다.\", \"blank\": \"30일\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제4조\", \"repealed\": \"2019년 12월 31일\"}",
        "{\"act\": \"마을숲법\", \"article\": \"제5조\", \"title\": \"벌칙\", \"body\": \"「산림법」에 따른다.\", \"gap\": \"「____」에 따른다.\", \"blank\": \"산림법\"}",
        "{\"act\": \"마을숲법\", \"articles\": \"5\", \"chapters\": \"2\", \"outline\": [\"제1장 총칙 (제1조부터 제2조까지)\", \"제2장 보전 (제3조의2부터 제6조까지)\"]}",
        "{\"act\": \"마을숲법\", \"promulgated\": \"2024년 3월 5일\", \"ministry\": [\"산림청\"]}",
    };
    lm_row row = { .object = json_pack("{s:s, s:s, s:s, s:s}", "title", "별표", "text", act, "ministry", "산림청", "promulgated", "2024-03-05") };
    lm_json *records = json_array();
    lm_err err = {0};
    if (lm_statute_records(records, &row, &err) != LM_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        lm_str text = {0};
        lm_json_text(&text, json_array_get(records, i), 0);
        assert_string_equal(text.data ? text.data : "nothing", want[i]);
        lm_str_free(&text);
    }
    assert_int_equal(json_array_size(records), sizeof want / sizeof *want);
    lm_json_free(records);
    lm_row_free(&row);

    static const char *const no_acts[] = { "", "no act", "##### 제1조 (목적)\n\n이름이 없다.\n", "# 법\n\n폐지한다.\n" };
    for (size_t i = 0; i < sizeof no_acts / sizeof *no_acts; i++) {
        lm_row plain = {0};
        lm_str_puts(&plain.text, no_acts[i]);
        records = json_array();
        lm_err_clear(&err);
        assert_int_equal(lm_statute_records(records, &plain, &err), LM_E_FORMAT);
        assert_int_equal(json_array_size(records), 0);
        lm_json_free(records);
        lm_row_free(&plain);
    }
}

/* ---- the sets that come with the program ---- */

static int is_set(const struct dirent *entry) { return lm_ends_with(entry->d_name, ".yaml"); }

/* Every phrasing of the example: texts without braces, no empty answer. */
static void check_shipped(const char *path)
{
    lm_template_set *set;
    lm_err err = {0};
    if (lm_template_set_read(&set, path, &err) != LM_OK) fail_msg("%s", err.message);
    lm_template_about a = lm_template_set_about(set);
    if (!a.language || !a.about || !a.source || !a.example) fail_msg("%s: expected language, about, source and example", path);
    if (a.phrasings[LM_PHRASING_PLAIN] < 10 || a.phrasings[LM_PHRASING_INVERTED] > 3) fail_msg("%s: %d phrasings, %d inverted", path, a.phrasings[0], a.phrasings[1]);
    for (int cot = 0; cot < (a.phrasings[LM_PHRASING_COT] ? 2 : 1); cot++) {
        lm_json *rows = json_array();
        lm_instruct_result r = {0};
        const lm_instruct_options o = { .how = { .all = true, .cot = cot }, .completions = true };
        if (lm_instruct_object(rows, &r, set, a.example, &o, &err) != LM_OK) fail_msg("%s: %s", path, err.message);
        if (!json_array_size(rows)) fail_msg("%s: no phrasing fits its example", path);
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const lm_json *row = json_array_get(rows, i);
            const char *prompt = json_string_value(json_object_get(row, "prompt")), *answer = json_string_value(json_object_get(row, "completion"));
            if (strpbrk(prompt, "{}") || strpbrk(answer, "{}") || !*answer) fail_msg("%s: %s -> %s", path, prompt, answer);
        }
        lm_json_free(rows);
    }
    lm_template_set_free(set);
}

static void shipped_sets(void **state)
{
    (void)state;
    struct dirent **entries;
    int n = scandir("templates", &entries, is_set, alphasort);
    assert_true(n >= 1);
    for (int i = 0; i < n; i++) {
        char *path = lm_path_join("templates", entries[i]->d_name);
        check_shipped(path);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

/* Every instruction of a row holds the values of its fields, whichever set: here one whose phrasings all name both. */
static void rows_hold_their_values(void **state)
{
    (void)state;
    lm_template_set *set;
    lm_err err = {0};
    if (lm_template_set_read(&set, "templates/nsmc.yaml", &err) != LM_OK) fail_msg("%s", err.message);
    static const char *const reviews[] = { "재미있다", "{review}", "}{", "%s %n {{}}", "줄이\n둘", "\xF0\x9F\x98\x80 \"따옴표\" 'x' |을/를" };
    for (size_t i = 0; i < sizeof reviews / sizeof *reviews; i++) {
        lm_json *object = json_pack("{s:s, s:i}", "document", reviews[i], "label", (int)(i % 2)), *rows = json_array();
        lm_instruct_result r = {0};
        const lm_instruct_options o = { .how = { .all = true }, .completions = true };
        if (lm_instruct_object(rows, &r, set, object, &o, &err) != LM_OK) fail_msg("%s", err.message);
        assert_int_equal(json_array_size(rows), 15);
        for (size_t j = 0; j < json_array_size(rows); j++) {
            const lm_json *row = json_array_get(rows, j);
            lm_str both = {0};
            lm_str_printf(&both, "%s\n%s", json_string_value(json_object_get(row, "prompt")), json_string_value(json_object_get(row, "completion")));
            assert_non_null(strstr(both.data, reviews[i]));
            assert_non_null(strstr(both.data, i % 2 ? "긍정" : "부정"));
            lm_str_free(&both);
        }
        lm_json_free(object);
        lm_json_free(rows);
    }
    lm_template_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(particles), cmocka_unit_test(parts_and_fields), cmocka_unit_test(values_of_rows), cmocka_unit_test(what_a_set_is_told),
        cmocka_unit_test(shots_are_others), cmocka_unit_test(draws_follow_seed_and_number), cmocka_unit_test(files_that_are_refused),
        cmocka_unit_test(an_act_by_hand), cmocka_unit_test(shipped_sets), cmocka_unit_test(rows_hold_their_values),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
