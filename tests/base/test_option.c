/* Options: one table, read from four places, printed in two. */
#include "common/test.h"
#include "base/file.h"
#include "base/option.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    bool verbose, shuffle;
    int64_t steps, seed;
    double rate;
    const char *out, *name;
    int schedule;
    lm_strings targets;
} values;

static const char *const schedules[] = { "constant", "linear", "cosine-decay", NULL };

static const lm_option table[] = {
    LM_OPTION(FLAG, values, verbose, "verbose", .letter = 'v', .help = "say more"),
    LM_OPTION(FLAG, values, shuffle, "shuffle", .fallback = "true", .help = "mix the rows"),
    LM_OPTION(INT, values, steps, "max-steps", .fallback = "1k", .min = 1, .max = 1e9, .letter = 'n', .help = "optimiser steps"),
    LM_OPTION(INT, values, seed, "seed", .fallback = "42", .help = "of all random numbers"),
    LM_OPTION(REAL, values, rate, "learning-rate", .fallback = "3e-4", .min = 0, .max = INFINITY, .help = "peak learning rate"),
    LM_OPTION(STRING, values, out, "out", .required = true, .metavar = "DIR", .letter = 'o', .help = "where the run folder goes"),
    LM_OPTION(STRING, values, name, "run-name", .help = "what the run is called"),
    LM_OPTION(CHOICE, values, schedule, "schedule", .fallback = "cosine-decay", .choices = schedules, .help = "learning rate over time"),
    LM_OPTION(LIST, values, targets, "targets", .fallback = "q_proj,v_proj", .help = "layers that get an adapter"),
    {0},
};

typedef struct fixture {
    values v;
    lm_option_set sets[2];
    lm_strings positional;
    lm_err err;
} fixture;

static fixture *setup(void)
{
    fixture *f = lm_calloc(1, sizeof *f);
    f->sets[0] = (lm_option_set){ .options = table, .values = &f->v };
    lm_options_defaults(f->sets);
    return f;
}

static void teardown(fixture *f)
{
    lm_options_free(f->sets);
    free(f->positional.items);
    free(f);
}

static lm_status parse(fixture *f, const char *line)
{
    char *text = lm_strdup(line), *argv[32], *rest = text;
    int argc = 0;
    for (char *word; (word = strtok_r(argc ? NULL : text, " ", &rest)); ) argv[argc++] = word;
    free(f->positional.items);
    lm_err_clear(&f->err);
    lm_status status = lm_options_parse(f->sets, argc, argv, &f->positional, &f->err);
    if (f->positional.n) f->positional.n = -f->positional.n;   /* the words die here: only their number is kept */
    free(text);
    return status;
}

static void test_defaults(void **state)
{
    (void)state;
    fixture *f = setup();
    assert_false(f->v.verbose);
    assert_true(f->v.shuffle);
    assert_int_equal(f->v.steps, 1000);
    assert_true(f->v.rate == 3e-4);
    assert_null(f->v.out);
    assert_int_equal(f->v.schedule, 2);
    assert_int_equal(f->v.targets.n, 2);
    assert_string_equal(f->v.targets.items[1], "v_proj");
    teardown(f);
}

static void test_command_line(void **state)
{
    (void)state;
    fixture *f = setup();
    assert_int_equal(parse(f, "data.jsonl --max-steps 2M --learning-rate=1e-3 -v --no-shuffle -oruns/a --schedule linear - more"), LM_OK);
    assert_int_equal(f->positional.n, -3);
    assert_int_equal(f->v.steps, 2000000);
    assert_true(f->v.rate == 1e-3);
    assert_true(f->v.verbose);
    assert_false(f->v.shuffle);
    assert_string_equal(f->v.out, "runs/a");
    assert_int_equal(f->v.schedule, 1);
    assert_int_equal(parse(f, "-vn 7 --seed -5 --run_name=x=y --shuffle --verbose=false -- --seed -n"), LM_OK);
    assert_int_equal(f->v.steps, 7);
    assert_int_equal(f->v.seed, -5);
    assert_string_equal(f->v.name, "x=y");
    assert_true(f->v.shuffle);
    assert_false(f->v.verbose);
    assert_int_equal(f->positional.n, -2);
    assert_int_equal(parse(f, "--seed 1 --seed 2 -n 1 --max-steps=3 --schedule cosine_decay --run-name="), LM_OK);
    assert_int_equal(f->v.seed, 2);
    assert_int_equal(f->v.steps, 3);
    assert_string_equal(f->v.name, "");
    teardown(f);
}

static void check_list(const lm_strings *list, const char *want)
{
    lm_str joined = {0};
    for (int i = 0; i < list->n; i++) lm_str_printf(&joined, "%s|", list->items[i]);
    assert_string_equal(joined.data ? joined.data : "", want);
    lm_str_free(&joined);
}

/* The default gives way to the first use, later ones on the same line add to it, a new line begins again. */
static void test_lists(void **state)
{
    (void)state;
    fixture *f = setup();
    assert_int_equal(parse(f, "--targets a,b --targets=c"), LM_OK);
    check_list(&f->v.targets, "a|b|c|");
    assert_int_equal(parse(f, "--targets d\\,e,,f,"), LM_OK);
    check_list(&f->v.targets, "d,e|f|");
    assert_int_equal(lm_option_set_text(f->sets, "targets", "", "here", &f->err), LM_OK);
    check_list(&f->v.targets, "");
    teardown(f);
}

static void test_integers(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t want; } good[] = {
        { "0", 0 }, { "-1", -1 }, { "+7", 7 }, { "1_000", 1000 }, { "1_000_000", 1000000 }, { "4k", 4000 }, { "4K", 4000 }, { "2M", 2000000 },
        { "1G", 1000000000 }, { "7B", 7000000000 }, { "3T", 3000000000000 }, { "8Ki", 8192 }, { "2Mi", 2097152 }, { "1.5k", 1500 }, { "1e6", 1000000 }, { "-2.5e1", -25 },
        { "9223372036854775807", INT64_MAX }, { "-9223372036854775807", -INT64_MAX }, { "007", 7 },
    };
    static const char *const bad[] = {
        "", " ", "x", "1x", "1 ", " 1", "_1", "1_", "1__0", "--1", "1.5", "0x10", "1e400", "9223372036854775808", "99999999999999999999",
        "9223372036854775807k", "1kk", "k", "1Ki2", "1e", "nan", "inf", "1e-3", "-", "1,000", "10000000T", "1.2.3",
    };
    fixture *f = setup();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (lm_option_set_text(f->sets, "seed", good[i].text, "t", &f->err) != LM_OK || f->v.seed != good[i].want)
            fail_msg("%s gave %lld %s", good[i].text, (long long)f->v.seed, f->err.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f->v.seed = 5;
        if (lm_option_set_text(f->sets, "seed", bad[i], "t", NULL) != LM_E_USAGE || f->v.seed != 5) fail_msg("\"%s\" was accepted", bad[i]);
    }
    static const char *const bad_reals[] = { "", "x", "1e", "0x1", "inf", "nan", "1e999", "1 ", " 1", "1.0.0", "-1" };
    for (size_t i = 0; i < sizeof bad_reals / sizeof *bad_reals; i++)
        if (lm_option_set_text(f->sets, "learning-rate", bad_reals[i], "t", NULL) != LM_E_USAGE) fail_msg("\"%s\" was accepted", bad_reals[i]);
    assert_int_equal(lm_option_set_text(f->sets, "learning-rate", "5", "t", NULL), LM_OK);
    assert_true(f->v.rate == 5);
    teardown(f);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct { const char *line, *message; } cases[] = {
        { "--max-steps abc", "--max-steps: expected an integer, found \"abc\"" },
        { "--max-steps 0", "--max-steps: expected 1 to 1000000000, found \"0\"" },
        { "--learning-rate -1", "--learning-rate: expected at least 0, found \"-1\"" },
        { "--learning-rat 1", "--learning-rat: no such option, did you mean --learning-rate?" },
        { "--xyzzy", "--xyzzy: no such option" },
        { "--seed", "--seed: expected a value, found the end of the line" },
        { "--out --seed 3", "--out: expected a value, found --seed" },
        { "-n", "-n: expected a value, found the end of the line" },
        { "-vx", "-x: no such option" },
        { "--schedule linaer", "--schedule: expected constant, linear or cosine-decay; found \"linaer\", did you mean linear?" },
        { "--schedule quadratic", "--schedule: expected constant, linear or cosine-decay; found \"quadratic\"" },
        { "--no-seed", "--no-seed: no such option, did you mean --seed?" },
        { "--no-shuffle=1", "--no-shuffle: takes no value, found \"1\"" },
        { "--verbose=maybe", "--verbose: expected true or false, found \"maybe\"" },
    };
    fixture *f = setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(f, cases[i].line), LM_E_USAGE);
        assert_string_equal(f->err.message, cases[i].message);
    }
    char *extra[] = { "stray" };
    lm_err err = {0};
    assert_int_equal(lm_options_parse(f->sets, 1, extra, NULL, &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "stray"));
    teardown(f);
}

static void test_required(void **state)
{
    (void)state;
    typedef struct needs { int64_t n; double x; const char *s; int c; lm_strings l; } needs;
    static const lm_option required[] = {
        LM_OPTION(INT, needs, n, "n", .required = true), LM_OPTION(REAL, needs, x, "x", .required = true),
        LM_OPTION(STRING, needs, s, "s", .required = true), LM_OPTION(CHOICE, needs, c, "c", .required = true, .choices = schedules),
        LM_OPTION(LIST, needs, l, "l", .required = true), {0},
    };
    needs v;
    const lm_option_set sets[] = { { .options = required, .values = &v }, {0} };
    lm_options_defaults(sets);
    lm_err err = {0};
    assert_int_equal(lm_options_check(sets, &err), LM_E_USAGE);
    assert_string_equal(err.message, "missing: --n, --x, --s, --c, --l");
    lm_json *dump = lm_options_dump(sets, false);
    assert_int_equal(json_object_size(dump), 0);
    lm_json_free(dump);
    char *line[] = { "--n=0", "--x=0", "--s=", "--c=constant", "--l=a" };
    lm_err_clear(&err);
    assert_int_equal(lm_options_parse(sets, 5, line, NULL, &err), LM_OK);
    assert_int_equal(lm_options_check(sets, &err), LM_OK);
    lm_options_free(sets);
}

static lm_status yaml(fixture *f, const char *text)
{
    lm_err_clear(&f->err);
    return lm_options_yaml_text(f->sets, text, strlen(text), "r.yaml", &f->err);
}

static void test_yaml(void **state)
{
    (void)state;
    fixture *f = setup();
    assert_int_equal(yaml(f, "# a run\nmax_steps: 2_000\nlearning-rate: 1e-5\nverbose: yes\nshuffle: off\nout: 'runs/말모이'\n"
                             "schedule: constant\ntargets: [q_proj, \"k,proj\"]\nrun-name: ~\n"), LM_OK);
    assert_int_equal(f->v.steps, 2000);
    assert_true(f->v.verbose && !f->v.shuffle && f->v.rate == 1e-5);
    assert_string_equal(f->v.out, "runs/말모이");
    assert_null(f->v.name);
    check_list(&f->v.targets, "q_proj|k,proj|");
    assert_int_equal(yaml(f, "targets:\n  - a\n  - b\nrun_name: \"~\"\n"), LM_OK);
    check_list(&f->v.targets, "a|b|");
    assert_string_equal(f->v.name, "~");
    assert_int_equal(yaml(f, "targets: x,y\n"), LM_OK);
    check_list(&f->v.targets, "x|y|");
    static const char *const empty[] = { "", "\n# nothing\n", "---\n", "--- {}\n" };
    for (int i = 0; i < 4; i++) assert_int_equal(yaml(f, empty[i]), LM_OK);

    static const struct { const char *text, *message; } cases[] = {
        { "seed: 1\nmax_step: 3\n", "r.yaml:2: max_step: no such option, did you mean max-steps?" },
        { "\n\nseed: x\n", "r.yaml:3: seed: expected an integer, found \"x\"" },
        { "seed: [1, 2]\n", "r.yaml:1: seed: expected one value, found a list of 2" },
        { "seed:\n  a: 1\n", "r.yaml:2: expected a value or a list, found a nested mapping" },
        { "targets: [[a]]\n", "r.yaml:1: expected a plain value in the list, found a nested one" },
        { "- a\n", "r.yaml:1: expected lines of the form name: value" },
        { "seed: 1\nseed: 2\n", "r.yaml:2: seed: stands in line 1 already" },
        { "seed: &x 1\nmax-steps: *x\n", "r.yaml:2: aliases are not read here" },
        { "? [a]\n: 1\n", "r.yaml:1: expected a name, found a nested value" },
        { "seed: 1\n---\nseed: 2\n", "r.yaml:2: expected one document, found another" },
        { "out: \"a\\0b\"\n", "r.yaml:1: expected text, found a zero byte" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(yaml(f, cases[i].text) != LM_OK);
        assert_string_equal(f->err.message, cases[i].message);
    }
    assert_int_equal(yaml(f, "seed: 1\n\tx: 'a\n"), LM_E_FORMAT);
    assert_non_null(strstr(f->err.message, "r.yaml:2: not YAML"));
    assert_int_equal(yaml(f, "seed: \xff\n"), LM_E_FORMAT);
    teardown(f);
}

/* What dump writes, json reads back to the same values; changed_only holds just the changes. */
static void test_json_round_trip(void **state)
{
    (void)state;
    fixture *f = setup(), *g = setup();
    lm_json *dump = lm_options_dump(f->sets, true);
    assert_int_equal(json_object_size(dump), 0);
    lm_json_free(dump);
    assert_int_equal(parse(f, "--max-steps 9007199254740993 -o x"), LM_E_USAGE);
    assert_int_equal(parse(f, "--seed 9007199254740993 -o x -v --schedule linear --targets a\\,b,c --learning-rate 0.1"), LM_OK);
    dump = lm_options_dump(f->sets, true);
    assert_int_equal(json_object_size(dump), 6);
    assert_non_null(lm_json_get(dump, "learning_rate"));
    lm_json_free(dump);
    dump = lm_options_dump(f->sets, false);
    assert_int_equal(json_object_size(dump), 8);       /* run-name is NULL */
    assert_int_equal(lm_options_json(g->sets, dump, "checkpoint", &g->err), LM_OK);
    lm_json *again = lm_options_dump(g->sets, false);
    assert_true(json_equal(dump, again));
    assert_true(g->v.seed == 9007199254740993);
    assert_true(g->v.rate == 0.1);
    check_list(&g->v.targets, "a,b|c|");
    lm_json_free(dump), lm_json_free(again);
    teardown(f), teardown(g);
}

/* A file name that is not UTF-8 is kept as it is, and is still visible in JSON. */
static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    fixture *f = setup();
    assert_int_equal(parse(f, "-o a\xFF\xEB\xA7\x90\xEB --targets \xC0"), LM_OK);
    assert_string_equal(f->v.out, "a\xFF\xEB\xA7\x90\xEB");
    lm_json *dump = lm_options_dump(f->sets, true);
    assert_string_equal(json_string_value(lm_json_get(dump, "out")), "a\uFFFD말\uFFFD");
    assert_string_equal(json_string_value(json_array_get(lm_json_get(dump, "targets"), 0)), "\uFFFD");
    lm_json_free(dump);
    teardown(f);
}

static void test_json_messages(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } cases[] = {
        { "[1]", "request: expected an object of options" },
        { "{\"max_steps\": true}", "request: max_steps: expected an integer, found \"true\"" },
        { "{\"max_steps\": {}}", "request: max_steps: expected a plain value" },
        { "{\"seed\": [1]}", "request: seed: expected one value, found a list of 1" },
        { "{\"targets\": [\"a\", {}]}", "request: targets: item 1: expected text or a number" },
        { "{\"out\": \"a\\u0000b\"}", "request: out: expected a plain value" },
        { "{\"sed\": 1}", "request: sed: no such option, did you mean seed?" },
    };
    fixture *f = setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_json *doc = lm_json_parse(cases[i].text, strlen(cases[i].text), "t", NULL);
        lm_err_clear(&f->err);
        assert_int_equal(lm_options_json(f->sets, doc, "request", &f->err), LM_E_USAGE);
        assert_string_equal(f->err.message, cases[i].message);
        lm_json_free(doc);
    }
    lm_json *doc = json_pack("{s:n, s:f, s:s, s:i}", "seed", "max-steps", 5.0, "targets", "a,b", "run_name", 7);
    assert_int_equal(lm_options_json(f->sets, doc, "request", NULL), LM_OK);
    assert_int_equal(f->v.seed, 42);
    assert_int_equal(f->v.steps, 5);
    assert_string_equal(f->v.name, "7");
    lm_json_free(doc);
    teardown(f);
}

static void test_help(void **state)
{
    (void)state;
    static const lm_option more[] = {
        LM_OPTION(STRING, values, name, "an-option-whose-name-is-far-too-long", .metavar = "SOMETHING",
                  .help = "a text that goes on for so long that it cannot stand on one line of any terminal and therefore wraps, 한글도"),
        {0},
    };
    fixture *f = setup();
    lm_option_set sets[] = { f->sets[0], { .title = "More", .options = more, .values = &f->v }, {0} };
    lm_str out = {0};
    lm_options_help(sets, &out);
    static const char *const lines[] = {
        "Options:\n", "  -v, --verbose           say more\n", "      --[no-]shuffle      mix the rows (default on)\n",
        "  -n, --max-steps N       optimiser steps (default 1k)\n", "  -o, --out DIR           where the run folder goes (required)\n",
        "      --schedule NAME     learning rate over time: constant, linear, cosine-decay (default\n"
        "                          cosine-decay)\n",
        "\nMore:\n      --an-option-whose-name-is-far-too-long SOMETHING\n                          a text that goes on",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(out.data, lines[i])) fail_msg("expected\n%sin\n%s", lines[i], out.data);
    for (char *line = out.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        assert_true(lm_text_width(line, (size_t)(end - line)) <= 96);
        assert_true(end == line || end[-1] != ' ');
    }
    lm_str_free(&out);
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_command_line), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_integers), cmocka_unit_test(test_messages), cmocka_unit_test(test_required),
        cmocka_unit_test(test_yaml), cmocka_unit_test(test_json_round_trip), cmocka_unit_test(test_json_messages),
        cmocka_unit_test(test_bytes_that_are_no_text), cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
