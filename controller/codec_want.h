// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_CODEC_WANT_H
#define WHERRY_CONTROLLER_CODEC_WANT_H

/* Documents of stacks (spec.proto) on this side: what the fleet decides upon is taken out of them
 * once, and they are put together from older and newer ones. Whoever applies has checked the
 * document before (common/compose_check.h); what could break this process is checked here too. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "controller/core/fleet.h"

#define CODEC_WANT_MERGED_MAX (1024u * 1024) /* a document with all services that were kept */

struct codec_want;

/* What an agent gets of one service. Borrowed from the document. */
struct codec_want_revision {
    uint8_t digest[FLEET_DIGEST];
    const void *bytes; /* an encoded wherry.spec.Container */
    size_t len;
};

/* Decodes an encoded wherry.spec.Stack. -EBADMSG or -E2BIG with the place and the reason. */
int codec_want_decode(const void *bytes, size_t len, struct codec_want **ret, struct err *e);
void codec_want_free(struct codec_want *want); /* accepts NULL */

static inline void codec_want_cleanup(struct codec_want **want)
{
    codec_want_free(*want);
}
#define auto_want __attribute__((cleanup(codec_want_cleanup)))

/* All services, in the document's order; its digest. Borrowed. */
const struct fleet_stack_want *codec_want_stack(const struct codec_want *want);
/* Of the i-th service. */
const struct codec_want_revision *codec_want_revision(const struct codec_want *want, unsigned i);
/* The messages themselves; NULL: no such service. Borrowed. */
struct Wherry__Spec__Stack;
struct Wherry__Spec__Service;
const struct Wherry__Spec__Stack *codec_want_document(const struct codec_want *want);
const struct Wherry__Spec__Service *codec_want_service(const struct codec_want *want,
                                                       const char *name);
/* The canonical encoding of the whole. */
const void *codec_want_bytes(const struct codec_want *want, size_t *ret_len);

/* Appends the document of stack `name` that has exactly the services to which `has` says yes, each
 * as in `newer` if it is there, else as in `older`; likewise their volumes and networks. Either may
 * be NULL. */
void codec_want_merge(const struct codec_want *older, const struct codec_want *newer,
                      const char *name, bool (*has)(void *arg, const char *service), void *arg,
                      struct buf *out);

/* What a replica of an earlier revision takes on its node, from its own Container. Free the
 * arrays in it with codec_want_ask_free. */
int codec_want_ask(const void *container, size_t len, struct fleet_ask *ret, struct err *e);
void codec_want_ask_free(struct fleet_ask *ask);

/* What a person should be told who applies it: sentences, at most `max`, each to be freed. Returns
 * how many. */
unsigned codec_want_warnings(const struct codec_want *want, char **ret_list, unsigned max);

#endif
