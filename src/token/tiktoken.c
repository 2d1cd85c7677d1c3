/* tiktoken files: one token a line, base64 of its bytes and its rank, which is its id.
 *
 * The file holds neither the expression that cuts text nor the special tokens; both follow from the number
 * of tokens for the published vocabularies.  Another number is refused.
 *
 * tiktoken merges the pair whose joined bytes have the lowest rank.  As merges: a token of rank r is made of
 * the two parts into which the ranks below r merge its bytes. */
#include "base/file.h"
#include "token/charsmap.h"
#include "token/document.h"
#include "token/pattern.h"
#include "token/pipeline.h"
#include "token/writer.h"

#include <stdlib.h>
#include <string.h>

static const size_t text_limit = (size_t)1 << 30;

typedef struct published {
    int n;
    const char *expression;
    const char *const *specials;     /* ids n, n + 1, ...; "" leaves an id free */
    const char *bos, *eos;
} published;

static const char *const gpt2_specials[] = { "<|endoftext|>", NULL };
static const char *const cl100k_specials[] = { "", "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", NULL };
static const char *const o200k_specials[] = { "", "<|endoftext|>", NULL };
static const char *const llama3_specials[] = {
    "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", NULL,
};
static const char *const qwen_specials[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL };

static const published vocabularies[] = {
    { 50256, "gpt2", gpt2_specials, NULL, "<|endoftext|>" },
    { 50257, "gpt2", NULL, NULL, NULL },
    { 100256, "cl100k", cl100k_specials, NULL, "<|endoftext|>" },
    { 128000, "llama3", llama3_specials, "<|begin_of_text|>", "<|end_of_text|>" },
    { 151643, "qwen2", qwen_specials, NULL, "<|endoftext|>" },
    { 199998, "o200k", o200k_specials, NULL, "<|endoftext|>" },
};

/* ---- reading ------------------------------------------------------------------------------------------ */

typedef struct ranks {
    lm_vocab tokens;                 /* bytes by rank */
    lm_str text;
} ranks;

static lm_status read_line(lm_vocab *tokens, lm_span line, int number, const char *path, lm_err *err)
{
    const char *space = memchr(line.data, ' ', line.len);
    lm_str bytes = {0};
    bool good = space && lm_base64_decode(&bytes, lm_span_of(line.data, (size_t)(space - line.data))) && bytes.len;
    int64_t rank = 0;
    for (const char *p = good ? space + 1 : line.data; good && p < line.data + line.len; p++) {
        good = *p >= '0' && *p <= '9' && rank < LM_MAX_TOKENS;
        rank = rank * 10 + (*p - '0');
    }
    lm_status status = good && space + 1 < line.data + line.len ? lm_vocab_add(tokens, lm_span_of(bytes.data, bytes.len), rank, path, err)
                                                                : lm_fail(err, LM_E_FORMAT, "%s: line %d: expected base64 and a rank", path, number);
    lm_str_free(&bytes);
    return status;
}

/* Tokens that stand elsewhere may have the ids between; which they are the file does not say. */
static lm_status check_holes(const lm_vocab *tokens, const char *path, lm_err *err)
{
    for (int i = 0; i < tokens->n; i++)
        if (!tokens->texts[i].data) return lm_fail(err, LM_E_UNSUPPORTED, "%s: no token has rank %d", path, i);
    return LM_OK;
}

static lm_status read_ranks(ranks *r, const char *path, lm_err *err)
{
    LM_TRY(lm_file_read(&r->text, path, text_limit, err));
    int number = 1;
    for (const char *p = r->text.data, *end = p + r->text.len; p < end; number++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((newline ? newline : end) - p);
        if (n && p[n - 1] == '\r') n--;
        if (n) LM_TRY(read_line(&r->tokens, lm_span_of(p, n), number, path, err));
        p = newline ? newline + 1 : end;
    }
    LM_TRY(check_holes(&r->tokens, path, err));
    for (int byte = 0; byte < 256; byte++)
        if (lm_vocab_id(&r->tokens, lm_span_of(&(char){ (char)byte }, 1)) < 0)
            return lm_fail(err, LM_E_FORMAT, "%s: byte 0x%02X has no token", path, (unsigned)byte);
    return LM_OK;
}

/* ---- merges ---------------------------------------------------------------------------------------------- */

bool lm_ranks_take_apart(const lm_vocab *tokens, int32_t rank, size_t *cut)
{
    lm_span text = tokens->texts[rank];
    size_t *ends = lm_malloc(text.len * sizeof *ends), n = text.len;
    for (size_t i = 0; i < n; i++) ends[i] = i + 1;
    while (n > 2) {
        int32_t best = rank;
        size_t at = n;
        for (size_t i = 0, begin = 0; i + 1 < n; begin = ends[i++]) {
            int32_t id = lm_vocab_id(tokens, lm_span_of(text.data + begin, ends[i + 1] - begin));
            if (id >= 0 && id < best) best = id, at = i;
        }
        if (at == n) break;
        memmove(ends + at, ends + at + 1, (n - at - 1) * sizeof *ends);
        n--;
    }
    *cut = ends[0];
    free(ends);
    return n == 2;
}

static lm_json *spelled(lm_span bytes)
{
    lm_str text = {0};
    lm_bytes_spell(&text, bytes);
    lm_json *node = lm_document_text(lm_span_of(text.data, text.len));
    lm_str_free(&text);
    return node;
}

static void make_model(lm_json **vocab, lm_json **merges, const lm_vocab *tokens)
{
    *vocab = json_object();
    *merges = json_array();
    for (int i = 0; i < tokens->n; i++) {
        lm_span text = tokens->texts[i];
        lm_json *key = spelled(text);
        json_object_set_new(*vocab, json_string_value(key), json_integer(i));
        lm_json_free(key);
        size_t cut;
        if (text.len > 1 && lm_ranks_take_apart(tokens, i, &cut))
            json_array_append_new(*merges, json_pack("[o, o]", spelled(lm_span_of(text.data, cut)), spelled(lm_span_of(text.data + cut, text.len - cut))));
    }
}

/* ---- all ----------------------------------------------------------------------------------------------------- */

static const published *find_published(int n)
{
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++)
        if (vocabularies[i].n == n) return &vocabularies[i];
    return NULL;
}

static void make_document(lm_json **document, lm_json **config, const lm_vocab *tokens, const published *p)
{
    lm_json *vocab, *merges;
    make_model(&vocab, &merges, tokens);
    lm_json *d = *document = lm_document_byte_bpe(vocab, merges, lm_document_byte_split(lm_expression_named(p->expression)));
    json_object_set_new(json_object_get(d, "model"), "ignore_merges", json_true());
    for (int i = 0; p->specials && p->specials[i]; i++)
        if (*p->specials[i])
            json_array_append_new(json_object_get(d, "added_tokens"), lm_document_added(p->n + i, lm_span_of(p->specials[i], strlen(p->specials[i])), true, false));
    if (p->bos) json_object_set_new(d, "post_processor", lm_document_template(p->bos, p->n, NULL, -1));
    *config = json_object();
    if (p->bos) json_object_set_new(*config, "bos_token", json_string(p->bos));
    if (p->eos) json_object_set_new(*config, "eos_token", json_string(p->eos));
}

static lm_status read_tiktoken(lm_json **document, lm_json **config, const char *path, lm_err *err)
{
    ranks r = {0};
    lm_status status = read_ranks(&r, path, err);
    const published *p = status ? NULL : find_published(r.tokens.n);
    if (!status && !p)
        status = lm_fail(err, LM_E_UNSUPPORTED, "%s: a tiktoken file of %d tokens: its expression is not in the file, and only those of 50256, 50257, 100256, "
                         "128000, 151643 and 199998 tokens are known", path, r.tokens.n);
    if (!status) make_document(document, config, &r.tokens, p);
    lm_vocab_free(&r.tokens);
    lm_str_free(&r.text);
    return status;
}

/* The first line is base64, a space, a number. */
static bool is_tiktoken(lm_span head, size_t size)
{
    (void)size;
    const char *newline = memchr(head.data, '\n', head.len);
    const char *space = newline ? memchr(head.data, ' ', (size_t)(newline - head.data)) : NULL;
    if (!space || space == head.data || (space - head.data) % 4) return false;
    for (const char *p = space + 1; p < newline; p++)
        if ((*p < '0' || *p > '9') && *p != '\r') return false;
    lm_str bytes = {0};
    bool good = space + 1 < newline && lm_base64_decode(&bytes, lm_span_of(head.data, (size_t)(space - head.data)));
    lm_str_free(&bytes);
    return good;
}

const lm_token_format lm_token_format_tiktoken = { .name = "tiktoken", .order = 3, .is = is_tiktoken, .read = read_tiktoken };
