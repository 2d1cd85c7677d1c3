/* Statements, and a template as a whole. */
#include "data/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

/* Statements up to one of the tags `ends` (NULL-terminated), whose name is left to be read; the whole
 * template where `ends` is NULL.  `opener` and its line are for the message about a missing end. */
static lm_jnode *block(lm_jparser *p, const char *opener, const char *const *ends);

static void expect_tag_end(lm_jparser *p)
{
    if (p->at->kind != LM_JT_TAG_END) lm_junexpected(p, "%}");
    p->at++;
}

/* A tag's body up to its end tag, behind which p stands then. */
static lm_jnode *body_of(lm_jparser *p, const char *opener, const char *end)
{
    const char *const ends[] = { end, NULL };
    expect_tag_end(p);
    lm_jnode *body = block(p, opener, ends);
    p->at++;
    return body;
}

/* ---- one tag each; p stands behind its name and leaves it at its %} ------------------------ */

/* `elif` is an `if` inside the else of the one before; a long chain is a loop here and no recursion. */
static lm_jnode *parse_if(lm_jparser *p)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL }, *const last[] = { "endif", NULL };
    lm_jnode *first = NULL, **tail = &first;
    bool more = true;
    while (more) {
        lm_jnode *node = *tail = lm_jnode_new(p, LM_JN_IF);
        node->a = lm_jparse_tuple(p, true);
        expect_tag_end(p);
        node->body = block(p, "if", ends);
        tail = &node->orelse;
        more = lm_jtake_name(p, "elif");
    }
    if (lm_jtake_name(p, "else")) {
        expect_tag_end(p);
        *tail = block(p, "if", last);
    }
    p->at++;
    return first;
}

static lm_jnode *parse_for(lm_jparser *p)
{
    static const char *const ends[] = { "else", "endfor", NULL }, *const last[] = { "endfor", NULL };
    lm_jnode *node = lm_jnode_new(p, LM_JN_FOR);
    node->a = lm_jparse_target(p, false);
    if (!lm_jtake_name(p, "in")) lm_junexpected(p, "'in'");
    node->b = lm_jparse_tuple(p, false);
    if (lm_jtake_name(p, "if")) node->c = lm_jparse_expression(p);
    if (lm_jpeek_name(p, "recursive")) lm_jfail(p->c, LM_E_UNSUPPORTED, "recursive loops");
    expect_tag_end(p);
    p->loops++;
    node->body = block(p, "for", ends);
    p->loops--;
    if (lm_jtake_name(p, "else")) {
        expect_tag_end(p);
        node->orelse = block(p, "for", last);
    }
    p->at++;
    return node;
}

static lm_jnode *parse_set(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_SET);
    node->a = lm_jparse_target(p, true);
    if (lm_jtake(p, "=")) {
        node->b = lm_jparse_tuple(p, true);
        return node;
    }
    node->kind = LM_JN_SET_BLOCK;
    node->list = lm_jparse_filters(p, false);
    node->body = body_of(p, "set", "endset");
    return node;
}

/* A body that runs on its own, apart from the loops around it. */
static lm_jnode *closed_body(lm_jparser *p, const char *opener, const char *end)
{
    int loops = p->loops;
    p->loops = 0;
    lm_jnode *body = body_of(p, opener, end);
    p->loops = loops;
    return body;
}

static lm_jnode *parse_macro(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_MACRO);
    node->name = lm_jexpect_name(p);
    node->list = lm_jparse_parameters(p);
    node->body = closed_body(p, "macro", "endmacro");
    if (p->at->kind == LM_JT_NAME) p->at++;              /* endmacro may repeat the name */
    return node;
}

static lm_jnode *parse_call(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_CALL_BLOCK);
    if (lm_jpeek(p, "(")) node->list = lm_jparse_parameters(p);
    node->a = lm_jparse_postfix(p, true);
    node->body = closed_body(p, "call", "endcall");
    return node;
}

static lm_jnode *parse_filter(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_FILTER_BLOCK);
    node->list = lm_jparse_filters(p, true);
    node->body = body_of(p, "filter", "endfilter");
    return node;
}

static lm_jnode *parse_with(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_WITH), **tail = &node->list;
    while (p->at->kind == LM_JT_NAME) {
        lm_jnode *item = *tail = lm_jnode_new(p, LM_JN_ARGUMENT);
        item->name = lm_jexpect_name(p);
        lm_jexpect(p, "=");
        item->a = lm_jparse_expression(p);
        tail = &item->next;
        if (!lm_jtake(p, ",")) break;
    }
    node->body = body_of(p, "with", "endwith");
    return node;
}

static lm_jnode *parse_generation(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_GENERATION);
    p->generation = true;
    node->body = closed_body(p, "generation", "endgeneration");
    return node;
}

static lm_jnode *parse_jump(lm_jparser *p, lm_jnode_kind kind)
{
    if (!p->loops) lm_jfail(p->c, LM_E_FORMAT, "'%s' outside of a loop", kind == LM_JN_BREAK ? "break" : "continue");
    return lm_jnode_new(p, kind);
}

static lm_jnode *parse_break(lm_jparser *p) { return parse_jump(p, LM_JN_BREAK); }
static lm_jnode *parse_continue(lm_jparser *p) { return parse_jump(p, LM_JN_CONTINUE); }

/* ---- blocks ------------------------------------------------------------------------------------ */

static lm_jnode *statement(lm_jparser *p)
{
    static const struct { const char *name; lm_jnode *(*parse)(lm_jparser *); } tags[] = {
        { "if", parse_if }, { "for", parse_for }, { "set", parse_set }, { "macro", parse_macro }, { "call", parse_call },
        { "filter", parse_filter }, { "with", parse_with }, { "generation", parse_generation }, { "break", parse_break },
        { "continue", parse_continue },
    };
    static const char *const refused[] = { "include", "import", "from", "extends", "block", "autoescape", "do", "trans", NULL };
    for (const char *const *r = refused; *r; r++)
        if (lm_jpeek_name(p, *r)) lm_jfail(p->c, LM_E_UNSUPPORTED, "the tag '%s' is not for chat templates", *r);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        int line = p->at->line;
        if (!lm_jtake_name(p, tags[i].name)) continue;
        lm_jnode *node = tags[i].parse(p);
        node->line = line;
        expect_tag_end(p);
        return node;
    }
    lm_junexpected(p, "a tag");
}

static lm_jnode *output(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_OUTPUT);
    p->at++;
    node->a = lm_jparse_tuple(p, true);
    if (p->at->kind != LM_JT_OUTPUT_END) lm_junexpected(p, "}}");
    p->at++;
    return node;
}

static lm_jnode *data(lm_jparser *p)
{
    lm_jnode *node = lm_jnode_new(p, LM_JN_OUTPUT);
    node->a = lm_jnode_new(p, LM_JN_LITERAL);
    node->a->value = lm_jtext(p->at->text.data, p->at->text.len);
    p->at++;
    return node;
}

static bool at_one_of(const lm_jparser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (lm_jpeek_name(p, *ends)) return true;
    return false;
}

static lm_jnode *block(lm_jparser *p, const char *opener, const char *const *ends)
{
    lm_jnode *first = NULL, **tail = &first;
    int opened = p->at->line;
    lm_jenter(p->c);
    while (p->at->kind != LM_JT_END) {
        p->c->line = p->at->line;
        if (p->at->kind == LM_JT_TAG) {
            p->at++;
            if (at_one_of(p, ends)) break;
            *tail = statement(p);
        } else *tail = p->at->kind == LM_JT_DATA ? data(p) : output(p);
        tail = &(*tail)->next;
    }
    p->c->depth--;
    if (!ends || p->at->kind != LM_JT_END) return first;
    p->c->line = opened;
    lm_jfail(p->c, LM_E_FORMAT, "{%% %s %%} has no {%% end%s %%}", opener, opener);
}

lm_jnode *lm_jparse(lm_jparser *p) { return block(p, NULL, NULL); }
