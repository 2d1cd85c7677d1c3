/* Questions and answers, as tables have them; a context stands under the question. */
#include "data/format.h"

enum { QUESTION, ANSWER, CONTEXT };

static lm_status read(lm_sample *out, const lm_kind_row *row, lm_err *err)
{
    const char *question, *answer;
    LM_TRY(lm_kind_text(&question, row, QUESTION, err));
    LM_TRY(lm_kind_text(&answer, row, ANSWER, err));
    out->prompt = lm_question(NULL, question, lm_kind_optional(row, CONTEXT));
    out->answers = json_pack("[[o]]", lm_message("assistant", answer));
    return LM_OK;
}

const lm_row_kind lm_row_kind_qa = {
    .name = "qa", .help = "question, answer (also Q and A, 질문 and 답변); context",
    .fields = {
        { .role = "question", .names = { "question", "Question", "QUESTION", "Q", "q", "query", "질문", "문의" }, .types = LM_FIELD_TEXT },
        { .role = "answer", .names = { "answer", "Answer", "ANSWER", "A", "a", "response", "답변", "답", "대답" }, .types = LM_FIELD_TEXT },
        { .role = "context", .names = { "context", "지문", "passage" }, .types = LM_FIELD_TEXT, .optional = true },
    },
    .shape = LM_SHAPE_MESSAGES, .usual = LM_SHAPE_MESSAGES, .read = read,
};
