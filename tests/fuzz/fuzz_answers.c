/* What a model said: its parts lie in it, in order and apart; marks and scores are of those there are; and a text is like
 * itself and no text is more like another than that. */
#include "common/test.h"
#include "data/asking.h"
#include "data/grow_prompts.h"
#include "data/novelty.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(lm_span text)
{
    enum { MOST = 6, MARKS = 4 };
    static const char *const marks[MARKS] = { "Task {number}:", "과제 {number}:", "Input:", "Output:" };
    lm_asking_part parts[MOST];
    int n = lm_asking_parts(parts, MOST, text, marks, MARKS);
    const char *from = text.data;
    LM_ASSERT(n >= 0 && n <= MOST);
    for (int i = 0; i < n; i++) {
        lm_span part = parts[i].text, trimmed = lm_trim(part);
        LM_ASSERT(parts[i].mark >= 0 && parts[i].mark < MARKS && part.data >= from && trimmed.len == part.len);
        from = part.data + part.len;
        LM_ASSERT(from <= text.data + text.len);
    }
}

static void check_likeness(lm_span text)
{
    size_t half = text.len / 2;
    while (half < text.len && ((unsigned char)text.data[half] & 0xC0) == 0x80) half++;
    lm_span first = lm_span_of(text.data, half);
    for (int unit = LM_ROUGE_MIXED; unit <= LM_ROUGE_CHAR; unit++) {
        lm_novelty *v = lm_novelty_new((lm_rouge_unit)unit);
        lm_novelty_add(v, first);
        lm_novelty_add(v, text);
        lm_likeness same = lm_novelty_find(v, text, NULL, 0), other = lm_novelty_find(v, text, (const int64_t[]){ 1 }, 1);
        LM_ASSERT(same.text < 0 ? other.text < 0 : same.rouge_l == 1);
        LM_ASSERT(other.text < 0 || (other.text == 0 && other.rouge_l > 0 && other.rouge_l <= 1));
        lm_novelty_free(v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const marks[] = { "[[yes]]", NULL, "[[no]]" };
    char *items[] = { "sorry", "이미지", "go to" };
    lm_span text = lm_span_of((const char *)data, size);
    if (!size || lm_utf8_valid(text.data, size) < size) return 0;        /* answers are UTF-8 */
    int mark = lm_asking_mark(text, marks, 3), score = lm_asking_score(text);
    LM_ASSERT(mark >= -1 && mark <= 2 && mark != 1 && score >= 0 && score <= 10);
    const lm_strings list = { items, 3 };
    const char *whole = lm_grow_says(&list, text, true), *any = lm_grow_says(&list, text, false);
    LM_ASSERT(!whole || any);
    check_parts(text);
    check_likeness(text);
    return 0;
}
