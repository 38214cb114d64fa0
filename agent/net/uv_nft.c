// SPDX-License-Identifier: Apache-2.0
/* Level-triggered: `whole_due`, `pending` and `last` say what is to be sent, and pump() sends the
 * next of them when the child is there and idle. Only the timer pumps, and only answers and the
 * timer call back, so nothing comes from inside a call.
 *
 * Our own transactions come back as events, too: they carry the child's netlink port, which is
 * learnt from the event of the assertion that each child begins with. */
#include "agent/net/uv_nft.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/nlbatch.h"
#include "common/cleanup.h"
#include "common/failpoint.h"
#include "common/log.h"

#define SILENCE_MS   500u  /* and one more per 64 bytes sent: large tables on small machines */
#define FIRST_MS     2000u /* for the assertion that uv_nft_create waits for */
#define RESTART_MS   200u  /* between the starts of two children */
#define SETTLE_MS    20u   /* somebody else's changes come in groups */
#define RESTORE_MS   200u  /* between two assertions: we do not fight faster than this */
#define RETRY_MS     5000u /* after an assertion was refused */
#define ANSWER_MAX   (1u << 20)
#define EVENTS_SPACE (4 << 20)
#define FAMILY       1 /* NFPROTO_INET; linux/netfilter.h cannot stand beside netinet/in.h */
#define FENCE        "list tables\n"
#define TABLE_MAX    64

struct child {
    uv_process_t process;
    uv_poll_t poll;
    struct uv_nft *nft;
    int fd;
    unsigned open; /* handles not closed yet */
    bool polled;
    struct buf out;
    struct buf in;
    char error[256]; /* first error of the transaction under way */
};

struct uv_nft {
    struct uv_nft_config config;
    char table[TABLE_MAX];
    uv_timer_t timer;
    uv_poll_t events;
    int events_fd;
    uint32_t port; /* of the child's netlink socket; 0: not learnt */
    struct child *child;
    uint64_t started_ms;
    struct buf pending;
    uint64_t seq; /* of the latest change */
    char *last;

    bool busy; /* a transaction is under way: */
    bool busy_whole;
    bool busy_foreign; /* it restores */
    uint64_t busy_seq;
    uint64_t deadline_ms;

    bool whole_due;
    bool foreign; /* because somebody else changed it */
    uint64_t whole_at_ms;
    uint64_t asserted_ms;
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
        (void)uv_timer_start(&n->timer, on_timer, due_ms > now ? due_ms - now : 0, 0);
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
    buf_finish(&n->pending);
    free(n->last);
    if (n->closed != NULL) {
        n->closed(n->closed_arg);
    }
    free(n);
}

static void child_closed(struct child *c)
{
    struct uv_nft *n = c->nft;

    if (--c->open == 0) {
        (void)close(c->fd);
        buf_finish(&c->out);
        buf_finish(&c->in);
        free(c);
    }
    let_go(n);
}

static void on_child_poll_closed(uv_handle_t *handle)
{
    child_closed(container_of((uv_poll_t *)handle, struct child, poll));
}

static void on_child_process_closed(uv_handle_t *handle)
{
    child_closed(container_of((uv_process_t *)handle, struct child, process));
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_timer_t *)handle, struct uv_nft, timer));
}

static void on_events_closed(uv_handle_t *handle)
{
    let_go(container_of((uv_poll_t *)handle, struct uv_nft, events));
}

/* Whatever it was doing: the next child asserts the whole table, and with that everything. */
static void drop_child(struct uv_nft *n)
{
    struct child *c = n->child;

    if (c == NULL) {
        return;
    }
    n->child = NULL;
    n->busy = false;
    n->port = 0;
    n->whole_due = true;
    n->foreign = n->foreign || n->busy_foreign;
    n->busy_foreign = false;
    uv_close((uv_handle_t *)&c->poll, on_child_poll_closed);
    if (uv_is_active((uv_handle_t *)&c->process)) {
        (void)uv_process_kill(&c->process, SIGKILL); /* on_child_exit closes it: no zombie */
    } else {
        uv_close((uv_handle_t *)&c->process, on_child_process_closed);
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
    if (n->port != h->nlmsg_pid && !(n->port == 0 && n->busy)) {
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
        for (; got > 0 && mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
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

    if (!n->busy_whole) { /* the table is not what we thought */
        n->whole_due = true;
        n->whole_at_ms = 0;
        return;
    }
    n->whole_due = true;
    n->foreign = n->foreign || n->busy_foreign;
    n->whole_at_ms = uv_now(n->config.loop) + RETRY_MS;
    (void)err_say(&e, EPROTO, "nft refuses table inet %s: %s", n->table, error);
    n->config.done(n->config.arg, n->busy_seq, -EPROTO, &e);
}

static void finish_transaction(struct uv_nft *n, struct child *c)
{
    struct err none = {0};

    take_events(n); /* those of this transaction are there before its answer */
    n->busy = false;
    if (c->error[0] != '\0') {
        if (!n->closing) {
            finish_refused(n, c->error);
        }
    } else {
        n->asserted_ms = n->busy_whole ? uv_now(n->config.loop) : n->asserted_ms;
        n->restored += n->busy_foreign;
        if (!n->closing) {
            n->config.done(n->config.arg, n->busy_seq, 0, &none);
        }
    }
    n->busy_foreign = false;
    n->busy_whole = false;
    c->error[0] = '\0';
    arm(n, 0);
}

/* The answer to the fence is one line of JSON; everything else is about an error, first its text,
 * then the place. */
static void take_line(struct uv_nft *n, struct child *c, const char *line)
{
    if (line[0] == '{') {
        if (n->busy) {
            finish_transaction(n, c);
        }
        return;
    }
    if (c->error[0] == '\0' && strstr(line, "Error:") != NULL) {
        (void)snprintf(c->error, sizeof(c->error), "%.250s", strstr(line, "Error:") + 7);
    }
}

static void take_lines(struct uv_nft *n, struct child *c)
{
    char *end_of;

    while (c->in.len > 0 && (end_of = memchr(c->in.data, '\n', c->in.len)) != NULL) {
        size_t len = (size_t)(end_of - c->in.data) + 1;

        *end_of = '\0';
        take_line(n, c, c->in.data);
        buf_consume(&c->in, len);
    }
}

static void receive(struct uv_nft *n, struct child *c)
{
    char bytes[8192];
    ssize_t got;

    while ((got = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        buf_append(&c->in, bytes, (size_t)got);
        take_lines(n, c);
        if (c->in.len > ANSWER_MAX) {
            break;
        }
    }
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
        drop_child(n);
        arm(n, n->started_ms + RESTART_MS);
    }
}

static void on_child_poll(uv_poll_t *poll, int status, int events);

static void set_poll(struct child *c)
{
    int events = UV_READABLE | (c->out.len > 0 ? UV_WRITABLE : 0);

    (void)uv_poll_start(&c->poll, events, on_child_poll);
}

static void transmit(struct child *c)
{
    while (c->out.len > 0) {
        ssize_t put = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (put < 0) {
            break; /* full: later; broken: reading tells */
        }
        buf_consume(&c->out, (size_t)put);
    }
    set_poll(c);
}

static void on_child_poll(uv_poll_t *poll, int status, int events)
{
    struct child *c = container_of(poll, struct child, poll);
    struct uv_nft *n = c->nft;

    if (n->child == c && (events & UV_WRITABLE) != 0) {
        transmit(c);
    }
    if (n->child == c && (status < 0 || (events & UV_READABLE) != 0)) {
        receive(n, c);
    }
}

/* ---- starting it ---- */

static void on_child_exit(uv_process_t *process, int64_t code, int signal)
{
    struct child *c = container_of(process, struct child, process);
    struct uv_nft *n = c->nft;

    (void)code;
    (void)signal;
    if (n->child == c) { /* its last words, at whose end it is dropped */
        receive(n, c);
    }
    if (n->child == c) {
        drop_child(n);
    }
    if (!uv_is_closing((uv_handle_t *)process)) { /* it was dropped while it lived */
        uv_close((uv_handle_t *)process, on_child_process_closed);
    }
    arm(n, n->started_ms + RESTART_MS);
}

static int spawn(struct uv_nft *n, struct child *c, int fd)
{
    const char *program = n->config.program;
    char *args[] = {(char *)(uintptr_t)program, (char *)"-j", (char *)"-i", NULL};
    char *env[] = {(char *)"PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
                   (char *)"LC_ALL=C", NULL};
    uv_stdio_container_t stdio[3];
    uv_process_options_t options = {.file = program,
                                    .args = args,
                                    .env = env,
                                    .flags = UV_PROCESS_DETACHED,
                                    .exit_cb = on_child_exit,
                                    .stdio = stdio,
                                    .stdio_count = 3};

    for (unsigned i = 0; i < 3; i++) {
        stdio[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fd};
    }
    FAILPOINT("agent.net.before_nft_spawn");
    return uv_spawn(n->config.loop, &c->process, &options);
}

static int start_child(struct uv_nft *n, struct err *e)
{
    struct child *c;
    int fds[2];
    int rc;

    n->started_ms = uv_now(n->config.loop);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return err_set(e, errno, "make a socket for nft");
    }
    c = xcalloc(1, sizeof(*c));
    c->nft = n;
    c->fd = fds[0];
    c->open = 2;
    n->live += 2;
    n->child = c;
    rc = uv_poll_init(n->config.loop, &c->poll, c->fd);
    assert(rc == 0);
    rc = spawn(n, c, fds[1]);
    (void)close(fds[1]);
    if (rc < 0) {
        drop_child(n);
        return err_set(e, rc, "start %s", n->config.program);
    }
    n->whole_due = true;
    set_poll(c);
    return 0;
}

/* ---- what is sent, and when ---- */

static void transact(struct uv_nft *n, const char *text, size_t len)
{
    struct child *c = n->child;

    n->busy = true;
    n->busy_seq = n->seq;
    n->deadline_ms = uv_now(n->config.loop) + SILENCE_MS + len / 64;
    c->error[0] = '\0';
    buf_append(&c->out, text, len);
    buf_puts(&c->out, "\n" FENCE);
    arm(n, n->deadline_ms);
    transmit(c);
}

static void send_whole(struct uv_nft *n)
{
    auto_buf struct buf text = {0};

    n->config.whole(n->config.arg, &text);
    buf_clear(&n->pending);
    n->whole_due = false;
    n->busy_whole = true;
    n->busy_foreign = n->foreign;
    n->foreign = false;
    transact(n, buf_text(&text), text.len);
}

static void send_pending(struct uv_nft *n)
{
    struct buf text = n->pending;

    n->pending = (struct buf){0};
    transact(n, buf_text(&text), text.len);
    buf_finish(&text);
}

static void send_last(struct uv_nft *n)
{
    auto_free char *last = take_ptr(n->last);

    buf_clear(&n->pending);
    transact(n, last, strlen(last));
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
        n->config.done(n->config.arg, n->seq, e.code, &e);
        return false;
    }
    return true;
}

static void pump(struct uv_nft *n)
{
    uint64_t now = uv_now(n->config.loop);

    if (n->closing && n->last == NULL) {
        end(n);
        return;
    }
    if (!ensure_child(n, now)) {
        return;
    }
    if (n->last != NULL) {
        send_last(n);
    } else if (n->whole_due && now >= n->whole_at_ms) {
        send_whole(n);
    } else if (n->whole_due) {
        arm(n, n->whole_at_ms);
    } else if (n->pending.len > 0) {
        send_pending(n);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_nft *n = container_of(timer, struct uv_nft, timer);

    if (n->busy) { /* its answer may wait while the loop was held up */
        receive(n, n->child);
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
static int wait_for_first(struct uv_nft *n, struct err *e)
{
    uint64_t until = uv_hrtime() / 1000000 + FIRST_MS;

    while (n->busy) {
        struct pollfd p = {.fd = n->child->fd, .events = POLLIN};
        uint64_t now = uv_hrtime() / 1000000;

        if (now >= until) {
            return err_say(e, ETIMEDOUT, "nft does not answer within %u ms", FIRST_MS);
        }
        transmit(n->child);
        p.events = (short)(POLLIN | (n->child->out.len > 0 ? POLLOUT : 0));
        (void)poll(&p, 1, (int)(until - now));
        receive(n, n->child);
        if (n->child == NULL) {
            return err_say(e, EIO, "nft ended at once");
        }
    }
    return 0;
}

/* `whole` was refused: the owner was told by `done`, and is told again here. */
struct first {
    int status;
    struct err e;
};

static void on_first_done(void *arg, uint64_t seq, int status, const struct err *e)
{
    struct first *first = arg;

    (void)seq;
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
    rc = wait_for_first(n, e);
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

uint64_t uv_nft_change(struct uv_nft *n, const char *commands)
{
    assert(!n->closing);
    assert(strchr(commands, '\n') == NULL);
    buf_puts(&n->pending, commands);
    n->whole_at_ms = n->foreign ? n->whole_at_ms : 0;
    n->seq++;
    if (!n->busy) {
        arm(n, 0);
    }
    return n->seq;
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
    return n->child != NULL ? n->child->process.pid : 0;
}
