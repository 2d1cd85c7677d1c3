#include "io/folder.h"

#include "base/file.h"
#include "base/str.h"
#include "io/llama2c.h"
#include "io/stream.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 4096 };

static const char *const side_files[] = {
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
    "chat_template.jinja", "chat_template.json", NULL,
};

/* ---- what a path holds ------------------------------------------------------- */

static bool holds(const char *folder, const char *name)
{
    char *path = lm_path_join(folder, name);
    bool there = lm_file_exists(path);
    free(path);
    return there;
}

static lm_kind kind_of_folder(const char *folder)
{
    static const struct { const char *name; lm_kind kind; } marks[] = {
        { "adapter_config.json", LM_KIND_ADAPTER },
        { "manifest.json", LM_KIND_CHECKPOINT },
        { "config.json", LM_KIND_MODEL },
        { "model.safetensors", LM_KIND_MODEL },
        { "model.safetensors.index.json", LM_KIND_MODEL },
        { "run.json", LM_KIND_RUN },
        { "latest", LM_KIND_RUN },
        { "tokenizer.json", LM_KIND_TOKENIZER },
        { "tokenizer.model", LM_KIND_TOKENIZER },
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (holds(folder, marks[i].name)) return marks[i].kind;
    return LM_KIND_UNKNOWN;
}

/* A character that the end of the head cuts in two is still text. */
static bool is_text(const char *p, size_t n, bool whole)
{
    size_t valid = lm_utf8_valid(p, n);
    return !memchr(p, '\0', n) && (valid == n || (!whole && n - valid < 4));
}

/* The unpacked first bytes of a file; *n < HEAD_BYTES when that is all of it. */
static lm_status read_head(char *head, size_t *n, const char *path, lm_err *err)
{
    lm_stream *s;
    LM_TRY(lm_stream_open(&s, path, err));
    lm_status status = lm_stream_read(s, head, HEAD_BYTES, n, err);
    lm_stream_close(s);
    return status;
}

static bool looks_like_safetensors(const char *head, size_t n)
{
    return n > 8 && head[8] == '{' && !head[4] && !head[5] && !head[6] && !head[7];
}

lm_status lm_kind_of_path(lm_kind *out, const char *path, lm_err *err)
{
    *out = LM_KIND_UNKNOWN;
    if (lm_is_dir(path)) {
        *out = kind_of_folder(path);
        return LM_OK;
    }
    char head[HEAD_BYTES];
    size_t n;
    lm_llama2c_header header;
    LM_TRY(read_head(head, &n, path, err));
    if (n >= 4 && !memcmp(head, "GGUF", 4)) *out = LM_KIND_GGUF;
    else if (looks_like_safetensors(head, n)) *out = LM_KIND_SAFETENSORS;
    else if (is_text(head, n, n < HEAD_BYTES)) *out = LM_KIND_TEXT;
    else if (lm_llama2c_inspect(&header, path, NULL) == LM_OK) *out = LM_KIND_LLAMA2C;
    return LM_OK;
}

const char *lm_kind_name(lm_kind kind)
{
    static const char *const names[] = {
        [LM_KIND_UNKNOWN] = "unknown",           [LM_KIND_MODEL] = "model folder",
        [LM_KIND_ADAPTER] = "adapter folder",    [LM_KIND_CHECKPOINT] = "checkpoint",
        [LM_KIND_RUN] = "training run",          [LM_KIND_TOKENIZER] = "tokenizer folder",
        [LM_KIND_SAFETENSORS] = "safetensors file", [LM_KIND_GGUF] = "GGUF file",
        [LM_KIND_LLAMA2C] = "llama2.c model",    [LM_KIND_TEXT] = "text file",
    };
    return names[kind];
}

/* ---- side files -------------------------------------------------------------- */

static lm_status copy_file(const char *from, const char *to, lm_err *err)
{
    lm_mapping file;
    LM_TRY(lm_file_map(&file, from, err));
    lm_status status = lm_file_write(to, file.data, file.size, err);
    lm_mapping_free(&file);
    return status;
}

lm_status lm_folder_copy(const char *from, const char *to, const char *name, lm_err *err)
{
    char *a = lm_path_join(from, name), *b = lm_path_join(to, name);
    lm_status status = lm_file_exists(a) ? copy_file(a, b, err) : LM_OK;
    free(a);
    free(b);
    return status;
}

lm_status lm_folder_copy_sides(const char *from, const char *to, lm_err *err)
{
    for (const char *const *name = side_files; *name; name++) LM_TRY(lm_folder_copy(from, to, *name, err));
    return LM_OK;
}
