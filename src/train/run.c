#include "train/run.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"
#include "io/checkpoint.h"
#include "io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char STATE_FILE[] = "training.safetensors";

static char *in_out(const lm_run *r, const char *name) { return lm_path_join(r->t->c->o->out, name); }

/* ---- run.json ---- */

/* How the rows are shared among sources; NULL where nothing is weighted. */
static lm_json *describe_shares(const lm_shares *s)
{
    lm_json *rates = s->n ? json_array() : NULL;
    for (int i = 0; i < s->n; i++) json_array_append_new(rates, json_pack("{s:f, s:I}", "rate", s->rates[i], "end", (json_int_t)s->ends[i]));
    return rates;
}

static lm_json *describe(const lm_trainer *t)
{
    const lm_train_config *c = t->c;
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, lm_dataset_hash(&t->corpus.data));
    lm_json *options = lm_options_dump(c->sets, false);
    json_object_set_new(options, "learning_rate", json_real(t->schedule.peak));
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:b, s:I, s:s, s:s, s:i, s:{s:I, s:I, s:I, s:I, s:s, s:o*}, s:o}",
                     "malmoi", LM_VERSION, "objective", c->objective->name, "optimizer", c->optimizer->name,
                     "adapter", c->adapter ? c->adapter->name : NULL, "base", t->adapter ? t->adapter->base : NULL, "finished", 0, "steps", (json_int_t)t->schedule.steps,
                     "dtype", lm_dtype_name(t->tape.compute), "backend", c->k->name, "threads", lm_threads(),
                     "data", "rows", (json_int_t)t->corpus.data.n, "tokens", (json_int_t)t->corpus.data.n_tokens,
                     "supervised_tokens", (json_int_t)t->corpus.blocks.n_supervised,
                     "truncated_rows", (json_int_t)t->corpus.blocks.n_truncated, "hash", hash, "shares", describe_shares(&t->corpus.shares), "options", options);
}

/* Options that do not change what is computed; data and steps are looked at in their own way. */
static bool is_free(const char *name)
{
    static const char *const names[] = { "out", "data", "steps", "epochs", "save_every", "keep", "checkpointing_keep", "resume", "force", "overwrite",
                                         "dry_run", "json", "threads", "backend", "verbose", "quiet", NULL };
    for (const char *const *n = names; *n; n++)
        if (!strcmp(*n, name)) return true;
    return false;
}

/* "--lr (was 0.001, is 0.01)" for every option that differs. */
static void list_changes(lm_str *out, const lm_json *was, lm_json *is)
{
    const char *key;
    lm_json *value;
    json_object_foreach(is, key, value) {
        const lm_json *old = json_object_get(was, key);
        if (is_free(key) || (old && json_equal(old, value))) continue;
        char *a = old ? json_dumps(old, JSON_ENCODE_ANY) : NULL, *b = json_dumps(value, JSON_ENCODE_ANY);
        lm_str_printf(out, "%s--", out->len ? ", " : "");
        for (const char *c = key; *c; c++) lm_str_putc(out, *c == '_' ? '-' : *c);
        lm_str_printf(out, " (was %s, is %s)", a ? a : "not there", b);
        free(a), free(b);
    }
}

static lm_status refuse_changes(const lm_run *r, const lm_json *was, lm_err *err)
{
    const char *out = r->t->c->o->out;
    for (const char *const *key = (const char *const[]){ "objective", "optimizer", "adapter", "dtype", NULL }; *key; key++)
        if (!json_equal(json_object_get(was, *key), json_object_get(r->description, *key)))
            return lm_fail(err, LM_E_USAGE, "%s: the run to resume has another %s", out, *key);
    lm_str changes = {0};
    list_changes(&changes, json_object_get(was, "options"), json_object_get(r->description, "options"));
    lm_status status = changes.len ? lm_fail(err, LM_E_USAGE, "%s: the run to resume was begun with other options: %s", out, changes.data) : LM_OK;
    lm_str_free(&changes);
    if (status == LM_OK && !json_equal(json_object_get(was, "data"), json_object_get(r->description, "data")))
        status = lm_fail(err, LM_E_MISMATCH, "%s: the data is not what the run began with", out);
    for (const char *const *key = (const char *const[]){ "threads", "backend", NULL }; *key; key++)
        if (!json_equal(json_object_get(was, *key), json_object_get(r->description, *key)))
            lm_log(LM_LOG_WARN, "%s: begun with other %s: the result will agree to rounding, not to the last bit", out, *key);
    return status;
}

/* An adapter goes on with the base that it began with. */
static lm_status refuse_another_base(const lm_run *r, const lm_json *was, lm_err *err)
{
    const lm_train_options *o = r->t->c->o;
    const char *before = json_string_value(json_object_get(was, "base")), *now = json_string_value(json_object_get(r->description, "base"));
    if (!before || !now || !strcmp(before, now)) return LM_OK;
    if (!o->force)
        return lm_fail(err, LM_E_MISMATCH, "%s: the run to resume began on a model (%s) that %s (%s) is not; --force goes on all the same",
                       o->out, before, o->model, now);
    lm_log(LM_LOG_WARN, "%s: begun on another base (%s), %s is %s", o->out, before, o->model, now);
    return LM_OK;
}

/* A run may become longer or shorter where the learning rates of the steps made stay the same. */
static lm_status refuse_other_rates(const lm_run *r, const lm_json *was, lm_err *err)
{
    const lm_trainer *t = r->t;
    int64_t steps = t->schedule.steps;
    LM_TRY(lm_json_need_int(was, "steps", "run.json", &steps, err));
    if (steps == t->schedule.steps) return LM_OK;
    lm_schedule before = t->schedule;
    before.steps = steps;
    if (t->c->o->warmup < 1) before.warmup = llround(t->c->o->warmup * (double)steps);
    if (t->c->o->decay < 1) before.decay = llround(t->c->o->decay * (double)(steps - before.warmup));
    for (int64_t step = 1; step <= t->at.step; step++)
        if (step > steps || lm_schedule_at(&before, step) != lm_schedule_at(&t->schedule, step))
            return lm_fail(err, LM_E_USAGE, "%s: begun for %lld steps, now %lld: the learning rate of step %lld would have been another",
                           t->c->o->out, (long long)steps, (long long)t->schedule.steps, (long long)step);
    return LM_OK;
}

/* ---- checkpoints ---- */

/* Entries of a checkpoint, and the names that they borrow. */
typedef struct held {
    lm_save_entry *entries;
    int64_t n;
} held;

static void hold(held *h, const lm_learner *l, const char *state, const lm_tensor *t, const void *data)
{
    lm_str name = {0};
    lm_str_printf(&name, "%s%s%s%s", state ? state : "", state ? ":" : "", l->prefix, t->name);
    h->entries = lm_realloc(h->entries, (size_t)(h->n + 1) * sizeof *h->entries);
    h->entries[h->n++] = (lm_save_entry){ .name = lm_str_take(&name), .dtype = LM_F32, .ndim = t->ndim, .dim = t->dim, .data = data, .data_dtype = LM_F32 };
}

/* Weights under their own names, the optimiser's numbers as "exp_avg:NAME", and what is only remembered.  The
 * optimiser has the learners' parameters in their order. */
static held state_of(const lm_trainer *t)
{
    const lm_optim *o = &t->optim;
    held h = {0};
    int64_t slot = 0;
    for (int i = 0; i < LM_LEARNERS; i++) {
        const lm_learner *l = &t->learners[i];
        for (int64_t j = 0; l->trained && j < l->trained->n; j++) {
            const lm_param *p = l->trained->items[j];
            if (!p->trains) continue;
            LM_ASSERT(o->slots[slot].param == p);
            hold(&h, l, NULL, &p->t, p->t.data);
            for (int s = 0; s < LM_OPTIM_STATES && o->type->states[s]; s++) hold(&h, l, o->type->states[s], &p->t, o->slots[slot].state[s]);
            slot++;
        }
        for (int64_t j = 0; l->remembered && j < l->remembered->n; j++) hold(&h, l, NULL, &l->remembered->items[j]->t, l->remembered->items[j]->t.data);
    }
    return h;
}

static void let_go(held *h)
{
    for (int64_t i = 0; i < h->n; i++) free((char *)(uintptr_t)h->entries[i].name);
    free(h->entries);
}

static lm_json *state_json(const lm_train_state *at)
{
    lm_json *best = isfinite(at->best) ? json_real(at->best) : json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:o, s:I}", "step", (json_int_t)at->step, "updates", (json_int_t)at->updates, "tokens", (json_int_t)at->tokens,
                     "supervised_tokens", (json_int_t)at->supervised, "seconds", at->seconds, "best_loss", best,
                     "since_best", (json_int_t)at->since_best);
}

static lm_status write_checkpoint(lm_run *r, lm_checkpoint_writer *w, const char *folder, int64_t keep, lm_err *err)
{
    lm_trainer *t = r->t;
    LM_TRY(lm_checkpoint_begin(w, folder, t->at.step, err));
    held h = state_of(t);
    lm_status status = lm_checkpoint_tensors(w, STATE_FILE, &(lm_save){ .entries = h.entries, .n = h.n }, err);
    let_go(&h);
    LM_TRY(status);
    lm_json *state = state_json(&t->at);
    status = lm_checkpoint_state(w, state, err);
    lm_json_free(state);
    LM_TRY(status);
    return lm_checkpoint_commit(w, keep, err);
}

static lm_status save(lm_run *r, const char *folder, int64_t keep, lm_err *err)
{
    lm_checkpoint_writer w = {0};
    lm_status status = write_checkpoint(r, &w, folder, keep, err);
    lm_checkpoint_abort(&w);
    return status;
}

lm_status lm_run_save(lm_run *r, lm_err *err)
{
    if (r->saved == r->t->at.step) return LM_OK;
    LM_TRY(save(r, r->checkpoints, r->t->c->o->keep, err));
    r->saved = r->t->at.step;
    return LM_OK;
}

lm_status lm_run_save_best(lm_run *r, lm_err *err) { return save(r, r->best, 1, err); }

static lm_status read_tensors(lm_trainer *t, const char *path, lm_err *err)
{
    lm_safetensors file = {0};
    held h = state_of(t);
    lm_status status = lm_safetensors_open(&file, path, err);
    if (status == LM_OK && file.n != h.n)
        status = lm_fail(err, LM_E_MISMATCH, "%s: holds %lld tensors, the run needs %lld", path, (long long)file.n, (long long)h.n);
    for (int64_t i = 0; i < h.n && status == LM_OK; i++) {
        const lm_save_entry *e = &h.entries[i];
        const lm_stored *s = lm_safetensors_find(&file, e->name);
        if (!s) status = lm_fail(err, LM_E_MISMATCH, "%s: tensor %s is missing", path, e->name);
        if (status == LM_OK) status = lm_stored_need_shape(s, e->ndim, e->dim, err);
        if (status == LM_OK) status = lm_stored_copy(s, (void *)(uintptr_t)e->data, LM_F32, err);
    }
    lm_safetensors_close(&file);
    let_go(&h);
    return status;
}

static lm_status read_state(lm_train_state *at, const lm_json *state, lm_err *err)
{
    const char *name = "state.json";
    LM_TRY(lm_json_need_int(state, "step", name, &at->step, err));
    at->updates = at->step;
    LM_TRY(lm_json_opt_int(state, "updates", name, &at->updates, err));
    LM_TRY(lm_json_need_int(state, "tokens", name, &at->tokens, err));
    LM_TRY(lm_json_need_int(state, "supervised_tokens", name, &at->supervised, err));
    LM_TRY(lm_json_need_int(state, "since_best", name, &at->since_best, err));
    LM_TRY(lm_json_opt_real(state, "seconds", name, &at->seconds, err));
    return lm_json_opt_real(state, "best_loss", name, &at->best, err);
}

lm_status lm_run_restore_best(lm_run *r, lm_err *err)
{
    lm_checkpoint_reader c = {0};
    LM_TRY(lm_checkpoint_open(&c, r->best, err));
    char *path = lm_path_join(c.path, STATE_FILE);
    lm_status status = read_tensors(r->t, path, err);
    if (status == LM_OK) lm_log(LM_LOG_INFO, "the result is that of step %lld, the best", (long long)c.step);
    free(path);
    lm_checkpoint_close(&c);
    return status;
}

/* Sets the trainer to the last checkpoint; leaves it at step 0 when there is none. */
static lm_status restore(lm_run *r, lm_err *err)
{
    lm_trainer *t = r->t;
    if (!lm_file_exists(r->checkpoints)) return LM_OK;
    lm_checkpoint_reader c = {0};
    lm_err why = {0};
    lm_status status = lm_checkpoint_open(&c, r->checkpoints, &why);
    if (status == LM_E_IO) return LM_OK;                     /* it was killed before the first one */
    if (status != LM_OK) return lm_fail(err, why.code, "%s", why.message);
    char *path = lm_path_join(c.path, STATE_FILE);
    status = c.state ? read_state(&t->at, c.state, err) : lm_fail(err, LM_E_FORMAT, "%s: has no state.json", c.path);
    if (status == LM_OK) status = read_tensors(t, path, err);
    r->saved = t->at.step;
    t->optim.step = t->at.updates;
    free(path);
    lm_checkpoint_close(&c);
    return status;
}

/* ---- the log ---- */

/* Drops what a killed process logged after the step that the run goes on from. */
static lm_status cut_log(const char *path, int64_t step, lm_err *err)
{
    lm_stream *in;
    if (!lm_file_exists(path)) return LM_OK;
    LM_TRY(lm_stream_open(&in, path, err));
    lm_str line = {0}, kept = {0};
    bool eof = false;
    lm_status status = LM_OK;
    while (status == LM_OK) {
        status = lm_stream_line(in, &line, &eof, err);
        if (eof) break;
        lm_json *entry = lm_json_parse(line.data, line.len, path, NULL);
        int64_t at = INT64_MAX;
        if (entry) lm_json_opt_int(entry, "step", path, &at, NULL);
        if (at <= step) lm_str_printf(&kept, "%s\n", line.data);
        lm_json_free(entry);
    }
    lm_stream_close(in);
    if (status == LM_OK) status = lm_file_write(path, kept.data ? kept.data : "", kept.len, err);
    lm_str_free(&line);
    lm_str_free(&kept);
    return status;
}

/* The round's answers, each with its step in front. */
static lm_status put_table(lm_run *r, const lm_json *table, lm_err *err)
{
    size_t i;
    lm_json *row;
    json_array_foreach((json_t *)(uintptr_t)table, i, row) {
        lm_json *line = json_pack("{s:I}", "step", (json_int_t)r->t->at.step);
        json_object_update(line, row);
        LM_TRY(lm_jsonl_put(r->rollouts, line, err));
    }
    return LM_OK;
}

lm_status lm_run_step(lm_run *r, const lm_step_report *s, lm_err *err)
{
    const lm_trainer *t = r->t;
    double speed = (double)s->tokens / s->seconds, left = (double)(t->schedule.steps - t->at.step);
    const lm_json *reward = json_object_get(s->numbers, "reward");
    size_t peak = lm_memory_peak();
    char rate[24], memory[24], eta[24], worth[24] = "";
    if (reward) snprintf(worth, sizeof worth, "  reward %.4f", json_number_value(reward));
    lm_progress_draw(&r->progress, t->at.step == t->schedule.steps, "step %lld/%lld%s  loss %.4f  lr %.2e  %s tokens/s  %s  %s left",
                     (long long)t->at.step, (long long)t->schedule.steps, worth, s->loss, s->lr, lm_format_count(rate, speed),
                     lm_format_bytes(memory, (double)peak),
                     lm_format_seconds(eta, left * (lm_now() - r->started) / (double)(t->at.step - r->started_at)));
    lm_json *line = json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:f, s:I}", "step", (json_int_t)t->at.step,
                              "epoch", (double)t->at.step * (double)t->per_step / (double)t->train.n,
                              "loss", s->loss, "lr", s->lr, "grad_norm", s->grad_norm,
                              "tokens", (json_int_t)s->tokens, "supervised_tokens", (json_int_t)s->supervised,
                              "tokens_per_second", speed, "seconds", s->seconds, "peak_bytes", (json_int_t)peak);
    if (s->numbers) json_object_update(line, s->numbers);
    LM_TRY(lm_jsonl_put(r->log, line, err));
    return s->table ? put_table(r, s->table, err) : LM_OK;
}

/* ", accuracy 0.8312, macro_f1 0.8270" */
static char *numbers_of(const lm_json *counted)
{
    lm_str text = {0};
    const char *key;
    lm_json *value;
    lm_str_puts(&text, "");
    json_object_foreach((json_t *)(uintptr_t)counted, key, value) lm_str_printf(&text, ", %s %.4f", key, json_number_value(value));
    return lm_str_take(&text);
}

lm_status lm_run_measured(lm_run *r, double loss, const lm_json *counted, double seconds, lm_err *err)
{
    const lm_trainer *t = r->t;
    char *numbers = numbers_of(counted);
    lm_progress_clear(&r->progress);
    lm_log(LM_LOG_INFO, "step %lld: validation loss %.4f, best %.4f%s", (long long)t->at.step, loss, t->at.best, numbers);
    free(numbers);
    if (!isfinite(loss)) return lm_fail(err, LM_E_NUMERIC, "step %lld: the validation loss is not finite", (long long)t->at.step);
    lm_json *line = json_pack("{s:I, s:f, s:f, s:f}", "step", (json_int_t)t->at.step, "val_loss", loss, "best_val_loss", t->at.best,
                              "seconds", seconds);
    json_object_update(line, (json_t *)(uintptr_t)counted);
    return lm_jsonl_put(r->log, line, err);
}

/* ---- entering and leaving ---- */

static bool is_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return true;
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(dir)); ) empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(dir);
    return empty;
}

/* What stands in --out: nothing, or (*was) the run to go on with.  Anything else is refused. */
static lm_status look(lm_run *r, const char *description, lm_json **was, lm_err *err)
{
    const lm_train_options *o = r->t->c->o;
    *was = NULL;
    if (!lm_file_exists(description)) {
        if (is_empty(o->out)) return LM_OK;
        return lm_fail(err, LM_E_USAGE, "%s: holds other files; choose another --out", o->out);
    }
    if (o->overwrite) return lm_staging_remove(o->out, err);
    *was = lm_json_read(description, err);
    if (!*was) return err->code;
    if (o->resume) return LM_OK;
    return lm_fail(err, LM_E_USAGE, "%s: holds a %s run; --resume goes on with it, --overwrite throws it away", o->out,
                   json_is_true(json_object_get(*was, "finished")) ? "finished" : "started");
}

/* Cuts a log back and goes on with it. */
static lm_status open_log(lm_jsonl **out, const lm_run *r, const char *name, lm_err *err)
{
    char *path = in_out(r, name);
    lm_status status = cut_log(path, r->t->at.step, err);
    *out = status == LM_OK ? lm_jsonl_open(path, true, err) : NULL;
    free(path);
    return *out ? LM_OK : status == LM_OK ? err->code : status;
}

/* OUT belongs to one process; --overwrite makes another folder of it. */
static lm_status take_folder(lm_run *r, lm_err *err)
{
    const char *out = r->t->c->o->out;
    lm_folder_unlock(&r->lock);
    return lm_file_exists(out) ? lm_folder_lock(&r->lock, out, err) : LM_OK;
}

static lm_status enter(lm_run *r, const char *description, lm_err *err)
{
    lm_json *was;
    LM_TRY(take_folder(r, err));
    lm_status status = look(r, description, &was, err);
    if (status == LM_OK && was) status = refuse_changes(r, was, err);
    if (status == LM_OK && was) status = refuse_another_base(r, was, err);
    if (status == LM_OK && was) status = restore(r, err);
    if (status == LM_OK && was) status = refuse_other_rates(r, was, err);
    if (status == LM_OK && was && json_is_true(json_object_get(was, "finished")) &&
        json_equal(json_object_get(was, "steps"), json_object_get(r->description, "steps"))) {
        json_object_set_new(r->description, "finished", json_true());
        status = read_state(&r->t->at, json_object_get(was, "state"), err);      /* of its end, past the last checkpoint */
    }
    lm_json_free(was);
    LM_TRY(status);
    if (lm_run_finished(r)) return LM_OK;
    LM_TRY(lm_make_dirs(r->t->c->o->out, err));
    LM_TRY(take_folder(r, err));
    LM_TRY(open_log(&r->log, r, "log.jsonl", err));
    if (r->t->task.objective->rounds) LM_TRY(open_log(&r->rollouts, r, "rollouts.jsonl", err));
    return lm_json_write(r->description, description, err);
}

lm_status lm_run_open(lm_run *r, lm_trainer *t, lm_err *err)
{
    *r = (lm_run){ .t = t, .saved = -1, .lock = -1 };
    r->checkpoints = in_out(r, "checkpoints");
    r->best = in_out(r, "best");
    r->description = describe(t);
    char *description = in_out(r, "run.json");
    lm_status status = enter(r, description, err);
    free(description);
    r->progress = lm_progress_start(t->c->progress, 10);
    r->started = lm_now();
    r->started_at = t->at.step;
    if (status == LM_OK && t->at.step && !lm_run_finished(r))
        lm_log(LM_LOG_INFO, "going on after step %lld", (long long)t->at.step);
    return status;
}

bool lm_run_finished(const lm_run *r) { return json_is_true(json_object_get(r->description, "finished")); }

/* The type that the base came in; f32 when its config does not tell. */
static lm_dtype saved_type(const lm_model *m)
{
    const char *name = NULL;
    lm_json_opt_str(m->config_json, "torch_dtype", "config.json", &name, NULL);
    lm_json_opt_str(m->config_json, "dtype", "config.json", &name, NULL);
    int dtype = name ? lm_dtype_parse(name) : -1;
    return dtype == LM_BF16 || dtype == LM_F16 ? (lm_dtype)dtype : LM_F32;
}

static lm_status write_result(const lm_trainer *t, lm_err *err)
{
    const char *out = t->c->o->out;
    if (t->adapter) LM_TRY(lm_adapter_save(t->adapter, out, err));
    else {
        LM_TRY(lm_model_save(t->model, out, saved_type(t->model), 0, err));
        LM_TRY(lm_folder_copy_sides(t->c->o->model, out, err));
    }
    return t->task.objective->finish ? t->task.objective->finish(&t->task, out, err) : LM_OK;
}

/* The weights of the last checkpoint before the step at hand; its step, or -1: there is none. */
static int64_t go_back(lm_run *r, lm_err *err)
{
    int64_t *steps = NULL, found = -1;
    size_t n = 0;
    if (lm_checkpoint_list(&steps, &n, r->checkpoints, err) != LM_OK) return -1;
    while (found < 0 && n-- > 0) {
        lm_checkpoint_reader c = {0};
        char *folder = lm_checkpoint_path(r->checkpoints, steps[n]), *path = lm_path_join(folder, STATE_FILE);
        if (steps[n] < r->t->at.step && lm_checkpoint_open_step(&c, folder, err) == LM_OK && read_tensors(r->t, path, err) == LM_OK) found = steps[n];
        lm_checkpoint_close(&c);
        free(path), free(folder);
    }
    free(steps);
    return found;
}

void lm_run_fall_back(lm_run *r)
{
    lm_err err = {0};
    const char *out = r->t->c->o->out;
    lm_progress_end(&r->progress);
    int64_t step = lm_file_exists(r->checkpoints) ? go_back(r, &err) : -1;
    if (step >= 0 && write_result(r->t, &err) == LM_OK) lm_log(LM_LOG_WARN, "%s holds the model as it was after step %lld, the last good checkpoint", out, (long long)step);
    else lm_log(LM_LOG_WARN, "%s: no checkpoint stands before step %lld; --save-every makes them more often", out, (long long)r->t->at.step);
}

lm_status lm_run_finish(lm_run *r, lm_err *err)
{
    const lm_trainer *t = r->t;
    lm_progress_end(&r->progress);
    LM_TRY(write_result(t, err));
    json_object_set_new(r->description, "finished", json_true());
    json_object_set_new(r->description, "state", state_json(&t->at));
    char *description = in_out(r, "run.json");
    lm_status status = lm_json_write(r->description, description, err);
    free(description);
    return status;
}

void lm_run_close(lm_run *r)
{
    lm_progress_end(&r->progress);
    lm_jsonl_close(r->log);
    lm_jsonl_close(r->rollouts);
    lm_json_free(r->description);
    free(r->checkpoints);
    free(r->best);
    lm_folder_unlock(&r->lock);
    *r = (lm_run){ .lock = -1 };
}
