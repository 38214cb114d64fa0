// SPDX-License-Identifier: Apache-2.0
#include "controller/api/uv_http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/api/httpsock.h"
#include "controller/api/uv_http_priv.h"

#define CHUNK 16384u
#define SWALLOW_MAX                                                                                \
    (16u * 1024 * 1024) /* of a body that is too large, so that its answer is read */
#define HEADERS_MAX 512
#define WRITE_S     60 /* for a client to take what is ready for it */

/* ---- exchanges ---- */

static struct exchange *find(const struct uv_http *h, uint64_t id)
{
    struct exchange *x = h->exchanges;

    while (x != NULL && x->id != id) {
        x = x->next;
    }
    return x;
}

static struct exchange *exchange_make(struct uv_http *h, struct lws *wsi)
{
    struct exchange *x = xcalloc(1, sizeof(*x));

    x->id = ++h->last_id;
    x->http = h;
    x->wsi = wsi;
    x->next = h->exchanges;
    x->at = &h->exchanges;
    if (x->next != NULL) {
        x->next->at = &x->next;
    }
    h->exchanges = x;
    return x;
}

static void exchange_free(struct exchange *x)
{
    *x->at = x->next;
    if (x->next != NULL) {
        x->next->at = x->at;
    }
    for (unsigned i = 0; i < x->n_params; i++) {
        free(x->params[i]);
    }
    free(x->path);
    buf_finish(&x->body);
    buf_finish(&x->out);
    free(x);
}

/* ---- requests ---- */

static const struct {
    enum lws_token_indexes token;
    const char *name;
    bool has_body;
} methods[] = {
    {WSI_TOKEN_GET_URI, "GET", false},       {WSI_TOKEN_POST_URI, "POST", true},
    {WSI_TOKEN_PUT_URI, "PUT", true},        {WSI_TOKEN_PATCH_URI, "PATCH", true},
    {WSI_TOKEN_DELETE_URI, "DELETE", false}, {WSI_TOKEN_OPTIONS_URI, "OPTIONS", false},
    {WSI_TOKEN_HEAD_URI, "HEAD", false},
};

static unsigned method_of(struct lws *wsi)
{
    unsigned i = 0;

    while (i + 1 < ARRAY_LEN(methods) && lws_hdr_total_length(wsi, methods[i].token) <= 0) {
        i++;
    }
    return i;
}

static void params_of(struct exchange *x)
{
    char text[1024];
    int len;

    for (int i = 0; (len = lws_hdr_fragment_length(x->wsi, WSI_TOKEN_HTTP_URI_ARGS, i)) > 0; i++) {
        if (x->n_params == UV_HTTP_PARAMS_MAX || (size_t)len >= sizeof(text) ||
            lws_hdr_copy_fragment(x->wsi, text, (int)sizeof(text), WSI_TOKEN_HTTP_URI_ARGS, i) <
                0) {
            x->bad = true;
            return;
        }
        x->params[x->n_params++] = xstrdup(text);
    }
}

static void hand_over(struct exchange *x)
{
    struct uv_http *h = x->http;
    struct uv_http_request request = {
        .method = x->method,
        .path = x->path,
        .n_params = x->n_params,
        .body = buf_text(&x->body),
        .len = x->body.len,
        .is_allowed = httpsock_is_allowed(lws_get_socket_fd(x->wsi), h->group),
        .too_large = x->too_large,
        .bad = x->bad,
    };

    for (unsigned i = 0; i < x->n_params; i++) {
        request.params[i] = x->params[i];
    }
    lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0);
    h->events->request(h->arg, x->id, &request);
}

/* The length that the headers say; -1: none, or no number. */
static long long length_of(struct lws *wsi)
{
    char text[24];
    char *end = NULL;
    long long n;

    if (lws_hdr_copy(wsi, text, (int)sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0) {
        return -1;
    }
    n = strtoll(text, &end, 10);
    return end != text && *end == '\0' && n >= 0 ? n : -1;
}

static int on_begin(struct uv_http *h, struct lws *wsi, struct session *session, const char *path)
{
    unsigned method = method_of(wsi);
    struct exchange *x;
    long long len;

    if (session->exchange != NULL) {
        return -1;
    }
    x = session->exchange = exchange_make(h, wsi);
    x->method = methods[method].name;
    x->path = xstrdup(path);
    params_of(x);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, UV_HTTP_REQUEST_S);
    if (!methods[method].has_body) {
        hand_over(x);
        return 0;
    }
    len = length_of(wsi);
    x->body_max = h->events->body_max(h->arg, x->method, x->path);
    x->too_large = len > (long long)x->body_max;
    if (len < 0 || len > SWALLOW_MAX) {
        x->bad = x->bad || len < 0;
        x->last = true; /* its body cannot be told from a next request */
        hand_over(x);
    }
    return 0;
}

static int on_body(struct session *session, const void *bytes, size_t len)
{
    struct exchange *x = session->exchange;

    if (x == NULL || x->last) {
        return x == NULL ? -1 : 0;
    }
    if (x->too_large || len > x->body_max - x->body.len) {
        x->too_large = true;
        buf_finish(&x->body);
        return 0;
    }
    buf_append(&x->body, bytes, len);
    return 0;
}

static int on_body_end(struct session *session)
{
    if (session->exchange == NULL) {
        return -1;
    }
    if (!session->exchange->last) {
        hand_over(session->exchange);
    }
    return 0;
}

/* ---- answers ---- */

static void want_to_write(struct exchange *x)
{
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WRITE_S);
    (void)lws_callback_on_writable(x->wsi);
}

static bool add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
                       unsigned char *end)
{
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), p,
                                       end) == 0;
}

static int write_headers(struct exchange *x)
{
    unsigned char bytes[LWS_PRE + HEADERS_MAX];
    unsigned char *start = bytes + LWS_PRE;
    unsigned char *p = start;
    unsigned char *end = bytes + sizeof(bytes) - 1;
    bool ok =
        lws_add_http_header_status(x->wsi, (unsigned)x->status, &p, end) == 0 &&
        add_header(x->wsi, "content-type:", x->stream ? "application/x-ndjson" : "application/json",
                   &p, end);

    if (x->stream) {
        ok = ok && add_header(x->wsi, "transfer-encoding:", "chunked", &p, end);
    } else {
        ok = ok && lws_add_http_header_content_length(x->wsi, x->out.len, &p, end) == 0;
    }
    x->headed = true;
    return ok && lws_finalize_write_http_header(x->wsi, start, &p, end) == 0 ? 0 : -1;
}

static int finished(struct exchange *x, struct session *session)
{
    struct lws *wsi = x->wsi;
    bool last = x->last;

    session->exchange = NULL;
    exchange_free(x);
    return last || lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

static int write_some(struct exchange *x, const char *head, const void *data, size_t n,
                      const char *tail)
{
    unsigned char bytes[LWS_PRE + 16 + CHUNK + 8];
    unsigned char *p = bytes + LWS_PRE;

    memcpy(p, head, strlen(head));
    p += strlen(head);
    if (n > 0) {
        memcpy(p, data, n);
    }
    p += n;
    memcpy(p, tail, strlen(tail));
    p += strlen(tail);
    n = (size_t)(p - bytes) - LWS_PRE;
    return lws_write(x->wsi, bytes + LWS_PRE, n, LWS_WRITE_HTTP) < (int)n ? -1 : 0;
}

static int write_stream(struct exchange *x)
{
    size_t n = x->out.len < CHUNK ? x->out.len : CHUNK;
    char head[16];

    if (n == 0) {
        x->answered = true; /* the end goes out with this */
        return write_some(x, "0\r\n\r\n", NULL, 0, "");
    }
    (void)snprintf(head, sizeof(head), "%zx\r\n", n);
    if (write_some(x, head, x->out.data, n, "\r\n") < 0) {
        return -1;
    }
    buf_consume(&x->out, n);
    return 0;
}

static int on_writable_stream(struct exchange *x, struct session *session)
{
    struct uv_http *h = x->http;
    uint64_t id = x->id;
    size_t before = x->out.len;

    if (x->out.len == 0 && !x->ended) {
        lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0);
        return 0;
    }
    if (write_stream(x) < 0) {
        return -1;
    }
    if (x->answered) {
        return finished(x, session);
    }
    if (before > UV_HTTP_STREAM_MAX / 2 && x->out.len <= UV_HTTP_STREAM_MAX / 2) {
        h->events->drained(h->arg, id);
    }
    want_to_write(x);
    return 0;
}

static int on_writable(struct session *session)
{
    struct exchange *x = session->exchange;
    size_t n;

    if (x == NULL || !(x->answered || x->stream)) {
        return 0;
    }
    if (!x->headed) {
        if (write_headers(x) < 0) {
            return -1;
        }
        want_to_write(x);
        return 0;
    }
    if (x->stream) {
        return on_writable_stream(x, session);
    }
    n = x->out.len - x->sent < CHUNK ? x->out.len - x->sent : CHUNK;
    if (n > 0 && write_some(x, "", x->out.data + x->sent, n, "") < 0) {
        return -1;
    }
    x->sent += n;
    if (x->sent == x->out.len) {
        return finished(x, session);
    }
    want_to_write(x);
    return 0;
}

void uv_http_answer(struct uv_http *h, uint64_t exchange, int status, const char *body, size_t len)
{
    struct exchange *x = find(h, exchange);

    if (x == NULL) {
        return;
    }
    assert(!x->answered && !x->stream);
    x->status = status;
    buf_append(&x->out, body, len);
    x->answered = true;
    want_to_write(x);
}

void uv_http_stream(struct uv_http *h, uint64_t exchange)
{
    struct exchange *x = find(h, exchange);

    if (x != NULL) {
        assert(!x->answered);
        x->status = 200;
        x->stream = true;
        want_to_write(x);
    }
}

size_t uv_http_stream_room(const struct uv_http *h, uint64_t exchange)
{
    const struct exchange *x = find(h, exchange);

    return x != NULL && x->out.len < UV_HTTP_STREAM_MAX ? UV_HTTP_STREAM_MAX - x->out.len : 0;
}

void uv_http_stream_write(struct uv_http *h, uint64_t exchange, const void *bytes, size_t len)
{
    struct exchange *x = find(h, exchange);

    if (x != NULL && !x->ended) {
        assert(x->stream);
        buf_append(&x->out, bytes, len);
        want_to_write(x);
    }
}

void uv_http_stream_end(struct uv_http *h, uint64_t exchange)
{
    struct exchange *x = find(h, exchange);

    if (x != NULL) {
        x->ended = true;
        want_to_write(x);
    }
}

/* ---- connections ---- */

static void connection_gone(struct uv_http *h, const struct lws *wsi)
{
    for (unsigned i = 0; i < h->n_connections; i++) {
        if (h->connections[i] == wsi) {
            h->connections[i] = h->connections[--h->n_connections];
            return;
        }
    }
}

static void on_end(struct uv_http *h, struct session *session)
{
    struct exchange *x = session != NULL ? session->exchange : NULL;

    if (x == NULL) {
        return;
    }
    session->exchange = NULL;
    if (!h->closing) {
        h->events->gone(h->arg, x->id);
    }
    exchange_free(x);
}

int uv_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct uv_http *h = lws_context_user(lws_get_context(wsi));
    struct session *session = user;

    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        return on_begin(h, wsi, session, in);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(session, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_body_end(session);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(session);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        on_end(h, session);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        connection_gone(h, wsi);
        return 0;
    default:
        return 0;
    }
}
