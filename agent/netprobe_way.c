// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/netprobe.h"
#include "common/askrow.h"
#include "common/cleanup.h"

void netprobe_address(uint32_t address, char ret[NETPROBE_ADDRESS])
{
    (void)snprintf(ret, NETPROBE_ADDRESS, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff,
                   address >> 8 & 0xff, address & 0xff);
}

/* ---- routes ---- */

struct found {
    bool any;
    unsigned char type, protocol, prefix;
    unsigned index;
    uint32_t via;
    unsigned mtu; /* of the route; 0: it says none */
};

static uint32_t number(const struct nlattr *attr)
{
    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? mnl_attr_get_u32(attr) : 0;
}

static void on_route(void *arg, const struct nlmsghdr *h)
{
    struct found *f = arg;
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);

    if (h->nlmsg_type != RTM_NEWROUTE) {
        return;
    }
    *f = (struct found){.any = true,
                        .type = r->rtm_type,
                        .protocol = r->rtm_protocol,
                        .prefix = r->rtm_dst_len,
                        .index = number(nlbatch_attr(h, sizeof(*r), RTA_OIF)),
                        .via = ntohl(number(nlbatch_attr(h, sizeof(*r), RTA_GATEWAY)))};
    f->mtu = number(nlbatch_inside(nlbatch_attr(h, sizeof(*r), RTA_METRICS), RTAX_MTU));
}

/* The entry that a packet to this address would take. */
static int find_route(int fd, uint32_t address, struct found *ret, struct err *e)
{
    struct nlbatch m;
    struct nlmsghdr *h;
    struct rtmsg *r;

    nlbatch_init(&m);
    h = nlbatch_begin(&m, RTM_GETROUTE, 0, "find the route");
    r = nlbatch_header(&m, sizeof(*r));
    *r = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
    mnl_attr_put_u32(h, RTA_DST, htonl(address));
    return nlbatch_run(&m, fd, on_route, ret, e);
}

static unsigned mtu_of(const char *dev)
{
    auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};

    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
    return fd >= 0 && ioctl(fd, SIOCGIFMTU, &ifr) == 0 ? (unsigned)ifr.ifr_mtu : 0;
}

static bool in_range(const struct netprobe *p, uint32_t address)
{
    unsigned prefix = p->world.range_prefix;
    uint32_t mask = prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);

    return (address & mask) == p->world.range;
}

static const char *route_of(const struct netprobe *p, uint32_t address, const struct found *f)
{
    if (!f->any || f->type == RTN_UNREACHABLE || f->type == RTN_BLACKHOLE ||
        f->type == RTN_PROHIBIT) {
        return "unreachable";
    }
    if (!in_range(p, address)) {
        return "world";
    }
    if (f->protocol == RTNL_PROTOCOL) {
        return "cluster";
    }
    return f->prefix < p->world.range_prefix ? "none" : "foreign"; /* by the way of the world */
}

static const char *kind_of(const struct netprobe *p, const char *dev)
{
    if (strcmp(dev, p->vxlan) == 0) {
        return "VXLAN";
    }
    if (strcmp(dev, p->wireguard) == 0) {
        return "WireGuard";
    }
    return strncmp(dev, p->links, strlen(p->links)) == 0 ? "on this host" : "direct";
}

/* ---- the tunnel ---- */

struct sought {
    unsigned index;
    uint32_t via;
    uint8_t mac[6];
    bool neighbour, fdb;
};

static void on_neighbour(void *arg, const struct rtnl_neighbour *n)
{
    struct sought *s = arg;

    if (n->index == s->index && n->address == s->via) {
        memcpy(s->mac, n->mac, sizeof(s->mac));
        s->neighbour = true;
    }
}

static void on_fdb(void *arg, const struct rtnl_neighbour *n)
{
    struct sought *s = arg;

    s->fdb |= n->index == s->index && memcmp(n->mac, s->mac, sizeof(s->mac)) == 0;
}

static void put_tunnel(int fd, const char *dev, const struct found *f, struct buf *rows)
{
    struct sought s = {.index = f->index, .via = f->via};
    char address[NETPROBE_ADDRESS];
    struct err e;

    if (rtnl_neighbours(fd, AF_INET, on_neighbour, &s, &e) < 0 ||
        rtnl_neighbours(fd, AF_BRIDGE, on_fdb, &s, &e) < 0) {
        return;
    }
    netprobe_address(f->via, address);
    askrow_put(rows, "fact", "tunnel");
    askrow_put(rows, "address", address);
    askrow_put(rows, "dev", dev);
    askrow_put(rows, "neighbour", s.neighbour ? "1" : "0");
    askrow_put(rows, "fdb", s.fdb ? "1" : "0");
    askrow_end(rows);
}

/* ---- both ---- */

static void put_way(const struct netprobe *p, int fd, uint32_t target, struct buf *rows)
{
    struct found f = {0};
    char dev[IF_NAMESIZE] = "", address[NETPROBE_ADDRESS], via[NETPROBE_ADDRESS];
    struct err e;
    int rc = find_route(fd, target, &f, &e);

    if (rc < 0 && rc != -ENETUNREACH && rc != -EHOSTUNREACH) {
        return;
    }
    if (f.index != 0) {
        (void)if_indextoname(f.index, dev);
    }
    netprobe_address(target, address);
    netprobe_address(f.via, via);
    askrow_put(rows, "fact", "way");
    askrow_put(rows, "address", address);
    askrow_put(rows, "route", route_of(p, target, &f));
    askrow_put(rows, "dev", dev);
    askrow_put(rows, "via", f.via != 0 ? via : "");
    askrow_put(rows, "kind", kind_of(p, dev));
    askrow_putf(rows, "mtu", "%u", f.mtu != 0 ? f.mtu : mtu_of(dev));
    askrow_end(rows);
    if (dev[0] != '\0' && strcmp(dev, p->vxlan) == 0) {
        put_tunnel(fd, dev, &f, rows);
    }
}

/* Virtual addresses have no route: they become another one before. */
void netprobe_way(const struct netprobe *p, struct buf *rows)
{
    struct err e;
    auto_close int fd = rtnl_open(&e);

    for (unsigned i = 0; fd >= 0 && i < p->n_targets; i++) {
        if (p->targets[i] != p->vip) {
            put_way(p, fd, p->targets[i], rows);
        }
    }
}
