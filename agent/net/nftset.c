// SPDX-License-Identifier: Apache-2.0
/* The kernel does a batch while we send it: when that returns, all answers lie in the socket. */
#include "agent/net/nftset.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/nftmsg.h"
#include "agent/net/nlbatch.h"
#include "common/cleanup.h"

#define TABLE_MAX  64
#define LINK_MAX   16 /* IFNAMSIZ */
#define SEND_SPACE (NFTSET_BATCH_MAX + (256u << 10))
#define FAMILY     1 /* NFPROTO_INET */

struct nftset {
    char table[TABLE_MAX];
    int fd;
    uint32_t port;
    struct nftmsg batch;
};

/* ---- life ---- */

static int open_socket(uint32_t *ret_port, struct err *e)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(name);
    auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    int space = SEND_SPACE;

    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof(space)) < 0) {
        return err_set(e, errno, "make room for changes of nftables");
    }
    nlbatch_prepare_socket(fd);
    *ret_port = name.nl_pid;
    return take_fd(&fd);
}

int nftset_open(const char *table, struct nftset **ret, struct err *e)
{
    uint32_t port = 0;
    int fd = open_socket(&port, e);
    struct nftset *s;

    assert(strlen(table) < TABLE_MAX);
    if (fd < 0) {
        return fd;
    }
    s = xcalloc(1, sizeof(*s));
    (void)snprintf(s->table, sizeof(s->table), "%s", table);
    s->fd = fd;
    s->port = port;
    s->batch.table = s->table;
    *ret = s;
    return 0;
}

void nftset_close(struct nftset *s)
{
    if (s != NULL) {
        (void)close(s->fd);
        nftmsg_finish(&s->batch);
        free(s);
    }
}

uint32_t nftset_port(const struct nftset *s)
{
    return s->port;
}

/* ---- changes ---- */

/* "no buffer space": some answers were lost, so nobody knows. */
static int hear(struct nftset *s, struct nftmsg_result *result)
{
    _Alignas(struct nlmsghdr) char bytes[8192];

    for (;;) {
        ssize_t got = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (got < 0 && errno != EINTR) {
            return errno == EAGAIN ? 0 : -errno;
        }
        if (got > 0) {
            nftmsg_answers(bytes, (size_t)got, s->batch.seq, s->batch.n, result);
        }
    }
}

/* Every message but begin and end is acknowledged; they are only if they were refused. */
static int run_batch(struct nftset *s, struct err *e)
{
    struct nftmsg_result result = {0};
    int rc;

    nftmsg_end(&s->batch);
    assert(s->batch.n > 2);
    if (send(s->fd, s->batch.bytes.data, s->batch.bytes.len, MSG_NOSIGNAL) < 0) {
        return err_set(e, errno, "send changes of table %s", s->table);
    }
    rc = hear(s, &result);
    if (rc == 0 && result.code == 0 && result.answered < s->batch.n - 2) {
        rc = -EIO;
    }
    rc = result.code != 0 ? result.code : rc;
    return rc == 0 ? 0 : err_set(e, -rc, "change elements of table %s", s->table);
}

/* Begins one where none is, and ends one that is full. */
static int put(struct nftset *s, const struct netelem *list, unsigned n, bool remove, bool *open,
               struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i++) {
        if (!*open) {
            nftmsg_begin(&s->batch, s->batch.seq + s->batch.n);
        }
        nftmsg_put(&s->batch, &list[i], remove);
        *open = s->batch.bytes.len < NFTSET_BATCH_MAX;
        rc = *open ? 0 : run_batch(s, e);
    }
    return rc;
}

int nftset_change(struct nftset *s, const struct netelem *removed, unsigned n_removed,
                  const struct netelem *added, unsigned n_added, struct err *e)
{
    bool open = false;
    int rc = put(s, removed, n_removed, true, &open, e);

    if (rc == 0) {
        rc = put(s, added, n_added, false, &open, e);
    }
    return rc == 0 && open ? run_batch(s, e) : rc;
}

/* ---- counters ---- */

static struct nlmsghdr *begin_question(struct nlbatch *m, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = nlbatch_begin(m, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
                                       "read counters of the table");
    struct nfgenmsg *family = nlbatch_header(m, sizeof(*family));

    family->nfgen_family = FAMILY;
    family->version = NFNETLINK_V0;
    return h;
}

struct counting {
    nftset_count_cb cb;
    void *arg;
};

static void on_object(void *arg, const struct nlmsghdr *h)
{
    const struct counting *c = arg;
    struct nftset_count count;
    const char *name;

    if (nftmsg_counter(h, &name, &count)) {
        c->cb(c->arg, name, &count);
    }
}

int nftset_counters(struct nftset *s, nftset_count_cb cb, void *arg, struct err *e)
{
    struct counting c = {.cb = cb, .arg = arg};
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    h = begin_question(&m, NFT_MSG_GETOBJ, NLM_F_DUMP);
    mnl_attr_put_strz(h, NFTA_OBJ_TABLE, s->table);
    mnl_attr_put_u32(h, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
    return nlbatch_run(&m, s->fd, on_object, &c, e);
}

static void on_element(void *arg, const struct nlmsghdr *h)
{
    struct nftset_count count;

    if (nftmsg_element_count(h, &count)) {
        *(struct nftset_count *)arg = count;
    }
}

static void put_link_key(struct nlmsghdr *h, const char *link)
{
    char name[LINK_MAX] = {0};
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);

    (void)snprintf(name, sizeof(name), "%s", link);
    mnl_attr_put(h, NFTA_DATA_VALUE, sizeof(name), name);
    mnl_attr_nest_end(h, key);
    mnl_attr_nest_end(h, element);
    mnl_attr_nest_end(h, list);
}

int nftset_link_count(struct nftset *s, const char *set, const char *link, struct nftset_count *ret,
                      struct err *e)
{
    struct nftset_count count = {0};
    struct nlmsghdr *h;
    struct nlbatch m;
    int rc;

    nlbatch_init(&m);
    h = begin_question(&m, NFT_MSG_GETSETELEM, 0);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, s->table);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
    put_link_key(h, link);
    rc = nlbatch_run(&m, s->fd, on_element, &count, e);
    if (rc == 0) {
        *ret = count;
    }
    return rc;
}
