// SPDX-License-Identifier: Apache-2.0
#include "agent/cgroups.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static const char v2_host[] =
    "21 1 0:20 / /proc rw - proc proc rw\n"
    "28 23 0:25 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

static const char hybrid_host[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
    "38 31 0:31 / /mnt/memory-again rw - cgroup cgroup rw,memory\n";

START_TEST(hosts)
{
    struct cgroups g = {0};
    auto_free char *v1 = strdup(hybrid_host);

    ck_assert_int_eq(cgroups_parse(v2_host, "cpuset cpu io memory pids", &g, NULL), 0);
    ck_assert_int_eq(g.kind, CGROUPS_V2);
    ck_assert_uint_eq(g.n_trees, 1);
    ck_assert_str_eq(g.trees[0].mount, "/sys/fs/cgroup");
    ck_assert_uint_eq(g.trees[0].controllers, CGROUPS_MEMORY | CGROUPS_CPU | CGROUPS_PIDS);
    ck_assert_str_eq(cgroups_degraded(&g), "");
    cgroups_finish(&g);

    ck_assert_int_eq(cgroups_parse(hybrid_host, "", &g, NULL), 0);
    ck_assert_int_eq(g.kind, CGROUPS_HYBRID);
    ck_assert_uint_eq(g.n_trees, 4);
    ck_assert_uint_eq(g.trees[0].controllers, CGROUPS_CPU);
    ck_assert_str_eq(g.trees[0].names, "cpu,cpuacct");
    ck_assert_str_eq(g.trees[1].mount, "/sys/fs/cgroup/memory");
    ck_assert_str_eq(cgroups_degraded(&g), "cgroups v1 (hybrid)");
    cgroups_finish(&g);

    memcpy(strstr(v1, "cgroup2 cgroup2"), "tmpfs   tmpfs  ", 15);
    ck_assert_int_eq(cgroups_parse(v1, "", &g, NULL), 0);
    ck_assert_int_eq(g.kind, CGROUPS_V1);
    ck_assert_str_eq(cgroups_kind_name(g.kind), "v1");
    cgroups_finish(&g);
}
END_TEST

START_TEST(missing_controllers)
{
    struct cgroups g = {0};
    struct err e = {0};

    ck_assert_int_eq(cgroups_parse(v2_host, "cpu pids", &g, &e), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(e.text, "\"memory\""));
    ck_assert_int_eq(cgroups_parse("", "", &g, &e), -ENOTSUP);
    ck_assert_int_eq(cgroups_parse("garbage - \n - \n1 2 - x\n", "", &g, &e), -ENOTSUP);
}
END_TEST

static void writes_text(const struct cgroups *g, const struct cgroups_want *want, struct buf *ret)
{
    struct cgroups_write writes[CGROUPS_WRITES_MAX];
    unsigned n = cgroups_limits(g, want, writes);

    buf_clear(ret);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(ret, "%s %s=%s\n", g->trees[writes[i].tree].mount, writes[i].file,
                   writes[i].value);
    }
}

START_TEST(limits)
{
    const struct cgroups_want some = {.memory_bytes = 64 << 20, .cpu_millis = 1500, .pids = 50};
    const struct cgroups_want none = {0}, tiny = {.cpu_millis = 1};
    auto_buf struct buf text = {0};
    struct cgroups g = {0};

    ck_assert_int_eq(cgroups_parse(v2_host, "cpu memory pids", &g, NULL), 0);
    g.swap = g.oom_group = true;
    writes_text(&g, &some, &text);
    ck_assert_str_eq(buf_text(&text), "/sys/fs/cgroup memory.max=67108864\n"
                                      "/sys/fs/cgroup memory.swap.max=0\n"
                                      "/sys/fs/cgroup memory.oom.group=1\n"
                                      "/sys/fs/cgroup cpu.max=150000 100000\n"
                                      "/sys/fs/cgroup cpu.weight=59\n"
                                      "/sys/fs/cgroup pids.max=50\n");
    g.swap = false;
    writes_text(&g, &none, &text);
    ck_assert_str_eq(buf_text(&text), "/sys/fs/cgroup memory.oom.group=1\n"
                                      "/sys/fs/cgroup pids.max=1024\n");
    cgroups_finish(&g);

    ck_assert_int_eq(cgroups_parse(hybrid_host, "", &g, NULL), 0);
    g.swap = true;
    writes_text(&g, &some, &text);
    ck_assert_str_eq(buf_text(&text), "/sys/fs/cgroup/memory memory.limit_in_bytes=67108864\n"
                                      "/sys/fs/cgroup/memory memory.memsw.limit_in_bytes=67108864\n"
                                      "/sys/fs/cgroup/memory memory.swappiness=0\n"
                                      "/sys/fs/cgroup/cpu,cpuacct cpu.cfs_period_us=100000\n"
                                      "/sys/fs/cgroup/cpu,cpuacct cpu.cfs_quota_us=150000\n"
                                      "/sys/fs/cgroup/cpu,cpuacct cpu.shares=1536\n"
                                      "/sys/fs/cgroup/pids pids.max=50\n");
    writes_text(&g, &tiny, &text);
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "cpu.cfs_quota_us=1000\n"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "cpu.shares=2\n"));
    cgroups_finish(&g);
}
END_TEST

START_TEST(controls)
{
    const struct cgroups_want some = {.memory_bytes = 64 << 20, .cpu_millis = 1500};
    auto_buf struct buf text = {0};
    struct cgroups g = {0};

    ck_assert_int_eq(cgroups_parse(hybrid_host, "", &g, NULL), 0);
    cgroups_controls(&g, &some, &text);
    ck_assert_str_eq(buf_text(&text), "memory limit: applied 64 MiB\n"
                                      "swap limit: not supported by this host\n"
                                      "cpu limit: applied 1.500 cores\n"
                                      "pids limit: applied 1024\n");
    cgroups_finish(&g);
}
END_TEST

START_TEST(this_host)
{
    auto_free char *parent = xasprintf("wherry-test-cgroups-%d/a", (int)getpid());
    struct cgroups g = {0}, other = {0};
    struct err e = {0};
    struct stat st;

    ck_assert_msg(cgroups_detect(&g, &e) == 0, "%s", e.text);
    ck_assert_msg(cgroups_make_parent(&g, parent, 512ull << 20, &e) == 0, "%s", e.text);
    ck_assert_int_eq(cgroups_detect(&other, &e), 0);
    ck_assert_int_eq(cgroups_make_parent(&other, parent, 0, &e), -EBUSY);
    ck_assert_ptr_nonnull(strstr(e.text, "is another agent's"));
    cgroups_drop_parent(&other);
    cgroups_finish(&other);
    for (unsigned i = 0; i < g.n_trees; i++) {
        auto_free char *shims = cgroups_path(&g, i, CGROUPS_SHIMS);

        ck_assert_int_eq(stat(shims, &st), 0);
    }
    free(take_ptr(g.parent)); /* again, as a restarted agent does, with a lower limit */
    ck_assert_msg(cgroups_make_parent(&g, parent, 256ull << 20, &e) == 0, "%s", e.text);
    free(take_ptr(g.parent));
    ck_assert_msg(cgroups_make_parent(&g, parent, 768ull << 20, &e) == 0, "%s", e.text);
    cgroups_drop_parent(&g);
    for (unsigned i = 0; i < g.n_trees; i++) {
        auto_free char *top =
            xasprintf("%s/wherry-test-cgroups-%d", g.trees[i].mount, (int)getpid());

        ck_assert_int_eq(stat(top, &st), -1);
    }
    cgroups_finish(&g);
}
END_TEST

START_TEST(parents_refused)
{
    static const char *const wrong[] = {"", "/wherry", "../up", "a/../b", "a//b", "a/"};
    struct cgroups g = {0};

    ck_assert_int_eq(cgroups_parse(hybrid_host, "", &g, NULL), 0);
    ck_assert_int_eq(cgroups_make_parent(&g, wrong[_i], 0, NULL), -EINVAL);
    cgroups_finish(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cgroups");
    TCase *t = tcase_create("cgroups");
    SRunner *r;
    int failed;

    tcase_add_test(t, hosts);
    tcase_add_test(t, missing_controllers);
    tcase_add_test(t, limits);
    tcase_add_test(t, controls);
    tcase_add_loop_test(t, parents_refused, 0, 6);
    if (geteuid() == 0) {
        tcase_add_test(t, this_host);
    }
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
