/* Writing a tokenizer into a model folder, for malmoi and for transformers. */
#include "base/file.h"
#include "token/pipeline.h"

#include <stdlib.h>

static void set_token(const lm_tokenizer *tk, lm_json *config, const char *key, int32_t id)
{
    lm_span text = lm_token_text(tk, id);
    if (text.data) json_object_set_new(config, key, json_stringn(text.data, text.len));
}

static lm_json *make_config(const lm_tokenizer *tk)
{
    lm_json *config = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0);
    set_token(tk, config, "bos_token", tk->bos);
    set_token(tk, config, "eos_token", tk->eos);
    set_token(tk, config, "unk_token", tk->unk);
    set_token(tk, config, "pad_token", tk->pad);
    if (tk->chat_template) json_object_set_new(config, "chat_template", json_string(tk->chat_template));
    return config;
}

static lm_status save_document(const lm_tokenizer *tk, const char *path, lm_err *err)
{
    lm_str text = {0};
    lm_token_document_text(&text, &tk->document);
    lm_status status = lm_file_write(path, text.data, text.len, err);
    lm_str_free(&text);
    return status;
}

lm_status lm_tokenizer_save(const lm_tokenizer *tk, const char *folder, lm_err *err)
{
    char *path = lm_path_join(folder, "tokenizer.json");
    lm_status status = save_document(tk, path, err);
    free(path);
    LM_TRY(status);
    lm_json *config = make_config(tk);
    path = lm_path_join(folder, "tokenizer_config.json");
    status = lm_json_write(config, path, err);
    free(path);
    lm_json_free(config);
    return status;
}
