// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_RUNSPEC_H
#define WHERRY_AGENT_RUNSPEC_H

/* What `wherry-agent run` is asked for: one container, and how to be with it. Strings are borrowed
 * from argv. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/restart.h"
#include "agent/optable.h"

#define RUNSPEC_LIST_MAX 256

struct runspec_list {
    const char *items[RUNSPEC_LIST_MAX];
    unsigned n;
};

enum runspec_network { RUNSPEC_BRIDGE, RUNSPEC_HOST, RUNSPEC_NONE };
enum runspec_mount_kind { RUNSPEC_VOLUME, RUNSPEC_BIND, RUNSPEC_TMPFS };

struct runspec_mount {
    enum runspec_mount_kind kind;
    char *source; /* owned; NULL for a tmpfs */
    char *target; /* owned */
    bool read_only;
};

struct runspec_port {
    bool udp;
    uint16_t published;
    uint16_t target;
};

enum runspec_health {
    RUNSPEC_HEALTH_IMAGE,
    RUNSPEC_HEALTH_TCP,
    RUNSPEC_HEALTH_HTTP,
    RUNSPEC_HEALTH_EXEC
};

struct runspec {
    const char *name;  /* NULL: made up */
    const char *image; /* NULL: attach */
    const char *entrypoint;
    char *const *argv; /* what follows "--" */
    unsigned argc;
    struct runspec_list env;
    struct runspec_list cap_add;
    struct runspec_list cap_drop;
    struct runspec_mount mounts[RUNSPEC_LIST_MAX];
    unsigned n_mounts;
    struct runspec_port ports[RUNSPEC_LIST_MAX];
    unsigned n_ports;
    const char *user;
    const char *workdir;
    const char *hostname;
    uint64_t memory_bytes;
    uint64_t cpu_millis;
    uint64_t pids;
    uint64_t stop_grace_ms;
    uint32_t stop_signal;
    bool read_only;
    bool init;
    enum runspec_network network;
    enum restart_condition restart;
    uint32_t restart_max;       /* 0: without end */
    enum runspec_health health; /* as the image says, if nothing else was */
    uint16_t health_port;
    const char *health_text; /* path, or the shell's text */
    bool detach;
    bool attach;
    bool tail_all;
    uint32_t tail;
};

extern const struct optable_row runspec_rows[];
extern const unsigned runspec_rows_n;

void runspec_init(struct runspec *spec);
void runspec_finish(struct runspec *spec);

/* What must fit together. Called after the options were parsed. */
int runspec_check(const struct runspec *spec, struct err *e);

#endif
