// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_ORDER_H
#define WHERRY_AGENT_ORDER_H

/* What one container shall be: the document that a placement names, decoded once and shared by all
 * placements of its revision, and what the agent reads out of it together with the image. The
 * document is immutable; whoever holds a reference may read it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/node.h"
#include "agent/image.h"
#include "common/err.h"

struct Wherry__Spec__Container;
struct order;

/* Decodes a document. Gives the first reference. -EBADMSG, -E2BIG with the place. */
int order_decode(const void *bytes, size_t len, struct order **ret_order, struct err *e);
struct order *order_ref(struct order *order);
void order_unref(struct order *order); /* accepts NULL */

/* Borrow as long as the reference is held. */
const struct Wherry__Spec__Container *order_spec(const struct order *order);
const char *order_image(const struct order *order);
const char *order_hostname(const struct order *order); /* "": nothing said */

/* SHA-256 of its canonical encoding: the revision that placements name. */
#define ORDER_DIGEST 32
void order_digest(const struct order *order, uint8_t ret_digest[ORDER_DIGEST]);

enum order_network { ORDER_NETWORK_BRIDGE, ORDER_NETWORK_HOST, ORDER_NETWORK_NONE };
enum order_network order_network(const struct order *order);

#define ORDER_GRACE_DEFAULT_MS                                                                     \
    10000 /* between the stop signal and the kill, if nothing is said                              \
           */

/* How long others have to learn that a container goes, before it is told: the next report (50 ms at
 * most), the controller's table, and their rules. */
#define ORDER_DRAIN_MS 200

/* The part that the core decides upon. */
void order_want(const struct order *order, uint64_t incarnation, bool stop, struct node_want *ret);

/* What depends on the image too. `image` NULL: as if it said nothing. */
void order_traits(const struct order *order, const struct image *image, struct node_traits *ret);

enum order_probe_kind { ORDER_PROBE_NONE, ORDER_PROBE_EXEC, ORDER_PROBE_TCP, ORDER_PROBE_HTTP };

struct order_probe {
    enum order_probe_kind kind;
    char *const *argv; /* exec */
    unsigned argc;
    uint16_t port;
    const char *path;
    const char *host;
};

/* How its health is asked for. Borrows from the document and the image. */
void order_probe(const struct order *order, const struct image *image, struct order_probe *ret);

struct order_port {
    bool udp;
    uint16_t target;
    uint16_t published;
    bool host;           /* mode: host */
    const char *host_ip; /* "": every address */
};

/* The i-th published port. False: there is none. */
bool order_port(const struct order *order, unsigned i, struct order_port *ret);

struct order_network_use {
    const char *name;
    uint32_t ipv4;  /* the address it asks for, host order; 0: none */
    uint8_t mac[6]; /* of eth0; zero: not asked */
    bool internal;
    bool ipv6;
};

/* The i-th network it is on, by name. False: there is none. */
bool order_network_use(const struct order *order, unsigned i, struct order_network_use *ret);

/* What names and addresses it is told. Each returns NULL where there is no i-th. */
const char *order_domainname(const struct order *order); /* "": nothing said */
bool order_dns(const struct order *order, unsigned i, uint32_t *ret_address);
const char *order_dns_search(const struct order *order, unsigned i);
const char *order_dns_opt(const struct order *order, unsigned i);
/* `ret_address` is an address, or "host-gateway". */
const char *order_extra_host(const struct order *order, unsigned i, const char **ret_address);

/* Whether it may go only to the networks that order_egress_to tells, of those outside the
 * cluster. A document with one that cannot be read, or with more of them, is none. */
#define ORDER_EGRESS_MAX 64u
bool order_egress_restricted(const struct order *order);
bool order_egress_to(const struct order *order, unsigned i, uint32_t *ret_net,
                     unsigned *ret_prefix);

/* Bits a second of its link; 0: no limit. */
void order_bandwidth(const struct order *order, uint64_t *ret_in, uint64_t *ret_out);

enum order_mount_kind { ORDER_MOUNT_VOLUME, ORDER_MOUNT_BIND, ORDER_MOUNT_TMPFS };

struct order_mount {
    enum order_mount_kind kind;
    const char *source; /* volume: its name on the node; bind: path on the host */
    const char *target;
    bool read_only;
    bool create;
};

/* The i-th mount. False: there is none. */
bool order_mount(const struct order *order, unsigned i, struct order_mount *ret);

#endif
