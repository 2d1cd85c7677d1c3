/* What another program says.  It is started once and answers a line with a line:
 *
 *   to it      {"prompt": .., "completion": "..", and the row's other fields}
 *   from it    {"reward": 0.5}
 *
 * An answer that does not come in time (--reward-timeout), a program that ends, or a line that is not that: the
 * program is started anew and asked once more, then the answer is named. */
#include "base/child.h"
#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>

typedef struct program {
    char *command;
    double patience;
    lm_child child;
} program;

static lm_status open_program(void **own, const char *argument, const lm_reward_means *means, lm_err *err)
{
    (void)err;
    program *p = *own = lm_calloc(1, sizeof *p);
    *p = (program){ .command = lm_strdup(argument), .patience = means->patience };
    return LM_OK;
}

static void close_program(void *own)
{
    program *p = own;
    lm_child_stop(&p->child);
    free(p->command);
    free(p);
}

static void write_question(lm_str *out, const lm_attempt *a)
{
    lm_json *question = json_copy((json_t *)(uintptr_t)a->row);
    if (!lm_json_get(question, "prompt")) json_object_set(question, "prompt", json_object_get(question, "messages"));
    json_object_set_new(question, "completion", json_stringn(a->text.data, a->text.len));
    lm_str_clear(out);
    lm_json_text(out, question, 0);
    lm_json_free(question);
}

static lm_status read_answer(double *out, lm_span line, lm_err *err)
{
    enum { SHOWN = 60 };
    lm_json *answer = lm_json_parse(line.data ? line.data : "", line.len, "answer", NULL);
    const lm_json *reward = json_object_get(answer, "reward");
    bool given = json_is_number(reward) && isfinite(json_number_value(reward));
    if (given) *out = json_number_value(reward);
    lm_json_free(answer);
    if (given) return LM_OK;
    char *shown = lm_strndup(line.data ? line.data : "", lm_text_fit(line.data ? line.data : "", line.len, SHOWN));
    lm_one_line(shown);
    lm_fail(err, LM_E_FORMAT, "the program answered \"%s\", expected {\"reward\": NUMBER}", shown);
    free(shown);
    return LM_E_FORMAT;
}

static lm_status ask(program *p, double *out, const lm_str *question, lm_str *line, lm_err *err)
{
    if (!p->child.pid) LM_TRY(lm_child_start(&p->child, p->command, err));
    LM_TRY(lm_child_ask(&p->child, line, lm_span_of(question->data, question->len), p->patience, err));
    return read_answer(out, lm_span_of(line->data, line->len), err);
}

static lm_status score(void *own, double *out, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    program *p = own;
    lm_str question = {0}, line = {0};
    lm_status status = LM_OK;
    for (int64_t i = 0; i < n && status == LM_OK; i++) {
        write_question(&question, &attempts[i]);
        for (int tries = 0; tries < 2; tries++) {
            lm_err why = {0};
            status = ask(p, &out[i], &question, &line, &why);
            if (status == LM_OK) break;
            lm_child_stop(&p->child);
            if (tries) lm_fail(err, why.code, "an answer to %s: asked twice: %s", attempts[i].place, why.message);
        }
    }
    lm_str_free(&question);
    lm_str_free(&line);
    return status;
}

const lm_reward lm_reward_program = {
    .name = "program", .help = "what a program answers: a line {\"reward\": ..} to a line {\"prompt\", \"completion\", ..}",
    .argument = "COMMAND", .needs_argument = true, .open = open_program, .close = close_program, .score = score,
};
