// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_LOAD_SAVED_H
#define WHERRY_AGENT_WORKER_LOAD_SAVED_H

/* Images of an archive that `docker save` wrote before it wrote OCI layouts: manifest.json names
 * configuration and layers. There is no manifest digest, so the configuration's is the image's. */

#include "agent/worker/load_priv.h"

int load_saved(struct run *run, struct err *e);

#endif
