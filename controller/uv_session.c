// SPDX-License-Identifier: Apache-2.0
/* One session, from its accept to the last callback of its wire. `gone` is said of what leaves the
 * table of nodes by its own end, and not because a newer session took its place. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "controller/uv_session_priv.h"

#define ASKED_MS 30000u
#define SILENT_MIN                                                                                 \
    20000u /* a peer that says nothing for so long, and for five timeouts, is cut                  \
            */

/* ---- ends ---- */

void uv_session_stream_forget(struct session *se, struct session_stream *stream)
{
    struct session_stream **at = &se->streams;

    while (*at != stream) {
        at = &(*at)->next;
    }
    *at = stream->next;
    se->n_streams--;
    free(stream->args);
    free(stream);
}

void uv_session_drop_waiting(struct session *se, bool tell)
{
    const struct uv_sessions_config *config = &se->owner->config;

    while (se->streams != NULL) {
        uint64_t number = se->streams->number;
        bool closed = se->streams->closed;

        uv_session_stream_forget(se, se->streams);
        if (tell && !closed) {
            config->events->stream_end(config->arg, number, "the session with the node has ended");
        }
    }
    while (se->n_requests > 0) {
        uint64_t number = se->requests[--se->n_requests].number;

        if (tell) {
            config->events->volume_forgotten(config->arg, se->node_id, number,
                                             "the session with the node has ended");
        }
    }
}

static void on_closed(struct uv_wire *wire)
{
    struct session *se = container_of(wire, struct session, wire);
    struct uv_sessions *s = se->owner;

    *(se->prev != NULL ? &se->prev->next : &s->all) = se->next;
    if (se->next != NULL) {
        se->next->prev = se->prev;
    }
    s->n_all--;
    uv_session_list_finish(&se->changed);
    uv_session_list_finish(&se->removed);
    free(se->digests);
    free(se->requests);
    free(se);
    uv_sessions_release(s);
}

static void leave_greeting(struct session *se)
{
    if (se->state == SESSION_GREETING) {
        se->owner->n_greeting--;
    }
}

void uv_session_end(struct session *se, enum link_refusal code, const char *fmt, ...)
{
    struct link_message m = {.kind = LINK_REFUSE};
    auto_buf struct buf bytes = {0};
    va_list ap;

    if (se->state == SESSION_ENDING) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(se->reason, sizeof(se->reason), fmt, ap);
    va_end(ap);
    log_warn("session with %s%s%s ends: %s: %s", se->name, se->name[0] != '\0' ? " at " : "",
             se->peer, codec_link_refusal_name(code), se->reason);
    leave_greeting(se);
    se->state = SESSION_ENDING;
    m.u.refuse = (struct link_refuse){.code = code, .reason = se->reason};
    codec_link_encode(&m, &bytes);
    uv_wire_end(&se->wire, bytes.data, bytes.len);
}

static void on_ended(struct uv_wire *wire, const struct err *why)
{
    struct session *se = container_of(wire, struct session, wire);
    const struct uv_sessions_config *config = &se->owner->config;
    bool ours = uv_sessions_take_out(se);

    if (se->reason[0] == '\0') {
        (void)snprintf(se->reason, sizeof(se->reason), "%s",
                       why->code != 0 ? why->text : "the agent has closed the connection");
    }
    leave_greeting(se);
    se->state = SESSION_ENDING;
    uv_session_drop_waiting(se, /* tell: */ true);
    uv_wire_close(&se->wire, on_closed);
    if (ours) {
        config->events->gone(config->arg, se->node_id, se->reason);
    }
}

/* ---- coming ---- */

static void on_frame(struct uv_wire *wire, const uint8_t *bytes, size_t len)
{
    uv_session_frame(container_of(wire, struct session, wire), bytes, len);
}

static void on_writable(struct uv_wire *wire)
{
    uv_session_next(container_of(wire, struct session, wire));
}

static const struct uv_wire_events wire_events = {
    .frame = on_frame, .writable = on_writable, .ended = on_ended};

void uv_session_enter(struct session *se)
{
    struct session *old = uv_sessions_find(se->owner, se->node_id);

    if (old != NULL) {
        (void)uv_sessions_take_out(old);
        uv_session_drop_waiting(old, /* tell: */ true);
        uv_session_end(old, LINK_REFUSE_REPLACED, "a newer session of node %s took over", se->name);
    }
    leave_greeting(se);
    se->state = SESSION_ASKED;
    uv_sessions_insert(se->owner, se);
}

void uv_session_accept(struct uv_sessions *s, uv_stream_t *stream)
{
    struct session *se = xcalloc(1, sizeof(*se));
    struct err e = {0};

    se->owner = s;
    se->heard_ms = uv_now(s->loop);
    uv_wire_init(&se->wire, s->loop, &wire_events, FRAME_MAX_FIRST);
    se->next = s->all;
    if (s->all != NULL) {
        s->all->prev = se;
    }
    s->all = se;
    s->live++;
    s->n_all++;
    s->n_greeting++;
    if (uv_accept(stream, (uv_stream_t *)&se->wire.tcp) < 0 || uv_wire_start(&se->wire, &e) < 0 ||
        s->n_all > UV_SESSION_SESSIONS_MAX || s->n_greeting > UV_SESSION_GREETING_MAX) {
        leave_greeting(se);
        se->state = SESSION_ENDING;
        uv_wire_close(&se->wire, on_closed);
        return;
    }
    uv_wire_peer(&se->wire, se->peer, sizeof(se->peer));
}

/* ---- time ---- */

void uv_session_sweep(struct session *se, uint64_t now)
{
    const struct fleet *f = se->owner->config.fleet(se->owner->config.arg);
    uint64_t silent = f != NULL ? 5ull * fleet_timeout_ms(f) : SILENT_MIN;
    uint64_t since = now > se->heard_ms ? now - se->heard_ms : 0;

    silent = silent > SILENT_MIN ? silent : SILENT_MIN;
    if (se->state == SESSION_GREETING && since > UV_SESSION_HELLO_MS) {
        uv_session_end(se, LINK_REFUSE_PROTOCOL, "no hello within %u s",
                       UV_SESSION_HELLO_MS / 1000);
    } else if (se->state == SESSION_ASKED && since > ASKED_MS) {
        uv_session_end(se, LINK_REFUSE_BUSY, "the controller has no answer");
    } else if (se->state == SESSION_READY && since > silent) {
        uv_session_end(se, LINK_REFUSE_PROTOCOL, "nothing was heard for %llu s",
                       (unsigned long long)since / 1000);
    }
}

void uv_session_close(struct session *se)
{
    uv_session_drop_waiting(se, /* tell: */ false);
    se->state = SESSION_ENDING;
    uv_wire_close(&se->wire, on_closed);
}
