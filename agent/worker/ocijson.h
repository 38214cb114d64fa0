// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_WORKER_OCIJSON_H
#define WHERRY_AGENT_WORKER_OCIJSON_H

/* The JSON documents of an image, as the OCI image specification 1.1 and `docker save` have them,
 * checked into plain structures. Hostile input: sizes, depth (64) and counts are capped, duplicate
 * keys refused, digests and media types held against what is allowed. Pure but for memory. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image.h"
#include "common/err.h"
#include "common/imageref.h"

#define OCIJSON_MANIFEST_MAX (4u * 1024 * 1024) /* distribution specification: manifests */
#define OCIJSON_CONFIG_MAX   (1024u * 1024)
#define OCIJSON_INDEX_ITEMS  256
#define OCIJSON_DEPTH_MAX    64

struct ocijson_descriptor {
    char media_type[128];
    char digest[IMAGE_DIGEST_MAX];
    uint64_t size;
    char os[24], arch[24], variant[24]; /* "" if not said */
    char name[IMAGEREF_MAX];            /* io.containerd.image.name, or "" */
    char ref[IMAGEREF_MAX];             /* org.opencontainers.image.ref.name, or "" */
    bool attestation;                   /* not an image: what buildkit adds about one */
};

struct ocijson_index {
    struct ocijson_descriptor *items;
    unsigned n;
};

struct ocijson_manifest {
    struct ocijson_descriptor config;
    struct ocijson_descriptor *layers; /* bottom first */
    unsigned n_layers;
};

/* One image of manifest.json in a `docker save` archive. */
struct ocijson_saved {
    char *config; /* member of the archive */
    char **tags;  /* NULL-terminated */
    unsigned n_tags;
    char **layers; /* members, bottom first */
    unsigned n_layers;
};

struct ocijson_saves {
    struct ocijson_saved *items;
    unsigned n;
};

/* Whether a media type is an index (or Docker's manifest list), an image manifest. */
bool ocijson_is_index(const char *media_type);
bool ocijson_is_manifest(const char *media_type);

/* Each returns 0, or -EBADMSG, -E2BIG with what is wrong and where. */
int ocijson_index(const char *text, size_t len, struct ocijson_index *ret_index, struct err *e);
int ocijson_manifest(const char *text, size_t len, struct ocijson_manifest *ret_manifest,
                     struct err *e);
int ocijson_saves(const char *text, size_t len, struct ocijson_saves *ret_saves, struct err *e);

void ocijson_index_finish(struct ocijson_index *index);
void ocijson_manifest_finish(struct ocijson_manifest *manifest);
void ocijson_saves_finish(struct ocijson_saves *saves);

#endif
