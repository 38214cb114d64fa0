// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_INTERRUPT_H
#define WHERRY_CONTROLLER_CLI_INTERRUPT_H

/* SIGINT and SIGTERM as a question, for commands that have something to say before they leave. The
 * others are simply ended by the signal. */

#include <stdbool.h>
#include <stdint.h>

/* From here on the signals only set what interrupt_seen tells; a second one ends the program. */
void interrupt_catch(void);
bool interrupt_seen(void);

/* Sleeps, but not beyond an interrupt. */
void interrupt_sleep(uint64_t ms);

#endif
