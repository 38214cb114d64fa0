// SPDX-License-Identifier: Apache-2.0
/* Addresses are a bitmap, links and routes are found again by what they are called in the kernel,
 * and ports are a sorted list whose difference to the next one is what changes. */
#include "agent/net/net.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/net/rtnl.h"
#include "agent/net/rules.h"
#include "agent/net/uv_flows.h"
#include "agent/net/uv_nft.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define MTU_DEFAULT    1500u
#define MTU_MIN        576u /* what IPv4 promises */
#define BLOCK_BITS_MIN 2u   /* a block of four addresses has two to give */
#define BLOCK_BITS_MAX 16u
#define METRIC_BASE    1024u
#define METRIC_SPREAD  (1u << 20)

/* Somebody waits for his ports to be in force. */
struct waiter {
    struct waiter *next;
    uint64_t seq;
    net_publish_cb cb;
    void *arg;
};

struct net {
    struct rules_config rules;
    char suffix[NET_SUFFIX_MAX + 1];
    char *nft_program;
    unsigned mtu;
    uint32_t metric; /* by which our routes are known */
    int rtnl;
    uint64_t *taken; /* one bit per address of the block */
    uint32_t n_addresses;
    uint32_t next; /* where the search for a free one begins: not what was given back last */
    struct net_port *ports; /* sorted, backends owned */
    unsigned n_ports;
    struct rules_chains chains;
    struct waiter *waiters;
    struct uv_nft *nft;
    struct uv_flows *flows;
    uint64_t udp_seq; /* of the last change of UDP ports; 0: their flows have been looked at */
    unsigned live;    /* parts that are not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- names ---- */

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) { /* FNV-1a */
        h = (h ^ p[i]) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

static uint64_t hash_suffix(const char *suffix)
{
    return mix(0xcbf29ce484222325u, suffix, strlen(suffix));
}

static void put_letters(uint64_t bits, char *ret, unsigned n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

    for (unsigned i = 0; i < n; i++, bits >>= 5) {
        ret[i] = letters[bits & 31];
    }
    ret[n] = '\0';
}

/* "wh" + 4 letters of the suffix + 9 of the run: an interface's name has room for 15. The alias
 * says the same in full. */
static void link_name(const struct net *net, struct net_id id, char ret[16])
{
    uint64_t h = mix(hash_suffix(net->suffix), &id.incarnation, sizeof(id.incarnation));

    h = mix(h, &id.run, sizeof(id.run));
    (void)snprintf(ret, 16, "%s", net->rules.links);
    put_letters(h, ret + strlen(ret), 9);
}

static void set_names(struct net *net, const char *suffix)
{
    bool plain = strcmp(suffix, "node") == 0;
    uint64_t h = hash_suffix(suffix);

    (void)snprintf(net->suffix, sizeof(net->suffix), "%s", suffix);
    (void)snprintf(net->rules.table, sizeof(net->rules.table), "wherry%s%s", plain ? "" : "_",
                   plain ? "" : suffix);
    (void)snprintf(net->rules.links, sizeof(net->rules.links), "wh");
    put_letters(h, net->rules.links + 2, 4);
    net->metric = METRIC_BASE + (uint32_t)(h % METRIC_SPREAD);
}

/* ---- checks ---- */

static uint32_t mask_of(unsigned prefix)
{
    return prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);
}

static int check_suffix(const char *suffix, struct err *e)
{
    size_t len = strlen(suffix);

    if (len == 0 || len > NET_SUFFIX_MAX ||
        strspn(suffix, "abcdefghijklmnopqrstuvwxyz0123456789_") != len) {
        return err_say(e, EINVAL, "network suffix \"%.40s\": 1 to %d of a-z, 0-9 and _", suffix,
                       NET_SUFFIX_MAX);
    }
    return 0;
}

static int check_net(const char *what, uint32_t net, unsigned prefix, struct err *e)
{
    if (prefix > 32 || (net & ~mask_of(prefix)) != 0) {
        return err_say(e, EINVAL, "%s %u.%u.%u.%u/%u: no network", what, net >> 24,
                       net >> 16 & 0xff, net >> 8 & 0xff, net & 0xff, prefix);
    }
    return 0;
}

static int check_config(const struct net_config *c, struct err *e)
{
    int rc = check_suffix(c->suffix, e);

    if (rc == 0) {
        rc = check_net("cluster range", c->range, c->range_prefix, e);
    }
    if (rc == 0) {
        rc = check_net("node block", c->block, c->block_prefix, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (32 - c->block_prefix < BLOCK_BITS_MIN || 32 - c->block_prefix > BLOCK_BITS_MAX) {
        return err_say(e, EINVAL, "node block: a prefix of %u; %u to %u are possible",
                       c->block_prefix, 32 - BLOCK_BITS_MAX, 32 - BLOCK_BITS_MIN);
    }
    if (c->block_prefix < c->range_prefix || (c->block & mask_of(c->range_prefix)) != c->range) {
        return err_say(e, EINVAL, "node block: not inside the cluster range");
    }
    if (c->mtu != 0 && (c->mtu < MTU_MIN || c->mtu > 65535)) {
        return err_say(e, EINVAL, "mtu %u: %u to 65535 are possible", c->mtu, MTU_MIN);
    }
    return 0;
}

/* ---- forwarding ---- */

/* The namespace's own switch, all of it: packets are forwarded only if the link they come by says
 * so, and those of published ports come by the host's. What may be forwarded, the table says. */
static int switch_forwarding_on(struct err *e)
{
    static const char path[] = "/proc/sys/net/ipv4/ip_forward";
    auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
    struct statfs fs;
    char now = '0';

    if (fd < 0) {
        return err_set(e, errno, "open %s", path);
    }
    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC) {
        return err_say(e, EXDEV, "%s is not of a proc file system", path);
    }
    if (read(fd, &now, 1) == 1 && now == '1') {
        return 0;
    }
    return pwrite(fd, "1", 1, 0) == 1 ? 0 : err_set(e, errno, "write to %s", path);
}

/* ---- addresses ---- */

static bool is_taken(const struct net *net, uint32_t i)
{
    return (net->taken[i / 64] >> (i % 64) & 1) != 0;
}

static void set_taken(struct net *net, uint32_t i, bool taken)
{
    uint64_t bit = (uint64_t)1 << (i % 64);

    net->taken[i / 64] = taken ? net->taken[i / 64] | bit : net->taken[i / 64] & ~bit;
}

/* The first and the last address are taken for good: some programs think they mean the network. */
static bool in_block(const struct net *net, uint32_t address)
{
    uint32_t i = address - net->rules.block;

    return i > 0 && i < net->n_addresses - 1;
}

int net_reserve(struct net *net, uint32_t *ret_address, struct err *e)
{
    for (uint32_t tried = 0; tried < net->n_addresses; tried++) {
        uint32_t i = (net->next + tried) % net->n_addresses;

        if (!is_taken(net, i)) {
            set_taken(net, i, true);
            net->next = i + 1;
            *ret_address = net->rules.block + i;
            return 0;
        }
    }
    return err_say(e, ENOSPC, "all %u addresses of this node's block are in use",
                   (unsigned)net->n_addresses - 2);
}

/* ---- links ---- */

int net_attach(struct net *net, struct net_id id, int netns_fd, uint32_t address, struct err *e)
{
    char name[16];
    char alias[80];
    struct rtnl_veth veth = {.name = name,
                             .alias = alias,
                             .address = address,
                             .gateway = NET_GATEWAY,
                             .mtu = net->mtu,
                             .netns_fd = netns_fd};
    int rc;

    assert(in_block(net, address));
    assert(is_taken(net, address - net->rules.block));
    link_name(net, id, name);
    (void)snprintf(alias, sizeof(alias), "wherry %s %llx run %u", net->suffix,
                   (unsigned long long)id.incarnation, id.run);
    FAILPOINT("agent.net.before_attach");
    rc = rtnl_veth_add(net->rtnl, &veth, e);
    FAILPOINT("agent.net.after_attach");
    if (rc < 0) {
        (void)err_wrap(e, "network");
    }
    return rc;
}

int net_detach(struct net *net, struct net_id id, uint32_t address, struct err *e)
{
    char name[16];
    int rc;

    link_name(net, id, name);
    rc = rtnl_link_del(net->rtnl, name, e);
    if (rc == 0 && in_block(net, address)) {
        set_taken(net, address - net->rules.block, false);
    }
    return rc;
}

/* Names that a dump has given, to be looked at when it is over. */
struct names {
    char (*list)[16];
    unsigned n;
    unsigned cap;
};

static void on_name(void *arg, const char *name)
{
    struct names *names = arg;

    if (names->n == names->cap) {
        names->cap = names->cap > 0 ? names->cap * 2 : 64;
        names->list = xrealloc(names->list, names->cap, sizeof(*names->list));
    }
    (void)snprintf(names->list[names->n++], sizeof(*names->list), "%s", name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Removes our links but those named (sorted). Tries all; the first error is returned. */
static int remove_links(struct net *net, const char (*keep)[16], unsigned n, struct err *e)
{
    struct names names = {0};
    int rc = rtnl_links(net->rtnl, net->rules.links, on_name, &names, e);

    for (unsigned i = 0; i < names.n; i++) {
        struct err why;
        int one = 0;

        if (n == 0 || bsearch(names.list[i], keep, n, sizeof(*keep), by_name) == NULL) {
            one = rtnl_link_del(net->rtnl, names.list[i], &why);
        }
        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    free(names.list);
    return rc;
}

static int adopt_address(struct net *net, const struct net_found *f, struct err *e)
{
    uint32_t a = f->address;

    if (!in_block(net, a)) {
        return err_say(e, ERANGE, "address %u.%u.%u.%u lies outside of this node's block", a >> 24,
                       a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
    }
    if (is_taken(net, a - net->rules.block)) {
        return err_say(e, EADDRINUSE, "address %u.%u.%u.%u belongs to two containers", a >> 24,
                       a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
    }
    set_taken(net, a - net->rules.block, true);
    return 0;
}

int net_adopt(struct net *net, const struct net_found *found, unsigned n, struct err *e)
{
    char(*keep)[16] = xcalloc(n + 1, sizeof(*keep));
    int rc = 0;

    for (unsigned i = 0; i < n; i++) {
        struct err why;
        int one = adopt_address(net, &found[i], &why);

        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
        link_name(net, found[i].id, keep[i]);
    }
    qsort(keep, n, sizeof(*keep), by_name);
    if (rc == 0) {
        rc = remove_links(net, (const char(*)[16])keep, n, e);
    } else {
        (void)remove_links(net, (const char(*)[16])keep, n, NULL);
    }
    free(keep);
    return rc;
}

/* ---- routes ---- */

struct our_routes {
    struct rtnl_route *list;
    unsigned n;
    unsigned cap;
};

static void on_our_route(void *arg, const struct rtnl_route *route)
{
    struct our_routes *r = arg;

    if (r->n == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 64;
        r->list = xrealloc(r->list, r->cap, sizeof(*r->list));
    }
    r->list[r->n++] = *route;
}

static int by_dst(const void *a, const void *b)
{
    const struct rtnl_route *l = a;
    const struct rtnl_route *r = b;

    if (l->dst != r->dst) {
        return l->dst < r->dst ? -1 : 1;
    }
    return l->prefix < r->prefix ? -1 : l->prefix > r->prefix;
}

/* Makes these (sorted) our routes. */
static int make_routes(struct net *net, const struct rtnl_route *want, unsigned n, struct err *e)
{
    struct our_routes have = {0};
    struct err why;
    int rc = rtnl_routes(net->rtnl, net->metric, on_our_route, &have, e);

    if (have.n > 0) {
        qsort(have.list, have.n, sizeof(*have.list), by_dst);
    }
    for (unsigned i = 0; i < have.n; i++) {
        if (n == 0 || bsearch(&have.list[i], want, n, sizeof(*want), by_dst) == NULL) {
            int one = rtnl_route_del(net->rtnl, &have.list[i], &why);

            rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        const struct rtnl_route *is =
            have.n > 0 ? bsearch(&want[i], have.list, have.n, sizeof(*want), by_dst) : NULL;

        if (is == NULL || is->via != want[i].via) {
            int one = rtnl_route_set(net->rtnl, &want[i], &why);

            rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
        }
    }
    free(have.list);
    return rc;
}

/* What nobody of ours has must not leave by the default route, and come back. */
static struct rtnl_route block_route(const struct net *net)
{
    return (struct rtnl_route){
        .dst = net->rules.block, .prefix = net->rules.block_prefix, .metric = net->metric};
}

int net_routes(struct net *net, const struct net_route *routes, unsigned n, struct err *e)
{
    struct rtnl_route *want = xcalloc(n + 1, sizeof(*want));
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i++) {
        rc = check_net("block of a node", routes[i].block, routes[i].block_prefix, e);
        want[i] = (struct rtnl_route){.dst = routes[i].block,
                                      .prefix = routes[i].block_prefix,
                                      .via = routes[i].via,
                                      .metric = net->metric};
    }
    if (rc == 0 && n > NET_ROUTES_MAX) {
        rc = err_say(e, E2BIG, "%u routes; %d are possible", n, NET_ROUTES_MAX);
    }
    if (rc == 0) {
        want[n] = block_route(net);
        qsort(want, n + 1, sizeof(*want), by_dst);
        rc = make_routes(net, want, n + 1, e);
    }
    free(want);
    return rc;
}

/* ---- ports ---- */

static int by_port(const void *a, const void *b)
{
    const struct net_port *l = a;
    const struct net_port *r = b;

    if (l->host_ip != r->host_ip) {
        return l->host_ip < r->host_ip ? -1 : 1;
    }
    if (l->port != r->port) {
        return l->port < r->port ? -1 : 1;
    }
    return (int)l->udp - (int)r->udp;
}

static bool same_backends(const struct net_port *a, const struct net_port *b)
{
    if (a->n_backends != b->n_backends) {
        return false;
    }
    for (unsigned i = 0; i < a->n_backends; i++) {
        if (a->backends[i].address != b->backends[i].address ||
            a->backends[i].port != b->backends[i].port) {
            return false;
        }
    }
    return true;
}

static void free_ports(struct net_port *ports, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free((void *)(uintptr_t)ports[i].backends);
    }
    free(ports);
}

static struct net_port *copy_ports(const struct net_port *ports, unsigned n)
{
    struct net_port *copy = xcalloc(n + 1, sizeof(*copy));

    for (unsigned i = 0; i < n; i++) {
        struct net_backend *backends = xcalloc(ports[i].n_backends + 1, sizeof(*backends));

        if (ports[i].n_backends > 0) {
            memcpy(backends, ports[i].backends, ports[i].n_backends * sizeof(*backends));
        }
        copy[i] = ports[i];
        copy[i].backends = backends;
    }
    qsort(copy, n, sizeof(*copy), by_port);
    return copy;
}

static int check_port(const struct net *net, const struct net_port *p, struct err *e)
{
    const char *kind = p->udp ? "udp" : "tcp";

    if (p->port == 0) {
        return err_say(e, EINVAL, "published port 0/%s: 1 to 65535 are possible", kind);
    }
    if (p->n_backends > NET_BACKENDS_MAX) {
        return err_say(e, E2BIG, "published port %u/%s: %u containers; %d are possible",
                       (unsigned)p->port, kind, p->n_backends, NET_BACKENDS_MAX);
    }
    for (unsigned i = 0; i < p->n_backends; i++) {
        if (!in_block(net, p->backends[i].address) || p->backends[i].port == 0) {
            return err_say(e, EINVAL, "published port %u/%s: a container not of this node",
                           (unsigned)p->port, kind);
        }
    }
    return 0;
}

/* `ports` sorted. */
static int check_ports(const struct net *net, const struct net_port *ports, unsigned n,
                       struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        int rc = check_port(net, &ports[i], e);

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && by_port(&ports[i - 1], &ports[i]) == 0) {
            return err_say(e, EINVAL, "published port %u/%s is named twice",
                           (unsigned)ports[i].port, ports[i].udp ? "udp" : "tcp");
        }
    }
    return 0;
}

/* What turns the ports in force into `want`; both sorted. All that goes, goes first. */
static void write_difference(struct net *net, const struct net_port *want, unsigned n,
                             struct buf *ret, bool *ret_udp)
{
    auto_buf struct buf added = {0};
    unsigned i = 0;
    unsigned j = 0;

    while (i < net->n_ports || j < n) {
        int order = i == net->n_ports ? 1 : j == n ? -1 : by_port(&net->ports[i], &want[j]);
        bool changed = order != 0 || !same_backends(&net->ports[i], &want[j]);

        *ret_udp = *ret_udp || (changed && (order <= 0 ? net->ports[i].udp : want[j].udp));
        if (order <= 0) {
            if (changed) {
                rules_port_del(&net->rules, &net->ports[i], ret);
            }
            i++;
        }
        if (order >= 0) {
            if (changed) {
                rules_port_add(&net->rules, &want[j], &net->chains, &added);
            }
            j++;
        }
    }
    buf_append(ret, buf_text(&added), added.len);
}

static void write_whole(void *arg, struct buf *ret)
{
    struct net *net = arg;

    memset(&net->chains, 0, sizeof(net->chains));
    rules_table(&net->rules, ret);
    for (unsigned i = 0; i < net->n_ports; i++) {
        rules_port_add(&net->rules, &net->ports[i], &net->chains, ret);
    }
}

/* Calls may come back with more. */
static void tell_waiters(struct net *net, uint64_t seq, int status, const struct err *e)
{
    while (net->waiters != NULL && net->waiters->seq <= seq) {
        struct waiter *w = net->waiters;

        net->waiters = w->next;
        w->cb(w->arg, status, e);
        free(w);
    }
}

/* ---- flows of UDP ---- */

static bool serves(const struct net_port *p, uint32_t address)
{
    for (unsigned i = 0; i < p->n_backends; i++) {
        if (p->backends[i].address == address) {
            return true;
        }
    }
    return false;
}

/* The port that a datagram to this address would meet: one of the address itself comes first. */
static const struct net_port *find_udp(const struct net *net, uint32_t dst, uint16_t port)
{
    struct net_port key = {.udp = true, .port = port, .host_ip = dst};
    const struct net_port *found = NULL;

    if (net->n_ports > 0) {
        found = bsearch(&key, net->ports, net->n_ports, sizeof(key), by_port);
        key.host_ip = 0;
        found = found != NULL && found->n_backends > 0
                    ? found
                    : bsearch(&key, net->ports, net->n_ports, sizeof(key), by_port);
    }
    return found != NULL && found->n_backends > 0 ? found : NULL;
}

/* Either it was led to a container that does not serve it any more, or it was led nowhere and
 * should have been. What containers send outwards is neither. */
static bool is_stale(void *arg, const struct uv_flow *flow)
{
    const struct net *net = arg;
    const struct net_port *p = find_udp(net, flow->dst, flow->port);

    if (flow->dst != flow->answers) {
        return in_block(net, flow->answers) && (p == NULL || !serves(p, flow->answers));
    }
    return p != NULL && !in_block(net, flow->src) && !in_block(net, flow->dst);
}

static void on_done(void *arg, uint64_t seq, int status, const struct err *e)
{
    struct net *net = arg;

    if (status == 0 && net->udp_seq != 0 && net->udp_seq <= seq) {
        net->udp_seq = 0;
        uv_flows_sweep(net->flows);
    }
    tell_waiters(net, seq, status, e);
}

static void add_waiter(struct net *net, uint64_t seq, net_publish_cb cb, void *arg)
{
    struct waiter **at = &net->waiters;
    struct waiter *w = xcalloc(1, sizeof(*w));

    *w = (struct waiter){.seq = seq, .cb = cb, .arg = arg};
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = w;
}

/* A checked and sorted copy. */
static int take_ports(const struct net *net, const struct net_port *ports, unsigned n,
                      struct net_port **ret, struct err *e)
{
    struct net_port *copy;
    int rc;

    if (n > NET_PORTS_MAX) {
        return err_say(e, E2BIG, "%u published ports; %d are possible", n, NET_PORTS_MAX);
    }
    copy = copy_ports(ports, n);
    rc = check_ports(net, copy, n, e);
    if (rc < 0) {
        free_ports(copy, n);
        return rc;
    }
    *ret = copy;
    return 0;
}

int net_publish(struct net *net, const struct net_port *ports, unsigned n, net_publish_cb cb,
                void *arg, struct err *e)
{
    auto_buf struct buf text = {0};
    struct net_port *want;
    bool udp = false;
    uint64_t seq;
    int rc = take_ports(net, ports, n, &want, e);

    if (rc < 0) {
        return rc;
    }
    write_difference(net, want, n, &text, &udp);
    free_ports(net->ports, net->n_ports);
    net->ports = want;
    net->n_ports = n;
    if (text.len == 0 && cb == NULL) {
        return 0;
    }
    seq = uv_nft_change(net->nft, buf_text(&text));
    net->udp_seq = udp ? seq : net->udp_seq;
    if (cb != NULL) {
        add_waiter(net, seq, cb, arg);
    }
    return 0;
}

/* ---- life ---- */

static void net_free(struct net *net)
{
    cleanup_close(&net->rtnl);
    free_ports(net->ports, net->n_ports);
    free(net->taken);
    free(net->nft_program);
    free(net);
}

static struct net *make(const struct net_config *c)
{
    struct net *net = xcalloc(1, sizeof(*net));

    set_names(net, c->suffix);
    net->rules.range = c->range;
    net->rules.range_prefix = c->range_prefix;
    net->rules.block = c->block;
    net->rules.block_prefix = c->block_prefix;
    net->nft_program = xstrdup(c->nft_program != NULL ? c->nft_program : "nft");
    net->mtu = c->mtu != 0 ? c->mtu : MTU_DEFAULT;
    net->rtnl = -1;
    net->n_addresses = (uint32_t)1 << (32 - c->block_prefix);
    net->taken = xcalloc(net->n_addresses / 64 + 1, sizeof(*net->taken));
    set_taken(net, 0, true);
    set_taken(net, net->n_addresses - 1, true);
    return net;
}

static int bring_up(struct net *net, struct uv_loop_s *loop, struct err *e)
{
    struct uv_nft_config config = {.loop = loop,
                                   .program = net->nft_program,
                                   .table = net->rules.table,
                                   .whole = write_whole,
                                   .done = on_done,
                                   .arg = net};
    struct rtnl_route block = block_route(net);
    int rc;

    net->rtnl = rtnl_open(e);
    rc = net->rtnl < 0 ? net->rtnl : switch_forwarding_on(e);
    if (rc == 0) {
        rc = uv_nft_create(&config, &net->nft, e);
    }
    if (rc < 0) {
        return rc;
    }
    rc = rtnl_route_set(net->rtnl, &block, e);
    if (rc == 0) {
        rc = uv_flows_create(loop, is_stale, net, &net->flows, e);
    }
    if (rc < 0) {
        uv_nft_close(net->nft, NULL, NULL, NULL);
    } else {
        uv_flows_sweep(net->flows); /* nobody looked while there was no agent */
    }
    return rc;
}

int net_create(struct uv_loop_s *loop, const struct net_config *config, struct net **ret,
               struct err *e)
{
    struct net *net;
    int rc = check_config(config, e);

    if (rc < 0) {
        return rc;
    }
    net = make(config);
    rc = take_ports(net, config->ports, config->n_ports, &net->ports, e);
    if (rc == 0) {
        net->n_ports = config->n_ports;
        rc = bring_up(net, loop, e);
    }
    if (rc < 0) {
        net_free(net);
        return rc;
    }
    *ret = net;
    return 0;
}

static void on_part_closed(void *arg)
{
    struct net *net = arg;
    void (*closed)(void *arg) = net->closed;
    void *closed_arg = net->closed_arg;
    struct err e;

    if (--net->live > 0) {
        return;
    }
    (void)err_say(&e, ECANCELED, "the network was closed");
    tell_waiters(net, UINT64_MAX, -ECANCELED, &e);
    net_free(net);
    closed(closed_arg);
}

void net_close(struct net *net, bool remove, void (*closed)(void *arg), void *arg)
{
    auto_buf struct buf last = {0};

    net->closed = closed;
    net->closed_arg = arg;
    if (remove) {
        (void)remove_links(net, NULL, 0, NULL);
        (void)make_routes(net, NULL, 0, NULL);
        rules_remove(&net->rules, &last);
    }
    net->live = 2;
    uv_flows_close(net->flows, on_part_closed, net);
    uv_nft_close(net->nft, remove ? buf_text(&last) : NULL, on_part_closed, net);
}

unsigned net_restored(const struct net *net)
{
    return net->nft != NULL ? uv_nft_restored(net->nft) : 0;
}
