/* AdaLoRA (Zhang et al. 2023, "AdaLoRA: Adaptive budget allocation for parameter-efficient fine-tuning"): an
 * update in the form of a singular value decomposition, whose least important values are set to zero.
 *
 *   y = W x + scale * B (E * (A dropout(x)))         A [r, in], E [r, 1], B [out, r],  scale = alpha / (init_r + 1e-5)
 *   loss += weight * mean over all A, B of |A A^T - I|_F, |B^T B - I|_F                            (equation 4)
 *
 * After each step, for every number w with gradient g (equations 9 to 11):
 *
 *   I = |w g|,   M <- beta1 M + (1 - beta1) I,   U <- beta2 U + (1 - beta2) |I - M|,   s = M U
 *
 * A triplet's importance is s(E_j) + mean s(A_j) + mean s(B_j) (equation 7), and every deltaT steps only the
 * budget's best triplets keep their E (equation 12).  The budget falls from init_r to target_r per linear along
 * a cubic between tinit and total - tfinal; from then on the choice stays.  As in PEFT, w is the weight after
 * its update; the gradient is that before clipping.
 *
 * E starts as zeros, so the adapted model starts as the base.  Files hold the triplets that are left, and
 * rank_pattern says which they were.  What the allocator remembers is in a->state. */
#include "peft/low_rank.h"
#include "peft/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct adalora_options {
    int64_t init_r, target_r, tinit, tfinal, delta_t, total_step;
    double alpha, dropout, beta1, beta2, weight;
    lm_strings target_modules, modules_to_save, layers;
} adalora_options;

enum { A, B, E, N_PARAMS };
enum { MEAN = 0, UNCERTAINTY = N_PARAMS, MASK = 2 * N_PARAMS, N_STATES };     /* of a link in a->state */

static const lm_option options[] = {
    LM_OPTION(INT, adalora_options, init_r, "init-r", .fallback = "12", .help = "rank of every linear at the start", .min = 1, .max = 65536),
    LM_OPTION(INT, adalora_options, target_r, "target-r", .fallback = "8", .help = "mean rank at the end", .min = 1, .max = 65536),
    LM_OPTION(REAL, adalora_options, alpha, "lora-alpha", .fallback = "32", .min = 1e-6, .max = 1e6, .help = "the update is scaled by alpha / init-r"),
    LM_OPTION(REAL, adalora_options, dropout, "lora-dropout", .fallback = "0", .help = "dropout on the adapter's input", .max = 0.99),
    LM_OPTION(INT, adalora_options, tinit, "tinit", .fallback = "0", .min = 0, .max = 1e12, .help = "steps before the budget falls"),
    LM_OPTION(INT, adalora_options, tfinal, "tfinal", .fallback = "0", .min = 0, .max = 1e12, .help = "steps at the end with the final choice"),
    LM_OPTION(INT, adalora_options, delta_t, "delta-t", .fallback = "1", .min = 1, .max = 1e12, .help = "steps between two choices"),
    LM_OPTION(INT, adalora_options, total_step, "total-step", .fallback = "0", .min = 0, .max = 1e12, .help = "steps that the budget is planned for (0: the run's)"),
    LM_OPTION(REAL, adalora_options, beta1, "importance-beta1", .fallback = "0.85", .min = 1e-6, .max = 0.999999, .help = "smoothing of the importance"),
    LM_OPTION(REAL, adalora_options, beta2, "importance-beta2", .fallback = "0.85", .min = 1e-6, .max = 0.999999, .help = "smoothing of its uncertainty"),
    LM_OPTION(REAL, adalora_options, weight, "orth-reg-weight", .fallback = "0.5", .max = 1e6, .help = "weight of the orthogonality penalty"),
    LM_OPTION(LIST, adalora_options, target_modules, "target-modules", .fallback = "all-linear", .metavar = "NAME,..",
              .help = "linears by suffix (q_proj,v_proj), one regular expression, or all-linear"),
    LM_OPTION(LIST, adalora_options, layers, "layers-to-transform", .metavar = "N,..", .help = "layers that are adapted, counted from 0 (default: all)"),
    LM_OPTION(LIST, adalora_options, modules_to_save, "modules-to-save", .metavar = "NAME,..",
              .help = "modules trained whole and saved with the adapter (lm_head)"),
    { 0 },
};

static int64_t rank_of(const lm_link *l) { return l->param[A]->t.dim[0]; }

static void attach_site(lm_adapter *a, lm_linear_site *site)
{
    const adalora_options *o = a->options;
    if (lm_peft_layers_have(&o->layers, site->name)) lm_adapter_link(a, site);
}

/* How many triplets a file has of a linear: those that its rank_pattern marks, or init_r. */
static lm_status stored_rank(const lm_link *l, int64_t *r, lm_err *err)
{
    const adalora_options *o = l->adapter->options;
    const lm_json *patterns = l->adapter->config ? lm_json_get(l->adapter->config, "rank_pattern") : NULL;
    char name[600];
    snprintf(name, sizeof name, "%s.lora_E", l->site->name);
    const lm_json *pattern = patterns ? lm_json_get(patterns, name) : NULL;
    *r = o->init_r;
    if (!pattern) return LM_OK;
    if (!json_is_array(pattern) || json_array_size(pattern) != (size_t)o->init_r)
        return lm_fail(err, LM_E_FORMAT, "rank_pattern: %s: expected a list of %lld", name, (long long)o->init_r);
    *r = 0;
    for (size_t i = 0; i < json_array_size(pattern); i++) *r += json_is_true(json_array_get(pattern, i));
    return LM_OK;
}

static void declare(lm_params *ps, lm_param **out, const char *name, int64_t in, int64_t r, int64_t n)
{
    out[A] = lm_param_declare(ps, LM_INIT_NORMAL, 0.02f, 2, (int64_t[]){ r, in }, "%s.lora_A", name);
    out[B] = lm_param_declare(ps, LM_INIT_NORMAL, 0.02f, 2, (int64_t[]){ n, r }, "%s.lora_B", name);
    out[E] = lm_param_declare(ps, LM_INIT_ZERO, 0, 2, (int64_t[]){ r, 1 }, "%s.lora_E", name);
}

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const adalora_options *o = a->options;
    LM_TRY(lm_peft_layers_check(a, &o->layers, err));
    LM_TRY(lm_adapter_targets(a, &o->target_modules, attach_site, err));
    if (!a->n_links) return lm_fail(err, LM_E_USAGE, "no target module stands in the layers to transform");
    if (o->target_r > o->init_r)
        return lm_fail(err, LM_E_USAGE, "target rank %lld is larger than the initial rank %lld", (long long)o->target_r, (long long)o->init_r);
    for (int64_t i = 0; i < a->n_links; i++) {
        lm_link *l = a->links[i];
        const lm_linear_site *s = l->site;
        int64_t r;
        if (o->init_r > s->in || o->init_r > s->out)
            return lm_fail(err, LM_E_USAGE, "rank %lld is larger than a side of %s, which is %lld by %lld",
                           (long long)o->init_r, s->name, (long long)s->out, (long long)s->in);
        LM_TRY(stored_rank(l, &r, err));
        l->scale = (float)(o->alpha / ((double)o->init_r + 1e-5));
        declare(&a->params, l->param, s->name, s->in, r, s->out);
    }
    return lm_adapter_save_modules(a, &o->modules_to_save, err);
}

static lm_tensor *output(const lm_forward *f, const lm_link *l, lm_tensor *x, lm_tensor *y)
{
    const adalora_options *o = l->adapter->options;
    if (!rank_of(l)) return y;
    lm_tensor *h = lm_linear(f->t, lm_dropout(f->t, x, (float)o->dropout), &l->param[A]->t, NULL);
    return lm_linear_add_(f->t, y, lm_scale_columns(f->t, h, &l->param[E]->t), &l->param[B]->t, l->scale, false);
}

static lm_tensor *penalty(lm_tape *t, lm_adapter *a)
{
    const adalora_options *o = a->options;
    lm_tensor *sum = NULL;
    for (int64_t i = 0; i < a->n_links && o->weight > 0; i++)
        for (int p = A; p <= B; p++) {
            lm_tensor *one = lm_orthogonality(t, &a->links[i]->param[p]->t, p == B);
            sum = sum ? lm_add(t, sum, one) : one;
        }
    return sum ? lm_scale(t, sum, (float)(o->weight / (2 * (double)a->n_links))) : NULL;
}

/* ---- the budget ---- */

static lm_param *state_of(const lm_adapter *a, int64_t link, int which) { return a->state.items[link * N_STATES + which]; }

static lm_status prepare(lm_adapter *a, int64_t steps, lm_err *err)
{
    static const char *const kinds[] = { "importance", "uncertainty" };
    adalora_options *o = a->options;
    if (!o->total_step) o->total_step = steps;
    if (o->tinit >= o->total_step - o->tfinal)
        return lm_fail(err, LM_E_USAGE, "--tinit %lld and --tfinal %lld leave none of %lld steps for the budget to fall in",
                       (long long)o->tinit, (long long)o->tfinal, (long long)o->total_step);
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_link *l = a->links[i];
        for (int s = 0; s < MASK; s++) {
            const lm_tensor *t = &l->param[s % N_PARAMS]->t;
            lm_param_declare(&a->state, LM_INIT_ZERO, 0, t->ndim, t->dim, "%s:%s", kinds[s / N_PARAMS], t->name);
        }
        lm_param_declare(&a->state, LM_INIT_ONE, 0, 2, l->param[E]->t.dim, "mask:%s", l->param[E]->t.name);
    }
    return lm_params_initialise(&a->state, 0, err);
}

/* M and U of one parameter. */
static void remember(const adalora_options *o, const lm_param *p, float *mean, float *uncertainty)
{
    const float *w = p->t.data, *g = p->grad.fresh ? NULL : p->grad.data;
    float beta1 = (float)o->beta1, beta2 = (float)o->beta2;
    for (int64_t i = 0; i < lm_numel(&p->t); i++) {
        float importance = g ? fabsf(w[i] * g[i]) : 0;
        mean[i] = beta1 * mean[i] + (1 - beta1) * importance;
        uncertainty[i] = beta2 * uncertainty[i] + (1 - beta2) * fabsf(importance - mean[i]);
    }
}

/* Importance of every triplet of a link. */
static void score(const lm_adapter *a, int64_t link, float *out)
{
    const lm_link *l = a->links[link];
    const float *mean[N_PARAMS], *uncertainty[N_PARAMS];
    for (int p = 0; p < N_PARAMS; p++) mean[p] = state_of(a, link, MEAN + p)->t.data, uncertainty[p] = state_of(a, link, UNCERTAINTY + p)->t.data;
    int64_t r = rank_of(l), in = l->site->in, n = l->site->out;
    for (int64_t j = 0; j < r; j++) {
        double down = 0, up = 0;
        for (int64_t i = 0; i < in; i++) down += (double)mean[A][j * in + i] * uncertainty[A][j * in + i];
        for (int64_t i = 0; i < n; i++) up += (double)mean[B][i * r + j] * uncertainty[B][i * r + j];
        out[j] = (float)((double)mean[E][j] * uncertainty[E][j] + down / (double)in + up / (double)n);
    }
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void apply_mask(const lm_adapter *a, int64_t link)
{
    const float *mask = state_of(a, link, MASK)->t.data;
    float *e = a->links[link]->param[E]->t.data;
    for (int64_t j = 0; j < rank_of(a->links[link]); j++)
        if (mask[j] == 0) e[j] = 0;
}

/* Keeps the `budget` most important triplets of all links. */
static void choose(lm_adapter *a, int64_t budget)
{
    int64_t r = ((const adalora_options *)a->options)->init_r, all = r * a->n_links, drop = all - budget;
    float *scores = lm_malloc(2 * (size_t)all * sizeof *scores), *sorted = scores + all;
    for (int64_t i = 0; i < a->n_links; i++) score(a, i, scores + i * r);
    memcpy(sorted, scores, (size_t)all * sizeof *sorted);
    qsort(sorted, (size_t)all, sizeof *sorted, ascending);
    for (int64_t i = 0; i < a->n_links; i++) {
        float *mask = state_of(a, i, MASK)->t.data;
        for (int64_t j = 0; j < r; j++) mask[j] = drop < 1 || scores[i * r + j] > sorted[drop - 1];
        apply_mask(a, i);
    }
    free(scores);
}

static int64_t budget_at(const lm_adapter *a, int64_t step)
{
    const adalora_options *o = a->options;
    double left = 1 - (double)(step - o->tinit) / (double)(o->total_step - o->tfinal - o->tinit);
    double first = (double)(o->init_r * a->n_links), last = (double)(o->target_r * a->n_links);
    return (int64_t)((first - last) * left * left * left + last);
}

static void after_step(lm_adapter *a, int64_t step)
{
    const adalora_options *o = a->options;
    int64_t last = o->total_step - o->tfinal;
    if (!a->params.k->computes) return;
    for (int64_t i = 0; i < a->n_links && step < last; i++)
        for (int p = 0; p < N_PARAMS; p++)
            remember(o, a->links[i]->param[p], state_of(a, i, MEAN + p)->t.data, state_of(a, i, UNCERTAINTY + p)->t.data);
    if (step == last || (step < last && step > o->tinit && step % o->delta_t == 0)) choose(a, budget_at(a, step));
    for (int64_t i = 0; i < a->n_links && step > last; i++) apply_mask(a, i);
}

/* ---- merging and files ---- */

/* W += scale * B E A */
static lm_status merge(const lm_link *l, bool undo, lm_err *err)
{
    (void)err;
    const lm_linear_site *s = l->site;
    const lm_kernels *k = l->adapter->params.k;
    int64_t r = rank_of(l);
    if (!r) return LM_OK;
    float *up = lm_malloc((size_t)(s->out * r) * sizeof *up);            /* B E */
    k->scale_columns[LM_F32](up, l->param[B]->t.data, l->param[E]->t.data, s->out, r, false);
    lm_low_rank_add(k, s, up, l->param[A]->t.data, s->in, r, undo ? -l->scale : l->scale);
    free(up);
    return LM_OK;
}

/* A triplet is dropped when the last choice dropped it and it has not come back since. */
static bool is_kept(const lm_adapter *a, int64_t link, int64_t j)
{
    const float *e = a->links[link]->param[E]->t.data;
    return !a->state.n || ((const float *)state_of(a, link, MASK)->t.data)[j] != 0 || e[j] != 0;
}

static int64_t kept_rank(const lm_adapter *a, int64_t link)
{
    int64_t n = 0;
    for (int64_t j = 0; j < rank_of(a->links[link]); j++) n += is_kept(a, link, j);
    return n;
}

static void fill_kept(const lm_adapter *a, int64_t link, lm_param *const *out)
{
    const lm_link *l = a->links[link];
    int64_t in = l->site->in, n = l->site->out, r = rank_of(l), left = out[A]->t.dim[0], at = 0;
    const float *from[N_PARAMS] = { l->param[A]->t.data, l->param[B]->t.data, l->param[E]->t.data };
    float *to[N_PARAMS] = { out[A]->t.data, out[B]->t.data, out[E]->t.data };
    for (int64_t j = 0; j < r; j++) {
        if (!is_kept(a, link, j)) continue;
        memcpy(to[A] + at * in, from[A] + j * in, (size_t)in * sizeof(float));
        for (int64_t i = 0; i < n; i++) to[B][i * left + at] = from[B][i * r + j];
        to[E][at++] = from[E][j];
    }
}

static lm_status kept(lm_adapter *a, lm_params *out, lm_err *err)
{
    lm_param **made = lm_calloc((size_t)(a->n_links * N_PARAMS), sizeof *made);
    for (int64_t i = 0; i < a->n_links; i++) {
        const lm_linear_site *s = a->links[i]->site;
        declare(out, made + i * N_PARAMS, s->name, s->in, kept_rank(a, i), s->out);
    }
    for (int64_t i = 0; i < a->n_saved; i++) {
        const lm_tensor *t = &a->saved[i].copy->t;
        lm_param_declare(out, LM_INIT_ZERO, 0, t->ndim, t->dim, "%s", t->name)->t.data = t->data;
    }
    lm_status status = lm_params_initialise(out, 0, err);
    for (int64_t i = 0; i < a->n_links && status == LM_OK; i++) fill_kept(a, i, made + i * N_PARAMS);
    free(made);
    return status;
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    adalora_options *o = a->options;
    const char *bias = "none";
    *o = (adalora_options){ .init_r = 12, .target_r = 8, .alpha = 8, .delta_t = 1, .beta1 = 0.85, .beta2 = 0.85, .weight = 0.5 };
    LM_TRY(lm_json_opt_str(config, "bias", NULL, &bias, err));
    if (strcmp(bias, "none")) return lm_fail(err, LM_E_UNSUPPORTED, "bias: found \"%s\", only \"none\" is supported", bias);
    if (json_array_size(lm_json_get(config, "exclude_modules")))
        return lm_fail(err, LM_E_UNSUPPORTED, "exclude_modules is set, which this build's adalora does not implement");
    LM_TRY(lm_json_opt_int(config, "init_r", NULL, &o->init_r, err));
    LM_TRY(lm_json_opt_int(config, "target_r", NULL, &o->target_r, err));
    LM_TRY(lm_json_opt_int(config, "tinit", NULL, &o->tinit, err));
    LM_TRY(lm_json_opt_int(config, "tfinal", NULL, &o->tfinal, err));
    LM_TRY(lm_json_opt_int(config, "deltaT", NULL, &o->delta_t, err));
    LM_TRY(lm_json_opt_int(config, "total_step", NULL, &o->total_step, err));
    LM_TRY(lm_json_opt_real(config, "lora_alpha", NULL, &o->alpha, err));
    LM_TRY(lm_json_opt_real(config, "lora_dropout", NULL, &o->dropout, err));
    LM_TRY(lm_json_opt_real(config, "beta1", NULL, &o->beta1, err));
    LM_TRY(lm_json_opt_real(config, "beta2", NULL, &o->beta2, err));
    LM_TRY(lm_json_opt_real(config, "orth_reg_weight", NULL, &o->weight, err));
    if (o->init_r < 1 || o->init_r > 65536) return lm_fail(err, LM_E_FORMAT, "init_r: expected 1 to 65536, found %lld", (long long)o->init_r);
    if (!(o->alpha > 0)) return lm_fail(err, LM_E_FORMAT, "lora_alpha: expected a number above 0, found %g", o->alpha);
    if (o->target_r > o->init_r) o->target_r = o->init_r;
    LM_TRY(lm_peft_layers_read(a, config, &o->layers, err));
    LM_TRY(lm_adapter_strings(a, config, "target_modules", &o->target_modules, err));
    return lm_adapter_strings(a, config, "modules_to_save", &o->modules_to_save, err);
}

/* Which of the init_r triplets are in the file; null when all are. */
static json_t *rank_pattern(const lm_adapter *a)
{
    const lm_json *read = a->config ? lm_json_get(a->config, "rank_pattern") : NULL;
    if (read) return json_deep_copy(read);
    bool all = true;
    json_t *patterns = json_object();
    for (int64_t i = 0; i < a->n_links; i++) {
        char name[600];
        json_t *list = json_array();
        snprintf(name, sizeof name, "%s.lora_E", a->links[i]->site->name);
        for (int64_t j = 0; j < rank_of(a->links[i]); j++) json_array_append_new(list, json_boolean(is_kept(a, i, j)));
        all = all && kept_rank(a, i) == rank_of(a->links[i]);
        json_object_set_new(patterns, name, list);
    }
    if (!all) return patterns;
    json_decref(patterns);
    return json_null();
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const adalora_options *o = a->options;
    json_object_set_new(config, "init_r", json_integer(o->init_r));
    json_object_set_new(config, "target_r", json_integer(o->target_r));
    json_object_set_new(config, "tinit", json_integer(o->tinit));
    json_object_set_new(config, "tfinal", json_integer(o->tfinal));
    json_object_set_new(config, "deltaT", json_integer(o->delta_t));
    json_object_set_new(config, "total_step", o->total_step ? json_integer(o->total_step) : json_integer(o->tinit + o->tfinal + 1));
    json_object_set_new(config, "lora_alpha", json_real(o->alpha));
    json_object_set_new(config, "lora_dropout", json_real(o->dropout));
    json_object_set_new(config, "beta1", json_real(o->beta1));
    json_object_set_new(config, "beta2", json_real(o->beta2));
    json_object_set_new(config, "orth_reg_weight", json_real(o->weight));
    json_object_set_new(config, "rank_pattern", rank_pattern(a));
    json_object_set_new(config, "bias", json_string("none"));
    json_object_set_new(config, "fan_in_fan_out", json_boolean(a->model->sites[0]->transposed));
    json_object_set_new(config, "init_lora_weights", json_true());
    lm_peft_targets_write(a, config, &o->target_modules, &o->layers);
    lm_adapter_put_strings(config, "modules_to_save", &o->modules_to_save);
}

const lm_adapter_type lm_adapter_type_adalora = {
    .name = "adalora", .peft_type = "ADALORA", .source = "Zhang et al. 2023, sections 3.1 to 3.3",
    .options = options, .options_size = sizeof(adalora_options),
    .attach = attach, .output = output, .penalty = penalty, .prepare = prepare, .after_step = after_step, .merge = merge,
    .kept = kept, .read_config = read_config, .write_config = write_config,
};
