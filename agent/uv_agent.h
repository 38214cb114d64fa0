// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_H
#define WHERRY_AGENT_UV_AGENT_H

/* The agent as a whole: feeds its core with what happens and does what the core wants. Used by the
 * daemon (assignments come from a controller) and by `wherry-agent run` (one assignment, made
 * here). Containers outlive it: closing it lets go of them. */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/core/node.h"
#include "agent/logs.h"
#include "common/err.h"

#define UV_AGENT_LABELS_MAX 64

struct uv_agent_options {
    const char *state_path;
    const char *run_path;
    const char *controller; /* "ADDR:PORT"; NULL: none */
    const char *name;       /* NULL: the host's */
    const char *address;    /* by which other hosts reach this one; NULL: not told */
    const char *labels[UV_AGENT_LABELS_MAX]; /* "key=value" */
    unsigned n_labels;
    uint64_t bandwidth_bits;   /* of the host's link, either way; 0: not declared */
    const char *cgroup_parent; /* "wherry" */
    const char *bin_path;      /* directory of wherry-shim and wherry-worker */
    uint32_t id_base;
    uint32_t id_count;
    /* Called after an observation has changed, or with NULL when all of a container is gone. */
    void (*on_report)(void *arg, uint64_t incarnation, const struct node_container *c);
    void *arg;
};

struct uv_agent;

/* Takes the state directory, replays the journal, finds and adopts what runs. Borrows the strings
 * of the options while it lives. After a failure too the loop must be run until it is empty. */
int uv_agent_create(uv_loop_t *loop, const struct uv_agent_options *options, struct uv_agent **ret,
                    struct err *e);

/* Ends everything but the containers; `closed` is called when the memory is gone. */
void uv_agent_close(struct uv_agent *agent, void (*closed)(void *arg), void *arg);

/* The longest time, in microseconds, that one turn of the loop took, waiting not counted. */
uint64_t uv_agent_lag_us(const struct uv_agent *agent);

/* ---- without a controller (uv_agent_local.c) ---- */

#define UV_AGENT_LOCAL "local" /* the stack of placements made here */

/* Adds a placement of this document (encoded wherry.spec.Container) under a fresh incarnation,
 * durable before it starts. -EEXIST: the name is taken; -EINVAL: it is none. */
int uv_agent_add(struct uv_agent *agent, const char *name, const void *container, size_t len,
                 uint64_t *ret_incarnation, struct err *e);

/* Stops it and keeps its record: `on_report` says how it ended (NODE_PHASE_DONE). */
int uv_agent_stop(struct uv_agent *agent, uint64_t incarnation, struct err *e);

/* Takes it away. It is stopped, and `on_report` says NULL at the end. */
int uv_agent_remove(struct uv_agent *agent, uint64_t incarnation, struct err *e);

/* What is assigned now, in the order of incarnations. 0: no more. */
uint64_t uv_agent_assigned(const struct uv_agent *agent, unsigned i);

/* "" if nothing is known of it. Borrows until it is gone. */
const char *uv_agent_name(const struct uv_agent *agent, uint64_t incarnation);

/* Path of its current log file; free it. NULL: nothing is known of it. */
char *uv_agent_log_path(const struct uv_agent *agent, uint64_t incarnation);

#endif
