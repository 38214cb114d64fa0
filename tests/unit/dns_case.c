// SPDX-License-Identifier: Apache-2.0
#include "dns_case.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HEADER 12

struct text {
    char *at;
    size_t left;
};

static void __attribute__((format(printf, 2, 3))) say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->at, t->left, fmt, ap);
    va_end(ap);
    ck_assert(n >= 0 && (size_t)n < t->left);
    t->at += n;
    t->left -= (size_t)n;
}

uint16_t dns_case_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void dns_case_put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* ---- a question ---- */

static size_t put_name(uint8_t *ret, const char *name)
{
    size_t at = 0;

    while (*name != '\0') {
        size_t n = strcspn(name, ".");

        ck_assert(n > 0 && n < 64);
        ret[at++] = (uint8_t)n;
        memcpy(ret + at, name, n);
        at += n;
        name += n + (name[n] == '.');
    }
    ret[at++] = 0;
    return at;
}

size_t dns_case_ask(uint8_t ret[DNS_CASE_MAX], uint16_t id, const char *name, uint16_t type,
                    uint16_t edns)
{
    size_t at = HEADER;

    memset(ret, 0, HEADER);
    dns_case_put16(ret, id);
    dns_case_put16(ret + 2, 0x0100);
    dns_case_put16(ret + 4, 1);
    at += put_name(ret + at, name);
    dns_case_put16(ret + at, type);
    dns_case_put16(ret + at + 2, 1);
    at += 4;
    if (edns > 0) {
        memcpy(ret + at, "\0\0\x29\0\0\0\0\0\0\0", 11);
        dns_case_put16(ret + at + 3, edns);
        dns_case_put16(ret + 10, 1);
        at += 11;
    }
    return at;
}

size_t dns_case_reply(const uint8_t *question, uint32_t ttl, uint32_t address,
                      uint8_t ret[DNS_CASE_MAX])
{
    size_t at = HEADER;

    while (question[at] != 0) {
        at += 1u + question[at];
    }
    at += 5;
    memcpy(ret, question, at);
    dns_case_put16(ret + 2, 0x8180); /* QR, RD, RA */
    dns_case_put16(ret + 6, 1);
    dns_case_put16(ret + 10, 0); /* without its OPT */
    memcpy(ret + at, "\xc0\x0c\0\1\0\1", 6);
    dns_case_put16(ret + at + 6, ttl >> 16);
    dns_case_put16(ret + at + 8, ttl & 0xffff);
    dns_case_put16(ret + at + 10, 4);
    dns_case_put16(ret + at + 12, address >> 16);
    dns_case_put16(ret + at + 14, address & 0xffff);
    return at + 16;
}

/* ---- an answer ---- */

/* Appends a name; returns where it ends in the message. Pointers only lead back. */
static size_t get_name(const uint8_t *m, size_t len, size_t at, char ret[256])
{
    size_t end = 0, text = 0, low = at;

    for (;;) {
        ck_assert_uint_lt(at, len);
        if (m[at] >= 0xc0) {
            ck_assert_uint_lt(at + 1, len);
            end = end == 0 ? at + 2 : end;
            at = dns_case_get16(m + at) & 0x3fffu;
            ck_assert(at >= HEADER && at < low);
            low = at;
            continue;
        }
        ck_assert_uint_lt(m[at], 64);
        if (m[at] == 0) {
            ret[text] = '\0';
            return end == 0 ? at + 1 : end;
        }
        ck_assert_uint_lt(at + m[at], len);
        ck_assert_uint_lt(text + m[at] + 1, 256);
        if (text > 0) {
            ret[text++] = '.';
        }
        memcpy(ret + text, m + at + 1, m[at]);
        text += m[at];
        at += 1u + m[at];
    }
}

static void say_data(struct text *t, const uint8_t *m, size_t len, size_t at, unsigned type,
                     size_t n)
{
    char name[256];

    switch (type) {
    case 1:
        ck_assert_uint_eq(n, 4);
        say(t, "A %u.%u.%u.%u", m[at], m[at + 1], m[at + 2], m[at + 3]);
        break;
    case 28:
        ck_assert_uint_eq(n, 16);
        ck_assert_ptr_nonnull(inet_ntop(AF_INET6, m + at, name, sizeof(name)));
        say(t, "AAAA %s", name);
        break;
    case 2:
    case 5:
    case 12:
        ck_assert_uint_eq(get_name(m, len, at, name), at + n);
        say(t, "%s %s", type == 2 ? "NS" : type == 5 ? "CNAME" : "PTR", name);
        break;
    case 6:
        ck_assert_uint_eq(get_name(m, len, get_name(m, len, at, name), name) + 20, at + n);
        say(t, "SOA");
        break;
    case 33:
        ck_assert_uint_eq(get_name(m, len, at + 6, name), at + n);
        say(t, "SRV %u %s", dns_case_get16(m + at + 4), name);
        break;
    default:
        say(t, "type%u", type);
    }
}

/* One record; returns where it ends. */
static size_t say_record(struct text *t, const uint8_t *m, size_t len, size_t at, const char *asked,
                         bool *first)
{
    char name[256];
    size_t fixed = get_name(m, len, at, name);
    size_t n;
    unsigned type;

    ck_assert_uint_le(fixed + 10, len);
    type = dns_case_get16(m + fixed);
    n = dns_case_get16(m + fixed + 8);
    ck_assert_uint_le(fixed + 10 + n, len);
    if (type == 41) {
        ck_assert_str_eq(name, "");
        return fixed + 10 + n;
    }
    ck_assert_uint_eq(dns_case_get16(m + fixed + 2), 1);
    say(t, "%s", *first ? "" : ", ");
    *first = false;
    if (strcmp(name, asked) != 0) {
        say(t, "%s ", name);
    }
    say_data(t, m, len, fixed + 10, type, n);
    return fixed + 10 + n;
}

const char *dns_case_text(const uint8_t *message, size_t len)
{
    static char text[65536];
    static const char *const rcodes[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                         "NXDOMAIN", "NOTIMP",  "REFUSED"};
    struct text t = {text, sizeof(text)};
    char asked[256] = "";
    size_t at = HEADER;
    unsigned flags;

    ck_assert_uint_ge(len, HEADER);
    flags = dns_case_get16(message + 2);
    ck_assert_uint_eq(flags & 0xf870u, 0x8000); /* QR, opcode 0, nothing reserved */
    ck_assert_uint_lt(flags & 15, 6);
    say(&t, "%s%s%s", rcodes[flags & 15], (flags & 0x400) != 0 ? " aa" : "",
        (flags & 0x200) != 0 ? " tc" : "");
    ck_assert_uint_le(dns_case_get16(message + 4), 1);
    if (dns_case_get16(message + 4) == 1) {
        at = get_name(message, len, at, asked) + 4;
    }
    for (unsigned section = 0; section < 3; section++) {
        bool first = true;

        say(&t, " [");
        for (unsigned i = dns_case_get16(message + 6 + 2 * section); i > 0; i--) {
            at = say_record(&t, message, len, at, asked, &first);
        }
        say(&t, "]");
    }
    ck_assert_uint_eq(at, len);
    return text;
}

const char *dns_case_asked(const uint8_t *message, size_t len)
{
    static char asked[256];

    ck_assert_uint_eq(dns_case_get16(message + 4), 1);
    (void)get_name(message, len, HEADER, asked);
    return asked;
}
