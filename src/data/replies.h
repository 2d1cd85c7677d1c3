/* A run of questions that can be killed: every answer is written down as it comes, and a run that begins again is given
 * what was said before.
 *
 * Invariants
 *  1. What is asked follows from the settings and from the answers so far; questions are numbered in that order, whoever
 *     answers first.  So the same run asks the same questions, and number and hash tell which answer is whose.
 *  2. The file is JSONL: a first line with the settings, then {"n": .., "key": .., "answer": ..}, or "failed" instead; "cut" where an
 *     answer was not finished.
 *  3. Failures are written only where somebody was there: answered another question of the call, or refused this one for what
 *     it is.  While nobody answers nothing is written, and a run that begins again asks anew. */
#ifndef LM_DATA_ANSWERS_H
#define LM_DATA_ANSWERS_H

#include "base/json.h"
#include "data/asking.h"

typedef struct lm_replies lm_replies;

/* `settings` (borrowed) must be those that a file to be resumed begins with: LM_E_MISMATCH names the first that differs.
 * A file that is there is LM_E_USAGE unless it is resumed or overwritten; one to resume may be missing.  Asks no more than `limit` questions, 0: any number. */
lm_status lm_replies_open(lm_replies **out, const char *path, const lm_json *settings, bool resume, bool overwrite, int64_t limit, const lm_asker *asker, lm_err *err);
void lm_replies_close(lm_replies *a);        /* takes NULL */

typedef enum lm_replies_state { LM_REPLIES_ALL, LM_REPLIES_SPENT, LM_REPLIES_STOPPED, LM_REPLIES_SILENT } lm_replies_state;

/* Answers the questions, from the file or by asking; a question without an answer has its err set.  *state tells why some
 * were not asked: the limit, Ctrl-C; or that nobody answers.  A failure is one of the file. */
lm_status lm_replies_ask(lm_replies *a, lm_asking *questions, int n, lm_replies_state *state, lm_err *err);

/* Questions of this run so far, and how many of them were answered before. */
int64_t lm_replies_count(const lm_replies *a);
int64_t lm_replies_known(const lm_replies *a);

#endif
