#include "data/grow.h"

#include "data/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const lm_grow_ends[] = { "", "rows", "requests", "idle", "stopped", "silent", NULL };

static lm_span span_of(const lm_str *s) { return lm_span_of(s->data ? s->data : "", s->len); }
static const char *text_of(const lm_str *s) { return s->data ? s->data : ""; }

/* ---- sprouts ---- */

lm_sprout *lm_sprouts_add(lm_sprouts *list, const char *operation, int64_t parent)
{
    if (list->n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 16;
        list->items = lm_realloc(list->items, (size_t)list->cap * sizeof *list->items);
    }
    lm_sprout *s = &list->items[list->n++];
    *s = (lm_sprout){ .operation = operation, .parents = json_array(), .parent = parent, .task = -1, .nearest = { .text = -1 } };
    return s;
}

void lm_sprouts_free(lm_sprouts *list)
{
    for (int i = 0; i < list->n; i++) {
        lm_sprout *s = &list->items[i];
        lm_json_free(s->parents), lm_json_free(s->found), lm_json_free(s->instances);
        lm_str_free(&s->instruction), lm_str_free(&s->answer);
    }
    free(list->items);
    *list = (lm_sprouts){0};
}

void lm_grow_put_prompt(lm_str *out, const char *instruction, const char *input)
{
    lm_str_printf(out, "%s%s%s", instruction, *input ? "\n\n" : "", input);
}

/* ---- what is counted and written ---- */

static void count(lm_grow *g, const char *operation, const char *what)
{
    lm_json *counts = json_object_get(g->r->counts, operation);
    if (!counts) json_object_set_new(g->r->counts, operation, counts = json_object());
    json_object_set_new(counts, what, json_integer(json_integer_value(json_object_get(counts, what)) + 1));
}

static void write_line(lm_writer *to, lm_json *row)
{
    lm_str line = {0};
    lm_json_text(&line, row, 0);
    lm_str_putc(&line, '\n');
    fwrite(line.data, 1, line.len, to->stream);
    lm_str_free(&line);
    lm_json_free(row);
}

/* Where a sprout comes from, and how new it is. */
static void put_provenance(const lm_grow *g, lm_json *row, const lm_sprout *s)
{
    json_object_set_new(row, "method", json_string(g->o->method->name));
    json_object_set_new(row, "operation", json_string(s->operation));
    json_object_set_new(row, "model", json_string(g->o->model));
    json_object_set_new(row, "round", json_integer((json_int_t)g->r->rounds + 1));
    json_object_set(row, "parents", s->parents);
    if (!s->instruction.len) return;
    json_object_set_new(row, "rouge_l", json_real(s->nearest.rouge_l));
    json_object_set_new(row, "nearest", s->nearest.text < 0 ? json_null() : json_string(g->tasks[s->nearest.text].id));
}

static void note(lm_grow *g, const lm_sprout *s, const lm_json *instance, lm_grow_reason reason)
{
    g->r->rejected[reason]++;
    g->r->refused++;
    count(g, s->operation, lm_grow_reasons[reason]);
    if (!g->rejected.stream) return;
    lm_json *row = json_pack("{s:s}", "reason", lm_grow_reasons[reason]);
    if (s->instruction.len) json_object_set_new(row, "instruction", json_string(text_of(&s->instruction)));
    if (instance) json_object_set(row, "input", json_array_get(instance, 0)), json_object_set(row, "output", json_array_get(instance, 1));
    else json_object_set_new(row, "answer", json_string(text_of(&s->answer)));
    put_provenance(g, row, s);
    write_line(&g->rejected, row);
}

/* Takes it out of the pool. */
static void forget(lm_grow *g, lm_sprout *s)
{
    s->gone = true;
    if (s->task < 0) return;
    g->tasks[s->task].gone = true;
    lm_novelty_drop(g->novelty, s->task);
}

void lm_grow_reject(lm_grow *g, lm_sprout *s, lm_grow_reason reason)
{
    note(g, s, NULL, reason);
    forget(g, s);
}

/* ---- asking ---- */

/* Reads an answer, or says what is wrong with it; LM_GROW_REASONS where nothing is. */
static lm_grow_reason take(lm_grow *g, lm_sprout *s, lm_asking *q, const lm_grow_stage *stage)
{
    lm_span answer = lm_trim(span_of(&q->answer));
    lm_str_clear(&s->answer);
    lm_str_append(&s->answer, answer.data, answer.len);
    s->cut = q->cut;
    if (stage->whole && q->cut) return LM_GROW_CUT_OFF;
    return answer.len && stage->read(g, s, span_of(&s->answer)) ? LM_GROW_REASONS : LM_GROW_UNREADABLE;
}

static void settle(lm_grow *g, lm_sprout *s, lm_asking *q, const lm_grow_stage *stage, lm_replies_state state, bool last)
{
    if (q->err.code == LM_OK) {
        lm_grow_reason wrong = take(g, s, q, stage);
        s->waiting = wrong != LM_GROW_REASONS && !last;
        if (wrong != LM_GROW_REASONS && last && !stage->optional) lm_grow_reject(g, s, wrong);
        return;
    }
    s->waiting = false;
    if (state == LM_REPLIES_SILENT || (q->err.code != LM_E_INTERRUPT && !*g->r->why)) snprintf(g->r->why, sizeof g->r->why, "%s", q->err.message);
    if (q->err.code == LM_E_INTERRUPT || state == LM_REPLIES_SILENT) {
        g->r->unfinished++;
        forget(g, s);
        return;
    }
    if (stage->optional) return;
    lm_str_clear(&s->answer);
    lm_str_append(&s->answer, q->err.message, lm_utf8_valid(q->err.message, strlen(q->err.message)));
    lm_grow_reject(g, s, LM_GROW_UNANSWERED);
}

static void end_run(lm_grow *g, lm_replies_state state)
{
    static const lm_grow_end ends[] = { [LM_REPLIES_ALL] = LM_GROW_UNDER_WAY, [LM_REPLIES_SPENT] = LM_GROW_BUDGET, [LM_REPLIES_STOPPED] = LM_GROW_STOPPED,
                                        [LM_REPLIES_SILENT] = LM_GROW_SILENT };
    if (g->r->end == LM_GROW_UNDER_WAY) g->r->end = ends[state];
}

/* Asks all that wait once. */
static void ask_waiting(lm_grow *g, lm_sprouts *sprouts, const lm_grow_stage *stage, int attempt)
{
    lm_asking *asking = lm_calloc((size_t)sprouts->n + 1, sizeof *asking);
    lm_str *texts = lm_calloc((size_t)sprouts->n + 1, sizeof *texts);
    lm_replies_state state;
    int n = 0;
    for (int i = 0; i < sprouts->n; i++) {
        if (!sprouts->items[i].waiting) continue;
        stage->ask(g, &texts[n], &sprouts->items[i]);
        asking[n] = (lm_asking){ .system = stage->bare ? NULL : g->o->prompts->text[LM_GROW_SYSTEM], .text = text_of(&texts[n]), .max_tokens = g->o->max_tokens,
                                 .temperature = stage->judges && !attempt ? 0 : g->o->temperature };
        n++;
    }
    if (lm_replies_ask(g->replies, asking, n, &state, &g->err) == LM_OK) {
        end_run(g, state);
        for (int i = 0, k = 0; i < sprouts->n; i++)
            if (sprouts->items[i].waiting) settle(g, &sprouts->items[i], &asking[k++], stage, state, attempt + 1 >= g->o->tries);
    }
    for (int i = 0; i < n; i++) lm_str_free(&texts[i]), lm_str_free(&asking[i].answer);
    free(asking), free(texts);
}

void lm_grow_ask(lm_grow *g, lm_sprouts *sprouts, const lm_grow_stage *stage)
{
    bool any = false;
    for (int i = 0; i < sprouts->n; i++) any |= sprouts->items[i].waiting = !sprouts->items[i].gone;
    for (int attempt = 0; any && attempt < g->o->tries && !g->err.code; attempt++) {
        ask_waiting(g, sprouts, stage, attempt);
        any = false;
        for (int i = 0; i < sprouts->n; i++) any |= sprouts->items[i].waiting;
    }
}

/* ---- the pool ---- */

static int64_t add_task(lm_grow *g, lm_grow_task task)
{
    if (g->n_tasks == g->cap_tasks) {
        g->cap_tasks = g->cap_tasks ? 2 * g->cap_tasks : 256;
        g->tasks = lm_realloc(g->tasks, (size_t)g->cap_tasks * sizeof *g->tasks);
    }
    g->tasks[g->n_tasks] = task;
    int64_t number = lm_novelty_add(g->novelty, lm_span_of(task.instruction, strlen(task.instruction)));
    LM_ASSERT(number == g->n_tasks);
    return g->n_tasks++;
}

/* A task is compared with all but those that it was evolved from, which it holds on purpose. */
static lm_likeness find_nearest(lm_grow *g, const lm_sprout *s)
{
    int64_t *ancestors = NULL, n = 0;
    for (int64_t t = s->parent; t >= 0; t = g->tasks[t].parent) {
        ancestors = lm_realloc(ancestors, (size_t)(n + 1) * sizeof *ancestors);
        ancestors[n++] = t;
    }
    lm_likeness nearest = lm_novelty_find(g->novelty, span_of(&s->instruction), ancestors, n);
    free(ancestors);
    return nearest;
}

void lm_grow_plant(lm_grow *g, lm_sprout *s)
{
    if (s->gone) return;
    s->nearest = find_nearest(g, s);
    lm_grow_reason wrong = lm_grow_judge_instruction(g->o, span_of(&s->instruction), s->parent < 0 ? NULL : g->tasks[s->parent].instruction);
    if (wrong == LM_GROW_REASONS && s->nearest.rouge_l >= g->o->threshold) wrong = LM_GROW_SIMILAR;
    if (wrong != LM_GROW_REASONS) {
        lm_grow_reject(g, s, wrong);
        return;
    }
    lm_str id = {0};
    lm_str_printf(&id, "g%" PRId64, g->n_tasks - g->o->seeds->n + 1);
    s->task = add_task(g, (lm_grow_task){ .id = lm_str_take(&id), .instruction = lm_strdup(text_of(&s->instruction)), .input = lm_strdup(""), .parent = s->parent });
}

/* ---- examples ---- */

static lm_span part_of(const lm_json *instance, size_t i)
{
    const lm_json *text = json_array_get(instance, i);
    return lm_span_of(json_string_value(text), json_string_length(text));
}

/* What is wrong with an instance in the company of the others. */
static lm_grow_reason judge_instance(const lm_grow *g, const lm_json *instances, size_t at)
{
    const lm_json *instance = json_array_get(instances, at), *other;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)instances, i, other) {
        bool input = json_equal(json_array_get(instance, 0), json_array_get(other, 0)), output = json_equal(json_array_get(instance, 1), json_array_get(other, 1));
        if (i < at && input && output) return LM_GROW_DUPLICATE;
        if (input && !output) return LM_GROW_CONTRADICTION;
    }
    return lm_grow_judge_answer(g->o, part_of(instance, 0), part_of(instance, 1));
}

void lm_grow_weed(lm_grow *g, lm_sprout *s)
{
    if (s->gone) return;
    lm_json *left = json_array();
    for (size_t i = 0; i < json_array_size(s->instances); i++) {
        lm_grow_reason wrong = judge_instance(g, s->instances, i);
        if (wrong == LM_GROW_REASONS) json_array_append(left, json_array_get(s->instances, i));
        else note(g, s, json_array_get(s->instances, i), wrong);
    }
    lm_json_free(s->instances);
    s->instances = left;
    if (!json_array_size(left)) forget(g, s);
}

/* ---- difficulty, and rows ---- */

static void ask_difficulty(const lm_grow *g, lm_str *question, const lm_sprout *s)
{
    lm_str prompt = {0};
    lm_grow_put_prompt(&prompt, text_of(&s->instruction), json_string_value(json_array_get(json_array_get(s->instances, 0), 0)));
    lm_asking_fill(question, g->o->prompts->text[LM_GROW_DIFFICULTY], &(lm_filling){ "{prompt}", span_of(&prompt) }, 1);
    lm_str_free(&prompt);
}

static bool read_difficulty(const lm_grow *g, lm_sprout *s, lm_span answer)
{
    (void)g;
    s->difficulty = lm_asking_score(answer);
    return s->difficulty > 0;
}

static void put_row(lm_grow *g, const lm_sprout *s, size_t instance)
{
    const lm_json *pair = json_array_get(s->instances, instance);
    if (g->r->rows == g->o->rows) return;
    lm_str id = {0};
    lm_str_printf(&id, "%s", g->tasks[s->task].id);
    if (json_array_size(s->instances) > 1) lm_str_printf(&id, ".%zu", instance + 1);
    lm_json *messages = lm_question(NULL, text_of(&s->instruction), json_string_value(json_array_get(pair, 0)));
    json_array_append_new(messages, lm_message("assistant", json_string_value(json_array_get(pair, 1))));
    lm_json *row = json_pack("{s:o, s:s}", "messages", messages, "id", id.data);
    if (s->difficulty) json_object_set_new(row, "difficulty", json_integer(s->difficulty));
    put_provenance(g, row, s);
    write_line(&g->out, row);
    lm_str_free(&id);
    count(g, s->operation, "kept");
    g->r->rows++;
    g->r->difficulties[s->difficulty]++;
    g->r->likeness[s->nearest.rouge_l < 1 ? (int)(10 * s->nearest.rouge_l) : 9]++;
    g->r->unscored += g->o->difficulty && !s->difficulty;
}

void lm_grow_keep(lm_grow *g, lm_sprouts *sprouts)
{
    static const lm_grow_stage difficulty = { .judges = true, .optional = true, .ask = ask_difficulty, .read = read_difficulty };
    if (g->o->difficulty) lm_grow_ask(g, sprouts, &difficulty);
    for (int i = 0; i < sprouts->n && !g->err.code; i++) {
        const lm_sprout *s = &sprouts->items[i];
        if (s->gone) continue;
        const char *input = json_string_value(json_array_get(json_array_get(s->instances, 0), 0));
        free(g->tasks[s->task].input);
        g->tasks[s->task].input = lm_strdup(input);
        for (size_t k = 0; k < json_array_size(s->instances); k++) put_row(g, s, k);
    }
}

/* ---- a run ---- */

static lm_status begin(lm_grow *g, lm_err *err)
{
    const lm_grow_seeds *seeds = g->o->seeds;
    g->novelty = lm_novelty_new(g->o->unit);
    for (int64_t i = 0; i < seeds->n; i++) {
        const lm_grow_task *t = &seeds->tasks[i];
        add_task(g, (lm_grow_task){ .id = lm_strdup(t->id), .instruction = lm_strdup(t->instruction), .input = lm_strdup(t->input), .parent = -1, .seed = true });
    }
    LM_TRY(lm_writer_open(&g->out, g->o->out, err));
    return g->o->rejected ? lm_writer_open(&g->rejected, g->o->rejected, err) : LM_OK;
}

static lm_status grow(lm_grow *g, lm_err *err)
{
    const lm_grow_options *o = g->o;
    lm_grow_result *r = g->r;
    for (int64_t idle = 0; r->end == LM_GROW_UNDER_WAY; r->rounds++) {
        int64_t before = r->rows;
        o->method->round(g);
        if (g->err.code) return lm_fail(err, g->err.code, "%s", g->err.message);
        idle = r->rows > before ? 0 : idle + 1;
        if (r->rows == o->rows) r->end = LM_GROW_DONE;
        else if (r->end == LM_GROW_UNDER_WAY && idle >= o->patience) r->end = LM_GROW_IDLE;
        if (o->tell) o->tell(o->context, r->rows, r->refused, lm_replies_count(g->replies));
    }
    if (g->rejected.stream) LM_TRY(lm_writer_commit(&g->rejected, err));
    return r->rows ? lm_writer_commit(&g->out, err) : LM_OK;
}

lm_status lm_grow_run(lm_grow_result *result, const lm_grow_options *o, lm_replies *replies, lm_err *err)
{
    *result = (lm_grow_result){ .counts = json_object() };
    lm_grow g = { .o = o, .r = result, .replies = replies };
    lm_status status = begin(&g, err);
    if (status == LM_OK) status = grow(&g, err);
    lm_writer_abort(&g.out);
    lm_writer_abort(&g.rejected);
    for (int64_t i = 0; i < g.n_tasks; i++) free(g.tasks[i].id), free(g.tasks[i].instruction), free(g.tasks[i].input);
    free(g.tasks), free(g.own);
    lm_novelty_free(g.novelty);
    return status;
}

void lm_grow_result_free(lm_grow_result *result)
{
    lm_json_free(result->counts);
    *result = (lm_grow_result){0};
}

lm_json *lm_grow_report(const lm_grow_result *r, const lm_grow_options *o, const lm_replies *replies)
{
    lm_json *rejected = json_object(), *difficulties = json_object(), *likeness = json_array();
    for (int i = 0; i < LM_GROW_REASONS; i++) json_object_set_new(rejected, lm_grow_reasons[i], json_integer((json_int_t)r->rejected[i]));
    for (int i = 1; i <= 10; i++) {
        char name[12];
        snprintf(name, sizeof name, "%d", i);
        json_object_set_new(difficulties, name, json_integer((json_int_t)r->difficulties[i]));
        json_array_append_new(likeness, json_integer((json_int_t)r->likeness[i - 1]));
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O, s:o, s:I, s:o}", "method", o->method->name, "model", o->model, "ended_by", lm_grow_ends[r->end],
                     "rows", (json_int_t)r->rows, "wanted", (json_int_t)o->rows, "seeds", (json_int_t)o->seeds->n, "rounds", (json_int_t)r->rounds, "questions",
                     (json_int_t)lm_replies_count(replies), "answered_before", (json_int_t)lm_replies_known(replies), "unfinished", (json_int_t)r->unfinished, "rejected", rejected,
                     "operations", r->counts, "difficulty", difficulties, "without_difficulty", (json_int_t)r->unscored, "rows_by_tenth_of_rouge_l", likeness);
}
