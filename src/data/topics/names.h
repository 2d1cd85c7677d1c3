/* What a topic is called: the words that its texts have and others do not.
 *
 *   score(w, k) = p(w | k) log(p(w | k) / p(w))        shares of texts with the word, in the topic and in all
 *
 * which is what the word adds to the divergence of the topic from the whole.  Words are runs of letters in lower case;
 * the commonest function words do not count, and Korean ones count without a particle or ending that is plainly one. */
#ifndef LM_DATA_TOPICS_NAMES_H
#define LM_DATA_TOPICS_NAMES_H

#include "base/option.h"
#include "base/str.h"

enum { LM_TOPIC_WORDS = 10 };

/* The best words of each of k topics, at most LM_TOPIC_WORDS; topic[i] of n texts is -1 where it has none. */
void lm_topic_words(lm_strings *words, int k, const lm_span *texts, const int *topic, int64_t n);

#endif
