/* Chats: a template, a NUL, and a chat as JSON.  What renders has a mark for each byte, the same as what is
 * learnt but for the marks of answers, and no byte of a message makes a special token. */
#include "common/test.h"
#include "data/chat.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_MESSAGES = 4 };                  /* each is rendered alone, up to the limits of templates */

static void check_marked(const lm_marked *m)
{
    LM_ASSERT(m->text.len == m->marks.len);
    LM_ASSERT(!m->text.len || lm_utf8_valid(m->text.data, m->text.len) == m->text.len);
}

static void check_answers(const lm_chat_template *t, const lm_chat *chat, const lm_marked *whole)
{
    lm_marked learnt = {0};
    lm_err err = {0};
    size_t answer = 0;
    if (lm_chat_render_answers(t, &learnt, chat, &err) == LM_OK) {
        check_marked(&learnt);
        LM_ASSERT(learnt.text.len == whole->text.len && !memcmp(learnt.text.data, whole->text.data, whole->text.len));
        for (size_t i = 0; i < learnt.marks.len; i++) answer += (learnt.marks.data[i] & LM_MARK_ANSWER) != 0;
        LM_ASSERT(answer > 0);
    } else {
        LM_ASSERT(err.message[0] && lm_utf8_valid(err.message, strlen(err.message)) == strlen(err.message));
    }
    lm_marked_free(&learnt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    if (!end) return 0;
    lm_err err = {0};
    size_t head = (size_t)(end - data) + 1;
    lm_json *tokens = json_pack("{s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>"), *row = lm_json_parse((const char *)end + 1, size - head, "fuzz", &err);
    lm_chat_template *t = NULL;
    lm_status status = row ? lm_chat_template_new(&t, (const char *)data, "fuzz", tokens, &err) : LM_E_FORMAT;
    LM_ASSERT(status == err.code && !t == (status != LM_OK));
    const lm_json *messages = lm_json_get(row, "messages");
    if (t && json_array_size(messages) <= MOST_MESSAGES) {
        const lm_chat chat = { .messages = messages, .tools = lm_json_get(row, "tools"), .now = 1 };
        lm_marked out = {0};
        status = lm_chat_render(t, &out, &chat, &err);
        LM_ASSERT(status == err.code);
        if (!status) check_marked(&out), check_answers(t, &chat, &out);
        lm_marked_free(&out);
    }
    lm_chat_template_free(t);
    lm_json_free(row);
    lm_json_free(tokens);
    return 0;
}
