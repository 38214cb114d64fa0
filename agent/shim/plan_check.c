// SPDX-License-Identifier: Apache-2.0
#include "agent/shim/plan_check.h"

#include <errno.h>
#include <string.h>

#include "agent/image.h"
#include "common/cleanup.h"

#define HOSTNAME_MAX 64 /* __NEW_UTS_LEN */

static bool is_printable(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Whether a component is "", "." or "..". */
static bool has_odd_component(const char *path)
{
    const char *at = path + 1;

    if (path[1] == '\0') {
        return false;
    }
    for (;;) {
        size_t n = strcspn(at, "/");

        if (n == 0 || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.')) {
            return true;
        }
        if (at[n] == '\0') {
            return false;
        }
        at += n + 1;
    }
}

int plan_check_path(const char *what, const char *path, struct err *e)
{
    if (path == NULL || path[0] != '/') {
        return err_say(e, EINVAL, "%s \"%.100s\": not an absolute path", what,
                       path != NULL ? path : "");
    }
    if (strlen(path) >= PLAN_PATH_MAX) {
        return err_say(e, EINVAL, "%s \"%.60s…\": longer than %d bytes", what, path,
                       PLAN_PATH_MAX - 1);
    }
    if (!is_printable(path)) {
        return err_say(e, EINVAL, "%s: a path with control characters", what);
    }
    if (has_odd_component(path)) {
        return err_say(e, EINVAL, "%s \"%.100s\": empty, \".\" or \"..\" component", what, path);
    }
    return 0;
}

int plan_check_line(const char *what, const char *text, size_t max, struct err *e)
{
    if (strlen(text) > max) {
        return err_say(e, EINVAL, "%s \"%.60s…\": longer than %zu bytes", what, text, max);
    }
    if (!is_printable(text)) {
        return err_say(e, EINVAL, "%s: control characters", what);
    }
    return 0;
}

int plan_check_strings(const char *what, const char *const *strings, unsigned n, unsigned min,
                       struct err *e)
{
    size_t len = 0;

    if (n < min || n > PLAN_STRINGS_MAX) {
        return err_say(e, n < min ? EINVAL : E2BIG, "%s of %u words; %u to %d", what, n, min,
                       PLAN_STRINGS_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        len += strlen(strings[i]) + 1;
    }
    if (len > PLAN_STRINGS_LEN) {
        return err_say(e, E2BIG, "%s of %zu bytes; at most %d", what, len, PLAN_STRINGS_LEN);
    }
    return 0;
}

int plan_check_env(const char *const *env, unsigned n, struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        if (env[i][0] == '=' || strchr(env[i], '=') == NULL) {
            return err_say(e, EINVAL, "environment \"%.60s\": not KEY=value", env[i]);
        }
    }
    return 0;
}

int plan_check_layers(const char *const *layers, unsigned n, struct err *e)
{
    if (n == 0 || n > IMAGE_LAYERS_MAX) {
        return err_say(e, EINVAL, "%u layers; 1 to %d", n, IMAGE_LAYERS_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        if (layers[i][0] == '\0' || strlen(layers[i]) >= IMAGE_LINK_MAX ||
            strspn(layers[i], "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(layers[i])) {
            return err_say(e, EINVAL, "layer \"%.60s\": not a name of the layer store", layers[i]);
        }
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(layers[i], layers[k]) == 0) {
                return err_say(e, EINVAL, "layer \"%s\" twice", layers[i]);
            }
        }
    }
    return 0;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static int check_target(const char *target, struct err *e)
{
    static const char *const ours[] = {"/proc", "/sys", "/dev"};
    int rc = plan_check_path("mount target", target, e);

    if (rc < 0) {
        return rc;
    }
    if (strcmp(target, "/") == 0) {
        return err_say(e, EINVAL, "mount target /: the root is the image's");
    }
    for (unsigned i = 0; i < ARRAY_LEN(ours); i++) {
        if (is_below(target, ours[i]) && strcmp(target, "/dev/shm") != 0) {
            return err_say(e, EINVAL, "mount target %.100s: %s is not the user's (but /dev/shm)",
                           target, ours[i]);
        }
    }
    return 0;
}

static int check_mount(const struct plan_mount *m, struct err *e)
{
    int rc = check_target(m->target, e);

    if (rc == 0 && m->kind == PLAN_MOUNT_BIND) {
        rc = plan_check_path("mount source", m->source, e);
    }
    if (rc == 0 && m->mode > 07777) {
        rc = err_say(e, EINVAL, "tmpfs mode 0%o on %.100s", m->mode, m->target);
    }
    return rc;
}

int plan_check_mounts(const struct plan_mount *mounts, unsigned n, struct err *e)
{
    if (n > PLAN_MOUNTS_MAX) {
        return err_say(e, E2BIG, "%u mounts; at most %d", n, PLAN_MOUNTS_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        int rc = check_mount(&mounts[i], e);

        if (rc < 0) {
            return rc;
        }
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(mounts[i].target, mounts[k].target) == 0) {
                return err_say(e, EINVAL, "mount target %.100s twice", mounts[i].target);
            }
        }
    }
    return 0;
}

int plan_check_hostname(const char *hostname, struct err *e)
{
    size_t n = strlen(hostname);

    if (n == 0 || n > HOSTNAME_MAX ||
        strspn(hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
            n) {
        return err_say(e, EINVAL, "hostname \"%.70s\": 1 to %d letters, digits, '-', '_', '.'",
                       hostname, HOSTNAME_MAX);
    }
    return 0;
}
