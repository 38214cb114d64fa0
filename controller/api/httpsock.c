// SPDX-License-Identifier: Apache-2.0
#include "controller/api/httpsock.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/err.h"

#define BACKLOG    128
#define GROUPS_MAX 1024

static int address(const char *path, struct sockaddr_un *ret, struct err *e)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path[0] != '/' || strlen(path) >= sizeof(ret->sun_path)) {
        return err_say(e, EINVAL, "socket '%s': an absolute path of at most %zu bytes is needed",
                       path, sizeof(ret->sun_path) - 1);
    }
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
    return 0;
}

static int make_folder(const char *path, struct err *e)
{
    auto_free char *copy = xstrdup(path);
    const char *folder = dirname(copy);

    if (mkdir(folder, 0755) < 0 && errno != EEXIST) {
        return err_set(e, errno, "make %s", folder);
    }
    return 0;
}

/* Removes what is there if it is a socket behind which nobody is. */
static int clear(const struct sockaddr_un *at, struct err *e)
{
    auto_close int fd = -1;
    struct stat st;

    if (lstat(at->sun_path, &st) < 0) {
        return errno == ENOENT ? 0 : err_set(e, errno, "stat %s", at->sun_path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return err_say(e, EEXIST, "%s is there and is no socket", at->sun_path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(e, errno, "make a socket");
    }
    if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno == EAGAIN) {
        return err_say(e, EADDRINUSE, "somebody answers on %s already: another controller?",
                       at->sun_path);
    }
    if (errno != ECONNREFUSED) {
        return err_set(e, errno, "find out who answers on %s", at->sun_path);
    }
    if (unlink(at->sun_path) < 0 && errno != ENOENT) {
        return err_set(e, errno, "remove %s", at->sun_path);
    }
    return 0;
}

int httpsock_listen(const char *path, int *ret_fd, gid_t *ret_group, struct err *e)
{
    auto_close int fd = -1;
    struct sockaddr_un at;
    struct stat st;
    mode_t before;
    int rc = address(path, &at, e);

    rc = rc < 0 ? rc : make_folder(path, e);
    rc = rc < 0 ? rc : clear(&at, e);
    if (rc < 0) {
        return rc;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(e, errno, "make a socket");
    }
    before = umask(0117);
    rc = bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
    (void)umask(before);
    if (rc != 0) {
        return err_set(e, rc, "bind %s", path);
    }
    if (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0) {
        return err_set(e, errno, "listen on %s", path);
    }
    *ret_group = st.st_gid;
    *ret_fd = take_fd(&fd);
    return 0;
}

static bool is_member(int fd, gid_t group)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0) {
        return false;
    }
    for (size_t i = 0; i < len / sizeof(gid_t); i++) {
        if (groups[i] == group) {
            return true;
        }
    }
    return false;
}

bool httpsock_is_allowed(int fd, gid_t group)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        return false;
    }
    return peer.uid == 0 || peer.uid == geteuid() || peer.gid == group || is_member(fd, group);
}
