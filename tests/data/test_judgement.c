/* Agreement beyond chance, by hand and on a published table; rubrics: questions, verdicts, and what is refused; the parts
 * and scores of answers. */
#include "common/test.h"

#include "base/file.h"
#include "data/asking.h"
#include "data/grow_prompts.h"
#include "data/kappa.h"
#include "data/rubric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5. */
static void cohen_by_hand(void **state)
{
    (void)state;
    int32_t a[50], b[50];
    for (int i = 0; i < 50; i++) a[i] = i >= 25, b[i] = (i >= 20 && i < 25) || i >= 35;
    assert_true(fabs(lm_cohen_kappa(a, b, 50, 2) - 0.4) < 1e-12);
    assert_true(fabs(lm_cohen_kappa(a, a, 50, 2) - 1) < 1e-12);
    assert_true(fabs(lm_cohen_kappa(a, b, 50, 2) - lm_cohen_kappa(b, a, 50, 2)) < 1e-12);
    int32_t same[3] = { 1, 1, 1 };
    assert_true(isnan(lm_cohen_kappa(same, same, 3, 2)));                    /* chance alone agrees always */
    assert_true(isnan(lm_cohen_kappa(a, b, 0, 2)));
}

/* Ten items, fourteen labels each of five kinds; 0.210 to three places, as is often worked out from the formulas of
 * Fleiss 1971; and two labellers by hand: agreeing on 3 of 4, p_e = (5/8)^2 + (3/8)^2. */
static void fleiss_by_hand(void **state)
{
    (void)state;
    static const int table[10][5] = { { 0, 0, 0, 0, 14 }, { 0, 2, 6, 4, 2 }, { 0, 0, 3, 5, 6 }, { 0, 3, 9, 2, 0 }, { 2, 2, 8, 1, 1 },
                                      { 7, 7, 0, 0, 0 },  { 3, 2, 6, 3, 0 }, { 2, 5, 3, 2, 2 }, { 6, 5, 2, 1, 0 }, { 0, 2, 2, 3, 7 } };
    int32_t labels[140];
    int at = 0;
    for (int i = 0; i < 10; i++)
        for (int k = 0; k < 5; k++)
            for (int n = 0; n < table[i][k]; n++) labels[at++] = k;
    assert_int_equal(at, 140);
    assert_true(fabs(lm_fleiss_kappa(labels, 10, 14, 5) - 0.210) < 5e-4);
    static const int32_t two[8] = { 0, 0, 0, 0, 1, 1, 0, 1 };
    double chance = 25.0 / 64 + 9.0 / 64;
    assert_true(fabs(lm_fleiss_kappa(two, 4, 2, 2) - (0.75 - chance) / (1 - chance)) < 1e-12);
}

static lm_status read(lm_rubric *r, const char *text, lm_err *err)
{
    char *path = test_path("rubric.yaml");
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    lm_status status = lm_rubric_read(r, path, err);
    free(path);
    return status;
}

#define WORDS "first: '[[A]]'\nsecond: '[[B]]'\ntie: '[[C]]'\n"
#define GOOD "name: n\nask: 'P {prompt} A {first} B {second}'\n" WORDS

static void questions_and_verdicts(void **state)
{
    (void)state;
    lm_rubric r;
    lm_str text = {0};
    assert_int_equal(read(&r, GOOD, NULL), LM_OK);
    assert_null(r.system);
    lm_rubric_question(&text, &r, lm_span_of("why {first}", 11), lm_span_of("so", 2), lm_span_of("{prompt}", 8));
    assert_string_equal(text.data, "P why {first} A so B {prompt}");         /* a text cannot pose as a place */
    lm_str_free(&text);
    static const struct { const char *answer; lm_verdict verdict; } said[] = {
        { "Because.\n[[A]]", LM_VERDICT_FIRST }, { "Not [[A]] but [[B]]", LM_VERDICT_SECOND }, { "[[C]]\n", LM_VERDICT_TIE },
        { "A", LM_VERDICT_NONE }, { "", LM_VERDICT_NONE } };
    for (int i = 0; i < 5; i++) assert_int_equal(lm_rubric_verdict(&r, lm_span_of(said[i].answer, strlen(said[i].answer))), said[i].verdict);
    lm_rubric_free(&r);
}

static void expect(const char *text, const char *words)
{
    lm_rubric r;
    lm_err err = {0};
    assert_int_not_equal(read(&r, text, &err), LM_OK);
    if (!strstr(err.message, words) || !strstr(err.message, "rubric.yaml")) fail_msg("%s: expected %s", err.message, words);
    lm_rubric_free(&r);
}

static void bad_rubrics(void **state)
{
    (void)state;
    expect("name: n\n" WORDS, "\"ask\" is missing");
    expect("name: n\nask: 'P {prompt} A {first}'\n" WORDS, "nowhere says {second}");
    expect(GOOD "tone: dry\n", "\"tone\" is no key of a rubric");
    expect("name: n\nask: 'P {prompt} A {first} B {second}'\nfirst: x\nsecond: x\ntie: y\n", "first and second are the same word");
    expect("name: [a, b]\n" WORDS, "name: expected a text");
}

/* The ones that are shipped can be used. */
static void shipped_rubrics(void **state)
{
    (void)state;
    for (const char *const *name = (const char *const[]){ "helpful", "honest", "harmless", NULL }; *name; name++)
        for (int korean = 0; korean < 2; korean++) {
            lm_rubric r;
            lm_err err = {0};
            char path[64];
            snprintf(path, sizeof path, "examples/rubrics/%s.%s.yaml", *name, korean ? "ko" : "en");
            if (lm_rubric_read(&r, path, &err) != LM_OK) fail_msg("%s", err.message);
            assert_string_equal(r.name, *name);
            for (int v = 1; v < 4; v++) assert_non_null(strstr(r.ask, r.word[v]));       /* the judge is told every word */
            lm_rubric_free(&r);
        }
}

static lm_span span(const char *text) { return lm_span_of(text, strlen(text)); }

/* The parts of an answer as "mark:text|". */
static void assert_parts(const char *answer, int most, const char *expected)
{
    static const char *const marks[] = { "Task {number}:", "Input:", "Output:" };
    lm_asking_part parts[8];
    lm_str all = {0};
    int n = lm_asking_parts(parts, most, span(answer), marks, 3);
    for (int i = 0; i < n; i++) lm_str_printf(&all, "%d:%.*s|", parts[i].mark, (int)parts[i].text.len, parts[i].text.data);
    assert_string_equal(all.data ? all.data : "", expected);
    lm_str_free(&all);
}

static void parts_of_answers(void **state)
{
    (void)state;
    assert_parts("Sure!\nTask 9: one\nmore of one\n\n**Task 10:** two\n- Task 11: three", 8, "0:one\nmore of one|0:two|0:three|");
    assert_parts("Task 9: a Task 10: b\nTask x: c\nTask: d", 8, "0:a Task 10: b\nTask x: c\nTask: d|");
    assert_parts("Input: list\n1\n2\n  Output:\n  3  ", 8, "1:list\n1\n2|2:3|");
    assert_parts("Input:\nOutput: x\nInput: y", 8, "1:|2:x|1:y|");
    assert_parts("Task 1: a\nTask 2: b\nTask 3: c", 2, "0:a|0:b|");
    assert_parts("Task 1", 8, "");
    assert_parts("nothing of the kind", 8, "");
    assert_parts("", 8, "");
}

static void scores_of_answers(void **state)
{
    (void)state;
    static const struct { const char *answer; int score; } cases[] = {
        { "7", 7 }, { " 10\n", 10 }, { "Hard: [[8]]", 8 }, { "[[3]] or rather [[4]]", 4 }, { "[[4]], on a scale up to [[99]]", 4 }, { "[[0]]", 0 }, { "11", 0 }, { "7 of 10", 0 },
        { "[[7", 0 }, { "[[007]]", 7 }, { "[[1000]]", 0 }, { "seven", 0 }, { "", 0 }, { "-3", 0 }, { "3.5", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lm_asking_score(span(cases[i].answer)) != cases[i].score) fail_msg("%s: %d", cases[i].answer, lm_asking_score(span(cases[i].answer)));
}

/* The prompts that come with the program serve both methods, and no mark stands in another. */
static void shipped_prompts(void **state)
{
    (void)state;
    static const char *const files[] = { "prompts/grow.en.yaml", "prompts/grow.ko.yaml" };
    static const lm_grow_text marks[][2] = { { LM_GROW_YES, LM_GROW_NO }, { LM_GROW_SAME, LM_GROW_DIFFERENT }, { LM_GROW_INPUT, LM_GROW_OUTPUT }, { LM_GROW_INPUT, LM_GROW_LABEL } };
    for (int f = 0; f < 2; f++) {
        lm_grow_prompts p;
        lm_err err = {0};
        if (lm_grow_prompts_read(&p, files[f], LM_GROW_FOR_SELF_INSTRUCT | LM_GROW_FOR_EVOL_INSTRUCT, &err) != LM_OK) fail_msg("%s", err.message);
        for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
            assert_true(!strstr(p.text[marks[m][0]], p.text[marks[m][1]]) && !strstr(p.text[marks[m][1]], p.text[marks[m][0]]));
        for (int list = 0; list < LM_GROW_LISTS; list++) assert_true(p.list[list].n > 0);
        lm_grow_prompts_free(&p);
    }
}

/* A word is found whatever its case, with a Korean particle behind it, and not within a longer Latin one. */
static void words_of_lists(void **state)
{
    (void)state;
    char *items[] = { "Graph", "이미지", "go to" };
    const lm_strings list = { items, 3 };
    static const struct { const char *text, *found; } cases[] = {
        { "Plot a GRAPH of it", "Graph" }, { "one paragraph", NULL }, { "graphs", NULL }, { "graph", "Graph" }, { "graph를 그려", "Graph" }, { "이 이미지를 보고", "이미지" },
        { "Then go to www", "go to" }, { "ago to", NULL }, { "", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = lm_grow_says(&list, span(cases[i].text), true);
        if ((found == NULL) != (cases[i].found == NULL) || (found && strcmp(found, cases[i].found))) fail_msg("%s: %s", cases[i].text, found ? found : "none");
    }
    assert_string_equal(lm_grow_says(&list, span("paragraphs"), false), "Graph");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_answers), cmocka_unit_test(scores_of_answers), cmocka_unit_test(shipped_prompts), cmocka_unit_test(words_of_lists),
        cmocka_unit_test(cohen_by_hand), cmocka_unit_test(fleiss_by_hand), cmocka_unit_test(questions_and_verdicts),
        cmocka_unit_test(bad_rubrics),   cmocka_unit_test(shipped_rubrics),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
