#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a container does on the network that means harm, with NET_RAW and NET_ADMIN, in a cluster of
two hosts: addresses of others, ARP, router advertisements, tags, fragments, source routes, packets
for the hosts. Nothing of it arrives anywhere, and what the rules see is counted. And documents that
ask for addresses of others.

usage: test_network.py BIN-DIR [NAME…]                                  (root)"""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import Cluster, Failure, Leaks, Suite, build_images, run, until  # noqa: E402

PORT = 5353
GATEWAY = "169.254.1.1"
GATEWAY_MAC = bytes.fromhex("027768727279")
EVERYBODY = b"\xff" * 6

EVIL = """
name: evil
services:
  attacker:
    image: shop/web:1
    user: "0:0"
    cap_add: [NET_RAW, NET_ADMIN]
    deploy: {placement: {constraints: [node.hostname == a]}}
  ally:
    image: shop/web:1
    deploy: {mode: global}
"""
GOOD = """
name: good
services:
  web:
    image: shop/web:1
    deploy: {mode: global}
"""
ASKING = """
name: asking
services:
  web:
    image: shop/web:1
    networks: {{here: {{ipv4_address: {address}}}}}
    deploy: {{placement: {{constraints: [node.hostname == a]}}}}
networks:
  here: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}
"""

# Run by nsenter: receives frames' bytes in hex by lines of standard input, and sends them.
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
    s.bind(("eth0", 0))
    for line in sys.stdin:
        try:
            s.send(bytes.fromhex(line))
        except OSError as e:
            sys.exit(f"{line}: {e}")
"""
# Says "ready", then counts what comes in by eth0 and holds the mark, until its input ends.
LISTEN = """
import select, socket, sys
mark, found = bytes.fromhex(sys.argv[1]), 0
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
    s.bind(("eth0", 3))
    print("ready", flush=True)
    while True:
        able, _, _ = select.select([s, sys.stdin], [], [])
        if s in able:
            data, where = s.recvfrom(65535)
            found += mark in data and (where[2] != 4 or sys.argv[2] == "out")
        elif sys.stdin in able:
            break
print(found)
"""


# ---- frames ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, dest, payload, protocol=17, options=b"", fragment=0, ident=7):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(dest)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def udp(mark, port=PORT, size=0):
    data = mark + b"." * size
    return struct.pack(">HHHH", PORT, port, 8 + len(data), 0) + data


def frame(me, payload, dest=GATEWAY_MAC, kind=0x0800, source=None):
    return dest + (source or me["mac"]) + struct.pack(">H", kind) + payload


def ipv6(payload, protocol, dest="ff02::1", source="fe80::77"):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 255) + socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, dest) + payload


def arp(me, operation, sender, target, mac=None):
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + (mac or me["mac"]) + socket.inet_aton(sender) + b"\0" * 6 + socket.inet_aton(target)


# ---- the world ----

def container(c, stack, service, node):
    for p in c.ps(stack):
        if p["service"] == service and p["node"] == node and p["state"] == "running":
            link = run("nsenter", "-t", p["pid"], "-n", "--", "ip", "-o", "link", "show", "eth0").stdout
            return {**p, "mac": bytes.fromhex(re.search(r"link/ether (\S+)", link).group(1).replace(":", ""))}
    raise Failure(f"{stack}/{service} does not run on {node}")


def python(p_or_host, code, *argv, **kw):
    where = [f"--net=/run/netns/{p_or_host.netns}"] if hasattr(p_or_host, "netns") else ["-t", str(p_or_host["pid"]), "-n"]
    return run("nsenter", *where, "--", "python3", "-c", code, *argv, **kw)


def shell(p, *argv, check=True):
    return run("nsenter", "-t", p["pid"], "-n", "--", *argv, check=check)


class Ears:
    """Who hears a mark: containers and hosts by name."""

    def __init__(self, mark, places):
        self.all = {}
        for name, place in places.items():
            where = [f"--net=/run/netns/{place.netns}"] if hasattr(place, "netns") else ["-t", str(place["pid"]), "-n"]
            # what leaves a host by its own link counts, too
            self.all[name] = subprocess.Popen(["nsenter", *where, "--", "python3", "-c", LISTEN, mark.hex(), "out" if hasattr(place, "netns") else "in"],
                                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for p in self.all.values():
            assert p.stdout.readline() == "ready\n"

    def stop(self):
        time.sleep(0.2)
        return {name: int(p.communicate("\n", timeout=10)[0]) for name, p in self.all.items()}


def counters(host):
    out = host.exec("nft", "list", "counters", "table", "inet", table(host)).stdout
    return {name: int(n) for name, n in re.findall(r"counter w_n_(\w+) \{\s*packets (\d+)", out)}


def table(host):
    return [l.split()[-1] for l in host.exec("nft", "list", "tables").stdout.splitlines() if "wherry" in l][0]


class World:
    def __init__(self, c):
        self.c, self.a, self.b = c, c.hosts["a"], c.hosts["b"]
        c.apply(EVIL, "--wait")
        c.apply(GOOD, "--wait")
        self.me = container(c, "evil", "attacker", "a")
        self.ally, self.far = container(c, "evil", "ally", "a"), container(c, "evil", "ally", "b")
        self.victim, self.other = container(c, "good", "web", "a"), container(c, "good", "web", "b")
        self.places = {"ally@a": self.ally, "ally@b": self.far, "victim@a": self.victim, "victim@b": self.other, "host a": self.a, "host b": self.b}

    def send(self, *frames):
        python(self.me, SEND, input="".join(f.hex() + "\n" for f in frames))

    def tried(self, what, counter, make):
        """make(mark) gives frames; nobody hears of them, and `counter` goes up (None: dropped where nobody counts)."""
        mark = b"mark-" + os.urandom(6).hex().encode()
        ears = Ears(mark, self.places)
        before = counters(self.a)
        self.send(*make(mark))
        heard = {name: n for name, n in ears.stop().items() if n > 0}
        after = counters(self.a)
        if heard:
            raise Failure(f"{what}: heard by {heard}")
        if counter is not None and after[counter] <= before[counter]:
            raise Failure(f"{what}: not counted as {counter}: {before} {after}")


# ---- the tests ----

def control(w):
    """What is allowed arrives: else none of the others would show anything."""
    status = open(f"/proc/{w.me['pid']}/status", encoding="ascii").read()
    caps = int(re.search(r"CapBnd:\s*(\w+)", status).group(1), 16)
    assert caps >> 12 & 1 and caps >> 13 & 1, hex(caps)
    mark = b"allowed-" + os.urandom(6).hex().encode()
    ears = Ears(mark, w.places)
    w.send(frame(w.me, ipv4(w.me["address"], w.ally["address"], udp(mark))), frame(w.me, ipv4(w.me["address"], w.far["address"], udp(mark))))
    heard = ears.stop()
    assert heard["ally@a"] == 1 and heard["ally@b"] == 1 and heard["victim@a"] == 0, heard


def sources(w):
    vip = "10.240.0.1"
    for what, source in (("an ally's address", w.far["address"]), ("another stack's address", w.victim["address"]), ("a virtual address", vip),
                         ("the gateway's", GATEWAY), ("this host's", w.a.address), ("another host's", w.b.address), ("loopback's", "127.0.0.1"),
                         ("somebody's outside", "203.0.113.9"), ("no address", "0.0.0.0"), ("everybody's", "255.255.255.255"),
                         ("this node's own in the cluster", w.me["address"].rsplit(".", 1)[0] + ".0")):
        for dest in (w.ally["address"], w.far["address"], w.victim["address"]):
            if source != dest:
                w.tried(f"from {what} to {dest}", "spoof", lambda m, s=source, d=dest: [frame(w.me, ipv4(s, d, udp(m)))])
    listed = w.a.exec("nft", "list", "set", "inet", table(w.a), "w_spoof").stdout
    assert re.search(r'"\w+" (expires \S+ )?counter packets [1-9]|counter packets [1-9]', listed), listed


def borrowed(w):
    """Somebody else's address on its own link, by the kernel's own means."""
    before = counters(w.a)["spoof"]
    for address in (w.far["address"], w.victim["address"], "10.240.0.1"):
        shell(w.me, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
        code = f"import socket; s = socket.socket(); s.settimeout(0.5); s.bind(('{address}', 0)); s.connect(('{w.ally['address']}', 8080))"
        assert python(w.me, code, check=False).returncode != 0, address
        shell(w.me, "ip", "addr", "del", f"{address}/32", "dev", "eth0")
    assert counters(w.a)["spoof"] > before
    # a virtual address still leads to its service, and another's address to that container
    shell(w.me, "ip", "addr", "add", f"{w.victim['address']}/32", "dev", "eth0")
    w.send(*[frame(w.me, arp(w.me, op, w.victim["address"], w.victim["address"]), dest=EVERYBODY, kind=0x0806) for op in (1, 2)])
    reply = w.a.exec("ip", "neigh", "show", w.victim["address"]).stdout
    assert w.victim["mac"].hex(":") in reply and w.me["mac"].hex(":") not in reply, reply
    shell(w.me, "ip", "addr", "del", f"{w.victim['address']}/32", "dev", "eth0")


def hardware(w):
    """Addresses of frames: to everybody, or to somebody else, is to nobody."""
    for dest in (EVERYBODY, w.victim["mac"], w.ally["mac"], bytes.fromhex("01005e000001")):
        w.tried(f"to {dest.hex(':')}", None, lambda m, d=dest: [frame(w.me, ipv4(w.me["address"], w.ally["address"], udp(m)), dest=d)])
    w.tried("another's address in both", "spoof", lambda m: [frame(w.me, ipv4(w.far["address"], w.ally["address"], udp(m)), source=w.far["mac"])])


def arp_is_silent(w):
    """The host answers nobody, and learns of nobody; it would, if its end of the link spoke ARP."""
    kind = struct.pack(">H", 0x0806) + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2)

    def neighbours():
        return w.a.exec("ip", "neigh").stdout.count("\n")

    def ask(target):
        w.send(frame(w.me, arp(w.me, 1, w.me["address"], target), dest=EVERYBODY, kind=0x0806))
    links = re.findall(r"^\d+: (w\w+)@\S+ <([^>]*)>", w.a.exec("ip", "-o", "link").stdout, re.MULTILINE)
    assert links and all("NOARP" in flags for _, flags in links), links
    before = neighbours()
    ears = Ears(kind, {"me": w.me})
    for target in (GATEWAY, w.a.address, w.b.address, "10.99.1.1", w.ally["address"], w.me["address"].rsplit(".", 1)[0] + ".0", "10.240.0.1"):
        ask(target)
    w.send(*[frame(w.me, arp(w.me, 1, f"172.31.{i // 250}.{i % 250 + 1}", w.a.address, mac=b"\x02\0\0\0" + i.to_bytes(2, "big")), dest=EVERYBODY, kind=0x0806)
             for i in range(2000)])
    answers = ears.stop()["me"]
    assert answers == 0, f"{answers} answers"
    assert neighbours() <= before + 1, (before, neighbours())
    link = w.a.exec("ip", "-4", "route", "show", w.me["address"]).stdout.split()[2]
    ears = Ears(kind, {"me": w.me})
    w.a.agent.signal(signal.SIGSTOP)  # else it is off again at once
    try:
        w.a.exec("ip", "link", "set", link, "arp", "on")
        ask(GATEWAY)
        answers = ears.stop()["me"]
    finally:
        w.a.agent.signal(signal.SIGCONT)
    assert answers > 0, "without the guard it is silent, too: the test shows nothing"
    until("the agent has put the guard back", lambda: "NOARP" in w.a.exec("ip", "-o", "link", "show", link).stdout, timeout=3)


def version_6(w):
    advert = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    routes = w.a.exec("ip", "-6", "route").stdout
    neighbours = w.a.exec("ip", "-6", "neigh").stdout
    w.tried("router advertisement", "family", lambda m: [frame(w.me, ipv6(advert + m, 58), dest=bytes.fromhex("333300000001"), kind=0x86dd)])
    w.tried("IPv6 to everybody", "family", lambda m: [frame(w.me, ipv6(udp(m), 17), dest=EVERYBODY, kind=0x86dd)])
    w.tried("IPv6 by the gateway", "family", lambda m: [frame(w.me, ipv6(udp(m), 17, dest="2001:db8::1", source="2001:db8::2"), kind=0x86dd)])
    assert w.a.exec("ip", "-6", "route").stdout == routes and w.a.exec("ip", "-6", "neigh").stdout == neighbours


def odd_frames(w):
    own, ally = w.me["address"], w.ally["address"]
    for tags in (b"\x00\x05", b"\x00\x05\x81\x00\x00\x06"):
        w.tried("tagged", None, lambda m, t=tags: [frame(w.me, t + b"\x08\x00" + ipv4(own, ally, udp(m)), kind=0x8100)])
    w.tried("tagged twice", None, lambda m: [frame(w.me, b"\x00\x05\x81\x00\x00\x06\x08\x00" + ipv4(own, ally, udp(m)), kind=0x88a8)])
    for source, dest, counter in ((own, w.victim["address"], "reach"), (w.far["address"], ally, "spoof")):
        def pieces(m, s=source, d=dest):
            data = udp(m, size=64)
            return [frame(w.me, ipv4(s, d, data[:32], fragment=0x2000, ident=99)), frame(w.me, ipv4(s, d, data[32:], fragment=4, ident=99))]
        w.tried(f"fragments from {source} to {dest}", counter, pieces)
    for kind, name in ((131, "loose"), (137, "strict")):
        route = struct.pack(">BBB4sB", kind, 7, 4, socket.inet_aton(w.victim["address"]), 0)
        for dest in (ally, w.a.address, GATEWAY):
            w.tried(f"{name} source route by {dest}", None, lambda m, r=route, d=dest: [frame(w.me, ipv4(own, d, udp(m), options=r))])


def hosts(w):
    own = w.me["address"]
    vxlan = struct.pack(">II", 0x08000000, 0x574801 << 8)
    inner = EVERYBODY + w.far["mac"] + b"\x08\x00" + ipv4(w.far["address"], w.ally["address"], udp(b"inner"))
    for dest, counter in ((w.b.address, "local"), (w.a.address, "host")):
        w.tried(f"VXLAN to {dest}", counter, lambda m, d=dest: [frame(w.me, ipv4(own, d, udp(vxlan + inner + m, port=4789)))])
        for port in (22, 53, 7420):
            w.tried(f"{dest}:{port}", counter, lambda m, d=dest, p=port: [frame(w.me, ipv4(own, d, udp(m, port=p)))])
    for dest, port, counter in ((GATEWAY, 22, "host"), (GATEWAY, 67, "host"), ("169.254.169.254", 80, "local"), ("127.0.0.1", 53, "loopback"),
                                (w.victim["address"], PORT, "reach"), (w.other["address"], PORT, "reach")):
        w.tried(f"{dest}:{port}", counter, lambda m, d=dest, p=port: [frame(w.me, ipv4(own, d, udp(m, port=p)))])
    for protocol in (1, 2, 4, 41, 47, 50, 132):
        w.tried(f"protocol {protocol} to another stack", "reach", lambda m, p=protocol: [frame(w.me, ipv4(own, w.victim["address"], m, protocol=p))])


def documents(w):
    """Who asks for an address that is somebody's is told so where the file is applied, or where it would start."""
    near = w.a.address.rsplit(".", 1)[0]
    for subnet, address, words in (("10.128.0.0/16", "10.128.0.7", "overlaps the cluster's own range"), ("10.240.0.0/24", "10.240.0.1", "overlaps the cluster's own range"),
                                   ("10.0.0.0/8", "10.99.3.3", "overlaps the cluster's own range"), ("169.254.0.0/16", "169.254.1.1", "is no subnet"),
                                   ("127.0.0.0/8", "127.0.0.1", "is no subnet"), ("203.0.113.0/24", "203.0.113.53", "is no subnet"),
                                   (f"{near}.0/24", w.a.address, "is that of node a"), (f"{w.b.address.rsplit('.', 1)[0]}.0/24", w.b.address, "is that of node b")):
        out = w.c.apply(ASKING.format(subnet=subnet, address=address), check=False)
        assert out.returncode != 0 and words in out.stdout + out.stderr, (subnet, address, out)
    w.c.apply(ASKING.format(subnet=f"{near}.0/24", address=f"{near}.77"))
    until("the start is refused", lambda: "to which this host has a route" in w.c.wherry("ps", "asking", "--all", check=False).stdout +
          w.c.wherry("status", "asking", check=False).stdout + w.c.wherry("events", "--stack", "asking", check=False).stdout, timeout=10)
    w.c.wherry("rm", "asking", "--wait")


TESTS = [control, sources, borrowed, hardware, arp_is_silent, version_6, odd_frames, hosts, documents, control]


def main():
    bin_dir, only = os.path.abspath(sys.argv[1]), sys.argv[2:]
    suite, leaks = Suite(), Leaks()
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        images = build_images(out, "web")
        with Cluster(bin_dir, hosts=("a", "b"), images=images, segments={"a": 1, "b": 2}) as c:
            w = World(c)
            for test in TESTS:
                if not only or test.__name__ in only:
                    suite.test(test.__name__, test, w)
            suite.leave(c)
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
