/* Safetensors: what opens covers its file exactly, is found by name, and can be read. */
#include "common/test.h"
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(const char *path, const uint8_t *data, size_t size)
{
    FILE *out = fopen(path, "wb");
    LM_ASSERT(out && fwrite(data, 1, size, out) == size);
    fclose(out);
}

static void read_tensor(const lm_stored *s)
{
    static float values[1 << 16];
    lm_err err = {0};
    bool fits = s->numel <= (int64_t)(sizeof values / sizeof *values);
    if (fits && lm_stored_copy(s, values, LM_F32, &err) != LM_OK) LM_ASSERT(err.code == LM_E_UNSUPPORTED);
    const float *in_place = lm_stored_in_place(s, LM_F32);
    if (in_place && fits) LM_ASSERT(s->numel == 0 || memcmp(in_place, values, s->bytes) == 0);
    lm_stored_need_shape(s, 0, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_err err = {0};
    lm_safetensors file;
    char *path = test_path("fuzz.safetensors");
    put(path, data, size);
    lm_status status = lm_safetensors_open(&file, path, &err);
    LM_ASSERT(status == err.code);
    LM_ASSERT(!strpbrk(err.message, "\n\r\033"));
    LM_ASSERT(lm_utf8_valid(err.message, strlen(err.message)) == strlen(err.message) || strlen(err.message) > 990);
    if (status == LM_OK) {
        const uint8_t *at = file.n ? file.items[0].data : NULL;
        for (int64_t i = 0; i < file.n; i++) {
            const lm_stored *s = &file.items[i];
            LM_ASSERT(s->data == at && at >= file.mapping.data);
            LM_ASSERT(lm_safetensors_find(&file, s->name) == s);
            read_tensor(s);
            at += s->bytes;
        }
        LM_ASSERT(!file.n || at == file.mapping.data + size);
        lm_safetensors_close(&file);
    }
    remove(path);
    free(path);
    return 0;
}
