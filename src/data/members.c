#include "data/members.h"

#include "base/json_reader.h"

#include <string.h>

enum { MOST_KEYS = 32 };

static bool is_new(const lm_span *keys, int n, lm_span key)
{
    for (int i = 0; i < n; i++)
        if (keys[i].len == key.len && !memcmp(keys[i].data, key.data, key.len)) return false;
    return true;
}

/* Lists become documents, which looks for keys that stand twice in them. */
static bool pass_value(lm_json_reader *r, lm_str *room, lm_span *value)
{
    char first = lm_json_peek(r);
    const char *from = r->at;
    if (first == '"') return lm_json_string_unchecked(r, room, value);
    double number;
    if (first == '{' || first == '[') lm_json_free(lm_json_take(r));
    else if (first == '-' || (first >= '0' && first <= '9')) lm_json_number(r, &number);
    else lm_json_skip(r);
    *value = lm_span_of(from, (size_t)(r->at - from));
    return !r->status;
}

bool lm_members_read(lm_member *members, int n, lm_span line)
{
    if (lm_utf8_valid(line.data, line.len) < line.len) return false;
    lm_span keys[MOST_KEYS], key, value;
    lm_str room = {0};
    lm_json_reader r;
    int n_keys = 0;
    bool plain = true;
    for (int i = 0; i < n; i++) members[i].kind = 0;
    lm_json_reader_init(&r, line, "", NULL);
    lm_json_open(&r, '{');
    while (plain && lm_json_key(&r, &room, &key)) {
        plain = n_keys < MOST_KEYS && key.data != room.data && is_new(keys, n_keys, key);
        if (!plain) break;
        keys[n_keys++] = key;
        lm_member *m = NULL;
        for (int i = 0; i < n && !m; i++)
            if (lm_span_eq(key, members[i].name)) m = &members[i];
        char kind = lm_json_peek(&r);
        if (!pass_value(&r, m ? &m->room : &room, &value)) break;
        if (m) m->kind = kind == 'n' ? 0 : kind, m->value = value;
    }
    lm_str_free(&room);
    return lm_json_reader_end(&r) == LM_OK && plain;
}

bool lm_member_number(const lm_member *m, double *out)
{
    lm_json_reader r;
    lm_json_reader_init(&r, m->value, "", NULL);
    return m->kind && m->kind != '"' && lm_json_number(&r, out);
}
