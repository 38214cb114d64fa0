// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/load_oci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/worker/ociconfig.h"
#include "agent/worker/sha.h"
#include "common/buf.h"

#define INDEX_DEPTH 4

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
        rc = load_want_layer(run, &want, e);
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
        rc = load_add_ref(run, named, &image, e);
    }
    if (rc == 0) {
        rc = load_emit_image(run, &image, e);
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

/* An index may hold indexes: INDEX_DEPTH deep at most. */
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

int load_oci(struct run *run, struct err *e)
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
