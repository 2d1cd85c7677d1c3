/* Mixtures: rows of several sources in stated proportions, in an order that is a function of a seed.
 *
 * Of a stage of N rows, source i gives N r_i of them, with r_i by one of two rules:
 *   weights   r_i = w_i / sum_j w_j
 *   sizes     r_i = w_i min(n_i, K)^(1/T) / sum_j w_j min(n_j, K)^(1/T)
 * where n_i is how many rows it has, K a cap and T a temperature: examples-proportional and temperature-scaled mixing
 * (Raffel et al. 2020, "Exploring the limits of transfer learning", section 3.5.2).  Sources with a fixed share,
 * such as pretraining text that keeps a model from forgetting, come first; the rules divide what is left.  Fractions
 * become whole rows by largest remainder.
 *
 * Of a source no row comes twice before all have come once, in all stages together.  Where a field names its topics,
 * or a number its difficulty (cut into bins of equally many rows), groups give equally many rows as far as they have them.
 *
 * Rows are copied to memory, or to a nameless file where they do not fit; about 16 bytes a row stay in memory.  The order is computed
 * (permute.h), so that no shuffle of it is ever held. */
#ifndef LM_DATA_MIX_H
#define LM_DATA_MIX_H

#include "base/option.h"
#include "data/source.h"

#include <stdint.h>

typedef struct lm_mix_source {
    const char *name;                    /* what stages and reports call it */
    lm_strings files;
    const char *format, *separator;      /* as in lm_source_options */
    double weight;                       /* 0: not given */
    double share;                        /* of all rows; 0: not fixed */
    const char *topic, *difficulty;      /* fields to balance by, or NULL; topic: also a model, FILE.safetensors (data/topics.h) */
    int64_t bins;                        /* of difficulty */
} lm_mix_source;

typedef enum lm_mix_rule { LM_MIX_AUTO, LM_MIX_WEIGHTS, LM_MIX_SIZES } lm_mix_rule;   /* auto: weights where one was given */

typedef struct lm_mix_stage {
    const char *name;
    int64_t rows;                        /* 0: as many as there are with no row that comes again */
    int rule;
    double temperature;                  /* T; 1 changes nothing */
    int64_t cap;                         /* K; 0: none */
    double *weights;                     /* [n_sources] instead of the sources' own; NULL: those */
} lm_mix_stage;

typedef struct lm_mix {
    lm_mix_source *sources;
    lm_mix_stage *stages;
    int n_sources, n_stages;
} lm_mix;

/* ---- making one (mix/recipe.c); strings are owned by it ---- */

/* "FILE", "FILE:WEIGHT" or "FILE:SHARE%".  LM_E_USAGE where the number is none, or not above 0. */
lm_status lm_mix_add(lm_mix *m, const char *text, lm_err *err);

/* Of such texts the files, for what reads all rows alike; appended to out. */
lm_status lm_mix_files_of(lm_strings *out, const lm_strings *texts, lm_err *err);
void lm_mix_source_set(lm_mix_source *s, const char *format, const char *separator, const char *topic, const char *difficulty, int64_t bins);   /* NULL: none */
lm_mix_stage *lm_mix_add_stage(lm_mix *m);               /* called by its number, with defaults */

/* A YAML file with `sources`, a mapping of names, and `stages`, a list; see docs/data.md. */
lm_status lm_mix_read(lm_mix *m, const char *path, lm_err *err);

/* What can be said before a row is read: LM_E_USAGE. */
lm_status lm_mix_check(const lm_mix *m, lm_err *err);
void lm_mix_free(lm_mix *m);             /* takes {0} */

/* ---- numbers (mix/plan.c) ---- */

/* Shares of the sources in a stage, which sum to 1; sizes[i] rows has source i. */
lm_status lm_mix_rates(double *rates, const lm_mix *m, const lm_mix_stage *stage, const int64_t *sizes, lm_err *err);

/* Whole numbers that sum to `rows`, each less than one away from rates[i] * rows. */
void lm_mix_counts(int64_t *counts, const double *rates, int n, int64_t rows);

/* The most rows of which no source gives more than left[i], so that shares hold. */
int64_t lm_mix_most(const double *rates, const int64_t *left, int n);

/* counts[i] <= left[i] that sum to `rows` (at most the sum of left), as equal as that allows. */
void lm_mix_level(int64_t *counts, const int64_t *left, int n, int64_t rows);

/* ---- the work (mix.c) ---- */

typedef struct lm_mix_options {
    const char *out, *folder;            /* folder: for the nameless file; NULL: that of `out` */
    const char *stage;                   /* the only one that is written, others having had their rows; NULL: all, one after the other */
    const char *source_field;            /* every row gets this field with the name of its source; NULL: rows stay as they are */
    int64_t parts;                       /* files; from 2 on "-00001-of-00004" goes into the name of `out` */
    int64_t memory;                      /* bytes of rows that are held there */
    int64_t seed;
    int on_error;                        /* 0: a malformed row is an error; 1: it is counted */
} lm_mix_options;

typedef struct lm_mix_result {
    lm_json *report;                     /* "stages" and "sources", with their counts */
    int64_t rows, bytes, repeated;       /* written; and those that had been written before */
    lm_skipped skipped;
} lm_mix_result;

lm_status lm_mix_files(lm_mix_result *result, const lm_mix *m, const lm_mix_options *options, lm_err *err);
void lm_mix_result_free(lm_mix_result *result);

#endif
