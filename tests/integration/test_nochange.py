# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking changes nothing: for every kind of RAM, the same pages in the same frames after a scan as before.

Exact, with guests that their operator paused: every page's content and frame (so also what KSM merged and what is present at all),
st_blocks of RAM files (where the kernel reclaims by itself: no more of them), RssShmem. With noise, because QEMU answers QMP meanwhile: RssAnon and VmPTE of the process
(RSS_NOISE_KB, PTE_NOISE_KB). The host's free memory may fall by a tenth of what the guests have absent, which populating any two of
them would exceed.
"""
import ctypes
import glob
import os
import unittest

import guests
import harness
import ksm
import oracle
from guests import MIB, PAGE, Guest

RSS_NOISE_KB = 1024
PTE_NOISE_KB = 64

KINDS = ("default", "ram-shared", "memfd-shared", "memfd-private", "file-shared", "mem-path", "hugetlb-shared", "hugetlb-private", "numa")


def mem_available():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable:"))


def reclaims_by_itself():
    """Whether this kernel drops clean pages that nobody looks at, those of a RAM file too: then it may become smaller without us."""
    for kdamond in glob.glob("/sys/kernel/mm/damon/admin/kdamonds/[0-9]*"):
        actions = glob.glob(f"{kdamond}/contexts/*/schemes/*/action")
        if _read(f"{kdamond}/state") == "on" and "pageout" in [_read(a) for a in actions]:
            return True
    return _read("/sys/module/damon_reclaim/parameters/enabled") == "Y"


def _read(path):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return ""


class Look:
    """All that must stay, of one guest that is paused."""

    def __init__(self, guest):
        self.memory = oracle.look(guest)
        self.pages = [[(c, f, k) for c, f, k in b.pages] for b in self.memory.blocks]
        self.file_blocks = guest.ram_file_blocks()
        self.status = guest.proc_status()

    def has_same_blocks(self, before):
        if not reclaims_by_itself():
            return self.file_blocks == before.file_blocks
        return set(self.file_blocks) == set(before.file_blocks) and all(self.file_blocks[f] <= n for f, n in before.file_blocks.items())

    def changes(self, before):
        found = []
        for block, now, then in zip(self.memory.blocks, self.pages, before.pages):
            if len(now) != len(then):
                found.append(f"{block.name}: {len(then)} pages present before, {len(now)} after")
            elif now != then:
                moved = sum(1 for a, b in zip(now, then) if a != b)
                found.append(f"{block.name}: {moved} pages differ in content or frame")
        if not self.has_same_blocks(before):
            found.append(f"st_blocks {before.file_blocks} -> {self.file_blocks}")
        for key, noise in (("RssShmem", 0), ("RssAnon", RSS_NOISE_KB), ("VmPTE", PTE_NOISE_KB)):
            if abs(self.status[key] - before.status[key]) > noise:
                found.append(f"{key} {before.status[key]} -> {self.status[key]} kB")
        return found


class NoChange(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guests, cls.left_out = {}, {}
        cls.ksm = ksm.borrowed()
        cls.ksm.__enter__()
        cls.addClassCleanup(cls.ksm.__exit__, None, None, None)
        kinds = list(KINDS)
        while kinds:
            wave, kinds = kinds[:3], kinds[3:]
            begun = []
            for kind in wave:
                mib = 128 if kind.startswith("hugetlb") else 416
                try:
                    begun.append(Guest(kind, kind, mib, workload={"equal": 6, "copies": 2, "unique": 2, "zero": 4, "seed": len(begun)}))
                except unittest.SkipTest as e:
                    cls.left_out[kind] = str(e)
            for g in begun:
                cls.guests[g.name] = g
                cls.addClassCleanup(g.kill)
            guests.boot(*begun)
        ksm.merge()

    def check(self, kind, *arguments):
        if kind in self.left_out:
            self.skipTest(self.left_out[kind])
        guest = self.guests[kind]
        guest.pause()
        try:
            before = Look(guest)
            done = harness.run(*arguments[:1], "--qmp", guest.socket, *arguments[1:])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(Look(guest).changes(before), [])
        finally:
            guest.resume()

    def test_all_at_once(self):
        """One scan of all guests that run: the host's free memory, the KSM frames, and no guest larger."""
        some = list(self.guests.values())
        absent = sum(oracle_absent(g) for g in some)
        self.assertGreater(absent, 1000 * MIB)
        merged = oracle.ksm_frames(*some)
        self.assertGreater(merged, 3000)
        available = mem_available()
        harness.scan(some)
        fell = available - mem_available()
        print(f"     host's available memory fell by {fell / MIB:.1f} MiB; absent in the guests: {absent / MIB:.0f} MiB")
        self.assertLess(fell, absent / 10)
        # The guests run, so a few merged pages may be written to meanwhile.
        self.assertAlmostEqual(oracle.ksm_frames(*some), merged, delta=merged // 20)
        self.assertAlmostEqual(sum(oracle_absent(g) for g in some), absent, delta=absent // 20)

    def test_the_check_notices(self):
        """Reading holes, and un-merging reads, are what this file exists for: the comparison must see both."""
        guest = self.guests["memfd-shared"]
        guest.pause()
        before = Look(guest)
        piece = before.memory.blocks[0].pieces[0]
        mem = os.open(f"/proc/{guest.pid}/mem", os.O_RDONLY)
        for at in range(piece.begin, piece.end, MIB):
            os.pread(mem, 1, at)
        os.close(mem)
        changes = Look(guest).changes(before)
        guest.resume()
        self.assertTrue(any("pages present" in c for c in changes), changes)
        self.assertTrue(any("st_blocks" in c for c in changes), changes)

        guest = self.guests["default"]
        guest.pause()
        before = Look(guest)
        piece = before.memory.blocks[0].pieces[0]
        read_remotely(guest.pid, piece.begin, piece.end)
        changes = Look(guest).changes(before)
        guest.resume()
        self.assertTrue(any("frame" in c or "present" in c for c in changes), changes)
        ksm.merge()


def oracle_absent(guest):
    """Bytes of the guest that have no host memory; needs no pause."""
    blocks = oracle.find_blocks(guest.qmp, guest.pid)
    present = 0
    for b in blocks:
        for m in b.pieces:
            if b.shared and not b.huge:
                fd = os.open(f"/proc/{guest.pid}/map_files/{m.map_files}", os.O_RDONLY)
                present += len(oracle._data_pages(fd, m.offset, m.offset + m.end - m.begin))
                os.close(fd)
            else:
                present += sum(1 for e in oracle.pagemap(guest.pid, m.begin, m.end) if e & oracle.PM_PRESENT)
    return sum(b.size for b in blocks) - present * PAGE


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def read_remotely(pid, begin, end):
    """process_vm_readv of a whole range, as a careless scanner would."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(MIB)
    for at in range(begin, end, MIB):
        local, remote = _IoVec(ctypes.addressof(buffer), MIB), _IoVec(at, MIB)
        libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)


def _add_cases():
    commands = {
        "guests": ("guests",),
        "snapshot": ("scan", "--json"),
        "sliced": ("scan", "--json", "--mode", "sliced", "--max-pause", "20"),
        "live": ("scan", "--json", "--mode", "live"),
        "careful": ("scan", "--json", "--careful"),
    }
    for kind in KINDS:
        def case(self, kind=kind):
            for what, arguments in commands.items():
                with self.subTest(kind=kind, command=what):
                    self.check(kind, *arguments)
        setattr(NoChange, f"test_{kind.replace('-', '_')}", case)


_add_cases()

if __name__ == "__main__":
    harness.main()
