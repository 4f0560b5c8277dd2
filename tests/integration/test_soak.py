# SPDX-License-Identifier: GPL-2.0-or-later
"""Scan after scan with guests starting and stopping under it: nothing leaks, nobody stays paused.

SOAK_SCANS says how many (default 120; 2000 are the 24 hours of a host in fast motion, some minutes).
"""
import os
import threading
import unittest

import guests
import harness
from daemon import Daemon, Refused
from guests import Guest

SCANS = int(os.environ.get("SOAK_SCANS", "120"))
MIB = 1 << 20


class Soak(unittest.TestCase):
    def start(self, name):
        g = Guest(name, self.ram, mib=32, linux=False)
        self.ram = "memfd-shared" if self.ram == "default" else "default"
        guests.boot(g)
        return g

    def come_and_go(self):
        """One guest ends and another one starts, all the time; now and then in the middle of a scan.

        In the first thread: guests end together with the thread that has started them.
        """
        n = 0
        while not self.enough.is_set():
            n += 1
            self.living.append(self.start(f"guest-{n}"))
            if len(self.living) > 3:
                self.living.pop(0).kill()
            self.enough.wait(0.3)

    def scan_again_and_again(self, d):
        try:
            with d.control(seconds=300) as control:
                while len(self.rss) < SCANS and not self.enough.is_set():
                    report = control("scan", wait=True)
                    control.events.clear()
                    errors = [g["error"] for g in report["guests"]]
                    self.scanned += errors.count(None)
                    self.lost += len(errors) - errors.count(None)
                    self.rss.append(d.rss_bytes())
                    self.fds.append(len(os.listdir(f"/proc/{d.process.pid}/fd")))
        except (Refused, OSError, EOFError) as e:
            self.failure = f"scan {len(self.rss)}: {e}: {d.log()[-2000:]}"
        finally:
            self.enough.set()

    def test_soak(self):
        self.ram = "default"
        self.enough = threading.Event()
        self.rss, self.fds, self.scanned, self.lost, self.failure = [], [], 0, 0, None
        self.living = [self.start("first"), self.start("second")]
        d = Daemon(guests={"qmp_sockets": os.path.join(guests.tmp_dir(), "*", "qmp.sock")})
        scanner = threading.Thread(target=self.scan_again_and_again, args=(d,))
        scanner.start()
        try:
            self.come_and_go()
        finally:
            self.enough.set()  # also when the test is ended half-way
            scanner.join()
        self.assertIsNone(self.failure)
        last = self.rss[-len(self.rss) // 4:]
        print(f"     {SCANS} scans, {self.scanned} guests scanned, {self.lost} gone while scanned; RSS {self.rss[0] / MIB:.1f} MiB at first, "
              f"{min(last) / MIB:.1f} to {max(last) / MIB:.1f} MiB in the last quarter; descriptors {self.fds[0]} at first, {self.fds[-1]} at the end")
        self.assertGreater(self.scanned, SCANS)
        for g in self.living:
            self.assertEqual(g.status(), "running")
        self.assertLess(max(last) - min(last), MIB)
        self.assertLess(max(self.fds) - min(self.fds), 12)
        self.assertEqual(d.figure("samepage_guests_paused"), 0)
        d.stop()
        for g in self.living:
            g.kill()


if __name__ == "__main__":
    harness.main()
