// SPDX-License-Identifier: Apache-2.0
/* `deploy` and what is in it, and Wherry's own keys of a service. */
#include "common/compose_parts.h"
#include "common/compose_rule.h"

/* ---- resources ---- */

static const struct compose_row limit_rows[] = {
    {.key = "cpus",
     .decode = compose_object_cpus,
     .field = "container.limits.cpu_millis",
     .min = COMPOSE_CPU_MIN,
     .max = COMPOSE_CPU_MAX,
     .restarts = true,
     .doc = "cores it may use, like 0.5"},
    {.key = "memory",
     .decode = compose_object_bytes,
     .field = "container.limits.memory_bytes",
     .min = COMPOSE_MEMORY_MIN,
     .max = COMPOSE_MEMORY_MAX,
     .restarts = true,
     .doc = "memory it may use, like 64m"},
    {.key = "pids",
     .decode = compose_object_number,
     .field = "container.limits.pids",
     .min = 1,
     .max = COMPOSE_PIDS_MAX,
     .restarts = true,
     .doc = "processes and threads it may have; 1024 if nothing is said"},
};

const struct compose_object compose_table_limits = {
    .name = "limits",
    COMPOSE_ROWS(limit_rows),
    .message = &wherry__spec__service__descriptor,
};

static const struct compose_row reservation_rows[] = {
    {.key = "cpus",
     .decode = compose_object_cpus,
     .field = "reserve_cpu_millis",
     .min = 1,
     .max = COMPOSE_CPU_MAX,
     .doc = "cores that placing sets aside"},
    COMPOSE_ROW_LATER("devices", .doc = "devices that placing sets aside"),
    COMPOSE_ROW_LATER("generic_resources", .doc = "other things that placing sets aside"),
    {.key = "memory",
     .decode = compose_object_bytes,
     .field = "reserve_memory_bytes",
     .min = 1,
     .max = COMPOSE_MEMORY_MAX,
     .doc = "memory that placing sets aside"},
};

const struct compose_object compose_table_reservations = {
    .name = "reservations",
    COMPOSE_ROWS(reservation_rows),
    .message = &wherry__spec__service__descriptor,
};

static const struct compose_row resource_rows[] = {
    {.key = "limits",
     .decode = compose_object_nested,
     .object = &compose_table_limits,
     .doc = "what it may use at most"},
    {.key = "reservations",
     .decode = compose_object_nested,
     .object = &compose_table_reservations,
     .doc = "what must be free where it is placed"},
};

const struct compose_object compose_table_resources = {
    .name = "resources",
    COMPOSE_ROWS(resource_rows),
    .message = &wherry__spec__service__descriptor,
};

/* ---- placement ---- */

static const struct compose_row placement_rows[] = {
    {.key = "constraints",
     .decode = compose_service_constraints,
     .field = "constraints",
     .doc = "nodes it may run on, like node.labels.disk==ssd"},
    {.key = "max_replicas_per_node",
     .decode = compose_object_number,
     .field = "max_replicas_per_node",
     .min = 0,
     .max = COMPOSE_REPLICAS_MAX,
     .doc = "replicas on one node at most; 0: no bound"},
    COMPOSE_ROW_LATER("preferences",
                      .doc = "labels to spread over: replicas are spread over nodes"),
};

const struct compose_object compose_table_placement = {
    .name = "placement",
    COMPOSE_ROWS(placement_rows),
    .message = &wherry__spec__service__descriptor,
};

/* ---- restarts ---- */

static const struct compose_word conditions[] = {
    {"any", WHERRY__SPEC__RESTART_CONDITION__RESTART_ANY},
    {"none", WHERRY__SPEC__RESTART_CONDITION__RESTART_NEVER},
    {"on-failure", WHERRY__SPEC__RESTART_CONDITION__RESTART_ON_FAILURE},
    {0},
};

static const struct compose_row restart_rows[] = {
    {.key = "condition",
     .decode = compose_object_choice,
     .field = "container.restart.condition",
     .words = conditions,
     .restarts = true,
     .doc = "when it is started again: any, none, on-failure"},
    {.key = "delay",
     .decode = compose_service_delay,
     .field = "container.restart.delay_ms",
     .max = COMPOSE_MILLIS_MAX,
     .restarts = true,
     .doc = "wait before a restart; else at once after a good run, then 100 ms to 30 s"},
    {.key = "max_attempts",
     .decode = compose_object_number,
     .field = "container.restart.max_attempts",
     .max = UINT32_MAX,
     .restarts = true,
     .doc = "restarts in a row at most; 0: no end"},
    {.key = "window",
     .decode = compose_object_millis,
     .field = "container.restart.window_ms",
     .max = COMPOSE_MILLIS_MAX,
     .preset = "10s",
     .restarts = true,
     .doc = "a run at least this long counts as a success"},
};

const struct compose_object compose_table_restart_policy = {
    .name = "restart_policy",
    COMPOSE_ROWS(restart_rows),
    .message = &wherry__spec__service__descriptor,
};

/* ---- deploy ---- */

static const struct compose_word modes[] = {
    {"replicated", WHERRY__SPEC__MODE__MODE_REPLICATED},
    {"global", WHERRY__SPEC__MODE__MODE_GLOBAL},
    {"replicated-job", WHERRY__SPEC__MODE__MODE_REPLICATED_JOB},
    {"global-job", WHERRY__SPEC__MODE__MODE_GLOBAL_JOB},
    {0},
};

static const struct compose_word endpoint_modes[] = {
    {"vip", WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_VIP},
    {"dnsrr", WHERRY__SPEC__ENDPOINT_MODE__ENDPOINT_DNSRR},
    {0},
};

static const struct compose_row deploy_rows[] = {
    {.key = "endpoint_mode",
     .decode = compose_object_choice,
     .field = "endpoint_mode",
     .words = endpoint_modes,
     .doc = "vip: one address for the service; dnsrr: its name gives the replicas' own"},
    {.key = "labels",
     .decode = compose_list_labels,
     .field = "labels",
     .doc = "labels of the service"},
    {.key = "mode",
     .decode = compose_object_choice,
     .field = "mode",
     .words = modes,
     .doc = "replicas, one per node, or a job that ends"},
    {.key = "placement",
     .decode = compose_object_nested,
     .object = &compose_table_placement,
     .doc = "where it may run"},
    {.key = "replicas",
     .decode = compose_object_number,
     .field = "replicas",
     .max = COMPOSE_REPLICAS_MAX,
     .doc = "how many run; 1 if nothing is said"},
    {.key = "resources",
     .decode = compose_object_nested,
     .object = &compose_table_resources,
     .doc = "limits and reservations"},
    {.key = "restart_policy",
     .decode = compose_object_nested,
     .object = &compose_table_restart_policy,
     .restarts = true,
     .doc = "whether and when it is started again; wins over restart"},
    COMPOSE_ROW_LATER("rollback_config", .doc = "how a change is taken back"),
    COMPOSE_ROW_LATER("update_config",
                      .doc = "how a change is rolled out: one slot at a time, stop first"),
};

const struct compose_object compose_table_deploy = {
    .name = "deploy",
    COMPOSE_ROWS(deploy_rows),
    .message = &wherry__spec__service__descriptor,
};

/* ---- x-wherry ---- */

static const struct compose_word strategies[] = {
    {"spread", WHERRY__SPEC__STRATEGY__STRATEGY_SPREAD},
    {"binpack", WHERRY__SPEC__STRATEGY__STRATEGY_BINPACK},
    {0},
};

static const struct compose_row bandwidth_rows[] = {
    {.key = "in",
     .decode = compose_names_rate,
     .field = "container.bandwidth.in_bits_per_s",
     .min = COMPOSE_RATE_MIN,
     .max = COMPOSE_RATE_MAX,
     .restarts = true,
     .doc = "what it may be sent, like 10mbit"},
    {.key = "out",
     .decode = compose_names_rate,
     .field = "container.bandwidth.out_bits_per_s",
     .min = COMPOSE_RATE_MIN,
     .max = COMPOSE_RATE_MAX,
     .restarts = true,
     .doc = "what it may send, like 10mbit"},
};

const struct compose_object compose_table_bandwidth = {
    .name = "bandwidth",
    COMPOSE_ROWS(bandwidth_rows),
    .message = &wherry__spec__service__descriptor,
};

static const struct compose_word balances[] = {
    {"random", WHERRY__SPEC__BALANCE__BALANCE_RANDOM},
    {"client", WHERRY__SPEC__BALANCE__BALANCE_CLIENT},
    {0},
};

static const struct compose_row wherry_rows[] = {
    {.key = "balance",
     .decode = compose_object_choice,
     .field = "balance",
     .words = balances,
     .doc = "whom a connection to the service's address meets: random, or by its client"},
    {.key = "bandwidth",
     .decode = compose_object_nested,
     .object = &compose_table_bandwidth,
     .restarts = true,
     .doc = "limits of its link"},
    {.key = "egress",
     .decode = compose_names_egress,
     .field = "container.egress",
     .restarts = true,
     .doc = "where it may go outside of the cluster: allow, deny, or a list of networks"},
    {.key = "placement",
     .decode = compose_object_choice,
     .field = "strategy",
     .words = strategies,
     .preset = "spread",
     .doc = "replicas far from each other, or on few nodes"},
    {.key = "reserve_pids",
     .decode = compose_object_number,
     .field = "reserve_pids",
     .min = 1,
     .max = COMPOSE_PIDS_MAX,
     .doc = "processes that placing sets aside, as deploy.resources.reservations does memory"},
};

const struct compose_object compose_table_wherry_service = {
    .name = "x-wherry of a service",
    COMPOSE_ROWS(wherry_rows),
    .message = &wherry__spec__service__descriptor,
};
