#include "data/normal.h"

#include "token/unicode.h"

static const unsigned SIGNS = LM_CATEGORY(LM_PC) | LM_CATEGORY(LM_PD) | LM_CATEGORY(LM_PS) | LM_CATEGORY(LM_PE) | LM_CATEGORY(LM_PI) | LM_CATEGORY(LM_PF) |
                              LM_CATEGORY(LM_PO) | LM_CATEGORY(LM_SM) | LM_CATEGORY(LM_SC) | LM_CATEGORY(LM_SK) | LM_CATEGORY(LM_SO);

/* Hangul and Chinese characters, most of the text that is long, need no look into the table. */
static inline bool is_plain(const unsigned char *p, size_t left) { return p[0] >= 0xE4 && p[0] <= 0xEC && left >= 3; }

static void squeeze(lm_str *out, lm_span text, bool signs_go)
{
    bool gap = false;
    lm_str_reserve(out, text.len);
    for (size_t i = 0; i < text.len;) {
        const unsigned char *p = (const unsigned char *)text.data + i;
        uint32_t rune;
        int n = is_plain(p, text.len - i) ? 3 : lm_rune_at(text.data + i, text.len - i, &rune);
        bool plain = n == 3 && is_plain(p, text.len - i);
        bool space = !plain && lm_rune_is_space(rune), sign = !plain && signs_go && lm_rune_in(rune, SIGNS);
        if (!space && !sign) {
            if (gap && out->len) lm_str_putc(out, ' ');
            gap = false;
            lm_str_append(out, p, (size_t)n);
        }
        gap |= space;
        i += (size_t)n;
    }
}

lm_span lm_normal_text(lm_str *out, lm_str *room, lm_span text, unsigned flags)
{
    if (flags & LM_NORMAL_PUNCTUATION) flags |= LM_NORMAL_SPACE;
    for (unsigned step = 1; step <= LM_NORMAL_SPACE; step <<= 1) {
        if (!(flags & step)) continue;
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
