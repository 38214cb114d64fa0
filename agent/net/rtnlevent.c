// SPDX-License-Identifier: Apache-2.0
#include "agent/net/rtnlevent.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/nlbatch.h"
#include "common/ip6.h"

static uint32_t number(const struct nlmsghdr *h, size_t header, uint16_t type)
{
    const struct nlattr *attr = nlbatch_attr(h, header, type);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? mnl_attr_get_u32(attr) : 0;
}

/* Of an IPv6 address its end. */
static uint32_t ip(const struct nlmsghdr *h, size_t header, uint16_t type)
{
    const struct nlattr *attr = nlbatch_attr(h, header, type);
    struct ip6 ip;
    uint32_t be;

    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(ip.bytes)) {
        return ntohl(number(h, header, type));
    }
    memcpy(&be, (const char *)mnl_attr_get_payload(attr) + IP6_V4_AT / 8, sizeof(be));
    return ntohl(be);
}

/* `ifi_change` has the flags that changed; all of them for a link that was just made. */
static bool read_link(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(h);
    const struct nlattr *name = nlbatch_attr(h, sizeof(*link), IFLA_IFNAME);

    if (link->ifi_family != AF_UNSPEC || name == NULL) {
        return false; /* a bridge's view of a port, for one */
    }
    ret->index = (unsigned)link->ifi_index;
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", (int)mnl_attr_get_payload_len(name),
                   (const char *)mnl_attr_get_payload(name));
    ret->made = link->ifi_change == ~0u;
    ret->down = !ret->made && (link->ifi_change & IFF_UP) != 0 && (link->ifi_flags & IFF_UP) == 0;
    return true;
}

static bool read_address(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(h);

    ret->index = a->ifa_index;
    ret->address = ip(h, sizeof(*a), a->ifa_family == AF_INET6 ? IFA_ADDRESS : IFA_LOCAL);
    return a->ifa_family == AF_INET || a->ifa_family == AF_INET6;
}

static bool read_neighbour(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    const struct ndmsg *nd = mnl_nlmsg_get_payload(h);

    ret->index = (unsigned)nd->ndm_ifindex;
    ret->address = ip(h, sizeof(*nd), NDA_DST);
    return nd->ndm_family == AF_INET || nd->ndm_family == AF_INET6 || nd->ndm_family == AF_BRIDGE;
}

static bool read_route(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);
    unsigned skip = r->rtm_family == AF_INET6 ? IP6_V4_AT : 0;

    ret->address = ip(h, sizeof(*r), RTA_DST);
    ret->prefix = r->rtm_dst_len - skip;
    ret->metric = number(h, sizeof(*r), RTA_PRIORITY);
    ret->index = number(h, sizeof(*r), RTA_OIF);
    return (r->rtm_family == AF_INET || r->rtm_family == AF_INET6) &&
           (r->rtm_flags & RTM_F_CLONED) == 0 && r->rtm_dst_len >= skip && ret->prefix <= 32;
}

static bool read_queue(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    const struct tcmsg *tc = mnl_nlmsg_get_payload(h);

    ret->index = (unsigned)tc->tcm_ifindex;
    return true;
}

/* By type of message. */
static const struct {
    uint16_t type;
    enum rtnlevent_kind kind;
    bool removed;
    size_t header;
    bool (*read)(const struct nlmsghdr *h, struct rtnlevent *ret);
} types[] = {
    {RTM_NEWLINK, RTNLEVENT_LINK, false, sizeof(struct ifinfomsg), read_link},
    {RTM_DELLINK, RTNLEVENT_LINK, true, sizeof(struct ifinfomsg), read_link},
    {RTM_NEWADDR, RTNLEVENT_ADDRESS, false, sizeof(struct ifaddrmsg), read_address},
    {RTM_DELADDR, RTNLEVENT_ADDRESS, true, sizeof(struct ifaddrmsg), read_address},
    {RTM_NEWNEIGH, RTNLEVENT_NEIGHBOUR, false, sizeof(struct ndmsg), read_neighbour},
    {RTM_DELNEIGH, RTNLEVENT_NEIGHBOUR, true, sizeof(struct ndmsg), read_neighbour},
    {RTM_NEWROUTE, RTNLEVENT_ROUTE, false, sizeof(struct rtmsg), read_route},
    {RTM_DELROUTE, RTNLEVENT_ROUTE, true, sizeof(struct rtmsg), read_route},
    {RTM_DELQDISC, RTNLEVENT_QUEUE, true, sizeof(struct tcmsg), read_queue},
};

bool rtnlevent_read(const struct nlmsghdr *h, struct rtnlevent *ret)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (h->nlmsg_type == types[i].type) {
            *ret = (struct rtnlevent){
                .kind = types[i].kind, .removed = types[i].removed, .port = h->nlmsg_pid};
            return mnl_nlmsg_get_payload_len(h) >= types[i].header && types[i].read(h, ret);
        }
    }
    return false;
}
