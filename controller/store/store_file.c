// SPDX-License-Identifier: Apache-2.0
#include "controller/store/store_file.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/failpoint.h"

#define APPLICATION_ID 0x57485259 /* "WHRY" */

enum query { Q_GET, Q_PUT, Q_DEL, Q_REVISION, Q_LIST, Q_BEGIN, Q_COMMIT, Q_N };

static const char *const query_text[Q_N] = {
    [Q_GET] = "SELECT key, value, create_revision, mod_revision FROM kv WHERE key = ?1",
    [Q_PUT] = "INSERT INTO kv (key, value, create_revision, mod_revision) VALUES (?1, ?2, ?3, ?3) "
              "ON CONFLICT (key) DO UPDATE SET value = ?2, mod_revision = ?3",
    [Q_DEL] = "DELETE FROM kv WHERE key = ?1",
    [Q_REVISION] = "UPDATE meta SET value = ?1 WHERE name = 'revision'",
    [Q_LIST] = "SELECT key, value, create_revision, mod_revision FROM kv "
               "WHERE key > ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4",
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
};

struct store_file {
    sqlite3 *db;
    sqlite3_stmt *queries[Q_N];
    uint64_t revision;
    char *path;
};

static int errno_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EUCLEAN;
    default:
        return EIO;
    }
}

static int fail(struct store_file *f, int rc, struct err *e, const char *what)
{
    return err_say(e, errno_of(rc), "%s %s: %s", what, f->path,
                   f->db != NULL ? sqlite3_errmsg(f->db) : sqlite3_errstr(rc));
}

static int run(struct store_file *f, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(f->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(f, rc, e, "prepare");
}

/* The first column of the first row as a number. */
static int number(struct store_file *f, const char *sql, int64_t *ret, struct err *e)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(f->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    }
    rc = rc == SQLITE_ROW ? 0 : fail(f, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, e, "read");
    (void)sqlite3_finalize(stmt);
    return rc;
}

/* "ok", or what is damaged. */
static int check(struct store_file *f, struct err *e)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(f->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    int ret = 0;

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc != SQLITE_ROW) {
        ret = fail(f, rc, e, "check");
    } else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
        ret = err_say(e, EUCLEAN, "%s is damaged: %s; restore it from a backup", f->path,
                      (const char *)sqlite3_column_text(stmt, 0));
    }
    (void)sqlite3_finalize(stmt);
    return ret;
}

static int make(struct store_file *f, struct err *e)
{
    static const char sql[] =
        "BEGIN EXCLUSIVE;"
        "CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, "
        "create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO meta VALUES ('revision', 0);"
        "PRAGMA application_id = 1464357465;"
        "PRAGMA user_version = 1;"
        "COMMIT;";

    static_assert(APPLICATION_ID == 1464357465, "the pragma takes no expression");
    static_assert(STORE_VERSION == 1, "and neither here");
    FAILPOINT("controller.store.before_make");
    return run(f, sql, e);
}

/* Whose file it is and of which version; makes the tables in an empty one. */
static int identify(struct store_file *f, struct err *e)
{
    int64_t id = 0;
    int64_t version = 0;
    int64_t tables = 0;
    int rc = number(f, "PRAGMA application_id", &id, e);

    rc = rc < 0 ? rc : number(f, "PRAGMA user_version", &version, e);
    rc = rc < 0 ? rc : number(f, "SELECT count(*) FROM sqlite_master", &tables, e);
    if (rc < 0) {
        return rc;
    }
    if (id == 0 && version == 0 && tables == 0) {
        return make(f, e);
    }
    if (id != APPLICATION_ID) {
        return err_say(e, EINVAL, "%s is not Wherry's store (application id %lld)", f->path,
                       (long long)id);
    }
    if (version != STORE_VERSION) {
        return err_say(e, EINVAL,
                       "%s has format version %lld; this program knows %d: use the version of "
                       "Wherry that wrote it, or a newer one",
                       f->path, (long long)version, STORE_VERSION);
    }
    return 0;
}

static int setup(struct store_file *f, struct err *e)
{
    int64_t revision = 0;
    int rc = run(f, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;", e);

    rc = rc < 0 ? rc : identify(f, e);
    rc = rc < 0 ? rc : check(f, e);
    rc = rc < 0 ? rc : run(f, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                              "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY;", e);
    rc = rc < 0 ? rc : number(f, "SELECT value FROM meta WHERE name = 'revision'", &revision, e);
    if (rc < 0) {
        return rc;
    }
    f->revision = (uint64_t)revision;
    for (unsigned i = 0; i < Q_N; i++) {
        rc = sqlite3_prepare_v3(f->db, query_text[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &f->queries[i], NULL);
        if (rc != SQLITE_OK) {
            return fail(f, rc, e, "prepare");
        }
    }
    return 0;
}

int store_file_open(const char *path, struct store_file **ret, struct err *e)
{
    struct store_file *f = xcalloc(1, sizeof(*f));
    int rc;

    f->path = xstrdup(path);
    rc = sqlite3_open_v2(path, &f->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                             SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                         NULL);
    if (rc != SQLITE_OK) {
        rc = fail(f, rc, e, "open");
        store_file_close(f);
        return rc;
    }
    rc = setup(f, e);
    if (rc < 0) {
        store_file_close(f);
        return rc;
    }
    *ret = f;
    return 0;
}

void store_file_close(struct store_file *f)
{
    if (f == NULL) {
        return;
    }
    for (unsigned i = 0; i < Q_N; i++) {
        (void)sqlite3_finalize(f->queries[i]);
    }
    (void)sqlite3_close(f->db);
    free(f->path);
    free(f);
}

uint64_t store_file_revision(const struct store_file *f)
{
    return f->revision;
}

static void row_to(sqlite3_stmt *stmt, store_kv_cb cb, void *arg)
{
    struct store_kv kv = {
        .key = (const char *)sqlite3_column_text(stmt, 0),
        .value = sqlite3_column_blob(stmt, 1),
        .len = (size_t)sqlite3_column_bytes(stmt, 1),
        .create_revision = (uint64_t)sqlite3_column_int64(stmt, 2),
        .mod_revision = (uint64_t)sqlite3_column_int64(stmt, 3),
    };

    cb(arg, &kv);
}

static void key_bind(sqlite3_stmt *stmt, int i, const char *key)
{
    (void)sqlite3_bind_text(stmt, i, key, -1, SQLITE_STATIC);
}

/* Runs a query that gives no rows. */
static int change(struct store_file *f, enum query q, struct err *e)
{
    int rc = sqlite3_step(f->queries[q]);

    (void)sqlite3_reset(f->queries[q]);
    return rc == SQLITE_DONE ? 0 : fail(f, rc, e, "write");
}

int store_file_get(struct store_file *f, const char *key, store_kv_cb cb, void *arg,
                   struct err *e)
{
    sqlite3_stmt *stmt = f->queries[Q_GET];
    int rc;

    key_bind(stmt, 1, key);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        row_to(stmt, cb, arg);
    }
    (void)sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return fail(f, rc, e, "read");
    }
    return rc == SQLITE_ROW ? 1 : 0;
}

int store_file_list(struct store_file *f, const char *prefix, const char *after, unsigned limit,
                    store_kv_cb cb, void *arg, struct err *e)
{
    sqlite3_stmt *stmt = f->queries[Q_LIST];
    size_t len = strlen(prefix);
    auto_free char *end = xstrdup(prefix);
    int n = 0;
    int rc;

    assert(len > 0 && (unsigned char)prefix[len - 1] < 0x7f);
    end[len - 1]++;
    key_bind(stmt, 1, after != NULL ? after : "");
    key_bind(stmt, 2, prefix);
    key_bind(stmt, 3, end);
    (void)sqlite3_bind_int64(stmt, 4, limit == 0 ? -1 : (int64_t)limit);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && n < INT_MAX) {
        row_to(stmt, cb, arg);
        n++;
    }
    (void)sqlite3_reset(stmt);
    (void)sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? n : fail(f, rc, e, "read");
}

static void mod_to(void *arg, const struct store_kv *kv)
{
    *(uint64_t *)arg = kv->mod_revision;
}

/* 1: all compares hold; 0: not. */
static int compares_hold(struct store_file *f, const struct store_txn *txn, struct err *e)
{
    for (unsigned i = 0; i < txn->n; i++) {
        const struct store_op *op = &txn->ops[i];
        uint64_t mod = 0;
        int rc = 0;

        if (op->type != STORE_COMPARE) {
            continue;
        }
        rc = store_file_get(f, op->key, mod_to, &mod, e);
        if (rc < 0 || mod != op->revision) {
            return rc < 0 ? rc : 0;
        }
    }
    return 1;
}

static int apply_op(struct store_file *f, const struct store_op *op, uint64_t revision,
                    struct err *e)
{
    if (op->type == STORE_COMPARE) {
        return 0;
    }
    if (op->type == STORE_DEL) {
        key_bind(f->queries[Q_DEL], 1, op->key);
        return change(f, Q_DEL, e);
    }
    key_bind(f->queries[Q_PUT], 1, op->key);
    (void)sqlite3_bind_blob64(f->queries[Q_PUT], 2, op->value, op->len, SQLITE_STATIC);
    (void)sqlite3_bind_int64(f->queries[Q_PUT], 3, (int64_t)revision);
    return change(f, Q_PUT, e);
}

static int apply(struct store_file *f, struct store_txn *txn, uint64_t *revision, struct err *e)
{
    int rc = compares_hold(f, txn, e);

    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        txn->result.status =
            err_say(&txn->result.error, ESTALE, "the store has changed under this transaction");
        txn->result.revision = *revision;
        return 0;
    }
    txn->result.revision = ++*revision;
    for (unsigned i = 0; i < txn->n; i++) {
        rc = apply_op(f, &txn->ops[i], *revision, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int apply_all(struct store_file *f, struct store_txn *first, uint64_t *revision,
                     struct err *e)
{
    int rc = change(f, Q_BEGIN, e);

    for (struct store_txn *txn = first; rc == 0 && txn != NULL; txn = txn->next) {
        rc = apply(f, txn, revision, e);
    }
    if (rc == 0) {
        (void)sqlite3_bind_int64(f->queries[Q_REVISION], 1, (int64_t)*revision);
        rc = change(f, Q_REVISION, e);
    }
    if (rc < 0) {
        return rc;
    }
    FAILPOINT("controller.store.before_commit");
    rc = change(f, Q_COMMIT, e);
    FAILPOINT("controller.store.after_commit");
    return rc;
}

int store_file_group(struct store_file *f, struct store_txn *first, struct err *e)
{
    uint64_t revision = f->revision;
    int rc = apply_all(f, first, &revision, e);

    if (rc < 0) {
        if (sqlite3_get_autocommit(f->db) == 0) {
            (void)sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
        }
        return rc;
    }
    f->revision = revision;
    return 0;
}
