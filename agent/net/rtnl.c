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
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netns.h"
#include "agent/net/nlbatch.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define PEER_NAME "eth0"

/* The same on every host's end: each link has two ends only, so it need not be unique. */
static const uint8_t gateway_mac[6] = {0x02, 'w', 'h', 'r', 'r', 'y'};

/* Settings of the host's end, as /proc/sys/net/ipv4/conf/<link>/ has them. */
static const struct {
    uint16_t id;
    uint32_t value;
} settings[] = {
    {IPV4_DEVCONF_FORWARDING, 1},
    {IPV4_DEVCONF_RP_FILTER, 1},        /* a container's source is its own address */
    {IPV4_DEVCONF_SEND_REDIRECTS, 0},   /* there is no better way */
    {IPV4_DEVCONF_ACCEPT_REDIRECTS, 0}, /* nor does a container know one */
    {IPV4_DEVCONF_ROUTE_LOCALNET, 1},   /* 127.0.0.1:PORT of the host leads here (rules.c) */
};

int rtnl_open(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    nlbatch_prepare_socket(fd);
    return fd;
}

/* Follows from the address, so that a container keeps it for as long as its address. */
static void peer_mac(uint32_t address, uint8_t ret[6])
{
    uint32_t be = htonl(address);

    ret[0] = 0x02;
    ret[1] = 'w';
    memcpy(ret + 2, &be, sizeof(be));
}

/* ---- messages ---- */

static struct nlmsghdr *begin_link(struct nlbatch *m, uint16_t type, uint16_t flags,
                                   const char *what)
{
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, what);
    struct ifinfomsg *link = nlbatch_header(m, sizeof(*link));

    link->ifi_family = AF_UNSPEC;
    return h;
}

static struct ifinfomsg *link_of(struct nlmsghdr *h)
{
    return mnl_nlmsg_get_payload(h);
}

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
    struct nlmsghdr *h = begin_link(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make the link");
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
    peer_mac(v->address, mac);
    put_shape(h, PEER_NAME, v->mtu, mac);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)v->netns_fd);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

static void put_get(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h = begin_link(m, RTM_GETLINK, 0, "find the link");

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
}

/* No IPv6 address by itself: IPv6 is dropped, and a kernel without it refuses, which is as good. */
static void put_no_ipv6(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h = begin_link(m, RTM_SETLINK, 0, "keep IPv6 addresses off the link");
    struct nlattr *spec;
    struct nlattr *family;

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
    family = mnl_attr_nest_start(h, AF_INET6);
    mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(h, family);
    mnl_attr_nest_end(h, spec);
    nlbatch_may_fail(m);
}

static struct nlmsghdr *put_up(struct nlbatch *m, const char *name, const char *what)
{
    struct nlmsghdr *h = begin_link(m, RTM_SETLINK, 0, what);

    link_of(h)->ifi_flags = IFF_UP;
    link_of(h)->ifi_change = IFF_UP;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return h;
}

/* By netlink and not by /proc/sys, so that it is part of the batch. */
static void put_settings(struct nlmsghdr *h)
{
    struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
    struct nlattr *family = mnl_attr_nest_start(h, AF_INET);
    struct nlattr *conf = mnl_attr_nest_start(h, IFLA_INET_CONF);

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        mnl_attr_put_u32(h, settings[i].id, settings[i].value);
    }
    mnl_attr_nest_end(h, conf);
    mnl_attr_nest_end(h, family);
    mnl_attr_nest_end(h, spec);
}

static void put_address(struct nlbatch *m, unsigned index, uint32_t address)
{
    struct nlmsghdr *h =
        nlbatch_begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "set the container's address");
    struct ifaddrmsg *a = nlbatch_header(m, sizeof(*a));

    *a = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index};
    mnl_attr_put_u32(h, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(h, IFA_ADDRESS, htonl(address));
}

static void put_neighbour(struct nlbatch *m, unsigned index, uint32_t address, const uint8_t mac[6])
{
    struct nlmsghdr *h =
        nlbatch_begin(m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "set the neighbour");
    struct ndmsg *nd = nlbatch_header(m, sizeof(*nd));

    *nd = (struct ndmsg){
        .ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
    mnl_attr_put_u32(h, NDA_DST, htonl(address));
    mnl_attr_put(h, NDA_LLADDR, 6, mac);
}

/* Any kind of route; what is 0 is left out. */
struct way {
    uint32_t dst;
    unsigned prefix;
    uint32_t via;
    unsigned index;
    uint32_t metric;
    unsigned char type;
    unsigned char scope;
    unsigned char protocol;
};

static void put_way(struct nlbatch *m, uint16_t type, uint16_t flags, const struct way *w)
{
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the route");
    struct rtmsg *r = nlbatch_header(m, sizeof(*r));

    *r = (struct rtmsg){.rtm_family = AF_INET,
                        .rtm_dst_len = (unsigned char)w->prefix,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = w->protocol,
                        .rtm_scope = w->scope,
                        .rtm_type = w->type};
    if (w->prefix > 0) {
        mnl_attr_put_u32(h, RTA_DST, htonl(w->dst));
    }
    if (w->via != 0) {
        mnl_attr_put_u32(h, RTA_GATEWAY, htonl(w->via));
    }
    if (w->index != 0) {
        mnl_attr_put_u32(h, RTA_OIF, w->index);
    }
    if (w->metric != 0) {
        mnl_attr_put_u32(h, RTA_PRIORITY, w->metric);
    }
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
    put_get(&m, v->name);
    return nlbatch_run(&m, fd, on_index, ret_index, e);
}

static int set_host_end(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;
    uint8_t mac[6];

    peer_mac(v->address, mac);
    nlbatch_init(&m);
    put_no_ipv6(&m, v->name);
    h = put_up(&m, v->name, "bring the host's end up");
    mnl_attr_put_strz(h, IFLA_IFALIAS, v->alias);
    put_settings(h);
    put_neighbour(&m, index, v->address, mac);
    put_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
            &(struct way){.dst = v->address,
                          .prefix = 32,
                          .index = index,
                          .type = RTN_UNICAST,
                          .scope = RT_SCOPE_LINK,
                          .protocol = RTNL_PROTOCOL});
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

static int find_peer(int fd, unsigned *ret_index, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    (void)put_up(&m, "lo", "bring lo up");
    put_no_ipv6(&m, PEER_NAME);
    (void)put_up(&m, PEER_NAME, "bring " PEER_NAME " up");
    put_get(&m, PEER_NAME);
    return nlbatch_run(&m, fd, on_index, ret_index, e);
}

static int set_peer(int fd, const struct rtnl_veth *v, unsigned index, struct err *e)
{
    struct way way = {.dst = v->gateway,
                      .prefix = 32,
                      .index = index,
                      .type = RTN_UNICAST,
                      .scope = RT_SCOPE_LINK,
                      .protocol = RTPROT_STATIC};
    struct nlbatch m;

    nlbatch_init(&m);
    put_address(&m, index, v->address);
    put_neighbour(&m, index, v->gateway, gateway_mac);
    put_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
    way = (struct way){.via = v->gateway,
                       .index = index,
                       .type = RTN_UNICAST,
                       .scope = RT_SCOPE_UNIVERSE,
                       .protocol = RTPROT_STATIC};
    put_way(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &way);
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
    h = begin_link(&m, RTM_DELLINK, 0, "remove the link");
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    rc = nlbatch_run(&m, fd, NULL, NULL, &why);
    if (rc < 0 && rc != -ENODEV) {
        return err_say(e, rc, "%s: %s", name, why.text);
    }
    return 0;
}

/* ---- what is there ---- */

struct links {
    const char *prefix;
    rtnl_link_cb cb;
    void *arg;
};

static void on_link(void *arg, const struct nlmsghdr *answer)
{
    const struct links *l = arg;
    const struct nlattr *attr = nlbatch_attr(answer, sizeof(struct ifinfomsg), IFLA_IFNAME);
    const char *name = attr != NULL ? mnl_attr_get_str(attr) : "";

    if (answer->nlmsg_type == RTM_NEWLINK && strncmp(name, l->prefix, strlen(l->prefix)) == 0) {
        l->cb(l->arg, name);
    }
}

int rtnl_links(int fd, const char *prefix, rtnl_link_cb cb, void *arg, struct err *e)
{
    struct links l = {.prefix = prefix, .cb = cb, .arg = arg};
    struct nlmsghdr *h;
    struct nlattr *info;
    struct nlbatch m;

    nlbatch_init(&m);
    h = begin_link(&m, RTM_GETLINK, NLM_F_DUMP, "list the links");
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    mnl_attr_nest_end(h, info);
    return nlbatch_run(&m, fd, on_link, &l, e);
}

/* ---- routes ---- */

static struct way way_of(const struct rtnl_route *r)
{
    return (struct way){.dst = r->dst,
                        .prefix = r->prefix,
                        .via = r->via,
                        .metric = r->metric,
                        .type = r->via != 0 ? RTN_UNICAST : RTN_UNREACHABLE,
                        .scope = RT_SCOPE_UNIVERSE,
                        .protocol = RTNL_PROTOCOL};
}

static int run_route(int fd, uint16_t type, uint16_t flags, const struct rtnl_route *r,
                     struct err *e)
{
    struct way way = way_of(r);
    struct nlbatch m;

    assert(r->metric != 0);
    nlbatch_init(&m);
    put_way(&m, type, flags, &way);
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

static uint32_t number(const struct nlmsghdr *answer, uint16_t type)
{
    const struct nlattr *attr = nlbatch_attr(answer, sizeof(struct rtmsg), type);

    return attr != NULL ? mnl_attr_get_u32(attr) : 0;
}

static void on_route(void *arg, const struct nlmsghdr *answer)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(answer);
    const struct routes *want = arg;
    struct rtnl_route route = {.prefix = r->rtm_dst_len,
                               .dst = ntohl(number(answer, RTA_DST)),
                               .via = ntohl(number(answer, RTA_GATEWAY)),
                               .metric = number(answer, RTA_PRIORITY)};

    if (answer->nlmsg_type == RTM_NEWROUTE && r->rtm_protocol == RTNL_PROTOCOL &&
        route.metric == want->metric) {
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
