// SPDX-License-Identifier: Apache-2.0
/* What a service, or a container of this node, wants of the table, as things are. */
#include <stdlib.h>
#include <string.h>

#include "agent/net/netplan_priv.h"
#include "common/err.h"
#include "common/name.h"

/* ---- containers of this node ---- */

static void add_ref(struct netplan_want *w, struct netelem e)
{
    netelems_add(&w->refs, &e);
}

static void add_known(struct netplan_want *w, uint64_t incarnation, uint32_t address)
{
    if (address != 0) {
        add_ref(w, (struct netelem){.set = NETPLAN_SET_KNOWN,
                                    .address = address,
                                    .mark = (uint32_t)(incarnation >> 32),
                                    .other = (uint32_t)incarnation});
    }
}

/* The kernel takes no networks that overlap: the larger is enough. Of equals the first. */
static bool is_covered(const struct netplan_local *l, unsigned i)
{
    for (unsigned k = 0; k < l->n_out; k++) {
        bool larger =
            l->out[k].prefix < l->out[i].prefix || (l->out[k].prefix == l->out[i].prefix && k < i);

        if (larger && ((l->out[k].net ^ l->out[i].net) & netplan_mask(l->out[k].prefix)) == 0) {
            return true;
        }
    }
    return false;
}

static void add_address(const struct netplan_here *h, uint32_t address, struct netplan_want *w)
{
    struct netelem key = {.set = NETELEM_CLASS, .address = address};

    add_known(w, h->is.incarnation, address);
    if (h->class != NULL) {
        key.mark = h->class->number;
        (void)netplan_store_claim(w, &key);
    }
    if (!h->is.no_out) {
        return;
    }
    add_ref(w, (struct netelem){.set = NETELEM_NOOUT, .address = address});
    for (unsigned i = 0; i < h->is.n_out; i++) {
        if (!is_covered(&h->is, i)) {
            add_ref(w,
                    (struct netelem){.set = NETELEM_OUT,
                                     .address = address,
                                     .other = h->is.out[i].net & netplan_mask(h->is.out[i].prefix),
                                     .prefix = (uint8_t)h->is.out[i].prefix});
        }
    }
}

void netplan_want_local(const struct netplan_here *h, struct netplan_want *ret)
{
    add_address(h, h->is.address, ret);
    if (h->is.extra != 0 && h->is.extra != h->is.address) {
        add_address(h, h->is.extra, ret);
    }
}

/* ---- who may reach them ---- */

static bool share(const struct netplan_class *a, const struct netplan_class *b)
{
    for (unsigned i = 0; b != NULL && i < b->n_networks; i++) {
        if (netplan_class_has(a, b->networks[i]->name)) {
            return true;
        }
    }
    return false;
}

static void add_reach(struct netplan_want *w, uint32_t mark, uint32_t address)
{
    if (address != 0) {
        add_ref(w, (struct netelem){.set = NETELEM_REACH, .mark = mark, .address = address});
    }
}

static void want_class(const struct netplan_service *s, const struct netplan_class *c,
                       const struct netplan_spots *spots, struct netplan_want *w)
{
    uint32_t mask = netplan_class_mask(c, s->entry);

    for (unsigned i = 0; i < spots->n; i++) {
        const struct netplan_spot *spot = &spots->list[i];

        if (spot->here != NULL ? share(c, spot->here->class) : (mask & spot->networks) != 0) {
            add_reach(w, c->number, spot->address);
            add_reach(w, c->number, spot->extra);
        }
    }
}

/* Returns whether there is any. */
static bool want_classes(struct netplan *p, const struct netplan_service *s,
                         const struct netplan_spots *spots, struct netplan_want *w)
{
    bool any = false;

    p->stamp++;
    for (unsigned i = 0; i < s->n_members; i++) {
        const struct netplan_network *n = s->members[i].network;

        for (unsigned k = 0; k < n->n_classes; k++) {
            if (n->classes[k]->stamp != p->stamp) {
                n->classes[k]->stamp = p->stamp;
                want_class(s, n->classes[k], spots, w);
                any = true;
            }
        }
    }
    return any;
}

/* ---- where their names lead ---- */

/* Those behind one address or port. */
struct backends {
    const struct netplan_spot **list;
    unsigned n;
};

/* Of the candidates those that answer, if any does. */
static void prefer_answering(struct backends *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->n; i++) {
        n += b->list[i]->answers;
    }
    if (n == 0 || n == b->n) {
        return;
    }
    n = 0;
    for (unsigned i = 0; i < b->n; i++) {
        if (b->list[i]->answers) {
            b->list[n++] = b->list[i];
        }
    }
    b->n = n;
}

/* A candidate's rank, which differs from node to node (the finalizer of MurmurHash3). */
static uint64_t rank_of(const struct netplan *p, uint64_t incarnation)
{
    uint64_t h = incarnation ^ (uint64_t)p->config.block << 32;

    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t c = *a;

    *a = *b;
    *b = c;
}

/* The k-th smallest (quickselect, in three parts). Moves them. */
static uint64_t smallest(uint64_t *list, unsigned n, unsigned k)
{
    unsigned low = 0, high = n;

    while (high - low > 1) {
        uint64_t pivot = list[low + (high - low) / 2];
        unsigned less = low, at = low, more = high;

        while (at < more) {
            if (list[at] < pivot) {
                swap(&list[less++], &list[at++]);
            } else if (list[at] > pivot) {
                swap(&list[at], &list[--more]);
            } else {
                at++;
            }
        }
        if (k >= less && k < more) {
            return pivot;
        }
        low = k < less ? low : more;
        high = k < less ? less : high;
    }
    return list[low];
}

/* Of very many each node takes others, so that all are used by somebody; one that comes or goes
 * changes no more than itself (rendezvous hashing). */
static void limit(const struct netplan *p, struct backends *b)
{
    uint64_t *ranks, highest;
    unsigned n = 0;

    if (b->n <= NETPLAN_BACKENDS_MAX) {
        return;
    }
    ranks = xcalloc(b->n, sizeof(*ranks));
    for (unsigned i = 0; i < b->n; i++) {
        ranks[i] = rank_of(p, b->list[i]->incarnation);
    }
    highest = smallest(ranks, b->n, NETPLAN_BACKENDS_MAX - 1);
    for (unsigned i = 0; n < NETPLAN_BACKENDS_MAX; i++) {
        if (rank_of(p, b->list[i]->incarnation) <= highest) {
            b->list[n++] = b->list[i];
        }
    }
    b->n = n;
    free(ranks);
}

static void want_vip(const struct netplan *p, const struct netplan_service *s, unsigned network,
                     const struct netplan_spots *spots, struct netplan_want *w)
{
    const struct svc_network *n = &s->entry->networks[network];
    struct netelem key = {.set = NETELEM_VIP, .address = n->vip};
    struct backends b = {.list = xcalloc(spots->n + 1, sizeof(const struct netplan_spot *))};
    struct netplan_claim *claim;

    for (unsigned i = 0; i < spots->n; i++) {
        if (spots->list[i].ready && (spots->list[i].networks >> network & 1) != 0) {
            b.list[b.n++] = &spots->list[i];
        }
    }
    prefer_answering(&b);
    limit(p, &b);
    key.n = b.n;
    key.chain = s->entry->balance == SVC_BALANCE_CLIENT ? NETELEM_CHAIN_VIC : NETELEM_CHAIN_VIP;
    claim = key.n > 0 ? netplan_store_claim(w, &key) : NULL;
    for (unsigned i = 0; i < key.n; i++) {
        netelems_add(&claim->elems, &(struct netelem){.set = NETELEM_VIP_TO,
                                                      .address = n->vip,
                                                      .index = i,
                                                      .to = b.list[i]->address});
    }
    free(b.list);
}

/* Only containers of this node come by virtual addresses. */
static bool has_classes(const struct netplan_service *s, const char *network)
{
    for (unsigned i = 0; i < s->n_members; i++) {
        if (strcmp(s->members[i].network->name, network) == 0) {
            return s->members[i].network->n_classes > 0;
        }
    }
    return false;
}

static bool is_first_vip(const struct svc_entry *entry, unsigned i)
{
    uint32_t vip = entry->networks[i].vip;

    for (unsigned k = 0; k < i; k++) {
        if (entry->networks[k].vip == vip) {
            return false;
        }
    }
    return vip != 0;
}

static void want_vips(const struct netplan *p, const struct netplan_service *s,
                      const struct netplan_spots *spots, struct netplan_want *w)
{
    for (unsigned i = 0; s->entry != NULL && i < s->entry->n_networks; i++) {
        const struct svc_network *n = &s->entry->networks[i];

        if (s->entry->balance != SVC_BALANCE_NONE && is_first_vip(s->entry, i) &&
            has_classes(s, n->name)) {
            want_vip(p, s, i, spots, w);
        }
    }
}

/* ---- addresses that were asked for ---- */

/* Whether a container of this node is on one of its networks. */
static bool is_met(const struct netplan_service *s, const struct netplan_spot *spot)
{
    for (unsigned i = 0; s->entry != NULL && i < s->entry->n_networks; i++) {
        if ((spot->networks >> i & 1) != 0 && has_classes(s, s->entry->networks[i].name)) {
            return true;
        }
    }
    return false;
}

static bool is_repeated(const struct netplan_spots *spots, unsigned i)
{
    for (unsigned k = 0; k < i; k++) {
        if (spots->list[k].here == NULL && spots->list[k].extra == spots->list[i].extra) {
            return true;
        }
    }
    return false;
}

/* Only its own node has a route to such an address: here it leads to the one out of that node's
 * block, as a virtual address does, ready or not. So every way between nodes is good for it. */
static void want_extras(const struct netplan_service *s, const struct netplan_spots *spots,
                        struct netplan_want *w)
{
    for (unsigned i = 0; i < spots->n; i++) {
        const struct netplan_spot *spot = &spots->list[i];
        struct netelem key = {
            .set = NETELEM_VIP, .address = spot->extra, .chain = NETELEM_CHAIN_VIP, .n = 1};

        if (spot->here != NULL || spot->extra == 0 || is_repeated(spots, i) || !is_met(s, spot)) {
            continue;
        }
        add_ref(w, (struct netelem){.set = NETELEM_EXTRA, .address = spot->extra});
        netelems_add(
            &netplan_store_claim(w, &key)->elems,
            &(struct netelem){.set = NETELEM_VIP_TO, .address = spot->extra, .to = spot->address});
    }
}

/* ---- published ports ---- */

/* Where a container of this node has its own word about a port; 0: it has not. */
static uint16_t own_target(const struct netplan_here *h, const struct netplan_port *key)
{
    for (unsigned i = 0; i < h->is.n_ports; i++) {
        const struct netplan_port *p = &h->is.ports[i];

        if (p->udp == key->udp && p->published == key->published && p->host_ip == key->host_ip) {
            return p->target;
        }
    }
    return 0;
}

/* Ports of a service, and how each is published. */
struct port {
    struct netplan_port port; /* host: by containers of this node that say so, and no others */
    bool told;                /* in the entry */
};

struct ports {
    struct port *list;
    unsigned n, cap;
};

static void add_port(struct ports *l, const struct netplan_port *p, bool told)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct netplan_port *is = &l->list[i].port;

        if (is->udp == p->udp && is->published == p->published && is->host_ip == p->host_ip) {
            return;
        }
    }
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 8;
        l->list = xrealloc(l->list, l->cap, sizeof(*l->list));
    }
    l->list[l->n++] = (struct port){.port = *p, .told = told};
}

static void gather_ports(const struct netplan_service *s, struct ports *ret)
{
    for (unsigned i = 0; s->entry != NULL && i < s->entry->n_ports; i++) {
        const struct svc_port *p = &s->entry->ports[i];

        add_port(ret,
                 &(struct netplan_port){.udp = p->udp,
                                        .published = p->published,
                                        .target = p->target,
                                        .host_ip = p->host_ip},
                 true);
    }
    for (const struct netplan_here *h = s->locals; h != NULL; h = h->sibling) {
        for (unsigned i = 0; i < h->is.n_ports; i++) {
            if (h->is.ports[i].host || !h->told) {
                add_port(ret, &h->is.ports[i], false);
            }
        }
    }
}

/* The port that a spot has behind a published one; 0: it does not serve it. */
static uint16_t target_of(const struct netplan_spot *spot, const struct port *p)
{
    uint16_t own = spot->here != NULL ? own_target(spot->here, &p->port) : 0;

    return own != 0 || !p->told ? own : p->port.target;
}

static void find_backends(const struct netplan_spots *spots, const struct port *p, bool here,
                          struct backends *b)
{
    b->n = 0;
    for (unsigned i = 0; i < spots->n; i++) {
        const struct netplan_spot *spot = &spots->list[i];

        if (spot->ready && (spot->here != NULL) == here && target_of(spot, p) != 0) {
            b->list[b->n++] = spot;
        }
    }
    prefer_answering(b);
}

static void want_port(const struct netplan *p, const struct netplan_spots *spots,
                      const struct port *port, struct netplan_want *w)
{
    bool one = port->port.host_ip != 0;
    struct netelem key = {.set = one ? NETELEM_ONE : NETELEM_ANY,
                          .udp = port->port.udp,
                          .port = port->port.published,
                          .address = port->port.host_ip};
    struct netelem to = key;
    struct backends b = {.list = xcalloc(spots->n + 1, sizeof(const struct netplan_spot *))};
    struct netplan_claim *claim;

    find_backends(spots, port, true, &b);
    if (b.n == 0) {
        find_backends(spots, port, false, &b);
    }
    key.chain = one ? NETELEM_CHAIN_ONE : NETELEM_CHAIN_ANY;
    limit(p, &b);
    key.n = b.n;
    to.set = one ? NETELEM_ONE_TO : NETELEM_ANY_TO;
    claim = key.n > 0 ? netplan_store_claim(w, &key) : NULL;
    for (unsigned i = 0; i < key.n; i++) {
        const struct netplan_spot *spot = b.list[i];

        to.index = i;
        to.to = spot->address;
        to.to_port = target_of(spot, port);
        netelems_add(&claim->elems, &to);
    }
    free(b.list);
}

/* Other nodes may not know yet how it stands with a container: what it publishes at all. */
static void want_ingress(const struct netplan_spots *spots, const struct port *port,
                         struct netplan_want *w)
{
    for (unsigned i = 0; i < spots->n; i++) {
        const struct netplan_spot *spot = &spots->list[i];
        uint16_t target = target_of(spot, port);

        if (spot->here != NULL && target != 0 && !port->port.host) {
            add_ref(w, (struct netelem){.set = NETELEM_INGRESS,
                                        .address = spot->address,
                                        .udp = port->port.udp,
                                        .port = target});
        }
    }
}

/* Returns whether there is any. */
static bool want_ports(const struct netplan *p, const struct netplan_service *s,
                       const struct netplan_spots *spots, struct netplan_want *w)
{
    struct ports ports = {0};

    gather_ports(s, &ports);
    for (unsigned i = 0; i < ports.n; i++) {
        want_port(p, spots, &ports.list[i], w);
        want_ingress(spots, &ports.list[i], w);
    }
    free(ports.list);
    return ports.n > 0;
}

/* ---- services ---- */

void netplan_want_service(struct netplan *p, struct netplan_service *s, struct netplan_want *ret)
{
    struct netplan_spots spots;
    bool any;

    netplan_spots_gather(p, s, &spots);
    any = want_classes(p, s, &spots, ret);
    want_vips(p, s, &spots, ret);
    want_extras(s, &spots, ret);
    any = want_ports(p, s, &spots, ret) || any;
    for (unsigned i = 0; any && i < spots.n; i++) {
        if (spots.list[i].here == NULL) {
            add_known(ret, spots.list[i].incarnation, spots.list[i].address);
            add_known(ret, spots.list[i].incarnation, spots.list[i].extra);
        }
    }
    free(spots.list);
}
