# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory is given back, nothing of a guest is lost by it, and no guest is left paused, whatever becomes of who does it.

What is to be got back is counted here by reading the RAM file itself; what came back is read from st_blocks and /proc/meminfo. A guest
without Linux stands still while it runs, so its content can be hashed before and after. The guest `stir` writes zeros and other things to
its pages all the time and checks each page before it writes to it again. Options: as those of test_kill.py.
"""
import ctypes
import hashlib
import json
import mmap
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import time
import unittest

import guests
import harness
import oracle
import virt
from guests import MIB, PAGE, Guest
from test_kill import AT_ONCE_SECONDS, KILLS, SEED, STOPS, alive, wait_gone

ZERO = bytes(PAGE)
USERFAULTFD, UFFD_USER_MODE_ONLY = 323, 1
LATE_SECONDS = 0.1  # by which a busy host may be late with a resume
LOW = MIB // PAGE  # the firmware of a guest that stands still goes on counting its clock below


def ram_path(guest):
    """The map_files link of the guest's RAM."""
    folder = f"/proc/{guest.pid}/map_files"
    return max((os.path.join(folder, n) for n in os.listdir(folder)), key=lambda p: -int.__sub__(*(int(x, 16) for x in os.path.basename(p).split("-"))))


def file_pages(guest):
    """{page: content} of what the RAM file holds, holes left out."""
    fd = os.open(ram_path(guest), os.O_RDONLY)
    try:
        return {p: os.pread(fd, PAGE, p * PAGE) for p in oracle._data_pages(fd, 0, os.fstat(fd).st_size)}
    finally:
        os.close(fd)


def file_bytes(guest):
    return os.stat(ram_path(guest)).st_blocks * 512


def shared_hash(guest):
    """Of the content of shared RAM, read so that holes stay holes."""
    pages = file_pages(guest)
    digest = hashlib.sha256()
    for p in sorted(pages):
        if p >= LOW and pages[p] != ZERO:
            digest.update(p.to_bytes(8, "little") + pages[p])
    return digest.hexdigest()


def private_hash(guest):
    """Of the pages that QEMU has behind its biggest mapping, read where they are present."""
    begin, end = (int(x, 16) for x in os.path.basename(ram_path(guest)).split("-"))
    digest = hashlib.sha256()
    entries = oracle.pagemap(guest.pid, begin, end)
    with open(f"/proc/{guest.pid}/mem", "rb", buffering=0) as mem:
        for p, entry in enumerate(entries):
            if p < LOW or not entry & oracle.PM_PRESENT:
                continue
            page = os.pread(mem.fileno(), PAGE, begin + p * PAGE)
            if page != ZERO:
                digest.update(p.to_bytes(8, "little") + page)
    return digest.hexdigest()


def meminfo_shmem():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Shmem:"))


def reclaim(guest, *arguments, code=0):
    """`samepage reclaim --json` of one guest: its part of the result."""
    done = harness.run("reclaim", "--qmp", guest.socket, "--json", *arguments)
    if done.returncode != code:
        raise AssertionError(f"samepage reclaim ended with {done.returncode}, not {code}: {done.stderr}{done.stdout}")
    result = json.loads(done.stdout)
    assert result["schema"] == "samepage.reclaim.v1" and result["applied"] == ("--apply" in arguments)
    return result["guests"][0]


def sweeps(guest):
    return int((re.findall(r"SWEEP (\d+)", guest.console()) or ["0"])[-1])


class Kinds(unittest.TestCase):
    """On guests that stand still: the figures, and the content."""

    def check(self, kind, content_hash, populate=False):
        content = guests.content_file(32, equal_mib=4, zero_mib=12, seed=11)
        with Guest(kind, kind, 128, linux=False, content=content) as guest:
            guest.settle()
            if populate:
                guest.qmp.execute("pmemsave", {"val": 0, "size": 64 * MIB, "filename": os.path.join(guest.dir, "dump")})
            pages = file_pages(guest)
            zero = sum(p == ZERO for p in pages.values())
            before, shmem, rss, digest = file_bytes(guest), meminfo_shmem(), guest.proc_status(), content_hash(guest)
            self.assertGreater(zero, 12 * MIB // PAGE - 1)
            guest.take_events()

            found = reclaim(guest)
            block, = found["blocks"]
            self.assertEqual((block["reclaimable_bytes"], block["kept_bytes"]), (zero * PAGE, (len(pages) - zero) * PAGE))
            self.assertEqual((block["reclaimed_bytes"], block["refused"], found["error"], found["after"]), (None, None, None, None))
            self.assertEqual(found["before"], {"file_bytes": before, "rss_shmem_bytes": rss["RssShmem"] * 1024})
            self.assertEqual(file_bytes(guest), before)
            self.assertEqual(guest.proc_status()["RssShmem"], rss["RssShmem"])
            self.assertLess(guest.proc_status()["VmRSS"] - rss["VmRSS"], 4096)
            self.assertEqual(guest.take_events(), [])

            found = reclaim(guest, "--apply")
            block, = found["blocks"]
            self.assertEqual(block["reclaimed_bytes"], zero * PAGE)
            self.assertEqual(file_bytes(guest), before - zero * PAGE)
            self.assertEqual(found["after"]["file_bytes"], before - zero * PAGE)
            self.assertEqual(found["after"]["rss_shmem_bytes"], guest.proc_status()["RssShmem"] * 1024)
            self.assertAlmostEqual(shmem - meminfo_shmem(), zero * PAGE, delta=8 * MIB)
            self.assertEqual(content_hash(guest), digest)
            lengths = guests.pauses(guest.take_events())
            self.assertEqual(len(lengths), found["pauses"])
            self.assertNotIn(None, lengths)
            self.assertEqual(guest.status(), "running")
            if found["pauses"]:
                self.assertAlmostEqual(found["pause_seconds"], sum(lengths), delta=0.05)

            block, = reclaim(guest)["blocks"]
            self.assertEqual(block["reclaimable_bytes"], 0)
            return found, block

    def test_memfd_shared(self):
        found, _ = self.check("memfd-shared", shared_hash)
        self.assertGreater(found["pauses"], 0)

    def test_memfd_shared_that_a_tool_has_populated(self):
        self.check("memfd-shared", shared_hash, populate=True)

    def test_ram_shared(self):
        self.check("ram-shared", shared_hash)

    def test_file_shared(self):
        self.check("file-shared", shared_hash)

    def test_memfd_private(self):
        found, block = self.check("memfd-private", private_hash)
        self.assertEqual((found["pauses"], found["after"]["file_bytes"], block["kind"]), (0, 0, "shadow"))

    def test_mem_path(self):
        found, block = self.check("mem-path", private_hash)
        self.assertEqual((found["pauses"], found["after"]["file_bytes"], block["kind"]), (0, 0, "shadow"))

    def test_many_short_pauses(self):
        """Pauses that are far too short for all of it: as many as it takes, and none longer than it may be.

        A busy host may hold us up for longer than a pause of 8 ms leaves: the guard then ends the process, as it should. Only that
        is tried again, with another guest.
        """
        for _ in range(4):
            try:
                return self.check_many_short_pauses()
            except AssertionError as e:
                if "it was ended, probably by its guard" not in str(e):
                    raise
        return self.check_many_short_pauses()

    def check_many_short_pauses(self):
        content = guests.content_file(64, zero_mib=62, seed=12)
        with Guest("short", "memfd-shared", 128, linux=False, content=content) as guest:
            guest.settle()
            digest = shared_hash(guest)
            guest.take_events()
            found = reclaim(guest, "--apply", "--max-pause", "8")
            self.assertEqual(found["blocks"][0]["reclaimed_bytes"], found["blocks"][0]["reclaimable_bytes"])
            self.assertGreaterEqual(found["blocks"][0]["reclaimed_bytes"], 62 * MIB)
            self.assertGreater(found["pauses"], 1)
            lengths = guests.pauses(guest.take_events())
            self.assertEqual(len(lengths), found["pauses"])
            self.check_lengths(lengths, 8)
            self.assertEqual(shared_hash(guest), digest)

    def check_lengths(self, lengths, max_pause_ms):
        print(f"     {len(lengths)} pauses, the longest {max(lengths) * 1e3:.1f} ms of {max_pause_ms}")
        self.assertLessEqual(statistics.median(lengths), max_pause_ms / 1e3)
        self.assertLess(max(lengths), max_pause_ms / 1e3 + LATE_SECONDS)

    def test_the_shortest_pauses(self):
        """Where a busy host holds it up for longer than the margin, its guard ends it: then it is run again, and nothing is lost."""
        content = guests.content_file(32, zero_mib=30, seed=13)
        with Guest("shortest", "memfd-shared", 96, linux=False, content=content) as guest:
            guest.settle()
            digest = shared_hash(guest)
            guest.take_events()
            for n in range(20):
                done = harness.run("reclaim", "--qmp", guest.socket, "--json", "--apply", "--max-pause", "5")
                if done.returncode == 0:
                    break
                self.assertTrue("guard" in done.stderr or "too short" in done.stderr, done.stderr)
                self.assertIsNotNone(guest.wait_status("running", AT_ONCE_SECONDS), "the guest was left paused")
            self.assertEqual(done.returncode, 0, done.stderr)
            print(f"     after {n} that were ended early")
            self.check_lengths(guests.pauses(guest.take_events()), 5)
            self.assertEqual(shared_hash(guest), digest)
            self.assertEqual(reclaim(guest)["blocks"][0]["reclaimable_bytes"], 0)

    def test_anonymous_memory_has_nothing_to_give_back(self):
        with Guest("anonymous", "default", 96, linux=False) as guest:
            found = reclaim(guest.settle(), "--apply")
            self.assertEqual([(b["kind"], b["refused"], b["reclaimed_bytes"]) for b in found["blocks"]], [("none", None, 0)])
            self.assertEqual(found["pauses"], 0)

    def test_text(self):
        with Guest("text", "memfd-private", 96, linux=False) as guest:
            done = harness.run("reclaim", "--qmp", guest.settle().socket)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"GUEST +BLOCK +SIZE +KIND +TO GET BACK +NOT ZERO\ntext +m0 +96M +shadow +\S+ +0\n")
            self.assertIn("--apply", done.stdout)
            done = harness.run("reclaim", "--qmp", guest.socket, "--apply")
            self.assertRegex(done.stdout, r"text: RAM files \S+ before, 0 after")

    def test_events(self):
        with Guest("events", "memfd-shared", 96, linux=False) as guest:
            done = harness.run("reclaim", "--qmp", guest.settle().socket, "--apply", "--events")
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual({line["event"] for line in lines}, {"PROGRESS", "REPORT"})
            self.assertEqual(lines[-1]["data"]["schema"], "samepage.reclaim.v1")


class Refused(unittest.TestCase):
    def expect(self, guest, word, *arguments):
        """It is left as it is, with a reason, by a dry run and by --apply."""
        before = sum(guest.ram_file_blocks().values())
        for more in ([], ["--apply"]):
            found = reclaim(guest, *more, *arguments, code=1)
            reasons = [b["refused"] for b in found["blocks"] if b["refused"]] + [found["error"] or ""]
            self.assertTrue(any(word in r for r in reasons), f"{word!r} is in none of {reasons}")
            self.assertEqual(sum(b["reclaimed_bytes"] or 0 for b in found["blocks"]), 0)
            self.assertEqual(found["pauses"], 0)
        self.assertGreaterEqual(sum(guest.ram_file_blocks().values()), before)  # a migration adds to them

    def test_preallocated(self):
        with Guest("prealloc", "default", 64, "pc,memory-backend=p0", linux=False,
                   extra=["-object", "memory-backend-memfd,id=p0,size=64M,share=on,prealloc=on"]) as guest:
            self.expect(guest.settle(), "preallocated")

    def test_hugetlb(self):
        for kind in ("hugetlb-shared", "hugetlb-private"):
            with self.subTest(kind=kind), Guest("huge", kind, 64, linux=False) as guest:
                self.expect(guest.settle(), "huge pages")

    def test_locked(self):
        with Guest("locked", "memfd-shared", 64, linux=False, extra=["-overcommit", "mem-lock=on"]) as guest:
            self.expect(guest.settle(), "locked")

    def test_virtio_mem(self):
        with Guest("vmem", "default", 64, linux=False, memory="64M,maxmem=1G,slots=2",
                   extra=["-object", "memory-backend-memfd,id=v0,size=64M,share=on",
                          "-device", "virtio-mem-pci,memdev=v0,requested-size=16M"]) as guest:
            self.expect(guest.settle(), "virtio-mem")

    def test_file_on_disk(self):
        path = os.path.join(guests.tmp_dir(), "disk.ram")
        if oracle_is_tmpfs(guests.tmp_dir()):
            self.skipTest("the temporary folder lies in memory")
        with Guest("disk", "default", 64, "pc,memory-backend=d0", linux=False,
                   extra=["-object", f"memory-backend-file,id=d0,size=64M,share=on,mem-path={path}"]) as guest:
            self.expect(guest.settle(), "disk")

    def test_somebody_else_has_it(self):
        """As a vhost-user backend has it: mapped shared, by another process."""
        for kind in ("memfd-shared", "memfd-private"):
            with self.subTest(kind=kind), Guest("backend", kind, 64, linux=False) as guest:
                guest.settle()
                fd = os.open(ram_path(guest), os.O_RDWR)
                try:
                    self.expect(guest, f"process {os.getpid()} has its file open")
                    with mmap.mmap(fd, 64 * MIB):
                        self.expect(guest, f"process {os.getpid()} has its file mapped shared")
                finally:
                    os.close(fd)
                self.assertGreater(reclaim(guest, "--apply")["blocks"][0]["reclaimed_bytes"], 0)

    def test_migration(self):
        with Guest("moving", "memfd-shared", 96, linux=False, content=guests.content_file(32, seed=4)) as guest:
            guest.settle()
            guest.qmp.execute("migrate-set-parameters", {"max-bandwidth": 65536})
            guest.qmp.execute("migrate", {"uri": "exec:cat > /dev/null"})
            self.expect(guest, "migration")
            guest.qmp.execute("migrate_cancel")

    def test_incoming(self):
        with Guest("coming", "memfd-shared", 64, linux=False, extra=["-incoming", "defer"]) as guest:
            self.expect(guest, "migration")

    def test_found_stopped(self):
        """Zero pages stay, as whoever stopped it may resume it; shadow pages do not need it to stand still."""
        with Guest("stopped", "memfd-shared", 64, linux=False) as shared, Guest("dead", "memfd-private", 64, linux=False) as private:
            for guest in (shared, private):
                guest.settle().pause()
                guest.take_events()
            before = file_bytes(shared)
            self.assertGreater(reclaim(shared)["blocks"][0]["reclaimable_bytes"], 0)
            self.assertIn("found stopped", reclaim(shared, "--apply", code=1)["blocks"][0]["refused"])
            self.assertEqual(file_bytes(shared), before)
            self.assertGreater(reclaim(private, "--apply")["blocks"][0]["reclaimed_bytes"], 0)
            self.assertEqual(file_bytes(private), 0)
            for guest in (shared, private):
                self.assertEqual(guest.status(), "paused")
                self.assertEqual(guest.take_events(), [])

    def test_shadow_pages_that_are_not_zero(self):
        """A template: what it holds stays, what is zero goes."""
        path = os.path.join(guests.tmpfs_dir(64), "template.ram")
        with open(path, "wb") as f:
            f.truncate(64 * MIB)
            f.seek(40 * MIB)
            f.write(random.Random(1).randbytes(MIB))
        with Guest("clone", "default", 64, "pc,memory-backend=t0", linux=False,
                   extra=["-object", f"memory-backend-file,id=t0,size=64M,share=off,mem-path={path}"]) as guest:
            guest.settle()
            digest = private_hash(guest)
            block, = reclaim(guest, "--apply")["blocks"]
            self.assertEqual(block["kept_bytes"], MIB)
            self.assertGreater(block["reclaimed_bytes"], 0)
            self.assertEqual(file_bytes(guest), MIB)
            self.assertEqual(private_hash(guest), digest)
        with open(path, "rb") as f:
            f.seek(40 * MIB)
            self.assertEqual(f.read(MIB), random.Random(1).randbytes(MIB))
        os.unlink(path)

    def test_a_scan_is_no_danger(self):
        """Who has the file open and mapped for reading alone."""
        with Guest("read", "memfd-shared", 64, linux=False) as guest:
            guest.settle()
            fd = os.open(ram_path(guest), os.O_RDONLY)
            try:
                with mmap.mmap(fd, 64 * MIB, prot=mmap.PROT_READ):
                    self.assertGreater(reclaim(guest, "--apply")["blocks"][0]["reclaimed_bytes"], 0)
            finally:
                os.close(fd)

    def test_9p(self):
        """Its threads write to guest memory whatever the virtual CPUs do; behind private memory that is nobody's business."""
        device = ["-fsdev", f"local,id=f0,path={guests.tmp_dir()},security_model=none", "-device", "virtio-9p-pci,fsdev=f0,mount_tag=t"]
        with Guest("files", "memfd-shared", 64, linux=False, extra=device) as guest:
            self.expect(guest.settle(), "virtio-9p")
        with Guest("files", "memfd-private", 64, linux=False, extra=device) as guest:
            self.assertGreater(reclaim(guest.settle(), "--apply")["blocks"][0]["reclaimed_bytes"], 0)

    def test_tmpfs_with_a_size(self):
        """A file that is there as a whole, and another one that may grow: what the first gives back, the second may take."""
        folder = os.path.join(guests.tmp_dir(), "limited")
        os.makedirs(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "samepage-test", folder], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no tmpfs can be mounted")
        undo = ["umount", "-l", folder]
        guests.at_end(subprocess.run, undo)
        path, other = os.path.join(folder, "ram"), os.path.join(folder, "other")
        with open(path, "wb") as f:
            f.write(bytes(64 * MIB))
        with open(other, "wb") as f:
            f.truncate(64 * MIB)
        with Guest("limited", "default", 64, "pc,memory-backend=t0", linux=False,
                   extra=["-object", f"memory-backend-file,id=t0,size=64M,share=on,mem-path={path}"]) as guest:
            self.expect(guest.settle(), "smaller than the files on it")
            os.unlink(other)
            self.assertGreater(reclaim(guest, "--apply")["blocks"][0]["reclaimed_bytes"], 48 * MIB)
            os.unlink(path)
            with open(other, "wb") as f:
                f.truncate(40 * MIB)
                os.unlink(other)
                self.expect(guest, "smaller than the files on it")  # neither has a name
            reclaim(guest, "--apply")

    def test_usage(self):
        self.assertEqual(harness.run("reclaim").returncode, 2)
        done = harness.run("reclaim", "--qmp", "/nowhere.sock", "--apply", "--max-pause", "4")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--max-pause has to be 5 or more", done.stderr)
        self.assertEqual(harness.run("reclaim", "--qmp", "/nowhere.sock", "--max-pause", "4").returncode, 1)
        done = harness.run("reclaim", "--qmp", "/nowhere.sock")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere.sock", done.stderr)

    def test_a_socket_that_somebody_holds(self):
        with Guest("held", "memfd-shared", 64, linux=False) as guest:
            other = guests.Qmp(guest.settle().socket)
            done = harness.run("reclaim", "--qmp", guest.socket, "--apply", "--timeout", "1")
            self.assertEqual(done.returncode, 1)
            self.assertIn("another client", done.stderr)
            other.close()


def oracle_is_tmpfs(path):
    with open("/proc/mounts") as f:
        mounts = [line.split()[1:3] for line in f]
    return max((m for m in mounts if path.startswith(m[0].rstrip("/") + "/")), key=lambda m: len(m[0]))[1] == "tmpfs"


class Stirring(unittest.TestCase):
    """On guests that write to all their pages, zeros or not, all the time."""

    @classmethod
    def setUpClass(cls):
        work = {"zero": 64, "unique": 8, "seed": 9, "stir": 1}
        cls.shared = Guest("stirred", "memfd-shared", 160, workload=work)
        cls.private = Guest("copied", "memfd-private", 160, workload=work)
        guests.boot(cls.shared, cls.private)
        cls.random = random.Random(SEED)
        begin = time.monotonic()
        reclaim(cls.shared, "--apply", "--max-pause", "20000")
        cls.seconds = time.monotonic() - begin
        print(f"     all of it takes {cls.seconds * 1e3:.0f} ms; seed {SEED}")

    @classmethod
    def tearDownClass(cls):
        cls.shared.kill()
        cls.private.kill()

    def setUp(self):
        self.assertEqual(self.shared.status(), "running")
        self.shared.take_events()

    def wait_sweeps(self, guest):
        wanted = sweeps(guest) + 2
        deadline = time.monotonic() + 60
        while sweeps(guest) < wanted:
            self.assertLess(time.monotonic(), deadline, "the guest does not go on")
            time.sleep(0.1)

    def check_whole(self, guest):
        """The guest has found every page as it left it, and has written to all of them since."""
        self.wait_sweeps(guest)
        self.assertEqual(guest.console().count("CORRUPT"), 0)

    def begin(self, *arguments, guest=None):
        process = harness.start("reclaim", "--qmp", (guest or self.shared).socket, "--json", "--apply", *arguments)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()

    def actor(self, process):
        """The process that acts; its guard is its child."""
        deadline = time.monotonic() + 10
        while not harness.children(process.pid):
            self.assertLess(time.monotonic(), deadline)
        return harness.children(process.pid)[0]

    def wait_paused(self, process, guest=None):
        """Waits until the guest is paused, and stops who acts. Returns (it, its guard)."""
        acts = self.actor(process)
        deadline = time.monotonic() + 20
        while (guest or self.shared).status() != "paused":
            self.assertLess(time.monotonic(), deadline, "the guest was never paused")
        os.kill(acts, signal.SIGSTOP)
        return acts, harness.children(acts)[0]

    def test_nothing_is_lost(self):
        for guest, times in ((self.shared, 4), (self.private, 1)):  # what was copied once needs no shadow again
            for _ in range(times):
                with self.subTest(guest=guest.name):
                    self.assertGreater(reclaim(guest, "--apply")["blocks"][0]["reclaimed_bytes"], 0)
                    self.check_whole(guest)

    def test_killed_at_random_moments(self):
        hits = 0
        for n in range(KILLS):
            process = self.begin("--max-pause", "20000")
            acts = self.actor(process)
            if n % 2:
                time.sleep(self.random.uniform(0, self.seconds * 1.1))
            else:
                while self.shared.status() != "paused" and alive(acts):
                    pass
                time.sleep(self.random.uniform(0, 0.01))
            family = [acts, *harness.children(acts)]
            hits += self.shared.status() == "paused"
            if n % 4 < 2:
                process.kill()
            elif alive(acts):
                os.kill(acts, signal.SIGKILL)
            with self.subTest(kill=n):
                self.assertTrue(wait_gone(family, AT_ONCE_SECONDS), "somebody lives on")
                self.assertIsNotNone(self.shared.wait_status("running", AT_ONCE_SECONDS), "the guest was left paused")
                process.wait(10)
                self.assertEqual(self.shared.console().count("CORRUPT"), 0)
            self.end(process)
        self.check_whole(self.shared)
        print(f"     {KILLS} kills, {hits} of them while the guest was paused")
        if KILLS >= 20:
            self.assertGreater(hits, 0, "no kill met a pause: this shows nothing")

    def test_stalled(self):
        """Who acts is stopped: it is dead before the guest runs, and somebody says so."""
        for n in range(STOPS):
            process = self.begin("--max-pause", "300")
            acts, _ = self.wait_paused(process)
            with self.subTest(stop=n):
                self.assertIsNotNone(self.shared.wait_status("running", 3), "the guest was left paused")
                self.assertFalse(alive(acts), "the guest runs, and who changes its memory lives")
                _, text = process.communicate(timeout=10)
                self.assertEqual(process.returncode, 1)
                self.assertIn("guard", text)
                length = guests.pauses(self.shared.take_events())[-1]
                self.assertLess(length, 0.3 + 0.5)
            self.end(process)
        self.check_whole(self.shared)

    def test_somebody_else_resumes_it(self):
        process = self.begin("--max-pause", "20000")
        acts, guard = self.wait_paused(process)
        self.shared.resume()
        self.assertTrue(wait_gone([acts, guard], AT_ONCE_SECONDS), "who changes the memory of a guest that runs lives on")
        _, text = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 1, text)
        self.assertEqual(self.shared.status(), "running")
        self.check_whole(self.shared)

    def test_somebody_else_resumes_it_at_work(self):
        """Not held up before: what is lost is what the guest wrote to a few batches, each between the look at it and the punch."""
        with Guest("resumed", "memfd-shared", 160, workload={"zero": 64, "seed": 3, "stir": 1}) as guest:
            ended = 0
            for n in range(STOPS):
                process = self.begin("--max-pause", "20000", guest=guest)
                acts = self.actor(process)
                while guest.status() != "paused" and alive(acts):
                    pass
                time.sleep(self.random.uniform(0, self.seconds / 4))
                guest.resume()
                with self.subTest(resume=n):
                    self.assertTrue(wait_gone([acts], AT_ONCE_SECONDS), "who changes the memory of a guest that runs lives on")
                    ended += process.wait(10) != 0
                    self.assertEqual(guest.status(), "running")
                self.end(process)
            self.wait_sweeps(guest)
            lost = guest.console().count("CORRUPT")
            print(f"     {STOPS} resumes, {ended} of them ended it, {lost} pages lost")
            self.assertLessEqual(lost, 64 * ended)

    def test_looked_at_within_the_pause(self):
        """What QEMU gets hold of in the middle of a pause, here a userfaultfd that it is passed, ends the work."""
        uffd = ctypes.CDLL(None, use_errno=True).syscall(USERFAULTFD, os.O_CLOEXEC | UFFD_USER_MODE_ONLY)
        if uffd < 0:
            self.skipTest("no userfaultfd")
        with Guest("plugged", "memfd-shared", 160, workload={"zero": 64, "seed": 5, "stir": 1}) as guest:
            process = self.begin("--max-pause", "20000", guest=guest)
            acts, _ = self.wait_paused(process, guest)
            socket.send_fds(guest.qmp.sock, [b'{"execute": "add-fd"}\n'], [uffd])
            os.close(uffd)
            self.assertEqual(guest.qmp._line()["return"]["fdset-id"], 0)
            os.kill(acts, signal.SIGCONT)
            out, text = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 1, text)
            found, = json.loads(out)["guests"]
            block, = (b for b in found["blocks"] if b["refused"])
            self.assertIn("userfaultfd", block["refused"])
            self.assertLess(block["reclaimed_bytes"], block["reclaimable_bytes"])
            self.assertEqual(found["pauses"], 1)
            self.assertEqual(guest.status(), "running")

    def test_guard_killed(self):
        """Without a guard nothing is changed any more; the guest is resumed by who has it paused."""
        process = self.begin("--max-pause", "20000")
        acts, guard = self.wait_paused(process)
        os.kill(guard, signal.SIGKILL)
        wait_gone([guard], AT_ONCE_SECONDS)
        os.kill(acts, signal.SIGCONT)
        self.assertIsNotNone(self.shared.wait_status("running", AT_ONCE_SECONDS), "the guest was left paused")
        out, text = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1, text)
        self.assertIn("guard", text)
        found, = json.loads(out)["guests"]
        self.assertLess(found["blocks"][0]["reclaimed_bytes"], found["blocks"][0]["reclaimable_bytes"])
        self.check_whole(self.shared)

    def test_two_at_once(self):
        """The second one finds the socket taken, or the first one gone; never both at work."""
        first, second = self.begin(), self.begin("--timeout", "1")
        texts = [p.communicate(timeout=60)[1] for p in (first, second)]
        self.assertIn(first.returncode, (0, 1), texts)
        self.assertIn(0, (first.returncode, second.returncode), texts)
        self.check_whole(self.shared)


class OfLibvirt(unittest.TestCase):
    """A domain, which is paused and resumed through libvirt."""

    @classmethod
    def setUpClass(cls):
        cls.libvirt = virt.Libvirt()
        try:
            cls.domain = virt.Domain(cls.libvirt, "stirred", 160, "<source type='memfd'/><access mode='shared'/>", shared=True,
                                     workload={"zero": 48, "stir": 1})
            cls.domain.wait_ready()
        except BaseException:
            cls.libvirt.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.libvirt.close()

    def console(self):
        with open(self.libvirt.root(self.domain.serial), errors="replace") as f:
            return f.read()

    def check_whole(self):
        self.assertIsNotNone(self.domain.wait_state("running", 5), "the domain was left paused")
        wanted = self.console().count("SWEEP") + 2
        deadline = time.monotonic() + 60
        while self.console().count("SWEEP") < wanted:
            self.assertLess(time.monotonic(), deadline, "the guest does not go on")
            time.sleep(0.1)
        self.assertEqual(self.console().count("CORRUPT"), 0)

    def test_apply(self):
        words = ("reclaim", "--libvirt", virt.URI, "--apply", "--json")
        done = self.libvirt.run(*words)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--libvirt-monitor", done.stderr)
        for _ in range(3):
            done = self.libvirt.run(*words, "--libvirt-monitor", "--max-pause", "50")
            self.assertEqual(done.returncode, 0, done.stderr)
            found, = json.loads(done.stdout)["guests"]
            self.assertGreater(found["blocks"][0]["reclaimed_bytes"], 0)
            self.assertEqual(found["via"], "libvirt")
            self.check_whole()

    def test_stalled(self):
        process = self.libvirt.begin("reclaim", "--libvirt", virt.URI, "--libvirt-monitor", "--apply", "--max-pause", "400")
        deadline = time.monotonic() + 20
        while self.domain.recorded_state() != "paused":
            self.assertLess(time.monotonic(), deadline, "the domain was never paused")
        acts, = harness.children(process.pid)
        os.kill(acts, signal.SIGSTOP)
        _, text = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1)
        self.assertIn("guard", text)
        self.assertIn("done with 0 of 1 guests", text)
        self.check_whole()

    def begin_in_pause(self):
        """Who acts is stopped, a moment after the pause began, so that it was told of it. Returns (process, who acts)."""
        process = self.libvirt.begin("reclaim", "--libvirt", virt.URI, "--libvirt-monitor", "--apply", "--max-pause", "20000")
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 20
        while self.domain.recorded_state() != "paused":
            self.assertLess(time.monotonic(), deadline, "the domain was never paused")
        acts, = harness.children(process.pid)
        os.kill(acts, signal.SIGSTOP)
        time.sleep(0.5)
        return process, acts

    def test_libvirtd_killed(self):
        """Nobody would tell of a resume: who changes the domain's memory is ended at once, and the domain runs when libvirtd does."""
        process, acts = self.begin_in_pause()
        self.libvirt.kill_daemon()
        try:
            self.assertTrue(wait_gone([acts], AT_ONCE_SECONDS), "who changes the domain's memory lives on")
            _, text = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 1)
            self.assertIn("guard", text)
        finally:
            self.libvirt.restart()
        self.assertIsNotNone(self.domain.wait_state("running", 60), "the domain was left paused")
        self.check_whole()

    def test_somebody_else_resumes_it(self):
        process, acts = self.begin_in_pause()
        self.libvirt.virsh("resume", self.domain.uuid)
        self.assertTrue(wait_gone([acts], AT_ONCE_SECONDS), "who changes the memory of a domain that runs lives on")
        self.assertIn("guard", process.communicate(timeout=20)[1])
        self.check_whole()


if __name__ == "__main__":
    harness.main()
