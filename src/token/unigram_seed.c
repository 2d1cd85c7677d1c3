/* The pieces that Unigram training begins with: frequent substrings of the words.
 *
 * In the suffix array of all words the suffixes that begin with the same substring stand side by side.  A
 * substring that is followed by different letters (or ends words) in different places is an interval of
 * suffixes that share more letters than they do with their neighbours (Abouelhoda, Kurtz, Ohlebusch 2004).
 * Those intervals are found by one pass with a stack.  A shorter substring of the same places would be no
 * better a piece, so it is left out, as in SentencePiece.  Unlike there, an occurrence counts as often as its
 * word does in the text, and a substring of a single frequent word counts too.
 *
 * The suffixes of an interval are also the places where the piece stands: they give the lattice its edges. */
#include "token/unigram_lattice.h"
#include "base/err.h"
#include "base/str.h"

#include <divsufsort.h>
#include <math.h>
#include <stdlib.h>

typedef struct interval {
    uint32_t left, right;            /* of the suffix array: [left, right) */
    uint32_t length;                 /* letters in common */
    double score;
} interval;

typedef struct seeds {
    const lm_lattice *lattice;
    int longest;
    int64_t least;
    int32_t *suffixes;               /* [n] places by what follows */
    uint32_t *word_of;               /* [n] */
    /* Of every interval found: its score goes into the histogram, and itself into the list when that is high
     * enough. */
    int64_t *histogram;
    int threshold;
    interval *found;
    size_t n_found, cap_found;
} seeds;

/* ---- suffixes ------------------------------------------------------------------------------- */

/* The library sorts bytes: a letter is two of them, and the suffixes from the second ones are passed over. */
static void sort_suffixes(seeds *s)
{
    const lm_lattice *l = s->lattice;
    uint8_t *bytes = lm_malloc(2 * l->n);
    int32_t *all = lm_malloc(2 * l->n * sizeof *all);
    for (size_t i = 0; i < l->n; i++) bytes[2 * i] = (uint8_t)(l->letters[i] >> 8), bytes[2 * i + 1] = (uint8_t)l->letters[i];
    if (divsufsort(bytes, all, (int32_t)(2 * l->n))) LM_BUG("the suffixes of %zu letters cannot be sorted", l->n);
    free(bytes);
    size_t n = 0;
    for (size_t i = 0; i < 2 * l->n; i++)
        if (all[i] % 2 == 0) all[n++] = all[i] / 2;
    s->suffixes = lm_realloc(all, l->n * sizeof *all);
}

static void find_words(seeds *s)
{
    const lm_lattice *l = s->lattice;
    s->word_of = lm_malloc(l->n * sizeof *s->word_of);
    for (size_t w = 0; w < l->n_words; w++)
        for (size_t i = l->begins[w]; i < (w + 1 < l->n_words ? l->begins[w + 1] : l->n); i++) s->word_of[i] = (uint32_t)w;
}

/* Letters that two places have in common, within their words and the longest piece. */
static int common(const seeds *s, int32_t a, int32_t b)
{
    const uint16_t *x = s->lattice->letters + a, *y = s->lattice->letters + b;
    int n = 0;
    while (n < s->longest && x[n] && x[n] == y[n]) n++;
    return n;
}

/* ---- intervals --------------------------------------------------------------------------------- */

enum { BUCKETS = 4096 };             /* 64 for each doubling of the score */
static int bucket_of(double score) { return (int)fmin(BUCKETS - 1, 64 * log2(score)); }

static void offer(seeds *s, uint32_t left, uint32_t right, int length, int64_t times)
{
    double score = (double)times * length;
    if (length < 2 || times < s->least) return;
    if (s->histogram) {
        s->histogram[bucket_of(score)]++;
    } else if (bucket_of(score) >= s->threshold) {
        if (s->n_found == s->cap_found) {
            s->cap_found = s->cap_found ? s->cap_found + s->cap_found / 2 : 1 << 14;
            s->found = lm_realloc(s->found, s->cap_found * sizeof *s->found);
        }
        s->found[s->n_found++] = (interval){ left, right, (uint32_t)length, score };
    }
}

/* An interval that is still open on the stack. */
typedef struct open_interval {
    uint32_t left;
    int length;
    int64_t times;                   /* its suffixes so far, those of closed inner intervals included */
} open_interval;

static int close_longer(seeds *s, open_interval *stack, int top, int length, uint32_t right, uint32_t *left)
{
    while (stack[top].length > length) {
        offer(s, stack[top].left, right, stack[top].length, stack[top].times);
        *left = stack[top].left;
        int64_t times = stack[top--].times;
        if (stack[top].length >= length) stack[top].times += times;
        else stack[++top] = (open_interval){ *left, length, times };
    }
    return top;
}

/* Each suffix opens an interval of its own length in the word; its neighbours then close or share it. */
static void walk(seeds *s)
{
    const lm_lattice *l = s->lattice;
    open_interval stack[LM_UNIGRAM_PIECE + 2] = { { 0, 0, 0 } };
    int top = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        int32_t place = s->suffixes[i];
        int shared = i ? common(s, s->suffixes[i - 1], place) : 0, own = common(s, place, place);
        uint32_t left = i;
        top = close_longer(s, stack, top, shared, i, &left);
        int64_t times = l->counts[s->word_of[place]];
        if (stack[top].length == own) stack[top].times += times;
        else stack[++top] = (open_interval){ i, own, times };
    }
    uint32_t left;
    close_longer(s, stack, top, 0, (uint32_t)l->n, &left);
}

/* The lowest bucket from which on there are at most `most` intervals. */
static int threshold_of(const int64_t *histogram, int64_t most)
{
    int bucket = BUCKETS;
    for (int64_t n = 0; bucket > 0 && (n += histogram[bucket - 1]) <= most; bucket--) { }
    return bucket;
}

static void find_intervals(seeds *s, int most)
{
    s->histogram = lm_calloc(BUCKETS, sizeof *s->histogram);
    walk(s);
    s->threshold = threshold_of(s->histogram, most);
    free(s->histogram);
    s->histogram = NULL;
    walk(s);
}

/* ---- pieces and edges ----------------------------------------------------------------------------- */

static void make_pieces(lm_lattice *l, const seeds *s)
{
    l->n_pieces = l->n_letters + (int)s->n_found;
    l->pieces = lm_calloc((size_t)l->n_pieces, sizeof *l->pieces);
    l->scores = lm_malloc((size_t)l->n_pieces * sizeof *l->scores);
    int64_t *times = lm_calloc((size_t)l->n_letters, sizeof *times);
    for (size_t i = 0; i < l->n; i++) {
        if (!l->letters[i]) continue;
        times[l->letters[i] - 1] += l->counts[s->word_of[i]];
        l->pieces[l->letters[i] - 1] = (lm_unigram_piece){ (uint32_t)i, 1 };
    }
    double sum = 0;
    for (int i = 0; i < l->n_letters; i++) sum += (double)times[i];
    for (size_t i = 0; i < s->n_found; i++) sum += s->found[i].score;
    for (int i = 0; i < l->n_letters; i++) l->scores[i] = log(fmax((double)times[i], 1) / sum);
    for (size_t i = 0; i < s->n_found; i++) {
        l->pieces[l->n_letters + (int)i] = (lm_unigram_piece){ (uint32_t)s->suffixes[s->found[i].left], s->found[i].length };
        l->scores[l->n_letters + (int)i] = log(s->found[i].score / sum);
    }
    free(times);
}

/* Counts the edges of each place, then fills them in. */
static void make_edges(lm_lattice *l, const seeds *s)
{
    uint32_t *first = l->first = lm_calloc(l->n + 1, sizeof *first);
    for (size_t i = 0; i < l->n; i++) first[i] = l->letters[i] != 0;
    for (size_t f = 0; f < s->n_found; f++)
        for (uint32_t k = s->found[f].left; k < s->found[f].right; k++) first[s->suffixes[k]]++;
    uint32_t n = 0;
    for (size_t i = 0; i <= l->n; i++) {
        uint32_t here = first[i];
        first[i] = n;
        n += here;
    }
    l->edges = lm_malloc((size_t)n * sizeof *l->edges);
    for (size_t i = 0; i < l->n; i++)
        if (l->letters[i]) l->edges[first[i]++] = (uint32_t)(l->letters[i] - 1) << 6 | 1;
    for (size_t f = 0; f < s->n_found; f++)
        for (uint32_t k = s->found[f].left; k < s->found[f].right; k++)
            l->edges[first[s->suffixes[k]]++] = (uint32_t)(l->n_letters + (int)f) << 6 | s->found[f].length;
    for (size_t i = l->n; i > 0; i--) first[i] = first[i - 1];
    first[0] = 0;
}

void lm_lattice_seed(lm_lattice *l, int longest, int64_t least, int most)
{
    lm_lattice_word(l, 0);           /* ends the last word */
    l->n_words--;
    seeds s = { .lattice = l, .longest = longest, .least = least };
    sort_suffixes(&s);
    find_words(&s);
    find_intervals(&s, most);
    make_pieces(l, &s);
    free(s.word_of);
    make_edges(l, &s);
    free(s.suffixes);
    free(s.found);
}
