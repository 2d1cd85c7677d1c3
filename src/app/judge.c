#include "app/judge.h"

#include "app/turns.h"
#include "base/http.h"
#include "base/log.h"
#include "infer/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lm_judge {
    const lm_judge_options *o;
    char *url, *authorisation;               /* of an endpoint */
    lm_opened m;                             /* or a model, with its turns and session */
    lm_turns turns;
    lm_generation defaults;
    lm_session *session;
    uint64_t asked;
};

static lm_json *messages_of(const char *system, const char *question)
{
    lm_json *messages = json_array();
    if (system) json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", system));
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", question));
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
static lm_status read_reply(const lm_judge *j, lm_str *answer, long status, const lm_str *body, lm_err *err)
{
    lm_json *reply = lm_json_parse(body->data ? body->data : "", body->len, j->url, NULL);
    const char *text = json_string_value(json_object_get(json_object_get(json_array_get(json_object_get(reply, "choices"), 0), "message"), "content"));
    const char *wrong = json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
    if (status == 200 && text) lm_str_puts(answer, text);
    else if (status == 200) lm_fail(err, LM_E_FORMAT, "%s: expected choices[0].message.content, found another reply", j->url);
    else lm_fail(err, LM_E_IO, "%s: answered %ld%s%.300s", j->url, status, wrong ? ": " : "", wrong ? wrong : "");
    lm_json_free(reply);
    return status == 200 && text ? LM_OK : status == 200 ? LM_E_FORMAT : LM_E_IO;
}

static lm_status post(const lm_judge *j, lm_str *answer, lm_span body, bool *again, lm_err *err)
{
    const char *headers[] = { "Content-Type: application/json", j->authorisation, NULL };
    lm_str reply = {0};
    long code = 0;
    lm_status status = lm_http_post(&code, &reply, &(lm_http_request){ .url = j->url, .headers = headers, .body = body, .seconds = j->o->seconds }, err);
    *again = status == LM_E_IO || code == 429 || code >= 500;
    if (status == LM_OK) status = read_reply(j, answer, code, &reply, err);
    lm_str_free(&reply);
    return status;
}

/* Half a second, then twice as long each time. */
static lm_status ask_endpoint(const lm_judge *j, lm_str *answer, const lm_json *messages, lm_err *err)
{
    lm_str body = {0};
    lm_json *request = json_pack("{s:s, s:O, s:f, s:I, s:I}", "model", j->o->model, "messages", messages, "temperature", j->o->temperature,
                                 "max_tokens", (json_int_t)j->o->max_tokens, "seed", (json_int_t)j->o->seed);
    lm_json_text(&body, request, 0);
    lm_json_free(request);
    lm_status status = LM_E_IO;
    bool again = true;
    for (int64_t attempt = 0; status != LM_OK && again && attempt <= j->o->retries; attempt++) {
        if (attempt) usleep(500000u << (attempt < 6 ? attempt - 1 : 5));
        lm_err_clear(err);
        status = post(j, answer, lm_span_of(body.data, body.len), &again, err);
    }
    lm_str_free(&body);
    return status;
}

/* ---- a model of one's own ---- */

static lm_status open_model(lm_judge *j, const lm_call *call, lm_err *err)
{
    j->m.load_in = j->o->load_in;
    LM_TRY(lm_open(&j->m, call, j->o->model, NULL, j->o->dtype, err));
    LM_TRY(lm_open_tokenizer(&j->m, err));
    LM_TRY(lm_generation_read(&j->defaults, j->m.model->path, err));
    LM_TRY(lm_turns_open(&j->turns, &j->m, NULL, &j->defaults, err));
    const lm_session_options how = { .compute = j->m.compute, .eos = j->turns.ends, .n_eos = j->turns.n_ends };
    return lm_session_new(&j->session, j->m.model, &j->m.kernels, j->m.tokenizer, &how, err);
}

static lm_status ask_model(lm_judge *j, lm_str *answer, const lm_json *messages, lm_err *err)
{
    lm_ids ids = {0};
    lm_sequence *sequence = NULL;
    const char *stop = lm_turns_stop(&j->turns);
    const lm_strings stops = { (char **)(uintptr_t)&stop, stop ? 1 : 0 };
    lm_status status = lm_turns_encode(&j->turns, &ids, messages, err);
    if (status == LM_OK) {
        const lm_request wanted = { .prompt = ids.data, .n_prompt = (int64_t)ids.len, .max_new_tokens = j->o->max_tokens, .stop = &stops,
                                    .sampling = { .temperature = j->o->temperature, .top_p = 1, .repetition_penalty = 1, .seed = j->o->seed },
                                    .stream = j->asked++ };
        status = lm_session_add(j->session, &sequence, &wanted, err);
    }
    if (status == LM_OK) status = lm_session_run(j->session, err);
    if (status == LM_OK) lm_str_append(answer, sequence->text.data ? sequence->text.data : "", sequence->text.len);
    if (sequence) lm_session_drop(j->session, sequence);
    lm_ids_free(&ids);
    return status;
}

/* ---- either ---- */

lm_status lm_judge_open(lm_judge **out, const lm_call *call, const lm_judge_options *options, lm_err *err)
{
    lm_judge *j = *out = lm_calloc(1, sizeof *j);
    j->o = options;
    if (!options->endpoint) return open_model(j, call, err);
    j->url = url_of(options->endpoint);
    if (!options->key) return LM_OK;
    lm_str header = {0};
    lm_str_printf(&header, "Authorization: Bearer %s", options->key);
    j->authorisation = lm_str_take(&header);
    return LM_OK;
}

void lm_judge_close(lm_judge *j)
{
    if (!j) return;
    lm_session_free(j->session);
    lm_turns_close(&j->turns);
    lm_generation_free(&j->defaults);
    lm_close(&j->m);
    free(j->url), free(j->authorisation);
    free(j);
}

lm_status lm_judge_ask(lm_judge *j, lm_str *answer, const char *system, const char *question, lm_err *err)
{
    lm_json *messages = messages_of(system, question);
    lm_status status = (j->o->endpoint ? ask_endpoint(j, answer, messages, err) : ask_model(j, answer, messages, err));
    lm_json_free(messages);
    return status;
}
