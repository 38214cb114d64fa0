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
     .decode = compose_stack_named,
     .field = "networks",
     .object = &compose_table_network,
     .restarts = true,
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
     .decode = compose_stack_named,
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

static const struct compose_row ipam_config_rows[] = {
    COMPOSE_ROW_LATER("aux_addresses", .doc = "addresses that nobody gets"),
    COMPOSE_ROW_LATER("gateway", .doc = "the gateway: it is 169.254.1.1"),
    COMPOSE_ROW_LATER("ip_range", .doc = "a part of the subnet"),
    {.key = "subnet",
     .decode = compose_networks_subnet,
     .field = "subnets",
     .doc = "what ipv4_address is taken from, like 10.5.0.0/24"},
};

const struct compose_object compose_table_ipam_config = {
    .name = "a subnet",
    COMPOSE_ROWS(ipam_config_rows),
    .message = &wherry__spec__network__descriptor,
};

static const struct compose_row ipam_rows[] = {
    {.key = "config",
     .decode = compose_networks_ipam,
     .field = "subnets",
     .object = &compose_table_ipam_config,
     .doc = "subnets"},
    COMPOSE_ROW_LATER("driver", .harmless = "default", .doc = "who gives addresses"),
    COMPOSE_ROW_LATER("options", .doc = "options of whoever gives addresses"),
};

const struct compose_object compose_table_ipam = {
    .name = "ipam",
    COMPOSE_ROWS(ipam_rows),
    .message = &wherry__spec__network__descriptor,
};

static const struct compose_row network_rows[] = {
    {.key = "attachable",
     .decode = compose_object_flag,
     .field = "attachable",
     .doc = "whether other stacks may use it"},
    {.key = "driver",
     .decode = compose_networks_driver,
     .field = "driver",
     .doc = "bridge or overlay, which mean the same here"},
    COMPOSE_ROW_LATER("driver_opts", .doc = "options of the network"),
    COMPOSE_ROW_LATER("enable_ipv4", .harmless = "true", .doc = "IPv4 switched off"),
    {.key = "enable_ipv6",
     .decode = compose_object_flag,
     .field = "enable_ipv6",
     .restarts = true,
     .doc = "an IPv6 address for its containers, among themselves"},
    {.key = "external",
     .decode = compose_stack_external,
     .field = "external",
     .doc = "whether another stack declares it"},
    {.key = "internal",
     .decode = compose_object_flag,
     .field = "internal",
     .restarts = true,
     .doc = "no way out of the cluster"},
    {.key = "ipam",
     .decode = compose_object_nested,
     .object = &compose_table_ipam,
     .doc = "subnets to take addresses from"},
    {.key = "labels",
     .decode = compose_list_labels,
     .field = "labels",
     .doc = "labels of the network"},
    {.key = "name",
     .decode = compose_object_text,
     .field = "name",
     .rule = compose_rule_network_name,
     .restarts = true,
     .doc = "its name in the cluster, else STACK_KEY"},
};

const struct compose_object compose_table_network = {
    .name = "a network",
    COMPOSE_ROWS(network_rows),
    .message = &wherry__spec__network__descriptor,
};

static const struct compose_row use_rows[] = {
    {.key = "aliases",
     .decode = compose_networks_aliases,
     .field = "aliases",
     .restarts = true,
     .doc = "more names of the service on this network"},
    COMPOSE_ROW_LATER("driver_opts", .doc = "options of the link"),
    COMPOSE_ROW_LATER("gw_priority", .doc = "which network leads out: all are one link"),
    COMPOSE_ROW_LATER("interface_name", .harmless = "eth0", .doc = "the name of the link: eth0"),
    {.key = "ipv4_address",
     .decode = compose_object_text,
     .field = "ipv4_address",
     .rule = compose_rule_ipv4,
     .restarts = true,
     .doc = "an address of the network's subnet"},
    COMPOSE_ROW_LATER("ipv6_address", .doc = "an IPv6 address"),
    COMPOSE_ROW_LATER("link_local_ips", .doc = "link-local addresses"),
    {.key = "mac_address",
     .decode = compose_object_text,
     .field = "mac_address",
     .rule = compose_rule_mac,
     .restarts = true,
     .doc = "hardware address of its link"},
    COMPOSE_ROW_LATER("priority", .doc = "the order of networks: all are one link"),
};

const struct compose_object compose_table_network_use = {
    .name = "a network of a service",
    COMPOSE_ROWS(use_rows),
    .message = &wherry__spec__network_use__descriptor,
};
