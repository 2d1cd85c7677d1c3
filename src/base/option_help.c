/* --help: two columns, the option and what it does.
 *
 *     -n, --max-new-tokens N   tokens to generate at most (default 128)
 *         --schedule NAME      learning rate over time: constant, linear, cosine
 *                              (default cosine) */
#include "base/option.h"

#include <string.h>

enum { WIDTH = 96, LEFT_MOST = 34 };   /* columns of a line; an option that is wider has its text below */

static const char *metavar(const lm_option *option)
{
    if (option->metavar) return option->metavar;
    switch (option->type) {
    case LM_OPT_FLAG:   return NULL;
    case LM_OPT_INT:    return "N";
    case LM_OPT_REAL:   return "X";
    case LM_OPT_STRING: return "TEXT";
    case LM_OPT_CHOICE: return "NAME";
    case LM_OPT_LIST:   return "A,B";
    }
    return NULL;
}

/* "  -n, --max-new-tokens N"; a flag that is on by default shows how to turn it off. */
static void put_left(lm_str *out, const lm_option *option)
{
    bool on = option->type == LM_OPT_FLAG && option->fallback && strcmp(option->fallback, "true") == 0;
    const char *what = metavar(option);
    if (option->letter) lm_str_printf(out, "  -%c, ", option->letter);
    else lm_str_puts(out, "      ");
    lm_str_printf(out, "--%s%s", on ? "[no-]" : "", option->name);
    if (what) lm_str_printf(out, " %s", what);
}

static void put_right(lm_str *out, const lm_option *option)
{
    lm_str_puts(out, option->help ? option->help : "");
    if (option->choices)
        for (const char *const *c = option->choices; *c; c++)
            lm_str_printf(out, "%s%s", c > option->choices ? ", " : out->len ? ": " : "", *c);
    if (option->required && !option->fallback) lm_str_puts(out, " (required)");
    else if (option->type == LM_OPT_FLAG) lm_str_puts(out, option->fallback && strcmp(option->fallback, "true") == 0 ? " (default on)" : "");
    else if (option->fallback && *option->fallback) lm_str_printf(out, " (default %s)", option->fallback);
}

static void put_spaces(lm_str *out, size_t n)
{
    while (n-- > 0) lm_str_putc(out, ' ');
}

/* Words of `text` from column `at` on, which the first line has reached already. */
static void put_wrapped(lm_str *out, const char *text, size_t at)
{
    size_t column = at;
    for (const char *p = text; *p; ) {
        size_t n = strcspn(p, " "), wide = lm_text_width(p, n);
        if (column > at && column + 1 + wide > WIDTH) {
            lm_str_putc(out, '\n');
            put_spaces(out, at);
            column = at;
        } else if (column > at) {
            lm_str_putc(out, ' ');
            column++;
        }
        lm_str_append(out, p, n);
        column += wide;
        p += n;
        p += strspn(p, " ");
    }
    lm_str_putc(out, '\n');
}

static size_t left_columns(const lm_option *option)
{
    lm_str left = {0};
    put_left(&left, option);
    size_t wide = lm_text_width(left.data, left.len);
    lm_str_free(&left);
    return wide;
}

/* Where the text begins: after the widest option that is not too wide. */
static size_t text_column(const lm_option_set *sets)
{
    size_t widest = 0;
    for (const lm_option_set *set = sets; set->options; set++) {
        for (const lm_option *option = set->options; option->name; option++) {
            size_t wide = left_columns(option);
            if (wide <= LEFT_MOST && wide > widest) widest = wide;
        }
    }
    return (widest ? widest : LEFT_MOST) + 3;
}

void lm_options_help(const lm_option_set *sets, lm_str *out)
{
    size_t at = text_column(sets);
    for (const lm_option_set *set = sets; set->options; set++) {
        if (!set->options->name) continue;
        if (set > sets) lm_str_putc(out, '\n');
        lm_str_printf(out, "%s:\n", set->title ? set->title : "Options");
        for (const lm_option *option = set->options; option->name; option++) {
            lm_str right = {0};
            size_t wide = left_columns(option);
            put_left(out, option);
            put_right(&right, option);
            if (right.len && wide + 2 > at) lm_str_putc(out, '\n'), wide = 0;
            if (right.len) put_spaces(out, at - wide);
            put_wrapped(out, right.data ? right.data : "", at);
            lm_str_free(&right);
        }
    }
}
