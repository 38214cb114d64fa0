// SPDX-License-Identifier: Apache-2.0
/* Numbers and times as people read them, and the names of the enums. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "controller/core/fleet_priv.h"

void words_bytes(uint64_t bytes, char ret[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    uint64_t tenths = bytes * 10;
    unsigned unit = 0;

    if (bytes > UINT64_MAX / 10) {
        (void)snprintf(ret, 32, "%" PRIu64 " TiB", bytes >> 40);
        return;
    }
    while (tenths >= 10240 && unit < 4) {
        tenths /= 1024;
        unit++;
    }
    (void)snprintf(ret, 32, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[unit]);
}

void words_clock(uint64_t unix_ms, char ret[32])
{
    uint64_t minutes = unix_ms / 60000;

    (void)snprintf(ret, 32, "%02u:%02u UTC", (unsigned)(minutes / 60 % 24),
                   (unsigned)(minutes % 60));
}

void words_address(uint32_t address, char ret[16])
{
    (void)snprintf(ret, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                   address & 255);
}

void words_set(char **text, const char *to)
{
    char *old = *text;

    *text = to != NULL && to[0] != '\0' ? xstrdup(to) : NULL;
    free(old);
}

#define WORD(name, text) text,
static const char *const slot_states[] = {FLEET_SLOT_STATES(WORD)};
static const char *const changes[] = {FLEET_CHANGES(WORD)};
static const char *const happenings[] = {FLEET_HAPPENINGS(WORD)};
static const char *const node_states[] = {"expected", "ready", "unknown", "lost"};
static const char *const phases[] = {"none",     "waiting", "starting", "running",
                                     "stopping", "exited",  "done",     "unknown"};
static const char *const healths[] = {"none", "starting", "healthy", "unhealthy"};
static const char *const modes[] = {"replicated", "global", "replicated-job", "global-job"};
static const char *const actions[] = {
    "put-stack", "del-stack", "put-node", "put-block", "put-vips", "put-volume", "del-volume",
    "welcome",   "refuse",    "send",     "reply",     "event",    "service",    "raise-epoch",
};

const char *fleet_slot_state_name(enum fleet_slot_state state)
{
    return slot_states[state];
}

const char *fleet_change_name(enum fleet_change change)
{
    return changes[change];
}

const char *fleet_happening_name(enum fleet_happening happening)
{
    return happenings[happening];
}

const char *fleet_node_state_name(enum fleet_node_state state)
{
    return node_states[state];
}

const char *fleet_phase_name(enum fleet_phase phase)
{
    return phases[phase];
}

const char *fleet_health_name(enum fleet_health health)
{
    return healths[health];
}

const char *fleet_mode_name(enum fleet_mode mode)
{
    return modes[mode];
}

const char *fleet_action_name(enum fleet_action_type type)
{
    return actions[type];
}
