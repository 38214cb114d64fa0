#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names: questions a second of the agent's name server beside dnsmasq's; nothing here passes or fails.

    cmake --preset release -B build/bench -DWHERRY_TESTS=ON && ninja -C build/bench dns_serve dns_load
    sudo tests/bench/dns.py [--build build/bench] [--services 5000] [--rounds 5] [--seconds 3]

Both answer for the same names, in turn, to the same generator of load on the loopback of a network
namespace of its own; only the ratio of one run counts. CPU is the server's own, for each answer:
where there are few cores, the generator may be what limits both."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.realpath(os.path.join(HERE, "..", ".."))
DNSMASQ = "/usr/sbin/dnsmasq"
sys.path.insert(0, HERE)
from probe import cpu_ns  # noqa: E402


def say(what, text):
    print(f"{what + ':':<44} {text}", flush=True)


def address(i):
    return f"10.{240 + (i + 1) // 65536}.{(i + 1) // 256 % 256}.{(i + 1) % 256}"


def ours(tests, services, _work):
    p = subprocess.Popen([f"{tests}/dns_serve", "127.0.0.1", "53", str(services)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    return p


def dnsmasq(_tests, services, work):
    hosts = os.path.join(work, "hosts")
    with open(hosts, "w", encoding="utf-8") as f:
        f.writelines(f"{address(i)} s{i}.shop\n" for i in range(services))
    p = subprocess.Popen(
        [DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--bind-interfaces",
         "--listen-address=127.0.0.2", "--pid-file=", "--user=root", "--log-facility=/dev/null", "--local=/shop/",
         "--local-ttl=3", f"--addn-hosts={hosts}"], stdin=subprocess.PIPE)
    time.sleep(1)
    return p


def one_run(tests, make, server, args, work):
    """(answers a second, ns of CPU for each) of a server that is started for it."""
    p = make(tests, args.services, work)
    try:
        load = [f"{tests}/dns_load", server, "53", str(args.services)]
        subprocess.run([*load, "0.5"], check=True, stdout=subprocess.DEVNULL)
        before = cpu_ns([p.pid])
        out = subprocess.run([*load, str(args.seconds)], check=True, capture_output=True, text=True).stdout
        good, bad, lost, took = (float(v) for v in out.split())
        if bad > 0 or lost > good / 1000:
            print(f"  {make.__name__}: {bad:.0f} answers were no address, {lost:.0f} questions were lost")
        return good / took, (cpu_ns([p.pid]) - before) / good
    finally:
        p.stdin.close()
        if make is dnsmasq:
            p.terminate()
        p.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(TOP, "build/bench"))
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    if os.environ.get("WHERRY_BENCH_DNS") != "inside":
        env = dict(os.environ, WHERRY_BENCH_DNS="inside")
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], env)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    servers = {ours: "127.0.0.1", dnsmasq: "127.0.0.2"}
    if not os.access(DNSMASQ, os.X_OK):
        del servers[dnsmasq]
    rates = {make: [] for make in servers}
    cpus = {make: [] for make in servers}
    with tempfile.TemporaryDirectory(prefix="wherry-bench-dns-") as work:
        for _ in range(args.rounds):
            for make, server in servers.items():
                rate, cpu = one_run(os.path.join(args.build, "tests"), make, server, args, work)
                rates[make].append(rate)
                cpus[make].append(cpu)
    for make in servers:
        say(f"{make.__name__}, {args.services} names",
            f"median {statistics.median(rates[make]):.0f} answers/s ({min(rates[make]):.0f}-{max(rates[make]):.0f}), "
            f"{statistics.median(cpus[make]) / 1000:.2f} us of CPU each")
    if dnsmasq in servers:
        say("ours / dnsmasq", f"{statistics.median(rates[ours]) / statistics.median(rates[dnsmasq]):.2f} x answers, "
            f"{statistics.median(cpus[ours]) / statistics.median(cpus[dnsmasq]):.2f} x CPU for each")


main()
