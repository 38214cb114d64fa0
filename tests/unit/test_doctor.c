// SPDX-License-Identifier: Apache-2.0
/* What is found out about a host: rules of others as nft prints them, and a /proc that is made up.
 */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/doctor.h"
#include "agent/sockets.h"
#include "common/buf.h"
#include "common/cleanup.h"

#define CHAIN(name, hook, policy)                                                                  \
    "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"" name                          \
    "\",\"handle\":1,\"type\":\"filter\",\"hook\":\"" hook "\",\"prio\":0,\"policy\":\"" policy    \
    "\"}},"
#define RULE(chain, handle, ...)                                                                   \
    "{\"rule\":{\"family\":\"ip\",\"table\":\"filter\",\"chain\":\"" chain                         \
    "\",\"handle\":" #handle ",\"expr\":[" __VA_ARGS__ "]}},"
#define MATCH(op, left, right)                                                                     \
    "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}},"
#define SADDR   "{\"payload\":{\"protocol\":\"ip\",\"field\":\"saddr\"}}"
#define DADDR   "{\"payload\":{\"protocol\":\"ip\",\"field\":\"daddr\"}}"
#define DPORT   "{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}}"
#define STATE   "{\"ct\":{\"key\":\"state\"}}"
#define IIFNAME "{\"meta\":{\"key\":\"iifname\"}}"
#define OIFNAME "{\"meta\":{\"key\":\"oifname\"}}"
#define RANGE   "{\"prefix\":{\"addr\":\"10.128.0.0\",\"len\":9}}"
#define ACCEPT  "{\"accept\":null}"
#define DROP    "{\"drop\":null}"
#define JUMP(t) "{\"jump\":{\"target\":\"" t "\"}}"
#define DOCKER_USER                                                                                \
    "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"DOCKER-USER\",\"handle\":9}},"

static char root[64];

static const struct rules_case {
    const char *rules;
    const char *id;
    enum doctor_state state;
    const char *says; /* in the sentence */
    const char *mend; /* how the command begins */
} cases[] = {
    {"", "firewall_forward", DOCTOR_OK, "no rule of others", ""},
    {CHAIN("fwd", "forward", "accept"), "firewall_forward", DOCTOR_OK, "no rule", ""},
    {CHAIN("fwd", "forward", "drop"), "firewall_forward", DOCTOR_PROBLEM,
     "dropped by the policy of chain fwd in table ip filter",
     "nft insert rule ip filter fwd ip saddr 10.128.0.0/9 accept && nft insert"},
    /* mended so */
    {CHAIN("fwd", "forward", "drop") RULE("fwd", 2, MATCH("==", SADDR, RANGE) ACCEPT)
         RULE("fwd", 3, MATCH("==", DADDR, RANGE) ACCEPT),
     "firewall_forward", DOCTOR_OK, "no rule", ""},
    /* from, but not to */
    {CHAIN("fwd", "forward", "drop") RULE("fwd", 2, MATCH("==", SADDR, RANGE) ACCEPT),
     "firewall_forward", DOCTOR_PROBLEM, "to published ports", "nft insert"},
    /* only what is established already is let through */
    {CHAIN("fwd", "forward", "drop")
         RULE("fwd", 2, MATCH("in", STATE, "[\"established\",\"related\"]") ACCEPT),
     "firewall_forward", DOCTOR_PROBLEM, "the policy", "nft insert"},
    /* docker */
    {CHAIN("FORWARD", "forward", "drop") DOCKER_USER RULE("FORWARD", 4, JUMP("DOCKER-USER"))
         RULE("FORWARD", 5, MATCH("==", OIFNAME, "\"docker0\"") ACCEPT),
     "firewall_forward", DOCTOR_PROBLEM, "docker: the policy of chain FORWARD",
     "iptables -I DOCKER-USER -s 10.128.0.0/9 -j ACCEPT"},
    {CHAIN("FORWARD", "forward", "drop") DOCKER_USER RULE("FORWARD", 4, JUMP("DOCKER-USER"))
         RULE("DOCKER-USER", 5, MATCH("==", SADDR, RANGE) ACCEPT)
             RULE("DOCKER-USER", 6, MATCH("==", DADDR, RANGE) ACCEPT),
     "firewall_forward", DOCTOR_OK, "no rule", ""},
    /* something that is not known of the packet lets it through, or drops it */
    {CHAIN("fwd", "forward", "drop") RULE("fwd", 2, "{\"xt\":null}," ACCEPT), "firewall_forward",
     DOCTOR_WARNING, "perhaps", "nft insert"},
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 7, "{\"xt\":null}," DROP), "firewall_forward",
     DOCTOR_WARNING, "perhaps dropped by rule 7", "nft insert"},
    /* rules about others */
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, MATCH("==", SADDR, "\"192.0.2.7\"") DROP)
         RULE("fwd", 3, MATCH("==", IIFNAME, "\"virbr0\"") DROP)
             RULE("fwd", 4, MATCH("in", STATE, "\"invalid\"") DROP)
                 RULE("fwd", 5, MATCH("==", DPORT, "25") DROP),
     "firewall_forward", DOCTOR_OK, "no rule", ""},
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, MATCH("==", DADDR, RANGE) DROP),
     "firewall_forward", DOCTOR_PROBLEM, "packets between containers are dropped by rule 2",
     "nft insert rule ip filter fwd"},
    {CHAIN("fwd", "forward", "accept") RULE(
         "fwd", 2, MATCH("==", DADDR, "{\"prefix\":{\"addr\":\"10.128.4.0\",\"len\":22}}") DROP),
     "firewall_forward", DOCTOR_WARNING, "perhaps", "nft insert"},
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, "{\"reject\":{\"type\":\"icmpx\"}}"),
     "firewall_forward", DOCTOR_PROBLEM, "rule 2", "nft insert"},
    /* a return before it, and a goto that does not come back */
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, "{\"return\":null}") RULE("fwd", 3, DROP),
     "firewall_forward", DOCTOR_OK, "no rule", ""},
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, "{\"goto\":{\"target\":\"x\"}}")
         RULE("fwd", 3, DROP),
     "firewall_forward", DOCTOR_OK, "no rule", ""},
    /* chains that jump to themselves end */
    {CHAIN("fwd", "forward", "accept") RULE("fwd", 2, JUMP("fwd")), "firewall_forward", DOCTOR_OK,
     "no rule", ""},
    /* to the host */
    {CHAIN("in", "input", "drop") RULE("in", 2, MATCH("==", DPORT, "4789") ACCEPT),
     "firewall_names", DOCTOR_PROBLEM, "169.254.1.1:53 are dropped",
     "nft insert rule ip filter in ip saddr 10.128.0.0/9 ip daddr 169.254.1.1 accept"},
    {CHAIN("in", "input", "drop") RULE("in", 2, MATCH("==", DPORT, "4789") ACCEPT),
     "firewall_tunnel", DOCTOR_OK, "no rule", ""},
    {CHAIN("in", "input", "drop") RULE("in", 2, MATCH("==", DPORT, "{\"set\":[22,53]}") ACCEPT),
     "firewall_names", DOCTOR_OK, "no rule", ""},
    {CHAIN("in", "input", "drop") RULE("in", 2, MATCH("==", IIFNAME, "\"lo\"") ACCEPT),
     "firewall_tunnel", DOCTOR_PROBLEM, "VXLAN port",
     "nft insert rule ip filter in udp dport 4789"},
    {CHAIN("INPUT", "input", "drop") "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":"
                                     "\"ufw-user-input\"}},",
     "firewall_tunnel", DOCTOR_PROBLEM, "ufw: the policy", "ufw allow 4789/udp"},
};

static const struct doctor_row *row_of(const char *id)
{
    unsigned i = 0;

    while (i < doctor_rows_n && strcmp(doctor_rows[i].id, id) != 0) {
        i++;
    }
    ck_assert_uint_lt(i, doctor_rows_n);
    return &doctor_rows[i];
}

static struct doctor_world world(void)
{
    struct doctor_world w = {.proc = root,
                             .sys = root,
                             .etc = root,
                             .modules = root,
                             .state_path = root,
                             .id_base = 524288,
                             .range = 0x0a800000,
                             .range_prefix = 9,
                             .address = 0xc0000201,
                             .underlay = "eth0"};

    return w;
}

START_TEST(rules_of_others)
{
    const struct rules_case *c = &cases[_i];
    auto_buf struct buf json = {0};
    struct doctor_world w = world();
    struct doctor_result r = {0};
    struct nftrules *rules = NULL;

    buf_printf(&json,
               "{\"nftables\":[{\"metainfo\":{}},%s{\"table\":{\"family\":\"ip\","
               "\"name\":\"filter\"}}]}",
               c->rules);
    ck_assert_int_eq(nftrules_parse(buf_text(&json), json.len, &rules, NULL), 0);
    w.rules = rules;
    row_of(c->id)->check(&w, &r);
    ck_assert_msg(r.state == c->state && strstr(r.text, c->says) != NULL, "%s: %s",
                  doctor_state_name(r.state), r.text);
    ck_assert_msg(strncmp(r.mend, c->mend, strlen(c->mend)) == 0 &&
                      (c->mend[0] != '\0' || r.mend[0] == '\0'),
                  "%s", r.mend);
    nftrules_destroy(rules);
}
END_TEST

START_TEST(rules_of_our_own_do_not_count)
{
    static const char json[] =
        "{\"nftables\":[{\"chain\":{\"family\":\"inet\",\"table\":\"wherry_s1\",\"name\":\"f\","
        "\"type\":\"filter\",\"hook\":\"forward\",\"policy\":\"drop\"}}]}";
    struct doctor_world w = world();
    struct doctor_result r = {0};
    struct nftrules *rules = NULL;

    ck_assert_int_eq(nftrules_parse(json, strlen(json), &rules, NULL), 0);
    w.rules = rules;
    row_of("firewall_forward")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_OK);
    nftrules_destroy(rules);
}
END_TEST

START_TEST(what_is_no_ruleset)
{
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"nftables\":7}", "Error: Could not process rule"};
    struct nftrules *rules = NULL;
    struct doctor_world w = world();
    struct doctor_result r = {0};

    ck_assert_int_eq(nftrules_parse(texts[_i], strlen(texts[_i]), &rules, NULL), -EBADMSG);
    (void)snprintf(w.rules_error, sizeof(w.rules_error), "nft is not there");
    row_of("firewall_forward")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_WARNING);
    ck_assert_str_eq(r.text, "the rules could not be read: nft is not there");
}
END_TEST

/* ---- files ---- */

static void put(const char *path, const char *text)
{
    auto_free char *full = xasprintf("%s/%s", root, path);
    FILE *f;

    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "we");
    ck_assert_ptr_nonnull(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static const struct file_case {
    const char *id;
    const char *path;
    const char *text;
    enum doctor_state state;
    const char *says;
    const char *mend;
} files[] = {
    {"ip_forward", "sys/net/ipv4/ip_forward", "1\n", DOCTOR_OK, "on", ""},
    {"ip_forward", "sys/net/ipv4/ip_forward", "0\n", DOCTOR_PROBLEM, "off",
     "sysctl -w net.ipv4.ip_forward=1"},
    {"rp_filter", "sys/net/ipv4/conf/eth0/rp_filter", "0\n", DOCTOR_OK, "not strict", ""},
    {"rp_filter", "sys/net/ipv4/conf/eth0/rp_filter", "1\n", DOCTOR_WARNING, "strict on eth0",
     "sysctl -w net.ipv4.conf.eth0.rp_filter=2"},
    {"rp_filter", "sys/net/ipv4/conf/all/rp_filter", "2\n", DOCTOR_OK, "loose", ""},
    {"conntrack", "sys/net/netfilter/nf_conntrack_count", "10\n", DOCTOR_NOT_HERE, "not", ""},
    {"user_namespaces", "sys/user/max_user_namespaces", "0\n", DOCTOR_PROBLEM, "at most 0",
     "sysctl -w user.max_user"},
    {"user_namespaces", "sys/user/max_user_namespaces", "65000\n", DOCTOR_OK, "65000", ""},
    {"vxlan", "module/vxlan/x", "", DOCTOR_OK, "loaded", ""},
    {"vxlan", "x", "", DOCTOR_WARNING, "no module", "modprobe vxlan"},
    {"wireguard", "x", "", DOCTOR_NOT_HERE, "no module", ""},
    {"ids", "subuid", "user:524288:65536\n", DOCTOR_OK, "1 more", ""},
    {"ids", "subuid", "user:524288:1878523904\n", DOCTOR_PROBLEM, "only 0 of", "wherry-agent"},
    {"resolver", "resolv.conf", "search example.org\n", DOCTOR_PROBLEM, "names no IPv4", "echo"},
    {"vxlan_port", "net/udp",
     "  sl  local_address rem_address   st tx_queue\n"
     "    1: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 "
     "0 2 0000000000000000 0\n",
     DOCTOR_OK, "the kernel's", ""},
    {"firewall_legacy", "net/ip_tables_names", "filter\n", DOCTOR_WARNING, "iptables-legacy",
     "iptables-legacy -S"},
};

START_TEST(files_of_the_host)
{
    const struct file_case *c = &files[_i];
    struct doctor_world w = world();
    struct doctor_result r = {0};

    put("sys/net/ipv4/ip_forward", "1\n");
    put(c->path, c->text);
    row_of(c->id)->check(&w, &r);
    ck_assert_msg(r.state == c->state && strstr(r.text, c->says) != NULL, "%s: %s",
                  doctor_state_name(r.state), r.text);
    ck_assert_msg(strncmp(r.mend, c->mend, strlen(c->mend)) == 0, "%s", r.mend);
}
END_TEST

START_TEST(a_table_of_connections_that_fills)
{
    struct doctor_world w = world();
    struct doctor_result r = {0};

    put("sys/net/netfilter/nf_conntrack_max", "1000\n");
    put("sys/net/netfilter/nf_conntrack_count", "800\n");
    row_of("conntrack")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_WARNING);
    ck_assert_str_eq(r.text, "800 of 1000 are in use; when it is full new connections are dropped");
    put("sys/net/netfilter/nf_conntrack_count", "990\n");
    row_of("conntrack")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_PROBLEM);
}
END_TEST

START_TEST(packets_between_hosts)
{
    static const struct {
        unsigned mtu;
        enum doctor_state state;
        const char *text;
    } rows[] = {
        {1500, DOCTOR_OK,
         "1500 bytes on eth0: 1500 between containers of hosts on one link, 1450 by VXLAN"},
        {1400, DOCTOR_WARNING,
         "1400 bytes on eth0: 1400 between containers of hosts on one link, 1350 by VXLAN"},
        {1280, DOCTOR_PROBLEM, "eth0 takes packets of 1280 bytes only; 1330 are needed"},
    };
    struct doctor_world w = world();
    struct doctor_result r = {0};

    w.underlay_mtu = rows[_i].mtu;
    row_of("underlay_mtu")->check(&w, &r);
    ck_assert_int_eq(r.state, rows[_i].state);
    ck_assert_str_eq(r.text, rows[_i].text);
    ck_assert_int_eq(r.mend[0] != '\0', rows[_i].state != DOCTOR_OK);
}
END_TEST

START_TEST(a_clock_that_is_wrong)
{
    struct doctor_world w = world();
    struct doctor_result r = {0};

    w.has_offset = true;
    w.clock_offset_ms = -5500;
    row_of("clock")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_WARNING);
    ck_assert_str_eq(r.text, "-5.5 s against the controller's");
    w.clock_offset_ms = 90000;
    row_of("clock")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_PROBLEM);
}
END_TEST

START_TEST(somebody_has_the_name_servers_port)
{
    struct doctor_world w = world();
    struct doctor_result r = {0};
    char fd[96], target[] = "socket:[4711]";

    put("net/udp", "  sl  local_address rem_address   st\n"
                   "    1: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 99 2 0 0\n");
    row_of("dns_port")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_OK); /* of the loopback only */
    put("net/udp", "  sl  local_address rem_address   st\n"
                   "    1: 00000000:0035 00000000:0000 07 0:0 0:0 0 0 0 4711 2 0 0\n");
    put("77/comm", "dnsmasq\n");
    put("77/fd/x", "");
    (void)snprintf(fd, sizeof(fd), "%s/77/fd/5", root);
    ck_assert_int_eq(symlink(target, fd), 0);
    row_of("dns_port")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_PROBLEM);
    ck_assert_ptr_nonnull(strstr(r.text, "dnsmasq has port 53"));
    put("77/comm", "wherry-agent\n");
    row_of("dns_port")->check(&w, &r);
    ck_assert_int_eq(r.state, DOCTOR_OK);
}
END_TEST

struct heard {
    struct socket list[8];
    unsigned n;
};

static void hear(void *arg, const struct socket *s)
{
    struct heard *h = arg;

    ck_assert_uint_lt(h->n, 8);
    h->list[h->n++] = *s;
}

START_TEST(sockets_that_listen)
{
    struct heard h = {0};

    ck_assert(!sockets_each(root, hear, &h));
    put("tcp", "  sl  local_address rem_address   st\n"
               "   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 11 1 0 0\n"
               "   1: 0100007F:1F91 0100007F:0050 01 0:0 0:0 0 0 0 12 1 0 0\n"
               "garbage\n");
    put("tcp6", "  sl  local_address remote_address   st\n"
                "   0: 00000000000000000000000000000000:0050 "
                "00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 13 1 0 0\n"
                "   1: 00000000000000000000000001000000:0051 "
                "00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 14 1 0 0\n");
    ck_assert(sockets_each(root, hear, &h));
    ck_assert_uint_eq(h.n, 3);
    ck_assert_int_eq(h.list[0].on, SOCKETS_LOOPBACK);
    ck_assert_uint_eq(h.list[0].port, 8080);
    ck_assert_uint_eq(h.list[0].address, 0x7f000001);
    ck_assert_uint_eq(h.list[0].inode, 11);
    ck_assert(h.list[1].v6);
    ck_assert_int_eq(h.list[1].on, SOCKETS_ANY);
    ck_assert_uint_eq(h.list[1].port, 80);
    ck_assert_int_eq(h.list[2].on, SOCKETS_LOOPBACK);
}
END_TEST

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void set_up(void)
{
    (void)snprintf(root, sizeof(root), "/tmp/wherry-doctor-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void tear_down(void)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    Suite *s = suite_create("doctor");
    TCase *t = tcase_create("all");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, rules_of_others, 0, ARRAY_LEN(cases));
    tcase_add_test(t, rules_of_our_own_do_not_count);
    tcase_add_loop_test(t, what_is_no_ruleset, 0, 6);
    tcase_add_loop_test(t, files_of_the_host, 0, ARRAY_LEN(files));
    tcase_add_test(t, a_table_of_connections_that_fills);
    tcase_add_loop_test(t, packets_between_hosts, 0, 3);
    tcase_add_test(t, a_clock_that_is_wrong);
    tcase_add_test(t, somebody_has_the_name_servers_port);
    tcase_add_test(t, sockets_that_listen);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
