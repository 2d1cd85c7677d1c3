/* What a document is about, by a model that `malmoi data learn --kind topics` made (data/topics.h): each has the topic whose
 * centre is nearest, and none where it shares no word with any. */
#include "data/filter/learned.h"

#include "data/labelled.h"
#include "data/topics.h"

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

static lm_status mark(const lm_learned *s, const lm_strings *topics, bool wanted, lm_err *err)
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
    if (!o->model || !o->keep.n == !o->drop.n) return lm_fail(err, LM_E_USAGE, "expected model=FILE and either keep=TOPIC or drop=TOPIC");
    LM_TRY(lm_learned_open(use, lm_topic_model, o->model, err));
    const lm_learned *s = use->state;
    for (int i = 0; i <= lm_linear_labels(s->model)->n; i++) s->wanted[i] = !o->keep.n;
    LM_TRY(mark(s, &o->keep, true, err));
    return mark(s, &o->drop, false, err);
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const lm_learned *s = use->state;
    const lm_strings *names = lm_linear_labels(s->model);
    lm_buckets room = {0};
    int topic = doc->kind = lm_topic_of(s->model, &room, doc->text, NULL);
    lm_buckets_free(&room);
    return s->wanted[topic < 0 ? names->n : topic] ? true : lm_reject(doc, "%.150s", topic < 0 ? "no topic" : names->items[topic]);
}

const lm_filter lm_filter_topics = {
    .name = "topics", .source = "Dhillon and Modha 2001; learned from one's own texts",
    .help = "what it is about, by a model of a corpus' topics",
    .options = options, .options_size = sizeof(settings), .kinds = lm_learned_kinds, .open = open_model, .close = lm_learned_close, .apply = apply,
};
