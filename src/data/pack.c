#include "data/pack.h"

#include <stdlib.h>
#include <string.h>

static int64_t supervised(const lm_dataset *d, const lm_piece *p)
{
    int64_t n = 0;
    for (int64_t i = 1; i <= p->n; i++) n += d->tokens[p->begin + i] >> 31;
    return n;
}

int64_t lm_block_length(const lm_blocks *b, int64_t block)
{
    int64_t n = 0;
    for (int64_t p = b->first[block]; p < b->first[block + 1]; p++) n += b->pieces[p].n;
    return n;
}

int64_t lm_block_supervised(const lm_blocks *b, const lm_dataset *d, int64_t block)
{
    int64_t n = 0;
    for (int64_t p = b->first[block]; p < b->first[block + 1]; p++) n += supervised(d, &b->pieces[p]);
    return n;
}

/* ---- pieces ---- */

static lm_status refuse(const lm_dataset *d, int64_t document, lm_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static lm_status refuse(const lm_dataset *d, int64_t document, lm_err *err, const char *format, ...)
{
    lm_str text = {0};
    char why[200], *place = lm_document_place(d, document);
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    lm_str_printf(&text, "%s: %s", place, why);
    lm_fail(err, LM_E_FORMAT, "%s", text.data);
    lm_str_free(&text);
    free(place);
    return LM_E_FORMAT;
}

static void add_piece(lm_blocks *b, size_t *cap, lm_piece piece)
{
    if ((size_t)b->n_pieces == *cap) {
        *cap = 2 * *cap + 64;
        b->pieces = lm_realloc(b->pieces, *cap * sizeof *b->pieces);
    }
    b->pieces[b->n_pieces++] = piece;
}

/* Cuts one document; trailing lessons that are not supervised teach nothing and are left out. */
static lm_status cut(lm_blocks *b, size_t *cap, const lm_dataset *d, int64_t document, const lm_pack_options *o, lm_err *err)
{
    int64_t begin = d->documents[document].begin, tokens = lm_document_length(d, document), n = tokens - 1;
    if (n > o->context && o->longer == LM_LONGER_REFUSE)
        return refuse(d, document, err, "%lld tokens, more than the context of %lld: give --truncate to cut them off, "
                      "or a larger --context", (long long)tokens, (long long)o->context);
    if (n > o->context && o->longer == LM_LONGER_TRUNCATE) {
        b->n_truncated++;
        b->lost += n - o->context;
        n = o->context;
    }
    while (n > 0 && !(d->tokens[begin + n] & LM_TOKEN_SUPERVISED)) n--;
    if (n <= 0)
        return refuse(d, document, err, "no token to learn%s", tokens - 1 > o->context ? " is left after truncation" : "");
    for (int64_t at = 0; at < n; at += o->context) {
        int64_t part = n - at < o->context ? n - at : o->context;
        lm_piece piece = { .begin = begin + at, .document = (int32_t)document, .n = (int32_t)part };
        int64_t learnt = supervised(d, &piece);
        if (!learnt) continue;                       /* a long passage without anything to learn */
        b->n_lessons += part;
        b->n_supervised += learnt;
        add_piece(b, cap, piece);
    }
    return LM_OK;
}

/* ---- blocks ---- */

/* A block for each piece, or for the pieces of a row whose sequences are compared. */
static void one_each(lm_blocks *b, const lm_dataset *d)
{
    b->first = lm_malloc((size_t)(b->n_pieces + 1) * sizeof *b->first);
    for (int64_t i = 0; i < b->n_pieces; i++)
        if (!d->documents[b->pieces[i].document].joins) b->first[b->n++] = i;
    b->first[b->n] = b->n_pieces;
}

/* Piece indices by decreasing length, equal ones in order: a counting sort. */
static int64_t *by_length(const lm_blocks *b, int64_t context)
{
    int64_t *order = lm_malloc((size_t)b->n_pieces * sizeof *order);
    int64_t *start = lm_calloc((size_t)context + 2, sizeof *start);      /* start[l]: of length context - l */
    for (int64_t i = 0; i < b->n_pieces; i++) start[context - b->pieces[i].n + 1]++;
    for (int64_t l = 0; l <= context; l++) start[l + 1] += start[l];
    for (int64_t i = 0; i < b->n_pieces; i++) order[start[context - b->pieces[i].n]++] = i;
    free(start);
    return order;
}

/* Blocks with the same room left form a list; a piece goes to the last of the fullest that still fits.
 * (A scan over the room left, at most `context` long: seldom more than a few entries, since blocks that
 * are full leave the table.) */
static void best_fit(lm_blocks *b, int64_t context)
{
    int64_t *order = by_length(b, context);
    int64_t *head = lm_malloc((size_t)(context + 1) * sizeof *head);
    int64_t *next = lm_malloc((size_t)b->n_pieces * sizeof *next);       /* of a block in its list */
    int64_t *block_of = lm_malloc((size_t)b->n_pieces * sizeof *block_of);
    for (int64_t room = 0; room <= context; room++) head[room] = -1;
    for (int64_t i = 0; i < b->n_pieces; i++) {
        int64_t n = b->pieces[order[i]].n, room = n;
        while (room < context && head[room] < 0) room++;
        int64_t block = room < context ? head[room] : b->n++;
        if (room < context) head[room] = next[block];
        next[block] = head[room - n];
        head[room - n] = block;
        block_of[order[i]] = block;
    }

    lm_piece *pieces = lm_malloc((size_t)b->n_pieces * sizeof *pieces);
    b->first = lm_calloc((size_t)b->n + 2, sizeof *b->first);
    for (int64_t i = 0; i < b->n_pieces; i++) b->first[block_of[i] + 2]++;
    for (int64_t block = 0; block < b->n; block++) b->first[block + 2] += b->first[block + 1];
    for (int64_t i = 0; i < b->n_pieces; i++) pieces[b->first[block_of[i] + 1]++] = b->pieces[i];
    free(b->pieces);
    b->pieces = pieces;
    free(order), free(head), free(next), free(block_of);
}

static void next_fit(lm_blocks *b, int64_t context)
{
    int64_t room = 0;
    b->first = lm_malloc((size_t)(b->n_pieces + 1) * sizeof *b->first);
    for (int64_t i = 0; i < b->n_pieces; i++) {
        if (b->pieces[i].n > room) {
            b->first[b->n++] = i;
            room = context;
        }
        room -= b->pieces[i].n;
    }
    b->first[b->n] = b->n_pieces;
}

/* Blocks of the documents [begin, end). */
static lm_status make_range(lm_blocks *b, const lm_dataset *d, int64_t begin, int64_t end, const lm_pack_options *options, lm_err *err)
{
    size_t cap = 0;
    *b = (lm_blocks){0};
    for (int64_t i = begin; i < end; i++)
        if (cut(b, &cap, d, i, options, err) != LM_OK) {
            lm_blocks_free(b);
            return LM_E_FORMAT;
        }
    if (!options->pack || d->parted) one_each(b, d);
    else (options->in_order ? next_fit : best_fit)(b, options->context);
    return LM_OK;
}

/* Puts the blocks of `more`, which is then empty, behind those of b. */
static void join(lm_blocks *b, lm_blocks *more)
{
    lm_blocks before = *b;
    b->n_lessons += more->n_lessons, b->n_supervised += more->n_supervised, b->n_truncated += more->n_truncated, b->lost += more->lost;
    if (!before.first) {
        b->pieces = more->pieces, b->first = more->first, b->n = more->n, b->n_pieces = more->n_pieces;
        *more = (lm_blocks){0};
        return;
    }
    b->n += more->n, b->n_pieces += more->n_pieces;
    b->pieces = lm_realloc(b->pieces, (size_t)b->n_pieces * sizeof *b->pieces);
    b->first = lm_realloc(b->first, (size_t)(b->n + 1) * sizeof *b->first);
    memcpy(b->pieces + before.n_pieces, more->pieces, (size_t)more->n_pieces * sizeof *b->pieces);
    for (int64_t i = 0; i <= more->n; i++) b->first[before.n + i] = before.n_pieces + more->first[i];
    lm_blocks_free(more);
}

lm_status lm_blocks_make(lm_blocks *b, const lm_dataset *d, const lm_pack_options *options, lm_err *err)
{
    *b = (lm_blocks){ .n_truncated = d->n_truncated, .lost = d->lost };
    LM_ASSERT(options->context > 0 && options->context < INT32_MAX);
    if (d->n >= INT32_MAX) return lm_fail(err, LM_E_UNSUPPORTED, "more than %d documents", INT32_MAX - 1);
    for (int64_t i = 0, begin = 0; i < (options->n_ends ? options->n_ends : 1); i++) {
        lm_blocks part;
        int64_t end = options->n_ends ? options->ends[i] : d->n;
        if (make_range(&part, d, begin, end, options, err) != LM_OK) {
            lm_blocks_free(b);
            return LM_E_FORMAT;
        }
        join(b, &part);
        begin = end;
    }
    return LM_OK;
}

void lm_blocks_free(lm_blocks *b)
{
    free(b->pieces);
    free(b->first);
    *b = (lm_blocks){0};
}
