// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_CONTROLLER_PRIV_H
#define WHERRY_CONTROLLER_UV_CONTROLLER_PRIV_H

/* Shared by the parts of the executor: uv_controller.c (life, events, the turn of the loop),
 * uv_controller_load.c (epoch, store to fleet), uv_controller_txn.c (what a step stores),
 * uv_controller_do.c (the other actions), uv_controller_link.c (sessions and API). */

#include "controller/api/uv_api.h"
#include "controller/codec_store.h"
#include "controller/store/store.h"
#include "controller/uv_controller.h"
#include "controller/uv_session.h"

enum controller_state {
    CONTROLLER_RAISING, /* the epoch; then it loads */
    CONTROLLER_RUNNING,
    CONTROLLER_FAILED, /* waits to open the store again */
    CONTROLLER_CLOSING
};

struct uv_controller_name {
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
};

struct uv_controller {
    uv_loop_t *loop;
    struct uv_controller_config config;
    enum controller_state state;
    int lock_fd;
    struct store *store;
    struct codec_store_cluster cluster;
    uint64_t cluster_mod; /* revision of its last change; 0: not stored yet */
    struct iprange range;
    uint64_t started_unix_ms;

    struct fleet *fleet; /* NULL unless RUNNING */
    struct docs *docs;
    uint64_t
        generation;   /* one more whenever the fleet is dropped: what comes from before is stale */
    uint64_t durable; /* highest revision known to be */
    uint64_t told;    /* the same, as fed to the fleet */
    const struct api_ask *asking; /* what the present step answers */

    struct fleet_actions held; /* in order; what is done waits at `held_at` */
    unsigned held_at;
    struct svctable *services;        /* what the nodes shall know; goes with the fleet */
    bool services_complete;           /* every node has been heard of: it may be told to all */
    struct uv_controller_name *stale; /* entries to be made anew */
    unsigned n_stale, cap_stale;
    struct ring *ring;
    struct uv_sessions *sessions;
    struct uv_api *api;
    struct id128 routes; /* hash of what all nodes were told of each other */
    bool routes_dirty;
    uint64_t routes_revision; /* when this is durable, they are told */
    uint64_t forget_request;

    uv_async_t wake;
    uv_check_t check;
    uv_timer_t timer;
    uint64_t due_ms;   /* the loop should have turned by then */
    uint64_t again_ms; /* FAILED: not before */
};

/* uv_controller.c */
uint64_t uv_controller_now(void);
uint64_t uv_controller_unix(void);
/* One event, now: its time is set, what it stores is given to the store, the rest is held. Without
 * a fleet it is dropped. */
void uv_controller_feed(struct uv_controller *c, struct fleet_event *event);
/* Makes the loop turn once more. */
void uv_controller_kick(struct uv_controller *c);
/* Drops the fleet and all that waits for it. */
void uv_controller_drop(struct uv_controller *c, const char *why);

/* uv_controller_load.c */
/* Reads "cluster", or makes a new one (not stored before the first epoch is). */
int uv_controller_load_cluster(struct uv_controller *c, struct err *e);
/* Stores an epoch above `seen` and its own, then loads. */
void uv_controller_load_raise(struct uv_controller *c, uint64_t seen);
/* A commit has failed: the store is opened again once all of it has come back. */
void uv_controller_load_failed(struct uv_controller *c, const struct err *why);
/* Tries so; returns how long to wait before the next time (0: there is something under way). */
uint64_t uv_controller_load_again(struct uv_controller *c);
/* Whether an agent can have seen this epoch. */
bool uv_controller_load_may_raise(const struct uv_controller *c, uint64_t seen);

/* uv_controller_txn.c */
/* Commits what a step stores, if it does. */
void uv_controller_txn(struct uv_controller *c, const struct fleet_actions *actions);

/* uv_controller_do.c */
/* Does what is held and durable. */
void uv_controller_do(struct uv_controller *c);
void uv_controller_do_routes(struct uv_controller *c);
void uv_controller_do_services(struct uv_controller *c);

/* uv_controller_link.c */
int uv_controller_link(struct uv_controller *c, struct err *e);

#endif
