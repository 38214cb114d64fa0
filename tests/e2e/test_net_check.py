#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wherry doctor and wherry net check: what is broken on purpose is named: test_net_check.py BIN-DIR [NAME…]

Two hosts; web is on a, all others on b. Each test breaks one thing, looks whether the right hop is
named, mends it (where a command is given, by that command), and looks again."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import Cluster, Leaks, Suite, build_images, until  # noqa: E402

SERVE = 'entrypoint: ["/bin/sh", "-c", "trap \'kill $$!; exit 0\' TERM; httpd -f -h /www -p {} & wait"]'
ON_B = "deploy: {placement: {constraints: [node.hostname==b]}}"

SHOP = f"""
name: shop
services:
  web:
    image: shop/web:1
    deploy: {{placement: {{constraints: [node.hostname==a]}}}}
  db:
    image: shop/web:1
    {ON_B}
  shy:
    image: shop/web:1
    {SERVE.format("127.0.0.1:8080")}
    {ON_B}
  ill:
    image: shop/web:1
    healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 1}}
    {ON_B}
"""
BLOG = f"""
name: blog
services:
  other:
    image: shop/web:1
    {ON_B}
"""


def check(c, to, source="shop/web"):
    out = c.wherry("-o", "json", "net", "check", source, to, check=False)
    assert out.returncode in (0, 1), out
    answer = json.loads(out.stdout)
    assert out.returncode == (1 if answer.get("broken") else 0), out
    return answer


def whole(c, to="db:8080"):
    return check(c, to).get("text", "").endswith(f"reaches {to.split(':')[0]}")


def broken(c, to, hop, *words):
    answer = check(c, to)
    assert answer.get("broken") == hop, (hop, answer)
    for word in words:
        assert word in answer["text"] + answer.get("mend", ""), (word, answer)
    return answer


def findings(c, node, *args):
    out = c.wherry("-o", "json", "doctor", node, *args, check=False)
    answer = json.loads(out.stdout)
    found = {f["id"]: f for f in answer.get("findings", [])}
    assert out.returncode == any(f["state"] == "problem" for f in found.values()) or answer.get("unasked"), out
    return found


def address_of(c, name):
    return next(p["address"] for p in c.ps() if p["name"] == name and p["state"] == "running")


# ---- doctor ----

def all_is_well(c):
    for node in c.hosts:
        found = findings(c, node)
        assert len(found) >= 20, found
        problems = [f for f in found.values() if f["state"] == "problem"]
        assert not problems, problems
    out = c.wherry("doctor")
    assert "node a: 0 problems" in out.stdout and "node b: 0 problems" in out.stdout, out
    return f"{len(found)} checks of each node"


def a_policy_of_others(c):
    host = c.hosts["a"]
    host.exec("nft", "add table inet foreign; add chain inet foreign pass { type filter hook forward priority 10; policy drop; }")
    try:
        found = findings(c, "a")["firewall_forward"]
        assert found["state"] == "problem" and "chain pass in table inet foreign" in found["text"], found
        out = c.wherry("doctor", check=False)
        assert out.returncode == 1 and found["mend"] in out.stdout, out
        host.exec("sh", "-c", found["mend"])
        assert findings(c, "a")["firewall_forward"]["state"] == "ok"
        alone = host.exec(c.bin("wherry-agent"), "doctor", "--address", host.address, "--state", host.state)
        assert "no rule of others drops them" in alone.stdout, alone
    finally:
        host.exec("nft", "delete table inet foreign")


def forwarding_is_off(c):
    host = c.hosts["b"]
    host.exec("sysctl", "-qw", "net.ipv4.ip_forward=0")
    try:
        found = findings(c, "b")["ip_forward"]
        assert found["state"] == "problem", found
        broken(c, "db:8080", "forwarding", "on b")
        host.exec("sh", "-c", found["mend"].split(" && ")[0])
    finally:
        host.exec("sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert findings(c, "b")["ip_forward"]["state"] == "ok"


def a_route_of_others(c):
    host = c.hosts["a"]
    host.exec("ip", "route", "add", "10.200.0.0/24", "dev", "lo")
    try:
        found = findings(c, "a")["routes"]
        assert found["state"] == "problem" and "10.200.0.0/24" in found["text"], found
        host.exec("sh", "-c", found["mend"].split(",")[0])
    finally:
        host.exec("ip", "route", "del", "10.200.0.0/24", check=False)
    assert findings(c, "a")["routes"]["state"] == "ok"


def a_node_that_is_gone(c):
    c.hosts["b"].agent.kill()
    until("b's session is over", lambda: "node b: not looked at" in c.wherry("doctor", check=False).stdout)
    out = c.wherry("doctor", check=False)
    assert out.returncode == 1 and "node a: 0 problems" in out.stdout, out
    broken(c, "db:8080", "peer", "node b does not answer the controller")
    c.hosts["b"].agent.start()
    until("b is back", lambda: c.ready() == 2)
    until("the way is whole again", lambda: whole(c))


# ---- net check ----

def the_way_is_whole(c):
    until("web reaches db", lambda: whole(c))
    answer = check(c, "db:8080")
    states = {s["id"]: s["state"] for s in answer["steps"]}
    for hop in ("source", "name", "backend", "vip", "target", "network", "route", "rules", "mtu", "route_back", "listens", "connect"):
        assert states[hop] == "ok", (hop, answer)
    # an outward name is out of reach here, and said to be none of the cluster's
    broken(c, "www.example.org:80", "name", "no name of the cluster")
    for to in ("shop/db:8080", "shop/db.1:8080", "db.shop:8080", "1.db:8080", "tasks.db:8080", f"{address_of(c, 'shop/db.1')}:8080"):
        assert not check(c, to).get("broken"), (to, check(c, to))
    out = c.wherry("net", "check", "shop/web.1", "db:8080")
    assert out.stdout.splitlines()[-1] == "shop/web.1 reaches db", out


def traffic_and_networks(c):
    before = {t["container"]: t for t in c.json("net", "stats").get("containers", [])}
    assert set(before) >= {"shop/web.1", "shop/db.1", "blog/other.1"}, before
    assert not check(c, "db:8080").get("broken")
    after = {t["container"]: t for t in c.json("net", "stats").get("containers", [])}
    for name in ("shop/web.1", "shop/db.1"):
        assert after[name]["in_packets"] > before[name].get("in_packets", 0), (name, before, after)
        assert after[name]["address"] == address_of(c, name), after[name]
    assert c.wherry("net", "ls").stdout.splitlines()[1].split()[0] == "blog_default"
    assert f"at {address_of(c, 'shop/db.1')}" not in c.wherry("net", "inspect", "blog_default").stdout
    shown = c.wherry("net", "inspect", "shop_default").stdout
    assert "shop/db at 10.240." in shown and address_of(c, "shop/db.1") in shown, shown


def wrong_words(c):
    for code, args in ((3, ("shop/nobody", "db:80")), (3, ("shop/web", "shop/nobody:80")), (2, ("shop/web", "db:0")), (1, ("web", "db:80"))):
        out = c.wherry("net", "check", *args, check=False)
        assert out.returncode == code, (args, out)


def a_name_that_is_none(c):
    broken(c, "dbb:8080", "name", "dbb")


def another_stack(c):
    for to in ("other.blog:8080", "blog/other:8080"):
        broken(c, to, "name", "other is a service of stack blog", "one network")
    broken(c, f"{address_of(c, 'blog/other.1')}:8080", "network", "share no network")


def nobody_is_ready(c):
    until("ill is unhealthy", lambda: any(p["name"] == "shop/ill.1" and (p["health"] == "unhealthy" or p.get("restarts")) for p in c.ps("shop")))
    until("everybody knows it", lambda: check(c, "ill:8080").get("broken") == "backend")
    answer = check(c, "ill:8080")  # between two attempts it has none
    assert "none of its 1 containers is ready" in answer["text"] or "shop/ill has no container" in answer["text"], answer


def only_on_the_loopback(c):
    broken(c, "shy:8080", "listens", "port 8080 of 127.0.0.1 only", "0.0.0.0")


def the_wrong_port(c):
    broken(c, "db:9", "listens", "nobody in shop/db.1 listens on port 9, but on 8080")


def no_route(c):
    host, to = c.hosts["a"], address_of(c, "shop/db.1")
    host.exec("ip", "route", "add", "unreachable", f"{to}/32")
    try:
        broken(c, "db:8080", "route", f"a has no route to {to}")
    finally:
        host.exec("ip", "route", "del", "unreachable", f"{to}/32")
    until("the way is whole again", lambda: whole(c))


def a_rule_of_others(c):
    host, to = c.hosts["b"], address_of(c, "shop/db.1")
    host.exec("nft", f"add table ip strict; add chain ip strict pass {{ type filter hook forward priority 5; }}; add rule ip strict pass ip daddr {to} drop")
    try:
        answer = broken(c, "db:8080", "firewall", "on b", "table ip strict")
        host.exec("sh", "-c", answer["mend"].removeprefix("on b: "))
        until("the way is whole again", lambda: whole(c))
    finally:
        host.exec("nft", "delete table ip strict")


def main():
    bin_dir = os.path.abspath(sys.argv[1])
    images = tempfile.mkdtemp(prefix="wherry-images-", dir="/var/tmp")
    leaks, suite = Leaks(), Suite()
    tests = [all_is_well, a_policy_of_others, a_route_of_others, the_way_is_whole, traffic_and_networks, wrong_words, a_name_that_is_none, another_stack, nobody_is_ready,
             only_on_the_loopback, the_wrong_port, no_route, a_rule_of_others, forwarding_is_off, a_node_that_is_gone]
    try:
        with Cluster(bin_dir, hosts=("a", "b"), images=build_images(images, "web")) as c:
            for stack in (SHOP, BLOG):
                c.apply(stack)
            until("all run", lambda: sum(p["state"] in ("running", "unhealthy", "starting") for p in c.ps()) == 5)
            for test in tests:
                if not sys.argv[2:] or test.__name__ in sys.argv[2:]:
                    suite.test(test.__name__, test, c)
            c.remove_stacks()
        suite.test("nothing is left behind", leaks.check)
    finally:
        shutil.rmtree(images)
    sys.exit(suite.end())


if __name__ == "__main__":
    main()
