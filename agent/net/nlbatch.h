// SPDX-License-Identifier: Apache-2.0
#ifndef WHERRY_AGENT_NET_NLBATCH_H
#define WHERRY_AGENT_NET_NLBATCH_H

/* Netlink messages in a batch: written one after the other, sent by one call, each acknowledged.
 * A batch knows for each message what it was meant to do, so that the first refusal can be told in
 * words. libmnl writes the attributes; the rest is here. */

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define NLBATCH_SPACE 4096
#define NLBATCH_MAX   8

struct nlbatch {
    _Alignas(struct nlmsghdr) char bytes[NLBATCH_SPACE];
    size_t len;
    unsigned n;
    uint32_t seq;
    struct {
        const char *what;
        bool try; /* a refusal does not matter */
    } msg[NLBATCH_MAX];
    struct nlmsghdr *open; /* the message being written */
};

void nlbatch_init(struct nlbatch *m);

/* Begins a message with a zeroed header of `size` bytes, whose place is returned. `what` is
 * borrowed until the batch has run: "make the link". */
struct nlmsghdr *nlbatch_begin(struct nlbatch *m, uint16_t type, uint16_t flags, const char *what);
void *nlbatch_header(struct nlbatch *m, size_t size);
void nlbatch_may_fail(struct nlbatch *m);

/* Sends all; `cb` (may be NULL) is called for every answer that is no acknowledgement. Returns 0,
 * or the error of the first message that failed. */
typedef void (*nlbatch_cb)(void *arg, const struct nlmsghdr *answer);
int nlbatch_run(struct nlbatch *m, int fd, nlbatch_cb cb, void *arg, struct err *e);

/* Whether a message lies there, of `left` bytes. (libmnl 1.0.4 takes one of more than two GiB.) */
bool nlbatch_is_message(const struct nlmsghdr *h, int left);

/* The attribute of a message behind its header of `size` bytes. NULL: there is none. */
const struct nlattr *nlbatch_attr(const struct nlmsghdr *h, size_t size, uint16_t type);

/* The same inside of an attribute, which may be NULL. */
const struct nlattr *nlbatch_inside(const struct nlattr *nest, uint16_t type);

/* Makes the socket's errors carry words. */
void nlbatch_prepare_socket(int fd);

#endif
