// SPDX-License-Identifier: Apache-2.0
/* Questions of containers. The first byte chooses who asks and how; the rest is the message. What
 * comes out is a whole answer to it within its size, which tells nobody of networks that are not
 * his, or nothing. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/dns.h"
#include "agent/dns/dnsmsg.h"
#include "common/ip6.h"
#include "common/cleanup.h"
#include "common/err.h"

#define SECRET 0x0af0beefu /* an address that only the second asker may learn */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const aliases[] = {"www", "www.example.org"};
static const struct svc_network web_nets[] = {
    {.name = "shop_default", .vip = 0x0af00001, .aliases = aliases, .n_aliases = 2, .ipv6 = true}};
static const struct svc_network db_nets[] = {{.name = "shop_inner"}};
static const struct svc_network secret_nets[] = {{.name = "secret_default", .vip = SECRET}};
static const struct svc_endpoint eps[] = {
    {.incarnation = 1, .slot = 1, .address = 0x0a800011, .networks = 1, .ready = true},
    {.incarnation = 2, .slot = 2, .address = 0x0a800012, .networks = 1, .ready = true},
    {.incarnation = 3, .slot = 7, .address = 0x0a800013, .networks = 1}};
static const struct svc_endpoint secret_eps[] = {
    {.incarnation = 9, .slot = 1, .address = SECRET, .networks = 1, .ready = true}};
static const struct svc_port ports[] = {{.published = 80, .target = 8080}};

static const struct ip6 cluster = {{0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a}};

static const struct svc_entry entries[] = {
    {"shop", "web", SVC_BALANCE_RANDOM, web_nets, 1, eps, 3, ports, 1},
    {"shop", "db", SVC_BALANCE_NONE, db_nets, 1, eps, 3, NULL, 0},
    {"secret", "web", SVC_BALANCE_RANDOM, secret_nets, 1, secret_eps, 1, NULL, 0},
};

static const char *const shop[] = {"shop_default", "shop_inner"};
static const char *const all[] = {"secret_default", "shop_default", "shop_inner"};
static const struct dns_asker askers[] = {{shop, 2, "shop", false},
                                          {all, 3, "secret", false},
                                          {shop, 1, "other", true},
                                          {NULL, 0, "shop", false}};

static struct dns_names *names_of_all(void)
{
    static struct dns_names *names;

    if (names == NULL) {
        names = dns_names_create(0x0a800000, 9);
        dns_names_ip6(names, &cluster);
        for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
            dns_names_service(names, entries[i].stack, entries[i].service, &entries[i]);
        }
    }
    return names;
}

/* Whether it is whole; and what it says is behind its question. */
static void check_answer(const uint8_t *asked, const uint8_t *answer, size_t len, bool may_know)
{
    static const uint8_t secret[] = {SECRET >> 24, SECRET >> 16 & 255, SECRET >> 8 & 255,
                                     SECRET & 255};
    size_t question = DNSMSG_HEADER;
    uint32_t lowest;

    assert(len >= DNSMSG_HEADER);
    assert(memcmp(answer, asked, 2) == 0);
    assert((dnsmsg_get16(answer + 2) & DNSMSG_QR) != 0);
    if (dnsmsg_get16(answer + 4) == 1) {
        while (answer[question] != 0) {
            question += 1u + answer[question];
        }
        question += 5;
        assert(memcmp(asked + DNSMSG_HEADER, answer + DNSMSG_HEADER, question - DNSMSG_HEADER) ==
               0);
    }
    assert(question <= len);
    if (dnsmsg_get16(answer + 6) > 0) {
        auto_free uint8_t *copy = xmalloc(len);

        memcpy(copy, answer, len);
        assert(dnsmsg_ttl(copy, len, 0, &lowest) && lowest <= DNS_TTL);
        assert(!dnsmsg_ttl(copy, len - 1, 0, &lowest)); /* the last record ends where it does */
    }
    assert(may_know || memmem(answer + question, len - question, secret, 4) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned how = size > 0 ? data[0] : 0;
    const struct dns_asker *asker = &askers[how & 3];
    bool tcp = (how & 4) != 0;
    size_t len = size > 0 ? size - 1 : 0;
    size_t room = tcp ? DNS_TCP_MAX : DNS_UDP_MAX;
    auto_free uint8_t *message = xmalloc(len > 0 ? len : 1); /* reading beyond it is seen */
    auto_free uint8_t *answer = xmalloc(room);
    size_t answer_len = 0;

    memcpy(message, data + (size > 0), len);
    if (dns_answer(names_of_all(), asker, message, len, tcp, how, answer, room, &answer_len) ==
        DNS_ANSWERED) {
        assert(answer_len <= room);
        check_answer(message, answer, answer_len, asker == &askers[1]);
    }
    return 0;
}
