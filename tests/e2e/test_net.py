#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers on all hosts find and reach each other: test_net.py BIN-DIR [NAME…] [--long]

Three hosts: a and b are neighbours on one link, c is behind a router. The tests build upon each
other and run in this order."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import HERE, Cluster, Failure, Leaks, Serving6, Suite, build_images, http_get, inside, read_text, run, until  # noqa: E402

INSIDE = os.path.join(HERE, "inside.py")
LONG = "--long" in sys.argv

SHOP = """
name: shop
services:
  web:
    image: shop/web:1
    environment: {{COLOUR: "{colour}"}}
    ports: ["8080:8080"]
    networks: {{front: , back: }}
    healthcheck: {{test: ["HTTP", "http://:8080/healthz"], interval: 1s, timeout: 1s, retries: 2, start_period: 10s, start_interval: 100ms}}
    deploy: {{replicas: {web}, resources: {{limits: {{memory: 32M}}}}}}
  api:
    image: shop/api:1
    environment: {{COLOUR: "{colour}"}}
    networks: {{back: {{aliases: [backend]}}}}
    healthcheck: {{test: ["TCP", ":9000"], interval: 1s, start_period: 10s, start_interval: 100ms}}
    stop_grace_period: 5s
    deploy: {{mode: global}}
  direct:
    image: shop/api:1
    networks: [back]
    deploy: {{replicas: 3, endpoint_mode: dnsrr}}
  hidden:
    image: shop/api:1
    networks: [secret]
  client:
    image: shop/web:1
    networks: [front, back]
    deploy: {{mode: global}}
networks:
  front:
  back:
  secret: {{internal: true}}
"""

OTHER = """
name: other
services:
  web:
    image: shop/web:1
    deploy: {mode: global}
  quiet:
    image: shop/web:1
    x-wherry: {egress: deny}
"""

ASKED = """
name: asked
services:
  fixed:
    image: shop/web:1
    networks: {here: {ipv4_address: 10.77.0.9, mac_address: "02:42:0a:4d:00:09"}}
    x-wherry: {bandwidth: {in: 20mbit, out: 10mbit}}
  peer:
    image: shop/web:1
    networks: [here]
    deploy: {mode: global}
networks:
  here: {ipam: {config: [{subnet: 10.77.0.0/24}]}}
"""


SIX = """
name: {name}
services:
  peer:
    image: shop/web:1
    networks: [here]
    deploy: {{mode: global}}
networks:
  here: {{enable_ipv6: true}}
"""


def shop(colour="blue", web=3):
    return SHOP.format(colour=colour, web=web)


def all_well(c, stack):
    for s in c.json("status").get("stacks", []):
        if s["name"] == stack:
            return all(x.get("converged") for x in s["services"])
    return False


def container(c, stack, service, node=None):
    found = [p for p in c.ps(stack) if p["service"] == service and p["state"] == "running" and (node is None or p["node"] == node)]
    if not found:
        raise Failure(f"{stack}/{service} runs nowhere on {node or 'any node'}")
    return found[0]


def names_of(p, name, kind="A"):
    got = inside(p, "dns", name, kind)
    return sorted(got.get("answers", []))


class Client:
    """Asks without a pause from inside a container, until stop()."""

    def __init__(self, p, name, port, path="/", wait=4.0):
        self.who = p["name"]
        self.process = subprocess.Popen(["nsenter", "-t", str(p["pid"]), "-n", "--", "python3", INSIDE, "client", name, str(port), path, str(wait)],
                                        stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        return json.loads(out)


def watched(c, what, act, names=(("web", 8080, "/healthz"),), nodes=("a", "b", "c"), cuts=()):
    """Runs `act` while clients on these nodes ask; no request may fail. What was under way when a
    link was cut (a moment in `cuts`) has met a replica that then went out of reach: not counted."""
    clients = [Client(container(c, "shop", "client", node), *n) for node in nodes for n in names]
    try:
        time.sleep(0.3)
        act()
        time.sleep(0.3)
    finally:
        found = [k.stop() for k in clients]
    count, failed = sum(f["count"] for f in found), [x for f in found for x in f["first"]]
    cut_off = [x for x in failed if any(x[0] < cut < x[0] + x[1]["ms"] / 1000 and cut - x[0] < 0.1 for cut in cuts)]
    assert count > 50, found
    assert len(failed) == len(cut_off), f"{what}: {len(failed)} of {count} requests failed: {failed}"
    return f"{count} requests, none failed{f', {len(cut_off)} were under way at the cut' if cut_off else ''}, " \
        f"the slowest took {max(f['slowest_ms'] for f in found)} ms"


# ---- the tests ----

def applies(c):
    c.apply(shop(), "--wait", "--timeout", "60s")
    c.apply(OTHER, "--wait", "--timeout", "60s")


def names(c):
    for node in c.hosts:
        p = container(c, "shop", "client", node)
        vip = names_of(p, "api")
        assert len(vip) == 1 and vip[0].startswith("10.24"), vip
        for name in ("api.shop", "backend", "API", "api.shop.wherry.internal"):
            assert names_of(p, name) == vip, (name, names_of(p, name), vip)
        each = names_of(p, "tasks.api")
        assert len(each) == 3 and len(set(each)) == 3, each
        assert names_of(p, "direct") == names_of(p, "tasks.direct") and len(names_of(p, "direct")) == 3
        one = names_of(p, "2.direct")
        assert len(one) == 1 and one[0] in names_of(p, "direct"), one
        assert inside(p, "dns", "2.direct", "A", "tcp")["answers"] == one
        assert names_of(p, ".".join(reversed(one[0].split("."))) + ".in-addr.arpa", "PTR") == ["2.direct.shop.wherry.internal"]
        for unknown in ("hidden", "hidden.shop.wherry.internal", "web.other.wherry.internal", "quiet", "nothing", "1.hidden.shop.wherry.internal",
                        "tasks.hidden.shop.wherry.internal"):
            got = inside(p, "dns", unknown)
            assert not got.get("answers"), (unknown, got)
        assert inside(p, "dns", "api", "AAAA") == {"rcode": 0, "answers": [], "truncated": False}


def addresses(c):
    """Every replica answers at the virtual address, from every host, and sees the client's own address."""
    for node in c.hosts:
        p = container(c, "shop", "client", node)
        seen = set()
        for _ in range(60):
            got = inside(p, "get", "api", "9000", "/cgi-bin/index.cgi")
            assert got.get("status") == 200, got
            seen.add(json.loads(got["body"])["host"])
            if len(seen) == 3:
                break
        assert len(seen) == 3, seen
        for address in names_of(p, "direct"):
            assert inside(p, "connect", address, "9000")["result"] == "ok", address


def itself(c):
    """A replica that asks its own service may meet itself."""
    p = container(c, "shop", "api", "a")
    for _ in range(12):
        assert inside(p, "get", "api", "9000", "/cgi-bin/index.cgi").get("status") == 200


def matrix(c):
    """Who may reach whom, all pairs of stacks, networks, hosts; and what nobody may."""
    tried = 0
    targets = [p for s in ("shop", "other") for p in c.ps(s) if p["state"] == "running"]
    sources = [p for p in targets if (p["stack"], p["service"]) in (("shop", "client"), ("shop", "hidden"), ("shop", "api"), ("other", "web"))]
    on = {("shop", "web"): {"front", "back"}, ("shop", "api"): {"back"}, ("shop", "direct"): {"back"}, ("shop", "hidden"): {"secret"},
          ("shop", "client"): {"front", "back"}, ("other", "web"): {"default"}, ("other", "quiet"): {"default"}}
    port = {"web": 8080, "client": 8080, "quiet": 8080, "api": 9000, "direct": 9000, "hidden": 9000}
    hosts = [f"{h.address}:{p}" for h in c.hosts.values() for p in (22, 7420)] + ["169.254.169.254:80", "169.254.1.1:22"]
    for a in sources:
        place = {f"{b['address']}:{port[b['service']]}": b for b in targets if b is not a}
        found = inside(a, "many", "1", *place, *hosts)
        for where, b in place.items():
            may = a["stack"] == b["stack"] and bool(on[a["stack"], a["service"]] & on[b["stack"], b["service"]])
            assert found[where] == ("ok" if may else "timeout"), f"{a['name']}@{a['node']} to {b['name']}@{b['node']}: {found[where]}"
        for where in hosts:
            assert found[where] != "ok", f"{a['name']}@{a['node']} to {where}: {found[where]}"
        tried += len(found)
    return f"{tried} pairs"


def outwards(c):
    """Where the world is reached, and where not: from an internal network, and with egress denied."""
    assert inside(container(c, "shop", "client"), "connect", "10.99.0.1", c.port, "2")["result"] == "ok"
    for stack, service in (("shop", "hidden"), ("other", "quiet")):
        assert inside(container(c, stack, service), "connect", "10.99.0.1", c.port, "0.5")["result"] != "ok", service


def asked(c):
    """A link with an address, a MAC and limits of its own, reached by that address on every host."""
    c.apply(ASKED, "--wait")
    fixed = container(c, "asked", "fixed")
    assert "bandwidth: in 20mbit, out 10mbit: applied" in c.wherry("inspect", fixed["name"]).stdout
    link = run("nsenter", "-t", fixed["pid"], "-n", "--", "ip", "-o", "addr", "show", "eth0").stdout
    link += run("nsenter", "-t", fixed["pid"], "-n", "--", "ip", "-o", "link", "show", "eth0").stdout
    assert "02:42:0a:4d:00:09" in link and "10.77.0.9/32" in link and fixed["address"] + "/32" in link, link
    for node in c.hosts:
        until(f"it is reached from {node}", lambda n=node: inside(container(c, "asked", "peer", n), "connect", "10.77.0.9", "8080", "1")["result"] == "ok", timeout=5)
        assert inside(container(c, "shop", "client", node), "connect", "10.77.0.9", "8080", "0.5")["result"] != "ok", node
    host = c.hosts[fixed["node"]]
    link = host.exec("ip", "-4", "route", "show", fixed["address"]).stdout.split()[2]
    host.exec("tc", "qdisc", "del", "dev", link, "root")
    until("its limit is back", lambda: "tbf" in host.exec("tc", "qdisc", "show", "dev", link).stdout, timeout=2)
    traffic = [x for x in c.json("net", "stats")["containers"] if x["container"] == fixed["name"]]
    assert len(traffic) == 1 and traffic[0].get("in_bytes", 0) > 0 and traffic[0].get("connections", 0) > 0, traffic
    c.wherry("rm", "asked", "--wait")
    until("its links are gone", lambda: " wi" not in c.hosts[fixed["node"]].exec("ip", "-o", "link").stdout, timeout=5)


def ipv6(c):
    """Where a network asks for it: names and connections across hosts, refused to other stacks; also after agents were killed."""
    for name in ("six", "seven"):
        c.apply(SIX.format(name=name), "--wait")
    peers = {node: container(c, "six", "peer", node) for node in c.hosts}
    stranger = container(c, "seven", "peer", "a")
    for node, p in peers.items():
        hosts = read_text(f"/proc/{p['pid']}/root/etc/hosts")
        assert p["ipv6_address"].startswith("fd") and f"{p['ipv6_address']}\t" in hosts, (p, hosts)
        assert p["ipv6_address"] in c.wherry("net", "inspect", "six_here").stdout
    assert "ipv6_address" not in container(c, "shop", "client", "a")

    def all_meet():
        for node, p in peers.items():
            each = names_of(p, "tasks.peer", "AAAA")
            assert len(each) == 3 and all(x.startswith("fd") for x in each), each
            assert names_of(p, "peer", "AAAA") == each
            for address in each:
                got = inside(p, "connect", address, "6666", "3")
                assert got["result"] == "ok" and got["from"] in each, (node, address, got)
                assert inside(stranger, "connect", address, "6666", "0.3")["result"] == "timeout", address
        assert inside(peers["a"], "connect", "2001:db8::1", "80", "2")["result"] == "Network is unreachable"
        assert not names_of(container(c, "shop", "client", "a"), "web", "AAAA")
    with contextlib.ExitStack() as servers:
        for p in peers.values():
            servers.enter_context(Serving6(p, 6666))
        all_meet()
        for host in c.hosts.values():
            host.agent.kill()
            host.agent.start()
        until("agents are back", lambda: c.ready() == 3, timeout=20)
        all_meet()
    for name in ("six", "seven"):
        c.wherry("rm", name, "--wait")


def ingress(c):
    """The published port answers on every host, also where no replica is, and on its loopback."""
    c.apply(shop(web=1), "--wait")
    only = container(c, "shop", "web")["node"]
    for host in c.hosts.values():
        for address, netns in ((host.address, c.net), (host.address, host.netns), ("127.0.0.1", host.netns)):
            until(f"{host.name} answers at {address}", lambda a=address, n=netns: http_get(a, 8080, "/healthz", netns=n)[0] == 200, timeout=3)
    c.apply(shop(web=3), "--wait")
    return f"its one replica was on {only}"


def conflicts(c):
    out = c.apply("name: rival\nservices:\n  web:\n    image: shop/web:1\n    ports: ['8080:8080']\n", check=False)
    text = out.stdout + out.stderr + c.wherry("status", check=False).stdout
    until("the conflict is said", lambda: "8080" in c.wherry("status", "rival", check=False).stdout, timeout=5)
    c.wherry("rm", "rival", "--wait", check=False)
    assert "shop/web" in text or "8080" in text, text


def spoofed(c):
    """Somebody else's address: dropped where it leaves the container."""
    p, other = container(c, "shop", "client", "a"), container(c, "shop", "client", "b")
    assert inside(p, "raw-spoof", other["address"], container(c, "shop", "api", "a")["address"], "9000") == {"sent": 5}
    table = c.hosts["a"].exec("nft", "list", "ruleset").stdout
    assert "counter packets" in table, table[:500]


def rolling(c):
    return watched(c, "a rolling change", lambda: c.apply(shop("green"), "--wait", "--timeout", "60s"),
                   names=(("web", 8080, "/healthz"), ("api", 9000, "/healthz")))


def moving(c):
    def act():
        for n in (5, 2, 4, 3):
            c.apply(shop("green", web=n), "--wait", "--timeout", "60s")
    return watched(c, "replicas come and go", act)


def agent_killed(c):
    def act():
        for host in c.hosts.values():
            host.agent.kill()
            time.sleep(0.5)
            host.agent.start()
            until("it is back", lambda: c.ready() == 3, timeout=20)
    return watched(c, "agents are killed", act)


def controller_away(c):
    def act():
        c.controller.kill()
        time.sleep(60 if LONG else 8)
        c.controller.start()
        until("all nodes are ready", lambda: c.ready() == 3, timeout=30)
        time.sleep(1)
    return watched(c, "the controller is away", act)


def names_without_controller(c):
    """Killed agents come back with the names they knew, while there is no controller."""
    c.controller.kill()
    try:
        c.hosts["a"].agent.kill()
        c.hosts["a"].agent.start()
        p = pid_of(c, "a")
        until("names are there again", lambda: len(names_of(p, "tasks.api")) == 3, timeout=10)
        assert inside(p, "get", "api", "9000", "/healthz").get("status") == 200
    finally:
        c.controller.start()
        until("all nodes are ready", lambda: c.ready() == 3, timeout=30)


def port_taken(c):
    """Somebody else has the name server's port: all else goes on, the node says so, and it comes back."""
    def degraded():
        return [n.get("degraded", "") for n in c.json("nodes")["nodes"] if n["name"] == "b"][0]
    host, p = c.hosts["b"], LAST["b"]
    vip = names_of(p, "api")[0]
    host.agent.kill()
    other = subprocess.Popen(["nsenter", f"--net=/run/netns/{host.netns}", "--", "python3", "-c",
                              "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53)); print('has it', flush=True); time.sleep(60)"],
                             stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"has it\n"
        host.agent.start()
        until("the node says so", lambda: c.ready() == 3 and "53" in degraded(), timeout=20)
        assert inside(p, "get", vip, "9000", "/healthz").get("status") == 200
    finally:
        other.kill()
        other.wait()
    until("names are there again", lambda: names_of(p, "api") == [vip], timeout=10)
    until("the node is well", lambda: "53" not in degraded(), timeout=5)


LAST = {}


def pid_of(c, node):
    return LAST[node]


def remember(c):
    for node in c.hosts:
        LAST[node] = container(c, "shop", "client", node)


def flap(c, host, cut, join, seconds):
    """Whoever can reach a ready replica does; a second after healing nothing stale is left."""
    before = {n: names_of(LAST[n], "tasks.api") for n in c.hosts}

    cuts = []

    def act():
        cuts.append(time.time())
        cut()
        cuts.append(time.time())
        time.sleep(seconds)
        join()
        until("all nodes are ready", lambda: c.ready() == 3, timeout=30)
        time.sleep(1)
        until("each replica is known again", lambda: all(len(names_of(LAST[n], "tasks.api")) == 3 for n in c.hosts), timeout=15)
        time.sleep(1)
    note = watched(c, f"{host} is cut off for {seconds} s", act, names=(("api", 9000, "/healthz"),), cuts=cuts)
    for n in c.hosts:
        now = names_of(LAST[n], "tasks.api")
        assert now == sorted(p["address"] for p in c.ps("shop") if p["service"] == "api" and p["state"] == "running"), (n, now, before[n])
    return note


def link_cut(c):
    return flap(c, "c", lambda: c.hosts["c"].link(False), lambda: c.hosts["c"].link(True), 20 if LONG else 10)


def link_down(c):
    return flap(c, "b", lambda: c.hosts["b"].flap(False), lambda: c.hosts["b"].flap(True), 10 if LONG else 5)


def faults(c):
    """What others remove comes back within a second."""
    took = []
    a = c.hosts["a"]
    p = LAST["a"]
    direct = container(c, "shop", "api", "b")["address"]
    behind = container(c, "shop", "api", "c")["address"]
    for what in (("nft", "flush", "ruleset"), ("nft", "delete", "table", "inet", table_of(a)),
                 ("ip", "route", "flush", "proto", "87"), ("ip", "addr", "del", "169.254.1.1/32", "dev", "lo"),
                 ("sh", "-c", "ip -o link show type vxlan | awk -F': ' '{print $2}' | xargs -n1 ip link del")):
        a.exec(*what)
        began = time.monotonic()
        until(f"after {' '.join(what)} all is there again",
              lambda: len(names_of(p, "tasks.api")) == 3 and inside(p, "connect", direct, "9000", "0.3")["result"] == "ok" and
              inside(p, "connect", behind, "9000", "0.3")["result"] == "ok" and http_get(a.address, 8080, "/healthz", netns=c.net, timeout=1)[0] == 200, timeout=6)
        took.append(time.monotonic() - began)
    assert max(took) < 4, took
    return "slowest: %.1f s, looking included" % max(took)


def table_of(host):
    for line in host.exec("nft", "list", "tables").stdout.splitlines():
        if "wherry" in line:
            return line.split()[-1]
    raise Failure("no table of ours")


def link_removed(c):
    """A container's link that somebody removed: the container is started again, and answers."""
    victim = container(c, "shop", "direct", "a")
    index = run("nsenter", "-t", victim["pid"], "-n", "--", "ip", "-o", "link", "show", "eth0").stdout.split("@if")[1].split(":")[0]
    name = [l.split(": ")[1].split("@")[0] for l in c.hosts["a"].exec("ip", "-o", "link").stdout.splitlines() if l.split(":")[0] == index][0]
    c.hosts["a"].exec("ip", "link", "del", name)
    until("its replacement answers", lambda: any(p["service"] == "direct" and p["node"] == "a" and p["state"] == "running" and
                                                 p["pid"] != victim["pid"] for p in c.ps("shop")) and
          all(inside(LAST["b"], "connect", x, "9000", "0.5")["result"] == "ok" for x in names_of(LAST["b"], "direct")), timeout=20)


def removed(c):
    c.wherry("rm", "other", "--wait")
    assert not names_of(LAST["a"], "web.other")
    c.remove_stacks(timeout=60)
    for host in c.hosts.values():
        assert host.agent.stop() == 0
        left = host.exec("ip", "-o", "link").stdout + host.exec("ip", "route").stdout + host.exec("nft", "list", "tables").stdout
        left += host.exec("ip", "-6", "route").stdout
        assert " wh" not in left and " wy" not in left and "proto 87" not in left and "wherry" not in left and "10.128" not in left, left
        assert "169.254.1.1" not in host.exec("ip", "-o", "addr").stdout


TESTS = [applies, names, addresses, itself, matrix, outwards, asked, ipv6, ingress, conflicts, spoofed, remember, rolling, remember, moving, agent_killed,
         controller_away, names_without_controller, port_taken, link_cut, link_down, faults, link_removed, removed]


def main():
    bin_dir, only = os.path.abspath(sys.argv[1]), [a for a in sys.argv[2:] if not a.startswith("-")]
    suite, leaks = Suite(), Leaks()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out)
        with Cluster(bin_dir, images=images, segments={"a": 1, "b": 1, "c": 2}) as c:
            for test in TESTS:
                if not only or test.__name__ in only or test in (applies, remember):
                    suite.test(test.__name__, test, c)
            if suite.failed:
                c.show_logs()
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
