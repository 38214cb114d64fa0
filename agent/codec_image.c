// SPDX-License-Identifier: Apache-2.0
#include "agent/codec_image.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_image_priv.h"
#include "common/cleanup.h"
#include "common/doc.h"
#include "common/imageref.h"
#include "image.pb-c.h"

/* Wide for layers of the index and known layers of a job, long for environment strings. */
static const struct doc_limits limits = {.repeated_max = CODEC_IMAGE_LAYERS_MAX,
                                         .string_max = DOC_LONG_MAX};

int codec_image_message_decode(const ProtobufCMessageDescriptor *type, const void *bytes,
                               size_t len, struct doc *ret_doc, struct err *e)
{
    return doc_decode(type, bytes, len, &limits, ret_doc, e);
}

/* ---- structure to message: the message borrows from the structure ---- */

static Wherry__Image__Variable **variables_from(const struct image_pair *pairs, unsigned n)
{
    Wherry__Image__Variable **list = xcalloc(n + 1, sizeof(*list));
    Wherry__Image__Variable *all = xcalloc(n + 1, sizeof(*all));

    list[0] = all; /* so that one pointer frees them, also when there are none */
    for (unsigned i = 0; i < n; i++) {
        wherry__image__variable__init(&all[i]);
        all[i].name = pairs[i].key;
        all[i].value = pairs[i].value;
        list[i] = &all[i];
    }
    return list;
}

static void variables_free(Wherry__Image__Variable **list)
{
    free(list[0]);
    free(list);
}

static void health_from(const struct image_health *health, Wherry__Image__Health *msg)
{
    wherry__image__health__init(msg);
    msg->set = health->set;
    msg->n_argv = health->argc;
    msg->argv = health->argv;
    msg->interval_ms = health->interval_ms;
    msg->timeout_ms = health->timeout_ms;
    msg->start_period_ms = health->start_period_ms;
    msg->start_interval_ms = health->start_interval_ms;
    msg->retries = health->retries;
}

void codec_image_msg_make(const struct image *image, struct codec_image_msg *ret)
{
    Wherry__Image__Image *msg = &ret->image;
    Wherry__Image__Config *config = &ret->config;

    wherry__image__image__init(msg);
    wherry__image__config__init(config);
    health_from(&image->health, &ret->health);
    ret->diff_ids = xcalloc(image->n_diff_ids + 1, sizeof(char *));
    for (unsigned i = 0; i < image->n_diff_ids; i++) {
        ret->diff_ids[i] = image->diff_ids[i];
    }
    msg->n_names = image->n_names;
    msg->names = image->names;
    msg->digest = (char *)image->digest;
    msg->config_digest = (char *)image->config_digest;
    msg->n_diff_ids = image->n_diff_ids;
    msg->diff_ids = ret->diff_ids;
    msg->created_unix_ms = image->loaded_unix_ms;
    msg->config = config;
    config->n_entrypoint = image->n_entrypoint;
    config->entrypoint = image->entrypoint;
    config->n_cmd = image->n_cmd;
    config->cmd = image->cmd;
    config->n_env = image->n_env;
    config->env = ret->env = variables_from(image->env, image->n_env);
    config->user = image->user != NULL ? image->user : (char *)"";
    config->workdir = image->workdir != NULL ? image->workdir : (char *)"";
    config->stop_signal = image->stop_signal;
    config->n_ports = image->n_ports;
    config->ports = image->ports;
    config->n_volumes = image->n_volumes;
    config->volumes = image->volumes;
    config->n_labels = image->n_labels;
    config->labels = ret->labels = variables_from(image->labels, image->n_labels);
    config->health = &ret->health;
}

void codec_image_msg_finish(struct codec_image_msg *msg)
{
    free(msg->diff_ids);
    variables_free(msg->env);
    variables_free(msg->labels);
}

/* ---- message to structure ---- */

static int check_names(const Wherry__Image__Image *msg, struct err *e)
{
    for (size_t i = 0; i < msg->n_names; i++) {
        struct imageref ref;

        if (imageref_parse(msg->names[i], &ref, e) < 0) {
            return -EBADMSG;
        }
        if (strcmp(ref.name, msg->names[i]) != 0 || ref.digest[0] != '\0') {
            return err_say(e, EBADMSG, "image name '%.200s' is not in its normal form",
                           msg->names[i]);
        }
    }
    return 0;
}

static int check_digests(const Wherry__Image__Image *msg, struct err *e)
{
    if (!imageref_is_digest(msg->digest) || !imageref_is_digest(msg->config_digest)) {
        return err_say(e, EBADMSG, "image record has a bad digest");
    }
    if (msg->n_diff_ids == 0 || msg->n_diff_ids > IMAGE_LAYERS_MAX) {
        return err_say(e, EBADMSG, "image %s has %zu layers (allowed: 1 to %d)", msg->digest,
                       msg->n_diff_ids, IMAGE_LAYERS_MAX);
    }
    for (size_t i = 0; i < msg->n_diff_ids; i++) {
        if (!imageref_is_digest(msg->diff_ids[i])) {
            return err_say(e, EBADMSG, "image %s has a bad layer digest", msg->digest);
        }
    }
    return 0;
}

static int check_config(const Wherry__Image__Config *config, const char *digest, struct err *e)
{
    if (config == NULL) {
        return err_say(e, EBADMSG, "image %s has no configuration", digest);
    }
    if (config->workdir[0] != '\0' && config->workdir[0] != '/') {
        return err_say(e, EBADMSG, "image %s has a relative working directory", digest);
    }
    if (config->stop_signal > 64) {
        return err_say(e, EBADMSG, "image %s has stop signal %u (allowed: 1 to 64)", digest,
                       config->stop_signal);
    }
    for (size_t i = 0; i < config->n_env; i++) {
        const char *name = config->env[i]->name;

        if (name[0] == '\0' || strchr(name, '=') != NULL) {
            return err_say(e, EBADMSG, "image %s has a bad environment name", digest);
        }
    }
    for (size_t i = 0; i < config->n_volumes; i++) {
        if (config->volumes[i][0] != '/') {
            return err_say(e, EBADMSG, "image %s has a relative volume path", digest);
        }
    }
    return 0;
}

static void strv_to(char **list, size_t n, char ***strv, unsigned *ret_n)
{
    *strv = xcalloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        (*strv)[i] = xstrdup(list[i]);
    }
    *ret_n = (unsigned)n;
}

static void variables_to(Wherry__Image__Variable **list, size_t n, struct image_pair **pairs,
                         unsigned *ret_n)
{
    for (size_t i = 0; i < n; i++) {
        image_pairs_add(pairs, ret_n, list[i]->name, list[i]->value);
    }
}

static void health_to(const Wherry__Image__Health *msg, struct image_health *health)
{
    health->argv = xcalloc(1, sizeof(char *));
    if (msg == NULL || !msg->set) {
        return;
    }
    free(health->argv);
    strv_to(msg->argv, msg->n_argv, &health->argv, &health->argc);
    health->set = true;
    health->interval_ms = msg->interval_ms;
    health->timeout_ms = msg->timeout_ms;
    health->start_period_ms = msg->start_period_ms;
    health->start_interval_ms = msg->start_interval_ms;
    health->retries = msg->retries;
}

int codec_image_from_msg(const Wherry__Image__Image *msg, struct image *ret_image, struct err *e)
{
    const Wherry__Image__Config *config = msg->config;
    struct image image = {0};
    int rc = check_names(msg, e);

    if (rc == 0) {
        rc = check_digests(msg, e);
    }
    if (rc == 0) {
        rc = check_config(config, msg->digest, e);
    }
    if (rc < 0) {
        return rc;
    }
    strv_to(msg->names, msg->n_names, &image.names, &image.n_names);
    memcpy(image.digest, msg->digest, IMAGEREF_DIGEST_LEN + 1);
    memcpy(image.config_digest, msg->config_digest, IMAGEREF_DIGEST_LEN + 1);
    for (size_t i = 0; i < msg->n_diff_ids; i++) {
        image_diff_id_add(&image, msg->diff_ids[i]);
    }
    strv_to(config->entrypoint, config->n_entrypoint, &image.entrypoint, &image.n_entrypoint);
    strv_to(config->cmd, config->n_cmd, &image.cmd, &image.n_cmd);
    variables_to(config->env, config->n_env, &image.env, &image.n_env);
    image.user = xstrdup(config->user);
    image.workdir = xstrdup(config->workdir);
    image.stop_signal = config->stop_signal;
    strv_to(config->ports, config->n_ports, &image.ports, &image.n_ports);
    strv_to(config->volumes, config->n_volumes, &image.volumes, &image.n_volumes);
    variables_to(config->labels, config->n_labels, &image.labels, &image.n_labels);
    health_to(config->health, &image.health);
    image.loaded_unix_ms = msg->created_unix_ms;
    *ret_image = image;
    return 0;
}

int codec_image_layer_check(const Wherry__Image__Layer *msg, struct index_layer *ret_layer,
                            struct err *e)
{
    if (msg == NULL || !imageref_is_digest(msg->diff_id)) {
        return err_say(e, EBADMSG, "layer record has a bad digest");
    }
    *ret_layer = (struct index_layer){
        .link = msg->link, .bytes = msg->bytes, .entries = msg->entries, .opaque = msg->opaque};
    memcpy(ret_layer->diff_id, msg->diff_id, IMAGEREF_DIGEST_LEN + 1);
    return 0;
}

void codec_image_layer_make(const struct index_layer *layer, Wherry__Image__Layer *ret_msg)
{
    wherry__image__layer__init(ret_msg);
    ret_msg->diff_id = (char *)layer->diff_id;
    ret_msg->link = layer->link;
    ret_msg->bytes = layer->bytes;
    ret_msg->entries = layer->entries;
    ret_msg->opaque = layer->opaque;
}

static void copy_without_layers(const struct image *image, struct image *ret_image)
{
    struct codec_image_msg msg;
    int rc;

    codec_image_msg_make(image, &msg);
    rc = codec_image_from_msg(&msg.image, ret_image, NULL);
    assert(rc == 0);
    codec_image_msg_finish(&msg);
}

void codec_image_copy(const struct image *image, struct image *ret_image)
{
    copy_without_layers(image, ret_image);
    if (image->n_layers > 0) {
        ret_image->layers = xcalloc(image->n_layers, sizeof(*ret_image->layers));
        memcpy(ret_image->layers, image->layers, image->n_layers * sizeof(*ret_image->layers));
        ret_image->n_layers = image->n_layers;
    }
}

/* ---- the index ---- */

void codec_image_index_finish(struct image_index *index)
{
    for (unsigned i = 0; i < index->n_images; i++) {
        image_finish(&index->images[i]);
    }
    free(index->images);
    free(index->layers);
    *index = (struct image_index){0};
}

void codec_image_index_copy(const struct image_index *from, struct image_index *to)
{
    *to = (struct image_index){
        .next_link = from->next_link, .n_layers = from->n_layers, .n_images = from->n_images};
    to->layers = xcalloc(from->n_layers, sizeof(*to->layers));
    to->images = xcalloc(from->n_images, sizeof(*to->images));
    if (from->n_layers > 0) {
        memcpy(to->layers, from->layers, from->n_layers * sizeof(*to->layers));
    }
    for (unsigned i = 0; i < from->n_images; i++) {
        copy_without_layers(&from->images[i], &to->images[i]);
    }
}

void codec_image_index_encode(const struct image_index *index, struct buf *out)
{
    Wherry__Image__Index msg = WHERRY__IMAGE__INDEX__INIT;
    auto_free Wherry__Image__Layer *layers = xcalloc(index->n_layers, sizeof(*layers));
    auto_free Wherry__Image__Layer **layer_list = xcalloc(index->n_layers, sizeof(void *));
    auto_free struct codec_image_msg *images = xcalloc(index->n_images, sizeof(*images));
    auto_free Wherry__Image__Image **image_list = xcalloc(index->n_images, sizeof(void *));

    for (unsigned i = 0; i < index->n_layers; i++) {
        codec_image_layer_make(&index->layers[i], &layers[i]);
        layer_list[i] = &layers[i];
    }
    for (unsigned i = 0; i < index->n_images; i++) {
        codec_image_msg_make(&index->images[i], &images[i]);
        image_list[i] = &images[i].image;
    }
    msg.version = 1;
    msg.next_link = index->next_link;
    msg.n_layers = index->n_layers;
    msg.layers = layer_list;
    msg.n_images = index->n_images;
    msg.images = image_list;
    doc_encode(&msg.base, out);
    for (unsigned i = 0; i < index->n_images; i++) {
        codec_image_msg_finish(&images[i]);
    }
}

static int index_fill(const Wherry__Image__Index *msg, struct image_index *index, struct err *e)
{
    index->next_link = msg->next_link;
    index->layers = xcalloc(msg->n_layers, sizeof(*index->layers));
    index->images = xcalloc(msg->n_images, sizeof(*index->images));
    for (size_t i = 0; i < msg->n_layers; i++) {
        int rc = codec_image_layer_check(msg->layers[i], &index->layers[i], e);

        if (rc < 0) {
            return rc;
        }
        if (index->layers[i].link >= index->next_link) {
            return err_say(e, EBADMSG, "layer %zu has link %u, but only %u were given out", i,
                           index->layers[i].link, index->next_link);
        }
        index->n_layers++;
    }
    for (size_t i = 0; i < msg->n_images; i++) {
        int rc = codec_image_from_msg(msg->images[i], &index->images[i], e);

        if (rc < 0) {
            return rc;
        }
        index->n_images++;
    }
    return 0;
}

int codec_image_index_decode(const void *bytes, size_t len, struct image_index *ret_index,
                             struct err *e)
{
    auto_doc struct doc doc = {0};
    struct image_index index = {0};
    const Wherry__Image__Index *msg;
    int rc = codec_image_message_decode(&wherry__image__index__descriptor, bytes, len, &doc, e);

    if (rc < 0) {
        return rc;
    }
    msg = (const Wherry__Image__Index *)doc.message;
    if (msg->version != 1) {
        return err_say(e, EBADMSG, "index has version %u, this program reads version 1",
                       msg->version);
    }
    rc = index_fill(msg, &index, e);
    if (rc < 0) {
        codec_image_index_finish(&index);
        return rc;
    }
    *ret_index = index;
    return 0;
}
