// SPDX-License-Identifier: Apache-2.0
/* The store as etcd's model: revisions, compares, groups, what a failed commit means, and files
 * that are refused. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/store/statelock.h"
#include "controller/store/store.h"

static char dir[64];
static int wakes;
static struct store *store;

static void on_wake(void *arg)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(*(int *)arg, &one, sizeof(one)), sizeof(one));
}

static void open_store(void)
{
    struct err e = {0};

    ck_assert_msg(store_open(dir, on_wake, &wakes, &store, &e) == 0, "%s", e.text);
}

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/test_store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    wakes = eventfd(0, EFD_CLOEXEC);
    open_store();
}

static void teardown(void)
{
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", "lock"};
    char path[128];

    store_close(store);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
    (void)close(wakes);
}

struct outcome {
    unsigned calls;
    int status;
    uint64_t revision;
};

static void on_done(void *arg, const struct store_result *result)
{
    struct outcome *o = arg;

    o->calls++;
    o->status = result->status;
    o->revision = result->revision;
}

static void drain(void)
{
    while (store_pending(store) > 0) {
        struct pollfd fd = {.fd = wakes, .events = POLLIN};
        uint64_t n;

        ck_assert_int_eq(poll(&fd, 1, 10000), 1);
        ck_assert_int_eq(read(wakes, &n, sizeof(n)), sizeof(n));
        (void)store_drain(store);
    }
}

static struct outcome put(const char *key, const char *value, bool compared, uint64_t mod)
{
    struct store_txn *txn = store_txn_create();
    struct outcome o = {0};

    if (compared) {
        store_txn_compare(txn, key, mod);
    }
    store_txn_put(txn, key, value, strlen(value));
    store_commit(store, txn, on_done, &o);
    drain();
    ck_assert_uint_eq(o.calls, 1);
    return o;
}

struct found {
    unsigned n;
    char keys[256];
    char value[256];
    uint64_t create_revision, mod_revision;
};

static void on_kv(void *arg, const struct store_kv *kv)
{
    struct found *f = arg;
    size_t at = strlen(f->keys);

    f->n++;
    (void)snprintf(f->keys + at, sizeof(f->keys) - at, "%s ", kv->key);
    (void)snprintf(f->value, sizeof(f->value), "%.*s", (int)kv->len, (const char *)kv->value);
    f->create_revision = kv->create_revision;
    f->mod_revision = kv->mod_revision;
}

static struct found get(const char *key)
{
    struct found f = {0};
    struct err e = {0};

    ck_assert_int_ge(store_get(store, key, on_kv, &f, &e), 0);
    return f;
}

START_TEST(revisions)
{
    struct found f;
    struct outcome o = put("a", "1", false, 0);

    ck_assert_uint_eq(o.revision, 1);
    ck_assert_uint_eq(put("b", "2", false, 0).revision, 2);
    ck_assert_uint_eq(put("a", "3", false, 0).revision, 3);
    f = get("a");
    ck_assert_str_eq(f.value, "3");
    ck_assert_uint_eq(f.create_revision, 1);
    ck_assert_uint_eq(f.mod_revision, 3);
    ck_assert_uint_eq(get("c").n, 0);
    store_close(store);
    open_store();
    ck_assert_uint_eq(store_revision(store), 3);
    ck_assert_str_eq(get("b").value, "2");
}
END_TEST

START_TEST(compares)
{
    struct store_txn *txn = store_txn_create();
    struct outcome o = {0};

    ck_assert_int_eq(put("a", "1", true, 0).status, 0);
    ck_assert_int_eq(put("a", "2", true, 0).status, -ESTALE);
    ck_assert_int_eq(put("a", "2", true, 1).status, 0);
    ck_assert_int_eq(put("a", "3", true, 1).status, -ESTALE);
    ck_assert_str_eq(get("a").value, "2");
    ck_assert_uint_eq(store_revision(store), 2); /* what did not happen has no revision */
    /* Whole or not at all. */
    store_txn_put(txn, "b", "x", 1);
    store_txn_del(txn, "a");
    store_txn_compare(txn, "c", 7);
    store_commit(store, txn, on_done, &o);
    drain();
    ck_assert_int_eq(o.status, -ESTALE);
    ck_assert_uint_eq(get("b").n, 0);
    ck_assert_uint_eq(get("a").n, 1);
}
END_TEST

START_TEST(lists)
{
    struct found f = {0};
    struct err e = {0};
    struct store_txn *txn = store_txn_create();
    struct outcome o = {0};

    store_txn_put(txn, "node/b", "", 0);
    store_txn_put(txn, "node/a", "", 0);
    store_txn_put(txn, "nodes", "", 0);
    store_txn_put(txn, "node/c", "", 0);
    store_commit(store, txn, on_done, &o);
    drain();
    ck_assert_int_eq(store_list(store, "node/", NULL, 0, on_kv, &f, &e), 3);
    ck_assert_str_eq(f.keys, "node/a node/b node/c ");
    f = (struct found){0};
    ck_assert_int_eq(store_list(store, "node/", "node/a", 1, on_kv, &f, &e), 1);
    ck_assert_str_eq(f.keys, "node/b ");
}
END_TEST

/* Many at once: each its own revision, in order, and far fewer commits than transactions. */
START_TEST(groups)
{
    enum { N = 2000 };
    struct outcome *o = xcalloc(N, sizeof(*o));
    char key[32];

    for (unsigned i = 0; i < N; i++) {
        struct store_txn *txn = store_txn_create();

        (void)snprintf(key, sizeof(key), "k%04u", i);
        store_txn_put(txn, key, key, strlen(key));
        store_commit(store, txn, on_done, &o[i]);
    }
    ck_assert_uint_gt(store_pending(store), 0);
    drain();
    for (unsigned i = 0; i < N; i++) {
        ck_assert_uint_eq(o[i].calls, 1);
        ck_assert_int_eq(o[i].status, 0);
        ck_assert_uint_eq(o[i].revision, i + 1);
    }
    free(o);
}
END_TEST

/* What is queued is finished by the close, and its completions come from it. */
START_TEST(closing)
{
    struct store_txn *txn = store_txn_create();
    struct outcome o = {0};

    store_txn_put(txn, "last", "words", 5);
    store_commit(store, txn, on_done, &o);
    store_close(store);
    ck_assert_uint_eq(o.calls, 1);
    ck_assert_int_eq(o.status, 0);
    open_store();
    ck_assert_str_eq(get("last").value, "words");
}
END_TEST

/* The disk is full (a limit on the size of files): from then on everything fails, until it is
 * opened again; then there is what was committed, and nothing else. */
START_TEST(failing)
{
    struct rlimit small = {.rlim_cur = 64 * 1024, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    auto_free char *big = xcalloc(1, 512 * 1024);
    struct err e = {0};

    ck_assert_int_eq(put("kept", "1", false, 0).status, 0);
    memset(big, 'x', 512 * 1024 - 1);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_lt(put("big", big, false, 0).status, 0);
    ck_assert_int_lt(put("small", "2", false, 0).status, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_lt(put("small", "2", false, 0).status, 0);
    ck_assert_msg(store_reopen(store, &e) == 0, "%s", e.text);
    ck_assert_str_eq(get("kept").value, "1");
    ck_assert_uint_eq(get("big").n, 0);
    ck_assert_uint_eq(get("small").n, 0);
    ck_assert_uint_eq(put("small", "2", false, 0).revision, 2);
}
END_TEST

/* More than a transaction may have fails like a commit: what follows may build on it. */
START_TEST(too_much)
{
    struct store_txn *txn = store_txn_create();
    struct outcome o = {0};
    struct err e = {0};
    char key[32];

    for (unsigned i = 0; i <= STORE_OPS_MAX; i++) {
        (void)snprintf(key, sizeof(key), "k%u", i);
        store_txn_del(txn, key);
    }
    store_commit(store, txn, on_done, &o);
    drain();
    ck_assert_int_eq(o.status, -E2BIG);
    ck_assert_int_lt(put("a", "1", false, 0).status, 0);
    ck_assert_int_eq(store_reopen(store, &e), 0);
    ck_assert_int_eq(put("a", "1", false, 0).status, 0);
}
END_TEST

static void run_sql(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof(path), "%s/store.db", dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void refused(const char *why)
{
    struct err e = {0};

    ck_assert_int_lt(store_open(dir, on_wake, &wakes, &store, &e), 0);
    ck_assert_msg(strstr(e.text, why) != NULL && strstr(e.text, "store.db") != NULL, "%s", e.text);
    store = NULL;
}

START_TEST(foreign_files)
{
    char path[128];
    int fd;

    store_close(store);
    run_sql("PRAGMA user_version = 2");
    refused("format version 2");
    run_sql("PRAGMA user_version = 1; PRAGMA application_id = 5");
    refused("not Wherry's store");
    (void)snprintf(path, sizeof(path), "%s/store.db", dir);
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    ck_assert_int_eq(write(fd, "this is no database at all, but long enough", 43), 43);
    (void)close(fd);
    refused("not a database");
}
END_TEST

START_TEST(damaged_files)
{
    auto_free char *junk = xcalloc(1, 4096);
    char path[128];
    char key[32];
    int fd;

    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i);
        (void)put(key, "some value that takes room in the file, so that it has several pages",
                  false, 0);
    }
    store_close(store);
    memset(junk, 0xa5, 4096);
    (void)snprintf(path, sizeof(path), "%s/store.db", dir);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, junk, 4096, 3 * 4096), 4096);
    (void)close(fd);
    refused("");
}
END_TEST

START_TEST(one_holder)
{
    struct err e = {0};
    char pid[32];
    int fd = -1;
    int second = -1;

    ck_assert_int_eq(statelock_take(dir, &fd, &e), 0);
    ck_assert_int_eq(statelock_take(dir, &second, &e), -EBUSY);
    (void)snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    ck_assert_msg(strstr(e.text, pid) != NULL, "%s", e.text);
    (void)close(fd);
    ck_assert_int_eq(statelock_take(dir, &fd, &e), 0);
    (void)close(fd);
    ck_assert_int_eq(chmod(dir, 0777), 0);
    ck_assert_int_eq(statelock_take(dir, &fd, &e), -EPERM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tc = tcase_create("store");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, revisions);
    tcase_add_test(tc, compares);
    tcase_add_test(tc, lists);
    tcase_add_test(tc, groups);
    tcase_add_test(tc, closing);
    tcase_add_test(tc, failing);
    tcase_add_test(tc, too_much);
    tcase_add_test(tc, foreign_files);
    tcase_add_test(tc, damaged_files);
    tcase_add_test(tc, one_holder);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
