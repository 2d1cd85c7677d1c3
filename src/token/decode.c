/* Decoders: the texts of tokens into text, one token at a time.
 *
 * The Hugging Face library decodes a whole list of tokens step by step; here each token runs through
 * all steps as it arrives, and a step that needs what follows holds its text back. */
#include "token/pipeline.h"
#include "token/replace.h"

#include <stdlib.h>
#include <string.h>

/* ---- ByteLevel: characters to the bytes that they spell ----------------------------------------- */

static void byte_level(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    (void)state;
    lm_str_clear(&at->held);
    bool spelled = lm_bytes_unspell(&at->held, token);
    lm_decode_next(decoder, at, spelled ? lm_span_of(at->held.data, at->held.len) : token);
}

const lm_token_decoder lm_token_decoder_byte_level = { .name = "ByteLevel", .push = byte_level };

/* ---- ByteFallback: <0xXX> to its byte ---------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void byte_fallback(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    (void)state;
    if (token.len == 6 && !memcmp(token.data, "<0x", 3) && token.data[5] == '>') {
        int high = hex_digit(token.data[3]), low = hex_digit(token.data[4]);
        if (high >= 0 && low >= 0) {
            char byte = (char)(high << 4 | low);
            lm_decode_next(decoder, at, lm_span_of(&byte, 1));
            return;
        }
    }
    lm_decode_next(decoder, at, token);
}

const lm_token_decoder lm_token_decoder_byte_fallback = { .name = "ByteFallback", .push = byte_fallback };

/* ---- Fuse: from here on the text is one ----------------------------------------------------------------- */

static void fuse(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    (void)state;
    lm_decode_next(decoder, at, token);
}

const lm_token_decoder lm_token_decoder_fuse = { .name = "Fuse", .push = fuse };

/* ---- Replace: in each token ------------------------------------------------------------------------------ */

static void replace(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    lm_str_clear(&at->held);
    lm_replace(state, &at->held, token, NULL);
    lm_decode_next(decoder, at, lm_span_of(at->held.data, at->held.len));
}

const lm_token_decoder lm_token_decoder_replace = { .name = "Replace", .load = lm_replace_load, .push = replace, .free = lm_replace_free };

/* ---- Strip: some characters at the ends of the text, or of each token ---------------------------------------- */

typedef struct strip_ends {
    char *content;                   /* one character */
    size_t n;                        /* its bytes */
    int64_t start, stop;             /* how many of it */
    bool whole;                      /* behind Fuse: of the whole text */
} strip_ends;

static void strip_free(void *state)
{
    strip_ends *s = state;
    if (s) free(s->content);
    free(s);
}

static lm_status strip_load(void **state, const lm_step_source *source, lm_err *err)
{
    strip_ends *s = lm_calloc(1, sizeof *s);
    *state = s;
    const char *content;
    LM_TRY(lm_json_need_str(source->json, "content", source->name, &content, err));
    LM_TRY(lm_json_need_int(source->json, "start", source->name, &s->start, err));
    LM_TRY(lm_json_need_int(source->json, "stop", source->name, &s->stop, err));
    s->content = lm_strdup(content);
    s->n = strlen(content);
    if (!s->n || s->start < 0 || s->stop < 0)
        return lm_fail(err, LM_E_FORMAT, "%s: decoder Strip: expected a character and counts that are not negative", source->name);
    const lm_steps *before = &source->tk->decoders;
    for (int i = 0; i < before->n; i++)
        if (before->items[i].kind == &lm_token_decoder_fuse) s->whole = true;
    return LM_OK;
}

static bool begins(const strip_ends *s, lm_span text) { return text.len >= s->n && !memcmp(text.data, s->content, s->n); }
static bool ends(const strip_ends *s, lm_span text) { return text.len >= s->n && !memcmp(text.data + text.len - s->n, s->content, s->n); }

static lm_span strip_left(const strip_ends *s, lm_span text, int64_t *left)
{
    for (; *left > 0 && begins(s, text); --*left) text = lm_span_of(text.data + s->n, text.len - s->n);
    if (text.len) *left = 0;
    return text;
}

/* at->count: how many more may go at the start.  Text that may be the end is held in at->held. */
static void strip(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    const strip_ends *s = state;
    int64_t left = s->whole && at->tokens > 0 ? at->count : s->start;
    token = strip_left(s, token, &left);
    at->count = left;
    if (!s->whole) {
        for (int64_t i = 0; i < s->stop && ends(s, token); i++) token.len -= s->n;
        lm_decode_next(decoder, at, token);
        return;
    }
    if (!s->stop) {
        lm_decode_next(decoder, at, token);
        return;
    }
    lm_str_append(&at->held, token.data, token.len);
    lm_span text = lm_span_of(at->held.data, at->held.len);
    for (int64_t i = 0; i < s->stop && ends(s, text); i++) text.len -= s->n;
    lm_str certain = {0};
    lm_str_append(&certain, text.data, text.len);
    memmove(at->held.data, at->held.data + text.len, at->held.len - text.len + 1);
    at->held.len -= text.len;
    lm_decode_next(decoder, at, lm_span_of(certain.data, certain.len));
    lm_str_free(&certain);
}

const lm_token_decoder lm_token_decoder_strip = { .name = "Strip", .load = strip_load, .push = strip, .free = strip_free };

/* ---- Metaspace: U+2581 to a space, none before the first word ------------------------------------------------- */

typedef struct metaspace {
    char *mark;
    bool prefixed;                   /* encoding put a mark before the first word */
} metaspace;

static void metaspace_free(void *state)
{
    metaspace *m = state;
    if (m) free(m->mark);
    free(m);
}

static lm_status metaspace_load(void **state, const lm_step_source *source, lm_err *err)
{
    metaspace *m = lm_calloc(1, sizeof *m);
    *state = m;
    const char *mark = "\xE2\x96\x81", *scheme = NULL;
    bool add_prefix_space = true;
    LM_TRY(lm_json_opt_str(source->json, "replacement", source->name, &mark, err));
    LM_TRY(lm_json_opt_str(source->json, "prepend_scheme", source->name, &scheme, err));
    LM_TRY(lm_json_opt_bool(source->json, "add_prefix_space", source->name, &add_prefix_space, err));
    m->mark = lm_strdup(mark);
    m->prefixed = scheme ? strcmp(scheme, "never") != 0 : add_prefix_space;
    if (!*mark) return lm_fail(err, LM_E_FORMAT, "%s: decoder Metaspace: an empty replacement", source->name);
    return LM_OK;
}

/* In the first token every mark goes, as in the reference. */
static void metaspace_push(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    const metaspace *m = state;
    size_t n = strlen(m->mark);
    lm_str_clear(&at->held);
    for (size_t i = 0; i < token.len;) {
        if (token.len - i >= n && !memcmp(token.data + i, m->mark, n)) {
            if (at->tokens > 0 || !m->prefixed) lm_str_putc(&at->held, ' ');
            i += n;
        } else {
            lm_str_putc(&at->held, token.data[i++]);
        }
    }
    lm_decode_next(decoder, at, lm_span_of(at->held.data, at->held.len));
}

const lm_token_decoder lm_token_decoder_metaspace = {
    .name = "Metaspace",
    .load = metaspace_load,
    .push = metaspace_push,
    .free = metaspace_free,
};

/* ---- WordPiece: a space before each word, none before what follows "##" ------------------------- */

typedef struct word_pieces {
    char *prefix;
    bool cleanup;
} word_pieces;

static void word_pieces_free(void *state)
{
    word_pieces *w = state;
    if (w) free(w->prefix);
    free(w);
}

static lm_status word_pieces_load(void **state, const lm_step_source *source, lm_err *err)
{
    word_pieces *w = lm_calloc(1, sizeof *w);
    *state = w;
    const char *prefix = "##";
    w->cleanup = true;
    LM_TRY(lm_json_opt_str(source->json, "prefix", source->name, &prefix, err));
    LM_TRY(lm_json_opt_bool(source->json, "cleanup", source->name, &w->cleanup, err));
    w->prefix = lm_strdup(prefix);
    return LM_OK;
}

/* English habits: no space before punctuation and contractions.  One after the other over the text, as
 * the reference does. */
static void clean_up(lm_str *text)
{
    static const char *const pairs[][2] = {
        { " .", "." }, { " ?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" }, { " n't", "n't" },
        { " 'm", "'m" }, { " do not", " don't" }, { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        size_t n = strlen(pairs[i][0]);
        lm_str out = {0};
        for (size_t at = 0; at < text->len;) {
            bool here = text->len - at >= n && !memcmp(text->data + at, pairs[i][0], n);
            if (here) lm_str_puts(&out, pairs[i][1]);
            else lm_str_putc(&out, text->data[at]);
            at += here ? n : 1;
        }
        lm_str_free(text);
        *text = out;
    }
}

static void word_pieces_push(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    const word_pieces *w = state;
    size_t n = strlen(w->prefix);
    lm_str_clear(&at->held);
    bool inside = token.len >= n && !memcmp(token.data, w->prefix, n);
    if (at->tokens > 0 && !inside) lm_str_putc(&at->held, ' ');
    if (at->tokens > 0 && inside) token = lm_span_of(token.data + n, token.len - n);
    lm_str_append(&at->held, token.data, token.len);
    if (w->cleanup) clean_up(&at->held);
    lm_decode_next(decoder, at, lm_span_of(at->held.data, at->held.len));
}

const lm_token_decoder lm_token_decoder_word_piece = {
    .name = "WordPiece",
    .load = word_pieces_load,
    .push = word_pieces_push,
    .free = word_pieces_free,
};

/* ---- BPEDecoder: the suffix of a word's last piece becomes a space, at the end nothing ------------- */

static lm_status suffix_load(void **state, const lm_step_source *source, lm_err *err)
{
    const char *suffix = "</w>";
    LM_TRY(lm_json_opt_str(source->json, "suffix", source->name, &suffix, err));
    if (!*suffix) return lm_fail(err, LM_E_FORMAT, "%s: decoder BPEDecoder: an empty suffix", source->name);
    *state = lm_strdup(suffix);
    return LM_OK;
}

/* Hands on the token that is held, its suffixes replaced by `by`. */
static void suffix_release(const char *suffix, lm_decoder *decoder, lm_decode_state *at, const char *by)
{
    size_t n = strlen(suffix);
    lm_str out = {0};
    for (size_t i = 0; i < at->held.len;) {
        bool here = at->held.len - i >= n && !memcmp(at->held.data + i, suffix, n);
        if (here) lm_str_puts(&out, by);
        else lm_str_putc(&out, at->held.data[i]);
        i += here ? n : 1;
    }
    lm_decode_next(decoder, at, lm_span_of(out.data, out.len));
    lm_str_free(&out);
}

static void suffix_push(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token)
{
    if (at->tokens > 0) suffix_release(state, decoder, at, " ");
    lm_str_clear(&at->held);
    lm_str_append(&at->held, token.data, token.len);
}

static void suffix_finish(const void *state, lm_decoder *decoder, lm_decode_state *at)
{
    if (at->tokens > 0) suffix_release(state, decoder, at, "");
}

const lm_token_decoder lm_token_decoder_bpe = {
    .name = "BPEDecoder",
    .load = suffix_load,
    .push = suffix_push,
    .finish = suffix_finish,
    .free = free,
};
