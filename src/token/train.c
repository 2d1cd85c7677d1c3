#include "token/learn.h"

#include <string.h>

static lm_status check_normalizer(const char *name, bool sentencepiece, lm_err *err)
{
    static const char *const known[] = { "none", "nfc", "nfd", "nfkc", "nfkd", NULL };
    if (sentencepiece && !strcmp(name, "nmt_nfkc")) return LM_OK;
    for (const char *const *form = known; *form; form++)
        if (!strcmp(*form, name)) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "normalizer \"%s\": expected none, nfc, nfd, nfkc%s", name, sentencepiece ? ", nfkd or nmt_nfkc" : " or nfkd");
}

static lm_status check_specials(const lm_strings *specials, lm_err *err)
{
    for (int i = 0; i < specials->n; i++) {
        const char *text = specials->items[i];
        if (!*text || lm_utf8_valid(text, strlen(text)) < strlen(text))
            return lm_fail(err, LM_E_USAGE, "special token %d: expected a text in UTF-8 that is not empty", i + 1);
        for (int j = 0; j < i; j++)
            if (!strcmp(text, specials->items[j])) return lm_fail(err, LM_E_USAGE, "special token %d: \"%s\" stands there twice", i + 1, text);
    }
    return LM_OK;
}

static lm_status check_alphabet(const lm_strings *texts, lm_err *err)
{
    for (int i = 0; i < texts->n; i++)
        if (lm_utf8_valid(texts->items[i], strlen(texts->items[i])) < strlen(texts->items[i]))
            return lm_fail(err, LM_E_USAGE, "alphabet: entry %d is not UTF-8", i + 1);
    return LM_OK;
}

lm_status lm_train_check(const lm_vocab_options *o, bool sentencepiece, lm_err *err)
{
    if (o->vocab_size < 1 || o->vocab_size > LM_MAX_TOKENS)
        return lm_fail(err, LM_E_USAGE, "a vocabulary of %lld tokens: expected 1..%d", (long long)o->vocab_size, LM_MAX_TOKENS);
    if (o->max_token_length < 0 || o->limit_alphabet < 0 || o->min_frequency < 0)
        return lm_fail(err, LM_E_USAGE, "lengths, limits and frequencies of a training may not be negative");
    if (!(o->character_coverage > 0 && o->character_coverage <= 1))
        return lm_fail(err, LM_E_USAGE, "character coverage %g: expected more than 0 and at most 1", o->character_coverage);
    LM_TRY(check_specials(&o->specials, err));
    LM_TRY(check_alphabet(&o->initial_alphabet, err));
    return o->normalizer ? check_normalizer(o->normalizer, sentencepiece, err) : LM_OK;
}

int lm_train_special(const lm_vocab_options *o, const char *text)
{
    for (int i = 0; i < o->specials.n; i++)
        if (!strcmp(o->specials.items[i], text)) return i;
    return -1;
}

lm_status lm_train_room(int64_t needed, int specials, const lm_vocab_options *o, lm_err *err)
{
    if (needed <= o->vocab_size) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "a vocabulary of %lld tokens is too small: the %d special tokens and the characters of this text need at least %lld",
                   (long long)o->vocab_size, specials, (long long)needed);
}

lm_json *lm_train_normaliser(const lm_vocab_options *o)
{
    char name[8] = {0};
    if (!o->normalizer || !strcmp(o->normalizer, "none")) return json_null();
    for (size_t i = 0; i < sizeof name - 1 && o->normalizer[i]; i++) name[i] = (char)(o->normalizer[i] & ~0x20);
    return json_pack("{s:s}", "type", name);
}

lm_status lm_train_specials(lm_json *document, lm_vocab *vocab, const lm_vocab_options *o, lm_err *err)
{
    lm_json *added = json_object_get(document, "added_tokens");
    for (int i = 0; i < o->specials.n; i++) {
        lm_span text = lm_span_of(o->specials.items[i], strlen(o->specials.items[i]));
        int32_t id = vocab->n;
        LM_TRY(lm_vocab_add(vocab, text, id, "special tokens", err));
        json_array_append_new(added, lm_document_added(id, text, true, false));
    }
    return LM_OK;
}

void lm_train_store(lm_json *model, const lm_vocab *vocab, const lm_learned *learned)
{
    lm_json *tokens = json_object();
    for (int i = 0; i < vocab->n; i++) json_object_setn_new(tokens, vocab->texts[i].data, vocab->texts[i].len, json_integer(i));
    json_object_set_new(model, "vocab", tokens);
    if (!learned) return;
    lm_json *merges = json_array();
    for (size_t i = 0; i < learned->n; i++)
        json_array_append_new(merges, json_pack("[o, o]", lm_document_text(vocab->texts[learned->pairs[i][0]]),
                                                lm_document_text(vocab->texts[learned->pairs[i][1]])));
    json_object_set_new(model, "merges", merges);
}
