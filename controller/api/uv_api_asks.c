// SPDX-License-Identifier: Apache-2.0
/* Answers that nodes give together: each question is a stream, whose rows are kept until all have
 * ended; then there may be more to ask, or the answer is made. Nodes that do not answer end their
 * streams with an error, as their sessions do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "controller/api/uv_api_priv.h"

#define CREDIT    LINK_CREDIT_MAX     /* all of an answer; it is not given back */
#define BYTES_MAX (64u * 1024 * 1024) /* of one answer, of all nodes */

static void gathering_free(struct uv_api *api, struct gathering *g)
{
    struct gathering **at = &api->gatherings;

    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    api->n_gatherings--;
    api_parts_finish(&g->parts);
    free(g->streams);
    free(g);
}

static void answer(struct uv_api *api, struct gathering *g)
{
    struct api_answer a = {0};
    struct api_world w;

    api->host->world(api->arg, &w);
    if (w.fleet == NULL) {
        api_unavailable(&a);
    } else {
        api_gather_answer(&w, &g->what, &g->parts, &a);
    }
    uv_http_answer(api->http, g->exchange, a.status, buf_text(&a.body), a.body.len);
    api_answer_finish(&a);
    gathering_free(api, g);
}

static void open_one(struct uv_api *api, struct gathering *g, unsigned i)
{
    struct api_part *part = &g->parts.list[i];
    struct link_stream_open what = {.credit = CREDIT};
    struct err e = {0};

    what.ask =
        (struct link_ask){.kind = part->kind, .args = part->args.data, .len = part->args.len};
    g->streams[i] = 0;
    if (api->host->stream_open(api->arg, part->node_id, &what, &g->streams[i], &e) < 0) {
        (void)snprintf(part->error, sizeof(part->error), "%s", e.text);
        return;
    }
    g->n_open++;
}

/* Asks what is to be asked next, or answers. */
static void go_on(struct uv_api *api, struct gathering *g)
{
    struct api_world w;

    while (g->n_open == 0) {
        unsigned before = g->parts.n;

        api->host->world(api->arg, &w);
        if (w.fleet != NULL) {
            api_gather_next(&w, &g->what, &g->parts);
        }
        if (g->parts.n == before) {
            answer(api, g);
            return;
        }
        g->streams = xrealloc(g->streams, g->parts.n, sizeof(*g->streams));
        for (unsigned i = before; i < g->parts.n; i++) {
            open_one(api, g, i);
        }
    }
}

bool uv_api_asks_open(struct uv_api *api, uint64_t exchange, const struct api_gather *what)
{
    struct gathering *g;

    if (api->n_gatherings == UV_API_GATHERINGS_MAX) {
        return false;
    }
    g = xcalloc(1, sizeof(*g));
    g->exchange = exchange;
    g->what = *what;
    g->next = api->gatherings;
    api->gatherings = g;
    api->n_gatherings++;
    go_on(api, g);
    return true;
}

static struct gathering *find(const struct uv_api *api, uint64_t stream, unsigned *ret_i)
{
    for (struct gathering *g = api->gatherings; g != NULL; g = g->next) {
        for (unsigned i = 0; i < g->parts.n; i++) {
            if (g->streams[i] == stream) {
                *ret_i = i;
                return g;
            }
        }
    }
    return NULL;
}

bool uv_api_asks_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                       unsigned n)
{
    unsigned at = 0;
    struct gathering *g = find(api, stream, &at);
    struct api_part *part = g != NULL ? &g->parts.list[at] : NULL;

    for (unsigned i = 0; g != NULL && i < n; i++) {
        g->bytes += lines[i].len + 1;
        if (!askrow_is_valid(lines[i].text, lines[i].len) || g->bytes > BYTES_MAX) {
            (void)snprintf(part->error, sizeof(part->error), "%s",
                           g->bytes > BYTES_MAX ? "the answers are too long together"
                                                : "what it says cannot be read");
            continue;
        }
        buf_append(&part->rows, lines[i].text, lines[i].len);
        askrow_end(&part->rows);
    }
    return g != NULL;
}

bool uv_api_asks_end(struct uv_api *api, uint64_t stream, const char *error)
{
    unsigned i = 0;
    struct gathering *g = find(api, stream, &i);

    if (g == NULL) {
        return false;
    }
    g->streams[i] = 0;
    g->n_open--;
    if (error[0] != '\0') {
        (void)snprintf(g->parts.list[i].error, sizeof(g->parts.list[i].error), "%s", error);
    }
    go_on(api, g);
    return true;
}

static void close_streams(struct uv_api *api, struct gathering *g)
{
    for (unsigned i = 0; i < g->parts.n; i++) {
        if (g->streams[i] != 0) {
            api->host->stream_close(api->arg, g->streams[i]);
        }
    }
}

void uv_api_asks_gone(struct uv_api *api, uint64_t exchange)
{
    struct gathering *g = api->gatherings;

    while (g != NULL && g->exchange != exchange) {
        g = g->next;
    }
    if (g != NULL) {
        close_streams(api, g);
        gathering_free(api, g);
    }
}

void uv_api_asks_cut(struct uv_api *api)
{
    while (api->gatherings != NULL) {
        struct gathering *g = api->gatherings;
        struct api_answer a = {0};

        close_streams(api, g);
        api_unavailable(&a);
        uv_http_answer(api->http, g->exchange, a.status, buf_text(&a.body), a.body.len);
        api_answer_finish(&a);
        gathering_free(api, g);
    }
}

void uv_api_asks_finish(struct uv_api *api)
{
    while (api->gatherings != NULL) {
        gathering_free(api, api->gatherings);
    }
}
