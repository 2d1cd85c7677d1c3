/* malmoi doctor: what this machine offers, and how fast the two things are that all work here rests on:
 * a large product (training, prompts) and reading weights once (one generated token). */
#include "app/command.h"

#include "backend/backend.h"
#include "base/file.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct doctor_options {
    bool json;
} doctor_options;

static const lm_option options[] = {
    LM_OPTION(FLAG, doctor_options, json, "json", .help = "one JSON object"),
    { 0 },
};

typedef struct findings {
    lm_cpu cpu;
    lm_kernels kernels;
    int64_t memory, available;           /* bytes; available 0: unknown */
    double f32_rate, bf16_rate;          /* multiplications and additions a second; 0: not measured */
    double read_rate;                    /* bytes of weights a second */
} findings;

/* ---- measuring ----------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_product(const lm_kernels *k, const lm_gemm *g)
{
    double start = seconds();
    k->gemm(g);
    return seconds() - start;
}

/* The best of the runs that fit into `budget` seconds, at least two: the first one warms up. */
static double best_time(const lm_kernels *k, const lm_gemm *g, double budget)
{
    double best = time_product(k, g), spent = best;
    for (int runs = 1; runs < 2 || spent < budget; runs++) {
        double t = time_product(k, g);
        spent += t;
        if (t < best) best = t;
    }
    return best;
}

/* Of a large square product; of a small one for ref, which is made to be read. */
static double product_rate(const lm_kernels *k, lm_dtype type)
{
    int64_t n = strcmp(k->name, "ref") ? 1024 : 256;
    size_t count = (size_t)(n * n);
    void *a = lm_calloc(count, sizeof(float)), *b = lm_calloc(count, sizeof(float));
    float *c = lm_calloc(count, sizeof *c);
    lm_gemm g = { .c = c, .a = a, .b = b, .m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .alpha = 1, .trans_b = true,
                  .at = type, .bt = type, .ct = LM_F32, .compute = type };
    double t = best_time(k, &g, 0.3);
    free(a);
    free(b);
    free(c);
    return 2.0 * (double)(n * n * n) / t;
}

/* One row against 64 MiB of weights, more than most caches hold. */
static double read_rate(const lm_kernels *k)
{
    enum { ROWS = 4096, COLS = 4096 };
    float *w = lm_malloc(sizeof *w * ROWS * COLS), *x = lm_calloc(COLS, sizeof *x), *y = lm_calloc(ROWS, sizeof *y);
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) w[i] = 1;     /* pages that were never written are one page */
    lm_gemm g = { .c = y, .a = x, .b = w, .m = 1, .n = ROWS, .k = COLS, .lda = COLS, .ldb = COLS, .ldc = ROWS, .alpha = 1, .trans_b = true };
    double t = best_time(k, &g, 0.1);
    free(w);
    free(x);
    free(y);
    return (double)sizeof *w * ROWS * COLS / t;
}

static int64_t available_memory(void)
{
    lm_str text = { 0 };
    long long kib = 0;
    if (lm_file_read(&text, "/proc/meminfo", 1 << 16, NULL) == LM_OK) {
        const char *line = strstr(text.data, "MemAvailable:");
        if (!line || sscanf(line, "MemAvailable: %lld", &kib) != 1 || kib < 0) kib = 0;
    }
    lm_str_free(&text);
    return (int64_t)kib * 1024;
}

static lm_status examine(findings *f, const lm_call *call, lm_err *err)
{
    *f = (findings){ .cpu = lm_cpu_detect(), .available = available_memory() };
    LM_TRY(lm_call_kernels(call, &f->kernels, err));
    f->memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (!f->kernels.computes) return LM_OK;
    f->f32_rate = product_rate(&f->kernels, LM_F32);
    if (f->kernels.bf16_units) f->bf16_rate = product_rate(&f->kernels, LM_BF16);
    f->read_rate = read_rate(&f->kernels);
    return LM_OK;
}

/* ---- telling ------------------------------------------------------------------- */

enum { N_FEATURES = 6 };
typedef struct feature {
    const char *name;
    bool present;
} feature;

static void list_features(feature list[N_FEATURES], const lm_cpu *c)
{
    const feature all[N_FEATURES] = {
        { "avx2", c->avx2 }, { "avx512", c->avx512 }, { "avx512_vnni", c->avx512_vnni },
        { "avx512_bf16", c->avx512_bf16 }, { "amx_bf16", c->amx_bf16 }, { "amx_int8", c->amx_int8 },
    };
    memcpy(list, all, sizeof all);
}

static void print_json(const findings *f)
{
    feature list[N_FEATURES];
    list_features(list, &f->cpu);
    lm_json *names = json_array();
    for (int i = 0; i < N_FEATURES; i++)
        if (list[i].present) json_array_append_new(names, json_string(list[i].name));
    lm_json *doc = json_pack("{s:o, s:i, s:o, s:s, s:b, s:s, s:i, s:I, s:I}", "cpu", lm_json_utf8(f->cpu.model, strlen(f->cpu.model)),
                             "cores", f->cpu.cores, "features", names, "backend", f->kernels.name, "bf16_units", f->kernels.bf16_units,
                             "onednn", lm_onednn_version(), "threads", lm_threads(), "memory_bytes", (json_int_t)f->memory,
                             "available_bytes", (json_int_t)f->available);
    if (f->f32_rate > 0) json_object_set_new(doc, "f32_gflops", json_real(f->f32_rate / 1e9));
    if (f->bf16_rate > 0) json_object_set_new(doc, "bf16_gflops", json_real(f->bf16_rate / 1e9));
    if (f->read_rate > 0) json_object_set_new(doc, "read_gbytes", json_real(f->read_rate / 1e9));
    lm_print_json(doc);
}

static void print_plain(const findings *f)
{
    feature list[N_FEATURES];
    list_features(list, &f->cpu);
    printf("cpu        %s, %d core%s\nfeatures  ", f->cpu.model, f->cpu.cores, f->cpu.cores == 1 ? "" : "s");
    bool any = false;
    for (int i = 0; i < N_FEATURES; i++)
        if (list[i].present) printf(" %s", list[i].name), any = true;
    printf("%s\n", any ? "" : " none that malmoi uses");
    printf("memory     %.1f GiB", (double)f->memory / 0x1p30);
    if (f->available) printf(", %.1f GiB of it available", (double)f->available / 0x1p30);
    printf("\nbackend    %s, %d thread%s, --dtype auto is %s\n", f->kernels.name, lm_threads(), lm_threads() == 1 ? "" : "s",
           f->kernels.bf16_units ? "bf16" : "f32");
    printf("library    %s\n", strcmp(lm_onednn_version(), "none") ? lm_onednn_version() : "without oneDNN");
    if (f->f32_rate > 0) printf("f32        %.1f GFLOP/s in a large product\n", f->f32_rate / 1e9);
    if (f->bf16_rate > 0) printf("bf16       %.1f GFLOP/s in a large product\n", f->bf16_rate / 1e9);
    if (f->read_rate > 0)
        printf("weights    read at %.1f GB/s: a model of 1 GB gives at most %.2g tokens/s\n", f->read_rate / 1e9, f->read_rate / 1e9);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const doctor_options *o = call->values;
    LM_TRY(lm_call_args(call, 0, 0, "no arguments", err));
    findings f;
    LM_TRY(examine(&f, call, err));
    if (o->json) print_json(&f);
    else print_plain(&f);
    return LM_OK;
}

const lm_command lm_command_doctor = {
    .name = "doctor", .group = "this machine", .summary = "what this machine offers, and how fast it is",
    .usage = "[options]", .example = "malmoi doctor",
    .notes = "Takes about a second.  Other work on the machine lowers what it measures.\n",
    .options = options, .values_size = sizeof(doctor_options), .run = run,
};
