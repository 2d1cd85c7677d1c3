/* What data grow asks, and how the answers are read: a flat YAML file for each language (prompts/grow.ko.yaml), so that
 * wording is data.  Texts have places in braces; every key is told below with those that it must have. */
#ifndef LM_DATA_GROW_PROMPTS_H
#define LM_DATA_GROW_PROMPTS_H

#include "base/option.h"
#include "data/asking.h"

typedef enum lm_grow_text {
    /* both methods */
    LM_GROW_SYSTEM,                      /* what stands in front of every question; may be missing */
    LM_GROW_DIFFICULTY,                  /* {prompt} -> [[1]] .. [[10]] */

    /* Self-Instruct */
    LM_GROW_TASK,                        /* {number}: what a task in a list begins with: "Task {number}:" */
    LM_GROW_GENERATE,                    /* {tasks} {count} {first} -> tasks */
    LM_GROW_CLASSIFY,                    /* {instruction} -> yes or no */
    LM_GROW_YES, LM_GROW_NO,             /* marks */
    LM_GROW_INPUT_FIRST,                 /* {instruction} {count} -> input, output */
    LM_GROW_OUTPUT_FIRST,                /* {instruction} {count} -> label, input */
    LM_GROW_INPUT, LM_GROW_OUTPUT, LM_GROW_LABEL,        /* what each begins with: "Input:" */
    LM_GROW_NONE,                        /* what an input says that there is none */

    /* Evol-Instruct */
    LM_GROW_CONSTRAINTS, LM_GROW_DEEPEN, LM_GROW_CONCRETISE, LM_GROW_REASONING, LM_GROW_COMPLICATE, LM_GROW_BREADTH,       /* {prompt} -> a prompt */
    LM_GROW_EVOLVED,                     /* what it may begin with: "New request:" */
    LM_GROW_GAIN,                        /* {first} {second} -> same or different; may be missing: no gain is judged */
    LM_GROW_SAME, LM_GROW_DIFFERENT,     /* marks */
    LM_GROW_TEXTS,
} lm_grow_text;

typedef enum lm_grow_list {
    LM_GROW_LIST_REFUSALS,               /* said by who will not, or cannot: "sorry" */
    LM_GROW_LIST_KEYWORDS,               /* of what a text alone cannot answer: "image" */
    LM_GROW_LIST_COPIED,                 /* of the questions themselves: "new request" */
    LM_GROW_LIST_STOP_WORDS,             /* words of which an answer cannot be made alone */
    LM_GROW_LISTS,
} lm_grow_list;

typedef struct lm_grow_prompts {
    char *text[LM_GROW_TEXTS];           /* NULL: not in the file */
    lm_strings list[LM_GROW_LISTS];
    uint64_t hash;                       /* of the file */
} lm_grow_prompts;

enum { LM_GROW_FOR_SELF_INSTRUCT = 1, LM_GROW_FOR_EVOL_INSTRUCT = 2 };

/* `needs` are the methods whose texts must be there.  LM_E_FORMAT names the key that is missing, unknown, no text or no
 * list, or lacks a place or has one that is unknown.  Freed also after a failure. */
lm_status lm_grow_prompts_read(lm_grow_prompts *p, const char *path, unsigned needs, lm_err *err);
void lm_grow_prompts_free(lm_grow_prompts *p);           /* takes {0} */

/* Whether a text has one of a list's words, whatever their case.  `whole`: not within a longer word of Latin letters. */
const char *lm_grow_says(const lm_strings *list, lm_span text, bool whole);

#endif
