// SPDX-License-Identifier: Apache-2.0
/* From a name to containers that may be reached. */
#include <stdio.h>
#include <string.h>

#include "controller/api/netcheck_priv.h"

void netcheck_name_source(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact self = netcheck_first(f->from, "self");

    if (f->from == NULL) {
        netcheck_say(s, NETCHECK_BROKEN, NULL, "%s runs nowhere", f->what->from);
        netcheck_mend(s, "wherry status");
    } else if (self.row == NULL) {
        netcheck_say(s, NETCHECK_BROKEN, f->from->node, "node %s does not answer: %s",
                     f->from->node, f->from->error);
        netcheck_mend(s, "wherry nodes; on that host: systemctl status wherry-agent");
    } else if (!netcheck_is(&self, "state", "running")) {
        netcheck_say(s, NETCHECK_BROKEN, self.node, "%s is %s", f->what->from,
                     netcheck_word(&self, "state"));
        netcheck_mend(s, "wherry status");
    } else if (netcheck_is(&self, "address", "")) {
        netcheck_say(s, NETCHECK_BROKEN, self.node, "%s has no address: it is on no network",
                     f->what->from);
        netcheck_mend(s, "give its service `networks:` in the Compose file, without network_mode");
    } else {
        netcheck_say(s, NETCHECK_OK, self.node, "%s on %s has %s", f->what->from, self.node,
                     netcheck_word(&self, "address"));
    }
}

/* What the node's name server answers A; by the way the question goes, if it was tried. */
void netcheck_name_name(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact n = netcheck_first(f->from, "name");
    struct netcheck_fact asked = netcheck_first(f->from, "dns");

    if (n.row == NULL && asked.row == NULL) {
        netcheck_unknown(s);
    } else if (netcheck_is(&n, "state", "none") && !netcheck_is(&asked, "state", "answered")) {
        netcheck_say(s, NETCHECK_BROKEN, n.node,
                     "no service on a network of %s has the name %s%s%s", f->what->from,
                     f->what->to, netcheck_has(&n, "hint") ? ": " : "", netcheck_word(&n, "hint"));
        netcheck_mend(s, "%s",
                      netcheck_has(&n, "mend") ? netcheck_word(&n, "mend")
                                               : "wherry status; is the name right?");
    } else if (netcheck_is(&n, "state", "world") && asked.row != NULL &&
               netcheck_is(&asked, "addresses", "")) {
        netcheck_say(
            s, NETCHECK_BROKEN, asked.node, "%s is no name of the cluster, and %s", f->what->to,
            netcheck_is(&asked, "state", "silent") ? "the host's resolvers do not answer"
                                                   : "the host's resolvers know no address of it");
        netcheck_mend(s, "wherry doctor %s; /etc/resolv.conf on that host", asked.node);
    } else if (netcheck_is(&asked, "state", "silent")) {
        netcheck_say(s, NETCHECK_BROKEN, asked.node,
                     "the name server 169.254.1.1 does not answer %s", f->what->from);
        netcheck_mend(s, "wherry doctor %s", asked.node);
    } else if (netcheck_is(&n, "state", "address")) {
        netcheck_say(s, NETCHECK_SKIPPED, n.node, "%s is an address", f->what->to);
    } else if (netcheck_is(&n, "addresses", "") && netcheck_is(&asked, "addresses", "")) {
        netcheck_say(s, NETCHECK_BROKEN, netcheck_node(f), "%s has no address now%s", f->what->to,
                     netcheck_has(&n, "hint") ? "" : ": no container of it is ready");
        netcheck_mend(s, "wherry status");
    } else {
        netcheck_say(s, NETCHECK_OK, netcheck_node(f), "%s is %s", f->what->to,
                     netcheck_is(&asked, "addresses", "") ? netcheck_word(&n, "addresses")
                                                          : netcheck_word(&asked, "addresses"));
    }
}

void netcheck_name_backend(const struct netcheck_facts *f, struct netcheck_step *s)
{
    unsigned n = 0, ready = 0, draining = 0;
    struct netcheck_fact e = {0};
    char nodes[200] = "";
    size_t at = 0;

    while (netcheck_next(f->from, &at, "endpoint", &e)) {
        size_t len = strlen(nodes);

        n++;
        ready += netcheck_is(&e, "ready", "1") && !netcheck_is(&e, "draining", "1");
        draining += netcheck_is(&e, "draining", "1");
        if (netcheck_is(&e, "ready", "1") && len < sizeof(nodes) / 2) {
            (void)snprintf(nodes + len, sizeof(nodes) - len, "%s%.60s at %.20s",
                           len > 0 ? ", " : "", netcheck_word(&e, "container"),
                           netcheck_word(&e, "address"));
        }
    }
    if (n == 0) {
        struct netcheck_fact service = netcheck_first(f->from, "service");

        if (service.row == NULL) {
            netcheck_unknown(s);
        } else {
            netcheck_say(s, NETCHECK_BROKEN, netcheck_node(f), "%s has no container",
                         netcheck_word(&service, "name"));
            netcheck_mend(s, "wherry status");
        }
        return;
    }
    if (ready == 0) {
        netcheck_say(s, NETCHECK_BROKEN, netcheck_node(f), "none of its %u containers is ready%s",
                     n, draining > 0 ? " (some are ending)" : "");
        netcheck_mend(s, "wherry ps; wherry logs STACK/SERVICE");
        return;
    }
    netcheck_say(s, NETCHECK_OK, netcheck_node(f), "%u of %u ready: %s", ready, n, nodes);
}

void netcheck_name_vip(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact v = netcheck_first(f->from, "vip");

    if (v.row == NULL) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "no virtual address");
    } else if (!netcheck_has(&v, "kernel")) {
        netcheck_say(s, NETCHECK_SKIPPED, v.node, "%s: what the kernel has is not known",
                     netcheck_word(&v, "address"));
    } else if (netcheck_number(&v, "kernel") == 0) {
        netcheck_say(s, NETCHECK_BROKEN, v.node,
                     "the kernel of %s does not know the virtual address %s", v.node,
                     netcheck_word(&v, "address"));
        netcheck_mend(s, "on %s: systemctl restart wherry-agent (containers go on)", v.node);
    } else {
        netcheck_say(s, NETCHECK_OK, v.node, "%s leads to %llu container%s",
                     netcheck_word(&v, "address"), netcheck_number(&v, "kernel"),
                     netcheck_number(&v, "kernel") == 1 ? "" : "s");
    }
}

void netcheck_name_target(const struct netcheck_facts *f, struct netcheck_step *s)
{
    unsigned n = 0;

    for (unsigned i = 1; i < f->parts->n; i++) {
        struct netcheck_fact self = netcheck_first(netcheck_part(f, i), "self");

        n += self.row != NULL;
        if (self.row != NULL && !netcheck_is(&self, "state", "running")) {
            netcheck_say(s, NETCHECK_BROKEN, self.node, "%s is %s",
                         netcheck_word(&self, "container"), netcheck_word(&self, "state"));
            netcheck_mend(s, "wherry status; wherry logs %s", netcheck_word(&self, "container"));
            return;
        }
    }
    if (n == 0) {
        netcheck_unknown(s);
    } else {
        netcheck_say(s, NETCHECK_OK, NULL, "%u container%s looked at run%s", n, n == 1 ? "" : "s",
                     n == 1 ? "s" : "");
    }
}

/* "web" of "shop/web.1" */
static void service_of(const char *container, char *ret, size_t size)
{
    const char *dot = strrchr(container, '.');

    (void)snprintf(ret, size, "%.*s", dot != NULL ? (int)(dot - container) : (int)strlen(container),
                   container);
}

/* A target that the kernel does not let A talk to. */
static struct netcheck_fact kept_back(const struct netcheck_facts *f)
{
    struct netcheck_fact e;
    size_t at = 0;

    while (netcheck_next(f->from, &at, "reach", &e) && !netcheck_is(&e, "there", "0")) {
    }
    return e;
}

void netcheck_name_network(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact any = netcheck_endpoint_that_has(f, "shared");
    struct netcheck_fact none = netcheck_endpoint_with(f, "shared", "");
    struct netcheck_fact kept = kept_back(f);

    if (netcheck_first(f->from, "egress").row != NULL) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "it is not in the cluster");
    } else if (none.row != NULL) {
        char service[NETCHECK_TEXT / 2];

        service_of(netcheck_word(&none, "container"), service, sizeof(service));
        netcheck_say(s, NETCHECK_BROKEN, none.node, "%s and %s share no network", f->what->from,
                     service);
        netcheck_mend(
            s, "give both services one network in `networks:` (between stacks: an external one)");
    } else if (kept.row != NULL) {
        netcheck_say(s, NETCHECK_BROKEN, kept.node, "%s does not let %s reach %s%s%s", kept.node,
                     f->what->from, netcheck_word(&kept, "address"),
                     any.row != NULL ? ", though they share " : ": they share no network",
                     netcheck_word(&any, "shared"));
        netcheck_mend(
            s,
            any.row != NULL
                ? "on %s: systemctl restart wherry-agent (containers go on)"
                : "give both services one network in `networks:` (%s does not know of one)",
            kept.node);
    } else if (any.row != NULL) {
        netcheck_say(s, NETCHECK_OK, any.node, "both are on %s", netcheck_word(&any, "shared"));
    } else if (netcheck_first(f->from, "reach").row != NULL) {
        netcheck_say(s, NETCHECK_OK, netcheck_node(f), "%s may reach it", f->what->from);
    } else {
        netcheck_unknown(s);
    }
}

void netcheck_name_egress(const struct netcheck_facts *f, struct netcheck_step *s)
{
    struct netcheck_fact e = netcheck_first(f->from, "egress");

    if (e.row == NULL) {
        netcheck_say(s, NETCHECK_SKIPPED, NULL, "it is in the cluster");
    } else if (netcheck_is(&e, "allowed", "0")) {
        netcheck_say(s, NETCHECK_BROKEN, e.node, "%s may not leave the cluster: %s", f->what->from,
                     netcheck_word(&e, "why"));
        netcheck_mend(s, "x-wherry.egress of its service, or a network that is not internal");
    } else if (netcheck_is(&e, "allowed", "")) {
        netcheck_say(s, NETCHECK_SKIPPED, e.node, "%s", netcheck_word(&e, "why"));
    } else {
        netcheck_say(s, NETCHECK_OK, e.node, "%s may leave the cluster", f->what->from);
    }
}
