#include "infer/generation.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static lm_status read_eos(lm_generation *g, const lm_json *doc, const char *path, lm_err *err)
{
    const lm_json *eos = lm_json_get(doc, "eos_token_id");
    size_t n = json_is_array(eos) ? json_array_size(eos) : eos != NULL;
    if (n > LM_GENERATION_EOS) {
        return lm_fail(err, LM_E_UNSUPPORTED, "%s: eos_token_id: %zu ids, at most %d are known", path, n, LM_GENERATION_EOS);
    }
    for (size_t i = 0; i < n; i++) {
        const lm_json *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
            return lm_fail(err, LM_E_FORMAT, "%s: eos_token_id: expected a token id or a list of them", path);
        }
        g->eos[g->n_eos++] = (int32_t)json_integer_value(id);
    }
    return LM_OK;
}

lm_status lm_generation_read(lm_generation *out, const char *folder, lm_err *err)
{
    static const char *const names[] = { "temperature", "top_k", "top_p", "min_p", "repetition_penalty" };
    *out = (lm_generation){ .sampling = json_object() };
    char *path = lm_path_join(folder, "generation_config.json");
    lm_json *doc = NULL;
    lm_status status = LM_OK;
    if (!lm_file_exists(path)) goto out;
    doc = lm_json_read(path, err);
    if (!doc) {
        status = err->code;
        goto out;
    }
    if (!json_is_object(doc)) {
        status = lm_fail(err, LM_E_FORMAT, "%s: expected an object", path);
        goto out;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lm_json *value = lm_json_get(doc, names[i]);
        if (value) json_object_set(out->sampling, names[i], value);
    }
    status = read_eos(out, doc, path, err);
out:
    lm_json_free(doc);
    free(path);
    if (status != LM_OK) lm_generation_free(out);
    return status;
}

void lm_generation_free(lm_generation *g)
{
    lm_json_free(g->sampling);
    *g = (lm_generation){ 0 };
}

lm_status lm_generation_write(const char *folder, int64_t bos, int64_t eos, int64_t pad, lm_err *err)
{
    lm_json *doc = json_object();
    if (bos >= 0) json_object_set_new(doc, "bos_token_id", json_integer(bos));
    if (eos >= 0) json_object_set_new(doc, "eos_token_id", json_integer(eos));
    if (pad >= 0) json_object_set_new(doc, "pad_token_id", json_integer(pad));
    char *path = lm_path_join(folder, "generation_config.json");
    lm_status status = lm_json_write(doc, path, err);
    free(path);
    lm_json_free(doc);
    return status;
}
