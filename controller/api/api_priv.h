// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_API_PRIV_H
#define WHERRY_CONTROLLER_API_PRIV_H

/* Shared by the api files: one call on its way to its handler. */

#include "controller/api/api.h"

#define API_PARTS_MAX 2

struct api_call {
    const struct api_world *world;
    const struct api_request *request;
    char parts[API_PARTS_MAX]
              [FLEET_VOLUME]; /* what stands for "*" in the row's path; "": nothing */
    struct api_answer *ret;
};

typedef void (*api_handler)(struct api_call *call);

/* The value of a parameter; NULL: it is not given. */
const char *api_param(const struct api_call *call, const char *name);
/* A number of at most `max`; `otherwise` if it is not given. False: it is none, and that is the
 * answer. */
bool api_param_number(struct api_call *call, const char *name, uint64_t max, uint64_t otherwise,
                      uint64_t *ret);
/* "1", "true", or given without a value; "0", "false". False as above. */
bool api_param_flag(struct api_call *call, const char *name, bool *ret);

/* Indices of what the parameters "stack" and "service" or the path names; -1: not given. False:
 * there is none of that name, and that is the answer. */
bool api_find(struct api_call *call, const char *stack, const char *service, int *ret_stack,
              int *ret_service);

/* api_read.c */
void api_read_version(struct api_call *call);
void api_read_status(struct api_call *call);
void api_read_containers(struct api_call *call);
void api_read_nodes(struct api_call *call);
void api_read_volumes(struct api_call *call);
void api_read_networks(struct api_call *call);
void api_read_network(struct api_call *call);
void api_read_inspect(struct api_call *call);
void api_read_logs(struct api_call *call);
void api_read_events(struct api_call *call);

/* api_gather.c */
void api_gather_doctor(struct api_call *call);
void api_gather_stats(struct api_call *call);
void api_gather_check(struct api_call *call);

/* api_change.c */
void api_change_apply(struct api_call *call);
void api_change_delete(struct api_call *call);
void api_change_lost(struct api_call *call);
void api_change_forget(struct api_call *call);

#endif
