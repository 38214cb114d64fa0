# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a directory, a cgroup, ids and a network namespace of one's own,
images from busybox, programs whose output is shown when something fails, and the question whether
anything is left.

A test runs in a network namespace of its own (begin() sees to it), so every interface, route and
nftables table in it is ours; everything else carries the test's token in its path."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

CLONE_NEWNET = 0x40000000
CGROUPS = "/sys/fs/cgroup"


def begin(*needed):
    """Root, the tools, a network namespace of our own. Skips the test (77) with the reason."""
    missing = [tool for tool in needed if not shutil.which(tool)]
    if os.getuid() != 0:
        missing.insert(0, "root")
    if missing:
        print("SKIP: needs " + ", ".join(missing))
        sys.exit(77)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        print("SKIP: no network namespaces here")
        sys.exit(77)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def size_of(path):
    """0 for a file that is gone: logs are rotated while one looks."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def wait_for(what, seconds=10, step=0.01):
    """Whether `what` becomes true (its value then)."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def read(path, default=""):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return default


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def cmdline(pid):
    return read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def find_process(marker):
    """Pids whose command line has the marker, but for our own programs and this one."""
    found = []
    for pid in pids():
        line = cmdline(pid)
        if marker in line and pid != os.getpid() and "wherry-" not in line.split(" ")[0] \
                and "python" not in line.split(" ")[0]:
            found.append(pid)
    return found


class Program:
    """A program in the background, its output in files."""

    def __init__(self, world, argv, env=None):
        self.argv = argv
        self.base = os.path.join(world.dir, f"program-{len(world.programs)}")
        with open(self.base + ".out", "wb") as out, open(self.base + ".err", "wb") as err:
            self.process = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                            start_new_session=True, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        world.programs.append(self)

    @property
    def out(self):
        return read(self.base + ".out")

    @property
    def err(self):
        return read(self.base + ".err")

    def signal(self, number):
        self.process.send_signal(number)

    def interrupt(self):
        """As a terminal does at Ctrl-C: all of its process group."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, seconds=20):
        """Its exit code; negative: the signal; None: it did not end (killed now)."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class World:
    """Where one test lives. Use as a context: at the end, what is left counts as a failure."""

    def __init__(self, binaries, name):
        self.bin = os.path.abspath(binaries)
        self.name = name
        self.token = f"wherry-{name}-{os.getpid()}"
        self.dir = tempfile.mkdtemp(prefix=self.token + "-")
        self.programs = []
        self.failed = []
        self.passed = 0
        self.id_base = 524288 + 65536 * 64 * (os.getpid() % 400)
        self.interfaces = self.list_interfaces()

    # ---- what is checked ----

    def check(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed.append(name)
            print(f"FAILED {name}: {detail}")
            sys.stdout.flush()
        return ok

    def equal(self, name, got, wanted, more=""):
        return self.check(name, got == wanted,
                          f"wanted {repr(wanted)[:500]}, got {repr(got)[:500]} {more[-2000:]}")

    def case(self, function):
        """Runs one case; an exception is its failure and does not end the others."""
        before = len(self.failed)
        begun = time.monotonic()
        try:
            function(self)
        except Exception:  # pylint: disable=broad-except
            self.check(function.__name__, False, traceback.format_exc())
        took = time.monotonic() - begun
        print(f"{'ok    ' if len(self.failed) == before else 'FAILED'} {function.__name__} ({took:.1f} s)")
        if len(self.failed) != before:
            self.show_programs()
        sys.stdout.flush()
        for program in self.programs:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        self.programs.clear()

    def show_programs(self):
        for program in self.programs:
            print(f"--- {' '.join(program.argv)[-300:]}: {program.process.poll()}")
            print(program.out[-1500:])
            print(program.err[-3000:])

    # ---- directories and programs ----

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def program(self, name):
        return os.path.join(self.bin, name)

    def node_options(self, name="node"):
        """Options of an agent of its own (its state, run directory, cgroup and ids)."""
        os.makedirs(self.path(name), exist_ok=True)
        return ["--state", self.path(name, "state"), "--run", self.path(name, "run"),
                "--cgroup", self.token + "-" + name, "--bin", self.bin,
                "--ids", f"{self.id_base}:{65536 * 64}"]

    def start(self, *argv, env=None):
        return Program(self, list(argv), env)

    def run(self, *argv, seconds=60, env=None):
        """Runs it to its end."""
        program = self.start(*argv, env=env)
        program.code = program.wait(seconds)
        return program

    # ---- images ----

    def busybox_image(self, name, applets=("sh",), files=None, config=(), shape=None):
        """An OCI layout with busybox, links for all its applets and the files given, by umoci.
        `shape` may change the root directory before it is packed. Returns the layout's directory;
        the image in it is called `name`."""
        layout = self.path("image-" + name.replace(":", "-").replace("/", "-"))
        bundle = layout + ".bundle"
        reference = layout + ":" + name.rsplit(":", 1)[-1]

        def umoci(*args):
            subprocess.run(("umoci", *args), check=True, capture_output=True)
        umoci("init", "--layout", layout)
        umoci("new", "--image", reference)
        umoci("unpack", "--image", reference, bundle)
        root = os.path.join(bundle, "rootfs")
        for directory in ("bin", "etc", "tmp", "proc", "sys", "dev", "run", "var", "root"):
            os.makedirs(os.path.join(root, directory), exist_ok=True)
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        shutil.copy(shutil.which("busybox"), os.path.join(root, "bin/busybox"))
        listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
        for applet in sorted(set(listed.stdout.split()) | set(applets)):
            if applet != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", applet))
        for path, text in {"etc/passwd": "root:x:0:0::/root:/bin/sh\nseven:x:7:7::/:/bin/sh\n",
                           "etc/group": "root:x:0:\nseven:x:7:\n", **(files or {})}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as f:
                f.write(text)
        if shape is not None:
            shape(root)
        umoci("repack", "--image", reference, bundle)
        umoci("config", "--image", reference, "--config.cmd", "/bin/sh",
              "--config.env", "PATH=/bin", *config)
        shutil.rmtree(bundle)
        return layout

    # ---- what is left ----

    @staticmethod
    def list_interfaces():
        return {line.split(":")[0].strip() for line in read("/proc/self/net/dev").splitlines()[2:]}

    def left_processes(self):
        own = []
        for pid in pids():
            if pid == os.getpid():
                continue
            if self.token in read(f"/proc/{pid}/cgroup") or self.token in cmdline(pid):
                state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1]
                own.append(f"{pid} {state} {cmdline(pid)[:200]}")
        zombies = [f"{pid} (zombie)" for pid in self.children()
                   if read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] == ["Z"]]
        return own + zombies

    @staticmethod
    def children():
        return [int(pid) for pid in read(f"/proc/self/task/{os.getpid()}/children").split()]

    def left_mounts(self):
        return [line.split()[4] for line in read("/proc/self/mountinfo").splitlines()
                if self.token in line]

    def left_cgroups(self):
        found = []
        for hierarchy in [""] + os.listdir(CGROUPS):
            base = os.path.join(CGROUPS, hierarchy)
            if not os.path.isdir(base) or os.path.islink(base):
                continue
            for root, dirs, _ in os.walk(base):
                found += [os.path.join(root, d) for d in dirs if self.token in d]
                if root.count("/") - base.count("/") > 3:
                    dirs.clear()
        return sorted(set(found))

    @staticmethod
    def left_routes():
        out = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=False)
        return out.stdout.splitlines()

    def left(self):
        """What is there and must not be when no container is. A group that an agent keeps for its
        successor is removed if it is empty; a full one counts."""
        found = {"processes": self.left_processes(), "mounts": self.left_mounts(),
                 "interfaces": sorted(self.list_interfaces() - self.interfaces),
                 "routes": self.left_routes()}
        full = []
        for path in sorted(self.left_cgroups(), key=len, reverse=True):
            try:
                os.rmdir(path)
            except OSError:
                full.append(path)
        found["cgroups"] = full
        return {kind: what for kind, what in found.items() if what}

    def check_nothing_left(self):
        """To be asked when all agents have ended."""
        wait_for(lambda: not self.left(), 5, 0.05)
        self.check("nothing is left", not self.left(), self.left())

    def finish(self):
        """The exit code of the test."""
        for program in self.programs:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        for line in self.left_processes():
            pid = int(line.split()[0])
            if "zombie" not in line:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.dir, ignore_errors=True)
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return 1 if self.failed else 0
