// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_UV_CONTROLLER_H
#define WHERRY_CONTROLLER_UV_CONTROLLER_H

/* The controller around its deciding core: feeds events to the fleet and does what it asks for, in
 * order and never before what it depends on is durable. When a commit fails, or its outcome is not
 * known, the fleet is dropped and loaded again under a higher epoch. */

#include <stdbool.h>
#include <uv.h>

#include "common/err.h"

struct uv_controller;

struct uv_controller_config {
    const char *state_dir;
    const char *listen;   /* "ADDR:PORT" for agents */
    const char *socket;   /* for the API */
    const char *range;    /* NULL: as stored, else the default */
    unsigned node_prefix; /* 0: likewise */
    bool encrypt;         /* from now on; false: as stored */
    /* The store cannot be read any more, in a way that waiting does not help. */
    void (*failed)(void *arg, const struct err *e);
    void *arg;
};

#define UV_CONTROLLER_RANGE       "10.128.0.0/9"
#define UV_CONTROLLER_NODE_PREFIX 22u

/* Takes the state directory, opens the store (a first start makes the cluster), listens, and begins
 * to raise the epoch and load. -EBUSY: another controller has the directory. */
int uv_controller_create(uv_loop_t *loop, const struct uv_controller_config *config,
                         struct uv_controller **ret, struct err *e);

/* The address on which it listens for agents. */
const char *uv_controller_address(const struct uv_controller *c);

/* Finishes what is being stored and ends everything. The loop then runs empty, and only then
 * uv_controller_destroy frees what is left and gives the directory back. */
void uv_controller_close(struct uv_controller *c);
void uv_controller_destroy(struct uv_controller *c); /* accepts NULL */

#endif
