// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/worker/blobstream.h"
#include "agent/worker/layer.h"
#include "agent/worker/load_oci.h"
#include "agent/worker/load_priv.h"
#include "agent/worker/load_saved.h"
#include "common/cleanup.h"
#include "common/imageref.h"

#define IMAGES_MAX     64
#define PROGRESS_BYTES (1024u * 1024)

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

int load_want_layer(struct run *run, const struct layer_want *want, struct err *e)
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

int load_add_name(struct image *image, const char *text, struct err *e)
{
    struct imageref ref;
    int rc = imageref_parse(text, &ref, e);

    if (rc == 0 && ref.name[0] != '\0' && ref.digest[0] == '\0') {
        image_name_add(image, ref.name);
    }
    return rc;
}

/* A reference name is a whole name ("shop/web:1") or, from most tools, a tag alone ("1"). */
int load_add_ref(const struct run *run, const struct ocijson_descriptor *d, struct image *image,
                 struct err *e)
{
    const struct load_job *job = run->load->job;
    auto_free char *text = NULL;

    if (d->name[0] != '\0') {
        return load_add_name(image, d->name, e);
    }
    if (strpbrk(d->ref, "/:") != NULL) {
        return load_add_name(image, d->ref, e);
    }
    if (job->default_name[0] == '\0') {
        return 0;
    }
    text = xasprintf("%s%s%s", job->default_name, d->ref[0] != '\0' ? ":" : "", d->ref);
    (void)load_add_name(image, text, NULL); /* a file's name need not be an image's */
    return 0;
}

int load_emit_image(struct run *run, struct image *image, struct err *e)
{
    struct load_event event = {.type = LOAD_EVENT_IMAGE};

    if (run->load->job->name[0] != '\0') {
        int rc;

        if (run->n_images > 0) {
            return err_say(e, EINVAL, "holds several images, so they cannot all be called '%s'",
                           run->load->job->name);
        }
        rc = load_add_name(image, run->load->job->name, e);
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

/* ---- the whole ---- */

static int load_any(struct run *run, struct err *e)
{
    if (source_has(run->source, "index.json")) {
        return load_oci(run, e);
    }
    if (source_has(run->source, "manifest.json")) {
        return load_saved(run, e);
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
    if (syncfs(load->staging_fd) < 0) {
        return err_set(e, errno, "sync the staging directory");
    }
    return 0;
}
