/* oneDNN's matmul primitive behind the gemm slot: the only file that knows oneDNN.
 *
 * When it is used
 *   Only in the avx512 table, and only where g is not `deterministic`, for oneDNN may divide k among
 *   threads.  Products in bf16 go to it where the machine has units for them (AMX, AVX512_BF16): there
 *   is nothing of our own that uses those.  Everything else is ours: on AVX2 our f32 product is as fast
 *   as oneDNN's (docs/log.md).  f32 works here too, and the tests hold it, so a machine on which it
 *   measures better needs one line in `wanted`.
 *
 * What it takes
 *   Operands in the type of `compute`; bf16 products convert f32 and f16 operands first.  alpha = 1,
 *   beta = 0 or 1 (as a sum after the product, which goes with no `pre`).
 *
 * Primitives are made once per form and kept in a ring of the last CACHE_SIZE.  Both oneDNN and the
 * ring are used by one caller at a time, under a lock: a product takes all threads anyway.
 *
 * Built against 2.6.3 (Debian 12) and the headers of 3.13.2: 3.0 made descriptors opaque and joined
 * an operation's descriptor with its primitive's. */
#include "backend/cpu/onednn.h"

#if LM_ONEDNN

#include "backend/cpu/gemm_own.h"
#include "backend/weight.h"
#include "base/thread.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the library ------------------------------------------------------------------- */

/* oneDNN has 40 MB, and most runs never call it: it is loaded when it is first wanted, which makes every
 * start shorter by several milliseconds and lets the program run where it is not installed. */
#define CALLS(X) \
    X(engine_create) X(memory_create) X(memory_desc_get_size) X(memory_destroy) X(memory_set_data_handle) \
    X(post_ops_append_eltwise) X(post_ops_append_sum) X(post_ops_create) X(post_ops_destroy) \
    X(primitive_attr_create) X(primitive_attr_destroy) X(primitive_attr_set_post_ops) \
    X(primitive_attr_set_scratchpad_mode) X(primitive_create) X(primitive_desc_destroy) \
    X(primitive_desc_query_md) X(primitive_destroy) X(primitive_execute) X(stream_create) X(stream_wait) \
    X(version) \
    CALLS_OF_VERSION(X)

#if DNNL_VERSION_MAJOR >= 3
#define CALLS_OF_VERSION(X) \
    X(memory_desc_create_with_strides) X(memory_desc_destroy) X(matmul_primitive_desc_create)
#else
#define CALLS_OF_VERSION(X) \
    X(memory_desc_init_by_strides) X(matmul_desc_init) X(primitive_desc_create)
#endif

static struct {
#define X(name) __typeof__(dnnl_##name) *name;
    CALLS(X)
#undef X
} dnn;

#define TEXT_OF(x) #x
#define SONAME(major) "libdnnl.so." TEXT_OF(major)

static void load(void)
{
    void *library = dlopen(SONAME(DNNL_VERSION_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    bool complete = true;
#define X(name) complete &= (*(void **)&dnn.name = dlsym(library, "dnnl_" #name)) != NULL;
    CALLS(X)
#undef X
    if (complete) return;
    memset(&dnn, 0, sizeof dnn);
    dlclose(library);
}

static bool loaded(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return dnn.version != NULL;
}

const char *lm_onednn_version(void)
{
    static char text[32];                                /* always filled with the same bytes */
    if (!loaded()) return "none";
    const dnnl_version_t *v = dnn.version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

/* ---- what the two interfaces name differently --------------------------------- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t desc;
typedef const_dnnl_memory_desc_t desc_view;

static dnnl_status_t desc_make(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnn.memory_desc_create_with_strides(d, 2, dims, type, strides);
}

static desc_view view(const desc *d) { return *d; }
static void desc_drop(desc *d) { if (*d) dnn.memory_desc_destroy(*d); }

static void append_sum(dnnl_post_ops_t ops) { dnn.post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef); }
static void append_act(dnnl_post_ops_t ops, dnnl_alg_kind_t act) { dnn.post_ops_append_eltwise(ops, act, act == dnnl_eltwise_swish, 0); }

static dnnl_status_t matmul_make(dnnl_primitive_desc_t *made, dnnl_engine_t engine, const desc *a, const desc *b, const desc *bias,
                                 const desc *c, dnnl_primitive_attr_t attr)
{
    return dnn.matmul_primitive_desc_create(made, engine, *a, *b, bias ? *bias : NULL, *c, attr);
}

#else

typedef dnnl_memory_desc_t desc;
typedef const dnnl_memory_desc_t *desc_view;

static dnnl_status_t desc_make(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnn.memory_desc_init_by_strides(d, 2, dims, type, strides);
}

static desc_view view(const desc *d) { return d; }
static void desc_drop(desc *d) { (void)d; }

static void append_sum(dnnl_post_ops_t ops) { dnn.post_ops_append_sum(ops, 1); }
static void append_act(dnnl_post_ops_t ops, dnnl_alg_kind_t act) { dnn.post_ops_append_eltwise(ops, 1, act, act == dnnl_eltwise_swish, 0); }

static dnnl_status_t matmul_make(dnnl_primitive_desc_t *made, dnnl_engine_t engine, const desc *a, const desc *b, const desc *bias,
                                 const desc *c, dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t op;
    dnnl_status_t status = dnn.matmul_desc_init(&op, a, b, bias, c);
    return status == dnnl_success ? dnn.primitive_desc_create(made, &op, attr, engine, NULL) : status;
}

#endif

/* ---- primitives ---------------------------------------------------------------- */

/* All that a primitive depends on; compared as bytes, so made from zeroed memory. */
typedef struct form {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t trans_a, trans_b, type, ct, bias_t, act, add, threads;      /* bias_t -1: no bias */
} form;

enum { SRC, WEIGHTS, BIAS, DST, SCRATCH, N_MEMORIES };
static const int argument[N_MEMORIES] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD };

/* primitive NULL: oneDNN has none for this form. */
typedef struct entry {
    form form;
    bool used;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[N_MEMORIES];
    size_t scratch_bytes;
} entry;

enum { CACHE_SIZE = 64 };

static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    entry ring[CACHE_SIZE];
    int next;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static dnnl_data_type_t type_of(int type) { return type == LM_F32 ? dnnl_f32 : type == LM_BF16 ? dnnl_bf16 : dnnl_f16; }

static dnnl_alg_kind_t act_of(int act)
{
    static const dnnl_alg_kind_t kinds[LM_N_ACTS] = {
        [LM_ACT_RELU] = dnnl_eltwise_relu, [LM_ACT_GELU] = dnnl_eltwise_gelu_erf, [LM_ACT_GELU_TANH] = dnnl_eltwise_gelu_tanh,
        [LM_ACT_SILU] = dnnl_eltwise_swish, [LM_ACT_TANH] = dnnl_eltwise_tanh,
    };
    return kinds[act];
}

static dnnl_primitive_attr_t attributes(const form *f)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnn.primitive_attr_create(&attr);
    dnn.primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    dnn.post_ops_create(&ops);
    if (f->add) append_sum(ops);
    if (f->act != LM_ACT_NONE) append_act(ops, act_of(f->act));
    dnn.primitive_attr_set_post_ops(attr, ops);
    dnn.post_ops_destroy(ops);
    return attr;
}

static void entry_drop(entry *e)
{
    for (int i = 0; i < N_MEMORIES; i++)
        if (e->memory[i]) dnn.memory_destroy(e->memory[i]);
    if (e->primitive) dnn.primitive_destroy(e->primitive);
    memset(e, 0, sizeof *e);
}

static dnnl_status_t memories_make(entry *e, const desc d[DST + 1], const_dnnl_primitive_desc_t made)
{
    for (int i = 0; i <= DST; i++) {
        if (i == BIAS && e->form.bias_t < 0) continue;
        dnnl_status_t status = dnn.memory_create(&e->memory[i], view(&d[i]), shared.engine, DNNL_MEMORY_NONE);
        if (status != dnnl_success) return status;
    }
    desc_view scratch = dnn.primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0);
    e->scratch_bytes = scratch ? dnn.memory_desc_get_size(scratch) : 0;
    if (!e->scratch_bytes) return dnnl_success;
    return dnn.memory_create(&e->memory[SCRATCH], scratch, shared.engine, DNNL_MEMORY_NONE);
}

/* Fills e for its form; on failure e->primitive stays NULL, which is remembered as well. */
static void entry_make(entry *e)
{
    const form *f = &e->form;
    desc d[DST + 1];
    memset(d, 0, sizeof d);
    dnnl_dims_t row = { 1, f->n }, row_strides = { f->n, 1 }, dims[DST + 1] = { [SRC] = { f->m, f->k }, [WEIGHTS] = { f->k, f->n },
                                                                            [DST] = { f->m, f->n } };
    dnnl_dims_t strides[DST + 1] = { [SRC] = { f->trans_a ? 1 : f->lda, f->trans_a ? f->lda : 1 },
                                     [WEIGHTS] = { f->trans_b ? 1 : f->ldb, f->trans_b ? f->ldb : 1 }, [DST] = { f->ldc, 1 } };
    bool biased = f->bias_t >= 0;
    dnnl_status_t status = desc_make(&d[SRC], dims[SRC], type_of(f->type), strides[SRC]);
    if (status == dnnl_success) status = desc_make(&d[WEIGHTS], dims[WEIGHTS], type_of(f->type), strides[WEIGHTS]);
    if (status == dnnl_success) status = desc_make(&d[DST], dims[DST], type_of(f->ct), strides[DST]);
    if (status == dnnl_success && biased) status = desc_make(&d[BIAS], row, type_of(f->bias_t), row_strides);

    dnnl_primitive_attr_t attr = attributes(f);
    dnnl_primitive_desc_t made = NULL;
    if (status == dnnl_success) status = matmul_make(&made, shared.engine, &d[SRC], &d[WEIGHTS], biased ? &d[BIAS] : NULL, &d[DST], attr);
    if (status == dnnl_success) status = memories_make(e, d, made);
    if (status == dnnl_success) status = dnn.primitive_create(&e->primitive, made);
    if (made) dnn.primitive_desc_destroy(made);
    dnn.primitive_attr_destroy(attr);
    for (int i = 0; i <= DST; i++) desc_drop(&d[i]);
    if (status != dnnl_success) e->primitive = NULL;
}

static bool engine_ready(void)
{
    if (shared.stream) return true;
    if (!loaded()) return false;
    if (!shared.engine && dnn.engine_create(&shared.engine, dnnl_cpu, 0) != dnnl_success) return false;
    return dnn.stream_create(&shared.stream, shared.engine, dnnl_stream_default_flags) == dnnl_success;
}

static entry *entry_for(const form *f)
{
    for (int i = 0; i < CACHE_SIZE; i++)
        if (shared.ring[i].used && !memcmp(&shared.ring[i].form, f, sizeof *f)) return &shared.ring[i];
    entry *e = &shared.ring[shared.next];
    shared.next = (shared.next + 1) % CACHE_SIZE;
    entry_drop(e);
    e->form = *f;
    e->used = true;
    entry_make(e);
    return e;
}

/* ---- operands ------------------------------------------------------------------ */

typedef struct conversion {
    uint16_t *to;
    const void *from;
    lm_dtype type;
    int64_t cols, ld;
} conversion;

static void convert_rows(int64_t begin, int64_t end, void *context)
{
    const conversion *c = context;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < c->cols; j++) c->to[i * c->cols + j] = lm_f32_to_bf16(lm_weight_at(c->from, c->type, i * c->ld + j));
}

/* The operand itself when it has `type` already; else a bf16 copy [rows, *ld] in *room, which the
 * caller frees. */
static const void *operand(void **room, const void *x, lm_dtype from, lm_dtype type, int64_t rows, int64_t cols, int64_t *ld)
{
    if (from == type) return x;
    *room = malloc((size_t)(rows * cols) * sizeof(uint16_t));
    if (!*room) LM_BUG("gemm: no memory for %lld numbers in bf16", (long long)(rows * cols));
    conversion c = { .to = *room, .from = x, .type = from, .cols = cols, .ld = *ld };
    lm_parallel(rows, 1 + (1 << 14) / cols, convert_rows, &c);
    *ld = cols;
    return *room;
}

static bool expressible(const lm_gemm *g)
{
    if (g->m <= 0 || g->n <= 0 || g->k <= 0 || g->bq) return false;
    if (g->compute == LM_F32 && (g->at != LM_F32 || g->bt != LM_F32)) return false;
    return g->alpha == 1 && (g->beta == 0 || (g->beta == 1 && !g->pre)) && !(g->bias && g->bias_t == LM_F16);
}

/* ---- the product --------------------------------------------------------------- */

static bool execute(entry *e, const void *const data[SCRATCH])
{
    void *scratch = NULL;
    if (e->scratch_bytes) {
        scratch = aligned_alloc(64, (e->scratch_bytes + 63) / 64 * 64);
        if (!scratch) return false;
    }
    dnnl_exec_arg_t args[N_MEMORIES];
    int n = 0;
    for (int i = 0; i < N_MEMORIES; i++) {
        if (!e->memory[i]) continue;
        dnn.memory_set_data_handle(e->memory[i], i == SCRATCH ? scratch : (void *)data[i]);
        args[n++] = (dnnl_exec_arg_t){ argument[i], e->memory[i] };
    }
    bool done = dnn.primitive_execute(e->primitive, shared.stream, n, args) == dnnl_success &&
                dnn.stream_wait(shared.stream) == dnnl_success;
    free(scratch);
    return done;
}

bool lm_onednn_gemm(const lm_gemm *g)
{
    if (!expressible(g)) return false;
    lm_dtype type = g->compute == LM_BF16 ? LM_BF16 : LM_F32;
    int64_t lda = g->lda, ldb = g->ldb;
    form f;
    memset(&f, 0, sizeof f);
    f.m = g->m, f.n = g->n, f.k = g->k, f.ldc = g->ldc;
    f.lda = g->at == type ? lda : g->trans_a ? g->m : g->k;
    f.ldb = g->bt == type ? ldb : g->trans_b ? g->k : g->n;
    f.trans_a = g->trans_a, f.trans_b = g->trans_b, f.type = type, f.ct = g->ct, f.bias_t = g->bias ? (int32_t)g->bias_t : -1;
    f.act = g->pre ? LM_ACT_NONE : g->act, f.add = g->beta != 0, f.threads = lm_threads();

    bool done = false;
    pthread_mutex_lock(&shared.lock);
    omp_set_num_threads(lm_threads());                   /* oneDNN asks OpenMP, which answers per thread */
    entry *e = engine_ready() ? entry_for(&f) : NULL;
    if (e && e->primitive) {
        void *a_room = NULL, *b_room = NULL;
        const void *data[SCRATCH] = {
            [SRC] = operand(&a_room, g->a, g->at, type, g->trans_a ? g->k : g->m, g->trans_a ? g->m : g->k, &lda),
            [WEIGHTS] = operand(&b_room, g->b, g->bt, type, g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, &ldb),
            [BIAS] = g->bias, [DST] = g->pre ? g->pre : g->c,
        };
        done = execute(e, data);
        free(a_room);
        free(b_room);
    }
    pthread_mutex_unlock(&shared.lock);
    if (done && g->pre) lm_avx512_gemm_activate(g);
    return done;
}

/* ---- the rule ------------------------------------------------------------------ */

static bool wanted(const lm_gemm *g)
{
    bool bound_by_memory = g->m <= GEMM_FEW_ROWS;
    return g->compute == LM_BF16 && !g->deterministic && !bound_by_memory && !g->bq;
}

static void gemm(const lm_gemm *g)
{
    if (!wanted(g) || !lm_onednn_gemm(g)) lm_avx512_gemm_product(g);
}

void lm_onednn_install(lm_kernels *k, const lm_cpu *cpu)
{
    if ((!cpu->amx_bf16 && !cpu->avx512_bf16) || !loaded()) return;
    k->bf16_units = true;
    k->gemm = gemm;
}

#else

const char *lm_onednn_version(void) { return "none"; }
bool lm_onednn_gemm(const lm_gemm *g) { (void)g; return false; }
void lm_onednn_install(lm_kernels *k, const lm_cpu *cpu) { (void)k; (void)cpu; }

#endif
