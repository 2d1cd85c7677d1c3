/* Evol-Instruct (Xu et al. 2023, "WizardLM", section 3): a task is made harder, or another of its field, time and again.
 *
 *   tip of a seed's line -> evolved -> does it ask for something else? -> its answer -> the new tip
 *
 * An epoch takes every line once, in an order that is drawn, and one operation for each, all equally likely.  A line whose
 * evolution fails keeps its tip and is tried again in the next epoch, with an operation drawn anew.  After `depth` epochs all
 * lines begin again from their seeds.  Difference: what is new is also held against the pool by ROUGE-L. */
#include "data/grow.h"

#include "base/rng.h"
#include "data/permute.h"

#include <stdlib.h>
#include <string.h>

static const char *const operations[] = { "constraints", "deepen", "concretise", "reasoning", "complicate", "breadth", NULL };
enum { OPERATIONS = 6, BREADTH = 5, ORDER = 1 << 20 };      /* ORDER: streams of permutations lie behind those of draws */

/* Lines: where each stands, and how many turns there were. */
typedef struct lines {
    int64_t turn;
    int64_t tip[];                           /* [seeds] */
} lines;

static lines *lines_of(lm_grow *g)
{
    if (g->own) return g->own;
    lines *l = g->own = lm_calloc(1, sizeof *l + (size_t)g->o->seeds->n * sizeof *l->tip);
    for (int64_t i = 0; i < g->o->seeds->n; i++) l->tip[i] = i;
    return l;
}

static int operation_of(const char *name)
{
    int i = 0;
    while (strcmp(operations[i], name)) i++;
    return i;
}

static int draw_operation(const lm_grow *g, int64_t turn)
{
    lm_rng rng = { .seed = (uint64_t)g->o->seed, .stream = (uint64_t)turn };
    const lm_strings *chosen = &g->o->operations;
    return chosen->n ? operation_of(chosen->items[lm_rng_below(&rng, (uint64_t)chosen->n)]) : (int)lm_rng_below(&rng, OPERATIONS);
}

/* ---- questions ---- */

static void put_parent(const lm_grow *g, lm_str *out, const lm_sprout *s)
{
    const lm_grow_task *parent = &g->tasks[s->parent];
    lm_grow_put_prompt(out, parent->instruction, parent->input);
}

static void ask_evolved(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_str prompt = {0};
    put_parent(g, &prompt, s);
    const char *text = g->o->prompts->text[LM_GROW_CONSTRAINTS + operation_of(s->operation)];
    lm_asking_fill(question, text, &(lm_filling){ "{prompt}", lm_span_of(prompt.data, prompt.len) }, 1);
    lm_str_free(&prompt);
}

/* The whole answer, or what stands behind the heading that was not asked for. */
static bool read_evolved(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    lm_asking_part part;
    const char *const mark[] = { g->o->prompts->text[LM_GROW_EVOLVED] };
    if (lm_asking_parts(&part, 1, answer, mark, 1) && part.text.len) answer = part.text;
    lm_str_clear(&s->instruction);
    lm_str_append(&s->instruction, answer.data, answer.len);
    return true;
}

static void ask_gain(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_str before = {0};
    put_parent(g, &before, s);
    const lm_filling fillings[] = { { "{first}", lm_span_of(before.data, before.len) }, { "{second}", lm_span_of(s->instruction.data, s->instruction.len) } };
    lm_asking_fill(question, g->o->prompts->text[LM_GROW_GAIN], fillings, 2);
    lm_str_free(&before);
}

static bool read_gain(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    const char *const marks[] = { g->o->prompts->text[LM_GROW_SAME], g->o->prompts->text[LM_GROW_DIFFERENT] };
    int mark = lm_asking_mark(answer, marks, 2);
    s->marked = mark == 0;                                   /* "the same" */
    return mark >= 0;
}

static void ask_answer(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    (void)g;
    lm_str_append(question, s->instruction.data, s->instruction.len);
}

static bool read_answer(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    (void)g;
    lm_json_free(s->instances);
    s->instances = json_pack("[[s, s%]]", "", answer.data, answer.len);
    return true;
}

/* ---- a round ---- */

/* As many lines as a batch has, none twice. */
static void choose(lm_grow *g, lines *l, lm_sprouts *sprouts, int64_t *chosen)
{
    int64_t n = g->o->seeds->n, most = g->o->batch < n ? g->o->batch : n;
    int64_t epoch = l->turn / n;
    if (l->turn % n == 0 && epoch % g->o->depth == 0)
        for (int64_t i = 0; i < n; i++) l->tip[i] = i;
    if (most > n - l->turn % n) most = n - l->turn % n;      /* an epoch ends with its lines */
    for (int64_t i = 0; i < most; i++, l->turn++) {
        chosen[i] = lm_permute(l->turn % n, n, (uint64_t)g->o->seed, ORDER + (uint64_t)epoch);
        lm_sprout *s = lm_sprouts_add(sprouts, operations[draw_operation(g, l->turn)], l->tip[chosen[i]]);
        json_array_append_new(s->parents, json_string(g->tasks[s->parent].id));
    }
}

/* What only repeats its parent has gained nothing; neither has what the model finds the same. */
static void reject_same(lm_grow *g, lm_sprouts *sprouts)
{
    for (int i = 0; i < sprouts->n; i++) {
        lm_sprout *s = &sprouts->items[i];
        lm_str parent = {0};
        put_parent(g, &parent, s);
        if (!s->gone && (s->marked || (s->instruction.len == parent.len && !memcmp(s->instruction.data, parent.data, parent.len))))
            lm_grow_reject(g, s, LM_GROW_NO_GAIN);
        lm_str_free(&parent);
    }
}

static void plant_all(lm_grow *g, lm_sprouts *sprouts)
{
    for (int i = 0; i < sprouts->n; i++) {
        lm_sprout *s = &sprouts->items[i];
        int64_t parent = s->parent;
        if (operation_of(s->operation) == BREADTH) s->parent = -1;       /* another task, which must not be like this one either */
        lm_grow_plant(g, s);
        s->parent = parent;
    }
}

static void round_of_evolutions(lm_grow *g)
{
    static const lm_grow_stage evolve = { .whole = true, .ask = ask_evolved, .read = read_evolved }, gain = { .judges = true, .ask = ask_gain, .read = read_gain },
                               answer = { .whole = true, .bare = true, .ask = ask_answer, .read = read_answer };
    lines *l = lines_of(g);
    lm_sprouts sprouts = {0};
    int64_t *chosen = lm_calloc((size_t)g->o->batch, sizeof *chosen);
    choose(g, l, &sprouts, chosen);
    lm_grow_ask(g, &sprouts, &evolve);
    reject_same(g, &sprouts);
    plant_all(g, &sprouts);
    if (g->o->prompts->text[LM_GROW_GAIN]) lm_grow_ask(g, &sprouts, &gain);
    reject_same(g, &sprouts);
    lm_grow_ask(g, &sprouts, &answer);
    for (int i = 0; i < sprouts.n; i++) lm_grow_weed(g, &sprouts.items[i]);
    lm_grow_keep(g, &sprouts);
    for (int i = 0; i < sprouts.n; i++)
        if (!sprouts.items[i].gone) l->tip[chosen[i]] = sprouts.items[i].task;
    lm_sprouts_free(&sprouts);
    free(chosen);
}

const lm_growth lm_growth_evol_instruct = {
    .name = "evol_instruct",
    .summary = "seeds made harder in five ways, or another of their field; their answers (Xu et al. 2023)",
    .needs = LM_GROW_FOR_EVOL_INSTRUCT,
    .operations = operations,
    .round = round_of_evolutions,
};
