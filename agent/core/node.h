// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_NODE_H
#define WHERRY_AGENT_CORE_NODE_H

/* The deciding core of the agent: which containers this node shall run, what is known of each, and
 * what to do next. Pure: every event carries the time, every wish comes out as an action, and the
 * same events give the same actions. There is one path for a fresh start and for a restart of the
 * agent: the executor tells what is assigned (ASSIGN), what the journal remembers (RESTORE), what
 * lies about (FOUND), then LOOKED; only from then on does the core act.
 *
 * Times are CLOCK_BOOTTIME in milliseconds (`now_ms`), and wall-clock milliseconds for people
 * (`unix_ms`). The executor must not feed an event from within the handling of an action: it
 * queues it. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/health.h"
#include "agent/core/lifecycle.h"
#include "agent/core/restart.h"

#define NODE_REASON_MAX     256
#define NODE_CONTAINERS_MAX 4096
#define NODE_UNCLEAN_MAX    4 /* runs of one container whose remains are not removed yet */
#define NODE_BUDGET         4 /* due containers that one step looks at: to start one costs ms */

/* As in proto/link.proto. Grows within one run; a new run begins at WAITING. */
enum node_phase {
    NODE_PHASE_WAITING = 1,
    NODE_PHASE_STARTING = 2,
    NODE_PHASE_RUNNING = 3,
    NODE_PHASE_STOPPING = 4,
    NODE_PHASE_EXITED = 5,
    NODE_PHASE_DONE = 6,
    NODE_PHASE_UNKNOWN = 7
};

/* What is decided upon, of one placement. The rest of its document stays with the executor. */
struct node_want {
    uint64_t incarnation; /* not 0 */
    bool stop;            /* shall be stopped, its record kept until removed */
    uint64_t stop_grace_ms;
    uint64_t drain_ms; /* between being told to stop and its signal; 0: nobody connects to it */
    uint64_t memory_bytes; /* limit, for the sentence after an OOM kill; 0: none of its own */
    struct restart_policy restart;
};

/* What is known once the image has been looked up. */
struct node_traits {
    uint32_t stop_signal; /* 1..64 */
    struct health_rules health;
};

struct node_exit {
    bool known;
    bool oom;
    int32_t code;
    int32_t signal; /* 0: none */
};

/* One container as it stands. Read it through node_find or node_at; only the core writes. */
struct node_container {
    struct node_want want;
    struct node_traits traits;
    enum lifecycle_state state;
    bool removed; /* to be forgotten once it has ended */

    /* the observation: compared by (incarnation, run, seq) */
    uint32_t run; /* 0: never started */
    uint64_t seq;
    enum node_phase phase;
    enum health_state health;
    struct node_exit exit; /* of the last run that ended */
    bool ended;            /* some run has ended: `exit` and `ended_unix_ms` mean something */
    char reason[NODE_REASON_MAX];
    uint32_t pid;
    uint64_t started_unix_ms;
    uint64_t ended_unix_ms;
    uint64_t retry_unix_ms; /* WAITING: when the next run begins; 0: not by time */

    /* the restart budget */
    struct restart_budget budget;
    bool run_open; /* run `run` has begun and not ended */
    uint64_t started_ms;

    /* private to the core */
    bool sick;       /* being stopped because it is unhealthy */
    bool killed;     /* did not stop by itself */
    bool wait_event; /* WAITING for something that is told, e.g. an image */
    unsigned kills;
    struct health health_track;
    uint64_t due_ms; /* deadline of the state; 0: none */
    uint32_t unclean[NODE_UNCLEAN_MAX];
    unsigned n_unclean;
    uint32_t unclean_failed; /* bit i: removing unclean[i] has failed, to be tried again */
    uint64_t clean_due_ms;   /* when; 0: none has failed */
    uint64_t clean_pause_ms;
    unsigned heap_at; /* place in the deadline heap, from 1; 0: not in it */
    uint64_t heap_key;
};

enum node_event_type {
    NODE_ASSIGN,   /* `wants` are added or changed, `removed` taken away; `whole`: all others too */
    NODE_RESTORE,  /* `restore`: what the journal remembers of one incarnation */
    NODE_FOUND,    /* `found`: a record lies about; per incarnation the highest run first */
    NODE_LOOKED,   /* everything has been found */
    NODE_PREPARED, /* `prepared` */
    NODE_PREPARE_FAILED, /* `failed` */
    NODE_STARTED,        /* `started` */
    NODE_START_FAILED,   /* `failed` */
    NODE_EXITED,         /* `exited` */
    NODE_SILENT,         /* `failed`: its shim does not answer */
    NODE_PROBED,         /* `probed` */
    NODE_CUT,            /* `failed`: it is of no use until it is started again */
    NODE_CLEANED,        /* `of`: nothing is left of that run */
    NODE_CLEAN_FAILED,   /* `failed`: the remains of that run could not be removed yet */
    NODE_IMAGES,         /* images have changed */
    NODE_TICK
};

struct node_of {
    uint64_t incarnation;
    uint32_t run;
};

struct node_event {
    uint64_t now_ms;
    uint64_t unix_ms;
    enum node_event_type type;
    union {
        struct {
            const struct node_want *wants; /* borrowed */
            unsigned n_wants;
            const uint64_t *removed; /* borrowed */
            unsigned n_removed;
            bool whole;
        } assign;
        struct {
            uint64_t incarnation;
            uint32_t run;
            uint32_t attempts;
            uint64_t next_ms; /* 0: the run had begun and not ended */
            bool done;
            int32_t exit_code; /* negative: not known */
            const char *reason; /* borrowed */
        } restore;
        struct {
            struct node_of of;
            bool alive;
            bool broken; /* never came up: only remains */
            uint32_t pid;
            uint64_t started_ms;
            uint64_t started_unix_ms;
            uint64_t ended_unix_ms;
            struct node_exit exit; /* if not alive */
            struct node_traits traits;
            enum health_state health; /* as last reported; HEALTH_NONE: not known */
        } found;
        struct {
            bool boot_changed; /* the host has restarted since the journal's budgets */
        } looked;
        struct {
            struct node_of of;
            struct node_traits traits;
        } prepared;
        struct {
            struct node_of of;
            bool wait;  /* PREPARE_FAILED: not a failure, wait until told (an image is missing) */
            bool final; /* no retry can help */
            const char *reason; /* borrowed */
        } failed;
        struct {
            struct node_of of;
            uint32_t pid;
            uint64_t started_ms;
            uint64_t started_unix_ms;
        } started;
        struct {
            struct node_of of;
            uint64_t ended_unix_ms;
            struct node_exit exit;
        } exited;
        struct {
            struct node_of of;
            bool ok;
            const char *text; /* borrowed */
        } probed;
        struct node_of of;
    } u;
};

enum node_action_type {
    NODE_DO_PREPARE, /* look up the image, volumes, address, ids: answer PREPARED or _FAILED */
    NODE_DO_START,   /* answer STARTED or START_FAILED within a deadline */
    NODE_DO_SIGNAL,  /* `signal` to the container's first process */
    NODE_DO_KILL,    /* everything in it */
    NODE_DO_PROBE,   /* ask once: answer PROBED within the probe's timeout */
    NODE_DO_CLEAN,   /* remove what is left of this run: answer CLEANED or CLEAN_FAILED */
    NODE_DO_SAVE,    /* write its budget to the journal; nobody waits */
    NODE_DO_REPORT,  /* its observation has changed */
    NODE_DO_GONE,    /* nothing is left of it: forget it */
    NODE_DO_ODD      /* an event that should not have come in this state: log it */
};

struct node_action {
    enum node_action_type type;
    struct node_of of;
    uint32_t signal;
    enum lifecycle_state state; /* ODD */
    enum lifecycle_event event; /* ODD */
};

struct node_actions {
    struct node_action *list;
    unsigned n;
    unsigned cap;
};

void node_actions_finish(struct node_actions *actions);

struct node;

struct node *node_create(void);
void node_destroy(struct node *node);

/* Handles one event, then what is due. Appends to `ret` (whose earlier actions stay). */
void node_step(struct node *node, const struct node_event *event, struct node_actions *ret);

/* When the next TICK is wanted, in CLOCK_BOOTTIME milliseconds; UINT64_MAX: not by itself. */
uint64_t node_deadline(const struct node *node);

/* Borrow until the next step. NULL: none. */
const struct node_container *node_find(const struct node *node, uint64_t incarnation);
unsigned node_count(const struct node *node);
const struct node_container *node_at(const struct node *node, unsigned i); /* by incarnation */

/* Words for logs: "prepare", "start". */
const char *node_action_name(enum node_action_type type);
const char *node_phase_name(enum node_phase phase);

#endif
