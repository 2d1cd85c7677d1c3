#include "peft/combine.h"

#include "base/str.h"
#include "peft/truncated_svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const lm_combine_methods[] = { "svd", "linear", "cat", "ties", "ties_svd", "dare_linear", "dare_linear_svd",
                                           "dare_ties", "dare_ties_svd", "magnitude_prune", "magnitude_prune_svd", NULL };

static const char *method_of(const lm_combine *c) { return lm_combine_methods[c->method]; }
static bool is_cat(const lm_combine *c) { return !strcmp(method_of(c), "cat"); }
static bool is_svd(const lm_combine *c) { return lm_ends_with(method_of(c), "svd"); }

/* Adapters that have a module, with their tensors of one kind. */
typedef struct tensors {
    float **data;
    double *weight;
    int n;
    int64_t numel;
} tensors;

/* ---- the rules ---- */

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Zeroes all but the floor(density * n) largest; of equals at the edge the first stay. */
static void trim(float *x, int64_t n, double density)
{
    int64_t keep = (int64_t)(density * (double)n), above = 0;
    if (density >= 1) return;
    float *size = lm_malloc((size_t)n * sizeof *size);
    for (int64_t i = 0; i < n; i++) size[i] = fabsf(x[i]);
    qsort(size, (size_t)n, sizeof *size, descending);
    float edge = keep > 0 ? size[keep - 1] : INFINITY;
    free(size);
    for (int64_t i = 0; i < n; i++) above += fabsf(x[i]) > edge;
    int64_t at_edge = keep - above;
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) > edge) && !(fabsf(x[i]) == edge && at_edge-- > 0)) x[i] = 0;
}

static void drop(float *x, int64_t n, double density, uint64_t seed, uint64_t stream)
{
    lm_rng rng = { .seed = seed, .stream = stream };
    if (density >= 1) return;
    for (int64_t i = 0; i < n; i++) x[i] = lm_rng_unit(&rng) < density ? (float)(x[i] / density) : 0;
}

static void add_up(float *out, const tensors *t)
{
    for (int64_t j = 0; j < t->numel; j++) {
        double sum = 0;
        for (int i = 0; i < t->n; i++) sum += t->weight[i] * t->data[i][j];
        out[j] = (float)sum;
    }
}

static int sign_of(double x) { return (x > 0) - (x < 0); }

static void elect(float *out, const tensors *t)
{
    for (int64_t j = 0; j < t->numel; j++) {
        float all = 0;
        double sum = 0;
        int agree = 0;
        for (int i = 0; i < t->n; i++) all += t->data[i][j];
        for (int i = 0; i < t->n; i++) {
            if (sign_of((double)t->data[i][j]) != (all >= 0 ? 1 : -1)) continue;
            sum += t->weight[i] * t->data[i][j];
            agree++;
        }
        out[j] = (float)(sum / (agree ? agree : 1));
    }
}

/* Changes the tensors as the method has it, and makes one of them. */
static void apply_rule(float *out, const lm_combine *c, const tensors *t, const char *name)
{
    const char *method = method_of(c);
    for (int i = 0; i < t->n; i++) {
        if (lm_starts_with(method, "ties") || lm_starts_with(method, "magnitude")) trim(t->data[i], t->numel, c->density);
        if (lm_starts_with(method, "dare")) drop(t->data[i], t->numel, c->density, c->seed + (uint64_t)i, lm_hash(name, strlen(name), 0));
    }
    if (strstr(method, "ties")) elect(out, t);
    else add_up(out, t);
}

/* ---- one module ---- */

typedef struct module {
    const char *name;
    const lm_lora_module **of;           /* [n] each adapter's, or NULL */
    const lm_lora_module *any;
    lm_param *a, *b;
} module;

static tensors tensors_make(const lm_combine *c, int64_t numel)
{
    return (tensors){ lm_calloc((size_t)c->n, sizeof(float *)), lm_calloc((size_t)c->n, sizeof(double)), 0, numel };
}

static void tensors_free(tensors *t)
{
    for (int i = 0; i < t->n; i++) free(t->data[i]);
    free(t->data);
    free(t->weight);
}

/* All A, or all B, through the rule. */
static lm_status combine_factors(const lm_combine *c, const module *m, lm_param *out, bool up, lm_err *err)
{
    tensors t = tensors_make(c, lm_numel(&out->t));
    lm_status status = LM_OK;
    for (int i = 0; i < c->n && status == LM_OK; i++) {
        if (!m->of[i]) continue;
        double scale = c->weights[i] * m->of[i]->scale;
        status = lm_lora_read(&t.data[t.n], up ? m->of[i]->b : m->of[i]->a, err);
        if (status == LM_OK) t.weight[t.n++] = sqrt(fabs(scale)) * (!up && scale < 0 ? -1 : 1);
    }
    if (status == LM_OK) apply_rule(out->t.data, c, &t, out->t.name);
    tensors_free(&t);
    return status;
}

/* Pairs side by side, from row `at` of A and column `at` of B on. */
static lm_status put_beside(const lm_lora_module *from, double weight, lm_param *a, lm_param *b, int64_t at, lm_err *err)
{
    float *x = NULL, *y = NULL, *down = a->t.data, *up = b->t.data;
    int64_t rank = a->t.dim[0];
    lm_status status = lm_lora_read(&x, from->a, err);
    if (status == LM_OK) status = lm_lora_read(&y, from->b, err);
    for (int64_t i = 0; status == LM_OK && i < from->r * from->in; i++) down[at * from->in + i] = (float)(weight * from->scale) * x[i];
    for (int64_t i = 0; status == LM_OK && i < from->out * from->r; i++) up[i / from->r * rank + at + i % from->r] = y[i];
    free(x);
    free(y);
    return status;
}

static lm_status concatenate(const lm_combine *c, const module *m, lm_param *a, lm_param *b, lm_err *err)
{
    int64_t at = 0;
    for (int i = 0; i < c->n; i++) {
        if (!m->of[i]) continue;
        LM_TRY(put_beside(m->of[i], c->weights[i], a, b, at, err));
        at += m->of[i]->r;
    }
    return LM_OK;
}

/* The update scale * B A [out, in]; the caller frees. */
static lm_status update_of(float **out, const lm_combine *c, const lm_lora_module *m, lm_err *err)
{
    float *a = NULL, *b = NULL;
    lm_status status = lm_lora_read(&a, m->a, err);
    if (status == LM_OK) status = lm_lora_read(&b, m->b, err);
    if (status == LM_OK) {
        *out = lm_malloc((size_t)(m->out * m->in) * sizeof **out);
        c->k->gemm(&(lm_gemm){ .c = *out, .ldc = m->in, .m = m->out, .n = m->in, .k = m->r, .alpha = (float)m->scale, .a = b, .lda = m->r,
                               .b = a, .ldb = m->in });
    }
    free(a);
    free(b);
    return status;
}

static lm_status combine_updates(const lm_combine *c, const module *m, lm_err *err)
{
    tensors t = tensors_make(c, m->any->out * m->any->in);
    lm_status status = LM_OK;
    for (int i = 0; i < c->n && status == LM_OK; i++) {
        if (!m->of[i]) continue;
        status = update_of(&t.data[t.n], c, m->of[i], err);
        if (status == LM_OK) t.weight[t.n++] = c->weights[i];
    }
    float *sum = lm_malloc((size_t)t.numel * sizeof *sum);
    if (status == LM_OK) {
        apply_rule(sum, c, &t, m->name);
        lm_truncated_svd(c->k, m->b->t.data, m->a->t.data, sum, m->any->out, m->any->in, m->a->t.dim[0]);
    }
    free(sum);
    tensors_free(&t);
    return status;
}

static lm_status combine_module(const lm_combine *c, const module *m, lm_err *err)
{
    if (is_cat(c)) return concatenate(c, m, m->a, m->b, err);
    if (is_svd(c)) return combine_updates(c, m, err);
    LM_TRY(combine_factors(c, m, m->a, false, err));
    return combine_factors(c, m, m->b, true, err);
}

/* ---- all of them ---- */

static lm_status check_shapes(const lm_combine *c, const module *m, lm_err *err)
{
    for (int i = 0; i < c->n; i++) {
        const lm_lora_module *o = m->of[i], *p = m->any;
        if (!o || (o->in == p->in && o->out == p->out && o->embedding == p->embedding)) continue;
        return lm_fail(err, LM_E_MISMATCH, "%s: %s is [%lld, %lld], another adapter has [%lld, %lld]: they were made on different bases", c->folders[i].path,
                       o->name, (long long)o->out, (long long)o->in, (long long)p->out, (long long)p->in);
    }
    return LM_OK;
}

static int64_t largest_rank(const lm_lora_folder *f)
{
    int64_t most = 0;
    for (int64_t i = 0; i < f->n; i++) most = f->modules[i].r > most ? f->modules[i].r : most;
    return most;
}

/* The rules work number by number, so ranks agree; svd makes its own. */
static lm_status choose_rank(int64_t *rank, const lm_combine *c, lm_err *err)
{
    int64_t first = largest_rank(&c->folders[0]), most = 0, sum = 0;
    for (int i = 0; i < c->n; i++) {
        int64_t r = largest_rank(&c->folders[i]);
        most = r > most ? r : most;
        sum += r;
        for (int64_t j = 0; j < c->folders[i].n && !is_cat(c) && !is_svd(c); j++)
            if (c->folders[i].modules[j].r != first)
                return lm_fail(err, LM_E_MISMATCH, "%s: %s has rank %lld, %s has %lld: %s wants one rank; cat and svd do not", c->folders[i].path,
                               c->folders[i].modules[j].name, (long long)c->folders[i].modules[j].r, c->folders[0].path, (long long)first, method_of(c));
    }
    *rank = is_cat(c) ? sum : is_svd(c) && c->rank ? c->rank : most;
    return LM_OK;
}

static lm_status one_module(const lm_combine *c, const char *name, int64_t rank, lm_params *out, lm_err *err)
{
    module m = { .name = name, .of = lm_calloc((size_t)c->n, sizeof *m.of) };
    for (int i = c->n; i-- > 0;)
        if ((m.of[i] = lm_lora_folder_find(&c->folders[i], name))) m.any = m.of[i];
    lm_status status = check_shapes(c, &m, err);
    int64_t least = m.any->in < m.any->out ? m.any->in : m.any->out;
    if (status == LM_OK && rank > least && !is_cat(c))
        status = lm_fail(err, LM_E_USAGE, "rank %lld is larger than a side of %s, which is %lld by %lld", (long long)rank, name, (long long)m.any->out, (long long)m.any->in);
    if (status == LM_OK) {
        bool table = m.any->embedding;
        m.a = lm_param_declare(out, LM_INIT_ZERO, 0, 2, (int64_t[]){ rank, m.any->in }, table ? "base_model.model.%s.lora_embedding_A" : "base_model.model.%s.lora_A.weight", name);
        m.b = lm_param_declare(out, LM_INIT_ZERO, 0, 2, (int64_t[]){ m.any->out, rank }, table ? "base_model.model.%s.lora_embedding_B" : "base_model.model.%s.lora_B.weight", name);
        status = lm_params_initialise(out, 0, err);
    }
    if (status == LM_OK) status = combine_module(c, &m, err);
    free(m.of);
    return status;
}

lm_status lm_combine_run(const lm_combine *c, lm_params *out, int64_t *rank, lm_err *err)
{
    LM_TRY(choose_rank(rank, c, err));
    for (int i = 0; i < c->n; i++)
        for (int64_t j = 0; j < c->folders[i].n; j++) {
            const char *name = c->folders[i].modules[j].name;
            bool seen = false;
            for (int b = 0; b < i && !seen; b++) seen = lm_lora_folder_find(&c->folders[b], name) != NULL;
            if (!seen) LM_TRY(one_module(c, name, *rank, out, err));
        }
    return LM_OK;
}
