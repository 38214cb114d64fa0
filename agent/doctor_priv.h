// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DOCTOR_PRIV_H
#define WHERRY_AGENT_DOCTOR_PRIV_H

/* Shared by the checks: doctor_host.c (kernel, time, space), doctor_link.c (links, ports, routes,
 * names), doctor_rules.c (what others have put into nftables). */

#include "agent/doctor.h"

void doctor_say(struct doctor_result *ret, enum doctor_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_mend(struct doctor_result *ret, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The first line of a file below a root, without its end. False: it is not there. */
bool doctor_line(const char *root, const char *path, char *ret, size_t size);
/* Its number. False: it has none. */
bool doctor_number(const char *root, const char *path, long long *ret);

/* "10.128.0.0/9" */
#define DOCTOR_NET 24
void doctor_net(uint32_t net, unsigned prefix, char ret[DOCTOR_NET]);

/* doctor_host.c */
void doctor_host_kernel(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_userns(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_cgroups(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_ids(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_disk(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_clock(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_vxlan(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_wireguard(const struct doctor_world *w, struct doctor_result *ret);
void doctor_host_conntrack(const struct doctor_world *w, struct doctor_result *ret);

/* doctor_link.c */
void doctor_link_forward(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_rp_filter(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_mtu(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_vxlan_port(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_dns_port(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_resolver(const struct doctor_world *w, struct doctor_result *ret);
void doctor_link_routes(const struct doctor_world *w, struct doctor_result *ret);

/* doctor_rules.c */
void doctor_rules_forward(const struct doctor_world *w, struct doctor_result *ret);
/* What happens to one packet that is forwarded here. */
void doctor_rules_packet(const struct doctor_world *w, const struct nftrules_packet *packet,
                         struct doctor_result *ret);
void doctor_rules_names(const struct doctor_world *w, struct doctor_result *ret);
void doctor_rules_tunnel(const struct doctor_world *w, struct doctor_result *ret);
void doctor_rules_legacy(const struct doctor_world *w, struct doctor_result *ret);

#endif
