// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_COMPOSE_RULE_H
#define WHERRY_COMMON_COMPOSE_RULE_H

/* What single values of a document may be. The reader asks where it has the place in the file, and
 * compose_check asks again of what a stranger sent, so both say the same. Each returns 0, or
 * -EINVAL with what was found and what is allowed. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define COMPOSE_SERVICES_MAX 1000u
#define COMPOSE_REPLICAS_MAX 1000000u
#define COMPOSE_VOLUME_NAME  127u /* "<stack>_<key>" */
#define COMPOSE_MOUNTS_MAX   256u
#define COMPOSE_PORTS_MAX    1024u
#define COMPOSE_PIDS_MAX     4194304u     /* PID_MAX_LIMIT of the kernel */
#define COMPOSE_MEMORY_MIN   (6ull << 20) /* as Docker has it: less starts nothing */
#define COMPOSE_MEMORY_MAX   (1ull << 50)
#define COMPOSE_CPU_MIN      10u /* thousandths of a core: a quota of 1 ms in 100 */
#define COMPOSE_CPU_MAX      10000000u
#define COMPOSE_GRACE_MAX_MS (24ull * 3600 * 1000)
#define COMPOSE_MILLIS_MAX   (30ull * 24 * 3600 * 1000)
#define COMPOSE_PROBE_MIN_MS 1u
#define COMPOSE_RETRIES_MAX  1000u
#define COMPOSE_NETWORKS_MAX 16u /* of one service */
#define COMPOSE_ALIASES_MAX  32u
#define COMPOSE_SUBNETS_MAX  16u
#define COMPOSE_DNS_MAX      3u /* MAXNS of resolv.conf(5) */
#define COMPOSE_SEARCH_MAX   6u
#define COMPOSE_HOSTS_MAX    256u
#define COMPOSE_EGRESS_MAX   64u
#define COMPOSE_RATE_MIN     64000ull        /* bits a second */
#define COMPOSE_RATE_MAX     100000000000ull /* 100 Gbit/s */
#define COMPOSE_UID_MAX      65535u          /* a container has 65,536 ids */

int compose_rule_name(const char *text, struct err *e);
int compose_rule_volume_name(const char *text, struct err *e);
int compose_rule_image(const char *text, struct err *e);
int compose_rule_hostname(const char *text, struct err *e);    /* may be empty */
int compose_rule_user(const char *text, struct err *e);        /* may be empty */
int compose_rule_path(const char *text, struct err *e);        /* absolute and clean */
int compose_rule_working_dir(const char *text, struct err *e); /* a path, or empty */
int compose_rule_target(const char *text, struct err *e);      /* a path that may be mounted on */
int compose_rule_host_ip(const char *text, struct err *e);     /* IPv4, or empty */
int compose_rule_capability(const char *text, struct err *e);  /* "NET_RAW", "ALL" */
int compose_rule_variable(const char *text, struct err *e);    /* name of a variable */
int compose_rule_label(const char *text, struct err *e);       /* key of a label */
int compose_rule_constraint_key(const char *text, struct err *e);
int compose_rule_http_path(const char *text, struct err *e);
int compose_rule_http_host(const char *text, struct err *e); /* may be empty */

/* compose_rule_net.c */
int compose_rule_network_name(const char *text, struct err *e);
int compose_rule_alias(const char *text, struct err *e);        /* a host name in lower case */
int compose_rule_domain(const char *text, struct err *e);       /* may be empty */
int compose_rule_word(const char *text, struct err *e);         /* no blanks */
int compose_rule_ipv4(const char *text, struct err *e);         /* of a host */
int compose_rule_mac(const char *text, struct err *e);          /* of one station; or empty */
int compose_rule_host_address(const char *text, struct err *e); /* IPv4, IPv6, "host-gateway" */
int compose_rule_cidr(const char *text, struct err *e);         /* "192.0.2.0/24", "192.0.2.1" */
int compose_rule_subnet(const char *text, struct err *e); /* a network of 4 to 2^24 addresses */

/* Network and prefix of a text that passed compose_rule_cidr; host order. */
void compose_rule_read_cidr(const char *text, uint32_t *ret_net, unsigned *ret_prefix);

#endif
