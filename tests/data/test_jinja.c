/* The template language: hand-worked cases, what is refused and where, limits, and marks.  The same
 * interpreter is held against transformers in test_chat.c (golden) and tests/interop. */
#include "common/test.h"
#include "data/jinja.h"

#include <stdlib.h>
#include <string.h>

static const char variables[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \" hi <|end|> \"}, {\"role\": \"end\", \"content\": \"b\"}],"
    " \"n\": 3, \"s\": \"a-b\", \"d\": {\"k\": [1, 2.5, null, true, \"it's\"]}, \"tools\": null}";

/* The result with what came from the data in brackets and what is generated in braces: "x[data]{y}". */
static char *shown(const lm_marked *m)
{
    lm_str out = {0};
    unsigned char before = 0;
    for (size_t i = 0; i <= m->text.len; i++) {
        unsigned char mark = i < m->text.len ? (unsigned char)m->marks.data[i] : 0;
        if ((before & LM_MARK_DATA) && !(mark & LM_MARK_DATA)) lm_str_putc(&out, ']');
        if ((before & LM_MARK_ANSWER) && !(mark & LM_MARK_ANSWER)) lm_str_putc(&out, '}');
        if ((mark & LM_MARK_ANSWER) && !(before & LM_MARK_ANSWER)) lm_str_putc(&out, '{');
        if ((mark & LM_MARK_DATA) && !(before & LM_MARK_DATA)) lm_str_putc(&out, '[');
        if (i < m->text.len) lm_str_putc(&out, m->text.data[i]);
        before = mark;
    }
    if (!out.data) lm_str_puts(&out, "");
    return lm_str_take(&out);
}

static lm_status run(const char *text, lm_marked *m, int64_t steps, size_t memory, lm_err *err)
{
    lm_jinja *t;
    lm_status status = lm_jinja_compile(&t, text, strlen(text), "t.jinja", err);
    if (status != LM_OK) return status;
    lm_json *data = lm_json_parse(variables, strlen(variables), "data", err);
    lm_json *trusted = json_pack("{s:s}", "eos", "<|end|>");
    const lm_jinja_input input = { .data = data, .trusted = trusted, .now = 86400, .steps = steps, .memory = memory };
    status = lm_jinja_render(t, m, &input, err);
    lm_json_free(data);
    lm_json_free(trusted);
    lm_jinja_free(t);
    return status;
}

static void expect(const char *text, const char *expected)
{
    lm_err err = {0};
    lm_marked m = {0};
    if (run(text, &m, 0, 0, &err) != LM_OK) fail_msg("%s: %s", text, err.message);
    char *found = shown(&m);
    assert_string_equal(found, expected);
    free(found);
    lm_marked_free(&m);
}

static void refuse(const char *text, lm_status code, const char *message)
{
    lm_err err = {0};
    lm_marked m = {0};
    lm_status status = run(text, &m, 0, 0, &err);
    if (status != code) fail_msg("%.200s: status %d: %s", text, (int)status, err.message);
    if (!strstr(err.message, message)) fail_msg("%s: expected \"%s\" in \"%s\"", text, message, err.message);
    lm_marked_free(&m);
}

static void values_print_as_in_python(void **state)
{
    (void)state;
    expect("{{ 1 }} {{ 2.0 }} {{ 1e16 }} {{ 0.1 + 0.2 }} {{ none }} {{ true }}", "1 2.0 1e+16 0.30000000000000004 None True");
    expect("{{ ['a', \"it's\", '\"\\'', 'a\\n'] }} {{ (1,) }} {{ {'a': [none]} }}", "['a', \"it's\", '\"\\'', 'a\\n'] (1,) {'a': [None]}");
    expect("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 7.5 // 2 }} {{ 1 ~ 'a' ~ none }}", "3 -4 2 3.5 8 3.0 1aNone");
}

static void undefined_is_empty_until_asked(void **state)
{
    (void)state;
    expect("[{{ x }}{{ d.x }}]{% for i in x %}a{% else %}none{% endfor %}{{ x is defined }}{{ x | default('d') }}", "[]noneFalsed");
    expect("{{ tools is none }}{{ (tools.x) is defined }}{{ 'x' in d }}", "TrueFalseFalse");
    refuse("a\nb {{ x.y }}", LM_E_FORMAT, "t.jinja:2: 'x' is undefined");
    refuse("{{ d.x.y }}", LM_E_FORMAT, "'x' is undefined");
    refuse("{{ x + 1 }}", LM_E_FORMAT, "'x' is undefined");
    refuse("{{ x() }}", LM_E_FORMAT, "'x' is undefined");
}

static void white_space_is_transformers_own(void **state)
{
    (void)state;
    expect("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc");
    expect("a \n {%- if true -%} \n b {%- endif +%}\nc", "ab\nc");
    expect("x {# note #}\ny\n  {# note #}\nz\n\n", "x y\nz\n");
    expect("  {{ 1 }}\n  {{- 2 }} {{ 3 -}}  \n 4", "  12 34");
    expect("{% raw %}{{ x }} {%- if %}{% endraw %}\n!", "{{ x }} {%- if %}!");
    expect("{{ 1 }}  {% if 1 %}kept{% endif %}\r\n{{ {'a': {'b': 1}} }}", "1  kept{'a': {'b': 1}}");
}

static void scopes_are_jinjas(void **state)
{
    (void)state;
    expect("{% set x = 0 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "1110");
    expect("{% set ns = namespace(x=0) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "3");
    expect("{% macro f(a, b=a ~ 'x') %}<{{ a }}{{ b }}>{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}{{ f(b=1) }}", "<11x><12><1>");
    expect("{% macro f() %}({{ caller(7) }}){% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}", "(7)");
    expect("{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}{% set a, b = 'xy' %}{{ b ~ a }}", "6yx");
    expect("{% for i in range(9) if i % 2 %}{% if i == 5 %}{% break %}{% endif %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/4 2/4 ");
    expect("{% set x %} a{{ 1 }} {% endset %}[{{ x | trim }}]{% filter upper %}q{% endfilter %}{% with y=2 %}{{ y }}{% endwith %}", "[a1]Q2");
}

/* What came in with the data stays marked through everything that templates do to it. */
static void data_is_marked(void **state)
{
    (void)state;
    expect("{{ s }}{{ n }}{{ eos }}", "[a-b]3<|end|>");
    expect("<{{ messages[0].content | trim }}>{{ messages[0].content[1] }}", "<[hi <|end|>]>[h]");
    expect("{% set c = 'A' ~ s | upper ~ 'B' %}{{ c }}{{ c[1:3] }}{{ c | replace('-', '+') }}", "A[A-B]B[A-]A[A]+[B]B");
    expect("{{ s.split('-') | join('|') }}{{ '%s!' % s }}{{ '<{}>'.format(s) }}{{ s.title() }}", "[a]|[ba-b]!<[a-b]>[A-B]");
    expect("{{ d | tojson }}", "{\"[k]\": [1, 2.5, null, true, \"[it's]\"]}");
    expect("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(s) }}{% set y %}{{ s }}.{% endset %}{{ y }}", "<[a-b]>[a-b].");
    expect("{{ s[::-1] }}{{ [s] }}{{ s | indent }}{{ s * 2 }}{{ {s: 1} | items | first | first }}", "[b-a]['[a-b]'][a-ba-ba-ba-b]");
}

/* A known role may be made part of a token; a made-up one may not. */
static void roles_are_trusted_when_known(void **state)
{
    (void)state;
    expect("{% for m in messages %}<|{{ m.role }}|>{% endfor %}", "<|user|><|[end]|>");
}

static void generation_is_marked(void **state)
{
    (void)state;
    expect("a{% generation %}b{{ s }}{% endgeneration %}c", "a{b[a-b]}c");
    expect("{% set x %}a{% generation %}b{% endgeneration %}{% endset %}{{ x }}c", "a{b}c");
}

static void errors_name_the_line(void **state)
{
    (void)state;
    refuse("\n{% if x %}\n", LM_E_FORMAT, "t.jinja:2: {% if %} has no {% endif %}");
    refuse("\n\n{{ 1 + }}", LM_E_FORMAT, "t.jinja:3: expected an expression, found }}");
    refuse("{{ 'abc }}", LM_E_FORMAT, "t.jinja:1: a string has no end");
    refuse("\n{% for m in messages %}\n{{ raise_exception('no ' + m.role) }}{% endfor %}", LM_E_FORMAT, "t.jinja:3: no user");
    refuse("{{ 1 | nonsense }}", LM_E_UNSUPPORTED, "there is no filter 'nonsense'");
    refuse("{% include 'x' %}", LM_E_UNSUPPORTED, "the tag 'include' is not for chat templates");
    refuse("{{ [].append(1) }}", LM_E_UNSUPPORTED, "values are immutable here");
    refuse("{{ 'a' + 1 }}", LM_E_FORMAT, "a string + an integer has no meaning");
    refuse("{{ 9223372036854775807 + 1 }}", LM_E_UNSUPPORTED, "beyond 64 bits");
    refuse("{{ s.split('') }}", LM_E_FORMAT, "empty string");
    refuse("\xff", LM_E_FORMAT, "not UTF-8 at byte 1");
    refuse("{% break %}", LM_E_FORMAT, "'break' outside of a loop");
    expect("{% if false %}{{ 1 | nonsense }}{% endif %}ok", "ok");
}

/* Endless work, deep nesting and a result that grows without end stop with one line. */
static void limits_hold(void **state)
{
    (void)state;
    refuse("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LM_E_UNSUPPORTED, "levels deep");
    refuse("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", LM_E_UNSUPPORTED, "the template");
    refuse("{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", LM_E_UNSUPPORTED, "MiB");
    refuse("{{ 'a' * 10 ** 18 }}", LM_E_UNSUPPORTED, "too many");
    refuse("{{ range(10 ** 9) }}", LM_E_UNSUPPORTED, "more than 100000");
    refuse("{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", LM_E_UNSUPPORTED, "levels deep");

    lm_str deep = {0};
    lm_str_puts(&deep, "{{ ");
    for (int i = 0; i < 100000; i++) lm_str_putc(&deep, '(');
    for (int i = 0; i < 100000; i++) lm_str_putc(&deep, ')');
    lm_str_puts(&deep, " }}");
    refuse(deep.data, LM_E_UNSUPPORTED, "levels deep");
    lm_str_free(&deep);

    lm_err err = {0};
    lm_marked m = {0};
    assert_int_equal(run("{% for i in range(100) %}{% endfor %}", &m, 50, 0, &err), LM_E_UNSUPPORTED);
    lm_marked_free(&m);
}

static void the_clock_can_be_given(void **state)
{
    (void)state;
    expect("{{ strftime_now('%Y') }}", "1970");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_print_as_in_python), cmocka_unit_test(undefined_is_empty_until_asked),
        cmocka_unit_test(white_space_is_transformers_own), cmocka_unit_test(scopes_are_jinjas),
        cmocka_unit_test(data_is_marked), cmocka_unit_test(roles_are_trusted_when_known),
        cmocka_unit_test(generation_is_marked), cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(limits_hold), cmocka_unit_test(the_clock_can_be_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
