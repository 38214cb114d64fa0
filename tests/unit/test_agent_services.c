// SPDX-License-Identifier: Apache-2.0
/* The service table that an agent holds: as it is told in frames, and as it is kept in a file. */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "agent/svcfile.h"
#include "agent/uv_agent_net_priv.h"
#include "common/cleanup.h"
#include "common/codec_link.h"

static uv_loop_t loop;
static struct uv_agent agent;
static struct uv_agent_net net;
static char dir[64];

/* ---- the rest of the agent ---- */

void uv_agent_net_let_go(struct uv_agent_net *n)
{
    n->live--;
}

void uv_agent_link_facts(struct uv_agent *a)
{
    (void)a;
}

struct attempt *uv_agent_attempt(struct uv_agent *a, struct node_of of)
{
    (void)a;
    (void)of;
    return NULL;
}

void uv_agent_queue_failed(struct uv_agent *a, enum node_event_type type, struct node_of of,
                           bool wait, bool final, const char *reason)
{
    (void)a;
    (void)type;
    (void)of;
    (void)wait;
    (void) final;
    (void)reason;
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void open_table(void)
{
    net = (struct uv_agent_net){.agent = &agent, .live = 1};
    agent.net = &net;
    uv_agent_net_table_open(&net);
    uv_agent_net_keep_create(&net);
}

static void close_table(void)
{
    uv_agent_net_keep_close(&net);
    while (net.live > 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    uv_agent_net_table_finish(&net);
}

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/test_agent_services.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    agent = (struct uv_agent){.loop = &loop};
    agent.dirs.state_path = dir;
    agent.dirs.state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    open_table();
}

static void teardown(void)
{
    close_table();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    (void)close(agent.dirs.state_fd);
    (void)nftw(dir, rm, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- frames ---- */

static struct svc_network network = {.name = "shop_default", .vip = 0x0af00001u};
static struct svc_endpoint endpoints[] = {
    {.incarnation = 1, .slot = 1, .address = 0x0a800401u, .networks = 1, .ready = true},
    {.incarnation = 2, .slot = 2, .address = 0x0a800801u, .networks = 1}};

static struct svc_entry entry_of(unsigned number, unsigned n_endpoints)
{
    struct svc_entry e = {.stack = "shop",
                          .networks = &network,
                          .n_networks = 1,
                          .endpoints = endpoints,
                          .n_endpoints = n_endpoints};

    (void)snprintf(e.service, sizeof(e.service), "s%u", number);
    return e;
}

static bool tell(unsigned number, unsigned n_endpoints, bool begin, bool end)
{
    const struct svc_entry e = entry_of(number, n_endpoints);
    const struct link_services s = {
        .whole_begin = begin, .whole_end = end, .changed = &e, .n_changed = 1};

    return uv_agent_net_services(&agent, &s);
}

static bool holds(const char *service)
{
    return svctable_find(net.table, "shop", service) != NULL;
}

START_TEST(changes_count_at_once)
{
    const struct link_service gone = {.stack = "shop", .service = "s1"};
    const struct link_services s = {.removed = &gone, .n_removed = 1};

    ck_assert(tell(1, 1, false, false));
    ck_assert(tell(2, 1, false, false));
    ck_assert(holds("s1") && holds("s2"));
    ck_assert(uv_agent_net_services(&agent, &s));
    ck_assert(!holds("s1") && holds("s2"));
}
END_TEST

START_TEST(what_a_whole_does_not_name_goes_at_its_end)
{
    ck_assert(tell(1, 1, false, false));
    ck_assert(tell(2, 1, false, false));
    ck_assert(tell(3, 1, true, false));
    ck_assert(holds("s1"));
    ck_assert(tell(2, 2, false, true));
    ck_assert(!holds("s1") && holds("s2") && holds("s3"));
    ck_assert(tell(4, 1, true, false));
    uv_agent_net_services_drop(&agent); /* the session ends */
    ck_assert(tell(5, 1, false, true));
    ck_assert_uint_eq(svctable_count(net.table), 4);
    ck_assert(tell(6, 1, true, true)); /* in one frame */
    ck_assert_uint_eq(svctable_count(net.table), 1);
}
END_TEST

START_TEST(another_sum_is_noticed)
{
    const struct svc_entry e = entry_of(1, 1);
    struct link_services s = {.changed = &e, .n_changed = 1, .has_sum = true, .sum = svc_hash(&e)};

    ck_assert(uv_agent_net_services(&agent, &s));
    ck_assert(id128_equal(uv_agent_net_services_sum(&agent), s.sum));
    s.sum.lo++;
    ck_assert(!uv_agent_net_services(&agent, &s));
}
END_TEST

static bool patched(unsigned number, const struct svc_endpoint *set, const struct svc_key *gone,
                    struct id128 sum)
{
    struct svc_patch p = {.stack = "shop", .set = set, .n_set = set != NULL, .gone = gone};
    const struct link_services s = {.patched = &p, .n_patched = 1, .has_sum = true, .sum = sum};

    p.n_gone = gone != NULL;
    (void)snprintf(p.service, sizeof(p.service), "s%u", number);
    return uv_agent_net_services(&agent, &s);
}

START_TEST(patches_count_at_once)
{
    const struct svc_key second = svc_key_of(&endpoints[1]);
    struct id128 one, two;

    ck_assert(tell(1, 2, false, false));
    two = svctable_sum(net.table);
    ck_assert(tell(1, 1, false, false));
    one = svctable_sum(net.table);
    ck_assert(patched(1, &endpoints[1], NULL, two));
    ck_assert_uint_eq(svctable_find(net.table, "shop", "s1")->n_endpoints, 2);
    ck_assert(patched(1, NULL, &second, one));
    ck_assert(patched(1, NULL, &second, one));  /* again: nothing is to do */
    ck_assert(!patched(1, NULL, &second, two)); /* it gives another table */
}
END_TEST

/* Each has the link end, and the next session told the whole. */
START_TEST(patches_of_another_table)
{
    struct svc_endpoint elsewhere = endpoints[1];
    struct id128 held;

    ck_assert(tell(1, 1, false, false));
    held = svctable_sum(net.table);
    ck_assert(!patched(2, &endpoints[1], NULL, held)); /* of no entry that is there */
    elsewhere.networks = 2;
    ck_assert(!patched(1, &elsewhere, NULL, held)); /* on no network that is there */
    ck_assert(id128_equal(svctable_sum(net.table), held));
}
END_TEST

/* ---- the file ---- */

static void turn_ms(uint64_t ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    uint64_t until = uv_hrtime() + ms * 1000000;

    while (uv_hrtime() < until) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)nanosleep(&pause, NULL);
    }
}

START_TEST(the_next_agent_holds_it_too)
{
    struct id128 sum;

    for (unsigned i = 0; i < 300; i++) {
        ck_assert(tell(i, 1 + i % 2, false, false));
    }
    sum = svctable_sum(net.table);
    close_table();
    open_table();
    ck_assert_uint_eq(svctable_count(net.table), 300);
    ck_assert(id128_equal(svctable_sum(net.table), sum));
}
END_TEST

/* A kill is no end: what was there a second before is in the file. */
START_TEST(it_is_written_within_a_second)
{
    auto_free char *path = xasprintf("%s/" SVCFILE_NAME, dir);

    for (unsigned i = 0; i < 300; i++) {
        ck_assert(tell(i, 1, false, false));
    }
    ck_assert_int_ne(access(path, F_OK), 0);
    turn_ms(500);
    ck_assert(tell(300, 1, false, false));
    turn_ms(900);
    ck_assert_int_eq(access(path, F_OK), 0);
    {
        struct uv_agent_net other = {.agent = &agent};

        uv_agent_net_table_open(&other);
        ck_assert(id128_equal(svctable_sum(other.table), svctable_sum(net.table)));
        uv_agent_net_table_finish(&other);
    }
}
END_TEST

static void count(void *arg, const struct svc_entry *entry)
{
    unsigned *n = arg;

    ck_assert_str_eq(entry->stack, "shop");
    ++*n;
}

START_TEST(what_is_damaged_is_refused_as_a_whole)
{
    auto_buf struct buf file = {0};
    struct err e = {0};
    unsigned n = 0;

    svcfile_begin(&file);
    for (unsigned i = 0; i < 5; i++) {
        const struct svc_entry entry = entry_of(i, 2);

        svcfile_put(&file, &entry);
    }
    svcfile_end(&file);
    ck_assert_int_eq(svcfile_parse(file.data, file.len, count, &n, &e), 0);
    ck_assert_uint_eq(n, 5);
    for (size_t i = 0; i < file.len; i++) {
        n = 0;
        ck_assert_int_lt(svcfile_parse(file.data, i, count, &n, &e), 0);
        file.data[i] ^= 0x10;
        ck_assert_int_lt(svcfile_parse(file.data, file.len, count, &n, &e), 0);
        file.data[i] ^= 0x10;
        ck_assert_uint_eq(n, 0);
    }
    ck_assert_int_eq(svcfile_write(agent.dirs.state_fd, &file, &e), 0);
    ck_assert_int_eq(svcfile_read(agent.dirs.state_fd, count, &n, &e), 0);
    ck_assert_uint_eq(n, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_services");
    TCase *c = tcase_create("agent_services");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, changes_count_at_once);
    tcase_add_test(c, what_a_whole_does_not_name_goes_at_its_end);
    tcase_add_test(c, another_sum_is_noticed);
    tcase_add_test(c, patches_count_at_once);
    tcase_add_test(c, patches_of_another_table);
    tcase_add_test(c, the_next_agent_holds_it_too);
    tcase_add_test(c, it_is_written_within_a_second);
    tcase_add_test(c, what_is_damaged_is_refused_as_a_whole);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
