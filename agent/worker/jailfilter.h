// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_JAILFILTER_H
#define WHERRY_AGENT_WORKER_JAILFILTER_H

/* The system calls that a jailed worker may still make. Others fail with EPERM; those by which a
 * taken-over process would try to get on (exec, ptrace, mount, new namespaces, bpf, sockets for
 * the unpacker …) end it. */

#include "agent/worker/jail.h"
#include "common/err.h"

/* Needs no_new_privs. */
int jailfilter_load(enum jail_kind kind, struct err *e);

#endif
