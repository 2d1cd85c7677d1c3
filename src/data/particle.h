/* Korean particles, which follow the sound that a word ends in: 을 or 를, 이 or 가, 은 or 는, 으로 or 로. */
#ifndef LM_DATA_PARTICLE_H
#define LM_DATA_PARTICLE_H

#include "base/str.h"

typedef enum lm_final { LM_FINAL_UNKNOWN, LM_FINAL_VOWEL, LM_FINAL_L, LM_FINAL_CONSONANT } lm_final;

/* The last sound as it is read in Korean: of a syllable, a figure (3 is 삼), a letter of an abbreviation (L is 엘) or, by
 * rule of thumb, of an English word.  Signs at the end do not count, nor does what stands in brackets behind a word: 위해(危害)
 * ends like 위해. */
lm_final lm_korean_final(lm_span text);

/* Appends `with` behind a consonant and `without` behind a vowel, or "을(를)" where nobody knows.  으로 and what begins
 * with it count ㄹ as a vowel. */
void lm_korean_particle(lm_str *out, lm_span text, const char *with, const char *without);

#endif
