// SPDX-License-Identifier: Apache-2.0
/* What a container is told of names, from its document and from the host's own file. */
#include "agent/etcfiles.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

static char path[] = "/tmp/wherry-test-etcfiles-XXXXXX";

static void setup(void)
{
    static const char text[] = "# the host's\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n"
                               "search example.org\noptions timeout:1\n";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, text, sizeof(text) - 1), (int)sizeof(text) - 1);
    (void)close(fd);
}

static void teardown(void)
{
    (void)unlink(path);
}

static void expect_conf(const struct etcfiles_names *n, const char *wanted)
{
    auto_free char *got = etcfiles_resolv_conf(path, n);

    ck_assert_str_eq(got, wanted);
}

START_TEST(resolvers)
{
    static const char *const search[] = {"a.b", "c"}, *const none[] = {"."};
    static const char *const options[] = {"ndots:2", "rotate"};
    static const uint32_t servers[] = {0x09090909};
    struct etcfiles_names n = {.hostname = "h", .domainname = ""};

    expect_conf(&n, "# the host's\nnameserver 192.0.2.53\nsearch example.org\noptions timeout:1\n");
    n.host_network = true;
    expect_conf(&n, "# the host's\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n"
                    "search example.org\noptions timeout:1\n");
    n.host_network = false;
    n.servers = servers;
    n.n_servers = 1;
    n.search = none;
    n.n_search = 1;
    expect_conf(&n, "nameserver 9.9.9.9\n# the host's\noptions timeout:1\n");
    n.named = true; /* its own resolvers are asked by the agent */
    expect_conf(&n, "nameserver 169.254.1.1\noptions ndots:0 timeout:1 attempts:5\n# the host's\n");
    n.search = search;
    n.n_search = 2;
    n.options = options;
    n.n_options = 2;
    expect_conf(&n, "nameserver 169.254.1.1\nsearch a.b c\noptions ndots:2 rotate\n# the host's\n");
}
END_TEST

START_TEST(hosts)
{
    static const char *const extra[][2] = {{"db", "192.0.2.7"}, {"me", "host-gateway"}};
    struct etcfiles_names n = {.hostname = "web-1", .domainname = "", .address = 0x0a800002};
    auto_free char *plain = etcfiles_hosts(&n);
    auto_free char *full = NULL;

    ck_assert_str_eq(plain, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                            "10.128.0.2\tweb-1\n");
    n.domainname = "example.org";
    n.extra = extra;
    n.n_extra = 2;
    full = etcfiles_hosts(&n);
    ck_assert_ptr_nonnull(strstr(full, "10.128.0.2\tweb-1.example.org web-1\n192.0.2.7\tdb\n"
                                       "169.254.1.1\tme\n"));
    free(full);
    n.ipv6 = "fd00::a80:2";
    full = etcfiles_hosts(&n);
    ck_assert_ptr_nonnull(strstr(full, "10.128.0.2\tweb-1.example.org web-1\n"
                                       "fd00::a80:2\tweb-1.example.org web-1\n192.0.2.7\tdb\n"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("etcfiles");
    TCase *files = tcase_create("files");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, resolvers);
    tcase_add_test(files, hosts);
    suite_add_tcase(suite, files);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
