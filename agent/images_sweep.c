// SPDX-License-Identifier: Apache-2.0
#include "agent/images_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/images_priv.h"
#include "agent/treerm.h"
#include "common/cleanup.h"

int images_sweep_dir(const struct images *images, const char *name, struct err *e)
{
    int fd;

    if (mkdirat(images->fd, name, 0700) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s/%s", images->path, name);
    }
    fd = openat(images->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open %s/%s", images->path, name) : fd;
}

int images_sweep_trash(const struct images *images, struct err *e)
{
    auto_close int trash = images_sweep_dir(images, "trash", e);
    long rc = trash < 0 ? trash : treerm_empty(trash, "trash", e);

    return rc < 0 ? err_wrap(e, "%s", images->path) : 0;
}

/* Moves `name` of `dir_fd` into the trash, where it may already be a directory of that name: then
 * it goes under `prefix` and a number. */
int images_sweep_move(const struct images *images, int dir_fd, const char *name, const char *prefix,
                      struct err *e)
{
    auto_close int trash = images_sweep_dir(images, "trash", e);

    if (trash < 0) {
        return trash;
    }
    for (unsigned i = 0; i < 1000; i++) {
        char to[64];

        (void)snprintf(to, sizeof(to), "%s%s-%u", prefix, name, i);
        if (renameat2(dir_fd, name, trash, to, RENAME_NOREPLACE) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return err_set(e, errno, "move %s to %s/trash", name, images->path);
}

static bool link_is_known(const struct image_index *index, const char *name)
{
    for (unsigned i = 0; i < index->n_layers; i++) {
        char link[IMAGE_LINK_MAX];

        (void)snprintf(link, sizeof(link), "%u", index->layers[i].link);
        if (strcmp(link, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Layers that no index names: left by a transaction that was interrupted between the rename of a
 * layer and that of the index. When a pinned image is missing from the index (somebody moved it
 * away), nothing is swept: containers still run on those layers. */
int images_sweep_layers(const struct images *images, struct err *e)
{
    int fd = openat(images->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *d;

    if (dir == NULL) {
        cleanup_close(&fd);
        return err_set(e, errno, "open %s", images->layers_path);
    }
    if (!images_pins_are_known(images)) {
        return 0;
    }
    while ((d = readdir(dir)) != NULL) {
        int rc;

        if (d->d_name[0] == '.' || link_is_known(&images->index, d->d_name)) {
            continue;
        }
        rc = strlen(d->d_name) < IMAGE_LINK_MAX
                 ? images_sweep_move(images, images->layers_fd, d->d_name, "l", e)
                 : 0;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int images_sweep_all(const struct images *images, struct err *e)
{
    int rc = images_sweep_move(images, images->fd, "staging", "s", e);

    if (rc == 0) {
        rc = images_sweep_layers(images, e);
    }
    return rc == 0 ? images_sweep_trash(images, e) : rc;
}
