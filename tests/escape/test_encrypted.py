#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster that asks for encryption: nothing of a container goes from host to host in clear text,
also where the kernel has no WireGuard. There nothing goes at all, and the node says why.

usage: test_encrypted.py BIN-DIR                                  (root)"""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import HERE, Cluster, Leaks, Suite, build_images, http_get, run, until  # noqa: E402

STACK = """
name: secret
services:
  web:
    image: shop/web:1
    ports: ["8080:8080"]
    deploy: {placement: {constraints: [node.hostname == b]}}
  client:
    image: shop/web:1
    deploy: {mode: global}
"""
# Listens on everything in the router's namespace; says how many frames held the mark, and the names of links they came by.
LISTEN = """
import select, socket, sys
mark, seen = bytes.fromhex(sys.argv[1]), {}
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
    print("ready", flush=True)
    while True:
        able, _, _ = select.select([s, sys.stdin], [], [])
        if s in able:
            data, where = s.recvfrom(65535)
            if mark in data:
                seen[where[0]] = seen.get(where[0], 0) + 1
        elif sys.stdin in able:
            break
print(*[f"{k}={v}" for k, v in sorted(seen.items())])
"""
DATAGRAMS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for address in sys.argv[2:]:
    for _ in range(5):
        try:
            s.sendto(bytes.fromhex(sys.argv[1]), (address, 5353))
        except OSError:
            pass # unreachable: as it should be
"""


def heard(c, mark, act):
    """Links of the router, and of the bridges between neighbours, by which the mark came."""
    p = subprocess.Popen(["nsenter", f"--net=/run/netns/{c.net}", "--", "python3", "-c", LISTEN, mark.hex()], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    act()
    time.sleep(0.3)
    return p.communicate("\n", timeout=10)[0].split()


def fresh():
    return b"mark" + os.urandom(8).hex().encode()


def members(c):
    return {(p["service"], p["node"]): p for p in c.ps("secret") if p["state"] == "running"}


def says_so(c, secret):
    for node in c.nodes().values():
        assert ("encrypt" in node.get("degraded", "")) != secret, node


def ears_work(c):
    mark = fresh()
    got = heard(c, mark, lambda: c.hosts["a"].exec("python3", "-c", DATAGRAMS, mark.hex(), c.hosts["b"].address, c.hosts["c"].address))
    assert any("br1" in x or "w" in x for x in got), got


def from_containers(c, secret):
    """Datagrams, a connection, a request by the virtual address: from a to b behind the router, and to c on the same link."""
    all_ = members(c)
    me, mark = all_["client", "a"], fresh()
    far = [all_[k]["address"] for k in (("client", "b"), ("client", "c"), ("web", "b"))]
    results = []

    def act():
        run("nsenter", "-t", me["pid"], "-n", "--", "python3", "-c", DATAGRAMS, mark.hex(), *far)
        for what in (("get", "web", "8080", "/" + mark.decode()), ("get", far[2], "8080", "/" + mark.decode())):
            results.append("status" in run("nsenter", "-t", me["pid"], "-n", "--", "python3", os.path.join(HERE, "inside.py"), *what, timeout=30).stdout)
    got = heard(c, mark, act)
    assert not got, f"in clear text by {got}"
    assert results == [secret, secret], results


def from_hosts(c, secret):
    """What a host itself sends to a container of another, and a client from outside whom a host leads on."""
    all_, mark = members(c), fresh()
    path = "/" + mark.decode()
    got = heard(c, mark, lambda: (c.hosts["a"].exec("python3", "-c", DATAGRAMS, mark.hex(), all_["client", "b"]["address"], all_["client", "c"]["address"]),
                                  http_get("127.0.0.1", 8080, path, netns=c.hosts["a"].netns, timeout=1)))
    assert not got, f"in clear text by {got}"
    mark = fresh()
    got = heard(c, mark, lambda: http_get(c.hosts["c"].address, 8080, "/" + mark.decode(), netns=c.net, timeout=1))
    assert not [x for x in got if x.startswith(("br2", "w1="))], f"led on in clear text by {got}"
    status = http_get(c.hosts["c"].address, 8080, "/healthz", netns=c.net, timeout=1)[0]
    assert (status == 200) == secret, status
    assert http_get(c.hosts["b"].address, 8080, "/healthz", netns=c.net, timeout=1)[0] == 200  # where the replica is


def after_faults(c, secret):
    """Routes flushed, an agent killed: at no moment a way in clear text."""
    all_, mark = members(c), fresh()
    me, far = all_["client", "a"], [all_["client", "b"]["address"], all_["client", "c"]["address"]]
    a = c.hosts["a"]

    def act():
        sender = subprocess.Popen(["nsenter", "-t", str(me["pid"]), "-n", "--", "sh", "-c",
                                   f"while :; do python3 -c '{DATAGRAMS}' {mark.hex()} {' '.join(far)}; done"], start_new_session=True)
        try:
            a.exec("ip", "route", "flush", "proto", "87")
            time.sleep(1)
            a.agent.kill()
            a.agent.start()
            until("it is back", lambda: c.ready() == 3)
            time.sleep(1)
        finally:
            os.killpg(sender.pid, 9)
            sender.wait()
    got = heard(c, mark, act)
    assert not got, f"in clear text by {got}"
    assert secret or "encrypt" in c.nodes()["a"].get("degraded", "")


def main():
    suite, leaks = Suite(), Leaks()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out, "web")
        with Cluster(os.path.abspath(sys.argv[1]), images=images, segments={"a": 1, "b": 2, "c": 1}, controller_options=["--encrypt"]) as c:
            c.apply(STACK, "--wait")
            has = run("ip", "-n", c.net, "link", "add", "wgprobe", "type", "wireguard", check=False).returncode == 0
            print(f"WireGuard: {'yes' if has else 'no'}")
            if has:
                until("they shake hands", lambda: all("dev ww" in h.exec("ip", "route").stdout for h in c.hosts.values()))
                time.sleep(2)
            suite.test("says_so", says_so, c, has)
            suite.test("ears_work", ears_work, c)
            for test in (from_containers, from_hosts, after_faults):
                suite.test(test.__name__, test, c, has)
            suite.leave(c)
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
