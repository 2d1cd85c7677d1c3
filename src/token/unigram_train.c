/* Training of Unigram (Kudo 2018, "Subword Regularization", section 3.2, with the details of SentencePiece).
 *
 * Many frequent substrings come first.  Then in turn
 *   - expectation-maximisation: how often is each piece expected under the probabilities so far, and what
 *     probabilities make that likeliest (with a sparse Dirichlet prior: log p = digamma(n) - digamma(sum),
 *     which starves the rare ones);
 *   - pruning: of the pieces a quarter goes, those without which the text loses least,
 * until the vocabulary has 1.1 times its size; the likeliest of those are taken.  Single characters stay. */
#include "base/log.h"
#include "base/thread.h"
#include "token/learn.h"
#include "token/sentence.h"
#include "token/unicode.h"
#include "token/unigram_lattice.h"
#include "token/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 1000000, ROUNDS = 2, MOST_LETTERS = 1 << 25 };
static const double shrink = 0.75, spare = 1.1, rarest = 0.5;   /* a piece that is expected less often goes */

/* ---- words into letters ---------------------------------------------------------------------- */

static void make_lattice(lm_lattice *l, lm_words *words, const lm_letters *letters)
{
    lm_word *sorted = lm_words_sorted(words);
    l->n_letters = letters->n;
    for (size_t w = 0; w < words->n; w++) {
        lm_lattice_word(l, sorted[w].count);
        for (size_t i = 0; i < sorted[w].len;) {
            uint32_t rune;
            i += (size_t)lm_rune_at(sorted[w].data + i, sorted[w].len - i, &rune);
            if (letters->place[rune] >= 0) lm_lattice_letter(l, letters->place[rune]);
            else lm_lattice_word(l, sorted[w].count);
        }
    }
    free(sorted);
}

/* Drops the rarest words until the rest is of a size whose suffixes can be sorted. */
static void bound(lm_words *words)
{
    for (size_t bytes; ; ) {
        bytes = 0;
        for (size_t i = 0; i <= words->mask; i++)
            if (words->slots[i].data) bytes += words->slots[i].len + 1;
        if (bytes <= MOST_LETTERS) return;
        size_t dropped = lm_words_prune(words, words->n / 2);
        lm_log(LM_LOG_WARN, "%zu of the rarest words were dropped: more text than Unigram is trained on", dropped);
        if (!dropped) return;
    }
}

/* ---- expectation-maximisation ------------------------------------------------------------------ */

/* The derivative of log gamma: by its recurrence up to 7, then its asymptotic series. */
static double digamma(double x)
{
    double below = 0;
    for (; x < 7; x++) below -= 1 / x;
    double y = x - 0.5, z = 1 / (y * y);
    return below + log(y) + z * (1.0 / 24 - z * (7.0 / 960 - z * (31.0 / 8064 - z * (127.0 / 30720))));
}

static void improve(lm_lattice *l)
{
    double *expected = lm_malloc((size_t)l->n_pieces * sizeof *expected), sum = 0;
    uint8_t *keep = lm_malloc((size_t)l->n_pieces);
    lm_lattice_expect(l, expected);
    int going = 0;
    for (int i = 0; i < l->n_pieces; i++) {
        if (i < l->n_letters) expected[i] = fmax(expected[i], rarest);
        keep[i] = expected[i] >= rarest;
        going += !keep[i];
        if (keep[i]) sum += expected[i];
    }
    double all = digamma(sum);
    for (int i = 0; i < l->n_pieces; i++)
        if (keep[i]) l->scores[i] = digamma(expected[i]) - all;
    if (going) lm_lattice_keep(l, keep);
    free(expected);
    free(keep);
}

/* ---- pruning ---------------------------------------------------------------------------------------- */

typedef struct candidate {
    int id;
    double loss;
} candidate;

typedef struct losses {
    const lm_lattice *lattice;
    const int64_t *occurs;
    double sum;
    candidate *list;
} losses;

/* What the logarithm of the text's probability loses when a piece is written with others.  Minus infinity for
 * one that is on no best path, or not even the best way to write itself. */
static double loss_of(const losses *s, int id)
{
    const lm_lattice *l = s->lattice;
    int parts[LM_UNIGRAM_PIECE], n;
    double score, times = (double)s->occurs[id];
    if (!times) return -INFINITY;
    n = lm_lattice_without(l, id, parts, &score);
    if (score >= l->scores[id]) return -INFINITY;
    double before = log(times) - log(s->sum), all = log(s->sum + times * (n - 1)), after = 0;
    for (int i = 0; i < n; i++) after += log((double)s->occurs[parts[i]] + times) - all;
    return times * (before - after);
}

static void find_losses(int64_t begin, int64_t end, void *context)
{
    losses *s = context;
    for (int64_t i = begin; i < end; i++) {
        int id = s->lattice->n_letters + (int)i;
        s->list[i] = (candidate){ id, loss_of(s, id) };
    }
}

static int greatest_loss_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->loss != y->loss) return x->loss > y->loss ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Down to `size` pieces, or fewer where more of them are of no use. */
static void prune(lm_lattice *l, int size)
{
    int n = l->n_pieces - l->n_letters;
    int64_t *occurs = lm_malloc((size_t)l->n_pieces * sizeof *occurs);
    uint8_t *keep = lm_calloc((size_t)l->n_pieces, 1);
    lm_lattice_best(l, occurs);
    losses s = { .lattice = l, .occurs = occurs, .list = lm_malloc((size_t)n * sizeof *s.list) };
    for (int i = 0; i < l->n_pieces; i++) s.sum += (double)occurs[i];
    lm_parallel(n, 256, find_losses, &s);
    if (n) qsort(s.list, (size_t)n, sizeof *s.list, greatest_loss_first);
    memset(keep, 1, (size_t)l->n_letters);
    for (int i = 0; i < n && l->n_letters + i < size && s.list[i].loss > -INFINITY; i++) keep[s.list[i].id] = 1;
    lm_lattice_keep(l, keep);
    free(occurs);
    free(keep);
    free(s.list);
}

static void train(lm_lattice *l, int size, const lm_vocab_options *o)
{
    lm_lattice_seed(l, lm_sentence_longest(o), o->min_frequency < 2 ? 2 : o->min_frequency, SEEDS);
    int enough = (int)(spare * size);
    for (int round = 1;; round++) {
        int more = (int)fmax(0, ceil(log((double)l->n_pieces / enough) / -log(shrink)));
        if (o->progress) o->progress(o->context, "round", round, round + more);
        for (int i = 0; i < ROUNDS; i++) improve(l);
        if (l->n_pieces <= enough) return;
        prune(l, (int)fmax(enough, shrink * l->n_pieces));
    }
}

/* ---- pieces --------------------------------------------------------------------------------------------- */

typedef struct learned_piece {
    double score;
    int id;
} learned_piece;

static int best_score_first(const void *a, const void *b)
{
    const learned_piece *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void spell(lm_str *out, const lm_lattice *l, int id, const lm_letters *letters)
{
    lm_str_clear(out);
    if (id < l->n_letters) {                             /* it may be asked for and stand nowhere */
        lm_str_put_rune(out, letters->items[id].rune);
        return;
    }
    const uint16_t *text = l->letters + l->pieces[id].at;
    for (uint32_t i = 0; i < l->pieces[id].length; i++) lm_str_put_rune(out, letters->items[text[i] - 1].rune);
}

/* All letters, and the likeliest of the rest. */
static void make_pieces(lm_pieces_made *made, const lm_lattice *l, int size, const lm_letters *letters, const lm_vocab_options *o)
{
    learned_piece *list = lm_malloc((size_t)l->n_pieces * sizeof *list);
    for (int i = 0; i < l->n_pieces; i++) list[i] = (learned_piece){ l->scores[i], i };
    qsort(list, (size_t)l->n_pieces, sizeof *list, best_score_first);
    lm_sentence_begin(made, o);
    lm_str text = {0};
    for (int i = 0, room = size - l->n_letters; i < l->n_pieces; i++) {
        bool letter = list[i].id < l->n_letters;
        if (!letter && !room) continue;
        spell(&text, l, list[i].id, letters);
        lm_span span = lm_span_of(text.data, text.len);
        if (lm_sentence_is_reserved(o, span)) continue;
        lm_sentence_put(made, span, (float)list[i].score);
        room -= !letter;
    }
    lm_str_free(&text);
    free(list);
}

static lm_status learn(lm_json *document, lm_words *words, const lm_vocab_options *o, lm_err *err)
{
    lm_letters letters;
    bound(words);
    lm_letters_count(&letters, words, o);
    lm_letters_cover(&letters, o->character_coverage);
    lm_letters_limit(&letters, o->limit_alphabet);
    lm_letters_limit(&letters, LM_UNIGRAM_LETTERS);
    lm_letters_index(&letters);
    int reserved = lm_sentence_reserved(o);
    lm_status status = lm_train_room((int64_t)letters.n + reserved, o->specials.n, o, err);
    if (!status) {
        lm_lattice lattice = {0};
        lm_pieces_made made = {0};
        make_lattice(&lattice, words, &letters);
        lm_words_free(words);
        int size = (int)o->vocab_size - reserved;
        train(&lattice, size, o);
        make_pieces(&made, &lattice, size, &letters, o);
        lm_lattice_free(&lattice);
        lm_sentence_finish(document, &made, o, true);
        lm_sentence_free(&made);
    }
    lm_letters_free(&letters);
    return status;
}

static lm_status pipeline(lm_json **document, const lm_vocab_options *o, lm_err *err)
{
    if (o->max_token_length > LM_UNIGRAM_PIECE)
        return lm_fail(err, LM_E_USAGE, "tokens of %lld characters: Unigram has at most %d", (long long)o->max_token_length, LM_UNIGRAM_PIECE);
    return lm_sentence_unigram_pipeline(document, o, err);
}

static const char *const specials[] = { "<unk>", "<s>", "</s>", NULL };

const lm_token_trainer lm_token_trainer_unigram = {
    .name = "unigram",
    .summary = "Unigram of SentencePiece: the likeliest segmentation (T5, ALBERT, XLM-R)",
    .specials = specials,
    .lines = true,
    .pipeline = pipeline,
    .cut = lm_sentence_cut,
    .learn = learn,
};
