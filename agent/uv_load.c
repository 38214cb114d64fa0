// SPDX-License-Identifier: Apache-2.0
/* The life of a load: begin (pool) -> worker runs (loop: process, pipe, timer) -> finish (pool) ->
 * on_done. Each of the three handles is closed before finish begins, so there is one place that
 * frees. */
#include "agent/uv_load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "agent/images_txn.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/frame.h"
#include "common/imageref.h"

#define TIMEOUT_MS (10u * 60 * 1000)
#define READ_CHUNK 65536

struct uv_load {
    uv_loop_t *loop;
    struct uv_load_options options;
    char *path, *name, *label, *default_name;
    uv_work_t work;
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    unsigned open;  /* handles not closed yet */
    bool exited;    /* or never started */
    bool cancelled; /* by the owner */
    bool done;      /* the worker said so */
    bool directory;
    int source_fd;
    struct images *images; /* our own handle */
    struct images_txn *txn;
    struct buf job;
    struct frame_reader reader;
    char chunk[READ_CHUNK];
    int status; /* 0 so far, or the first failure */
    struct err e;
    char **digests;
};

static void fail(struct uv_load *load, int status, const struct err *e)
{
    if (load->status == 0) {
        load->status = status;
        load->e = *e;
    }
}

/* ---- finish ---- */

static void finish_work(uv_work_t *work)
{
    struct uv_load *load = container_of(work, struct uv_load, work);

    if (load->status == 0) {
        load->status = images_txn_commit(load->txn, &load->digests, &load->e);
    }
    images_txn_end(load->txn);
    images_close(load->images);
}

static void load_free(struct uv_load *load)
{
    frame_reader_finish(&load->reader);
    buf_finish(&load->job);
    cleanup_close(&load->source_fd);
    image_strv_free(load->digests);
    free(load->path);
    free(load->name);
    free(load->label);
    free(load->default_name);
    free(load);
}

static void on_finished(uv_work_t *work, int status)
{
    struct uv_load *load = container_of(work, struct uv_load, work);

    (void)status;
    load->options.on_done(load->options.arg, load->status, &load->e, load->digests);
    load_free(load);
}

static void on_closed(uv_handle_t *handle)
{
    struct uv_load *load = handle->data;

    if (--load->open == 0) {
        (void)uv_queue_work(load->loop, &load->work, finish_work, on_finished);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_closed);
    }
}

/* Ends the worker; the rest follows from its exit. */
static void stop(struct uv_load *load)
{
    if (!load->exited) {
        (void)uv_process_kill(&load->process, SIGKILL);
    }
}

/* Both ends are needed: the exit, and all that was said before it. */
static void check_end(struct uv_load *load)
{
    struct err e;

    if (!load->exited || !uv_is_closing((uv_handle_t *)&load->pipe)) {
        return;
    }
    if (load->status == 0 && !load->done) {
        (void)err_say(&e, EIO, "%s: wherry-worker died while unpacking", load->label);
        fail(load, -EIO, &e);
    }
    close_handle((uv_handle_t *)&load->timer);
    close_handle((uv_handle_t *)&load->process);
}

/* ---- what the worker says ---- */

static void take_event(struct uv_load *load, const uint8_t *bytes, size_t len)
{
    struct load_event event;
    struct err e = {0};
    int rc = codec_worker_event_decode(bytes, len, &event, &e);

    if (rc < 0) {
        fail(load, rc, &e);
        stop(load);
        return;
    }
    switch (event.type) {
    case LOAD_EVENT_PROGRESS:
        if (load->options.on_progress != NULL) {
            struct uv_load_progress p = {.layer = event.progress.layer,
                                         .layers = event.progress.layers,
                                         .bytes = event.progress.bytes,
                                         .bytes_total = event.progress.bytes_total};

            load->options.on_progress(load->options.arg, &p);
        }
        break;
    case LOAD_EVENT_LAYER:
    case LOAD_EVENT_IMAGE:
        image_finish(&event.image);
        FAILPOINT("agent.image.after_layer_staged");
        rc = images_txn_add(load->txn, bytes, len, &e);
        break;
    case LOAD_EVENT_FAILED:
        rc = event.failed.code;
        e = event.failed;
        break;
    case LOAD_EVENT_DONE:
        load->done = true;
        break;
    }
    if (rc < 0) {
        fail(load, rc, &e);
        stop(load);
    }
}

static void take_bytes(struct uv_load *load, size_t n)
{
    const uint8_t *bytes;
    struct err e = {0};
    size_t len;
    int rc = frame_feed(&load->reader, load->chunk, n, &e);

    while (rc >= 0 && load->status == 0 &&
           (rc = frame_next(&load->reader, &bytes, &len, &e)) == 1) {
        take_event(load, bytes, len);
    }
    if (rc < 0) {
        fail(load, rc, &e);
        stop(load);
    }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_buf)
{
    struct uv_load *load = handle->data;

    (void)size;
    *ret_buf = uv_buf_init(load->chunk, sizeof(load->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct uv_load *load = stream->data;

    (void)buf;
    if (n > 0) {
        take_bytes(load, (size_t)n);
    } else if (n < 0) {
        close_handle((uv_handle_t *)stream);
        check_end(load);
    }
}

static void on_exit_worker(uv_process_t *process, int64_t code, int signal)
{
    struct uv_load *load = process->data;

    (void)code;
    (void)signal;
    load->exited = true;
    check_end(load);
}

static void on_timeout(uv_timer_t *timer)
{
    struct uv_load *load = timer->data;
    struct err e;

    (void)err_say(&e, ETIMEDOUT, "%s: loading took longer than %llu s", load->label,
                  (unsigned long long)(load->options.timeout_ms / 1000));
    fail(load, -ETIMEDOUT, &e);
    stop(load);
}

static void on_written(uv_write_t *write, int status)
{
    (void)write;
    (void)status; /* a worker that does not read its job exits, and that is seen */
}

/* ---- start ---- */

static void make_job(struct uv_load *load)
{
    const char **known = images_txn_known(load->txn);
    struct load_job job = {.label = load->label,
                           .name = load->name,
                           .default_name = load->default_name,
                           .directory = load->directory,
                           .known = known};
    auto_buf struct buf message = {0};

    codec_worker_job_encode(&job, &message);
    frame_put(&load->job, message.data, message.len);
    free(known);
}

static int spawn(struct uv_load *load)
{
    char *args[] = {(char *)load->options.program, (char *)"load", NULL};
    uv_stdio_container_t stdio[6] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&load->pipe},
        {.flags = UV_INHERIT_FD, .data.fd = load->source_fd},
        {.flags = UV_INHERIT_FD, .data.fd = images_txn_staging_fd(load->txn)},
    };
    uv_process_options_t options = {.file = load->options.program,
                                    .args = args,
                                    .exit_cb = on_exit_worker,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio)};

    FAILPOINT("agent.image.before_worker_spawn");
    return uv_spawn(load->loop, &load->process, &options);
}

static void run_worker(struct uv_load *load)
{
    uv_buf_t buf;
    struct err e;
    int rc;

    make_job(load);
    (void)uv_pipe_init(load->loop, &load->pipe, 0);
    (void)uv_timer_init(load->loop, &load->timer);
    load->pipe.data = load->timer.data = load->process.data = load;
    rc = spawn(load); /* initialises the process handle, even if it fails */
    load->process.data = load;
    load->open = 3;
    if (rc < 0) {
        (void)err_say(&e, rc, "start %s: %s", load->options.program, uv_strerror(rc));
        fail(load, rc, &e);
        load->exited = true;
        close_handle((uv_handle_t *)&load->pipe);
        check_end(load);
        return;
    }
    buf = uv_buf_init(load->job.data, (unsigned)load->job.len);
    (void)uv_write(&load->write, (uv_stream_t *)&load->pipe, &buf, 1, on_written);
    (void)uv_read_start((uv_stream_t *)&load->pipe, on_alloc, on_read);
    (void)uv_timer_start(&load->timer, on_timeout, load->options.timeout_ms, 0);
}

static int open_source(struct uv_load *load, struct err *e)
{
    struct stat st;

    load->source_fd = strcmp(load->path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                                   : open(load->path, O_RDONLY | O_CLOEXEC);
    if (load->source_fd < 0 || fstat(load->source_fd, &st) < 0) {
        return err_set(e, errno, "open %s", load->path);
    }
    load->directory = S_ISDIR(st.st_mode);
    return 0;
}

static void begin_work(uv_work_t *work)
{
    struct uv_load *load = container_of(work, struct uv_load, work);

    load->status = open_source(load, &load->e);
    if (load->status == 0) {
        load->status = images_reopen(load->options.images, &load->images, &load->e);
    }
    if (load->status == 0) {
        load->status = images_txn_begin(load->images, load->options.wait, &load->txn, &load->e);
    }
}

static void on_begun(uv_work_t *work, int status)
{
    struct uv_load *load = container_of(work, struct uv_load, work);

    if (status < 0 || load->cancelled) {
        load->status = -ECANCELED;
        (void)err_say(&load->e, ECANCELED, "loading was cancelled");
    }
    if (load->status < 0) {
        load->exited = true;
        (void)uv_queue_work(load->loop, &load->work, finish_work, on_finished);
        return;
    }
    run_worker(load);
}

/* "images/web.tar.gz" -> "web": what an archive that carries only a tag is called. */
static char *name_of_path(const char *path)
{
    const char *end = path + strlen(path);
    const char *base;
    struct imageref ref;
    char *name;

    while (end > path && end[-1] == '/') {
        end--;
    }
    base = end;
    while (base > path && base[-1] != '/') {
        base--;
    }
    name = xstrndup(base, (size_t)(end - base));
    name[strcspn(name, ".")] = '\0';
    if (name[0] != '\0' && imageref_parse(name, &ref, NULL) < 0) {
        name[0] = '\0';
    }
    return name;
}

struct uv_load *uv_load_start(uv_loop_t *loop, const struct uv_load_options *options)
{
    struct uv_load *load = xcalloc(1, sizeof(*load));

    load->loop = loop;
    load->options = *options;
    if (load->options.timeout_ms == 0) {
        load->options.timeout_ms = TIMEOUT_MS;
    }
    load->path = xstrdup(options->path);
    load->label =
        strcmp(options->path, "-") == 0 ? xstrdup("standard input") : xstrdup(options->path);
    load->name = xstrdup(options->name != NULL ? options->name : "");
    load->default_name = name_of_path(options->path);
    load->source_fd = -1;
    frame_reader_init(&load->reader, FRAME_MAX);
    (void)uv_queue_work(loop, &load->work, begin_work, on_begun);
    return load;
}

void uv_load_cancel(struct uv_load *load)
{
    struct err e;

    load->cancelled = true;
    if (load->open > 0) {
        (void)err_say(&e, ECANCELED, "loading was cancelled");
        fail(load, -ECANCELED, &e);
        stop(load);
    }
}
