/* What a document is about, by a model that `malmoi data learn --kind topics` made (data/topics.h): each has the topic whose
 * centre is nearest, and none where it shares no word with any. */
#include "data/filter.h"

#include "data/labelled.h"
#include "data/topics.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model;
    lm_strings keep, drop;
} settings;

static const lm_option options[] = {
    LM_OPTION(STRING, settings, model, "model", .metavar = "FILE", .help = "what `malmoi data learn --kind topics` made"),
    LM_OPTION(LIST, settings, keep, "keep", .metavar = "TOPIC+...", .help = "only these, by their names or by their numbers from 0"),
    LM_OPTION(LIST, settings, drop, "drop", .metavar = "TOPIC+...", .help = "none of these"),
    { 0 },
};

typedef struct state {
    lm_linear *model;
    bool *wanted;                        /* of each topic; the last is that of documents without one */
} state;

static lm_status mark(const state *s, const lm_strings *topics, bool wanted, lm_err *err)
{
    for (int i = 0; i < topics->n; i++) {
        int64_t topic = lm_label_find(lm_linear_labels(s->model), topics->items[i]);
        if (topic < 0) return lm_label_unknown(lm_linear_labels(s->model), topics->items[i], err);
        s->wanted[topic] = wanted;
    }
    return LM_OK;
}

static lm_status open_model(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    state *s = use->state = lm_calloc(1, sizeof *s);
    if (!o->model || !o->keep.n == !o->drop.n) return lm_fail(err, LM_E_USAGE, "expected model=FILE and either keep=TOPIC or drop=TOPIC");
    LM_TRY(lm_linear_load(&s->model, lm_topic_model, o->model, err));
    size_t n = (size_t)lm_linear_labels(s->model)->n + 1;
    s->wanted = lm_calloc(n, sizeof *s->wanted);
    for (size_t i = 0; i < n; i++) s->wanted[i] = !o->keep.n;
    LM_TRY(mark(s, &o->keep, true, err));
    return mark(s, &o->drop, false, err);
}

static void close_model(void *state_)
{
    state *s = state_;
    lm_linear_free(s->model);
    free(s->wanted);
    free(s);
}

static const lm_strings *kinds(const lm_filter_use *use) { return lm_linear_labels(((const state *)use->state)->model); }

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const state *s = use->state;
    const lm_strings *names = lm_linear_labels(s->model);
    lm_buckets room = {0};
    int topic = doc->kind = lm_topic_of(s->model, &room, doc->text, NULL);
    lm_buckets_free(&room);
    return s->wanted[topic < 0 ? names->n : topic] ? true : lm_reject(doc, "%.150s", topic < 0 ? "no topic" : names->items[topic]);
}

const lm_filter lm_filter_topics = {
    .name = "topics", .source = "Dhillon and Modha 2001; learned from one's own texts",
    .help = "what it is about, by a model of a corpus' topics",
    .options = options, .options_size = sizeof(settings), .kinds = kinds, .open = open_model, .close = close_model, .apply = apply,
};
