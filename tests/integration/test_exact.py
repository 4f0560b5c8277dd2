# SPDX-License-Identifier: GPL-2.0-or-later
"""Every figure of the scan's JSON equals the oracle's, page for page."""
import unittest

import guests
import harness
import ksm
import oracle
from guests import MIB, PAGE, Guest


def paused(some_guests):
    for g in some_guests:
        g.pause()


class Exact(unittest.TestCase):
    """A private and a shared guest with known contents, before and after KSM."""

    @classmethod
    def setUpClass(cls):
        cls.private = Guest("private", mib=176, workload={"equal": 8, "copies": 3, "unique": 6, "zero": 5, "seed": 1})
        cls.shared = Guest("shared", "memfd-shared", 160, workload={"equal": 8, "copies": 2, "unique": 4, "zero": 3, "seed": 2})
        cls.other = Guest("other", "memfd-private", 144, workload={"equal": 4, "unique": 2, "same": 4, "zero": 2, "seed": 3})
        guests.boot(cls.private, cls.shared, cls.other)

    @classmethod
    def tearDownClass(cls):
        for g in (cls.private, cls.shared, cls.other):
            g.kill()

    def tearDown(self):
        for g in (self.private, self.shared, self.other):
            g.resume()

    def compare(self, some_guests, *arguments):
        """Scans paused guests with every reader and compares all with the oracle. The report and the oracle's."""
        paused(some_guests)
        expected = oracle.report([oracle.look(g) for g in some_guests])
        for readers in ({"pread", "proc-mem"}, {"mapped", "process-vm"}):
            careful = ["--careful"] if "pread" in readers else []
            report = harness.scan(some_guests, *careful, *arguments)
            self.assertLessEqual({b["reader"] for g in report["guests"] for b in g["blocks"]}, readers)
            self.assertEqual([g["name"] for g in report["guests"]], [g.name for g in some_guests])
            self.assertEqual(oracle.differences(expected, report), [])
            self.check_consistent(report, "paused")
        for g in some_guests:
            self.assertEqual(g.status(), "paused")
        return report, expected

    def check_consistent(self, report, found_state):
        """What must hold of any report, whatever it counts."""
        for g in report["guests"]:
            self.assertIsNone(g["error"])
            self.assertEqual(g["found_state"], found_state)
            self.assertEqual(g["consistency"], "exact")
            self.assertEqual(g["ram_bytes"], g["present_bytes"] + g["absent_bytes"] + g["swapped_bytes"])
            self.assertEqual(g["present_bytes"], g["zero_bytes"] + g["distinct_bytes"] + g["self_sharing_bytes"])
            self.assertEqual(sum(b["present_bytes"] for b in g["blocks"]), g["present_bytes"])
            self.assertEqual(sum(b["size_bytes"] for b in g["blocks"]), g["ram_bytes"])
        ideal, actual = report["ideal"], report["actual"]
        self.assertEqual(ideal["present_bytes"], sum(
            ideal[k] for k in ("zero_bytes", "distinct_bytes", "self_sharing_bytes", "inter_sharing_bytes")))
        self.assertEqual(actual["saved_bytes"], actual["self_bytes"] + actual["inter_bytes"] + actual["zero_bytes"])
        self.assertEqual(sum(r["bytes"] for r in report["gap"]["reasons"]), report["gap"]["bytes"])
        self.assertTrue(report["scan"]["complete"])

    def test_known_amounts(self):
        """The guests hold at least what their workloads wrote: guards against an oracle that errs alike."""
        report, _ = self.compare([self.private, self.shared])
        found = harness.by_name(report)
        self.assertGreaterEqual(found["private"]["self_sharing_bytes"], 16 * MIB)
        self.assertGreaterEqual(found["shared"]["self_sharing_bytes"], 8 * MIB)
        self.assertGreaterEqual(report["ideal"]["inter_sharing_bytes"], 8 * MIB)
        self.assertGreaterEqual(report["ideal"]["distinct_bytes"], (8 + 6 + 4) * MIB)
        self.assertGreaterEqual(found["private"]["zero_bytes"], 5 * MIB)
        self.assertGreaterEqual(found["shared"]["zero_bytes"], 3 * MIB)
        self.assertEqual(found["private"]["ram_bytes"], 176 * MIB)
        # Two kernels of one build share much, but a page that one workload alone wrote is shared by nobody.
        self.assertLessEqual(report["ideal"]["inter_sharing_bytes"], found["private"]["distinct_bytes"] - 6 * MIB)

    def test_one_guest_alone(self):
        report, _ = self.compare([self.private])
        self.assertEqual(report["ideal"]["inter_sharing_bytes"], 0)
        self.assertEqual(report["guests"][0]["inter_sharing_bytes"], 0)

    def test_three_guests(self):
        self.compare([self.private, self.shared, self.other])

    def test_one_thread_counts_the_same(self):
        self.compare([self.private, self.other], "--threads", "1")

    def test_together(self):
        """All at one instant, paused by the program: same figures as for the paused guests, which stand still."""
        some = [self.private, self.shared]
        report = harness.scan(some, "--together")
        self.assertTrue(report["scan"]["together"])
        for g in report["guests"]:
            self.assertEqual(g["pauses"], 1)
        for g in some:
            self.assertEqual(g.status(), "running")

    def test_reason_of_a_shared_guest(self):
        paused([self.shared])
        report = harness.scan([self.shared])
        reasons = {r["reason"]: r for r in report["gap"]["reasons"] if r["bytes"]}
        self.assertGreaterEqual(report["gap"]["bytes"], 8 * MIB)
        self.assertEqual(list(reasons), ["shared-mapping"])
        self.assertEqual(reasons["shared-mapping"]["guests"], ["shared"])
        self.assertTrue(reasons["shared-mapping"]["remedy"])
        block = report["guests"][0]["blocks"][0]
        self.assertTrue(block["shared"])
        self.assertFalse(block["ksm_eligible"])
        self.assertEqual(block["reason"], "shared-mapping")

    def test_reason_ksm_off(self):
        with ksm.borrowed():
            paused([self.private])
            report = harness.scan([self.private])
            reasons = {r["reason"]: r["bytes"] for r in report["gap"]["reasons"] if r["bytes"]}
            self.assertEqual(list(reasons), ["ksm-off"])
            self.assertEqual(report["ksm"]["run"], 0)
            self.assertTrue(report["guests"][0]["blocks"][0]["ksm_eligible"])

    def test_reason_not_mergeable(self):
        self.private.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": False})
        try:
            paused([self.private])
            report = harness.scan([self.private])
        finally:
            self.private.qmp.execute("qom-set", {"path": "/objects/pc.ram", "property": "merge", "value": True})
        reasons = {r["reason"]: r["bytes"] for r in report["gap"]["reasons"] if r["bytes"]}
        self.assertEqual(list(reasons), ["not-mergeable"])
        self.assertFalse(report["guests"][0]["blocks"][0]["ksm_eligible"])

    def test_after_ksm_merged_a_part(self):
        with ksm.borrowed():
            ksm.merge_part(1500)
            before = oracle.ksm_frames(self.private, self.other)
            self.assertGreater(before, 750)  # the counter is the host's: QEMU's own pages are in it
            report, expected = self.compare([self.private, self.shared, self.other])
            self.assertGreater(expected["actual"]["saved_bytes"], 0)
            self.assertGreater(expected["gap"]["bytes"], 0)
            self.assertEqual(oracle.ksm_frames(self.private, self.other), before)
            self.assertEqual(report["ksm"]["pages_sharing"], ksm.number("pages_sharing"))

    def test_after_ksm_merged_all(self):
        with ksm.borrowed():
            ksm.merge()
            report, expected = self.compare([self.private, self.other])
            self.assertGreater(expected["actual"]["inter_bytes"], 4 * MIB)
            self.assertGreater(expected["actual"]["self_bytes"], 16 * MIB)
            self.assertGreater(expected["actual"]["zero_bytes"], 0)
            self.assertEqual([g["actual"]["ksm_bytes"] for g in report["guests"]],
                             [oracle.ksm_frames(g) * PAGE for g in (self.private, self.other)])

    def test_after_ksm_with_zero_pages(self):
        """With use_zero_pages the kernel's own zero page serves them: no frame of the guest's."""
        with ksm.borrowed():
            ksm.write("use_zero_pages", 1)
            ksm.merge()
            _, expected = self.compare([self.private, self.other])
            self.assertGreater(expected["actual"]["zero_bytes"], 4 * MIB)

    def test_sharing_limit(self):
        """4 MiB of one content are 1024 pages: at 16 users per kept page KSM keeps 64."""
        with ksm.borrowed():
            ksm.write("max_page_sharing", 16)
            ksm.merge()
            report, _ = self.compare([self.other])
            reasons = {r["reason"]: r["bytes"] for r in report["gap"]["reasons"] if r["bytes"]}
            self.assertIn("sharing-limit", reasons)
            self.assertGreaterEqual(reasons["sharing-limit"], 60 * PAGE)

    def test_paused_by_the_program(self):
        """The guests idle, so what stands still for the oracle right afterwards is close to what the program saw; sizes are equal."""
        some = [self.private, self.shared]
        report = harness.scan(some)
        self.check_consistent(report, "running")
        for g in some:
            self.assertEqual(g.status(), "running")
            events = g.take_events()
            self.assertEqual([e["event"] for e in events if e["event"] in ("STOP", "RESUME")][-2:], ["STOP", "RESUME"])
        paused(some)
        expected = oracle.report([oracle.look(g) for g in some])
        for found, counted in zip(report["guests"], expected["guests"]):
            self.assertEqual(found["pauses"], 1)
            self.assertGreater(found["pause_seconds"], 0)
            self.assertEqual(found["ram_bytes"], counted["ram_bytes"])
            for key in ("present_bytes", "zero_bytes", "distinct_bytes", "self_sharing_bytes", "inter_sharing_bytes"):
                self.assertAlmostEqual(found[key], counted[key], delta=2 * MIB, msg=key)


class Split(unittest.TestCase):
    """RAM below and above 4 GiB: q35 puts what exceeds 2 GiB above the hole."""

    def check(self, kind):
        with Guest("split", kind, 3072, machine="q35", workload={"equal": 8, "copies": 2, "unique": 8, "zero": 4}) as guest:
            flat = guest.qmp.hmp("info mtree -f")
            self.assertIn("0000000100000000-", flat)
            guest.pause()
            expected = oracle.report([oracle.look(guest)])
            report = harness.scan([guest])
            self.assertEqual(oracle.differences(expected, report), [])
            self.assertEqual(report["guests"][0]["ram_bytes"], 3072 * MIB)
            self.assertGreaterEqual(report["guests"][0]["self_sharing_bytes"], 8 * MIB)

    def test_private(self):
        self.check("default")

    def test_shared(self):
        self.check("memfd-shared")


class OneFileTwice(unittest.TestCase):
    """Two guests on one shared file use the same frames: that is sharing which KSM had no part in."""

    def test_same_frames(self):
        path = f"{guests.tmpfs_dir(64)}/twice.ram"
        def one(name):
            return Guest(name, linux=False, mib=48, machine="pc,memory-backend=m0",
                         extra=["-object", f"memory-backend-file,id=m0,size=48M,share=on,mem-path={path}"])
        with one("twin1") as a, one("twin2") as b:
            paused([a, b])
            expected = oracle.report([oracle.look(g) for g in (a, b)])
            self.assertGreater(expected["actual"]["saved_bytes"], 0)
            report = harness.scan([a, b])
            self.assertEqual(oracle.differences(expected, report), [])


if __name__ == "__main__":
    harness.main()
