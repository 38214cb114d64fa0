// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_LIFECYCLE_H
#define WHERRY_AGENT_CORE_LIFECYCLE_H

/* The life of one container as a table: in each state, for each event, one move. Every cell is
 * filled in by hand; a test walks all of them. What a move does is in move.c. Pure.
 *
 *   NEW        assigned, but nobody has looked yet whether it runs already
 *   WAITING    nothing runs; the next run begins at a time, or when something is told
 *   PREPARING  image, volumes, address and ids are being got
 *   STARTING   its shim builds the sandbox
 *   RUNNING
 *   DRAINING   to be stopped: nobody is led to it any more, and all have a moment to learn that
 *   STOPPING   signalled, has its grace period
 *   KILLING    killed, not yet ended
 *   UNKNOWN    its shim is silent, or it cannot be killed
 *   DONE       over for good; the record is kept until it is removed
 *   LEAVING    removed; what is left of it is being cleaned up */

#include <stdint.h>

#define LIFECYCLE_STATES(X)                                                                        \
    X(NEW)                                                                                         \
    X(WAITING)                                                                                     \
    X(PREPARING)                                                                                   \
    X(STARTING) X(RUNNING) X(DRAINING) X(STOPPING) X(KILLING) X(UNKNOWN) X(DONE) X(LEAVING)

#define LIFECYCLE_EVENTS(X)                                                                        \
    X(WANT_RUN)                                                                                    \
    X(WANT_STOP)                                                                                   \
    X(REMOVED)                                                                                     \
    X(FOUND_ALIVE)                                                                                 \
    X(FOUND_ENDED)                                                                                 \
    X(FOUND_BROKEN) X(LOOKED) X(PREPARED) X(PREPARE_FAILED) X(STARTED) X(START_FAILED) X(EXITED)   \
        X(SILENT) X(UNHEALTHY) X(CLEANED) X(DUE) X(TOLD)

/* HOLE is what an unwritten cell would be. */
#define LIFECYCLE_MOVES(X)                                                                         \
    X(HOLE)                                                                                        \
    X(IGNORE) /* nothing to do */                                                                  \
    X(ODD)    /* cannot happen: said, and nothing done */                                          \
    X(LOOK)   /* nothing was found of it: begin, or stay done */                                   \
    X(ADOPT)  /* it runs already */                                                                \
    X(MOURN)  /* it ended while nobody looked */                                                   \
    X(SWEEP)  /* only remains of a start that did not come up */                                   \
    X(BEGIN)  /* start a run, if it may */                                                         \
    X(WAKE)   /* start a run, if it was waiting to be told */                                      \
    X(START)  /* prepared: start, unless it is not wanted any more */                              \
    X(FAIL)   /* the run did not come up */                                                        \
    X(RUN)    /* the run is up */                                                                  \
    X(LATER)  /* wanted otherwise: seen to when the step under way has ended */                    \
    X(STOP)   /* let it drain, or signal it */                                                     \
    X(SIGNAL) /* drained: signal, and give it its grace period */                                  \
    X(REST)   /* nothing runs: done */                                                             \
    X(KILL)   /* its grace period is over, or killing it did not work */                           \
    X(SICK)   /* unhealthy: stop it, then start it again by its policy */                          \
    X(END)    /* the run is over */                                                                \
    X(LOSE)   /* nothing is known of it any more */                                                \
    X(LEAVE)  /* nothing runs: forget it when nothing is left */                                   \
    X(VANISH) /* forget it if nothing is left */                                                   \
    X(REVIVE) /* wanted again after a stop */

#define LIFECYCLE_X_STATE(name) LIFECYCLE_##name,
#define LIFECYCLE_X_EVENT(name) LIFECYCLE_EVENT_##name,
#define LIFECYCLE_X_MOVE(name)  LIFECYCLE_MOVE_##name,
enum lifecycle_state { LIFECYCLE_STATES(LIFECYCLE_X_STATE) LIFECYCLE_STATE_N };
enum lifecycle_event { LIFECYCLE_EVENTS(LIFECYCLE_X_EVENT) LIFECYCLE_EVENT_N };
enum lifecycle_move { LIFECYCLE_MOVES(LIFECYCLE_X_MOVE) LIFECYCLE_MOVE_N };

enum lifecycle_move lifecycle_move(enum lifecycle_state state, enum lifecycle_event event);

const char *lifecycle_state_name(enum lifecycle_state state); /* "RUNNING" */
const char *lifecycle_event_name(enum lifecycle_event event);
const char *lifecycle_move_name(enum lifecycle_move move);

#endif
