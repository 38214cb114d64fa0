// SPDX-License-Identifier: Apache-2.0
#include "agent/net/nlbatch.h"

#include <assert.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MAX 32768u /* the kernel's largest part of a dump */

/* What is still expected, and what went wrong first. */
struct run {
    const struct nlbatch *m;
    unsigned answered;
    nlbatch_cb cb;
    void *arg;
    unsigned failed_at; /* m->n: nothing failed */
    int code;
    char words[128];
};

void nlbatch_init(struct nlbatch *m)
{
    static _Thread_local uint32_t seq;

    m->len = 0;
    m->n = 0;
    m->open = NULL;
    m->seq = seq;
    seq += NLBATCH_MAX;
}

static void close_message(struct nlbatch *m)
{
    if (m->open != NULL) {
        m->len += NLMSG_ALIGN(m->open->nlmsg_len);
        m->open = NULL;
    }
    assert(m->len <= NLBATCH_SPACE);
}

struct nlmsghdr *nlbatch_begin(struct nlbatch *m, uint16_t type, uint16_t flags, const char *what)
{
    close_message(m);
    assert(m->n < NLBATCH_MAX);
    assert(m->len + NLBATCH_SPACE / NLBATCH_MAX <= NLBATCH_SPACE);
    m->open = mnl_nlmsg_put_header(m->bytes + m->len);
    m->open->nlmsg_type = type;
    m->open->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    if ((flags & NLM_F_DUMP) != NLM_F_DUMP) {
        m->open->nlmsg_flags |= NLM_F_ACK;
    }
    m->open->nlmsg_seq = m->seq + m->n;
    m->msg[m->n].what = what;
    m->msg[m->n].try = false;
    m->n++;
    return m->open;
}

void *nlbatch_header(struct nlbatch *m, size_t size)
{
    assert(m->open != NULL);
    return mnl_nlmsg_put_extra_header(m->open, size);
}

void nlbatch_may_fail(struct nlbatch *m)
{
    assert(m->n > 0);
    m->msg[m->n - 1].try = true;
}

void nlbatch_prepare_socket(int fd)
{
    int one = 1;

    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
}

bool nlbatch_is_message(const struct nlmsghdr *h, int left)
{
    return left >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= (unsigned)left;
}

const struct nlattr *nlbatch_attr(const struct nlmsghdr *h, size_t size, uint16_t type)
{
    const struct nlattr *attr = mnl_nlmsg_get_payload_offset(h, size);
    const char *end = (const char *)h + h->nlmsg_len; /* libmnl's tail is rounded up */

    while (mnl_attr_ok(attr, (int)(end - (const char *)attr))) {
        if (mnl_attr_get_type(attr) == type) {
            return attr;
        }
        attr = mnl_attr_next(attr);
    }
    return NULL;
}

const struct nlattr *nlbatch_inside(const struct nlattr *nest, uint16_t type)
{
    const struct nlattr *attr = nest != NULL ? mnl_attr_get_payload(nest) : NULL;
    const char *end = nest != NULL ? (const char *)attr + mnl_attr_get_payload_len(nest) : NULL;

    while (attr != NULL && mnl_attr_ok(attr, (int)(end - (const char *)attr))) {
        if (mnl_attr_get_type(attr) == type) {
            return attr;
        }
        attr = mnl_attr_next(attr);
    }
    return NULL;
}

/* The words stand behind the error; with NETLINK_CAP_ACK nothing lies between. */
static void find_words(const struct nlmsghdr *h, char *ret, size_t size)
{
    const struct nlattr *attr = NULL;

    if ((h->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
        attr = nlbatch_attr(h, sizeof(struct nlmsgerr), NLMSGERR_ATTR_MSG);
    }
    (void)snprintf(ret, size, "%.*s", attr != NULL ? (int)mnl_attr_get_payload_len(attr) : 0,
                   attr != NULL ? (const char *)mnl_attr_get_payload(attr) : "");
}

static void take_ack(struct run *r, const struct nlmsghdr *h)
{
    const struct nlmsgerr *answer = mnl_nlmsg_get_payload(h);
    unsigned at = h->nlmsg_seq - r->m->seq;

    r->answered++;
    if (answer->error == 0 || r->m->msg[at].try || at >= r->failed_at) {
        return;
    }
    r->failed_at = at;
    r->code = -answer->error;
    find_words(h, r->words, sizeof(r->words));
}

static void take_answers(struct run *r, const char *bytes, int len)
{
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)bytes;

    for (; nlbatch_is_message(h, len); h = mnl_nlmsg_next(h, &len)) {
        if (h->nlmsg_seq - r->m->seq >= r->m->n) {
            continue; /* of an earlier batch that was cut short */
        }
        if (h->nlmsg_type == NLMSG_ERROR) {
            take_ack(r, h);
        } else if (h->nlmsg_type == NLMSG_DONE) {
            r->answered++;
        } else if (r->cb != NULL) {
            r->cb(r->arg, h);
        }
    }
}

int nlbatch_run(struct nlbatch *m, int fd, nlbatch_cb cb, void *arg, struct err *e)
{
    static _Thread_local _Alignas(struct nlmsghdr) char bytes[ANSWER_MAX];
    struct run r = {.m = m, .cb = cb, .arg = arg, .failed_at = m->n};

    close_message(m);
    assert(m->n > 0);
    if (send(fd, m->bytes, m->len, MSG_NOSIGNAL) < 0) {
        return err_set(e, errno, "ask the kernel to %s", m->msg[0].what);
    }
    while (r.answered < m->n) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        if (n < 0 && errno != EINTR) {
            return err_set(e, errno, "hear whether the kernel could %s", m->msg[0].what);
        }
        if (n > 0) {
            take_answers(&r, bytes, (int)n);
        }
    }
    if (r.code != 0) {
        return err_set(e, r.code, "%s%s%s", m->msg[r.failed_at].what,
                       r.words[0] != '\0' ? ": " : "", r.words);
    }
    return 0;
}
