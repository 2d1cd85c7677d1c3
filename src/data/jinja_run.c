/* Statements at work, and a template from its text to its result. */
#include "data/jinja.h"
#include "data/jinja_run.h"

#include <stdlib.h>
#include <string.h>

struct lm_jinja {
    lm_jcontext context;             /* its arena holds the nodes */
    char *name;
    const lm_jnode *nodes;
    bool generation;
};

typedef enum flow { NEXT, BREAK, CONTINUE } flow;

static flow run_block(lm_jrun *r, const lm_jnode *node);

/* ---- scopes ----------------------------------------------------------------------------- */

static flow run_scoped(lm_jrun *r, const lm_jnode *body, lm_jscope *scope)
{
    lm_jscope *outer = r->scope;
    r->scope = scope;
    flow f = run_block(r, body);
    r->scope = outer;
    return f;
}

/* What a body writes, as a text. */
static lm_jv capture(lm_jrun *r, const lm_jnode *body, lm_jscope *scope)
{
    lm_jbuild text = { .c = r->c }, *out = r->out;
    r->out = &text;
    run_scoped(r, body, scope);
    r->out = out;
    return lm_jbuilt(&text);
}

static void assign(lm_jrun *r, const lm_jnode *target, lm_jv value)
{
    lm_jcontext *c = r->c;
    c->line = target->line;
    if (target->kind == LM_JN_NAME) lm_jscope_set(c, r->scope, target->name, value);
    else if (target->kind == LM_JN_ATTRIBUTE) {
        lm_jv space = lm_jeval(r, target->a);
        if (space.kind != LM_J_NAMESPACE) lm_jfail(c, LM_E_FORMAT, "only a namespace's attributes can be set, found %s", lm_jkind_name(space));
        lm_jscope_set(c, space.space, target->name, value);
    } else {
        lm_jv items = lm_jiterate(c, value);
        size_t n = 0;
        for (const lm_jnode *t = target->list; t; t = t->next) n++;
        if (items.n != n) lm_jfail(c, LM_E_FORMAT, "expected %zu values to unpack, found %zu", n, items.n);
        n = 0;
        for (const lm_jnode *t = target->list; t; t = t->next) assign(r, t, items.items[n++]);
    }
}

/* ---- loops ------------------------------------------------------------------------------- */

/* The items that a loop's condition lets through. */
static lm_jv chosen(lm_jrun *r, const lm_jnode *node, lm_jv all)
{
    if (!node->c) return all;
    lm_jv *items = lm_jalloc(r->c, all.n * sizeof *items);
    size_t n = 0;
    lm_jscope *outer = r->scope;
    for (size_t i = 0; i < all.n; i++) {
        r->scope = lm_jscope_new(r->c, outer);
        assign(r, node->a, all.items[i]);
        if (lm_jtruth(lm_jeval(r, node->c))) items[n++] = all.items[i];
    }
    r->scope = outer;
    return lm_jsequence(LM_J_LIST, items, n);
}

static flow run_for(lm_jrun *r, const lm_jnode *node)
{
    lm_jv what = lm_jeval(r, node->b);
    r->c->line = node->line;
    lm_jv items = chosen(r, node, lm_jiterate(r->c, what));
    lm_jscope *outer = r->scope;
    lm_jloop *loop = lm_jalloc(r->c, sizeof *loop);
    *loop = (lm_jloop){ .items = items.items, .n = items.n, .depth = ++r->loops };
    flow f = NEXT;
    bool through = false;                                /* as in Jinja, `else` also follows where no pass came to its end */
    for (; loop->at < loop->n && f != BREAK; loop->at++) {
        lm_jcharge(r->c, 1);
        r->scope = lm_jscope_new(r->c, outer);
        lm_jscope_set(r->c, r->scope, lm_span_of("loop", 4), (lm_jv){ .kind = LM_J_LOOP, .loop = loop });
        assign(r, node->a, loop->items[loop->at]);
        f = run_block(r, node->body);
        through |= f == NEXT;
    }
    r->loops--;
    r->scope = outer;
    return through ? NEXT : run_scoped(r, node->orelse, lm_jscope_new(r->c, outer));
}

/* ---- macros -------------------------------------------------------------------------------- */

static lm_jv macro_of(lm_jrun *r, const lm_jnode *node)
{
    lm_jmacro *macro = lm_jalloc(r->c, sizeof *macro);
    *macro = (lm_jmacro){ .node = node, .scope = r->scope };
    return (lm_jv){ .kind = LM_J_MACRO, .macro = macro };
}

static const lm_jv *named_argument(const lm_jargs *args, lm_span name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (args->names[i].len == name.len && !memcmp(args->names[i].data, name.data, name.len)) return &args->items[args->n + i];
    return NULL;
}

/* Puts the arguments into the scope of the call, which r->scope is already: a default may use them. */
static void bind_parameters(lm_jrun *r, const lm_jmacro *macro, const lm_jargs *args)
{
    size_t position = 0, used = 0;
    for (const lm_jnode *p = macro->node->list; p; p = p->next, position++) {
        const lm_jv *given = position < args->n ? &args->items[position] : named_argument(args, p->name);
        used += given && position >= args->n;
        lm_jv value = given ? *given : p->a ? lm_jeval(r, p->a) : lm_jundefined(p->name);
        lm_jscope_set(r->c, r->scope, p->name, value);
    }
    if (args->n > position) lm_jfail(r->c, LM_E_FORMAT, "the macro takes %zu arguments, found %zu", position, args->n);
    if (used < args->n_named) lm_jfail(r->c, LM_E_FORMAT, "the macro has no such argument, or has it twice");
}

lm_jv lm_jcall_macro(lm_jrun *r, const lm_jmacro *macro, const lm_jargs *args, lm_jv caller)
{
    lm_jscope *outer = r->scope, *scope = r->scope = lm_jscope_new(r->c, macro->scope);
    int loops = r->loops;
    r->loops = 0;
    lm_jenter(r->c);
    bind_parameters(r, macro, args);
    if (caller.kind != LM_J_ABSENT) lm_jscope_set(r->c, scope, lm_span_of("caller", 6), caller);
    lm_jv text = capture(r, macro->node->body, scope);
    r->c->depth--;
    r->loops = loops;
    r->scope = outer;
    return text;
}

static lm_jv call_block(lm_jrun *r, const lm_jnode *node)
{
    lm_jv callee = lm_jeval(r, node->a->a);
    lm_jargs args = lm_jeval_arguments(r, node->a->list);
    r->c->line = node->line;
    return lm_jinvoke(r, callee, &args, macro_of(r, node));
}

/* ---- statements ------------------------------------------------------------------------------ */

static lm_jv filtered(lm_jrun *r, const lm_jnode *filters, lm_jv text)
{
    for (; filters; filters = filters->next) text = lm_japply(r, filters, text);
    return text;
}

static void run_with(lm_jrun *r, const lm_jnode *node)
{
    lm_jscope *scope = lm_jscope_new(r->c, r->scope);
    for (const lm_jnode *n = node->list; n; n = n->next) lm_jscope_set(r->c, scope, n->name, lm_jeval(r, n->a));
    run_scoped(r, node->body, scope);
}

static void run_generation(lm_jrun *r, const lm_jnode *node)
{
    size_t begin = r->out->n;
    run_scoped(r, node->body, lm_jscope_new(r->c, r->scope));
    for (size_t i = begin; i < r->out->n; i++) r->out->marks[i] |= LM_MARK_ANSWER;
    r->out->marked |= r->out->n > begin;
}

static flow run_statement(lm_jrun *r, const lm_jnode *node)
{
    switch (node->kind) {
    case LM_JN_OUTPUT: lm_jput_str(r->out, lm_jeval(r, node->a)); return NEXT;
    case LM_JN_IF: return run_block(r, lm_jtruth(lm_jeval(r, node->a)) ? node->body : node->orelse);
    case LM_JN_FOR: return run_for(r, node);
    case LM_JN_SET: assign(r, node->a, lm_jeval(r, node->b)); return NEXT;
    case LM_JN_SET_BLOCK:
        assign(r, node->a, filtered(r, node->list, capture(r, node->body, lm_jscope_new(r->c, r->scope))));
        return NEXT;
    case LM_JN_MACRO: lm_jscope_set(r->c, r->scope, node->name, macro_of(r, node)); return NEXT;
    case LM_JN_CALL_BLOCK: lm_jput_str(r->out, call_block(r, node)); return NEXT;
    case LM_JN_FILTER_BLOCK:
        lm_jput_str(r->out, filtered(r, node->list, capture(r, node->body, lm_jscope_new(r->c, r->scope))));
        return NEXT;
    case LM_JN_WITH: run_with(r, node); return NEXT;
    case LM_JN_GENERATION: run_generation(r, node); return NEXT;
    case LM_JN_BREAK: return BREAK;
    case LM_JN_CONTINUE: return CONTINUE;
    default: LM_BUG("node %d is no statement", (int)node->kind);
    }
}

static flow run_block(lm_jrun *r, const lm_jnode *node)
{
    flow f = NEXT;
    lm_jenter(r->c);
    for (; node && f == NEXT; node = node->next) {
        r->c->line = node->line;
        lm_jcharge(r->c, 1);
        f = run_statement(r, node);
    }
    r->c->depth--;
    return f;
}

/* ---- templates --------------------------------------------------------------------------------- */

static const size_t compile_memory = (size_t)512 << 20, render_memory = (size_t)512 << 20;
static const int64_t compile_steps = 1 << 30, render_steps = 20 * 1000 * 1000;

static void parse_into(lm_jinja *t, const char *text, size_t n)
{
    lm_jcontext *c = &t->context;
    if (lm_utf8_valid(text, n) < n) lm_jfail(c, LM_E_FORMAT, "not UTF-8 at byte %zu", lm_utf8_valid(text, n) + 1);
    lm_jparser p = { .c = c };
    p.at = lm_jinja_tokens(c, text, n);
    t->nodes = lm_jparse(&p);
    t->generation = p.generation;
}

lm_status lm_jinja_compile(lm_jinja **out, const char *text, size_t n, const char *name, lm_err *err)
{
    *out = NULL;
    lm_err local = { 0 };
    lm_jinja *const t = lm_calloc(1, sizeof *t);
    t->name = lm_strdup(name);
    t->context = (lm_jcontext){ .err = &local, .name = t->name, .line = 1, .steps = compile_steps };
    lm_status status = lm_arena_init(&t->context.arena, "template", compile_memory, LM_ARENA_REAL, err);
    if (status == LM_OK) {
        if (!setjmp(t->context.leave)) parse_into(t, text, n);
        t->context.err = NULL;
        status = local.code ? lm_fail(err, local.code, "%s", local.message) : LM_OK;
    }
    if (status == LM_OK) *out = t;
    else lm_jinja_free(t);
    return status;
}

void lm_jinja_free(lm_jinja *t)
{
    if (!t) return;
    lm_arena_free(&t->context.arena);
    free(t->name);
    free(t);
}

bool lm_jinja_has_generation(const lm_jinja *t) { return t->generation; }

static void add_variables(lm_jrun *r, const lm_json *object, uint8_t mark)
{
    const char *key;
    lm_json *value;
    json_object_foreach((lm_json *)(uintptr_t)object, key, value)
        lm_jscope_set(r->c, r->scope, lm_span_of(key, strlen(key)), lm_jfrom_json(r->c, value, mark));
}

static void render_into(const lm_jinja *t, lm_jcontext *c, lm_marked *out, const lm_jinja_input *input)
{
    lm_jbuild text = { .c = c };
    lm_jrun r = { .c = c, .out = &text, .scope = lm_jscope_new(c, NULL) };
    add_variables(&r, input->data, LM_MARK_DATA);
    add_variables(&r, input->trusted, 0);
    run_block(&r, t->nodes);
    lm_str_append(&out->text, text.bytes, text.n);
    lm_str_append(&out->marks, text.marks, text.n);
}

lm_status lm_jinja_render(const lm_jinja *t, lm_marked *out, const lm_jinja_input *input, lm_err *err)
{
    lm_err local = { 0 };
    lm_jcontext c = { .err = &local, .name = t->name, .line = 1, .now = input->now };
    c.steps = input->steps ? input->steps : render_steps;
    lm_str_clear(&out->text);
    lm_str_clear(&out->marks);
    LM_TRY(lm_arena_init(&c.arena, "template", input->memory ? input->memory : render_memory, LM_ARENA_REAL, err));
    if (!setjmp(c.leave)) render_into(t, &c, out, input);
    lm_arena_free(&c.arena);
    return local.code ? lm_fail(err, local.code, "%s", local.message) : LM_OK;
}

void lm_marked_free(lm_marked *m)
{
    if (!m) return;
    lm_str_free(&m->text);
    lm_str_free(&m->marks);
}
