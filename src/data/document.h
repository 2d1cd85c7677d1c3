/* A text that filters look at, with what has been counted of it so far.
 *
 * Facts are counted, all at once, when the first filter asks, and hold until the text changes.  One document is used again
 * for the next text, so that nothing is allocated for most of them.  Not for several threads at once. */
#ifndef LM_DATA_DOCUMENT_H
#define LM_DATA_DOCUMENT_H

#include "base/str.h"
#include "data/source.h"

typedef enum lm_script {
    LM_SCRIPT_HANGUL, LM_SCRIPT_LATIN, LM_SCRIPT_HAN, LM_SCRIPT_KANA, LM_SCRIPT_CYRILLIC, LM_SCRIPT_GREEK, LM_SCRIPT_ARABIC,
    LM_SCRIPT_HEBREW, LM_SCRIPT_DEVANAGARI, LM_SCRIPT_THAI, LM_SCRIPT_OTHER, LM_SCRIPTS,
} lm_script;
extern const char *const lm_script_names[];              /* "hangul", ..., NULL */

/* Characters by kind.  A letter has a script; symbols are signs of currency and mathematics, emoji and the like. */
typedef struct lm_counts {
    int64_t runes, letters, digits, punctuation, symbols, spaces, marks, controls, others;
    int64_t hashes, ellipses;            /* "#"; "..." and U+2026 */
    int64_t script[LM_SCRIPTS];          /* letters of each */
} lm_counts;

/* Whether there is anything for those who mend a text. */
typedef struct lm_flaws {
    int64_t lost;                        /* U+FFFD */
    bool misread;                        /* U+00C0..U+00FF, with which misread UTF-8 begins */
    bool unseen;                         /* control characters but for tab and line feed, or invisible ones */
    bool uncomposed;                     /* a character that normal form C might change (data/normal.h) */
} lm_flaws;

/* What stands between white space. */
typedef struct lm_word {
    lm_span text;
    uint32_t runes;
    bool letter;                         /* has one */
} lm_word;

/* Without white space at its ends; empty lines do not count. */
typedef struct lm_text_line {
    lm_span text;
    uint32_t runes, words;
    bool opens;                          /* a paragraph: it is the first, or an empty line stands before it */
} lm_text_line;

enum { LM_DOC_VALUES = 16, LM_DOC_REASON = 240 };

typedef struct lm_doc {
    const lm_row *row;
    lm_span text;
    bool edited;                         /* text is no longer that of the row */
    double values[LM_DOC_VALUES];        /* what the filter measured: its `measures` */
    int64_t tallies[LM_DOC_VALUES];      /* what it counted: its `tallies`, zero before it begins */
    int kind;                            /* which of the kinds that the filter knows it is of, or -1 */
    char reason[LM_DOC_REASON];          /* why it was rejected */
    bool quiet;                          /* nobody asks why */
    int64_t cut;                         /* bytes that edits took away */

    /* Behind the functions below. */
    lm_str buffer, room;
    bool known;                          /* the facts are those of text */
    lm_counts counts;
    lm_word *words;
    size_t n_words, cap_words;
    lm_text_line *lines;
    size_t n_lines, cap_lines;
    void *scratch;                       /* of scratch_size bytes */
    size_t scratch_size;
} lm_doc;

void lm_doc_begin(lm_doc *d, const lm_row *row, lm_span text);
void lm_doc_free(lm_doc *d);

const lm_counts *lm_doc_counts(lm_doc *d);
const lm_word *lm_doc_words(lm_doc *d, size_t *n);
const lm_text_line *lm_doc_lines(lm_doc *d, size_t *n);
int64_t lm_doc_word_runes(lm_doc *d);                    /* characters of all words */
uint64_t lm_word_hash(const lm_word *word);

/* A lighter look than that at the counts, for who changes the text first of all. */
lm_flaws lm_doc_flaws(const lm_doc *d);

/* An empty buffer for a new text, which lm_doc_replace then takes over; a text that is the same changes nothing. */
lm_str *lm_doc_room(lm_doc *d);
void lm_doc_replace(lm_doc *d);

/* `bytes` of memory until the next call; not cleared. */
void *lm_doc_scratch(lm_doc *d, size_t bytes);

/* Writes the reason and returns false, so that `return lm_reject(...)` reads well. */
bool lm_reject(lm_doc *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The script of a letter. */
lm_script lm_script_of(uint32_t rune);

/* Characters that nobody sees and a text does without: zero-width spaces, marks of direction, soft hyphens. */
bool lm_rune_is_invisible(uint32_t rune);

/* Whether a line ends a sentence: . ! ? … or their wide forms, perhaps closed by quotes or brackets.
 * `ellipsis`: ends with "..." or "…". */
bool lm_ends_sentence(lm_span line);
bool lm_ends_ellipsis(lm_span line);

#endif
