// SPDX-License-Identifier: Apache-2.0
#include "agent/dns/resolvconf.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define WORD "nameserver"

unsigned resolvconf_servers(const char *text, uint32_t except, uint32_t ret[RESOLVCONF_SERVERS_MAX])
{
    unsigned n = 0;

    while (*text != '\0' && n < RESOLVCONF_SERVERS_MAX) {
        size_t line = strcspn(text, "\n");
        size_t word = strcspn(text, " \t\n");
        size_t blanks = strspn(text + word, " \t");
        size_t len = strcspn(text + word + blanks, " \t\r\n");
        char address[INET_ADDRSTRLEN] = "";
        struct in_addr in;

        if (word == strlen(WORD) && strncmp(text, WORD, word) == 0 && blanks > 0 &&
            len < sizeof(address)) {
            (void)snprintf(address, sizeof(address), "%.*s", (int)len, text + word + blanks);
        }
        if (inet_pton(AF_INET, address, &in) == 1 && ntohl(in.s_addr) != except) {
            ret[n++] = ntohl(in.s_addr);
        }
        text += line;
        text += *text == '\n';
    }
    return n;
}
