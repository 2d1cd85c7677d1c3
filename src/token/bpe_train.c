/* Training of byte-level BPE (Sennrich et al. 2016; on bytes: Radford et al. 2019).
 *
 * The merges are those of the Hugging Face library's BpeTrainer on the same text and settings. */
#include "token/learn.h"
#include "token/pattern.h"
#include "token/unicode.h"
#include "token/words.h"

#include <stdlib.h>
#include <string.h>

static lm_status pipeline(lm_json **document, const lm_vocab_options *options, lm_err *err)
{
    LM_TRY(lm_train_check(options, false, err));
    const char *named = options->pattern ? lm_expression_named(options->pattern) : NULL;
    lm_json *pretokeniser = options->pattern ? lm_document_byte_split(named ? named : options->pattern)
                                             : lm_document_byte_level(options->add_prefix_space, true);
    *document = lm_document_byte_bpe(json_object(), json_array(), pretokeniser);
    json_object_set_new(*document, "normalizer", lm_train_normaliser(options));
    return LM_OK;
}

/* ---- alphabet -------------------------------------------------------------------------------------- */

typedef struct letter {
    int byte;
    int64_t count;
} letter;

static int rarest_first(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return x->byte - y->byte;
}

static int by_spelling(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    return (int)lm_byte_spell((uint8_t)x->byte) - (int)lm_byte_spell((uint8_t)y->byte);
}

/* The bytes that become tokens, in the order of the characters that spell them. */
static int alphabet(letter letters[256], const lm_words *words, const lm_vocab_options *options)
{
    int64_t counts[256] = {0};
    bool initial[256] = {0};
    for (int i = 0; i < options->initial_alphabet.n; i++)
        for (const char *c = options->initial_alphabet.items[i]; *c; c++) initial[(uint8_t)*c] = true;
    for (size_t i = 0; i <= words->mask; i++)
        for (uint32_t j = 0; words->slots[i].data && j < words->slots[i].len; j++) counts[(uint8_t)words->slots[i].data[j]] += words->slots[i].count;
    int n = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (!options->no_initial_alphabet || initial[byte]) counts[byte] = INT64_MAX;
        if (counts[byte]) letters[n++] = (letter){ byte, counts[byte] };
    }
    if (options->limit_alphabet && n > options->limit_alphabet) {
        qsort(letters, (size_t)n, sizeof *letters, rarest_first);
        int drop = n - (int)options->limit_alphabet;
        memmove(letters, letters + drop, (size_t)options->limit_alphabet * sizeof *letters);
        n -= drop;
    }
    qsort(letters, (size_t)n, sizeof *letters, by_spelling);
    return n;
}

static lm_status add_alphabet(lm_vocab *vocab, int32_t ids[256], const lm_words *words, const lm_vocab_options *options, lm_err *err)
{
    letter letters[256];
    int n = alphabet(letters, words, options);
    for (int byte = 0; byte < 256; byte++) ids[byte] = -1;
    for (int i = 0; i < n; i++) {
        lm_str text = {0};
        lm_str_put_rune(&text, lm_byte_spell((uint8_t)letters[i].byte));
        lm_span span = lm_span_of(text.data, text.len);
        int32_t id = lm_vocab_id(vocab, span);
        lm_status status = LM_OK;
        if (id < 0) status = lm_vocab_add(vocab, span, id = vocab->n, "training", err);
        ids[letters[i].byte] = id;
        lm_str_free(&text);
        LM_TRY(status);
    }
    return LM_OK;
}

/* ---- learning ----------------------------------------------------------------------------------------- */

static void make_corpus(lm_corpus *corpus, const lm_words *words, const int32_t ids[256])
{
    lm_word *sorted = lm_words_sorted(words);
    for (size_t i = 0; i < words->n; i++) {
        lm_corpus_word(corpus, sorted[i].count);
        for (uint32_t j = 0; j < sorted[i].len; j++)
            if (ids[(uint8_t)sorted[i].data[j]] >= 0) lm_corpus_push(corpus, ids[(uint8_t)sorted[i].data[j]]);
    }
    free(sorted);
}

static lm_status learn(lm_json *document, lm_words *words, const lm_vocab_options *options, lm_err *err)
{
    lm_vocab vocab = {0};
    lm_corpus corpus = {0};
    lm_learned learned = {0};
    int32_t ids[256];
    lm_status status = lm_train_specials(document, &vocab, options, err);
    if (!status) status = add_alphabet(&vocab, ids, words, options, err);
    if (!status) status = lm_train_room(vocab.n, options->specials.n, options, err);
    if (!status) {
        make_corpus(&corpus, words, ids);
        lm_words_free(words);
        lm_learn_merges(&learned, &vocab, &corpus, 0, options);
        lm_train_store(json_object_get(document, "model"), &vocab, &learned);
    }
    lm_corpus_free(&corpus);
    free(learned.pairs);
    lm_vocab_free(&vocab);
    return status;
}

static const char *const specials[] = { "<|endoftext|>", NULL };

const lm_token_trainer lm_token_trainer_bpe = {
    .name = "bpe",
    .summary = "byte-level byte-pair encoding (GPT-2, LLaMA-3, Qwen)",
    .specials = specials,
    .pipeline = pipeline,
    .learn = learn,
};
