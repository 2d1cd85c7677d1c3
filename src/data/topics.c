#include "data/topics.h"

#include "base/rng.h"
#include "base/thread.h"
#include "data/labelled.h"
#include "data/permute.h"
#include "data/topics/names.h"
#include "data/topics/ward.h"
#include "data/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char lm_topic_model[] = "malmoi topics 1";

/* What a text is about shows early in it. */
static const lm_linear_rule rule = { .bits = 16, .limit = 2000, .letters = true, .terms = true };

enum { PLACES = 1 << 16, SEED_TEXTS = 1024, SEEDS_PER_TOPIC = 8, MOST_ROUNDS = 50, NAME_WORDS = 3, EXAMPLE_COLUMNS = 120 };
enum { STREAM_SAMPLE = 1, STREAM_SEEDS = 2 };

typedef struct sampled {
    lm_span head;                        /* what of its text is looked at */
    uint32_t *places;                    /* of its terms */
    int n, topic;
    float scale, cosine;                 /* 1 / |x|, 0 for no x; with the centre of its topic */
} sampled;

struct lm_topics_trainer {
    lm_topics_options o;
    sampled *texts;
    int64_t n, seen;
    lm_buckets room;
    float *idf;                          /* [PLACES] */
    float *weights;                      /* [PLACES][k]: idf_f c_k, as k goes on changing */
    int k;
};

/* ---- texts ------------------------------------------------------------------- */

lm_topics_trainer *lm_topics_trainer_new(const lm_topics_options *options)
{
    LM_ASSERT(options->topics > 1 && options->topics <= LM_TOPICS_MOST && options->sample > 0);
    lm_topics_trainer *t = lm_calloc(1, sizeof *t);
    t->o = *options;
    t->texts = lm_calloc((size_t)options->sample, sizeof *t->texts);
    return t;
}

static void free_text(sampled *s)
{
    free((char *)(uintptr_t)s->head.data);
    free(s->places);
}

void lm_topics_trainer_free(lm_topics_trainer *t)
{
    if (!t) return;
    for (int64_t i = 0; i < t->n; i++) free_text(&t->texts[i]);
    lm_buckets_free(&t->room);
    free(t->texts);
    free(t->idf);
    free(t->weights);
    free(t);
}

/* Where text number `seen` goes in the reservoir, or beyond it: each text has the same chance to stay. */
static int64_t draw_place(const lm_topics_trainer *t)
{
    lm_rng rng = { .seed = (uint64_t)t->o.seed, .stream = STREAM_SAMPLE, .counter = (uint64_t)t->seen * 4 };
    return t->seen < t->o.sample ? t->seen : (int64_t)lm_rng_below(&rng, (uint64_t)t->seen + 1);
}

static size_t head_bytes(lm_span text)
{
    int64_t runes = 0;
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] & 0xC0) != 0x80 && runes++ == rule.limit) return i;
    return text.len;
}

void lm_topics_trainer_add(lm_topics_trainer *t, lm_span text)
{
    int64_t at = draw_place(t);
    t->seen++;
    if (at >= t->o.sample) return;
    sampled *s = &t->texts[at];
    if (at < t->n) free_text(s);
    else t->n++;
    lm_buckets_of(&t->room, &rule, text);
    size_t head = head_bytes(text);
    *s = (sampled){ .head = { lm_strndup(text.data ? text.data : "", head), head }, .places = lm_malloc(t->room.n * sizeof *s->places + 1), .n = (int)t->room.n, .topic = -1 };
    if (s->n) memcpy(s->places, t->room.items, (size_t)s->n * sizeof *s->places);
}

/* ---- vectors ----------------------------------------------------------------- */

static void weigh_terms(lm_topics_trainer *t)
{
    int64_t *texts = lm_calloc(PLACES, sizeof *texts);
    t->idf = lm_calloc(PLACES, sizeof *t->idf);
    for (int64_t i = 0; i < t->n; i++)
        for (int f = 0; f < t->texts[i].n; f++) texts[t->texts[i].places[f]]++;
    for (int p = 0; p < PLACES; p++) t->idf[p] = texts[p] > 1 ? (float)log((double)t->n / (double)texts[p]) : 0;
    for (int64_t i = 0; i < t->n; i++) {
        sampled *s = &t->texts[i];
        double square = 0;
        for (int f = 0; f < s->n; f++) square += (double)t->idf[s->places[f]] * (double)t->idf[s->places[f]];
        s->scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
    }
    free(texts);
}

/* Of texts that have a vector, m in an order of their own. */
static int draw_seeds(const lm_topics_trainer *t, int64_t *seeds, int most)
{
    int m = 0;
    for (int64_t i = 0; i < t->n && m < most; i++) {
        int64_t at = lm_permute(i, t->n, (uint64_t)t->o.seed, STREAM_SEEDS);
        if (t->texts[at].scale > 0) seeds[m++] = at;
    }
    return m;
}

typedef struct comparing {
    const lm_topics_trainer *t;
    const int64_t *seeds;
    float *distances;
    int m;
} comparing;

/* |x - y|^2 = 2 - 2 x . y, of x number i and all that follow. */
static void compare_some(int64_t begin, int64_t end, void *context)
{
    const comparing *c = context;
    float *x = lm_calloc(PLACES, sizeof *x);
    for (int64_t i = begin; i < end; i++) {
        const sampled *a = &c->t->texts[c->seeds[i]];
        for (int f = 0; f < a->n; f++) x[a->places[f]] = c->t->idf[a->places[f]] * a->scale;
        for (int64_t j = i + 1; j < c->m; j++) {
            const sampled *b = &c->t->texts[c->seeds[j]];
            float dot = 0;
            for (int f = 0; f < b->n; f++) dot += x[b->places[f]] * c->t->idf[b->places[f]];
            c->distances[i * c->m + j] = c->distances[j * c->m + i] = 2 - 2 * dot * b->scale;
        }
        for (int f = 0; f < a->n; f++) x[a->places[f]] = 0;
    }
    free(x);
}

/* Gives the texts of a part their first topics. */
static lm_status seed_topics(lm_topics_trainer *t, lm_err *err)
{
    int most = SEED_TEXTS > SEEDS_PER_TOPIC * t->k ? SEED_TEXTS : SEEDS_PER_TOPIC * t->k;
    int64_t *seeds = lm_malloc((size_t)most * sizeof *seeds);
    comparing c = { .t = t, .seeds = seeds, .m = draw_seeds(t, seeds, most) };
    if (c.m < t->k) {
        free(seeds);
        return lm_fail(err, LM_E_FORMAT, "expected at least %d texts that share words with others, one for each topic, found %d", t->k, c.m);
    }
    int *group = lm_malloc((size_t)c.m * sizeof *group);
    c.distances = lm_calloc((size_t)c.m * (size_t)c.m, sizeof *c.distances);
    lm_parallel(c.m, 16, compare_some, &c);
    lm_ward(group, c.distances, c.m, t->k);
    for (int i = 0; i < c.m; i++) t->texts[seeds[i]].topic = group[i];
    free(seeds), free(group), free(c.distances);
    return LM_OK;
}

/* ---- k-means ----------------------------------------------------------------- */

static void move_centres(lm_topics_trainer *t)
{
    size_t k = (size_t)t->k;
    double *squares = lm_calloc(k, sizeof *squares);
    memset(t->weights, 0, PLACES * k * sizeof *t->weights);
    for (int64_t i = 0; i < t->n; i++) {
        const sampled *s = &t->texts[i];
        for (int f = 0; f < s->n && s->topic >= 0; f++) t->weights[s->places[f] * k + (size_t)s->topic] += t->idf[s->places[f]] * s->scale;
    }
    for (size_t w = 0; w < PLACES * k; w++) squares[w % k] += (double)t->weights[w] * (double)t->weights[w];
    for (size_t w = 0; w < PLACES * k; w++)
        if (t->weights[w] > 0) t->weights[w] *= t->idf[w / k] / (float)sqrt(squares[w % k]);
    free(squares);
}

static int best_topic(const float *weights, int k, const uint32_t *places, size_t n, float *sums, float *best)
{
    int topic = -1;
    *best = 0;
    memset(sums, 0, (size_t)k * sizeof *sums);
    for (size_t f = 0; f < n; f++)
        for (int l = 0; l < k; l++) sums[l] += weights[(size_t)places[f] * (size_t)k + (size_t)l];
    for (int l = 0; l < k; l++)
        if (sums[l] > *best) *best = sums[topic = l];
    return topic;
}

static void assign_some(int64_t begin, int64_t end, void *context)
{
    lm_topics_trainer *t = context;
    float *sums = lm_malloc((size_t)t->k * sizeof *sums), best;
    for (int64_t i = begin; i < end; i++) {
        sampled *s = &t->texts[i];
        s->topic = best_topic(t->weights, t->k, s->places, (size_t)s->n, sums, &best);
        s->cosine = best * s->scale;
    }
    free(sums);
}

/* Until no text changes its topic. */
static void find_topics(lm_topics_trainer *t)
{
    int *before = lm_malloc((size_t)t->n * sizeof *before + 1);
    bool changed = true;
    for (int round = 0; round < MOST_ROUNDS && changed; round++) {
        for (int64_t i = 0; i < t->n; i++) before[i] = t->texts[i].topic;
        move_centres(t);
        lm_parallel(t->n, 64, assign_some, t);
        changed = false;
        for (int64_t i = 0; i < t->n && !changed; i++) changed = before[i] != t->texts[i].topic;
    }
    free(before);
}

/* ---- what was found ---------------------------------------------------------- */

typedef struct found {
    int64_t texts, nearest;
    double cosine;
    int topic;                           /* its number until now */
} found;

static int by_texts(const void *a_, const void *b_)
{
    const found *a = a_, *b = b_;
    return a->texts != b->texts ? (a->texts < b->texts) - (a->texts > b->texts) : (a->topic > b->topic) - (a->topic < b->topic);
}

/* Topics by their size, without those that are empty, in the numbers of texts and in the columns of the weights. */
static int sort_topics(lm_topics_trainer *t, found *topics)
{
    int *number = lm_malloc((size_t)t->k * sizeof *number), k = 0;
    for (int l = 0; l < t->k; l++) topics[l] = (found){ .topic = l, .nearest = -1 };
    for (int64_t i = 0; i < t->n; i++) {
        const sampled *s = &t->texts[i];
        if (s->topic < 0) continue;
        found *f = &topics[s->topic];
        f->texts++;
        f->cosine += (double)s->cosine;
        if (f->nearest < 0 || s->cosine > t->texts[f->nearest].cosine) f->nearest = i;
    }
    qsort(topics, (size_t)t->k, sizeof *topics, by_texts);
    while (k < t->k && topics[k].texts) number[topics[k].topic] = k, k++;
    for (int64_t i = 0; i < t->n; i++)
        if (t->texts[i].topic >= 0) t->texts[i].topic = number[t->texts[i].topic];
    float *weights = lm_malloc((size_t)PLACES * (size_t)k * sizeof *weights + 1);
    for (size_t p = 0; p < PLACES; p++)
        for (int l = 0; l < k; l++) weights[p * (size_t)k + (size_t)l] = t->weights[p * (size_t)t->k + (size_t)topics[l].topic];
    free(t->weights);
    free(number);
    t->weights = weights;
    t->k = k;
    return k;
}

/* Three words; two topics that would be called the same have a number. */
static char *name_of(const lm_strings *words, const lm_strings *names)
{
    lm_str name = {0}, numbered = {0};
    for (int w = 0; w < words->n && w < NAME_WORDS; w++) lm_str_printf(&name, "%s%s", w ? " " : "", words->items[w]);
    if (!name.len) lm_str_puts(&name, "no words");
    lm_str_puts(&numbered, name.data);
    for (int same = 2; lm_label_find(names, numbered.data) >= 0; same++) {
        lm_str_clear(&numbered);
        lm_str_printf(&numbered, "%s (%d)", name.data, same);
    }
    lm_str_free(&name);
    return lm_str_take(&numbered);
}

static void put_topic(lm_json *topics, const lm_topics_trainer *t, const found *f, const lm_strings *words, const char *name)
{
    lm_span head = t->texts[f->nearest].head;
    lm_json *list = json_array();
    for (int w = 0; w < words->n; w++) json_array_append_new(list, json_string(words->items[w]));
    char *example = lm_topic_example(head);
    json_array_append_new(topics, json_pack("{s:s, s:I, s:f, s:f, s:o, s:s}", "name", name, "texts", (json_int_t)f->texts, "share", (double)f->texts / (double)t->n, "cosine",
                                            f->cosine / (double)f->texts, "words", list, "example", example));
    free(example);
}

static void name_topics(lm_strings *names, lm_json *topics, const lm_topics_trainer *t, const found *f)
{
    lm_strings *words = lm_calloc((size_t)t->k, sizeof *words);
    lm_span *heads = lm_malloc((size_t)t->n * sizeof *heads);
    int *topic = lm_malloc((size_t)t->n * sizeof *topic);
    for (int64_t i = 0; i < t->n; i++) heads[i] = t->texts[i].head, topic[i] = t->texts[i].topic;
    lm_topic_words(words, t->k, heads, topic, t->n);
    for (int l = 0; l < t->k; l++) {
        lm_strings_push(names, name_of(&words[l], names));
        put_topic(topics, t, &f[l], &words[l], names->items[l]);
        lm_strings_free(&words[l]);
    }
    free(words), free(heads), free(topic);
}

lm_status lm_topics_train(lm_linear **out, lm_json *topics, lm_topics_trainer *t, lm_err *err)
{
    found list[LM_TOPICS_MOST];
    lm_strings names = {0};
    *out = NULL;
    t->k = (int)t->o.topics;
    weigh_terms(t);
    LM_TRY(seed_topics(t, err));
    t->weights = lm_calloc((size_t)PLACES * (size_t)t->k, sizeof *t->weights);
    find_topics(t);
    if (sort_topics(t, list) < 2) return lm_fail(err, LM_E_FORMAT, "the texts are all alike: expected two topics or more, found %d", t->k);
    name_topics(&names, topics, t, list);
    *out = lm_linear_of(&rule, &names, t->weights);
    t->weights = NULL;
    lm_strings_free(&names);
    return LM_OK;
}

/* ---- using a model ----------------------------------------------------------- */

int lm_topic_of(const lm_linear *m, lm_buckets *room, lm_span text, double *score)
{
    float best, *sums = lm_malloc((size_t)lm_linear_labels(m)->n * sizeof *sums);
    lm_buckets_of(room, lm_linear_rule_of(m), text);
    int topic = best_topic(lm_linear_weights(m), lm_linear_labels(m)->n, room->items, room->n, sums, &best);
    if (score) *score = room->n ? (double)best / sqrt((double)room->n) : 0;
    free(sums);
    return topic;
}

char *lm_topic_example(lm_span text)
{
    lm_str line = {0};
    lm_words words;
    lm_words_begin(&words, lm_span_of(text.data, lm_text_fit(text.data, text.len, 2 * EXAMPLE_COLUMNS)), false);
    for (lm_span word; lm_words_next(&words, &word);) {
        if (line.len) lm_str_putc(&line, ' ');
        lm_str_append(&line, word.data, word.len);
    }
    lm_str_puts(&line, "");
    line.data[lm_text_fit(line.data, line.len, EXAMPLE_COLUMNS)] = '\0';
    lm_one_line(line.data);
    return lm_str_take(&line);
}
