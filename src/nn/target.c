#include "nn/target.h"

#include <stdlib.h>
#include <string.h>

/* ---- expressions over names ---- */

bool lm_is_expression(const char *target) { return strpbrk(target, "\\^$*+?()[]{}|") != NULL; }

lm_status lm_name_pattern(lm_pattern **out, lm_span expression, bool from_point, const char *what, lm_err *err)
{
    lm_str whole = { 0 };
    lm_str_printf(&whole, "\\A%s(?:%.*s)\\z", from_point ? "(?:.*\\.)?" : "", (int)expression.len, expression.data);
    lm_status status = lm_pattern_regex(out, whole.data, what, err);
    lm_str_free(&whole);
    return status;
}

lm_status lm_name_matches(bool *hit, const lm_pattern *pattern, const char *name, lm_err *err)
{
    lm_match match;
    lm_matcher matcher = lm_matcher_start(pattern, lm_span_of(name, strlen(name)));
    *hit = lm_matcher_next(&matcher, &match);
    return lm_matcher_end(&matcher, err);
}

/* Whether the name ends in the suffix, at one of its points. */
static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && !strcmp(name + n - m, suffix) && (n == m || name[n - m - 1] == '.');
}

/* ---- which sites ---- */

static lm_status no_site(const lm_model *m, const char *target, lm_err *err)
{
    const char **last = lm_calloc((size_t)m->n_sites + 1, sizeof *last);
    for (int64_t i = 0; i < m->n_sites; i++) {
        const char *dot = strrchr(m->sites[i]->name, '.');
        last[i] = dot ? dot + 1 : m->sites[i]->name;
    }
    const char *nearest = lm_nearest(target, last);
    lm_str names = { 0 };
    for (int64_t i = 0; i < m->n_sites; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++) seen = !strcmp(last[i], last[j]);
        if (!seen) lm_str_printf(&names, "%s%s", names.len ? ", " : "", last[i]);
    }
    lm_status status;
    if (!strcmp(target, "lm_head"))
        status = lm_fail(err, LM_E_UNSUPPORTED, "target module \"lm_head\": with these settings the head cannot be a target; --modules-to-save lm_head trains it whole");
    else
        status = lm_fail(err, LM_E_USAGE, "target module \"%s\" matches no linear of this %s model%s%s%s; it has %s", target,
            m->config.model_type, nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"" : "", names.data);
    lm_str_free(&names);
    free(last);
    return status;
}

/* The linears, and behind them the embedding and the head where the method can change them. */
static int64_t n_targets(const lm_adapter *a) { return a->model->n_sites + 2; }
static lm_linear_site *target_at(const lm_adapter *a, int64_t i)
{
    if (i < a->model->n_sites) return a->model->sites[i];
    if (i == a->model->n_sites) return a->type->embeds ? a->model->table : NULL;
    return a->type->heads && a->type->heads(a) ? a->model->output : NULL;
}

/* As in PEFT, the expression has to match the whole name. */
static lm_status visit_pattern(lm_adapter *a, const char *expression, void (*visit)(lm_adapter *, lm_linear_site *), lm_err *err)
{
    lm_pattern *pattern = NULL;
    lm_status status = lm_name_pattern(&pattern, lm_span_of(expression, strlen(expression)), false, "target modules", err);
    int64_t n = 0;
    for (int64_t i = 0; i < n_targets(a) && status == LM_OK; i++) {
        lm_linear_site *s = target_at(a, i);
        bool hit;
        if (!s) continue;
        status = lm_name_matches(&hit, pattern, s->name, err);
        if (!hit || status != LM_OK) continue;
        visit(a, s);
        n++;
    }
    lm_pattern_free(pattern);
    return status != LM_OK || n ? status : no_site(a->model, expression, err);
}

lm_status lm_adapter_targets(lm_adapter *a, const lm_strings *targets, void (*visit)(lm_adapter *, lm_linear_site *), lm_err *err)
{
    const lm_model *m = a->model;
    if (targets->n == 1 && lm_is_expression(targets->items[0])) return visit_pattern(a, targets->items[0], visit, err);
    bool all = targets->n == 1 && !strcmp(targets->items[0], "all-linear");
    bool *used = lm_calloc((size_t)targets->n + 1, sizeof *used);
    for (int64_t i = 0; i < n_targets(a); i++) {
        lm_linear_site *s = target_at(a, i);
        if (!s) continue;
        bool hit = all && i < m->n_sites;
        for (int j = 0; j < targets->n && !all; j++)
            if (has_suffix(s->name, targets->items[j])) used[j] = hit = true;
        if (hit) visit(a, s);
    }
    lm_status status = LM_OK;
    for (int j = 0; j < targets->n && !all && status == LM_OK; j++)
        if (!used[j]) status = no_site(m, targets->items[j], err);
    free(used);
    return status;
}

bool lm_adapter_names(const lm_strings *suffixes, const lm_linear_site *site)
{
    for (int j = 0; j < suffixes->n; j++)
        if (has_suffix(site->name, suffixes->items[j])) return true;
    return false;
}
