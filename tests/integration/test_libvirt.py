# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains of a real libvirtd: the figures are the oracle's, libvirt always knows the state, nothing is tainted, nobody is left paused."""
import json
import os
import random
import signal
import subprocess
import time
import unittest

import guests
import harness
import oracle
import virt
from guests import MIB

URI = virt.URI
# A name that has to be escaped in XML, JSON and file names.
STRANGE = "we\"b' é & <1>"
AT_ONCE_SECONDS = 1.0
# What a libvirtd takes to come back and to find its domains.
BACK_SECONDS = 30.0
ATTEMPTS = 20
KILLS = int(os.environ.get("SAMEPAGE_KILLS", 6))
KILL_SEED = int(os.environ.get("SAMEPAGE_SEED", time.time_ns() % 1000000))


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class OfLibvirt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.libvirt = virt.Libvirt()
        try:
            cls.make_domains()
        except BaseException:
            cls.libvirt.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.libvirt.close()

    def setUp(self):
        for d in self.libvirt.domains:
            d.resume()

    def tearDown(self):
        """Whatever a case did: no lease is left, no process of a scan, and nothing but the monitor's cases taints."""
        deadline = time.monotonic() + 5
        while (self.leases() or self.bridges()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.leases(), [])
        self.assertEqual(self.bridges(), [])

    def leases(self):
        folder = os.path.join(harness.runtime_dir(), "leases")
        return os.listdir(folder) if os.path.isdir(folder) else []

    def bridges(self):
        """The processes that hold connections to this libvirtd."""
        mine = os.readlink(f"/proc/{self.libvirt.holder.pid}/ns/mnt")
        found = []
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                if name_of(pid) == "samepage-virt" and os.readlink(f"/proc/{pid}/ns/mnt") == mine:
                    found.append(pid)
            except OSError:
                pass
        return found

    def scan(self, *arguments, code=0):
        done = self.libvirt.run("scan", "--libvirt", URI, "--json", *arguments)
        self.assertEqual(done.returncode, code, done.stderr or done.stdout[-2000:])
        return json.loads(done.stdout)

    def begin_scan(self, *arguments):
        process = self.libvirt.begin("scan", "--libvirt", URI, "--json", "--threads", "1", *arguments)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        if not process.stdout.closed:
            process.communicate(timeout=30)

    def compare(self, domains, *arguments):
        """Figures of suspended domains against the oracle's."""
        for d in domains:
            d.suspend()
        before = [d.state() for d in domains]
        expected = oracle.report([oracle.look(d) for d in domains])
        report = self.scan(*arguments)
        self.assertEqual([g["name"] for g in report["guests"]], [d.name for d in domains])
        self.assertEqual(oracle.differences(expected, report), [])
        for g, d in zip(report["guests"], domains):
            self.assertIsNone(g["error"])
            self.assertEqual((g["via"], g["found_state"], g["consistency"]), ("libvirt", "paused", "exact"))
            self.assertEqual((g["uuid"], g["pid"]), (d.uuid, d.pid))
            self.assertIsNone(g["pause_seconds"])
        self.assertEqual([d.state() for d in domains], before)
        self.assertEqual(before, [("paused", "user")] * len(domains))
        return report


class Two(OfLibvirt):
    @classmethod
    def make_domains(cls):
        cls.plain = virt.Domain(cls.libvirt, STRANGE, 256, group='acme & "co"',
                                workload={"equal": 8, "copies": 3, "unique": 96, "zero": 5, "seed": 1})
        cls.shared = virt.Domain(cls.libvirt, "shared", 160, "<source type='memfd'/><access mode='shared'/>", shared=True,
                                 workload={"equal": 8, "copies": 2, "unique": 4, "zero": 3, "seed": 2})
        for d in (cls.plain, cls.shared):
            d.wait_ready()

    def tearDown(self):
        super().tearDown()
        for d in (self.plain, self.shared):
            self.assertFalse(d.is_tainted())

    def in_order(self):
        """As libvirt lists them, which is no order of ours."""
        names = [g["name"] for g in self.scan("--mode", "live")["guests"]]
        return sorted((self.plain, self.shared), key=lambda d: names.index(d.name))

    def begin_in_pause(self, *arguments):
        """A scan that is stopped while it has the plain domain paused, and surely is in no hurry."""
        for _ in range(ATTEMPTS):
            process = self.begin_scan("--guest", self.plain.name, "--max-pause", "20000", *arguments)
            deadline = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < deadline:
                if self.plain.recorded_state() == "paused":
                    process.send_signal(signal.SIGSTOP)
                    time.sleep(0.1)
                    if self.plain.state()[0] == "paused":
                        return process
                    process.send_signal(signal.SIGCONT)
                    break
            process.communicate(timeout=60)
        self.fail("no scan was met in its pause")

    def test_figures(self):
        report = self.compare(self.in_order())
        found = harness.by_name(report)
        self.assertEqual(found[self.plain.name]["group"], 'acme & "co"')
        self.assertIsNone(found[self.shared.name]["group"])
        self.assertEqual([b["backend"] for b in found[self.plain.name]["blocks"]], ["memory-backend-ram"])
        self.assertEqual([(b["backend"], b["shared"], b["reason"]) for b in found[self.shared.name]["blocks"]],
                         [("memory-backend-memfd", True, "shared-mapping")])
        self.assertGreaterEqual(report["ideal"]["inter_sharing_bytes"], 8 * MIB)
        self.assertGreaterEqual(found[self.plain.name]["self_sharing_bytes"], 16 * MIB)

    def test_figures_of_the_careful_readers(self):
        self.compare(self.in_order(), "--careful")

    def test_listing(self):
        done = self.libvirt.run("guests", "--libvirt", URI, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = {g["name"]: g for g in json.loads(done.stdout)["guests"]}
        self.assertEqual(set(found), {self.plain.name, self.shared.name})
        self.assertEqual({n: g["uuid"] for n, g in found.items()}, {d.name: d.uuid for d in (self.plain, self.shared)})
        self.assertEqual(found[self.plain.name]["via"], "libvirt")
        self.assertEqual(found[self.plain.name]["group"], 'acme & "co"')
        text = self.libvirt.run("guests", "--libvirt", URI)
        self.assertIn(self.plain.name, text.stdout)

    def test_running(self):
        """Paused and resumed by libvirt: it is `unpaused` then, once and for all."""
        self.scan()
        before = [d.state() for d in (self.plain, self.shared)]
        self.assertEqual(before, [("running", "unpaused")] * 2)
        report = self.scan()
        for g in report["guests"]:
            self.assertEqual((g["pauses"], g["consistency"], g["found_state"]), (1, "exact", "running"))
            self.assertGreater(g["pause_seconds"], 0)
        self.assertEqual([d.state() for d in (self.plain, self.shared)], before)

    def test_many_pauses(self):
        """Events of our own resumes come late; taken for somebody else's they would end the scan, or leave a domain paused."""
        report = self.scan("--mode", "sliced", "--max-pause", "12", "--threads", "1")
        found = harness.by_name(report)
        self.assertEqual(found[self.plain.name]["consistency"], "sliced")
        self.assertGreater(found[self.plain.name]["pauses"], 1)
        for d in (self.plain, self.shared):
            self.assertEqual(d.state(), ("running", "unpaused"))

    def test_together(self):
        report = self.scan("--together")
        self.assertEqual([g["pauses"] for g in report["guests"]], [1, 1])

    def test_live(self):
        before = [d.state() for d in (self.plain, self.shared)]
        for g in self.scan("--mode", "live")["guests"]:
            self.assertEqual((g["pauses"], g["consistency"]), (0, "live"))
        self.assertEqual([d.state() for d in (self.plain, self.shared)], before)

    def test_one_by_name(self):
        report = self.scan("--guest", self.shared.name)
        self.assertEqual([g["name"] for g in report["guests"]], [self.shared.name])
        report = self.scan("--guest", self.shared.name, "--guest", "nobody", code=3)
        self.assertEqual([(g["name"], g["error"] is None) for g in report["guests"]], [(self.shared.name, True), ("nobody", False)])

    def test_suspended_stays_suspended(self):
        self.plain.suspend()
        found = harness.by_name(self.scan())
        self.assertEqual((found[self.plain.name]["found_state"], found[self.plain.name]["pauses"]), ("paused", 0))
        self.assertEqual(found[self.shared.name]["found_state"], "running")
        self.assertEqual(self.plain.state(), ("paused", "user"))
        self.assertEqual(self.shared.state()[0], "running")

    def test_job_in_progress(self):
        """A dump into a pipe that nobody reads goes on for as long as the test wants."""
        pipe = self.libvirt.root("/var/lib/libvirt/images/pipe")
        os.mkfifo(pipe, 0o666)
        self.addCleanup(os.unlink, pipe)
        dump = self.libvirt.start_virsh("dump", "--live", self.plain.uuid, "/var/lib/libvirt/images/pipe")
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            deadline = time.monotonic() + 20
            while "None" in self.libvirt.virsh("domjobinfo", self.plain.uuid).stdout and time.monotonic() < deadline:
                time.sleep(0.05)
            before = self.plain.state()
            report = self.scan(code=3)
            found = harness.by_name(report)
            self.assertIn("under way", found[self.plain.name]["error"])
            self.assertIsNone(found[self.shared.name]["error"])
            self.assertEqual(found[self.plain.name]["pauses"], 0)
            self.assertEqual(self.plain.state(), before)
        finally:
            self.libvirt.virsh("domjobabort", self.plain.uuid, check=False)
            os.close(reader)
            dump.communicate(timeout=60)
        self.scan()

    def test_kill_in_the_pause(self):
        process = self.begin_in_pause()
        begin = time.monotonic()
        process.kill()
        took = self.plain.wait_state("running", 10)
        self.assertIsNotNone(took, "left paused")
        self.assertLess(time.monotonic() - begin, AT_ONCE_SECONDS)
        print(f"     runs again {took * 1e3:.0f} ms after the kill")

    def test_stop_in_the_pause(self):
        """A scan that hangs: the guard ends the pause at the deadline, through libvirt."""
        process = self.begin_scan("--guest", self.plain.name, "--max-pause", "300")
        for _ in range(20000):
            if self.plain.recorded_state() == "paused" or process.poll() is not None:
                break
        process.send_signal(signal.SIGSTOP)
        self.assertIsNotNone(self.plain.wait_state("running", 3), "left paused")
        self.end(process)

    def test_guard_and_scan_killed(self):
        process = self.begin_in_pause()
        for pid in harness.children(process.pid):
            if name_of(pid) == "samepage-guard":
                os.kill(pid, signal.SIGSTOP)
                process.kill()
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=30)
        time.sleep(0.3)
        self.assertEqual(self.plain.state(), ("paused", "user"))
        done = self.libvirt.run("resume", "--stale", "--json")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertEqual([(g["name"], g["outcome"]) for g in json.loads(done.stdout)["guests"]], [(self.plain.name, "resumed")])
        self.assertEqual(self.plain.state(), ("running", "unpaused"))

    def test_bridge_killed_in_the_pause(self):
        """The connection to libvirt is gone: the guard makes a new one."""
        process = self.begin_in_pause()
        for pid in self.bridges():
            os.kill(pid, signal.SIGKILL)
        self.assertIsNotNone(self.plain.wait_state("running", 10), "left paused")
        process.send_signal(signal.SIGCONT)
        _, text = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, text)
        self.assertIn(self.plain.name, text)

    def kill_guard_and_bridge(self, process):
        """Under a scan that is stopped; the guard first, or it would make a new connection."""
        for name in ("samepage-guard", "samepage-virt"):
            family = [pid for pid in harness.children(process.pid) if name_of(pid) == name]
            self.assertTrue(family, f"the scan has no {name}")
            for pid in family:
                os.kill(pid, signal.SIGKILL)

    def test_guard_and_bridge_killed_in_the_pause(self):
        """The scan alone is left: it resumes the domain over a connection of its own."""
        process = self.begin_in_pause()
        self.kill_guard_and_bridge(process)
        process.send_signal(signal.SIGCONT)
        took = self.plain.wait_state("running", AT_ONCE_SECONDS + 4)
        self.assertIsNotNone(took, "left paused")
        self.assertEqual(self.plain.state(), ("running", "unpaused"))
        _, text = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, text)
        self.assertIn(self.plain.name, text)
        self.assertIn("it runs again", text)
        print(f"     runs again {took * 1e3:.0f} ms after the scan went on")

    def test_guard_and_bridge_killed_with_libvirtd(self):
        """Nobody can resume the domain: the scan says so, with what does as soon as libvirtd is there again."""
        process = self.begin_in_pause()
        self.libvirt.kill_daemon()
        self.kill_guard_and_bridge(process)
        process.send_signal(signal.SIGCONT)
        _, text = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, text)
        self.assertIn(f"{self.plain.name}: it may be paused, and samepage resume --stale resumes it", text)
        self.assertTrue(self.leases())
        self.libvirt.restart()
        self.assertEqual(self.plain.state(), ("paused", "user"))
        done = self.libvirt.run("resume", "--stale", "--json")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertEqual(self.plain.state(), ("running", "unpaused"))

    def test_operator_resumes(self):
        process = self.begin_in_pause()
        self.libvirt.virsh("resume", self.plain.uuid)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        self.assertEqual(self.plain.state(), ("running", "unpaused"))

    def test_libvirtd_killed_in_the_pause(self):
        process = self.begin_in_pause()
        self.libvirt.kill_daemon()
        process.send_signal(signal.SIGCONT)
        time.sleep(1)
        self.libvirt.restart()
        self.assertIsNotNone(self.plain.wait_state("running", BACK_SECONDS), "left paused")
        out, text = process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 1, 3), text)
        if process.returncode:
            self.assertIn(self.plain.name, text)

    def test_libvirtd_and_scan_killed_in_the_pause(self):
        process = self.begin_in_pause()
        self.libvirt.kill_daemon()
        process.kill()
        process.communicate(timeout=30)
        time.sleep(1)
        self.libvirt.restart()
        self.assertIsNotNone(self.plain.wait_state("running", BACK_SECONDS), "left paused")

    def test_libvirtd_away_for_longer(self):
        """Longer than a scan waits: the scan says so with the domain's name, and the guard goes on."""
        process = self.begin_in_pause("--timeout", "2")
        self.libvirt.kill_daemon()
        process.send_signal(signal.SIGCONT)
        _, text = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, text)
        self.assertIn(self.plain.name, text)
        self.assertTrue(self.leases())
        self.libvirt.restart()
        self.assertIsNotNone(self.plain.wait_state("running", BACK_SECONDS), "left paused")

    def test_libvirtd_killed_at_random_moments(self):
        """In the middle of a stop, of a cont, of anything; the scan may succeed or say that it did not."""
        random.seed(KILL_SEED)
        ends = []
        for n in range(KILLS):
            process = self.begin_scan("--mode", "sliced", "--max-pause", "12")
            time.sleep(random.uniform(0.02, 0.4))
            self.libvirt.kill_daemon()
            time.sleep(random.uniform(0, 0.5))
            self.libvirt.restart()
            out, text = process.communicate(timeout=120)
            with self.subTest(kill=n):
                self.assertIn(process.returncode, (0, 1, 3), text)
                for d in (self.plain, self.shared):
                    self.assertIsNotNone(d.wait_state("running", BACK_SECONDS), f"{d.name} left paused: {text}")
                if process.returncode:
                    # Before the domains were listed there are none to be named.
                    self.assertTrue(str(os.getpid()) in text or "cannot connect to libvirt" in text, f"no domain is named: {text}")
            ends.append(process.returncode)
        print(f"     {KILLS} kills of libvirtd, seed {KILL_SEED}: exit statuses {ends}")

    def test_libvirtd_is_not_there(self):
        self.libvirt.kill_daemon()
        try:
            for command in ("scan", "guests"):
                done = self.libvirt.run(command, "--libvirt", URI)
                self.assertEqual(done.returncode, 1)
                self.assertIn("cannot connect to libvirt at qemu:///system", done.stderr)
        finally:
            self.libvirt.restart()

    def test_without_pid_file(self):
        """As when libvirt's /run is another one: the process is found by its command line."""
        away = os.path.join(guests.tmp_dir(), "away")
        os.makedirs(away)
        subprocess.run(self.libvirt.inside("sh", "-c", f"mv /run/libvirt/qemu/*.pid {away}"), check=True)
        try:
            report = self.scan()
        finally:
            subprocess.run(self.libvirt.inside("sh", "-c", f"mv {away}/*.pid /run/libvirt/qemu"), check=True)
        self.assertEqual({g["pid"] for g in report["guests"]}, {self.plain.pid, self.shared.pid})


class Kinds(OfLibvirt):
    """Ways in which libvirt gives memory, and the way out where it cannot be found."""

    @classmethod
    def make_domains(cls):
        cells = "<cpu><numa><cell id='0' cpus='0' memory='96' unit='MiB'/><cell id='1' memory='80' unit='MiB'{}/></numa></cpu>"
        cls.cells = virt.Domain(cls.libvirt, "cells", 176, cpu=cells.format(""), blocks=[(96 * MIB, False), (80 * MIB, False)])
        cls.mixed = virt.Domain(cls.libvirt, "mixed", 176, "<source type='memfd'/>", cpu=cells.format(" memAccess='shared'"),
                                blocks=[(96 * MIB, True), (80 * MIB, True)])
        cls.file = virt.Domain(cls.libvirt, "file", 144, "<source type='file'/><access mode='shared'/>", shared=True)
        cls.private = virt.Domain(cls.libvirt, "private", 152, "<source type='memfd'/><access mode='private'/>")
        slots = ("<maxMemory slots='2' unit='MiB'>512</maxMemory><features><acpi/></features>"
                 "<cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/></numa></cpu>")
        cls.plugged = virt.Domain(cls.libvirt, "plugged", 128, cpu=slots, blocks=[(128 * MIB, False)])
        for d in cls.libvirt.domains:
            d.wait_ready()

    def plug(self, mib):
        path = os.path.join(guests.tmp_dir(), "dimm.xml")
        with open(path, "w") as f:
            f.write(f"<memory model='dimm'><target><size unit='MiB'>{mib}</size><node>0</node></target></memory>")
        self.libvirt.virsh("attach-device", self.plugged.uuid, path, "--live")
        self.plugged.blocks.append((mib * MIB, False))

    def one(self, domain):
        report = self.compare([domain], "--guest", domain.name)
        self.assertFalse(domain.is_tainted())
        return report["guests"][0]["blocks"]

    def test_cells(self):
        self.assertEqual([(b["id"], b["size_bytes"]) for b in self.one(self.cells)],
                         [("ram-node0", 96 * MIB), ("ram-node1", 80 * MIB)])

    def test_mixed(self):
        self.assertEqual({b["backend"] for b in self.one(self.mixed)}, {"memory-backend-memfd"})

    def test_file(self):
        self.assertEqual([(b["backend"], b["shared"]) for b in self.one(self.file)], [("memory-backend-file", True)])

    def test_private_memfd(self):
        self.assertEqual([(b["backend"], b["shared"]) for b in self.one(self.private)], [("memory-backend-memfd", False)])

    def test_plugged(self):
        """One DIMM of the very size of the RAM: which is whose does not matter."""
        for mib in (128, 256):
            self.plug(mib)
            self.plugged.resume()
            self.assertEqual([(b["id"], b["size_bytes"]) for b in self.one(self.plugged)],
                             [("ram-node0", 128 * MIB), ("dimm0", 128 * MIB), ("dimm1", 256 * MIB)][:len(self.plugged.blocks)])

    def test_huge(self):
        guests.reserve_huge_pages(160)
        private = virt.Domain(self.libvirt, "huge", 64, "<hugepages/>")
        shared = virt.Domain(self.libvirt, "hugememfd", 80, "<hugepages/><source type='memfd'/><access mode='shared'/>", shared=True)
        self.assertEqual([(b["backend"], b["shared"], b["page_size"]) for d in (private, shared) for b in self.one(d)],
                         [("memory-backend-file", False, 2 * MIB), ("memory-backend-memfd", True, 2 * MIB)])

    def test_zz_monitor(self):
        """The same figures by asking QEMU; that taints, and is the only thing that does."""
        plain = self.scan("--guest", self.cells.name, "--mode", "live")["guests"][0]
        self.cells.suspend()
        expected = oracle.report([oracle.look(self.cells)])
        report = self.scan("--guest", self.cells.name, "--libvirt-monitor")
        self.assertEqual(oracle.differences(expected, report), [])
        self.assertEqual(sorted(b["size_bytes"] for b in report["guests"][0]["blocks"]),
                         sorted(b["size_bytes"] for b in plain["blocks"]))
        self.assertTrue(self.cells.is_tainted())
        self.assertFalse(self.file.is_tainted())


class GivenTwice(OfLibvirt):
    """A domain that has a QMP socket of its own besides libvirt's."""

    @classmethod
    def make_domains(cls):
        cls.socket = "/var/lib/libvirt/qemu/own.sock"
        cls.domain = virt.Domain(cls.libvirt, "twice", 128, extra=("-qmp", f"unix:{cls.socket},server=on,wait=off"))

    def test_refused(self):
        report = self.scan("--qmp", self.socket, code=3)
        self.assertEqual([(g["name"], g["via"], g["error"] is None) for g in report["guests"]],
                         [(self.domain.name, "qmp", True), (self.domain.name, "libvirt", False)])
        self.assertIn("given twice", report["guests"][1]["error"])


if __name__ == "__main__":
    harness.main()
