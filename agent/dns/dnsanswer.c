// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dnsmsg.h"
#include "agent/dns/dnsnames.h"
#include "common/cleanup.h"

#define NEGATIVE_TTL 1

/* One question on its way. */
struct ask {
    const struct dns_names *names;
    const struct dns_asker *asker;
    struct dnsmsg_question q;
    struct dnsmsg_writer w;
    uint32_t random;
};

static size_t end(struct ask *a, enum dnsmsg_rcode rcode)
{
    bool ours = rcode == DNSMSG_NOERROR || rcode == DNSMSG_NXDOMAIN;

    if (ours && a->w.answers == 0 && !a->w.truncated) {
        dnsmsg_put_soa(&a->w, DNS_SUFFIX, NEGATIVE_TTL);
    }
    return dnsmsg_end(&a->w, &a->q, ours, rcode);
}

/* ---- "7.0.128.10.in-addr.arpa" ---- */

static bool read_reverse(const char *name, uint32_t *ret)
{
    unsigned byte[4];
    char rest[16] = "";

    if (sscanf(name, "%3u.%3u.%3u.%3u.%15s", &byte[3], &byte[2], &byte[1], &byte[0], rest) != 5 ||
        strcmp(rest, "in-addr.arpa") != 0) {
        return false;
    }
    *ret = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (byte[i] > 255) {
            return false;
        }
        *ret = *ret << 8 | byte[i];
    }
    return true;
}

/* "1.0.0.0.[...].d.f.ip6.arpa": 32 digits, the last first (RFC 3596, section 2.5). */
static bool read_reverse6(const char *name, struct ip6 *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < 32; i++, name += 2) {
        const char *digits = "0123456789abcdef";
        const char *digit = *name != '\0' ? strchr(digits, *name) : NULL;

        if (digit == NULL || name[1] != '.') {
            return false;
        }
        ret->bytes[15 - i / 2] |= (uint8_t)((digit - digits) << (i % 2 == 0 ? 0 : 4));
    }
    return strcmp(name, "ip6.arpa") == 0;
}

/* Whether the question is for the name of an address of ours, or of none that the world knows. */
static bool is_reverse(const struct ask *a, uint32_t *ret_address)
{
    struct ip6 address6;

    if (a->q.odd) {
        return false;
    }
    if (read_reverse6(a->q.name, &address6)) {
        *ret_address = dnsnames_to_v4(a->names, &address6);
        return dnsnames_inside6(a->names, &address6);
    }
    return read_reverse(a->q.name, ret_address) && dnsnames_inside(a->names, *ret_address);
}

static size_t answer_reverse(struct ask *a, uint32_t address)
{
    char name[DNSMSG_NAME_TEXT];

    if (!dnsnames_reverse(a->names, a->asker, address, name, sizeof(name))) {
        return end(a, DNSMSG_NXDOMAIN);
    }
    if (a->q.type == DNSMSG_PTR || a->q.type == DNSMSG_ANY) {
        dnsmsg_put_ptr(&a->w, DNS_TTL, name);
    }
    return end(a, DNSMSG_NOERROR);
}

/* ---- "_8080._tcp.web" ---- */

/* The port that the first label names; takes both labels off. False: it is no such name. */
static bool cut_service(const char **name, const char **ret_port, size_t *ret_len, bool *ret_udp)
{
    const char *dot = strchr(*name, '.');

    if ((*name)[0] != '_' || dot == NULL ||
        (strncmp(dot, "._tcp.", 6) != 0 && strncmp(dot, "._udp.", 6) != 0)) {
        return false;
    }
    *ret_port = *name + 1;
    *ret_len = (size_t)(dot - *name) - 1;
    *ret_udp = dot[2] == 'u';
    *name = dot + 6;
    return true;
}

/* A number means itself; a word the one port of that protocol that the service publishes. */
static uint16_t find_port(const struct svc_entry *e, const char *port, size_t len, bool udp)
{
    const struct svc_port *only = NULL;

    if (len > 0 && len <= 5 && strspn(port, "0123456789") == len) {
        unsigned long number = strtoul(port, NULL, 10);

        return number <= UINT16_MAX ? (uint16_t)number : 0;
    }
    for (unsigned i = 0; i < e->n_ports; i++) {
        if (e->ports[i].udp == udp && only != NULL && only->target != e->ports[i].target) {
            return 0;
        }
        only = e->ports[i].udp == udp ? &e->ports[i] : only;
    }
    return only != NULL ? only->target : 0;
}

/* One record for each ready replica, and their addresses beside. */
static void put_targets(struct ask *a, const struct dnsnames *found, uint16_t port)
{
    struct dnsnames one = *found;
    uint32_t address[DNS_ANSWERS_MAX];
    char name[DNS_ANSWERS_MAX][DNSMSG_NAME_TEXT];
    unsigned n;

    one.kind = DNSNAMES_TASKS;
    n = dnsnames_addresses(a->names, &one, a->random, address, DNS_ANSWERS_MAX);
    for (unsigned i = 0; i < n; i++) {
        name[i][0] = '\0';
        if (dnsnames_reverse(a->names, a->asker, address[i], name[i], sizeof(name[i]))) {
            dnsmsg_put_srv(&a->w, DNS_TTL, port, name[i]);
        }
    }
    for (unsigned i = 0; i < n && !a->w.truncated; i++) {
        if (name[i][0] != '\0') {
            dnsmsg_put_a(&a->w, DNSMSG_ADDITIONAL, name[i], DNS_TTL, address[i]);
        }
    }
}

/* ---- names ---- */

static void put_addresses(struct ask *a, const struct dnsnames *found)
{
    uint32_t address[DNS_ANSWERS_MAX];
    unsigned n = dnsnames_addresses(a->names, found, a->random, address, DNS_ANSWERS_MAX);

    for (unsigned i = 0; i < n; i++) {
        dnsmsg_put_a(&a->w, DNSMSG_ANSWER, NULL, DNS_TTL, address[i]);
    }
}

static void put_addresses6(struct ask *a, const struct dnsnames *found)
{
    struct ip6 address[DNS_ANSWERS_MAX];
    unsigned n = dnsnames_addresses6(a->names, found, a->random, address, DNS_ANSWERS_MAX);

    for (unsigned i = 0; i < n; i++) {
        dnsmsg_put_aaaa(&a->w, DNSMSG_ANSWER, NULL, DNS_TTL, address[i].bytes);
    }
}

/* A name of ours: of a type that we do not have, it is without data and not unknown. */
static void put_records(struct ask *a, const struct dnsnames *found, uint16_t port)
{
    if (a->q.type == DNSMSG_ANY) { /* RFC 8482, section 4.2 */
        dnsmsg_put(&a->w, DNSMSG_ANSWER, NULL, DNSMSG_HINFO, DNS_TTL, "\x07RFC8482\0", 9);
    } else if (a->q.type == DNSMSG_A && port == 0) {
        put_addresses(a, found);
    } else if (a->q.type == DNSMSG_AAAA && port == 0) {
        put_addresses6(a, found);
    } else if (a->q.type == DNSMSG_SRV && port != 0) {
        put_targets(a, found, port);
    }
}

/* Takes ".wherry.internal" off; returns whether it was there. */
static bool cut_suffix(char *name)
{
    size_t len = strlen(name), n = strlen(DNS_SUFFIX);

    if (len < n || strcmp(name + len - n, DNS_SUFFIX) != 0 ||
        (len > n && name[len - n - 1] != '.')) {
        return false;
    }
    name[len > n ? len - n - 1 : 0] = '\0';
    return true;
}

/* The world is not asked for what can only be meant for us: our suffix, and words without a dot. */
static bool is_for_us(const struct ask *a, const char *name, bool suffix)
{
    bool address = a->q.type == DNSMSG_A || a->q.type == DNSMSG_AAAA || a->q.type == DNSMSG_SRV;

    return suffix || (address && name[0] != '\0' && strchr(name, '.') == NULL);
}

static enum dns_verdict answer_name(struct ask *a, size_t *ret_len)
{
    char work[DNSMSG_NAME_TEXT];
    const char *name = work, *port = "";
    struct dnsnames found;
    size_t port_len = 0;
    uint16_t number = 0;
    bool udp = false, suffix;

    (void)snprintf(work, sizeof(work), "%s", a->q.name);
    suffix = cut_suffix(work);
    if (!a->q.odd && cut_service(&name, &port, &port_len, &udp) &&
        dnsnames_find(a->names, a->asker, name, &found)) {
        number = find_port(found.matches[0].entry, port, port_len, udp);
        if (number != 0) {
            put_records(a, &found, number);
        }
        *ret_len = end(a, number != 0 ? DNSMSG_NOERROR : DNSMSG_NXDOMAIN);
        return DNS_ANSWERED;
    }
    if (!a->q.odd && name == work && dnsnames_find(a->names, a->asker, name, &found)) {
        put_records(a, &found, 0);
        *ret_len = end(a, DNSMSG_NOERROR);
        return DNS_ANSWERED;
    }
    if (suffix && work[0] == '\0') { /* the zone itself */
        *ret_len = end(a, DNSMSG_NOERROR);
        return DNS_ANSWERED;
    }
    if (is_for_us(a, name, suffix) || a->asker->no_out) {
        *ret_len = end(a, DNSMSG_NXDOMAIN);
        return DNS_ANSWERED;
    }
    return DNS_FORWARD;
}

/* ---- the whole ---- */

static size_t room(const struct dnsmsg_question *q, bool tcp, size_t size)
{
    size_t most = tcp ? DNS_TCP_MAX : q->udp_size < DNS_UDP_MAX ? q->udp_size : DNS_UDP_MAX;

    return size < most ? size : most;
}

enum dns_verdict dns_answer(const struct dns_names *n, const struct dns_asker *asker,
                            const uint8_t *message, size_t len, bool tcp, uint32_t random,
                            uint8_t *ret, size_t size, size_t *ret_len)
{
    struct ask a = {.names = n, .asker = asker, .random = random};
    int rcode = dnsmsg_read(message, len, &a.q);
    uint32_t address = 0;

    if (rcode < 0) {
        return DNS_IGNORE;
    }
    dnsmsg_begin(&a.w, ret, room(&a.q, tcp, size), &a.q);
    if (rcode != DNSMSG_NOERROR) {
        *ret_len = dnsmsg_end(&a.w, &a.q, false, (enum dnsmsg_rcode)rcode);
        return DNS_ANSWERED;
    }
    if (is_reverse(&a, &address)) {
        *ret_len = answer_reverse(&a, address);
        return DNS_ANSWERED;
    }
    return answer_name(&a, ret_len);
}
