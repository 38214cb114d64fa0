// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/idrange.h"
#include "common/cleanup.h"
#include "common/name.h"
#include "common/rate.h"

#define CGROUP_MAX 200

/* ---- where things are ---- */

static int set_path(const char **ret, const char *value, struct err *e)
{
    if (value[0] != '/') {
        return err_say(e, EINVAL, "'%.200s' is no absolute path", value);
    }
    if (strlen(value) > PATH_MAX / 2) {
        return err_say(e, EINVAL, "the path is longer than %d characters", PATH_MAX / 2);
    }
    *ret = value;
    return 0;
}

static int set_state(void *target, const char *value, struct err *e)
{
    return set_path(&((struct options *)target)->state_path, value, e);
}

static int set_run(void *target, const char *value, struct err *e)
{
    return set_path(&((struct options *)target)->run_path, value, e);
}

static int set_bin(void *target, const char *value, struct err *e)
{
    return set_path(&((struct options *)target)->bin_path, value, e);
}

/* Names joined by '/': a group may lie in another. */
static int set_cgroup(void *target, const char *value, struct err *e)
{
    const char *at = value;
    bool good = strlen(value) < CGROUP_MAX;

    while (good) {
        size_t len = strcspn(at, "/");
        auto_free char *part = xstrndup(at, len);

        good = name_is_valid(part);
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    if (!good) {
        return err_say(e, EINVAL, "'%.80s': allowed is %s, and several joined by '/'", value,
                       name_rule);
    }
    ((struct options *)target)->cgroup = value;
    return 0;
}

/* "BASE:COUNT" */
static int set_ids(void *target, const char *value, struct err *e)
{
    struct options *o = target;
    char *end;
    unsigned long long base = strtoull(value, &end, 10), count;

    if (value[0] < '0' || value[0] > '9' || *end != ':' || end[1] < '0' || end[1] > '9') {
        return err_say(e, EINVAL, "'%.80s' is not BASE:COUNT, e.g. 524288:65536000", value);
    }
    count = strtoull(end + 1, &end, 10);
    if (*end != '\0' || base > IDRANGE_LIMIT || count > IDRANGE_LIMIT || count == 0) {
        return err_say(e, EINVAL, "'%.80s': ids end at %u", value, IDRANGE_LIMIT);
    }
    o->id_base = (uint32_t)base;
    o->id_count = (uint32_t)count;
    return 0;
}

static int set_level(void *target, const char *value, struct err *e)
{
    if (log_level_parse(value, &((struct options *)target)->level) < 0) {
        return err_say(e, EINVAL, "'%.80s': allowed are error, warn, info, debug", value);
    }
    return 0;
}

/* ---- who it is ---- */

static bool is_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port > 0 && port <= 65535;
}

static int set_controller(void *target, const char *value, struct err *e)
{
    const char *colon = strrchr(value, ':');

    if (colon == NULL || colon == value || !is_port(colon + 1)) {
        return err_say(e, EINVAL, "'%.80s' is not ADDR:PORT, e.g. 192.0.2.1:7420", value);
    }
    ((struct options *)target)->controller = value;
    return 0;
}

static int set_name(void *target, const char *value, struct err *e)
{
    if (!name_is_valid(value)) {
        return err_say(e, EINVAL, "'%.80s': allowed is %s", value, name_rule);
    }
    ((struct options *)target)->name = value;
    return 0;
}

static int set_address(void *target, const char *value, struct err *e)
{
    struct in_addr in;

    if (inet_pton(AF_INET, value, &in) != 1 || in.s_addr == htonl(INADDR_ANY)) {
        return err_say(e, EINVAL, "'%.80s' is no IPv4 address by which others reach this host",
                       value);
    }
    ((struct options *)target)->address = value;
    return 0;
}

static bool is_label_key(const char *text, size_t len)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

    return len > 0 && len <= 128 && strspn(text, allowed) == len;
}

static int set_label(void *target, const char *value, struct err *e)
{
    struct options *o = target;
    size_t key = strcspn(value, "=");

    if (value[key] != '=' || !is_label_key(value, key)) {
        return err_say(e, EINVAL, "'%.80s' is not KEY=VALUE with a key of [A-Za-z0-9._/-]", value);
    }
    if (strlen(value) > OPTIONS_TEXT_MAX) {
        return err_say(e, EINVAL, "longer than %d bytes", OPTIONS_TEXT_MAX);
    }
    if (o->n_labels == OPTIONS_LABELS_MAX) {
        return err_say(e, EINVAL, "more than %d labels", OPTIONS_LABELS_MAX);
    }
    o->labels[o->n_labels++] = value;
    return 0;
}

static int set_bandwidth(void *target, const char *value, struct err *e)
{
    struct options *o = target;
    int rc = rate_parse(value, &o->bandwidth_bits, e);

    if (rc == 0 && o->bandwidth_bits == 0) {
        return err_say(e, EINVAL, "'%.80s': more than nothing is possible", value);
    }
    return rc;
}

/* ---- the tables ---- */

const struct optable_row options_node_rows[] = {
    {"state", 0, "DIR", "what must survive (default " OPTIONS_STATE_PATH ")", set_state},
    {"state-dir", 0, "DIR", NULL, set_state}, /* as `image` calls it */
    {"run", 0, "DIR",
     "what must survive the agent but not the host, on a tmpfs\n"
     "(default " OPTIONS_RUN_PATH "; with --state: its subdirectory run)",
     set_run},
    {"cgroup", 0, "NAME", "group of all containers (default " OPTIONS_CGROUP ")", set_cgroup},
    {"ids", 0, "BASE:COUNT",
     "host ids that containers get, 65536 each; agents on one host\n"
     "need ranges of their own (default 524288 and all above)",
     set_ids},
    {"bin", 0, "DIR", "where wherry-shim and wherry-worker are\n(default: beside this program)",
     set_bin},
    {"log-level", 0, "LEVEL", "error, warn, info or debug", set_level},
};
const unsigned options_node_rows_n = ARRAY_LEN(options_node_rows);

const struct optable_row options_daemon_rows[] = {
    {"controller", 0, "ADDR:PORT", "where the controller listens (required)", set_controller},
    {"name", 0, "NAME", "of this node (default: the host's name)", set_name},
    {"address", 0, "IP", "by which other nodes reach this one", set_address},
    {"label", 0, "KEY=VALUE", "for placement constraints; may be repeated", set_label},
    {"bandwidth", 0, "RATE",
     "of its link in either direction, e.g. 1gbit: containers'\n"
     "x-wherry.bandwidth is reserved of it (default: not reserved)",
     set_bandwidth},
};
const unsigned options_daemon_rows_n = ARRAY_LEN(options_daemon_rows);

void options_init(struct options *o)
{
    *o = (struct options){.state_path = OPTIONS_STATE_PATH,
                          .cgroup = OPTIONS_CGROUP,
                          .id_base = IDRANGE_BASE_DEFAULT,
                          .level = LOG_LEVEL_INFO};
}

void options_finish(struct options *o)
{
    free(o->owned[0]);
    free(o->owned[1]);
    *o = (struct options){0};
}

static int own_dir(char **ret, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n < 0) {
        return err_set(e, errno, "find out where this program is");
    }
    self[n] = '\0';
    slash = strrchr(self, '/');
    *ret = xstrndup(self, (size_t)(slash - self));
    return 0;
}

int options_complete(struct options *o, struct err *e)
{
    if (o->bin_path == NULL) {
        if (own_dir(&o->owned[0], e) < 0) {
            return e->code;
        }
        o->bin_path = o->owned[0];
    }
    if (o->run_path == NULL && strcmp(o->state_path, OPTIONS_STATE_PATH) == 0) {
        o->run_path = OPTIONS_RUN_PATH;
    } else if (o->run_path == NULL) {
        o->owned[1] = xasprintf("%s/run", o->state_path);
        o->run_path = o->owned[1];
    }
    return 0;
}
