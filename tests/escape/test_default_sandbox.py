#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a container gets when nobody asks for anything, seen from inside by a program that means
harm (probe.c), through the real agent, shim and worker. Then images that lie about their own root:
each must be refused, or stay inside. A canary beside the agent's directories, the host's network
and the host's names are as before.

usage: test_default_sandbox.py BIN-DIR PROBE [CASE…]        (root; exit 77: cannot run here)"""

import glob
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import wherry_testlib as lib  # noqa: E402  pylint: disable=wrong-import-position

IMAGE = "box:1"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "time", "user")
DEFAULT_CAPS = sum(1 << n for n in (0, 1, 3, 5, 6, 7, 10))  # chown … net_bind_service
HOST = "192.0.2.1"  # of the host that a container sees: our network namespace
HIDDEN = ["/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms",
          "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/modules", "/proc/sched_debug",
          "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
          "/sys/firmware", "/sys/fs/bpf", "/sys/fs/pstore", "/sys/kernel/debug",
          "/sys/kernel/tracing", "/sys/kernel/security"]
FROZEN = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def init_option(world):
    """The init is the shim's own program, which must be static for that; with sanitizers it is not."""
    with open(world.program("wherry-shim"), "rb") as f:
        return () if b"/ld-linux" in f.read(4096) else ("--init",)


def argv(world, *args, image=IMAGE, options=()):
    command = ["sh", "-c", args[0]] if len(args) == 1 else list(args)
    network = [] if "--network" in options else ["--network", "none"]
    return [world.program("wherry-agent"), "run", *world.node_options(), *network, "--image", image,
            *options, "--", *command]


def run(world, *args, **kw):
    return world.run(*argv(world, *args, **kw))


def start(world, *args, **kw):
    return world.start(*argv(world, *args, **kw))


def answers(text):
    """"name: answer" lines."""
    return dict(line.rsplit(": ", 1) for line in text.splitlines() if ": " in line)


def status(text):
    return {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}


def load(world, name, **kw):
    layout = world.busybox_image(name, **kw)
    state = world.node_options()[1]
    program = world.run(world.program("wherry-agent"), "image", "load", layout, "--state", state,
                        "--name", name)
    shutil.rmtree(layout)
    return program


def shape(root):
    shutil.copy(world_probe(), os.path.join(root, "bin/probe"))
    shutil.copy(world_probe(), os.path.join(root, "bin/suid"))
    os.chmod(os.path.join(root, "bin/suid"), 0o6755)


def world_probe():
    return sys.argv[2]


def image(world):
    program = load(world, IMAGE, shape=shape)
    world.equal("image load", program.code, 0, program.err)


# ---- who and where ----

def namespaces(world):
    """E31."""
    program = run(world, "for n in %s; do readlink /proc/self/ns/$n; done" % " ".join(NAMESPACES))
    inside = program.out.split()
    world.equal("eight", len(inside), len(NAMESPACES), program.err)
    for name, link in zip(NAMESPACES, inside):
        world.check(f"{name} namespace of its own", link != os.readlink(f"/proc/self/ns/{name}"), link)
    program = run(world, "readlink /proc/self/ns/net; for n in %s; do readlink /proc/self/ns/$n; done" %
                  " ".join(n for n in NAMESPACES if n != "net"), options=("--network", "host"))
    inside = program.out.split()
    world.equal("network_mode host: the host's network", inside[:1], [os.readlink("/proc/self/ns/net")])
    for name, link in zip((n for n in NAMESPACES if n != "net"), inside[1:]):
        world.check(f"network_mode host: {name} of its own", link != os.readlink(f"/proc/self/ns/{name}"), link)


def identity(world):
    """A range of ids of its own, above the host's users; few capabilities, or none (E8, I15)."""
    program = run(world, "cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/status; cat /proc/1/oom_score_adj")
    maps = [line.split() for line in program.out.splitlines()[:2]]
    world.check("both maps are one range", maps[0] == maps[1] and maps[0][0] == "0" and maps[0][2] == "65536", maps)
    world.check("above the host's users", int(maps[0][1]) >= 524288 and int(maps[0][1]) % 65536 == 0, maps)
    s = status(program.out)
    for key in ("CapPrm", "CapEff", "CapBnd"):
        world.equal(f"root: {key}", int(s[key][0], 16), DEFAULT_CAPS)
    for key in ("CapInh", "CapAmb"):
        world.equal(f"root: {key}", int(s[key][0], 16), 0)
    world.equal("no_new_privs, seccomp", (s["NoNewPrivs"], s["Seccomp"]), (["1"], ["2"]))
    world.equal("uid, groups", (s["Uid"], s["Groups"]), (["0"] * 4, ["0"]))
    world.equal("killed before the host's own", program.out.splitlines()[-1], "500")

    program = run(world, "cat", "/proc/self/status", options=("--user", "seven"))
    s = status(program.out)
    for key in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        world.equal(f"not root: {key}", int(s[key][0], 16), 0, program.err)
    program = run(world, "cat", "/proc/self/status", options=(*init_option(world), "--cap-drop", "ALL", "--cap-add", "NET_RAW"))
    s = status(program.out)
    for key, wanted in (("CapPrm", 1 << 13), ("CapEff", 1 << 13), ("CapBnd", 1 << 13), ("CapInh", 0), ("CapAmb", 0)):
        world.equal(f"as asked for: {key}", int(s[key][0], 16), wanted, program.err)


def users(world):
    """E9: exact, or an error; never root by accident."""
    for text in ("-1", "4294967296", "4294967295", "4294967294", "2147483648", "0x0", "1:", ":", "+5", " 5",
                 "65536", "0:65536", "nobody-there", "7:none", "5 ", "00x", "1e3", "../etc"):
        program = run(world, "id", "-u", options=("--user", text))
        world.check(f"user \"{text}\" is refused", program.code == 125 and program.out == "", program.out + program.err)
    for text, wanted in (("65535:65535", "65535"), ("7", "7"), ("seven:0", "7"), ("0", "0"), ("root", "0")):
        program = run(world, "id", "-u", options=("--user", text))
        world.equal(f"user \"{text}\"", program.out, wanted + "\n", program.err)


def calls(world):
    """Known and not allowed: EPERM; not known: ENOSYS (E20, E21, E26)."""
    for user in ("root", "seven"):
        program = run(world, "probe", "calls", options=("--user", user, "--network", "bridge"))
        got = answers(program.out)
        world.check(f"{user}: all were tried", len(got) > 40, program.out + program.err)
        for name, answer in got.items():
            wanted = {"clone3": "ENOSYS", "unknown": "ENOSYS"}.get(name, "EPERM")
            if name == "socket alg" and answer == "EAFNOSUPPORT":
                continue
            world.equal(f"{user}: {name}", answer, wanted)


def files(world):
    """E1, E2, E6, and device nodes."""
    for options in {(), init_option(world), ("--user", "seven")}:
        program = run(world, "probe", "files", options=options)
        lines = program.out.splitlines()
        got = answers(program.out)
        world.equal(f"{options} descriptors", [line for line in lines if line.startswith("fd: ")],
                    ["fd: 0", "fd: 1", "fd: 2"], program.err)
        for name, answer in got.items():
            if name.startswith("mknod "):
                world.equal(f"{options} {name}", answer, "EPERM")
            if name.startswith("write program "):
                world.check(f"{options} {name}", answer in ("ETXTBSY", "EPERM", "EACCES"), answer)
        world.equal(f"{options} getcwd, core", (got["getcwd"], got["core"]), ("OK", "0 0"))
    program = run(world, "suid", "whoami", options=("--user", "seven"))
    world.equal("a setuid program gives nothing", program.out, "euid: 7 egid: 7\n", program.err)
    program = run(world, "ls /dev; ls -l /dev | grep -c '^[bc]'; cat /dev/kmsg /dev/mem 2>&1")
    names = program.out.split("cat:")[0].split()
    world.equal("/dev", sorted(names[:-1]), sorted(["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
                                                    "stderr", "stdin", "stdout", "tty", "urandom", "zero"]))


def working_directory(world):
    """E2: no descriptor of ours is a way out."""
    for number in (3, 5, 7, 8, 9, 10, 15, 40):
        path = f"/proc/self/fd/{number}"
        program = run(world, "pwd; ls", options=("--workdir", path))
        world.check(f"working directory {path} is refused", program.code == 125 and program.out == "",
                    program.out + program.err)


# ---- /proc, /sys, cgroups ----

def masks(world):
    """E22: what is hidden is empty, what is frozen cannot be written."""
    script = "".join(f"if [ -d {p} ]; then ls -A {p} | sed 's,^,{p} ,'; elif [ -e {p} ]; then "
                     f"head -c 100 {p} | sed 's,^,{p} ,'; fi\n" for p in HIDDEN)
    program = run(world, script + "true")
    world.equal("hidden paths are empty", program.out, "", program.err)
    program = run(world, "awk '{print $5, $6}' /proc/self/mountinfo; sed 's/.* - //' /proc/self/mountinfo; "
                  "cat /proc/self/mountinfo")
    mounted = dict(line.split(" ")[:2] for line in program.out.splitlines() if line.startswith("/") and " " in line)
    for path in FROZEN:
        if os.path.exists(path):
            world.check(f"{path} is read-only", "ro" in mounted.get(path, "").split(","), mounted.get(path))
    world.check("nothing is shared with the host", "shared:" not in program.out and "master:" not in program.out,
                program.out)
    for line in program.out.splitlines():
        if " - overlay " in line:
            world.check("the layers' host paths are not seen", world.dir not in line, line)
    for path, flags in mounted.items():
        world.check(f"{path} is nosuid", "nosuid" in flags.split(","), flags)
        if not path.startswith("/dev") and path not in HIDDEN:
            world.check(f"{path} is nodev", "nodev" in flags.split(","), flags)
    writable = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
                "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
                "/proc/sys/kernel/modprobe", "/sys/kernel/uevent_helper", "/proc/sys/fs/binfmt_misc/register",
                "/sys/power/state", "/proc/1/uid_map", "/proc/self/uid_map"]
    program = run(world, "probe", "open", *writable)
    for name, answer in answers(program.out).items():
        if not name.endswith("uid_map"):  # may be opened; a map is written once
            world.check(f"{name} is not writable", answer != "OK", answer)


def cgroups(world):
    """E7, E20."""
    program = run(world, "find /sys/fs/cgroup -type f | head -3000 > /tmp/all; xargs probe open < /tmp/all; "
                  "find /sys/fs/cgroup -name release_agent; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>&1; "
                  "cat /proc/self/cgroup", options=("--memory", "64m"))
    got = answers(program.out)
    tried = [name for name in got if name.startswith("/sys/fs/cgroup") and " " not in name]
    world.check("files of control groups are seen", len(tried) > 5, program.out[:500] + program.err)
    world.equal("none can be written", [name for name in tried if got[name] == "OK"], [])
    world.check("no release_agent", "release_agent\n" not in program.out, program.out[-800:])
    world.check("its own group is the root", world.token not in program.out, program.out[-800:])
    world.check("no group can be made", program.out.count("can't create directory") >= 1, program.out[-800:])
    for line in program.out.splitlines():
        if re.match(r"^\d+:(memory|pids|cpu[^:]*|freezer|devices|):/", line):
            world.check(f"{line} is /", line.endswith(":/"), line)


def time_and_names(world):
    program = run(world, "cut -d. -f1 /proc/uptime; hostname; ipcs -m | wc -l; ls /proc | grep -c '^[0-9]'; "
                  "cat /proc/1/cmdline | tr '\\0' ' '; dmesg 2>&1 | head -1")
    lines = program.out.splitlines()
    world.check("the host's uptime is not seen", int(lines[0]) < 10, lines[0])
    world.check("nor its name", lines[1] != socket.gethostname(), lines[1])
    world.check("nor its processes", int(lines[3]) < 8, lines[3])
    world.check("nor its log", "not permitted" in program.out + program.err, program.out)


# ---- network ----

def listener(address):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, 0))
    s.listen(64)
    return s, s.getsockname()[1]


def network(world):
    """The host, its loopback, other containers and the cloud's metadata are out of reach."""
    subprocess.run(["ip", "addr", "add", HOST + "/32", "dev", "lo"], check=True)
    sockets = [listener("127.0.0.1"), listener("0.0.0.0"), listener(HOST)]
    try:
        other = start(world, "ip -4 -o addr show dev eth0 | awk '{print $4}'; probe whoami; "
                      "exec nc -lk -p 7000 -e true", options=("--network", "bridge", "--name", "other", "--detach",
                                                                    "--stop-timeout", "1"))
        world.equal("another container", other.wait(), 0, other.err)
        second = world.start(*[world.program("wherry-agent"), "run", *world.node_options(), "--attach", "--name",
                               "other", "--tail", "all"])
        world.check("it has an address", lib.wait_for(lambda: "euid" in second.out), second.err)
        address = second.out.split("/")[0]
        second.signal(signal.SIGKILL)
        second.wait()
        lines = "; ".join(f"probe connect {a} {p}" for a, p in (
            ("127.0.0.1", sockets[0][1]), ("127.0.0.1", sockets[1][1]), (HOST, sockets[1][1]), (HOST, sockets[2][1]),
            ("169.254.1.1", sockets[1][1]), ("169.254.169.254", 80), (address, 7000)))
        program = run(world, lines + "; true", options=("--network", "bridge"))
        got = answers(program.out)
        world.check("all were tried", len(got) >= 6, program.out + program.err)
        for name, answer in got.items():
            world.check(name, answer != "OK", answer)
        second = world.start(*[world.program("wherry-agent"), "run", *world.node_options(), "--attach", "--name",
                               "other"])
        lib.wait_for(lambda: "other" in second.err, 2)
        second.signal(signal.SIGTERM)
        world.check("the other has ended", second.wait() is not None, second.err)
        program = run(world, "probe", "connect", "127.0.0.1", str(sockets[0][1]), options=("--network", "host"))
        world.equal("network_mode host is the host's", answers(program.out).popitem()[1], "OK")
        program = run(world, "cat /proc/self/status; probe files; probe calls", options=("--network", "host"))
        s = status(program.out)
        world.equal("network_mode host: no more capabilities", int(s["CapBnd"][0], 16), DEFAULT_CAPS)
        got = answers(program.out)
        world.equal("network_mode host: no raw sockets",
                    (got["socket raw"], got["socket packet"]), ("EPERM", "EPERM"))
    finally:
        for s, _ in sockets:
            s.close()
        subprocess.run(["ip", "addr", "del", HOST + "/32", "dev", "lo"], check=False)


def neighbours(world):
    """Two containers see neither each other's processes nor each other's files or memory."""
    marker = world.token + "-secret"
    script = f"echo {marker} > /tmp/secret; echo {marker} > /dev/shm/secret; echo up; exec sleep 60"
    other = start(world, script, options=("--name", "secret", "--detach", "--stop-timeout", "1"))
    world.equal("the one with a secret", other.wait(), 0, other.err)
    program = run(world, "ls /tmp /dev/shm; cat /proc/*/cmdline | tr '\\0' ' '; cat /proc/mounts")
    world.check("it is not seen", "secret" not in program.out.replace("secretkey", ""), program.out)
    second = world.start(world.program("wherry-agent"), "run", *world.node_options(), "--attach", "--name", "secret")
    lib.wait_for(lambda: "secret" in second.err, 2)
    second.signal(signal.SIGINT)
    world.check("it has ended", second.wait(30) is not None, second.err)


# ---- images that lie ----

def replaced(path, target):
    def change(root):
        shape(root)
        full = os.path.join(root, path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.symlink(target, full)
    return change


def snapshot(path):
    found = {}
    for root, dirs, names in os.walk(path):
        for name in dirs + names:
            full = os.path.join(root, name)
            st = os.lstat(full)
            data = b"" if not os.path.isfile(full) or os.path.islink(full) else open(full, "rb").read()
            found[full] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino, hashlib.sha256(data).hexdigest())
    return found


def hostile_images(world):
    """E3, E5, E6, E12: the root's own directories, and targets of mounts, are links to elsewhere."""
    canary = world.path("canary")
    os.makedirs(canary + "/etc")
    for name in ("etc/hosts", "etc/passwd", "null"):
        with open(os.path.join(canary, name), "w") as f:
            f.write("canary\n")
    os.chmod(canary, 0o777)
    before, host_etc = snapshot(canary), snapshot("/etc")
    up = "../" * 12
    shapes = [(path, target) for path in ("proc", "sys", "dev", "etc", "etc/hosts", "data", "tmp/work")
              for target in ("/", canary, up + canary.lstrip("/"), "/proc/1/root" + canary)]
    shapes += [(path, target) for path in ("data", "tmp/work")
               for target in ("/proc", "/dev", "/proc/self/fd/9", "/nowhere/deep")]
    os.makedirs(world.path("volume"))
    program = run(world, "echo ran", options=("--volume", world.path("volume") + ":/data/sub", "--workdir", "/tmp/work"))
    world.equal("an honest image runs", program.out, "ran\n", program.err)
    for number, (path, target) in enumerate(shapes):
        name = f"lie:{number}"
        program = load(world, name, shape=replaced(path, target))
        what = f"/{path} -> {target.replace(canary, 'canary')}"
        if program.code != 0:
            continue  # refused by the worker
        options = ["--tmpfs", "/data", "--volume", world.path("volume") + ":/data/sub"] if path == "data" else []
        options += ["--workdir", "/tmp/work/below"] if path == "tmp/work" else []
        program = run(world, "echo ran; readlink /proc/self/exe; probe files | grep -c fd; touch /etc/x; "
                      "cat /etc/hosts /etc/passwd; head -c 5 /proc/kcore", image=name, options=options)
        world.check(f"{what}: {program.code}", program.code == 125 or "ran" in program.out, program.out + program.err)
        world.check(f"{what} stays inside", "canary" not in program.out and world.dir not in program.out, program.out)
        if path in ("proc", "sys", "dev"):
            world.equal(f"{what} is refused", program.code, 125, program.out + program.err)
        world.check(f"{what}: nothing changed outside", snapshot(canary) == before, what)
        world.run(world.program("wherry-agent"), "image", "rm", name, "--state", world.node_options()[1])
    world.check("the host's /etc is as before", snapshot("/etc") == host_etc)


def odd_images(world):
    """What else a configuration may say."""
    for number, config in enumerate((("--config.workingdir", "/proc/self/fd/9"), ("--config.workingdir", "../../.."),
                                     ("--config.user", "4294967296"), ("--config.user", "-1"),
                                     ("--config.volume", "/../../x"), ("--config.volume", "/"),
                                     ("--config.label", "wherry.cap_add=ALL"))):
        name = f"odd:{number}"
        program = load(world, name, shape=shape, config=config)
        if program.code != 0:
            continue
        program = run(world, "cat /proc/self/status; pwd", image=name)
        if program.code == 0:
            s = status(program.out)
            world.equal(f"{config}: capabilities", int(s["CapBnd"][0], 16), DEFAULT_CAPS)
            world.check(f"{config}: harmless", "fd" not in program.out.splitlines()[-1], program.out[-100:])
            world.check(f"{config}: no user by accident", "user" not in config[0], program.out[:200])
        world.check(f"{config}: {program.code}", program.code in (0, 125), program.err)


CASES = [image, namespaces, identity, users, calls, files, working_directory, masks, cgroups, time_and_names,
         network, neighbours, hostile_images, odd_images]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    lib.begin("umoci", "busybox", "ip", "nft")
    world = lib.World(sys.argv[1], "escape")
    try:
        for case in CASES:
            if case is image or len(sys.argv) == 3 or case.__name__ in sys.argv[3:]:
                world.case(case)
        world.check_nothing_left()
    finally:
        code = world.finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
