/* malmoi adapter export: a LoRA adapter as the file that llama.cpp takes (--lora).
 *
 * It is a GGUF file of type "adapter" with adapter.type "lora", adapter.lora.alpha, and for every matrix of the
 * base two tensors, `NAME.lora_a` [r, in] and `NAME.lora_b` [out, r], under llama.cpp's names; llama.cpp adds
 * alpha / r times their product.  Where a module has a scale of its own (patterns, rsLoRA), B carries it.
 *
 * llama.cpp rotates neighbouring numbers of a head where Hugging Face rotates those half a head apart, so rows of
 * LLaMA's queries and keys change places, and with them rows of B: (head, half, i) -> (head, i, half).  Its table
 * of tokens wants A the other way round. */
#include "app/adapter.h"

#include "backend/backend.h"
#include "base/file.h"
#include "io/gguf_write.h"
#include "nn/model.h"
#include "peft/lora_folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct export_options {
    const char *model, *out;
    int to;
} export_options;

static const char *const formats[] = { "gguf", NULL };

static const lm_option options[] = {
    LM_OPTION(CHOICE, export_options, to, "to", .fallback = "gguf", .choices = formats, .help = "the format: llama.cpp's LoRA file"),
    LM_OPTION(STRING, export_options, model, "model", .metavar = "FOLDER", .help = "the base (default: where the adapter says it is)"),
    LM_OPTION(STRING, export_options, out, "out", .letter = 'o', .metavar = "FILE", .required = true, .help = "where the file goes"),
    { 0 },
};

/* ---- llama.cpp's names ---- */

static const struct { const char *family, *model_type, *architecture; bool turned; } architectures[] = {
    { "llama", "llama", "llama", true }, { "llama", "mistral", "llama", true }, { "llama", "qwen2", "qwen2", false }, { "gpt2", "gpt2", "gpt2", false },
};

static const struct { const char *family, *ours, *theirs; } blocks[] = {
    { "llama", "self_attn.q_proj", "attn_q" }, { "llama", "self_attn.k_proj", "attn_k" }, { "llama", "self_attn.v_proj", "attn_v" },
    { "llama", "self_attn.o_proj", "attn_output" }, { "llama", "mlp.gate_proj", "ffn_gate" }, { "llama", "mlp.up_proj", "ffn_up" },
    { "llama", "mlp.down_proj", "ffn_down" },
    { "gpt2", "attn.c_attn", "attn_qkv" }, { "gpt2", "attn.c_proj", "attn_output" }, { "gpt2", "mlp.c_fc", "ffn_up" }, { "gpt2", "mlp.c_proj", "ffn_down" },
};

/* "model.layers.3.self_attn.q_proj" -> "blk.3.attn_q.weight"; false for what llama.cpp has no name for. */
static bool translate(lm_str *out, const lm_model *m, const lm_lora_module *l)
{
    const char *rest = l->name;
    if (l->embedding) return lm_str_puts(out, "token_embd.weight"), true;
    if (!strcmp(l->name, "lm_head")) return lm_str_puts(out, "output.weight"), true;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        size_t n = strlen(rest), tail = strlen(blocks[i].ours);
        if (strcmp(blocks[i].family, m->family->name) || !lm_ends_with(rest, blocks[i].ours) || n < tail + 2) continue;
        const char *end = rest + n - tail - 1, *number = end;
        while (number > rest && number[-1] != '.') number--;
        lm_str_printf(out, "blk.%.*s.%s.weight", (int)(end - number), number, blocks[i].theirs);
        return true;
    }
    return false;
}

/* Heads whose rows change places; 0: none do. */
static int64_t turned_heads(const lm_model *m, const char *theirs)
{
    const lm_config *c = &m->config;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (!strcmp(architectures[i].model_type, c->model_type) && architectures[i].turned)
            return lm_ends_with(theirs, ".attn_q.weight") ? c->n_heads : lm_ends_with(theirs, ".attn_k.weight") ? c->n_kv_heads : 0;
    return 0;
}

static const char *architecture_of(const lm_model *m)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (!strcmp(architectures[i].model_type, m->config.model_type)) return architectures[i].architecture;
    return NULL;
}

/* ---- the tensors ---- */

static void turn_rows(float *out, const float *x, int64_t rows, int64_t cols, int64_t heads)
{
    int64_t size = rows / heads, half = size / 2;
    for (int64_t r = 0; r < rows; r++) {
        int64_t head = r / size, side = r % size / half, i = r % half;
        memcpy(out + (head * size + 2 * i + side) * cols, x + r * cols, (size_t)cols * sizeof *x);
    }
}

static void transpose(float *out, const float *x, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows * cols; i++) out[i % cols * rows + i / cols] = x[i];
}

static void put_factor(lm_gguf_writer *w, lm_str *name, const char *suffix, const float *data, int64_t rows, int64_t cols)
{
    size_t n = name->len;
    lm_str_puts(name, suffix);
    lm_gguf_put_matrix(w, name->data, data, rows, cols);
    name->data[name->len = n] = '\0';
}

static lm_status put_module(lm_gguf_writer *w, const lm_model *m, const lm_lora_folder *f, const lm_lora_module *l, lm_str *name, lm_err *err)
{
    float *a = NULL, *b = NULL;
    lm_status status = lm_lora_read(&a, l->a, err);
    if (status == LM_OK) status = lm_lora_read(&b, l->b, err);
    if (status == LM_OK) {
        int64_t heads = turned_heads(m, name->data), most = l->a->numel > l->b->numel ? l->a->numel : l->b->numel;
        float *room = lm_malloc((size_t)most * sizeof *room), scale = (float)(l->scale * (double)l->r / f->alpha);
        for (int64_t i = 0; i < l->b->numel && scale != 1; i++) b[i] *= scale;
        if (l->embedding) transpose(room, a, l->r, l->in);
        put_factor(w, name, ".lora_a", l->embedding ? room : a, l->embedding ? l->in : l->r, l->embedding ? l->r : l->in);
        if (heads) turn_rows(room, b, l->out, l->r, heads);
        put_factor(w, name, ".lora_b", heads ? room : b, l->out, l->r);
        free(room);
    }
    free(a);
    free(b);
    return status;
}

static lm_status check_module(const lm_model *m, const lm_lora_module *l, lm_err *err)
{
    const lm_linear_site *site = l->embedding ? m->table : !strcmp(l->name, "lm_head") ? m->output : NULL;
    for (int64_t i = 0; i < m->n_sites && !site; i++)
        if (!strcmp(m->sites[i]->name, l->name)) site = m->sites[i];
    if (!site) return lm_fail(err, LM_E_MISMATCH, "%s: this %s model has no such module", l->name, m->config.model_type);
    if (site == m->output && m->head == m->embedding)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: it is the embedding as well, and llama.cpp's files then have no head to change", l->name);
    if (site->in == l->in && site->out == l->out) return LM_OK;
    return lm_fail(err, LM_E_MISMATCH, "%s: the adapter's is [%lld, %lld], the model's [%lld, %lld]", l->name, (long long)l->out, (long long)l->in,
                   (long long)site->out, (long long)site->in);
}

static lm_status put_adapter(lm_gguf_writer *w, const lm_model *m, const lm_lora_folder *f, lm_err *err)
{
    const char *architecture = architecture_of(m);
    if (!architecture) return lm_fail(err, LM_E_UNSUPPORTED, "llama.cpp's name of a %s model is not known here", m->config.model_type);
    if (f->alpha == 0) return lm_fail(err, LM_E_UNSUPPORTED, "lora_alpha is 0: the adapter changes nothing");
    lm_gguf_put_string(w, "general.architecture", architecture);
    lm_gguf_put_string(w, "general.type", "adapter");
    lm_gguf_put_string(w, "adapter.type", "lora");
    lm_gguf_put_f32(w, "adapter.lora.alpha", (float)f->alpha);
    for (int64_t i = 0; i < f->n; i++) {
        lm_str name = { 0 };
        lm_status status = check_module(m, &f->modules[i], err);
        if (status == LM_OK && !translate(&name, m, &f->modules[i]))
            status = lm_fail(err, LM_E_UNSUPPORTED, "%s: llama.cpp has no name for it", f->modules[i].name);
        if (status == LM_OK) status = put_module(w, m, f, &f->modules[i], &name, err);
        lm_str_free(&name);
        LM_TRY(status);
    }
    return LM_OK;
}

/* The base's shape alone is wanted: nothing of it is computed. */
static lm_status open_base(lm_model **out, const export_options *o, const lm_lora_folder *f, lm_kernels *null, lm_err *err)
{
    const char *base = o->model;
    if (!base) LM_TRY(lm_json_opt_str(f->config, "base_model_name_or_path", NULL, &base, err));
    if (!base || !lm_is_dir(base))
        return lm_fail(err, LM_E_USAGE, "%s: its base %s is no folder here; --model FOLDER says where it is", f->path, base ? base : "is not named and");
    LM_TRY(lm_backend(null, "null", err));
    return lm_model_load(out, base, null, err);
}

static lm_status run(lm_call *call, lm_err *err)
{
    const export_options *o = call->values;
    LM_TRY(lm_call_args(call, 1, 1, "one ADAPTER", err));
    lm_lora_folder f = { 0 };
    lm_gguf_writer w = { 0 };
    lm_kernels null = { 0 };
    lm_model *m = NULL;
    lm_status status = lm_lora_folder_open(&f, call->args.items[0], err);
    if (status == LM_OK) status = open_base(&m, o, &f, &null, err);
    if (status == LM_OK && put_adapter(&w, m, &f, err) != LM_OK) status = lm_context(err, "%s", f.path);
    if (status == LM_OK) status = lm_gguf_write(&w, o->out, err);
    if (status == LM_OK) printf("%s: %lld modules, for llama.cpp's --lora\n", o->out, (long long)f.n);
    lm_gguf_writer_free(&w);
    lm_model_free(m);
    lm_lora_folder_close(&f);
    return status;
}

const lm_command lm_adapter_export = {
    .name = "export",
    .summary = "a LoRA adapter as a GGUF file for llama.cpp",
    .usage = "ADAPTER --out FILE [options]",
    .example = "malmoi adapter export tuned --to gguf --out tuned.gguf",
    .options = options,
    .values_size = sizeof(export_options),
    .run = run,
};
