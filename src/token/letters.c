#include "token/letters.h"
#include "token/pipeline.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { RUNES = 0x110000 };

static int most_frequent_first(const void *a, const void *b)
{
    const lm_letter *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return (x->rune > y->rune) - (x->rune < y->rune);
}

static void count_word(int64_t *counts, lm_span word, int64_t times)
{
    for (size_t i = 0; i < word.len;) {
        uint32_t rune;
        i += (size_t)lm_rune_at(word.data + i, word.len - i, &rune);
        counts[rune] += times;
    }
}

static void ask_for(int64_t *counts, const char *text)
{
    for (uint32_t rune; *text; counts[rune] = INT64_MAX) text += lm_rune_at(text, strlen(text), &rune);
}

void lm_letters_count(lm_letters *letters, const lm_words *words, const lm_vocab_options *options)
{
    int64_t *counts = lm_calloc(RUNES, sizeof *counts);
    *letters = (lm_letters){0};
    for (size_t i = 0; words->slots && i <= words->mask; i++)
        if (words->slots[i].data) count_word(counts, lm_span_of(words->slots[i].data, words->slots[i].len), words->slots[i].count);
    counts[0] = 0;
    for (int i = 0; i < RUNES; i++) letters->total += counts[i];
    for (int i = 0; i < options->initial_alphabet.n; i++) ask_for(counts, options->initial_alphabet.items[i]);
    for (int i = 0; i < RUNES; i++) letters->n += counts[i] != 0;
    letters->items = lm_malloc((size_t)letters->n * sizeof *letters->items);
    int n = 0;
    for (int i = 0; i < RUNES; i++)
        if (counts[i]) letters->items[n++] = (lm_letter){ (uint32_t)i, counts[i] };
    free(counts);
    if (n) qsort(letters->items, (size_t)n, sizeof *letters->items, most_frequent_first);
}

void lm_letters_limit(lm_letters *letters, int64_t most)
{
    if (most && letters->n > most) letters->n = (int)most;
}

void lm_letters_cover(lm_letters *letters, double coverage)
{
    int64_t covered = 0;
    int n = 0;
    while (n < letters->n && letters->items[n].count == INT64_MAX) n++;
    for (; n < letters->n && (double)covered < coverage * (double)letters->total; n++) covered += letters->items[n].count;
    letters->n = n;
}

void lm_letters_index(lm_letters *letters)
{
    letters->place = lm_malloc(RUNES * sizeof *letters->place);
    memset(letters->place, 0xFF, RUNES * sizeof *letters->place);
    for (int i = 0; i < letters->n; i++) letters->place[letters->items[i].rune] = i;
}

void lm_letters_free(lm_letters *letters)
{
    free(letters->items);
    free(letters->place);
    *letters = (lm_letters){0};
}

int32_t lm_letters_add(lm_vocab *vocab, const char *prefix, uint32_t rune)
{
    lm_str text = {0};
    lm_str_puts(&text, prefix);
    lm_str_put_rune(&text, rune);
    int32_t id = lm_vocab_id(vocab, lm_span_of(text.data, text.len));
    if (id < 0) {
        id = vocab->n;
        if (lm_vocab_add(vocab, lm_span_of(text.data, text.len), id, "training", NULL)) LM_BUG("token %d cannot be added", id);
    }
    lm_str_free(&text);
    return id;
}
