// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_PLAN_SANDBOX_H
#define WHERRY_AGENT_PLAN_SANDBOX_H

/* What a container of this node is put into, as plans for wherry-shim: what the document asks for
 * (plan_of_order.h) together with what the host has and what every container gets. Everything of a
 * run is found by its name alone (record_name):
 *
 *   <run>/runs/<name>           its record, and how it ended
 *   <state>/upper/<name>        what it has written
 *   <cgroups>/<parent>/<name>   its limits */

#include <stdint.h>

#include "agent/cgroups.h"
#include "agent/core/node.h"
#include "agent/image.h"
#include "agent/order.h"
#include "agent/shim/record.h"
#include "agent/sysfilter.h"
#include "common/buf.h"
#include "common/err.h"

/* Numbers of the descriptors that `run` inherits besides those of plan.h. */
#define PLAN_SANDBOX_USERNS 7
#define PLAN_SANDBOX_NETNS  8
#define PLAN_SANDBOX_MNTNS  9

/* The host. All is borrowed while it lives, but for the filters. */
struct plan_sandbox {
    const char *state_path;
    const char *run_path;
    const char *layers_path;
    const char *dev_path;
    const struct cgroups *groups;
    char boot_id[RECORD_BOOT_ID + 1];
    struct sysfilter_cache filters;
};

void plan_sandbox_finish(struct plan_sandbox *sandbox);

/* One run; all is borrowed until return. */
struct plan_sandbox_run {
    struct node_of of;
    const struct order *order;
    const struct image *image;
    const char *const *sources; /* one host path for each mount; NULL for tmpfs */
    const char *hostname;
    const char *log_path;
    uint32_t ids;
    uint32_t address; /* IPv4 in host order; 0: none */
    const char *ipv6; /* its address, as text; "" or NULL: none */
};

/* The capabilities that it has if it runs as root. -EINVAL: no such capability. */
int plan_sandbox_caps(const struct order *order, uint64_t *ret, struct err *e);

/* Append the plan of `run`, `exec`, `clean`. */
int plan_sandbox_start(struct plan_sandbox *sandbox, const struct plan_sandbox_run *run,
                       struct buf *ret, struct err *e);
int plan_sandbox_exec(struct plan_sandbox *sandbox, const struct plan_sandbox_run *run,
                      char *const *argv, unsigned argc, uint32_t timeout_ms, struct buf *ret,
                      struct err *e);
int plan_sandbox_clean(const struct plan_sandbox *sandbox, struct node_of of, uint32_t timeout_ms,
                       struct buf *ret, struct err *e);

/* Appends one line per control, as applied: "seccomp: applied\n". */
void plan_sandbox_controls(const struct plan_sandbox *sandbox, const struct order *order,
                           uint32_t ids, struct buf *ret);

#endif
