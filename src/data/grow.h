/* Growing instruction data: new tasks and answers from a few that people wrote, made by a model that is asked.
 *
 *   seeds -> round: questions -> answers -> rules, novelty, verdicts -> rows; the pool grows, and the next round begins
 *
 * A method is one file, data/growth/<name>.c: what a round asks, and in which order.  What it is not concerned with stands
 * here: the pool, what is new (data/novelty.h), what may stay (grow_rules.c), what is written and counted.  A run is a
 * function of its settings, of the seed and of the answers; these are kept (data/replies.h), so that a killed run goes on.
 *
 * Sources: Wang et al. 2023, "Self-Instruct", section 2.2; Xu et al. 2023, "WizardLM", section 3 (Evol-Instruct). */
#ifndef LM_DATA_GROW_H
#define LM_DATA_GROW_H

#include "base/file.h"
#include "data/replies.h"
#include "data/grow_prompts.h"
#include "data/novelty.h"
#include "data/source.h"

/* ---- tasks ---- */

typedef struct lm_grow_task {
    char *id;                            /* "seeds.jsonl:3", or "g12" */
    char *instruction, *input;           /* input: "" where there is none */
    int64_t parent;                      /* task that it was evolved from; -1: none */
    bool seed, gone;                     /* gone: it was taken back; nothing is made of it */
} lm_grow_task;

typedef struct lm_grow_seeds {
    lm_grow_task *tasks;
    int64_t n, cap;
    uint64_t hash;                       /* of all of them */
    double hangul;                       /* share of their letters */
    lm_skipped skipped;
} lm_grow_seeds;

/* Seeds from rows: a field "instruction" with "input" or (Self-Instruct's) "instances"; "prompt", "question" or "text" alone;
 * or any kind that data format reads, of a conversation its first question.  Answers are not needed.  LM_E_FORMAT names the row.
 * Freed also after a failure. */
lm_status lm_grow_seeds_read(lm_grow_seeds *out, const lm_strings *paths, const char *format, bool skip, lm_err *err);
void lm_grow_seeds_free(lm_grow_seeds *seeds);

/* ---- a run ---- */

typedef enum lm_grow_reason {
    LM_GROW_UNANSWERED,                  /* a question was answered by an error */
    LM_GROW_UNREADABLE,                  /* not in the form that was asked for, however often */
    LM_GROW_CUT_OFF,                     /* the answer was as long as it may be, and not finished */
    LM_GROW_TOO_SHORT, LM_GROW_TOO_LONG, /* an instruction, in characters */
    LM_GROW_KEYWORD,                     /* it asks for what no text can give */
    LM_GROW_COPIED,                      /* it speaks of the question that made it */
    LM_GROW_SIMILAR,                     /* its ROUGE-L with a task of the pool reaches the threshold */
    LM_GROW_NO_GAIN,                     /* it asks for the same as its parent */
    LM_GROW_REFUSED,                     /* the model will not, or cannot */
    LM_GROW_EMPTY,                       /* an answer of signs and stop words */
    LM_GROW_REPEATS_INPUT,               /* an answer that is its input */
    LM_GROW_DUPLICATE,                   /* an example that is there already */
    LM_GROW_CONTRADICTION,               /* two examples with one input and different answers */
    LM_GROW_REASONS,
} lm_grow_reason;
extern const char *const lm_grow_reasons[];              /* "unanswered", .. */

typedef enum lm_grow_end { LM_GROW_UNDER_WAY, LM_GROW_DONE, LM_GROW_BUDGET, LM_GROW_IDLE, LM_GROW_STOPPED, LM_GROW_SILENT } lm_grow_end;
extern const char *const lm_grow_ends[];                 /* "", "rows", "requests", "idle", "stopped", "silent" */

typedef struct lm_growth lm_growth;

typedef struct lm_grow_options {
    const lm_growth *method;
    const lm_grow_prompts *prompts;
    const lm_grow_seeds *seeds;
    const char *out, *rejected;          /* rejected: NULL: not written */
    const char *model;                   /* as the rows call it */
    int64_t rows, seed;
    int64_t batch, tries, patience;      /* tasks side by side; times that a question is asked; rounds without a row */
    int64_t max_tokens, shortest, longest;               /* of answers; of instructions, in characters */
    double temperature, threshold;
    lm_rouge_unit unit;
    bool difficulty;
    int64_t per_prompt, seeds_shown, grown_shown, instances;         /* self_instruct */
    int64_t depth;                       /* evol_instruct: times that a seed is evolved before it begins again */
    lm_strings operations;               /* evol_instruct: none: all */
    void (*tell)(void *context, int64_t rows, int64_t rejected, int64_t asked);          /* after each round; NULL: not */
    void *context;
} lm_grow_options;

typedef struct lm_grow_result {
    int64_t rows, rounds, rejected[LM_GROW_REASONS], refused;        /* refused: all of rejected */
    int64_t unscored, unfinished;        /* rows without a difficulty; tasks under way when the run ended */
    lm_grow_end end;
    char why[1000];                      /* what the first question met that was not answered; "": all were */
    lm_json *counts;                     /* {"deepen": {"kept": 3, "similar": 1}, ..} */
    int64_t difficulties[11], likeness[10];              /* rows by difficulty, and by tenths of ROUGE-L */
} lm_grow_result;

/* Writes rows and rejected ones, also those of a run that ended early; no file where there is no row.  A failure is one of
 * files.  The result is freed also after it. */
lm_status lm_grow_run(lm_grow_result *result, const lm_grow_options *o, lm_replies *replies, lm_err *err);
void lm_grow_result_free(lm_grow_result *result);

/* Everything that the result tells, as JSON; the caller frees. */
lm_json *lm_grow_report(const lm_grow_result *result, const lm_grow_options *o, const lm_replies *replies);

/* ---- for methods ---- */

typedef struct lm_grow {
    const lm_grow_options *o;
    lm_grow_result *r;
    lm_replies *replies;
    lm_novelty *novelty;                 /* of the pool's instructions, by their numbers */
    lm_grow_task *tasks;                 /* [n_tasks] the pool: seeds first */
    int64_t n_tasks, cap_tasks;
    lm_writer out, rejected;
    void *own;                           /* one block of the method's, freed at the end */
    lm_err err;                          /* the first failure of a file; rounds then do nothing more */
} lm_grow;

/* A task in the making. */
typedef struct lm_sprout {
    const char *operation;               /* how it is made: a constant */
    lm_json *parents;                    /* ids of the tasks that it is made from */
    int64_t parent, task;                /* numbers in the pool, or -1 */
    lm_str instruction, answer;          /* answer: what was said last */
    lm_json *found;                      /* texts that were read from it, for the method */
    lm_json *instances;                  /* [["input", "output"], ..] */
    lm_likeness nearest;
    int difficulty;                      /* 0: none */
    bool marked;                         /* what a mark in an answer decided: it classifies, it is the same */
    bool gone, waiting, cut;             /* waiting for an answer; the last one was cut off */
} lm_sprout;

typedef struct lm_sprouts {
    lm_sprout *items;
    int n, cap;
} lm_sprouts;
lm_sprout *lm_sprouts_add(lm_sprouts *list, const char *operation, int64_t parent);      /* valid until the next is added */
void lm_sprouts_free(lm_sprouts *list);

/* A question that is put to several sprouts at once. */
typedef struct lm_grow_stage {
    bool judges;                         /* the first time it is asked at temperature 0 */
    bool whole;                          /* an answer that was cut off is of no use */
    bool optional;                       /* without an answer that can be read a sprout lives on */
    bool bare;                           /* asked without the system text of the prompts */
    void (*ask)(const lm_grow *g, lm_str *question, const lm_sprout *s);
    bool (*read)(const lm_grow *g, lm_sprout *s, lm_span answer);    /* false: it cannot be read, and is asked again */
} lm_grow_stage;
void lm_grow_ask(lm_grow *g, lm_sprouts *sprouts, const lm_grow_stage *stage);

/* Takes the sprout's instruction into the pool if it may stay and is new; rejects it else. */
void lm_grow_plant(lm_grow *g, lm_sprout *s);

/* Leaves out instances that may not stay; a sprout of which none is left goes. */
void lm_grow_weed(lm_grow *g, lm_sprout *s);

/* Counts it, writes it down, and takes it out of the pool. */
void lm_grow_reject(lm_grow *g, lm_sprout *s, lm_grow_reason reason);

/* Asks for difficulties, if they are wanted, and writes the rows of all sprouts that are left. */
void lm_grow_keep(lm_grow *g, lm_sprouts *sprouts);

/* Instruction and input as one text, appended. */
void lm_grow_put_prompt(lm_str *out, const char *instruction, const char *input);

/* Why an instruction, or an answer, may not stay (grow_rules.c), or LM_GROW_REASONS; what `parent` says too is let pass,
 * it may be NULL. */
lm_grow_reason lm_grow_judge_instruction(const lm_grow_options *o, lm_span instruction, const char *parent);
lm_grow_reason lm_grow_judge_answer(const lm_grow_options *o, lm_span input, lm_span answer);

struct lm_growth {
    const char *name, *summary;
    unsigned needs;                      /* LM_GROW_FOR_.. */
    const char *const *operations;       /* to choose from, NULL-terminated; NULL: none */
    void (*round)(lm_grow *g);
};
extern const lm_growth *const lm_growth_registry[];

#endif
