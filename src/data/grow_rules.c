/* What may stay of what a model wrote: rules that need no model.
 *
 * Instructions: length and keywords (Wang et al. 2023, section 2.2), words of the question that made them and refusals
 * (Xu et al. 2023, section 3.2, rules 4 and 2).  Answers: short refusals and those of nothing but signs and stop words (the
 * same, rules 2 and 3), and repetitions of the input (Wang et al.).  A refusal is short: an answer of 80 words and more
 * may say "sorry" for other reasons. */
#include "data/grow.h"

#include "data/labelled.h"
#include "data/normal.h"
#include "data/words.h"

#include <string.h>

enum { REFUSAL_WORDS = 80 };

const char *const lm_grow_reasons[] = { "unanswered", "unreadable", "cut_off",   "too_short",     "too_long",  "keyword",       "copied", "similar",
                                        "no_gain",    "refused",    "empty",     "repeats_input", "duplicate", "contradiction", NULL };

static int64_t characters(lm_span text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return n;
}

static int64_t words(lm_span text)
{
    lm_words w;
    int64_t n = 0;
    lm_words_begin(&w, text, false);
    for (lm_span word; lm_words_next(&w, &word);) n++;
    return n;
}

lm_grow_reason lm_grow_judge_instruction(const lm_grow_options *o, lm_span instruction, const char *parent)
{
    const lm_strings *lists = o->prompts->list;
    lm_span before = lm_span_of(parent ? parent : "", parent ? strlen(parent) : 0);
    int64_t length = characters(instruction);
    if (length < o->shortest) return LM_GROW_TOO_SHORT;
    if (length > o->longest) return LM_GROW_TOO_LONG;
    if (lm_grow_says(&lists[LM_GROW_LIST_COPIED], instruction, true)) return LM_GROW_COPIED;
    if (words(instruction) < REFUSAL_WORDS && lm_grow_says(&lists[LM_GROW_LIST_REFUSALS], instruction, true)
        && !lm_grow_says(&lists[LM_GROW_LIST_REFUSALS], before, true)) return LM_GROW_REFUSED;
    if (lm_grow_says(&lists[LM_GROW_LIST_KEYWORDS], instruction, true) && !lm_grow_says(&lists[LM_GROW_LIST_KEYWORDS], before, true)) return LM_GROW_KEYWORD;
    return LM_GROW_REASONS;
}

/* Whether nothing is left of an answer without signs and stop words. */
static bool is_empty(const lm_strings *stop_words, lm_span answer)
{
    lm_str out = {0}, room = {0};
    lm_words w;
    bool empty = true;
    lm_words_begin(&w, lm_normal_text(&out, &room, answer, LM_NORMAL_NFC | LM_NORMAL_CASE | LM_NORMAL_PUNCTUATION), false);
    for (lm_span word; empty && lm_words_next(&w, &word);) {
        empty = false;
        for (int i = 0; i < stop_words->n && !empty; i++) empty = lm_span_eq(word, stop_words->items[i]);
    }
    lm_str_free(&out);
    lm_str_free(&room);
    return empty;
}

static bool same_text(lm_span a, lm_span b)
{
    a = lm_trim(a), b = lm_trim(b);
    return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

lm_grow_reason lm_grow_judge_answer(const lm_grow_options *o, lm_span input, lm_span answer)
{
    const lm_strings *lists = o->prompts->list;
    if (words(answer) < REFUSAL_WORDS && lm_grow_says(&lists[LM_GROW_LIST_REFUSALS], answer, true)) return LM_GROW_REFUSED;
    if (is_empty(&lists[LM_GROW_LIST_STOP_WORDS], answer)) return LM_GROW_EMPTY;
    if (input.len && same_text(input, answer)) return LM_GROW_REPEATS_INPUT;
    return LM_GROW_REASONS;
}
