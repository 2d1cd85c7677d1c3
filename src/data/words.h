/* Where the words of a text stand: what is between white space (the property White_Space of Unicode).
 *
 *     lm_words w;
 *     lm_words_begin(&w, text, false);
 *     for (lm_span word; lm_words_next(&w, &word);) ...
 *
 * Sixty-four bytes are looked at at once (thirty-two with AVX2); the few characters that bytes alone do not
 * settle, among them white space beyond ASCII, are decoded.  Nothing in normal form C reaches over white space, so that
 * a text can be composed word by word, and only words that need it. */
#ifndef LM_DATA_WORDS_H
#define LM_DATA_WORDS_H

#include "base/str.h"

typedef struct lm_words {
    lm_span text;
    bool compose;                        /* words are looked at for characters that are not surely composed */
    bool odd;                            /* the word given last has one */

    /* Behind the functions below: the 64 bytes before `at`. */
    size_t at, begin;                    /* begin: of the word that is open */
    uint64_t edges, doubts;              /* where a word begins or ends; where an odd character stands */
    unsigned carried;                    /* bytes of the next block that belong to white space of this one */
    bool open, space;                    /* a word is open; the last byte was white space */
} lm_words;

void lm_words_begin(lm_words *w, lm_span text, bool compose);
bool lm_words_block(lm_words *w);        /* the next 64 bytes; false at the end */

static inline bool lm_words_next(lm_words *w, lm_span *word)
{
    for (;;) {
        while (!w->edges) {
            if (w->open && w->doubts) w->odd = true, w->doubts = 0;
            if (!lm_words_block(w)) return false;
        }
        uint64_t edge = w->edges & -w->edges, below = edge - 1;
        size_t place = w->at - 64 + (size_t)__builtin_ctzll(edge);
        w->edges ^= edge;
        w->open = !w->open;
        if (w->open) {
            w->begin = place;
            w->odd = false;
            continue;
        }
        w->odd |= (w->doubts & below) != 0;
        w->doubts &= ~below;
        *word = lm_span_of(w->text.data + w->begin, place - w->begin);
        return true;
    }
}

#endif
