// SPDX-License-Identifier: Apache-2.0
#include "common/ip6.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER "0123456789abcdef0123456789abcdef"

START_TEST(an_address_follows_from_another_and_back)
{
    struct ip6 cluster = ip6_cluster(CLUSTER);
    static const uint32_t addresses[] = {0x0a800401, 0x0a800400, 0xffffffff, 0, 0x0affff01};

    ck_assert_uint_eq(cluster.bytes[0], 0xfd);
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct ip6 a = ip6_of(&cluster, addresses[i]);
        uint32_t back = 1;

        ck_assert(ip6_to_v4(&cluster, &a, &back));
        ck_assert_uint_eq(back, addresses[i]);
        ck_assert_int_eq(memcmp(a.bytes, cluster.bytes, 12), 0);
    }
}
END_TEST

START_TEST(clusters_differ_and_stay_the_same)
{
    struct ip6 one = ip6_cluster(CLUSTER);
    struct ip6 again = ip6_cluster(CLUSTER);
    struct ip6 other = ip6_cluster("1123456789abcdef0123456789abcdef");
    struct ip6 a = ip6_of(&other, 0x0a800401);
    uint32_t back = 7;

    ck_assert(ip6_equal(&one, &again));
    ck_assert(!ip6_equal(&one, &other));
    ck_assert(!ip6_to_v4(&one, &a, &back));
    a = ip6_of(&one, 0x0a800401);
    a.bytes[8] = 1; /* between the cluster's part and the container's is nothing */
    ck_assert(!ip6_to_v4(&one, &a, &back));
    ck_assert_uint_eq(back, 7);
}
END_TEST

/* What nodes of all ages must agree upon. */
START_TEST(texts)
{
    struct ip6 cluster = ip6_cluster(CLUSTER);
    struct ip6 a = ip6_of(&cluster, 0x0a800401);
    char text[IP6_TEXT], expected[IP6_TEXT];
    struct ip6 read;

    ip6_text(&a, text);
    (void)snprintf(expected, sizeof(expected), "fd%02x:%x:%x::a80:401", cluster.bytes[1],
                   (unsigned)(cluster.bytes[2] << 8 | cluster.bytes[3]),
                   (unsigned)(cluster.bytes[4] << 8 | cluster.bytes[5]));
    ck_assert_str_eq(text, expected);
    ck_assert_str_eq(text, "fd78:a782:5dff::a80:401");
    ck_assert(ip6_parse(text, &read));
    ck_assert(ip6_equal(&a, &read));
    ck_assert(!ip6_parse("10.128.4.1", &read));
    ck_assert(!ip6_parse("fd00::1::2", &read));
    ck_assert(!ip6_parse("", &read));
    ck_assert(ip6_equal(&a, &read));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ip6");
    TCase *tc = tcase_create("ip6");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(tc, an_address_follows_from_another_and_back);
    tcase_add_test(tc, clusters_differ_and_stay_the_same);
    tcase_add_test(tc, texts);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
