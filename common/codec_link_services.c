// SPDX-License-Identifier: Apache-2.0
/* The service table's entries, there and back: lists in lists, each decoded into one array for the
 * whole message. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/codec_link_priv.h"

/* ---- in ---- */

/* What is left of the arrays. */
struct room {
    struct svc_network *networks;
    struct svc_endpoint *endpoints;
    struct svc_port *ports;
};

static int bad(struct err *e, const Wherry__Link__ServiceEntry *of, const char *what)
{
    return err_say(e, EBADMSG, "service %.63s/%.63s: %s", of->stack, of->service, what);
}

static int network_in(const Wherry__Link__ServiceEntry *of, const Wherry__Link__ServiceNetwork *n,
                      struct svc_network *to, struct err *e)
{
    if (!svc_network_is_valid(n->name)) {
        return bad(e, of, "a network's name cannot be");
    }
    if (n->n_aliases > SVC_ALIASES_MAX) {
        return bad(e, of, "too many aliases");
    }
    for (size_t i = 0; i < n->n_aliases; i++) {
        if (!svc_alias_is_valid(n->aliases[i])) {
            return bad(e, of, "an alias is no host name");
        }
    }
    to->vip = n->vip;
    to->internal = n->internal;
    to->ipv6 = n->ipv6;
    to->aliases = (const char *const *)n->aliases;
    to->n_aliases = (unsigned)n->n_aliases;
    memcpy(to->name, n->name, strlen(n->name) + 1);
    return 0;
}

static int networks_in(const Wherry__Link__ServiceEntry *from, struct room *room,
                       struct svc_entry *to, struct err *e)
{
    struct svc_network *list = room->networks;

    if (from->n_networks > SVC_NETWORKS_MAX) {
        return bad(e, from, "too many networks");
    }
    for (size_t i = 0; i < from->n_networks; i++) {
        int rc = network_in(from, from->networks[i], &list[i], e);

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && strcmp(list[i - 1].name, list[i].name) >= 0) {
            return bad(e, from, "its networks are not in order");
        }
    }
    to->networks = list;
    to->n_networks = (unsigned)from->n_networks;
    room->networks += from->n_networks;
    return 0;
}

static bool is_before(const struct svc_endpoint *a, const struct svc_endpoint *b)
{
    return a->slot != b->slot ? a->slot < b->slot : a->incarnation < b->incarnation;
}

static int endpoints_in(const Wherry__Link__ServiceEntry *from, struct room *room,
                        struct svc_entry *to, struct err *e)
{
    struct svc_endpoint *list = room->endpoints;

    if (from->n_endpoints > SVC_ENDPOINTS_MAX) {
        return bad(e, from, "too many endpoints");
    }
    for (size_t i = 0; i < from->n_endpoints; i++) {
        const Wherry__Link__ServiceEndpoint *p = from->endpoints[i];

        list[i] = (struct svc_endpoint){.incarnation = p->incarnation,
                                        .slot = p->slot,
                                        .address = p->address,
                                        .extra = p->extra,
                                        .networks = p->networks,
                                        .ready = p->ready,
                                        .draining = p->draining};
        if (p->incarnation == 0 || p->address == 0 || p->networks >> from->n_networks != 0) {
            return bad(e, from, "an endpoint is not complete, or on a network that is not there");
        }
        if (i > 0 && !is_before(&list[i - 1], &list[i])) {
            return bad(e, from, "its endpoints are not in order");
        }
    }
    to->endpoints = list;
    to->n_endpoints = (unsigned)from->n_endpoints;
    room->endpoints += from->n_endpoints;
    return 0;
}

static int ports_in(const Wherry__Link__ServiceEntry *from, struct room *room, struct svc_entry *to,
                    struct err *e)
{
    struct svc_port *list = room->ports;

    if (from->n_ports > SVC_PORTS_MAX) {
        return bad(e, from, "too many ports");
    }
    for (size_t i = 0; i < from->n_ports; i++) {
        const Wherry__Link__ServicePort *p = from->ports[i];

        if (p->published - 1 >= UINT16_MAX || p->target - 1 >= UINT16_MAX) {
            return bad(e, from, "a port is not between 1 and 65535");
        }
        list[i] = (struct svc_port){.udp = p->udp,
                                    .published = (uint16_t)p->published,
                                    .target = (uint16_t)p->target,
                                    .host_ip = p->host_ip};
    }
    to->ports = list;
    to->n_ports = (unsigned)from->n_ports;
    room->ports += from->n_ports;
    return 0;
}

static int entry_in(const Wherry__Link__ServiceEntry *from, struct room *room, struct svc_entry *to,
                    struct err *e)
{
    int rc;

    if (!name_is_valid(from->stack) || !name_is_valid(from->service)) {
        return err_say(e, EBADMSG, "the name of a stack or service is not %s", name_rule);
    }
    if ((unsigned)from->balance > SVC_BALANCE_NONE) {
        return bad(e, from, "it is balanced in a way that is not known");
    }
    memcpy(to->stack, from->stack, strlen(from->stack) + 1);
    memcpy(to->service, from->service, strlen(from->service) + 1);
    to->balance = (enum svc_balance)from->balance;
    rc = networks_in(from, room, to, e);
    if (rc == 0) {
        rc = endpoints_in(from, room, to, e);
    }
    return rc < 0 ? rc : ports_in(from, room, to, e);
}

static int changed_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e)
{
    struct svc_entry *entries = codec_link_array(m, s->n_changed, sizeof(*entries));
    size_t n_networks = 0, n_endpoints = 0, n_ports = 0;
    struct room room;

    for (size_t i = 0; i < s->n_changed; i++) {
        n_networks += s->changed[i]->n_networks;
        n_endpoints += s->changed[i]->n_endpoints;
        n_ports += s->changed[i]->n_ports;
    }
    /* One more, so that there is always a place to point at. */
    room.networks = codec_link_array(m, n_networks + 1, sizeof(*room.networks));
    room.endpoints = codec_link_array(m, n_endpoints + 1, sizeof(*room.endpoints));
    room.ports = codec_link_array(m, n_ports + 1, sizeof(*room.ports));
    for (size_t i = 0; i < s->n_changed; i++) {
        int rc = entry_in(s->changed[i], &room, &entries[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    m->u.services.changed = entries;
    m->u.services.n_changed = (unsigned)s->n_changed;
    return 0;
}

static int removed_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e)
{
    struct link_service *list = codec_link_array(m, s->n_removed, sizeof(*list));

    for (size_t i = 0; i < s->n_removed; i++) {
        list[i] = (struct link_service){s->removed[i]->stack, s->removed[i]->service};
        if (!name_is_valid(list[i].stack) || !name_is_valid(list[i].service)) {
            return err_say(e, EBADMSG, "the name of a stack or service is not %s", name_rule);
        }
    }
    m->u.services.removed = list;
    m->u.services.n_removed = (unsigned)s->n_removed;
    return 0;
}

int codec_link_services_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e)
{
    int rc;

    if (s->whole_end && s->table == NULL) {
        return err_say(e, EBADMSG, "a whole table has no sum");
    }
    m->u.services = (struct link_services){.whole_begin = s->whole_begin,
                                           .whole_end = s->whole_end,
                                           .has_sum = s->table != NULL,
                                           .sum = codec_link_sum_in(s->table),
                                           .version = s->version};
    rc = changed_in(s, m, e);
    return rc < 0 ? rc : removed_in(s, m, e);
}

/* ---- out ---- */

/* The lists of one entry. */
struct lists {
    struct codec_link_list networks;
    struct codec_link_list endpoints;
    struct codec_link_list ports;
};

static void networks_out(const struct svc_entry *from, struct codec_link_list *l,
                         Wherry__Link__ServiceEntry *to)
{
    *l = codec_link_list_of(from->n_networks, sizeof(Wherry__Link__ServiceNetwork));
    for (unsigned i = 0; i < from->n_networks; i++) {
        const struct svc_network *n = &from->networks[i];
        Wherry__Link__ServiceNetwork *msg = l->pointers[i];

        wherry__link__service_network__init(msg);
        msg->name = codec_link_text(n->name);
        msg->vip = n->vip;
        msg->internal = n->internal;
        msg->ipv6 = n->ipv6;
        msg->aliases = (char **)(uintptr_t)n->aliases; /* nothing writes through it */
        msg->n_aliases = n->n_aliases;
    }
    to->networks = (Wherry__Link__ServiceNetwork **)l->pointers;
    to->n_networks = from->n_networks;
}

static void endpoints_out(const struct svc_entry *from, struct codec_link_list *l,
                          Wherry__Link__ServiceEntry *to)
{
    *l = codec_link_list_of(from->n_endpoints, sizeof(Wherry__Link__ServiceEndpoint));
    for (unsigned i = 0; i < from->n_endpoints; i++) {
        const struct svc_endpoint *p = &from->endpoints[i];
        Wherry__Link__ServiceEndpoint *msg = l->pointers[i];

        wherry__link__service_endpoint__init(msg);
        msg->incarnation = p->incarnation;
        msg->slot = p->slot;
        msg->address = p->address;
        msg->extra = p->extra;
        msg->networks = p->networks;
        msg->ready = p->ready;
        msg->draining = p->draining;
    }
    to->endpoints = (Wherry__Link__ServiceEndpoint **)l->pointers;
    to->n_endpoints = from->n_endpoints;
}

static void ports_out(const struct svc_entry *from, struct codec_link_list *l,
                      Wherry__Link__ServiceEntry *to)
{
    *l = codec_link_list_of(from->n_ports, sizeof(Wherry__Link__ServicePort));
    for (unsigned i = 0; i < from->n_ports; i++) {
        Wherry__Link__ServicePort *msg = l->pointers[i];

        wherry__link__service_port__init(msg);
        msg->udp = from->ports[i].udp;
        msg->published = from->ports[i].published;
        msg->target = from->ports[i].target;
        msg->host_ip = from->ports[i].host_ip;
    }
    to->ports = (Wherry__Link__ServicePort **)l->pointers;
    to->n_ports = from->n_ports;
}

static void entry_out(const struct svc_entry *from, struct lists *lists,
                      Wherry__Link__ServiceEntry *to)
{
    wherry__link__service_entry__init(to);
    to->stack = codec_link_text(from->stack);
    to->service = codec_link_text(from->service);
    to->balance = (Wherry__Link__Balance)from->balance;
    networks_out(from, &lists->networks, to);
    endpoints_out(from, &lists->endpoints, to);
    ports_out(from, &lists->ports, to);
}

void codec_link_services_out(const struct link_services *s, codec_link_envelope *env,
                             struct buf *out)
{
    Wherry__Link__Services msg = WHERRY__LINK__SERVICES__INIT;
    Wherry__Link__Sum sum = codec_link_sum(s->sum);
    auto_codec_link_list struct codec_link_list changed =
        codec_link_list_of(s->n_changed, sizeof(Wherry__Link__ServiceEntry));
    auto_codec_link_list struct codec_link_list removed =
        codec_link_list_of(s->n_removed, sizeof(Wherry__Link__ServiceName));
    auto_free struct lists *lists = xcalloc(s->n_changed, sizeof(*lists));

    for (unsigned i = 0; i < s->n_changed; i++) {
        entry_out(&s->changed[i], &lists[i], changed.pointers[i]);
    }
    for (unsigned i = 0; i < s->n_removed; i++) {
        Wherry__Link__ServiceName *name = removed.pointers[i];

        wherry__link__service_name__init(name);
        name->stack = codec_link_text(s->removed[i].stack);
        name->service = codec_link_text(s->removed[i].service);
    }
    msg.whole_begin = s->whole_begin;
    msg.whole_end = s->whole_end;
    msg.changed = (Wherry__Link__ServiceEntry **)changed.pointers;
    msg.n_changed = s->n_changed;
    msg.removed = (Wherry__Link__ServiceName **)removed.pointers;
    msg.n_removed = s->n_removed;
    msg.table = s->has_sum ? &sum : NULL;
    msg.version = s->version;
    env->services = &msg;
    codec_link_put(env, LINK_SERVICES, out);
    for (unsigned i = 0; i < s->n_changed; i++) {
        codec_link_list_finish(&lists[i].networks);
        codec_link_list_finish(&lists[i].endpoints);
        codec_link_list_finish(&lists[i].ports);
    }
}

size_t codec_link_size_service(const struct svc_entry *entry)
{
    size_t size = 192 + 48 * (size_t)entry->n_endpoints + 24 * (size_t)entry->n_ports;

    for (unsigned i = 0; i < entry->n_networks; i++) {
        size += 24 + sizeof(entry->networks[i].name);
        for (unsigned k = 0; k < entry->networks[i].n_aliases; k++) {
            size += 4 + strlen(entry->networks[i].aliases[k]);
        }
    }
    return size;
}
