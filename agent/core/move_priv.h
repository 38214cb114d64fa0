// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CORE_MOVE_PRIV_H
#define WHERRY_AGENT_CORE_MOVE_PRIV_H

/* Shared by the moves: what several of them do (move.c), those of a run that begins or is found
 * (move_start.c), and those of one that shall end or has ended (move_stop.c). */

#include "agent/core/node_priv.h"

/* Whether something shall run. */
bool move_is_wished(const struct node_container *c);

/* Nothing runs and nothing shall: forgets it, or keeps its record. */
void move_rest(struct move_step *s);

/* Waits for the clock, or for NODE_TOLD alone. */
void move_wait_until(struct move_step *s, uint64_t due_ms);
void move_wait_told(struct move_step *s);

void move_prepare(struct move_step *s);

/* The run is over, for the reason already said: what follows by the restart policy. */
void move_follow(struct move_step *s, uint64_t ran_ms, bool failed);

void move_close_run(struct move_step *s);

/* The end of a run that was up. */
void move_end(struct move_step *s, const struct node_exit *how, uint64_t ran_ms,
              uint64_t ended_unix_ms);

/* The moves, as lifecycle.h names them. */
typedef void move_do(struct move_step *s);
move_do move_start_look, move_start_adopt, move_start_mourn, move_start_sweep, move_start_begin,
    move_start_wake;
move_do move_start_launch, move_start_fail, move_start_run;
move_do move_stop_signal, move_stop_begin, move_stop_kill, move_stop_sick, move_stop_end,
    move_stop_lose;
move_do move_stop_leave, move_stop_vanish, move_stop_revive;

#endif
