/* A tiny random LLaMA with a tokenizer of one token per byte, and runs over it: what a test of training needs. */
#ifndef LM_TESTS_TRAIN_TINY_H
#define LM_TESTS_TRAIN_TINY_H

#include "backend/backend.h"
#include "base/file.h"
#include "token/pipeline.h"
#include "train/trainer.h"

#include "common/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TINY_END = 256, TINY_VOCAB = 257, TINY_CONTEXT = 64 };

/* Bytes are ids 0 .. 255, the end of a text is 256. */
static inline void tiny_tokenizer(const char *folder, int extra)
{
    lm_json *vocab = json_object();
    for (int byte = 0; byte < 256; byte++) {
        lm_str text = {0};
        lm_str_put_rune(&text, lm_byte_spell((uint8_t)byte));
        json_object_set_new(vocab, text.data, json_integer(byte));
        lm_str_free(&text);
    }
    for (int i = 0; i < extra; i++) {
        char name[32];
        snprintf(name, sizeof name, "<unused%d>", i);
        json_object_set_new(vocab, name, json_integer(TINY_VOCAB + i));
    }
    lm_json *end = json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", TINY_END, "content", "<|end|>", "special", 1,
                             "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0);
    lm_json *doc = json_pack("{s:s, s:[o], s:{s:s, s:b, s:b}, s:{s:s}, s:{s:s, s:o, s:[]}}", "version", "1.0", "added_tokens", end,
                             "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 0,
                             "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab", vocab, "merges");
    char *path = lm_path_join(folder, "tokenizer.json"), *config = lm_path_join(folder, "tokenizer_config.json");
    assert_int_equal(lm_json_write(doc, path, NULL), LM_OK);
    lm_json *settings = json_pack("{s:s}", "eos_token", "<|end|>");
    assert_int_equal(lm_json_write(settings, config, NULL), LM_OK);
    lm_json_free(settings);
    lm_json_free(doc);
    free(path), free(config);
}

/* Writes the model's folder; the caller frees its path. */
static inline char *tiny_model(const char *name)
{
    lm_kernels k = {0};
    lm_model *m;
    char *folder = test_path(name);
    lm_json *config = json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:b}", "model_type", "llama", "architectures",
                                "LlamaForCausalLM", "vocab_size", TINY_VOCAB, "hidden_size", 32, "intermediate_size", 48,
                                "num_hidden_layers", 2, "num_attention_heads", 4, "num_key_value_heads", 2,
                                "max_position_embeddings", TINY_CONTEXT, "initializer_range", 0.1, "tie_word_embeddings", 0);
    assert_int_equal(lm_backend(&k, "ref", NULL), LM_OK);
    assert_int_equal(lm_model_new(&m, config, 11, &k, NULL), LM_OK);
    assert_int_equal(lm_model_save(m, folder, LM_F32, 0, NULL), LM_OK);
    lm_model_free(m);
    tiny_tokenizer(folder, 0);
    return folder;
}

static inline char *tiny_file(const char *name, const char *text)
{
    char *path = test_path(name);
    assert_int_equal(lm_file_write(path, text, strlen(text), NULL), LM_OK);
    return path;
}

/* Options as the program would parse them, and the run that they ask for. */
typedef struct tiny_run {
    lm_train_options options;
    void *objective_options, *optimizer_options, *adapter_options;
    lm_option_set sets[5];
    lm_kernels k;
    lm_train_config config;
    lm_trainer t;
    lm_err err;
} tiny_run;

static inline void tiny_set(tiny_run *r, const char *name, const char *text)
{
    if (lm_option_set_text(r->sets, name, text, "test", &r->err) != LM_OK) fail_msg("%s", r->err.message);
}

/* `arguments`: "--name value" pairs parted by spaces. */
static inline void tiny_parse(tiny_run *r, const char *objective, const char *model, const char *data, const char *out,
                              const char *arguments)
{
    memset(r, 0, sizeof *r);
    assert_int_equal(lm_backend(&r->k, "auto", NULL), LM_OK);
    lm_train_config *c = &r->config;
    c->o = &r->options, c->k = &r->k, c->sets = r->sets;
    c->objective = lm_objective_find(objective);
    c->optimizer = lm_optimizer_find("adamw");
    const char *method = strstr(arguments, "--adapter ");
    char name[32] = {0};
    if (method && sscanf(method, "--adapter %31s", name) == 1) c->adapter = lm_adapter_type_find(name);
    c->objective_options = r->objective_options = lm_calloc(1, c->objective->options_size + 1);
    c->optimizer_options = r->optimizer_options = lm_calloc(1, c->optimizer->options_size);
    r->sets[0] = (lm_option_set){ .options = lm_train_option_table, .values = &r->options };
    r->sets[1] = (lm_option_set){ .options = c->objective->options, .values = r->objective_options };
    r->sets[2] = (lm_option_set){ .options = c->optimizer->options, .values = r->optimizer_options };
    if (c->adapter) {
        c->adapter_options = r->adapter_options = lm_calloc(1, c->adapter->options_size);
        r->sets[3] = (lm_option_set){ .options = c->adapter->options, .values = r->adapter_options };
    }
    lm_options_defaults(r->sets);
    r->options.pack = c->objective->packs;

    char *text = lm_strdup(arguments), *rest = NULL, *words[64];
    int n = 0;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) words[n++] = word;
    lm_strings positional = {0};
    if (lm_options_parse(r->sets, n, words, &positional, &r->err) != LM_OK) fail_msg("%s", r->err.message);
    free(positional.items);
    free(text);
    tiny_set(r, "model", model);
    tiny_set(r, "data", data);
    tiny_set(r, "out", out);
}

static inline void tiny_close(tiny_run *r)
{
    lm_trainer_close(&r->t);
    lm_options_free(r->sets);
    free(r->objective_options), free(r->optimizer_options), free(r->adapter_options);
}

/* The bytes of a file in a folder; how often `with` stands in them. */
static inline lm_str tiny_read(const char *folder, const char *name)
{
    lm_str bytes = {0};
    char *path = lm_path_join(folder, name);
    lm_err err = {0};
    if (lm_file_read(&bytes, path, 1 << 24, &err) != LM_OK) fail_msg("%s", err.message);
    free(path);
    return bytes;
}

static inline int tiny_count(const char *folder, const char *name, const char *with)
{
    lm_str bytes = tiny_read(folder, name);
    int n = 0;
    for (const char *at = bytes.data; (at = strstr(at, with)); at++) n++;
    lm_str_free(&bytes);
    return n;
}

/* Whether two runs wrote the same bytes. */
static inline bool tiny_same(const char *a, const char *b, const char *name)
{
    lm_str x = tiny_read(a, name), y = tiny_read(b, name);
    bool same = x.len == y.len && !memcmp(x.data, y.data, x.len);
    lm_str_free(&x);
    lm_str_free(&y);
    return same;
}

/* Parses and opens; fails the test unless it opens. */
static inline void tiny_open(tiny_run *r, const char *objective, const char *model, const char *data, const char *out,
                             const char *arguments)
{
    tiny_parse(r, objective, model, data, out, arguments);
    if (lm_trainer_open(&r->t, &r->config, &r->err) != LM_OK) fail_msg("%s", r->err.message);
}

/* Parses, opens and runs; returns what came of it, with the message in r->err. */
static inline lm_status tiny_train(tiny_run *r, const char *objective, const char *model, const char *data, const char *out,
                                   const char *arguments)
{
    tiny_parse(r, objective, model, data, out, arguments);
    lm_status status = lm_trainer_open(&r->t, &r->config, &r->err);
    return status == LM_OK ? lm_trainer_run(&r->t, &r->err) : status;
}

static inline void tiny_expect(const tiny_run *r, lm_status status, const char *text)
{
    if (r->err.code != status || (text && !strstr(r->err.message, text)))
        fail_msg("status %d, message: %s", (int)r->err.code, r->err.message);
}

#endif
