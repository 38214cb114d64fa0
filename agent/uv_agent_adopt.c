// SPDX-License-Identifier: Apache-2.0
/* The start of an agent, fresh or after a crash, is one path: what is assigned, what the journal
 * remembers, what is found, and that everything has been looked at. All of it is queued and reaches
 * the core in the loop's first turn. Nothing is decided here; what is found is only held on to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_image.h"
#include "agent/uv_agent_priv.h"
#include "common/failpoint.h"
#include "common/log.h"

static void assign_all(struct uv_agent *a)
{
    unsigned n = a->ledger.n_placements;
    struct node_want *wants = xcalloc(n > 0 ? n : 1, sizeof(*wants));

    for (unsigned i = 0; i < n; i++) {
        const struct ledger_placement *p = &a->ledger.placements[i];

        uv_agent_unit_want(uv_agent_unit_of(a, p), p->stop, &wants[i]);
    }
    uv_agent_queue_assign(a, wants, n, NULL, 0, true);
    for (unsigned i = 0; i < n; i++) {
        uv_agent_queue_restore(a, &a->ledger.placements[i]);
    }
}

/* ---- what is found ---- */

static void owner_name(struct node_of of, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%llx-%u", (unsigned long long)of.incarnation, (unsigned)of.run);
}

/* The image it was started from is the one it has pinned, whatever its name means by now. */
static void find_image(struct attempt *at)
{
    struct uv_agent *a = at->unit->agent;
    const struct image *image;
    struct err e = {0};
    char owner[64];

    owner_name(at->of, owner, sizeof(owner));
    if (images_pin_of(a->images, owner, at->pinned, &e) < 0) {
        log_warn("%s: its image is not known: %s", at->unit->name, e.text);
        return;
    }
    image = images_find(a->images, at->pinned);
    if (image != NULL) {
        at->image = xcalloc(1, sizeof(*at->image));
        codec_image_copy(image, at->image);
    }
}

/* After a restart of the host no number of then means a process of now. */
static bool is_alive(const struct uv_agent *a, const struct uv_engine_found *f)
{
    return f->alive && !f->broken && !a->dirs.boot_changed;
}

static void queue_found(struct attempt *at, const struct uv_engine_found *f, bool alive)
{
    struct uv_agent *a = at->unit->agent;
    struct node_event event = {.type = NODE_FOUND};

    event.u.found.of = f->of;
    event.u.found.alive = alive;
    event.u.found.broken = f->broken || (f->alive && !alive);
    event.u.found.pid = f->pid;
    event.u.found.started_ms = f->started_ms;
    event.u.found.started_unix_ms = f->started_unix_ms;
    event.u.found.ended_unix_ms = f->ended_unix_ms;
    event.u.found.exit = f->exit;
    if (at->unit->order != NULL) {
        order_traits(at->unit->order, at->image, &event.u.found.traits);
    }
    if (alive) {
        event.u.found.health = uv_agent_keep_read(a, f->of);
        at->unit->saved_health = event.u.found.health;
        at->unit->saved_run = f->of.run;
    }
    uv_agent_queue(a, &event);
}

static void take_up(struct attempt *at, const struct uv_engine_found *f)
{
    struct uv_agent *a = at->unit->agent;
    struct uv_engine_events events;
    struct uv_engine_order order;
    char hostname[UV_AGENT_HOSTNAME_MAX];
    struct err e = {0};

    at->started = true;
    uv_agent_start_order(at, hostname, &order);
    if (uv_engine_adopt(a->engine, &order, uv_agent_start_events(at, &events), &at->run, &e) < 0) {
        log_warn("%s: run %u cannot be taken up: %s", at->unit->name, (unsigned)f->of.run, e.text);
        uv_agent_queue_failed(a, NODE_SILENT, f->of, false, false, e.text);
        return;
    }
    log_info("%s: run %u goes on, process %u", at->unit->name, (unsigned)f->of.run,
             (unsigned)f->pid);
}

static void on_found(void *arg, const struct uv_engine_found *f)
{
    struct uv_agent *a = arg;
    struct attempt *at = uv_agent_attempt_add(uv_agent_unit_stray(a, f->of.incarnation), f->of);
    bool alive = is_alive(a, f);

    at->ids = f->ids;
    at->address = f->address;
    if (at->ids > 0) {
        idrange_reserve(&a->ids, at->ids);
    }
    find_image(at);
    uv_agent_net_found(at);
    queue_found(at, f, alive);
    if (alive) {
        take_up(at, f);
    }
}

/* ---- pins that nobody has any more ---- */

static bool is_held(void *arg, const char *owner)
{
    char *end;
    struct node_of of = {.incarnation = strtoull(owner, &end, 16)};

    of.run = *end == '-' ? (uint32_t)strtoul(end + 1, &end, 10) : 0;
    return *end == '\0' && uv_agent_attempt(arg, of) != NULL;
}

int uv_agent_adopt_all(struct uv_agent *a, struct err *e)
{
    struct node_event looked = {.type = NODE_LOOKED};

    assign_all(a);
    if (uv_engine_look(a->engine, on_found, a, e) < 0) {
        return e->code;
    }
    if (images_pins_sweep(a->images, is_held, a, e) < 0) {
        return e->code;
    }
    uv_agent_keep_sweep(a);
    looked.u.looked.boot_changed = a->dirs.boot_changed;
    uv_agent_queue(a, &looked);
    FAILPOINT("agent.adopt.before_mark");
    if (statedir_mark_boot(&a->dirs, e) < 0) {
        return e->code;
    }
    FAILPOINT("agent.adopt.after_mark");
    return 0;
}
