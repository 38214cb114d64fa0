#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a release build on this machine and prints figures; nothing here passes or fails.

    sudo tests/bench/bench.py [--bin build/release/bin] [--replicas 100] [--rounds 3]

One controller and one agent, containers that sleep, as peers are measured: `apply` to all running,
a container killed to its replacement running, memory of everything (PSS), idle CPU. In the same run
and interleaved: runc and podman (where installed) starting one container of the same root, because
only ratios from one run count; the machine is described in the first lines."""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import TOP, Cluster, Leaks, build_images, cgroup_dirs, run, until  # noqa: E402

COMPOSE = """
name: many
services:
  sleeper:
    image: shop/web:1
    entrypoint: [/bin/sleep, "100000"]
    init: false
    stop_grace_period: 100ms
    deploy: {{replicas: {n}, resources: {{reservations: {{memory: 4M, pids: 8}}}}}}
"""


def spread(values, unit="ms"):
    return f"median {statistics.median(values):.1f} {unit} (min {min(values):.1f}, max {max(values):.1f}, n {len(values)})"


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            return sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
    except OSError:
        return 0


def ours(c):
    """pids of our own processes: the daemons and everything of them that is not a container's."""
    roots = {c.controller.pid} | {h.agent.pid for h in c.hosts.values()}
    inside = {int(p) for h in c.hosts.values() for g in cgroup_dirs(h.cgroup) for p in read(os.path.join(g, "cgroup.procs")).split()}
    found = set(roots)
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        name = read(f"/proc/{pid}/comm").strip()
        parent = read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1:2]
        if name.startswith("wherry-") or (parent and int(parent[0]) in roots):
            if pid not in inside or name.startswith("wherry-"):
                found.add(pid)
    return found


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 13:
            total += int(fields[11]) + int(fields[12])
    return total


def count_running(c):
    for s in c.json("status").get("stacks", []):
        if s["name"] == "many":
            return s["services"][0].get("running", 0)
    return 0


def apply_all(c, n):
    began = time.monotonic()
    c.apply(COMPOSE.format(n=n))
    until(f"{n} run", lambda: count_running(c) == n, timeout=120, pause=0.01)
    return (time.monotonic() - began) * 1000


def remove_all(c):
    began = time.monotonic()
    c.wherry("rm", "many")
    until("all are gone", lambda: not c.ps(), timeout=120, pause=0.02)
    return (time.monotonic() - began) * 1000


def killed_to_replaced(c, rounds):
    """kill -9 of a container's first process, until the agent's next run of it is seen as a process."""
    took = []
    time.sleep(11)  # the immediate restart is for what has run well for 10 s
    for p in c.ps("many")[:rounds]:
        group = [g for g in cgroup_dirs(c.hosts["a"].cgroup) if str(p["pid"]) in read(os.path.join(g, "cgroup.procs")).split()]
        before = first_processes(c)
        os.kill(p["pid"], signal.SIGKILL)
        began = time.monotonic()
        while len(first_processes(c) - before) == 0:
            if time.monotonic() - began > 10:
                raise SystemExit(f"no replacement of {p['name']} ({group})")
        took.append((time.monotonic() - began) * 1000)
    return took


def first_processes(c):
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if read(f"/proc/{pid}/comm").strip() == "sleep" and "100000" in read(f"/proc/{pid}/cmdline"):
            found.add(int(pid))
    return found


def peer_starts(rounds, rootfs):
    """One container that ends at once, by other engines: whole run."""
    peers = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as bundle:
        if shutil.which("runc"):
            subprocess.run(["runc", "spec"], cwd=bundle, check=True)
            with open(os.path.join(bundle, "config.json"), encoding="utf-8") as f:
                config = json.load(f)
            config["root"] = {"path": rootfs, "readonly": True}
            config["process"].update(terminal=False, args=["/bin/true"])
            with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as f:
                json.dump(config, f)
            peers["runc run"] = ["runc", "run", "--bundle", bundle, "wherry-bench"]
        times = {name: [] for name in peers}
        for _ in range(rounds):
            for name, argv in peers.items():
                began = time.monotonic()
                if subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0:
                    times[name].append((time.monotonic() - began) * 1000)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.path.join(TOP, "build/release/bin"))
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    leaks = Leaks()
    print(f"machine: {platform.release()}, {os.cpu_count()} cpus, {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB; "
          f"{time.strftime('%Y-%m-%d')}; Wherry {run(os.path.join(args.bin, 'wherry'), 'version', check=False).stdout.splitlines()[:1]}")
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out, "web")
        bundle = os.path.join(out, "bundle")
        run("umoci", "unpack", "--image", f"{images[0]}:shop/web:1", bundle)
        with Cluster(args.bin, hosts=("a",), images=images) as c:
            time.sleep(1)
            empty = sum(pss_kib(p) for p in ours(c))
            print(f"memory, no container (PSS of all our processes): {empty / 1024:.1f} MiB")
            starts, stops, peers = [], [], {}
            for i in range(args.rounds):
                starts.append(apply_all(c, args.replicas))
                if i == 0:
                    full = sum(pss_kib(p) for p in ours(c))
                    n = len(ours(c))
                    print(f"memory, {args.replicas} containers: {full / 1024:.1f} MiB in {n} processes; per container {(full - empty) / args.replicas:.1f} KiB")
                    killed = killed_to_replaced(c, 10)
                    before, began = cpu_ticks(ours(c)), time.monotonic()
                    time.sleep(20)
                    ticks = cpu_ticks(ours(c)) - before
                    idle = ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began) * 100
                stops.append(remove_all(c))
                for name, values in peer_starts(10, os.path.join(bundle, "rootfs")).items():
                    peers.setdefault(name, []).extend(values)
            print(f"apply to all running, {args.replicas} replicas: {spread(starts)}; {args.replicas / statistics.median(starts) * 1000:.0f} per second")
            print(f"rm to all gone, {args.replicas} replicas: {spread(stops)}")
            print(f"killed to replaced: {spread(killed)}")
            print(f"idle CPU with {args.replicas} containers: {idle:.2f} % of a core")
            each = statistics.median(starts) / args.replicas
            for name, values in peers.items():
                if values:
                    print(f"{name} /bin/true, same root, same run: {spread(values)}; ours per container {each:.1f} ms = "
                          f"{each / statistics.median(values):.2f} x")
    left = leaks.new()
    print("left behind: " + (", ".join(left) if left else "nothing"))


main()
