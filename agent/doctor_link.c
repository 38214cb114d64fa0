// SPDX-License-Identifier: Apache-2.0
/* Links, sockets, routes, and the host's own resolver. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/doctor_priv.h"
#include "agent/net/net.h"
#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/net/vxlan.h"
#include "agent/sockets.h"
#include "common/cleanup.h"
#include "common/err.h"

#define MTU_GOOD      1500u
#define MTU_LEAST     1330u /* 1280 and what VXLAN adds */
#define RESOLVERS_MAX 3     /* as resolv.conf(5) */
#define RESOLVER_MS   1000

/* ---- forwarding ---- */

void doctor_link_forward(const struct doctor_world *w, struct doctor_result *ret)
{
    long long all = 0, here = 1;
    char path[96];

    (void)doctor_number(w->proc, "sys/net/ipv4/ip_forward", &all);
    if (w->underlay[0] != '\0') {
        (void)snprintf(path, sizeof(path), "sys/net/ipv4/conf/%s/forwarding", w->underlay);
        (void)doctor_number(w->proc, path, &here);
    }
    if (all == 1 && here == 1) {
        doctor_say(ret, DOCTOR_OK, "on");
        return;
    }
    doctor_say(ret, DOCTOR_PROBLEM,
               "off%s%s; the agent switches it on, and something has "
               "switched it off again",
               all == 1 ? " for packets that come by " : "", all == 1 ? w->underlay : "");
    doctor_mend(ret, "sysctl -w net.ipv4.ip_forward=1 && "
                     "echo net.ipv4.ip_forward=1 >>/etc/sysctl.d/60-wherry.conf");
}

/* The kernel takes the larger of both numbers (ip-sysctl.rst). */
void doctor_link_rp_filter(const struct doctor_world *w, struct doctor_result *ret)
{
    long long all = 0, here = 0;
    char path[96];

    if (w->underlay[0] == '\0') {
        doctor_say(ret, DOCTOR_NOT_HERE,
                   "which link leads to the other hosts is not known (--address)");
        return;
    }
    (void)snprintf(path, sizeof(path), "sys/net/ipv4/conf/%s/rp_filter", w->underlay);
    (void)doctor_number(w->proc, "sys/net/ipv4/conf/all/rp_filter", &all);
    (void)doctor_number(w->proc, path, &here);
    if (all == 2 || here == 2) {
        doctor_say(ret, DOCTOR_OK, "loose on %s", w->underlay);
        return;
    }
    if (all != 1 && here != 1) {
        doctor_say(ret, DOCTOR_OK, "not strict on %s", w->underlay);
        return;
    }
    doctor_say(ret, DOCTOR_WARNING,
               "strict on %s: packets that come by another way than answers would go are dropped; "
               "where hosts have several links that happens",
               w->underlay);
    doctor_mend(ret,
                "sysctl -w net.ipv4.conf.%s.rp_filter=2 && "
                "echo net.ipv4.conf.%s.rp_filter=2 >>/etc/sysctl.d/60-wherry.conf",
                w->underlay, w->underlay);
}

void doctor_link_mtu(const struct doctor_world *w, struct doctor_result *ret)
{
    unsigned mtu = w->underlay_mtu;

    if (w->underlay[0] == '\0' && w->address != 0) {
        doctor_say(ret, DOCTOR_PROBLEM, "no link of this host has its --address");
        doctor_mend(ret, "ip address; wherry-agent daemon --address IP …");
    } else if (w->underlay[0] == '\0') {
        doctor_say(ret, DOCTOR_NOT_HERE,
                   "which link leads to the other hosts is not known (--address)");
    } else if (mtu < MTU_LEAST) {
        doctor_say(ret, DOCTOR_PROBLEM, "%s takes packets of %u bytes only; %u are needed",
                   w->underlay, mtu, MTU_LEAST);
        doctor_mend(ret, "ip link set %s mtu 1500", w->underlay);
    } else {
        doctor_say(ret, mtu < MTU_GOOD ? DOCTOR_WARNING : DOCTOR_OK,
                   "%u bytes on %s: %u between containers of hosts on one link, %u by VXLAN", mtu,
                   w->underlay, mtu, mtu - VXLAN_BYTES);
        if (mtu < MTU_GOOD) {
            doctor_mend(ret, "ip link set %s mtu 1500", w->underlay);
        }
    }
}

/* ---- ports ---- */

struct holder {
    const struct doctor_world *w;
    uint32_t address; /* whose port it is; 0: any */
    uint16_t port;
    bool udp_only;
    bool found;
    char name[64];
};

static void on_socket(void *arg, const struct socket *s)
{
    struct holder *h = arg;
    bool there = s->on == SOCKETS_ANY || h->address == 0 || (!s->v6 && s->address == h->address);
    char name[64] = "the kernel";

    if (s->port != h->port || !there || (h->udp_only && !s->udp)) {
        return;
    }
    (void)sockets_owner(h->w->proc, s->inode, name, sizeof(name));
    if (strncmp(name, "wherry-agent", 12) != 0 || h->name[0] == '\0') {
        (void)snprintf(h->name, sizeof(h->name), "%s", name);
    }
    h->found = true;
}

static void look_for(struct holder *h)
{
    auto_free char *net = xasprintf("%s/net", h->w->proc);

    (void)sockets_each(net, on_socket, h);
}

/* The kernel's own sockets for VXLAN are of no process. */
void doctor_link_vxlan_port(const struct doctor_world *w, struct doctor_result *ret)
{
    struct holder h = {.w = w, .port = VXLAN_PORT, .udp_only = true};

    look_for(&h);
    if (!h.found) {
        doctor_say(ret, DOCTOR_OK, "UDP %d is free, or the kernel's", VXLAN_PORT);
    } else if (strcmp(h.name, "the kernel") == 0) {
        doctor_say(ret, DOCTOR_OK, "UDP %d is the kernel's", VXLAN_PORT);
    } else {
        doctor_say(ret, DOCTOR_PROBLEM,
                   "UDP %d is taken by %s: no tunnel to other hosts can be made", VXLAN_PORT,
                   h.name);
        doctor_mend(ret, "ss -lunp 'sport = :%d'", VXLAN_PORT);
    }
}

void doctor_link_dns_port(const struct doctor_world *w, struct doctor_result *ret)
{
    struct holder h = {.w = w, .address = NET_GATEWAY, .port = 53};

    look_for(&h);
    if (!h.found) {
        doctor_say(ret, DOCTOR_OK, "169.254.1.1:53 is free");
    } else if (strncmp(h.name, "wherry-agent", 12) == 0) {
        doctor_say(ret, DOCTOR_OK, "169.254.1.1:53 is the agent's");
    } else {
        doctor_say(ret, DOCTOR_PROBLEM,
                   "%s has port 53 of every address: containers would ask it, and not the agent",
                   h.name);
        doctor_mend(ret,
                    "let %s listen on addresses of its own only (dnsmasq: bind-interfaces; "
                    "unbound: interface; bind9: listen-on), and restart it",
                    h.name);
    }
}

/* ---- the resolver ---- */

/* Asks for the root's name servers; whatever comes back is an answer. */
static bool answers(uint32_t address)
{
    static const uint8_t query[] = {0x57, 0x48, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(address)};
    auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint8_t reply[512];

    return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
           send(fd, query, sizeof(query), 0) == (ssize_t)sizeof(query) &&
           poll(&p, 1, RESOLVER_MS) == 1 && recv(fd, reply, sizeof(reply), 0) >= 12;
}

void doctor_link_resolver(const struct doctor_world *w, struct doctor_result *ret)
{
    auto_free char *path = xasprintf("%s/resolv.conf", w->etc);
    auto_fclose FILE *f = fopen(path, "re");
    char line[256], word[64], first[64] = "";
    unsigned n = 0;

    while (f != NULL && n < RESOLVERS_MAX && fgets(line, sizeof(line), f) != NULL) {
        struct in_addr in;

        if (sscanf(line, " nameserver %63s", word) != 1 || inet_pton(AF_INET, word, &in) != 1) {
            continue;
        }
        n++;
        (void)snprintf(first, sizeof(first), "%s", first[0] != '\0' ? first : word);
        if (answers(ntohl(in.s_addr))) {
            doctor_say(ret, DOCTOR_OK, "%s answers", word);
            return;
        }
    }
    if (n == 0) {
        doctor_say(ret, DOCTOR_PROBLEM,
                   "%s names no IPv4 name server: containers find no names of the world", path);
        doctor_mend(ret, "echo nameserver ADDRESS >>/etc/resolv.conf");
    } else {
        doctor_say(ret, DOCTOR_WARNING,
                   "%s%s does not answer: containers find no names of the world", first,
                   n > 1 ? " and the others of /etc/resolv.conf" : "");
        doctor_mend(ret, "getent hosts debian.org; cat /etc/resolv.conf");
    }
}

/* ---- routes ---- */

struct foreign {
    const struct doctor_world *w;
    unsigned n;
    char first[DOCTOR_NET];
};

/* Routes that lead into the range and are not ours, and the host's own addresses in it. The
 * default route and others that hold the range are no matter: ours are more exact. */
static void on_route(void *arg, const struct nlmsghdr *h)
{
    struct foreign *f = arg;
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);
    const struct nlattr *dst = nlbatch_attr(h, sizeof(*r), RTA_DST);
    uint32_t mask = f->w->range_prefix == 0 ? 0 : ~(uint32_t)0 << (32 - f->w->range_prefix);
    uint32_t net;

    if (h->nlmsg_type != RTM_NEWROUTE || r->rtm_family != AF_INET || dst == NULL ||
        r->rtm_protocol == RTNL_PROTOCOL || r->rtm_dst_len < f->w->range_prefix ||
        r->rtm_table != RT_TABLE_MAIN) {
        return;
    }
    net = ntohl(mnl_attr_get_u32(dst));
    if ((net & mask) != f->w->range) {
        return;
    }
    if (f->n++ == 0) {
        doctor_net(net, r->rtm_dst_len, f->first);
    }
}

void doctor_link_routes(const struct doctor_world *w, struct doctor_result *ret)
{
    struct foreign f = {.w = w};
    struct err e = {0};
    auto_close int fd = rtnl_open(&e);
    char range[DOCTOR_NET];
    struct rtmsg *r;
    struct nlbatch m;

    doctor_net(w->range, w->range_prefix, range);
    nlbatch_init(&m);
    (void)nlbatch_begin(&m, RTM_GETROUTE, NLM_F_DUMP, "list the routes");
    r = nlbatch_header(&m, sizeof(*r));
    r->rtm_family = AF_INET;
    if (fd < 0 || nlbatch_run(&m, fd, on_route, &f, &e) < 0) {
        doctor_say(ret, DOCTOR_WARNING, "the routes cannot be read: %.300s", e.text);
    } else if (f.n == 0) {
        doctor_say(ret, DOCTOR_OK, "none but the cluster's own lead into %s", range);
    } else {
        doctor_say(ret, DOCTOR_PROBLEM,
                   "%u of the host's own routes lead into the cluster's range %s, the first to %s: "
                   "containers there cannot be reached",
                   f.n, range, f.first);
        doctor_mend(ret, "ip route del %s, or found the cluster with another --range", f.first);
    }
}
