// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_FLEET_VIEW_H
#define WHERRY_CONTROLLER_CORE_FLEET_VIEW_H

/* The state of the fleet as it can be read: stacks, services, slots, placements, nodes, volumes.
 * Everything borrowed here is good until the next fleet_step. Only the core writes. */

#include <stddef.h>

#include "common/name.h"
#include "controller/core/fleet_want.h"

struct fleet;

/* As in proto/link.proto. */
enum fleet_phase {
    FLEET_PHASE_NONE = 0, /* nothing heard of it yet */
    FLEET_PHASE_WAITING = 1,
    FLEET_PHASE_STARTING = 2,
    FLEET_PHASE_RUNNING = 3,
    FLEET_PHASE_STOPPING = 4,
    FLEET_PHASE_EXITED = 5,
    FLEET_PHASE_DONE = 6,
    FLEET_PHASE_UNKNOWN = 7
};

enum fleet_health {
    FLEET_HEALTH_NONE = 0,
    FLEET_HEALTH_STARTING = 1,
    FLEET_HEALTH_HEALTHY = 2,
    FLEET_HEALTH_UNHEALTHY = 3
};

/* What an agent said of one incarnation. As input the strings are borrowed. */
struct fleet_observation {
    uint64_t incarnation;
    uint32_t run;
    uint64_t seq;
    enum fleet_phase phase;
    enum fleet_health health;
    bool exit_known;
    bool oom_killed;
    int32_t exit_code;
    int32_t exit_signal;
    uint32_t restarts;
    uint32_t address; /* IPv4 in host order; 0: none */
    uint32_t pid;
    uint64_t started_unix_ms;
    uint64_t ended_unix_ms;
    uint64_t retry_unix_ms;
    const char *reason;       /* NULL: none */
    const char *image_digest; /* NULL: not said */
    const char *controls;     /* lines "seccomp: applied"; NULL: as before */
    const char *stack;        /* who it is, for a controller that does not know it */
    const char *service;
    uint32_t slot;
    uint8_t revision[FLEET_DIGEST];
};

enum fleet_node_state {
    FLEET_NODE_STATE_EXPECTED, /* known, not heard of since the controller started */
    FLEET_NODE_STATE_READY,
    FLEET_NODE_STATE_UNKNOWN, /* silent for longer than its timeout */
    FLEET_NODE_STATE_LOST     /* an operator said that it is gone */
};

struct fleet_image {
    const char *name;
    const char *digest;
};

struct fleet_label {
    const char *key;
    const char *value;
};

/* What a node says of itself. As input everything is borrowed. */
struct fleet_facts {
    const char *os;
    const char *arch;
    const char *kernel;
    const char *version;
    const char *underlay; /* address by which the other hosts reach it */
    const char *cgroup;
    const char *degraded; /* "", or why isolation is less than full */
    struct fleet_reserve total;
    uint64_t volumes_bytes_free;
    uint8_t wireguard_key[32]; /* public; zero: none */
    const struct fleet_label *labels;
    unsigned n_labels;
    const struct fleet_image *images;
    unsigned n_images;
};

struct fleet_node; /* through the getters below */

struct fleet_node_view {
    struct id128 id;
    const char *name;
    uint32_t block; /* number of its address block */
    uint64_t joined_unix_ms;
    enum fleet_node_state state;
    bool connected;
    bool settled;           /* connected, and all it runs has been reported */
    uint64_t since_unix_ms; /* when it became what it is; 0: not known */
    bool has_facts;
    struct fleet_facts facts;
    struct fleet_reserve reserved;
    unsigned placements;       /* all that are not gone, orphans included */
    struct id128 assigned_sum; /* over the assignment set: what SetEnd and Assign carry */
    struct id128 observed_sum;
    uint64_t removed_since; /* increments can be told from this revision on; before it: a set */
    bool braked;            /* unknown, and not replaced because too many went at once */
};

/* One placement. */
struct fleet_placement_view {
    uint64_t incarnation;
    const char *stack;
    const char *service;
    uint32_t slot; /* replica from 1; in a global service the node's block number + 1 */
    struct id128 node_id;
    const char *node_name;
    const uint8_t *revision;
    bool stop; /* wanted: stop */
    bool current;
    bool completed; /* a job's, succeeded */
    bool failed;    /* a job's, given up */
    bool orphan;    /* reported by its node, unknown to the store: kept, never stored */
    bool outdated;  /* another revision than wanted now */
    bool ready;     /* running, and healthy if it has a probe */
    bool unknown;   /* its node is silent: what is observed is old */
    uint64_t created_unix_ms;
    uint64_t mod_revision; /* store revision of its last change */
    const char *image_digest;
    const struct fleet_ask *ask;
    const struct fleet_observation *observed; /* phase NONE: nothing yet. Its `incarnation`,
                                                 `stack`, `service`, `revision` are not set */
};

#define FLEET_SLOT_STATES(X)                                                                       \
    X(HELD, "held")           /* waits for a service it depends on */                              \
    X(PENDING, "pending")     /* no node for it */                                                 \
    X(ASSIGNED, "assigned")   /* its node has not said anything of it */                           \
    X(WAITING, "waiting")     /* for its next start, or for something on its node */               \
    X(STARTING, "starting")   /* or running and not healthy yet */                                 \
    X(RUNNING, "running")     /* as wanted */                                                      \
    X(UNHEALTHY, "unhealthy") /* its probe fails */                                                \
    X(STOPPING, "stopping")                                                                        \
    X(UNKNOWN, "unknown") /* its node is silent, or cannot tell */                                 \
    X(ENDED, "ended")     /* over for good, though not a job */                                    \
    X(COMPLETED, "completed")                                                                      \
    X(FAILED, "failed")
#define FLEET_X_SLOT(name, text) FLEET_SLOT_##name,
enum fleet_slot_state { FLEET_SLOT_STATES(FLEET_X_SLOT) FLEET_SLOT_N };

const char *fleet_slot_state_name(enum fleet_slot_state state);
const char *fleet_node_state_name(enum fleet_node_state state);
const char *fleet_phase_name(enum fleet_phase phase);
const char *fleet_health_name(enum fleet_health health);
const char *fleet_mode_name(enum fleet_mode mode);

/* Numbers over a service's slots. */
struct fleet_counts {
    unsigned wanted;  /* slots */
    unsigned running; /* containers that run, on nodes that are heard of */
    unsigned ready;   /* running, and healthy if there is a probe */
    unsigned healthy; /* with a probe that says so */
    unsigned pending; /* held or without a node */
    unsigned unknown;
    unsigned outdated;
    unsigned completed;
    unsigned failed;
    unsigned stopping;
    unsigned orphans;
    uint64_t restarts;
};

struct fleet_service_view {
    const char *stack;
    const char *service;
    const struct fleet_want *want; /* NULL: being removed, or known by its orphans alone */
    const char *image_digest;      /* pinned; "": none yet */
    unsigned n_slots;
    unsigned n_placements; /* of all slots, those being stopped or unreachable included */
};

struct fleet_stack_view {
    const char *name;
    bool stored;       /* false: being removed, or known by its orphans alone */
    uint32_t revision; /* of the document */
    uint64_t applied_unix_ms;
    unsigned n_services; /* those being removed included */
};

struct fleet_slot_view {
    uint32_t number;
    bool wanted; /* false: being scaled away */
    enum fleet_slot_state state;
    uint64_t incarnation; /* of its current placement; 0: none */
};

struct fleet_volume_view {
    const char *name;
    const char *stack;
    struct id128 node_id;
    const char *node_name;
    uint64_t made_unix_ms;
    unsigned users; /* placements that mount it */
};

struct fleet_vip_view {
    const char *network;
    uint32_t address;
};

/* Each returns false when there is none. Indices count from 0 in order of name, slot or id. */
unsigned fleet_stacks(const struct fleet *f);
bool fleet_stack_at(const struct fleet *f, unsigned i, struct fleet_stack_view *ret);
/* Index of a stack, service, node or volume; -1: none. */
int fleet_stack_find(const struct fleet *f, const char *stack);
int fleet_service_find(const struct fleet *f, unsigned stack, const char *service);
int fleet_node_find(const struct fleet *f, struct id128 id);
int fleet_node_named(const struct fleet *f, const char *name); /* rather one that is not lost */
int fleet_volume_find(const struct fleet *f, const char *name);

bool fleet_service_at(const struct fleet *f, unsigned stack, unsigned i,
                      struct fleet_service_view *ret);
bool fleet_slot_at(const struct fleet *f, unsigned stack, unsigned service, unsigned i,
                   struct fleet_slot_view *ret);
void fleet_service_counts(const struct fleet *f, unsigned stack, unsigned service,
                          struct fleet_counts *ret);

unsigned fleet_nodes(const struct fleet *f);
bool fleet_node_at(const struct fleet *f, unsigned i, struct fleet_node_view *ret);
unsigned fleet_volumes(const struct fleet *f);
bool fleet_volume_at(const struct fleet *f, unsigned i, struct fleet_volume_view *ret);

bool fleet_placement_find(const struct fleet *f, uint64_t incarnation,
                          struct fleet_placement_view *ret);

/* The service as the nodes shall know it (common/svc.h): give it to free(). NULL: there is no such
 * service, or it is on no network and publishes nothing. Virtual addresses are in it once they are
 * durable. */
struct svc_entry *fleet_svc_entry(const struct fleet *f, const char *stack, const char *service);
/* The i-th virtual address of a service, by network. False: it has no more. */
bool fleet_svc_vip_at(const struct fleet *f, const char *stack, const char *service, unsigned i,
                      struct fleet_vip_view *ret);
/* The i-th network that a stack declares or joins, by name. False: there are no more. */
bool fleet_stack_network_at(const struct fleet *f, unsigned stack, unsigned i,
                            struct fleet_network *ret);
/* Whether every node has said what it runs since the fleet was loaded, or is known to be silent:
 * before that, what is missing may just not have been heard of. Nor does a store know what is
 * missing in which no stack is, while orphans run. */
bool fleet_heard_all(const struct fleet *f);

typedef void (*fleet_placement_cb)(void *arg, const struct fleet_placement_view *p);

/* All placements of a service, by (slot, incarnation). */
void fleet_service_each(const struct fleet *f, unsigned stack, unsigned service,
                        fleet_placement_cb cb, void *arg);
/* Those to be stored under one block's key: slots 256 * block to 256 * block + 255. None: the key
 * is to be deleted. Orphans are not among them. */
void fleet_block_each(const struct fleet *f, const char *stack, const char *service, uint32_t block,
                      fleet_placement_cb cb, void *arg);
/* The assignment set of a node changed after `since_revision`, oldest change first; with 0 the
 * whole set. */
void fleet_node_each(const struct fleet *f, struct id128 node, uint64_t since_revision,
                     fleet_placement_cb cb, void *arg);
/* Incarnations taken from the node's set after `since_revision`; it must not be less than the
 * view's `removed_since`. */
void fleet_node_removed(const struct fleet *f, struct id128 node, uint64_t since_revision,
                        void (*cb)(void *arg, uint64_t incarnation, uint64_t revision), void *arg);

/* One sentence on why it is not as wanted; "" when it is. */
void fleet_why_slot(const struct fleet *f, unsigned stack, unsigned service, unsigned slot,
                    char *ret, size_t size);
void fleet_why_service(const struct fleet *f, unsigned stack, unsigned service, char *ret,
                       size_t size);
/* "" or that evictions have stopped, and what to do. */
void fleet_why_brake(const struct fleet *f, char *ret, size_t size);

uint64_t fleet_epoch(const struct fleet *f);
uint64_t fleet_revision(const struct fleet *f); /* last one given to a transaction */
uint64_t fleet_durable(const struct fleet *f);
uint32_t fleet_heartbeat_ms(const struct fleet *f);
uint32_t fleet_timeout_ms(const struct fleet *f);

#endif
