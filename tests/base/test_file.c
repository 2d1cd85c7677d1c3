/* Files as a hostile system gives them: missing, empty, a folder, a full disk, a killed writer. */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_content(const char *path, const char *want)
{
    lm_str text;
    lm_err err = {0};
    assert_int_equal(lm_file_read(&text, path, 1 << 20, &err), LM_OK);
    assert_string_equal(text.data, want);
    lm_str_free(&text);
}

/* Whether a file can be written there without a name until it is whole. */
static bool takes_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void test_read_and_map(void **state)
{
    (void)state;
    char *path = test_path("plain");
    lm_err err = {0};
    lm_str text;
    lm_mapping map;
    assert_int_equal(lm_file_write(path, "malmoi", 6, &err), LM_OK);
    check_content(path, "malmoi");
    assert_int_equal(lm_file_read(&text, path, 6, &err), LM_OK);
    lm_str_free(&text);
    assert_int_equal(lm_file_read(&text, path, 5, &err), LM_E_FORMAT);
    assert_non_null(strstr(err.message, path));
    assert_null(text.data);
    assert_int_equal(lm_file_map(&map, path, &err), LM_OK);
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "malmoi", 6);
    lm_mapping_free(&map);
    assert_null(map.data);
    lm_mapping_free(NULL);
    free(path);
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    char *folder = test_path(""), *missing = test_path("missing"), *empty = test_path("empty");
    lm_str text;
    lm_mapping map;
    const char *const refused[] = { folder, missing, "" };
    for (int i = 0; i < 3; i++) {
        lm_err err = {0};
        assert_int_equal(lm_file_read(&text, refused[i], 100, &err), LM_E_IO);
        assert_null(text.data);
        lm_err_clear(&err);
        assert_int_equal(lm_file_map(&map, refused[i], &err), LM_E_IO);
        assert_non_null(strstr(err.message, refused[i]));
    }
    assert_int_equal(lm_file_map(&map, "/dev/null", NULL), LM_E_IO);
    lm_err err = {0};
    assert_int_equal(lm_file_write(empty, NULL, 0, &err), LM_OK);
    assert_int_equal(lm_file_map(&map, empty, &err), LM_OK);
    assert_non_null(map.data);
    assert_int_equal(map.size, 0);
    lm_mapping_free(&map);
    check_content(empty, "");
    if (geteuid() != 0) {                               /* root reads everything */
        chmod(empty, 0);
        assert_int_equal(lm_file_map(&map, empty, &err), LM_E_IO);
    }
    free(folder), free(missing), free(empty);
}

static void test_read_pipe(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "through a pipe", 14), 14);
    close(ends[1]);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    check_content(path, "through a pipe");
    close(ends[0]);
}

/* The old content stands until commit; abort leaves no trace. */
static void test_atomic(void **state)
{
    (void)state;
    char *folder = test_path("atomic"), *path = test_path("atomic/config.json");
    lm_err err = {0};
    lm_writer w;
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    assert_int_equal(lm_file_write(path, "old", 3, &err), LM_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(lm_writer_open(&w, path, &err), LM_OK);
    fputs("new", w.stream);
    fflush(w.stream);
    check_content(path, "old");
    assert_int_equal(test_count_entries(folder), takes_nameless(folder) ? 1 : 2);
    lm_writer_abort(&w);
    lm_writer_abort(&w);
    assert_int_equal(test_count_entries(folder), 1);
    check_content(path, "old");

    lm_writer other;                                    /* two writers of one file do not collide */
    assert_int_equal(lm_writer_open(&w, path, &err), LM_OK);
    assert_int_equal(lm_writer_open(&other, path, &err), LM_OK);
    fputs("first", w.stream);
    fputs("second", other.stream);
    assert_int_equal(lm_writer_commit(&w, &err), LM_OK);
    check_content(path, "first");
    assert_int_equal(lm_writer_commit(&other, &err), LM_OK);
    check_content(path, "second");
    lm_writer_abort(&other);
    assert_int_equal(test_count_entries(folder), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    free(folder), free(path);
}

static void test_long_name_link_and_folder(void **state)
{
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    char *path = test_path(name), *link = test_path("link"), *folder = test_path("");
    lm_err err = {0};
    assert_int_equal(lm_file_write(path, "1", 1, &err), LM_OK);   /* 255 bytes, the most a name may have */
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(lm_file_write(link, "2", 1, &err), LM_OK);
    check_content(path, "2");
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lm_file_write(folder, "3", 1, &err), LM_E_IO);
    assert_int_equal(lm_file_write("/nowhere/at/all", "3", 1, NULL), LM_E_IO);
    assert_int_equal(lm_file_write("", "3", 1, NULL), LM_E_IO);
    assert_int_equal(lm_file_write("/dev/null", "3", 1, NULL), LM_OK);
    assert_true(lm_file_exists("/dev/null") && !lm_is_dir("/dev/null"));
    free(path), free(link), free(folder);
}

/* A device that is always full: the error surfaces in commit, small or large. */
static void test_full_device(void **state)
{
    (void)state;
    static char large[1 << 20];
    const size_t sizes[] = { 1, sizeof large };
    for (int i = 0; i < 2; i++) {
        lm_err err = {0};
        assert_int_equal(lm_file_write("/dev/full", large, sizes[i], &err), LM_E_IO);
        assert_non_null(strstr(err.message, strerror(ENOSPC)));
    }
}

/* A file that may not grow further: the error surfaces, the temporary goes, the old file stands. */
static void test_disk_full(void **state)
{
    (void)state;
    char *folder = test_path("full"), *path = test_path("full/weights");
    lm_err err = {0};
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    assert_int_equal(lm_file_write(path, "old", 3, &err), LM_OK);
    static char large[1 << 20];
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    lm_status status = lm_file_write(path, large, sizeof large, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, LM_E_IO);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(test_count_entries(folder), 1);
    check_content(path, "old");
    free(folder), free(path);
}

/* A killed writer leaves the old file, at most `.NAME.tmp-PID`, and no obstacle for the next one. */
static void test_killed(void **state)
{
    (void)state;
    char *folder = test_path("killed"), *path = test_path("killed/w");
    lm_err err = {0};
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    assert_int_equal(lm_file_write(path, "old", 3, &err), LM_OK);
    pid_t child = fork();
    if (child == 0) {
        lm_writer w;
        if (lm_writer_open(&w, path, NULL) == LM_OK) fputs("half", w.stream), fflush(w.stream);
        raise(SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    char name[64];
    snprintf(name, sizeof name, "killed/.w.tmp-%ld", (long)child);
    char *left = test_path(name);
    assert_int_equal(lm_file_exists(left), !takes_nameless(folder));
    check_content(path, "old");
    assert_int_equal(lm_file_write(path, "new", 3, &err), LM_OK);
    check_content(path, "new");
    free(folder), free(path), free(left);
}

/* Killed at any moment of writing one of two contents over and over, the file holds one of them whole. */
static void test_killed_at_random(void **state)
{
    (void)state;
    enum { N = 300000, ROUNDS = 15 };
    char *folder = test_path("random"), *path = test_path("random/w"), *content = malloc(N);
    lm_err err = {0};
    assert_int_equal(lm_make_dirs(folder, &err), LM_OK);
    memset(content, 'a', N);
    assert_int_equal(lm_file_write(path, content, N, &err), LM_OK);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0;; i++) {
                memset(content, 'a' + i % 2, N);
                lm_file_write(path, content, N, NULL);
            }
        }
        usleep((useconds_t)(500 + round * 700));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        lm_str text;
        assert_int_equal(lm_file_read(&text, path, N, &err), LM_OK);
        assert_int_equal(text.len, N);
        memset(content, text.data[0], N);
        assert_true(text.data[0] == 'a' || text.data[0] == 'b');
        assert_memory_equal(text.data, content, N);
        lm_str_free(&text);
    }
    free(folder), free(path), free(content);
}

static void test_paths(void **state)
{
    (void)state;
    char *deep = test_path("a/b//c/"), *file = test_path("a/file"), *below = test_path("a/file/x");
    lm_err err = {0};
    assert_int_equal(lm_make_dirs(deep, &err), LM_OK);
    assert_true(lm_is_dir(deep));
    assert_int_equal(lm_make_dirs(deep, &err), LM_OK);
    assert_int_equal(lm_file_write(file, "", 0, &err), LM_OK);
    assert_int_equal(lm_make_dirs(below, &err), LM_E_IO);
    assert_string_equal(lm_path_name("a/b.c"), "b.c");
    assert_string_equal(lm_path_name("b.c"), "b.c");
    static const char *const joins[][3] = { { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" }, { "/", "b", "/b" } };
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *joined = lm_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(joined, joins[i][2]);
        free(joined);
    }
    free(deep), free(file), free(below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_map), cmocka_unit_test(test_what_cannot_be_read), cmocka_unit_test(test_read_pipe),
        cmocka_unit_test(test_atomic), cmocka_unit_test(test_long_name_link_and_folder),
        cmocka_unit_test(test_full_device), cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_killed), cmocka_unit_test(test_killed_at_random), cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
