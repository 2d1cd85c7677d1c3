/* Unigram (Kudo 2018, "Subword Regularization", section 3.2): the segmentation of highest probability
 * under a model that draws each piece by itself, found by Viterbi's algorithm.
 *
 *     best[j] = max over pieces text[i..j) of best[i] + score(piece)
 *
 * A character that no piece covers costs the lowest score less 10.  Runs of unknown characters are one
 * unknown token, or with byte_fallback the tokens of their bytes.  Scores are added in double precision,
 * as the Hugging Face library does, or in single precision for a SentencePiece model ("exact"), so that
 * near ties fall the same way.  There a user-defined piece of n bytes has the score (n - 1) / 10, whatever the
 * model says, and so is always chosen. */
#include "token/pipeline.h"
#include "token/trie.h"
#include "token/unicode.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double unknown_penalty = 10.0;

typedef struct unigram {
    lm_trie trie;
    double *scores;
    double unknown_score;
    size_t longest;                  /* piece, in bytes; no less than a character */
    int32_t unk;                     /* or -1 */
    int32_t bytes[256];
    bool byte_fallback, single;
} unigram;

/* The best way to reach a place of the text. */
typedef struct step {
    double score;
    int32_t id;
    uint32_t begin;                  /* of the piece that ends here; UINT32_MAX: not reached yet */
} step;

typedef struct unigram_work {
    step *steps;
    size_t n, cap;                   /* n: those that stand for something */
    uint32_t *path;                  /* ends of pieces, backwards */
} unigram_work;

/* ---- reading ------------------------------------------------------------------------------------ */

/* [piece, score], and perhaps more. */
static bool take_piece(lm_json_reader *r, lm_str *buffer, lm_span *text, double *score)
{
    if (!lm_json_open(r, '[') || !lm_json_item(r) || !lm_json_string(r, buffer, text)) return false;
    if (!lm_json_item(r) || !lm_json_number(r, score)) return false;
    while (lm_json_item(r)) lm_json_skip(r);
    return !r->status;
}

static lm_status read_vocab(lm_vocab *vocab, const lm_token_document *document, const char *name, lm_err *err)
{
    if (!document->vocab.data || *document->vocab.data != '[')
        return lm_fail(err, LM_E_FORMAT, "%s: model.vocab: expected an array of [piece, score]", name);
    lm_json_reader r;
    lm_str buffer = {0};
    lm_status status = LM_OK;
    int cap = 0;
    lm_err broken = {0};
    lm_token_document_reader(&r, document, document->vocab, name, &broken);
    lm_json_open(&r, '[');
    while (!status && lm_json_item(&r)) {
        lm_span text;
        double score;
        if (!take_piece(&r, &buffer, &text, &score)) {
            status = lm_fail(err, LM_E_FORMAT, "%s: model.vocab: entry %d: expected [piece, score]", name, vocab->n_scores);
            break;
        }
        if (vocab->n_scores == cap) {
            cap = cap ? cap * 2 : 1 << 15;
            vocab->scores = lm_realloc(vocab->scores, (size_t)cap * sizeof *vocab->scores);
        }
        vocab->scores[vocab->n_scores] = score;
        status = lm_vocab_add(vocab, text, vocab->n_scores, name, err);
        vocab->n_scores++;
    }
    lm_str_free(&buffer);
    return status || !r.status ? status : lm_fail(err, broken.code, "%s", broken.message);
}

static void release(void *state)
{
    unigram *m = state;
    if (!m) return;
    lm_trie_free(&m->trie);
    free(m->scores);
    free(m);
}

static void find_bytes(unigram *m, const lm_vocab *vocab)
{
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        m->bytes[byte] = lm_vocab_id(vocab, lm_span_of(name, (size_t)n));
    }
}

static bool is_byte(const unigram *m, int32_t id)
{
    for (int byte = 0; byte < 256; byte++)
        if (m->bytes[byte] == id) return true;
    return false;
}

static float user_score(lm_span text) { return (float)((double)text.len * 0.1 - 0.1); }

static bool is_user(const lm_tokenizer *tk, int32_t id)
{
    for (int i = 0; i < tk->n_added; i++)
        if (tk->added[i].id == id) return tk->added[i].piece;
    return false;
}

/* Special tokens are no text: a user who types one gets its characters.  SentencePiece looks for the
 * lowest score among normal pieces only. */
static void build_trie(unigram *m, const lm_tokenizer *tk)
{
    size_t n = (size_t)tk->vocab.n_scores;
    lm_span *keys = lm_malloc(n * sizeof *keys);
    int32_t *values = lm_malloc(n * sizeof *values), kept = 0;
    double lowest = DBL_MAX;
    m->longest = 4;
    m->scores = lm_malloc(n * sizeof *m->scores);
    for (size_t i = 0; i < n; i++) {
        m->scores[i] = m->single ? (float)tk->vocab.scores[i] : tk->vocab.scores[i];
        bool hidden = tk->special[i] || (m->single && is_byte(m, (int32_t)i));
        if (!m->single || !(hidden || is_user(tk, (int32_t)i))) lowest = fmin(lowest, m->scores[i]);
        if (hidden) continue;
        if (m->longest < tk->vocab.texts[i].len) m->longest = tk->vocab.texts[i].len;
        keys[kept] = tk->vocab.texts[i];
        values[kept++] = (int32_t)i;
    }
    m->unknown_score = lowest - unknown_penalty;
    for (int i = 0; i < tk->n_added; i++)
        if (tk->added[i].piece && tk->added[i].id < tk->vocab.n_scores) m->scores[tk->added[i].id] = user_score(tk->added[i].text);
    lm_trie_build(&m->trie, keys, values, kept);
    free(keys);
    free(values);
}

static lm_status load(void **state, const lm_step_source *source, lm_err *err)
{
    unigram *m = lm_calloc(1, sizeof *m);
    *state = m;
    int64_t unk = -1;
    const char *exact = NULL;
    LM_TRY(lm_json_opt_int(source->json, "unk_id", source->name, &unk, err));
    LM_TRY(lm_json_opt_bool(source->json, "byte_fallback", source->name, &m->byte_fallback, err));
    LM_TRY(lm_json_opt_str(source->json, "exact", source->name, &exact, err));
    int n = source->tk->vocab.n_scores;
    if (unk >= n) return lm_fail(err, LM_E_FORMAT, "%s: model.unk_id %lld: the vocabulary has %d pieces", source->name, (long long)unk, n);
    m->single = exact && !strcmp(exact, "sentencepiece");
    m->unk = unk < 0 ? -1 : (int32_t)unk;
    source->tk->unk = m->unk;
    find_bytes(m, &source->tk->vocab);
    build_trie(m, source->tk);
    return LM_OK;
}

/* ---- encoding ---------------------------------------------------------------------------------------- */

/* A text on its way through the model.  Only the steps behind `base` are kept, steps[i] for the place base + i:
 * where no piece lies across a place, every way leads through it, and what is before it is settled. */
typedef struct walk {
    const unigram *m;
    unigram_work *w;
    lm_ids *out;
    lm_span text;
    size_t base;
    size_t unknown;                  /* where a run of unknown characters begins that may go on; SIZE_MAX: none */
} walk;

enum { WINDOW = 1 << 12 };           /* so many steps are worth settling */

/* Makes the first n steps stand for something. */
static void reserve(unigram_work *w, size_t n)
{
    if (n > w->cap) {
        w->cap = w->cap * 2 > n ? w->cap * 2 : n;
        w->steps = lm_realloc(w->steps, w->cap * sizeof *w->steps);
        w->path = lm_realloc(w->path, w->cap * sizeof *w->path);
    }
    for (; w->n < n; w->n++) w->steps[w->n] = (step){ 0, -1, UINT32_MAX };
}

static inline double sum(const unigram *m, double a, double b) { return m->single ? (double)((float)a + (float)b) : a + b; }

static inline void offer(step *at, size_t begin, int32_t id, double score)
{
    if (at->begin == UINT32_MAX || score > at->score) *at = (step){ score, id, (uint32_t)begin };
}

/* Every piece that begins at text[i]; the end of the longest, and that of the character in *next. */
static size_t offer_pieces(walk *k, size_t i, size_t *next)
{
    const unigram *m = k->m;
    size_t rest = k->text.len - i, at = i - k->base, far = i;
    reserve(k->w, at + 1 + (rest < m->longest ? rest : m->longest));
    step *steps = k->w->steps;
    uint32_t rune;
    size_t character = (size_t)lm_rune_at(k->text.data + i, rest, &rune);
    bool covered = false;
    int32_t state = LM_TRIE_ROOT;
    for (size_t length = 1; length <= rest; length++) {
        state = lm_trie_step(&m->trie, state, (uint8_t)k->text.data[i + length - 1]);
        if (state < 0) break;
        int32_t id = m->trie.nodes[state].value;
        if (id < 0) continue;
        offer(&steps[at + length], i, id, sum(m, m->scores[id], steps[at].score));
        covered |= length == character;
        far = i + length;
    }
    *next = i + character;
    if (!covered) offer(&steps[at + character], i, m->unk, sum(m, m->unknown_score, steps[at].score));
    return !covered && far < *next ? *next : far;
}

static void put_unknown(const unigram *m, lm_ids *out, lm_span run)
{
    bool complete = m->byte_fallback;
    for (size_t i = 0; i < run.len && complete; i++) complete = m->bytes[(uint8_t)run.data[i]] >= 0;
    if (complete) {
        for (size_t i = 0; i < run.len; i++) lm_ids_push(out, m->bytes[(uint8_t)run.data[i]]);
    } else if (m->unk >= 0) {
        lm_ids_push(out, m->unk);
    }
}

static void end_unknown(walk *k, size_t end)
{
    if (k->unknown != SIZE_MAX) put_unknown(k->m, k->out, lm_span_of(k->text.data + k->unknown, end - k->unknown));
    k->unknown = SIZE_MAX;
}

/* The best way to a place, which becomes the base. */
static void settle(walk *k, size_t end)
{
    unigram_work *w = k->w;
    size_t n = 0;
    for (size_t at = end; at > k->base; at = w->steps[at - k->base].begin) w->path[n++] = (uint32_t)at;
    while (n-- > 0) {
        step piece = w->steps[w->path[n] - k->base];
        if (piece.id == k->m->unk) {
            if (k->unknown == SIZE_MAX) k->unknown = piece.begin;
            continue;
        }
        end_unknown(k, piece.begin);
        lm_ids_push(k->out, piece.id);
    }
    w->steps[0] = w->steps[end - k->base];
    w->n = 1;
    k->base = end;
}

static void encode(const void *state, void **work, lm_ids *out, lm_span piece)
{
    if (!*work) *work = lm_calloc(1, sizeof(unigram_work));
    walk k = { .m = state, .w = *work, .out = out, .text = piece, .unknown = SIZE_MAX };
    LM_ASSERT(piece.len < INT32_MAX);
    k.w->n = 0;
    for (size_t i = 0, next, far = 0; i < piece.len; i = next) {
        if (far <= i && i - k.base >= WINDOW) settle(&k, i);
        size_t end = offer_pieces(&k, i, &next);
        if (end > far) far = end;
    }
    if (piece.len) settle(&k, piece.len);
    end_unknown(&k, piece.len);
}

static void work_free(void *work)
{
    unigram_work *w = work;
    if (!w) return;
    free(w->steps);
    free(w->path);
    free(w);
}

const lm_token_model lm_token_model_unigram = {
    .name = "Unigram",
    .vocab = read_vocab,
    .load = load,
    .encode = encode,
    .work_free = work_free,
    .free = release,
    .cache = true,
};
