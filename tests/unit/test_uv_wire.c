// SPDX-License-Identifier: Apache-2.0
/* Frames over real sockets of the loopback: whole, in halves, byte by byte; a reader that does not
 * read; a frame that is too long; the last frame; and a layer under it all. */
#include "common/uv_wire.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define WAIT_MS 8000u

struct end {
    struct uv_wire wire;
    struct buf got; /* payloads, one after the other */
    unsigned frames, writables;
    bool ended, closed, close_in_frame;
    struct err why;
    struct buf again; /* written whenever it can be */
    unsigned repeat;
};

static uv_loop_t loop;
static uv_tcp_t listener;
static struct end server;
static struct sockaddr_storage address;
static bool accepted;

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + (uint64_t)WAIT_MS * 1000000;                                 \
        struct timespec nap_ = {.tv_nsec = 200000};                                                \
        while (!(condition) && uv_hrtime() < end_) {                                               \
            (void)uv_run(&loop, UV_RUN_NOWAIT);                                                    \
            (void)nanosleep(&nap_, NULL);                                                          \
        }                                                                                          \
        ck_assert_msg((condition), "never: %s", #condition);                                       \
    } while (0)

static struct end *end_of(struct uv_wire *wire)
{
    return container_of(wire, struct end, wire);
}

static void on_closed(struct uv_wire *wire)
{
    end_of(wire)->closed = true;
}

static void on_frame(struct uv_wire *wire, const uint8_t *bytes, size_t len)
{
    struct end *end = end_of(wire);

    buf_append(&end->got, bytes, len);
    end->frames++;
    if (end->close_in_frame) {
        uv_wire_close(wire, on_closed);
    }
}

static void on_writable(struct uv_wire *wire)
{
    struct end *end = end_of(wire);

    end->writables++;
    if (end->repeat > 0) {
        end->repeat--;
        uv_wire_write(wire, end->again.data, end->again.len);
    }
}

static void on_ended(struct uv_wire *wire, const struct err *why)
{
    struct end *end = end_of(wire);

    ck_assert(!end->ended);
    end->ended = true;
    end->why = *why;
}

static const struct uv_wire_events events = {
    .frame = on_frame, .writable = on_writable, .ended = on_ended};

static void on_connection(uv_stream_t *stream, int status)
{
    ck_assert_int_eq(status, 0);
    uv_wire_init(&server.wire, &loop, &events, 1000);
    ck_assert_int_eq(uv_accept(stream, (uv_stream_t *)&server.wire.tcp), 0);
    ck_assert_int_eq(uv_wire_start(&server.wire, NULL), 0);
    accepted = true;
}

static void setup(void)
{
    int len = sizeof(address);

    (void)uv_loop_init(&loop);
    server = (struct end){0};
    accepted = false;
    ck_assert_int_eq(uv_wire_parse("127.0.0.1:0", &address, NULL), 0);
    (void)uv_tcp_init(&loop, &listener);
    ck_assert_int_eq(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&listener, 4, on_connection), 0);
    (void)uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len);
}

static void end_finish(struct end *end)
{
    uv_wire_close(&end->wire, on_closed);
    UNTIL(end->closed);
    buf_finish(&end->got);
    buf_finish(&end->again);
}

static void teardown(void)
{
    end_finish(&server);
    uv_close((uv_handle_t *)&listener, NULL);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

/* A plain socket: says just these bytes. */
static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(struct sockaddr_in)), 0);
    UNTIL(accepted);
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

START_TEST(frames_in_pieces)
{
    static const char bytes[] = "\0\0\0\3one\0\0\0\1x\0\0\0\5three";
    auto_close int fd = dial();

    for (size_t i = 0; i < sizeof(bytes) - 1; i += (size_t)_i) {
        size_t n = sizeof(bytes) - 1 - i;

        say(fd, bytes + i, n < (size_t)_i ? n : (size_t)_i);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    UNTIL(server.frames == 3);
    ck_assert_str_eq(buf_text(&server.got), "onexthree");
    ck_assert(!server.ended);
}
END_TEST

START_TEST(half_a_frame_is_none)
{
    int fd = dial();

    say(fd, "\0\0\0\5hal", 7);
    (void)close(fd);
    UNTIL(server.ended);
    ck_assert_uint_eq(server.frames, 0);
    ck_assert_int_eq(server.why.code, 0);
}
END_TEST

START_TEST(too_long_or_empty_ends_it)
{
    auto_close int fd = dial();

    say(fd, "\0\0\0\2ok", 6);
    say(fd, _i == 0 ? "\0\0\3\351" : "\0\0\0\0", 4); /* 1001 bytes */
    UNTIL(server.ended);
    ck_assert_uint_eq(server.frames, 1);
    ck_assert_int_eq(server.why.code, -EMSGSIZE);
}
END_TEST

START_TEST(the_limit_can_be_raised)
{
    auto_close int fd = dial();
    char bytes[4 + 1001] = {0, 0, 3, (char)0xe9};

    uv_wire_limit(&server.wire, 2000);
    say(fd, bytes, sizeof(bytes));
    UNTIL(server.frames == 1);
    ck_assert_uint_eq(server.got.len, 1001);
}
END_TEST

START_TEST(closed_from_inside_says_no_more)
{
    auto_close int fd = dial();

    server.close_in_frame = true;
    say(fd, "\0\0\0\1a\0\0\0\1b", 10);
    UNTIL(server.closed);
    ck_assert_uint_eq(server.frames, 1);
    ck_assert(!server.ended);
}
END_TEST

/* Somebody who does not read stops the writing after one frame, and costs no more than that. */
START_TEST(slow_reader_costs_one_frame)
{
    auto_close int fd = dial();
    auto_free char *sink = xmalloc(1 << 20);
    unsigned before, turns = 0;

    buf_reserve(&server.again, 65536);
    server.again.len = 65536;
    memset(server.again.data, 'x', 65536);
    server.repeat = 10000;
    UNTIL(server.writables > 0);
    do {
        before = server.writables;
        for (int i = 0; i < 50; i++) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
    } while (server.writables != before && ++turns < 1000);
    ck_assert_uint_lt(server.writables, 1000);
    ck_assert(!uv_wire_is_writable(&server.wire));
    ck_assert_uint_le(uv_stream_get_write_queue_size((uv_stream_t *)&server.wire.tcp), 65540);
    ck_assert_int_gt(recv(fd, sink, 1 << 20, 0), 0);
    ck_assert_int_gt(recv(fd, sink, 1 << 20, 0), 0);
    while (recv(fd, sink, 1 << 20, MSG_DONTWAIT) > 0) {
    }
    UNTIL(server.writables > before);
}
END_TEST

/* Also to a peer that had sent what nobody reads. */
START_TEST(the_last_frame_arrives)
{
    auto_close int fd = dial();
    char got[64];
    ssize_t n;

    for (int i = 0; i < 100; i++) {
        say(fd, "\0\0\0\1a", 5);
    }
    UNTIL(server.writables > 0);
    uv_wire_end(&server.wire, "bye", 3);
    ck_assert(!uv_wire_is_writable(&server.wire));
    uv_wire_end(&server.wire, "again", 5); /* nothing */
    while ((n = recv(fd, got, sizeof(got), MSG_DONTWAIT)) < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    ck_assert_int_eq(n, 7);
    ck_assert_mem_eq(got, "\0\0\0\3bye", 7);
    say(fd, "\0\0\0\1a", 5);
    (void)shutdown(fd, SHUT_WR);
    UNTIL(server.ended);
    ck_assert_int_eq(server.why.code, 0);
}
END_TEST

START_TEST(the_last_frame_is_not_waited_for)
{
    auto_close int fd = dial();
    uint64_t begin = uv_hrtime();

    UNTIL(server.writables > 0);
    uv_wire_end(&server.wire, "bye", 3);
    UNTIL(server.ended);
    ck_assert_uint_lt((uv_hrtime() - begin) / 1000000, 3000);
}
END_TEST

/* ---- both ends ---- */

static void dial_end(struct end *client)
{
    *client = (struct end){0};
    uv_wire_init(&client->wire, &loop, &events, 1000);
    uv_wire_connect(&client->wire, (struct sockaddr *)&address);
}

/* Turns every bit, and answers the first bytes with some of its own. */
struct turning {
    struct uv_wire_layer layer;
    bool answered;
};

static void turn(const char *bytes, size_t len, struct buf *to)
{
    for (size_t i = 0; i < len; i++) {
        buf_putc(to, (char)~bytes[i]);
    }
}

static int turn_in(struct uv_wire_layer *layer, const void *bytes, size_t len, struct buf *plain,
                   struct buf *back, struct err *e)
{
    struct turning *t = container_of(layer, struct turning, layer);

    (void)e;
    turn(bytes, len, plain);
    if (!t->answered) {
        t->answered = true;
        turn("\0\0\0\1!", 5, back);
    }
    return 0;
}

static int turn_out(struct uv_wire_layer *layer, const void *bytes, size_t len, struct buf *wire,
                    struct err *e)
{
    (void)layer;
    (void)e;
    turn(bytes, len, wire);
    return 0;
}

START_TEST(a_layer_goes_between)
{
    struct turning here = {.layer = {.in = turn_in, .out = turn_out}, .answered = true};
    struct turning there = {.layer = {.in = turn_in, .out = turn_out}};
    struct end client;

    dial_end(&client);
    client.wire.layer = &here.layer;
    UNTIL(accepted && client.writables > 0);
    server.wire.layer = &there.layer;
    uv_wire_write(&client.wire, "hello", 5);
    UNTIL(server.frames == 1 && client.frames == 1);
    ck_assert_str_eq(buf_text(&server.got), "hello");
    ck_assert_str_eq(buf_text(&client.got), "!");
    end_finish(&client);
}
END_TEST

START_TEST(nobody_listens)
{
    struct end client;

    accepted = true; /* not by anybody */
    uv_wire_init(&server.wire, &loop, &events, 1000);
    ((struct sockaddr_in *)&address)->sin_port = htons(1);
    dial_end(&client);
    UNTIL(client.ended);
    ck_assert_int_eq(client.why.code, -ECONNREFUSED);
    end_finish(&client);
}
END_TEST

START_TEST(addresses)
{
    static const char *const good[] = {"127.0.0.1:7717", "[::1]:7717", "192.0.2.1:0"};
    static const char *const bad[] = {
        "",      "host:1", "127.0.0.1",     "127.0.0.1:", "127.0.0.1:x", "::1:5",
        "[::1]", "[::1]5", "1.2.3.4:65536", "1.2.3.4:-1", "[]:1",        ":1"};
    struct sockaddr_storage ss;
    struct err e;

    uv_wire_init(&server.wire, &loop, &events, 1000);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(uv_wire_parse(good[i], &ss, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(uv_wire_parse(bad[i], &ss, &e) == -EINVAL, "%s", bad[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uv_wire");
    TCase *t = tcase_create("uv_wire");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 40);
    tcase_add_loop_test(t, frames_in_pieces, 1, 12);
    tcase_add_test(t, half_a_frame_is_none);
    tcase_add_loop_test(t, too_long_or_empty_ends_it, 0, 2);
    tcase_add_test(t, the_limit_can_be_raised);
    tcase_add_test(t, closed_from_inside_says_no_more);
    tcase_add_test(t, slow_reader_costs_one_frame);
    tcase_add_test(t, the_last_frame_arrives);
    tcase_add_test(t, the_last_frame_is_not_waited_for);
    tcase_add_test(t, a_layer_goes_between);
    tcase_add_test(t, nobody_listens);
    tcase_add_test(t, addresses);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
