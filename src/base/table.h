/* A plain text table for a terminal: aligned columns, two spaces between them, no lines drawn but
 * one under the head.  Widths are columns of the terminal, so Hangul lines up.
 *
 *     lm_table t = lm_table_start("lrr");            three columns: left, right, right
 *     lm_table_cells(&t, "run", "step", "loss");     the head
 *     lm_table_rule(&t);
 *     lm_table_put(&t, "%s", name); lm_table_put(&t, "%d", step); lm_table_put(&t, "%.3f", loss);
 *     lm_table_print(&t, &out);
 *     lm_table_free(&t); */
#ifndef LM_BASE_TABLE_H
#define LM_BASE_TABLE_H

#include "base/str.h"

typedef struct lm_table {
    const char *align;        /* 'l' or 'r' per column; borrowed */
    char **cells;             /* row after row */
    size_t n_cells, cap;
    size_t rule;              /* cells before the line, 0 for none */
} lm_table;

lm_table lm_table_start(const char *align);

/* The next cell; rows follow from the number of columns.  Line breaks and tabs become spaces. */
void lm_table_put(lm_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next cells, each a text. */
#define lm_table_cells(t, ...) lm_table_texts(t, (const char *const[]){ __VA_ARGS__, 0 })
void lm_table_texts(lm_table *t, const char *const *texts);

/* A line under the rows so far, which must be whole. */
void lm_table_rule(lm_table *t);

/* Appends the table; lines have no trailing spaces.  Cells missing from the last row are empty. */
void lm_table_print(const lm_table *t, lm_str *out);
void lm_table_free(lm_table *t);

#endif
