// SPDX-License-Identifier: Apache-2.0
#include "agent/plan_sandbox.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capnames.h"
#include "agent/etcfiles.h"
#include "agent/idrange.h"
#include "agent/shim/plan_build.h"
#include "agent/shim/plan_of_order.h"
#include "common/cleanup.h"
#include "common/compose_rule.h"
#include "common/rate.h"
#include "spec.pb-c.h"

void plan_sandbox_finish(struct plan_sandbox *s)
{
    sysfilter_finish(&s->filters);
}

/* ---- names ---- */

/* The cgroups of a run. Owns the paths. */
struct groups {
    struct plan_cgroup list[CGROUPS_TREES_MAX];
    char *paths[CGROUPS_TREES_MAX];
    unsigned n;
};

static void groups_init(struct groups *ret, const struct cgroups *g, const char *name)
{
    *ret = (struct groups){.n = g->n_trees};
    for (unsigned i = 0; i < g->n_trees; i++) {
        ret->paths[i] = cgroups_path(g, i, name);
        ret->list[i] = (struct plan_cgroup){
            .path = ret->paths[i],
            .v2 = g->kind == CGROUPS_V2,
            .freezer = (g->trees[i].controllers & CGROUPS_FREEZER) != 0,
            .attach = true,
        };
    }
}

static void groups_finish(struct groups *groups)
{
    for (unsigned i = 0; i < groups->n; i++) {
        free(groups->paths[i]);
    }
}

#define auto_groups __attribute__((cleanup(groups_finish)))

static_assert(CGROUPS_TREES_MAX >= PLAN_CGROUPS_MAX, "a plan refuses what is too much");

/* ---- limits ---- */

static struct cgroups_want want_of(const struct order *order)
{
    const Wherry__Spec__Limits *limits = order_spec(order)->limits;

    return limits == NULL ? (struct cgroups_want){0}
                          : (struct cgroups_want){.memory_bytes = limits->memory_bytes,
                                                  .cpu_millis = limits->cpu_millis,
                                                  .pids = limits->pids};
}

static unsigned limits_of(const struct cgroups *g, const struct order *order,
                          struct cgroups_write *writes, struct plan_limit *ret)
{
    struct cgroups_want want = want_of(order);
    unsigned n = cgroups_limits(g, &want, writes);

    for (unsigned i = 0; i < n; i++) {
        ret[i] = (struct plan_limit){
            .dir = writes[i].tree, .file = writes[i].file, .value = writes[i].value};
    }
    return n;
}

/* What the kernel counts OOM kills of the container in. */
static char *oom_file(const struct cgroups *g, const char *name)
{
    for (unsigned i = 0; i < g->n_trees; i++) {
        if ((g->trees[i].controllers & CGROUPS_MEMORY) != 0) {
            auto_free char *dir = cgroups_path(g, i, name);

            return xasprintf("%s/%s", dir,
                             g->kind == CGROUPS_V2 ? "memory.events" : "memory.oom_control");
        }
    }
    return xstrdup("");
}

/* On v2 the shim is born in its group (shimspawn.h): writing itself there would block it. */
static unsigned shim_tasks(const struct cgroups *g, char **ret)
{
    unsigned n = 0;

    for (; g->kind != CGROUPS_V2 && n < g->n_trees; n++) {
        auto_free char *dir = cgroups_path(g, n, CGROUPS_SHIMS);

        ret[n] = xasprintf("%s/tasks", dir);
    }
    return n;
}

/* ---- privileges ---- */

int plan_sandbox_caps(const struct order *order, uint64_t *ret, struct err *e)
{
    const Wherry__Spec__Container *spec = order_spec(order);

    return capnames_apply(capnames_default(true), spec->cap_add, spec->n_cap_add, spec->cap_drop,
                          spec->n_cap_drop, ret, e);
}

static int add_privileges(struct plan_sandbox *s, const struct order *order,
                          struct plan_process *ret, struct err *e)
{
    const struct buf *filter;
    int rc = plan_sandbox_caps(order, &ret->caps, e);

    rc = rc < 0 ? rc : sysfilter_get(&s->filters, ret->caps, &filter, e);
    if (rc == 0) {
        ret->bpf = filter->data;
        ret->n_bpf = (unsigned)(filter->len / sizeof(struct sock_filter));
    }
    return rc;
}

/* ---- plans ---- */

/* What a plan's input borrows besides. */
struct lent {
    struct plan_of_order of_order;
    struct groups groups;
    struct cgroups_write writes[CGROUPS_WRITES_MAX];
    struct plan_limit limits[CGROUPS_WRITES_MAX];
    const char *view[CGROUPS_TREES_MAX];
    char *tasks[CGROUPS_TREES_MAX];
    unsigned n_tasks;
    char *run_path;
    char *base_path;
    char *oom_file;
    char *hosts;
    char *resolv_conf;
};

static void lent_finish(struct lent *l)
{
    plan_of_order_finish(&l->of_order);
    groups_finish(&l->groups);
    for (unsigned i = 0; i < l->n_tasks; i++) {
        free(l->tasks[i]);
    }
    free(l->run_path);
    free(l->base_path);
    free(l->oom_file);
    free(l->hosts);
    free(l->resolv_conf);
}

#define auto_lent __attribute__((cleanup(lent_finish)))

static void add_groups(const struct cgroups *g, const struct order *order, const char *name,
                       struct lent *l, struct plan_input *in)
{
    groups_init(&l->groups, g, name);
    l->oom_file = oom_file(g, name);
    l->n_tasks = shim_tasks(g, l->tasks);
    in->cgroups = l->groups.list;
    in->n_cgroups = l->groups.n;
    in->writes = l->limits;
    in->n_writes = limits_of(g, order, l->writes, l->limits);
    in->oom_file = l->oom_file;
    in->shim_tasks = (const char *const *)l->tasks;
    in->n_shim_tasks = l->n_tasks;
    in->view_v2 = g->kind == CGROUPS_V2;
    in->view = l->view;
    for (unsigned i = 0; !in->view_v2 && i < g->n_trees; i++) {
        l->view[in->n_view++] = g->trees[i].names;
    }
}

/* What the document says of names; the arrays live as long as `ret`. */
struct told {
    struct etcfiles_names names;
    const char *extra[COMPOSE_HOSTS_MAX][2];
    uint32_t servers[COMPOSE_DNS_MAX];
    const char *search[COMPOSE_SEARCH_MAX];
    const char *options[COMPOSE_SEARCH_MAX];
};

static void tell_names(const struct plan_sandbox_run *run, struct told *ret)
{
    struct etcfiles_names *n = &ret->names;
    struct order_network_use use;

    *n = (struct etcfiles_names){.hostname = run->hostname,
                                 .domainname = order_domainname(run->order),
                                 .address = run->address,
                                 .ipv6 = run->ipv6,
                                 .extra = (const char *const(*)[2])ret->extra,
                                 .named = order_network_use(run->order, 0, &use),
                                 .host_network = order_network(run->order) == ORDER_NETWORK_HOST,
                                 .servers = ret->servers,
                                 .search = ret->search,
                                 .options = ret->options};
    while (n->n_extra < COMPOSE_HOSTS_MAX &&
           (ret->extra[n->n_extra][0] =
                order_extra_host(run->order, n->n_extra, &ret->extra[n->n_extra][1])) != NULL) {
        n->n_extra++;
    }
    while (n->n_servers < COMPOSE_DNS_MAX &&
           order_dns(run->order, n->n_servers, &ret->servers[n->n_servers])) {
        n->n_servers++;
    }
    while (n->n_search < COMPOSE_SEARCH_MAX &&
           (ret->search[n->n_search] = order_dns_search(run->order, n->n_search)) != NULL) {
        n->n_search++;
    }
    while (n->n_options < COMPOSE_SEARCH_MAX &&
           (ret->options[n->n_options] = order_dns_opt(run->order, n->n_options)) != NULL) {
        n->n_options++;
    }
}

static void add_places(const struct plan_sandbox *s, const struct plan_sandbox_run *run,
                       const char *name, struct lent *l, struct plan_input *in)
{
    auto_free struct told *told = xcalloc(1, sizeof(*told));

    tell_names(run, told);
    l->run_path = xasprintf("%s/runs/%s", s->run_path, name);
    l->base_path = xasprintf("%s/upper/%s", s->state_path, name);
    l->hosts = etcfiles_hosts(&told->names);
    l->resolv_conf = etcfiles_resolv_conf("/etc/resolv.conf", &told->names);
    in->run_path = l->run_path;
    in->base_path = l->base_path;
    in->layers_path = s->layers_path;
    in->dev_path = s->dev_path;
    in->log_path = run->log_path;
    in->hosts = l->hosts;
    in->resolv_conf = l->resolv_conf;
    in->userns_fd = PLAN_SANDBOX_USERNS;
    in->netns_fd = told->names.host_network ? -1 : PLAN_SANDBOX_NETNS;
    in->mntns_fd = PLAN_SANDBOX_MNTNS;
}

int plan_sandbox_start(struct plan_sandbox *s, const struct plan_sandbox_run *run, struct buf *ret,
                       struct err *e)
{
    auto_free struct plan_input *in = xcalloc(1, sizeof(*in));
    auto_lent struct lent l = {.n_tasks = 0};
    char name[RECORD_NAME_MAX];
    int rc;

    record_name(run->of.incarnation, run->of.run, name);
    in->record = (struct record){.incarnation = run->of.incarnation,
                                 .run = run->of.run,
                                 .ids = run->ids,
                                 .address = run->address};
    memcpy(in->record.boot_id, s->boot_id, sizeof(s->boot_id));
    rc = plan_of_order(run->order, run->image, run->sources, run->hostname, &l.of_order, in, e);
    rc = rc < 0 ? rc : add_privileges(s, run->order, &in->process, e);
    if (rc < 0) {
        return rc;
    }
    add_groups(s->groups, run->order, name, &l, in);
    add_places(s, run, name, &l, in);
    return plan_build(in, ret, e);
}

int plan_sandbox_exec(struct plan_sandbox *s, const struct plan_sandbox_run *run, char *const *argv,
                      unsigned argc, uint32_t timeout_ms, struct buf *ret, struct err *e)
{
    struct plan_exec_input in = {.timeout_ms = timeout_ms};
    struct plan_of_order own = {0};
    auto_groups struct groups groups;
    char name[RECORD_NAME_MAX];
    int rc;

    record_name(run->of.incarnation, run->of.run, name);
    groups_init(&groups, s->groups, name);
    in.cgroups = groups.list;
    in.n_cgroups = groups.n;
    plan_of_order_exec(run->order, run->image, run->hostname, &own, &in.process);
    in.process.argv = (const char *const *)argv;
    in.process.n_argv = argc;
    rc = add_privileges(s, run->order, &in.process, e);
    rc = rc < 0 ? rc : plan_build_exec(&in, ret, e);
    plan_of_order_finish(&own);
    return rc;
}

int plan_sandbox_clean(const struct plan_sandbox *s, struct node_of of, uint32_t timeout_ms,
                       struct buf *ret, struct err *e)
{
    struct plan_clean_input in = {.timeout_ms = timeout_ms};
    auto_groups struct groups groups;
    auto_free char *run_path = NULL, *base_path = NULL;
    char name[RECORD_NAME_MAX];

    record_name(of.incarnation, of.run, name);
    groups_init(&groups, s->groups, name);
    run_path = xasprintf("%s/runs/%s", s->run_path, name);
    base_path = xasprintf("%s/upper/%s", s->state_path, name);
    in.cgroups = groups.list;
    in.n_cgroups = groups.n;
    in.run_path = run_path;
    in.base_path = base_path;
    return plan_build_clean(&in, ret, e);
}

/* ---- what was applied ---- */

static void put_caps(const struct order *order, struct buf *ret)
{
    uint64_t caps = 0;

    (void)plan_sandbox_caps(order, &caps, NULL); /* it has been started with them */
    buf_puts(ret, "capabilities: at most ");
    capnames_text(caps, ret);
    buf_puts(ret, " for root, none for other users\n");
}

static void put_bandwidth(const struct order *order, struct buf *ret)
{
    static const char *const names[] = {"in", "out"};
    uint64_t bits[2];
    bool some = false;

    order_bandwidth(order, &bits[0], &bits[1]);
    buf_puts(ret, "bandwidth: ");
    for (unsigned i = 0; i < 2; i++) {
        char text[RATE_TEXT];

        rate_text(bits[i], text);
        if (bits[i] > 0) {
            buf_printf(ret, "%s%s %s", some ? ", " : "", names[i], text);
            some = true;
        }
    }
    buf_puts(ret, some ? ": applied\n" : "not asked for\n");
}

/* A container runs only if every step of its plan was done, so what is listed is applied. */
void plan_sandbox_controls(const struct plan_sandbox *s, const struct order *order, uint32_t ids,
                           struct buf *ret)
{
    const Wherry__Spec__Container *spec = order_spec(order);
    struct cgroups_want want = want_of(order);
    bool host = order_network(order) == ORDER_NETWORK_HOST;

    buf_printf(ret, "user namespace: applied, ids %u-%u\n", ids, ids + IDRANGE_SIZE - 1);
    buf_puts(ret, "mount, pid, ipc, uts, cgroup and time namespaces: applied\n");
    buf_printf(ret, "network namespace: %s\n", host ? "the host's, as asked for" : "applied");
    put_caps(order, ret);
    buf_puts(ret, "no_new_privs: applied\n"
                  "seccomp: applied\n"
                  "session keyring: applied\n"
                  "masked and read-only paths: applied\n"
                  "nosuid, nodev: applied\n"
                  "devices: the harmless ones, none can be made; control groups have no rules\n"
                  "core dumps: none\n");
    buf_printf(ret, "read-only root: %s\n", spec->read_only ? "applied" : "not asked for");
    cgroups_controls(s->groups, &want, ret);
    if (order_network(order) == ORDER_NETWORK_BRIDGE) {
        put_bandwidth(order, ret);
    }
}
