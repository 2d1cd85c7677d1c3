/* Fine-tuning on chats: what is trained on a template that the model lacks leaves it beside the result, and
 * a template that cannot be read stops chats and nothing else. */
#include "common/test.h"
#include "train/tiny.h"

#include "data/chat.h"

static const char chat_row[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}";
static const char pair_row[] = "{\"prompt\": \"a\", \"completion\": \"b\"}";

typedef struct bench {
    lm_task task;
    lm_model model;
    lm_tokenizer *tokenizer;
    void *options;
    char *folder;
} bench;

static lm_option_set *options_of(bench *b)
{
    static lm_option_set sets[2];
    sets[0] = (lm_option_set){ NULL, lm_objective_find("sft")->options, b->options };
    return sets;
}

static void set_up(bench *b, const char *name, const char *template)
{
    lm_err err = {0};
    const lm_objective *sft = lm_objective_find("sft");
    *b = (bench){ .folder = test_path(name), .options = lm_calloc(1, sft->options_size) };
    assert_int_equal(lm_make_dirs(b->folder, NULL), LM_OK);
    tiny_tokenizer(b->folder, 0);
    char *path = lm_path_join(b->folder, "chat_template.jinja");
    if (template) assert_int_equal(lm_file_write(path, template, strlen(template), NULL), LM_OK);
    free(path);
    assert_int_equal(lm_tokenizer_load(&b->tokenizer, b->folder, &err), LM_OK);
    lm_options_defaults(options_of(b));
    b->model.path = b->folder;
    b->task = (lm_task){ .objective = sft, .options = b->options, .model = &b->model, .tokenizer = b->tokenizer, .eos = TINY_END };
    assert_int_equal(sft->prepare(&b->task, &err), LM_OK);
}

static void tear_down(bench *b)
{
    b->task.objective->release(&b->task);
    lm_options_free(options_of(b));
    lm_tokenizer_free(b->tokenizer);
    free(b->options);
    free(b->folder);
}

static lm_status render(const bench *b, const char *text, lm_err *err)
{
    lm_row row = { .path = "rows", .line = 1, .object = lm_json_parse(text, strlen(text), "row", err) };
    lm_encoder *encoder = lm_encoder_new(b->tokenizer);
    lm_example e = {0};
    lm_ids ids = {0};
    lm_status status = b->task.objective->render(&b->task, &e, &row, encoder, &ids, err);
    if (status == LM_OK) assert_true(e.n > 0 && (e.tokens[e.n - 1] & LM_TOKEN_SUPERVISED));
    free(e.tokens);
    lm_ids_free(&ids);
    lm_encoder_free(encoder);
    lm_row_free(&row);
    return status;
}

/* Whether a finished run leaves a template in `out`. */
static bool leaves_template(const bench *b, const char *out)
{
    lm_err err = {0};
    char *folder = test_path(out), *path = lm_path_join(folder, "chat_template.jinja");
    assert_int_equal(lm_make_dirs(folder, NULL), LM_OK);
    assert_int_equal(b->task.objective->finish(&b->task, folder, &err), LM_OK);
    lm_str text = {0};
    bool there = lm_file_exists(path) && lm_file_read(&text, path, 1 << 20, &err) == LM_OK;
    if (there) assert_string_equal(text.data, lm_chat_plain);
    lm_str_free(&text);
    free(folder);
    free(path);
    return there;
}

static void the_plain_template_stays_with_the_result(void **state)
{
    (void)state;
    bench b;
    lm_err err = {0};
    set_up(&b, "plain", NULL);
    assert_int_equal(render(&b, pair_row, &err), LM_OK);
    assert_false(leaves_template(&b, "out_pairs"));
    assert_int_equal(render(&b, chat_row, &err), LM_OK);
    assert_true(leaves_template(&b, "out_chats"));
    tear_down(&b);
}

static void the_models_own_template_is_not_written_again(void **state)
{
    (void)state;
    bench b;
    lm_err err = {0};
    set_up(&b, "own", "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}");
    assert_int_equal(render(&b, chat_row, &err), LM_OK);
    assert_false(leaves_template(&b, "out_own"));
    tear_down(&b);
}

static void a_broken_template_stops_chats_alone(void **state)
{
    (void)state;
    bench b;
    lm_err err = {0};
    set_up(&b, "broken", "\n{% if %}");
    assert_int_equal(render(&b, pair_row, &err), LM_OK);
    assert_int_equal(render(&b, chat_row, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, "chat template:2: expected an expression, found %}"));
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_template_stays_with_the_result), cmocka_unit_test(the_models_own_template_is_not_written_again),
        cmocka_unit_test(a_broken_template_stops_chats_alone),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
