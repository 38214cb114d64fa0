// SPDX-License-Identifier: Apache-2.0
/* Facts of two nodes, written down by hand, and the hop that is named for them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/askrow.h"
#include "common/cleanup.h"
#include "controller/api/netcheck.h"

/* "fact=way route=none address=10.128.4.2; fact=…": '_' stands for a blank in a value. */
static void put_facts(const char *text, struct buf *rows)
{
    auto_free char *copy = xstrdup(text);
    char *at = copy, *row;

    while ((row = strsep(&at, ";")) != NULL) {
        char *field;

        while ((field = strsep(&row, " ")) != NULL) {
            char *value = strchr(field, '=');

            if (value != NULL) {
                *value++ = '\0';
                for (char *c = value; *c != '\0'; c++) {
                    *c = *c == '_' ? ' ' : *c;
                }
                askrow_put(rows, field, value);
            }
        }
        askrow_end(rows);
    }
}

#define SELF  "fact=self container=shop/web.1 state=running address=10.128.0.1"
#define NAME  ";fact=name state=known addresses=10.240.0.1"
#define SERVE ";fact=service name=shop/db"
#define END1                                                                                       \
    ";fact=endpoint container=shop/db.1 incarnation=7 address=10.128.4.1 ready=1 draining=0 "      \
    "shared=shop_default answers=1"
#define VIP     ";fact=vip address=10.240.0.1 kernel=1"
#define REACH   ";fact=reach address=10.128.4.1 there=1"
#define WAY     ";fact=way address=10.128.4.1 route=cluster dev=eth0 via=192.0.2.2 kind=direct mtu=1500"
#define TABLE   ";fact=table name=wherry there=1"
#define CLEAN   ";fact=firewall state=ok text=;fact=forwarding state=ok text=on"
#define CONNECT ";fact=connect address=10.240.0.1 result=connected error= ms=1"
#define GOOD    SELF NAME SERVE END1 VIP REACH WAY TABLE CLEAN CONNECT
#define TO                                                                                         \
    "fact=self container=shop/db.1 state=running address=10.128.4.1;"                              \
    "fact=way address=10.128.0.1 route=cluster dev=eth0 mtu=1500" TABLE CLEAN
#define LISTENS ";fact=listen container=shop/db.1 on=any others="

static const struct netcheck_case {
    const char *from, *to; /* facts; NULL: the node was not asked */
    const char *broken;    /* "": nothing is */
    const char *says;
    const char *mend;
} cases[] = {
    {GOOD, TO LISTENS, "", "", ""},
    /* the source */
    {NULL, NULL, "source", "shop/web.1 runs nowhere", "wherry status"},
    {"fact=self state=waiting address=", NULL, "source", "is waiting", "wherry status"},
    {"fact=self state=running address=", NULL, "source", "has no address", "networks:"},
    /* names */
    {SELF ";fact=name state=none", NULL, "name", "no service on a network of shop/web.1 has", ""},
    {SELF ";fact=name state=none hint=db_is_a_service_of_stack_shop mend=an_external_network", NULL,
     "name", "db is a service of stack shop", "an external network"},
    {SELF NAME ";fact=dns state=silent addresses=", NULL, "name", "169.254.1.1 does not answer",
     "wherry doctor a"},
    {SELF ";fact=name state=known addresses=", NULL, "name", "has no address now", "wherry status"},
    {SELF ";fact=name state=known addresses= hint=x;fact=dns state=answered addresses=10.1.1.1",
     NULL, "", "", ""},
    /* containers behind it */
    {SELF NAME SERVE, NULL, "backend", "shop/db has no container", "wherry status"},
    {SELF NAME SERVE ";fact=endpoint container=shop/db.1 address=10.128.4.1 ready=0 draining=0 "
                     "shared=shop_default",
     NULL, "backend", "none of its 1 containers is ready", "wherry logs"},
    {SELF NAME END1 ";fact=vip address=10.240.0.1 kernel=0", TO, "vip",
     "does not know the virtual address", "on a: systemctl restart"},
    {SELF NAME END1, "fact=self container=shop/db.1 state=over", "target", "shop/db.1 is over",
     "wherry logs shop/db.1"},
    /* networks */
    {SELF NAME ";fact=endpoint container=blog/db.1 address=10.128.4.1 ready=1 draining=0 shared=",
     TO, "network", "shop/web.1 and blog/db share no network", "external"},
    {SELF NAME END1 ";fact=reach address=10.128.4.1 there=0", TO, "network",
     "though they share shop default", "on a: systemctl restart"},
    {SELF ";fact=reach address=10.128.4.1 there=0", TO, "network", "they share no network",
     "a does not know of one"},
    /* the world */
    {SELF ";fact=name state=world addresses=;fact=dns state=answered addresses=192.0.2.80"
          ";fact=egress allowed=0 why=internal",
     NULL, "egress", "may not leave the cluster: internal", "x-wherry.egress"},
    {SELF ";fact=egress allowed=1 why=;fact=way address=192.0.2.80 route=world dev=eth0 mtu=1500",
     NULL, "", "", ""},
    {SELF
     ";fact=name state=world addresses=;fact=dns state=silent addresses=;fact=egress allowed=1",
     NULL, "name", "the host's resolvers do not answer", "wherry doctor a"},
    /* ways */
    {SELF NAME END1 ";fact=way address=10.128.4.1 route=unreachable dev= mtu=0", TO, "route",
     "a has no route to 10.128.4.1", "on a: systemctl restart"},
    {SELF NAME END1 ";fact=way address=10.128.4.1 route=foreign dev=tun0 mtu=1500", TO, "route",
     "not the cluster's: by tun0", "on a"},
    {SELF NAME
     ";fact=endpoint container=shop/db.1 incarnation=7 address=10.128.4.1 ready=1 draining=0 "
     "shared=shop_default answers=0" WAY,
     TO, "peer", "a hears nothing of node b", "wherry doctor b"},
    {SELF NAME END1 WAY ";fact=tunnel address=10.128.4.0 dev=whabcdx neighbour=1 fdb=0", TO,
     "tunnel", "no forwarding entry for 10.128.4.0", "on a"},
    {SELF NAME END1 WAY ";fact=table name=wherry there=0", TO, "rules", "a has no table wherry",
     "on a"},
    {SELF NAME END1 WAY,
     "fact=self container=shop/db.1 state=running;fact=table name=wherry there=0", "rules",
     "b has no table wherry", "on b"},
    {SELF NAME END1 WAY TABLE ";fact=forwarding state=problem text=off mend=sysctl", TO,
     "forwarding", "on a forwarding is off", "on a: sysctl"},
    {SELF NAME END1 WAY ";fact=firewall state=problem text=packets_are_dropped mend=nft_insert", TO,
     "firewall", "on a packets are dropped", "on a: nft insert"},
    /* a prediction does not stand against what was tried */
    {SELF NAME END1 WAY ";fact=firewall state=problem text=x mend=y" CONNECT, TO LISTENS, "", "",
     ""},
    {SELF NAME END1 ";fact=way address=10.128.4.1 route=cluster dev=eth0 mtu=600", TO, "mtu",
     "600 bytes only", "wherry doctor a"},
    {SELF NAME END1 WAY,
     "fact=self container=shop/db.1 state=running;"
     "fact=way address=10.128.0.1 route=none dev=eth0 mtu=1500",
     "route_back", "b has no route back to 10.128.0.1", "on b"},
    /* the server */
    {SELF NAME END1 WAY, TO ";fact=listen container=shop/db.1 on=loopback others=", "listens",
     "port 5432 of 127.0.0.1 only", "0.0.0.0"},
    {SELF NAME END1 WAY, TO ";fact=listen container=shop/db.1 on=none others=80,_443", "listens",
     "nobody in shop/db.1 listens on port 5432, but on 80, 443", "wherry logs"},
    {SELF NAME END1 WAY ";fact=connect address=10.240.0.1 result=failed error=no_answer ms=0;"
                        "fact=dropped words=a_reason packets=3",
     TO LISTENS, "connect", "10.240.0.1:5432: no answer; dropped meanwhile: a reason",
     "wherry doctor a"},
    {SELF NAME END1 WAY ";fact=connect address=10.240.0.1 result=refused error=r ms=0", TO LISTENS,
     "connect", "refuses", "5432"},
};

static void add_part(struct api_parts *parts, const char *node, const char *facts)
{
    struct api_part *p = &parts->list[parts->n];

    if (facts == NULL) {
        return;
    }
    parts->n++;
    (void)snprintf(p->node, sizeof(p->node), "%s", node);
    p->incarnation = parts->n == 2 ? 7 : 1;
    put_facts(facts, &p->rows);
}

static struct api_parts parts_of(const struct netcheck_case *c)
{
    struct api_parts parts = {.list = xcalloc(2, sizeof(*parts.list)), .cap = 2};

    add_part(&parts, "a", c->from);
    add_part(&parts, "b", c->to);
    return parts;
}

static const struct api_gather question = {
    .kind = API_GATHER_CHECK, .from = "shop/web.1", .to = "db", .port = 5432};

START_TEST(the_first_broken_hop_is_named)
{
    const struct netcheck_case *c = &cases[_i];
    struct api_parts parts = parts_of(c);
    struct netcheck_step steps[NETCHECK_STEPS_MAX];
    unsigned n = netcheck_judge(&question, &parts, steps);
    const struct netcheck_step *broken = netcheck_broken(steps, n);

    ck_assert_msg(strcmp(broken != NULL ? broken->id : "", c->broken) == 0, "%s: %s",
                  broken != NULL ? broken->id : "nothing", broken != NULL ? broken->text : "");
    if (broken != NULL) {
        ck_assert_msg(strstr(broken->text, c->says) != NULL, "%s", broken->text);
        ck_assert_msg(strstr(broken->mend, c->mend) != NULL, "%s", broken->mend);
        ck_assert_str_ne(broken->mend, "");
    }
    api_parts_finish(&parts);
}
END_TEST

START_TEST(a_whole_way_is_told_hop_by_hop)
{
    static const struct netcheck_case whole = {GOOD, TO LISTENS, "", "", ""};
    struct api_parts parts = parts_of(&whole);
    struct netcheck_step steps[NETCHECK_STEPS_MAX];
    unsigned n = netcheck_judge(&question, &parts, steps);
    unsigned skipped = 0;

    ck_assert(netcheck_reaches(steps, n));
    for (unsigned i = 0; i < n; i++) {
        ck_assert_str_ne(steps[i].text, "");
        skipped += steps[i].state == NETCHECK_SKIPPED;
    }
    ck_assert_uint_eq(skipped, 2); /* it stays in the cluster; no tunnel */
    ck_assert_str_eq(steps[0].text, "shop/web.1 on a has 10.128.0.1");
    ck_assert_str_eq(steps[n - 1].text, "10.240.0.1:5432 answers in 1 ms");
    api_parts_finish(&parts);
}
END_TEST

/* An older agent, or one that has just started: nothing is claimed. */
START_TEST(facts_that_nobody_tells_are_skipped)
{
    static const struct netcheck_case little = {SELF, "fact=other x=y", "", "", ""};
    struct api_parts parts = parts_of(&little);
    struct netcheck_step steps[NETCHECK_STEPS_MAX];
    unsigned n = netcheck_judge(&question, &parts, steps);

    for (unsigned i = 1; i < n; i++) {
        ck_assert_int_eq(steps[i].state, NETCHECK_SKIPPED);
    }
    ck_assert(!netcheck_reaches(steps, n));
    api_parts_finish(&parts);
}
END_TEST

START_TEST(a_node_that_does_not_answer)
{
    static const struct netcheck_case half = {SELF NAME END1 WAY, "", "", "", ""};
    struct api_parts parts = parts_of(&half);
    struct netcheck_step steps[NETCHECK_STEPS_MAX];
    const struct netcheck_step *broken;
    unsigned n;

    (void)snprintf(parts.list[1].error, sizeof(parts.list[1].error), "the node is not connected");
    n = netcheck_judge(&question, &parts, steps);
    broken = netcheck_broken(steps, n);
    ck_assert_ptr_nonnull(broken);
    ck_assert_str_eq(broken->id, "peer");
    ck_assert_str_eq(broken->text,
                     "node b does not answer the controller: the node is not connected");
    api_parts_finish(&parts);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netcheck");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, the_first_broken_hop_is_named, 0, ARRAY_LEN(cases));
    tcase_add_test(t, a_whole_way_is_told_hop_by_hop);
    tcase_add_test(t, facts_that_nobody_tells_are_skipped);
    tcase_add_test(t, a_node_that_does_not_answer);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
