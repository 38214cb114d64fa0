// SPDX-License-Identifier: Apache-2.0
/* Streams: of log lines, and of the rows that answer a question. Each gives what it has when the
 * socket takes a frame and it has credit. At the present end of a log it sleeps until the next
 * look, some times a second, if it follows; an answer that is not there yet wakes it. A line may
 * begin while there is credit, so that no line is too long for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/uv_agent_ask.h"
#include "agent/uv_agent_link_priv.h"
#include "common/cleanup.h"

#define FRAME_BYTES (32u * 1024)
#define FRAME_LINES 512u
#define LOOK_MS     100u
#define LOOKS_MAX   4u /* blocks without a line that is wanted, in one turn of the loop */

struct link_stream {
    struct link_stream *next;
    uint64_t number;
    uint64_t incarnation;
    struct logs_reader *reader; /* NULL: it could not be opened, or it is no log */
    struct ask *ask;            /* NULL: it is none */
    struct uv_agent_link *link;
    int64_t credit;
    bool follow;
    bool asleep; /* at the present end */
    bool last;   /* the container was over when the end was reached: one more look, then the end */
    bool over;   /* to be ended, with `error` */
    char error[LINK_REASON_MAX];
};

static struct link_stream *find(const struct uv_agent_link *l, uint64_t number)
{
    struct link_stream *st = l->streams;

    while (st != NULL && st->number != number) {
        st = st->next;
    }
    return st;
}

void uv_agent_link_streams_drop(struct uv_agent_link *l, uint64_t number)
{
    struct link_stream **at = &l->streams;
    struct link_stream *st;

    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    st = *at;
    if (st == NULL) {
        return;
    }
    *at = st->next;
    l->n_streams--;
    if (st->reader != NULL) {
        logs_close(st->reader);
    }
    uv_agent_ask_close(st->ask);
    free(st);
}

void uv_agent_link_streams_drop_all(struct uv_agent_link *l)
{
    while (l->streams != NULL) {
        uv_agent_link_streams_drop(l, l->streams->number);
    }
}

static void fail(struct link_stream *st, const char *text)
{
    st->over = true;
    (void)snprintf(st->error, sizeof(st->error), "%s", text);
}

/* To the end of the list, so that the streams take turns. */
static void append(struct uv_agent_link *l, struct link_stream *st)
{
    struct link_stream **at = &l->streams;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    st->next = NULL;
    *at = st;
}

static void open_logs(struct link_stream *st, const struct link_logs *logs)
{
    auto_free char *path = uv_agent_log_path(st->link->agent, logs->incarnation);
    struct logs_options options = {
        .tail_all = logs->tail_all, .tail = logs->tail, .since_unix_ms = logs->since_unix_ms};
    struct err e;

    st->incarnation = logs->incarnation;
    st->follow = logs->follow;
    if (path == NULL) {
        fail(st, "the node has no such container (any more)");
    } else if (logs_open(path, &options, &st->reader, &e) < 0) {
        fail(st, e.text);
    }
}

static void on_answer(void *arg)
{
    struct link_stream *st = arg;

    st->asleep = false;
    uv_agent_link_next(st->link);
}

void uv_agent_link_streams_open(struct uv_agent_link *l, const struct link_stream_open *open)
{
    struct link_stream *st;

    if (l->n_streams == UV_AGENT_LINK_STREAMS_MAX || find(l, open->stream) != NULL) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "stream_open: a number twice, or more than %u",
                          UV_AGENT_LINK_STREAMS_MAX);
        return;
    }
    st = xcalloc(1, sizeof(*st));
    *st = (struct link_stream){.number = open->stream, .credit = open->credit, .link = l};
    append(l, st);
    l->n_streams++;
    if (open->ask.kind != NULL) {
        st->ask = uv_agent_ask_open(l->agent, &open->ask, on_answer, st);
    } else {
        open_logs(st, &open->logs);
    }
    uv_agent_link_next(l);
}

void uv_agent_link_streams_credit(struct uv_agent_link *l, uint64_t number, uint32_t bytes)
{
    struct link_stream *st = find(l, number);

    if (st == NULL) {
        return; /* it has ended */
    }
    if (bytes > LINK_CREDIT_MAX || st->credit > (int64_t)LINK_CREDIT_MAX) {
        uv_agent_link_end(l, LINK_REFUSE_PROTOCOL, "stream_credit: more than %u bytes",
                          LINK_CREDIT_MAX);
        return;
    }
    st->credit += bytes;
    uv_agent_link_next(l);
}

void uv_agent_link_streams_wake(struct uv_agent_link *l)
{
    for (struct link_stream *st = l->streams; st != NULL; st = st->next) {
        st->asleep &= st->ask != NULL;
    }
}

/* ---- reading ---- */

/* One frame; the text is copied, because a reader lends it for one call. */
struct fill {
    struct link_stream *stream;
    struct link_line lines[FRAME_LINES];
    size_t at[FRAME_LINES]; /* of each line in `text` */
    unsigned n;
    struct buf text;
};

/* Returns whether another line may follow. */
static bool put_line(struct fill *fill, const struct link_line *line)
{
    fill->at[fill->n] = fill->text.len;
    fill->lines[fill->n++] = *line;
    buf_append(&fill->text, line->text, line->len);
    fill->stream->credit -= (int64_t)LINK_LINE_COST(line->len);
    return fill->stream->credit > 0 && fill->n < FRAME_LINES;
}

static bool on_line(void *arg, const struct logs_line *line)
{
    struct link_line to = {.unix_ns = line->unix_ns,
                           .is_stderr = line->is_stderr,
                           .partial = line->partial,
                           .text = line->text,
                           .len = line->len};

    return put_line(arg, &to);
}

static bool container_over(const struct uv_agent *a, uint64_t incarnation)
{
    const struct node_container *c = node_find(a->node, incarnation);

    return c == NULL || c->phase == NODE_PHASE_DONE;
}

static void at_end(struct uv_agent_link *l, struct link_stream *st)
{
    if (!st->follow || st->last) {
        st->over = true;
        return;
    }
    st->last = container_over(l->agent, st->incarnation);
    st->asleep = true;
    if (l->logs_ms == UINT64_MAX) {
        l->logs_ms = uv_now(l->agent->loop) + LOOK_MS;
    }
}

static void send_lines(struct uv_agent_link *l, struct fill *fill)
{
    struct link_message m = {.kind = LINK_STREAM_DATA};

    for (unsigned i = 0; i < fill->n; i++) {
        fill->lines[i].text = buf_text(&fill->text) + fill->at[i];
    }
    m.u.stream_data = (struct link_stream_data){
        .stream = fill->stream->number, .lines = fill->lines, .n = fill->n};
    uv_agent_link_write(l, &m);
}

static void read_log(struct uv_agent_link *l, struct link_stream *st, struct fill *fill)
{
    struct err e;
    int rc = logs_read(st->reader, FRAME_BYTES, on_line, fill, &e);

    if (rc < 0) {
        fail(st, e.text);
    } else if (rc == 0) {
        at_end(l, st);
    }
    st->last = st->last && (fill->n == 0 || (rc == 0 && st->over));
}

static void read_answer(struct link_stream *st, struct fill *fill)
{
    struct link_line line = {0};
    const char *error;
    bool goes_on = true;

    while (goes_on && fill->text.len < FRAME_BYTES) {
        if (!uv_agent_ask_take(st->ask, &line.text, &line.len)) {
            st->over = uv_agent_ask_over(st->ask, &error);
            st->asleep = !st->over;
            (void)snprintf(st->error, sizeof(st->error), "%s", error);
            return;
        }
        goes_on = put_line(fill, &line);
    }
}

/* Reads what a frame takes. Returns whether a frame was written. */
static bool read_some(struct uv_agent_link *l, struct link_stream *st)
{
    auto_free struct fill *fill = xcalloc(1, sizeof(*fill));
    bool wrote;

    fill->stream = st;
    if (st->ask != NULL) {
        read_answer(st, fill);
    } else {
        read_log(l, st, fill);
    }
    wrote = fill->n > 0;
    if (wrote) {
        send_lines(l, fill);
    }
    buf_finish(&fill->text);
    return wrote;
}

static void end_stream(struct uv_agent_link *l, struct link_stream *st)
{
    struct link_message m = {.kind = LINK_STREAM_END};

    m.u.stream_end = (struct link_stream_end){.stream = st->number, .error = st->error};
    uv_agent_link_write(l, &m);
    uv_agent_link_streams_drop(l, st->number);
}

static bool can_read(const struct link_stream *st)
{
    return !st->over && !st->asleep && st->credit > 0 && (st->reader != NULL || st->ask != NULL);
}

/* The stream that was served goes to the end of the list. */
static void rotate(struct uv_agent_link *l, struct link_stream *st)
{
    struct link_stream **at = &l->streams;

    while (*at != st) {
        at = &(*at)->next;
    }
    *at = st->next;
    append(l, st);
}

/* A stream at which there is nothing costs a look and is then over or asleep. One that reads over
 * much that nobody wants (`since`) goes on in the loop's next turn. */
bool uv_agent_link_streams_next(struct uv_agent_link *l)
{
    struct link_stream *st = l->streams;
    unsigned looks = 0;

    while (st != NULL && looks < LOOKS_MAX) {
        if (can_read(st) && read_some(l, st)) {
            rotate(l, st);
            return true;
        }
        if (st->over) {
            end_stream(l, st);
            return true;
        }
        looks += can_read(st);
        st = can_read(st) ? st : st->next;
    }
    if (looks == LOOKS_MAX) {
        l->logs_ms = uv_now(l->agent->loop);
    }
    uv_agent_link_arm(l);
    return false;
}
