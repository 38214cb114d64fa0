// SPDX-License-Identifier: Apache-2.0
/* Answers that nodes give together: who is asked what. What they say is put into one answer by
 * codec_api_gather.c; the way between two containers is api_gather_check.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "controller/api/api_gather.h"
#include "controller/api/api_priv.h"
#include "controller/api/codec_api.h"

void api_parts_finish(struct api_parts *parts)
{
    for (unsigned i = 0; i < parts->n; i++) {
        buf_finish(&parts->list[i].args);
        buf_finish(&parts->list[i].rows);
    }
    free(parts->list);
    *parts = (struct api_parts){0};
}

struct api_part *api_gather_part(struct api_parts *parts, struct id128 node_id, const char *node,
                                 const char *kind)
{
    struct api_part *part;

    if (parts->n == parts->cap) {
        parts->cap = parts->cap > 0 ? 2 * parts->cap : 16;
        parts->list = xrealloc(parts->list, parts->cap, sizeof(*parts->list));
    }
    part = &parts->list[parts->n++];
    *part = (struct api_part){.node_id = node_id, .kind = kind};
    (void)snprintf(part->node, sizeof(part->node), "%s", node);
    return part;
}

/* ---- all nodes ---- */

static int name_order(const void *a, const void *b)
{
    return strcmp(((const struct api_part *)a)->node, ((const struct api_part *)b)->node);
}

/* Lost nodes are not missed. */
static void ask_nodes(const struct api_world *w, const struct api_gather *what, const char *kind,
                      struct api_parts *parts)
{
    struct fleet_node_view v;

    for (unsigned i = 0; fleet_node_at(w->fleet, i, &v) && parts->n < API_QUESTIONS_MAX; i++) {
        struct api_part *part;

        if (what->node[0] != '\0' ? strcmp(what->node, v.name) != 0
                                  : v.state == FLEET_NODE_STATE_LOST) {
            continue;
        }
        part = api_gather_part(parts, v.id, v.name, kind);
        askrow_putf(&part->args, "now_unix_ms", "%" PRIu64, w->now_unix_ms);
    }
    if (parts->n > 1) {
        qsort(parts->list, parts->n, sizeof(*parts->list), name_order);
    }
}

void api_gather_next(const struct api_world *w, const struct api_gather *what,
                     struct api_parts *parts)
{
    switch (what->kind) {
    case API_GATHER_DOCTOR:
    case API_GATHER_STATS:
        if (parts->n == 0) {
            ask_nodes(w, what, what->kind == API_GATHER_DOCTOR ? "doctor" : "net.stats", parts);
        }
        return;
    case API_GATHER_CHECK:
        api_gather_check_next(w, what, parts);
        return;
    }
}

void api_gather_answer(const struct api_world *w, const struct api_gather *what,
                       const struct api_parts *parts, struct api_answer *ret)
{
    ret->kind = API_NOW;
    ret->status = 200;
    switch (what->kind) {
    case API_GATHER_DOCTOR:
        codec_api_doctor(parts, &ret->body);
        return;
    case API_GATHER_STATS:
        codec_api_net_stats(parts, &ret->body);
        return;
    case API_GATHER_CHECK:
        api_gather_check_answer(w, what, parts, ret);
        return;
    }
}

/* ---- requests ---- */

static void of_nodes(struct api_call *call, enum api_gather_kind kind)
{
    const char *node = api_param(call, "node");

    if (node != NULL && fleet_node_named(call->world->fleet, node) < 0) {
        api_error(call->ret, "not_found", "no node is named %.64s", node);
        return;
    }
    call->ret->gather = (struct api_gather){.kind = kind};
    (void)snprintf(call->ret->gather.node, sizeof(call->ret->gather.node), "%s",
                   node != NULL ? node : "");
    call->ret->kind = API_GATHER;
}

void api_gather_doctor(struct api_call *call)
{
    of_nodes(call, API_GATHER_DOCTOR);
}

void api_gather_stats(struct api_call *call)
{
    of_nodes(call, API_GATHER_STATS);
}
