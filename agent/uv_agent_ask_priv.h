// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_UV_AGENT_ASK_PRIV_H
#define WHERRY_AGENT_UV_AGENT_ASK_PRIV_H

/* Shared by the kinds of questions: uv_agent_ask.c (their table, the process), uv_agent_ask_net.c
 * (those about the network). */

#include "agent/uv_agent_ask.h"
#include "agent/uv_agent_priv.h"
#include "common/askrow.h"

#define UV_AGENT_ASK_WORDS 48u

/* What a process is started with. */
struct ask_words {
    char *list[UV_AGENT_ASK_WORDS + 1];
    unsigned n;
};

/* One question on its way to its kind, which appends rows that are known at once, and words for a
 * process that looks for the rest (none: there is nothing to look for). */
struct ask_question {
    struct uv_agent *agent;
    const struct link_ask *what;
    struct buf *rows;
    struct ask_words *words;
};

void uv_agent_ask_word(struct ask_question *q, const char *word);
/* Both, unless the value is NULL or "". */
void uv_agent_ask_option(struct ask_question *q, const char *name, const char *value);

/* uv_agent_ask_net.c */
void uv_agent_ask_net_from(struct ask_question *q);
void uv_agent_ask_net_to(struct ask_question *q);
void uv_agent_ask_net_stats(struct ask_question *q);
/* Appends what a process has found of links, of those that are known by name. */
void uv_agent_ask_net_named(struct uv_agent *a, const void *out, size_t len, struct buf *rows);

#endif
