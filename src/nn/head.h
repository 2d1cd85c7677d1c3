/* What stands on a model's trunk: an LM head, or one that classifies texts or tokens, in the layout of
 * transformers' *ForSequenceClassification and *ForTokenClassification.
 *
 *   scores = W h_T          W "score.weight" [labels, C], no bias; h_T the hidden state of a text's last token
 *   scores_t = W h_t + b    for a token; b "score.bias" [labels], or another name of the family for both
 *
 * A model folder says by its "architectures" which it has, and by "id2label" (or "num_labels") what the
 * scores stand for; without either there are two, LABEL_0 and LABEL_1, as in transformers. */
#ifndef LM_NN_HEAD_H
#define LM_NN_HEAD_H

#include "base/option.h"
#include "nn/model.h"

enum { LM_MOST_LABELS = 1 << 16 };

/* Declares the head that config.json asks for (for families, last in `declare`). */
lm_status lm_declare_head(lm_model *m, lm_err *err);

/* Makes a language model one that classifies: a fresh head from seed, and a config.json that says so.  An
 * LM head of its own is no part of the model any more.  The names are copied; the model has no score yet. */
lm_status lm_model_classify(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err);

/* The same for a head of scores that are no labels (one, or one for each criterion), and for one that labels tokens. */
lm_status lm_model_score_texts(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err);
lm_status lm_model_label_tokens(lm_model *m, const lm_strings *names, uint64_t seed, lm_err *err);

/* Other names for as many labels. */
void lm_model_name_labels(lm_model *m, const lm_strings *names);

/* "LABEL_0", "LABEL_1", ..; the caller frees with lm_strings_free. */
lm_strings lm_labels_default(int64_t n);

/* Whether the parameter is trained and saved: an LM head is not where texts are classified. */
bool lm_model_uses(const lm_model *m, const lm_param *p);

/* The LM head; where there is none, the tape fails and NULL is returned. */
lm_tensor *lm_model_lm_head(const lm_forward *f);
lm_status lm_model_need_lm_head(const lm_model *m, lm_err *err);         /* LM_E_USAGE */
lm_status lm_model_need_score(const lm_model *m, lm_err *err);           /* LM_E_USAGE; of texts, two labels at least */
lm_status lm_model_need_reward(const lm_model *m, lm_err *err);          /* LM_E_USAGE; of texts, with scores and not labels */
lm_status lm_model_need_token_labels(const lm_model *m, lm_err *err);    /* LM_E_USAGE; of tokens */

/* Scores [n, labels] in f32 of rows of hidden states. */
lm_tensor *lm_model_scores(const lm_forward *f, lm_tensor *rows);

#endif
