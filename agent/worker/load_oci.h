// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LOAD_OCI_H
#define WHERRY_AGENT_WORKER_LOAD_OCI_H

/* Images of an OCI layout (image specification 1.1, image-layout.md): index.json, and blobs by
 * digest. Each entry for this platform is one image; of an index inside, the first that fits. */

#include "agent/worker/load_priv.h"

int load_oci(struct run *run, struct err *e);

#endif
