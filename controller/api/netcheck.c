// SPDX-License-Identifier: Apache-2.0
#include "controller/api/netcheck.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"

/* One row of an answer. */
struct fact {
    const void *row; /* NULL: nobody told */
    size_t len;
    const char *node;
};

struct facts {
    const struct api_gather *what;
    const struct api_part *from;   /* of A's node; NULL: it was not asked */
    const struct api_parts *parts; /* from the second one on of B's containers */
};

/* ---- reading facts ---- */

/* The next row of this kind of a part. */
static bool next_fact(const struct api_part *part, size_t *at, const char *kind, struct fact *ret)
{
    while (part != NULL && askrow_take(part->rows.data, part->rows.len, at, &ret->row, &ret->len)) {
        if (strcmp(askrow_text(ret->row, ret->len, "fact"), kind) == 0) {
            ret->node = part->node;
            return true;
        }
    }
    *ret = (struct fact){0};
    return false;
}

static struct fact first_fact(const struct api_part *part, const char *kind)
{
    struct fact f;
    size_t at = 0;

    (void)next_fact(part, &at, kind, &f);
    return f;
}

static const char *word(const struct fact *f, const char *key)
{
    return askrow_text(f->row, f->len, key);
}

static bool has(const struct fact *f, const char *key)
{
    return askrow_get(f->row, f->len, key) != NULL;
}

static bool is(const struct fact *f, const char *key, const char *value)
{
    return strcmp(word(f, key), value) == 0;
}

static unsigned long long number(const struct fact *f, const char *key)
{
    return askrow_number(f->row, f->len, key);
}

/* ---- saying ---- */

__attribute__((format(printf, 4, 5))) static void
say(struct netcheck_step *s, enum netcheck_state state, const char *node, const char *fmt, ...)
{
    va_list ap;

    s->state = state;
    s->node = node != NULL ? node : "";
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof(s->text), fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void mend(struct netcheck_step *s, const char *fmt,
                                                       ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(s->mend, sizeof(s->mend), fmt, ap);
    va_end(ap);
}

static void unknown(struct netcheck_step *s)
{
    say(s, NETCHECK_SKIPPED, NULL, "not known");
}

static const char *node_of(const struct facts *f)
{
    return f->from != NULL ? f->from->node : "";
}

/* "web" of "shop/web.1" */
static void service_of(const char *container, char *ret, size_t size)
{
    const char *dot = strrchr(container, '.');

    (void)snprintf(ret, size, "%.*s", dot != NULL ? (int)(dot - container) : (int)strlen(container),
                   container);
}

/* ---- the hops ---- */

static void source(const struct facts *f, struct netcheck_step *s)
{
    struct fact self = first_fact(f->from, "self");

    if (f->from == NULL) {
        say(s, NETCHECK_BROKEN, NULL, "%s runs nowhere", f->what->from);
        mend(s, "wherry status");
    } else if (self.row == NULL) {
        say(s, NETCHECK_BROKEN, f->from->node, "node %s does not answer: %s", f->from->node,
            f->from->error);
        mend(s, "wherry nodes; on that host: systemctl status wherry-agent");
    } else if (!is(&self, "state", "running")) {
        say(s, NETCHECK_BROKEN, self.node, "%s is %s", f->what->from, word(&self, "state"));
        mend(s, "wherry status");
    } else if (is(&self, "address", "")) {
        say(s, NETCHECK_BROKEN, self.node, "%s has no address: it is on no network", f->what->from);
        mend(s, "give its service `networks:` in the Compose file, without network_mode");
    } else {
        say(s, NETCHECK_OK, self.node, "%s on %s has %s", f->what->from, self.node,
            word(&self, "address"));
    }
}

/* What the node's name server answers A; by the way the question goes, if it was tried. */
static void name(const struct facts *f, struct netcheck_step *s)
{
    struct fact n = first_fact(f->from, "name");
    struct fact asked = first_fact(f->from, "dns");

    if (n.row == NULL && asked.row == NULL) {
        unknown(s);
    } else if (is(&asked, "state", "silent")) {
        say(s, NETCHECK_BROKEN, asked.node, "the name server 169.254.1.1 does not answer %s",
            f->what->from);
        mend(s, "wherry doctor %s", asked.node);
    } else if (is(&n, "state", "address")) {
        say(s, NETCHECK_SKIPPED, n.node, "%s is an address", f->what->to);
    } else if (is(&n, "state", "none") && !is(&asked, "state", "answered")) {
        say(s, NETCHECK_BROKEN, n.node, "no service on a network of %s has the name %s%s%s",
            f->what->from, f->what->to, has(&n, "hint") ? ": " : "", word(&n, "hint"));
        mend(s, "%s", has(&n, "mend") ? word(&n, "mend") : "wherry status; is the name right?");
    } else if (is(&n, "addresses", "") && is(&asked, "addresses", "")) {
        say(s, NETCHECK_BROKEN, node_of(f), "%s has no address now%s", f->what->to,
            has(&n, "hint") ? "" : ": no container of it is ready");
        mend(s, "wherry status");
    } else {
        say(s, NETCHECK_OK, node_of(f), "%s is %s", f->what->to,
            is(&asked, "addresses", "") ? word(&n, "addresses") : word(&asked, "addresses"));
    }
}

static void backend(const struct facts *f, struct netcheck_step *s)
{
    unsigned n = 0, ready = 0, draining = 0;
    struct fact e = {0};
    char nodes[200] = "";
    size_t at = 0;

    while (next_fact(f->from, &at, "endpoint", &e)) {
        size_t len = strlen(nodes);

        n++;
        ready += is(&e, "ready", "1") && !is(&e, "draining", "1");
        draining += is(&e, "draining", "1");
        if (is(&e, "ready", "1") && len < sizeof(nodes) / 2) {
            (void)snprintf(nodes + len, sizeof(nodes) - len, "%s%.60s at %.20s",
                           len > 0 ? ", " : "", word(&e, "container"), word(&e, "address"));
        }
    }
    if (n == 0) {
        struct fact service = first_fact(f->from, "service");

        if (service.row == NULL) {
            unknown(s);
        } else {
            say(s, NETCHECK_BROKEN, node_of(f), "%s has no container", word(&service, "name"));
            mend(s, "wherry status");
        }
        return;
    }
    if (ready == 0) {
        say(s, NETCHECK_BROKEN, node_of(f), "none of its %u containers is ready%s", n,
            draining > 0 ? " (some are ending)" : "");
        mend(s, "wherry ps; wherry logs STACK/SERVICE");
        return;
    }
    say(s, NETCHECK_OK, node_of(f), "%u of %u ready: %s", ready, n, nodes);
}

static void vip(const struct facts *f, struct netcheck_step *s)
{
    struct fact v = first_fact(f->from, "vip");

    if (v.row == NULL) {
        say(s, NETCHECK_SKIPPED, NULL, "no virtual address");
    } else if (!has(&v, "kernel")) {
        say(s, NETCHECK_SKIPPED, v.node, "%s: what the kernel has is not known",
            word(&v, "address"));
    } else if (number(&v, "kernel") == 0) {
        say(s, NETCHECK_BROKEN, v.node, "the kernel of %s does not know the virtual address %s",
            v.node, word(&v, "address"));
        mend(s, "on %s: systemctl restart wherry-agent (containers go on)", v.node);
    } else {
        say(s, NETCHECK_OK, v.node, "%s leads to %llu container%s", word(&v, "address"),
            number(&v, "kernel"), number(&v, "kernel") == 1 ? "" : "s");
    }
}

/* The first endpoint for which a field has this value, among those that are ready. */
static struct fact endpoint_with(const struct facts *f, const char *key, const char *value)
{
    struct fact e;
    size_t at = 0;

    while (next_fact(f->from, &at, "endpoint", &e)) {
        if (is(&e, "ready", "1") && has(&e, key) && is(&e, key, value)) {
            return e;
        }
    }
    return e;
}

static struct fact endpoint_that_has(const struct facts *f, const char *key)
{
    struct fact e;
    size_t at = 0;

    while (next_fact(f->from, &at, "endpoint", &e)) {
        if (has(&e, key)) {
            return e;
        }
    }
    return e;
}

/* A target that the kernel does not let A talk to. */
static struct fact kept_back(const struct facts *f)
{
    struct fact e;
    size_t at = 0;

    while (next_fact(f->from, &at, "reach", &e) && !is(&e, "there", "0")) {
    }
    return e;
}

static void network(const struct facts *f, struct netcheck_step *s)
{
    struct fact any = endpoint_that_has(f, "shared");
    struct fact none = endpoint_with(f, "shared", "");
    struct fact kept = kept_back(f);

    if (first_fact(f->from, "egress").row != NULL) {
        say(s, NETCHECK_SKIPPED, NULL, "it is not in the cluster");
    } else if (none.row != NULL) {
        char service[NETCHECK_TEXT / 2];

        service_of(word(&none, "container"), service, sizeof(service));
        say(s, NETCHECK_BROKEN, none.node, "%s and %s share no network", f->what->from, service);
        mend(s, "give both services one network in `networks:` (between stacks: an external one)");
    } else if (kept.row != NULL) {
        say(s, NETCHECK_BROKEN, kept.node, "%s does not let %s reach %s%s%s", kept.node,
            f->what->from, word(&kept, "address"),
            any.row != NULL ? ", though they share " : ": they share no network",
            word(&any, "shared"));
        mend(s,
             any.row != NULL
                 ? "on %s: systemctl restart wherry-agent (containers go on)"
                 : "give both services one network in `networks:` (%s does not know of one)",
             kept.node);
    } else if (any.row != NULL) {
        say(s, NETCHECK_OK, any.node, "both are on %s", word(&any, "shared"));
    } else if (first_fact(f->from, "reach").row != NULL) {
        say(s, NETCHECK_OK, node_of(f), "%s may reach it", f->what->from);
    } else {
        unknown(s);
    }
}

static void egress(const struct facts *f, struct netcheck_step *s)
{
    struct fact e = first_fact(f->from, "egress");

    if (e.row == NULL) {
        say(s, NETCHECK_SKIPPED, NULL, "it is in the cluster");
    } else if (is(&e, "allowed", "0")) {
        say(s, NETCHECK_BROKEN, e.node, "%s may not leave the cluster: %s", f->what->from,
            word(&e, "why"));
        mend(s, "x-wherry.egress of its service, or a network that is not internal");
    } else {
        say(s, NETCHECK_OK, e.node, "%s may leave the cluster", f->what->from);
    }
}

static void route(const struct facts *f, struct netcheck_step *s)
{
    struct fact e = {0}, first = {0};
    size_t at = 0;

    while (next_fact(f->from, &at, "way", &e)) {
        if (is(&e, "route", "unreachable") || is(&e, "route", "none") ||
            is(&e, "route", "foreign")) {
            say(s, NETCHECK_BROKEN, e.node,
                is(&e, "route", "foreign") ? "%s has a route to %s that is not the cluster's: by %s"
                                           : "%s has no route to %s%s",
                e.node, word(&e, "address"), is(&e, "route", "foreign") ? word(&e, "dev") : "");
            mend(s, "on %s: systemctl restart wherry-agent (it lays its routes again)", e.node);
            return;
        }
        first = first.row == NULL ? e : first;
    }
    if (first.row == NULL) {
        unknown(s);
        return;
    }
    say(s, NETCHECK_OK, first.node, "%s goes by %s%s%s (%s)", word(&first, "address"),
        word(&first, "dev"), is(&first, "via", "") ? "" : " via ", word(&first, "via"),
        word(&first, "kind"));
}

static void peer(const struct facts *f, struct netcheck_step *s)
{
    struct fact silent = endpoint_with(f, "answers", "0");
    struct fact any = endpoint_that_has(f, "answers");

    for (unsigned i = 1; i < f->parts->n; i++) {
        const struct api_part *p = &f->parts->list[i];

        if (p->error[0] != '\0' && first_fact(p, "self").row == NULL) {
            say(s, NETCHECK_BROKEN, p->node, "node %s does not answer the controller: %s", p->node,
                p->error);
            mend(s, "wherry nodes; on that host: systemctl status wherry-agent");
            return;
        }
    }
    if (silent.row != NULL) {
        say(s, NETCHECK_BROKEN, silent.node, "%s hears nothing of node %s", silent.node,
            word(&silent, "node"));
        mend(s, "ping between the hosts; wherry doctor %s", word(&silent, "node"));
    } else if (any.row != NULL) {
        say(s, NETCHECK_OK, any.node, "node %s answers", word(&any, "node"));
    } else {
        unknown(s);
    }
}

static void tunnel(const struct facts *f, struct netcheck_step *s)
{
    struct fact e;
    size_t at = 0;

    while (next_fact(f->from, &at, "tunnel", &e)) {
        if (is(&e, "neighbour", "0") || is(&e, "fdb", "0")) {
            say(s, NETCHECK_BROKEN, e.node, "%s has no %s for %s on %s", e.node,
                is(&e, "neighbour", "0") ? "neighbour" : "forwarding entry", word(&e, "address"),
                word(&e, "dev"));
            mend(s, "on %s: systemctl restart wherry-agent (it makes them again)", e.node);
            return;
        }
    }
    e = first_fact(f->from, "tunnel");
    if (e.row == NULL) {
        say(s, NETCHECK_SKIPPED, NULL, "no tunnel is needed");
    } else {
        say(s, NETCHECK_OK, e.node, "%s knows where %s is", word(&e, "dev"), word(&e, "address"));
    }
}

static void mtu(const struct facts *f, struct netcheck_step *s)
{
    struct fact e = {0}, least = {0};
    size_t at = 0;

    while (next_fact(f->from, &at, "way", &e)) {
        if (number(&e, "mtu") > 0 &&
            (least.row == NULL || number(&e, "mtu") < number(&least, "mtu"))) {
            least = e;
        }
    }
    if (least.row == NULL) {
        unknown(s);
    } else if (number(&least, "mtu") < 1280) {
        say(s, NETCHECK_BROKEN, least.node, "packets of %llu bytes only fit to %s",
            number(&least, "mtu"), word(&least, "address"));
        mend(s, "wherry doctor %s", least.node);
    } else {
        say(s, NETCHECK_OK, least.node, "packets of %llu bytes fit", number(&least, "mtu"));
    }
}

/* Both sides' rules: of ours, and of others. */
static const struct api_part *part_at(const struct facts *f, unsigned i)
{
    return i < f->parts->n ? &f->parts->list[i] : NULL;
}

static void rules(const struct facts *f, struct netcheck_step *s)
{
    struct fact t = {0};
    bool any = false;

    for (unsigned i = 0; i < f->parts->n; i++) {
        t = first_fact(part_at(f, i), "table");
        any |= t.row != NULL;
        if (t.row != NULL && is(&t, "there", "0")) {
            say(s, NETCHECK_BROKEN, t.node, "node %s has no table %s in nftables", t.node,
                word(&t, "name"));
            mend(s, "on %s: systemctl restart wherry-agent (it asserts it again)", t.node);
            return;
        }
    }
    if (!any) {
        unknown(s);
        return;
    }
    t = first_fact(part_at(f, 0), "table");
    say(s, NETCHECK_OK, t.node, "table %s is there on every node of the way",
        t.row != NULL ? word(&t, "name") : "wherry");
}

/* What was tried has got through, all of it. */
static bool connects(const struct facts *f)
{
    struct fact e;
    size_t at = 0;
    unsigned n = 0;

    while (next_fact(f->from, &at, "connect", &e)) {
        if (!is(&e, "result", "connected")) {
            return false;
        }
        n++;
    }
    return n > 0;
}

static void firewall(const struct facts *f, struct netcheck_step *s)
{
    struct fact w = {0};
    bool any = false;

    for (unsigned i = 0; i < f->parts->n; i++) {
        w = first_fact(part_at(f, i), "firewall");
        any |= w.row != NULL;
        if (w.row != NULL && is(&w, "state", "problem") && !connects(f)) {
            say(s, NETCHECK_BROKEN, w.node, "on %s %s", w.node, word(&w, "text"));
            mend(s, "on %s: %s", w.node, word(&w, "mend"));
            return;
        }
    }
    if (any) {
        say(s, NETCHECK_OK, NULL, "no rule of others drops such packets");
    } else {
        unknown(s);
    }
}

static void forwarding(const struct facts *f, struct netcheck_step *s)
{
    bool any = false;

    for (unsigned i = 0; i < f->parts->n; i++) {
        struct fact w = first_fact(part_at(f, i), "forwarding");

        any |= w.row != NULL;
        if (w.row != NULL && is(&w, "state", "problem")) {
            say(s, NETCHECK_BROKEN, w.node, "on %s forwarding is %s", w.node, word(&w, "text"));
            mend(s, "on %s: %s", w.node, word(&w, "mend"));
            return;
        }
    }
    if (any) {
        say(s, NETCHECK_OK, NULL, "on, on every node of the way");
    } else {
        unknown(s);
    }
}

static void route_back(const struct facts *f, struct netcheck_step *s)
{
    bool any = false;

    for (unsigned i = 1; i < f->parts->n; i++) {
        struct fact e = first_fact(part_at(f, i), "way");

        any |= e.row != NULL;
        if (e.row != NULL && (is(&e, "route", "unreachable") || is(&e, "route", "none"))) {
            say(s, NETCHECK_BROKEN, e.node, "node %s has no route back to %s", e.node,
                word(&e, "address"));
            mend(s, "on %s: systemctl restart wherry-agent (it lays its routes again)", e.node);
            return;
        }
    }
    if (any) {
        say(s, NETCHECK_OK, NULL, "answers find their way");
    } else {
        unknown(s);
    }
}

static void target(const struct facts *f, struct netcheck_step *s)
{
    unsigned n = 0;

    for (unsigned i = 1; i < f->parts->n; i++) {
        struct fact self = first_fact(part_at(f, i), "self");

        n += self.row != NULL;
        if (self.row != NULL && !is(&self, "state", "running")) {
            say(s, NETCHECK_BROKEN, self.node, "%s is %s", word(&self, "container"),
                word(&self, "state"));
            mend(s, "wherry status; wherry logs %s", word(&self, "container"));
            return;
        }
    }
    if (n == 0) {
        unknown(s);
    } else {
        say(s, NETCHECK_OK, NULL, "%u container%s looked at run%s", n, n == 1 ? "" : "s",
            n == 1 ? "s" : "");
    }
}

static void listens(const struct facts *f, struct netcheck_step *s)
{
    struct fact e = {0}, good = {0};

    if (f->what->port == 0) {
        say(s, NETCHECK_SKIPPED, NULL, "no port was given: B:PORT");
        return;
    }
    for (unsigned i = 1; i < f->parts->n; i++) {
        e = first_fact(part_at(f, i), "listen");
        if (e.row == NULL) {
            continue;
        }
        if (is(&e, "on", "none")) {
            say(s, NETCHECK_BROKEN, e.node, "nobody in %s listens on port %u%s%s",
                word(&e, "container"), f->what->port, is(&e, "others", "") ? "" : ", but on ",
                word(&e, "others"));
            mend(s, "wherry logs %s; is it the right port?", word(&e, "container"));
            return;
        }
        if (is(&e, "on", "loopback")) {
            say(s, NETCHECK_BROKEN, e.node,
                "%s listens on port %u of 127.0.0.1 only, where nobody else can reach it",
                word(&e, "container"), f->what->port);
            mend(s, "let the program listen on 0.0.0.0 (its bind or listen address)");
            return;
        }
        good = e;
    }
    if (good.row == NULL) {
        unknown(s);
    } else {
        say(s, NETCHECK_OK, good.node, "%s does on port %u", word(&good, "container"),
            f->what->port);
    }
}

static void connection(const struct facts *f, struct netcheck_step *s)
{
    struct fact e, first = {0};
    size_t at = 0;

    while (next_fact(f->from, &at, "connect", &e)) {
        first = first.row == NULL ? e : first;
        if (is(&e, "result", "connected")) {
            continue;
        }
        if (is(&e, "result", "refused")) {
            say(s, NETCHECK_BROKEN, e.node, "%s:%u refuses: packets get there, but nobody listens",
                word(&e, "address"), f->what->port);
            mend(s, "let the program listen on port %u", f->what->port);
        } else {
            struct fact dropped = first_fact(f->from, "dropped");

            say(s, NETCHECK_BROKEN, e.node, "%s:%u: %s%s%s", word(&e, "address"), f->what->port,
                word(&e, "error"), dropped.row != NULL ? "; dropped meanwhile: " : "",
                word(&dropped, "words"));
            mend(s, "wherry doctor %s", e.node);
        }
        return;
    }
    if (first.row == NULL) {
        say(s, NETCHECK_SKIPPED, NULL, "not tried");
    } else {
        say(s, NETCHECK_OK, first.node, "%s:%u answers in %s ms", word(&first, "address"),
            f->what->port, word(&first, "ms"));
    }
}

static const struct row {
    const char *id;
    const char *what;
    void (*judge)(const struct facts *f, struct netcheck_step *s);
} rows[] = {
    {"source", "it runs", source},
    {"name", "name", name},
    {"backend", "containers behind it", backend},
    {"vip", "virtual address", vip},
    {"target", "they run", target},
    {"network", "a network in common", network},
    {"egress", "leaving the cluster", egress},
    {"route", "route there", route},
    {"peer", "other node", peer},
    {"tunnel", "tunnel", tunnel},
    {"forwarding", "forwarding", forwarding},
    {"rules", "own rules", rules},
    {"firewall", "rules of others", firewall},
    {"mtu", "packet size", mtu},
    {"route_back", "route back", route_back},
    {"listens", "somebody listens", listens},
    {"connect", "a connection", connection},
};
static_assert(ARRAY_LEN(rows) <= NETCHECK_STEPS_MAX, "the caller has room");

unsigned netcheck_judge(const struct api_gather *what, const struct api_parts *parts,
                        struct netcheck_step ret[NETCHECK_STEPS_MAX])
{
    struct facts f = {.what = what, .parts = parts, .from = parts->n > 0 ? &parts->list[0] : NULL};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ret[i] = (struct netcheck_step){.id = rows[i].id, .what = rows[i].what, .node = ""};
        rows[i].judge(&f, &ret[i]);
    }
    return ARRAY_LEN(rows);
}

const struct netcheck_step *netcheck_broken(const struct netcheck_step *steps, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (steps[i].state == NETCHECK_BROKEN) {
            return &steps[i];
        }
    }
    return NULL;
}

bool netcheck_reaches(const struct netcheck_step *steps, unsigned n)
{
    return n > 0 && steps[n - 1].state == NETCHECK_OK; /* the last row is the connection */
}

const char *netcheck_state_name(enum netcheck_state state)
{
    static const char *const names[] = {"skipped", "ok", "broken"};

    return names[state];
}
