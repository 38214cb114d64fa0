// SPDX-License-Identifier: Apache-2.0
#include "agent/codec_worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/codec_image_priv.h"
#include "common/cleanup.h"
#include "common/imageref.h"

/* Copies text that must fit; -EBADMSG names the field. */
static int take_text(char *dst, size_t size, const char *src, const char *field, struct err *e)
{
    if (strlen(src) >= size) {
        return err_say(e, EBADMSG, "%s is longer than %zu bytes", field, size - 1);
    }
    memcpy(dst, src, strlen(src) + 1);
    return 0;
}

/* ---- load ---- */

void codec_worker_job_encode(const struct load_job *job, struct buf *out)
{
    Wherry__Image__LoadJob msg = WHERRY__IMAGE__LOAD_JOB__INIT;

    msg.label = (char *)job->label;
    msg.name = (char *)job->name;
    msg.default_name = (char *)job->default_name;
    msg.directory = job->directory;
    msg.known = (char **)job->known;
    while (job->known[msg.n_known] != NULL) {
        msg.n_known++;
    }
    doc_encode(&msg.base, out);
}

/* One block: the array of pointers, then the texts. */
static void job_take(const Wherry__Image__LoadJob *msg, struct load_job *job)
{
    size_t size = (msg->n_known + 1) * sizeof(char *) + strlen(msg->label) + strlen(msg->name) +
                  strlen(msg->default_name) + 3;
    const char **known;
    char *text;

    for (size_t i = 0; i < msg->n_known; i++) {
        size += strlen(msg->known[i]) + 1;
    }
    job->memory = known = xmalloc(size);
    text = (char *)&known[msg->n_known + 1];
    for (size_t i = 0; i < msg->n_known; i++) {
        known[i] = text;
        text = stpcpy(text, msg->known[i]) + 1;
    }
    known[msg->n_known] = NULL;
    job->known = known;
    job->label = text;
    text = stpcpy(text, msg->label) + 1;
    job->name = text;
    text = stpcpy(text, msg->name) + 1;
    job->default_name = text;
    (void)stpcpy(text, msg->default_name);
    job->directory = msg->directory;
}

int codec_worker_job_decode(const void *bytes, size_t len, struct load_job *ret_job, struct err *e)
{
    auto_doc struct doc doc = {0};
    int rc = codec_image_message_decode(&wherry__image__load_job__descriptor, bytes, len, &doc, e);

    if (rc < 0) {
        return rc;
    }
    job_take((const Wherry__Image__LoadJob *)doc.message, ret_job);
    return 0;
}

static void encode_layer(const struct load_event *event, struct buf *out)
{
    Wherry__Image__LoadEvent msg = WHERRY__IMAGE__LOAD_EVENT__INIT;
    Wherry__Image__LoadLayer layer = WHERRY__IMAGE__LOAD_LAYER__INIT;
    Wherry__Image__Layer info;

    codec_image_layer_make(&event->layer.info, &info);
    layer.staged = (char *)event->layer.staged;
    layer.layer = &info;
    layer.skipped = event->layer.skipped;
    msg.what_case = WHERRY__IMAGE__LOAD_EVENT__WHAT_LAYER;
    msg.layer = &layer;
    doc_encode(&msg.base, out);
}

static void encode_image(const struct load_event *event, struct buf *out)
{
    Wherry__Image__LoadEvent msg = WHERRY__IMAGE__LOAD_EVENT__INIT;
    struct codec_image_msg image;

    codec_image_msg_make(&event->image, &image);
    msg.what_case = WHERRY__IMAGE__LOAD_EVENT__WHAT_IMAGE;
    msg.image = &image.image;
    doc_encode(&msg.base, out);
    codec_image_msg_finish(&image);
}

void codec_worker_event_encode(const struct load_event *event, struct buf *out)
{
    Wherry__Image__LoadEvent msg = WHERRY__IMAGE__LOAD_EVENT__INIT;
    Wherry__Image__LoadProgress progress = WHERRY__IMAGE__LOAD_PROGRESS__INIT;
    Wherry__Image__LoadFailed failed = WHERRY__IMAGE__LOAD_FAILED__INIT;

    switch (event->type) {
    case LOAD_EVENT_LAYER:
        encode_layer(event, out);
        return;
    case LOAD_EVENT_IMAGE:
        encode_image(event, out);
        return;
    case LOAD_EVENT_PROGRESS:
        progress.layer = event->progress.layer;
        progress.layers = event->progress.layers;
        progress.bytes = event->progress.bytes;
        progress.bytes_total = event->progress.bytes_total;
        msg.what_case = WHERRY__IMAGE__LOAD_EVENT__WHAT_PROGRESS;
        msg.progress = &progress;
        break;
    case LOAD_EVENT_FAILED:
        failed.code = event->failed.code;
        failed.text = (char *)event->failed.text;
        msg.what_case = WHERRY__IMAGE__LOAD_EVENT__WHAT_FAILED;
        msg.failed = &failed;
        break;
    case LOAD_EVENT_DONE:
        msg.what_case = WHERRY__IMAGE__LOAD_EVENT__WHAT_DONE;
        msg.done = true;
        break;
    }
    doc_encode(&msg.base, out);
}

/* The name becomes a part of a path in the store: digits only. */
static int take_staged(const Wherry__Image__LoadLayer *msg, struct load_event *event, struct err *e)
{
    size_t len = strlen(msg->staged);

    if (len == 0 || len >= sizeof(event->layer.staged) ||
        strspn(msg->staged, "0123456789") != len) {
        return err_say(e, EBADMSG, "worker names a bad staging directory");
    }
    event->type = LOAD_EVENT_LAYER;
    memcpy(event->layer.staged, msg->staged, len + 1);
    event->layer.skipped = msg->skipped;
    return codec_image_layer_check(msg->layer, &event->layer.info, e);
}

static void take_failed(const Wherry__Image__LoadFailed *msg, struct load_event *event)
{
    event->type = LOAD_EVENT_FAILED;
    event->failed.code = msg->code < 0 && msg->code > -4096 ? msg->code : -EIO;
    (void)snprintf(event->failed.text, sizeof(event->failed.text), "%s", msg->text);
}

static int take_event(const Wherry__Image__LoadEvent *msg, struct load_event *event, struct err *e)
{
    switch (msg->what_case) {
    case WHERRY__IMAGE__LOAD_EVENT__WHAT_PROGRESS:
        event->type = LOAD_EVENT_PROGRESS;
        event->progress.layer = msg->progress->layer;
        event->progress.layers = msg->progress->layers;
        event->progress.bytes = msg->progress->bytes;
        event->progress.bytes_total = msg->progress->bytes_total;
        return 0;
    case WHERRY__IMAGE__LOAD_EVENT__WHAT_LAYER:
        return take_staged(msg->layer, event, e);
    case WHERRY__IMAGE__LOAD_EVENT__WHAT_IMAGE:
        event->type = LOAD_EVENT_IMAGE;
        return codec_image_from_msg(msg->image, &event->image, e);
    case WHERRY__IMAGE__LOAD_EVENT__WHAT_FAILED:
        take_failed(msg->failed, event);
        return 0;
    case WHERRY__IMAGE__LOAD_EVENT__WHAT_DONE:
        event->type = LOAD_EVENT_DONE;
        return 0;
    case WHERRY__IMAGE__LOAD_EVENT__WHAT__NOT_SET:
    case _WHERRY__IMAGE__LOAD_EVENT__WHAT__CASE_IS_INT_SIZE:
        break;
    }
    return err_say(e, EBADMSG, "worker sent an unknown message");
}

int codec_worker_event_decode(const void *bytes, size_t len, struct load_event *ret_event,
                              struct err *e)
{
    auto_doc struct doc doc = {0};
    int rc =
        codec_image_message_decode(&wherry__image__load_event__descriptor, bytes, len, &doc, e);

    if (rc < 0) {
        return rc;
    }
    *ret_event = (struct load_event){0};
    return take_event((const Wherry__Image__LoadEvent *)doc.message, ret_event, e);
}

/* ---- probe ---- */

void codec_worker_probe_job_encode(const struct probe_job *job, struct buf *out)
{
    Wherry__Image__ProbeJob msg = WHERRY__IMAGE__PROBE_JOB__INIT;

    msg.id = job->id;
    msg.address = (char *)job->address;
    msg.port = job->port;
    msg.path = (char *)job->path;
    msg.host = (char *)job->host;
    msg.timeout_ms = job->timeout_ms;
    doc_encode(&msg.base, out);
}

int codec_worker_probe_job_decode(const void *bytes, size_t len, struct probe_job *ret_job,
                                  struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Image__ProbeJob *msg;
    int rc = codec_image_message_decode(&wherry__image__probe_job__descriptor, bytes, len, &doc, e);

    if (rc < 0) {
        return rc;
    }
    msg = (const Wherry__Image__ProbeJob *)doc.message;
    if (msg->port == 0 || msg->port > 65535) {
        return err_say(e, EBADMSG, "probe has port %u (allowed: 1 to 65535)", msg->port);
    }
    ret_job->id = msg->id;
    ret_job->port = (uint16_t)msg->port;
    ret_job->timeout_ms = msg->timeout_ms;
    rc = take_text(ret_job->address, sizeof(ret_job->address), msg->address, "address", e);
    if (rc == 0) {
        rc = take_text(ret_job->path, sizeof(ret_job->path), msg->path, "path", e);
    }
    if (rc == 0) {
        rc = take_text(ret_job->host, sizeof(ret_job->host), msg->host, "host", e);
    }
    return rc;
}

void codec_worker_probe_result_encode(const struct probe_result *result, struct buf *out)
{
    Wherry__Image__ProbeResult msg = WHERRY__IMAGE__PROBE_RESULT__INIT;

    msg.id = result->id;
    msg.refused = result->refused;
    msg.timed_out = result->timed_out;
    msg.status = result->status;
    msg.text = (char *)result->text;
    doc_encode(&msg.base, out);
}

int codec_worker_probe_result_decode(const void *bytes, size_t len, struct probe_result *ret_result,
                                     struct err *e)
{
    auto_doc struct doc doc = {0};
    const Wherry__Image__ProbeResult *msg;
    int rc =
        codec_image_message_decode(&wherry__image__probe_result__descriptor, bytes, len, &doc, e);

    if (rc < 0) {
        return rc;
    }
    msg = (const Wherry__Image__ProbeResult *)doc.message;
    ret_result->id = msg->id;
    ret_result->refused = msg->refused;
    ret_result->timed_out = msg->timed_out;
    ret_result->status = msg->status;
    return take_text(ret_result->text, sizeof(ret_result->text), msg->text, "text", e);
}
