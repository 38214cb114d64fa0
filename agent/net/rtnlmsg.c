// SPDX-License-Identifier: Apache-2.0
#include "agent/net/rtnlmsg.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "common/cleanup.h"

/* Settings of a link of ours, as /proc/sys/net/ipv4/conf/<link>/ has them. */
static const struct {
    uint16_t id;
    uint32_t value;
} settings[] = {
    {IPV4_DEVCONF_FORWARDING, 1},
    {IPV4_DEVCONF_RP_FILTER, 1},        /* what comes by it is what is beyond it */
    {IPV4_DEVCONF_SEND_REDIRECTS, 0},   /* there is no better way */
    {IPV4_DEVCONF_ACCEPT_REDIRECTS, 0}, /* nor does anybody there know one */
    {IPV4_DEVCONF_ROUTE_LOCALNET, 1},   /* for 127.0.0.1:PORT (rules.c) */
};

struct nlmsghdr *rtnlmsg_link(struct nlbatch *m, uint16_t type, uint16_t flags, const char *what)
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

void rtnlmsg_get(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h = rtnlmsg_link(m, RTM_GETLINK, 0, "find the link");

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
}

void rtnlmsg_no_ipv6(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h = rtnlmsg_link(m, RTM_SETLINK, 0, "keep IPv6 addresses off the link");
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

struct nlmsghdr *rtnlmsg_up(struct nlbatch *m, const char *name, const char *what)
{
    struct nlmsghdr *h = rtnlmsg_link(m, RTM_SETLINK, 0, what);

    link_of(h)->ifi_flags = IFF_UP;
    link_of(h)->ifi_change = IFF_UP;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return h;
}

void rtnlmsg_noarp(struct nlmsghdr *up)
{
    link_of(up)->ifi_flags |= IFF_NOARP;
    link_of(up)->ifi_change |= IFF_NOARP;
}

/* By netlink and not by /proc/sys, so that it is part of the batch. */
void rtnlmsg_settings(struct nlmsghdr *h)
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

void rtnlmsg_address(struct nlbatch *m, uint16_t type, unsigned index, uint32_t address,
                     unsigned char scope)
{
    uint16_t flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the address");
    struct ifaddrmsg *a = nlbatch_header(m, sizeof(*a));

    *a = (struct ifaddrmsg){
        .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_scope = scope, .ifa_index = index};
    mnl_attr_put_u32(h, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(h, IFA_ADDRESS, htonl(address));
}

void rtnlmsg_neighbour(struct nlbatch *m, uint16_t type, unsigned index, uint32_t address,
                       const uint8_t mac[6])
{
    uint16_t flags = type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the neighbour");
    struct ndmsg *nd = nlbatch_header(m, sizeof(*nd));

    *nd = (struct ndmsg){
        .ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
    mnl_attr_put_u32(h, NDA_DST, htonl(address));
    mnl_attr_put(h, NDA_LLADDR, 6, mac);
}

void rtnlmsg_address6(struct nlbatch *m, uint16_t type, unsigned index, const struct ip6 *six,
                      uint32_t address)
{
    uint16_t flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the IPv6 address");
    struct ifaddrmsg *a = nlbatch_header(m, sizeof(*a));
    struct ip6 ip = ip6_of(six, address);

    *a = (struct ifaddrmsg){.ifa_family = AF_INET6,
                            .ifa_prefixlen = 128,
                            .ifa_flags = IFA_F_NODAD,
                            .ifa_scope = RT_SCOPE_UNIVERSE,
                            .ifa_index = index};
    mnl_attr_put(h, IFA_LOCAL, sizeof(ip.bytes), ip.bytes);
    mnl_attr_put(h, IFA_ADDRESS, sizeof(ip.bytes), ip.bytes);
}

void rtnlmsg_neighbour6(struct nlbatch *m, uint16_t type, unsigned index, const struct ip6 *six,
                        uint32_t address, const uint8_t mac[6])
{
    uint16_t flags = type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the IPv6 neighbour");
    struct ndmsg *nd = nlbatch_header(m, sizeof(*nd));
    struct ip6 ip = ip6_of(six, address);

    *nd = (struct ndmsg){
        .ndm_family = AF_INET6, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
    mnl_attr_put(h, NDA_DST, sizeof(ip.bytes), ip.bytes);
    mnl_attr_put(h, NDA_LLADDR, 6, mac);
}

static void put_ip(struct nlmsghdr *h, uint16_t type, const struct ip6 *six, uint32_t address)
{
    struct ip6 ip;

    if (six == NULL) {
        mnl_attr_put_u32(h, type, htonl(address));
        return;
    }
    ip = ip6_of(six, address);
    mnl_attr_put(h, type, sizeof(ip.bytes), ip.bytes);
}

static void put_mtu(struct nlmsghdr *h, unsigned mtu)
{
    struct nlattr *metrics = mnl_attr_nest_start(h, RTA_METRICS);

    mnl_attr_put_u32(h, RTAX_MTU, mtu);
    mnl_attr_nest_end(h, metrics);
}

void rtnlmsg_way(struct nlbatch *m, uint16_t type, uint16_t flags, const struct rtnlmsg_way *w)
{
    unsigned prefix = w->six != NULL ? w->prefix + IP6_V4_AT : w->prefix;
    struct nlmsghdr *h =
        nlbatch_begin(m, type, flags, w->six != NULL ? "set the IPv6 route" : "set the route");
    struct rtmsg *r = nlbatch_header(m, sizeof(*r));

    *r = (struct rtmsg){.rtm_family = w->six != NULL ? AF_INET6 : AF_INET,
                        .rtm_dst_len = (unsigned char)prefix,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = w->protocol,
                        .rtm_scope = w->scope,
                        .rtm_type = w->type,
                        .rtm_flags = w->onlink ? RTNH_F_ONLINK : 0};
    if (prefix > 0) {
        put_ip(h, RTA_DST, w->six, w->dst);
    }
    if (w->via != 0) {
        put_ip(h, RTA_GATEWAY, w->six, w->via);
    }
    if (w->index != 0) {
        mnl_attr_put_u32(h, RTA_OIF, w->index);
    }
    if (w->src != 0) {
        put_ip(h, RTA_PREFSRC, w->six, w->src);
    }
    if (w->mtu != 0) {
        put_mtu(h, w->mtu);
    }
    if (w->metric != 0) {
        mnl_attr_put_u32(h, RTA_PRIORITY, w->metric);
    }
}
