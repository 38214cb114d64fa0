// SPDX-License-Identifier: Apache-2.0
/* From a host to the other, and into the container that listens there. */
#include <string.h>

#include "controller/api/netcheck_priv.h"

void netcheck_way_route(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e = {0}, first = {0};
    size_t at = 0;

    while (netcheck_next(f->from, &at, "way", &e)) {
        if (netcheck_is(&e, "route", "unreachable") || netcheck_is(&e, "route", "none") ||
            netcheck_is(&e, "route", "foreign")) {
            netcheck_say(s, NETCHECK_BROKEN, e.node,
                         netcheck_is(&e, "route", "foreign")
                             ? "%s has a route to %s that is not the cluster's: by %s"
                             : "%s has no route to %s%s",
                         e.node, netcheck_word(&e, "address"),
                         netcheck_is(&e, "route", "foreign") ? netcheck_word(&e, "dev") : "");
            netcheck_mend(s, "on %s: systemctl restart wherry-agent (it lays its routes again)",
                          e.node);
            return;
        }
        first = first.row == NULL ? e : first;
    }
    if (first.row == NULL) {
        netcheck_unknown(s);
        return;
    }
    netcheck_say(s, NETCHECK_OK, first.node, "%s goes by %s%s%s (%s)",
                 netcheck_word(&first, "address"), netcheck_word(&first, "dev"),
                 netcheck_is(&first, "via", "") ? "" : " via ", netcheck_word(&first, "via"),
                 netcheck_word(&first, "kind"));
}

void netcheck_way_peer(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact silent = netcheck_endpoint_with(f, "answers", "0");
    struct netcheck_fact any = netcheck_endpoint_that_has(f, "answers");

    for (unsigned i = 1; i < f->parts->n; i++) {
        const struct api_part *p = &f->parts->list[i];

        if (p->error[0] != '\0' && netcheck_first(p, "self").row == NULL) {
            netcheck_say(s, NETCHECK_BROKEN, p->node, "node %s does not answer the controller: %s",
                         p->node, p->error);
            netcheck_mend(s, "wherry nodes; on that host: systemctl status wherry-agent");
            return;
        }
    }
    if (silent.row != NULL) {
        netcheck_say(s, NETCHECK_BROKEN, silent.node, "%s hears nothing of node %s", silent.node,
                     netcheck_endpoint_node(f, &silent));
        netcheck_mend(s, "ping between the hosts; wherry doctor %s",
                      netcheck_endpoint_node(f, &silent));
    } else if (any.row != NULL) {
        netcheck_say(s, NETCHECK_OK, any.node, "node %s answers", netcheck_endpoint_node(f, &any));
    } else {
        netcheck_unknown(s);
    }
}

void netcheck_way_tunnel(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e;
    size_t at = 0;

    while (netcheck_next(f->from, &at, "tunnel", &e)) {
        if (netcheck_is(&e, "neighbour", "0") || netcheck_is(&e, "fdb", "0")) {
            netcheck_say(s, NETCHECK_BROKEN, e.node, "%s has no %s for %s on %s", e.node,
                         netcheck_is(&e, "neighbour", "0") ? "neighbour" : "forwarding entry",
                         netcheck_word(&e, "address"), netcheck_word(&e, "dev"));
            netcheck_mend(s, "on %s: systemctl restart wherry-agent (it makes them again)", e.node);
            return;
        }
    }
    e = netcheck_first(f->from, "tunnel");
    if (e.row == NULL) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "no tunnel is needed");
    } else {
        netcheck_say(s, NETCHECK_OK, e.node, "%s knows where %s is", netcheck_word(&e, "dev"),
                     netcheck_word(&e, "address"));
    }
}

void netcheck_way_mtu(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e = {0}, least = {0};
    size_t at = 0;

    while (netcheck_next(f->from, &at, "way", &e)) {
        if (netcheck_number(&e, "mtu") > 0 &&
            (least.row == NULL || netcheck_number(&e, "mtu") < netcheck_number(&least, "mtu"))) {
            least = e;
        }
    }
    if (least.row == NULL) {
        netcheck_unknown(s);
    } else if (netcheck_number(&least, "mtu") < 1280) {
        netcheck_say(s, NETCHECK_BROKEN, least.node, "packets of %llu bytes only fit to %s",
                     netcheck_number(&least, "mtu"), netcheck_word(&least, "address"));
        netcheck_mend(s, "wherry doctor %s", least.node);
    } else {
        netcheck_say(s, NETCHECK_OK, least.node, "packets of %llu bytes fit",
                     netcheck_number(&least, "mtu"));
    }
}

void netcheck_way_rules(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact t = {0};
    bool any = false;

    for (unsigned i = 0; i < f->parts->n; i++) {
        t = netcheck_first(netcheck_part(f, i), "table");
        any |= t.row != NULL;
        if (t.row != NULL && netcheck_is(&t, "there", "0")) {
            netcheck_say(s, NETCHECK_BROKEN, t.node, "node %s has no table %s in nftables", t.node,
                         netcheck_word(&t, "name"));
            netcheck_mend(s, "on %s: systemctl restart wherry-agent (it asserts it again)", t.node);
            return;
        }
    }
    if (!any) {
        netcheck_unknown(s);
        return;
    }
    t = netcheck_first(netcheck_part(f, 0), "table");
    netcheck_say(s, NETCHECK_OK, t.node, "table %s is there on every node of the way",
                 t.row != NULL ? netcheck_word(&t, "name") : "wherry");
}

/* What came of the connections that were tried. */
static void count_connections(const struct netcheck_facts *f, unsigned *ret_tried,
                              unsigned *ret_through)
{
    struct netcheck_fact e;
    size_t at = 0;

    *ret_tried = *ret_through = 0;
    while (netcheck_next(f->from, &at, "connect", &e)) {
        (*ret_tried)++;
        *ret_through += netcheck_is(&e, "result", "connected");
    }
}

/* A prediction: it does not stand against what was tried, and what may be or not is believed only
 * where something failed. */
void netcheck_way_firewall(const struct netcheck_facts *f, struct netcheck_step *s)
{
    unsigned tried, through;
    bool any = false;

    count_connections(f, &tried, &through);
    for (unsigned i = 0; i < f->parts->n; i++) {
        struct netcheck_fact w = netcheck_first(netcheck_part(f, i), "firewall");
        bool doubt = netcheck_is(&w, "state", "warning") && through < tried;

        any |= w.row != NULL;
        if (doubt || (netcheck_is(&w, "state", "problem") && (tried == 0 || through < tried))) {
            netcheck_say(s, NETCHECK_BROKEN, w.node, "on %s %s", w.node, netcheck_word(&w, "text"));
            netcheck_mend(s, "on %s: %s", w.node, netcheck_word(&w, "mend"));
            return;
        }
    }
    if (any) {
        netcheck_say(s, NETCHECK_OK, NULL, "no rule of others drops such packets");
    } else {
        netcheck_unknown(s);
    }
}

void netcheck_way_forwarding(const struct netcheck_facts *f, struct netcheck_step *s)
{
    bool any = false;

    for (unsigned i = 0; i < f->parts->n; i++) {
        struct netcheck_fact w = netcheck_first(netcheck_part(f, i), "forwarding");

        any |= w.row != NULL;
        if (w.row != NULL && netcheck_is(&w, "state", "problem")) {
            netcheck_say(s, NETCHECK_BROKEN, w.node, "on %s forwarding is %s", w.node,
                         netcheck_word(&w, "text"));
            netcheck_mend(s, "on %s: %s", w.node, netcheck_word(&w, "mend"));
            return;
        }
    }
    if (any) {
        netcheck_say(s, NETCHECK_OK, NULL, "on, on every node of the way");
    } else {
        netcheck_unknown(s);
    }
}

void netcheck_way_route_back(const struct netcheck_facts *f, struct netcheck_step *s)
{
    bool any = false;

    for (unsigned i = 1; i < f->parts->n; i++) {
        struct netcheck_fact e = netcheck_first(netcheck_part(f, i), "way");

        any |= e.row != NULL;
        if (e.row != NULL &&
            (netcheck_is(&e, "route", "unreachable") || netcheck_is(&e, "route", "none"))) {
            netcheck_say(s, NETCHECK_BROKEN, e.node, "node %s has no route back to %s", e.node,
                         netcheck_word(&e, "address"));
            netcheck_mend(s, "on %s: systemctl restart wherry-agent (it lays its routes again)",
                          e.node);
            return;
        }
    }
    if (any) {
        netcheck_say(s, NETCHECK_OK, NULL, "answers find their way");
    } else {
        netcheck_unknown(s);
    }
}

void netcheck_way_listens(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e = {0}, good = {0};

    if (f->what->port == 0) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "no port was given: B:PORT");
        return;
    }
    for (unsigned i = 1; i < f->parts->n; i++) {
        e = netcheck_first(netcheck_part(f, i), "listen");
        if (e.row == NULL) {
            continue;
        }
        if (netcheck_is(&e, "on", "none")) {
            netcheck_say(s, NETCHECK_BROKEN, e.node, "nobody in %s listens on port %u%s%s",
                         netcheck_word(&e, "container"), f->what->port,
                         netcheck_is(&e, "others", "") ? "" : ", but on ",
                         netcheck_word(&e, "others"));
            netcheck_mend(s, "wherry logs %s; is it the right port?",
                          netcheck_word(&e, "container"));
            return;
        }
        if (netcheck_is(&e, "on", "loopback")) {
            netcheck_say(s, NETCHECK_BROKEN, e.node,
                         "%s listens on port %u of 127.0.0.1 only, where nobody else can reach it",
                         netcheck_word(&e, "container"), f->what->port);
            netcheck_mend(s, "let the program listen on 0.0.0.0 (its bind or listen address)");
            return;
        }
        good = e;
    }
    if (good.row == NULL) {
        netcheck_unknown(s);
    } else {
        netcheck_say(s, NETCHECK_OK, good.node, "%s does on port %u",
                     netcheck_word(&good, "container"), f->what->port);
    }
}

void netcheck_way_connection(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e, first = {0};
    size_t at = 0;

    while (netcheck_next(f->from, &at, "connect", &e)) {
        first = first.row == NULL ? e : first;
        if (netcheck_is(&e, "result", "connected")) {
            continue;
        }
        if (netcheck_is(&e, "result", "refused") &&
            netcheck_first(f->from, "dropped").row == NULL) {
            netcheck_say(s, NETCHECK_BROKEN, e.node,
                         "%s:%u refuses: packets get there, but nobody listens",
                         netcheck_word(&e, "address"), f->what->port);
            netcheck_mend(s, "let the program listen on port %u", f->what->port);
        } else {
            struct netcheck_fact dropped = netcheck_first(f->from, "dropped");

            netcheck_say(s, NETCHECK_BROKEN, e.node, "%s:%u: %s%s%s", netcheck_word(&e, "address"),
                         f->what->port, netcheck_word(&e, "error"),
                         dropped.row != NULL ? "; dropped meanwhile: " : "",
                         netcheck_word(&dropped, "words"));
            netcheck_mend(s, "wherry doctor %s", e.node);
        }
        return;
    }
    if (first.row == NULL) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "not tried");
    } else {
        netcheck_say(s, NETCHECK_OK, first.node, "%s:%u answers in %s ms",
                     netcheck_word(&first, "address"), f->what->port, netcheck_word(&first, "ms"));
    }
}
