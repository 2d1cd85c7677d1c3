/* What libFuzzer wants besides a target (replay.c has its own): the folder of test_path(). */
#include "common/test.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void remove_folder(void) { test_folder_remove(NULL); }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    if (test_folder_make(NULL) != 0) abort();
    return atexit(remove_folder);
}
