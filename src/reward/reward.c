#include "reward/reward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lm_reward *find(const char *name, size_t n)
{
    for (const lm_reward *const *r = lm_reward_registry; *r; r++)
        if (strlen((*r)->name) == n && !memcmp((*r)->name, name, n)) return *r;
    return NULL;
}

static lm_status unknown(const char *spec, size_t n, lm_err *err)
{
    lm_str known = {0};
    for (const lm_reward *const *r = lm_reward_registry; *r; r++) lm_str_printf(&known, "%s%s", known.len ? ", " : "", (*r)->name);
    lm_fail(err, LM_E_USAGE, "--reward: there is no '%.*s'; there are %s", (int)n, spec, known.data);
    lm_str_free(&known);
    return LM_E_USAGE;
}

/* "0.5*exact:####": the number before the first star, if that is all that stands there. */
static const char *take_weight(double *weight, const char *spec)
{
    char *end;
    *weight = strtod(spec, &end);
    if (end != spec && *end == '*') return end + 1;
    *weight = 1;
    return spec;
}

static lm_status open_part(lm_rewards *r, const char *spec, const lm_reward_means *means, lm_err *err)
{
    double weight;
    const char *name = take_weight(&weight, spec), *colon = strchr(name, ':'), *argument = colon && colon[1] ? colon + 1 : NULL;
    size_t n = colon ? (size_t)(colon - name) : strlen(name);
    const lm_reward *type = find(name, n);
    if (!type) return unknown(name, n, err);
    if (!isfinite(weight)) return lm_fail(err, LM_E_USAGE, "--reward %s: the weight is not finite", spec);
    if (argument && !type->argument) return lm_fail(err, LM_E_USAGE, "--reward %s: nothing may follow %s", spec, type->name);
    if (!argument && type->needs_argument) return lm_fail(err, LM_E_USAGE, "--reward %s: expected %s:%s", spec, type->name, type->argument);
    for (int i = 0; i < r->n; i++)
        if (!strcmp(r->parts[i].label, name)) return lm_fail(err, LM_E_USAGE, "--reward %s: it is asked for twice", name);
    lm_reward_part *part = &r->parts[r->n++];
    *part = (lm_reward_part){ .type = type, .weight = weight, .label = lm_strdup(name) };
    lm_status status = type->open ? type->open(&part->own, argument, means, err) : LM_OK;
    return status == LM_OK ? LM_OK : lm_context(err, "--reward %s", name);
}

lm_status lm_rewards_open(lm_rewards *r, const lm_strings *specs, const lm_reward_means *means, lm_err *err)
{
    *r = (lm_rewards){ .parts = lm_calloc((size_t)specs->n + 1, sizeof *r->parts) };
    for (int i = 0; i < specs->n; i++) LM_TRY(open_part(r, specs->items[i], means, err));
    return LM_OK;
}

void lm_rewards_close(lm_rewards *r)
{
    for (int i = 0; i < r->n; i++) {
        if (r->parts[i].type->close && r->parts[i].own) r->parts[i].type->close(r->parts[i].own);
        free(r->parts[i].label);
    }
    free(r->parts);
    *r = (lm_rewards){0};
}

lm_status lm_rewards_check(const lm_rewards *r, const lm_json *row, lm_err *err)
{
    for (int i = 0; i < r->n; i++)
        if (r->parts[i].type->check && r->parts[i].type->check(r->parts[i].own, row, err) != LM_OK)
            return lm_context(err, "reward %s", r->parts[i].label);
    return LM_OK;
}

lm_status lm_rewards_score(const lm_rewards *r, double *total, double *parts, const lm_attempt *attempts, int64_t n, lm_err *err)
{
    double *scores = lm_malloc((size_t)n * sizeof *scores + 1);
    lm_status status = LM_OK;
    for (int64_t j = 0; j < n; j++) total[j] = 0;
    for (int i = 0; i < r->n && status == LM_OK; i++) {
        const lm_reward_part *part = &r->parts[i];
        status = part->type->score(part->own, scores, attempts, n, err);
        if (status != LM_OK) lm_context(err, "reward %s", part->label);
        for (int64_t j = 0; j < n && status == LM_OK; j++) {
            if (!isfinite(scores[j])) status = lm_fail(err, LM_E_NUMERIC, "reward %s: answer %lld has a reward that is not finite", part->label, (long long)j + 1);
            parts[j * r->n + i] = scores[j];
            total[j] += part->weight * scores[j];
        }
    }
    free(scores);
    return status;
}
