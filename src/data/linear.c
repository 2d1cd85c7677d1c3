#include "data/linear.h"

#include "data/document.h"
#include "data/hashes.h"
#include "data/permute.h"
#include "io/safetensors.h"
#include "io/save.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LABELS = 1000, MOST_BITS = 26, MOST_N = 16 };

struct lm_linear {
    lm_linear_rule rule;
    lm_strings labels;
    bool mean;                           /* scale is 1 / sqrt(n), else 1 */
    float *weights;                      /* [places][labels] */
    double *bias;                        /* [labels] */
};

const lm_strings *lm_linear_labels(const lm_linear *m) { return &m->labels; }
const lm_linear_rule *lm_linear_rule_of(const lm_linear *m) { return &m->rule; }
const float *lm_linear_weights(const lm_linear *m) { return m->weights; }

/* ---- n-grams ----------------------------------------------------------------- */

static void put_place(lm_buckets *p, const lm_linear_rule *rule, uint64_t hash)
{
    if (p->n == p->cap) {
        p->cap = 2 * p->cap + 256;
        p->items = lm_realloc(p->items, p->cap * sizeof *p->items);
    }
    p->items[p->n++] = (uint32_t)(lm_mix64(hash) >> (64 - rule->bits));
}

/* The characters as they are read, with a space at both ends; how many. */
static size_t read_runes(lm_buckets *p, const lm_linear_rule *rule, lm_span text)
{
    size_t n = 0, most = (size_t)rule->limit < text.len ? (size_t)rule->limit : text.len;
    if (p->runes_cap < most + 2) {
        p->runes_cap = 2 * (most + 2);
        p->runes = lm_realloc(p->runes, p->runes_cap * sizeof *p->runes);
    }
    p->runes[n++] = ' ';
    for (size_t i = 0, k = 0; i < text.len && k < most; k++) {
        uint32_t rune;
        i += (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        bool letter = lm_rune_in(rune, LM_LETTERS | LM_MARKS);
        if (lm_rune_is_space(rune) || (rule->letters && !letter)) rune = ' ';
        else if (letter) rune = lm_rune_lower(rune);
        else if (lm_rune_in(rune, LM_NUMBERS)) rune = '0';
        if (rune != ' ' || p->runes[n - 1] != ' ') p->runes[n++] = rune;
    }
    if (p->runes[n - 1] != ' ') p->runes[n++] = ' ';
    return n;
}

static uint64_t add(uint64_t hash, uint64_t item) { return (hash ^ item) * 0x9E3779B97F4A7C15u; }

static int by_place(const void *a, const void *b) { return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b); }

static void leave_distinct(lm_buckets *p)
{
    size_t n = 0;
    if (p->n) qsort(p->items, p->n, sizeof *p->items, by_place);
    for (size_t i = 0; i < p->n; i++)
        if (!n || p->items[n - 1] != p->items[i]) p->items[n++] = p->items[i];
    p->n = n;
}

static bool is_paired(uint32_t rune)
{
    lm_script script = lm_script_of(rune);
    return script == LM_SCRIPT_HANGUL || script == LM_SCRIPT_HAN || script == LM_SCRIPT_KANA || script == LM_SCRIPT_THAI;
}

static void put_terms(lm_buckets *p, const lm_linear_rule *rule, size_t n)
{
    for (size_t i = 0, end; i < n; i = end) {
        bool pairs = is_paired(p->runes[i]);
        uint64_t word = 3;
        for (end = i; end < n && p->runes[end] != ' ' && is_paired(p->runes[end]) == pairs; end++) word = add(word, p->runes[end]);
        if (end > i && (!pairs || end == i + 1)) put_place(p, rule, word);
        for (size_t k = i; pairs && k + 1 < end; k++) put_place(p, rule, add(add(3, p->runes[k]), p->runes[k + 1]));
        end += end == i;
    }
    leave_distinct(p);
}

void lm_buckets_of(lm_buckets *p, const lm_linear_rule *rule, lm_span text)
{
    size_t n = read_runes(p, rule, text);
    p->n = 0;
    if (rule->terms) {
        put_terms(p, rule, n);
        return;
    }
    for (size_t i = 0; i < n && rule->most_runes; i++) {
        uint64_t hash = 1;
        for (size_t k = 1; k <= (size_t)rule->most_runes && i + k <= n; k++) {
            hash = add(hash, p->runes[i + k - 1]);
            if (k >= (size_t)rule->least_runes && !(k == 1 && p->runes[i] == ' ')) put_place(p, rule, hash + k);
        }
    }
    uint64_t before[MOST_N] = {0}, word = 2;                 /* hashes of the words that end here, by their number */
    for (size_t i = 1; i < n && rule->words; i++) {
        if (p->runes[i] != ' ') {
            word = add(word, p->runes[i]);
            continue;
        }
        for (int64_t k = rule->words - 1; k >= 0; k--) {
            if (k && !before[k - 1]) continue;
            before[k] = k ? add(before[k - 1], word) : word;
            put_place(p, rule, ~before[k]);
        }
        word = 2;
    }
}

void lm_buckets_free(lm_buckets *p)
{
    free(p->items);
    free(p->runes);
    *p = (lm_buckets){0};
}

/* ---- a model ----------------------------------------------------------------- */

static size_t places_of(const lm_linear *m) { return (size_t)1 << m->rule.bits; }

lm_linear *lm_linear_of(const lm_linear_rule *rule, const lm_strings *labels, float *weights)
{
    lm_linear *m = lm_calloc(1, sizeof *m);
    m->rule = *rule;
    m->mean = true;
    for (int l = 0; l < labels->n; l++) lm_strings_push(&m->labels, lm_strdup(labels->items[l]));
    m->weights = weights;
    m->bias = lm_calloc((size_t)labels->n, sizeof *m->bias);
    return m;
}

static lm_linear *new_model(const lm_linear_rule *rule, const lm_strings *labels, bool mean)
{
    lm_linear *m = lm_linear_of(rule, labels, lm_calloc((size_t)labels->n << rule->bits, sizeof *m->weights));
    m->mean = mean;
    return m;
}

void lm_linear_free(lm_linear *m)
{
    if (!m) return;
    lm_strings_free(&m->labels);
    free(m->weights);
    free(m->bias);
    free(m);
}

int lm_linear_predict(const lm_linear *m, const uint32_t *places, size_t n, double *p)
{
    int labels = m->labels.n;
    double scale = m->mean && n ? 1 / sqrt((double)n) : 1, most = -INFINITY, sum = 0;
    for (int l = 0; l < labels; l++) p[l] = 0;
    for (size_t i = 0; i < n; i++)
        for (int l = 0; l < labels; l++) p[l] += (double)m->weights[(size_t)places[i] * (size_t)labels + (size_t)l];
    for (int l = 0; l < labels; l++) {
        p[l] = m->bias[l] + scale * p[l];
        most = fmax(most, p[l]);
    }
    for (int l = 0; l < labels; l++) sum += p[l] = exp(p[l] - most);
    int best = 0;
    for (int l = 0; l < labels; l++) {
        p[l] /= sum;
        best = p[l] > p[best] ? l : best;
    }
    return best;
}

int lm_linear_predict_text(const lm_linear *m, lm_span text, double *p)
{
    lm_buckets places = {0};
    lm_buckets_of(&places, &m->rule, text);
    int best = lm_linear_predict(m, places.items, places.n, p);
    lm_buckets_free(&places);
    return best;
}

/* ---- training ---------------------------------------------------------------- */

lm_linear *lm_linear_bayes(const lm_linear_rule *rule, const lm_strings *labels, const lm_linear_example *examples, int64_t n)
{
    static const double alpha = 0.01;
    lm_linear *m = new_model(rule, labels, false);
    size_t k = (size_t)labels->n, places = places_of(m);
    double *all = lm_calloc(k, sizeof *all);
    for (int64_t e = 0; e < n; e++)
        for (size_t i = 0; i < examples[e].n; i++) {
            m->weights[examples[e].places[i] * k + (size_t)examples[e].label]++;
            all[examples[e].label]++;
        }
    for (size_t i = 0; i < places * k; i++) m->weights[i] = (float)log(((double)m->weights[i] + alpha) / (all[i % k] + alpha * (double)places));
    free(all);
    return m;
}

/* One step for one example: the gradient of -log p(label) is (p - [label]) * scale at each of its places. */
static void descend(lm_linear *m, float *squares, double *bias_squares, const lm_linear_example *e, double rate, double *p)
{
    size_t k = (size_t)m->labels.n;
    double scale = e->n ? 1 / sqrt((double)e->n) : 1;
    lm_linear_predict(m, e->places, e->n, p);
    p[e->label] -= 1;
    for (size_t l = 0; l < k; l++) {
        bias_squares[l] += p[l] * p[l];
        if (p[l] != 0) m->bias[l] -= rate * p[l] / sqrt(bias_squares[l]);
    }
    for (size_t i = 0; i < e->n; i++)
        for (size_t l = 0; l < k; l++) {
            size_t at = (size_t)e->places[i] * k + l;
            double g = p[l] * scale;
            squares[at] += (float)(g * g);
            if (squares[at] > 0) m->weights[at] -= (float)(rate * g / sqrt((double)squares[at]));
        }
}

lm_linear *lm_linear_logistic(const lm_linear_rule *rule, const lm_strings *labels, const lm_linear_example *examples, int64_t n, int epochs, double rate, uint64_t seed)
{
    lm_linear *m = new_model(rule, labels, true);
    size_t k = (size_t)labels->n;
    float *squares = lm_calloc(places_of(m) * k, sizeof *squares);
    double *bias_squares = lm_calloc(k, sizeof *bias_squares), *p = lm_calloc(k, sizeof *p);
    for (int epoch = 0; epoch < epochs; epoch++)
        for (int64_t i = 0; i < n; i++) {
            double done = ((double)epoch + (double)i / (double)n) / epochs;
            descend(m, squares, bias_squares, &examples[lm_permute(i, n, seed, (uint64_t)epoch)], rate * (1 - done), p);
        }
    free(squares);
    free(bias_squares);
    free(p);
    return m;
}

/* ---- files ------------------------------------------------------------------- */

lm_status lm_linear_save(const lm_linear *m, const char *kind, const lm_json *extra, const char *path, lm_err *err)
{
    lm_str text = {0};
    lm_json *labels = json_array(), *bias = json_array();
    for (int l = 0; l < m->labels.n; l++) {
        json_array_append_new(labels, json_string(m->labels.items[l]));
        json_array_append_new(bias, json_real(m->bias[l]));
    }
    const lm_linear_rule *r = &m->rule;
    lm_json *shape = json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:o, s:o}", "least_runes", (json_int_t)r->least_runes, "most_runes", (json_int_t)r->most_runes, "words", (json_int_t)r->words,
                               "bits", (json_int_t)r->bits, "limit", (json_int_t)r->limit, "letters", r->letters, "terms", r->terms, "mean", m->mean, "labels", labels, "bias", bias);
    lm_json_text(&text, shape, 0);
    lm_json *metadata = json_pack("{s:s, s:s}", "kind", kind, "shape", text.data);
    if (extra) json_object_update(metadata, (lm_json *)(uintptr_t)extra);
    int64_t dim[] = { (int64_t)places_of(m), m->labels.n };
    lm_save_entry entry = { .name = "weights", .dtype = LM_F32, .ndim = 2, .dim = dim, .data = m->weights, .data_dtype = LM_F32 };
    lm_status status = lm_save_file(&(lm_save){ .entries = &entry, .n = 1, .metadata = metadata }, path, err);
    lm_json_free(metadata);
    lm_json_free(shape);
    lm_str_free(&text);
    return status;
}

static lm_status read_shape(lm_linear *m, const lm_json *shape, const char *path, lm_err *err)
{
    lm_linear_rule *r = &m->rule;
    const struct { const char *name; int64_t *value, least, most; } numbers[] = {
        { "least_runes", &r->least_runes, 0, MOST_N }, { "most_runes", &r->most_runes, 0, MOST_N }, { "words", &r->words, 0, MOST_N }, { "bits", &r->bits, 1, MOST_BITS },
        { "limit", &r->limit, 1, INT64_MAX },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        LM_TRY(lm_json_need_int(shape, numbers[i].name, path, numbers[i].value, err));
        if (*numbers[i].value < numbers[i].least || *numbers[i].value > numbers[i].most)
            return lm_fail(err, LM_E_FORMAT, "%s: %s: expected %lld to %lld, found %lld", path, numbers[i].name, (long long)numbers[i].least, (long long)numbers[i].most, (long long)*numbers[i].value);
    }
    LM_TRY(lm_json_opt_bool(shape, "letters", path, &r->letters, err));
    LM_TRY(lm_json_opt_bool(shape, "terms", path, &r->terms, err));
    LM_TRY(lm_json_opt_bool(shape, "mean", path, &m->mean, err));
    const lm_json *labels = lm_json_get(shape, "labels"), *bias = lm_json_get(shape, "bias");
    size_t n = json_array_size(labels);
    if (n < 2 || n > MOST_LABELS || json_array_size(bias) != n) return lm_fail(err, LM_E_FORMAT, "%s: expected 2 to %d labels, each with its bias", path, MOST_LABELS);
    m->bias = lm_calloc(n, sizeof *m->bias);
    for (size_t l = 0; l < n; l++) {
        const char *label = json_string_value(json_array_get(labels, l));
        if (!label || !json_is_number(json_array_get(bias, l))) return lm_fail(err, LM_E_FORMAT, "%s: label %zu: expected a name and a number", path, l + 1);
        lm_strings_push(&m->labels, lm_strdup(label));
        m->bias[l] = json_number_value(json_array_get(bias, l));
    }
    return LM_OK;
}

static lm_status read_weights(lm_linear *m, const lm_safetensors *file, lm_err *err)
{
    const lm_stored *weights = lm_safetensors_find(file, "weights");
    if (!weights) return lm_fail(err, LM_E_FORMAT, "%s: expected a tensor weights", file->path);
    LM_TRY(lm_stored_need_shape(weights, 2, (const int64_t[]){ (int64_t)places_of(m), m->labels.n }, err));
    m->weights = lm_calloc((size_t)weights->numel, sizeof *m->weights);
    LM_TRY(lm_stored_copy(weights, m->weights, LM_F32, err));
    for (int64_t i = 0; i < weights->numel; i++)
        if (!isfinite(m->weights[i])) return lm_fail(err, LM_E_NUMERIC, "%s: weights: expected finite numbers, found %g", file->path, (double)m->weights[i]);
    return LM_OK;
}

static lm_status load(lm_linear *m, const lm_safetensors *file, const char *kind, lm_err *err)
{
    const char *found = lm_safetensors_meta(file, "kind"), *text = lm_safetensors_meta(file, "shape");
    if (!found || strcmp(found, kind) || !text) return lm_fail(err, LM_E_MISMATCH, "%s: expected a \"%s\", found %.60s", file->path, kind, found ? found : "another file");
    lm_json *shape = lm_json_parse(text, strlen(text), file->path, err);
    lm_status status = shape ? read_shape(m, shape, file->path, err) : LM_E_FORMAT;
    lm_json_free(shape);
    return status == LM_OK ? read_weights(m, file, err) : status;
}

lm_status lm_linear_load(lm_linear **out, const char *kind, const char *path, lm_err *err)
{
    lm_safetensors file;
    *out = NULL;
    LM_TRY(lm_safetensors_open(&file, path, err));
    lm_linear *m = lm_calloc(1, sizeof *m);
    lm_status status = load(m, &file, kind, err);
    lm_safetensors_close(&file);
    if (status == LM_OK) *out = m;
    else lm_linear_free(m);
    return status;
}
