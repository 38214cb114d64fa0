// SPDX-License-Identifier: Apache-2.0
#include "agent/core/lifecycle.h"

#include <assert.h>

#define ROW(name) [LIFECYCLE_##name]
#define ON(event) [LIFECYCLE_EVENT_##event]
#define M(name)   LIFECYCLE_MOVE_##name

/* Bytes, not pointers, so that the table is constant data wherever it is loaded. */
static const uint8_t moves[LIFECYCLE_STATE_N][LIFECYCLE_EVENT_N] =
    {
        /* clang-format off */
    ROW(NEW) = {
        ON(WANT_RUN) = M(IGNORE),        ON(WANT_STOP) = M(IGNORE),     ON(REMOVED) = M(LEAVE),
        ON(FOUND_ALIVE) = M(ADOPT),      ON(FOUND_ENDED) = M(MOURN),    ON(FOUND_BROKEN) = M(SWEEP),
        ON(LOOKED) = M(LOOK),            ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(ODD),
        ON(SILENT) = M(ODD),             ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(ODD),                ON(TOLD) = M(IGNORE),
    },
    ROW(WAITING) = {
        ON(WANT_RUN) = M(IGNORE),        ON(WANT_STOP) = M(REST),       ON(REMOVED) = M(LEAVE),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),            ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(ODD),
        ON(SILENT) = M(ODD),             ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(WAKE),
        ON(DUE) = M(BEGIN),              ON(TOLD) = M(WAKE),
    },
    ROW(PREPARING) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(LATER),      ON(REMOVED) = M(LATER),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(ODD),             ON(PREPARED) = M(START),       ON(PREPARE_FAILED) = M(FAIL),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(ODD),
        ON(SILENT) = M(ODD),             ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(ODD),                ON(TOLD) = M(IGNORE),
    },
    ROW(STARTING) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(LATER),      ON(REMOVED) = M(LATER),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(ODD),             ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(RUN),            ON(START_FAILED) = M(FAIL),    ON(EXITED) = M(END),
        ON(SILENT) = M(LOSE),            ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(ODD),                ON(TOLD) = M(IGNORE),
    },
    ROW(RUNNING) = {
        ON(WANT_RUN) = M(IGNORE),        ON(WANT_STOP) = M(STOP),       ON(REMOVED) = M(STOP),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(END),
        ON(SILENT) = M(LOSE),            ON(UNHEALTHY) = M(SICK),       ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(ODD),                ON(TOLD) = M(IGNORE),
    },
    ROW(DRAINING) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(LATER),      ON(REMOVED) = M(LATER),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(END),
        ON(SILENT) = M(LOSE),            ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(SIGNAL),             ON(TOLD) = M(IGNORE),
    },
    ROW(STOPPING) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(LATER),      ON(REMOVED) = M(LATER),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(END),
        ON(SILENT) = M(LOSE),            ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(KILL),               ON(TOLD) = M(IGNORE),
    },
    ROW(KILLING) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(LATER),      ON(REMOVED) = M(LATER),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(END),
        ON(SILENT) = M(LOSE),            ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(KILL),               ON(TOLD) = M(IGNORE),
    },
    ROW(UNKNOWN) = {
        ON(WANT_RUN) = M(LATER),         ON(WANT_STOP) = M(KILL),       ON(REMOVED) = M(KILL),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(RUN),            ON(START_FAILED) = M(FAIL),    ON(EXITED) = M(END),
        ON(SILENT) = M(IGNORE),          ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(KILL),               ON(TOLD) = M(IGNORE),
    },
    ROW(DONE) = {
        ON(WANT_RUN) = M(REVIVE),        ON(WANT_STOP) = M(IGNORE),     ON(REMOVED) = M(LEAVE),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(IGNORE),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(ODD),
        ON(SILENT) = M(ODD),             ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(IGNORE),
        ON(DUE) = M(ODD),                ON(TOLD) = M(IGNORE),
    },
    ROW(LEAVING) = {
        ON(WANT_RUN) = M(IGNORE),        ON(WANT_STOP) = M(IGNORE),     ON(REMOVED) = M(VANISH),
        ON(FOUND_ALIVE) = M(ODD),        ON(FOUND_ENDED) = M(ODD),      ON(FOUND_BROKEN) = M(ODD),
        ON(LOOKED) = M(VANISH),          ON(PREPARED) = M(ODD),         ON(PREPARE_FAILED) = M(ODD),
        ON(STARTED) = M(ODD),            ON(START_FAILED) = M(ODD),     ON(EXITED) = M(ODD),
        ON(SILENT) = M(ODD),             ON(UNHEALTHY) = M(ODD),        ON(CLEANED) = M(VANISH),
        ON(DUE) = M(VANISH),             ON(TOLD) = M(IGNORE),
    },
        /* clang-format on */
};

enum lifecycle_move lifecycle_move(enum lifecycle_state state, enum lifecycle_event event)
{
    assert(state < LIFECYCLE_STATE_N);
    assert(event < LIFECYCLE_EVENT_N);
    return (enum lifecycle_move)moves[state][event];
}

/* Arrays of characters, for the same reason as above. */
#define TEXT(name) #name,

const char *lifecycle_state_name(enum lifecycle_state state)
{
    static const char names[LIFECYCLE_STATE_N][12] = {LIFECYCLE_STATES(TEXT)};

    return state < LIFECYCLE_STATE_N ? names[state] : "?";
}

const char *lifecycle_event_name(enum lifecycle_event event)
{
    static const char names[LIFECYCLE_EVENT_N][16] = {LIFECYCLE_EVENTS(TEXT)};

    return event < LIFECYCLE_EVENT_N ? names[event] : "?";
}

const char *lifecycle_move_name(enum lifecycle_move move)
{
    static const char names[LIFECYCLE_MOVE_N][12] = {LIFECYCLE_MOVES(TEXT)};

    return move < LIFECYCLE_MOVE_N ? names[move] : "?";
}
