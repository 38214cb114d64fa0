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
#include "agent/imageref.h"
#include "agent/images_priv.h"
#include "agent/treerm.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

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
    return err_say(e, EBUSY, "image store %s is being changed by %s: try again later", path,
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

/* ---- sweeping ---- */

static int open_dir(const struct images *images, const char *name, struct err *e)
{
    int fd;

    if (mkdirat(images->fd, name, 0700) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s/%s", images->path, name);
    }
    fd = openat(images->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_set(e, errno, "open %s/%s", images->path, name) : fd;
}

static int trash_empty(const struct images *images, struct err *e)
{
    auto_close int trash = open_dir(images, "trash", e);
    long rc = trash < 0 ? trash : treerm_empty(trash, "trash", e);

    return rc < 0 ? err_wrap(e, "%s", images->path) : 0;
}

/* Moves `name` of `dir_fd` into the trash, where it may already be a directory of that name: then
 * it goes under `prefix` and a number. */
static int trash_move(const struct images *images, int dir_fd, const char *name, const char *prefix,
                      struct err *e)
{
    auto_close int trash = open_dir(images, "trash", e);

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
static int orphans_sweep(const struct images *images, struct err *e)
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
                 ? trash_move(images, images->layers_fd, d->d_name, "l", e)
                 : 0;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int sweep(const struct images *images, struct err *e)
{
    int rc = trash_move(images, images->fd, "staging", "s", e);

    if (rc == 0) {
        rc = orphans_sweep(images, e);
    }
    return rc == 0 ? trash_empty(images, e) : rc;
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
        rc = sweep(images, e);
    }
    if (rc == 0) {
        txn->staging_fd = open_dir(images, "staging", e);
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

/* A copy of the index that can be thrown away. */
static void index_copy(const struct image_index *from, struct image_index *to)
{
    *to = (struct image_index){
        .next_link = from->next_link, .n_layers = from->n_layers, .n_images = from->n_images};
    to->layers = xcalloc(from->n_layers, sizeof(*to->layers));
    to->images = xcalloc(from->n_images, sizeof(*to->images));
    if (from->n_layers > 0) {
        memcpy(to->layers, from->layers, from->n_layers * sizeof(*to->layers));
    }
    for (unsigned i = 0; i < from->n_images; i++) {
        codec_image_copy(&from->images[i], &to->images[i]);
    }
}

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
    index_copy(&images->index, &index);
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
        (void)trash_move(txn->images, txn->images->fd, "staging", "s", NULL);
        if (images_reload(txn->images, NULL) == 0) {
            (void)orphans_sweep(txn->images, NULL);
        }
        (void)trash_empty(txn->images, NULL);
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

/* ---- remove ---- */

static bool layer_is_used(const struct image_index *index, const char *diff_id)
{
    for (unsigned i = 0; i < index->n_images; i++) {
        for (unsigned k = 0; k < index->images[i].n_diff_ids; k++) {
            if (strcmp(index->images[i].diff_ids[k], diff_id) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void drop_image(struct image_index *index, const char *digest)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < index->n_images; i++) {
        if (strcmp(index->images[i].digest, digest) == 0) {
            image_finish(&index->images[i]);
        } else {
            index->images[kept++] = index->images[i];
        }
    }
    index->n_images = kept;
    kept = 0;
    for (unsigned i = 0; i < index->n_layers; i++) {
        if (layer_is_used(index, index->layers[i].diff_id)) {
            index->layers[kept++] = index->layers[i];
        }
    }
    index->n_layers = kept;
}

static int refuse_pinned(const struct images *images, const char *digest, struct err *e)
{
    char owners[200];
    int n = images_pinned_by(images, digest, owners, sizeof(owners), e);

    if (n <= 0) {
        return n;
    }
    return err_say(e, EBUSY, "image %s is in use by %d container%s: %s", digest, n,
                   n == 1 ? "" : "s", owners);
}

static int remove_image(struct images *images, const char *digest, struct err *e)
{
    struct image_index index;
    int rc = refuse_pinned(images, digest, e);

    if (rc < 0) {
        return rc;
    }
    index_copy(&images->index, &index);
    drop_image(&index, digest);
    rc = image_file_write(images->fd, images->path, &index, e);
    codec_image_index_finish(&index);
    if (rc < 0) {
        return rc;
    }
    rc = refuse_pinned(images, digest, e);
    if (rc < 0) { /* pinned just now: put it back, nothing is deleted yet */
        (void)image_file_write(images->fd, images->path, &images->index, NULL);
        return rc;
    }
    rc = images_reload(images, e);
    if (rc == 0) {
        rc = orphans_sweep(images, e);
    }
    return rc == 0 ? trash_empty(images, e) : rc;
}

static int remove_name(struct images *images, const char *digest, const char *name, struct err *e)
{
    struct image_index index;
    int rc;

    index_copy(&images->index, &index);
    for (unsigned i = 0; i < index.n_images; i++) {
        if (strcmp(index.images[i].digest, digest) == 0) {
            image_name_drop(&index.images[i], name);
        }
    }
    rc = image_file_write(images->fd, images->path, &index, e);
    codec_image_index_finish(&index);
    return rc < 0 ? rc : images_reload(images, e);
}

static int remove_found(struct images *images, const char *reference, bool *ret_removed,
                        struct err *e)
{
    const struct image *image = images_find(images, reference);
    char digest[IMAGE_DIGEST_MAX];
    struct imageref ref;
    bool by_name;

    if (image == NULL) {
        return err_say(e, ENOENT, "image '%.200s' is not on this node", reference);
    }
    memcpy(digest, image->digest, sizeof(digest));
    by_name = imageref_parse(reference, &ref, NULL) == 0 && ref.digest[0] == '\0' &&
              image_has_name(image, ref.name);
    *ret_removed = !by_name || image->n_names <= 1;
    return *ret_removed ? remove_image(images, digest, e)
                        : remove_name(images, digest, ref.name, e);
}

int images_txn_remove(struct images *images, const char *reference, bool wait, bool *ret_removed,
                      struct err *e)
{
    struct images_txn *txn;
    bool removed = false;
    int rc = images_txn_begin(images, wait, &txn, e);

    if (rc < 0) {
        return rc;
    }
    rc = remove_found(images, reference, &removed, e);
    images_txn_end(txn);
    if (rc == 0 && ret_removed != NULL) {
        *ret_removed = removed;
    }
    return rc;
}
