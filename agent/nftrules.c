// SPDX-License-Identifier: Apache-2.0
#include "agent/nftrules.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define DEPTH_MAX 16u /* as the kernel's, NFT_JUMP_STACK_SIZE */

struct nftrules {
    json_t *root;
    const json_t *list;
};

int nftrules_parse(const char *json, size_t len, struct nftrules **ret, struct err *e)
{
    json_error_t error;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
    const json_t *list = json_object_get(root, "nftables");
    struct nftrules *r;

    if (!json_is_array(list)) {
        json_decref(root);
        return err_say(e, EBADMSG, "what nft prints is no ruleset: %s",
                       root == NULL ? error.text : "nftables is missing");
    }
    r = xcalloc(1, sizeof(*r));
    r->root = root;
    r->list = list;
    *ret = r;
    return 0;
}

void nftrules_destroy(struct nftrules *r)
{
    if (r != NULL) {
        json_decref(r->root);
        free(r);
    }
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static bool is_of(const json_t *object, const char *key, const char *value)
{
    return strcmp(text(object, key), value) == 0;
}

/* ---- whether a match holds ---- */

enum truth { NO, PERHAPS, YES };

static enum truth negate(enum truth t)
{
    return t == YES ? NO : t == NO ? YES : PERHAPS;
}

static enum truth both(enum truth a, enum truth b)
{
    return a < b ? a : b;
}

static enum truth either(enum truth a, enum truth b)
{
    return a > b ? a : b;
}

static uint32_t mask_of(unsigned prefix)
{
    return prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);
}

static bool read_address(const json_t *value, uint32_t *ret)
{
    struct in_addr in;
    const char *s = json_string_value(value);

    if (s == NULL || inet_pton(AF_INET, s, &in) != 1) {
        return false;
    }
    *ret = ntohl(in.s_addr);
    return true;
}

/* The addresses from `first` to `last` against those of the packet. */
static enum truth within(uint32_t first, uint32_t last, uint32_t net, unsigned prefix)
{
    uint32_t end = net | ~mask_of(prefix);

    if (first > end || last < net) {
        return NO;
    }
    if (first <= net && last >= end) {
        return YES;
    }
    return prefix == 0 ? NO : PERHAPS; /* of the whole world a part is not the typical one */
}

static enum truth address_is(const json_t *right, uint32_t net, unsigned prefix)
{
    const json_t *p = json_object_get(right, "prefix");
    const json_t *range = json_object_get(right, "range");
    uint32_t first, last;

    if (read_address(right, &first)) {
        return within(first, first, net, prefix);
    }
    if (p != NULL && read_address(json_object_get(p, "addr"), &first)) {
        json_int_t len = json_integer_value(json_object_get(p, "len"));

        len = len < 0 || len > 32 ? 32 : len;
        return within(first, first | ~mask_of((unsigned)len), net, prefix);
    }
    if (range != NULL && read_address(json_array_get(range, 0), &first) &&
        read_address(json_array_get(range, 1), &last)) {
        return within(first, last, net, prefix);
    }
    return PERHAPS;
}

static enum truth port_is(const json_t *right, uint16_t port)
{
    const json_t *range = json_object_get(right, "range");

    if (json_is_integer(right)) {
        return json_integer_value(right) == port ? YES : NO;
    }
    if (range != NULL) {
        return port >= json_integer_value(json_array_get(range, 0)) &&
                       port <= json_integer_value(json_array_get(range, 1))
                   ? YES
                   : NO;
    }
    return PERHAPS;
}

/* Names may end with '*' on both sides. */
static bool may_be(const char *a, const char *b)
{
    size_t na = strcspn(a, "*"), nb = strcspn(b, "*");

    if (a[na] == '*' || b[nb] == '*') {
        size_t n = a[na] == '*' ? na : nb;

        n = a[na] == '*' && b[nb] == '*' && nb < n ? nb : n;
        return strncmp(a, b, n) == 0;
    }
    return strcmp(a, b) == 0;
}

static enum truth link_is(const struct nftrules_packet *p, const json_t *right)
{
    const char *name = json_string_value(right);

    if (p->links == NULL || name == NULL) {
        return PERHAPS;
    }
    for (unsigned i = 0; i < p->n_links; i++) {
        if (may_be(name, p->links[i])) {
            return PERHAPS;
        }
    }
    return NO;
}

static enum truth word_is(const json_t *right, const char *word)
{
    const char *s = json_string_value(right);

    return s == NULL ? PERHAPS : strcmp(s, word) == 0 ? YES : NO;
}

/* One value of the right side. */
static enum truth value_is(const struct nftrules_packet *p, const json_t *left, const json_t *right)
{
    const json_t *payload = json_object_get(left, "payload");
    const json_t *meta = json_object_get(left, "meta");

    if (payload != NULL && is_of(payload, "field", "saddr")) {
        return is_of(payload, "protocol", "ip") ? address_is(right, p->saddr, p->saddr_prefix) : NO;
    }
    if (payload != NULL && is_of(payload, "field", "daddr")) {
        return is_of(payload, "protocol", "ip") ? address_is(right, p->daddr, p->daddr_prefix) : NO;
    }
    if (payload != NULL && is_of(payload, "field", "dport")) {
        bool other = is_of(payload, "protocol", p->udp ? "tcp" : "udp");

        return other || p->dport == 0 ? NO : port_is(right, p->dport);
    }
    if (payload != NULL && is_of(payload, "field", "protocol")) {
        return word_is(right, p->udp ? "udp" : "tcp");
    }
    if (meta != NULL && (is_of(meta, "key", "iifname") || is_of(meta, "key", "oifname") ||
                         is_of(meta, "key", "iif") || is_of(meta, "key", "oif"))) {
        return link_is(p, right);
    }
    if (meta != NULL && is_of(meta, "key", "l4proto")) {
        return word_is(right, p->udp ? "udp" : "tcp");
    }
    if (meta != NULL && is_of(meta, "key", "nfproto")) {
        return word_is(right, "ipv4");
    }
    if (is_of(json_object_get(left, "ct"), "key", "state")) {
        return word_is(right, "new");
    }
    return PERHAPS;
}

static enum truth match_holds(const struct nftrules_packet *p, const json_t *match)
{
    const json_t *left = json_object_get(match, "left");
    const json_t *right = json_object_get(match, "right");
    const json_t *set = json_object_get(right, "set");
    const json_t *list = json_is_array(right) ? right : json_is_array(set) ? set : NULL;
    const char *op = text(match, "op");
    enum truth t = NO;

    for (size_t i = 0; i < json_array_size(list); i++) {
        t = either(t, value_is(p, left, json_array_get(list, i)));
    }
    if (list == NULL) {
        t = value_is(p, left, right);
    }
    if (strcmp(op, "!=") == 0) {
        return negate(t);
    }
    return strcmp(op, "==") == 0 || strcmp(op, "in") == 0 || op[0] == '\0' ? t : PERHAPS;
}

/* ---- walking ---- */

struct walk {
    const struct nftrules *r;
    const struct nftrules_packet *p;
    const json_t *base;
    enum nftrules_fate fate; /* the worst so far */
    struct nftrules_where where;
};

/* What a chain does: the packet's way is over, or goes on, or one of both. */
enum way { GOES_ON, MAY_BE_OVER, OVER };

static void put(char ret[NFTRULES_TEXT], const char *value)
{
    (void)snprintf(ret, NFTRULES_TEXT, "%s", value);
}

static void note(struct walk *w, const char *chain, json_int_t handle, enum nftrules_fate fate)
{
    if (fate <= w->fate) {
        return;
    }
    w->fate = fate;
    (void)snprintf(w->where.family, sizeof(w->where.family), "%s", text(w->base, "family"));
    put(w->where.table, text(w->base, "table"));
    put(w->where.base, text(w->base, "name"));
    put(w->where.chain, chain);
    w->where.handle = (uint64_t)handle;
}

static enum way walk_chain(struct walk *w, const char *chain, enum truth sure, unsigned depth);

static enum way walk_rule(struct walk *w, const char *chain, const json_t *rule, enum truth sure,
                          unsigned depth, bool *ret_returns)
{
    const json_t *expr = json_object_get(rule, "expr");
    json_int_t handle = json_integer_value(json_object_get(rule, "handle"));

    for (size_t i = 0; i < json_array_size(expr) && sure != NO; i++) {
        const json_t *x = json_array_get(expr, i);
        const json_t *match = json_object_get(x, "match");
        const json_t *jump = json_object_get(x, "jump");
        const json_t *go = json_object_get(x, "goto");

        if (match != NULL) {
            sure = both(sure, match_holds(w->p, match));
        } else if (json_object_get(x, "xt") != NULL || json_object_get(x, "limit") != NULL ||
                   json_object_get(x, "vmap") != NULL) {
            sure = both(sure, PERHAPS); /* something of iptables, or a map */
        } else if (json_object_get(x, "accept") != NULL) {
            return sure == YES ? OVER : MAY_BE_OVER;
        } else if (json_object_get(x, "drop") != NULL || json_object_get(x, "reject") != NULL) {
            note(w, chain, handle, sure == YES ? NFTRULES_DROPPED : NFTRULES_PERHAPS);
            return sure == YES ? OVER : MAY_BE_OVER;
        } else if (json_object_get(x, "return") != NULL) {
            *ret_returns = sure == YES;
            return GOES_ON;
        } else if (jump != NULL || go != NULL) {
            enum way way = walk_chain(w, text(jump != NULL ? jump : go, "target"), sure, depth + 1);

            *ret_returns = go != NULL && sure == YES;
            return way == OVER && sure != YES ? MAY_BE_OVER : way;
        }
    }
    return GOES_ON;
}

static enum way walk_chain(struct walk *w, const char *chain, enum truth sure, unsigned depth)
{
    enum way way = GOES_ON;
    bool returns = false;

    for (size_t i = 0; i < json_array_size(w->r->list) && depth < DEPTH_MAX && !returns; i++) {
        const json_t *rule = json_object_get(json_array_get(w->r->list, i), "rule");
        enum way one;

        if (rule == NULL || !is_of(rule, "chain", chain) ||
            !is_of(rule, "table", text(w->base, "table")) ||
            !is_of(rule, "family", text(w->base, "family"))) {
            continue;
        }
        /* What may have been accepted before is dropped perhaps at most. */
        one = walk_rule(w, chain, rule, way == MAY_BE_OVER ? both(sure, PERHAPS) : sure, depth,
                        &returns);
        if (one == OVER) {
            return OVER;
        }
        way = one == MAY_BE_OVER ? MAY_BE_OVER : way;
    }
    return way;
}

static bool is_base(const json_t *chain, const char *ours, const struct nftrules_packet *p)
{
    return chain != NULL && is_of(chain, "hook", p->hook) && is_of(chain, "type", "filter") &&
           (is_of(chain, "family", "ip") || is_of(chain, "family", "inet")) &&
           strncmp(text(chain, "table"), ours, strlen(ours)) != 0;
}

enum nftrules_fate nftrules_judge(const struct nftrules *r, const char *ours,
                                  const struct nftrules_packet *packet,
                                  struct nftrules_where *ret_where)
{
    struct walk w = {.r = r, .p = packet, .fate = NFTRULES_PASSES};

    for (size_t i = 0; i < json_array_size(r->list); i++) {
        const json_t *chain = json_object_get(json_array_get(r->list, i), "chain");
        enum way way;

        if (!is_base(chain, ours, packet)) {
            continue;
        }
        w.base = chain;
        way = walk_chain(&w, text(chain, "name"), YES, 0);
        if (way != OVER && is_of(chain, "policy", "drop")) {
            note(&w, text(chain, "name"), 0, way == GOES_ON ? NFTRULES_DROPPED : NFTRULES_PERHAPS);
        }
    }
    if (w.fate != NFTRULES_PASSES) {
        *ret_where = w.where;
    }
    return w.fate;
}

bool nftrules_has(const struct nftrules *r, const char *table, const char *chain)
{
    for (size_t i = 0; i < json_array_size(r->list); i++) {
        const json_t *one = json_array_get(r->list, i);

        if (table != NULL && is_of(json_object_get(one, "table"), "name", table)) {
            return true;
        }
        if (chain != NULL &&
            strncmp(text(json_object_get(one, "chain"), "name"), chain, strlen(chain)) == 0 &&
            json_object_get(one, "chain") != NULL) {
            return true;
        }
    }
    return false;
}
