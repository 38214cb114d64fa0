// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_CODEC_WORKER_H
#define WHERRY_AGENT_CODEC_WORKER_H

/* What wherry-worker and whoever started it say to each other (proto/image.proto), as plain
 * structures. Shared by both sides, so it decides nothing. The worker reads hostile bytes, so its
 * messages are decoded like those of a stranger. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/codec_image.h"
#include "common/buf.h"
#include "common/err.h"

#define CODEC_WORKER_STAGED_MAX 12 /* name of a staged layer: digits, with NUL */

/* ---- load ---- */

struct load_job {
    const char *label; /* how messages name the source */
    const char *name;  /* "" or what the image is to be called */
    const char *default_name;
    bool directory;
    const char *const *known; /* NULL-terminated diff ids */
    void *memory;             /* of a decoded job: free it */
};

void codec_worker_job_encode(const struct load_job *job, struct buf *out);
int codec_worker_job_decode(const void *bytes, size_t len, struct load_job *ret_job, struct err *e);

enum load_event_type {
    LOAD_EVENT_PROGRESS,
    LOAD_EVENT_LAYER,
    LOAD_EVENT_IMAGE,
    LOAD_EVENT_FAILED,
    LOAD_EVENT_DONE
};

struct load_event {
    enum load_event_type type;
    struct {
        uint32_t layer, layers;
        uint64_t bytes, bytes_total;
    } progress;
    struct {
        char staged[CODEC_WORKER_STAGED_MAX]; /* directory in staging: digits only */
        struct index_layer info;              /* without link */
        uint32_t skipped;
    } layer;
    struct image image; /* LOAD_EVENT_IMAGE: free with image_finish */
    struct err failed;
};

void codec_worker_event_encode(const struct load_event *event, struct buf *out);
int codec_worker_event_decode(const void *bytes, size_t len, struct load_event *ret_event,
                              struct err *e);

/* ---- probe ---- */

#define CODEC_WORKER_PROBE_PATH_MAX 2048
#define CODEC_WORKER_PROBE_HOST_MAX 255
#define CODEC_WORKER_PROBE_TEXT_MAX 200
#define CODEC_WORKER_PROBE_MAX      4096 /* bytes of one datagram */

struct probe_job {
    uint64_t id;
    char address[46];
    uint16_t port;
    char path[CODEC_WORKER_PROBE_PATH_MAX];
    char host[CODEC_WORKER_PROBE_HOST_MAX + 1];
    uint32_t timeout_ms;
};

struct probe_result {
    uint64_t id;
    bool refused;
    bool timed_out;
    uint32_t status; /* HTTP status; 0: no answer */
    char text[CODEC_WORKER_PROBE_TEXT_MAX + 1];
};

void codec_worker_probe_job_encode(const struct probe_job *job, struct buf *out);
int codec_worker_probe_job_decode(const void *bytes, size_t len, struct probe_job *ret_job,
                                  struct err *e);
void codec_worker_probe_result_encode(const struct probe_result *result, struct buf *out);
int codec_worker_probe_result_decode(const void *bytes, size_t len, struct probe_result *ret_result,
                                     struct err *e);

#endif
