// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/imageref.h"
#include "agent/worker/blobstream.h"
#include "agent/worker/layer.h"
#include "agent/worker/ociconfig.h"
#include "agent/worker/ocijson.h"
#include "agent/worker/source.h"
#include "common/cleanup.h"
#include "common/failpoint.h"

#define IMAGES_MAX     64
#define INDEX_DEPTH    4
#define PROGRESS_BYTES (1024u * 1024)

/* One load under way. */
struct run {
    const struct load *load;
    struct source *source;
    char (*staged)[IMAGE_DIGEST_MAX]; /* diff ids unpacked in this load */
    unsigned n_staged;
    unsigned n_images;
};

/* ---- one layer ---- */

struct reporter {
    const struct load *load;
    struct load_event event;
    uint64_t reported;
};

static void on_progress(void *arg, uint64_t position)
{
    struct reporter *r = arg;

    if (position - r->reported >= PROGRESS_BYTES) {
        r->reported = position;
        r->event.progress.bytes = position;
        r->load->emit(r->load->arg, &r->event);
    }
}

static bool is_unpacked(const struct run *run, const char *diff_id)
{
    for (const char *const *k = run->load->job->known; *k != NULL; k++) {
        if (strcmp(*k, diff_id) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < run->n_staged; i++) {
        if (strcmp(run->staged[i], diff_id) == 0) {
            return true;
        }
    }
    return false;
}

/* What is expected of one layer's file. */
struct layer_want {
    const char *file;    /* in the source */
    const char *digest;  /* of the stored bytes; NULL: not known */
    uint64_t size;       /* likewise */
    const char *diff_id; /* of the decompressed bytes */
    unsigned number, of; /* from 1 */
};

static int check_digests(struct blobstream *in, const struct layer_want *want, struct err *e)
{
    char text[SHA_TEXT];

    blobstream_stored_digest(in, text);
    if (want->digest != NULL && strcmp(text, want->digest) != 0) {
        return err_say(e, EBADMSG, "is %s, the manifest says %s", text, want->digest);
    }
    blobstream_digest(in, text);
    if (strcmp(text, want->diff_id) != 0) {
        return err_say(e, EBADMSG, "unpacks to %s, the configuration says %s", text, want->diff_id);
    }
    return 0;
}

static int unpack_into(struct run *run, struct blobstream *in, const struct layer_want *want,
                       const char *staged, struct reporter *reporter, struct err *e)
{
    struct load_event event = {.type = LOAD_EVENT_LAYER};
    struct layer_stats stats;
    auto_close int fd = -1;
    int rc;

    FAILPOINT("worker.layer.before_unpack");
    if (mkdirat(run->load->staging_fd, staged, 0755) < 0) {
        return err_set(e, errno, "make staging directory %s", staged);
    }
    fd = openat(run->load->staging_fd, staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_set(e, errno, "open staging directory %s", staged);
    }
    rc = layer_unpack(in, fd, on_progress, reporter, &stats, e);
    if (rc == 0) {
        rc = check_digests(in, want, e);
    }
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("worker.layer.after_unpack");
    (void)snprintf(event.layer.staged, sizeof(event.layer.staged), "%s", staged);
    (void)snprintf(event.layer.info.diff_id, sizeof(event.layer.info.diff_id), "%s", want->diff_id);
    event.layer.info.bytes = stats.bytes;
    event.layer.info.entries = stats.entries;
    event.layer.info.opaque = stats.opaque;
    event.layer.skipped = stats.skipped;
    run->load->emit(run->load->arg, &event);
    return 0;
}

static int unpack_layer(struct run *run, const struct layer_want *want, struct err *e)
{
    struct reporter reporter = {.load = run->load, .event.type = LOAD_EVENT_PROGRESS};
    struct source_blob blob;
    struct blobstream *in;
    char staged[CODEC_WORKER_STAGED_MAX];
    int rc = source_find(run->source, want->file, &blob, e);

    if (rc < 0) {
        return rc;
    }
    if (want->digest != NULL && blob.size != want->size) {
        source_blob_close(&blob);
        return err_say(e, EBADMSG, "has %llu bytes, the manifest says %llu",
                       (unsigned long long)blob.size, (unsigned long long)want->size);
    }
    reporter.event.progress.layer = want->number;
    reporter.event.progress.layers = want->of;
    reporter.event.progress.bytes_total = blob.size;
    run->load->emit(run->load->arg, &reporter.event);
    (void)snprintf(staged, sizeof(staged), "%u", run->n_staged);
    in = blobstream_create(blob.fd, blob.offset, blob.size);
    rc = unpack_into(run, in, want, staged, &reporter, e);
    blobstream_destroy(in);
    source_blob_close(&blob);
    return rc;
}

static int want_layer(struct run *run, const struct layer_want *want, struct err *e)
{
    int rc;

    if (is_unpacked(run, want->diff_id)) {
        return 0;
    }
    rc = unpack_layer(run, want, e);
    if (rc < 0) {
        (void)err_wrap(e, "layer %u of %u, '%.150s'", want->number, want->of, want->file);
        return rc;
    }
    run->staged = xrealloc(run->staged, run->n_staged + 1, sizeof(*run->staged));
    (void)snprintf(run->staged[run->n_staged++], IMAGE_DIGEST_MAX, "%s", want->diff_id);
    return 0;
}

/* ---- names ---- */

static int add_name(struct image *image, const char *text, struct err *e)
{
    struct imageref ref;
    int rc = imageref_parse(text, &ref, e);

    if (rc == 0 && ref.name[0] != '\0' && ref.digest[0] == '\0') {
        image_name_add(image, ref.name);
    }
    return rc;
}

/* A reference name is a whole name ("shop/web:1") or, from most tools, a tag alone ("1"). */
static int add_ref(const struct run *run, const struct ocijson_descriptor *d, struct image *image,
                   struct err *e)
{
    const struct load_job *job = run->load->job;
    auto_free char *text = NULL;

    if (d->name[0] != '\0') {
        return add_name(image, d->name, e);
    }
    if (strpbrk(d->ref, "/:") != NULL) {
        return add_name(image, d->ref, e);
    }
    if (job->default_name[0] == '\0') {
        return 0;
    }
    text = xasprintf("%s%s%s", job->default_name, d->ref[0] != '\0' ? ":" : "", d->ref);
    (void)add_name(image, text, NULL); /* a file's name need not be an image's */
    return 0;
}

static int emit_image(struct run *run, struct image *image, struct err *e)
{
    struct load_event event = {.type = LOAD_EVENT_IMAGE};

    if (run->load->job->name[0] != '\0') {
        int rc;

        if (run->n_images > 0) {
            return err_say(e, EINVAL, "holds several images, so they cannot all be called '%s'",
                           run->load->job->name);
        }
        rc = add_name(image, run->load->job->name, e);
        if (rc < 0) {
            return rc;
        }
    }
    if (++run->n_images > IMAGES_MAX) {
        return err_say(e, E2BIG, "holds more than %d images", IMAGES_MAX);
    }
    event.image = *image;
    run->load->emit(run->load->arg, &event);
    return 0;
}

/* ---- OCI layout ---- */

static void blob_path(const char *digest, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "blobs/sha256/%s", digest + strlen("sha256:"));
}

/* Reads a small blob and holds it against its descriptor. */
static int read_blob(struct run *run, const struct ocijson_descriptor *d, size_t max,
                     struct buf *out, struct err *e)
{
    char path[128];
    char text[SHA_TEXT];
    int rc;

    blob_path(d->digest, path, sizeof(path));
    rc = source_read(run->source, path, max, out, e);
    if (rc < 0) {
        return rc;
    }
    sha_of(buf_text(out), out->len, text);
    if (strcmp(text, d->digest) != 0) {
        return err_say(e, EBADMSG, "'%s' is %s, not what its name says", path, text);
    }
    if (out->len != d->size) {
        return err_say(e, EBADMSG, "'%s' has %zu bytes, its descriptor says %llu", path, out->len,
                       (unsigned long long)d->size);
    }
    return 0;
}

static int unpack_manifest(struct run *run, const struct ocijson_manifest *m,
                           const struct image *image, struct err *e)
{
    if (m->n_layers != image->n_diff_ids) {
        return err_say(e, EBADMSG, "manifest has %u layers, the configuration has %u", m->n_layers,
                       image->n_diff_ids);
    }
    for (unsigned i = 0; i < m->n_layers; i++) {
        char path[128];
        struct layer_want want = {.file = path,
                                  .digest = m->layers[i].digest,
                                  .size = m->layers[i].size,
                                  .diff_id = image->diff_ids[i],
                                  .number = i + 1,
                                  .of = m->n_layers};
        int rc;

        blob_path(m->layers[i].digest, path, sizeof(path));
        rc = want_layer(run, &want, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int load_config(struct run *run, const struct ocijson_descriptor *d,
                       const struct ocijson_manifest *m, struct image *ret_image, struct err *e)
{
    auto_buf struct buf text = {0};
    int rc = read_blob(run, &m->config, OCIJSON_CONFIG_MAX, &text, e);

    if (rc == 0) {
        rc = ociconfig_parse(buf_text(&text), text.len, run->load->arch, ret_image, e);
    }
    if (rc < 0) {
        return rc == -ENOEXEC ? rc : (err_wrap(e, "configuration"), rc);
    }
    (void)snprintf(ret_image->digest, sizeof(ret_image->digest), "%s", d->digest);
    (void)snprintf(ret_image->config_digest, sizeof(ret_image->config_digest), "%s",
                   m->config.digest);
    return 0;
}

static int load_manifest(struct run *run, const struct ocijson_descriptor *d,
                         const struct ocijson_descriptor *named, struct err *e)
{
    struct ocijson_manifest manifest = {0};
    auto_buf struct buf text = {0};
    struct image image = {0};
    int rc = read_blob(run, d, OCIJSON_MANIFEST_MAX, &text, e);

    if (rc == 0) {
        rc = ocijson_manifest(buf_text(&text), text.len, &manifest, e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "manifest");
        return rc;
    }
    rc = load_config(run, d, &manifest, &image, e);
    if (rc == 0) {
        rc = unpack_manifest(run, &manifest, &image, e);
    }
    if (rc == 0 && run->load->job->name[0] == '\0') {
        rc = add_ref(run, named, &image, e);
    }
    if (rc == 0) {
        rc = emit_image(run, &image, e);
    }
    image_finish(&image);
    ocijson_manifest_finish(&manifest);
    return rc;
}

/* Whether the entry is for this node; one that does not say may be. */
static bool fits(const struct run *run, const struct ocijson_descriptor *d)
{
    if (d->attestation) {
        return false;
    }
    return (d->os[0] == '\0' || strcmp(d->os, "linux") == 0) &&
           (d->arch[0] == '\0' || strcmp(d->arch, run->load->arch) == 0);
}

static int no_platform(const struct run *run, const struct ocijson_index *index, struct err *e)
{
    char has[200] = "";

    for (unsigned i = 0; i < index->n && strlen(has) < 150; i++) {
        const struct ocijson_descriptor *d = &index->items[i];
        size_t len = strlen(has);

        if (!d->attestation) {
            (void)snprintf(has + len, sizeof(has) - len, "%s%s/%s", len > 0 ? ", " : "", d->os,
                           d->arch);
        }
    }
    return err_say(e, ENOEXEC, "has no image for linux/%s (it has: %s)", run->load->arch,
                   has[0] != '\0' ? has : "none at all");
}

/* Explicit stack of one: an index inside an index is followed at most INDEX_DEPTH deep. */
static int load_item(struct run *run, const struct ocijson_descriptor *d,
                     const struct ocijson_descriptor *named, unsigned depth, struct err *e);

/* Of a list of platforms one image is taken: the first that fits. */
static int load_nested(struct run *run, const struct ocijson_descriptor *d,
                       const struct ocijson_descriptor *named, unsigned depth, struct err *e)
{
    struct ocijson_index index = {0};
    auto_buf struct buf text = {0};
    int rc;

    if (depth >= INDEX_DEPTH) {
        return err_say(e, EBADMSG, "indexes are nested deeper than %d", INDEX_DEPTH);
    }
    rc = read_blob(run, d, OCIJSON_MANIFEST_MAX, &text, e);
    if (rc == 0) {
        rc = ocijson_index(buf_text(&text), text.len, &index, e);
    }
    if (rc < 0) {
        (void)err_wrap(e, "index");
        return rc;
    }
    rc = no_platform(run, &index, e);
    for (unsigned i = 0; i < index.n; i++) {
        if (fits(run, &index.items[i])) {
            rc = load_item(run, &index.items[i], named, depth + 1, e);
            break;
        }
    }
    ocijson_index_finish(&index);
    return rc;
}

static int load_item(struct run *run, const struct ocijson_descriptor *d,
                     const struct ocijson_descriptor *named, unsigned depth, struct err *e)
{
    if (ocijson_is_index(d->media_type)) {
        return load_nested(run, d, named, depth, e);
    }
    if (ocijson_is_manifest(d->media_type)) {
        return load_manifest(run, d, named, e);
    }
    return err_say(e, EBADMSG, "media type '%.127s' is neither an index nor an image manifest",
                   d->media_type);
}

static int load_layout(struct run *run, struct err *e)
{
    struct ocijson_index index = {0};
    auto_buf struct buf text = {0};
    bool any = false;
    int rc = source_read(run->source, "index.json", OCIJSON_MANIFEST_MAX, &text, e);

    if (rc < 0) {
        return rc;
    }
    rc = ocijson_index(buf_text(&text), text.len, &index, e);
    if (rc < 0) {
        (void)err_wrap(e, "index.json");
        return rc;
    }
    for (unsigned i = 0; i < index.n && rc == 0; i++) {
        if (fits(run, &index.items[i])) {
            any = true;
            rc = load_item(run, &index.items[i], &index.items[i], 0, e);
        }
    }
    if (rc == 0 && !any) {
        rc = no_platform(run, &index, e);
    }
    ocijson_index_finish(&index);
    return rc;
}

/* ---- docker save ---- */

static int unpack_saved(struct run *run, const struct ocijson_saved *saved,
                        const struct image *image, struct err *e)
{
    if (saved->n_layers != image->n_diff_ids) {
        return err_say(e, EBADMSG, "manifest.json has %u layers, the configuration has %u",
                       saved->n_layers, image->n_diff_ids);
    }
    for (unsigned i = 0; i < saved->n_layers; i++) {
        struct layer_want want = {.file = saved->layers[i],
                                  .diff_id = image->diff_ids[i],
                                  .number = i + 1,
                                  .of = saved->n_layers};
        int rc = want_layer(run, &want, e);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* "<digest>.json", or "blobs/sha256/<digest>": the name must be the content's digest. */
static int check_config_name(const char *name, const char *digest, struct err *e)
{
    const char *base = strrchr(name, '/');
    const char *hex = digest + strlen("sha256:");

    base = base != NULL ? base + 1 : name;
    if (strncmp(base, hex, 64) == 0 && (base[64] == '\0' || strcmp(base + 64, ".json") == 0)) {
        return 0;
    }
    return err_say(e, EBADMSG, "configuration '%.150s' is %s, not what its name says", name,
                   digest);
}

static int load_saved_config(struct run *run, const struct ocijson_saved *saved,
                             struct image *ret_image, struct err *e)
{
    auto_buf struct buf text = {0};
    char digest[SHA_TEXT];
    int rc = source_read(run->source, saved->config, OCIJSON_CONFIG_MAX, &text, e);

    if (rc < 0) {
        return rc;
    }
    sha_of(buf_text(&text), text.len, digest);
    rc = check_config_name(saved->config, digest, e);
    if (rc == 0) {
        rc = ociconfig_parse(buf_text(&text), text.len, run->load->arch, ret_image, e);
    }
    if (rc == 0) {
        (void)snprintf(ret_image->digest, sizeof(ret_image->digest), "%s", digest);
        (void)snprintf(ret_image->config_digest, sizeof(ret_image->config_digest), "%s", digest);
    }
    return rc;
}

static int add_tags(const struct run *run, const struct ocijson_saved *saved, struct image *image,
                    struct err *e)
{
    const struct ocijson_descriptor nameless = {0};

    for (unsigned i = 0; i < saved->n_tags; i++) {
        int rc = add_name(image, saved->tags[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    return saved->n_tags > 0 ? 0 : add_ref(run, &nameless, image, e);
}

static int load_saved(struct run *run, const struct ocijson_saved *saved, struct err *e)
{
    struct image image = {0};
    int rc = load_saved_config(run, saved, &image, e);

    if (rc == 0) {
        rc = unpack_saved(run, saved, &image, e);
    }
    if (rc == 0 && run->load->job->name[0] == '\0') {
        rc = add_tags(run, saved, &image, e);
    }
    if (rc == 0) {
        rc = emit_image(run, &image, e);
    }
    image_finish(&image);
    return rc;
}

static int load_saves(struct run *run, struct err *e)
{
    struct ocijson_saves saves = {0};
    auto_buf struct buf text = {0};
    int rc = source_read(run->source, "manifest.json", OCIJSON_MANIFEST_MAX, &text, e);

    if (rc < 0) {
        return rc;
    }
    rc = ocijson_saves(buf_text(&text), text.len, &saves, e);
    if (rc < 0) {
        (void)err_wrap(e, "manifest.json");
        return rc;
    }
    for (unsigned i = 0; i < saves.n && rc == 0; i++) {
        rc = load_saved(run, &saves.items[i], e);
    }
    ocijson_saves_finish(&saves);
    return rc;
}

/* ---- the whole ---- */

static int load_any(struct run *run, struct err *e)
{
    if (source_has(run->source, "index.json")) {
        return load_layout(run, e);
    }
    if (source_has(run->source, "manifest.json")) {
        return load_saves(run, e);
    }
    return err_say(e, EINVAL,
                   "is no image: there is neither an index.json (OCI layout) nor a manifest.json "
                   "(docker save) in it");
}

int load_run(const struct load *load, struct err *e)
{
    struct run run = {.load = load};
    int rc = source_open(load->source_fd, load->job->directory, &run.source, e);

    if (rc == 0) {
        rc = load_any(&run, e);
    }
    source_destroy(run.source);
    free(run.staged);
    if (rc < 0) {
        (void)err_wrap(e, "%.150s", load->job->label);
        return rc;
    }
    FAILPOINT("worker.load.before_sync");
    if (syncfs(load->staging_fd) < 0) {
        return err_set(e, errno, "sync the staging directory");
    }
    return 0;
}
