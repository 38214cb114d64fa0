// SPDX-License-Identifier: Apache-2.0
/* What one endpoint's change costs an agent: net_change SERVICES ROUNDS
 *
 * In a network namespace of its own: a table as an agent makes it, for so many services of four
 * endpoints, all of which a container of this node may reach. Then one endpoint after the other
 * ceases to be ready, or begins to be, each through the plan and into the kernel. Prints
 * microseconds: median, least and greatest. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/net/netplan.h"
#include "agent/net/nftset.h"
#include "agent/net/rules.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define ENDPOINTS 4u
#define BLOCK     0x0a800400u
#define OTHERS    0x0a900000u
#define VIPS      0x0af00001u

static const struct netplan_config config = {
    .range = 0x0a800000u, .range_prefix = 9, .block = BLOCK, .block_prefix = 22};
static const struct rules_config rules = {.table = "wherry_bench",
                                          .links = "whb",
                                          .range = 0x0a800000u,
                                          .range_prefix = 9,
                                          .block = BLOCK,
                                          .block_prefix = 22};

struct service {
    struct svc_entry entry;
    struct svc_network network;
    struct svc_endpoint endpoints[ENDPOINTS];
};

static void make_service(struct service *s, unsigned i)
{
    s->network = (struct svc_network){.name = "shop_default", .vip = VIPS + i};
    s->entry = (struct svc_entry){.stack = "shop",
                                  .networks = &s->network,
                                  .n_networks = 1,
                                  .endpoints = s->endpoints,
                                  .n_endpoints = ENDPOINTS};
    (void)snprintf(s->entry.service, sizeof(s->entry.service), "s%u", i);
    for (unsigned k = 0; k < ENDPOINTS; k++) {
        s->endpoints[k] = (struct svc_endpoint){.incarnation = i * ENDPOINTS + k + 1,
                                                .slot = k + 1,
                                                .address = OTHERS + i * ENDPOINTS + k,
                                                .networks = 1,
                                                .ready = true};
    }
}

static struct netplan *make_plan(struct service *list, unsigned n)
{
    static const char *const networks[] = {"shop_default"};
    struct netplan *plan = netplan_create(&config);
    struct netplan_local local = {.incarnation = UINT32_MAX,
                                  .address = BLOCK + 1,
                                  .stack = "shop",
                                  .service = "client",
                                  .slot = 1,
                                  .networks = networks,
                                  .n_networks = 1,
                                  .ready = true};
    struct netplan_diff d = {0};

    netplan_local(plan, &local, &d);
    for (unsigned i = 0; i < n; i++) {
        make_service(&list[i], i);
        netplan_service(plan, "shop", list[i].entry.service, &list[i].entry, &d);
    }
    netplan_diff_finish(&d);
    return plan;
}

static void load_table(const struct netplan *plan)
{
    struct netelems all = {0};
    struct buf text = {0};
    FILE *f;
    char name[] = "/tmp/net_change.XXXXXX";
    int fd = mkstemp(name);
    pid_t pid;
    int status = 0;

    netplan_all(plan, &all);
    rules_table(&rules, rules_limit(netplan_backends_max(plan)), &text);
    rules_elems(&rules, all.list, all.n, &text);
    f = fdopen(fd, "w");
    if (f == NULL || fprintf(f, "%s\n", buf_text(&text)) < 0 || fclose(f) != 0) {
        die("write the table");
    }
    pid = fork();
    if (pid == 0) {
        (void)execlp("nft", "nft", "-f", name, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, &status, 0);
    (void)unlink(name);
    if (status != 0) {
        die("nft does not take the table");
    }
    buf_finish(&text);
    netelems_finish(&all);
}

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double change(struct netplan *plan, struct nftset *set, struct service *s, unsigned k)
{
    struct netplan_diff d = {0};
    struct err e = {0};
    double began = now_us();

    s->endpoints[k].ready = !s->endpoints[k].ready;
    netplan_service(plan, "shop", s->entry.service, &s->entry, &d);
    netplan_diff_settle(&d);
    if (d.removed.n == 0 ||
        nftset_change(set, d.removed.list, d.removed.n, d.added.list, d.added.n, &e) < 0) {
        die("%s", d.removed.n == 0 ? "nothing has changed" : e.text);
    }
    netplan_diff_finish(&d);
    return now_us() - began;
}

static int compare(const void *a, const void *b)
{
    double l = *(const double *)a, r = *(const double *)b;

    return (l > r) - (l < r);
}

int main(int argc, char **argv)
{
    unsigned n = argc == 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    unsigned rounds = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    struct service *list = calloc(n + 1, sizeof(*list));
    double *took = calloc(rounds + 1, sizeof(*took));
    struct netplan *plan;
    struct nftset *set = NULL;
    struct err e = {0};

    if (n == 0 || rounds == 0 || list == NULL || took == NULL) {
        die("usage: net_change SERVICES ROUNDS");
    }
    if (unshare(CLONE_NEWNET) < 0) {
        die("needs root: a network namespace");
    }
    plan = make_plan(list, n);
    load_table(plan);
    if (nftset_open(rules.table, &set, &e) < 0) {
        die("%s", e.text);
    }
    for (unsigned i = 0; i < rounds; i++) {
        took[i] = change(plan, set, &list[i * 7919u % n], i % (ENDPOINTS - 1));
    }
    qsort(took, rounds, sizeof(*took), compare);
    printf("%.1f %.1f %.1f\n", took[rounds / 2], took[0], took[rounds - 1]);
    nftset_close(set);
    netplan_destroy(plan);
    free(list);
    free(took);
    return 0;
}
