/* Topics of a corpus, found without labels: spherical k-means over the terms of texts.
 *
 *   x_f = idf_f / |x|  for the terms f that a text has (data/linear.h),  idf_f = log(N / n_f), 0 where only one text has f
 *   c_k = sum of x over the texts of topic k / its length;  a text belongs to the k of the greatest x . c_k
 *
 * (Dhillon and Modha 2001, "Concept decompositions for large sparse text data using clustering").  The first centres are
 * those of groups in a part of the texts by Ward's criterion, after Cutting et al. 1992 ("Scatter/Gather", Buckshot).  So
 * topics follow from texts and seed alone.  Learning goes by a sample of the corpus (reservoir sampling), with which memory
 * is bounded; a model is a linear one with idf_f c_k for its weights, whose labels are the topics' words, and gives every
 * further text a topic. */
#ifndef LM_DATA_TOPICS_H
#define LM_DATA_TOPICS_H

#include "data/linear.h"
#include "data/source.h"

extern const char lm_topic_model[];      /* for lm_linear_load */

typedef struct lm_topics_options {
    int64_t topics;                      /* 2 .. LM_TOPICS_MOST */
    int64_t sample;                      /* texts that are learned from, at most */
    int64_t seed;
} lm_topics_options;
enum { LM_TOPICS_MOST = 500 };

typedef struct lm_topics_trainer lm_topics_trainer;
lm_topics_trainer *lm_topics_trainer_new(const lm_topics_options *options);
void lm_topics_trainer_add(lm_topics_trainer *t, lm_span text);
void lm_topics_trainer_free(lm_topics_trainer *t);       /* takes NULL */

/* Appends to the array `topics` an object for each, the largest first: name, texts, share, mean cosine, words, example.
 * There are fewer than asked for where some end up empty.  LM_E_FORMAT: fewer texts that share terms with others than topics. */
lm_status lm_topics_train(lm_linear **out, lm_json *topics, lm_topics_trainer *t, lm_err *err);

/* The topic of a text, or -1 where it has no term of any; *score, unless NULL, is greater the nearer it is.  `room` is used again. */
int lm_topic_of(const lm_linear *m, lm_buckets *room, lm_span text, double *score);

/* The beginning of a text in one line, for the caller to free. */
char *lm_topic_example(lm_span text);

#endif
