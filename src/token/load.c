/* Finding and reading a tokenizer, and the settings that stand beside it in a model folder.
 *
 * In a folder tokenizer.json wins; the other files are tried in the order of `folder_files`.  A single
 * file is told by its content: JSON begins with a brace, every other format knows itself. */
#include "base/file.h"
#include "token/document.h"
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 4096 };
static const size_t json_limit = (size_t)1 << 30;

/* ---- one file -------------------------------------------------------------------------------- */

/* What was read: the document, and settings. */
typedef struct reading {
    lm_token_document document;
    lm_json *config, *map, *generation;   /* tokenizer_config, special_tokens_map, generation_config or config; any may be NULL */
} reading;

static void reading_free(reading *r)
{
    lm_token_document_free(&r->document);
    lm_json_free(r->config), lm_json_free(r->map), lm_json_free(r->generation);
}

/* The document that a reader of another format made; takes it. */
static void keep_document(reading *r, lm_json *document)
{
    lm_token_document_free(&r->document);
    if (document) lm_token_document_of(&r->document, document);
    lm_json_free(document);
}

/* JSON is tokenizer.json, or vocab.json: an object of tokens and ids. */
static lm_status read_json(reading *r, const char *path, lm_err *err)
{
    lm_str text;
    LM_TRY(lm_file_read(&text, path, json_limit, err));
    LM_TRY(lm_token_document_read(&r->document, &text, path, err));
    if (json_is_object(lm_json_get(r->document.json, "model"))) return LM_OK;
    lm_json *document = NULL;
    LM_TRY(lm_read_vocab_merges(&document, r->document.json, path, err));
    keep_document(r, document);
    return LM_OK;
}

static lm_status read_file(reading *r, const char *path, lm_err *err)
{
    lm_mapping file;
    LM_TRY(lm_file_map(&file, path, err));
    lm_span head = lm_span_of((const char *)file.data, file.size < HEAD ? file.size : HEAD);
    size_t blank = head.len >= 3 && !memcmp(head.data, "\xEF\xBB\xBF", 3) ? 3 : 0;   /* a byte order mark */
    while (blank < head.len && strchr(" \t\r\n", head.data[blank])) blank++;
    bool json = blank < head.len && head.data[blank] == '{';
    const lm_token_format *found = NULL;
    for (const lm_token_format *const *format = lm_token_format_registry; *format && !json; format++)
        if ((*format)->is(head, file.size) && (!found || (*format)->order < found->order)) found = *format;
    lm_mapping_free(&file);
    if (json) return read_json(r, path, err);
    if (!found) return lm_fail(err, LM_E_FORMAT, "%s: no tokenizer format is recognised in its content", path);
    lm_json *document = NULL;
    lm_status status = found->read(&document, &r->config, path, err);
    keep_document(r, document);
    return status;
}

/* ---- a folder ----------------------------------------------------------------------------------- */

static const char *const folder_files[] = { "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json",
                                            "vocab.txt", "tokenizer.bin", NULL };

static lm_status read_tokenizer_in(reading *r, const char *folder, lm_err *err)
{
    for (const char *const *name = folder_files; *name; name++) {
        char *path = lm_path_join(folder, *name);
        bool exists = lm_file_exists(path);
        lm_status status = exists ? read_file(r, path, err) : LM_OK;
        free(path);
        if (exists) return status;
    }
    return lm_fail(err, LM_E_IO, "%s: no tokenizer here: expected tokenizer.json, tokenizer.model, vocab.json with merges.txt, vocab.txt or tokenizer.bin", folder);
}

static lm_status read_settings(lm_json **out, const char *folder, const char *name, lm_err *err)
{
    char *path = lm_path_join(folder, name);
    lm_status status = LM_OK;
    *out = NULL;
    if (lm_file_exists(path)) {
        *out = lm_json_read(path, err);
        if (!*out) status = err ? err->code : LM_E_FORMAT;
    }
    free(path);
    return status;
}

/* ---- special tokens ------------------------------------------------------------------------------ */

/* A token in a settings file is its text, or an object with "content". */
static const char *token_text(const lm_json *object, const char *key)
{
    const lm_json *value = lm_json_get(object, key);
    if (json_is_object(value)) value = lm_json_get(value, "content");
    return json_is_string(value) ? json_string_value(value) : NULL;
}

static int32_t find_special(const lm_tokenizer *tk, const reading *s, const char *name)
{
    char key[32];
    snprintf(key, sizeof key, "%s_token", name);
    const char *text = token_text(s->config, key);
    if (!text) text = token_text(s->map, key);
    int32_t id = text ? lm_token_id(tk, text) : -1;
    if (id >= 0 || text) return id;
    snprintf(key, sizeof key, "%s_token_id", name);
    const lm_json *value = lm_json_get(s->generation, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    json_int_t known = json_is_integer(value) ? json_integer_value(value) : -1;
    return known >= 0 && known < tk->vocab.n ? (int32_t)known : -1;
}

/* A file alone does not say which token ends a text; these names do. */
static int32_t guess(const lm_tokenizer *tk, const char *const *names)
{
    for (; *names; names++) {
        int32_t id = lm_token_id(tk, *names);
        if (id >= 0 && tk->special[id]) return id;
    }
    return -1;
}

static void find_specials(lm_tokenizer *tk, const reading *s)
{
    static const char *const bos[] = { "<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "<|endoftext|>", NULL };
    static const char *const eos[] = { "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "<|endoftext|>", NULL };
    static const char *const pad[] = { "<pad>", "[PAD]", "<|pad|>", NULL };
    static const char *const unk[] = { "<unk>", "[UNK]", NULL };
    bool told = s->config || s->map || s->generation;
    tk->bos = find_special(tk, s, "bos");
    tk->eos = find_special(tk, s, "eos");
    tk->pad = find_special(tk, s, "pad");
    if (tk->unk < 0) tk->unk = find_special(tk, s, "unk");
    if (tk->unk < 0 && !told) tk->unk = guess(tk, unk);
    if (tk->bos < 0 && !told) tk->bos = tk->before.len ? tk->before.data[0] : guess(tk, bos);
    if (tk->eos < 0 && !told) tk->eos = guess(tk, eos);
    if (tk->pad < 0 && !told) tk->pad = guess(tk, pad);
}

/* add_bos_token and add_eos_token, where they are said, replace the post-processor: so do the
 * classes of transformers that have them.  Gives the new one, or NULL when nothing changes. */
static lm_status adjust_template(lm_tokenizer *tk, const reading *s, lm_json **post, lm_err *err)
{
    *post = NULL;
    if (!s->config) return LM_OK;
    const char *kind = token_text(s->config, "tokenizer_class");
    bool llama = kind && (strstr(kind, "Llama") || strstr(kind, "Gemma"));
    bool had_bos = tk->bos >= 0 && tk->before.len == 1 && tk->before.data[0] == tk->bos;
    bool had_eos = tk->eos >= 0 && tk->after.len == 1 && tk->after.data[0] == tk->eos;
    bool bos = had_bos, eos = had_eos;
    LM_TRY(lm_json_opt_bool(s->config, "add_bos_token", "tokenizer_config.json", &bos, err));
    LM_TRY(lm_json_opt_bool(s->config, "add_eos_token", "tokenizer_config.json", &eos, err));
    if (!llama) bos |= had_bos, eos |= had_eos;
    bos = bos && tk->bos >= 0;
    eos = eos && tk->eos >= 0;
    bool other = (tk->before.len && !had_bos) || (tk->after.len && !had_eos);
    if ((bos == had_bos && eos == had_eos) || other) return LM_OK;
    lm_ids_clear(&tk->before);
    lm_ids_clear(&tk->after);
    if (bos) lm_ids_push(&tk->before, tk->bos);
    if (eos) lm_ids_push(&tk->after, tk->eos);
    *post = lm_document_template(bos ? tk->vocab.texts[tk->bos].data : NULL, tk->bos, eos ? tk->vocab.texts[tk->eos].data : NULL, tk->eos);
    return LM_OK;
}

/* ---- chat template ------------------------------------------------------------------------------------ */

/* A file of its own comes before the configuration, as in transformers. */
static lm_status find_template(char **out, const lm_json *config, const char *folder, lm_err *err)
{
    char *path = folder ? lm_path_join(folder, "chat_template.jinja") : NULL;
    lm_str source = {0};
    bool own = path && lm_file_exists(path);
    lm_status status = own ? lm_file_read(&source, path, json_limit, err) : LM_OK;
    free(path);
    if (own) *out = lm_str_take(&source);
    if (own) return status;

    const lm_json *value = lm_json_get(config, "chat_template");
    const char *text = json_is_string(value) ? json_string_value(value) : NULL;
    for (size_t i = 0; i < json_array_size(value); i++) {      /* several, by name */
        const lm_json *entry = json_array_get(value, i);
        const char *name = token_text(entry, "name");
        if (!text || (name && !strcmp(name, "default"))) text = token_text(entry, "template");
    }
    if (text) *out = lm_strdup(text);
    return LM_OK;
}

lm_status lm_tokenizer_folder_template(char **out, const char *folder, lm_err *err)
{
    lm_json *config;
    *out = NULL;
    LM_TRY(read_settings(&config, folder, "tokenizer_config.json", err));
    lm_status status = find_template(out, config, folder, err);
    lm_json_free(config);
    return status;
}

/* ---- loading -------------------------------------------------------------------------------------------- */

/* The folder's own settings go before those that the tokenizer's file has. */
static lm_status read_folder(reading *r, const char *folder, lm_err *err)
{
    LM_TRY(read_tokenizer_in(r, folder, err));
    lm_json *config;
    LM_TRY(read_settings(&config, folder, "tokenizer_config.json", err));
    if (config) {
        lm_json_free(r->config);
        r->config = config;
    }
    LM_TRY(read_settings(&r->map, folder, "special_tokens_map.json", err));
    LM_TRY(read_settings(&r->generation, folder, "generation_config.json", err));
    return r->generation ? LM_OK : read_settings(&r->generation, folder, "config.json", err);
}

static lm_status finish(lm_tokenizer *tk, const reading *r, const char *folder, lm_err *err)
{
    find_specials(tk, r);
    LM_TRY(find_template(&tk->chat_template, r->config, folder, err));
    lm_json *post;
    LM_TRY(adjust_template(tk, r, &post, err));
    if (post) {
        json_object_set_new(tk->document.json, "post_processor", post);
        tk->document.whole = false;
    }
    return LM_OK;
}

static lm_status build(lm_tokenizer **out, reading *r, const char *name, const char *folder, lm_err *err)
{
    lm_status status = lm_tokenizer_build(out, &r->document, name, err);
    if (!status) status = finish(*out, r, folder, err);
    if (status) {
        lm_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}

lm_status lm_tokenizer_adopt(lm_tokenizer **out, lm_json *document, const char *name, lm_err *err)
{
    reading r = {0};
    keep_document(&r, document);
    lm_status status = build(out, &r, name, NULL, err);
    reading_free(&r);
    return status;
}

lm_status lm_tokenizer_load(lm_tokenizer **out, const char *path, lm_err *err)
{
    reading r = {0};
    bool folder = lm_is_dir(path);
    *out = NULL;
    lm_status status = folder ? read_folder(&r, path, err) : read_file(&r, path, err);
    if (!status) status = build(out, &r, path, folder ? path : NULL, err);
    reading_free(&r);
    return status;
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

int lm_tokenizer_vocab_size(const lm_tokenizer *tk) { return tk->vocab.n; }
int32_t lm_token_id(const lm_tokenizer *tk, const char *text) { return lm_vocab_id(&tk->vocab, lm_span_of(text, strlen(text))); }
int32_t lm_bos_id(const lm_tokenizer *tk) { return tk->bos; }
int32_t lm_eos_id(const lm_tokenizer *tk) { return tk->eos; }
int32_t lm_unk_id(const lm_tokenizer *tk) { return tk->unk; }
int32_t lm_pad_id(const lm_tokenizer *tk) { return tk->pad; }
const char *lm_tokenizer_chat_template(const lm_tokenizer *tk) { return tk->chat_template; }
const char *lm_tokenizer_model_name(const lm_tokenizer *tk) { return tk->model->name; }

lm_span lm_token_text(const lm_tokenizer *tk, int32_t id)
{
    return id >= 0 && id < tk->vocab.n ? tk->vocab.texts[id] : (lm_span){ NULL, 0 };
}

bool lm_token_is_special(const lm_tokenizer *tk, int32_t id) { return id >= 0 && id < tk->vocab.n && tk->special[id]; }
