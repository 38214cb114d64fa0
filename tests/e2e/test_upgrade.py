#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What earlier versions have left on disk (tests/fixtures/v*) is taken up by today's programs, and a
container that an earlier shim keeps is adopted: test_upgrade.py BIN-DIR"""
import os
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from cluster import TOP, Cluster, Leaks, Suite, build_images, until  # noqa: E402
import wherry_testlib as lib  # noqa: E402

FIXTURES = os.path.join(TOP, "tests/fixtures")


class Old(Cluster):
    """A cluster whose daemons begin with the files of an earlier version."""

    def __init__(self, bin_dir, version, images):
        super().__init__(bin_dir, hosts=("a",), images=images)
        old = os.path.join(FIXTURES, version)
        os.makedirs(os.path.join(self.dir, "controller"), mode=0o700)
        shutil.copy(os.path.join(old, "controller/store.db"), os.path.join(self.dir, "controller"))
        os.makedirs(self.hosts["a"].state, mode=0o700)
        shutil.copy(os.path.join(old, "agent/journal"), self.hosts["a"].state)


def state_is_taken_up(bin_dir, version, images):
    with Old(bin_dir, version, images) as c:
        rows = lambda: {p["name"]: p for p in c.ps("fixture")}  # noqa: E731
        until("what the earlier version ran, runs", lambda: all(
            rows().get(f"fixture/{n}", {}).get("state") == "running" for n in ("web.1", "web.2", "store.1")), timeout=60)
        assert rows()["fixture/job.1"]["state"] == "completed", rows()["fixture/job.1"]
        assert all(p["incarnation"] >> 32 == 1 for p in rows().values()), "slots were placed anew"
        assert c.json("volume", "ls")["volumes"][0]["name"] == "fixture_data"
        c.remove_stacks()
        for d in (c.hosts["a"].agent, c.controller):
            d.stop()


def shim_is_adopted(bin_dir, version):
    """Started by the earlier shim, adopted, read and stopped by today's agent."""
    world = lib.World(bin_dir, "upgrade")
    try:
        image = world.busybox_image("box:1", applets=("sh", "sleep"))
        state = world.node_options()[1]
        loaded = world.run(world.program("wherry-agent"), "image", "load", image, "--state", state, "--name", "box:1")
        assert loaded.code == 0, loaded.err
        mixed = world.path("mixed")
        os.mkdir(mixed)
        shutil.copy(os.path.join(FIXTURES, version, "bin/wherry-shim"), mixed)
        os.symlink(os.path.join(os.path.abspath(bin_dir), "wherry-worker"), os.path.join(mixed, "wherry-worker"))
        old = world.start(world.program("wherry-agent"), "run", *world.node_options(), "--bin", mixed, "--network", "none",
                          "--image", "box:1", "--name", "old", "--stop-timeout", "1", "--", "sh", "-c",
                          "i=0; while sleep 0.1; do i=$((i+1)); echo tick $i; done")
        assert lib.wait_for(lambda: "tick 3" in old.out, 20), old.err
        old.signal(signal.SIGKILL)
        old.wait()
        new = world.start(world.program("wherry-agent"), "run", *world.node_options(), "--attach", "--name", "old", "--tail", "all")
        assert lib.wait_for(lambda: new.out.count("tick") > 10, 20), new.out + new.err
        new.signal(signal.SIGTERM)
        assert new.wait(20) is not None
    finally:
        world.finish()


def main():
    leaks = Leaks()
    suite = Suite()
    bin_dir = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="wherry-images-", dir="/var/tmp") as out:
        for version in sorted(v for v in os.listdir(FIXTURES) if v.startswith("v")):
            # Those of that day: what was placed names their digests.
            images = build_images(os.path.join(out, version), "web", "store", "job", source=os.path.join(FIXTURES, version, "images"))
            suite.test(f"{version}: state and store", state_is_taken_up, bin_dir, version, images)
            suite.test(f"{version}: shim", shim_is_adopted, bin_dir, version)
    suite.test("nothing is left behind", leaks.check)
    return suite.end()


sys.exit(main())
