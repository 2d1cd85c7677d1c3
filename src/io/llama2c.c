/* Rotary pairs.  llama2.c turns neighbours (2i, 2i + 1) of a head, Hugging Face turns (i, i + D/2).  So
 * row i of each head of q_proj and k_proj is row 2i of the file, row i + D/2 is row 2i + 1: the same
 * rotation, and the same products of queries with keys. */
#include "io/llama2c.h"

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "io/save.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = 7 * 4, PER_LAYER = 9 };
static const uint32_t later_magic = 0x616B3432;      /* "ak42" */
static const int64_t most = 1 << 24;                 /* of any one size in the header; far past every model */

typedef struct source {
    const char *path;
    lm_mapping file;
    lm_llama2c_header h;
} source;

/* ---- the header -------------------------------------------------------------- */

static int64_t head_dim(const lm_llama2c_header *h) { return h->dim / h->n_heads; }
static int64_t kv_dim(const lm_llama2c_header *h) { return h->n_kv_heads * head_dim(h); }

/* Floats of one layer.  At most 2^24 each makes a product 2^48, so nothing here overflows. */
static int64_t layer_floats(const lm_llama2c_header *h)
{
    return 2 * h->dim + 2 * h->dim * h->dim + 2 * kv_dim(h) * h->dim + 3 * h->hidden_dim * h->dim;
}

/* Bytes of a file with this header, or -1 beyond 64 bits. */
static int64_t file_bytes(const lm_llama2c_header *h)
{
    int64_t layers, n = h->vocab_size * h->dim * (h->shared_head ? 1 : 2) + h->dim + h->seq_len * head_dim(h);
    if (__builtin_mul_overflow(layer_floats(h), h->n_layers, &layers)) return -1;
    if (__builtin_add_overflow(n, layers, &n) || __builtin_mul_overflow(n, 4, &n)) return -1;
    return n + HEADER_BYTES;
}

static lm_status check_sizes(const lm_llama2c_header *h, const char *path, lm_err *err)
{
    const struct { const char *name; int64_t value; } sizes[] = {
        { "dim", h->dim },               { "hidden_dim", h->hidden_dim }, { "n_layers", h->n_layers },
        { "n_heads", h->n_heads },       { "n_kv_heads", h->n_kv_heads }, { "vocab_size", h->vocab_size },
        { "seq_len", h->seq_len },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > most)
            return lm_fail(err, LM_E_FORMAT, "%s: llama2.c header: %s is %" PRId64 ", expected 1 to %" PRId64, path,
                           sizes[i].name, sizes[i].value, most);
    if (h->dim % h->n_heads || head_dim(h) % 2)
        return lm_fail(err, LM_E_FORMAT, "%s: llama2.c header: dim %" PRId64 " is not n_heads %" PRId64
                       " times an even size", path, h->dim, h->n_heads);
    if (h->n_heads % h->n_kv_heads)
        return lm_fail(err, LM_E_FORMAT, "%s: llama2.c header: n_heads %" PRId64 " is not a multiple of n_kv_heads %" PRId64,
                       path, h->n_heads, h->n_kv_heads);
    return LM_OK;
}

static lm_status read_header(source *s, lm_err *err)
{
    if (s->file.size < HEADER_BYTES)
        return lm_fail(err, LM_E_FORMAT, "%s: %zu bytes, too short for a llama2.c model", s->path, s->file.size);
    int32_t v[7];
    for (int i = 0; i < 7; i++) {
        const uint8_t *p = s->file.data + 4 * i;
        v[i] = (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    }
    if ((uint32_t)v[0] == later_magic)
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: llama2.c format version %d, only version 0 is read", s->path, v[1]);
    s->h = (lm_llama2c_header){ .dim = v[0], .hidden_dim = v[1], .n_layers = v[2], .n_heads = v[3], .n_kv_heads = v[4],
                                .vocab_size = v[5] < 0 ? -(int64_t)v[5] : v[5], .seq_len = v[6], .shared_head = v[5] > 0 };
    LM_TRY(check_sizes(&s->h, s->path, err));
    int64_t bytes = file_bytes(&s->h);
    if (bytes < 0 || (uint64_t)bytes != s->file.size)
        return lm_fail(err, LM_E_FORMAT, "%s: %zu bytes, but its llama2.c header implies %" PRId64, s->path,
                       s->file.size, bytes);
    return LM_OK;
}

static lm_status open_source(source *s, const char *path, lm_err *err)
{
    *s = (source){ .path = path };
    LM_TRY(lm_file_map(&s->file, path, err));
    lm_status status = read_header(s, err);
    if (status != LM_OK) lm_mapping_free(&s->file);
    return status;
}

lm_status lm_llama2c_inspect(lm_llama2c_header *out, const char *path, lm_err *err)
{
    source s;
    LM_TRY(open_source(&s, path, err));
    *out = s.h;
    lm_mapping_free(&s.file);
    return LM_OK;
}

/* ---- tensors ----------------------------------------------------------------- */

typedef struct piece {
    char *name;
    int64_t dim[2];
    int ndim;
    const float *data;
    int64_t heads;                           /* whose rotary pairs are to be put in order; 0: written as it is */
} piece;

typedef struct layout {
    piece *pieces;
    int64_t n;
    const float *at;                         /* of the next tensor */
} layout;

/* The next tensor of the file, [rows, cols] or, with 0 columns, [rows]. */
static void add(layout *l, int64_t rows, int64_t cols, int64_t heads, const char *name)
{
    l->pieces[l->n++] = (piece){ lm_strdup(name), { rows, cols }, cols ? 2 : 1, l->at, heads };
    l->at += rows * (cols ? cols : 1);
}

/* The same for every layer. */
static void add_layers(layout *l, const lm_llama2c_header *h, int64_t rows, int64_t cols, int64_t heads, const char *part)
{
    for (int64_t i = 0; i < h->n_layers; i++) {
        lm_str name = {0};
        lm_str_printf(&name, "model.layers.%" PRId64 ".%s.weight", i, part);
        add(l, rows, cols, heads, name.data);
        lm_str_free(&name);
    }
}

static layout lay_out(const source *s)
{
    const lm_llama2c_header *h = &s->h;
    const int64_t C = h->dim, F = h->hidden_dim, V = h->vocab_size, kv = kv_dim(h);
    layout l = { .pieces = lm_calloc((size_t)(h->n_layers * PER_LAYER + 3), sizeof *l.pieces),
                 .at = (const float *)(const void *)(s->file.data + HEADER_BYTES) };
    add(&l, V, C, 0, "model.embed_tokens.weight");
    add_layers(&l, h, C, 0, 0, "input_layernorm");
    add_layers(&l, h, C, C, h->n_heads, "self_attn.q_proj");
    add_layers(&l, h, kv, C, h->n_kv_heads, "self_attn.k_proj");
    add_layers(&l, h, kv, C, 0, "self_attn.v_proj");
    add_layers(&l, h, C, C, 0, "self_attn.o_proj");
    add_layers(&l, h, C, 0, 0, "post_attention_layernorm");
    add_layers(&l, h, F, C, 0, "mlp.gate_proj");
    add_layers(&l, h, C, F, 0, "mlp.down_proj");
    add_layers(&l, h, F, C, 0, "mlp.up_proj");
    add(&l, C, 0, 0, "model.norm.weight");
    l.at += h->seq_len * head_dim(h);
    if (!h->shared_head) add(&l, V, C, 0, "lm_head.weight");
    return l;
}

/* Neighbouring rows 2i, 2i + 1 of each head become rows i, i + D/2. */
static lm_status halve_pairs(void *context, int64_t i, void *out, lm_err *err)
{
    (void)err;
    const piece *p = &((const layout *)context)->pieces[i];
    const int64_t cols = p->dim[1], D = p->dim[0] / p->heads;
    float *y = out;
    for (int64_t head = 0; head < p->heads; head++)
        for (int64_t r = 0; r < D; r++) {
            int64_t from = head * D + (r < D / 2 ? 2 * r : 2 * (r - D / 2) + 1);
            memcpy(y + (head * D + r) * cols, p->data + from * cols, (size_t)cols * sizeof *y);
        }
    return LM_OK;
}

static lm_status write_tensors(const source *s, const char *folder, lm_err *err)
{
    layout l = lay_out(s);
    lm_save_entry *entries = lm_calloc((size_t)l.n, sizeof *entries);
    for (int64_t i = 0; i < l.n; i++) {
        const piece *p = &l.pieces[i];
        entries[i] = (lm_save_entry){ .name = p->name, .dtype = LM_F32, .ndim = p->ndim, .dim = p->dim,
                                      .data = p->heads ? NULL : p->data, .data_dtype = LM_F32 };
    }
    const lm_save save = { .entries = entries, .n = l.n, .fill = halve_pairs, .context = &l };
    lm_status status = lm_save_folder(&save, folder, 0, err);
    for (int64_t i = 0; i < l.n; i++) free(l.pieces[i].name);
    free(l.pieces);
    free(entries);
    return status;
}

/* ---- config.json ------------------------------------------------------------- */

static lm_status write_json(json_t *doc, const char *folder, const char *name, lm_err *err)
{
    char *path = lm_path_join(folder, name);
    lm_status status = lm_json_write(doc, path, err);
    json_decref(doc);
    free(path);
    return status;
}

/* What the header does not say is how llama2.c computes: run.c and its training script. */
static lm_status write_configs(const lm_llama2c_header *h, const char *folder, lm_err *err)
{
    const struct { const char *key; int64_t value; } sizes[] = {
        { "vocab_size", h->vocab_size },         { "hidden_size", h->dim },
        { "intermediate_size", h->hidden_dim },  { "num_hidden_layers", h->n_layers },
        { "num_attention_heads", h->n_heads },   { "num_key_value_heads", h->n_kv_heads },
        { "head_dim", head_dim(h) },             { "max_position_embeddings", h->seq_len },
        { "bos_token_id", 1 },                   { "eos_token_id", 2 },
    };
    json_t *config = json_pack("{s:[s], s:s}", "architectures", "LlamaForCausalLM", "model_type", "llama");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        json_object_set_new(config, sizes[i].key, json_integer(sizes[i].value));
    json_t *rest = json_pack("{s:s, s:f, s:f, s:b, s:b, s:b, s:s}", "hidden_act", "silu", "rms_norm_eps", 1e-5,
                             "rope_theta", 10000.0, "attention_bias", 0, "mlp_bias", 0, "tie_word_embeddings",
                             (int)h->shared_head, "torch_dtype", "float32");
    json_object_update(config, rest);
    json_decref(rest);
    LM_TRY(write_json(config, folder, "config.json", err));
    return write_json(json_pack("{s:i, s:i}", "bos_token_id", 1, "eos_token_id", 2), folder, "generation_config.json", err);
}

lm_status lm_llama2c_convert(const char *path, const char *folder, lm_err *err)
{
    source s;
    LM_TRY(open_source(&s, path, err));
    lm_status status = write_tensors(&s, folder, err);
    if (status == LM_OK) status = write_configs(&s.h, folder, err);
    lm_mapping_free(&s.file);
    return status;
}
