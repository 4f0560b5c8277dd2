# SPDX-License-Identifier: GPL-2.0-or-later
"""samepaged with policy = act: it merges what it should, stands still when that is done, and puts back what it found, whatever happens."""
import glob
import hashlib
import os
import random
import re
import signal
import subprocess
import time
import unittest

import guests
import harness
import ksm
import oracle
from daemon import Daemon
from guests import PAGE, Guest

KILLS = int(os.environ.get("MERGE_KILLS", "12"))


def frames(some_guests):
    """Frames of each guest's memory, the kernel's zero page aside; pauses nothing."""
    found = []
    flags = oracle.Frames()
    for g in some_guests:
        pieces = [m for block in oracle.find_blocks(g.qmp, g.pid) for m in block.pieces]
        entries = [e for m in pieces for e in oracle.pagemap(g.pid, m.begin, m.end) if e & oracle.PM_PRESENT]
        mine = {e & oracle.PM_PFN for e in entries}
        found.append({pfn for pfn in mine if not flags.flags(pfn) & oracle.KPF_ZERO_PAGE})
    flags.close()
    return found


CONTENT_AT = 16 << 20  # where QEMU puts a guest's content file
CONTENT_BYTES = 32 << 20


def contents(some_guests):
    """What the guests hold of their content files; the firmware's pages are its own."""
    found = []
    for g in some_guests:
        block, = oracle.find_blocks(g.qmp, g.pid)
        with open(f"/proc/{g.pid}/mem", "rb") as f:
            f.seek(block.pieces[0].begin + CONTENT_AT)
            found.append(hashlib.sha256(f.read(CONTENT_BYTES)).hexdigest())
    return found


def saved_bytes(some_guests):
    return oracle.saved(oracle.look_at_all(some_guests)) * PAGE


class Acting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a1, cls.a2, cls.b1 = guests.of_two_groups()
        cls.all = (cls.a1, cls.a2, cls.b1)
        guests.boot(*cls.all)

    @classmethod
    def tearDownClass(cls):
        for g in cls.all:
            g.kill()

    def setUp(self):
        borrowed = ksm.borrowed()
        borrowed.__enter__()
        self.addCleanup(borrowed.__exit__, None, None, None)
        for g in self.all:
            g.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": True})
        self.before = ksm.settings()
        self.daemons = []
        self.addCleanup(self.kill_daemons)

    def kill_daemons(self):
        for d in self.daemons:
            d.kill()
            subprocess.run(harness.command("resume", "--stale", "--runtime-dir", d.runtime_dir), check=True, stdout=subprocess.DEVNULL)

    def daemon(self, sockets=None, start=True, **merge):
        d = Daemon([g.socket for g in self.all] if sockets is None else sockets, start=False)
        d.sections["merge"] = {"policy": "act", **merge}
        d.configure(groups={"acme": "a*", "beta": "b*"})
        self.daemons.append(d)
        if start:
            d.start()
        return d

    def settled(self, d):
        """Waits until KSM has done its work and stands still."""
        d.wait_for(lambda: d.figure("samepage_merge_acting") == 1, 30)
        d.wait_for(lambda: ksm.read("run") == "0" and d.figure("samepage_merge_fast") == 0, 60)
        d.wait_for(lambda: d("query-scan") == {"running": None, "waiting": []})  # it looks at what has come

    def test_merges_one_group_and_stands_still(self):
        d = self.daemon()
        self.settled(d)
        forecast = sum(d.figure("samepage_merge_forecast_bytes", kind=k) for k in ("self", "inter", "zero"))
        self.assertAlmostEqual(saved_bytes((self.a1, self.a2)) / forecast, 1, delta=0.05)
        a1, a2, b1 = frames(self.all)
        self.assertEqual((a1 | a2) & b1, set())
        self.assertEqual([g.status() for g in self.all], ["running"] * 3)
        cpu = ksmd_cpu()
        time.sleep(3)
        self.assertEqual(ksmd_cpu(), cpu)
        # What was forecast, that it was done, and what came are in the history.
        first = min(d("query-history")["scans"], key=lambda scan: scan["started"])
        merge = d("query-report", id=first["id"])["merge"]
        self.assertEqual((merge["acted"], merge["done"], merge["refusal"]), (True, True, None))
        report = d.scan()
        self.assertAlmostEqual(report["merge"]["reached_bytes"] / forecast, 1, delta=0.05)
        d.stop()
        self.assertEqual(ksm.settings(), self.before)

    def test_a_guest_that_comes(self):
        d = self.daemon(sockets=[self.a1.socket, os.path.join(guests.tmp_dir(), "a9-*", "qmp.sock")], cross_group="yes")
        self.settled(d)
        late = Guest("a9", mib=96, linux=False, content=guests.content_file(40, equal_mib=24, zero_mib=4, seed=9)).wait_ready()
        with late:
            late.settle()
            d.wait_for(lambda: saved_bytes((self.a1, late)) > 22 << 20, 30)
        d.stop()
        self.assertEqual(ksm.settings(), self.before)

    def test_a_guest_that_comes_while_groups_are_apart(self):
        """KSM stands still until the plan has them all: of its own group it is merged, of another it is not."""
        d = self.daemon(sockets=[g.socket for g in self.all] + [os.path.join(guests.tmp_dir(), "*9-*", "qmp.sock")])
        self.settled(d)
        with Guest("b9", mib=96, linux=False, content=guests.content_file(40, equal_mib=24, zero_mib=4, seed=8)).wait_ready() as other, \
                Guest("a9", mib=96, linux=False, content=guests.content_file(40, equal_mib=24, zero_mib=4, seed=9)).wait_ready() as late:
            d.wait_for(lambda: saved_bytes((self.a1, late)) > 22 << 20, 60)
            apart = frames((self.b1, other))
            together = frames((self.a1, self.a2, late))
            self.assertEqual(set.union(*apart) & set.union(*together), set())
            self.assertFalse(oracle.find_blocks(other.qmp, other.pid)[0].mergeable)
            self.assertEqual(d.figure("samepage_merge_refusals_total"), 0)

    def test_a_stranger_that_comes(self):
        """It is no guest, and nobody told the service: nothing is merged with it."""
        d = self.daemon()
        self.settled(d)
        stranger = guests.start_stranger()
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        d.wait_for(lambda: f"(pid {stranger.pid}), which is none of the guests" in d.log(), 60)
        d.wait_for(lambda: d.figure("samepage_merge_acting") == 0)
        self.assertEqual(ksm.read("run"), "0")

    def test_a_guest_that_is_marked_again(self):
        """Somebody marks a guest of another group: as soon as KSM meets its memory it is taken out again."""
        with Guest("b9", mib=192, linux=False, content=guests.content_file(112, equal_mib=24, seed=10)).wait_ready() as other:
            other.settle()
            d = self.daemon(sockets=[g.socket for g in (*self.all, other)])
            d.wait_for(lambda: d.figure("samepage_merge_acting") == 1, 30)
            other.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": True})
            d.wait_for(lambda: f"memory of pid {other.pid}" in d.log(), 60)
            d.wait_for(lambda: not oracle.find_blocks(other.qmp, other.pid)[0].mergeable, 30)
            self.settled(d)

    def test_pages_that_come_apart(self):
        """Merged pages that are written to are merged again as soon as that pays: the sample sees it."""
        with Guest("c1", mib=320, linux=False, content=guests.content_file(256, equal_mib=248, seed=5)).wait_ready() as c1, \
                Guest("c2", mib=320, linux=False, content=guests.content_file(256, equal_mib=248, seed=6)).wait_ready() as c2:
            d = self.daemon(sockets=[c1.socket, c2.socket], cross_group="yes")
            self.settled(d)
            before = saved_bytes((c1, c2))
            self.come_apart(c2)
            self.assertLess(saved_bytes((c1, c2)), before // 2)
            d.wait_for(lambda: saved_bytes((c1, c2)) > before * 0.95, 240)  # longer where the host is busy: then a burst took longer, too

    @staticmethod
    def come_apart(guest):
        for value in (False, True):
            guest.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": value})

    def test_somebody_else_changes_a_setting(self):
        d = self.daemon()
        self.settled(d)
        ksm.write("pages_to_scan", 1234)
        d.wait_for(lambda: d.figure("samepage_merge_acting") == 0)
        self.assertIn("somebody else set KSM's pages_to_scan to 1234", d.log())
        self.assertEqual(d.figure("samepage_merge_refusals_total"), 1)
        self.assertEqual(ksm.read("pages_to_scan"), "1234")
        self.assertEqual(ksm.read("run"), self.before["run"])

    def test_somebody_else_switches_ksm(self):
        """Also to what it was before: it is his."""
        for before, his in (("0", "1"), ("1", "1")):
            ksm.write("run", before)
            d = self.daemon()
            d.wait_for(lambda: d.figure("samepage_merge_acting") == 1, 30)
            d.wait_for(lambda: ksm.read("run") == "0", 60)
            ksm.write("run", his)
            d.wait_for(lambda: d.figure("samepage_merge_acting") == 0)
            d.stop()
            self.assertEqual(ksm.read("run"), his)
            ksm.write("run", 0)

    def test_another_policy_puts_back(self):
        d = self.daemon()
        self.settled(d)
        d.sections["merge"]["policy"] = "observe"
        d.configure()
        d.reload()
        self.assertEqual(ksm.settings(), self.before)
        d.sections["merge"]["policy"] = "act"
        d.configure()
        d.reload()
        self.settled(d)

    def test_advises(self):
        d = self.daemon(policy="advise")
        report = d.scan()
        self.assertTrue(report["merge"]["worthwhile"])
        self.assertEqual(report["merge"]["group"], "acme")
        self.assertFalse(report["merge"]["acted"])
        done = harness.run("tune", "--dry-run", "--control", d.control_path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("merging 2 guests of group acme saves", done.stdout)
        done = harness.run("tune", "--control", d.control_path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("samepaged acts by itself where its configuration says", done.stderr)
        time.sleep(1.5)
        self.assertEqual(ksm.settings(), self.before)

    def test_another_policy_while_it_tunes(self):
        """What a scan that is under way still writes is put back at its end."""
        for seconds in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
            d = self.daemon()
            d.sections["merge"]["policy"] = "observe"
            d.configure()
            time.sleep(seconds)
            d.reload()
            d.wait_for(lambda: ksm.settings() == self.before and not d("query-scan")["running"], 30)
            time.sleep(0.5)
            self.assertEqual(ksm.settings(), self.before)
            d.stop()

    def test_cancelled_scan_is_tried_again(self):
        d = self.daemon(start=False)
        d.start()

        def cancelled():
            running = d("query-scan")["running"]
            if not running or running["kind"] != "scan":
                return d.figure("samepage_merge_acting") == 1  # it was too fast for us
            d("cancel", id=running["id"])
            return True

        d.wait_for(cancelled)
        self.settled(d)

    def test_a_person_undoes_it(self):
        d = self.daemon()
        self.settled(d)
        self.assertEqual(harness.run("tune", "--undo", "--runtime-dir", d.runtime_dir).returncode, 0)
        d.wait_for(lambda: d.figure("samepage_merge_acting") == 0)
        self.assertIn("somebody else has undone", d.log())
        self.assertEqual(ksm.settings(), self.before)

    def test_recheck_and_acting(self):
        d = self.daemon(start=False)
        d.configure(scan={"recheck": "1s"})
        d.start()
        self.settled(d)
        # What is left is not for that KSM stands still: it does because nothing more can be merged.
        self.assertEqual(ksm.read("run"), "0")
        reasons = {r["reason"] for r in d.scan()["gap"]["reasons"]}
        self.assertIn("not-mergeable", reasons)
        self.assertNotIn("ksm-off", reasons)

    def test_a_second_look_makes_way(self):
        """What comes while a scan waits for it does not wait an hour."""
        ksm.write("sleep_millisecs", 1_000_000)
        ksm.write("run", 1)
        d = self.daemon(policy="advise")
        d("scan", recheck_seconds=3600)
        d.wait_for(lambda: 3000 < ((d("query-scan")["running"] or {}).get("recheck_in_seconds") or 0))
        since = time.monotonic()
        self.assertIsNone(d.scan(mode="live")["scan"]["recheck_seconds"])
        self.assertLess(time.monotonic() - since, 20)
        reports = [d("query-report", id=s["id"])["scan"] for s in d("query-history")["scans"]]
        self.assertEqual(sorted(r["mode"] for r in reports), ["live", "snapshot"])
        self.assertLess(next(r for r in reports if r["mode"] == "snapshot")["recheck_seconds"], 60)

    def test_found_running(self):
        ksm.write("run", 1)
        before = ksm.settings()
        d = self.daemon()
        d.wait_for(lambda: d.figure("samepage_merge_acting") == 1, 30)
        d.wait_for(lambda: ksm.read("run") == "0", 60)
        d.stop()
        self.assertEqual(ksm.settings(), before)
        ksm.write("run", 0)

    def test_killed_at_random_moments(self):
        """The service dies; what the unit then runs puts KSM's settings back. Guests run, and hold what they held."""
        before = contents(self.all)
        for _ in range(KILLS):
            d = self.daemon()
            time.sleep(random.uniform(0, 2.5))
            workers = harness.children(d.process.pid)
            d.process.send_signal(signal.SIGKILL)
            d.process.wait()
            d.wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
            done = harness.run("resume", "--stale", "--runtime-dir", d.runtime_dir)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(ksm.settings(), self.before)
            self.assertEqual([g.status() for g in self.all], ["running"] * 3)
            d._close()
            self.daemons.remove(d)
        self.assertEqual(contents(self.all), before)

    def test_service_started_after_a_crash_puts_back_first(self):
        d = self.daemon()
        self.settled(d)
        d.process.send_signal(signal.SIGKILL)
        d.process.wait()
        d._close()
        d.start()
        self.settled(d)
        d.stop()
        self.assertEqual(ksm.settings(), self.before)

    def test_watching_costs_little(self):
        d = self.daemon()
        self.settled(d)
        pids = [d.process.pid, *harness.children(d.process.pid)]
        before = sum(cpu_seconds(p) for p in pids)
        time.sleep(10)
        share = (sum(cpu_seconds(p) for p in pids) - before) / 10
        print(f"     watching takes {share:.2%} of a core")
        self.assertLess(share, 0.03)


class Zeros(unittest.TestCase):
    """Without other guests, whose pages of zeros would do what the service's own are for."""

    def test_huge_pages_of_zeros(self):
        with ksm.borrowed(), Guest("z1", mib=320, linux=False, content=guests.content_file(208, zero_mib=200, seed=11)).wait_ready() as z1:
            z1.settle()
            zeros = 200 * guests.MIB // PAGE
            before, = frames((z1,))
            d = Daemon([z1.socket], start=False)
            self.addCleanup(d.kill)
            d.sections["merge"] = {"policy": "act", "cross_group": "yes"}
            d.configure()
            d.start()
            d.wait_for(lambda: len(frames((z1,))[0]) < len(before) - 0.95 * zeros)
            d.stop()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def ksmd_cpu():
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                text = f.read()
        except OSError:
            continue
        if re.match(r"\d+ \(ksmd\)", text):
            fields = text.rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
    raise AssertionError("there is no ksmd")


if __name__ == "__main__":
    harness.main()
