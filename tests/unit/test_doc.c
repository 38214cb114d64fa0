// SPDX-License-Identifier: Apache-2.0
/* Decoding by descriptor: what is refused before protobuf-c sees it, and that every mangled message
 * is either refused or decoded, within its arena. */
#include "common/doc.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "spec.pb-c.h"
#include "store.pb-c.h"

static struct err e;

static int decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len)
{
    auto_doc struct doc doc = {0};

    return doc_decode(type, bytes, len, &doc_limits_default, &doc, &e);
}

static void sample(struct buf *out)
{
    Wherry__Spec__Container c = WHERRY__SPEC__CONTAINER__INIT;
    Wherry__Spec__KeyValue kv = WHERRY__SPEC__KEY_VALUE__INIT;
    Wherry__Spec__KeyValue *list[] = {&kv, &kv};
    Wherry__Spec__Limits limits = WHERRY__SPEC__LIMITS__INIT;
    char *caps[] = {(char *)"NET_RAW", (char *)"KILL"};

    kv.key = (char *)"NAME";
    kv.value = (char *)"gr\xc3\xbc\xc3\x9f";
    limits.memory_bytes = UINT64_MAX;
    c.image = (char *)"shop/web:1";
    c.n_environment = 2;
    c.environment = list;
    c.n_cap_add = 2;
    c.cap_add = caps;
    c.limits = &limits;
    c.read_only = true;
    doc_encode(&c.base, out);
}

START_TEST(round_trip)
{
    auto_buf struct buf bytes = {0}, again = {0};
    auto_doc struct doc doc = {0};
    const Wherry__Spec__Container *c;
    uint8_t digest[DOC_DIGEST], other[DOC_DIGEST];
    char hex[2 * DOC_DIGEST + 1];

    sample(&bytes);
    ck_assert_msg(doc_decode(&wherry__spec__container__descriptor, bytes.data, bytes.len,
                             &doc_limits_default, &doc, &e) == 0,
                  "%s", e.text);
    c = (const Wherry__Spec__Container *)doc.message;
    ck_assert_str_eq(c->environment[1]->value, "gr\xc3\xbc\xc3\x9f");
    ck_assert_uint_eq(c->limits->memory_bytes, UINT64_MAX);
    doc_encode(doc.message, &again);
    ck_assert_uint_eq(bytes.len, again.len);
    ck_assert_mem_eq(bytes.data, again.data, bytes.len);
    doc_digest(doc.message, digest);
    doc_digest(doc.message, other);
    ck_assert_mem_eq(digest, other, DOC_DIGEST);
    doc_digest_hex(digest, hex);
    ck_assert_uint_eq(strlen(hex), 64);
}
END_TEST

START_TEST(empty_message)
{
    static const char empty_sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    auto_doc struct doc doc = {0};
    uint8_t digest[DOC_DIGEST];
    char hex[2 * DOC_DIGEST + 1];

    ck_assert_int_eq(
        doc_decode(&wherry__spec__container__descriptor, "", 0, &doc_limits_default, &doc, &e), 0);
    doc_digest(doc.message, digest);
    doc_digest_hex(digest, hex);
    ck_assert_str_eq(hex, empty_sha256);
}
END_TEST

/* Field 1 of Container is a string, 9 (init) a bool, 17 and 19 messages, 15 repeated strings. */
START_TEST(refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        int rc;
        const char *says;
    } rows[] = {
        {"\x0a\x05shop", 6, -EBADMSG, "cut off"},
        {"\x0a\xff\xff\xff\xff\x0f", 6, -EBADMSG, "cut off"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, -EBADMSG, "cut off"},
        {"\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, -EBADMSG, "too long"},
        {"\x48\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, -EBADMSG, "too long"},
        {"\x48", 1, -EBADMSG, "cut off"},
        {"\x02\x00", 2, -EBADMSG, "field number"},
        {"\x0b\x0c", 2, -EBADMSG, "wire type"},
        {"\x0c", 1, -EBADMSG, "wire type"},
        {"\x0e\x00", 2, -EBADMSG, "wire type"},
        {"\x08\x01", 2, -EBADMSG, "'image' has wire type 0"},
        {"\x4a\x01\x01", 3, -EBADMSG, "'init' has wire type 2"},
        {"\x0a\x01\x00", 3, -EBADMSG, "UTF-8"},
        {"\x0a\x01\xff", 3, -EBADMSG, "UTF-8"},
        {"\x0a\x02\xc0\x80", 4, -EBADMSG, "UTF-8"},
        {"\x0a\x03\xed\xa0\x80", 5, -EBADMSG, "UTF-8"},
        {"\x0a\x04\xf4\x90\x80\x80", 6, -EBADMSG, "UTF-8"},
        {"\x0a\x02\xc3\x28", 4, -EBADMSG, "UTF-8"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int rc = decode(&wherry__spec__container__descriptor, rows[i].bytes, rows[i].len);

        ck_assert_msg(rc == rows[i].rc && strstr(e.text, rows[i].says) != NULL, "row %zu: %d %s", i,
                      rc, e.text);
    }
}
END_TEST

START_TEST(limits)
{
    auto_buf struct buf bytes = {0};
    const struct doc_limits small = {.repeated_max = 3, .string_max = 5};
    auto_doc struct doc doc = {0};

    for (int i = 0; i < 3; i++) {
        buf_append(&bytes,
                   "\x7a\x05"
                   "ABCDE",
                   7);
    }
    ck_assert_int_eq(
        doc_decode(&wherry__spec__container__descriptor, bytes.data, bytes.len, &small, &doc, &e),
        0);
    doc_free(&doc);
    buf_append(&bytes, "\x7a\x00", 2);
    ck_assert_int_eq(
        doc_decode(&wherry__spec__container__descriptor, bytes.data, bytes.len, &small, &doc, &e),
        -E2BIG);
    ck_assert_ptr_nonnull(strstr(e.text, "'cap_add' has more than 3"));
    ck_assert_int_eq(doc_decode(&wherry__spec__container__descriptor,
                                "\x7a\x06"
                                "ABCDEF",
                                8, &small, &doc, &e),
                     -E2BIG);
    ck_assert_ptr_nonnull(strstr(e.text, "'cap_add' has 6 bytes (allowed: 5)"));
    /* Unknown fields are kept, but not without end. */
    ck_assert_int_eq(doc_decode(&wherry__spec__container__descriptor,
                                "\xf8\x07\x01\xf8\x07\x01\xf8\x07\x01", 9, &small, &doc, &e),
                     0);
    ck_assert_uint_eq(doc.message->n_unknown_fields, 3);
    doc_free(&doc);
    ck_assert_int_eq(doc_decode(&wherry__spec__container__descriptor,
                                "\xf8\x07\x01\xf8\x07\x01\xf8\x07\x01\xf8\x07\x01", 12, &small,
                                &doc, &e),
                     -E2BIG);
}
END_TEST

/* Many tiny elements: the most memory per byte there is. */
START_TEST(many_tiny)
{
    auto_buf struct buf bytes = {0};
    auto_doc struct doc doc = {0};

    for (int i = 0; i < DOC_WIDE_MAX; i++) {
        buf_append(&bytes, "\x0a\x00", 2);
    }
    ck_assert_msg(doc_decode(&wherry__store__placement_block__descriptor, bytes.data, bytes.len,
                             &doc_limits_wide, &doc, &e) == 0 ||
                      strstr(e.text, "memory") != NULL,
                  "%s", e.text);
}
END_TEST

START_TEST(mangled)
{
    auto_buf struct buf bytes = {0};

    sample(&bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        (void)decode(&wherry__spec__container__descriptor, bytes.data, len);
    }
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (char)(1 << (bit % 8));
        (void)decode(&wherry__spec__container__descriptor, bytes.data, bytes.len);
        (void)decode(&wherry__store__placement_block__descriptor, bytes.data, bytes.len);
        bytes.data[bit / 8] ^= (char)(1 << (bit % 8));
    }
    ck_assert_int_eq(decode(&wherry__spec__container__descriptor, bytes.data, bytes.len), 0);
}
END_TEST

START_TEST(as_json)
{
    Wherry__Spec__KeyValue pair = WHERRY__SPEC__KEY_VALUE__INIT;
    Wherry__Spec__KeyValue *pairs[] = {&pair};
    Wherry__Spec__Port port = WHERRY__SPEC__PORT__INIT;
    Wherry__Spec__Port *ports[] = {&port};
    Wherry__Spec__Container container = WHERRY__SPEC__CONTAINER__INIT;
    auto_buf struct buf out = {0};

    pair.key = "A\"\n";
    pair.value = "caf\xc3\xa9 \xff \xed\xa0\x80";
    port.target = 80;
    port.protocol = WHERRY__SPEC__PROTOCOL__PROTOCOL_UDP;
    container.image = "x";
    container.environment = pairs;
    container.n_environment = 1;
    container.ports = ports;
    container.n_ports = 1;
    container.stop_grace_ms = 9007199254740993;
    doc_to_json(&container.base, &out);
    ck_assert_str_eq(out.data,
                     "{\"image\":\"x\",\"environment\":{\"A\\\"\\n\":\"caf\xc3\xa9 \xef\xbf\xbd "
                     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"},\"stop_grace_ms\":9007199254740993,"
                     "\"ports\":[{\"target\":80,\"protocol\":\"udp\"}]}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doc");
    TCase *tc = tcase_create("doc");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, empty_message);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, many_tiny);
    tcase_add_test(tc, mangled);
    tcase_add_test(tc, as_json);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
