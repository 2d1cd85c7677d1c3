#include "data/packed.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char mark[16] = "malmoi pack 1\n";

typedef struct head {
    lm_packed_about about;
    int64_t n_tokens, n_pieces, n_blocks, n_documents, path_bytes, note_bytes, n_paths, parted;
    int64_t lessons, block_supervised, truncated, lost;                  /* of the blocks */
    int64_t bytes, supervised, skipped, cut, cut_tokens;                 /* of the data set */
} head;

typedef struct document {
    int64_t begin, line, note;
    int32_t path;
    float value;
    int64_t joins;
} document;

enum { PARTS = 7 };

/* The parts behind the hash, with their sizes. */
typedef struct parts {
    const void *data[PARTS];
    size_t bytes[PARTS];
} parts;

static size_t padded(size_t n) { return (n + 7) / 8 * 8; }

uint64_t lm_tokenizer_fingerprint(const lm_tokenizer *tk)
{
    uint64_t hash = 0;
    for (int32_t id = 0; id < lm_tokenizer_vocab_size(tk); id++) {
        lm_span text = lm_token_text(tk, id);
        hash = lm_hash(text.data ? text.data : "", text.len, hash + text.len + 1);
    }
    return hash;
}

/* ---- writing --------------------------------------------------------------------- */

static document *documents_of(const lm_dataset *d)
{
    document *out = lm_calloc((size_t)d->n + 1, sizeof *out);
    for (int64_t i = 0; i <= d->n; i++) {
        const lm_document *from = &d->documents[i];
        out[i] = (document){ .begin = from->begin, .line = from->line, .note = (int64_t)from->note, .path = from->path, .value = from->value, .joins = from->joins };
    }
    return out;
}

static lm_str paths_of(const lm_dataset *d)
{
    lm_str paths = {0};
    for (int i = 0; i < d->n_paths; i++) lm_str_append(&paths, d->paths[i], strlen(d->paths[i]) + 1);
    return paths;
}

static uint64_t hash_of(const parts *p)
{
    static const char zeros[8];
    XXH3_state_t *state = XXH3_createState();
    if (!state) LM_BUG("out of memory");
    XXH3_64bits_reset(state);
    for (int i = 0; i < PARTS; i++) {
        if (p->bytes[i]) XXH3_64bits_update(state, p->data[i], p->bytes[i]);
        XXH3_64bits_update(state, zeros, padded(p->bytes[i]) - p->bytes[i]);
    }
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}

static lm_status write_parts(const char *path, const parts *p, int64_t *bytes, lm_err *err)
{
    static const char zeros[8];
    lm_writer w;
    uint64_t hash = hash_of(p);
    LM_TRY(lm_writer_open(&w, path, err));
    fwrite(mark, 1, sizeof mark, w.stream);
    fwrite(&hash, 1, sizeof hash, w.stream);
    *bytes = sizeof mark + sizeof hash;
    for (int i = 0; i < PARTS; i++) {
        if (p->bytes[i]) fwrite(p->data[i], 1, p->bytes[i], w.stream);
        fwrite(zeros, 1, padded(p->bytes[i]) - p->bytes[i], w.stream);
        *bytes += (int64_t)padded(p->bytes[i]);
    }
    return lm_writer_commit(&w, err);
}

lm_status lm_packed_write(const char *path, const lm_dataset *d, const lm_blocks *b, const lm_packed_about *about, int64_t *bytes, lm_err *err)
{
    lm_str paths = paths_of(d);
    document *documents = documents_of(d);
    head h = { .about = *about, .n_tokens = d->n_tokens, .n_pieces = b->n_pieces, .n_blocks = b->n, .n_documents = d->n, .path_bytes = (int64_t)paths.len,
               .note_bytes = (int64_t)d->notes.len, .n_paths = d->n_paths, .parted = d->parted, .lessons = b->n_lessons, .block_supervised = b->n_supervised,
               .truncated = b->n_truncated, .lost = b->lost, .bytes = d->n_bytes, .supervised = d->n_supervised, .skipped = d->n_skipped, .cut = d->n_truncated, .cut_tokens = d->lost };
    const parts p = {
        .data = { &h, d->tokens, b->pieces, b->first, documents, paths.data, d->notes.data },
        .bytes = { sizeof h, (size_t)d->n_tokens * sizeof *d->tokens, (size_t)b->n_pieces * sizeof *b->pieces, (size_t)(b->n + 1) * sizeof *b->first,
                   (size_t)(d->n + 1) * sizeof *documents, paths.len, d->notes.len },
    };
    lm_status status = write_parts(path, &p, bytes, err);
    lm_str_free(&paths);
    free(documents);
    return status;
}

/* ---- reading --------------------------------------------------------------------- */

bool lm_packed_is(const char *path)
{
    char found[sizeof mark];
    FILE *file = fopen(path, "rbe");
    bool is = file && fread(found, 1, sizeof found, file) == sizeof found && !memcmp(found, mark, sizeof mark);
    if (file) fclose(file);
    return is;
}

/* Where the parts are, if their sizes make up the file exactly. */
static bool locate(parts *p, const head *h, const lm_mapping *m)
{
    const int64_t counts[PARTS] = { 1, h->n_tokens, h->n_pieces, h->n_blocks < INT64_MAX ? h->n_blocks + 1 : -1, h->n_documents < INT64_MAX ? h->n_documents + 1 : -1, h->path_bytes, h->note_bytes };
    static const size_t each[PARTS] = { sizeof(head), sizeof(lm_token), sizeof(lm_piece), sizeof(int64_t), sizeof(document), 1, 1 };
    size_t at = sizeof mark + sizeof(uint64_t);
    for (int i = 0; i < PARTS; i++) {
        if (counts[i] < 0 || (uint64_t)counts[i] > (m->size - at) / each[i]) return false;
        p->data[i] = m->data + at;
        p->bytes[i] = (size_t)counts[i] * each[i];
        if (padded(p->bytes[i]) > m->size - at) return false;
        at += padded(p->bytes[i]);
    }
    return at == m->size;
}

/* Documents stand one behind the other, and the last one only marks the end. */
static bool read_documents(lm_dataset *d, const document *from, const head *h)
{
    if (h->n_documents < 1 || h->n_documents >= INT32_MAX || h->n_paths < 1 || h->n_paths > INT32_MAX) return false;
    d->documents = lm_malloc((size_t)(h->n_documents + 1) * sizeof *d->documents);
    for (int64_t i = 0; i <= h->n_documents; i++) {
        const document *f = &from[i];
        bool last = i == h->n_documents;
        if (f->begin < (i ? from[i - 1].begin : 0) || f->begin > h->n_tokens || (last && f->begin != h->n_tokens)) return false;
        if (f->note < (i ? from[i - 1].note : 0) || f->note > h->note_bytes || (!last && (f->path < 0 || f->path >= h->n_paths))) return false;
        d->documents[i] = (lm_document){ .begin = f->begin, .line = f->line, .note = (size_t)f->note, .path = f->path, .value = f->value, .joins = f->joins };
    }
    return true;
}

static bool read_paths(lm_dataset *d, const char *text, const head *h)
{
    const char *end = text + h->path_bytes;
    if (h->n_paths > h->path_bytes) return false;
    d->paths = lm_calloc((size_t)h->n_paths, sizeof *d->paths);
    for (int64_t i = 0; i < h->n_paths; i++) {
        const char *zero = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
        if (!zero) return false;
        d->paths[d->n_paths++] = lm_strdup(text);
        text = zero + 1;
    }
    return text == end;
}

static bool are_tokens(const lm_dataset *d, int64_t vocab)
{
    int64_t supervised = 0;
    for (int64_t i = 0; i < d->n_tokens; i++)
        if (lm_token_value(d->tokens[i]) >= vocab) return false;
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t t = d->documents[i].begin + 1; t < d->documents[i + 1].begin; t++) supervised += d->tokens[t] >> 31;
    return supervised == d->n_supervised;
}

/* Every block has pieces, every piece lies in its document, and no block is longer than the context; sums are right. */
static bool are_blocks(const lm_blocks *b, const lm_dataset *d, int64_t context)
{
    int64_t lessons = 0, supervised = 0;
    if (b->n < 1 || context < 1 || context >= INT32_MAX || b->first[0] != 0 || b->first[b->n] != b->n_pieces) return false;
    for (int64_t i = 0; i < b->n; i++)
        if (b->first[i + 1] <= b->first[i]) return false;
    for (int64_t i = 0; i < b->n_pieces; i++) {
        const lm_piece *p = &b->pieces[i];
        if (p->document < 0 || p->document >= d->n || p->n < 1 || p->n > context) return false;
        if (p->begin < d->documents[p->document].begin || p->begin >= d->documents[p->document + 1].begin - p->n) return false;
    }
    for (int64_t i = 0; i < b->n; i++) {
        int64_t length = lm_block_length(b, i);
        if (length > context && !d->parted) return false;
        lessons += length;
        supervised += lm_block_supervised(b, d, i);
    }
    return lessons == b->n_lessons && supervised == b->n_supervised;
}

static lm_status damaged(const char *path, const char *what, lm_err *err)
{
    return lm_fail(err, LM_E_FORMAT, "%s: is damaged: %s; make it again with malmoi data pack", path, what);
}

static lm_status read_all(lm_packed *p, const char *path, lm_err *err)
{
    size_t front = sizeof mark + sizeof(uint64_t);
    head h;
    uint64_t hash;
    parts at;
    if (p->mapping.size < front + sizeof h || memcmp(p->mapping.data, mark, sizeof mark)) return damaged(path, "its head is not whole", err);
    memcpy(&hash, p->mapping.data + sizeof mark, sizeof hash);
    memcpy(&h, p->mapping.data + front, sizeof h);
    if (!locate(&at, &h, &p->mapping)) return damaged(path, "its size is not what its head says", err);
    if (XXH3_64bits(p->mapping.data + front, p->mapping.size - front) != hash) return damaged(path, "its bytes are not those that were written", err);
    p->about = h.about;
    p->about.objective[sizeof p->about.objective - 1] = '\0';
    lm_one_line(p->about.objective);
    p->data = (lm_dataset){ .tokens = (lm_token *)(uintptr_t)at.data[1], .n = h.n_documents, .n_tokens = h.n_tokens, .n_bytes = h.bytes, .n_supervised = h.supervised,
                            .n_skipped = h.skipped, .n_truncated = h.cut, .lost = h.cut_tokens, .parted = h.parted };
    p->blocks = (lm_blocks){ .pieces = (lm_piece *)(uintptr_t)at.data[2], .first = (int64_t *)(uintptr_t)at.data[3], .n = h.n_blocks, .n_pieces = h.n_pieces,
                             .n_lessons = h.lessons, .n_supervised = h.block_supervised, .n_truncated = h.truncated, .lost = h.lost };
    bool fits = read_documents(&p->data, at.data[4], &h) && read_paths(&p->data, at.data[5], &h) && are_tokens(&p->data, h.about.vocab) && are_blocks(&p->blocks, &p->data, h.about.context);
    if (!fits) return damaged(path, "its parts do not fit together", err);
    lm_str_append(&p->data.notes, at.data[6], at.bytes[6]);
    return LM_OK;
}

lm_status lm_packed_open(lm_packed *p, const char *path, lm_err *err)
{
    *p = (lm_packed){0};
    LM_TRY(lm_file_map(&p->mapping, path, err));
    lm_status status = read_all(p, path, err);
    if (status != LM_OK) lm_packed_close(p);
    return status;
}

void lm_packed_close(lm_packed *p)
{
    p->data.tokens = NULL;
    lm_dataset_free(&p->data);
    lm_mapping_free(&p->mapping);
    *p = (lm_packed){0};
}
