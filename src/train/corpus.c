/* The corpus of a run: rows read, made into tokens, cut and packed; or what `data pack` made of them ahead.
 *
 * Sources with weights are read one after the other.  Blocks keep to one source, so that an epoch can draw from each as many
 * as its weight says (data/batch.h). */
#include "train/trainer.h"

#include "base/log.h"
#include "data/mix.h"

#include <stdlib.h>
#include <string.h>

/* ---- packed ahead ---- */

/* Blocks that were made ahead must be those that this run would make. */
static lm_status check_packed(const lm_trainer *t, const lm_packed_about *a, const char *path, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    int64_t most = lm_model_context(t->model, 0);
    if (strcmp(a->objective, t->c->objective->name)) return lm_fail(err, LM_E_MISMATCH, "%s: was packed for %s, not for %s", path, a->objective, t->c->objective->name);
    if (a->tokenizer != lm_tokenizer_fingerprint(t->tokenizer)) return lm_fail(err, LM_E_MISMATCH, "%s: was packed with another tokenizer than that of %s", path, o->model);
    if (a->vocab > t->model->config.vocab_size) return lm_fail(err, LM_E_MISMATCH, "%s: has ids up to %lld, the model only %lld", path, (long long)a->vocab, (long long)t->model->config.vocab_size);
    if (a->context > most) return lm_fail(err, LM_E_MISMATCH, "%s: has blocks of up to %lld tokens, the model positions for %lld", path, (long long)a->context, (long long)most);
    if (o->context && o->context != a->context) return lm_fail(err, LM_E_MISMATCH, "%s: was packed with --context %lld, not %lld", path, (long long)a->context, (long long)o->context);
    return LM_OK;
}

static lm_status open_packed(lm_trainer *t, lm_corpus *corpus, const char *path, lm_err *err)
{
    LM_TRY(lm_packed_open(&corpus->packed, path, err));
    LM_TRY(check_packed(t, &corpus->packed.about, path, err));
    corpus->data = corpus->packed.data;
    corpus->blocks = corpus->packed.blocks;
    corpus->n_malformed = corpus->packed.about.n_malformed;
    if (corpus == &t->corpus) t->context = t->task.context = corpus->packed.about.context;
    return LM_OK;
}

/* ---- rows ---- */

/* Reads files behind what the corpus has. */
static lm_status read_files(lm_trainer *t, lm_corpus *corpus, const lm_strings *paths, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    lm_source *source;
    lm_skipped skipped = {0};
    LM_TRY(lm_source_open(&source, paths, &(lm_source_options){ .format = o->format, .separator = o->separator, .skipped = o->on_error ? &skipped : NULL }, err));
    const lm_renderer renderer = lm_task_renderer(&t->task);
    lm_status status = lm_dataset_append(&corpus->data, source, t->tokenizer, &renderer, err);
    lm_source_close(source);
    lm_skipped_tell(&skipped);
    corpus->n_malformed += skipped.n;
    lm_skipped_free(&skipped);
    return status;
}

static lm_status read_sources(lm_trainer *t, lm_corpus *corpus, lm_mix *mix, lm_err *err)
{
    lm_shares *s = &corpus->shares;
    size_t n = (size_t)mix->n_sources;
    LM_TRY(lm_mix_check(mix, err));
    s->names = lm_calloc(n, sizeof *s->names);
    s->ends = lm_calloc(n, sizeof *s->ends);
    s->rates = lm_calloc(n, sizeof *s->rates);
    int64_t *sizes = lm_malloc(n * sizeof *sizes), begin = 0;
    lm_status status = LM_OK;
    for (; s->n < mix->n_sources && status == LM_OK; s->n++) {
        status = read_files(t, corpus, &mix->sources[s->n].files, err);
        s->names[s->n] = lm_strdup(mix->sources[s->n].name);
        s->ends[s->n] = corpus->data.n;
        sizes[s->n] = lm_dataset_rows(&corpus->data, begin, corpus->data.n);
        begin = corpus->data.n;
    }
    if (status == LM_OK && (status = lm_mix_rates(s->rates, mix, lm_mix_add_stage(mix), sizes, err)) != LM_OK) lm_context(err, "--data");
    free(sizes);
    return status;
}

static lm_status read_rows(lm_trainer *t, lm_corpus *corpus, const lm_strings *texts, lm_err *err)
{
    lm_mix mix = {0};
    bool weighted = false;
    lm_status status = LM_OK;
    for (int i = 0; i < texts->n && status == LM_OK; i++) status = lm_mix_add(&mix, texts->items[i], err);
    for (int i = 0; i < mix.n_sources; i++) weighted |= mix.sources[i].weight > 0 || mix.sources[i].share > 0;
    if (status == LM_OK && weighted && corpus != &t->corpus) status = lm_fail(err, LM_E_USAGE, "--val-data: every row is measured once; expected files without weights");
    if (status == LM_OK) status = weighted ? read_sources(t, corpus, &mix, err) : read_files(t, corpus, texts, err);
    lm_mix_free(&mix);
    return status;
}

static void tell_losses(const lm_trainer *t, const lm_corpus *c, const char *name)
{
    if (c->blocks.n_truncated)
        lm_log(LM_LOG_WARN, "%s: %lld of %lld rows are longer than %lld tokens and were cut, %lld tokens lost", name, (long long)c->blocks.n_truncated, (long long)c->data.n,
               (long long)t->context, (long long)c->blocks.lost);
    if (c->data.n_skipped) lm_log(LM_LOG_WARN, "%s: %lld rows have no text and are left out", name, (long long)c->data.n_skipped);
}

lm_status lm_corpus_open(lm_trainer *t, lm_corpus *corpus, const lm_strings *texts, lm_err *err)
{
    const lm_train_options *o = t->c->o;
    for (int i = 0; i < texts->n; i++)
        if (lm_packed_is(texts->items[i])) return texts->n == 1 ? open_packed(t, corpus, texts->items[0], err) : lm_fail(err, LM_E_USAGE, "%s: a file of data pack is given alone", texts->items[i]);
    LM_TRY(read_rows(t, corpus, texts, err));
    const lm_pack_options packing = {
        .context = t->context, .pack = o->pack, .in_order = o->in_order, .ends = corpus->shares.ends, .n_ends = corpus->shares.n,
        .longer = o->truncate ? LM_LONGER_TRUNCATE : t->c->objective->splits ? LM_LONGER_SPLIT : LM_LONGER_REFUSE,
    };
    LM_TRY(lm_blocks_make(&corpus->blocks, &corpus->data, &packing, err));
    tell_losses(t, corpus, texts->items[0]);
    return LM_OK;
}

void lm_corpus_close(lm_corpus *corpus)
{
    bool borrowed = corpus->packed.mapping.data;
    if (!borrowed) lm_blocks_free(&corpus->blocks);
    if (!borrowed) lm_dataset_free(&corpus->data);
    lm_shares_free(&corpus->shares);
    lm_packed_close(&corpus->packed);
    *corpus = (lm_corpus){0};
}
