// SPDX-License-Identifier: Apache-2.0
#include "agent/net/vxlan.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/nlbatch.h"
#include "agent/net/rtnl.h"
#include "agent/net/rtnlmsg.h"

static void make_mac(uint32_t address, uint8_t ret[6])
{
    uint32_t be = htonl(address);

    ret[0] = 0x02;
    ret[1] = 'v';
    memcpy(ret + 2, &be, sizeof(be));
}

/* ---- the device ---- */

/* What is there under the name. */
struct found {
    const struct vxlan *want;
    unsigned index; /* 0: nothing */
    bool same;
    bool up;
    unsigned mtu;
    uint32_t local;
};

static bool has_u32(const struct nlattr *nest, uint16_t type, uint32_t value)
{
    const struct nlattr *attr = nlbatch_inside(nest, type);
    uint32_t is = attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? mnl_attr_get_u32(attr) : 0;

    return is == value;
}

static bool has_u16(const struct nlattr *nest, uint16_t type, uint16_t value)
{
    const struct nlattr *attr = nlbatch_inside(nest, type);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 2 && mnl_attr_get_u16(attr) == value;
}

static bool has_u8(const struct nlattr *nest, uint16_t type, uint8_t value)
{
    const struct nlattr *attr = nlbatch_inside(nest, type);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 1 && mnl_attr_get_u8(attr) == value;
}

static bool has_mac(const struct nlattr *attr, uint32_t address)
{
    uint8_t mac[6];

    make_mac(address, mac);
    return attr != NULL && mnl_attr_get_payload_len(attr) == sizeof(mac) &&
           memcmp(mnl_attr_get_payload(attr), mac, sizeof(mac)) == 0;
}

static bool is_same(const struct vxlan *v, const struct nlmsghdr *answer, const struct nlattr *data)
{
    return has_u32(data, IFLA_VXLAN_ID, v->vni) &&
           has_u32(data, IFLA_VXLAN_LOCAL, htonl(v->local)) &&
           has_u16(data, IFLA_VXLAN_PORT, htons(VXLAN_PORT)) &&
           has_u8(data, IFLA_VXLAN_LEARNING, 0) && has_u8(data, IFLA_VXLAN_COLLECT_METADATA, 0) &&
           has_mac(nlbatch_attr(answer, sizeof(struct ifinfomsg), IFLA_ADDRESS), v->address);
}

static const struct nlattr *vxlan_data(const struct nlmsghdr *answer)
{
    const struct nlattr *info = nlbatch_attr(answer, sizeof(struct ifinfomsg), IFLA_LINKINFO);
    const struct nlattr *kind = nlbatch_inside(info, IFLA_INFO_KIND);

    return kind != NULL && strcmp(mnl_attr_get_str(kind), "vxlan") == 0
               ? nlbatch_inside(info, IFLA_INFO_DATA)
               : NULL;
}

static void on_found(void *arg, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(answer);
    const struct nlattr *mtu = nlbatch_attr(answer, sizeof(*link), IFLA_MTU);
    const struct nlattr *data = vxlan_data(answer);
    const struct nlattr *local = nlbatch_inside(data, IFLA_VXLAN_LOCAL);
    struct found *f = arg;

    if (answer->nlmsg_type != RTM_NEWLINK) {
        return;
    }
    f->index = (unsigned)link->ifi_index;
    f->same = data != NULL && is_same(f->want, answer, data);
    f->up = (link->ifi_flags & IFF_UP) != 0;
    f->mtu = mtu != NULL ? mnl_attr_get_u32(mtu) : 0;
    f->local =
        local != NULL && mnl_attr_get_payload_len(local) == 4 ? ntohl(mnl_attr_get_u32(local)) : 0;
}

static int find(int fd, const struct vxlan *v, struct found *ret, struct err *e)
{
    struct nlbatch m;
    struct err why;
    int rc;

    *ret = (struct found){.want = v};
    nlbatch_init(&m);
    rtnlmsg_get(&m, v->name);
    rc = nlbatch_run(&m, fd, on_found, ret, &why);
    return rc < 0 && rc != -ENODEV ? err_say(e, rc, "%s: %s", v->name, why.text) : 0;
}

/* No checksum around what has one inside, as RFC 7348 recommends. */
static void put_create(struct nlbatch *m, const struct vxlan *v)
{
    struct nlmsghdr *h =
        rtnlmsg_link(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "make the VXLAN device");
    struct nlattr *info;
    struct nlattr *data;
    uint8_t mac[6];

    make_mac(v->address, mac);
    mnl_attr_put_strz(h, IFLA_IFNAME, v->name);
    mnl_attr_put(h, IFLA_ADDRESS, sizeof(mac), mac);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_VXLAN_ID, v->vni);
    if (v->local != 0) {
        mnl_attr_put_u32(h, IFLA_VXLAN_LOCAL, htonl(v->local));
    }
    mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(VXLAN_PORT));
    mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
    mnl_attr_put_u8(h, IFLA_VXLAN_UDP_CSUM, 0);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

static int create(int fd, const struct vxlan *v, struct found *ret, struct err *e)
{
    struct nlbatch m;

    nlbatch_init(&m);
    put_create(&m, v);
    rtnlmsg_no_ipv6(&m, v->name);
    rtnlmsg_get(&m, v->name);
    return nlbatch_run(&m, fd, on_found, ret, e);
}

static int bring_up(int fd, const struct vxlan *v, struct err *e)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    h = rtnlmsg_up(&m, v->name, "bring the VXLAN device up");
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    rtnlmsg_settings(h);
    rtnlmsg_no_ipv6(&m, v->name); /* again: it is forgotten while an MTU is too small for IPv6 */
    return nlbatch_run(&m, fd, NULL, NULL, e);
}

int vxlan_make(int fd, const struct vxlan *v, unsigned *ret_index, struct err *e)
{
    struct found is;
    int rc = find(fd, v, &is, e);

    assert(v->vni > 0 && v->vni >> 24 == 0);
    if (rc == 0 && is.index != 0 && !is.same) {
        rc = rtnl_link_del(fd, v->name, e);
        is = (struct found){.want = v};
    }
    if (rc == 0 && is.index == 0) {
        rc = create(fd, v, &is, e);
    }
    if (rc == 0 && (!is.up || is.mtu != v->mtu)) {
        rc = bring_up(fd, v, e);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_index = is.index;
    return 0;
}

/* ---- its peers ---- */

/* What a dump of one of the two tables has given. */
struct entry {
    uint8_t mac[6];
    uint32_t address; /* the neighbour's, or where the MAC is found */
};
struct entries {
    unsigned index;
    bool neighbours;
    const struct ip6 *six; /* of the neighbours; NULL: IPv4 */
    struct entry *list;
    unsigned n;
    unsigned cap;
};

static void on_neighbour(void *arg, const struct rtnl_neighbour *neighbour)
{
    struct entries *l = arg;

    if (neighbour->index != l->index) {
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->list = xrealloc(l->list, l->cap, sizeof(*l->list));
    }
    l->list[l->n].address = neighbour->address;
    memcpy(l->list[l->n++].mac, neighbour->mac, sizeof(neighbour->mac));
}

static void put_forward(struct nlbatch *m, uint16_t type, unsigned index, const struct entry *f)
{
    uint16_t flags = type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct nlmsghdr *h = nlbatch_begin(m, type, flags, "set the forwarding entry");
    struct ndmsg *nd = nlbatch_header(m, sizeof(*nd));

    *nd = (struct ndmsg){.ndm_family = AF_BRIDGE,
                         .ndm_ifindex = (int)index,
                         .ndm_state = NUD_PERMANENT | NUD_NOARP,
                         .ndm_flags = NTF_SELF};
    mnl_attr_put(h, NDA_LLADDR, sizeof(f->mac), f->mac);
    mnl_attr_put_u32(h, NDA_DST, htonl(f->address));
}

static int change(int fd, const struct entries *l, uint16_t type, const struct entry *x,
                  struct err *e)
{
    struct nlbatch m;
    struct err why;
    int rc;

    nlbatch_init(&m);
    if (l->neighbours && l->six != NULL) {
        rtnlmsg_neighbour6(&m, type, l->index, l->six, x->address, x->mac);
    } else if (l->neighbours) {
        rtnlmsg_neighbour(&m, type, l->index, x->address, x->mac);
    } else {
        put_forward(&m, type, l->index, x);
    }
    rc = nlbatch_run(&m, fd, NULL, NULL, &why);
    if (rc == -ENOENT && type == RTM_DELNEIGH) {
        return 0;
    }
    return rc < 0 ? err_say(e, rc, "%u.%u.%u.%u: %s", x->address >> 24, x->address >> 16 & 0xff,
                            x->address >> 8 & 0xff, x->address & 0xff, why.text)
                  : 0;
}

static int by_entry(const void *a, const void *b)
{
    const struct entry *l = a;
    const struct entry *r = b;
    int order = memcmp(l->mac, r->mac, sizeof(l->mac));

    return order != 0 ? order : (l->address > r->address) - (l->address < r->address);
}

static bool has_entry(const struct entry *list, unsigned n, const struct entry *x)
{
    return n > 0 && bsearch(x, list, n, sizeof(*list), by_entry) != NULL;
}

/* A neighbour with a wrong MAC has been replaced, and is not to be removed. */
static bool is_stray(const struct entries *have, struct entry x, const struct entry *want,
                     unsigned n)
{
    if (have->neighbours) {
        make_mac(x.address, x.mac);
    }
    return !has_entry(want, n, &x);
}

/* What is missing first: a MAC that has moved is replaced, and never without a place. */
static int make_entries(int fd, struct entries *have, struct entry *want, unsigned n, struct err *e)
{
    struct err why;
    unsigned char family = !have->neighbours ? AF_BRIDGE : have->six != NULL ? AF_INET6 : AF_INET;
    int rc = rtnl_neighbours(fd, family, on_neighbour, have, e);

    if (n > 0) {
        qsort(want, n, sizeof(*want), by_entry);
    }
    if (have->n > 0) {
        qsort(have->list, have->n, sizeof(*have->list), by_entry);
    }
    for (unsigned i = 0; i < n; i++) {
        int one = has_entry(have->list, have->n, &want[i])
                      ? 0
                      : change(fd, have, RTM_NEWNEIGH, &want[i], &why);

        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    for (unsigned i = 0; i < have->n; i++) {
        int one = is_stray(have, have->list[i], want, n)
                      ? change(fd, have, RTM_DELNEIGH, &have->list[i], &why)
                      : 0;

        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    free(have->list);
    return rc;
}

int vxlan_peers(int fd, unsigned index, const struct ip6 *six, const struct vxlan_peer *want,
                unsigned n, struct err *e)
{
    struct entry *list = xcalloc(n + 1, sizeof(*list));
    struct err why;
    int rc = 0;

    for (unsigned table = 0; table < 2; table++) {
        struct entries have = {.index = index, .neighbours = table == 0, .six = six};
        int one;

        for (unsigned i = 0; i < n; i++) {
            make_mac(want[i].address, list[i].mac);
            list[i].address = have.neighbours ? want[i].address : want[i].underlay;
        }
        one = make_entries(fd, &have, list, n, &why);
        rc = one < 0 && rc == 0 ? err_say(e, one, "%s", why.text) : rc;
    }
    free(list);
    return rc;
}

/* Forwarding entries whose MAC is of our making. */
static void take_peers(const struct entries *have, struct vxlan_peer **ret, unsigned *ret_n)
{
    struct vxlan_peer *list = xcalloc(have->n + 1, sizeof(*list));
    unsigned n = 0;

    for (unsigned i = 0; i < have->n; i++) {
        const struct entry *x = &have->list[i];
        uint32_t be;

        memcpy(&be, x->mac + 2, sizeof(be));
        if (x->mac[0] == 0x02 && x->mac[1] == 'v') {
            list[n++] = (struct vxlan_peer){.address = ntohl(be), .underlay = x->address};
        }
    }
    *ret = list;
    *ret_n = n;
}

int vxlan_recall(int fd, const char *name, struct vxlan_peer **ret, unsigned *ret_n,
                 uint32_t *ret_local, struct err *e)
{
    struct vxlan any = {.name = name};
    struct entries have = {0};
    struct found is;
    int rc = find(fd, &any, &is, e);

    have.index = is.index;
    if (rc == 0 && is.index != 0) {
        rc = rtnl_neighbours(fd, AF_BRIDGE, on_neighbour, &have, e);
    }
    if (rc == 0) {
        take_peers(&have, ret, ret_n);
        *ret_local = is.local;
    }
    free(have.list);
    return rc;
}
