// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CLI_WAITING_H
#define WHERRY_CONTROLLER_CLI_WAITING_H

/* --wait: asks for the status until what was said is so, and shows how far it is. A controller
 * that is restarted meanwhile is waited for too. */

#include <stdint.h>

#include "controller/cli/cli.h"

enum waiting_for {
    WAITING_FOR_WANTED, /* as its file says */
    WAITING_FOR_GONE,
};

struct waiting_goal {
    const char *name; /* of a service; NULL: the stack and all of its services */
    enum waiting_for what;
};

struct waiting {
    const char *stack;
    struct waiting_goal *goals; /* borrows */
    size_t n_goals;
};

enum waiting_verdict {
    WAITING_GOES_ON,
    WAITING_IS_DONE,
    WAITING_FAILS, /* some service is failing */
};

/* Judges one answer of GET /v1/status?stack=S (NULL: there is no such stack). Pure. */
enum waiting_verdict waiting_judge(const struct waiting *w, const json_t *status);

/* Waits, as cli->options say. Returns 0; -ETIMEDOUT, -ECANCELED or -EIO with one sentence. */
int waiting_run(struct cli *cli, const struct waiting *w, struct err *e);

#endif
