# SPDX-License-Identifier: GPL-2.0-or-later
"""samepage tune: what it forecasts is what comes, groups stay apart, and what was found is put back."""
import collections
import json
import os
import shutil
import subprocess
import time
import unittest

import guests
import harness
import ksm
import oracle
import virt
from guests import PAGE, Guest

GROUPS = ("--group", "acme=a*", "--group", "beta=b*")


def tune(some_guests, *arguments, code=0):
    """`samepage tune --json`: the report, and what went to standard error."""
    done = harness.run("tune", *harness.qmp_arguments(some_guests), "--json", *arguments)
    if done.returncode != code:
        raise AssertionError(f"samepage tune ended with {done.returncode}, not {code}: {done.stderr or done.stdout[-2000:]}")
    return (json.loads(done.stdout) if done.stdout else None), done.stderr


def undo():
    return harness.run("tune", "--undo")


def is_mergeable(guest):
    """Whether all of the guest's RAM has the flag, by smaps."""
    flags = {b.mergeable for b in oracle.find_blocks(guest.qmp, guest.pid)}
    return flags.pop() if len(flags) == 1 else None


def forecast(memories, limit=256):
    """What KSM saves of these guests at best, in pages: non-zero contents, zero pages."""
    contents = collections.Counter(c for m in memories for c in m.contents)
    zero = sum(1 for m in memories for f in m.zero_frames)
    without = sum(m.zero for m in memories) - zero
    return sum(n - -(-n // limit) for n in contents.values()), without + zero - -(-zero // limit)


def wait_passes(n, seconds=60):
    until, deadline = ksm.number("full_scans") + n, time.monotonic() + seconds
    while ksm.number("full_scans") < until:
        if time.monotonic() > deadline:
            raise TimeoutError("ksmd does not get on")
        time.sleep(0.05)


def deaf_qemu():
    """A guest whose madvise(MADV_UNMERGEABLE) does nothing."""
    harness.need("cc")
    library = harness.own_copy("deaf.so")
    source = ('#define _GNU_SOURCE\n#include <sys/mman.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n'
              'int madvise(void *at, size_t size, int advice)\n'
              '{ return advice == MADV_UNMERGEABLE ? 0 : (int)syscall(SYS_madvise, at, size, advice); }\n')
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=source.encode(), check=True)
    os.environ["LD_PRELOAD"] = library
    try:
        return Guest("bad", mib=64, linux=False).wait_ready()
    finally:
        del os.environ["LD_PRELOAD"]


class Tune(unittest.TestCase):
    """Four guests that stand still and hold known content: two groups, and one guest with shared RAM."""

    @classmethod
    def setUpClass(cls):
        cls.a1, cls.a2, cls.b1 = guests.of_two_groups()
        cls.b2 = Guest("b2", "memfd-shared", 96, linux=False, content=guests.content_file(32, equal_mib=24, seed=4))
        cls.all = (cls.a1, cls.a2, cls.b1, cls.b2)
        guests.boot(*cls.all)

    @classmethod
    def tearDownClass(cls):
        for g in cls.all:
            g.kill()

    def setUp(self):
        borrowed = ksm.borrowed()
        borrowed.__enter__()
        self.addCleanup(borrowed.__exit__, None, None, None)
        self.addCleanup(undo)
        for g in (self.a1, self.a2, self.b1):
            g.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": True})

    def test_forecast_is_exact_and_changes_nothing(self):
        before = ksm.settings()
        for g in self.all:
            g.pause()
            self.addCleanup(g.resume)
        report, _ = tune(self.all, "--dry-run", *GROUPS)
        across = [oracle.look(g) for g in (self.a1, self.a2, self.b1)]
        memories = across[:2]
        merge = report["merge"]
        non_zero, zero = forecast(memories)
        self.assertEqual(merge["group"], "acme")
        self.assertEqual(merge["self_bytes"] + merge["inter_bytes"], non_zero * PAGE)
        self.assertEqual(merge["zero_bytes"], zero * PAGE)
        self.assertEqual(merge["self_bytes"], sum(forecast([m])[0] for m in memories) * PAGE)
        scanned = sum(len(m.contents) + len(m.zero_frames) for m in memories)
        self.assertEqual(merge["scanned_bytes"], scanned * PAGE)
        self.assertEqual(merge["bookkeeping_bytes"], scanned * 64)
        self.assertEqual(merge["net_bytes"], (non_zero + zero) * PAGE - scanned * 64)
        self.assertEqual(merge["isolation_bytes"], (sum(forecast(across)) - non_zero - zero) * PAGE)
        self.assertGreater(merge["isolation_bytes"], 7 << 20)
        self.assertFalse(merge["acted"])
        self.assertEqual({g["name"]: g["change"] for g in merge["guests"]},
                         {"a1": "none", "a2": "none", "b1": "unmerge", "b2": "none"})
        self.assertEqual(ksm.settings(), before)
        self.assertTrue(all(is_mergeable(g) for g in (self.a1, self.a2, self.b1)))

    def test_what_was_forecast_comes_and_groups_stay_apart(self):
        before = ksm.settings()
        plan, _ = tune(self.all, "--dry-run", *GROUPS)
        huge = self.huge_pages()
        report, _ = tune(self.all, *GROUPS)
        merge = report["merge"]
        self.assertTrue(merge["acted"] and merge["done"])
        self.assertEqual([is_mergeable(g) for g in self.all], [True, True, False, False])
        self.assertEqual(ksm.read("run"), "1")
        # The rate is for a host that goes on; the test need not wait for it.
        ksm.write("pages_to_scan", 5000)
        ksm.write("sleep_millisecs", 0)
        wait_passes(4)
        memories = oracle.look_at_all((self.a1, self.a2))
        expected = plan["merge"]["self_bytes"] + plan["merge"]["inter_bytes"] + plan["merge"]["zero_bytes"]
        self.assertAlmostEqual(oracle.saved(memories) * PAGE / expected, 1, delta=0.05)
        split = huge - self.huge_pages()
        self.assertAlmostEqual(split, plan["merge"]["huge_pages"], delta=2)
        # No frame of one group is a frame of the other.
        others = oracle.look_at_all((self.b1,))
        mine = set().union(*(set(m.frames) | set(m.zero_frames) for m in memories))
        theirs = set().union(*(set(m.frames) | set(m.zero_frames) for m in others))
        self.assertEqual(mine & theirs, set())
        reached = harness.scan(self.all, "--forecast", *GROUPS)["merge"]["reached_bytes"]
        self.assertAlmostEqual(reached / (oracle.saved(memories) * PAGE), 1, delta=0.01)
        # Settings that somebody else has changed since are his; the others go back.
        ksm.write("pages_to_scan", merge["settings"]["pages_to_scan"])
        self.assertEqual(undo().returncode, 0)
        self.assertEqual({k: v for k, v in ksm.settings().items() if k != "sleep_millisecs"},
                         {k: v for k, v in before.items() if k != "sleep_millisecs"})
        self.assertEqual(ksm.read("sleep_millisecs"), "0")

    def huge_pages(self):
        total = 0
        for g in (self.a1, self.a2):
            for block in oracle.find_blocks(g.qmp, g.pid):
                for m in block.pieces:
                    with open(f"/proc/{g.pid}/smaps") as f:
                        inside = False
                        for line in f:
                            if line.startswith(f"{m.begin:08x}-"):
                                inside = True
                            elif inside and line.startswith("AnonHugePages:"):
                                total += int(line.split()[1]) // 2048
                                break
        return total

    def test_cross_group(self):
        report, _ = tune(self.all, "--cross-group", *GROUPS)
        self.assertEqual([is_mergeable(g) for g in self.all], [True, True, True, False])
        self.assertEqual(report["merge"]["isolation_bytes"], 0)
        self.assertTrue(report["merge"]["cross_group"])

    def test_only_group(self):
        report, _ = tune(self.all, "--dry-run", "--only-group", "beta", *GROUPS)
        self.assertEqual({g["name"]: g["change"] for g in report["merge"]["guests"]},
                         {"a1": "unmerge", "a2": "unmerge", "b1": "none", "b2": "none"})
        _, sentence = tune(self.all, "--dry-run", "--only-group", "gamma", *GROUPS, code=1)
        self.assertIn('no guest is in the group "gamma"', sentence)

    def test_without_groups_each_is_alone(self):
        report, _ = tune(self.all, "--dry-run")
        self.assertEqual(report["merge"]["inter_bytes"], 0)
        self.assertIsNone(report["merge"]["group"])
        self.assertEqual(sum(g["chosen"] for g in report["merge"]["guests"]), 1)

    def test_a_rival_is_named(self):
        rival = os.path.join(guests.tmp_dir(), "ksmtuned")
        shutil.copy(shutil.which("sleep"), rival)
        process = subprocess.Popen([rival, "60"], preexec_fn=guests.die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        before = ksm.settings()
        report, sentence = tune(self.all, *GROUPS, code=1)
        self.assertIn(f"ksmtuned (pid {process.pid}) tunes KSM", sentence)
        self.assertFalse(report["merge"]["done"])
        self.assertEqual(ksm.settings(), before)
        self.assertTrue(is_mergeable(self.b1))

    def test_a_stranger_is_named(self):
        process = guests.start_stranger()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        before = ksm.settings()
        report, sentence = tune(self.all, *GROUPS, code=1)
        self.assertIn(f"(pid {process.pid}), which is none of the guests, has opted in to KSM", sentence)
        self.assertEqual(ksm.settings(), before)
        report, _ = tune(self.all, "--cross-group", *GROUPS)
        self.assertTrue(report["merge"]["done"])

    def test_somebody_else_changes_a_setting(self):
        tune(self.all, *GROUPS)
        ksm.write("pages_to_scan", 1234)
        report, sentence = tune(self.all, *GROUPS, code=1)
        self.assertIn("somebody else set KSM's pages_to_scan to 1234", sentence)
        self.assertEqual(ksm.read("pages_to_scan"), "1234")
        self.assertFalse(report["merge"]["done"])

    def test_settings_that_cannot_be_written(self):
        folder = harness.own_copy("ksm")
        shutil.copytree(ksm.DIR, folder, copy_function=lambda a, b: shutil.copyfile(a, b))
        os.unlink(os.path.join(folder, "pages_to_scan"))
        report, sentence = tune(self.all, "--ksm-dir", folder, *GROUPS, code=1)
        self.assertIn("this kernel's KSM has no pages_to_scan", sentence)
        self.assertFalse(report["merge"]["done"])

    def test_a_guest_that_lies(self):
        """QEMU says yes to unmarking, and the mapping keeps its mark: nothing is merged."""
        with deaf_qemu() as liar:
            before = ksm.settings()
            report, sentence = tune((*self.all, liar), *GROUPS, code=1)
            self.assertIn("nothing is merged", sentence)
            error = next(g for g in report["merge"]["guests"] if g["name"] == "bad")["error"]
            self.assertIn("is not mergeable, and its mapping is", error)
            self.assertEqual(ksm.settings(), before)

    def test_undo_of_nothing(self):
        done = undo()
        self.assertEqual(done.returncode, 0)
        self.assertIn("as they were found", done.stdout)


class OfLibvirt(unittest.TestCase):
    """Domains, whose groups stand in their metadata."""

    def test_tune(self):
        borrowed = ksm.borrowed()
        borrowed.__enter__()
        self.addCleanup(borrowed.__exit__, None, None, None)
        with virt.Libvirt() as libvirt:
            web = virt.Domain(libvirt, "web", 128, group="acme", workload={"equal": 16, "copies": 2, "seed": 1})
            db = virt.Domain(libvirt, "db", 128, group="beta", workload={"equal": 8, "seed": 2})
            for domain in (web, db):
                domain.wait_ready()
            self.addCleanup(undo)
            words = ("tune", "--libvirt", virt.URI, "--json")
            done = libvirt.run(*words)
            self.assertEqual(done.returncode, 1)
            merge = json.loads(done.stdout)["merge"]
            self.assertEqual(merge["group"], "acme")
            self.assertEqual([g["change"] for g in merge["guests"] if g["name"] == db.name], ["unmerge"])
            self.assertIn("--libvirt-monitor", "".join(g["error"] or "" for g in merge["guests"]))
            self.assertEqual([is_mergeable(d) for d in (web, db)], [True, True])
            done = libvirt.run(*words, "--libvirt-monitor")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual([is_mergeable(d) for d in (web, db)], [True, False])
            self.assertEqual([d.state()[0] for d in (web, db)], ["running", "running"])
            self.assertEqual(ksm.read("run"), "1")


if __name__ == "__main__":
    harness.main()
