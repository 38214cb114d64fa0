#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speaks from inside a network namespace (run it by `nsenter -t PID -n`), one JSON object a line:

    inside.py dns NAME [TYPE]             {"rcode": 0, "answers": ["10.240.0.1"], "truncated": false}
    inside.py connect ADDR PORT [WAIT]    {"result": "ok" | "refused" | "timeout" | other, "from": "10.…"}
    inside.py many WAIT ADDR:PORT…        connects to all of them at once: {"10.…:80": "ok", …}
    inside.py get NAME PORT PATH          {"status": 200, "body": "…", "ms": 3, "to": "10.240.0.1"}
    inside.py client NAME PORT PATH WAIT  asks again and again until SIGTERM; then one line of figures
    inside.py serve6 PORT                 answers connections over IPv6 until SIGTERM
    inside.py raw-spoof SOURCE DEST PORT  sends datagrams with somebody else's source address
"""
import errno
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time

GATEWAY = "169.254.1.1"
TYPES = {"A": 1, "PTR": 12, "AAAA": 28, "SRV": 33, "SOA": 6, "ANY": 255, "TXT": 16}


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def read_name(message, at):
    labels, end, hops = [], None, 0
    while True:
        n = message[at]
        if n & 0xc0 == 0xc0:
            end = at + 2 if end is None else end
            at = struct.unpack(">H", message[at:at + 2])[0] & 0x3fff
            hops += 1
            if hops > 50:
                raise ValueError("pointers without end")
        elif n == 0:
            return ".".join(labels), (at + 1 if end is None else end)
        else:
            labels.append(message[at + 1:at + 1 + n].decode())
            at += 1 + n


def read_answers(message):
    questions, answers = struct.unpack(">HH", message[4:8])
    at, found = 12, []
    for _ in range(questions):
        _, at = read_name(message, at)
        at += 4
    for _ in range(answers):
        _, at = read_name(message, at)
        kind, _, ttl, size = struct.unpack(">HHIH", message[at:at + 10])
        at += 10
        data = message[at:at + size]
        if kind == 1:
            found.append(socket.inet_ntoa(data))
        elif kind == 28:
            found.append(socket.inet_ntop(socket.AF_INET6, data))
        elif kind == 12:
            found.append(read_name(message, at)[0])
        elif kind == 33:
            found.append(f"{struct.unpack('>H', data[4:6])[0]} {read_name(message, at + 6)[0]}")
        assert ttl <= 3600
        at += size
    return found


def ask_again(s, question, wait):
    """As resolvers do, by `options timeout:1`: what is not answered within a second is asked again."""
    until = time.monotonic() + wait
    while True:
        left = until - time.monotonic()
        s.settimeout(max(min(left, 1.0), 0.001))
        s.send(question)
        try:
            return s.recv(65535)
        except TimeoutError:
            if left <= 1.0:
                raise


def ask(name, kind="A", wait=2.0, server=GATEWAY, tcp=False):
    ident = random.getrandbits(16)
    question = struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack(">HH", TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(wait)
        try:
            s.connect((server, 53))
            if tcp:
                s.sendall(struct.pack(">H", len(question)) + question)
                size = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
                message = s.recv(size, socket.MSG_WAITALL)
            else:
                message = ask_again(s, question, wait)
        except OSError as e:
            return {"error": type(e).__name__}
    assert struct.unpack(">H", message[:2])[0] == ident
    flags = struct.unpack(">H", message[2:4])[0]
    return {"rcode": flags & 15, "answers": read_answers(message), "truncated": bool(flags & 0x200)}


def connect(address, port, wait=1.0):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.settimeout(wait)
        try:
            s.connect((address, port))
            return {"result": "ok", "from": s.getsockname()[0]}
        except TimeoutError:
            return {"result": "timeout"}
        except ConnectionRefusedError:
            return {"result": "refused"}
        except OSError as e:
            return {"result": os.strerror(e.errno)}


def many(wait, targets):
    """All connections at once; what is not decided by then has timed out."""
    found, going, poll = {}, {}, select.poll()
    for target in targets:
        address, port = target.rsplit(":", 1)
        s = socket.socket()
        s.setblocking(False)
        code = s.connect_ex((address, int(port)))
        going[s.fileno()] = (target, s)
        if code in (0, errno.EINPROGRESS):
            poll.register(s, select.POLLOUT)
        else:
            found[target] = os.strerror(code)
    end = time.monotonic() + wait
    while len(found) < len(targets) and time.monotonic() < end:
        for number, _ in poll.poll(max(1, int((end - time.monotonic()) * 1000))):
            target, s = going[number]
            poll.unregister(number)
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[target] = {0: "ok", errno.ECONNREFUSED: "refused"}.get(code, os.strerror(code))
    return {target: found.get(target, "timeout") for target in targets}


def get(name, port, path, wait=3.0):
    began = time.monotonic()
    try:
        if name.replace(".", "").isdigit():
            address = name
        else:
            answer = ask(name, wait=5.0)
            if not answer.get("answers"):
                return {"error": f"name: {answer}", "ms": round((time.monotonic() - began) * 1000)}
            address = answer["answers"][0]
        with socket.create_connection((address, port), timeout=wait) as s:
            s.settimeout(wait)
            s.sendall(f"GET {path} HTTP/1.0\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while piece := s.recv(65536):
                data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        return {"status": int(head.split()[1]), "body": body.decode(errors="replace"), "to": address,
                "ms": round((time.monotonic() - began) * 1000)}
    except (OSError, IndexError, ValueError) as e:
        return {"error": f"{type(e).__name__}: {e}", "ms": round((time.monotonic() - began) * 1000)}


def client(name, port, path, wait):
    """One request after the other; at the end how many failed, and the slowest."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    count, failed, slowest, bodies = 0, [], 0, {}
    while going:
        at = time.time()
        got = get(name, port, path, wait)
        count += 1
        slowest = max(slowest, got["ms"])
        if got.get("status") == 200:
            bodies[got["body"].strip()] = bodies.get(got["body"].strip(), 0) + 1
        else:
            failed.append([at, got])
        time.sleep(0.01)
    print(json.dumps({"count": count, "failed": len(failed), "slowest_ms": slowest, "bodies": bodies, "first": failed[:20]}), flush=True)


def serve6(port):
    with socket.create_server(("::", port), family=socket.AF_INET6) as s:
        print("listening", flush=True)
        while True:
            s.accept()[0].close()


def spoof(source, dest, port):
    payload = b"borrowed"
    udp = struct.pack(">HHHH", 5353, port, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(dest))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        for _ in range(5):
            s.sendto(ip + udp, (dest, 0))
    return {"sent": 5}


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "dns":
        print(json.dumps(ask(args[0], args[1] if len(args) > 1 else "A", tcp="tcp" in args[2:])))
    elif what == "connect":
        print(json.dumps(connect(args[0], int(args[1]), float(args[2]) if len(args) > 2 else 1.0)))
    elif what == "many":
        print(json.dumps(many(float(args[0]), args[1:])))
    elif what == "get":
        print(json.dumps(get(args[0], int(args[1]), args[2])))
    elif what == "client":
        client(args[0], int(args[1]), args[2], float(args[3]))
    elif what == "serve6":
        serve6(int(args[0]))
    elif what == "raw-spoof":
        print(json.dumps(spoof(args[0], args[1], int(args[2]))))
    else:
        sys.exit(f"inside.py: unknown word {what}")


main()
