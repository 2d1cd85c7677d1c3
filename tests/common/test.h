/* What every test includes: cmocka with the headers that it wants first, and a folder to write in. */
#ifndef LM_TEST_H
#define LM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Group setup and teardown: a fresh temporary folder, removed with all it holds. */
int test_folder_make(void **state);
int test_folder_remove(void **state);

/* `name` inside that folder; the caller frees. */
char *test_path(const char *name);

/* How many entries the folder `path` holds. */
int test_count_entries(const char *path);

#endif
