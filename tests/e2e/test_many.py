#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two thousand containers on one host, in a cluster whose nodes have blocks large enough, and more
than one host has addresses for, in one whose blocks are small: test_many.py BIN-DIR

All run, have addresses of their own, and are found by name and reached from another host; then all
go, and nothing of them is left."""
import collections
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import Cluster, Leaks, Suite, build_images, inside, until  # noqa: E402

MANY = 2000
STACK = """
name: many
services:
  one:
    image: shop/api:1
    networks: [all]
    deploy: {{replicas: {many}, placement: {{constraints: [node.hostname == a]}},
      resources: {{limits: {{memory: 8M, pids: 12}}, reservations: {{memory: 1M}}}}}}
  client:
    image: shop/web:1
    networks: [all]
    deploy: {{placement: {{constraints: [node.hostname == b]}}}}
networks: {{all: }}
"""


FULL = """
name: {name}
services:
  one:
    image: shop/web:1
    stop_grace_period: 1s
    deploy: {{replicas: {replicas}, resources: {{limits: {{memory: 16M}}, reservations: {{memory: 1M}}}}}}
"""


def running(c):
    return collections.Counter(p["service"] for p in c.ps("many") if p["state"] == "running" and p.get("address"))


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def start(c):
    began = time.monotonic()
    c.apply(STACK.format(many=MANY))
    until("all run", lambda: running(c) == {"one": MANY, "client": 1}, timeout=300, pause=1)
    took = time.monotonic() - began
    return f"{took:.0f} s until all were seen to run; the agent holds {pss_kb(c.hosts['a'].agent.pid) / 1024:.0f} MB, " \
        f"the controller {pss_kb(c.controller.pid) / 1024:.0f} MB"


def reached(c):
    """Each by its own address, from another host; and together by their name."""
    all_of_them = c.ps("many")
    client = next(p for p in all_of_them if p["service"] == "client")
    places = {f"{p['address']}:9000" for p in all_of_them if p["service"] == "one"}
    assert len(places) == MANY, f"{len(places)} addresses for {MANY} containers"
    got = inside(client, "many", "20", *sorted(places), timeout=120)
    missed = {k: v for k, v in got.items() if v != "ok"}
    assert len(got) == MANY and not missed, dict(list(missed.items())[:5])
    for name in (f"{MANY}.one", "1.one"):
        assert len(inside(client, "dns", name)["answers"]) == 1, name
    seen = {inside(client, "get", "one", "9000", "/cgi-bin/index.cgi")["body"] for _ in range(20)}
    assert len(seen) > 10, seen
    return f"{MANY} by their addresses, {len(seen)} different ones in 20 requests by name"


def agent_restarts(c):
    """Another agent finds all of them as they were."""
    agent, before = c.hosts["a"].agent, {p["name"]: p["pid"] for p in c.ps("many")}
    agent.kill()
    until("the agent is missed", lambda: not c.nodes()["a"].get("connected"))
    began = time.monotonic()
    agent.start()
    until("the node is there", lambda: c.nodes()["a"].get("connected") and c.nodes()["a"]["state"] == "ready", timeout=30)
    until("all are as they were", lambda: {p["name"]: p.get("pid") for p in c.ps("many")} == before, timeout=30)
    return f"{time.monotonic() - began:.1f} s until it had them all"


def gone(c):
    began = time.monotonic()
    c.remove_stacks(timeout=240)
    host = c.hosts["a"]
    until("no link is left", lambda: " wi" not in host.exec("ip", "-o", "link").stdout, timeout=60)
    return f"{time.monotonic() - began:.0f} s"


def exhausted(c):
    """What a block of 16 has no address for waits and says why; it runs as soon as others have gone."""
    def states(name):
        return collections.Counter(p["state"] for p in c.ps(name))
    c.apply(FULL.format(name="full", replicas=20))
    until("14 run", lambda: states("full") == {"running": 14, "pending": 6})
    waiting = [p for p in c.ps("full") if p["state"] == "pending"]
    assert all("all 14 addresses of its block are taken" in p["why"] for p in waiting), waiting
    before = {p["name"]: p["pid"] for p in c.ps("full") if p["state"] == "running"}
    c.apply(FULL.format(name="other", replicas=3))
    until("another stack waits, too", lambda: states("other") == {"pending": 3})
    assert {p["name"]: p["pid"] for p in c.ps("full") if p["state"] == "running"} == before
    c.apply(FULL.format(name="full", replicas=11))
    until("all run", lambda: states("full") == {"running": 11} and states("other") == {"running": 3})
    addresses = [p["address"] for p in c.ps()]
    assert len(set(addresses)) == 14, addresses


def main():
    leaks, suite = Leaks(), Suite()
    with tempfile.TemporaryDirectory() as out:
        images = build_images(out, "api", "web")
        with Cluster(sys.argv[1], hosts=("a", "b"), images=images, segments={"b": 1}, containers_per_host=MANY + 200,
                     controller_options=("--node-prefix", "21")) as c:
            suite.test("2,000 containers start on one host", start, c)
            if not suite.failed:
                suite.test("each is found and reached from another host", reached, c)
                suite.test("an agent that comes after finds all of them", agent_restarts, c)
            suite.test("they go", gone, c)
        with Cluster(sys.argv[1], hosts=("a",), images=images, controller_options=("--node-prefix", "28")) as c:
            suite.test("a host without addresses takes no more, until it has some", exhausted, c)
            suite.leave(c)
    suite.test("nothing is left", leaks.check, 30)
    return suite.end()


if __name__ == "__main__":
    if os.getuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    sys.exit(main())
