// SPDX-License-Identifier: Apache-2.0
/* The host's end of a link receives what the container sends. What a limit drops is counted by the
 * queue that does it: of the link for what goes in, of the mirror for what comes out (tc.h). */
#include "agent/net/netstats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netconfig.h"
#include "agent/net/nftset.h"
#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlmsg.h"
#include "agent/net/rules.h"
#include "common/cleanup.h"

/* A link of ours with what belongs to it elsewhere. */
struct end {
    char name[NETCONFIG_LINK_NAME];
    unsigned index;
    unsigned mirror; /* index of it; 0: none */
    struct netstats_link link;
};

struct reading {
    int rtnl;
    char prefix[NETCONFIG_LINK_NAME];
    uint32_t range;
    unsigned range_prefix;
    struct end *ends; /* by name */
    unsigned n;
    unsigned cap;
    struct key *by; /* some of them by a number */
    unsigned n_by;
    bool mirrors;
};

/* ---- finding an end ---- */

struct key {
    uint32_t number; /* index of a link or a mirror, or an address */
    struct end *end;
};

static int by_number(const void *l, const void *r)
{
    const struct key *a = l;
    const struct key *b = r;

    return (a->number > b->number) - (a->number < b->number);
}

static int by_name(const void *l, const void *r)
{
    return strcmp(((const struct end *)l)->name, ((const struct end *)r)->name);
}

static uint32_t index_of(const struct end *x)
{
    return x->index;
}

static uint32_t mirror_of(const struct end *x)
{
    return x->mirror;
}

static uint32_t address_of(const struct end *x)
{
    return x->link.address;
}

static void sort_by(struct reading *r, uint32_t (*number)(const struct end *x))
{
    r->n_by = 0;
    if (r->n == 0) {
        return;
    }
    for (unsigned i = 0; i < r->n; i++) {
        uint32_t value = number(&r->ends[i]);

        if (value != 0) {
            r->by[r->n_by++] = (struct key){value, &r->ends[i]};
        }
    }
    qsort(r->by, r->n_by, sizeof(*r->by), by_number);
}

static struct end *find(const struct reading *r, uint32_t number)
{
    struct key wanted = {.number = number};
    struct key *key =
        r->n_by > 0 ? bsearch(&wanted, r->by, r->n_by, sizeof(*r->by), by_number) : NULL;

    return key != NULL ? key->end : NULL;
}

static struct end *find_name(const struct reading *r, const char *name)
{
    struct end wanted = {0};

    (void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    return r->n > 0 ? bsearch(&wanted, r->ends, r->n, sizeof(*r->ends), by_name) : NULL;
}

/* ---- links ---- */

/* "wherry node 1f run 2", as the link was called when it was laid. */
static bool read_alias(const char *alias, struct net_id *ret)
{
    char suffix[NET_SUFFIX_MAX + 1];
    unsigned long long incarnation;
    unsigned run;

    if (sscanf(alias, "wherry %16s %llx run %u", suffix, &incarnation, &run) != 3) {
        return false;
    }
    *ret = (struct net_id){.incarnation = incarnation, .run = run};
    return true;
}

static void read_stats(const struct nlattr *attr, struct netstats_link *ret)
{
    struct rtnl_link_stats64 s = {0};
    size_t len = mnl_attr_get_payload_len(attr);

    memcpy(&s, mnl_attr_get_payload(attr), len < sizeof(s) ? len : sizeof(s));
    ret->in = (struct netstats_way){s.tx_bytes, s.tx_packets, s.tx_dropped};
    ret->out = (struct netstats_way){s.rx_bytes, s.rx_packets, s.rx_dropped};
}

static void on_link(void *arg, const struct nlmsghdr *h)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(h);
    const struct nlattr *name = nlbatch_attr(h, sizeof(*link), IFLA_IFNAME);
    const struct nlattr *alias = nlbatch_attr(h, sizeof(*link), IFLA_IFALIAS);
    const struct nlattr *stats = nlbatch_attr(h, sizeof(*link), IFLA_STATS64);
    struct reading *r = arg;
    struct end x = {.index = (unsigned)link->ifi_index};

    if (h->nlmsg_type != RTM_NEWLINK || name == NULL || alias == NULL || stats == NULL ||
        strncmp(mnl_attr_get_str(name), r->prefix, strlen(r->prefix)) != 0 ||
        !read_alias(mnl_attr_get_str(alias), &x.link.id)) {
        return;
    }
    (void)snprintf(x.name, sizeof(x.name), "%s", mnl_attr_get_str(name));
    read_stats(stats, &x.link);
    if (r->n == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 64;
        r->ends = xrealloc(r->ends, r->cap, sizeof(*r->ends));
    }
    r->ends[r->n++] = x;
}

static void on_mirror(void *arg, const struct rtnl_link *mirror)
{
    char name[NETCONFIG_LINK_NAME];
    struct end *x;

    netconfig_link_of_mirror(mirror->name, name);
    x = find_name(arg, name);
    if (x != NULL) {
        x->mirror = mirror->index;
    }
}

static int read_links(struct reading *r, struct err *e)
{
    char mirrors[NETCONFIG_LINK_NAME];
    struct nlmsghdr *h;
    struct nlattr *info;
    struct nlbatch m;
    int rc;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_GETLINK, NLM_F_DUMP, "list the links");
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    mnl_attr_nest_end(h, info);
    rc = nlbatch_run(&m, r->rtnl, on_link, r, e);
    if (rc < 0 || r->n == 0) {
        return rc;
    }
    qsort(r->ends, r->n, sizeof(*r->ends), by_name);
    r->by = xcalloc(r->n + 1, sizeof(*r->by));
    netconfig_mirror_of_link(r->prefix, mirrors);
    return rtnl_links(r->rtnl, "ifb", mirrors, on_mirror, r, e);
}

/* ---- addresses ---- */

static void on_route(void *arg, const struct rtnl_route *route)
{
    struct reading *r = arg;
    uint32_t mask = r->range_prefix == 0 ? 0 : ~(uint32_t)0 << (32 - r->range_prefix);
    struct end *x = route->prefix == 32 && route->via == 0 ? find(r, route->index) : NULL;

    if (x != NULL && (route->dst & mask) == r->range) {
        x->link.address = route->dst;
    }
}

/* ---- queues ---- */

static void on_queue(void *arg, const struct nlmsghdr *h)
{
    const struct tcmsg *tc = mnl_nlmsg_get_payload(h);
    const struct nlattr *stats = nlbatch_attr(h, sizeof(*tc), TCA_STATS2);
    const struct nlattr *attr = nlbatch_inside(stats, TCA_STATS_QUEUE);
    struct reading *r = arg;
    struct end *x = h->nlmsg_type == RTM_NEWQDISC ? find(r, (uint32_t)tc->tcm_ifindex) : NULL;
    struct gnet_stats_queue queue;

    if (x == NULL || tc->tcm_parent != TC_H_ROOT || attr == NULL ||
        mnl_attr_get_payload_len(attr) < sizeof(queue)) {
        return;
    }
    memcpy(&queue, mnl_attr_get_payload(attr), sizeof(queue));
    if (r->mirrors) {
        x->link.out.drops += queue.drops;
    } else {
        x->link.in.drops += queue.drops;
    }
}

static int read_queues(struct reading *r, bool mirrors, struct err *e)
{
    struct tcmsg *tc;
    struct nlbatch m;

    sort_by(r, mirrors ? mirror_of : index_of);
    if (r->n_by == 0) {
        return 0;
    }
    r->mirrors = mirrors;
    nlbatch_init(&m);
    (void)nlbatch_begin(&m, RTM_GETQDISC, NLM_F_DUMP, "list the queues");
    tc = nlbatch_header(&m, sizeof(*tc));
    tc->tcm_family = AF_UNSPEC;
    return nlbatch_run(&m, r->rtnl, on_queue, r, e);
}

/* ---- what the rules drop, and connections ---- */

static void read_spoofs(struct reading *r, const char *suffix)
{
    struct nftset *set = NULL;
    char table[RULES_NAME_MAX];

    netconfig_table_name(suffix, table, sizeof(table));
    if (nftset_open(table, &set, NULL) < 0) {
        return;
    }
    for (unsigned i = 0; i < r->n; i++) {
        struct nftset_count count;

        if (nftset_link_count(set, RULES_SPOOF_SET, r->ends[i].name, &count, NULL) == 0) {
            r->ends[i].link.out.drops += count.packets;
        }
    }
    nftset_close(set);
}

static uint32_t source_of(const struct nlmsghdr *h, uint16_t tuple)
{
    const struct nlattr *ip =
        nlbatch_inside(nlbatch_attr(h, sizeof(struct nfgenmsg), tuple), CTA_TUPLE_IP);
    const struct nlattr *attr = nlbatch_inside(ip, CTA_IP_V4_SRC);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

/* Who began it, and who answers, whatever address it was begun to. */
static void on_connection(void *arg, const struct nlmsghdr *h)
{
    struct end *began = find(arg, source_of(h, CTA_TUPLE_ORIG));
    struct end *answers = find(arg, source_of(h, CTA_TUPLE_REPLY));

    if (began != NULL) {
        began->link.connections++;
    }
    if (answers != NULL && answers != began) {
        answers->link.connections++;
    }
}

static bool read_connections(struct reading *r)
{
    auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    struct nfgenmsg *family;
    struct nlbatch m;

    if (fd < 0) {
        return false;
    }
    nlbatch_prepare_socket(fd);
    sort_by(r, address_of);
    nlbatch_init(&m);
    (void)nlbatch_begin(&m, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP,
                        "list the connections");
    family = nlbatch_header(&m, sizeof(*family));
    family->nfgen_family = AF_INET;
    return nlbatch_run(&m, fd, on_connection, r, NULL) == 0;
}

/* ---- all of it ---- */

static int read_all(struct reading *r, struct err *e)
{
    int rc = read_links(r, e);

    if (rc == 0) {
        sort_by(r, index_of);
        rc = rtnl_routes(r->rtnl, /* metric= */ 0, on_route, r, e);
    }
    if (rc == 0) {
        rc = read_queues(r, /* mirrors= */ false, e);
    }
    return rc == 0 ? read_queues(r, /* mirrors= */ true, e) : rc;
}

static int by_id(const void *l, const void *r)
{
    const struct net_id *a = &((const struct netstats_link *)l)->id;
    const struct net_id *b = &((const struct netstats_link *)r)->id;
    int c = (a->incarnation > b->incarnation) - (a->incarnation < b->incarnation);

    return c != 0 ? c : (a->run > b->run) - (a->run < b->run);
}

static void give(struct reading *r, struct netstats *ret)
{
    *ret = (struct netstats){.list = xcalloc(r->n + 1, sizeof(*ret->list)), .n = r->n};
    for (unsigned i = 0; i < r->n; i++) {
        ret->list[i] = r->ends[i].link;
    }
    qsort(ret->list, ret->n, sizeof(*ret->list), by_id);
}

int netstats_read(const char *suffix, uint32_t range, unsigned range_prefix, struct netstats *ret,
                  struct err *e)
{
    auto_close int rtnl = rtnl_open(e);
    struct reading r = {.rtnl = rtnl, .range = range, .range_prefix = range_prefix};
    bool known = false;
    int rc = rtnl < 0 ? rtnl : 0;

    netconfig_link_prefix(suffix, r.prefix);
    rc = rc == 0 ? read_all(&r, e) : rc;
    if (rc == 0) {
        read_spoofs(&r, suffix);
        known = read_connections(&r);
        give(&r, ret);
        ret->connections_known = known;
    }
    free(r.ends);
    free(r.by);
    return rc;
}

void netstats_finish(struct netstats *s)
{
    free(s->list);
    *s = (struct netstats){0};
}
