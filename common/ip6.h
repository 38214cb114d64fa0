// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_IP6_H
#define WHERRY_COMMON_IP6_H

/* A container's IPv6 address follows from its IPv4 one: fdXX:XXXX:XXXX::a.b.c.d, where X is what
 * the cluster's id hashes to (RFC 4193 wants 40 random bits). So nothing is allocated, stored or
 * told a second time, and blocks and routes are those of IPv4 with 96 more bits. Pure; IPv4
 * addresses in host order. */

#include <stdbool.h>
#include <stdint.h>

#define IP6_TEXT   46 /* an address and its end */
#define IP6_PREFIX 48 /* bits that a cluster's addresses have in common, and as many that are 0 */
#define IP6_V4_AT  96 /* bits before those of IPv4: a block of /22 is one of /118 */

struct ip6 {
    uint8_t bytes[16];
};

/* The network of a cluster, by its id ("": never joined). */
struct ip6 ip6_cluster(const char *cluster_id);

struct ip6 ip6_of(const struct ip6 *cluster, uint32_t address);

/* False: it is none of that cluster's. */
bool ip6_to_v4(const struct ip6 *cluster, const struct ip6 *address, uint32_t *ret_address);

bool ip6_equal(const struct ip6 *a, const struct ip6 *b);

/* As RFC 5952 has it: "fd12:3456:789a::a80:401". */
void ip6_text(const struct ip6 *address, char ret[IP6_TEXT]);
bool ip6_parse(const char *text, struct ip6 *ret);

#endif
