#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile images against the real worker: each is loaded by `image load` and must either give a
clean error that names what is wrong, or be harmless. After every case a canary tree beside the
store, and the rest of the file system that an escape would reach first, must be as before.

usage: hostile_images.py IMAGE-CMD WORKER [--long]       (root; exit 77: cannot run here)
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# ---- tar, by hand: Python's own writer refuses much of what is wanted here ----

def octal(value, width):
    if value < 0 or value >= 8 ** (width - 1):
        return (b"\x80" if value >= 0 else b"\xff") + value.to_bytes(width - 1, "big", signed=True)
    return b"%0*o\0" % (width - 1, value)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, link=b"", magic=b"ustar\x0000",
           major=0, minor=0, prefix=b"", raw_size=None, mtime=0):
    if isinstance(name, str):
        name = name.encode()
    if isinstance(link, str):
        link = link.encode()
    h = bytearray(512)
    h[0:100] = name[:100].ljust(100, b"\0")
    h[100:108] = octal(mode, 8)
    h[108:116] = octal(uid, 8)
    h[116:124] = octal(gid, 8)
    h[124:136] = raw_size if raw_size is not None else octal(size, 12)
    h[136:148] = octal(mtime, 12)
    h[156:157] = kind
    h[157:257] = link[:100].ljust(100, b"\0")
    h[257:265] = magic
    h[329:337] = octal(major, 8)
    h[337:345] = octal(minor, 8)
    h[345:500] = prefix[:155].ljust(155, b"\0")
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def pad(data):
    return data + b"\0" * (-len(data) % 512)


def entry(name, data=b"", **kw):
    return header(name, size=len(data), **kw) + pad(data)


def pax(records, name, data=b"", **kw):
    body = b""
    for key, value in records:
        if isinstance(value, str):
            value = value.encode()
        rest = b" " + key.encode() + b"=" + value + b"\n"
        n = len(rest) + 1
        while len(b"%d" % n) + len(rest) != n:
            n = len(b"%d" % n) + len(rest)
        body += b"%d" % n + rest
    return header("PaxHeaders/x", kind=b"x", size=len(body)) + pad(body) + entry(name, data, **kw)


def longname(name, data=b"", **kw):
    body = name.encode() + b"\0"
    return header("././@LongLink", kind=b"L", size=len(body)) + pad(body) + entry(name, data, **kw)


def directory(name, **kw):
    return entry(name, kind=b"5", **{"mode": 0o755, **kw})


def symlink(name, target, **kw):
    return entry(name, kind=b"2", link=target, **kw)


def hardlink(name, target, **kw):
    return entry(name, kind=b"1", link=target, **kw)


END = b"\0" * 1024


# ---- layouts ----

class Layout:
    """An OCI layout whose documents a case may bend before it is written."""

    def __init__(self, *layers):
        self.layers = [l if isinstance(l, tuple) else (l, LAYER, l) for l in layers]
        self.config = {"os": "linux", "architecture": ARCH,
                       "rootfs": {"type": "layers", "diff_ids": [sha(p) for _, _, p in self.layers]},
                       "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}}
        self.edit_manifest = self.edit_index = lambda d: d
        self.raw_config = self.raw_manifest = self.raw_index = None
        self.after = lambda path: None

    def blob(self, path, data):
        with open(os.path.join(path, "blobs/sha256", sha(data)[7:]), "wb") as f:
            f.write(data)
        return {"digest": sha(data), "size": len(data)}

    def write(self, path):
        os.makedirs(os.path.join(path, "blobs/sha256"))
        with open(os.path.join(path, "oci-layout"), "w") as f:
            f.write('{"imageLayoutVersion": "1.0.0"}')
        config = self.raw_config or json.dumps(self.config).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": {"mediaType": CONFIG, **self.blob(path, config)},
                    "layers": [{"mediaType": t, **self.blob(path, d)} for d, t, _ in self.layers]}
        manifest = self.raw_manifest or json.dumps(self.edit_manifest(manifest)).encode()
        index = {"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST, **self.blob(path, manifest),
             "annotations": {"org.opencontainers.image.ref.name": "hostile:1"}}]}
        index = self.raw_index or json.dumps(self.edit_index(index)).encode()
        with open(os.path.join(path, "index.json"), "wb") as f:
            f.write(index)
        self.after(path)


# ---- running ----

class Bench:
    def __init__(self, command, worker):
        self.command, self.worker = command, worker
        self.dir = tempfile.mkdtemp(prefix="wherry-hostile-")
        self.canary = os.path.join(self.dir, "canary")
        os.mkdir(self.canary)
        for name in ("passwd", "victim"):
            with open(os.path.join(self.canary, name), "w") as f:
                f.write("untouched\n")
        self.before = self.snapshot()
        self.failed = []
        self.passed = 0

    def snapshot(self):
        seen = {}
        for root in (self.canary, "/etc", "/root", "/"):
            for base, dirs, files in os.walk(root):
                for name in dirs + files:
                    if root == "/" and name in ("proc", "sys", "tmp", "run", "dev"):
                        continue
                    path = os.path.join(base, name)
                    try:
                        st = os.lstat(path)
                    except FileNotFoundError:
                        continue
                    seen[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_nlink,
                                  st.st_mtime_ns)
                if root != self.canary:
                    break
        return seen

    def run(self, *args, timeout=120):
        return subprocess.run([self.command, "image", *args], capture_output=True, timeout=timeout,
                              text=True, errors="replace")

    def load(self, source, state, *args):
        return self.run("load", source, "--state-dir", state, "--worker", self.worker, *args)

    def check(self, name, ok, detail):
        if ok:
            self.passed += 1
        else:
            self.failed.append(name)
            print(f"FAILED {name}: {detail}")

    def case(self, name, image, error=None, tree=None):
        """`error`: a pattern the message must match; else `tree` is called with the layer's path."""
        here = os.path.join(self.dir, "case")
        source, state = os.path.join(here, "source"), os.path.join(here, "state")
        os.makedirs(here)
        if isinstance(image, Layout):
            image.write(source)
        elif callable(image):
            image(source)
        else:
            Layout(image).write(source)
        result = self.load(source, state)
        if error is not None:
            ok = result.returncode == 1 and re.search(error, result.stderr)
            self.check(name, ok, f"wanted error /{error}/, got {result.returncode}: {result.stderr}")
            left = os.listdir(os.path.join(state, "images/layers"))
            self.check(name + " (nothing left)", left == [] and
                       not os.path.exists(os.path.join(state, "images/staging")), f"left {left}")
        else:
            layer = os.path.join(state, "images/layers/1")
            self.check(name, result.returncode == 0, f"got {result.returncode}: {result.stderr}")
            if result.returncode == 0 and tree is not None:
                why = tree(layer)
                self.check(name + " (tree)", why in (True, None), f"tree is wrong: {why}")
            for digest in self.run("ls", "-q", "--state-dir", state).stdout.split():
                self.run("rm", digest, "--state-dir", state)
            left = [os.listdir(os.path.join(state, "images", d)) for d in ("layers", "trash")]
            self.check(name + " (removed)", left == [[], []], f"left {left}")
        self.check(name + " (canary)", self.snapshot() == self.before, "the canary was touched")
        shutil.rmtree(here)


def content(path):
    with open(path, "rb") as f:
        return f.read()


def is_whiteout(path):
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def layers_of_tar(bench):
    """Cases about one layer: (name, bytes, error pattern or None, tree check)."""
    canary = bench.canary
    victim = os.path.join(canary, "victim")
    huge = b"\x80" + (2 ** 62).to_bytes(11, "big")
    negative = b"\xff" * 12

    yield "dotdot", entry("../x", b"x") + END, r"entry '\.\./x': name has a '\.\.'", None
    yield "dotdot inside", entry("a/../../x", b"x") + END, r"'\.\.' part", None
    yield "absolute", entry(victim, b"x") + END, r"name is absolute", None
    yield "absolute directory", directory("/etc") + END, r"name is absolute", None
    yield ("symlink then write through", symlink("a", canary) + entry("a/victim", b"x") + END,
           r"'a/victim'", None)
    yield ("symlink up then write through", directory("d") + symlink("d/a", "../../../../../../..")
           + entry("d/a/etc/x", b"x") + END, None,
           lambda t: content(t + "/etc/x") == b"x")
    yield ("symlink inside is followed", directory("usr/lib") + symlink("lib", "usr/lib")
           + entry("lib/x", b"x") + END, None, lambda t: content(t + "/usr/lib/x") == b"x")
    yield ("absolute symlink inside", directory("usr") + symlink("l", "/usr")
           + entry("l/x", b"x") + END, None, lambda t: content(t + "/usr/x") == b"x")
    yield ("symlink loop", symlink("a", "b") + symlink("b", "a") + entry("a/x", b"x") + END,
           r"'a/x'", None)
    yield ("symlink replaced by file", symlink("a", victim) + entry("a", b"mine") + END, None,
           lambda t: content(t + "/a") == b"mine")
    yield ("symlink to proc", symlink("p", "/proc/self/root") + entry("p/etc/x", b"x") + END,
           r"'p/etc/x'", None)
    yield ("hardlink to outside", hardlink("h", "../../canary/victim") + END, r"hard link target", None)
    yield ("hardlink to absolute", hardlink("h", victim) + END, r"'h'", None)
    yield ("hardlink through symlink", symlink("d", canary) + hardlink("h", "d/victim") + END,
           r"'h'", None)
    yield ("hardlink to symlink", symlink("s", victim) + hardlink("h", "s") + END, None,
           lambda t: os.path.islink(t + "/h"))
    yield ("write after hardlink to symlink", symlink("s", victim) + hardlink("h", "s")
           + entry("h", b"mine") + END, None, lambda t: content(t + "/h") == b"mine")
    yield ("hardlink to directory", directory("d") + hardlink("h", "d") + END, r"'h'", None)
    yield ("hardlink", entry("a", b"x") + directory("z") + hardlink("z/b", "a") + END, None,
           lambda t: os.lstat(t + "/a").st_nlink == 2)
    yield ("hardlink to itself", entry("a", b"x") + hardlink("a", "a") + END, r"'a'", None)
    yield ("whiteout", entry("d/.wh.gone") + END, None, lambda t: is_whiteout(t + "/d/gone"))
    yield ("whiteout via symlinked parent", symlink("d", canary) + entry("d/.wh.victim") + END,
           r"'d/.wh.victim'", None)
    yield ("whiteout of dotdot", entry(".wh...") + END, r"whiteout of nothing", None)
    yield ("whiteout of dot", entry("d/.wh..") + END, r"whiteout of nothing", None)
    yield ("whiteout of nothing", entry(".wh.") + END, r"whiteout of nothing", None)
    yield ("whiteout beside its file", entry("a", b"x") + entry(".wh.a") + END, None,
           lambda t: content(t + "/a") == b"x")
    yield ("whiteout, then a directory", entry(".wh.d") + directory("d") + entry("d/x", b"x") + END,
           None, lambda t: os.getxattr(t + "/d", "user.overlay.opaque") == b"y")
    yield ("opaque", directory("d") + entry("d/.wh..wh..opq") + END, None,
           lambda t: os.getxattr(t + "/d", "user.overlay.opaque") == b"y")
    yield ("opaque on a symlink", symlink("d", canary) + entry("d/.wh..wh..opq") + END,
           r"'d/.wh..wh..opq'", None)
    yield ("private marks of aufs", entry(".wh..wh.plnk/1") + entry(".wh..wh.aufs") + entry("x", b"x")
           + END, None, lambda t: not is_whiteout(t + "/x"))
    yield ("device nodes", entry("sda", kind=b"4", major=8) + entry("mem", kind=b"3", major=1, minor=1)
           + entry("fakewhite", kind=b"3") + entry("x", b"x") + END, None,
           lambda t: os.listdir(t) == ["x"])
    yield ("setuid", entry("su", b"x", mode=0o6755) + END, None,
           lambda t: os.lstat(t + "/su").st_mode & 0o7777 == 0o6755)
    yield ("fifo", entry("p", kind=b"6", mode=0o600) + END, None,
           lambda t: stat.S_ISFIFO(os.lstat(t + "/p").st_mode))
    yield ("duplicate entries", entry("a", b"1") + entry("a", b"2") + END, None,
           lambda t: content(t + "/a") == b"2")
    yield ("file replaces directory", directory("d") + entry("d/x") + entry("d", b"x") + END,
           r"not empty", None)
    yield ("empty directory replaced", directory("d") + symlink("d", canary) + entry("d/victim", b"x")
           + END, r"'d/victim'", None)
    yield ("file as directory", entry("d", b"x") + entry("d/x", b"x") + END, r"'d/x'", None)
    yield "file named like the root", entry("./", b"x") + END, r"damaged|name is empty", None
    yield ("root entry", directory("./", mode=0o700, uid=7) + entry("x") + END, None,
           lambda t: os.lstat(t).st_uid == 7 and os.lstat(t).st_mode & 0o777 == 0o700)
    yield "zero-length name", entry(b"") + END, r".", None
    yield ("name of 5,000 bytes", longname("/".join(["a" * 99] * 50), b"x") + END, r"longer than", None)
    yield ("part of 300 bytes", longname("a" * 300, b"x") + END, r"longer than 255", None)
    yield ("deep path", longname("/".join(["d"] * 1500), b"x") + END, None,
           lambda t: os.path.isdir(t + "/d/d/d"))
    yield ("not UTF-8", entry(b"\xff\xfe\xfd", b"x") + END, None,
           lambda t: os.listdir(t.encode()) == [b"\xff\xfe\xfd"])
    yield ("not UTF-8 in pax", pax([("path", b"\xff\xfe")], "x", b"x") + END, None,
           lambda t: True)
    yield ("UTF-8", pax([("path", "gr\u00fc\u00dfe")], "x", b"x") + END, None,
           lambda t: content(t + "/gr\u00fc\u00dfe") == b"x")
    yield ("NUL in pax path", pax([("path", b"a\0../../x")], "x", b"x") + END, None,
           lambda t: sorted(os.listdir(t)) == ["a"])
    yield ("dotdot in pax path", pax([("path", "../../x")], "x", b"x") + END, r"'\.\.'", None)
    yield ("pax link path", pax([("linkpath", "../../../x")], "h", kind=b"1") + END, r"'h'", None)
    yield ("terminal codes in name", entry(b"../\x1b[31mred", b"x") + END, r"\?\[31mred", None)
    yield ("size override", pax([("size", "1024")], "a", b"x" * 512) + entry("b", b"y") + END,
           r".", None)
    yield ("size override, negative", pax([("size", "-5")], "a", b"x") + END, r".", None)
    yield ("size negative", header("a", raw_size=negative) + END, r".", None)
    yield ("size of 2^62", header("a", raw_size=huge) + END, r"GiB|damaged|truncated", None)
    yield ("size octal overflow", header("a", raw_size=b"777777777777") + END,
           r"damaged|truncated|GiB", None)
    yield ("size not a number", header("a", raw_size=b"x" * 12) + END, r"damaged", None)
    yield ("sparse", pax([("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"),
                          ("GNU.sparse.name", "s"), ("GNU.sparse.realsize", "1048576")],
                         "GNUSparseFile.0/s", pad(b"1\n1048574\n2\n") + b"ab") + END, None,
           lambda t: os.lstat(t + "/s").st_size == 1048576 and os.lstat(t + "/s").st_blocks < 64)
    yield ("sparse of 2^60", pax([("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"),
                                  ("GNU.sparse.name", "s"), ("GNU.sparse.realsize", str(2 ** 60))],
                                 "GNUSparseFile.0/s", pad(b"1\n%d\n2\n" % (2 ** 60 - 2)) + b"ab")
           + END, r"GiB", None)
    yield ("owner 65535", entry("a", uid=65535, gid=65535) + END, None,
           lambda t: os.lstat(t + "/a").st_uid == 65535)
    yield ("owner 65536", entry("a", uid=65536) + END, r"65536:0 \(allowed: 0 to 65535\)", None)
    yield ("owner negative", pax([("uid", "-1")], "a") + END, r"allowed: 0 to 65535|damaged", None)
    yield ("owner of 2^40", pax([("gid", str(2 ** 40))], "a") + END, r"allowed: 0 to 65535", None)
    yield ("time of 2^60", entry("a", b"x", mtime=2 ** 60) + END, None, None)
    yield ("symlink to nothing", symlink("a", "") + END, r"link to nothing", None)
    yield ("long symlink", pax([("linkpath", "x" * 5000)], "a", kind=b"2") + END, r"'a'", None)
    yield ("file capability", pax([("SCHILY.xattr.security.capability",
                                    struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))],
                                  "ping", b"x", mode=0o755) + END, None,
           lambda t: "security.capability" in os.listxattr(t + "/ping"))
    yield ("attributes of overlayfs and trusted", pax(
        [("SCHILY.xattr.trusted.overlay.opaque", "y"), ("SCHILY.xattr.user.overlay.opaque", "y"),
         ("SCHILY.xattr.user.overlay.redirect", "/etc"), ("SCHILY.xattr.security.selinux", "x"),
         ("SCHILY.xattr.system.posix_acl_access", "x"), ("SCHILY.xattr.user.fine", "1")],
        "d", kind=b"5", mode=0o755) + END, None,
        lambda t: os.listxattr(t + "/d") == ["user.fine"] or os.listxattr(t + "/d"))
    yield ("too many attributes", pax([("SCHILY.xattr.user.a%d" % i, "1") for i in range(100)], "a")
           + END, r"extended attributes", None)
    yield ("trailing junk", entry("a", b"x") + END + b"junk" * 1000, None,
           lambda t: os.listdir(t) == ["a"])
    yield ("no end", entry("a", b"x"), None, None)
    yield ("not a tar", b"this is no tar archive at all" * 100, r"damaged|archive", None)
    yield ("empty", END, None, lambda t: os.listdir(t) == [])
    whole = entry("a", b"x" * 700) + longname("b" * 120, b"y") + pax([("path", "c")], "c", b"z") + END
    for cut in range(0, len(whole) - 1024, 512):
        yield f"truncated at {cut}", whole[:cut + 100], None if cut >= len(whole) - 1024 else "", None


def bomb():
    """A layer of 40 KiB that would become 300 GiB of zeros."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as z:
        z.write(header("zeros", size=7 * 1024 ** 3))
        for _ in range(512):
            z.write(b"\0" * (1 << 20))
    return out.getvalue()


def layer_cases(bench):
    for name, data, error, tree in layers_of_tar(bench):
        if error == "":
            error = r"damaged|archive|name"
        bench.case(name, data, error, tree)
    stored = bomb()
    image = Layout((stored, LAYER + "+gzip", b"whatever"))
    bench.case("bomb", image, r"bomb")
    if bench.long:
        many = b"".join(header("f%07d" % i) for i in range(1000001)) + END
        bench.case("more than a million files",
                   Layout((gzip.compress(many, 1), LAYER + "+gzip", many)),
                   r"more than 1000000 entries")
    small = gzip.compress(entry("a", b"x") + END, mtime=0)
    plain = entry("a", b"x") + END
    bench.case("gzip", Layout((small, LAYER + "+gzip", plain)), None, lambda t: True)
    bench.case("two gzip members", Layout((small + gzip.compress(b"\0" * 512), LAYER + "+gzip",
                                           plain + b"\0" * 512)), None, lambda t: True)
    bench.case("junk behind gzip", Layout((small + b"junk", LAYER + "+gzip", plain)), r"gzip|trailing")
    bench.case("truncated gzip", Layout((small[:-4], LAYER + "+gzip", plain)), r"truncated")
    if shutil.which("zstd"):
        z = subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True).stdout
        bench.case("zstd", Layout((z, LAYER + "+zstd", plain)), None, lambda t: True)
        bench.case("truncated zstd", Layout((z[:-3], LAYER + "+zstd", plain)), r"truncated|damaged")
        bench.case("junk behind zstd", Layout((z + b"junk!", LAYER + "+zstd", plain)), r"zstd")


def document_cases(bench):
    good = entry("a", b"x") + END

    def with_manifest(**change):
        image = Layout(good)
        image.edit_manifest = lambda d: {**d, **change}
        return image

    def with_layer(**change):
        image = Layout(good)
        image.edit_manifest = lambda d: {**d, "layers": [{**d["layers"][0], **change}]}
        return image

    def with_index(edit):
        image = Layout(good)
        image.edit_index = edit
        return image

    def with_config(**change):
        image = Layout(good)
        image.config.update(change)
        return image

    def with_process(**change):
        image = Layout(good)
        image.config["config"].update(change)
        return image

    bench.case("good", Layout(good), None, lambda t: content(t + "/a") == b"x")
    bench.case("layer digest wrong", with_layer(digest="sha256:" + "0" * 64), r"no file")
    bench.case("layer size wrong", with_layer(size=1), r"bytes, the manifest says 1")
    bench.case("size negative", with_layer(size=-1), r"'size' is not a whole number")
    bench.case("size 1e308", with_layer(size=1e308), r"'size' is not a whole number")
    bench.case("md5", with_layer(digest="md5:" + "0" * 32), r"allowed: sha256")
    bench.case("unknown algorithm", with_layer(digest="x:y"), r"allowed: sha256")
    bench.case("digest with a path", with_layer(digest="sha256:../../../../etc/passwd"), r"allowed: sha256")
    bench.case("wrong media type", with_layer(mediaType="text/plain"), r"media type 'text/plain'")
    bench.case("foreign layer", with_layer(
        mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), r"media type")
    bench.case("10,000 layers", with_manifest(layers=[{"mediaType": LAYER, "digest": sha(good),
                                                        "size": len(good)}] * 10000),
               r"10000 elements \(allowed: 128\)")
    bench.case("no layers", with_manifest(layers=[]), r"'layers' is missing or empty")
    bench.case("layers and diff ids differ", with_manifest(layers=[
        {"mediaType": LAYER, "digest": sha(good), "size": len(good)}] * 2), r"2 layers, the config")
    bench.case("schema 1", with_manifest(schemaVersion=1), r"'schemaVersion' is 1")
    image = Layout(good)
    image.raw_manifest = b'{"schemaVersion":2,"schemaVersion":2}'
    bench.case("duplicate keys", image, r"duplicate")
    for depth in (65, 10000):
        image = Layout(good)
        image.raw_manifest = b'{"x":' + b"[" * depth + b"]" * depth + b"}"
        bench.case(f"depth {depth}", image, r"nested deeper than 64")
    image = Layout(good)
    image.raw_manifest = b'{"x":1e999}'
    bench.case("1e999", image, r"JSON is wrong")
    image = Layout(good)
    image.raw_manifest = b'{"x":"' + b"a" * (5 << 20) + b'"}'
    bench.case("manifest of 5 MiB", image, r"allowed: 4194304")
    image = Layout(good)
    image.raw_config = json.dumps({**image.config, "x": "a" * (2 << 20)}).encode()
    bench.case("configuration of 2 MiB", image, r"allowed: 1048576")
    image = Layout(good)
    image.raw_index = b"\xff\xfe{}"
    bench.case("index not UTF-8", image, r"JSON is wrong")
    bench.case("index empty", with_index(lambda d: {**d, "manifests": []}), r"has no image")
    bench.case("index without manifests", with_index(lambda d: {"schemaVersion": 2}), r"has no image")
    bench.case("other platform", with_index(lambda d: {**d, "manifests": [
        {**d["manifests"][0], "platform": {"os": "linux", "architecture": "m68k"}}]}),
        r"no image for linux/.*it has: linux/m68k")
    bench.case("other platform in the configuration", with_config(architecture="m68k"),
               r"image is for linux/m68k")
    bench.case("index names a layer", with_index(lambda d: {**d, "manifests": [
        {**d["manifests"][0], "mediaType": LAYER}]}), r"neither an index nor")
    bench.case("bad name", with_index(lambda d: {**d, "manifests": [
        {**d["manifests"][0], "annotations": {"org.opencontainers.image.ref.name": "../../x:1"}}]}),
        r"image name '../../x:1'")
    bench.case("diff id wrong", with_config(rootfs={"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}),
               r"unpacks to sha256:.*, the configuration says")
    bench.case("no rootfs", with_config(rootfs=None), r"'rootfs' is missing")
    bench.case("environment without =", with_process(Env=["PATH"]), r"'Env'\[0\]")
    bench.case("environment with NUL", with_process(Env=["A=b\0c"]), r"JSON is wrong")
    bench.case("environment of 2,000", with_process(Env=["A=b"] * 2000), r"'Env' has 2000")
    bench.case("relative working directory", with_process(WorkingDir="../x"), r"'WorkingDir'")
    bench.case("unknown signal", with_process(StopSignal="SIGNONE"), r"'StopSignal'")
    bench.case("relative volume", with_process(Volumes={"etc": {}}), r"'Volumes'")
    bench.case("odd health check", with_process(Healthcheck={"Test": ["RUN", "x"]}), r"Healthcheck")
    bench.case("command not a list", with_process(Cmd="sh"), r"'Cmd' is not an array")
    bench.case("config not an object", with_config(config=[1]), r"'config' is not an object")
    named = lambda d: {**d, "manifests": [{**d["manifests"][0], "annotations": {
        "io.containerd.image.name": "docker.io/library/named:7",
        "org.opencontainers.image.ref.name": "7"}}]}
    bench.case("named as Docker does", with_index(named), None,
               lambda t: "named:7" in bench.run("ls", "--state-dir", t[:-16]).stdout)
    bench.case("reserved words in labels", with_process(Labels={
        "wherry.privileged": "true", "io.wherry.mounts": "/:/host"}), None, lambda t: True)

    def cyclic(path):
        # A digest cannot contain itself; the nearest thing is a long chain.
        image = Layout(good)
        image.write(path)
        with open(os.path.join(path, "index.json")) as f:
            document = json.load(f)
        for _ in range(10):
            data = json.dumps(document).encode()
            document = {"schemaVersion": 2, "manifests": [{"mediaType": INDEX, **image.blob(path, data)}]}
        with open(os.path.join(path, "index.json"), "w") as f:
            json.dump(document, f)
    bench.case("index in index in index …", cyclic, r"nested deeper than 4")

    def blob_link(path):
        image = Layout(good)
        image.write(path)
        blob = os.path.join(path, "blobs/sha256", sha(good)[7:])
        os.unlink(blob)
        os.symlink(os.path.join(bench.canary, "victim"), blob)
    bench.case("blob is a symlink", blob_link, r"open 'blobs")

    def blob_fifo(path):
        image = Layout(good)
        image.write(path)
        blob = os.path.join(path, "blobs/sha256", sha(good)[7:])
        os.unlink(blob)
        os.mkfifo(blob)
    bench.case("blob is a FIFO", blob_fifo, r"is not a file")
    bench.case("an empty directory", os.makedirs, r"is no image")

    for which in ("index.json", "manifest", "config", "layer"):
        flip_cases(bench, good, which)


def flip_cases(bench, good, which):
    """One bit flipped in each of some bytes of each file: an error, or (outside of what digests
    cover, in the index) still the right image."""
    probe = os.path.join(bench.dir, "probe")
    image = Layout(good)
    image.write(probe)
    with open(os.path.join(probe, "index.json")) as f:
        manifest = json.load(f)["manifests"][0]["digest"][7:]
    with open(os.path.join(probe, "blobs/sha256", manifest)) as f:
        document = json.load(f)
    files = {"index.json": "index.json", "manifest": "blobs/sha256/" + manifest,
             "config": "blobs/sha256/" + document["config"]["digest"][7:],
             "layer": "blobs/sha256/" + document["layers"][0]["digest"][7:]}
    size = os.path.getsize(os.path.join(probe, files[which]))
    for at in range(0, size, max(1, size // 12)):
        data = bytearray(content(os.path.join(probe, files[which])))
        data[at] ^= 1 << (at % 8)
        with open(os.path.join(probe, files[which]), "wb") as f:
            f.write(data)
        state = os.path.join(bench.dir, "flip")
        result = bench.load(probe, state)
        if which == "index.json":
            ok = result.returncode in (0, 1)
        else:
            ok = result.returncode == 1 and "sha256" in result.stderr
        bench.check(f"bit flipped in {which} at {at}", ok, result.stderr)
        shutil.rmtree(state, ignore_errors=True)
        data[at] ^= 1 << (at % 8)
        with open(os.path.join(probe, files[which]), "wb") as f:
            f.write(data)
    shutil.rmtree(probe)


def archive_cases(bench):
    """Whole archives: docker save, odd members, junk."""
    here = os.path.join(bench.dir, "archives")
    os.makedirs(here)
    layer = entry("a", b"x") + END
    config = json.dumps({"os": "linux", "architecture": ARCH,
                         "rootfs": {"type": "layers", "diff_ids": [sha(layer)]}}).encode()
    name = sha(config)[7:] + ".json"

    def save(manifest, *members):
        return (entry(name, config) + b"".join(members)
                + entry("manifest.json", json.dumps(manifest).encode()) + END)

    def load(title, data, error):
        path, state = os.path.join(here, "a.tar"), os.path.join(here, "state")
        with open(path, "wb") as f:
            f.write(data)
        result = bench.load(path, state)
        ok = result.returncode == 0 if error is None else (
            result.returncode == 1 and re.search(error, result.stderr))
        bench.check(title, ok, f"{result.returncode}: {result.stderr}")
        shutil.rmtree(state, ignore_errors=True)
        bench.check(title + " (canary)", bench.snapshot() == bench.before, "the canary was touched")

    one = [{"Config": name, "RepoTags": ["x:1"], "Layers": ["1/layer.tar"]}]
    load("save", save(one, entry("1/layer.tar", layer)), None)
    load("save, layer by symlink", save(one, entry("2/layer.tar", layer),
                                        symlink("1/layer.tar", "../2/layer.tar")), None)
    load("save, symlink loop", save(one, symlink("1/layer.tar", "../2/layer.tar"),
                                    symlink("2/layer.tar", "../1/layer.tar")), r"has no file")
    load("save, symlink to the host", save(one, symlink("1/layer.tar", "/etc/passwd")), r"has no file")
    load("save, layer missing", save(one), r"has no file '1/layer.tar'")
    load("save, path outside", save([{**one[0], "Layers": ["../../etc/passwd"]}]), r"which is refused")
    load("save, absolute path", save([{**one[0], "Layers": ["/etc/passwd"]}]), r"which is refused")
    load("save, config renamed", save([{**one[0], "Config": "b.json"}], entry("b.json", config),
                                      entry("1/layer.tar", layer)), r"not what its name says")
    load("save, bad tag", save([{**one[0], "RepoTags": ["UPPER:1"]}], entry("1/layer.tar", layer)),
         r"image name 'UPPER:1'")
    load("save, not an array", save({"Config": name}, entry("1/layer.tar", layer)), r"array of 1 to")
    load("junk", os.urandom(100000), r"not a tar archive|no image")
    load("nothing", b"", r"not a tar|no image")
    load("an archive of something else", entry("README", b"hello") + END, r"is no image")
    whole = save(one, entry("1/layer.tar", layer))
    for cut in range(256, len(whole) - 1536, 512):
        load(f"save, truncated at {cut}", whole[:cut], r".")
    shutil.rmtree(here)


def tool_cases(bench):
    """What other people's tools write: umoci and skopeo."""
    if not (shutil.which("umoci") and shutil.which("skopeo") and os.path.exists("/bin/busybox")):
        print("SKIP umoci, skopeo: not installed")
        return
    here = os.path.join(bench.dir, "tools")
    os.makedirs(here)
    run = lambda *a: subprocess.run(a, check=True, cwd=here, capture_output=True)
    run("umoci", "init", "--layout", "oci")
    run("umoci", "new", "--image", "oci:1")
    run("umoci", "unpack", "--image", "oci:1", "bundle")
    os.makedirs(here + "/bundle/rootfs/bin")
    shutil.copy("/bin/busybox", here + "/bundle/rootfs/bin/")
    os.symlink("busybox", here + "/bundle/rootfs/bin/sh")
    run("umoci", "repack", "--image", "oci:1", "bundle")
    shutil.rmtree(here + "/bundle")
    run("umoci", "unpack", "--image", "oci:1", "bundle")
    os.unlink(here + "/bundle/rootfs/bin/sh")
    run("umoci", "repack", "--image", "oci:1", "bundle")
    run("umoci", "config", "--image", "oci:1", "--config.cmd", "/bin/busybox", "--config.user", "7")
    copy = ("skopeo", "copy", "-q", "--insecure-policy", "oci:oci:1")
    run(*copy, "oci-archive:oci.tar:tools/oci:2")
    run(*copy, "docker-archive:docker.tar:tools/docker:3")
    run(*copy, "--dest-compress-format", "zstd", "oci:zstd:4")
    run("gzip", "-k", "docker.tar")
    for source, name in (("oci", "oci:1"), ("oci.tar", "tools/oci:2"), ("docker.tar", "tools/docker:3"),
                         ("docker.tar.gz", "tools/docker:3"), ("zstd", "zstd:4")):
        state = here + "/state"
        result = bench.load(os.path.join(here, source), state)
        listed = bench.run("ls", "--state-dir", state).stdout
        bench.check(f"load {source}", result.returncode == 0 and name in listed,
                    result.stderr + listed)
        top = os.path.join(state, "images/layers/2/bin/sh")
        bench.check(f"load {source} (whiteout)", os.path.lexists(top) and is_whiteout(top), top)
        shutil.rmtree(state)
    state = here + "/state"
    bench.load(here + "/oci", state, "--name", "mine:9")
    bench.check("load --name", "mine:9" in bench.run("ls", "--state-dir", state).stdout, "")
    bench.load(here + "/docker.tar", state)
    layers = os.listdir(state + "/images/layers")
    bench.check("layers are shared", len(layers) == 2, layers)
    bench.run("rm", "mine:9", "--state-dir", state)
    bench.check("shared layers stay", len(os.listdir(state + "/images/layers")) == 2, "")
    bench.run("rm", "tools/docker:3", "--state-dir", state)
    bench.check("the last image takes them", os.listdir(state + "/images/layers") == [], "")
    shutil.rmtree(here)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(c) for c in f.read().split()]


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def is_jailed(pid):
    """Whether the process is in its jail: seccomp on, the worker's ids, no capability but five."""
    try:
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.split(":", 1) for line in f if ":" in line)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status["Seccomp"].strip() == "2"


def interruption_cases(bench):
    """The worker killed, the command killed, the jail as it is seen from outside."""
    state = os.path.join(bench.dir, "interrupted")

    def begin():
        process = subprocess.Popen([bench.command, "image", "load", "-", "--state-dir", state,
                                    "--worker", bench.worker], stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any(is_jailed(c) for c in children(process.pid)))
        return process, children(process.pid)[0]

    process, worker = begin()
    with open(f"/proc/{worker}/status") as f:
        status = dict(line.split(":", 1) for line in f if ":" in line)
    bench.check("jail: ids", status["Uid"].split()[0] == "1879048192", status["Uid"])
    bench.check("jail: capabilities", int(status["CapBnd"], 16) == 0 and
                int(status["CapEff"], 16) == 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31,
                status["CapEff"])
    bench.check("jail: no new privileges", status["NoNewPrivs"].strip() == "1", "")
    own = lambda pid, ns: os.readlink(f"/proc/{pid}/ns/{ns}")
    for ns in ("user", "mnt", "net", "ipc", "uts", "cgroup"):
        bench.check(f"jail: {ns}", own(worker, ns) != own("self", ns), own(worker, ns))
    with open(f"/proc/{worker}/mountinfo") as f:
        mounts = f.read().splitlines()
    bench.check("jail: one mount", len(mounts) == 1 and "nosuid" in mounts[0], mounts)
    os.kill(worker, 9)
    _, message = process.communicate()
    bench.check("worker killed", process.returncode == 1 and "wherry-worker died" in message, message)
    bench.check("worker killed (nothing left)", not os.path.exists(state + "/images/staging"), "")

    process, worker = begin()
    process.kill()
    process.wait()
    bench.check("command killed, worker dies", wait_for(lambda: not os.path.exists(f"/proc/{worker}")
                                                        or not is_jailed(worker)), worker)
    process.stdin.close()
    process.stderr.close()
    source = os.path.join(bench.dir, "after")
    Layout(entry("a", b"x") + END).write(source)
    result = bench.load(source, state)
    bench.check("load after that", result.returncode == 0, result.stderr)
    bench.check("load after that (swept)", not os.path.exists(state + "/images/staging"), "")
    shutil.rmtree(state)
    shutil.rmtree(source)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if os.getuid() != 0:
        print("SKIP: must be root")
        sys.exit(77)
    bench = Bench(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    bench.long = "--long" in sys.argv[3:]
    try:
        for group in (tool_cases, interruption_cases, document_cases, archive_cases, layer_cases):
            group(bench)
    finally:
        shutil.rmtree(bench.dir, ignore_errors=True)
    print(f"{bench.passed} passed, {len(bench.failed)} failed")
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()
