/* Scanners for the published pre-tokeniser expressions.
 *
 * Each takes the alternatives of its expression in order and says where the first that matches ends.
 * An expression is recognised only as the exact string; the tests hold every scanner to PCRE2's matches
 * on random text.  Unlike PCRE2, whose Unicode version depends on the system, scanners use the table of
 * unicode.h, which is that of the Hugging Face library. */
#include "token/pattern.h"
#include "token/unicode.h"

#include <endian.h>
#include <string.h>

/* ---- sets of characters ------------------------------------------------------------------ */

#define WHITE (1u << 30)             /* stands beside the category of each White_Space character */
#define NEWLINE (1u << 31)           /* beside that of \r and \n */

enum {
    UPPER = LM_CATEGORY(LM_LU) | LM_CATEGORY(LM_LT) | LM_CATEGORY(LM_LM) | LM_CATEGORY(LM_LO) | LM_MARKS,
    LOWER = LM_CATEGORY(LM_LL) | LM_CATEGORY(LM_LM) | LM_CATEGORY(LM_LO) | LM_MARKS,
    PUNCTUATION = LM_CATEGORY(LM_PC) | LM_CATEGORY(LM_PD) | LM_CATEGORY(LM_PS) | LM_CATEGORY(LM_PE) | LM_CATEGORY(LM_PI)
                  | LM_CATEGORY(LM_PF) | LM_CATEGORY(LM_PO),
    SYMBOL = LM_CATEGORY(LM_SM) | LM_CATEGORY(LM_SC) | LM_CATEGORY(LM_SK) | LM_CATEGORY(LM_SO),
};

/* The sets of ASCII, which is most of most text. */
#define C LM_CATEGORY(LM_CC)
#define T (LM_CATEGORY(LM_CC) | WHITE)
#define N (LM_CATEGORY(LM_CC) | WHITE | NEWLINE)
#define Z (LM_CATEGORY(LM_ZS) | WHITE)
#define O LM_CATEGORY(LM_PO)
#define S LM_CATEGORY(LM_PS)
#define E LM_CATEGORY(LM_PE)
#define D LM_CATEGORY(LM_PD)
#define P LM_CATEGORY(LM_PC)
#define M LM_CATEGORY(LM_SM)
#define M_ LM_CATEGORY(LM_SC)
#define K LM_CATEGORY(LM_SK)
#define U LM_CATEGORY(LM_LU)
#define L LM_CATEGORY(LM_LL)
#define X LM_CATEGORY(LM_ND)
static const uint32_t ascii[128] = {
    C, C, C, C, C, C, C, C, C, T, N, T, T, N, C, C,    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    Z, O, O, O, M_, O, O, O, S, E, O, M, O, D, O, O,   X, X, X, X, X, X, X, X, X, X, O, O, M, M, M, O,
    O, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U,    U, U, U, U, U, U, U, U, U, U, U, S, O, E, K, P,
    K, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,    L, L, L, L, L, L, L, L, L, L, L, S, M, E, M, C,
};
#undef C
#undef T
#undef N
#undef Z
#undef O
#undef S
#undef E
#undef D
#undef P
#undef M
#undef M_
#undef K
#undef U
#undef L
#undef X

static unsigned set_of_rune(lm_span text, size_t at, size_t *length)
{
    uint32_t rune;
    *length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
    unsigned set = LM_CATEGORY(lm_rune_kind_of(rune).category);
    return rune == 0x85 || (set & LM_SEPARATORS) ? set | WHITE : set;
}

/* What the character at `at` is, as a set of bits, and its length.  Invalid bytes count as U+FFFD.  The
 * syllables of Hangul are letters, told by their bytes. */
static inline unsigned set_at(lm_span text, size_t at, size_t *length)
{
    const uint8_t *p = (const uint8_t *)text.data + at;
    if (p[0] < 0x80) return *length = 1, ascii[p[0]];
    if (lm_is_syllable((const char *)p, text.len - at)) return *length = 3, LM_CATEGORY(LM_LO);
    return set_of_rune(text, at, length);
}

/* Skips letters of ASCII, eight bytes at a time, up to something else or a rest of fewer bytes; `fold` is the bit that
 * capitals lack, where they count, in each byte.  Added to seven bits, 0x1F carries from 'a' on and 5 behind 'z'. */
static inline size_t skip_letters(lm_span text, size_t at, uint64_t fold)
{
    const uint64_t each = UINT64_MAX / 255, high = each * 0x80;
    for (uint64_t word; text.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text.data + at, sizeof word);
        word = le64toh(word);
        uint64_t seven = (word | fold) & ~high, letters = (seven + each * 0x1F) & ~(seven + each * 5) & ~word & high;
        if (letters != high) return at + (size_t)__builtin_ctzll(letters ^ high) / 8;
    }
    return at;
}

/* The end of a run of characters of a set; of those outside a set. */
static inline size_t run_in(lm_span text, size_t at, unsigned set)
{
    size_t length;
    bool ascii_letters = set & LM_CATEGORY(LM_LL) && at < text.len && (uint8_t)text.data[at] < 0x80;
    if (ascii_letters) at = skip_letters(text, at, set & LM_CATEGORY(LM_LU) ? UINT64_MAX / 255 * 0x20 : 0);
    while (at < text.len && (set_at(text, at, &length) & set)) at += length;
    return at;
}

static inline size_t run_out(lm_span text, size_t at, unsigned set)
{
    size_t length;
    while (at < text.len && !(set_at(text, at, &length) & set)) at += length;
    return at;
}

static inline bool has(lm_span text, size_t at, unsigned set)
{
    size_t length;
    return at < text.len && (set_at(text, at, &length) & set);
}

/* \s+(?!\S)|\s+ : a run of white space, less its last character where something follows. */
static size_t space_run(lm_span text, size_t at)
{
    size_t length, last = at, end = at;
    while (end < text.len && (set_at(text, end, &length) & WHITE)) last = end, end += length;
    return end < text.len && last > at ? last : end;
}

/* The end of 's|'t|'re|'ve|'m|'ll|'d at an apostrophe, or `at`. */
static size_t contraction(lm_span text, size_t at)
{
    if (at + 1 >= text.len || text.data[at] != '\'') return at;
    char a = text.data[at + 1], b = at + 2 < text.len ? text.data[at + 2] : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? at + 3 : at;
}

/* The same without regard to case; U+017F is a form of s. */
static size_t contraction_any_case(lm_span text, size_t at)
{
    if (at + 1 >= text.len || text.data[at] != '\'') return at;
    char a = (char)(text.data[at + 1] | 0x20), b = at + 2 < text.len ? (char)(text.data[at + 2] | 0x20) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
    return text.len - at >= 3 && !memcmp(text.data + at + 1, "\xC5\xBF", 2) ? at + 3 : at;
}

/* ---- GPT-2 ------------------------------------------------------------------------------------ */

const char lm_gpt2_expression[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static size_t scan_gpt2(lm_span text, size_t at)
{
    size_t end = contraction(text, at);
    if (end > at) return end;
    size_t begin = at + (text.data[at] == ' ' && at + 1 < text.len), length;
    unsigned set = set_at(text, begin, &length);
    if (set & LM_LETTERS) return run_in(text, begin + length, LM_LETTERS);
    if (set & LM_NUMBERS) return run_in(text, begin + length, LM_NUMBERS);
    if (set & WHITE) return space_run(text, at);
    return run_out(text, begin + length, WHITE | LM_LETTERS | LM_NUMBERS);
}

/* ---- the family of cl100k: LLaMA-3, Qwen2, GPT-4, GPT-4o -------------------------------------------- */

typedef struct style {
    int digits;                      /* \p{N}{1,digits} */
    bool contractions;               /* first of all, or with `cases` behind a word */
    bool cases;                      /* words are [upper]*[lower]+ or [upper]+[lower]*, marks included */
    bool slash;                      /* [\r\n/]* behind punctuation, else [\r\n]* */
    bool end;                        /* \s++$ takes the white space at the end of the text whole */
} style;

/* [U]*[W]+ from `at`, or `at`: a capital run gives back characters until one may be small. */
static size_t word_small(lm_span text, size_t at)
{
    size_t length, last = 0, end = at;
    bool found = false;
    for (unsigned set; end < text.len && ((set = set_at(text, end, &length)) & UPPER); end += length)
        if (set & LOWER) last = end + length, found = true;
    if (has(text, end, LOWER)) return run_in(text, end, LOWER);
    return found ? last : at;
}

/* [U]+[W]* from `at`, or `at`. */
static size_t word_capital(lm_span text, size_t at)
{
    size_t end = run_in(text, at, UPPER);
    return end > at ? run_in(text, end, LOWER) : at;
}

static size_t word_of_cases(lm_span text, size_t at, size_t behind_prefix)
{
    size_t (*const forms[])(lm_span, size_t) = { word_small, word_capital };
    for (int i = 0; i < 2; i++) {
        size_t end = behind_prefix > at ? forms[i](text, behind_prefix) : behind_prefix;
        if (end > behind_prefix) return end;
        end = forms[i](text, at);
        if (end > at) return end;
    }
    return at;
}

/* White space in the order \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run, if any. */
static size_t space_lines(lm_span text, size_t at, bool whole_at_end)
{
    size_t length, end = at, line = at;
    for (unsigned set; end < text.len && ((set = set_at(text, end, &length)) & WHITE);) {
        end += length;
        if (set & NEWLINE) line = end;
    }
    if (whole_at_end && end == text.len) return end;
    return line > at ? line : space_run(text, at);
}

static inline size_t scan_modern(lm_span text, size_t at, style s)
{
    if (s.contractions && !s.cases && text.data[at] == '\'') {
        size_t end = contraction_any_case(text, at);
        if (end > at) return end;
    }
    size_t length;
    unsigned set = set_at(text, at, &length);
    size_t behind = set & (NEWLINE | LM_LETTERS | LM_NUMBERS) ? at : at + length;
    if (s.cases) {
        size_t end = word_of_cases(text, at, behind);
        if (end > at) return s.contractions ? contraction_any_case(text, end) : end;
    } else if (has(text, behind, LM_LETTERS)) {
        return run_in(text, behind, LM_LETTERS);
    }
    if (set & LM_NUMBERS) {
        size_t end = at;
        for (int i = 0; i < s.digits && has(text, end, LM_NUMBERS); i++) set_at(text, end, &length), end += length;
        return end;
    }
    size_t begin = at + (text.data[at] == ' ');
    size_t end = run_out(text, begin, WHITE | LM_LETTERS | LM_NUMBERS);
    if (end > begin) {
        while (end < text.len && (text.data[end] == '\r' || text.data[end] == '\n' || (s.slash && text.data[end] == '/'))) end++;
        return end;
    }
    return space_lines(text, at, s.end);
}

static size_t scan_llama3(lm_span text, size_t at) { return scan_modern(text, at, (style){ .digits = 3, .contractions = true }); }
static size_t scan_qwen2(lm_span text, size_t at) { return scan_modern(text, at, (style){ .digits = 1, .contractions = true }); }
static size_t scan_cl100k(lm_span text, size_t at) { return scan_modern(text, at, (style){ .digits = 3, .contractions = true, .end = true }); }
static size_t scan_o200k(lm_span text, size_t at) { return scan_modern(text, at, (style){ .digits = 3, .contractions = true, .cases = true, .slash = true }); }
static size_t scan_tekken(lm_span text, size_t at) { return scan_modern(text, at, (style){ .digits = 1, .cases = true, .slash = true }); }

/* ---- DeepSeek-V3 ------------------------------------------------------------------------------------- */

static bool is_ascii_letter(char c) { return (unsigned char)((c | 0x20) - 'a') < 26; }

/* Digits match nothing here: they were cut off by an expression before. */
static size_t scan_deepseek(lm_span text, size_t at)
{
    unsigned char c = (unsigned char)text.data[at];
    if (c < 0x80 && c > ' ' && c != 0x7F && !is_ascii_letter((char)c) && (c < '0' || c > '9') && at + 1 < text.len && is_ascii_letter(text.data[at + 1])) {
        size_t end = at + 2;
        while (end < text.len && is_ascii_letter(text.data[end])) end++;
        return end;
    }
    size_t length;
    unsigned set = set_at(text, at, &length);
    size_t behind = set & (NEWLINE | LM_LETTERS | PUNCTUATION | SYMBOL) ? at : at + length;
    if (has(text, behind, LM_LETTERS | LM_MARKS)) return run_in(text, behind, LM_LETTERS | LM_MARKS);
    if (set & LM_MARKS) return behind;                   /* a mark alone, not as a prefix */
    size_t begin = at + (c == ' '), end = run_in(text, begin, PUNCTUATION | SYMBOL);
    if (end > begin) {
        while (end < text.len && (text.data[end] == '\r' || text.data[end] == '\n')) end++;
        return end;
    }
    return set & WHITE ? space_lines(text, at, false) : at;
}

static size_t scan_three_digits(lm_span text, size_t at)
{
    size_t length, end = at;
    for (int i = 0; i < 3 && has(text, end, LM_NUMBERS); i++) set_at(text, end, &length), end += length;
    return end;
}

/* [U+4E00-U+9FA5 U+3040-U+309F U+30A0-U+30FF]+ : Chinese and kana. */
static size_t scan_kana(lm_span text, size_t at)
{
    while (at < text.len) {
        uint32_t rune;
        size_t length = (size_t)lm_rune_at(text.data + at, text.len - at, &rune);
        if (!(rune >= 0x4E00 && rune <= 0x9FA5) && !(rune >= 0x3040 && rune <= 0x30FF)) break;
        at += length;
    }
    return at;
}

/* ---- which ---------------------------------------------------------------------------------------------- */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BEHIND " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CAPITAL "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALL "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]?"

static const struct {
    const char *name, *expression;
    lm_scanner scan;
    const char *divides;             /* a match begins at each of these white characters behind a letter or sign */
} known[] = {
    { "gpt2", lm_gpt2_expression, scan_gpt2, " \t\n\r" },
    { "llama3", CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}{1,3}|" BEHIND, scan_llama3, " " },
    { "qwen2", CONTRACTIONS "|" PREFIX "\\p{L}+|\\p{N}|" BEHIND, scan_qwen2, " " },
    { "cl100k", "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
      scan_cl100k, " " },
    { "o200k", PREFIX CAPITAL "*" SMALL "+" CONTRACTIONS "?|" PREFIX CAPITAL "+" SMALL "*" CONTRACTIONS
      "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", scan_o200k, " " },
    { "tekken", PREFIX CAPITAL "*" SMALL "+|" PREFIX CAPITAL "+" SMALL "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      scan_tekken, " " },
    { "deepseek", "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
      "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", scan_deepseek, " " },
    { "digits3", "\\p{N}{1,3}", scan_three_digits, "" },
    { "cjk", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+", scan_kana, "" },
};

lm_scanner lm_scanner_for(const char *expression)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].expression, expression)) return known[i].scan;
    return NULL;
}

const char *lm_expression_named(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) return known[i].expression;
    return NULL;
}

/* Outside of white space every match is of one run of letters, digits, signs or marks with at most a space
 * or another single character before it, so none goes on from a letter or sign into white space, except that
 * newlines belong to the punctuation before them (all but GPT-2). */
bool lm_scanner_cut(lm_scanner scan, uint32_t rune, bool loose, bool *divides)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].scan != scan) continue;
        *divides = rune && rune < 0x80 && strchr(known[i].divides, (int)rune);
        return !*known[i].divides || (*divides && !loose);
    }
    return false;
}
