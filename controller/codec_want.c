// SPDX-License-Identifier: Apache-2.0
#include "controller/codec_want.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "common/imageref.h"
#include "spec.pb-c.h"

struct codec_want {
    struct doc doc;
    struct buf bytes;
    struct buf containers; /* all encoded, one after the other */
    struct fleet_stack_want stack;
    struct fleet_want *wants;
    struct fleet_network *networks;
    struct codec_want_revision *revisions;
};

static const Wherry__Spec__Stack *message(const struct codec_want *want)
{
    return (const Wherry__Spec__Stack *)want->doc.message;
}

/* ---- what one replica takes ---- */

static int port_of(const Wherry__Spec__Port *from, struct fleet_port *ret, struct err *e)
{
    struct in_addr host = {0};

    if (from->published > UINT16_MAX) {
        return err_say(e, EBADMSG, "ports: published %u (allowed: 1 to 65535)", from->published);
    }
    if (from->target == 0 || from->target > UINT16_MAX) {
        return err_say(e, EBADMSG, "ports: target %u (allowed: 1 to 65535)", from->target);
    }
    if (from->host_ip[0] != '\0' && inet_pton(AF_INET, from->host_ip, &host) != 1) {
        return err_say(e, EBADMSG, "ports: host_ip '%.64s' is no IPv4 address", from->host_ip);
    }
    *ret = (struct fleet_port){
        .udp = from->protocol == WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP,
        .ingress = from->mode != WHERRY__SPEC__PORT_MODE__PORT_HOST,
        .port = (uint16_t)from->published,
        .target = (uint16_t)from->target,
        .host_ip = ntohl(host.s_addr),
    };
    return 0;
}

static int ports_of(const Wherry__Spec__Container *c, struct fleet_ask *ask, struct err *e)
{
    struct fleet_port *ports = xcalloc(c->n_ports + 1, sizeof(*ports));

    ask->ports = ports;
    for (size_t i = 0; i < c->n_ports; i++) {
        if (c->ports[i]->published == 0) {
            continue;
        }
        if (port_of(c->ports[i], &ports[ask->n_ports], e) < 0) {
            return e->code;
        }
        ask->n_ports++;
    }
    return 0;
}

static bool is_external(const Wherry__Spec__Stack *stack, const char *key)
{
    for (size_t i = 0; stack != NULL && i < stack->n_volumes; i++) {
        if (strcmp(stack->volumes[i]->key, key) == 0) {
            return stack->volumes[i]->external;
        }
    }
    return false;
}

static bool has_volume(const struct fleet_ask *ask, const char *name)
{
    for (unsigned i = 0; i < ask->n_volumes; i++) {
        if (strcmp(ask->volumes[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int volumes_of(const Wherry__Spec__Container *c, const Wherry__Spec__Stack *stack,
                      struct fleet_ask *ask, struct err *e)
{
    struct fleet_volume_use *volumes = xcalloc(c->n_mounts + 1, sizeof(*volumes));

    ask->volumes = volumes;
    for (size_t i = 0; i < c->n_mounts; i++) {
        const Wherry__Spec__Mount *mount = c->mounts[i];
        struct fleet_volume_use *use = &volumes[ask->n_volumes];

        if (mount->type != WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME || *mount->volume_name == '\0' ||
            has_volume(ask, mount->volume_name)) {
            continue; /* an anonymous volume lives and dies with its container */
        }
        if (strlen(mount->volume_name) >= sizeof(use->name)) {
            return err_say(e, EBADMSG, "mounts: name of volume %.64s… is longer than %d bytes",
                           mount->volume_name, FLEET_VOLUME - 1);
        }
        (void)snprintf(use->name, sizeof(use->name), "%s", mount->volume_name);
        use->external = is_external(stack, mount->source);
        ask->n_volumes++;
    }
    return 0;
}

static int network_of(const Wherry__Spec__NetworkUse *from, struct fleet_network_use *to,
                      struct err *e)
{
    const char **aliases = xcalloc(from->n_aliases + 1, sizeof(*aliases));
    struct in_addr address = {0};

    to->aliases = aliases;
    if (!svc_network_is_valid(from->name) || from->n_aliases > SVC_ALIASES_MAX) {
        return err_say(e, EBADMSG, "networks: '%.64s' is no name, or has more than %d aliases",
                       from->name, SVC_ALIASES_MAX);
    }
    (void)snprintf(to->name, sizeof(to->name), "%s", from->name);
    if (from->ipv4_address[0] != '\0' && inet_pton(AF_INET, from->ipv4_address, &address) != 1) {
        return err_say(e, EBADMSG, "networks: ipv4_address '%.64s' is no IPv4 address",
                       from->ipv4_address);
    }
    to->address = ntohl(address.s_addr);
    to->internal = from->internal;
    to->ipv6 = from->ipv6;
    for (size_t i = 0; i < from->n_aliases; i++) {
        if (!svc_alias_is_valid(from->aliases[i])) {
            return err_say(e, EBADMSG, "networks: alias '%.64s' is no host name", from->aliases[i]);
        }
        aliases[to->n_aliases++] = xstrdup(from->aliases[i]);
    }
    return 0;
}

static int use_order(const void *a, const void *b)
{
    return strcmp(((const struct fleet_network_use *)a)->name,
                  ((const struct fleet_network_use *)b)->name);
}

static int networks_of(const Wherry__Spec__Container *c, struct fleet_ask *ask, struct err *e)
{
    struct fleet_network_use *list = xcalloc(c->n_networks + 1, sizeof(*list));

    ask->networks = list;
    if (c->n_networks > SVC_NETWORKS_MAX) {
        return err_say(e, E2BIG, "networks: %zu are more than %d", c->n_networks, SVC_NETWORKS_MAX);
    }
    for (size_t i = 0; i < c->n_networks; i++) {
        ask->n_networks++; /* from here on it is freed with the rest */
        if (network_of(c->networks[i], &list[i], e) < 0) {
            return e->code;
        }
    }
    qsort(list, ask->n_networks, sizeof(*list), use_order);
    for (unsigned i = 1; i < ask->n_networks; i++) {
        if (strcmp(list[i - 1].name, list[i].name) == 0) {
            return err_say(e, EBADMSG, "networks: %s is there twice", list[i].name);
        }
    }
    return 0;
}

static int ask_of(const Wherry__Spec__Container *c, const Wherry__Spec__Stack *stack,
                  struct fleet_ask *ret, struct err *e)
{
    if (c->limits != NULL) {
        ret->reserve.memory_bytes = c->limits->memory_bytes;
        ret->reserve.pids = c->limits->pids;
    }
    return ports_of(c, ret, e) < 0 || volumes_of(c, stack, ret, e) < 0 || networks_of(c, ret, e) < 0
               ? e->code
               : 0;
}

void codec_want_ask_free(struct fleet_ask *ask)
{
    for (unsigned i = 0; i < ask->n_networks; i++) {
        for (unsigned k = 0; k < ask->networks[i].n_aliases; k++) {
            free((void *)(uintptr_t)ask->networks[i].aliases[k]);
        }
        free((void *)(uintptr_t)ask->networks[i].aliases);
    }
    free((void *)(uintptr_t)ask->networks);
    free((void *)(uintptr_t)ask->ports);
    free((void *)(uintptr_t)ask->volumes);
    *ask = (struct fleet_ask){0};
}

int codec_want_ask(const void *container, size_t len, struct fleet_ask *ret, struct err *e)
{
    auto_doc struct doc doc = {0};
    struct fleet_ask ask = {0};
    int rc = doc_decode(&wherry__spec__container__descriptor, container, len, &doc_limits_default,
                        &doc, e);

    rc = rc < 0 ? rc : ask_of((const Wherry__Spec__Container *)doc.message, NULL, &ask, e);
    if (rc < 0) {
        codec_want_ask_free(&ask);
        return rc;
    }
    *ret = ask;
    return 0;
}

/* ---- one service ---- */

static const enum fleet_mode modes[] = {
    [WHERRY__SPEC__MODE__MODE_REPLICATED] = FLEET_REPLICATED,
    [WHERRY__SPEC__MODE__MODE_GLOBAL] = FLEET_GLOBAL,
    [WHERRY__SPEC__MODE__MODE_REPLICATED_JOB] = FLEET_JOB,
    [WHERRY__SPEC__MODE__MODE_GLOBAL_JOB] = FLEET_GLOBAL_JOB,
};

static const enum fleet_condition conditions[] = {
    [WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_STARTED] = FLEET_DEPEND_STARTED,
    [WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_HEALTHY] = FLEET_DEPEND_HEALTHY,
    [WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_COMPLETED] = FLEET_DEPEND_COMPLETED,
};

static int depends_of(const Wherry__Spec__Service *s, struct fleet_want *want, struct err *e)
{
    struct fleet_dependency *depends = xcalloc(s->n_depends_on + 1, sizeof(*depends));

    want->depends = depends;
    for (size_t i = 0; i < s->n_depends_on; i++) {
        const Wherry__Spec__Dependency *from = s->depends_on[i];

        if (!name_is_valid(from->service) || (size_t)from->condition >= ARRAY_LEN(conditions)) {
            return err_say(e, EBADMSG,
                           "depends_on: '%.64s' is no service, or its condition is "
                           "not known",
                           from->service);
        }
        (void)snprintf(depends[i].service, sizeof(depends[i].service), "%s", from->service);
        depends[i].condition = conditions[from->condition];
        depends[i].required = from->required;
        want->n_depends++;
    }
    return 0;
}

static void constraints_of(const Wherry__Spec__Service *s, struct fleet_want *want)
{
    struct fleet_constraint *constraints = xcalloc(s->n_constraints + 1, sizeof(*constraints));

    for (size_t i = 0; i < s->n_constraints; i++) {
        constraints[i] = (struct fleet_constraint){.key = s->constraints[i]->key,
                                                   .value = s->constraints[i]->value,
                                                   .negated = s->constraints[i]->negated};
    }
    want->constraints = constraints;
    want->n_constraints = (unsigned)s->n_constraints;
}

/* As in the nodes' facts. A reference by digest alone keeps its digest. */
static int image_of(const Wherry__Spec__Container *c, struct fleet_want *want, struct err *e)
{
    struct imageref ref;
    int rc = imageref_parse(c->image, &ref, e);

    if (rc < 0) {
        return err_wrap(e, "image");
    }
    want->image =
        ref.digest[0] == '\0' ? xstrdup(ref.name) : xasprintf("%s@%s", ref.name, ref.digest);
    return 0;
}

static void reserve_of(const Wherry__Spec__Service *s, struct fleet_reserve *ret)
{
    if (s->reserve_memory_bytes > 0) {
        ret->memory_bytes = s->reserve_memory_bytes;
    }
    ret->cpu_millis = s->reserve_cpu_millis;
    if (s->reserve_pids > 0) {
        ret->pids = s->reserve_pids;
    }
}

static bool has_probe(const Wherry__Spec__Container *c)
{
    return c->healthcheck != NULL &&
           c->healthcheck->kind != WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE &&
           c->healthcheck->kind != WHERRY__SPEC__PROBE_KIND__PROBE_NONE;
}

static enum svc_balance balance_of(const Wherry__Spec__Service *s)
{
    if (s->endpoint_mode == WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR) {
        return SVC_BALANCE_NONE;
    }
    return s->balance == WHERRY__SPEC__BALANCE__BALANCE_CLIENT ? SVC_BALANCE_CLIENT
                                                               : SVC_BALANCE_RANDOM;
}

static int want_of(const Wherry__Spec__Service *s, const Wherry__Spec__Stack *stack,
                   struct fleet_want *want, struct err *e)
{
    if (!name_is_valid(s->name)) {
        return err_say(e, EBADMSG, "'%.64s' is no name (allowed: %s)", s->name, name_rule);
    }
    if (s->container == NULL || (size_t)s->mode >= ARRAY_LEN(modes)) {
        return err_say(e, EBADMSG, "service %s has no container, or a mode not known", s->name);
    }
    (void)snprintf(want->service, sizeof(want->service), "%s", s->name);
    doc_digest(&s->base, want->digest);
    want->mode = modes[s->mode];
    want->replicas = s->replicas;
    want->max_per_node = s->max_replicas_per_node;
    want->strategy =
        s->strategy == WHERRY__SPEC__STRATEGY__STRATEGY_BINPACK ? FLEET_BINPACK : FLEET_SPREAD;
    want->balance = balance_of(s);
    want->has_probe = has_probe(s->container);
    want->stop_grace_ms = s->container->stop_grace_ms;
    constraints_of(s, want);
    if (image_of(s->container, want, e) < 0 || depends_of(s, want, e) < 0 ||
        ask_of(s->container, stack, &want->ask, e) < 0) {
        return err_wrap(e, "service %s", s->name);
    }
    reserve_of(s, &want->ask.reserve);
    return 0;
}

/* ---- a document ---- */

static int stack_networks(struct codec_want *want, struct err *e)
{
    const Wherry__Spec__Stack *m = message(want);

    want->networks = xcalloc(m->n_networks + 1, sizeof(*want->networks));
    want->stack.networks = want->networks;
    for (size_t i = 0; i < m->n_networks; i++) {
        const Wherry__Spec__Network *from = m->networks[i];
        struct fleet_network *to = &want->networks[want->stack.n_networks++];

        if (!svc_network_is_valid(from->name)) {
            return err_say(e, EBADMSG, "networks: '%.64s' is no name", from->name);
        }
        *to = (struct fleet_network){.external = from->external,
                                     .attachable = from->attachable,
                                     .internal = from->internal,
                                     .ipv6 = from->enable_ipv6};
        (void)snprintf(to->name, sizeof(to->name), "%s", from->name);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(want->networks[k].name, to->name) == 0) {
                return err_say(e, EBADMSG, "networks: %s is there twice", to->name);
            }
        }
    }
    return 0;
}

static int wants_of(struct codec_want *want, struct err *e)
{
    const Wherry__Spec__Stack *m = message(want);
    auto_free size_t *offsets = xcalloc(m->n_services + 1, sizeof(*offsets));

    want->wants = xcalloc(m->n_services + 1, sizeof(*want->wants));
    want->revisions = xcalloc(m->n_services + 1, sizeof(*want->revisions));
    want->stack.wants = want->wants;
    for (size_t i = 0; i < m->n_services; i++) {
        want->stack.n_wants++; /* from here on it is freed with the rest */
        if (want_of(m->services[i], m, &want->wants[i], e) < 0) {
            return e->code;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(m->services[k]->name, m->services[i]->name) == 0) {
                return err_say(e, EBADMSG, "service %s is there twice", m->services[i]->name);
            }
        }
        doc_digest(&m->services[i]->container->base, want->wants[i].revision);
        doc_encode(&m->services[i]->container->base, &want->containers);
        offsets[i + 1] = want->containers.len;
    }
    for (size_t i = 0; i < m->n_services; i++) {
        memcpy(want->revisions[i].digest, want->wants[i].revision, FLEET_DIGEST);
        want->revisions[i].bytes = buf_text(&want->containers) + offsets[i];
        want->revisions[i].len = offsets[i + 1] - offsets[i];
    }
    return 0;
}

static int decode(struct codec_want *want, const void *bytes, size_t len, struct err *e)
{
    int rc = doc_decode(&wherry__spec__stack__descriptor, bytes, len, &doc_limits_default,
                        &want->doc, e);

    if (rc < 0) {
        return rc;
    }
    want->stack.name = message(want)->name;
    if (!name_is_valid(want->stack.name)) {
        return err_say(e, EBADMSG, "'%.64s' is no name of a stack (allowed: %s)", want->stack.name,
                       name_rule);
    }
    doc_encode(want->doc.message, &want->bytes);
    doc_digest(want->doc.message, want->stack.digest);
    return stack_networks(want, e) < 0 ? e->code : wants_of(want, e);
}

int codec_want_decode(const void *bytes, size_t len, struct codec_want **ret, struct err *e)
{
    struct codec_want *want = xcalloc(1, sizeof(*want));
    struct err local = {0};
    int rc = decode(want, bytes, len, e != NULL ? e : &local);

    if (rc < 0) {
        codec_want_free(want);
        return rc;
    }
    *ret = want;
    return 0;
}

void codec_want_free(struct codec_want *want)
{
    if (want == NULL) {
        return;
    }
    for (unsigned i = 0; i < want->stack.n_wants; i++) {
        free((void *)(uintptr_t)want->wants[i].constraints);
        free((void *)(uintptr_t)want->wants[i].depends);
        free((void *)(uintptr_t)want->wants[i].image);
        codec_want_ask_free(&want->wants[i].ask);
    }
    free(want->wants);
    free(want->networks);
    free(want->revisions);
    buf_finish(&want->containers);
    buf_finish(&want->bytes);
    doc_free(&want->doc);
    free(want);
}

const struct fleet_stack_want *codec_want_stack(const struct codec_want *want)
{
    return &want->stack;
}

const struct codec_want_revision *codec_want_revision(const struct codec_want *want, unsigned i)
{
    assert(i < want->stack.n_wants);
    return &want->revisions[i];
}

const struct Wherry__Spec__Stack *codec_want_document(const struct codec_want *want)
{
    return message(want);
}

const struct Wherry__Spec__Service *codec_want_service(const struct codec_want *want,
                                                       const char *name)
{
    const Wherry__Spec__Stack *m = message(want);

    for (size_t i = 0; i < m->n_services; i++) {
        if (strcmp(m->services[i]->name, name) == 0) {
            return m->services[i];
        }
    }
    return NULL;
}

const void *codec_want_bytes(const struct codec_want *want, size_t *ret_len)
{
    *ret_len = want->bytes.len;
    return buf_text(&want->bytes);
}

/* ---- from two ---- */

static Wherry__Spec__Service *service_in(const Wherry__Spec__Stack *m, const char *name)
{
    for (size_t i = 0; m != NULL && i < m->n_services; i++) {
        if (strcmp(m->services[i]->name, name) == 0) {
            return m->services[i];
        }
    }
    return NULL;
}

static Wherry__Spec__Volume *volume_in(const Wherry__Spec__Stack *m, const char *key)
{
    for (size_t i = 0; m != NULL && i < m->n_volumes; i++) {
        if (strcmp(m->volumes[i]->key, key) == 0) {
            return m->volumes[i];
        }
    }
    return NULL;
}

static Wherry__Spec__Network *network_in(Wherry__Spec__Network *const *list, size_t n,
                                         const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i]->name, name) == 0) {
            return list[i];
        }
    }
    return NULL;
}

static int service_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Service *const *)a)->name,
                  (*(Wherry__Spec__Service *const *)b)->name);
}

static int volume_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Volume *const *)a)->key,
                  (*(Wherry__Spec__Volume *const *)b)->key);
}

static int network_order(const void *a, const void *b)
{
    return strcmp((*(Wherry__Spec__Network *const *)a)->key,
                  (*(Wherry__Spec__Network *const *)b)->key);
}

static bool uses(const Wherry__Spec__Stack *m, const char *key)
{
    for (size_t i = 0; i < m->n_services; i++) {
        const Wherry__Spec__Container *c = m->services[i]->container;

        for (size_t k = 0; k < c->n_mounts; k++) {
            if (c->mounts[k]->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME &&
                strcmp(c->mounts[k]->source, key) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void merge_services(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                           bool (*has)(void *arg, const char *service), void *arg,
                           Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_services; i++) {
        if (has(arg, newer->services[i]->name)) {
            out->services[out->n_services++] = newer->services[i];
        }
    }
    for (size_t i = 0; older != NULL && i < older->n_services; i++) {
        if (service_in(newer, older->services[i]->name) == NULL &&
            has(arg, older->services[i]->name)) {
            out->services[out->n_services++] = older->services[i];
        }
    }
    qsort(out->services, out->n_services, sizeof(Wherry__Spec__Service *), service_order);
}

/* The newer document's all; of the older's those that a service of it still mounts. */
static void merge_volumes(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                          Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_volumes; i++) {
        out->volumes[out->n_volumes++] = newer->volumes[i];
    }
    for (size_t i = 0; older != NULL && i < older->n_volumes; i++) {
        if (volume_in(newer, older->volumes[i]->key) == NULL && uses(out, older->volumes[i]->key)) {
            out->volumes[out->n_volumes++] = older->volumes[i];
        }
    }
    qsort(out->volumes, out->n_volumes, sizeof(Wherry__Spec__Volume *), volume_order);
}

static bool is_on(const Wherry__Spec__Container *c, const char *network)
{
    for (size_t i = 0; i < c->n_networks; i++) {
        if (strcmp(c->networks[i]->name, network) == 0) {
            return true;
        }
    }
    return false;
}

/* Likewise; of the older's those that a service of it alone is on, as the fleet has it. */
static void merge_networks(const Wherry__Spec__Stack *older, const Wherry__Spec__Stack *newer,
                           Wherry__Spec__Stack *out)
{
    for (size_t i = 0; newer != NULL && i < newer->n_networks; i++) {
        out->networks[out->n_networks++] = newer->networks[i];
    }
    for (size_t i = 0; older != NULL && i < older->n_networks; i++) {
        Wherry__Spec__Network *n = older->networks[i];
        bool used = newer == NULL;

        for (size_t k = 0; k < out->n_services && !used; k++) {
            used = service_in(newer, out->services[k]->name) == NULL &&
                   is_on(out->services[k]->container, n->name);
        }
        if (used && network_in(out->networks, out->n_networks, n->name) == NULL) {
            out->networks[out->n_networks++] = n;
        }
    }
    qsort(out->networks, out->n_networks, sizeof(Wherry__Spec__Network *), network_order);
}

void codec_want_merge(const struct codec_want *older, const struct codec_want *newer,
                      const char *name, bool (*has)(void *arg, const char *service), void *arg,
                      struct buf *out)
{
    const Wherry__Spec__Stack *a = older != NULL ? message(older) : NULL;
    const Wherry__Spec__Stack *b = newer != NULL ? message(newer) : NULL;
    size_t services = (a != NULL ? a->n_services : 0) + (b != NULL ? b->n_services : 0);
    size_t volumes = (a != NULL ? a->n_volumes : 0) + (b != NULL ? b->n_volumes : 0);
    size_t networks = (a != NULL ? a->n_networks : 0) + (b != NULL ? b->n_networks : 0);
    Wherry__Spec__Stack m = WHERRY__SPEC__STACK__INIT;

    m.name = (char *)(uintptr_t)name;
    m.services = xcalloc(services + 1, sizeof(Wherry__Spec__Service *));
    m.volumes = xcalloc(volumes + 1, sizeof(Wherry__Spec__Volume *));
    merge_services(a, b, has, arg, &m);
    m.networks = xcalloc(networks + 1, sizeof(Wherry__Spec__Network *));
    merge_volumes(a, b, &m);
    merge_networks(a, b, &m);
    doc_encode(&m.base, out);
    free(m.networks);
    free(m.services);
    free(m.volumes);
}

/* ---- warnings ---- */

unsigned codec_want_warnings(const struct codec_want *want, char **ret_list, unsigned max)
{
    const Wherry__Spec__Stack *m = message(want);
    unsigned n = 0;

    if (m->n_services > 1 && n < max) {
        ret_list[n++] = xstrdup("names of services do not resolve in containers yet: services "
                                "reach each other by published ports");
    }
    return n;
}
