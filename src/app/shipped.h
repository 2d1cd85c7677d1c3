/* Files that come with the program: beside it in a build, under share/malmoi where it is installed. */
#ifndef LM_APP_SHIPPED_H
#define LM_APP_SHIPPED_H

#include "base/err.h"
#include "base/option.h"

/* The folder `name` ("templates"): in that of the program, or in ../share/malmoi from there; the caller frees.
 * LM_E_IO where it is nowhere. */
lm_status lm_shipped_folder(char **out, const char *name, lm_err *err);

/* The names of its files that end in `ending`, without it, sorted; the caller frees with lm_strings_free. */
lm_status lm_shipped_names(lm_strings *out, const char *folder, const char *ending, lm_err *err);

/* The file `name` with that ending in it; LM_E_USAGE with the nearest name there is.  The caller frees. */
lm_status lm_shipped_file(char **out, const char *folder, const char *name, const char *ending, lm_err *err);

#endif
