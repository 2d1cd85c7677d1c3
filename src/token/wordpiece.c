/* WordPiece (Schuster and Nakajima 2012; as used by BERT, Devlin et al. 2019): each word is read from
 * the left, always the longest piece that the vocabulary has; pieces inside a word begin with "##".
 * A word that cannot be read so to its end is the unknown token as a whole. */
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

typedef struct wordpiece {
    const lm_vocab *vocab;
    char *prefix;
    size_t n_prefix;
    int64_t max_characters;
    size_t longest;                  /* piece, in bytes */
    int32_t unk;
} wordpiece;

typedef struct wordpiece_work {
    lm_str text;                     /* prefix and what follows */
} wordpiece_work;

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    wordpiece *m = lm_calloc(1, sizeof *m);
    *state = m;
    const char *unk = "[UNK]", *prefix = "##";
    m->vocab = &source->tk->vocab;
    m->max_characters = 100;
    LM_TRY(lm_json_opt_str(source->json, "unk_token", source->name, &unk, err));
    LM_TRY(lm_json_opt_str(source->json, "continuing_subword_prefix", source->name, &prefix, err));
    LM_TRY(lm_json_opt_int(source->json, "max_input_chars_per_word", source->name, &m->max_characters, err));
    m->prefix = lm_strdup(prefix);
    m->n_prefix = strlen(prefix);
    m->unk = lm_vocab_id(m->vocab, lm_span_of(unk, strlen(unk)));
    if (m->unk < 0) return lm_fail(err, LM_E_FORMAT, "%s: model.unk_token \"%.60s\" is not in the vocabulary", source->name, unk);
    source->tk->unk = m->unk;
    for (int i = 0; i < m->vocab->n; i++)
        if (m->vocab->texts[i].len > m->longest) m->longest = m->vocab->texts[i].len;
    return LM_OK;
}

static void release(void *state)
{
    wordpiece *m = state;
    if (m) free(m->prefix);
    free(m);
}

static size_t character_start(const char *text, size_t at)
{
    while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80) at--;
    return at;
}

/* The longest piece at the front of `text`, whose first `from` bytes (the prefix) are given; its length in
 * *end, or -1. */
static int32_t longest_piece(const wordpiece *m, const lm_str *text, size_t from, size_t *end)
{
    size_t at = text->len;
    if (at > m->longest) at = character_start(text->data, m->longest);
    while (at > from) {
        int32_t id = lm_vocab_id(m->vocab, lm_span_of(text->data, at));
        if (id >= 0) return *end = at, id;
        at = character_start(text->data, at - 1);
    }
    return -1;
}

static size_t count_characters(lm_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    return n;
}

static void encode(const void *state, void **work, lm_ids *out, lm_span piece)
{
    const wordpiece *m = state;
    if (!*work) *work = lm_calloc(1, sizeof(wordpiece_work));
    wordpiece_work *w = *work;
    size_t before = out->len, at = 0;
    bool known = count_characters(piece) <= (size_t)m->max_characters;
    while (known && at < piece.len) {
        size_t head = at ? m->n_prefix : 0, end;
        lm_str_clear(&w->text);
        lm_str_append(&w->text, m->prefix, head);
        lm_str_append(&w->text, piece.data + at, piece.len - at);
        int32_t id = longest_piece(m, &w->text, head, &end);
        known = id >= 0;
        if (!known) break;
        lm_ids_push(out, id);
        at += end - head;
    }
    if (known) return;
    out->len = before;
    lm_ids_push(out, m->unk);
}

static void work_free(void *work)
{
    wordpiece_work *w = work;
    if (w) lm_str_free(&w->text);
    free(w);
}

const lm_token_model lm_token_model_wordpiece = {
    .name = "WordPiece",
    .vocab = lm_vocab_read,
    .load = load,
    .encode = encode,
    .work_free = work_free,
    .free = release,
    .cache = true,
};
