/* Text to go on from: rows with a text and nothing that makes another kind of them, and plain files. */
#include "data/format.h"

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const char *text;
    LM_TRY(lm_kind_text(&text, row, 0, err));
    out->answers = json_pack("[s]", text);
    return LM_OK;
}

const lm_row_kind lm_row_kind_text = {
    .name = "text", .help = "text, document, sentence, review or content; plain text files; taken where no other kind fits",
    .fields = { { .role = "text", .names = { "text", "document", "sentence", "review", "content" }, .types = LM_FIELD_TEXT } },
    .shape = LM_SHAPE_TEXT, .usual = LM_SHAPE_TEXT, .last = true, .read = read,
};
