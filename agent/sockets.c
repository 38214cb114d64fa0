// SPDX-License-Identifier: Apache-2.0
#include "agent/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"

#define TCP_LISTEN_STATE 0x0a
#define UDP_OPEN_STATE   0x07

static const struct table {
    const char *name;
    bool udp, v6;
} tables[] = {
    {"tcp", false, false}, {"tcp6", false, true}, {"udp", true, false}, {"udp6", true, true}};

/* Words of the kernel's own byte order, in hexadecimal. */
static bool read_local(const char *text, bool v6, struct socket *ret)
{
    uint32_t words[4] = {0};
    unsigned port;
    int n = v6 ? sscanf(text, "%8x%8x%8x%8x:%4x", &words[0], &words[1], &words[2], &words[3], &port)
               : sscanf(text, "%8x:%4x", &words[0], &port);
    uint32_t last = ntohl(words[3]);

    if (n != (v6 ? 5 : 2)) {
        return false;
    }
    ret->v6 = v6;
    ret->port = (uint16_t)port;
    ret->address = v6 ? 0 : ntohl(words[0]);
    if (!v6) {
        ret->on = ret->address == 0           ? SOCKETS_ANY
                  : ret->address >> 24 == 127 ? SOCKETS_LOOPBACK
                                              : SOCKETS_ADDRESS;
    } else if (words[0] == 0 && words[1] == 0 && words[2] == 0 && last <= 1) {
        ret->on = last == 0 ? SOCKETS_ANY : SOCKETS_LOOPBACK;
    } else {
        ret->on = SOCKETS_ADDRESS;
    }
    return true;
}

/* "sl local remote st tx:rx tr:when retrnsmt uid timeout inode …" */
static bool read_line(const char *line, const struct table *t, struct socket *ret)
{
    char local[48];
    unsigned state;
    unsigned long long inode;

    *ret = (struct socket){.udp = t->udp};
    if (sscanf(line, " %*u: %47s %*s %x %*s %*s %*s %*s %*s %llu", local, &state, &inode) != 3 ||
        state != (t->udp ? UDP_OPEN_STATE : TCP_LISTEN_STATE)) {
        return false;
    }
    ret->inode = inode;
    return read_local(local, t->v6, ret);
}

bool sockets_each(const char *net, sockets_cb cb, void *arg)
{
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        auto_free char *path = xasprintf("%s/%s", net, tables[i].name);
        auto_fclose FILE *f = fopen(path, "re");
        char line[512];
        struct socket s;

        found |= f != NULL;
        while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
            if (read_line(line, &tables[i], &s)) {
                cb(arg, &s);
            }
        }
    }
    return found;
}

static bool has_socket(const char *proc, const char *pid, const char *link)
{
    auto_free char *path = xasprintf("%s/%s/fd", proc, pid);
    auto_closedir DIR *dir = opendir(path);
    struct dirent *d;
    char target[64];

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        ssize_t n = readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1);

        target[n > 0 ? n : 0] = '\0';
        if (strcmp(target, link) == 0) {
            return true;
        }
    }
    return false;
}

bool sockets_owner(const char *proc, uint64_t inode, char *ret, size_t size)
{
    auto_free char *link = xasprintf("socket:[%llu]", (unsigned long long)inode);
    auto_closedir DIR *dir = opendir(proc);
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (strspn(d->d_name, "0123456789") == strlen(d->d_name) &&
            has_socket(proc, d->d_name, link)) {
            auto_free char *path = xasprintf("%s/%s/comm", proc, d->d_name);
            auto_fclose FILE *f = fopen(path, "re");

            if (f != NULL && fgets(ret, (int)size, f) != NULL) {
                ret[strcspn(ret, "\n")] = '\0';
                return true;
            }
        }
    }
    return false;
}
