// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_STORE_FILE_H
#define WHERRY_CONTROLLER_STORE_FILE_H

/* One SQLite file as a store of keys: blocking, for one thread at a time. What is above it decides
 * which thread that is (store_sqlite.c). */

#include "controller/store/store_txn.h"

struct store_file;

int store_file_open(const char *path, struct store_file **ret, struct err *e);
void store_file_close(struct store_file *f);

/* Highest revision committed. */
uint64_t store_file_revision(const struct store_file *f);

/* One commit for all of them, each with a revision of its own or -ESTALE in its result. On an
 * error (returned) nothing of the group is known to be stored. */
int store_file_group(struct store_file *f, struct store_txn *first, struct err *e);

int store_file_list(struct store_file *f, const char *prefix, const char *after, unsigned limit,
                    store_kv_cb cb, void *arg, struct err *e);
int store_file_get(struct store_file *f, const char *key, store_kv_cb cb, void *arg,
                   struct err *e);

#endif
