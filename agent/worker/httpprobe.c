// SPDX-License-Identifier: Apache-2.0
#include "agent/worker/httpprobe.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/codec_worker.h"
#include "common/cleanup.h"

#define TIMEOUT_MAX_MS 600000u
#define HEADERS_MAX    (64u * 1024)

struct httpprobe {
    int control_fd;
    CURLM *multi;
    unsigned running;
};

/* One probe under way. */
struct exchange {
    struct httpprobe *probe;
    CURL *easy;
    struct curl_slist *headers;
    struct probe_job job;
    int fd; /* -1: curl has it */
    size_t body, head;
    char text[CODEC_WORKER_PROBE_TEXT_MAX + 1]; /* first line of the body */
    char error[CURL_ERROR_SIZE];
};

/* ---- answers ---- */

static void answer(const struct httpprobe *probe, const struct probe_result *result)
{
    auto_buf struct buf out = {0};

    codec_worker_probe_result_encode(result, &out);
    /* The agent reads as it writes; what it does not take it will find timed out. */
    (void)send(probe->control_fd, out.data, out.len, MSG_NOSIGNAL);
}

static void refuse(const struct httpprobe *probe, uint64_t id, const char *why)
{
    struct probe_result result = {.id = id};

    (void)snprintf(result.text, sizeof(result.text), "%s", why);
    answer(probe, &result);
}

static void exchange_free(struct exchange *x)
{
    if (x->easy != NULL) {
        curl_easy_cleanup(x->easy);
    }
    curl_slist_free_all(x->headers);
    cleanup_close(&x->fd);
    free(x);
}

/* ---- what curl calls ---- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct exchange *x = arg;

    (void)address;
    return purpose == CURLSOCKTYPE_IPCXN && x->fd >= 0 ? take_fd(&x->fd) : CURL_SOCKET_BAD;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;

    for (size_t i = 0; x->body == 0 && i < len && i + 1 < sizeof(x->text); i++) {
        if (data[i] == '\r' || data[i] == '\n') {
            break;
        }
        x->text[i] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?';
    }
    x->body += len;
    return x->body > HTTPPROBE_BODY_MAX ? 0 : len; /* 0 ends it: the status is known by then */
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;

    (void)data;
    x->head += size * n;
    return x->head > HEADERS_MAX ? 0 : size * n;
}

/* ---- starting ---- */

static void set_request(struct exchange *x)
{
    const struct probe_job *job = &x->job;
    bool v6 = strchr(job->address, ':') != NULL;
    auto_free char *url = xasprintf("http://%s%s%s:%u%s", v6 ? "[" : "", job->address,
                                    v6 ? "]" : "", job->port, job->path);
    auto_free char *host = xasprintf("Host: %s", job->host);

    x->headers = curl_slist_append(x->headers, host);
    (void)curl_easy_setopt(x->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    (void)curl_easy_setopt(x->easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "wherry-probe/" WHERRY_VERSION);
    (void)curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)job->timeout_ms);
    (void)curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)job->timeout_ms);
}

static void set_fences(struct exchange *x)
{
    (void)curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(x->easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTP09_ALLOWED, 0L);
    (void)curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE, 4096L);
    (void)curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->error);
    (void)curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
}

/* A path or host with a line end in it would be a second request. */
static bool is_line(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static const char *check(const struct httpprobe *probe, const struct probe_job *job, int fd)
{
    if (fd < 0) {
        return "probe came without a socket";
    }
    if (probe->running >= HTTPPROBE_MAX) {
        return "too many probes at once";
    }
    if (job->path[0] != '/' || !is_line(job->path) || !is_line(job->host)) {
        return "probe has a bad path or host";
    }
    if (strspn(job->address, "0123456789abcdefABCDEF.:") != strlen(job->address)) {
        return "probe has a bad address";
    }
    return job->timeout_ms == 0 || job->timeout_ms > TIMEOUT_MAX_MS ? "probe has a bad timeout"
                                                                    : NULL;
}

/* Takes `fd`. */
static void start(struct httpprobe *probe, const struct probe_job *job, int fd)
{
    const char *why = check(probe, job, fd);
    struct exchange *x;

    if (why != NULL) {
        cleanup_close(&fd);
        refuse(probe, job->id, why);
        return;
    }
    x = xcalloc(1, sizeof(*x));
    x->probe = probe;
    x->job = *job;
    x->fd = fd;
    x->easy = curl_easy_init();
    if (x->easy == NULL) {
        die("no memory for a probe");
    }
    set_request(x);
    set_fences(x);
    if (curl_multi_add_handle(probe->multi, x->easy) != CURLM_OK) {
        refuse(probe, job->id, "probe could not be started");
        exchange_free(x);
        return;
    }
    probe->running++;
}

/* ---- jobs ---- */

static int received_fd(struct msghdr *msg)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int fd = -1;

    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(fd))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

/* Returns 1 after a job, 0 when there is none, -EPIPE when the other side is gone. */
static int receive(struct httpprobe *probe)
{
    char bytes[CODEC_WORKER_PROBE_MAX];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(probe->control_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct probe_job job = {0};
    int fd;

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    }
    if (n == 0) {
        return -EPIPE;
    }
    fd = received_fd(&msg);
    if (codec_worker_probe_job_decode(bytes, (size_t)n, &job, NULL) < 0) {
        cleanup_close(&fd);
        return 1; /* the agent's own mistake: its timeout will tell */
    }
    start(probe, &job, fd);
    return 1;
}

/* ---- results ---- */

static void describe(const struct exchange *x, CURLcode code, struct probe_result *result)
{
    long status = 0;

    (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    /* Too long a body is not an error: the status has come before it. */
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && x->body > HTTPPROBE_BODY_MAX)) {
        result->status = status > 0 && status < 1000 ? (uint32_t)status : 0;
        (void)snprintf(result->text, sizeof(result->text), "%s", x->text);
        return;
    }
    if (code == CURLE_COULDNT_CONNECT) {
        result->refused = true;
        (void)snprintf(result->text, sizeof(result->text), "connection refused");
        return;
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        result->timed_out = true;
        (void)snprintf(result->text, sizeof(result->text), "no answer within %u ms",
                       x->job.timeout_ms);
        return;
    }
    (void)snprintf(result->text, sizeof(result->text), "%s",
                   x->error[0] != '\0' ? x->error : curl_easy_strerror(code));
}

static void finish(struct httpprobe *probe, CURL *easy, CURLcode code)
{
    struct probe_result result = {0};
    struct exchange *x = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
    result.id = x->job.id;
    describe(x, code, &result);
    (void)curl_multi_remove_handle(probe->multi, easy);
    exchange_free(x);
    probe->running--;
    answer(probe, &result);
}

static void collect(struct httpprobe *probe)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(probe->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            finish(probe, message->easy_handle, message->data.result);
        }
    }
}

int httpprobe_create(int control_fd, struct httpprobe **ret_probe, struct err *e)
{
    struct httpprobe *probe = xcalloc(1, sizeof(*probe));

    probe->control_fd = control_fd;
    if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK ||
        (probe->multi = curl_multi_init()) == NULL) {
        free(probe);
        return err_say(e, ENOMEM, "start curl");
    }
    *ret_probe = probe;
    return 0;
}

int httpprobe_run(struct httpprobe *probe, struct err *e)
{
    for (;;) {
        struct curl_waitfd control = {.fd = probe->control_fd, .events = CURL_WAIT_POLLIN};
        int running, rc;
        CURLMcode code = curl_multi_poll(probe->multi, &control, 1, 60000, NULL);

        if (code != CURLM_OK) {
            return err_say(e, EIO, "wait for probes: %s", curl_multi_strerror(code));
        }
        do {
            rc = receive(probe);
        } while (rc > 0);
        if (rc < 0) {
            return 0;
        }
        (void)curl_multi_perform(probe->multi, &running);
        collect(probe);
    }
}

void httpprobe_destroy(struct httpprobe *probe)
{
    if (probe != NULL) {
        (void)curl_multi_cleanup(probe->multi);
        free(probe);
    }
}
