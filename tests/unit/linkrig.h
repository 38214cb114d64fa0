// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_LINKRIG_H
#define WHERRY_TESTS_UNIT_LINKRIG_H

/* Both ends of the link over loopback: the controller's sessions with a real fleet core and a store
 * that is a counter (linkrig_controller.c), the agent's real end with a real core, ledger and
 * journal, over an engine that pretends (linkrig_agent.c), and peers made by hand that say what no
 * agent would (linkrig_peer.c). */

#include <check.h>

#include "agent/uv_agent_ask.h"
#include "agent/uv_agent_link_priv.h"
#include "controller/uv_session.h"

#define LINKRIG_IMAGE   "docker.io/library/x:1"
#define LINKRIG_DIGEST  "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LINKRIG_WAIT_MS 8000u
#define LINKRIG_PEERS   4

extern const struct id128 linkrig_cluster;
extern uv_loop_t linkrig_loop;

/* ---- the controller ---- */

struct linkrig_controller {
    struct fleet *fleet;
    struct uv_sessions *sessions;
    uint64_t epoch;
    struct svctable *services;
    bool services_complete;
    bool slow_store; /* nothing becomes durable */
    uint64_t put;    /* highest revision given to the store */
    struct fleet_actions held;
    unsigned hellos, gones, beats, acks, raised, log_ends, lines, forgotten;
    char gone_why[256];
    char log_error[256];
    char forget_error[256];
    char line[64];
    uint64_t credit_back; /* stream to give credit to after each line */
};

extern struct linkrig_controller linkrig_ctl;
extern const struct uv_sessions_events linkrig_events;
extern uint8_t linkrig_document[64];
extern size_t linkrig_document_len;
extern uint8_t linkrig_revision[FLEET_DIGEST];

/* What its sessions ask it. */
const struct fleet *linkrig_the_fleet(void *arg);
const struct svctable *linkrig_the_services(void *arg, bool *ret_complete);
const void *linkrig_the_revision(void *arg, const uint8_t digest[FLEET_DIGEST], size_t *ret_len);

/* An event for its fleet; with a store that is not slow it is durable at once. */
void linkrig_feed(struct fleet_event event);
void linkrig_persist(void);

/* A fleet as after a start with an empty store. */
void linkrig_fleet_new(uint64_t epoch);

/* So many of shop/web; and how many of them run. */
void linkrig_apply(unsigned replicas);
unsigned linkrig_running(void);

/* The sum of what is assigned to a node. */
struct id128 linkrig_sum_of(uint64_t node);

int linkrig_open_logs(struct id128 node, const struct link_logs *logs, uint32_t credit,
                      uint64_t *ret_stream);
int linkrig_open_ask(struct id128 node, const char *kind, uint32_t credit, uint64_t *ret_stream);

/* ---- the agent ---- */

extern struct uv_agent *linkrig_agent;
extern char linkrig_state[64]; /* its directory */
extern unsigned linkrig_configured, linkrig_routes_told, linkrig_assigns, linkrig_wholes_told;
extern struct svctable *linkrig_held; /* what it holds of services */

void linkrig_agent_start(void);
void linkrig_agent_stop(void);

/* It joins, and runs so many of shop/web. */
void linkrig_join_and_run(unsigned replicas);

/* False: it is made for another table. */
bool linkrig_take_patch(struct svctable *t, const struct svc_patch *patch);

/* ---- time ---- */

/* One turn of everything; turns for so long; turns until it is so. */
void linkrig_turn(void);
void linkrig_turns_ms(unsigned ms);

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + (uint64_t)LINKRIG_WAIT_MS * 1000000;                         \
        while (!(condition) && uv_hrtime() < end_) {                                               \
            linkrig_turn();                                                                        \
        }                                                                                          \
        ck_assert_msg((condition), "never: %s", #condition);                                       \
    } while (0)

/* ---- a peer made by hand ---- */

struct linkrig_peer {
    struct uv_wire wire;
    unsigned got[LINK_KIND_N];
    enum link_refusal refusal;
    char reason[256];
    struct link_position position;
    unsigned placements;
    struct id128 told; /* sum of the last set or increment */
    bool told_sum;
    uint64_t removed;
    struct svctable *services; /* as told; between begin and end: not in force */
    unsigned wholes, sums, patches;
    size_t bytes; /* of what was told of services */
    struct id128 services_sum;
    bool writable, ended, closed, open, greeted;
};

extern struct linkrig_peer linkrig_peers[LINKRIG_PEERS];

void linkrig_peer_open(struct linkrig_peer *p);
void linkrig_peer_close(struct linkrig_peer *p);
void linkrig_peer_say(struct linkrig_peer *p, const struct link_message *m);
struct link_message linkrig_hello_of(uint64_t node, const char *name);
void linkrig_peer_hello(struct linkrig_peer *p, uint64_t node, const char *name);

/* ---- fixtures ---- */

void linkrig_setup(void);
void linkrig_teardown(void);

#endif
