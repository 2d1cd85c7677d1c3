/* The map against its definition: keys put once, read back, absent ones absent. */
#include "common/test.h"
#include "base/map.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

static void test_vocabulary(void **state)
{
    (void)state;
    enum { N = 300000 };
    lm_map *map = lm_map_new(0);                        /* grows many times */
    char key[32];
    for (int i = 0; i < N; i++) {
        int n = snprintf(key, sizeof key, "token%d", i * 7);
        assert_true(lm_map_put(map, key, (size_t)n, i));
    }
    assert_int_equal(lm_map_count(map), N);
    for (int i = 0; i < N * 7; i++) {
        int n = snprintf(key, sizeof key, "token%d", i);
        int64_t want = i % 7 ? -1 : i / 7;
        if (lm_map_get(map, key, (size_t)n, -1) != want) fail_msg("%s", key);
    }
    lm_map_free(map);
}

static void test_first_value_is_kept(void **state)
{
    (void)state;
    lm_map *map = lm_map_new(100);
    assert_true(lm_map_put(map, "a", 1, 10));
    assert_false(lm_map_put(map, "a", 1, 20));
    assert_int_equal(lm_map_get(map, "a", 1, -1), 10);
    assert_int_equal(lm_map_count(map), 1);
    lm_map_free(map);
    lm_map_free(NULL);
}

/* Keys are bytes: zeros inside count, a prefix is another key, the empty key is a key. */
static void test_byte_keys(void **state)
{
    (void)state;
    lm_map *map = lm_map_new(0);
    assert_int_equal(lm_map_get(map, "", 0, -7), -7);
    assert_true(lm_map_put(map, NULL, 0, 1));
    assert_true(lm_map_put(map, "\0", 1, 2));
    assert_true(lm_map_put(map, "\0\0", 2, 3));
    assert_true(lm_map_put(map, "\0a", 2, INT64_MIN));
    assert_int_equal(lm_map_get(map, "", 0, -1), 1);
    assert_int_equal(lm_map_get(map, "\0", 1, -1), 2);
    assert_int_equal(lm_map_get(map, "\0\0", 2, -1), 3);
    assert_true(lm_map_get(map, "\0a", 2, -1) == INT64_MIN);
    assert_int_equal(lm_map_get(map, "a", 1, -1), -1);
    lm_map_free(map);
}

/* XXH3-64 of the empty input with seed 0, from the xxHash specification's sanity table. */
static void test_hash(void **state)
{
    (void)state;
    assert_true(lm_hash(NULL, 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(lm_hash("a", 1, 0) != lm_hash("a", 1, 1));
    assert_true(lm_hash("ab", 2, 0) != lm_hash("ab", 1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocabulary), cmocka_unit_test(test_first_value_is_kept),
        cmocka_unit_test(test_byte_keys), cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
