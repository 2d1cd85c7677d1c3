/* Replace: every match of a pattern becomes a fixed text.  A normaliser and a decoder are made of it. */
#ifndef LM_TOKEN_REPLACE_H
#define LM_TOKEN_REPLACE_H

#include "token/pipeline.h"

/* Reads {"pattern": {...}, "content": "..."}; *state is for the two below, also after a failure. */
lm_status lm_replace_load(void **state, const lm_step_source *source, lm_err *err);
void lm_replace_free(void *state);                       /* takes NULL */

/* Appends text with its matches replaced.  LM_E_FORMAT at the match limit: out then has what was done. */
lm_status lm_replace(const void *state, lm_str *out, lm_span text, lm_err *err);

/* Leaves a cut alone where one character is replaced, by one if it is that behind the cut. */
bool lm_replace_cut(const void *state, lm_cut *cut);

/* The one character that is replaced, by text without it, or 0. */
uint32_t lm_replace_removes(const void *state);

#endif
