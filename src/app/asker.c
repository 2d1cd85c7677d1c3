#include "app/asker.h"

#include "app/turns.h"
#include "base/http.h"
#include "base/signal.h"
#include "infer/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lm_asker_link {
    const lm_asker_options *o;
    char *url, *authorisation;               /* of an endpoint */
    lm_opened m;                             /* or a model, with its turns and session */
    lm_turns turns;
    lm_generation defaults;
    lm_session *session;
};

/* Questions that are being asked together. */
typedef struct asked {
    const lm_asker_link *link;
    lm_asking *questions;
    int n;
    atomic_int next;
    pthread_mutex_t lock;                    /* of settled */
    void (*settled)(void *context, lm_asking *q);
    void *context;
} asked;

static lm_json *messages_of(const lm_asking *q)
{
    lm_json *messages = json_array();
    if (q->system) json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", q->system));
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", q->text));
    return messages;
}

/* ---- an endpoint ---- */

static char *url_of(const char *endpoint)
{
    static const char path[] = "/chat/completions";
    lm_str url = {0};
    lm_str_puts(&url, endpoint);
    while (url.len && url.data[url.len - 1] == '/') url.data[--url.len] = '\0';
    if (!lm_ends_with(url.data ? url.data : "", path)) lm_str_puts(&url, path);
    return lm_str_take(&url);
}

/* choices[0].message.content, or what the endpoint says is wrong. */
static lm_status read_reply(const lm_asker_link *l, lm_asking *q, long status, const lm_str *body)
{
    lm_json *reply = lm_json_parse(body->data ? body->data : "", body->len, l->url, NULL);
    const lm_json *choice = json_array_get(json_object_get(reply, "choices"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(choice, "message"), "content")), *ended = json_string_value(json_object_get(choice, "finish_reason"));
    const char *wrong = json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
    if (status == 200 && text) lm_str_puts(&q->answer, text);
    else if (status == 200) lm_fail(&q->err, LM_E_FORMAT, "%s: expected choices[0].message.content, found another reply", l->url);
    else lm_fail(&q->err, status == 400 || status == 413 || status == 422 ? LM_E_MISMATCH : LM_E_IO, "%s: answered %ld%s%.300s", l->url, status, wrong ? ": " : "", wrong ? wrong : "");
    q->cut = ended && !strcmp(ended, "length");
    lm_one_line(q->err.message);
    lm_json_free(reply);
    return q->err.code;
}

static lm_status post(const lm_asker_link *l, lm_asking *q, lm_span body, bool *again)
{
    const char *headers[] = { "Content-Type: application/json", l->authorisation, NULL };
    lm_str reply = {0};
    long code = 0;
    lm_status status = lm_http_post(&code, &reply, &(lm_http_request){ .url = l->url, .headers = headers, .body = body, .seconds = l->o->seconds }, &q->err);
    *again = status == LM_E_IO || code == 429 || code >= 500;
    if (status == LM_OK) status = read_reply(l, q, code, &reply);
    lm_str_free(&reply);
    return status;
}

/* Half a second, then twice as long each time. */
static void ask_endpoint(const lm_asker_link *l, lm_asking *q)
{
    lm_str body = {0};
    lm_json *request = json_pack("{s:s, s:o, s:f, s:I, s:I}", "model", l->o->model, "messages", messages_of(q), "temperature", q->temperature,
                                 "max_tokens", (json_int_t)q->max_tokens, "seed", (json_int_t)((uint64_t)l->o->seed + q->number));
    lm_json_text(&body, request, 0);
    lm_json_free(request);
    lm_status status = LM_E_IO;
    bool again = true;
    for (int64_t attempt = 0; status != LM_OK && again && attempt <= l->o->retries; attempt++) {
        if (attempt && lm_interrupted()) break;
        if (attempt) usleep(500000u << (attempt < 6 ? attempt - 1 : 5));
        lm_err_clear(&q->err);
        status = post(l, q, lm_span_of(body.data, body.len), &again);
    }
    lm_str_free(&body);
}

static void *ask_in_turn(void *context)
{
    asked *a = context;
    for (int i; (i = atomic_fetch_add(&a->next, 1)) < a->n;) {
        ask_endpoint(a->link, &a->questions[i]);
        pthread_mutex_lock(&a->lock);
        a->settled(a->context, &a->questions[i]);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

/* The calling thread asks as well; where the system gives no further ones it does it all. */
static void ask_there(void *self, lm_asking *questions, int n, void (*settled)(void *context, lm_asking *q), void *context)
{
    const lm_asker_link *l = self;
    asked a = { .link = l, .questions = questions, .n = n, .settled = settled, .context = context, .lock = PTHREAD_MUTEX_INITIALIZER };
    int64_t wanted = (n < l->o->parallel ? n : l->o->parallel) - 1, threads = 0;
    pthread_t *others = lm_calloc((size_t)(wanted > 0 ? wanted : 1), sizeof *others);
    while (threads < wanted && !pthread_create(&others[threads], NULL, ask_in_turn, &a)) threads++;
    ask_in_turn(&a);
    for (int64_t i = 0; i < threads; i++) pthread_join(others[i], NULL);
    free(others);
}

/* ---- a model of one's own ---- */

enum { ROOM = 2048 };                        /* tokens of the cache for each question beyond the first, unless the context is smaller */

static lm_status open_model(lm_asker_link *l, const lm_call *call, lm_err *err)
{
    l->m.load_in = l->o->load_in;
    LM_TRY(lm_open(&l->m, call, l->o->model, NULL, l->o->dtype, err));
    LM_TRY(lm_open_tokenizer(&l->m, err));
    LM_TRY(lm_generation_read(&l->defaults, l->m.model->path, err));
    LM_TRY(lm_turns_open(&l->turns, &l->m, NULL, &l->defaults, err));
    int64_t context = l->m.model->config.max_positions, each = context < ROOM ? context : ROOM;
    const lm_session_options how = { .compute = l->m.compute, .eos = l->turns.ends, .n_eos = l->turns.n_ends,
                                     .rows = context + (l->o->parallel - 1) * each };
    return lm_session_new(&l->session, l->m.model, &l->m.kernels, l->m.tokenizer, &how, err);
}

/* Queues a question; where that cannot be the sequence is NULL and the question says why. */
static lm_sequence *begin(const lm_asker_link *l, lm_asking *q)
{
    lm_ids ids = {0};
    lm_sequence *sequence = NULL;
    const char *stop = lm_turns_stop(&l->turns);
    const lm_strings stops = { (char **)(uintptr_t)&stop, stop ? 1 : 0 };
    lm_json *messages = messages_of(q);
    if (lm_turns_encode(&l->turns, &ids, messages, &q->err) == LM_OK) {
        const lm_request wanted = { .prompt = ids.data, .n_prompt = (int64_t)ids.len, .max_new_tokens = q->max_tokens, .stop = &stops,
                                    .sampling = { .temperature = q->temperature, .top_p = 1, .repetition_penalty = 1, .seed = l->o->seed },
                                    .stream = q->number };
        lm_session_add(l->session, &sequence, &wanted, &q->err);
    }
    lm_json_free(messages);
    lm_ids_free(&ids);
    return sequence;
}

static void end(const lm_asker_link *l, lm_asking *q, lm_sequence *sequence)
{
    const char *text = sequence->text.data ? sequence->text.data : "";
    if (q->err.code == LM_OK) lm_str_append(&q->answer, text, lm_utf8_valid(text, strlen(text)));
    q->cut = sequence->finish == LM_FINISH_LENGTH || sequence->finish == LM_FINISH_CONTEXT;
    lm_session_drop(l->session, sequence);
}

/* All are decoded together; each is settled as it ends. */
static void ask_here(void *self, lm_asking *questions, int n, void (*settled)(void *context, lm_asking *q), void *context)
{
    const lm_asker_link *l = self;
    lm_sequence **sequences = lm_calloc((size_t)n, sizeof *sequences);
    lm_err err = {0};
    for (int i = 0; i < n; i++)
        if (!(sequences[i] = begin(l, &questions[i]))) settled(context, &questions[i]);
    for (int64_t live = 1; live;) {
        bool stopped = lm_session_step(l->session, &live, &err) != LM_OK || (live && lm_interrupted());
        if (stopped) live = 0;
        for (int i = 0; i < n; i++) {
            if (!sequences[i] || (sequences[i]->finish == LM_FINISH_NOT && !stopped)) continue;
            if (sequences[i]->finish == LM_FINISH_NOT) lm_fail(&questions[i].err, err.code ? err.code : LM_E_INTERRUPT, "%s", err.code ? err.message : "stopped");
            end(l, &questions[i], sequences[i]);
            sequences[i] = NULL;
            settled(context, &questions[i]);
        }
    }
    free(sequences);
}

/* ---- either ---- */

static lm_status open_endpoint(lm_asker_link *l, lm_err *err)
{
    const char *variable = l->o->key_variable, *key = variable ? getenv(variable) : NULL;
    l->url = url_of(l->o->endpoint);
    if (!variable) return LM_OK;
    if (!key) return lm_fail(err, LM_E_USAGE, "--key-variable %s: the environment has none of that name", variable);
    lm_str header = {0};
    lm_str_printf(&header, "Authorization: Bearer %s", key);
    l->authorisation = lm_str_take(&header);
    return LM_OK;
}

lm_status lm_asker_open(lm_asker_link **out, lm_asker *asker, const lm_call *call, const lm_asker_options *options, lm_err *err)
{
    lm_asker_link *l = *out = lm_calloc(1, sizeof *l);
    l->o = options;
    *asker = (lm_asker){ .ask = options->endpoint ? ask_there : ask_here, .self = l };
    return options->endpoint ? open_endpoint(l, err) : open_model(l, call, err);
}

void lm_asker_close(lm_asker_link *l)
{
    if (!l) return;
    lm_session_free(l->session);
    lm_turns_close(&l->turns);
    lm_generation_free(&l->defaults);
    lm_close(&l->m);
    free(l->url), free(l->authorisation);
    free(l);
}
