/* malmoi chat: a conversation in the terminal, or over a pipe (a line in, an answer out).
 *
 * The whole conversation is rendered for each turn and handed to the same sequence, whose cache keeps what
 * has not changed, so a turn costs only its own tokens. */
#include "app/command.h"
#include "app/open.h"
#include "app/sampling.h"
#include "app/turns.h"

#include "base/file.h"
#include "base/log.h"
#include "base/signal.h"
#include "infer/generation.h"
#include "infer/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct chat_options {
    const char *model, *load_in, *system, *template;
    lm_strings adapter;
    int64_t max_new_tokens, context;
    int dtype;
    bool forget, force;
} chat_options;

static const lm_option options[] = {
    LM_OPTION(STRING, chat_options, model, "model", .metavar = "FOLDER", .help = "the model; may also stand first"),
    LM_OPTION_ADAPTER(chat_options),
    LM_OPTION(STRING, chat_options, system, "system", .help = "what the model is told first"),
    LM_OPTION(STRING, chat_options, template, "chat-template", .metavar = "FILE", .help = "a template to use instead of the model's"),
    LM_OPTION(INT, chat_options, max_new_tokens, "max-new-tokens", .letter = 'n', .fallback = "1024", .min = 1,
              .max = 1 << 30, .help = "longest answer, in tokens"),
    LM_OPTION(INT, chat_options, context, "context", .fallback = "0", .max = 1 << 30,
              .help = "tokens that the conversation may take (0: the model's limit)"),
    LM_OPTION(FLAG, chat_options, forget, "forget", .help = "when the context is full, drop the oldest turns and say so"),
    LM_OPTION_LOAD_IN(chat_options),
    LM_OPTION_ANY_BASE(chat_options),
    LM_OPTION(CHOICE, chat_options, dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices,
              .help = "type to compute in"),
    { 0 },
};

#define CHAT_COMMANDS                                                                     \
    "  /reset        begin anew\n"                                                        \
    "  /system TEXT  begin anew, and tell the model this first\n"                         \
    "  /save FILE    the conversation so far, as a line that `train sft` reads\n"         \
    "  /help         this list\n"                                                         \
    "  /quit         leave (also Ctrl-D)\n"                                               \
    "  Ctrl-C        stops an answer\n"

typedef struct chat {
    const chat_options *o;
    const lm_sampling *sampling;
    lm_opened m;
    lm_generation defaults;
    lm_turns turns;
    lm_session *session;
    lm_sequence *sequence;               /* NULL before the first turn */
    lm_json *messages;
    bool terminal;
} chat;

/* ---- the conversation as text ------------------------------------------------------- */

static void add_message(chat *c, const char *role, const char *text, size_t n)
{
    json_array_append_new(c->messages, json_pack("{s:s, s:o}", "role", role, "content", lm_json_utf8(text, n)));
}

static void reset(chat *c, const char *system)
{
    json_array_clear(c->messages);
    if (system && *system) add_message(c, "system", system, strlen(system));
}

/* Takes the oldest turn out, behind what the system said; false when the last question is all there is. */
static bool forget_oldest(chat *c)
{
    size_t first = 0, n = json_array_size(c->messages);
    const char *role = json_string_value(json_object_get(json_array_get(c->messages, 0), "role"));
    if (role && strcmp(role, "system") == 0) first = 1;
    if (n < first + 3) return false;
    json_array_remove(c->messages, first);
    json_array_remove(c->messages, first);
    return true;
}

/* ---- a turn --------------------------------------------------------------------------- */

/* Without the spaces that a model puts before its answer. */
static bool print_text(lm_sequence *sequence, const char *text, size_t n, void *context)
{
    (void)context;
    size_t lead = strspn(sequence->text.data, " ");
    size_t from = sequence->emitted - n;                     /* where this piece begins */
    size_t skip = lead <= from ? 0 : lead - from < n ? lead - from : n;
    return fwrite(text + skip, 1, n - skip, stdout) == n - skip && fflush(stdout) == 0;
}

/* Renders until the conversation fits the context with room for an answer. */
static lm_status render_to_fit(chat *c, lm_ids *ids, lm_err *err)
{
    int64_t context = lm_session_context(c->session), dropped = 0;
    for (;;) {
        lm_ids_clear(ids);
        LM_TRY(lm_turns_encode(&c->turns, ids, c->messages, err));
        if ((int64_t)ids->len < context) break;
        if (!c->o->forget || !forget_oldest(c)) {
            return lm_fail(err, LM_E_MISMATCH, "the conversation has %zu tokens and the context holds %lld: /reset, or start with --forget",
                           ids->len, (long long)context);
        }
        dropped++;
    }
    if (dropped) lm_log(LM_LOG_WARN, "the context was full: the oldest %lld turns are forgotten", (long long)dropped);
    return LM_OK;
}

static lm_status decode(chat *c, lm_err *err)
{
    lm_interrupt_clear();
    for (int64_t live = 1; live > 0;) {
        LM_TRY(lm_session_step(c->session, &live, err));
        if (!lm_interrupted()) continue;
        lm_sequence_cancel(c->sequence);
        lm_interrupt_clear();
        live = 0;
    }
    if (c->sequence->finish == LM_FINISH_CONTEXT) lm_log(LM_LOG_WARN, "the context is full: /reset to begin anew");
    return LM_OK;
}

/* Answers the last message.  On failure the conversation is as it was before that message. */
static lm_status answer(chat *c, lm_err *err)
{
    char *text_end = (char *)(uintptr_t)lm_turns_stop(&c->turns);
    const lm_strings stop = { .items = &text_end, .n = text_end != NULL };
    lm_ids ids = { 0 };
    lm_status status = render_to_fit(c, &ids, err);
    if (status == LM_OK) {
        const lm_request request = { .prompt = ids.data, .n_prompt = (int64_t)ids.len, .sampling = *c->sampling,
                                     .stream = json_array_size(c->messages), .max_new_tokens = c->o->max_new_tokens,
                                     .stop = &stop, .keep = true, .on_text = print_text };
        if (c->sequence) status = lm_session_continue(c->session, c->sequence, &request, err);
        else status = lm_session_add(c->session, &c->sequence, &request, err);
    }
    lm_ids_free(&ids);
    if (status == LM_OK) status = decode(c, err);
    if (status != LM_OK) {
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
        return status;
    }
    const lm_str *text = &c->sequence->text;
    size_t lead = text->len ? strspn(text->data, " ") : 0, n = text->len;
    while (n > lead && strchr(" \n", text->data[n - 1])) n--;
    add_message(c, "assistant", text->data + lead, n - lead);
    puts(c->terminal ? "\n" : "");
    return LM_OK;
}

/* ---- commands -------------------------------------------------------------------------- */

static lm_status save(const chat *c, const char *path, lm_err *err)
{
    if (!*path) return lm_fail(err, LM_E_USAGE, "/save: expected a file's name");
    lm_json *row = json_pack("{s:O}", "messages", c->messages);
    lm_str text = { 0 };
    lm_json_text(&text, row, 0);
    lm_str_putc(&text, '\n');
    lm_status status = lm_file_write(path, text.data, text.len, err);
    if (status == LM_OK) lm_log(LM_LOG_INFO, "saved %zu messages to %s", json_array_size(c->messages), path);
    lm_str_free(&text);
    lm_json_free(row);
    return status;
}

/* Does what a line that begins with "/" says; *quit ends the chat. */
static lm_status obey(chat *c, const char *line, bool *quit, lm_err *err)
{
    size_t n = strcspn(line, " ");
    const char *rest = line + n + strspn(line + n, " ");
    const lm_span word = lm_span_of(line, n);
    if (lm_span_eq(word, "/quit") || lm_span_eq(word, "/exit")) *quit = true;
    else if (lm_span_eq(word, "/reset")) reset(c, c->o->system);
    else if (lm_span_eq(word, "/system")) reset(c, rest);
    else if (lm_span_eq(word, "/save")) return save(c, rest, err);
    else if (lm_span_eq(word, "/help")) fputs(CHAT_COMMANDS, stderr);
    else return lm_fail(err, LM_E_USAGE, "%.*s: no such command; /help lists them", (int)n, line);
    return LM_OK;
}

/* ---- the loop --------------------------------------------------------------------------- */

/* A line of stdin without its end; false when there is none. */
static bool read_line(const chat *c, lm_str *line)
{
    if (c->terminal) fputs("> ", stdout), fflush(stdout);
    lm_str_clear(line);
    for (int byte; (byte = getchar()) != '\n';) {
        if (byte == EOF && line->len == 0) return false;
        if (byte == EOF) break;
        lm_str_putc(line, (char)byte);
    }
    if (line->len && line->data[line->len - 1] == '\r') line->data[--line->len] = '\0';
    return true;
}

/* A turn that fails is told and the chat goes on; over a pipe it ends, since nobody is there to read it. */
static lm_status converse(chat *c, lm_err *err)
{
    lm_str line = { 0 };
    lm_status status = LM_OK;
    for (bool quit = false; !quit && status == LM_OK && read_line(c, &line) && !ferror(stdout);) {
        if (line.len == 0) continue;
        lm_err turn = { 0 };
        if (line.data[0] == '/') {
            obey(c, line.data, &quit, &turn);
        } else {
            add_message(c, "user", line.data, line.len);
            answer(c, &turn);
        }
        if (turn.code == LM_OK) continue;
        if (c->terminal) fprintf(stderr, "malmoi: %s\n", turn.message);
        else status = lm_fail(err, turn.code, "%s", turn.message);
    }
    if (c->terminal) putchar('\n');
    lm_str_free(&line);
    return status;
}

static lm_status work(chat *c, const lm_call *call, const char *model, lm_err *err)
{
    const chat_options *o = c->o;
    LM_TRY(lm_generation_read(&c->defaults, model, err));
    c->m.load_in = o->load_in;
    c->m.foreign = o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(&c->m, call, model, &o->adapter, o->dtype, err));
    LM_TRY(lm_open_tokenizer(&c->m, err));
    LM_TRY(lm_turns_open(&c->turns, &c->m, o->template, &c->defaults, err));
    const lm_session_options how = { .context = o->context, .compute = c->m.compute, .eos = c->turns.ends,
                                     .n_eos = c->turns.n_ends };
    LM_TRY(lm_session_new(&c->session, c->m.model, &c->m.kernels, c->m.tokenizer, &how, err));
    if (c->terminal && !call->common.quiet) fprintf(stderr, "%s\n" CHAT_COMMANDS, model);
    reset(c, o->system);
    lm_interrupt_watch();
    return converse(c, err);
}

static lm_status run(lm_call *call, lm_err *err)
{
    chat c = { .o = call->values, .sampling = call->own, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) };
    const char *model;
    int next;
    LM_TRY(lm_call_model(call, c.o->model, &model, &next, err));
    LM_TRY(lm_call_args(call, next, next, "one MODEL", err));
    c.messages = json_array();
    lm_status status = work(&c, call, model, err);
    lm_session_free(c.session);
    lm_turns_close(&c.turns);
    lm_json_free(c.messages);
    lm_generation_free(&c.defaults);
    lm_close(&c.m);
    return status;
}

const lm_command lm_command_chat = {
    .name = "chat",
    .group = "models",
    .summary = "talk with a model",
    .usage = "MODEL [options]",
    .example = "malmoi chat MODEL --adapter TUNED\n"
               "echo \"Why is the sky blue?\" | malmoi chat MODEL",
    .notes = "In the chat\n" CHAT_COMMANDS
             "A model without a chat template is given \"User: ...\" and \"Assistant: ...\", a blank line after each.",
    .options = options,
    .values_size = sizeof(chat_options),
    .prepare = lm_call_sampling,
    .run = run,
};
