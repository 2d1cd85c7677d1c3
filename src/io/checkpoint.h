/* Training checkpoints: RUN/step-000123, each a folder of files that a manifest counts and hashes.
 *
 * Invariants
 *  1. A folder named step-N is complete: it was written under another name, synced, then renamed.
 *  2. RUN/latest holds the name of the step that was committed last, and is replaced in one step.
 *  3. Nothing is removed before the checkpoint that makes it superfluous stands.
 * So a process may be killed at any instant: the run opens at the step of its last commit, or at the one
 * before when it died within a commit.  What the disk lost or changed later shows in the manifest: such
 * a checkpoint is passed over with a warning.
 *
 * A run belongs to one process at a time. */
#ifndef LM_IO_CHECKPOINT_H
#define LM_IO_CHECKPOINT_H

#include "base/err.h"
#include "base/json.h"
#include "io/save.h"
#include "io/staging.h"

#include <stddef.h>
#include <stdint.h>

/* ---- writing ----------------------------------------------------------------- */

typedef struct lm_checkpoint_writer {
    char *run;
    int64_t step;
    lm_staging staging;
} lm_checkpoint_writer;

/* Starts the checkpoint of a step (0 or more) in the folder of a run, which is made when missing. */
lm_status lm_checkpoint_begin(lm_checkpoint_writer *w, const char *run, int64_t step, lm_err *err);

/* The folder to write into; whatever files stand there at commit belong to the checkpoint. */
const char *lm_checkpoint_folder(const lm_checkpoint_writer *w);

/* Writes tensors as a safetensors file `name` of the checkpoint. */
lm_status lm_checkpoint_tensors(lm_checkpoint_writer *w, const char *name, const lm_save *tensors, lm_err *err);

/* Writes state.json: whatever else resuming needs (the caller keeps the object). */
lm_status lm_checkpoint_state(lm_checkpoint_writer *w, const lm_json *state, lm_err *err);

/* Makes it the run's latest, replacing an earlier one of the same step, then removes all but the `keep`
 * highest steps (0: keeps all). */
lm_status lm_checkpoint_commit(lm_checkpoint_writer *w, int64_t keep, lm_err *err);
void lm_checkpoint_abort(lm_checkpoint_writer *w);                 /* no-op after commit, and on {0} */

/* ---- reading ----------------------------------------------------------------- */

typedef struct lm_checkpoint_reader {
    char *path;                              /* of its folder */
    int64_t step;
    lm_json *state;                          /* state.json, or NULL when it has none */
} lm_checkpoint_reader;

/* Opens the run's latest checkpoint whose files are all as the manifest says; those passed over are
 * told by lm_log.  LM_E_IO when the run has none, LM_E_FORMAT when all are damaged. */
lm_status lm_checkpoint_open(lm_checkpoint_reader *c, const char *run, lm_err *err);

/* Opens the one in this folder. */
lm_status lm_checkpoint_open_step(lm_checkpoint_reader *c, const char *folder, lm_err *err);
void lm_checkpoint_close(lm_checkpoint_reader *c);                        /* takes NULL and {0} */

/* The steps of a run in ascending order, unverified; the caller frees *steps. */
lm_status lm_checkpoint_list(int64_t **steps, size_t *n, const char *run, lm_err *err);

/* RUN/step-000123; the caller frees. */
char *lm_checkpoint_path(const char *run, int64_t step);

#endif
