/* What filters learn from texts: which language a text is in, what is good and what is bad, what is usual.
 *
 *   language     naive Bayes over n-grams of letters; texts are cut into pieces, so that few long ones will do
 *   classifier   logistic regression over n-grams of characters and of words
 *   perplexity   an n-gram language model
 *   topics       what the texts are about, found without labels (data/topics.h)
 *
 * Of the first three, a part of the texts is held out, and tells how good the model is.  The same texts and seed give the same file. */
#ifndef LM_DATA_LEARN_H
#define LM_DATA_LEARN_H

#include "data/source.h"

typedef enum lm_learn_kind { LM_LEARN_LANGUAGE, LM_LEARN_CLASSIFIER, LM_LEARN_PERPLEXITY, LM_LEARN_TOPICS } lm_learn_kind;
extern const char *const lm_learn_names[];               /* "language", ..., NULL */

/* What the files say they are, by kind; for lm_linear_load. */
extern const char lm_language_model[], lm_classifier_model[];

typedef struct lm_learn_options {
    int kind;
    const char *out;
    lm_strings as;                       /* "LABEL=FILE": all texts of the file have that label */
    const char *field, *label_field, *format, *separator;
    int on_error;                        /* 0: a malformed row is an error; 1: it is counted */
    int64_t piece;                       /* characters of a piece; 0: texts are whole; -1: 300 for language, else 0 */
    double held_out;                     /* share */
    int64_t seed, epochs;
    double rate;
    int64_t order, least;                /* of an n-gram model */
    int words;                           /* its tokens */
    int64_t topics, sample;              /* how many, and from how many pieces */
} lm_learn_options;

/* Learns from the files (rows with a text and, for language and classifier, a label) and from those of `as`, and writes the model.
 * *report is for the caller to free: counts, and how it does on what was held out. */
lm_status lm_learn_files(lm_json **report, lm_skipped *skipped, const lm_strings *paths, const lm_learn_options *options, lm_err *err);

#endif
