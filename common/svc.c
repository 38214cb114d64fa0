// SPDX-License-Identifier: Apache-2.0
#include "common/svc.h"

#include <assert.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"

/* ---- names ---- */

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_mark(char c)
{
    return c == '_' || c == '.' || c == '-';
}

bool svc_network_is_valid(const char *name)
{
    size_t len = 0;

    for (; name[len] != '\0'; len++) {
        bool upper = name[len] >= 'A' && name[len] <= 'Z';

        if (!is_lower(name[len]) && !upper && (len == 0 || !is_mark(name[len]))) {
            return false;
        }
    }
    return len > 0 && len < SVC_NETWORK_MAX;
}

bool svc_alias_is_valid(const char *alias)
{
    size_t len = 0, label = 0;

    for (; alias[len] != '\0'; len++) {
        if ((!is_lower(alias[len]) && !is_mark(alias[len])) || len >= SVC_ALIAS_MAX) {
            return false;
        }
        label = alias[len] == '.' ? 0 : label + 1;
        if (label > 63 || (label == 0 && (len == 0 || alias[len - 1] == '.'))) {
            return false;
        }
    }
    return label > 0; /* of the last label: no dot at the end */
}

/* ---- hash ---- */

static void put_le(struct buf *to, uint64_t value, unsigned bytes)
{
    uint8_t data[8];

    for (unsigned i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(value >> (8 * i));
    }
    buf_append(to, data, bytes);
}

/* With its length, so that no two lists of texts give the same bytes. */
static void put_text(struct buf *to, const char *text)
{
    size_t len = strlen(text);

    put_le(to, len, 4);
    buf_append(to, text, len);
}

static void put_network(struct buf *to, const struct svc_network *n)
{
    put_text(to, n->name);
    put_le(to, n->vip, 4);
    put_le(to, (unsigned)n->internal | (unsigned)n->ipv6 << 1, 1);
    put_le(to, n->n_aliases, 4);
    for (unsigned i = 0; i < n->n_aliases; i++) {
        put_text(to, n->aliases[i]);
    }
}

static void put_endpoint(struct buf *to, const struct svc_endpoint *p)
{
    put_le(to, p->incarnation, 8);
    put_le(to, p->slot, 4);
    put_le(to, p->address, 4);
    put_le(to, p->extra, 4);
    put_le(to, p->networks, 4);
    put_le(to, (unsigned)p->ready | (unsigned)p->draining << 1, 1);
}

static void put_port(struct buf *to, const struct svc_port *p)
{
    put_le(to, p->udp, 1);
    put_le(to, p->published, 2);
    put_le(to, p->target, 2);
    put_le(to, p->host_ip, 4);
}

struct id128 svc_hash(const struct svc_entry *entry)
{
    auto_buf struct buf b = {0};

    put_text(&b, entry->stack);
    put_text(&b, entry->service);
    put_le(&b, entry->balance, 1);
    put_le(&b, entry->n_networks, 4);
    for (unsigned i = 0; i < entry->n_networks; i++) {
        put_network(&b, &entry->networks[i]);
    }
    put_le(&b, entry->n_endpoints, 4);
    for (unsigned i = 0; i < entry->n_endpoints; i++) {
        put_endpoint(&b, &entry->endpoints[i]);
    }
    put_le(&b, entry->n_ports, 4);
    for (unsigned i = 0; i < entry->n_ports; i++) {
        put_port(&b, &entry->ports[i]);
    }
    return id128_hash(b.data, b.len);
}

/* ---- order ---- */

int svc_compare(const struct svc_entry *a, const char *stack, const char *service)
{
    int by_stack = strcmp(a->stack, stack);

    return by_stack != 0 ? by_stack : strcmp(a->service, service);
}

/* ---- copy ---- */

/* What every list's elements may be aligned to. */
#define ALIGNED(size) (((size) + 7) & ~(size_t)7)

/* Hands out parts of one allocation. */
struct parts {
    char *at;
};

static void *part(struct parts *p, const void *from, size_t size)
{
    void *to = p->at;

    p->at += ALIGNED(size);
    return size > 0 ? memcpy(to, from, size) : to;
}

static size_t size_of(const struct svc_entry *e)
{
    size_t size = ALIGNED(sizeof(*e)) + ALIGNED(e->n_networks * sizeof(*e->networks)) +
                  ALIGNED(e->n_endpoints * sizeof(*e->endpoints)) +
                  ALIGNED(e->n_ports * sizeof(*e->ports));

    for (unsigned i = 0; i < e->n_networks; i++) {
        const struct svc_network *n = &e->networks[i];

        size += ALIGNED(n->n_aliases * sizeof(*n->aliases));
        for (unsigned k = 0; k < n->n_aliases; k++) {
            size += ALIGNED(strlen(n->aliases[k]) + 1);
        }
    }
    return size;
}

static void copy_aliases(struct parts *p, struct svc_network *n)
{
    const char **list = part(p, n->aliases, n->n_aliases * sizeof(*n->aliases));

    for (unsigned i = 0; i < n->n_aliases; i++) {
        list[i] = part(p, list[i], strlen(list[i]) + 1);
    }
    n->aliases = list;
}

struct svc_entry *svc_copy(const struct svc_entry *entry)
{
    struct parts p = {.at = xmalloc(size_of(entry))};
    struct svc_entry *to = part(&p, entry, sizeof(*entry));
    struct svc_network *networks;

    static_assert(_Alignof(struct svc_network) <= 8, "parts are aligned to 8");
    static_assert(_Alignof(struct svc_endpoint) <= 8, "parts are aligned to 8");
    networks = part(&p, entry->networks, entry->n_networks * sizeof(*networks));
    for (unsigned i = 0; i < entry->n_networks; i++) {
        copy_aliases(&p, &networks[i]);
    }
    to->networks = networks;
    to->endpoints = part(&p, entry->endpoints, entry->n_endpoints * sizeof(*entry->endpoints));
    to->ports = part(&p, entry->ports, entry->n_ports * sizeof(*entry->ports));
    return to;
}
