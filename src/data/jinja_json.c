/* The filter tojson: what Python's json.dumps writes. */
#include "data/jinja_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_escaped(lm_jbuild *b, uint32_t rune, uint8_t mark)
{
    char code[16];
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    const char *at = rune && rune < 0x80 ? strchr(from, (int)rune) : NULL;
    if (at) snprintf(code, sizeof code, "\\%c", to[at - from]);
    else if (rune < 0x10000) snprintf(code, sizeof code, "\\u%04x", (unsigned)rune);
    else snprintf(code, sizeof code, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (rune >> 10)), (unsigned)(0xDC00 + (rune & 0x3FF)));
    lm_jput_same(b, code, strlen(code), mark);
}

static void put_string(lm_jbuild *b, lm_jv text, bool ascii)
{
    lm_jputs(b, "\"");
    for (size_t i = 0; i < text.n;) {
        uint32_t rune;
        int n = lm_utf8_decode(text.bytes + i, text.n - i, &rune);
        bool plain = rune >= 0x20 && rune != '"' && rune != '\\' && (!ascii || rune < 0x7F);
        if (plain) lm_jput(b, text.bytes + i, (size_t)n, text.marks ? text.marks + i : NULL);
        else put_escaped(b, rune, text.marks ? text.marks[i] : 0);
        i += (size_t)n;
    }
    lm_jputs(b, "\"");
}

static void put_break(lm_jbuild *b, const lm_jdump *how, int level)
{
    if (!how->indent) return;
    lm_jputs(b, "\n");
    for (int i = 0; i < level; i++) lm_jputs(b, how->indent);
}

static void put_value(lm_jbuild *b, lm_jv v, const lm_jdump *how, int level);

/* An object's keys are strings; those that are not become them. */
static void put_key(lm_jbuild *b, lm_jv key, const lm_jdump *how)
{
    if (key.kind == LM_J_TEXT) {
        put_string(b, key, how->ascii);
        return;
    }
    if (key.kind != LM_J_NONE && !lm_jis_number(key)) lm_jfail(b->c, LM_E_FORMAT, "tojson: %s cannot be a key", lm_jkind_name(key));
    lm_jputs(b, "\"");
    put_value(b, key, how, 0);
    lm_jputs(b, "\"");
}

static void put_members(lm_jbuild *b, lm_jv v, const lm_jdump *how, int level)
{
    bool dict = v.kind == LM_J_DICT;
    const size_t *order = dict && how->sort ? lm_jsorted(b->c, v.items, 2, v.n, false) : NULL;
    lm_jputs(b, dict ? "{" : "[");
    for (size_t i = 0; i < v.n; i++) {
        if (i) lm_jput_str(b, how->comma);
        put_break(b, how, level + 1);
        size_t at = order ? order[i] : i;
        if (dict) put_key(b, v.items[2 * at], how), lm_jput_str(b, how->colon);
        put_value(b, dict ? v.items[2 * at + 1] : v.items[at], how, level + 1);
    }
    if (v.n) put_break(b, how, level);
    lm_jputs(b, dict ? "}" : "]");
}

static void put_value(lm_jbuild *b, lm_jv v, const lm_jdump *how, int level)
{
    lm_jenter(b->c);
    lm_jcharge(b->c, 1);
    switch (v.kind) {
    case LM_J_NONE: lm_jputs(b, "null"); break;
    case LM_J_BOOL: lm_jputs(b, v.truth ? "true" : "false"); break;
    case LM_J_INT: lm_jput_repr(b, v); break;
    case LM_J_REAL:
        if (isfinite(v.real)) lm_jput_real(b, v.real);
        else lm_jputs(b, isnan(v.real) ? "NaN" : v.real > 0 ? "Infinity" : "-Infinity");
        break;
    case LM_J_TEXT: put_string(b, v, how->ascii); break;
    case LM_J_LIST: case LM_J_TUPLE: case LM_J_DICT: put_members(b, v, how, level); break;
    default: lm_jfail(b->c, LM_E_FORMAT, "tojson: %s has no JSON", lm_jkind_name(v));
    }
    b->c->depth--;
}

void lm_jput_json(lm_jbuild *b, lm_jv v, const lm_jdump *how) { put_value(b, v, how, 0); }
