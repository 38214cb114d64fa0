// SPDX-License-Identifier: Apache-2.0
#include "controller/cli/client.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/reply.h"

#define CONNECT_MS 5000
#define CALL_MS    60000 /* a controller that is stopped for a while still gets to answer */
#define BASE_URL   "http://wherry"

struct client {
    const char *socket;
    CURL *curl;
};

struct client *client_create(const char *socket_path)
{
    struct client *client = xcalloc(1, sizeof(*client));

    if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK ||
        (client->curl = curl_easy_init()) == NULL) {
        die("libcurl cannot be initialised");
    }
    client->socket = socket_path;
    return client;
}

void client_destroy(struct client *client)
{
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    free(client);
}

const char *client_socket(const struct client *client)
{
    return client->socket;
}

void client_reply_finish(struct client_reply *reply)
{
    json_decref(reply->json);
    buf_finish(&reply->text);
    *reply = (struct client_reply){0};
}

/* ---- why it could not be reached ---- */

static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return errno;
    }
    if (strlen(path) >= sizeof(address.sun_path)) {
        return ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int say_denied(const char *path, struct err *e)
{
    struct stat st;
    const struct group *group = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;

    return err_say(e, ENOTCONN, "permission denied on %s: be root, or a member of its group%s%s",
                   path, group != NULL ? " " : "", group != NULL ? group->gr_name : "");
}

static bool is_other_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static int say_unreachable(const char *path, struct err *e)
{
    if (is_other_file(path)) {
        return err_say(e, ENOTCONN, "%s is not a socket", path);
    }
    switch (try_connect(path)) {
    case ENOENT:
        return err_say(e, ENOTCONN,
                       "no controller at %s: is wherry-controller running, and with this --socket? "
                       "(another place: --controller SOCKET or WHERRY_SOCKET)",
                       path);
    case ECONNREFUSED:
        return err_say(e, ENOTCONN,
                       "nobody answers at %s: the controller that made it has ended; start "
                       "wherry-controller again",
                       path);
    case EACCES:
    case EPERM:
        return say_denied(path, e);
    case ENAMETOOLONG:
        return err_say(e, ENOTCONN, "the socket's path is longer than %zu bytes: %s",
                       sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path);
    default:
        return err_say(e, ENOTCONN, "cannot connect to the controller at %s", path);
    }
}

static int say_curl(const char *path, CURLcode code, struct err *e)
{
    if (interrupt_seen()) {
        return err_say(e, ECANCELED, "interrupted");
    }
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST: /* the path is too long */
    case CURLE_COULDNT_CONNECT:
        return say_unreachable(path, e);
    case CURLE_OPERATION_TIMEDOUT:
        return err_say(e, EIO, "the controller at %s has not answered in %d s", path,
                       CALL_MS / 1000);
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return err_say(e, EIO, "the controller at %s has closed the connection", path);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return err_say(e, EPROTO, "what answers at %s is not a Wherry controller (no HTTP)", path);
    default:
        return err_say(e, EIO, "ask the controller at %s: %s", path, curl_easy_strerror(code));
    }
}

/* ---- answers ---- */

static const struct status_row {
    long status;
    int code;
} status_rows[] = {{400, EINVAL}, {403, EACCES}, {404, ENOENT}, {409, EEXIST}};

static int code_of(long status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_rows); i++) {
        if (status_rows[i].status == status) {
            return status_rows[i].code;
        }
    }
    return EIO;
}

static int say_not_json(const struct client *client, long status, struct err *e)
{
    return err_say(e, EPROTO,
                   "what answers at %s is not a Wherry controller (status %ld, and no JSON)",
                   client->socket, status);
}

/* An answer that is not 2xx, in the controller's words. */
static int say_refused(const json_t *body, long status, struct err *e)
{
    const char *message = reply_text(body, "message");
    const json_t *details = reply_list(body, "details");
    auto_buf struct buf text = {0};

    if (message[0] == '\0') {
        buf_printf(&text, "the controller answered with status %ld", status);
    } else {
        buf_puts(&text, message);
    }
    for (size_t i = 0; i < json_array_size(details); i++) {
        const char *detail = json_string_value(json_array_get(details, i));

        buf_printf(&text, "\n  %s", detail != NULL ? detail : "");
    }
    return err_say(e, code_of(status), "%s", buf_text(&text));
}

static int take_reply(const struct client *client, struct client_reply *reply, struct err *e)
{
    long status = 0;

    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    reply->json = json_loadb(buf_text(&reply->text), reply->text.len,
                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json_is_object(reply->json)) {
        return say_not_json(client, status, e);
    }
    return status / 100 == 2 ? 0 : say_refused(reply->json, status, e);
}

/* ---- calls ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct buf *text = arg;

    (void)size; /* always 1 */
    if (text->len + n > CLIENT_REPLY_MAX) {
        return 0; /* CURLE_WRITE_ERROR */
    }
    buf_append(text, data, n);
    return n;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)arg;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return interrupt_seen();
}

/* What calls and streams have in common. */
static void prepare(const struct client *client, CURL *curl, const char *path)
{
    auto_free char *url = xasprintf("%s%s", BASE_URL, path);

    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url); /* copied */
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "wherry/" WHERRY_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
}

static struct curl_slist *set_body(CURL *curl, const void *body, size_t len)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-protobuf");

    headers = curl_slist_append(headers, "Expect:"); /* no round trip for a small body */
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, len > 0 ? body : "");
    return headers;
}

int client_call(struct client *client, const char *method, const char *path, const void *body,
                size_t len, struct client_reply *ret_reply, struct err *e)
{
    CURL *curl = client->curl;
    struct curl_slist *headers = NULL;
    CURLcode code;

    assert(path[0] == '/');
    *ret_reply = (struct client_reply){0};
    prepare(client, curl, path);
    if (strcmp(method, "POST") == 0) {
        headers = set_body(curl, body, len);
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CALL_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &ret_reply->text);
    code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_WRITE_ERROR) {
        return err_say(e, EIO, "the controller's answer is longer than the %zu MiB allowed",
                       CLIENT_REPLY_MAX >> 20);
    }
    if (code != CURLE_OK) {
        return say_curl(client->socket, code, e);
    }
    return take_reply(client, ret_reply, e);
}

int client_get(struct client *client, const char *path, struct client_reply *ret_reply,
               struct err *e)
{
    return client_call(client, "GET", path, NULL, 0, ret_reply, e);
}

/* ---- streams ---- */

struct stream {
    struct client *client;
    CURL *curl;
    client_line_cb *cb;
    void *arg;
    struct buf in; /* an unfinished line, or an error's body */
    int rc;        /* what ended it from our side */
    struct err *e;
};

static long status_of(const struct stream *s)
{
    long status = 0;

    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int give_line(struct stream *s, char *line, size_t len)
{
    json_t *json;
    int rc;

    if (len == 0) {
        return 0; /* a keep-alive */
    }
    json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    rc = json_is_object(json) ? s->cb(s->arg, json, line, s->e)
                              : say_not_json(s->client, status_of(s), s->e);
    json_decref(json);
    return rc;
}

static int give_lines(struct stream *s)
{
    size_t at = 0;
    char *end;

    while (at < s->in.len && (end = memchr(s->in.data + at, '\n', s->in.len - at)) != NULL) {
        *end = '\0';
        s->rc = give_line(s, s->in.data + at, (size_t)(end - s->in.data) - at);
        if (s->rc < 0) {
            return s->rc;
        }
        at = (size_t)(end - s->in.data) + 1;
    }
    buf_consume(&s->in, at);
    return 0;
}

static size_t on_stream(char *data, size_t size, size_t n, void *arg)
{
    struct stream *s = arg;

    (void)size; /* always 1 */
    buf_append(&s->in, data, n);
    if (status_of(s) / 100 == 2 && give_lines(s) < 0) {
        return 0;
    }
    if (s->in.len > CLIENT_LINE_MAX) {
        s->rc = err_say(s->e, EPROTO, "a line of the controller's answer is longer than 1 MiB");
        return 0;
    }
    return n;
}

/* How one stream ended. */
static int stream_result(struct stream *s, CURLcode code)
{
    json_t *body;

    if (s->rc < 0) {
        return s->rc;
    }
    if (code != CURLE_OK) {
        return say_curl(s->client->socket, code, s->e);
    }
    if (status_of(s) / 100 == 2) {
        return 0;
    }
    body = json_loadb(buf_text(&s->in), s->in.len, 0, NULL);
    s->rc = json_is_object(body) ? say_refused(body, status_of(s), s->e)
                                 : say_not_json(s->client, status_of(s), s->e);
    json_decref(body);
    return s->rc;
}

static int reap(CURLM *multi)
{
    const CURLMsg *message;
    int left;
    int rc = 0;

    while (rc == 0 && (message = curl_multi_info_read(multi, &left)) != NULL) {
        struct stream *s = NULL;

        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &s);
        rc = stream_result(s, message->data.result);
    }
    return rc;
}

static int run_streams(CURLM *multi, struct err *e)
{
    int running = 1;
    int rc = 0;

    while (running > 0 && rc == 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK ||
            (running > 0 && curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)) {
            return err_say(e, EIO, "wait for the controller's streams");
        }
        rc = reap(multi);
    }
    return rc;
}

static void open_stream(CURLM *multi, struct stream *s, const char *path)
{
    s->curl = curl_easy_init();
    if (s->curl == NULL) {
        die("libcurl cannot be initialised");
    }
    prepare(s->client, s->curl, path);
    (void)curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, on_stream);
    (void)curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
    (void)curl_easy_setopt(s->curl, CURLOPT_PRIVATE, s);
    (void)curl_multi_add_handle(multi, s->curl);
}

int client_stream(struct client *client, const char *const *paths, unsigned n, client_line_cb *cb,
                  void *arg, struct err *e)
{
    struct stream streams[CLIENT_STREAMS] = {0};
    CURLM *multi = curl_multi_init();
    int rc;

    assert(n > 0 && n <= CLIENT_STREAMS);
    if (multi == NULL) {
        die("libcurl cannot be initialised");
    }
    for (unsigned i = 0; i < n; i++) {
        streams[i] = (struct stream){.client = client, .cb = cb, .arg = arg, .e = e};
        open_stream(multi, &streams[i], paths[i]);
    }
    rc = run_streams(multi, e);
    for (unsigned i = 0; i < n; i++) {
        (void)curl_multi_remove_handle(multi, streams[i].curl);
        curl_easy_cleanup(streams[i].curl);
        buf_finish(&streams[i].in);
    }
    (void)curl_multi_cleanup(multi);
    return rc;
}

/* ---- paths ---- */

static void add_escaped(struct buf *path, const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);

    if (escaped == NULL) {
        die("out of memory");
    }
    buf_puts(path, escaped);
    curl_free(escaped);
}

void client_path_add(struct buf *path, const char *segment)
{
    buf_putc(path, '/');
    add_escaped(path, segment);
}

void client_query_add(struct buf *path, const char *key, const char *value)
{
    buf_putc(path, strchr(buf_text(path), '?') == NULL ? '?' : '&');
    buf_printf(path, "%s=", key);
    add_escaped(path, value);
}
