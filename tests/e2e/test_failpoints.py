#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills once at each FAILPOINT of controller, agent and shim, then at random moments; after each
restart everything must be as wanted, nothing twice, nothing of it left: test_failpoints.py BIN-DIR [NAME…]

A "steady" stack runs all the time and must keep its processes. For each name another stack comes,
changes and goes, so that starts, saves, stops and clean-ups are all passed by."""
import os
import random
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import TOP, Cluster, Failure, Leaks, Suite, build_images, cgroup_dirs, until  # noqa: E402

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
    volumes: ["data:/data"]
    ports: ["8090:8080"]
    stop_grace_period: 1s
    healthcheck: {{test: ["CMD", "/bin/true"], interval: 1s, start_period: 10s, start_interval: 50ms}}
    deploy: {{replicas: 2}}
  job:
    image: shop/job:1
    environment: {{SECONDS_TO_WORK: "0"}}
    deploy: {{mode: replicated-job, replicas: 1}}
volumes:
  data:
"""


def names():
    found = {}
    for top in ("agent", "controller", "common"):
        for folder, _, files in os.walk(os.path.join(TOP, top)):
            for f in files:
                if f.endswith((".c", ".h")):
                    with open(os.path.join(folder, f), encoding="utf-8") as text:
                        for name in re.findall(r'FAILPOINT\("([a-z0-9_.]+)"\)', text.read()):
                            if not name.startswith(LOCAL):
                                found[name] = os.path.relpath(os.path.join(folder, f), TOP)
    return found


def processes(host):
    """First processes of the containers of this host, by its cgroups: pid namespaces of their own."""
    found = set()
    for path in cgroup_dirs(host.cgroup):
        try:
            with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as f:
                found.update(int(p) for p in f.read().split())
        except OSError:
            pass
    first = set()
    for pid in found:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                nspid = [l for l in f if l.startswith("NSpid:")][0].split()[1:]
        except (OSError, IndexError):
            continue
        if len(nspid) > 1 and nspid[-1] == "1":
            first.add(pid)
    return first


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


def revive(c):
    """Whoever died is started again, without a failpoint."""
    died = []
    for d in [c.controller] + [h.agent for h in c.hosts.values()]:
        if not d.running():
            d.process.wait()
            d.start()
            died.append(d)
    return died


def eventually(c, what, condition, timeout=40):
    """Waits, reviving whoever dies meanwhile. Returns how often somebody did."""
    died = 0

    def look():
        nonlocal died
        died += len(revive(c))
        return condition()
    until(what, look, timeout=timeout)
    return died


def say(c, *argv):
    """A command that may meet a dying controller: said again until it is taken."""
    for _ in range(100):
        out = c.wherry(*argv, check=False, timeout=20)
        if out.returncode in (0, 3):
            return
        revive(c)
        time.sleep(0.1)
    raise Failure(f"{argv}: {out.stderr}")


def apply(c, text):
    path = os.path.join(c.dir, "passing.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    say(c, "apply", "-f", path)


def settle(c, steady):
    host = c.hosts["a"]
    eventually(c, "the steady stack is well", lambda: well(c, "steady") and c.ready() == 1)
    assert pids(c, "steady") == steady, (pids(c, "steady"), steady)
    until("there is no process too many", lambda: processes(host) == {p["pid"] for p in c.ps() if p["state"] == "running"})


def pass_by(c, steady):
    """The passing stack comes, changes, and goes. Returns how often a daemon was revived."""
    died = 0
    for colour in ("blue", "green"):
        apply(c, PASSING.format(colour=colour))
        died += eventually(c, f"the passing stack is {colour} and well", lambda: well(c, "passing"))
    settle(c, steady)
    say(c, "rm", "passing")
    died += eventually(c, "the passing stack is gone", lambda: gone(c, "passing"))
    say(c, "volume", "forget", "passing_data")
    settle(c, steady)
    return died


def at_name(c, name, steady, order):
    daemon = c.controller if name.startswith("controller.") else c.hosts["a"].agent
    daemon.stop()
    with open(order, "w", encoding="ascii"):
        pass
    daemon.start(env={"WHERRY_FAILPOINT": f"{name}@{order}"})
    pass_by(c, steady)
    if os.path.exists(order):
        os.unlink(order)
        # Passed by only at the end of a daemon, or not at all.
        daemon.stop()
        daemon.start()
        raise Failure(f"{name} was never reached")


def at_random(c, steady, daemon):
    random.seed(7)
    for i in range(KILLS):
        apply(c, PASSING.format(colour=f"c{i}"))
        time.sleep(random.uniform(0, 0.4))
        daemon.kill()
        time.sleep(random.uniform(0, 0.2))
        revive(c)
    eventually(c, "the passing stack is well", lambda: well(c, "passing"), timeout=60)
    settle(c, steady)
    say(c, "rm", "passing")
    eventually(c, "the passing stack is gone", lambda: gone(c, "passing"))
    settle(c, steady)
    return f"{KILLS} kills"


def main():
    wanted = sys.argv[2:]
    leaks = Leaks()
    suite = Suite()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out, "web", "job")
        with Cluster(sys.argv[1], hosts=("a",), images=images) as c:
            c.apply(STEADY, "--wait")
            steady = pids(c, "steady")
            order = os.path.join(c.dir, "order")
            for name, where in sorted(names().items()):
                if not wanted or name in wanted:
                    suite.test(f"{name} ({where})", at_name, c, name, steady, order)
            if not wanted or "random" in wanted:
                suite.test("agent killed at random", at_random, c, steady, c.hosts["a"].agent)
                suite.test("controller killed at random", at_random, c, steady, c.controller)
            c.remove_stacks()
            if suite.failed:
                c.show_logs()
            for d in (c.hosts["a"].agent, c.controller):
                d.stop()
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


sys.exit(main())
