// SPDX-License-Identifier: Apache-2.0
#include "agent/images_txn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "agent/image_file.h"
#include "agent/images_priv.h"
#include "agent/images_sweep.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/imageref.h"

#define IMAGES_PER_LOAD_MAX 64
#define LAYERS_PER_LOAD_MAX (IMAGES_PER_LOAD_MAX * IMAGE_LAYERS_MAX)

struct staged_layer {
    char staged[CODEC_WORKER_STAGED_MAX];
    struct index_layer info;
};

struct images_txn {
    struct images *images;
    int lock_fd;
    int staging_fd;
    struct staged_layer *layers;
    unsigned n_layers;
    struct image *loaded;
    unsigned n_loaded;
};

/* ---- lock ---- */

static int lock_busy(int fd, const char *path, struct err *e)
{
    char holder[64] = "";
    ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);

    holder[n > 0 ? strcspn(holder, "\n") : 0] = '\0';
    return err_say(e, EBUSY, "image store %s is being changed by %s", path,
                   holder[0] != '\0' ? holder : "another process");
}

static int lock_take(const struct images *images, bool wait, int *ret_fd, struct err *e)
{
    auto_close int fd = openat(images->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    char holder[64];
    int n;

    if (fd < 0) {
        return err_set(e, errno, "open %s/lock", images->path);
    }
    while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
        if (errno == EWOULDBLOCK) {
            return lock_busy(fd, images->path, e);
        }
        if (errno != EINTR) {
            return err_set(e, errno, "lock %s", images->path);
        }
    }
    n = snprintf(holder, sizeof(holder), "process %d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, holder, (size_t)n, 0) != n) {
        return err_set(e, errno, "write %s/lock", images->path);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- begin, add ---- */

int images_txn_begin(struct images *images, bool wait, struct images_txn **ret_txn, struct err *e)
{
    struct images_txn *txn = xcalloc(1, sizeof(*txn));
    int rc;

    *txn = (struct images_txn){.images = images, .lock_fd = -1, .staging_fd = -1};
    rc = lock_take(images, wait, &txn->lock_fd, e);
    if (rc == 0) {
        rc = images_reload(images, e);
    }
    if (rc == 0) {
        rc = images_sweep_all(images, e);
    }
    if (rc == 0) {
        txn->staging_fd = images_sweep_dir(images, "staging", e);
        rc = txn->staging_fd < 0 ? txn->staging_fd : 0;
    }
    if (rc < 0) {
        images_txn_end(txn);
        return rc;
    }
    *ret_txn = txn;
    return 0;
}

int images_txn_staging_fd(const struct images_txn *txn)
{
    return txn->staging_fd;
}

const char **images_txn_known(const struct images_txn *txn)
{
    const struct image_index *index = &txn->images->index;
    const char **known = xcalloc(index->n_layers + 1, sizeof(*known));

    for (unsigned i = 0; i < index->n_layers; i++) {
        known[i] = index->layers[i].diff_id;
    }
    return known;
}

static int add_layer(struct images_txn *txn, const struct load_event *event, struct err *e)
{
    if (txn->n_layers >= LAYERS_PER_LOAD_MAX) {
        return err_say(e, E2BIG, "worker sent more than %d layers", LAYERS_PER_LOAD_MAX);
    }
    txn->layers = xrealloc(txn->layers, txn->n_layers + 1, sizeof(*txn->layers));
    txn->layers[txn->n_layers].info = event->layer.info;
    memcpy(txn->layers[txn->n_layers++].staged, event->layer.staged, CODEC_WORKER_STAGED_MAX);
    return 0;
}

static int add_image(struct images_txn *txn, struct load_event *event, struct err *e)
{
    if (txn->n_loaded >= IMAGES_PER_LOAD_MAX) {
        image_finish(&event->image);
        return err_say(e, E2BIG, "worker sent more than %d images", IMAGES_PER_LOAD_MAX);
    }
    txn->loaded = xrealloc(txn->loaded, txn->n_loaded + 1, sizeof(*txn->loaded));
    txn->loaded[txn->n_loaded++] = event->image;
    return 0;
}

int images_txn_add(struct images_txn *txn, const void *event, size_t len, struct err *e)
{
    struct load_event decoded;
    int rc = codec_worker_event_decode(event, len, &decoded, e);

    if (rc < 0) {
        return rc;
    }
    if (decoded.type == LOAD_EVENT_LAYER) {
        return add_layer(txn, &decoded, e);
    }
    if (decoded.type == LOAD_EVENT_IMAGE) {
        return add_image(txn, &decoded, e);
    }
    return err_say(e, EINVAL, "add a layer or an image to the store, not another message");
}

/* ---- commit ---- */

static bool index_has_layer(const struct image_index *index, const char *diff_id)
{
    for (unsigned i = 0; i < index->n_layers; i++) {
        if (strcmp(index->layers[i].diff_id, diff_id) == 0) {
            return true;
        }
    }
    return false;
}

/* Renames one staged layer to its link and adds it to the index. */
static int place_layer(struct images_txn *txn, const struct staged_layer *layer,
                       struct image_index *index, struct err *e)
{
    char link[IMAGE_LINK_MAX];
    struct index_layer *to;

    if (index_has_layer(index, layer->info.diff_id)) {
        return 0;
    }
    if (index->n_layers >= CODEC_IMAGE_LAYERS_MAX || index->next_link == UINT32_MAX) {
        return err_say(e, ENOSPC, "image store has %u layers, the most there can be: remove images",
                       index->n_layers);
    }
    (void)snprintf(link, sizeof(link), "%u", index->next_link);
    FAILPOINT("agent.image.before_layer_rename");
    if (renameat2(txn->staging_fd, layer->staged, txn->images->layers_fd, link, RENAME_NOREPLACE) <
        0) {
        return err_set(e, errno, "move staged layer %s to %s/%s", layer->staged,
                       txn->images->layers_path, link);
    }
    FAILPOINT("agent.image.after_layer_rename");
    index->layers = xrealloc(index->layers, index->n_layers + 1, sizeof(*index->layers));
    to = &index->layers[index->n_layers++];
    *to = layer->info;
    to->link = index->next_link++;
    return 0;
}

static uint64_t now_unix_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Takes the names from whoever has them; merges with a record of the same digest. */
static int place_image(const struct image *loaded, struct image_index *index, struct err *e)
{
    struct image *to = NULL;

    for (unsigned i = 0; i < index->n_images; i++) {
        for (unsigned k = 0; k < loaded->n_names; k++) {
            image_name_drop(&index->images[i], loaded->names[k]);
        }
        if (strcmp(index->images[i].digest, loaded->digest) == 0) {
            to = &index->images[i];
        }
    }
    if (to == NULL) {
        if (index->n_images >= CODEC_IMAGE_IMAGES_MAX) {
            return err_say(e, ENOSPC, "image store has %u images, the most there can be",
                           index->n_images);
        }
        index->images = xrealloc(index->images, index->n_images + 1, sizeof(*index->images));
        to = &index->images[index->n_images++];
        codec_image_copy(loaded, to);
    }
    for (unsigned k = 0; k < loaded->n_names; k++) {
        image_name_add(to, loaded->names[k]);
    }
    to->loaded_unix_ms = now_unix_ms();
    return 0;
}

static int place_all(struct images_txn *txn, struct image_index *index, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < txn->n_layers && rc == 0; i++) {
        rc = place_layer(txn, &txn->layers[i], index, e);
    }
    for (unsigned i = 0; i < txn->n_loaded && rc == 0; i++) {
        rc = place_image(&txn->loaded[i], index, e);
    }
    if (rc == 0) {
        rc = images_resolve(index, e);
    }
    if (rc == 0 && fsync(txn->images->layers_fd) < 0) {
        rc = err_set(e, errno, "sync %s", txn->images->layers_path);
    }
    return rc;
}

int images_txn_commit(struct images_txn *txn, char ***ret_digests, struct err *e)
{
    struct images *images = txn->images;
    struct image_index index;
    int rc;

    if (txn->n_loaded == 0) {
        return err_say(e, EBADMSG, "load ended without an image");
    }
    codec_image_index_copy(&images->index, &index);
    rc = place_all(txn, &index, e);
    if (rc == 0) {
        rc = image_file_write(images->fd, images->path, &index, e);
    }
    codec_image_index_finish(&index);
    if (rc == 0) {
        rc = images_reload(images, e);
    }
    if (rc == 0 && ret_digests != NULL) {
        unsigned n = 0;

        *ret_digests = NULL;
        for (unsigned i = 0; i < txn->n_loaded; i++) {
            image_strv_add(ret_digests, &n, txn->loaded[i].digest);
        }
    }
    return rc;
}

void images_txn_end(struct images_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    if (txn->staging_fd >= 0) {
        /* What cannot be removed now is swept by the next transaction. */
        (void)images_sweep_move(txn->images, txn->images->fd, "staging", "s", NULL);
        if (images_reload(txn->images, NULL) == 0) {
            (void)images_sweep_layers(txn->images, NULL);
        }
        (void)images_sweep_trash(txn->images, NULL);
    }
    for (unsigned i = 0; i < txn->n_loaded; i++) {
        image_finish(&txn->loaded[i]);
    }
    free(txn->loaded);
    free(txn->layers);
    cleanup_close(&txn->staging_fd);
    cleanup_close(&txn->lock_fd); /* releases the lock */
    free(txn);
}
