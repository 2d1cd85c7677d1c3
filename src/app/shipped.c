#include "app/shipped.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

lm_status lm_shipped_folder(char **out, const char *name, lm_err *err)
{
    static const char *const places[] = { "", "../share/malmoi/" };
    char program[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash) slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        lm_str path = {0};
        lm_str_printf(&path, "%s%s%s", program, places[i], name);
        *out = lm_str_take(&path);
        if (lm_is_dir(*out)) return LM_OK;
        free(*out);
    }
    *out = NULL;
    return lm_fail(err, LM_E_IO, "%s%s: there is no such folder, nor ../share/malmoi/%s", program, name, name);
}

lm_status lm_shipped_names(lm_strings *out, const char *folder, const char *ending, lm_err *err)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    *out = (lm_strings){0};
    if (n < 0) return lm_fail(err, LM_E_IO, "%s: cannot list the folder", folder);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (*name != '.' && lm_ends_with(name, ending)) lm_strings_push(out, lm_strndup(name, strlen(name) - strlen(ending)));
        free(entries[i]);
    }
    free(entries);
    return LM_OK;
}

lm_status lm_shipped_file(char **out, const char *folder, const char *name, const char *ending, lm_err *err)
{
    lm_strings names;
    LM_TRY(lm_shipped_names(&names, folder, ending, err));
    lm_str path = {0};
    const char **list = lm_calloc((size_t)names.n + 1, sizeof *list);
    for (int i = 0; i < names.n; i++) {
        list[i] = names.items[i];
        if (!strcmp(name, names.items[i])) lm_str_printf(&path, "%s/%s%s", folder, name, ending);
    }
    *out = path.len ? lm_str_take(&path) : NULL;
    const char *nearest = lm_nearest(name, list);
    lm_status status = *out ? LM_OK : lm_fail(err, LM_E_USAGE, "%s: %s has none of that name%s%s", name, folder, nearest ? "; the nearest is " : "", nearest ? nearest : "");
    free(list);
    lm_strings_free(&names);
    return status;
}
