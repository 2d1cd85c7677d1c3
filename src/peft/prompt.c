/* Prompt tuning (Lester et al. 2021, "The power of scale for parameter-efficient prompt tuning",
 * section 2): P learned embeddings in front of every text.
 *
 *   x = [p_1 .. p_P; embed(x_1) .. embed(x_T)]
 *
 * They start as random vectors, as embeddings of random tokens, or as those of a text, repeated or cut to
 * P tokens (section 3.2).  Not a change of weights: it cannot be merged. */
#include "peft/prompt_learning.h"
#include "token/tokenizer.h"

#include <string.h>

enum { RANDOM, VOCABULARY, TEXT };
static const char *const starts[] = { "random", "vocabulary", "text", NULL };
static const char *const peft_starts[] = { "RANDOM", "SAMPLE_VOCAB", "TEXT", NULL };

typedef struct prompt_options {
    int64_t n;
    int start;
    const char *text;
} prompt_options;

static const lm_option options[] = {
    LM_OPTION(INT, prompt_options, n, "num-virtual-tokens", .fallback = "20", .min = 1, .max = 65536, .help = "learned tokens in front of every text"),
    LM_OPTION(CHOICE, prompt_options, start, "prompt-init", .fallback = "vocabulary", .choices = starts,
              .help = "what they start as: random vectors, random tokens of the vocabulary, or --prompt-init-text"),
    LM_OPTION(STRING, prompt_options, text, "prompt-init-text", .metavar = "TEXT", .help = "the text that they start as"),
    { 0 },
};

static lm_status attach(lm_adapter *a, lm_err *err)
{
    const prompt_options *o = a->options;
    int64_t shape[2] = { o->n, a->model->config.hidden_size };
    if (o->start == TEXT && !o->text && !a->config) return lm_fail(err, LM_E_USAGE, "--prompt-init text needs --prompt-init-text");
    lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 2, shape, "prompt_embeddings");
    return lm_prompt_attach(a, o->n, err);
}

/* The ids of the text, over and over, until there are n. */
static lm_status ids_of_text(const lm_adapter *a, lm_ids *ids, int64_t n, lm_err *err)
{
    const prompt_options *o = a->options;
    lm_tokenizer *tk;
    LM_TRY(lm_tokenizer_load(&tk, a->model->path ? a->model->path : "", err));
    lm_status status = lm_encode(tk, ids, o->text, strlen(o->text), LM_ENCODE_SPECIAL, err);
    lm_tokenizer_free(tk);
    size_t once = ids->len;
    if (status == LM_OK && !once) status = lm_fail(err, LM_E_USAGE, "--prompt-init-text: the text has no token");
    while (status == LM_OK && ids->len < (size_t)n) lm_ids_push(ids, ids->data[ids->len - once]);
    return status;
}

static lm_status start(lm_adapter *a, uint64_t seed, lm_err *err)
{
    const prompt_options *o = a->options;
    const lm_tensor *table = a->model->embedding;
    lm_rng rng = { .seed = seed };
    lm_ids ids = { 0 };
    if (o->start == RANDOM || !a->params.k->computes) return LM_OK;
    lm_status status = o->start == TEXT ? ids_of_text(a, &ids, o->n, err) : LM_OK;
    while (o->start == VOCABULARY && ids.len < (size_t)o->n) lm_ids_push(&ids, (int32_t)lm_rng_below(&rng, (uint64_t)table->dim[0]));
    if (status == LM_OK)
        a->params.k->embedding_fwd[LM_F32](&(lm_k_embedding){ .y = a->params.items[0]->t.data, .table = table->data, .ids = ids.data,
            .rows = o->n, .cols = table->dim[1], .vocab = table->dim[0], .wt = table->dtype });
    lm_ids_free(&ids);
    return status;
}

static lm_tensor *embed(const lm_forward *f, lm_adapter *a, lm_tensor *x)
{
    return lm_put_vectors(f, a, x, &a->params.items[0]->t);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    prompt_options *o = a->options;
    const char *start_name = NULL;
    LM_TRY(lm_json_opt_str(config, "prompt_tuning_init", NULL, &start_name, err));
    for (int i = 0; start_name && peft_starts[i]; i++)
        if (!strcmp(start_name, peft_starts[i])) o->start = i;
    LM_TRY(lm_json_opt_str(config, "prompt_tuning_init_text", NULL, &o->text, err));
    return lm_prompt_read(a, config, a->model->config.hidden_size, &o->n, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const prompt_options *o = a->options;
    lm_prompt_write(a, config, a->model->config.hidden_size, a->model->config.n_heads);
    json_object_set_new(config, "prompt_tuning_init", json_string(peft_starts[o->start]));
    json_object_set_new(config, "prompt_tuning_init_text", o->text ? json_string(o->text) : json_null());
    json_object_set_new(config, "tokenizer_name_or_path", a->model->path ? json_string(a->model->path) : json_null());
}

const lm_adapter_type lm_adapter_type_prompt = {
    .name = "prompt", .peft_type = "PROMPT_TUNING", .source = "Lester et al. 2021, section 2", .bare = true,
    .options = options, .options_size = sizeof(prompt_options),
    .attach = attach, .start = start, .embed = embed, .read_config = read_config, .write_config = write_config,
};
