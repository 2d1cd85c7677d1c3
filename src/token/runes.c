#include "token/runes.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = LM_RUNES / 64, BLOCK = 128 };

/* ---- sets ------------------------------------------------------------------------------------ */

lm_runes lm_runes_new(void) { return (lm_runes){ lm_calloc(WORDS, sizeof(uint64_t)) }; }

void lm_runes_free(lm_runes *set)
{
    free(set->bits);
    set->bits = NULL;
}

void lm_runes_add(lm_runes *set, uint32_t first, uint32_t last)
{
    for (uint32_t c = first; c <= last && c < LM_RUNES;) {
        if (c % 64 == 0 && last - c >= 63) {
            set->bits[c / 64] = UINT64_MAX;
            c += 64;
        } else {
            set->bits[c / 64] |= (uint64_t)1 << c % 64;
            c++;
        }
    }
}

void lm_runes_add_set(lm_runes *set, const lm_runes *other)
{
    for (int i = 0; i < WORDS; i++) set->bits[i] |= other->bits[i];
}

void lm_runes_keep(lm_runes *set, const lm_runes *other)
{
    for (int i = 0; i < WORDS; i++) set->bits[i] &= other->bits[i];
}

void lm_runes_invert(lm_runes *set)
{
    for (int i = 0; i < WORDS; i++) set->bits[i] = i >= 0xD800 / 64 && i < 0xE000 / 64 ? 0 : ~set->bits[i];
}

/* ---- from the tables ---------------------------------------------------------------------------- */

/* Blocks of the table that are the same get the same bits, which are made once for each run of them. */
void lm_runes_add_categories(lm_runes *set, unsigned categories)
{
    uint64_t bits[2] = { 0, 0 };
    int made = -1;
    for (int i = 0; i < LM_RUNES / BLOCK; i++) {
        if (lm_unicode_index[i] != made) {
            made = lm_unicode_index[i];
            bits[0] = bits[1] = 0;
            for (uint32_t c = 0; c < BLOCK; c++)
                if (lm_rune_in((uint32_t)i * BLOCK + c, categories)) bits[c / 64] |= (uint64_t)1 << c % 64;
        }
        set->bits[2 * i] |= bits[0];
        set->bits[2 * i + 1] |= bits[1];
    }
}

/* ---- names ------------------------------------------------------------------------------------------ */

enum {
    CASED = LM_CATEGORY(LM_LU) | LM_CATEGORY(LM_LL) | LM_CATEGORY(LM_LT),
    PUNCTUATION = LM_CATEGORY(LM_PC) | LM_CATEGORY(LM_PD) | LM_CATEGORY(LM_PS) | LM_CATEGORY(LM_PE) | LM_CATEGORY(LM_PI)
                  | LM_CATEGORY(LM_PF) | LM_CATEGORY(LM_PO),
    SYMBOLS = LM_CATEGORY(LM_SM) | LM_CATEGORY(LM_SC) | LM_CATEGORY(LM_SK) | LM_CATEGORY(LM_SO),
    OTHERS = LM_CATEGORY(LM_CN) | LM_CATEGORY(LM_CC) | LM_CATEGORY(LM_CF) | LM_CATEGORY(LM_CS) | LM_CATEGORY(LM_CO),
};

static const struct {
    const char *name, *full;
    unsigned categories;
} categories[] = {
    { "l", "letter", LM_LETTERS }, { "lc", "casedletter", CASED }, { "m", "mark", LM_MARKS }, { "n", "number", LM_NUMBERS },
    { "p", "punctuation", PUNCTUATION }, { "s", "symbol", SYMBOLS }, { "z", "separator", LM_SEPARATORS }, { "c", "other", OTHERS },
    { "lu", "uppercaseletter", LM_CATEGORY(LM_LU) }, { "ll", "lowercaseletter", LM_CATEGORY(LM_LL) }, { "lt", "titlecaseletter", LM_CATEGORY(LM_LT) },
    { "lm", "modifierletter", LM_CATEGORY(LM_LM) }, { "lo", "otherletter", LM_CATEGORY(LM_LO) }, { "mn", "nonspacingmark", LM_CATEGORY(LM_MN) },
    { "mc", "spacingmark", LM_CATEGORY(LM_MC) }, { "me", "enclosingmark", LM_CATEGORY(LM_ME) }, { "nd", "decimalnumber", LM_CATEGORY(LM_ND) },
    { "nl", "letternumber", LM_CATEGORY(LM_NL) }, { "no", "othernumber", LM_CATEGORY(LM_NO) }, { "pc", "connectorpunctuation", LM_CATEGORY(LM_PC) },
    { "pd", "dashpunctuation", LM_CATEGORY(LM_PD) }, { "ps", "openpunctuation", LM_CATEGORY(LM_PS) }, { "pe", "closepunctuation", LM_CATEGORY(LM_PE) },
    { "pi", "initialpunctuation", LM_CATEGORY(LM_PI) }, { "pf", "finalpunctuation", LM_CATEGORY(LM_PF) }, { "po", "otherpunctuation", LM_CATEGORY(LM_PO) },
    { "sm", "mathsymbol", LM_CATEGORY(LM_SM) }, { "sc", "currencysymbol", LM_CATEGORY(LM_SC) }, { "sk", "modifiersymbol", LM_CATEGORY(LM_SK) },
    { "so", "othersymbol", LM_CATEGORY(LM_SO) }, { "zs", "spaceseparator", LM_CATEGORY(LM_ZS) }, { "zl", "lineseparator", LM_CATEGORY(LM_ZL) },
    { "zp", "paragraphseparator", LM_CATEGORY(LM_ZP) }, { "cc", "control", LM_CATEGORY(LM_CC) }, { "cf", "format", LM_CATEGORY(LM_CF) },
    { "cn", "unassigned", LM_CATEGORY(LM_CN) }, { "co", "privateuse", LM_CATEGORY(LM_CO) }, { "cs", "surrogate", LM_CATEGORY(LM_CS) },
    { "any", "any", UINT32_MAX },
};

bool lm_runes_add_named(lm_runes *set, lm_span name)
{
    char bare[40];
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n + 1 == sizeof bare) return false;
        bare[n++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    bare[n] = '\0';
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (!strcmp(bare, categories[i].name) || !strcmp(bare, categories[i].full)) return lm_runes_add_categories(set, categories[i].categories), true;
    bool found = false;
    for (const lm_script_range *r = lm_unicode_scripts; r->script; r++)
        if (!strcmp(bare, r->script)) lm_runes_add(set, r->first, r->last), found = true;
    return found;
}

/* ---- as a class of PCRE2 ------------------------------------------------------------------------------ */

typedef struct range {
    uint32_t first, last;
} range;

static int longest_first(const void *a, const void *b)
{
    const range *x = a, *y = b;
    uint32_t n = x->last - x->first, m = y->last - y->first;
    return n != m ? (n < m) - (n > m) : (x->first > y->first) - (x->first < y->first);
}

static bool has(const lm_runes *set, uint32_t c) { return set->bits[c / 64] >> c % 64 & 1; }

void lm_runes_print(const lm_runes *set, lm_str *out)
{
    range *ranges = NULL;
    size_t n = 0, cap = 0;
    for (uint32_t c = 0; c < LM_RUNES; c++) {
        if (c % 64 == 0 && !set->bits[c / 64]) {
            c += 63;
            continue;
        }
        if (!has(set, c)) continue;
        uint32_t first = c;
        while (c + 1 < LM_RUNES && has(set, c + 1)) c++;
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            ranges = lm_realloc(ranges, cap * sizeof *ranges);
        }
        ranges[n++] = (range){ first, c };
    }
    if (n) qsort(ranges, n, sizeof *ranges, longest_first);
    for (size_t i = 0; i < n; i++) {
        lm_str_printf(out, "\\x{%x}", (unsigned)ranges[i].first);
        if (ranges[i].last > ranges[i].first) lm_str_printf(out, "-\\x{%x}", (unsigned)ranges[i].last);
    }
    free(ranges);
}
