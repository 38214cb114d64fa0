// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netconfig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/name.h"

#define STATE_PATH_USUAL "/var/lib/wherry"
#define MTU_MIN          576u /* what IPv4 promises */
#define BLOCK_BITS_MIN   2u   /* a block of four addresses has two to give */
#define BLOCK_BITS_MAX   16u
#define METRIC_BASE      1024u
#define METRIC_SPREAD    (1u << 20)

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) { /* FNV-1a */
        h = (h ^ p[i]) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

static uint64_t hash_suffix(const char *suffix)
{
    return mix(0xcbf29ce484222325u, suffix, strlen(suffix));
}

static void put_letters(uint64_t bits, char *ret, unsigned n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

    for (unsigned i = 0; i < n; i++, bits >>= 5) {
        ret[i] = letters[bits & 31];
    }
    ret[n] = '\0';
}

void netconfig_suffix(const char *state_path, char ret[NET_SUFFIX_MAX + 1])
{
    struct id128 hash = id128_hash(state_path, strlen(state_path));

    if (strcmp(state_path, STATE_PATH_USUAL) == 0) {
        (void)snprintf(ret, NET_SUFFIX_MAX + 1, "node");
    } else {
        (void)snprintf(ret, NET_SUFFIX_MAX + 1, "s%08x", (unsigned)(hash.lo & 0xffffffffu));
    }
}

void netconfig_table_name(const char *suffix, char *ret, size_t size)
{
    bool plain = strcmp(suffix, "node") == 0;

    (void)snprintf(ret, size, "wherry%s%s", plain ? "" : "_", plain ? "" : suffix);
}

void netconfig_link_prefix(const char *suffix, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "wh");
    put_letters(hash_suffix(suffix), ret + 2, 4);
}

/* "wh" + 4 letters of the suffix + 9 of the run: an interface's name has room for 15. The alias
 * says the same in full. */
void netconfig_link_name(const char *suffix, struct net_id id, char ret[NETCONFIG_LINK_NAME])
{
    uint64_t h = mix(hash_suffix(suffix), &id.incarnation, sizeof(id.incarnation));

    h = mix(h, &id.run, sizeof(id.run));
    netconfig_link_prefix(suffix, ret);
    put_letters(h, ret + strlen(ret), 9);
}

/* "wh" and "wi": so that no rule for links means them. */
void netconfig_mirror_of_link(const char *link, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "wi%s", link + 2);
}

void netconfig_link_of_mirror(const char *mirror, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "wh%s", mirror + 2);
}

void netconfig_vxlan_name(const char *suffix, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "wx");
    put_letters(hash_suffix(suffix), ret + 2, 4);
}

void netconfig_vxlan6_name(const char *suffix, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "wy");
    put_letters(hash_suffix(suffix), ret + 2, 4);
}

void netconfig_wireguard_name(const char *suffix, char ret[NETCONFIG_LINK_NAME])
{
    (void)snprintf(ret, NETCONFIG_LINK_NAME, "ww");
    put_letters(hash_suffix(suffix), ret + 2, 4);
}

uint32_t netconfig_metric(const char *suffix)
{
    return METRIC_BASE + (uint32_t)(hash_suffix(suffix) % METRIC_SPREAD);
}

static uint32_t mask_of(unsigned prefix)
{
    return prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);
}

static int check_suffix(const char *suffix, struct err *e)
{
    size_t len = strlen(suffix);

    if (len == 0 || len > NET_SUFFIX_MAX ||
        strspn(suffix, "abcdefghijklmnopqrstuvwxyz0123456789_") != len) {
        return err_say(e, EINVAL, "network suffix \"%.40s\": 1 to %d of a-z, 0-9 and _", suffix,
                       NET_SUFFIX_MAX);
    }
    return 0;
}

int netconfig_check_net(const char *what, uint32_t net, unsigned prefix, struct err *e)
{
    if (prefix > 32 || (net & ~mask_of(prefix)) != 0) {
        return err_say(e, EINVAL, "%s %u.%u.%u.%u/%u: no network", what, net >> 24,
                       net >> 16 & 0xff, net >> 8 & 0xff, net & 0xff, prefix);
    }
    return 0;
}

int netconfig_check(const struct net_config *c, struct err *e)
{
    int rc = check_suffix(c->suffix, e);

    if (rc == 0) {
        rc = netconfig_check_net("cluster range", c->range, c->range_prefix, e);
    }
    if (rc == 0) {
        rc = netconfig_check_net("node block", c->block, c->block_prefix, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (32 - c->block_prefix < BLOCK_BITS_MIN || 32 - c->block_prefix > BLOCK_BITS_MAX) {
        return err_say(e, EINVAL, "node block: a prefix of %u; %u to %u are possible",
                       c->block_prefix, 32 - BLOCK_BITS_MAX, 32 - BLOCK_BITS_MIN);
    }
    if (c->block_prefix < c->range_prefix || (c->block & mask_of(c->range_prefix)) != c->range) {
        return err_say(e, EINVAL, "node block: not inside the cluster range");
    }
    if (c->mtu != 0 && (c->mtu < MTU_MIN || c->mtu > 65535)) {
        return err_say(e, EINVAL, "mtu %u: %u to 65535 are possible", c->mtu, MTU_MIN);
    }
    return 0;
}
