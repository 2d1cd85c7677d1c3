#include "data/ngram_model.h"

#include "base/map.h"
#include "data/hashes.h"
#include "io/safetensors.h"
#include "io/save.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const uint64_t lm_ngram_begin = 0x62656769, lm_ngram_end = 0x656E64;     /* beyond Unicode; words are hashes */

/* ---- tokens ------------------------------------------------------------------ */

typedef struct tokens {
    uint64_t *items;
    size_t n, cap;
} tokens;

static void put_token(tokens *t, uint64_t token)
{
    if (t->n == t->cap) {
        t->cap = 2 * t->cap + 1024;
        t->items = lm_realloc(t->items, t->cap * sizeof *t->items);
    }
    t->items[t->n++] = token;
}

static uint64_t word_token(lm_span word) { return lm_hash(word.data, word.len, 0) | (uint64_t)1 << 63; }

uint64_t lm_ngram_token(lm_span text)
{
    uint32_t rune = 0;
    int n = text.len ? lm_rune_at(text.data, text.len, &rune) : 0;
    return (size_t)n == text.len ? rune : word_token(text);
}

/* Begin, the tokens of the text, end.  A word of one character is a word all the same. */
static void put_document(tokens *t, lm_span text, bool words)
{
    bool space = false;
    put_token(t, lm_ngram_begin);
    size_t first = t->n;
    for (size_t i = 0, from = 0; i <= text.len;) {
        uint32_t rune = ' ';
        size_t n = i < text.len ? (size_t)lm_rune_at(text.data + i, text.len - i, &rune) : 1;
        bool white = lm_rune_is_space(rune);
        if (words && white && i > from) put_token(t, lm_ngram_token(lm_span_of(text.data + from, i - from)));
        if (!words && !white) {
            if (space) put_token(t, ' ');
            put_token(t, rune);
            space = false;
        }
        space |= white && t->n > first;
        i += n;
        if (white) from = i;
    }
    put_token(t, lm_ngram_end);
}

/* The hash of the n-gram that has `token` in front of the one with hash `rest`. */
static inline uint64_t extend(uint64_t rest, uint64_t token) { return lm_mix64(rest * 0x9E3779B97F4A7C15u + token); }
static inline uint64_t key_of(uint64_t hash) { return hash | 1; }        /* 0 is an empty place */

/* ---- counting ---------------------------------------------------------------- */

/* An n-gram: how often it counts, where it stands first, and what follows it. */
typedef struct gram {
    uint64_t key;
    double total, kept;                  /* counts of the n-grams that go on from it, and the probability of those kept */
    uint32_t count, end;                 /* end: place of its last token */
    bool needed;                         /* a longer one that is kept ends with it, or begins with it */
} gram;

typedef struct grams {
    gram *items;
    size_t n, size;                      /* size: a power of two */
} grams;

static gram *place_of(const grams *g, uint64_t key)
{
    size_t i = key >> 20 & (g->size - 1);
    while (g->items[i].key && g->items[i].key != key) i = (i + 1) & (g->size - 1);
    return &g->items[i];
}

static void grow(grams *g)
{
    grams larger = { .n = g->n, .size = 2 * g->size };
    larger.items = lm_calloc(larger.size, sizeof *larger.items);
    for (size_t i = 0; i < g->size; i++)
        if (g->items[i].key) *place_of(&larger, g->items[i].key) = g->items[i];
    free(g->items);
    *g = larger;
}

static void count_gram(grams *g, uint64_t key, size_t end)
{
    if (g->n * 3 >= g->size * 2) grow(g);
    gram *e = place_of(g, key);
    if (!e->key) {
        *e = (gram){ .key = key, .end = (uint32_t)end };
        g->n++;
    }
    e->count += e->count < UINT32_MAX;
}

struct lm_ngram_trainer {
    lm_ngram_options o;
    tokens tokens;
    grams grams[LM_NGRAM_MOST + 1];      /* by length; [0] has the empty one */
};

lm_ngram_trainer *lm_ngram_trainer_new(const lm_ngram_options *options)
{
    lm_ngram_trainer *t = lm_calloc(1, sizeof *t);
    t->o = *options;
    for (int n = 0; n <= LM_NGRAM_MOST; n++) {
        t->grams[n].size = 16;
        t->grams[n].items = lm_calloc(16, sizeof(gram));
    }
    return t;
}

void lm_ngram_trainer_free(lm_ngram_trainer *t)
{
    if (!t) return;
    for (int n = 0; n <= LM_NGRAM_MOST; n++) free(t->grams[n].items);
    free(t->tokens.items);
    free(t);
}

bool lm_ngram_trainer_add(lm_ngram_trainer *t, lm_span text)
{
    if (t->tokens.n + text.len + 2 > (size_t)1 << 31) return false;
    put_document(&t->tokens, text, t->o.words);
    return true;
}

static uint64_t key_at(const lm_ngram_trainer *t, size_t end, int n)
{
    uint64_t hash = 0;
    for (int k = 0; k < n; k++) hash = extend(hash, t->tokens.items[end - (size_t)k]);
    return key_of(hash);
}

/* The longest n-grams, and those that begin a document, as often as they stand there. */
static void count_occurrences(lm_ngram_trainer *t)
{
    int order = (int)t->o.order, since = 0;          /* tokens since the document began, that one included */
    for (size_t i = 0; i < t->tokens.n; i++) {
        bool begin = t->tokens.items[i] == lm_ngram_begin;
        since = begin ? 1 : since + 1;
        uint64_t hash = 0;
        for (int n = 1; n <= order && n <= since; n++) {
            hash = extend(hash, t->tokens.items[i - (size_t)n + 1]);
            if (n == order || n == since) count_gram(&t->grams[n], key_of(hash), i);
        }
    }
}

/* The others by how many different tokens stand before them: once for each n-gram that is longer by one. */
static void count_continuations(lm_ngram_trainer *t)
{
    for (int n = (int)t->o.order; n > 1; n--)
        for (size_t i = 0; i < t->grams[n].size; i++) {
            const gram *g = &t->grams[n].items[i];
            if (g->key) count_gram(&t->grams[n - 1], key_at(t, g->end, n - 1), g->end);
        }
}

/* ---- smoothing --------------------------------------------------------------- */

/* The token that begins a document is never predicted. */
static bool is_predicted(const lm_ngram_trainer *t, const gram *g) { return g->key && t->tokens.items[g->end] != lm_ngram_begin; }

typedef struct discounts {
    double of[4];                        /* for counts 1, 2, and 3 and more */
} discounts;

/* Chen and Goodman, equation 17; where the counts of counts give nothing sensible, half of what is there. */
static discounts discounts_of(const lm_ngram_trainer *t, const grams *g)
{
    double n[5] = {0};
    discounts d = {{0}};
    for (size_t i = 0; i < g->size; i++)
        if (is_predicted(t, &g->items[i]) && g->items[i].count <= 4) n[g->items[i].count]++;
    double y = n[1] / (n[1] + 2 * n[2]);
    for (int c = 1; c <= 3; c++) {
        d.of[c] = n[c] > 0 ? c - (c + 1) * y * n[c + 1] / n[c] : -1;
        if (!(d.of[c] > 0 && d.of[c] < c)) d.of[c] = 0.5 * c;
    }
    return d;
}

static double left_of(const discounts *d, uint32_t count) { return (double)count - d->of[count < 3 ? count : 3]; }

static gram *context_of(const lm_ngram_trainer *t, const gram *g, int n)
{
    if (n == 1) return &t->grams[0].items[0];
    gram *c = place_of(&t->grams[n - 1], key_at(t, g->end - 1, n - 1));
    if (!c->key) LM_BUG("an n-gram whose context was not counted");
    return c;
}

static bool is_kept(const lm_ngram_trainer *t, const gram *g, int n) { return g->key && (n < 3 || g->needed || g->count >= t->o.least); }

/* From the longest on: who is kept needs what he ends with and what he begins with. */
static void mark_needed(lm_ngram_trainer *t)
{
    for (int n = (int)t->o.order; n > 1; n--)
        for (size_t i = 0; i < t->grams[n].size; i++) {
            const gram *g = &t->grams[n].items[i];
            if (!is_kept(t, g, n)) continue;
            place_of(&t->grams[n - 1], key_at(t, g->end, n - 1))->needed = true;
            context_of(t, g, n)->needed = true;
        }
}

/* ---- the model --------------------------------------------------------------- */

struct lm_ngram_model {
    int order;
    bool words;
    int64_t n, vocabulary;
    int64_t size, reach;                 /* of the table, a power of two; places that a search may take */
    double root;                         /* g of the empty context */
    const int64_t *keys;                 /* [size]; 0: empty */
    const float *values;                 /* [size][2]: the first term of p, and g */
    lm_safetensors file;                 /* where it was loaded, whose memory they are */
};

int64_t lm_ngram_count(const lm_ngram_model *m) { return m->n; }
int64_t lm_ngram_vocabulary(const lm_ngram_model *m) { return m->vocabulary; }

/* The entry of the n-gram, or NULL. */
static const float *find(const lm_ngram_model *m, uint64_t key)
{
    size_t mask = (size_t)m->size - 1, at = key >> 20 & mask;
    for (int64_t k = 0; k < m->reach; k++, at = (at + 1) & mask) {
        if ((uint64_t)m->keys[at] == key) return m->values + 2 * at;
        if (!m->keys[at]) return NULL;
    }
    return NULL;
}

static void put(lm_ngram_model *m, int64_t *keys, float *values, uint64_t key, double first, double g)
{
    size_t mask = (size_t)m->size - 1, at = key >> 20 & mask;
    int64_t steps = 1;
    for (; keys[at]; at = (at + 1) & mask) steps++;
    keys[at] = (int64_t)key;
    values[2 * at] = (float)first;
    values[2 * at + 1] = (float)g;
    m->n++;
    m->reach = steps > m->reach ? steps : m->reach;
}

/* What each context has in all, and how much of it goes to the n-grams that are kept. */
static void sum_contexts(lm_ngram_trainer *t, int n, const discounts *d)
{
    for (int kept = 0; kept < 2; kept++)
        for (size_t i = 0; i < t->grams[n].size; i++) {
            const gram *g = &t->grams[n].items[i];
            if (!is_predicted(t, g)) continue;
            gram *c = context_of(t, g, n);
            if (!kept) c->total += g->count;
            else if (is_kept(t, g, n)) c->kept += left_of(d, g->count) / c->total;
        }
}

static void put_grams(lm_ngram_model *m, const lm_ngram_trainer *t, int64_t *keys, float *values, const discounts *d)
{
    for (int n = 1; n <= m->order; n++)
        for (size_t i = 0; i < t->grams[n].size; i++) {
            const gram *g = &t->grams[n].items[i];
            if (!is_kept(t, g, n)) continue;
            bool predicted = is_predicted(t, g);
            m->vocabulary += n == 1 && predicted;
            put(m, keys, values, g->key, predicted ? left_of(&d[n], g->count) / context_of(t, g, n)->total : 0, fmax(0, 1 - g->kept));
        }
}

lm_ngram_model *lm_ngram_train(lm_ngram_trainer *t)
{
    discounts d[LM_NGRAM_MOST + 1] = { { {0} } };
    lm_ngram_model *m = lm_calloc(1, sizeof *m);
    *m = (lm_ngram_model){ .order = (int)t->o.order, .words = t->o.words, .size = 16 };
    count_occurrences(t);
    count_continuations(t);
    mark_needed(t);
    int64_t entries = 0;
    for (int n = 1; n <= m->order; n++) {
        d[n] = discounts_of(t, &t->grams[n]);
        sum_contexts(t, n, &d[n]);
        for (size_t i = 0; i < t->grams[n].size; i++) entries += is_kept(t, &t->grams[n].items[i], n);
    }
    while (2 * m->size < 3 * entries) m->size *= 2;
    int64_t *keys = lm_calloc((size_t)m->size, sizeof *keys);
    float *values = lm_calloc((size_t)m->size, 2 * sizeof *values);
    put_grams(m, t, keys, values, d);
    m->root = fmax(0, 1 - t->grams[0].items[0].kept);
    m->keys = keys;
    m->values = values;
    return m;
}

void lm_ngram_free(lm_ngram_model *m)
{
    if (!m) return;
    if (!m->file.path) {
        free((void *)(uintptr_t)m->keys);
        free((void *)(uintptr_t)m->values);
    }
    lm_safetensors_close(&m->file);
    free(m);
}

/* ---- files ------------------------------------------------------------------- */

static const char kind[] = "malmoi n-gram model 1";

lm_status lm_ngram_save(const lm_ngram_model *m, const lm_json *extra, const char *path, lm_err *err)
{
    lm_str text = {0};
    lm_json *shape = json_pack("{s:i, s:b, s:I, s:I, s:I, s:f}", "order", m->order, "words", m->words, "ngrams", (json_int_t)m->n, "vocabulary", (json_int_t)m->vocabulary, "reach",
                               (json_int_t)m->reach, "root", m->root);
    lm_json_text(&text, shape, 0);
    lm_json *metadata = json_pack("{s:s, s:s}", "kind", kind, "shape", text.data);
    if (extra) json_object_update(metadata, (lm_json *)(uintptr_t)extra);
    int64_t keys[] = { m->size }, values[] = { m->size, 2 };
    lm_save_entry entries[] = { { .name = "keys", .dtype = LM_I64, .ndim = 1, .dim = keys, .data = m->keys, .data_dtype = LM_I64 },
                                { .name = "values", .dtype = LM_F32, .ndim = 2, .dim = values, .data = m->values, .data_dtype = LM_F32 } };
    lm_status status = lm_save_file(&(lm_save){ .entries = entries, .n = 2, .metadata = metadata }, path, err);
    lm_json_free(metadata);
    lm_json_free(shape);
    lm_str_free(&text);
    return status;
}

static lm_status read_shape(lm_ngram_model *m, const lm_json *shape, lm_err *err)
{
    int64_t order = 0;
    const char *name = m->file.path;
    LM_TRY(lm_json_need_int(shape, "order", name, &order, err));
    LM_TRY(lm_json_need_int(shape, "ngrams", name, &m->n, err));
    LM_TRY(lm_json_need_int(shape, "vocabulary", name, &m->vocabulary, err));
    LM_TRY(lm_json_need_int(shape, "reach", name, &m->reach, err));
    LM_TRY(lm_json_opt_real(shape, "root", name, &m->root, err));
    LM_TRY(lm_json_opt_bool(shape, "words", name, &m->words, err));
    if (order < 1 || order > LM_NGRAM_MOST) return lm_fail(err, LM_E_FORMAT, "%s: order: expected 1 to %d, found %lld", name, LM_NGRAM_MOST, (long long)order);
    if (m->vocabulary < 0 || m->vocabulary > m->n || m->reach < 0 || m->reach > m->size || !(m->root >= 0 && m->root <= 1))
        return lm_fail(err, LM_E_FORMAT, "%s: its shape contradicts itself", name);
    m->order = (int)order;
    return LM_OK;
}

static lm_status read_table(lm_ngram_model *m, lm_err *err)
{
    const lm_stored *keys = lm_safetensors_find(&m->file, "keys"), *values = lm_safetensors_find(&m->file, "values");
    if (!keys || !values) return lm_fail(err, LM_E_FORMAT, "%s: expected tensors keys and values", m->file.path);
    if (keys->ndim != 1 || keys->dim[0] < 1 || (keys->dim[0] & (keys->dim[0] - 1))) return lm_fail(err, LM_E_FORMAT, "%s: keys: expected a power of two of them", m->file.path);
    m->size = keys->dim[0];
    LM_TRY(lm_stored_need_shape(values, 2, (const int64_t[]){ m->size, 2 }, err));
    m->keys = lm_stored_in_place(keys, LM_I64);
    m->values = lm_stored_in_place(values, LM_F32);
    if (!m->keys || !m->values) return lm_fail(err, LM_E_FORMAT, "%s: expected aligned tensors of types I64 and F32", m->file.path);
    for (int64_t i = 0; i < 2 * m->size; i++)
        if (!(m->values[i] >= 0 && m->values[i] <= 1)) return lm_fail(err, LM_E_FORMAT, "%s: values: expected probabilities, found %g", m->file.path, (double)m->values[i]);
    return LM_OK;
}

static lm_status load(lm_ngram_model *m, const char *path, lm_err *err)
{
    LM_TRY(lm_safetensors_open(&m->file, path, err));
    const char *found = lm_safetensors_meta(&m->file, "kind"), *text = lm_safetensors_meta(&m->file, "shape");
    if (!found || strcmp(found, kind) || !text) return lm_fail(err, LM_E_MISMATCH, "%s: expected a \"%s\", found %.60s", path, kind, found ? found : "another file");
    LM_TRY(read_table(m, err));
    lm_json *shape = lm_json_parse(text, strlen(text), path, err);
    lm_status status = shape ? read_shape(m, shape, err) : LM_E_FORMAT;
    lm_json_free(shape);
    return status;
}

lm_status lm_ngram_load(lm_ngram_model **out, const char *path, lm_err *err)
{
    lm_ngram_model *m = lm_calloc(1, sizeof *m);
    lm_status status = load(m, path, err);
    *out = status == LM_OK ? m : NULL;
    if (status == LM_OK) return LM_OK;
    lm_safetensors_close(&m->file);
    free(m);
    return status;
}

/* ---- scores ------------------------------------------------------------------ */

/* What the contexts that end before a token leave to shorter ones; g[k] is that of the last k tokens, those from `known`
 * on being unknown. */
typedef struct history {
    double g[LM_NGRAM_MOST];
    int known;
} history;

/* p(items[at] | those before it, `back` of them at most); the history becomes that of the next token. */
static double step(const lm_ngram_model *m, const uint64_t *items, size_t at, size_t back, history *h)
{
    history next = { .known = 1 };
    const float *entry = NULL;
    uint64_t hash = 0;
    double p = m->root / (double)(m->vocabulary + 1);
    for (int n = 1; n <= m->order && (size_t)n <= back + 1; n++) {
        bool known = n == 1 || (n - 1 < h->known);       /* the context of n - 1 tokens */
        bool going_on = n == 1 || entry;
        if (!known && !going_on) break;
        hash = extend(hash, items[at - (size_t)n + 1]);
        entry = going_on ? find(m, key_of(hash)) : NULL;
        if (n > 1 && known) p *= h->g[n - 1];
        if (entry && known) p += (double)entry[0];
        if (!entry || n >= m->order) continue;
        next.g[n] = (double)entry[1];
        next.known = n + 1;
    }
    *h = next;
    return p > 1e-30 ? p : 1e-30;
}

double lm_ngram_score(const lm_ngram_model *m, lm_span text, int64_t *n)
{
    tokens t = {0};
    history h = { .known = 1 };
    double sum = 0;
    put_document(&t, text, m->words);
    step(m, t.items, 0, 0, &h);                              /* the begin is given */
    for (size_t i = 1; i < t.n; i++) sum += log(step(m, t.items, i, i, &h));
    *n = (int64_t)t.n - 1;
    free(t.items);
    return sum;
}

double lm_ngram_perplexity(const lm_ngram_model *m, lm_span text)
{
    int64_t n;
    double score = lm_ngram_score(m, text, &n);
    return exp(-score / (double)n);
}

double lm_ngram_probability(const lm_ngram_model *m, const uint64_t *context, int n, uint64_t token)
{
    uint64_t items[LM_NGRAM_MOST];
    history h = { .known = 1 };
    int from = n > m->order - 1 ? n - (m->order - 1) : 0;
    for (int i = from; i < n; i++) {
        items[i - from] = context[i];
        step(m, items, (size_t)(i - from), (size_t)(i - from), &h);
    }
    items[n - from] = token;
    return step(m, items, (size_t)(n - from), (size_t)(n - from), &h);
}
