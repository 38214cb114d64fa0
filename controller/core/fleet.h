// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_FLEET_H
#define WHERRY_CONTROLLER_CORE_FLEET_H

/* The deciding core of the controller: what shall run where, and why something does not. Pure:
 * every event carries the time, every wish comes out as an action, and the same events give the
 * same actions. Level-triggered: whole wanted state against whole observed state; what is left of
 * a step's budget stays in the core's queue, and the deadline is then now.
 *
 * Start: LOAD_CLUSTER, any number of LOAD_*, LOAD_DONE; then everything else.
 *
 * Persist before tell: all PUT and DEL actions of one step belong to one transaction, whose number
 * they carry in `revision` (one more than the one before). SEND, WELCOME and REPLY name
 * the revision they depend on: the executor holds them until it is durable, and answers with
 * PERSISTED. A commit that fails or whose outcome is unknown: drop the fleet and load it again.
 * An agent's session encodes from the getters (fleet_view.h), and only what is durable. After
 * WELCOME nothing is assigned to a node before its SEND: first it must have said all it runs
 * (`report_all` in WELCOME), so that what the store does not know is kept and not removed.
 *
 * The executor never feeds an event from within the handling of an action: it queues it. */

#include "controller/core/fleet_view.h"
#include "controller/core/fleet_want.h"

#define FLEET_BUDGET 512 /* placements made or changed in one step */
#define FLEET_BLOCK  256 /* slots under one key of the store */

struct fleet_position {
    uint64_t epoch;
    uint64_t revision;
};

/* An apply, or a stack as stored. Everything is borrowed. */
struct fleet_stack_want {
    const char *name;
    uint8_t digest[FLEET_DIGEST]; /* of the document */
    const struct fleet_want *wants;
    unsigned n_wants;
    const struct fleet_network *networks;
    unsigned n_networks;
};

struct fleet_load_placement {
    const char *stack;
    const char *service;
    uint64_t incarnation;
    uint32_t slot;
    struct id128 node_id;
    uint8_t revision[FLEET_DIGEST];
    bool stop;
    bool current;
    bool completed;
    bool failed;
    uint64_t created_unix_ms;
    uint64_t mod_revision;
    const char *image_digest;
    const struct fleet_ask *ask; /* NULL: as wanted now, if that is its revision */
};

enum fleet_event_type {
    FLEET_LOAD_CLUSTER,   /* `cluster` */
    FLEET_LOAD_NODE,      /* `node` */
    FLEET_LOAD_STACK,     /* `load_stack` */
    FLEET_LOAD_PLACEMENT, /* `placement`; after the nodes and stacks */
    FLEET_LOAD_VOLUME,    /* `volume`; after the nodes */
    FLEET_LOAD_VIP,       /* `vip`; after the stacks and placements */
    FLEET_LOAD_DONE,
    FLEET_APPLY,         /* `apply` */
    FLEET_DELETE,        /* `del` */
    FLEET_NODE_HELLO,    /* `hello`; a second one replaces the session */
    FLEET_NODE_GONE,     /* `node_id`: its session has ended; it has its timeout to come back */
    FLEET_HEARTBEAT,     /* `node_id` */
    FLEET_FACTS,         /* `facts` */
    FLEET_OBSERVED,      /* `observed` */
    FLEET_ACK,           /* `ack` */
    FLEET_NODE_LOST,     /* `lost` */
    FLEET_VOLUME_FORGET, /* `forget` */
    FLEET_STALL,         /* `stall`: this process stood still; feed it before anything else */
    FLEET_PERSISTED,     /* `revision` is durable */
    FLEET_TICK
};

struct fleet_event {
    uint64_t now_ms;  /* CLOCK_MONOTONIC or BOOTTIME of the controller; never less than before */
    uint64_t unix_ms; /* for people */
    enum fleet_event_type type;
    union {
        struct {
            uint64_t epoch;      /* already raised, durably, for this start */
            uint64_t revision;   /* highest transaction ever made */
            uint32_t blocks_max; /* address blocks in the cluster's range */
            uint32_t range;      /* IPv4 in host order; 0: no virtual addresses are given */
            unsigned range_prefix;
            unsigned node_prefix;
        } cluster;
        struct {
            struct id128 id;
            const char *name;
            uint32_t block;
            uint64_t joined_unix_ms;
            bool lost;
        } node;
        struct {
            struct fleet_stack_want stack;
            uint32_t revision;
            uint64_t applied_unix_ms;
        } load_stack;
        struct fleet_load_placement placement;
        struct {
            const char *name;
            const char *stack;
            struct id128 node_id;
            uint64_t made_unix_ms;
        } volume;
        struct {
            const char *stack;
            const char *service;
            const char *network;
            uint32_t address;
        } vip;
        struct {
            uint64_t request;
            struct fleet_stack_want stack;
            bool prune;
        } apply;
        struct {
            uint64_t request;
            const char *stack;
            const char *service; /* NULL: the whole stack */
        } del;
        struct {
            struct id128 node_id;
            const char *name;
            struct fleet_position position; /* highest it has durably seen */
            struct id128 assigned_sum;
            struct id128 observed_sum;
            struct fleet_facts facts;
        } hello;
        struct id128 node_id;
        struct {
            struct id128 node_id;
            struct fleet_facts facts;
        } facts;
        struct {
            struct id128 node_id;
            const struct fleet_observation *list;
            unsigned n;
            const uint64_t *gone;
            unsigned n_gone;
            bool all_begin; /* from here to all_end: everything the node knows */
            bool all_end;
        } observed;
        struct {
            struct id128 node_id;
            struct fleet_position position;
            struct id128 assigned_sum;
        } ack;
        struct {
            uint64_t request;
            const char *name; /* of the node, or its id in hexadecimal */
        } lost;
        struct {
            uint64_t request;
            const char *name;
        } forget;
        struct {
            uint64_t gap_ms;
        } stall;
        uint64_t revision;
    } u;
};

enum fleet_action_type {
    FLEET_PUT_STACK,  /* `stack`, `number`: its new revision. The document to store has exactly the
                         services the fleet now has under this name (want not NULL), each as in
                         the newest document that has it */
    FLEET_DEL_STACK,  /* `stack` */
    FLEET_PUT_NODE,   /* `node_id` */
    FLEET_PUT_BLOCK,  /* `stack`, `service`, `number`: fleet_block_each; none there: delete it */
    FLEET_PUT_VIPS,   /* `stack`, `service`: fleet_svc_vip_at; none there: delete it */
    FLEET_PUT_VOLUME, /* `name` */
    FLEET_DEL_VOLUME, /* `name`, and in `node_id` where it was: its data may be removed there */
    FLEET_WELCOME,    /* `node_id`, `report_all` */
    FLEET_REFUSE,     /* `node_id`, `refusal`, `text`: end its session */
    FLEET_SEND,       /* `node_id`: placements changed; `whole`: begin with a complete set */
    FLEET_REPLY,      /* `request`, `result`, `text` (a sentence), `lines` */
    FLEET_EVENT,      /* `happened`, `stack`, `service`, `number` (slot), `name` (node), `text` */
    FLEET_SERVICE,    /* `stack`, `service`: fleet_svc_entry may give something else than before */
    FLEET_RAISE_EPOCH /* `number64`: an agent has seen this epoch: store a higher one, load again */
};

enum fleet_refusal {
    FLEET_REFUSE_NAME,  /* another node has this name */
    FLEET_REFUSE_STALE, /* it has seen more than this controller */
    FLEET_REFUSE_FULL,  /* no address block, or too many nodes */
    FLEET_REFUSE_LOST   /* it was given up while it had a session: it greets anew */
};

enum fleet_result {
    FLEET_OK,
    FLEET_UNCHANGED, /* nothing had to be done */
    FLEET_NOT_FOUND,
    FLEET_CONFLICT, /* not as things stand: the text says why */
    FLEET_TOO_MANY
};

#define FLEET_CHANGES(X)                                                                           \
    X(CREATED, "created")                                                                          \
    X(CHANGED, "changed")                                                                          \
    X(UNCHANGED, "unchanged")                                                                      \
    X(REMOVED, "removed") /* gone from the file, with prune; or deleted */                         \
    X(KEPT, "kept")       /* gone from the file, still wanted */
#define FLEET_X_CHANGE(name, text) FLEET_CHANGE_##name,
enum fleet_change { FLEET_CHANGES(FLEET_X_CHANGE) FLEET_CHANGE_N };

const char *fleet_change_name(enum fleet_change change);

struct fleet_line {
    char service[FLEET_NAME];
    enum fleet_change change;
    bool replaces; /* its containers will be replaced, one after the other */
};

#define FLEET_HAPPENINGS(X)                                                                        \
    X(APPLIED, "stack.applied")                                                                    \
    X(DELETED, "stack.deleted")                                                                    \
    X(PLACED, "placed")                                                                            \
    X(STOPPING, "stopping")                                                                        \
    X(REMOVED, "removed")                                                                          \
    X(RUNNING, "running")                                                                          \
    X(HEALTHY, "healthy")                                                                          \
    X(UNHEALTHY, "unhealthy")                                                                      \
    X(EXITED, "exited")                                                                            \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")                                                                            \
    X(PENDING, "pending")                                                                          \
    X(ORPHANED, "orphaned")                                                                        \
    X(ADOPTED, "adopted")                                                                          \
    X(NODE_JOINED, "node.joined")                                                                  \
    X(NODE_READY, "node.ready")                                                                    \
    X(NODE_UNKNOWN, "node.unknown")                                                                \
    X(NODE_LOST, "node.lost")                                                                      \
    X(BRAKE_ON, "brake.on")                                                                        \
    X(BRAKE_OFF, "brake.off")                                                                      \
    X(VOLUME_BOUND, "volume.bound")                                                                \
    X(VOLUME_FORGOTTEN, "volume.forgotten")                                                        \
    X(ADDRESS_MENDED, "address.mended")
#define FLEET_X_HAPPENING(name, text) FLEET_HAPPENED_##name,
enum fleet_happening { FLEET_HAPPENINGS(FLEET_X_HAPPENING) FLEET_HAPPENED_N };

const char *fleet_happening_name(enum fleet_happening happening);

struct fleet_action {
    enum fleet_action_type type;
    uint64_t revision; /* of its transaction, or what it depends on */
    struct id128 node_id;
    uint64_t request;
    uint64_t number64;
    uint32_t number;
    enum fleet_refusal refusal;
    enum fleet_result result;
    enum fleet_happening happened;
    bool whole;
    bool report_all;
    uint64_t unix_ms; /* EVENT */
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    char name[FLEET_VOLUME];  /* volume, or a node's name */
    char *text;               /* owned by the list; NULL: none */
    struct fleet_line *lines; /* owned by the list */
    unsigned n_lines;
};

/* Zeroed memory is an empty list. */
struct fleet_actions {
    struct fleet_action *list;
    unsigned n;
    unsigned cap;
};

void fleet_actions_finish(struct fleet_actions *actions);
const char *fleet_action_name(enum fleet_action_type type);

struct fleet *fleet_create(void);
void fleet_destroy(struct fleet *f);

/* Handles one event, then what is due, within the budget. Appends to `ret`: what is to be stored
 * first, then the rest. */
void fleet_step(struct fleet *f, const struct fleet_event *event, struct fleet_actions *ret);

/* When the next TICK is wanted, on the clock of `now_ms`; UINT64_MAX: not by itself. */
uint64_t fleet_deadline(const struct fleet *f);

#endif
