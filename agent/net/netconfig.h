// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NETCONFIG_H
#define WHERRY_AGENT_NET_NETCONFIG_H

/* What follows from the configuration of a node's network: whether it makes sense, and what
 * everything is called in the kernel, so that it is found again. Pure. */

#include "agent/net/net.h"

#define NETCONFIG_LINK_NAME 16

/* -EINVAL names the option. */
int netconfig_check(const struct net_config *config, struct err *e);

/* `what` is no address but a network. */
int netconfig_check_net(const char *what, uint32_t net, unsigned prefix, struct err *e);

/* Agents beside each other differ by their state directories: "node" for the usual one. */
void netconfig_suffix(const char *state_path, char ret[NET_SUFFIX_MAX + 1]);

/* "wherry", or "wherry_SUFFIX". */
void netconfig_table_name(const char *suffix, char *ret, size_t size);

/* The host's end of a container's link, and how all of them begin. */
void netconfig_link_prefix(const char *suffix, char ret[NETCONFIG_LINK_NAME]);
void netconfig_link_name(const char *suffix, struct net_id id, char ret[NETCONFIG_LINK_NAME]);

/* The device that limits what comes by a link, and back; likewise of how all of them begin. */
void netconfig_mirror_of_link(const char *link, char ret[NETCONFIG_LINK_NAME]);
void netconfig_link_of_mirror(const char *mirror, char ret[NETCONFIG_LINK_NAME]);

/* It begins otherwise than a container's, because rules know those by their beginning. */
void netconfig_vxlan_name(const char *suffix, char ret[NETCONFIG_LINK_NAME]);

void netconfig_vxlan6_name(const char *suffix, char ret[NETCONFIG_LINK_NAME]);
void netconfig_wireguard_name(const char *suffix, char ret[NETCONFIG_LINK_NAME]);

/* By which our routes are known among those of other agents. */
uint32_t netconfig_metric(const char *suffix);

#endif
