// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGES_RM_H
#define WHERRY_AGENT_IMAGES_RM_H

/* Removing images from the store. An image in use (pinned) stays; against a pin that is made at the
 * same moment, the index is written first and the pins are looked at once more before anything is
 * deleted, while who pins looks at the index afterwards. */

#include <stdbool.h>

#include "agent/images.h"
#include "common/err.h"

/* Removes a name; and the image with its unshared layers when that was its last name, or when it
 * is named by digest. -ENOENT, -EBUSY (in use, and by whom). Within a transaction of its own.
 * `ret_removed` (may be NULL): whether the image itself went. */
int images_rm(struct images *images, const char *reference, bool wait, bool *ret_removed,
              struct err *e);

#endif
