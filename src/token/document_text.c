/* Documents between text and tables: the two large members of "model" are cut out of a text, or of a
 * document that a reader of another format or a trainer made, and put back for saving. */
#include "token/document_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- from text ------------------------------------------------------------------------------ */

/* The members of "model": those that are large stay text. */
static lm_json *take_model(lm_json_reader *r, lm_token_document *d)
{
    lm_json *model = json_object();
    lm_str buffer = {0};
    lm_span key;
    lm_json_open(r, '{');
    while (lm_json_key(r, &buffer, &key)) {
        lm_span *large = lm_span_eq(key, "vocab") ? &d->vocab : lm_span_eq(key, "merges") ? &d->merges : NULL;
        if (!large) lm_json_take_member(r, model, key);
        else if (large->data) lm_json_wrong(r, "duplicate key \"%.*s\"", (int)key.len, key.data);
        else *large = lm_json_balance(r);
    }
    lm_str_free(&buffer);
    return model;
}

static void take_document(lm_json_reader *r, lm_token_document *d)
{
    lm_str buffer = {0};
    lm_span key;
    d->json = json_object();
    lm_json_open(r, '{');
    while (lm_json_key(r, &buffer, &key)) {
        bool model = lm_span_eq(key, "model") && lm_json_peek(r) == '{' && !json_object_get(d->json, "model");
        if (model) json_object_set_new(d->json, "model", take_model(r, d));
        else lm_json_take_member(r, d->json, key);
    }
    lm_str_free(&buffer);
}

static bool is_null(lm_span value) { return value.data && lm_span_eq(value, "null"); }

lm_status lm_token_document_read(lm_token_document *d, lm_str *text, const char *name, lm_err *err)
{
    *d = (lm_token_document){ .text = *text, .whole = true };
    *text = (lm_str){0};
    lm_json_reader r;
    lm_json_reader_init(&r, lm_span_of(d->text.data, d->text.len), name, err);
    take_document(&r, d);
    LM_TRY(lm_json_reader_end(&r));
    if (is_null(d->vocab)) d->vocab = (lm_span){ NULL, 0 };
    if (is_null(d->merges)) d->merges = (lm_span){ NULL, 0 };
    return LM_OK;
}

void lm_token_document_reader(lm_json_reader *r, const lm_token_document *d, lm_span member, const char *name, lm_err *err)
{
    lm_json_reader_inside(r, lm_span_of(d->text.data, d->text.len), member, name, err);
}

/* ---- from a document ---------------------------------------------------------------------------- */

/* Moves one member into d->text; where it lies is known when all of them do. */
static size_t move_member(lm_token_document *d, lm_json *model, const char *key)
{
    const lm_json *value = lm_json_get(model, key);
    size_t before = d->text.len;
    if (value) lm_json_text(&d->text, value, 0);
    json_object_del(model, key);
    return d->text.len - before;
}

void lm_token_document_of(lm_token_document *d, const lm_json *document)
{
    *d = (lm_token_document){ .json = json_copy((lm_json *)(uintptr_t)document) };
    lm_json *model = json_copy(json_object_get(document, "model"));
    if (!json_is_object(model)) return;
    size_t vocab = move_member(d, model, "vocab"), merges = move_member(d, model, "merges");
    if (vocab) d->vocab = lm_span_of(d->text.data, vocab);
    if (merges) d->merges = lm_span_of(d->text.data + vocab, merges);
    json_object_set_new(d->json, "model", model);
}

void lm_token_document_free(lm_token_document *d)
{
    lm_json_free(d->json);
    lm_str_free(&d->text);
    *d = (lm_token_document){0};
}

/* ---- back ------------------------------------------------------------------------------------------ */

static void put_back(lm_json *model, const char *key, lm_span text)
{
    lm_json *value = text.data ? lm_json_parse(text.data, text.len, key, NULL) : NULL;
    if (value) json_object_set_new(model, key, value);
}

/* Some members only mean something here. */
static void drop_private(lm_json *node)
{
    const char *key;
    lm_json *value;
    size_t i;
    if (json_is_array(node)) {
        json_array_foreach(node, i, value) drop_private(value);
    } else if (json_is_object(node)) {
        json_object_del(node, "exact");
        json_object_del(node, "symbols");
        json_object_foreach(node, key, value) drop_private(value);
    }
}

void lm_token_document_text(lm_str *out, const lm_token_document *d)
{
    if (d->whole) {
        lm_str_append(out, d->text.data, d->text.len);
        return;
    }
    lm_json *copy = json_deep_copy(d->json), *model = json_object_get(copy, "model");
    json_object_del(copy, "exact");
    json_object_del(model, "exact");
    drop_private(json_object_get(copy, "normalizer"));
    drop_private(json_object_get(copy, "added_tokens"));
    put_back(model, "vocab", d->vocab);
    put_back(model, "merges", d->merges);
    lm_json_text(out, copy, 2);
    lm_str_putc(out, '\n');
    lm_json_free(copy);
}
