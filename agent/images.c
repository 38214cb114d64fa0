// SPDX-License-Identifier: Apache-2.0
#include "agent/images.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image_file.h"
#include "agent/images_priv.h"
#include "common/cleanup.h"
#include "common/imageref.h"

#define OWNER_MAX         64
#define DIGEST_PREFIX_MIN 12

/* ---- opening ---- */

static int make_dir(int at_fd, const char *path, struct err *e)
{
    if (mkdirat(at_fd, path, 0700) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make directory %s", path);
    }
    return 0;
}

static int open_dir(int at_fd, const char *path, int *ret_fd, struct err *e)
{
    int rc = make_dir(at_fd, path, e);

    if (rc < 0) {
        return rc;
    }
    *ret_fd = openat(at_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? err_set(e, errno, "open %s", path) : 0;
}

/* 0700 keeps the setuid files of images out of reach of the host's users. */
static int open_store(struct images *images, struct err *e)
{
    int rc = open_dir(AT_FDCWD, images->path, &images->fd, e);

    if (rc < 0) {
        return rc;
    }
    if (fchmod(images->fd, 0700) < 0) {
        return err_set(e, errno, "close %s to others", images->path);
    }
    rc = open_dir(images->fd, "layers", &images->layers_fd, e);
    if (rc == 0) {
        rc = open_dir(images->fd, "pins", &images->pins_fd, e);
    }
    return rc < 0 ? err_wrap(e, "%s", images->path) : 0;
}

/* Takes `path`. */
static int open_path(char *path, struct images **ret_images, struct err *e)
{
    struct images *images = xcalloc(1, sizeof(*images));
    int rc;

    *images = (struct images){.path = path,
                              .layers_path = xasprintf("%s/layers", path),
                              .fd = -1,
                              .layers_fd = -1,
                              .pins_fd = -1};
    rc = open_store(images, e);
    if (rc == 0) {
        rc = images_reload(images, e);
    }
    if (rc < 0) {
        images_close(images);
        return rc;
    }
    *ret_images = images;
    return 0;
}

int images_open(const char *state_dir, struct images **ret_images, struct err *e)
{
    int rc = make_dir(AT_FDCWD, state_dir, e);

    return rc < 0 ? rc : open_path(xasprintf("%s/images", state_dir), ret_images, e);
}

int images_reopen(const struct images *images, struct images **ret_images, struct err *e)
{
    return open_path(xstrdup(images->path), ret_images, e);
}

void images_close(struct images *images)
{
    if (images == NULL) {
        return;
    }
    codec_image_index_finish(&images->index);
    cleanup_close(&images->fd);
    cleanup_close(&images->layers_fd);
    cleanup_close(&images->pins_fd);
    free(images->path);
    free(images->layers_path);
    free(images);
}

bool images_changed(const struct images *images)
{
    struct stat st = {0};

    if (fstatat(images->fd, "index", &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return images->seen.st_ino != 0;
    }
    return st.st_ino != images->seen.st_ino || st.st_size != images->seen.st_size ||
           st.st_mtim.tv_sec != images->seen.st_mtim.tv_sec ||
           st.st_mtim.tv_nsec != images->seen.st_mtim.tv_nsec;
}

int images_reload(struct images *images, struct err *e)
{
    struct image_index index = {0};
    struct stat seen;
    int rc = image_file_read(images->fd, images->path, &index, &seen, e);

    if (rc == 0) {
        rc = images_resolve(&index, e);
    }
    if (rc < 0) {
        codec_image_index_finish(&index);
        return rc;
    }
    codec_image_index_finish(&images->index);
    images->index = index;
    images->seen = seen;
    return 0;
}

/* ---- layers of an image ---- */

static const struct index_layer *find_layer(const struct image_index *index, const char *diff_id)
{
    for (unsigned i = 0; i < index->n_layers; i++) {
        if (strcmp(index->layers[i].diff_id, diff_id) == 0) {
            return &index->layers[i];
        }
    }
    return NULL;
}

static bool has_layer(const struct image *image, const char *diff_id)
{
    for (unsigned i = 0; i < image->n_layers; i++) {
        if (strcmp(image->layers[i].diff_id, diff_id) == 0) {
            return true;
        }
    }
    return false;
}

static void add_layer(struct image *image, const struct index_layer *from)
{
    struct image_layer *layer = &image->layers[image->n_layers++];

    memcpy(layer->diff_id, from->diff_id, sizeof(layer->diff_id));
    (void)snprintf(layer->link, sizeof(layer->link), "%u", from->link);
    layer->bytes = from->bytes;
    image->bytes += from->bytes;
}

/* A layer that comes twice (empty ones do) is kept where it is topmost: overlayfs refuses
 * repetitions, and there it hides all that it hid further down. */
static int resolve(const struct image_index *index, struct image *image, struct err *e)
{
    free(image->layers);
    image->layers = xcalloc(image->n_diff_ids, sizeof(*image->layers));
    image->n_layers = 0;
    image->bytes = 0;
    for (unsigned i = image->n_diff_ids; i > 0; i--) {
        const struct index_layer *layer = find_layer(index, image->diff_ids[i - 1]);

        if (layer == NULL) {
            return err_say(e, EBADMSG, "image %s misses its layer %s", image->digest,
                           image->diff_ids[i - 1]);
        }
        if (!has_layer(image, layer->diff_id)) {
            add_layer(image, layer);
        }
        if (layer->opaque) {
            break;
        }
    }
    return 0;
}

int images_resolve(struct image_index *index, struct err *e)
{
    for (unsigned i = 0; i < index->n_images; i++) {
        int rc = resolve(index, &index->images[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- looking up ---- */

unsigned images_count(const struct images *images)
{
    return images->index.n_images;
}

const struct image *images_at(const struct images *images, unsigned i)
{
    assert(i < images->index.n_images);
    return &images->index.images[i];
}

static const struct image *find_digest(const struct images *images, const char *prefix)
{
    const struct image *found = NULL;
    size_t len = strlen(prefix);

    for (unsigned i = 0; i < images->index.n_images; i++) {
        const struct image *image = &images->index.images[i];

        if (strncmp(image->digest, prefix, len) == 0) {
            if (found != NULL) {
                return NULL; /* two begin so: neither is meant for sure */
            }
            found = image;
        }
    }
    return found;
}

static const struct image *find_short(const struct images *images, const char *text)
{
    char prefix[IMAGE_DIGEST_MAX];
    const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    size_t len = strlen(digits);

    if (len < DIGEST_PREFIX_MIN || len > 64 || strspn(digits, "0123456789abcdef") != len) {
        return NULL;
    }
    (void)snprintf(prefix, sizeof(prefix), "sha256:%s", digits);
    return find_digest(images, prefix);
}

static const struct image *find_name(const struct images *images, const char *name)
{
    for (unsigned i = 0; i < images->index.n_images; i++) {
        if (image_has_name(&images->index.images[i], name)) {
            return &images->index.images[i];
        }
    }
    return NULL;
}

const struct image *images_find(const struct images *images, const char *reference)
{
    const struct image *image = NULL;
    struct imageref ref;

    if (imageref_parse(reference, &ref, NULL) < 0) {
        return find_short(images, reference);
    }
    if (ref.digest[0] != '\0') {
        return find_digest(images, ref.digest);
    }
    image = find_name(images, ref.name);
    return image != NULL ? image : find_short(images, reference);
}

int images_layers_fd(const struct images *images)
{
    return images->layers_fd;
}

const char *images_layers_path(const struct images *images)
{
    return images->layers_path;
}

/* ---- pins ---- */

static int pin_name(const char *digest, const char *owner, char *ret_name, size_t size,
                    struct err *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(owner);

    if (!imageref_is_digest(digest)) {
        return err_say(e, EINVAL, "pin names '%.80s', which is no image digest", digest);
    }
    if (len == 0 || len > OWNER_MAX || strspn(owner, allowed) != len) {
        return err_say(e, EINVAL, "pin owner '%.80s' is not 1 to %d of [A-Za-z0-9_.-]", owner,
                       OWNER_MAX);
    }
    (void)snprintf(ret_name, size, "%s.%s", digest + strlen("sha256:"), owner);
    return 0;
}

int images_pin(struct images *images, const char *digest, const char *owner, struct err *e)
{
    char name[256];
    int rc = pin_name(digest, owner, name, sizeof(name), e);
    int fd;

    if (rc < 0) {
        return rc;
    }
    fd = openat(images->pins_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set(e, errno, "pin image %s", digest);
    }
    (void)close(fd);
    /* Whoever removes the image writes the index before it looks at the pins a last time. */
    if (images_changed(images)) {
        rc = images_reload(images, e);
    }
    if (rc == 0 && find_digest(images, digest) == NULL) {
        rc = err_say(e, ENOENT, "image %s is not on this node", digest);
    }
    if (rc < 0) {
        (void)unlinkat(images->pins_fd, name, 0);
    }
    return rc;
}

int images_unpin(struct images *images, const char *digest, const char *owner, struct err *e)
{
    char name[256];
    int rc = pin_name(digest, owner, name, sizeof(name), e);

    if (rc < 0) {
        return rc;
    }
    if (unlinkat(images->pins_fd, name, 0) < 0 && errno != ENOENT) {
        return err_set(e, errno, "unpin image %s", digest);
    }
    return 0;
}

/* Calls `each` for every pin until it returns non-zero, which it returns. */
static int pins_walk(const struct images *images,
                     int (*each)(const struct images *images, const char *hex, const char *owner,
                                 void *arg),
                     void *arg, struct err *e)
{
    int fd = openat(images->pins_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *d;

    if (dir == NULL) {
        cleanup_close(&fd);
        return err_set(e, errno, "open %s/pins", images->path);
    }
    while ((d = readdir(dir)) != NULL) {
        char hex[65];
        int rc;

        if (strlen(d->d_name) < 66 || d->d_name[64] != '.') {
            continue;
        }
        memcpy(hex, d->d_name, 64);
        hex[64] = '\0';
        rc = each(images, hex, d->d_name + 65, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

struct sweep {
    bool (*keep)(void *arg, const char *owner);
    void *arg;
};

static int sweep_one(const struct images *images, const char *hex, const char *owner, void *arg)
{
    const struct sweep *sweep = arg;
    char name[NAME_MAX + 1];

    if (!sweep->keep(sweep->arg, owner)) {
        (void)snprintf(name, sizeof(name), "%s.%s", hex, owner);
        (void)unlinkat(images->pins_fd, name, 0);
    }
    return 0;
}

int images_pins_sweep(struct images *images, bool (*keep)(void *arg, const char *owner), void *arg,
                      struct err *e)
{
    struct sweep sweep = {.keep = keep, .arg = arg};

    return pins_walk(images, sweep_one, &sweep, e);
}

struct pin_list {
    const char *hex;
    char *out;
    size_t size;
    int n;
};

static int list_one(const struct images *images, const char *hex, const char *owner, void *arg)
{
    struct pin_list *list = arg;
    size_t len = strlen(list->out);

    (void)images;
    if (strcmp(hex, list->hex) == 0) {
        list->n++;
        (void)snprintf(list->out + len, list->size - len, "%s%s", len > 0 ? ", " : "", owner);
    }
    return 0;
}

int images_pinned_by(const struct images *images, const char *digest, char *out, size_t size,
                     struct err *e)
{
    struct pin_list list = {.hex = digest + strlen("sha256:"), .out = out, .size = size};
    int rc;

    out[0] = '\0';
    rc = pins_walk(images, list_one, &list, e);
    return rc < 0 ? rc : list.n;
}

int images_pin_of(const struct images *images, const char *owner, char ret_digest[IMAGE_DIGEST_MAX],
                  struct err *e)
{
    for (unsigned i = 0; i < images_count(images); i++) {
        const struct image *image = images_at(images, i);
        char name[NAME_MAX + 1];
        int rc = pin_name(image->digest, owner, name, sizeof(name), e);

        if (rc < 0) {
            return rc;
        }
        if (faccessat(images->pins_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            memcpy(ret_digest, image->digest, IMAGE_DIGEST_MAX);
            return 0;
        }
    }
    return err_say(e, ENOENT, "%s has pinned no image", owner);
}

static int is_unknown(const struct images *images, const char *hex, const char *owner, void *arg)
{
    char digest[IMAGE_DIGEST_MAX];

    (void)owner;
    (void)arg;
    (void)snprintf(digest, sizeof(digest), "sha256:%s", hex);
    return find_digest(images, digest) == NULL;
}

bool images_pins_are_known(const struct images *images)
{
    return pins_walk(images, is_unknown, NULL, NULL) == 0;
}
