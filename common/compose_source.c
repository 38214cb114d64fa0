// SPDX-License-Identifier: Apache-2.0
#include "common/compose_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/compose_value.h"
#include "common/name.h"

#define CHUNK 65536

int compose_source_read(const char *path, size_t max, struct buf *out, struct err *e)
{
    auto_fclose FILE *opened = strcmp(path, "-") != 0 ? fopen(path, "re") : NULL;
    FILE *file = strcmp(path, "-") != 0 ? opened : stdin;
    struct stat st;
    size_t n;

    if (file == NULL) {
        return err_set(e, errno, "cannot be read");
    }
    if (fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode)) {
        return err_say(e, EISDIR, "is a directory (allowed: a file)");
    }
    do {
        if (out->len > max) {
            return err_say(e, EFBIG, "has more than %zu bytes", max);
        }
        buf_reserve(out, CHUNK);
        n = fread(out->data + out->len, 1, CHUNK, file);
        out->len += n;
        out->data[out->len] = '\0';
    } while (n > 0);
    return ferror(file) ? err_set(e, EIO, "cannot be read") : 0;
}

static char *current(void)
{
    char *path = getcwd(NULL, 0);

    return path != NULL ? path : xstrdup("/");
}

char *compose_source_folder(const char *path, const char *directory)
{
    auto_free char *here = current();
    const char *slash = strrchr(path, '/');
    auto_free char *folder = NULL;

    if (directory != NULL) {
        return compose_value_path(here, directory);
    }
    if (slash == NULL || strcmp(path, "-") == 0) {
        return compose_value_path("/", here);
    }
    folder = xstrndup(path, (size_t)(slash - path) + 1);
    return compose_value_path(here, folder);
}

char *compose_source_project(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    struct buf out = {0};

    for (const char *p = slash != NULL ? slash + 1 : folder; *p != '\0'; p++) {
        char c = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
        bool inside = c == '_' || c == '-';

        if (((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (inside && out.len > 0)) &&
            out.len < NAME_MAX_LEN) {
            buf_putc(&out, c);
        }
    }
    return buf_take(&out);
}
