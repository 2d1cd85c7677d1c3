/* Tests that each have a folder of their own, with files made in it by hand. */
#ifndef TESTS_IO_TEMP_H
#define TESTS_IO_TEMP_H

#include "common/test.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* *state becomes the folder's path. */
static inline int temp_make(void **state)
{
    if (test_folder_make(state)) return -1;
    *state = test_path(".");
    return 0;
}

static inline int temp_remove(void **state)
{
    free(*state);
    return test_folder_remove(state);
}

#define temp_test(f) cmocka_unit_test_setup_teardown(f, temp_make, temp_remove)

/* Writes n bytes to folder/name and returns the path, which the caller frees. */
static inline char *temp_put(void **state, const char *name, const void *bytes, size_t n)
{
    char *path = lm_path_join(*state, name);
    lm_err err = {0};
    if (lm_file_write(path, bytes, n, &err) != LM_OK) fail_msg("%s", err.message);
    return path;
}


#define assert_ok(call)                                                                \
    do {                                                                               \
        if ((call) != LM_OK) fail_msg("%s: %s", #call, err.message);                   \
    } while (0)

/* The call fails with this code, in one line that has all of the words ("|" between them). */
#define assert_refused(call, expected_code, words)                                     \
    do {                                                                               \
        lm_err_clear(&err);                                                            \
        lm_status status_of_call = (call);                                             \
        temp_check_message(status_of_call, expected_code, &err, words, #call);         \
    } while (0)

static inline void temp_check_message(lm_status status, lm_status expected, const lm_err *err, const char *words,
                                      const char *call)
{
    if (status != expected) fail_msg("%s: code %d, expected %d: %s", call, status, expected, err->message);
    assert_int_equal(err->code, expected);
    assert_null(strchr(err->message, '\n'));
    char *copy = lm_strdup(words), *rest = copy;
    for (char *word; (word = strsep(&rest, "|"));)
        if (!strstr(err->message, word)) fail_msg("no \"%s\" in \"%s\"", word, err->message);
    free(copy);
}

#endif
