// SPDX-License-Identifier: Apache-2.0
#include "agent/net/netns.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

int netns_socket(int netns_fd, int domain, int type, int protocol, struct err *e)
{
    auto_close int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;
    int saved;

    assert(netns_fd >= 0);
    if (home < 0) {
        return err_set(e, errno, "open own network namespace");
    }
    if (setns(netns_fd, CLONE_NEWNET) < 0) {
        return err_set(e, errno, "enter network namespace");
    }
    fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    saved = errno;
    if (setns(home, CLONE_NEWNET) < 0) {
        die("come back from a container's network namespace: %s", strerror(errno));
    }
    return fd < 0 ? err_set(e, saved, "make a socket in the network namespace") : fd;
}
