#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a release build on this machine and prints figures; nothing here passes or fails.

    sudo tests/bench/bench.py [--bin build/release/bin] [--replicas 100] [--many 300] [--rounds 5]

One controller and one agent, containers that sleep, as the peers are measured: `apply` to all
running, a container killed to its replacement running, memory of everything (PSS), idle CPU. In the
same run and interleaved: runc and podman, where installed and usable, because only ratios from one
run count. The first lines describe the machine. How the figures are read: deploy/docs/figures.md."""
import argparse
import os
import platform
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from cluster import TOP, Cluster, build_images, cgroup_dirs, run, until  # noqa: E402
from peers import peers_of  # noqa: E402
from probe import Execs, cpu_ns, dead, killed_at, ours, pss_kib, read  # noqa: E402

IMAGE = "shop/web:1"
STACK = """
name: many
services:
  sleeper:
    image: shop/web:1
    user: "0"
    entrypoint: [{entrypoint}]
    pids_limit: 32
    stop_grace_period: 100ms
{health}
    deploy: {{replicas: {n}, resources: {{reservations: {{memory: 4M}}}}}}
"""
SLEEP = '/bin/sleep, "100000"'
LISTEN = '/bin/busybox, httpd, "-f", "-p", "8080"'


def spread(values, unit="ms"):
    return (f"median {statistics.median(values):.1f} {unit} "
            f"({min(values):.1f}-{max(values):.1f}, n {len(values)})")


def say(what, text):
    print(f"{what + ':':<44} {text}", flush=True)


# ---- one figure each ----

def stack(n, entrypoint=SLEEP, test=None):
    health = f"    healthcheck: {{test: {test}, interval: 10s}}" if test else ""
    return STACK.format(n=n, entrypoint=entrypoint, health=health)


def apply_all(c, text):
    """What an operator waits for: the command until it says that all run."""
    began = time.monotonic()
    c.apply(text, "--wait", "-q")
    return (time.monotonic() - began) * 1000


def remove_all(c):
    began = time.monotonic()
    c.wherry("rm", "many", "--wait", "-q")
    return (time.monotonic() - began) * 1000


def clean_again(c):
    """Also what the command does not wait for: directories, groups, ranges of ids."""
    host = c.hosts["a"]
    until("no run is left", lambda: not os.listdir(os.path.join(host.run, "runs")), timeout=60, pause=0.02)


def memory(c):
    pids = ours(c)
    return sum(pss_kib(p) for p in pids), len(pids)


def killed_to_replaced(c, execs, rounds):
    """From kill -9 of a container's first process until the exec of the next one's command. The
    first restart is immediate for what has run well for 10 s."""
    took = []
    time.sleep(11)
    for p in c.ps("many")[:rounds]:
        execs.drain()
        began = killed_at(p["pid"])
        took.append((execs.next_of("/bin/sleep") - began) / 1e6)
        time.sleep(0.3)
    return took


def idle(c, seconds=20):
    """CPU of all our processes, and of the helpers that they have reaped, in percent of a core."""
    pids, ended = ours(c), dead(c)
    before, began = cpu_ns(pids), time.monotonic()
    time.sleep(seconds)
    used = cpu_ns(pids) - before + dead(c) - ended
    return used / 1e7 / (time.monotonic() - began)


# ---- the run ----

def describe(bin_dir):
    cpu = next((l.split(":")[1].strip() for l in read("/proc/cpuinfo").splitlines() if l.startswith("model name")), "?")
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    say("date", time.strftime("%Y-%m-%d %H:%M"))
    say("machine", f"{os.cpu_count()} x {cpu}, {gib:.0f} GiB, Linux {platform.release()}")
    commit = run("git", "-C", TOP, "describe", "--always", "--dirty", check=False).stdout.strip()
    say("wherry", f"{commit}, {os.path.relpath(bin_dir, TOP)}")


def one_each(peers, rounds):
    """The whole life of a container that ends at once, all engines in turn."""
    times = {p.name: [] for p in peers}
    for _ in range(rounds):
        for p in peers:
            began = time.monotonic()
            p.run_one()
            times[p.name].append((time.monotonic() - began) * 1000)
    return times


def peers_together(peers, n):
    """The peers' own `n` containers: until all run, and what they hold while they do."""
    for p in peers:
        if p.can_stay:
            began = time.monotonic()
            p.start_many(n)
            took = (time.monotonic() - began) * 1000
            yield p.name, took, p.memory_kib() / n
            p.remove_many()


def rounds_of(c, args, execs, peers):
    found = {"start": [], "stop": [], "clean": [], "peer": {}, "peer_kib": {}}
    empty, n = memory(c)
    say("memory, no container", f"{empty / 1024:.1f} MiB PSS in {n} processes")
    for i in range(args.rounds):
        found["start"].append(apply_all(c, stack(args.replicas)))
        if i == 0:
            time.sleep(2)
            full, n = memory(c)
            say(f"memory, {args.replicas} containers", f"{full / 1024:.1f} MiB in {n} processes; each {(full - empty) / args.replicas:.1f} KiB")
            found["killed"] = killed_to_replaced(c, execs, 20)
            say(f"idle CPU, {args.replicas} containers", f"{idle(c):.3f} % of a core")
        began = time.monotonic()
        found["stop"].append(remove_all(c))
        clean_again(c)
        found["clean"].append((time.monotonic() - began) * 1000)
        for name, took, kib in peers_together(peers, args.peer_replicas):
            found["peer"].setdefault(name, []).append(took / args.peer_replicas)
            found["peer_kib"].setdefault(name, []).append(kib)
    return found


def checked_stack(c, args, test, entrypoint):
    apply_all(c, stack(args.replicas, entrypoint, test))
    time.sleep(12)
    say(f"idle CPU, a check each 10 s {test.split(',')[0]}]", f"{idle(c, 30):.3f} % of a core")
    remove_all(c)
    clean_again(c)


def many(c, n):
    empty, _ = memory(c)
    took = apply_all(c, stack(n))
    time.sleep(1)
    full, _ = memory(c)
    say(f"{n} containers", f"all run after {took:.0f} ms; each {(full - empty) / n:.1f} KiB; "
        f"rm {remove_all(c):.0f} ms")
    clean_again(c)


def left_behind(bin_dir):
    """Processes of this build and groups of this run; other tests may be running beside it."""
    time.sleep(1)
    mine = [p for p in filter(str.isdigit, os.listdir("/proc")) if exe_of(p).startswith(os.path.realpath(bin_dir))]
    return [f"process {p} {exe_of(p)}" for p in mine] + cgroup_dirs(f"wherry/wt{os.getpid()}-a") + cgroup_dirs("wherry/bench-one")


def exe_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.path.join(TOP, "build/release/bin"))
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--peer-replicas", type=int, default=20)
    parser.add_argument("--many", type=int, default=300, help="0: leave it out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="no peers, no checks")
    args = parser.parse_args()
    describe(args.bin)
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir="/var/tmp") as work, Execs() as execs:
        images = build_images(work, "web")
        with peers_of(args.bin, work, images[0], IMAGE, args.short) as peers, \
                Cluster(args.bin, hosts=("a",), images=images) as c:
            time.sleep(1)
            found = rounds_of(c, args, execs, peers)
            say(f"apply to all running, {args.replicas} replicas", spread(found["start"]))
            say(f"rm to all gone, {args.replicas} replicas", spread(found["stop"]))
            say("  and everything of them cleaned", spread(found["clean"]))
            say("killed to replaced", spread(found["killed"]))
            each = statistics.median(found["start"]) / args.replicas
            say("  per container, started", f"{each:.2f} ms")
            for name, values in found["peer"].items():
                say(f"  {name}, {args.peer_replicas} started", f"{spread(values)} each: {statistics.median(values) / each:.0f} x ours; "
                    f"{statistics.median(found['peer_kib'][name]):.0f} KiB each")
            for p in peers:
                if p.can_restart:
                    say(f"  {p.name}, killed to replaced", spread(p.killed_to_replaced(execs, 5)))
            if not args.short:
                checked_stack(c, args, '["TCP", ":8080"]', LISTEN)
                checked_stack(c, args, '["HTTP", "http://:8080/"]', LISTEN)
                checked_stack(c, args, '["CMD", "/bin/true"]', SLEEP)
            if args.many:
                many(c, args.many)
            if not args.short:
                for name, values in one_each(peers, 20).items():
                    say(f"one container, /bin/true, {name}", spread(values))
    left = left_behind(args.bin)
    say("left behind", ", ".join(left) if left else "nothing")


main()
