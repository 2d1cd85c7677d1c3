#define _GNU_SOURCE
#include "base/table.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

lm_table lm_table_start(const char *align)
{
    LM_ASSERT(align[0] && strspn(align, "lr") == strlen(align));
    return (lm_table){ .align = align };
}

static void push(lm_table *t, char *cell)
{
    for (char *p = cell; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F) *p = ' ';
    if (t->n_cells == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 32;
        t->cells = lm_realloc(t->cells, t->cap * sizeof *t->cells);
    }
    t->cells[t->n_cells++] = cell;
}

void lm_table_put(lm_table *t, const char *format, ...)
{
    char *cell;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&cell, format, args);
    va_end(args);
    LM_ASSERT(n >= 0);
    push(t, cell);
}

void lm_table_texts(lm_table *t, const char *const *texts)
{
    for (; *texts; texts++) push(t, lm_strdup(*texts));
}

void lm_table_rule(lm_table *t)
{
    LM_ASSERT(t->n_cells > 0 && t->n_cells % strlen(t->align) == 0);
    t->rule = t->n_cells;
}

static void put_many(lm_str *out, size_t n, char c)
{
    while (n-- > 0) lm_str_putc(out, c);
}

/* Spaces are owed, not written, until something follows them. */
static void put_row(lm_str *out, const lm_table *t, size_t first, const size_t *widths)
{
    size_t owed = 0;
    for (size_t c = 0; t->align[c] && first + c < t->n_cells; c++) {
        const char *cell = t->cells[first + c];
        size_t n = strlen(cell), room = widths[c] - lm_text_width(cell, n);
        if (t->align[c] == 'r') owed += room;
        if (n) put_many(out, owed, ' '), owed = 0;
        lm_str_append(out, cell, n);
        if (t->align[c] == 'l') owed += room;
        owed += GAP;
    }
    lm_str_putc(out, '\n');
}

void lm_table_print(const lm_table *t, lm_str *out)
{
    size_t columns = strlen(t->align), total = 0;
    size_t *widths = lm_calloc(columns, sizeof *widths);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t wide = lm_text_width(t->cells[i], strlen(t->cells[i]));
        if (wide > widths[i % columns]) widths[i % columns] = wide;
    }
    for (size_t c = 0; c < columns; c++) total += widths[c] + (c ? GAP : 0);
    for (size_t first = 0; first < t->n_cells; first += columns) {
        put_row(out, t, first, widths);
        if (first + columns == t->rule) put_many(out, total, '-'), lm_str_putc(out, '\n');
    }
    free(widths);
}

void lm_table_free(lm_table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n_cells; i++) free(t->cells[i]);
    free(t->cells);
    *t = (lm_table){0};
}
