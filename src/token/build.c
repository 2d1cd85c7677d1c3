/* tokenizer.json into a pipeline.
 *
 * Order matters: the vocabulary and the added tokens first, then the steps that decide whether the
 * model works on bytes, then the model. */
#include "base/log.h"
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

/* ---- steps ------------------------------------------------------------------------------ */

/* The registries differ only in the type of their entries, whose first member is the name and whose
 * second is the reader; this is what they share. */
typedef struct step_head {
    const char *name;
    lm_status (*load)(void **state, const lm_step_source *source, lm_err *err);
} step_head;

typedef struct step_list {
    const char *what;                /* "normalizer": for messages */
    const char *members;             /* the key of a Sequence's members */
    const step_head *const *registry;
    lm_steps *steps;
} step_list;

static const step_head *find_step(const step_list *list, const char *type)
{
    for (const step_head *const *kind = list->registry; *kind; kind++)
        if (!strcmp((*kind)->name, type)) return *kind;
    return NULL;
}

static lm_status read_steps(const step_list *list, const lm_json *json, const char *name, lm_tokenizer *tk, int depth, lm_err *err)
{
    if (!json || json_is_null(json)) return LM_OK;
    const char *type;
    LM_TRY(lm_json_need_str(json, "type", name, &type, err));
    if (!strcmp(type, "Sequence")) {
        const lm_json *members = lm_json_get(json, list->members);
        if (!json_is_array(members) || depth > 8)
            return lm_fail(err, LM_E_FORMAT, "%s: %s: Sequence: expected an array of %s", name, list->what, list->members);
        for (size_t i = 0; i < json_array_size(members); i++)
            LM_TRY(read_steps(list, json_array_get(members, i), name, tk, depth + 1, err));
        return LM_OK;
    }
    const step_head *kind = find_step(list, type);
    if (!kind) return lm_fail(err, LM_E_UNSUPPORTED, "%s: %s \"%.60s\" is not supported", name, list->what, type);
    lm_step step = { .kind = kind };
    lm_step_source source = { .json = json, .name = name, .tk = tk };
    lm_status status = kind->load ? kind->load(&step.state, &source, err) : LM_OK;
    lm_steps *steps = list->steps;
    steps->items = lm_realloc(steps->items, (size_t)(steps->n + 1) * sizeof *steps->items);
    steps->items[steps->n++] = step;
    return status;
}

/* ---- vocabulary --------------------------------------------------------------------------- */

static const lm_token_model *find_model(const lm_token_document *d, const char *name, lm_err *err)
{
    const lm_json *json = lm_json_get(d->json, "model");
    const char *type = NULL;
    if (lm_json_opt_str(json, "type", name, &type, err)) return NULL;
    if (!type)                       /* files of before 2021 do not say */
        type = d->merges.data ? "BPE"
             : d->vocab.data && *d->vocab.data == '[' ? "Unigram"
             : lm_json_get(json, "max_input_chars_per_word") ? "WordPiece" : "WordLevel";
    for (const lm_token_model *const *kind = lm_token_model_registry; *kind; kind++)
        if (!strcmp((*kind)->name, type)) return *kind;
    lm_fail(err, LM_E_UNSUPPORTED, "%s: model \"%.60s\" is not supported", name, type);
    return NULL;
}

static lm_status read_added(lm_tokenizer *tk, const lm_json *entry, const char *name, lm_err *err)
{
    const char *content;
    int64_t id;
    lm_added_token *token = &tk->added[tk->n_added];
    LM_TRY(lm_json_need_str(entry, "content", name, &content, err));
    LM_TRY(lm_json_need_int(entry, "id", name, &id, err));
    LM_TRY(lm_json_opt_bool(entry, "special", name, &token->special, err));
    token->normalized = !token->special;
    LM_TRY(lm_json_opt_bool(entry, "normalized", name, &token->normalized, err));
    LM_TRY(lm_json_opt_bool(entry, "single_word", name, &token->single_word, err));
    LM_TRY(lm_json_opt_bool(entry, "lstrip", name, &token->lstrip, err));
    LM_TRY(lm_json_opt_bool(entry, "rstrip", name, &token->rstrip, err));
    const char *exact = NULL;
    LM_TRY(lm_json_opt_str(entry, "exact", name, &exact, err));
    token->piece = exact && !strcmp(exact, "piece");
    token->literal = exact && !token->piece;
    lm_span text = lm_span_of(content, strlen(content));
    if (lm_vocab_id(&tk->vocab, text) != id) LM_TRY(lm_vocab_add(&tk->vocab, text, id, name, err));
    token->id = (int32_t)id;
    token->text = tk->vocab.texts[id];
    tk->n_added++;
    return LM_OK;
}

/* A model that has no use for them still shall not let through what is not JSON. */
static lm_status pass_over_merges(const lm_token_document *document, const char *name, lm_err *err)
{
    if (!document->merges.data) return LM_OK;
    lm_json_reader r;
    lm_token_document_reader(&r, document, document->merges, name, err);
    lm_json_skip(&r);
    return lm_json_reader_end(&r);
}

static lm_status read_vocabulary(lm_tokenizer *tk, const char *name, lm_err *err)
{
    const lm_json *model = lm_json_get(tk->document.json, "model"), *added = lm_json_get(tk->document.json, "added_tokens");
    if (!json_is_object(model)) return lm_fail(err, LM_E_FORMAT, "%s: expected an object \"model\"", name);
    tk->model = find_model(&tk->document, name, err);
    if (!tk->model) return err ? err->code : LM_E_UNSUPPORTED;
    LM_TRY(tk->model->vocab(&tk->vocab, &tk->document, name, err));
    if (!tk->model->merges) LM_TRY(pass_over_merges(&tk->document, name, err));
    size_t n = json_array_size(added);
    tk->added = lm_calloc(n, sizeof *tk->added);
    for (size_t i = 0; i < n; i++) LM_TRY(read_added(tk, json_array_get(added, i), name, err));
    tk->special = lm_calloc((size_t)tk->vocab.n, 1);
    for (int i = 0; i < tk->n_added; i++) tk->special[tk->added[i].id] = tk->added[i].special;
    return LM_OK;
}

/* Tokens that are sought after normalisation are sought in their normal form. */
static lm_status index_added(lm_tokenizer *tk, lm_err *err)
{
    lm_str normal = {0};
    tk->raw = lm_added_new();
    tk->normalised = lm_added_new();
    lm_status status = LM_OK;
    for (int i = 0; i < tk->n_added && !status; i++) {
        const lm_added_token *token = &tk->added[i];
        if (token->piece) continue;
        if (token->literal || !token->normalized) {
            lm_added_put(token->literal ? tk->normalised : tk->raw, token->text, token);
            continue;
        }
        lm_str_clear(&normal);
        status = lm_normalise(tk, &normal, token->text, LM_PLACE_FIRST, err);
        lm_added_put(tk->normalised, lm_span_of(normal.data, normal.len), token);
    }
    lm_str_free(&normal);
    return status;
}

static void free_pretokeniser(const lm_step *step)
{
    const lm_pretokeniser *kind = step->kind;
    if (kind->free) kind->free(step->state);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static void note_byte_level(lm_tokenizer *tk)
{
    tk->spell_at = -1;
    for (int i = 0; i < tk->pretokenisers.n; i++) {
        const lm_pretokeniser *kind = tk->pretokenisers.items[i].kind;
        if (!strcmp(kind->name, "ByteLevel")) tk->spell_at = i + 1;
    }
    tk->keeps_bytes = tk->spell_at >= 0;
    tk->repairs_bytes = json_object_get(tk->document.json, "exact") != NULL;
    tk->byte_level = tk->spell_at == tk->pretokenisers.n && tk->spell_at > 0;
    for (int i = 0; i < tk->normalisers.n; i++) {
        const lm_normaliser *kind = tk->normalisers.items[i].kind;
        if (!strcmp(kind->name, "ByteLevel")) tk->keeps_bytes = true;
    }
}

/* A character that is in no normal text, or 0. */
static uint32_t absent_from_normal(const lm_tokenizer *tk)
{
    if (!tk->normalisers.n) return 0;
    const lm_step *last = &tk->normalisers.items[tk->normalisers.n - 1];
    const lm_normaliser *kind = last->kind;
    return kind->removes ? kind->removes(last->state) : 0;
}

/* Steps that pass text as it is only cost time. */
static void drop_idle(lm_tokenizer *tk)
{
    lm_steps *steps = &tk->pretokenisers;
    uint32_t absent = absent_from_normal(tk);
    for (int i = steps->n - 1; i >= 0; i--) {
        const lm_step *step = &steps->items[i];
        const lm_pretokeniser *kind = step->kind;
        if (!kind->idle || !kind->idle(step->state, absent)) continue;
        free_pretokeniser(step);
        memmove(steps->items + i, steps->items + i + 1, (size_t)(steps->n - i - 1) * sizeof *steps->items);
        steps->n--;
        if (tk->spell_at > i) tk->spell_at--;
    }
}

/* ---- post-processor: what stands around a text -------------------------------------------------- */

static lm_status push_known(lm_tokenizer *tk, lm_ids *ids, int64_t id, const char *name, lm_err *err)
{
    if (id < 0 || id >= tk->vocab.n || !tk->vocab.texts[id].data)
        return lm_fail(err, LM_E_FORMAT, "%s: post_processor: no token of the vocabulary has the id %lld", name, (long long)id);
    lm_ids_push(ids, (int32_t)id);
    return LM_OK;
}

static lm_status read_template(lm_tokenizer *tk, const lm_json *json, const char *name, lm_err *err)
{
    const lm_json *single = lm_json_get(json, "single"), *specials = lm_json_get(json, "special_tokens");
    lm_ids *side = &tk->before;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const lm_json *piece = json_array_get(single, i), *special = lm_json_get(piece, "SpecialToken");
        if (lm_json_get(piece, "Sequence")) {
            side = &tk->after;
            continue;
        }
        const char *key;
        LM_TRY(lm_json_need_str(special, "id", name, &key, err));
        const lm_json *ids = lm_json_get(lm_json_get(specials, key), "ids");
        if (!json_is_array(ids)) return lm_fail(err, LM_E_FORMAT, "%s: post_processor: special token \"%.60s\" has no ids", name, key);
        for (size_t j = 0; j < json_array_size(ids); j++)
            LM_TRY(push_known(tk, side, json_integer_value(json_array_get(ids, j)), name, err));
    }
    return LM_OK;
}

static lm_status read_pair(lm_tokenizer *tk, const lm_json *json, const char *name, lm_err *err)
{
    const lm_json *cls = json_array_get(lm_json_get(json, "cls"), 1), *sep = json_array_get(lm_json_get(json, "sep"), 1);
    if (!json_is_integer(cls) || !json_is_integer(sep))
        return lm_fail(err, LM_E_FORMAT, "%s: post_processor: expected cls and sep as [token, id]", name);
    LM_TRY(push_known(tk, &tk->before, json_integer_value(cls), name, err));
    return push_known(tk, &tk->after, json_integer_value(sep), name, err);
}

static lm_status read_post(lm_tokenizer *tk, const lm_json *json, const char *name, int depth, lm_err *err)
{
    if (!json || json_is_null(json)) return LM_OK;
    const char *type;
    LM_TRY(lm_json_need_str(json, "type", name, &type, err));
    if (!strcmp(type, "ByteLevel")) return LM_OK;
    if (!strcmp(type, "TemplateProcessing")) return read_template(tk, json, name, err);
    if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing")) return read_pair(tk, json, name, err);
    const lm_json *members = lm_json_get(json, "processors");
    if (strcmp(type, "Sequence") || !json_is_array(members) || depth > 8)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: post_processor \"%.60s\" is not supported", name, type);
    for (size_t i = 0; i < json_array_size(members); i++)
        LM_TRY(read_post(tk, json_array_get(members, i), name, depth + 1, err));
    return LM_OK;
}

/* ---- all -------------------------------------------------------------------------------------------- */

/* What the reference library does to a text behind all else.  transformers switches both off unless it is asked for
 * them, and nothing is cut here unasked: they are only told. */
static lm_status tell_unapplied(const lm_json *document, const char *name, lm_err *err)
{
    static const char *const members[] = { "truncation", "padding" };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const lm_json *settings = lm_json_get(document, members[i]);
        if (!settings || json_is_null(settings)) continue;
        if (!json_is_object(settings)) return lm_fail(err, LM_E_FORMAT, "%s: %s: expected an object or null", name, members[i]);
        lm_log(LM_LOG_INFO, "%s: its %s is not applied: texts are encoded as long as they are", name, members[i]);
    }
    return LM_OK;
}

static lm_status fill(lm_tokenizer *tk, const char *name, lm_err *err)
{
    const lm_json *document = tk->document.json;
    LM_TRY(read_vocabulary(tk, name, err));
    step_list normalisers = { "normalizer", "normalizers", (const step_head *const *)lm_normaliser_registry, &tk->normalisers };
    step_list pretokenisers = { "pre_tokenizer", "pretokenizers", (const step_head *const *)lm_pretokeniser_registry, &tk->pretokenisers };
    step_list decoders = { "decoder", "decoders", (const step_head *const *)lm_token_decoder_registry, &tk->decoders };
    LM_TRY(read_steps(&normalisers, lm_json_get(document, "normalizer"), name, tk, 0, err));
    LM_TRY(read_steps(&pretokenisers, lm_json_get(document, "pre_tokenizer"), name, tk, 0, err));
    note_byte_level(tk);
    drop_idle(tk);
    LM_TRY(index_added(tk, err));
    lm_step_source source = { .json = lm_json_get(document, "model"), .name = name, .tk = tk };
    LM_TRY(tk->model->load(&tk->model_state, &source, err));
    lm_tokenizer_find_cuts(tk);
    LM_TRY(tell_unapplied(document, name, err));
    LM_TRY(read_steps(&decoders, lm_json_get(document, "decoder"), name, tk, 0, err));
    return read_post(tk, lm_json_get(document, "post_processor"), name, 0, err);
}

lm_status lm_tokenizer_build(lm_tokenizer **out, lm_token_document *document, const char *name, lm_err *err)
{
    lm_tokenizer *tk = *out = lm_calloc(1, sizeof *tk);
    tk->document = *document;
    *document = (lm_token_document){0};
    tk->bos = tk->eos = tk->unk = tk->pad = -1;
    lm_status status = fill(tk, name, err);
    if (status) {
        lm_tokenizer_free(tk);
        *out = NULL;
    }
    return status;
}

static void free_steps(lm_steps *steps, void (*release)(const lm_step *step))
{
    for (int i = 0; i < steps->n; i++) release(&steps->items[i]);
    free(steps->items);
}

static void free_normaliser(const lm_step *step)
{
    const lm_normaliser *kind = step->kind;
    if (kind->free) kind->free(step->state);
}

static void free_decoder(const lm_step *step)
{
    const lm_token_decoder *kind = step->kind;
    if (kind->free) kind->free(step->state);
}

void lm_tokenizer_free(lm_tokenizer *tk)
{
    if (!tk) return;
    free_steps(&tk->normalisers, free_normaliser);
    free_steps(&tk->pretokenisers, free_pretokeniser);
    free_steps(&tk->decoders, free_decoder);
    if (tk->model) tk->model->free(tk->model_state);
    lm_added_free(tk->raw);
    lm_added_free(tk->normalised);
    free(tk->added);
    free(tk->special);
    lm_ids_free(&tk->before);
    lm_ids_free(&tk->after);
    lm_vocab_free(&tk->vocab);
    lm_token_document_free(&tk->document);
    free(tk->chat_template);
    free(tk);
}
