/* Self-Instruct (Wang et al. 2023, section 2.2): new tasks after examples from the pool, then what they are done on.
 *
 *   8 tasks of the pool (6 seeds, 2 that grew) -> new instructions -> does it classify?
 *     no:  input first,  {input, output}         yes: output first, {label, input}
 *
 * Output first for what classifies, since a model that writes the input first leans to one label.  Differences: the
 * questions are put to a model that follows instructions, so that none carries solved examples of other tasks; the
 * first instance of a task stays with it as its input when it is shown or evolved further. */
#include "data/grow.h"

#include "base/rng.h"
#include "data/normal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const operations[] = { "generate", "input_first", "output_first" };
enum { GENERATE, INPUT_FIRST, OUTPUT_FIRST, MOST_PARTS = 512 };

/* ---- which tasks are shown ---- */

/* `wanted` different tasks of [from, to) that are not gone, appended to `shown`. */
static int64_t draw(const lm_grow *g, int64_t *shown, int64_t n, int64_t wanted, int64_t from, int64_t to, lm_rng *rng)
{
    int64_t *open = lm_malloc((size_t)(to - from + 1) * sizeof *open), left = 0;
    for (int64_t i = from; i < to; i++)
        if (!g->tasks[i].gone) open[left++] = i;
    for (; wanted > 0 && left > 0; wanted--) {
        int64_t k = (int64_t)lm_rng_below(rng, (uint64_t)left);
        shown[n++] = open[k];
        open[k] = open[--left];
    }
    free(open);
    return n;
}

/* Those that grew first, and more seeds while there are too few of them; in an order that is drawn. */
static int64_t choose(const lm_grow *g, int64_t *shown, uint64_t stream)
{
    lm_rng rng = { .seed = (uint64_t)g->o->seed, .stream = stream };
    int64_t seeds = g->o->seeds->n, n = draw(g, shown, 0, g->o->grown_shown, seeds, g->n_tasks, &rng);
    n = draw(g, shown, n, g->o->seeds_shown + g->o->grown_shown - n, 0, seeds, &rng);
    for (int64_t i = n; i > 1; i--) {
        int64_t k = (int64_t)lm_rng_below(&rng, (uint64_t)i), last = shown[i - 1];
        shown[i - 1] = shown[k];
        shown[k] = last;
    }
    return n;
}

static void add_prompt(lm_grow *g, lm_sprouts *prompts, int64_t i)
{
    int64_t *shown = lm_calloc((size_t)(g->o->seeds_shown + g->o->grown_shown), sizeof *shown);
    int64_t n = choose(g, shown, (uint64_t)(g->r->rounds * g->o->batch + i));
    lm_sprout *s = lm_sprouts_add(prompts, operations[GENERATE], -1);
    s->found = json_array();
    for (int64_t k = 0; k < n; k++) {
        json_array_append_new(s->found, json_integer(shown[k]));
        json_array_append_new(s->parents, json_string(g->tasks[shown[k]].id));
    }
    free(shown);
}

/* ---- instructions ---- */

static void put_number(lm_str *out, int64_t n) { lm_str_printf(out, "%" PRId64, n); }

/* s->found has the numbers of the tasks to show, then the instructions that were read. */
static void ask_instructions(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_str tasks = {0}, number = {0}, count = {0};
    size_t n = json_array_size(s->parents);
    for (size_t i = 0; i < n; i++) {
        const lm_grow_task *task = &g->tasks[json_integer_value(json_array_get(s->found, i))];
        lm_str_clear(&number);
        put_number(&number, (int64_t)i + 1);
        if (i) lm_str_putc(&tasks, '\n');
        lm_asking_fill(&tasks, g->o->prompts->text[LM_GROW_TASK], &(lm_filling){ "{number}", lm_span_of(number.data, number.len) }, 1);
        lm_str_printf(&tasks, " %s", task->instruction);
    }
    lm_str_clear(&number);
    put_number(&number, (int64_t)n + 1);
    put_number(&count, g->o->per_prompt);
    const lm_filling fillings[] = { { "{tasks}", lm_span_of(tasks.data, tasks.len) }, { "{first}", lm_span_of(number.data, number.len) }, { "{count}", lm_span_of(count.data, count.len) } };
    lm_asking_fill(question, g->o->prompts->text[LM_GROW_GENERATE], fillings, 3);
    lm_str_free(&tasks), lm_str_free(&number), lm_str_free(&count);
}

/* Of an answer that was cut off the last task is left out. */
static bool read_instructions(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    const char *const mark[] = { g->o->prompts->text[LM_GROW_TASK] };
    lm_asking_part *parts = lm_calloc(MOST_PARTS, sizeof *parts);
    int n = lm_asking_parts(parts, MOST_PARTS, answer, mark, 1), read = 0;
    for (int i = 0; i < n - s->cut; i++) {
        if (!parts[i].text.len) continue;
        json_array_append_new(s->found, json_stringn(parts[i].text.data, parts[i].text.len));
        read++;
    }
    free(parts);
    return read > 0;
}

static void plant_all(lm_grow *g, const lm_sprouts *prompts, lm_sprouts *sprouts)
{
    for (int i = 0; i < prompts->n; i++) {
        const lm_sprout *prompt = &prompts->items[i];
        for (size_t k = json_array_size(prompt->parents); !prompt->gone && k < json_array_size(prompt->found); k++) {
            lm_sprout *s = lm_sprouts_add(sprouts, operations[GENERATE], -1);
            json_array_extend(s->parents, prompt->parents);
            lm_str_puts(&s->instruction, json_string_value(json_array_get(prompt->found, k)));
            lm_grow_plant(g, s);
        }
    }
}

/* ---- what kind of task ---- */

static void ask_kind(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_asking_fill(question, g->o->prompts->text[LM_GROW_CLASSIFY], &(lm_filling){ "{instruction}", lm_span_of(s->instruction.data, s->instruction.len) }, 1);
}

static bool read_kind(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    const char *const marks[] = { g->o->prompts->text[LM_GROW_NO], g->o->prompts->text[LM_GROW_YES] };
    int mark = lm_asking_mark(answer, marks, 2);
    if (mark < 0) return false;
    s->marked = mark == 1;
    s->operation = operations[s->marked ? OUTPUT_FIRST : INPUT_FIRST];
    return true;
}

/* ---- instances ---- */

static void ask_instances(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_str count = {0};
    put_number(&count, g->o->instances);
    const lm_filling fillings[] = { { "{instruction}", lm_span_of(s->instruction.data, s->instruction.len) }, { "{count}", lm_span_of(count.data, count.len) } };
    lm_asking_fill(question, g->o->prompts->text[s->marked ? LM_GROW_OUTPUT_FIRST : LM_GROW_INPUT_FIRST], fillings, 2);
    lm_str_free(&count);
}

/* Whether an input says, with whatever signs around it, that there is none. */
static bool is_none(const lm_grow *g, lm_span input)
{
    lm_str out[2] = { {0} }, room = {0};
    const char *word = g->o->prompts->text[LM_GROW_NONE];
    const unsigned flags = LM_NORMAL_NFC | LM_NORMAL_CASE | LM_NORMAL_PUNCTUATION;
    lm_span a = lm_normal_text(&out[0], &room, input, flags), b = lm_normal_text(&out[1], &room, lm_span_of(word, strlen(word)), flags);
    bool none = !input.len || (a.len && a.len == b.len && !memcmp(a.data, b.data, a.len));
    lm_str_free(&out[0]), lm_str_free(&out[1]), lm_str_free(&room);
    return none;
}

static void add_instance(const lm_grow *g, lm_sprout *s, lm_span input, lm_span output)
{
    if (!output.len || (int64_t)json_array_size(s->instances) == g->o->instances) return;
    if (is_none(g, input)) input = lm_span_of("", 0);
    json_array_append_new(s->instances, json_pack("[s%, s%]", input.data, input.len, output.data, output.len));
}

/* Input and output in turn; a label stands in front of its input.  An example that lacks the one has no input, one that
 * lacks the other is none. */
static bool read_instances(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    const char *const *texts = (const char *const *)g->o->prompts->text;
    const char *const marks[] = { texts[LM_GROW_INPUT], texts[s->marked ? LM_GROW_LABEL : LM_GROW_OUTPUT] };
    enum { INPUT, OUTPUT };
    const int first = s->marked ? OUTPUT : INPUT;
    lm_asking_part *parts = lm_calloc(MOST_PARTS, sizeof *parts);
    int n = lm_asking_parts(parts, MOST_PARTS, answer, marks, 2);
    lm_json_free(s->instances);
    s->instances = json_array();
    for (int i = 0; i < n;) {
        lm_span of[2] = { { "", 0 }, { "", 0 } };
        bool both = parts[i].mark == first && i + 1 < n && parts[i + 1].mark != first;
        of[parts[i].mark] = parts[i].text;
        if (both) of[parts[i + 1].mark] = parts[i + 1].text;
        add_instance(g, s, of[INPUT], of[OUTPUT]);
        i += both ? 2 : 1;
    }
    free(parts);
    return json_array_size(s->instances) > 0;
}

/* ---- a round ---- */

static void round_of_tasks(lm_grow *g)
{
    static const lm_grow_stage generate = { .ask = ask_instructions, .read = read_instructions }, kind = { .judges = true, .ask = ask_kind, .read = read_kind },
                               instances = { .whole = true, .ask = ask_instances, .read = read_instances };
    lm_sprouts prompts = {0}, sprouts = {0};
    int64_t n = g->o->batch / g->o->per_prompt;
    for (int64_t i = 0; i < (n ? n : 1); i++) add_prompt(g, &prompts, i);
    lm_grow_ask(g, &prompts, &generate);
    plant_all(g, &prompts, &sprouts);
    lm_grow_ask(g, &sprouts, &kind);
    lm_grow_ask(g, &sprouts, &instances);
    for (int i = 0; i < sprouts.n; i++) lm_grow_weed(g, &sprouts.items[i]);
    lm_grow_keep(g, &sprouts);
    lm_sprouts_free(&prompts);
    lm_sprouts_free(&sprouts);
}

const lm_growth lm_growth_self_instruct = {
    .name = "self_instruct",
    .summary = "new tasks after examples from the pool, with inputs and answers (Wang et al. 2023)",
    .needs = LM_GROW_FOR_SELF_INSTRUCT,
    .round = round_of_tasks,
};
