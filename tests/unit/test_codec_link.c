// SPDX-License-Identifier: Apache-2.0
/* The messages of the link: every kind there and back, cut off at every byte, every bit flipped;
 * who may say what; every cap; and a table without holes. */
#include "common/askrow.h"
#include "common/codec_link.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/doc.h"
#include "linksample.h"

START_TEST(table_has_no_holes)
{
    const struct link_row *row = &codec_link_rows[_i];

    ck_assert_ptr_nonnull(row->name);
    ck_assert(row->from_agent || row->from_controller);
    ck_assert(row->first || row->later);
    ck_assert_uint_gt(row->cap, 0);
    ck_assert_uint_le(row->cap, row->first ? FRAME_MAX_FIRST : FRAME_MAX);
    for (int i = 0; i < _i; i++) {
        ck_assert_str_ne(row->name, codec_link_rows[i].name);
    }
}
END_TEST

/* What was decoded encodes to the same bytes: so no field is lost on either way. */
START_TEST(there_and_back)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = linksample(kind), back;
    auto_buf struct buf bytes = {0};
    auto_buf struct buf again = {0};
    struct err e = {0};

    codec_link_encode(&m, &bytes);
    ck_assert_msg(linksample_decode(kind, &bytes, &back, &e) == 0, "%s", e.text);
    ck_assert_int_eq(back.kind, kind);
    codec_link_encode(&back, &again);
    codec_link_free(&back);
    ck_assert_uint_eq(bytes.len, again.len);
    ck_assert_mem_eq(bytes.data, again.data, bytes.len);
}
END_TEST

START_TEST(values_arrive)
{
    struct link_message m = linksample(LINK_REPORT), back;
    auto_buf struct buf bytes = {0};
    const struct link_observation *o;

    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(linksample_decode(LINK_REPORT, &bytes, &back, NULL), 0);
    ck_assert_uint_eq(back.u.report.n, 2);
    ck_assert_uint_eq(back.u.report.gone[1], UINT64_MAX);
    o = back.u.report.list;
    ck_assert_int_eq(o->exit_code, -1);
    ck_assert_str_eq(o->controls, "seccomp: applied\npids: 1024");
    ck_assert_mem_eq(o->revision, linksample_digest, LINK_DIGEST);
    ck_assert_ptr_null(o[1].controls);
    ck_assert_ptr_null(o[1].revision);
    codec_link_free(&back);
}
END_TEST

START_TEST(cut_off_at_every_byte)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = linksample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        auto_free uint8_t *part = xmalloc(len + 1); /* so that a sanitizer sees its end */
        struct err e = {0};

        memcpy(part, bytes.data, len);
        ck_assert_int_lt(codec_link_decode(part, len, linksample_side(kind),
                                           !codec_link_rows[kind].first, &back, &e),
                         0);
        ck_assert_str_ne(e.text, "");
    }
}
END_TEST

START_TEST(every_bit_flipped)
{
    enum link_kind kind = (enum link_kind)_i;
    struct link_message m = linksample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct err e = {0};

        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        if (linksample_decode(kind, &bytes, &back, &e) == 0) {
            codec_link_free(&back);
        } else {
            ck_assert_str_ne(e.text, "");
        }
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

/* Each kind from each side, before and after the greeting: as its row says. */
START_TEST(turns_are_judged)
{
    enum link_kind kind = (enum link_kind)_i;
    const struct link_row *row = &codec_link_rows[kind];
    struct link_message m = linksample(kind), back;
    auto_buf struct buf bytes = {0};

    codec_link_encode(&m, &bytes);
    for (int greeted = 0; greeted < 2; greeted++) {
        for (int side = 0; side < 2; side++) {
            bool allowed = (side == LINK_AGENT ? row->from_agent : row->from_controller) &&
                           (greeted ? row->later : row->first);
            struct err e = {0};
            int rc = codec_link_decode(bytes.data, bytes.len, (enum link_side)side, greeted != 0,
                                       &back, &e);

            ck_assert_int_eq(rc, allowed ? 0 : -EPROTO);
            if (rc == 0) {
                codec_link_free(&back);
            } else {
                ck_assert_ptr_nonnull(strstr(e.text, row->name));
            }
        }
    }
}
END_TEST

static void put_varint(struct buf *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        buf_putc(b, (char)(value | 0x80));
    }
    buf_putc(b, (char)value);
}

static void put_bytes(struct buf *b, unsigned field, const void *bytes, size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    buf_append(b, bytes, len);
}

/* A message of this kind with so many bytes: an unknown field fills it. */
static void padded(enum link_kind kind, size_t len, struct buf *ret)
{
    auto_buf struct buf inner = {0};
    auto_free char *fill = xcalloc(1, len);

    put_bytes(&inner, 1000, fill, len - 16);
    put_bytes(ret, kind + 1, inner.data, inner.len);
}

START_TEST(caps_hold)
{
    enum link_kind kind = (enum link_kind)_i;
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    padded(kind, codec_link_rows[kind].cap + 16, &bytes);
    ck_assert_int_eq(linksample_decode(kind, &bytes, &back, &e), -E2BIG);
    ck_assert_ptr_nonnull(strstr(e.text, codec_link_rows[kind].name));
}
END_TEST

START_TEST(unknown_kinds_and_no_envelopes)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\x00", 1},
        {"\x0a", 1},
        {"\xa2\x06\x00", 3},                     /* field 100 */
        {"\xaa\x01\x00", 3},                     /* field 21: the first that is not there */
        {"\x02\x00", 2},                         /* field 0 */
        {"\x48\x01", 2},                         /* ack, but a number */
        {"\x4a\x00\x4a\x00", 4},                 /* two messages */
        {"\x4a\x05\x00", 3},                     /* longer than it is */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* a number without end */
    };
    struct link_message back;
    struct err e = {0};

    ck_assert_int_eq(codec_link_decode(rows[_i].bytes, rows[_i].len, LINK_AGENT, true, &back, &e),
                     -EBADMSG);
    ck_assert_str_ne(e.text, "");
}
END_TEST

/* Groups nest without lengths; none may pass. Nor may a message that nests in an unknown field
 * reach protobuf-c's recursion: it is skipped as bytes. */
START_TEST(nesting_is_bounded)
{
    auto_buf struct buf inner = {0};
    auto_buf struct buf bytes = {0};
    struct link_message back;

    for (int i = 0; i < 20000; i++) {
        buf_putc(&inner, 0x0b); /* start group 1 */
    }
    put_bytes(&bytes, LINK_REPORT + 1, inner.data, inner.len);
    ck_assert_int_lt(linksample_decode(LINK_REPORT, &bytes, &back, NULL), 0);
}
END_TEST

START_TEST(counts_are_capped)
{
    auto_buf struct buf inner = {0};
    auto_buf struct buf bytes = {0};
    struct link_message back;
    struct err e = {0};

    for (unsigned i = 0; i <= DOC_WIDE_MAX; i++) {
        put_bytes(&inner, 3, "", 0); /* empty linksample_observations */
    }
    put_bytes(&bytes, LINK_REPORT + 1, inner.data, inner.len);
    ck_assert_int_eq(linksample_decode(LINK_REPORT, &bytes, &back, &e), -E2BIG);
}
END_TEST

START_TEST(labels_and_images_are_capped)
{
    struct link_message m = linksample(LINK_FACTS), back;
    auto_buf struct buf bytes = {0};
    auto_buf struct buf more = {0};
    auto_free struct link_pair *many = xcalloc(LINK_LABELS_MAX + 1, sizeof(*many));
    auto_free struct link_image *much = xcalloc(LINK_IMAGES_MAX + 1, sizeof(*much));

    m.u.facts.labels = many;
    m.u.facts.n_labels = LINK_LABELS_MAX + 1;
    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(linksample_decode(LINK_FACTS, &bytes, &back, NULL), -E2BIG);
    m = linksample(LINK_FACTS);
    m.u.facts.images = much;
    m.u.facts.n_images = LINK_IMAGES_MAX + 1;
    codec_link_encode(&m, &more);
    ck_assert_int_eq(linksample_decode(LINK_FACTS, &more, &back, NULL), -E2BIG);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct link_message m = linksample(LINK_HELLO);
    struct link_observation o = linksample_observations[0];
    struct link_placement p = linksample_placements[0];
    struct link_revision r = linksample_revisions[0];

    m.u.hello.node_id = (struct id128){0};
    linksample_refused(&m);
    m = linksample(LINK_HELLO);
    m.u.hello.facts.name = "../x";
    linksample_refused(&m);
    m = linksample(LINK_WELCOME);
    m.u.welcome.heartbeat_ms = 0;
    linksample_refused(&m);
    m.u.welcome.heartbeat_ms = 5000; /* longer than the timeout */
    linksample_refused(&m);
    m = linksample(LINK_REPORT);
    m.u.report.list = &o;
    m.u.report.n = 1;
    o.phase = 0;
    linksample_refused(&m);
    o.phase = LINK_PHASE_MAX + 1;
    linksample_refused(&m);
    o = linksample_observations[0];
    o.incarnation = 0;
    linksample_refused(&m);
    m = linksample(LINK_SET_CHUNK);
    m.u.set_chunk.placements = &p;
    m.u.set_chunk.n_placements = 1;
    p.service = "Web";
    linksample_refused(&m);
    p = linksample_placements[0];
    p.incarnation = 0;
    linksample_refused(&m);
    m = linksample(LINK_SET_CHUNK);
    m.u.set_chunk.revisions = &r;
    r.container = "\x0a\x05imagf"; /* not what the linksample_digest says */
    linksample_refused(&m);
    m = linksample(LINK_STREAM_OPEN);
    m.u.stream_open.stream = 0;
    linksample_refused(&m);
    m = linksample(LINK_STREAM_OPEN);
    m.u.stream_open.ask = (struct link_ask){.kind = "doctor", .args = "a", .len = 2};
    linksample_refused(&m); /* a key without a value */
}
END_TEST

START_TEST(a_question_is_the_other_kind_of_stream)
{
    struct link_message m = linksample(LINK_STREAM_OPEN), back;
    auto_buf struct buf row = {0};
    auto_buf struct buf bytes = {0};

    askrow_put(&row, "to", "shop/web.1");
    m.u.stream_open.ask = (struct link_ask){"net.from", row.data, row.len};
    codec_link_encode(&m, &bytes);
    ck_assert_int_eq(linksample_decode(LINK_STREAM_OPEN, &bytes, &back, NULL), 0);
    ck_assert_str_eq(back.u.stream_open.ask.kind, "net.from");
    ck_assert_str_eq(askrow_get(back.u.stream_open.ask.args, back.u.stream_open.ask.len, "to"),
                     "shop/web.1");
    ck_assert_uint_eq(back.u.stream_open.logs.incarnation, 0);
    codec_link_free(&back);
}
END_TEST

START_TEST(positions_compare_epoch_first)
{
    ck_assert_int_lt(
        codec_link_position_compare((struct link_position){1, 9}, (struct link_position){2, 0}), 0);
    ck_assert_int_gt(
        codec_link_position_compare((struct link_position){2, 1}, (struct link_position){2, 0}), 0);
    ck_assert_int_eq(
        codec_link_position_compare((struct link_position){2, 1}, (struct link_position){2, 1}), 0);
}
END_TEST

/* Filling a frame relies on it. */
START_TEST(sizes_are_upper_bounds)
{
    struct link_message m = linksample(LINK_REPORT);
    auto_buf struct buf one = {0};
    auto_buf struct buf none = {0};

    m.u.report.n = 1;
    codec_link_encode(&m, &one);
    m.u.report.n = 0;
    codec_link_encode(&m, &none);
    ck_assert_uint_le(one.len - none.len, codec_link_size_observation(&linksample_observations[0]));
    buf_clear(&one);
    buf_clear(&none);
    m = linksample(LINK_SET_CHUNK);
    codec_link_encode(&m, &one);
    m.u.set_chunk.n_placements = 1;
    codec_link_encode(&m, &none);
    ck_assert_uint_le(one.len - none.len, codec_link_size_placement(&linksample_placements[1]));
    for (unsigned i = 0; i < 3; i++) {
        buf_clear(&one);
        m = (struct link_message){
            .kind = LINK_SERVICES,
            .u.services = {.changed = &linksample_entries[i], .n_changed = 1}};
        codec_link_encode(&m, &one);
        ck_assert_uint_le(one.len, codec_link_size_service(&linksample_entries[i]));
    }
    for (unsigned i = 0; i < 2; i++) {
        buf_clear(&one);
        m = (struct link_message){
            .kind = LINK_SERVICES,
            .u.services = {.patched = &linksample_patches[i], .n_patched = 1}};
        codec_link_encode(&m, &one);
        ck_assert_uint_le(one.len, codec_link_size_patch(&linksample_patches[i]));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec_link");
    TCase *t = tcase_create("codec_link");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, linksample_setup, NULL);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, table_has_no_holes, 0, LINK_KIND_N);
    tcase_add_loop_test(t, there_and_back, 0, LINK_KIND_N);
    tcase_add_test(t, values_arrive);
    tcase_add_loop_test(t, cut_off_at_every_byte, 0, LINK_KIND_N);
    tcase_add_loop_test(t, every_bit_flipped, 0, LINK_KIND_N);
    tcase_add_loop_test(t, turns_are_judged, 0, LINK_KIND_N);
    tcase_add_loop_test(t, caps_hold, 0, LINK_KIND_N);
    tcase_add_loop_test(t, unknown_kinds_and_no_envelopes, 0, 10);
    tcase_add_test(t, nesting_is_bounded);
    tcase_add_test(t, counts_are_capped);
    tcase_add_test(t, labels_and_images_are_capped);
    tcase_add_test(t, what_cannot_be_is_refused);
    tcase_add_test(t, a_question_is_the_other_kind_of_stream);
    tcase_add_test(t, positions_compare_epoch_first);
    tcase_add_test(t, sizes_are_upper_bounds);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
