// SPDX-License-Identifier: Apache-2.0
/* Messages as strangers send them. Every one lies in memory of exactly its length, so that reading
 * beyond it is seen by the sanitizer. */
#include "agent/dns/dnsmsg.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "dns_case.h"

static int read_exact(const uint8_t *m, size_t len, struct dnsmsg_question *ret)
{
    auto_free uint8_t *exact = xmalloc(len > 0 ? len : 1);

    memcpy(exact, m, len);
    return dnsmsg_read(exact, len, ret);
}

/* ---- questions ---- */

START_TEST(a_question_is_read)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 0xbeef, "wEb.Shop", DNSMSG_AAAA, 0);

    ck_assert_int_eq(read_exact(m, len, &q), 0);
    ck_assert_uint_eq(q.id, 0xbeef);
    ck_assert_uint_eq(q.type, DNSMSG_AAAA);
    ck_assert_str_eq(q.name, "web.shop");
    ck_assert_uint_eq(q.wire_len, 10);
    ck_assert_mem_eq(q.wire, "\3wEb\4Shop", 10);
    ck_assert(!q.edns && !q.odd);
    ck_assert_uint_eq(q.udp_size, 512);
}
END_TEST

START_TEST(a_size_by_edns_is_read)
{
    static const uint16_t sizes[][2] = {
        {1, 512}, {512, 512}, {513, 513}, {1232, 1232}, {65535, 65535}};
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t len = dns_case_ask(m, 1, "a", DNSMSG_A, sizes[i][0]);

        ck_assert_int_eq(read_exact(m, len, &q), 0);
        ck_assert(q.edns);
        ck_assert_uint_eq(q.udp_size, sizes[i][1]);
    }
}
END_TEST

/* Whatever is cut off, nothing behind the end is looked at. */
START_TEST(every_cut_is_an_error)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "one.two.three", DNSMSG_A, 1232);

    for (size_t cut = 0; cut < len; cut++) {
        ck_assert_int_eq(read_exact(m, cut, &q), cut < 12 ? -1 : DNSMSG_FORMERR);
    }
    ck_assert_int_eq(read_exact(m, len, &q), 0);
}
END_TEST

START_TEST(one_question_only)
{
    static const unsigned counts[] = {0, 2, 255, 256, 65535};
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "web", DNSMSG_A, 0);

    for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
        dns_case_put16(m + 4, counts[i]);
        ck_assert_int_eq(read_exact(m, len, &q), DNSMSG_FORMERR);
        ck_assert_uint_eq(q.wire_len, 0);
    }
}
END_TEST

/* A message of 65,535 bytes that says it has 65,535 records, and has them. */
START_TEST(records_beyond_number_end)
{
    size_t len = 65535;
    auto_free uint8_t *m = xcalloc(len, 1);
    struct dnsmsg_question q;

    (void)dns_case_ask(m, 7, "web", DNSMSG_A, 0);
    for (unsigned field = 6; field <= 10; field += 2) {
        dns_case_put16(m + field, 65535);
        ck_assert_int_eq(dnsmsg_read(m, len, &q), DNSMSG_FORMERR);
        dns_case_put16(m + field, 0);
    }
}
END_TEST

START_TEST(only_queries_of_the_internet)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "web", DNSMSG_A, 0);

    for (unsigned opcode = 1; opcode < 16; opcode++) {
        m[2] = (uint8_t)(opcode << 3);
        ck_assert_int_eq(read_exact(m, len, &q), DNSMSG_NOTIMP);
    }
    m[2] = 0x80; /* an answer */
    ck_assert_int_eq(read_exact(m, len, &q), -1);
    m[2] = 1;
    m[3] = 0x30; /* AD and CD say nothing to us */
    ck_assert_int_eq(read_exact(m, len, &q), 0);
    dns_case_put16(m + len - 2, 3); /* CHAOS */
    ck_assert_int_eq(read_exact(m, len, &q), DNSMSG_REFUSED);
}
END_TEST

/* To itself, forwards, backwards, to each other, and of the reserved kinds of labels. */
START_TEST(pointers_in_a_question)
{
    static const char *const tails[] = {"\xc0\x0c",
                                        "\xc0\x20",
                                        "\xc0\x00",
                                        "\1a\xc0\x0c",
                                        "\xc0\x0e\xc0\x0c",
                                        "\xff\xff",
                                        "\x40",
                                        "\x80",
                                        "\x41"
                                        "a"};
    struct dnsmsg_question q;

    for (unsigned i = 0; i < ARRAY_LEN(tails); i++) {
        uint8_t m[DNS_CASE_MAX] = {0};

        (void)dns_case_ask(m, 7, "", DNSMSG_A, 0);
        memset(m + 12, 0, 64);
        memcpy(m + 12, tails[i], strlen(tails[i]));
        for (size_t len = 12; len < 80; len++) {
            ck_assert_int_eq(read_exact(m, len, &q), DNSMSG_FORMERR);
        }
    }
}
END_TEST

START_TEST(names_have_limits)
{
    static const struct {
        unsigned label, count, last;
        int rcode;
    } rows[] = {{63, 3, 61, 0}, {63, 3, 62, DNSMSG_FORMERR}, {63, 4, 0, DNSMSG_FORMERR},
                {1, 127, 0, 0}, {1, 127, 1, DNSMSG_FORMERR}, {64, 1, 0, DNSMSG_FORMERR}};
    struct dnsmsg_question q;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t m[DNS_CASE_MAX] = {0};
        size_t at = 12;

        (void)dns_case_ask(m, 7, "", DNSMSG_A, 0);
        for (unsigned k = 0; k <= rows[i].count; k++) {
            unsigned n = k < rows[i].count ? rows[i].label : rows[i].last;

            m[at] = (uint8_t)n;
            memset(m + at + 1, 'a', n);
            at += n > 0 ? n + 1 : 0;
        }
        memcpy(m + at, "\0\0\1\0\1", 5);
        ck_assert_int_eq(read_exact(m, at + 5, &q), rows[i].rcode);
        ck_assert_uint_eq(q.wire_len, rows[i].rcode == 0 ? at + 1 - 12 : 0);
    }
}
END_TEST

/* A dot in a label must not look like two labels. */
START_TEST(odd_labels_are_told)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "web-shop", DNSMSG_A, 0);

    m[12 + 4] = '.';
    ck_assert_int_eq(read_exact(m, len, &q), 0);
    ck_assert(q.odd);
    m[12 + 4] = '\0';
    ck_assert_int_eq(read_exact(m, len, &q), 0);
    ck_assert(q.odd);
}
END_TEST

START_TEST(one_opt_of_the_root)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "web", DNSMSG_A, 1232);

    memcpy(m + len, m + len - 11, 11);
    dns_case_put16(m + 10, 2);
    ck_assert_int_eq(read_exact(m, len + 11, &q), DNSMSG_FORMERR);
    dns_case_put16(m + 10, 1);
    memmove(m + len - 9, m + len - 11, 11);
    memcpy(m + len - 11, "\1a\0", 3);
    ck_assert_int_eq(read_exact(m, len + 2, &q), DNSMSG_FORMERR);
    memmove(m + len - 9, m + len - 8, 10);
    memcpy(m + len - 11, "\xc0\x0c", 2); /* not even by a pointer */
    ck_assert_int_eq(read_exact(m, len + 1, &q), DNSMSG_FORMERR);
}
END_TEST

/* Its options are walked over, not looked at. */
START_TEST(options_are_passed_over)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    size_t len = dns_case_ask(m, 7, "web", DNSMSG_A, 1232);

    memcpy(m + len,
           "\0\x0a\0\x08"
           "12345678",
           12); /* a cookie (RFC 7873) */
    dns_case_put16(m + len - 2, 12);
    ck_assert_int_eq(read_exact(m, len + 12, &q), 0);
    for (size_t cut = 0; cut < 12; cut++) {
        ck_assert_int_eq(read_exact(m, len + cut, &q), DNSMSG_FORMERR);
    }
}
END_TEST

START_TEST(text_becomes_labels)
{
    uint8_t wire[DNSMSG_NAME_WIRE];
    char text[300];

    ck_assert_uint_eq(dnsmsg_name_wire("", wire), 1);
    ck_assert_uint_eq(dnsmsg_name_wire("a.bc", wire), 6);
    ck_assert_mem_eq(wire, "\1a\2bc", 6);
    ck_assert_uint_eq(dnsmsg_name_wire(".", wire), 0);
    ck_assert_uint_eq(dnsmsg_name_wire("a..b", wire), 0);
    memset(text, 'a', sizeof(text));
    for (unsigned n = 1; n < 260; n++) {
        text[n] = '\0';
        ck_assert_uint_eq(dnsmsg_name_wire(text, wire), n < 64 ? n + 2 : 0);
        text[n] = 'a';
    }
    for (unsigned i = 1; i < sizeof(text); i += 2) {
        text[i] = '.';
    }
    for (unsigned n = 1; n < 260; n += 2) {
        text[n] = '\0';
        ck_assert_uint_eq(dnsmsg_name_wire(text, wire), n + 2 <= 255 ? n + 2 : 0);
        text[n] = '.';
    }
}
END_TEST

/* ---- answers of ours ---- */

/* Ten addresses, into every size there is: whole records, the flag, and OPT always. */
START_TEST(what_does_not_fit_is_left_out)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_question q;
    struct dnsmsg_writer w;

    for (unsigned edns = 0; edns <= 4096; edns += 4096) {
        size_t len = dns_case_ask(m, 7, "web.shop", DNSMSG_A, (uint16_t)edns);

        ck_assert_int_eq(dnsmsg_read(m, len, &q), 0);
        for (size_t size = 512; size < 900; size++) {
            auto_free uint8_t *out = xmalloc(size);
            size_t fixed = 12 + 14 + (edns > 0 ? 11 : 0);
            unsigned fit = (unsigned)((size - fixed) / 16);

            dnsmsg_begin(&w, out, size, &q);
            for (uint32_t i = 0; i < 50; i++) {
                dnsmsg_put_a(&w, DNSMSG_ANSWER, NULL, 3, i);
            }
            len = dnsmsg_end(&w, &q, true, DNSMSG_NOERROR);
            ck_assert_uint_eq(len, fixed + (size_t)16 * (fit < 50 ? fit : 50));
            ck_assert_uint_eq(dnsmsg_truncated(out), fit < 50);
            (void)dns_case_text(out, len);
        }
    }
}
END_TEST

START_TEST(an_answer_repeats_the_question)
{
    uint8_t m[DNS_CASE_MAX], out[512];
    struct dnsmsg_question q;
    struct dnsmsg_writer w;
    size_t len = dns_case_ask(m, 0x1234, "WeB.sHoP", DNSMSG_A, 0);

    ck_assert_int_eq(dnsmsg_read(m, len, &q), 0);
    dnsmsg_begin(&w, out, sizeof(out), &q);
    dnsmsg_put_a(&w, DNSMSG_ANSWER, NULL, 3, 0x0af00001);
    dnsmsg_put_a(&w, DNSMSG_ADDITIONAL, "1.web.shop", 3, 0x0a800004);
    dnsmsg_put_soa(&w, "wherry.internal", 1);
    len = dnsmsg_end(&w, &q, true, DNSMSG_NOERROR);
    ck_assert_str_eq(dns_case_asked(out, len), "WeB.sHoP");
    ck_assert_uint_eq(dns_case_get16(out), 0x1234);
    ck_assert(dnsmsg_answers(out, len, &q));
}
END_TEST

/* ---- answers of others ---- */

/* "web.shop" with two addresses that live 300 and 60 seconds. */
static size_t other(uint8_t *out, size_t size, struct dnsmsg_question *ret)
{
    uint8_t m[DNS_CASE_MAX];
    struct dnsmsg_writer w;
    size_t len = dns_case_ask(m, 77, "Web.shop", DNSMSG_A, 1232);

    ck_assert_int_eq(dnsmsg_read(m, len, ret), 0);
    dnsmsg_begin(&w, out, size, ret);
    dnsmsg_put_a(&w, DNSMSG_ANSWER, NULL, 300, 1);
    dnsmsg_put_a(&w, DNSMSG_ANSWER, "other.name", 60, 2);
    return dnsmsg_end(&w, ret, false, DNSMSG_NOERROR);
}

/* Any bit changed in the id, the name with its case, the type or the class: not ours. */
START_TEST(only_this_question_is_answered)
{
    uint8_t out[512];
    struct dnsmsg_question q;
    size_t len = other(out, sizeof(out), &q);
    size_t end = 12 + 10 + 4;

    ck_assert(dnsmsg_answers(out, len, &q));
    for (size_t bit = 0; bit < end * 8; bit++) {
        bool matters = bit / 8 < 2 || bit == 16 || (bit / 8 >= 4 && bit / 8 < 6) || bit / 8 >= 12;

        out[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        ck_assert(!matters || !dnsmsg_answers(out, len, &q));
        out[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
    for (size_t cut = 0; cut < end; cut++) {
        auto_free uint8_t *exact = xmalloc(cut + 1);

        memcpy(exact, out, cut);
        ck_assert(!dnsmsg_answers(exact, cut, &q));
    }
}
END_TEST

START_TEST(times_to_live_go_down)
{
    uint8_t out[512];
    struct dnsmsg_question q;
    size_t len = other(out, sizeof(out), &q);
    uint32_t lowest = 0;

    ck_assert(dnsmsg_ttl(out, len, 0, &lowest));
    ck_assert_uint_eq(lowest, 60);
    ck_assert(dnsmsg_ttl(out, len, 50, &lowest));
    ck_assert(dnsmsg_ttl(out, len, 0, &lowest));
    ck_assert_uint_eq(lowest, 10);
    ck_assert(dnsmsg_ttl(out, len, 50, &lowest));
    ck_assert(dnsmsg_ttl(out, len, 0, &lowest));
    ck_assert_uint_eq(lowest, 0);
    ck_assert_str_eq(dns_case_text(out, len), "NOERROR [A 0.0.0.1, other.name A 0.0.0.2] [] []");
}
END_TEST

START_TEST(a_broken_answer_has_no_time)
{
    uint8_t out[512];
    struct dnsmsg_question q;
    size_t len = other(out, sizeof(out), &q);
    uint32_t lowest;

    for (size_t cut = 12; cut < len; cut++) {
        auto_free uint8_t *exact = xmalloc(cut);

        memcpy(exact, out, cut);
        ck_assert(!dnsmsg_ttl(exact, cut, 0, &lowest));
    }
    for (unsigned field = 6; field <= 10; field += 2) {
        dns_case_put16(out + field, 65535);
        ck_assert(!dnsmsg_ttl(out, len, 0, &lowest));
    }
}
END_TEST

/* ---- */

static TCase *questions(void)
{
    TCase *c = tcase_create("questions");

    tcase_add_test(c, a_question_is_read);
    tcase_add_test(c, a_size_by_edns_is_read);
    tcase_add_test(c, every_cut_is_an_error);
    tcase_add_test(c, one_question_only);
    tcase_add_test(c, records_beyond_number_end);
    tcase_add_test(c, only_queries_of_the_internet);
    tcase_add_test(c, pointers_in_a_question);
    tcase_add_test(c, names_have_limits);
    tcase_add_test(c, odd_labels_are_told);
    tcase_add_test(c, one_opt_of_the_root);
    tcase_add_test(c, options_are_passed_over);
    tcase_add_test(c, text_becomes_labels);
    return c;
}

static TCase *answers(void)
{
    TCase *c = tcase_create("answers");

    tcase_add_test(c, what_does_not_fit_is_left_out);
    tcase_add_test(c, an_answer_repeats_the_question);
    tcase_add_test(c, only_this_question_is_answered);
    tcase_add_test(c, times_to_live_go_down);
    tcase_add_test(c, a_broken_answer_has_no_time);
    return c;
}

int main(void)
{
    Suite *s = suite_create("dnsmsg");
    SRunner *r;
    int failed;

    suite_add_tcase(s, questions());
    suite_add_tcase(s, answers());
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
