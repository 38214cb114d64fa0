// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_parts.h"
#include "common/compose_rule.h"
#include "common/compose_value.h"

/* "~" is the home of who runs the reader, as in Compose; other relative paths start at the file. */
static char *host_path(const struct compose_element *m, const char *text)
{
    if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
        const char *home = compose_env_get(&m->r->env, "HOME");

        return compose_value_path(home != NULL ? home : "/",
                                  text[1] == '/' ? text + 2 : "."); /* "~//x" too */
    }
    return compose_value_path(m->r->directory, text);
}

static bool set_source(const struct compose_element *m, Wherry__Spec__Mount *mount)
{
    auto_free char *path = NULL;

    if (mount->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS) {
        if (mount->source[0] != '\0') {
            compose_reader_fail(m->r, m->at, m->node, "a tmpfs has no source");
        }
        return mount->source[0] == '\0';
    }
    if (mount->source[0] == '\0') {
        compose_reader_fail(m->r, m->at, m->node, "has no source%s",
                            mount->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND
                                ? ": the path on the host"
                                : ": volumes without a name are not supported yet (allowed: "
                                  "NAME:PATH with NAME below the top-level \"volumes\")");
        return false;
    }
    if (mount->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND) {
        path = host_path(m, mount->source);
        mount->source = compose_reader_copy(m->r, path);
        return true;
    }
    if (m->r->volumes == NULL || compose_tree_get(m->r->volumes, mount->source) == NULL) {
        compose_reader_fail(m->r, m->at, m->node,
                            "there is no volume \"%.100s\" below the top-level \"volumes\" (a host "
                            "path begins with \"/\", \"./\" or \"~/\")",
                            mount->source);
        return false;
    }
    return true;
}

/* Checks what both syntaxes share, and keeps the mount. */
static void add(const struct compose_element *m, Wherry__Spec__Mount *mount)
{
    Wherry__Spec__Container *c = m->service->container;
    auto_free char *target = compose_value_path("/", mount->target);
    struct err e;

    if (mount->target[0] != '/' || compose_rule_target(target, &e) < 0) {
        compose_reader_fail(m->r, m->at, m->node, "%s",
                            mount->target[0] == '/' ? e.text
                                                    : "the path in the container must be absolute");
        return;
    }
    if (!set_source(m, mount)) {
        return;
    }
    mount->target = compose_reader_copy(m->r, target);
    for (size_t i = 0; i < c->n_mounts; i++) {
        if (strcmp(c->mounts[i]->target, mount->target) == 0) {
            compose_reader_fail(m->r, m->at, m->node, "\"%.200s\" is mounted on twice", target);
            return;
        }
    }
    if (c->n_mounts == COMPOSE_MOUNTS_MAX) {
        compose_reader_fail(m->r, m->at, m->node, "is one mount too many (allowed: %u)",
                            COMPOSE_MOUNTS_MAX);
        return;
    }
    compose_reader_push(m->r, &c->mounts, &c->n_mounts, mount);
}

/* ---- short syntax ---- */

/* One word of the third part. */
static bool set_option(const struct compose_element *m, Wherry__Spec__Mount *mount,
                       const char *word)
{
    /* What has no effect on Linux, what is so anyway, and what only SELinux reads. */
    static const char *const accepted[] = {"rw",         "cached",   "delegated",
                                           "consistent", "rprivate", "private"};

    if (strcmp(word, "ro") == 0) {
        mount->read_only = true;
        return true;
    }
    if (strcmp(word, "nocopy") == 0 && mount->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME) {
        mount->nocopy = true;
        return true;
    }
    if (strcasecmp(word, "z") == 0) {
        compose_reader_later(m->r, m->at, m->node, "SELinux label \"%s\" is not supported yet",
                             word);
        return true;
    }
    for (unsigned i = 0; i < ARRAY_LEN(accepted); i++) {
        if (strcmp(word, accepted[i]) == 0) {
            return true;
        }
    }
    compose_reader_fail(m->r, m->at, m->node, "unknown option \"%.100s\" (allowed: ro, rw, nocopy)",
                        word);
    return false;
}

static bool set_options(const struct compose_element *m, Wherry__Spec__Mount *mount, char *words)
{
    char *rest = words, *word;

    while ((word = strsep(&rest, ",")) != NULL) {
        if (!set_option(m, mount, word)) {
            return false;
        }
    }
    return true;
}

static bool is_host_path(const char *text)
{
    return text[0] == '/' || text[0] == '.' || text[0] == '~';
}

/* [SOURCE:]TARGET[:OPTIONS] */
static void read_short(const struct compose_element *m, const char *text)
{
    Wherry__Spec__Mount *mount = compose_reader_message(m->r, &wherry__spec__mount__descriptor);
    char *rest = compose_reader_copy(m->r, text);
    char *first = strsep(&rest, ":"), *second = strsep(&rest, ":");

    if (second == NULL) {
        mount->target = first;
    } else {
        mount->source = first;
        mount->target = second;
    }
    if (second != NULL && is_host_path(first)) {
        mount->type = WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND;
        mount->create_host_path = true;
    }
    if (rest != NULL && !set_options(m, mount, rest)) {
        return;
    }
    add(m, mount);
}

/* ---- long syntax ---- */

/* What belongs to another type of mount is not dropped in silence. */
static bool check_parts(const struct compose_element *m, const Wherry__Spec__Mount *mount)
{
    static const struct {
        const char *key;
        Wherry__Spec__MountType type;
    } rows[] = {{"bind", WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND},
                {"volume", WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME},
                {"tmpfs", WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct compose_node *part = compose_tree_get(m->node, rows[i].key);

        if (part != NULL && !compose_tree_is_null(part) && mount->type != rows[i].type) {
            compose_reader_fail(m->r, m->at, part, "\"%s\" is for mounts of another type",
                                rows[i].key);
            return false;
        }
    }
    return true;
}

static void read_long(const struct compose_element *m)
{
    Wherry__Spec__Mount *mount = compose_reader_message(m->r, &wherry__spec__mount__descriptor);
    unsigned errors = m->r->result->errors.n + m->r->result->errors.left_out;
    const struct compose_node *bind = compose_tree_get(m->node, "bind");

    compose_object_read(m->r, &compose_table_mount, m->at, m->node, &mount->base);
    if (errors != m->r->result->errors.n + m->r->result->errors.left_out ||
        !check_parts(m, mount)) {
        return;
    }
    if (mount->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND &&
        (bind == NULL || compose_tree_get(bind, "create_host_path") == NULL)) {
        mount->create_host_path = true;
    }
    add(m, mount);
}

void compose_mounts_read(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    (void)row;
    compose_list_elements(r, at, node, message, read_short, read_long);
}

/* ---- tmpfs ---- */

void compose_mounts_mode(struct compose_reader *r, const struct compose_row *row,
                         const struct compose_at *at, const struct compose_node *node,
                         ProtobufCMessage *message)
{
    const char *text = compose_reader_text(r, at, node);
    struct err e;

    (void)row;
    if (text != NULL &&
        compose_value_mode(text, &((Wherry__Spec__Mount *)message)->tmpfs_mode, &e) < 0) {
        compose_reader_fail(r, at, node, "%s", e.text);
    }
}

/* "size=64m", "mode=1777"; what the sandbox sets anyway is accepted. */
static int set_tmpfs_option(Wherry__Spec__Mount *mount, const char *word, struct err *e)
{
    static const char *const accepted[] = {"rw", "nosuid", "nodev"};

    for (unsigned i = 0; i < ARRAY_LEN(accepted); i++) {
        if (strcmp(word, accepted[i]) == 0) {
            return 0;
        }
    }
    if (strncmp(word, "size=", 5) == 0) {
        return compose_value_bytes(word + 5, &mount->tmpfs_size_bytes, e);
    }
    if (strncmp(word, "mode=", 5) == 0) {
        return compose_value_mode(word + 5, &mount->tmpfs_mode, e);
    }
    if (strcmp(word, "ro") == 0) {
        mount->read_only = true;
        return 0;
    }
    return err_say(e, 0, "unknown option \"%.100s\" (allowed: size=, mode=, ro, rw)", word);
}

static void read_tmpfs(const struct compose_element *m, const char *text)
{
    Wherry__Spec__Mount *mount = compose_reader_message(m->r, &wherry__spec__mount__descriptor);
    char *rest = compose_reader_copy(m->r, text), *word;
    struct err e;

    mount->type = WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS;
    mount->target = strsep(&rest, ":");
    while ((word = strsep(&rest, ",")) != NULL) {
        if (set_tmpfs_option(mount, word, &e) < 0) {
            compose_reader_fail(m->r, m->at, m->node, "%s", e.text);
            return;
        }
    }
    add(m, mount);
}

void compose_mounts_tmpfs(struct compose_reader *r, const struct compose_row *row,
                          const struct compose_at *up, const struct compose_node *node,
                          ProtobufCMessage *message)
{
    struct compose_element m = {
        .r = r, .at = up, .node = node, .service = (Wherry__Spec__Service *)message};

    (void)row;
    if (node->kind == COMPOSE_SCALAR && !compose_tree_is_null(node)) {
        read_tmpfs(&m, node->text);
        return;
    }
    if (!compose_reader_is_list(r, up, node)) {
        return;
    }
    for (unsigned i = 0; i < node->n; i++) {
        const struct compose_at at = {.up = up, .index = i};

        m.at = &at;
        m.node = node->entries[i].value;
        if (!m.node->broken && compose_reader_text(r, &at, m.node) != NULL) {
            read_tmpfs(&m, m.node->text);
        }
    }
}
