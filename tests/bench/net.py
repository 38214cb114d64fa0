#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The network's figures, beside the same by hand; nothing here passes or fails.

    cmake --preset release -B build/bench -DWHERRY_TESTS=ON && ninja -C build/bench
    sudo tests/bench/net.py [--build build/bench] [--rounds 5] [--seconds 1.5] [--only tcp,setup,…]

tcp: through a virtual address, to a replica on the same host, on a neighbour, and on a host behind
a router (VXLAN), beside namespaces that are joined and routed by hand, without rules and without
tracking, in turn. setup: a container's link, beside unshare and veth by hand. endpoint: from a
container's end until the tables of all three hosts have changed. change: what one endpoint's change
costs an agent, by the number of services. dns: tests/bench/dns.py. Only ratios of one run count."""
import argparse
import ctypes
import os
import platform
import re
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from cluster import TOP, Cluster, Failure, build_images, run, until  # noqa: E402
from probe import cpu_ns, killed_at, read  # noqa: E402

PORT = 5001
PARTS = ("tcp", "setup", "endpoint", "change", "dns")
SEGMENTS = {"a": 1, "b": 1, "c": 2}
KINDS = {"bytes": "throughput", "requests": "requests/s, 64 bytes", "connections": "connections/s, one request each"}

STACK = """
name: net
services:
  client: &at
    image: shop/web:1
    user: "0"
    entrypoint: [/bin/sleep, "100000"]
    stop_grace_period: 100ms
    deploy: {placement: {constraints: ["node.hostname == a"]}}
  near: *at
  side: {<<: *at, deploy: {placement: {constraints: ["node.hostname == b"]}}}
  far: {<<: *at, deploy: {placement: {constraints: ["node.hostname == c"]}}}
  spread: {<<: *at, deploy: {mode: global}}
"""


def say(what, text):
    print(f"{what + ':':<48} {text}", flush=True)


def spread(values, unit="ms"):
    return f"median {statistics.median(values):.1f} {unit} ({min(values):.1f}-{max(values):.1f}, n {len(values)})"


def describe(bin_dir):
    cpu = next((l.split(":")[1].strip() for l in read("/proc/cpuinfo").splitlines() if l.startswith("model name")), "?")
    say("date", time.strftime("%Y-%m-%d %H:%M"))
    say("machine", f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
    commit = run("git", "-C", TOP, "describe", "--always", "--dirty", check=False).stdout.strip()
    say("wherry", f"{commit}, {os.path.relpath(bin_dir, TOP)}")


# ---- by hand ----

class Hand:
    """Hosts a, b, c and a router as those of a Cluster are, with cells on them, by `ip` alone; a
    tunnel between a and c beside the route; and two cells with one veth and no host between them."""

    CELLS = {"client": "a", "near": "a", "side": "b", "far": "c"}

    def __init__(self):
        self.tag = f"wt{os.getpid()}-hand-"
        self.made = []

    def ns(self, name):
        return self.tag + name

    def ip(self, name, text):
        run("ip", "-n", self.ns(name), *text.split())

    def new(self, name):
        run("ip", "netns", "add", self.ns(name))
        self.made.append(name)
        self.ip(name, "link set lo up")
        run("ip", "netns", "exec", self.ns(name), "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def veth(self, one, link, other, peer):
        self.ip(one, f"link add {link} type veth peer name {peer} netns {self.ns(other)}")
        self.ip(one, f"link set {link} up")
        self.ip(other, f"link set {peer} up")

    def host(self, i, name, segment):
        self.new(name)
        self.veth(name, "eth0", "router", f"w{i}")
        self.ip("router", f"link set w{i} master br{segment}")
        self.ip(name, f"addr add 10.99.{segment}.{11 + i}/24 dev eth0")
        self.ip(name, f"route add default via 10.99.{segment}.1")

    def cell(self, i, name, host):
        self.new(name)
        self.veth(host, f"c{i}", name, "eth0")
        self.ip(host, f"addr add 10.77.{i}.1/24 dev c{i}")
        self.ip(name, f"addr add 10.77.{i}.2/24 dev eth0")
        self.ip(name, f"route add default via 10.77.{i}.1")

    def routes(self):
        for name, net, via in (("a", 2, "10.99.1.12"), ("b", 0, "10.99.1.11"), ("b", 1, "10.99.1.11"),
                               ("router", 0, "10.99.1.11"), ("router", 3, "10.99.2.13")):
            self.ip(name, f"route add 10.77.{net}.0/24 via {via}")

    def tunnel(self):
        """10.78.0.1 and .2 are second addresses of client and far, between which only it is used."""
        for host, cell, me, other, address in (("a", 0, "10.99.1.11", "10.99.2.13", 1), ("c", 3, "10.99.2.13", "10.99.1.11", 2)):
            name = next(n for n, (_, k) in {n: (0, k) for k, n in enumerate(self.CELLS)}.items() if k == cell)
            self.ip(host, f"link add vx0 type vxlan id 77 local {me} remote {other} dstport 4789 nolearning")
            self.ip(host, f"addr add 10.79.0.{address}/24 dev vx0")
            self.ip(host, "link set vx0 up")
            self.ip(host, f"route add 10.78.0.{address}/32 via 10.77.{cell}.2")
            self.ip(host, f"route add 10.78.0.{3 - address}/32 via 10.79.0.{3 - address}")
            self.ip(name, f"addr add 10.78.0.{address}/32 dev lo")
            self.ip(name, f"route add 10.78.0.{3 - address}/32 via 10.77.{cell}.1 mtu 1450 src 10.78.0.{address}")

    def direct(self):
        self.new("one")
        self.new("two")
        self.veth("one", "eth0", "two", "eth0")
        self.ip("one", "addr add 10.76.0.1/24 dev eth0")
        self.ip("two", "addr add 10.76.0.2/24 dev eth0")

    def __enter__(self):
        self.new("router")
        for k in (1, 2):
            self.ip("router", f"link add br{k} type bridge")
            self.ip("router", f"addr add 10.99.{k}.1/24 dev br{k}")
            self.ip("router", f"link set br{k} up")
        for i, (name, segment) in enumerate(SEGMENTS.items()):
            self.host(i, name, segment)
        for i, (name, host) in enumerate(self.CELLS.items()):
            self.cell(i, name, host)
        self.routes()
        self.tunnel()
        self.direct()
        return self

    def __exit__(self, *_):
        for name in self.made:
            run("ip", "netns", "del", self.ns(name), check=False)

    def path(self, client, server, address):
        return [["nsenter", f"--net=/run/netns/{self.ns(n)}", "--"] for n in (client, server)] + [address]


# ---- TCP ----

def container(c, service, node=None):
    return next(p for p in c.ps("net") if p["service"] == service and p["state"] == "running" and node in (None, p["node"]))


def virtual(c, service):
    out = run("nsenter", "-t", container(c, "client")["pid"], "-n", "--", "python3", os.path.join(TOP, "tests/lib/inside.py"), "dns", service, "A")
    return re.search(r'"(10\.[0-9.]+)"', out.stdout).group(1)


def through(c, service):
    return [["nsenter", "-t", str(container(c, s)["pid"]), "-n", "--"] for s in ("client", service)] + [virtual(c, service)]


class Load:
    """Servers for all paths; one client at a time."""

    def __init__(self, program, paths, seconds):
        self.program, self.paths, self.seconds, self.servers = program, paths, seconds, {}

    def __enter__(self):
        for at in {tuple(server) for _, server, _ in self.paths.values()}:
            p = self.servers[at] = subprocess.Popen([*at, self.program, "serve", str(PORT)], stdout=subprocess.PIPE)
            p.stdout.readline()
        return self

    def __exit__(self, *_):
        for p in self.servers.values():
            p.terminate()
            p.wait()

    def once(self, name, kind):
        """(per second, ns of CPU for each): what both ends have used, in whose time the kernel
        carries packets from one to the other."""
        at, server, address = self.paths[name]
        server = self.servers[tuple(server)].pid
        before = cpu_ns([server])
        p = subprocess.Popen([*at, self.program, kind, address, str(PORT), str(self.seconds)], stdout=subprocess.PIPE)
        rate = float(p.stdout.read() or 0)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = status
        if status != 0:
            raise Failure(f"{name}: the load of {kind} has failed")
        used = cpu_ns([server]) - before + (usage.ru_utime + usage.ru_stime) * 1e9
        return rate, used / (rate * self.seconds)


def paths_of(c, hand):
    return {"one veth": hand.path("one", "two", "10.76.0.2"),
            "same host, by hand": hand.path("client", "near", "10.77.1.2"), "same host": through(c, "near"),
            "neighbours, by hand": hand.path("client", "side", "10.77.2.2"), "neighbours": through(c, "side"),
            "behind a router, by hand": hand.path("client", "far", "10.77.3.2"),
            "behind a router, VXLAN by hand": hand.path("client", "far", "10.78.0.2"),
            "behind a router": through(c, "far")}


def tcp(c, args):
    with Hand() as hand, Load(os.path.join(args.build, "tests/tcp_load"), paths_of(c, hand), args.seconds) as load:
        for kind, words in KINDS.items():
            found = {name: [] for name in load.paths}
            for _ in range(args.rounds):
                for name in load.paths:
                    found[name].append(load.once(name, kind))
            print_paths(words, found, 1e6 if kind == "bytes" else 1)


def print_paths(words, found, unit):
    """Medians; and of the ratios of each round, rates and CPU."""
    say(words, "MB/s" if unit > 1 else "")
    for name, values in found.items():
        rates = [rate / unit for rate, _ in values]
        beside = [n for n in found if n.startswith(name + ",")] + ([] if "by hand" in name or name == "one veth" else ["one veth"])
        say(f"  {name}", f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})" +
            "".join(f"; {ratio(values, found[n], 0):.2f} x {n.removeprefix(name + ', ')}, CPU {ratio(values, found[n], 1):.2f} x" for n in beside))


def ratio(ours, theirs, which):
    return statistics.median(a[which] / b[which] for a, b in zip(ours, theirs))


# ---- one endpoint, three hosts ----

class Tables:
    """What changes in the hosts' nftables, as the kernel tells it (nfnetlink, NFNLGRP_NFTABLES)."""

    CLONE_NEWNET, NETLINK_NETFILTER, GROUP = 0x40000000, 12, 7
    NEW, DELETE = 10 << 8 | 12, 10 << 8 | 14

    def __init__(self, hosts):
        self.sockets = {}
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net", encoding="ascii") as own:
            for name, host in hosts.items():
                with open(f"/run/netns/{host.netns}", encoding="ascii") as other:
                    assert libc.setns(other.fileno(), self.CLONE_NEWNET) == 0
                try:
                    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.NETLINK_NETFILTER)
                finally:
                    assert libc.setns(own.fileno(), self.CLONE_NEWNET) == 0
                s.bind((0, 0))
                s.setsockopt(270, 1, self.GROUP)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
                s.setblocking(False)
                self.sockets[s] = name

    @classmethod
    def backends_in(cls, data):
        """Whether this datagram changes elements of w_vip_to."""
        at = 0
        while at + 16 <= len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            if kind in (cls.NEW, cls.DELETE) and b"w_vip_to\0" in data[at:at + size]:
                return True
            at += (size + 3) & ~3
        return False

    def events(self, seconds):
        """Yields (host, monotonic ns) of every change until so long nothing came."""
        while True:
            ready, _, _ = select.select(list(self.sockets), [], [], seconds)
            if not ready:
                return
            for s in ready:
                now = time.monotonic_ns()
                if self.backends_in(s.recv(1 << 18)):
                    yield self.sockets[s], now

    def changes(self, began):
        """{host: ms from `began` of each change of it}, until all is quiet for a second."""
        found = {name: [] for name in self.sockets.values()}
        for name, at in self.events(1):
            found[name].append((at - began) / 1e6)
        return found


def running(c):
    return len([p for p in c.ps("net") if p["service"] == "spread" and p["state"] == "running"])


def endpoint(c, args):
    """A container is killed, and another takes its place: first no host leads to it any more, then
    all lead to the other."""
    tables = Tables(c.hosts)
    own, gone, new, over = [], [], [], []
    for i in range(args.endpoints):
        if i % 3 == 0:  # a container that has run for 10 s is started again at once
            until("all run", lambda: running(c) == 3)
            time.sleep(11)
        node = "abc"[i % 3]
        pid = container(c, "spread", node)["pid"]
        list(tables.events(0))
        changes = tables.changes(killed_at(pid))
        if not all(changes.values()):
            print(f"  {node}: some host has not changed: {changes}")
            continue
        own.append(changes[node][0])
        gone.append(max(times[0] for times in changes.values()))
        over.append(max(times[-1] for times in changes.values()))
        new.append(over[-1] - changes[node][-1])
    say("killed, until its own host leads elsewhere", spread(own))
    say("  until all three hosts do", spread(gone))
    say("  until all three lead to its replacement", spread(over))
    say("  which is after its own host has begun to", spread(new))


# ---- what an agent does by itself ----

def setup(args):
    out = run(os.path.join(args.build, "tests/test_netload"), timeout=200)
    for line in (out.stdout + out.stderr).splitlines():
        if "by hand" in line and ":" in line:
            say(f"a container's link, {line.split(':')[0]}", line.partition(": ")[2])


def nft_by_process(rounds, chains=5000):
    """`nft add element` in a table with so many chains."""
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as f:
        f.write("table inet t {\nset m { type ipv4_addr; }\n" + "".join(f"chain c{i} {{ accept; }}\n" for i in range(chains)) + "}\n")
        f.flush()
        script = f"nft -f {f.name}; while read n; do nft add element inet t m {{ 10.0.0.$n }}; echo; done"
        p = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        took = []
        for i in range(rounds + 1):
            began = time.monotonic()
            p.stdin.write(f"{i}\n")
            p.stdout.readline()
            took.append((time.monotonic() - began) * 1000)
        p.stdin.close()
        p.wait()
    return took[1:]


def change(args):
    for n in (10, 1000, 5000):
        median, least, most = run(os.path.join(args.build, "tests/net_change"), n, 1000).stdout.split()
        say(f"one endpoint's change, {n} services", f"median {median} us ({least}-{most}, n 1000)")
    say("nft add element, 5000 chains", spread(nft_by_process(30)))


def dns(args):
    subprocess.run([sys.executable, os.path.join(HERE, "dns.py"), "--build", args.build], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(TOP, "build/bench"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--endpoints", type=int, default=15)
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    args = parser.parse_args()
    only = args.only.split(",")
    describe(args.build)
    if "tcp" in only or "endpoint" in only:
        with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir="/var/tmp") as work:
            images = build_images(work, "web")
            with Cluster(os.path.join(args.build, "bin"), images=images, segments=SEGMENTS) as c:
                c.apply(STACK, "--wait", "-q")
                for part in (tcp, endpoint):
                    if part.__name__ in only:
                        part(c, args)
                c.remove_stacks()
    for part in (setup, change, dns):
        if part.__name__ in only:
            part(args)


main()
