#include "data/normal.h"

#include "token/unicode.h"

static const unsigned SIGNS = LM_CATEGORY(LM_PC) | LM_CATEGORY(LM_PD) | LM_CATEGORY(LM_PS) | LM_CATEGORY(LM_PE) | LM_CATEGORY(LM_PI) | LM_CATEGORY(LM_PF) |
                              LM_CATEGORY(LM_PO) | LM_CATEGORY(LM_SM) | LM_CATEGORY(LM_SC) | LM_CATEGORY(LM_SK) | LM_CATEGORY(LM_SO);

bool lm_surely_composed(lm_span text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.data[i];
        uint32_t rune = 0;
        if (c < 0x80) i++;
        else if (c >= 0xEB && c <= 0xED && text.len - i >= 3) i += 3;      /* nearly all of Hangul */
        else i += (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        if (!lm_rune_is_settled(rune)) return false;
    }
    return true;
}

/* Hangul and Chinese characters, most of the text that is long, need no look into the table. */
static inline bool is_plain(const unsigned char *p, size_t left) { return p[0] >= 0xE4 && p[0] <= 0xEC && left >= 3; }

static inline bool is_ascii_word(unsigned char c) { return (unsigned char)((c | 32) - 'a') < 26 || (unsigned char)(c - '0') < 10; }

/* What stays is copied in runs. */
static void squeeze(lm_str *out, lm_span text, bool signs_go)
{
    bool gap = false;
    size_t from = 0, i = 0;
    lm_str_reserve(out, text.len);
    while (i < text.len) {
        const unsigned char *p = (const unsigned char *)text.data + i;
        if (is_ascii_word(p[0])) {
            i++;
            continue;
        }
        if (is_plain(p, text.len - i)) {
            i += 3;
            continue;
        }
        uint32_t rune;
        size_t n = (size_t)lm_rune_at(text.data + i, text.len - i, &rune);
        bool space = lm_rune_is_space(rune), sign = signs_go && lm_rune_in(rune, SIGNS);
        if (space || sign) {
            if (i > from && gap && out->len) lm_str_putc(out, ' ');
            if (i > from) gap = false;
            lm_str_append(out, text.data + from, i - from);
            gap |= space;
            from = i + n;
        }
        i += n;
    }
    if (i > from && gap && out->len) lm_str_putc(out, ' ');
    lm_str_append(out, text.data + from, i - from);
}

lm_span lm_normal_text(lm_str *out, lm_str *room, lm_span text, unsigned flags)
{
    if (flags & LM_NORMAL_PUNCTUATION) flags |= LM_NORMAL_SPACE;
    for (unsigned step = 1; step <= LM_NORMAL_SPACE; step <<= 1) {
        if (!(flags & step) || (step == LM_NORMAL_NFC && lm_surely_composed(text))) continue;
        lm_str_clear(room);
        if (step == LM_NORMAL_NFC) lm_unicode_normalise(room, text, LM_NFC);
        else if (step == LM_NORMAL_CASE) lm_unicode_lower(room, text);
        else squeeze(room, text, flags & LM_NORMAL_PUNCTUATION);
        lm_str other = *out;
        *out = *room;
        *room = other;
        text = lm_span_of(out->data ? out->data : "", out->len);
    }
    return text;
}
