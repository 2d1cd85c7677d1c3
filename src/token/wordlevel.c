/* WordLevel: a piece is a token, or the unknown one. */
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

typedef struct wordlevel {
    const lm_vocab *vocab;
    int32_t unk;
} wordlevel;

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    wordlevel *m = lm_calloc(1, sizeof *m);
    *state = m;
    const char *unk = "<unk>";
    m->vocab = &source->tk->vocab;
    LM_TRY(lm_json_opt_str(source->json, "unk_token", source->name, &unk, err));
    m->unk = lm_vocab_id(m->vocab, lm_span_of(unk, strlen(unk)));
    if (m->unk < 0) return lm_fail(err, LM_E_FORMAT, "%s: model.unk_token \"%.60s\" is not in the vocabulary", source->name, unk);
    source->tk->unk = m->unk;
    return LM_OK;
}

static void encode(const void *state, void **work, lm_ids *out, lm_span piece)
{
    (void)work;
    const wordlevel *m = state;
    int32_t id = lm_vocab_id(m->vocab, piece);
    lm_ids_push(out, id >= 0 ? id : m->unk);
}

const lm_token_model lm_token_model_wordlevel = {
    .name = "WordLevel",
    .vocab = lm_vocab_read,
    .load = load,
    .encode = encode,
    .free = free,
};
