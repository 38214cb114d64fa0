// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/doctor_priv.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

#define RULES_MAX (64u * 1024 * 1024) /* bytes of a ruleset */

const struct doctor_row doctor_rows[] = {
    {"kernel", "what the kernel can", doctor_host_kernel},
    {"user_namespaces", "user namespaces", doctor_host_userns},
    {"cgroups", "control groups", doctor_host_cgroups},
    {"ids", "ids of containers", doctor_host_ids},
    {"disk", "room for state and volumes", doctor_host_disk},
    {"clock", "clock", doctor_host_clock},
    {"ip_forward", "forwarding", doctor_link_forward},
    {"rp_filter", "reverse path filter", doctor_link_rp_filter},
    {"firewall_forward", "firewall: packets of containers", doctor_rules_forward},
    {"firewall_names", "firewall: names for containers", doctor_rules_names},
    {"firewall_tunnel", "firewall: tunnels between hosts", doctor_rules_tunnel},
    {"firewall_legacy", "firewall: iptables-legacy", doctor_rules_legacy},
    {"underlay_mtu", "packet size between hosts", doctor_link_mtu},
    {"vxlan", "VXLAN", doctor_host_vxlan},
    {"vxlan_port", "VXLAN's port", doctor_link_vxlan_port},
    {"wireguard", "WireGuard", doctor_host_wireguard},
    {"conntrack", "table of connections", doctor_host_conntrack},
    {"routes", "routes into the cluster's range", doctor_link_routes},
    {"dns_port", "name server's port", doctor_link_dns_port},
    {"resolver", "the host's resolver", doctor_link_resolver},
};
const unsigned doctor_rows_n = ARRAY_LEN(doctor_rows);

const char *doctor_state_name(enum doctor_state state)
{
    static const char *const names[] = {"ok", "warning", "problem", "not here"};

    return names[state];
}

/* ---- for the checks ---- */

void doctor_say(struct doctor_result *ret, enum doctor_state state, const char *fmt, ...)
{
    va_list ap;

    ret->state = state;
    va_start(ap, fmt);
    (void)vsnprintf(ret->text, sizeof(ret->text), fmt, ap);
    va_end(ap);
}

void doctor_mend(struct doctor_result *ret, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(ret->mend, sizeof(ret->mend), fmt, ap);
    va_end(ap);
}

bool doctor_line(const char *root, const char *path, char *ret, size_t size)
{
    auto_free char *full = xasprintf("%s/%s", root, path);
    auto_fclose FILE *f = fopen(full, "re");

    if (f == NULL || fgets(ret, (int)size, f) == NULL) {
        return false;
    }
    ret[strcspn(ret, "\n")] = '\0';
    return true;
}

bool doctor_number(const char *root, const char *path, long long *ret)
{
    char line[64];
    char *end;

    if (!doctor_line(root, path, line, sizeof(line))) {
        return false;
    }
    errno = 0;
    *ret = strtoll(line, &end, 10);
    return end != line && errno == 0;
}

void doctor_net(uint32_t net, unsigned prefix, char ret[DOCTOR_NET])
{
    (void)snprintf(ret, DOCTOR_NET, "%u.%u.%u.%u/%u", net >> 24, net >> 16 & 0xff, net >> 8 & 0xff,
                   net & 0xff, prefix);
}

/* ---- the host ---- */

/* Not from /sys, which may be another network namespace's. */
static unsigned mtu_of(const char *link)
{
    auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};

    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", link);
    return fd >= 0 && ioctl(fd, SIOCGIFMTU, &ifr) == 0 ? (unsigned)ifr.ifr_mtu : 0;
}

static void find_underlay(struct doctor_world *w)
{
    struct ifaddrs *all = NULL;

    if (w->address == 0 || getifaddrs(&all) < 0) {
        return;
    }
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)i->ifa_addr;

        if (in != NULL && in->sin_family == AF_INET && ntohl(in->sin_addr.s_addr) == w->address) {
            (void)snprintf(w->underlay, sizeof(w->underlay), "%s", i->ifa_name);
        }
    }
    freeifaddrs(all);
    w->underlay_mtu = mtu_of(w->underlay);
}

static pid_t run_nft(const char *program, int out_fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)dup2(out_fd, STDOUT_FILENO);
        (void)dup2(out_fd, STDERR_FILENO);
        (void)execlp(program, program, "-j", "-t", "list", "ruleset", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void read_all(int fd, struct buf *ret)
{
    char part[65536];
    ssize_t n;

    while (ret->len < RULES_MAX && (n = read(fd, part, sizeof(part))) != 0) {
        if (n > 0) {
            buf_append(ret, part, (size_t)n);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static void read_rules(struct doctor_world *w, const char *program)
{
    auto_buf struct buf out = {0};
    struct nftrules *rules = NULL;
    struct err e = {0};
    int fds[2];
    int status = -1;
    pid_t pid;

    if (pipe(fds) < 0) {
        (void)snprintf(w->rules_error, sizeof(w->rules_error), "%s", strerror(errno));
        return;
    }
    pid = run_nft(program, fds[1]);
    (void)close(fds[1]);
    read_all(fds[0], &out);
    (void)close(fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
        (void)snprintf(w->rules_error, sizeof(w->rules_error), "%s: %.200s", program,
                       out.len > 0 ? buf_text(&out) : "it cannot be run");
    } else if (nftrules_parse(buf_text(&out), out.len, &rules, &e) < 0) {
        (void)snprintf(w->rules_error, sizeof(w->rules_error), "%s", e.text);
    }
    w->rules = rules;
}

void doctor_world_look(struct doctor_world *w, const char *nft_program)
{
    find_underlay(w);
    read_rules(w, nft_program);
}

void doctor_world_finish(struct doctor_world *w)
{
    nftrules_destroy((struct nftrules *)(uintptr_t)w->rules);
    w->rules = NULL;
}
