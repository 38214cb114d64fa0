// SPDX-License-Identifier: Apache-2.0
#include "common/compose_parts.h"
#include "common/compose_rule.h"

/* ---- the file ---- */

static const struct compose_row top_rows[] = {
    COMPOSE_ROW_LATER("configs", .doc = "files that services are given"),
    {.key = "include",
     .status = COMPOSE_REFUSED,
     .doc = "other files with more services, and settings of these"},
    COMPOSE_ROW_LATER("models", .doc = "language models that services use"),
    {.key = "name",
     .decode = compose_stack_name,
     .field = "name",
     .rule = compose_rule_name,
     .restarts = true,
     .doc = "the name of the stack"},
    {.key = "networks",
     .decode = compose_stack_networks,
     .object = &compose_table_network,
     .doc = "networks of the stack"},
    COMPOSE_ROW_LATER("secrets", .doc = "secrets that services are given"),
    {.key = "services",
     .decode = compose_stack_services,
     .field = "services",
     .object = &compose_table_service,
     .required = true,
     .doc = "what the stack runs"},
    {.key = "version",
     .status = COMPOSE_MOOT,
     .doc = "version of the file format: obsolete, there is only one"},
    {.key = "volumes",
     .decode = compose_stack_volumes,
     .field = "volumes",
     .object = &compose_table_volume,
     .restarts = true,
     .doc = "volumes with a name, kept on a node"},
};

const struct compose_object compose_table_top = {
    .name = "a Compose file",
    COMPOSE_ROWS(top_rows),
    .message = &wherry__spec__stack__descriptor,
    .wherry = &compose_table_wherry_top,
};

const struct compose_object compose_table_wherry_top = {
    .name = "x-wherry of a file",
    .message = &wherry__spec__stack__descriptor,
};

/* ---- volumes ---- */

static const struct compose_row volume_rows[] = {
    {.key = "driver",
     .status = COMPOSE_REFUSED,
     .harmless = "local",
     .doc = "where the data lives: drivers other than \"local\""},
    {.key = "driver_opts",
     .status = COMPOSE_REFUSED,
     .doc = "where the data lives: the service would begin with an empty volume"},
    {.key = "external",
     .decode = compose_stack_external,
     .field = "external",
     .doc = "whether the volume must exist already"},
    {.key = "labels",
     .decode = compose_list_labels,
     .field = "labels",
     .doc = "labels of the volume"},
    {.key = "name",
     .decode = compose_object_text,
     .field = "name",
     .rule = compose_rule_volume_name,
     .restarts = true,
     .doc = "its name on the node, else STACK_KEY"},
};

const struct compose_object compose_table_volume = {
    .name = "a volume",
    COMPOSE_ROWS(volume_rows),
    .message = &wherry__spec__volume__descriptor,
};

/* ---- networks ---- */

static const struct compose_row network_rows[] = {
    COMPOSE_ROW_LATER("attachable", .harmless = "false", .doc = "use from outside"),
    COMPOSE_ROW_LATER("driver", .harmless = "bridge overlay default", .doc = "kind of the network"),
    COMPOSE_ROW_LATER("driver_opts", .doc = "options of the network"),
    COMPOSE_ROW_LATER("enable_ipv4", .harmless = "true", .doc = "IPv4 switched off"),
    COMPOSE_ROW_LATER("enable_ipv6", .harmless = "false", .doc = "IPv6"),
    COMPOSE_ROW_LATER("external", .harmless = "false", .doc = "a foreign network"),
    {.key = "internal",
     .status = COMPOSE_REFUSED,
     .harmless = "false",
     .doc = "no way out of the network"},
    COMPOSE_ROW_LATER("ipam", .doc = "addresses of the network"),
    COMPOSE_ROW_LATER("labels", .doc = "labels of the network"),
    COMPOSE_ROW_LATER("name", .doc = "name of the network"),
};

const struct compose_object compose_table_network = {
    .name = "a network",
    COMPOSE_ROWS(network_rows),
    .message = &wherry__spec__stack__descriptor,
};
