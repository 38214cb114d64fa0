// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_ENGINE_H
#define WHERRY_AGENT_UV_ENGINE_H

/* The agent's side of its containers: makes what a run needs beforehand (cell, filter, plan),
 * starts one shim per run, hears of its end, signals, kills, joins and cleans. It knows nothing of
 * services, restarts or health, and never blocks: what takes time is done by the shim's program in
 * a process of its own, with a deadline. A run is named by (incarnation, run); everything of it on
 * disk and in the cgroups carries that name, so it is found again after the agent has died. */

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/core/node.h"
#include "agent/image.h"
#include "agent/order.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/ip6.h"

struct uv_engine;
struct uv_engine_run;

struct uv_engine_config {
    const char *state_path; /* borrowed while it lives, like all below */
    const char *run_path;
    const char *cgroup_parent; /* "wherry": below the agent's own root in each hierarchy */
    const char *shim_program;  /* path of wherry-shim */
    const char *layers_path;   /* images_layers_path */
};

/* Probes the host and prepares what all runs share. Gives the engine. */
int uv_engine_create(uv_loop_t *loop, const struct uv_engine_config *config, struct uv_engine **ret,
                     struct err *e);

/* Lets go of everything; containers go on. Callbacks of uv_engine_clean and uv_engine_exec that are
 * under way come first, with -ECANCELED; `closed` is called when the memory is gone. */
void uv_engine_close(struct uv_engine *engine, void (*closed)(void *arg), void *arg);

/* Why isolation is less than full ("cgroups v1"), or "". Borrowed. */
const char *uv_engine_degraded(const struct uv_engine *engine);
const char *uv_engine_cgroup(const struct uv_engine *engine); /* "v1", "hybrid" or "v2" */

/* What happens to a run. Each is called from the loop, never from inside a call. */
struct uv_engine_events {
    void (*started)(void *arg, uint32_t pid, uint64_t started_ms, uint64_t started_unix_ms);
    void (*failed)(void *arg, const struct err *e); /* instead of started */
    void (*exited)(void *arg, const struct node_exit *exit, uint64_t ended_unix_ms);
    void (*silent)(void *arg, const char *reason);
    void *arg;
};

/* One host path for each mount of the document, in its order; NULL for tmpfs. */
struct uv_engine_order {
    struct node_of of;
    const struct order *order;
    const struct image *image; /* borrowed until the run is forgotten; all else until return */
    const char *const *sources;
    uint32_t ids; /* first host id of its range */
    const char *hostname;
    const char *log_path;
    uint32_t address;    /* IPv4 in host order; 0: none */
    char ipv6[IP6_TEXT]; /* its address, as text; "": none */
};

/* Makes the namespaces that the network is laid into before the start. On success `ret_netns` is a
 * descriptor borrowed from the run (-1: the run has none of its own). */
int uv_engine_prepare(struct uv_engine *engine, const struct uv_engine_order *order,
                      const struct uv_engine_events *events, struct uv_engine_run **ret,
                      int *ret_netns, struct err *e);

/* Starts the shim of a prepared run. */
int uv_engine_start(struct uv_engine_run *run, const struct uv_engine_order *order, struct err *e);

/* What was found on disk of an earlier agent. */
struct uv_engine_found {
    struct node_of of;
    bool alive;
    bool broken;
    uint32_t pid;
    uint32_t ids;
    uint32_t address;
    uint64_t started_ms;
    uint64_t started_unix_ms;
    uint64_t ended_unix_ms;
    struct node_exit exit;
};

/* Calls `each` for every run that has left something, the highest run of an incarnation first. */
int uv_engine_look(struct uv_engine *engine,
                   void (*each)(void *arg, const struct uv_engine_found *found), void *arg,
                   struct err *e);

/* Takes up a run found alive: `exited` comes when it ends. Of the order, `sources` and `log_path`
 * are not needed; without `order` and `image` (not known any more) no command can run inside. */
int uv_engine_adopt(struct uv_engine *engine, const struct uv_engine_order *order,
                    const struct uv_engine_events *events, struct uv_engine_run **ret,
                    struct err *e);

/* Appends the controls of its sandbox as lines: "seccomp: applied\n". Nothing where its document
 * is not known. */
void uv_engine_controls(const struct uv_engine_run *run, struct buf *ret);

int uv_engine_signal(struct uv_engine_run *run, int signal, struct err *e);
void uv_engine_kill(struct uv_engine_run *run);

/* Network namespace of a run that is up: a new descriptor, or a negative errno. */
int uv_engine_netns(const struct uv_engine_run *run);

/* Runs a command inside. `status` 0: it ended with code 0; else `text` says why not. */
typedef void (*uv_engine_exec_cb)(void *arg, int status, const char *text);
void uv_engine_exec(struct uv_engine_run *run, char *const *argv, unsigned argc,
                    uint64_t timeout_ms, uv_engine_exec_cb cb, void *arg);

/* No events any more; the container is not touched. Cancels an exec (its callback comes). */
void uv_engine_forget(struct uv_engine_run *run);

/* Removes everything of this run, killing what still lives. `status` 0: nothing is left. */
typedef void (*uv_engine_clean_cb)(void *arg, int status, const struct err *e);
void uv_engine_clean(struct uv_engine *engine, struct node_of of, uv_engine_clean_cb cb, void *arg);

#endif
