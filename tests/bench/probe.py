# SPDX-License-Identifier: Apache-2.0
"""What the kernel says: memory and CPU of our processes, and which process has executed what, when."""
import os
import signal
import socket
import struct
import time

NAMES = ("wherry-agent", "wherry-shim", "wherry-worker", "wherry-controll", "memfd:wherry-s")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def stat_of(pid):
    """(name, fields after it) of /proc/PID/stat; fields[1] is the parent."""
    text = read(f"/proc/{pid}/stat")
    return text[text.find("(") + 1:text.rfind(")")], text.rpartition(")")[2].split()


def ours(c):
    """The pids of our own processes: the daemons and their descendants, and every shim (whose
    parent the agent may have been), without what runs in a container."""
    roots = {c.controller.pid} | {h.agent.pid for h in c.hosts.values()}
    all_of = {int(p): stat_of(p) for p in os.listdir("/proc") if p.isdigit()}
    found = set()
    for pid, (name, _) in all_of.items():
        up = pid
        while up in all_of and up > 1 and up not in roots:
            up = int(all_of[up][1][1]) if all_of[up][1] else 0
        if up in roots and (name in NAMES or stat_of_parent_is_daemon(all_of, pid)):
            found.add(pid)
    return found


def stat_of_parent_is_daemon(all_of, pid):
    """A helper that is not our program (nft), told from a container by its parent."""
    fields = all_of[pid][1]
    parent = int(fields[1]) if fields else 0
    return all_of.get(parent, ("",))[0] in ("wherry-agent", "wherry-controll")


def pss_kib(pid):
    return sum(int(l.split()[1]) for l in read(f"/proc/{pid}/smaps_rollup").splitlines() if l.startswith("Pss:"))


def cpu_ns(pids):
    """Time on a CPU, of all threads, from the scheduler's own account (ticks are too coarse)."""
    total = 0
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for t in threads:
            total += int((read(f"/proc/{pid}/task/{t}/schedstat").split() or [0])[0])
    return total


def dead(c):
    """CPU of the children that our daemons have reaped (probes in a container), in ns."""
    total = 0
    for d in [c.controller] + [h.agent for h in c.hosts.values()]:
        fields = stat_of(d.pid)[1]
        total += int(fields[13]) + int(fields[14]) if fields else 0
    return total * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def killed_at(pid):
    now = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    return now


class Execs:
    """The kernel's process events (connector, Documentation/driver-api/connector.rst): each exec of
    this machine with the monotonic time at which it happened, so that nothing is polled."""

    EXEC = 2
    LISTEN, IGNORE = 1, 2

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((0, 1))

    def tell(self, op):
        body = struct.pack("=IIIIHHI", 1, 1, 0, 0, 4, 0, op)
        self.socket.send(struct.pack("=IHHII", 16 + len(body), 3, 0, 0, os.getpid()) + body)

    def __enter__(self):
        self.tell(self.LISTEN)
        return self

    def __exit__(self, *_):
        self.tell(self.IGNORE)
        self.socket.close()

    def drain(self):
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:  # some were lost: there were too many
            return self.drain()

    def next_of(self, argv0, timeout=10):
        """The time of the next exec whose command line begins with argv0, in monotonic ns."""
        self.socket.settimeout(timeout)
        while True:
            data = self.socket.recv(4096)
            what, _, at, pid = struct.unpack_from("=IIQI", data, 36)
            if what == self.EXEC and read(f"/proc/{pid}/cmdline").split("\0")[0] == argv0:
                return at
