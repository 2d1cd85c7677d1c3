/* tokenizer.json with tokenizer_config.json, in a model folder.
 *
 * The Hugging Face library has no word for three habits of SentencePiece (pipeline.h: "exact"): the longest key
 * of a character map, the mark only in front of the first word, symbols sought in the normal text.  A tokenizer
 * that has them is written as that library's own converter would, and the note says so. */
#include "base/file.h"
#include "token/writer.h"

#include <string.h>

static bool holds_exact(const lm_json *node)
{
    const char *key;
    lm_json *value;
    if (json_is_array(node)) {
        for (size_t i = 0; i < json_array_size(node); i++)
            if (holds_exact(json_array_get(node, i))) return true;
        return false;
    }
    json_object_foreach((lm_json *)(uintptr_t)node, key, value)
        if (!strcmp(key, "exact") || holds_exact(value)) return true;
    return false;
}

static lm_status write_folder(const lm_tokenizer *tk, const char *path, lm_str *note, lm_err *err)
{
    LM_TRY(lm_make_dirs(path, err));
    if (!tk->document.whole && (holds_exact(lm_json_get(tk->document.json, "normalizer")) || holds_exact(lm_json_get(tk->document.json, "added_tokens"))))
        lm_str_puts(note, "tokenizer.json cannot say all that SentencePiece does: behind a special token, and for rare sequences of combining marks, ids may differ");
    return lm_tokenizer_save(tk, path, err);
}

const lm_token_writer lm_token_writer_tokenizer_json = {
    .name = "tokenizer.json",
    .summary = "a model folder's tokenizer.json and tokenizer_config.json",
    .file = "tokenizer.json",
    .folder = true,
    .write = write_folder,
};
