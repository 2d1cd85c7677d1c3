/* Lines that begin with a bullet or end with an ellipsis.  Rae et al. 2021 (Gopher), A1.1: at most 90% and 30%. */
#include "data/filter.h"

#include "token/unicode.h"

typedef struct settings {
    double max_bullets, max_ellipsis;
} settings;

static const lm_option options[] = {
    LM_OPTION(REAL, settings, max_bullets, "max-bullets", .fallback = "0.9", .min = 0, .max = 1, .help = "share of lines that begin with a bullet"),
    LM_OPTION(REAL, settings, max_ellipsis, "max-ellipsis", .fallback = "0.3", .min = 0, .max = 1, .help = "share of lines that end with an ellipsis"),
    { 0 },
};

static const lm_measure measures[] = { { "lines with a bullet", false }, { "lines that trail off", false }, { 0 } };

/* A dash or asterisk is a bullet before a space. */
static bool begins_with_bullet(lm_span line)
{
    static const uint32_t signs[] = { 0x2022, 0x2023, 0x2043, 0x25E6, 0x25AA, 0x25AB, 0x25A0, 0x25A1, 0x25CF, 0x25CB, 0x25B6, 0x25B7, 0x2219, 0xB7, 0x318D,
                                      0x203B, 0x25C6, 0x25C7, 0x2605, 0x2606, 0x27A4, 0 };
    uint32_t rune;
    if (!line.len) return false;
    size_t n = (size_t)lm_rune_at(line.data, line.len, &rune);
    if (rune == '-' || rune == '*' || rune == '+') return line.len > n && line.data[n] == ' ';
    for (const uint32_t *s = signs; *s; s++)
        if (rune == *s) return true;
    return false;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, bullets = 0, trailing = 0;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    for (size_t i = 0; i < n; i++) {
        bullets += begins_with_bullet(lines[i].text);
        trailing += lm_ends_ellipsis(lines[i].text);
    }
    double a = doc->values[0] = n ? (double)bullets / (double)n : 0, b = doc->values[1] = n ? (double)trailing / (double)n : 0;
    if (a > o->max_bullets) return lm_reject(doc, "%.1f%% of the lines begin with a bullet, expected at most %g%%", 100 * a, 100 * o->max_bullets);
    if (b > o->max_ellipsis) return lm_reject(doc, "%.1f%% of the lines end with an ellipsis, expected at most %g%%", 100 * b, 100 * o->max_ellipsis);
    return true;
}

const lm_filter lm_filter_bullets = {
    .name = "bullets", .source = "Rae et al. 2021 (Gopher), A1.1",
    .help = "shares of lines with bullets, and of lines that trail off",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
