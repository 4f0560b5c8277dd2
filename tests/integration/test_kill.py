# SPDX-License-Identifier: GPL-2.0-or-later
"""No guest is left paused, whatever becomes of the scan.

The scanning process is killed and stopped at random moments of a scan; the guest's run state is watched through its second QMP socket.
Each time a guest that its operator paused is scanned along, and must stay paused. Options: --kills N (default 30), --stops N (5),
--seed N (printed, to repeat a run); or SAMEPAGE_KILLS, SAMEPAGE_STOPS, SAMEPAGE_SEED.
"""
import os
import random
import signal
import subprocess
import sys
import time
import unittest

import guests
import harness
from guests import Guest

FILLED_MIB = 448
MAX_PAUSE_SECONDS = 0.4
# A dead scan's guests run at once, a hung one's at the deadline; both generous for a busy machine, and both far below "for ever".
AT_ONCE_SECONDS = 3.0
AFTER_DEADLINE_SECONDS = 3.0


def _option(name, default):
    flag = f"--{name}"
    if flag in sys.argv:
        at = sys.argv.index(flag)
        value = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
        return value
    return int(os.environ.get(f"SAMEPAGE_{name.upper()}", default))


KILLS = _option("kills", 30)
STOPS = _option("stops", 5)
SEED = _option("seed", time.time_ns() % 1000000)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pids, seconds):
    deadline = time.monotonic() + seconds
    while any(alive(p) for p in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        content = guests.content_file(FILLED_MIB, seed=7)
        cls.guest = Guest("victim", mib=512, linux=False, content=content)
        cls.paused = Guest("paused", "memfd-shared", 48, linux=False)
        guests.boot(cls.guest, cls.paused)
        cls.paused.pause()
        begin = time.monotonic()
        harness.scan([cls.guest, cls.paused], "--threads", "1")
        cls.scan_seconds = time.monotonic() - begin
        cls.random = random.Random(SEED)
        print(f"     a whole scan takes {cls.scan_seconds * 1e3:.0f} ms; seed {SEED}")

    @classmethod
    def tearDownClass(cls):
        cls.guest.kill()
        cls.paused.kill()

    def setUp(self):
        self.assertEqual(self.guest.status(), "running")
        self.guest.take_events()
        self.paused.take_events()

    def begin_scan(self, *arguments, **popen):
        process = harness.start("scan", *harness.qmp_arguments([self.guest, self.paused]), "--json", "--threads", "1", *arguments, **popen)
        # One that hangs would hold the sockets of every later case.
        self.addCleanup(self.end, process)
        return process

    def wait_paused(self):
        self.assertIsNotNone(self.guest.wait_status("paused", 10), "the scan never paused the guest")

    def check_after(self, seconds):
        """The guest runs again within @seconds, stays so, and the other guest was left alone."""
        took = self.guest.wait_status("running", seconds)
        self.assertIsNotNone(took, f"the guest was left paused: not running after {seconds} s")
        self.assertEqual(self.paused.status(), "paused")
        self.assertEqual([e["event"] for e in self.paused.take_events()], [])
        return took

    def end(self, process):
        """Reaps a scan, and closes our ends of its pipes."""
        if process.poll() is None:
            process.kill()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()

    def resumed_after(self, moment):
        """Seconds from @moment (wall clock) to the RESUME that ended a pause which was on at that moment; None if none was."""
        stopped = None
        for e in self.guest.take_events():
            at = e["timestamp"]["seconds"] + e["timestamp"]["microseconds"] / 1e6
            if e["event"] == "STOP":
                stopped = at
            elif e["event"] == "RESUME" and stopped is not None:
                if stopped <= moment < at:
                    return at - moment
                stopped = None
        return None

    def test_sigkill_at_random_moments(self):
        hits = []
        for n in range(KILLS):
            process = self.begin_scan("--max-pause", "20000")
            time.sleep(self.random.uniform(0, self.scan_seconds * 1.1))
            family = harness.children(process.pid)
            moment = time.time()
            process.kill()
            self.end(process)
            with self.subTest(kill=n):
                self.assertTrue(wait_gone(family, AT_ONCE_SECONDS), "the guard lives on")
                self.check_after(AT_ONCE_SECONDS)
                took = self.resumed_after(moment)
                if took is not None:
                    hits.append(took)
        print(f"     {KILLS} kills, {len(hits)} of them while the guest was paused; "
              f"slowest resume {max(hits, default=0) * 1e3:.1f} ms after the kill")
        if KILLS >= 20:
            self.assertGreater(len(hits), 0, "no kill met a pause: this shows nothing")

    def test_sigstop_at_random_moments(self):
        hits = []
        for n in range(STOPS):
            process = self.begin_scan("--max-pause", f"{MAX_PAUSE_SECONDS * 1e3:.0f}")
            if n % 2 == 0:
                self.wait_paused()
            else:
                time.sleep(self.random.uniform(0, self.scan_seconds))
            moment = time.time()
            process.send_signal(signal.SIGSTOP)
            with self.subTest(stop=n):
                self.check_after(MAX_PAUSE_SECONDS + AFTER_DEADLINE_SECONDS)
                took = self.resumed_after(moment)
                if took is not None:
                    hits.append(took)
            self.end(process)
            with self.subTest(stop=n, then="killed"):
                self.check_after(AT_ONCE_SECONDS)
        print(f"     {STOPS} stops, {len(hits)} of them while the guest was paused; "
              f"slowest resume {max(hits, default=0) * 1e3:.1f} ms after the stop (max_pause {MAX_PAUSE_SECONDS * 1e3:.0f} ms)")
        if STOPS:
            self.assertGreater(len(hits), 0)

    def test_signals_that_end_a_program(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV, signal.SIGPIPE):
            with self.subTest(signal=number.name):
                process = self.begin_scan("--max-pause", "20000")
                self.wait_paused()
                process.send_signal(number)
                self.check_after(AT_ONCE_SECONDS)
                process.communicate(timeout=30)
                self.assertNotEqual(process.returncode, 0 if number != signal.SIGPIPE else None)

    def test_ctrl_c_reaches_the_guard_too(self):
        """A terminal sends SIGINT to the whole process group."""
        process = self.begin_scan("--max-pause", "20000", start_new_session=True)
        self.wait_paused()
        os.killpg(process.pid, signal.SIGINT)
        self.check_after(AT_ONCE_SECONDS)
        process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0)

    def test_guard_killed(self):
        """Without its guard a scan has no right to hold a guest: it resumes and stops. It gets a tenth of the CPU meanwhile, or it
        would be done before it could notice."""
        process = self.begin_scan("--max-pause", "20000")
        self.wait_paused()
        process.send_signal(signal.SIGSTOP)
        family = harness.children(process.pid)
        self.assertTrue(family, "the scan has no guard")
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + AT_ONCE_SECONDS
        while self.guest.status() != "running" and time.monotonic() < deadline:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.002)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
        process.send_signal(signal.SIGCONT)
        self.check_after(AT_ONCE_SECONDS)
        _, text = process.communicate(timeout=30)
        self.assertIn(process.returncode, (1, 3), text)
        self.assertIn("guard", text)

    def test_both_killed_then_resume_stale(self):
        process = self.begin_scan("--max-pause", "20000")
        self.wait_paused()
        family = harness.children(process.pid)
        process.send_signal(signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.end(process)
        time.sleep(0.2)
        self.assertEqual(self.guest.status(), "paused")  # nobody is left who could: this is what `resume` is for
        done = harness.run("resume", "--stale")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_after(AT_ONCE_SECONDS)
        again = harness.run("resume", "--stale")
        self.assertEqual(again.returncode, 0, again.stderr)

    def test_resume_stale_leaves_what_an_operator_paused(self):
        """The lease says that we paused it; when the operator resumed and paused it since, it is theirs."""
        process = self.begin_scan("--max-pause", "20000")
        self.wait_paused()
        family = harness.children(process.pid)
        for pid in [process.pid, *family]:
            os.kill(pid, signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.end(process)
        self.guest.resume()
        done = harness.run("resume", "--stale")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.guest.status(), "running")
        self.guest.pause()
        done = harness.run("resume", "--stale")
        self.assertEqual(self.guest.status(), "paused", "no lease is left: a second resume must do nothing")
        self.guest.resume()

    def test_operator_takes_over(self):
        """`cont` by the operator during our pause: the guest runs, and our end does not pause or break anything."""
        process = self.begin_scan("--max-pause", "20000")
        self.wait_paused()
        self.guest.resume()
        out, text = process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 3), text)
        self.assertEqual(self.guest.status(), "running")

    def test_qemu_dies_during_the_pause(self):
        content = guests.content_file(FILLED_MIB, seed=7)
        with Guest("dying", mib=512, linux=False, content=content) as dying:
            process = harness.start("scan", *harness.qmp_arguments([dying, self.paused]), "--json", "--threads", "1",
                                    "--max-pause", "20000")
            self.assertIsNotNone(dying.wait_status("paused", 10))
            dying.process.kill()
            out, text = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 3, text)
            self.assertIn("dying", text + out)


if __name__ == "__main__":
    harness.main()
