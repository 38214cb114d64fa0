// SPDX-License-Identifier: Apache-2.0
#include "agent/net/wireguard.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent/net/nlbatch.h"
#include "agent/net/rtnlmsg.h"
#include "common/cleanup.h"

static_assert(WIREGUARD_KEY == WG_KEY_LEN, "the kernel's keys");

int wireguard_open(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

    if (fd < 0) {
        return err_set(e, errno, "open a generic netlink socket");
    }
    nlbatch_prepare_socket(fd);
    return fd;
}

/* ---- messages ---- */

static void on_family(void *arg, const struct nlmsghdr *answer)
{
    const struct nlattr *id = nlbatch_attr(answer, sizeof(struct genlmsghdr), CTRL_ATTR_FAMILY_ID);

    if (id != NULL && mnl_attr_get_payload_len(id) == sizeof(uint16_t)) {
        *(uint16_t *)arg = mnl_attr_get_u16(id);
    }
}

/* The number of the family is given when the module is loaded. */
static int find_family(int genl, uint16_t *ret, struct err *e)
{
    struct genlmsghdr *g;
    struct nlmsghdr *h;
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    h = nlbatch_begin(&m, GENL_ID_CTRL, 0, "find WireGuard");
    g = nlbatch_header(&m, sizeof(*g));
    *g = (struct genlmsghdr){.cmd = CTRL_CMD_GETFAMILY, .version = 1};
    mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
    *ret = 0;
    rc = nlbatch_run(&m, genl, on_family, ret, &why);
    if (rc == -ENOENT || (rc == 0 && *ret == 0)) {
        return err_say(e, EOPNOTSUPP, "this kernel has no WireGuard");
    }
    return rc < 0 ? err_say(e, rc, "%s", why.text) : 0;
}

static struct nlmsghdr *begin(struct nlbatch *m, uint16_t family, uint8_t command, const char *name,
                              const char *what)
{
    bool list = command == WG_CMD_GET_DEVICE;
    struct nlmsghdr *h = nlbatch_begin(m, family, list ? NLM_F_DUMP : 0, what);
    struct genlmsghdr *g = nlbatch_header(m, sizeof(*g));

    *g = (struct genlmsghdr){.cmd = command, .version = WG_GENL_VERSION};
    mnl_attr_put_strz(h, WGDEVICE_A_IFNAME, name);
    return h;
}

/* ---- the device ---- */

struct found {
    unsigned index; /* 0: nothing */
    bool same;
    bool up;
    unsigned mtu;
};

static void on_link(void *arg, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);
    const struct nlattr *mtu = nlbatch_attr(answer, sizeof(*link), IFLA_MTU);
    const struct nlattr *kind =
        nlbatch_inside(nlbatch_attr(answer, sizeof(*link), IFLA_LINKINFO), IFLA_INFO_KIND);
    struct found *f = arg;

    if (answer->nlmsg_type == RTM_NEWLINK) {
        *f =
            (struct found){.index = (unsigned)link->ifi_index,
                           .same = kind != NULL && strcmp(mnl_attr_get_str(kind), "wireguard") == 0,
                           .up = (link->ifi_flags & IFF_UP) != 0,
                           .mtu = mtu != NULL ? mnl_attr_get_u32(mtu) : 0};
    }
}

static int find(int rtnl, const char *name, struct found *ret, struct err *e)
{
    struct nlbatch m;
    struct err why;
    int rc;

    *ret = (struct found){0};
    nlbatch_init(&m);
    rtnlmsg_get(&m, name);
    rc = nlbatch_run(&m, rtnl, on_link, ret, &why);
    return rc < 0 && rc != -ENODEV ? err_say(e, rc, "%s: %s", name, why.text) : 0;
}

static int create(int rtnl, const char *name, struct found *ret, struct err *e)
{
    struct nlmsghdr *h;
    struct nlattr *info;
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    h = rtnlmsg_link(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make the WireGuard device");
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "wireguard");
    mnl_attr_nest_end(h, info);
    rtnlmsg_get(&m, name);
    rc = nlbatch_run(&m, rtnl, on_link, ret, &why);
    if (rc == -EOPNOTSUPP) {
        return err_say(e, rc, "this kernel has no WireGuard");
    }
    return rc < 0 ? err_say(e, rc, "%s: %s", name, why.text) : 0;
}

static int bring_up(int rtnl, const struct wireguard *w, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    rtnlmsg_no_ipv6(&m, w->name);
    h = rtnlmsg_up(&m, w->name, "bring the WireGuard device up");
    if (w->mtu != 0) {
        mnl_attr_put_u32(h, IFLA_MTU, w->mtu);
    }
    rtnlmsg_settings(h);
    return nlbatch_run(&m, rtnl, NULL, NULL, e);
}

int wireguard_make_key(uint8_t ret_private[WIREGUARD_KEY], struct err *e)
{
    if (getrandom(ret_private, WIREGUARD_KEY, 0) != WIREGUARD_KEY) {
        return err_set(e, errno, "make a key");
    }
    ret_private[0] &= 248; /* as X25519 asks (RFC 7748, section 5), so that it is found as it was */
    ret_private[31] = (uint8_t)((ret_private[31] & 127) | 64);
    return 0;
}

static int set_key(int genl, uint16_t family, const struct wireguard *w, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;
    int rc;

    nlbatch_init(&m);
    h = begin(&m, family, WG_CMD_SET_DEVICE, w->name, "set the key");
    mnl_attr_put(h, WGDEVICE_A_PRIVATE_KEY, WIREGUARD_KEY, w->private);
    mnl_attr_put_u16(h, WGDEVICE_A_LISTEN_PORT, WIREGUARD_PORT);
    rc = nlbatch_run(&m, genl, NULL, NULL, e);
    explicit_bzero(&m, sizeof(m));
    return rc;
}

struct keys {
    uint8_t private[WIREGUARD_KEY];
    uint8_t public[WIREGUARD_KEY];
};

static void read_key(const struct nlmsghdr *answer, uint16_t type, uint8_t ret[WIREGUARD_KEY])
{
    const struct nlattr *key = nlbatch_attr(answer, sizeof(struct genlmsghdr), type);

    if (key != NULL && mnl_attr_get_payload_len(key) == WIREGUARD_KEY) {
        memcpy(ret, mnl_attr_get_payload(key), WIREGUARD_KEY);
    }
}

static void on_keys(void *arg, const struct nlmsghdr *answer)
{
    struct keys *keys = arg;

    read_key(answer, WGDEVICE_A_PRIVATE_KEY, keys->private);
    read_key(answer, WGDEVICE_A_PUBLIC_KEY, keys->public);
}

static int get_keys(int genl, uint16_t family, const char *name, struct keys *ret, struct err *e)
{
    struct nlbatch m;

    *ret = (struct keys){0};
    nlbatch_init(&m);
    (void)begin(&m, family, WG_CMD_GET_DEVICE, name, "read the key");
    return nlbatch_run(&m, genl, on_keys, ret, e);
}

static int give_key(int genl, const struct wireguard *w, uint8_t ret[WIREGUARD_KEY], struct err *e)
{
    struct keys is;
    uint16_t family;
    int rc = find_family(genl, &family, e);

    if (rc == 0) {
        rc = get_keys(genl, family, w->name, &is, e);
    }
    if (rc == 0 && memcmp(is.private, w->private, WIREGUARD_KEY) != 0) {
        rc = set_key(genl, family, w, e);
        rc = rc == 0 ? get_keys(genl, family, w->name, &is, e) : rc;
    }
    if (rc == 0) {
        memcpy(ret, is.public, WIREGUARD_KEY);
    }
    explicit_bzero(&is, sizeof(is));
    return rc;
}

int wireguard_make(int rtnl, int genl, const struct wireguard *w, unsigned *ret_index,
                   uint8_t ret_key[WIREGUARD_KEY], struct err *e)
{
    struct found is;
    int rc = find(rtnl, w->name, &is, e);

    if (rc == 0 && is.index != 0 && !is.same) {
        return err_say(e, EEXIST, "%s is no WireGuard device", w->name);
    }
    if (rc == 0 && is.index == 0) {
        rc = create(rtnl, w->name, &is, e);
    }
    if (rc == 0) {
        rc = give_key(genl, w, ret_key, e);
    }
    if (rc == 0 && (!is.up || (w->mtu != 0 && is.mtu != w->mtu))) {
        rc = bring_up(rtnl, w, e);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_index = is.index;
    return 0;
}

/* ---- its peers ---- */

struct peers {
    struct wireguard_peer *list;
    unsigned n;
    unsigned cap;
};

static uint32_t read_endpoint(const struct nlattr *attr)
{
    struct sockaddr_in in;

    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(in)) {
        return 0;
    }
    memcpy(&in, mnl_attr_get_payload(attr), sizeof(in));
    return in.sin_family == AF_INET ? ntohl(in.sin_addr.s_addr) : 0;
}

/* One net is all that we give; with any other number of them it is none of ours. */
static void read_allowed(const struct nlattr *nets, struct wireguard_peer *ret)
{
    const struct nlattr *net = nets != NULL ? mnl_attr_get_payload(nets) : NULL;
    int size = nets != NULL ? mnl_attr_get_payload_len(nets) : 0;
    bool one = mnl_attr_ok(net, size) && MNL_ALIGN(net->nla_len) == size;
    const struct nlattr *address = nlbatch_inside(one ? net : NULL, WGALLOWEDIP_A_IPADDR);
    const struct nlattr *prefix = nlbatch_inside(one ? net : NULL, WGALLOWEDIP_A_CIDR_MASK);

    if (address == NULL || mnl_attr_get_payload_len(address) != 4 || prefix == NULL) {
        return;
    }
    ret->block = ntohl(mnl_attr_get_u32(address));
    ret->block_prefix = mnl_attr_get_u8(prefix);
}

static void add_peer(struct peers *l, const struct nlattr *peer)
{
    const struct nlattr *key = nlbatch_inside(peer, WGPEER_A_PUBLIC_KEY);
    struct wireguard_peer *to;

    if (key == NULL || mnl_attr_get_payload_len(key) != WIREGUARD_KEY) {
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->list = xrealloc(l->list, l->cap, sizeof(*l->list));
    }
    to = &l->list[l->n++];
    *to =
        (struct wireguard_peer){.underlay = read_endpoint(nlbatch_inside(peer, WGPEER_A_ENDPOINT))};
    memcpy(to->key, mnl_attr_get_payload(key), WIREGUARD_KEY);
    read_allowed(nlbatch_inside(peer, WGPEER_A_ALLOWEDIPS), to);
}

static void on_device(void *arg, const struct nlmsghdr *answer)
{
    const struct nlattr *peers = nlbatch_attr(answer, sizeof(struct genlmsghdr), WGDEVICE_A_PEERS);
    const struct nlattr *peer = peers != NULL ? mnl_attr_get_payload(peers) : NULL;
    const char *end = peers != NULL ? (const char *)peer + mnl_attr_get_payload_len(peers) : NULL;

    while (peer != NULL && mnl_attr_ok(peer, (int)(end - (const char *)peer))) {
        add_peer(arg, peer);
        peer = mnl_attr_next(peer);
    }
}

static int list_peers(int genl, uint16_t family, const char *name, struct peers *ret, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    (void)begin(&m, family, WG_CMD_GET_DEVICE, name, "list the peers");
    return nlbatch_run(&m, genl, on_device, ret, e);
}

static void put_allowed(struct nlmsghdr *h, const struct wireguard_peer *p)
{
    struct nlattr *nets = mnl_attr_nest_start(h, WGPEER_A_ALLOWEDIPS);
    struct nlattr *net = mnl_attr_nest_start(h, 0);

    mnl_attr_put_u16(h, WGALLOWEDIP_A_FAMILY, AF_INET);
    mnl_attr_put_u32(h, WGALLOWEDIP_A_IPADDR, htonl(p->block));
    mnl_attr_put_u8(h, WGALLOWEDIP_A_CIDR_MASK, (uint8_t)p->block_prefix);
    mnl_attr_nest_end(h, net);
    mnl_attr_nest_end(h, nets);
}

/* What a change of one peer consists of. */
enum part {
    PART_REMOVE = 1,
    PART_NETS = 2,
    PART_ENDPOINT = 4,
    PART_KNOCK = 8, /* a keepalive now: the handshake does not wait for traffic */
    PART_QUIET = 16
};

static void put_peer(struct nlbatch *m, uint16_t family, const char *name,
                     const struct wireguard_peer *p, unsigned parts)
{
    struct nlmsghdr *h = begin(m, family, WG_CMD_SET_DEVICE, name, "set the peer");
    struct nlattr *peers = mnl_attr_nest_start(h, WGDEVICE_A_PEERS);
    struct nlattr *peer = mnl_attr_nest_start(h, 0);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(WIREGUARD_PORT),
                             .sin_addr.s_addr = htonl(p->underlay)};

    mnl_attr_put(h, WGPEER_A_PUBLIC_KEY, WIREGUARD_KEY, p->key);
    if ((parts & PART_REMOVE) != 0) {
        mnl_attr_put_u32(h, WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME);
    }
    if ((parts & PART_NETS) != 0) {
        mnl_attr_put_u32(h, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
        put_allowed(h, p);
    }
    if ((parts & PART_ENDPOINT) != 0) {
        mnl_attr_put(h, WGPEER_A_ENDPOINT, sizeof(in), &in);
    }
    if ((parts & (PART_KNOCK | PART_QUIET)) != 0) {
        mnl_attr_put_u16(h, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, (parts & PART_KNOCK) != 0);
    }
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, peers);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct wireguard_peer *)a)->key, ((const struct wireguard_peer *)b)->key,
                  WIREGUARD_KEY);
}

static const struct wireguard_peer *find_peer(const struct wireguard_peer *list, unsigned n,
                                              const struct wireguard_peer *p)
{
    return n > 0 ? bsearch(p, list, n, sizeof(*list), by_key) : NULL;
}

/* What of a peer that shall be is not so; 0: nothing. */
static unsigned missing(const struct wireguard_peer *is, const struct wireguard_peer *want,
                        bool moved)
{
    unsigned parts = 0;

    if (is == NULL) {
        return PART_NETS | PART_ENDPOINT | PART_KNOCK;
    }
    if (is->block != want->block || is->block_prefix != want->block_prefix) {
        parts |= PART_NETS;
    }
    if (is->underlay == 0 || (moved && is->underlay != want->underlay)) {
        parts |= PART_ENDPOINT;
    }
    return parts;
}

static int change(int genl, uint16_t family, const char *name, const struct wireguard_peer *p,
                  unsigned parts, struct err *e)
{
    struct nlbatch m;

    if (parts == 0) {
        return 0;
    }
    nlbatch_init(&m);
    put_peer(&m, family, name, p, parts);
    if ((parts & PART_KNOCK) != 0) {
        put_peer(&m, family, name, p, PART_QUIET);
    }
    return nlbatch_run(&m, genl, NULL, NULL, e);
}

/* New ones first: a block passes from a node's old key to its new one, and is never nobody's. */
static int make_peers(int genl, uint16_t family, const char *name, struct peers *have,
                      const struct peers *want, bool moved, struct err *e)
{
    struct err why;
    int rc = 0;

    for (unsigned i = 0; i < want->n; i++) {
        const struct wireguard_peer *p = &want->list[i];
        unsigned parts = missing(find_peer(have->list, have->n, p), p, moved);
        int one = change(genl, family, name, p, parts, &why);

        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    for (unsigned i = 0; i < have->n; i++) {
        const struct wireguard_peer *p = &have->list[i];
        bool stays = find_peer(want->list, want->n, p) != NULL;
        int one = change(genl, family, name, p, stays ? 0 : PART_REMOVE, &why);

        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    return rc;
}

int wireguard_peers(int genl, const char *name, struct wireguard_peer *want, unsigned n, bool moved,
                    struct err *e)
{
    struct peers wanted = {.list = want, .n = n};
    struct peers have = {0};
    uint16_t family;
    int rc = find_family(genl, &family, e);

    if (rc == 0) {
        rc = list_peers(genl, family, name, &have, e);
    }
    if (have.n > 0) {
        qsort(have.list, have.n, sizeof(*have.list), by_key);
    }
    if (n > 0) {
        qsort(want, n, sizeof(*want), by_key);
    }
    if (rc == 0) {
        rc = make_peers(genl, family, name, &have, &wanted, moved, e);
    }
    free(have.list);
    return rc;
}

int wireguard_recall(int genl, const char *name, uint8_t ret_private[WIREGUARD_KEY],
                     struct wireguard_peer **ret, unsigned *ret_n, struct err *e)
{
    struct peers have = {0};
    struct keys keys;
    uint16_t family;
    int rc = find_family(genl, &family, e);

    if (rc == 0) {
        rc = get_keys(genl, family, name, &keys, e);
    }
    if (rc == 0) {
        rc = list_peers(genl, family, name, &have, e);
    }
    if (rc < 0) {
        free(have.list);
        return rc == -EOPNOTSUPP ? -ENODEV : rc;
    }
    memcpy(ret_private, keys.private, WIREGUARD_KEY);
    explicit_bzero(&keys, sizeof(keys));
    *ret = have.list;
    *ret_n = have.n;
    return 0;
}
