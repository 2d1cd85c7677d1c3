/* A table with an option of every type, for the targets that read options. */
#ifndef LM_FUZZ_EVERY_OPTION_H
#define LM_FUZZ_EVERY_OPTION_H

#include "base/option.h"

#include <math.h>

typedef struct every_option {
    bool flag;
    int64_t integer, bounded;
    double real, positive;
    const char *string, *name;
    int choice;
    lm_strings list;
} every_option;

static const char *const every_choice[] = { "constant", "linear", "cosine-decay", NULL };

static const lm_option every_table[] = {
    LM_OPTION(FLAG, every_option, flag, "flag", .fallback = "true", .letter = 'f'),
    LM_OPTION(INT, every_option, integer, "integer", .required = true),
    LM_OPTION(INT, every_option, bounded, "bounded-int", .fallback = "4k", .min = 1, .max = 1e6, .letter = 'b'),
    LM_OPTION(REAL, every_option, real, "real", .required = true),
    LM_OPTION(REAL, every_option, positive, "positive", .fallback = "3e-4", .min = 0, .max = INFINITY),
    LM_OPTION(STRING, every_option, string, "string", .fallback = "text"),
    LM_OPTION(STRING, every_option, name, "name", .required = true),
    LM_OPTION(CHOICE, every_option, choice, "choice", .choices = every_choice, .required = true),
    LM_OPTION(LIST, every_option, list, "list", .fallback = "a,b"),
    {0},
};

/* After any input, accepted or not: bounds hold, and the values survive being written and read. */
static inline void check_every_option(const every_option *v, const lm_option_set *sets)
{
    LM_ASSERT(v->bounded >= 1 && v->bounded <= 1000000 && v->positive >= 0 && v->choice >= -1 && v->choice < 3);
    every_option copy;
    const lm_option_set copies[] = { { .options = every_table, .values = &copy }, {0} };
    lm_options_defaults(copies);
    lm_json *dump = lm_options_dump(sets, false);
    LM_ASSERT(lm_options_json(copies, dump, "dump", NULL) == LM_OK);
    lm_json *again = lm_options_dump(copies, false);
    LM_ASSERT(json_equal(dump, again));
    lm_json_free(dump);
    lm_json_free(again);
    lm_options_free(copies);
}

#endif
