/* Lines that the corpus holds more than once: menus, notices, licences.  All but the first are cut out.
 * Wenzek et al. 2020 (CCNet), section 3.1, which does it for paragraphs of web pages, each a line there. */
#include "data/dedup/pieces.h"

#include <string.h>

static const lm_option options[] = {
    LM_OPTION(INT, lm_pieces_options, min_length, "min-length", .fallback = "10", .min = 1, .max = 1e9, .help = "characters of a line; shorter ones stay"),
    { 0 },
};

static lm_span split(lm_span text, size_t at)
{
    const char *end = memchr(text.data + at, '\n', text.len - at);
    return lm_span_of(text.data + at, end ? (size_t)(end + 1 - text.data) - at : text.len - at);
}

static void digest(const lm_dedup_run *run, lm_digest *out, lm_digest_room *room, lm_span text) { lm_pieces_digest(run, out, room, text, split); }
static void edit(lm_dedup_run *run, lm_str *out, lm_span text) { lm_pieces_edit(run, out, text, split); }

const lm_dedup lm_dedup_line = {
    .name = "line",
    .source = "Wenzek et al. 2020 (CCNet), section 3.1",
    .help = "lines that stand anywhere before are cut out of documents",
    .options = options, .options_size = sizeof(lm_pieces_options),
    .open = lm_pieces_open, .digest = digest, .fits = lm_pieces_fit, .add = lm_pieces_add, .solve = lm_pieces_solve,
    .edit = edit, .describe = lm_pieces_describe, .close = lm_pieces_close,
};
