/* Published rows as training rows: every kind by hand, every refusal by its message. */
#include "common/test.h"

#include "base/file.h"
#include "data/format.h"

#include <stdlib.h>
#include <string.h>

typedef struct example {
    const char *rows, *kind, *to;            /* kind and to NULL: as they are told */
    const char *want;                        /* what is written, or what the message must say */
    const char *is;                          /* the kind that is detected; NULL: it is an error */
    const char *field, *keep;
} example;
#define ROW(...) { .rows = __VA_ARGS__ }

static lm_status format(lm_format_result *r, const char *name, const example *e, bool skip, lm_str *out, lm_err *err)
{
    char *in = test_path(name), *path = test_path("out.jsonl");
    lm_strings field = { (char *[]){ (char *)(uintptr_t)e->field }, e->field ? 1 : 0 }, keep = { (char *[]){ (char *)(uintptr_t)e->keep }, e->keep ? 1 : 0 };
    const lm_format_options o = { .kind = e->kind, .to = e->to, .out = path, .fields = &field, .keep = &keep, .skip = skip };
    assert_int_equal(lm_file_write(in, e->rows, strlen(e->rows), NULL), LM_OK);
    lm_status status = lm_format_files(r, &(lm_strings){ &in, 1 }, &o, err);
    if (status == LM_OK) assert_int_equal(lm_file_read(out, path, 1 << 20, NULL), LM_OK);
    free(in);
    free(path);
    return status;
}

static void check(const char *name, const example *list, size_t n)
{
    for (const example *e = list; e < list + n; e++) {
        lm_format_result r;
        lm_str out = {0};
        lm_err err = {0};
        lm_status status = format(&r, name, e, false, &out, &err);
        if (e->is && status != LM_OK) fail_msg("%s: %s", e->rows, err.message);
        if (!e->is && status == LM_OK) fail_msg("%s: accepted: %s", e->rows, out.data);
        if (e->is) {
            assert_string_equal(r.kind->name, e->is);
            assert_string_equal(out.data, e->want);
        } else if (!strstr(err.message, e->want)) fail_msg("%s: \"%s\" does not say \"%s\"", e->rows, err.message, e->want);
        lm_str_free(&out);
        lm_format_result_free(&r);
    }
}
#define CHECK(name, list) check(name, list, sizeof list / sizeof *list)

#define USER(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define ASSISTANT(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
#define SYSTEM(text) "{\"role\": \"system\", \"content\": \"" text "\"}"
#define TOOLS "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]"

static void every_kind(void **state)
{
    (void)state;
    static const example list[] = {
        ROW("{\"instruction\": \"더해라\", \"input\": \"1, 2\", \"output\": \"3\"}", NULL, NULL, "{\"messages\": [" USER("더해라\\n\\n1, 2") ", " ASSISTANT("3") "]}\n", "alpaca"),
        ROW("{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\", \"system\": \"s\", \"history\": [[\"q\", \"r\"]]}", NULL, NULL,
          "{\"messages\": [" SYSTEM("s") ", " USER("q") ", " ASSISTANT("r") ", " USER("a") ", " ASSISTANT("b") "]}\n", "alpaca"),
        ROW("{\"instruction\": \"a\", \"output\": \"b\", \"system\": \"s\", \"input\": null}", NULL, "prompt_completion", "{\"prompt\": \"s\\n\\na\", \"completion\": \"b\"}\n", "alpaca"),
        /* the first Alpaca had a field "text" as well: text gives way */
        ROW("{\"instruction\": \"a\", \"output\": \"b\", \"text\": \"all\"}", NULL, NULL, "{\"messages\": [" USER("a") ", " ASSISTANT("b") "]}\n", "alpaca"),
        ROW("{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}], \"system\": \"s\", \"tools\": \"[{\\\"type\\\": \\\"function\\\", \\\"function\\\": {\\\"name\\\": \\\"f\\\"}}]\"}",
          NULL, NULL, "{\"messages\": [" SYSTEM("s") ", " USER("a") ", " ASSISTANT("b") "], " TOOLS "}\n", "sharegpt"),
        ROW("{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"function_call\", \"value\": \"{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 1}}\"}, "
          "{\"from\": \"observation\", \"value\": \"2\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}", NULL, NULL,
          "{\"messages\": [" USER("a") ", {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1}}}]}, "
          "{\"role\": \"tool\", \"content\": \"2\"}, " ASSISTANT("b") "]}\n", "sharegpt"),
        ROW("{\"messages\": [" SYSTEM("s") ", " USER("a") ", " ASSISTANT("b") ", " USER("c") ", " ASSISTANT("d") "], " TOOLS "}", NULL, NULL,
          "{\"messages\": [" SYSTEM("s") ", " USER("a") ", " ASSISTANT("b") ", " USER("c") ", " ASSISTANT("d") "], " TOOLS "}\n", "messages"),
        ROW("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}]}, " ASSISTANT("c") "]}", NULL, NULL,
          "{\"messages\": [" USER("ab") ", " ASSISTANT("c") "]}\n", "messages"),
        ROW("{\"prompt\": \"a\", \"completion\": \" b\"}", NULL, NULL, "{\"prompt\": \"a\", \"completion\": \" b\"}\n", "prompt_completion"),
        ROW("{\"prompt\": [" USER("a") "], \"completion\": [" ASSISTANT("b") "]}", NULL, "messages", "{\"messages\": [" USER("a") ", " ASSISTANT("b") "]}\n", "prompt_completion"),
        ROW("{\"Q\": \"a\", \"A\": \"b\", \"label\": \"0\"}", NULL, NULL, "{\"messages\": [" USER("a") ", " ASSISTANT("b") "]}\n", "qa"),
        ROW("{\"질문\": \"a\", \"답변\": \"b\", \"context\": \"c\"}", NULL, "prompt_completion", "{\"prompt\": \"a\\n\\nc\", \"completion\": \"b\"}\n", "qa"),
        ROW("{\"문제\": \"a\", \"answer\": \"b\"}", NULL, NULL, "{\"messages\": [" USER("a") ", " ASSISTANT("b") "]}\n", "qa", .field = "question=문제"),
        ROW("{\"question\": \"a\", \"answer\": \"b\", \"id\": 7}", NULL, NULL, "{\"messages\": [" USER("a") ", " ASSISTANT("b") "], \"id\": 7}\n", "qa", .keep = "id"),
        ROW("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\", \"margin\": 0.5}", NULL, NULL, "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\", \"margin\": 0.5}\n", "preference"),
        ROW("{\"instruction\": \"a\", \"input\": \"x\", \"chosen\": \"b\", \"rejected\": \"c\"}", NULL, "labelled",
          "{\"prompt\": \"a\\n\\nx\", \"completion\": \"b\", \"label\": true}\n{\"prompt\": \"a\\n\\nx\", \"completion\": \"c\", \"label\": false}\n", "preference"),
        ROW("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}", NULL, "messages", "{\"messages\": [" USER("a") ", " ASSISTANT("b") "]}\n", "preference"),
        ROW("{\"chosen\": [" USER("a") ", " ASSISTANT("b") "], \"rejected\": [" USER("a") ", " ASSISTANT("c") "]}", NULL, NULL,
          "{\"prompt\": [" USER("a") "], \"chosen\": [" ASSISTANT("b") "], \"rejected\": [" ASSISTANT("c") "]}\n", "preference"),
        ROW("{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\", \"rejected\": \"\\n\\nHuman: a\\n\\nAssistant: c\"}", NULL, NULL,
          "{\"prompt\": [" USER("a") "], \"chosen\": [" ASSISTANT("b") "], \"rejected\": [" ASSISTANT("c") "]}\n", "preference"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\", \"d\"]}", NULL, NULL, "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\", \"d\"]}\n", "ranked"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\", \"d\"]}", NULL, "preference", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"d\"}\n", "ranked"),
        ROW("{\"prompt\": \"a\", \"responses\": [\"b\", \"c\", \"d\"], \"scores\": [2, 3.5, 1]}", NULL, "preference", "{\"prompt\": \"a\", \"chosen\": \"c\", \"rejected\": \"d\"}\n", "ranked"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"helpful\": [1, 4], \"honest\": [2, 3]}}", NULL, NULL,
          "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"helpful\": [1, 4], \"honest\": [2, 3]}}\n", "ratings"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"helpful\": [1, 4], \"honest\": [2, 3]}}", NULL, "ranked",
          "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1.5, 3.5]}\n", "ratings"),
        ROW("{\"instruction\": \"a\", \"completions\": [{\"response\": \"b\", \"annotations\": {\"x\": {\"Rating\": \"4\"}}}, {\"response\": \"c\", \"annotations\": {\"x\": {\"Rating\": \"2\"}}}]}",
          NULL, NULL, "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"x\": [4.0, 2.0]}}\n", "ratings"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [true, false]}", NULL, NULL, "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [true, false]}\n", "steps"),
        ROW("{\"question\": \"a\", \"steps\": [\"b\", \"c\", \"d\"], \"first_error\": 2}", NULL, NULL, "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\", \"d\"], \"labels\": [true, false, null]}\n", "steps"),
        ROW("{\"question\": \"a\", \"steps\": [\"b\", \"c\"], \"first_error\": 0}", NULL, "labelled", "{\"prompt\": \"a\", \"completion\": \"b\\nc\", \"label\": true}\n", "steps"),
        ROW("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": 0}", NULL, NULL, "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": false}\n", "labelled"),
        ROW("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": 0}", "prompt_completion", NULL, "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "prompt_completion"),
        ROW("{\"id\": 1, \"document\": \"글\"}", NULL, NULL, "{\"text\": \"글\"}\n", "text"),
    };
    CHECK("in.jsonl", list);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const example list[] = {
        /* ambiguous: both kinds and the option */
        ROW("{\"question\": \"a\", \"answer\": \"b\", \"chosen\": \"c\", \"rejected\": \"d\"}", NULL, NULL, "preference (question, chosen, rejected) and qa (question, answer): say which with --kind preference or --kind qa"),
        ROW("{\"messages\": [" USER("a") ", " ASSISTANT("b") "], \"prompt\": \"a\", \"completion\": \"b\"}", NULL, NULL, "in.jsonl:1: its fields fit two kinds, messages (messages) and prompt_completion (prompt, completion)"),
        ROW("{\"foo\": 1, \"bar\": 2}", NULL, NULL, "in.jsonl:1: its fields are those of no kind that is known: foo, bar"),
        ROW("{\"foo\": 1}", "alpaca", NULL, "in.jsonl:1: expected field \"instruction\" of alpaca rows, found foo"),
        ROW("{\"instruction\": 5, \"output\": \"b\"}", "alpaca", NULL, "field \"instruction\": alpaca rows have text there"),
        /* mixed */
        ROW("{\"question\": \"a\", \"answer\": \"b\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}", NULL, NULL, "in.jsonl:2: mixed kinds: this row is prompt_completion, the first was qa (question, answer)"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"}", NULL, NULL, "in.jsonl:2: expected field \"answer\" or"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\", \"answer\": 4}", NULL, NULL, "in.jsonl:2: field \"answer\": qa rows have text there"),
        ROW("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": [" USER("a") "], \"chosen\": [" ASSISTANT("b") "], \"rejected\": [" ASSISTANT("c") "]}", NULL, NULL,
          "in.jsonl:2: mixed kinds: its answers are messages, those of the rows before text"),
        /* empty */
        ROW("{\"question\": \"a\", \"answer\": \" \\n\"}", NULL, NULL, "in.jsonl:1: field \"answer\" is empty"),
        ROW("{\"prompt\": \"\", \"completion\": \"b\"}", NULL, NULL, "field \"prompt\" is empty"),
        ROW("{\"messages\": [" USER("") ", " ASSISTANT("b") "]}", NULL, NULL, "field \"messages\": message 1 is empty"),
        ROW("{\"messages\": []}", "messages", NULL, "field \"messages\": messages rows have a list of messages"),
        ROW("", NULL, NULL, "in.jsonl: no row in it"),
        ROW("{\"question\": \"a\\u0000b\", \"answer\": \"c\"}", NULL, NULL, "in.jsonl:1: field \"question\": expected text, found a zero byte"),
        ROW("{\"question\": \"a\\u0000b\", \"answer\": \"c\"}", "qa", NULL, "field \"question\": expected text, found a zero byte"),
        /* roles */
        ROW("{\"messages\": [" ASSISTANT("b") "]}", NULL, NULL, "message 1: roles out of order: assistant comes first"),
        ROW("{\"messages\": [" USER("a") ", " USER("b") ", " ASSISTANT("c") "]}", NULL, NULL, "message 2: roles out of order: user follows user"),
        ROW("{\"messages\": [" USER("a") ", " SYSTEM("b") ", " ASSISTANT("c") "]}", NULL, NULL, "message 2: roles out of order: system follows user"),
        ROW("{\"messages\": [" USER("a") ", " ASSISTANT("c") ", {\"role\": \"tool\", \"content\": \"x\"}]}", NULL, NULL, "message 3: roles out of order: tool follows assistant"),
        ROW("{\"messages\": [" USER("a") "]}", NULL, NULL, "the last message (1) is the user's: no answer to learn from"),
        ROW("{\"messages\": [{\"role\": \"robot\", \"content\": \"a\"}]}", NULL, NULL, "message 1: expected the role system, user, assistant or tool, found \"robot\""),
        ROW("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}, " ASSISTANT("b") "]}", NULL, NULL, "message 1: part 1 is image_url: only text is read here"),
        ROW("{\"conversations\": [{\"from\": \"alien\", \"value\": \"a\"}]}", NULL, NULL, "turn 1: expected \"from\" human, gpt, system, function_call or observation, found alien"),
        ROW("{\"conversations\": [{\"from\": \"gpt\", \"value\": \"a\"}]}", NULL, NULL, "roles out of order: assistant comes first"),
        ROW("{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"function_call\", \"value\": \"f()\"}]}", NULL, NULL, "function_call"),
        ROW("{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"x\"]]}", NULL, NULL, "field \"history\": turn 1: expected [\"question\", \"answer\"]"),
        /* what a shape cannot hold */
        ROW("{\"messages\": [" USER("a") ", " ASSISTANT("b") ", " USER("c") ", " ASSISTANT("d") "]}", NULL, "prompt_completion", "in.jsonl:1: a conversation of more than one turn"),
        ROW("{\"messages\": [" USER("a") ", " ASSISTANT("b") "], " TOOLS "}", NULL, "prompt_completion", "tools, which prompt_completion cannot hold"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}", NULL, "preference", "--to preference: qa rows cannot become that; they become messages, prompt_completion"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}", NULL, "poem", "--to poem: no shape is called that"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}", "poem", NULL, "--kind poem: no kind is called that"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}", NULL, NULL, "--field riddle=x: expected ROLE=NAME", .field = "riddle=x"),
        ROW("{\"question\": \"a\", \"answer\": \"b\"}", NULL, NULL, "expected field \"id\" (--keep)", .keep = "id"),
        ROW("{\"chosen\": \"ab\", \"rejected\": \"ac\"}", NULL, "messages", "no prompt"),
        ROW("{\"chosen\": \"ab\", \"rejected\": \"ac\"}", NULL, "labelled", "no prompt"),
        /* answers that are no preference */
        ROW("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}", NULL, NULL, "fields \"chosen\" and \"rejected\" are the same"),
        ROW("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": [" ASSISTANT("c") "]}", NULL, NULL, "field \"rejected\" is messages and what stands before it text"),
        ROW("{\"chosen\": [" USER("a") ", " ASSISTANT("b") "], \"rejected\": [" USER("x") ", " ASSISTANT("c") "]}", NULL, NULL, "field \"chosen\": expected a list of messages"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\"]}", NULL, NULL, "field \"completions\": expected two answers or more, found 1"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1]}", NULL, NULL, "field \"scores\": expected 2 numbers, one for each of \"completions\", found 1"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, \"x\"]}", NULL, NULL, "field \"scores\": entry 2 is no number"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, 1]}", NULL, "preference", "all 2 answers are worth the same"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"x\": [1]}}", NULL, NULL, "field \"ratings\": x: expected a list of 2 numbers"),
        ROW("{\"prompt\": \"a\", \"completions\": [{\"text\": \"b\", \"ratings\": {\"x\": 1}}, {\"text\": \"c\", \"ratings\": {\"y\": 1}}]}", NULL, NULL, "answer 2: y does not rate every answer"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [true]}", NULL, NULL, "field \"labels\": 1 labels for 2 steps"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\", \"\"], \"labels\": [true, true]}", NULL, NULL, "field \"completions\": step 2 is empty"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\"], \"labels\": [7]}", NULL, NULL, "label 1: expected true, false, 1, 0, -1 or null"),
        ROW("{\"prompt\": \"a\", \"steps\": [\"b\"], \"first_error\": 2}", NULL, NULL, "field \"first_error\": step 2 of 1"),
        ROW("{\"prompt\": \"a\", \"completions\": [\"b\"]}", "steps", NULL, "expected \"labels\", one for each step, or \"first_error\" of steps rows"),
    };
    CHECK("in.jsonl", list);
}

static void tables(void **state)
{
    (void)state;
    static const example csv[] = {
        ROW("question,answer\n\"a, b\",c\n", NULL, NULL, "{\"messages\": [" USER("a, b") ", " ASSISTANT("c") "]}\n", "qa"),
        ROW("Q,A\n,c\n", NULL, NULL, "in.csv:2: field \"Q\" is empty"),
    };
    static const example tsv[] = { ROW("질문\t답변\na\tb\n", NULL, "prompt_completion", "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "qa") };
    static const example plain[] = { ROW("one\ntwo\n", NULL, NULL, "{\"text\": \"one\\ntwo\\n\"}\n", "text") };
    CHECK("in.csv", csv);
    CHECK("in.tsv", tsv);
    CHECK("in.txt", plain);
}

/* Columns of a table without names; a first line that repeats them is none of its rows. */
static void columns_without_names(void **state)
{
    (void)state;
    static const char *const files[] = { "a\tb\nc\td\n", "question\tanswer\na\tb\nc\td\n" };
    lm_strings columns = { (char *[]){ "question", "answer" }, 2 };
    char *in = test_path("bare.tsv"), *path = test_path("out.jsonl");
    for (int i = 0; i < 2; i++) {
        lm_format_result r;
        lm_err err = {0};
        lm_str out = {0};
        const lm_format_options o = { .out = path, .columns = &columns, .to = "prompt_completion" };
        assert_int_equal(lm_file_write(in, files[i], strlen(files[i]), NULL), LM_OK);
        if (lm_format_files(&r, &(lm_strings){ &in, 1 }, &o, &err) != LM_OK) fail_msg("%s", err.message);
        assert_int_equal(lm_file_read(&out, path, 1 << 20, NULL), LM_OK);
        assert_string_equal(out.data, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"c\", \"completion\": \"d\"}\n");
        lm_str_free(&out);
        lm_format_result_free(&r);
    }
    free(in);
    free(path);
}

static void rows_passed_over(void **state)
{
    (void)state;
    const example e = { .rows = "{\"question\": \"a\", \"answer\": \"b\", \"x\": 1}\n{broken\n{\"question\": \"\", \"answer\": \"b\"}\n{\"question\": \"c\", \"answer\": \"d\"}\n" };
    lm_format_result r;
    lm_str out = {0};
    lm_err err = {0};
    if (format(&r, "in.jsonl", &e, true, &out, &err) != LM_OK) fail_msg("%s", err.message);
    assert_int_equal(r.rows, 2);
    assert_int_equal(r.written, 2);
    assert_int_equal(r.skipped.n, 2);
    assert_non_null(strstr(r.skipped.messages.items[0], "in.jsonl:2"));
    assert_non_null(strstr(r.skipped.messages.items[1], "in.jsonl:3: field \"question\" is empty"));
    assert_int_equal(r.used.n, 2);
    assert_string_equal(r.unused.items[0], "x");
    lm_str_free(&out);
    lm_format_result_free(&r);
}

/* What is written is read back as the same thing. */
static void twice_is_once(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"messages\": [" SYSTEM("s") ", " USER("a") ", " ASSISTANT("b") "], " TOOLS "}\n", "{\"prompt\": \"a\", \"completion\": \"b\"}\n",
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"scores\": [1, 2]}\n",
        "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"ratings\": {\"x\": [1, 2]}}\n", "{\"prompt\": \"a\", \"completions\": [\"b\", \"c\"], \"labels\": [true, null]}\n",
        "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}\n", "{\"text\": \"a\"}\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lm_format_result r;
        lm_str out = {0};
        lm_err err = {0};
        if (format(&r, "in.jsonl", &(example){ .rows = rows[i] }, false, &out, &err) != LM_OK) fail_msg("%s", err.message);
        assert_string_equal(out.data, rows[i]);
        lm_str_free(&out);
        lm_format_result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind), cmocka_unit_test(what_is_refused), cmocka_unit_test(tables), cmocka_unit_test(columns_without_names),
        cmocka_unit_test(rows_passed_over), cmocka_unit_test(twice_is_once),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
