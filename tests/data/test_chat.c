/* Chats: byte for byte what transformers renders (tests/golden/chat), which bytes the assistant wrote, and
 * that content cannot become a special token. */
#include "common/test.h"
#include "base/file.h"
#include "data/chat.h"
#include "train/tiny.h"

#include <stdlib.h>
#include <string.h>

static const char folder[] = "tests/data/templates";

/* ---- helpers ------------------------------------------------------------------------ */

static lm_chat_template *open_template(const char *name)
{
    lm_err err = {0};
    lm_str text;
    char *path = lm_path_join(folder, name);
    lm_json *tokens = json_pack("{s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>");
    lm_chat_template *t = NULL;
    if (lm_file_read(&text, path, 1 << 20, &err) != LM_OK || lm_chat_template_new(&t, text.data, name, tokens, &err) != LM_OK)
        fail_msg("%s", err.message);
    lm_str_free(&text);
    lm_json_free(tokens);
    free(path);
    return t;
}

static lm_chat_template *template_of(const char *text)
{
    lm_err err = {0};
    lm_chat_template *t;
    if (lm_chat_template_new(&t, text, "t", NULL, &err) != LM_OK) fail_msg("%s", err.message);
    return t;
}

static lm_json *json_of(const char *text)
{
    lm_err err = {0};
    lm_json *doc = lm_json_parse(text, strlen(text), "test", &err);
    if (!doc) fail_msg("%s", err.message);
    return doc;
}

static lm_json *read_json(const char *path)
{
    lm_err err = {0};
    lm_json *doc = lm_json_read(path, &err);
    if (!doc) fail_msg("%s", err.message);
    return doc;
}

/* The chat of that name in chats.json. */
static lm_chat find_chat(const lm_json *chats, const char *name)
{
    size_t i;
    lm_json *chat;
    json_array_foreach((lm_json *)(uintptr_t)chats, i, chat)
        if (!strcmp(json_string_value(json_object_get(chat, "name")), name))
            return (lm_chat){ .messages = json_object_get(chat, "messages"), .tools = json_object_get(chat, "tools"),
                              .variables = json_object_get(chat, "variables") };
    fail_msg("no chat %s", name);
    return (lm_chat){0};
}

/* What is marked as the assistant's, each part followed by "|". */
static char *answers_of(const lm_marked *m)
{
    lm_str out = {0};
    lm_str_puts(&out, "");
    for (size_t i = 0; i < m->text.len; i++) {
        if (!(m->marks.data[i] & LM_MARK_ANSWER)) continue;
        lm_str_putc(&out, m->text.data[i]);
        if (i + 1 == m->text.len || !(m->marks.data[i + 1] & LM_MARK_ANSWER)) lm_str_putc(&out, '|');
    }
    return lm_str_take(&out);
}

static void expect_answers(const char *name, const char *chat_name, const char *expected)
{
    lm_err err = {0};
    lm_marked m = {0};
    lm_chat_template *t = open_template(name);
    lm_json *chats = read_json("tests/data/templates/chats.json");
    const lm_chat chat = find_chat(chats, chat_name);
    if (lm_chat_render_answers(t, &m, &chat, &err) != LM_OK) fail_msg("%s, %s: %s", name, chat_name, err.message);
    char *found = answers_of(&m);
    assert_string_equal(found, expected);
    free(found);
    lm_marked_free(&m);
    lm_json_free(chats);
    lm_chat_template_free(t);
}

/* ---- against transformers -------------------------------------------------------------- */

static void texts_are_those_of_transformers(void **state)
{
    (void)state;
    lm_json *chats = read_json("tests/data/templates/chats.json"), *expected = read_json("tests/golden/chat/expect.json"), *entry;
    size_t i, same = 0;
    lm_marked m = {0};
    json_array_foreach(expected, i, entry) {
        lm_err err = {0};
        const char *name = json_string_value(json_object_get(entry, "template"));
        const char *chat_name = json_string_value(json_object_get(entry, "chat"));
        const lm_json *text = json_object_get(entry, "text");
        lm_chat chat = find_chat(chats, chat_name);
        chat.prompt = json_is_true(json_object_get(entry, "prompt"));
        lm_chat_template *t = open_template(name);
        lm_status status = lm_chat_render(t, &m, &chat, &err);
        if (json_is_null(text) && status == LM_OK) fail_msg("%s, %s: rendered what transformers refuses", name, chat_name);
        if (!json_is_null(text) && status != LM_OK) fail_msg("%s, %s: %s", name, chat_name, err.message);
        if (status == LM_OK) assert_string_equal(m.text.data, json_string_value(text));
        assert_int_equal(m.marks.len, m.text.len);
        lm_chat_template_free(t);
        same++;
    }
    assert_int_equal(same, 13 * 10 * 2);
    lm_marked_free(&m);
    lm_json_free(expected);
    lm_json_free(chats);
}

/* ---- what the assistant wrote ------------------------------------------------------------ */

static void answers_are_found_by_rendering(void **state)
{
    (void)state;
    expect_answers("chatml.jinja", "turns", "First answer.<|im_end|>\n|Second answer.\n\nWith a paragraph.<|im_end|>\n|Third answer.<|im_end|>\n|");
    expect_answers("llama2.jinja", "turns", " First answer. </s>| Second answer.\n\nWith a paragraph. </s>| Third answer. </s>|");
    expect_answers("llama3.jinja", "turns", "First answer.<|eot_id|>|Second answer.\n\nWith a paragraph.<|eot_id|>|Third answer.<|eot_id|>|");
    expect_answers("gemma.jinja", "turns", "First answer.<end_of_turn>\n|Second answer.\n\nWith a paragraph.<end_of_turn>\n|Third answer.<end_of_turn>\n|");
    expect_answers("phi3_generation.jinja", "turns", "First answer.<|end|>|Second answer.\n\nWith a paragraph.<|end|>|Third answer.<|end|>|");
    expect_answers("solar.jinja", "turns", "First answer.</s>\n\n|Second answer.\n\nWith a paragraph.</s>\n\n|Third answer.</s>\n\n|");
    expect_answers("mistral.jinja", "single", " Blue.</s>|");
    expect_answers("qwen2.jinja", "tools", "\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"서울\", \"days\": 2, \"exact\": true, \"scale\": 0.5}}"
                   "\n</tool_call><|im_end|>\n|맑고 21.5도입니다.<|im_end|>\n|" + 1);
}

/* Qwen3 drops the reasoning of earlier turns, so that no beginning of the chat ends as the whole goes on;
 * the prompt for DeepSeek-R1 opens a reasoning that the rendered answer lacks. */
static void answers_are_found_where_turns_are_rewritten(void **state)
{
    (void)state;
    expect_answers("qwen3.jinja", "turns", "First answer.<|im_end|>\n|Second answer.\n\nWith a paragraph.<|im_end|>\n|<think>\n\n</think>\n\nThird answer.<|im_end|>\n|");
    expect_answers("qwen3.jinja", "thinking", "Two.<|im_end|>\n|<think>\nadd again\n</think>\n\nFour.<|im_end|>\n|");
    expect_answers("deepseek_r1.jinja", "turns", "First answer.<｜end▁of▁sentence｜>|Second answer.\n\nWith a paragraph.<｜end▁of▁sentence｜>|Third answer.<｜end▁of▁sentence｜>|");
}

static lm_status answers_status(const char *template, const char *messages, lm_err *err)
{
    lm_marked m = {0};
    lm_chat_template *t = template_of(template);
    lm_json *doc = json_of(messages);
    const lm_chat chat = { .messages = doc };
    lm_status status = lm_chat_render_answers(t, &m, &chat, err);
    lm_marked_free(&m);
    lm_json_free(doc);
    lm_chat_template_free(t);
    return status;
}

static void what_cannot_be_told_is_an_error(void **state)
{
    (void)state;
    static const char two[] = "[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"},"
                              " {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\"}]";
    lm_err err = {0};
    assert_int_equal(answers_status("{{ messages | length }}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}", two, &err), LM_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "message 2: the chat template does not show where this answer begins"));
    lm_err_clear(&err);
    assert_int_equal(answers_status("{{ messages | map(attribute='content') | join }}", "[{\"role\": \"user\", \"content\": \"a\"}]", &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "no assistant's answer"));
    lm_err_clear(&err);
    assert_int_equal(answers_status("x", "{\"role\": \"user\"}", &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "expected a list of at least one message"));
    lm_err_clear(&err);
    assert_int_equal(answers_status("x", "[{\"role\": \"user\", \"content\": \"a\"}, {\"content\": \"a\"}]", &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "message 2: expected an object with a \"role\""));
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static lm_tokenizer *tiny(void)
{
    lm_err err = {0};
    lm_tokenizer *tk;
    char *path = test_path("tokenizer");
    assert_int_equal(lm_make_dirs(path, NULL), LM_OK);
    tiny_tokenizer(path, 0);
    if (lm_tokenizer_load(&tk, path, &err) != LM_OK) fail_msg("%s", err.message);
    free(path);
    return tk;
}

/* How often the end-of-text token comes in a chat. */
static int64_t ends_in(const char *template, const char *messages)
{
    lm_err err = {0};
    lm_tokenizer *tk = tiny();
    lm_encoder *encoder = lm_encoder_new(tk);
    lm_chat_template *t = template_of(template);
    lm_json *doc = json_of(messages);
    lm_marked m = {0};
    lm_ids ids = {0};
    const lm_chat chat = { .messages = doc };
    if (lm_chat_render(t, &m, &chat, &err) != LM_OK || lm_chat_encode(encoder, &ids, &m, &err) != LM_OK) fail_msg("%s", err.message);
    int64_t n = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < ids.len; i++) {
        n += ids.data[i] == TINY_END;
        bytes += ids.data[i] == TINY_END ? strlen("<|end|>") : 1;
    }
    assert_int_equal(bytes, m.text.len);                 /* nothing is lost, whatever it became */
    lm_ids_free(&ids);
    lm_marked_free(&m);
    lm_json_free(doc);
    lm_chat_template_free(t);
    lm_encoder_free(encoder);
    lm_tokenizer_free(tk);
    return n;
}

static void content_is_never_a_special_token(void **state)
{
    (void)state;
    static const char each[] = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}";
    assert_int_equal(ends_in(each, "[{\"role\": \"user\", \"content\": \"hi\"}]"), 1);
    assert_int_equal(ends_in(each, "[{\"role\": \"user\", \"content\": \"<|end|> <|end|>\"}]"), 1);
    assert_int_equal(ends_in(each, "[{\"role\": \"user\", \"content\": \"<|end|\"}, {\"role\": \"user\", \"content\": \"<|\"}]"), 2);
    /* glued together from two contents, from content and template, and from what a template makes of it */
    assert_int_equal(ends_in("{% for m in messages %}{{ m.content }}{% endfor %}",
                             "[{\"role\": \"user\", \"content\": \"<|en\"}, {\"role\": \"user\", \"content\": \"d|>\"}]"), 0);
    assert_int_equal(ends_in("{{ messages[0].content }}|>", "[{\"role\": \"user\", \"content\": \"<|end\"}]"), 0);
    assert_int_equal(ends_in("<|{{ messages[0].content }}|>", "[{\"role\": \"user\", \"content\": \"end\"}]"), 0);
    assert_int_equal(ends_in("{{ messages[0].content | lower | trim }}{{ messages | tojson }}{{ messages[0].content | replace(' ', '') }}",
                             "[{\"role\": \"user\", \"content\": \" <|END|> <|e nd|>\"}]"), 0);
    /* a role that is one of a chat's own may be part of a token; another may not */
    assert_int_equal(ends_in("<|{{ messages[0].role }}|>", "[{\"role\": \"end\", \"content\": \"\"}]"), 0);
    /* a template may put its own token together from parts */
    assert_int_equal(ends_in("{{ '<|' + 'end' ~ '|>' }}", "[{\"role\": \"user\", \"content\": \"\"}]"), 1);
}

/* A foreign text that overlaps the template's token must not take it away. */
static void content_cannot_swallow_a_token(void **state)
{
    (void)state;
    assert_int_equal(ends_in("{{ messages[0].content }}<|end|>", "[{\"role\": \"user\", \"content\": \"<|end|><|end|\"}]"), 1);
    assert_int_equal(ends_in("<|end|>{{ messages[0].content }}<|end|>", "[{\"role\": \"user\", \"content\": \"|>\"}]"), 2);
}

static void examples_learn_answers_alone(void **state)
{
    (void)state;
    lm_err err = {0};
    lm_tokenizer *tk = tiny();
    lm_encoder *encoder = lm_encoder_new(tk);
    lm_chat_template *t = template_of("{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}a:{% endif %}");
    lm_json *row = json_of("{\"messages\": [{\"role\": \"user\", \"content\": \"x<|end|>\"}, {\"role\": \"assistant\", \"content\": \"yz\"},"
                           " {\"role\": \"user\", \"content\": \"w\"}, {\"role\": \"assistant\", \"content\": \"\"}]}");
    lm_example e = {0};
    lm_ids ids = {0};
    if (lm_chat_example(t, &e, row, 0, false, encoder, &ids, &err) != LM_OK) fail_msg("%s", err.message);
    static const char expected[] = "u:x<|end|>E" "a:yzE" "u:wE" "a:E", learnt[] = "00000000000" "00111" "0000" "001";
    assert_int_equal(e.n, strlen(expected));
    for (size_t i = 0; i < e.n; i++) {
        int32_t id = lm_token_value(e.tokens[i]);
        assert_int_equal(id == TINY_END ? 'E' : id, expected[i]);
        assert_int_equal((e.tokens[i] & LM_TOKEN_SUPERVISED) != 0, learnt[i] == '1');
    }
    e.n = 0;
    lm_ids_clear(&ids);
    assert_int_equal(lm_chat_example(t, &e, row, 0, true, encoder, &ids, &err), LM_OK);
    for (size_t i = 0; i < e.n; i++) assert_true(e.tokens[i] & LM_TOKEN_SUPERVISED);
    free(e.tokens);
    lm_ids_free(&ids);
    lm_json_free(row);
    lm_chat_template_free(t);
    lm_encoder_free(encoder);
    lm_tokenizer_free(tk);
}

/* ---- the plain template --------------------------------------------------------------------------- */

static void a_model_without_template_gets_the_plain_one(void **state)
{
    (void)state;
    lm_err err = {0};
    lm_tokenizer *tk = tiny();
    lm_chat_template *t;
    char *path = test_path("tokenizer");
    if (lm_chat_template_load(&t, path, tk, NULL, &err) != LM_OK) fail_msg("%s", err.message);
    assert_true(lm_chat_template_is_plain(t));
    assert_int_equal(lm_chat_end_of_turn(t, tk), TINY_END);
    lm_json *doc = json_of("[{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"Why?\"},"
                           " {\"role\": \"assistant\", \"content\": \"So.\"}, {\"role\": \"tool\", \"content\": \"7\"}]");
    lm_marked m = {0};
    lm_chat chat = { .messages = doc, .prompt = true };
    assert_int_equal(lm_chat_render(t, &m, &chat, &err), LM_OK);
    assert_string_equal(m.text.data, "Be brief.\n\nUser: Why?\n\nAssistant: So.<|end|>\n\nTool: 7\n\nAssistant:");
    assert_int_equal(lm_chat_render_answers(t, &m, &chat, &err), LM_OK);
    char *found = answers_of(&m);
    assert_string_equal(found, " So.<|end|>\n\n|");
    free(found);
    lm_marked_free(&m);
    lm_json_free(doc);
    lm_chat_template_free(t);

    char *own = lm_path_join(path, "chat_template.jinja");           /* a file of its own comes first */
    assert_int_equal(lm_file_write(own, "own", 3, NULL), LM_OK);
    lm_tokenizer_free(tk);
    assert_int_equal(lm_tokenizer_load(&tk, path, &err), LM_OK);
    assert_int_equal(lm_chat_template_load(&t, path, tk, NULL, &err), LM_OK);
    assert_false(lm_chat_template_is_plain(t));
    assert_string_equal(lm_chat_template_text(t), "own");
    assert_int_equal(remove(own), 0);
    free(own);
    free(path);
    lm_chat_template_free(t);
    lm_tokenizer_free(tk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_transformers), cmocka_unit_test(answers_are_found_by_rendering),
        cmocka_unit_test(answers_are_found_where_turns_are_rewritten), cmocka_unit_test(what_cannot_be_told_is_an_error),
        cmocka_unit_test(content_is_never_a_special_token), cmocka_unit_test(content_cannot_swallow_a_token),
        cmocka_unit_test(examples_learn_answers_alone), cmocka_unit_test(a_model_without_template_gets_the_plain_one),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
