/* What the targets of tokenizer files share: the bytes as a file, loaded and, where it loads, used. */
#ifndef LM_FUZZ_TOKENIZER_H
#define LM_FUZZ_TOKENIZER_H

#include "common/test.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline char *fuzz_write(const char *name, const uint8_t *data, size_t size)
{
    char *path = test_path(name);
    FILE *out = fopen(path, "wb");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
    return path;
}

/* Every id is of the vocabulary, the same text has the same ids again, and ids become text. */
static inline void fuzz_use(const lm_tokenizer *tk)
{
    static const char text[] = "Abc abd  <s>\xEA\xB0\x80\xEB\x82\x98 \xE2\x96\x81" "a1\n\xFF\xCC\x81 </s>" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (unsigned flags = 0; flags < 8; flags += 7) {
        lm_ids ids = {0}, again = {0};
        lm_str back = {0};
        lm_err err = {0};
        lm_status status = lm_encode(tk, &ids, text, sizeof text, flags, &err);     /* its NUL is part of it */
        LM_ASSERT(status == err.code && lm_encode(tk, &again, text, sizeof text, flags, NULL) == status);
        for (size_t i = 0; i < ids.len; i++) LM_ASSERT(lm_token_text(tk, ids.data[i]).data);
        LM_ASSERT(ids.len == again.len && (!ids.len || !memcmp(ids.data, again.data, ids.len * sizeof *ids.data)));
        LM_ASSERT(status || lm_decode(tk, &back, ids.data, ids.len, 0, &err) == LM_OK);
        lm_ids_free(&ids), lm_ids_free(&again);
        lm_str_free(&back);
    }
}

static inline int fuzz_tokenizer(const char *path)
{
    lm_err err = {0};
    lm_tokenizer *tk = NULL;
    lm_status status = lm_tokenizer_load(&tk, path, &err);
    LM_ASSERT(status == err.code && !tk == (status != LM_OK));
    LM_ASSERT(!strpbrk(err.message, "\n\r\033"));
    if (!status) fuzz_use(tk);
    lm_tokenizer_free(tk);
    return 0;
}

#endif
