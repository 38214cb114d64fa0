// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/load_saved.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/worker/ociconfig.h"
#include "agent/worker/sha.h"
#include "common/buf.h"

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
        int rc = load_want_layer(run, &want, e);

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
        int rc = load_add_name(image, saved->tags[i], e);

        if (rc < 0) {
            return rc;
        }
    }
    return saved->n_tags > 0 ? 0 : load_add_ref(run, &nameless, image, e);
}

static int load_one(struct run *run, const struct ocijson_saved *saved, struct err *e)
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
        rc = load_emit_image(run, &image, e);
    }
    image_finish(&image);
    return rc;
}

int load_saved(struct run *run, struct err *e)
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
        rc = load_one(run, &saves.items[i], e);
    }
    ocijson_saves_finish(&saves);
    return rc;
}
