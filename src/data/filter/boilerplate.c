/* Lines that pages carry and nobody wrote for them: rights reserved, log in, share, cookies, the bylines and
 * warnings of Korean news.  A line goes when it is short and holds one of the phrases.  The lists are this
 * project's own. */
#define _GNU_SOURCE
#include "data/filter.h"

#include "base/file.h"
#include "data/block.h"
#include "data/filter/aho_corasick.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int64_t longest;
    const char *file;
    double max;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, longest, "longest", .fallback = "120", .min = 1, .max = 1e6, .help = "characters above which a line stays, whatever it holds"),
    LM_OPTION(STRING, settings, file, "file", .metavar = "FILE", .help = "further phrases, one a line"),
    LM_OPTION(REAL, settings, max, "max", .fallback = "0.5", .min = 0, .max = 1, .help = "share of lines that may go; more is rejected"),
    { 0 },
};

static const lm_measure measures[] = { { "lines that went", false }, { 0 } };

static int32_t lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

static const char *const phrases[] = {
    "무단 전재", "무단전재", "재배포 금지", "재배포금지", "저작권자 ©", "저작권자(c)", "ⓒ", "All rights reserved", "기사제보", "기자 =", "구독 신청", "구독하기", "로그인", "회원가입",
    "댓글 쓰기", "댓글 달기", "이전 글", "다음 글", "이전글", "다음글", "공유하기", "페이스북 공유", "트위터 공유", "카카오톡 공유", "인쇄하기", "글자 크기", "본문 바로가기",
    "개인정보처리방침", "개인정보 처리방침", "이용약관", "청소년보호정책", "이메일무단수집거부", "쿠키를 사용", "맨 위로", "목록보기", "사업자등록번호", "통신판매업신고",
    "log in", "sign up", "sign in", "subscribe to", "share this", "share on facebook", "share on twitter", "click here", "read more", "leave a comment", "terms of service",
    "privacy policy", "cookie policy", "we use cookies", "accept cookies", "skip to content", "back to top", "powered by", "copyright ©", "enable javascript", NULL,
};

/* The automaton, and the first six bytes of all phrases as bits of a hash, by which nearly every place of a text is
 * known to begin none (three bytes are one syllable of Hangul, and many are common); of phrases that have fewer, the
 * first three. */
enum { LONG = 6, BRIEF = 3, HASH_BITS = 14 };
typedef struct finder {
    lm_aho aho;
    uint64_t begins[(1 << HASH_BITS) / 64];
    bool brief[256];                     /* by their first bytes, as small letters: phrases that have fewer than six */
    bool everywhere;                     /* a phrase has fewer than three */
} finder;

/* Four bytes, as small letters: bit 5 of each is ignored, which tells them from capitals. */
static inline uint32_t four_bytes(const char *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return le32toh(bytes) | 0x20202020;
}

static inline uint32_t long_hash(const char *p) { return (four_bytes(p) * 0x9E3779B1u ^ four_bytes(p + LONG - 4) * 0x85EBCA6Bu) >> (32 - HASH_BITS); }

/* Reads a byte more than it looks at. */
static inline uint32_t brief_hash(const char *p) { return (four_bytes(p) & 0xFFFFFF) * 0x9E3779B1u >> (32 - HASH_BITS); }

static inline bool has_bit(const finder *f, uint32_t hash) { return f->begins[hash / 64] >> hash % 64 & 1; }
static void set_bit(finder *f, uint32_t hash) { f->begins[hash / 64] |= (uint64_t)1 << hash % 64; }

/* Whether a phrase may begin at p, behind which `left` bytes stand. */
static inline bool may_begin(const finder *f, const char *p, size_t left)
{
    if (left < LONG) return true;
    return has_bit(f, long_hash(p)) || (f->brief[(uint8_t)p[0] | 0x20] && has_bit(f, brief_hash(p))) || f->everywhere;
}

/* A byte is a symbol; capitals of ASCII are read as small letters. */
static lm_status add(finder *f, const char *phrase, lm_err *err)
{
    size_t n = strlen(phrase);
    if (n >= LONG) set_bit(f, long_hash(phrase));
    else if (n >= BRIEF) set_bit(f, brief_hash(phrase)), f->brief[(uint8_t)phrase[0] | 0x20] = true;
    else if (n) f->everywhere = true;
    int32_t *symbols = lm_malloc(n * sizeof *symbols + 1);
    for (size_t i = 0; i < n; i++) symbols[i] = lower((unsigned char)phrase[i]);
    lm_status status = lm_aho_add(&f->aho, symbols, n, 0, err);
    free(symbols);
    return status;
}

static lm_status add_file(finder *f, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, 1 << 26, err));
    lm_status status = LM_OK;
    for (char *rest = text.data, *line; status == LM_OK && rest && (line = strsep(&rest, "\r\n"));) status = add(f, line, err);
    lm_str_free(&text);
    return status;
}

static lm_status open_phrases(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    finder *f = use->state = lm_calloc(1, sizeof *f);
    lm_aho_init(&f->aho, 256);
    for (const char *const *p = phrases; *p; p++) LM_TRY(add(f, *p, err));
    if (o->file) LM_TRY(add_file(f, o->file, err));
    lm_aho_finish(&f->aho);
    return LM_OK;
}

static void close_phrases(void *state)
{
    finder *f = state;
    lm_aho_free(&f->aho);
    free(f);
}

/* Whether a phrase begins at `at` or, as long as the automaton follows one, behind it; *end is where it gave up. */
static bool follow(const lm_aho *aho, lm_span text, size_t at, size_t *end)
{
    int32_t state = 0;
    do {
        state = lm_aho_step(aho, state, lower((unsigned char)text.data[at++]));
        if (aho->word[state] >= 0 || aho->shorter[state]) return true;
    } while (state && at < text.len);
    *end = at;
    return false;
}

/* Whether a phrase stands in the part [begin, end) of the text. */
static bool holds_phrase(const finder *f, lm_span text, size_t begin, size_t end)
{
    size_t behind = begin;               /* what was looked at */
    for (size_t at = begin; at < end; at += LM_BLOCK) {
        for (uint64_t bits = lm_block_at(text, at).begins & lm_bits_below(end - at); bits; bits &= bits - 1) {
            size_t place = at + (size_t)__builtin_ctzll(bits);
            if (!may_begin(f, text.data + place, text.len - place) || place < behind) continue;
            if (follow(&f->aho, lm_span_of(text.data, end), place, &behind)) return true;
        }
    }
    return false;
}

static bool is_boilerplate(const settings *o, const finder *f, lm_span text, const lm_text_line *line)
{
    size_t begin = (size_t)(line->text.data - text.data);
    return line->runes <= o->longest && holds_phrase(f, text, begin, begin + line->text.len);
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, gone = 0;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    lm_str *out = lm_doc_room(doc);
    const char *from = doc->text.data, *stop = from + doc->text.len;
    for (size_t i = 0; i < n; i++) {
        if (!is_boilerplate(o, use->state, doc->text, &lines[i])) continue;
        const char *end = lines[i].text.data + lines[i].text.len;
        lm_str_append(out, from, (size_t)(lines[i].text.data - from));
        while (end < stop && *end != '\n') end++;
        from = end + (end < stop);
        gone++;
    }
    double share = doc->values[0] = n ? (double)gone / (double)n : 0;
    if (share > o->max) return lm_reject(doc, "%.1f%% of the lines are boilerplate, expected at most %g%%", 100 * share, 100 * o->max);
    if (!gone) return true;
    lm_str_append(out, from, (size_t)(stop - from));
    lm_doc_replace(doc);
    return true;
}

const lm_filter lm_filter_boilerplate = {
    .name = "boilerplate", .source = "own lists, Korean and English",
    .help = "short lines with phrases of page furniture go",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_phrases, .close = close_phrases, .apply = apply,
};
