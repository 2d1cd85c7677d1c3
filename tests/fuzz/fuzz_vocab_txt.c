/* vocab.txt: a clear error or a tokenizer that can be used. */
#include "fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = fuzz_write("fuzz.vocab_txt", data, size);
    fuzz_tokenizer(path);
    remove(path);
    free(path);
    return 0;
}
