// SPDX-License-Identifier: Apache-2.0
#include "agent/net/nftmsg.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/nlbatch.h"

#define FAMILY        1      /* NFPROTO_INET; linux/netfilter.h cannot stand beside netinet/in.h */
#define LIST_MAX      60000u /* an attribute holds 65,535 bytes */
#define MESSAGE_SPACE (128u << 10)
#define REGISTER      4
#define REGISTER_MAX  4 /* of a key */

/* ---- fields ---- */

/* The registers of a key or a value; `to` is the other end of what may be an interval. */
struct fields {
    uint32_t from[REGISTER_MAX];
    uint32_t to[REGISTER_MAX];
    unsigned n;
};

static void add_field(struct fields *f, uint32_t from, uint32_t to)
{
    assert(f->n < REGISTER_MAX);
    f->from[f->n] = from;
    f->to[f->n++] = to;
}

static uint32_t host_part(unsigned prefix)
{
    return prefix == 0 ? ~(uint32_t)0 : ((uint32_t)1 << (32 - prefix)) - 1;
}

/* Bytes in the order of the network lie at the beginning of their register. */
static uint32_t first_bytes(const void *data, size_t len)
{
    uint32_t r = 0;

    memcpy(&r, data, len);
    return r;
}

static void add_key_field(const struct netelem *e, char letter, struct fields *f)
{
    uint8_t proto = e->udp ? IPPROTO_UDP : IPPROTO_TCP;
    uint16_t port = htons(e->port);
    uint32_t net = f->n > 0 ? e->other : e->address;

    switch (letter) {
    case 'a':
    case 'A':
        add_field(f, htonl(net), htonl(net));
        break;
    case 'N':
        add_field(f, htonl(net), htonl(net | host_part(e->prefix)));
        break;
    case 'm':
        add_field(f, e->mark, e->mark);
        break;
    case 'p':
        add_field(f, first_bytes(&proto, 1), first_bytes(&proto, 1));
        break;
    case 't':
        add_field(f, first_bytes(&port, 2), first_bytes(&port, 2));
        break;
    case 'i':
        add_field(f, e->index, e->index);
        break;
    default:
        assert(!"a letter of the table of sets");
    }
}

/* The mark of "ma" is the key's first field, and its address the second. */
static void key_fields(const struct netelem *e, struct fields *f)
{
    const char *key = netelem_format(e->set)->key;
    bool after_mark = key[0] == 'm';
    struct netelem shifted = *e;

    shifted.other = after_mark ? e->address : e->other;
    for (const char *at = key; *at != '\0'; at++) {
        add_key_field(&shifted, *at, f);
    }
}

static void value_fields(const struct netelem *e, const char *value, struct fields *f)
{
    uint16_t port = htons(e->to_port);

    for (const char *at = value; *at != '\0'; at++) {
        uint32_t r = *at == 'm' ? e->mark : *at == 'a' ? htonl(e->to) : first_bytes(&port, 2);

        add_field(f, r, r);
    }
}

/* ---- elements ---- */

static struct nlmsghdr *message(struct nftmsg *m)
{
    return (struct nlmsghdr *)(void *)(m->bytes.data + m->at);
}

static void put_value(struct nlmsghdr *h, uint16_t type, const uint32_t *fields, unsigned n)
{
    struct nlattr *nest = mnl_attr_nest_start(h, type);

    mnl_attr_put(h, NFTA_DATA_VALUE, (size_t)n * REGISTER, fields);
    mnl_attr_nest_end(h, nest);
}

static void put_verdict(struct nlmsghdr *h, const struct netelem *e)
{
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
    struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    char chain[32];

    (void)snprintf(chain, sizeof(chain), "%s%u", netelem_chain_name(e->chain), (unsigned)e->n);
    mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
    mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(h, verdict);
    mnl_attr_nest_end(h, data);
}

/* A removal needs the key alone. */
static void put_data(struct nlmsghdr *h, const struct netelem *e, const char *value)
{
    struct fields f = {0};

    if (value[0] == 'v') {
        put_verdict(h, e);
    } else if (value[0] != '-') {
        value_fields(e, value, &f);
        put_value(h, NFTA_SET_ELEM_DATA, f.from, f.n);
    }
}

/* One element; for an interval beside other fields it has two keys. */
static void put_element(struct nlmsghdr *h, const struct netelem *e, bool remove)
{
    const struct netelem_format *format = netelem_format(e->set);
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    struct fields f = {0};

    key_fields(e, &f);
    put_value(h, NFTA_SET_ELEM_KEY, f.from, f.n);
    if (strchr(format->key, 'N') != NULL) {
        put_value(h, NFTA_SET_ELEM_KEY_END, f.to, f.n);
    }
    if (!remove) {
        put_data(h, e, format->value);
    }
    mnl_attr_nest_end(h, nest);
}

/* A plain interval is two elements: where it begins, and what comes after it. */
static void put_interval(struct nlmsghdr *h, const struct netelem *e)
{
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    uint32_t from = htonl(e->address);
    uint32_t after = htonl((e->address | host_part(e->prefix)) + 1);

    put_value(h, NFTA_SET_ELEM_KEY, &from, 1);
    mnl_attr_nest_end(h, nest);
    if (after == 0) {
        return;
    }
    nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    put_value(h, NFTA_SET_ELEM_KEY, &after, 1);
    mnl_attr_put_u32(h, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
    mnl_attr_nest_end(h, nest);
}

/* ---- messages ---- */

static void put_header(struct nftmsg *m, uint16_t type, uint16_t flags, uint16_t res_id)
{
    struct nlmsghdr *h;
    struct nfgenmsg *family;

    buf_reserve(&m->bytes, MESSAGE_SPACE);
    m->at = m->bytes.len;
    h = mnl_nlmsg_put_header(m->bytes.data + m->at);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = m->seq + m->n++;
    family = mnl_nlmsg_put_extra_header(h, sizeof(*family));
    family->version = NFNETLINK_V0;
    family->res_id = htons(res_id);
}

static void close_message(struct nftmsg *m)
{
    if (m->list != NULL) {
        mnl_attr_nest_end(message(m), m->list);
        m->list = NULL;
    }
    m->bytes.len = m->at + NLMSG_ALIGN(message(m)->nlmsg_len);
}

static void open_list(struct nftmsg *m, uint8_t set, bool remove)
{
    uint16_t type = remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM;
    struct nfgenmsg *family;

    put_header(m, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
               (uint16_t)(NLM_F_ACK | (remove ? 0 : NLM_F_CREATE)), 0);
    family = mnl_nlmsg_get_payload(message(m));
    family->nfgen_family = FAMILY;
    mnl_attr_put_strz(message(m), NFTA_SET_ELEM_LIST_TABLE, m->table);
    mnl_attr_put_strz(message(m), NFTA_SET_ELEM_LIST_SET, netelem_format(set)->name);
    m->list = mnl_attr_nest_start(message(m), NFTA_SET_ELEM_LIST_ELEMENTS);
    m->set = set;
    m->remove = remove;
}

void nftmsg_begin(struct nftmsg *m, uint32_t seq)
{
    buf_clear(&m->bytes);
    m->seq = seq;
    m->n = 0;
    m->list = NULL;
    put_header(m, NFNL_MSG_BATCH_BEGIN, 0, NFNL_SUBSYS_NFTABLES);
    close_message(m);
}

void nftmsg_put(struct nftmsg *m, const struct netelem *e, bool remove)
{
    if (m->list != NULL &&
        (m->set != e->set || m->remove != remove || message(m)->nlmsg_len > LIST_MAX)) {
        close_message(m);
    }
    if (m->list == NULL) {
        open_list(m, e->set, remove);
    }
    if (strcmp(netelem_format(e->set)->key, "N") == 0) {
        put_interval(message(m), e);
    } else {
        put_element(message(m), e, remove);
    }
    m->bytes.len = m->at + NLMSG_ALIGN(message(m)->nlmsg_len);
}

void nftmsg_end(struct nftmsg *m)
{
    close_message(m);
    put_header(m, NFNL_MSG_BATCH_END, 0, NFNL_SUBSYS_NFTABLES);
    close_message(m);
}

void nftmsg_finish(struct nftmsg *m)
{
    buf_finish(&m->bytes);
}

/* ---- answers ---- */

static void take_answer(const struct nlmsghdr *h, uint32_t seq, struct nftmsg_result *result)
{
    const struct nlmsgerr *answer = mnl_nlmsg_get_payload(h);

    result->answered++;
    if (answer->error < 0 && answer->error > -4096 &&
        (result->code == 0 || h->nlmsg_seq - seq < result->code_seq - seq)) {
        result->code = answer->error;
        result->code_seq = h->nlmsg_seq;
    }
}

void nftmsg_answers(const void *bytes, size_t len, uint32_t seq, unsigned n,
                    struct nftmsg_result *result)
{
    const struct nlmsghdr *h = bytes;
    int left = (int)len;

    for (; nlbatch_is_message(h, left); h = mnl_nlmsg_next(h, &left)) {
        if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq - seq < n &&
            mnl_nlmsg_get_payload_len(h) >= sizeof(struct nlmsgerr)) {
            take_answer(h, seq, result);
        }
    }
}

/* ---- counters ---- */

static bool read_u64(const struct nlattr *nest, uint16_t type, uint64_t *ret)
{
    const struct nlattr *attr = nlbatch_inside(nest, type);

    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(*ret)) {
        return false;
    }
    *ret = be64toh(mnl_attr_get_u64(attr));
    return true;
}

static bool read_count(const struct nlattr *nest, struct nftset_count *ret)
{
    return read_u64(nest, NFTA_COUNTER_PACKETS, &ret->packets) &&
           read_u64(nest, NFTA_COUNTER_BYTES, &ret->bytes);
}

static const char *read_text(const struct nlattr *attr)
{
    size_t len = attr != NULL ? mnl_attr_get_payload_len(attr) : 0;
    const char *text = len > 0 ? mnl_attr_get_payload(attr) : NULL;

    return text != NULL && text[len - 1] == '\0' ? text : NULL;
}

static bool is_message(const struct nlmsghdr *h, unsigned type)
{
    return h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type) &&
           mnl_nlmsg_get_payload_len(h) >= sizeof(struct nfgenmsg);
}

bool nftmsg_counter(const struct nlmsghdr *h, const char **ret_name, struct nftset_count *ret)
{
    if (!is_message(h, NFT_MSG_NEWOBJ)) {
        return false;
    }
    *ret_name = read_text(nlbatch_attr(h, sizeof(struct nfgenmsg), NFTA_OBJ_NAME));
    return *ret_name != NULL &&
           read_count(nlbatch_attr(h, sizeof(struct nfgenmsg), NFTA_OBJ_DATA), ret);
}

bool nftmsg_element_count(const struct nlmsghdr *h, struct nftset_count *ret)
{
    const struct nlattr *list;
    const struct nlattr *expr;

    if (!is_message(h, NFT_MSG_NEWSETELEM)) {
        return false;
    }
    list = nlbatch_attr(h, sizeof(struct nfgenmsg), NFTA_SET_ELEM_LIST_ELEMENTS);
    expr = nlbatch_inside(nlbatch_inside(list, NFTA_LIST_ELEM), NFTA_SET_ELEM_EXPR);
    return read_count(nlbatch_inside(expr, NFTA_EXPR_DATA), ret);
}
