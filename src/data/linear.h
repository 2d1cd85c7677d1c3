/* Linear models over hashed n-grams of a text: which of a few labels it has.
 *
 *   z_l = b_l + scale * sum_f W[hash(f), l]        p = softmax(z)
 *
 * f goes over the n-grams of characters and of words that the text has, each as often as it stands there.  Characters
 * are read in lower case, digits as 0 and runs of white space as one space; with `letters` all that is no letter is
 * such a space.  n-grams share places of a table (Weinberger et al. 2009, "Feature hashing for large scale multitask
 * learning").  Instead of n-grams there can be terms, each counted once: words, and of Hangul, ideographs, kana and Thai
 * pairs of characters, because particles cling to words there or nothing parts them.  Three ways of training:
 *
 *   naive Bayes   W = log((count + alpha) / (all + alpha * places)), labels alike beforehand; scale 1
 *                 (Dunning 1994, "Statistical identification of language")
 *   logistic      minimises cross-entropy by stochastic gradient descent with steps that adapt to each place (Duchi et
 *                 al. 2011, AdaGrad), scale 1 / sqrt(n-grams of the text), as a bag of n-grams without hidden layer
 *                 (Joulin et al. 2017, "Bag of tricks for efficient text classification")
 *   topics        without labels: data/topics.h */
#ifndef LM_DATA_LINEAR_H
#define LM_DATA_LINEAR_H

#include "base/err.h"
#include "base/json.h"
#include "base/option.h"
#include "base/str.h"

/* Which n-grams. */
typedef struct lm_linear_rule {
    int64_t least_runes, most_runes;     /* of characters; 0: none */
    int64_t words;                       /* 1 .. that many words; 0: none */
    int64_t bits;                        /* the table has 2^bits places */
    int64_t limit;                       /* characters of a text that are looked at */
    bool letters;
    bool terms;                          /* and no n-grams; wants letters */
} lm_linear_rule;

/* n-grams of a text, or its terms, as places of the table. */
typedef struct lm_buckets {
    uint32_t *items, *runes;
    size_t n, cap, runes_cap;
} lm_buckets;
void lm_buckets_of(lm_buckets *out, const lm_linear_rule *rule, lm_span text);     /* overwrites */
void lm_buckets_free(lm_buckets *p);

typedef struct lm_linear lm_linear;

/* An example: its places, and the number of its label. */
typedef struct lm_linear_example {
    uint32_t *places;
    size_t n;
    int label;
} lm_linear_example;

/* Labels are copied.  Both give the same model whatever the threads. */
lm_linear *lm_linear_bayes(const lm_linear_rule *rule, const lm_strings *labels, const lm_linear_example *examples, int64_t n);
lm_linear *lm_linear_logistic(const lm_linear_rule *rule, const lm_strings *labels, const lm_linear_example *examples, int64_t n, int epochs, double rate, uint64_t seed);

/* Of weights [places][labels], which it takes over; scale is 1 / sqrt(n). */
lm_linear *lm_linear_of(const lm_linear_rule *rule, const lm_strings *labels, float *weights);

const lm_strings *lm_linear_labels(const lm_linear *m);

/* Probabilities of the labels; room for as many as there are.  Returns the most probable, of equals the first. */
int lm_linear_predict(const lm_linear *m, const uint32_t *places, size_t n, double *p);
const lm_linear_rule *lm_linear_rule_of(const lm_linear *m);
const float *lm_linear_weights(const lm_linear *m);      /* [places][labels] */
int lm_linear_predict_text(const lm_linear *m, lm_span text, double *p);

/* A safetensors file; `extra` joins its metadata.  `kind` tells what it was learned for, and is asked for in loading. */
lm_status lm_linear_save(const lm_linear *m, const char *kind, const lm_json *extra, const char *path, lm_err *err);
lm_status lm_linear_load(lm_linear **out, const char *kind, const char *path, lm_err *err);
void lm_linear_free(lm_linear *m);                       /* takes NULL */

#endif
