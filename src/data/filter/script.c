/* Which scripts the letters of a document are from. */
#include "data/filter.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    lm_strings scripts;
    double min;
    int64_t min_letters;
} settings;

static const lm_option options[] = {
    LM_OPTION(LIST, settings, scripts, "scripts", .fallback = "hangul", .metavar = "NAME+...", .help = "hangul, latin, han, kana, cyrillic, greek, arabic, hebrew, devanagari, thai, other"),
    LM_OPTION(REAL, settings, min, "min", .fallback = "0.5", .min = 0, .max = 1, .help = "share of all letters that are of these scripts"),
    LM_OPTION(INT, settings, min_letters, "min-letters", .fallback = "1", .min = 0, .max = 1e12, .help = "letters of these scripts, at least"),
    { 0 },
};

static const lm_measure measures[] = { { "letters of the scripts", false }, { 0 } };

static lm_status open_scripts(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    bool *wanted = use->state = lm_calloc(LM_SCRIPTS, sizeof *wanted);
    for (int i = 0; i < o->scripts.n; i++) {
        int s = 0;
        while (s < LM_SCRIPTS && strcmp(lm_script_names[s], o->scripts.items[i])) s++;
        if (s == LM_SCRIPTS) {
            const char *near = lm_nearest(o->scripts.items[i], lm_script_names);
            return lm_fail(err, LM_E_USAGE, "scripts: there is no '%.50s'%s%s", o->scripts.items[i], near ? "; did you mean " : "", near ? near : "");
        }
        wanted[s] = true;
    }
    return LM_OK;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    const bool *wanted = use->state;
    const lm_counts *c = lm_doc_counts(doc);
    int64_t of_them = 0;
    for (int s = 0; s < LM_SCRIPTS; s++) of_them += wanted[s] ? c->script[s] : 0;
    double share = doc->values[0] = c->letters ? (double)of_them / (double)c->letters : 0;
    if (of_them < o->min_letters) return lm_reject(doc, "%lld letters of the scripts, expected at least %lld", (long long)of_them, (long long)o->min_letters);
    return share >= o->min ? true : lm_reject(doc, "%.1f%% of the letters are of the scripts, expected at least %g%%", 100 * share, 100 * o->min);
}

const lm_filter lm_filter_script = {
    .name = "script", .source = "scripts by Unicode's blocks",
    .help = "share of letters from certain scripts, Hangul unless told otherwise",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_scripts, .close = free, .apply = apply,
};
