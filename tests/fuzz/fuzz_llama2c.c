/* llama2.c models: a header is believed only when its sizes add up to the file, and then all of it can
 * be written out. */
#include "common/test.h"
#include "base/map.h"
#include "io/llama2c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0};
    lm_llama2c_header h;
    char *path = test_path("fuzz.bin"), *folder = test_path(".");
    FILE *out = fopen(path, "wb");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
    lm_status status = lm_llama2c_inspect(&h, path, &err);
    LM_ASSERT(status == err.code);
    if (status == LM_OK) {
        LM_ASSERT(h.dim > 0 && h.dim % h.n_heads == 0 && h.n_heads % h.n_kv_heads == 0);
        LM_ASSERT((uint64_t)(h.vocab_size * h.dim) * 4 < size);
        if (lm_hash(data, size, 0) % 64 == 0)          /* some of them: writing waits for the disk */
            LM_ASSERT(lm_llama2c_convert(path, folder, &err) == LM_OK);
    }
    remove(path);
    free(path);
    free(folder);
    return 0;
}
