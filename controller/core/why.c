// SPDX-License-Identifier: Apache-2.0
/* Why something is not as wanted, in one sentence, from the same data that decided. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/core/fleet_priv.h"
#include "controller/core/slotstate.h"

static void say_unknown(const struct fleet *f, const struct placement *p, struct buf *out)
{
    const struct node *node = p->node;
    const char *where = p->ask->a.n_volumes > 0 ? p->ask->a.volumes[0].name : NULL;
    char at[32];

    (void)f;
    if (node->state == FLEET_NODE_STATE_READY) {
        buf_printf(out, "%s cannot tell: %s", node->name,
                   p->seen.reason != NULL ? p->seen.reason : "its shim does not answer");
        return;
    }
    if (where != NULL) {
        buf_printf(out, "volume %s lives on %s, ", where, node->name);
    } else {
        buf_printf(out, "node %s is ", node->name);
    }
    if (node->state == FLEET_NODE_STATE_EXPECTED) {
        buf_puts(out, "not heard of since the controller started");
        return;
    }
    words_clock(node->since_unix_ms, at);
    buf_printf(out, "%s since %s", fleet_node_state_name(node->state), at);
    if (node->braked) {
        buf_puts(out, "; not replaced, because too many nodes fell silent at once");
    }
}

static void say_seen(const struct placement *p, const char *otherwise, struct buf *out)
{
    buf_puts(out, p->seen.reason != NULL ? p->seen.reason : otherwise);
}

static void say_slot(const struct fleet *f, const struct service *s, const struct slot *slot,
                     struct buf *out)
{
    const struct placement *p = slot->current;

    switch (slotstate_of(s, slot)) {
    case FLEET_SLOT_HELD:
        buf_puts(out, s->hold != NULL ? s->hold : "waits for what it depends on");
        break;
    case FLEET_SLOT_PENDING:
        buf_puts(out, s->pending != NULL ? s->pending : "is about to be placed");
        break;
    case FLEET_SLOT_ASSIGNED:
        buf_printf(out, "%s has not said anything of it yet", p->node->name);
        break;
    case FLEET_SLOT_WAITING:
        say_seen(p, "waits for its next start", out);
        break;
    case FLEET_SLOT_STARTING:
        say_seen(p,
                 p->seen.phase == FLEET_PHASE_RUNNING ? "runs, and is not healthy yet"
                                                      : "is being started",
                 out);
        break;
    case FLEET_SLOT_UNHEALTHY:
        say_seen(p, "its probe fails", out);
        break;
    case FLEET_SLOT_STOPPING:
        buf_printf(out, "is being stopped on %s", p->node->name);
        break;
    case FLEET_SLOT_UNKNOWN:
        say_unknown(f, p, out);
        break;
    case FLEET_SLOT_ENDED:
        say_seen(p, "has ended, and its restart policy lets it be", out);
        break;
    case FLEET_SLOT_FAILED:
        say_seen(p, "has failed", out);
        break;
    case FLEET_SLOT_RUNNING:
    case FLEET_SLOT_COMPLETED:
    case FLEET_SLOT_N:
        break;
    }
}

static const struct service *service_of(const struct fleet *f, unsigned stack, unsigned service)
{
    return stack < f->n_stacks && service < f->stacks[stack]->n
               ? f->stacks[stack]->services[service]
               : NULL;
}

void fleet_why_slot(const struct fleet *f, unsigned stack, unsigned service, unsigned slot,
                    char *ret, size_t size)
{
    const struct service *s = service_of(f, stack, service);
    auto_buf struct buf out = {0};

    if (s != NULL && slot < s->n_slots) {
        say_slot(f, s, &s->slots[slot], &out);
    }
    (void)snprintf(ret, size, "%s", buf_text(&out));
}

static void say_leaving(const struct service *s, struct buf *out)
{
    unsigned orphans = 0;

    for (const struct placement *p = s->first; p != NULL; p = p->next) {
        orphans += p->orphan && !p->stop;
        if (!p->orphan && p->node->state != FLEET_NODE_STATE_READY) {
            buf_printf(out, "is being removed; node %s is %s", p->node->name,
                       fleet_node_state_name(p->node->state));
            return;
        }
    }
    if (orphans > 0) {
        buf_printf(out,
                   "%u containers run that the store does not know: they are kept until "
                   "`wherry rm %s`, or an apply that wants just these",
                   orphans, s->stack->name);
    } else {
        buf_puts(out, "is being removed");
    }
}

/* The update, if one is under way: how far it is, and what it waits for. */
static bool say_update(const struct fleet *f, const struct service *s, struct buf *out)
{
    const struct slot *busy = roll_busy(s);
    unsigned outdated = 0, wanted = 0;

    for (unsigned i = 0; i < s->n_slots; i++) {
        wanted += s->slots[i].wanted;
        outdated += s->slots[i].wanted && s->slots[i].current != NULL &&
                    placements_outdated(s->slots[i].current);
    }
    if (outdated == 0) {
        return false;
    }
    if (busy == NULL && s->pending != NULL) {
        buf_printf(out, "update paused, %u of %u replaced: %s", wanted - outdated, wanted,
                   s->pending);
        return true;
    }
    buf_printf(out, "updating, %u of %u replaced", wanted - outdated, wanted);
    if (busy != NULL) {
        buf_printf(out, "; waits for %s/%s.%u: ", s->stack->name, s->name, busy->number);
        say_slot(f, s, busy, out);
    }
    return true;
}

void fleet_why_service(const struct fleet *f, unsigned stack, unsigned service, char *ret,
                       size_t size)
{
    const struct service *s = service_of(f, stack, service);
    auto_buf struct buf out = {0};

    if (s != NULL && s->want == NULL) {
        say_leaving(s, &out);
    } else if (s != NULL && s->held) {
        buf_puts(&out, s->hold != NULL ? s->hold : "");
    } else if (s != NULL && !say_update(f, s, &out)) {
        for (unsigned i = 0; i < s->n_slots && out.len == 0; i++) {
            struct buf one = {0};

            say_slot(f, s, &s->slots[i], &one);
            if (one.len > 0) {
                buf_printf(&out, "%s/%s.%u: %s", s->stack->name, s->name, s->slots[i].number,
                           buf_text(&one));
            }
            buf_finish(&one);
        }
    }
    (void)snprintf(ret, size, "%s", buf_text(&out));
}

void fleet_why_brake(const struct fleet *f, char *ret, size_t size)
{
    unsigned silent = 0;

    for (unsigned i = 0; i < f->n_nodes; i++) {
        silent += f->nodes[i]->braked;
    }
    ret[0] = '\0';
    if (f->brake) {
        (void)snprintf(ret, size,
                       "%u nodes fell silent at once: what runs on them is not replaced until "
                       "they are back, or `wherry node lost NODE`",
                       silent);
    }
}
