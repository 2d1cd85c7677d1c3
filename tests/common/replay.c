/* Replays a fuzz target without a fuzzer, so that every target runs in the normal tests.
 *
 * A target is ONE file, tests/fuzz/fuzz_<name>.c, with libFuzzer's entry point
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *
 * which feeds the bytes to a parser, aborts (LM_ASSERT) where a promise is broken, frees what it
 * made and returns 0; and a folder of small files, tests/fuzz/corpus/<name>/, at least one of them
 * well-formed.  The Makefile links it twice:
 *
 *     build/tests/fuzz/test_replay_<name>   with this main: the corpus as it is, then 2000 mutations
 *                                           of each file, the same ones on every machine
 *     build/fuzz/fuzz_<name>                `make fuzz`, with clang's libFuzzer:
 *                                           build/fuzz/fuzz_<name> tests/fuzz/corpus/<name>
 *
 * An input that stops the program is saved as build/tests/fuzz/crash-<name>; with paths as arguments
 * the replay runs just those files: build/tests/fuzz/test_replay_<name> build/tests/fuzz/crash-<name>.
 * Fix the parser, and add the input to the corpus under a name that says what it was.
 *
 * Each input lies in a block of its exact size, so that the sanitizers see one byte too many, and
 * has ten seconds.  A target that needs a file writes it under the folder of test_path(). */
#define _GNU_SOURCE
#include "common/test.h"
#include "base/file.h"
#include "base/map.h"
#include "base/rng.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MUTATIONS = 2000, LONGEST = 1 << 16, SECONDS = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* ---- one input --------------------------------------------------------------- */

static struct { const uint8_t *data; size_t size; char crash[4096]; } running;   /* for the handlers below */

static void save_input(void)
{
    int fd = open(running.crash, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, running.data, running.size) < 0) return;
    static const char note[] = "\nthe input that stopped it is saved as ";
    if (write(2, note, sizeof note - 1) < 0 || write(2, running.crash, strlen(running.crash)) < 0) return;
    if (write(2, "\n", 1) < 0) return;
    close(fd);
}

static void on_signal(int sig)
{
    save_input();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Inside a test, because cmocka puts handlers of its own in place before it. */
static void watch(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], on_signal);
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_input);
}

static void run_input(const void *bytes, size_t n)
{
    uint8_t *exact = lm_malloc(n);
    if (n) memcpy(exact, bytes, n);
    running.data = exact, running.size = n;
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    free(exact);
}

/* ---- mutation ---------------------------------------------------------------- */

static size_t pick(lm_rng *rng, size_t n)
{
    return n ? (size_t)lm_rng_below(rng, n) : 0;
}

/* A number that parsers trip over, little-endian, in 1, 2, 4 or 8 bytes. */
static void overwrite_number(lm_str *s, lm_rng *rng)
{
    static const uint64_t edges[] = { 0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                      INT64_MAX, (uint64_t)1 << 63, UINT64_MAX };
    uint64_t value = edges[pick(rng, sizeof edges / sizeof *edges)];
    size_t at = pick(rng, s->len), width = (size_t)1 << pick(rng, 4);
    for (size_t i = 0; i < width && at + i < s->len; i++) s->data[at + i] = (char)(value >> 8 * i);
}

/* Copies a run of `from` over, or into, a place of `s`. */
static void copy_run(lm_str *s, const lm_str *from, bool insert, lm_rng *rng)
{
    size_t start = pick(rng, from->len), n = pick(rng, from->len - start) + 1, at = pick(rng, s->len + 1);
    if (start + n > from->len || s->len + n > LONGEST) return;
    char *run = lm_malloc(n);
    memcpy(run, from->data + start, n);
    if (insert) {
        lm_str_reserve(s, s->len + n);
        memmove(s->data + at + n, s->data + at, s->len - at);
        memcpy(s->data + at, run, n);
        s->len += n;
    } else {
        for (size_t i = 0; i < n && at + i < s->len; i++) s->data[at + i] = run[i];
    }
    free(run);
}

static void mutate_once(lm_str *s, const lm_str *other, lm_rng *rng)
{
    static const char marks[] = "{}[]()<>\"'\\:,;=-+.0e9#|%&*/ \n\t\0\xFF\xC3\xED";
    size_t at = pick(rng, s->len), n;
    switch (pick(rng, 8)) {
    case 0: if (s->len) s->data[at] ^= (char)(1 << pick(rng, 8)); break;
    case 1: if (s->len) s->data[at] = (char)lm_rng_u64(rng); break;
    case 2: if (s->len) s->data[at] = marks[pick(rng, sizeof marks - 1)]; break;
    case 3: overwrite_number(s, rng); break;
    case 4: s->len = at; break;
    case 5:
        n = pick(rng, s->len - at);
        if (n) memmove(s->data + at, s->data + at + n, s->len - at - n);
        s->len -= n;
        break;
    case 6: copy_run(s, s, true, rng); break;
    default: copy_run(s, other, pick(rng, 2) == 0, rng); break;
    }
}

/* ---- the corpus -------------------------------------------------------------- */

static lm_str *inputs;
static char **names;
static int n_inputs;

static void read_input(const char *path)
{
    lm_err err = {0};
    inputs = lm_realloc(inputs, (size_t)(n_inputs + 1) * sizeof *inputs);
    names = lm_realloc(names, (size_t)(n_inputs + 1) * sizeof *names);
    if (lm_file_read(&inputs[n_inputs], path, LONGEST, &err) != LM_OK) fail_msg("%s", err.message);
    names[n_inputs++] = lm_strdup(path);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_corpus(const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, visible, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = lm_path_join(folder, entries[i]->d_name);
        read_input(path);
        free(path), free(entries[i]);
    }
    if (n >= 0) free(entries);
    if (n <= 0) fail_msg("%s: expected corpus files, found none", folder);
}

static void test_corpus(void **state)
{
    (void)state;
    watch();
    for (int i = 0; i < n_inputs; i++) run_input(inputs[i].data, inputs[i].len);
    run_input(NULL, 0);
    assert_true(n_inputs > 0);
}

static void test_mutations(void **state)
{
    (void)state;
    watch();
    for (int i = 0; i < n_inputs; i++) {
        const char *name = lm_path_name(names[i]);
        lm_rng rng = { .seed = lm_hash(name, strlen(name), 0) };
        for (int j = 0; j < MUTATIONS; j++) {
            lm_str s = {0};
            lm_str_append(&s, inputs[i].data, inputs[i].len);
            for (size_t k = pick(&rng, 4) + 1; k > 0; k--) mutate_once(&s, &inputs[pick(&rng, (size_t)n_inputs)], &rng);
            run_input(s.data, s.len);
            lm_str_free(&s);
        }
    }
}

int main(int argc, char **argv)
{
    const char *program = lm_path_name(argv[0]), *target = program + strlen("test_replay_");
    LM_ASSERT(lm_starts_with(program, "test_replay_"));
    snprintf(running.crash, sizeof running.crash, "%.*scrash-%s", (int)(program - argv[0]), argv[0], target);
    lm_str corpus = {0};
    lm_str_printf(&corpus, "tests/fuzz/corpus/%s", target);
    for (int i = 1; i < argc; i++) read_input(argv[i]);
    if (argc == 1) read_corpus(corpus.data);

    const struct CMUnitTest all[] = { cmocka_unit_test(test_corpus), cmocka_unit_test(test_mutations) };
    const struct CMUnitTest given[] = { cmocka_unit_test(test_corpus) };
    int failed = argc == 1 ? cmocka_run_group_tests_name(target, all, test_folder_make, test_folder_remove)
                           : cmocka_run_group_tests_name(target, given, test_folder_make, test_folder_remove);

    for (int i = 0; i < n_inputs; i++) lm_str_free(&inputs[i]), free(names[i]);
    free(inputs), free(names);
    lm_str_free(&corpus);
    return failed;
}
