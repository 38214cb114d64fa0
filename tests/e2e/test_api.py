#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The controller alone, through its unix socket: what it answers, what it refuses, and that no
acknowledged stack is lost when it is killed, when its disk is full, or when it is started twice.

usage: test_api.py BIN-DIR [CASE…]        (root; exit 77: cannot run here)"""

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import wherry_testlib as lib  # noqa: E402  pylint: disable=wrong-import-position

SHOP = """name: shop
services:
  web: {image: busybox, command: [sleep, "1000"], ports: ["8080:80"], deploy: {replicas: 3}}
  db: {image: busybox, volumes: ["data:/data"]}
volumes: {data: {}}
"""
LISTEN = "127.0.0.1:7420"


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("wherry", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Controller:
    def __init__(self, world, name="controller", *options):
        self.world, self.options = world, options
        self.state, self.socket = world.path(name), world.path(name + ".sock")
        self.program = None

    def start(self, env=None):
        self.program = self.world.start(self.world.program("wherry-controller"), "--state", self.state, "--listen",
                                        LISTEN, "--socket", self.socket, *self.options, env=env)
        self.world.check("it starts", lib.wait_for(self.answers, 20), self.program.err)
        return self

    def answers(self):
        try:
            return self.get("/v1/status")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, headers=None):
        connection = Unix(self.socket)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.count("\n") == 1 else text
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def wherry(self, *argv, text=None):
        return subprocess.run([self.world.program("wherry"), *argv, "--controller", self.socket], input=text,
                              capture_output=True, text=True, timeout=60, check=False)

    def apply(self, text, *argv):
        done = self.wherry("apply", "-f", "-", "-o", "json", *argv, text=text)
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else done.stderr

    def kill(self):
        self.program.signal(signal.SIGKILL)
        self.program.wait()

    def stop(self):
        self.program.signal(signal.SIGTERM)
        self.world.equal("SIGTERM: ends with 0", self.program.wait(), 0, self.program.err)


class World(lib.World):
    def equal(self, name, got, wanted, more=""):
        return super().equal(name, got, wanted, str(more))


def services(answer):
    return {s["name"]: s for stack in answer.get("stacks", []) for s in stack.get("services", [])}


# ---- cases ----

FRONT = """name: front
services:
  proxy: {image: busybox, ports: ["8080:80"], networks: {edge: {aliases: [site]}}}
  web: {image: busybox, networks: [edge, inner], deploy: {replicas: 2}}
  batch: {image: busybox, networks: [inner], deploy: {endpoint_mode: dnsrr}}
networks:
  edge: {name: edge, attachable: true}
  inner: {internal: true}
"""
GUEST = """name: guest
services:
  api: {image: busybox, networks: [edge]}
networks:
  edge: {name: edge, external: true}
"""


def vips_of(c, network):
    return {x["service"]: x.get("vip") for x in c.get("/v1/networks/" + network)[1]["services"]}


def networks(world):
    """Who may be on which network; virtual addresses are the same after a restart."""
    c = Controller(world, "networks").start()
    code, answer = c.apply(GUEST)
    world.check("nobody declares it yet", code != 0 and "no stack declares it" in str(answer), answer)
    world.equal("front", c.apply(FRONT)[0], 0)
    world.equal("guest", c.apply(GUEST)[0], 0)
    world.check("they are listed", lib.wait_for(lambda: len(c.get("/v1/networks")[1].get("networks", [])) == 2, 5))
    edge, inner = c.get("/v1/networks")[1]["networks"]
    world.equal("edge", {k: edge.get(k) for k in ("name", "stack", "attachable", "joined", "services", "vips")},
                {"name": "edge", "stack": "front", "attachable": True, "joined": ["guest"], "services": 3, "vips": 3})
    world.equal("inner", {k: inner.get(k) for k in ("name", "internal", "services", "vips")},
                {"name": "front_inner", "internal": True, "services": 2, "vips": 1})
    before = vips_of(c, "edge")
    world.check("an address each, out of the range's end",
                len(set(before.values())) == 3 and all(v.startswith("10.240.") for v in before.values()), before)
    inner = {x["service"]: x for x in c.get("/v1/networks/front_inner")[1]["services"]}
    world.equal("dnsrr has none", (inner["batch"].get("vip"), inner["batch"]["balance"]), (None, "dnsrr"))
    proxy = [x for x in c.get("/v1/networks/edge")[1]["services"] if x["service"] == "proxy"][0]
    world.equal("its other name", proxy.get("aliases"), ["site"])
    world.equal("not there", c.get("/v1/networks/nowhere")[0], 404)
    status, answer = c.ask("DELETE", "/v1/stacks/front")
    world.check("in use", status == 409 and "guest" in answer["message"], answer)
    c.kill()
    c.start()
    world.check("the same addresses", lib.wait_for(lambda: vips_of(c, "edge") == before, 5), vips_of(c, "edge"))
    world.equal("unchanged", c.apply(FRONT)[1].get("result"), "unchanged")
    world.equal("another asks, and gets another",
                c.apply(GUEST.replace("  api:", "  more: {image: busybox, networks: [edge]}\n  api:"))[0], 0)
    world.check("another one", lib.wait_for(lambda: len(set(vips_of(c, "edge").values())) == 4, 5), vips_of(c, "edge"))
    world.equal("guest goes", c.ask("DELETE", "/v1/stacks/guest")[0], 200)
    world.equal("then front can", c.ask("DELETE", "/v1/stacks/front")[0], 200)
    world.check("nothing is left", lib.wait_for(lambda: not c.get("/v1/networks")[1].get("networks"), 5))
    c.stop()


def applied(world):
    c = Controller(world, "applied").start()
    code, answer = c.apply(SHOP)
    world.equal("apply", (code, answer.get("result"), answer.get("revision")), (0, "ok", 1), answer)
    world.equal("what changed", {x["service"]: x["change"] for x in answer["changes"]},
                {"db": "created", "web": "created"})
    world.equal("nothing to be told", answer.get("warnings", []), [], answer)
    code, answer = c.apply(SHOP)
    world.equal("applied again: unchanged", (code, answer.get("result"), answer.get("revision")), (0, "unchanged", 1),
                answer)
    status = services(c.get("/v1/status")[1])
    world.equal("wanted and pending", (status["web"]["wanted"], status["web"]["pending"]), (3, 3), status)
    world.check("why: no node", "no node" in status["web"]["why"], status)
    world.check("not converged", not status["web"].get("converged"), status)
    containers = c.get("/v1/containers?stack=shop&service=web")[1]["containers"]
    world.equal("slots", [(x["name"], x["state"]) for x in containers],
                [(f"shop/web.{i}", "pending") for i in (1, 2, 3)])
    code, answer = c.apply(SHOP.replace("replicas: 3", "replicas: 0"))
    world.equal("changed without a replacement", [x for x in answer["changes"] if x["service"] == "web"],
                [{"service": "web", "change": "changed"}])
    world.check("nothing wanted: converged", services(c.get("/v1/status")[1])["web"].get("converged"))
    only = "name: shop\nservices:\n  web: {image: busybox, deploy: {replicas: 1}}\n"
    code, answer = c.apply(only)
    world.equal("gone from the file: kept", {x["service"]: x["change"] for x in answer["changes"]},
                {"db": "kept", "web": "changed"})
    inspect = c.get("/v1/stacks/shop")[1]
    world.equal("the document has both", [s["name"] for s in inspect["services"]], ["db", "web"])
    world.equal("and db's volume", [v["name"] for v in inspect.get("volumes", [])], ["shop_data"])
    c.stop()
    c.start()
    code, answer = c.apply(only)
    world.equal("after a restart too: unchanged", answer.get("result"), "unchanged", answer)
    code, answer = c.apply(only, "--prune")
    world.equal("with --prune: removed", {x["service"]: x["change"] for x in answer["changes"]}["db"], "removed")
    world.equal("no other is left", [s["name"] for s in c.get("/v1/stacks/shop")[1]["services"]], ["web"])
    status, answer = c.ask("DELETE", "/v1/stacks/shop")
    world.equal("delete", (status, answer.get("result")), (200, "ok"), answer)
    world.equal("it is gone", c.get("/v1/stacks/shop")[0], 404)
    world.equal("nothing is left of it", c.get("/v1/status")[1].get("stacks"), None)
    c.stop()
    keys = stored(c)
    world.equal("nor in the store", keys, ["cluster"])


def stored(c):
    import sqlite3
    db = sqlite3.connect(os.path.join(c.state, "store.db"))
    try:
        return [row[0] for row in db.execute("SELECT key FROM kv ORDER BY key")]
    finally:
        db.close()


def refused(world):
    c = Controller(world, "refused").start()
    c.apply(SHOP)
    before = c.get("/v1/stacks/shop")
    for what, wanted, method, path, body in (
            ("no such route", 404, "GET", "/v1/nothing", None),
            ("no route at all", 404, "GET", "/", None),
            ("no such stack", 404, "GET", "/v1/stacks/other", None),
            ("no such service", 404, "GET", "/v1/stacks/shop/other", None),
            ("a part too many", 404, "GET", "/v1/stacks/shop/web/1", None),
            ("wrong method", 405, "PUT", "/v1/stacks/shop", b"x"),
            ("wrong method on a list", 405, "DELETE", "/v1/nodes", None),
            ("unknown parameter", 400, "GET", "/v1/status?stak=shop", None),
            ("a number that is none", 400, "GET", "/v1/logs?stack=shop&service=web&slot=-1", None),
            ("logs of nothing", 400, "GET", "/v1/logs", None),
            ("a service without its stack", 400, "GET", "/v1/containers?service=web", None),
            ("garbage", 400, "POST", "/v1/stacks/shop", b"\xff" * 100),
            ("an empty document", 400, "POST", "/v1/stacks/shop", b""),
            ("another stack's document", 400, "POST", "/v1/stacks/shop", b"\x0a\x04evil"),
            ("a document that is too large", 413, "POST", "/v1/stacks/shop", b"x" * (256 * 1024 + 1)),
            ("far too large", 413, "POST", "/v1/stacks/shop", b"x" * (3 << 20)),
            ("a body where none is", 413, "POST", "/v1/nodes/a/lost", b"x"),
            ("no such node", 404, "POST", "/v1/nodes/a/lost", b""),
            ("no such volume", 404, "DELETE", "/v1/volumes/shop_data", None),
            ("no such stack to remove", 404, "DELETE", "/v1/stacks/other", None)):
        status, answer = c.ask(method, path, body)
        world.equal(what, status, wanted, answer)
        world.check(what + ": says so in JSON", isinstance(answer, dict) and answer.get("code")
                    and answer.get("message"), answer)
    world.equal("nothing has changed", c.get("/v1/stacks/shop")[1]["revision"], before[1]["revision"])
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(c.socket)
    raw.sendall(b"this is not HTTP\r\n\r\n\0\1\2")
    raw.settimeout(10)
    try:
        raw.recv(4096)
    except OSError:
        pass
    raw.close()
    world.equal("what is no HTTP harms nobody", c.get("/v1/version")[0], 200)
    world.equal("mode of the socket", oct(os.stat(c.socket).st_mode & 0o777), "0o660")
    os.chmod(c.socket, 0o666)
    code = ("import socket,os,sys\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
            "s=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "s.sendall(b'GET /v1/status HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')\n"
            "text=b''\nwhile (part:=s.recv(4096)): text+=part\nprint(text.decode())\n")
    os.chmod(world.dir, 0o755)
    done = subprocess.run([sys.executable, "-c", code, c.socket], capture_output=True, text=True, check=False)
    world.check("a stranger is refused", " 403 " in done.stdout and "forbidden" in done.stdout,
                done.stdout + done.stderr)
    connections = [socket.socket(socket.AF_UNIX) for _ in range(400)]
    for connection in connections:
        connection.connect(c.socket)
        connection.setblocking(False)
    for connection in connections:
        connection.close()
    world.check("many connections harm nobody", lib.wait_for(c.answers, 10))
    c.stop()


def events(world):
    c = Controller(world, "events").start()
    connection = Unix(c.socket)
    connection.request("GET", "/v1/events?follow=1&stack=shop")
    stream = connection.getresponse()
    world.equal("a stream of lines", (stream.status, stream.getheader("content-type")),
                (200, "application/x-ndjson"))
    lines = []

    def follow():
        try:
            for line in stream:
                lines.append(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException):
            pass

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    c.apply(SHOP.replace("shop", "other"))
    c.apply(SHOP)
    world.check("told while it happens", lib.wait_for(lambda: any(x["what"] == "stack.applied" for x in lines), 5),
                lines)
    world.check("of this stack only", all(x["stack"] == "shop" for x in lines), lines)
    status, text = c.get("/v1/events")
    world.equal("what was", (status, json.loads(text.splitlines()[0])["what"]), (200, "stack.applied"))
    for _ in range(40):
        slow = Unix(c.socket)
        slow.request("GET", "/v1/events?follow=1")
        world.kept = getattr(world, "kept", []) + [slow]
    world.equal("streams have an end", world.kept[-1].getresponse().status, 429)
    for slow in world.kept:
        slow.close()
    world.equal("logs of a service without containers", c.get("/v1/logs?stack=shop&service=web"), (200, ""))
    c.stop()
    thread.join(5)
    world.check("a reader is not left hanging", not thread.is_alive())
    connection.close()


def killed(world):
    """Killed at any moment: what was acknowledged is there, under a higher epoch."""
    c = Controller(world, "killed").start()
    rng = random.Random(7)
    sure, epoch = 0, c.get("/v1/version")[1]["epoch"]
    for _ in range(30 if os.environ.get("WHERRY_TEST_LONG") else 8):
        stop = threading.Event()
        acknowledged = [sure]

        def change():
            while not stop.is_set():
                n = acknowledged[0] + 1
                code, answer = c.apply(f"name: shop\nservices:\n  web: {{image: busybox, labels: {{n: '{n}'}}}}\n")
                if code == 0 and answer.get("result") in ("ok", "unchanged"):
                    acknowledged[0] = n

        thread = threading.Thread(target=change)
        thread.start()
        time.sleep(rng.uniform(0.05, 0.4))
        c.kill()
        stop.set()
        thread.join()
        sure = acknowledged[0]
        c.start()
        if sure == 0:
            continue
        labels = c.get("/v1/stacks/shop")[1]["services"][0]["container"]["labels"]
        world.check("what was acknowledged is there", sure <= int(labels["n"]) <= sure + 1, (sure, labels))
        now = c.get("/v1/version")[1]["epoch"]
        world.check("a higher epoch", now > epoch, (epoch, now))
        epoch = now
    world.check("something was applied", sure > 0)
    c.stop()


def killed_at_points(world):
    sources = subprocess.run(["grep", "-rhoE", r'FAILPOINT\("controller\.[a-z_.]+"\)',
                              os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../controller")],
                             capture_output=True, text=True, check=True).stdout
    for i, name in enumerate(sorted(set(re.findall(r'"([^"]+)"', sources)))):
        c = Controller(world, f"point{i}")
        c.start()
        c.apply("name: one\nservices:\n  a: {image: busybox}\n")
        c.stop()
        order = world.path(f"order{i}")
        with open(order, "w", encoding="utf-8"):
            pass
        c.program = world.start(world.program("wherry-controller"), "--state", c.state, "--listen", LISTEN, "--socket",
                                c.socket, env={"WHERRY_FAILPOINT": f"{name}@{order}"})
        lib.wait_for(lambda: c.answers() or not os.path.exists(order), 10)
        code = c.apply(SHOP)[0] if os.path.exists(order) else 1
        if os.path.exists(order):
            c.program.signal(signal.SIGTERM)
        c.program.wait()
        hit = not os.path.exists(order)
        c.start()
        stacks = [s["name"] for s in c.get("/v1/status")[1]["stacks"]]
        world.check(f"killed at {name} ({'hit' if hit else 'not on the way'})",
                    stacks in (["one", "shop"], ["one"] if code != 0 else None), stacks)
        world.equal(f"after {name}: goes on", c.apply(SHOP)[0], 0)
        c.stop()


def disk_full(world):
    """A commit that fails: nothing is acknowledged, nothing that was is lost, and it goes on by itself."""
    place = world.path("small")
    c = Controller(world, "small")
    os.mkdir(place, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "wherry-test", place], check=True)
    try:
        c.start()
        world.equal("apply", c.apply(SHOP)[0], 0)
        epoch = c.get("/v1/version")[1]["epoch"]
        ballast = os.open(os.path.join(place, "ballast"), os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(ballast, b"x" * 4096) > 0:
                pass
        except OSError:
            pass
        os.close(ballast)
        label = "y" * 4000
        big = "name: big\nservices:\n" + "".join(
            f"  s{i}: {{image: busybox, labels: {{a: {label}}}}}\n" for i in range(50))
        done = c.wherry("apply", "-f", "-", text=big)
        world.check("not acknowledged", done.returncode != 0 and "store" in done.stderr, done.stderr)
        os.unlink(os.path.join(place, "ballast"))
        world.check("it comes back by itself", lib.wait_for(c.answers, 20), c.program.err)
        world.equal("with what was acknowledged", [s["name"] for s in c.get("/v1/status")[1]["stacks"]], ["shop"])
        world.check("under a higher epoch", c.get("/v1/version")[1]["epoch"] > epoch)
        world.equal("and goes on", c.wherry("apply", "-f", "-", text=SHOP.replace("shop", "new")).returncode, 0)
        c.stop()
    finally:
        if c.program:
            c.kill()
        subprocess.run(["umount", place], check=True)


def twice(world):
    c = Controller(world, "twice", "--range", "10.200.0.0/16", "--node-prefix", "24").start()
    cluster = c.get("/v1/version")[1]["cluster_id"]

    def again(*argv):
        program = world.run(world.program("wherry-controller"), *argv)
        return program.code, program.err

    code, text = again("--state", c.state, "--listen", "127.0.0.1:7421", "--socket", world.path("t2.sock"))
    world.check("a second one is refused, naming the holder",
                code == 1 and f"pid {c.program.pid}" in text, (code, text))
    code, text = again("--state", world.path("t3"), "--listen", "127.0.0.1:7421", "--socket", c.socket)
    world.check("a socket that answers is left alone", code == 1 and "answers" in text, (code, text))
    code, text = again("--state", world.path("t3"), "--listen", "0.0.0.0:7421", "--socket", world.path("t3.sock"))
    world.check("no wildcard", code == 1 and "wildcard" in text, (code, text))
    world.equal("the first goes on", c.get("/v1/version")[1]["cluster_id"], cluster)
    c.kill()
    world.check("its socket is left", os.path.exists(c.socket))
    code, text = again("--state", c.state, "--listen", LISTEN, "--socket", c.socket, "--range", "10.128.0.0/9")
    world.check("another range is refused", code == 1 and "10.200.0.0/16" in text, (code, text))
    c.options = ()
    c.start()
    version = c.get("/v1/version")[1]
    world.equal("the same cluster", (version["cluster_id"], version["cluster_range"]), (cluster, "10.200.0.0/16"))
    c.stop()
    world.check("the socket is gone with it", not os.path.exists(c.socket))
    for argv in (("--range", "10.0.0.1/8"), ("--node-prefix", "99"), ("--log-level", "loud"), ("extra",), ("--what",)):
        world.check("refused: " + " ".join(argv),
                    again("--state", world.path("t4"), "--socket", world.path("t4.sock"), *argv)[0] in (1, 2))
    with open(os.path.join(c.state, "store.db"), "r+b") as f:
        f.write(b"something else entirely")
    code, text = again("--state", c.state, "--listen", LISTEN, "--socket", c.socket)
    world.check("a damaged store is refused", code == 1 and "store.db" in text, (code, text))


CASES = [applied, networks, refused, events, killed, killed_at_points, disk_full, twice]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    lib.begin("ip")
    world = World(sys.argv[1], "api")
    try:
        for case in CASES:
            if len(sys.argv) == 2 or case.__name__ in sys.argv[2:]:
                world.case(case)
        world.check_nothing_left()
    finally:
        code = world.finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
