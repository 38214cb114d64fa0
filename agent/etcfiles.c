// SPDX-License-Identifier: Apache-2.0
#include "agent/etcfiles.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"

#define BYTES_MAX 16384u
#define GATEWAY   0xa9fe0101u /* 169.254.1.1: every container's gateway, and its name server */

static void put_address(struct buf *text, uint32_t a)
{
    buf_printf(text, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff, a & 0xff);
}

static void put_own_names(struct buf *text, const struct etcfiles_names *n)
{
    if (n->domainname[0] != '\0') {
        buf_printf(text, "\t%s.%s", n->hostname, n->domainname);
    }
    buf_printf(text, "%s%s\n", n->domainname[0] != '\0' ? " " : "\t", n->hostname);
}

char *etcfiles_hosts(const struct etcfiles_names *n)
{
    struct buf text = {0};

    buf_puts(&text, "127.0.0.1\tlocalhost\n"
                    "::1\tlocalhost ip6-localhost ip6-loopback\n");
    put_address(&text, n->address != 0 ? n->address : 0x7f000001);
    put_own_names(&text, n);
    if (n->ipv6 != NULL && n->ipv6[0] != '\0') {
        buf_puts(&text, n->ipv6);
        put_own_names(&text, n);
    }
    for (unsigned i = 0; i < n->n_extra; i++) {
        if (strcmp(n->extra[i][1], "host-gateway") == 0) {
            put_address(&text, GATEWAY);
        } else {
            buf_puts(&text, n->extra[i][1]);
        }
        buf_printf(&text, "\t%s\n", n->extra[i][0]);
    }
    return buf_take(&text);
}

/* ---- resolv.conf(5) ---- */

/* "nameserver 127.0.0.53", "nameserver ::1" */
static bool is_local(const char *line)
{
    char address[64];

    return sscanf(line, "nameserver %63s", address) == 1 &&
           (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0);
}

static bool begins(const char *line, const char *word)
{
    size_t len = strlen(word);

    return strncmp(line, word, len) == 0 && (line[len] == ' ' || line[len] == '\t');
}

/* Whether a line of the host counts: nothing else is said about its matter. */
static bool counts(const struct etcfiles_names *n, const char *line)
{
    if (begins(line, "nameserver")) {
        return !n->named && n->n_servers == 0 && (n->host_network || !is_local(line));
    }
    if (begins(line, "search") || begins(line, "domain")) {
        return n->n_search == 0;
    }
    if (begins(line, "options")) {
        return n->n_options == 0 && !n->named;
    }
    return true;
}

static void put_list(struct buf *text, const char *word, const char *const *list, unsigned n)
{
    if (n == 0 || (n == 1 && strcmp(list[0], ".") == 0)) {
        return;
    }
    buf_puts(text, word);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(text, " %s", list[i]);
    }
    buf_putc(text, '\n');
}

char *etcfiles_resolv_conf(const char *path, const struct etcfiles_names *n)
{
    /* A question that is lost, because the agent is being replaced, is asked again soon. */
    static const char *const usual[] = {"ndots:0", "timeout:1", "attempts:5"};
    auto_fclose FILE *f = fopen(path, "re");
    struct buf text = {0};
    char line[512];

    if (n->named) {
        buf_puts(&text, "nameserver ");
        put_address(&text, GATEWAY);
        buf_putc(&text, '\n');
    }
    for (unsigned i = 0; !n->named && i < n->n_servers; i++) {
        buf_puts(&text, "nameserver ");
        put_address(&text, n->servers[i]);
        buf_putc(&text, '\n');
    }
    put_list(&text, "search", n->search, n->n_search);
    put_list(&text, "options", n->n_options > 0 ? n->options : usual,
             n->n_options > 0 ? n->n_options
             : n->named       ? (unsigned)ARRAY_LEN(usual)
                              : 0);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL && text.len < BYTES_MAX) {
        if (counts(n, line)) {
            buf_puts(&text, line);
        }
    }
    return buf_take(&text);
}
