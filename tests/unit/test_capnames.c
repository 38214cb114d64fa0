// SPDX-License-Identifier: Apache-2.0
#include "agent/capnames.h"

#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "common/capname.h"
#include "common/cleanup.h"

#define BIT(c) (1ull << (c))

START_TEST(names)
{
    unsigned bit = 99;
    struct err e = {0};

    ck_assert_int_eq(capnames_parse("NET_RAW", &bit, NULL), 0);
    ck_assert_uint_eq(bit, CAP_NET_RAW);
    ck_assert_int_eq(capnames_parse("cap_sys_admin", &bit, NULL), 0);
    ck_assert_uint_eq(bit, CAP_SYS_ADMIN);
    ck_assert_int_eq(capnames_parse("CAP_CHOWN", &bit, NULL), 0);
    ck_assert_uint_eq(bit, CAP_CHOWN);
    ck_assert_int_eq(capnames_parse("NET_ROW", &bit, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "NET_ROW"));
    ck_assert_int_eq(capnames_parse("", &bit, NULL), -EINVAL);
    ck_assert_int_eq(capnames_parse("CHECKPOINT_RESTORE_AND_MORE_THAN_A_NAME_HAS", &bit, NULL),
                     -EINVAL);
}
END_TEST

/* Every number has a name, and the name is that number's. */
START_TEST(every_capability)
{
    for (unsigned i = 0; i < CAPNAME_N; i++) {
        unsigned bit = 99;

        ck_assert_ptr_nonnull(capname_list[i]);
        ck_assert_int_eq(capnames_parse(capname_list[i], &bit, NULL), 0);
        ck_assert_uint_eq(bit, i);
    }
}
END_TEST

START_TEST(defaults)
{
    auto_buf struct buf text = {0};

    ck_assert_uint_eq(capnames_default(false), 0);
    capnames_text(capnames_default(true), &text);
    ck_assert_str_eq(buf_text(&text),
                     "CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, NET_BIND_SERVICE");
    buf_clear(&text);
    capnames_text(0, &text);
    ck_assert_str_eq(buf_text(&text), "none");
}
END_TEST

static const struct {
    const char *add[3], *drop[3];
    uint64_t base, expect;
} changes[] = {
    {{NULL}, {NULL}, 3, 3},
    {{"NET_RAW"}, {NULL}, 0, BIT(CAP_NET_RAW)},
    {{NULL}, {"CHOWN"}, BIT(CAP_CHOWN) | BIT(CAP_KILL), BIT(CAP_KILL)},
    {{"CHOWN"}, {"CHOWN"}, 0, BIT(CAP_CHOWN)},
    {{NULL}, {"ALL"}, BIT(CAP_CHOWN), 0},
    {{"KILL"}, {"all"}, BIT(CAP_CHOWN), BIT(CAP_KILL)},
};

static size_t count(const char *const *list)
{
    size_t n = 0;

    while (n < 3 && list[n] != NULL) {
        n++;
    }
    return n;
}

START_TEST(adding_and_dropping)
{
    uint64_t got = 0;
    char *const *add = (char *const *)(uintptr_t)changes[_i].add;
    char *const *drop = (char *const *)(uintptr_t)changes[_i].drop;

    ck_assert_int_eq(capnames_apply(changes[_i].base, add, count(changes[_i].add), drop,
                                    count(changes[_i].drop), &got, NULL),
                     0);
    ck_assert_uint_eq(got, changes[_i].expect);
}
END_TEST

START_TEST(everything)
{
    char *all[] = {(char *)"ALL"}, *drop[] = {(char *)"SYS_ADMIN"}, *wrong[] = {(char *)"SUDO"};
    uint64_t got = 0;
    struct err e = {0};

    ck_assert_int_eq(capnames_apply(0, all, 1, drop, 1, &got, NULL), 0);
    ck_assert_uint_eq(got & BIT(CAP_SYS_ADMIN), 0);
    ck_assert_uint_ne(got & BIT(CAP_NET_RAW), 0);
    ck_assert_int_eq(capnames_apply(0, wrong, 1, NULL, 0, &got, &e), -EINVAL);
    ck_assert_int_eq(strncmp(e.text, "cap_add: ", 9), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("capnames");
    TCase *t = tcase_create("capnames");
    SRunner *r;
    int failed;

    tcase_add_test(t, names);
    tcase_add_test(t, every_capability);
    tcase_add_test(t, defaults);
    tcase_add_loop_test(t, adding_and_dropping, 0, (int)ARRAY_LEN(changes));
    tcase_add_test(t, everything);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
