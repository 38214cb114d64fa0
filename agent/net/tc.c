// SPDX-License-Identifier: Apache-2.0
#include "agent/net/tc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <string.h>

#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define TICKS_PER_S 100u /* the slowest clock of a kernel: a bucket lasts from one to the next */
#define LATENCY_MS  50u  /* that a packet may wait */
#define FRAMES_MIN  4u   /* that may wait though a slow link needs longer for them */
#define MTU_MAX     65535u
#define PRIORITY    1u

#define INGRESS_HANDLE (TC_H_INGRESS & 0xffff0000u)

/* ---- what a rate needs ---- */

static uint64_t at_least(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint32_t at_most_u32(uint64_t a)
{
    return a < UINT32_MAX ? (uint32_t)a : UINT32_MAX;
}

/* The burst holds a frame at least, or nothing would ever pass. */
struct tc_bucket tc_bucket(uint64_t bits_per_s, unsigned mtu)
{
    uint64_t rate = at_least(bits_per_s / 8, 1);
    uint64_t frame = mtu + ETH_HLEN;
    uint64_t burst = at_least(rate / TICKS_PER_S, frame);
    uint64_t waits = at_least(rate / 1000 * LATENCY_MS, FRAMES_MIN * frame);

    assert(mtu > 0 && mtu <= MTU_MAX);
    return (struct tc_bucket){
        .bytes_per_s = rate, .burst = at_most_u32(burst), .queue = at_most_u32(burst + waits)};
}

/* ---- messages ---- */

static struct nlmsghdr *begin(struct nlbatch *m, uint16_t type, uint16_t flags, const char *what,
                              const struct tcmsg *to)
{
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, what);
    struct tcmsg *tc = nlbatch_header(m, sizeof(*tc));

    *tc = *to;
    return h;
}

/* Rates from 4 GiB/s on do not fit into the old field. The link layer is said, so that the kernel
 * does not want a table of transmission times. */
static void put_bucket(struct nlbatch *m, unsigned index, const struct tc_bucket *b,
                       const char *what)
{
    struct tc_tbf_qopt options = {
        .rate = {.linklayer = TC_LINKLAYER_ETHERNET, .rate = at_most_u32(b->bytes_per_s)},
        .limit = b->queue};
    struct nlmsghdr *h = begin(m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, what,
                               &(struct tcmsg){.tcm_ifindex = (int)index, .tcm_parent = TC_H_ROOT});
    struct nlattr *nest;

    mnl_attr_put_strz(h, TCA_KIND, "tbf");
    nest = mnl_attr_nest_start(h, TCA_OPTIONS);
    mnl_attr_put(h, TCA_TBF_PARMS, sizeof(options), &options);
    mnl_attr_put_u32(h, TCA_TBF_BURST, b->burst);
    if (b->bytes_per_s >= UINT32_MAX) {
        mnl_attr_put_u64(h, TCA_TBF_RATE64, b->bytes_per_s);
    }
    mnl_attr_nest_end(h, nest);
}

static void put_mirror(struct nlbatch *m, const char *name)
{
    struct nlmsghdr *h =
        rtnlmsg_link(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make a device of kind ifb");
    struct nlattr *info;

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "ifb");
    mnl_attr_nest_end(h, info);
}

static void put_ingress(struct nlbatch *m, uint16_t type, unsigned index)
{
    struct nlmsghdr *h = begin(m, type, type == RTM_NEWQDISC ? NLM_F_CREATE | NLM_F_EXCL : 0,
                               "catch what the container sends (ingress)",
                               &(struct tcmsg){.tcm_ifindex = (int)index,
                                               .tcm_parent = TC_H_INGRESS,
                                               .tcm_handle = INGRESS_HANDLE});

    mnl_attr_put_strz(h, TCA_KIND, "ingress");
}

static void put_action(struct nlmsghdr *h, unsigned mirror)
{
    struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = mirror};
    struct nlattr *actions = mnl_attr_nest_start(h, TCA_U32_ACT);
    struct nlattr *first = mnl_attr_nest_start(h, 1);
    struct nlattr *options;

    mnl_attr_put_strz(h, TCA_ACT_KIND, "mirred");
    options = mnl_attr_nest_start(h, TCA_ACT_OPTIONS);
    mnl_attr_put(h, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
    mnl_attr_nest_end(h, options);
    mnl_attr_nest_end(h, first);
    mnl_attr_nest_end(h, actions);
}

/* One key that matches everything, of every protocol. */
static void put_filter(struct nlbatch *m, unsigned index, unsigned mirror)
{
    struct {
        struct tc_u32_sel sel;
        struct tc_u32_key key;
    } all = {.sel = {.flags = TC_U32_TERMINAL, .nkeys = 1}};
    struct nlmsghdr *h =
        begin(m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
              "lead what the container sends to the mirror (u32, mirred)",
              &(struct tcmsg){.tcm_ifindex = (int)index,
                              .tcm_parent = INGRESS_HANDLE,
                              .tcm_info = TC_H_MAKE(PRIORITY << 16, htons(ETH_P_ALL))});
    struct nlattr *nest;

    mnl_attr_put_strz(h, TCA_KIND, "u32");
    nest = mnl_attr_nest_start(h, TCA_OPTIONS);
    mnl_attr_put(h, TCA_U32_SEL, sizeof(all), &all);
    put_action(h, mirror);
    mnl_attr_nest_end(h, nest);
}

/* ---- the two directions ---- */

struct found {
    unsigned index;
    bool ifb;
};

static void on_found(void *arg, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);
    const struct nlattr *kind =
        nlbatch_inside(nlbatch_attr(answer, sizeof(*link), IFLA_LINKINFO), IFLA_INFO_KIND);

    if (answer->nlmsg_type == RTM_NEWLINK) {
        *(struct found *)arg =
            (struct found){.index = (unsigned)link->ifi_index,
                           .ifb = kind != NULL && strcmp(mnl_attr_get_str(kind), "ifb") == 0};
    }
}

static int find(int rtnl, const char *name, struct found *ret, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_get(&m, name);
    return nlbatch_run(&m, rtnl, on_found, ret, e);
}

static int limit_in(int rtnl, const struct tc_limit *l, unsigned index, struct err *e)
{
    struct tc_bucket bucket = tc_bucket(l->bits_in, l->mtu);
    struct nlbatch m;

    nlbatch_init(&m);
    put_bucket(&m, index, &bucket, "limit what the container receives (tbf)");
    return nlbatch_run(&m, rtnl, NULL, NULL, e);
}

static int make_mirror(int rtnl, const struct tc_limit *l, struct found *ret, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    put_mirror(&m, l->mirror);
    rtnlmsg_no_ipv6(&m, l->mirror);
    rtnlmsg_get(&m, l->mirror);
    return nlbatch_run(&m, rtnl, on_found, ret, e);
}

/* The mirror is limited before anything gets there. What led elsewhere goes first. */
static int lead_out(int rtnl, const struct tc_limit *l, unsigned index, unsigned mirror,
                    struct err *e)
{
    struct tc_bucket bucket = tc_bucket(l->bits_out, l->mtu);
    struct nlbatch m;

    nlbatch_init(&m);
    (void)rtnlmsg_up(&m, l->mirror, "bring the mirror up");
    put_bucket(&m, mirror, &bucket, "limit what the container sends (tbf)");
    put_ingress(&m, RTM_DELQDISC, index);
    nlbatch_may_fail(&m);
    put_ingress(&m, RTM_NEWQDISC, index);
    put_filter(&m, index, mirror);
    return nlbatch_run(&m, rtnl, NULL, NULL, e);
}

static int limit_out(int rtnl, const struct tc_limit *l, unsigned index, struct err *e)
{
    struct found mirror = {0};
    int rc = find(rtnl, l->mirror, &mirror, e);

    if (rc == -ENODEV) {
        FAILPOINT("agent.tc.before_mirror");
        rc = make_mirror(rtnl, l, &mirror, e);
        FAILPOINT("agent.tc.after_mirror");
    }
    if (rc == 0 && !mirror.ifb) {
        rc = err_say(e, EEXIST, "there is a link %s that is not of kind ifb", l->mirror);
    }
    return rc < 0 ? rc : lead_out(rtnl, l, index, mirror.index, e);
}

int tc_limit(int rtnl, const struct tc_limit *limit, struct err *e)
{
    struct found link = {0};
    int rc;

    assert(strlen(limit->mirror) < IFNAMSIZ);
    if (limit->bits_in == 0 && limit->bits_out == 0) {
        return 0;
    }
    rc = find(rtnl, limit->link, &link, e);
    if (rc == 0 && limit->bits_in > 0) {
        rc = limit_in(rtnl, limit, link.index, e);
    }
    if (rc == 0 && limit->bits_out > 0) {
        rc = limit_out(rtnl, limit, link.index, e);
    }
    return rc < 0 ? err_wrap(e, "bandwidth") : 0;
}

struct queues {
    tc_queue_cb cb;
    void *arg;
};

static void on_queue(void *arg, const struct nlmsghdr *answer)
{
    const struct tcmsg *tc = mnl_nlmsg_get_payload(answer);
    const struct nlattr *kind = nlbatch_attr(answer, sizeof(*tc), TCA_KIND);
    const struct queues *q = arg;

    if (answer->nlmsg_type != RTM_NEWQDISC || kind == NULL ||
        mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) < 0) {
        return;
    }
    if (strcmp(mnl_attr_get_str(kind), "tbf") == 0 && tc->tcm_parent == TC_H_ROOT) {
        q->cb(q->arg, (unsigned)tc->tcm_ifindex, false);
    } else if (strcmp(mnl_attr_get_str(kind), "ingress") == 0) {
        q->cb(q->arg, (unsigned)tc->tcm_ifindex, true);
    }
}

int tc_queues(int rtnl, tc_queue_cb cb, void *arg, struct err *e)
{
    struct queues q = {.cb = cb, .arg = arg};
    struct nlbatch m;

    nlbatch_init(&m);
    (void)begin(&m, RTM_GETQDISC, NLM_F_DUMP, "list the queues", &(struct tcmsg){0});
    return nlbatch_run(&m, rtnl, on_queue, &q, e);
}

int tc_release(int rtnl, const char *mirror, struct err *e)
{
    return rtnl_link_del(rtnl, mirror, e);
}
