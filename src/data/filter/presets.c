/* Filters that go together, in their order. */
#include "data/filter.h"

static const char *const gopher[] = { "length", "word-length", "symbols", "alphabetic", "bullets", "stop-words:language=en", "repetition", NULL };
static const char *const c4[] = { "markup", "c4", NULL };
static const char *const fineweb[] = { "markup", "unicode", "length", "word-length", "symbols", "alphabetic", "bullets", "stop-words:language=en", "repetition",
                                       "c4:terminal=false", "fineweb", "personal:kinds=email+ip", NULL };
static const char *const korean[] = { "unicode", "markup", "boilerplate", "script:scripts=hangul,min=0.5", "length:min-words=20", "word-length:min=1.5,max=8", "symbols:max-hash=0.3", "ratios",
                                      "stop-words:language=ko", "bullets", "repetition", "personal", NULL };

const lm_preset lm_presets[] = {
    { "gopher", "Rae et al. 2021, A1.1", "quality and repetition of English documents", gopher },
    { "c4", "Raffel et al. 2020, section 2.2", "lines of web pages that are sentences", c4 },
    { "fineweb", "Penedo et al. 2024, section 3", "Gopher, C4 without its terminal punctuation, and FineWeb's own rules", fineweb },
    { "korean", "own choice of bounds", "Korean documents: repaired, in Hangul, not repetitive, personal data masked", korean },
    { 0 },
};
