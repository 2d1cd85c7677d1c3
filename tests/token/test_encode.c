/* What must hold of encoding whatever the pipeline: the ids do not depend on where a text is cut, on what
 * the encoder remembers, on the number of threads, nor on the parts in which a text arrives.  The reference is
 * a short text encoded whole by a fresh encoder, which neither cuts nor remembers anything. */
#include "common/test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "token/pattern.h"
#include "token/pipeline.h"

#include <stdlib.h>
#include <string.h>

/* ---- pipelines, around models of a few tokens ------------------------------------------------------------ */

static lm_json *must(lm_json *node)
{
    assert_non_null(node);
    return node;
}

static void add_token(lm_json *vocab, const char *text) { json_object_set_new(vocab, text, json_integer((json_int_t)json_object_size(vocab))); }

static lm_json *byte_model(void)
{
    lm_json *vocab = json_object(), *merges = json_array();
    lm_str text = {0};
    for (int byte = 0; byte < 256; byte++) {
        lm_str_clear(&text);
        lm_str_put_rune(&text, lm_byte_spell((uint8_t)byte));
        add_token(vocab, text.data);
    }
    static const char *const pairs[][2] = { { "h", "e" }, { "l", "l" }, { "he", "ll" }, { "\u0120", "he" }, { "\u010A", "\u010A" }, { "\u0120", "\u0120" },
        { ".", "\u010A" }, { "\u0120", "a" }, { "\u00EA", "\u00B0" }, { "1", "2" }, { "\u0120\u0120", "\u0120\u0120" } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        lm_str_clear(&text);
        lm_str_printf(&text, "%s%s", pairs[i][0], pairs[i][1]);
        add_token(vocab, text.data);
        json_array_append_new(merges, json_pack("[s, s]", pairs[i][0], pairs[i][1]));
    }
    lm_str_free(&text);
    return must(json_pack("{s:s, s:o, s:o}", "type", "BPE", "vocab", vocab, "merges", merges));
}

static lm_json *character_model(void)
{
    lm_json *vocab = json_object(), *merges = json_array();
    char name[8];
    add_token(vocab, "<unk>");
    for (int byte = 0; byte < 256; byte++) snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte), add_token(vocab, name);
    static const char *const single[] = { "\u2581", "h", "e", "l", "o", "a", ".", "1", "2", "\uAC00", "\uB098" };
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) add_token(vocab, single[i]);
    static const char *const pairs[][2] = { { "h", "e" }, { "l", "l" }, { "\u2581", "he" }, { "\u2581", "\u2581" }, { "\uAC00", "\uB098" }, { "\u2581", "a" } };
    lm_str text = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        lm_str_clear(&text);
        lm_str_printf(&text, "%s%s", pairs[i][0], pairs[i][1]);
        add_token(vocab, text.data);
        json_array_append_new(merges, json_pack("[s, s]", pairs[i][0], pairs[i][1]));
    }
    lm_str_free(&text);
    return must(json_pack("{s:s, s:o, s:o, s:s, s:b, s:b}", "type", "BPE", "vocab", vocab, "merges", merges, "unk_token", "<unk>", "byte_fallback", 1, "fuse_unk", 1));
}

static const char *const pieces[] = { "<unk>", "\u2581", "\u2581he", "he", "ll", "l", "o", "\u2581a", "a", ".", "1", "2", "12", "\uAC00", "\uB098", "\u2581\uAC00" };
enum { PIECES = sizeof pieces / sizeof *pieces };
static double piece_score(int id) { return -1.0 - 0.37 * id; }

static lm_json *unigram_model(void)
{
    lm_json *vocab = json_array();
    for (int i = 0; i < PIECES; i++) json_array_append_new(vocab, json_pack("[s, f]", pieces[i], piece_score(i)));
    return must(json_pack("{s:s, s:i, s:o}", "type", "Unigram", "unk_id", 0, "vocab", vocab));
}

static lm_json *wordpiece_model(void)
{
    static const char *const words[] = { "[UNK]", "he", "##ll", "##o", "a", "##a", ".", "1", "##2", "\uAC00", "##\uB098", "h", "##e", "e", "l", "##l" };
    lm_json *vocab = json_object();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) add_token(vocab, words[i]);
    return must(json_pack("{s:s, s:s, s:o}", "type", "WordPiece", "unk_token", "[UNK]", "vocab", vocab));
}

static lm_json *split(const char *name)
{
    return must(json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", lm_expression_named(name), "behavior", "Isolated", "invert", 0));
}

static lm_json *bytes(bool regex) { return must(json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", (int)regex)); }
static lm_json *sequence(const char *members, lm_json *list) { return must(json_pack("{s:s, s:o}", "type", "Sequence", members, list)); }
static lm_json *marks(void) { return must(json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", "\u2581")); }

static void set(lm_json *d, lm_json *normaliser, lm_json *pretokeniser, lm_json *model)
{
    json_object_set_new(d, "normalizer", normaliser ? normaliser : json_null());
    json_object_set_new(d, "pre_tokenizer", pretokeniser ? pretokeniser : json_null());
    json_object_set_new(d, "model", model);
}

static void modern(lm_json *d, const char *name) { set(d, NULL, sequence("pretokenizers", must(json_pack("[o, o]", split(name), bytes(false)))), byte_model()); }
static lm_json *metaspace(const char *prepend, bool splits)
{
    return must(json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", "\u2581", "prepend_scheme", prepend, "split", (int)splits));
}

static void gpt2(lm_json *d) { set(d, NULL, bytes(true), byte_model()); }
static void llama3(lm_json *d) { modern(d, "llama3"); }
static void qwen2(lm_json *d) { modern(d, "qwen2"), json_object_set_new(d, "normalizer", json_pack("{s:s}", "type", "NFC")); }
static void o200k(lm_json *d) { modern(d, "o200k"); }
static void cl100k(lm_json *d) { modern(d, "cl100k"); }
static void tekken(lm_json *d) { modern(d, "tekken"); }
static void deepseek(lm_json *d) { set(d, NULL, sequence("pretokenizers", must(json_pack("[o, o, o, o]", split("digits3"), split("cjk"), split("deepseek"), bytes(false)))), byte_model()); }
static void starcoder(lm_json *d) { set(d, NULL, sequence("pretokenizers", must(json_pack("[{s:s, s:b}, o]", "type", "Digits", "individual_digits", 1, bytes(true)))), byte_model()); }
static void llama2(lm_json *d) { set(d, sequence("normalizers", must(json_pack("[{s:s, s:s}, o]", "type", "Prepend", "prepend", "\u2581", marks()))), NULL, character_model()); }
static void whole_unigram(lm_json *d) { set(d, marks(), NULL, unigram_model()); }
static void split_marks(lm_json *d, const char *kind, const char *pattern, bool invert)
{
    set(d, marks(), must(json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", kind, pattern, "behavior", "MergedWithPrevious", "invert", (int)invert)), character_model());
}
static void gemma(lm_json *d) { split_marks(d, "String", " ", false); }
static void mistral(lm_json *d) { set(d, NULL, metaspace("first", false), character_model()); }
static void t5(lm_json *d) { set(d, json_pack("{s:s}", "type", "NFKC"), sequence("pretokenizers", must(json_pack("[{s:s}, o]", "type", "WhitespaceSplit", metaspace("always", true)))), unigram_model()); }
static void albert(lm_json *d) { set(d, NULL, metaspace("always", true), unigram_model()); }
static void bert(lm_json *d) { set(d, json_pack("{s:s}", "type", "BertNormalizer"), json_pack("{s:s}", "type", "BertPreTokenizer"), wordpiece_model()); }

static const struct pipeline {
    const char *name;
    void (*make)(lm_json *document);
    bool divides;                    /* it is known to; the proof must find that */
} pipelines[] = {
    { "gpt2", gpt2, true }, { "llama3", llama3, true }, { "qwen2", qwen2, true }, { "o200k", o200k, true }, { "cl100k", cl100k, true }, { "tekken", tekken, true },
    { "deepseek", deepseek, true }, { "starcoder", starcoder, true }, { "llama2", llama2, true }, { "gemma", gemma, true }, { "mistral", mistral, true },
    { "t5", t5, true }, { "albert", albert, true }, { "bert", bert, true },
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

/* `tokens`: 0 none, 1 a plain and a special one, 2 also ones that strip the spaces beside them. */
static lm_tokenizer *build(const struct pipeline *p, int tokens)
{
    static const struct { const char *text; bool special, single, left, right, normal; int from; } added[] = {
        { "<s>", true, false, false, false, false, 1 }, { "<b>", false, false, false, false, false, 1 }, { "l l", false, false, false, false, false, 2 },
        { "[M]", false, false, true, false, false, 2 }, { "ho", false, true, false, false, true, 2 }, { "(r)", false, false, false, true, false, 2 },
    };
    lm_json *d = json_object(), *list = json_array();
    p->make(d);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        if (added[i].from > tokens) continue;
        json_array_append_new(list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", 1000 + (int)i, "content", added[i].text, "special", (int)added[i].special,
            "single_word", (int)added[i].single, "lstrip", (int)added[i].left, "rstrip", (int)added[i].right, "normalized", (int)added[i].normal));
    }
    json_object_set_new(d, "added_tokens", list);
    char *path = test_path("tokenizer.json");
    assert_int_equal(json_dump_file(d, path, 0), 0);
    lm_err err = {0};
    lm_tokenizer *tk = NULL;
    if (lm_tokenizer_load(&tk, path, &err)) fail_msg("%s: %s", p->name, err.message);
    json_decref(d);
    free(path);
    return tk;
}

/* ---- texts -------------------------------------------------------------------------------------------------- */

static const char *const parts[] = {
    " ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", " \n", "hello", "hell", "he", "a", "o.", "'s", "'ll", "12", "1234", "\uAC00", "\uAC00\uB098", "\u1100\u1161",
    "\u4E00\u4E8C", "\u3042", "\u00E9", "e\u0301", "\u0301", "\u00A0", "\u3000", "\u2003", "\u2581", "<s>", "<b>", "[M]", "(r)", "ho", "l l", ".", "!?", "/", "\\", "\uFF01",
    "\u0600", "\u200D", "\U0001F600", "\u00C9", "HE", "\u0130", "\u017F", "\uFFFD", "\u00AD", "\u02D8", "_",
};

static void random_text(lm_str *out, lm_rng *rng, int n, bool broken)
{
    lm_str_clear(out);
    for (int i = 0; i < n; i++) {
        if (broken && lm_rng_below(rng, 12) == 0) lm_str_putc(out, (char)(0x80 + lm_rng_below(rng, 128)));
        else lm_str_puts(out, parts[lm_rng_below(rng, sizeof parts / sizeof *parts)]);
    }
}

static void encode_whole(const lm_tokenizer *tk, lm_ids *out, lm_span text, unsigned flags)
{
    lm_err err = {0};
    lm_ids_clear(out);
    if (lm_encode(tk, out, text.data, text.len, flags, &err)) fail_msg("%s", err.message);
}

static void assert_same(const lm_ids *ids, const lm_ids *expected, const char *name, lm_span text)
{
    bool same = ids->len == expected->len && (!ids->len || !memcmp(ids->data, expected->data, ids->len * sizeof *ids->data));
    if (!same) fail_msg("%s: %zu ids, expected %zu: \"%.*s\"", name, ids->len, expected->len, (int)(text.len < 300 ? text.len : 300), text.data);
}

/* ---- properties ------------------------------------------------------------------------------------------------ */

static void parts_give_the_ids_of_the_whole(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 3 };
    lm_str text = {0};
    lm_ids whole = {0}, joined = {0};
    for (int i = 0; i < PIPELINES; i++) {
        for (int tokens = 0; tokens < 3; tokens++) {
            lm_tokenizer *tk = build(&pipelines[i], tokens);
            if (tokens < 2) assert_int_equal(tk->cuts[' '], pipelines[i].divides);
            lm_encoder *encoder = lm_encoder_new(tk);
            for (int round = 0; round < 300; round++) {
                random_text(&text, &rng, 2 + (int)lm_rng_below(&rng, 20), round % 4 == 3);
                lm_span all = lm_span_of(text.data, text.len);
                unsigned flags = round & 1 ? LM_ENCODE_ALLOW_SPECIAL : 0;
                encode_whole(tk, &whole, all, flags);
                for (size_t at = 1; at < all.len; at++) {
                    if (!lm_divides_at(tk, all, at) || tk->token_ends[(uint8_t)all.data[at - 1]]) continue;
                    lm_err err = {0};
                    encode_whole(tk, &joined, lm_span_of(all.data, at), flags);
                    assert_int_equal(lm_encoder_part(encoder, &joined, lm_span_of(all.data + at, all.len - at), LM_PLACE_INSIDE, flags, &err), LM_OK);
                    assert_same(&joined, &whole, pipelines[i].name, all);
                }
            }
            lm_encoder_free(encoder);
            lm_tokenizer_free(tk);
        }
    }
    lm_str_free(&text), lm_ids_free(&whole), lm_ids_free(&joined);
}

static void memory_does_not_change_ids(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 5 };
    lm_str text = {0};
    lm_ids whole = {0}, again = {0};
    for (int i = 0; i < PIPELINES; i++) {
        lm_tokenizer *tk = build(&pipelines[i], i % 3);
        lm_encoder *encoder = lm_encoder_new(tk);
        for (int round = 0; round < 1500; round++) {
            random_text(&text, &rng, (int)lm_rng_below(&rng, 24), round % 4 == 3);
            lm_span all = lm_span_of(text.data ? text.data : "", text.len);
            unsigned flags = round & 1 ? LM_ENCODE_ALLOW_SPECIAL : 0;
            encode_whole(tk, &whole, all, flags);
            lm_err err = {0};
            lm_ids_clear(&again);
            assert_int_equal(lm_encoder_run(encoder, &again, all.data, all.len, flags, &err), LM_OK);
            assert_same(&again, &whole, pipelines[i].name, all);
            assert_int_equal(again.replaced, whole.replaced);
        }
        lm_encoder_free(encoder);
        lm_tokenizer_free(tk);
    }
    lm_str_free(&text), lm_ids_free(&whole), lm_ids_free(&again);
}

static void threads_and_parts_do_not_change_ids(void **state)
{
    (void)state;
    lm_rng rng = { .seed = 8 };
    lm_str text = {0}, line = {0};
    while (text.len < 9 << 20) {
        random_text(&line, &rng, 200, true);
        lm_str_append(&text, line.data, line.len);
    }
    lm_span all = lm_span_of(text.data, text.len);
    lm_ids whole = {0}, ids = {0};
    lm_err err = {0};
    for (int i = 0; i < PIPELINES; i += 8) {
        lm_tokenizer *tk = build(&pipelines[i], 1);
        lm_encoder *encoder = lm_encoder_new(tk);
        lm_ids_clear(&whole);
        assert_int_equal(lm_encoder_part(encoder, &whole, all, LM_PLACE_FIRST, 0, &err), LM_OK);
        for (int threads = 1; threads <= 3; threads += 2) {
            lm_threads_set(threads);
            lm_ids_clear(&ids);
            assert_int_equal(lm_encode_parallel(tk, &ids, all.data, all.len, 0, &err), LM_OK);
            assert_same(&ids, &whole, pipelines[i].name, lm_span_of("", 0));
            assert_int_equal(ids.replaced, whole.replaced);
        }
        lm_text_encoder *stream = lm_text_encoder_new(tk, 0);
        lm_ids_clear(&ids);
        for (size_t at = 0, n; at < all.len; at += n) {
            n = 1 + lm_rng_below(&rng, 1 << 20);
            if (n > all.len - at) n = all.len - at;
            assert_int_equal(lm_text_encoder_push(stream, &ids, all.data + at, n, &err), LM_OK);
        }
        assert_int_equal(lm_text_encoder_finish(stream, &ids, &err), LM_OK);
        assert_same(&ids, &whole, pipelines[i].name, lm_span_of("", 0));
        lm_text_encoder_free(stream);
        lm_encoder_free(encoder);
        lm_tokenizer_free(tk);
    }
    lm_threads_set(0);
    lm_str_free(&text), lm_str_free(&line), lm_ids_free(&whole), lm_ids_free(&ids);
}

/* Words that fill the table and the pool of long ones many times over. */
static void a_full_memory_does_not_change_ids(void **state)
{
    (void)state;
    lm_tokenizer *tk = build(&pipelines[0], 0);
    lm_encoder *encoder = lm_encoder_new(tk);
    lm_ids whole = {0}, again = {0};
    lm_str text = {0};
    lm_rng rng = { .seed = 13 };
    lm_err err = {0};
    for (int round = 0; round < 600; round++) {
        lm_str_clear(&text);
        for (int word = 0; word < 100; word++) {
            lm_str_putc(&text, ' ');
            for (uint64_t n = 1 + lm_rng_below(&rng, 34); n--;) lm_str_putc(&text, (char)('a' + lm_rng_below(&rng, 26)));
        }
        encode_whole(tk, &whole, lm_span_of(text.data, text.len), 0);
        lm_ids_clear(&again);
        assert_int_equal(lm_encoder_run(encoder, &again, text.data, text.len, 0, &err), LM_OK);
        assert_same(&again, &whole, "gpt2", lm_span_of(text.data, text.len));
    }
    lm_str_free(&text), lm_ids_free(&whole), lm_ids_free(&again);
    lm_encoder_free(encoder);
    lm_tokenizer_free(tk);
}

static void gemma_by_regex(lm_json *d) { split_marks(d, "Regex", "(?: )", false); }
static void split_at_marks(lm_json *d) { split_marks(d, "String", "\u2581", false); }
static void split_inverted(lm_json *d) { split_marks(d, "String", " ", true); }

/* Gemma's pipeline splits at spaces when none is left. */
static void a_step_that_finds_nothing_is_left_out(void **state)
{
    (void)state;
    static const struct pipeline same[] = { { "gemma", gemma, true }, { "gemma by regex", gemma_by_regex, false } }, others[] = {
        { "at marks", split_at_marks, true }, { "inverted", split_inverted, true },
    };
    lm_tokenizer *less = build(&same[0], 1), *all = build(&same[1], 1);
    assert_int_equal(less->pretokenisers.n, 0);
    assert_int_equal(all->pretokenisers.n, 1);
    lm_rng rng = { .seed = 21 };
    lm_str text = {0};
    lm_ids a = {0}, b = {0};
    for (int round = 0; round < 500; round++) {
        random_text(&text, &rng, 1 + (int)lm_rng_below(&rng, 24), round & 1);
        encode_whole(less, &a, lm_span_of(text.data, text.len), 0);
        encode_whole(all, &b, lm_span_of(text.data, text.len), 0);
        assert_same(&a, &b, "gemma", lm_span_of(text.data, text.len));
    }
    lm_str_free(&text), lm_ids_free(&a), lm_ids_free(&b);
    lm_tokenizer_free(less), lm_tokenizer_free(all);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        lm_tokenizer *tk = build(&others[i], 0);
        assert_int_equal(tk->pretokenisers.n, 1);
        lm_tokenizer_free(tk);
    }
}

/* Viterbi's algorithm as the book has it: the ids of the best way through a text, unknown ones joined. */
static void best_way(lm_ids *out, lm_span text)
{
    double *best = lm_malloc((text.len + 1) * sizeof *best);
    int32_t *id = lm_malloc((text.len + 1) * sizeof *id), *from = lm_malloc((text.len + 1) * sizeof *from), n = 0;
    for (size_t i = 1; i <= text.len; i++) best[i] = -1e30;
    best[0] = 0;
    for (size_t i = 0, next; i < text.len; i = next) {
        uint32_t rune;
        next = i + (size_t)lm_utf8_decode(text.data + i, text.len - i, &rune);
        bool covered = false;
        for (int p = 0; p <= PIECES; p++) {              /* the last is the unknown character */
            int32_t piece = p < PIECES ? p : 0;
            size_t length = p < PIECES ? strlen(pieces[p]) : next - i;
            if (!p || (p == PIECES && covered) || text.len - i < length || (p < PIECES && memcmp(text.data + i, pieces[p], length))) continue;
            covered |= i + length == next;
            double score = best[i] + (p < PIECES ? piece_score(p) : piece_score(PIECES - 1) - 10);
            if (score > best[i + length]) best[i + length] = score, id[i + length] = piece, from[i + length] = (int32_t)i;
        }
    }
    for (int32_t at = (int32_t)text.len; at > 0; at = from[at]) best[n++] = id[at];
    lm_ids_clear(out);
    while (n-- > 0)
        if (best[n] != 0 || !out->len || out->data[out->len - 1] != 0) lm_ids_push(out, (int32_t)best[n]);
    free(best), free(id), free(from);
}

/* A text that is one piece for the model, many times longer than what it keeps at once. */
static void a_long_piece_is_encoded_as_a_whole(void **state)
{
    (void)state;
    static const char *const parts_of[] = { "\u2581he", "he", "l", "l", "o", "12", "1", "\uAC00", "z", "\U0001F600", "\u2581" };
    lm_tokenizer *tk = build(&(struct pipeline){ "unigram", whole_unigram, false }, 0);
    lm_rng rng = { .seed = 31 };
    lm_str text = {0};
    lm_ids ids = {0}, expected = {0};
    for (int size = 1; size <= 100000; size *= 10) {
        for (int among = 3; among <= 11; among += 8) {   /* of the first three: pieces lie across nearly every place */
            lm_str_clear(&text);
            while (text.len < (size_t)size) lm_str_puts(&text, parts_of[lm_rng_below(&rng, (uint64_t)among)]);
            encode_whole(tk, &ids, lm_span_of(text.data, text.len), 0);
            best_way(&expected, lm_span_of(text.data, text.len));
            assert_same(&ids, &expected, "unigram", lm_span_of(text.data, text.len));
        }
    }
    lm_str_free(&text), lm_ids_free(&ids), lm_ids_free(&expected);
    lm_tokenizer_free(tk);
}

static void keep_line(lm_level level, const char *text, void *context)
{
    (void)level;
    lm_str_printf(context, "%s\n", text);
}

static void whole_gpt2(lm_json *d)
{
    gpt2(d);
    json_object_set_new(d, "truncation", must(json_pack("{s:s, s:i, s:s, s:i}", "direction", "Right", "max_length", 2, "strategy", "LongestFirst", "stride", 0)));
}

/* transformers switches it off unless it is asked for. */
static void truncation_is_told_and_not_applied(void **state)
{
    (void)state;
    lm_str log = {0};
    lm_ids ids = {0}, all = {0};
    lm_log_set(keep_line, &log);
    lm_tokenizer *cut = build(&(struct pipeline){ "truncates", whole_gpt2, true }, 0), *tk = build(&pipelines[0], 0);
    lm_log_set(NULL, NULL);
    assert_non_null(strstr(log.data, "truncation is not applied"));
    assert_ptr_equal(strchr(log.data, '\n'), log.data + log.len - 1);       /* one line, of the first */
    encode_whole(cut, &ids, lm_span_of("hello hello hello", 17), 0);
    encode_whole(tk, &all, lm_span_of("hello hello hello", 17), 0);
    assert_true(all.len > 2);
    assert_same(&ids, &all, "truncates", lm_span_of("", 0));
    lm_str_free(&log), lm_ids_free(&ids), lm_ids_free(&all);
    lm_tokenizer_free(cut), lm_tokenizer_free(tk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_give_the_ids_of_the_whole),
        cmocka_unit_test(memory_does_not_change_ids),
        cmocka_unit_test(threads_and_parts_do_not_change_ids),
        cmocka_unit_test(a_full_memory_does_not_change_ids),
        cmocka_unit_test(a_step_that_finds_nothing_is_left_out),
        cmocka_unit_test(a_long_piece_is_encoded_as_a_whole),
        cmocka_unit_test(truncation_is_told_and_not_applied),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
