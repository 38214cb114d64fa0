// SPDX-License-Identifier: Apache-2.0
#include "common/ip6.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "common/name.h"

#define LOCAL   0xfdu /* unique local addresses, RFC 4193 */
#define V4_BYTE (IP6_V4_AT / 8)

struct ip6 ip6_cluster(const char *cluster_id)
{
    struct id128 hash = id128_hash(cluster_id, strlen(cluster_id));
    struct ip6 net = {.bytes = {LOCAL}};

    for (unsigned i = 1; i < IP6_PREFIX / 8; i++) {
        net.bytes[i] = (uint8_t)(hash.lo >> (40 - 8 * i));
    }
    return net;
}

struct ip6 ip6_of(const struct ip6 *cluster, uint32_t address)
{
    struct ip6 a = *cluster;
    uint32_t be = htonl(address);

    static_assert(V4_BYTE + sizeof(be) == sizeof(a.bytes), "the last of it");
    memcpy(a.bytes + V4_BYTE, &be, sizeof(be));
    return a;
}

bool ip6_to_v4(const struct ip6 *cluster, const struct ip6 *address, uint32_t *ret_address)
{
    uint32_t be;

    if (memcmp(cluster->bytes, address->bytes, V4_BYTE) != 0) {
        return false;
    }
    memcpy(&be, address->bytes + V4_BYTE, sizeof(be));
    *ret_address = ntohl(be);
    return true;
}

bool ip6_equal(const struct ip6 *a, const struct ip6 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void ip6_text(const struct ip6 *address, char ret[IP6_TEXT])
{
    static_assert(IP6_TEXT == INET6_ADDRSTRLEN, "as the C library has it");
    (void)inet_ntop(AF_INET6, address->bytes, ret, IP6_TEXT);
}

bool ip6_parse(const char *text, struct ip6 *ret)
{
    struct ip6 a;

    if (inet_pton(AF_INET6, text, a.bytes) != 1) {
        return false;
    }
    *ret = a;
    return true;
}
