/* Which modules a text names: by suffix ("q_proj" is the end of "model.layers.0.self_attn.q_proj"), by a regular
 * expression, or all linears.  What adapters are attached to: lm_adapter_targets in nn/adapter.h. */
#ifndef LM_NN_TARGET_H
#define LM_NN_TARGET_H

#include "nn/adapter.h"
#include "token/pattern.h"

/* A plain suffix has no character that only an expression has. */
bool lm_is_expression(const char *target);

/* Compiles an expression that has to match a whole name, as in PEFT; with from_point, the name or what stands
 * behind one of its points.  `what` heads messages. */
lm_status lm_name_pattern(lm_pattern **out, lm_span expression, bool from_point, const char *what, lm_err *err);
lm_status lm_name_matches(bool *hit, const lm_pattern *pattern, const char *name, lm_err *err);

#endif
