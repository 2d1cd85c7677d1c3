/* malmoi generate: continues one prompt as it is computed, or many prompts together. */
#include "app/command.h"
#include "app/open.h"
#include "app/prompts.h"
#include "app/sampling.h"

#include "base/log.h"
#include "base/signal.h"
#include "infer/generation.h"
#include "infer/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct generate_options {
    const char *model, *load_in, *prompt, *prompt_file, *system, *template;
    int64_t max_new_tokens, samples, context;
    lm_strings adapter, stop;
    int dtype;
    bool chat, bos, special, echo, ignore_eos, slide, force, together, json;
} generate_options;

static const lm_option options[] = {
    LM_OPTION(STRING, generate_options, model, "model", .metavar = "FOLDER", .help = "the model; may also stand first"),
    LM_OPTION_ADAPTER(generate_options),
    LM_OPTION(STRING, generate_options, prompt, "prompt", .letter = 'p', .help = "the text to continue"),
    LM_OPTION(STRING, generate_options, prompt_file, "prompt-file", .metavar = "FILE",
              .help = "a prompt on each line, or JSONL with \"prompt\" or \"messages\", and \"adapter\"; - reads standard input"),
    LM_OPTION(FLAG, generate_options, chat, "chat", .help = "the prompt is what a user says: apply the chat template"),
    LM_OPTION(STRING, generate_options, system, "system", .help = "with --chat, what the model is told first"),
    LM_OPTION(STRING, generate_options, template, "chat-template", .metavar = "FILE", .help = "a template to use instead of the model's"),
    LM_OPTION(INT, generate_options, max_new_tokens, "max-new-tokens", .letter = 'n', .fallback = "256", .min = -1,
              .max = 1 << 30, .help = "tokens to generate (-1: until the model ends or the context is full)"),
    LM_OPTION(INT, generate_options, samples, "samples", .fallback = "1", .min = 1, .max = 1 << 20,
              .help = "continuations of each prompt"),
    LM_OPTION(LIST, generate_options, stop, "stop", .metavar = "TEXT", .help = "end before this text; may be repeated"),
    LM_OPTION(INT, generate_options, context, "context", .fallback = "0", .max = 1 << 30,
              .help = "tokens that prompt and answer may take (0: the model's limit)"),
    LM_OPTION(FLAG, generate_options, slide, "slide", .help = "when the context is full, forget its older half and go on"),
    LM_OPTION(FLAG, generate_options, bos, "bos", .fallback = "true", .help = "begin with the tokenizer's first token"),
    LM_OPTION(FLAG, generate_options, special, "special",
              .help = "special tokens that are written in the prompt are those tokens, not plain text"),
    LM_OPTION(FLAG, generate_options, ignore_eos, "ignore-eos", .help = "go on where the model would end"),
    LM_OPTION(FLAG, generate_options, echo, "echo", .help = "print the prompt before its continuation"),
    LM_OPTION_LOAD_IN(generate_options),
    LM_OPTION_ANY_BASE(generate_options),
    LM_OPTION(CHOICE, generate_options, dtype, "dtype", .fallback = "auto", .choices = lm_dtype_choices,
              .help = "type to compute in"),
    LM_OPTION(FLAG, generate_options, json, "json", .help = "one JSON object per continuation"),
    LM_OPTION(FLAG, generate_options, together, "together", .help = "one JSON object per prompt, its different continuations in \"completions\", as score and objectives of ranked answers read them"),
    { 0 },
};

/* One run of the command. */
typedef struct generate {
    const generate_options *o;
    const lm_sampling *sampling;
    lm_opened m;
    lm_generation defaults;
    lm_turns turns;                      /* opened with --chat */
    lm_strings stop;                     /* the user's, and what ends a plain chat's answer */
    lm_prompts prompts;
    lm_session *session;
    lm_sequence **sequences;             /* [prompts.n * o->samples], the samples of a prompt side by side */
    int64_t n;
    double began, first;                 /* when, in seconds; first: the first piece of text */
} generate;

/* With --chat, what ends an answer is the template's business as well. */
static lm_status open_turns(generate *g, lm_err *err)
{
    const generate_options *o = g->o;
    if (o->chat) LM_TRY(lm_turns_open(&g->turns, &g->m, o->template, &g->defaults, err));
    const char *end = o->chat ? lm_turns_stop(&g->turns) : NULL;
    g->stop.items = lm_calloc((size_t)o->stop.n + 1, sizeof *g->stop.items);
    for (int i = 0; i < o->stop.n; i++) g->stop.items[g->stop.n++] = o->stop.items[i];
    if (end) g->stop.items[g->stop.n++] = (char *)(uintptr_t)end;
    return LM_OK;
}

static lm_status read_prompts(generate *g, lm_err *err)
{
    const generate_options *o = g->o;
    lm_prompt_form form = { .tokenizer = g->m.tokenizer, .bos = o->bos, .special = o->special,
                            .turns = o->chat ? &g->turns : NULL, .system = o->system, .adapters = &g->m.adapters };
    if (o->prompt_file) return lm_prompts_read(&g->prompts, o->prompt_file, &form, err);
    return lm_prompts_add(&g->prompts, o->prompt, strlen(o->prompt), &form, err);
}

/* Enough rows for all sequences, but no more than the larger of one context and 2 GiB: the rest waits. */
static int64_t choose_rows(const generate *g)
{
    const lm_config *c = &g->m.model->config;
    int64_t context = g->o->context > 0 ? g->o->context : g->m.model->config.max_positions, rows = 0;
    int64_t bytes = 2 * c->n_layers * c->n_kv_heads * c->head_dim * (int64_t)lm_dtype_size(g->m.compute);
    int64_t most = ((int64_t)2 << 30) / bytes;
    if (most < context) most = context;
    for (int64_t i = 0; i < g->prompts.n && rows < most; i++) rows += g->o->samples * context;
    return rows < most ? rows : most;
}

/* An adapter with a name acts only where it is asked for. */
static void warn_of_idle(const generate *g)
{
    for (int i = 0; i < g->m.adapters.n; i++) {
        const lm_opened_adapter *a = &g->m.adapters.items[i];
        bool used = !a->name;
        for (int64_t j = 0; j < g->prompts.n && !used; j++) used = !(g->prompts.items[j].off >> a->a->slot & 1);
        if (!used) lm_log(LM_LOG_WARN, "no prompt asks for the adapter %s: rows of --prompt-file do, with \"adapter\": \"%s\"", a->name, a->name);
    }
}

/* A single continuation appears as it is made. */
static bool stream_text(lm_sequence *sequence, const char *text, size_t n, void *context)
{
    (void)sequence;
    generate *g = context;
    if (g->first == 0) g->first = lm_now();
    if (g->o->json || g->o->together || g->n > 1) return true;
    return fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0;
}

static lm_status add_sequences(generate *g, lm_err *err)
{
    const generate_options *o = g->o;
    g->n = g->prompts.n * o->samples;
    g->sequences = lm_calloc((size_t)g->n, sizeof *g->sequences);
    for (int64_t i = 0; i < g->n; i++) {
        const lm_prompt *prompt = &g->prompts.items[i / o->samples];
        lm_request request = {
            .prompt = prompt->ids.data, .n_prompt = (int64_t)prompt->ids.len, .sampling = *g->sampling,
            .stream = (uint64_t)i, .max_new_tokens = o->max_new_tokens, .stop = &g->stop,
            .ignore_eos = o->ignore_eos, .slide = o->slide, .on_text = stream_text, .context = g, .off = prompt->off,
        };
        if (lm_session_add(g->session, &g->sequences[i], &request, err) == LM_OK) continue;
        return g->prompts.n > 1 ? lm_context(err, "prompt %lld", (long long)(i / o->samples + 1)) : err->code;
    }
    return LM_OK;
}

/* Steps until all are done, or Ctrl-C: then what there is stands. */
static lm_status decode(generate *g, lm_err *err)
{
    for (int64_t live = 1; live > 0;) {
        LM_TRY(lm_session_step(g->session, &live, err));
        if (!lm_interrupted()) continue;
        for (int64_t i = 0; i < g->n; i++) lm_sequence_cancel(g->sequences[i]);
        return LM_E_INTERRUPT;
    }
    return LM_OK;
}

static void print_one(const generate *g, int64_t i)
{
    const lm_sequence *q = g->sequences[i];
    const lm_prompt *prompt = &g->prompts.items[i / g->o->samples];
    int64_t n_new = (int64_t)q->ids.len - q->n_prompt;
    if (g->o->json) {
        lm_print_json(json_pack("{s:o, s:o, s:s, s:I, s:I}", "prompt", lm_json_utf8(prompt->text, strlen(prompt->text)),
                                "text", lm_json_utf8(q->text.data, q->text.len), "finish", lm_finish_name(q->finish),
                                "prompt_tokens", (json_int_t)q->n_prompt, "tokens", (json_int_t)n_new));
        return;
    }
    if (g->n > 1) {
        printf("%s== %lld\n%s", i ? "\n" : "", (long long)(i + 1), g->o->echo ? prompt->text : "");
        fwrite(q->text.data, 1, q->text.len, stdout);
    }
    putchar('\n');
}

/* A prompt and its different continuations; false where they are fewer than two: nothing to compare. */
static bool print_together(const generate *g, int64_t prompt)
{
    const char *text = g->prompts.items[prompt].text;
    lm_json *completions = json_array();
    for (int64_t i = 0; i < g->o->samples; i++) {
        const lm_str *said = &g->sequences[prompt * g->o->samples + i]->text;
        lm_json *one = lm_json_utf8(said->data, said->len);
        if (said->len && !lm_json_lists(completions, lm_span_of(json_string_value(one), json_string_length(one)))) json_array_append(completions, one);
        lm_json_free(one);
    }
    bool enough = json_array_size(completions) > 1;
    if (enough) lm_print_json(json_pack("{s:o, s:O}", "prompt", lm_json_utf8(text, strlen(text)), "completions", completions));
    lm_json_free(completions);
    return enough;
}

static void print_all(const generate *g)
{
    int64_t few = 0;
    for (int64_t i = 0; i < g->n && !g->o->together; i++) print_one(g, i);
    for (int64_t i = 0; i < g->prompts.n && g->o->together; i++) few += !print_together(g, i);
    if (few) lm_log(LM_LOG_WARN, "%lld of %lld prompts have fewer than two different continuations and are left out", (long long)few, (long long)g->prompts.n);
}

static void report(const generate *g)
{
    double now = lm_now(), took = now - g->began;
    int64_t tokens = 0, full = 0, slid = 0;
    for (int64_t i = 0; i < g->n; i++) {
        tokens += (int64_t)g->sequences[i]->ids.len - g->sequences[i]->n_prompt;
        full += g->sequences[i]->finish == LM_FINISH_CONTEXT;
        slid += g->sequences[i]->slides;
    }
    if (full) lm_log(LM_LOG_WARN, "%lld of %lld continuations ended because the context of %lld tokens is full",
                     (long long)full, (long long)g->n, (long long)lm_session_context(g->session));
    if (slid) lm_log(LM_LOG_WARN, "the context was full and slid %lld times", (long long)slid);
    lm_log(LM_LOG_DEBUG, "first text after %.0f ms; %lld tokens in %.2f s (%.1f tokens/s)",
           1e3 * ((g->first > 0 ? g->first : now) - g->began), (long long)tokens, took, (double)tokens / took);
}

static lm_status work(generate *g, const lm_call *call, const char *model, lm_err *err)
{
    const generate_options *o = g->o;
    LM_TRY(lm_generation_read(&g->defaults, model, err));
    g->m.load_in = o->load_in;
    g->m.foreign = o->force ? LM_FOREIGN_WARNED : LM_FOREIGN_REFUSED;
    LM_TRY(lm_open(&g->m, call, model, &o->adapter, o->dtype, err));
    LM_TRY(lm_open_tokenizer(&g->m, err));
    LM_TRY(open_turns(g, err));
    LM_TRY(read_prompts(g, err));
    warn_of_idle(g);
    const lm_session_options how = { .context = o->context, .rows = choose_rows(g), .compute = g->m.compute,
                                     .eos = o->chat ? g->turns.ends : g->defaults.eos,
                                     .n_eos = o->chat ? g->turns.n_ends : g->defaults.n_eos };
    LM_TRY(lm_session_new(&g->session, g->m.model, &g->m.kernels, g->m.tokenizer, &how, err));
    LM_TRY(add_sequences(g, err));
    if (o->echo && !o->json && !o->together && g->n == 1) fputs(g->prompts.items[0].text, stdout);

    lm_interrupt_watch();
    lm_status status = decode(g, err);
    if (status != LM_OK && status != LM_E_INTERRUPT) return status;
    print_all(g);
    report(g);
    return status;
}

static lm_status run(lm_call *call, lm_err *err)
{
    generate g = { .o = call->values, .sampling = call->own, .began = lm_now() };
    const char *model;
    int next;
    LM_TRY(lm_call_model(call, g.o->model, &model, &next, err));
    LM_TRY(lm_call_args(call, next, next, "one MODEL", err));
    if (!g.o->prompt == !g.o->prompt_file) {
        return lm_fail(err, LM_E_USAGE, "generate: expected --prompt TEXT or --prompt-file FILE, one of them");
    }
    lm_status status = work(&g, call, model, err);
    lm_session_free(g.session);
    free(g.sequences);
    free(g.stop.items);
    lm_turns_close(&g.turns);
    lm_prompts_free(&g.prompts);
    lm_generation_free(&g.defaults);
    lm_close(&g.m);
    return status;
}

const lm_command lm_command_generate = {
    .name = "generate",
    .group = "models",
    .summary = "continue a text",
    .usage = "MODEL --prompt TEXT [options]",
    .example = "malmoi generate MODEL --prompt \"Once upon a time\" --max-new-tokens 100\n"
               "malmoi generate MODEL --chat --prompt \"Why is the sky blue?\"\n"
               "malmoi generate MODEL --prompt-file prompts.txt --greedy --json\n"
               "malmoi generate MODEL --adapter law=LAW,poem=POEM --prompt-file rows.jsonl",
    .notes = "Sampling settings that are not given come from the model's generation_config.json where it has them.\n"
             "The same seed gives the same text, alone or among other prompts, and with the adapters that a prompt asks\n"
             "for (\"adapter\": \"law\", or a list) the text that they give alone.",
    .options = options,
    .values_size = sizeof(generate_options),
    .prepare = lm_call_sampling,
    .run = run,
};
