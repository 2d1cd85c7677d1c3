/* Personal data, found and masked.
 *
 *   EMAIL     addresses
 *   RRN       Korean resident and foreigner registration numbers, YYMMDD-SNNNNNC: a date that exists, S from 0
 *             to 9, and check digit C, which numbers given from October 2020 on no longer have; those are taken
 *             where the birth date is later, or with loose=true always
 *   BUSINESS  Korean business registration numbers, NNN-NN-NNNNC, with their check digit
 *   CARD      13 to 19 digits that begin like a payment card's and pass Luhn's test
 *   PHONE     Korean numbers (mobile, regional, +82, 15xx-xxxx) and those of North America with brackets or +1
 *   IP        IPv4 in four parts, IPv6
 *
 * A number counts only whole: digits around it, or a part more, make it another number.  Names and addresses
 * of people are not found. */
#include "data/filter.h"

#include <stdlib.h>
#include <string.h>

typedef enum kind { EMAIL, RRN, BUSINESS, CARD, PHONE, IP, KINDS } kind;
static const char *const tallies[] = { "EMAIL", "RRN", "BUSINESS", "CARD", "PHONE", "IP", NULL };

typedef struct settings {
    lm_strings kinds;
    bool reject, loose;
    const char *open, *close;
} settings;

static const lm_option options[] = {
    LM_OPTION(LIST, settings, kinds, "kinds", .fallback = "email,rrn,business,card,phone,ip", .metavar = "KIND+...", .help = "what is looked for"),
    LM_OPTION(STRING, settings, open, "open", .fallback = "<", .metavar = "TEXT", .help = "what stands before the name of the kind where it was"),
    LM_OPTION(STRING, settings, close, "close", .fallback = ">", .metavar = "TEXT", .help = "what stands behind it"),
    LM_OPTION(FLAG, settings, loose, "loose", .help = "registration numbers without a valid check digit count as well"),
    LM_OPTION(FLAG, settings, reject, "reject", .help = "documents with such data are rejected, not masked"),
    { 0 },
};

static const lm_measure measures[] = { { "pieces of personal data", true }, { 0 } };

static lm_status open_kinds(lm_filter_use *use, lm_err *err)
{
    const settings *o = use->options;
    static const char *const names[] = { "email", "rrn", "business", "card", "phone", "ip", NULL };
    bool *wanted = use->state = lm_calloc(KINDS, sizeof *wanted);
    for (int i = 0; i < o->kinds.n; i++) {
        int k = 0;
        while (k < KINDS && strcmp(names[k], o->kinds.items[i])) k++;
        if (k == KINDS) return lm_fail(err, LM_E_USAGE, "kinds: expected email, rrn, business, card, phone or ip; found \"%.50s\"", o->kinds.items[i]);
        wanted[k] = true;
    }
    return LM_OK;
}

/* ---- numbers ----------------------------------------------------------------- */

/* A run of digits with single separators: its digits, and the pieces between separators. */
enum { MOST_DIGITS = 20, MOST_PIECES = 8 };
typedef struct number {
    size_t begin, end;
    char digits[MOST_DIGITS + 1];
    int n, pieces, length[MOST_PIECES];
    size_t ends[MOST_PIECES];
    char separator[MOST_PIECES + 1];     /* before each piece; 0 before the first */
    bool plus, bracket;                  /* "+82 ...", "(02) ..." */
} number;

static bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }
static bool is_letter(char c) { return (unsigned char)((c | 32) - 'a') < 26; }

static int value_of(const char *digits, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) value = 10 * value + digits[i] - '0';
    return value;
}

/* Adds a piece of digits at *i; false when there is no room for it. */
static bool take_piece(number *m, lm_span text, size_t *i, char separator)
{
    int n = 0;
    if (m->pieces == MOST_PIECES) return false;
    m->separator[m->pieces] = separator;
    while (*i < text.len && is_digit(text.data[*i])) {
        if (m->n == MOST_DIGITS) return false;
        m->digits[m->n++] = text.data[(*i)++];
        n++;
    }
    m->ends[m->pieces] = *i;
    m->length[m->pieces++] = n;
    return true;
}

/* Only the first `pieces` of it. */
static number first_pieces(const number *m, int pieces)
{
    number part = *m;
    part.n = 0;
    for (int i = 0; i < pieces; i++) part.n += m->length[i];
    part.end = m->ends[pieces - 1];
    part.pieces = pieces;
    return part;
}

/* The number that begins at `at`, a digit.  false: it is too long to be any of those looked for. */
static bool read_number(number *m, lm_span text, size_t at)
{
    *m = (number){ .begin = at };
    bool bracket = at && text.data[at - 1] == '(';
    size_t before = at - bracket;
    m->plus = before && text.data[before - 1] == '+';
    m->bracket = bracket;
    bool whole = take_piece(m, text, &at, 0);
    while (whole && at + 1 < text.len) {
        char c = text.data[at];
        size_t next = at + 1;
        if (c == ')' && m->bracket && m->pieces == 1 && (text.data[next] == ' ' || text.data[next] == '-')) next++;
        if (c == '-' && next < text.len && text.data[next] == '(') next++;
        bool joins = (c == '-' || c == '.' || c == ' ' || (c == ')' && m->bracket && m->pieces == 1)) && next < text.len && is_digit(text.data[next]);
        if (!joins) break;
        at = next;
        whole = take_piece(m, text, &at, c == ')' ? '-' : c);
    }
    for (int pieces = m->pieces; !whole && pieces > 0; pieces--) {      /* too long: up to a space, if it has one */
        if (m->separator[pieces] != ' ') continue;
        *m = first_pieces(m, pieces);
        at = m->end;
        whole = true;
    }
    while (!whole && at < text.len && is_digit(text.data[at])) at++;
    m->end = at;
    if (m->plus) m->begin = before - 1;
    else if (m->bracket) m->begin = before;
    return whole;
}

static bool is_shape(const number *m, int a, int b, int c, int d)
{
    const int lengths[] = { a, b, c, d };
    int n = 0;
    while (n < 4 && lengths[n]) n++;
    if (m->pieces != n) return false;
    for (int i = 0; i < n; i++)
        if (m->length[i] != lengths[i]) return false;
    return true;
}

static bool is_joined_by(const number *m, const char *separators)
{
    for (int i = 1; i < m->pieces; i++)
        if (!strchr(separators, m->separator[i]) || (i > 1 && m->separator[i] != m->separator[i - 1])) return false;
    return true;
}

static bool is_rrn(const number *m, bool loose)
{
    static const int weights[] = { 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5 }, days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (!(is_shape(m, 6, 7, 0, 0) && is_joined_by(m, "- ")) && !is_shape(m, 13, 0, 0, 0)) return false;
    int month = value_of(m->digits + 2, 2), day = value_of(m->digits + 4, 2), year = value_of(m->digits, 2), born = m->digits[6] - '0', sum = 0;
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1]) return false;
    for (int i = 0; i < 12; i++) sum += weights[i] * (m->digits[i] - '0');
    int check = (11 - sum % 11) % 10, foreign = (check + 2) % 10, digit = m->digits[12] - '0';
    bool in_2000s = (born >= 3 && born <= 4) || (born >= 7 && born <= 8);
    bool without_check = in_2000s && (year > 20 || (year == 20 && month >= 10));
    return digit == check || (born >= 5 && born <= 8 && digit == foreign) || without_check || (loose && m->pieces == 2);
}

static bool is_business(const number *m)
{
    static const int weights[] = { 1, 3, 7, 1, 3, 7, 1, 3 };
    if (!(is_shape(m, 3, 2, 5, 0) && is_joined_by(m, "-"))) return false;
    int sum = 0, ninth = 5 * (m->digits[8] - '0');
    for (int i = 0; i < 8; i++) sum += weights[i] * (m->digits[i] - '0');
    sum += ninth / 10 + ninth % 10;
    return (10 - sum % 10) % 10 == m->digits[9] - '0';
}

static bool passes_luhn(const number *m)
{
    int sum = 0;
    for (int i = 0; i < m->n; i++) {
        int digit = m->digits[m->n - 1 - i] - '0';
        if (i & 1) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
        sum += digit;
    }
    return sum % 10 == 0;
}

/* Four groups of four, 4-6-5, 4-6-4, or no separator at all. */
static bool is_card(const number *m)
{
    bool grouped = is_shape(m, 4, 4, 4, 4) || is_shape(m, 4, 6, 5, 0) || is_shape(m, 4, 6, 4, 0);
    if (!(grouped && is_joined_by(m, "- ")) && m->pieces != 1) return false;
    return m->n >= 13 && m->n <= 19 && m->digits[0] >= '2' && m->digits[0] <= '6' && passes_luhn(m);
}

static bool is_phone(const number *m)
{
    const char *d = m->digits;
    if (m->pieces > 1 && !is_joined_by(m, m->plus || m->bracket ? "-. " : "-.") && !(d[0] == '0' && is_joined_by(m, " "))) return false;
    if (m->plus) return (d[0] == '8' && d[1] == '2' && m->n >= 10 && m->n <= 13) || (d[0] == '1' && m->n == 11);
    if (m->pieces == 1 && m->n == 11) return !memcmp(d, "010", 3);
    if (m->pieces == 3 && d[0] == '0' && (m->length[0] == 2 || m->length[0] == 3) && (m->length[1] == 3 || m->length[1] == 4) && m->length[2] == 4)
        return m->length[0] == 2 ? d[1] == '2' : d[1] >= '1' && d[1] <= '8';
    if (m->pieces == 2 && m->length[0] == 4 && m->length[1] == 4) return m->separator[1] == '-' && d[0] == '1' && strchr("568", d[1]) && strchr("04678", d[2]);
    return m->pieces == 3 && m->bracket && m->length[0] == 3 && m->length[1] == 3 && m->length[2] == 4 && d[0] >= '2';
}

static bool is_ipv4(const number *m)
{
    if (m->pieces != 4 || !is_joined_by(m, ".")) return false;
    const char *d = m->digits;
    for (int i = 0; i < 4; d += m->length[i++])
        if (m->length[i] > 3 || value_of(d, m->length[i]) > 255 || (m->length[i] > 1 && *d == '0')) return false;
    return true;
}

static int kind_of(const number *m, const bool *wanted, bool loose)
{
    if (wanted[RRN] && is_rrn(m, loose)) return RRN;
    if (wanted[BUSINESS] && is_business(m)) return BUSINESS;
    if (wanted[CARD] && is_card(m)) return CARD;
    if (wanted[PHONE] && is_phone(m)) return PHONE;
    if (wanted[IP] && is_ipv4(m)) return IP;
    return -1;
}

/* ---- addresses --------------------------------------------------------------- */

static bool is_local(char c) { return is_letter(c) || is_digit(c) || (c && strchr("._%+-", c)); }
static bool is_host(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '.'; }

/* The address around the sign at `at`; false: it is none.  It does not begin before `least`. */
static bool read_email(lm_span text, size_t at, size_t least, size_t *begin, size_t *end)
{
    for (*begin = at; *begin > least && is_local(text.data[*begin - 1]);) --*begin;
    while (*begin < at && text.data[*begin] == '.') ++*begin;
    for (*end = at + 1; *end < text.len && is_host(text.data[*end]);) ++*end;
    while (*end > at && (text.data[*end - 1] == '.' || text.data[*end - 1] == '-')) --*end;
    size_t last = *end;
    while (last > at && is_letter(text.data[last - 1])) last--;
    return *begin < at && *end - last >= 2 && last > at + 1 && text.data[last - 1] == '.' && text.data[last - 2] != '@' && text.data[last - 2] != '.';
}

static bool is_hex(char c) { return is_digit(c) || (unsigned char)((c | 32) - 'a') < 6; }

/* IPv6 (RFC 4291, section 2.2) around the first of its colons: eight groups, or fewer and one "::". */
static bool read_ipv6(lm_span text, size_t at, size_t least, size_t *begin, size_t *end)
{
    for (*begin = at; *begin > least && is_hex(text.data[*begin - 1]);) --*begin;
    if (*begin > least && (is_letter(text.data[*begin - 1]) || is_digit(text.data[*begin - 1]))) return false;
    int groups = 0, gaps = 0;
    size_t i = *begin;
    while (i < text.len && (is_hex(text.data[i]) || text.data[i] == ':')) {
        size_t n = 0;
        while (i + n < text.len && is_hex(text.data[i + n])) n++;
        if (n > 4) return false;
        groups += n > 0;
        i += n;
        if (i + 1 < text.len && text.data[i] == ':' && text.data[i + 1] == ':') gaps++, i += 2;
        else if (i + 1 < text.len && text.data[i] == ':' && is_hex(text.data[i + 1])) i++;
        else break;
    }
    *end = i;
    bool whole = i == text.len || !(is_letter(text.data[i]) || is_digit(text.data[i]) || text.data[i] == ':');
    return whole && ((groups == 8 && !gaps) || (gaps == 1 && groups >= 3 && groups < 8));
}

/* ---- the filter -------------------------------------------------------------- */

typedef struct finding {
    size_t begin, end;
    kind kind;
} finding;

typedef struct findings {
    finding *items;                      /* in the document's scratch */
    size_t n, most;
} findings;

/* What begins before findings that stand already takes their place: "01012345678@example.com" is one address. */
static void put(findings *f, size_t begin, size_t end, kind k)
{
    while (f->n && f->items[f->n - 1].end > begin) f->n--;
    if (f->n < f->most) f->items[f->n++] = (finding){ begin, end, k };
}

/* Most digits are those of small numbers, which a look at what follows them tells: how many digits these are, or 0
 * where it may be more. */
static size_t small_number(lm_span text, size_t at)
{
    enum { SHORTEST = 10 };              /* digits without a separator: +82 and a telephone number */
    size_t n = 1;
    while (at + n < text.len && is_digit(text.data[at + n])) n++;
    if (n >= SHORTEST) return 0;
    char c = at + n + 1 < text.len ? text.data[at + n] : 0;
    if (c != '-' && c != '.' && c != ' ' && c != ')') return n;
    char d = text.data[at + n + 1];
    return is_digit(d) || (c == '-' && d == '(') || c == ')' ? 0 : n;
}

/* A number as a whole, or its first pieces: "010-1234-5678 2" is a telephone number and a 2. */
static size_t look_at_number(findings *f, lm_span text, size_t at, const settings *o, const bool *wanted)
{
    number m;
    if (!read_number(&m, text, at)) return m.end;
    bool letter_follows = m.end < text.len && is_letter(text.data[m.end]);
    for (int pieces = m.pieces; pieces > 0; pieces--) {
        number part = pieces == m.pieces ? m : first_pieces(&m, pieces);
        if (pieces < m.pieces && m.separator[pieces] != ' ') continue;
        int k = pieces == m.pieces && letter_follows ? -1 : kind_of(&part, wanted, o->loose);
        if (k < 0) continue;
        put(f, part.begin, part.end, (kind)k);
        return part.end;
    }
    return m.pieces > 1 && m.separator[1] == ' ' ? at + (size_t)m.length[0] : m.end;
}

/* 1: a digit, 2: "@", 3: ":" */
static const uint8_t interesting[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['@'] = 2, [':'] = 3,
};

static void find_all(findings *f, lm_span text, const settings *o, const bool *wanted)
{
    size_t least = 0, begin, end;
    for (size_t i = 0; i < text.len;) {
        uint8_t what = interesting[(unsigned char)text.data[i]];
        if (!what) {
            i++;
            continue;
        }
        size_t next = i + 1;
        if (what == 1) {
            bool inside = i && (is_letter(text.data[i - 1]) || is_digit(text.data[i - 1]) || text.data[i - 1] == '_');
            size_t small = inside ? 0 : small_number(text, i);
            if (inside) while (next < text.len && is_digit(text.data[next])) next++;
            else next = small ? i + small : look_at_number(f, text, i, o, wanted);
        } else if (what == 2 && wanted[EMAIL] && read_email(text, i, least, &begin, &end)) {
            put(f, begin, end, EMAIL);
            next = least = end;
        } else if (what == 3 && wanted[IP] && read_ipv6(text, i, least, &begin, &end)) {
            put(f, begin, end, IP);
            next = least = end;
        }
        i = next;
    }
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t most = doc->text.len / 3 + 1, cap = most < 4096 ? most : 4096 + doc->text.len / 64;
    findings f = { .items = lm_doc_scratch(doc, cap * sizeof(finding)), .most = cap };
    find_all(&f, doc->text, o, use->state);
    if (f.n == cap) {                    /* nothing but numbers: as many as there can be */
        f = (findings){ .items = lm_doc_scratch(doc, most * sizeof(finding)), .most = most };
        find_all(&f, doc->text, o, use->state);
    }
    doc->values[0] = (double)f.n;
    if (!f.n) return true;
    for (size_t i = 0; i < f.n; i++) doc->tallies[f.items[i].kind]++;
    if (o->reject) return lm_reject(doc, "%zu pieces of personal data, the first of kind %s", f.n, tallies[f.items[0].kind]);
    lm_str *out = lm_doc_room(doc);
    size_t at = 0;
    for (size_t i = 0; i < f.n; i++) {
        lm_str_append(out, doc->text.data + at, f.items[i].begin - at);
        lm_str_printf(out, "%s%s%s", o->open, tallies[f.items[i].kind], o->close);
        at = f.items[i].end;
    }
    lm_str_append(out, doc->text.data + at, doc->text.len - at);
    lm_doc_replace(doc);
    return true;
}

const lm_filter lm_filter_personal = {
    .name = "personal", .source = "check digits: Luhn 1960; Korean registration numbers",
    .help = "e-mail, telephone, card, registration numbers and IP addresses are masked",
    .options = options, .options_size = sizeof(settings), .measures = measures, .tallies = tallies, .open = open_kinds, .close = free, .apply = apply,
};
