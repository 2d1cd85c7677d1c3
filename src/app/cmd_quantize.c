/* malmoi quantize: a model folder whose linears are in a block format, as bitsandbytes' checkpoints are. */
#include "app/command.h"
#include "app/open.h"

#include "base/log.h"
#include "io/folder.h"
#include "io/staging.h"

#include <stdio.h>

typedef struct quantize_options {
    const char *to;
    bool force, json;
} quantize_options;

static const lm_option options[] = {
    LM_OPTION(STRING, quantize_options, to, "to", .fallback = "nf4", .metavar = "FORMAT", .help = "nf4, fp4 or int8"),
    LM_OPTION(FLAG, quantize_options, force, "force", .help = "replace a model that stands there"),
    LM_OPTION(FLAG, quantize_options, json, "json", .help = "one JSON object"),
    { 0 },
};

/* Bytes of the linears now, and as they are in the folder. */
static void sizes(const lm_model *m, size_t *now, size_t *before)
{
    *now = *before = 0;
    for (int64_t i = 0; i < m->n_sites; i++) {
        const lm_stored *s = lm_model_stored(m, m->sites[i]->w->name);
        *now += lm_nbytes(m->sites[i]->w);
        *before += s ? s->bytes : 0;
    }
}

static lm_status write_folder(const quantize_options *o, const lm_model *m, const char *out, lm_err *err)
{
    lm_staging staging;
    LM_TRY(lm_staging_begin(&staging, out, o->force, err));
    lm_status status = lm_folder_copy_sides(m->path, staging.path, err);
    if (status == LM_OK) status = lm_model_save(m, staging.path, m->embedding->dtype, 0, err);
    return lm_staging_end(&staging, status, err);
}

static lm_status quantize(lm_opened *m, const lm_call *call, lm_err *err)
{
    const quantize_options *o = call->values;
    const char *from = call->args.items[0], *out = call->args.items[1];
    size_t now, before;
    if (!lm_quant_type_find(o->to)) return lm_fail(err, LM_E_USAGE, "--to %s: expected nf4, fp4 or int8", o->to);
    m->load_in = o->to;
    LM_TRY(lm_open(m, call, from, NULL, LM_DTYPE_F32, err));
    if (m->model->quant_stored) return lm_fail(err, LM_E_USAGE, "%s: its linears are in %s already", from, m->model->quant->name);
    LM_TRY(write_folder(o, m->model, out, err));
    sizes(m->model, &now, &before);
    if (o->json) {
        lm_print_json(json_pack("{s:s, s:s, s:I, s:I}", "out", out, "format", o->to, "bytes", (json_int_t)now, "bytes_before", (json_int_t)before));
    } else {
        char a[24], b[24];
        printf("%s: the linears of %s in %s, %s instead of %s\n", out, from, o->to, lm_format_bytes(a, (double)now),
               lm_format_bytes(b, (double)before));
    }
    return LM_OK;
}

static lm_status run(lm_call *call, lm_err *err)
{
    LM_TRY(lm_call_args(call, 2, 2, "MODEL OUT", err));
    lm_opened m = { 0 };
    lm_status status = quantize(&m, call, err);
    lm_close(&m);
    return status;
}

const lm_command lm_command_quantize = {
    .name = "quantize", .group = "models", .summary = "store a model's linears in 4 or 8 bits",
    .usage = "MODEL OUT [options]", .example = "malmoi quantize MODEL MODEL-NF4 --to nf4",
    .notes = "OUT is what transformers' save_pretrained writes with bitsandbytes, and is read by both.",
    .options = options, .values_size = sizeof(quantize_options), .run = run,
};
