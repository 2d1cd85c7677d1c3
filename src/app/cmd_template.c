/* malmoi template: a conversation as a model's chat template writes it. */
#include "app/command.h"

#include "base/file.h"
#include "data/chat.h"

#include <stdlib.h>
#include <string.h>

typedef struct template_options {
    const char *messages, *tools, *file;
    lm_strings set;
    bool prompt, answers, json;
} template_options;

static const lm_option options[] = {
    LM_OPTION(STRING, template_options, messages, "messages", .metavar = "FILE", .required = true,
              .help = "JSON: a list of messages, or an object with \"messages\" and perhaps \"tools\""),
    LM_OPTION(STRING, template_options, tools, "tools", .metavar = "FILE", .help = "JSON: a list of tools"),
    LM_OPTION(STRING, template_options, file, "template", .metavar = "FILE", .help = "a template to use instead of the model's"),
    LM_OPTION(FLAG, template_options, prompt, "add-generation-prompt", .help = "end with what asks for an answer"),
    LM_OPTION(LIST, template_options, set, "set", .metavar = "NAME=VALUE",
              .help = "a variable of the template, as JSON or else as text; may be repeated"),
    LM_OPTION(FLAG, template_options, answers, "answers", .help = "find what the assistant wrote; printed in colour"),
    LM_OPTION(FLAG, template_options, json, "json", .help = "one JSON object: text, ids, and byte ranges of data and answers"),
    { 0 },
};

/* What one run holds. */
typedef struct view {
    const template_options *o;
    lm_tokenizer *tokenizer;             /* NULL when only a template's file is given */
    lm_chat_template *template;
    lm_json *document, *tools, *variables;
    lm_marked text;
    lm_ids ids;
} view;

/* ---- input ------------------------------------------------------------------------------ */

static lm_status read_variables(view *v, lm_err *err)
{
    v->variables = json_object();
    for (int i = 0; i < v->o->set.n; i++) {
        const char *item = v->o->set.items[i], *value = strchr(item, '=');
        if (!value || value == item) return lm_fail(err, LM_E_USAGE, "--set %s: expected NAME=VALUE", item);
        lm_json *parsed = lm_json_parse(value + 1, strlen(value + 1), item, NULL);
        char *name = lm_strndup(item, (size_t)(value - item));
        json_object_set_new(v->variables, name, parsed ? parsed : lm_json_utf8(value + 1, strlen(value + 1)));
        free(name);
    }
    return LM_OK;
}

static lm_status read_template(view *v, const char *path, lm_err *err)
{
    if (lm_is_dir(path)) {
        LM_TRY(lm_tokenizer_load(&v->tokenizer, path, err));
        return lm_chat_template_load(&v->template, path, v->tokenizer, v->o->file, err);
    }
    lm_str text;
    LM_TRY(lm_file_read(&text, path, 16 << 20, err));
    lm_status status = lm_chat_template_new(&v->template, text.data ? text.data : "", path, NULL, err);
    lm_str_free(&text);
    return status;
}

static lm_status read_all(view *v, const char *path, lm_err *err)
{
    LM_TRY(read_template(v, path, err));
    v->document = lm_json_read(v->o->messages, err);
    if (!v->document) return err->code;
    if (v->o->tools && !(v->tools = lm_json_read(v->o->tools, err))) return err->code;
    return read_variables(v, err);
}

static lm_status render(view *v, lm_err *err)
{
    bool object = json_is_object(v->document);
    const lm_chat chat = {
        .messages = object ? lm_json_get(v->document, "messages") : v->document,
        .tools = v->tools ? v->tools : object ? lm_json_get(v->document, "tools") : NULL,
        .variables = v->variables, .prompt = v->o->prompt,
    };
    if (v->o->answers && v->o->prompt) return lm_fail(err, LM_E_USAGE, "--answers and --add-generation-prompt exclude each other");
    LM_TRY(v->o->answers ? lm_chat_render_answers(v->template, &v->text, &chat, err) : lm_chat_render(v->template, &v->text, &chat, err));
    if (!v->tokenizer || !v->o->json) return LM_OK;
    lm_encoder *encoder = lm_encoder_new(v->tokenizer);
    lm_status status = lm_chat_encode(encoder, &v->ids, &v->text, err);
    lm_encoder_free(encoder);
    return status;
}

/* ---- output ----------------------------------------------------------------------------- */

static bool marked(const lm_marked *m, size_t i, int mark) { return i < m->marks.len && (m->marks.data[i] & mark); }

/* [[begin, end], ..] of the bytes that bear the mark. */
static lm_json *ranges(const lm_marked *m, int mark)
{
    lm_json *list = json_array();
    for (size_t i = 0, begin = 0; i <= m->text.len; i++) {
        bool now = marked(m, i, mark), before = i > 0 && marked(m, i - 1, mark);
        if (now && !before) begin = i;
        if (before && !now) json_array_append_new(list, json_pack("[I, I]", (json_int_t)begin, (json_int_t)i));
    }
    return list;
}

static void print_json(const view *v)
{
    lm_json *doc = json_object();
    json_object_set_new(doc, "text", lm_json_utf8(v->text.text.data ? v->text.text.data : "", v->text.text.len));
    json_object_set_new(doc, "data", ranges(&v->text, LM_MARK_DATA));
    if (v->o->answers) json_object_set_new(doc, "answers", ranges(&v->text, LM_MARK_ANSWER));
    if (v->tokenizer) {
        lm_json *ids = json_array();
        for (size_t i = 0; i < v->ids.len; i++) json_array_append_new(ids, json_integer(v->ids.data[i]));
        json_object_set_new(doc, "ids", ids);
    }
    lm_print_json(doc);
}

static void print_text(const view *v)
{
    const lm_marked *m = &v->text;
    for (size_t i = 0; i < m->text.len; i++) {
        bool now = marked(m, i, LM_MARK_ANSWER), before = i > 0 && marked(m, i - 1, LM_MARK_ANSWER);
        if (now != before) fputs(now ? "\033[32m" : "\033[0m", stdout);
        putchar(m->text.data[i]);
    }
    if (m->text.len && marked(m, m->text.len - 1, LM_MARK_ANSWER)) fputs("\033[0m", stdout);
}

static lm_status run(lm_call *call, lm_err *err)
{
    LM_TRY(lm_call_args(call, 1, 1, "one MODEL or template FILE", err));
    view v = { .o = call->values };
    lm_status status = read_all(&v, call->args.items[0], err);
    if (status == LM_OK) status = render(&v, err);
    if (status == LM_OK && v.o->json) print_json(&v);
    else if (status == LM_OK) print_text(&v);
    lm_ids_free(&v.ids);
    lm_marked_free(&v.text);
    lm_json_free(v.variables);
    lm_json_free(v.tools);
    lm_json_free(v.document);
    lm_chat_template_free(v.template);
    lm_tokenizer_free(v.tokenizer);
    return status;
}

const lm_command lm_command_template = {
    .name = "template",
    .group = "data",
    .summary = "print a conversation as a model's chat template writes it",
    .usage = "MODEL|FILE.jinja --messages FILE [options]",
    .example = "malmoi template MODEL --messages chat.json --add-generation-prompt\n"
               "malmoi template chat_template.jinja --messages chat.json --answers",
    .options = options,
    .values_size = sizeof(template_options),
    .run = run,
};
