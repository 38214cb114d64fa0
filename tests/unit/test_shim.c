// SPDX-License-Identifier: Apache-2.0
/* The shim's program with real namespaces: what a container sees of its sandbox, how it ends, what
 * is written about it, what joins it, and that nothing is left. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/shimrig.h"
#include "tests/lib/skip.h"

static struct shimrig rig;

static void setup(void)
{
    shimrig_init(&rig);
}

static void teardown(void)
{
    shimrig_finish(&rig);
}

/* Runs to the end; gives the output. */
static char *output_of(const char *script, int code)
{
    struct record_exit x;
    char *out;

    ck_assert_msg(shimrig_run(&rig, script) == PLAN_RESULT_STARTED, "%s", rig.result.text);
    x = shimrig_wait(&rig);
    out = shimrig_output(&rig);
    ck_assert(x.known);
    ck_assert_msg(x.code == code, "code %d: %s", x.code, out);
    return out;
}

static void has(const char *out, const char *line)
{
    ck_assert_msg(strstr(out, line) != NULL, "no \"%s\" in:\n%s", line, out);
}

static void has_not(const char *out, const char *line)
{
    ck_assert_msg(strstr(out, line) == NULL, "\"%s\" in:\n%s", line, out);
}

START_TEST(namespaces_are_its_own)
{
    static const char *const names[] = {"cgroup", "ipc",  "mnt",  "net",
                                        "pid",    "time", "user", "uts"};
    auto_free char *out = output_of("cd /proc/1/ns; for n in *; do readlink $n; done", 0);

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char path[64], host[64] = "";

        (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        ck_assert_int_gt(readlink(path, host, sizeof(host) - 1), 0);
        has_not(out, host);
        (void)snprintf(path, sizeof(path), "%s:[", names[i]);
        has(out, path);
    }
}
END_TEST

START_TEST(identity_and_privileges)
{
    auto_free char *out = output_of("cat /proc/self/status /proc/self/uid_map /proc/self/limits; "
                                    "cat /proc/self/oom_score_adj; echo fds $(ls /proc/self/fd)",
                                    0);

    has(out, "NoNewPrivs:\t1");
    has(out, "Seccomp:\t2");
    has(out, "CapInh:\t0000000000000000");
    has(out, "CapAmb:\t0000000000000000");
    has(out, "CapEff:\t00000000000004eb");
    has(out, "CapBnd:\t00000000000004eb");
    has(out, "         0 1966080000      65536");
    has(out, "Max core file size        0                    0");
    has(out, "fds 0 1 2 3\n"); /* 3 is what ls reads the directory with */
    has(out, "\n500\n");
}
END_TEST

START_TEST(proc_is_masked)
{
    auto_free char *out = output_of(
        "echo kcore $(cat /proc/kcore | head -c 1 | grep -c .); echo keys $(cat /proc/keys);"
        "echo fw $(ls /sys/firmware); "
        "echo 1 > /proc/sys/kernel/panic || echo refused;"
        "echo b > /proc/sysrq-trigger || echo refused2;"
        "mkdir /sys/fs/cgroup/x || echo refused3",
        0);

    has(out, "kcore 0\n");
    has(out, "keys\n");
    has(out, "fw\n");
    has(out, "refused\n");
    has(out, "refused2\n");
    has(out, "refused3\n");
}
END_TEST

START_TEST(small_files_and_clock)
{
    auto_free char *out = output_of("hostname; cat /etc/hostname /etc/hosts; cat /proc/uptime; pwd;"
                                    "echo $GREETING $HOME; touch /x && stat -c %u:%g /x;"
                                    "stat -c %a /dev/shm; echo a > /dev/null && echo null;"
                                    "cat /proc/self/cgroup; dd if=/dev/zero of=/dev/shm/a bs=1k "
                                    "count=1 2>/dev/null && echo shm",
                                    0);

    has(out, "box\nbox\n127.0.0.1 localhost\n");
    ck_assert_msg(strstr(out, "\n0.") != NULL || strstr(out, "\n1.") != NULL, "%s", out);
    has(out, "\n/\nhello /root\n0:0\n1777\nnull\n");
    has(out, ":/\n");
    has_not(out, "shimrig");
    has(out, "shm\n");
}
END_TEST

START_TEST(users)
{
    auto_free char *out = NULL;

    rig.input.process.user = "ann";
    out = output_of("id; grep Cap /proc/self/status; echo $HOME; echo again > /dev/stdout", 0);
    has(out, "uid=1000(ann) gid=1001(ann) groups=1001(ann),2000(shop)");
    has(out, "CapEff:\t0000000000000000");
    has(out, "CapBnd:\t0000000000000000");
    has(out, "/home/ann\nagain\n");
}
END_TEST

START_TEST(wrong_users_are_refused)
{
    static const char *const wrong[] = {
        "-1", "4294967296", "65536", "0x0",     "1:",      "+5",  " 5",
        ":1", "007",        "eve",   "ann:eve", "1:65536", "0:-1"};

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        rig.input.process.user = wrong[i];
        ck_assert_msg(shimrig_run(&rig, "true") == PLAN_RESULT_FAILED, "\"%s\"", wrong[i]);
        ck_assert_msg(strncmp(rig.result.text, "user: ", 6) == 0, "%s", rig.result.text);
        ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    }
}
END_TEST

START_TEST(mounts)
{
    auto_free char *volume = xasprintf("%s/volume", rig.dir),
                   *missing = xasprintf("%s/a/b", rig.dir);
    auto_free char *out = NULL, *file = xasprintf("%s/volume/made", rig.dir);
    const struct plan_mount list[] = {
        {PLAN_MOUNT_BIND, volume, "/data", false, false, 0, 0},
        {PLAN_MOUNT_BIND, volume, "/data-ro", true, false, 0, 0},
        {PLAN_MOUNT_BIND, missing, "/deep/er", false, true, 0, 0},
        {PLAN_MOUNT_TMPFS, NULL, "/deep", false, false, 1 << 20, 0700},
    };
    struct stat st;

    ck_assert_int_eq(mkdir(volume, 0777), 0);
    rig.input.mounts = list;
    rig.input.n_mounts = ARRAY_LEN(list);
    rig.input.read_only = true;
    out = output_of("touch /data/made && echo made; touch /data-ro/x || echo ro; touch /root-file "
                    "|| echo rootro;"
                    "stat -c %a /deep; ls -d /deep/er; cat /proc/self/mountinfo",
                    0);
    has(out, "made\n");
    has(out, "\nro\n");
    has(out, "rootro\n");
    has(out, "700\n/deep/er\n");
    has(out, " /data rw,nosuid,nodev,");
    has(out, " /data-ro ro,nosuid,nodev,");
    has(out, " / / ro,nosuid,nodev,");
    has_not(out, rig.base_path);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    ck_assert_int_eq(access(missing, F_OK), 0);
}
END_TEST

START_TEST(links_in_the_image_lead_nowhere)
{
    auto_free char *layer = xasprintf("%s/1/out", rig.layers_path);
    auto_free char *volume = xasprintf("%s/v", rig.dir);
    const struct plan_mount inside[] = {{PLAN_MOUNT_BIND, volume, "/out/x", false, false, 0, 0}};
    const struct plan_mount proc[] = {{PLAN_MOUNT_BIND, volume, "/p/1", false, false, 0, 0}};
    auto_free char *out = NULL, *p = xasprintf("%s/1/p", rig.layers_path);

    ck_assert_int_eq(mkdir(volume, 0755), 0);
    ck_assert_int_eq(symlink("/../../../../tmp", layer), 0);
    ck_assert_int_eq(symlink("/proc", p), 0);
    rig.input.n_mounts = 1;
    rig.input.mounts = proc;
    ck_assert_int_eq(shimrig_run(&rig, "true"), PLAN_RESULT_FAILED);
    has(rig.result.text, "the kernel's own file systems");
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    rig.input.mounts = inside;
    out = output_of("ls -d /tmp/x", 0); /* the image's own /tmp */
    ck_assert_int_eq(access("/tmp/x", F_OK), -1);
}
END_TEST

START_TEST(a_link_for_proc_is_refused)
{
    auto_free char *p = xasprintf("%s/1/proc", rig.layers_path);

    ck_assert_int_eq(symlink("/tmp", p), 0);
    ck_assert_int_eq(shimrig_run(&rig, "true"), PLAN_RESULT_FAILED);
    has(rig.result.text, "proc: /proc of the image is not a directory");
}
END_TEST

START_TEST(failures_name_their_step)
{
    const char *missing[] = {"nowhere"}, *not_run[] = {"/etc/passwd"}, *dir[] = {"/bin"};

    ck_assert_int_eq(shimrig_run_argv(&rig, missing, 1), PLAN_RESULT_FAILED);
    ck_assert_str_eq(rig.result.text, "command: exec \"nowhere\": not found in PATH");
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    ck_assert_int_eq(shimrig_run_argv(&rig, not_run, 1), PLAN_RESULT_FAILED);
    ck_assert_str_eq(rig.result.text, "command: exec \"/etc/passwd\": Permission denied");
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    ck_assert_int_eq(shimrig_run_argv(&rig, dir, 1), PLAN_RESULT_FAILED);
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    rig.input.process.cwd = "/proc/self/fd/4";
    ck_assert_int_eq(shimrig_run(&rig, "true"), PLAN_RESULT_FAILED);
    has(rig.result.text, "working directory: ");
}
END_TEST

START_TEST(working_directory_is_made)
{
    auto_free char *out = NULL;

    rig.input.process.cwd = "/srv/app";
    out = output_of("pwd; stat -c %u /srv/app", 0);
    has(out, "/srv/app\n0\n");
}
END_TEST

START_TEST(ends_are_recorded)
{
    struct record_exit x;

    ck_assert_int_eq(shimrig_run(&rig, "exit 7"), PLAN_RESULT_STARTED);
    x = shimrig_wait(&rig);
    ck_assert(x.known && x.code == 7 && x.signal == 0 && !x.oom);
    ck_assert_uint_gt(x.ended_unix_ms, 1700000000000u);
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    ck_assert_int_eq(shimrig_run(&rig, "sleep 100"), PLAN_RESULT_STARTED);
    ck_assert_int_eq(kill((pid_t)rig.result.pid, SIGKILL), 0);
    x = shimrig_wait(&rig);
    ck_assert(x.known && x.code == 128 + SIGKILL && x.signal == SIGKILL && !x.oom);
}
END_TEST

START_TEST(memory_limit_is_an_oom)
{
    struct record_exit x;

    ck_assert_int_eq(shimrig_run(&rig, "dd if=/dev/zero of=/dev/null bs=200M count=1"),
                     PLAN_RESULT_STARTED);
    x = shimrig_wait(&rig);
    ck_assert(x.known && x.oom && x.code != 0);
}
END_TEST

START_TEST(record_says_who_runs)
{
    auto_close int dir = -1, pidfd = -1;
    static struct record r;

    ck_assert_int_eq(shimrig_run(&rig, "sleep 100"), PLAN_RESULT_STARTED);
    dir = open(rig.run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(record_read(dir, &r, NULL), 0);
    ck_assert_uint_eq(r.pid, rig.result.pid);
    ck_assert_uint_eq(r.shim_pid, (uint32_t)rig.shim);
    ck_assert_uint_eq(r.started_ms, rig.result.started_ms);
    ck_assert_str_eq(r.upper, rig.base_path);
    ck_assert_uint_eq(r.n_cgroups, rig.input.n_cgroups);
    pidfd = record_pidfd(r.pid, r.pid_start, NULL);
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(record_pidfd(r.pid, r.pid_start + 1, NULL), -ESRCH);
    ck_assert_int_eq(kill(rig.shim, SIGTERM), 0); /* ignored */
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED); /* again: nothing to do */
}
END_TEST

START_TEST(clean_without_its_shim)
{
    ck_assert_int_eq(shimrig_run(&rig, "for i in 1 2 3 4 5 6; do sleep 100 & done; sleep 100"),
                     PLAN_RESULT_STARTED);
    ck_assert_int_eq(kill(rig.shim, SIGKILL), 0);
    ck_assert_int_eq(shimrig_clean(&rig), PLAN_RESULT_CLEANED);
}
END_TEST

START_TEST(logs_rotate)
{
    struct record_exit x;
    auto_free char *last = NULL;
    char path[256];

    rig.input.log_bytes = 4096;
    rig.input.log_files = 3;
    ck_assert_int_eq(shimrig_run(&rig,
                                 "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done; "
                                 "echo -n rest; echo err >&2"),
                     PLAN_RESULT_STARTED);
    x = shimrig_wait(&rig);
    ck_assert_int_eq(x.code, 0);
    last = shimrig_output(&rig);
    has(last, "line 399\n");
    has(last, "rest\n");
    has(last, "err\n");
    for (unsigned i = 0; i < 4; i++) {
        struct stat st;

        (void)snprintf(path, sizeof(path), i > 0 ? "%s.%u" : "%s", rig.log_path, i);
        ck_assert_int_eq(stat(path, &st), i < 3 ? 0 : -1);
        ck_assert(i == 3 || st.st_size <= 4096);
    }
}
END_TEST

START_TEST(a_long_line_is_cut)
{
    auto_free char *out = output_of("head -c 20000 /dev/zero | tr '\\0' x; echo; echo next", 0);
    auto_close int fd = open(rig.log_path, O_RDONLY | O_CLOEXEC);

    (void)fd;
    has(out, "next\n");
}
END_TEST

static void same_namespaces(const char *inside, unsigned pid)
{
    static const char *const names[] = {"cgroup", "ipc",  "mnt",  "net",
                                        "pid",    "time", "user", "uts"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char path[64], want[64] = "";

        (void)snprintf(path, sizeof(path), "/proc/%u/ns/%s", pid, names[i]);
        ck_assert_int_gt(readlink(path, want, sizeof(want) - 1), 0);
        has(inside, want);
    }
}

START_TEST(exec_joins_everything)
{
    unsigned pid;
    auto_free char *out = NULL;

    ck_assert_int_eq(shimrig_run(&rig, "sleep 100"), PLAN_RESULT_STARTED);
    pid = rig.result.pid;
    out = shimrig_exec(
        &rig,
        "cd /proc/self/ns; for n in *; do readlink $n; done; cat /proc/self/status;"
        "echo fds $(ls /proc/self/fd); cat /proc/self/cgroup; ps; echo bad >&2; exit 3",
        5000);
    ck_assert_uint_eq(rig.result.kind, PLAN_RESULT_EXITED);
    ck_assert_int_eq(rig.result.code, 3);
    same_namespaces(out, pid);
    has(out, "Seccomp:\t2");
    has(out, "NoNewPrivs:\t1");
    has(out, "CapBnd:\t00000000000004eb");
    has(out, "CapInh:\t0000000000000000");
    has(out, "fds 0 1 2 3\n");
    has(out, "sleep 100");
    has(out, "bad\n");
    has_not(out, "shimrig");
}
END_TEST

START_TEST(exec_has_a_deadline)
{
    auto_free char *out = NULL, *rest = NULL;

    ck_assert_int_eq(shimrig_run(&rig, "sleep 100"), PLAN_RESULT_STARTED);
    struct plan_result started = rig.result;
    out = shimrig_exec(&rig, "sleep 1001 & sleep 1002 & echo on; sleep 1003", 300);
    ck_assert_uint_eq(rig.result.kind, PLAN_RESULT_EXITED);
    ck_assert_uint_eq(rig.result.timed_out, 1);
    has(out, "on\n");
    rig.result = started;
    rest = shimrig_exec(&rig, "ps", 5000);
    has_not(rest, "sleep 100\x31");
    has_not(rest, "sleep 1002");
    has(rest, "sleep 100\n");
}
END_TEST

#ifdef WHERRY_SHIM_STATIC
START_TEST(init_reaps)
{
    struct record_exit x;
    auto_free char *out = NULL;

    rig.input.init = true;
    ck_assert_msg(shimrig_run(&rig, "(sleep 0.1 &) ; sleep 0.3; ps; cat /proc/1/comm; exit 5") ==
                      PLAN_RESULT_STARTED,
                  "%s", rig.result.text);
    x = shimrig_wait(&rig);
    ck_assert_int_eq(x.code, 5);
    out = shimrig_output(&rig);
    has(out, "wherry-init");
    has_not(out, "Z");
}
END_TEST
#endif

START_TEST(host_network_keeps_the_hosts)
{
    auto_free char *out = NULL;
    char host[64] = "";

    rig.input.netns_fd = -1;
    out = output_of(
        "readlink /proc/self/ns/net; ls /sys/class/net; touch /sys/x || echo ro; ls /sys/firmware",
        0);
    ck_assert_int_gt(readlink("/proc/self/ns/net", host, sizeof(host) - 1), 0);
    has(out, host);
    has(out, "lo\n");
    has(out, "ro\n");
}
END_TEST

#ifdef WHERRY_FAILPOINTS
START_TEST(old_kernels_way)
{
    auto_free char *out = NULL;

    ck_assert_int_eq(setenv("WHERRY_SHIM_DENY", "lowerdir+", 1), 0);
    out = output_of("touch /x && stat -c %u /x; cat /proc/self/mountinfo", 0);
    (void)unsetenv("WHERRY_SHIM_DENY");
    has(out, "0\n");
    has(out, "lowerdir=/ls/1,upperdir=u,workdir=w");
    has_not(out, rig.base_path);
}
END_TEST

/* Wherever the shim is killed: what is left can be removed by name. */
START_TEST(killed_at_each_step)
{
    static const char *const names[] = {
        "run.before_dir",     "run.after_dir",      "record.before_rename", "record.after_rename",
        "mount.before_clone", "dirs.before_mkdir",  "dirs.after_mkdir",     "cgroup.before_mkdir",
        "cgroup.after_mkdir", "root.before_mount",  "root.after_mount",     "clone.before_fork",
        "clone.after_fork",   "run.before_record",  "run.after_record",     "run.before_exit",
        "run.after_exit",     "clean.before_rmdir", "clean.before_remove",  "clean.after_remove"};
    auto_free char *file = xasprintf("%s/order", rig.dir);
    const struct plan_mount mount = {PLAN_MOUNT_BIND, rig.dir, "/data", true, false, 0, 0};

    rig.input.mounts = &mount;
    rig.input.n_mounts = 1;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        auto_free char *order = xasprintf("shim.%s@%s", names[i], file);

        (void)close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ck_assert_int_eq(setenv("WHERRY_FAILPOINT", order, 1), 0);
        if (shimrig_run(&rig, "true") == PLAN_RESULT_STARTED) {
            shimrig_reap(&rig);
        }
        (void)shimrig_clean(&rig); /* may be the one that is killed */
        (void)unsetenv("WHERRY_FAILPOINT");
        ck_assert_msg(access(file, F_OK) < 0, "shim.%s was not passed", names[i]);
        ck_assert_msg(shimrig_clean(&rig) == PLAN_RESULT_CLEANED, "shim.%s: %s", names[i],
                      rig.result.text);
        shimrig_check_nothing_left(&rig);
    }
}
END_TEST

/* Whatever call fails: the container does not start, a step is named, and nothing is left. */
START_TEST(each_call_fails_once)
{
    unsigned n = 0;

    for (bool started = false; !started; started = rig.result.kind == PLAN_RESULT_STARTED) {
        char order[16];

        (void)snprintf(order, sizeof(order), "%u", ++n);
        ck_assert_int_eq(setenv("WHERRY_SHIM_FAIL", order, 1), 0);
        if (shimrig_run(&rig, "true") != PLAN_RESULT_STARTED) {
            struct plan_result r = rig.result;

            ck_assert_msg(r.kind == PLAN_RESULT_FAILED && strstr(r.text, ": ") != NULL,
                          "call %u: \"%s\"", n, r.text);
            (void)unsetenv("WHERRY_SHIM_FAIL");
            ck_assert_msg(shimrig_clean(&rig) == PLAN_RESULT_CLEANED, "call %u: %s, then %s", n,
                          r.text, rig.result.text);
        }
        ck_assert_uint_lt(n, 1000);
    }
    (void)unsetenv("WHERRY_SHIM_FAIL");
    ck_assert_uint_gt(n, 100);
    (void)shimrig_wait(&rig);
}
END_TEST
#endif

static Suite *suite(void)
{
    Suite *s = suite_create("shim");
    TCase *t = tcase_create("shim");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, namespaces_are_its_own);
    tcase_add_test(t, identity_and_privileges);
    tcase_add_test(t, proc_is_masked);
    tcase_add_test(t, small_files_and_clock);
    tcase_add_test(t, users);
    tcase_add_test(t, wrong_users_are_refused);
    tcase_add_test(t, mounts);
    tcase_add_test(t, links_in_the_image_lead_nowhere);
    tcase_add_test(t, a_link_for_proc_is_refused);
    tcase_add_test(t, failures_name_their_step);
    tcase_add_test(t, working_directory_is_made);
    tcase_add_test(t, ends_are_recorded);
    tcase_add_test(t, memory_limit_is_an_oom);
    tcase_add_test(t, record_says_who_runs);
    tcase_add_test(t, clean_without_its_shim);
    tcase_add_test(t, logs_rotate);
    tcase_add_test(t, a_long_line_is_cut);
    tcase_add_test(t, exec_joins_everything);
    tcase_add_test(t, exec_has_a_deadline);
#ifdef WHERRY_SHIM_STATIC
    tcase_add_test(t, init_reaps);
#endif
    tcase_add_test(t, host_network_keeps_the_hosts);
#ifdef WHERRY_FAILPOINTS
    tcase_add_test(t, old_kernels_way);
    tcase_add_test(t, each_call_fails_once);
    tcase_add_test(t, killed_at_each_step);
#endif
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    const char *why;
    SRunner *r;
    int failed;

    if (!shimrig_can(&why)) {
        printf("skipped: %s\n", why);
        return SKIP;
    }
    r = srunner_create(suite());
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
