# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed service under a real systemd."""
import os
import re
import shutil
import stat
import time
import unittest

import guests
import harness
import ksm
from container import Container

CONF = """[guests]
qmp_sockets = /run/guests/*.qmp
[schedule]
interval = {interval}
jitter = 0
min_gap = 0
"""
GUEST_MIB = 1024
DOMAIN = f"""<domain type='qemu'><name>web1</name><memory unit='MiB'>64</memory>
<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>{shutil.which(guests.QEMU)}</emulator><memballoon model='none'/></devices></domain>"""


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.container = Container()
        cls.container.run("mkdir", "-p", "/run/guests")
        cls.qmp = cls.container.start_guest("big", GUEST_MIB)
        cls.container.write("/etc/samepaged.conf", CONF.format(interval="never"))

    @classmethod
    def tearDownClass(cls):
        cls.container.kill()

    def setUp(self):
        self.container.run("systemctl", "reset-failed", "samepaged", check=False)
        self.container.run("systemctl", "start", "samepaged")

    def tearDown(self):
        self.container.run("systemctl", "stop", "samepaged")
        self.assertEqual(self.qmp.status(), "running")

    def scans(self):
        """Ids in the history, the newest first."""
        with self.container.control() as control:
            return [s["id"] for s in control("query-history", limit=1000)["scans"]]

    def property(self, name):
        return self.container.run("systemctl", "show", "-P", name, "samepaged").stdout.strip()

    def test_scheduled_scans(self):
        self.container.write("/etc/samepaged.conf", CONF.format(interval="2s"))
        self.addCleanup(self.container.write, "/etc/samepaged.conf", CONF.format(interval="never"))
        known = len(self.scans())
        self.container.run("systemctl", "reload", "samepaged")
        self.container.wait_for(lambda: len(self.scans()) >= known + 2)
        done = self.container.run("/usr/local/bin/samepage", "history")
        self.assertGreaterEqual(len(done.stdout.splitlines()), 3)

    def test_guests_are_found(self):
        self.container.start_guest("shared", 64, "memfd")
        self.addCleanup(self.container.run, "systemctl", "stop", "shared")
        with self.container.control() as control:
            report = control("scan", wait=True)
        found = {g["name"]: g for g in report["guests"]}
        self.assertEqual({name: g["error"] for name, g in found.items()}, {"big": None, "shared": None})
        self.assertGreaterEqual(found["big"]["present_bytes"], GUEST_MIB << 20)
        self.assertEqual([found[name]["blocks"][0]["reader"] for name in ("big", "shared")], ["process-vm", "mapped"])
        self.assertIsNotNone(report["actual"]["saved_bytes"], "frames are not seen: a capability is missing")

    def test_domains_of_libvirt(self):
        """Through the sandbox as well; they are found without being configured."""
        self.container.start_libvirt()
        self.container.write("/run/domain.xml", DOMAIN)
        self.container.virsh("create", "/run/domain.xml")
        self.addCleanup(self.container.virsh, "destroy", "web1")
        self.container.run("systemctl", "restart", "samepaged")
        self.container.wait_for(lambda: "domain web1 (" in self.container.journal("samepaged"))
        with self.container.control() as control:
            (guest,) = control("scan", wait=True, guests=["web1"])["guests"]
        self.assertEqual((guest["error"], guest["via"], guest["pauses"]), (None, "libvirt", 1))
        self.assertEqual(self.container.virsh("domstate", "web1").stdout.strip(), "running")
        self.container.virsh("metadata", "web1", "--uri", "urn:samepage:scan:1", "--key", "samepage", "--set", "<scan/>", "--live")
        self.container.wait_for(lambda: " present=" in self.container.virsh("metadata", "web1", "--uri", "urn:samepage:result:1", check=False).stdout)

    def test_no_complaints_about_the_unit(self):
        said = self.container.run("journalctl", "--no-pager", "-o", "cat", "-t", "systemd").stdout
        self.assertEqual([line for line in said.splitlines() if "samepaged.service:" in line and ("ignoring" in line or "Failed to" in line)], [])

    def test_killed_in_a_pause(self):
        """SIGKILL of all its processes, the guard too: systemd has the guest resumed and starts the service again."""
        resumed = 0
        with self.container.control() as control:
            finished = control("scan", wait=True)["scan"]["id"]
        for _ in range(5):
            with self.container.control() as control:
                control("scan")
                leases = self.container.path("/run/samepage/leases")
                deadline = time.monotonic() + 20
                while not (os.path.isdir(leases) and any(n.endswith(".json") for n in os.listdir(leases))):
                    self.assertLess(time.monotonic(), deadline)
                before = self.property("MainPID")
                self.container.run("systemctl", "kill", "-s", "KILL", "samepaged")
            deadline = time.monotonic() + 1
            while self.qmp.status() != "running":
                self.assertLess(time.monotonic(), deadline, "the guest stayed paused")
                time.sleep(0.01)
            self.container.wait_for(lambda: self.property("ActiveState") == "active" and self.property("MainPID") not in ("0", before))
            resumed = len(re.findall("guest big: ", self.container.journal("samepaged")))
            if resumed:
                break
        self.assertGreater(resumed, 0, "no kill hit a pause")
        self.assertIn(finished, self.scans())
        with self.container.control() as control:
            self.assertEqual(len(control("scan", wait=True)["guests"]), 1)

    def test_acting(self):
        """Through the sandbox: KSM's settings are written, and put back when the service stops and when all of it is killed."""
        with ksm.borrowed():
            before = ksm.settings()
            self.container.write("/etc/samepaged.conf", CONF.format(interval="never") + "[merge]\npolicy = act\n")
            self.addCleanup(self.container.write, "/etc/samepaged.conf", CONF.format(interval="never"))
            with self.container.drop_in("restart", "[Service]\nRestart=no\n"):
                for end in ("stop", "kill"):
                    self.container.run("systemctl", "restart", "samepaged")
                    self.container.wait_for(lambda: ksm.read("run") == "1", 60)
                    self.container.run("systemctl", *{"stop": ["stop"], "kill": ["kill", "-s", "KILL"]}[end], "samepaged")
                    self.container.wait_for(lambda: self.property("ActiveState") in ("inactive", "failed"))
                    self.assertEqual(ksm.settings(), before, end)
                    self.container.run("systemctl", "reset-failed", "samepaged", check=False)

    def test_watchdog(self):
        """A service that hangs is killed and started again."""
        with self.container.drop_in("watchdog", "[Service]\nWatchdogSec=2\n"):
            self.container.run("systemctl", "restart", "samepaged")
            before = self.property("MainPID")
            self.container.run("systemctl", "kill", "-s", "STOP", "samepaged")
            self.container.wait_for(lambda: self.property("MainPID") not in ("0", before) and self.property("ActiveState") == "active", 30)

    def test_bad_configuration(self):
        """At a reload it is said and the old one stays; at a start it is an error."""
        self.container.write("/etc/samepaged.conf", CONF.format(interval="soon"))
        self.addCleanup(self.container.run, "systemctl", "start", "samepaged")
        self.addCleanup(self.container.write, "/etc/samepaged.conf", CONF.format(interval="never"))
        self.container.run("systemctl", "reload", "samepaged")
        self.container.wait_for(lambda: "interval" in self.container.journal("samepaged"))
        self.assertEqual(self.property("ActiveState"), "active")
        self.assertNotEqual(self.container.run("/usr/local/sbin/samepaged", "--check-config", check=False).returncode, 0)
        self.assertNotEqual(self.container.run("systemctl", "restart", "samepaged", check=False).returncode, 0)

    def test_control_socket(self):
        """root:samepage 0660, the group made by sysusers."""
        status = os.stat(self.container.path("/run/samepage/control.sock"))
        group = self.container.run("getent", "group", "samepage").stdout.split(":")[2]
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid), (0o660, 0, int(group)))

    def test_exposure(self):
        printed = self.container.run("systemd-analyze", "security", "--no-pager", "samepaged.service").stdout
        exposure = float(re.search(r"exposure level for samepaged.service: ([0-9.]+)", printed)[1])
        print(f"     systemd-analyze security: {exposure}")
        self.assertLessEqual(exposure, 4.0)


if __name__ == "__main__":
    harness.main()
