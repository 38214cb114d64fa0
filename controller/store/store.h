// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_STORE_H
#define WHERRY_CONTROLLER_STORE_H

/* Where the controller keeps what must not be lost. The model is etcd's: keys, bytes, one global
 * revision that grows by one with every transaction, for each key the revision that made it and
 * the one that changed it last, and transactions of compares and operations that happen whole or
 * not at all. This backend is SQLite (WAL, synchronous=FULL) on one thread of its own: while one
 * group is being synced, the next gathers.
 *
 * The completion of a transaction is delivered by store_drain on the caller's thread; `wake` only
 * says that there is something to drain. A commit that fails is never unwound by anybody: from
 * then on every transaction is answered with that error, until store_reopen. Whoever led on the
 * strength of this store drops what it knows and loads it again.
 *
 * Keys are text of at most 512 bytes; values at most 4 MiB; 4,096 operations a transaction. */

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define STORE_KEY_MAX   512
#define STORE_VALUE_MAX (4u * 1024 * 1024)
#define STORE_OPS_MAX   4096u
#define STORE_GROUP_OPS 256u   /* operations in one commit, unless one transaction has more */
#define STORE_QUEUE_MAX 65536u /* transactions waiting; more are refused */
#define STORE_VERSION   1      /* of the file's format */

struct store;
struct store_txn;

struct store_kv {
    const char *key;
    const void *value;
    size_t len;
    uint64_t create_revision;
    uint64_t mod_revision;
};

struct store_result {
    int status;        /* 0; -ESTALE: a compare failed, nothing was done; else the commit failed or
                          its outcome is unknown */
    uint64_t revision; /* of this transaction, or as it stands */
    struct err error;
};

typedef void (*store_done_cb)(void *arg, const struct store_result *result);
typedef void (*store_kv_cb)(void *arg, const struct store_kv *kv);

/* Opens or makes "<dir>/store.db" and checks it whole. Refuses, in clear words, a file of
 * something else, of a newer version, or damaged. `wake` is called on the store's thread. */
int store_open(const char *dir, void (*wake)(void *arg), void *arg, struct store **ret,
               struct err *e);

/* Finishes what is queued, ends the thread, closes the file. Completions not drained by then are
 * called from here. */
void store_close(struct store *s);

/* After a failed commit and once all completions are drained: a new connection, which sees what is
 * really on disk. */
int store_reopen(struct store *s, struct err *e);

/* As of the last commit; on the caller's thread. Not while transactions are under way that matter
 * to the answer. */
uint64_t store_revision(struct store *s);

/* Calls `cb` once if there is such a key. Returns 1, 0 (none), or an error. */
int store_get(struct store *s, const char *key, store_kv_cb cb, void *arg, struct err *e);

/* Calls `cb` for keys that begin with `prefix`, in order, from `after` (exclusive; NULL: from the
 * first), at most `limit` (0: all). Returns how many, or an error. */
int store_list(struct store *s, const char *prefix, const char *after, unsigned limit,
               store_kv_cb cb, void *arg, struct err *e);

struct store_txn *store_txn_create(void);
void store_txn_destroy(struct store_txn *txn);
/* Holds if the key's last change was `mod_revision`; 0: there is no such key. */
void store_txn_compare(struct store_txn *txn, const char *key, uint64_t mod_revision);
void store_txn_put(struct store_txn *txn, const char *key, const void *value, size_t len);
void store_txn_del(struct store_txn *txn, const char *key);

/* Takes the transaction. `done` is called exactly once, from store_drain or store_close. */
void store_commit(struct store *s, struct store_txn *txn, store_done_cb done, void *arg);

/* Calls what is complete. Returns how many. */
unsigned store_drain(struct store *s);

/* Transactions given and not yet drained. */
unsigned store_pending(struct store *s);

#endif
