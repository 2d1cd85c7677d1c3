/* Filters: what a corpus is cleaned with.
 *
 * A filter is one file, data/filter/<name>.c.  It looks at one document at a time, knows nothing of the others,
 * and keeps it, rejects it with a reason, or changes its text.  A pipeline is a list of them with their
 * settings; what one has changed the next one sees. */
#ifndef LM_DATA_FILTER_H
#define LM_DATA_FILTER_H

#include "base/option.h"
#include "data/document.h"

typedef struct lm_filter lm_filter;

/* Something that a filter measures of each document it sees, for the report. */
typedef struct lm_measure {
    const char *name;
    bool counts;                         /* a number from 0 on, drawn by its logarithm; else a share from 0 to 1 */
} lm_measure;

/* A filter in a pipeline. */
typedef struct lm_filter_use {
    const lm_filter *filter;
    void *options;                       /* options_size bytes of it */
    void *state;                         /* what open made */
} lm_filter_use;

struct lm_filter {
    const char *name, *source, *help;    /* help: one line */
    const lm_option *options;            /* NULL: none */
    size_t options_size;
    const lm_measure *measures;          /* of doc->values, up to name == NULL; NULL: none */
    const char *const *tallies;          /* of doc->tallies, NULL-terminated; NULL: none */
    const lm_strings *(*kinds)(const lm_filter_use *use);            /* names of the kinds that it tells documents apart by, of doc->kind;
                                                                        NULL: it does not.  Once it is open */
    bool reads_row;                      /* it looks at doc->row->object */
    lm_status (*open)(lm_filter_use *use, lm_err *err);              /* NULL: nothing to prepare */
    void (*close)(void *state);
    bool (*apply)(const lm_filter_use *use, lm_doc *doc);            /* on any thread; false: rejected */
};

extern const lm_filter *const lm_filter_registry[];
const lm_filter *lm_filter_find(const char *name);       /* or NULL */

typedef struct lm_pipeline {
    lm_filter_use *items;
    int n;
    int opened;                          /* how many open has been called for */
} lm_pipeline;

/* Adds filters by their specifications, "NAME" or "NAME:key=value,key=value", where the items of a list stand
 * with "+" between them.  A specification without a name
 * ("key=value") belongs to the one before, since a list that was split at its commas comes like that. */
lm_status lm_pipeline_add(lm_pipeline *p, const lm_strings *specs, lm_err *err);

/* Adds the filters of a preset. */
lm_status lm_pipeline_preset(lm_pipeline *p, const char *name, lm_err *err);

/* Adds the filters of a YAML mapping, in its order: each key a filter, its value nothing or a list of
 * "key=value". */
lm_status lm_pipeline_yaml(lm_pipeline *p, const char *text, size_t n, const char *name, lm_err *err);

/* Checks settings and makes what the filters need; before the first document. */
lm_status lm_pipeline_open(lm_pipeline *p, lm_err *err);
void lm_pipeline_free(lm_pipeline *p);                   /* takes {0} */

/* Runs the document through; *by is the index of the filter that rejected it (returns false) or n.  `each`, if
 * not NULL, is called after every filter.  `quiet`: of each filter, whether the reason that it gives is left out;
 * NULL: of none. */
typedef void (*lm_pipeline_each)(void *context, int index, const lm_doc *doc, bool kept, bool changed);
bool lm_pipeline_apply(const lm_pipeline *p, lm_doc *doc, int *by, const bool *quiet, lm_pipeline_each each, void *context);

/* A named list of specifications: data/filter/presets.c. */
typedef struct lm_preset {
    const char *name, *source, *help;
    const char *const *specs;            /* NULL-terminated */
} lm_preset;
extern const lm_preset lm_presets[];                     /* ends with name == NULL */

#endif
