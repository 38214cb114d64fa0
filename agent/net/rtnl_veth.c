// SPDX-License-Identifier: Apache-2.0
/* A veth takes two batches on either end: the first makes and names, and asks for the index by
 * which the second refers to it. Nothing inside a container is trusted: its end is made there by
 * us, by a socket of ours, and its answers are the kernel's. */
#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netns.h"
#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define PEER_NAME "eth0"

/* The same on every host's end: each link has two ends only, so it need not be unique. */
static const uint8_t gateway_mac[6] = {0x02, 'w', 'h', 'r', 'r', 'y'};

/* As asked for, else it follows from the address, so that a container keeps it for as long as its
 * address. */
static void peer_mac(const struct rtnl_peer *peer, uint8_t ret[6])
{
    static const uint8_t none[6];
    uint32_t be = htonl(peer->address);

    if (memcmp(peer->mac, none, sizeof(none)) != 0) {
        memcpy(ret, peer->mac, sizeof(peer->mac));
        return;
    }
    ret[0] = 0x02;
    ret[1] = 'w';
    memcpy(ret + 2, &be, sizeof(be));
}

/* ---- messages ---- */

/* One queue: a veth has no hardware to spread over, and each costs memory. */
static void put_shape(struct nlmsghdr *h, const char *name, unsigned mtu, const uint8_t mac[6])
{
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
}

static void put_create(struct nlbatch *m, const struct rtnl_veth *v)
{
    struct nlmsghdr *h = rtnlmsg_link(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make the link");
    struct nlattr *info;
    struct nlattr *data;
    struct nlattr *peer;
    uint8_t mac[6];

    put_shape(h, v->name, v->mtu, gateway_mac);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    peer_mac(&v->peer, mac);
    put_shape(h, PEER_NAME, v->mtu, mac);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)v->netns_fd);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

/* ---- a veth ---- */

static void on_index(void *arg, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);

    if (answer->nlmsg_type == RTM_NEWLINK) {
        *(unsigned *)arg = (unsigned)link->ifi_index;
    }
}

static int make_link(int fd, const struct rtnl_veth *v, unsigned *ret_index, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    put_create(&m, v);
    rtnlmsg_get(&m, v->name);
    return nlbatch_run(&m, fd, on_index, ret_index, e);
}

static void put_address(struct nlbatch *m, uint32_t address, const uint8_t mac[6], unsigned index,
                        uint16_t flags)
{
    rtnlmsg_neighbour(m, RTM_NEWNEIGH, index, address, mac);
    rtnlmsg_way(m, RTM_NEWROUTE, flags,
                &(struct rtnlmsg_way){.dst = address,
                                      .prefix = 32,
                                      .index = index,
                                      .type = RTN_UNICAST,
                                      .scope = RT_SCOPE_LINK,
                                      .protocol = RTNL_PROTOCOL});
}

/* The host's end asks nobody and answers nobody: both ends know each other by permanent neighbours.
 * Else a container would learn the host's addresses, and fill the table of neighbours that all of
 * the host's links share with senders of its own invention. */
static struct nlmsghdr *put_up(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h = rtnlmsg_up(m, name, "bring the host's end up");

    rtnlmsg_noarp(h);
    return h;
}

static void put_address6(struct nlbatch *m, const struct rtnl_peer *peer, const uint8_t mac[6],
                         unsigned index, uint16_t flags)
{
    rtnlmsg_neighbour6(m, RTM_NEWNEIGH, index, &peer->six, peer->address, mac);
    rtnlmsg_way(m, RTM_NEWROUTE, flags,
                &(struct rtnlmsg_way){.six = &peer->six,
                                      .dst = peer->address,
                                      .prefix = 32,
                                      .index = index,
                                      .type = RTN_UNICAST,
                                      .protocol = RTNL_PROTOCOL});
}

/* `flags` say what becomes of routes that are there. */
static void put_peer(struct nlbatch *m, const struct rtnl_peer *peer, unsigned index,
                     uint16_t flags)
{
    uint8_t mac[6];

    peer_mac(peer, mac);
    put_address(m, peer->address, mac, index, flags);
    if (peer->extra != 0) {
        put_address(m, peer->extra, mac, index, flags);
    }
    if (peer->ipv6) {
        put_address6(m, peer, mac, index, flags);
    }
}

static int set_host_end(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_no_ipv6(&m, v->name);
    h = put_up(&m, v->name);
    mnl_attr_put_strz(h, IFLA_IFALIAS, v->alias);
    rtnlmsg_settings(h);
    put_peer(&m, &v->peer, index, NLM_F_CREATE | NLM_F_EXCL);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

int rtnl_veth_hold(int fd, const char *name, unsigned index, const struct rtnl_peer *peer,
                   struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_settings(put_up(&m, name));
    put_peer(&m, peer, index, NLM_F_CREATE | NLM_F_REPLACE);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

bool rtnl_veth_is_peer(const struct rtnl_peer *peer, const struct rtnl_neighbour *neighbour)
{
    uint8_t mac[6];

    peer_mac(peer, mac);
    return memcmp(mac, neighbour->mac, sizeof(mac)) == 0;
}

static int find_peer(int fd, unsigned *ret_index, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    (void)rtnlmsg_up(&m, "lo", "bring lo up");
    rtnlmsg_no_ipv6(&m, PEER_NAME);
    (void)rtnlmsg_up(&m, PEER_NAME, "bring " PEER_NAME " up");
    rtnlmsg_get(&m, PEER_NAME);
    return nlbatch_run(&m, fd, on_index, ret_index, e);
}

static int set_peer(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    struct rtnlmsg_way way = {.dst = v->gateway,
                              .prefix = 32,
                              .index = index,
                              .type = RTN_UNICAST,
                              .scope = RT_SCOPE_LINK,
                              .protocol = RTPROT_STATIC};
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_address(&m, RTM_NEWADDR, index, v->peer.address, RT_SCOPE_UNIVERSE);
    if (v->peer.extra != 0) {
        rtnlmsg_address(&m, RTM_NEWADDR, index, v->peer.extra, RT_SCOPE_UNIVERSE);
    }
    rtnlmsg_neighbour(&m, RTM_NEWNEIGH, index, v->gateway, gateway_mac);
    rtnlmsg_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    way = (struct rtnlmsg_way){.via = v->gateway,
                               .index = index,
                               .type = RTN_UNICAST,
                               .scope = RT_SCOPE_UNIVERSE,
                               .protocol = RTPROT_STATIC};
    rtnlmsg_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

/* As of IPv4, and no multicast is needed: but there is a route to the cluster only, so that who
 * finds an IPv6 address of the world in DNS does not try it first. */
static int set_peer6(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    const struct ip6 *six = &v->peer.six;
    struct rtnlmsg_way way = {.six = six,
                              .dst = v->gateway,
                              .prefix = 32,
                              .index = index,
                              .type = RTN_UNICAST,
                              .protocol = RTPROT_STATIC};
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_address6(&m, RTM_NEWADDR, index, six, v->peer.address);
    rtnlmsg_neighbour6(&m, RTM_NEWNEIGH, index, six, v->gateway, gateway_mac);
    rtnlmsg_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    way.dst = v->range;
    way.prefix = v->range_prefix;
    way.via = v->gateway;
    rtnlmsg_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

static int set_ends(int fd, int inside, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    unsigned peer = 0;
    int rc = find_peer(inside, &peer, e);

    if (rc == 0) {
        rc = set_peer(inside, v, peer, e);
    }
    if (rc == 0 && v->peer.ipv6) {
        rc = set_peer6(inside, v, peer, e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "in the container");
        return rc;
    }
    return set_host_end(fd, v, index, e);
}

int rtnl_veth_add(int fd, const struct rtnl_veth *veth, struct err *e)
{
    auto_close int inside = netns_socket(veth->netns_fd, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, e);
    unsigned index = 0;
    int rc;

    assert(strlen(veth->name) < IFNAMSIZ);
    if (inside < 0) {
        return inside;
    }
    nlbatch_prepare_socket(inside);
    rc = make_link(fd, veth, &index, e);
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("agent.net.after_link");
    rc = set_ends(fd, inside, veth, index, e);
    if (rc < 0) {
        (void)rtnl_link_del(fd, veth->name, NULL);
    }
    return rc;
}
