/* What the CPU offers: CPUID leaves 1, 7 and 0x80000002.. (Intel SDM, volume 2A, CPUID), and XCR0
 * (volume 1, section 13.3), which says the registers that the operating system saves.
 *
 * An instruction set counts only with both.  AMX needs one thing more, a permission per process
 * (arch_prctl, Linux 5.16), which oneDNN requests when it first uses the tiles. */
#define _GNU_SOURCE
#include "backend/backend.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct leaf { unsigned a, b, c, d; } leaf;

static leaf cpuid(unsigned number, unsigned sub)
{
    leaf l = { 0, 0, 0, 0 };
    __get_cpuid_count(number, sub, &l.a, &l.b, &l.c, &l.d);
    return l;
}

static bool bit(unsigned word, int i) { return word >> i & 1u; }

/* The register states that the system saves; 0 where it cannot be asked. */
static unsigned saved_states(void)
{
    if (!bit(cpuid(1, 0).c, 27)) return 0;                            /* OSXSAVE */
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static void name_of(char *model, size_t size)
{
    char text[49] = { 0 };
    if (cpuid(0x80000000u, 0).a < 0x80000004u) return;
    for (unsigned i = 0; i < 3; i++) {
        leaf l = cpuid(0x80000002u + i, 0);
        memcpy(text + 16 * i, &l, 16);
    }
    size_t start = strspn(text, " "), length = strlen(text);
    while (length > start && text[length - 1] == ' ') length--;
    length -= start;
    if (length == 0) return;
    if (length > size - 1) length = size - 1;
    memcpy(model, text + start, length);
    model[length] = 0;
}

static void detect(lm_cpu *cpu)
{
    name_of(cpu->model, sizeof cpu->model);
    leaf basic = cpuid(1, 0), ext = cpuid(7, 0), ext1 = cpuid(7, 1);
    if (ext.a < 1) ext1 = (leaf){ 0, 0, 0, 0 };                       /* no subleaf 1: its contents mean nothing */
    unsigned saved = saved_states();
    bool ymm = (saved & 0x6u) == 0x6u, zmm = (saved & 0xE6u) == 0xE6u, tiles = (saved & 0x60000u) == 0x60000u;

    bool fma = bit(basic.c, 12), f16c = bit(basic.c, 29), avx2 = bit(ext.b, 5);
    bool f = bit(ext.b, 16), dq = bit(ext.b, 17), bw = bit(ext.b, 30), vl = bit(ext.b, 31);
    cpu->avx2 = ymm && avx2 && fma && f16c;
    cpu->avx512 = cpu->avx2 && zmm && f && dq && bw && vl;
    cpu->avx512_vnni = cpu->avx512 && bit(ext.c, 11);
    cpu->avx512_bf16 = cpu->avx512 && bit(ext1.a, 5);
    cpu->amx_bf16 = tiles && bit(ext.d, 24) && bit(ext.d, 22);
    cpu->amx_int8 = tiles && bit(ext.d, 24) && bit(ext.d, 25);
}
#else
static void detect(lm_cpu *cpu) { (void)cpu; }
#endif

lm_cpu lm_cpu_detect(void)
{
    lm_cpu cpu = { .model = "unknown", .cores = usable_cores() };
    detect(&cpu);
    return cpu;
}
