/* Patterns in text: a literal, a regular expression (PCRE2, compiled to machine code), or a scanner
 * written by hand for a published expression (scan.c), which finds the same matches faster. */
#ifndef LM_TOKEN_PATTERN_H
#define LM_TOKEN_PATTERN_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>

typedef struct lm_pattern lm_pattern;

/* Reads {"String": "..."} or {"Regex": "..."}.  LM_E_FORMAT for an expression that does not compile. */
lm_status lm_pattern_read(lm_pattern **out, const lm_json *json, const char *name, lm_err *err);
lm_status lm_pattern_regex(lm_pattern **out, const char *expression, const char *name, lm_err *err);
lm_status lm_pattern_literal(lm_pattern **out, lm_span text, const char *name, lm_err *err);
void lm_pattern_free(lm_pattern *pattern);               /* takes NULL */

typedef struct lm_match {
    size_t begin, end;
} lm_match;

/* Walks over the matches in a text, left to right. */
typedef struct lm_matcher {
    const lm_pattern *pattern;
    lm_span text;
    size_t at;                       /* where the next search begins */
    size_t last_end;                 /* of the match before; SIZE_MAX at first */
    void *match_data;                /* PCRE2's */
    lm_str repaired;                 /* text as valid UTF-8, where it was not */
    size_t *origin;                  /* with repaired: the offset in text of each of its bytes */
    bool failed;                     /* the match limit was exceeded */
} lm_matcher;
lm_matcher lm_matcher_start(const lm_pattern *pattern, lm_span text);
bool lm_matcher_next(lm_matcher *matcher, lm_match *match);
/* Releases the walk.  LM_E_FORMAT when it ended at the match limit instead of the end of the text. */
lm_status lm_matcher_end(lm_matcher *matcher, lm_err *err);

/* The expression that GPT-2 published; what ByteLevel splits by. */
extern const char lm_gpt2_expression[];

/* A published expression by the name of the tokenizer that has it ("gpt2", "llama3", "qwen2", "cl100k",
 * "o200k", "tekken", "deepseek", "digits3"), or NULL. */
const char *lm_expression_named(const char *name);

/* End of the match that begins at text[at], or `at` when none does. */
typedef size_t (*lm_scanner)(lm_span text, size_t at);

/* The scanner behind a pattern, or NULL. */
lm_scanner lm_pattern_scanner(const lm_pattern *pattern);

/* Whether the matches on one side of a cut (pipeline.h) in front of a white character do not depend on the
 * other side; with *divides also that a match ends or begins there. */
bool lm_pattern_cut(const lm_pattern *pattern, uint32_t rune, bool loose, bool *divides);

/* The one character that a literal pattern is, or 0. */
uint32_t lm_pattern_character(const lm_pattern *pattern);

/* The scanner for exactly this expression, or NULL. */
lm_scanner lm_scanner_for(const char *expression);

/* lm_pattern_cut for a scanner. */
bool lm_scanner_cut(lm_scanner scan, uint32_t rune, bool loose, bool *divides);

/* Compiles the expression also where there is a scanner for it: the tests compare the two. */
lm_status lm_pattern_compile(lm_pattern **out, const char *expression, const char *name, lm_err *err);

#endif
