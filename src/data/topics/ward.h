/* Hierarchical clustering by Ward's criterion: those two clusters become one whose squared distances to their centre grow
 * the least by it.
 *
 * The distances of a merged cluster follow from those before (Lance and Williams 1967):
 *   d(ab, c) = ((n_a + n_c) d(a, c) + (n_b + n_c) d(b, c) - n_c d(a, b)) / (n_a + n_b + n_c)
 * and chains of nearest neighbours find the merges in O(m^2) (Murtagh 1983, "A survey of recent advances in hierarchical
 * clustering algorithms"). */
#ifndef LM_DATA_TOPICS_WARD_H
#define LM_DATA_TOPICS_WARD_H

/* group[i] < k of m points, by their squared distances [m][m], which are overwritten; 1 <= k <= m.  Groups are numbered in
 * the order of their first points. */
void lm_ward(int *group, float *distances, int m, int k);

#endif
