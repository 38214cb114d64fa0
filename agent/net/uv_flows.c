// SPDX-License-Identifier: Apache-2.0
#include "agent/net/uv_flows.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "agent/net/nlbatch.h"
#include "common/cleanup.h"
#include "common/ip6.h"

#define PIECES_MAX 16 /* about 32 KiB each, per turn of the loop */

struct uv_flows {
    uv_poll_t poll;
    int list_fd;
    int delete_fd;
    struct uv_flows_events events;
    bool walking;
    bool again;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- reading one ---- */

/* Attributes nest: message, tuple, its addresses or ports. */
static uint32_t address_in(const struct nlattr *tuple, uint16_t type)
{
    const struct nlattr *attr = nlbatch_inside(nlbatch_inside(tuple, CTA_TUPLE_IP), type);

    return attr != NULL && mnl_attr_get_payload_len(attr) == 4 ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

/* Of IPv6 what its addresses follow from: the same containers have both. Nothing leads them
 * elsewhere. */
static uint32_t address6_in(const struct nlattr *tuple, uint16_t type)
{
    static const uint8_t zero[IP6_V4_AT / 8 - IP6_PREFIX / 8];
    const struct nlattr *attr = nlbatch_inside(nlbatch_inside(tuple, CTA_TUPLE_IP), type);
    const uint8_t *bytes = attr != NULL ? mnl_attr_get_payload(attr) : NULL;
    uint32_t be;

    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(struct ip6) || bytes[0] != 0xfd ||
        memcmp(bytes + IP6_PREFIX / 8, zero, sizeof(zero)) != 0) {
        return 0;
    }
    memcpy(&be, bytes + IP6_V4_AT / 8, sizeof(be));
    return ntohl(be);
}

static uint32_t either_in(const struct nlattr *tuple, uint16_t type, uint16_t type6)
{
    uint32_t address = address_in(tuple, type);

    return address != 0 ? address : address6_in(tuple, type6);
}

static bool is_established(const struct nlattr *info)
{
    const struct nlattr *tcp = nlbatch_inside(info, CTA_PROTOINFO_TCP);
    const struct nlattr *state = nlbatch_inside(tcp, CTA_PROTOINFO_TCP_STATE);

    return state != NULL && mnl_attr_get_payload_len(state) == 1 &&
           mnl_attr_get_u8(state) == TCP_CONNTRACK_ESTABLISHED;
}

static bool read_flow(const struct nlmsghdr *h, const struct nlattr *sent, struct uv_flow *ret)
{
    const struct nlattr *answered = nlbatch_attr(h, sizeof(struct nfgenmsg), CTA_TUPLE_REPLY);
    const struct nlattr *proto = nlbatch_inside(sent, CTA_TUPLE_PROTO);
    const struct nlattr *number = nlbatch_inside(proto, CTA_PROTO_NUM);
    const struct nlattr *port = nlbatch_inside(proto, CTA_PROTO_DST_PORT);
    uint8_t protocol = number != NULL ? mnl_attr_get_u8(number) : 0;

    if ((protocol != IPPROTO_UDP && protocol != IPPROTO_TCP) || port == NULL) {
        return false;
    }
    *ret = (struct uv_flow){
        .src = either_in(sent, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
        .dst = either_in(sent, CTA_IP_V4_DST, CTA_IP_V6_DST),
        .port = ntohs(mnl_attr_get_u16(port)),
        .udp = protocol == IPPROTO_UDP,
        .established = is_established(nlbatch_attr(h, sizeof(struct nfgenmsg), CTA_PROTOINFO)),
        .answers = either_in(answered, CTA_IP_V4_SRC, CTA_IP_V6_SRC)};
    return ret->src != 0 && ret->dst != 0 && ret->answers != 0;
}

/* ---- forgetting it ---- */

static struct nlmsghdr *begin(struct nlbatch *m, unsigned type, uint16_t flags, uint8_t family_of,
                              const char *what)
{
    struct nlmsghdr *h =
        nlbatch_begin(m, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, what);
    struct nfgenmsg *family = nlbatch_header(m, sizeof(*family));

    family->nfgen_family = family_of;
    family->version = NFNETLINK_V0;
    return h;
}

static void forget(struct uv_flows *f, uint8_t family, const struct nlattr *sent,
                   const struct nlattr *zone)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    nlbatch_init(&m);
    h = begin(&m, IPCTNL_MSG_CT_DELETE, 0, family, "forget a flow");
    mnl_attr_put(h, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(sent),
                 mnl_attr_get_payload(sent));
    if (zone != NULL) {
        mnl_attr_put(h, CTA_ZONE, mnl_attr_get_payload_len(zone), mnl_attr_get_payload(zone));
    }
    nlbatch_may_fail(&m); /* it may have ended by itself */
    (void)nlbatch_run(&m, f->delete_fd, NULL, NULL, NULL);
}

static void look_at(struct uv_flows *f, const struct nlmsghdr *h)
{
    const struct nlattr *sent = nlbatch_attr(h, sizeof(struct nfgenmsg), CTA_TUPLE_ORIG);
    const struct nfgenmsg *family = mnl_nlmsg_get_payload(h);
    struct uv_flow flow;

    if (read_flow(h, sent, &flow) && f->events.stale(f->events.arg, &flow)) {
        forget(f, family->nfgen_family, sent, nlbatch_attr(h, sizeof(struct nfgenmsg), CTA_ZONE));
    }
}

/* ---- the walk ---- */

static bool is_end(const struct nlmsghdr *h)
{
    return h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
}

/* Returns false when there is no more for now. */
static bool take_piece(struct uv_flows *f)
{
    _Alignas(struct nlmsghdr) char bytes[32768];
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)bytes;
    ssize_t got = recv(f->list_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    int len = (int)got;

    if (got <= 0) {
        f->walking = f->walking && (errno == EAGAIN || errno == EINTR);
        return false;
    }
    for (; nlbatch_is_message(h, len); h = mnl_nlmsg_next(h, &len)) {
        if (is_end(h)) {
            f->walking = false;
        } else {
            look_at(f, h);
        }
    }
    return f->walking;
}

static void on_list(uv_poll_t *poll, int status, int events)
{
    struct uv_flows *f = container_of(poll, struct uv_flows, poll);

    (void)events;
    for (unsigned i = 0; status == 0 && i < PIECES_MAX && take_piece(f); i++) {
    }
    if (status < 0 || !f->walking) {
        f->walking = false;
        (void)uv_poll_stop(poll);
    }
    if (!f->walking && f->again) {
        f->again = false;
        uv_flows_sweep(f);
    } else if (!f->walking) {
        f->events.swept(f->events.arg);
    }
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct uv_flows *f = container_of((uv_poll_t *)handle, struct uv_flows, poll);

    (void)close(f->list_fd);
    (void)close(f->delete_fd);
    f->closed(f->closed_arg);
    free(f);
}

/* ---- for the owner ---- */

static int open_socket(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (fd < 0) {
        return err_set(e, errno, "open a netlink socket");
    }
    nlbatch_prepare_socket(fd);
    return fd;
}

int uv_flows_create(struct uv_loop_s *loop, const struct uv_flows_events *events,
                    struct uv_flows **ret, struct err *e)
{
    auto_close int list_fd = open_socket(e);
    auto_close int delete_fd = open_socket(e);
    struct uv_flows *f;
    int rc;

    if (list_fd < 0 || delete_fd < 0) {
        return list_fd < 0 ? list_fd : delete_fd;
    }
    f = xcalloc(1, sizeof(*f));
    f->list_fd = take_fd(&list_fd);
    f->delete_fd = take_fd(&delete_fd);
    f->events = *events;
    rc = uv_poll_init(loop, &f->poll, f->list_fd);
    assert(rc == 0);
    *ret = f;
    return 0;
}

void uv_flows_sweep(struct uv_flows *f)
{
    struct nlmsghdr *h;
    struct nlbatch m;

    if (f->walking) {
        f->again = true;
        return;
    }
    nlbatch_init(&m);
    h = begin(&m, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, "list the flows");
    f->walking = send(f->list_fd, h, h->nlmsg_len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
    if (f->walking) {
        (void)uv_poll_start(&f->poll, UV_READABLE, on_list);
    }
}

void uv_flows_close(struct uv_flows *f, void (*closed)(void *arg), void *arg)
{
    f->closed = closed;
    f->closed_arg = arg;
    uv_close((uv_handle_t *)&f->poll, on_poll_closed);
}
