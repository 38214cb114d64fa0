#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wherry command: alone, and with a real controller that has no node: test_cli.py BIN-DIR

What needs containers is in test_cluster.py."""
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cluster import TOP, Daemon, Suite, free_port, until  # noqa: E402

SHOP = os.path.join(TOP, "deploy/examples/shop.yaml")
SMALL = "services:\n  web:\n    image: shop/web:1\n"


class World:
    def __init__(self, bin_dir):
        bin_dir = os.path.abspath(bin_dir)
        self.wherry = os.path.join(bin_dir, "wherry")
        self.dir = tempfile.mkdtemp(prefix="wherry-cli-", dir="/var/tmp")
        self.socket = os.path.join(self.dir, "c.sock")
        self.controller = Daemon([os.path.join(bin_dir, "wherry-controller"), "--state", os.path.join(self.dir, "state"),
                                  "--listen", f"127.0.0.1:{free_port()}", "--socket", self.socket],
                                 os.path.join(self.dir, "controller.log"))

    def run(self, *argv, socket_path=None, stdin="", cwd=None, env=None, timeout=30):
        clean = {k: v for k, v in os.environ.items() if k not in ("WHERRY_SOCKET", "NO_COLOR")}
        return subprocess.run([self.wherry, *argv], input=stdin, capture_output=True, text=True, timeout=timeout, cwd=cwd or self.dir,
                              check=False, env={**clean, "WHERRY_SOCKET": socket_path or self.socket, **(env or {})})

    def ok(self, *argv, **kw):
        out = self.run(*argv, **kw)
        assert out.returncode == 0, out
        return out.stdout

    def fails(self, code, say, *argv, **kw):
        out = self.run(*argv, **kw)
        assert out.returncode == code, out
        assert say in out.stderr, (say, out)
        assert out.stdout == "" or argv[0] in ("version", "apply"), out

    def apply(self, text, *argv, **kw):
        return self.run("apply", "-f", "-", "--name", "small", *argv, stdin=text, **kw)

    def close(self):
        if self.controller.running():
            self.controller.kill()
        shutil.rmtree(self.dir)


# ---- without a controller ----

def wrong_usage(w):
    w.fails(2, 'unknown command \'aply\' (did you mean "apply"?)', "aply")
    w.fails(2, "say what to do", "volume")
    w.fails(2, '(did you mean "--follow"?)', "logs", "shop", "--folow")
    w.fails(2, "--output: 'xml' is not one of table|json", "ps", "-o", "xml")
    w.fails(2, "an argument is missing (usage: wherry logs STACK", "logs")
    w.fails(2, "too many arguments", "nodes", "x")
    w.fails(2, "is no name of a stack", "ps", "../x")
    w.fails(2, "--timeout: 'soon' is not a duration", "rm", "x", "--timeout", "soon")
    w.fails(2, "say what to do")


def helps(w):
    text = w.ok("help")
    assert "apply" in text and "exit codes" in text and "__words" not in text, text
    assert text == w.ok("--help") == w.ok("-h")
    for line in text.split("commands:\n")[1].split("\n\n")[0].splitlines():
        name = line[2:17].strip()
        assert w.ok("help", *name.split()).startswith(f"usage: wherry {name}"), name
        assert w.ok(*name.split(), "--help") == w.ok("help", *name.split())
    w.fails(2, 'did you mean "ps"', "help", "psx")


def completes(w):
    for shell in ("bash", "zsh", "fish"):
        path = os.path.join(w.dir, shell)
        with open(path, "w", encoding="utf-8") as f:
            f.write(w.ok("completion", shell))
    script = f"source {w.dir}/bash; COMP_WORDS=(wherry vol); COMP_CWORD=1; _wherry; echo ${{COMPREPLY[@]}}; " \
             "COMP_WORDS=(wherry volume for); COMP_CWORD=2; _wherry; echo ${COMPREPLY[@]}; " \
             "COMP_WORDS=(wherry apply --pr); COMP_CWORD=2; _wherry; echo ${COMPREPLY[@]}"
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["volume", "forget", "--prune"], out
    w.fails(2, "unknown shell", "completion", "tcsh")


def no_controller(w):
    w.fails(1, "no controller at /nonexistent/s", "ps", socket_path="/nonexistent/s")
    w.fails(1, "is not a socket", "ps", "--controller", SHOP)
    w.fails(1, "longer than 107 bytes", "ps", "--controller", "/" + "x" * 200)
    dead = os.path.join(w.dir, "dead")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(dead)
    w.fails(1, "nobody answers at", "ps", socket_path=dead)
    out = w.run("version", socket_path=dead)
    assert out.returncode == 1 and out.stdout.startswith("wherry "), out


def denied(w):
    """A user who is not in the socket's group."""
    path = os.path.join("/var/tmp", f"wherry-cli-{os.getpid()}.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        os.chmod(path, 0o600)
        s.listen()
        try:
            out = subprocess.run([w.wherry, "ps", "--controller", path], capture_output=True, text=True, check=False, timeout=20, user=65534, group=65534)
        except PermissionError:
            return "not tried: the program cannot be reached by another user"
        finally:
            os.unlink(path)
    assert out.returncode == 1 and "permission denied on" in out.stderr and "group root" in out.stderr, out
    return None


def strangers(w):
    """Something else answers at the socket."""
    def serve(path, reply, close=True):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen()

        def one():
            peer, _ = s.accept()
            peer.recv(65536)
            try:
                peer.sendall(reply)
            except OSError:
                pass
            peer.close()
            s.close()
        threading.Thread(target=one, daemon=True).start()

    def http(body, status="200 OK"):
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    for i, (reply, say) in enumerate([
            (http("<html>"), "is not a Wherry controller"),
            (http("[]"), "is not a Wherry controller"),
            (http('{"a":1,"a":2}'), "is not a Wherry controller"),
            (http("hm", "502 Bad Gateway"), "status 502"),
            (http("{}", "500 Internal Server Error"), "answered with status 500"),
            (http('{"code":"busy","message":"no\\u001b[31m","details":["a\\nb"]}', "503 Busy"), "no\\x1b[31m\n  a"),
            (b"SSH-2.0-x\r\n", "not a Wherry controller"),
            (b"", "has closed the connection"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "has closed the connection")]):
        path = os.path.join(w.dir, f"stranger{i}")
        serve(path, reply)
        w.fails(1, say, "nodes", socket_path=path)
    path = os.path.join(w.dir, "endless")
    serve(path, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (65 << 20))
    w.fails(1, "longer than the 64 MiB allowed", "nodes", socket_path=path)
    path = os.path.join(w.dir, "line")
    serve(path, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (3 << 20))
    w.fails(1, "longer than 1 MiB", "events", socket_path=path)


def configures(w):
    text = w.ok("config", "-f", SHOP)
    again = w.ok("config", "-f", "-", stdin=text)
    assert text == again
    first, second = w.ok("config", "-o", "json", "-f", SHOP), w.ok("config", "-o", "json", "-f", "-", stdin=text)
    assert first == second and json.loads(first)["name"] == "shop"
    assert w.ok("config", "-q", "-f", SHOP) == ""


def round_trip(w):
    """Everything a document can say, through text and back."""
    text = """
name: all
services:
  a:
    image: x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    entrypoint: ["/a b", "$$x", "no", "1", "q\\"\\\\ \\t\\u00e9"]
    command: []
    environment: {A: "$$HOME", B: "", C: "yes", D: "two\\nlines"}
    working_dir: /w
    user: "1000:1000"
    hostname: h
    read_only: true
    init: true
    stop_signal: SIGUSR1
    stop_grace_period: 1500ms
    labels: {"a.b/c": "x: y"}
    cap_add: [NET_RAW]
    cap_drop: [CHOWN, KILL]
    ports: ["127.0.0.1:53:53/udp", "8080-8081:80-81"]
    volumes:
      - {type: volume, source: v, target: /v, volume: {nocopy: true}}
      - {type: bind, source: /srv, target: /b, read_only: true, bind: {create_host_path: false}}
      - /srv2:/b2
      - {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}
    healthcheck: {test: ["HTTP", "http://me:81/x?y=1"], interval: 1m30s, timeout: 5s, retries: 2}
    depends_on:
      b: {condition: service_started, restart: true}
      gone: {condition: service_healthy, required: false}
    restart: on-failure:5
    mem_limit: 64m
    cpus: 1.5
    pids_limit: 9
    deploy:
      replicas: 3
      labels: {tier: front}
      placement: {constraints: ["node.labels.disk==ssd", "node.hostname != a"], max_replicas_per_node: 2}
      resources: {reservations: {memory: 32m, cpus: "0.25"}}
    x-wherry: {placement: binpack, reserve_pids: 5, balance: client, egress: deny, bandwidth: {in: 1.5gbit, out: 64kbit}}
  b:
    image: b
    network_mode: host
    healthcheck: {disable: true}
    deploy: {mode: global, restart_policy: {condition: any, delay: 2s, max_attempts: 4, window: 1m}}
  c:
    image: c
    network_mode: none
    healthcheck: {test: ["TCP", ":1"]}
    deploy: {mode: global-job}
  d:
    image: d
    networks: {back: {aliases: [Two, one], ipv4_address: 10.5.0.7, mac_address: "02:42:ac:11:00:02"}, far: , default: }
    domainname: example.org
    dns: [192.0.2.53, 192.0.2.54]
    dns_search: [example.org, "."]
    dns_opt: ["ndots:2"]
    extra_hosts: ["db:192.0.2.1", "up=host-gateway", "six:::1"]
    ports: ["8443:443", {target: 9, published: "9", protocol: udp, mode: host}]
    x-wherry: {egress: [192.0.2.0/24, 10.1.2.3], bandwidth: {out: 100gbit}}
  e:
    image: e
    networks: [back]
    deploy: {endpoint_mode: dnsrr}
networks:
  back: {internal: true, attachable: true, enable_ipv6: true, driver: overlay, labels: {k: "1"},
         ipam: {config: [{subnet: 10.5.0.0/24}, {subnet: 10.6.0.0/24}]}}
  far: {external: true}
  own: {name: its_own}
volumes:
  v: {labels: {k: "1"}}
  e: {external: true, name: other}
"""
    first = w.ok("config", "-o", "json", "-f", "-", stdin=text)
    printed = w.ok("config", "-f", "-", stdin=text)
    second = w.ok("config", "-o", "json", "-f", "-", stdin=printed)
    assert first == second, (first, second, printed)


def finds_the_file(w):
    deep = os.path.join(w.dir, "proj", "deep")
    os.makedirs(deep)
    w.fails(1, "no Compose file", "config", cwd="/")
    for name in ("docker-compose.yaml", "docker-compose.yml", "compose.yml", "compose.yaml"):  # the later wins
        with open(os.path.join(w.dir, "proj", name), "w", encoding="utf-8") as f:
            f.write(f"services: {{web: {{image: '${{IMAGE:-none}}', labels: {{from: {name}}}}}}}\n")
        out = w.ok("config", cwd=deep)
        assert f"from: {name}" in out and "name: proj" in out and "none" in out, out
    with open(os.path.join(w.dir, "proj", ".env"), "w", encoding="utf-8") as f:
        f.write("IMAGE=fromenv\n")
    assert "fromenv" in w.ok("config", cwd=deep)
    with open(os.path.join(w.dir, "other.env"), "w", encoding="utf-8") as f:
        f.write("IMAGE=other\n")
    assert "library/other" in w.ok("config", "--env-file", "../../other.env", cwd=deep)
    assert "name: mine" in w.ok("config", "--name", "mine", cwd=deep)
    w.fails(2, "is no name of a stack", "config", "--name", "No!", cwd=deep)


def file_errors(w):
    bad = "services:\n  web:\n    image: a\n    prots: [1]\n    cpu_shares: 3\n"
    out = w.run("config", "-f", "-", "--name", "x", stdin=bad)
    assert out.returncode == 1 and 'did you mean "ports"' in out.stderr and ":4:5:" in out.stderr, out
    assert "warning:" in out.stderr and "cpu_shares" in out.stderr
    later = bad.replace("    prots: [1]\n", "")
    assert w.run("config", "-f", "-", "--name", "x", stdin=later).returncode == 0
    assert w.run("config", "-f", "-", "--name", "x", "--strict", stdin=later).returncode == 1
    w.fails(1, "cannot be read", "apply", "-f", "/nonexistent.yaml")


# ---- with one ----

def empty(w):
    assert "no stacks; wherry apply -f compose.yaml" in w.ok("status")
    assert "no containers; wherry apply" in w.run("ps").stderr
    assert "no nodes; start wherry-agent" in w.run("nodes").stderr
    assert "no volumes" in w.run("volume", "ls").stderr
    assert "controller" in w.ok("version")


def applies(w):
    out = w.apply(SMALL)
    assert out.returncode == 0 and "applied, revision 1" in out.stdout and "created" in out.stdout, out
    out = w.apply(SMALL)
    assert out.returncode == 0 and out.stdout == "small: unchanged (revision 1)\n", out
    out = w.apply("services:\n  api:\n    image: shop/api:1\n")
    assert "kept" in out.stdout and "remove with --prune" in out.stdout, out
    two = "name: two\nservices:\n  a: {image: x}\n  b: {image: x}\n"
    assert w.run("apply", "-f", "-", stdin=two).stderr == ""
    out = w.run("apply", "-f", "-", stdin=two.replace("image: x", "image: y", 1))
    assert "a: image: x:latest -> y:latest" in out.stdout, out
    w.ok("rm", "two")
    out = w.apply("services:\n  api:\n    image: shop/api:2\n", "--prune")
    assert "removed" in out.stdout and "kept" not in out.stdout, out
    assert w.apply(SMALL, "-q").stdout == ""
    data = json.loads(w.apply(SMALL, "-o", "json").stdout)
    assert data["stack"] == "small" and data["result"] == "unchanged", data
    # A wrong file changes nothing.
    before = w.ok("-o", "json", "inspect", "small")
    assert w.apply("services:\n  web:\n    image: ''\n").returncode == 1
    drop = lambda s: {k: v for k, v in json.loads(s).items() if k in ("revision", "services")}  # noqa: E731
    assert drop(before) == drop(w.ok("-o", "json", "inspect", "small"))


def shows(w):
    status = w.ok("status")
    assert "small" in status and "pending" in status and "no node has joined the cluster yet" in status, status
    assert "small/web.1" in w.ok("ps") and "\x1b" not in status
    assert w.ok("ps", "-q").split() == [c["name"] for c in json.loads(w.ok("ps", "-o", "json"))["containers"]]
    assert "small/web" in w.ok("__words", "services").split()
    assert "name: small/web.1" in w.ok("inspect", "small/web.1")
    inspect = w.ok("inspect", "small")
    assert "image: shop/api:2" in inspect and "CONTAINER" in inspect and "docker.io" not in inspect, inspect
    for words in (("node", "--help"), ("help", "volume"), ("volume", "-h")):
        assert "usage: wherry " + (words[0] if words[0] != "help" else "volume") + " COMMAND" in w.ok(*words)
    w.fails(3, "small/web has no container 77", "logs", "small/web.77")
    with open("/dev/full", "w", encoding="ascii") as full:
        out = subprocess.run([w.wherry, "status"], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                             env={**os.environ, "WHERRY_SOCKET": w.socket})
    assert out.returncode == 1 and "write the output: No space left" in out.stderr, out
    assert "stack.applied" in w.ok("events") and "stack.applied" in w.ok("events", "small")
    for line in w.ok("events", "-o", "json").splitlines():
        json.loads(line)
    assert w.ok("events", "--since", "2020-01-01") != "" == w.ok("events", "--since", "0s")


def not_found(w):
    for argv in (["ps", "nope"], ["status", "nope"], ["inspect", "nope"], ["inspect", "small/nope"], ["inspect", "small/web.99"],
                 ["rm", "nope"], ["rm", "small/nope"], ["logs", "nope"], ["logs", "small/nope"], ["node", "lost", "nope"],
                 ["volume", "forget", "nope"]):
        w.fails(3, "", *argv)


def waits(w):
    out = w.apply(SMALL, "--wait", "--timeout", "300ms")
    assert out.returncode == 124 and "web 0/1" in out.stderr and "no node has joined" in out.stderr, out
    assert out.stderr.count("web 0/1") == 2, "a line that tells nothing new was repeated"


def interrupted(w):
    p = subprocess.Popen([w.wherry, "--controller", w.socket, "apply", "-f", "-", "--name", "small", "--wait"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdin.write(SMALL)
    p.stdin.close()
    p.stdout.readline()
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=10) == 130
    assert "stays: wherry status small" in p.stderr.read()
    p.stdout.close()
    p.stderr.close()


def outlives_the_controller(w):
    """A controller that is restarted while somebody waits."""
    p = subprocess.Popen([w.wherry, "--controller", w.socket, "rm", "small", "--wait", "--timeout", "20s"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    out, _ = p.communicate(timeout=20)
    assert p.returncode == 0 and "is gone" in out, out
    w.apply(SMALL)
    p = subprocess.Popen([w.wherry, "--controller", w.socket, "apply", "-f", "-", "--name", "small", "--timeout", "6s"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    p.stdin.write(SMALL)
    p.stdin.close()
    p.stdout.readline()
    w.controller.kill()
    time.sleep(1)
    assert p.poll() is None, p.stdout.read()
    start(w)
    assert p.wait(timeout=20) == 124
    text = p.stdout.read()
    p.stdout.close()
    assert "web 0/1" in text and "no node has joined" in text, text


def terminal(w):
    """On a terminal: colours, bars redrawn in place; with --no-color and NO_COLOR neither."""
    def tty(*argv, env=None):
        main, side = pty.openpty()
        p = subprocess.Popen([w.wherry, "--controller", w.socket, *argv], stdin=subprocess.DEVNULL, stdout=side, stderr=side,
                             env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", **(env or {})})
        os.close(side)
        out = b""
        while True:
            try:
                got = os.read(main, 65536)
            except OSError:
                break
            out += got
        os.close(main)
        return p.wait(timeout=10), out.decode()
    path = os.path.join(w.dir, "small.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write("name: small\n" + SMALL)
    code, out = tty("apply", "-f", path, "--timeout", "500ms")
    assert code == 124 and "\x1b[1A" in out and "░" in out and out.count("\x1b[J") <= 8, (code, out)
    assert "\x1b[" in tty("status")[1]
    assert "\x1b[" not in tty("status", "--no-color")[1]
    assert "\x1b[" not in tty("status", env={"NO_COLOR": "1"})[1]
    assert "." * 20 + " 0/1" in tty("apply", "--no-color", "-f", path, "--timeout", "100ms", env={"LC_ALL": "C"})[1]


def pipes(w):
    """Whoever stops reading ends us without a word; a full disk is told."""
    out = subprocess.run(["bash", "-c", f"set -o pipefail; for i in 1 2 3; do {w.wherry} --controller {w.socket} events; done | true"],
                         capture_output=True, text=True, check=False)
    assert out.stderr == "", out
    with open("/dev/full", "w", encoding="utf-8") as full:
        out = subprocess.run([w.wherry, "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert out.returncode == 1 and "No space left" in out.stderr, out


def follows(w):
    p = subprocess.Popen([w.wherry, "--controller", w.socket, "events", "-f", "--since", "0s"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    w.apply(SMALL.replace(":1", ":7"))
    line = p.stdout.readline()
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=10) == -signal.SIGINT
    p.stdout.close()
    assert "stack.applied" in line, line


def start(w):
    w.controller.start()
    until("the controller answers", lambda: w.run("version").returncode == 0)


def main():
    w = World(sys.argv[1])
    suite = Suite()
    try:
        for test in (wrong_usage, helps, completes, no_controller, denied, strangers, configures, round_trip, finds_the_file, file_errors):
            suite.test(test.__name__, test, w)
        start(w)
        for test in (empty, applies, shows, not_found, waits, interrupted, outlives_the_controller, terminal, pipes, follows):
            suite.test(test.__name__, test, w)
    finally:
        w.close()
    return suite.end()


sys.exit(main())
