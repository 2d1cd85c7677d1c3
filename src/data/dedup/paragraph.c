/* Paragraphs, what stands between blank lines, that the corpus holds more than once.  All but the first are cut
 * out.  Wenzek et al. 2020 (CCNet), section 3.1. */
#include "data/dedup/pieces.h"

static const lm_option options[] = {
    LM_OPTION(INT, lm_pieces_options, min_length, "min-length", .fallback = "20", .min = 1, .max = 1e9, .help = "characters of a paragraph; shorter ones stay"),
    { 0 },
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Up to two line breaks with nothing but blanks between them, and all blanks that follow. */
static lm_span split(lm_span text, size_t at)
{
    int breaks = 0;
    size_t i = at;
    for (; i < text.len; i++) {
        if (text.data[i] == '\n') breaks++;
        else if (breaks > 1 && !is_blank(text.data[i])) break;
        else if (!is_blank(text.data[i])) breaks = 0;
    }
    return lm_span_of(text.data + at, i - at);
}

static void digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text) { lm_pieces_digest(run, out, room, text, split); }
static void edit(lm_dedup_run *run, lm_str *out, lm_span text) { lm_pieces_edit(run, out, text, split); }

const lm_dedup lm_dedup_paragraph = {
    .name = "paragraph",
    .source = "Wenzek et al. 2020 (CCNet), section 3.1",
    .help = "paragraphs that stand anywhere before are cut out of documents",
    .options = options, .options_size = sizeof(lm_pieces_options),
    .open = lm_pieces_open, .digest = digest, .fits = lm_pieces_fit, .add = lm_pieces_add, .solve = lm_pieces_solve,
    .edit = edit, .describe = lm_pieces_describe, .close = lm_pieces_close,
};
