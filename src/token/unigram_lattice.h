/* The lattice that Unigram training walks again and again: every place of every word, with the pieces that
 * begin there.
 *
 * Words lie end to end as letters (numbers of characters), and a piece is a stretch of them.  The edges of a
 * place are found once, from the suffix array that gives the first pieces; when pieces go, their edges are
 * taken out.  So a pass reads the edges from front to back and looks nothing up in a tree.
 *
 * Invariants: 1 the first n_letters pieces are the letters, in order, and never go.  2 An edge never leaves
 * its word.  3 Sums are of integers, so no result depends on the order of words or the number of threads. */
#ifndef LM_TOKEN_UNIGRAM_LATTICE_H
#define LM_TOKEN_UNIGRAM_LATTICE_H

#include <stddef.h>
#include <stdint.h>

enum { LM_UNIGRAM_WORD = 256,        /* letters of a word; longer ones are cut */
       LM_UNIGRAM_PIECE = 63,        /* letters of a piece */
       LM_UNIGRAM_LETTERS = 65534 }; /* different ones */

/* A piece that begins at a place: its number << 6 | its length. */
typedef uint32_t lm_unigram_edge;

typedef struct lm_unigram_piece {
    uint32_t at;                     /* a place where it stands */
    uint32_t length;
} lm_unigram_piece;

typedef struct lm_lattice {
    uint16_t *letters;               /* [n]: number of the letter + 1; 0 behind each word */
    size_t n, cap;
    uint32_t *begins;                /* [n_words] first place of each word */
    int64_t *counts;                 /* [n_words] how often it occurs */
    size_t n_words, cap_words;
    int n_letters;

    uint32_t *first;                 /* [n + 1] edges of place i are first[i] .. first[i + 1] */
    lm_unigram_edge *edges;
    lm_unigram_piece *pieces;        /* [n_pieces] */
    double *scores;                  /* [n_pieces] natural logarithms of probabilities */
    int n_pieces;
} lm_lattice;

void lm_lattice_word(lm_lattice *l, int64_t count);      /* begins a word */
void lm_lattice_letter(lm_lattice *l, int letter);       /* appends to it */
void lm_lattice_free(lm_lattice *l);

/* Finds the pieces to begin with: the letters, and of the substrings that occur at least `least` times and
 * have at most `longest` letters those `most` with the highest product of frequency and length, their
 * scores in proportion to it.  Fills all that follows n_letters. */
void lm_lattice_seed(lm_lattice *l, int longest, int64_t least, int most);

/* How often each piece is expected to occur [n_pieces] (the E step; Kudo 2018, section 3.2). */
void lm_lattice_expect(const lm_lattice *l, double *expected);

/* How often it occurs on the best paths. */
void lm_lattice_best(const lm_lattice *l, int64_t *occurs);

/* The best way to make piece `id` of others: their numbers go to parts [LM_UNIGRAM_PIECE]; gives how many. */
int lm_lattice_without(const lm_lattice *l, int id, int *parts, double *score);

/* Takes out the pieces whose `keep` is 0; the others keep their order. */
void lm_lattice_keep(lm_lattice *l, const uint8_t *keep);

#endif
