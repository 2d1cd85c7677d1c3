#include "token/learn.h"

#include <string.h>

lm_status lm_train_check(const lm_vocab_options *o, lm_err *err)
{
    static const char *const forms[] = { "nfc", "nfd", "nfkc", "nfkd", NULL };
    if (o->vocab_size < 1 || o->vocab_size > LM_MAX_TOKENS)
        return lm_fail(err, LM_E_USAGE, "a vocabulary of %lld tokens: expected 1..%d", (long long)o->vocab_size, LM_MAX_TOKENS);
    if (o->max_token_length < 0 || o->limit_alphabet < 0 || o->min_frequency < 0)
        return lm_fail(err, LM_E_USAGE, "lengths, limits and frequencies of a training may not be negative");
    if (!o->normalizer) return LM_OK;
    for (const char *const *form = forms; *form; form++)
        if (!strcmp(*form, o->normalizer)) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "normalizer \"%s\": expected nfc, nfd, nfkc or nfkd", o->normalizer);
}

lm_json *lm_train_normaliser(const lm_vocab_options *o)
{
    char name[8] = {0};
    if (!o->normalizer) return json_null();
    for (size_t i = 0; i < sizeof name - 1 && o->normalizer[i]; i++) name[i] = (char)(o->normalizer[i] & ~0x20);
    return json_pack("{s:s}", "type", name);
}

lm_status lm_train_specials(lm_json *document, lm_vocab *vocab, const lm_vocab_options *o, lm_err *err)
{
    lm_json *added = json_object_get(document, "added_tokens");
    for (int i = 0; i < o->specials.n; i++) {
        lm_span text = lm_span_of(o->specials.items[i], strlen(o->specials.items[i]));
        if (!text.len || lm_utf8_valid(text.data, text.len) < text.len)
            return lm_fail(err, LM_E_USAGE, "special token %d: expected a text in UTF-8 that is not empty", i + 1);
        if (lm_vocab_id(vocab, text) >= 0) continue;
        int32_t id = vocab->n;
        LM_TRY(lm_vocab_add(vocab, text, id, "special tokens", err));
        json_array_append_new(added, lm_document_added(id, text, true, false));
    }
    return LM_OK;
}

void lm_train_store(lm_json *model, const lm_vocab *vocab, const lm_learned *learned)
{
    lm_json *tokens = json_object(), *merges = json_array();
    for (int i = 0; i < vocab->n; i++) json_object_setn_new(tokens, vocab->texts[i].data, vocab->texts[i].len, json_integer(i));
    for (size_t i = 0; i < learned->n; i++)
        json_array_append_new(merges, json_pack("[o, o]", lm_document_text(vocab->texts[learned->pairs[i][0]]),
                                                lm_document_text(vocab->texts[learned->pairs[i][1]])));
    json_object_set_new(model, "vocab", tokens);
    json_object_set_new(model, "merges", merges);
}
