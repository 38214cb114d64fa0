// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_PARTS_H
#define WHERRY_COMMON_COMPOSE_PARTS_H

/* The decoders of keys that have a syntax of their own. The rows name them. */

#include "common/compose_object.h"

/* The row of a key that is not honoured yet. */
#define COMPOSE_ROW_LATER(k, ...)                                                                  \
    {                                                                                              \
        .key = (k), .status = COMPOSE_LATER, __VA_ARGS__                                           \
    }

/* compose_list.c: lists, and mappings that are lists of pairs */
compose_decode compose_list_environment, compose_list_labels;
compose_decode compose_list_argv; /* a list, or text that is split as a shell would */
compose_decode compose_list_capabilities;

/* compose_ports.c, compose_mounts.c: short and long syntax */
compose_decode compose_ports_read;
compose_decode compose_mounts_read, compose_mounts_tmpfs, compose_mounts_mode;

/* compose_health.c */
compose_decode compose_health_read, compose_health_test, compose_health_disable;

/* compose_service.c */
compose_decode compose_service_image, compose_service_restart, compose_service_depends;
compose_decode compose_service_signal, compose_service_constraints, compose_service_delay;

/* compose_stack.c: the top level */
compose_decode compose_stack_name, compose_stack_services, compose_stack_named;
compose_decode compose_stack_external;

/* compose_networks.c */
compose_decode compose_networks_driver, compose_networks_ipam;
compose_decode compose_networks_subnet, compose_networks_use, compose_networks_aliases;
compose_decode compose_networks_mac;
/* What follows from the whole service: the default network, conflicts. */
void compose_networks_complete(struct compose_reader *r, const struct compose_at *at,
                               const struct compose_node *node, Wherry__Spec__Service *service);
/* Gives networks their names in the cluster. */
void compose_networks_finish(struct compose_reader *r);

/* compose_names.c */
compose_decode compose_names_list; /* rule; at most `max` */
compose_decode compose_names_hosts, compose_names_egress, compose_names_rate;

/* One element of a service's list that is written short, as text, or long, as a mapping. */
struct compose_element {
    struct compose_reader *r;
    const struct compose_at *at;
    const struct compose_node *node;
    Wherry__Spec__Service *service;
};

/* Calls one of the two for each element. */
void compose_list_elements(struct compose_reader *r, const struct compose_at *up,
                           const struct compose_node *node, ProtobufCMessage *message,
                           void (*read_short)(const struct compose_element *e, const char *text),
                           void (*read_long)(const struct compose_element *e));

/* The array and count of a repeated field. */
void compose_list_of(struct compose_reader *r, ProtobufCMessage *message, const char *field,
                     void **ret_array, size_t **ret_n);

/* Sorts what has an order in the document, gives volumes their names, fills defaults in. */
void compose_stack_finish(struct compose_reader *r);

#endif
