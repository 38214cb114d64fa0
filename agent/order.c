// SPDX-License-Identifier: Apache-2.0
#include "agent/order.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/doc.h"
#include "spec.pb-c.h"

struct order {
    unsigned refs;
    struct doc doc;
};

/* "192.0.2.0/24"; without a prefix, one address. False: it is neither. */
static bool read_cidr(const char *text, uint32_t *ret_net, unsigned *ret_prefix)
{
    const char *slash = strchrnul(text, '/');
    size_t len = (size_t)(slash - text);
    char address[INET_ADDRSTRLEN], *end = NULL;
    unsigned long prefix = 32;
    struct in_addr in;

    if (len >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, len);
    address[len] = '\0';
    if (*slash != '\0') {
        prefix = slash[1] >= '0' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 33;
    }
    if (inet_pton(AF_INET, address, &in) != 1 || prefix > 32 || (end != NULL && *end != '\0')) {
        return false;
    }
    *ret_net = ntohl(in.s_addr);
    *ret_prefix = (unsigned)prefix;
    return true;
}

/* What the controller has checked; read here once, so that no way out is lost or opened by an entry
 * that cannot be read. */
static int check_egress(const Wherry__Spec__Egress *egress, struct err *e)
{
    uint32_t net;
    unsigned prefix;

    if (egress == NULL) {
        return 0;
    }
    if (egress->n_cidr > ORDER_EGRESS_MAX) {
        return err_say(e, EBADMSG, "x-wherry.egress: %zu networks (allowed: at most %u)",
                       egress->n_cidr, ORDER_EGRESS_MAX);
    }
    for (size_t i = 0; i < egress->n_cidr; i++) {
        if (!read_cidr(egress->cidr[i], &net, &prefix)) {
            return err_say(e, EBADMSG,
                           "x-wherry.egress: '%.64s' is no network (allowed: an IPv4 network like "
                           "192.0.2.0/24, or an address)",
                           egress->cidr[i]);
        }
    }
    return 0;
}

int order_decode(const void *bytes, size_t len, struct order **ret_order, struct err *e)
{
    struct order *o;
    struct doc doc = {0};
    int rc;

    if (len > DOC_SPEC_MAX) {
        return err_say(e, E2BIG, "a container document of %zu bytes; at most %d", len,
                       DOC_SPEC_MAX);
    }
    rc = doc_decode(&wherry__spec__container__descriptor, bytes, len, &doc_limits_default, &doc, e);
    if (rc == 0) {
        rc = check_egress(((const Wherry__Spec__Container *)doc.message)->egress, e);
    }
    if (rc < 0) {
        doc_free(&doc);
        return err_wrap(e, "container document");
    }
    o = xcalloc(1, sizeof(*o));
    o->refs = 1;
    o->doc = doc;
    *ret_order = o;
    return 0;
}

struct order *order_ref(struct order *o)
{
    assert(o->refs > 0);
    o->refs++;
    return o;
}

void order_unref(struct order *o)
{
    if (o == NULL || --o->refs > 0) {
        return;
    }
    doc_free(&o->doc);
    free(o);
}

const Wherry__Spec__Container *order_spec(const struct order *o)
{
    return (const Wherry__Spec__Container *)o->doc.message;
}

const char *order_image(const struct order *o)
{
    return order_spec(o)->image;
}

const char *order_hostname(const struct order *o)
{
    return order_spec(o)->hostname;
}

void order_digest(const struct order *o, uint8_t ret_digest[ORDER_DIGEST])
{
    static_assert(ORDER_DIGEST == DOC_DIGEST, "one kind of digest");
    doc_digest(o->doc.message, ret_digest);
}

enum order_network order_network(const struct order *o)
{
    switch (order_spec(o)->network_mode) {
    case WHERRY__SPEC__NETWORK_MODE__NETWORK_HOST:
        return ORDER_NETWORK_HOST;
    case WHERRY__SPEC__NETWORK_MODE__NETWORK_NONE:
        return ORDER_NETWORK_NONE;
    case WHERRY__SPEC__NETWORK_MODE__NETWORK_BRIDGE:
    case _WHERRY__SPEC__NETWORK_MODE_IS_INT_SIZE:
        break;
    }
    return ORDER_NETWORK_BRIDGE;
}

static void want_restart(const Wherry__Spec__RestartPolicy *from, struct restart_policy *ret)
{
    if (from == NULL) {
        return;
    }
    if (from->condition == WHERRY__SPEC__RESTART_CONDITION__RESTART_ON_FAILURE) {
        ret->condition = RESTART_ON_FAILURE;
    } else if (from->condition == WHERRY__SPEC__RESTART_CONDITION__RESTART_NEVER) {
        ret->condition = RESTART_NEVER;
    }
    ret->delay_set = from->delay_set;
    ret->delay_ms = from->delay_ms;
    ret->max_attempts = from->max_attempts;
    ret->window_ms = from->window_ms;
}

/* Whether others are led to it: by a name, or by a port of a host. */
static bool is_connected_to(const Wherry__Spec__Container *spec)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        if (spec->ports[i]->published != 0) {
            return true;
        }
    }
    return spec->n_networks > 0;
}

void order_want(const struct order *o, uint64_t incarnation, bool stop, struct node_want *ret)
{
    const Wherry__Spec__Container *spec = order_spec(o);

    *ret = (struct node_want){
        .incarnation = incarnation,
        .stop = stop,
        .stop_grace_ms = spec->stop_grace_ms > 0 ? spec->stop_grace_ms : ORDER_GRACE_DEFAULT_MS,
        .drain_ms = is_connected_to(spec) ? ORDER_DRAIN_MS : 0,
        .memory_bytes = spec->limits != NULL ? spec->limits->memory_bytes : 0,
    };
    want_restart(spec->restart, &ret->restart);
}

static bool image_has_probe(const struct image *image)
{
    return image != NULL && image->health.set && image->health.argc > 0;
}

void order_probe(const struct order *o, const struct image *image, struct order_probe *ret)
{
    const Wherry__Spec__Healthcheck *h = order_spec(o)->healthcheck;
    int kind = h != NULL ? (int)h->kind : WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE;

    *ret = (struct order_probe){.kind = ORDER_PROBE_NONE};
    if (kind == WHERRY__SPEC__PROBE_KIND__PROBE_IMAGE && image_has_probe(image)) {
        ret->kind = ORDER_PROBE_EXEC;
        ret->argv = image->health.argv;
        ret->argc = image->health.argc;
    } else if (kind == WHERRY__SPEC__PROBE_KIND__PROBE_EXEC && h->n_argv > 0) {
        ret->kind = ORDER_PROBE_EXEC;
        ret->argv = h->argv;
        ret->argc = (unsigned)h->n_argv;
    } else if (kind == WHERRY__SPEC__PROBE_KIND__PROBE_TCP) {
        ret->kind = ORDER_PROBE_TCP;
        ret->port = (uint16_t)h->port;
    } else if (kind == WHERRY__SPEC__PROBE_KIND__PROBE_HTTP) {
        ret->kind = ORDER_PROBE_HTTP;
        ret->port = (uint16_t)h->port;
        ret->path = h->http_path[0] == '/' ? h->http_path : "/";
        ret->host = h->http_host[0] != '\0' ? h->http_host : "localhost";
    }
}

/* What the file says, else the image, else Compose's default (filled in later). */
static uint64_t first(uint64_t file, uint64_t image)
{
    return file > 0 ? file : image;
}

void order_traits(const struct order *o, const struct image *image, struct node_traits *ret)
{
    const Wherry__Spec__Container *spec = order_spec(o);
    const Wherry__Spec__Healthcheck none = WHERRY__SPEC__HEALTHCHECK__INIT;
    const Wherry__Spec__Healthcheck *h = spec->healthcheck != NULL ? spec->healthcheck : &none;
    const struct image_health nothing = {0};
    const struct image_health *i = image_has_probe(image) ? &image->health : &nothing;
    struct order_probe probe;

    *ret = (struct node_traits){.stop_signal = spec->stop_signal};
    if (ret->stop_signal == 0 && image != NULL) {
        ret->stop_signal = image->stop_signal;
    }
    if (ret->stop_signal == 0 || ret->stop_signal > 64) {
        ret->stop_signal = SIGTERM;
    }
    order_probe(o, image, &probe);
    ret->health = (struct health_rules){
        .enabled = probe.kind != ORDER_PROBE_NONE,
        .interval_ms = first(h->interval_ms, i->interval_ms),
        .timeout_ms = first(h->timeout_ms, i->timeout_ms),
        .start_period_ms = first(h->start_period_ms, i->start_period_ms),
        .start_interval_ms = first(h->start_interval_ms, i->start_interval_ms),
        .retries = (uint32_t)first(h->retries, i->retries),
    };
    health_rules_complete(&ret->health);
}

bool order_port(const struct order *o, unsigned i, struct order_port *ret)
{
    const Wherry__Spec__Container *spec = order_spec(o);

    for (size_t at = 0; at < spec->n_ports; at++) {
        const Wherry__Spec__Port *p = spec->ports[at];

        if (p->published == 0 || p->published > UINT16_MAX || p->target == 0 ||
            p->target > UINT16_MAX || i-- > 0) {
            continue;
        }
        *ret = (struct order_port){.udp = p->protocol == WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP,
                                   .target = (uint16_t)p->target,
                                   .published = (uint16_t)p->published,
                                   .host = p->mode == WHERRY__SPEC__PORT_MODE__PORT_HOST,
                                   .host_ip = p->host_ip};
        return true;
    }
    return false;
}

/* ---- networks ---- */

/* 0: it is none, or empty. */
static uint32_t read_address(const char *text)
{
    struct in_addr in;

    return inet_pton(AF_INET, text, &in) == 1 ? ntohl(in.s_addr) : 0;
}

static bool read_mac(const char *text, uint8_t ret[6])
{
    for (unsigned i = 0; i < 6; i++) {
        char *end;
        unsigned long byte = strtoul(text, &end, 16);

        if (end != text + 2 || byte > UINT8_MAX || *end != (i < 5 ? ':' : '\0')) {
            return false;
        }
        ret[i] = (uint8_t)byte;
        text = end + 1;
    }
    return true;
}

bool order_network_use(const struct order *o, unsigned i, struct order_network_use *ret)
{
    const Wherry__Spec__Container *spec = order_spec(o);
    const Wherry__Spec__NetworkUse *use;

    if (i >= spec->n_networks) {
        return false;
    }
    use = spec->networks[i];
    *ret = (struct order_network_use){.name = use->name,
                                      .ipv4 = read_address(use->ipv4_address),
                                      .internal = use->internal,
                                      .ipv6 = use->ipv6};
    if (!read_mac(use->mac_address, ret->mac)) {
        memset(ret->mac, 0, sizeof(ret->mac));
    }
    return true;
}

const char *order_domainname(const struct order *o)
{
    return order_spec(o)->domainname;
}

bool order_dns(const struct order *o, unsigned i, uint32_t *ret_address)
{
    const Wherry__Spec__Container *spec = order_spec(o);

    *ret_address = i < spec->n_dns ? read_address(spec->dns[i]) : 0;
    return *ret_address != 0;
}

const char *order_dns_search(const struct order *o, unsigned i)
{
    return i < order_spec(o)->n_dns_search ? order_spec(o)->dns_search[i] : NULL;
}

const char *order_dns_opt(const struct order *o, unsigned i)
{
    return i < order_spec(o)->n_dns_opt ? order_spec(o)->dns_opt[i] : NULL;
}

const char *order_extra_host(const struct order *o, unsigned i, const char **ret_address)
{
    const Wherry__Spec__Container *spec = order_spec(o);

    if (i >= spec->n_extra_hosts) {
        return NULL;
    }
    *ret_address = spec->extra_hosts[i]->value;
    return spec->extra_hosts[i]->key;
}

bool order_egress_restricted(const struct order *o)
{
    const Wherry__Spec__Egress *egress = order_spec(o)->egress;

    return egress != NULL && egress->restricted;
}

bool order_egress_to(const struct order *o, unsigned i, uint32_t *ret_net, unsigned *ret_prefix)
{
    const Wherry__Spec__Egress *egress = order_spec(o)->egress;
    bool readable;

    if (egress == NULL || i >= egress->n_cidr) {
        return false;
    }
    readable = read_cidr(egress->cidr[i], ret_net, ret_prefix);
    assert(readable); /* order_decode has seen to it */
    return readable;
}

void order_bandwidth(const struct order *o, uint64_t *ret_in, uint64_t *ret_out)
{
    const Wherry__Spec__Bandwidth *b = order_spec(o)->bandwidth;

    *ret_in = b != NULL ? b->in_bits_per_s : 0;
    *ret_out = b != NULL ? b->out_bits_per_s : 0;
}

/* ---- mounts ---- */

bool order_mount(const struct order *o, unsigned i, struct order_mount *ret)
{
    const Wherry__Spec__Container *spec = order_spec(o);
    const Wherry__Spec__Mount *m;

    if (i >= spec->n_mounts) {
        return false;
    }
    m = spec->mounts[i];
    *ret = (struct order_mount){.kind = ORDER_MOUNT_TMPFS,
                                .source = m->source,
                                .target = m->target,
                                .read_only = m->read_only,
                                .create = m->create_host_path};
    if (m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME) {
        ret->kind = ORDER_MOUNT_VOLUME;
        ret->source = m->volume_name;
    } else if (m->type == WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND) {
        ret->kind = ORDER_MOUNT_BIND;
    }
    return true;
}
