# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages that are not in memory: on swap, or in a RAM file on disk. They are counted, never read, and stay where they are."""
import ctypes
import os
import re
import subprocess
import unittest

import guests
import harness
from guests import CONTENT_AT, MIB, Guest, content_file

MADV_PAGEOUT = 21
SYS_PROCESS_MADVISE = 440
SWAP_MIB = 256
CONTENT_MIB = 24


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def ram_mapping(guest):
    """(begin, end, {smaps key: value}) of the guest's RAM: its largest mapping of that size."""
    found = None
    with open(f"/proc/{guest.pid}/smaps") as f:
        for line in f:
            heading = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if heading:
                begin, end = (int(x, 16) for x in heading.groups())
                inside = end - begin == guest.mib * MIB
                if inside:
                    found = (begin, end, {})
            elif inside:
                key, _, value = line.partition(":")
                found[2][key] = value.split()[0] if value.split() else ""
    return found


def page_out(guest):
    """Asks the kernel to put the guest's RAM on swap (or, of a file, back to disk)."""
    begin, end, _ = ram_mapping(guest)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.pidfd_open(guest.pid)
    try:
        vector = _Iovec(begin, end - begin)
        done = libc.syscall(SYS_PROCESS_MADVISE, fd, ctypes.byref(vector), ctypes.c_size_t(1), MADV_PAGEOUT, 0)
    finally:
        os.close(fd)
    if done < 0:
        raise unittest.SkipTest(f"process_madvise: {os.strerror(ctypes.get_errno())}")


def swapped_bytes(guest):
    return int(ram_mapping(guest)[2]["Swap"]) * 1024


class Swapped(unittest.TestCase):
    def setUp(self):
        swap = harness.own_copy("swap")
        with open(swap, "wb") as f:
            os.chmod(swap, 0o600)
            f.write(bytes(SWAP_MIB * MIB))
        for command in (["mkswap", swap], ["swapon", swap]):
            if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                raise unittest.SkipTest(f"{command[0]} does not work here")
        self.addCleanup(os.unlink, swap)
        self.addCleanup(subprocess.run, ["swapoff", swap], check=True)
        guests.at_end(os.system, f"swapoff {swap} 2>/dev/null")

    def check(self, ram):
        content = content_file(CONTENT_MIB, equal_mib=8, seed=3)
        with Guest("out", ram, 96, linux=False, content=content) as guest:
            guest.settle()
            guest.pause()
            before = harness.scan([guest])["guests"][0]
            self.assertEqual(before["swapped_bytes"], 0)
            page_out(guest)
            swapped = swapped_bytes(guest)
            self.assertGreater(swapped, (CONTENT_MIB - 1) * MIB, "the kernel swapped nothing: this test says nothing")
            found = harness.scan([guest])["guests"][0]
            print(f"     {ram}: {swapped / MIB:.1f} MiB on swap")
            self.assertEqual(found["swapped_bytes"], swapped)
            self.assertEqual(swapped_bytes(guest), swapped, "the scan brought pages back from swap")
            self.assertEqual(found["present_bytes"] + found["swapped_bytes"], before["present_bytes"])
            self.assertEqual(found["ram_bytes"], found["present_bytes"] + found["absent_bytes"] + found["swapped_bytes"])
            live = harness.scan([guest], "--mode", "live")["guests"][0]
            self.assertEqual(live["swapped_bytes"], swapped)
            self.assertEqual(swapped_bytes(guest), swapped)

    def test_private(self):
        self.check("default")

    def test_shared(self):
        self.check("memfd-shared")


class FileOnDisk(unittest.TestCase):
    """A RAM file on disk: what counts is in memory, whatever the file's extents say."""

    def test_pages_not_in_memory_are_absent(self):
        path = harness.own_copy("ram")
        kind = subprocess.run(["stat", "-f", "-c", "%T", os.path.dirname(path)], stdout=subprocess.PIPE, text=True).stdout.strip()
        if kind in ("tmpfs", "hugetlbfs"):
            self.skipTest("the temporary folder is in memory")
        extra = ["-object", f"memory-backend-file,id=m0,size=64M,share=on,mem-path={path}", "-machine", "memory-backend=m0"]
        content = content_file(CONTENT_MIB, equal_mib=8, seed=3)
        with Guest("disk", "default", 64, linux=False, content=content, extra=extra) as guest:
            guest.settle()
            guest.pause()
            # A page far from everything else that has data on disk but was never touched by the guest.
            with open(path, "r+b") as f:
                f.seek(60 * MIB)
                f.write(b"x" * MIB)
                f.flush()
                os.fsync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            rss = int(ram_mapping(guest)[2]["Rss"]) * 1024
            found = harness.scan([guest])["guests"][0]
            self.assertEqual(found["present_bytes"], rss)
            self.assertEqual(int(ram_mapping(guest)[2]["Rss"]) * 1024, rss)
            self.assertGreaterEqual(found["distinct_bytes"], CONTENT_MIB * MIB)
            self.assertEqual(found["blocks"][0]["reader"], "pread")
            self.assertLess(rss, CONTENT_AT + (CONTENT_MIB + 8) * MIB)


if __name__ == "__main__":
    harness.main()
