/* vocab.json with merges.txt, which stand in one input with a form feed between them. */
#include "fuzz/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *feed = size ? memchr(data, '\f', size) : NULL;
    size_t n = feed ? (size_t)(feed - data) : size, rest = feed ? size - n - 1 : 0;
    char *vocab = fuzz_write("vocab.json", data, n), *merges = fuzz_write("merges.txt", data + size - rest, rest);
    fuzz_tokenizer(vocab);
    remove(vocab), remove(merges);
    free(vocab), free(merges);
    return 0;
}
