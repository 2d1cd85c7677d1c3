/* WordPiece (Schuster and Nakajima 2012; as used by BERT, Devlin et al. 2019): each word is read from
 * the left, always the longest piece that the vocabulary has; pieces inside a word begin with "##".
 * A word that cannot be read so to its end is the unknown token as a whole.
 *
 * The vocabulary is a trie, so the longest piece takes one step for each byte; pieces inside a word are sought
 * from the state behind "##". */
#include "token/pipeline.h"
#include "token/trie.h"

#include <stdlib.h>
#include <string.h>

typedef struct wordpiece {
    lm_trie trie;
    int32_t inside;                  /* the state behind the prefix; -1: no piece has it */
    int64_t max_characters;
    int32_t unk;
} wordpiece;

static void build_trie(wordpiece *m, const lm_vocab *vocab, const char *prefix)
{
    size_t n = (size_t)vocab->n;
    lm_span *keys = lm_malloc((n + 1) * sizeof *keys);
    int32_t *values = lm_malloc((n + 1) * sizeof *values), kept = 0;
    for (int32_t id = 0; id < vocab->n; id++) {
        if (!vocab->texts[id].data) continue;
        keys[kept] = vocab->texts[id];
        values[kept++] = id;
    }
    lm_trie_build(&m->trie, keys, values, kept);
    free(keys);
    free(values);
    m->inside = LM_TRIE_ROOT;
    for (; *prefix && m->inside >= 0; prefix++) m->inside = lm_trie_step(&m->trie, m->inside, (uint8_t)*prefix);
}

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    wordpiece *m = lm_calloc(1, sizeof *m);
    *state = m;
    const char *unk = "[UNK]", *prefix = "##";
    const lm_vocab *vocab = &source->tk->vocab;
    m->max_characters = 100;
    LM_TRY(lm_json_opt_str(source->json, "unk_token", source->name, &unk, err));
    LM_TRY(lm_json_opt_str(source->json, "continuing_subword_prefix", source->name, &prefix, err));
    LM_TRY(lm_json_opt_int(source->json, "max_input_chars_per_word", source->name, &m->max_characters, err));
    m->unk = lm_vocab_id(vocab, lm_span_of(unk, strlen(unk)));
    if (m->unk < 0) return lm_fail(err, LM_E_FORMAT, "%s: model.unk_token \"%.60s\" is not in the vocabulary", source->name, unk);
    source->tk->unk = m->unk;
    build_trie(m, vocab, prefix);
    return LM_OK;
}

static void release(void *state)
{
    wordpiece *m = state;
    if (m) lm_trie_free(&m->trie);
    free(m);
}

/* The longest piece at the front of `text` from a state on, its end in *end; or -1. */
static int32_t longest_piece(const wordpiece *m, int32_t state, lm_span text, size_t *end)
{
    int32_t found = -1;
    for (size_t i = 0; i < text.len; i++) {
        state = lm_trie_step(&m->trie, state, (uint8_t)text.data[i]);
        if (state < 0) break;
        if (m->trie.nodes[state].value >= 0) found = m->trie.nodes[state].value, *end = i + 1;
    }
    return found;
}

static size_t count_characters(lm_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    return n;
}

static void encode(const void *state, void **work, lm_ids *out, lm_span piece)
{
    (void)work;
    const wordpiece *m = state;
    size_t before = out->len, at = 0, n;
    bool known = count_characters(piece) <= (size_t)m->max_characters;
    while (known && at < piece.len) {
        int32_t from = at ? m->inside : LM_TRIE_ROOT;
        int32_t id = from < 0 ? -1 : longest_piece(m, from, lm_span_of(piece.data + at, piece.len - at), &n);
        known = id >= 0;
        if (!known) break;
        lm_ids_push(out, id);
        at += n;
    }
    if (known) return;
    out->len = before;
    lm_ids_push(out, m->unk);
}

const lm_token_model lm_token_model_wordpiece = {
    .name = "WordPiece",
    .vocab = lm_vocab_read,
    .load = load,
    .encode = encode,
    .free = release,
    .cache = true,
};
