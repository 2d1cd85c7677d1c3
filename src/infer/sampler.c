#include "infer/sampler.h"

#include "base/rng.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fallbacks are llama.cpp's; a model's generation_config.json comes before them. */
const lm_option lm_sampling_options[] = {
    LM_OPTION(FLAG, lm_sampling, greedy, "greedy", .help = "always take the most probable token"),
    LM_OPTION(REAL, lm_sampling, temperature, "temperature", .fallback = "0.8", .max = 100,
              .help = "divides the logits: lower is more predictable, 0 is greedy"),
    LM_OPTION(INT, lm_sampling, top_k, "top-k", .fallback = "40", .max = 1 << 30,
              .help = "choose among the K most probable tokens (0: all)"),
    LM_OPTION(REAL, lm_sampling, top_p, "top-p", .fallback = "0.95", .max = 1,
              .help = "choose among the fewest tokens whose probability reaches P (1: all)"),
    LM_OPTION(REAL, lm_sampling, min_p, "min-p", .fallback = "0.05", .max = 1,
              .help = "drop tokens less probable than this part of the most probable (0: none)"),
    LM_OPTION(REAL, lm_sampling, repetition_penalty, "repetition-penalty", .fallback = "1", .min = 0.01, .max = 100,
              .help = "above 1 makes tokens that were seen less likely"),
    LM_OPTION(INT, lm_sampling, seed, "seed", .fallback = "0", .max = 9e15, .help = "of the random draws"),
    { 0 },
};

void lm_sampler_init(lm_sampler *s, int64_t vocab)
{
    size_t n = (size_t)vocab;
    *s = (lm_sampler){ .vocab = vocab, .logits = lm_malloc(n * sizeof *s->logits),
                       .heap = lm_malloc(n * sizeof *s->heap), .mass = lm_malloc(n * sizeof *s->mass),
                       .seen = lm_calloc(n, sizeof *s->seen) };
}

void lm_sampler_free(lm_sampler *s)
{
    free(s->logits);
    free(s->heap);
    free(s->mass);
    free(s->seen);
    *s = (lm_sampler){ 0 };
}

/* ---- a max-heap of candidates --------------------------------------------------
 * Building it is linear in the vocabulary, and only the few candidates that pass the filters are
 * ever taken out in order, which is far less than a sort of 100,000 tokens. */

static bool before(lm_candidate a, lm_candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(lm_candidate *heap, int64_t n, int64_t i)
{
    lm_candidate x = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void heapify(lm_candidate *heap, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift_down(heap, n, i);
}

/* Takes the best out of heap[0..n) and puts it at heap[n - 1]. */
static lm_candidate pop(lm_candidate *heap, int64_t n)
{
    lm_candidate best = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = best;
    if (n > 1) sift_down(heap, n - 1, 0);
    return best;
}

/* ---- the filters ---------------------------------------------------------------- */

/* The logits to s->logits; each token that was seen is punished once, however often it stands in the context. */
static void penalise(lm_sampler *s, const float *logits, double penalty, const int32_t *context, int64_t n)
{
    memcpy(s->logits, logits, (size_t)s->vocab * sizeof *logits);
    float r = (float)penalty;
    if (r == 1.0f) return;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = context[i];
        if (s->seen[id]) continue;
        s->seen[id] = true;
        s->logits[id] = s->logits[id] > 0 ? s->logits[id] / r : s->logits[id] * r;
    }
    for (int64_t i = 0; i < n; i++) s->seen[context[i]] = false;
}

/* exp((z_i - max) / t) to mass [n]; their sum. */
static double masses(double *mass, const float *z, int64_t n, double max, double temperature)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += mass[i] = exp(((double)z[i] - max) / temperature);
    return sum;
}

static float largest(const float *z, int64_t n)
{
    float max = z[0];
    for (int64_t i = 1; i < n; i++) max = z[i] > max ? z[i] : max;
    return max;
}

/* Reverses heap[from..n) into heap[0..n - from): pops leave the best at the end. */
static void to_front(lm_candidate *heap, int64_t from, int64_t n)
{
    for (int64_t i = from, j = n - 1; i < j; i++, j--) {
        lm_candidate x = heap[i];
        heap[i] = heap[j];
        heap[j] = x;
    }
    memmove(heap, heap + from, (size_t)(n - from) * sizeof *heap);
}


int64_t lm_sample_distribution(lm_sampler *s, const float *logits, const lm_sampling *how, const int32_t *context,
                               int64_t n_context)
{
    int64_t n = s->vocab;
    penalise(s, logits, how->repetition_penalty, context, n_context);
    for (int64_t i = 0; i < n; i++) s->heap[i] = (lm_candidate){ s->logits[i], (int32_t)i };
    heapify(s->heap, n);
    double t = how->temperature, max = s->heap[0].logit;

    /* With top-k the mass that top-p looks at is that of the k; it is known once they are out. */
    bool few = how->top_k > 0 && how->top_k < n;
    double total = few ? INFINITY : masses(s->mass, s->logits, n, max, t);
    double floor = how->min_p > 0 ? max + t * log(how->min_p) : -INFINITY;
    double reached = 0;
    int64_t kept = 0;
    while (kept < n) {
        lm_candidate best = s->heap[0];
        if (few && kept >= how->top_k && best.logit < s->heap[n - kept].logit) break;
        if (!few && kept > 0 && (reached >= how->top_p * total || best.logit < floor)) break;
        if (isinf(best.logit)) break;
        pop(s->heap, n - kept);
        s->mass[kept++] = exp(((double)best.logit - max) / t);
        reached += s->mass[kept - 1];
    }
    to_front(s->heap, n - kept, n);

    if (few) {
        total = reached, reached = 0;
        int64_t limit = kept;
        for (kept = 0; kept < limit; kept++) {
            if (kept > 0 && (reached >= how->top_p * total || s->heap[kept].logit < floor)) break;
            reached += s->mass[kept];
        }
    }
    for (int64_t i = 0; i < kept; i++) s->mass[i] /= reached;
    return kept;
}

/* ---- the draw -------------------------------------------------------------------- */

static lm_status check(const float *logits, int64_t n, lm_err *err)
{
    bool finite = false;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY) {
            return lm_fail(err, LM_E_NUMERIC, "the logit of token %lld is %f", (long long)i, (double)logits[i]);
        }
        finite |= logits[i] != -INFINITY;
    }
    if (!finite) return lm_fail(err, LM_E_NUMERIC, "no token has a finite logit");
    return LM_OK;
}

static int32_t most_probable(lm_sampler *s, const float *logits, const lm_sampling *how, const int32_t *context,
                             int64_t n_context)
{
    penalise(s, logits, how->repetition_penalty, context, n_context);
    int32_t best = 0;
    for (int64_t i = 1; i < s->vocab; i++)
        if (s->logits[i] > s->logits[best]) best = (int32_t)i;
    return best;
}

static bool filters(const lm_sampling *how, int64_t vocab)
{
    return (how->top_k > 0 && how->top_k < vocab) || how->top_p < 1 || how->min_p > 0;
}

static int32_t draw_filtered(lm_sampler *s, const float *logits, const lm_sampling *how, const int32_t *context, int64_t n_context, double u)
{
    int64_t n = lm_sample_distribution(s, logits, how, context, n_context), i = 0;
    double sum = 0;
    while (i < n - 1 && (sum += s->mass[i]) <= u) i++;
    return s->heap[i].id;
}

/* Where every token stays no order is needed: the mass is walked as the tokens are numbered.  `total` is the sum of
 * s->mass. */
static int32_t draw_any(const lm_sampler *s, double u, double total)
{
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < s->vocab && sum <= u * total; i++) {
        if (s->mass[i] == 0) continue;
        sum += s->mass[i];
        last = i;
    }
    return (int32_t)last;
}

/* The same of the penalised logits at the temperature. */
static int32_t draw_changed(lm_sampler *s, const float *logits, const lm_sampling *how, const int32_t *context, int64_t n_context, double u)
{
    penalise(s, logits, how->repetition_penalty, context, n_context);
    double max = largest(s->logits, s->vocab);
    return draw_any(s, u, masses(s->mass, s->logits, s->vocab, max, how->temperature));
}

lm_status lm_sample(lm_sampler *s, lm_draw *out, const float *logits, const lm_sampling *how, const int32_t *context,
                    int64_t n_context, uint64_t stream, uint64_t position, lm_err *err)
{
    LM_TRY(check(logits, s->vocab, err));
    double max = largest(logits, s->vocab), plain = masses(s->mass, logits, s->vocab, max, 1);
    bool as_it_is = how->temperature == 1 && how->repetition_penalty == 1;
    if (how->greedy || how->temperature <= 0) {
        out->id = most_probable(s, logits, how, context, n_context);
    } else {
        lm_rng rng = { .seed = (uint64_t)how->seed, .stream = stream, .counter = position };
        double u = lm_rng_unit(&rng);
        out->id = filters(how, s->vocab) ? draw_filtered(s, logits, how, context, n_context, u)
                  : as_it_is             ? draw_any(s, u, plain)
                                         : draw_changed(s, logits, how, context, n_context, u);
    }
    out->logprob = (float)(logits[out->id] - max - log(plain));
    return LM_OK;
}
