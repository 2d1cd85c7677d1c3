/* Banding: how the K values of a signature are cut so that documents alike to a degree meet.
 *
 * Two documents of similarity s agree in all r values of one of b bands with the probability
 *   P(s) = 1 - (1 - s^r)^b                                    (Leskovec et al., Mining of Massive Datasets, 3.4.2)
 * Of all bandings with b r <= K that miss a pair at the threshold with at most the probability that is
 * given, the one is chosen whose needless meetings, integral of P over [0, threshold], are fewest: what
 * datasketch weighs against misses by a factor is held to a bound here, since every meeting is verified. */
#ifndef LM_DATA_DEDUP_BANDING_H
#define LM_DATA_DEDUP_BANDING_H

typedef struct lm_banding {
    int bands, rows;
    double missed;                       /* 1 - P(threshold) */
    double met_below;                    /* integral of P over [0, threshold] */
    double missed_above;                 /* integral of 1 - P over [threshold, 1] */
} lm_banding;

/* threshold in (0, 1], miss in (0, 1).  Where no banding reaches `miss`, the one that misses least. */
lm_banding lm_banding_choose(int permutations, double threshold, double miss);
double lm_banding_meet(int bands, int rows, double similarity);

#endif
