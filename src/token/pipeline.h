/* The pipeline inside a tokenizer: the types that its steps implement.
 *
 * Four kinds of step, each a descriptor found by the "type" that tokenizer.json gives:
 *
 *   lm_normaliser      text -> text                       NFC, Replace, Prepend ...
 *   lm_pretokeniser    text -> pieces that no token spans  ByteLevel, Split, Metaspace ...
 *   lm_token_model     piece -> ids                       BPE, WordPiece, Unigram, WordLevel
 *   lm_token_decoder   token texts -> text                ByteLevel, ByteFallback, Strip ...
 *
 * A "Sequence" is flattened when it is read, so a pipeline is three flat lists around one model.
 * A pre-tokeniser hands each piece on by lm_pieces_next, so the list runs without storing pieces.
 *
 * Byte level: Hugging Face spells bytes as printable characters (0x20 as U+0120).  Here a byte-level
 * tokenizer works on the bytes themselves: the vocabulary is unspelled when it is read, and spelling
 * happens only where a later step looks at the spelled text. */
#ifndef LM_TOKEN_PIPELINE_H
#define LM_TOKEN_PIPELINE_H

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "token/document_text.h"
#include "token/tokenizer.h"

/* ---- vocabulary ---------------------------------------------------------------- */

enum { LM_MAX_TOKENS = 1 << 24 };    /* ids are below this; larger ones are refused */

/* Token texts by id, and ids by text.  {0} is empty.  Texts end in a NUL byte and keep their place; holes
 * have data == NULL. */
typedef struct lm_vocab {
    lm_span *texts;
    int n, cap;
    double *scores;                  /* Unigram's, of the ids below n_scores */
    int n_scores;
    struct lm_vocab_slot *slots;     /* ids by text, see vocab.c */
    size_t mask, count;
    uint64_t seed;
    struct lm_vocab_block *blocks;   /* memory of the texts */
} lm_vocab;

/* Adds one token; `where` heads the message.  LM_E_FORMAT for an id out of range, or taken, or a text
 * that has another id. */
lm_status lm_vocab_add(lm_vocab *vocab, lm_span text, int64_t id, const char *where, lm_err *err);
/* Adds what "vocab" of a document says: {"token": id, ...}. */
lm_status lm_vocab_read(lm_vocab *vocab, const lm_token_document *document, const char *name, lm_err *err);
int32_t lm_vocab_id(const lm_vocab *vocab, lm_span text);   /* or -1 */

/* lm_vocab_id in two steps, for many texts at once: asking fetches what the answer takes. */
typedef struct lm_vocab_query {
    lm_span text;
    uint64_t key;
} lm_vocab_query;
lm_vocab_query lm_vocab_ask(const lm_vocab *vocab, lm_span text);
int32_t lm_vocab_answer(const lm_vocab *vocab, const lm_vocab_query *query);

void lm_vocab_free(lm_vocab *vocab);

/* ---- byte level ------------------------------------------------------------------ */

/* The character that spells a byte, and the byte that a character spells (or -1). */
uint32_t lm_byte_spell(uint8_t byte);
int lm_byte_unspell(uint32_t rune);

/* Appends the spelled form of bytes; appends the bytes that text spells (false when some character
 * spells none; out is then unchanged). */
void lm_bytes_spell(lm_str *out, lm_span bytes);
bool lm_bytes_unspell(lm_str *out, lm_span text);

/* ---- where a text divides ---------------------------------------------------------- */

/* A cut in front of one of " \t\n\r" (divide.c says which).  A step is asked what it makes of it: it
 * returns false if what it does on one side may depend on the other. */
typedef struct lm_cut {
    uint32_t rune;                   /* what the character behind the cut has become */
    bool loose;                      /* the one before it may have become white space */
    bool divided;                    /* no piece spans the cut any more, whatever steps follow */
} lm_cut;

/* Letters and signs that no normaliser makes white or joins to what follows. */
bool lm_is_settled(uint32_t rune);

/* What stands before a text that is normalised. */
typedef enum lm_place {
    LM_PLACE_FIRST,                  /* nothing: it begins the input */
    LM_PLACE_BEHIND,                 /* an added token */
    LM_PLACE_INSIDE,                 /* text, cut where it divides */
} lm_place;

/* ---- steps ------------------------------------------------------------------------- */

/* What reading a step can see: its JSON object, the file's name for messages, and the tokenizer so
 * far (its vocabulary is complete, added tokens included, when steps are read). */
typedef struct lm_step_source {
    const lm_json *json;
    const char *name;
    lm_tokenizer *tk;                /* its document is complete too */
} lm_step_source;

typedef struct lm_normaliser {
    const char *name;
    lm_status (*load)(void **state, const lm_step_source *source, lm_err *err);   /* NULL: no settings */
    /* Appends what text becomes. */
    lm_status (*apply)(const void *state, lm_str *out, lm_span text, lm_place place, lm_err *err);
    bool (*cut)(const void *state, lm_cut *cut);          /* NULL: looks across any */
    uint32_t (*removes)(const void *state);               /* a character that no result holds, 0: none; NULL: not known */
    bool quick;                      /* costs little where text has its form already */
    void (*free)(void *state);
} lm_normaliser;
extern const lm_normaliser *const lm_normaliser_registry[];

typedef struct lm_encoder lm_pieces;

typedef struct lm_pretokeniser {
    const char *name;
    lm_status (*load)(void **state, const lm_step_source *source, lm_err *err);
    /* Calls lm_pieces_next for each piece of text, in order.  `first`: text starts the input. */
    lm_status (*split)(const void *state, lm_pieces *pieces, lm_span text, bool first);
    bool (*cut)(const void *state, lm_cut *cut);          /* NULL: looks across any */
    /* With these settings text without the character `absent` (0: none) passes as it is; NULL: never. */
    bool (*idle)(const void *state, uint32_t absent);
    void (*free)(void *state);
} lm_pretokeniser;
extern const lm_pretokeniser *const lm_pretokeniser_registry[];

/* Hands one piece to the next step (or the model).  Empty pieces vanish. */
lm_status lm_pieces_next(lm_pieces *pieces, lm_span piece, bool first);

/* A buffer that the step at hand may use until it returns, and the place for errors. */
lm_str *lm_pieces_scratch(lm_pieces *pieces);
lm_err *lm_pieces_err(lm_pieces *pieces);

typedef struct lm_token_model {
    const char *name;
    lm_status (*load)(void **state, const lm_step_source *source, lm_err *err);
    /* Appends the ids of one piece; `work` is the model's own memory of this encoder (see work_free). */
    void (*encode)(const void *state, void **work, lm_ids *out, lm_span piece);
    void (*work_free)(void *work);
    void (*free)(void *state);
    /* Reads "vocab" into the vocabulary, before anything else is read. */
    lm_status (*vocab)(lm_vocab *vocab, const lm_token_document *document, const char *name, lm_err *err);
    bool merges;                     /* load reads "merges" */
    bool cache;                      /* pieces are words that repeat: worth remembering */
    /* Whether no token reaches from another character into this one; NULL: not known. */
    bool (*opens)(const void *state, uint32_t rune);
    /* How much of the front of a piece may be encoded by itself without changing any id; NULL: all. */
    size_t (*divide)(const void *state, lm_span piece);
} lm_token_model;
extern const lm_token_model *const lm_token_model_registry[];

/* Where a decoder stands in a stream. */
typedef struct lm_decode_state {
    int64_t tokens;                  /* seen so far */
    lm_str held;                     /* text kept back */
    int64_t count;                   /* the step's own */
} lm_decode_state;

typedef struct lm_token_decoder {
    const char *name;
    lm_status (*load)(void **state, const lm_step_source *source, lm_err *err);
    /* Takes one token's text and hands on what it becomes by lm_decode_next. */
    void (*push)(const void *state, lm_decoder *decoder, lm_decode_state *at, lm_span token);
    void (*finish)(const void *state, lm_decoder *decoder, lm_decode_state *at);   /* NULL: nothing is held */
    void (*free)(void *state);
} lm_token_decoder;
extern const lm_token_decoder *const lm_token_decoder_registry[];

/* Hands a token's text to the step after the one whose state is `at`. */
void lm_decode_next(lm_decoder *decoder, lm_decode_state *at, lm_span token);

/* ---- added tokens -------------------------------------------------------------------- */

typedef struct lm_added_token {
    lm_span text;                    /* as written; the vocabulary owns it */
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
    bool literal;                    /* SentencePiece's user-defined symbol: sought in the normal text as it is written */
    bool piece;                      /* the same of a Unigram model, whose own matter it is: not sought at all */
} lm_added_token;

/* Finds added tokens in text, the longest at the leftmost place first (added.c). */
typedef struct lm_added lm_added;
lm_added *lm_added_new(void);
void lm_added_free(lm_added *added);
void lm_added_put(lm_added *added, lm_span pattern, const lm_added_token *token);   /* copies both */

typedef struct lm_added_match {
    size_t begin, end;               /* of the text that the token takes, stripped spaces included */
    const lm_added_token *token;
} lm_added_match;
/* Whether some pattern has this character behind a different one; whether some token looks at what stands
 * beside it. */
bool lm_added_crosses(const lm_added *added, uint32_t rune);
bool lm_added_strips(const lm_added *added);

/* The first match at or after `from`; tokens with .special only where `specials`. */
bool lm_added_find(const lm_added *added, lm_span text, size_t from, bool specials, lm_added_match *match);

/* ---- the tokenizer ---------------------------------------------------------------------- */

typedef struct lm_step {
    const void *kind;                /* the descriptor, of the list's type */
    void *state;
} lm_step;

typedef struct lm_steps {
    lm_step *items;
    int n;
} lm_steps;

struct lm_tokenizer {
    lm_vocab vocab;
    lm_steps normalisers, pretokenisers, decoders;
    const lm_token_model *model;
    void *model_state;
    bool byte_level;                 /* the model sees bytes, not their spelled form */
    int spell_at;                    /* pre-tokenisers from this index on see spelled text; -1: none */
    bool keeps_bytes;                /* invalid UTF-8 reaches the model as it is */
    bool repairs_bytes;              /* else each byte of it is a U+FFFD of its own: SentencePiece's way ("exact") */
    bool cuts[256];                  /* the text divides in front of this byte, in the right company */
    bool token_ends[256];            /* the last bytes of added tokens */
    bool specials_late;              /* a special token is sought after normalisation */
    bool words_are_raw;              /* an encoder remembers words as they stand in the text, else pieces */

    lm_added_token *added;
    int n_added;
    lm_added *raw, *normalised;      /* those searched before and after normalisation */
    uint8_t *special;                /* one flag for each id */
    lm_ids before, after;            /* what the post-processor puts around a text */
    int32_t bos, eos, unk, pad;

    lm_token_document document;      /* what it was built from, for saving */
    char *chat_template;
};

/* Runs every normaliser over text and appends the result. */
lm_status lm_normalise(const lm_tokenizer *tk, lm_str *out, lm_span text, lm_place place, lm_err *err);

/* Finds where texts divide, once all else is built. */
void lm_tokenizer_find_cuts(lm_tokenizer *tk);

/* Whether text divides in front of text[at]; the next such place behind `from`, or the end. */
bool lm_divides_at(const lm_tokenizer *tk, lm_span text, size_t at);
size_t lm_next_division(const lm_tokenizer *tk, lm_span text, size_t from);

/* Builds a tokenizer from a document, which it takes, also on failure.  `name` heads messages. */
lm_status lm_tokenizer_build(lm_tokenizer **out, lm_token_document *document, const char *name, lm_err *err);

/* The same from a document in the schema of tokenizer.json, with the special tokens guessed by their usual
 * names.  Takes the document, also on failure. */
lm_status lm_tokenizer_adopt(lm_tokenizer **out, lm_json *document, const char *name, lm_err *err);

/* Runs text up to the model and hands each piece to `sink` instead; added tokens are not sought. */
lm_status lm_encoder_pieces(lm_encoder *encoder, const char *text, size_t n, void (*sink)(void *context, lm_span piece), void *context, lm_err *err);

/* A part of a text between special tokens, none of which is read in it; `first`: it begins the text. */
lm_status lm_encoder_section(lm_encoder *encoder, lm_ids *out, lm_span text, bool first, lm_err *err);

/* A part of a text that was cut where it divides: the pipeline without what it puts around texts. */
lm_status lm_encoder_part(lm_encoder *encoder, lm_ids *out, lm_span text, lm_place place, unsigned flags, lm_err *err);

/* LM_E_UNSUPPORTED for a text of n bytes that cannot be divided, where that is too much to encode at once. */
lm_status lm_encoder_takes(size_t n, lm_err *err);

/* The special tokens as they are written, whatever normalisation makes of them. */
const lm_added *lm_encoder_specials(lm_encoder *encoder);

/* ---- readers of other formats ------------------------------------------------------------- */

/* One file format: recognised by content, read into a document in the schema of tokenizer.json and
 * settings in that of tokenizer_config.json (NULL where the format has none). */
typedef struct lm_token_format {
    const char *name;
    int order;                       /* in which formats are tried: lower first */
    bool (*is)(lm_span head, size_t file_size);           /* head: the first bytes, up to 4096 */
    lm_status (*read)(lm_json **document, lm_json **config, const char *path, lm_err *err);
} lm_token_format;
extern const lm_token_format *const lm_token_format_registry[];

/* The document of a vocab.json, given as `vocab`, with the merges.txt beside it. */
lm_status lm_read_vocab_merges(lm_json **document, const lm_json *vocab, const char *path, lm_err *err);

#endif
