/* The folder of a run: OUT/run.json (what was asked), OUT/log.jsonl (a line for every step and every
 * measurement), OUT/rollouts.jsonl (answers of each round, where there are rounds), OUT/checkpoints/step-N,
 * and in the end the result, a model's or an adapter's folder.
 *
 * A run that was killed at any instant goes on from its last checkpoint as if nothing had happened; the
 * logs are cut back to that step. */
#ifndef LM_TRAIN_RUN_H
#define LM_TRAIN_RUN_H

#include "base/log.h"
#include "train/trainer.h"

typedef struct lm_run {
    lm_trainer *t;
    char *checkpoints, *best;            /* OUT/checkpoints, OUT/best */
    lm_json *description;                /* run.json */
    lm_jsonl *log, *rollouts;            /* rollouts: NULL where there are no rounds */
    lm_progress progress;
    int64_t saved;                       /* step of the last checkpoint, or -1 */
    int lock;                            /* on OUT */
    double started;
    int64_t started_at;                  /* step */
} lm_run;

/* Makes or enters the folder and, when resuming, restores the trainer.  LM_E_USAGE when the folder holds
 * something else, or a run that was asked for with other options; LM_E_MISMATCH when the data changed; LM_E_IO when another
 * process trains there. */
lm_status lm_run_open(lm_run *r, lm_trainer *t, lm_err *err);
void lm_run_close(lm_run *r);

/* What happened, for the log and the progress line. */
lm_status lm_run_step(lm_run *r, const lm_step_report *report, lm_err *err);
lm_status lm_run_measured(lm_run *r, double loss, const lm_json *counted, double seconds, lm_err *err);     /* counted: more numbers, or NULL */

lm_status lm_run_save(lm_run *r, lm_err *err);           /* a checkpoint of this step, unless it stands */

/* Keeps the weights as the best so far, in OUT/best, apart from the checkpoints; and takes them back. */
lm_status lm_run_save_best(lm_run *r, lm_err *err);
lm_status lm_run_restore_best(lm_run *r, lm_err *err);

/* Writes the result and marks the run as finished. */
lm_status lm_run_finish(lm_run *r, lm_err *err);

/* After the objective found the model to have gone too far: writes what it was at the last checkpoint before this step
 * to OUT, as a result, without finishing the run; says so in the log, also when there is none. */
void lm_run_fall_back(lm_run *r);

/* Whether OUT held the finished run already: nothing is left to do. */
bool lm_run_finished(const lm_run *r);

#endif
