/* Filters: the first line is a specification, or a YAML mapping where it begins with "%"; the rest is a text that
 * they see.  Whatever they say, the text stays UTF-8, a rejection has a reason, and a second run says the same. */
#include "common/test.h"
#include "data/filter.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Other files than the fuzzer's own are none of its business. */
static bool names_a_file(const lm_pipeline *p)
{
    for (int i = 0; i < p->n; i++) {
        const char *name = p->items[i].filter->name;
        if (!strcmp(name, "keywords") || !strcmp(name, "boilerplate") || !strcmp(name, "source") || !strcmp(name, "language") ||
            !strcmp(name, "classifier") || !strcmp(name, "perplexity") || !strcmp(name, "topics")) return true;
    }
    return false;
}

static lm_status read_pipeline(lm_pipeline *p, const char *line, size_t n, lm_err *err)
{
    if (n && line[0] == '%') return lm_pipeline_yaml(p, line + 1, n - 1, "fuzz", err);
    char *spec = lm_strndup(line, n);
    lm_status status = lm_pipeline_add(p, &(lm_strings){ &spec, 1 }, err);
    free(spec);
    return status;
}

static bool filter_text(const lm_pipeline *p, lm_doc *doc, lm_span text)
{
    int by;
    lm_doc_begin(doc, &(lm_row){0}, text);
    bool kept = lm_pipeline_apply(p, doc, &by, NULL, NULL, NULL);
    LM_ASSERT(lm_utf8_valid(doc->text.data, doc->text.len) == doc->text.len);
    LM_ASSERT(kept ? by == p->n : by < p->n && *doc->reason && lm_utf8_valid(doc->reason, strlen(doc->reason)) == strlen(doc->reason));
    return kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t line = newline ? (size_t)(newline - data) : size, begin = newline ? line + 1 : size;
    lm_pipeline p = {0};
    lm_err err = {0};
    lm_status status = read_pipeline(&p, (const char *)data, line, &err);
    LM_ASSERT(status == err.code && (status == LM_OK || !strpbrk(err.message, "\n")));
    size_t valid = size > begin ? lm_utf8_valid((const char *)data + begin, size - begin) : 0;
    if (status == LM_OK && !names_a_file(&p) && lm_pipeline_open(&p, &err) == LM_OK) {
        lm_doc first = {0}, second = {0};
        lm_span text = lm_span_of((const char *)data + begin, valid);
        LM_ASSERT(filter_text(&p, &first, text) == filter_text(&p, &second, text));
        LM_ASSERT(first.text.len == second.text.len && !memcmp(first.text.data, second.text.data, first.text.len));
        lm_doc_free(&first);
        lm_doc_free(&second);
    }
    lm_pipeline_free(&p);
    return 0;
}
