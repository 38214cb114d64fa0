// SPDX-License-Identifier: Apache-2.0
/* Streams: events from the ring, each reader at its own pace; log lines from the agents, which get
 * credit only as fast as the reader takes what is there. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/api/codec_api.h"
#include "controller/api/uv_api_priv.h"

#define ROOM_MIN     4096u /* below it nothing more is queued */
#define CREDIT_TOTAL (256u * 1024)
#define CREDIT_MIN   (20u * 1024) /* the longest line passes */
#define CREDIT_MAX   (64u * 1024)
#define NS_PER_MS    1000000u

/* ---- events ---- */

static void follower_free(struct uv_api *api, struct follower *f)
{
    struct follower **at = &api->followers;

    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
    api->n_followers--;
    free(f);
}

static bool is_for(const struct follower *f, const struct ring_event *event)
{
    return event->unix_ms >= f->what.since_unix_ms &&
           (f->what.stack[0] == '\0' || strcmp(f->what.stack, event->stack) == 0);
}

/* Says that some were overwritten before they could be read. */
static void say_gap(struct uv_api *api, struct follower *f, const struct ring *ring)
{
    struct buf line = {0};
    uint64_t first = ring_first(ring);
    const struct ring_event *event = ring_at(ring, first);

    codec_api_event_gap(first - f->number, event != NULL ? event->unix_ms : 0, &line);
    uv_http_stream_write(api->http, f->exchange, line.data, line.len);
    buf_finish(&line);
    f->number = first;
}

/* False: the stream has come to its end. */
static bool follower_feed(struct uv_api *api, struct follower *f)
{
    const struct ring *ring = api->host->events(api->arg);
    struct buf line = {0};

    if (f->number < ring_first(ring)) {
        say_gap(api, f, ring);
    }
    while (f->number < ring_next(ring) && uv_http_stream_room(api->http, f->exchange) >= ROOM_MIN) {
        const struct ring_event *event = ring_at(ring, f->number++);

        if (is_for(f, event)) {
            buf_clear(&line);
            codec_api_event(event, &line);
            uv_http_stream_write(api->http, f->exchange, line.data, line.len);
        }
    }
    buf_finish(&line);
    return f->what.follow || f->number < ring_next(ring);
}

static void follower_go_on(struct uv_api *api, struct follower *f)
{
    if (!follower_feed(api, f)) {
        uv_http_stream_end(api->http, f->exchange);
        follower_free(api, f);
    }
}

bool uv_api_streams_events(struct uv_api *api, uint64_t exchange, const struct api_events *what)
{
    struct follower *f;

    if (api->n_followers == UV_API_READERS_MAX) {
        return false;
    }
    f = xcalloc(1, sizeof(*f));
    f->exchange = exchange;
    f->what = *what;
    f->number = ring_first(api->host->events(api->arg));
    f->next = api->followers;
    api->followers = f;
    api->n_followers++;
    uv_http_stream(api->http, exchange);
    follower_go_on(api, f);
    return true;
}

/* ---- logs ---- */

static struct tail *tail_of(const struct reader *r, uint64_t incarnation)
{
    struct tail *t = r->tails;

    while (t != NULL && t->incarnation != incarnation) {
        t = t->next;
    }
    return t;
}

static struct tail *tail_by_stream(const struct uv_api *api, uint64_t stream,
                                   struct reader **ret_reader)
{
    for (struct reader *r = api->readers; r != NULL; r = r->next) {
        for (struct tail *t = r->tails; t != NULL; t = t->next) {
            if (t->stream == stream) {
                *ret_reader = r;
                return t;
            }
        }
    }
    return NULL;
}

static void write_line(struct uv_api *api, const struct reader *r, const struct codec_api_log *line)
{
    struct buf out = {0};

    codec_api_log(line, &out);
    uv_http_stream_write(api->http, r->exchange, out.data, out.len);
    buf_finish(&out);
}

static void write_error(struct uv_api *api, const struct reader *r, const struct tail *t,
                        const char *why)
{
    struct codec_api_log line = {
        .container = t->container, .node = t->node, .unix_ns = t->last_unix_ns, .error = why};

    write_line(api, r, &line);
}

static void tail_open(struct uv_api *api, struct reader *r, struct tail *t, struct id128 node_id)
{
    struct link_stream_open what = {.credit = r->credit};
    struct err e = {0};

    what.logs = (struct link_logs){
        .incarnation = t->incarnation,
        .follow = r->what.follow,
        .tail_all = r->what.tail_all || t->last_unix_ns > 0,
        .tail = r->what.tail,
        .since_unix_ms =
            t->last_unix_ns > 0 ? t->last_unix_ns / NS_PER_MS + 1 : r->what.since_unix_ms,
    };
    t->owed = 0;
    if (api->host->stream_open(api->arg, node_id, &what, &t->stream, &e) < 0) {
        t->stream = 0;
        write_error(api, r, t, e.text);
        return;
    }
    r->n_open++;
}

static struct tail *tail_make(struct reader *r, const struct fleet_placement_view *p)
{
    struct tail *t = xcalloc(1, sizeof(*t));
    struct tail **at = &r->tails;

    t->incarnation = p->incarnation;
    (void)snprintf(t->container, sizeof(t->container), "%s/%s.%u", p->stack, p->service, p->slot);
    (void)snprintf(t->node, sizeof(t->node), "%s", p->node_name);
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = t;
    r->n_tails++;
    return t;
}

struct opening {
    struct uv_api *api;
    struct reader *r;
};

static void open_one(void *arg, const struct fleet_placement_view *p)
{
    struct opening *o = arg;

    if ((o->r->what.slot == 0 || o->r->what.slot == p->slot) && o->r->n_tails < UV_API_TAILS_MAX) {
        tail_open(o->api, o->r, tail_make(o->r, p), p->node_id);
    }
}

static void reader_free(struct uv_api *api, struct reader *r)
{
    struct reader **at = &api->readers;

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    api->n_readers--;
    while (r->tails != NULL) {
        struct tail *t = r->tails;

        r->tails = t->next;
        free(t);
    }
    free(r);
}

static void end_if_over(struct uv_api *api, struct reader *r)
{
    if (r->n_open == 0 && !r->what.follow) {
        uv_http_stream_end(api->http, r->exchange);
        reader_free(api, r);
    }
}

bool uv_api_streams_logs(struct uv_api *api, uint64_t exchange, const struct api_logs *what)
{
    struct opening o = {.api = api};
    struct fleet_service_view v = {0};
    struct api_world w;
    int stack, service;

    if (api->n_readers == UV_API_READERS_MAX) {
        return false;
    }
    api->host->world(api->arg, &w);
    stack = fleet_stack_find(w.fleet, what->stack);
    service = stack >= 0 ? fleet_service_find(w.fleet, (unsigned)stack, what->service) : -1;
    assert(service >= 0); /* api_read_logs has looked */
    (void)fleet_service_at(w.fleet, (unsigned)stack, (unsigned)service, &v);
    o.r = xcalloc(1, sizeof(*o.r));
    o.r->exchange = exchange;
    o.r->what = *what;
    o.r->credit = CREDIT_TOTAL / (v.n_placements + 1);
    o.r->credit = o.r->credit < CREDIT_MIN   ? CREDIT_MIN
                  : o.r->credit > CREDIT_MAX ? CREDIT_MAX
                                             : o.r->credit;
    o.r->next = api->readers;
    api->readers = o.r;
    api->n_readers++;
    uv_http_stream(api->http, exchange);
    fleet_service_each(w.fleet, (unsigned)stack, (unsigned)service, open_one, &o);
    end_if_over(api, o.r);
    return true;
}

static void give_back(struct uv_api *api, struct tail *t)
{
    if (t->stream != 0 && t->owed > 0) {
        api->host->stream_credit(api->arg, t->stream, t->owed);
        t->owed = 0;
    }
}

bool uv_api_streams_lines(struct uv_api *api, uint64_t stream, const struct uv_session_line *lines,
                          unsigned n)
{
    struct reader *r = NULL;
    struct tail *t = tail_by_stream(api, stream, &r);

    if (t == NULL) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        struct codec_api_log line = {.container = t->container,
                                     .node = t->node,
                                     .unix_ns = lines[i].unix_ns,
                                     .is_stderr = lines[i].is_stderr,
                                     .partial = lines[i].partial,
                                     .text = lines[i].text,
                                     .len = lines[i].len};

        write_line(api, r, &line);
        t->owed += (uint32_t)LINK_LINE_COST(lines[i].len);
        t->last_unix_ns = lines[i].unix_ns;
    }
    if (uv_http_stream_room(api->http, r->exchange) >= UV_HTTP_STREAM_MAX / 2) {
        give_back(api, t);
    }
    return true;
}

bool uv_api_streams_end(struct uv_api *api, uint64_t stream, const char *error)
{
    struct reader *r = NULL;
    struct tail *t = tail_by_stream(api, stream, &r);

    if (t == NULL) {
        return false;
    }
    t->stream = 0;
    r->n_open--;
    if (error[0] != '\0') {
        write_error(api, r, t, error);
    }
    end_if_over(api, r);
    return true;
}

/* A container that came up after the reader did, or again. */
static void open_new(struct uv_api *api, struct reader *r, const struct ring_event *event)
{
    struct fleet_placement_view p;
    struct api_world w;
    struct tail *t = tail_of(r, event->incarnation);

    api->host->world(api->arg, &w);
    if (strcmp(r->what.stack, event->stack) != 0 || strcmp(r->what.service, event->service) != 0 ||
        (r->what.slot != 0 && r->what.slot != event->slot) || (t != NULL && t->stream != 0) ||
        w.fleet == NULL || !fleet_placement_find(w.fleet, event->incarnation, &p)) {
        return;
    }
    if (t == NULL && r->n_tails < UV_API_TAILS_MAX) {
        t = tail_make(r, &p);
    }
    if (t != NULL) {
        tail_open(api, r, t, p.node_id);
    }
}

/* ---- both ---- */

void uv_api_event(struct uv_api *api, const struct ring_event *event)
{
    struct follower *next;

    for (struct follower *f = api->followers; f != NULL; f = next) {
        next = f->next;
        follower_go_on(api, f);
    }
    if (event->what != FLEET_HAPPENED_RUNNING) {
        return;
    }
    for (struct reader *r = api->readers; r != NULL; r = r->next) {
        if (r->what.follow) {
            open_new(api, r, event);
        }
    }
}

static struct follower *follower_by(const struct uv_api *api, uint64_t exchange)
{
    struct follower *f = api->followers;

    while (f != NULL && f->exchange != exchange) {
        f = f->next;
    }
    return f;
}

static struct reader *reader_by(const struct uv_api *api, uint64_t exchange)
{
    struct reader *r = api->readers;

    while (r != NULL && r->exchange != exchange) {
        r = r->next;
    }
    return r;
}

void uv_api_streams_drained(struct uv_api *api, uint64_t exchange)
{
    struct follower *f = follower_by(api, exchange);
    struct reader *r = reader_by(api, exchange);

    if (f != NULL) {
        follower_go_on(api, f);
    }
    for (struct tail *t = r != NULL ? r->tails : NULL; t != NULL; t = t->next) {
        give_back(api, t);
    }
}

void uv_api_streams_gone(struct uv_api *api, uint64_t exchange)
{
    struct follower *f = follower_by(api, exchange);
    struct reader *r = reader_by(api, exchange);

    if (f != NULL) {
        follower_free(api, f);
    }
    if (r == NULL) {
        return;
    }
    for (struct tail *t = r->tails; t != NULL; t = t->next) {
        if (t->stream != 0) {
            api->host->stream_close(api->arg, t->stream);
        }
    }
    reader_free(api, r);
}

void uv_api_streams_cut(struct uv_api *api, const char *why)
{
    while (api->readers != NULL) {
        struct reader *r = api->readers;

        for (struct tail *t = r->tails; t != NULL; t = t->next) {
            if (t->stream != 0) {
                api->host->stream_close(api->arg, t->stream);
                write_error(api, r, t, why);
            }
        }
        uv_http_stream_end(api->http, r->exchange);
        reader_free(api, r);
    }
}

void uv_api_streams_finish(struct uv_api *api)
{
    while (api->followers != NULL) {
        follower_free(api, api->followers);
    }
    while (api->readers != NULL) {
        reader_free(api, api->readers);
    }
}
