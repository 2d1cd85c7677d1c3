/* Where the words of a text stand: what is between white space (the property White_Space of Unicode).
 *
 *     lm_words w;
 *     lm_words_begin(&w, text, false);
 *     for (lm_span word; lm_words_next(&w, &word);) ...
 *
 * Sixty-four bytes are looked at at once (thirty-two with AVX2); the few characters that bytes alone do not
 * settle, among them white space beyond ASCII, are decoded.  Where words begin and end is written down for some
 * hundreds of them ahead, so that neither the search nor whoever takes them waits for the other.  Nothing in
 * normal form C reaches over white space, so that a text can be composed word by word, and only words that need it. */
#ifndef LM_DATA_WORDS_H
#define LM_DATA_WORDS_H

#include "base/str.h"

enum { LM_WORDS_EDGES = 512, LM_WORDS_DOUBTS = 128 };

typedef struct lm_words {
    lm_span text;
    bool compose;                        /* words are looked at for characters that are not surely composed */
    bool odd;                            /* the word given last has one */

    /* Behind the functions below. */
    size_t at;                           /* what was looked at */
    unsigned carried;                    /* bytes of the next block that belong to white space of this one */
    bool space;                          /* the last byte was white space */
    int edge, edges;                     /* where words begin and end, by turns: the next one, and how many there are */
    int doubt, doubts;                   /* odd characters, the same */
    size_t doubt_places[LM_WORDS_DOUBTS + 1];            /* behind the last stands SIZE_MAX */
    size_t edge_places[LM_WORDS_EDGES];
} lm_words;

void lm_words_begin(lm_words *w, lm_span text, bool compose);
bool lm_words_more(lm_words *w);         /* when all words are taken, looks further until there are more; false at the end */

static inline bool lm_words_left(const lm_words *w) { return w->edge + 2 <= w->edges; }

static inline bool lm_words_next(lm_words *w, lm_span *word)
{
    if (!lm_words_left(w) && !lm_words_more(w)) return false;
    size_t begin = w->edge_places[w->edge], end = w->edge_places[w->edge + 1];
    w->edge += 2;
    w->odd = w->doubt_places[w->doubt] < end;
    while (w->doubt_places[w->doubt] < end) w->doubt++;
    *word = lm_span_of(w->text.data + begin, end - begin);
    return true;
}

#endif
