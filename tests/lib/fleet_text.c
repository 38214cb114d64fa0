// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/fleet_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

/* ---- in ---- */

static uint64_t number(const char *value)
{
    return strtoull(value, NULL, 10);
}

static void digest_of(const char *a, uint64_t n, uint8_t ret[FLEET_DIGEST])
{
    char text[256];

    (void)snprintf(text, sizeof(text), "%s/%" PRIu64, a, n);
    memset(ret, 0, FLEET_DIGEST);
    id128_to_bytes(id128_hash(text, strlen(text)), ret);
}

static int constraint(char *text, struct fleet_text_service *s)
{
    struct fleet_constraint *c = &s->constraints[s->want.n_constraints];
    char *op = strstr(text, "==");

    if (op == NULL && (op = strstr(text, "!=")) != NULL) {
        c->negated = true;
    }
    if (op == NULL || s->want.n_constraints == FLEET_TEXT_LIST) {
        return -EINVAL;
    }
    *op = '\0';
    c->key = text;
    c->value = op + 2;
    s->want.n_constraints++;
    return 0;
}

static int dependency(char *text, struct fleet_text_service *s)
{
    struct fleet_dependency *d = &s->depends[s->want.n_depends++];
    char *colon = strchr(text, ':');

    d->required = true;
    d->condition = colon == NULL                      ? FLEET_DEPEND_STARTED
                   : strcmp(colon, ":healthy") == 0   ? FLEET_DEPEND_HEALTHY
                   : strcmp(colon, ":completed") == 0 ? FLEET_DEPEND_COMPLETED
                                                      : FLEET_DEPEND_STARTED;
    if (colon != NULL) {
        *colon = '\0';
    }
    (void)snprintf(d->service, sizeof(d->service), "%s", text);
    return 0;
}

static uint32_t address_of(const char *text)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    return sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d) == 4 ? a << 24 | b << 16 | c << 8 | d : 0;
}

/* Kept in order of names. */
static int network_use(char *text, struct fleet_text_service *s)
{
    struct fleet_network_use use = {0};
    const char **aliases = s->aliases[s->want.ask.n_networks];
    char *at = strchr(text, '@'), *save = NULL, *name;
    unsigned i = s->want.ask.n_networks;

    if (at != NULL) {
        *at = '\0';
        use.address = address_of(at + 1);
    }
    if (i == SVC_NETWORKS_MAX || (name = strtok_r(text, ":", &save)) == NULL) {
        return -EINVAL;
    }
    (void)snprintf(use.name, sizeof(use.name), "%s", name);
    while (use.n_aliases < FLEET_TEXT_LIST && (name = strtok_r(NULL, ":", &save)) != NULL) {
        aliases[use.n_aliases++] = name;
    }
    use.aliases = aliases;
    for (; i > 0 && strcmp(s->networks[i - 1].name, use.name) > 0; i--) {
        s->networks[i] = s->networks[i - 1];
    }
    s->networks[i] = use;
    s->want.ask.n_networks++;
    s->want.ask.linked = true;
    return 0;
}

int fleet_text_network(const char *text, struct fleet_network *ret)
{
    size_t len = strcspn(text, ",");

    const char *at = strstr(text, ",subnet=");
    char net[16] = "";

    *ret = (struct fleet_network){.external = strstr(text, ",external") != NULL,
                                  .attachable = strstr(text, ",attachable") != NULL,
                                  .internal = strstr(text, ",internal") != NULL};
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", (int)len, text);
    if (at != NULL) {
        if (sscanf(at, ",subnet=%15[0-9.]/%u", net, &ret->subnets[0].prefix) != 2) {
            return -EINVAL;
        }
        ret->subnets[ret->n_subnets++].net = address_of(net);
    }
    return len > 0 ? 0 : -EINVAL;
}

static int ingress(char *value, struct fleet_text_service *s)
{
    char *colon = strchr(value, ':');

    s->ports[s->want.ask.n_ports++] =
        (struct fleet_port){.ingress = true,
                            .port = (uint16_t)number(value),
                            .target = (uint16_t)number(colon != NULL ? colon + 1 : value)};
    return 0;
}

static int service_list(const char *key, char *value, struct fleet_text_service *s)
{
    struct fleet_ask *ask = &s->want.ask;

    if (strcmp(key, "port") == 0 || strcmp(key, "udp") == 0) {
        s->ports[ask->n_ports].udp = key[0] == 'u';
        s->ports[ask->n_ports++].port = (uint16_t)number(value);
    } else if (strcmp(key, "vol") == 0) {
        struct fleet_volume_use *v = &s->volumes[ask->n_volumes++];

        (void)snprintf(v->name, sizeof(v->name), "%s", value);
    } else if (strcmp(key, "net") == 0) {
        return network_use(value, s);
    } else if (strcmp(key, "ingress") == 0) {
        return ingress(value, s);
    } else if (strcmp(key, "con") == 0) {
        return constraint(value, s);
    } else if (strcmp(key, "dep") == 0) {
        return dependency(value, s);
    } else {
        return -EINVAL;
    }
    return 0;
}

static int service_word(char *word, uint64_t *rev, struct fleet_text_service *s)
{
    struct fleet_want *w = &s->want;
    char *value = strchr(word, '=');

    if (value == NULL) {
        w->mode = strcmp(word, "global") == 0 ? FLEET_GLOBAL
                  : strcmp(word, "job") == 0  ? FLEET_JOB
                                              : w->mode;
        w->strategy = strcmp(word, "binpack") == 0 ? FLEET_BINPACK : w->strategy;
        w->has_probe = w->has_probe || strcmp(word, "probe") == 0;
        w->balance = strcmp(word, "dnsrr") == 0 ? SVC_BALANCE_NONE : w->balance;
        return strstr("global job binpack probe dnsrr", word) != NULL ? 0 : -EINVAL;
    }
    *value++ = '\0';
    if (strcmp(word, "replicas") == 0) {
        w->replicas = (uint32_t)number(value);
    } else if (strcmp(word, "mem") == 0) {
        w->ask.reserve.memory_bytes = number(value) << 20;
    } else if (strcmp(word, "cpu") == 0) {
        w->ask.reserve.cpu_millis = number(value);
    } else if (strcmp(word, "pids") == 0) {
        w->ask.reserve.pids = number(value);
    } else if (strcmp(word, "in") == 0) {
        w->ask.reserve.bits_in = number(value) * 1000000;
    } else if (strcmp(word, "out") == 0) {
        w->ask.reserve.bits_out = number(value) * 1000000;
    } else if (strcmp(word, "max") == 0) {
        w->max_per_node = (uint32_t)number(value);
    } else if (strcmp(word, "rev") == 0) {
        *rev = number(value);
    } else if (strcmp(word, "image") == 0) {
        w->image = value;
    } else {
        return service_list(word, value, s);
    }
    return 0;
}

int fleet_text_service(const char *text, struct fleet_text_service *ret)
{
    char *save = NULL, *name;
    uint64_t rev = 1;

    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->words, sizeof(ret->words), "%s", text);
    name = strtok_r(ret->words, " ", &save);
    if (name == NULL) {
        return -EINVAL;
    }
    ret->want.replicas = 1;
    ret->want.stop_grace_ms = 10000;
    ret->want.image = "localhost/x:1";
    ret->want.ask.ports = ret->ports;
    ret->want.ask.volumes = ret->volumes;
    ret->want.ask.networks = ret->networks;
    ret->want.constraints = ret->constraints;
    ret->want.depends = ret->depends;
    (void)snprintf(ret->want.service, sizeof(ret->want.service), "%s", name);
    for (char *word; (word = strtok_r(NULL, " ", &save)) != NULL;) {
        if (service_word(word, &rev, ret) < 0) {
            return -EINVAL;
        }
    }
    digest_of(name, rev, ret->want.revision);
    digest_of(text, 0, ret->want.digest);
    return 0;
}

static int node_word(char *word, struct fleet_text_node *n)
{
    char *value = strchr(word, '=');
    char *second;

    if (value == NULL) {
        return -EINVAL;
    }
    *value++ = '\0';
    if (strcmp(word, "mem") == 0) {
        n->facts.total.memory_bytes = number(value) << 20;
    } else if (strcmp(word, "cpu") == 0) {
        n->facts.total.cpu_millis = number(value);
    } else if (strcmp(word, "pids") == 0) {
        n->facts.total.pids = number(value);
    } else if (strcmp(word, "link") == 0) {
        n->facts.total.bits_in = n->facts.total.bits_out = number(value) * 1000000;
    } else if (strcmp(word, "label") == 0 && (second = strchr(value, '=')) != NULL) {
        *second = '\0';
        n->labels[n->facts.n_labels++] = (struct fleet_label){value, second + 1};
    } else if (strcmp(word, "image") == 0 && (second = strchr(value, '@')) != NULL) {
        *second = '\0';
        n->images[n->facts.n_images++] = (struct fleet_image){value, second + 1};
    } else {
        return -EINVAL;
    }
    return 0;
}

int fleet_text_node(const char *text, struct fleet_text_node *ret)
{
    char *save = NULL, *name;

    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->words, sizeof(ret->words), "%s", text);
    name = strtok_r(ret->words, " ", &save);
    if (name == NULL) {
        return -EINVAL;
    }
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->facts = (struct fleet_facts){.os = "linux",
                                      .arch = "amd64",
                                      .kernel = "6.1",
                                      .version = "0",
                                      .underlay = "192.0.2.1",
                                      .cgroup = "v2",
                                      .degraded = "",
                                      .total = {1ull << 30, 4000, 100000},
                                      .labels = ret->labels,
                                      .images = ret->images};
    for (char *word; (word = strtok_r(NULL, " ", &save)) != NULL;) {
        if (node_word(word, ret) < 0) {
            return -EINVAL;
        }
    }
    if (ret->facts.n_images == 0) {
        ret->images[ret->facts.n_images++] = (struct fleet_image){"localhost/x:1", "sha256:01"};
    }
    return 0;
}

struct id128 fleet_text_id(const char *node_name)
{
    struct id128 id = id128_hash(node_name, strlen(node_name));

    id.hi = (uint64_t)(unsigned char)node_name[0] << 56; /* ids in the order of first letters */
    return id;
}

uint64_t fleet_text_incarnation(const char *text)
{
    char *end;
    uint64_t epoch = strtoull(text, &end, 10);

    return *end == '.' ? epoch << 32 | strtoull(end + 1, NULL, 10) : 0;
}

/* ---- out ---- */

static void put_incarnation(struct buf *out, uint64_t incarnation)
{
    buf_printf(out, "%" PRIu64 ".%" PRIu64, incarnation >> 32, incarnation & 0xffffffff);
}

static const char *node_name(const struct fleet *f, struct id128 id)
{
    static char name[FLEET_NAME];
    struct fleet_node_view v;
    int at = fleet_node_find(f, id);

    if (at < 0 || !fleet_node_at(f, (unsigned)at, &v)) {
        return "?";
    }
    (void)snprintf(name, sizeof(name), "%s", v.name);
    return name;
}

static void put_stored(void *arg, const struct fleet_placement_view *p)
{
    struct buf *out = arg;

    buf_printf(out, " %u=", p->slot);
    put_incarnation(out, p->incarnation);
    buf_printf(out, "@%s%s%s%s%s", p->node_name, p->stop ? ",stop" : "", p->current ? "" : ",other",
               p->completed ? ",completed" : "", p->failed ? ",failed" : "");
}

static void put_sent(void *arg, const struct fleet_placement_view *p)
{
    struct buf *out = arg;

    if (!p->orphan) {
        buf_putc(out, ' ');
        put_incarnation(out, p->incarnation);
        if (p->stop) {
            buf_puts(out, ",stop");
        }
    }
}

static void put_reply(const struct fleet_action *a, struct buf *out)
{
    static const char *const results[] = {"ok", "unchanged", "not found", "conflict", "too many"};

    buf_printf(out, "%" PRIu64 " %s: %s\n", a->request, results[a->result],
               a->text != NULL ? a->text : "");
    for (unsigned i = 0; i < a->n_lines; i++) {
        buf_printf(out, ">   %s %s%s\n", a->lines[i].service, fleet_change_name(a->lines[i].change),
                   a->lines[i].replaces ? ", replaces" : "");
    }
}

static void put_event(const struct fleet_action *a, struct buf *out)
{
    buf_puts(out, fleet_happening_name(a->happened));
    if (a->stack[0] != '\0') {
        buf_printf(out, " %s", a->stack);
    }
    if (a->service[0] != '\0') {
        buf_printf(out, "/%s", a->service);
    }
    if (a->number > 0) {
        buf_printf(out, ".%u", a->number);
    }
    buf_printf(out, "%s%s \"%s\"\n", a->name[0] != '\0' ? " " : "", a->name,
               a->text != NULL ? a->text : "");
}

static void put_address(struct buf *out, const char *before, uint32_t address)
{
    if (address != 0) {
        buf_printf(out, "%s%u.%u.%u.%u", before, address >> 24, address >> 16 & 255,
                   address >> 8 & 255, address & 255);
    }
}

static void put_vips(const struct fleet *f, const struct fleet_action *a, struct buf *out)
{
    struct fleet_vip_view v;

    buf_printf(out, "%s/%s:", a->stack, a->service);
    for (unsigned i = 0; fleet_svc_vip_at(f, a->stack, a->service, i, &v); i++) {
        buf_printf(out, " %s", v.network);
        put_address(out, "=", v.address);
    }
}

static void put_action(const struct fleet *f, const struct fleet_action *a, struct buf *out)
{
    if (a->type != FLEET_EVENT) {
        buf_printf(out, "%s ", fleet_action_name(a->type));
    }
    switch (a->type) {
    case FLEET_PUT_STACK:
    case FLEET_DEL_STACK:
        buf_printf(out, "%s %u\n", a->stack, a->number);
        return;
    case FLEET_PUT_BLOCK:
        buf_printf(out, "%s/%s %u:", a->stack, a->service, a->number);
        fleet_block_each(f, a->stack, a->service, a->number, put_stored, out);
        break;
    case FLEET_PUT_VIPS:
        put_vips(f, a, out);
        break;
    case FLEET_SERVICE:
        buf_printf(out, "%s/%s", a->stack, a->service);
        break;
    case FLEET_PUT_VOLUME:
    case FLEET_DEL_VOLUME:
        buf_printf(out, "%s", a->name);
        break;
    case FLEET_SEND:
        buf_printf(out, "%s%s:", node_name(f, a->node_id), a->whole ? " whole" : "");
        fleet_node_each(f, a->node_id,
                        a->whole          ? 0
                        : a->revision > 0 ? a->revision - 1
                                          : 0,
                        put_sent, out);
        break;
    case FLEET_REFUSE:
        buf_printf(out, "\"%s\"", a->text != NULL ? a->text : "");
        break;
    case FLEET_PUT_NODE:
    case FLEET_WELCOME:
        buf_printf(out, "%s%s", node_name(f, a->node_id), a->report_all ? " report-all" : "");
        break;
    case FLEET_REPLY:
        put_reply(a, out);
        return;
    case FLEET_EVENT:
        put_event(a, out);
        return;
    case FLEET_RAISE_EPOCH:
        buf_printf(out, "above %" PRIu64, a->number64);
        break;
    }
    buf_putc(out, '\n');
}

void fleet_text_actions(const struct fleet *f, const struct fleet_actions *actions, bool revisions,
                        struct buf *out)
{
    for (unsigned i = 0; i < actions->n; i++) {
        buf_puts(out, "> ");
        if (revisions && actions->list[i].type != FLEET_EVENT) {
            buf_printf(out, "[%" PRIu64 "] ", actions->list[i].revision);
        }
        put_action(f, &actions->list[i], out);
    }
}

static void put_entry(const struct svc_entry *e, struct buf *out)
{
    buf_printf(out, "> %s/%s%s", e->stack, e->service,
               e->balance == SVC_BALANCE_NONE ? " dnsrr" : "");
    for (unsigned i = 0; i < e->n_networks; i++) {
        const struct svc_network *n = &e->networks[i];

        buf_printf(out, " %s", n->name);
        put_address(out, "=", n->vip);
        for (unsigned k = 0; k < n->n_aliases; k++) {
            buf_printf(out, ":%s", n->aliases[k]);
        }
        buf_puts(out, n->internal ? ",internal" : "");
    }
    for (unsigned i = 0; i < e->n_ports; i++) {
        buf_printf(out, " %u:%u", e->ports[i].published, e->ports[i].target);
    }
    buf_putc(out, '\n');
    for (unsigned i = 0; i < e->n_endpoints; i++) {
        const struct svc_endpoint *p = &e->endpoints[i];

        buf_printf(out, ">   .%u ", p->slot);
        put_incarnation(out, p->incarnation);
        put_address(out, " ", p->address);
        put_address(out, "+", p->extra);
        buf_printf(out, " on %x%s%s\n", p->networks, p->ready ? " ready" : "",
                   p->draining ? " draining" : "");
    }
}

void fleet_text_services(const struct fleet *f, struct buf *out)
{
    struct fleet_service_view s;
    struct fleet_stack_view stack;

    if (!fleet_heard_all(f)) {
        buf_puts(out, "> not everybody has been heard\n");
    }
    for (unsigned i = 0; fleet_stack_at(f, i, &stack); i++) {
        for (unsigned k = 0; fleet_service_at(f, i, k, &s); k++) {
            struct svc_entry *entry = fleet_svc_entry(f, s.stack, s.service);

            if (entry != NULL) {
                put_entry(entry, out);
            }
            free(entry);
        }
    }
}

static void put_other(void *arg, const struct fleet_placement_view *p)
{
    struct buf *out = arg;

    if (!p->current) {
        buf_printf(out, "> %s/%s.%u also ", p->stack, p->service, p->slot);
        put_incarnation(out, p->incarnation);
        buf_printf(out, "@%s %s%s\n", p->node_name,
                   p->orphan ? "orphan"
                   : p->stop ? "stop"
                             : "run",
                   p->unknown ? " unknown" : "");
    }
}

static void put_slots(const struct fleet *f, unsigned stack, unsigned service, struct buf *out)
{
    struct fleet_service_view s;
    struct fleet_slot_view slot;

    (void)fleet_service_at(f, stack, service, &s);
    for (unsigned i = 0; fleet_slot_at(f, stack, service, i, &slot); i++) {
        struct fleet_placement_view p;
        char why[FLEET_TEXT];

        fleet_why_slot(f, stack, service, i, why, sizeof(why));
        buf_printf(out, "> %s/%s.%u %s", s.stack, s.service, slot.number,
                   fleet_slot_state_name(slot.state));
        if (slot.incarnation != 0 && fleet_placement_find(f, slot.incarnation, &p)) {
            buf_putc(out, ' ');
            put_incarnation(out, slot.incarnation);
            buf_printf(out, "@%s", p.node_name);
        }
        buf_printf(out, "%s%s%s\n", why[0] != '\0' ? " \"" : "", why, why[0] != '\0' ? "\"" : "");
    }
    fleet_service_each(f, stack, service, put_other, out);
}

void fleet_text_state(const struct fleet *f, struct buf *out)
{
    struct fleet_stack_view stack;
    struct fleet_service_view service;
    struct fleet_node_view n;
    char brake[FLEET_TEXT];

    for (unsigned i = 0; fleet_stack_at(f, i, &stack); i++) {
        for (unsigned k = 0; fleet_service_at(f, i, k, &service); k++) {
            put_slots(f, i, k, out);
        }
    }
    for (unsigned i = 0; fleet_node_at(f, i, &n); i++) {
        buf_printf(out, "> node %s %s%s: %u placements, %" PRIu64 " MiB\n", n.name,
                   fleet_node_state_name(n.state), n.braked ? " braked" : "", n.placements,
                   n.reserved.memory_bytes >> 20);
    }
    fleet_why_brake(f, brake, sizeof(brake));
    if (brake[0] != '\0') {
        buf_printf(out, "> brake \"%s\"\n", brake);
    }
}
