# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/bench/merge measures with: its guests hold what they are said to hold, and its arithmetic is right."""
import collections
import os
import sys
import time
import types
import unittest

import guests
import harness  # before the benchmark's modules, which would have it take another binary

sys.path.insert(0, os.path.join(guests.TESTS, "bench"))
import merge_table  # noqa: E402
import merge_workload  # noqa: E402
from guests import PAGE  # noqa: E402
from merge_workload import Phase, Sample  # noqa: E402


def made_run(samples, phases):
    return types.SimpleNamespace(samples=[Sample(t, still, churn, zero, 0, 0) for t, still, churn, zero in samples], phases=phases)


class Arithmetic(unittest.TestCase):
    def test_seconds_to_enough(self):
        phase = Phase("start", 10, 20, still_pages=1000, churn_pages=0, zero_pages=0, present_bytes=0)
        run = made_run([(9, 1000, 0, 0), (10, 0, 0, 0), (12, 900, 500, 500), (13, 1000, 0, 0), (14, 1000, 0, 0)], [phase])
        self.assertAlmostEqual(merge_table.seconds_to_enough(run, phase), 2.5)  # 950 of 1000, half way between 12 and 13

    def test_never_enough(self):
        phase = Phase("start", 0, 20, 1000, 0, 0, 0)
        self.assertIsNone(merge_table.seconds_to_enough(made_run([(0, 0, 0, 0), (19, 949, 999, 999), (20, 1000, 0, 0)], [phase]), phase))

    def test_enough_at_once(self):
        phase = Phase("start", 5, 20, 1000, 0, 0, 0)
        self.assertEqual(merge_table.seconds_to_enough(made_run([(5.5, 960, 0, 0)], [phase]), phase), 0.5)

    def test_integral(self):
        gib = (1 << 30) // PAGE
        run = made_run([(0, 0, 0, 0), (2, gib, 0, 0), (3, gib // 2, gib // 4, gib // 4)],
                       [Phase("start", 0, 2, gib, 0, 0, 0), Phase("arrival", 2, 3, gib, gib, gib, 0)])
        self.assertAlmostEqual(merge_table.saved_gib_seconds(run), 2.0)
        self.assertAlmostEqual(merge_table.ceiling_gib_seconds(run), 5.0)

    def test_ceiling_keeps_one_page_per_256(self):
        counters = [collections.Counter(a=200, b=1), collections.Counter(a=57, b=1, c=1)]
        self.assertEqual(merge_workload.ceiling_pages(counters), 257 - 2 + 1)

    def test_watching(self):
        """Only where ksmd stands still, and not the stretch with a scan."""
        samples = [Sample(0, 0, 0, 0, 1, 0), Sample(2, 0, 0, 0, 3, 1)]
        self.assertIsNone(merge_table.watching_share(types.SimpleNamespace(samples=samples)))
        own = [1.1, 1.2, 2.2, 2.3, 2.4]
        samples += [Sample(12 + 10 * n, 0, 0, 0, 3, at) for n, at in enumerate(own)] + [Sample(53, 0, 0, 0, 4, 9)]
        self.assertAlmostEqual(merge_table.watching_share(types.SimpleNamespace(samples=samples)), 0.01)

    def test_verdicts(self):
        def figures(name, saved, ksmd, arrival):
            return {"title": name, "to_enough_after_arrival_seconds": arrival, "ksmd_cpu_seconds": ksmd, "saved_gib_seconds": saved,
                    "own_cpu_seconds": 6, "seconds": 600, "guest_bytes": 2 << 30, "watching_share": 0.005, "predicted_bytes": 110, "reached_bytes": 100}

        runs = {"full": figures("full", 100, 100, 4.0), "kernel": figures("kernel", 50, 10, None), "advisor": figures("advisor", 80, 30, 20),
                "samepage": figures("samepage", 90, 15, 6.0)}
        self.assertEqual([g["verdict"] for g in merge_table.goals(runs, churning=True)], ["ok", "ok", "ok", "ok", "ok", "ok", ""])
        self.assertEqual([g["measured"] for g in merge_table.goals(runs, churning=True)], [1.5, 0.15, 0.5, 80 / 90, 10.0, 0.5, 1.0])
        self.assertEqual(merge_table.goals(runs, churning=False)[-3]["verdict"], "short")
        runs["samepage"].update(to_enough_after_arrival_seconds=None, ksmd_cpu_seconds=16, saved_gib_seconds=79, predicted_bytes=None, watching_share=0.02)
        self.assertEqual([g["verdict"] for g in merge_table.goals(runs, churning=True)], ["short", "short", "short", "short", "", "short", ""])
        del runs["samepage"]
        self.assertEqual(merge_table.goals(runs, churning=True), [])


class TheGuest(unittest.TestCase):
    RATE = 200

    def test_holds_what_it_says_and_churns(self):
        with merge_workload.MergeGuest(1, 64, self.RATE) as one, merge_workload.MergeGuest(2, 64, 0) as two:
            one.settle(), two.settle()
            began, written = time.monotonic(), one.writings()
            contents = [g.contents() for g in (one, two)]
            parts = one.parts
            for counter in contents:
                self.assertEqual(sorted(counter.values(), reverse=True)[:2].count(parts.same), 1)
                self.assertEqual(list(counter.values()).count(2), parts.copied)
            self.assertEqual(len(contents[0].keys() & contents[1].keys()) >= parts.equal + 1, True)
            # What the firmware left is a little, and the same in both.
            extra = merge_workload.ceiling_pages(contents) - parts.known_ceiling(2)
            self.assertTrue(0 <= extra <= 2 * 4096, extra)
            time.sleep(max(0, began + 5 - time.monotonic()))
            rate = (one.writings() - written) / (time.monotonic() - began)
            self.assertTrue(0.9 * self.RATE < rate < 1.1 * self.RATE, rate)
            self.assertEqual(two.writings(), 0)
            one.pause()
            self.assertLessEqual(self.unequal_pairs(one), 1)  # the one that was being written

    @staticmethod
    def unequal_pairs(guest):
        with open(f"/proc/{guest.pid}/mem", "rb", buffering=0) as mem:
            mem.seek(guest.churn_begin)
            half = guest.parts.churn // 2 * PAGE
            first, second = mem.read(half), mem.read(half)
        return sum(first[at:at + PAGE] != second[at:at + PAGE] for at in range(0, half, PAGE))


if __name__ == "__main__":
    harness.main()
