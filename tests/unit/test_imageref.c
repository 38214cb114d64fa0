// SPDX-License-Identifier: Apache-2.0
#include "common/imageref.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(normal_forms)
{
    static const struct {
        const char *text, *name, *digest;
    } rows[] = {
        {"busybox", "docker.io/library/busybox:latest", ""},
        {"docker.io/library/busybox", "docker.io/library/busybox:latest", ""},
        {"index.docker.io/library/busybox:1", "docker.io/library/busybox:1", ""},
        {"shop/web:1", "docker.io/shop/web:1", ""},
        {"localhost/web", "localhost/web:latest", ""},
        {"localhost:5000/web:V1.2-x", "localhost:5000/web:V1.2-x", ""},
        {"a.example/x/y/z", "a.example/x/y/z:latest", ""},
        {"a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", ""},
        {"busybox@sha256:" HEX, "docker.io/library/busybox", "sha256:" HEX},
        {"busybox:1@sha256:" HEX, "docker.io/library/busybox:1", "sha256:" HEX},
        {"sha256:" HEX, "", "sha256:" HEX},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct imageref ref, again;
        struct err e = {0};

        ck_assert_msg(imageref_parse(rows[i].text, &ref, &e) == 0, "%s: %s", rows[i].text, e.text);
        ck_assert_str_eq(ref.name, rows[i].name);
        ck_assert_str_eq(ref.digest, rows[i].digest);
        if (ref.name[0] != '\0' && ref.digest[0] == '\0') { /* a normal form stays itself */
            ck_assert_int_eq(imageref_parse(ref.name, &again, NULL), 0);
            ck_assert_str_eq(again.name, ref.name);
        }
    }
}
END_TEST

START_TEST(refused)
{
    static const char *const rows[] = {
        "",
        "Busybox",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:.x",
        "a:x y",
        "a@sha256:12",
        "a@md5:0",
        "@sha256:" HEX,
        "../x",
        "a/../b",
        "a/./b",
        "a.",
        ".a",
        "a___b",
        "a._b",
        "-a",
        "a-",
        "a\nb",
        "\xc3\xa4",
        "host:port/x",
        "host:/x",
        "a.b-.c/x",
        "a:x:y",
        "host:123456/a",
        "a@sha256:" HEX "0",
    };
    char longer[600];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct imageref ref;
        struct err e = {0};

        ck_assert_msg(imageref_parse(rows[i], &ref, &e) < 0, "%s was taken", rows[i]);
        ck_assert_ptr_nonnull(strstr(e.text, "image name"));
    }
    memset(longer, 'a', sizeof(longer));
    for (size_t len = 250; len < sizeof(longer); len++) {
        struct imageref ref;

        longer[len] = '\0';
        (void)imageref_parse(longer, &ref, NULL);
        longer[len] = 'a';
    }
}
END_TEST

START_TEST(short_forms)
{
    ck_assert_str_eq(imageref_short("docker.io/library/busybox:1"), "busybox:1");
    ck_assert_str_eq(imageref_short("docker.io/shop/web:1"), "shop/web:1");
    ck_assert_str_eq(imageref_short("a.example/web:1"), "a.example/web:1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("imageref");
    TCase *tc = tcase_create("imageref");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, normal_forms);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, short_forms);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
