#include "token/grapheme.h"
#include "token/unicode.h"

static lm_grapheme_class class_of(uint32_t rune)
{
    if (rune >= 0xAC00 && rune <= 0xD7A3) return (rune - 0xAC00) % 28 ? LM_GRAPHEME_LVT : LM_GRAPHEME_LV;
    if (rune >= 0x20 && rune < 0x7F) return LM_GRAPHEME_OTHER;
    int low = 0, high = lm_grapheme_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (lm_grapheme_ranges[middle].last < rune) low = middle + 1;
        else high = middle;
    }
    return low < lm_grapheme_count && rune >= lm_grapheme_ranges[low].first ? lm_grapheme_ranges[low].kind : LM_GRAPHEME_OTHER;
}

/* What the cluster so far says about the next character. */
typedef struct cluster {
    lm_grapheme_class last;
    int regional;                    /* indicators at its end */
    enum { NONE, PICTURE, JOINED } picture;          /* a picture and what extends it; then a joiner */
    enum { BARE, CONSONANT, LINKED } conjunct;       /* a consonant and what extends it; then a linker */
} cluster;

static bool is_extending(lm_grapheme_class k) { return k == LM_GRAPHEME_EXTEND || k == LM_GRAPHEME_LINKER || k == LM_GRAPHEME_ZWJ; }
static bool is_control(lm_grapheme_class k) { return k >= LM_GRAPHEME_CR && k <= LM_GRAPHEME_CONTROL; }

static void note(cluster *c, lm_grapheme_class k)
{
    c->regional = k == LM_GRAPHEME_REGIONAL ? c->regional + 1 : 0;
    if (k == LM_GRAPHEME_PICTURE) c->picture = PICTURE;
    else if (k == LM_GRAPHEME_ZWJ && c->picture == PICTURE) c->picture = JOINED;
    else if (!is_extending(k) || c->picture == JOINED) c->picture = NONE;
    if (k == LM_GRAPHEME_CONSONANT) c->conjunct = CONSONANT;
    else if (k == LM_GRAPHEME_LINKER && c->conjunct) c->conjunct = LINKED;
    else if (!is_extending(k)) c->conjunct = BARE;
    c->last = k;
}

/* The rules in their order, GB3 to GB13; true where there is no boundary. */
static bool joins(const cluster *c, lm_grapheme_class next)
{
    if (c->last == LM_GRAPHEME_CR && next == LM_GRAPHEME_LF) return true;
    if (is_control(c->last) || is_control(next)) return false;
    switch (c->last) {
    case LM_GRAPHEME_L:
        if (next == LM_GRAPHEME_L || next == LM_GRAPHEME_V || next == LM_GRAPHEME_LV || next == LM_GRAPHEME_LVT) return true;
        break;
    case LM_GRAPHEME_LV: case LM_GRAPHEME_V:
        if (next == LM_GRAPHEME_V || next == LM_GRAPHEME_T) return true;
        break;
    case LM_GRAPHEME_LVT: case LM_GRAPHEME_T:
        if (next == LM_GRAPHEME_T) return true;
        break;
    default: break;
    }
    if (is_extending(next) || next == LM_GRAPHEME_SPACING || c->last == LM_GRAPHEME_PREPEND) return true;
    if (next == LM_GRAPHEME_CONSONANT && c->conjunct == LINKED) return true;
    if (next == LM_GRAPHEME_PICTURE && c->picture == JOINED) return true;
    return next == LM_GRAPHEME_REGIONAL && c->regional % 2 == 1;
}

size_t lm_grapheme_length(lm_span text)
{
    uint32_t rune;
    cluster c = { 0 };
    size_t n = (size_t)lm_rune_at(text.data, text.len, &rune);
    for (note(&c, class_of(rune)); n < text.len;) {
        size_t length = (size_t)lm_rune_at(text.data + n, text.len - n, &rune);
        lm_grapheme_class next = class_of(rune);
        if (!joins(&c, next)) break;
        note(&c, next);
        n += length;
    }
    return n;
}
