// SPDX-License-Identifier: Apache-2.0
/* Requests that change nothing. */
#include <stdio.h>
#include <string.h>

#include "controller/api/api_priv.h"
#include "controller/api/codec_api.h"

#define TAIL_MAX 1000000u

void api_read_version(struct api_call *call)
{
    codec_api_version(call->world, &call->ret->body);
}

void api_read_status(struct api_call *call)
{
    int stack, service;

    if (api_find(call, api_param(call, "stack"), NULL, &stack, &service)) {
        codec_api_status(call->world, stack, &call->ret->body);
    }
}

void api_read_containers(struct api_call *call)
{
    const char *of_stack = api_param(call, "stack");
    const char *of_service = api_param(call, "service");
    int stack, service;

    if (of_service != NULL && of_stack == NULL) {
        api_error(call->ret, "bad_request", "service=%.64s needs stack=… beside it", of_service);
        return;
    }
    if (api_find(call, of_stack, of_service, &stack, &service)) {
        codec_api_containers(call->world, stack, service, &call->ret->body);
    }
}

void api_read_nodes(struct api_call *call)
{
    codec_api_nodes(call->world, &call->ret->body);
}

void api_read_volumes(struct api_call *call)
{
    codec_api_volumes(call->world, &call->ret->body);
}

void api_read_networks(struct api_call *call)
{
    codec_api_networks(call->world, &call->ret->body);
}

void api_read_network(struct api_call *call)
{
    if (!codec_api_network(call->world, call->parts[0], &call->ret->body)) {
        api_error(call->ret, "not_found", "no network is named %.127s", call->parts[0]);
    }
}

void api_read_inspect(struct api_call *call)
{
    int stack, service;

    if (api_find(call, call->parts[0], call->parts[1], &stack, &service)) {
        codec_api_inspect(call->world, (unsigned)stack, service, &call->ret->body);
    }
}

/* ---- streams ---- */

static bool logs_tail(struct api_call *call)
{
    const char *text = api_param(call, "tail");
    uint64_t n = 0;

    call->ret->logs.tail_all = text == NULL || strcmp(text, "all") == 0;
    if (!call->ret->logs.tail_all && !api_param_number(call, "tail", TAIL_MAX, 0, &n)) {
        return false;
    }
    call->ret->logs.tail = (uint32_t)n;
    return true;
}

struct sought {
    uint32_t slot;
    bool found;
};

static void seek_placement(void *arg, const struct fleet_placement_view *p)
{
    struct sought *s = arg;

    s->found |= p->slot == s->slot;
}

/* Wanted, or still there. */
static bool has_slot(const struct fleet *f, int stack, int service, uint32_t slot)
{
    struct sought s = {.slot = slot};
    struct fleet_slot_view v;

    for (unsigned i = 0; fleet_slot_at(f, (unsigned)stack, (unsigned)service, i, &v); i++) {
        s.found |= v.number == slot;
    }
    fleet_service_each(f, (unsigned)stack, (unsigned)service, seek_placement, &s);
    return s.found;
}

void api_read_logs(struct api_call *call)
{
    struct api_logs *logs = &call->ret->logs;
    const char *of_stack = api_param(call, "stack");
    const char *of_service = api_param(call, "service");
    int stack, service;
    uint64_t slot;

    if (of_stack == NULL || of_service == NULL || *of_stack == '\0' || *of_service == '\0') {
        api_error(call->ret, "bad_request", "/v1/logs needs stack=… and service=…");
        return;
    }
    if (!api_find(call, of_stack, of_service, &stack, &service) ||
        !api_param_number(call, "slot", UINT32_MAX, 0, &slot) || !logs_tail(call) ||
        !api_param_number(call, "since", UINT64_MAX, 0, &logs->since_unix_ms) ||
        !api_param_flag(call, "follow", &logs->follow)) {
        return;
    }
    if (slot > 0 && !has_slot(call->world->fleet, stack, service, (uint32_t)slot)) {
        api_error(call->ret, "not_found", "service %s/%s has no container %u", of_stack, of_service,
                  (unsigned)slot);
        return;
    }
    (void)snprintf(logs->stack, sizeof(logs->stack), "%s", of_stack);
    (void)snprintf(logs->service, sizeof(logs->service), "%s", of_service);
    logs->slot = (uint32_t)slot;
    call->ret->kind = API_LOGS;
}

void api_read_events(struct api_call *call)
{
    struct api_events *events = &call->ret->events;
    const char *stack = api_param(call, "stack");

    if (!api_param_number(call, "since", UINT64_MAX, 0, &events->since_unix_ms) ||
        !api_param_flag(call, "follow", &events->follow)) {
        return;
    }
    (void)snprintf(events->stack, sizeof(events->stack), "%s", stack != NULL ? stack : "");
    call->ret->kind = API_EVENTS;
}
