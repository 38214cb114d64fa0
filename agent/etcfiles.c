// SPDX-License-Identifier: Apache-2.0
#include "agent/etcfiles.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"

#define BYTES_MAX 16384u

char *etcfiles_hosts(const char *hostname, uint32_t address)
{
    struct buf text = {0};
    uint32_t own = address != 0 ? address : 0x7f000001;

    buf_puts(&text, "127.0.0.1\tlocalhost\n"
                    "::1\tlocalhost ip6-localhost ip6-loopback\n");
    buf_printf(&text, "%u.%u.%u.%u\t%s\n", own >> 24, own >> 16 & 0xff, own >> 8 & 0xff, own & 0xff,
               hostname);
    return buf_take(&text);
}

/* "nameserver 127.0.0.53", "nameserver ::1" */
static bool is_local(const char *line)
{
    char address[64];

    return sscanf(line, "nameserver %63s", address) == 1 &&
           (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0);
}

char *etcfiles_resolv_conf(const char *path, bool host_network)
{
    auto_fclose FILE *f = fopen(path, "re");
    struct buf text = {0};
    char line[512];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL && text.len < BYTES_MAX) {
        if (host_network || !is_local(line)) {
            buf_puts(&text, line);
        }
    }
    return buf_take(&text);
}
