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
#include "controller/codec_want_priv.h"

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
        codec_want_ask_of(s->container, stack, &want->ask, e) < 0) {
        return err_wrap(e, "service %s", s->name);
    }
    reserve_of(s, &want->ask.reserve);
    return 0;
}

/* ---- a document ---- */

static int subnets_of(const Wherry__Spec__Network *from, struct fleet_network *to, struct err *e)
{
    if (from->n_subnets > FLEET_SUBNETS_MAX) {
        return err_say(e, E2BIG, "networks: %s has %zu subnets, more than %u", to->name,
                       from->n_subnets, FLEET_SUBNETS_MAX);
    }
    for (size_t i = 0; i < from->n_subnets; i++) {
        struct in_addr net = {0};
        char text[INET_ADDRSTRLEN];
        unsigned prefix = 0;

        if (sscanf(from->subnets[i], "%15[0-9.]/%2u", text, &prefix) != 2 || prefix > 32 ||
            inet_pton(AF_INET, text, &net) != 1) {
            return err_say(e, EBADMSG, "networks: '%.64s' is no subnet", from->subnets[i]);
        }
        to->subnets[to->n_subnets++] =
            (struct fleet_subnet){.net = ntohl(net.s_addr), .prefix = prefix};
    }
    return 0;
}

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
        if (subnets_of(from, to, e) < 0) {
            return e->code;
        }
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

/* ---- warnings ---- */

unsigned codec_want_warnings(const struct codec_want *want, char **ret_list, unsigned max)
{
    const Wherry__Spec__Stack *m = message(want);
    unsigned n = 0;

    for (size_t i = 0; i < m->n_services && n < max; i++) {
        const Wherry__Spec__Container *c = m->services[i]->container;

        if (c->network_mode == WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE && c->n_networks == 0) {
            ret_list[n++] = xasprintf("service %.100s is on no network: no other service reaches "
                                      "it, and it has no name",
                                      m->services[i]->name);
        }
    }
    return n;
}
