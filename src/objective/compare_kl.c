/* Prompts with answers that were not given to them: how far a model is from its reference in general.
 *
 *   KL ~ max(0, mean over i of log p(y_(i-1) | x_i) - log p_ref(y_(i-1) | x_i))
 *
 * Rotated by one, the answers are the same set as those that are learnt.  Source: Ethayarajh et al. 2024,
 * section 4.1; neighbours of a micro-batch as in TRL. */
#include "objective/compare.h"

#include <stdlib.h>
#include <string.h>

/* The tokens of sequence s, of which the answer begins at `answer` (1 at least: nothing predicts the first). */
typedef struct sequence {
    const lm_token *tokens;
    int64_t n, answer;
} sequence;

static sequence sequence_of(const lm_microbatch *m, int64_t s)
{
    sequence q = { .tokens = m->data->tokens + m->data->documents[m->documents[s]].begin, .n = m->batch.segments[s].nq + 1, .answer = 1 };
    while (q.answer < q.n && !(q.tokens[q.answer] & LM_TOKEN_SUPERVISED)) q.answer++;
    return q;
}

/* Lessons of x's prompt with y's answer. */
static int64_t joint_length(const sequence *x, const sequence *y, int64_t context)
{
    int64_t n = x->answer + y->n - y->answer - 1;
    return n < context ? n : context;
}

/* One sequence at the end of out. */
static void put(lm_mismatched *out, const sequence *x, const sequence *y, int64_t n)
{
    lm_microbatch *m = &out->m;
    int64_t at = m->batch.n_tokens;
    for (int64_t i = 0; i <= n; i++) {
        lm_token token = i < x->answer ? x->tokens[i] : y->tokens[y->answer + i - x->answer];
        bool learnt = i >= x->answer && token & LM_TOKEN_SUPERVISED;
        if (i < n) out->ids[at + i] = lm_token_value(token), out->positions[at + i] = (int32_t)i;
        if (i > 0) m->targets[at + i - 1] = learnt ? lm_token_value(token) : -1;
        m->n_targets += learnt;
    }
    out->segments[m->batch.n_segments++] = (lm_segment){ .q0 = at, .nq = n, .k0 = at, .nk = n };
    m->batch.n_tokens += n;
}

void lm_mismatched_make(lm_mismatched *out, const lm_microbatch *m, int64_t context)
{
    int64_t n = m->batch.n_segments, tokens = 0;
    sequence *all = lm_malloc((size_t)n * sizeof *all);
    for (int64_t s = 0; s < n; s++) all[s] = sequence_of(m, s);
    for (int64_t s = 0; s < n; s++) tokens += joint_length(&all[s], &all[(s + n - 1) % n], context);
    *out = (lm_mismatched){ .m.data = m->data };
    out->ids = lm_malloc((size_t)tokens * sizeof *out->ids);
    out->positions = lm_malloc((size_t)tokens * sizeof *out->positions);
    out->m.targets = lm_malloc((size_t)tokens * sizeof *out->m.targets);
    out->segments = lm_malloc((size_t)n * sizeof *out->segments);
    for (int64_t s = 0; s < n; s++) {
        const sequence *x = &all[s], *y = &all[(s + n - 1) % n];
        put(out, x, y, joint_length(x, y, context));
    }
    out->m.batch.ids = out->ids, out->m.batch.positions = out->positions, out->m.batch.segments = out->segments;
    free(all);
}

void lm_mismatched_free(lm_mismatched *mm)
{
    free(mm->ids), free(mm->positions), free(mm->segments), free(mm->m.targets);
    *mm = (lm_mismatched){0};
}
