// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_COMMON_SVCPATCH_H
#define WHERRY_COMMON_SVCPATCH_H

/* What changed among the endpoints of a service's entry, for who holds the entry as it was: of
 * 8,000 endpoints one becomes ready, and one is told. A history knows when each of an entry's
 * endpoints changed last; any other change of the entry (networks, ports) has the whole told.
 * Applied to a later state than the one it was made for, a patch gives the same. Pure. */

#include "common/svc.h"

struct svc_patch {
    char stack[NAME_MAX_LEN + 1];
    char service[NAME_MAX_LEN + 1];
    const struct svc_endpoint *set; /* new, or changed: in the order of svc_key_compare */
    unsigned n_set;
    const struct svc_key *gone; /* in order; goes first */
    unsigned n_gone;
};

/* A copy of the entry with that done, in one allocation: free() it. NULL: the patch is none of this
 * entry: an endpoint is on a network that is not there, or they would be too many. */
struct svc_entry *svcpatch_apply(const struct svc_entry *entry, const struct svc_patch *patch);

/* ---- history ---- */

struct svcpatch_gone {
    uint64_t version;
    struct svc_key key;
};

struct svcpatch_history {
    uint64_t since;     /* a patch for an older version cannot be made */
    uint64_t *versions; /* of the latest change of each endpoint */
    unsigned n;
    struct svcpatch_gone *gone; /* oldest first; not more than there are endpoints, and a few */
    unsigned n_gone;
};

/* The entry is new, or has changed in more than its endpoints. */
void svcpatch_begin(struct svcpatch_history *h, const struct svc_entry *entry, uint64_t version);

/* Only endpoints have changed. */
void svcpatch_change(struct svcpatch_history *h, const struct svc_entry *old,
                     const struct svc_entry *entry, uint64_t version);
void svcpatch_finish(struct svcpatch_history *h);

/* What changed after `since`, in one allocation: free() it. NULL: the whole is to be told. */
struct svc_patch *svcpatch_make(const struct svcpatch_history *h, const struct svc_entry *entry,
                                uint64_t since);

#endif
