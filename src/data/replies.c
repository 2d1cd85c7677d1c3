#include "data/replies.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/signal.h"
#include "data/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What was said before to a question: where it stands among all that was said. */
typedef struct said {
    size_t begin, length;
    uint64_t key;
    bool there, failed, cut;
} said;

struct lm_replies {
    const lm_asker *asker;
    lm_jsonl *log;
    char *path;
    lm_str texts;
    said *before;                            /* [n_before] by number */
    int64_t n_before, limit, numbered, asked, known;
    lm_err err;                              /* of the file, while others ask */
};

int64_t lm_replies_count(const lm_replies *a) { return a->asked; }
int64_t lm_replies_known(const lm_replies *a) { return a->known; }

/* What tells a question from others of its number. */
static uint64_t key_of(const lm_asking *q)
{
    lm_str all = {0};
    lm_str_printf(&all, "%s\n%s\n%.17g\n%" PRId64, q->system ? q->system : "", q->text, q->temperature, q->max_tokens);
    uint64_t key = lm_hash(all.data, all.len, 0) >> 1;               /* fits an integer of JSON */
    lm_str_free(&all);
    return key;
}

/* ---- what was said before ---- */

static void remember(lm_replies *a, int64_t number, uint64_t key, const lm_json *text, bool failed, bool cut)
{
    if (number >= a->n_before) {
        int64_t room = 2 * number + 64;
        a->before = lm_realloc(a->before, (size_t)room * sizeof *a->before);
        memset(a->before + a->n_before, 0, (size_t)(room - a->n_before) * sizeof *a->before);
        a->n_before = room;
    }
    a->before[number] = (said){ .begin = a->texts.len, .length = json_string_length(text), .key = key, .there = true, .failed = failed, .cut = cut };
    lm_str_append(&a->texts, json_string_value(text), json_string_length(text));
}

static lm_status read_line(lm_replies *a, const lm_row *row, lm_err *err)
{
    enum { AHEAD = 1 << 20 };                        /* numbers that were given to questions nobody was asked */
    int64_t number = -1, key = 0;
    const lm_json *answer = json_object_get(row->object, "answer"), *failed = json_object_get(row->object, "failed"), *text = answer ? answer : failed;
    LM_TRY(lm_json_need_int(row->object, "n", NULL, &number, err));
    LM_TRY(lm_json_need_int(row->object, "key", NULL, &key, err));
    if (number < 0 || number > 2 * row->line + AHEAD) return lm_fail(err, LM_E_FORMAT, "question %" PRId64 " cannot stand here", number);
    if (!json_is_string(text) || memchr(json_string_value(text), '\0', json_string_length(text))) return lm_fail(err, LM_E_FORMAT, "expected an answer");
    remember(a, number, (uint64_t)key, text, !answer, json_is_true(json_object_get(row->object, "cut")));
    return LM_OK;
}

static lm_status check_settings(const lm_json *settings, const lm_json *before, lm_err *err)
{
    const char *key;
    lm_json *value;
    json_object_foreach((json_t *)(uintptr_t)settings, key, value) {
        const lm_json *other = json_object_get(before, key);
        if (other && json_equal(value, (json_t *)(uintptr_t)other)) continue;
        lm_str now = {0}, then = {0};
        lm_json_text(&now, value, 0);
        if (other) lm_json_text(&then, other, 0);
        lm_fail(err, LM_E_MISMATCH, "the run that stands there had another \"%s\": %.200s, not %.200s", key, other ? then.data : "none", now.data);
        lm_str_free(&now), lm_str_free(&then);
        return LM_E_MISMATCH;
    }
    return LM_OK;
}

static lm_status read_before(lm_replies *a, const lm_json *settings, bool *begun, lm_err *err)
{
    lm_source *file;
    LM_TRY(lm_source_open(&file, &(lm_strings){ &a->path, 1 }, &(lm_source_options){ .format = "jsonl" }, err));
    lm_status status = LM_OK;
    for (bool more = true; status == LM_OK;) {
        lm_row row = {0};
        status = lm_source_next(file, &row, &more, err);
        if (status != LM_OK || !more) break;
        lm_err own = {0};
        status = *begun ? read_line(a, &row, &own) : check_settings(settings, json_object_get(row.object, "settings"), &own);
        if (status != LM_OK) lm_fail(err, status, "%s:%" PRId64 ": %s", a->path, row.line, own.message);
        *begun = true;
        lm_row_free(&row);
    }
    lm_source_close(file);
    return status;
}

lm_status lm_replies_open(lm_replies **out, const char *path, const lm_json *settings, bool resume, bool overwrite, int64_t limit, const lm_asker *asker, lm_err *err)
{
    lm_replies *a = *out = lm_calloc(1, sizeof *a);
    a->asker = asker;
    a->limit = limit;
    a->path = lm_strdup(path);
    bool begun = false, there = lm_file_exists(path);
    if (there && !resume && !overwrite)
        return lm_fail(err, LM_E_USAGE, "%s: a run before stands there; --resume goes on with it, --overwrite throws it away", path);
    a->log = lm_jsonl_open(path, resume, err);
    if (!a->log) return err->code;
    if (there && resume) LM_TRY(read_before(a, settings, &begun, err));
    return begun ? LM_OK : lm_jsonl_put(a->log, json_pack("{s:O}", "settings", settings), err);
}

void lm_replies_close(lm_replies *a)
{
    if (!a) return;
    lm_jsonl_close(a->log);
    lm_str_free(&a->texts);
    free(a->before), free(a->path);
    free(a);
}

/* ---- asking ---- */

static lm_status put(lm_replies *a, const lm_asking *q, lm_err *err)
{
    bool failed = q->err.code != LM_OK;
    const char *text = failed ? q->err.message : q->answer.data ? q->answer.data : "";
    size_t valid = lm_utf8_valid(text, strlen(text));                /* a message may have been cut within a character */
    lm_json *line = json_pack("{s:I, s:I, s:s%}", "n", (json_int_t)q->number, "key", (json_int_t)key_of(q), failed ? "failed" : "answer", text, valid);
    if (q->cut) json_object_set_new(line, "cut", json_true());
    return lm_jsonl_put(a->log, line, err);
}

static void settled(void *context, lm_asking *q)
{
    lm_replies *a = context;
    if (q->err.code == LM_OK && a->err.code == LM_OK) put(a, q, &a->err);
}

/* Takes the answer from those of before; *known tells whether there is one. */
static lm_status recall(lm_replies *a, lm_asking *q, bool *known, lm_err *err)
{
    const said *s = q->number < (uint64_t)a->n_before ? &a->before[q->number] : NULL;
    *known = s && s->there;
    if (!*known) return LM_OK;
    if (s->key != key_of(q)) return lm_fail(err, LM_E_MISMATCH, "%s: question %" PRIu64 " is not the one that was asked before", a->path, q->number);
    if (s->failed) lm_fail(&q->err, LM_E_IO, "%.*s", (int)s->length, a->texts.data + s->begin);
    else lm_str_append(&q->answer, a->texts.data ? a->texts.data + s->begin : "", s->length);
    q->cut = s->cut;
    a->known++;
    return LM_OK;
}

/* Questions that nobody has answered yet, to the front of `left`; `place` says where each came from. */
static lm_status gather(lm_replies *a, lm_asking *questions, int n, lm_asking *left, int *place, int *n_left, lm_replies_state *state, lm_err *err)
{
    *n_left = 0;
    for (int i = 0; i < n; i++) {
        bool known;
        questions[i].number = (uint64_t)a->numbered++;
        LM_TRY(recall(a, &questions[i], &known, err));
        if (!known && lm_interrupted()) *state = LM_REPLIES_STOPPED;
        else if (a->limit && a->asked >= a->limit) *state = LM_REPLIES_SPENT;
        else a->asked++;
        if (*state != LM_REPLIES_ALL) {
            lm_str_clear(&questions[i].answer);
            lm_err_clear(&questions[i].err);
            lm_fail(&questions[i].err, LM_E_INTERRUPT, "not asked");
        } else if (!known) {
            place[*n_left] = i;
            left[(*n_left)++] = questions[i];
        }
    }
    return LM_OK;
}

/* Whether somebody was there: it answered, or refused this question for what it is. */
static bool is_reply(const lm_asking *q) { return q->err.code == LM_OK || q->err.code == LM_E_MISMATCH || q->err.code == LM_E_FORMAT; }

/* Failures of a call in which somebody was there belong to their questions. */
static lm_status keep_failures(lm_replies *a, const lm_asking *left, int n, lm_replies_state *state, lm_err *err)
{
    int replies = 0;
    for (int i = 0; i < n; i++) replies += is_reply(&left[i]);
    if (lm_interrupted() && replies < n) *state = LM_REPLIES_STOPPED;
    else if (!replies) *state = LM_REPLIES_SILENT;
    for (int i = 0; i < n && *state != LM_REPLIES_STOPPED && replies; i++)
        if (left[i].err.code != LM_OK) LM_TRY(put(a, &left[i], err));
    return LM_OK;
}

lm_status lm_replies_ask(lm_replies *a, lm_asking *questions, int n, lm_replies_state *state, lm_err *err)
{
    lm_asking *left = lm_calloc((size_t)n + 1, sizeof *left);
    int *place = lm_calloc((size_t)n + 1, sizeof *place), n_left;
    *state = LM_REPLIES_ALL;
    lm_status status = gather(a, questions, n, left, place, &n_left, state, err);
    if (status == LM_OK && n_left) {
        a->asker->ask(a->asker->self, left, n_left, settled, a);
        for (int i = 0; i < n_left; i++) questions[place[i]] = left[i];
        status = a->err.code ? lm_fail(err, a->err.code, "%s", a->err.message) : keep_failures(a, left, n_left, state, err);
    }
    free(left), free(place);
    return status;
}
