// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CORE_FLEET_WANT_H
#define WHERRY_CONTROLLER_CORE_FLEET_WANT_H

/* What the deciding core needs of a service's document, as plain C: what is decided upon, and
 * nothing else. Made once by a codec; equality of documents is equality of their digests. */

#include <stdbool.h>
#include <stdint.h>

#include "common/svc.h"

#define FLEET_DIGEST       32
#define FLEET_NAME         64  /* a valid name and its end */
#define FLEET_VOLUME       128 /* "<stack>_<key>" */
#define FLEET_IMAGE_DIGEST 80  /* "sha256:<hex>" */
#define FLEET_TEXT         512 /* one sentence */

#define FLEET_REPLICAS_MAX 1000000u
#define FLEET_SERVICES_MAX 1000u /* of one stack */
#define FLEET_STACKS_MAX   10000u
#define FLEET_NODES_MAX    10000u
#define FLEET_ORPHANS_MAX  8192u /* of one node */
#define FLEET_SUBNETS_MAX  16u   /* of one network */

#define FLEET_MEMORY_DEFAULT (64ull << 20)
#define FLEET_PIDS_DEFAULT   64ull

enum fleet_mode { FLEET_REPLICATED, FLEET_GLOBAL, FLEET_JOB, FLEET_GLOBAL_JOB };
enum fleet_strategy { FLEET_SPREAD, FLEET_BINPACK };
enum fleet_condition { FLEET_DEPEND_STARTED, FLEET_DEPEND_HEALTHY, FLEET_DEPEND_COMPLETED };

struct fleet_reserve {
    uint64_t memory_bytes;
    uint64_t cpu_millis;
    uint64_t pids;
    uint64_t bits_in; /* a second of the link, into it; of a node 0: not declared, not counted */
    uint64_t bits_out;
};

/* A port of the host. It belongs to one service on a node; that service's replicas share it. One
 * that is published on every node (ingress) belongs to one service in the cluster. */
struct fleet_port {
    bool udp;
    bool ingress;
    uint16_t port;    /* not 0 */
    uint16_t target;  /* in the container */
    uint32_t host_ip; /* IPv4 in host order; 0: every address of the host */
};

struct fleet_volume_use {
    char name[FLEET_VOLUME];
    bool external; /* must exist already */
};

/* A network that a replica is on, by its name in the cluster. */
struct fleet_network_use {
    char name[SVC_NETWORK_MAX];
    const char *const *aliases;
    unsigned n_aliases;
    uint32_t address; /* the one asked for it, IPv4 in host order; 0: none */
    bool internal;
    bool ipv6;
};

struct fleet_subnet {
    uint32_t net; /* IPv4 in host order */
    unsigned prefix;
};

/* A network that a stack declares, or joins. */
struct fleet_network {
    char name[SVC_NETWORK_MAX];
    bool external; /* another stack declares it */
    bool attachable;
    bool internal;
    bool ipv6;
    struct fleet_subnet subnets[FLEET_SUBNETS_MAX]; /* what addresses may be asked for of */
    unsigned n_subnets;
};

/* What one replica takes on a node. */
struct fleet_ask {
    struct fleet_reserve reserve; /* memory 0: 64 MiB; pids 0: 64 */
    const struct fleet_port *ports;
    unsigned n_ports;
    const struct fleet_volume_use *volumes; /* named volumes only */
    unsigned n_volumes;
    const struct fleet_network_use *networks; /* by name, at most SVC_NETWORKS_MAX */
    unsigned n_networks;
    bool linked; /* takes an address of its node's block */
};

struct fleet_constraint {
    const char *key; /* node.id, node.hostname, node.platform.os, .arch, node.labels.<key> */
    const char *value;
    bool negated;
};

struct fleet_dependency {
    char service[FLEET_NAME];
    enum fleet_condition condition;
    bool required;
};

/* As input everything is borrowed; the core keeps a copy. */
struct fleet_want {
    char service[FLEET_NAME];
    uint8_t revision[FLEET_DIGEST]; /* of the Container: another one replaces the containers */
    uint8_t digest[FLEET_DIGEST];   /* of the whole Service */
    const char *image;              /* a name as in the nodes' facts, or "[name]@digest" */
    enum fleet_mode mode;
    uint32_t replicas;     /* FLEET_REPLICATED, FLEET_JOB */
    uint32_t max_per_node; /* 0: no bound */
    enum fleet_strategy strategy;
    enum svc_balance balance;
    bool has_probe; /* the document names one; an image's own shows in what is observed */
    uint64_t stop_grace_ms;
    struct fleet_ask ask;
    const struct fleet_constraint *constraints;
    unsigned n_constraints;
    const struct fleet_dependency *depends;
    unsigned n_depends;
};

#endif
