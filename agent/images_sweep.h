// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGES_SWEEP_H
#define WHERRY_AGENT_IMAGES_SWEEP_H

/* Getting rid of what is in the image store and in no index: staging directories and layers that
 * interrupted loads left, and layers of removed images. All of it is moved to trash/ first, by one
 * rename, and deleted from there. Only under the store's lock. */

#include "agent/images.h"
#include "common/err.h"

/* Opens (and makes) a directory of the store. Gives the descriptor. */
int images_sweep_dir(const struct images *images, const char *name, struct err *e);

/* Moves `name` of `dir_fd` into the trash, under a name that begins with `prefix`. A missing one
 * is fine. */
int images_sweep_move(const struct images *images, int dir_fd, const char *name, const char *prefix,
                      struct err *e);

/* Deletes what is in the trash. */
int images_sweep_trash(const struct images *images, struct err *e);

/* Moves layers that the index does not name into the trash. */
int images_sweep_layers(const struct images *images, struct err *e);

/* The staging directory, such layers, and the trash. */
int images_sweep_all(const struct images *images, struct err *e);

#endif
