#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills once at each FAILPOINT of controller, agent, shim and worker, then agent and controller at
random moments; after each restart everything must be as wanted, nothing twice, nothing of it left:
test_failpoints.py BIN-DIR [NAME… | random]

A "steady" stack runs all the time and must keep its processes. For each name a "passing" stack
comes and goes, so that starts, saves, probes, stops and clean-ups are all passed by; what that does
not reach has a way of its own (WAYS). A name that is not reached fails."""
import os
import random
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import (TOP, Cluster, Daemon, Failure, Leaks, Serving6, Suite, build_images, cgroup_dirs,  # noqa: E402
                     inside, run, until)

LONG = bool(os.environ.get("WHERRY_TEST_LONG"))
KILLS = 200 if LONG else 30
LOCAL = "agent.local."  # without a controller: test_run.py passes by these

STEADY = """
name: steady
services:
  web:
    image: shop/web:1
    environment: {COLOUR: steady}
    healthcheck: {test: ["HTTP", "http://:8080/healthz"], interval: 1s, start_period: 10s, start_interval: 100ms}
    deploy: {replicas: 2}
"""
PASSING = """
name: passing
services:
  one:
    image: shop/web:1
    environment: {{COLOUR: "{colour}"}}
    volumes: ["{volume}:/data"]
    ports: ["8090:8080"]
    stop_grace_period: 1s
    healthcheck: {{test: ["CMD", "/bin/true"], interval: 1s, start_period: 10s, start_interval: 50ms}}
    deploy: {{replicas: 2}}
    x-wherry: {{bandwidth: {{in: 100mbit, out: 100mbit}}}}
  job:
    image: shop/job:1
    environment: {{SECONDS_TO_WORK: "0"}}
    deploy: {{mode: replicated-job, replicas: 1}}
volumes:
  {volume}:
"""
# Passes the size at which a log is rotated (10 MiB), once.
FLOOD = """
name: flood
services:
  it:
    image: shop/web:1
    entrypoint: ["/bin/sh", "-c", "/bin/busybox yes {line} | /bin/busybox head -c 11500000; exec sleep 1000"]
    stop_grace_period: 0s
"""
SIX = """
name: six
services:
  peer:
    image: shop/web:1
    deploy: {mode: global}
networks: {default: {enable_ipv6: true}}
"""
# Five of these pass the size at which the agent's journal is written anew (1 MiB).
BULKY = """
name: bulky{number}
services:
"""
BULKY_SERVICE = """
  s{number}:
    image: shop/job:1
    environment: {{SECONDS_TO_WORK: "0", BULK1: "{bulk}", BULK2: "{bulk}", BULK3: "{bulk}"}}
    deploy: {{mode: replicated-job, replicas: 1}}
"""


def names():
    found = {}
    for top in ("agent", "controller", "common"):
        for folder, _, files in os.walk(os.path.join(TOP, top)):
            for f in files:
                if f.endswith((".c", ".h")) and f != "failpoint.h":
                    with open(os.path.join(folder, f), encoding="utf-8") as text:
                        for name in re.findall(r'FAILPOINT\("([a-z0-9_.]+)"\)', text.read()):
                            if not name.startswith(LOCAL):
                                found[name] = os.path.relpath(os.path.join(folder, f), TOP)
    return found


# ---- what there is ----

def all_pids(host):
    found = set()
    for path in cgroup_dirs(host.cgroup):
        try:
            with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as f:
                found.update(int(p) for p in f.read().split())
        except OSError:
            pass
    return found


def first_processes(host):
    """First processes of the containers of this host, by its cgroups: pid namespaces of their own."""
    first = set()
    for pid in all_pids(host):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                nspid = [l for l in f if l.startswith("NSpid:")][0].split()[1:]
        except (OSError, IndexError):
            continue
        if len(nspid) > 1 and nspid[-1] == "1":
            first.add(pid)
    return first


def listing(top, skip=()):
    """Relative names of everything below, to a depth at which containers have nothing of theirs."""
    found = set()
    for path, folders, files in os.walk(top):
        at = os.path.relpath(path, top)
        found.update(os.path.normpath(os.path.join(at, f)) for f in folders + files)
        if at.count("/") >= 2 or at in skip:
            folders.clear()
    return found


def without_numbers(nft):
    """Classes get numbers anew from each agent: here each is called by its first container."""
    first = {}
    for address, number in re.findall(r"(0x[0-9a-f]{7,8}) : (0x[0-9a-f]{8})", nft):  # addresses as bytes of a header
        first[number] = min(first.get(number, address), address)
    for number, address in first.items():
        nft = nft.replace(number, f"class-of-{address}")
    return nft


def traces(c):
    """Everything on the host that belongs to containers: what comes with a stack must go with it."""
    host = c.hosts["a"]
    nft = host.exec("nft", "-s", "list", "ruleset").stdout
    with open(f"/proc/{host.agent.pid}/mountinfo", encoding="utf-8") as f:
        mounts = {l.split()[4] for l in f if c.dir in l}
    return {
        "cgroup": set(cgroup_dirs(host.cgroup)),
        "process": {p for p in all_pids(host) if "wherry-worker" not in comm(p)} - {host.agent.pid},
        "link": set(re.findall(r"^\d+: ([^:@]+)", host.exec("ip", "-o", "link").stdout, re.MULTILINE)),
        "route": set(host.exec("ip", "-4", "route", "show", "table", "all").stdout.splitlines()),
        "rule": set(l.strip() for l in without_numbers(nft).splitlines()),
        "mount": mounts,
        "state": listing(host.state, skip=("images/layers", "upper")) - {"services"},  # the agent's own table
        "run": listing(host.run),
    }


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return "wherry-worker"  # just gone


def pids(c, stack):
    return {p["name"]: p.get("pid") for p in c.ps(stack) if p["state"] == "running"}


def well(c, stack):
    try:
        stacks = [s for s in c.json("status").get("stacks", []) if s["name"] == stack]
    except Failure:
        return False
    return bool(stacks) and all(x.get("converged") for x in stacks[0]["services"])


def gone(c, stack):
    return c.wherry("ps", stack, check=False).returncode == 3  # not found


# ---- who watches ----

class Watch:
    """The cluster, whose dead daemons are started again, without a failpoint."""

    def __init__(self, c):
        self.c = c
        self.deaths = 0
        c.apply(STEADY, "--wait")
        self.steady = pids(c, "steady")
        until("the service table is kept", lambda: os.path.exists(os.path.join(c.hosts["a"].state, "services")))
        self.traces = traces(c)
        self.number = 0

    def revive(self):
        c = self.c
        for d in [c.controller] + [h.agent for h in c.hosts.values()]:
            if not d.running():
                code = d.process.wait()
                d.start()
                self.deaths += 1
                if code != -signal.SIGKILL:
                    raise Failure(f"{os.path.basename(d.log)}: ended by itself, {code}:\n{d.tail(20)}")

    def until(self, what, condition, timeout=40):
        def look():
            self.revive()
            return condition()
        until(what, look, timeout=timeout)

    def say(self, *argv):
        """A command that may meet a dying controller: said again until it is taken."""
        out = None
        for _ in range(100):
            out = self.c.wherry(*argv, check=False, timeout=20)
            if out.returncode in (0, 3):
                return
            self.revive()
            time.sleep(0.1)
        raise Failure(f"{argv}: {out.stderr}")

    def apply(self, text, *argv):
        path = os.path.join(self.c.dir, "passing.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.say("apply", "-f", path, *argv)

    def remove(self, stack):
        self.say("rm", stack)
        self.until(f"{stack} is gone", lambda: gone(self.c, stack))

    def settle(self):
        """All is well, the steady stack has its processes and nothing is twice."""
        c = self.c
        self.until("the steady stack is well", lambda: well(c, "steady") and c.ready() == 1)
        assert pids(c, "steady") == self.steady, (pids(c, "steady"), self.steady)
        self.until("there is no process too many",
                   lambda: first_processes(c.hosts["a"]) == {p["pid"] for p in c.ps() if p["state"] == "running"})

    def nothing_left(self):
        """Only the steady stack is there, as at the beginning."""
        different = []

        def same():
            now = traces(self.c)
            different[:] = [f"{kind}: {sign} {item}" for kind, was in self.traces.items()
                            for sign, items in (("+", now[kind] - was), ("-", was - now[kind])) for item in sorted(items)]
            return not different
        try:
            self.until("nothing is left", same, timeout=15)
        except Failure as e:
            self.traces = traces(self.c)  # said once
            raise Failure(f"{e}:\n  " + "\n  ".join(different)) from None

    def pass_by(self, colours=("blue",), volume=None):
        """The passing stack comes, changes, and goes."""
        if volume is None:
            self.number += 1
            volume = f"data{self.number}"
        for colour in colours:
            self.apply(PASSING.format(colour=colour, volume=volume))
            self.until(f"the passing stack is {colour} and well", lambda: well(self.c, "passing"))
        self.settle()
        self.remove("passing")
        self.say("volume", "forget", f"passing_{volume}")
        self.settle()
        return volume


# ---- ways to the names ----

class Order:
    """WHERRY_FAILPOINT for one name, and whether it has been carried out."""

    def __init__(self, c, name):
        self.name, self.path = name, os.path.join(c.dir, "order")
        self.env = {"WHERRY_FAILPOINT": f"{name}@{self.path}"}
        with open(self.path, "w", encoding="ascii"):
            pass

    def done(self):
        return not os.path.exists(self.path)

    def check(self):
        if not self.done():
            os.unlink(self.path)
            raise Failure(f"{self.name} was never reached")


def daemon_of(w, name):
    return w.c.controller if name.startswith("controller.") else w.c.hosts["a"].agent


def by_passing(w, order):
    daemon = daemon_of(w, order.name)
    daemon.stop()
    daemon.start(env=order.env)
    w.pass_by(("blue", "green") if daemon is w.c.controller else ("blue",))
    return 1 if order.name.startswith(("agent.", "controller.")) else 0


def by_forgetting(w, order):
    """The kill loses the order to remove the data, as the controller says; they go the next time."""
    daemon = daemon_of(w, order.name)
    daemon.stop()
    daemon.start(env=order.env)
    volume = w.pass_by()
    w.pass_by(volume=volume)
    return 1


def by_keeping(w, order):
    """The service table is written a second after it has changed."""
    agent = w.c.hosts["a"].agent
    agent.stop()
    agent.start(env=order.env)
    w.pass_by()
    w.until("the service table is kept", order.done, timeout=5)
    w.pass_by()
    return 1


def by_ending(w, order):
    daemon = daemon_of(w, order.name)
    daemon.stop()
    daemon.start(env=order.env)
    w.settle()
    code = daemon.stop()
    assert code == -signal.SIGKILL, code
    w.pass_by()
    return 1


def by_flooding(w, order):
    """The shim dies while its container runs: that run's end is not known, another one begins."""
    agent = w.c.hosts["a"].agent
    agent.stop()
    agent.start(env=order.env)
    w.apply(FLOOD.format(line="x" * 4000))
    try:
        w.until("a second run follows",
                lambda: order.done() and any(p["state"] == "running" and p["run"] == 2 for p in w.c.ps("flood")))
        assert not any(p.get("exit_known") for p in w.c.ps("flood")), w.c.ps("flood")
        assert "flood/it on a: ended, exit code not known" in w.c.controller.tail(50), w.c.controller.tail(50)
    finally:
        w.remove("flood")
    w.pass_by()
    return 0


def by_bulk(w, order):
    agent = w.c.hosts["a"].agent
    agent.stop()
    agent.start(env=order.env)
    used = []
    while not order.done() and len(used) < 12:
        used.append(f"bulky{len(used)}")
        w.apply(BULKY.format(number=len(used) - 1) +
                "".join(BULKY_SERVICE.format(number=i, bulk=f"{len(used)}{i}" + "x" * 20000) for i in range(3)))
        w.until(f"{used[-1]} is well", lambda: well(w.c, used[-1]))
    for stack in used:
        w.remove(stack)
    w.pass_by()
    return 1


def by_loading(w, order):
    """`image load` dies, into a store of its own; what a second one leaves is as if there had been
    no first one."""
    host, bin_dir = w.c.hosts["a"], w.c.bin("wherry-agent")

    def load(state, env=None):
        return run(bin_dir, "image", "load", w.c.images[0], "--state", state, check=False,
                   env={**os.environ, **(env or {})})
    left = {}
    for what, env in (("undisturbed", None), ("killed", order.env)):
        state = os.path.join(host.dir, f"load-{what}")
        out = load(state, env)
        assert (out.returncode == 0) == (env is None), (out.returncode, out.stderr)
        out = load(state)
        assert out.returncode == 0, out.stderr
        left[what] = listing(state)
        run("rm", "-rf", state)
    assert left["killed"] == left["undisturbed"], left["killed"] ^ left["undisturbed"]
    return 0


def by_founding(w, order):
    """The first start of another controller."""
    state, socket = os.path.join(w.c.dir, "founded"), os.path.join(w.c.dir, "founded.sock")
    d = Daemon([w.c.bin("wherry-controller"), "--state", state, "--listen", "10.99.0.1:7421", "--socket", socket],
               os.path.join(w.c.dir, "founded.log"), netns=w.c.net)
    d.start(env=order.env)
    assert d.process.wait(timeout=20) == -signal.SIGKILL, d.tail()
    d.start()
    until("it answers", lambda: run(w.c.bin("wherry"), "--controller", socket, "status", check=False).returncode == 0)
    assert d.stop() == 0, d.tail()
    return 0


def by_full_store(w, order):
    """The store cannot be written, for a while: it is opened anew."""
    d = w.c.controller
    d.stop()
    plain = d.argv
    try:
        d.argv = plain[:3] + ["env", "--ignore-signal=XFSZ"] + plain[3:]
        d.start(env=order.env)
    finally:
        d.argv = plain
    w.settle()
    run("prlimit", "--pid", d.pid, "--fsize=4096:unlimited")
    w.c.wherry("apply", "-f", os.path.join(w.c.dir, "passing.yaml"), check=False, timeout=20)
    if d.running():
        run("prlimit", "--pid", d.pid, "--fsize=unlimited:unlimited", check=False)
    until("it has died", lambda: not d.running())
    w.revive()
    w.remove("passing")
    w.pass_by()
    return 1


def by_neighbours(c, name):
    """Of two hosts one dies while its first container with IPv6 is attached: then they reach each other."""
    order, host = Order(c, name), c.hosts["a"]
    host.agent.stop()
    host.agent.start(env=order.env)
    c.apply(SIX)
    until("the agent has died", lambda: not host.agent.running())
    order.check()
    assert host.agent.process.wait() == -signal.SIGKILL
    host.agent.start()
    until("the stack is well", lambda: well(c, "six"), timeout=40)
    one, other = c.ps("six")
    for p, q in ((one, other), (other, one)):
        with Serving6(q, 6666):
            got = inside(p, "connect", q["ipv6_address"], "6666", "5")
            assert got["result"] == "ok" and got["from"] == p["ipv6_address"], got
    c.wherry("rm", "six", "--wait")
    assert host.agent.stop() == 0
    left = host.exec("ip", "-o", "link").stdout + host.exec("ip", "-6", "route", "show", "table", "all").stdout
    assert " wy" not in left and "proto 87" not in left and " fd" not in left, left
    host.agent.start()
    until("both are ready", lambda: c.ready() == 2)


# The first prefix that fits.
WAYS = (
    ("agent.image.", by_loading),
    ("worker.load.", by_loading),
    ("agent.services.", by_keeping),
    ("agent.journal.before_rename", by_bulk),
    ("agent.journal.after_rename", by_bulk),
    ("agent.volume.before_discard", by_forgetting),
    ("shim.log.", by_flooding),
    ("controller.close.", by_ending),
    ("controller.store.before_make", by_founding),
    ("controller.store.before_reopen", by_full_store),
    ("controller.store.after_reopen", by_full_store),
    ("", by_passing),
)


def at_name(w, name):
    order = Order(w.c, name)
    w.deaths = 0
    way = [way for prefix, way in WAYS if name.startswith(prefix)][0]
    wanted = way(w, order)
    order.check()
    w.nothing_left()
    assert w.deaths == wanted, f"{w.deaths} daemons died, not {wanted}"


def at_random(w, daemon):
    random.seed(7)
    for i in range(KILLS):
        w.apply(PASSING.format(colour=f"c{i}", volume="random"))
        time.sleep(random.uniform(0, 0.4))
        daemon.kill()
        time.sleep(random.uniform(0, 0.2))
        w.revive()
    w.until("the passing stack is well", lambda: well(w.c, "passing"), timeout=60)
    w.pass_by(volume="random")
    w.nothing_left()
    return f"{KILLS} kills"


def main():
    wanted, all_names = sys.argv[2:], names()
    neighbours = {name for name in all_names if "overlay6" in name}
    leaks = Leaks()
    suite = Suite()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out, "web", "job")
        with Cluster(sys.argv[1], hosts=("a",), images=images) as c:
            w = Watch(c)
            for name, where in sorted(all_names.items()):
                if name not in neighbours and (not wanted or name in wanted):
                    suite.test(f"{name} ({where})", at_name, w, name)
            if not wanted or "random" in wanted:
                suite.test("agent killed at random", at_random, w, c.hosts["a"].agent)
                suite.test("controller killed at random", at_random, w, c.controller)
            if suite.failed:
                c.show_logs()
            c.remove_stacks()
            for d in (c.hosts["a"].agent, c.controller):
                d.stop()
        with Cluster(sys.argv[1], hosts=("a", "b"), images=images, segments={"b": 1}) as c:
            for name in sorted(neighbours):
                if not wanted or name in wanted:
                    suite.test(f"{name} ({all_names[name]})", by_neighbours, c, name)
            suite.leave(c)
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
