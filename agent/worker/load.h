// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LOAD_H
#define WHERRY_AGENT_WORKER_LOAD_H

/* One load from the first byte to the last: source, index, manifest, configuration, layers. Every
 * digest is checked; each layer not known yet is unpacked into a directory of its own below the
 * staging directory. Knows nothing of the process around it. */

#include "agent/codec_worker.h"
#include "common/err.h"

struct load {
    const struct load_job *job;
    int source_fd;
    int staging_fd;
    const char *arch; /* the node's, "amd64" */
    void (*emit)(void *arg, const struct load_event *event);
    void *arg;
};

/* Emits progress, layers and images; not the end. Returns 0, or an error that begins with the
 * label of the source. What was unpacked until then is left in staging. */
int load_run(const struct load *load, struct err *e);

#endif
