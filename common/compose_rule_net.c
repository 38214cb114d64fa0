// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/compose_rule.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define SHOWN  "\"%.100s\""

int compose_rule_network_name(const char *text, struct err *e)
{
    size_t len = strlen(text);

    if (len > 0 && len <= COMPOSE_VOLUME_NAME && strspn(text, LOWER DIGITS "_.-") == len &&
        strchr("_.-", text[0]) == NULL) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no name of a network (allowed: [a-z0-9][a-z0-9_.-]{0,126})", text);
}

/* Labels of RFC 1035 with the underscore that people use, 253 bytes in all. */
static bool is_domain(const char *text, const char *letters)
{
    if (strlen(text) > 253) {
        return false;
    }
    for (;;) {
        size_t n = strcspn(text, ".");

        if (n == 0 || n > 63 || strspn(text, letters) < n || text[0] == '-' || text[n - 1] == '-') {
            return false;
        }
        if (text[n] == '\0') {
            return true;
        }
        text += n + 1;
    }
}

int compose_rule_alias(const char *text, struct err *e)
{
    if (is_domain(text, LOWER UPPER DIGITS "_-")) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no host name (allowed: letters, digits, '-', '_' and '.', 63 in each "
                         "part, 253 in all)",
                   text);
}

int compose_rule_domain(const char *text, struct err *e)
{
    if (text[0] == '\0' || strcmp(text, ".") == 0 || is_domain(text, LOWER UPPER DIGITS "_-")) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no domain (allowed: like example.org)", text);
}

int compose_rule_word(const char *text, struct err *e)
{
    size_t len = strlen(text);

    if (len > 0 && len <= 64 && strspn(text, LOWER UPPER DIGITS "_-:.") == len) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no option (allowed: like ndots:2, 64 letters)", text);
}

static bool read_ipv4(const char *text, uint32_t *ret)
{
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) != 1) {
        return false;
    }
    *ret = ntohl(in.s_addr);
    return true;
}

int compose_rule_ipv4(const char *text, struct err *e)
{
    uint32_t address;

    if (read_ipv4(text, &address) && address >> 24 != 0 && address >> 28 < 0xe) {
        return 0;
    }
    return err_say(e, EINVAL, SHOWN " is no IPv4 address of a host (allowed: like 192.0.2.1)",
                   text);
}

int compose_rule_mac(const char *text, struct err *e)
{
    unsigned byte[6];
    char rest;

    if (text[0] == '\0') {
        return 0;
    }
    if (strlen(text) == 17 && strspn(text, DIGITS "abcdefABCDEF:") == 17 &&
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &rest) == 6 &&
        (byte[0] & 1) == 0 && (byte[0] | byte[1] | byte[2] | byte[3] | byte[4] | byte[5]) != 0) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no hardware address of one station (allowed: like "
                         "02:42:ac:11:00:02, the first byte even)",
                   text);
}

int compose_rule_host_address(const char *text, struct err *e)
{
    struct in6_addr in6;
    uint32_t in;

    if (read_ipv4(text, &in) || inet_pton(AF_INET6, text, &in6) == 1 ||
        strcmp(text, "host-gateway") == 0) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no address (allowed: an IPv4 or IPv6 address, host-gateway)", text);
}

static bool read_cidr(const char *text, uint32_t *ret_net, unsigned *ret_prefix)
{
    const char *slash = strchr(text, '/');
    char address[INET_ADDRSTRLEN];
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    size_t digits = slash != NULL ? strlen(slash + 1) : 0;
    unsigned prefix = 32;

    if (len >= sizeof(address)) {
        return false;
    }
    (void)snprintf(address, sizeof(address), "%.*s", (int)len, text);
    if (slash != NULL) {
        if (digits == 0 || digits > 2 || strspn(slash + 1, DIGITS) < digits) {
            return false;
        }
        prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    if (prefix > 32 || !read_ipv4(address, ret_net)) {
        return false;
    }
    *ret_prefix = prefix;
    return prefix == 0 ? *ret_net == 0 : prefix == 32 || *ret_net << prefix == 0;
}

int compose_rule_cidr(const char *text, struct err *e)
{
    uint32_t net;
    unsigned prefix;

    if (read_cidr(text, &net, &prefix)) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no network (allowed: like 192.0.2.0/24, no bits after the prefix)",
                   text);
}

/* An address that a file asks for leads to its container from every node. So it is none by which
 * the world outside is reached: no file takes anybody's 192.0.2.53 away from the others. */
static bool is_private(uint32_t net, unsigned prefix)
{
    static const struct {
        uint32_t net;
        unsigned prefix;
    } list[] = {{0x0a000000u, 8}, {0xac100000u, 12}, {0xc0a80000u, 16}, {0x64400000u, 10}};

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (prefix >= list[i].prefix && (net ^ list[i].net) >> (32 - list[i].prefix) == 0) {
            return true;
        }
    }
    return false;
}

int compose_rule_subnet(const char *text, struct err *e)
{
    uint32_t net;
    unsigned prefix;

    if (read_cidr(text, &net, &prefix) && prefix <= 30 && is_private(net, prefix)) {
        return 0;
    }
    return err_say(e, EINVAL,
                   SHOWN " is no subnet (allowed: like 10.5.0.0/24, prefixes 8 to 30, inside of "
                         "10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16)",
                   text);
}

void compose_rule_read_cidr(const char *text, uint32_t *ret_net, unsigned *ret_prefix)
{
    *ret_net = 0;
    *ret_prefix = 32;
    (void)read_cidr(text, ret_net, ret_prefix);
}
