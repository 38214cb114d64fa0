// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netelem.h"

#include <check.h>

/* In the order that they shall have; every one has another key. */
static const struct netelem ordered[] = {
    {.set = NETELEM_CLASS, .address = 1, .mark = 9},
    {.set = NETELEM_CLASS, .address = 2, .mark = 1},
    {.set = NETELEM_REACH, .mark = 1, .address = 7},
    {.set = NETELEM_REACH, .mark = 2, .address = 3},
    {.set = NETELEM_REACH, .mark = 2, .address = 4},
    {.set = NETELEM_VIP, .address = 5, .chain = NETELEM_CHAIN_VIC, .n = 2},
    {.set = NETELEM_VIP_TO, .address = 5, .index = 0, .to = 9},
    {.set = NETELEM_VIP_TO, .address = 5, .index = 1, .to = 8},
    {.set = NETELEM_ANY, .port = 443, .chain = NETELEM_CHAIN_ANY, .n = 1},
    {.set = NETELEM_ANY, .udp = 1, .port = 53, .chain = NETELEM_CHAIN_ANY, .n = 1},
    {.set = NETELEM_ONE, .address = 0xfffffffeu, .port = 80, .chain = NETELEM_CHAIN_ONE, .n = 3},
    {.set = NETELEM_INGRESS, .address = 1, .port = 80},
    {.set = NETELEM_INGRESS, .address = 1, .udp = 1, .port = 80},
    {.set = NETELEM_OUT, .address = 1, .other = 0x0a000000u, .prefix = 8},
    {.set = NETELEM_OUT, .address = 1, .other = 0x0a000000u, .prefix = 9},
    {.set = NETELEM_OUT, .address = 1, .other = 0x0b000000u, .prefix = 8},
};
#define N ((unsigned)(sizeof(ordered) / sizeof(ordered[0])))

START_TEST(every_two_compare_by_their_keys)
{
    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j++) {
            int is = netelem_compare_key(&ordered[i], &ordered[j]);

            ck_assert_int_eq((is > 0) - (is < 0), (i > j) - (i < j));
            ck_assert_int_eq(netelem_equal(&ordered[i], &ordered[j]), i == j);
        }
    }
}
END_TEST

START_TEST(values_are_no_part_of_the_key)
{
    for (unsigned i = 0; i < N; i++) {
        struct netelem other = ordered[i];

        other.to ^= 1;
        other.to_port ^= 1;
        other.n ^= 1;
        other.chain ^= 1;
        other.mark ^= ordered[i].set != NETELEM_REACH;
        ck_assert_int_eq(netelem_compare_key(&other, &ordered[i]), 0);
        ck_assert(!netelem_equal(&other, &ordered[i]));
    }
}
END_TEST

/* Any order of adding gives the same list. */
START_TEST(sorting_orders_everything)
{
    for (unsigned step = 1; step < N; step += 2) { /* odd: N is a power of two */
        struct netelems l = {0};

        for (unsigned i = 0; i < N; i++) {
            netelems_add(&l, &ordered[(i * step + step) % N]);
        }
        netelems_sort(&l);
        ck_assert_uint_eq(l.n, N);
        for (unsigned i = 0; i < N; i++) {
            ck_assert(netelem_equal(&l.list[i], &ordered[i]));
        }
        netelems_add(&l, &ordered[0]);
        netelems_finish(&l);
        ck_assert_ptr_null(l.list);
    }
}
END_TEST

START_TEST(of_equal_keys_the_first_stays)
{
    for (unsigned n = 0; n < 70; n++) {
        struct netelems l = {0};

        for (unsigned i = 0; i < n; i++) {
            struct netelem e = {.set = NETELEM_CLASS, .address = 100 - i % 3, .mark = i};

            netelems_add(&l, &e);
        }
        netelems_sort(&l);
        ck_assert_uint_eq(l.n, n < 3 ? n : 3);
        for (unsigned i = 0; i < l.n; i++) {
            ck_assert_uint_eq(l.list[i].mark, 100 - l.list[i].address);
        }
        netelems_finish(&l);
    }
}
END_TEST

static void add_where(struct netelems *l, unsigned bits)
{
    for (unsigned i = 0; i < 6; i++) {
        struct netelem e = {.set = NETELEM_CLASS, .address = i, .mark = 1 + (bits >> (6 + i) & 1)};

        if ((bits >> i & 1) != 0) {
            netelems_add(l, &e);
        }
    }
}

static bool holds(const struct netelems *l, const struct netelem *e)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (netelem_equal(&l->list[i], e)) {
            return true;
        }
    }
    return false;
}

/* From any list to any other, with and without other values. */
START_TEST(a_difference_turns_one_into_the_other)
{
    for (unsigned bits = 0; bits < 1u << 12; bits += 7) {
        struct netelems is = {0}, want = {0}, removed = {0}, added = {0};
        unsigned kept = 0;

        add_where(&is, bits);
        add_where(&want, bits * 2654435761u >> 20);
        netelems_diff(&is, &want, &removed, &added);
        for (unsigned i = 0; i < is.n; i++) {
            ck_assert_int_ne(holds(&want, &is.list[i]), holds(&removed, &is.list[i]));
            kept += holds(&want, &is.list[i]);
        }
        for (unsigned i = 0; i < want.n; i++) {
            ck_assert_int_ne(holds(&is, &want.list[i]), holds(&added, &want.list[i]));
        }
        ck_assert_uint_eq(removed.n, is.n - kept);
        ck_assert_uint_eq(added.n, want.n - kept);
        netelems_finish(&is);
        netelems_finish(&want);
        netelems_finish(&removed);
        netelems_finish(&added);
    }
}
END_TEST

START_TEST(a_network_inside_of_another_is_dropped)
{
    const struct netelem outs[] = {
        {.set = NETELEM_OUT, .address = 1, .other = 0x0a000000u, .prefix = 8},
        {.set = NETELEM_OUT, .address = 1, .other = 0x0a000000u, .prefix = 9},
        {.set = NETELEM_OUT, .address = 1, .other = 0x0aff0000u, .prefix = 16},
        {.set = NETELEM_OUT, .address = 1, .other = 0x0b000000u, .prefix = 8},
        {.set = NETELEM_OUT, .address = 2, .other = 0, .prefix = 0},
        {.set = NETELEM_OUT, .address = 2, .other = 0xffffffffu, .prefix = 32},
        {.set = NETELEM_OUT, .address = 3, .other = 0xffffffffu, .prefix = 32},
        {.set = NETELEM_BLOCKS, .address = 0x0a800400u, .prefix = 22},
        {.set = NETELEM_BLOCKS, .address = 0x0a800600u, .prefix = 23},
        {.set = NETELEM_BLOCKS, .address = 0x0a800800u, .prefix = 22},
    };
    static const unsigned kept[] = {0, 3, 4, 6, 7, 9};
    struct netelems l = {0};

    netelems_drop_inner(&l);
    for (unsigned i = 0; i < sizeof(outs) / sizeof(outs[0]); i++) {
        netelems_add(&l, &outs[i]);
    }
    netelems_sort(&l);
    netelems_drop_inner(&l);
    ck_assert_uint_eq(l.n, sizeof(kept) / sizeof(kept[0]));
    for (unsigned i = 0; i < l.n; i++) {
        ck_assert(netelem_equal(&l.list[i], &outs[kept[i]]));
    }
    netelems_finish(&l);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netelem");
    TCase *c = tcase_create("netelem");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(c, every_two_compare_by_their_keys);
    tcase_add_test(c, values_are_no_part_of_the_key);
    tcase_add_test(c, sorting_orders_everything);
    tcase_add_test(c, of_equal_keys_the_first_stays);
    tcase_add_test(c, a_difference_turns_one_into_the_other);
    tcase_add_test(c, a_network_inside_of_another_is_dropped);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
