// SPDX-License-Identifier: Apache-2.0
/* Who has fallen silent. A node that is not heard of for its timeout is unknown: what runs on it
 * is not known to be stopped. When too many fall silent at once, it is rather the controller that
 * has lost its network: the brake then keeps it from replacing anything. */
#include <assert.h>

#include "controller/core/fleet_priv.h"

#define HEARTBEAT_MS     1000u
#define NODES_PER_PERIOD 5000u
#define TIMEOUT_PERIODS  4u
#define EXPECTED_MS      15000u
#define EXPECTED_NODE_MS 5u /* nodes / 200 s */
#define BRAKE_WINDOW_MS  60000u

uint32_t fleet_heartbeat_ms(const struct fleet *f)
{
    return f->n_nodes <= NODES_PER_PERIOD ? HEARTBEAT_MS
                                          : f->n_nodes * HEARTBEAT_MS / NODES_PER_PERIOD;
}

uint32_t fleet_timeout_ms(const struct fleet *f)
{
    return TIMEOUT_PERIODS * fleet_heartbeat_ms(f);
}

void silence_mark(struct fleet *f, struct node *node)
{
    for (struct placement *p = node->oldest; p != NULL; p = p->newer) {
        tables_dirty(f, p->service);
    }
}

void silence_expect_all(struct fleet *f)
{
    uint64_t by_nodes = (uint64_t)f->n_nodes * EXPECTED_NODE_MS;

    f->expected_until_ms = f->now_ms + (by_nodes > EXPECTED_MS ? by_nodes : EXPECTED_MS);
    f->look_ms = f->expected_until_ms;
}

void silence_stall(struct fleet *f, uint64_t gap_ms)
{
    for (unsigned i = 0; i < f->n_nodes; i++) {
        uint64_t later = f->nodes[i]->heard_ms + gap_ms;

        f->nodes[i]->heard_ms = later < f->now_ms ? later : f->now_ms;
    }
    if (f->expected_until_ms > 0) {
        f->expected_until_ms += gap_ms;
    }
    f->look_ms = f->now_ms;
}

/* After an interval of silence that was no fault of the node nothing else is to be done: what runs
 * there is looked at again once it has reported. */
void silence_heard(struct fleet *f, struct node *node)
{
    uint64_t due = f->now_ms + fleet_timeout_ms(f);

    node->heard_ms = f->now_ms;
    if (f->look_ms > due) {
        f->look_ms = due;
    }
    if (node->state == FLEET_NODE_STATE_READY || !node->connected) {
        return;
    }
    node->state = FLEET_NODE_STATE_READY;
    node->since_unix_ms = f->unix_ms;
    node->ready_ms = f->now_ms;
    node->braked = false;
    f->brake_look = true;
    silence_mark(f, node);
    tables_wake(f);
    tables_globals_dirty(f);
    emit_happened(f, FLEET_HAPPENED_NODE_READY, NULL, NULL, 0, node->name, "node %s is ready",
                  node->name);
}

static uint64_t due_of(const struct fleet *f, const struct node *node)
{
    if (node->state == FLEET_NODE_STATE_READY) {
        return node->heard_ms + fleet_timeout_ms(f);
    }
    return node->state == FLEET_NODE_STATE_EXPECTED ? f->expected_until_ms : UINT64_MAX;
}

static void fall_silent(struct fleet *f, struct node *node)
{
    if (node->state == FLEET_NODE_STATE_EXPECTED) {
        node->ready_ms = 0; /* it never was, as far as this controller knows */
    }
    node->state = FLEET_NODE_STATE_UNKNOWN;
    node->since_unix_ms = f->unix_ms;
    node->silent_ms = f->now_ms;
    f->brake_look = true;
    silence_mark(f, node);
    emit_happened(f, FLEET_HAPPENED_NODE_UNKNOWN, NULL, NULL, 0, node->name,
                  "node %s has been silent for too long: what runs on it is unknown", node->name);
}

void silence_look(struct fleet *f)
{
    uint64_t next = UINT64_MAX;

    if (f->now_ms < f->look_ms) {
        return;
    }
    for (unsigned i = 0; i < f->n_nodes; i++) {
        uint64_t due = due_of(f, f->nodes[i]);

        if (due <= f->now_ms) {
            fall_silent(f, f->nodes[i]);
        } else if (due < next) {
            next = due;
        }
    }
    f->look_ms = next;
}

/* Nodes ready a minute ago, and those that fell silent since. A cluster that had none a minute ago
 * is younger than that: there all that have been ready since count. */
static void count(const struct fleet *f, unsigned *ret_ready, unsigned *ret_lost)
{
    uint64_t then = f->now_ms > BRAKE_WINDOW_MS ? f->now_ms - BRAKE_WINDOW_MS : 0;
    unsigned young = 0;

    *ret_ready = *ret_lost = 0;
    for (unsigned i = 0; i < f->n_nodes; i++) {
        const struct node *node = f->nodes[i];
        bool silent = node->state == FLEET_NODE_STATE_UNKNOWN;

        *ret_lost += silent && node->silent_ms + BRAKE_WINDOW_MS > f->now_ms;
        if (node->ready_ms > 0 &&
            (node->state == FLEET_NODE_STATE_READY || (silent && node->silent_ms > then))) {
            *ret_ready += node->ready_ms <= then;
            young++;
        }
    }
    *ret_ready = *ret_ready > 0 ? *ret_ready : young;
}

static void brake_on(struct fleet *f, unsigned ready, unsigned lost)
{
    f->brake = true;
    f->brake_ready = ready;
    emit_happened(f, FLEET_HAPPENED_BRAKE_ON, NULL, NULL, 0, NULL,
                  "%u nodes fell silent within a minute, more than a third of the %u that were "
                  "ready: nothing is replaced until they are back, or `wherry node lost NODE`",
                  lost, ready);
}

/* Those it was pulled for that are still away decide when it is let go. */
static void brake_off(struct fleet *f)
{
    unsigned held = 0;

    for (unsigned i = 0; i < f->n_nodes; i++) {
        held += f->nodes[i]->braked && f->nodes[i]->state == FLEET_NODE_STATE_UNKNOWN;
    }
    if (held >= 2 && 3 * held > f->brake_ready) {
        return;
    }
    f->brake = false;
    for (unsigned i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i]->braked) {
            f->nodes[i]->braked = false;
            silence_mark(f, f->nodes[i]);
        }
    }
    emit_happened(f, FLEET_HAPPENED_BRAKE_OFF, NULL, NULL, 0, NULL,
                  "enough nodes are back: what is missing is replaced again");
}

void silence_brake(struct fleet *f)
{
    unsigned ready, lost;

    if (!f->brake_look) {
        return;
    }
    f->brake_look = false;
    count(f, &ready, &lost);
    if (!f->brake && lost >= 2 && 3 * lost > ready) {
        brake_on(f, ready, lost);
    }
    if (!f->brake) {
        return;
    }
    for (unsigned i = 0; i < f->n_nodes; i++) {
        struct node *node = f->nodes[i];

        if (node->state == FLEET_NODE_STATE_UNKNOWN &&
            node->silent_ms + BRAKE_WINDOW_MS > f->now_ms) {
            node->braked = true;
        }
    }
    brake_off(f);
}

uint64_t silence_deadline(const struct fleet *f)
{
    return f->look_ms;
}
