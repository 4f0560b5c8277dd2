# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: each gets one clear sentence with the guest's name, the other guests are still scanned, and nobody is left paused."""
import ctypes
import os
import resource
import socket
import struct
import subprocess
import time
import unittest

import fakeqmp
import guests
import harness
import oracle
from guests import MIB, Guest

TIMEOUT_SECONDS = 1
# What a scan may hold while a QEMU sends without end; far above what it needs, far below what would hurt a host.
RSS_LIMIT_BYTES = 256 * MIB


class Case(unittest.TestCase):
    """Cases around one good guest that every scan must get right all the same."""

    @classmethod
    def setUpClass(cls):
        cls.good = Guest("good", mib=96, linux=False, content=guests.content_file(24, equal_mib=4, zero_mib=4, seed=3))
        guests.boot(cls.good)
        cls.good.pause()
        cls.expected = oracle.report([oracle.look(cls.good)])["guests"][0]
        cls.good.resume()

    @classmethod
    def tearDownClass(cls):
        cls.good.kill()

    def check_good(self, report):
        found = harness.by_name(report).get("good")
        self.assertIsNotNone(found, "the good guest is missing from the report")
        self.assertIsNone(found["error"])
        self.assertEqual(found["present_bytes"], self.expected["present_bytes"])
        self.assertAlmostEqual(found["distinct_bytes"], self.expected["distinct_bytes"], delta=16 * guests.PAGE)
        self.assertEqual(self.good.status(), "running")

    def check_sentence(self, text, *words):
        """One sentence: one line that says something, and not a stack of them."""
        lines = [line for line in text.strip().splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, text)
        self.assertGreater(len(lines[0]), 15, text)
        for w in words:
            self.assertIn(w, lines[0])

    def check_bad(self, path, *arguments):
        """A scan of @path and the good guest: exit 3, one sentence about @path, the good guest's figures."""
        name = os.path.basename(path)
        begin = time.monotonic()
        done = harness.run("scan", "--qmp", path, "--qmp", self.good.socket, "--json", "--timeout", str(TIMEOUT_SECONDS), *arguments)
        took = time.monotonic() - begin
        self.assertEqual(done.returncode, 3, done.stderr)
        self.check_sentence(done.stderr, name)
        report = harness.json.loads(done.stdout)
        self.check_good(report)
        # A guest that never said its name goes by its socket: the file's name, or the path where that says more.
        bad = next(g for g in report["guests"] if g["name"] != "good")
        self.assertEqual(os.path.basename(bad["name"]), name)
        self.assertIsInstance(bad["error"], str)
        self.assertGreater(len(bad["error"]), 10)
        for key in ("ram_bytes", "present_bytes", "distinct_bytes"):
            self.assertIn(bad[key], (None,), f"{key} of a guest that could not be scanned")
        self.assertFalse(report["scan"]["complete"])
        self.assertLess(took, 30)
        return bad["error"]


class Sockets(Case):
    def test_missing(self):
        self.check_bad(harness.own_copy("missing.sock"))

    def test_regular_file(self):
        path = harness.own_copy("file.sock")
        with open(path, "w") as f:
            f.write('{"QMP": {}}\n')
        self.check_bad(path)

    def test_folder(self):
        path = harness.own_copy("folder.sock")
        os.mkdir(path)
        self.check_bad(path)

    def test_nobody_listens(self):
        path = harness.own_copy("dead.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
        self.check_bad(path)

    def test_name_too_long(self):
        folder = os.path.join(guests.tmp_dir(), "d" * 60, "e" * 60)
        os.makedirs(folder, exist_ok=True)
        self.check_bad(os.path.join(folder, "long.sock"))

    def test_backlog_full(self):
        """QMP serves one client: the next one waits without a greeting, and later ones cannot even connect."""
        with Guest("taken", mib=32, linux=False) as taken:
            holders = []
            for _ in range(4):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(0.2)
                try:
                    s.connect(taken.socket)
                except OSError:
                    s.close()
                    break
                holders.append(s)
            self.check_bad(taken.socket)
            for s in holders:
                s.close()

    def test_in_use(self):
        with Guest("taken", mib=32, linux=False) as taken:
            holder = guests.Qmp(taken.socket)
            self.check_bad(taken.socket)
            holder.close()

    def test_nothing_else_to_scan(self):
        done = harness.run("scan", "--qmp", harness.own_copy("missing.sock"), "--timeout", "1")
        self.assertIn(done.returncode, (1, 3))
        self.assertIn("missing.sock", done.stderr)


class Hostile(Case):
    def test_endless_line_costs_no_memory(self):
        with fakeqmp.FakeQmp(fakeqmp.endless_line) as path:
            process = harness.start("scan", "--qmp", path, "--timeout", "2")
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertIn(process.returncode, (1, 3))
            self.assertLess(usage.ru_maxrss * 1024, RSS_LIMIT_BYTES)
            process.stdout.close()
            process.stderr.close()

    def test_all_together(self):
        """Many bad ones in one scan cost the good guest nothing but time."""
        servers = [fakeqmp.FakeQmp(b) for b in fakeqmp.ALL]
        try:
            for s in servers:
                s.__enter__()
            report = harness.scan([s.path for s in servers] + [self.good], "--timeout", str(TIMEOUT_SECONDS), code=3)
            self.check_good(report)
            self.assertEqual(len([g for g in report["guests"] if g["error"]]), len(servers))
        finally:
            for s in servers:
                s.__exit__()


def _add_hostile_cases():
    for behaviour in fakeqmp.ALL:
        def case(self, behaviour=behaviour):
            with fakeqmp.FakeQmp(behaviour) as path:
                self.check_bad(path)
        setattr(Hostile, f"test_{behaviour.__name__}", case)


_add_hostile_cases()


class RunStates(Case):
    """Guests in states that are not ours to end: whatever the scan makes of them, it must leave them as they are."""

    def check_state(self, guest, state, word=None):
        self.assertIsNotNone(guest.wait_status(state, 20), f"the test failed to bring its guest into {state}: {guest.status()}")
        guest.take_events()
        done = harness.run("scan", "--qmp", guest.socket, "--qmp", self.good.socket, "--json")
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.assertEqual(guest.status(), state)
        self.assertEqual([e["event"] for e in guest.take_events() if e["event"] in ("STOP", "RESUME")], [])
        report = harness.json.loads(done.stdout)
        self.check_good(report)
        found = harness.by_name(report)[guest.name]
        if done.returncode == 3:
            self.check_sentence(done.stderr, guest.name)
            self.assertIn(word or state, found["error"])
        else:
            self.assertEqual(found["found_state"], state)
        resumed = harness.run("resume", "--stale")
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(guest.status(), state)

    def test_prelaunch(self):
        with Guest("fresh", mib=48, linux=False, extra=["-S"]) as g:
            self.check_state(g, "prelaunch")

    def test_inmigrate(self):
        with Guest("incoming", mib=48, linux=False, extra=["-incoming", "defer"]) as g:
            self.check_state(g, "inmigrate")

    def test_postmigrate(self):
        with Guest("gone", mib=48, linux=False) as g:
            g.qmp.execute("migrate", {"uri": "exec:cat >/dev/null"})
            self.check_state(g, "postmigrate")

    def test_shutdown(self):
        with Guest("down", mib=48, linux=False, extra=["-no-shutdown", "-no-reboot"]) as g:
            g.qmp.execute("system_reset")
            self.check_state(g, "shutdown")

    def test_guest_panicked(self):
        with Guest("panicked", mib=48, linux=False, extra=["-device", "pvpanic", "-action", "panic=pause"]) as g:
            g.qmp.hmp("o /b 0x505 1")
            self.check_state(g, "guest-panicked")

    def test_io_error(self):
        disk = ('{"driver":"blkdebug","node-name":"bad","image":{"driver":"null-co","size":1048576},'
                '"inject-error":[{"event":"none","iotype":"read","errno":5}]}')
        with Guest("broken", mib=48, linux=False, extra=["-blockdev", disk, "-device", "virtio-blk-pci,drive=bad,rerror=stop"]) as g:
            self.check_state(g, "io-error")

    def test_migrating(self):
        """A running guest that is being migrated is not paused."""
        content = guests.content_file(64, seed=4)
        with Guest("leaving", mib=128, linux=False, content=content) as g:
            g.qmp.execute("migrate-set-parameters", {"max-bandwidth": 100000})
            g.qmp.execute("migrate", {"uri": "exec:cat >/dev/null"})
            deadline = time.monotonic() + 10
            while g.qmp.execute("query-migrate").get("status") != "active" and time.monotonic() < deadline:
                time.sleep(0.01)
            self.check_state(g, "running", word="migration")
            self.assertEqual(g.qmp.execute("query-migrate")["status"], "active", "the migration was over too early")
            g.qmp.execute("migrate_cancel")


class Truncated(Case):
    def test_ram_file_truncated_under_us(self):
        """A RAM file that somebody cut off: this guest is lost (its own QEMU would die of the first touch), the scan is not."""
        path = os.path.join(guests.tmpfs_dir(64), "cut.ram")
        content = guests.content_file(24, equal_mib=4, zero_mib=4, seed=3)
        with Guest("cut", mib=64, linux=False, machine="pc,memory-backend=m0", content=content,
                   extra=["-object", f"memory-backend-file,id=m0,size=64M,share=on,mem-path={path}"]) as g:
            g.pause()
            os.truncate(path, 32 * MIB)
            done = harness.run("scan", "--qmp", g.socket, "--qmp", self.good.socket, "--json")
            self.assertIn(done.returncode, (0, 3), done.stderr)
            report = harness.json.loads(done.stdout)
            self.check_good(report)
            if done.returncode == 0:  # what is cut off is absent
                self.assertLessEqual(harness.by_name(report)["cut"]["present_bytes"], 32 * MIB)


class Privileges(Case):
    def test_no_frames(self):
        """Without CAP_SYS_ADMIN the kernel says that every frame is number 0: the actual side is unknown then, never 0."""
        harness.need("setpriv")
        done = subprocess.run(["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin",
                               *harness.command("scan", "--qmp", self.good.socket, "--json")],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.check_sentence(done.stderr)
        report = harness.json.loads(done.stdout)
        self.check_good(report)
        for where in (report["actual"], report["guests"][0]["actual"]):
            for key, value in (where or {"all": None}).items():
                self.assertIsNone(value, key)
        self.assertIsNone((report["gap"] or {"bytes": None})["bytes"])

    def test_not_root(self):
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               *harness.command("scan", "--qmp", self.good.socket)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (1, 3))
        self.assertTrue(done.stderr.strip())
        self.assertEqual(self.good.status(), "running")


class OldKernels(Case):
    def test_no_ksm(self):
        report = harness.scan([self.good], "--ksm-dir", os.path.join(guests.tmp_dir(), "no-ksm"))
        self.check_good(report)
        self.assertFalse(report["ksm"])

    def test_no_pagemap_scan(self):
        """The ioctl PAGEMAP_SCAN is of 2023: without it the plain pagemap gives the same pages."""
        self.good.pause()
        try:
            expected = oracle.report([oracle.look(self.good)])
            report = harness.scan([self.good], preexec_fn=refuse_pagemap_scan)
            self.assertEqual(oracle.differences(expected, report), [])
        finally:
            self.good.resume()


PAGEMAP_SCAN = 0xC0606610
_IOCTL_NR = {"x86_64": 16, "aarch64": 29}


def refuse_pagemap_scan():
    """A seccomp filter that makes this one ioctl fail with ENOTTY, as a kernel that does not know it."""
    libc = ctypes.CDLL(None, use_errno=True)
    load, equal, give = 0x20, 0x15, 0x06  # BPF: load word, jump if equal, return
    allow, refuse = 0x7FFF0000, 0x00050000 | 25
    program = [(load, 0, 0, 0), (equal, 0, 3, _IOCTL_NR[os.uname().machine]),
               (load, 0, 0, 24), (equal, 0, 1, PAGEMAP_SCAN), (give, 0, 0, refuse), (give, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *i) for i in program))

    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    prog = Prog(len(program), ctypes.addressof(code))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(prog), 0, 0):  # no_new_privs; seccomp, filter
        os._exit(77)


class TwoAtATime(Case):
    def test_two_scans_at_once(self):
        """The second waits for the socket or says that the guest is taken; the guest runs in the end."""
        both = [harness.start("scan", "--qmp", self.good.socket, "--json") for _ in range(2)]
        for p in both:
            out, text = p.communicate(timeout=60)
            self.assertIn(p.returncode, (0, 1, 3), text)
            if p.returncode:
                self.check_sentence(text, "good")
            else:
                self.check_good(harness.json.loads(out))
        self.assertIn(0, [p.returncode for p in both])
        self.assertEqual(self.good.status(), "running")

    def test_same_socket_twice(self):
        done = harness.run("scan", "--qmp", self.good.socket, "--qmp", self.good.socket, "--json", "--timeout", "2")
        if done.returncode in (0, 3):
            scanned = [g for g in harness.json.loads(done.stdout)["guests"] if not g["error"]]
            self.assertEqual(len(scanned), 1, "one guest was counted twice")
        if done.returncode:
            self.assertIn(done.returncode, (2, 3), done.stderr)
            self.check_sentence(done.stderr)
        self.assertEqual(self.good.status(), "running")

    def test_two_sockets_of_one_guest(self):
        """The same memory through two monitors must not be counted as sharing between guests."""
        self.good.qmp.close()
        try:
            done = harness.run("scan", "--qmp", self.good.socket, "--qmp", self.good._second, "--json", "--timeout", "2")
        finally:
            self.good.qmp = guests.Qmp(self.good._second)
        if done.returncode in (0, 3):
            scanned = [g for g in harness.json.loads(done.stdout)["guests"] if not g["error"]]
            self.assertEqual(len(scanned), 1, "one guest was counted twice")
        if done.returncode:
            self.check_sentence(done.stderr)
        self.assertEqual(self.good.status(), "running")

    def test_one_name_for_two_guests(self):
        with Guest("good", mib=48, linux=False) as twin:
            done = harness.run("scan", "--qmp", self.good.socket, "--qmp", twin.socket, "--json")
            self.assertIn(done.returncode, (0, 2, 3), done.stderr)
            if done.returncode:
                self.check_sentence(done.stderr, "good")
            else:
                self.assertEqual([g["name"] for g in harness.json.loads(done.stdout)["guests"]].count("good"), 2)
            self.assertEqual((self.good.status(), twin.status()), ("running", "running"))


class Usage(Case):
    def check_usage(self, *arguments, words=()):
        done = harness.run("scan", "--qmp", self.good.socket, *arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        for w in words:
            self.assertIn(w, done.stderr)

    def test_max_pause(self):
        for value in ("0", "-5", "abc", "1e3", "99999999999999999999", "", "20 m"):
            with self.subTest(value=value):
                self.check_usage("--max-pause", value, words=["max-pause"])

    def test_mode(self):
        self.check_usage("--mode", "nonsense", words=["nonsense"])

    def test_threads(self):
        for value in ("-1", "abc", "1000000"):
            with self.subTest(value=value):
                self.check_usage("--threads", value, words=["threads"])

    def test_cpus(self):
        for value in ("", "x", "1-", "3-1", "node9999", "1024"):
            with self.subTest(value=value):
                self.check_usage("--cpus", value, words=["cpus"])

    def test_cpus_that_are_not_there(self):
        done = harness.run("scan", "--qmp", self.good.socket, "--cpus", "1023")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("--cpus", done.stderr)

    def test_name_given_twice(self):
        done = harness.run("scan", "--qmp", self.good.socket, "--guest", "good", "--guest", "good", "--json")
        if done.returncode == 0:
            self.assertEqual(len(harness.json.loads(done.stdout)["guests"]), 1)
        else:
            self.assertEqual(done.returncode, 2, done.stderr)
            self.check_sentence(done.stderr, "good")

    def test_unknown_guest(self):
        done = harness.run("scan", "--qmp", self.good.socket, "--guest", "nobody")
        self.assertIn(done.returncode, (1, 2, 3), done.stderr)
        self.assertIn("nobody", done.stderr)

    def test_no_guests(self):
        done = harness.run("scan")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--qmp", done.stderr)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    harness.main()
