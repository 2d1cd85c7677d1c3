/* Training of WordPiece as the Hugging Face library's WordPieceTrainer does it: byte-pair encoding over
 * characters, where those inside a word carry "##", on words as BERT cuts them.
 *
 * There the order of the "##" characters is that of a hash table, and with it what happens between pairs
 * that are equally frequent; here both follow the code points.  Left out: the likelihood of the original
 * (Schuster and Nakajima 2012), which the library does not use either. */
#include "token/learn.h"
#include "token/letters.h"
#include "token/unicode.h"
#include "token/words.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "##";

static lm_json *normaliser(const lm_vocab_options *o)
{
    lm_json *bert = json_pack("{s:s, s:b, s:b, s:n, s:b}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1,
                              "strip_accents", "lowercase", (int)o->lowercase);
    if (!o->normalizer || !strcmp(o->normalizer, "none")) return bert;
    return lm_document_sequence("normalizers", json_pack("[o, o]", lm_train_normaliser(o), bert));
}

static lm_status pipeline(lm_json **document, const lm_vocab_options *o, lm_err *err)
{
    LM_TRY(lm_train_check(o, false, err));
    if (lm_train_special(o, "[UNK]") < 0)
        return lm_fail(err, LM_E_USAGE, "the special tokens of WordPiece: expected [UNK] among them, for words that cannot be spelled");
    *document = lm_document_new();
    json_object_set_new(*document, "normalizer", normaliser(o));
    json_object_set_new(*document, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
    json_object_set_new(*document, "decoder", json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", prefix, "cleanup", 1));
    lm_json *vocab = json_object();
    for (int i = 0; i < o->specials.n; i++) json_object_set_new(vocab, o->specials.items[i], json_integer(i));
    json_object_set_new(*document, "model", json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "WordPiece", "unk_token", "[UNK]",
                                                      "continuing_subword_prefix", prefix, "max_input_chars_per_word", 100, "vocab", vocab));
    int cls = lm_train_special(o, "[CLS]"), sep = lm_train_special(o, "[SEP]");
    if (cls >= 0 && sep >= 0) json_object_set_new(*document, "post_processor", lm_document_template_pair("[CLS]", cls, "[SEP]", sep));
    return LM_OK;
}

/* ---- symbols --------------------------------------------------------------------------------------- */

typedef struct symbols {
    lm_letters letters;
    int32_t *first, *inside;         /* ids of each letter at the front of a word and behind it; -1: not seen there */
} symbols;

static int by_code_point(const void *a, const void *b)
{
    const lm_letter *x = a, *y = b;
    return (x->rune > y->rune) - (x->rune < y->rune);
}

static void find_inside(symbols *s, lm_span word)
{
    for (size_t i = 0; i < word.len;) {
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(word.data + i, word.len - i, &rune);
        int32_t place = s->letters.place[rune];
        if (i && place >= 0) s->inside[place] = 0;
        i += n;
    }
}

static void add_symbols(symbols *s, lm_vocab *vocab, const lm_words *words, const lm_vocab_options *o)
{
    lm_letters_count(&s->letters, words, o);
    lm_letters_limit(&s->letters, o->limit_alphabet);
    qsort(s->letters.items, (size_t)s->letters.n, sizeof *s->letters.items, by_code_point);
    lm_letters_index(&s->letters);
    s->first = lm_malloc((size_t)s->letters.n * sizeof *s->first);
    s->inside = lm_malloc((size_t)s->letters.n * sizeof *s->inside);
    for (int i = 0; i < s->letters.n; i++) {
        s->first[i] = lm_letters_add(vocab, "", s->letters.items[i].rune);
        s->inside[i] = -1;
    }
    for (size_t i = 0; i <= words->mask; i++)
        if (words->slots[i].data) find_inside(s, lm_span_of(words->slots[i].data, words->slots[i].len));
    for (int i = 0; i < s->letters.n; i++)
        if (s->inside[i] == 0) s->inside[i] = lm_letters_add(vocab, prefix, s->letters.items[i].rune);
}

/* Characters that the alphabet lacks are left out of their words, as the library does. */
static void make_corpus(lm_corpus *corpus, const lm_words *words, const symbols *s)
{
    lm_word *sorted = lm_words_sorted(words);
    for (size_t w = 0; w < words->n; w++) {
        lm_corpus_word(corpus, sorted[w].count);
        for (size_t i = 0; i < sorted[w].len;) {
            uint32_t rune;
            size_t n = (size_t)lm_rune_at(sorted[w].data + i, sorted[w].len - i, &rune);
            int32_t place = s->letters.place[rune];
            if (place >= 0) lm_corpus_push(corpus, i ? s->inside[place] : s->first[place]);
            i += n;
        }
    }
    free(sorted);
}

/* ---- learning ----------------------------------------------------------------------------------------- */

static lm_status learn(lm_json *document, lm_words *words, const lm_vocab_options *o, lm_err *err)
{
    lm_vocab vocab = {0};
    lm_corpus corpus = {0};
    lm_learned learned = {0};
    symbols s = {0};
    lm_status status = lm_train_specials(document, &vocab, o, err);
    if (!status) {
        add_symbols(&s, &vocab, words, o);
        status = lm_train_room(vocab.n, o->specials.n, o, err);
    }
    if (!status) {
        make_corpus(&corpus, words, &s);
        lm_words_free(words);
        lm_learn_merges(&learned, &vocab, &corpus, strlen(prefix), o);
        lm_train_store(json_object_get(document, "model"), &vocab, NULL);
    }
    lm_letters_free(&s.letters);
    free(s.first), free(s.inside);
    lm_corpus_free(&corpus);
    free(learned.pairs);
    lm_vocab_free(&vocab);
    return status;
}

static const char *const specials[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL };

const lm_token_trainer lm_token_trainer_wordpiece = {
    .name = "wordpiece",
    .summary = "WordPiece (BERT, KoELECTRA)",
    .specials = specials,
    .pipeline = pipeline,
    .learn = learn,
};
