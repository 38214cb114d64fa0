// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_PLAN_OF_ORDER_H
#define WHERRY_AGENT_SHIM_PLAN_OF_ORDER_H

/* What a document and an image say about one container, as the values that a plan is built from:
 * Docker's rules for entrypoint, command and environment. Pure. */

#include "agent/image.h"
#include "agent/order.h"
#include "agent/shim/plan_build.h"
#include "common/err.h"

#define PLAN_OF_ORDER_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Owns the arrays that the input then borrows. */
struct plan_of_order {
    char **argv;
    unsigned n_argv;
    char **env;
    unsigned n_env;
    struct plan_mount *mounts;
    unsigned n_mounts;
    const char **layers;
    unsigned n_layers;
};

/* Fills of `ret`: process.{argv,env,cwd,user}, init, read_only, mounts, layers, hostname.
 * `sources`: one host path for each mount of the document (NULL for tmpfs). Borrows from order,
 * image and `sources` as long as `ret` is used. -EINVAL: nothing to execute. */
int plan_of_order(const struct order *order, const struct image *image, const char *const *sources,
                  const char *hostname, struct plan_of_order *ret_own, struct plan_input *ret,
                  struct err *e);

/* Likewise the environment, user and directory of a command run inside (`argv` is the caller's). */
void plan_of_order_exec(const struct order *order, const struct image *image, const char *hostname,
                        struct plan_of_order *ret_own, struct plan_process *ret);

/* Frees; accepts zeroed memory. */
void plan_of_order_finish(struct plan_of_order *own);

#endif
