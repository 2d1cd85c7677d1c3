/* Files of `data pack`: what opens has blocks that lie in its tokens, each of which becomes a batch.  The hash over the file is
 * made right, so that what stands behind it is looked at. */
#include "fuzz/tokenizer.h"

#include "base/map.h"
#include "data/batch.h"
#include "data/packed.h"

enum { MARK = 16, FRONT = MARK + 8 };

static void use(const lm_packed *p)
{
    lm_part all, none;
    lm_batcher b;
    LM_ASSERT(lm_part_split(&all, &none, &p->blocks, 0, 0, NULL) == LM_OK && all.n == p->blocks.n);
    lm_batcher_init(&b, &p->data, &p->blocks, &all, 1, true, 1);
    int64_t lessons = 0, learnt = 0;
    for (int64_t i = 0; i < all.n; i++) {
        const lm_microbatch *m = lm_batcher_fill(&b, i, 1, 1, 1);
        for (int64_t t = 0; t < m->batch.n_tokens; t++) LM_ASSERT(m->batch.ids[t] >= 0 && m->batch.ids[t] < p->about.vocab);
        lessons += m->batch.n_tokens;
        learnt += m->n_targets;
    }
    LM_ASSERT(lessons == p->blocks.n_lessons && learnt == p->blocks.n_supervised);
    for (int64_t d = 0; d < p->data.n; d++) {
        LM_ASSERT(lm_document_note(&p->data, d).len <= p->data.notes.len);
        free(lm_document_place(&p->data, d));
    }
    lm_batcher_free(&b);
    lm_part_free(&all);
    lm_part_free(&none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0};
    lm_packed p;
    uint8_t *bytes = lm_malloc(size + 1);
    if (size) memcpy(bytes, data, size);
    if (size > FRONT) {
        uint64_t hash = lm_hash(bytes + FRONT, size - FRONT, 0);
        memcpy(bytes + MARK, &hash, sizeof hash);
    }
    char *path = fuzz_write("fuzz.pack", bytes, size);
    lm_status status = lm_packed_open(&p, path, &err);
    LM_ASSERT(status == err.code && !strpbrk(err.message, "\n\r\033"));
    LM_ASSERT(status != LM_OK || lm_packed_is(path));
    if (status == LM_OK) use(&p);
    lm_packed_close(&p);
    remove(path);
    free(path);
    free(bytes);
    return 0;
}
