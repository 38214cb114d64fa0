// SPDX-License-Identifier: Apache-2.0
/* What the kernel has of our table, asked by `nft get element`, whose exit code says whether it is
 * there; and the rules of others, as the doctor sees them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/doctor_priv.h"
#include "agent/netprobe.h"
#include "common/askrow.h"
#include "common/cleanup.h"
#include "common/err.h"

/* Runs nft. Returns whether it was content. */
static bool run(const char *command, struct buf *ret)
{
    char part[4096];
    int fds[2];
    int status = -1;
    ssize_t n;
    pid_t pid;

    if (pipe(fds) < 0) {
        return false;
    }
    pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)close(STDERR_FILENO);
        (void)execlp("nft", "nft", command, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    while (pid > 0 && (n = read(fds[0], part, sizeof(part))) != 0) {
        if (n > 0 && ret->len < 65536) {
            buf_append(ret, part, (size_t)n);
        } else if (n < 0 && errno != EINTR) {
            break;
        }
    }
    (void)close(fds[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

__attribute__((format(printf, 3, 4))) static bool get(const struct netprobe *p, struct buf *ret,
                                                      const char *fmt, ...)
{
    auto_free char *element = NULL;
    auto_free char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&element, fmt, ap) < 0) {
        die("out of memory");
    }
    va_end(ap);
    command = xasprintf("get element inet %s %s", p->table, element);
    buf_clear(ret);
    return run(command, ret);
}

static bool put_table(const struct netprobe *p, struct buf *rows)
{
    auto_buf struct buf out = {0};
    auto_free char *command = xasprintf("list chain inet %s w_forward", p->table);
    bool there = run(command, &out);

    askrow_put(rows, "fact", "table");
    askrow_put(rows, "name", p->table);
    askrow_put(rows, "there", there ? "1" : "0");
    askrow_end(rows);
    return there;
}

/* The number behind the last chain's name: "goto w_vip3". */
static void put_vip(const struct netprobe *p, struct buf *rows)
{
    auto_buf struct buf out = {0};
    char address[NETPROBE_ADDRESS];
    const char *at;
    unsigned n = 0;

    if (p->vip == 0) {
        return;
    }
    netprobe_address(p->vip, address);
    if (get(p, &out, "w_vip { %s }", address)) {
        at = strstr(buf_text(&out), "goto w_vi");
        n = at != NULL ? (unsigned)strtoul(at + strlen("goto w_vip"), NULL, 10) : 0;
    }
    askrow_put(rows, "fact", "vip");
    askrow_put(rows, "address", address);
    askrow_putf(rows, "kernel", "%u", n);
    askrow_end(rows);
}

/* The mark of A's class, "0x0a800405 : 0x00000007": bytes of a header have no type (rules.c). */
static bool find_class(const struct netprobe *p, unsigned long *ret)
{
    auto_buf struct buf out = {0};
    const char *at;

    if (!get(p, &out, "w_class { 0x%x }", (unsigned)p->self)) {
        return false;
    }
    at = strstr(buf_text(&out), " : 0x");
    *ret = at != NULL ? strtoul(at + 3, NULL, 16) : 0;
    return at != NULL;
}

/* One row for each target that the kernel lets A reach, or not. */
static void put_reach(const struct netprobe *p, struct buf *rows)
{
    auto_buf struct buf out = {0};
    unsigned long mark = 0;
    bool classed = p->self != 0 && find_class(p, &mark);

    for (unsigned i = 0; p->self != 0 && i < p->n_targets; i++) {
        char address[NETPROBE_ADDRESS];

        if (p->targets[i] == p->vip) {
            continue;
        }
        netprobe_address(p->targets[i], address);
        askrow_put(rows, "fact", "reach");
        askrow_put(rows, "address", address);
        askrow_put(rows, "there",
                   classed && get(p, &out, "w_reach { 0x%lx . 0x%x }", mark,
                                  (unsigned)p->targets[i])
                       ? "1"
                       : "0");
        askrow_end(rows);
    }
}

/* ---- counters ---- */

/* "counter reach { packets 3 bytes 180 }" over several lines. */
static void read_counters(const char *text, uint64_t ret[RULES_COUNTER_N])
{
    char name[32];
    unsigned long long packets;

    for (const char *at = text; (at = strstr(at, "counter ")) != NULL; at++) {
        unsigned i = RULES_COUNTER_N;

        if (sscanf(at, "counter %31s { packets %llu", name, &packets) == 2) {
            i = rules_counter_find(name);
        }
        if (i < RULES_COUNTER_N) {
            ret[i] = packets;
        }
    }
}

void netprobe_rules_counters(const struct netprobe *p, uint64_t counters[RULES_COUNTER_N],
                             struct buf *rows)
{
    auto_buf struct buf out = {0};
    auto_free char *command = xasprintf("list counters table inet %s", p->table);
    uint64_t now[RULES_COUNTER_N];

    memcpy(now, counters, sizeof(now));
    if (run(command, &out)) {
        read_counters(buf_text(&out), now);
    }
    for (unsigned i = 0; rows != NULL && i < RULES_COUNTER_N; i++) {
        if (now[i] > counters[i]) {
            askrow_put(rows, "fact", "dropped");
            askrow_put(rows, "words", rules_counter_words(i));
            askrow_putf(rows, "packets", "%llu", (unsigned long long)(now[i] - counters[i]));
            askrow_end(rows);
        }
    }
    memcpy(counters, now, sizeof(now));
}

/* ---- all of it ---- */

static void put_finding(const char *fact, const struct doctor_result *r, struct buf *rows)
{
    askrow_put(rows, "fact", fact);
    askrow_put(rows, "state", doctor_state_name(r->state));
    askrow_put(rows, "text", r->text);
    askrow_put(rows, "mend", r->mend);
    askrow_end(rows);
}

/* What others do to packets of these ways: the worst of it. */
static void judge_ways(const struct netprobe *p, bool from, struct doctor_result *ret)
{
    for (unsigned i = 0; i < p->n_targets; i++) {
        struct doctor_result one = {0};
        struct nftrules_packet packet = {.saddr = from ? p->self : p->targets[i],
                                         .daddr = from ? p->targets[i] : p->self,
                                         .saddr_prefix = 32,
                                         .daddr_prefix = 32,
                                         .dport = p->port};

        if (p->targets[i] == p->vip) {
            continue;
        }
        doctor_rules_packet(&p->world, &packet, &one);
        if (i == 0 || ret->text[0] == '\0' || one.state > ret->state) {
            *ret = one;
        }
    }
    if (ret->text[0] == '\0') {
        doctor_rules_forward(&p->world, ret);
    }
}

void netprobe_rules(const struct netprobe *p, bool from, struct buf *rows)
{
    struct doctor_result firewall = {0}, forwarding = {0};

    if (put_table(p, rows) && from) {
        put_vip(p, rows);
        put_reach(p, rows);
    }
    judge_ways(p, from, &firewall);
    put_finding("firewall", &firewall, rows);
    doctor_link_forward(&p->world, &forwarding);
    put_finding("forwarding", &forwarding, rows);
}
