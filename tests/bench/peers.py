# SPDX-License-Identifier: Apache-2.0
"""Other engines, measured in the same run: each with a root of its own in the bench's directory.
crun refuses hosts whose cgroup v2 hierarchy has a controller beside v1 ones, and Docker's engine
needs more of a machine than is asked here: a peer that cannot run one container is left out by name."""
import contextlib
import json
import os
import shutil
import subprocess

from cluster import run
from probe import killed_at, pss_kib, stat_of

SECCOMP = "/usr/share/containers/seccomp.json"
NOFILE = 20000  # what podman asks by itself may be more than this machine's hard limit


class Peer:
    can_stay = can_restart = False

    def __init__(self, name):
        self.name = name

    def usable(self):
        out = subprocess.run(self.one, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
        if out.returncode != 0:
            print(f"{self.name} cannot run here: {(out.stderr.strip().splitlines() or ['?'])[-1]}", flush=True)
        return out.returncode == 0

    def run_one(self):
        subprocess.run(self.one, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)

    def end(self):
        pass


class Ours(Peer):
    """`wherry-agent run`: a whole agent that opens its state, makes its pool and ends again, for one
    container. A running agent does that once."""

    def __init__(self, bin_dir, work, layout, image):
        super().__init__("wherry-agent run")
        state = os.path.join(work, "ours")
        agent = os.path.join(bin_dir, "wherry-agent")
        os.makedirs(state, mode=0o700)
        run(agent, "image", "load", layout, "--state", state)
        self.one = [agent, "run", "--image", image, "--user", "0", "--state", state, "--run", os.path.join(work, "ours-run"),
                    "--cgroup", "wherry/bench-one", "--network", "none", "--entrypoint", "/bin/true"]


class Runtime(Peer):
    """runc or crun with its own default bundle, plus user namespace and seccomp."""

    can_stay = True

    def __init__(self, program, work, rootfs):
        super().__init__(program)
        self.program = [program, "--root", os.path.join(work, program + "-root")]
        self.work = work
        self.true, self.sleep = (self.bundle(program, rootfs, words) for words in (["/bin/true"], ["/bin/sleep", "100001"]))
        self.one = [*self.program, "run", "--bundle", self.true, "wherry-bench-one"]
        self.made = []

    def bundle(self, program, rootfs, words):
        path = os.path.join(self.work, f"{program}-{os.path.basename(words[0])}")
        os.makedirs(path)
        run(program, "spec", cwd=path)
        file = os.path.join(path, "config.json")
        with open(file, encoding="utf-8") as f:
            config = json.load(f)
        config["root"] = {"path": rootfs, "readonly": True}
        config["process"].update(terminal=False, args=words)
        config["linux"]["namespaces"].append({"type": "user"})
        whole = [{"containerID": 0, "hostID": 0, "size": 65536}]
        config["linux"].update(uidMappings=whole, gidMappings=whole, seccomp=seccomp_of())
        with open(file, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return path

    def start_many(self, n):
        """Two at a time, as there are two CPUs where these figures come from."""
        self.made = [f"wherry-bench-{i}" for i in range(n)]
        argvs = [[*self.program, "run", "--detach", "--bundle", self.sleep, name] for name in self.made]
        for i in range(0, n, 2):
            pair = [subprocess.Popen(a, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for a in argvs[i:i + 2]]
            for p in pair:
                p.wait()

    def memory_kib(self):
        return 0  # nothing stays but the container

    def remove_many(self):
        for name in self.made:
            run(*self.program, "delete", "--force", name, check=False)

    def end(self):
        self.remove_many()


class Podman(Peer):
    """podman without its network: with conmon, records and restarts."""

    can_stay = can_restart = True

    def __init__(self, work, rootfs):
        super().__init__("podman")
        self.root = os.path.join(work, "podman-root")
        self.program = ["podman", "--root", self.root, "--runroot", os.path.join(work, "podman-run"), "--runtime", "runc",
                        "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        self.had_parent = parents()
        common = ["--ulimit", f"nofile={NOFILE}:{NOFILE}", "--ulimit", f"nproc={NOFILE}:{NOFILE}", "--network", "none", "--rootfs", rootfs]
        self.one = [*self.program, "run", "--rm", *common, "/bin/true"]
        self.stay = [*self.program, "run", "--detach", "--restart", "always", *common, "/bin/sleep", "100002"]

    def start_many(self, n):
        for i in range(0, n, 2):
            pair = [subprocess.Popen(self.stay, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(min(2, n - i))]
            for p in pair:
                p.wait()

    def memory_kib(self):
        return sum(pss_kib(p) for p in os.listdir("/proc") if p.isdigit() and stat_of(p)[0] == "conmon" and self.root in
                   open(f"/proc/{p}/cmdline", encoding="utf-8").read())

    def remove_many(self):
        run(*self.program, "rm", "--force", "--all", "--time", "0", timeout=120, check=False)

    def killed_to_replaced(self, execs, rounds):
        took = []
        for _ in range(rounds):
            name = run(*self.stay).stdout.strip()
            pid = int(run(*self.program, "inspect", "--format", "{{.State.Pid}}", name).stdout)
            execs.drain()
            began = killed_at(pid)
            took.append((execs.next_of("/bin/sleep") - began) / 1e6)
            self.remove_many()
        return took

    def end(self):
        self.remove_many()
        run("umount", os.path.join(self.root, "overlay"), check=False)
        for path in parents() - self.had_parent:
            for d, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(d)


def parents():
    top = "/sys/fs/cgroup"
    return {p for d in os.listdir(top) for p in [os.path.join(top, d, "libpod_parent")] if os.path.isdir(p)}


def applies(includes):
    return not includes.get("caps") and "amd64" in includes.get("arches", ["amd64"])


def seccomp_of():
    """Podman's default profile as an OCI one, for this architecture and no capability."""
    if not os.path.exists(SECCOMP):
        return None
    with open(SECCOMP, encoding="utf-8") as f:
        profile = json.load(f)
    rows = [{"names": r["names"], "action": r["action"], "args": r.get("args") or []}
            for r in profile["syscalls"] if applies(r.get("includes") or {})]
    return {"defaultAction": profile["defaultAction"], "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rows}


@contextlib.contextmanager
def peers_of(bin_dir, work, layout, image, short):
    """The peers that can run here, ours first."""
    bundle = os.path.join(work, "bundle")
    rootfs = os.path.join(bundle, "rootfs")
    found = []
    if not short:
        run("umoci", "unpack", "--image", f"{layout}:{image}", bundle)
        found.append(Ours(bin_dir, work, layout, image))
        found += [Runtime(p, work, rootfs) for p in ("runc", "crun") if shutil.which(p)]
        found += [Podman(work, rootfs)] if shutil.which("podman") else []
    try:
        yield [p for p in found if p.usable()]
    finally:
        for p in found:
            p.end()
