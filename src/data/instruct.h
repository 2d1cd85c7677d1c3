/* Instructions from the rows of a data set: many phrasings of the same task, in the manner of FLAN.
 *
 * A template set is a YAML file (docs/data.md):
 *
 *   name: nsmc
 *   language: ko
 *   fields:
 *     review: {from: document}
 *     mood: {from: label, choices: {"0": 부정, "1": 긍정}}
 *   templates:
 *     - instruction: 다음 감상평이 긍정인지 부정인지 답하세요.
 *       input: "감상평: {review}"
 *       indicator: "감정:"
 *       answer: "{mood}"
 *   inverted: [..]                 the input from the answer
 *   cot: [..]                      with a rationale before the answer
 *
 * Further keys: about, source, system, shots (what stands in front of examples), columns, example, reader: statute, profile: true.
 * The parts of a prompt stand in the order of the file, with an empty line between them; an indicator of the output, with
 * which a prompt ends, on a line of its own.  Which phrasing a row gets is a function of the seed and of its number.
 *
 * Sources: Wei et al. 2022, "Finetuned Language Models Are Zero-Shot Learners", section 2.1 (ten templates, up to three of
 * them turned around); Longpre et al. 2023, "The Flan Collection", section 3 (few-shot, chain of thought, inversion). */
#ifndef LM_DATA_INSTRUCT_H
#define LM_DATA_INSTRUCT_H

#include "data/source.h"

typedef struct lm_template_set lm_template_set;

/* `name` heads messages, which tell file and line.  LM_E_FORMAT for what is no set: a key that is unknown, a field that a text
 * names and the set lacks (with the nearest there is), a brace that is not closed.  The caller frees; *out is NULL after a
 * failure. */
lm_status lm_template_set_parse(lm_template_set **out, const char *text, size_t n, const char *name, lm_err *err);
lm_status lm_template_set_read(lm_template_set **out, const char *path, lm_err *err);
void lm_template_set_free(lm_template_set *set);         /* takes NULL */

typedef enum lm_phrasing_kind { LM_PHRASING_PLAIN, LM_PHRASING_INVERTED, LM_PHRASING_COT, LM_PHRASING_KINDS } lm_phrasing_kind;
extern const char *const lm_phrasing_names[];            /* as the file calls their lists */

/* What a set says of itself; its own memory.  `example` is a row for --list, or NULL. */
typedef struct lm_template_about {
    const char *name, *language, *about, *source;
    const lm_strings *columns;                           /* of tables without names; NULL: they have them */
    const lm_json *example;
    int phrasings[LM_PHRASING_KINDS];
} lm_template_about;
lm_template_about lm_template_set_about(const lm_template_set *set);

/* How a row is written. */
typedef struct lm_instruct_how {
    uint64_t seed;
    int64_t per_row, shots;                              /* phrasings of a row, without repeating one; other rows shown before it */
    bool all, cot;                                       /* every phrasing that fits; those with a rationale alone */
    double invert;                                       /* probability of one that is turned around */
    const lm_strings *fields;                            /* "review=문장": where a field of the set stands in the row; NULL: as it says */
} lm_instruct_how;

typedef struct lm_instruct_options {
    lm_instruct_how how;
    const char *out, *format, *separator;
    const lm_strings *keep, *columns;
    bool completions, skip;                              /* {"prompt", "completion"} instead of messages; pass over bad rows */
} lm_instruct_options;

typedef struct lm_instruct_result {
    int64_t rows, records, written;                      /* read; made of them (an act has many); instructions */
    int64_t unfit;                                       /* records without the fields that any phrasing asks for, or too long */
    int64_t kinds[LM_PHRASING_KINDS];                    /* instructions */
    lm_skipped skipped;
} lm_instruct_result;

/* Instructions of all rows as JSONL, each with "template", the phrasing it came from. */
lm_status lm_instruct_files(lm_instruct_result *result, const lm_template_set *set, const lm_strings *paths, const lm_instruct_options *o, lm_err *err);
void lm_instruct_result_free(lm_instruct_result *result);

/* The same of one object, such as a profile or a set's example, appended to `rows`. */
lm_status lm_instruct_object(lm_json *rows, lm_instruct_result *result, const lm_template_set *set, const lm_json *object, const lm_instruct_options *o, lm_err *err);

#endif
