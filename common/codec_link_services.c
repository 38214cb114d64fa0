// SPDX-License-Identifier: Apache-2.0
/* The service table's entries, there and back: lists in lists, each decoded into one array for the
 * whole message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/codec_link_priv.h"

/* ---- in ---- */

/* What is left of the arrays. */
struct room {
    struct svc_network *networks;
    struct svc_endpoint *endpoints;
    struct svc_port *ports;
    struct svc_key *gone;
};

/* Which service's they are. */
struct of {
    const char *stack;
    const char *service;
};

static int bad(struct err *e, struct of of, const char *what)
{
    return err_say(e, EBADMSG, "service %.63s/%.63s: %s", of.stack, of.service, what);
}

static struct of of_entry(const Wherry__Link__ServiceEntry *entry)
{
    return (struct of){entry->stack, entry->service};
}

static int names_in(struct of of, char *ret_stack, char *ret_service, struct err *e)
{
    if (!name_is_valid(of.stack) || !name_is_valid(of.service)) {
        return err_say(e, EBADMSG, "the name of a stack or service is not %s", name_rule);
    }
    memcpy(ret_stack, of.stack, strlen(of.stack) + 1);
    memcpy(ret_service, of.service, strlen(of.service) + 1);
    return 0;
}

static int network_in(struct of of, const Wherry__Link__ServiceNetwork *n, struct svc_network *to,
                      struct err *e)
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
        return bad(e, of_entry(from), "too many networks");
    }
    for (size_t i = 0; i < from->n_networks; i++) {
        int rc = network_in(of_entry(from), from->networks[i], &list[i], e);

        if (rc < 0) {
            return rc;
        }
        if (i > 0 && strcmp(list[i - 1].name, list[i].name) >= 0) {
            return bad(e, of_entry(from), "its networks are not in order");
        }
    }
    to->networks = list;
    to->n_networks = (unsigned)from->n_networks;
    room->networks += from->n_networks;
    return 0;
}

/* Of an entry or a patch, which has up to `n_networks`. */
static int endpoints_in(struct of of, Wherry__Link__ServiceEndpoint *const *from, size_t n,
                        size_t n_networks, struct room *room, struct err *e)
{
    struct svc_endpoint *list = room->endpoints;

    if (n > SVC_ENDPOINTS_MAX) {
        return bad(e, of, "too many endpoints");
    }
    for (size_t i = 0; i < n; i++) {
        const Wherry__Link__ServiceEndpoint *p = from[i];

        list[i] = (struct svc_endpoint){.incarnation = p->incarnation,
                                        .slot = p->slot,
                                        .address = p->address,
                                        .extra = p->extra,
                                        .networks = p->networks,
                                        .ready = p->ready,
                                        .draining = p->draining};
        if (p->incarnation == 0 || p->address == 0 || p->networks >> n_networks != 0) {
            return bad(e, of, "an endpoint is not complete, or on a network that is not there");
        }
        if (i > 0 && svc_key_compare(svc_key_of(&list[i - 1]), svc_key_of(&list[i])) >= 0) {
            return bad(e, of, "its endpoints are not in order");
        }
    }
    room->endpoints += n;
    return 0;
}

static int ports_in(const Wherry__Link__ServiceEntry *from, struct room *room, struct svc_entry *to,
                    struct err *e)
{
    struct svc_port *list = room->ports;

    if (from->n_ports > SVC_PORTS_MAX) {
        return bad(e, of_entry(from), "too many ports");
    }
    for (size_t i = 0; i < from->n_ports; i++) {
        const Wherry__Link__ServicePort *p = from->ports[i];

        if (p->published - 1 >= UINT16_MAX || p->target - 1 >= UINT16_MAX) {
            return bad(e, of_entry(from), "a port is not between 1 and 65535");
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
    int rc = names_in(of_entry(from), to->stack, to->service, e);

    if (rc < 0) {
        return rc;
    }
    if ((unsigned)from->balance > SVC_BALANCE_NONE) {
        return bad(e, of_entry(from), "it is balanced in a way that is not known");
    }
    to->balance = (enum svc_balance)from->balance;
    to->endpoints = room->endpoints;
    to->n_endpoints = (unsigned)from->n_endpoints;
    rc = networks_in(from, room, to, e);
    if (rc == 0) {
        rc = endpoints_in(of_entry(from), from->endpoints, from->n_endpoints, from->n_networks,
                          room, e);
    }
    return rc < 0 ? rc : ports_in(from, room, to, e);
}

static int gone_in(const Wherry__Link__ServicePatch *from, struct room *room, struct err *e)
{
    const struct of of = {from->stack, from->service};
    struct svc_key *list = room->gone;

    if (from->n_gone > SVC_ENDPOINTS_MAX) {
        return bad(e, of, "too many endpoints are gone");
    }
    for (size_t i = 0; i < from->n_gone; i++) {
        list[i] = (struct svc_key){from->gone[i]->incarnation, from->gone[i]->slot};
        if (i > 0 && svc_key_compare(list[i - 1], list[i]) >= 0) {
            return bad(e, of, "what is gone of it is not in order");
        }
    }
    room->gone += from->n_gone;
    return 0;
}

/* Whether it fits its entry, who applies it finds out. */
static int patch_in(const Wherry__Link__ServicePatch *from, struct room *room, struct svc_patch *to,
                    struct err *e)
{
    const struct of of = {from->stack, from->service};
    int rc = names_in(of, to->stack, to->service, e);

    to->set = room->endpoints;
    to->n_set = (unsigned)from->n_set;
    to->gone = room->gone;
    to->n_gone = (unsigned)from->n_gone;
    if (rc == 0) {
        rc = endpoints_in(of, from->set, from->n_set, SVC_NETWORKS_MAX, room, e);
    }
    return rc < 0 ? rc : gone_in(from, room, e);
}

static int changed_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e)
{
    struct svc_entry *entries = codec_link_array(m, s->n_changed, sizeof(*entries));
    size_t n_networks = 0, n_endpoints = 0, n_ports = 0;
    struct room room = {0};

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

static int patched_in(const Wherry__Link__Services *s, struct link_message *m, struct err *e)
{
    struct svc_patch *patches = codec_link_array(m, s->n_patched, sizeof(*patches));
    size_t n_set = 0, n_gone = 0;
    struct room room = {0};

    for (size_t i = 0; i < s->n_patched; i++) {
        n_set += s->patched[i]->n_set;
        n_gone += s->patched[i]->n_gone;
    }
    room.endpoints = codec_link_array(m, n_set + 1, sizeof(*room.endpoints));
    room.gone = codec_link_array(m, n_gone + 1, sizeof(*room.gone));
    for (size_t i = 0; i < s->n_patched; i++) {
        int rc = patch_in(s->patched[i], &room, &patches[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    m->u.services.patched = patches;
    m->u.services.n_patched = (unsigned)s->n_patched;
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
    if (rc == 0) {
        rc = patched_in(s, m, e);
    }
    return rc < 0 ? rc : removed_in(s, m, e);
}

/* ---- out ---- */

/* The lists of one entry or patch. */
struct lists {
    struct codec_link_list networks;
    struct codec_link_list endpoints;
    struct codec_link_list ports;
    struct codec_link_list gone;
};

static void lists_finish(struct lists *lists, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        codec_link_list_finish(&lists[i].networks);
        codec_link_list_finish(&lists[i].endpoints);
        codec_link_list_finish(&lists[i].ports);
        codec_link_list_finish(&lists[i].gone);
    }
    free(lists);
}

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

static Wherry__Link__ServiceEndpoint **endpoints_out(const struct svc_endpoint *from, unsigned n,
                                                     struct codec_link_list *l)
{
    *l = codec_link_list_of(n, sizeof(Wherry__Link__ServiceEndpoint));
    for (unsigned i = 0; i < n; i++) {
        const struct svc_endpoint *p = &from[i];
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
    return (Wherry__Link__ServiceEndpoint **)l->pointers;
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
    to->endpoints = endpoints_out(from->endpoints, from->n_endpoints, &lists->endpoints);
    to->n_endpoints = from->n_endpoints;
    ports_out(from, &lists->ports, to);
}

static void patch_out(const struct svc_patch *from, struct lists *lists,
                      Wherry__Link__ServicePatch *to)
{
    wherry__link__service_patch__init(to);
    to->stack = codec_link_text(from->stack);
    to->service = codec_link_text(from->service);
    to->set = endpoints_out(from->set, from->n_set, &lists->endpoints);
    to->n_set = from->n_set;
    lists->gone = codec_link_list_of(from->n_gone, sizeof(Wherry__Link__EndpointName));
    for (unsigned i = 0; i < from->n_gone; i++) {
        Wherry__Link__EndpointName *msg = lists->gone.pointers[i];

        wherry__link__endpoint_name__init(msg);
        msg->incarnation = from->gone[i].incarnation;
        msg->slot = from->gone[i].slot;
    }
    to->gone = (Wherry__Link__EndpointName **)lists->gone.pointers;
    to->n_gone = from->n_gone;
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
    auto_codec_link_list struct codec_link_list patched =
        codec_link_list_of(s->n_patched, sizeof(Wherry__Link__ServicePatch));
    unsigned n_lists = s->n_changed + s->n_patched;
    struct lists *lists = xcalloc((size_t)n_lists + 1, sizeof(*lists));

    for (unsigned i = 0; i < s->n_changed; i++) {
        entry_out(&s->changed[i], &lists[i], changed.pointers[i]);
    }
    for (unsigned i = 0; i < s->n_patched; i++) {
        patch_out(&s->patched[i], &lists[s->n_changed + i], patched.pointers[i]);
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
    msg.patched = (Wherry__Link__ServicePatch **)patched.pointers;
    msg.n_patched = s->n_patched;
    msg.table = s->has_sum ? &sum : NULL;
    msg.version = s->version;
    env->services = &msg;
    codec_link_put(env, LINK_SERVICES, out);
    lists_finish(lists, n_lists);
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

size_t codec_link_size_patch(const struct svc_patch *patch)
{
    return 192 + 48 * (size_t)patch->n_set + 24 * (size_t)patch->n_gone;
}
