/* Lines that pages carry and nobody wrote for them: rights reserved, log in, share, cookies, the bylines and
 * warnings of Korean news.  A line goes when it is short and holds one of the phrases.  The lists are this
 * project's own. */
#define _GNU_SOURCE
#include "data/filter.h"

#include "base/file.h"
#include "data/filter/aho_corasick.h"

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

/* A byte is a symbol; capitals of ASCII are read as small letters. */
static lm_status add(lm_aho *aho, const char *phrase, lm_err *err)
{
    size_t n = strlen(phrase);
    int32_t *symbols = lm_malloc(n * sizeof *symbols + 1);
    for (size_t i = 0; i < n; i++) symbols[i] = lower((unsigned char)phrase[i]);
    lm_status status = lm_aho_add(aho, symbols, n, 0, err);
    free(symbols);
    return status;
}

static lm_status add_file(lm_aho *aho, const char *path, lm_err *err)
{
    lm_str text = {0};
    LM_TRY(lm_file_read(&text, path, 1 << 26, err));
    lm_status status = LM_OK;
    for (char *rest = text.data, *line; status == LM_OK && rest && (line = strsep(&rest, "\r\n"));) status = add(aho, line, err);
    lm_str_free(&text);
    return status;
}

static lm_status open_phrases(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    lm_aho *aho = use->state = lm_malloc(sizeof *aho);
    lm_aho_init(aho, 256);
    for (const char *const *p = phrases; *p; p++) LM_TRY(add(aho, *p, err));
    if (o->file) LM_TRY(add_file(aho, o->file, err));
    lm_aho_finish(aho);
    return LM_OK;
}

static void close_phrases(void *state)
{
    lm_aho_free(state);
    free(state);
}

static bool is_boilerplate(const settings *o, const lm_aho *aho, const lm_text_line *line)
{
    int32_t at = 0;
    if (line->runes > o->longest) return false;
    for (size_t i = 0; i < line->text.len; i++) {
        at = lm_aho_step(aho, at, lower((unsigned char)line->text.data[i]));
        if (aho->word[at] >= 0 || aho->shorter[at]) return true;
    }
    return false;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, gone = 0;
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    lm_str *out = lm_doc_room(doc);
    const char *from = doc->text.data;
    for (size_t i = 0; i < n; i++) {
        if (!is_boilerplate(o, use->state, &lines[i])) continue;
        const char *end = lines[i].text.data + lines[i].text.len, *stop = doc->text.data + doc->text.len;
        lm_str_append(out, from, (size_t)(lines[i].text.data - from));
        while (end < stop && *end != '\n') end++;
        from = end + (end < stop);
        gone++;
    }
    double share = doc->values[0] = n ? (double)gone / (double)n : 0;
    if (share > o->max) return lm_reject(doc, "%.1f%% of the lines are boilerplate, expected at most %g%%", 100 * share, 100 * o->max);
    if (!gone) return true;
    lm_str_append(out, from, (size_t)(doc->text.data + doc->text.len - from));
    lm_doc_replace(doc);
    return true;
}

const lm_filter lm_filter_boilerplate = {
    .name = "boilerplate", .source = "own lists, Korean and English",
    .help = "short lines with phrases of page furniture go",
    .options = options, .options_size = sizeof(settings), .measures = measures, .open = open_phrases, .close = close_phrases, .apply = apply,
};
