// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_ASK_H
#define WHERRY_AGENT_UV_AGENT_ASK_H

/* Questions to this node (link.proto, AskOpen) and their answers, in rows (common/askrow.h). What
 * the agent knows is told at once; what must be looked for is looked for by a process of its own,
 * which is this program again. */

#include <stdbool.h>
#include <stddef.h>

#include "common/codec_link.h"

#define UV_AGENT_ASK_MAX   16u /* being answered at once */
#define UV_AGENT_ASK_BYTES (1024u * 1024)
#define UV_AGENT_ASK_MS    15000u

struct uv_agent;
struct ask;

/* Begins to answer; `more` is called whenever there is something new, never from inside. Never
 * fails: what is not known is an answer too. */
struct ask *uv_agent_ask_open(struct uv_agent *a, const struct link_ask *what,
                              void (*more)(void *arg), void *arg);

/* The next row, borrowed until the following call. False: there is none now. */
bool uv_agent_ask_take(struct ask *ask, const void **ret_row, size_t *ret_len);

/* Whether no row comes any more; then `*ret_error` is "", or why the answer is not complete. */
bool uv_agent_ask_over(const struct ask *ask, const char **ret_error);

/* Lets go of it; accepts NULL. */
void uv_agent_ask_close(struct ask *ask);

#endif
