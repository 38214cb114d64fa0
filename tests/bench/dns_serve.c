// SPDX-License-Identifier: Apache-2.0
/* The agent's name server alone, over a table of services, for measuring:
 *
 *     dns_serve ADDRESS PORT SERVICES
 *
 * "s0.shop", "s1.shop", ... have virtual addresses; whoever asks from 127.0.0.0/8 is on their
 * network. Says "ready", and ends with its standard input. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "agent/dns/uv_dns.h"
#include "common/cleanup.h"

static const char *const networks[] = {"shop_default"};

static bool who_asks(void *arg, uint32_t address, struct dns_asker *ret, const uint32_t **resolvers,
                     unsigned *ret_n)
{
    (void)arg;
    (void)resolvers;
    (void)ret_n;
    *ret = (struct dns_asker){.networks = networks, .n_networks = 1, .stack = "shop"};
    return address >> 24 == 127;
}

static void fill(struct dns_names *names, struct svc_entry *entries, struct svc_network *nets,
                 unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(nets[i].name, sizeof(nets[i].name), "%s", networks[0]);
        nets[i].vip = 0x0af00001 + i;
        entries[i].networks = &nets[i];
        entries[i].n_networks = 1;
        (void)snprintf(entries[i].stack, sizeof(entries[i].stack), "shop");
        (void)snprintf(entries[i].service, sizeof(entries[i].service), "s%u", i);
        dns_names_service(names, entries[i].stack, entries[i].service, &entries[i]);
    }
}

static struct uv_dns *dns;

static void on_input(uv_poll_t *input, int status, int events)
{
    char byte;

    (void)status;
    (void)events;
    if (read(STDIN_FILENO, &byte, 1) <= 0) {
        uv_dns_close(dns, NULL, NULL);
        uv_close((uv_handle_t *)input, NULL);
    }
}

int main(int argc, char **argv)
{
    unsigned n = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    auto_free struct svc_entry *entries = xcalloc(n + 1, sizeof(*entries));
    auto_free struct svc_network *nets = xcalloc(n + 1, sizeof(*nets));
    struct uv_dns_config config = {.resolv_conf = "/dev/null", .asker = who_asks};
    uv_loop_t loop;
    uv_poll_t input;
    struct err e;

    if (argc != 4) {
        fprintf(stderr, "usage: dns_serve ADDRESS PORT SERVICES\n");
        return 2;
    }
    config.address = argv[1];
    config.port = (uint16_t)strtoul(argv[2], NULL, 10);
    config.names = dns_names_create(0x0a800000, 9);
    fill(config.names, entries, nets, n);
    (void)uv_loop_init(&loop);
    if (uv_dns_create(&loop, &config, &dns, &e) < 0) {
        fprintf(stderr, "dns_serve: %s\n", e.text);
        return 1;
    }
    (void)uv_poll_init(&loop, &input, STDIN_FILENO);
    (void)uv_poll_start(&input, UV_READABLE, on_input);
    puts("ready");
    (void)fflush(stdout);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    dns_names_destroy(config.names);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
