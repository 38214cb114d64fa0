// SPDX-License-Identifier: Apache-2.0
/* The mappings inside of a service but for deploy: health, ports, mounts, dependencies. */
#include "common/compose_parts.h"
#include "common/compose_rule.h"

/* ---- healthcheck ---- */

#define TIME(k, f, low, def, text)                                                                 \
    {                                                                                              \
        .key = (k), .decode = compose_object_millis, .field = "container.healthcheck." f,          \
        .min = (low), .max = COMPOSE_MILLIS_MAX, .preset = (def), .restarts = true, .doc = (text)  \
    }

static const struct compose_row health_rows[] = {
    {.key = "disable",
     .decode = compose_health_disable,
     .field = "container.healthcheck.kind",
     .restarts = true,
     .doc = "whether the image's check is switched off"},
    TIME("interval", "interval_ms", 1, "30s", "time between two checks"),
    {.key = "retries",
     .decode = compose_object_number,
     .field = "container.healthcheck.retries",
     .min = 1,
     .max = COMPOSE_RETRIES_MAX,
     .preset = "3",
     .restarts = true,
     .doc = "failures in a row that make it unhealthy"},
    TIME("start_interval", "start_interval_ms", 1, "5s", "time between checks while it starts"),
    TIME("start_period", "start_period_ms", 0, "0s", "how long failures do not count"),
    {.key = "test",
     .decode = compose_health_test,
     .field = "container.healthcheck.argv",
     .restarts = true,
     .doc = "what is run or asked"},
    TIME("timeout", "timeout_ms", 1, "30s", "how long one check may take"),
};

const struct compose_object compose_table_healthcheck = {
    .name = "a healthcheck",
    COMPOSE_ROWS(health_rows),
    .message = &wherry__spec__service__descriptor,
};

/* ---- ports ---- */

static const struct compose_word protocols[] = {
    {"tcp", WHERRY__SPEC__PROTOCOL__PROTOCOL_TCP},
    {"udp", WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP},
    {0},
};

static const struct compose_word port_modes[] = {
    {"ingress", WHERRY__SPEC__PORT_MODE__PORT_INGRESS},
    {"host", WHERRY__SPEC__PORT_MODE__PORT_HOST},
    {0},
};

static const struct compose_row port_rows[] = {
    {.key = "app_protocol",
     .decode = compose_object_text,
     .field = "app_protocol",
     .restarts = true,
     .doc = "what is spoken on the port"},
    {.key = "host_ip",
     .decode = compose_object_text,
     .field = "host_ip",
     .rule = compose_rule_host_ip,
     .restarts = true,
     .doc = "the host's address; all if nothing is said"},
    {.key = "mode",
     .decode = compose_object_choice,
     .field = "mode",
     .words = port_modes,
     .restarts = true,
     .doc = "ingress: on every host; host: where a replica runs"},
    {.key = "name",
     .decode = compose_object_text,
     .field = "name",
     .restarts = true,
     .doc = "a name for people"},
    {.key = "protocol",
     .decode = compose_object_choice,
     .field = "protocol",
     .words = protocols,
     .restarts = true,
     .doc = "tcp or udp"},
    {.key = "published",
     .decode = compose_object_number,
     .field = "published",
     .min = 1,
     .max = UINT16_MAX,
     .restarts = true,
     .doc = "port of the host"},
    {.key = "target",
     .decode = compose_object_number,
     .field = "target",
     .min = 1,
     .max = UINT16_MAX,
     .required = true,
     .restarts = true,
     .doc = "port in the container"},
};

const struct compose_object compose_table_port = {
    .name = "a port",
    COMPOSE_ROWS(port_rows),
    .message = &wherry__spec__port__descriptor,
};

/* ---- mounts ---- */

static const struct compose_word mount_types[] = {
    {"bind", WHERRY__SPEC__MOUNT_TYPE__MOUNT_BIND},
    {"tmpfs", WHERRY__SPEC__MOUNT_TYPE__MOUNT_TMPFS},
    {"volume", WHERRY__SPEC__MOUNT_TYPE__MOUNT_VOLUME},
    {0},
};

static const struct compose_row bind_rows[] = {
    {.key = "create_host_path",
     .decode = compose_object_flag,
     .field = "create_host_path",
     .restarts = true,
     .doc = "make the directory if it is missing"},
    COMPOSE_ROW_LATER("propagation", .harmless = "rprivate private",
                      .doc = "mounts that pass through"),
    {.key = "recursive",
     .status = COMPOSE_REFUSED,
     .harmless = "enabled",
     .doc = "what is mounted below the path, and whether it can be written"},
    COMPOSE_ROW_LATER("selinux", .doc = "labels of SELinux"),
};

static const struct compose_object bind_table = {
    .name = "a bind mount",
    COMPOSE_ROWS(bind_rows),
    .message = &wherry__spec__mount__descriptor,
};

static const struct compose_row use_rows[] = {
    COMPOSE_ROW_LATER("labels", .doc = "labels of a volume that is made"),
    {.key = "nocopy",
     .decode = compose_object_flag,
     .field = "nocopy",
     .restarts = true,
     .doc = "leave a new volume empty: it always is, nothing is copied from the image"},
    {.key = "subpath",
     .status = COMPOSE_REFUSED,
     .doc = "a part of the volume: all of it would be seen"},
};

static const struct compose_object use_table = {
    .name = "the use of a volume",
    COMPOSE_ROWS(use_rows),
    .message = &wherry__spec__mount__descriptor,
};

static const struct compose_row tmpfs_rows[] = {
    {.key = "mode",
     .decode = compose_mounts_mode,
     .field = "tmpfs_mode",
     .restarts = true,
     .doc = "its file mode in octal, else 1777"},
    {.key = "size",
     .decode = compose_object_bytes,
     .field = "tmpfs_size_bytes",
     .min = 4096,
     .max = COMPOSE_MEMORY_MAX,
     .restarts = true,
     .doc = "its size, else half of the memory limit"},
};

static const struct compose_object tmpfs_table = {
    .name = "a tmpfs",
    COMPOSE_ROWS(tmpfs_rows),
    .message = &wherry__spec__mount__descriptor,
};

static const struct compose_row mount_rows[] = {
    {.key = "bind",
     .decode = compose_object_nested,
     .object = &bind_table,
     .restarts = true,
     .doc = "more about a bind mount"},
    {.key = "consistency", .status = COMPOSE_MOOT, .doc = "without a meaning on Linux"},
    COMPOSE_ROW_LATER("image", .doc = "mounts of an image"),
    {.key = "read_only",
     .decode = compose_object_flag,
     .field = "read_only",
     .restarts = true,
     .doc = "whether it cannot be written"},
    {.key = "source",
     .decode = compose_object_text,
     .field = "source",
     .restarts = true,
     .doc = "the volume's name, or the path on the host"},
    {.key = "target",
     .decode = compose_object_text,
     .field = "target",
     .required = true,
     .restarts = true,
     .doc = "the path in the container"},
    {.key = "tmpfs",
     .decode = compose_object_nested,
     .object = &tmpfs_table,
     .restarts = true,
     .doc = "more about a tmpfs"},
    {.key = "type",
     .decode = compose_object_choice,
     .field = "type",
     .words = mount_types,
     .required = true,
     .restarts = true,
     .doc = "what is mounted: bind, tmpfs or volume"},
    {.key = "volume",
     .decode = compose_object_nested,
     .object = &use_table,
     .restarts = true,
     .doc = "more about a volume"},
};

const struct compose_object compose_table_mount = {
    .name = "a mount",
    COMPOSE_ROWS(mount_rows),
    .message = &wherry__spec__mount__descriptor,
};

/* ---- dependencies ---- */

static const struct compose_word conditions[] = {
    {"service_started", WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_STARTED},
    {"service_healthy", WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_HEALTHY},
    {"service_completed_successfully", WHERRY__SPEC__DEPENDENCY_CONDITION__DEPEND_COMPLETED},
    {0},
};

static const struct compose_row depend_rows[] = {
    {.key = "condition",
     .decode = compose_object_choice,
     .field = "condition",
     .words = conditions,
     .required = true,
     .doc = "how far it must be: service_started, service_healthy, "
            "service_completed_successfully"},
    {.key = "required",
     .decode = compose_object_flag,
     .field = "required",
     .preset = "true",
     .doc = "whether it must exist at all"},
    COMPOSE_ROW_LATER("restart", .harmless = "false",
                      .doc = "whether this service restarts with it"),
};

const struct compose_object compose_table_depend = {
    .name = "a dependency",
    COMPOSE_ROWS(depend_rows),
    .message = &wherry__spec__dependency__descriptor,
};

const struct compose_object *const compose_table_all[] = {
    &compose_table_top,
    &compose_table_service,
    &compose_table_healthcheck,
    &compose_table_port,
    &compose_table_mount,
    &bind_table,
    &use_table,
    &tmpfs_table,
    &compose_table_volume,
    &compose_table_depend,
    &compose_table_deploy,
    &compose_table_resources,
    &compose_table_limits,
    &compose_table_reservations,
    &compose_table_placement,
    &compose_table_restart_policy,
    &compose_table_network,
    &compose_table_network_use,
    &compose_table_ipam,
    &compose_table_ipam_config,
    &compose_table_bandwidth,
    &compose_table_wherry_top,
    &compose_table_wherry_service,
};

const unsigned compose_table_count = sizeof(compose_table_all) / sizeof(compose_table_all[0]);
