// SPDX-License-Identifier: Apache-2.0
#include "agent/net/rtnl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/nlbatch.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"

int rtnl_open(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    nlbatch_prepare_socket(fd);
    return fd;
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

/* Whoever else has links in a group of this number loses them: nobody has. */
#define GOING_GROUP 0x77686779u

static int put_into_group(int fd, const char *const *names, unsigned n, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    for (unsigned i = 0; i < n; i++) {
        struct nlmsghdr *h = rtnlmsg_link(&m, RTM_SETLINK, 0, "put the link into a group");

        mnl_attr_put_strz(h, IFLA_IFNAME, names[i]);
        mnl_attr_put_u32(h, IFLA_GROUP, GOING_GROUP);
        nlbatch_may_fail(&m); /* there may be none */
    }
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

static int remove_group(int fd, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_DELLINK, 0, "remove the links");
    mnl_attr_put_u32(h, IFLA_GROUP, GOING_GROUP);
    rc = nlbatch_run(&m, fd, NULL, NULL, &why);
    return rc < 0 && rc != -ENODEV ? err_say(e, rc, "%s", why.text) : 0;
}

/* Removing a link waits for everybody who may still look at it; those of a group are waited for
 * together. What did not go that way goes by itself. */
int rtnl_links_del(int fd, const char *const *names, unsigned n, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i += NLBATCH_MAX) {
        rc = put_into_group(fd, names + i, n - i < NLBATCH_MAX ? n - i : NLBATCH_MAX, e);
    }
    if (rc == 0) {
        rc = remove_group(fd, e);
    }
    for (unsigned i = 0; i < n; i++) {
        int one = rtnl_link_del(fd, names[i], rc == 0 ? e : NULL);

        rc = rc == 0 ? one : rc;
    }
    return rc;
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

/* Of an IPv6 address its last four bytes. */
static bool read_dst(const struct nlattr *dst, unsigned char family, uint32_t *ret)
{
    size_t len = family == AF_INET6 ? sizeof(struct ip6) : sizeof(*ret);

    if (dst == NULL || mnl_attr_get_payload_len(dst) != len) {
        return false;
    }
    memcpy(ret, (const char *)mnl_attr_get_payload(dst) + len - sizeof(*ret), sizeof(*ret));
    *ret = ntohl(*ret);
    return true;
}

static void on_neighbour(void *arg, const struct nlmsghdr *answer)
{
    const struct neighbours *l = arg;
    const struct ndmsg *nd = mnl_nlmsg_get_payload(answer);
    const struct nlattr *mac = nlbatch_attr(answer, sizeof(*nd), NDA_LLADDR);
    const struct nlattr *dst = nlbatch_attr(answer, sizeof(*nd), NDA_DST);
    struct rtnl_neighbour neighbour = {.index = (unsigned)nd->ndm_ifindex};

    if (answer->nlmsg_type != RTM_NEWNEIGH || nd->ndm_family != l->family ||
        (nd->ndm_state & NUD_PERMANENT) == 0 || mac == NULL || mnl_attr_get_payload_len(mac) != 6 ||
        !read_dst(dst, l->family, &neighbour.address)) {
        return;
    }
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
                        family == AF_BRIDGE ? "list the forwarding entries"
                                            : "list the neighbours");
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

static int run_address6(int fd, uint16_t type, const struct ip6 *six, uint32_t address,
                        struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_address6(&m, type, LO_INDEX, six, address);
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

int rtnl_host_address6_set(int fd, const struct ip6 *six, uint32_t address, struct err *e)
{
    struct err why;
    int rc = run_address6(fd, RTM_NEWADDR, six, address, &why);

    return rc < 0 && rc != -EEXIST ? err_say(e, rc, "lo: %s", why.text) : 0;
}

int rtnl_host_address6_del(int fd, const struct ip6 *six, uint32_t address, struct err *e)
{
    struct err why;
    int rc = run_address6(fd, RTM_DELADDR, six, address, &why);

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

    return (struct rtnlmsg_way){.six = r->six,
                                .dst = r->dst,
                                .prefix = r->prefix,
                                .via = r->via,
                                .index = r->index,
                                .onlink = r->onlink,
                                .src = r->src,
                                .mtu = r->mtu,
                                .metric = r->metric,
                                .type = reachable   ? RTN_UNICAST
                                        : r->silent ? RTN_BLACKHOLE
                                                    : RTN_UNREACHABLE,
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
    const struct ip6 *six;
    uint32_t metric;
    rtnl_route_cb cb;
    void *arg;
};

/* Address of a route; false: it is none of the cluster's. */
static bool read_ip(const struct nlmsghdr *answer, uint16_t type, const struct ip6 *six,
                    uint32_t *ret)
{
    const struct nlattr *attr = nlbatch_attr(answer, sizeof(struct rtmsg), type);
    struct ip6 ip;

    *ret = 0;
    if (six == NULL || attr == NULL) {
        *ret = ntohl(number(answer, type));
        return true;
    }
    if (mnl_attr_get_payload_len(attr) != sizeof(ip.bytes)) {
        return false;
    }
    memcpy(ip.bytes, mnl_attr_get_payload(attr), sizeof(ip.bytes));
    return ip6_to_v4(six, &ip, ret);
}

/* Routes of IPv6 that lead nowhere are said to lead to `lo`. */
static bool read_route(const struct nlmsghdr *answer, const struct ip6 *six, struct rtnl_route *ret)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(answer);
    unsigned skip = six != NULL ? IP6_V4_AT : 0;

    *ret = (struct rtnl_route){.six = six,
                               .prefix = r->rtm_dst_len - skip,
                               .index = r->rtm_type == RTN_UNICAST ? number(answer, RTA_OIF) : 0,
                               .silent = r->rtm_type == RTN_BLACKHOLE,
                               .onlink = (r->rtm_flags & RTNH_F_ONLINK) != 0,
                               .mtu = mtu_of(answer),
                               .metric = number(answer, RTA_PRIORITY)};
    return r->rtm_dst_len >= skip && read_ip(answer, RTA_DST, six, &ret->dst) &&
           read_ip(answer, RTA_GATEWAY, six, &ret->via) &&
           read_ip(answer, RTA_PREFSRC, six, &ret->src);
}

static void on_route(void *arg, const struct nlmsghdr *answer)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(answer);
    const struct routes *want = arg;
    struct rtnl_route route;

    if (answer->nlmsg_type == RTM_NEWROUTE && r->rtm_protocol == RTNL_PROTOCOL &&
        r->rtm_table == RT_TABLE_MAIN && read_route(answer, want->six, &route) &&
        (want->metric == 0 || route.metric == want->metric)) {
        want->cb(want->arg, &route);
    }
}

int rtnl_routes6(int fd, const struct ip6 *six, uint32_t metric, rtnl_route_cb cb, void *arg,
                 struct err *e)
{
    struct routes want = {.six = six, .metric = metric, .cb = cb, .arg = arg};
    struct rtmsg *r;
    struct nlbatch m;

    nlbatch_init(&m);
    (void)nlbatch_begin(&m, RTM_GETROUTE, NLM_F_DUMP, "list the routes");
    r = nlbatch_header(&m, sizeof(*r));
    r->rtm_family = six != NULL ? AF_INET6 : AF_INET;
    return nlbatch_run(&m, fd, on_route, &want, e);
}

int rtnl_routes(int fd, uint32_t metric, rtnl_route_cb cb, void *arg, struct err *e)
{
    return rtnl_routes6(fd, NULL, metric, cb, arg, e);
}
