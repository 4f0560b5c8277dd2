# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reason of the gap, produced for real: the right bytes under the right reason, and next to nothing unexplained.

What is expected is counted here, page by page: frames and their flags from pagemap and kpageflags, contents by QEMU's pmemsave. ksmd is
held where a case needs it by a sleep of many minutes between two batches: KSM then runs (run=1) and does nothing. NUMA nodes
cannot be made here: those are unit tests only.
"""
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

import guests
import harness
import ksm
import oracle
from guests import MIB, PAGE, Guest

HELD_MSEC = 1_000_000
# Pages of a workload that beats, less those of which one stays or which are just being written.
BEATING = 1024
THP = "/sys/kernel/mm/transparent_hugepage/enabled"

# As the report orders them; the later one is kept.
ORDER = ("shared-mapping", "hugetlb", "not-mergeable", "ksm-off", "not-scanned-yet", "numa", "volatile", "huge-page", "sharing-limit", "pinned",
         "unexplained", "merged")

Page = collections.namedtuple("Page", "guest content frame merged huge address")


def look(guest):
    """The pages of a paused guest that are not zero."""
    path = os.path.join(guest.dir, "memory")
    pages = []
    frames = oracle.Frames()
    blocks = oracle.find_blocks(guest.qmp, guest.pid)
    assert len(blocks) == 1
    entries = []
    for m in blocks[0].pieces:
        entries += [(m.begin + i * PAGE, e) for i, e in enumerate(oracle.pagemap(guest.pid, m.begin, m.end))]
    guest.qmp.execute("pmemsave", {"val": 0, "size": blocks[0].size, "filename": path})
    with open(path, "rb") as memory:
        for n, (address, entry) in enumerate(entries):
            data = memory.read(PAGE)
            if data == oracle.ZERO:
                continue
            flags, frame = 0, (guest.name, n)  # a page of a RAM file that QEMU has not touched
            if entry & oracle.PM_PRESENT:
                frame = entry & oracle.PM_PFN
                flags = frames.flags(frame)
            pages.append(Page(guest.name, data, frame, bool(flags & oracle.KPF_KSM), bool(flags & oracle.KPF_THP), address))
    os.unlink(path)
    frames.close()
    return pages


def expect(pages, reason_of):
    """{(reason, guest): pages} of the gap, where @reason_of gives each page that KSM has not merged its reason."""
    contents = collections.defaultdict(dict)
    copies = collections.Counter(p.content for p in pages)
    users = collections.Counter((p.content, p.frame) for p in pages if p.merged)
    for p in pages:
        contents[p.content].setdefault(p.frame, p)
    limit = ksm.number("max_page_sharing")
    found = collections.Counter()
    for content, frames in contents.items():
        reasons = sorted((ORDER.index("merged" if p.merged else reason_of(p)), p.guest) for p in frames.values())[:-1]
        forced = min(-(-copies[content] // limit) - 1, sum(users[content, frame] >= limit for frame in frames))
        for reason, guest in reversed(reasons):
            name = ORDER[reason]
            if reason >= ORDER.index("huge-page"):
                name = "sharing-limit" if forced > 0 else "unexplained" if name == "merged" else name
                forced -= 1
            found[name] += 1
    return found


def reasons(report):
    return {r["reason"]: r["bytes"] // PAGE for r in report["gap"]["reasons"] if r["bytes"]}


def hold():
    """Returns when ksmd has slept for a while: it does one more batch before."""
    ksm.write("sleep_millisecs", HELD_MSEC)
    since, seen = time.monotonic(), None
    while time.monotonic() - since < 0.3:
        if ksm.number("pages_scanned") != seen:
            since, seen = time.monotonic(), ksm.number("pages_scanned")
        time.sleep(0.01)


def go(pages_to_scan, sleep_millisecs=20):
    ksm.write("pages_to_scan", pages_to_scan)
    ksm.write("sleep_millisecs", sleep_millisecs)


def wait(what, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.002)


def passes(n):
    """KSM runs for n more passes, as fast as it can, and is held then."""
    ksm.write("run", 1)
    until = ksm.number("full_scans") + n
    go(20000, 0)
    wait(f"{n} passes of KSM", lambda: ksm.number("full_scans") >= until)
    hold()


def items(guest):
    """How many pages of the guest KSM has met."""
    with open(f"/proc/{guest.pid}/ksm_stat") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("ksm_rmap_items "))


def pages_file(name, contents):
    """A file of pages, each of a content by number."""
    path = os.path.join(guests.tmp_dir(), name)
    with open(path, "wb") as f:
        for n in contents:
            f.write(random.Random(f"content {n}").randbytes(PAGE))
    return path


def still(name, content, ram="default", mib=48, **more):
    """A guest that stands still, with this content."""
    return Guest(name, ram, mib, linux=False, content=content, **more)


def meminfo_mib(name):
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith(f"{name}:"))


def settle(*some_guests):
    for g in some_guests:
        g.settle()


@contextlib.contextmanager
def borrowed():
    """KSM, which then meets every page in every pass."""
    with ksm.borrowed():
        if os.path.exists(os.path.join(ksm.DIR, "smart_scan")):
            ksm.write("smart_scan", 0)
        yield


class Gap(unittest.TestCase):
    def setUp(self):
        guests.quiet_khugepaged()
        clock = os.path.join(harness.runtime_dir(), "ksm-passes")
        if os.path.exists(clock):
            os.unlink(clock)

    def check(self, some_guests, reason_of, *arguments):
        """Scans guests that were paused, and compares every reason with what is expected. What is expected."""
        for g in some_guests:
            g.pause()
        expected = expect([p for g in some_guests for p in look(g)], reason_of)
        report = harness.scan(some_guests, *arguments)
        for g in some_guests:
            g.resume()
        self.assertEqual(reasons(report), dict(expected))
        self.check_explained(report)
        for r in report["gap"]["reasons"]:
            self.assertTrue(r["remedy"])
        return expected

    def check_explained(self, report):
        self.assertGreater(report["gap"]["bytes"], 0)
        self.assertLess(reasons(report).get("unexplained", 0) * PAGE, 0.02 * report["gap"]["bytes"], reasons(report))

    def pair(self, ram, content=None):
        content = content or guests.content_file(10, equal_mib=8)
        return still("one", content, ram), still("two", content, ram)


class Mapping(Gap):
    """What a mapping tells, while KSM runs."""

    def check_pair(self, ram, reason):
        with borrowed():
            one, two = self.pair(ram)
            with one, two:
                settle(one, two)
                passes(3)
                expected = self.check([one, two], lambda p: reason)
                self.assertGreaterEqual(expected[reason], 8 * MIB // PAGE)

    def test_shared_mapping(self):
        self.check_pair("memfd-shared", "shared-mapping")

    def test_hugetlb(self):
        self.check_pair("hugetlb-private", "hugetlb")

    def test_not_mergeable(self):
        with borrowed():
            content = guests.content_file(10, equal_mib=8)
            one, two = (still(n, content, machine="pc,mem-merge=off") for n in ("one", "two"))
            with one, two:
                settle(one, two)
                ksm.write("run", 1)  # there is nothing that it could make passes over
                self.check([one, two], lambda p: "not-mergeable")

    def test_ksm_off(self):
        with borrowed():
            one, two = self.pair("default")
            with one, two:
                settle(one, two)
                self.check([one, two], lambda p: "ksm-off")

    def test_ksm_stopped_by_samepaged(self):
        """It sets KSM going again: what is left is not for that it stands still."""
        note = os.path.join(harness.runtime_dir(), "ksm-settings")
        with open("/proc/self/stat") as f:
            start_ticks = f.read().rsplit(")", 1)[1].split()[19]
        with borrowed():
            one, two = self.pair("default")
            with one, two:
                settle(one, two)
                with open(note, "w") as f:
                    f.write(f"owner {os.getpid()} {start_ticks}\nsetting run 0 0 0\n")
                try:
                    self.check([one, two], lambda p: "not-scanned-yet")
                    report = harness.scan([one, two], "--recheck", "1")
                finally:
                    os.unlink(note)
                self.assertGreaterEqual(report["scan"]["recheck_seconds"], 1)
                self.assertEqual(reasons(harness.scan([one, two])).keys(), {"ksm-off"})


class Progress(Gap):
    """An old guest that KSM knows well, and two young ones with equal contents; KSM at its default pace."""

    def old_and_young(self):
        """Boots them. The young ones start in the middle of a pass, after samepage has seen how far KSM was."""
        some = [still("old", guests.content_file(30, seed=7))]
        try:
            guests.boot(*some)
            passes(4)
            go(100)
            time.sleep(0.5)
            hold()
            harness.scan(some)
            some += self.pair("default", guests.content_file(16, equal_mib=16))
            guests.boot(*some[1:])
            return some
        except BaseException:
            for g in some:
                g.kill()
            raise

    def into_first_pass(self, guest):
        go(100)
        wait("KSM has met no page of a young guest", lambda: items(guest) > 300)
        hold()

    def into_second_pass(self, guest):
        self.into_first_pass(guest)
        begun = ksm.number("full_scans")
        go(100)
        wait("KSM has ended no pass", lambda: ksm.number("full_scans") > begun)
        hold()
        return begun

    def with_guests(self, case):
        # The young ones are started by old_and_young(), so that they are young.
        with borrowed():
            some = self.old_and_young()
            try:
                case(*some)
            finally:
                for g in some:
                    g.kill()

    def test_never_met(self):
        def case(old, one, two):
            self.assertEqual((items(one), items(two)), (0, 0))
            expected = self.check([old, one, two], lambda p: "unexplained" if p.guest == "old" else "not-scanned-yet")
            self.assertGreaterEqual(expected["not-scanned-yet"], 16 * MIB // PAGE)

        self.with_guests(case)

    def test_in_the_middle_of_the_first_pass(self):
        def case(old, one, two):
            before = ksm.number("full_scans")
            self.into_first_pass(one)
            self.assertEqual(ksm.number("full_scans"), before + 1)
            self.assertLess(items(one), 48 * MIB // PAGE)
            expected = self.check([old, one, two], lambda p: "unexplained" if p.guest == "old" else "not-scanned-yet")
            self.assertGreaterEqual(expected["not-scanned-yet"], 16 * MIB // PAGE)
            # Without the file nothing proves it of guests that were met.
            go(100)
            wait("KSM has not met the other young guest", lambda: items(two) > 300)
            hold()
            self.assertEqual(ksm.number("full_scans"), before + 1)
            os.unlink(os.path.join(harness.runtime_dir(), "ksm-passes"))
            found = reasons(harness.scan([one, two]))
            self.assertNotIn("not-scanned-yet", found)
            self.assertGreaterEqual(found["unexplained"], 16 * MIB // PAGE)

        self.with_guests(case)

    def test_in_the_middle_of_the_second_pass(self):
        """Huge pages that KSM has still to split: nothing proves that it will, and nothing that it cannot."""
        def case(old, one, two):
            self.into_second_pass(one)
            some = [old, one, two]
            for g in some:
                g.pause()
            expected = expect([p for g in some for p in look(g)], lambda p: "unexplained")
            self.assertEqual(reasons(harness.scan(some)), dict(expected))
            self.assertGreaterEqual(expected["unexplained"], 0.9 * 16 * MIB // PAGE)

        self.with_guests(case)

    def test_merged_between_two_looks(self):
        def case(old, one, two):
            self.into_second_pass(one)
            some = [old, one, two]
            for g in some:
                g.pause()
            expected = expect([p for g in some for p in look(g)], lambda p: "unexplained")
            timer = threading.Timer(2, go, (5000,))
            timer.start()
            report = harness.scan(some, "--recheck", "8")
            timer.join()
            hold()
            self.assertGreaterEqual(report["scan"]["recheck_seconds"], 8)
            self.assertEqual(report["gap"]["bytes"] // PAGE, sum(expected.values()))
            self.assertGreaterEqual(reasons(report)["not-scanned-yet"], 0.98 * sum(expected.values()))
            self.check_explained(report)

        self.with_guests(case)


class Volatile(Gap):
    def test_pages_that_change(self):
        """4 MiB of equal pages that are never equal to what they were."""
        with borrowed(), Guest("beating", mib=128, workload={"equal": 4, "copies": 2, "beat": 4}) as guest:
            passes(5)
            go(2000)
            report = harness.scan([guest], "--recheck", "2")
            found = reasons(report)
            self.assertEqual(guest.status(), "running")
            # One content stays, or two where the guest was just at it.
            self.assertGreaterEqual(found["volatile"], BEATING - 8)
            self.assertLess(found["volatile"], BEATING * 1.1)
            self.check_explained(report)
            self.assertGreaterEqual(report["scan"]["recheck_seconds"], 2)
            self.assertLess(report["guests"][0]["pause_seconds"], 1)
            again = harness.scan([guest])
            self.assertNotIn("volatile", reasons(again))
            self.assertGreaterEqual(reasons(again).get("unexplained", 0) + reasons(again).get("huge-page", 0), BEATING - 8)
            self.assertIsNone(again["scan"]["recheck_seconds"])
            # Nobody else can have the QMP socket while the program has it: not so in the second look.
            with harness.start("scan", "--qmp", guest.socket, "--json", "--recheck", "60") as scan:
                try:
                    time.sleep(3)
                    self.assertEqual(reasons(harness.scan([guest])).keys(), reasons(again).keys())
                finally:
                    scan.kill()

    def test_looking_twice_merges_and_separates_nothing(self):
        with borrowed():
            one, two = self.pair("default")
            with one, two:
                settle(one, two)
                passes(4)
                for g in (one, two):
                    g.pause()
                before = [look(g) for g in (one, two)]
                harness.scan([one, two], "--recheck", "1")
                self.assertTrue([look(g) for g in (one, two)] == before)  # a list of differences would be endless

    def test_guest_that_dies_in_between(self):
        """It loses the second look, and the other one nothing."""
        with borrowed():
            one = Guest("beating", mib=128, workload={"beat": 4})
            with one, still("dying", guests.content_file(20, equal_mib=8)) as two:
                two.settle()
                passes(4)
                scan = harness.start("scan", "--json", "--recheck", "4", *harness.qmp_arguments([one, two]))
                time.sleep(2)
                two.kill()
                out, err = scan.communicate(timeout=60)
                self.assertEqual(scan.returncode, 0, err)
                report = harness.json.loads(out)
                self.assertEqual([g["error"] for g in report["guests"]], [None, None])
                self.assertGreaterEqual(reasons(report)["volatile"], BEATING - 8)


    def test_memory_of_a_guest_that_ends_in_between(self):
        """Nobody looks at shared memory again: with its guest it is free."""
        with borrowed():
            one, two = self.pair("default")
            with one, two, still("shared", guests.content_file(64, equal_mib=8), "memfd-shared", 96) as shared:
                settle(one, two, shared)
                passes(1)
                before = meminfo_mib("Shmem")
                with harness.start("scan", "--events", "--recheck", "60", *harness.qmp_arguments([one, two, shared])) as scan:
                    try:
                        left = next(n for n in (json.loads(line)["data"].get("recheck_in_seconds") for line in scan.stdout) if n)
                        self.assertGreater(left, 50)
                        shared.kill()
                        wait("the memory stays", lambda: meminfo_mib("Shmem") <= before - 60, 20)
                        self.assertIsNone(scan.poll())
                        # It says so all the time.
                        self.assertLess(json.loads(scan.stdout.readline())["data"]["recheck_in_seconds"], left)
                        # As the service does when something else is to be done.
                        scan.send_signal(signal.SIGURG)
                        report = json.loads(scan.communicate(timeout=30)[0].splitlines()[-1])["data"]
                        self.assertLess(report["scan"]["recheck_seconds"], 60)
                    finally:
                        scan.kill()


class Limit(Gap):
    def test_sharing_limit(self):
        """Ten contents 300 times, and one 257 times, at 256 users: two frames each, of which the last has one user."""
        content = pages_file("copies", [n for n in range(10) for _ in range(300)] + [10] * 257)
        with borrowed(), still("copies", content) as guest:
            ksm.write("max_page_sharing", 256)
            guest.settle()
            passes(5)
            expected = self.check([guest], lambda p: "unexplained")
            self.assertEqual(expected["sharing-limit"], 11)


class Pinned(Gap):
    """A QEMU that holds on to a part of the guest's memory, by a library that is loaded into it."""

    def command(self, text):
        done = f"{self.fifo}.done"
        with open(self.fifo, "w") as f:
            f.write(text + "\n")
        wait("the QEMU does not pin", lambda: os.path.exists(done), 20)
        with open(done) as f:
            answer = int(f.read())
        os.unlink(done)
        return answer

    def start(self):
        library = harness.own_copy("pinner.so")
        source = os.path.join(guests.TESTS, "integration", "pinner.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-pthread"], check=True)
        self.fifo = harness.own_copy("pinner")
        os.mkfifo(self.fifo)
        os.environ.update(LD_PRELOAD=library, PINNER=self.fifo)
        try:
            return still("pinned", guests.content_file(10, equal_mib=8))
        finally:
            del os.environ["LD_PRELOAD"], os.environ["PINNER"]

    def test_pinned(self):
        with borrowed(), self.start() as pinned, still("free", guests.content_file(10, equal_mib=8)) as free:
            settle(pinned, free)
            block = oracle.find_blocks(pinned.qmp, pinned.pid)[0]
            begin, end = block.pieces[0].begin, block.pieces[-1].end
            # The half of the memory that has the content: the firmware's is not pinned.
            first = begin + guests.CONTENT_AT
            ring = self.command(f"pin {first:x} {10 * MIB}")
            if ring < 0:
                self.skipTest(f"io_uring registers no buffers: {os.strerror(-ring)}")
            self.assertGreater(end, first)
            passes(6)
            expected = self.check([pinned, free], lambda p: "pinned" if p.guest == "pinned" and first <= p.address < first + 10 * MIB
                                  else "unexplained")
            self.assertGreaterEqual(expected["pinned"], 8 * MIB // PAGE)
            self.assertLessEqual(oracle.ksm_frames(pinned), MIB // PAGE)
            # It was the pin: without it, all is merged.
            self.assertEqual(self.command("unpin"), 0)
            passes(12)
            self.assertGreaterEqual(oracle.ksm_frames(pinned), 8 * MIB // PAGE)

    def test_huge_pages_that_cannot_be_split(self):
        """Pages in a pipe have references that nobody can see, and so have their huge pages."""
        with open(THP) as f:
            if "[never]" in f.read():
                self.skipTest("no transparent huge pages")
        content = guests.content_file(10, equal_mib=8)
        with borrowed(), still("one", content) as one, still("two", content) as two:
            settle(one, two)
            # First, for a page that cannot be merged keeps others from being merged with each other.
            passes(4)
            held = self.start()
            some = [one, two, held]
            with held:
                held.settle()
                self.fill_pipes(held)
                passes(4)
                self.check_huge_pages(some)
                self.assertEqual(self.command("unpin"), 0)
                passes(12)
                self.assertGreaterEqual(oracle.ksm_frames(held), 8 * MIB // PAGE)

    def fill_pipes(self, guest):
        first = oracle.find_blocks(guest.qmp, guest.pid)[0].pieces[0].begin + guests.CONTENT_AT
        error = -self.command(f"pipe {first:x} {10 * MIB}")
        if error > 0:
            self.skipTest(f"pages cannot be put into pipes: {os.strerror(error)}")

    def check_huge_pages(self, some):
        for g in some:
            g.pause()
        expected = expect([p for g in some for p in look(g)], lambda p: "huge-page" if p.huge else "unexplained")
        self.assertGreaterEqual(expected["huge-page"], 8 * MIB // PAGE)
        # Without a second look nothing tells them from others.
        self.assertNotIn("huge-page", reasons(harness.scan(some)))
        timer = threading.Timer(1, go, (20000, 0))
        timer.start()
        report = harness.scan(some, "--recheck", "6")
        timer.join()
        hold()
        self.assertEqual(reasons(report)["huge-page"], expected["huge-page"])
        self.assertEqual(report["gap"]["bytes"] // PAGE, sum(expected.values()))
        self.check_explained(report)
        for g in some:
            g.resume()


if __name__ == "__main__":
    harness.main()
