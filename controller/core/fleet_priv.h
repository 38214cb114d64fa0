// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_FLEET_PRIV_H
#define WHERRY_CONTROLLER_CORE_FLEET_PRIV_H

/* The fleet's tables, shared by the files of this folder and by nobody else. Stacks own services,
 * services own slots and placements, the roster owns nodes; the rest are plain pointers between
 * them, which is sound because nothing here outlives a step. */

#include "common/buf.h"
#include "controller/core/fleet.h"

#define REMOVED_MAX 1024 /* removals per node that increments can tell */

struct ask {
    unsigned refs;
    struct fleet_ask a; /* owns its arrays */
};

struct placement {
    uint64_t incarnation;
    struct service *service;
    uint32_t slot;
    struct node *node;
    struct ask *ask;
    uint8_t revision[FLEET_DIGEST];
    bool stop;
    bool current;
    bool completed;
    bool failed;
    bool orphan;
    bool reserved; /* counted on its node */
    bool reported; /* since the last all_begin */
    bool was_ready;
    uint64_t created_unix_ms;
    uint64_t mod_revision;
    char image_digest[FLEET_IMAGE_DIGEST];
    struct fleet_observation seen;   /* owns reason, image_digest and controls */
    struct placement *prev, *next;   /* of its service */
    struct placement *older, *newer; /* of its node, by mod_revision */
};

struct slot {
    uint32_t number;
    bool wanted;
    struct placement *current;
};

struct vip {
    char network[SVC_NETWORK_MAX];
    uint32_t address;
    uint64_t revision; /* of the transaction that stored it */
};

struct service {
    char name[FLEET_NAME];
    struct stack *stack;
    struct fleet_want *want; /* owned, see want.c; NULL: leaving, or orphans only */
    struct ask *ask;         /* of `want` */
    char pin[FLEET_IMAGE_DIGEST];
    struct slot *slots; /* by number */
    unsigned n_slots, cap_slots;
    struct placement *first, *last;
    unsigned n_placements;
    bool dirty;
    struct service *next_dirty;
    bool waiting; /* to be looked at again when something becomes free */
    struct service *next_waiting;
    bool released;    /* what it depends on has been seen to hold */
    bool held;        /* is not released */
    char *pending;    /* why its slots have no node, or its update stands still */
    char *hold;       /* what it waits for */
    unsigned status;  /* what it was when those that depend on it were last told */
    struct vip *vips; /* by network */
    unsigned n_vips, cap_vips;
    bool vips_stale; /* the store has something else */
    bool shown;      /* a FLEET_SERVICE of it has come */
    bool listed;     /* in this step's list of them */
};

struct stack {
    char name[FLEET_NAME];
    bool stored;
    uint32_t revision;
    uint64_t applied_unix_ms;
    uint8_t digest[FLEET_DIGEST];
    struct service **services; /* by name */
    unsigned n, cap;
    struct fleet_network *networks; /* by name */
    unsigned n_networks;
};

struct port_use {
    struct fleet_port port;
    const struct service *service;
    unsigned refs;
};

/* Who holds which ports, in the whole cluster: by port. */
struct port_table {
    struct port_use *list;
    unsigned n, cap;
};

struct removed {
    uint64_t incarnation;
    uint64_t revision;
};

struct node {
    struct id128 id;
    char name[FLEET_NAME];
    uint32_t block;
    uint64_t joined_unix_ms;
    enum fleet_node_state state;
    bool connected;
    bool settled;
    bool told_all;  /* has been settled since the fleet was loaded */
    bool reporting; /* between all_begin and all_end */
    bool has_facts;
    bool braked;
    bool touched; /* in the list of this step */
    bool put;
    bool send;
    bool send_whole;
    uint64_t since_unix_ms;
    uint64_t heard_ms;
    uint64_t ready_ms;        /* since when it was ready, before it fell silent */
    uint64_t silent_ms;       /* since when it is unknown */
    struct fleet_facts facts; /* owns everything in it */
    struct fleet_reserve reserved;
    uint32_t addresses; /* taken of its block */
    struct port_use *ports;
    unsigned n_ports, cap_ports;
    struct placement *oldest, *newest;
    unsigned n_placements;
    unsigned n_orphans;
    struct id128 assigned_sum, observed_sum, hello_sum;
    struct removed *removed;
    unsigned n_removed;
    uint64_t removed_since;
    uint32_t count; /* place.c: replicas of the service being placed */
};

struct binding {
    char name[FLEET_VOLUME];
    char stack[FLEET_NAME];
    struct node *node;
    uint64_t made_unix_ms;
};

struct service_key {
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
};

struct block_key {
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    uint32_t block;
};

struct fleet {
    uint64_t now_ms, unix_ms;
    uint64_t epoch;
    uint32_t counter; /* last incarnation of this epoch */
    uint64_t revision;
    uint64_t durable;
    uint32_t blocks_max;
    bool loaded;
    struct stack **stacks; /* by name */
    unsigned n_stacks, cap_stacks;
    struct node **nodes; /* by id */
    unsigned n_nodes, cap_nodes;
    struct binding **bindings; /* by name */
    unsigned n_bindings, cap_bindings;
    struct placement **map; /* open addressing by incarnation */
    unsigned n_map, cap_map;
    struct port_table ingress; /* published on every node */
    struct port_table hosted;  /* on some node */
    /* vips.c */
    uint32_t range;
    unsigned range_prefix, node_prefix;
    uint32_t vip_net, vip_size; /* 0: none are given */
    uint64_t *vip_used;         /* a bit each */
    uint32_t n_vip_words;
    uint32_t vip_low; /* words below are full */
    uint32_t n_vips;
    struct service *dirty_first, *dirty_last;
    struct service *waiting;
    unsigned budget;
    /* roster.c */
    uint64_t expected_until_ms;
    uint64_t look_ms; /* no node can fall silent before */
    bool brake;
    bool brake_look; /* some node came or went */
    unsigned brake_ready;
    /* emit.c: what this step has to say */
    bool txn;
    struct fleet_actions first, later;
    struct block_key *blocks;
    unsigned n_blocks, cap_blocks;
    struct node **touched;
    unsigned n_touched, cap_touched;
    struct service_key *listed;
    unsigned n_listed, cap_listed;
};

/* Makes room for one more element of `size` bytes. */
void *fleet_grow(void *list, unsigned n, unsigned *cap, size_t size);

/* want.c: owned copies */
struct fleet_want *want_copy(const struct fleet_want *from);
void want_free(struct fleet_want *want);
struct ask *want_ask(const struct fleet_ask *from); /* defaults filled in, one reference */
struct ask *want_ask_ref(struct ask *ask);
void want_ask_drop(struct ask *ask);
bool want_ask_equal(const struct fleet_ask *a, const struct fleet_ask *b);
bool want_is_job(const struct fleet_want *want);
bool want_is_global(const struct fleet_want *want);

/* incmap.c: incarnation -> placement */
struct placement *incmap_find(const struct fleet *f, uint64_t incarnation);
void incmap_add(struct fleet *f, struct placement *p);
void incmap_remove(struct fleet *f, uint64_t incarnation);

/* tables.c: stacks, services, slots, volume bindings, and the queues of services */
struct stack *tables_stack(const struct fleet *f, const char *name);
struct stack *tables_stack_make(struct fleet *f, const char *name);
struct service *tables_service(const struct stack *stack, const char *name);
struct service *tables_service_make(struct stack *stack, const char *name);
void tables_service_remove(struct fleet *f, struct service *s); /* and its stack if left empty */
struct slot *tables_slot(const struct service *s, uint32_t number);
struct slot *tables_slot_make(struct service *s, uint32_t number);
struct binding *tables_binding(const struct fleet *f, const char *name);
struct binding *tables_bind(struct fleet *f, const char *name, const char *stack,
                            struct node *node);
unsigned tables_users(const struct binding *b); /* placements on its node that mount it */
void tables_unbind(struct fleet *f, struct binding *b);
void tables_dirty(struct fleet *f, struct service *s);
struct service *tables_next_dirty(struct fleet *f); /* NULL: none */
void tables_wait(struct fleet *f, struct service *s);
void tables_wake(struct fleet *f); /* something became free: look at all that wait */
void tables_globals_dirty(struct fleet *f);
void tables_dependents_dirty(struct fleet *f, const struct service *s);
void tables_finish(struct fleet *f);

/* placements.c */
struct placement *placements_add(struct fleet *f, struct service *s, uint32_t slot,
                                 struct node *node, uint64_t incarnation, struct ask *ask);
struct placement *placements_new(struct fleet *f, struct service *s, uint32_t slot,
                                 struct node *node); /* a new incarnation of what is wanted */
void placements_join(struct placement *p);           /* complete: it counts in its node's sum */
void placements_touch(struct fleet *f, struct placement *p); /* changed: to be stored and sent */
void placements_stop(struct fleet *f, struct placement *p, const char *why);
void placements_demote(struct fleet *f, struct placement *p); /* not its slot's current any more */
void placements_promote(struct fleet *f, struct placement *p, struct slot *slot);
void placements_remove(struct fleet *f, struct placement *p); /* frees it */
void placements_forget_seen(struct placement *p);
bool placements_ready(const struct placement *p);
bool placements_outdated(const struct placement *p);
bool placements_ended(const struct placement *p); /* observed: nothing runs of it */

/* capacity.c */
void capacity_take(struct fleet *f, struct placement *p);
void capacity_give(struct fleet *f, struct placement *p);
bool capacity_port_free(const struct fleet *f, const struct node *node,
                        const struct fleet_port *port, const struct service *service,
                        const struct port_use **ret_taken);
bool capacity_publishes(const struct fleet *f, const struct service *s,
                        const struct fleet_port *port); /* one of its placements holds it */
uint64_t capacity_share(const struct node *node);       /* largest reserved part, of 65536 */

/* roster.c */
struct node *roster_find(const struct fleet *f, struct id128 id);
struct node *roster_named(const struct fleet *f, const char *name_or_id);
struct node *roster_add(struct fleet *f, struct id128 id, const char *name, uint32_t block);
bool roster_usable(const struct node *node); /* ready, and all it runs is known */
void roster_hello(struct fleet *f, const struct fleet_event *e);
void roster_facts(struct fleet *f, struct node *node, const struct fleet_facts *facts);
void roster_settle(struct fleet *f, struct node *node);
void roster_lost(struct fleet *f, const struct fleet_event *e);
void roster_finish(struct fleet *f);

/* silence.c: who has fallen silent, and the brake */
void silence_expect_all(struct fleet *f);
void silence_stall(struct fleet *f, uint64_t gap_ms);
void silence_heard(struct fleet *f, struct node *node);
void silence_look(struct fleet *f); /* marks who has fallen silent */
void silence_brake(struct fleet *f);
uint64_t silence_deadline(const struct fleet *f);
void silence_mark(struct fleet *f, struct node *node); /* its services need a look */

/* vips.c: virtual addresses */
void vips_range(struct fleet *f, uint32_t range, unsigned prefix, unsigned node_prefix);
void vips_load(struct fleet *f, struct service *s, const char *network, uint32_t address);
void vips_loaded(struct fleet *f, struct service *s);      /* all of them: before it is settled */
void vips_avoid(struct fleet *f, const struct node *node); /* its block may lie in their range */
/* How many of those asked for are not there yet, and how many are left to give. */
unsigned vips_missing(const struct fleet *f, const struct fleet_stack_want *asked);
unsigned vips_left(const struct fleet *f);
void vips_settle(struct fleet *f, struct service *s); /* one for each network it wants */
void vips_drop(struct fleet *f, struct service *s);
const struct vip *vips_find(const struct service *s, const char *network);

/* netrules.c: which networks a stack may declare, join, or take away */
bool netrules_apply(struct fleet *f, const struct fleet_event *e); /* false: it has replied */
bool netrules_delete(struct fleet *f, uint64_t request, const struct stack *stack,
                     const struct service *only);
void netrules_set(struct fleet *f, struct stack *stack, const struct fleet_stack_want *asked);
/* As it is declared, whoever does; NULL: nobody does. */
const struct fleet_network *netrules_declared(const struct fleet *f, const struct stack *user,
                                              const char *name);

/* apply.c, observe.c, reload.c: events */
void apply_event(struct fleet *f, const struct fleet_event *e);
void apply_delete(struct fleet *f, const struct fleet_event *e);
void apply_forget(struct fleet *f, const struct fleet_event *e);
void observe_event(struct fleet *f, const struct fleet_event *e);
bool reload_event(struct fleet *f, const struct fleet_event *e);

/* reconcile.c, rivals.c, roll.c, depend.c, place.c: one service */
void reconcile_service(struct fleet *f, struct service *s);
void rivals_settle(struct fleet *f, struct service *s);
bool rivals_adopt(struct fleet *f, struct service *s, struct slot *slot);
void roll_service(struct fleet *f, struct service *s);
/* The slot the update waits for; NULL: it can go on. */
const struct slot *roll_busy(const struct service *s);
bool depend_holds(const struct service *s, char ret_text[FLEET_TEXT]);
unsigned depend_status(const struct service *s); /* what others may wait for, as bits */
/* Places what has no node, within the budget. Returns false if some slot found no node. */
bool place_service(struct fleet *f, struct service *s);
/* Whether `p`, once gone, could be replaced; false: `ret_text` says why not. */
bool place_could_replace(struct fleet *f, struct placement *p, char ret_text[FLEET_TEXT]);
/* The node a slot of a global service belongs to; NULL: none. */
struct node *place_global_node(const struct fleet *f, const struct slot *slot);

/* emit.c */
void emit_put_stack(struct fleet *f, const struct stack *stack);
void emit_del_stack(struct fleet *f, const struct stack *stack);
void emit_put_node(struct fleet *f, struct node *node);
void emit_volume(struct fleet *f, enum fleet_action_type type, const struct binding *b);
void emit_block(struct fleet *f, const struct service *s, uint32_t slot);
void emit_vips(struct fleet *f, const struct service *s);
void emit_service(struct fleet *f, struct service *s); /* something of it may look different */
void emit_send(struct fleet *f, struct node *node, bool whole);
void emit_welcome(struct fleet *f, struct node *node, bool report_all);
void emit_refuse(struct fleet *f, struct id128 node_id, enum fleet_refusal refusal, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));
void emit_raise_epoch(struct fleet *f, uint64_t epoch);
/* The action may be given lines; good until the next emit. */
struct fleet_action *emit_reply(struct fleet *f, uint64_t request, enum fleet_result result,
                                const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void emit_happened(struct fleet *f, enum fleet_happening what, const char *stack,
                   const char *service, uint32_t slot, const char *node, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
void emit_of(struct fleet *f, enum fleet_happening what, const struct placement *p, const char *fmt,
             ...) __attribute__((format(printf, 4, 5)));
void emit_flush(struct fleet *f, struct fleet_actions *ret);
void emit_finish(struct fleet *f);

/* words.c */
void words_bytes(uint64_t bytes, char ret[32]);
void words_address(uint32_t address, char ret[16]);
void words_clock(uint64_t unix_ms, char ret[32]); /* "12:03 UTC" */
void words_set(char **text, const char *to);      /* replaces an owned sentence; NULL: none */

#endif
