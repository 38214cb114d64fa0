// SPDX-License-Identifier: Apache-2.0
#include "agent/cmd_netstats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/netconfig.h"
#include "agent/net/netstats.h"
#include "agent/options.h"
#include "common/askrow.h"
#include "common/cleanup.h"

struct stats_options {
    const char *state_path;
    uint32_t range;
    unsigned range_prefix;
};

static int set_state(void *target, const char *value, struct err *e)
{
    (void)e;
    ((struct stats_options *)target)->state_path = value;
    return 0;
}

static int set_range(void *target, const char *value, struct err *e)
{
    auto_free char *net = xstrdup(value);
    struct stats_options *o = target;
    char *slash = strchr(net, '/');
    struct in_addr in;

    if (slash != NULL) {
        *slash = '\0';
        o->range_prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    if (slash == NULL || o->range_prefix > 32 || inet_pton(AF_INET, net, &in) != 1) {
        return err_say(e, EINVAL, "'%.40s' is no network like 10.128.0.0/9", value);
    }
    o->range = ntohl(in.s_addr);
    return 0;
}

static const struct optable_row rows[] = {
    {"state", 0, "DIR", NULL, set_state},
    {"range", 0, "NETWORK", NULL, set_range},
};

static void put_way(struct buf *out, const char *way, const struct netstats_way *w)
{
    const struct {
        const char *what;
        uint64_t value;
    } fields[] = {{"bytes", w->bytes}, {"packets", w->packets}, {"drops", w->drops}};

    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        auto_free char *key = xasprintf("%s_%s", way, fields[i].what);

        askrow_putf(out, key, "%" PRIu64, fields[i].value);
    }
}

static void put_link(struct buf *out, const struct netstats_link *l, bool connections)
{
    uint32_t a = l->address;

    askrow_putf(out, "incarnation", "%" PRIu64, l->id.incarnation);
    askrow_putf(out, "run", "%u", (unsigned)l->id.run);
    if (a != 0) {
        askrow_putf(out, "address", "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
                    a & 0xff);
    }
    put_way(out, "in", &l->in);
    put_way(out, "out", &l->out);
    if (connections) {
        askrow_putf(out, "connections", "%u", (unsigned)l->connections);
    }
    askrow_end(out);
}

int cmd_netstats_main(int argc, char **argv)
{
    struct stats_options o = {.state_path = OPTIONS_STATE_PATH};
    struct optable_group group = {.rows = rows, .n = ARRAY_LEN(rows), .target = &o};
    char suffix[NET_SUFFIX_MAX + 1];
    auto_buf struct buf out = {0};
    struct netstats stats = {0};
    struct err e = {0};
    int first = argc;
    int rc = optable_parse(&group, 1, argc, argv, &first, &e);

    if (rc != 0 || first < argc) {
        (void)fprintf(stderr, "wherry-agent net-stats: %s\n",
                      rc < 0 ? e.text : "is for the daemon");
        return OPTIONS_EXIT_USAGE;
    }
    netconfig_suffix(o.state_path, suffix);
    if (netstats_read(suffix, o.range, o.range_prefix, &stats, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    for (unsigned i = 0; i < stats.n; i++) {
        put_link(&out, &stats.list[i], stats.connections_known);
    }
    netstats_finish(&stats);
    (void)fwrite(out.data, 1, out.len, stdout);
    return fflush(stdout) != 0;
}
