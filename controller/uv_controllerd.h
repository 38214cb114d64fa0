// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_CONTROLLERD_H
#define WHERRY_CONTROLLER_UV_CONTROLLERD_H

/* The controller as a process: its loop, its signals, its end. */

#include "controller/uv_controller.h"

/* Runs until SIGTERM or SIGINT. `failed` of the configuration is set here. Returns the exit code.
 */
int uv_controllerd_run(struct uv_controller_config *config);

#endif
