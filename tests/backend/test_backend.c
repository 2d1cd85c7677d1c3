/* Choosing a backend: names, what the machine lacks, and the null backend's promise. */
#include "common/test.h"
#include "backend/backend.h"

#include <string.h>

static void assert_complete(const lm_kernels *k)
{
#define LM_SLOT(slot, params) if (!k->slot) fail_msg("%s: no %s", k->name, #slot);
#define LM_SLOT_REAL(slot, params) \
    for (int r = 0; r < LM_N_REALS; r++) if (!k->slot[r]) fail_msg("%s: no %s[%d]", k->name, #slot, r);
    LM_KERNELS(LM_SLOT, LM_SLOT_REAL)
#undef LM_SLOT
#undef LM_SLOT_REAL
}

static void test_names(void **state)
{
    (void)state;
    lm_cpu cpu = lm_cpu_detect();
    const struct { const char *name, *chosen; bool runs; } cases[] = {
        { "ref", "ref", true }, { "null", "null", true }, { "avx2", "avx2", cpu.avx2 }, { "avx512", "avx512", cpu.avx512 },
        { "auto", cpu.avx512 ? "avx512" : cpu.avx2 ? "avx2" : "ref", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lm_kernels k;
        lm_err err = { 0 };
        lm_status status = lm_backend(&k, cases[i].name, &err);
        assert_int_equal(status, cases[i].runs ? LM_OK : LM_E_UNSUPPORTED);
        if (!cases[i].runs) {
            assert_non_null(strstr(err.message, cases[i].name));
            continue;
        }
        assert_string_equal(k.name, cases[i].chosen);
        assert_int_equal(k.computes, strcmp(k.name, "null") != 0);
        assert_complete(&k);
    }
}

static void test_unknown_name(void **state)
{
    (void)state;
    lm_kernels k;
    lm_err err = { 0 };
    assert_int_equal(lm_backend(&k, "gpu", &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "gpu"));
    assert_non_null(strstr(err.message, "avx2"));
}

/* bf16 is worth computing in only where a unit for it exists, and not in another ISA's table. */
static void test_bf16_units(void **state)
{
    (void)state;
    lm_cpu cpu = lm_cpu_detect();
    lm_kernels k;
    assert_int_equal(lm_backend(&k, "auto", NULL), LM_OK);
    if (k.bf16_units) assert_true(cpu.avx512_bf16 || cpu.amx_bf16);
    assert_int_equal(lm_backend(&k, "ref", NULL), LM_OK);
    assert_false(k.bf16_units);
}

/* Tensors of the null backend have no memory: any access to these addresses would crash. */
static void test_null_touches_nothing(void **state)
{
    (void)state;
    lm_kernels k;
    assert_int_equal(lm_backend(&k, "null", NULL), LM_OK);
    char *nowhere = (char *)16;
    k.gemm(&(lm_gemm){ .c = nowhere, .a = nowhere, .b = nowhere, .m = 9, .n = 9, .k = 9, .lda = 9, .ldb = 9, .ldc = 9 });
    k.zero(nowhere, 1 << 20);
    k.copy(nowhere, nowhere, 1 << 20);
    k.add[LM_BF16](nowhere, nowhere, NULL, 1, 0, 1 << 20);
    double squares = 7;
    k.sum_squares(&squares, (const float *)nowhere, 1 << 20);
    k.dot((float *)nowhere, (const float *)nowhere, NULL, 1 << 20);
    assert_true(squares == 0);
}

/* The kernel's own account (Linux, /proc/cpuinfo) names the same features. */
static void test_detection_agrees_with_the_system(void **state)
{
    (void)state;
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[8192], flags[8192] = "";
    while (file && !flags[0] && fgets(line, sizeof line, file))
        if (!strncmp(line, "flags", 5)) snprintf(flags, sizeof flags, "%s", line);
    if (file) fclose(file);
    if (!flags[0]) {
        printf("skipped: no flags in /proc/cpuinfo\n");
        skip();
    }
    flags[strcspn(flags, "\n")] = ' ';
    lm_cpu cpu = lm_cpu_detect();
    assert_int_equal(cpu.avx2, strstr(flags, " avx2 ") && strstr(flags, " fma ") && strstr(flags, " f16c "));
    assert_int_equal(cpu.avx512, strstr(flags, " avx512f ") && strstr(flags, " avx512bw ") &&
                                 strstr(flags, " avx512dq ") && strstr(flags, " avx512vl "));
    assert_int_equal(cpu.avx512_bf16, strstr(flags, " avx512_bf16 ") != NULL);
    assert_int_equal(cpu.amx_bf16, strstr(flags, " amx_bf16 ") != NULL);
    assert_true(cpu.cores >= 1);
    assert_true(strlen(cpu.model) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_name),
        cmocka_unit_test(test_bf16_units),
        cmocka_unit_test(test_null_touches_nothing),
        cmocka_unit_test(test_detection_agrees_with_the_system),
    };
    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
