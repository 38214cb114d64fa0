// SPDX-License-Identifier: Apache-2.0
#include "agent/runspec.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/name.h"

#define MEMORY_MIN (512u * 1024)
#define TEXT_MAX   65536

/* ---- values ---- */

/* "64m", "64MiB", "1.5g", "1048576": binary units, as everywhere with containers. */
static int parse_size(const char *value, uint64_t *ret, struct err *e)
{
    static const char units[] = "bkmgt";
    char *end;
    double number = strtod(value, &end);
    const char *unit = *end != '\0' ? strchr(units, *end | 0x20) : units;
    const char *rest = *end != '\0' ? end + 1 : end;

    if (value[0] < '0' || value[0] > '9' || unit == NULL ||
        (*rest != '\0' && strcasecmp(rest, "b") != 0 && strcasecmp(rest, "ib") != 0)) {
        return err_say(e, EINVAL, "'%.80s' is no size, e.g. 64m, 1.5g, 1048576", value);
    }
    for (; unit > units; unit--) {
        number *= 1024;
    }
    if (number < 1 || number > 1e18) {
        return err_say(e, EINVAL, "'%.80s' is out of range", value);
    }
    *ret = (uint64_t)number;
    return 0;
}

static int parse_number(const char *value, uint64_t min, uint64_t max, uint64_t *ret, struct err *e)
{
    char *end;
    unsigned long long number = strtoull(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || *end != '\0' || number < min || number > max) {
        return err_say(e, EINVAL, "'%.80s' is not a number from %llu to %llu", value,
                       (unsigned long long)min, (unsigned long long)max);
    }
    *ret = number;
    return 0;
}

static int add_item(struct runspec_list *list, const char *value, struct err *e)
{
    if (strlen(value) > TEXT_MAX) {
        return err_say(e, EINVAL, "longer than %d bytes", TEXT_MAX);
    }
    if (list->n == RUNSPEC_LIST_MAX) {
        return err_say(e, EINVAL, "given more than %d times", RUNSPEC_LIST_MAX);
    }
    list->items[list->n++] = value;
    return 0;
}

/* ---- options ---- */

static int set_image(void *target, const char *value, struct err *e)
{
    (void)e;
    ((struct runspec *)target)->image = value;
    return 0;
}

static int set_name(void *target, const char *value, struct err *e)
{
    if (!name_is_valid(value)) {
        return err_say(e, EINVAL, "'%.80s': allowed is %s", value, name_rule);
    }
    ((struct runspec *)target)->name = value;
    return 0;
}

static int set_memory(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    int rc = parse_size(value, &s->memory_bytes, e);

    if (rc == 0 && s->memory_bytes < MEMORY_MIN) {
        return err_say(e, EINVAL, "'%.80s' is less than 512k", value);
    }
    return rc;
}

static int set_cpus(void *target, const char *value, struct err *e)
{
    char *end;
    double cpus = strtod(value, &end);

    if (value[0] < '0' || value[0] > '9' || *end != '\0' || cpus < 0.01 || cpus > 4096) {
        return err_say(e, EINVAL, "'%.80s' is not a number of cores from 0.01 to 4096", value);
    }
    ((struct runspec *)target)->cpu_millis = (uint64_t)(cpus * 1000 + 0.5);
    return 0;
}

static int set_pids(void *target, const char *value, struct err *e)
{
    return parse_number(value, 1, 4194304, &((struct runspec *)target)->pids, e);
}

static int set_env(void *target, const char *value, struct err *e)
{
    if (value[0] == '=' || strchr(value, '=') == NULL) {
        return err_say(e, EINVAL, "'%.80s' is not KEY=VALUE", value);
    }
    return add_item(&((struct runspec *)target)->env, value, e);
}

static int set_cap(struct runspec_list *list, const char *value, struct err *e)
{
    if (strncasecmp(value, "CAP_", 4) == 0) {
        value += 4;
    }
    if (value[0] == '\0' || strlen(value) > 32) {
        return err_say(e, EINVAL, "'%.80s' is no capability, e.g. NET_RAW, ALL", value);
    }
    return add_item(list, value, e);
}

static int set_cap_add(void *target, const char *value, struct err *e)
{
    return set_cap(&((struct runspec *)target)->cap_add, value, e);
}

static int set_cap_drop(void *target, const char *value, struct err *e)
{
    return set_cap(&((struct runspec *)target)->cap_drop, value, e);
}

static int add_mount(struct runspec *s, const struct runspec_mount *mount, struct err *e)
{
    s->mounts[s->n_mounts++] = *mount;
    if (mount->target[0] != '/' || strcmp(mount->target, "/") == 0) {
        return err_say(e, EINVAL, "'%.200s' is no absolute path inside the container",
                       mount->target);
    }
    return 0;
}

/* Where SRC is a path, it is one of the host, made absolute here; else a volume's name. */
static int find_source(const char *text, size_t len, struct runspec_mount *ret, struct err *e)
{
    auto_free char *given = xstrndup(text, len);

    if (given[0] == '/' || given[0] == '.') {
        char *real = realpath(given, NULL);

        if (real == NULL) {
            return err_set(e, errno, "find %s", given);
        }
        ret->kind = RUNSPEC_BIND;
        ret->source = real;
        return 0;
    }
    if (!name_is_valid(given)) {
        return err_say(e, EINVAL, "'%.80s' is neither a path nor the name of a volume (%s)", given,
                       name_rule);
    }
    ret->kind = RUNSPEC_VOLUME;
    ret->source = take_ptr(given);
    return 0;
}

static int set_volume(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    const char *colon = strchr(value, ':');
    const char *mode = colon != NULL ? strchr(colon + 1, ':') : NULL;
    struct runspec_mount mount = {0};

    if (colon == NULL || colon == value ||
        (mode != NULL && strcmp(mode, ":ro") != 0 && strcmp(mode, ":rw") != 0)) {
        return err_say(e, EINVAL, "'%.200s' is not SOURCE:TARGET or SOURCE:TARGET:ro", value);
    }
    if (s->n_mounts == RUNSPEC_LIST_MAX) {
        return err_say(e, EINVAL, "given more than %d times", RUNSPEC_LIST_MAX);
    }
    if (find_source(value, (size_t)(colon - value), &mount, e) < 0) {
        return -EINVAL;
    }
    mount.read_only = mode != NULL && strcmp(mode, ":ro") == 0;
    mount.target =
        mode != NULL ? xstrndup(colon + 1, (size_t)(mode - colon - 1)) : xstrdup(colon + 1);
    return add_mount(s, &mount, e);
}

static int set_tmpfs(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    struct runspec_mount mount = {.kind = RUNSPEC_TMPFS};

    if (s->n_mounts == RUNSPEC_LIST_MAX) {
        return err_say(e, EINVAL, "given more than %d times", RUNSPEC_LIST_MAX);
    }
    mount.target = xstrdup(value);
    return add_mount(s, &mount, e);
}

/* "8080:80", "8080:80/udp" */
static int set_publish(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    struct runspec_port port = {0};
    char *end;
    unsigned long published = strtoul(value, &end, 10), inside = 0;
    bool good = value[0] >= '0' && value[0] <= '9' && *end == ':' && end[1] >= '0' && end[1] <= '9';

    if (good) {
        inside = strtoul(end + 1, &end, 10);
        port.udp = strcmp(end, "/udp") == 0;
        good = port.udp || *end == '\0' || strcmp(end, "/tcp") == 0;
    }
    if (!good || published == 0 || published > 65535 || inside == 0 || inside > 65535) {
        return err_say(e, EINVAL, "'%.80s' is not HOST:CONTAINER, e.g. 8080:80 or 53:53/udp",
                       value);
    }
    if (s->n_ports == RUNSPEC_LIST_MAX) {
        return err_say(e, EINVAL, "given more than %d times", RUNSPEC_LIST_MAX);
    }
    port.published = (uint16_t)published;
    port.target = (uint16_t)inside;
    s->ports[s->n_ports++] = port;
    return 0;
}

static int set_user(void *target, const char *value, struct err *e)
{
    (void)e;
    ((struct runspec *)target)->user = value;
    return 0;
}

static int set_workdir(void *target, const char *value, struct err *e)
{
    if (value[0] != '/') {
        return err_say(e, EINVAL, "'%.200s' is no absolute path", value);
    }
    ((struct runspec *)target)->workdir = value;
    return 0;
}

static int set_hostname(void *target, const char *value, struct err *e)
{
    if (!name_is_valid(value)) {
        return err_say(e, EINVAL, "'%.80s': allowed is %s", value, name_rule);
    }
    ((struct runspec *)target)->hostname = value;
    return 0;
}

static int set_entrypoint(void *target, const char *value, struct err *e)
{
    (void)e;
    ((struct runspec *)target)->entrypoint = value;
    return 0;
}

static int set_read_only(void *target, const char *value, struct err *e)
{
    (void)value;
    (void)e;
    ((struct runspec *)target)->read_only = true;
    return 0;
}

static int set_init(void *target, const char *value, struct err *e)
{
    (void)value;
    (void)e;
    ((struct runspec *)target)->init = true;
    return 0;
}

static int set_detach(void *target, const char *value, struct err *e)
{
    (void)value;
    (void)e;
    ((struct runspec *)target)->detach = true;
    return 0;
}

static int set_attach(void *target, const char *value, struct err *e)
{
    (void)value;
    (void)e;
    ((struct runspec *)target)->attach = true;
    return 0;
}

static int set_network(void *target, const char *value, struct err *e)
{
    static const char *const names[] = {
        [RUNSPEC_BRIDGE] = "bridge", [RUNSPEC_HOST] = "host", [RUNSPEC_NONE] = "none"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            ((struct runspec *)target)->network = (enum runspec_network)i;
            return 0;
        }
    }
    return err_say(e, EINVAL, "'%.80s': allowed are bridge, host, none", value);
}

/* "no", "always", "on-failure", "on-failure:5" */
static int set_restart(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    size_t len = strcspn(value, ":");
    uint64_t max = 0;

    if (strcmp(value, "no") == 0) {
        s->restart = RESTART_NEVER;
    } else if (strcmp(value, "always") == 0) {
        s->restart = RESTART_ANY;
    } else if (len == strlen("on-failure") && strncmp(value, "on-failure", len) == 0) {
        s->restart = RESTART_ON_FAILURE;
        if (value[len] == ':' && parse_number(value + len + 1, 1, 1000000, &max, e) < 0) {
            return -EINVAL;
        }
        s->restart_max = (uint32_t)max;
    } else {
        return err_say(e, EINVAL, "'%.80s': allowed are no, always, on-failure, on-failure:COUNT",
                       value);
    }
    return 0;
}

/* "tcp:80", "http:80/healthz", or a text for the shell */
static int set_health(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    bool tcp = strncmp(value, "tcp:", 4) == 0, http = strncmp(value, "http:", 5) == 0;
    const char *port = value + (tcp ? 4 : 5);
    char *end;
    unsigned long number;

    if (!tcp && !http) {
        s->health = RUNSPEC_HEALTH_EXEC;
        s->health_text = value;
        return 0;
    }
    number = strtoul(port, &end, 10);
    if (port[0] < '0' || port[0] > '9' || number == 0 || number > 65535 ||
        *end != (http && *end != '\0' ? '/' : '\0')) {
        return err_say(e, EINVAL, "'%.80s' is not tcp:PORT or http:PORT/PATH", value);
    }
    s->health = tcp ? RUNSPEC_HEALTH_TCP : RUNSPEC_HEALTH_HTTP;
    s->health_port = (uint16_t)number;
    s->health_text = *end == '/' ? end : "/";
    return 0;
}

static int set_stop_signal(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    const char *name = strncasecmp(value, "SIG", 3) == 0 ? value + 3 : value;
    uint64_t number;

    for (uint32_t i = 1; i < 32; i++) {
        if (sigabbrev_np((int)i) != NULL && strcasecmp(sigabbrev_np((int)i), name) == 0) {
            s->stop_signal = i;
            return 0;
        }
    }
    if (parse_number(value, 1, 64, &number, NULL) < 0) {
        return err_say(e, EINVAL, "'%.80s' is no signal, e.g. TERM, 15", value);
    }
    s->stop_signal = (uint32_t)number;
    return 0;
}

static int set_stop_timeout(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    uint64_t seconds = 0;
    int rc = parse_number(value, 0, 86400, &seconds, e);

    if (rc == 0) {
        s->stop_grace_ms = seconds > 0 ? seconds * 1000 : 1; /* 0 in the document: the default */
    }
    return rc;
}

static int set_tail(void *target, const char *value, struct err *e)
{
    struct runspec *s = target;
    uint64_t lines = 0;

    if (strcmp(value, "all") == 0) {
        s->tail_all = true;
        return 0;
    }
    if (parse_number(value, 0, 1000000, &lines, NULL) < 0) {
        return err_say(e, EINVAL, "'%.80s' is neither a number of lines nor 'all'", value);
    }
    s->tail = (uint32_t)lines;
    return 0;
}

const struct optable_row runspec_rows[] = {
    {"image", 0, "IMAGE", "name or digest of a loaded image (required)", set_image},
    {"name", 0, "NAME", "of the container (default: made up)", set_name},
    {"memory", 'm', "SIZE", "limit, e.g. 64m, 1.5g", set_memory},
    {"cpus", 0, "NUMBER", "limit in cores, e.g. 0.5", set_cpus},
    {"pids", 0, "NUMBER", "limit of processes and threads (default 1024)", set_pids},
    {"env", 'e', "KEY=VALUE", "may be repeated, like the next five", set_env},
    {"volume", 'v', "SRC:DST[:ro]", "SRC is a path of the host or the name of a volume",
     set_volume},
    {"tmpfs", 0, "DST", "an empty file system in memory", set_tmpfs},
    {"publish", 'p', "HOST:PORT[/udp]", "makes a port of the container one of the host",
     set_publish},
    {"cap-add", 0, "CAP", "adds a capability, e.g. NET_RAW", set_cap_add},
    {"cap-drop", 0, "CAP", "takes one away; ALL: all", set_cap_drop},
    {"user", 'u', "USER", "name or id, with :GROUP if wanted", set_user},
    {"workdir", 'w', "DIR", "its current directory", set_workdir},
    {"entrypoint", 0, "PROGRAM", "instead of the image's", set_entrypoint},
    {"hostname", 0, "NAME", "what it calls itself (default: made of its name)", set_hostname},
    {"read-only", 0, NULL, "its root file system cannot be written", set_read_only},
    {"init", 0, NULL, "a process that reaps orphans is its first one", set_init},
    {"network", 0, "MODE", "bridge (default), host or none", set_network},
    {"restart", 0, "WHEN", "no (default), always, on-failure[:COUNT]", set_restart},
    {"health", 0, "CHECK",
     "tcp:PORT, http:PORT/PATH or a text for the shell, each second;\n"
     "what comes of it is said (default: the image's check)",
     set_health},
    {"stop-signal", 0, "SIGNAL", "what it is asked to end with (default: the image's, TERM)",
     set_stop_signal},
    {"stop-timeout", 0, "SECONDS", "then it is killed (default 10)", set_stop_timeout},
    {"detach", 'd', NULL, "leave it running, print its name", set_detach},
    {"attach", 'a', NULL, "instead of a new one: go on with one that is still here", set_attach},
    {"tail", 0, "LINES", "with --attach: of its earlier output show this much, or all", set_tail},
};
const unsigned runspec_rows_n = ARRAY_LEN(runspec_rows);

void runspec_init(struct runspec *spec)
{
    *spec = (struct runspec){.restart = RESTART_NEVER};
}

void runspec_finish(struct runspec *spec)
{
    for (unsigned i = 0; i < spec->n_mounts; i++) {
        free(spec->mounts[i].source);
        free(spec->mounts[i].target);
    }
    *spec = (struct runspec){0};
}

int runspec_check(const struct runspec *s, struct err *e)
{
    if (s->attach && (s->image != NULL || s->argc > 0)) {
        return err_say(e, EINVAL,
                       "--attach goes on with a container: it takes no --image and no "
                       "command");
    }
    if (s->attach && s->detach) {
        return err_say(e, EINVAL, "--attach and --detach exclude each other");
    }
    if (!s->attach && s->image == NULL) {
        return err_say(e, EINVAL, "--image says which image; `wherry-agent image ls` lists them");
    }
    if (s->network != RUNSPEC_BRIDGE && s->n_ports > 0) {
        return err_say(e, EINVAL, "--publish needs --network bridge");
    }
    return 0;
}
