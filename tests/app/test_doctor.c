/* malmoi doctor says of the machine what detection says, and measures. */
#include "common/test.h"
#include "backend/backend.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static lm_json *doctor(const char *options)
{
    lm_str command = { 0 }, text = { 0 };
    lm_str_printf(&command, "%s doctor --json %s", getenv("MALMOI") ? getenv("MALMOI") : "build/malmoi", options);
    FILE *pipe = popen(command.data, "r");
    assert_non_null(pipe);
    char line[4096];
    while (fgets(line, sizeof line, pipe)) lm_str_puts(&text, line);
    assert_int_equal(pclose(pipe), 0);
    lm_err err = { 0 };
    lm_json *doc = lm_json_parse(text.data, text.len, "doctor", &err);
    if (!doc) fail_msg("%s", err.message);
    lm_str_free(&command);
    lm_str_free(&text);
    return doc;
}

static void test_names_the_machine(void **state)
{
    (void)state;
    lm_cpu cpu = lm_cpu_detect();
    lm_json *doc = doctor("--backend ref --threads 1");
    const char *text = NULL;
    int64_t n = 0;
    assert_int_equal(lm_json_need_str(doc, "cpu", "doctor", &text, NULL), LM_OK);
    assert_string_equal(text, cpu.model);
    assert_int_equal(lm_json_need_str(doc, "backend", "doctor", &text, NULL), LM_OK);
    assert_string_equal(text, "ref");
    assert_int_equal(lm_json_need_int(doc, "threads", "doctor", &n, NULL), LM_OK);
    assert_int_equal(n, 1);
    assert_int_equal(lm_json_need_int(doc, "memory_bytes", "doctor", &n, NULL), LM_OK);
    assert_true(n > 1 << 20);
    bool avx2 = false;
    size_t i;
    lm_json *feature;
    json_array_foreach(lm_json_get(doc, "features"), i, feature) avx2 |= !strcmp(json_string_value(feature), "avx2");
    assert_int_equal(avx2, cpu.avx2);
    assert_true(json_real_value(lm_json_get(doc, "f32_gflops")) > 0);
    assert_true(json_real_value(lm_json_get(doc, "read_gbytes")) > 0);
    lm_json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_names_the_machine) };
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
