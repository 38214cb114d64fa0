// SPDX-License-Identifier: Apache-2.0
#include "agent/dns/dnsmsg.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define CLASS_IN   1
#define CLASS_ANY  255
#define POINTER    0xc0u   /* RFC 1035, 4.1.4 */
#define OPT_SIZE   11      /* an OPT record without options */
#define FIXED      10      /* of a record behind its name: type, class, TTL, length */
#define ASKED_NAME 0xc00cu /* a pointer to the question's name */

uint16_t dnsmsg_get16(const void *at)
{
    const uint8_t *p = at;

    return (uint16_t)(p[0] << 8 | p[1]);
}

void dnsmsg_put16(void *at, uint16_t value)
{
    uint8_t *p = at;

    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    dnsmsg_put16(p, (uint16_t)(value >> 16));
    dnsmsg_put16(p + 2, (uint16_t)value);
}

/* ---- reading ---- */

/* Takes the labels of a question; returns where it ends, 0: it is none. */
static size_t read_name(const uint8_t *m, size_t len, struct dnsmsg_question *q)
{
    size_t at = DNSMSG_HEADER;
    size_t text = 0;

    for (;;) {
        size_t n = at < len ? m[at] : POINTER;

        if (n >= 64 || at + 1 + n > len || at + 1 + n - DNSMSG_HEADER > DNSMSG_NAME_WIRE) {
            return 0;
        }
        if (n == 0) {
            break;
        }
        if (text > 0) {
            q->name[text++] = '.';
        }
        for (size_t i = 0; i < n; i++) {
            uint8_t c = m[at + 1 + i];

            q->odd = q->odd || c == '.' || c == '\0';
            q->name[text++] = (char)tolower(c);
        }
        at += 1 + n;
    }
    at++;
    q->name[text] = '\0';
    q->wire_len = (uint8_t)(at - DNSMSG_HEADER);
    memcpy(q->wire, m + DNSMSG_HEADER, q->wire_len);
    return at;
}

/* Where the name of a record ends; 0: beyond the message. */
static size_t skip_name(const uint8_t *m, size_t len, size_t at)
{
    while (at < len) {
        if (m[at] == 0) {
            return at + 1;
        }
        if ((m[at] & POINTER) == POINTER) {
            return at + 2 <= len ? at + 2 : 0;
        }
        if (m[at] >= 64) {
            return 0;
        }
        at += 1u + m[at];
    }
    return 0;
}

/* The end of the record at `at`, whose fixed part begins at `*ret_fixed`; 0: beyond the message. */
static size_t skip_record(const uint8_t *m, size_t len, size_t at, size_t *ret_fixed)
{
    size_t fixed = skip_name(m, len, at);
    size_t end;

    if (fixed == 0 || fixed + FIXED > len) {
        return 0;
    }
    end = fixed + FIXED + dnsmsg_get16(m + fixed + 8);
    *ret_fixed = fixed;
    return end <= len ? end : 0;
}

/* An asker's records: only OPT says something to us. */
static bool read_additional(const uint8_t *m, size_t len, size_t at, struct dnsmsg_question *q)
{
    unsigned n = dnsmsg_get16(m + 10);

    for (unsigned i = 0; i < n; i++) {
        size_t fixed = 0;
        size_t end = skip_record(m, len, at, &fixed);

        if (end == 0) {
            return false;
        }
        if (dnsmsg_get16(m + fixed) == DNSMSG_OPT) {
            uint16_t size = dnsmsg_get16(m + fixed + 2);

            if (q->edns || fixed != at + 1) { /* one only, and of the root */
                return false;
            }
            q->edns = true;
            q->udp_size = size > DNSMSG_PLAIN_MAX ? size : DNSMSG_PLAIN_MAX;
        }
        at = end;
    }
    return true;
}

int dnsmsg_read(const void *message, size_t len, struct dnsmsg_question *ret)
{
    const uint8_t *m = message;
    size_t at;

    memset(ret, 0, sizeof(*ret));
    ret->udp_size = DNSMSG_PLAIN_MAX;
    if (len < DNSMSG_HEADER || (dnsmsg_get16(m + 2) & DNSMSG_QR) != 0) {
        return -1;
    }
    ret->id = dnsmsg_get16(m);
    ret->flags = dnsmsg_get16(m + 2);
    if ((ret->flags >> 11 & 15) != 0) {
        return DNSMSG_NOTIMP;
    }
    if (dnsmsg_get16(m + 4) != 1 || dnsmsg_get16(m + 6) != 0 || dnsmsg_get16(m + 8) != 0) {
        return DNSMSG_FORMERR;
    }
    at = read_name(m, len, ret);
    if (at == 0 || at + 4 > len) {
        ret->wire_len = 0;
        return DNSMSG_FORMERR;
    }
    ret->type = dnsmsg_get16(m + at);
    ret->class = dnsmsg_get16(m + at + 2);
    if (!read_additional(m, len, at + 4, ret)) {
        return DNSMSG_FORMERR;
    }
    return ret->class == CLASS_IN || ret->class == CLASS_ANY ? DNSMSG_NOERROR : DNSMSG_REFUSED;
}

size_t dnsmsg_name_wire(const char *name, uint8_t ret[DNSMSG_NAME_WIRE])
{
    size_t at = 0;

    while (*name != '\0') {
        size_t n = strcspn(name, ".");

        if (n == 0 || n > 63 || at + n + 2 > DNSMSG_NAME_WIRE) {
            return 0;
        }
        ret[at] = (uint8_t)n;
        memcpy(ret + at + 1, name, n);
        at += n + 1;
        name += n;
        name += *name == '.';
    }
    ret[at] = 0;
    return at + 1;
}

/* ---- writing ---- */

void dnsmsg_begin(struct dnsmsg_writer *w, void *bytes, size_t size,
                  const struct dnsmsg_question *q)
{
    size_t room = q->edns ? OPT_SIZE : 0;

    assert(size >= DNSMSG_PLAIN_MAX);
    *w = (struct dnsmsg_writer){.bytes = bytes, .size = size - room, .len = DNSMSG_HEADER};
    memset(bytes, 0, DNSMSG_HEADER);
    if (q->wire_len > 0) {
        memcpy(w->bytes + w->len, q->wire, q->wire_len);
        w->len += q->wire_len;
        dnsmsg_put16(w->bytes + w->len, q->type);
        dnsmsg_put16(w->bytes + w->len + 2, q->class);
        w->len += 4;
        dnsmsg_put16(w->bytes + 4, 1);
    }
}

void dnsmsg_put(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                uint16_t type, uint32_t ttl, const void *data, size_t len)
{
    uint8_t wire[DNSMSG_NAME_WIRE];
    size_t n = 2;
    uint8_t *p;

    dnsmsg_put16(wire, ASKED_NAME);
    if (name != NULL) {
        n = dnsmsg_name_wire(name, wire);
        assert(n > 0);
    }
    if (w->truncated || w->len + n + FIXED + len > w->size) {
        w->truncated = w->truncated || section == DNSMSG_ANSWER; /* the rest is a courtesy */
        return;
    }
    p = w->bytes + w->len;
    memcpy(p, wire, n);
    dnsmsg_put16(p + n, type);
    dnsmsg_put16(p + n + 2, CLASS_IN);
    put32(p + n + 4, ttl);
    dnsmsg_put16(p + n + 8, (uint16_t)len);
    memcpy(p + n + FIXED, data, len);
    w->len += n + FIXED + len;
    w->answers = (uint16_t)(w->answers + (section == DNSMSG_ANSWER));
    w->authority = (uint16_t)(w->authority + (section == DNSMSG_AUTHORITY));
    w->additional = (uint16_t)(w->additional + (section == DNSMSG_ADDITIONAL));
}

void dnsmsg_put_a(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                  uint32_t ttl, uint32_t address)
{
    uint8_t data[4];

    put32(data, address);
    dnsmsg_put(w, section, name, DNSMSG_A, ttl, data, sizeof(data));
}

void dnsmsg_put_aaaa(struct dnsmsg_writer *w, enum dnsmsg_section section, const char *name,
                     uint32_t ttl, const uint8_t address[16])
{
    dnsmsg_put(w, section, name, DNSMSG_AAAA, ttl, address, 16);
}

void dnsmsg_put_ptr(struct dnsmsg_writer *w, uint32_t ttl, const char *target)
{
    uint8_t data[DNSMSG_NAME_WIRE];

    dnsmsg_put(w, DNSMSG_ANSWER, NULL, DNSMSG_PTR, ttl, data, dnsmsg_name_wire(target, data));
}

/* Priority and weight 0: all alike. */
void dnsmsg_put_srv(struct dnsmsg_writer *w, uint32_t ttl, uint16_t port, const char *target)
{
    uint8_t data[6 + DNSMSG_NAME_WIRE] = {0};

    dnsmsg_put16(data + 4, port);
    dnsmsg_put(w, DNSMSG_ANSWER, NULL, DNSMSG_SRV, ttl, data,
               6 + dnsmsg_name_wire(target, data + 6));
}

void dnsmsg_put_soa(struct dnsmsg_writer *w, const char *zone, uint32_t ttl)
{
    uint8_t data[2 * DNSMSG_NAME_WIRE + 20];
    size_t n = dnsmsg_name_wire(zone, data);
    static const uint32_t numbers[] = {1, 3600, 600, 86400}; /* serial, refresh, retry, expire */

    memcpy(data + n, "\x0ahostmaster", 11);
    (void)dnsmsg_name_wire(zone, data + n + 11);
    n += 11 + n;
    for (unsigned i = 0; i < 4; i++) {
        put32(data + n + (size_t)4 * i, numbers[i]);
    }
    put32(data + n + 16, ttl); /* minimum: how long a no is kept (RFC 2308, section 4) */
    dnsmsg_put(w, DNSMSG_AUTHORITY, zone, DNSMSG_SOA, ttl, data, n + 20);
}

size_t dnsmsg_end(struct dnsmsg_writer *w, const struct dnsmsg_question *q, bool authoritative,
                  enum dnsmsg_rcode rcode)
{
    uint16_t flags = (uint16_t)(DNSMSG_QR | DNSMSG_RA | (q->flags & DNSMSG_RD) | (unsigned)rcode);

    flags = (uint16_t)(flags | (authoritative ? DNSMSG_AA : 0) | (w->truncated ? DNSMSG_TC : 0));
    if (q->edns) {
        uint8_t *p = w->bytes + w->len;

        memset(p, 0, OPT_SIZE);
        dnsmsg_put16(p + 1, DNSMSG_OPT);
        dnsmsg_put16(p + 3, 1232);
        w->len += OPT_SIZE;
        w->additional++;
    }
    dnsmsg_put16(w->bytes, q->id);
    dnsmsg_put16(w->bytes + 2, flags);
    dnsmsg_put16(w->bytes + 6, w->answers);
    dnsmsg_put16(w->bytes + 8, w->authority);
    dnsmsg_put16(w->bytes + 10, w->additional);
    return w->len;
}

/* ---- answers of others ---- */

bool dnsmsg_answers(const void *message, size_t len, const struct dnsmsg_question *q)
{
    const uint8_t *m = message;
    size_t n = q->wire_len;

    return len >= DNSMSG_HEADER + n + 4 && dnsmsg_get16(m) == q->id &&
           (dnsmsg_get16(m + 2) & DNSMSG_QR) != 0 && dnsmsg_get16(m + 4) == 1 &&
           memcmp(m + DNSMSG_HEADER, q->wire, n) == 0 &&
           dnsmsg_get16(m + DNSMSG_HEADER + n) == q->type &&
           dnsmsg_get16(m + DNSMSG_HEADER + n + 2) == q->class;
}

enum dnsmsg_rcode dnsmsg_rcode(const void *message)
{
    return (enum dnsmsg_rcode)(dnsmsg_get16((const uint8_t *)message + 2) & 15);
}

bool dnsmsg_truncated(const void *message)
{
    return (dnsmsg_get16((const uint8_t *)message + 2) & DNSMSG_TC) != 0;
}

bool dnsmsg_ttl(void *message, size_t len, uint32_t age, uint32_t *ret_lowest)
{
    uint8_t *m = message;
    unsigned n = (unsigned)dnsmsg_get16(m + 6) + dnsmsg_get16(m + 8) + dnsmsg_get16(m + 10);
    size_t at = skip_name(m, len, DNSMSG_HEADER);
    uint32_t lowest = UINT32_MAX;

    if (at == 0 || at + 4 > len) {
        return false;
    }
    at += 4;
    for (unsigned i = 0; i < n; i++) {
        size_t fixed = 0;
        size_t end = skip_record(m, len, at, &fixed);
        uint32_t ttl;

        if (end == 0) {
            return false;
        }
        if (dnsmsg_get16(m + fixed) != DNSMSG_OPT) {
            ttl = get32(m + fixed + 4);
            lowest = ttl < lowest ? ttl : lowest;
            if (age > 0) {
                put32(m + fixed + 4, ttl > age ? ttl - age : 0);
            }
        }
        at = end;
    }
    *ret_lowest = lowest;
    return lowest != UINT32_MAX;
}
