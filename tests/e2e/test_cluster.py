#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From a Compose file to healthy containers on three hosts, and what must survive: test_cluster.py BIN-DIR [NAME…]

Real daemons, namespaces, images; the tests build upon each other and run in this order."""
import os
import shutil
import signal
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import Cluster, Daemon, Failure, Leaks, Suite, build_images, http_get, run, until  # noqa: E402
from wherry_testlib import size_of  # noqa: E402

SHOP = """
name: shop
services:
  web:
    image: shop/web:1
    environment: {{COLOUR: "{colour}"}}
    ports: ["8080:8080"]
    healthcheck: {{test: ["HTTP", "http://:8080/healthz"], interval: 1s, timeout: 1s, retries: 2, start_period: 10s, start_interval: 100ms}}
    deploy: {{replicas: 4, resources: {{limits: {{memory: 32M}}}}}}
    depends_on: {{store: {{condition: service_healthy}}}}
  api:
    image: shop/api:1
    healthcheck: {{test: ["TCP", ":9000"], interval: 1s, start_period: 10s, start_interval: 100ms}}
    deploy: {{replicas: 2}}
  store:
    image: shop/store:1
    volumes: ["data:/data"]
    healthcheck: {{test: ["CMD-SHELL", "test -s /data/starts"], interval: 1s, start_period: 10s, start_interval: 100ms}}
    deploy: {{placement: {{constraints: ["node.labels.disk == ssd"]}}}}
  migrate:
    image: shop/job:1
    environment: {{SECONDS_TO_WORK: "0"}}
    deploy: {{mode: replicated-job, replicas: 1}}
volumes:
  data:
"""


def shop(colour="blue"):
    return SHOP.format(colour=colour)


def running(c, stack, service=None):
    return [p for p in c.ps(stack) if p["state"] == "running" and (service is None or p["service"] == service)]


def pids(c, stack):
    """Who runs, and as which process: must not change when only a daemon dies."""
    return {p["name"]: (p["node"], p.get("incarnation"), p.get("run"), p.get("pid")) for p in running(c, stack)}


def all_well(c, stack="shop"):
    for s in c.json("status").get("stacks", []):
        if s["name"] == stack:
            return all(x.get("converged") for x in s["services"])
    return False


# ---- the tests ----

def applies(c):
    began = time.monotonic()
    c.apply(shop(), "--wait", "--timeout", "60s")
    took = time.monotonic() - began
    web = running(c, "shop", "web")
    assert len(web) == 4, web
    assert all(p["health"] == "healthy" for p in web), web
    assert {p["node"] for p in web} == set(c.hosts), "web is not spread over all hosts"
    store = running(c, "shop", "store")
    assert len(store) == 1 and store[0]["node"] == "b", store
    job = [p for p in c.ps("shop") if p["service"] == "migrate"]
    assert [p["state"] for p in job] == ["completed"], job
    return f"all healthy after {took:.1f} s"


def published(c):
    for host in c.hosts.values():
        for address, netns in ((host.address, c.net), (host.address, host.netns), ("127.0.0.1", host.netns)):
            status, body = http_get(address, 8080, netns=netns)
            assert status == 200, (host.name, address, status, body)


def reaches_out(c):
    """NAT outwards: a container reaches what the host reaches; a bare listener in the outer namespace."""
    listener = Daemon(["busybox", "nc", "-ll", "-p", "7001", "-e", "/bin/echo", "outside"], os.path.join(c.dir, "nc.log"), netns=c.net).start()
    try:
        c.apply("name: out\nservices:\n  probe:\n    image: shop/web:1\n    entrypoint: [/bin/sh, -c, 'nc 10.99.0.1 7001; sleep 1000']\n"
                "    stop_grace_period: 100ms\n", "--wait")
        until("it has heard from outside", lambda: "outside" in c.wherry("logs", "out/probe").stdout)
    finally:
        listener.kill()
        c.wherry("rm", "out", "--wait", check=False)


def twice(c):
    before = pids(c, "shop")
    out = c.apply(shop())
    assert "unchanged" in out.stdout + out.stderr, out
    assert pids(c, "shop") == before


def shows(c):
    status = c.wherry("status").stdout
    for word in ("shop", "web", "4"):
        assert word in status, status
    ps = c.wherry("ps").stdout
    assert "shop/web.1" in ps and "healthy" in ps and "10.128." in ps and "8080" in ps, ps
    logs = c.wherry("logs", "shop/web").stdout
    assert logs.count("serving on port 8080") == 4, logs
    inspect = c.wherry("inspect", "shop/web").stdout
    assert "seccomp" in inspect and "shop/web:1" in inspect, inspect
    events = c.wherry("events").stdout
    assert "healthy" in events and "stack.applied" in events, events
    assert c.wherry("volume", "ls").stdout.count("shop_data") == 1
    assert c.wherry("config", "-f", os.path.join(c.dir, "compose.yaml")).returncode == 0


def one_at_a_time(c):
    least = 4
    c.apply(shop("green"))
    end = time.monotonic() + 60
    while not all_well(c):
        for s in c.json("status")["stacks"][0]["services"]:
            if s["name"] == "web":
                least = min(least, s.get("ready", 0))
        if time.monotonic() > end:
            raise Failure("the change did not end")
    assert least >= 3, f"only {least} of 4 were ready while one at a time was to be replaced"
    assert not any(p.get("outdated") for p in c.ps("shop"))
    return f"never under {least} ready"


def agent_dies(c):
    before = pids(c, "shop")
    host = c.hosts["a"]
    restarts = {p["name"]: p.get("restarts", 0) for p in c.ps("shop")}
    host.agent.kill()
    time.sleep(0.5)
    host.agent.start()
    until("node a is connected", lambda: c.nodes()["a"].get("connected"))
    until("all is well again", lambda: all_well(c))
    assert pids(c, "shop") == before
    assert {p["name"]: p.get("restarts", 0) for p in c.ps("shop")} == restarts
    status, _ = http_get(host.address, 8080, netns=c.net)
    assert status == 200


def controller_dies(c):
    before = pids(c, "shop")
    c.controller.kill()
    time.sleep(0.5)
    for host in c.hosts.values():
        assert http_get(host.address, 8080, netns=c.net)[0] == 200
    c.controller.start()
    until("the controller knows everything again", lambda: c.ready() == 3 and pids(c, "shop") == before, timeout=30)
    assert all_well(c)


def stalls(c):
    before = pids(c, "shop")
    since = int(time.time() * 1000)
    c.controller.signal(signal.SIGSTOP)
    time.sleep(10)
    c.controller.signal(signal.SIGCONT)
    time.sleep(1)
    c.hosts["c"].agent.signal(signal.SIGSTOP)
    time.sleep(3)
    c.hosts["c"].agent.signal(signal.SIGCONT)
    time.sleep(1.5)
    assert c.ready() == 3, c.wherry("nodes").stdout
    assert pids(c, "shop") == before
    events = c.wherry("events", "-o", "json").stdout
    fresh = [e for e in events.splitlines() if "node.unknown" in e and int(__import__("json").loads(e)["time_unix_ms"]) >= since]
    assert not fresh, fresh


def host_disappears(c):
    """b holds the volume. Its other containers are replaced within 6 s; the store waits, and comes back with its data."""
    web_before = len(running(c, "shop", "web"))
    on_b = [p for p in running(c, "shop") if p["node"] == "b" and p["service"] != "store"]
    assert on_b and web_before == 4
    c.hosts["b"].link(False)
    gone = time.monotonic()
    until("web runs four times without b", lambda: len([p for p in running(c, "shop", "web") if p["node"] != "b" and p["health"] == "healthy"]) == 4,
          timeout=15)
    took = time.monotonic() - gone
    store = [p for p in c.ps("shop") if p["service"] == "store"]
    assert all(p["state"] != "running" for p in store), store
    assert any("shop_data" in p.get("why", "") for p in store), store
    c.hosts["b"].link(True)
    until("b is ready and the surplus has stopped", lambda: c.nodes()["b"]["state"] == "ready" and len(c.ps("shop")) == 8 and all_well(c), timeout=60)
    assert len(running(c, "shop", "web")) == 4
    assert took <= 6, f"replaced only after {took:.1f} s"
    return f"replaced after {took:.1f} s"


def given_up_and_back(c):
    """An operator gives a silent host up; it is back, and a controller that starts anew knows it too."""
    b = c.hosts["b"]
    b.link(False)
    until("b is unknown", lambda: c.nodes()["b"]["state"] == "unknown")
    c.wherry("node", "lost", "b")
    b.link(True)
    until("b is ready, the surplus has stopped", lambda: c.nodes()["b"]["state"] == "ready" and len(c.ps("shop")) == 8 and all_well(c), timeout=60)
    before = pids(c, "shop")
    c.controller.kill()
    c.controller.start()
    until("all nodes are ready", lambda: c.ready() == 3, timeout=30)
    assert not [e for e in c.wherry("events", "-o", "json").stdout.splitlines() if '"stopping"' in e], "the node was lost in the store"
    until("nothing has changed", lambda: all_well(c) and pids(c, "shop") == before)


def volume_keeps_data(c):
    starts = lambda: c.wherry("logs", "shop/store").stdout.count("store: start number")  # noqa: E731
    before = starts()
    text = shop("green").replace('test -s /data/starts', 'test -s /data/starts && true')
    c.apply(text.replace("image: shop/store:1", "image: shop/store:1\n    environment: {AGAIN: '1'}"), "--wait", "--timeout", "60s")
    log = c.wherry("logs", "shop/store").stdout
    numbers = [int(l.split("start number ")[1].split(",")[0]) for l in log.splitlines() if "start number" in l]
    assert max(numbers) >= 2, (before, log)


def empty_store(c):
    """Another cluster's controller: refused, and nothing stops. Then the right one again."""
    before = pids(c, "shop")
    state = os.path.join(c.dir, "controller")
    assert c.controller.stop() == 0
    os.rename(state, state + ".away")
    c.controller.start()
    time.sleep(3)
    assert c.ready() == 0
    log = c.hosts["a"].agent.tail(50)
    assert "cluster" in log, log
    c.controller.stop()
    shutil.rmtree(state)
    os.rename(state + ".away", state)
    c.controller.start()
    until("the old controller has its nodes again", lambda: c.ready() == 3 and pids(c, "shop") == before, timeout=60)


def older_store(c):
    """The store of yesterday: what it does not know is an orphan, kept until somebody says."""
    state = os.path.join(c.dir, "controller")
    c.controller.stop()
    shutil.copytree(state, state + ".old")
    c.controller.start()
    until("nodes are ready", lambda: c.ready() == 3, timeout=60)
    c.apply("name: late\nservices:\n  one:\n    image: shop/web:1\n    stop_grace_period: 1s\n", "--wait")
    before = pids(c, "late")
    assert len(before) == 1
    c.controller.stop()
    shutil.rmtree(state)
    os.rename(state + ".old", state)
    c.controller.start()
    until("nodes are ready", lambda: c.ready() == 3, timeout=60)
    until("the orphan is listed", lambda: [p for p in c.ps("late") if p["state"] == "orphaned"])
    orphan = c.ps("late")[0]
    assert orphan.get("pid") == list(before.values())[0][3], (orphan, before)
    c.apply("name: late\nservices:\n  one:\n    image: shop/web:1\n    stop_grace_period: 1s\n", "--wait")
    adopted = pids(c, "late")
    assert [v[3] for v in adopted.values()] == [v[3] for v in before.values()], (adopted, before)
    c.wherry("rm", "late", "--wait")


def ends_in_many_ways(c):
    c.apply("""
name: trouble
x-quick: &quick
  image: shop/web:1
  stop_grace_period: 500ms
services:
  exits: {<<: *quick, entrypoint: [/bin/sh, -c, "echo bye; exit 3"]}
  hog: {<<: *quick, entrypoint: [/bin/sh, -c, "x=xxxxxxxxxxxxxxxx; while true; do x=$$x$$x; done"], mem_limit: 24m}
  sick: {<<: *quick, entrypoint: [/bin/sleep, "1000"], healthcheck: {test: [TCP, ":1"], interval: 100ms, timeout: 100ms, retries: 2}, restart: "no"}
  flood: {<<: *quick, entrypoint: [/bin/sh, -c, "while true; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done"], cpus: 0.5}
  bomb: {<<: *quick, entrypoint: [/bin/sh, -c, "b() { b | b & }; b; sleep 1000"], pids_limit: 32, mem_limit: 64m, cpus: 0.2}
  stubborn: {<<: *quick, entrypoint: [/bin/sh, -c, "trap '' TERM; while true; do sleep 1; done"]}
""")
    state = lambda name: [p for p in c.ps("trouble") if p["service"] == name][0]  # noqa: E731
    until("the one that exits is restarted", lambda: state("exits").get("restarts", 0) >= 2)
    assert state("exits").get("exit_code") == 3, state("exits")
    until("the hog is reported as killed for memory", lambda: state("hog").get("oom_killed"), timeout=30)
    until("its limit is said", lambda: "out of memory, limit 24 MiB" in state("hog").get("why", ""), timeout=30)
    until("the sick one is said to be so", lambda: state("sick")["state"] in ("unhealthy", "ended", "failed") or state("sick")["health"] == "unhealthy")
    until("the flood runs", lambda: state("flood")["state"] == "running")
    until("the stubborn one runs", lambda: state("stubborn")["state"] == "running")
    time.sleep(2)
    node = state("flood")["node"]
    size = sum(size_of(os.path.join(d, f)) for d, _, fs in os.walk(os.path.join(c.hosts[node].state, "logs")) for f in fs)
    assert 0 < size < 80 << 20, size
    assert all_well(c), "neighbours suffered"
    began = time.monotonic()
    c.wherry("rm", "trouble", "--wait", timeout=60)
    took = time.monotonic() - began
    assert took < 20, took
    return f"all removed in {took:.1f} s"


def asks_too_much(c):
    c.apply("name: big\nservices:\n  huge:\n    image: shop/web:1\n    deploy: {resources: {reservations: {memory: 9000G}}}\n")
    why = until("it is pending", lambda: [p for p in c.ps("big") if p["state"] == "pending"])[0]["why"]
    assert "memory" in why and all(n in why for n in c.hosts), why
    status = c.wherry("status").stdout
    assert "memory" in status, status
    c.wherry("rm", "big", "--wait")


def many_of_one(c):
    """More containers of a service on one node than a screen has lines: all start, and all are heard; the image goes by its digest."""
    digest = c.json("inspect", "shop/web")["status"]["services"][0]["image_digest"]
    c.apply(f"name: many\nservices:\n  l:\n    image: shop/web@{digest}\n    mem_limit: 8m\n    stop_grace_period: 100ms\n"
            "    entrypoint: [/bin/sh, -c, 'echo hello; sleep 1000']\n"
            "    deploy: {replicas: 80, placement: {constraints: [node.hostname == a]}}\n", "--wait", "--timeout", "60s")
    out = until("all are heard", lambda: [o for o in [c.wherry("logs", "many")] if o.stdout.count("hello") == 80])[0]
    assert out.stderr == "", out.stderr
    assert len(c.wherry("status", "many").stdout.splitlines()) < 12
    c.wherry("rm", "many", "--wait", timeout=60)


def wrong_specs(c):
    before = [s["name"] for s in c.json("status").get("stacks", [])]
    for text, words in (("name: wrong\nservices:\n  web:\n    imagee: x\n", ("imagee", "image", ":4:5")),
                        ("name: wrong\nservices:\n  web:\n    image: shop/web:1\n    ports: ['70000:80']\n", ("70000", "65535")),
                        ("name: wrong\nservices:\n  good: {image: shop/web:1}\n  web:\n    image: shop/web:1\n    depends_on: [nobody]\n", ("nobody",))):
        out = c.apply(text, check=False)
        assert out.returncode in (1, 2), out
        for word in words:
            assert word in out.stderr, (word, out.stderr)
    assert [s["name"] for s in c.json("status").get("stacks", [])] == before


def second_daemons(c):
    agent = c.hosts["a"]
    second = run(*agent.agent.argv, check=False, timeout=20)
    assert second.returncode != 0 and str(agent.agent.pid) in second.stderr, second
    out = run(*c.controller.argv, check=False, timeout=20)
    assert out.returncode != 0 and str(c.controller.pid) in out.stderr, out
    assert agent.agent.running() and c.controller.running()


def talks_nonsense(c):
    """Strangers on the agents' port: dropped with a reason, and nobody else notices."""
    script = os.path.join(c.dir, "nonsense.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write("""
import socket, sys
payload = bytes.fromhex(sys.argv[2])
s = socket.create_connection(("10.99.0.1", int(sys.argv[1])), timeout=10)
s.sendall(payload)
s.settimeout(15)
got = b""
while True:
    try:
        piece = s.recv(4096)
    except ConnectionResetError:
        break
    if not piece:
        break
    got += piece
print("closed", got.decode("latin-1"))
""")
    frames = {"too long": struct.pack(">I", 1 << 30) + b"x" * 100,
              "empty": struct.pack(">I", 0),
              "not protobuf": struct.pack(">I", 8) + b"\xff" * 8,
              "unknown kind": struct.pack(">I", 4) + b"\xfa\x3f\x01\x00",
              "not hello first": struct.pack(">I", 4) + b"\x5a\x02\x08\x01",
              "nested too deep": struct.pack(">I", 6) + b"\x0a\x04\x4a\x02\x4a\x00"}
    before = pids(c, "shop")
    for name, payload in frames.items():
        out = c.hosts["c"].exec("python3", script, c.port, payload.hex(), timeout=30)
        assert out.stdout.startswith("closed"), (name, out)
    assert c.ready() == 3 and pids(c, "shop") == before
    assert c.controller.tail(60).count("10.99.0.13") >= 1, "nothing was said of it"


def removes(c):
    c.wherry("rm", "shop", "--wait", timeout=60)
    assert not c.ps(), c.ps()
    assert "shop_data" in c.wherry("volume", "ls").stdout
    c.wherry("volume", "forget", "shop_data")
    until("the volume's data is gone", lambda: not os.path.exists(os.path.join(c.hosts["b"].state, "volumes", "shop_data")))


TESTS = [applies, published, reaches_out, twice, shows, one_at_a_time, agent_dies, controller_dies, stalls, host_disappears, given_up_and_back, volume_keeps_data,
         empty_store, older_store, ends_in_many_ways, asks_too_much, many_of_one, wrong_specs, second_daemons, talks_nonsense, removes]


def main():
    names = sys.argv[2:]
    leaks = Leaks()
    suite = Suite()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out)
        with Cluster(sys.argv[1], labels={"b": ["disk=ssd"]}, images=images) as c:
            for test in TESTS:
                if not names or test.__name__ in names or test is applies:
                    suite.test(test.__name__, test, c)
            if suite.failed:
                c.show_logs()
            suite.test("the daemons end cleanly", lambda: [d.stop() for d in [h.agent for h in c.hosts.values()] + [c.controller]] and None)
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


sys.exit(main())
