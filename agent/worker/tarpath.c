// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/tarpath.h"

#include <errno.h>
#include <string.h>

#define PART_MAX 255

int tarpath_clean(const char *raw, char ret_path[TARPATH_MAX], struct err *e)
{
    char path[TARPATH_MAX];
    size_t len = 0;
    const char *p = raw;

    if (raw[0] == '/') {
        return err_say(e, EINVAL, "name is absolute");
    }
    while (*p != '\0') {
        size_t part = strcspn(p, "/");

        if (part == 2 && p[0] == '.' && p[1] == '.') {
            return err_say(e, EINVAL, "name has a '..' part");
        }
        if (part > PART_MAX) {
            return err_say(e, ENAMETOOLONG, "name has a part longer than %d bytes", PART_MAX);
        }
        if (part > 0 && !(part == 1 && p[0] == '.')) {
            if (len + part + 2 > sizeof(path)) {
                return err_say(e, ENAMETOOLONG, "name is longer than %d bytes", TARPATH_MAX - 1);
            }
            if (len > 0) {
                path[len++] = '/';
            }
            memcpy(path + len, p, part);
            len += part;
        }
        p += part;
        p += *p == '/';
    }
    path[len] = '\0';
    memcpy(ret_path, path, len + 1);
    return 0;
}

enum tarpath_kind tarpath_kind(const char *base, const char **ret_hidden)
{
    const char *hidden = base + 4;

    *ret_hidden = base;
    if (strncmp(base, ".wh.", 4) != 0) {
        return TARPATH_PLAIN;
    }
    if (strcmp(base, ".wh..wh..opq") == 0) {
        return TARPATH_OPAQUE;
    }
    if (strncmp(hidden, ".wh.", 4) == 0) {
        return TARPATH_IGNORED;
    }
    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0) {
        return TARPATH_BAD;
    }
    *ret_hidden = hidden;
    return TARPATH_WHITEOUT;
}

const char *tarpath_split(const char *path, char ret_dir[TARPATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;

    memcpy(ret_dir, path, len);
    ret_dir[len] = '\0';
    return slash != NULL ? slash + 1 : path;
}

const char *tarpath_show(const char *raw, char scratch[TARPATH_SHOW])
{
    size_t len = 0;

    for (; raw[len] != '\0'; len++) {
        if (len == TARPATH_SHOW - 8) {
            memcpy(scratch + len, "...", 4);
            return scratch;
        }
        scratch[len] = raw[len] >= 0x20 && raw[len] < 0x7f ? raw[len] : '?';
    }
    scratch[len] = '\0';
    return scratch;
}
