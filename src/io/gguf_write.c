#include "io/gguf_write.h"

#include <string.h>

enum { ALIGN = 32, TYPE_F32 = 0 };

static void put_number(lm_str *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) lm_str_putc(out, (char)(value >> 8 * i));
}

static void put_text(lm_str *out, lm_span text)
{
    put_number(out, text.len, 8);
    lm_str_append(out, text.data, text.len);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void put_key(lm_gguf_writer *w, const char *key, lm_gguf_type type)
{
    put_text(&w->entries, lm_span_of(key, strlen(key)));
    put_number(&w->entries, type, 4);
    w->n_entries++;
}

void lm_gguf_put_number(lm_gguf_writer *w, uint64_t value, int bytes) { put_number(&w->entries, value, bytes); }
void lm_gguf_put_text(lm_gguf_writer *w, lm_span text) { put_text(&w->entries, text); }
void lm_gguf_put_bytes(lm_gguf_writer *w, const void *bytes, size_t n) { lm_str_append(&w->entries, bytes, n); }

void lm_gguf_put_string(lm_gguf_writer *w, const char *key, const char *text)
{
    put_key(w, key, LM_GGUF_STRING);
    put_text(&w->entries, lm_span_of(text, strlen(text)));
}

void lm_gguf_put_flag(lm_gguf_writer *w, const char *key, bool value)
{
    put_key(w, key, LM_GGUF_BOOL);
    put_number(&w->entries, value, 1);
}

void lm_gguf_put_u32(lm_gguf_writer *w, const char *key, uint32_t value)
{
    put_key(w, key, LM_GGUF_U32);
    put_number(&w->entries, value, 4);
}

void lm_gguf_put_f32(lm_gguf_writer *w, const char *key, float value)
{
    put_key(w, key, LM_GGUF_F32);
    put_number(&w->entries, bits_of(value), 4);
}

void lm_gguf_put_list(lm_gguf_writer *w, const char *key, lm_gguf_type item, size_t n)
{
    put_key(w, key, LM_GGUF_ARRAY);
    put_number(&w->entries, item, 4);
    put_number(&w->entries, n, 8);
}

static void pad(lm_str *s, size_t before)
{
    while ((before + s->len) % ALIGN) lm_str_putc(s, '\0');
}

void lm_gguf_put_matrix(lm_gguf_writer *w, const char *name, const float *data, int64_t rows, int64_t cols)
{
    pad(&w->data, 0);
    put_text(&w->tensors, lm_span_of(name, strlen(name)));
    put_number(&w->tensors, 2, 4);
    put_number(&w->tensors, (uint64_t)cols, 8);
    put_number(&w->tensors, (uint64_t)rows, 8);
    put_number(&w->tensors, TYPE_F32, 4);
    put_number(&w->tensors, w->data.len, 8);
    lm_str_reserve(&w->data, w->data.len + (size_t)(rows * cols) * sizeof *data);
    for (int64_t i = 0; i < rows * cols; i++) put_number(&w->data, bits_of(data[i]), 4);
    w->n_tensors++;
}

lm_status lm_gguf_write(const lm_gguf_writer *w, const char *path, lm_err *err)
{
    lm_str head = { 0 };
    lm_writer file;
    lm_str_puts(&head, "GGUF");
    put_number(&head, 3, 4);
    put_number(&head, w->n_tensors, 8);
    put_number(&head, w->n_entries, 8);
    lm_str_append(&head, w->entries.data, w->entries.len);
    lm_str_append(&head, w->tensors.data, w->tensors.len);
    if (w->n_tensors) pad(&head, 0);
    lm_status status = lm_writer_open(&file, path, err);
    if (status == LM_OK) {
        fwrite(head.data, 1, head.len, file.stream);             /* the commit looks at the stream's errors */
        if (w->data.len) fwrite(w->data.data, 1, w->data.len, file.stream);
        status = lm_writer_commit(&file, err);
    }
    lm_str_free(&head);
    return status;
}

void lm_gguf_writer_free(lm_gguf_writer *w)
{
    lm_str_free(&w->entries);
    lm_str_free(&w->tensors);
    lm_str_free(&w->data);
    *w = (lm_gguf_writer){ 0 };
}
