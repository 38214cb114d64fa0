// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_DOCTOR_H
#define WHERRY_AGENT_DOCTOR_H

/* Looks at a host: does it have what containers and their network need, is something in their way,
 * and which command mends it. A check is a row of a table and a function; it changes nothing.
 * Blocking, so the daemon has it done by a process (uv_agent_ask.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/nftrules.h"

#define DOCTOR_TEXT 512
#define DOCTOR_LINK 16

/* What is looked at; the roots are others in tests. */
struct doctor_world {
    const char *proc;    /* "/proc" */
    const char *sys;     /* "/sys" */
    const char *etc;     /* "/etc" */
    const char *modules; /* "/lib/modules" */
    const char *state_path;
    uint32_t id_base, id_count;
    uint32_t range; /* the cluster's */
    unsigned range_prefix;
    uint32_t address;             /* by which other hosts reach this one; 0: not known */
    char underlay[DOCTOR_LINK];   /* the link with that address; "": none */
    unsigned underlay_mtu;        /* 0: not known */
    bool has_offset;              /* the controller has said what time it is */
    int64_t clock_offset_ms;      /* how far we are ahead of it */
    const struct nftrules *rules; /* NULL: they could not be read, because of: */
    char rules_error[DOCTOR_TEXT];
};

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM, DOCTOR_NOT_HERE };

struct doctor_result {
    enum doctor_state state;
    char text[DOCTOR_TEXT]; /* one sentence */
    char mend[DOCTOR_TEXT]; /* a command; "": none is needed, or none is known */
};

struct doctor_row {
    const char *id;   /* "rp_filter" */
    const char *what; /* "reverse path filter" */
    void (*check)(const struct doctor_world *w, struct doctor_result *ret);
};

extern const struct doctor_row doctor_rows[];
extern const unsigned doctor_rows_n;

/* "ok", "warning", "problem", "not here" */
const char *doctor_state_name(enum doctor_state state);

/* Of the host as it is: finds the underlay's link and reads the ruleset, which takes a moment. The
 * roots, paths and numbers are set by the caller before. */
void doctor_world_look(struct doctor_world *w, const char *nft_program);
void doctor_world_finish(struct doctor_world *w);

#endif
