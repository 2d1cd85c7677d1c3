#include "data/topics/names.h"

#include "base/map.h"
#include "data/document.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 20000, LEAST_TEXTS = 2, LONGEST = 90 };      /* words that are counted; bytes */

/* Sorted. */
static const char *const common[] = {
    "about", "after", "all", "also", "and", "any", "are", "because", "been", "but", "can", "could", "did", "does", "each", "for", "from", "had", "has", "have", "her",
    "his", "how", "into", "its", "more", "not", "now", "off", "one", "only", "other", "our", "out", "over", "she", "should", "some", "such", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "two", "was", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would",
    "you", "your", "같다", "같은", "관하여", "관한", "그냥", "그리고", "너무", "다음", "대하여", "대한", "따라", "따른", "또는", "또한",
    "말한다", "모든", "위하여", "위한", "이런", "이하", "있는", "있다", "정말", "진짜", "하는", "하지만", "한다", "해당",
};
static const char *const endings[] = {
    "으로서", "으로써", "에서는", "으로는", "에게는", "이라는", "하였다", "까지", "부터", "에서", "에게", "으로", "이나", "이라", "이고", "하고", "하는", "한다", "하여", "은", "는", "이", "가", "을", "를",
    "의", "에", "로", "와", "과", "도", "만",
};

typedef struct counter {
    lm_map *numbers;                     /* of words */
    lm_strings words;
    int64_t *texts, *last;               /* texts that have the word; the one that had it last, from 1 */
    size_t cap;
} counter;

/* ---- words ------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }
static bool is_hangul(const char *p, size_t n) { return n >= 3 && lm_is_syllable(p, n); }

/* Two syllables stay whatever they end in. */
static size_t without_ending(const char *word, size_t n)
{
    if (n < 9 || !is_hangul(word + n - 3, 3)) return n;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t m = strlen(endings[i]);
        if (n >= m + 6 && is_hangul(word + n - m - 6, 6) && !memcmp(word + n - m, endings[i], m)) return n - m;
    }
    return n;
}

/* The next word at *at, in lower case; false at the end. */
static bool next_word(lm_span text, size_t *at, lm_str *out)
{
    lm_str_clear(out);
    while (*at < text.len) {
        uint32_t rune;
        int n = lm_rune_at(text.data + *at, text.len - *at, &rune);
        bool letter = lm_rune_in(rune, LM_LETTERS | LM_MARKS);
        if (!letter && out->len) break;
        *at += (size_t)n;
        if (letter) lm_str_put_rune(out, lm_rune_lower(rune));
    }
    out->len = without_ending(out->data, out->len);
    if (out->len) out->data[out->len] = '\0';
    return out->len > 0;
}

/* Whether it may stand in a name: one letter of Latin or two, or one of a syllable, tell nothing. */
static bool tells(const lm_str *word)
{
    const char *text = word->data;
    return word->len >= 3 && word->len <= LONGEST && !(word->len == 3 && (unsigned char)text[0] >= 0x80) && !bsearch(&text, common, sizeof common / sizeof *common, sizeof *common, by_bytes);
}

static void count_word(counter *c, const lm_str *word, int64_t text)
{
    if (lm_map_put(c->numbers, word->data, word->len, c->words.n)) {
        if ((size_t)c->words.n == c->cap) {
            c->cap = 2 * c->cap + 1024;
            c->texts = lm_realloc(c->texts, c->cap * sizeof *c->texts);
            c->last = lm_realloc(c->last, c->cap * sizeof *c->last);
        }
        c->texts[c->words.n] = c->last[c->words.n] = 0;
        lm_strings_push(&c->words, lm_strdup(word->data));
    }
    int64_t w = lm_map_get(c->numbers, word->data, word->len, 0);
    c->texts[w] += c->last[w] != text + 1;
    c->last[w] = text + 1;
}

/* ---- scores ------------------------------------------------------------------ */

/* Rows of the table of counts: of the words that most texts have, up to MOST_WORDS of them; -1 for others. */
static int64_t choose_rows(const counter *c, int64_t *row)
{
    enum { BINS = 65536 };
    int64_t *bins = lm_calloc(BINS, sizeof *bins), sum = 0, least = BINS - 1, n = 0;
    for (int w = 0; w < c->words.n; w++) bins[c->texts[w] < BINS ? c->texts[w] : BINS - 1]++;
    while (least >= LEAST_TEXTS && sum + bins[least] <= MOST_WORDS) sum += bins[least--];
    for (int w = 0; w < c->words.n; w++) row[w] = c->texts[w] > least ? n++ : -1;
    free(bins);
    return n;
}

typedef struct candidate {
    double score;
    int64_t word;
} candidate;

/* Puts the word where it belongs among the best. */
static void keep_best(candidate best[LM_TOPIC_WORDS], candidate now)
{
    for (int i = 0; i < LM_TOPIC_WORDS; i++)
        if (now.score > best[i].score) {
            candidate other = best[i];
            best[i] = now;
            now = other;
        }
}

static void choose_words(lm_strings *out, const counter *c, const int64_t *row, const int64_t *counts, int k, int topics, int64_t of_topic, int64_t all)
{
    candidate best[LM_TOPIC_WORDS] = {0};
    for (int64_t w = 0; w < c->words.n; w++) {
        int64_t here = row[w] < 0 ? 0 : counts[row[w] * topics + k];
        if (!here) continue;
        double share = (double)here / (double)of_topic, of_all = (double)c->texts[w] / (double)all;
        keep_best(best, (candidate){ .score = share * log(share / of_all), .word = w });
    }
    for (int i = 0; i < LM_TOPIC_WORDS && best[i].score > 0; i++) lm_strings_push(out, lm_strdup(c->words.items[best[i].word]));
}

void lm_topic_words(lm_strings *words, int k, const lm_span *texts, const int *topic, int64_t n)
{
    counter c = { .numbers = lm_map_new(1024) };
    lm_str word = {0};
    int64_t *of_topic = lm_calloc((size_t)k, sizeof *of_topic);
    for (int64_t i = 0; i < n; i++) {
        if (topic[i] >= 0) of_topic[topic[i]]++;
        for (size_t at = 0; next_word(texts[i], &at, &word);)
            if (tells(&word)) count_word(&c, &word, i);
    }
    int64_t *row = lm_malloc((size_t)c.words.n * sizeof *row + 1), rows = choose_rows(&c, row), *counts = lm_calloc((size_t)(rows * k) + 1, sizeof *counts);
    for (int w = 0; w < c.words.n; w++) c.last[w] = 0;
    for (int64_t i = 0; i < n; i++)
        for (size_t at = 0; topic[i] >= 0 && next_word(texts[i], &at, &word);) {
            int64_t w = lm_map_get(c.numbers, word.data, word.len, -1);
            if (w < 0 || row[w] < 0 || c.last[w] == i + 1) continue;
            c.last[w] = i + 1;
            counts[row[w] * k + topic[i]]++;
        }
    for (int t = 0; t < k; t++) choose_words(&words[t], &c, row, counts, t, k, of_topic[t], n);
    lm_map_free(c.numbers);
    lm_strings_free(&c.words);
    lm_str_free(&word);
    free(c.texts), free(c.last), free(of_topic), free(row), free(counts);
}
