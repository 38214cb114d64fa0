// SPDX-License-Identifier: Apache-2.0
/* wherry-worker: reads in the agent's place what strangers wrote. Started as root by the agent or
 * by `wherry-agent image`, with descriptor 3 to talk to it, it gives up everything before its first
 * hostile byte (jail.h).
 *
 *   wherry-worker load    4: archive or directory, 5: staging directory; one job, then the end
 *   wherry-worker probe   HTTP probes on sockets that come with each job, until 3 is closed */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "agent/worker/httpprobe.h"
#include "agent/worker/jail.h"
#include "agent/worker/load.h"
#include "agent/worker/ociconfig.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/frame.h"

#define CONTROL_FD 3
#define SOURCE_FD  4
#define STAGING_FD 5

/* ---- frames over the control socket ---- */

static int send_all(const struct buf *frame)
{
    size_t done = 0;

    while (done < frame->len) {
        ssize_t n = write(CONTROL_FD, frame->data + done, frame->len - done);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Whoever started us is gone when this fails: then nobody wants the rest either. */
static void emit(void *arg, const struct load_event *event)
{
    auto_buf struct buf message = {0};
    auto_buf struct buf frame = {0};

    (void)arg;
    codec_worker_event_encode(event, &message);
    if (message.len > FRAME_MAX) {
        struct load_event failed = {.type = LOAD_EVENT_FAILED};

        (void)err_say(&failed.failed, E2BIG, "image configuration is larger than %u bytes",
                      FRAME_MAX);
        emit(NULL, &failed);
        _exit(1);
    }
    frame_put(&frame, message.data, message.len);
    if (send_all(&frame) < 0) {
        _exit(1);
    }
}

static int read_job(struct load_job *ret_job, struct err *e)
{
    struct frame_reader reader;
    const uint8_t *bytes;
    size_t len;
    int rc = 0;

    frame_reader_init(&reader, FRAME_MAX);
    while (rc == 0) {
        char chunk[4096];
        ssize_t n = read(CONTROL_FD, chunk, sizeof(chunk));

        if (n <= 0) {
            rc = n < 0 ? err_set(e, errno, "read the job") : err_say(e, EPIPE, "read no job");
            break;
        }
        rc = frame_feed(&reader, chunk, (size_t)n, e);
        if (rc == 0) {
            rc = frame_next(&reader, &bytes, &len, e);
        }
    }
    if (rc > 0) {
        rc = codec_worker_job_decode(bytes, len, ret_job, e);
    }
    frame_reader_finish(&reader);
    return rc;
}

/* ---- load ---- */

static int do_load(struct err *e)
{
    struct load_job job = {0};
    int source_fd = SOURCE_FD;
    struct jail jail = {.kind = JAIL_LOAD, .root_fd = STAGING_FD, .source_fd = &source_fd};
    struct load load = {.job = &job, .arch = ociconfig_host_arch(), .emit = emit};
    auto_close int staging = -1;
    int rc = read_job(&job, e);

    if (rc == 0) {
        jail.source_is_directory = job.directory;
        FAILPOINT("worker.load.before_jail"); /* inside, no file of an order can be seen */
        rc = jail_enter(&jail, e);
    }
    if (rc == 0) {
        /* Not the inherited descriptor: that one still sees the host's ids. */
        staging = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)close(STAGING_FD);
        load.source_fd = source_fd;
        load.staging_fd = staging;
        rc = staging < 0 ? err_set(e, errno, "open the staging directory") : load_run(&load, e);
    }
    free(job.memory);
    return rc;
}

static int main_load(void)
{
    struct load_event end = {.type = LOAD_EVENT_DONE};

    if (do_load(&end.failed) < 0) {
        end.type = LOAD_EVENT_FAILED;
    }
    emit(NULL, &end);
    return end.type == LOAD_EVENT_DONE ? 0 : 1;
}

/* ---- probe ---- */

static int main_probe(void)
{
    const struct jail jail = {.kind = JAIL_PROBE};
    struct httpprobe *probe;
    struct err e = {0};
    int rc = httpprobe_create(CONTROL_FD, &probe, &e);

    FAILPOINT("worker.probe.before_jail");
    if (rc == 0) {
        rc = jail_enter(&jail, &e);
    }
    if (rc == 0) {
        rc = httpprobe_run(probe, &e);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "wherry-worker: %s\n", e.text);
    }
    return rc < 0;
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(void);
    } modes[] = {{"load", main_load}, {"probe", main_probe}};

    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* names in archives are bytes, mostly UTF-8 */
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (argc == 2 && strcmp(argv[1], modes[i].name) == 0) {
            int code = modes[i].run();

            (void)fflush(NULL);
            _exit(code); /* in a jail there is nothing to tidy up, nor /proc to look for leaks in */
        }
    }
    (void)fprintf(stderr, "usage: wherry-worker load|probe, started by wherry-agent\n");
    return 2;
}
