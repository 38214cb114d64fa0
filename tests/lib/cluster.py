# SPDX-License-Identifier: Apache-2.0
"""A cluster on this machine: a controller and agents, each agent on a "host" of its own, which is a
network namespace with an address. Hosts are on links, which are bridges in a namespace of their own
that routes between them (the controller lives there too): hosts of one link are neighbours, those
of different links reach each other through the router only.
Nothing of it is outside of those namespaces, one temporary directory and cgroups named after it."""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


class Failure(Exception):
    pass


def run(*argv, check=True, timeout=60, **kw):
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, check=False, **kw)
    if check and out.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit {out.returncode}\n{out.stdout}{out.stderr}")
    return out


def until(what, condition, timeout=20.0, pause=0.05):
    """Waits until condition() is true (and returns it); else fails, saying what it waited for."""
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failure(f"after {timeout:.0f} s it is still not so: {what}")
        time.sleep(pause)


class Daemon:
    """One of our programs in the background, with its output in a file."""

    def __init__(self, argv, log, netns=None, env=None):
        self.argv = [str(a) for a in argv]
        if netns:
            # Not `ip netns exec`, which hides the cgroups behind a /sys of its own.
            self.argv = ["nsenter", f"--net=/run/netns/{netns}", "--"] + self.argv
        self.log, self.env, self.process = log, env, None

    def start(self, env=None):
        with open(self.log, "ab") as out:
            # nsenter replaces itself by the program: its pid is the program's.
            self.process = subprocess.Popen(self.argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **(self.env or {}), **(env or {})},
                                            start_new_session=True)
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, as a crash would."""
        if self.running():
            self.process.kill()
        self.process.wait(timeout=20)

    def stop(self, timeout=20):
        """SIGTERM; returns the exit code."""
        if self.running():
            self.process.terminate()
        try:
            return self.process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure(f"{self.argv[-0]} did not end within {timeout} s of SIGTERM") from None

    def tail(self, lines=30):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])


class Host:
    def __init__(self, cluster, index, name, labels, segment, options):
        self.cluster, self.index, self.name, self.labels = cluster, index, name, labels
        self.segment, self.options = segment, options
        self.netns = f"{cluster.tag}-{name}"
        self.address = f"10.99.{segment}.{11 + index}"
        self.dir = os.path.join(cluster.dir, name)
        self.state, self.run = os.path.join(self.dir, "state"), os.path.join(self.dir, "run")
        self.cgroup = f"wherry/{cluster.tag}-{name}"
        self.ids = 65536 * (1526 + index * cluster.containers_per_host)
        self.agent = None

    def make(self):
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        c, link = self.cluster, f"w{self.index}"
        run("ip", "netns", "add", self.netns)
        run("ip", "-n", c.net, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        run("ip", "-n", c.net, "link", "set", link, "master", f"br{self.segment}", "up")
        for words in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up",
                      f"route add default via 10.99.{self.segment}.1"):
            run("ip", "-n", self.netns, *words.split())
        labels = [w for l in self.labels for w in ("--label", l)]
        self.agent = Daemon([c.bin("wherry-agent"), "--controller", f"10.99.0.1:{c.port}", "--name", self.name,
                             "--address", self.address, "--state", self.state, "--run", self.run,
                             "--cgroup", self.cgroup, "--ids", f"{self.ids}:{65536 * c.containers_per_host}", *labels, *self.options],
                            os.path.join(self.dir, "agent.log"), netns=self.netns)

    def link(self, up):
        """Cuts the host off, or joins it again."""
        run("ip", "-n", self.cluster.net, "link", "set", f"w{self.index}", "up" if up else "down")

    def flap(self, up):
        """The host's own link goes down, and with it every route over it; or comes up again."""
        run("ip", "-n", self.netns, "link", "set", "eth0", "up" if up else "down")
        if up:
            run("ip", "-n", self.netns, "route", "replace", "default", "via", f"10.99.{self.segment}.1")

    def exec(self, *argv, **kw):
        return run("nsenter", f"--net=/run/netns/{self.netns}", "--", *argv, **kw)

    def load(self, *layouts):
        for layout in layouts:
            run(self.cluster.bin("wherry-agent"), "image", "load", layout, "--state", self.state)


class Cluster:
    """with Cluster(bin_dir, hosts=…) as c: … On failure the logs' tails are printed. `segments`: host's
    name to the number of its link, else 0; `options`: host's name to more options of its agent."""

    def __init__(self, bin_dir, hosts=("a", "b", "c"), labels=None, images=(), segments=None, options=None,
                 controller_options=(), containers_per_host=512):
        self.bin_dir, self.containers_per_host = bin_dir, containers_per_host
        self.tag = f"wt{os.getpid()}"
        self.net = f"{self.tag}-net"
        self.port = 7420
        self.dir = tempfile.mkdtemp(prefix=f"wherry-e2e-{self.tag}-", dir="/var/tmp")
        self.socket = os.path.join(self.dir, "controller.sock")
        self.hosts = {n: Host(self, i, n, (labels or {}).get(n, []), (segments or {}).get(n, 0), (options or {}).get(n, []))
                      for i, n in enumerate(hosts)}
        self.images = images
        self.controller = Daemon([self.bin("wherry-controller"), "--state", os.path.join(self.dir, "controller"),
                                  "--listen", f"10.99.0.1:{self.port}", "--socket", self.socket,
                                  *controller_options],
                                 os.path.join(self.dir, "controller.log"), netns=self.net)

    def bin(self, name):
        return os.path.join(self.bin_dir, name)

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.show_logs()
            self.remove()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.remove()

    def make(self):
        run("ip", "netns", "add", self.net)
        run("ip", "-n", self.net, "link", "set", "lo", "up")
        run("nsenter", f"--net=/run/netns/{self.net}", "--", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for k in sorted({0} | {h.segment for h in self.hosts.values()}):
            for words in (f"link add br{k} type bridge", f"addr add 10.99.{k}.1/24 dev br{k}", f"link set br{k} up"):
                run("ip", "-n", self.net, *words.split())
        self.controller.start()
        until("the controller's socket is there", lambda: os.path.exists(self.socket) or not self.controller.running())
        for host in self.hosts.values():
            host.make()
            host.load(*self.images)
            host.agent.start()
        until("all nodes are ready", lambda: self.ready() == len(self.hosts))

    # ---- asking ----

    def wherry(self, *argv, check=True, timeout=90, **kw):
        return run(self.bin("wherry"), "--controller", self.socket, *argv, check=check, timeout=timeout, **kw)

    def json(self, *argv):
        return json.loads(self.wherry("-o", "json", *argv).stdout)

    def ready(self):
        out = self.wherry("-o", "json", "status", check=False)
        return json.loads(out.stdout).get("nodes_ready", 0) if out.returncode == 0 else 0

    def ps(self, stack=None):
        return self.json("ps", *([stack] if stack else [])).get("containers", [])

    def nodes(self):
        return {n["name"]: n for n in self.json("nodes").get("nodes", [])}

    def apply(self, text, *argv, check=True, timeout=90):
        path = os.path.join(self.dir, "compose.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return self.wherry("apply", "-f", path, *argv, check=check, timeout=timeout)

    # ---- ending ----

    def show_logs(self):
        for d in [self.controller] + [h.agent for h in self.hosts.values() if h.agent]:
            if d and os.path.exists(d.log):
                print(f"---- {d.log}\n{d.tail()}")
        out = self.wherry("status", check=False, timeout=5) if os.path.exists(self.socket) else None
        if out:
            print(out.stdout, out.stderr)

    def remove_stacks(self, timeout=30):
        for stack in self.json("status").get("stacks", []):
            self.wherry("rm", stack["name"], check=False)
        until("no container is left", lambda: not self.ps(), timeout=timeout)

    def remove(self):
        """Whatever a failed test has left: containers by their cgroups, then the rest."""
        for d in [h.agent for h in self.hosts.values()] + [self.controller]:
            if d and d.running():
                d.kill()
        for host in self.hosts.values():
            kill_cgroups(host.cgroup)
        for host in self.hosts.values():
            run("ip", "netns", "del", host.netns, check=False)
        run("ip", "netns", "del", self.net, check=False)
        for host in self.hosts.values():
            remove_cgroups(host.cgroup)
        remove_cgroups("wherry", below=False)
        unmount_below(self.dir)
        run("rm", "-rf", "--one-file-system", self.dir, check=False)


# ---- what may be left behind ----

def cgroup_roots():
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return ["/sys/fs/cgroup"]
    return [os.path.join("/sys/fs/cgroup", d) for d in sorted(os.listdir("/sys/fs/cgroup"))
            if os.path.isdir(os.path.join("/sys/fs/cgroup", d)) and not os.path.islink(os.path.join("/sys/fs/cgroup", d))]


def cgroup_dirs(name):
    """All groups of this name or below it, deepest first."""
    found = []
    for root in cgroup_roots():
        for path, _, _ in os.walk(os.path.join(root, name), topdown=False):
            found.append(path)
    return found


def kill_cgroups(name):
    for _ in range(50):
        pids = set()
        for path in cgroup_dirs(name):
            try:
                with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as f:
                    pids.update(int(p) for p in f.read().split())
            except OSError:
                pass
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def remove_cgroups(name, below=True):
    """Those that are empty; without `below` the group itself alone, which others may still use."""
    for path in cgroup_dirs(name) if below else [os.path.join(root, name) for root in cgroup_roots()]:
        try:
            os.rmdir(path)
        except OSError:
            pass


def unmount_below(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        points = [l.split()[4] for l in f]
    for p in reversed(points):
        if p == path or p.startswith(path + "/"):
            run("umount", "-l", p, check=False)


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


PROGRAMS = ("wherry-agent", "wherry-shim", "wherry-worker", "wherry-controller", "nft")


class Leaks:
    """What this machine held before a test; after it, nothing more may be there. Processes (zombies
    too), mounts, cgroups, network namespaces, interfaces, nftables tables, routes."""

    def __init__(self):
        self.before = self.look()

    @staticmethod
    def look():
        found = {"process": set(), "mount": set(), "cgroup": set(), "namespace": set(), "link": set(), "table": set(), "route": set()}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                    stat = f.read()
            except OSError:
                continue
            name = stat[stat.index("(") + 1:stat.rindex(")")]
            if name.startswith(tuple(p[:15] for p in PROGRAMS)) or name in ("memfd:wherry-s", "wherry-shim"):
                found["process"].add(f"{pid} {name} {stat[stat.rindex(')') + 2]}")
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            found["mount"] = {" ".join(l.split()[3:5]) for l in f}
        for root in cgroup_roots():
            for path, _, _ in os.walk(os.path.join(root, "wherry")):
                found["cgroup"].add(path)
        found["namespace"] = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
        found["link"] = set(os.listdir("/sys/class/net"))
        found["table"] = set(run("nft", "list", "tables", check=False).stdout.splitlines())
        found["route"] = set(run("ip", "route", "show", "table", "all").stdout.splitlines())
        return found

    @staticmethod
    def is_others(kind, item):
        """Of another cluster whose test runs at the same time."""
        pid = item.split()[0] if kind == "process" else "1"
        while pid not in ("0", "1", ""):
            item += read_text(f"/proc/{pid}/cgroup") + read_text(f"/proc/{pid}/cmdline")
            pid = read_text(f"/proc/{pid}/stat").rpartition(")")[2].strip().partition(" ")[2].partition(" ")[0]
        tags = {int(t) for t in re.findall(r"\bwt(\d+)-", item)} - {os.getpid()}
        return any(os.path.exists(f"/proc/{t}") for t in tags)

    def new(self):
        now = self.look()
        return [f"{kind}: {item}" for kind in now for item in sorted(now[kind] - self.before[kind])
                if not self.is_others(kind, item)]

    def check(self, timeout=10):
        """Fails naming what is left; a process that is just ending has a moment for it."""
        end = time.monotonic() + timeout
        while True:
            left = self.new()
            if not left:
                return
            if time.monotonic() > end:
                raise Failure("left behind:\n  " + "\n  ".join(left))
            time.sleep(0.1)


def http_get(address, port, path="/", netns=None, timeout=3):
    """(status, body) of one request, (0, reason) where nobody answers."""
    out = run(*(["nsenter", f"--net=/run/netns/{netns}", "--"] if netns else []), "curl", "-s", "-m", timeout, "-w", "\n%{http_code}",
              f"http://{address}:{port}{path}", check=False)
    body, _, code = out.stdout.rpartition("\n")
    return int(code or 0), body


def inside(p, *argv, timeout=30):
    """What tests/lib/inside.py says, run in the network namespace of a container of `ps`."""
    out = run("nsenter", "-t", p["pid"], "-n", "--", "python3", os.path.join(HERE, "inside.py"), *argv, timeout=timeout)
    return json.loads(out.stdout)


class Serving6:
    """with Serving6(container, port): connections over IPv6 are answered there."""

    def __init__(self, p, port):
        self.argv = ["nsenter", "-t", str(p["pid"]), "-n", "--", "python3", os.path.join(HERE, "inside.py"), "serve6", str(port)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "listening\n":
            raise Failure(f"{self.argv}: does not listen")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def build_images(out, *names, source=os.path.join(TOP, "deploy/examples/images")):
    names = names or ("web", "api", "store", "job")
    run(os.path.join(source, "build"), out, *names, timeout=120)
    return [os.path.join(out, n) for n in names or sorted(os.listdir(out))]


class Suite:
    """Named tests in a row; each prints one line; the exit code says whether all passed."""

    def __init__(self):
        self.failed = []
        self.began = time.monotonic()

    def test(self, name, function, *argv):
        began = time.monotonic()
        try:
            note = function(*argv)
            print(f"ok      {name} ({time.monotonic() - began:.1f} s){': ' + note if note else ''}", flush=True)
        except (Failure, AssertionError, KeyError, IndexError, OSError, subprocess.TimeoutExpired, ValueError) as e:
            self.failed.append(name)
            print(f"FAILED  {name} ({time.monotonic() - began:.1f} s): {type(e).__name__}: {e}", flush=True)

    def leave(self, c):
        """The end of a cluster: everything of it goes by itself, or this fails."""
        if self.failed:
            c.show_logs()
        c.remove_stacks()
        for host in c.hosts.values():
            assert host.agent.stop() == 0

    def end(self):
        print(f"{'FAILED: ' + ', '.join(self.failed) if self.failed else 'all passed'} "
              f"({time.monotonic() - self.began:.1f} s)")
        return 1 if self.failed else 0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
