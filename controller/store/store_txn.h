// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_CONTROLLER_STORE_TXN_H
#define WHERRY_CONTROLLER_STORE_TXN_H

/* A transaction as data, for the backends of store.h. */

#include "controller/store/store.h"

enum store_op_type { STORE_COMPARE, STORE_PUT, STORE_DEL };

struct store_op {
    enum store_op_type type;
    char *key;
    void *value;
    size_t len;
    uint64_t revision; /* COMPARE */
};

struct store_txn {
    struct store_txn *next;
    struct store_op *ops;
    unsigned n;
    unsigned cap;
    store_done_cb done;
    void *arg;
    struct store_result result;
};

#endif
