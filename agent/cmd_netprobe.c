// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_netprobe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/netprobe.h"
#include "agent/options.h"
#include "common/cleanup.h"

struct probe_options {
    bool from; /* A's side */
    const char *state_path;
    const char *range, *address; /* of the cluster, of this host */
    const char *container;
    const char *self, *vip;
    const char *question;
    const char *targets[NETPROBE_TARGETS_MAX];
    unsigned n_targets;
    uint16_t port;
    int pid;
};

static int set_side(void *target, const char *value, struct err *e)
{
    (void)e;
    ((struct probe_options *)target)->from = strcmp(value, "from") == 0;
    return 0;
}

#define SET_TEXT(field)                                                                            \
    static int set_##field(void *target, const char *value, struct err *e)                         \
    {                                                                                              \
        (void)e;                                                                                   \
        ((struct probe_options *)target)->field = value;                                           \
        return 0;                                                                                  \
    }
SET_TEXT(state_path)
SET_TEXT(range)
SET_TEXT(address)
SET_TEXT(container)
SET_TEXT(self)
SET_TEXT(vip)
SET_TEXT(question)

static int set_target(void *target, const char *value, struct err *e)
{
    struct probe_options *o = target;

    if (o->n_targets == NETPROBE_TARGETS_MAX) {
        return err_say(e, E2BIG, "more than %u", NETPROBE_TARGETS_MAX);
    }
    o->targets[o->n_targets++] = value;
    return 0;
}

static int set_number(const char *value, unsigned long max, unsigned long *ret, struct err *e)
{
    char *end;

    *ret = strtoul(value, &end, 10);
    return end != value && *end == '\0' && *ret <= max
               ? 0
               : err_say(e, EINVAL, "'%.40s' is no number up to %lu", value, max);
}

static int set_port(void *target, const char *value, struct err *e)
{
    unsigned long n = 0;
    int rc = set_number(value, UINT16_MAX, &n, e);

    ((struct probe_options *)target)->port = (uint16_t)n;
    return rc;
}

static int set_pid(void *target, const char *value, struct err *e)
{
    unsigned long n = 0;
    int rc = set_number(value, INT32_MAX, &n, e);

    ((struct probe_options *)target)->pid = (int)n;
    return rc;
}

static const struct optable_row rows[] = {
    {"side", 0, "from|to", NULL, set_side},
    {"state", 0, "DIR", NULL, set_state_path},
    {"range", 0, "NETWORK", NULL, set_range},
    {"address", 0, "IP", NULL, set_address},
    {"container", 0, "NAME", NULL, set_container},
    {"self", 0, "IP", NULL, set_self},
    {"vip", 0, "IP", NULL, set_vip},
    {"question", 0, "NAME", NULL, set_question},
    {"target", 0, "IP", NULL, set_target},
    {"port", 0, "N", NULL, set_port},
    {"pid", 0, "N", NULL, set_pid},
};

static uint32_t address_of(const char *text)
{
    struct in_addr in;

    return text != NULL && inet_pton(AF_INET, text, &in) == 1 ? ntohl(in.s_addr) : 0;
}

static void make(const struct probe_options *o, struct netprobe *p)
{
    auto_free char *range = xstrdup(o->range != NULL ? o->range : "");
    auto_free char *ns = xasprintf("/proc/%d/ns/net", o->pid);
    char suffix[NET_SUFFIX_MAX + 1];
    char *slash = strchr(range, '/');

    *p = (struct netprobe){.world = {.proc = "/proc", .sys = "/sys", .etc = "/etc"},
                           .pid = o->pid,
                           .port = o->port,
                           .question = o->question,
                           .container = o->container != NULL ? o->container : ""};
    if (slash != NULL) {
        *slash = '\0';
        p->world.range_prefix = (unsigned)strtoul(slash + 1, NULL, 10);
        p->world.range = address_of(range);
    }
    p->world.address = address_of(o->address);
    p->self = address_of(o->self);
    p->vip = address_of(o->vip);
    for (unsigned i = 0; i < o->n_targets; i++) {
        p->targets[p->n_targets] = address_of(o->targets[i]);
        p->n_targets += p->targets[p->n_targets] != 0;
    }
    netconfig_suffix(o->state_path != NULL ? o->state_path : OPTIONS_STATE_PATH, suffix);
    netconfig_table_name(suffix, p->table, sizeof(p->table));
    netconfig_link_prefix(suffix, p->links);
    netconfig_vxlan_name(suffix, p->vxlan);
    netconfig_wireguard_name(suffix, p->wireguard);
    p->netns = o->pid > 0 ? open(ns, O_RDONLY | O_CLOEXEC) : -1;
}

static void gather(struct netprobe *p, bool from, struct buf *out)
{
    uint64_t counters[RULES_COUNTER_N] = {0};

    if (from) {
        netprobe_try_name(p, out);
    }
    netprobe_way(p, out);
    netprobe_rules(p, from, out);
    if (!from) {
        netprobe_try_listen(p, out);
        return;
    }
    netprobe_rules_counters(p, counters, NULL);
    netprobe_try_connect(p, out);
    netprobe_rules_counters(p, counters, out);
}

int cmd_netprobe_main(int argc, char **argv)
{
    struct probe_options o = {0};
    struct optable_group group = {.rows = rows, .n = ARRAY_LEN(rows), .target = &o};
    auto_buf struct buf out = {0};
    struct netprobe p;
    struct err e = {0};
    int first = argc;
    int rc = optable_parse(&group, 1, argc, argv, &first, &e);

    if (rc != 0 || first < argc) {
        (void)fprintf(stderr, "wherry-agent net-probe: %s\n",
                      rc < 0 ? e.text : "is for the daemon");
        return OPTIONS_EXIT_USAGE;
    }
    make(&o, &p);
    doctor_world_look(&p.world, "nft");
    gather(&p, o.from, &out);
    (void)fwrite(out.data, 1, out.len, stdout);
    doctor_world_finish(&p.world);
    if (p.netns >= 0) {
        (void)close(p.netns);
    }
    return fflush(stdout) != 0;
}
