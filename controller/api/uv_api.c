// SPDX-License-Identifier: Apache-2.0
#include "controller/api/uv_api.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "controller/api/uv_api_priv.h"

static void send_answer(struct uv_api *api, uint64_t exchange, const struct api_answer *answer)
{
    uv_http_answer(api->http, exchange, answer->status, buf_text(&answer->body), answer->body.len);
}

/* ---- changes ---- */

static void ask(struct uv_api *api, uint64_t exchange, struct api_answer *answer)
{
    struct pending *p = xcalloc(1, sizeof(*p));

    p->exchange = exchange;
    p->ask = answer->ask;
    answer->ask.want = NULL;
    p->next = api->pending;
    api->pending = p;
    api->host->ask(api->arg, exchange, &p->ask);
}

static void pending_free(struct pending *p)
{
    codec_want_free(p->ask.want);
    free(p);
}

void uv_api_reply(struct uv_api *api, const struct fleet_action *reply)
{
    struct pending **at = &api->pending;
    struct pending *p;
    struct api_answer answer = {0};

    while (*at != NULL && (*at)->exchange != reply->request) {
        at = &(*at)->next;
    }
    p = *at;
    if (p == NULL) {
        return;
    }
    *at = p->next;
    api_reply(&p->ask, reply, &answer);
    send_answer(api, p->exchange, &answer);
    api_answer_finish(&answer);
    pending_free(p);
}

void uv_api_unavailable(struct uv_api *api)
{
    struct api_answer answer = {0};

    api_unavailable(&answer);
    while (api->pending != NULL) {
        struct pending *p = api->pending;

        api->pending = p->next;
        send_answer(api, p->exchange, &answer);
        pending_free(p);
    }
    api_answer_finish(&answer);
    uv_api_streams_cut(api, "the controller reads its store anew");
    uv_api_asks_cut(api);
}

/* ---- requests ---- */

static size_t on_body_max(void *arg, const char *method, const char *path)
{
    (void)arg;
    return api_body_max(method, path);
}

static void carry(struct uv_api *api, uint64_t exchange, struct api_answer *answer)
{
    bool ok = true;

    switch (answer->kind) {
    case API_NOW:
        send_answer(api, exchange, answer);
        break;
    case API_ASK:
        ask(api, exchange, answer);
        break;
    case API_LOGS:
        ok = uv_api_streams_logs(api, exchange, &answer->logs);
        break;
    case API_EVENTS:
        ok = uv_api_streams_events(api, exchange, &answer->events);
        break;
    case API_GATHER:
        ok = uv_api_asks_open(api, exchange, &answer->gather);
        break;
    }
    if (!ok) {
        api_error(answer, "too_many", "too many are being answered already; try again");
        send_answer(api, exchange, answer);
    }
}

static void on_request(void *arg, uint64_t exchange, const struct uv_http_request *from)
{
    struct uv_api *api = arg;
    struct api_request request = {
        .method = from->method,
        .path = from->path,
        .params = from->params,
        .n_params = from->n_params,
        .body = from->body,
        .len = from->len,
        .is_allowed = from->is_allowed,
        .too_large = from->too_large,
        .bad = from->bad,
    };
    struct api_answer answer = {0};
    struct api_world world;

    api->host->world(api->arg, &world);
    api_answer(&world, &request, &answer);
    carry(api, exchange, &answer);
    api_answer_finish(&answer);
}

static void on_drained(void *arg, uint64_t exchange)
{
    uv_api_streams_drained(arg, exchange);
}

void uv_api_stream_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                         unsigned n)
{
    if (!uv_api_streams_lines(api, stream, lines, n)) {
        (void)uv_api_asks_lines(api, stream, lines, n);
    }
}

void uv_api_stream_end(struct uv_api *api, uint64_t stream, const char *error)
{
    if (!uv_api_streams_end(api, stream, error)) {
        (void)uv_api_asks_end(api, stream, error);
    }
}

/* What was asked of the fleet is done all the same; its reply finds nobody. */
static void on_gone(void *arg, uint64_t exchange)
{
    uv_api_streams_gone(arg, exchange);
    uv_api_asks_gone(arg, exchange);
}

int uv_api_create(uv_loop_t *loop, const char *path, const struct uv_api_host *host, void *arg,
                  struct uv_api **ret, struct err *e)
{
    static const struct uv_http_events events = {
        .body_max = on_body_max, .request = on_request, .drained = on_drained, .gone = on_gone};
    struct uv_api *api = xcalloc(1, sizeof(*api));
    int rc;

    api->host = host;
    api->arg = arg;
    rc = uv_http_create(loop, path, &events, api, &api->http, e);
    if (rc < 0) {
        free(api);
        return rc;
    }
    *ret = api;
    return 0;
}

void uv_api_close(struct uv_api *api)
{
    uv_http_close(api->http);
}

void uv_api_destroy(struct uv_api *api)
{
    if (api == NULL) {
        return;
    }
    while (api->pending != NULL) {
        struct pending *p = api->pending;

        api->pending = p->next;
        pending_free(p);
    }
    uv_api_streams_finish(api);
    uv_api_asks_finish(api);
    uv_http_destroy(api->http);
    free(api);
}
