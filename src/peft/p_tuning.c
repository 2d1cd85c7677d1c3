/* P-tuning (Liu et al. 2021, "GPT understands, too", section 3.2): embeddings in front of every text that
 * a small network makes while they train, so that neighbours learn together.
 *
 *   MLP    p = W_3 relu(W_2 relu(W_1 E + b_1) + b_2) + b_3        E [P, C], W_1 [H, C], W_2 [H, H], W_3 [C, H]
 *   LSTM   p = W_2 relu(W_1 h + b_1) + b_2                        h [P, 2H] of two bidirectional layers over E
 *
 * The LSTM is the paper's (equation 4), the MLP PEFT's default; torch's second bias of a layer, which is only
 * added to the first, is left out.  Anchors (section 3.2, "anchor tokens") are real tokens at chosen places among
 * the virtual ones: --anchors 3=? puts the tokens of "?" from place 3 on, and they do not train.  Files keep the
 * vectors only, anchors among them, as PEFT's do.  They start random, so the adapted model does not start as the
 * base.  Not a change of weights: it cannot be merged. */
#include "peft/prompt_learning.h"
#include "token/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MLP, LSTM };
static const char *const kinds[] = { "MLP", "LSTM", NULL };

typedef struct p_tuning_options {
    int64_t n, encoder_hidden_size;
    int kind;
    lm_strings anchors;
    int32_t *anchor_ids;                 /* [n] the token that stands at a place, or -1; NULL: none does */
} p_tuning_options;

static const lm_option options[] = {
    LM_OPTION(INT, p_tuning_options, n, "num-virtual-tokens", .fallback = "20", .min = 1, .max = 65536, .help = "learned tokens in front of every text"),
    LM_OPTION(CHOICE, p_tuning_options, kind, "encoder-reparameterization-type", .fallback = "MLP", .choices = kinds, .help = "the network that makes them"),
    LM_OPTION(INT, p_tuning_options, encoder_hidden_size, "encoder-hidden-size", .fallback = "0", .min = 0, .max = 1 << 20,
              .help = "width of that network (0: that of the model)"),
    LM_OPTION(LIST, p_tuning_options, anchors, "anchors", .metavar = "PLACE=TEXT,..", .help = "real tokens among them, from the place on that each names (0 is the first)"),
    { 0 },
};

enum { LAYERS = 2, E = 0, NETWORK = 1 };

/* ---- the network's parameters, named as in PEFT's PromptEncoder ---- */

static void declare_mlp(lm_adapter *a, int64_t C, int64_t H)
{
    lm_prompt_linear(a, C, H, "mlp_head.0");
    lm_prompt_linear(a, H, H, "mlp_head.2");
    lm_prompt_linear(a, H, C, "mlp_head.4");
}

/* Three for each direction of a layer: from below, from the step before, bias. */
static void declare_lstm(lm_adapter *a, int64_t C, int64_t H)
{
    float range = 1 / sqrtf((float)H);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int back = 0; back < 2; back++) {
            const char *suffix = back ? "_reverse" : "";
            int64_t gates = 4 * H;
            lm_param_declare(&a->params, LM_INIT_UNIFORM, range, 2, (int64_t[]){ gates, layer ? 2 * H : C }, "lstm_head.weight_ih_l%d%s", layer, suffix);
            lm_param_declare(&a->params, LM_INIT_UNIFORM, range, 2, (int64_t[]){ gates, H }, "lstm_head.weight_hh_l%d%s", layer, suffix);
            lm_param_declare(&a->params, LM_INIT_UNIFORM, range, 1, &gates, "lstm_head.bias_ih_l%d%s", layer, suffix);
        }
    lm_prompt_linear(a, 2 * H, 2 * H, "mlp_head.0");
    lm_prompt_linear(a, 2 * H, C, "mlp_head.2");
}

/* ---- anchors ---- */

static lm_status place_anchor(p_tuning_options *o, const lm_tokenizer *tk, const char *anchor, lm_err *err)
{
    char *end;
    long long place = strtoll(anchor, &end, 10);
    lm_ids ids = { 0 };
    if (end == anchor || *end != '=' || !end[1] || place < 0) return lm_fail(err, LM_E_USAGE, "--anchors: expected PLACE=TEXT, found \"%s\"", anchor);
    lm_status status = lm_encode(tk, &ids, end + 1, strlen(end + 1), 0, err);
    if (status == LM_OK && place + (long long)ids.len > o->n)
        status = lm_fail(err, LM_E_USAGE, "--anchors: the %zu tokens of \"%s\" do not fit from place %lld of %lld on", ids.len, end + 1, place, (long long)o->n);
    for (size_t i = 0; i < ids.len && status == LM_OK; i++) {
        if (o->anchor_ids[place + (long long)i] >= 0) status = lm_fail(err, LM_E_USAGE, "--anchors: two of them stand at place %lld", place + (long long)i);
        o->anchor_ids[place + (long long)i] = ids.data[i];
    }
    lm_ids_free(&ids);
    return status;
}

static lm_status place_anchors(lm_adapter *a, lm_err *err)
{
    p_tuning_options *o = a->options;
    lm_tokenizer *tk;
    o->anchor_ids = lm_adapter_keep(a, lm_malloc((size_t)o->n * sizeof *o->anchor_ids));
    memset(o->anchor_ids, -1, (size_t)o->n * sizeof *o->anchor_ids);
    LM_TRY(lm_tokenizer_load(&tk, a->model->path ? a->model->path : "", err));
    lm_status status = LM_OK;
    for (int i = 0; i < o->anchors.n && status == LM_OK; i++) status = place_anchor(o, tk, o->anchors.items[i], err);
    lm_tokenizer_free(tk);
    return status;
}

/* v with the embeddings of the anchors in their places. */
static lm_tensor *with_anchors(lm_tape *t, const lm_adapter *a, lm_tensor *v)
{
    const p_tuning_options *o = a->options;
    int32_t *which = lm_tape_meta(t, 2 * (size_t)o->n * sizeof *which), *ids = which + o->n;
    int64_t n = 0;
    if (t->err.code) return &t->dead;
    for (int64_t i = 0; i < o->n; i++) {
        which[i] = o->anchor_ids[i] < 0 ? -1 : (int32_t)n;
        if (o->anchor_ids[i] >= 0) ids[n++] = o->anchor_ids[i];
    }
    return lm_replace_rows(t, v, lm_embedding(t, a->model->embedding, lm_input(t, ids, LM_I32, 1, &n)), which);
}

/* ---- hooks ---- */

static lm_status attach(lm_adapter *a, lm_err *err)
{
    p_tuning_options *o = a->options;
    int64_t C = a->model->config.hidden_size, H = o->encoder_hidden_size ? o->encoder_hidden_size : C;
    o->encoder_hidden_size = H;
    lm_param_declare(&a->params, LM_INIT_NORMAL, 1, 2, (int64_t[]){ o->n, C }, a->config ? "prompt_embeddings" : "embedding.weight");
    if (!a->config) (o->kind == LSTM ? declare_lstm : declare_mlp)(a, C, H);
    LM_TRY(lm_prompt_attach(a, o->n, err));
    return o->anchors.n && !a->config ? place_anchors(a, err) : LM_OK;
}

static lm_tensor *through_mlp(lm_tape *t, lm_param *const *p, lm_tensor *x)
{
    const lm_linear_options relu = { .act = LM_ACT_RELU };
    x = lm_linear_with(t, x, &p[0]->t, &p[1]->t, &relu);
    return lm_linear(t, lm_linear_with(t, x, &p[2]->t, &p[3]->t, &relu), &p[4]->t, &p[5]->t);
}

static lm_tensor *through_lstm(lm_tape *t, lm_param *const *p, lm_tensor *x)
{
    lm_segment *all = lm_tape_meta(t, sizeof *all);
    if (!all) return &t->dead;
    *all = (lm_segment){ .nq = lm_rows(x), .nk = lm_rows(x) };
    const lm_lstm_options how = { .segments = all, .n_segments = 1 };
    for (int layer = 0; layer < LAYERS; layer++, p += 6)
        x = lm_bilstm(t, lm_linear(t, x, &p[0]->t, &p[2]->t), &p[1]->t, lm_linear(t, x, &p[3]->t, &p[5]->t), &p[4]->t, &how);
    x = lm_linear_with(t, x, &p[0]->t, &p[1]->t, &(lm_linear_options){ .act = LM_ACT_RELU });
    return lm_linear(t, x, &p[2]->t, &p[3]->t);
}

static lm_tensor *vectors(lm_tape *t, lm_adapter *a)
{
    const p_tuning_options *o = a->options;
    lm_param *const *p = a->params.items;
    if (a->config) return &p[E]->t;
    lm_tensor *v = (o->kind == LSTM ? through_lstm : through_mlp)(t, p + NETWORK, lm_adapter_rows(t, &p[E]->t));
    return o->anchor_ids ? with_anchors(t, a, v) : v;
}

static lm_tensor *embed(const lm_forward *f, lm_adapter *a, lm_tensor *x)
{
    return lm_put_vectors(f, a, x, f->vectors[a->slot]);
}

static lm_status read_config(lm_adapter *a, const lm_json *config, lm_err *err)
{
    p_tuning_options *o = a->options;
    const char *kind = kinds[MLP];
    LM_TRY(lm_json_opt_str(config, "encoder_reparameterization_type", NULL, &kind, err));
    o->kind = strcmp(kind, kinds[LSTM]) ? MLP : LSTM;
    LM_TRY(lm_json_opt_int(config, "encoder_hidden_size", NULL, &o->encoder_hidden_size, err));
    return lm_prompt_read(a, config, a->model->config.hidden_size, &o->n, err);
}

static void write_config(const lm_adapter *a, lm_json *config)
{
    const p_tuning_options *o = a->options;
    lm_prompt_write(a, config, a->model->config.hidden_size, a->model->config.n_heads);
    json_object_set_new(config, "encoder_reparameterization_type", json_string(kinds[o->kind]));
    json_object_set_new(config, "encoder_hidden_size", json_integer(o->encoder_hidden_size));
}

const lm_adapter_type lm_adapter_type_p_tuning = {
    .name = "p_tuning", .peft_type = "P_TUNING", .source = "Liu et al. 2021, section 3.2", .bare = true,
    .options = options, .options_size = sizeof(p_tuning_options),
    .attach = attach, .vectors = vectors, .embed = embed, .kept = lm_prompt_keep, .read_config = read_config, .write_config = write_config,
};
