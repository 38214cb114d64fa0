// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_PRIV_H
#define WHERRY_AGENT_UV_AGENT_PRIV_H

/* Shared by the parts of the agent's executor. One struct per agent, one `unit` per incarnation,
 * one `attempt` per run that has something on the host. */

#include <uv.h>

#include "agent/idrange.h"
#include "agent/images.h"
#include "agent/ledger.h"
#include "agent/nodefacts.h"
#include "agent/order.h"
#include "agent/statedir.h"
#include "agent/uv_agent.h"
#include "agent/uv_engine.h"
#include "agent/uv_journal.h"
#include "agent/uv_worker.h"
#include "agent/volumes.h"

#define UV_AGENT_NAME_MAX     160 /* "stack/service.slot" */
#define UV_AGENT_MOUNTS_MAX   64
#define UV_AGENT_HOSTNAME_MAX (NAME_MAX_LEN + 16)

struct link_services; /* common/codec_link.h */
struct uv_agent_net;  /* uv_agent_net.c */
struct uv_agent_link; /* uv_agent_link.c */

struct unit;
struct probe;  /* uv_agent_probe.c */
struct change; /* uv_agent_local.c */

/* One run: what was taken for it, and what must be given back. */
struct attempt {
    struct attempt *next;
    struct unit *unit;
    struct node_of of;
    struct uv_engine_run *run; /* NULL: not prepared, or let go */
    uint32_t ids;              /* 0: none */
    uint32_t address;          /* 0: none; IPv4 in host order */
    bool attached;             /* the network knows it */
    bool started;              /* its end is a matter of the core */
    bool cleaning;
    uint64_t controls_told; /* session of the link that has been told its sandbox's controls */
    char pinned[IMAGE_DIGEST_MAX]; /* "": no image is pinned */
    char *sources[UV_AGENT_MOUNTS_MAX];
    struct image *image; /* owned copy; NULL: not known (found after a restart, image gone) */
};

/* One incarnation, as long as anything of it is left. */
struct unit {
    struct unit *next;
    struct uv_agent *agent;
    uint64_t incarnation;
    char name[UV_AGENT_NAME_MAX];
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    uint32_t slot;
    uint8_t revision[CODEC_JOURNAL_DIGEST];
    char image_digest[LEDGER_DIGEST_TEXT];
    struct order *order; /* NULL: a stray, of which only remains are known; or it is damaged */
    char *damage;        /* why its document cannot be read; else NULL */
    struct attempt *attempts;
    enum health_state saved_health; /* as uv_agent_keep.c wrote it, of run `saved_run` */
    uint32_t saved_run;
};

struct queued {
    struct queued *next;
    struct node_event event;
    char *text;              /* owns what the event borrows */
    struct node_want *wants; /* likewise */
    uint64_t *removed;
};

struct uv_agent {
    uv_loop_t *loop;
    struct uv_agent_options options;
    struct statedir dirs;
    struct ledger ledger;
    struct uv_journal *journal;
    struct node *node;
    struct images *images;
    struct volumes volumes;
    bool volumes_open;
    struct idrange ids;
    struct nodefacts facts;
    struct uv_engine *engine;
    struct uv_worker *worker;
    struct uv_agent_net *net;
    struct uv_agent_link *link; /* NULL: no controller */
    char *worker_program;
    char *shim_program;
    char *images_dir;
    struct unit *units;
    uv_timer_t timer;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_fs_event_t images_event;
    struct queued *queue;
    struct queued **queue_end;
    bool loop_open;         /* the five handles above are initialised */
    uint64_t turn_since_ns; /* when this turn of the loop began (before its poll) */
    uint64_t turn_waited_ns;
    uint64_t lag_us_max;         /* the longest turn, less its waiting */
    uv_process_t sweeper;        /* of discarded volumes */
    const char *sweeper_program; /* this program again: of questions, too */
    bool sweeping, sweep_again;
    unsigned n_asks; /* processes that look for answers (uv_agent_ask.c) */
    struct probe *probes;
    struct change *changes; /* wait for the journal */
    unsigned live;          /* handles and parts that are not closed yet */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- uv_agent_act.c ---- */
void uv_agent_act(struct uv_agent *a, const struct node_action *action);

/* ---- uv_agent_queue.c: time and events; uv_agent_unit.c: units and attempts ---- */

void uv_agent_queue_drain(struct uv_agent *a);
void uv_agent_queue_drop(struct uv_agent *a);
struct unit *uv_agent_unit_stray(struct uv_agent *a, uint64_t incarnation);

uint64_t uv_agent_now_ms(void);
uint64_t uv_agent_unix_ms(void);

/* Queues an event that borrows nothing. */
void uv_agent_queue(struct uv_agent *a, const struct node_event *event);
void uv_agent_queue_failed(struct uv_agent *a, enum node_event_type type, struct node_of of,
                           bool wait, bool final, const char *reason);
void uv_agent_queue_probed(struct uv_agent *a, struct node_of of, bool ok, const char *text);
void uv_agent_queue_restore(struct uv_agent *a, const struct ledger_placement *p);

/* Takes both arrays. */
void uv_agent_queue_assign(struct uv_agent *a, struct node_want *wants, unsigned n_wants,
                           uint64_t *removed, unsigned n_removed, bool whole);

struct unit *uv_agent_unit(struct uv_agent *a, uint64_t incarnation);
struct attempt *uv_agent_attempt(struct uv_agent *a, struct node_of of);
struct attempt *uv_agent_attempt_add(struct unit *unit, struct node_of of);
void uv_agent_attempt_free(struct attempt *at);
void uv_agent_unit_drop(struct uv_agent *a, uint64_t incarnation);

/* The unit of a placement of the ledger, made where missing. If its document cannot be read (a
 * controller of another age wrote it), what runs goes on, and nothing new is started of it. */
struct unit *uv_agent_unit_of(struct uv_agent *a, const struct ledger_placement *p);

/* How the core shall have it. */
void uv_agent_unit_want(const struct unit *unit, bool stop, struct node_want *ret);

/* Applies to the ledger and puts into the journal's next batch. */
int uv_agent_record(struct uv_agent *a, const struct journal_record *record, struct err *e);

/* One more part of the agent that must close before its memory goes; and one less. Whoever calls
 * the *_close of a part holds for it; the part releases, once, when its memory is gone. */
void uv_agent_hold(struct uv_agent *a);
void uv_agent_release(struct uv_agent *a);

/* ---- uv_agent_start.c ---- */
void uv_agent_start_prepare(struct uv_agent *a, struct node_of of);
void uv_agent_start_run(struct uv_agent *a, struct node_of of);
/* All but the log's path. `hostname` is what it borrows. */
void uv_agent_start_order(struct attempt *at, char hostname[UV_AGENT_HOSTNAME_MAX],
                          struct uv_engine_order *ret);
const struct uv_engine_events *uv_agent_start_events(struct attempt *at,
                                                     struct uv_engine_events *ret);

/* ---- uv_agent_clean.c ---- */
void uv_agent_clean_run(struct uv_agent *a, struct node_of of);
/* A run that could not be taken up is killed by removing it. */
void uv_agent_clean_kill(struct uv_agent *a, struct node_of of);
void uv_agent_clean_give_back(struct attempt *at);

/* ---- uv_agent_adopt.c ---- */
int uv_agent_adopt_all(struct uv_agent *a, struct err *e);

/* ---- uv_agent_probe.c ---- */
void uv_agent_probe_ask(struct uv_agent *a, struct node_of of);
void uv_agent_probe_cancel(struct uv_agent *a); /* all of them; no events come any more */

/* ---- uv_agent_keep.c: what is kept beside the journal ---- */

/* Writes the health down where a later agent finds it, if it has changed. */
void uv_agent_keep_health(struct uv_agent *a, const struct node_container *c);
enum health_state uv_agent_keep_read(const struct uv_agent *a, struct node_of of);
/* Nothing is left of it: its health and its logs go too. */
void uv_agent_keep_drop(struct uv_agent *a, uint64_t incarnation);
/* At the start: of incarnations that no unit has. */
void uv_agent_keep_sweep(struct uv_agent *a);

/* ---- uv_agent_trash.c ---- */
/* Discards a volume that nobody uses; else `ret_error` says who does or what went wrong. */
void uv_agent_trash_discard(struct uv_agent *a, const char *volume, char *ret_error, size_t size);
void uv_agent_trash_sweep(struct uv_agent *a);
void uv_agent_trash_cancel(struct uv_agent *a);

/* ---- uv_agent_local.c ---- */
int uv_agent_local_network(struct uv_agent *a, struct err *e);
void uv_agent_local_drop(struct uv_agent *a); /* changes that the journal has not answered */

/* ---- uv_agent_net.c ---- */
int uv_agent_net_create(struct uv_agent *a, struct err *e);
int uv_agent_net_attach(struct attempt *at, int netns_fd, struct err *e);
int uv_agent_net_reserve(struct attempt *at, struct err *e); /* an address, before the attach */
void uv_agent_net_found(struct attempt *at);
void uv_agent_net_detach(struct attempt *at);
/* The core is about to be told that everything has been found, and knows all of it. */
void uv_agent_net_looked(struct uv_agent *a);
/* What the core has of it may have changed. */
void uv_agent_net_state(struct uv_agent *a, uint64_t incarnation);
/* Why containers have no network, or find no names; "": all is well. */
const char *uv_agent_net_degraded(const struct uv_agent *a);
void uv_agent_net_close(struct uv_agent *a);

#define UV_AGENT_KEY 32 /* bytes of a WireGuard key */

struct uv_agent_route {
    char node_id[ID128_HEX + 1];
    char name[NAME_MAX_LEN + 1];
    char underlay[64];         /* address of the other host */
    char block[64];            /* "10.128.4.0/22": what lives there */
    uint8_t key[UV_AGENT_KEY]; /* zero: it has shown none */
};
/* The ledger's cluster_range and node_block have been told for the first time, or have changed. */
void uv_agent_net_configure(struct uv_agent *a);
/* Where the blocks of all nodes are, this one's among them: complete. Borrowed until return. */
void uv_agent_net_routes(struct uv_agent *a, const struct uv_agent_route *routes, unsigned n);

/* ---- uv_agent_net_table.c ---- */
/* The controller's word about services. False: it is too much, or the table is not what it should
 * be now. */
bool uv_agent_net_services(struct uv_agent *a, const struct link_services *s);
/* A table that was being told as a whole will not be told to its end. */
void uv_agent_net_services_drop(struct uv_agent *a);
struct id128 uv_agent_net_services_sum(const struct uv_agent *a);

/* Whether nothing may go from node to node but encrypted. */
void uv_agent_net_encrypt(struct uv_agent *a, bool on);
/* This node's public key; zero: none. */
void uv_agent_net_key(const struct uv_agent *a, uint8_t ret[UV_AGENT_KEY]);

/* ---- uv_agent_link.c ---- */
/* After everything was found: dials options.controller from now on. -EINVAL: it is no address. */
int uv_agent_link_create(struct uv_agent *a, struct err *e);
/* An observation has changed, or nothing is left of the incarnation. */
void uv_agent_link_report(struct uv_agent *a, uint64_t incarnation, bool gone);
/* Images or facts have changed. */
void uv_agent_link_facts(struct uv_agent *a);
/* Ends the session; uv_agent_release when its memory is gone. */
void uv_agent_link_close(struct uv_agent *a);

#endif
