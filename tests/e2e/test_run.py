#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`wherry-agent image load` and `wherry-agent run`, as a developer uses them: real shim, worker,
sandbox and network. Exit codes, output, limits, what a killed agent leaves and the next one finds,
and that nothing is left at the end.

usage: test_run.py BIN-DIR [CASE…]        (root; exit 77: cannot run here)"""

import glob
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import wherry_testlib as lib  # noqa: E402  pylint: disable=wrong-import-position

IMAGE = "box:1"


def argv(world, *args, options=()):
    """`args` is the shell text, or a command."""
    command = ["sh", "-c", args[0]] if len(args) == 1 else list(args)
    network = [] if "--network" in options else ["--network", "none"]
    return [world.program("wherry-agent"), "run", *world.node_options(), *network, "--image", IMAGE,
            *options, "--", *command]


def run(world, *args, options=(), seconds=60):
    return world.run(*argv(world, *args, options=options), seconds=seconds)


def start(world, *args, options=()):
    return world.start(*argv(world, *args, options=options))


def attach(world, *options):
    return [world.program("wherry-agent"), "run", *world.node_options(), "--attach", *options]


# ---- the image ----

def load(world):
    layout = world.busybox_image(IMAGE, config=("--config.stopsignal", "SIGTERM"))
    state = world.node_options()[1]
    program = world.run(world.program("wherry-agent"), "image", "load", layout, "--state", state,
                        "--name", IMAGE)
    world.equal("image load", program.code, 0, program.err)
    program = world.run(world.program("wherry-agent"), "image", "ls", "--state", state)
    world.check("image ls", IMAGE in program.out, program.out)


# ---- one container ----

def exit_codes(world):
    world.equal("code 0", run(world, "true").code, 0)
    world.equal("code 7", run(world, "exit 7").code, 7)
    program = run(world, "/bin/does-not-exist", "x")
    world.equal("no such program", program.code, 125)
    world.check("no such program, said", "does-not-exist" in program.err, program.err)
    program = world.run(world.program("wherry-agent"), "run", *world.node_options(), "--image",
                        "nowhere:1", "--", "true")
    world.equal("no such image", program.code, 125)
    world.check("no such image, said", "image nowhere:1 is not on this node" in program.err,
                program.err)


def output(world):
    program = run(world, "echo out; echo err >&2; printf 'no newline'; exit 3")
    world.equal("standard output, as the lines of a log", program.out, "out\nno newline\n")
    world.equal("standard error", program.err, "err\n")
    world.equal("its code", program.code, 3)
    program = run(world, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done")
    world.equal("3000 lines, in order", program.out, "".join(f"line {i}\n" for i in range(3000)))


def as_told(world):
    program = run(world, "id -u; id -g; echo $GREETING; pwd; hostname",
                  options=("--user", "seven", "--env", "GREETING=hello world", "--workdir", "/tmp",
                           "--hostname", "boat"))
    world.equal("user, env, workdir, hostname", program.out, "7\n7\nhello world\n/tmp\nboat\n",
                program.err)
    program = run(world, "touch /x 2>&1; touch /tmp/x && echo tmp", options=("--read-only", "--tmpfs", "/tmp"))
    world.check("read-only", "Read-only file system" in program.out and program.out.endswith("tmp\n"),
                program.out + program.err)
    sizes = [run(world, "df -k /t | tail -n 1", options=("--tmpfs", "/t", *limit)).out.split()[1:2]
             for limit in ((), ("--memory", "32m"))]
    world.equal("a tmpfs has 64 MiB, or half of the limit", sizes, [["65536"], ["16384"]])
    program = run(world, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status",
                  options=("--cap-drop", "all"))
    values = dict(re.findall(r"(\w+):\s+(\w+)", program.out))
    world.equal("no capability", (values.get("CapEff"), values.get("CapBnd")), ("0" * 16,) * 2)
    world.equal("no new privileges, seccomp", (values.get("NoNewPrivs"), values.get("Seccomp")), ("1", "2"))
    program = run(world, "echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/self/uid_map")
    world.check("pid 1, alone, own ids", program.out.startswith("1\n") and
                str(world.id_base)[:2] in program.out, program.out)


def volumes(world):
    shared = world.path("shared")
    os.mkdir(shared)
    with open(os.path.join(shared, "hello"), "w") as f:
        f.write("from the host\n")
    program = run(world, "cat /shared/hello; touch /shared/x 2>/dev/null || echo ro; echo kept > /data/file",
                  options=("--volume", f"{shared}:/shared:ro", "--volume", "data:/data"))
    world.equal("bind mount, read-only", program.out, "from the host\nro\n", program.err)
    program = run(world, "cat /data/file", options=("--volume", "data:/data"))
    world.equal("a volume is kept", program.out, "kept\n", program.err)
    program = run(world, "true", options=("--volume", f"{world.path('node', 'state')}:/steal"))
    world.equal("the agent's own state is refused", program.code, 125)


def out_of_memory(world):
    program = run(world, "exec tail /dev/zero", options=("--memory", "32m"), seconds=30)
    world.equal("out of memory", program.code, 137)
    world.check("out of memory, said with the limit", "killed: out of memory, limit 32 MiB" in program.err,
                program.err)


def fork_bomb(world):
    program = start(world, "f() { sleep 60 & f; }; f; sleep 60", options=("--pids", "20", "--stop-timeout", "1"))
    refused = lib.wait_for(lambda: "can't fork" in program.err or program.process.poll() is not None, 15)
    world.check("fork without end is refused", refused and "can't fork" in program.err, program.err[-500:])
    program.signal(signal.SIGTERM)
    world.check("and ended", program.wait() is not None)
    world.check("nothing of it runs", not lib.find_process("sleep 60"), lib.find_process("sleep 60"))


def log_flood(world):
    """60 MiB of output, faster than anybody reads: five files of ten, and no more."""
    logs = world.path("node", "state", "logs")
    program = start(world, "yes 0123456789012345678901234567890123456789 | head -c 62914560; echo end")
    peak, files = 0, 0
    while program.process.poll() is None and peak < 200 << 20:
        found = glob.glob(logs + "/*/*")
        peak = max(peak, sum(lib.size_of(f) for f in found))
        files = max(files, len(found))
        time.sleep(0.02)
    world.equal("log flood", program.wait(40), 0)
    world.check("logs are bounded", 5 << 20 < peak < 64 << 20, f"{peak >> 20} MiB")
    world.check("logs are rotated", 2 <= files <= 7, files)
    world.check("its end is shown", program.out.endswith("end\n"), program.out[-100:])


# ---- its end ----

def stopped(world):
    program = start(world, "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done")
    world.check("it is up", lib.wait_for(lambda: "ready" in program.out), program.err)
    program.signal(signal.SIGTERM)
    world.equal("asked to end", program.wait(), 5)
    world.check("its last words", program.out.endswith("bye\n"), program.out)

    program = start(world, "trap 'echo bye; exit 6' TERM; echo ready; while :; do sleep 0.1; done")
    world.check("it is up", lib.wait_for(lambda: "ready" in program.out), program.err)
    program.interrupt()
    world.equal("interrupted at a terminal", program.wait(), 6, program.err)
    world.equal("its last words too", program.out, "ready\nbye\n")

    program = start(world, "trap '' TERM; echo ready; while :; do sleep 0.1; done", options=("--stop-timeout", "1"))
    world.check("it is up", lib.wait_for(lambda: "ready" in program.out), program.err)
    begun = time.monotonic()
    program.signal(signal.SIGINT)
    world.equal("it does not listen: killed", program.wait(), 137)
    took = time.monotonic() - begun
    world.check("after its grace period", 0.9 < took < 4, took)
    world.check("and it is said", "did not end within 1.0 s" in program.err, program.err)


def restarted(world):
    program = run(world, "echo run; exit 1", options=("--restart", "on-failure:2"))
    world.equal("restarted twice", program.out, "run\n" * 3, program.err)
    world.equal("then its code", program.code, 1)


# ---- the agent dies ----

TICKS = "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.05; done # "


def ticks(text):
    return [int(n) for n in re.findall(r"^tick (\d+)$", text, re.M)]


def agent_killed(world):
    marker = world.token + "-ticker"
    program = start(world, TICKS + marker, options=("--name", "ticker", "--stop-timeout", "1"))
    world.check("it ticks", lib.wait_for(lambda: len(ticks(program.out)) > 3), program.err)
    before = lib.find_process(marker)
    program.signal(signal.SIGKILL)
    program.wait()
    time.sleep(0.3)
    world.equal("it goes on without an agent", lib.find_process(marker), before)

    again = run(world, "true", options=("--name", "ticker"))
    world.check("its name is taken", again.code == 125 and "is in use" in again.err, again.err)
    other = run(world, "echo other")
    world.equal("another one beside it", (other.code, other.out), (0, "other\n"), other.err)
    world.check("and it is mentioned", "still here from earlier runs: ticker" in other.err, other.err)

    second = world.start(*attach(world, "--name", "ticker", "--tail", "all"))
    world.check("found again", lib.wait_for(lambda: len(ticks(second.out)) > 20), second.err)
    world.equal("the same process", lib.find_process(marker), before)
    third = world.run(*attach(world))
    world.check("one agent per state directory", third.code == 125 and
                f"another agent uses {world.path('node', 'state')}: process {second.pid}" in third.err,
                third.err)
    second.signal(signal.SIGTERM)
    world.check("stopped by the second agent", second.wait() in (137, 143), second.err)
    seen = ticks(second.out)
    world.equal("no line is missing", seen, list(range(len(seen))))
    world.equal("it has ended", lib.find_process(marker), [])


def killed_at_change(world):
    """Once at each step that makes a change of `run` durable: whatever was acknowledged counts."""
    order = world.path("order")
    for name in ("agent.local.before_commit", "agent.local.after_commit"):
        with open(order, "w"):
            pass
        program = world.start(*argv(world, "echo here; exit 4", options=("--name", "late")),
                              env={"WHERRY_FAILPOINT": f"{name}@{order}"})
        world.equal(f"killed at {name}", program.wait(), -signal.SIGKILL, program.err)
        again = world.run(*attach(world, "--tail", "all"))
        if again.code == 125 and "no container of an earlier run" in again.err:
            world.check("never acknowledged", name.endswith("before_commit"), name)
        else:
            world.equal(f"it counts after {name}", (again.code, again.out), (4, "here\n"), again.err)


def ended_without_agent(world):
    marker = world.token + "-brief"
    program = start(world, f"echo first; sleep 1; echo last; exit 9 # {marker}", options=("--name", "brief"))
    world.check("it is up", lib.wait_for(lambda: "first" in program.out), program.err)
    program.signal(signal.SIGKILL)
    program.wait()
    world.check("it ends alone", lib.wait_for(lambda: not lib.find_process(marker)))
    second = world.run(*attach(world, "--tail", "all"))
    world.equal("its code is kept", second.code, 9, second.err)
    world.equal("its output too", second.out, "first\nlast\n")


def detached(world):
    marker = world.token + "-detached"
    program = start(world, f": {marker}; sleep 600; true",
                    options=("--name", "bg", "--detach", "--stop-timeout", "1"))
    world.equal("detached", program.wait(), 0, program.err)
    world.equal("its name", program.out, "bg\n")
    world.equal("it runs", len(lib.find_process(marker)) > 0, True)
    second = world.start(*attach(world, "--name", "bg"))
    time.sleep(0.3)
    second.signal(signal.SIGINT)
    world.check("attached and stopped", second.wait(30) is not None, second.err)
    world.equal("nothing of it runs", lib.find_process(marker), [])
    third = world.run(*attach(world))
    world.check("nothing to attach to", third.code == 125 and "no container of an earlier run" in third.err,
                third.err)


# ---- network ----

def network(world):
    program = run(world, "ip -o link | wc -l", options=("--network", "none"))
    world.equal("none: only lo", program.out, "1\n", program.err)
    program = run(world, "ip -4 -o addr show dev eth0; ip route; echo 127.0.0.1 up; hostname -i",
                  options=("--network", "bridge"))
    world.check("bridge: an address of its own", "inet 10." in program.out and
                "default via 169.254.1.1" in program.out, program.out + program.err)
    program = start(world, "mkdir /tmp/www; echo published > /tmp/www/index.html; echo up; "
                    "exec httpd -f -p 80 -h /tmp/www",
                    options=("--network", "bridge", "--publish", "18080:80", "--stop-timeout", "1"))
    world.check("a server", lib.wait_for(lambda: "up" in program.out), program.err)

    def ask():
        try:
            with socket.create_connection(("127.0.0.1", 18080), 1) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                data = b""
                while chunk := s.recv(4096):
                    data += chunk
                return data
        except OSError as e:
            return str(e).encode() if time.monotonic() > end else None
    end = time.monotonic() + 5
    answer = lib.wait_for(ask, 6, 0.05)
    world.check("a published port", answer and b"published" in answer, answer)
    program.signal(signal.SIGTERM)
    world.check("ended", program.wait() is not None)


def health(world):
    """Each kind of check, in the container's own network."""
    server = "mkdir /tmp/www; echo ok > /tmp/www/up; {0}exec httpd -f -p {1}80 -h /tmp/www"
    for kind, check, delay, listen in (
            ("tcp", "tcp:80", "", ""), ("tcp, on 127.0.0.1 only", "tcp:80", "", "127.0.0.1:"),
            ("http", "http:80/up", "sleep 0.3; ", ""), ("http, on 127.0.0.1 only", "http:80/up", "", "127.0.0.1:"),
            ("exec", "test -e /tmp/www/up", "", "")):
        program = start(world, server.format(delay, listen),
                        options=("--network", "bridge", "--health", check, "--stop-signal", "KILL"))
        world.check(f"healthy by {kind}", lib.wait_for(lambda: "wherry-agent: healthy" in program.err, 5), program.err)
        program.signal(signal.SIGTERM)
        world.check(f"{kind}: ended", program.wait() is not None)
    for kind, check, why in (("http", "http:80/none", "HTTP 404"), ("exec", "exit 3", "3")):
        program = start(world, server.format("", ""), options=("--network", "bridge", "--health", check,
                                                             "--stop-signal", "KILL"))
        code = program.wait(15)
        world.check(f"unhealthy by {kind}: ended, and why is said", code is not None and code != 0 and
                    "unhealthy: " in program.err and why in program.err, f"{code} {program.err}")


CASES = [load, exit_codes, output, as_told, volumes, out_of_memory, fork_bomb, log_flood, stopped, restarted,
         agent_killed, killed_at_change, ended_without_agent, detached, network,
         health]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    lib.begin("umoci", "busybox", "ip", "nft")
    world = lib.World(sys.argv[1], "run")
    try:
        for case in CASES:
            if case is load or len(sys.argv) == 2 or case.__name__ in sys.argv[2:]:
                world.case(case)
        for kept in ("logs", "images/pins", "images/trash"):
            world.equal(f"nothing is left in {kept}", glob.glob(world.path("node", "state", kept, "*")), [])
        world.check_nothing_left()
    finally:
        code = world.finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
