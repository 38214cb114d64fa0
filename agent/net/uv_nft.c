// SPDX-License-Identifier: Apache-2.0
/* Level-triggered: `whole_due` and `last` say what is to be sent, and pump() sends the next of them
 * when the child is there and idle. Only the timer pumps, and only answers and the timer call back,
 * so nothing comes from inside a call.
 *
 * Our own transactions come back as events, too: they carry the child's netlink port, which is
 * learnt from the event of the assertion that each child begins with. */
#include "agent/net/uv_nft.h"

#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/nlbatch.h"
#include "agent/net/uv_nftchild.h"
#include "common/cleanup.h"
#include "common/log.h"

#define SILENCE_MS   500u       /* and one more per 64 bytes sent: large tables on small machines */
#define FIRST_MS     2000u      /* for the assertion that uv_nft_create waits for */
#define RESTART_MS   200u       /* between the starts of two children */
#define SETTLE_MS    20u        /* somebody else's changes come in groups */
#define RESTORE_MS   200u       /* between two assertions: we do not fight faster than this */
#define RETRY_MS     5000u      /* after an assertion was refused */
#define TOLD_MAX     (1u << 20) /* a child keeps all it was told: then the next one is another */
#define EVENTS_SPACE (4 << 20)
#define FAMILY       1 /* NFPROTO_INET; linux/netfilter.h cannot stand beside netinet/in.h */
#define FENCE        "list tables\n"
#define TABLE_MAX    64

struct uv_nft {
    struct uv_nft_config config;
    char table[TABLE_MAX];
    uv_timer_t timer;
    uv_poll_t events;
    int events_fd;
    uint32_t port;             /* of the child's netlink socket; 0: not learnt */
    struct uv_nftchild *child; /* NULL: none */
    uint64_t started_ms;
    char *last;

    bool busy; /* a transaction is under way: */
    bool busy_whole;
    bool busy_foreign; /* it restores */
    char error[256];   /* the first that was said about it; "": none */
    uint64_t deadline_ms;

    bool whole_due;
    bool foreign; /* because somebody else changed it */
    uint64_t whole_at_ms;
    uint64_t asserted_ms;
    size_t told; /* bytes, to this child: it remembers every line */
    unsigned restored;

    unsigned live; /* handles of all kinds */
    bool closing;
    bool ending; /* handles are being closed */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void pump(struct uv_nft *n);
static void on_timer(uv_timer_t *timer);

static void arm(struct uv_nft *n, uint64_t due_ms)
{
    uint64_t now = uv_now(n->config.loop);

    if (!n->ending) {
        (void)uv_timer_start(&n->timer, on_timer, due_ms > now ? due_ms - now : 1, 0);
    }
}

/* ---- the end ---- */

static void let_go(struct uv_nft *n)
{
    if (--n->live > 0) {
        return;
    }
    if (n->events_fd >= 0) {
        (void)close(n->events_fd);
    }
    free(n->last);
    if (n->closed != NULL) {
        n->closed(n->closed_arg);
    }
    free(n);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_timer_t *)handle, struct uv_nft, timer));
}

static void on_events_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_poll_t *)handle, struct uv_nft, events));
}

static void on_child_closed(void *arg)
{
    let_go(arg);
}

/* Whatever it was doing: the next child asserts the whole table, and with that everything. */
static void without_child(struct uv_nft *n)
{
    n->child = NULL;
    n->busy = false;
    n->port = 0;
    n->whole_due = true;
    n->foreign = n->foreign || n->busy_foreign;
    n->busy_foreign = false;
    n->busy_whole = false;
}

static void drop_child(struct uv_nft *n)
{
    if (n->child != NULL) {
        uv_nftchild_drop(n->child);
        without_child(n);
    }
}

static void end(struct uv_nft *n)
{
    if (n->ending) {
        return;
    }
    n->ending = true;
    drop_child(n);
    uv_close((uv_handle_t *)&n->timer, on_timer_closed);
    uv_close((uv_handle_t *)&n->events, on_events_closed);
}

/* ---- what the kernel tells ---- */

static void changed_by_other(struct uv_nft *n)
{
    uint64_t now = uv_now(n->config.loop);
    uint64_t at = n->asserted_ms + RESTORE_MS;

    if (n->closing) {
        return;
    }
    if (!n->foreign) {
        log_warn("table inet %s was changed by somebody else: restoring it", n->table);
    }
    n->foreign = true;
    n->whole_due = true;
    n->whole_at_ms = at > now + SETTLE_MS ? at : now + SETTLE_MS;
    arm(n, n->busy ? n->deadline_ms : n->whole_at_ms);
}

/* In all messages but NEWGEN the first attribute is the table's name. */
static bool is_ours(const struct uv_nft *n, const struct nlmsghdr *h)
{
    const struct nfgenmsg *family = mnl_nlmsg_get_payload(h);
    const struct nlattr *name = nlbatch_attr(h, sizeof(*family), NFTA_TABLE_NAME);

    return h->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES && (h->nlmsg_type & 0xff) != NFT_MSG_NEWGEN &&
           family->nfgen_family == FAMILY && name != NULL &&
           strcmp(mnl_attr_get_str(name), n->table) == 0;
}

static void take_event(struct uv_nft *n, const struct nlmsghdr *h)
{
    if (!is_ours(n, h)) {
        return;
    }
    if (n->port == 0 && n->busy_whole && (h->nlmsg_type & 0xff) == NFT_MSG_NEWTABLE) {
        n->port = h->nlmsg_pid;
    }
    if (n->port != h->nlmsg_pid && n->config.own_port != h->nlmsg_pid &&
        !(n->port == 0 && n->busy)) {
        changed_by_other(n);
    }
}

/* What was lost while nothing of ours was under way was not ours. */
static void take_events(struct uv_nft *n)
{
    _Alignas(struct nlmsghdr) char bytes[16384];

    for (;;) {
        ssize_t got = recv(n->events_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)bytes;
        int len = (int)got;

        if (got < 0 && errno == ENOBUFS && !n->busy) {
            changed_by_other(n);
        }
        if (got <= 0 && errno != ENOBUFS && errno != EINTR) {
            return;
        }
        for (; got > 0 && nlbatch_is_message(h, len); h = mnl_nlmsg_next(h, &len)) {
            take_event(n, h);
        }
    }
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct uv_nft *n = container_of(poll, struct uv_nft, events);

    (void)events;
    if (status == 0) {
        take_events(n);
    }
}

static int open_events(struct err *e)
{
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
    auto_close int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    int space = EVENTS_SPACE;

    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        return err_set(e, errno, "listen to changes of nftables");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space));
    return take_fd(&fd);
}

/* ---- what the child says ---- */

static void finish_refused(struct uv_nft *n, const char *error)
{
    struct err e;

    n->whole_due = true;
    n->foreign = n->foreign || n->busy_foreign;
    n->whole_at_ms = uv_now(n->config.loop) + RETRY_MS;
    (void)err_say(&e, EPROTO, "nft refuses table inet %s: %s", n->table, error);
    n->config.done(n->config.arg, -EPROTO, &e);
}

static void finish_transaction(struct uv_nft *n)
{
    struct err none = {0};

    take_events(n); /* those of this transaction are there before its answer */
    n->busy = false;
    if (n->error[0] != '\0') {
        if (n->closing) {
            n->whole_due = false;
        } else {
            finish_refused(n, n->error);
        }
    } else {
        n->asserted_ms = n->busy_whole ? uv_now(n->config.loop) : n->asserted_ms;
        n->restored += n->busy_foreign;
        if (!n->closing) {
            n->config.done(n->config.arg, 0, &none);
        }
    }
    n->busy_foreign = false;
    n->busy_whole = false;
    n->error[0] = '\0';
    arm(n, 0);
}

/* The answer to the fence is one line of JSON; everything else is about an error, first its text,
 * then the place. */
static void on_child_line(void *arg, const char *line)
{
    struct uv_nft *n = arg;
    const char *error = strstr(line, "Error:");

    if (line[0] == '{' && n->busy) {
        finish_transaction(n);
    } else if (line[0] != '{' && n->error[0] == '\0' && error != NULL) {
        (void)snprintf(n->error, sizeof(n->error), "%.250s", error + strlen("Error: "));
    }
}

static void on_child_gone(void *arg)
{
    struct uv_nft *n = arg;

    without_child(n);
    arm(n, n->started_ms + RESTART_MS);
}

static int start_child(struct uv_nft *n, struct err *e)
{
    struct uv_nftchild_events events = {
        .line = on_child_line, .gone = on_child_gone, .closed = on_child_closed, .arg = n};
    struct uv_nftchild *child = NULL;
    int rc = uv_nftchild_start(n->config.loop, n->config.program, &events, &child, e);

    n->live += child != NULL;
    n->started_ms = uv_now(n->config.loop);
    n->whole_due = true;
    n->child = rc == 0 ? child : NULL;
    n->told = 0;
    return rc;
}

/* ---- what is sent, and when ---- */

static void transact(struct uv_nft *n, const char *text, size_t len)
{
    n->busy = true;
    n->deadline_ms = uv_now(n->config.loop) + SILENCE_MS + len / 64;
    n->error[0] = '\0';
    arm(n, n->deadline_ms);
    n->told += len;
    uv_nftchild_send(n->child, text, len);
    uv_nftchild_send(n->child, "\n" FENCE, strlen("\n" FENCE));
}

static void send_whole(struct uv_nft *n)
{
    auto_buf struct buf text = {0};

    n->config.whole(n->config.arg, &text);
    n->whole_due = false;
    n->busy_whole = true;
    n->busy_foreign = n->foreign;
    n->foreign = false;
    transact(n, buf_text(&text), text.len);
}

static void send_last(struct uv_nft *n)
{
    auto_free char *last = take_ptr(n->last);

    n->whole_due = false; /* else the table that it removes would come back */
    transact(n, last, strlen(last));
}

/* The next one is started when there is something to say. */
static void retire_child(struct uv_nft *n)
{
    uv_nftchild_drop(n->child);
    n->child = NULL;
    n->port = 0;
}

static bool ensure_child(struct uv_nft *n, uint64_t now)
{
    struct err e;

    if (n->child != NULL) {
        return true;
    }
    if (now < n->started_ms + RESTART_MS) {
        arm(n, n->started_ms + RESTART_MS);
        return false;
    }
    if (start_child(n, &e) < 0) {
        n->started_ms = now;
        if (n->closing) {
            end(n);
            return false;
        }
        arm(n, now + RETRY_MS);
        n->config.done(n->config.arg, e.code, &e);
        return false;
    }
    return true;
}

/* While closing: what was asked for is still done if it can be done now. */
static bool may_go_on(const struct uv_nft *n, uint64_t now)
{
    return n->child != NULL && n->whole_due && now >= n->whole_at_ms;
}

static void pump(struct uv_nft *n)
{
    uint64_t now = uv_now(n->config.loop);

    if (n->closing && n->last == NULL && !may_go_on(n, now)) {
        end(n);
        return;
    }
    if (n->child != NULL && n->told > TOLD_MAX && !n->closing) {
        retire_child(n);
    }
    if ((n->last != NULL || n->whole_due) && !ensure_child(n, now)) {
        return;
    }
    if (n->last != NULL) {
        send_last(n);
    } else if (n->whole_due && now >= n->whole_at_ms) {
        send_whole(n);
    } else if (n->whole_due) {
        arm(n, n->whole_at_ms);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_nft *n = container_of(timer, struct uv_nft, timer);

    if (n->busy) { /* its answer may wait while the loop was held up */
        uv_nftchild_receive(n->child);
    }
    if (n->busy && uv_now(n->config.loop) < n->deadline_ms) {
        arm(n, n->deadline_ms);
        return;
    }
    if (n->busy) {
        log_warn("nft is silent: starting another one");
        drop_child(n);
    }
    pump(n);
}

/* ---- for the owner ---- */

/* Blocking, at the start only. */
static int wait_for_first(struct uv_nft *n, size_t len, struct err *e)
{
    uint64_t wait_ms = FIRST_MS + len / 64;
    uint64_t until = uv_hrtime() / 1000000 + wait_ms;

    while (n->busy) {
        uint64_t now = uv_hrtime() / 1000000;

        if (now >= until) {
            return err_say(e, ETIMEDOUT, "nft does not answer within %u ms", (unsigned)wait_ms);
        }
        uv_nftchild_wait(n->child, (unsigned)(until - now));
    }
    if (n->child == NULL) {
        return err_say(e, EIO, "nft ended at once");
    }
    return 0;
}

/* `whole` was refused: the owner was told by `done`, and is told again here. */
struct first {
    int status;
    struct err e;
};

static void on_first_done(void *arg, int status, const struct err *e)
{
    struct first *first = arg;

    first->status = status;
    first->e = *e;
}

static int assert_first(struct uv_nft *n, struct err *e)
{
    struct uv_nft_config config = n->config;
    struct first first = {0};
    auto_buf struct buf text = {0};
    int rc = start_child(n, e);

    if (rc < 0) {
        return rc;
    }
    config.whole(config.arg, &text);
    n->config.done = on_first_done;
    n->config.arg = &first;
    n->whole_due = false;
    n->busy_whole = true;
    transact(n, buf_text(&text), text.len);
    rc = wait_for_first(n, text.len, e);
    n->config = config;
    if (rc == 0 && first.status < 0) {
        rc = err_say(e, first.status, "%s", first.e.text);
    }
    return rc;
}

int uv_nft_create(const struct uv_nft_config *config, struct uv_nft **ret, struct err *e)
{
    int fd = open_events(e);
    struct uv_nft *n;
    int rc;

    assert(strlen(config->table) < TABLE_MAX);
    if (fd < 0) {
        return fd;
    }
    n = xcalloc(1, sizeof(*n));
    n->config = *config;
    n->events_fd = fd;
    n->live = 2;
    (void)snprintf(n->table, sizeof(n->table), "%s", config->table);
    (void)uv_timer_init(config->loop, &n->timer);
    rc = uv_poll_init(config->loop, &n->events, fd);
    assert(rc == 0);
    rc = assert_first(n, e);
    if (rc < 0) {
        n->closing = true;
        end(n);
        return rc;
    }
    (void)uv_poll_start(&n->events, UV_READABLE, on_events);
    *ret = n;
    return 0;
}

void uv_nft_assert(struct uv_nft *n)
{
    assert(!n->closing);
    n->whole_due = true;
    n->whole_at_ms = n->foreign ? n->whole_at_ms : 0;
    if (!n->busy) {
        arm(n, 0);
    }
}

void uv_nft_listen(struct uv_nft *n)
{
    take_events(n);
}

void uv_nft_close(struct uv_nft *n, const char *last, void (*closed)(void *arg), void *arg)
{
    assert(!n->closing);
    n->closing = true;
    n->closed = closed;
    n->closed_arg = arg;
    n->last = last != NULL ? xstrdup(last) : NULL;
    if (!n->busy) {
        arm(n, 0);
    }
}

unsigned uv_nft_restored(const struct uv_nft *n)
{
    return n->restored;
}

int uv_nft_pid(const struct uv_nft *n)
{
    return n->child != NULL ? uv_nftchild_pid(n->child) : 0;
}
