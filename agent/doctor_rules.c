// SPDX-License-Identifier: Apache-2.0
/* What others have put into nftables, if it is in the way of our packets, and how it is told there
 * that it shall not be. An `accept` of ours would not help: a packet must pass the chains of every
 * table, and each of them may drop it. */
#include <stdio.h>
#include <string.h>

#include "agent/doctor_priv.h"
#include "agent/net/net.h"
#include "agent/net/vxlan.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define OURS "wherry"

/* Our packets that others may drop, and what they are for. */
static const char *const our_links[] = {"wh*"}; /* of containers; netconfig.h */

enum kind { FORWARD, NAMES, TUNNEL, KIND_N };

/* Programs whose rules are known, and how each lets packets through. In commands %R is the range,
 * %F %T %B family, table and base chain. */
static const struct tool {
    const char *name;
    const char *table; /* that it keeps … */
    const char *chain; /* … or how a chain of its own begins */
    const char *commands[KIND_N];
} tools[] = {
    {"firewalld",
     "firewalld",
     NULL,
     {"firewall-cmd --permanent --zone=trusted --add-source=%R && firewall-cmd --reload",
      "firewall-cmd --permanent --zone=trusted --add-source=%R && firewall-cmd --reload",
      "firewall-cmd --permanent --add-port=4789/udp && firewall-cmd --reload"}},
    {"ufw",
     NULL,
     "ufw-",
     {"ufw route allow from %R && ufw route allow to %R",
      "ufw allow from %R to 169.254.1.1 port 53", "ufw allow 4789/udp"}},
    {"docker",
     NULL,
     "DOCKER-USER",
     {"iptables -I DOCKER-USER -s %R -j ACCEPT && iptables -I DOCKER-USER -d %R -j ACCEPT"}},
};

static const char *const any_commands[KIND_N] = {
    "nft insert rule %F %T %B ip saddr %R accept && nft insert rule %F %T %B ip daddr %R accept",
    "nft insert rule %F %T %B ip saddr %R ip daddr 169.254.1.1 accept",
    "nft insert rule %F %T %B udp dport 4789 accept"};

/* The tool that keeps the table: by its name, or by a chain of it. firewalld first, because it may
 * keep docker's chains. */
static const struct tool *tool_of(const struct doctor_world *w, const struct nftrules_where *where)
{
    bool iptables = strcmp(where->family, "ip") == 0 && strcmp(where->table, "filter") == 0;

    for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
        const struct tool *t = &tools[i];

        if ((t->table != NULL && strcmp(t->table, where->table) == 0) ||
            (t->chain != NULL && iptables && nftrules_has(w->rules, NULL, t->chain))) {
            return t;
        }
    }
    return NULL;
}

static void put_command(const struct doctor_world *w, const struct nftrules_where *where,
                        const char *command, struct doctor_result *ret)
{
    auto_buf struct buf out = {0};
    char range[DOCTOR_NET];

    doctor_net(w->range, w->range_prefix, range);
    for (const char *at = command; *at != '\0'; at++) {
        if (*at != '%') {
            buf_putc(&out, *at);
            continue;
        }
        at++;
        buf_puts(&out, *at == 'R'   ? range
                       : *at == 'F' ? where->family
                       : *at == 'T' ? where->table
                                    : where->base);
    }
    doctor_mend(ret, "%s", buf_text(&out));
}

static void tell(const struct doctor_world *w, enum kind kind, const char *what,
                 enum nftrules_fate fate, const struct nftrules_where *where,
                 struct doctor_result *ret)
{
    const struct tool *tool;
    const char *command;
    char rule[48];

    if (fate == NFTRULES_PASSES) {
        doctor_say(ret, DOCTOR_OK, "no rule of others drops them");
        return;
    }
    tool = tool_of(w, where);
    command = tool != NULL ? tool->commands[kind] : NULL;
    (void)snprintf(rule, sizeof(rule), where->handle != 0 ? "rule %llu of" : "the policy of",
                   (unsigned long long)where->handle);
    doctor_say(ret, fate == NFTRULES_DROPPED ? DOCTOR_PROBLEM : DOCTOR_WARNING,
               "%s are %sdropped by %s%s%s chain %s in table %s %s", what,
               fate == NFTRULES_DROPPED ? "" : "perhaps ", tool != NULL ? tool->name : "",
               tool != NULL ? ": " : "", rule, where->chain, where->family, where->table);
    put_command(w, where, command != NULL ? command : any_commands[kind], ret);
}

/* Whether there are rules to look at. */
static bool has_rules(const struct doctor_world *w, struct doctor_result *ret)
{
    if (w->rules == NULL) {
        doctor_say(ret, DOCTOR_WARNING, "the rules could not be read: %.300s", w->rules_error);
        return false;
    }
    return true;
}

/* ---- packets of containers ---- */

void doctor_rules_forward(const struct doctor_world *w, struct doctor_result *ret)
{
    /* containers, VXLAN, WireGuard, the underlay */
    const char *links[] = {our_links[0], "wx*", "ww*", w->underlay[0] != '\0' ? w->underlay : "*"};
    static const struct {
        const char *what;
        bool from, to;
    } kinds[] = {{"packets between containers", true, true},
                 {"packets from containers to the world", true, false},
                 {"packets to published ports", false, true}};
    enum nftrules_fate worst = NFTRULES_PASSES;
    struct nftrules_where where = {0};
    const char *what = NULL;

    if (!has_rules(w, ret)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct nftrules_packet p = {.hook = "forward", .links = links, .n_links = ARRAY_LEN(links)};
        struct nftrules_where at;
        enum nftrules_fate fate;

        p.saddr = kinds[i].from ? w->range : 0;
        p.saddr_prefix = kinds[i].from ? w->range_prefix : 0;
        p.daddr = kinds[i].to ? w->range : 0;
        p.daddr_prefix = kinds[i].to ? w->range_prefix : 0;
        fate = nftrules_judge(w->rules, OURS, &p, &at);
        if (fate > worst) {
            worst = fate;
            where = at;
            what = kinds[i].what;
        }
    }
    tell(w, FORWARD, what, worst, &where, ret);
}

void doctor_rules_packet(const struct doctor_world *w, const struct nftrules_packet *packet,
                         struct doctor_result *ret)
{
    /* containers, VXLAN, WireGuard, the underlay */
    const char *links[] = {our_links[0], "wx*", "ww*", w->underlay[0] != '\0' ? w->underlay : "*"};
    struct nftrules_packet p = *packet;
    struct nftrules_where where = {0};

    if (!has_rules(w, ret)) {
        return;
    }
    p.hook = "forward";
    p.links = links;
    p.n_links = ARRAY_LEN(links);
    tell(w, FORWARD, "packets of this way", nftrules_judge(w->rules, OURS, &p, &where), &where,
         ret);
}

/* ---- packets to the host ---- */

void doctor_rules_names(const struct doctor_world *w, struct doctor_result *ret)
{
    struct nftrules_packet p = {.hook = "input",
                                .saddr = w->range,
                                .saddr_prefix = w->range_prefix,
                                .daddr = NET_GATEWAY,
                                .daddr_prefix = 32,
                                .udp = true,
                                .dport = 53,
                                .links = our_links,
                                .n_links = 1};
    struct nftrules_where where = {0};

    if (has_rules(w, ret)) {
        tell(w, NAMES, "questions of containers to 169.254.1.1:53",
             nftrules_judge(w->rules, OURS, &p, &where), &where, ret);
    }
}

void doctor_rules_tunnel(const struct doctor_world *w, struct doctor_result *ret)
{
    const char *links[] = {w->underlay[0] != '\0' ? w->underlay : "*"};
    struct nftrules_packet p = {.hook = "input",
                                .daddr = w->address,
                                .daddr_prefix = w->address != 0 ? 32 : 0,
                                .udp = true,
                                .dport = VXLAN_PORT,
                                .links = links,
                                .n_links = 1};
    struct nftrules_where where = {0};

    if (has_rules(w, ret)) {
        tell(w, TUNNEL, "packets of other hosts to the VXLAN port 4789",
             nftrules_judge(w->rules, OURS, &p, &where), &where, ret);
    }
}

/* ---- the old kind, which nft does not show ---- */

void doctor_rules_legacy(const struct doctor_world *w, struct doctor_result *ret)
{
    char first[32];

    if (!doctor_line(w->proc, "net/ip_tables_names", first, sizeof(first))) {
        doctor_say(ret, DOCTOR_NOT_HERE, "no tables of iptables-legacy");
        return;
    }
    doctor_say(ret, DOCTOR_WARNING,
               "there are rules of iptables-legacy (table %s), which are not looked at here; they "
               "may drop packets too",
               first);
    doctor_mend(ret, "iptables-legacy -S FORWARD");
}
