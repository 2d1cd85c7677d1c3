/* The rules of C4 for lines and pages.  Raffel et al. 2020, section 2.2.
 *
 * Lines go that do not end a sentence, have too few words, or speak of Javascript or of cookies, terms and
 * privacy; marks of citation like [3] go.  Pages are rejected that hold "lorem ipsum" or a curly bracket, or
 * that have too few sentences left.  Its list of bad words is the filter `keywords`, with a list of one's own;
 * its removal of three-sentence spans is `data dedup`. */
#define _GNU_SOURCE
#include "data/filter.h"

#include <string.h>
#include <strings.h>

typedef struct settings {
    int64_t min_words, min_sentences;
    bool terminal, javascript, policy, citations, brackets, lorem;
} settings;

static const lm_option options[] = {
    LM_OPTION(INT, settings, min_words, "min-words", .fallback = "5", .min = 0, .max = 1e6, .help = "words of a line that stays"),
    LM_OPTION(INT, settings, min_sentences, "min-sentences", .fallback = "3", .min = 0, .max = 1e6, .help = "sentences of a page that stays"),
    LM_OPTION(FLAG, settings, terminal, "terminal", .fallback = "true", .help = "a line that stays ends a sentence"),
    LM_OPTION(FLAG, settings, javascript, "javascript", .fallback = "true", .help = "lines with the word Javascript go"),
    LM_OPTION(FLAG, settings, policy, "policy", .fallback = "true", .help = "lines about cookies, terms of use and privacy go"),
    LM_OPTION(FLAG, settings, citations, "citations", .fallback = "true", .help = "marks like [3] and [citation needed] go"),
    LM_OPTION(FLAG, settings, brackets, "brackets", .fallback = "true", .help = "pages with a curly bracket are rejected"),
    LM_OPTION(FLAG, settings, lorem, "lorem", .fallback = "true", .help = "pages with lorem ipsum are rejected"),
    { 0 },
};

static const lm_measure measures[] = { { "lines that stay", false }, { "sentences", true }, { 0 } };

/* Letters of ASCII are compared without case; the words are in lower case. */
static bool holds(lm_span text, const char *words)
{
    size_t n = strlen(words);
    char first[3] = { words[0], (char)(words[0] - 32), 0 };
    for (size_t i = 0; i + n <= text.len; i++) {
        size_t skip = 0;
        while (i + skip + n <= text.len && text.data[i + skip] != first[0] && text.data[i + skip] != first[1]) skip++;
        i += skip;
        if (i + n <= text.len && !strncasecmp(text.data + i, words, n)) return true;
    }
    return false;
}

static bool speaks_of_policy(lm_span line)
{
    static const char *const phrases[] = { "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies", NULL };
    for (const char *const *p = phrases; *p; p++)
        if (holds(line, *p)) return true;
    return false;
}

/* Bytes of the mark of citation at text, or 0. */
static size_t citation_at(lm_span text)
{
    static const char *const words[] = { "[citation needed]", "[edit]", NULL };
    for (const char *const *w = words; *w; w++)
        if (text.len >= strlen(*w) && !memcmp(text.data, *w, strlen(*w))) return strlen(*w);
    size_t n = 1;
    while (n < text.len && n < 5 && text.data[n] >= '0' && text.data[n] <= '9') n++;
    return n > 1 && n < text.len && text.data[n] == ']' ? n + 1 : 0;
}

static void put_line(lm_str *out, lm_span line, bool citations)
{
    if (out->len) lm_str_putc(out, '\n');
    for (size_t i = 0; i < line.len;) {
        size_t mark = citations && line.data[i] == '[' ? citation_at(lm_span_of(line.data + i, line.len - i)) : 0;
        if (!mark) lm_str_putc(out, line.data[i]);
        i += mark + !mark;
    }
}

static bool stays(const settings *o, const lm_text_line *line)
{
    return line->words >= o->min_words && (!o->terminal || (lm_ends_sentence(line->text) && !lm_ends_ellipsis(line->text))) &&
           !(o->javascript && holds(line->text, "javascript")) && !(o->policy && speaks_of_policy(line->text));
}

/* Sentences end with . ! ? before white space or at the end. */
static int64_t count_sentences(lm_span text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool ends = i + 1 == text.len || (unsigned char)text.data[i + 1] <= ' ' || strchr("\"')]", text.data[i + 1]);
        n += ends && (text.data[i] == '.' || text.data[i] == '!' || text.data[i] == '?');
    }
    return n;
}

static bool apply(const lm_filter_use *use, lm_doc *doc)
{
    const settings *o = use->options;
    size_t n, left = 0;
    doc->values[0] = doc->values[1] = 0;
    if (o->lorem && holds(doc->text, "lorem ipsum")) return lm_reject(doc, "holds lorem ipsum");
    if (o->brackets && memchr(doc->text.data, '{', doc->text.len)) return lm_reject(doc, "holds a curly bracket");
    const lm_text_line *lines = lm_doc_lines(doc, &n);
    lm_str *out = lm_doc_room(doc);
    for (size_t i = 0; i < n; i++) {
        if (!stays(o, &lines[i])) continue;
        put_line(out, lines[i].text, o->citations);
        left++;
    }
    int64_t sentences = count_sentences(lm_span_of(out->data ? out->data : "", out->len));
    doc->values[0] = n ? (double)left / (double)n : 0;
    doc->values[1] = (double)sentences;
    lm_doc_replace(doc);
    return sentences >= o->min_sentences ? true : lm_reject(doc, "%lld sentences left, expected at least %lld", (long long)sentences, (long long)o->min_sentences);
}

const lm_filter lm_filter_c4 = {
    .name = "c4", .source = "Raffel et al. 2020 (C4), section 2.2",
    .help = "lines that are no sentences go; pages with too few sentences, code or lorem ipsum",
    .options = options, .options_size = sizeof(settings), .measures = measures, .apply = apply,
};
