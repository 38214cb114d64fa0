// SPDX-License-Identifier: Apache-2.0
/* The way from A to B: A's node is asked first, which knows what the name means there; then the
 * nodes of the containers that it leads to. What both say is judged by netcheck.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "controller/api/api_gather.h"
#include "controller/api/api_priv.h"
#include "controller/api/codec_api.h"

#define BACKENDS_MAX 8u
#define SUFFIX       ".wherry.internal"

/* A service, or one container of it, as it is written. */
struct place {
    char stack[FLEET_NAME];
    char service[FLEET_NAME];
    uint32_t slot; /* 0: any */
};

/* ".3" at the end, as the command has it. */
static uint32_t take_slot(char *service)
{
    char *dot = strrchr(service, '.');
    char *end = NULL;
    unsigned long n =
        dot != NULL && dot[1] >= '1' && dot[1] <= '9' ? strtoul(dot + 1, &end, 10) : 0;

    if (n == 0 || *end != '\0' || n > UINT32_MAX) {
        return 0;
    }
    *dot = '\0';
    return (uint32_t)n;
}

/* "shop/web.1". False: it is none. */
static bool read_place(const char *text, struct place *ret)
{
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : 0;

    *ret = (struct place){0};
    if (len == 0 || len >= sizeof(ret->stack) || slash[1] == '\0' ||
        strlen(slash + 1) >= sizeof(ret->service)) {
        return false;
    }
    memcpy(ret->stack, text, len);
    (void)snprintf(ret->service, sizeof(ret->service), "%s", slash + 1);
    ret->slot = take_slot(ret->service);
    return true;
}

static bool find_service(const struct fleet *f, const struct place *p, unsigned *ret_stack,
                         unsigned *ret_service)
{
    int stack = fleet_stack_find(f, p->stack);
    int service = stack >= 0 ? fleet_service_find(f, (unsigned)stack, p->service) : -1;

    if (service < 0) {
        return false;
    }
    *ret_stack = (unsigned)stack;
    *ret_service = (unsigned)service;
    return true;
}

/* A name as a container of `stack` writes it: "web", "web.shop", "3.web", "tasks.web". A service's
 * name may have dots itself. */
static bool guess_place(const struct fleet *f, const char *stack, const char *name,
                        struct place *ret)
{
    char text[API_NAME_MAX];
    char *at = text, *dot;
    unsigned i, k;

    (void)snprintf(text, sizeof(text), "%s", name);
    dot = strstr(text, SUFFIX);
    if (dot != NULL) {
        *dot = '\0';
    }
    *ret = (struct place){0};
    at += strncmp(at, "tasks.", 6) == 0 ? 6 : 0;
    if (*at >= '1' && *at <= '9') {
        char *end;

        ret->slot = (uint32_t)strtoul(at, &end, 10);
        at = *end == '.' ? end + 1 : at;
    }
    (void)snprintf(ret->stack, sizeof(ret->stack), "%s", stack);
    (void)snprintf(ret->service, sizeof(ret->service), "%.*s", (int)sizeof(ret->service) - 1, at);
    if (find_service(f, ret, &i, &k)) {
        return true;
    }
    dot = strrchr(at, '.');
    if (dot == NULL) {
        return false;
    }
    *dot = '\0';
    (void)snprintf(ret->stack, sizeof(ret->stack), "%.*s", (int)sizeof(ret->stack) - 1, dot + 1);
    (void)snprintf(ret->service, sizeof(ret->service), "%.*s", (int)sizeof(ret->service) - 1, at);
    return find_service(f, ret, &i, &k);
}

/* How A names it. */
static void name_for(const char *stack, const struct place *to, char *ret, size_t size)
{
    char slot[16] = "";

    if (to->slot > 0) {
        (void)snprintf(slot, sizeof(slot), "%u.", to->slot);
    }
    if (strcmp(stack, to->stack) == 0) {
        (void)snprintf(ret, size, "%s%s", slot, to->service);
    } else {
        (void)snprintf(ret, size, "%s%s.%s", slot, to->service, to->stack);
    }
}

/* ---- containers ---- */

struct chosen {
    uint32_t slot; /* 0: any */
    struct fleet_placement_view list[BACKENDS_MAX];
    unsigned n;
};

/* Those that are ready first; without any the others, so that there is something to look at. */
static void choose(void *arg, const struct fleet_placement_view *p)
{
    struct chosen *c = arg;

    if ((c->slot != 0 && p->slot != c->slot) || p->orphan || !p->current) {
        return;
    }
    if (c->n > 0 && p->ready && !c->list[0].ready) {
        c->n = 0;
    }
    if (c->n < BACKENDS_MAX && (c->n == 0 || p->ready == c->list[0].ready)) {
        c->list[c->n++] = *p;
    }
}

static void choose_of(const struct fleet *f, const struct place *place, struct chosen *ret)
{
    unsigned stack, service;

    *ret = (struct chosen){.slot = place->slot};
    if (find_service(f, place, &stack, &service)) {
        fleet_service_each(f, stack, service, choose, ret);
    }
}

static void put_backends(const struct chosen *c, struct buf *args)
{
    auto_buf struct buf text = {0};

    for (unsigned i = 0; i < c->n; i++) {
        char address[IPRANGE_TEXT];

        iprange_address(c->list[i].observed->address, address);
        if (address[0] != '\0') {
            buf_printf(&text, "%s%s", text.len > 0 ? " " : "", address);
        }
    }
    askrow_put(args, "backends", buf_text(&text));
}

/* ---- questions ---- */

static void ask_from(const struct api_world *w, const struct api_gather *what,
                     struct api_parts *parts)
{
    struct fleet_placement_view a;
    struct api_part *part;
    struct place to = {0};
    struct chosen c = {0};
    char name[API_NAME_MAX];

    if (!fleet_placement_find(w->fleet, what->incarnation, &a)) {
        return; /* it has gone since */
    }
    (void)snprintf(name, sizeof(name), "%s", what->to);
    if (read_place(what->to, &to)) {
        name_for(a.stack, &to, name, sizeof(name));
        choose_of(w->fleet, &to, &c);
    } else if (guess_place(w->fleet, a.stack, what->to, &to)) {
        choose_of(w->fleet, &to, &c);
    }
    part = api_gather_part(parts, a.node_id, a.node_name, "net.from");
    part->incarnation = a.incarnation;
    askrow_putf(&part->args, "incarnation", "%" PRIu64, a.incarnation);
    askrow_put(&part->args, "to", name);
    askrow_putf(&part->args, "port", "%u", what->port);
    put_backends(&c, &part->args);
}

static bool is_asked(const struct api_parts *parts, uint64_t incarnation)
{
    for (unsigned i = 1; i < parts->n; i++) {
        if (parts->list[i].incarnation == incarnation) {
            return true;
        }
    }
    return false;
}

static void ask_to(const struct api_gather *what, const struct fleet_placement_view *from,
                   const struct fleet_placement_view *b, struct api_parts *parts)
{
    struct api_part *part;
    char address[IPRANGE_TEXT];

    if (parts->n > BACKENDS_MAX || is_asked(parts, b->incarnation)) {
        return;
    }
    iprange_address(from->observed->address, address);
    part = api_gather_part(parts, b->node_id, b->node_name, "net.to");
    part->incarnation = b->incarnation;
    askrow_putf(&part->args, "incarnation", "%" PRIu64, b->incarnation);
    askrow_put(&part->args, "from", address);
    askrow_putf(&part->args, "port", "%u", what->port);
}

/* Of the containers that A's node has named, else of those that are meant as far as we know. */
static void ask_tos(const struct api_world *w, const struct api_gather *what,
                    struct api_parts *parts)
{
    auto_buf struct buf rows = {0};
    struct fleet_placement_view a, b;
    const void *row;
    struct place to;
    struct chosen c = {0};
    size_t at = 0, len;

    if (!fleet_placement_find(w->fleet, what->incarnation, &a)) {
        return;
    }
    buf_append(&rows, buf_text(&parts->list[0].rows), parts->list[0].rows.len);
    while (askrow_take(rows.data, rows.len, &at, &row, &len)) {
        if (strcmp(askrow_text(row, len, "fact"), "endpoint") == 0 &&
            strcmp(askrow_text(row, len, "ready"), "1") == 0 &&
            fleet_placement_find(w->fleet, askrow_number(row, len, "incarnation"), &b)) {
            ask_to(what, &a, &b, parts);
        }
    }
    if (parts->n == 1 &&
        (read_place(what->to, &to) || guess_place(w->fleet, a.stack, what->to, &to))) {
        choose_of(w->fleet, &to, &c);
        for (unsigned i = 0; i < c.n; i++) {
            ask_to(what, &a, &c.list[i], parts);
        }
    }
}

void api_gather_check_next(const struct api_world *w, const struct api_gather *what,
                           struct api_parts *parts)
{
    if (parts->n == 0) {
        ask_from(w, what, parts);
    } else if (parts->n == 1) {
        ask_tos(w, what, parts);
    }
}

void api_gather_check_answer(const struct api_world *w, const struct api_gather *what,
                             const struct api_parts *parts, struct api_answer *ret)
{
    (void)w;
    codec_api_net_check(what, parts, &ret->body);
}

/* ---- the request ---- */

static bool find_from(struct api_call *call, const char *text, struct api_gather *to)
{
    struct chosen c = {0};
    struct place place;
    unsigned stack, service;

    if (!read_place(text, &place)) {
        api_error(call->ret, "bad_request",
                  "from=%.100s is no container and no service (STACK/SERVICE or STACK/SERVICE.N)",
                  text);
        return false;
    }
    if (!find_service(call->world->fleet, &place, &stack, &service)) {
        api_error(call->ret, "not_found", "no stack %.64s has a service named %.64s", place.stack,
                  place.service);
        return false;
    }
    choose_of(call->world->fleet, &place, &c);
    if (c.n == 0) {
        api_error(call->ret, "conflict", "%.100s has no container now; `wherry status` says why",
                  text);
        return false;
    }
    to->incarnation = c.list[0].incarnation;
    (void)snprintf(to->from, sizeof(to->from), "%s/%s.%u", c.list[0].stack, c.list[0].service,
                   c.list[0].slot);
    return true;
}

/* Whether a "STACK/SERVICE" that is given names something; host names are for A's node to judge. */
static bool find_to(struct api_call *call, const char *text)
{
    struct place place;
    unsigned stack, service;

    if (strlen(text) >= API_NAME_MAX || text[0] == '\0') {
        api_error(call->ret, "bad_request", "to=… is a name of 1 to %d characters",
                  API_NAME_MAX - 1);
        return false;
    }
    if (strchr(text, '/') != NULL &&
        (!read_place(text, &place) ||
         !find_service(call->world->fleet, &place, &stack, &service))) {
        api_error(call->ret, "not_found", "no service is named %.100s", text);
        return false;
    }
    return true;
}

void api_gather_check(struct api_call *call)
{
    struct api_gather *g = &call->ret->gather;
    const char *from = api_param(call, "from");
    const char *to = api_param(call, "to");
    uint64_t port;

    if (from == NULL || to == NULL) {
        api_error(call->ret, "bad_request", "/v1/net/check needs from=… and to=…");
        return;
    }
    if (!api_param_number(call, "port", UINT16_MAX, 0, &port) || !find_from(call, from, g) ||
        !find_to(call, to)) {
        return;
    }
    g->kind = API_GATHER_CHECK;
    g->port = (uint16_t)port;
    (void)snprintf(g->to, sizeof(g->to), "%s", to);
    call->ret->kind = API_GATHER;
}
