#include "token/replace.h"

#include "token/pattern.h"

#include <stdlib.h>
#include <string.h>

typedef struct replacement {
    lm_pattern *pattern;
    char *content;
} replacement;

void lm_replace_free(void *state)
{
    replacement *r = state;
    if (!r) return;
    lm_pattern_free(r->pattern);
    free(r->content);
    free(r);
}

lm_status lm_replace_load(void **state, const lm_step_source *source, lm_err *err)
{
    replacement *r = lm_calloc(1, sizeof *r);
    *state = r;
    const char *content;
    LM_TRY(lm_json_need_str(source->json, "content", source->name, &content, err));
    r->content = lm_strdup(content);
    return lm_pattern_read(&r->pattern, lm_json_get(source->json, "pattern"), source->name, err);
}

lm_status lm_replace(const void *state, lm_str *out, lm_span text, lm_err *err)
{
    const replacement *r = state;
    size_t done = 0;
    lm_match match;
    lm_matcher matcher = lm_matcher_start(r->pattern, text);
    while (lm_matcher_next(&matcher, &match)) {
        lm_str_append(out, text.data + done, match.begin - done);
        lm_str_puts(out, r->content);
        done = match.end;
    }
    lm_str_append(out, text.data + done, text.len - done);
    return lm_matcher_end(&matcher, err);
}

bool lm_replace_cut(const void *state, lm_cut *cut)
{
    const replacement *r = state;
    uint32_t from = lm_pattern_character(r->pattern), to;
    if (!from || lm_is_settled(from)) return false;
    if (from != cut->rune) return true;
    size_t n = strlen(r->content);
    if (!n || (size_t)lm_utf8_decode(r->content, n, &to) != n) return false;
    cut->rune = to;
    return true;
}
