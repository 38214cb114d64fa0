// SPDX-License-Identifier: Apache-2.0
/* Messages that are cut off anywhere, each in memory of exactly its size, so that a byte read too
 * many is seen. */
#include "agent/net/nlbatch.h"

#include <arpa/inet.h>
#include <check.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/nftmsg.h"
#include "agent/net/rtnlevent.h"
#include "common/cleanup.h"

#define LAST 77

/* The first `len` bytes of a message, which says that this is all. */
static struct nlmsghdr *cut(const struct nlmsghdr *whole, uint32_t len)
{
    struct nlmsghdr *h = malloc(len);

    ck_assert_ptr_nonnull(h);
    memcpy(h, whole, len);
    h->nlmsg_len = len;
    return h;
}

static const struct nlattr *find_last(const struct nlmsghdr *h)
{
    return nlbatch_attr(h, sizeof(struct ifinfomsg), LAST);
}

static struct nlmsghdr *begin_link(struct nlbatch *m)
{
    struct nlmsghdr *h;

    nlbatch_init(m);
    h = nlbatch_begin(m, RTM_NEWLINK, 0, "say what there is");
    ((struct ifinfomsg *)nlbatch_header(m, sizeof(struct ifinfomsg)))->ifi_index = 7;
    return h;
}

/* The last of its attributes has a size that is no multiple of four. */
START_TEST(attributes_of_a_message_that_is_cut_off)
{
    struct nlbatch m;
    struct nlmsghdr *whole = begin_link(&m);
    uint32_t size = (uint32_t)_i;
    uint32_t len;

    mnl_attr_put_strz(whole, IFLA_IFNAME, "cut0");
    mnl_attr_put(whole, LAST, size, "abcdefgh");
    len = whole->nlmsg_len - (4 - size % 4) % 4; /* not its padding */
    for (uint32_t n = sizeof(*whole); n <= whole->nlmsg_len; n++) {
        auto_free struct nlmsghdr *h = cut(whole, n);
        const struct nlattr *last = find_last(h);

        ck_assert_int_eq(last != NULL, n >= len);
        if (last != NULL) {
            ck_assert_uint_eq(mnl_attr_get_payload_len(last), size);
        }
    }
}
END_TEST

START_TEST(attributes_inside_of_one_that_is_cut_off)
{
    struct nlbatch m;
    struct nlmsghdr *whole = begin_link(&m);
    struct nlattr *nest = mnl_attr_nest_start(whole, IFLA_LINKINFO);
    uint16_t size;

    mnl_attr_put_strz(whole, IFLA_INFO_KIND, "veth");
    mnl_attr_put(whole, LAST, 5, "abcde");
    mnl_attr_nest_end(whole, nest);
    size = nest->nla_len;
    for (uint16_t n = sizeof(*nest); n <= size; n++) {
        auto_free struct nlattr *part = malloc(n);

        ck_assert_ptr_nonnull(part);
        memcpy(part, nest, n);
        part->nla_len = n;
        ck_assert_int_eq(nlbatch_inside(part, LAST) != NULL, n >= size - 3);
    }
    ck_assert_ptr_null(nlbatch_inside(NULL, LAST));
}
END_TEST

/* Events are read as far as they go: what is missing makes none, or one without it. */
START_TEST(event_that_is_cut_off)
{
    struct nlbatch m;
    struct nlmsghdr *whole = begin_link(&m);
    struct rtnlevent event;

    mnl_attr_put_u32(whole, IFLA_MTU, 1500);
    mnl_attr_put_strz(whole, IFLA_IFNAME, "cut0x");
    for (uint32_t n = sizeof(*whole); n < whole->nlmsg_len; n++) {
        auto_free struct nlmsghdr *h = cut(whole, n);

        ck_assert_int_eq(rtnlevent_read(h, &event), n >= whole->nlmsg_len - 2);
    }
    ck_assert(rtnlevent_read(whole, &event));
    ck_assert_str_eq(event.name, "cut0x");
}
END_TEST

static struct nlmsghdr *begin_nft(struct nlbatch *m, unsigned type)
{
    struct nlmsghdr *h;

    nlbatch_init(m);
    h = nlbatch_begin(m, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0, "say what there is");
    (void)nlbatch_header(m, sizeof(struct nfgenmsg));
    return h;
}

static void put_count(struct nlmsghdr *h, uint16_t type)
{
    struct nlattr *data = mnl_attr_nest_start(h, type);

    mnl_attr_put_u64(h, NFTA_COUNTER_BYTES, 0);
    mnl_attr_put_u64(h, NFTA_COUNTER_PACKETS, 0);
    mnl_attr_nest_end(h, data);
}

START_TEST(counter_that_is_cut_off)
{
    struct nlbatch m;
    struct nlmsghdr *whole = begin_nft(&m, NFT_MSG_NEWOBJ);
    struct nftset_count count;
    const char *name;

    put_count(whole, NFTA_OBJ_DATA);
    mnl_attr_put_strz(whole, NFTA_OBJ_NAME, "spoof");
    for (uint32_t n = sizeof(*whole); n < whole->nlmsg_len; n++) {
        auto_free struct nlmsghdr *h = cut(whole, n);

        ck_assert_int_eq(nftmsg_counter(h, &name, &count), n >= whole->nlmsg_len - 2);
    }
}
END_TEST

START_TEST(element_that_is_cut_off)
{
    struct nlbatch m;
    struct nlmsghdr *whole = begin_nft(&m, NFT_MSG_NEWSETELEM);
    struct nlattr *list = mnl_attr_nest_start(whole, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *element = mnl_attr_nest_start(whole, NFTA_LIST_ELEM);
    struct nlattr *expr = mnl_attr_nest_start(whole, NFTA_SET_ELEM_EXPR);
    struct nftset_count count;

    put_count(whole, NFTA_EXPR_DATA);
    mnl_attr_nest_end(whole, expr);
    mnl_attr_nest_end(whole, element);
    mnl_attr_nest_end(whole, list);
    ck_assert(nftmsg_element_count(whole, &count));
    for (uint32_t n = sizeof(*whole); n < whole->nlmsg_len; n++) {
        auto_free struct nlmsghdr *h = cut(whole, n);

        ck_assert(!nftmsg_element_count(h, &count));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nlbatch");
    TCase *c = tcase_create("cut off");
    SRunner *r;
    int failed;

    tcase_add_loop_test(c, attributes_of_a_message_that_is_cut_off, 0, 9);
    tcase_add_test(c, attributes_inside_of_one_that_is_cut_off);
    tcase_add_test(c, event_that_is_cut_off);
    tcase_add_test(c, counter_that_is_cut_off);
    tcase_add_test(c, element_that_is_cut_off);
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed > 0;
}
