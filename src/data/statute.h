/* Korean statutes: an act's Markdown as records that templates ask about.
 *
 * An act as the collections of law.go.kr in Markdown have it: "# title", chapters and sections as headings, articles as
 * "##### 제3조의2 (제목)", paragraphs ①, items "1\.", notes of amendment <개정 2023.8.8> and [본조신설 ..] , "## 부칙" at the end.
 *
 * A record is an object of texts and lists; each has "act", and one of these groups:
 *   purpose, nameless_purpose                      of article 1 where it is called so; the second where it does not name the act
 *   term, definition, clause, article              for each term that an article defines; clause: the whole sentence
 *   article, title, body                           for each article in force; article: "제3조의2"
 *     own_title                                    ... where no other article of the act is called so
 *     gap, blank                                   ... its text with one number, date or other act left out, and what it was
 *     amended, times                               ... the dates in its notes of amendment, in words, and how many
 *   article, repealed                              for each article that is gone, and when
 *   articles; chapters, outline or contents        of the whole: how many; lines of its chapters, or of its articles where it has none
 *   ministry, promulgated, effective               of the whole, where the row says so
 * Text has no notes of amendment and no Markdown.  Supplementary provisions are left out. */
#ifndef LM_DATA_STATUTE_H
#define LM_DATA_STATUTE_H

#include "data/source.h"

/* The records of a row, plain text or an object with "text" (and "title", "ministry", "promulgated", "effective"), appended to
 * `out`.  LM_E_FORMAT where no article is found. */
lm_status lm_statute_records(lm_json *out, const lm_row *row, lm_err *err);

#endif
