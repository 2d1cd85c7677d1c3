/* Tables, drawn by hand. */
#include "common/test.h"
#include "base/table.h"

#include <string.h>

static void test_alignment(void **state)
{
    (void)state;
    lm_table t = lm_table_start("lrl");
    lm_table_cells(&t, "run", "loss", "note");
    lm_table_rule(&t);
    lm_table_cells(&t, "말모이-1", "2.5", "");
    lm_table_put(&t, "%s", "b");
    lm_table_put(&t, "%.3f", 10.25);
    lm_table_put(&t, "two\nlines");
    lm_table_cells(&t, "", "", "x");
    lm_table_cells(&t, "last");
    lm_str out = {0};
    lm_table_print(&t, &out);
    assert_string_equal(out.data, "run         loss  note\n"
                                  "---------------------------\n"
                                  "말모이-1     2.5\n"
                                  "b         10.250  two lines\n"
                                  "                  x\n"
                                  "last\n");
    lm_str_free(&out);
    lm_table_free(&t);
    lm_table_free(NULL);
}

/* Every right-aligned cell of a column ends in one place, whatever the widths. */
static void test_many_rows(void **state)
{
    (void)state;
    lm_table t = lm_table_start("lr");
    for (int i = 0; i < 1000; i++) {
        lm_table_put(&t, "%.*s", i % 7 * 3, "가나다라마바사");
        lm_table_put(&t, "%d", i * i);
    }
    lm_str out = {0};
    lm_table_print(&t, &out);
    int lines = 0;
    for (char *line = out.data, *end; (end = strchr(line, '\n')); line = end + 1, lines++)
        assert_int_equal(lm_text_width(line, (size_t)(end - line)), 12 + 2 + 6);
    assert_int_equal(lines, 1000);
    lm_str_free(&out);
    lm_table_free(&t);
}

static void test_empty(void **state)
{
    (void)state;
    lm_table t = lm_table_start("l");
    lm_str out = {0};
    lm_table_print(&t, &out);
    assert_int_equal(out.len, 0);
    lm_table_cells(&t, "head");
    lm_table_rule(&t);
    lm_table_print(&t, &out);
    assert_string_equal(out.data, "head\n----\n");
    lm_table_free(&t);
    lm_str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_alignment), cmocka_unit_test(test_many_rows), cmocka_unit_test(test_empty) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
