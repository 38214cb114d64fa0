// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_OPTIONS_H
#define WHERRY_AGENT_OPTIONS_H

/* What the agent is told on its command line: where it keeps things (also by `run`), and who it is
 * in its cluster (only the daemon). Strings are borrowed from argv, but for those noted. */

#include <stdint.h>

#include "agent/optable.h"
#include "common/err.h"
#include "common/log.h"

#define OPTIONS_LABELS_MAX 64
#define OPTIONS_EXIT_USAGE 2
#define OPTIONS_STATE_PATH "/var/lib/wherry"
#define OPTIONS_RUN_PATH   "/run/wherry"
#define OPTIONS_CGROUP     "wherry"
#define OPTIONS_TEXT_MAX   4096

struct options {
    const char *state_path;
    const char *run_path; /* NULL until options_complete */
    const char *cgroup;
    const char *bin_path; /* likewise */
    uint32_t id_base;
    uint32_t id_count; /* 0: all up to the limit */
    enum log_level level;
    /* the daemon's */
    const char *controller;
    const char *name;
    const char *address;
    const char *labels[OPTIONS_LABELS_MAX];
    unsigned n_labels;
    uint64_t bandwidth_bits; /* 0: not declared */
    char *owned[2];          /* what options_complete has made */
};

extern const struct optable_row options_node_rows[];
extern const unsigned options_node_rows_n;
extern const struct optable_row options_daemon_rows[];
extern const unsigned options_daemon_rows_n;

void options_init(struct options *o);
void options_finish(struct options *o);

/* Fills in what was not said: programs lie beside this one; a state directory of one's own has its
 * run directory below it, so that two agents never share one. */
int options_complete(struct options *o, struct err *e);

#endif
