// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_TESTS_UNIT_LINKSAMPLE_H
#define WHERRY_TESTS_UNIT_LINKSAMPLE_H

/* One message of each kind of the link, with something in every field, and what they consist of. */

#include "common/buf.h"
#include "common/codec_link.h"

extern uint8_t linksample_digest[LINK_DIGEST];
extern const struct link_revision linksample_revisions[1];
extern const struct link_placement linksample_placements[2];
extern const struct link_observation linksample_observations[2];
extern const struct svc_network linksample_networks[2];
extern const struct svc_endpoint linksample_endpoints[3];
extern const struct svc_port linksample_ports[2];
extern const struct svc_entry linksample_entries[3];
extern const struct svc_key linksample_left[3];
extern const struct svc_patch linksample_patches[2];
extern const struct link_service linksample_services[2];

/* Fixture: the digest. */
void linksample_setup(void);

struct link_message linksample(enum link_kind kind);

/* Who says messages of this kind. */
enum link_side linksample_side(enum link_kind kind);

/* As that side says it, when it may. */
int linksample_decode(enum link_kind kind, const struct buf *bytes, struct link_message *ret,
                      struct err *e);

/* Fails unless it is refused with -EBADMSG, and by its name. */
void linksample_refused(const struct link_message *m);

#endif
