// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CODEC_RUN_H
#define WHERRY_AGENT_CODEC_RUN_H

/* What `run` is asked for as a container document (spec.proto, Container). */

#include "agent/runspec.h"
#include "common/buf.h"

/* Appends the canonical encoding. */
void codec_run_encode(const struct runspec *spec, struct buf *out);

#endif
