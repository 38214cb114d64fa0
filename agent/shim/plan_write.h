// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_SHIM_PLAN_WRITE_H
#define WHERRY_AGENT_SHIM_PLAN_WRITE_H

/* Collects the steps of a plan and the data they point into, then lays both out as plan.h says.
 * Pure. */

#include <stddef.h>

#include "agent/shim/plan.h"
#include "common/buf.h"
#include "common/err.h"

struct plan_write {
    enum plan_kind kind;
    uint32_t deadline_ms;
    struct buf steps; /* struct plan_step[], references still from the beginning of `data` */
    struct buf data;
    struct plan_step last; /* being filled in; appended when the next one begins */
    bool any;
    bool too_big; /* a limit of plan.h was passed: said at the end */
};

/* Begins a step without descriptors. Borrowed until the next one begins. */
struct plan_step *plan_write_step(struct plan_write *w, enum plan_op op);
struct plan_step *plan_write_text(struct plan_write *w, enum plan_op op, const char *text);
struct plan_step *plan_write_list(struct plan_write *w, enum plan_op op, const char *const *strings,
                                  unsigned n);

/* Adds data for the current step. Bytes are aligned to 8. */
struct plan_ref plan_write_string(struct plan_write *w, const char *text);
struct plan_ref plan_write_bytes(struct plan_write *w, const void *bytes, size_t len);

/* Appends the plan to `ret` unless `rc` is negative; frees what `w` holds either way. `ret` must be
 * empty, so that the plan is aligned. */
int plan_write_end(struct plan_write *w, int rc, struct buf *ret, struct err *e);

#endif
