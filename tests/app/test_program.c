/* The program as its users meet it: what it prints, how it refuses, which exit code it leaves. */
#include "common/test.h"
#include "common/program.h"

#include "base/file.h"
#include "base/json.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *text, *tokenizer, *model;

/* Runs a line in which %s stands for the tiny model's folder. */
static void with_model(program *p, const char *input, const char *format)
{
    lm_str line = { 0 };
    for (const char *at = format; *at; at++) {
        if (at[0] == '%' && at[1] == 's') lm_str_puts(&line, model), at++;
        else lm_str_putc(&line, *at);
    }
    program_line(p, input, line.data);
    lm_str_free(&line);
}

static void need(const program *p, int code)
{
    if (p->code != code) fail_msg("exit %d, signal %d, stderr: %s", p->code, p->signal, p->err.data);
}

/* A tokenizer of 300 tokens and a random model with a long context, made by the program itself. */
static int make_model(void **state)
{
    if (test_folder_make(state) != 0) return -1;
    text = test_path("text.txt"), tokenizer = test_path("tokenizer"), model = test_path("model");
    lm_str words = { 0 };
    for (int i = 0; i < 40; i++) lm_str_printf(&words, "the cat and the hat sat on mat %d; 고양이가 모자를 썼다.\n", i);
    if (lm_file_write(text, words.data, words.len, NULL) != LM_OK) return -1;
    lm_str_free(&words);
    program p;
    const char *const train[] = { "tokenizer", "train", "--data", text, "--vocab-size", "300", "--out", tokenizer, NULL };
    program_run(&p, NULL, train);
    bool ok = p.code == 0;
    program_free(&p);
    const char *const make[] = { "new", "--tokenizer", tokenizer, "--out", model, "--hidden-size", "32", "--layers", "1",
                                 "--intermediate-size", "32", "--context", "20000", NULL };
    program_run(&p, NULL, make);
    ok = ok && p.code == 0;
    program_free(&p);
    return ok ? 0 : -1;
}

static int remove_model(void **state)
{
    free(text), free(tokenizer), free(model);
    return test_folder_remove(state);
}

/* ---- help ----------------------------------------------------------------------------- */

static void test_version_and_overview(void **state)
{
    (void)state;
    program p;
    program_line(&p, NULL, "--version");
    need(&p, 0);
    assert_string_equal(p.out.data, "malmoi " LM_VERSION "\n");
    program_free(&p);

    program_line(&p, NULL, "--help");
    need(&p, 0);
    const char *example = strstr(p.out.data, "  malmoi "), *list = strstr(p.out.data, "\nmodels\n");
    assert_true(example && list && example < list);                    /* an example comes first */
    assert_int_equal(p.err.len, 0);
    program_free(&p);

    program_run(&p, NULL, (const char *const[]){ NULL });               /* nothing asked for: the same, as a refusal */
    need(&p, 2);
    assert_int_equal(p.out.len, 0);
    assert_non_null(strstr(p.err.data, "\nmodels\n"));
    program_free(&p);
}

/* Every command that --help lists has its own help: an example of itself first, then its options. */
static void test_help_of_every_command(void **state)
{
    (void)state;
    program all, p;
    program_line(&all, NULL, "--help");
    int n = 0;
    for (char *line = strtok(strstr(all.out.data, "\nmodels\n"), "\n"); line; line = strtok(NULL, "\n")) {
        char name[32];
        if (sscanf(line, "  %31s", name) != 1 || line[0] != ' ') continue;
        n++;
        program_run(&p, NULL, (const char *const[]){ name, "--help", NULL });
        need(&p, 0);
        assert_int_equal(p.err.len, 0);
        char first[64];
        snprintf(first, sizeof first, "  malmoi %s", name);
        bool table = strstr(p.out.data, "\ncommands\n") != NULL;
        assert_true(table || strncmp(p.out.data, first, strlen(first)) == 0);
        assert_true(table || strstr(p.out.data, "--threads"));
        program_free(&p);
    }
    assert_true(n >= 7);
    program_free(&all);

    program_line(&p, NULL, "help generate");
    need(&p, 0);
    assert_non_null(strstr(p.out.data, "--max-new-tokens"));
    program_free(&p);
}

/* ---- refusals --------------------------------------------------------------------------- */

/* One line on stderr, nothing on stdout. */
static void check_refusal(const program *p, int code, const char *part)
{
    need(p, code);
    assert_int_equal(p->out.len, 0);
    const char *end = strchr(p->err.data, '\n');
    if (strncmp(p->err.data, "malmoi: ", 8) != 0 || !end || end[1] != '\0' || !strstr(p->err.data, part))
        fail_msg("expected one line with \"%s\", found: %s", part, p->err.data);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct { const char *line; int code; const char *part; } cases[] = {
        { "genrate", 2, "did you mean 'generate'?" },
        { "generate --prompt x", 2, "no model given" },
        { "generate %s", 2, "--prompt" },
        { "generate %s --prompt x --prompt-file y", 2, "one of them" },
        { "generate %s extra --prompt x", 2, "'extra'" },
        { "generate %s --prompt x --top-p 2", 2, "--top-p" },
        { "generate %s --prompt x --tempreature 1", 2, "temperature" },
        { "generate %s --prompt x --max-new-tokens many", 2, "many" },
        { "generate %s --prompt x --context 20001", 2, "20001" },
        { "generate %s --prompt x --backend abacus", 2, "abacus" },
        { "generate /nowhere/at/all --prompt x", 1, "/nowhere/at/all/config.json" },
        { "generate %s --prompt-file /nowhere/at/all", 1, "/nowhere/at/all" },
        { "generate %s --prompt-file /dev/null", 1, "no prompt" },
        { "generate %s --prompt x --adapter /nowhere/at/all", 1, "/nowhere/at/all" },
        { "generate %s --prompt '' ", 1, "empty prompt" },
        { "generate %s --prompt x --chat --chat-template /nowhere/at/all", 1, "/nowhere/at/all" },
        { "eval", 2, "perplexity" },
        { "eval perplexty %s --data x", 2, "did you mean 'perplexity'?" },
        { "eval perplexity %s", 2, "--data" },
        { "eval perplexity %s --data /nowhere/at/all", 1, "/nowhere/at/all" },
        { "eval perplexity %s --data /dev/null --format text", 1, "/dev/null" },
        { "eval perplexity %s --data x --context 1", 2, "two tokens" },
        { "eval perplexity %s --data x --context 8 --stride 8", 2, "--stride 8" },
        { "merge %s", 2, "ADAPTER is missing" },
        { "merge %s a b c", 2, "'c'" },
        { "new --out x --tokenizer %s --family lama", 2, "gpt2, llama" },
        { "new --out x --tokenizer %s --preset huge", 2, "tiny" },
        { "new --out x", 2, "--tokenizer" },
        { "new --tokenizer %s --out %s", 2, "--force" },
        { "new --tokenizer %s --out x --heads 7", 1, "" },
        { "new --tokenizer %s --vocab-size 20 --out x", 2, "300 ids" },
        { "tokenizer", 2, "tokenizer --help" },
        { "tokenizer encod", 2, "did you mean 'encode'?" },
        { "chat %s --system", 2, "--system" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program p;
        with_model(&p, NULL, cases[i].line);
        if (p.code != cases[i].code) print_message("%s\n", cases[i].line);
        check_refusal(&p, cases[i].code, cases[i].part);
        program_free(&p);
    }
    assert_false(lm_file_exists("x/config.json"));
}

/* A result that could not be written is a failure, said in one line. */
static void test_full_disk(void **state)
{
    (void)state;
    lm_str command = { 0 };
    const char *executable = getenv("MALMOI");
    lm_str_printf(&command, "%s --version >/dev/full 2>/dev/null", executable ? executable : "build/malmoi");
    int status = system(command.data);
    assert_int_equal(WEXITSTATUS(status), 1);
    lm_str_free(&command);
}

/* ---- generate ---------------------------------------------------------------------------- */

static void test_generate_is_repeatable(void **state)
{
    (void)state;
    program a, b;
    with_model(&a, NULL, "generate %s --prompt the --seed 4 -n 20");
    with_model(&b, NULL, "generate --model %s --prompt=the --seed 4 -n 20 --threads 1");
    need(&a, 0);
    need(&b, 0);
    assert_string_equal(a.out.data, b.out.data);
    program_free(&b);
    with_model(&b, NULL, "generate %s --prompt the --seed 5 -n 20");
    assert_string_not_equal(a.out.data, b.out.data);
    program_free(&a);
    program_free(&b);
}

static lm_json *parse(const char *line, size_t n)
{
    lm_err err = { 0 };
    lm_json *doc = lm_json_parse(line, n, "output", &err);
    if (!doc) fail_msg("%s: %s", err.message, line);
    return doc;
}

/* Three prompts from a file give together what each gives alone. */
static void test_generate_many(void **state)
{
    (void)state;
    static const char *const prompts[] = { "the", "고양이가 모자를 썼다. the cat", "mat 7" };
    program many;
    with_model(&many, "the\n고양이가 모자를 썼다. the cat\n\nmat 7\n", "generate %s --prompt-file - --greedy -n 16 --json");
    need(&many, 0);
    const char *at = many.out.data;
    for (int i = 0; i < 3; i++) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        lm_json *row = parse(at, (size_t)(end - at));
        assert_string_equal(json_string_value(json_object_get(row, "prompt")), prompts[i]);
        program one;
        program_run(&one, NULL, (const char *const[]){ "generate", model, "--prompt", prompts[i], "--greedy", "-n", "16", "--json", NULL });
        need(&one, 0);
        assert_true(one.out.len == (size_t)(end - at) + 1 && memcmp(one.out.data, at, one.out.len) == 0);
        program_free(&one);
        lm_json_free(row);
        at = end + 1;
    }
    assert_int_equal(*at, '\0');
    program_free(&many);
}

/* What is printed ends before the stop string, and is what would have been printed up to there. */
static void test_generate_stops(void **state)
{
    (void)state;
    program all, p;
    with_model(&all, NULL, "generate %s --prompt the --greedy -n 40 --json");
    need(&all, 0);
    lm_json *row = parse(all.out.data, all.out.len);
    const char *whole = json_string_value(json_object_get(row, "text"));
    assert_true(strlen(whole) > 12);
    char stop[16] = { 0 };
    size_t from = 6;
    while ((whole[from] & 0xC0) == 0x80) from++;                       /* a place between two characters */
    size_t n = 1;
    while (n < 6 || (whole[from + n] & 0xC0) == 0x80) n++;
    if (n >= sizeof stop) n = sizeof stop - 1;
    memcpy(stop, whole + from, n);
    size_t expected = (size_t)(strstr(whole, stop) - whole);

    program_run(&p, NULL, (const char *const[]){ "generate", model, "--prompt", "the", "--greedy", "-n", "40", "--stop", stop, NULL });
    need(&p, 0);
    assert_int_equal(p.out.len, expected + 1);
    assert_memory_equal(p.out.data, whole, expected);
    lm_json_free(row);
    program_free(&all);
    program_free(&p);
}

/* Ctrl-C ends it by the signal, with what was generated up to then on stdout. */
static void test_generate_interrupted(void **state)
{
    (void)state;
    lm_str line = { 0 }, seen = { 0 };
    lm_str_printf(&line, "generate %s --prompt the --ignore-eos --slide -n -1", model);
    running r;
    program p = { 0 };
    program_start(&r, line.data);
    program_wait_for(&r, &seen, 64);
    kill(r.pid, SIGINT);
    program_finish(&r, &p);
    assert_int_equal(p.signal, SIGINT);
    assert_true(p.out.len == 0 || p.out.data[p.out.len - 1] == '\n');
    assert_int_equal(p.err.len, 0);
    program_free(&p);
    lm_str_free(&line);
    lm_str_free(&seen);
}

/* ---- chat ----------------------------------------------------------------------------------- */

/* What `generate` says to the text that a conversation is rendered as, without the spaces around it. */
static char *greedy_answer(const char *prompt)
{
    program p;
    program_run(&p, NULL, (const char *const[]){ "generate", model, "--prompt", prompt, "--greedy", "-n", "8", "--stop", "\nUser:", "--json", NULL });
    need(&p, 0);
    lm_json *row = parse(p.out.data, p.out.len);
    const char *answer = json_string_value(json_object_get(row, "text"));
    answer += strspn(answer, " ");
    size_t n = strlen(answer);
    while (n > 0 && strchr(" \n", answer[n - 1])) n--;
    char *copy = lm_strndup(answer, n);
    lm_json_free(row);
    program_free(&p);
    return copy;
}

/* The second turn, which runs on the cache of the first, is answered as the whole text is. */
static void test_chat_over_a_pipe(void **state)
{
    (void)state;
    char *saved = test_path("chat.jsonl");
    lm_str input = { 0 };
    lm_str_printf(&input, "the cat\n\n고양이\n/save %s\n/quit\nnever read\n", saved);
    program p;
    with_model(&p, input.data, "chat %s -n 8 --greedy --system sat");
    need(&p, 0);

    lm_err err = { 0 };
    lm_json *doc = lm_json_read(saved, &err);
    assert_non_null(doc);
    const lm_json *messages = json_object_get(doc, "messages");
    static const char *const roles[] = { "system", "user", "assistant", "user", "assistant" };
    assert_int_equal(json_array_size(messages), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(messages, i), "role")), roles[i]);
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 3), "content")), "고양이");
    char *first = greedy_answer("sat\n\nUser: the cat\n\nAssistant:");
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 2), "content")), first);
    lm_str prompt = { 0 };
    lm_str_printf(&prompt, "sat\n\nUser: the cat\n\nAssistant: %s\n\nUser: 고양이\n\nAssistant:", first);
    char *second = greedy_answer(prompt.data);
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 4), "content")), second);
    lm_str_free(&prompt);
    free(second);
    lm_json_free(doc);
    program_free(&p);

    const char *const once[] = { "generate", model, "--chat", "--system", "sat", "--prompt", "the cat", "--greedy", "-n", "8", "--json", NULL };
    program_run(&p, NULL, once);                             /* one turn through generate is the chat's first */
    need(&p, 0);
    lm_json *row = parse(p.out.data, p.out.len);
    assert_non_null(strstr(json_string_value(json_object_get(row, "text")), first));
    lm_json_free(row);
    program_free(&p);
    free(first);

    with_model(&p, "/nonsense\n", "chat %s");
    check_refusal(&p, 2, "/help");
    program_free(&p);
    free(saved);
    lm_str_free(&input);
}

/* Ctrl-C stops the answer; the chat takes the next line. */
static void test_chat_interrupted(void **state)
{
    (void)state;
    char *saved = test_path("stopped.jsonl");
    lm_str line = { 0 }, seen = { 0 }, next = { 0 };
    lm_str_printf(&line, "chat %s --greedy -n 1000000", model);
    running r;
    program p = { 0 };
    program_start(&r, line.data);
    assert_int_equal(write(r.in, "the\n", 4), 4);
    program_wait_for(&r, &seen, 16);
    kill(r.pid, SIGINT);
    lm_str_printf(&next, "/save %s\n", saved);
    assert_int_equal(write(r.in, next.data, next.len), next.len);
    program_finish(&r, &p);
    need(&p, 0);
    assert_true(lm_file_exists(saved));
    program_free(&p);
    lm_str_free(&line);
    lm_str_free(&seen);
    lm_str_free(&next);
    free(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_and_overview), cmocka_unit_test(test_help_of_every_command),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_generate_is_repeatable), cmocka_unit_test(test_generate_many),
        cmocka_unit_test(test_generate_stops), cmocka_unit_test(test_generate_interrupted),
        cmocka_unit_test(test_chat_over_a_pipe), cmocka_unit_test(test_chat_interrupted),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
