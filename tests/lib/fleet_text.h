// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_LIB_FLEET_TEXT_H
#define WHERRY_TESTS_LIB_FLEET_TEXT_H

/* The fleet's inputs from short text, its outputs as short text: for transcripts and properties.
 *
 *   service: NAME [replicas=N] [global] [job] [mem=MIB] [cpu=MILLIS] [pids=N] [in=MBIT] [out=MBIT]
 * [port=N]... [udp=N] [vol=NAME]... [con=KEY==VALUE]... [con=KEY!=VALUE]
 * [dep=NAME[:healthy|:completed]]... [max=N] [binpack] [probe] [rev=N] [image=REF]
 * [ingress=PORT:TARGET]... [dnsrr] [net=NAME[:ALIAS]...[@ADDRESS]]... network:
 * NAME[,external][,attachable][,internal][,subnet=CIDR] node:    NAME [mem=MIB] [cpu=MILLIS] [pids=N] [link=MBIT]
 * [label=K=V]... [image=REF@DIGEST]
 *
 * A node without an image has that of a service without one. A node's id is made from its name; an
 * incarnation is written EPOCH.COUNTER. */

#include "common/buf.h"
#include "controller/core/fleet.h"

#define FLEET_TEXT_LIST 16

struct fleet_text_service {
    struct fleet_want want;
    struct fleet_port ports[FLEET_TEXT_LIST];
    struct fleet_volume_use volumes[FLEET_TEXT_LIST];
    struct fleet_constraint constraints[FLEET_TEXT_LIST];
    struct fleet_dependency depends[FLEET_TEXT_LIST];
    struct fleet_network_use networks[FLEET_TEXT_LIST];
    const char *aliases[FLEET_TEXT_LIST][FLEET_TEXT_LIST];
    char words[1024]; /* what the strings point into */
};

struct fleet_text_node {
    char name[FLEET_NAME];
    struct fleet_facts facts;
    struct fleet_label labels[FLEET_TEXT_LIST];
    struct fleet_image images[FLEET_TEXT_LIST];
    char words[1024];
};

/* Each returns 0, or -EINVAL at a word it does not know. `ret` must not move afterwards. */
int fleet_text_service(const char *text, struct fleet_text_service *ret);
int fleet_text_network(const char *text, struct fleet_network *ret);
int fleet_text_node(const char *text, struct fleet_text_node *ret);

struct id128 fleet_text_id(const char *node_name);
uint64_t fleet_text_incarnation(const char *text); /* "1.3"; 0: not one */

/* Appends "> ..." lines, one per action, in their order; with `revisions` each with the transaction
 * it is part of or waits for. */
void fleet_text_actions(const struct fleet *f, const struct fleet_actions *actions, bool revisions,
                        struct buf *out);
/* Appends what fleet_svc_entry says of every service. */
void fleet_text_services(const struct fleet *f, struct buf *out);
/* Appends one line per slot and per other placement, and one per node. */
void fleet_text_state(const struct fleet *f, struct buf *out);

#endif
