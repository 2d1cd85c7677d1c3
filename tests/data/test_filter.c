/* Filters: cases made by hand, one that each rule keeps and one that it does not, and what edits leave. */
#include "common/test.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/filter.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct outcome {
    bool kept;
    lm_doc doc;
    lm_pipeline pipeline;
    lm_row row;
} outcome;

static void finish(outcome *o)
{
    lm_doc_free(&o->doc);
    lm_pipeline_free(&o->pipeline);
    lm_row_free(&o->row);
}

static lm_status make_pipeline(lm_pipeline *p, const char *spec, lm_err *err)
{
    char *copy = lm_strdup(spec);
    lm_status status = lm_pipeline_add(p, &(lm_strings){ &copy, 1 }, err);
    free(copy);
    return status == LM_OK ? lm_pipeline_open(p, err) : status;
}

static void run_row(outcome *o, const char *spec, const char *text, const char *object)
{
    lm_err err = {0};
    int by;
    *o = (outcome){0};
    if (object) o->row.object = lm_json_parse(object, strlen(object), "row", NULL);
    if (make_pipeline(&o->pipeline, spec, &err) != LM_OK) fail_msg("%s: %s", spec, err.message);
    lm_doc_begin(&o->doc, &o->row, lm_span_of(text, strlen(text)));
    o->kept = lm_pipeline_apply(&o->pipeline, &o->doc, &by, NULL, NULL, NULL);
    assert_true(lm_utf8_valid(o->doc.text.data, o->doc.text.len) == o->doc.text.len);
    assert_true(o->kept || *o->doc.reason);
}

static void expect(const char *spec, const char *text, bool kept)
{
    outcome o;
    run_row(&o, spec, text, NULL);
    if (o.kept != kept) fail_msg("%s of \"%.80s\": %s", spec, text, o.kept ? "kept" : o.doc.reason);
    finish(&o);
}

static void expect_text(const char *spec, const char *text, const char *left)
{
    outcome o;
    run_row(&o, spec, text, NULL);
    if (!o.kept) fail_msg("%s of \"%s\": %s", spec, text, o.doc.reason);
    if (o.doc.text.len != strlen(left) || memcmp(o.doc.text.data, left, o.doc.text.len))
        fail_msg("%s of \"%s\": \"%.*s\", expected \"%s\"", spec, text, (int)o.doc.text.len, o.doc.text.data, left);
    assert_int_equal(o.doc.edited, strcmp(text, left) != 0);
    finish(&o);
}

/* `times` repetitions of a text, for the caller to free. */
static char *repeat(const char *text, int times)
{
    lm_str s = {0};
    for (int i = 0; i < times; i++) lm_str_puts(&s, text);
    return lm_str_take(&s);
}

/* Words that are all different. */
static char *different(int n)
{
    lm_str s = {0};
    for (int i = 0; i < n; i++) lm_str_printf(&s, "w%dq ", i);
    return lm_str_take(&s);
}

/* ---- facts ------------------------------------------------------------------- */

static void facts_of_a_text(void **state)
{
    (void)state;
    static const char text[] = "  가나 a1!  \n\n漢字 +\xC2\xA0ひ\n";     /* a no-break space parts words too */
    lm_doc d = {0};
    size_t n;
    lm_doc_begin(&d, NULL, lm_span_of(text, strlen(text)));
    const lm_counts *c = lm_doc_counts(&d);
    assert_int_equal(c->runes, 19);
    assert_int_equal(c->letters, 6);
    assert_int_equal(c->script[LM_SCRIPT_HANGUL], 2);
    assert_int_equal(c->script[LM_SCRIPT_LATIN], 1);
    assert_int_equal(c->script[LM_SCRIPT_HAN], 2);
    assert_int_equal(c->script[LM_SCRIPT_KANA], 1);
    assert_int_equal(c->digits, 1);
    assert_int_equal(c->punctuation, 1);
    assert_int_equal(c->symbols, 1);
    assert_int_equal(c->spaces, 10);
    const lm_word *words = lm_doc_words(&d, &n);
    assert_int_equal(n, 5);
    assert_true(lm_span_eq(words[1].text, "a1!") && words[1].letter && words[1].runes == 3);
    assert_true(!words[3].letter && words[4].letter && words[4].runes == 1);
    assert_int_equal(lm_doc_word_runes(&d), 9);
    const lm_text_line *lines = lm_doc_lines(&d, &n);
    assert_int_equal(n, 2);
    assert_true(lm_span_eq(lines[0].text, "가나 a1!") && lines[0].words == 2 && lines[0].runes == 6 && lines[0].opens);
    assert_true(lines[1].words == 3 && lines[1].runes == 6 && lines[1].opens);
    lm_doc_free(&d);
}

/* ---- quality ----------------------------------------------------------------- */

static void length_and_words(void **state)
{
    (void)state;
    expect("length:min-words=3", "하나 둘", false);
    expect("length:min-words=3", "하나 둘 셋", true);
    expect("length:min-words=0,max-words=2", "하나 둘 셋", false);
    expect("length:min-words=0,min-chars=4", "가나다", false);
    expect("length:min-words=0,max-chars=3", "가나다라", false);
    expect("word-length", "a bb cc d", false);
    expect("word-length", "words have letters", true);
    expect("word-length", "pneumonoultramicroscopic silicovolcanoconiosis", false);
    expect("word-length:min=1.5,max=8", "그는 밥을 먹었다", true);
    expect("alphabetic", "one two three four 5", true);
    expect("alphabetic", "one two 3 4 5", false);
    expect("symbols", "one two three four five six seven eight nine #ten", true);
    expect("symbols", "#one #two three", false);
    expect("symbols", "well... so... it goes", false);
    expect("symbols", "well… so… it goes", false);
    expect("ratios", "2023 4567 8910 abc", false);
    expect("ratios", "제2023조에 따라 널리 두루 시행한다", true);
    expect("ratios", "!!?!?!! hey", false);
    expect("ratios", "★★★★ 별점", false);
}

static void stop_words_of_two_languages(void **state)
{
    (void)state;
    expect("stop-words", "The cat sat with me", true);
    expect("stop-words", "cat sat hat mat the the the", false);          /* different ones count */
    expect("stop-words", "고양이가 모자를 썼다", true);
    expect("stop-words", "고양이 모자 사진", false);
    expect("stop-words:language=en", "고양이가 모자를 썼다", false);
    expect("stop-words:language=ko", "The cat sat with me", false);
    expect("stop-words:words=cat+-mat,min=1", "a cat", true);
    expect("stop-words:min=1,words=-에게", "친구에게", true);
    expect("stop-words:min=1,words=-에게", "에게", false);                /* an end is the end of something */
}

static void lines_and_how_they_end(void **state)
{
    (void)state;
    expect("terminal:min=0.5", "One.\nTwo!\nthree", true);
    expect("terminal:min=0.5", "One.\ntwo\nthree", false);
    expect("terminal:min=0.5", "\"그렇다.\"\n(정말이다!)\n「응?」", true);
    expect("bullets", "- one\n- two\n• three", false);
    expect("bullets", "- one\n- two\nthree", true);
    expect("bullets", "-5 degrees\n*strong*\n+1", true);
    expect("bullets", "more...\nand more…\nend.", false);
    expect("fineweb", "짧다.\n짧다!\n또 짧다.", false);                    /* lines of fewer than 30 characters */
    expect("fineweb", "이 문장은 서른 글자가 넘도록 일부러 길게 쓴 문장이므로 짧은 줄이 아니다.", true);
    expect("fineweb", "이 문장은 서른 글자가 넘도록 일부러 길게 쓴 문장이지만 마침표가 없는 줄이다", false);
    char *same = repeat("이 문장은 서른 글자가 넘도록 일부러 길게 쓴 문장이므로 짧은 줄이 아니다.\n", 2);
    expect("fineweb", same, false);
    free(same);
}

static void repetition_by_lines_and_ngrams(void **state)
{
    (void)state;
    char *plain = different(200), *twice = repeat("하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열 ", 2), *lines = repeat("같은 줄\n", 3), *paragraphs = repeat("같은\n문단\n\n", 3);
    expect("repetition", plain, true);
    expect("repetition", twice, false);
    expect("repetition", lines, false);
    expect("repetition", paragraphs, false);
    free(plain), free(twice), free(lines), free(paragraphs);

    /* Ten words of one letter: "a b" stands three times, 6 of 10 characters. */
    outcome o;
    run_row(&o, "repetition:max-top-2=1,max-top-3=1,max-top-4=1", "a b c a b d a b e f", NULL);
    assert_float_equal(o.doc.values[4], 0.6, 1e-6);
    assert_float_equal(o.doc.values[5], 0, 1e-6);                          /* no three words twice */
    finish(&o);
    /* a..f twice, of 13 words: the second time is a repetition for 5- and 6-grams. */
    run_row(&o, "repetition:max-top-2=1,max-top-3=1,max-top-4=1,max-repeated-5=1,max-repeated-6=1,max-repeated-7=1", "a b c d e f x a b c d e f", NULL);
    assert_float_equal(o.doc.values[7], 6.0 / 13, 1e-6);
    assert_float_equal(o.doc.values[8], 6.0 / 13, 1e-6);
    assert_float_equal(o.doc.values[9], 0, 1e-6);
    finish(&o);
    /* Two of four lines stand before; 4 of 8 characters. */
    run_row(&o, "repetition:max-lines=1,max-line-chars=1", "xy\nxy\nzw\nxy", NULL);
    assert_float_equal(o.doc.values[0], 0.5, 1e-6);
    assert_float_equal(o.doc.values[2], 0.5, 1e-6);
    finish(&o);
}

static void rules_of_c4(void **state)
{
    (void)state;
    expect_text("c4:min-sentences=1", "This line has six words here.\nno end of a sentence here\nToo short.", "This line has six words here.");
    expect_text("c4:min-sentences=1", "Please turn on Javascript in your browser.\nA fact is stated here [12] and there.", "A fact is stated here  and there.");
    expect_text("c4:min-sentences=1", "We use cookies on this site of ours.\nThis is what it was about.", "This is what it was about.");
    expect("c4", "This line has six words here. It has two sentences.", false);
    expect("c4", "This line has five words. It has two more. And one.", true);
    expect("c4:min-sentences=0", "int main() { return 0; } is what C looks like.", false);
    expect("c4:min-sentences=0", "Lorem ipsum dolor sit amet and so on.", false);
}

/* ---- what text is ------------------------------------------------------------ */

static void markup_comes_off(void **state)
{
    (void)state;
    expect_text("markup", "<p class=\"x\">안녕 <b>세상</b></p>", "안녕 세상\n");
    expect_text("markup", "a < b && c > d", "a < b && c > d");
    expect_text("markup", "x<script type=\"a\">if (a<b) {}</script>y<!-- no\n --> z", "xy z");
    expect_text("markup", "<STYLE>p{}</STYLE>one<br/>two", "one\ntwo");
    expect_text("markup", "&lt;&#44032;&#xAC01;&amp;&nbsp;&unknown; &", "<가각& &unknown; &");
    expect_text("markup", "&#0;&#x110000;&#xD800;", "&#0;&#x110000;&#xD800;");
    expect_text("markup", "그는 <나는 전설이다>를 보았다", "그는 <나는 전설이다>를 보았다");
    expect("markup:max=0.5", "<div class=\"very long class names\">a</div>", false);
}

static void boilerplate_lines_go(void **state)
{
    (void)state;
    expect_text("boilerplate:max=1", "기사 본문이다.\n무단 전재 및 재배포 금지\n끝.", "기사 본문이다.\n끝.");
    expect_text("boilerplate:max=1", "News.\nALL RIGHTS reserved.", "News.\n");
    expect_text("boilerplate:longest=10", "이 긴 문장은 로그인에 관한 것이므로 남는다.", "이 긴 문장은 로그인에 관한 것이므로 남는다.");
    expect("boilerplate", "로그인\n회원가입\n본문", false);
}

static void scripts(void **state)
{
    (void)state;
    expect("script", "한국어 문장 with English", false);
    expect("script", "한국어로 쓴 긴 문장에 OK", true);
    expect("script:scripts=latin", "plain English", true);
    expect("script:scripts=han+kana", "漢字とかな", true);
    expect("script:scripts=hangul,min-letters=1,min=0", "12345", false);
}

static void unicode_is_mended(void **state)
{
    (void)state;
    expect_text("unicode", "plain, 한글, café", "plain, 한글, café");
    expect_text("unicode", "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "한");                   /* three conjoining jamo */
    expect_text("unicode", "e\xCC\x81", "é");
    expect_text("unicode", "cafÃ©", "café");
    expect_text("unicode", "itâ€™s", "it’s");
    expect_text("unicode", "ì•ˆë…•í•˜", "안녕하");                                          /* three: no chance */
    expect_text("unicode", "voilà»…", "voilà»…");                                          /* one might be */
    expect_text("unicode", "cafÃƒÂ©", "café");                                              /* misread twice */
    expect_text("unicode", "a\x01" "b\r\nc\rd\xC2\x85", "ab\nc\nd");
    expect_text("unicode", "\xEF\xBB\xBFzero\xE2\x80\x8Bwidth", "zerowidth");
    expect_text("unicode:nfc=false", "e\xCC\x81", "e\xCC\x81");
    expect("unicode", "lost \xEF\xBF\xBD\xEF\xBF\xBD", false);
}

/* ---- personal data ----------------------------------------------------------- */

static void personal_data_is_masked(void **state)
{
    (void)state;
    expect_text("personal", "메일은 hong.gil-dong+a@mail.example.co.kr로", "메일은 <EMAIL>로");
    expect_text("personal", "01012345678@example.com", "<EMAIL>");
    expect_text("personal", "@user a@b x@.com me@host", "@user a@b x@.com me@host");
    expect_text("personal", "전화 010-1234-5678, 02-123-4567.", "전화 <PHONE>, <PHONE>.");
    expect_text("personal", "01012345678로 031.123.4567로 1588-1234로", "<PHONE>로 <PHONE>로 <PHONE>로");
    expect_text("personal", "call +82-10-1234-5678 or (212) 555-1234 or +1 212 555 1234", "call <PHONE> or <PHONE> or <PHONE>");
    expect_text("personal", "010-1234-5678 2명", "<PHONE> 2명");
    expect_text("personal", "2023-08-08, 2023.8.8., 제1234-5678호, 12-34-56", "2023-08-08, 2023.8.8., 제1234-5678호, 12-34-56");
    /* Check digits by hand: 2*9+3*0+4*0+5*1+6*0+7*1+8*1+9*2+2*3+3*4+4*5+5*6 = 124, 124 % 11 = 3, 11 - 3 = 8. */
    expect_text("personal", "900101-1234568 900101-1234567", "<RRN> 900101-1234567");
    expect_text("personal:loose=true", "900101-1234567", "<RRN>");
    expect_text("personal", "901301-1234568", "901301-1234568");                             /* no thirteenth month */
    expect_text("personal", "201101-3234567", "<RRN>");                                      /* given after October 2020 */
    /* 1*1+2*3+3*7+4*1+5*3+6*7+7*1+8*3 = 120, 9*5 = 45: 4 + 5 = 9, 129: 1. */
    expect_text("personal", "123-45-67891 123-45-67890", "<BUSINESS> 123-45-67890");
    expect_text("personal", "4111 1111 1111 1111, 4111-1111-1111-1112", "<CARD>, 4111-1111-1111-1112");
    expect_text("personal", "378282246310005 3782-822463-10005", "<CARD> <CARD>");
    expect_text("personal", "192.168.0.1 256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4", "<IP> 256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4");
    expect_text("personal", "2001:db8::ff00:42:8329 fe80:0:0:0:0:0:0:1 12:30:45 a::b std::vec", "<IP> <IP> 12:30:45 a::b std::vec");
    expect_text("personal:kinds=ip,open=[,close=]", "a@b.com 10.0.0.1", "a@b.com [IP]");
    expect("personal:reject=true", "a@b.com", false);
}

/* ---- lists ------------------------------------------------------------------- */

static void keywords_however_they_are_written(void **state)
{
    (void)state;
    static const char *const found[] = { "나쁜말", "이 나쁜말이", "나.쁜.말", "나 쁜 말", "ㄴㅏㅃㅡㄴㅁㅏㄹ", "\xE1\x84\x82\xE1\x85\xA1쁜말", "나1쁜말", NULL };
    static const char *const not_found[] = { "하나 쁜말", "나쁜 말다툼", "나빤말", "", NULL };
    for (const char *const *t = found; *t; t++) expect("keywords:words=나쁜말", *t, false);
    for (const char *const *t = not_found; *t; t++) expect("keywords:words=나쁜말", *t, true);
    expect("keywords:words=ㅅㅂ", "ㅅㅂ 뭐야", false);
    expect("keywords:words=ㅅㅂ", "것발", true);                           /* a final and an initial are no such word */
    expect("keywords:words=bad", "BAD!", false);
    expect("keywords:words=bad", "Badminton, abad", true);
    expect("keywords:words=bad", "b a d", false);
    expect_text("keywords:words=나쁜말+bad,mask=true", "이 나쁜말과 bad 것", "이 ***과 *** 것");
    expect("keywords:words=bad,min=2", "bad", true);
    expect("keywords:words=he+she+hers,min=2", "hers and she", false);     /* words in each other */
    char *path = test_path("words.txt");
    assert_int_equal(lm_file_write(path, "# remark\nfoo\r\n\nbar baz\n", 24, NULL), LM_OK);
    lm_str spec = {0};
    lm_str_printf(&spec, "keywords:file=%s", path);
    expect(spec.data, "a foo", false);
    expect(spec.data, "bar-baz", false);
    expect(spec.data, "remark", true);
    lm_str_free(&spec);
    free(path);
}

static void sources(void **state)
{
    (void)state;
    char *deny = test_path("deny.txt");
    static const char list[] = "example.com # all of it\nhttps://other.org/bad/*\n";
    assert_int_equal(lm_file_write(deny, list, strlen(list), NULL), LM_OK);
    static const struct { const char *object; bool kept; } cases[] = {
        { "{\"url\": \"https://www.Example.com:80/a?b\"}", false }, { "{\"url\": \"https://notexample.com/\"}", true },
        { "{\"url\": \"https://other.org/bad/x\"}", false }, { "{\"url\": \"https://other.org/good\"}", true },
        { "{\"url\": \"http://me@example.com\"}", false }, { "{}", true }, { "{\"url\": 1}", true },
    };
    lm_str spec = {0};
    lm_str_printf(&spec, "source:deny=%s", deny);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outcome o;
        run_row(&o, spec.data, "text", cases[i].object);
        if (o.kept != cases[i].kept) fail_msg("%s: %s", cases[i].object, o.kept ? "kept" : o.doc.reason);
        finish(&o);
    }
    lm_str_free(&spec);
    free(deny);
}

/* ---- specifications ---------------------------------------------------------- */

static void expect_refusal(const char *spec, const char *why)
{
    lm_pipeline p = {0};
    lm_err err = {0};
    assert_int_equal(make_pipeline(&p, spec, &err), LM_E_USAGE);
    if (!strstr(err.message, why)) fail_msg("%s: %s", spec, err.message);
    lm_pipeline_free(&p);
}

static void specifications(void **state)
{
    (void)state;
    expect_refusal("lenght", "did you mean length?");
    expect_refusal("length:min-word=3", "min-words");
    expect_refusal("length:min-words", "key=value");
    expect_refusal("length:min-words=x", "min-words");
    expect_refusal("min-words=3", "name of a filter");
    expect_refusal("terminal:min=2", "filter terminal");
    expect_refusal("script:scripts=hangeul", "did you mean hangul");
    expect_refusal("keywords", "expected file=FILE");
    expect_refusal("personal:kinds=name", "found \"name\"");

    /* As a list comes that was split at its commas. */
    lm_pipeline p = {0};
    lm_err err = {0};
    char *items[] = { (char *)"length:min-words=1", (char *)"max-words=2", (char *)"terminal" };
    assert_int_equal(lm_pipeline_add(&p, &(lm_strings){ items, 3 }, &err), LM_OK);
    assert_int_equal(p.n, 2);
    lm_pipeline_free(&p);

    static const char yaml[] = "unicode:\nlength: [min-words=2, max-words=3]\nscript: scripts=hangul+han\n", bad[] = "length:\n  - min-words=2\nbogus:\n";
    assert_int_equal(lm_pipeline_yaml(&p, yaml, strlen(yaml), "p.yaml", &err), LM_OK);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.items[1].filter->name, "length");
    lm_pipeline_free(&p);
    assert_int_equal(lm_pipeline_yaml(&p, bad, strlen(bad), "p.yaml", &err), LM_E_USAGE);
    assert_non_null(strstr(err.message, "bogus"));
    lm_pipeline_free(&p);

    for (const lm_preset *preset = lm_presets; preset->name; preset++) {
        lm_err_clear(&err);
        if (lm_pipeline_preset(&p, preset->name, &err) != LM_OK || lm_pipeline_open(&p, &err) != LM_OK) fail_msg("%s: %s", preset->name, err.message);
        lm_pipeline_free(&p);
    }
}

/* Every filter bears every odd text, says what it measures, and an edit is done when it is done. */
static bool wants_file(const lm_filter *f)
{
    static const char *const names[] = { "source", "language", "classifier", "perplexity", "topics", NULL };
    for (const char *const *n = names; *n; n++)
        if (!strcmp(f->name, *n)) return true;
    return false;
}

static void every_filter_on_odd_texts(void **state)
{
    (void)state;
    static const char *const texts[] = { "", " ", "\n\n\n", "가", "&", "<", "<a", "@", "1", "Ã", "ì", "é\xCC\x81\xCC\x81", "((((", "+82", "....", "::::::", "<a<a<a>", "\xF0\x9F\x98\x80" };
    for (const lm_filter *const *f = lm_filter_registry; *f; f++) {
        if (wants_file(*f)) continue;
        const char *spec = !strcmp((*f)->name, "keywords") ? "keywords:words=a+ㄱ" : (*f)->name;
        assert_true((*f)->source && (*f)->help);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            outcome o, again;
            run_row(&o, spec, texts[i], NULL);
            for (const lm_measure *m = (*f)->measures; m && m->name; m++) assert_true(o.doc.values[m - (*f)->measures] >= 0);
            char *left = lm_strndup(o.doc.text.data, o.doc.text.len);
            run_row(&again, spec, left, NULL);
            if (o.kept && again.doc.edited && strcmp((*f)->name, "markup")) fail_msg("%s of \"%s\": not done after one time", spec, texts[i]);
            free(left);
            finish(&o);
            finish(&again);
        }
    }
}

/* ---- against plain counting --------------------------------------------------- */

/* Words, lines and kinds of characters counted one character at a time, for texts whose characters of two to four
 * bytes stand at every place of a block. */
static void facts_counted_plainly(void **state)
{
    (void)state;
    static const char *const pieces[] = { "가", "힣", "꿀", "한글", "a", "Z", "7", " ", " ", "\n", "\n\n", "\t", "\r\n", ".", "...", "#", "ㄱ", "\xE3\x80\x80", "\xC2\xA0", "é", "漢", "“", "…",
                                          "\xF0\x9F\x98\x80", "ힰ", "\x01", "\xEF\xBF\xBD", "$", "가나다라마바사아자차카타파하" };
    lm_rng rng = { .seed = 5 };
    lm_doc doc = {0};
    lm_row row = {0};
    for (int round = 0; round < 300; round++) {
        lm_str text = {0};
        for (uint64_t n = lm_rng_below(&rng, 120); n > 0; n--) lm_str_puts(&text, pieces[lm_rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        lm_doc_begin(&doc, &row, lm_span_of(text.data, text.len));
        size_t n_words, n_lines, words = 0, lines = 0, line_words = 0, i = 0, n;
        int64_t runes = 0, spaces = 0, letters = 0, digits = 0, hangul = 0, hashes = 0, lost = 0;
        const lm_word *w = lm_doc_words(&doc, &n_words);
        const lm_text_line *l = lm_doc_lines(&doc, &n_lines);
        const lm_counts *c = lm_doc_counts(&doc);
        bool inside = false;
        for (; i < text.len; i += n, runes++) {
            uint32_t rune;
            n = (size_t)lm_utf8_decode(text.data + i, text.len - i, &rune);
            bool space = lm_rune_is_space(rune);
            if (!space && !inside) {
                assert_ptr_equal(w[words].text.data, doc.text.data + i);
                if (!line_words++) assert_ptr_equal(l[lines].text.data, doc.text.data + i);
            }
            if (space && inside) assert_ptr_equal(w[words].text.data + w[words].text.len, doc.text.data + i), words++;
            if (rune == '\n' && line_words) assert_int_equal(l[lines].words, line_words), lines++, line_words = 0;
            inside = !space;
            spaces += space;
            letters += lm_rune_in(rune, LM_LETTERS);
            digits += lm_rune_in(rune, LM_NUMBERS);
            hangul += lm_rune_in(rune, LM_LETTERS) && lm_script_of(rune) == LM_SCRIPT_HANGUL;
            hashes += rune == '#';
            lost += rune == 0xFFFD;
        }
        assert_int_equal(n_words, words + inside);
        assert_int_equal(n_lines, lines + (line_words > 0));
        assert_int_equal(c->runes, runes);
        assert_int_equal(c->spaces, spaces);
        assert_int_equal(c->letters, letters);
        assert_int_equal(c->digits, digits);
        assert_int_equal(c->script[LM_SCRIPT_HANGUL], hangul);
        assert_int_equal(c->hashes, hashes);
        assert_int_equal(lm_doc_flaws(&doc).lost, lost);
        int64_t of_words = 0;
        for (size_t k = 0; k < n_words; k++) of_words += w[k].runes;
        assert_int_equal(of_words, runes - spaces);
        assert_int_equal(lm_doc_word_runes(&doc), of_words);
        lm_str_free(&text);
    }
    lm_doc_free(&doc);
}

static bool same_words(const lm_word *a, const lm_word *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (a[k].text.len != b[k].text.len || memcmp(a[k].text.data, b[k].text.data, a[k].text.len)) return false;
    return true;
}

static int64_t chars_of(const lm_word *w, size_t begin, size_t end)
{
    int64_t n = 0;
    for (; begin < end; begin++) n += w[begin].runes;
    return n;
}

/* Every n-gram against every other: of a length, the characters of the most frequent one, or of those met again. */
static double plain_repetition(const lm_word *w, size_t words, size_t n)
{
    int64_t most = 0, count = 1, again = 0;
    size_t covered = 0;
    for (size_t i = 0; i + n <= words; i++) {
        int64_t times = 0;
        bool before = false;
        for (size_t j = 0; j + n <= words; j++) {
            bool same = same_words(w + i, w + j, n);
            times += same;
            before |= same && j < i;
        }
        if (times > count) count = times, most = 0;
        if (times == count && times > 1 && chars_of(w, i, i + n) > most) most = chars_of(w, i, i + n);
        if (!before) continue;
        again += chars_of(w, i > covered ? i : covered, i + n);
        covered = i + n;
    }
    int64_t all = chars_of(w, 0, words);
    return !all ? 0 : (double)(n <= 4 ? count * most : again) / (double)all;
}

static void repetition_counted_plainly(void **state)
{
    (void)state;
    static const char *const words[] = { "가", "나무", "다", "라디오", "mm", "바다에" };
    lm_rng rng = { .seed = 9 };
    for (int round = 0; round < 40; round++) {
        lm_str text = {0};
        uint64_t kinds = 2 + lm_rng_below(&rng, 5), n = lm_rng_below(&rng, 60);
        while (n-- > 0) lm_str_printf(&text, "%s ", lm_rng_below(&rng, 3) ? words[lm_rng_below(&rng, kinds)] : "그리고 또 다시 한 번 더");
        outcome o;
        run_row(&o, "repetition", text.data ? text.data : "", NULL);
        size_t n_words;
        const lm_word *w = lm_doc_words(&o.doc, &n_words);
        for (size_t length = 2; length <= 10; length++) assert_float_equal(o.doc.values[4 + length - 2], plain_repetition(w, n_words, length), 1e-12);     /* the same sums */
        finish(&o);
        lm_str_free(&text);
    }
}

/* The table of docs/data.md says of every filter what its descriptor says: help, defaults that are neither 0 nor flags,
 * source. */
static void the_documentation_names_every_filter(void **state)
{
    (void)state;
    lm_str text = {0};
    assert_int_equal(lm_file_read(&text, "docs/data.md", 1 << 20, NULL), LM_OK);
    for (const lm_filter *const *f = lm_filter_registry; *f; f++) {
        lm_str row = {0}, defaults = {0};
        for (const lm_option *o = (*f)->options; o && o->name; o++)
            if (o->fallback && strcmp(o->fallback, "0") && o->type != LM_OPT_FLAG) lm_str_printf(&defaults, "%s%s=%s", defaults.len ? ", " : "", o->name, o->fallback);
        lm_str_printf(&row, "\n| `%s` | %s | %s%s%s | %s |\n", (*f)->name, (*f)->help, defaults.len ? "`" : "", defaults.len ? defaults.data : "", defaults.len ? "`" : "", (*f)->source);
        if (!strstr(text.data, row.data)) fail_msg("docs/data.md: expected in its table of filters:%s", row.data);
        lm_str_free(&row), lm_str_free(&defaults);
    }
    for (const lm_preset *p = lm_presets; p->name; p++) {
        lm_str row = {0};
        lm_str_printf(&row, "\n| `%s` | ", p->name);
        if (!strstr(text.data, row.data)) fail_msg("docs/data.md: expected the preset %s", p->name);
        lm_str_free(&row);
    }
    lm_str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_of_a_text), cmocka_unit_test(length_and_words), cmocka_unit_test(stop_words_of_two_languages), cmocka_unit_test(lines_and_how_they_end),
        cmocka_unit_test(repetition_by_lines_and_ngrams), cmocka_unit_test(rules_of_c4), cmocka_unit_test(markup_comes_off), cmocka_unit_test(boilerplate_lines_go),
        cmocka_unit_test(scripts), cmocka_unit_test(unicode_is_mended), cmocka_unit_test(personal_data_is_masked), cmocka_unit_test(keywords_however_they_are_written),
        cmocka_unit_test(sources), cmocka_unit_test(specifications), cmocka_unit_test(every_filter_on_odd_texts),
        cmocka_unit_test(facts_counted_plainly), cmocka_unit_test(repetition_counted_plainly), cmocka_unit_test(the_documentation_names_every_filter),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
