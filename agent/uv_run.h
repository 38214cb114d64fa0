// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_RUN_H
#define WHERRY_AGENT_UV_RUN_H

/* One container in the foreground: an agent without a controller, one placement, its output as it
 * comes, its end as ours. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/options.h"

#define UV_RUN_FAILED 125 /* it could not be run; as other container tools say it */

struct uv_run_options {
    const struct options *node;
    const char *name;      /* NULL: the only one there is (attach) */
    const void *container; /* encoded wherry.spec.Container; attach: NULL */
    size_t container_len;
    bool attach;
    bool detach;
    bool tail_all; /* attach: of its earlier output */
    uint32_t tail;
};

/* Returns the exit code. */
int uv_run_container(const struct uv_run_options *options);

#endif
