/* Adapter configurations over a small model: a clear error, or an adapter that computes and can be saved. */
#include "backend/backend.h"
#include "base/thread.h"
#include "fuzz/tokenizer.h"
#include "io/save.h"
#include "nn/adapter.h"
#include "peft/lora_folder.h"

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
    " \"vocab_size\": 16, \"max_position_embeddings\": 24, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": true}";

static lm_kernels kernels;
static lm_model *model;
static lm_tape tape;
static char *folder;

/* The tensors of the corpus' lora.json: what other methods want is missing, which they have to say. */
static void write_tensors(void)
{
    static float numbers[64];
    static const int64_t down[2] = { 2, 8 }, up[2] = { 8, 2 };
    lm_save_entry entries[4];
    static const char *const names[] = { "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
                                         "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight" };
    for (int i = 0; i < 4; i++)
        entries[i] = (lm_save_entry){ .name = names[i], .dtype = LM_F32, .ndim = 2, .dim = i % 2 ? up : down, .data = numbers, .data_dtype = LM_F32 };
    char *path = lm_path_join(folder, "adapter_model.safetensors");
    LM_ASSERT(lm_save_file(&(lm_save){ .entries = entries, .n = 4 }, path, NULL) == LM_OK);
    free(path);
}

static void prepare(void)
{
    lm_err err = { 0 };
    lm_threads_set(1);                                   /* nothing here is large enough for two */
    folder = test_path("adapter");
    LM_ASSERT(lm_make_dirs(folder, &err) == LM_OK && lm_backend(&kernels, "ref", &err) == LM_OK);
    lm_json *json = lm_json_parse(config, sizeof config - 1, "config", &err);
    LM_ASSERT(json && lm_model_new(&model, json, 1, &kernels, &err) == LM_OK);
    LM_ASSERT(lm_tape_init(&tape, &kernels, &(lm_tape_options){ .compute = LM_F32 }, &err) == LM_OK);
    write_tensors();
}

static void check_message(const lm_err *err, lm_status status)
{
    LM_ASSERT(status == err->code);
    LM_ASSERT(!strpbrk(err->message, "\n\r\033"));
}

static void compute(void)
{
    static const int32_t ids[3] = { 1, 2, 3 }, positions[3] = { 0, 1, 2 };
    static const lm_segment segment = { .nq = 3, .nk = 3 };
    const lm_batch batch = { .n_tokens = 3, .n_segments = 1, .ids = ids, .positions = positions, .segments = &segment };
    const lm_forward f = { .t = &tape, .m = model, .batch = &batch };
    lm_model_logits(&f, lm_model_forward(&f), NULL);
    LM_ASSERT(tape.err.code == LM_OK);
    lm_tape_reset(&tape);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = { 0 };
    lm_adapter *a;
    lm_lora_folder lora = { 0 };
    if (!model) prepare();
    char *path = lm_path_join(folder, "adapter_config.json"), *written = fuzz_write("adapter/adapter_config.json", data, size);
    LM_ASSERT(!strcmp(path, written));
    check_message(&err, lm_adapter_load(&a, model, folder, &err));
    if (a) {
        compute();
        lm_json *saved = json_object();
        a->type->write_config(a, saved);
        lm_json_free(saved);
    }
    lm_adapter_free(a);
    LM_ASSERT(!model->adapters);
    lm_err_clear(&err);
    check_message(&err, lm_lora_folder_open(&lora, folder, &err));
    lm_lora_folder_close(&lora);
    remove(path);
    free(written);
    free(path);
    return 0;
}
