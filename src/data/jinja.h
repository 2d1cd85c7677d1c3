/* Jinja: the template language in which published models describe their chat format.
 *
 * A sandboxed interpreter of what such templates use, held to the settings of transformers
 * (trim_blocks, lstrip_blocks, immutable values, loop controls, {% generation %}):
 *
 *   statements   {{ }}, {% set %} (also ns.name = and as a block), if, for (else, filter, unpacking, break,
 *                continue), macro, call, filter, with, generation, raw, {# #}, whitespace control
 *   expressions  literals, arithmetic, ~, comparison, in, and or not, if else, attributes, items, slices,
 *                calls, filters, tests, the methods of Python's strings and dictionaries
 *   globals      raise_exception, strftime_now, namespace, range, dict
 *
 * Left out, and refused by name: include, import, extends, block, recursive loops, integers beyond 64
 * bits, the \N{..} escape, and filters that make HTML.  Case mappings take one character to one.
 *
 * Files are split by idea: jinja_lex (text to tokens), jinja_expression and jinja_parse (tokens to
 * nodes), jinja_eval and jinja_run (nodes to text), jinja_value, jinja_text and jinja_json (values),
 * jinja_filter, jinja_sequence, jinja_test, jinja_method and jinja_function (what templates may call).
 *
 * A template comes from a stranger: it can reach nothing but its variables, and its steps, nesting and
 * memory are limited.  So does a message's content: every byte of the result says whether it was written
 * by the template or came in with the data, so that content cannot pose as a special token. */
#ifndef LM_DATA_JINJA_H
#define LM_DATA_JINJA_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LM_MARK_DATA = 1,                /* came in with the data: no part of it is a special token */
    LM_MARK_ANSWER = 2,              /* inside {% generation %}: what the model is to learn */
};

/* A text with one byte of marks for each of its own.  {0} is empty. */
typedef struct lm_marked {
    lm_str text, marks;
} lm_marked;
void lm_marked_free(lm_marked *marked);                  /* takes NULL */

/* A compiled template: read-only, for any number of threads at once. */
typedef struct lm_jinja lm_jinja;

/* `name` heads messages ("chat_template.jinja"), which then name the line.  LM_E_FORMAT for what is not
 * Jinja, LM_E_UNSUPPORTED for what is left out.  The caller frees *out; it is NULL after a failure. */
lm_status lm_jinja_compile(lm_jinja **out, const char *text, size_t n, const char *name, lm_err *err);
void lm_jinja_free(lm_jinja *template);                  /* takes NULL */

/* Whether the template has a {% generation %} block. */
bool lm_jinja_has_generation(const lm_jinja *template);

typedef struct lm_jinja_input {
    const lm_json *data;             /* an object of variables: their strings are marked LM_MARK_DATA, except
                                        a well-known role ("user"), which a template may make a token of */
    const lm_json *trusted;          /* an object of variables that are not marked; NULL: none */
    int64_t now;                     /* for strftime_now: seconds since 1970; 0: the clock */
    int64_t steps;                   /* limits: nodes evaluated; 0: 20 million */
    size_t memory;                   /* bytes of values and result; 0: 512 MiB */
} lm_jinja_input;

/* Renders into *out, which is emptied first.  LM_E_FORMAT: the template raised an exception, or asked
 * for something that its variables cannot give; LM_E_UNSUPPORTED: a limit or something left out. */
lm_status lm_jinja_render(const lm_jinja *template, lm_marked *out, const lm_jinja_input *input, lm_err *err);

#endif
