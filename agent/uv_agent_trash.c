// SPDX-License-Identifier: Apache-2.0
/* Discarded volumes are deleted by a process of their own (cmd_sweep.h), one at a time, started
 * when something was discarded and at the agent's start, in case an earlier one was interrupted. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/uv_agent_priv.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"

static bool is_empty(const struct uv_agent *a)
{
    auto_free char *path = xasprintf("%s/.trash", a->volumes.path);
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] != '.' || (d->d_name[1] != '\0' && d->d_name[1] != '.')) {
            return false;
        }
    }
    return true;
}

static void on_sweeper_closed(uv_handle_t *handle)
{
    struct uv_agent *a = container_of((uv_process_t *)handle, struct uv_agent, sweeper);

    a->sweeping = false;
    if (a->sweep_again && !a->closing) {
        uv_agent_trash_sweep(a);
    }
    uv_agent_release(a);
}

static void on_sweeper_exit(uv_process_t *process, int64_t code, int number)
{
    struct uv_agent *a = container_of(process, struct uv_agent, sweeper);

    if ((code != 0 || number != 0) && !a->closing) {
        log_warn("discarded volumes could not be deleted (code %d); tried again at the next start",
                 (int)code);
    }
    uv_close((uv_handle_t *)process, on_sweeper_closed);
}

void uv_agent_trash_sweep(struct uv_agent *a)
{
    char *args[] = {(char *)"wherry-agent", (char *)"sweep-trash", (char *)"--state",
                    a->dirs.state_path, NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {.file = a->sweeper_program,
                                    .args = args,
                                    .exit_cb = on_sweeper_exit,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio)};
    int rc;

    a->sweep_again = a->sweeping;
    if (a->sweeping || is_empty(a)) {
        return;
    }
    a->sweeping = true;
    uv_agent_hold(a);
    FAILPOINT("agent.trash.before_spawn");
    rc = uv_spawn(a->loop, &a->sweeper, &options);
    if (rc < 0) {
        log_warn("wherry-agent sweep-trash cannot be started: %s", uv_strerror(rc));
        uv_close((uv_handle_t *)&a->sweeper, on_sweeper_closed);
    }
}

/* ---- discarding ---- */

/* Whether it has ended and shall not run again. Its remains may still be on their way out, after
 * the controller has heard of its end. */
static bool is_over(const struct uv_agent *a, const struct unit *u)
{
    const struct node_container *c = node_find(a->node, u->incarnation);

    return c == NULL || c->state == LIFECYCLE_LEAVING ||
           (c->state == LIFECYCLE_DONE && c->want.stop);
}

static bool mounts(const struct unit *u, const char *volume)
{
    struct order_mount mount;

    for (unsigned i = 0; u->order != NULL && order_mount(u->order, i, &mount); i++) {
        if (mount.kind == ORDER_MOUNT_VOLUME && strcmp(mount.source, volume) == 0) {
            return true;
        }
    }
    return false;
}

static const struct unit *user_of(const struct uv_agent *a, const char *volume)
{
    const struct unit *u = a->units;

    while (u != NULL && (is_over(a, u) || !mounts(u, volume))) {
        u = u->next;
    }
    return u;
}

void uv_agent_trash_discard(struct uv_agent *a, const char *volume, char *ret_error, size_t size)
{
    const struct unit *user = user_of(a, volume);
    struct err e = {0};
    int rc;

    ret_error[0] = '\0';
    if (user != NULL) {
        (void)snprintf(ret_error, size, "volume %.100s is used by %s", volume, user->name);
        return;
    }
    rc = volumes_discard(&a->volumes, volume, &e);
    if (rc < 0 && rc != -ENOENT) {
        (void)snprintf(ret_error, size, "%s", e.text);
    }
    uv_agent_trash_sweep(a);
}

void uv_agent_trash_cancel(struct uv_agent *a)
{
    if (a->sweeping && !uv_is_closing((const uv_handle_t *)&a->sweeper)) {
        (void)uv_process_kill(&a->sweeper, SIGTERM); /* the next agent goes on with it */
    }
}
