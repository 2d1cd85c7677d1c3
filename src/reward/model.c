/* What a reward model or a classifier says of prompt and answer together.
 *
 *   model:FOLDER           the score of a model with one (train reward)
 *   model:FOLDER:CRITERION one of its scores (train reward --criteria)
 *   model:FOLDER:LABEL     the probability of a label (train classify)
 *
 * The model has a tokenizer and a chat template of its own: the text is encoded anew, so its vocabulary may be another
 * than the policy's.  A reward model sees an end of text where the answer came to its end, as in its training.
 * A text that is longer than the model's context is refused: what is cut off could be what counts. */
#include "base/file.h"
#include "data/chat.h"
#include "data/labelled.h"
#include "infer/classifier.h"
#include "infer/session.h"
#include "nn/head.h"
#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 2048 };

typedef struct judge {
    lm_model *model;
    lm_tokenizer *tokenizer;
    lm_encoder *encoder;
    lm_chat_template *template;          /* NULL until there is a chat */
    lm_classifier *classifier;           /* NULL until there is an answer */
    const lm_kernels *k;
    int64_t label;                       /* or criterion */
    bool classifies;                     /* its probability counts, and not its score */
    int32_t eos;
    double *out;                         /* of the answers at hand */
} judge;

/* ---- opening ---- */

static void close_judge(void *own)
{
    judge *j = own;
    lm_classifier_free(j->classifier);
    lm_chat_template_free(j->template);
    lm_encoder_free(j->encoder);
    lm_tokenizer_free(j->tokenizer);
    lm_model_free(j->model);
    free(j);
}

static lm_status choose_label(judge *j, const char *label, lm_err *err)
{
    const lm_strings *labels = &j->model->labels;
    lm_str names = {0};
    j->classifies = lm_model_need_reward(j->model, NULL) != LM_OK;
    j->label = label ? lm_label_find(labels, label) : labels->n == 1 ? 0 : -1;
    if (j->label >= 0) return LM_OK;
    for (int i = 0; i < labels->n; i++) lm_str_printf(&names, "%s%s", i ? ", " : "", labels->items[i]);
    if (label) lm_fail(err, LM_E_USAGE, "%s: there is no label '%s'; there are %s", j->model->path, label, names.data);
    else lm_fail(err, LM_E_USAGE, "%s: gives %d %s, not one score: choose one with :NAME, of %s", j->model->path, labels->n, j->classifies ? "labels" : "scores", names.data);
    lm_str_free(&names);
    return LM_E_USAGE;
}

static lm_status open_folder(judge *j, const char *folder, const char *label, lm_err *err)
{
    LM_TRY(lm_model_load(&j->model, folder, j->k, err));
    if (!j->model->score) return lm_fail(err, LM_E_USAGE, "%s: has no head that scores; train reward or train classify makes one", folder);
    LM_TRY(choose_label(j, label, err));
    LM_TRY(lm_tokenizer_load(&j->tokenizer, folder, err));
    j->encoder = lm_encoder_new(j->tokenizer);
    j->eos = lm_eos_id(j->tokenizer);
    if (j->eos < 0 && j->model->config.n_eos) j->eos = (int32_t)j->model->config.eos_id[0];
    return LM_OK;
}

/* A folder's name may have a colon as well. */
static lm_status open_judge(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    judge *j = *own = lm_calloc(1, sizeof *j);
    j->k = means->k;
    char *folder = lm_strdup(argument), *colon = strrchr(folder, ':');
    const char *label = !lm_is_dir(folder) && colon && colon[1] ? colon + 1 : NULL;
    if (label) *colon = '\0';
    lm_status status = open_folder(j, folder, label, err);
    free(folder);
    return status;
}

/* ---- scoring ---- */

static void scored(void *to, int64_t text, const float *scores, int64_t n_rows)
{
    judge *j = to;
    (void)n_rows;
    double sum = 0;
    if (!j->classifies) {
        j->out[text] = (double)scores[j->label];
        return;
    }
    for (int i = 0; i < j->model->labels.n; i++) sum += exp((double)scores[i] - (double)scores[j->label]);
    j->out[text] = 1 / sum;
}

static lm_status encode_chat(judge *j, lm_ids *ids, const lm_attempt *a, const lm_json *messages, lm_err *err)
{
    lm_marked text = {0};
    if (!j->template) LM_TRY(lm_chat_template_load(&j->template, j->model->path, j->tokenizer, NULL, err));
    lm_json *chat = json_deep_copy(messages);
    json_array_append_new(chat, json_pack("{s:s, s:s%}", "role", "assistant", "content", a->text.data, a->text.len));
    lm_status status = lm_chat_render(j->template, &text, &(lm_chat){ .messages = chat, .tools = lm_json_get(a->row, "tools") }, err);
    if (status == LM_OK) status = lm_chat_encode(j->encoder, ids, &text, err);
    lm_marked_free(&text);
    lm_json_free(chat);
    return status;
}

static lm_status encode_text(judge *j, lm_ids *ids, const lm_attempt *a, const lm_json *prompt, lm_err *err)
{
    lm_str text = {0};
    lm_str_append(&text, json_string_value(prompt), json_string_length(prompt));
    lm_str_append(&text, a->text.data, a->text.len);
    lm_status status = lm_encoder_run(j->encoder, ids, text.data, text.len, j->classifies ? LM_ENCODE_SPECIAL : LM_ENCODE_BOS, err);
    lm_str_free(&text);
    bool end = !j->classifies && a->ended && j->eos >= 0 && (!ids->len || ids->data[ids->len - 1] != j->eos);
    if (status == LM_OK && end) lm_ids_push(ids, j->eos);
    return status;
}

/* A model of transformers looks at the last token before padding, which an end of text may be. */
static lm_status add(judge *j, lm_ids *ids, const lm_attempt *a, lm_err *err)
{
    lm_ids_clear(ids);
    const lm_json *prompt = lm_json_get(a->row, "prompt"), *messages = prompt ? prompt : lm_json_get(a->row, "messages");
    LM_TRY(json_is_string(prompt) ? encode_text(j, ids, a, prompt, err) : encode_chat(j, ids, a, messages, err));
    while (ids->len > 1 && ids->data[ids->len - 1] == j->model->config.pad_id) ids->len--;
    if (!ids->len) return lm_fail(err, LM_E_FORMAT, "an answer to %s: prompt and answer are empty", a->place);
    if ((int64_t)ids->len > lm_classifier_context(j->classifier))
        return lm_fail(err, LM_E_MISMATCH, "an answer to %s: with its prompt %zu tokens, %s holds %lld; a smaller --max-new-tokens may help",
                       a->place, ids->len, j->model->path, (long long)lm_classifier_context(j->classifier));
    const int64_t last = (int64_t)ids->len - 1;
    return lm_classifier_add_ids(j->classifier, ids->data, (int64_t)ids->len, &last, 1, err);
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    judge *j = own;
    lm_ids ids = {0};
    const lm_classifier_options how = { .batch_tokens = BATCH_TOKENS, .any_head = true, .compute = lm_compute_auto(j->model, j->k),
                                        .scored = scored, .to = j };
    lm_classifier_free(j->classifier);                       /* a new one counts its texts from 0 */
    j->classifier = NULL;
    j->out = out;
    LM_TRY(lm_classifier_new(&j->classifier, j->model, j->k, j->tokenizer, &how, err));
    lm_status status = LM_OK;
    for (int64_t i = 0; i < n && status == LM_OK; i++) status = add(j, &ids, &attempts[i], err);
    if (status == LM_OK) status = lm_classifier_flush(j->classifier, err);
    lm_ids_free(&ids);
    return status;
}

const lm_reward lm_reward_model = {
    .name = "model", .help = "the score of a reward model, one of several, or the probability that a classifier gives a label",
    .argument = "FOLDER[:NAME]", .needs_argument = true, .open = open_judge, .close = close_judge, .score = score,
};
