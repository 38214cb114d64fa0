// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_IMAGE_H
#define WHERRY_AGENT_IMAGE_H

/* An image as Wherry uses it: its names, its identity, its layers and the part of its
 * configuration that a container starts from. Filled only from records that wherry-worker has
 * verified; nothing in it decides anything but the container's own process (labels in particular
 * are shown and never read back). */

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_DIGEST_MAX 80 /* "sha256:" and 64 digits, with room */
#define IMAGE_LAYERS_MAX 128
#define IMAGE_LINK_MAX   12

struct image_pair {
    char *key;
    char *value;
};

struct image_health {
    bool set;    /* false: the image says nothing */
    char **argv; /* NULL-terminated; empty and set: the image says NONE */
    unsigned argc;
    uint64_t interval_ms; /* 0: nothing said; likewise below */
    uint64_t timeout_ms;
    uint64_t start_period_ms;
    uint64_t start_interval_ms;
    uint32_t retries;
};

struct image_layer {
    char diff_id[IMAGE_DIGEST_MAX]; /* "sha256:…" of the uncompressed layer */
    char link[IMAGE_LINK_MAX];      /* directory below <state>/images/layers, e.g. "17" */
    uint64_t bytes;
};

struct image {
    char **names; /* normalised, e.g. "docker.io/library/busybox:latest" */
    unsigned n_names;
    char digest[IMAGE_DIGEST_MAX]; /* the identity: of the manifest, or of the
                                      configuration where the archive has no manifest */
    char config_digest[IMAGE_DIGEST_MAX];
    char (*diff_ids)[IMAGE_DIGEST_MAX]; /* bottom first, as in the configuration */
    unsigned n_diff_ids;
    struct image_layer *layers; /* top first, without repetitions: ready for lowerdir */
    unsigned n_layers;
    char **entrypoint; /* NULL-terminated, never NULL */
    unsigned n_entrypoint;
    char **cmd; /* likewise */
    unsigned n_cmd;
    struct image_pair *env; /* in the image's order */
    unsigned n_env;
    char *user;           /* "" if nothing said */
    char *workdir;        /* "" or absolute */
    uint32_t stop_signal; /* 0: nothing said */
    char **ports;         /* "8080/tcp" */
    unsigned n_ports;
    char **volumes; /* absolute paths */
    unsigned n_volumes;
    struct image_pair *labels;
    unsigned n_labels;
    struct image_health health;
    uint64_t bytes; /* contents of all its layers */
    uint64_t loaded_unix_ms;
};

/* Appends a copy to a NULL-terminated array of strings (NULL: none yet). */
void image_strv_add(char ***strv, unsigned *n, const char *text);
void image_strv_free(char **strv);
void image_pairs_add(struct image_pair **pairs, unsigned *n, const char *key, const char *value);

/* Appends a digest to `diff_ids`; must be shorter than IMAGE_DIGEST_MAX. */
void image_diff_id_add(struct image *image, const char *digest);

/* Adds a name unless it is there. Borrows. */
void image_name_add(struct image *image, const char *name);

/* Whether it has this name. */
bool image_has_name(const struct image *image, const char *name);

/* Takes the name away, if it is there. */
void image_name_drop(struct image *image, const char *name);

/* Frees what the image holds and zeroes it. Accepts zeroed memory. */
void image_finish(struct image *image);

#endif
