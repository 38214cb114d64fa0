// SPDX-License-Identifier: Apache-2.0
/* A veth takes two batches on either end: the first makes and names, and asks for the index by
 * which the second refers to it. Nothing inside a container is trusted: its end is made there by
 * us, by a socket of ours, and its answers are the kernel's. */
#include "agent/net/rtnl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netns.h"
#include "agent/net/nlbatch.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define PEER_NAME "eth0"

/* The same on every host's end: each link has two ends only, so it need not be unique. */
static const uint8_t gateway_mac[6] = {0x02, 'w', 'h', 'r', 'r', 'y'};

int rtnl_open(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    nlbatch_prepare_socket(fd);
    return fd;
}

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
}

static int set_host_end(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_no_ipv6(&m, v->name);
    h = rtnlmsg_up(&m, v->name, "bring the host's end up");
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
    rtnlmsg_settings(rtnlmsg_up(&m, name, "bring the host's end up"));
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

static int set_ends(int fd, int inside, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    unsigned peer = 0;
    int rc = find_peer(inside, &peer, e);

    if (rc == 0) {
        rc = set_peer(inside, v, peer, e);
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

int rtnl_link_del(int fd, const char *name, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_DELLINK, 0, "remove the link");
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    rc = nlbatch_run(&m, fd, NULL, NULL, &why);
    if (rc < 0 && rc != -ENODEV) {
        return err_say(e, rc, "%s: %s", name, why.text);
    }
    return 0;
}

/* ---- what is there ---- */

/* All settings of IPv4, each four bytes at its number less one. */
static bool reads_localnet(const struct nlmsghdr *answer)
{
    const struct nlattr *spec = nlbatch_attr(answer, sizeof(struct ifinfomsg), IFLA_AF_SPEC);
    const struct nlattr *conf = nlbatch_inside(nlbatch_inside(spec, AF_INET), IFLA_INET_CONF);
    uint32_t value = 0;

    if (conf != NULL &&
        mnl_attr_get_payload_len(conf) >= IPV4_DEVCONF_ROUTE_LOCALNET * sizeof(value)) {
        memcpy(&value,
               (const uint32_t *)mnl_attr_get_payload(conf) + IPV4_DEVCONF_ROUTE_LOCALNET - 1,
               sizeof(value));
    }
    return value != 0;
}

static void read_link(void *arg, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);
    const struct nlattr *name = nlbatch_attr(answer, sizeof(*link), IFLA_IFNAME);
    const struct nlattr *mtu = nlbatch_attr(answer, sizeof(*link), IFLA_MTU);
    struct rtnl_link *ret = arg;

    if (answer->nlmsg_type != RTM_NEWLINK) {
        return;
    }
    *ret = (struct rtnl_link){.index = (unsigned)link->ifi_index,
                              .mtu = mtu != NULL ? mnl_attr_get_u32(mtu) : 0,
                              .up = (link->ifi_flags & IFF_UP) != 0,
                              .shared = (link->ifi_flags & (IFF_NOARP | IFF_POINTOPOINT)) == 0,
                              .localnet = reads_localnet(answer)};
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name != NULL ? mnl_attr_get_str(name) : "");
}

struct links {
    const char *prefix;
    rtnl_link_cb cb;
    void *arg;
};

static void on_link(void *arg, const struct nlmsghdr *answer)
{
    const struct links *l = arg;
    struct rtnl_link link = {0};

    read_link(&link, answer);
    if (link.index != 0 && strncmp(link.name, l->prefix, strlen(l->prefix)) == 0) {
        l->cb(l->arg, &link);
    }
}

int rtnl_links(int fd, const char *kind, const char *prefix, rtnl_link_cb cb, void *arg,
               struct err *e)
{
    struct links l = {.prefix = prefix, .cb = cb, .arg = arg};
    struct nlmsghdr *h;
    struct nlattr *info;
    struct nlbatch m;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_GETLINK, NLM_F_DUMP, "list the links");
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
    mnl_attr_nest_end(h, info);
    return nlbatch_run(&m, fd, on_link, &l, e);
}

int rtnl_link_get(int fd, unsigned index, struct rtnl_link *ret, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_GETLINK, 0, "find the link");
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index = (int)index;
    return nlbatch_run(&m, fd, read_link, ret, e);
}

int rtnl_link_localnet(int fd, unsigned index, bool on, struct err *e)
{
    struct nlmsghdr *h;
    struct nlattr *spec, *family, *conf;
    struct nlbatch m;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_SETLINK, 0, "let answers to 127.0.0.1 pass");
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index = (int)index;
    spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
    family = mnl_attr_nest_start(h, AF_INET);
    conf = mnl_attr_nest_start(h, IFLA_INET_CONF);
    mnl_attr_put_u32(h, IPV4_DEVCONF_ROUTE_LOCALNET, on ? 1 : 0);
    mnl_attr_nest_end(h, conf);
    mnl_attr_nest_end(h, family);
    mnl_attr_nest_end(h, spec);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

/* ---- neighbours ---- */

struct neighbours {
    unsigned char family;
    rtnl_neighbour_cb cb;
    void *arg;
};

static void on_neighbour(void *arg, const struct nlmsghdr *answer)
{
    const struct neighbours *l = arg;
    const struct ndmsg *nd = mnl_nlmsg_get_payload(answer);
    const struct nlattr *mac = nlbatch_attr(answer, sizeof(*nd), NDA_LLADDR);
    const struct nlattr *dst = nlbatch_attr(answer, sizeof(*nd), NDA_DST);
    struct rtnl_neighbour neighbour = {.index = (unsigned)nd->ndm_ifindex};

    if (answer->nlmsg_type != RTM_NEWNEIGH || nd->ndm_family != l->family ||
        (nd->ndm_state & NUD_PERMANENT) == 0 || mac == NULL || mnl_attr_get_payload_len(mac) != 6 ||
        dst == NULL || mnl_attr_get_payload_len(dst) != 4) {
        return;
    }
    neighbour.address = ntohl(mnl_attr_get_u32(dst));
    memcpy(neighbour.mac, mnl_attr_get_payload(mac), sizeof(neighbour.mac));
    l->cb(l->arg, &neighbour);
}

int rtnl_neighbours(int fd, unsigned char family, rtnl_neighbour_cb cb, void *arg, struct err *e)
{
    struct neighbours l = {.family = family, .cb = cb, .arg = arg};
    struct ndmsg *nd;
    struct nlbatch m;

    nlbatch_init(&m);
    (void)nlbatch_begin(&m, RTM_GETNEIGH, NLM_F_DUMP,
                        family == AF_INET ? "list the neighbours" : "list the forwarding entries");
    nd = nlbatch_header(&m, sizeof(*nd));
    nd->ndm_family = family;
    return nlbatch_run(&m, fd, on_neighbour, &l, e);
}

/* ---- addresses of the host ---- */

#define LO_INDEX 1 /* in every network namespace (the kernel's LOOPBACK_IFINDEX) */

static int run_address(int fd, uint16_t type, uint32_t address, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_address(&m, type, LO_INDEX, address, RT_SCOPE_HOST);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

int rtnl_host_address_set(int fd, uint32_t address, struct err *e)
{
    struct err why;
    int rc = run_address(fd, RTM_NEWADDR, address, &why);

    return rc < 0 && rc != -EEXIST ? err_say(e, rc, "lo: %s", why.text) : 0;
}

int rtnl_host_address_del(int fd, uint32_t address, struct err *e)
{
    struct err why;
    int rc = run_address(fd, RTM_DELADDR, address, &why);

    return rc < 0 && rc != -EADDRNOTAVAIL ? err_say(e, rc, "lo: %s", why.text) : 0;
}

/* ---- ways ---- */

static uint32_t number(const struct nlmsghdr *answer, uint16_t type)
{
    const struct nlattr *attr = nlbatch_attr(answer, sizeof(struct rtmsg), type);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? mnl_attr_get_u32(attr) : 0;
}

static unsigned mtu_of(const struct nlmsghdr *answer)
{
    const struct nlattr *attr =
        nlbatch_inside(nlbatch_attr(answer, sizeof(struct rtmsg), RTA_METRICS), RTAX_MTU);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? mnl_attr_get_u32(attr) : 0;
}

/* Of a route with several next hops the first tells the link. */
static unsigned first_hop(const struct nlmsghdr *answer)
{
    const struct nlattr *hops = nlbatch_attr(answer, sizeof(struct rtmsg), RTA_MULTIPATH);
    const struct rtnexthop *hop = hops != NULL ? mnl_attr_get_payload(hops) : NULL;

    return hop != NULL && mnl_attr_get_payload_len(hops) >= sizeof(*hop)
               ? (unsigned)hop->rtnh_ifindex
               : 0;
}

static void on_way(void *arg, const struct nlmsghdr *answer)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(answer);
    struct rtnl_way *way = arg;

    if (answer->nlmsg_type != RTM_NEWROUTE) {
        return;
    }
    *way = (struct rtnl_way){.local = r->rtm_type == RTN_LOCAL,
                             .none = r->rtm_type != RTN_LOCAL && r->rtm_type != RTN_UNICAST,
                             .index = number(answer, RTA_OIF),
                             .mtu = mtu_of(answer),
                             .prefix = r->rtm_dst_len,
                             .protocol = r->rtm_protocol};
    way->gateway =
        number(answer, RTA_GATEWAY) != 0 || nlbatch_attr(answer, sizeof(*r), RTA_VIA) != NULL;
    if (way->index == 0) {
        way->index = first_hop(answer);
        way->gateway = true;
    }
}

/* The route itself is asked for, and not what has lately been learned about the destination, which
 * passes. */
int rtnl_way_to(int fd, uint32_t address, struct rtnl_way *ret, struct err *e)
{
    struct rtnl_way way = {.none = true};
    struct nlmsghdr *h;
    struct rtmsg *r;
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    h = nlbatch_begin(&m, RTM_GETROUTE, 0, "find the way");
    r = nlbatch_header(&m, sizeof(*r));
    *r = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
    mnl_attr_put_u32(h, RTA_DST, htonl(address));
    rc = nlbatch_run(&m, fd, on_way, &way, &why);
    if (rc < 0 && rc != -ENETUNREACH && rc != -EHOSTUNREACH && rc != -EACCES && rc != -EINVAL) {
        return err_say(e, rc, "%s", why.text);
    }
    *ret = way;
    return 0;
}

/* ---- routes ---- */

static struct rtnlmsg_way way_of(const struct rtnl_route *r)
{
    bool reachable = r->via != 0 || r->index != 0;
    bool direct = r->via == 0 && r->index != 0;

    return (struct rtnlmsg_way){.dst = r->dst,
                                .prefix = r->prefix,
                                .via = r->via,
                                .index = r->index,
                                .onlink = r->onlink,
                                .src = r->src,
                                .mtu = r->mtu,
                                .metric = r->metric,
                                .type = reachable ? RTN_UNICAST : RTN_UNREACHABLE,
                                .scope = direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                                .protocol = RTNL_PROTOCOL};
}

static int run_route(int fd, uint16_t type, uint16_t flags, const struct rtnl_route *r,
                     struct err *e)
{
    struct rtnlmsg_way way = way_of(r);
    struct nlbatch m;

    assert(r->metric != 0);
    nlbatch_init(&m);
    rtnlmsg_way(&m, type, flags, &way);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

int rtnl_route_set(int fd, const struct rtnl_route *route, struct err *e)
{
    return run_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, e);
}

int rtnl_route_del(int fd, const struct rtnl_route *route, struct err *e)
{
    struct err why;
    int rc = run_route(fd, RTM_DELROUTE, 0, route, &why);

    return rc < 0 && rc != -ESRCH ? err_say(e, rc, "%s", why.text) : 0;
}

struct routes {
    uint32_t metric;
    rtnl_route_cb cb;
    void *arg;
};

static void on_route(void *arg, const struct nlmsghdr *answer)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(answer);
    const struct routes *want = arg;
    struct rtnl_route route = {.prefix = r->rtm_dst_len,
                               .dst = ntohl(number(answer, RTA_DST)),
                               .via = ntohl(number(answer, RTA_GATEWAY)),
                               .index = number(answer, RTA_OIF),
                               .onlink = (r->rtm_flags & RTNH_F_ONLINK) != 0,
                               .src = ntohl(number(answer, RTA_PREFSRC)),
                               .mtu = mtu_of(answer),
                               .metric = number(answer, RTA_PRIORITY)};

    if (answer->nlmsg_type == RTM_NEWROUTE && r->rtm_protocol == RTNL_PROTOCOL &&
        r->rtm_table == RT_TABLE_MAIN && (want->metric == 0 || route.metric == want->metric)) {
        want->cb(want->arg, &route);
    }
}

int rtnl_routes(int fd, uint32_t metric, rtnl_route_cb cb, void *arg, struct err *e)
{
    struct routes want = {.metric = metric, .cb = cb, .arg = arg};
    struct rtmsg *r;
    struct nlbatch m;

    nlbatch_init(&m);
    (void)nlbatch_begin(&m, RTM_GETROUTE, NLM_F_DUMP, "list the routes");
    r = nlbatch_header(&m, sizeof(*r));
    r->rtm_family = AF_INET;
    return nlbatch_run(&m, fd, on_route, &want, e);
}
