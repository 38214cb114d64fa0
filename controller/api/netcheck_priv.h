// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_NETCHECK_PRIV_H
#define WHERRY_CONTROLLER_NETCHECK_PRIV_H

/* Shared by the judges of the hops: netcheck.c (their table), netcheck_fact.c (reading and saying),
 * netcheck_name.c and netcheck_way.c (one function per hop). */

#include <stdbool.h>

#include "controller/api/netcheck.h"

/* One row of an answer. */
struct netcheck_fact {
    const void *row; /* NULL: nobody told */
    size_t len;
    const char *node;
};

struct netcheck_facts {
    const struct api_gather *what;
    const struct api_part *from;   /* of A's node; NULL: it was not asked */
    const struct api_parts *parts; /* from the second one on of B's containers */
};

/* The next row of this kind of a part, which may be NULL; `*at` begins at 0. */
bool netcheck_next(const struct api_part *part, size_t *at, const char *kind,
                   struct netcheck_fact *ret);
struct netcheck_fact netcheck_first(const struct api_part *part, const char *kind);

const char *netcheck_word(const struct netcheck_fact *f, const char *key); /* "": not told */
bool netcheck_has(const struct netcheck_fact *f, const char *key);
bool netcheck_is(const struct netcheck_fact *f, const char *key, const char *value);
unsigned long long netcheck_number(const struct netcheck_fact *f, const char *key);

void netcheck_say(struct netcheck_step *s, enum netcheck_state state, const char *node,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void netcheck_mend(struct netcheck_step *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void netcheck_unknown(struct netcheck_step *s); /* nobody told what it needs */

/* A's node; "": none was asked. */
const char *netcheck_node(const struct netcheck_facts *f);
/* The i-th answer; NULL: there is none. */
const struct api_part *netcheck_part(const struct netcheck_facts *f, unsigned i);

/* The node of an endpoint, if it was asked about; else words for it. */
const char *netcheck_endpoint_node(const struct netcheck_facts *f,
                                   const struct netcheck_fact *endpoint);

/* The first endpoint for which a field has this value, among those that are ready; and the first
 * of which it is told at all. */
struct netcheck_fact netcheck_endpoint_with(const struct netcheck_facts *f, const char *key,
                                            const char *value);
struct netcheck_fact netcheck_endpoint_that_has(const struct netcheck_facts *f, const char *key);

/* netcheck_name.c */
void netcheck_name_source(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_name(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_backend(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_vip(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_network(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_egress(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_name_target(const struct netcheck_facts *f, struct netcheck_step *s);

/* netcheck_way.c */
void netcheck_way_route(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_peer(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_tunnel(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_mtu(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_rules(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_firewall(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_forwarding(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_route_back(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_listens(const struct netcheck_facts *f, struct netcheck_step *s);
void netcheck_way_connection(const struct netcheck_facts *f, struct netcheck_step *s);

#endif
