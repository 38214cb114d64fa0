// SPDX-License-Identifier: Apache-2.0
#include "controller/store/store_txn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct store_txn *store_txn_create(void)
{
    return xcalloc(1, sizeof(struct store_txn));
}

void store_txn_destroy(struct store_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    for (unsigned i = 0; i < txn->n; i++) {
        free(txn->ops[i].key);
        free(txn->ops[i].value);
    }
    free(txn->ops);
    free(txn);
}

static struct store_op *add(struct store_txn *txn, enum store_op_type type, const char *key)
{
    struct store_op *op;

    assert(strlen(key) > 0 && strlen(key) <= STORE_KEY_MAX);
    if (txn->n == txn->cap) {
        txn->cap = txn->cap == 0 ? 8 : 2 * txn->cap;
        txn->ops = xrealloc(txn->ops, txn->cap, sizeof(*txn->ops));
    }
    op = &txn->ops[txn->n++];
    *op = (struct store_op){.type = type, .key = xstrdup(key)};
    return op;
}

void store_txn_compare(struct store_txn *txn, const char *key, uint64_t mod_revision)
{
    add(txn, STORE_COMPARE, key)->revision = mod_revision;
}

void store_txn_put(struct store_txn *txn, const char *key, const void *value, size_t len)
{
    struct store_op *op = add(txn, STORE_PUT, key);

    op->value = xmalloc(len + 1);
    op->len = len;
    if (len > 0) {
        memcpy(op->value, value, len);
    }
}

void store_txn_del(struct store_txn *txn, const char *key)
{
    (void)add(txn, STORE_DEL, key);
}
