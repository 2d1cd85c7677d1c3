/* data grow against an endpoint that follows a script: what every rule leaves out, where rows come from, that a run follows
 * from its seed whoever answers first, that a killed one goes on, and what is told where nobody answers.  And a model's
 * folder that is asked. */
#include "common/endpoint.h"
#include "common/program.h"
#include "train/tiny.h"

#include "base/json.h"
#include "base/map.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the endpoint says: the questions are those of prompts/grow.en.yaml and grow.ko.yaml ---- */

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

/* A task of words that hang on the question and on its number, so that hardly two are alike. */
static void put_task(lm_str *out, uint64_t number)
{
    static const char *const verbs[] = { "Explain", "Compare", "List", "Summarise", "Translate", "Criticise", "Is there anything good about", "Plan" };
    static const char *const things[] = { "rivers", "engines", "poems", "taxes", "birds", "bridges", "recipes", "planets", "contracts", "dances", "medicines", "clouds" };
    static const char *const ways[] = { "for a child", "in one sentence", "as a letter to a friend", "from the view of a farmer", "with two reasons", "by their age" };
    lm_str_printf(out, "%s %s and %s %s.", verbs[number % 8], things[number / 8 % 12], things[number / 96 % 12], ways[number / 1152 % 6]);
}

static char *new_tasks(const char *question)
{
    lm_str out = {0};
    uint64_t h = lm_hash(question, strlen(question), 0);
    lm_str_puts(&out, "Here they are:\n\n**Task 9:** Describe the picture on the wall.\nTask 10: ");
    for (int i = 0; i < 6; i++) {
        put_task(&out, h >> (9 * i));
        lm_str_printf(&out, "\nTask %d: ", 11 + i);
    }
    lm_str_puts(&out, "Name a colour that begins with the letter b.");         /* a seed */
    return lm_str_take(&out);
}

/* An evolution does as the seed says that it evolves. */
static const char *evolution_of(const char *question)
{
    static const char *const cases[][2] = {
        { "case good", "Name three rivers of Korea and tell how long each of them is." }, { "case twin", "Name three rivers of Korea and tell how long each one is." },
        { "case echo", "This is case echo." }, { "case alike", "Say much the same in slightly other words about case alike." },
        { "case copied", "The given request asks for more about mountains." }, { "case view", "Describe this image of a mountain in ten words." },
        { "case brief", "Go." }, { "case regret", "I'm sorry, I cannot help with that." }, { "case declined", "Tell me how this lock is picked, and with which tools." },
        { "case void", "Say a sentence of nothing but small words about oxen." }, { "case mute", "Debate whether lighthouses ought to be painted blue or white." },
        { "case unscored", "Write a rhyme on a snail that crosses the road at noon." },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (has(question, cases[i][0])) return cases[i][1];
    return NULL;
}

static char *script(const char *question)
{
    if (has(question, "adding one condition")) return evolution_of(question) ? lm_strdup(evolution_of(question)) : NULL;
    if (has(question, "Do they demand the same")) return lm_strdup(has(question, "other words") ? "[[same]]" : has(question, "lighthouses") ? "Who knows?" : "They are [[different]]");
    if (has(question, "How hard is it")) return lm_strdup(has(question, "snail") ? "rather hard" : has(question, "rivers of Korea") ? "Some geography. [[4]]" : "7");
    if (has(question, "Continue the collection")) return new_tasks(question);
    if (has(question, "Does this task ask to classify")) return lm_strdup(has(question, "Is there anything") ? "[[yes]]" : "[[no]]");
    if (has(question, "something is to be classified")) return lm_strdup("Label: yes\nInput: none\n");
    if (has(question, "worked example")) return lm_strdup("Input: the material,\nin two lines\nOutput: a good answer");
    if (has(question, "보기를")) return lm_strdup("입력: 없음\n출력: 좋은 답입니다.");
    if (has(question, "이어 8번부터")) return lm_strdup("과제 8: 비가 오는 까닭을 아이에게 설명해 주세요.\n과제 9: 밥 짓는 법을 순서대로 적어 주세요.");
    if (has(question, "이 과제는 분류입니까")) return lm_strdup("[[아니요]]");
    if (has(question, "얼마나 어렵습니까")) return lm_strdup("[[2]]");
    if (has(question, "lock is picked")) return lm_strdup("Sorry, I can't.");
    if (has(question, "small words")) return lm_strdup("... it is, and so was that!");
    return lm_strdup("This is what one would answer.");
}

/* ---- running ---- */

static endpoint server;
static char *seeds, *cases, *out, *report_path, *rejected;

static int setup(void **state)
{
    static const char *const names[] = { "good", "twin", "echo", "alike", "copied", "view", "brief", "regret", "declined", "void", "mute", "unscored", "refused by the endpoint" };
    if (test_folder_make(state) || endpoint_start(&server, script)) return -1;
    seeds = tiny_file("seeds.jsonl", "{\"id\": \"a\", \"instruction\": \"Name a colour that begins with the letter b.\", \"instances\": [{\"input\": \"\", \"output\": \"Blue.\"}], \"is_classification\": false}\n"
                                     "{\"instruction\": \"Correct the spelling.\", \"input\": \"Teh cat\", \"output\": \"The cat\"}\n"
                                     "{\"prompt\": \"How many legs has a spider?\", \"completion\": \"Eight.\"}\n"
                                     "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"What is rain?\"}, {\"role\": \"assistant\", \"content\": \"Water.\"}]}\n"
                                     "{\"prompt\": \"Who wrote the first dictionary of Korean?\"}\n"
                                     "{\"instruction\": \"Turn the sentence into a question.\", \"input\": \"It rains.\"}\n"
                                     "{\"question\": \"Why is the sky blue?\", \"answer\": \"Scattering.\"}\n");
    lm_str text = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) lm_str_printf(&text, "{\"instruction\": \"This is case %s.\"}\n", names[i]);
    cases = tiny_file("cases.jsonl", text.data);
    lm_str_free(&text);
    out = test_path("grown.jsonl"), report_path = test_path("report.json"), rejected = test_path("rejected.jsonl");
    return 0;
}

static int teardown(void **state)
{
    endpoint_stop(&server);
    free(seeds), free(cases), free(out), free(report_path), free(rejected);
    return test_folder_remove(state);
}

/* `data grow SEEDS --out OUT ARGUMENTS` against the endpoint. */
static program grow(const char *from, const char *to, const char *arguments, int code)
{
    program p;
    lm_str text = {0};
    lm_str_printf(&text, "data grow %s --out %s --model scripted --endpoint http://127.0.0.1:%d/v1 %s", from, to, server.port, arguments);
    program_line(&p, NULL, text.data);
    if (p.code != code) fail_msg("%s: exit %d: %s", text.data, p.code, p.err.data ? p.err.data : "");
    lm_str_free(&text);
    return p;
}

static lm_json *rows_of(const char *path)
{
    lm_str text = {0};
    lm_json *rows = json_array();
    assert_int_equal(lm_file_read(&text, path, 1 << 24, NULL), LM_OK);
    char *rest = text.data;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (*line) json_array_append_new(rows, lm_json_parse(line, strlen(line), path, NULL));
    lm_str_free(&text);
    return rows;
}

static int64_t number(const lm_json *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const char *string(const lm_json *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static const char *said(const lm_json *row, size_t message) { return string(json_array_get(json_object_get(row, "messages"), message), "content"); }

static lm_json *find_row(const lm_json *rows, const char *key, const char *part)
{
    size_t i;
    lm_json *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        const char *text = key ? string(row, key) : said(row, 0);
        if (text && has(text, part)) return row;
    }
    fail_msg("no row says %s", part);
    return NULL;
}

/* ---- tests ---- */

/* One seed for every rule: each is counted under its reason, and written down. */
static void every_rule_counts_what_it_leaves_out(void **state)
{
    (void)state;
    lm_str arguments = {0};
    lm_str_printf(&arguments, "--method evol_instruct --operations constraints --rows 100 --batch 20 --depth 1 --patience 2 --report %s --rejected %s --json", report_path, rejected);
    server.state->requests = 0;
    program p = grow(cases, out, arguments.data, 0);
    /* Of each round, of which there are three: after the first all that is kept is known.  Good, twin and the snail are
     * then alike what is there. */
    static const struct { const char *reason; int times; } expected[] = {
        { "unanswered", 3 }, { "unreadable", 3 }, { "too_short", 3 }, { "too_long", 0 }, { "keyword", 3 }, { "copied", 3 }, { "similar", 1 + 3 + 3 }, { "no_gain", 6 }, { "refused", 6 }, { "empty", 3 },
    };
    lm_json *report = lm_json_read(report_path, NULL), *rows = rows_of(out), *left = rows_of(rejected);
    const lm_json *counts = json_object_get(report, "rejected");
    assert_int_equal(number(report, "rounds"), 3);
    assert_int_equal(number(report, "rows"), 2);
    assert_string_equal(string(report, "ended_by"), "idle");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (number(counts, expected[i].reason) != expected[i].times) fail_msg("%s: %d", expected[i].reason, (int)number(counts, expected[i].reason));
    assert_int_equal(number(report, "without_difficulty"), 1);
    assert_int_equal(number(json_object_get(json_object_get(report, "operations"), "constraints"), "kept"), 2);
    assert_int_equal(number(json_object_get(report, "difficulty"), "4"), 1);
    assert_int_equal(number(report, "questions"), server.state->requests);
    int64_t all = 0;
    const char *reason;
    lm_json *n;
    json_object_foreach((json_t *)(uintptr_t)counts, reason, n) all += json_integer_value(n);
    assert_int_equal(json_array_size(left), all);
    assert_string_equal(string(find_row(left, "reason", "keyword"), "instruction"), "Describe this image of a mountain in ten words.");
    assert_string_equal(string(find_row(left, "reason", "empty"), "output"), "... it is, and so was that!");
    assert_non_null(strstr(string(find_row(left, "reason", "unanswered"), "answer"), "answered 400: not that"));

    const lm_json *row = find_row(rows, NULL, "three rivers");
    assert_string_equal(said(row, 1), "This is what one would answer.");
    assert_string_equal(string(row, "method"), "evol_instruct");
    assert_string_equal(string(row, "operation"), "constraints");
    assert_string_equal(string(row, "model"), "scripted");
    assert_true(has(json_string_value(json_array_get(json_object_get(row, "parents"), 0)), "cases.jsonl:"));
    assert_int_equal(number(row, "round"), 1);
    assert_int_equal(number(row, "difficulty"), 4);
    assert_true(json_real_value(json_object_get(row, "rouge_l")) < 0.7);
    assert_null(json_object_get(find_row(rows, NULL, "snail"), "difficulty"));
    program_free(&p);
    lm_str_free(&arguments);
    lm_json_free(report), lm_json_free(rows), lm_json_free(left);
}

static void tasks_grow_out_of_seeds(void **state)
{
    (void)state;
    program p = grow(seeds, out, "--method self_instruct --rows 20 --overwrite --json", 0);
    lm_json *rows = rows_of(out), *report = lm_json_parse(p.out.data, p.out.len, "report", NULL), *row;
    lm_map *ids = lm_map_new(32);
    size_t i, grown_shown = 0;
    assert_int_equal(json_array_size(rows), 20);
    assert_string_equal(string(report, "ended_by"), "rows");
    assert_true(number(json_object_get(report, "rejected"), "keyword") > 0);
    json_array_foreach(rows, i, row) {
        const char *id = string(row, "id");
        const lm_json *parents = json_object_get(row, "parents"), *parent;
        size_t k, grown = 0;
        assert_true(lm_map_put(ids, id, strlen(id), 1));
        assert_true(json_real_value(json_object_get(row, "rouge_l")) < 0.7);
        assert_int_equal(number(row, "difficulty"), 7);
        json_array_foreach((json_t *)(uintptr_t)parents, k, parent) grown += json_string_value(parent)[0] == 'g';
        assert_true(json_array_size(parents) - grown >= 6 && grown <= 2 && json_array_size(parents) <= 8);
        grown_shown += grown;
        if (strcmp(string(row, "operation"), "output_first")) {
            assert_true(has(said(row, 0), "\n\nthe material,\nin two lines"));
            assert_string_equal(said(row, 1), "a good answer");
        } else {
            assert_true(has(said(row, 0), "Is there anything") && !has(said(row, 0), "none"));
            assert_string_equal(said(row, 1), "yes");
        }
    }
    assert_true(grown_shown > 0);
    program mixed;                                               /* the fields are those that mixing asks for */
    lm_str line = {0};
    lm_str_printf(&line, "data mix %s --difficulty difficulty --topic operation --rows 10 --out %s.mixed.jsonl", out, out);
    program_line(&mixed, NULL, line.data);
    if (mixed.code) fail_msg("%s", mixed.err.data);
    program_free(&mixed);
    lm_str_free(&line);
    find_row(rows, "operation", "output_first");
    lm_map_free(ids);
    lm_json_free(rows), lm_json_free(report);
    program_free(&p);
}

static bool same_bytes(const char *a, const char *b)
{
    lm_str x = {0}, y = {0};
    assert_int_equal(lm_file_read(&x, a, 1 << 24, NULL), LM_OK);
    assert_int_equal(lm_file_read(&y, b, 1 << 24, NULL), LM_OK);
    bool same = x.len == y.len && !memcmp(x.data, y.data, x.len);
    lm_str_free(&x), lm_str_free(&y);
    return same;
}

/* Killed in the middle, it goes on: the same bytes, and nothing is asked twice but what was under way. */
static void a_killed_run_goes_on(void **state)
{
    (void)state;
    const char *how = "--method self_instruct --rows 20 --parallel 1 --overwrite";
    char *other = test_path("again.jsonl");
    server.state->requests = 0;
    program p = grow(seeds, other, how, 0);
    program_free(&p);
    int whole = server.state->requests;
    assert_true(same_bytes(out, other));                         /* eight at once had answered in another order */

    running r;
    lm_str line = {0};
    lm_str_printf(&line, "data grow %s --out %s --model scripted --endpoint http://127.0.0.1:%d/v1 %s", seeds, out, server.port, how);
    server.state->requests = 0;
    server.state->patience = whole / 2;
    unlink(out);
    program_start(&r, line.data);
    while (server.state->patience >= 0) usleep(1000);
    kill(r.pid, SIGKILL);
    program_finish(&r, &p);
    assert_int_equal(p.signal, SIGKILL);
    program_free(&p);
    assert_int_not_equal(access(out, F_OK), 0);
    server.state->patience = 0;
    p = grow(seeds, out, "--method self_instruct --rows 20 --parallel 1 --resume", 0);
    program_free(&p);
    assert_int_equal(server.state->requests, whole + 1);
    assert_true(same_bytes(out, other));

    server.state->requests = 0;                                  /* stopped by Ctrl-C, it keeps what it has */
    server.state->patience = whole - 10;
    program_start(&r, line.data);
    while (server.state->patience >= 0) usleep(1000);
    kill(r.pid, SIGINT);
    usleep(20000);
    server.state->patience = 0;
    program_finish(&r, &p);
    assert_int_equal(p.signal, SIGINT);
    assert_non_null(strstr(p.err.data, "the same command with --resume goes on"));
    program_free(&p);
    lm_json *some = rows_of(out);
    assert_true(json_array_size(some) > 0 && json_array_size(some) < 20);
    lm_json_free(some);
    p = grow(seeds, out, "--method self_instruct --rows 20 --parallel 1 --resume", 0);
    program_free(&p);
    assert_int_equal(server.state->requests, whole);
    assert_true(same_bytes(out, other));

    p = grow(seeds, out, "--method self_instruct --rows 30 --resume --json", 0);         /* and grows on */
    lm_json *report = lm_json_parse(p.out.data, p.out.len, "report", NULL);
    assert_int_equal(number(report, "answered_before"), whole);
    assert_int_equal(number(report, "questions"), server.state->requests);
    assert_int_equal(number(report, "rows"), 30);
    lm_json_free(report);
    program_free(&p);
    p = grow(seeds, out, "--method self_instruct --rows 30 --resume --temperature 0.5", 1);
    assert_non_null(strstr(p.err.data, "the run that stands there had another \"temperature\": 0.7, not 0.5"));
    program_free(&p);
    p = grow(seeds, out, "--method self_instruct --rows 30", 2);
    assert_non_null(strstr(p.err.data, "--resume goes on with it"));
    program_free(&p);
    char *odd = tiny_file("odd.answers", "{\"settings\": {}}\n");
    lm_str_clear(&line);
    lm_str_printf(&line, "--method self_instruct --rows 30 --resume --answers %s", odd);
    p = grow(seeds, out, line.data, 1);
    assert_non_null(strstr(p.err.data, "odd.answers:1: the run that stands there had another \"method\": none"));
    program_free(&p);
    lm_str_free(&line);
    char *said_before = test_path("grown.jsonl.answers.jsonl");
    assert_int_equal(lm_file_read(&line, said_before, 1 << 24, NULL), LM_OK);
    lm_str_puts(&line, "{\"n\": 999999999999, \"key\": 1, \"answer\": \"\"}\n");
    assert_int_equal(lm_file_write(said_before, line.data, line.len, NULL), LM_OK);
    p = grow(seeds, out, "--method self_instruct --rows 30 --resume", 1);
    assert_non_null(strstr(p.err.data, "question 999999999999 cannot stand here"));
    program_free(&p);
    lm_str_free(&line);
    free(other), free(odd), free(said_before);
}

static void a_budget_is_kept(void **state)
{
    (void)state;
    server.state->requests = 0;
    program p = grow(seeds, out, "--method self_instruct --rows 20 --overwrite --requests 30 --json", 0);
    lm_json *report = lm_json_parse(p.out.data, p.out.len, "report", NULL);
    assert_int_equal(server.state->requests, 30);
    assert_string_equal(string(report, "ended_by"), "requests");
    assert_true(number(report, "rows") > 0 && number(report, "rows") < 20 && number(report, "unfinished") > 0);
    lm_json_free(report);
    program_free(&p);
    p = grow(seeds, out, "--method self_instruct --rows 20 --resume", 0);
    program_free(&p);
    char *other = test_path("again.jsonl");
    assert_true(same_bytes(out, other));
    free(other);
}

/* Who does not answer ends the run in one line; it goes on when somebody does. */
static void nobody_answers(void **state)
{
    (void)state;
    server.state->busy = 1000;
    program p = grow(seeds, out, "--method self_instruct --rows 4 --overwrite --retries 0", 1);
    const char *line = strstr(p.err.data, "answered 503: too many; 0 rows so far, --resume goes on");
    assert_non_null(line);
    assert_ptr_equal(strchr(line, '\n'), p.err.data + p.err.len - 1);
    program_free(&p);
    server.state->busy = 1;
    p = grow(seeds, out, "--method self_instruct --rows 4 --resume --retries 1", 0);
    program_free(&p);
    server.state->cut = 1;
    p = grow(cases, out, "--method evol_instruct --operations constraints --rows 4 --overwrite --patience 1", 1);
    server.state->cut = 0;
    assert_non_null(strstr(p.err.data, "no row was kept"));
    assert_non_null(strstr(p.err.data, "most were left out as cut_off"));
    program_free(&p);
    char *unheard = tiny_file("unheard.jsonl", "{\"prompt\": \"This is a case that the endpoint refuses.\"}\n");
    server.state->requests = 0;
    p = grow(unheard, out, "--method evol_instruct --operations constraints --rows 4 --overwrite --patience 3", 1);
    assert_int_equal(server.state->requests, 3);                 /* of each question by itself: it goes on */
    assert_non_null(strstr(p.err.data, "most were left out as unanswered: http"));
    assert_non_null(strstr(p.err.data, "/v1/chat/completions: answered 400: not that"));
    program_free(&p);
    free(unheard);
    p = grow(seeds, out, "--method self_instruc --rows 4", 2);
    assert_non_null(strstr(p.err.data, "--method: expected one of evol_instruct, self_instruct, found"));
    program_free(&p);
    p = grow(seeds, out, "--method something-else-altogether --rows 4", 2);
    assert_non_null(strstr(p.err.data, "evol_instruct"));
    program_free(&p);
    p = grow(seeds, out, "--method evol_instruct --rows 4 --operations deepn", 2);
    assert_non_null(strstr(p.err.data, "--operations: expected one of constraints, deepen, concretise, reasoning, complicate, breadth, found \"deepn\""));
    program_free(&p);
    p = grow(seeds, out, "--method self_instruct --rows 4 --operations deepen", 2);
    assert_non_null(strstr(p.err.data, "self_instruct has none to choose from"));
    program_free(&p);
}

static void korean_seeds_are_asked_in_korean(void **state)
{
    (void)state;
    char *korean = tiny_file("korean.jsonl", "{\"instruction\": \"봄을 노래하는 시를 써 주세요.\"}\n{\"instruction\": \"하늘이 왜 파란가요?\"}\n{\"instruction\": \"다음 글을 줄여 주세요.\", \"input\": \"긴 글\"}\n"
                                             "{\"instruction\": \"사과와 배를 견주어 주세요.\"}\n{\"instruction\": \"훈민정음은 누가 만들었나요?\"}\n{\"instruction\": \"물의 끓는점은 몇 도인가요?\"}\n{\"instruction\": \"인사말을 영어로 옮겨 주세요.\"}\n");
    program p = grow(korean, out, "--method self_instruct --rows 2 --overwrite", 0);
    lm_json *rows = rows_of(out);
    assert_string_equal(said(json_array_get(rows, 0), 0), "비가 오는 까닭을 아이에게 설명해 주세요.");
    assert_string_equal(said(json_array_get(rows, 0), 1), "좋은 답입니다.");
    assert_int_equal(number(json_array_get(rows, 1), "difficulty"), 2);
    lm_json_free(rows);
    program_free(&p);
    free(korean);
}

/* Prompts and seeds that cannot be used are told with their places. */
static void what_cannot_be_used(void **state)
{
    (void)state;
    static const struct { const char *text, *told; } prompts[] = {
        { "difficulty: '{prompt}'\ntask: x\n", "task: nowhere says {number}" },      { "difficulty: '{prompt} {promt}'\n", "difficulty: has no place {promt}" },
        { "diffculty: x\n", "line 1: \"diffculty\" is no key of prompts; the nearest is difficulty" }, { "difficulty: '{prompt}'\n", "\"task\" is missing" },
        { "refusals: sorry\n", "line 1: refusals: expected a list of words" },
    };
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        lm_str arguments = {0};
        char *file = tiny_file("prompts.yaml", prompts[i].text);
        lm_str_printf(&arguments, "--method self_instruct --rows 1 --overwrite --prompts %s", file);
        program p = grow(seeds, out, arguments.data, 1);
        if (!strstr(p.err.data, prompts[i].told) || !strstr(p.err.data, "prompts.yaml")) fail_msg("%s", p.err.data);
        program_free(&p);
        lm_str_free(&arguments);
        free(file);
    }
    char *odd = tiny_file("odd.jsonl", "{\"instruction\": \"Fine.\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"},"
                                       " {\"role\": \"assistant\", \"content\": \"d\"}]}\n{\"instruction\": \" \"}\n");
    program p = grow(odd, out, "--method self_instruct --rows 1 --overwrite", 1);
    assert_non_null(strstr(p.err.data, "odd.jsonl:3: field \"instruction\" is empty"));
    program_free(&p);
    free(odd);
}

/* Tokens of the tiny model that are no printable bytes become pairs of letters: what it draws is text then. */
static void make_printable(const char *folder)
{
    char *path = lm_path_join(folder, "tokenizer.json");
    lm_json *doc = lm_json_read(path, NULL), *model = json_object_get(doc, "model"), *vocab = json_object();
    const char *token;
    lm_json *id;
    json_object_foreach(json_object_get(model, "vocab"), token, id) {
        int64_t byte = json_integer_value(id);
        char pair[3] = { (char)('a' + byte / 16), (char)('a' + byte % 16), 0 };
        json_object_set(vocab, (byte >= ' ' && byte < 127) || byte == '\n' ? token : pair, id);
    }
    json_object_set_new(model, "vocab", vocab);
    assert_int_equal(lm_json_write(doc, path, NULL), LM_OK);
    lm_json_free(doc);
    free(path);
}

static lm_json *ask_folder(const char *model, const char *arguments, int code)
{
    program p;
    lm_str text = {0};
    lm_str_printf(&text, "data grow %s --out %s.own.jsonl --model %s --rejected %s --threads 1 --json %s", seeds, out, model, rejected, arguments);
    program_line(&p, NULL, text.data);
    if (p.code != code) fail_msg("%s: exit %d: %s", text.data, p.code, p.err.data ? p.err.data : "");
    lm_json *report = lm_json_parse(p.out.data, p.out.len, "report", NULL);
    program_free(&p);
    lm_str_free(&text);
    return report;
}

/* A model that knows nothing, asked to the end and back.  Shipped prompts find no form in its noise; prompts of one's own
 * that judge no gain take it as it is, and a run that goes on draws nothing anew. */
static void a_folder_is_asked(void **state)
{
    (void)state;
    char *model = tiny_model("model"), *config = lm_path_join(model, "config.json");
    char *prompts = tiny_file("own.yaml", "constraints: 'Harder: {prompt}'\ndeepen: '{prompt}'\nconcretise: '{prompt}'\nreasoning: '{prompt}'\ncomplicate: '{prompt}'\n"
                                          "breadth: '{prompt}'\nevolved: 'New:'\nsame: '[[same]]'\ndifferent: '[[different]]'\ndifficulty: '{prompt}'\n");
    lm_json *settings = lm_json_read(config, NULL);
    json_object_set_new(settings, "max_position_embeddings", json_integer(4096));
    assert_int_equal(lm_json_write(settings, config, NULL), LM_OK);
    make_printable(model);
    lm_json *report = ask_folder(model, "--method self_instruct --rows 4 --patience 1 --tries 1 --max-tokens 8", 1);
    assert_int_equal(number(report, "questions"), 1);
    assert_int_equal(number(json_object_get(report, "rejected"), "unreadable"), 1);
    lm_json_free(report);

    lm_str how = {0}, path = {0};
    lm_str_printf(&how, "--method evol_instruct --rows 2 --batch 2 --max-tokens 600 --prompts %s --no-difficulty --overwrite", prompts);
    lm_str_printf(&path, "%s.own.jsonl", out);
    report = ask_folder(model, how.data, 0);
    int64_t questions = number(report, "questions");
    lm_json *rows = rows_of(path.data);
    assert_int_equal(json_array_size(rows), 2);
    assert_true(strlen(said(json_array_get(rows, 0), 1)) > 0);
    lm_json_free(report), lm_json_free(rows);
    program tuned;                                               /* and the rows are those that training reads */
    lm_str_clear(&how);
    lm_str_printf(&how, "train sft --model %s --data %s.own.jsonl --steps 1 --context 2048 --threads 1 --quiet --out %s.tuned", model, out, out);
    program_line(&tuned, NULL, how.data);
    if (tuned.code) fail_msg("%s", tuned.err.data);
    program_free(&tuned);
    lm_str_clear(&how);
    lm_str_printf(&how, "--method evol_instruct --rows 2 --batch 2 --max-tokens 600 --prompts %s --no-difficulty --resume", prompts);
    report = ask_folder(model, how.data, 0);
    assert_int_equal(number(report, "answered_before"), questions);
    assert_int_equal(number(report, "questions"), questions);
    lm_json_free(report), lm_json_free(settings);
    lm_str_free(&how), lm_str_free(&path);
    free(model), free(config), free(prompts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_counts_what_it_leaves_out), cmocka_unit_test(tasks_grow_out_of_seeds),
        cmocka_unit_test(a_killed_run_goes_on),                 cmocka_unit_test(a_budget_is_kept),
        cmocka_unit_test(nobody_answers),                       cmocka_unit_test(korean_seeds_are_asked_in_korean),
        cmocka_unit_test(what_cannot_be_used),                  cmocka_unit_test(a_folder_is_asked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
