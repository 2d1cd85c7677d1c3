#include "data/confusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lm_confusion_init(lm_confusion *c, int64_t n)
{
    *c = (lm_confusion){ .count = lm_calloc((size_t)(n * n), sizeof *c->count), .n = n };
}

void lm_confusion_free(lm_confusion *c)
{
    free(c->count);
    *c = (lm_confusion){0};
}

void lm_confusion_clear(lm_confusion *c)
{
    memset(c->count, 0, (size_t)(c->n * c->n) * sizeof *c->count);
    c->total = 0;
}

static int64_t largest(const float *scores, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) best = scores[i] > scores[best] ? i : best;
    return best;
}

/* ln sum exp, about the largest. */
static double log_sum(const float *scores, int64_t n)
{
    double sum = 0, top = scores[largest(scores, n)];
    for (int64_t i = 0; i < n; i++) sum += exp(scores[i] - top);
    return top + log(sum);
}

int64_t lm_softmax(double *p, const float *scores, int64_t n)
{
    double all = log_sum(scores, n);
    for (int64_t i = 0; i < n; i++) p[i] = exp(scores[i] - all);
    return largest(scores, n);
}

double lm_confusion_add(lm_confusion *c, int64_t truth, const float *scores)
{
    c->count[truth * c->n + largest(scores, c->n)]++;
    c->total++;
    return log_sum(scores, c->n) - scores[truth];
}

/* ---- measures ---- */

typedef struct tally {
    int64_t right, truths, guesses;
} tally;

static tally of_label(const lm_confusion *c, int64_t label)
{
    tally t = { .right = c->count[label * c->n + label] };
    for (int64_t i = 0; i < c->n; i++) t.truths += c->count[label * c->n + i], t.guesses += c->count[i * c->n + label];
    return t;
}

static double ratio(int64_t a, int64_t b) { return b ? (double)a / (double)b : 0; }

static double f1(const tally *t) { return ratio(2 * t->right, t->truths + t->guesses); }

double lm_confusion_accuracy(const lm_confusion *c)
{
    int64_t right = 0;
    for (int64_t i = 0; i < c->n; i++) right += c->count[i * c->n + i];
    return ratio(right, c->total);
}

double lm_confusion_macro_f1(const lm_confusion *c)
{
    double sum = 0;
    int64_t labels = 0;
    for (int64_t i = 0; i < c->n; i++) {
        tally t = of_label(c, i);
        sum += f1(&t);
        labels += t.truths + t.guesses > 0;
    }
    return labels ? sum / (double)labels : 0;
}

lm_json *lm_confusion_classes(const lm_confusion *c, const lm_strings *names)
{
    json_t *classes = json_object();
    for (int64_t i = 0; i < c->n; i++) {
        tally t = of_label(c, i);
        json_object_set_new(classes, names->items[i], json_pack("{s:f, s:f, s:f, s:I}", "precision", ratio(t.right, t.guesses),
                            "recall", ratio(t.right, t.truths), "f1", f1(&t), "rows", (json_int_t)t.truths));
    }
    return classes;
}

lm_json *lm_confusion_matrix(const lm_confusion *c)
{
    json_t *matrix = json_array();
    for (int64_t i = 0; i < c->n; i++) {
        json_t *row = json_array();
        for (int64_t j = 0; j < c->n; j++) json_array_append_new(row, json_integer((json_int_t)c->count[i * c->n + j]));
        json_array_append_new(matrix, row);
    }
    return matrix;
}
