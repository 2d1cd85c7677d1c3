/* Training of SentencePiece's byte-pair encoding (Kudo and Richardson 2018), the kind of LLaMA-2 and
 * Mistral: merges of characters inside words that begin with "▁", bytes for what is not covered.
 *
 * Ids: special tokens, 256 bytes, merged pieces in the order of their merging (the score is minus that),
 * single characters by frequency.  Characters that are not covered part a word in two. */
#include "token/learn.h"
#include "token/sentence.h"
#include "token/unicode.h"
#include "token/words.h"

#include <stdlib.h>

static void make_corpus(lm_corpus *corpus, const lm_words *words, const lm_letters *letters)
{
    lm_word *sorted = lm_words_sorted(words);
    for (size_t w = 0; w < words->n; w++) {
        lm_corpus_word(corpus, sorted[w].count);
        for (size_t i = 0; i < sorted[w].len;) {
            uint32_t rune;
            i += (size_t)lm_rune_at(sorted[w].data + i, sorted[w].len - i, &rune);
            if (letters->place[rune] >= 0) lm_corpus_push(corpus, letters->place[rune]);
            else lm_corpus_word(corpus, sorted[w].count);
        }
    }
    free(sorted);
}

/* `vocab` holds the letters, then what was merged. */
static void make_pieces(lm_pieces_made *made, const lm_vocab *vocab, int n_letters, const lm_vocab_options *o)
{
    lm_sentence_begin(made, o);
    float score = 0;
    for (int i = n_letters; i < vocab->n; i++)
        if (!lm_sentence_is_reserved(o, vocab->texts[i])) lm_sentence_put(made, vocab->texts[i], -score++);
    for (int i = 0; i < n_letters; i++) lm_sentence_put(made, vocab->texts[i], -score++);
}

static lm_status learn(lm_json *document, lm_words *words, const lm_vocab_options *o, lm_err *err)
{
    lm_vocab vocab = {0};
    lm_corpus corpus = {0};
    lm_learned learned = {0};
    lm_letters letters;
    lm_pieces_made made = {0};
    lm_letters_count(&letters, words, o);
    lm_letters_cover(&letters, o->character_coverage);
    lm_letters_limit(&letters, o->limit_alphabet);
    lm_letters_index(&letters);
    int reserved = lm_sentence_reserved(o);
    lm_status status = lm_train_room((int64_t)letters.n + reserved, o->specials.n, o, err);
    if (!status) {
        for (int i = 0; i < letters.n; i++) lm_letters_add(&vocab, "", letters.items[i].rune);
        make_corpus(&corpus, words, &letters);
        lm_words_free(words);
        lm_vocab_options inner = *o;
        inner.vocab_size = o->vocab_size - reserved;
        inner.max_token_length = lm_sentence_longest(o);
        lm_learn_merges(&learned, &vocab, &corpus, 0, &inner);
        make_pieces(&made, &vocab, letters.n, o);
        lm_sentence_finish(document, &made, o, false);
    }
    lm_sentence_free(&made);
    lm_letters_free(&letters);
    lm_corpus_free(&corpus);
    free(learned.pairs);
    lm_vocab_free(&vocab);
    return status;
}

static const char *const specials[] = { "<unk>", "<s>", "</s>", NULL };

const lm_token_trainer lm_token_trainer_sentencepiece_bpe = {
    .name = "sentencepiece-bpe",
    .summary = "byte-pair encoding of SentencePiece, with bytes for rare characters (LLaMA-2, Mistral)",
    .specials = specials,
    .lines = true,
    .pipeline = lm_sentence_bpe_pipeline,
    .cut = lm_sentence_cut,
    .learn = learn,
};
