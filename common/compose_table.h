// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_TABLE_H
#define WHERRY_COMMON_COMPOSE_TABLE_H

/* The tables: for every mapping of the Compose Specification one object, for every key one row. A
 * new key costs a line in spec.proto, a row here, and the code that honours it. Rows are sorted by
 * key; a test refuses holes. */

#include "common/compose_reader.h"

struct compose_row;

/* Reads the value of a row's key into `message`. What is wrong is said through `r`. */
typedef void compose_decode(struct compose_reader *r, const struct compose_row *row,
                            const struct compose_at *at, const struct compose_node *node,
                            ProtobufCMessage *message);

enum compose_status {
    COMPOSE_HONOURED,
    COMPOSE_LATER,   /* not supported yet: a warning, an error if strict */
    COMPOSE_REFUSED, /* not supported, and neglect would weaken isolation or run what nobody asked
                        for: always an error */
    COMPOSE_MOOT,    /* means nothing to a cluster: accepted, by design without effect */
};

/* A word of a choice and its enum value. */
struct compose_word {
    const char *word; /* NULL: the end */
    int value;
};

struct compose_row {
    const char *key;
    enum compose_status status;
    bool restarts; /* a change replaces the containers */
    bool required;
    compose_decode *decode;              /* honoured: never NULL */
    const char *field;                   /* of the object's message: "container.user" */
    const struct compose_object *object; /* its value is a mapping */
    const struct compose_word *words;    /* choice */
    int (*rule)(const char *text, struct err *e);
    uint64_t min, max;    /* number, bytes, milliseconds, thousandths */
    const char *preset;   /* the value when the key is absent */
    const char *harmless; /* not honoured: values that ask for nothing else than what is, separated
                             by blanks */
    const char *doc;      /* what it is, as a phrase; for a refusal what would be lost */
};

struct compose_object {
    const char *name; /* as people call it: "a service" */
    const struct compose_row *rows;
    unsigned n;
    const ProtobufCMessageDescriptor *message; /* what `field` starts from; NULL: no fields */
    const struct compose_object *wherry;       /* `x-wherry` is allowed in it */
};

/* All of them, for tests and documentation. */
extern const struct compose_object *const compose_table_all[];
extern const unsigned compose_table_count;

extern const struct compose_object compose_table_top, compose_table_service,
    compose_table_healthcheck, compose_table_port, compose_table_mount, compose_table_volume,
    compose_table_depend, compose_table_deploy, compose_table_resources, compose_table_limits,
    compose_table_reservations, compose_table_placement, compose_table_restart_policy,
    compose_table_network, compose_table_network_use, compose_table_ipam, compose_table_ipam_config,
    compose_table_bandwidth, compose_table_wherry_top, compose_table_wherry_service;

#define COMPOSE_ROWS(table) .rows = (table), .n = sizeof(table) / sizeof((table)[0])

#endif
